//! The end of the process waits for what the runtime is doing, and nothing of it begins any more.
//!
//! A program may stop its pipelines and return from `main` while a network still loads beside them. At its exit the
//! libraries' static objects are destroyed; a thread that is in ONNX Runtime or OpenVINO then, or enters it later, crashes.

use crate::sync::{lock, wait};
use std::cell::Cell;
use std::path::Path;
use std::sync::{Condvar, Mutex, Once};
use std::time::Duration;

/// A thread that hangs must not keep the process for ever.
const LONGEST: Duration = Duration::from_secs(10);

struct State {
    /// How often the runtime is at work.
    working: usize,
    /// The thread that ends the process.
    ending: Option<usize>,
}

static STATE: Mutex<State> = Mutex::new(State { working: 0, ending: None });
static IDLE: Condvar = Condvar::new();
/// What never comes.
static NEVER: Condvar = Condvar::new();

thread_local! {
    // Has nothing to destroy, so that it is there until the thread is gone.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    static END: End = const { End };
}

/// For as long as this lives, the runtime is at work in this thread.
pub struct Working(());

impl Working {
    /// Does not come back once the process is ending, unless the runtime is at work in this thread already.
    pub fn new() -> Self {
        let within = DEPTH.replace(DEPTH.get() + 1) > 0;
        let mut state = lock(&STATE);
        while !within && state.ending.is_some_and(|thread| thread != this_thread()) {
            state = wait(&NEVER, state);
        }
        state.working += 1;
        Working(())
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        let mut state = lock(&STATE);
        state.working -= 1;
        if state.working == 0 {
            IDLE.notify_all();
        }
    }
}

/// What ends with the thread that has it.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        wait_for_all();
    }
}

/// To be called in the program's first thread, which is the one that mostly ends it: what a thread has of its own is destroyed
/// before anything that belongs to the whole process. Called elsewhere it does nothing.
pub fn wait_in_main_thread() {
    #[cfg(target_os = "linux")]
    // SAFETY: the calls take nothing and always succeed.
    if unsafe { libc::gettid() == libc::getpid() } {
        END.with(|_| ());
    }
}

/// The same for a program that another thread ends, as well as it can be: exit handlers run in the reverse order of their
/// registration, and what the libraries made before this call is destroyed after the wait.
pub fn wait_at_exit() {
    extern "C" fn at_exit() {
        wait_for_all();
    }
    // SAFETY: the handler takes nothing and does not unwind. When the plugin is unloaded, the system takes it away.
    unsafe { libc::atexit(at_exit) };
}

/// To be called before OpenVINO, of the library at `runtime`, is used: it registers the ends of its static objects while it is
/// opened.
pub fn prepare_openvino(runtime: &Path) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Some(folder) = runtime.parent() else { return };
        // The one that computes on the CPU; opening it opens all that it needs.
        let library = folder.join("libopenvino_intel_cpu_plugin.so");
        // SAFETY: it is the library that the runtime is about to open itself.
        if let Ok(library) = unsafe { libloading::Library::new(library) } {
            // It stays open, as the runtime would keep it.
            std::mem::forget(library);
        }
        wait_at_exit();
    });
}

fn wait_for_all() {
    let mut state = lock(&STATE);
    state.ending = Some(this_thread());
    let _ = IDLE.wait_timeout_while(state, LONGEST, |state| state.working > 0);
}

/// A number of the thread's own. `std::thread::current` is not to be had where threads end.
fn this_thread() -> usize {
    DEPTH.with(|depth| std::ptr::from_ref(depth) as usize)
}
