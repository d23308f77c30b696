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
    /**
     * SECTION:element-alphaextract
     * @title: alphaextract
     * @short_description: the alpha of frames as frames of grey
     * @see_also: bgremove, alphacombine
     *
     * Takes any format with alpha and gives its alpha as GRAY8, with the frame's own times. Behind a tee, cut-out and matte come
     * from one inference.
     *
     * ## Example launch line
     *
     * ```bash
     * gst-launch-1.0 videotestsrc num-buffers=30 ! video/x-raw,width=320,height=180 ! bgremove ! tee name=t ! queue ! vp8alphaenc ! webmalphamux ! filesink location=out.webm t. ! queue ! alphaextract ! videoconvert ! autovideosink
     * ```
     *
     * Since: 0.1.0
     */
    pub struct AlphaExtract(ObjectSubclass<imp::AlphaExtract>) @extends gst_base::BaseTransform, gst::Element,
        gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "alphaextract", gst::Rank::NONE, AlphaExtract::static_type())
}
