//! Which mask goes with which frame: when the network is asked, how long a frame waits, what it gets.

use super::settings::Settings;
use super::worker::{Expected, Worker};
use crate::frame::Frame;
use crate::matte::Mask;
use crate::temporal::{Carrier, Change, CutDetector};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Frames that are held back at most, however long the delay.
const MOST_HELD: usize = 64;
/// A gap in the timestamps after which the picture is taken for another one.
const GAP: gst::ClockTime = gst::ClockTime::SECOND;
/// The length of a frame where nobody says it.
const USUAL_FRAME: Duration = Duration::from_millis(33);
/// The part of a frame's length that a frame waits for a matte of its own that is about to come.
const WAIT: u32 = 4;

/// A frame on its way through.
pub struct Held {
    pub number: u64,
    pub buffer: gst::Buffer,
    pub arrived: Instant,
    /// The network has been asked for this one's mask.
    pub asked: bool,
    /// What came before it belongs to another picture.
    pub fresh: bool,
}

/// The newest mask there is.
struct Latest {
    number: u64,
    time: Option<gst::ClockTime>,
    mask: Mask,
}

/// What was asked last.
#[derive(Clone, Copy)]
struct Asked {
    time: Option<gst::ClockTime>,
    at: Instant,
    /// Frames since then.
    frames: u32,
}

/// The order of frames and masks in one stream.
#[derive(Default)]
pub struct Flow {
    next: u64,
    held: VecDeque<Held>,
    cuts: CutDetector,
    carrier: Carrier,
    change: Change,
    latest: Option<Latest>,
    /// Masks of earlier frames are of another picture.
    valid_from: u64,
    asked: Option<Asked>,
    /// The last frame's time, and the usual distance of two.
    time: Option<gst::ClockTime>,
    distance: Option<Duration>,
    /// No mask has come since an inference failed.
    pub failing: bool,
}

/// What a frame that has arrived needs.
pub struct Arrival {
    pub number: u64,
    /// The network shall be asked.
    pub ask: bool,
    pub fresh: bool,
    pub cut: bool,
}

/// What goes out with a frame.
pub struct Chosen {
    pub mask: Option<Mask>,
    /// How old it is.
    pub age: Option<Duration>,
    /// It is not this frame's own.
    pub carried: bool,
}

/// Whether the oldest frame can leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Now,
    /// When nothing for it is under way any more, at the latest then.
    By(Instant),
    /// Not before another frame comes.
    Later,
}

/// What a frame takes on screen, as the caps say.
fn frame_length(fps: gst::Fraction) -> Option<Duration> {
    (fps.numer() > 0).then(|| Duration::from_secs_f64(f64::from(fps.denom()) / f64::from(fps.numer())))
}

/// How many frames a delay holds back.
pub fn held_by(delay: Duration, fps: gst::Fraction) -> usize {
    let length = frame_length(fps).unwrap_or(USUAL_FRAME);
    delay.as_nanos().div_ceil(length.as_nanos().max(1)).min(MOST_HELD as u128) as usize
}

impl Flow {
    /// Forgets all frames and masks.
    pub fn reset(&mut self) {
        *self = Self { next: self.next, valid_from: self.next, ..Self::default() };
    }

    /// A new network takes over: its first mask is still to come, the old one's serves until then.
    pub fn ask_again(&mut self) {
        self.asked = None;
    }

    /// Takes in the next frame; the caller asks the network if need be, then [`Flow::hold`]s the frame.
    pub fn arrive(
        &mut self,
        frame: &Frame<'_>,
        time: Option<gst::ClockTime>,
        discont: bool,
        settings: &Settings,
        live: bool,
    ) -> Arrival {
        let number = self.next;
        self.next += 1;
        let cut = self.cuts.is_cut(frame) && settings.scene_detection;
        let gap = match (self.time, time) {
            (Some(before), Some(now)) => now < before || now - before > GAP,
            _ => false,
        };
        if let (Some(before), Some(now), false) = (self.time, time, gap) {
            let step = Duration::from_nanos((now - before).nseconds());
            self.distance = Some(self.distance.map_or(step, |d| (d * 7 + step) / 8));
        }
        self.time = time;
        // A lossy network sets the flag at every lost packet; there the picture itself tells more.
        let fresh = number > 0 && (cut || gap || (discont && !settings.is_async(live)));
        if let Some(asked) = &mut self.asked {
            asked.frames += 1;
        }
        let due = self.asked.is_none_or(|asked| {
            let rate = match settings.max_rate {
                // Once in longer than any stream lasts.
                r if r > 0.0 => Duration::try_from_secs_f64(1.0 / r).unwrap_or(Duration::MAX),
                _ => Duration::ZERO,
            };
            let since = match (asked.time, time) {
                (Some(a), Some(b)) => Duration::from_nanos(b.saturating_sub(a).nseconds()),
                _ => asked.at.elapsed(),
            };
            asked.frames >= settings.interval && since + Duration::from_millis(1) >= rate
        });
        let reuse = settings.reuse_threshold > 0.0
            && self.change.since_kept(frame).is_some_and(|c| c <= settings.reuse_threshold);
        // A frame that waits for its turn is replaced by a newer one, also when nothing changes.
        let ask = fresh || (due && !reuse);
        if ask {
            self.asked = Some(Asked { time, at: Instant::now(), frames: 0 });
            if settings.reuse_threshold > 0.0 {
                self.change.keep(frame);
            }
        }
        Arrival { number, ask, fresh, cut }
    }

    /// How many frames are held back.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    pub fn hold(&mut self, held: Held) {
        self.held.push_back(held);
    }

    pub fn oldest(&self) -> Option<&Held> {
        self.held.front()
    }

    pub fn pop(&mut self) -> Option<Held> {
        self.held.pop_front()
    }

    /// What a frame takes on screen.
    pub fn frame_length(&self, fps: gst::Fraction) -> Duration {
        frame_length(fps).or(self.distance.filter(|d| !d.is_zero())).unwrap_or(USUAL_FRAME)
    }

    /// In async mode, whether the oldest frame leaves.
    pub fn due(&self, worker: &Worker, delay: Duration, length: Duration) -> Due {
        let Some(oldest) = self.held.front() else { return Due::Later };
        if self.held.len() > MOST_HELD {
            return Due::Now;
        }
        let now = Instant::now();
        // Before the first mask there is nothing to show: a frame is worth waiting for.
        let nothing = self.latest.is_none() && !self.failing;
        let patience = if nothing { length } else { length / WAIT };
        let budget = delay.max(patience);
        let until = oldest.arrived + budget;
        let comes = match worker.expected(oldest.number) {
            Expected::Nothing => false,
            // What will not be there in time is not waited for; nor is what should have been there long ago.
            Expected::At(at) => at <= until + budget / 4 && now < at + budget,
            // One frame's patience is enough to find that out.
            Expected::Unknown { since } => now < since + budget,
        };
        if !comes || until <= now {
            return Due::Now;
        }
        // The stream must not be held up for longer than until its next frame.
        let next = self.held.back().map_or(now, |h| h.arrived + length);
        if until > next.max(now + length / WAIT) { Due::Later } else { Due::By(until) }
    }

    /// Takes the mask that has come for a frame of this time. Older ones than the newest are of no use.
    pub fn take(&mut self, number: u64, time: Option<gst::ClockTime>, mask: Mask) {
        self.failing = false;
        if number < self.valid_from || self.latest.as_ref().is_some_and(|l| l.number > number) {
            return;
        }
        self.latest = Some(Latest { number, time, mask });
    }

    /// No mask is to be shown until another one comes.
    pub fn fail(&mut self, keep: bool) {
        self.failing = true;
        if !keep {
            self.latest = None;
        }
    }

    /// A frame of another picture: what came before it does not hold. Before its mask is taken.
    pub fn start_anew(&mut self, number: u64) {
        self.valid_from = number;
        self.latest.take_if(|l| l.number < number);
        self.carrier.reset();
    }

    /// The mask that goes out with a frame, which must be given each in turn. `carries`: masks may be asked to serve
    /// for later frames. `owed`: the frames that masks are under way for.
    pub fn choose(&mut self, held: &Held, frame: &Frame<'_>, carries: bool, owed: &[u64]) -> Chosen {
        if carries {
            self.carrier.advance(frame);
        }
        let own = self.latest.as_ref().is_some_and(|l| l.number == held.number);
        let chosen = match &self.latest {
            None => Chosen { mask: None, age: None, carried: false },
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
                    (Some(now), Some(then)) => {
                        Some(Duration::from_nanos(now.saturating_sub(then).nseconds()))
                    }
                    _ => own.then_some(Duration::ZERO),
                };
                Chosen { mask: Some(mask), age, carried: !own }
            }
        };
        if carries {
            let latest = self.latest.as_ref().map(|l| l.number);
            self.carrier.retain(|n| owed.contains(&n) || latest == Some(n));
            if own || owed.contains(&held.number) {
                self.carrier.mark(held.number);
            }
        }
        chosen
    }
}
