//! `webmalphamux`: VP8 and VP9, with or without alpha, Opus and Vorbis to WebM.
//!
//! ```text
//! gst-launch-1.0 webmalphamux name=m ! filesink location=out.webm \
//!     filesrc location=in.mp4 ! decodebin name=d \
//!     d. ! queue ! videoconvert ! bgremove ! vp9alphaenc ! \
//!     m.video_0 \
//!     d. ! queue ! audioconvert ! audioresample ! opusenc ! m.audio_0
//! ```
//!
//! Every request pad needs a stream: the file begins when all have given their first frame or ended.
//!
//! `streams` reads caps and tags, `write` takes frames in the order of their running times, and
//! [`super::writer`] makes the bytes.

mod imp;
mod streams;
mod write;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /**
     * SECTION:element-webmalphamux
     * @title: webmalphamux
     * @short_description: WebM whose video may have alpha
     * @see_also: vp9alphaenc, webmmux
     *
     * Writes VP8 and VP9 with the alpha that their buffers carry (BlockAdditions, AlphaMode 1), Opus and Vorbis. Where there
     * is no alpha it writes what webmmux does. The file begins when each request pad has given its first frame or ended, and
     * a file that is cut short plays up to its last whole cluster.
     *
     * ## Example launch line
     *
     * ```bash
     * gst-launch-1.0 webmalphamux name=m ! filesink location=out.webm videotestsrc num-buffers=30 ! video/x-raw,width=320,height=180 ! bgremove ! vp8alphaenc ! queue ! m. audiotestsrc num-buffers=44 ! audioconvert ! audioresample ! opusenc ! queue ! m.
     * ```
     * With sound.
     *
     * Since: 0.1.0
     */
    pub struct WebmAlphaMux(ObjectSubclass<imp::WebmAlphaMux>)
        @extends gst_base::Aggregator, gst::Element, gst::Object, @implements gst::TagSetter;
}

pub(super) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    // Never plugged automatically: webmmux stays the default for files without alpha.
    let rank = gst::Rank::NONE;
    gst::Element::register(Some(plugin), "webmalphamux", rank, WebmAlphaMux::static_type())
}
