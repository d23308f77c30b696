//! The element's implementation.

use super::caps::{self, SINK, SRC};
use super::properties::PROPERTIES;
use super::settings::*;
use super::state::State;
use crate::compose;
use crate::error::{Error, Kind as ErrorKind};
use crate::matte::Matting;
use crate::models::{self, Network};
use crate::runtime::{self, Runtime};
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use gst_video::VideoInfo;
use gst_video::subclass::prelude::*;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

pub static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("bgremove", gst::DebugColorFlags::empty(), Some("Background removal"))
});

#[derive(Default)]
pub struct BgRemove {
    /// Replaced as a whole at each change, so that a frame works on one consistent set.
    settings: Mutex<Arc<Settings>>,
    /// Held by whoever changes them: one change at a time, while downstream is asked.
    changing: Mutex<()>,
    /// Set between READY and NULL.
    ready: Mutex<Option<&'static Runtime>>,
    /// The network in use, in memory from READY on.
    network: Mutex<Option<Network>>,
    state: Mutex<Option<State>>,
    /// The frame's shape while caps are set. Apart from the state, which is held while a network runs:
    /// an application that sets a property must not wait for that.
    aspect: Mutex<Option<f64>>,
    /// A network that was asked for while playing and has just been loaded, with the settings that it
    /// was loaded for.
    arrived: Arc<Mutex<Option<Arrival>>>,
    /// How often one has been asked for; what an earlier request brings is dropped.
    asked: Arc<AtomicU64>,
}

type Arrival = (Arc<Settings>, Result<Network, Error>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

#[glib::object_subclass]
impl ObjectSubclass for BgRemove {
    const NAME: &'static str = "GstBgRemove";
    type Type = super::BgRemove;
    type ParentType = gst_video::VideoFilter;
}

impl ObjectImpl for BgRemove {
    fn properties() -> &'static [glib::ParamSpec] {
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        // The types are checked by GObject before it comes here.
        match pspec.name() {
            "model" => self.change_network(|s| s.model = string(value, DEFAULT_MODEL)),
            "model-options" => self.change_network(|s| s.model_options = value.get().unwrap_or_default()),
            "resolution" => self.change_network(|s| s.resolution = value.get().unwrap_or_default()),
            "background" => self.set_background(string(value, DEFAULT_BACKGROUND)),
            "background-fit" => self.change(|s| s.fit = value.get().unwrap_or_default()),
            "output" => self.change(|s| s.output = value.get().unwrap_or_default()),
            "execution-provider" => self.change(|s| s.provider = value.get().unwrap_or_default()),
            "follow-subject" => self.change_network(|s| s.follow_subject = value.get().unwrap_or_default()),
            "refine" => self.change(|s| s.refine = value.get().unwrap_or_default()),
            "temporal-smoothing" => self.change(|s| s.temporal_smoothing = value.get().unwrap_or_default()),
            "decontaminate" => self.change(|s| s.decontaminate = value.get().unwrap_or_default()),
            "black-point" => self.change(|s| s.controls.black_point = value.get().unwrap_or_default()),
            "white-point" => self.change(|s| s.controls.white_point = value.get().unwrap_or_default()),
            "edge-shift" => self.change(|s| s.controls.edge_shift = value.get().unwrap_or_default()),
            "edge-softness" => self.change(|s| s.controls.edge_softness = value.get().unwrap_or_default()),
            "scene-detection" => self.change(|s| s.scene_detection = value.get().unwrap_or_default()),
            "threads" => self.change(|s| s.threads = value.get().unwrap_or_default()),
            other => gst::error!(CAT, imp = self, "no property '{other}'"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = self.settings();
        match pspec.name() {
            "model" => settings.model.to_value(),
            "model-options" => settings.model_options.to_value(),
            "resolution" => settings.resolution.to_value(),
            "active-execution-provider" => {
                lock(&self.network).as_ref().map_or("", |n| n.session.provider.name()).to_value()
            }
            "background" => settings.background.to_value(),
            "background-fit" => settings.fit.to_value(),
            "output" => settings.output.to_value(),
            "execution-provider" => settings.provider.to_value(),
            "follow-subject" => settings.follow_subject.to_value(),
            "refine" => settings.refine.to_value(),
            "temporal-smoothing" => settings.temporal_smoothing.to_value(),
            "decontaminate" => settings.decontaminate.to_value(),
            "black-point" => settings.controls.black_point.to_value(),
            "white-point" => settings.controls.white_point.to_value(),
            "edge-shift" => settings.controls.edge_shift.to_value(),
            "edge-softness" => settings.controls.edge_softness.to_value(),
            "scene-detection" => settings.scene_detection.to_value(),
            "threads" => settings.threads.to_value(),
            _ => pspec.default_value().clone(),
        }
    }
}

/// The text of a property; NULL means the default.
fn string(value: &glib::Value, default: &str) -> String {
    value.get::<Option<String>>().ok().flatten().unwrap_or_else(|| default.to_string())
}

impl GstObjectImpl for BgRemove {}

impl ElementImpl for BgRemove {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Background remover",
                "Filter/Effect/Converter/Video",
                "Takes the background out of video: transparent frames, or the subject on a colour, a picture or its \
                 own blurred background",
                "The bgremove authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            [("sink", gst::PadDirection::Sink, &*SINK), ("src", gst::PadDirection::Src, &*SRC)]
                .into_iter()
                .filter_map(|(name, direction, caps)| {
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps).ok()
                })
                .collect()
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::NullToReady {
            self.prepare().map_err(|e| {
                self.post(&e);
                gst::StateChangeError
            })?;
        }
        let result = self.parent_change_state(transition);
        if transition == gst::StateChange::ReadyToNull {
            *lock(&self.network) = None;
            *lock(&self.ready) = None;
            *lock(&self.arrived) = None;
        }
        result
    }
}

impl BaseTransformImpl for BgRemove {
    const MODE: gst_base::subclass::BaseTransformMode = gst_base::subclass::BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.state) = None;
        *lock(&self.aspect) = None;
        // Networks that are still being loaded come too late.
        self.asked.fetch_add(1, Ordering::SeqCst);
        *lock(&self.arrived) = None;
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
            out.merge(caps::transform(direction, caps, Kind::Opaque));
            out.merge(caps::transform(direction, caps, Kind::Matte));
        }
        if let Some(filter) = filter {
            out = filter.intersect_with_mode(&out, gst::CapsIntersectMode::First);
        }
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
        let done = BaseTransformImplExt::parent_query(self, direction, query);
        if direction == gst::PadDirection::Sink
            && let gst::QueryViewMut::Caps(q) = query.view_mut()
            && q.result().is_some_and(|caps| caps.is_empty())
        {
            // Upstream gives up on empty caps with a bare "not negotiated". Let it send its own, so that their
            // refusal can say why.
            let caps = match q.filter() {
                Some(filter) => filter.intersect_with_mode(&SINK, gst::CapsIntersectMode::First),
                None => SINK.clone(),
            };
            q.set_result(&caps);
        }
        done
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::FlushStop(_) => self.reset(),
            gst::EventView::Caps(c) => {
                let caps = c.caps_owned();
                let done = self.parent_sink_event(event);
                if !done {
                    self.explain_negotiation(Some(&caps));
                }
                return done;
            }
            _ => {}
        }
        self.parent_sink_event(event)
    }

    fn submit_input_buffer(
        &self,
        is_discont: bool,
        buffer: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        if is_discont || buffer.flags().contains(gst::BufferFlags::DISCONT) {
            self.reset();
        }
        self.parent_submit_input_buffer(is_discont, buffer).inspect_err(|e| {
            // A change from opaque to transparent renegotiates here.
            if *e == gst::FlowError::NotNegotiated {
                self.explain_negotiation(None);
            }
        })
    }

    fn transform(
        &self,
        input: &gst::Buffer,
        output: &mut gst::BufferRef,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let settings = self.settings();
        let mut guard = lock(&self.state);
        let Some(state) = guard.as_mut() else { return Err(gst::FlowError::NotNegotiated) };
        self.take_over(state, &settings);
        state.follow(&settings);
        state.process(&settings, input, output).map_err(|e| {
            self.post(&e);
            gst::FlowError::Error
        })?;
        Ok(gst::FlowSuccess::Ok)
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
        if input.is_interlaced() {
            let text = "the video is interlaced, which bgremove does not take: put `deinterlace` before it";
            gst::element_imp_error!(self, gst::StreamError::Format, ("{text}"));
            return Err(gst::loggable_error!(CAT, "{text}"));
        }
        self.configure(input, output).map_err(|e| {
            self.post(&e);
            gst::loggable_error!(CAT, "{e}")
        })
    }
}

impl BgRemove {
    fn settings(&self) -> Arc<Settings> {
        lock(&self.settings).clone()
    }

    /// Changes the settings; asks for new caps downstream if they need others. In mid-stream a change that
    /// nothing downstream can take leaves things as they are, with a warning.
    fn change(&self, f: impl FnOnce(&mut Settings)) {
        let _one = lock(&self.changing);
        let old = self.settings();
        let mut new = Settings::clone(&old);
        f(&mut new);
        let kind = new.kind();
        if kind != old.kind()
            && let Some(why) = self.not_taken(kind)
        {
            gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{why} It stays as it was."));
            return;
        }
        *lock(&self.settings) = Arc::new(new);
        if kind != old.kind() {
            self.obj().reconfigure_src();
        }
    }

    /// Why nothing downstream takes what a kind of output gives, once caps are there.
    fn not_taken(&self, kind: Kind) -> Option<String> {
        let obj = self.obj();
        obj.src_pad().current_caps()?;
        let input = obj.sink_pad().current_caps()?;
        let peer = obj.src_pad().peer_query_caps(None);
        let given = caps::transform(gst::PadDirection::Sink, &input, kind);
        (!peer.can_intersect(&given)).then(|| caps::refusal(kind, &input, &peer))
    }

    fn set_background(&self, text: String) {
        if lock(&self.ready).is_none() {
            // Read on the way to READY, where a bad value fails the state change.
            return self.change(|s| (s.background, s.backdrop) = (text, None));
        }
        match compose::parse(&text) {
            Ok(backdrop) => self.change(|s| (s.background, s.backdrop) = (text, Some(backdrop))),
            Err(e) => {
                let kept = self.settings().background.clone();
                gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{e} It stays '{kept}'."));
            }
        }
    }

    /// Changes what the network depends on. In mid-stream the new one is loaded beside the running one,
    /// in a thread of its own; [`Self::take_over`] puts it in place.
    fn change_network(&self, f: impl FnOnce(&mut Settings)) {
        self.change(f);
        let Some(runtime) = *lock(&self.ready) else { return };
        let Some(aspect) = *lock(&self.aspect) else { return };
        let settings = self.settings();
        let (arrived, asked) = (Arc::clone(&self.arrived), Arc::clone(&self.asked));
        let number = asked.fetch_add(1, Ordering::SeqCst) + 1;
        gst::info!(CAT, imp = self, "loading model '{}' beside the running one", settings.model);
        std::thread::spawn(move || {
            let network = choose(&settings, Some(aspect)).and_then(|choice| {
                Network::load(runtime, &choice, settings.provider.wanted(), settings.threads)
            });
            let mut arrived = lock(&arrived);
            // The threads need not end in the order in which they began: a slow earlier one must not
            // take the place of what the last request has brought.
            if asked.load(Ordering::SeqCst) == number {
                *arrived = Some((settings, network));
            }
        });
    }

    /// Puts a network that has been loaded beside the running one in its place, between two frames.
    fn take_over(&self, state: &mut State, settings: &Settings) {
        let Some((wanted, network)) = lock(&self.arrived).take() else { return };
        if !wanted.same_network(settings) {
            // Changed again since; the later one is still to come.
            return;
        }
        match network {
            Ok(network) => {
                gst::info!(CAT, imp = self, "model '{}' takes over", network.name);
                self.log_provider(&network);
                *lock(&self.network) = Some(network.clone());
                state.smoother.reset();
                state.matting = Matting::new(network, settings.resolution as usize, settings.follow_subject);
                state.loaded = wanted;
            }
            Err(e) => self.keep_network(&e, &wanted, &Arc::clone(&state.loaded)),
        }
    }

    /// NULL to READY: everything that can be known to fail, fails here.
    fn prepare(&self) -> Result<(), Error> {
        let settings = self.settings();
        let backdrop = match &settings.backdrop {
            Some(b) => b.clone(),
            None => compose::parse(&settings.background)?,
        };
        self.change(|s| s.backdrop = Some(backdrop));
        let runtime = runtime::open(self.folder().as_deref())?;
        gst::debug!(CAT, imp = self, "ONNX Runtime from {}", runtime.path.display());
        if let Some(provider) = settings.provider.wanted().filter(|p| !p.is_available()) {
            return Err(runtime.lacks(provider));
        }
        let choice = choose(&settings, None)?;
        // A built-in network follows the frame's shape and cannot be broken; a file is tried now.
        if let models::FileSource::File(_) = choice.source {
            let network = Network::load(runtime, &choice, settings.provider.wanted(), settings.threads)?;
            self.log_provider(&network);
            *lock(&self.network) = Some(network);
        }
        *lock(&self.ready) = Some(runtime);
        Ok(())
    }

    /// The folder that the plugin was loaded from.
    fn folder(&self) -> Option<PathBuf> {
        let plugin = self.obj().factory()?.plugin()?;
        Some(plugin.filename()?.parent()?.to_path_buf())
    }

    /// New caps: new buffers, and for a frame of another shape perhaps another network.
    fn configure(&self, input: &VideoInfo, output: &VideoInfo) -> Result<(), Error> {
        let settings = self.settings();
        let Some(runtime) = *lock(&self.ready) else {
            return Err(Error::new(ErrorKind::Runtime, "the element is not in READY"));
        };
        let mut guard = lock(&self.state);
        let old = guard.take();
        let mut state = match old {
            // What is remembered still holds; a network that was asked for meanwhile is on its way.
            Some(old) if old.input == *input => old.with_output(output),
            old => {
                let aspect = aspect(input);
                *lock(&self.aspect) = Some(aspect);
                // What was asked for with the old shape in mind is not wanted any more.
                self.asked.fetch_add(1, Ordering::SeqCst);
                *lock(&self.arrived) = None;
                let load = |settings: &Settings| {
                    let choice = choose(settings, Some(aspect))?;
                    Network::load(runtime, &choice, settings.provider.wanted(), settings.threads)
                };
                let (network, loaded) = match (load(&settings), &old) {
                    (Ok(network), _) => (network, settings.clone()),
                    // A model that was set in mid-stream and cannot be used.
                    (Err(e), Some(old)) if !old.loaded.same_network(&settings) => {
                        self.keep_network(&e, &settings, &old.loaded);
                        (load(&old.loaded)?, Arc::clone(&old.loaded))
                    }
                    (Err(e), _) => return Err(e),
                };
                self.log_provider(&network);
                *lock(&self.network) = Some(network.clone());
                let matting = Matting::new(network, loaded.resolution as usize, loaded.follow_subject);
                State::new(input, output, matting, loaded, old.map(|s| s.in_force))
            }
        };
        gst::debug!(
            CAT,
            imp = self,
            "{:?} {}×{} to {:?}, network '{}' {:?}",
            input.format(),
            input.width(),
            input.height(),
            output.format(),
            state.matting.network().name,
            state.matting.network().spec.size
        );
        state.follow(&settings);
        *guard = Some(state);
        Ok(())
    }

    /// A model that was set in mid-stream cannot be used: says so, and sets the last good one again,
    /// unless yet another one has been set since.
    fn keep_network(&self, e: &Error, wanted: &Settings, kept: &Settings) {
        gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{e} It stays '{}'.", kept.model));
        self.change(|s| {
            if s.same_network(wanted) {
                s.model = kept.model.clone();
                s.model_options = kept.model_options.clone();
                s.resolution = kept.resolution;
                s.follow_subject = kept.follow_subject;
            }
        });
    }

    fn log_provider(&self, network: &Network) {
        for why in &network.passed_over {
            gst::warning!(CAT, imp = self, "passed over {why}");
        }
        gst::info!(CAT, imp = self, "model '{}' runs on {}", network.name, network.session.provider.name());
    }

    /// Forgets earlier frames.
    fn reset(&self) {
        if let Some(state) = lock(&self.state).as_mut() {
            state.forget();
            state.cuts.reset();
        }
    }

    /// Says in plain words why downstream could not take the caps.
    fn explain_negotiation(&self, caps: Option<&gst::Caps>) {
        let obj = self.obj();
        let Some(input) = caps.cloned().or_else(|| obj.sink_pad().current_caps()) else { return };
        let kind = self.settings().kind();
        let peer = obj.src_pad().peer_query_caps(None);
        if !peer.can_intersect(&caps::transform(gst::PadDirection::Sink, &input, kind)) {
            gst::element_imp_error!(
                self,
                gst::StreamError::Format,
                ("{}", caps::refusal(kind, &input, &peer)),
                ["input: {input}, downstream takes: {peer}"]
            );
        }
    }

    fn post(&self, e: &Error) {
        match e.kind {
            ErrorKind::Runtime => gst::element_imp_error!(self, gst::LibraryError::Init, ("{e}")),
            ErrorKind::ModelNotFound => gst::element_imp_error!(self, gst::ResourceError::NotFound, ("{e}")),
            ErrorKind::ModelInvalid => gst::element_imp_error!(self, gst::ResourceError::Read, ("{e}")),
            ErrorKind::Setting => gst::element_imp_error!(self, gst::LibraryError::Settings, ("{e}")),
            ErrorKind::Inference => gst::element_imp_error!(self, gst::StreamError::Failed, ("{e}")),
        }
    }
}

/// The file that the settings mean, and all that is said of it.
fn choose(settings: &Settings, aspect: Option<f64>) -> Result<models::Choice, Error> {
    let mut choice = models::resolve(&settings.model, aspect)?;
    if let Some(options) = &settings.model_options {
        choice.hints = models::from_structure(options)?.or(choice.hints);
    }
    Ok(choice)
}

/// The frame's width over its height, as it is seen.
fn aspect(info: &VideoInfo) -> f64 {
    f64::from(info.width()) * f64::from(info.par().numer())
        / (f64::from(info.height()) * f64::from(info.par().denom()))
}
