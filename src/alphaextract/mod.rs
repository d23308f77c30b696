//! `alphaextract`: the alpha of frames as frames of grey, so that a `tee` gives cut-out and matte of one inference.
//!
//! ```text
//! … ! bgremove ! tee name=t
//! t. ! queue ! vp9alphaenc ! webmalphamux ! filesink location=cutout.webm
//! t. ! queue ! alphaextract ! videoconvert ! x264enc ! mp4mux ! filesink location=matte.mp4
//! ```

mod imp;

use gst::prelude::*;

glib::wrapper! {
    /// The `alphaextract` element.
    pub struct AlphaExtract(ObjectSubclass<imp::AlphaExtract>) @extends gst_base::BaseTransform, gst::Element,
        gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "alphaextract", gst::Rank::NONE, AlphaExtract::static_type())
}
