//! Whether the stream is live, what the element takes of its time, and what of that it announces as latency.

use super::flow::{QueuedFrame, clamp_delay};
use super::imp::{BgRemove, CAT};
use super::settings::Settings;
use crate::sync::lock;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use std::time::Duration;

/// Frames between two measurements of the processing latency.
const WINDOW: usize = 32;
/// The announced latency is a multiple of this.
const STEP: Duration = Duration::from_millis(5);

/// Liveness, processing time and latency of the stream.
#[derive(Default)]
pub struct Timing {
    /// Whether upstream is live; `None` until it has answered a latency query.
    live: Option<bool>,
    /// Processing times of the last frames, without the time in the queue.
    taken: Vec<Duration>,
    /// The part of the announced latency that is processing.
    processing: Duration,
    /// Frames dropped since the last warning.
    dropped: u64,
    /// Frames in a row that took longer than they last on screen.
    slow: u64,
    /// The duration of a frame, once that is known.
    pub(super) duration: Option<Duration>,
}

/// So many slow frames in a row are worth a warning.
const SLOW: u64 = 10;

impl BgRemove {
    /// Whether upstream is live; asks once in a stream.
    pub(super) fn is_live(&self) -> bool {
        if let Some(live) = lock(&self.timing).live {
            return live;
        }
        let Some(live) = self.query_live() else { return false };
        lock(&self.timing).live = Some(live);
        gst::debug!(CAT, imp = self, "upstream is {}", if live { "live" } else { "not live" });
        live
    }

    /// Asks upstream whether it is live; `None` if it does not know yet.
    pub(super) fn query_live(&self) -> Option<bool> {
        let mut query = gst::query::Latency::new();
        self.obj().sink_pad().peer_query(&mut query).then(|| query.result().0)
    }

    /// Whether upstream has said that it is live.
    pub(super) fn known_live(&self) -> bool {
        lock(&self.timing).live.unwrap_or_default()
    }

    /// Another stream begins: upstream is asked again.
    pub(super) fn forget_live(&self) {
        lock(&self.timing).live = None;
    }

    /// The latency that the element adds, to answer a query; upstream's own answer has said whether it is live.
    pub(super) fn answer_latency(&self, live: bool) -> gst::ClockTime {
        let settings = self.settings();
        let mut timing = lock(&self.timing);
        // A later answer of upstream's replaces the first one.
        timing.live = timing.live.map(|_| live);
        let delay = queue_delay(&settings, live, timing.duration);
        let processing = if live { timing.processing } else { Duration::ZERO };
        gst::ClockTime::from_nseconds((delay + processing).as_nanos() as u64)
    }

    /// New caps: their frame duration bounds the delay that the queue can hold.
    pub(super) fn set_frame_duration(&self, duration: Option<Duration>) {
        let settings = self.settings();
        let mut timing = lock(&self.timing);
        let (live, before) = (timing.live.unwrap_or_default(), timing.duration);
        timing.duration = duration;
        drop(timing);
        if queue_delay(&settings, live, before) != queue_delay(&settings, live, duration) {
            self.post_latency();
        }
    }

    /// Tells the pipeline that the latency has changed.
    pub(super) fn post_latency(&self) {
        let _ = self.obj().post_message(gst::message::Latency::builder().src(&*self.obj()).build());
    }

    /// Counts a frame that the base class has dropped because of QoS.
    pub(super) fn count_dropped(&self) {
        lock(&self.stats).dropped += 1;
        let mut timing = lock(&self.timing);
        timing.dropped += 1;
        timing.slow = 0;
        let dropped = timing.dropped;
        let falls_behind = timing.live == Some(true) && !self.settings().is_async(true);
        drop(timing);
        if falls_behind {
            self.warn(
                "falling-behind",
                |s| s.field("dropped", dropped),
                |_| {
                    lock(&self.timing).dropped = 0;
                    format!(
                        "cannot keep up with the live stream: {dropped} frames dropped. Set inference-mode=async, or \
                         take a faster network (model=light) or provider."
                    )
                },
            );
        }
    }

    /// Warns of frames that take longer than they last while downstream sends no QoS.
    fn warn_falling_behind(&self, frames: u64, is_async: bool) {
        self.warn(
            "falling-behind",
            |s| s.field("late", frames),
            |_| {
                let remedy = if is_async {
                    "Set refine=fast, or make the frames smaller before."
                } else {
                    "Set inference-mode=async, or take a faster network (model=light) or provider."
                };
                format!(
                    "cannot keep up with the live stream: the last {frames} frames took longer than they last, and the \
                     sink asks for none to be dropped (its property qos). {remedy}"
                )
            },
        );
    }

    /// Measures the processing latency; tells the pipeline when it changes. `waited`: for a buffer of downstream's pool, which
    /// does not count.
    pub(super) fn update_latency(
        &self,
        held: &QueuedFrame,
        waited: Duration,
        settings: &Settings,
        live: bool,
        duration: Duration,
    ) {
        let taken = held.arrived.elapsed().saturating_sub(waited);
        let before = lock(&self.timing).duration;
        let delay = queue_delay(settings, live, Some(duration));
        if live && queue_delay(settings, live, before).abs_diff(delay) > STEP {
            // The caps do not say the duration, the timestamps do.
            lock(&self.timing).duration = Some(duration);
            self.post_latency();
        }
        let late = live && taken > delay + duration;
        {
            let mut stats = lock(&self.stats);
            stats.frame.add(taken);
            stats.late += u64::from(late);
        }
        if !live {
            return;
        }
        let slow = {
            let mut timing = lock(&self.timing);
            timing.slow = if late { timing.slow + 1 } else { 0 };
            timing.slow
        };
        if slow >= SLOW {
            self.warn_falling_behind(slow, settings.is_async(live));
        }
        let mut timing = lock(&self.timing);
        timing.taken.push(taken.saturating_sub(delay));
        if timing.taken.len() < WINDOW {
            return;
        }
        timing.taken.sort_unstable();
        let most = timing.taken[WINDOW * 19 / 20];
        timing.taken.clear();
        let steps = most.as_nanos().div_ceil(STEP.as_nanos()) as u32;
        let now = STEP * steps;
        // It falls only to less than half: sinks resynchronise at each change.
        if now > timing.processing || now * 2 < timing.processing {
            gst::debug!(CAT, imp = self, "a frame takes {now:?}, before {:?}", timing.processing);
            timing.processing = now;
            drop(timing);
            self.post_latency();
        }
    }
}

/// How long frames of this duration stay in the queue by the settings.
fn queue_delay(settings: &Settings, live: bool, duration: Option<Duration>) -> Duration {
    if settings.is_key() {
        // Nothing is waited for.
        return Duration::ZERO;
    }
    match settings.is_async(live) {
        true => clamp_delay(settings.matte_delay, duration.unwrap_or(Duration::MAX)),
        false => duration.unwrap_or_default().saturating_mul(settings.lookahead),
    }
}
