//! The thread that runs the network: the stream waits for it as long as it chooses to, and no longer.
//!
//! One run is under way at a time. Frames wait for their turn in line, or one at most, whose place a newer one takes.

#[cfg(test)]
mod tests;
mod thread;

use crate::error::Result;
use crate::matte::{Mask, Matting, Times};
use crate::models::Network;
use crate::runtime::{Cancel, Runtime};
use crate::sync::{lock, wait, wait_for};
use gst_video::VideoInfo;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thread::{dead_error, spawn};

/// How long [`Worker::stop`] waits for a run that does not heed its cancelling.
const PATIENCE: Duration = Duration::from_millis(120);

/// A frame to run the network on.
pub struct Job {
    /// Ascending from frame to frame.
    pub number: u64,
    pub buffer: gst::Buffer,
    pub info: VideoInfo,
    /// Forget earlier frames before this one.
    pub fresh: bool,
    /// For the tests: called in the thread, where nothing catches a panic.
    #[cfg(test)]
    pub probe: Option<Box<dyn FnOnce() + Send>>,
}

/// What came of a job.
pub struct JobResult {
    pub number: u64,
    /// The frame's timestamp.
    pub time: Option<gst::ClockTime>,
    pub mask: Result<Mask>,
    pub times: Times,
    /// The network failed where it ran, for this reason, and goes on on the CPU.
    pub fallback: Option<(Network, String)>,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// Nothing is under way any more for this frame or an earlier one.
    Done,
    TimedOut,
    /// By [`Worker::interrupt`].
    Interrupted,
}

/// When a mask should be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// None is under way.
    Nothing,
    /// By what runs usually take.
    At(Instant),
    /// It is the first run, which began then.
    Unknown { since: Instant },
}

pub struct Worker {
    shared: Arc<Shared>,
    runtime: &'static Runtime,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    slot: Mutex<Slot>,
    changed: Condvar,
}

#[derive(Default)]
struct Slot {
    /// Away while it runs.
    matting: Option<Matting>,
    /// In line for their turn.
    pending: VecDeque<Job>,
    /// One that was to forget earlier frames has not been run: the next one does.
    fresh: bool,
    running: Option<Running>,
    done: VecDeque<JobResult>,
    /// Counts [`Worker::set_matting`] and [`Worker::reset`]: what began before is not wanted after.
    epoch: u64,
    /// Counts [`Worker::set_matting`].
    networks: u64,
    /// What a run usually takes.
    usual: Option<Duration>,
    /// Since when the job that waits, or one whose place it has taken, has been waiting.
    waiting: Option<Instant>,
    /// By a flush, and by the end of the stream: the one may be over before the other.
    flushing: bool,
    halted: bool,
    /// The stream does not wait: its own work goes first.
    behind: bool,
    /// Counts the threads. One that is not the newest ends after its run.
    threads: u64,
    quit: bool,
    ended: bool,
    /// The thread has ended by itself: nothing runs any more.
    dead: bool,
}

struct Running {
    number: u64,
    since: Instant,
    cancel: Cancel,
    /// Nobody waits for it.
    abandoned: bool,
    /// It took too long, which is why.
    stuck: bool,
}

impl Slot {
    fn interrupted(&self) -> bool {
        self.flushing || self.halted || self.quit
    }

    /// Whether something is under way for frame `number` or an earlier one.
    fn has_pending(&self, number: u64) -> bool {
        let running = self.running.as_ref().filter(|r| !r.abandoned).map(|r| r.number);
        let pending = self.pending.iter().map(|j| j.number);
        running.into_iter().chain(pending).any(|n| n <= number)
    }

    fn clear(&mut self) -> VecDeque<Job> {
        self.epoch += 1;
        self.done.clear();
        (self.waiting, self.fresh) = (None, false);
        self.abandon();
        std::mem::take(&mut self.pending)
    }

    fn abandon(&mut self) {
        if let Some(running) = &mut self.running {
            running.abandoned = true;
            running.cancel.call();
        }
    }

    fn time_out(&mut self) {
        self.abandon();
        if let Some(running) = &mut self.running {
            running.stuck = true;
        }
    }
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`Kind::Inference`] when the system gives no thread.
    pub fn start(runtime: &'static Runtime) -> Result<Self> {
        let shared = Arc::new(Shared { slot: Mutex::default(), changed: Condvar::new() });
        let thread = spawn(&shared, runtime, 0)?;
        Ok(Self { shared, runtime, thread: Mutex::new(Some(thread)) })
    }

    /// A network for all frames from now on.
    pub fn set_matting(&self, matting: Matting) {
        let mut slot = lock(&self.shared.slot);
        let dropped = slot.clear();
        slot.networks += 1;
        slot.usual = None;
        let old = slot.matting.replace(matting);
        drop(slot);
        drop((dropped, old));
    }

    /// Forgets earlier frames and all that is under way.
    pub fn reset(&self) {
        let mut slot = lock(&self.shared.slot);
        let dropped = slot.clear();
        if let Some(matting) = &mut slot.matting {
            matting.reset();
        }
        drop(slot);
        drop(dropped);
    }

    /// Whether the stream's own work goes before the network's where cores are busy, from the next run on.
    pub fn set_behind(&self, behind: bool) {
        let mut slot = lock(&self.shared.slot);
        if slot.behind == behind {
            return;
        }
        slot.behind = behind;
        if behind || slot.quit || slot.dead {
            return;
        }
        // The system gives no way back to a thread that has stepped back: another one takes its place.
        // Without one the old one goes on, as it is.
        if let Ok(new) = spawn(&self.shared, self.runtime, slot.threads + 1) {
            slot.threads += 1;
            drop(slot);
            drop(lock(&self.thread).replace(new));
            self.shared.changed.notify_all();
        }
    }

    /// Asks for a frame's mask, after those that wait for their turn; or in place of these, if it `replaces` them.
    pub fn submit(&self, job: Job, replaces: bool) {
        let mut slot = lock(&self.shared.slot);
        if slot.interrupted() {
            return;
        }
        if slot.dead {
            slot.done.push_back(JobResult::failed(&job, dead_error()));
            return;
        }
        let older = if replaces { std::mem::take(&mut slot.pending) } else { VecDeque::new() };
        slot.fresh |= older.iter().any(|j| j.fresh);
        slot.waiting.get_or_insert_with(Instant::now);
        slot.pending.push_back(job);
        drop(slot);
        self.shared.changed.notify_all();
        drop(older);
    }

    /// Whether a flush or the end of the stream has begun: nobody shall wait.
    pub fn is_interrupted(&self) -> bool {
        lock(&self.shared.slot).interrupted()
    }

    /// Waits until nothing is under way any more for frame `number` or an earlier one, at most up to `until`.
    pub fn wait(&self, number: u64, until: Option<Instant>) -> Waited {
        let mut slot = lock(&self.shared.slot);
        loop {
            if slot.interrupted() {
                return Waited::Interrupted;
            }
            if !slot.has_pending(number) {
                return Waited::Done;
            }
            slot = match until.map(|t| t.saturating_duration_since(Instant::now())) {
                None => wait(&self.shared.changed, slot),
                Some(Duration::ZERO) => return Waited::TimedOut,
                Some(rest) => wait_for(&self.shared.changed, slot, rest),
            };
        }
    }

    /// When what is under way for frame `number` or an earlier one should be there.
    pub fn expected(&self, number: u64) -> Expected {
        let slot = lock(&self.shared.slot);
        if !slot.has_pending(number) {
            return Expected::Nothing;
        }
        let since = slot.running.as_ref().map_or_else(Instant::now, |r| r.since);
        match slot.usual {
            None => Expected::Unknown { since },
            Some(usual) => {
                let waits = slot.pending.iter().filter(|j| j.number <= number).count();
                Expected::At(since + usual * (1 + waits as u32))
            }
        }
    }

    /// Takes what is there for frames up to `number`, oldest first.
    pub fn take(&self, number: u64) -> Vec<JobResult> {
        let mut slot = lock(&self.shared.slot);
        let n = slot.done.iter().take_while(|d| d.number <= number).count();
        slot.done.drain(..n).collect()
    }

    /// The frames that a mask is under way for, or waits to be taken.
    pub fn pending_frames(&self) -> Vec<u64> {
        let slot = lock(&self.shared.slot);
        let running = slot.running.as_ref().filter(|r| !r.abandoned).map(|r| r.number);
        let pending = slot.pending.iter().map(|j| j.number);
        slot.done.iter().map(|d| d.number).chain(running).chain(pending).collect()
    }

    /// Gives up the present run if it, or the job that waits for it to end, has taken longer than `limit`.
    pub fn time_out_after(&self, limit: Duration) -> bool {
        let mut slot = lock(&self.shared.slot);
        let run = slot.running.as_ref().filter(|r| !r.abandoned).map(|r| r.since);
        let late = [run, slot.waiting].into_iter().flatten().any(|since| since.elapsed() > limit);
        if late {
            slot.time_out();
            // Once for each limit that it waits in vain.
            slot.waiting = slot.waiting.map(|_| Instant::now());
        }
        late
    }

    /// Gives up the present run, which takes too long, unless what it was to bring for frame `number` has come just
    /// now.
    pub fn time_out(&self, number: u64) -> bool {
        let mut slot = lock(&self.shared.slot);
        let late = slot.has_pending(number);
        let mut dropped: Vec<Job> = Vec::new();
        if late {
            slot.time_out();
            // Nor is it run when its turn comes.
            let later = slot.pending.iter().take_while(|j| j.number <= number).count();
            dropped.extend(slot.pending.drain(..later));
            slot.fresh |= dropped.iter().any(|j| j.fresh);
            slot.waiting = slot.waiting.filter(|_| !slot.pending.is_empty());
        }
        drop(slot);
        drop(dropped);
        late
    }

    /// What a run usually takes; `None` before the first one has ended.
    pub fn usual(&self) -> Option<Duration> {
        lock(&self.shared.slot).usual
    }

    /// Whether a run that has been given up still keeps the thread.
    pub fn is_stuck(&self) -> bool {
        lock(&self.shared.slot).running.as_ref().is_some_and(|r| r.stuck)
    }

    /// A flush begins: ends all waiting and all that is under way, until [`Worker::flushed`].
    pub fn flush(&self) {
        self.interrupt(|slot| slot.flushing = true);
    }

    /// The flush is over: takes jobs again, unless halted.
    pub fn flushed(&self) {
        lock(&self.shared.slot).flushing = false;
    }

    /// The stream ends: as a flush, until [`Worker::resume`].
    pub fn halt(&self) {
        self.interrupt(|slot| slot.halted = true);
    }

    /// A stream begins.
    pub fn resume(&self) {
        let mut slot = lock(&self.shared.slot);
        (slot.flushing, slot.halted) = (false, false);
    }

    fn interrupt(&self, why: impl FnOnce(&mut Slot)) {
        let mut slot = lock(&self.shared.slot);
        why(&mut slot);
        let dropped = slot.clear();
        drop(slot);
        self.shared.changed.notify_all();
        drop(dropped);
    }

    /// Ends the thread. A run that does not heed its cancelling in time ends by itself, and the thread with it.
    pub fn stop(&self) {
        let Some(thread) = lock(&self.thread).take() else { return };
        let mut slot = lock(&self.shared.slot);
        slot.quit = true;
        let dropped = slot.clear();
        self.shared.changed.notify_all();
        let until = Instant::now() + PATIENCE;
        while !slot.ended {
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                break;
            }
            slot = wait_for(&self.shared.changed, slot, rest);
        }
        let ended = slot.ended;
        drop(slot);
        drop(dropped);
        if ended {
            let _ = thread.join();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}
