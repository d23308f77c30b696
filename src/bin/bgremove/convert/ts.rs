//! The clock of an MPEG transport stream (ISO/IEC 13818-1, 2.4.3.5), by which GStreamer tells times.

use super::fault::Fault;
use super::watch::Watch;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// A packet, which begins with this.
const PACKET: usize = 188;
const SYNC: u8 = 0x47;
/// So many seconds without its clock tsdemux of 1.22 takes for a break, and gives what comes after them other times.
const MOST: f64 = 0.5;
/// What the clock counts a second, and where it begins again.
const RATE: f64 = 90_000.0;
const WRAP: u64 = 1 << 33;

/// Fails where the clock stands for too long: with frames far apart, as ffmpeg writes them.
pub fn check(path: &Path, watch: &Watch) -> Result<(), Fault> {
    match longest(path, watch)? {
        Some(gap) if gap > MOST => Err(Fault::input(format!(
            "its clock (PCR) stands still for {gap:.2} s, where GStreamer loses the times of frames and sound: make another \
             file of it first: ffmpeg -i IN -map 0 -c copy OUT.mkv"
        ))),
        _ => Ok(()),
    }
}

/// The longest time between two values of a clock; none of what is no transport stream.
fn longest(path: &Path, watch: &Watch) -> Result<Option<f64>, Fault> {
    let Ok(file) = File::open(path) else { return Ok(None) };
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut begin = [0; 2 * (PACKET + 4)];
    if file.read_exact(&mut begin).is_err() {
        return Ok(None);
    }
    // Blu-ray's packets have four bytes before each.
    let Some(before) = [0, 4].into_iter().find(|b| begin[*b] == SYNC && begin[2 * b + PACKET] == SYNC) else {
        return Ok(None);
    };
    let Ok(file) = File::open(path) else { return Ok(None) };
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut packet = [0; PACKET + 4];
    let packet = &mut packet[..PACKET + before];
    let (mut last, mut most): (Option<(u16, u64)>, f64) = (None, 0.0);
    let mut count = 0u64;
    while file.read_exact(packet).is_ok() {
        count += 1;
        if count.is_multiple_of(10_000) {
            watch.touch();
            if watch.is_stopped() {
                return Err(Fault::interrupted());
            }
        }
        let Some((pid, time, is_break)) = clock(&packet[before..]) else { continue };
        if let Some((_, then)) = last.filter(|(p, then)| *p == pid && !is_break && time >= *then) {
            most = most.max((time - then) as f64 / RATE);
        }
        if last.is_none_or(|(p, _)| p == pid) {
            last = Some((pid, time % WRAP));
        }
    }
    Ok(Some(most))
}

/// Of a packet that has one, its PID, the clock, and whether it begins anew there.
fn clock(packet: &[u8]) -> Option<(u16, u64, bool)> {
    let has_field = packet[0] == SYNC && packet[3] & 0x20 != 0 && packet[4] >= 7;
    if !has_field || packet[5] & 0x10 == 0 {
        return None;
    }
    let base = packet[6..11].iter().fold(0u64, |v, b| v << 8 | u64::from(*b)) >> 7;
    let pid = u16::from_be_bytes([packet[1], packet[2]]) & 0x1fff;
    Some((pid, base, packet[5] & 0x80 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_read_where_there_is_one() {
        let mut packet = [0; PACKET];
        packet[..5].copy_from_slice(&[SYNC, 0x41, 0x00, 0x20, 183]);
        assert_eq!(clock(&packet), None);
        packet[5] = 0x90;
        // 90,000 in 33 bits before six that are reserved.
        packet[6..11].copy_from_slice(&((90_000u64 << 7 | 0x7e) << 24).to_be_bytes()[..5]);
        assert_eq!(clock(&packet), Some((0x100, 90_000, true)));
    }
}
