//! A loaded network with its spec, shared by all elements of the process that ask for the same one.

use super::{Choice, FileSource, Spec};
use crate::error::{Error, Kind, Result};
use crate::runtime::{Provider, Runtime, Session, Source};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, Weak};

/// A network that is ready to run.
#[derive(Debug)]
pub struct Network {
    /// The preset's or the file's name.
    pub name: String,
    pub session: Session,
    pub spec: Spec,
}

type Key = (FileSource, Option<std::time::SystemTime>, Provider, u32);

static LOADED: LazyLock<Mutex<HashMap<Key, Weak<Network>>>> = LazyLock::new(Default::default);

impl Network {
    /// Loads a network, or gives the one that another element holds.
    ///
    /// # Errors
    /// [`Kind::ModelInvalid`] when the file is no ONNX file or no image network.
    pub fn load(runtime: &Runtime, choice: &Choice, provider: Provider, threads: u32) -> Result<Arc<Self>> {
        let modified = match &choice.source {
            FileSource::File(path) => path.metadata().and_then(|m| m.modified()).ok(),
            FileSource::Embedded(..) => None,
        };
        let key = (choice.source.clone(), modified, provider, threads);
        // Held while loading, so that elements that start together load once.
        let mut loaded = LOADED.lock().unwrap_or_else(|e| e.into_inner());
        loaded.retain(|_, network| network.strong_count() > 0);
        if let Some(network) = loaded.get(&key).and_then(Weak::upgrade) {
            return Ok(network);
        }
        let source = match &choice.source {
            FileSource::Embedded(_, bytes) => Source::Memory(bytes),
            FileSource::File(path) => Source::File(path),
        };
        let because = |e: Error| {
            Error::new(Kind::ModelInvalid, format!("model '{}' cannot be used: {}", choice.name, e.text))
        };
        let session = Session::load(runtime, source, provider, threads).map_err(because)?;
        let spec = Spec::new(&session.inputs, &session.outputs, &choice.hints).map_err(because)?;
        let network = Arc::new(Network { name: choice.name.clone(), session, spec });
        loaded.insert(key, Arc::downgrade(&network));
        Ok(network)
    }
}
