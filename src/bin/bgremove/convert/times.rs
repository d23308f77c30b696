//! Times that every encoder, muxer and player can do with: each frame has one, each is later than the one before, and
//! none lasts no time at all.
//!
//! Decoders hand on what files say: two frames with one time (packed B-frames in AVI), none at all (a raw stream of
//! JPEG pictures), lengths of a clock's tick instead of a frame (a header that says 1000 or 90000 frames a second).

use super::fault::Fault;
use gst::prelude::*;
use gstbgremove::sync::lock;
use std::sync::{Arc, Mutex};

/// The least distance of two frames: WebM and MP4 files count milliseconds.
const LEAST: gst::ClockTime = gst::ClockTime::from_mseconds(1);
/// A frame that lasts less is none that anybody has filmed.
const TICK: gst::ClockTime = gst::ClockTime::from_mseconds(4);

/// What was done to the times of a stream, once it is over.
#[derive(Clone, Debug, Default)]
pub struct Mended {
    /// Frames that came no later than the one before them.
    pub moved: u64,
    /// Frames that had no time.
    pub timed: u64,
}

impl Mended {
    /// For the user; nothing where nothing was done.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.moved > 0 {
            notes.push(format!(
                "{} of its frames had the time of the one before, or an earlier one; each is shown a millisecond after \
                 that",
                self.moved
            ));
        }
        if self.timed > 0 {
            notes.push(format!("{} of its frames had no time and got one from --fps", self.timed));
        }
        notes
    }
}

/// What the next frame is measured by.
#[derive(Debug, Default)]
struct Last {
    pts: Option<gst::ClockTime>,
    /// From the frame before to the last one.
    distance: Option<gst::ClockTime>,
    /// Frames so far.
    count: u64,
    mended: Mended,
}

impl Last {
    /// The time and length of a frame that came with these.
    fn mend(
        &mut self,
        pts: Option<gst::ClockTime>,
        duration: Option<gst::ClockTime>,
        fps: Option<u32>,
    ) -> Option<(gst::ClockTime, Option<gst::ClockTime>)> {
        let mut duration = duration;
        let count = self.count;
        self.count += 1;
        let mut pts = match (pts, fps) {
            (Some(pts), _) => pts,
            (None, Some(fps)) => {
                let at = |n: u64| gst::ClockTime::SECOND.mul_div_round(n, u64::from(fps));
                let (from, to) = (at(count)?, at(count + 1)?);
                self.mended.timed += 1;
                duration = Some(to - from);
                from
            }
            // The first begins the stream: of a picture that is all there is, and some decoders give it no time.
            (None, None) if count == 0 => gst::ClockTime::ZERO,
            (None, None) => return None,
        };
        if let Some(last) = self.pts {
            if pts < last + LEAST {
                // The times after a step back are as good as those before: only what is too early is moved.
                self.mended.moved += 1;
                pts = last + LEAST;
            } else {
                self.distance = Some(pts - last);
            }
        }
        self.pts = Some(pts);
        if duration.is_none_or(|d| d < TICK)
            && let Some(distance) = self.distance
        {
            duration = Some(distance);
        }
        Some((pts, duration))
    }
}

/// Mends the times of a stream of frames on its way through a pad. `wrong` gets the reason if a frame has no time and
/// nobody says how many there are a second.
pub fn mend(pad: &gst::Pad, fps: Option<u32>, wrong: impl Fn(Fault) + Send + Sync + 'static) -> Watcher {
    let last = Arc::new(Mutex::new(Last::default()));
    let own = Arc::clone(&last);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data else { return gst::PadProbeReturn::Ok };
        let mut last = lock(&own);
        let (pts, duration) = (buffer.pts(), buffer.duration());
        match last.mend(pts, duration, fps) {
            Some(mended) if mended != (pts.unwrap_or(gst::ClockTime::MAX), duration) => {
                let buffer = buffer.make_mut();
                buffer.set_pts(mended.0);
                buffer.set_duration(mended.1);
            }
            Some(_) => {}
            None => wrong(Fault::new(
                "convert/no-times",
                "its frames have no times: --fps N says how many there are a second",
            )),
        }
        gst::PadProbeReturn::Ok
    });
    Watcher(last)
}

/// Tells what has been done so far.
pub struct Watcher(Arc<Mutex<Last>>);

impl Watcher {
    pub fn mended(&self) -> Mended {
        lock(&self.0).mended.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(v: u64) -> gst::ClockTime {
        gst::ClockTime::from_mseconds(v)
    }

    /// Times and lengths in milliseconds, as they come out.
    fn through(frames: &[(Option<u64>, Option<u64>)], fps: Option<u32>) -> (Vec<(u64, Option<u64>)>, Mended) {
        let mut last = Last::default();
        let out = frames
            .iter()
            .map(|(pts, length)| {
                let (pts, length) = last.mend(pts.map(ms), length.map(ms), fps).unwrap();
                (pts.mseconds(), length.map(|l| l.mseconds()))
            })
            .collect();
        (out, last.mended)
    }

    #[test]
    fn good_times_stay() {
        let frames = [(0, 40), (40, 40), (80, 40), (400, 40), (440, 40)];
        let given: Vec<_> = frames.iter().map(|f| (Some(f.0), Some(f.1))).collect();
        let (out, mended) = through(&given, None);
        assert_eq!(out, frames.map(|f| (f.0, Some(f.1))));
        assert!(mended.notes().is_empty());
    }

    #[test]
    fn equal_and_falling_times_rise() {
        let given = [0, 40, 40, 39, 80].map(|t| (Some(t), Some(40)));
        let (out, mended) = through(&given, None);
        assert_eq!(out.iter().map(|o| o.0).collect::<Vec<_>>(), [0, 40, 41, 42, 80]);
        assert_eq!(mended.moved, 2);
    }

    #[test]
    fn a_tick_is_no_length() {
        let given = [0, 33, 67, 100].map(|t| (Some(t), Some(0)));
        let (out, _) = through(&given, None);
        assert_eq!(out[1..], [(33, Some(33)), (67, Some(34)), (100, Some(33))]);
    }

    #[test]
    fn no_times_are_made_where_the_rate_is_said() {
        // The first frame of a raw stream has the time of its beginning.
        for (first, timed) in [(None, 4), (Some(0), 3)] {
            let (out, mended) = through(&[(first, None), (None, None), (None, None), (None, None)], Some(30));
            assert_eq!(out.iter().map(|o| o.0).collect::<Vec<_>>(), [0, 33, 66, 100]);
            assert_eq!((mended.timed, mended.moved), (timed, 0));
        }
    }

    #[test]
    fn a_picture_needs_no_time_and_a_stream_does() {
        let mut last = Last::default();
        assert_eq!(last.mend(None, None, None), Some((gst::ClockTime::ZERO, None)));
        assert!(last.mend(None, None, None).is_none());
    }
}
