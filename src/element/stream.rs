//! The streaming thread: a frame is submitted and queued; when its mask is there or its time is up, it is rendered and leaves.

use super::engine::MatteEngine;
use super::flow::{Due, QueuedFrame, Submitted};
use super::imp::{BgRemove, CAT};
use super::messages::{INTERLACED_TEXT, UNSUITED};
use super::settings::{OnError, Settings};
use super::state::StreamState;
use super::worker::{Job, JobResult, Waited, Worker};
use crate::error::{Error, ErrorKind};
use crate::matte::Times;
use crate::subjects::{Region, Wanted};
use crate::sync::lock;
use crate::temporal::REACH;
use crate::video;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_video::prelude::*;
use gst_video::{VideoBufferFlags, VideoInfo, VideoRegionOfInterestMeta};
use std::sync::Arc;
use std::time::{Duration, Instant};

impl BgRemove {
    pub(super) fn worker(&self) -> Option<Arc<Worker>> {
        lock(&self.worker).clone()
    }

    /// The error that downstream returned for a frame that an event pushed, to be returned to upstream now.
    pub(super) fn take_flow_error(&self) -> Option<gst::FlowError> {
        lock(&self.flow_error).take()
    }

    /// Submits a frame to the network if the settings say so, and queues it.
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
        if state.input.is_interlaced() && buffer.video_flags().contains(VideoBufferFlags::INTERLACED) {
            self.post_as(gst::StreamError::Format, INTERLACED_TEXT, "");
            return Err(gst::FlowError::Error);
        }
        let submitted = video::view(&buffer, &state.input, |frame| {
            state.flow.set_rate(self.obj().segment().rate());
            let submitted = state.flow.submit(frame, buffer.pts(), discont, &settings, live);
            self.check_compression(submitted.number, frame);
            submitted
        });
        let Some(submitted) = submitted else {
            self.post(&Error::unreadable("the incoming buffer"));
            return Err(gst::FlowError::Error);
        };
        {
            let mut stats = lock(&self.stats);
            stats.cuts += u64::from(submitted.cut);
            stats.resets += u64::from(submitted.breaks_history);
        }
        let low_priority = settings.is_async(live);
        worker.set_low_priority(low_priority);
        if state.engine.network().is_some_and(|n| !n.fits_priority(low_priority))
            && state.low_priority != Some(low_priority)
        {
            // The session's threads cannot change their priority, so another session is loaded.
            self.load_network();
        }
        state.low_priority = Some(low_priority);
        let buffer = if state.flow.queued() > *lock(&self.promised_buffers) {
            // Upstream's pool has as many buffers as the allocation query asked for. To hold more of them would block it.
            buffer.copy_deep().map_err(|_| {
                self.post(&Error::new(ErrorKind::Inference, "no memory for a frame that is held back"));
                gst::FlowError::Error
            })?
        } else {
            buffer
        };
        // A key needs nothing made beforehand.
        let infer = submitted.infer && !state.engine.is_key();
        if let Wanted::Meta(_) = settings.wanted {
            state.store_regions(regions(&buffer, &state.input));
        }
        let requested = infer.then(Instant::now);
        if infer {
            let job = Job {
                number: submitted.number,
                buffer: buffer.clone(),
                asked: state.take_request(&settings),
                info: state.input.clone(),
                breaks_history: submitted.breaks_history,
                cut: submitted.cut,
                ahead: Vec::new(),
                #[cfg(test)]
                probe: None,
            };
            if submitted.first {
                // Another scene: the one before it ends here.
                state.flow.submit_primed(&worker, submitted.number);
            }
            // Frames are shown ahead without a prompt, so not to a network that needs one.
            let remembers =
                state.engine.network().is_some_and(|n| !n.spec.states.is_empty() && n.spec.prompt.is_none());
            // What is live cannot make up for the time that this takes.
            let begins = submitted.first && remembers && settings.lookahead > 0 && !low_priority && !live;
            // Async: only the newest frame is worth a run. Sync: each frame waits for its own mask.
            if let Some(job) = state.flow.prime(job, begins) {
                worker.submit(job, low_priority);
            }
        }
        let Submitted { number, breaks_history, reuses, .. } = submitted;
        state.flow.queue_frame(QueuedFrame { number, buffer, arrived, requested, breaks_history, reuses });
        Ok(gst::FlowSuccess::Ok)
    }

    /// Takes the oldest frame out of the queue if it is due, and renders it; forwards the events before it. `at_once`: it is
    /// due, whatever is pending for it.
    pub(super) fn output_frame(&self, at_once: bool) -> Result<Option<gst::Buffer>, gst::FlowError> {
        self.forward_events();
        self.sync_controlled_properties(|| lock(&self.state).as_ref()?.flow.oldest()?.buffer.pts());
        let settings = self.settings();
        let live = self.known_live();
        let Some(worker) = self.worker() else { return Err(gst::FlowError::Flushing) };
        let mut guard = lock(&self.state);
        let Some(state) = guard.as_mut() else { return Ok(None) };
        let Some(oldest) = state.flow.oldest() else { return Ok(None) };
        let (number, requested, input) = (oldest.number, oldest.requested, oldest.buffer.clone());
        let duration = state.flow.frame_duration(state.input.fps());
        let is_async = settings.is_async(live);
        if !at_once && !is_due(state, &worker, number, &settings, is_async)? {
            return Ok(None);
        }
        if worker.is_interrupted() {
            return Err(gst::FlowError::Flushing);
        }
        state.flow.submit_primed(&worker, number);
        let primed = state.flow.take_primed(number);
        // The network is at work meanwhile.
        let prepare_time = match self.prepare_frame(state, &input, &settings) {
            Ok(prepare_time) => prepare_time,
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
                // The time that the frame before it took does not count.
                let begin = state.flow.network_free.map_or(requested, |free| requested.max(free));
                let (runs, begin) = primed.map_or((1, begin), |(runs, since)| (runs, begin.max(since)));
                let failure = self.wait_for_mask(&worker, number, (begin, runs), &settings)?;
                state.flow.network_free = Some(Instant::now());
                failure
            }
            None => None,
        };
        drop(input);
        let Some(held) = state.flow.pop_frame() else { return Ok(None) };
        if held.breaks_history {
            state.flow.forget_before(held.number);
            state.forget();
            lock(&self.journal).break_history();
        }
        let (times, failed) = self.receive_masks(state, &worker, number, &settings, is_async);
        if let Some(e) = failure.or(failed) {
            self.handle_failure(state, &e, &settings, live)?;
        }
        self.fill_window(state, &worker, &held, &settings, live)?;
        let (buffer, rendered) = self.render(state, &worker, &held, prepare_time, &settings, live)?;
        self.log_frame(&held, times, &rendered);
        // From the second frame on, elements downstream have their caps.
        let second = held.number > 0;
        drop(guard);
        if second {
            self.check_downstream_alpha();
        }
        if let Some(age) = rendered.outdated {
            self.warn_mask_outdated(age);
        }
        if rendered.no_screen {
            self.warn_screen_not_found(!rendered.hidden);
        }
        self.post_stats();
        self.update_latency(&held, rendered.waited, &settings, live, duration);
        Ok(Some(buffer))
    }

    /// Fills the window with the frame that is about to leave and those after it, and their masks, so that its own can be their
    /// mean. Of the `lookahead` frames the last one is left out: the network is at work on it meanwhile.
    fn fill_window(
        &self,
        state: &mut StreamState,
        worker: &Worker,
        held: &QueuedFrame,
        settings: &Settings,
        live: bool,
    ) -> Result<(), gst::FlowError> {
        let far = (settings.lookahead as usize).saturating_sub(1).min(REACH);
        let own = state.flow.own_mask(held.number).cloned().filter(|_| settings.temporal_smoothing > 0.0);
        let Some(own) = own.filter(|_| far > 0 && !settings.reuses_masks(live)) else {
            state.window.reset();
            return Ok(());
        };
        let following = state.flow.following(far);
        if let Some((last, _)) = following.last()
            && !worker.is_stuck()
        {
            // Whatever takes too long fails when the turn of its own frame comes.
            let until = settings.timeout.and_then(|limit| Instant::now().checked_add(limit));
            if worker.wait(*last, until) == Waited::Interrupted {
                return Err(gst::FlowError::Flushing);
            }
        }
        self.on_kernel_threads(|| {
            state.add_to_window(held.number, &held.buffer, &own);
            for (number, buffer) in following {
                let Some(mask) = worker.mask(number) else { break };
                state.add_to_window(number, &buffer, &mask);
            }
        });
        Ok(())
    }

    /// Sets controlled properties to their values at a frame's stream time. `pts` is called only if there are any.
    pub(super) fn sync_controlled_properties(&self, pts: impl FnOnce() -> Option<gst::ClockTime>) {
        let obj = self.obj();
        if !obj.has_active_control_bindings() {
            return;
        }
        let segment = obj.segment();
        let time = segment.downcast_ref::<gst::ClockTime>().and_then(|s| s.to_stream_time(pts()));
        if let Some(time) = time
            && let Err(e) = obj.sync_values(time)
        {
            // A control source without a value for this time leaves the property as it is.
            gst::debug!(CAT, imp = self, "not all controlled properties have a value at {time}: {e}");
        }
    }

    /// Forwards the events at the head of the queue.
    fn forward_events(&self) {
        loop {
            let event = lock(&self.state).as_mut().and_then(|state| state.flow.pop_event());
            let Some(event) = event else { return };
            self.forward(event);
        }
    }

    /// Queues a serialised event behind the frames, or forwards it if there are none.
    pub(super) fn queue_event(&self, event: gst::Event) -> bool {
        let event = match lock(&self.state).as_mut() {
            Some(state) => state.flow.queue_event(event),
            None => Some(event),
        };
        match event {
            Some(event) => self.forward(event),
            None => {
                // A frame may be due by now, and no other buffer may come that would push it.
                self.push_frames(false);
                true
            }
        }
    }

    /// Warns that the newest mask is older than `max-mask-age`.
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

    /// Warns that a frame has no screen to key; `shown`: it goes out whole.
    fn warn_screen_not_found(&self, shown: bool) {
        self.warn(
            "screen-not-found",
            |s| s.field("shown", shown),
            |_| {
                let what = if shown { "whole, with their background" } else { "hidden" };
                format!(
                    "no screen of one colour is found in the picture: frames go out {what} until there is one. Say its \
                     colour (model-options='key,color=\"#00b140\"'), or take a network (model=light)"
                )
            },
        );
    }

    /// In sync mode: waits for a frame's own mask, which the network could begin with at `begin` and takes so many runs for.
    /// Returns the failure if there will be none.
    fn wait_for_mask(
        &self,
        worker: &Worker,
        number: u64,
        (begin, runs): (Instant, u32),
        settings: &Settings,
    ) -> Result<Option<Error>, gst::FlowError> {
        let mut until = settings.timeout.and_then(|limit| begin.checked_add(limit.saturating_mul(runs)));
        if until.is_some() && worker.is_stuck() {
            // A run that timed out still blocks the network: do not wait the whole time again for each frame.
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

    /// Takes the results for frames up to `number`. Several may have come: returns what the newest took, and its failure.
    fn receive_masks(
        &self,
        state: &mut StreamState,
        worker: &Worker,
        number: u64,
        settings: &Settings,
        is_async: bool,
    ) -> (Option<Times>, Option<Error>) {
        let (mut times, mut failed) = (None, None);
        for done in worker.take(number) {
            times = Some(done.times);
            // It may have come after its timeout, while `prepare_frame` was at work.
            let own = !is_async && done.number == number;
            let late = settings.timeout.filter(|limit| own && done.times.total() > *limit);
            failed = late.map(timeout_error).or_else(|| self.receive_mask(state, done));
        }
        (times, failed)
    }

    /// Takes a result of the network's thread; returns its failure, if it is one.
    fn receive_mask(&self, state: &mut StreamState, done: JobResult) -> Option<Error> {
        let mut stats = lock(&self.stats);
        stats.inferences += 1;
        stats.preprocess.add(done.times.preprocess);
        stats.inference.add(done.times.inference);
        drop(stats);
        if let Ok(mask) = &done.mask {
            self.check_mask(
                mask,
                done.found.as_ref().map(|f| (f, &done.asked)),
                Duration::from_nanos(done.time.map_or(0, |t| t.nseconds())),
            );
        }
        let changed = done.found.as_ref().is_some_and(|f| f.changed);
        if done.mask.is_ok() && (changed || state.wanted != done.asked.wanted) {
            // What is steadied would hold on to those who are not kept any more, where nothing moves.
            state.forget();
            state.wanted = done.asked.wanted;
        }
        if let Some((network, why)) = done.fallback {
            let before = state.engine.network().unwrap_or(&network);
            let (was, place) = (before.session.provider.name(), before.session.place());
            self.warn(
                "provider-failed",
                |s| s.field("provider", was).field("reason", &why),
                |_| format!("{place} failed while running ({why}); going on on the CPU"),
            );
            self.set_network(Some(network.clone()));
            self.settle(Some(&network));
            state.engine = MatteEngine::Network(Box::new(network));
        }
        match done.mask {
            Ok(mask) => {
                state.flow.put_mask(done.number, done.time, done.times.total(), mask);
                None
            }
            Err(e) => Some(e),
        }
    }

    /// An inference has failed: goes on as `on-error` says.
    pub(super) fn handle_failure(
        &self,
        state: &mut StreamState,
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
            OnError::Hide => "frames go out hidden",
        };
        state.flow.mask_failed(policy == OnError::Hold);
        let reason = |s: gst::structure::Builder| s.field("reason", &e.text);
        let text = |more| match more {
            0 => format!("{e}; {what} until it works again"),
            n => format!("{e} (and {n} times before); {what} until it works again"),
        };
        match e.kind {
            ErrorKind::Unsuited => self.warn(UNSUITED, reason, text),
            _ => self.warn("inference-failed", reason, text),
        };
        Ok(())
    }

    /// Pushes all queued frames downstream.
    pub(super) fn drain(&self) {
        self.push_frames(true);
    }

    /// Pushes queued frames, all of them or those that are due, when an event and not a buffer is the occasion. An error of
    /// downstream's is returned to upstream with its next buffer.
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
        *lock(&self.flow_error) = Some(refused);
    }
}

/// Whether the oldest frame, of this number, leaves now; in async mode it is waited for until its time is up.
fn is_due(
    state: &StreamState,
    worker: &Worker,
    number: u64,
    settings: &Settings,
    is_async: bool,
) -> Result<bool, gst::FlowError> {
    let due = match is_async {
        true => state.flow.due(worker, settings.matte_delay, state.flow.frame_duration(state.input.fps())),
        false if state.engine.is_key() => state.flow.due_in_sync(0),
        false => state.flow.due_in_sync(settings.lookahead as usize),
    };
    match due {
        Due::Now => Ok(true),
        Due::Later => Ok(false),
        Due::By(until) => match worker.wait(number, Some(until)) {
            Waited::Interrupted => Err(gst::FlowError::Flushing),
            Waited::Done | Waited::TimedOut => Ok(true),
        },
    }
}

/// What upstream has found in a frame.
fn regions(buffer: &gst::BufferRef, info: &VideoInfo) -> Vec<Region> {
    let size = (info.width(), info.height());
    let region = |meta: gst::MetaRef<'_, VideoRegionOfInterestMeta>| {
        let (x, y, w, h) = meta.rect();
        Region::at([x, y, w, h].map(i64::from), size, meta.roi_type().to_string(), Some(meta.id().into()))
    };
    #[allow(unused_mut, reason = "the feature `analytics` adds to them")]
    let mut all: Vec<Region> = buffer.iter_meta::<VideoRegionOfInterestMeta>().map(region).collect();
    #[cfg(feature = "analytics")]
    all.extend(super::analytics::detected(buffer, size));
    all
}

fn timeout_error(limit: Duration) -> Error {
    Error::new(ErrorKind::Inference, format!("an inference took longer than inference-timeout ({limit:?})"))
}
