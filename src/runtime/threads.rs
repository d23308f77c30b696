//! The threads that the runtime computes on, so that they can step back for a stream that must not wait.

use ort::environment::ThreadManager;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// How much a thread that steps back is behind others: it gets about a tenth of what they get of a busy core.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// The threads of one session.
#[derive(Clone, Default)]
pub(super) struct Threads(Arc<Mutex<Vec<i32>>>);

impl Threads {
    /// Lets other threads go first on a busy core, for good: the system gives no way back without privileges.
    pub fn step_back(&self) {
        for &thread in self.0.lock().unwrap_or_else(|e| e.into_inner()).iter() {
            step_back(thread);
        }
    }
}

impl ThreadManager for Threads {
    type Thread = JoinHandle<()>;

    fn create(&self, work: impl FnOnce() + Send + 'static) -> ort::Result<JoinHandle<()>> {
        let known = Arc::clone(&self.0);
        let spawned = std::thread::Builder::new().name("bgremove-ort".into()).spawn(move || {
            known.lock().unwrap_or_else(|e| e.into_inner()).push(current());
            work();
        });
        spawned.map_err(|e| ort::Error::new(e.to_string()))
    }

    fn join(thread: JoinHandle<()>) -> ort::Result<()> {
        thread.join().map_err(|_| ort::Error::new("a thread of the runtime panicked"))
    }
}

/// As [`Threads::step_back`], for the calling thread.
pub fn step_back_here() {
    step_back(current());
}

#[cfg(target_os = "linux")]
fn current() -> i32 {
    // SAFETY: the call takes nothing and always succeeds.
    unsafe { libc::gettid() }
}

#[cfg(target_os = "linux")]
fn step_back(thread: i32) {
    // SAFETY: the call takes three numbers. A thread that has ended makes it fail, which does no harm.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, thread as libc::id_t, NICE) };
}

#[cfg(not(target_os = "linux"))]
fn current() -> i32 {
    0
}

#[cfg(not(target_os = "linux"))]
fn step_back(_: i32) {}
