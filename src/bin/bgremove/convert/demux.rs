//! What demuxers of GStreamer 1.22 tell wrongly, or not at all, of the streams that they find.

use super::header::Header;
use gst::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// Of so many frames at most it is believed that those after them are better: a long group of pictures.
const MOST_BROKEN: u32 = 250;

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

/// Drops the first frames of a stream that a decoder has put together from what is not there, grey with something of the frame, as
/// where a recording begins in the middle of a group of pictures; and counts them. A stream that goes on like this is as it is.
pub fn drop_broken(video: &gst::Pad) -> Arc<AtomicU32> {
    let count = Arc::new(AtomicU32::new(0));
    let own = Arc::clone(&count);
    // Before all that looks at the stream's times.
    let decoded = video.downcast_ref::<gst::GhostPad>().and_then(|ghost| ghost.target());
    decoded.as_ref().unwrap_or(video).add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let is_broken = info.buffer().is_some_and(|b| b.flags().contains(gst::BufferFlags::CORRUPTED));
        if !is_broken || own.load(Ordering::SeqCst) >= MOST_BROKEN {
            return gst::PadProbeReturn::Remove;
        }
        own.fetch_add(1, Ordering::SeqCst);
        gst::PadProbeReturn::Drop
    });
    count
}

/// The number of a stream's track in a Matroska file.
fn track_number(pad: &gst::Pad) -> Option<u64> {
    pad.stream_id()?.rsplit('/').next()?.split(':').next()?.parse().ok()
}

/// What a Matroska file's encoder put before the sound of a stream, which matroskademux takes off only of Opus.
pub fn delay(delays: &[(u64, Duration)], sound: &gst::Pad) -> Option<Duration> {
    let number = track_number(sound)?;
    delays.iter().find(|(n, _)| *n == number).map(|(_, delay)| *delay)
}

/// Takes so much off decoded sound before its beginning: what is left comes earlier by as much.
pub fn take_off(sound: &gst::Pad, delay: Duration) {
    let Ok(delay) = gst::ClockTime::try_from(delay) else { return };
    // Before all that looks at the stream's times.
    let decoded = sound.downcast_ref::<gst::GhostPad>().and_then(|ghost| ghost.target());
    decoded.as_ref().unwrap_or(sound).add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let format = pad.current_caps().and_then(|caps| gst_audio::AudioInfo::from_caps(&caps).ok());
        let segment = pad.sticky_event::<gst::event::Segment>(0);
        let start = segment.and_then(|s| s.segment().downcast_ref::<gst::ClockTime>()?.start());
        let (Some(buffer), Some(format)) = (info.buffer_mut(), format) else {
            return gst::PadProbeReturn::Ok;
        };
        let Some(pts) = buffer.pts() else { return gst::PadProbeReturn::Ok };
        let begin = delay + start.unwrap_or_default();
        let early = begin.saturating_sub(pts);
        let samples = buffer.size() / format.bpf().max(1) as usize;
        let skip =
            early.nseconds().mul_div_round(u64::from(format.rate()), gst::ClockTime::SECOND.nseconds());
        let Some(skip) = skip.and_then(|n| usize::try_from(n).ok()).filter(|n| *n < samples) else {
            return gst::PadProbeReturn::Drop;
        };
        if skip > 0 {
            let whole = std::mem::replace(buffer, gst::Buffer::new());
            *buffer = gst_audio::audio_buffer_truncate(whole, format.bpf(), skip, None);
        }
        buffer.make_mut().set_pts(pts.max(begin) - delay);
        gst::PadProbeReturn::Ok
    });
}

/// How the frames of a Matroska file have to be turned, as `videoflip` calls it, and whether by a quarter; matroskademux
/// does not say.
pub fn turn(header: &Header, video: &gst::Pad) -> Option<(&'static str, bool)> {
    let number = track_number(video)?;
    let (_, roll) = header.rolls.iter().find(|(n, _)| *n == number)?;
    // Anticlockwise.
    match roll.round() as i32 {
        -90 | 270 => Some(("90r", true)),
        90 | -270 => Some(("90l", true)),
        180 | -180 => Some(("180", false)),
        _ => None,
    }
}
