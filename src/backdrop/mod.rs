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
    /// The `videobackdrop` element.
    pub struct VideoBackdrop(ObjectSubclass<imp::VideoBackdrop>) @extends gst_base::BaseTransform, gst::Element,
        gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "videobackdrop", gst::Rank::NONE, VideoBackdrop::static_type())
}
