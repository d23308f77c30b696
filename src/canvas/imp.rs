//! The element's implementation.

use super::place::{Anchor, Offset};
use super::render::State;
use super::settings::{Meant, Settings};
use super::{Crop, MARGIN};
use crate::compose::{self, Background};
use crate::ready::is_too_late;
use crate::sync::lock;
use crate::video;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use gst_video::{VideoFormat, VideoInfo};
use std::sync::{LazyLock, Mutex};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("videocanvas", gst::DebugColorFlags::empty(), Some("Frames on a canvas"))
});

/// What goes in, and what comes out on a background, in the same order of bytes.
const FORMATS: [(VideoFormat, VideoFormat); 5] = [
    (VideoFormat::A420, VideoFormat::I420),
    (VideoFormat::Rgba, VideoFormat::Rgbx),
    (VideoFormat::Bgra, VideoFormat::Bgrx),
    (VideoFormat::Argb, VideoFormat::Xrgb),
    (VideoFormat::Abgr, VideoFormat::Xbgr),
];
/// Sides of a canvas, in pixels.
const SIDES: std::ops::RangeInclusive<i32> = 16..=8192;

#[derive(Default)]
pub struct VideoCanvas {
    settings: Mutex<Settings>,
    meant: Mutex<Option<Meant>>,
    state: Mutex<Option<State>>,
}

#[glib::object_subclass]
impl ObjectSubclass for VideoCanvas {
    const NAME: &'static str = "GstBgVideoCanvas";
    type Type = super::VideoCanvas;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for VideoCanvas {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let side = |name: &str, nick: &str, blurb: &str| {
                glib::ParamSpecUInt::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .maximum(*SIDES.end() as u32)
                    .mutable_ready()
                    .build()
            };
            vec![
                side("width", "Width", "Of the canvas, in pixels; 0 for the frames' own"),
                side("height", "Height", "Of the canvas, in pixels; 0 for the frames' own"),
                glib::ParamSpecEnum::builder_with_default("anchor", Anchor::default())
                    .nick("Anchor")
                    .blurb("Which points of picture and canvas lie on each other")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecDouble::builder("scale")
                    .nick("Scale")
                    .blurb("Height of what is placed, as a part of the canvas's; 0 for as large as fits")
                    .minimum(0.0)
                    .maximum(8.0)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecString::builder("offset")
                    .nick("Offset")
                    .blurb(
                        "How far from the anchor: X,Y to the right and down, in pixels or percent of the canvas (-40,-5%)",
                    )
                    .default_value("0,0")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("crop", Crop::default())
                    .nick("Crop")
                    .blurb("What of the frame is placed: all of it, or the subject with a margin")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecDouble::builder("margin")
                    .nick("Margin")
                    .blurb("Around the subject, as a part of its height; none where the frame cuts it off")
                    .minimum(0.0)
                    .maximum(1.0)
                    .default_value(MARGIN)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecString::builder("background")
                    .nick("Background")
                    .blurb(
                        "What the canvas is of: transparent, a colour, or the path of a PNG, JPEG or WebP picture, which covers it",
                    )
                    .default_value("transparent")
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
        if pspec.name() == "offset" {
            return self.set_offset(value.get().ok().flatten().unwrap_or_else(|| "0,0".to_string()));
        }
        let mut settings = lock(&self.settings);
        let text = |default: &str| value.get().ok().flatten().unwrap_or_else(|| default.to_string());
        match pspec.name() {
            "width" => settings.width = value.get().unwrap_or_default(),
            "height" => settings.height = value.get().unwrap_or_default(),
            "anchor" => settings.anchor = value.get().unwrap_or_default(),
            "scale" => settings.scale = value.get().unwrap_or_default(),
            "crop" => settings.crop = value.get().unwrap_or_default(),
            "margin" => settings.margin = value.get().unwrap_or_default(),
            "background" => settings.background = text("transparent"),
            other => gst::error!(CAT, imp = self, "no property '{other}'"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings);
        match pspec.name() {
            "width" => settings.width.to_value(),
            "height" => settings.height.to_value(),
            "anchor" => settings.anchor.to_value(),
            "scale" => settings.scale.to_value(),
            "offset" => settings.offset.to_value(),
            "crop" => settings.crop.to_value(),
            "margin" => settings.margin.to_value(),
            "background" => settings.background.to_value(),
            _ => pspec.default_value().clone(),
        }
    }
}

impl GstObjectImpl for VideoCanvas {}

impl ElementImpl for VideoCanvas {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Video Canvas",
                "Filter/Effect/Video",
                "Places frames with alpha on a canvas of another size, whole or framed around the subject",
                "The bgremove authors",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let (alpha, opaque) = (FORMATS.map(|f| f.0), FORMATS.map(|f| f.1));
            video::templates(&video::caps(alpha), &video::caps(alpha.into_iter().chain(opaque)))
        });
        TEMPLATES.as_ref()
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        // Again on the way to PAUSED: what may be set in READY counts.
        if [gst::StateChange::NullToReady, gst::StateChange::ReadyToPaused].contains(&transition) {
            let meant = self.read().map_err(|e| {
                gst::element_imp_error!(self, gst::LibraryError::Settings, ("{e}"));
                gst::StateChangeError
            })?;
            *lock(&self.meant) = Some(meant);
        }
        let result = self.parent_change_state(transition);
        if transition == gst::StateChange::ReadyToNull {
            *lock(&self.meant) = None;
        }
        result
    }
}

impl VideoCanvas {
    /// What the texts of the properties mean.
    fn read(&self) -> Result<Meant, String> {
        let settings = lock(&self.settings).clone();
        for (name, side) in [("width", settings.width), ("height", settings.height)] {
            if side > 0 && side < *SIDES.start() as u32 {
                return Err(format!(
                    "{name}={side}: a canvas has {} to {} pixels a side",
                    SIDES.start(),
                    SIDES.end()
                ));
            }
        }
        let background = compose::parse(&settings.background).map_err(|e| e.to_string())?;
        if matches!(background, Background::Blur(_)) {
            return Err(
                "a canvas has no room of its own that could be blurred: take a colour or a picture".into()
            );
        }
        Ok(Meant { offset: settings.offset.parse()?, background })
    }

    /// Once there is one in force, a bad one changes nothing.
    fn set_offset(&self, text: String) {
        let parsed: Result<Offset, _> = text.parse();
        let in_force = match (lock(&self.meant).as_mut(), &parsed) {
            (Some(meant), Ok(offset)) => {
                meant.offset = *offset;
                true
            }
            (meant, _) => meant.is_some(),
        };
        match parsed {
            Err(e) if in_force => gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{e}")),
            _ => lock(&self.settings).offset = text,
        }
    }

    fn is_opaque(&self) -> bool {
        // One lock after the other.
        let meant = lock(&self.meant).as_ref().map(|meant| !meant.background.is_transparent());
        meant.unwrap_or_else(|| !lock(&self.settings).background.trim().eq_ignore_ascii_case("transparent"))
    }
}

impl BaseTransformImpl for VideoCanvas {
    const MODE: gst_base::subclass::BaseTransformMode = gst_base::subclass::BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.state) = None;
        Ok(())
    }

    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let (opaque, settings) = (self.is_opaque(), lock(&self.settings).clone());
        let to_canvas = direction == gst::PadDirection::Sink;
        let sides = [("width", settings.width), ("height", settings.height)];
        let mut out = gst::Caps::new_empty();
        for (with_alpha, without) in FORMATS {
            let src = if opaque { without } else { with_alpha };
            let (here, there) = if to_canvas { (with_alpha, src) } else { (src, with_alpha) };
            let only = gst_video::VideoCapsBuilder::new().format(here).build();
            let mut both = caps.intersect(&only);
            for s in both.make_mut().iter_mut() {
                s.set("format", there.to_str());
                for (name, side) in sides {
                    match (to_canvas, i32::try_from(side)) {
                        (true, Ok(side)) if side > 0 => s.set(name, side),
                        (false, Ok(side)) if side > 0 => s.set(name, gst::IntRange::<i32>::new(1, i32::MAX)),
                        _ => {}
                    }
                }
                // A canvas has square pixels.
                if to_canvas {
                    s.set("pixel-aspect-ratio", gst::Fraction::new(1, 1));
                } else {
                    s.remove_field("pixel-aspect-ratio");
                }
            }
            out.merge(both);
        }
        Some(video::filtered(out, filter))
    }

    fn fixate_caps(&self, direction: gst::PadDirection, caps: &gst::Caps, othercaps: gst::Caps) -> gst::Caps {
        let mut other = othercaps;
        other.truncate();
        if direction == gst::PadDirection::Sink
            && let Ok(info) = VideoInfo::from_caps(caps)
        {
            // What is not said follows from the size, which is another one.
            for s in other.make_mut().iter_mut().filter(|s| !s.has_field("colorimetry")) {
                s.set("colorimetry", info.colorimetry().to_string());
            }
        }
        self.parent_fixate_caps(direction, caps, other)
    }

    fn unit_size(&self, caps: &gst::Caps) -> Option<usize> {
        video::unit_size(caps)
    }

    fn transform_size(
        &self,
        _direction: gst::PadDirection,
        _caps: &gst::Caps,
        _size: usize,
        other: &gst::Caps,
    ) -> Option<usize> {
        video::unit_size(other)
    }

    fn set_caps(&self, incaps: &gst::Caps, outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = |caps| VideoInfo::from_caps(caps).map_err(|e| gst::loggable_error!(CAT, "{e}"));
        let (input, output) = (info(incaps)?, info(outcaps)?);
        *lock(&self.state) = Some(State::new(input, output));
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        if event.type_() == gst::EventType::FlushStop
            && let Some(state) = lock(&self.state).as_mut()
        {
            state.reset();
        }
        self.parent_sink_event(event)
    }

    fn transform_meta(
        &self,
        outbuf: &mut gst::BufferRef,
        meta: gst::MetaRef<'_, gst::Meta>,
        inbuf: &gst::BufferRef,
    ) -> bool {
        // What is about places in the frame does not hold on the canvas.
        meta.tags_contain_only(&[]) && self.parent_transform_meta(outbuf, meta, inbuf)
    }

    fn transform(
        &self,
        input: &gst::Buffer,
        output: &mut gst::BufferRef,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let segment = self.obj().segment();
        let time = segment.downcast_ref::<gst::ClockTime>().and_then(|s| s.to_running_time(input.pts()));
        let settings = lock(&self.settings).clone();
        let Some(meant) = lock(&self.meant).clone() else { return Err(gst::FlowError::NotNegotiated) };
        let mut guard = lock(&self.state);
        let Some(state) = guard.as_mut() else { return Err(gst::FlowError::NotNegotiated) };
        state.put(&settings, &meant, time, input, output).ok_or_else(|| {
            gst::element_imp_error!(
                self,
                gst::StreamError::Failed,
                ("a frame's buffer is smaller than its caps say, or stored upside down, which is not read")
            );
            gst::FlowError::Error
        })?;
        Ok(gst::FlowSuccess::Ok)
    }
}
