//! The threads that the runtime computes on, and how they stand behind a stream that must not wait.

use ort::environment::ThreadManager;
use std::thread::JoinHandle;

/// How much a thread that steps back is behind others: it gets about a tenth of what they get of a busy core.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// How the threads of one session are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Threads {
    /// Other threads go first on a busy core. For good, since the system gives no way back without privileges: so a
    /// session is of one kind or of the other from its beginning.
    pub behind: bool,
}

impl ThreadManager for Threads {
    type Thread = JoinHandle<()>;

    fn create(&self, work: impl FnOnce() + Send + 'static) -> ort::Result<JoinHandle<()>> {
        let behind = self.behind;
        let spawned = std::thread::Builder::new().name("bgremove-ort".into()).spawn(move || {
            if behind {
                step_back_here();
            }
            work();
        });
        spawned.map_err(|e| ort::Error::new(e.to_string()))
    }

    fn join(thread: JoinHandle<()>) -> ort::Result<()> {
        thread.join().map_err(|_| ort::Error::new("a thread of the runtime panicked"))
    }
}

/// Lets other threads go before the calling one on a busy core, for good.
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    fn nice() -> i32 {
        // SAFETY: the call takes two numbers, of which the second is the calling thread's.
        unsafe { libc::getpriority(libc::PRIO_PROCESS, current() as libc::id_t) }
    }

    #[test]
    fn only_threads_of_those_who_asked_for_it_are_behind() {
        // The tests may themselves have been started with `nice`.
        let own = nice();
        for (behind, expected) in [(false, own), (true, NICE), (false, own)] {
            let (tell, told) = channel();
            let thread = Threads { behind }.create(move || tell.send(nice()).unwrap()).unwrap();
            assert_eq!(told.recv().unwrap(), expected);
            Threads::join(thread).unwrap();
        }
    }
}
