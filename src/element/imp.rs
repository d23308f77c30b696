//! GStreamer's virtual methods, and the element's fields.

use super::caps::{self, SINK, SRC};
use super::choice::Settled;
use super::flow::frames_in_delay;
use super::journal::Journal;
use super::loader::{NetworkLoader, PictureLoader};
use super::messages::Posted;
use super::properties::{PROPERTIES, nanoseconds};
use super::settings::*;
use super::state::StreamState;
use super::timing::Timing;
use super::worker::Worker;
use crate::auto::Chosen;
use crate::layers::Layers;
use crate::models::Network;
use crate::ready::is_too_late;
use crate::report::{Outcome, Stats};
use crate::runtime::Runtime;
use crate::sync::lock;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::GenerateOutputSuccess;
use gst_base::subclass::prelude::*;
use gst_video::VideoInfo;
use gst_video::subclass::prelude::*;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

pub static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("bgremove", gst::DebugColorFlags::empty(), Some("Background removal"))
});

#[derive(Default)]
pub struct BgRemove {
    /// Replaced as a whole at each change, so that a frame works on one consistent set.
    pub(super) settings: Mutex<Arc<Settings>>,
    /// Held by whoever changes them: one change at a time, while downstream is asked.
    pub(super) change_lock: Mutex<()>,
    /// Set in READY and above, as are the next two.
    pub(super) runtime: Mutex<Option<&'static Runtime>>,
    pub(super) worker: Mutex<Option<Arc<Worker>>>,
    pub(super) pool: Mutex<Option<Arc<rayon::ThreadPool>>>,
    /// The network in use, in memory from READY on.
    pub(super) network: Mutex<Option<Network>>,
    /// What `auto` has resolved to, and why, from the first caps on; `None` if the network was named.
    pub(super) chosen: Mutex<Option<Chosen>>,
    /// The network that this stream runs, and what it runs on.
    pub(super) settled: Mutex<Option<Settled>>,
    /// Locked by the streaming thread while it waits for masks and posts messages. A handler of a message may set a property, so
    /// no property may lock it, and other threads only while the streaming thread stands still.
    pub(super) state: Mutex<Option<StreamState>>,
    /// The frame's width over its height while caps are set. Not in `state`, since properties read it.
    pub(super) aspect: Mutex<Option<f64>>,
    pub(super) network_loader: Arc<NetworkLoader>,
    pub(super) picture_loader: Arc<PictureLoader>,
    pub(super) timing: Mutex<Timing>,
    /// Downstream's error for frames that an event pushed, to be returned with the next buffer.
    pub(super) flow_error: Mutex<Option<gst::FlowError>>,
    /// How many frames can be queued before upstream's pool runs out, by the allocation query.
    pub(super) promised_buffers: Mutex<usize>,
    pub(super) stats: Mutex<Stats>,
    pub(super) journal: Mutex<Journal>,
    pub(super) warnings_posted: Mutex<Vec<Posted>>,
    /// The providers that `auto` skipped and that a warning has named.
    pub(super) skipped_providers: Mutex<Vec<String>>,
    /// The last `background` that could not be used: a controller sets it again with each frame.
    pub(super) rejected_background: Mutex<Option<String>>,
    /// The reason why caps do not fit has been posted.
    pub(super) not_negotiated_posted: Mutex<bool>,
    /// The reason why a caps query had an empty answer.
    pub(super) caps_refused: Mutex<Option<String>>,
}

#[glib::object_subclass]
impl ObjectSubclass for BgRemove {
    const NAME: &'static str = "GstBgRemove";
    type Type = super::BgRemove;
    type ParentType = gst_video::VideoFilter;
    type Interfaces = (gst::Preset,);
}

impl PresetImpl for BgRemove {}

impl ObjectImpl for BgRemove {
    fn constructed(&self) {
        self.parent_constructed();
        // The pad refuses caps outside its template before `sink_event` is called.
        let probed = self.obj().sink_pad().add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |pad, info| {
            if let (Some(event), Some(element)) = (info.event(), pad.parent_element())
                && let gst::EventView::Caps(c) = event.view()
                && let Some(element) = element.downcast_ref::<super::BgRemove>()
            {
                element.imp().post_caps_unsupported(c.caps());
            }
            gst::PadProbeReturn::Ok
        });
        debug_assert!(probed.is_some());
    }

    fn properties() -> &'static [glib::ParamSpec] {
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        if is_too_late(&*self.obj(), pspec, value) {
            return;
        }
        // The types are checked by GObject before it comes here.
        match pspec.name() {
            "model" => self.change_network(|s| s.model = string(value, DEFAULT_MODEL)),
            "model-options" => self.change_network(|s| {
                // Presets cannot store NULL, so an empty structure means none.
                let options: Option<gst::Structure> = value.get().unwrap_or_default();
                s.model_options = options.filter(|o| o.n_fields() > 0);
            }),
            "resolution" => self.change_network(|s| s.resolution = value.get().unwrap_or_default()),
            "background" => self.set_background(string(value, DEFAULT_BACKGROUND)),
            "background-color" => self.change(|s| {
                s.color = value.get().unwrap_or_default();
                s.update_background_from_property();
            }),
            "background-blur" => self.change(|s| {
                s.blur = value.get().unwrap_or_default();
                s.update_background_from_property();
            }),
            "background-fit" => self.change(|s| s.fit = value.get().unwrap_or_default()),
            "output" => self.change(|s| s.output = value.get().unwrap_or_default()),
            "layers" => self.change(|s| s.layers = value.get().unwrap_or(Layers::empty())),
            "execution-provider" => self.change(|s| s.provider = value.get().unwrap_or_default()),
            "device" => self.change(|s| s.device = string(value, "")),
            "subject" => self.set_subject(string(value, DEFAULT_SUBJECT)),
            "follow-subject" => self.change_network(|s| s.follow_subject = value.get().unwrap_or_default()),
            "refine" => self.change(|s| s.refine = value.get().unwrap_or_default()),
            "temporal-smoothing" => self.change(|s| s.temporal_smoothing = value.get().unwrap_or_default()),
            "decontaminate" => self.change(|s| s.decontaminate = value.get().unwrap_or_default()),
            "black-point" => self.change(|s| s.controls.black_point = value.get().unwrap_or_default()),
            "white-point" => self.change(|s| s.controls.white_point = value.get().unwrap_or_default()),
            "edge-shift" => self.change(|s| s.controls.edge_shift = value.get().unwrap_or_default()),
            "edge-softness" => self.change(|s| s.controls.edge_softness = value.get().unwrap_or_default()),
            "remember-background" => self.change(|s| s.remember_background = value.get().unwrap_or_default()),
            "scene-detection" => self.change(|s| s.scene_detection = value.get().unwrap_or_default()),
            "inference-mode" => self.change_latency(|s| s.mode = value.get().unwrap_or_default()),
            "inference-interval" => self.change(|s| s.interval = value.get().unwrap_or(1)),
            "max-inference-rate" => self.change(|s| s.max_rate = value.get().unwrap_or_default()),
            "reuse-threshold" => self.change(|s| s.reuse_threshold = value.get().unwrap_or_default()),
            "lookahead" => self.change_latency(|s| s.lookahead = value.get().unwrap_or_default()),
            "matte-delay" => self.change_latency(|s| s.matte_delay = nanos(value)),
            "max-mask-age" => self.change(|s| s.max_mask_age = Some(nanos(value)).filter(|t| !t.is_zero())),
            "inference-timeout" => self.change(|s| s.timeout = Some(nanos(value)).filter(|t| !t.is_zero())),
            "on-error" => self.change(|s| s.on_error = value.get().unwrap_or_default()),
            "job-id" => self.change(|s| s.job_id = string(value, "")),
            "stats-interval" => {
                self.change(|s| s.stats_interval = Some(nanos(value)).filter(|t| !t.is_zero()))
            }
            "report-location" => {
                self.change(|s| s.report_location = Some(string(value, "")).filter(|l| !l.is_empty()));
            }
            "write-tags" => self.change(|s| s.write_tags = value.get().unwrap_or_default()),
            #[cfg(feature = "analytics")]
            "segmentation-meta" => self.change(|s| s.segmentation_meta = value.get().unwrap_or_default()),
            "threads" => self.change(|s| s.threads = value.get().unwrap_or_default()),
            other => gst::error!(CAT, imp = self, "no property '{other}'"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = self.settings();
        match pspec.name() {
            "model" => settings.model.to_value(),
            "model-options" => settings
                .model_options
                .clone()
                .unwrap_or_else(|| gst::Structure::new_empty("options"))
                .to_value(),
            "resolution" => settings.resolution.to_value(),
            "active-execution-provider" => {
                lock(&self.network).as_ref().map_or_else(String::new, |n| n.session.place()).to_value()
            }
            "background" => settings.background.to_value(),
            "background-color" => settings.color.to_value(),
            "background-blur" => settings.blur.to_value(),
            "background-fit" => settings.fit.to_value(),
            "output" => settings.output.to_value(),
            "layers" => settings.layers.to_value(),
            "execution-provider" => settings.provider.to_value(),
            "device" => settings.device.to_value(),
            "subject" => settings.subject.to_value(),
            "follow-subject" => settings.follow_subject.to_value(),
            "refine" => settings.refine.to_value(),
            "temporal-smoothing" => settings.temporal_smoothing.to_value(),
            "decontaminate" => settings.decontaminate.to_value(),
            "black-point" => settings.controls.black_point.to_value(),
            "white-point" => settings.controls.white_point.to_value(),
            "edge-shift" => settings.controls.edge_shift.to_value(),
            "edge-softness" => settings.controls.edge_softness.to_value(),
            "remember-background" => settings.remember_background.to_value(),
            "scene-detection" => settings.scene_detection.to_value(),
            "inference-mode" => settings.mode.to_value(),
            "inference-interval" => settings.interval.to_value(),
            "max-inference-rate" => settings.max_rate.to_value(),
            "reuse-threshold" => settings.reuse_threshold.to_value(),
            "lookahead" => settings.lookahead.to_value(),
            "matte-delay" => nanoseconds(Some(settings.matte_delay)).to_value(),
            "max-mask-age" => nanoseconds(settings.max_mask_age).to_value(),
            "inference-timeout" => nanoseconds(settings.timeout).to_value(),
            "on-error" => settings.on_error.to_value(),
            "job-id" => self.job_id().to_value(),
            "stats-interval" => nanoseconds(settings.stats_interval).to_value(),
            "report-location" => settings.report_location.to_value(),
            "write-tags" => settings.write_tags.to_value(),
            #[cfg(feature = "analytics")]
            "segmentation-meta" => settings.segmentation_meta.to_value(),
            "stats" => self.stats_structure().to_value(),
            "threads" => settings.threads.to_value(),
            _ => pspec.default_value().clone(),
        }
    }
}

/// The text of a property; NULL means the default.
fn string(value: &glib::Value, default: &str) -> String {
    value.get::<Option<String>>().ok().flatten().unwrap_or_else(|| default.to_string())
}

/// The time of a property in nanoseconds.
fn nanos(value: &glib::Value) -> Duration {
    Duration::from_nanos(value.get().unwrap_or_default())
}

impl GstObjectImpl for BgRemove {}

impl ElementImpl for BgRemove {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Background Remover",
                "Filter/Effect/Video",
                "Takes the background out of video: transparent frames, or the subject on a colour, a picture or its \
                 own blurred background",
                "The bgremove authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> =
            LazyLock::new(|| crate::video::templates(&SINK, &SRC));
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::NullToReady => self.prepare().map_err(|e| {
                self.release();
                self.post(&e);
                gst::StateChangeError
            })?,
            // The streaming thread may be waiting for the network.
            gst::StateChange::PausedToReady => {
                self.worker().inspect(|w| w.halt());
            }
            _ => {}
        }
        let result = self.parent_change_state(transition);
        if transition == gst::StateChange::ReadyToNull
            || (transition == gst::StateChange::NullToReady && result.is_err())
        {
            self.release();
        }
        result
    }
}

impl BgRemove {
    /// Passes an event on.
    pub(super) fn forward(&self, event: gst::Event) -> bool {
        let event = self.tag(event);
        self.parent_sink_event(event)
    }
}

impl BaseTransformImpl for BgRemove {
    const MODE: gst_base::subclass::BaseTransformMode = gst_base::subclass::BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.stats) = Stats::default();
        *lock(&self.journal) = Journal::new(&self.settings().job_id);
        gst::info!(CAT, imp = self, "job {}", self.job_id());
        *lock(&self.timing) = Timing::default();
        *lock(&self.flow_error) = None;
        *lock(&self.promised_buffers) = 0;
        lock(&self.warnings_posted).clear();
        *lock(&self.chosen) = None;
        *lock(&self.settled) = None;
        *lock(&self.not_negotiated_posted) = false;
        *lock(&self.caps_refused) = None;
        self.worker().inspect(|w| w.resume());
        self.check_report_folder();
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.post_caps_refused();
        self.write_record(Outcome::Stopped);
        *lock(&self.state) = None;
        *lock(&self.aspect) = None;
        self.network_loader.cancel();
        self.worker().inspect(|w| w.reset());
        Ok(())
    }

    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let mut out = caps::transform(direction, caps, self.settings().kind());
        // Before the stream starts the background may still change, so whatever it may become can be
        // linked; if it does not fit in the end, negotiation says so in plain words.
        if direction == gst::PadDirection::Sink && !self.obj().src_pad().is_active() {
            out.merge(caps::transform(direction, caps, OutputKind::Opaque));
            out.merge(caps::transform(direction, caps, OutputKind::Matte));
        }
        let out = crate::video::filtered(out, filter);
        gst::log!(CAT, imp = self, "{caps} at the {direction:?} pad give {out}");
        Some(out)
    }

    fn fixate_caps(&self, direction: gst::PadDirection, caps: &gst::Caps, othercaps: gst::Caps) -> gst::Caps {
        if direction != gst::PadDirection::Sink {
            return self.parent_fixate_caps(direction, caps, othercaps);
        }
        caps::fixate(caps, othercaps, self.settings().kind())
    }

    fn query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        // A drain query: upstream wants its buffers back.
        if direction == gst::PadDirection::Sink && query.type_() == gst::QueryType::Drain {
            self.drain();
        }
        let done = BaseTransformImplExt::parent_query(self, direction, query);
        if direction == gst::PadDirection::Src
            && done
            && let gst::QueryViewMut::Latency(q) = query.view_mut()
        {
            let (live, min, max) = q.result();
            let ours = self.answer_latency(live);
            gst::debug!(CAT, imp = self, "latency {min}, here {ours}");
            q.set(live, min.saturating_add(ours), max.map(|max| max.saturating_add(ours)));
        }
        if direction == gst::PadDirection::Sink
            && let gst::QueryViewMut::Caps(q) = query.view_mut()
            && q.result().is_some_and(|caps| caps.is_empty())
        {
            self.warn_caps_refused(q.filter());
        }
        done
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::FlushStart(_) => {
                self.worker().inspect(|w| w.flush_start());
            }
            gst::EventView::FlushStop(_) => {
                self.worker().inspect(|w| w.flush_stop());
                self.reset();
            }
            gst::EventView::StreamStart(_) => {
                self.drain();
                self.reset();
                self.forget_live();
            }
            // Queued frames have to leave before these.
            gst::EventView::Caps(_)
            | gst::EventView::Segment(_)
            | gst::EventView::SegmentDone(_)
            | gst::EventView::Eos(_) => self.drain(),
            // No buffer may follow for a while that would push the queued frames.
            gst::EventView::StreamGroupDone(_) => self.drain(),
            gst::EventView::Gap(_) if !self.settings().is_async(self.known_live()) => self.drain(),
            _ if event.is_serialized() => return self.queue_event(event),
            _ => {}
        }
        match event.view() {
            gst::EventView::Caps(c) => {
                let caps = c.caps_owned();
                let done = self.parent_sink_event(event);
                if !done {
                    self.post_not_negotiated(Some(&caps));
                }
                done
            }
            gst::EventView::Eos(_) => {
                self.check_downstream_alpha();
                self.post_caps_refused();
                let record = self.take_record(Outcome::Completed);
                let done = self.parent_sink_event(event);
                // After the event: downstream does not wait for the disk.
                if let Some(record) = record {
                    self.save_record(&record);
                }
                done
            }
            _ => self.forward(event),
        }
    }

    fn propose_allocation(
        &self,
        decided: Option<&gst::query::Allocation>,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        self.parent_propose_allocation(decided, query)?;
        // Two buffers are in use by the network and waiting for it; those in the queue come on top.
        let fps = query.get().0.and_then(|c| VideoInfo::from_caps(c).ok()).map(|i| i.fps());
        let settings = self.settings();
        let held = frames_in_delay(settings.matte_delay, fps.unwrap_or(gst::Fraction::new(0, 1)))
            .max(settings.lookahead as usize);
        *lock(&self.promised_buffers) = held;
        let extra = 2 + held as u32;
        let pools: Vec<_> = query.allocation_pools().collect();
        for (at, (pool, size, min, max)) in pools.into_iter().enumerate() {
            let max = if max == 0 { 0 } else { max.saturating_add(extra) };
            query.set_nth_allocation_pool(at as u32, pool.as_ref(), size, min.saturating_add(extra), max);
        }
        Ok(())
    }

    fn transform_meta(
        &self,
        outbuf: &mut gst::BufferRef,
        meta: gst::MetaRef<'_, gst::Meta>,
        inbuf: &gst::BufferRef,
    ) -> bool {
        // Size and orientation stay, so regions of interest and the like still hold. A crop does not: it is about the incoming
        // buffer's memory.
        let stays = meta.api() != gst_video::VideoCropMeta::meta_api()
            && meta.tags_contain_only(&["video", "size", "orientation"]);
        stays || self.parent_transform_meta(outbuf, meta, inbuf)
    }

    fn submit_input_buffer(
        &self,
        is_discont: bool,
        buffer: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        lock(&self.stats).frames_in += 1;
        lock(&self.journal).reopen();
        if let Some(refused) = self.take_flow_error() {
            return Err(refused);
        }
        // A controller may set a background that needs other caps, which the parent's `submit_input_buffer` negotiates. So its
        // values for this frame are taken before that, unless frames are queued, which still need the old caps.
        self.sync_controlled_properties(|| {
            let alone = lock(&self.state).as_ref().is_none_or(|s| s.flow.queued() == 0);
            buffer.pts().filter(|_| alone)
        });
        // `is_discont` is also set after a frame that QoS dropped, where nothing is discontinuous.
        let discont = buffer.flags().contains(gst::BufferFlags::DISCONT);
        match self.parent_submit_input_buffer(is_discont, buffer) {
            Ok(gst::FlowSuccess::Ok) => {}
            Ok(dropped) => {
                self.count_dropped();
                return Ok(dropped);
            }
            Err(e) => {
                // The base class renegotiates here after `reconfigure_src`.
                if e == gst::FlowError::NotNegotiated {
                    self.post_not_negotiated(None);
                }
                return Err(e);
            }
        }
        if let Err(e) = self.resolve_auto() {
            self.post(&e);
            return Err(gst::FlowError::Error);
        }
        match self.take_queued_buffer() {
            Some(buffer) => self.submit_frame(buffer, discont),
            None => Ok(gst::FlowSuccess::Ok),
        }
    }

    fn generate_output(&self) -> Result<GenerateOutputSuccess, gst::FlowError> {
        Ok(self.output_frame(false)?.map_or(GenerateOutputSuccess::NoOutput, GenerateOutputSuccess::Buffer))
    }
}

impl VideoFilterImpl for BgRemove {
    fn set_info(
        &self,
        _incaps: &gst::Caps,
        input: &VideoInfo,
        _outcaps: &gst::Caps,
        output: &VideoInfo,
    ) -> Result<(), gst::LoggableError> {
        *lock(&self.not_negotiated_posted) = false;
        *lock(&self.caps_refused) = None;
        self.recheck_downstream_alpha();
        self.configure(input, output).map_err(|e| {
            self.post(&e);
            gst::loggable_error!(CAT, "{e}")
        })
    }
}
