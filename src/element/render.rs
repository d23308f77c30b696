//! From a queued frame and its mask to the buffer that goes downstream.

use super::flow::QueuedFrame;
use super::imp::{BgRemove, CAT};
use super::settings::{OnError, Settings};
use super::state::{MatteSource, Spent, StreamState};
use super::worker::Worker;
use crate::error::{Error, ErrorKind};
use crate::matte::Times;
use crate::runtime::Cancel;
use crate::sync::lock;
use crate::video;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::subclass::base_transform::{InputBuffer, PrepareOutputBufferSuccess};
use gst_base::subclass::prelude::*;
use std::time::{Duration, Instant};

/// How a frame was rendered.
pub struct Rendered {
    pub spent: Spent,
    /// How much older its mask is.
    pub age: Option<Duration>,
    pub carried: bool,
    /// Whether it has a matte of its own; without one it is hidden, or goes out untouched.
    pub matted: bool,
    /// Whether nothing of it is shown.
    pub hidden: bool,
    /// The age of a mask that was too old to be used.
    pub outdated: Option<Duration>,
    /// There is no screen in it to key.
    pub no_screen: bool,
    /// How long a buffer of downstream's pool was waited for.
    pub waited: Duration,
}

/// A buffer for the frame that goes out, and what was done for it before.
struct OutputBuffer {
    buffer: gst::Buffer,
    /// How long it was waited for.
    waited: Duration,
    prepare_time: Duration,
}

impl BgRemove {
    /// Runs on the kernels' threads: one hand-over for the frame instead of one for each kernel.
    pub(super) fn on_kernel_threads<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let pool = lock(&self.pool).clone();
        match &pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Does the work for a frame that needs no mask; returns how long it took.
    pub(super) fn prepare_frame(
        &self,
        state: &mut StreamState,
        input: &gst::Buffer,
        settings: &Settings,
    ) -> Result<Duration, gst::FlowError> {
        state.apply_settings(settings);
        if state.engine.is_key() || !state.needs_copy(settings) {
            return Ok(Duration::ZERO);
        }
        let begin = Instant::now();
        self.on_kernel_threads(|| state.convert(input)).map_err(|e| {
            self.post(&e);
            gst::FlowError::Error
        })?;
        Ok(begin.elapsed())
    }

    /// A buffer for the frame that goes out, most often one of downstream's. Only now that the frame can be finished: what is
    /// written to it is seen by others.
    fn allocate_output(
        &self,
        worker: &Worker,
        input: &gst::Buffer,
        prepare_time: Duration,
    ) -> Result<OutputBuffer, gst::FlowError> {
        if worker.is_interrupted() {
            return Err(gst::FlowError::Flushing);
        }
        let begin = Instant::now();
        match self.parent_prepare_output_buffer(InputBuffer::Readable(input))? {
            PrepareOutputBufferSuccess::Buffer(buffer) => {
                Ok(OutputBuffer { buffer, waited: begin.elapsed(), prepare_time })
            }
            _ => Err(gst::FlowError::Error),
        }
    }

    /// Makes the frame that goes out.
    pub(super) fn render(
        &self,
        state: &mut StreamState,
        worker: &Worker,
        held: &QueuedFrame,
        prepare_time: Duration,
        settings: &Settings,
        live: bool,
    ) -> Result<(gst::Buffer, Rendered), gst::FlowError> {
        let mut output = self.allocate_output(worker, &held.buffer, prepare_time)?;
        let reuses_masks = settings.reuses_masks(live);
        let pending = if reuses_masks { worker.pending_frames() } else { Vec::new() };
        let limit = settings.max_mask_age(worker.usual());
        // Only in a live stream that waits for no mask do frames have to be on time: their edges are as fine as that allows.
        let keyed = state.engine.is_key();
        let hurries = live && settings.is_async(live) && !keyed;
        let quality = if hurries { state.effort.quality(settings.refine) } else { settings.refine };
        let begin = Instant::now();
        let work = || -> Result<_, Error> {
            let begin = Instant::now();
            if keyed {
                let cancel = worker.cancel_of_own_run();
                return self.render_keyed(state, held, &mut output, cancel, settings, live);
            }
            let chosen = video::view(&held.buffer, &state.input, |frame| {
                state.flow.select_mask(held, frame, reuses_masks, &pending, limit)
            });
            let chosen = chosen.ok_or_else(|| Error::unreadable("the incoming buffer"))?;
            let carrying = begin.elapsed();
            let (age, carried, matted) = (chosen.age, chosen.carried, chosen.mask.is_some());
            let outdated = chosen.outdated;
            let mut source = match chosen.mask {
                Some(mask) => MatteSource::Mask(held.number, mask),
                None if settings.policy(live) == OnError::Passthrough && state.flow.failing => {
                    MatteSource::Uniform(255)
                }
                None => MatteSource::Uniform(0),
            };
            let hidden = matches!(source, MatteSource::Uniform(0));
            let waited = output.waited;
            let buffer = output.buffer.get_mut().ok_or_else(|| Error::unreadable("the outgoing buffer"))?;
            let mut spent = state.process(settings, quality, &mut source, &held.buffer, buffer)?;
            spent.temporal += carrying;
            spent.compose += prepare_time;
            // What has no matte has no segmentation either: nothing is known of such a frame.
            #[cfg(feature = "analytics")]
            if settings.segmentation_meta && matted {
                let begin = Instant::now();
                let size = (state.input.width(), state.input.height());
                super::analytics::attach(buffer, state.alpha(), size)?;
                spent.compose += begin.elapsed();
            }
            Ok(Rendered { spent, age, carried, matted, hidden, outdated, no_screen: false, waited })
        };
        let rendered = self.on_kernel_threads(work).map_err(|e| {
            if e.kind == ErrorKind::Cancelled {
                return gst::FlowError::Flushing;
            }
            self.post(&e);
            gst::FlowError::Error
        })?;
        let mut stats = lock(&self.stats);
        stats.frames_out += 1;
        stats.hidden += u64::from(rendered.hidden);
        stats.reused += u64::from(rendered.carried);
        if let Some(age) = rendered.age {
            stats.mask_age.add(age);
        }
        stats.refine.add(rendered.spent.refine);
        stats.temporal.add(rendered.spent.temporal);
        stats.compose.add(rendered.spent.compose);
        stats.coarser += u64::from(quality != settings.refine && rendered.matted);
        drop(stats);
        let duration = state.flow.frame_duration(state.input.fps());
        // One without a mask costs nothing, and says nothing.
        if hurries
            && rendered.matted
            && state.effort.update(prepare_time + begin.elapsed(), duration, settings.refine)
        {
            let quality = state.effort.quality(settings.refine);
            gst::info!(CAT, imp = self, "edges are drawn as with refine={quality:?} from here on");
        }
        Ok((output.buffer, rendered))
    }

    /// Makes a frame whose matte is its screen's: in its own turn, with no other frame's mask.
    fn render_keyed(
        &self,
        state: &mut StreamState,
        held: &QueuedFrame,
        output: &mut OutputBuffer,
        cancel: Cancel,
        settings: &Settings,
        live: bool,
    ) -> Result<Rendered, Error> {
        let policy = settings.policy(live);
        // A frame without a screen is shown whole, unless `on-error` hides frames, as it does by default where upstream is live.
        let missing = if policy == OnError::Hide { 0 } else { 255 };
        let holds = policy == OnError::Hold;
        let mut source = MatteSource::Key { missing, found: false, holds, cancel, failure: None };
        let buffer = output.buffer.get_mut().ok_or_else(|| Error::unreadable("the outgoing buffer"))?;
        let mut spent = state.process(settings, settings.refine, &mut source, &held.buffer, buffer)?;
        spent.compose += output.prepare_time;
        let (found, failure) = match source {
            MatteSource::Key { found, failure, .. } => (found, failure),
            _ => (false, None),
        };
        let failed = failure.is_some();
        if let Some(e) = failure {
            if e.kind == ErrorKind::Cancelled || matches!(policy, OnError::Error | OnError::Auto) {
                return Err(e);
            }
            // It does not end the stream.
            let _ = self.handle_failure(state, &e, settings, live);
        }
        #[cfg(feature = "analytics")]
        if settings.segmentation_meta && found {
            let begin = Instant::now();
            let size = (state.input.width(), state.input.height());
            super::analytics::attach(buffer, state.alpha(), size)?;
            spent.compose += begin.elapsed();
        }
        lock(&self.stats).coverage = state.coverage();
        Ok(Rendered {
            spent,
            age: None,
            carried: false,
            matted: found,
            hidden: !found && missing == 0,
            outdated: None,
            no_screen: !found && !failed,
            waited: output.waited,
        })
    }

    /// A line of the log for a frame: what each stage took, and where its mask comes from.
    pub(super) fn log_frame(&self, held: &QueuedFrame, times: Option<Times>, rendered: &Rendered) {
        if CAT.threshold() < gst::DebugLevel::Debug {
            return;
        }
        let ms = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
        let network = times.map_or("no inference".to_string(), |t| {
            format!("preprocess {}, inference {}", ms(t.preprocess), ms(t.inference))
        });
        let mask = match (rendered.matted, rendered.carried, rendered.age) {
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
}
