//! What several elements share: loaded once for each key, while nobody waits for another key.

use crate::error::{Error, Result};
use crate::sync::{lock, wait};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, Weak};

/// Things by key, there for as long as somebody holds them.
///
/// No lock is held while something is loaded. The locks are taken in the order shelf, then slot, and nothing is
/// called under them.
pub(super) struct Shelf<K, T>(Mutex<HashMap<K, Arc<Slot<T>>>>);

struct Slot<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    there: Weak<T>,
    loading: bool,
    /// Counts the loads that have ended.
    round: u64,
    /// Why the last load failed, and which one it was: for those who have waited for it.
    failed: Option<(u64, Error)>,
}

impl<K, T> Default for Shelf<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        let state = State { there: Weak::new(), loading: false, round: 0, failed: None };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<K: Eq + Hash, T> Shelf<K, T> {
    /// What is there for a key, or what `load` gives. Who asks for the key meanwhile waits and gets the same, also the
    /// same error; after a load that panicked the next one who waits tries again.
    ///
    /// # Errors
    /// Those of `load`.
    pub fn get_or_load(&self, key: K, load: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let slot = {
            let mut slots = lock(&self.0);
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || lock(&slot.state).there.strong_count() > 0);
            Arc::clone(slots.entry(key).or_default())
        };
        let mut state = lock(&slot.state);
        let round = loop {
            if let Some(there) = state.there.upgrade() {
                return Ok(there);
            }
            let round = state.round;
            if !state.loading {
                break round;
            }
            while state.loading && state.round == round {
                state = wait(&slot.changed, state);
            }
            if let Some((_, e)) = state.failed.as_ref().filter(|(failed, _)| *failed == round) {
                return Err(e.clone());
            }
        };
        state.loading = true;
        drop(state);
        let end = End(&slot);
        let loaded = load().map(Arc::new);
        let mut state = lock(&slot.state);
        match &loaded {
            Ok(there) => (state.there, state.failed) = (Arc::downgrade(there), None),
            Err(e) => state.failed = Some((round, e.clone())),
        }
        drop(state);
        drop(end);
        loaded
    }
}

/// The end of a load, also by a panic: wakes those who wait for it.
struct End<'a, T>(&'a Slot<T>);

impl<T> Drop for End<'_, T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.loading = false;
        state.round += 1;
        drop(state);
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread::{Scope, ScopedJoinHandle};
    use std::time::{Duration, Instant};

    type Numbers = Shelf<&'static str, usize>;
    /// What came of a load in a thread; `None` if it panicked.
    type Loading<'s> = ScopedJoinHandle<'s, Option<Result<Arc<usize>>>>;

    /// Begins a load that goes on until it is told its end.
    fn begin<'s>(
        scope: &'s Scope<'s, '_>,
        shelf: &'s Numbers,
        key: &'static str,
    ) -> (Sender<Result<usize>>, Loading<'s>) {
        let (tell, told): (_, Receiver<Result<usize>>) = channel();
        let (begun, has_begun) = channel();
        let thread = scope.spawn(move || {
            let load = || {
                begun.send(()).unwrap();
                told.recv().expect("it panics when nobody tells")
            };
            catch_unwind(AssertUnwindSafe(|| shelf.get_or_load(key, load))).ok()
        });
        has_begun.recv().unwrap();
        (tell, thread)
    }

    /// Waits until so many threads are in a slot.
    fn crowd(shelf: &Numbers, key: &str, n: usize) {
        let start = Instant::now();
        while Arc::strong_count(&lock(&shelf.0)[key]) < n + 1 {
            assert!(start.elapsed() < Duration::from_secs(30), "they do not come");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_key_is_loaded_while_another_one_loads() {
        let shelf = Numbers::default();
        std::thread::scope(|s| {
            let (tell, slow) = begin(s, &shelf, "slow");
            // With a lock around both this would wait for ever.
            let (done, is_done) = channel();
            let other = &shelf;
            s.spawn(move || done.send(other.get_or_load("quick", || Ok(2))).unwrap());
            let quick = is_done.recv_timeout(Duration::from_secs(20));
            let waited = quick.is_err();
            tell.send(Ok(1)).unwrap();
            assert!(!waited, "one key waits for another");
            assert_eq!(*quick.unwrap().unwrap(), 2);
            assert_eq!(*slow.join().unwrap().unwrap().unwrap(), 1);
        });
    }

    #[test]
    fn a_key_that_many_want_is_loaded_once_and_again_when_nobody_has_it() {
        let shelf = Numbers::default();
        let (loads, barrier) = (AtomicUsize::new(0), Barrier::new(8));
        let load = || {
            shelf.get_or_load("a", || {
                std::thread::sleep(Duration::from_millis(20));
                Ok(loads.fetch_add(1, Ordering::SeqCst))
            })
        };
        std::thread::scope(|s| {
            // They hold what they get until all have it.
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    s.spawn(|| {
                        barrier.wait();
                        let got = load().unwrap();
                        barrier.wait();
                        *got
                    })
                })
                .collect();
            threads.into_iter().for_each(|t| assert_eq!(t.join().unwrap(), 0));
        });
        assert_eq!(*load().unwrap(), 1);
        shelf.get_or_load("b", || Ok(0)).unwrap();
        assert!(!lock(&shelf.0).contains_key("a"), "nobody has it");
    }

    #[test]
    fn who_waits_for_a_load_that_fails_gets_its_error_and_who_comes_later_tries_again() {
        let shelf = Numbers::default();
        std::thread::scope(|s| {
            let (tell, first) = begin(s, &shelf, "a");
            let waiting: Vec<_> =
                (0..3).map(|_| s.spawn(|| shelf.get_or_load("a", || panic!("it waits")))).collect();
            crowd(&shelf, "a", 4);
            tell.send(Err(Error::new(ErrorKind::ModelInvalid, "broken"))).unwrap();
            assert_eq!(first.join().unwrap().unwrap().unwrap_err().text, "broken");
            for thread in waiting {
                assert_eq!(thread.join().unwrap().unwrap_err().text, "broken");
            }
        });
        assert_eq!(*shelf.get_or_load("a", || Ok(5)).unwrap(), 5);
    }

    #[test]
    fn a_load_that_panics_strands_nobody() {
        let shelf = Numbers::default();
        std::thread::scope(|s| {
            let (tell, first) = begin(s, &shelf, "a");
            let second = s.spawn(|| shelf.get_or_load("a", || Ok(7)));
            crowd(&shelf, "a", 2);
            drop(tell);
            assert!(first.join().unwrap().is_none(), "it panicked");
            assert_eq!(*second.join().unwrap().unwrap(), 7);
        });
    }
}
