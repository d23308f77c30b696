//! The element's implementation.

use super::caps::{self, SINK, SRC, alpha_formats};
use super::frames;
use super::settings::*;
use crate::compose::{self, Backdrop, Background, Blur, Picture, Rows, Solid};
use crate::error::{Error, Kind as ErrorKind};
use crate::matte::{Matting, Upsampler};
use crate::models::{self, Network};
use crate::runtime::{self, Runtime};
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use gst_video::subclass::prelude::*;
use gst_video::{VideoConverter, VideoFrameRef, VideoInfo};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

pub static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("bgremove", gst::DebugColorFlags::empty(), Some("Background removal"))
});

/// What is in force for a frame: the newest settings that the negotiated caps can carry.
#[derive(Clone, Debug)]
struct InForce {
    kind: Kind,
    background: Background,
    fit: BackgroundFit,
}

/// A backdrop that is ready for the negotiated format.
enum Prepared {
    Solid(Solid),
    Picture(Picture),
    Blur(Box<Blur>),
}

/// Everything between caps and the end of the stream.
struct State {
    input: VideoInfo,
    output: VideoInfo,
    matting: Matting,
    /// The settings that the network was loaded for.
    loaded: Arc<Settings>,
    upsampler: Upsampler,
    alpha: Vec<u8>,
    rows: Rows,
    /// GStreamer's own conversion, where the formats differ in more than order and alpha.
    converter: Option<VideoConverter>,
    in_force: InForce,
    prepared: Option<Prepared>,
}

#[derive(Default)]
pub struct BgRemove {
    /// Replaced as a whole at each change, so that a frame works on one consistent set.
    settings: Mutex<Arc<Settings>>,
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
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let defaults = Settings::default();
            vec![
                glib::ParamSpecString::builder("model")
                    .nick("Model")
                    .blurb(
                        "The network that finds the subject: a preset (light, human, original, pro) or the path of an \
                         .onnx file. While playing, the new one loads beside the old one and takes over between frames",
                    )
                    .default_value(DEFAULT_MODEL)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("model-options")
                    .nick("Model options")
                    .blurb(
                        "What an .onnx file does not say of itself, as in 'options,mean=\"0.5;0.5;0.5\",\
                         activation=sigmoid': the keys of a sidecar's [bgremove] group (see the README)",
                    )
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder("resolution")
                    .nick("Resolution")
                    .blurb(
                        "Short side of the network's input in pixels, for networks that take any size; larger is finer \
                         and slower (0 = the network's own choice)",
                    )
                    .maximum(4096)
                    .default_value(defaults.resolution)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecString::builder("background")
                    .nick("Background")
                    .blurb(
                        "What stands behind the subject: 'transparent'; a colour (#RRGGBB, 0xRRGGBB, rgb(r,g,b) or a \
                         CSS name); 'blur' or 'blur:P' (P = standard deviation in percent of the frame's height, 3 if \
                         not said); or the path or file:// URI of a PNG, JPEG or WebP picture",
                    )
                    .default_value(DEFAULT_BACKGROUND)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("background-fit", defaults.fit)
                    .nick("Background fit")
                    .blurb("How a picture meets a frame of another shape")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("output", defaults.output)
                    .nick("Output")
                    .blurb("What is put out: the video, or the matte alone")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("execution-provider", defaults.provider)
                    .nick("Execution provider")
                    .blurb("What ONNX Runtime computes on; one that is asked for and not there is an error")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("active-execution-provider")
                    .nick("Active execution provider")
                    .blurb("What the loaded network runs on; empty while none is loaded")
                    .default_value("")
                    .read_only()
                    .build(),
                glib::ParamSpecBoolean::builder("follow-subject")
                    .nick("Follow subject")
                    .blurb(
                        "Run the network on a region around a subject that is small in the frame, and follow it \
                         (not for recurrent networks)",
                    )
                    .default_value(defaults.follow_subject)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder("threads")
                    .nick("Threads")
                    .blurb("Threads of one inference (0 = as many as the machine has cores)")
                    .maximum(256)
                    .default_value(defaults.threads)
                    .mutable_ready()
                    .build(),
            ]
        });
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
        state.process(input, output).map_err(|e| {
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

    /// Changes the settings; asks for new caps downstream if they need others.
    fn change(&self, f: impl FnOnce(&mut Settings)) {
        let renegotiate = {
            let mut settings = lock(&self.settings);
            let before = settings.kind();
            f(Arc::make_mut(&mut settings));
            before != settings.kind()
        };
        if renegotiate {
            self.obj().reconfigure_src();
        }
    }

    fn set_background(&self, text: String) {
        if lock(&self.ready).is_none() {
            // Read on the way to READY, where a bad value fails the state change.
            return self.change(|s| (s.background, s.backdrop) = (text, None));
        }
        match compose::parse(&text).and_then(|b| self.taken_downstream(b)) {
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
        let arrived = Arc::clone(&self.arrived);
        gst::info!(CAT, imp = self, "loading model '{}' beside the running one", settings.model);
        std::thread::spawn(move || {
            let network = choose(&settings, Some(aspect)).and_then(|choice| {
                Network::load(runtime, &choice, settings.provider.wanted(), settings.threads)
            });
            *lock(&arrived) = Some((settings, network));
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
                *lock(&self.network) = Some(network.clone());
                state.matting = Matting::new(network, settings.resolution as usize, settings.follow_subject);
                state.loaded = wanted;
            }
            Err(e) => {
                let kept = Arc::clone(&state.loaded);
                gst::element_imp_warning!(
                    self,
                    gst::ResourceError::Settings,
                    ("{e} It stays '{}'.", kept.model)
                );
                let mut settings = lock(&self.settings);
                let s = Arc::make_mut(&mut settings);
                s.model = kept.model.clone();
                s.model_options = kept.model_options.clone();
                s.resolution = kept.resolution;
                s.follow_subject = kept.follow_subject;
            }
        }
    }

    /// Refuses `transparent` in mid-stream when nothing downstream can take alpha.
    fn taken_downstream(&self, background: Background) -> Result<Background, Error> {
        let obj = self.obj();
        let playing = obj.src_pad().current_caps().is_some();
        if playing && background.is_transparent() && self.settings().output == Output::Video {
            let peer = obj.src_pad().peer_query_caps(None);
            if !takes_alpha(&peer) {
                return Err(Error::new(ErrorKind::Setting, no_alpha(&peer)));
            }
        }
        Ok(background)
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
        let choice = choose(&settings, None)?;
        // A built-in network follows the frame's shape and cannot be broken; a file is tried now.
        if let models::FileSource::File(_) = choice.source {
            let network = Network::load(runtime, &choice, settings.provider.wanted(), settings.threads)?;
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

    /// New caps: a new network if the frame's shape asks for another, new buffers.
    fn configure(&self, input: &VideoInfo, output: &VideoInfo) -> Result<(), Error> {
        let settings = self.settings();
        let Some(runtime) = *lock(&self.ready) else {
            return Err(Error::new(ErrorKind::Runtime, "the element is not in READY"));
        };
        let aspect = aspect(input);
        *lock(&self.aspect) = Some(aspect);
        let choice = choose(&settings, Some(aspect))?;
        let network = Network::load(runtime, &choice, settings.provider.wanted(), settings.threads)?;
        *lock(&self.network) = Some(network.clone());
        let mut guard = lock(&self.state);
        let old = guard.take();
        let before = old.as_ref().map(|s| s.in_force.clone());
        let matting = match old {
            // Only the output changed: what the network remembers still holds.
            Some(s) if s.input == *input && s.matting.network().is_same(&network) => s.matting,
            _ => Matting::new(network, settings.resolution as usize, settings.follow_subject),
        };
        gst::debug!(
            CAT,
            imp = self,
            "{:?} {}×{} to {:?}, network {:?} {:?} on {}",
            input.format(),
            input.width(),
            input.height(),
            output.format(),
            choice.name,
            matting.network().spec.size,
            matting.network().session.provider.name()
        );
        let mut state = State::new(input, output, matting, settings.clone(), before)?;
        state.follow(&settings);
        *guard = Some(state);
        Ok(())
    }

    /// Forgets earlier frames.
    fn reset(&self) {
        if let Some(state) = lock(&self.state).as_mut() {
            state.matting.reset();
        }
    }

    /// Says in plain words why downstream could not take the caps.
    fn explain_negotiation(&self, caps: Option<&gst::Caps>) {
        if self.settings().kind() != Kind::Transparent {
            return;
        }
        let peer = self.obj().src_pad().peer_query_caps(None);
        if !takes_alpha(&peer) {
            gst::element_imp_error!(
                self,
                gst::StreamError::Format,
                ("{}", no_alpha(&peer)),
                ["input: {caps:?}, downstream takes: {peer}"]
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

fn takes_alpha(peer: &gst::Caps) -> bool {
    let alpha =
        gst_video::VideoCapsBuilder::new().format_list(alpha_formats(gst_video::VideoFormat::I420)).build();
    peer.can_intersect(&alpha)
}

fn no_alpha(peer: &gst::Caps) -> String {
    let mut formats: Vec<String> = peer
        .iter()
        .filter_map(|s| s.value("format").ok())
        .flat_map(|v| match v.get::<gst::ListRef>() {
            Ok(list) => list.iter().filter_map(|f| f.get::<String>().ok()).collect(),
            Err(_) => v.get::<String>().into_iter().collect::<Vec<_>>(),
        })
        .collect();
    formats.dedup();
    let taken =
        if formats.is_empty() { String::new() } else { format!(" (it takes {})", formats.join(", ")) };
    format!(
        "background=transparent gives frames with alpha, and what follows bgremove takes none{taken}. Choose a \
         background (a colour, blur or a picture), or follow with an encoder that keeps alpha (pngenc, \
         video/x-raw,format=A444_10LE ! avenc_prores_ks, …)."
    )
}

impl State {
    fn new(
        input: &VideoInfo,
        output: &VideoInfo,
        matting: Matting,
        loaded: Arc<Settings>,
        before: Option<InForce>,
    ) -> Result<Self, Error> {
        // What the caps can carry, until the settings are looked at.
        let fallback = || InForce {
            kind: match output.format() {
                gst_video::VideoFormat::Gray8 => Kind::Matte,
                _ if output.has_alpha() => Kind::Transparent,
                _ => Kind::Opaque,
            },
            background: if output.has_alpha() { Background::Transparent } else { Background::Color([0; 3]) },
            fit: BackgroundFit::default(),
        };
        let in_force = before.filter(|f| carries(input, output, f.kind)).unwrap_or_else(fallback);
        Ok(Self {
            input: input.clone(),
            output: output.clone(),
            matting,
            loaded,
            upsampler: Upsampler::default(),
            alpha: vec![0; input.width() as usize * input.height() as usize],
            rows: Rows::default(),
            converter: None,
            in_force,
            prepared: None,
        })
    }

    /// Takes the newest settings as far as the negotiated caps can carry them. The others wait for the
    /// renegotiation that they have asked for.
    fn follow(&mut self, settings: &Settings) {
        let kind = settings.kind();
        let Some(background) =
            settings.backdrop.as_ref().filter(|_| carries(&self.input, &self.output, kind))
        else {
            return;
        };
        let f = &mut self.in_force;
        if f.background != *background || f.fit != settings.fit {
            self.prepared = None;
        }
        if f.kind != kind || self.prepared.is_none() {
            *f = InForce { kind, background: background.clone(), fit: settings.fit };
        }
    }

    fn process(&mut self, input: &gst::Buffer, output: &mut gst::BufferRef) -> Result<(), Error> {
        let unreadable =
            |what: &str| Error::new(ErrorKind::Inference, format!("{what} does not fit its caps"));
        let in_frame = VideoFrameRef::from_buffer_ref_readable(input, &self.input)
            .map_err(|_| unreadable("the incoming buffer"))?;
        let mut out_frame = VideoFrameRef::from_buffer_ref_writable(output, &self.output)
            .map_err(|_| unreadable("the outgoing buffer"))?;
        let frame = frames::read(&in_frame).ok_or_else(|| unreadable("the incoming buffer"))?;
        let mask = self.matting.run(&frame)?;
        self.upsampler.run(mask, frame.width, frame.height, &mut self.alpha);
        compose::multiply_alpha(&frame, &mut self.alpha);
        if self.in_force.kind != Kind::Matte {
            let mut out = frames::write(&mut out_frame).ok_or_else(|| unreadable("the outgoing buffer"))?;
            if !compose::carry(&frame, &mut out) {
                self.convert(&in_frame, &mut out_frame)?;
            }
        }
        let mut out = frames::write(&mut out_frame).ok_or_else(|| unreadable("the outgoing buffer"))?;
        match self.in_force.kind {
            Kind::Matte => compose::matte(&mut out, &self.alpha),
            Kind::Transparent => compose::transparent(&mut out, &self.alpha, &mut self.rows),
            Kind::Opaque => {
                let prepared = self.prepared.get_or_insert_with(|| {
                    let (format, color) = (out.format, out.color);
                    match &self.in_force.background {
                        Background::Color(rgb) => {
                            let color = if format.is_yuv() { color.yuv(*rgb) } else { *rgb };
                            Prepared::Solid(Solid { format, color })
                        }
                        Background::Image(image) => {
                            let par = self.input.par();
                            let aspect = f64::from(par.numer()) / f64::from(par.denom());
                            let size = (out.width, out.height);
                            Prepared::Picture(Picture::new(
                                image,
                                (format, color),
                                size,
                                self.in_force.fit.into(),
                                aspect,
                            ))
                        }
                        Background::Blur(percent) => {
                            Prepared::Blur(Box::new(Blur::new(format, out.width, out.height, *percent)))
                        }
                        // Not reached while opaque; black shows nothing of the room.
                        Background::Transparent => {
                            Prepared::Solid(Solid { format, color: compose::black(&out) })
                        }
                    }
                });
                let backdrop: &mut dyn Backdrop = match prepared {
                    Prepared::Solid(s) => s,
                    Prepared::Picture(p) => p,
                    Prepared::Blur(b) => {
                        b.prepare(&out.as_ref(), &self.alpha);
                        &mut **b
                    }
                };
                compose::composite(&mut out, &self.alpha, backdrop, &mut self.rows);
            }
        }
        Ok(())
    }

    /// The frame's colours in the output's format, by GStreamer's converter.
    fn convert(
        &mut self,
        input: &VideoFrameRef<&gst::BufferRef>,
        output: &mut VideoFrameRef<&mut gst::BufferRef>,
    ) -> Result<(), Error> {
        let converter = match &mut self.converter {
            Some(c) => c,
            none => {
                let made = VideoConverter::new(&self.input, &self.output, None).map_err(|e| {
                    Error::new(
                        ErrorKind::Inference,
                        format!(
                            "GStreamer cannot convert {:?} to {:?}: {e}",
                            self.input.format(),
                            self.output.format()
                        ),
                    )
                })?;
                none.insert(made)
            }
        };
        converter.frame_ref(input, output);
        Ok(())
    }
}

/// Whether the negotiated formats can hold what a kind of output gives.
fn carries(input: &VideoInfo, output: &VideoInfo, kind: Kind) -> bool {
    match kind {
        Kind::Transparent => output.has_alpha(),
        Kind::Opaque => output.format() == input.format() && output.colorimetry() == input.colorimetry(),
        Kind::Matte => match output.format() {
            gst_video::VideoFormat::Gray8 => true,
            gst_video::VideoFormat::I420 => output.colorimetry().to_string() == caps::MATTE_COLORIMETRY,
            _ => false,
        },
    }
}
