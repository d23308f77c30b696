//! `vp8alphaenc` and `vp9alphaenc`: A420 in, a VP8 or VP9 stream with an alpha stream beside it out.
//!
//! ```text
//!             ┌► colour ───────► vp9enc ─┐
//! A420 ─► split                          join ─► video/x-vp9, codec-alpha=true
//!             └► alpha ─► queue ► vp9enc ─┘
//! ```
//!
//! A file:
//!
//! ```text
//! gst-launch-1.0 filesrc location=in.mp4 ! decodebin ! videoconvert ! bgremove ! \
//!     vp9alphaenc ! webmalphamux ! filesink location=out.webm
//! ```
//!
//! A live stream:
//!
//! ```text
//! … ! vp8alphaenc deadline=realtime cpu-used=8 end-usage=cbr target-bitrate=2000000 ! queue ! …
//! ```
//!
//! The two encoders never run apart: `split` says which frames are key frames and tells both, `join`
//! pairs what comes out by its time and ends the stream with an error when a partner is missing.

mod imp;
mod join;
mod key_frames;
mod split;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /// What both encoders share; not an element of its own.
    pub struct AlphaEnc(ObjectSubclass<imp::AlphaEnc>) @extends gst::Bin, gst::Element, gst::Object,
        @implements gst::ChildProxy;
}

glib::wrapper! {
    /**
     * SECTION:element-vp8alphaenc
     * @title: vp8alphaenc
     * @short_description: VP8 with alpha
     * @see_also: vp9alphaenc, webmalphamux, vp8alphadecodebin
     *
     * Encodes A420 as two VP8 streams, one of the colours and one of the alpha, whose frames go out together: the alpha rides
     * on each buffer as #GstVideoCodecAlphaMeta, which webmalphamux writes and vp8alphadecodebin reads. Both have their key
     * frames at the same times. The encoders within are children (#GstChildProxy) named `colour-encoder` and `alpha-encoder`.
     *
     * ## Example launch line
     *
     * ```bash
     * gst-launch-1.0 videotestsrc num-buffers=30 ! video/x-raw,width=320,height=180 ! bgremove ! vp8alphaenc deadline=realtime cpu-used=8 end-usage=cbr target-bitrate=2000000 ! webmalphamux ! filesink location=out.webm
     * ```
     * As fast as for a live stream, at a bitrate.
     *
     * Since: 0.1.0
     */
    pub struct Vp8AlphaEnc(ObjectSubclass<imp::Vp8AlphaEnc>) @extends AlphaEnc, gst::Bin, gst::Element,
        gst::Object, @implements gst::ChildProxy;
}

glib::wrapper! {
    /**
     * SECTION:element-vp9alphaenc
     * @title: vp9alphaenc
     * @short_description: VP9 with alpha
     * @see_also: vp8alphaenc, webmalphamux, vp9alphadecodebin
     *
     * As vp8alphaenc, with VP9, which makes smaller files and takes longer. With #GstBgVp9AlphaEnc:alpha-cq-level at 0 the
     * alpha comes back exactly.
     *
     * ## Example launch line
     *
     * ```bash
     * gst-launch-1.0 videotestsrc num-buffers=30 ! video/x-raw,width=320,height=180 ! bgremove ! vp9alphaenc alpha-cq-level=0 cpu-used=8 ! webmalphamux ! filesink location=out.webm
     * ```
     *
     * Since: 0.1.0
     */
    pub struct Vp9AlphaEnc(ObjectSubclass<imp::Vp9AlphaEnc>) @extends AlphaEnc, gst::Bin, gst::Element,
        gst::Object, @implements gst::ChildProxy;
}

glib::wrapper! {
    /// Takes A420 apart; lives only within the bins.
    pub(crate) struct Split(ObjectSubclass<split::Split>) @extends gst::Element, gst::Object;
}

glib::wrapper! {
    /// Puts colour and alpha frames together; lives only within the bins.
    pub(crate) struct Join(ObjectSubclass<join::Join>) @extends gst::Element, gst::Object;
}

/// How the encoders spend their bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstBgAlphaEncEndUsage")]
pub enum EndUsage {
    /// The bitrate on average.
    #[enum_value(name = "Variable bit rate: target-bitrate and alpha-bitrate on average", nick = "vbr")]
    Vbr,
    /// The bitrate at all times.
    #[enum_value(name = "Constant bit rate: for links of fixed capacity", nick = "cbr")]
    Cbr,
    /// The quality, and no more than the bitrate.
    #[default]
    #[enum_value(
        name = "Constrained quality: cq-level with target-bitrate as a ceiling, and alpha-cq-level",
        nick = "cq"
    )]
    Cq,
}

/// How long an encoder may think about a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstBgAlphaEncDeadline")]
pub enum Deadline {
    /// For files.
    #[default]
    #[enum_value(name = "Good quality: for files", nick = "good")]
    Good,
    /// For live streams.
    #[enum_value(name = "Real time: for cameras and live streams", nick = "realtime")]
    Realtime,
    /// As long as it takes.
    #[enum_value(name = "Best quality: several times slower than good, hardly better", nick = "best")]
    Best,
}

impl Deadline {
    /// Microseconds a frame, as vp8enc and vp9enc want it.
    fn micros(self) -> i64 {
        match self {
            Self::Best => 0,
            Self::Realtime => 1,
            Self::Good => 1_000_000,
        }
    }
}

pub(super) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    AlphaEnc::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    EndUsage::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    Deadline::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    // Never plugged automatically: it needs video with alpha.
    let rank = gst::Rank::NONE;
    gst::Element::register(Some(plugin), "vp8alphaenc", rank, Vp8AlphaEnc::static_type())?;
    gst::Element::register(Some(plugin), "vp9alphaenc", rank, Vp9AlphaEnc::static_type())
}
