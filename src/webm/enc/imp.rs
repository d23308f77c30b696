//! The bins: properties, and the elements within.

use std::sync::{Arc, LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::key_frames::KeyFrames;
use super::{Deadline, EndUsage, Join, Split};
use crate::ready::is_too_late;
use crate::sync::lock;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "vpxalphaenc",
        gst::DebugColorFlags::empty(),
        Some("VP8 and VP9 encoders with alpha"),
    )
});

/// What is particular to a codec.
#[derive(Clone, Copy, Debug)]
pub struct Codec {
    /// The encoder of each plane.
    factory: &'static str,
    media_type: &'static str,
    cq_level: u32,
    alpha_cq_level: u32,
    /// The finest quantiser, as the encoder has it by default.
    finest: u32,
}

/// The coarsest quantiser of both.
const COARSEST: u32 = 63;

// The alpha is off by 8 at most with VP8, but for single pixels also with VP9 (docs/convert.md has what was measured).
const VP8: Codec =
    Codec { factory: "vp8enc", media_type: "video/x-vp8", cq_level: 12, alpha_cq_level: 4, finest: 4 };
const VP9: Codec =
    Codec { factory: "vp9enc", media_type: "video/x-vp9", cq_level: 24, alpha_cq_level: 4, finest: 0 };

const DEFAULT_BITRATE: u32 = 0;
const DEFAULT_KEYFRAME_MAX_DIST: u32 = 128;
const DEFAULT_CPU_USED: i32 = 4;
const DEFAULT_THREADS: u32 = 0;
/// Bits a pixel for an automatic bitrate; at 1920x1080 and 30 frames a second 6.2 Mbit/s.
const BITS_PER_PIXEL: f64 = 0.1;
/// The same for alpha, of which large parts never change.
const ALPHA_BITS_PER_PIXEL: f64 = 0.05;
/// Least automatic bitrate: small pictures need more bits a pixel.
const MIN_BITRATE: f64 = 256_000.0;

#[derive(Clone, Copy, Debug)]
struct Settings {
    target_bitrate: u32,
    alpha_bitrate: u32,
    end_usage: EndUsage,
    cq_level: u32,
    alpha_cq_level: u32,
    keyframe_max_dist: u32,
    cpu_used: i32,
    threads: u32,
    deadline: Deadline,
}

impl Settings {
    fn new(codec: Codec) -> Self {
        Self {
            target_bitrate: DEFAULT_BITRATE,
            alpha_bitrate: DEFAULT_BITRATE,
            end_usage: EndUsage::default(),
            cq_level: codec.cq_level,
            alpha_cq_level: codec.alpha_cq_level,
            keyframe_max_dist: DEFAULT_KEYFRAME_MAX_DIST,
            cpu_used: DEFAULT_CPU_USED,
            threads: DEFAULT_THREADS,
            deadline: Deadline::default(),
        }
    }
}

/// The elements within.
struct Parts {
    colour: gst::Element,
    alpha: gst::Element,
}

pub struct AlphaEnc {
    sink: gst::GhostPad,
    src: gst::GhostPad,
    codec: Codec,
    settings: Mutex<Settings>,
    /// Pixels a second, by the caps; 0 before they are known.
    pixel_rate: Mutex<f64>,
    keys: Arc<KeyFrames>,
    /// What stands within, or why nothing does.
    parts: Mutex<Result<Parts, String>>,
}

impl AlphaEnc {
    fn build(&self) -> Result<Parts, String> {
        let obj = self.obj();
        let make = |factory: &str, name: &str| {
            gst::ElementFactory::make(factory).name(name).build().map_err(|_| {
                format!(
                    "there is no element {factory}; install GStreamer's {} plugins (Debian: {})",
                    if factory == "queue" { "core" } else { "good" },
                    if factory == "queue" { "libgstreamer1.0-0" } else { "gstreamer1.0-plugins-good" }
                )
            })
        };
        let colour = make(self.codec.factory, "colour-encoder")?;
        let alpha = make(self.codec.factory, "alpha-encoder")?;
        let queue = make("queue", "alpha-queue")?;
        queue.set_property("max-size-buffers", 2u32);
        queue.set_property("max-size-bytes", 0u32);
        queue.set_property("max-size-time", 0u64);
        queue.set_property("silent", true);
        let split = glib::Object::builder::<Split>().property("name", "split").build();
        let join = glib::Object::builder::<Join>().property("name", "join").build();
        split.imp().set_keys(self.keys.clone());
        join.imp().set_keys(self.keys.clone());
        for encoder in [&colour, &alpha] {
            // In step, frame for frame: nothing kept back, added, dropped or resized, and no key
            // frame but those that both are told to make.
            set(encoder, "lag-in-frames", "0");
            set(encoder, "auto-alt-ref", "false");
            set(encoder, "keyframe-mode", "disabled");
            set(encoder, "dropframe-threshold", "0");
            set(encoder, "resize-allowed", "false");
            set(encoder, "qos", "false");
            set(encoder, "min-force-key-unit-interval", "0");
            // Each frame learns from the last: a little smaller.
            set(encoder, "frame-parallel-decoding", "false");
            set(encoder, "row-mt", "true");
        }
        // By default a block that hardly changes is left as it was, and in still areas the errors add up from frame to
        // frame: 10 where nothing is, 247 inside.
        set(&alpha, "static-threshold", "0");
        let said = |error: glib::BoolError| format!("cannot put the encoder together: {error}");
        obj.add_many([split.upcast_ref(), &queue, &colour, &alpha, join.upcast_ref()]).map_err(said)?;
        split.link_pads(Some("colour"), &colour, Some("sink")).map_err(said)?;
        split.link_pads(Some("alpha"), &queue, Some("sink")).map_err(said)?;
        queue.link(&alpha).map_err(said)?;
        colour.link_pads(Some("src"), &join, Some("colour")).map_err(said)?;
        alpha.link_pads(Some("src"), &join, Some("alpha")).map_err(said)?;
        self.sink.set_target(split.static_pad("sink").as_ref()).map_err(said)?;
        self.src.set_target(join.static_pad("src").as_ref()).map_err(said)?;
        Ok(Parts { colour, alpha })
    }

    /// Works out automatic bitrates for a new size and rate.
    fn caps(&self, caps: &gst::CapsRef) {
        let Ok(info) = gst_video::VideoInfo::from_caps(caps) else { return };
        let rate = match (info.fps().numer(), info.fps().denom()) {
            (n, d) if n > 0 && d > 0 => f64::from(n) / f64::from(d),
            // Unknown or variable.
            _ => 30.0,
        };
        *lock(&self.pixel_rate) = f64::from(info.width()) * f64::from(info.height()) * rate;
        self.apply();
    }

    /// Hands the settings on to the encoders. Those of them that do not take effect while they run are held by `is_too_late`.
    fn apply(&self) {
        let settings = *lock(&self.settings);
        self.keys.set_distance(settings.keyframe_max_dist);
        let parts = lock(&self.parts);
        let Ok(Parts { colour, alpha }) = &*parts else { return };
        let threads = match settings.threads {
            0 => crate::webm::encoder_threads(self.codec.factory),
            threads => threads,
        };
        let pixel_rate = *lock(&self.pixel_rate);
        let per_plane = [
            (colour, settings.target_bitrate, settings.cq_level, BITS_PER_PIXEL),
            (alpha, settings.alpha_bitrate, settings.alpha_cq_level, ALPHA_BITS_PER_PIXEL),
        ];
        for (encoder, bitrate, cq_level, bits_per_pixel) in per_plane {
            let end_usage = match settings.end_usage {
                EndUsage::Vbr => "vbr",
                EndUsage::Cbr => "cbr",
                EndUsage::Cq => "cq",
            };
            set(encoder, "end-usage", end_usage);
            // Not left to the encoder: GStreamer 1.22's takes its own automatic bitrate into account
            // only when it runs for the second time.
            let bitrate = match bitrate {
                0 => (pixel_rate * bits_per_pixel).clamp(MIN_BITRATE, i32::MAX.into()) as u32,
                // Encoders count in thousands.
                bitrate => bitrate.max(1000),
            };
            set(encoder, "target-bitrate", &bitrate.to_string());
            set(encoder, "cq-level", &cq_level.to_string());
            let (finest, coarsest) = match settings.end_usage {
                EndUsage::Vbr | EndUsage::Cbr => (self.codec.finest, COARSEST),
                // A matte that is short of bits frays at its edges: its quality is constant.
                EndUsage::Cq if encoder == alpha => (cq_level, cq_level),
                // For 150 frames after its start VP8 heeds the bitrate only.
                EndUsage::Cq if self.codec.factory == VP8.factory => (cq_level, COARSEST),
                EndUsage::Cq => (self.codec.finest, COARSEST),
            };
            set(encoder, "min-quantizer", &finest.to_string());
            set(encoder, "max-quantizer", &coarsest.to_string());
            set(encoder, "keyframe-max-dist", &settings.keyframe_max_dist.to_string());
            set(encoder, "cpu-used", &settings.cpu_used.to_string());
            set(encoder, "threads", &threads.to_string());
            set(encoder, "deadline", &settings.deadline.micros().to_string());
        }
    }
}

/// Sets a property of an encoder if it has it: GStreamer's versions differ a little.
fn set(element: &gst::Element, name: &str, value: &str) {
    if element.find_property(name).is_some() {
        element.set_property_from_str(name, value);
    } else {
        gst::debug!(CAT, obj = element, "has no property {name}");
    }
}

/// The class of the base: subclasses say their codec in it.
#[repr(C)]
pub struct Class {
    parent: gst::ffi::GstBinClass,
    codec: Codec,
}

// SAFETY: the struct is `repr(C)` and begins with the class struct of the parent type, GstBin.
unsafe impl ClassStruct for Class {
    type Type = AlphaEnc;
}

impl std::ops::Deref for Class {
    type Target = glib::Class<gst::Bin>;

    fn deref(&self) -> &Self::Target {
        // SAFETY: the parent's class is the first member, and a glib::Class is just that.
        unsafe { &*std::ptr::from_ref(self).cast() }
    }
}

#[glib::object_subclass]
impl ObjectSubclass for AlphaEnc {
    const NAME: &'static str = "GstBgAlphaEnc";
    const ABSTRACT: bool = true;
    type Type = super::AlphaEnc;
    type ParentType = gst::Bin;
    type Class = Class;

    fn class_init(class: &mut Class) {
        class.codec = VP9;
    }

    fn with_class(class: &Class) -> Self {
        // The templates belong to the subclass.
        let ghost = |name, direction| match class.pad_template(name) {
            Some(template) => gst::GhostPad::builder_from_template(&template).build(),
            None => gst::GhostPad::builder(direction).name(name).build(),
        };
        Self {
            sink: ghost("sink", gst::PadDirection::Sink),
            src: ghost("src", gst::PadDirection::Src),
            codec: class.codec,
            settings: Mutex::new(Settings::new(class.codec)),
            pixel_rate: Mutex::default(),
            keys: Arc::default(),
            parts: Mutex::new(Err("it is not put together".into())),
        }
    }
}

impl ObjectImpl for AlphaEnc {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecUInt::builder("target-bitrate")
                    .nick("Target bitrate")
                    .blurb(
                        "Bitrate of the colour in bits a second: the average with end-usage vbr and \
                         cbr, a ceiling with cq (0 = by size and rate, 0.1 bits a pixel, at least 256 kbit/s)",
                    )
                    .maximum(i32::MAX as u32)
                    .default_value(DEFAULT_BITRATE)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder("alpha-bitrate")
                    .nick("Alpha bitrate")
                    .blurb(
                        "Average bitrate of the alpha in bits a second, on top of the colour's, with end-usage vbr \
                         and cbr; with cq the quality alone decides \
                         (0 = by size and rate, 0.05 bits a pixel, at least 256 kbit/s)",
                    )
                    .maximum(i32::MAX as u32)
                    .default_value(DEFAULT_BITRATE)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("end-usage", EndUsage::default())
                    .nick("End usage")
                    .blurb("What the encoders hold to: a bitrate, or a quality below a bitrate")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("cq-level")
                    .nick("Constrained quality level")
                    .blurb(
                        "Quality of the colour with end-usage cq: 0 is best, 63 is worst \
                         (default: 24 for VP9, 12 for VP8)",
                    )
                    .maximum(63)
                    .default_value(VP9.cq_level)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder("alpha-cq-level")
                    .nick("Alpha constrained quality level")
                    .blurb(
                        "Quality of the alpha with end-usage cq, the same for every frame: 0 is best (VP9: exact), \
                         63 is worst",
                    )
                    .maximum(63)
                    .default_value(VP9.alpha_cq_level)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder("keyframe-max-dist")
                    .nick("Maximum key frame distance")
                    .blurb(
                        "Frames from one key frame to the next, in colour and alpha alike; \
                         players seek to key frames (1 = every frame)",
                    )
                    .minimum(1)
                    .maximum(i32::MAX as u32)
                    .default_value(DEFAULT_KEYFRAME_MAX_DIST)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecInt::builder("cpu-used")
                    .nick("CPU used")
                    .blurb("Speed against size: higher is faster, larger and a little worse")
                    .minimum(-16)
                    .maximum(16)
                    .default_value(DEFAULT_CPU_USED)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder("threads")
                    .nick("Threads")
                    .blurb("Threads of each of the two encoders (0 = one a processor, VP8 one for each four, at most 16)")
                    .maximum(64)
                    .default_value(DEFAULT_THREADS)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("deadline", Deadline::default())
                    .nick("Deadline")
                    .blurb("How long to think about a frame; use realtime for live streams")
                    .mutable_ready()
                    .build(),
            ]
        });
        PROPERTIES.as_ref()
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        if is_too_late(&*self.obj(), pspec, value) {
            return;
        }
        {
            let mut settings = lock(&self.settings);
            let uint = || value.get::<u32>().unwrap_or_default();
            match pspec.name() {
                "target-bitrate" => settings.target_bitrate = uint(),
                "alpha-bitrate" => settings.alpha_bitrate = uint(),
                "end-usage" => settings.end_usage = value.get().unwrap_or_default(),
                "cq-level" => settings.cq_level = uint(),
                "alpha-cq-level" => settings.alpha_cq_level = uint(),
                "keyframe-max-dist" => settings.keyframe_max_dist = uint(),
                "cpu-used" => settings.cpu_used = value.get().unwrap_or_default(),
                "threads" => settings.threads = uint(),
                "deadline" => settings.deadline = value.get().unwrap_or_default(),
                name => gst::warning!(CAT, imp = self, "no property {name}"),
            }
        }
        self.apply();
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings);
        match pspec.name() {
            "target-bitrate" => settings.target_bitrate.to_value(),
            "alpha-bitrate" => settings.alpha_bitrate.to_value(),
            "end-usage" => settings.end_usage.to_value(),
            "cq-level" => settings.cq_level.to_value(),
            "alpha-cq-level" => settings.alpha_cq_level.to_value(),
            "keyframe-max-dist" => settings.keyframe_max_dist.to_value(),
            "cpu-used" => settings.cpu_used.to_value(),
            "threads" => settings.threads.to_value(),
            "deadline" => settings.deadline.to_value(),
            _ => pspec.default_value().clone(),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        obj.set_suppressed_flags(gst::ElementFlags::SOURCE | gst::ElementFlags::SINK);
        for pad in [&self.sink, &self.src] {
            if obj.add_pad(pad).is_err() {
                gst::error!(CAT, imp = self, "pad {} is there already", pad.name());
            }
        }
        let weak = self.downgrade();
        self.sink.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let Some(gst::PadProbeData::Event(event)) = &info.data
                && let gst::EventView::Caps(caps) = event.view()
                && let Some(this) = weak.upgrade()
            {
                this.caps(caps.caps());
            }
            gst::PadProbeReturn::Ok
        });
        let parts = self.build();
        *lock(&self.parts) = parts;
        self.apply();
    }
}

impl GstObjectImpl for AlphaEnc {}

impl ElementImpl for AlphaEnc {
    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::NullToReady
            && let Err(why) = &*lock(&self.parts)
        {
            gst::element_imp_error!(self, gst::CoreError::MissingPlugin, ("{why}"));
            return Err(gst::StateChangeError);
        }
        self.parent_change_state(transition)
    }
}

impl BinImpl for AlphaEnc {}

/// Implemented by the two elements.
pub trait AlphaEncImpl: BinImpl {
    /// The codec.
    const CODEC: Codec;
}

// SAFETY: the parent's class is initialised first, and only our own member, a plain value, is set then.
unsafe impl<T: AlphaEncImpl> IsSubclassable<T> for super::AlphaEnc {
    fn class_init(class: &mut glib::Class<Self>) {
        Self::parent_class_init::<T>(class);
        class.as_mut().codec = T::CODEC;
    }
}

fn templates(codec: Codec) -> Vec<gst::PadTemplate> {
    let sink = gst_video::VideoCapsBuilder::new().format(gst_video::VideoFormat::A420).build();
    let mut src = gst::Caps::builder(codec.media_type).field("codec-alpha", true);
    if codec.media_type == "video/x-vp9" {
        src = src.field("alignment", "super-frame");
    }
    crate::video::templates(&sink, &src.build())
}

/// One of the two elements.
macro_rules! element {
    ($name:ident, $type_name:literal, $codec:ident, $long_name:literal, $description:literal) => {
        #[derive(Default)]
        pub struct $name;

        #[glib::object_subclass]
        impl ObjectSubclass for $name {
            const NAME: &'static str = $type_name;
            type Type = super::$name;
            type ParentType = super::AlphaEnc;
        }

        impl ObjectImpl for $name {}
        impl GstObjectImpl for $name {}

        impl ElementImpl for $name {
            fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
                static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                    gst::subclass::ElementMetadata::new(
                        $long_name,
                        "Codec/Encoder/Video",
                        $description,
                        "The bgremove authors",
                    )
                });
                Some(&*METADATA)
            }

            fn pad_templates() -> &'static [gst::PadTemplate] {
                static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| templates($codec));
                TEMPLATES.as_ref()
            }
        }

        impl BinImpl for $name {}

        impl AlphaEncImpl for $name {
            const CODEC: Codec = $codec;
        }
    };
}

element!(
    Vp8AlphaEnc,
    "GstBgVp8AlphaEnc",
    VP8,
    "VP8 Alpha Encoder",
    "Encodes A420 as VP8 with a second VP8 stream for the alpha, for webmalphamux. The two encoders \
     within are set further through colour-encoder:: and alpha-encoder:: (GstChildProxy)"
);
element!(
    Vp9AlphaEnc,
    "GstBgVp9AlphaEnc",
    VP9,
    "VP9 Alpha Encoder",
    "Encodes A420 as VP9 with a second VP9 stream for the alpha, for webmalphamux. The two encoders \
     within are set further through colour-encoder:: and alpha-encoder:: (GstChildProxy)"
);
