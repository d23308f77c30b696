//! The element's properties as one plain struct.

use crate::compose::{self, Background};
use crate::key;
use crate::layers::Layers;
use crate::refine;
use crate::runtime::{Provider, Target};
use crate::subjects::Wanted;
use std::time::Duration;

/// How an image background meets the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstBgRemoveBackgroundFit")]
pub enum BackgroundFit {
    #[default]
    #[enum_value(name = "Cover: fill the frame, cut off what stands over", nick = "cover")]
    Cover = 0,
    #[enum_value(name = "Contain: show the whole picture, the rest black", nick = "contain")]
    Contain = 1,
    #[enum_value(name = "Stretch: fill the frame, shape not kept", nick = "stretch")]
    Stretch = 2,
}

impl From<BackgroundFit> for compose::Fit {
    fn from(fit: BackgroundFit) -> Self {
        match fit {
            BackgroundFit::Cover => compose::Fit::Cover,
            BackgroundFit::Contain => compose::Fit::Contain,
            BackgroundFit::Stretch => compose::Fit::Stretch,
        }
    }
}

/// What the element puts out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstBgRemoveOutput")]
pub enum Output {
    #[default]
    #[enum_value(name = "Video: the frame, with alpha or on the background", nick = "video")]
    Video = 0,
    #[enum_value(name = "Matte: the alpha itself, as GRAY8 or the luma of I420", nick = "matte")]
    Matte = 1,
    #[enum_value(
        name = "Background: the room without the subject, with a hole or on the background",
        nick = "background"
    )]
    Background = 2,
}

/// Where the network runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstBgRemoveExecutionProvider")]
pub enum ExecutionProvider {
    #[default]
    #[enum_value(name = "Auto: the fastest that gives the same matte", nick = "auto")]
    Auto = 0,
    #[enum_value(name = "CPU", nick = "cpu")]
    Cpu = 1,
    #[enum_value(name = "Intel OpenVINO, on the CPU unless device says otherwise", nick = "openvino")]
    OpenVino = 2,
    #[enum_value(name = "NVIDIA CUDA", nick = "cuda")]
    Cuda = 3,
    #[enum_value(name = "NVIDIA TensorRT", nick = "tensorrt")]
    TensorRt = 4,
    #[enum_value(name = "WebGPU: any maker's GPU, through Vulkan", nick = "webgpu")]
    WebGpu = 5,
    #[enum_value(name = "AMD MIGraphX", nick = "migraphx")]
    MiGraphX = 6,
    #[enum_value(name = "Apple Core ML", nick = "coreml")]
    CoreMl = 7,
    #[enum_value(name = "Microsoft DirectML", nick = "directml")]
    DirectMl = 8,
}

impl ExecutionProvider {
    /// The provider that is asked for; `None` for the fastest.
    pub fn wanted(self) -> Option<Provider> {
        match self {
            ExecutionProvider::Auto => None,
            ExecutionProvider::Cpu => Some(Provider::Cpu),
            ExecutionProvider::OpenVino => Some(Provider::OpenVino),
            ExecutionProvider::Cuda => Some(Provider::Cuda),
            ExecutionProvider::TensorRt => Some(Provider::TensorRt),
            ExecutionProvider::WebGpu => Some(Provider::WebGpu),
            ExecutionProvider::MiGraphX => Some(Provider::MiGraphX),
            ExecutionProvider::CoreMl => Some(Provider::CoreMl),
            ExecutionProvider::DirectMl => Some(Provider::DirectMl),
        }
    }
}

/// How much work goes into the matte's edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstBgRemoveRefine")]
pub enum Refine {
    #[enum_value(name = "None: the network's mask, stretched", nick = "none")]
    None = 0,
    #[enum_value(name = "Fast: without the finest details", nick = "fast")]
    Fast = 1,
    #[default]
    #[enum_value(name = "Best: down to single hairs", nick = "best")]
    Best = 2,
    #[enum_value(
        name = "Learned: as best, then corrected by a small network, for masks of 270 rows or more",
        nick = "learned"
    )]
    Learned = 3,
}

impl From<Refine> for refine::Quality {
    fn from(r: Refine) -> Self {
        match r {
            Refine::None => refine::Quality::None,
            Refine::Fast => refine::Quality::Fast,
            Refine::Best | Refine::Learned => refine::Quality::Best,
        }
    }
}

/// When a frame meets its matte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstBgRemoveInferenceMode")]
pub enum InferenceMode {
    #[default]
    #[enum_value(name = "Auto: async where upstream is live, sync elsewhere", nick = "auto")]
    Auto = 0,
    #[enum_value(name = "Sync: each frame waits for its own matte", nick = "sync")]
    Sync = 1,
    #[enum_value(
        name = "Async: each frame leaves on time, with the newest matte carried to it",
        nick = "async"
    )]
    Async = 2,
}

/// What goes out when an inference fails or takes too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstBgRemoveOnError")]
pub enum OnError {
    #[default]
    #[enum_value(name = "Auto: hide where upstream is live, error elsewhere", nick = "auto")]
    Auto = 0,
    #[enum_value(name = "Error: stop the stream", nick = "error")]
    Error = 1,
    #[enum_value(name = "Hold: go on with the last matte; nothing is shown before the first", nick = "hold")]
    Hold = 2,
    #[enum_value(
        name = "Passthrough: the whole frame, which shows what was to be hidden",
        nick = "passthrough"
    )]
    Passthrough = 3,
    #[enum_value(name = "Hide: nothing of the frame", nick = "hide")]
    Hide = 4,
}

pub const DEFAULT_MODEL: &str = "light";
pub const DEFAULT_SUBJECT: &str = "all";
pub const DEFAULT_BACKGROUND: &str = "transparent";
/// The green of green screens, as 0xAARRGGBB.
pub const DEFAULT_COLOR: u32 = 0xff00_b140;

/// What the properties say. The streaming thread works on a copy.
#[derive(Clone, Debug)]
pub struct Settings {
    pub model: String,
    /// What the model's file does not say of itself.
    pub model_options: Option<gst::Structure>,
    /// Short side of the network's input where its file leaves that open, in pixels; 0 for its own choice.
    pub resolution: u32,
    /// The text of the property `background`.
    pub background: String,
    /// Active background; the previous one while a new picture loads, `None` until the first has been read on the way to READY.
    pub active_background: Option<Background>,
    /// The text of the active background.
    pub active_background_text: String,
    /// Grows with each text of `background`: the picture of an earlier one is not wanted any more.
    pub background_serial: u64,
    /// What the word `color` stands for: 0xAARRGGBB, whose A is not looked at.
    pub color: u32,
    /// What the word `blur` stands for, in percent of the frame's height.
    pub blur: f32,
    pub fit: BackgroundFit,
    pub output: Output,
    /// What is hung on each frame besides.
    pub layers: Layers,
    pub provider: ExecutionProvider,
    /// Which of the provider's devices; empty for its own choice.
    pub device: String,
    pub threads: u32,
    /// The text of the property, and who is meant; all where the text means nobody, which fails on the way to READY.
    pub subject: String,
    pub wanted: Wanted,
    /// Grows with each text of `subject`: one that is set again chooses anew.
    pub subject_serial: u64,
    /// Give a small subject the network's whole resolution.
    pub follow_subject: bool,
    pub refine: Refine,
    /// Put the foreground's own colours where it mixes with the old background.
    pub decontaminate: bool,
    pub controls: refine::Controls,
    /// 0 (off) to 1.
    pub temporal_smoothing: f32,
    /// Use what is behind the subject where it has been seen before.
    pub remember_background: bool,
    /// Forget the past at hard cuts.
    pub scene_detection: bool,
    pub mode: InferenceMode,
    /// Infer each n-th frame.
    pub interval: u32,
    /// Inferences a second at most; 0 for no limit.
    pub max_rate: f64,
    /// Change of the picture, 0..1 of full scale, up to which the last mask serves again; 0 for never.
    pub reuse_threshold: f32,
    /// In sync mode, frames whose masks are under way while earlier ones are finished.
    pub lookahead: u32,
    /// How long frames may be held back for their matte.
    pub matte_delay: Duration,
    /// How long a mask may serve while a newer one is awaited; `None` to take it from what the network usually needs.
    pub max_mask_age: Option<Duration>,
    /// `None` to wait for ever.
    pub timeout: Option<Duration>,
    pub on_error: OnError,
    /// Empty to have one made up.
    pub job_id: String,
    /// Between two messages of statistics; `None` for no messages.
    pub stats_interval: Option<Duration>,
    /// Where the record of a stream goes.
    pub report_location: Option<String>,
    pub write_tags: bool,
    /// Hand the matte on as metadata, too.
    #[cfg(feature = "analytics")]
    pub segmentation_meta: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: DEFAULT_MODEL.into(),
            model_options: None,
            resolution: 0,
            background: DEFAULT_BACKGROUND.into(),
            active_background: Some(Background::Transparent),
            active_background_text: DEFAULT_BACKGROUND.into(),
            background_serial: 0,
            color: DEFAULT_COLOR,
            blur: compose::BLUR,
            fit: BackgroundFit::default(),
            output: Output::default(),
            layers: Layers::empty(),
            provider: ExecutionProvider::default(),
            device: String::new(),
            threads: 0,
            subject: DEFAULT_SUBJECT.into(),
            wanted: Wanted::All,
            subject_serial: 0,
            follow_subject: true,
            refine: Refine::default(),
            decontaminate: true,
            controls: refine::Controls::default(),
            temporal_smoothing: 0.6,
            remember_background: true,
            scene_detection: true,
            mode: InferenceMode::default(),
            interval: 1,
            max_rate: 0.0,
            reuse_threshold: 0.0,
            lookahead: 0,
            matte_delay: Duration::ZERO,
            max_mask_age: None,
            timeout: Some(Duration::from_secs(10)),
            on_error: OnError::default(),
            job_id: String::new(),
            stats_interval: None,
            report_location: None,
            write_tags: false,
            #[cfg(feature = "analytics")]
            segmentation_meta: false,
        }
    }
}

/// Which caps the element offers downstream; follows from the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// Formats with alpha.
    Transparent,
    /// The input's own format.
    Opaque,
    /// The matte alone.
    Matte,
}

impl Settings {
    /// Activates a background: one that its text alone says all of or whose picture has been read, or none until READY.
    pub fn activate_background(&mut self, text: String, background: Option<Background>) {
        self.background_serial += 1;
        self.active_background_text.clone_from(&text);
        (self.background, self.active_background) = (text, background);
    }

    /// What a text means that leaves the rest to another property: `color` and `blur`.
    pub fn background_from_property(&self, text: &str) -> Option<Background> {
        match text.trim() {
            "color" => {
                let [_, r, g, b] = self.color.to_be_bytes();
                Some(Background::Color([r, g, b]))
            }
            "blur" => Some(Background::Blur(self.blur)),
            _ => None,
        }
    }

    /// Takes over what that other property says now, if the active background leaves it to one.
    pub fn update_background_from_property(&mut self) {
        if let Some(background) = self.background_from_property(&self.active_background_text) {
            self.active_background = Some(background);
        }
    }

    /// Whether mattes come of the screen's colour, without a network.
    pub fn is_key(&self) -> bool {
        self.model == key::NAME
    }

    /// Where the network is to run.
    pub fn target(&self) -> Target {
        Target { provider: self.provider.wanted(), device: self.device.trim().to_string() }
    }

    /// Whether both ask for the same network, with the same size of its input.
    pub fn same_network(&self, other: &Settings) -> bool {
        self.model == other.model
            && self.model_options == other.model_options
            && self.resolution == other.resolution
            && self.follow_subject == other.follow_subject
    }

    /// Whether frames leave without waiting for their own inference.
    pub fn is_async(&self, live: bool) -> bool {
        match self.mode {
            InferenceMode::Auto => live,
            InferenceMode::Sync => false,
            InferenceMode::Async => true,
        }
    }

    /// Whether some frames have no inference of their own.
    pub fn reuses_masks(&self, live: bool) -> bool {
        self.is_async(live) || self.interval > 1 || self.max_rate > 0.0 || self.reuse_threshold > 0.0
    }

    /// What to do when an inference fails; not [`OnError::Auto`]. A live privacy filter must not fall open.
    pub fn policy(&self, live: bool) -> OnError {
        match self.on_error {
            OnError::Auto if live || self.is_async(live) => OnError::Hide,
            OnError::Auto => OnError::Error,
            policy => policy,
        }
    }

    /// How long a mask may serve while a newer one is awaited, where an inference usually takes so long: one is then
    /// under way, and another one may wait behind it.
    pub fn max_mask_age(&self, usual: Option<Duration>) -> Duration {
        const LEAST: Duration = Duration::from_millis(500);
        self.max_mask_age.unwrap_or_else(|| LEAST.max(usual.unwrap_or_default().saturating_mul(3)))
    }

    pub fn kind(&self) -> OutputKind {
        match (self.output, &self.active_background) {
            (Output::Matte, _) => OutputKind::Matte,
            (_, Some(b)) if !b.is_transparent() => OutputKind::Opaque,
            // A background that is not read yet: whether it is transparent is plain from its text.
            (_, None) if !self.background.trim().eq_ignore_ascii_case("transparent") => OutputKind::Opaque,
            _ => OutputKind::Transparent,
        }
    }
}
