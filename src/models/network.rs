//! A loaded network with its spec. Elements of one process that ask for the same file, provider and
//! threads share one session, so that weights are not held twice. Two networks load at the same time.

use super::shelf::Shelf;
use super::{Array, Choice, FileSource, Spec, npy};
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::{self, Provider, Runtime, Session, Target};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

/// A network that is ready to run.
#[derive(Clone, Debug)]
pub struct Network {
    /// The preset's or the file's name.
    pub name: String,
    pub session: Arc<Session>,
    /// Its second part, if it has two: what `session` gives goes in there, and the mask comes out.
    pub decoder: Option<Arc<Session>>,
    pub spec: Spec,
    /// What `spec`'s embedding is filled with, and its shape there.
    pub embedding: Option<Arc<Array>>,
    /// What it was loaded from.
    choice: Choice,
    threads: u32,
    /// `None` where its runs have no threads but the caller's.
    behind: Option<bool>,
    /// Somebody has named the provider, and gets no other.
    asked: bool,
    /// Faster providers that were tried and could not be used, with the reason.
    pub passed_over: Vec<String>,
}

/// Which file a network is; what the manifest knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    pub title: Option<String>,
    pub licence: Option<String>,
    /// Of the file's bytes, in hexadecimal; `None` if it was replaced while it was loaded.
    pub sha256: Option<String>,
    pub bytes: u64,
}

/// What makes a session another one.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    source: FileSource,
    /// A file that has been written anew is another network.
    modified: Option<SystemTime>,
    provider: Provider,
    device: String,
    threads: u32,
    exact: bool,
    behind: bool,
}

static LOADED: LazyLock<Shelf<Key, Session>> = LazyLock::new(Shelf::default);

impl Network {
    /// Loads a network, or takes the session that another element holds.
    ///
    /// `target`: the provider, and its device. `threads`: of one run, 0 for the machine's cores.
    /// `behind`: where cores are busy, the stream's own work goes before the network's. Elements that want it and
    /// those that do not share no session: a thread that has stepped back cannot come forth again.
    ///
    /// # Errors
    /// [`ErrorKind::ModelInvalid`] when the file is no ONNX file or no image network; [`ErrorKind::Runtime`] when
    /// the provider that was asked for is not there or has no such device.
    pub fn load(
        runtime: &Runtime,
        choice: &Choice,
        target: &Target,
        threads: u32,
        behind: bool,
    ) -> Result<Self> {
        let because = |e: Error| match e.kind {
            // It is not the model's fault.
            ErrorKind::Runtime => e,
            kind => Error::new(kind, format!("model '{}' cannot be used: {}", choice.name, e.text)),
        };
        let length_of = |source: &FileSource| match source {
            FileSource::Embedded(_, bytes) => Ok(bytes.len() as u64),
            FileSource::File(path) => runtime::onnx::inspect(path).map(|files| files.length),
        };
        let second = choice.decoder();
        let length = length_of(&choice.source).map_err(because)?;
        if let Some(second) = &second {
            length_of(second).map_err(|e| because(Error::new(e.kind, format!("its decoder: {}", e.text))))?;
        }
        let behind = (runtime::threads_of_a_run(length, threads) > 1).then_some(behind);
        let mut passed_over = Vec::new();
        let exact = choice.hints.min_max == Some(true);
        let on = |provider, device: &str| {
            let open =
                |source| session(runtime, source, (provider, device), threads, exact, behind == Some(true));
            Ok((open(&choice.source)?, second.as_ref().map(open).transpose()?))
        };
        let (session, decoder) = match target.provider {
            Some(p) if !p.is_available() => Err(runtime.lacks(p)),
            Some(p) => on(p, &target.device).map_err(because),
            None if !target.device.is_empty() => Err(Error::new(
                ErrorKind::Runtime,
                format!(
                    "device={} says which of a provider's devices, and execution-provider=auto leaves the provider \
                     open: set execution-provider, too",
                    target.device
                ),
            )),
            None => {
                let mut last = Err(Error::new(ErrorKind::Runtime, "no execution provider"));
                for p in Provider::automatic(length) {
                    last = match runtime::only_software(p) {
                        None => on(p, ""),
                        Some(why) => Err(Error::new(ErrorKind::Runtime, why)),
                    };
                    match &last {
                        Ok(_) => break,
                        Err(e) => passed_over.push(format!("{}: {}", p.name(), e.text)),
                    }
                }
                last.map_err(because)
            }
        }?;
        let spec = Spec::of((&*session).into(), decoder.as_deref().map(Into::into), &choice.hints)
            .map_err(because)?;
        let embedding = embedding(&spec, choice).map_err(because)?;
        Ok(Network {
            name: choice.name.clone(),
            session,
            decoder,
            spec,
            embedding,
            choice: choice.clone(),
            threads,
            behind,
            asked: target.provider.is_some(),
            passed_over,
        })
    }

    /// Bytes of its file.
    pub fn bytes(&self) -> u64 {
        self.session.bytes
    }

    /// Which file it is, as it was when it was loaded. Nothing is read for this.
    pub fn provenance(&self) -> Provenance {
        let (sha256, known) = match &self.choice.source {
            // What is built in is what the manifest says: a test sees to that.
            source @ FileSource::Embedded(..) => {
                let known = super::entries().iter().find(|e| e.is_built_in_as(source));
                (known.map(|e| e.sha256.clone()), known)
            }
            FileSource::File(_) => {
                let sha256 = self.session.sha256.clone();
                let known = super::entries().iter().find(|e| sha256.as_ref() == Some(&e.sha256));
                (sha256, known)
            }
        };
        Provenance {
            title: known.map(|e| e.title.clone()),
            licence: known.map(|e| e.licence.clone()),
            sha256,
            bytes: self.bytes(),
        }
    }

    /// The same network on the CPU, for when its provider fails; `None` if that is where it runs, or if somebody has named
    /// the provider: what was asked for is not replaced.
    ///
    /// # Errors
    /// As for [`Network::load`].
    pub fn on_cpu(&self, runtime: &Runtime) -> Option<Result<Self>> {
        let may = self.session.provider != Provider::Cpu && !self.asked;
        let behind = self.behind == Some(true);
        may.then(|| Self::load(runtime, &self.choice, &Provider::Cpu.into(), self.threads, behind))
    }

    /// Whether its threads stand as [`Network::load`] was asked to, also where it has none of its own.
    pub fn stands(&self, behind: bool) -> bool {
        self.behind.is_none_or(|b| b == behind)
    }

    /// Whether what one remembers from frame to frame holds for the other.
    pub fn is_same(&self, other: &Network) -> bool {
        Arc::ptr_eq(&self.session, &other.session)
            && self.decoder.as_ref().map(Arc::as_ptr) == other.decoder.as_ref().map(Arc::as_ptr)
            && (&self.spec, &self.embedding) == (&other.spec, &other.embedding)
    }
}

impl Choice {
    /// The file of its second part, if it has one.
    pub fn decoder(&self) -> Option<FileSource> {
        self.hints.decoder.as_ref().map(|path| FileSource::File(self.beside(path)))
    }

    /// A relative path means a place beside the network.
    fn beside(&self, path: &Path) -> PathBuf {
        match &self.source {
            FileSource::File(own) => {
                own.parent().map_or_else(|| path.to_path_buf(), |folder| folder.join(path))
            }
            FileSource::Embedded(..) => path.to_path_buf(),
        }
    }
}

/// Reads what the network is always told.
fn embedding(spec: &Spec, choice: &Choice) -> Result<Option<Arc<Array>>> {
    let Some((port, path)) = spec.prompt.as_ref().and_then(|p| p.embedding.as_ref()) else { return Ok(None) };
    let path = choice.beside(path);
    let refuse = |why: String| {
        Error::new(
            ErrorKind::ModelInvalid,
            format!("{} cannot be its prompt-embedding: {why}", path.display()),
        )
    };
    let array = npy::read(&path).map_err(refuse)?;
    let shape = array
        .shape_for(&port.shape)
        .ok_or_else(|| refuse(format!("its shape is {:?}, and the input is {port}", array.shape)))?;
    Ok(Some(Arc::new(Array { shape, ..array })))
}

fn session(
    runtime: &Runtime,
    source: &FileSource,
    (provider, device): (Provider, &str),
    threads: u32,
    exact: bool,
    behind: bool,
) -> Result<Arc<Session>> {
    let modified = match source {
        FileSource::File(path) => path.metadata().and_then(|m| m.modified()).ok(),
        FileSource::Embedded(..) => None,
    };
    let device_key = device.to_string();
    let key = Key { source: source.clone(), modified, provider, device: device_key, threads, exact, behind };
    LOADED.get_or_load(key, || {
        Session::load(runtime, source.contents(), (provider, device), threads, exact, behind)
    })
}
