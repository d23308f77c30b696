//! The layers of a frame, of one inference: `bgremove layers=…` hangs them on the frame that goes out, and the element
//! `layerextract` takes them off it behind a `tee`.
//!
//! ```text
//! … ! bgremove layers=matte+plate ! tee name=t
//! t. ! queue ! vp9alphaenc ! webmalphamux ! filesink location=cutout.webm
//! t. ! queue ! layerextract layer=matte ! videoconvert ! x264enc ! mp4mux ! filesink location=matte.mp4
//! t. ! queue ! layerextract layer=plate ! videoconvert ! x264enc ! mp4mux ! filesink location=plate.mp4
//! ```
//!
//! A layer travels in metadata of the frame, so that it cannot come out of step with it: through `tee` and `queue`, and
//! no farther than an element that makes other frames.

mod imp;

use crate::video::alpha_formats;
use gst::meta::CustomMeta;
use gst::prelude::*;
use gst_video::{VideoFormat, VideoInfo};
use std::sync::Once;

/// Which layer is taken off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstBgLayer")]
pub enum Layer {
    #[enum_value(name = "Matte: the alpha, as GRAY8", nick = "matte")]
    Matte = 0,
    #[enum_value(name = "Background: the room, transparent where the subject is", nick = "background")]
    Background = 1,
    #[default]
    #[enum_value(name = "Plate: the room without the subject, opaque", nick = "plate")]
    Plate = 2,
}

/// Which layers frames carry.
#[glib::flags(name = "GstBgRemoveLayers")]
pub enum Layers {
    #[flags_value(name = "The alpha, as GRAY8", nick = "matte")]
    MATTE = 0b001,
    #[flags_value(name = "The room, transparent where the subject is", nick = "background")]
    BACKGROUND = 0b010,
    #[flags_value(name = "The room without the subject, opaque", nick = "plate")]
    PLATE = 0b100,
}

impl Layer {
    /// All there are.
    pub const ALL: [Layer; 3] = [Layer::Matte, Layer::Background, Layer::Plate];

    /// As in the property `layers`.
    pub fn flag(self) -> Layers {
        match self {
            Layer::Matte => Layers::MATTE,
            Layer::Background => Layers::BACKGROUND,
            Layer::Plate => Layers::PLATE,
        }
    }

    /// As in a property's value.
    pub fn nick(self) -> &'static str {
        match self {
            Layer::Matte => "matte",
            Layer::Background => "background",
            Layer::Plate => "plate",
        }
    }

    /// The format of the layer of frames of a format; `None` if these have no such layer.
    pub fn format(self, frames: VideoFormat) -> Option<VideoFormat> {
        let is_frame = crate::video::format(frames).is_some() && frames != VideoFormat::Gray8;
        match self {
            Layer::Matte => Some(VideoFormat::Gray8),
            Layer::Background if is_frame && has_alpha(frames) => Some(frames),
            Layer::Background if is_frame => Some(alpha_formats(frames)[0]),
            Layer::Plate if is_frame => Some(frames),
            Layer::Background | Layer::Plate => None,
        }
    }

    /// What the layer of frames is like.
    pub fn info(self, frames: &VideoInfo) -> Option<VideoInfo> {
        let format = self.format(frames.format())?;
        let mut info = VideoInfo::builder(format, frames.width(), frames.height())
            .par(frames.par())
            .fps(frames.fps())
            .interlace_mode(frames.interlace_mode());
        let colorimetry = frames.colorimetry();
        if self != Layer::Matte {
            info = info.colorimetry(&colorimetry);
        }
        info.build().ok()
    }
}

fn has_alpha(format: VideoFormat) -> bool {
    gst_video::VideoFormatInfo::from_format(format).has_alpha()
}

/// The metadata's name.
const META: &str = "GstBgRemoveLayersMeta";

/// Makes the metadata known to GStreamer.
fn register_meta() {
    static ONCE: Once = Once::new();
    // It is about the very pixels of the frame: what changes their size or colours drops it.
    ONCE.call_once(|| CustomMeta::register(META, &["video", "size", "colorspace", "orientation", "memory"]));
}

/// Hangs a layer on a frame.
pub fn attach(frame: &mut gst::BufferRef, layer: Layer, buffer: gst::Buffer, info: &VideoInfo) -> Option<()> {
    register_meta();
    let sample = gst::Sample::builder().buffer(&buffer).caps(&info.to_caps().ok()?).build();
    if CustomMeta::from_buffer(frame, META).is_err() {
        CustomMeta::add(frame, META).ok()?;
    }
    let mut meta = CustomMeta::from_mut_buffer(frame, META).ok()?;
    meta.mut_structure().set(layer.nick(), sample);
    Some(())
}

/// A layer that hangs on a frame.
pub fn layer(frame: &gst::BufferRef, layer: Layer) -> Option<gst::Sample> {
    register_meta();
    let meta = CustomMeta::from_buffer(frame, META).ok()?;
    meta.structure().get::<gst::Sample>(layer.nick()).ok()
}

glib::wrapper! {
    /**
     * SECTION:element-layerextract
     * @title: layerextract
     * @short_description: a layer of what bgremove has taken apart
     * @see_also: bgremove, alphaextract
     *
     * Takes a layer off frames on which #GstBgRemove:layers has hung it: the matte, the room with a hole where the subject
     * is, or the plate, which is the room without the subject. Behind a tee, they all come from one inference and are frame for
     * frame in step. Nothing but `tee` and `queue` may stand between.
     *
     * ## Example launch line
     *
     * ```bash
     * gst-launch-1.0 videotestsrc num-buffers=30 ! video/x-raw,width=320,height=180 ! bgremove layers=plate ! tee name=t ! queue ! vp8alphaenc ! webmalphamux ! filesink location=out.webm t. ! queue ! layerextract layer=plate ! videoconvert ! autovideosink
     * ```
     *
     * Since: 0.1.0
     */
    pub struct LayerExtract(ObjectSubclass<imp::LayerExtract>) @extends gst_base::BaseTransform, gst::Element,
        gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "layerextract", gst::Rank::NONE, LayerExtract::static_type())
}
