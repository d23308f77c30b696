//! Threads that load a network, or a picture, beside a running stream: one at a time; of the requests that come meanwhile only
//! the last counts.

use super::engine::Loaded;
use super::settings::Settings;
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::Cancel;
use crate::sync::lock;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

/// The settings that a network was loaded for, and what came of it.
pub type LoadResult = (Arc<Settings>, Result<Loaded>);
type Load = Box<dyn FnOnce() -> Result<Loaded> + Send>;

#[derive(Default)]
pub struct NetworkLoader(Mutex<NetworkQueue>);

#[derive(Default)]
struct NetworkQueue {
    wanted: Option<(Arc<Settings>, Load)>,
    result: Option<LoadResult>,
    /// Cancels the last request.
    cancel: Cancel,
    /// Counts the requests: the result of an earlier one is dropped.
    requests: u64,
    /// The thread is running.
    busy: bool,
}

impl NetworkLoader {
    /// Requests a network; cancels the request before.
    pub fn request(
        self: &Arc<Self>,
        settings: Arc<Settings>,
        load: impl FnOnce(&Cancel) -> Result<Loaded> + Send + 'static,
    ) {
        let mut loading = lock(&self.0);
        let dropped = loading.clear();
        let cancel = loading.cancel.clone();
        loading.wanted = Some((Arc::clone(&settings), Box::new(move || load(&cancel))));
        if std::mem::replace(&mut loading.busy, true) {
            return;
        }
        drop(loading);
        drop(dropped);
        let own = Arc::clone(self);
        let thread = std::thread::Builder::new().name("bgremove-load".into()).spawn(move || own.work());
        if let Err(e) = thread {
            let mut loading = lock(&self.0);
            loading.busy = false;
            loading.wanted = None;
            let e = Error::new(ErrorKind::Inference, format!("no thread to load the network in: {e}"));
            loading.result = Some((settings, Err(e)));
        }
    }

    /// Cancels the request before. Returns what cancels a request that the caller begins now, when this is called again.
    pub fn cancel(&self) -> Cancel {
        let mut loading = lock(&self.0);
        let dropped = loading.clear();
        let cancel = loading.cancel.clone();
        drop(loading);
        drop(dropped);
        cancel
    }

    /// The result of the last request, once it is there.
    pub fn take(&self) -> Option<LoadResult> {
        lock(&self.0).result.take()
    }

    fn work(&self) {
        let mut loading = lock(&self.0);
        while let Some((settings, load)) = loading.wanted.take() {
            let request = loading.requests;
            drop(loading);
            let network = catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::ModelInvalid, "loading the network panicked; please report this"))
            });
            loading = lock(&self.0);
            if loading.requests == request {
                loading.result = Some((settings, network));
            }
        }
        loading.busy = false;
    }
}

/// The thread that reads pictures. A job hands its result on by itself.
#[derive(Default)]
pub struct PictureLoader(Mutex<PictureQueue>);

#[derive(Default)]
struct PictureQueue {
    /// The next job, and its number; later ones have higher numbers.
    wanted: Option<(u64, Box<dyn FnOnce() + Send>)>,
    /// The thread is there.
    busy: bool,
}

impl PictureLoader {
    /// Runs a job. It replaces an earlier one that has not begun.
    ///
    /// # Errors
    /// When there is no thread to do it in.
    pub fn request(
        self: &Arc<Self>,
        number: u64,
        job: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<()> {
        let mut reading = lock(&self.0);
        if reading.wanted.as_ref().is_some_and(|(n, _)| *n > number) {
            return Ok(());
        }
        let dropped = reading.wanted.replace((number, Box::new(job)));
        let busy = std::mem::replace(&mut reading.busy, true);
        drop(reading);
        drop(dropped);
        if busy {
            return Ok(());
        }
        let own = Arc::clone(self);
        let thread = std::thread::Builder::new().name("bgremove-read".into()).spawn(move || own.work());
        thread.map(|_| ()).inspect_err(|_| {
            let mut reading = lock(&self.0);
            reading.busy = false;
            let dropped = reading.wanted.take();
            drop(reading);
            drop(dropped);
        })
    }

    fn work(&self) {
        let mut reading = lock(&self.0);
        while let Some((_, job)) = reading.wanted.take() {
            drop(reading);
            // A decoder may panic; the thread goes on.
            let _ = catch_unwind(AssertUnwindSafe(job));
            reading = lock(&self.0);
        }
        reading.busy = false;
    }

    /// Whether no job is queued or running.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        !lock(&self.0).busy
    }
}

impl NetworkQueue {
    /// Cancels and empties it. Returns what was there, to be dropped without the lock.
    fn clear(&mut self) -> impl Sized + use<> {
        self.requests += 1;
        std::mem::take(&mut self.cancel).call();
        (self.wanted.take(), self.result.take())
    }
}
