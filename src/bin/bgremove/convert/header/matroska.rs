//! Matroska, and WebM with it (RFC 9559; its elements: RFC 8794).

use super::{BOXES, Family, Header, number};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

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
const CODEC: u32 = 0x86;
const CODEC_DELAY: u32 = 0x56aa;
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

/// The header of such a file.
pub fn read(file: &mut File, length: u64) -> Option<Header> {
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
                    read_tracks(&mut header, &bytes);
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
            read_tracks(&mut header, all);
        }
    }
    Some(header)
}

/// What the tracks' entries say that GStreamer does not pass on.
fn read_tracks(header: &mut Header, tracks: &[u8]) {
    let entries = || children(tracks).filter(|(id, _)| *id == TRACK).map(|(_, track)| track);
    header.rolls = entries().filter_map(|track| Some((track_number(track)?, roll(track)?))).collect();
    header.delays = entries().filter_map(|track| Some((track_number(track)?, delay(track)?))).collect();
}

fn within(bytes: &[u8], id: u32) -> Option<&[u8]> {
    children(bytes).find(|(i, _)| *i == id).map(|(_, inner)| inner)
}

fn track_number(track: &[u8]) -> Option<u64> {
    Some(unsigned(within(track, NUMBER)?))
}

/// By how much a track's picture is to be turned.
fn roll(track: &[u8]) -> Option<f64> {
    let projection = within(within(track, VIDEO)?, PROJECTION)?;
    // Of a sphere it is the way that one looks at first (RFC 9559, 5.1.4.1.28.41): nought is a flat picture, as is none.
    if within(projection, PROJECTION_TYPE).is_some_and(|kind| unsigned(kind) != 0) {
        return None;
    }
    float(within(projection, ROLL)?)
}

/// What a track's encoder put before the sound (RFC 9559, 5.1.4.1.25), where GStreamer leaves it there: of Opus it takes
/// it off.
fn delay(track: &[u8]) -> Option<Duration> {
    let delay = Duration::from_nanos(unsigned(within(track, CODEC_DELAY)?));
    let is_opus = within(track, CODEC).is_some_and(|id| id.starts_with(b"A_OPUS"));
    (!is_opus && !delay.is_zero() && delay < Duration::from_secs(1)).then_some(delay)
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
    fn what_an_encoder_put_before_the_sound_but_of_opus() {
        let track = |n: u8, codec: &[u8], delay: &[u8]| {
            made(TRACK, &[made(NUMBER, &[n]), made(CODEC, codec), made(CODEC_DELAY, delay)].concat())
        };
        let ms21 = 21_333_333u32.to_be_bytes();
        let tracks = [
            track(1, b"A_OPUS", &ms21),
            track(2, b"A_AAC", &ms21),
            track(3, b"A_AAC", &[0]),
            track(4, b"A_AAC", &[0xff; 8]),
        ];
        let delays = read_matroska(&[made(TRACKS, &tracks.concat())]).delays;
        assert_eq!(delays, [(2, Duration::from_nanos(21_333_333))]);
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
}
