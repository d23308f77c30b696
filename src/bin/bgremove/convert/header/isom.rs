//! ISO base media files: MP4 and MOV (ISO/IEC 14496-12).

use super::{BOXES, Edit, Family, Header, Track, number};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

/// An index larger than this is none that anybody has made.
const MOST: u64 = 1 << 28;
/// So many frames of a file are counted: two days.
const FRAMES: usize = 10_000_000;

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

/// The header of such a file.
pub fn read(file: &mut File, length: u64) -> Option<Header> {
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
