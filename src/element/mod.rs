//! The `bgremove` element: GStreamer on the outside, the other modules inside.

#[cfg(feature = "analytics")]
mod analytics;
mod background;
pub(crate) mod caps;
mod choice;
mod control;
mod convert;
mod effort;
mod engine;
mod flow;
mod imp;
mod inspect;
mod journal;
mod keying;
mod layers;
mod loader;
mod mattes;
mod messages;
mod network;
mod pool;
mod properties;
mod record;
mod render;
mod settings;
mod state;
mod stream;
mod tags;
mod timing;
mod worker;

use crate::report::{Outcome, Record};
use gst::prelude::*;
use gst::subclass::prelude::*;

pub use inspect::elements_of;
pub use messages::error_code;
#[cfg(feature = "doc")]
use settings::{BackgroundFit, ExecutionProvider, InferenceMode, OnError, Output, Refine};

glib::wrapper! {
    /**
     * SECTION:element-bgremove
     * @title: bgremove
     * @short_description: takes the background out of video
     * @see_also: vp9alphaenc, webmalphamux, videobackdrop, compositor
     *
     * A network finds the subject in each frame; its mask is refined to the frame's own edges and steadied from frame to
     * frame. What goes out is the frame with straight alpha, the subject on another background, or the matte alone. Frames
     * keep their number and their timestamps.
     *
     * The properties come in the order of a settings dialog. Those that a frame takes on its way out (the background, the
     * edges, the smoothing) are controllable and follow their #GstControlBinding at each frame's stream time. With the
     * #GstPreset interface come "webcam blur", "cut-out" and "soft hair".
     *
     * Where upstream is live, frames leave on time with the newest mask carried to them; elsewhere each waits for its own
     * (#GstBgRemove:inference-mode). ONNX Runtime is needed from READY on.
     *
     * Warnings and messages: `bgremove-warning`, `bgremove-model` and `bgremove-stats` stand in the details of what is posted
     * on the bus.
     *
     * ## Example launch lines
     *
     * ```bash
     * gst-launch-1.0 filesrc location=in.mp4 ! decodebin ! videoconvert ! bgremove ! vp9alphaenc cpu-used=8 ! webmalphamux ! filesink location=out.webm
     * ```
     * Without its background, as WebM with alpha.
     *
     * ```bash
     * gst-launch-1.0 videotestsrc num-buffers=30 ! video/x-raw,width=640,height=360 ! bgremove background=blur background-blur=8 ! videoconvert ! autovideosink
     * ```
     * The same in a window, on its own background, blurred; with `v4l2src` in place of the first element it is a camera's.
     *
     * ```bash
     * gst-launch-1.0 compositor name=c sink_1::width=320 sink_1::height=180 ! videoconvert ! autovideosink videotestsrc num-buffers=30 ! c. videotestsrc num-buffers=30 ! video/x-raw,width=640,height=360 ! bgremove ! c.
     * ```
     * As a small picture over another one.
     *
     * Since: 0.1.0
     */
    pub struct BgRemove(ObjectSubclass<imp::BgRemove>)
        @extends gst_video::VideoFilter, gst_base::BaseTransform, gst::Element, gst::Object,
        @implements gst::Preset;
}

impl BgRemove {
    /// What `report-location` would write of the run that is under way, or of no run before the first, without
    /// the input's duration, which would have to be asked for upstream.
    pub fn record(&self, outcome: Outcome) -> Record {
        self.imp().record(outcome, None)
    }
}

/// Registers the element and its types.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    #[cfg(feature = "doc")]
    for t in [
        BackgroundFit::static_type(),
        ExecutionProvider::static_type(),
        InferenceMode::static_type(),
        OnError::static_type(),
        Output::static_type(),
        Refine::static_type(),
    ] {
        t.mark_as_plugin_api(gst::PluginAPIFlags::empty());
    }
    gst::Element::register(Some(plugin), "bgremove", gst::Rank::NONE, BgRemove::static_type())
}
