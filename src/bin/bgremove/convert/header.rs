//! What a file's header says of it, read without GStreamer, which passes only a part of that on: how long each track
//! is and how many frames it has, what of it is shown (edit lists), whether there is an index, how many bytes there
//! should be. ISO base media files (MP4, MOV; ISO/IEC 14496-12) and Matroska (WebM; RFC 9559).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

/// Encoders of sound put no more than so many seconds before it.
const PRIMING: f64 = 0.15;
/// An index larger than this is none that anybody has made.
const MOST: u64 = 1 << 28;
/// So many frames of a file are counted: two days.
const FRAMES: usize = 10_000_000;
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
            matroska(&mut file, length).unwrap_or_default()
        } else if begin[..4] == *b"RIFF" && begin[8..12] == *b"AVI " {
            avi(&mut file, &begin).unwrap_or_default()
        } else if isom.contains(&&begin[4..8]) {
            isom_file(&mut file, length).unwrap_or_default()
        } else {
            Self::default()
        }
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    number(bytes, at).map(u32::from_be_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    number(bytes, at).map(u64::from_be_bytes)
}

/// The boxes one after the other: name, place and content of each.
fn boxes(bytes: &[u8], base: u64) -> impl Iterator<Item = ([u8; 4], u64, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let size = u32_at(bytes, at)?;
        let name = number(bytes, at + 4)?;
        let (head, size) = match size {
            0 => (8, bytes.len() - at),
            1 => (16, usize::try_from(u64_at(bytes, at + 8)?).ok()?),
            n => (8, n as usize),
        };
        let inner = bytes.get(at + head..at.checked_add(size)?)?;
        let place = base + at as u64;
        at += size;
        Some((name, place + head as u64, inner))
    })
}

fn find<'a>(bytes: &'a [u8], base: u64, name: &[u8; 4]) -> Option<(u64, &'a [u8])> {
    boxes(bytes, base).find(|(n, _, _)| n == name).map(|(_, at, inner)| (at, inner))
}

fn isom_file(file: &mut File, length: u64) -> Option<Header> {
    let mut header = Header { family: Family::Isom, ..Header::default() };
    let (mut at, mut should, mut fragmented) = (0u64, 0u64, false);
    for _ in 0..BOXES {
        if at.saturating_add(8) > length {
            break;
        }
        file.seek(SeekFrom::Start(at)).ok()?;
        let mut head = [0; 16];
        let read = file.read(&mut head).ok()?;
        let (size, name) = (u32_at(&head[..read], 0)?, number::<4>(&head[..read], 4)?);
        let (skip, size) = match size {
            0 => (8, length - at),
            1 => (16, u64_at(&head[..read], 8)?),
            n => (8, u64::from(n)),
        };
        // What comes after the boxes is none.
        let Some(end) = at.checked_add(size).filter(|_| size >= skip) else { break };
        should = should.max(end);
        if &name == b"moov" && size < MOST && end <= length {
            file.seek(SeekFrom::Start(at + skip)).ok()?;
            let mut bytes = vec![0; usize::try_from(size - skip).ok()?];
            file.read_exact(&mut bytes).ok()?;
            fragmented = movie(&bytes, at + skip, &mut header).unwrap_or(fragmented);
        }
        fragmented |= &name == b"moof";
        at = end;
    }
    header.bytes = Some(should);
    header.indexed = !fragmented && !header.tracks.is_empty();
    if fragmented {
        // What the index says is only what comes before the fragments.
        header.tracks.clear();
        header.length = None;
    }
    Some(header)
}

/// Reads the index; whether the file is fragmented.
fn movie(bytes: &[u8], base: u64, header: &mut Header) -> Option<bool> {
    let (at, mvhd) = find(bytes, base, b"mvhd")?;
    let (scale, length) = clock(mvhd)?;
    header.lengths_at.push(length_at(mvhd, at, scale));
    header.length = Some(length).filter(|l| *l > 0).map(|l| duration(l, scale));
    let mut left = FRAMES;
    for (name, at, trak) in boxes(bytes, base) {
        if &name == b"trak"
            && let Some((track, length_at)) = track(trak, at, scale, &mut left)
        {
            header.tracks.push(track);
            header.lengths_at.push(length_at);
        }
    }
    Some(find(bytes, base, b"mvex").is_some())
}

/// Where that number stands, in how many bytes; and ticks a second.
fn length_at(bytes: &[u8], base: u64, scale: u32) -> (u64, usize, u32) {
    if bytes.first() == Some(&1) { (base + 24, 8, scale) } else { (base + 16, 4, scale) }
}

/// Ticks a second and how many there are, of `mvhd` and `mdhd`.
fn clock(bytes: &[u8]) -> Option<(u32, u64)> {
    match bytes.first()? {
        1 => Some((u32_at(bytes, 20)?, u64_at(bytes, 24)?)),
        _ => Some((u32_at(bytes, 12)?, u64::from(u32_at(bytes, 16)?))),
    }
}

fn duration(ticks: u64, scale: u32) -> Duration {
    // Nothing lasts longer than u64 of nanoseconds.
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(scale.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn track(bytes: &[u8], base: u64, movie_scale: u32, left: &mut usize) -> Option<(Track, (u64, usize, u32))> {
    let (_, tkhd) = find(bytes, base, b"tkhd")?;
    let (at, mdia) = find(bytes, base, b"mdia")?;
    let (mdhd_at, mdhd) = find(mdia, at, b"mdhd")?;
    let (_, hdlr) = find(mdia, at, b"hdlr")?;
    let (at, minf) = find(mdia, at, b"minf")?;
    let (at, stbl) = find(minf, at, b"stbl")?;
    let mut track = Track {
        id: u32_at(tkhd, if tkhd.first() == Some(&1) { 20 } else { 12 })?,
        is_video: hdlr.get(8..12)? == b"vide",
        is_sound: hdlr.get(8..12)? == b"soun",
        scale: clock(mdhd)?.0,
        edit_tick: 1.0 / f64::from(movie_scale.max(1)),
        ..Track::default()
    };
    if let Some((at, edts)) = find(bytes, base, b"edts")
        && let Some((_, elst)) = find(edts, at, b"elst")
    {
        track.edits_at = Some(at - 4);
        track.edits = edits(elst, movie_scale)?;
    }
    // Durations and, where frames are stored in another order than they are shown, how much later that is.
    let (_, stts) = find(stbl, at, b"stts")?;
    let mut time = 0i64;
    for n in 0..u32_at(stts, 4)? as usize {
        // Some writers let time go back, which says nothing of a length.
        let (count, delta) = (u32_at(stts, 8 + n * 8)?, i32::try_from(u32_at(stts, 12 + n * 8)?).ok()?);
        if !track.is_video {
            time = time.checked_add(i64::from(count).checked_mul(i64::from(delta))?)?;
            continue;
        }
        for _ in 0..count {
            *left = left.checked_sub(1)?;
            track.times.push(time);
            time = time.checked_add(i64::from(delta))?;
        }
    }
    let mut late = 0i64;
    if let Some((_, ctts)) = find(stbl, at, b"ctts") {
        let mut frame = 0;
        for n in 0..u32_at(ctts, 4)? as usize {
            // Signed also in version 0, by files that there are.
            let (count, offset) = (u32_at(ctts, 8 + n * 8)?, u32_at(ctts, 12 + n * 8)? as i32);
            for _ in 0..count {
                let Some(time) = track.times.get_mut(frame) else { break };
                *time = time.checked_add(i64::from(offset))?;
                frame += 1;
            }
        }
        late = track.times.iter().min().copied().unwrap_or(0);
    }
    if let Some((_, stss)) = find(stbl, at, b"stss") {
        for n in 0..u32_at(stss, 4)? as usize {
            // Counted from 1, in the order of storing.
            let Some(frame) = (u32_at(stss, 8 + n * 4)? as usize).checked_sub(1) else { continue };
            track.keys.extend(track.times.get(frame));
        }
        track.keys.sort_unstable();
    }
    track.times.sort_unstable();
    track.end = time.checked_add(late)?;
    let length_at = length_at(mdhd, mdhd_at, track.scale);
    Some((track, length_at))
}

fn edits(elst: &[u8], scale: u32) -> Option<Vec<Edit>> {
    let long = elst.first() == Some(&1);
    let step = if long { 20 } else { 12 };
    let mut edits = Vec::new();
    for n in 0..u32_at(elst, 4)? as usize {
        let at = 8 + n * step;
        let (length, from, rate) = if long {
            (u64_at(elst, at)?, u64_at(elst, at + 8)? as i64, u32_at(elst, at + 16)?)
        } else {
            (u64::from(u32_at(elst, at)?), i64::from(u32_at(elst, at + 4)? as i32), u32_at(elst, at + 8)?)
        };
        let from = Some(from).filter(|f| *f >= 0);
        // 1.0, or nothing, which stands for a still picture and is written by mistake.
        let plain = rate == 0x1_0000 || rate == 0;
        edits.push(Edit { length: duration(length, scale), from, plain });
    }
    Some(edits)
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

/// The id and size of an element, and how many bytes these take; a size that is not known is none.
fn element(bytes: &[u8]) -> Option<(u32, Option<u64>, usize)> {
    let first = *bytes.first()?;
    let id_length = first.leading_zeros() as usize + 1;
    if id_length > 4 {
        return None;
    }
    let id = bytes.get(..id_length)?.iter().fold(0u32, |v, b| v << 8 | u32::from(*b));
    let first = *bytes.get(id_length)?;
    let length = first.leading_zeros() as usize + 1;
    if length > 8 {
        return None;
    }
    let rest = bytes.get(id_length + 1..id_length + length)?;
    let head = u64::from(first) & ((1 << (8 - length)) - 1);
    let size = rest.iter().fold(head, |v, b| v << 8 | u64::from(*b));
    let unknown = size == (1u64 << (7 * length)) - 1;
    Some((id, (!unknown).then_some(size), id_length + length))
}

/// Elements one after the other, and whether each is there as a whole: the last one may go on after the bytes.
fn elements(bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8], bool)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (id, size, head) = element(bytes.get(at..)?)?;
        let end = at.checked_add(head)?.checked_add(usize::try_from(size?).ok()?)?;
        let inner = bytes.get(at + head..end.min(bytes.len()))?;
        at = end;
        Some((id, inner, end <= bytes.len()))
    })
}

/// Those that are whole.
fn children(bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    elements(bytes).map_while(|(id, inner, is_whole)| is_whole.then_some((id, inner)))
}

/// The beginnings of all.
fn beginnings(bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    elements(bytes).map(|(id, inner, _)| (id, inner))
}

fn unsigned(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |v, b| v << 8 | u64::from(*b))
}

const SEGMENT: u32 = 0x1853_8067;
const SEEK_HEAD: u32 = 0x114d_9b74;
const SEEK: u32 = 0x4dbb;
const SEEK_ID: u32 = 0x53ab;
const SEEK_POSITION: u32 = 0x53ac;
const INFO: u32 = 0x1549_a966;
const SCALE: u32 = 0x002a_d7b1;
const LENGTH: u32 = 0x4489;
const TRACKS: u32 = 0x1654_ae6b;
const TRACK: u32 = 0xae;
const NUMBER: u32 = 0xd7;
const VIDEO: u32 = 0xe0;
const PROJECTION: u32 = 0x7670;
const PROJECTION_TYPE: u32 = 0x7671;
const ROLL: u32 = 0x7675;
const TIME: u32 = 0xe7;
const SIMPLE_BLOCK: u32 = 0xa3;
const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u32 = 0xa1;
const CUES: u32 = 0x1c53_bb6b;
const CLUSTER: u32 = 0x1f43_b675;

fn matroska(file: &mut File, length: u64) -> Option<Header> {
    let mut header = Header { family: Family::Matroska, ..Header::default() };
    let mut at = 0;
    let (mut segment, mut tracks_at, mut scale, mut has_tracks) = (None, None, 1_000_000, false);
    for _ in 0..BOXES {
        file.seek(SeekFrom::Start(at)).ok()?;
        let mut head = Vec::new();
        file.take(12).read_to_end(&mut head).ok()?;
        let Some((id, size, skip)) = element(&head) else { break };
        let inner = at.checked_add(skip as u64)?;
        match (id, size) {
            (SEGMENT, size) => {
                segment = Some(inner);
                header.bytes = size.and_then(|s| inner.checked_add(s));
                at = inner;
                continue;
            }
            (CLUSTER, _) => {
                file.seek(SeekFrom::Start(inner)).ok()?;
                let mut bytes = Vec::new();
                file.take(1 << 16).read_to_end(&mut bytes).ok()?;
                header.before = before(&bytes) as f64 * scale as f64 / 1e9;
                break;
            }
            (_, None) => break,
            (SEEK_HEAD | INFO | TRACKS, Some(size)) if size < 1 << 20 => {
                file.seek(SeekFrom::Start(inner)).ok()?;
                let mut bytes = Vec::new();
                file.take(size).read_to_end(&mut bytes).ok()?;
                if id == INFO {
                    (header.length, scale) = said_length(&bytes);
                } else if id == TRACKS {
                    header.rolls = rolls(&bytes);
                    has_tracks = true;
                } else {
                    let place = |id| place(&bytes, id).map(|p| segment.unwrap_or(0).saturating_add(p));
                    header.indexed |= place(CUES).is_some_and(|p| p < length);
                    tracks_at = tracks_at.or(place(TRACKS));
                }
            }
            (CUES, _) => header.indexed = true,
            _ => {}
        }
        at = inner.checked_add(size?)?;
        if at >= length {
            break;
        }
    }
    // Where they were changed later, they may come behind the frames. The place may also be one where they were before.
    if let Some(at) = tracks_at.filter(|at| *at < length && !has_tracks) {
        file.seek(SeekFrom::Start(at)).ok()?;
        let mut bytes = Vec::new();
        file.take(1 << 20).read_to_end(&mut bytes).ok()?;
        if let Some((_, all)) = children(&bytes).find(|(id, _)| *id == TRACKS) {
            header.rolls = rolls(all);
        }
    }
    Some(header)
}

/// The tracks whose picture is to be turned.
fn rolls(tracks: &[u8]) -> Vec<(u64, f64)> {
    children(tracks).filter(|(id, _)| *id == TRACK).filter_map(|(_, track)| roll(track)).collect()
}

/// The number of a track, and by how much its picture is to be turned.
fn roll(track: &[u8]) -> Option<(u64, f64)> {
    let within = |bytes, id| children(bytes).find(|(i, _)| *i == id).map(|(_, inner)| inner);
    let projection = within(within(track, VIDEO)?, PROJECTION)?;
    // Of a sphere it is the way that one looks at first (RFC 9559, 5.1.4.1.28.41): nought is a flat picture, as is none.
    if within(projection, PROJECTION_TYPE).is_some_and(|kind| unsigned(kind) != 0) {
        return None;
    }
    let roll = within(projection, ROLL)?;
    Some((unsigned(within(track, NUMBER)?), float(roll)?))
}

fn float(bytes: &[u8]) -> Option<f64> {
    match bytes.len() {
        4 => number(bytes, 0).map(|b| f64::from(f32::from_be_bytes(b))),
        8 => number(bytes, 0).map(f64::from_be_bytes),
        _ => None,
    }
}

/// By how many ticks the first frames of a cluster begin before nought (RFC 9559, 10: block structure).
fn before(cluster: &[u8]) -> i64 {
    let mut begin = 0;
    let mut least = 0i64;
    for (id, inner) in beginnings(cluster) {
        let block = match id {
            TIME => {
                begin = i64::try_from(unsigned(inner)).unwrap_or(i64::MAX);
                continue;
            }
            SIMPLE_BLOCK => Some(inner),
            BLOCK_GROUP => beginnings(inner).find(|(id, _)| *id == BLOCK).map(|(_, block)| block),
            _ => None,
        };
        // After the number of the track, which nearly always is one byte.
        if let Some(offset) =
            block.filter(|b| b.first().is_some_and(|n| n & 0x80 != 0)).and_then(|b| number(b, 1))
        {
            least = least.min(begin.saturating_add(i64::from(i16::from_be_bytes(offset))));
        }
    }
    -least
}

/// The length, and how many nanoseconds a tick is.
fn said_length(info: &[u8]) -> (Option<Duration>, u64) {
    let (mut scale, mut length) = (1_000_000, None);
    for (id, inner) in children(info) {
        match id {
            SCALE => scale = unsigned(inner),
            LENGTH => length = float(inner),
            _ => {}
        }
    }
    let length = length.and_then(|l| Duration::try_from_secs_f64(l * scale as f64 / 1e9).ok());
    (length.filter(|d| !d.is_zero()), scale)
}

/// Where an element is, after the segment's beginning.
fn place(seek_head: &[u8], wanted: u32) -> Option<u64> {
    children(seek_head).filter(|(id, _)| *id == SEEK).find_map(|(_, seek)| {
        let of = |what| children(seek).find(|(id, _)| *id == what).map(|(_, inner)| unsigned(inner));
        (of(SEEK_ID)? == u64::from(wanted)).then(|| of(SEEK_POSITION))?
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

    /// An element of Matroska; its size takes four bytes.
    fn made(id: u32, content: &[u8]) -> Vec<u8> {
        let id = id.to_be_bytes();
        let skip = id.iter().take_while(|b| **b == 0).count();
        let size = (content.len() as u32 | 0x1000_0000).to_be_bytes();
        [&id[skip..], &size, content].concat()
    }

    fn read_matroska(parts: &[Vec<u8>]) -> Header {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes = [made(0x1a45_dfa3, &[]), made(SEGMENT, &parts.concat())].concat();
        std::fs::write(file.path(), bytes).unwrap();
        Header::read(file.path())
    }

    #[test]
    fn a_large_first_block_that_begins_before_nought() {
        let block = [&[0x81, 0xff, 0xea, 0x80][..], &vec![0; 100_000]].concat();
        for block in [made(SIMPLE_BLOCK, &block), made(BLOCK_GROUP, &made(BLOCK, &block))] {
            let cluster = made(CLUSTER, &[made(TIME, &[0]), block].concat());
            let before = read_matroska(&[cluster]).before;
            assert!((before - 0.022).abs() < 1e-9, "{before}");
        }
    }

    #[test]
    fn only_a_flat_picture_is_turned_and_by_the_tracks_that_are_there() {
        let tracks = |kind: Option<u8>| {
            let kind = kind.map_or(Vec::new(), |k| made(PROJECTION_TYPE, &[k]));
            let projection = [kind, made(ROLL, &(-90f32).to_be_bytes())].concat();
            let video = made(VIDEO, &made(PROJECTION, &projection));
            made(TRACKS, &made(TRACK, &[made(NUMBER, &[1]), video].concat()))
        };
        for (kind, turned) in [(None, true), (Some(0), true), (Some(1), false), (Some(2), false)] {
            assert_eq!(read_matroska(&[tracks(kind)]).rolls.len(), usize::from(turned), "{kind:?}");
        }
        // The place leads to what is no longer there, or to what is behind the frames.
        let place = |at: u32| {
            let entry = [made(SEEK_ID, &TRACKS.to_be_bytes()), made(SEEK_POSITION, &at.to_be_bytes())];
            made(SEEK_HEAD, &made(SEEK, &entry.concat()))
        };
        let cluster = made(CLUSTER, &made(TIME, &[0]));
        let after = (place(0).len() + cluster.len()) as u32;
        assert_eq!(read_matroska(&[place(3), tracks(None), cluster.clone()]).rolls, [(1, -90.0)]);
        assert_eq!(read_matroska(&[place(after), cluster, tracks(None)]).rolls, [(1, -90.0)]);
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
