//! The threads that the runtime computes on, and their priority below a stream that must not wait.

use ort::environment::ThreadManager;
use std::thread::JoinHandle;

/// The nice value of a thread of low priority: it gets about a tenth of what others get of a busy core.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// How the threads of one session are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Threads {
    /// Other threads go first on a busy core. For good, since the system gives no way back without privileges: so a
    /// session is of one kind or of the other from its beginning.
    pub low_priority: bool,
}

impl ThreadManager for Threads {
    type Thread = JoinHandle<()>;

    fn create(&self, work: impl FnOnce() + Send + 'static) -> ort::Result<JoinHandle<()>> {
        let low_priority = self.low_priority;
        let spawned = std::thread::Builder::new().name("bgremove-ort".into()).spawn(move || {
            if low_priority {
                lower_own_priority();
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
pub fn lower_own_priority() {
    lower_priority(current());
}

#[cfg(target_os = "linux")]
fn current() -> i32 {
    // SAFETY: the call takes nothing and always succeeds.
    unsafe { libc::gettid() }
}

#[cfg(target_os = "linux")]
fn lower_priority(thread: i32) {
    // SAFETY: the call takes three numbers. A thread that has ended makes it fail, which does no harm.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, thread as libc::id_t, NICE) };
}

#[cfg(not(target_os = "linux"))]
fn current() -> i32 {
    0
}

#[cfg(not(target_os = "linux"))]
fn lower_priority(_: i32) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    fn nice() -> i32 {
        // SAFETY: the call takes two numbers, of which the second is the calling thread's.
        unsafe { libc::getpriority(libc::PRIO_PROCESS, current() as libc::id_t) }
    }

    #[test]
    fn only_threads_of_those_who_asked_for_it_have_low_priority() {
        // The tests may themselves have been started with `nice`.
        let own = nice();
        for (low_priority, expected) in [(false, own), (true, NICE), (false, own)] {
            let (tell, told) = channel();
            let thread = Threads { low_priority }.create(move || tell.send(nice()).unwrap()).unwrap();
            assert_eq!(told.recv().unwrap(), expected);
            Threads::join(thread).unwrap();
        }
    }
}
