//! The thread that runs the network: the stream waits for it as long as it chooses to, and no longer.
//!
//! One run is under way at a time. Frames wait for their turn in line, or one at most, whose place a newer one takes.

use super::frames;
use super::state::unreadable;
use crate::error::{Error, Kind, Result};
use crate::matte::{Mask, Matting, Times};
use crate::models::Network;
use crate::runtime::{self, Cancel, Runtime};
use crate::sync::{lock, wait, wait_for};
use gst_video::{VideoFrameRef, VideoInfo};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

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

/// A thread that runs the network, the newest from now on.
fn spawn(shared: &Arc<Shared>, runtime: &'static Runtime, number: u64) -> Result<JoinHandle<()>> {
    let own = Arc::clone(shared);
    std::thread::Builder::new()
        .name("bgremove-network".into())
        .spawn(move || {
            let end = ThreadEnd { shared: &own, number };
            own.run_jobs(runtime, number);
            drop(end);
        })
        .map_err(|e| Error::new(Kind::Inference, format!("no thread for the network: {e}")))
}

/// The end of a thread, however it comes: whoever waits for it hears of it.
struct ThreadEnd<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for ThreadEnd<'_> {
    fn drop(&mut self) {
        let mut slot = lock(&self.shared.slot);
        let newest = slot.threads == self.number;
        slot.ended |= newest;
        let mut dropped = VecDeque::new();
        if std::thread::panicking() {
            slot.dead = true;
            let running = slot.running.take().filter(|r| !r.abandoned);
            if let Some(running) = running {
                slot.done.push_back(JobResult {
                    number: running.number,
                    time: None,
                    mask: Err(dead_error()),
                    times: Times::default(),
                    fallback: None,
                });
            }
            dropped = std::mem::take(&mut slot.pending);
            slot.done.extend(dropped.iter().map(|job| JobResult::failed(job, dead_error())));
        }
        drop(slot);
        self.shared.changed.notify_all();
        drop(dropped);
    }
}

fn dead_error() -> Error {
    Error::new(Kind::Inference, "the network's thread has ended by a panic; please report this")
}

impl JobResult {
    /// Of a job that nothing came of.
    fn failed(job: &Job, why: Error) -> Self {
        JobResult {
            number: job.number,
            time: job.buffer.pts(),
            mask: Err(why),
            times: Times::default(),
            fallback: None,
        }
    }
}

impl Shared {
    fn run_jobs(&self, runtime: &'static Runtime, number: u64) {
        let mut slot = lock(&self.slot);
        let mut stepped_back = None;
        loop {
            if slot.quit || slot.threads != number {
                return;
            }
            // The thread whose place this one takes may still be at its last run.
            let ready = !slot.pending.is_empty() && slot.running.is_none();
            let Some(mut matting) = slot.matting.take_if(|_| ready) else {
                slot = wait(&self.changed, slot);
                continue;
            };
            let Some(mut job) = slot.pending.pop_front() else { continue };
            job.fresh |= std::mem::take(&mut slot.fresh);
            let (epoch, networks, cancel) = (slot.epoch, slot.networks, Cancel::default());
            let since = Instant::now();
            slot.running = Some(Running {
                number: job.number,
                since,
                cancel: cancel.clone(),
                abandoned: false,
                stuck: false,
            });
            slot.waiting = (!slot.pending.is_empty()).then_some(since);
            let behind = slot.behind;
            drop(slot);
            if behind && stepped_back != Some(networks) {
                stepped_back = Some(networks);
                runtime::step_back_here();
            }

            #[cfg(test)]
            let job = {
                let mut job = job;
                job.probe.take().into_iter().for_each(|probe| probe());
                job
            };
            let done = catch_unwind(AssertUnwindSafe(|| infer(&mut matting, &job, &cancel, runtime)));
            let done = done.unwrap_or_else(|_| {
                // It may have been left half done.
                matting.renew();
                let why = "the network's thread panicked; please report this";
                JobResult::failed(&job, Error::new(Kind::Inference, why))
            });
            drop(job);

            slot = lock(&self.slot);
            let abandoned = slot.running.take().is_none_or(|r| r.abandoned);
            let mut spare = None;
            if slot.networks == networks {
                if slot.epoch != epoch {
                    matting.reset();
                }
                slot.matting = Some(matting);
            } else {
                spare = Some(matting);
            }
            if !abandoned {
                if done.mask.is_ok() {
                    let took = done.times.total();
                    slot.usual = Some(slot.usual.map_or(took, |u| (u * 7 + took) / 8));
                }
                slot.done.push_back(done);
            }
            self.changed.notify_all();
            if spare.is_some() {
                // A network is let go without the lock.
                drop(slot);
                drop(spare);
                slot = lock(&self.slot);
            }
        }
    }
}

/// Runs the network on a frame; where its provider fails, once more on the CPU.
fn infer(matting: &mut Matting, job: &Job, cancel: &Cancel, runtime: &Runtime) -> JobResult {
    let mut done = JobResult::failed(job, unreadable("the incoming buffer"));
    if job.fresh {
        matting.reset();
    }
    let Ok(mapped) = VideoFrameRef::from_buffer_ref_readable(&job.buffer, &job.info) else { return done };
    let Some(frame) = frames::read(&mapped, &job.info) else { return done };
    done.mask = matting.run(&frame, cancel).map(std::mem::take);
    if let Err(e) = &done.mask
        && matches!(e.kind, Kind::Inference | Kind::Unsuited)
        && let Some(Ok(network)) = matting.network().on_cpu(runtime)
    {
        let (why, unsuited, before) = (e.text.clone(), e.kind == Kind::Unsuited, matting.network().clone());
        matting.replace(network.clone());
        done.mask = matting.run(&frame, cancel).map(std::mem::take);
        if unsuited && done.mask.is_err() {
            // It is the network's own fault.
            matting.replace(before);
        } else {
            done.fallback = Some((network, why));
        }
    }
    done.times = matting.times();
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(number: u64) -> Job {
        let info = VideoInfo::builder(gst_video::VideoFormat::Rgb, 16, 16).build().unwrap();
        Job { number, buffer: gst::Buffer::new(), info, fresh: false, probe: None }
    }

    #[test]
    fn the_end_of_a_flush_is_not_the_end_of_a_stop() {
        gst::init().unwrap();
        let worker = Worker::start(runtime::open(None).unwrap()).unwrap();
        let soon = || Some(Instant::now() + Duration::from_millis(5));
        // Nobody has given it a network: the job waits.
        worker.submit(job(0), true);
        assert_eq!(worker.wait(0, soon()), Waited::TimedOut);
        worker.flush();
        assert_eq!(worker.wait(0, soon()), Waited::Interrupted);
        worker.flushed();
        assert_eq!(worker.wait(0, soon()), Waited::Done, "forgotten");
        worker.submit(job(1), true);
        // A seek is under way while the stream ends.
        worker.flush();
        worker.halt();
        worker.flushed();
        worker.submit(job(2), true);
        assert_eq!(worker.wait(2, None), Waited::Interrupted);
        worker.resume();
        worker.submit(job(3), true);
        assert_eq!(worker.wait(3, soon()), Waited::TimedOut);
    }

    /// A worker with a network that is there.
    fn with_network() -> Worker {
        gst::init().unwrap();
        let runtime = runtime::open(None).unwrap();
        let choice = crate::models::resolve("light", None).unwrap();
        let network = Network::load(runtime, &choice, &runtime::Provider::Cpu.into(), 1, false).unwrap();
        let worker = Worker::start(runtime).unwrap();
        worker.set_matting(Matting::new(network, 0, false));
        worker
    }

    fn until_it_runs(worker: &Worker) {
        while lock(&worker.shared.slot).running.is_none() {
            std::thread::yield_now();
        }
    }

    fn probed(number: u64, probe: impl FnOnce() + Send + 'static) -> Job {
        Job { probe: Some(Box::new(probe)), ..job(number) }
    }

    #[test]
    fn a_result_that_has_just_come_is_not_given_up() {
        let worker = with_network();
        worker.submit(job(0), true);
        assert_eq!(worker.wait(0, None), Waited::Done);
        // Between the end of a wait and giving up, the result may come; here it is there.
        assert!(!worker.time_out(0));
        assert_eq!(worker.take(0).len(), 1);
        let (tx, rx) = std::sync::mpsc::channel::<()>();
        worker.submit(probed(1, move || assert!(rx.recv().is_err())), true);
        let soon = Instant::now() + Duration::from_millis(20);
        assert_eq!(worker.wait(1, Some(soon)), Waited::TimedOut);
        assert!(worker.time_out(1), "nothing has come");
        drop(tx);
    }

    #[test]
    fn jobs_are_done_in_line_unless_one_replaces_them() {
        let worker = with_network();
        let (tx, rx) = std::sync::mpsc::channel::<()>();
        worker.submit(probed(0, move || assert!(rx.recv().is_err())), false);
        (1..4).for_each(|n| worker.submit(job(n), false));
        assert_eq!(worker.pending_frames(), [0, 1, 2, 3]);
        drop(tx);
        assert_eq!(worker.wait(3, None), Waited::Done);
        assert_eq!(worker.take(3).iter().map(|d| d.number).collect::<Vec<_>>(), [0, 1, 2, 3]);
        let (tx, rx) = std::sync::mpsc::channel::<()>();
        worker.submit(probed(4, move || assert!(rx.recv().is_err())), false);
        until_it_runs(&worker);
        worker.submit(Job { fresh: true, ..job(5) }, false);
        worker.submit(job(6), true);
        assert_eq!(worker.pending_frames(), [4, 6]);
        assert!(lock(&worker.shared.slot).fresh, "what was before the one that it replaces is not forgotten");
        drop(tx);
        assert_eq!(worker.wait(6, None), Waited::Done);
        assert!(!lock(&worker.shared.slot).fresh, "it has been heeded");
        // One that is given up before its turn is not run, nor is what it was to forget kept.
        worker.take(6);
        let (tx, rx) = std::sync::mpsc::channel::<()>();
        worker.submit(probed(7, move || assert!(rx.recv().is_err())), false);
        until_it_runs(&worker);
        worker.submit(Job { fresh: true, ..job(8) }, false);
        worker.submit(job(9), false);
        assert!(worker.time_out(8));
        assert!(lock(&worker.shared.slot).fresh);
        drop(tx);
        assert_eq!(worker.wait(9, None), Waited::Done);
        assert_eq!(worker.take(9).iter().map(|d| d.number).collect::<Vec<_>>(), [9]);
        assert!(!lock(&worker.shared.slot).fresh && lock(&worker.shared.slot).waiting.is_none());
    }

    #[test]
    fn a_panic_of_the_thread_leaves_nobody_waiting() {
        let worker = with_network();
        let (tx, rx) = std::sync::mpsc::channel::<()>();
        worker.submit(
            probed(0, move || {
                let _ = rx.recv();
                panic!("a test wants it");
            }),
            true,
        );
        until_it_runs(&worker);
        // One that waits for its turn, too.
        worker.submit(job(1), true);
        drop(tx);
        let limit = Some(Instant::now() + Duration::from_secs(30));
        assert_eq!(worker.wait(1, limit), Waited::Done);
        // And one that comes after.
        worker.submit(job(2), true);
        assert_eq!(worker.wait(2, limit), Waited::Done);
        let done = worker.take(2);
        assert_eq!(done.iter().map(|d| d.number).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(done.iter().all(|d| d.mask.as_ref().is_err_and(|e| e.text.contains("panic"))));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_thread_steps_back_for_a_live_stream_and_forward_again_for_one_that_waits() {
        let worker = with_network();
        let nice = |number| {
            let (tx, rx) = std::sync::mpsc::channel();
            // SAFETY: the call takes two numbers, which mean the calling thread.
            let probe = move || tx.send(unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }).unwrap();
            worker.submit(probed(number, probe), true);
            assert_eq!(worker.wait(number, None), Waited::Done);
            rx.recv().unwrap()
        };
        let before = nice(0);
        worker.set_behind(true);
        assert!(nice(1) > before);
        worker.set_behind(false);
        assert_eq!(nice(2), before);
        worker.set_behind(true);
        assert!(nice(3) > before);
    }

    #[test]
    fn what_waits_too_long_is_told_once_for_each_limit() {
        gst::init().unwrap();
        let worker = Worker::start(runtime::open(None).unwrap()).unwrap();
        let limit = Duration::from_millis(20);
        assert!(!worker.time_out_after(limit));
        worker.submit(job(0), true);
        std::thread::sleep(limit * 2);
        // A newer job in its place waits as long.
        worker.submit(job(1), true);
        assert!(worker.time_out_after(limit));
        assert!(!worker.time_out_after(Duration::from_secs(60)));
    }
}
