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
    low_priority: Option<bool>,
    /// Somebody has named the provider, and gets no other.
    asked: bool,
    /// Why it runs where it does.
    pub reason: String,
    /// Providers that were to be taken before and could not be used, with the reason.
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
    low_priority: bool,
}

static LOADED: LazyLock<Shelf<Key, Session>> = LazyLock::new(Shelf::default);

impl Network {
    /// Loads a network, or takes the session that another element holds.
    ///
    /// `target`: the provider, and its device. `threads`: of one run, 0 for the machine's cores.
    /// `low_priority`: where cores are busy, the stream's own work goes before the network's. Elements that want it and
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
        low_priority: bool,
    ) -> Result<Self> {
        let opening = Opening::new(runtime, choice, threads, low_priority)?;
        match target.provider {
            Some(p) if !p.is_available() => Err(runtime.lacks(p)),
            Some(p) => {
                let parts = opening.on(p, &target.device).map_err(|e| because(choice, e))?;
                let reason = format!("execution-provider={} is asked for", p.name());
                opening.finish(parts, true, reason, Vec::new())
            }
            None if !target.device.is_empty() => Err(Error::new(
                ErrorKind::Runtime,
                format!(
                    "device={} says which of a provider's devices, and execution-provider=auto leaves the provider \
                     open: set execution-provider, too",
                    target.device
                ),
            )),
            None => {
                let order: Vec<Provider> = Provider::automatic(opening.length).collect();
                let reason = match order.len() {
                    1 if opening.length <= Provider::SMALL => {
                        "the network is small: it is no faster elsewhere"
                    }
                    1 => "ONNX Runtime has no other",
                    _ => "the usual order: it has not been measured what others take",
                };
                opening.first_of(&order, reason)
            }
        }
    }

    /// As [`Network::load`] where nobody has named a provider: the first of these that can be used. `reason`: for this order.
    ///
    /// # Errors
    /// As for [`Network::load`].
    pub fn load_first(
        runtime: &Runtime,
        choice: &Choice,
        order: &[Provider],
        reason: &str,
        threads: u32,
        low_priority: bool,
    ) -> Result<Self> {
        Opening::new(runtime, choice, threads, low_priority)?.first_of(order, reason)
    }

    /// What it was loaded from.
    pub fn source(&self) -> &FileSource {
        &self.choice.source
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
        let low_priority = self.low_priority == Some(true);
        may.then(|| {
            let mut network =
                Self::load(runtime, &self.choice, &Provider::Cpu.into(), self.threads, low_priority)?;
            network.reason = format!("{} has failed", self.session.provider.name());
            Ok(network)
        })
    }

    /// Whether its threads stand as [`Network::load`] was asked to, also where it has none of its own.
    pub fn fits_priority(&self, low_priority: bool) -> bool {
        self.low_priority.is_none_or(|b| b == low_priority)
    }

    /// Whether what one remembers from frame to frame holds for the other.
    pub fn is_same(&self, other: &Network) -> bool {
        Arc::ptr_eq(&self.session, &other.session)
            && self.decoder.as_ref().map(Arc::as_ptr) == other.decoder.as_ref().map(Arc::as_ptr)
            && (&self.spec, &self.embedding) == (&other.spec, &other.embedding)
    }
}

/// A network that is being loaded, wherever it is going to run.
struct Opening<'a> {
    runtime: &'a Runtime,
    choice: &'a Choice,
    second: Option<FileSource>,
    /// Bytes of its file and of those that belong to it.
    length: u64,
    threads: u32,
    low_priority: Option<bool>,
}

/// Its sessions.
type Parts = (Arc<Session>, Option<Arc<Session>>);

fn because(choice: &Choice, e: Error) -> Error {
    match e.kind {
        // It is not the model's fault.
        ErrorKind::Runtime => e,
        kind => Error::new(kind, format!("model '{}' cannot be used: {}", choice.name, e.text)),
    }
}

impl<'a> Opening<'a> {
    fn new(runtime: &'a Runtime, choice: &'a Choice, threads: u32, low_priority: bool) -> Result<Self> {
        let length = choice.length().map_err(|e| because(choice, e))?;
        let second = choice.decoder();
        if let Some(second) = &second {
            second
                .length()
                .map_err(|e| because(choice, Error::new(e.kind, format!("its decoder: {}", e.text))))?;
        }
        let low_priority = (runtime::threads_of_a_run(length, threads) > 1).then_some(low_priority);
        Ok(Self { runtime, choice, second, length, threads, low_priority })
    }

    fn on(&self, provider: Provider, device: &str) -> Result<Parts> {
        let exact = self.choice.hints.min_max == Some(true);
        let low_priority = self.low_priority == Some(true);
        let open =
            |source| session(self.runtime, source, (provider, device), self.threads, exact, low_priority);
        Ok((open(&self.choice.source)?, self.second.as_ref().map(open).transpose()?))
    }

    fn first_of(self, order: &[Provider], reason: &str) -> Result<Network> {
        let mut passed_over = Vec::new();
        let mut last = Error::new(ErrorKind::Runtime, "no execution provider");
        for p in order {
            let parts = match runtime::only_software(*p) {
                None => self.on(*p, ""),
                Some(why) => Err(Error::new(ErrorKind::Runtime, why)),
            };
            match parts {
                Ok(parts) => return self.finish(parts, false, reason.to_string(), passed_over),
                Err(e) => {
                    passed_over.push(format!("{}: {}", p.name(), e.text));
                    last = e;
                }
            }
        }
        Err(because(self.choice, last))
    }

    fn finish(
        self,
        (session, decoder): Parts,
        asked: bool,
        reason: String,
        passed_over: Vec<String>,
    ) -> Result<Network> {
        let choice = self.choice;
        let spec = Spec::of((&*session).into(), decoder.as_deref().map(Into::into), &choice.hints)
            .map_err(|e| because(choice, e))?;
        let embedding = embedding(&spec, choice).map_err(|e| because(choice, e))?;
        Ok(Network {
            name: choice.name.clone(),
            session,
            decoder,
            spec,
            embedding,
            choice: choice.clone(),
            threads: self.threads,
            low_priority: self.low_priority,
            asked,
            reason,
            passed_over,
        })
    }
}

impl FileSource {
    /// Bytes of the file, and of those that it names.
    fn length(&self) -> Result<u64> {
        match self {
            FileSource::Embedded(_, bytes) => Ok(bytes.len() as u64),
            FileSource::File(path) => runtime::onnx::inspect(path).map(|files| files.length),
        }
    }
}

impl Choice {
    /// Bytes of the network's file, and of those that it names.
    fn length(&self) -> Result<u64> {
        self.source.length()
    }

    /// The providers that `auto` may take for it, in the usual order. Those that only stand in for a GPU are not among them.
    ///
    /// # Errors
    /// [`ErrorKind::ModelInvalid`] when its file is no ONNX file.
    pub fn providers(&self) -> Result<Vec<Provider>> {
        let length = self.length().map_err(|e| because(self, e))?;
        Ok(Provider::automatic(length).filter(|p| runtime::only_software(*p).is_none()).collect())
    }

    /// The SHA-256 of the network's file, in hexadecimal. Of a preset the manifest's, if the file is as long as it should be:
    /// it is not read for this.
    pub fn sha256(&self) -> Option<String> {
        let known = super::entries().iter().find(|e| match &self.source {
            source @ FileSource::Embedded(..) => e.is_built_in_as(source),
            FileSource::File(path) => {
                e.embedded().is_none()
                    && e.path() == *path
                    && path.metadata().is_ok_and(|file| file.len() == e.bytes)
            }
        });
        match (&self.source, known) {
            (_, Some(entry)) => Some(entry.sha256.clone()),
            (FileSource::File(path), None) => runtime::sha256_of(path).ok(),
            (FileSource::Embedded(..), None) => None,
        }
    }

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
    low_priority: bool,
) -> Result<Arc<Session>> {
    let modified = match source {
        FileSource::File(path) => path.metadata().and_then(|m| m.modified()).ok(),
        FileSource::Embedded(..) => None,
    };
    let device_key = device.to_string();
    let key =
        Key { source: source.clone(), modified, provider, device: device_key, threads, exact, low_priority };
    LOADED.get_or_load(key, || {
        Session::load(runtime, source.contents(), (provider, device), threads, exact, low_priority)
    })
}
