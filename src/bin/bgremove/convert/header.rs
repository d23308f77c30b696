//! What a file's header says of it, read without GStreamer, which passes only a part of that on: how long each track
//! is and how many frames it has, what of it is shown (edit lists), whether there is an index, how many bytes there
//! should be. ISO base media files (MP4, MOV) and Matroska (WebM) have a file each; AVI's few bytes are read here.

mod isom;
mod matroska;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// Encoders of sound put no more than so many seconds before it.
const PRIMING: f64 = 0.15;
/// So many boxes or elements are looked at.
const BOXES: usize = 1_000_000;

/// What kind of file it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    Isom,
    Matroska,
    Avi,
    /// Not read here.
    #[default]
    Other,
}

/// What a header says.
#[derive(Clone, Debug, Default)]
pub struct Header {
    pub family: Family,
    /// The whole file's; none where the header does not say it.
    pub length: Option<Duration>,
    /// Of an ISO base media file that is not fragmented.
    pub tracks: Vec<Track>,
    /// Whether places in the file can be found without reading all before them.
    pub indexed: bool,
    /// Bytes that the file should have at least.
    pub bytes: Option<u64>,
    /// Of a Matroska file, the numbers of tracks whose picture is to be turned, and by how many degrees.
    pub rolls: Vec<(u64, f64)>,
    /// Of a Matroska file, the numbers of tracks whose encoder put something before the sound that GStreamer leaves there, and
    /// how much.
    pub delays: Vec<(u64, Duration)>,
    /// Seconds by which frames or sound of a Matroska file begin before its nought.
    pub before: f64,
    /// Of an ISO base media file, where lengths stand of the whole and of tracks, in how many bytes, and units a second.
    lengths_at: Vec<(u64, usize, u32)>,
}

/// A track's share of the index.
#[derive(Clone, Debug, Default)]
pub struct Track {
    /// As the file counts.
    pub id: u32,
    pub is_video: bool,
    pub is_sound: bool,
    /// Units a second of `times` and of where edits begin.
    pub scale: u32,
    /// When each frame of a video is shown, by the media's own clock, rising.
    pub times: Vec<i64>,
    /// Those of them that decoding can begin at; empty where it can at each.
    pub keys: Vec<i64>,
    /// When the last one ends.
    pub end: i64,
    pub edits: Vec<Edit>,
    /// Seconds by which their lengths are counted.
    pub edit_tick: f64,
    /// Where in the file the name of the box with the edits is.
    pub edits_at: Option<u64>,
}

/// A part of a track that is shown, or a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit {
    pub length: Duration,
    /// Where in the media; a pause has none.
    pub from: Option<i64>,
    /// Whether it is played as fast as it is.
    pub plain: bool,
}

/// A piece of a track that is shown, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    /// After the file's beginning.
    pub at: f64,
    /// By the media's clock.
    pub from: f64,
    pub to: f64,
}

/// Seconds of a number of ticks.
fn ticks(n: i64, scale: u32) -> f64 {
    n as f64 / f64::from(scale.max(1))
}

impl Track {
    /// What is shown of it, one piece after the other; none where a piece is shown twice, before an earlier one, or at
    /// another speed.
    pub fn pieces(&self) -> Option<Vec<Piece>> {
        let end = ticks(self.end, self.scale);
        if self.edits.iter().all(|e| e.from.is_none()) {
            return Some(vec![Piece { at: 0.0, from: 0.0, to: end }]);
        }
        let (mut pieces, mut at): (Vec<Piece>, f64) = (Vec::new(), 0.0);
        // A piece that follows the one before it may seem to begin earlier, by how their lengths are rounded.
        let rounding = (1.5 * self.edit_tick).clamp(0.0005, 0.005);
        for (n, edit) in self.edits.iter().enumerate() {
            if let Some(from) = edit.from {
                let from = ticks(from, self.scale);
                // Fragmented files and some writers say no length and mean all.
                let to = match edit.length {
                    Duration::ZERO if n + 1 == self.edits.len() => end,
                    length => end.min(from + length.as_secs_f64()),
                };
                let is_later = pieces.last().is_none_or(|p| from > p.to - rounding);
                if !edit.plain || !is_later {
                    return None;
                }
                pieces.push(Piece { at, from, to: to.max(from) });
            }
            at += edit.length.as_secs_f64();
        }
        Some(pieces)
    }

    /// When what is shown of it ends.
    pub fn shown(&self) -> f64 {
        match self.pieces() {
            Some(pieces) => pieces.last().map_or(0.0, |p| p.at + p.to - p.from),
            None => self.edits.iter().map(|e| e.length.as_secs_f64()).sum(),
        }
    }

    /// How many of its frames begin within a part of what is shown.
    pub fn frames(&self, start: f64, stop: f64) -> Option<u64> {
        // Half a millisecond for rounding.
        let at = |t: f64| self.times.partition_point(|n| ticks(*n, self.scale) < t - 0.0005);
        let within = |p: &Piece| {
            let (least, most) = (p.from + (start - p.at).max(0.0), p.to.min(p.from + stop - p.at));
            at(most).saturating_sub(at(least)) as u64
        };
        Some(self.pieces()?.iter().map(within).sum())
    }

    /// Whether its edits hide some of it: frames before the one that is shown first, or more sound than an encoder puts
    /// before its own; or something at the end.
    fn hides(&self) -> bool {
        let pieces = self.pieces().filter(|_| !self.edits.is_empty()).unwrap_or_default();
        let [Piece { from, to, .. }] = pieces[..] else { return pieces.len() > 1 };
        let end = ticks(self.end, self.scale);
        let first = self.times.first().map_or(0.0, |t| ticks(*t, self.scale));
        let before = if self.is_video { from - first > 0.0005 } else { from > PRIMING };
        before || end - to > PRIMING
    }
}

impl Header {
    /// Whether its edit lists hide something that is stored, which GStreamer's qtdemux of 1.22 gets wrong, and can be
    /// understood here.
    pub fn has_hidden_parts(&self) -> bool {
        !self.has_odd_edits() && self.tracks.iter().any(|t| (t.is_video || t.is_sound) && t.hides())
    }

    /// When a video of an ISO base media file ends.
    pub fn end(&self, id: Option<u32>) -> Option<Duration> {
        let track = self.tracks.iter().find(|t| t.is_video && Some(t.id) == id)?;
        Duration::try_from_secs_f64(track.shown()).ok()
    }

    /// Whether its edit lists show something twice, in another order or at another speed.
    pub fn has_odd_edits(&self) -> bool {
        self.tracks.iter().any(|t| (t.is_video || t.is_sound) && t.pieces().is_none())
    }

    /// What makes a file one without edit lists: places in it, and the bytes to be read there. The boxes become free
    /// space, and lengths no less than what is stored: what ends after them would not be read.
    pub fn without_edits(&self) -> Vec<(u64, Vec<u8>)> {
        let mut changes: Vec<_> =
            self.tracks.iter().filter_map(|t| Some((t.edits_at?, b"free".to_vec()))).collect();
        let most = self.tracks.iter().map(|t| ticks(t.end, t.scale)).fold(0.0, f64::max);
        for (at, bytes, scale) in &self.lengths_at {
            let limit = if *bytes == 4 { f64::from(u32::MAX - 1) } else { 9e18 };
            let length = ((most + 1.0) * f64::from(*scale)).min(limit) as u64;
            changes.push((*at, length.to_be_bytes()[8 - bytes..].to_vec()));
        }
        changes
    }

    /// Reads the header of a file; what cannot be read says nothing.
    pub fn read(path: &Path) -> Self {
        let Ok(mut file) = File::open(path) else { return Self::default() };
        let Ok(length) = file.metadata().map(|m| m.len()) else { return Self::default() };
        let mut begin = [0; 12];
        if file.read_exact(&mut begin).is_err() {
            return Self::default();
        }
        let isom = [&b"ftyp"[..], b"moov", b"mdat", b"wide", b"free", b"skip"];
        if begin[..4] == [0x1a, 0x45, 0xdf, 0xa3] {
            matroska::read(&mut file, length).unwrap_or_default()
        } else if begin[..4] == *b"RIFF" && begin[8..12] == *b"AVI " {
            avi(&mut file, &begin).unwrap_or_default()
        } else if isom.contains(&&begin[4..8]) {
            isom::read(&mut file, length).unwrap_or_default()
        } else {
            Self::default()
        }
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// The main header of an AVI file comes first in it (`LIST hdrl avih`; numbers are little-endian).
fn avi(file: &mut File, begin: &[u8]) -> Option<Header> {
    let mut bytes = [0; 32];
    file.read_exact(&mut bytes).ok()?;
    let u32_at = |bytes: &[u8], at| number(bytes, at).map(u32::from_le_bytes);
    if &bytes[..4] != b"LIST" || &bytes[8..16] != b"hdrlavih" {
        return None;
    }
    let frame = u64::from(u32_at(&bytes, 20)?);
    let mut rest = [0; 16];
    file.read_exact(&mut rest).ok()?;
    let frames = u64::from(u32_at(&rest, 4)?);
    Some(Header {
        family: Family::Avi,
        length: Some(Duration::from_micros(frame * frames)).filter(|l| !l.is_zero()),
        // Larger files than it can say, and recordings that were not ended, say the largest number.
        bytes: Some(u32_at(begin, 4)?).filter(|n| *n < 0xffff_fff0).map(|n| u64::from(n) + 8),
        ..Header::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_track() {
        let edit = |ms, from| Edit { length: Duration::from_millis(ms), from, plain: true };
        let track = |edits| Track {
            scale: 1000,
            times: (0..100).map(|n| n * 40).collect(),
            end: 4000,
            edits,
            ..Track::default()
        };
        let pieces = |edits| track(edits).pieces().map(|p| p.iter().map(|p| (p.at, p.from, p.to)).collect());
        assert_eq!(pieces(vec![]), Some(vec![(0.0, 0.0, 4.0)]));
        let cut = vec![edit(500, None), edit(2000, Some(1000))];
        assert_eq!(pieces(cut.clone()), Some(vec![(0.5, 1.0, 3.0)]));
        let cut = track(cut);
        assert!((cut.shown() - 2.5).abs() < 1e-9 && cut.hides());
        assert_eq!((cut.frames(0.0, 9.0), cut.frames(1.5, 2.0)), (Some(50), Some(13)));
        // An edit that is longer than what is there shows what is there.
        assert_eq!(pieces(vec![edit(9000, Some(1000))]), Some(vec![(0.0, 1.0, 4.0)]));
        let two = vec![edit(1000, Some(0)), edit(500, None), edit(1000, Some(2000))];
        assert_eq!(pieces(two.clone()), Some(vec![(0.0, 0.0, 1.0), (1.5, 2.0, 3.0)]));
        let two = track(two);
        assert!((two.shown() - 2.5).abs() < 1e-9 && two.hides());
        assert_eq!((two.frames(0.0, 9.0), two.frames(0.8, 1.6)), (Some(50), Some(5 + 3)));
        for odd in [
            vec![edit(1000, Some(2000)), edit(1000, Some(0))],
            vec![edit(1000, Some(0)), edit(1000, Some(500))],
            vec![Edit { plain: false, ..edit(1000, Some(0)) }],
        ] {
            assert_eq!(pieces(odd), None::<Vec<(f64, f64, f64)>>);
        }
    }

    #[test]
    fn no_bytes_end_the_reading_badly() {
        // Sizes that lead nowhere, back, or beyond the numbers.
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for begin in [&[0x1a, 0x45, 0xdf, 0xa3][..], b"\0\0\0\x10ftyp", b"\0\0\0\x01moov", b"\0\0\0\x40moov"]
        {
            for fill in [0u8, 1, 8, 0x1a, 0x7f, 0xff] {
                let mut bytes = begin.to_vec();
                bytes.resize(96, fill);
                std::io::Write::write_all(file.as_file_mut(), &bytes).unwrap();
                let _ = Header::read(file.path());
                file = tempfile::NamedTempFile::new().unwrap();
            }
        }
    }
}
