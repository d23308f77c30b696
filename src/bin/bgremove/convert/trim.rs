//! A part of a decoded stream, found by the times of its frames: what comes before it is decoded and dropped, what comes
//! after it is not waited for. Right for any file, where seeking is right only in some; and slower.

use super::header::Piece;
use super::watchdog::Watchdog;
use gst::prelude::*;
use gstbgremove::sync::lock;
use std::sync::{Arc, Mutex};

/// Nanoseconds.
const SECOND: f64 = 1e9;
/// Files count milliseconds: a frame that reaches into the part by less is none of it, also if it is short.
const ROUNDING: i64 = 2_000_000;
/// What lies in the part of a picture that is shown for long counts from here on.
const MOST: i64 = 20_000_000;

/// What of a stream is taken, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Trim {
    /// Where the result begins, in the time that a player shows.
    zero: i64,
    /// One after the other.
    pieces: Vec<Taken>,
    /// When the frame of a video comes that stands where the part begins, and how long it stands in it.
    standing: Option<(i64, i64)>,
    /// Whether the first frame keeps its distance from the beginning.
    exact: bool,
}

/// A piece that is taken, in the time that a player shows.
#[derive(Clone, Copy, Debug)]
struct Taken {
    from: i64,
    to: i64,
    /// From the stream's own time to that.
    shift: i64,
}

impl Trim {
    /// A part of a stream of which a player shows some pieces; without, all.
    pub fn new(start: gst::ClockTime, stop: Option<gst::ClockTime>, shown: Option<&[Piece]>) -> Self {
        let whole = |t: gst::ClockTime| i64::try_from(t.nseconds()).unwrap_or(i64::MAX);
        let (zero, stop) = (whole(start), stop.map_or(i64::MAX, whole));
        let nanos = |seconds: f64| (seconds * SECOND).round() as i64;
        let taken = |piece: &Piece| Taken {
            from: zero.max(nanos(piece.at)),
            to: stop.min(nanos(piece.at + piece.to - piece.from)),
            shift: nanos(piece.at - piece.from),
        };
        let pieces = match shown {
            None => vec![Taken { from: zero, to: stop, shift: 0 }],
            Some(pieces) => pieces.iter().map(taken).filter(|t| t.from < t.to).collect(),
        };
        Self { zero, pieces, standing: None, exact: false }
    }

    /// The same with a frame before the beginning that is seen then.
    pub fn with_standing(self, standing: Option<(i64, i64)>) -> Self {
        Self { standing, ..self }
    }

    /// The same with every frame at its own time.
    pub fn exact(self, exact: bool) -> Self {
        Self { exact, ..self }
    }

    /// What of a frame at a time and of a length is left: where it begins after the beginning of the result, how much
    /// is trimmed off in front, and how long it is.
    fn left(&self, time: i64, length: i64, rounding: i64) -> Left {
        for piece in &self.pieces {
            let begin = time.saturating_add(piece.shift);
            let end = begin.saturating_add(length);
            if begin >= piece.to.saturating_sub(rounding) {
                continue;
            }
            // One of no length counts where it begins.
            if begin < piece.from && end <= piece.from.saturating_add(rounding) {
                return Left::Before;
            }
            let first = begin.max(piece.from);
            let length = end.min(piece.to) - first;
            return Left::Some { at: (first - self.zero).max(0), skipped: first - begin, length };
        }
        Left::After
    }

    /// Whether a frame that came before may be seen where the part begins: in a pause of an edit list nothing is, and what
    /// it hides is never seen.
    fn may_stand(&self, time: i64) -> bool {
        let first = self.pieces.first().filter(|p| p.from <= self.zero);
        first.is_some_and(|p| time.saturating_add(p.shift) < p.from)
    }

    /// Does it to all that goes through a pad. `end` is called when nothing more is to come.
    pub fn apply(
        self,
        pad: &gst::Pad,
        watchdog: &Watchdog,
        end: impl Fn(&gst::Pad) + Send + Sync + 'static,
    ) -> Arc<Trimmer> {
        let state = Mutex::new(State::default());
        let trimmer = Arc::new(Trimmer { trim: self, state, watchdog: watchdog.clone(), end: Box::new(end) });
        let own = Arc::clone(&trimmer);
        let what = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
        pad.add_probe(what, move |pad, info| match &mut info.data {
            Some(gst::PadProbeData::Event(event)) => {
                let mut state = lock(&own.state);
                let before = state.ended;
                let goes = state.event(&own.trim, event);
                let is_over = state.ended && !before;
                drop(state);
                if is_over {
                    (own.end)(pad);
                }
                goes
            }
            Some(gst::PadProbeData::Buffer(buffer)) if !own.takes(pad, buffer) => gst::PadProbeReturn::Drop,
            Some(gst::PadProbeData::Buffer(buffer)) => {
                lock(&own.state).change(&own.trim, buffer);
                gst::PadProbeReturn::Ok
            }
            _ => gst::PadProbeReturn::Ok,
        });
        trimmer
    }
}

/// A trim at work.
pub struct Trimmer {
    trim: Trim,
    state: Mutex<State>,
    watchdog: Watchdog,
    end: Box<dyn Fn(&gst::Pad) + Send + Sync>,
}

impl Trimmer {
    /// Whether some of a frame on its way through the pad is taken. Probes that block are asked before others, and so
    /// have to ask this.
    pub fn takes(&self, pad: &gst::Pad, buffer: &gst::BufferRef) -> bool {
        self.watchdog.touch();
        let mut state = lock(&self.state);
        match state.left(&self.trim, buffer) {
            _ if state.ended => false,
            None => true,
            Some(Left::Some { at, .. }) => {
                state.late.get_or_insert(at);
                true
            }
            Some(Left::Before) => {
                let time = running(&state.segment, buffer.pts().unwrap_or_default());
                if let Some(time) = time.filter(|t| self.trim.may_stand(*t)) {
                    state.before = Some(time);
                }
                false
            }
            Some(Left::After) => {
                state.ended = true;
                drop(state);
                (self.end)(pad);
                false
            }
        }
    }

    /// The frame before the first one that is taken, where that is late or there is none at all: when it came and how long
    /// it stands. `end` is that of the whole video; nothing stands after it.
    pub fn standing(&self, end: Option<gst::ClockTime>) -> Option<(i64, i64)> {
        let state = lock(&self.state);
        if state.sound.is_some() || state.late.is_some_and(|late| late <= MOST) {
            return None;
        }
        let (first, zero) = (self.trim.pieces.first()?, self.trim.zero);
        let until = match state.late {
            Some(late) => zero.saturating_add(late),
            // One came after the part.
            None if state.ended => first.to,
            None => i64::try_from(end?.nseconds()).ok()?,
        };
        let length = until.min(first.to).saturating_sub(zero);
        Some((state.before?, length)).filter(|_| length > 0)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Left {
    Before,
    After,
    Some { at: i64, skipped: i64, length: i64 },
}

/// What is known of a stream on its way.
#[derive(Default)]
struct State {
    segment: gst::FormattedSegment<gst::ClockTime>,
    sound: Option<gst_audio::AudioInfo>,
    /// Frames a second of video.
    rate: f64,
    begun: bool,
    ended: bool,
    /// When the last frame before the part came, and how long after its beginning the first one within.
    before: Option<i64>,
    late: Option<i64>,
}

/// How many samples of sound a buffer holds, of each channel. Where they lie plane by plane and some were cut off before, only the
/// meta knows how many are left.
pub fn samples(buffer: &gst::BufferRef, info: &gst_audio::AudioInfo) -> usize {
    let valid = buffer.meta::<gst_audio::AudioMeta>().map(|m| m.samples());
    valid.unwrap_or(buffer.size() / info.bpf().max(1) as usize)
}

/// Running time, which may lie before the segment.
fn running(segment: &gst::FormattedSegment<gst::ClockTime>, pts: gst::ClockTime) -> Option<i64> {
    match segment.to_running_time_full(pts)? {
        gst::Signed::Positive(t) => i64::try_from(t.nseconds()).ok(),
        gst::Signed::Negative(t) => i64::try_from(t.nseconds()).ok().map(|t| -t),
    }
}

fn clock(nanos: i64) -> gst::ClockTime {
    gst::ClockTime::from_nseconds(u64::try_from(nanos).unwrap_or(0))
}

impl State {
    fn event(&mut self, trim: &Trim, event: &mut gst::Event) -> gst::PadProbeReturn {
        match event.view() {
            gst::EventView::Segment(s) => {
                if let Some(s) = s.segment().downcast_ref::<gst::ClockTime>() {
                    self.segment = s.clone();
                }
                // What comes out begins at nought.
                let segment = gst::FormattedSegment::<gst::ClockTime>::new();
                *event = gst::event::Segment::builder(&segment).seqnum(event.seqnum()).build();
            }
            gst::EventView::Caps(caps) => {
                self.sound = gst_audio::AudioInfo::from_caps(caps.caps()).ok();
                let video = gst_video::VideoInfo::from_caps(caps.caps()).ok();
                self.rate =
                    video.map_or(0.0, |i| f64::from(i.fps().numer()) / f64::from(i.fps().denom().max(1)));
            }
            gst::EventView::Gap(gap) => {
                let (pts, duration) = gap.get();
                let at = running(&self.segment, pts).unwrap_or(0);
                let length = duration.map_or(0, |d| i64::try_from(d.nseconds()).unwrap_or(0));
                let Left::Some { at, length, .. } = trim.left(at, length, 0) else {
                    // A stream that has nothing more may tell so by this alone; but a decoder may still hold the frame that
                    // stands here.
                    let may_end = self.sound.is_some() || self.late.is_some();
                    self.ended |= may_end && trim.left(at, length, 0) == Left::After;
                    // GStreamer would free once more what is dropped.
                    return gst::PadProbeReturn::Handled;
                };
                *event = gst::event::Gap::builder(clock(at)).duration(clock(length)).build();
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    }

    fn length(&self, buffer: &gst::BufferRef) -> i64 {
        let guess = if self.rate > 0.0 { (SECOND / self.rate) as i64 } else { 0 };
        buffer.duration().map_or(guess, |d| i64::try_from(d.nseconds()).unwrap_or(guess))
    }

    /// A picture is in the part if half of it is, so that as many come as there are in that time; sound is trimmed.
    fn rounding(&self, length: i64) -> i64 {
        if self.sound.is_some() { 0 } else { (length / 2).clamp(ROUNDING, MOST) }
    }

    /// What is taken of a frame. Those without times are told of further on.
    fn left(&self, trim: &Trim, buffer: &gst::BufferRef) -> Option<Left> {
        let time = running(&self.segment, buffer.pts()?)?;
        if let Some((_, length)) = trim.standing.filter(|s| s.0 == time && self.sound.is_none()) {
            return Some(Left::Some { at: 0, skipped: 0, length });
        }
        let length = self.length(buffer);
        Some(trim.left(time, length, self.rounding(length)))
    }

    /// Makes of a frame what is taken of it.
    fn change(&mut self, trim: &Trim, buffer: &mut gst::Buffer) {
        let length = self.length(buffer);
        let Some(Left::Some { mut at, skipped, length: mut rest }) = self.left(trim, buffer) else { return };
        let is_first = !std::mem::replace(&mut self.begun, true);
        if is_first && !trim.exact && at <= self.rounding(length) {
            // In place of the lesser half of the frame before.
            (at, rest) = (0, rest + at);
        }
        let lasts = buffer.duration().is_some() || rest != length;
        if let Some(info) = &self.sound
            && (skipped > 0 || rest < length)
        {
            let samples = |nanos: i64| (nanos as f64 * f64::from(info.rate()) / SECOND).round() as usize;
            let all = self::samples(buffer, info);
            // One is the least, since nothing is no buffer.
            let skip = samples(skipped.max(0)).min(all.saturating_sub(1));
            let take = samples(rest).clamp(1, all.saturating_sub(skip).max(1));
            if all > 0 {
                let whole = std::mem::replace(buffer, gst::Buffer::new());
                *buffer = gst_audio::audio_buffer_truncate(whole, info.bpf(), skip, Some(take));
            }
        }
        let buffer = buffer.make_mut();
        buffer.set_pts(clock(at));
        buffer.set_dts(gst::ClockTime::NONE);
        buffer.set_duration(lasts.then(|| clock(rest)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn trim(start: u64, stop: u64, shown: Option<&[Piece]>) -> Trim {
        let ms = gst::ClockTime::from_mseconds;
        Trim::new(ms(start), Some(ms(stop)), shown)
    }

    fn some(at: i64, skipped: i64, length: i64) -> Left {
        Left::Some { at: at * MS, skipped: skipped * MS, length: length * MS }
    }

    #[test]
    fn what_lies_before_and_after_goes() {
        let part = trim(1500, 2500, None);
        let left = |t: i64, length: i64| part.left(t * MS, length * MS, ROUNDING);
        assert_eq!(left(1400, 40), Left::Before);
        // It ends a rounding after the beginning.
        assert_eq!(left(1461, 40), Left::Before);
        assert_eq!(left(1499, 40), some(0, 1, 39));
        assert_eq!(left(1480, 40), some(0, 20, 20));
        assert_eq!(left(1500, 40), some(0, 0, 40));
        assert_eq!(left(2480, 40), some(980, 0, 20));
        assert_eq!(left(2499, 40), Left::After);
        assert_eq!(left(1500, 0), some(0, 0, 0));
    }

    #[test]
    fn edits_shift_and_hide() {
        // Half a second after the beginning a second of the media is shown, from its second second on; then its fifth.
        let pieces = [Piece { at: 0.5, from: 2.0, to: 3.0 }, Piece { at: 1.5, from: 4.0, to: 5.0 }];
        let all = Trim::new(gst::ClockTime::ZERO, None, Some(&pieces));
        let left = |t: i64| all.left(t * MS, 40 * MS, ROUNDING);
        assert_eq!(left(1960), Left::Before);
        assert_eq!(left(2000), some(500, 0, 40));
        assert_eq!(left(2960), some(1460, 0, 40));
        assert_eq!(left(3000), Left::Before);
        assert_eq!(left(4000), some(1500, 0, 40));
        assert_eq!(left(5000), Left::After);
        let part = trim(1000, 1200, Some(&pieces));
        assert_eq!(part.left(2500 * MS, 40 * MS, 0), some(0, 0, 40));
        assert_eq!(part.left(2690 * MS, 40 * MS, 0), some(190, 0, 10));
        assert_eq!(part.left(2700 * MS, 40 * MS, 0), Left::After);
    }

    #[test]
    fn what_an_edit_list_hides_stands_nowhere() {
        let pieces = [Piece { at: 0.5, from: 2.0, to: 3.0 }, Piece { at: 2.0, from: 4.0, to: 5.0 }];
        let stands = |start, t: i64| trim(start, 9000, Some(&pieces)).may_stand(t * MS);
        // In the pauses before and between them.
        assert!(!stands(0, 1900) && !stands(1700, 2900) && !stands(1700, 3900));
        assert!(stands(1000, 2400) && !stands(1000, 2600) && !stands(1000, 3900));
        assert!(stands(2500, 4400) && trim(1000, 9000, None).may_stand(900 * MS));
    }
}
