//! The network of `refine=learned`, which is built in.

use super::shelf::Shelf;
use crate::error::Result;
use crate::runtime::{ModelSource, Provider, Runtime, Session};
use std::sync::{Arc, LazyLock};

/// What goes in and comes out: tools/refiner/network.py.
const FILE: &[u8] = include_bytes!("../../models/edges.onnx");

static LOADED: LazyLock<Shelf<(), Session>> = LazyLock::new(Shelf::default);

/// The network, or the session that another stream holds. Its runs do not wait for each other, and have no threads of their own:
/// parts of a frame go side by side.
///
/// # Errors
/// [`crate::error::ErrorKind::ModelInvalid`] when ONNX Runtime cannot load it.
pub(crate) fn edges(runtime: &Runtime) -> Result<Arc<Session>> {
    LOADED.get_or_load((), || {
        Session::load(runtime, ModelSource::Memory(FILE), (Provider::Cpu, ""), 1, true, false)
    })
}
