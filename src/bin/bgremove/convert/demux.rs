//! What demuxers of GStreamer 1.22 tell wrongly, or not at all, of the streams that they find.

use super::header::Header;
use gst::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether there is video that nobody decodes.
pub fn hear_unknown(decoder: &gst::Element) -> Arc<AtomicBool> {
    let unknown = Arc::new(AtomicBool::new(false));
    let own = Arc::clone(&unknown);
    decoder.connect("unknown-type", false, move |args| {
        let caps = args.get(2).and_then(|v| v.get::<gst::Caps>().ok());
        let is_video = |s: &gst::StructureRef| s.name().starts_with("video/");
        if caps.is_some_and(|c| c.structure(0).is_some_and(is_video)) {
            own.store(true, Ordering::SeqCst);
        }
        None
    });
    unknown
}

/// Lets a stream's time begin at a moment, whatever its segments say.
pub fn begin_at(pad: &gst::Pad, begin: gst::ClockTime) {
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &mut info.data
            && let gst::EventView::Segment(said) = event.view()
            && said.segment().format() == gst::Format::Time
        {
            let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
            segment.set_start(begin);
            *event = gst::event::Segment::builder(&segment).seqnum(event.seqnum()).build();
        }
        gst::PadProbeReturn::Ok
    });
}

/// How the frames of a Matroska file have to be turned, as `videoflip` calls it, and whether by a quarter; matroskademux
/// does not say.
pub fn turn(header: &Header, video: &gst::Pad) -> Option<(&'static str, bool)> {
    // The number of the track, and its id.
    let id = video.stream_id()?;
    let number: u64 = id.rsplit('/').next()?.split(':').next()?.parse().ok()?;
    let (_, roll) = header.rolls.iter().find(|(n, _)| *n == number)?;
    // Anticlockwise.
    match roll.round() as i32 {
        -90 | 270 => Some(("90r", true)),
        90 | -270 => Some(("90l", true)),
        180 | -180 => Some(("180", false)),
        _ => None,
    }
}
