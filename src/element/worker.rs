//! The thread that runs the network. The streaming thread submits frames and waits for their masks for as long as it likes.
//!
//! One run is under way at a time. In sync mode frames queue for it; in async mode a newer frame replaces the one that waits.

#[cfg(test)]
mod tests;
mod thread;

use crate::error::Result;
use crate::mask::Mask;
use crate::matte::{Matting, Times};
use crate::models::Network;
use crate::runtime::Cancel;
use crate::subjects::{Asked, Found};
use crate::sync::{lock, wait, wait_for};
use gst_video::VideoInfo;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thread::{dead_error, spawn};

/// How long [`Worker::stop`] waits for a run that does not react to being cancelled.
const PATIENCE: Duration = Duration::from_millis(120);

/// A frame to run the network on.
pub struct Job {
    /// The frame's number in [`Flow`](super::flow::Flow).
    pub number: u64,
    pub buffer: gst::Buffer,
    pub info: VideoInfo,
    /// Who is left in the mask.
    pub asked: Asked,
    /// Before this frame the network forgets the earlier ones.
    pub breaks_history: bool,
    /// It does so because of a cut: who is who is forgotten as well.
    pub cut: bool,
    /// Later frames, which a network that remembers is shown before this one: this one, then these, and back again. So it knows
    /// the scene when it begins.
    pub ahead: Vec<gst::Buffer>,
    /// For the tests: called in the thread, where nothing catches a panic.
    #[cfg(test)]
    pub probe: Option<Box<dyn FnOnce() + Send>>,
}

/// The result of a job.
pub struct JobResult {
    pub number: u64,
    /// The frame's timestamp.
    pub time: Option<gst::ClockTime>,
    pub mask: Result<Mask>,
    /// Who was to be left in it; and who is there, where that is not everybody.
    pub asked: Asked,
    pub found: Option<Found>,
    pub times: Times,
    /// The provider failed, for this reason: the network now runs on the CPU.
    pub fallback: Option<(Network, String)>,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// Nothing is pending for this frame or an earlier one.
    Done,
    TimedOut,
    /// By a flush, or the end of the stream.
    Interrupted,
}

/// When a mask should be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// None is pending.
    Nothing,
    /// By the mean duration of runs.
    At(Instant),
    /// The first run is under way, since then.
    Unknown { since: Instant },
}

pub struct Worker {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    slot: Mutex<Slot>,
    changed: Condvar,
}

#[derive(Default)]
struct Slot {
    /// `None` while the thread runs it.
    matting: Option<Matting>,
    pending: VecDeque<Job>,
    /// A job with `breaks_history` or `cut` was dropped before it ran: the next one takes it over.
    breaks_history: bool,
    cut: bool,
    running: Option<Running>,
    done: VecDeque<JobResult>,
    /// Counts [`Worker::set_matting`] and [`Worker::reset`]: the network's state is reset after a run that began before.
    epoch: u64,
    /// Counts [`Worker::set_matting`].
    networks: u64,
    /// The mean duration of runs.
    usual: Option<Duration>,
    /// Since when a job has been waiting; one that replaces it goes on counting.
    waiting: Option<Instant>,
    /// A flush and the end of the stream overlap, so each has a flag.
    flushing: bool,
    halted: bool,
    /// The network runs at a lower priority, since the stream does not wait for it.
    low_priority: bool,
    /// Ends a run that the streaming thread does by itself.
    own_run: Cancel,
    /// Counts the threads: all but the newest end after their run.
    threads: u64,
    quit: bool,
    ended: bool,
    /// The thread has panicked: nothing runs any more.
    dead: bool,
}

struct Running {
    number: u64,
    since: Instant,
    cancel: Cancel,
    /// Nobody waits for it.
    abandoned: bool,
    /// It timed out.
    stuck: bool,
}

impl Slot {
    fn interrupted(&self) -> bool {
        self.flushing || self.halted || self.quit
    }

    /// Whether a job for frame `number` or an earlier one is running or queued.
    fn has_pending(&self, number: u64) -> bool {
        let running = self.running.as_ref().filter(|r| !r.abandoned).map(|r| r.number);
        let pending = self.pending.iter().map(|j| j.number);
        running.into_iter().chain(pending).any(|n| n <= number)
    }

    fn clear(&mut self) -> VecDeque<Job> {
        self.epoch += 1;
        self.done.clear();
        (self.waiting, self.breaks_history, self.cut) = (None, false, false);
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
    /// [`crate::error::ErrorKind::Inference`] when the system gives no thread.
    pub fn start() -> Result<Self> {
        let shared = Arc::new(Shared { slot: Mutex::default(), changed: Condvar::new() });
        let thread = spawn(&shared, 0)?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Installs a network, or none. Jobs that were submitted before are dropped.
    pub fn set_matting(&self, mut matting: Option<Matting>) {
        let mut slot = lock(&self.shared.slot);
        if let (Some(new), Some(old)) = (&mut matting, &mut slot.matting) {
            new.adopt(old);
        }
        let dropped = slot.clear();
        slot.networks += 1;
        slot.usual = None;
        let old = std::mem::replace(&mut slot.matting, matting);
        drop(slot);
        drop((dropped, old));
    }

    /// Drops all jobs and resets the network's state.
    pub fn reset(&self) {
        let mut slot = lock(&self.shared.slot);
        let dropped = slot.clear();
        if let Some(matting) = &mut slot.matting {
            matting.reset();
        }
        drop(slot);
        drop(dropped);
    }

    /// Sets whether the network runs at a lower priority than the stream, from the next run on.
    pub fn set_low_priority(&self, low_priority: bool) {
        let mut slot = lock(&self.shared.slot);
        if slot.low_priority == low_priority {
            return;
        }
        slot.low_priority = low_priority;
        if low_priority || slot.quit || slot.dead {
            return;
        }
        // Linux lets a thread lower its priority but not raise it again, so another thread takes over. If there is none
        // to be had, the old one goes on.
        if let Ok(new) = spawn(&self.shared, slot.threads + 1) {
            slot.threads += 1;
            drop(slot);
            drop(lock(&self.thread).replace(new));
            self.shared.changed.notify_all();
        }
    }

    /// Submits a frame, behind those that are queued, or instead of them if it `replaces` them.
    pub fn submit(&self, mut job: Job, replaces: bool) {
        let mut slot = lock(&self.shared.slot);
        if slot.interrupted() {
            return;
        }
        if slot.dead {
            slot.done.push_back(JobResult::failed(&job, dead_error()));
            return;
        }
        let older = if replaces { std::mem::take(&mut slot.pending) } else { VecDeque::new() };
        slot.breaks_history |= older.iter().any(|j| j.breaks_history);
        slot.cut |= older.iter().any(|j| j.cut);
        // What a detector has found is not lost with a job that is not run.
        if let Some(found) = older.iter().rev().map(|j| &j.asked.regions).find(|r| !r.is_empty())
            && job.asked.regions.is_empty()
        {
            job.asked.regions.clone_from(found);
        }
        slot.waiting.get_or_insert_with(Instant::now);
        slot.pending.push_back(job);
        drop(slot);
        self.shared.changed.notify_all();
        drop(older);
    }

    /// Ends a run that the streaming thread does by itself, when a flush or the end of the stream comes.
    pub fn cancel_of_own_run(&self) -> Cancel {
        lock(&self.shared.slot).own_run.clone()
    }

    /// Whether a flush or the end of the stream is under way.
    pub fn is_interrupted(&self) -> bool {
        lock(&self.shared.slot).interrupted()
    }

    /// Waits until nothing is pending for frame `number` or an earlier one, but not beyond `until`.
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

    /// When the mask for frame `number` should be there.
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

    /// Takes the results for frames up to `number`, oldest first.
    pub fn take(&self, number: u64) -> Vec<JobResult> {
        let mut slot = lock(&self.shared.slot);
        let n = slot.done.iter().take_while(|d| d.number <= number).count();
        slot.done.drain(..n).collect()
    }

    /// The mask of a frame that has not been taken yet.
    pub fn mask(&self, number: u64) -> Option<Mask> {
        let slot = lock(&self.shared.slot);
        let done = slot.done.iter().find(|d| d.number == number);
        done.and_then(|d| d.mask.as_ref().ok()).cloned()
    }

    /// The frames whose jobs are queued or running, or whose results wait to be taken.
    pub fn pending_frames(&self) -> Vec<u64> {
        let slot = lock(&self.shared.slot);
        let running = slot.running.as_ref().filter(|r| !r.abandoned).map(|r| r.number);
        let pending = slot.pending.iter().map(|j| j.number);
        slot.done.iter().map(|d| d.number).chain(running).chain(pending).collect()
    }

    /// Cancels the present run if it has taken longer than `limit`, or a job has waited for longer; whether it did.
    pub fn time_out_after(&self, limit: Duration) -> bool {
        let mut slot = lock(&self.shared.slot);
        let run = slot.running.as_ref().filter(|r| !r.abandoned).map(|r| r.since);
        let late = [run, slot.waiting].into_iter().flatten().any(|since| since.elapsed() > limit);
        if late {
            slot.time_out();
            // The next timeout comes a whole limit later.
            slot.waiting = slot.waiting.map(|_| Instant::now());
        }
        late
    }

    /// Cancels the present run because frame `number` has waited too long; `false` if its result has just come.
    pub fn time_out(&self, number: u64) -> bool {
        let mut slot = lock(&self.shared.slot);
        let late = slot.has_pending(number);
        let mut dropped: Vec<Job> = Vec::new();
        if late {
            slot.time_out();
            // Its own job is not run later either.
            let later = slot.pending.iter().take_while(|j| j.number <= number).count();
            dropped.extend(slot.pending.drain(..later));
            slot.breaks_history |= dropped.iter().any(|j| j.breaks_history);
            slot.cut |= dropped.iter().any(|j| j.cut);
            slot.waiting = slot.waiting.filter(|_| !slot.pending.is_empty());
        }
        drop(slot);
        drop(dropped);
        late
    }

    /// The mean duration of runs; `None` before the first one has ended.
    pub fn usual(&self) -> Option<Duration> {
        lock(&self.shared.slot).usual
    }

    /// Whether a run that timed out still occupies the thread.
    pub fn is_stuck(&self) -> bool {
        lock(&self.shared.slot).running.as_ref().is_some_and(|r| r.stuck)
    }

    /// FLUSH_START: wakes whoever waits, and drops all jobs, until [`Worker::flush_stop`].
    pub fn flush_start(&self) {
        self.interrupt(|slot| slot.flushing = true);
    }

    /// FLUSH_STOP: takes jobs again, unless halted.
    pub fn flush_stop(&self) {
        let mut slot = lock(&self.shared.slot);
        slot.flushing = false;
        slot.own_run = Cancel::default();
    }

    /// PAUSED to READY: the same as a flush, until [`Worker::resume`].
    pub fn halt(&self) {
        self.interrupt(|slot| slot.halted = true);
    }

    /// READY to PAUSED.
    pub fn resume(&self) {
        let mut slot = lock(&self.shared.slot);
        (slot.flushing, slot.halted) = (false, false);
        slot.own_run = Cancel::default();
    }

    fn interrupt(&self, why: impl FnOnce(&mut Slot)) {
        let mut slot = lock(&self.shared.slot);
        why(&mut slot);
        slot.own_run.call();
        let dropped = slot.clear();
        drop(slot);
        self.shared.changed.notify_all();
        drop(dropped);
    }

    /// Ends the thread. If its run does not react to being cancelled in time, the thread is left to end by itself.
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
