//! The streaming thread's way through the element: a frame arrives, waits for a mask if the mode says so, leaves.

use super::flow::{Due, QueuedFrame, Submitted, clamp_delay};
use super::frames;
use super::imp::{BgRemove, CAT};
use super::messages::UNSUITED;
use super::settings::{OnError, Settings};
use super::state::{Source, Spent, State, unreadable};
use super::worker::{Job, JobResult, Waited, Worker};
use crate::error::{Error, Kind};
use crate::matte::Times;
use crate::sync::lock;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::{InputBuffer, PrepareOutputBufferSuccess};
use gst_base::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::{VideoBufferFlags, VideoFrameRef};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Frames between two looks at what the element takes of a live stream's time.
const WINDOW: usize = 32;
/// What is reported of it comes in such steps.
const STEP: Duration = Duration::from_millis(5);

pub(super) const INTERLACED_TEXT: &str =
    "the video is interlaced, which bgremove does not take: put `deinterlace` before it";

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

/// How a frame was made that has left.
struct Rendered {
    spent: Spent,
    /// How much older its mask is, if it is that of another frame.
    age: Option<Duration>,
    carried: bool,
    /// Whether it has a mask; without one it is hidden, or untouched.
    shown: bool,
    /// How old the mask was that was too old to be shown with.
    outdated: Option<Duration>,
    /// What downstream's buffers were waited for.
    waited: Duration,
}

impl BgRemove {
    pub(super) fn worker(&self) -> Option<Arc<Worker>> {
        lock(&self.worker).clone()
    }

    /// Whether upstream is live, as it says itself when a stream starts.
    fn is_live(&self) -> bool {
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

    /// What downstream answered to frames that were let go by an event, if that was a refusal.
    pub(super) fn take_flow_error(&self) -> Option<gst::FlowError> {
        lock(&self.timing).flow_error.take()
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

    /// Takes in a frame: asks the network for its mask if the settings say so, and puts it in line.
    pub(super) fn submit_frame(
        &self,
        buffer: gst::Buffer,
        discont: bool,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let arrived = Instant::now();
        let live = self.is_live();
        self.tag_at_start();
        self.switch_network();
        let settings = self.settings();
        let Some(worker) = self.worker() else { return Err(gst::FlowError::Flushing) };
        let mut guard = lock(&self.state);
        let Some(state) = guard.as_mut() else { return Err(gst::FlowError::NotNegotiated) };
        let submitted = {
            let mapped = VideoFrameRef::from_buffer_ref_readable(&buffer, &state.input);
            let frame = mapped.as_ref().ok().and_then(|m| frames::read(m, &state.input));
            let Some(frame) = frame else {
                self.post(&unreadable("the incoming buffer"));
                return Err(gst::FlowError::Error);
            };
            if state.input.is_interlaced() && buffer.video_flags().contains(VideoBufferFlags::INTERLACED) {
                self.post_as(gst::StreamError::Format, INTERLACED_TEXT, "");
                return Err(gst::FlowError::Error);
            }
            state.flow.set_rate(self.obj().segment().rate());
            let submitted = state.flow.submit(&frame, buffer.pts(), discont, &settings, live);
            self.check_compression(submitted.number, &frame);
            submitted
        };
        {
            let mut stats = lock(&self.stats);
            stats.cuts += u64::from(submitted.cut);
            stats.resets += u64::from(submitted.fresh);
        }
        let behind = settings.is_async(live);
        worker.set_behind(behind);
        if !state.network.stands(behind) && state.behind != Some(behind) {
            // Its threads keep their priority: those of another session take over.
            self.load_network();
        }
        state.behind = Some(behind);
        let buffer = if state.flow.queued() > *lock(&self.promised_buffers) {
            // Upstream may have no buffers beyond those that it was told to have, and wait for these.
            buffer.copy_deep().map_err(|_| {
                self.post(&Error::new(Kind::Inference, "no memory for a frame that is held back"));
                gst::FlowError::Error
            })?
        } else {
            buffer
        };
        let requested = submitted.infer.then(Instant::now);
        if submitted.infer {
            let job = Job {
                number: submitted.number,
                buffer: buffer.clone(),
                info: state.input.clone(),
                fresh: submitted.fresh,
                #[cfg(test)]
                probe: None,
            };
            // Where the stream waits for each mask, each is made.
            worker.submit(job, behind);
        }
        let Submitted { number, fresh, reuses, .. } = submitted;
        state.flow.queue_frame(QueuedFrame { number, buffer, arrived, requested, fresh, reuses });
        Ok(gst::FlowSuccess::Ok)
    }

    /// Lets the oldest frame go, if it is time, and the events before it. `at_once`: without waiting for a mask that
    /// may be under way.
    pub(super) fn output_frame(&self, at_once: bool) -> Result<Option<gst::Buffer>, gst::FlowError> {
        self.forward_events();
        self.follow_controllers(|| lock(&self.state).as_ref()?.flow.oldest()?.buffer.pts());
        let settings = self.settings();
        let live = self.known_live();
        let Some(worker) = self.worker() else { return Err(gst::FlowError::Flushing) };
        let mut guard = lock(&self.state);
        let Some(state) = guard.as_mut() else { return Ok(None) };
        let Some(oldest) = state.flow.oldest() else { return Ok(None) };
        let (number, requested, input) = (oldest.number, oldest.requested, oldest.buffer.clone());
        let length = state.flow.frame_length(state.input.fps());
        let is_async = settings.is_async(live);
        if !at_once {
            let due = match is_async {
                true => state.flow.due(&worker, settings.matte_delay, length),
                false => state.flow.due_in_sync(settings.lookahead as usize),
            };
            match due {
                Due::Now => {}
                Due::Later => return Ok(None),
                Due::By(until) => {
                    if worker.wait(number, Some(until)) == Waited::Interrupted {
                        return Err(gst::FlowError::Flushing);
                    }
                }
            }
        }
        if worker.is_interrupted() {
            return Err(gst::FlowError::Flushing);
        }
        // What needs no mask is done while the network makes one.
        let begun = match self.prepare_frame(state, &input, &settings) {
            Ok(begun) => begun,
            Err(e) => {
                state.flow.pop_frame();
                return Err(e);
            }
        };
        let failure = match requested {
            _ if is_async => {
                settings.timeout.filter(|limit| worker.time_out_after(*limit)).map(timeout_error)
            }
            Some(requested) => {
                // Until then it was the turn of the frame before it.
                let begin = state.flow.network_free.map_or(requested, |free| requested.max(free));
                let failure = self.wait_for_mask(&worker, number, begin, &settings)?;
                state.flow.network_free = Some(Instant::now());
                failure
            }
            None => None,
        };
        drop(input);
        let Some(held) = state.flow.pop_frame() else { return Ok(None) };
        if held.fresh {
            state.flow.forget_before(held.number);
            state.smoother.reset();
            lock(&self.log).cut();
        }
        // The newest counts.
        let (mut failed, mut times) = (None, None);
        for done in worker.take(number) {
            times = Some(done.times);
            // It may have come while the frame's colours were carried.
            let own = !is_async && done.number == number;
            let late = settings.timeout.filter(|limit| own && done.times.total() > *limit);
            failed = late.map(timeout_error).or_else(|| self.receive_mask(state, done));
        }
        if let Some(e) = failure.or(failed) {
            self.handle_failure(state, &e, &settings, live)?;
        }
        let (buffer, rendered) = self.render(state, &worker, &held, begun, &settings, live)?;
        self.log_frame(&held, times, &rendered);
        // The first frame has settled the caps of what follows.
        let second = held.number > 0;
        drop(guard);
        if second {
            self.check_downstream_alpha();
        }
        if let Some(age) = rendered.outdated {
            self.warn_mask_outdated(age);
        }
        self.post_stats();
        self.update_latency(&held, rendered.waited, &settings, live, length);
        Ok(Some(buffer))
    }

    /// Gives controlled properties the values that they have at a frame's time, which is asked for only if there are any.
    pub(super) fn follow_controllers(&self, pts: impl FnOnce() -> Option<gst::ClockTime>) {
        let obj = self.obj();
        if !obj.has_active_control_bindings() {
            return;
        }
        let segment = obj.segment();
        let time = segment.downcast_ref::<gst::ClockTime>().and_then(|s| s.to_stream_time(pts()));
        if let Some(time) = time
            && let Err(e) = obj.sync_values(time)
        {
            // As where a control source has no value for this time: what was there stays.
            gst::debug!(CAT, imp = self, "not all controlled properties have a value at {time}: {e}");
        }
    }

    /// Passes on the events that no frame is before any more.
    fn forward_events(&self) {
        loop {
            let event = lock(&self.state).as_mut().and_then(|state| state.flow.pop_event());
            let Some(event) = event else { return };
            self.forward(event);
        }
    }

    /// A serialised event: it waits in line behind the frames that are held back, and goes at once where there are
    /// none.
    pub(super) fn queue_event(&self, event: gst::Event) -> bool {
        let event = match lock(&self.state).as_mut() {
            Some(state) => state.flow.queue_event(event),
            None => Some(event),
        };
        match event {
            Some(event) => self.forward(event),
            None => {
                // Time goes on also where no frame comes.
                self.push_frames(false);
                true
            }
        }
    }

    /// The newest mask has served for too long.
    fn warn_mask_outdated(&self, age: Duration) {
        self.warn(
            "mask-outdated",
            |s| s.field("age", age.as_nanos() as u64),
            |_| {
                format!(
                    "the newest mask is {age:.1?} older than its frame, more than max-mask-age allows: frames go out \
                     hidden until another one comes. Take a faster network (model=light) or provider, or raise \
                     max-mask-age."
                )
            },
        );
    }

    /// In sync mode: waits for a frame's own mask, whose turn came at `begin` at the latest. Gives the failure if there
    /// will be none.
    fn wait_for_mask(
        &self,
        worker: &Worker,
        number: u64,
        begin: Instant,
        settings: &Settings,
    ) -> Result<Option<Error>, gst::FlowError> {
        let mut until = settings.timeout.and_then(|limit| begin.checked_add(limit));
        if until.is_some() && worker.is_stuck() {
            // The last run does not even heed its end: do not wait the whole time for each frame.
            until = Some(Instant::now() + Duration::from_millis(5));
        }
        match worker.wait(number, until) {
            Waited::Done => Ok(None),
            Waited::Interrupted => Err(gst::FlowError::Flushing),
            Waited::TimedOut => {
                Ok(worker.time_out(number).then(|| timeout_error(settings.timeout.unwrap_or_default())))
            }
        }
    }

    /// Takes what the network's thread has brought; gives the failure if that is one.
    fn receive_mask(&self, state: &mut State, done: JobResult) -> Option<Error> {
        let mut stats = lock(&self.stats);
        stats.inferences += 1;
        stats.preprocess.add(done.times.preprocess);
        stats.inference.add(done.times.inference);
        drop(stats);
        if let Ok(mask) = &done.mask {
            self.check_mask(mask, Duration::from_nanos(done.time.map_or(0, |t| t.nseconds())));
        }
        if let Some((network, why)) = done.fallback {
            let (was, place) = (state.network.session.provider.name(), state.network.session.place());
            self.warn(
                "provider-failed",
                |s| s.field("provider", was).field("reason", &why),
                |_| format!("{place} failed while running ({why}); going on on the CPU"),
            );
            self.set_network(Some(network.clone()));
            state.network = network;
        }
        match done.mask {
            Ok(mask) => {
                state.flow.put_mask(done.number, done.time, done.times.total(), mask);
                None
            }
            Err(e) => Some(e),
        }
    }

    /// An inference has failed: goes on as the settings say.
    fn handle_failure(
        &self,
        state: &mut State,
        e: &Error,
        settings: &Settings,
        live: bool,
    ) -> Result<(), gst::FlowError> {
        lock(&self.stats).failures += 1;
        let policy = settings.policy(live);
        let what = match policy {
            OnError::Error | OnError::Auto => {
                self.post(e);
                return Err(gst::FlowError::Error);
            }
            OnError::Hold => "the last matte is held",
            OnError::Passthrough => "frames go out untouched, with their background",
            OnError::Background => "frames go out hidden",
        };
        state.flow.mask_failed(policy == OnError::Hold);
        let reason = |s: gst::structure::Builder| s.field("reason", &e.text);
        let text = |more| match more {
            0 => format!("{e}; {what} until it works again"),
            n => format!("{e} (and {n} times before); {what} until it works again"),
        };
        match e.kind {
            Kind::Unsuited => self.warn(UNSUITED, reason, text),
            _ => self.warn("inference-failed", reason, text),
        };
        Ok(())
    }

    /// Runs on the kernels' threads: one hop, not one for each kernel.
    fn in_pool<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let pool = lock(&self.pool).clone();
        match &pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Does for a frame what needs no mask; gives what that took.
    fn prepare_frame(
        &self,
        state: &mut State,
        input: &gst::Buffer,
        settings: &Settings,
    ) -> Result<Duration, gst::FlowError> {
        state.follow(settings);
        if state.lies_as_it_goes_out() {
            return Ok(Duration::ZERO);
        }
        let begin = Instant::now();
        self.in_pool(|| state.carry(input)).map_err(|e| {
            self.post(&e);
            gst::FlowError::Error
        })?;
        Ok(begin.elapsed())
    }

    /// A buffer for the frame that goes out, most often one of downstream's; and how long it was waited for. Only now
    /// that the frame can be finished: what is written to it is seen by others.
    fn allocate_output(
        &self,
        worker: &Worker,
        input: &gst::Buffer,
    ) -> Result<(gst::Buffer, Duration), gst::FlowError> {
        if worker.is_interrupted() {
            return Err(gst::FlowError::Flushing);
        }
        let begin = Instant::now();
        match self.parent_prepare_output_buffer(InputBuffer::Readable(input))? {
            PrepareOutputBufferSuccess::Buffer(buffer) => Ok((buffer, begin.elapsed())),
            _ => Err(gst::FlowError::Error),
        }
    }

    /// Makes the frame that goes out.
    fn render(
        &self,
        state: &mut State,
        worker: &Worker,
        held: &QueuedFrame,
        begun: Duration,
        settings: &Settings,
        live: bool,
    ) -> Result<(gst::Buffer, Rendered), gst::FlowError> {
        let (mut buffer, waited) = self.allocate_output(worker, &held.buffer)?;
        let carries = settings.carries(live);
        let pending = if carries { worker.pending_frames() } else { Vec::new() };
        let limit = settings.max_mask_age(worker.usual());
        // Where frames may come late, each is the stream's own; elsewhere they take the time that they need.
        let hurries = live && settings.is_async(live);
        let quality = if hurries { state.effort.quality(settings.refine) } else { settings.refine };
        let begin = Instant::now();
        let work = || -> Result<_, Error> {
            let begin = Instant::now();
            let chosen = {
                let mapped = VideoFrameRef::from_buffer_ref_readable(&held.buffer, &state.input)
                    .map_err(|_| unreadable("the incoming buffer"))?;
                let frame =
                    frames::read(&mapped, &state.input).ok_or_else(|| unreadable("the incoming buffer"))?;
                state.flow.select_mask(held, &frame, carries, &pending, limit)
            };
            let carrying = begin.elapsed();
            let (age, carried, shown) = (chosen.age, chosen.carried, chosen.mask.is_some());
            let outdated = chosen.outdated;
            let mut source = match chosen.mask {
                Some(mask) => Source::Mask(mask),
                None if settings.policy(live) == OnError::Passthrough && state.flow.failing => {
                    Source::Whole(255)
                }
                None => Source::Whole(0),
            };
            let output = buffer.get_mut().ok_or_else(|| unreadable("the outgoing buffer"))?;
            let mut spent = state.process(settings, quality, &mut source, &held.buffer, output)?;
            spent.temporal += carrying;
            spent.compose += begun;
            // What has no matte has no segmentation either: nothing is known of such a frame.
            #[cfg(feature = "analytics")]
            if settings.segmentation_meta && shown {
                let begin = Instant::now();
                let size = (state.input.width(), state.input.height());
                super::analytics::attach(output, state.alpha(), size)?;
                spent.compose += begin.elapsed();
            }
            Ok(Rendered { spent, age, carried, shown, outdated, waited })
        };
        let rendered = self.in_pool(work).map_err(|e| {
            self.post(&e);
            gst::FlowError::Error
        })?;
        let mut stats = lock(&self.stats);
        stats.frames_out += 1;
        stats.hidden += u64::from(!rendered.shown);
        stats.reused += u64::from(rendered.carried);
        if let Some(age) = rendered.age {
            stats.mask_age.add(age);
        }
        stats.refine.add(rendered.spent.refine);
        stats.temporal.add(rendered.spent.temporal);
        stats.compose.add(rendered.spent.compose);
        stats.coarser += u64::from(quality != settings.refine && rendered.shown);
        drop(stats);
        let length = state.flow.frame_length(state.input.fps());
        // One without a mask costs nothing, and says nothing.
        if hurries && rendered.shown && state.effort.update(begun + begin.elapsed(), length, settings.refine)
        {
            let quality = state.effort.quality(settings.refine);
            gst::info!(CAT, imp = self, "edges are drawn as with refine={quality:?} from here on");
        }
        Ok((buffer, rendered))
    }

    /// A line of the log for a frame: what each stage took, and where its mask comes from.
    fn log_frame(&self, held: &QueuedFrame, times: Option<Times>, rendered: &Rendered) {
        if CAT.threshold() < gst::DebugLevel::Debug {
            return;
        }
        let ms = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
        let network = times.map_or("no inference".to_string(), |t| {
            format!("preprocess {}, inference {}", ms(t.preprocess), ms(t.inference))
        });
        let mask = match (rendered.shown, rendered.carried, rendered.age) {
            (false, ..) => "no mask".to_string(),
            (_, true, Some(age)) => format!("mask carried from {} ms before", ms(age)),
            (_, true, None) => "mask carried".to_string(),
            (_, false, _) => "its own mask".to_string(),
        };
        let Spent { refine, temporal, compose } = rendered.spent;
        gst::debug!(
            CAT,
            imp = self,
            "frame {} at {}: {network}, refine {}, temporal {}, compose {}, in all {} ms; {mask}",
            held.number,
            held.buffer.pts().display(),
            ms(refine),
            ms(temporal),
            ms(compose),
            ms(held.arrived.elapsed())
        );
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

    /// Lets all frames go that are held back.
    pub(super) fn drain(&self) {
        self.push_frames(true);
    }

    /// Lets frames go outside of a frame's own turn: all of them at once, or those whose time has come. What
    /// downstream answers is given to upstream with its next frame.
    fn push_frames(&self, at_once: bool) {
        let refused = loop {
            match self.output_frame(at_once) {
                Ok(Some(buffer)) => {
                    if let Err(e) = self.obj().src_pad().push(buffer) {
                        gst::debug!(CAT, imp = self, "downstream takes no more: {e:?}");
                        break e;
                    }
                }
                Ok(None) => return,
                Err(e) => break e,
            }
        };
        lock(&self.timing).flow_error = Some(refused);
    }

    /// Keeps account of what the element takes of a live stream's time; tells the pipeline when that changes.
    /// `waited`: for downstream's buffers, which is not the element's doing.
    fn update_latency(
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

fn timeout_error(limit: Duration) -> Error {
    Error::new(Kind::Inference, format!("an inference took longer than inference-timeout ({limit:?})"))
}
