//! The threads of the kernels: one set for all elements of the process, there while any of them is used.

use crate::sync::lock;
use rayon::ThreadPool;
use std::sync::{Arc, Mutex, Weak};

static POOL: Mutex<Weak<ThreadPool>> = Mutex::new(Weak::new());

/// The threads, as many as the machine has cores. They end with the last one who holds them. `None` if the system
/// gives none; then all happens on the caller's thread and those that the process shares.
pub fn acquire() -> Option<Arc<ThreadPool>> {
    let mut shared = lock(&POOL);
    if let Some(pool) = shared.upgrade() {
        return Some(pool);
    }
    let named = |n| format!("bgremove-{n}");
    let pool = Arc::new(rayon::ThreadPoolBuilder::new().thread_name(named).build().ok()?);
    *shared = Arc::downgrade(&pool);
    Some(pool)
}
