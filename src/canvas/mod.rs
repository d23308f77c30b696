//! `videocanvas`: frames with alpha, placed on a canvas of another size and shape, whole or framed around the subject.
//!
//! ```text
//! … ! bgremove ! videocanvas width=1080 height=1920 anchor=bottom-right scale=0.4 offset=-40,-40 ! vp9alphaenc ! …
//! … ! bgremove ! videocanvas width=1080 height=1080 anchor=bottom crop=subject background=white ! videoconvert ! …
//! ```
//!
//! `place` says where, `framing` what of the frame, `resample` scales without a rim, `render` does it to a frame.

mod framing;
mod imp;
mod place;
mod render;
mod resample;
mod settings;

use gst::prelude::*;

pub use place::{Anchor, Offset, Placing};

/// What of a frame is placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstBgCanvasCrop")]
pub enum Crop {
    #[default]
    #[enum_value(name = "None: the whole frame", nick = "none")]
    None = 0,
    #[enum_value(name = "Subject: what has alpha, with a margin, steadily", nick = "subject")]
    Subject = 1,
}

/// The margin around the subject, as a part of its height.
pub const MARGIN: f64 = 0.08;

glib::wrapper! {
    /**
     * SECTION:element-videocanvas
     * @title: videocanvas
     * @short_description: places frames with alpha on a canvas
     * @see_also: bgremove, compositor, videobackdrop
     *
     * Scales a frame with straight alpha and places it on a canvas: transparent, of one colour, or a picture. Colours count by
     * their alpha, so that no hidden pixel shows at an edge, however small the frame becomes. Frames keep their number and
     * their times. With #GstBgVideoCanvas:crop what is placed is a box around the subject, which rests while the subject
     * sways and glides where it walks.
     *
     * ## Example launch line
     *
     * ```bash
     * gst-launch-1.0 videotestsrc num-buffers=30 ! video/x-raw,width=320,height=180 ! bgremove ! videocanvas width=180 height=320 anchor=bottom scale=0.5 background=navy ! videoconvert ! autovideosink
     * ```
     *
     * Since: 0.1.0
     */
    pub struct VideoCanvas(ObjectSubclass<imp::VideoCanvas>) @extends gst_base::BaseTransform, gst::Element,
        gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "videocanvas", gst::Rank::NONE, VideoCanvas::static_type())
}
