//! What GStreamer's decoding of files with alpha gets wrong.

use gst::prelude::*;

/// Lets the last frame of WebM with alpha come out of a `decodebin`. `alphacombine` of GStreamer 1.26 (1.26.2, not 1.22) gives up
/// the colours of the last frame when its alpha's stream has ended, which it has by then: the end is told to it by the
/// colours' stream alone, as it was before.
pub fn keep_last_frame(decoder: &gst::Element) {
    let Some(bin) = decoder.downcast_ref::<gst::Bin>() else { return };
    bin.connect_deep_element_added(|_, _, element| {
        if element.factory().is_none_or(|f| f.name() != "alphacombine") {
            return;
        }
        let Some(alpha) = element.static_pad("alpha") else { return };
        alpha.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, info| match info.event() {
            Some(event) if event.type_() == gst::EventType::Eos => gst::PadProbeReturn::Drop,
            _ => gst::PadProbeReturn::Ok,
        });
    });
}
