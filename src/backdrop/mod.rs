//! `videobackdrop`: puts frames with alpha on another video, which plays behind them.
//!
//! ```text
//! … ! bgremove ! queue ! videobackdrop location=beach.mp4 ! videoconvert ! x264enc ! …
//! ```
//!
//! One stream in, one out: every frame keeps its time (a `compositor` would make them evenly spaced). The clip
//! behind covers the frame, begins with the first one, and begins again when it is over; its sound is not
//! heard.

mod clip;
mod imp;

use gst::prelude::*;

glib::wrapper! {
    /**
     * SECTION:element-videobackdrop
     * @title: videobackdrop
     * @short_description: a video behind a video with alpha
     * @see_also: bgremove, compositor
     *
     * Every frame keeps its time, where a compositor would make frames evenly spaced. The file that
     * #GstBgVideoBackdrop:location names covers the frame, begins with its first one, and begins again at its end; its sound
     * is not heard.
     *
     * ## Example launch line
     *
     * ```bash
     * gst-launch-1.0 filesrc location=in.mp4 ! decodebin ! videoconvert ! bgremove ! videobackdrop location=beach.mp4 ! videoconvert ! autovideosink
     * ```
     *
     * Since: 0.1.0
     */
    pub struct VideoBackdrop(ObjectSubclass<imp::VideoBackdrop>) @extends gst_base::BaseTransform, gst::Element,
        gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "videobackdrop", gst::Rank::NONE, VideoBackdrop::static_type())
}
