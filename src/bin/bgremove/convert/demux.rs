//! What demuxers of GStreamer 1.22 tell wrongly, or not at all, of the streams that they find.

use super::header::Header;
use super::trim::samples;
use gst::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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

/// The number of a stream's track in a Matroska file.
fn track_number(pad: &gst::Pad) -> Option<u64> {
    pad.stream_id()?.rsplit('/').next()?.split(':').next()?.parse().ok()
}

/// What the encoder of a Matroska file put before the sound of a stream, which matroskademux takes off only where it is Opus.
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
        let length = |samples: usize| {
            gst::ClockTime::SECOND.mul_div_round(samples as u64, u64::from(format.rate().max(1)))
        };
        let samples = samples(buffer, &format);
        let early = begin.saturating_sub(pts);
        let skip =
            early.nseconds().mul_div_round(u64::from(format.rate()), gst::ClockTime::SECOND.nseconds());
        let Some(skip) = skip.and_then(|n| usize::try_from(n).ok()).filter(|n| *n < samples) else {
            return gst::PadProbeReturn::Drop;
        };
        if skip > 0 {
            let whole = std::mem::replace(buffer, gst::Buffer::new());
            *buffer = gst_audio::audio_buffer_truncate(whole, format.bpf(), skip, None);
            buffer.make_mut().set_duration(length(samples - skip));
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

#[cfg(test)]
mod tests {
    use super::*;
    use gstbgremove::sync::lock;
    use std::sync::Mutex;

    const MS: gst::ClockTime = gst::ClockTime::MSECOND;

    /// Time, length and samples of sound of 1 kHz behind `take_off`, that comes in pieces of 100 ms from `first` on.
    fn left(delay: u64, begin: u64, first: u64, valid: Option<usize>) -> Vec<(u64, Option<u64>, usize)> {
        gst::init().unwrap();
        let source = gst::Pad::new(gst::PadDirection::Src);
        let ghost = gst::GhostPad::with_target(&source).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let own = Arc::clone(&heard);
        let sink = gst::Pad::builder(gst::PadDirection::Sink)
            .chain_function(move |_, _, buffer| {
                let samples =
                    buffer.meta::<gst_audio::AudioMeta>().map_or(buffer.size() / 2, |m| m.samples());
                let ms = |t: gst::ClockTime| t.mseconds();
                lock(&own).push((ms(buffer.pts().unwrap()), buffer.duration().map(ms), samples));
                Ok(gst::FlowSuccess::Ok)
            })
            .build();
        take_off(ghost.upcast_ref(), Duration::from_millis(delay));
        sink.set_active(true).unwrap();
        ghost.set_active(true).unwrap();
        source.set_active(true).unwrap();
        ghost.link(&sink).unwrap();
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_start(begin * MS);
        let info = gst_audio::AudioInfo::builder(gst_audio::AudioFormat::S16le, 1000, 1).build().unwrap();
        source.push_event(gst::event::StreamStart::new("sound"));
        source.push_event(gst::event::Caps::new(&info.to_caps().unwrap()));
        source.push_event(gst::event::Segment::new(&segment));
        for n in 0..3 {
            let mut buffer = gst::Buffer::with_size(200).unwrap();
            let whole = buffer.get_mut().unwrap();
            whole.set_pts((first + 100 * n) * MS);
            whole.set_duration(valid.map_or(100, |n| n as u64) * MS);
            if let Some(valid) = valid {
                gst_audio::AudioMeta::add(whole, &info, valid, &[]).unwrap();
            }
            source.push(buffer).unwrap();
        }
        std::mem::take(&mut *lock(&heard))
    }

    #[test]
    fn what_an_encoder_put_before_is_taken_off_and_the_rest_comes_earlier() {
        assert_eq!(left(30, 0, 0, None), [(0, Some(70), 70), (70, Some(100), 100), (170, Some(100), 100)]);
        // More than a piece of it, and a whole one.
        assert_eq!(left(130, 0, 0, None), [(0, Some(70), 70), (70, Some(100), 100)]);
        assert_eq!(left(100, 0, 0, None), [(0, Some(100), 100), (100, Some(100), 100)]);
        // Behind a place that was gone to, where the first piece begins before it.
        assert_eq!(left(30, 500, 480, None)[..2], [(500, Some(50), 50), (550, Some(100), 100)]);
        // Sound that begins later.
        assert_eq!(left(30, 0, 400, None)[0], (370, Some(100), 100));
        // Pieces of which only so much is valid.
        assert_eq!(left(30, 0, 0, Some(20))[0], (70, Some(20), 20));
        assert_eq!(left(30, 0, 0, Some(40))[0], (0, Some(10), 10));
    }
}
