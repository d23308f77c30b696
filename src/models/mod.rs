//! Models: which networks there are, and what each wants and gives.
//!
//! A network is data. What its ONNX file says of itself (names, shapes, types) fills a [`Spec`]; what
//! a file cannot say (mean, range, activation, …) comes as [`Hints`]: from the manifest
//! (`models/manifest.ini`) for known files, from a sidecar beside the file, or from the element's
//! `model-options`.

mod catalogue;
mod edges;
mod explain;
mod hint_keys;
mod hints;
mod network;
mod npy;
mod prompt;
mod shelf;
mod sidecar;
mod spec;

#[cfg(any(test, fuzzing))]
pub(crate) use catalogue::parse as parse_manifest;
pub use catalogue::{Choice, Entry, FileSource, MANIFEST, entries, files_resolution, resolve};
pub(crate) use edges::edges;
pub use hints::Hints;
pub(crate) use hints::{Activation, InputFit};
pub use network::Network;
pub(crate) use npy::Array;
#[cfg(any(test, fuzzing))]
pub(crate) use npy::parse as parse_npy;
pub(crate) use prompt::{Prompt, label};
pub use sidecar::from_structure;
#[cfg(any(test, fuzzing))]
pub(crate) use sidecar::parse as parse_sidecar;
pub(crate) use spec::Order;
pub use spec::{Signature, Spec};
