//! The frames of the parts as they are stored, one part after the other, each at its place in the whole.

use super::gather::{Part, Whole};
use crate::convert::fault::Fault;
use crate::convert::format::Format;
use crate::convert::launch_line::{quoted, text};
use crate::convert::watchdog::Watchdog;
use crate::gstreamer;
use crate::gstreamer::Running;
use gst::prelude::*;

/// What is shown first may have to be decoded earlier than at nought, which an unsigned time cannot say; as encoders do it.
const NOUGHT: u64 = 1000 * 3600 * 1_000_000_000;

/// Gives all frames to a source, and its end; how many there were.
pub fn feed(whole: &Whole, into: &gst_app::AppSrc, watchdog: &Watchdog) -> Result<u64, Fault> {
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_start(gst::ClockTime::from_nseconds(NOUGHT));
    let mut stream: Option<gst::Caps> = None;
    let mut count = 0;
    for part in &whole.parts {
        let mut places = Places::new(part);
        let broken = |what: &str| {
            Fault::input(format!(
                "{} cannot be joined: {what}; make it again, with --overwrite",
                part.path.display()
            ))
        };
        each(part, whole.format, watchdog, |sample| {
            let (Some(buffer), Some(caps)) = (sample.buffer(), sample.caps()) else { return Ok(true) };
            let like = stream.get_or_insert_with(|| caps.to_owned());
            if !is_like(caps, like) {
                return Err(broken(&format!("its frames are another stream ({caps}, not {like})")));
            }
            let within = sample.segment().and_then(|s| s.downcast_ref::<gst::ClockTime>());
            let time = within.zip(buffer.pts()).and_then(|(s, pts)| s.to_running_time(pts));
            let (time, pts) = time.zip(buffer.pts()).ok_or_else(|| broken("a frame of it has no time"))?;
            let (at, length) = places
                .take(time.nseconds())
                .ok_or_else(|| broken("its frames are not where they were written"))?;
            let mut buffer = buffer.copy();
            let frame = buffer.make_mut();
            let early = frame.dts().map(|dts| i128::from(pts.nseconds()) - i128::from(dts.nseconds()));
            let at = NOUGHT + at;
            let dts = early.and_then(|early| u64::try_from(i128::from(at) - early).ok());
            frame.set_pts(gst::ClockTime::from_nseconds(at));
            frame.set_dts(dts.map(gst::ClockTime::from_nseconds));
            frame.set_duration((length > 0).then(|| gst::ClockTime::from_nseconds(length)));
            count += 1;
            let sample = gst::Sample::builder().buffer(&buffer).caps(like).segment(&segment).build();
            // The pipeline is stopping, and says why by itself.
            Ok(into.push_sample(&sample).is_ok())
        })?;
        if let Some(left) = places.left() {
            return Err(broken(&format!("{left} of its frames are missing")));
        }
    }
    // Nobody is left to hear that it has ended already.
    let _ = into.end_of_stream();
    Ok(count)
}

/// Whether frames are of one stream. The rate is the demuxer's guess where frames are unevenly spaced, another one for each
/// part; their own times count.
fn is_like(a: &gst::CapsRef, b: &gst::CapsRef) -> bool {
    let plain = |caps: &gst::CapsRef| {
        let mut caps = caps.to_owned();
        caps.make_mut().iter_mut().for_each(|s| s.remove_field("framerate"));
        caps
    };
    plain(a) == plain(b)
}

/// Where the frames of a part belong.
struct Places {
    /// In the part, in the whole, how long; and whether it has come.
    all: Vec<(u64, u64, u64, bool)>,
}

impl Places {
    fn new(part: &Part) -> Self {
        let first = part.mark.frames.first().map_or(0, |f| f.0);
        let all = part.mark.frames.iter().map(|(at, length)| (at.saturating_sub(first), *at, *length, false));
        Self { all: all.collect() }
    }

    /// The place of the frame at a time of the part, which files round to as much as a millisecond.
    fn take(&mut self, time: u64) -> Option<(u64, u64)> {
        let after = self.all.partition_point(|p| p.0 < time);
        let near = [after.checked_sub(1), Some(after)].into_iter().flatten().filter(|n| *n < self.all.len());
        let place = near.min_by_key(|n| self.all[*n].0.abs_diff(time))?;
        let (_, at, length, taken) = &mut self.all[place];
        (!std::mem::replace(taken, true)).then_some((*at, *length))
    }

    /// How many have not come, if any.
    fn left(&self) -> Option<usize> {
        Some(self.all.iter().filter(|p| !p.3).count()).filter(|n| *n > 0)
    }
}

/// Shows the frames of a part as they are stored, until somebody has had enough.
fn each(
    part: &Part,
    format: Format,
    watchdog: &Watchdog,
    mut show: impl FnMut(&gst::Sample) -> Result<bool, Fault>,
) -> Result<(), Fault> {
    let demuxer = if format == Format::Webm { "matroskademux" } else { "qtdemux" };
    let location = format!("location={}", quoted(text(&part.path)?));
    let words =
        ["filesrc", &location, "!", demuxer, "!", "appsink", "name=frames", "sync=false", "max-buffers=8"];
    let pipeline = gstreamer::launch(&words, gst::ParseFlags::empty()).map_err(|e| e.to_string())?;
    let pipeline =
        pipeline.downcast::<gst::Pipeline>().map_err(|_| "the pipeline is no pipeline".to_string())?;
    let frames = pipeline.by_name("frames").and_then(|e| e.downcast::<gst_app::AppSink>().ok());
    let frames = frames.ok_or_else(|| "the pipeline has no element 'frames'".to_string())?;
    let pipeline = Running(pipeline);
    let unread = |fault: Option<Fault>| {
        let why = fault.map_or(String::new(), |f| format!(": {}", f.text));
        Fault::input(format!("{} cannot be read{why}", part.path.display()))
    };
    pipeline.0.set_state(gst::State::Playing).map_err(|_| unread(watchdog.failure(&pipeline.0)))?;
    loop {
        match frames.try_pull_sample(gst::ClockTime::from_mseconds(100)) {
            Some(sample) => {
                watchdog.touch();
                if !show(&sample)? {
                    return Ok(());
                }
            }
            None if frames.is_eos() => return Ok(()),
            None => {
                if let Some(fault) = watchdog.failure(&pipeline.0) {
                    return Err(unread(Some(fault)));
                }
                // Who waits for the whole looks for stalls.
                if watchdog.is_stopped() {
                    return Err(Fault::interrupted());
                }
            }
        }
    }
}
