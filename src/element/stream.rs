//! The streaming thread's way through the element: a frame arrives, waits for a mask if the mode says so, leaves.

use super::flow::{Due, Held};
use super::frames;
use super::imp::{BgRemove, CAT, lock};
use super::settings::{OnError, Settings};
use super::state::{Source, Spent, State, unreadable};
use super::worker::{Done, Job, Waited, Worker};
use crate::error::{Error, Kind};
use crate::matte::Times;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::{InputBuffer, PrepareOutputBufferSuccess};
use gst_base::subclass::prelude::*;
use gst_video::VideoFrameRef;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Frames between two looks at what the element takes of a live stream's time.
const WINDOW: usize = 32;
/// What is reported of it comes in such steps.
const STEP: Duration = Duration::from_millis(5);

/// How the stream runs.
#[derive(Default)]
pub struct Pace {
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
}

/// So many slow frames in a row are no accident.
const SLOW: u64 = 10;

/// A frame on its way out that has its colours, and what they took.
struct Begun {
    buffer: gst::Buffer,
    took: Duration,
}

/// How a frame was made that has left.
struct Left {
    spent: Spent,
    /// How much older its mask is, if it is that of another frame.
    age: Option<Duration>,
    carried: bool,
    /// Whether it has a mask; without one it is hidden, or untouched.
    shown: bool,
}

impl BgRemove {
    pub(super) fn worker(&self) -> Option<Arc<Worker>> {
        lock(&self.worker).clone()
    }

    /// Whether upstream is live, as it says itself when a stream starts.
    fn is_live(&self) -> bool {
        if let Some(live) = lock(&self.pace).live {
            return live;
        }
        let mut query = gst::query::Latency::new();
        if !self.obj().sink_pad().peer_query(&mut query) {
            // It does not know yet.
            return false;
        }
        let live = query.result().0;
        lock(&self.pace).live = Some(live);
        gst::debug!(CAT, imp = self, "upstream is {}", if live { "live" } else { "not live" });
        live
    }

    /// Another stream begins: it may come from elsewhere.
    pub(super) fn ask_whether_live(&self) {
        lock(&self.pace).live = None;
    }

    /// The latency that the element adds.
    pub(super) fn latency(&self, live: bool) -> gst::ClockTime {
        let settings = self.settings();
        let mut pace = lock(&self.pace);
        // What upstream says now goes before what it said at the start.
        pace.live = pace.live.map(|_| live);
        let delay = if settings.is_async(live) { settings.matte_delay } else { Duration::ZERO };
        let processing = if live { pace.processing } else { Duration::ZERO };
        gst::ClockTime::from_nseconds((delay + processing).as_nanos() as u64)
    }

    /// A frame comes too late, as downstream says: it was dropped before anything was done with it.
    pub(super) fn dropped(&self) {
        lock(&self.stats).dropped += 1;
        let mut pace = lock(&self.pace);
        pace.dropped += 1;
        pace.slow = 0;
        let dropped = pace.dropped;
        let behind = pace.live == Some(true) && !self.settings().is_async(true);
        drop(pace);
        if behind {
            self.warn(
                "falling-behind",
                |s| s.field("dropped", dropped),
                |_| {
                    lock(&self.pace).dropped = 0;
                    format!(
                        "cannot keep up with the live stream: {dropped} frames dropped. Set inference-mode=async, or \
                         take a faster network (model=light) or provider."
                    )
                },
            );
        }
    }

    /// Takes in a frame: asks the network for its mask if the settings say so, and puts it in line.
    pub(super) fn arrive(
        &self,
        buffer: gst::Buffer,
        discont: bool,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let arrived = Instant::now();
        let live = self.is_live();
        self.tag_at_start();
        self.take_over();
        let settings = self.settings();
        let Some(worker) = self.worker() else { return Err(gst::FlowError::Flushing) };
        let mut guard = lock(&self.state);
        let Some(state) = guard.as_mut() else { return Err(gst::FlowError::NotNegotiated) };
        let arrival = {
            let mapped = VideoFrameRef::from_buffer_ref_readable(&buffer, &state.input);
            let frame = mapped.as_ref().ok().and_then(|m| frames::read(m, &state.input));
            let Some(frame) = frame else {
                self.post(&unreadable("the incoming buffer"));
                return Err(gst::FlowError::Error);
            };
            let arrival = state.flow.arrive(&frame, buffer.pts(), discont, &settings, live);
            self.look_for_blocks(arrival.number, &frame);
            arrival
        };
        {
            let mut stats = lock(&self.stats);
            stats.cuts += u64::from(arrival.cut);
            stats.resets += u64::from(arrival.fresh);
        }
        if settings.is_async(live) {
            worker.step_back();
        }
        if arrival.ask {
            worker.submit(Job {
                number: arrival.number,
                buffer: buffer.clone(),
                info: state.input.clone(),
                fresh: arrival.fresh,
            });
        }
        let buffer = if state.flow.held() > *lock(&self.promised) {
            // Upstream may have no buffers beyond those that it was told to have, and wait for these.
            buffer.copy_deep().map_err(|_| {
                self.post(&Error::new(Kind::Inference, "no memory for a frame that is held back"));
                gst::FlowError::Error
            })?
        } else {
            buffer
        };
        state.flow.hold(Held {
            number: arrival.number,
            buffer,
            arrived,
            asked: arrival.ask,
            fresh: arrival.fresh,
        });
        Ok(gst::FlowSuccess::Ok)
    }

    /// Lets the oldest frame go, if it is time. `at_once`: without waiting for a mask that may be under way.
    pub(super) fn leave(&self, at_once: bool) -> Result<Option<gst::Buffer>, gst::FlowError> {
        let settings = self.settings();
        let live = lock(&self.pace).live.unwrap_or_default();
        let Some(worker) = self.worker() else { return Err(gst::FlowError::Flushing) };
        let mut guard = lock(&self.state);
        let Some(state) = guard.as_mut() else { return Ok(None) };
        let Some(oldest) = state.flow.oldest() else { return Ok(None) };
        let (number, asked, input) = (oldest.number, oldest.asked, oldest.buffer.clone());
        let length = state.flow.frame_length(state.input.fps());
        let is_async = settings.is_async(live);
        if is_async && !at_once {
            match state.flow.due(&worker, settings.matte_delay, length) {
                Due::Now => {}
                Due::Later => return Ok(None),
                Due::By(until) => {
                    if worker.wait(number, Some(until)) == Waited::Interrupted {
                        return Err(gst::FlowError::Flushing);
                    }
                }
            }
        }
        if !is_async && asked && worker.is_interrupted() {
            return Err(gst::FlowError::Flushing);
        }
        let until = settings.timeout.and_then(|t| Instant::now().checked_add(t));
        // What needs no mask is done while the network makes one.
        let begun = match self.begin(state, &input, &settings) {
            Ok(begun) => begun,
            Err(e) => {
                state.flow.pop();
                return Err(e);
            }
        };
        let failure = if is_async {
            settings.timeout.filter(|limit| worker.give_up_after(*limit)).map(too_long)
        } else if asked {
            self.await_mask(&worker, number, &settings, until)?
        } else {
            None
        };
        drop(input);
        let Some(held) = state.flow.pop() else { return Ok(None) };
        if held.fresh {
            state.flow.start_anew(held.number);
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
            failed = late.map(too_long).or_else(|| self.take_mask(state, done));
        }
        if let Some(e) = failure.or(failed) {
            self.fail(state, &e, &settings, live)?;
        }
        let (buffer, left) = self.finish(state, &worker, &held, begun, &settings, live)?;
        self.tell_frame(&held, times, &left);
        // The first frame has settled the caps of what follows.
        let second = held.number > 0;
        drop(guard);
        if second {
            self.look_down();
        }
        self.tell_stats();
        self.note_pace(&held, &settings, live, length);
        Ok(Some(buffer))
    }

    /// In sync mode: waits, at most up to `until`, for a frame's own mask. Gives the failure if there will be none.
    fn await_mask(
        &self,
        worker: &Worker,
        number: u64,
        settings: &Settings,
        until: Option<Instant>,
    ) -> Result<Option<Error>, gst::FlowError> {
        if worker.is_stuck()
            && let Some(limit) = settings.timeout
        {
            // The last run does not even heed its end: do not wait the whole time for each frame.
            return Ok(match worker.wait(number, Some(Instant::now() + Duration::from_millis(5))) {
                Waited::Interrupted => return Err(gst::FlowError::Flushing),
                Waited::TimedOut => Some(too_long(limit)),
                Waited::Done => None,
            });
        }
        match worker.wait(number, until) {
            Waited::Done => Ok(None),
            Waited::Interrupted => Err(gst::FlowError::Flushing),
            Waited::TimedOut => {
                worker.give_up();
                Ok(Some(too_long(settings.timeout.unwrap_or_default())))
            }
        }
    }

    /// Takes what the network's thread has brought; gives the failure if that is one.
    fn take_mask(&self, state: &mut State, done: Done) -> Option<Error> {
        let mut stats = lock(&self.stats);
        stats.inferences += 1;
        stats.preprocess.add(done.times.preprocess);
        stats.inference.add(done.times.inference);
        drop(stats);
        if let Ok(mask) = &done.mask {
            self.look_at(mask, Duration::from_nanos(done.time.map_or(0, |t| t.nseconds())));
        }
        if let Some((network, why)) = done.moved {
            let was = state.network.session.provider.name();
            self.warn(
                "provider-failed",
                |s| s.field("provider", was).field("reason", &why),
                |_| format!("execution-provider {was} failed while running ({why}); going on on the CPU"),
            );
            *lock(&self.network) = Some(network.clone());
            state.network = network;
        }
        match done.mask {
            Ok(mask) => {
                state.flow.take(done.number, done.time, mask);
                None
            }
            Err(e) => Some(e),
        }
    }

    /// An inference has failed: goes on as the settings say.
    fn fail(
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
        state.flow.fail(policy == OnError::Hold);
        self.warn(
            "inference-failed",
            |s| s.field("reason", &e.text),
            |more| match more {
                0 => format!("{e}; {what} until it works again"),
                n => format!("{e} (and {n} times before); {what} until it works again"),
            },
        );
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

    /// Puts a frame's colours into the buffer that goes out.
    fn begin(
        &self,
        state: &mut State,
        input: &gst::Buffer,
        settings: &Settings,
    ) -> Result<Begun, gst::FlowError> {
        let prepared = self.parent_prepare_output_buffer(InputBuffer::Readable(input))?;
        let PrepareOutputBufferSuccess::Buffer(mut buffer) = prepared else {
            return Err(gst::FlowError::Error);
        };
        state.follow(settings);
        let begin = Instant::now();
        let done = self.in_pool(|| {
            let output = buffer.get_mut().ok_or_else(|| unreadable("the outgoing buffer"))?;
            state.carry(input, output)
        });
        done.map_err(|e| {
            self.post(&e);
            gst::FlowError::Error
        })?;
        Ok(Begun { buffer, took: begin.elapsed() })
    }

    /// Makes the frame that goes out.
    fn finish(
        &self,
        state: &mut State,
        worker: &Worker,
        held: &Held,
        begun: Begun,
        settings: &Settings,
        live: bool,
    ) -> Result<(gst::Buffer, Left), gst::FlowError> {
        let Begun { mut buffer, took } = begun;
        let carries = settings.carries(live);
        let owed = if carries { worker.owed() } else { Vec::new() };
        let work = || -> Result<_, Error> {
            let begin = Instant::now();
            let chosen = {
                let mapped = VideoFrameRef::from_buffer_ref_readable(&held.buffer, &state.input)
                    .map_err(|_| unreadable("the incoming buffer"))?;
                let frame =
                    frames::read(&mapped, &state.input).ok_or_else(|| unreadable("the incoming buffer"))?;
                state.flow.choose(held, &frame, carries, &owed)
            };
            let carrying = begin.elapsed();
            let (age, carried, shown) = (chosen.age, chosen.carried, chosen.mask.is_some());
            let mut source = match chosen.mask {
                Some(mask) => Source::Mask(mask),
                None if settings.policy(live) == OnError::Passthrough && state.flow.failing => {
                    Source::Whole(255)
                }
                None => Source::Whole(0),
            };
            let output = buffer.get_mut().ok_or_else(|| unreadable("the outgoing buffer"))?;
            let mut spent = state.process(settings, &mut source, &held.buffer, output)?;
            spent.temporal += carrying;
            spent.compose += took;
            // What has no matte has no segmentation either: nothing is known of such a frame.
            #[cfg(feature = "analytics")]
            if settings.segmentation_meta && shown {
                let begin = Instant::now();
                let size = (state.input.width(), state.input.height());
                super::analytics::attach(output, state.alpha(), size)?;
                spent.compose += begin.elapsed();
            }
            Ok(Left { spent, age, carried, shown })
        };
        let left = self.in_pool(work).map_err(|e| {
            self.post(&e);
            gst::FlowError::Error
        })?;
        let mut stats = lock(&self.stats);
        stats.frames_out += 1;
        stats.hidden += u64::from(!left.shown);
        stats.reused += u64::from(left.carried);
        if let Some(age) = left.age {
            stats.mask_age.add(age);
        }
        stats.refine.add(left.spent.refine);
        stats.temporal.add(left.spent.temporal);
        stats.compose.add(left.spent.compose);
        Ok((buffer, left))
    }

    /// A line of the log for a frame: what each stage took, and where its mask comes from.
    fn tell_frame(&self, held: &Held, times: Option<Times>, left: &Left) {
        if CAT.threshold() < gst::DebugLevel::Debug {
            return;
        }
        let ms = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
        let network = times.map_or("no inference".to_string(), |t| {
            format!("preprocess {}, inference {}", ms(t.preprocess), ms(t.inference))
        });
        let mask = match (left.shown, left.carried, left.age) {
            (false, ..) => "no mask".to_string(),
            (_, true, Some(age)) => format!("mask carried from {} ms before", ms(age)),
            (_, true, None) => "mask carried".to_string(),
            (_, false, _) => "its own mask".to_string(),
        };
        let Spent { refine, temporal, compose } = left.spent;
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
    fn too_slow(&self, frames: u64, is_async: bool) {
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
        loop {
            match self.leave(true) {
                Ok(Some(buffer)) => {
                    if let Err(e) = self.obj().src_pad().push(buffer) {
                        gst::debug!(CAT, imp = self, "downstream takes no more: {e:?}");
                        return;
                    }
                }
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Keeps account of what the element takes of a live stream's time; tells the pipeline when that changes.
    fn note_pace(&self, held: &Held, settings: &Settings, live: bool, length: Duration) {
        let taken = held.arrived.elapsed();
        let delay = if settings.is_async(live) { settings.matte_delay } else { Duration::ZERO };
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
            let mut pace = lock(&self.pace);
            pace.slow = if late { pace.slow + 1 } else { 0 };
            pace.slow
        };
        if slow >= SLOW {
            self.too_slow(slow, settings.is_async(live));
        }
        let mut pace = lock(&self.pace);
        pace.taken.push(taken.saturating_sub(delay));
        if pace.taken.len() < WINDOW {
            return;
        }
        pace.taken.sort_unstable();
        let most = pace.taken[WINDOW * 19 / 20];
        pace.taken.clear();
        let steps = most.as_nanos().div_ceil(STEP.as_nanos()) as u32;
        let now = STEP * steps;
        // It falls only when much less is needed: each change makes sinks move their clocks.
        if now > pace.processing || now * 2 < pace.processing {
            gst::debug!(CAT, imp = self, "a frame takes {now:?}, before {:?}", pace.processing);
            pace.processing = now;
            drop(pace);
            let _ = self.obj().post_message(gst::message::Latency::builder().src(&*self.obj()).build());
        }
    }
}

fn too_long(limit: Duration) -> Error {
    Error::new(Kind::Inference, format!("an inference took longer than inference-timeout ({limit:?})"))
}
