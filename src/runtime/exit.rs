//! The end of the process waits for what the runtime is doing.
//!
//! A program may stop its pipelines and return from `main` while a network still loads beside them. At its exit the
//! libraries' static objects are destroyed under that thread: OpenVINO crashes then.

use crate::sync::lock;
use std::path::Path;
use std::sync::{Condvar, Mutex, Once};
use std::time::Duration;

/// A thread that hangs must not keep the process for ever.
const LONGEST: Duration = Duration::from_secs(10);

static WORKING: Mutex<usize> = Mutex::new(0);
static IDLE: Condvar = Condvar::new();

/// For as long as this lives, the runtime is at work.
pub struct Working(());

impl Working {
    pub fn new() -> Self {
        *lock(&WORKING) += 1;
        Working(())
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        let mut working = lock(&WORKING);
        *working -= 1;
        if *working == 0 {
            IDLE.notify_all();
        }
    }
}

/// To be called before OpenVINO, of the library at `runtime`, is used.
///
/// Exit handlers run in the reverse order of their registration, and a library registers its static objects' ends
/// while it is opened: so it is opened here first.
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

/// To be called once the runtime's own library is open.
pub fn wait_at_exit() {
    extern "C" fn wait() {
        let _ = IDLE.wait_timeout_while(lock(&WORKING), LONGEST, |working| *working > 0);
    }
    // SAFETY: the handler takes nothing and does not unwind. When the plugin is unloaded, the system takes it away.
    unsafe { libc::atexit(wait) };
}
