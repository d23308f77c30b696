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
mod keys;
mod split;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /// What both encoders share; not an element of its own.
    pub struct AlphaEnc(ObjectSubclass<imp::AlphaEnc>) @extends gst::Bin, gst::Element, gst::Object,
        @implements gst::ChildProxy;
}

glib::wrapper! {
    /// `vp8alphaenc`.
    pub struct Vp8AlphaEnc(ObjectSubclass<imp::Vp8AlphaEnc>) @extends AlphaEnc, gst::Bin, gst::Element,
        gst::Object, @implements gst::ChildProxy;
}

glib::wrapper! {
    /// `vp9alphaenc`.
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
    // Above none: an encoder that needs alpha is never picked for video without.
    let rank = gst::Rank::NONE;
    gst::Element::register(Some(plugin), "vp8alphaenc", rank, Vp8AlphaEnc::static_type())?;
    gst::Element::register(Some(plugin), "vp9alphaenc", rank, Vp9AlphaEnc::static_type())
}
