//! The queue of frames: when the network runs, how long a frame waits, and which mask it gets.

use super::settings::Settings;
use super::worker::{Expected, Job, Worker};
use crate::frame::Frame;
use crate::mask::Mask;
use crate::temporal::{Carrier, Change, CutDetector};
use std::collections::VecDeque;
use std::mem::take;
use std::time::{Duration, Instant};

/// The most frames in the queue, whatever delay is asked for.
const MAX_QUEUED: usize = 64;
/// A gap in the timestamps after which earlier masks no longer hold.
const GAP: Duration = Duration::from_secs(1);
/// The duration of a frame where neither caps nor timestamps say it.
const DEFAULT_FRAME: Duration = Duration::from_millis(33);
/// In async mode a frame waits for its own mask for its duration divided by this, unless `matte-delay` gives it longer.
const WAIT: u32 = 4;
/// Frames that a network which remembers is shown before the first one of a scene, at most: more make it no better, and each is
/// two runs.
const MOST_AHEAD: usize = 4;

/// A frame in the queue.
pub struct QueuedFrame {
    pub number: u64,
    pub buffer: gst::Buffer,
    pub arrived: Instant,
    /// When this frame was submitted to the network, if it was.
    pub requested: Option<Instant>,
    /// Masks and history of earlier frames do not hold for it: a cut, a gap, a discontinuity.
    pub breaks_history: bool,
    /// The frame whose mask it reuses, since the settings skip inference for this one.
    pub reuses: Option<u64>,
}

/// Frames and serialised events leave in the order in which they came.
enum Item {
    Frame(QueuedFrame),
    Event(gst::Event),
}

/// When a frame is, in stream time and on the clock of this machine.
#[derive(Clone, Copy)]
struct Stamp {
    time: Option<gst::ClockTime>,
    at: Instant,
}

/// The newest mask.
struct LatestMask {
    number: u64,
    time: Option<gst::ClockTime>,
    mask: Mask,
    /// The newest frame that this mask is meant for: its own, or a later one that reuses it. Its age counts from there.
    covers: Stamp,
}

/// The last frame that was submitted to the network.
#[derive(Clone, Copy)]
struct LastRequest {
    number: u64,
    time: Option<gst::ClockTime>,
    at: Instant,
    /// Frames since then.
    frames: u32,
}

/// The order of frames and masks in one stream.
pub struct Flow {
    next: u64,
    queue: VecDeque<Item>,
    /// Of the segment: negative when the stream plays backwards.
    rate: f64,
    cuts: CutDetector,
    carrier: Carrier,
    change: Change,
    latest: Option<LatestMask>,
    /// Masks of frames before this one are ignored.
    valid_from: u64,
    last_request: Option<LastRequest>,
    /// The last frame's time, and the mean spacing of two.
    time: Option<gst::ClockTime>,
    spacing: Option<Duration>,
    /// No mask has come since an inference failed.
    pub failing: bool,
    /// Frames that begin scenes and are still queued: how many runs the mask of each takes, and since when.
    primed: Vec<(u64, u32, Instant)>,
    /// The first frames of a scene, whose jobs wait for each other (see [`Flow::prime`]).
    priming: Vec<Job>,
    /// In sync mode, when the wait for the last mask ended: the network has been free for the next frame since then.
    pub network_free: Option<Instant>,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            next: 0,
            queue: VecDeque::new(),
            rate: 1.0,
            cuts: CutDetector::default(),
            carrier: Carrier::default(),
            change: Change::default(),
            latest: None,
            valid_from: 0,
            last_request: None,
            time: None,
            spacing: None,
            failing: false,
            primed: Vec::new(),
            priming: Vec::new(),
            network_free: None,
        }
    }
}

/// What is decided about a frame when it is submitted.
pub struct Submitted {
    pub number: u64,
    /// The network runs for it.
    pub infer: bool,
    /// It is the first one that this network sees of the scene.
    pub first: bool,
    pub breaks_history: bool,
    pub cut: bool,
    /// The frame whose mask it reuses, if the network does not run.
    pub reuses: Option<u64>,
}

/// The mask for a frame that is about to leave.
pub struct SelectedMask {
    pub mask: Option<Mask>,
    /// How much older than the frame it is.
    pub age: Option<Duration>,
    /// It is not this frame's own.
    pub carried: bool,
    /// There is a mask, but it is older than `max-mask-age`: this is its age.
    pub outdated: Option<Duration>,
}

/// Whether the oldest frame leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Now,
    /// As soon as the network has nothing pending for it, and no later than this.
    By(Instant),
    /// Not before another frame has come.
    Later,
}

/// The duration of a frame by the caps.
pub fn frame_duration(fps: gst::Fraction) -> Option<Duration> {
    (fps.numer() > 0).then(|| Duration::from_secs_f64(f64::from(fps.denom()) / f64::from(fps.numer())))
}

/// How many frames a delay holds back.
pub fn frames_in_delay(delay: Duration, fps: gst::Fraction) -> usize {
    let duration = frame_duration(fps).unwrap_or(DEFAULT_FRAME);
    delay.as_nanos().div_ceil(duration.as_nanos().max(1)).min(MAX_QUEUED as u128) as usize
}

/// The delay that the queue can hold, for frames of this duration.
pub fn clamp_delay(wanted: Duration, duration: Duration) -> Duration {
    wanted.min(duration.saturating_mul(MAX_QUEUED as u32))
}

impl Flow {
    /// Forgets all frames and masks; returns the events that were queued among them.
    pub fn reset(&mut self) -> Vec<gst::Event> {
        let queue = take(&mut self.queue);
        *self = Self { next: self.next, valid_from: self.next, rate: self.rate, ..Self::default() };
        queue
            .into_iter()
            .filter_map(|item| match item {
                Item::Event(event) => Some(event),
                Item::Frame(_) => None,
            })
            .collect()
    }

    /// The rate of the segment that the next frames belong to.
    pub fn set_rate(&mut self, rate: f64) {
        if rate.is_finite() && rate != 0.0 {
            self.rate = rate;
        }
    }

    /// How long it takes to play from one time to another; `None` if the second comes before the first.
    fn playing_time(&self, from: gst::ClockTime, to: gst::ClockTime) -> Option<Duration> {
        let (from, to) = if self.rate < 0.0 { (to, from) } else { (from, to) };
        let played = to.checked_sub(from)?.nseconds() as f64 / self.rate.abs();
        Some(Duration::try_from_secs_f64(played / 1e9).unwrap_or(Duration::MAX))
    }

    /// How much later one frame is than another; by the machine's clock where they have no timestamps.
    fn since(&self, from: Stamp, to: Stamp) -> Duration {
        match (from.time, to.time) {
            (Some(a), Some(b)) => self.playing_time(a, b).unwrap_or_default(),
            _ => to.at.saturating_duration_since(from.at),
        }
    }

    /// Another network has been installed: the next frame is inferred. The old network's mask serves until then.
    pub fn network_changed(&mut self) {
        self.last_request = None;
        // So that `reuse-threshold` does not skip it.
        self.change = Change::default();
    }

    /// Numbers the next frame and decides about it. The caller submits it to the network if need be, then queues it.
    pub fn submit(
        &mut self,
        frame: &Frame<'_>,
        time: Option<gst::ClockTime>,
        discont: bool,
        settings: &Settings,
        live: bool,
    ) -> Submitted {
        let number = self.next;
        self.next += 1;
        let cut = self.cuts.is_cut(frame) && settings.scene_detection;
        let step = match (self.time, time) {
            (Some(before), Some(now)) => Some(self.playing_time(before, now)),
            _ => None,
        };
        let gap = matches!(step, Some(step) if step.is_none_or(|s| s > GAP));
        if let (Some(Some(step)), false) = (step, gap) {
            self.spacing = Some(self.spacing.map_or(step, |d| (d * 7 + step) / 8));
        }
        self.time = time;
        // Live sources set DISCONT at every lost packet, where the cut detector is the better judge. In reverse
        // playback each group of pictures begins with it, though nothing is missing.
        let breaks = discont && !settings.is_async(live) && self.rate > 0.0;
        let breaks_history = number > 0 && (cut || gap || breaks);
        if let Some(request) = &mut self.last_request {
            request.frames += 1;
        }
        let now = Stamp { time, at: Instant::now() };
        let due = self.last_request.is_none_or(|request| {
            let rate = match settings.max_rate {
                // A rate so low that no stream lasts long enough.
                r if r > 0.0 => Duration::try_from_secs_f64(1.0 / r).unwrap_or(Duration::MAX),
                _ => Duration::ZERO,
            };
            let since = self.since(Stamp { time: request.time, at: request.at }, now);
            request.frames >= settings.interval && since.saturating_add(Duration::from_millis(1)) >= rate
        });
        let reuse = settings.reuse_threshold > 0.0
            && self.change.since_kept(frame).is_some_and(|c| c <= settings.reuse_threshold);
        let infer = breaks_history || (due && !reuse);
        let first = breaks_history || self.last_request.is_none();
        if infer {
            self.last_request = Some(LastRequest { number, time, at: now.at, frames: 0 });
            if settings.reuse_threshold > 0.0 {
                self.change.keep(frame);
            }
        }
        let reuses = self.last_request.map(|request| request.number).filter(|_| !infer);
        Submitted { number, infer, first, breaks_history, cut, reuses }
    }

    /// Keeps a job back if its frame `begins` a scene of a network that remembers: that is shown the frame and the next ones
    /// first, so that it knows the scene. While one is kept back, so are all after it, since results come in the order of jobs.
    /// [`Flow::submit_primed`] submits them. Gives back a job that need not wait.
    pub fn prime(&mut self, job: Job, begins: bool) -> Option<Job> {
        if !begins && self.priming.is_empty() {
            return Some(job);
        }
        self.priming.push(job);
        None
    }

    /// Submits the jobs that were kept back, if the first of them is frame `due` or one before it: that one is shown the
    /// next ones first.
    pub fn submit_primed(&mut self, worker: &Worker, due: u64) {
        if self.priming.first().is_none_or(|job| job.number > due) {
            return;
        }
        let mut jobs = std::mem::take(&mut self.priming);
        let Some((first, later)) = jobs.split_first_mut() else { return };
        first.ahead = later.iter().take(MOST_AHEAD).map(|job| job.buffer.clone()).collect();
        // Its first sight is two runs; then there and back.
        self.primed.push((first.number, 2 + 2 * first.ahead.len() as u32, Instant::now()));
        jobs.into_iter().for_each(|job| worker.submit(job, false));
    }

    /// How many runs a frame's mask takes, if it is not one, and since when; it leaves the queue.
    pub fn take_primed(&mut self, number: u64) -> Option<(u32, Instant)> {
        let primed = self.primed.iter().find(|(n, ..)| *n == number).map(|(_, runs, since)| (*runs, *since));
        self.primed.retain(|(n, ..)| *n > number);
        primed
    }

    /// How many frames are queued.
    pub fn queued(&self) -> usize {
        self.queue.iter().filter(|item| matches!(item, Item::Frame(_))).count()
    }

    pub fn queue_frame(&mut self, held: QueuedFrame) {
        self.queue.push_back(Item::Frame(held));
    }

    /// Queues an event behind the frames; returns it if there are none.
    pub fn queue_event(&mut self, event: gst::Event) -> Option<gst::Event> {
        if self.queue.is_empty() {
            return Some(event);
        }
        self.queue.push_back(Item::Event(event));
        None
    }

    /// Takes the first event, unless a frame is before it.
    pub fn pop_event(&mut self) -> Option<gst::Event> {
        match self.queue.pop_front() {
            Some(Item::Event(event)) => Some(event),
            Some(frame) => {
                self.queue.push_front(frame);
                None
            }
            None => None,
        }
    }

    pub fn oldest(&self) -> Option<&QueuedFrame> {
        self.queue.iter().find_map(|item| match item {
            Item::Frame(held) => Some(held),
            Item::Event(_) => None,
        })
    }

    /// The newest frame in the queue.
    fn newest(&self) -> Option<&QueuedFrame> {
        self.queue.iter().rev().find_map(|item| match item {
            Item::Frame(held) => Some(held),
            Item::Event(_) => None,
        })
    }

    /// The next frames in the queue, so many at most, that are of the same scene and have an inference of their own.
    pub fn following(&self, most: usize) -> Vec<(u64, gst::Buffer)> {
        let frames = self.queue.iter().filter_map(|item| match item {
            Item::Frame(held) => Some(held),
            Item::Event(_) => None,
        });
        let alike = frames.take(most).take_while(|held| !held.breaks_history && held.requested.is_some());
        alike.map(|held| (held.number, held.buffer.clone())).collect()
    }

    /// The mask of this frame itself, if it has come.
    pub fn own_mask(&self, number: u64) -> Option<&Mask> {
        self.latest.as_ref().filter(|latest| latest.number == number).map(|latest| &latest.mask)
    }

    /// Takes the first frame, unless an event is before it.
    pub fn pop_frame(&mut self) -> Option<QueuedFrame> {
        match self.queue.pop_front() {
            Some(Item::Frame(held)) => Some(held),
            Some(event) => {
                self.queue.push_front(event);
                None
            }
            None => None,
        }
    }

    /// The duration of a frame: by the caps, else by the timestamps.
    pub fn frame_duration(&self, fps: gst::Fraction) -> Duration {
        let told = frame_duration(fps)
            .map(|l| Duration::try_from_secs_f64(l.as_secs_f64() / self.rate.abs()).unwrap_or(Duration::MAX));
        told.or(self.spacing).filter(|d| !d.is_zero()).unwrap_or(DEFAULT_FRAME)
    }

    /// In sync mode, whether the oldest frame leaves.
    pub fn due_in_sync(&self, lookahead: usize) -> Due {
        if self.queued() > lookahead { Due::Now } else { Due::Later }
    }

    /// In async mode, whether the oldest frame leaves.
    pub fn due(&self, worker: &Worker, delay: Duration, duration: Duration) -> Due {
        let Some(oldest) = self.oldest() else { return Due::Later };
        if self.queued() > MAX_QUEUED {
            return Due::Now;
        }
        let delay = clamp_delay(delay, duration);
        let now = Instant::now();
        // Before the first mask nothing can be shown, so a frame waits for as long as it lasts.
        let nothing = self.latest.is_none() && !self.failing;
        let patience = if nothing { duration } else { duration / WAIT };
        let budget = delay.max(patience);
        let until = oldest.arrived + budget;
        let comes = match worker.expected(oldest.number) {
            Expected::Nothing => false,
            // Wait only if the mask should come in time, and is not overdue already.
            Expected::At(at) => at <= until + budget / 4 && now < at + budget,
            // The first run: nobody knows how long it takes. One frame waits to find out.
            Expected::Unknown { since } => now < since + budget,
        };
        if !comes || until <= now {
            return Due::Now;
        }
        // Waiting here blocks the streaming thread: not for longer than until the next frame comes.
        let next = self.newest().map_or(now, |h| h.arrived + duration);
        if until > next.max(now + duration / WAIT) { Due::Later } else { Due::By(until) }
    }

    /// Keeps a mask that has come, if it is the newest. `took`: how long ago its frame was submitted.
    pub fn put_mask(&mut self, number: u64, time: Option<gst::ClockTime>, took: Duration, mask: Mask) {
        self.failing = false;
        if number < self.valid_from || self.latest.as_ref().is_some_and(|l| l.number > number) {
            return;
        }
        let now = Instant::now();
        let covers = Stamp { time, at: now.checked_sub(took).unwrap_or(now) };
        self.latest = Some(LatestMask { number, time, mask, covers });
    }

    /// An inference failed: without `keep`, no mask is shown until another one comes.
    pub fn mask_failed(&mut self, keep: bool) {
        self.failing = true;
        if !keep {
            self.latest = None;
        }
    }

    /// Forgets the masks and the motion of frames before this one. To be called before its own mask is put.
    pub fn forget_before(&mut self, number: u64) {
        self.valid_from = number;
        self.latest.take_if(|l| l.number < number);
        self.carrier.reset();
    }

    /// The mask for a frame: its own, or the newest one, carried to it along the motion. Each frame has to come here in
    /// turn. `reuses_masks`: some frames have no mask of their own. `pending`: frames whose masks are still to come. `limit`:
    /// the oldest mask that may be shown.
    pub fn select_mask(
        &mut self,
        held: &QueuedFrame,
        frame: &Frame<'_>,
        reuses_masks: bool,
        pending: &[u64],
        limit: Duration,
    ) -> SelectedMask {
        if reuses_masks {
            self.carrier.advance(frame);
        } else {
            // Motion that is not followed frame by frame is of no use later.
            self.carrier.reset();
        }
        if let Some(latest) = &mut self.latest
            && held.reuses.is_some_and(|number| number <= latest.number)
        {
            // This frame reuses the mask on purpose: it is not outdated.
            latest.covers = Stamp { time: held.buffer.pts(), at: held.arrived };
        }
        let own = self.latest.as_ref().is_some_and(|l| l.number == held.number);
        let chosen = match &self.latest {
            None => SelectedMask { mask: None, age: None, carried: false, outdated: None },
            Some(latest)
                if !own
                    && let age =
                        self.since(latest.covers, Stamp { time: held.buffer.pts(), at: held.arrived })
                    && age > limit =>
            {
                SelectedMask { mask: None, age: None, carried: false, outdated: Some(age) }
            }
            Some(latest) => {
                let mut mask =
                    Mask { width: latest.mask.width, height: latest.mask.height, data: Vec::new() };
                if own {
                    mask.data.extend_from_slice(&latest.mask.data);
                } else {
                    self.carrier.carry(
                        latest.number,
                        &latest.mask.data,
                        mask.width,
                        mask.height,
                        &mut mask.data,
                    );
                }
                let age = match (held.buffer.pts(), latest.time) {
                    (Some(now), Some(then)) => Some(self.playing_time(then, now).unwrap_or_default()),
                    _ => own.then_some(Duration::ZERO),
                };
                SelectedMask { mask: Some(mask), age, carried: !own, outdated: None }
            }
        };
        if reuses_masks {
            let latest = self.latest.as_ref().map(|l| l.number);
            self.carrier.retain(|n| pending.contains(&n) || latest == Some(n));
            if own || pending.contains(&held.number) {
                self.carrier.mark(held.number);
            }
        }
        chosen
    }
}
