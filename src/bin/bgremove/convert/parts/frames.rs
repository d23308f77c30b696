//! When the frames of a source are shown, and which of them decoding can begin at, found without decoding any.

use crate::convert::fault::Fault;
use crate::convert::header::{Family, Piece, Track};
use crate::convert::input::Input;
use crate::convert::packets::look_through;
use crate::convert::watchdog::Watchdog;
use gstbgremove::sync::lock;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

/// The frames of a video in the order in which they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// Nanoseconds after the beginning, as the whole is converted; rising.
    pub times: Vec<u64>,
    /// Indices of those that decoding can begin at.
    pub keys: Vec<usize>,
    /// What has to be added for the file's own clock, where that begins later.
    pub shift: u64,
    /// Whether an edit list hides some, of which parts may be shown.
    pub hidden: bool,
}

/// A packet's time, and whether decoding can begin there.
type Shown = (u64, bool);

impl Frames {
    fn new(mut shown: Vec<Shown>, shift: u64) -> Self {
        shown.sort_unstable();
        // Two fields of a frame, or a frame that is not shown (VP8's alternate reference), have one time.
        shown.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            kept.1 |= same && later.1;
            same
        });
        let keys = shown.iter().enumerate().filter(|(_, s)| s.1).map(|(n, _)| n).collect();
        Self { times: shown.into_iter().map(|s| s.0).collect(), keys, shift, hidden: false }
    }

    /// Those of an input's video.
    ///
    /// # Errors
    /// What the file cannot be read with, or that it has none.
    pub fn of(input: &Input, watchdog: &Watchdog) -> Result<Self, Fault> {
        let id = input.track_ids().0;
        let track = input.header.tracks.iter().find(|t| t.is_video && Some(t.id) == id);
        let hidden = input.header.has_hidden_parts();
        let mut frames = match track.and_then(|track| indexed(track, hidden)) {
            Some(shown) => Self::new(shown, 0),
            None => Self::packets(input, watchdog)?,
        };
        frames.hidden = hidden;
        if frames.times.is_empty() {
            return Err(Fault::input(
                "its frames cannot be counted, so it cannot be divided: make another file of it first (ffmpeg -i IN -c copy \
                 OUT.mkv)",
            ));
        }
        Ok(frames)
    }

    /// By looking through the file.
    fn packets(input: &Input, watchdog: &Watchdog) -> Result<Self, Fault> {
        let own_clock = input.header.family == Family::Matroska;
        let ids = input.stream_ids();
        // Of the video, and of any; and when the first of all that is taken comes by its own clock.
        let seen = Arc::new(Mutex::new((Vec::<Shown>::new(), Vec::<Shown>::new(), u64::MAX)));
        let into = Arc::clone(&seen);
        look_through(input.path(), watchdog, move |packet| {
            let mut seen = lock(&into);
            let is = |id: &Option<String>| id.is_some() && id.as_deref() == packet.stream.as_deref();
            if is(&ids[0]) || is(&ids[1]) {
                seen.2 = seen.2.min(packet.pts.nseconds());
            }
            let time = if own_clock { Some(packet.pts) } else { packet.running_time };
            if let Some(time) = time.filter(|_| packet.is_video) {
                let shown = (time.nseconds(), packet.is_key);
                if is(&ids[0]) {
                    seen.0.push(shown);
                }
                seen.1.push(shown);
            }
            ControlFlow::Continue(())
        })?;
        let (taken, any, first) = std::mem::take(&mut *lock(&seen));
        let mut shown = if taken.is_empty() { any } else { taken };
        let shift = if own_clock && first != u64::MAX { first } else { 0 };
        for frame in &mut shown {
            frame.0 = frame.0.saturating_sub(shift);
        }
        Ok(Self::new(shown, shift))
    }
}

/// What the index of an ISO base media file says, which saves reading the file; none where it says nothing.
fn indexed(track: &Track, hidden: bool) -> Option<Vec<Shown>> {
    let pieces = track.pieces()?;
    let scale = f64::from(track.scale.max(1));
    // Where nothing is hidden, an edit list may yet end a little before the last frame.
    let within = |p: &Piece, own: f64| own > p.from - 0.0005 && (!hidden || own < p.to - 0.0005);
    let shown = |time: &i64| {
        let own = *time as f64 / scale;
        let piece = pieces.iter().find(|p| within(p, own))?;
        let at = (piece.at + own - piece.from).max(0.0);
        let is_key = track.keys.is_empty() || track.keys.binary_search(time).is_ok();
        Some(((at * 1e9).round() as u64, is_key))
    };
    let all: Vec<_> = track.times.iter().filter_map(shown).collect();
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_one_time_is_one_frame() {
        let frames = Frames::new(vec![(40, false), (0, true), (0, false), (80, false), (40, true)], 7);
        assert_eq!(frames, Frames { times: vec![0, 40, 80], keys: vec![0, 1], shift: 7, hidden: false });
    }

    #[test]
    fn an_index_is_read_as_its_edits_show_it() {
        let track = Track {
            scale: 1000,
            times: vec![80, 120, 160, 200],
            keys: vec![80, 160],
            end: 240,
            ..Track::default()
        };
        let of = |from| {
            let edit = crate::convert::header::Edit {
                length: std::time::Duration::from_millis(160),
                from: Some(from),
                plain: true,
            };
            let track = Track { edits: vec![edit], edit_tick: 0.001, ..track.clone() };
            Frames::new(indexed(&track, true).unwrap(), 0)
        };
        // B-frames put the first one 80 ms late, which the edit takes back.
        assert_eq!(of(80).times, [0, 40_000_000, 80_000_000, 120_000_000]);
        assert_eq!(of(80).keys, [0, 2]);
        assert_eq!(of(120).times, [0, 40_000_000, 80_000_000]);
    }
}
