//! Whether all that the source promised came out: its length, its frames, its sound. What was not asked to be left out
//! is never missing in silence.

use super::fault::Fault;
use super::header::{Family, Track};
use super::input::Input;
use super::packets::look_through;
use super::watchdog::Watchdog;
use gstbgremove::sync::lock;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// The code of the warning and of the error.
pub const CODE: &str = "convert/short";

/// Headers lie by so much: rounding, what encoders of sound put before it and after it.
const SLACK: f64 = 0.1;
/// So many frames that an index has may not come out: those that refer to others before a cut.
const FRAMES: u64 = 2;
/// What is missing is substantial if it is more seconds than this.
const SECONDS: f64 = 0.5;
/// And a larger part of what was promised.
const PART: f64 = 0.05;
/// Packets lie out of order by less, in seconds.
const LATER: f64 = 10.0;

/// What was to come, in seconds after the beginning that was asked for.
#[derive(Clone, Debug, Default)]
pub struct ExpectedContent {
    video: Option<f64>,
    sound: Option<f64>,
    frames: Option<u64>,
    /// The longest of all streams, where the header tells no more.
    whole: Option<f64>,
    /// That is measured from what is there, and so no promise.
    is_measured: bool,
    /// Bytes that are there and that should be, of a file that breaks off.
    broken_off: Option<(u64, u64)>,
    /// The ids of the streams that are taken.
    streams: [Option<String>; 2],
    /// The header is that of a file whose last frame may be shown for any time.
    open_end: bool,
}

/// What came.
#[derive(Clone, Debug, Default)]
pub struct Delivered {
    /// Frames that were decoded, and when the last one ends.
    pub frames: u64,
    pub video: f64,
    /// Of them, those that the decoder holds for damaged.
    pub broken: u64,
    /// When the sound ends, where there is to be some.
    pub sound: Option<f64>,
    /// Frames that the encoder was given, and that it gave where frames stay frames.
    pub encoded: u64,
    pub written: Option<u64>,
}

/// A shortfall.
#[derive(Clone, Debug, PartialEq)]
pub struct Shortfall {
    pub text: String,
    pub substantial: bool,
}

impl From<Shortfall> for Fault {
    fn from(shortfall: Shortfall) -> Self {
        Fault::new(CODE, shortfall.text)
    }
}

/// The part of a file that was asked for, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub start: f64,
    /// Infinite without an end.
    pub stop: f64,
}

impl Span {
    /// How much of so many seconds lies in it.
    fn of(&self, seconds: f64) -> f64 {
        (seconds.min(self.stop) - self.start).max(0.0)
    }

    fn is_all(&self) -> bool {
        self.start == 0.0 && self.stop.is_infinite()
    }
}

impl ExpectedContent {
    /// What an input says of a part of it.
    pub fn new(input: &Input, part: Span) -> Self {
        let (path, header, tracks) = (input.path(), &input.header, input.track_ids());
        let has = std::fs::metadata(path).map(|m| m.len()).unwrap_or(u64::MAX);
        let broken_off = header.bytes.filter(|should| *should > has).map(|should| (has, should));
        let mut expected = Self {
            broken_off,
            open_end: matches!(header.family, Family::Matroska | Family::Avi),
            is_measured: input.has_measured_length(),
            streams: input.stream_ids(),
            ..Self::default()
        };
        let of = |id: Option<u32>, kind: &dyn Fn(&Track) -> bool| {
            let mut all = header.tracks.iter().filter(|t| kind(t));
            match (id, all.next(), all.next()) {
                (Some(id), ..) => header.tracks.iter().find(|t| t.id == id && kind(t)),
                (None, Some(track), None) => Some(track),
                _ => None,
            }
        };
        if let Some(video) = of(tracks.0, &|t| t.is_video) {
            expected.video = Some(part.of(video.shown()));
            // Of interlaced video a frame may be two pictures, and of MPEG-4 Part 2 one that is no picture.
            let mpeg4 = input.tags.video.as_ref().is_some_and(|v| v.contains("MPEG-4 Video"));
            let counts = !input.facts.interlaced && !mpeg4;
            expected.frames = video.frames(part.start, part.stop).filter(|_| counts);
            expected.sound = of(tracks.1, &|t| t.is_sound).map(|t| part.of(t.shown()));
        } else {
            // GStreamer shortens the length of an AVI file that breaks off.
            let said = header.length.filter(|_| header.family == Family::Avi).map(|l| l.as_secs_f64());
            let length = input.duration.map(|l| l.nseconds() as f64 / 1e9);
            expected.whole = said.into_iter().chain(length).reduce(f64::max).map(|l| part.of(l));
        }
        expected
    }

    /// Whether nothing is said that could be held against what came.
    fn kept_at_first_sight(&self, delivered: &Delivered, slack: f64) -> bool {
        self.whole.is_none_or(|whole| {
            delivered.sound.unwrap_or(delivered.video).min(delivered.video) + slack >= whole
        })
    }

    /// Looks what is in the file, where the header says only how long the whole is, and that is not what came.
    ///
    /// # Errors
    /// An interruption.
    pub fn look(
        &mut self,
        path: &Path,
        part: Span,
        delivered: &Delivered,
        rate: f64,
        watchdog: &Watchdog,
    ) -> Result<(), Fault> {
        let slack = slack(rate);
        if self.kept_at_first_sight(delivered, slack) || !path.is_file() {
            return Ok(());
        }
        let Some(whole) = self.whole.take() else { return Ok(()) };
        // When the last packet ends: of the video and the sound that are taken and of any, after what comes first; and of
        // any stream, as the file counts.
        let ends = Arc::new(Mutex::new([0.0f64; 5]));
        let (into, taken) = (Arc::clone(&ends), self.streams.clone());
        let looked = look_through(path, watchdog, move |packet| {
            let mut ends = lock(&into);
            let running = packet.running_time;
            // A recording that begins after its nought has a header that counts from there.
            let latest = packet.stream_time.max(Some(packet.pts));
            let is = |id: &Option<String>| id.is_some() && id.as_deref() == packet.stream.as_deref();
            let times = [
                (is(&taken[0]), running),
                (is(&taken[1]), running),
                (packet.is_video, running),
                (packet.is_sound, running),
                (true, latest),
            ];
            for (end, (counts, time)) in ends.iter_mut().zip(times) {
                if let (true, Some(time)) = (counts, time) {
                    let time = time + packet.duration.unwrap_or_default();
                    *end = end.max(time.nseconds() as f64 / 1e9);
                }
            }
            // What comes much later is not in the part.
            let later = running.is_some_and(|t| t.nseconds() as f64 / 1e9 > part.stop + LATER);
            if is(&taken[0]) && later { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match looked {
            Err(fault) if fault.is_interrupted() => return Err(fault),
            // Nothing is known then, and nothing is held against what came.
            Err(fault) if fault.code == "convert/stalled" => return Ok(()),
            // What comes before an error counts; that it is one is known already.
            _ => {}
        }
        let [video, sound, any_video, any_sound, any] = *lock(&ends);
        // Where streams have other names this time, any of the kind has to do.
        let or = |taken: f64, any: f64| if taken > 0.0 { taken } else { any };
        let (video, sound) = (or(video, any_video), or(sound, any_sound));
        let all = part.of(any).max(delivered.video).max(delivered.sound.unwrap_or(0.0));
        if all + slack < whole && !self.is_measured {
            self.video = Some(whole);
        } else {
            self.video = Some(part.of(video));
            self.sound = delivered.sound.map(|_| part.of(sound));
            self.open_end = false;
        }
        Ok(())
    }

    /// What is missing. `rate` is the source's frames a second, 0 where that is not known; `thinned` says that frames
    /// were asked to be left out.
    pub fn shortfall(
        &self,
        delivered: &Delivered,
        part: Span,
        rate: f64,
        thinned: bool,
    ) -> Option<Shortfall> {
        let (slack, rate) = (slack(rate), if rate > 0.0 { rate } else { 30.0 });
        // What was promised, what came, how much that may differ, in seconds; in words.
        let mut read = Vec::new();
        if let Some(video) = self.video {
            let text = format!("{:.2} of {video:.2} s of video", delivered.video);
            read.push((video, delivered.video, slack, text));
        }
        if let (Some(sound), Some(delivered)) = (self.sound, delivered.sound) {
            read.push((sound, delivered, slack, format!("{delivered:.2} of {sound:.2} s of sound")));
        }
        let seconds = |frames: u64| frames as f64 / rate;
        if let Some(frames) = self.frames {
            let text = format!("{} of {frames} frames", delivered.frames);
            read.push((seconds(frames), seconds(delivered.frames), (FRAMES as f64 + 0.5) / rate, text));
        }
        let mut made = Vec::new();
        if !thinned {
            let text = format!("{} of {} frames that were decoded", delivered.encoded, delivered.frames);
            made.push((seconds(delivered.frames), seconds(delivered.encoded), 0.5 / rate, text));
        }
        if let Some(written) = delivered.written {
            let text = format!("{written} of {} frames that were encoded", delivered.encoded);
            made.push((seconds(delivered.encoded), seconds(written), 0.5 / rate, text));
        }
        let is_short =
            |(promised, delivered, slack, _): &(f64, f64, f64, String)| delivered + slack < *promised;
        read.retain(is_short);
        made.retain(is_short);
        let missing: Vec<_> = read.iter().chain(&made).collect();
        if missing.is_empty() {
            // All that is there came.
            let (has, should) = self.broken_off.filter(|_| part.is_all())?;
            let text = format!(
                "the file breaks off, {has} of {should} bytes are there: what is missing is not known"
            );
            return Some(Shortfall { text, substantial: false });
        }
        let mut substantial = missing.iter().any(|m| m.0 - m.1 > SECONDS && m.0 - m.1 > PART * m.0);
        // A still last frame is all that such a header may mean.
        substantial &= !(self.open_end && self.broken_off.is_none() && missing.len() == 1);
        let words: Vec<_> = missing.iter().map(|m| m.3.as_str()).collect();
        let what = format!("less came out than it promises: {}", words.join(", "));
        let least = delivered.sound.unwrap_or(delivered.video).min(delivered.video);
        let rest = if part.is_all() || part.stop.is_infinite() {
            format!("--duration {:.2} converts what is there", (least - 0.005).max(0.0))
        } else {
            "a smaller --duration converts what is there".into()
        };
        let why = match self.broken_off {
            Some((has, should)) => format!(
                "the file breaks off, {has} of {should} bytes are there; take another copy of it, or {rest}"
            ),
            None if read.is_empty() => {
                "GStreamer's encoder or muxer has lost them: another --format may do".into()
            }
            None => format!(
                "it is damaged, or GStreamer reads less of it than there is; make another file of it first (ffmpeg -i IN \
                 -c:v libx264 -crf 12 -c:a flac OUT.mkv), or {rest}"
            ),
        };
        Some(Shortfall { text: format!("{what}; {why}"), substantial })
    }
}

/// How much headers lie, with frames of this rate.
fn slack(rate: f64) -> f64 {
    SLACK + if rate > 0.0 { 1.0 / rate } else { 0.1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Span = Span { start: 0.0, stop: f64::INFINITY };

    fn delivered(video: f64, sound: Option<f64>) -> Delivered {
        let frames = (video * 30.0).round() as u64;
        Delivered { frames, video, broken: 0, sound, encoded: frames, written: Some(frames) }
    }

    #[test]
    fn what_is_missing_is_said_and_what_is_substantial_fails() {
        let expected = ExpectedContent {
            video: Some(6.0),
            sound: Some(5.5),
            frames: Some(180),
            ..ExpectedContent::default()
        };
        let shortfall = |c: &Delivered| expected.shortfall(c, ALL, 30.0, false);
        for (video, sound) in [(6.0, 5.5), (5.95, 5.42), (6.1, 5.6)] {
            assert_eq!(shortfall(&delivered(video, Some(sound))), None, "{video} {sound}");
        }
        // A tenth of a second and two frames beyond what headers lie.
        let little = shortfall(&delivered(5.8, Some(5.5))).unwrap();
        assert!(!little.substantial && little.text.contains("5.80 of 6.00 s of video"), "{little:?}");
        let much = shortfall(&delivered(2.0, Some(2.0))).unwrap();
        assert!(much.substantial && much.text.contains("60 of 180 frames"), "{much:?}");
        let sound = shortfall(&delivered(6.0, Some(3.0))).unwrap();
        assert!(sound.substantial && sound.text.contains("3.00 of 5.50 s of sound"), "{sound:?}");
        // Long films may lose more before they fail.
        let long = ExpectedContent { video: Some(6000.0), ..ExpectedContent::default() };
        assert!(!long.shortfall(&delivered(5990.0, None), ALL, 30.0, false).unwrap().substantial);
    }

    #[test]
    fn frames_that_the_way_to_the_file_loses() {
        let mut lost = delivered(6.0, None);
        lost.written = Some(179);
        let shortfall = ExpectedContent::default().shortfall(&lost, ALL, 30.0, false).unwrap();
        assert!(!shortfall.substantial && shortfall.text.contains("179 of 180"), "{shortfall:?}");
        lost.written = Some(60);
        assert!(ExpectedContent::default().shortfall(&lost, ALL, 30.0, false).unwrap().substantial);
        let thinned = Delivered { encoded: 60, written: Some(60), ..delivered(6.0, None) };
        assert_eq!(ExpectedContent::default().shortfall(&thinned, ALL, 30.0, true), None);
        assert!(ExpectedContent::default().shortfall(&thinned, ALL, 30.0, false).is_some());
    }

    #[test]
    fn a_part_is_held_against_what_lies_in_it() {
        let part = Span { start: 1.5, stop: 2.5 };
        assert_eq!((part.of(6.0), part.of(2.0), part.of(1.0)), (1.0, 0.5, 0.0));
    }
}
