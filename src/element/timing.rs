//! Whether the stream is live, what the element takes of its time, and what of that it announces as latency.

use super::flow::{QueuedFrame, clamp_delay};
use super::imp::{BgRemove, CAT};
use super::settings::Settings;
use crate::sync::lock;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use std::time::Duration;

/// Frames between two looks at what the element takes of a live stream's time.
const WINDOW: usize = 32;
/// What is reported of it comes in such steps.
const STEP: Duration = Duration::from_millis(5);

/// How the stream runs.
#[derive(Default)]
pub struct Timing {
    /// Upstream is live; `None` until it has been asked.
    live: Option<bool>,
    /// What frames took lately, without being held back on purpose.
    taken: Vec<Duration>,
    /// What of that is part of the latency.
    processing: Duration,
    /// Frames dropped since the last warning.
    dropped: u64,
    /// Frames in a row that took longer than they last on screen.
    slow: u64,
    /// What a frame lasts on screen, once that is known.
    pub(super) length: Option<Duration>,
    /// What downstream answered to the frames that were let go outside of a frame's own turn.
    pub(super) flow_error: Option<gst::FlowError>,
}

/// So many slow frames in a row are no accident.
const SLOW: u64 = 10;

impl BgRemove {
    /// Whether upstream is live, as it says itself when a stream starts.
    pub(super) fn is_live(&self) -> bool {
        if let Some(live) = lock(&self.timing).live {
            return live;
        }
        let Some(live) = self.query_live() else { return false };
        lock(&self.timing).live = Some(live);
        gst::debug!(CAT, imp = self, "upstream is {}", if live { "live" } else { "not live" });
        live
    }

    /// What upstream says now; `None` if it does not know yet.
    pub(super) fn query_live(&self) -> Option<bool> {
        let mut query = gst::query::Latency::new();
        self.obj().sink_pad().peer_query(&mut query).then(|| query.result().0)
    }

    /// Whether upstream is live, as far as it has been asked.
    pub(super) fn known_live(&self) -> bool {
        lock(&self.timing).live.unwrap_or_default()
    }

    /// Another stream begins: it may come from elsewhere.
    pub(super) fn forget_live(&self) {
        lock(&self.timing).live = None;
    }

    /// The latency that the element adds.
    pub(super) fn latency(&self, live: bool) -> gst::ClockTime {
        let settings = self.settings();
        let mut timing = lock(&self.timing);
        // What upstream says now goes before what it said at the start.
        timing.live = timing.live.map(|_| live);
        let delay = queue_delay(&settings, live, timing.length);
        let processing = if live { timing.processing } else { Duration::ZERO };
        gst::ClockTime::from_nseconds((delay + processing).as_nanos() as u64)
    }

    /// New caps: how long their frames last, which bounds how long they can be held back.
    pub(super) fn set_frame_length(&self, length: Option<Duration>) {
        let settings = self.settings();
        let mut timing = lock(&self.timing);
        let (live, before) = (timing.live.unwrap_or_default(), timing.length);
        timing.length = length;
        drop(timing);
        if queue_delay(&settings, live, before) != queue_delay(&settings, live, length) {
            self.post_latency();
        }
    }

    /// The latency has changed.
    pub(super) fn post_latency(&self) {
        let _ = self.obj().post_message(gst::message::Latency::builder().src(&*self.obj()).build());
    }

    /// A frame comes too late, as downstream says: it was dropped before anything was done with it.
    pub(super) fn count_dropped(&self) {
        lock(&self.stats).dropped += 1;
        let mut timing = lock(&self.timing);
        timing.dropped += 1;
        timing.slow = 0;
        let dropped = timing.dropped;
        let behind = timing.live == Some(true) && !self.settings().is_async(true);
        drop(timing);
        if behind {
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

    /// Frame after frame takes longer than it lasts, and nobody downstream has asked for any to be dropped.
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

    /// Keeps account of what the element takes of a live stream's time; tells the pipeline when that changes.
    /// `waited`: for downstream's buffers, which is not the element's doing.
    pub(super) fn update_latency(
        &self,
        held: &QueuedFrame,
        waited: Duration,
        settings: &Settings,
        live: bool,
        length: Duration,
    ) {
        let taken = held.arrived.elapsed().saturating_sub(waited);
        let before = lock(&self.timing).length;
        let delay = queue_delay(settings, live, Some(length));
        if live && queue_delay(settings, live, before).abs_diff(delay) > STEP {
            // Frames last as long as they come, where the caps do not say.
            lock(&self.timing).length = Some(length);
            self.post_latency();
        }
        let late = live && taken > delay + length;
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
        // It falls only when much less is needed: each change makes sinks move their clocks.
        if now > timing.processing || now * 2 < timing.processing {
            gst::debug!(CAT, imp = self, "a frame takes {now:?}, before {:?}", timing.processing);
            timing.processing = now;
            drop(timing);
            self.post_latency();
        }
    }
}

/// How long the settings hold frames back that last so long.
fn queue_delay(settings: &Settings, live: bool, length: Option<Duration>) -> Duration {
    match settings.is_async(live) {
        true => clamp_delay(settings.matte_delay, length.unwrap_or(Duration::MAX)),
        false => length.unwrap_or_default().saturating_mul(settings.lookahead),
    }
}
