//! The clock of an MPEG transport stream (ISO/IEC 13818-1, 2.4.3.5), by which GStreamer tells times.

use super::fault::Fault;
use super::watchdog::Watchdog;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The code of the warning.
pub const CODE: &str = "convert/clock";

/// Bytes of a packet.
const PACKET: usize = 188;
/// The byte that it begins with.
const SYNC: u8 = 0x47;
/// So many seconds without its clock tsdemux of 1.22 takes for a break, and closes it up: what comes after has other
/// times, and of sound that went on meanwhile some is lost.
const MOST: f64 = 0.5;
/// Where packets are missing and the clock is so much later, another recording follows, as in files that were put together:
/// nothing of it is lost.
const ANOTHER: f64 = 10.0;
/// What the clock counts a second, and where it begins again.
const RATE: f64 = 90_000.0;
const WRAP: u64 = 1 << 33;

/// What the user should know of the clock, up to so many seconds after its beginning.
///
/// # Errors
/// An interruption.
pub fn check(path: &Path, stop: Option<f64>, watchdog: &Watchdog) -> Result<Option<String>, Fault> {
    let Some(Gap { at, length, lost }) = first_gap(path, stop, watchdog)? else { return Ok(None) };
    let what = match lost {
        true => format!("after {at:.1} s packets with {length:.2} s of it are missing"),
        false => format!("after {at:.1} s its clock (PCR) stands still for {length:.2} s"),
    };
    Ok(Some(format!(
        "{what}; GStreamer closes up what is longer than {MOST} s, so that from there on frames and sound come too early, \
         or some are lost: make another file of it first: ffmpeg -i IN -map 0:v -map 0:a? -c copy OUT.mkv"
    )))
}

/// A time without a clock.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Gap {
    /// Seconds after the beginning.
    at: f64,
    length: f64,
    /// Packets are missing there.
    lost: bool,
}

/// Follows the clock of a stream from packet to packet.
#[derive(Default)]
struct Clock {
    /// Where the tables are of which the first names the clock's packets.
    tables: Vec<u16>,
    pid: Option<u16>,
    is_named: bool,
    last: Option<u64>,
    /// Of the last of its packets that has content (2.4.3.3).
    counter: Option<u8>,
    lost: bool,
    seconds: f64,
}

impl Clock {
    fn packet(&mut self, packet: &[u8]) -> Option<Gap> {
        // One that was received badly says nothing.
        if packet[0] != SYNC || packet[1] & 0x80 != 0 {
            return None;
        }
        let pid = u16::from_be_bytes([packet[1], packet[2]]) & 0x1fff;
        if !self.is_named {
            self.table(pid, packet);
        }
        let time = clock(packet);
        if self.pid.is_none() && time.is_some() {
            self.pid = Some(pid);
        }
        if self.pid != Some(pid) {
            return None;
        }
        if packet[3] & 0x10 != 0 {
            let counter = packet[3] & 0x0f;
            // A packet may come twice.
            let follows = |c: u8| counter == (c + 1) & 0x0f || counter == c;
            self.lost |= self.counter.is_some_and(|c| !follows(c));
            self.counter = Some(counter);
        }
        let (time, is_break) = time?;
        let (then, lost) = (self.last.replace(time), std::mem::take(&mut self.lost));
        let step = then.map_or(0, |then| (time + WRAP - then) % WRAP);
        let length = step as f64 / RATE;
        // A step back is one by nearly a day.
        if is_break || step > WRAP / 2 || (lost && length > ANOTHER) {
            return None;
        }
        let at = self.seconds;
        self.seconds += length;
        (length > MOST).then_some(Gap { at, length, lost })
    }

    /// Looks for the number of the clock's packets in the tables: that of the first programme which comes (2.4.4).
    fn table(&mut self, pid: u16, packet: &[u8]) {
        let skip = 4 + if packet[3] & 0x20 != 0 { 1 + usize::from(packet[4]) } else { 0 };
        let begins = packet[1] & 0x40 != 0 && packet[3] & 0x10 != 0;
        let Some(content) = packet.get(skip..).filter(|c| begins && !c.is_empty()) else { return };
        let Some(table) = content.get(1 + usize::from(content[0])..).filter(|t| t.len() > 12) else { return };
        let number = |at: usize| u16::from_be_bytes([table[at], table[at + 1]]);
        let end = (3 + usize::from(number(1) & 0x0fff)).saturating_sub(4).min(table.len());
        if pid == 0 && table[0] == 0 {
            // Number nought is no programme.
            let all = (8..end.saturating_sub(3)).step_by(4).filter(|at| number(*at) != 0);
            self.tables = all.map(|at| number(at + 2) & 0x1fff).collect();
        } else if table[0] == 2 && self.tables.contains(&pid) {
            let named = number(8) & 0x1fff;
            if self.pid != Some(named) {
                *self = Self { pid: Some(named), ..Self::default() };
            }
            self.is_named = true;
        }
    }
}

/// The first time that is longer than what GStreamer bears; none of what is no transport stream.
fn first_gap(path: &Path, stop: Option<f64>, watchdog: &Watchdog) -> Result<Option<Gap>, Fault> {
    let Ok(file) = File::open(path) else { return Ok(None) };
    let mut file = BufReader::with_capacity(1 << 20, file);
    // Blu-ray's packets have four bytes before each.
    let begin = file.fill_buf().unwrap_or_default();
    let is_sync = |at: usize| begin.get(at) == Some(&SYNC);
    let Some(before) = [0, 4].into_iter().find(|b| is_sync(*b) && is_sync(2 * b + PACKET)) else {
        return Ok(None);
    };
    let mut packet = [0; PACKET + 4];
    let packet = &mut packet[..PACKET + before];
    let mut clock = Clock::default();
    let mut count = 0u64;
    while file.read_exact(packet).is_ok() {
        count += 1;
        if count.is_multiple_of(10_000) {
            watchdog.touch();
            if watchdog.is_stopped() {
                return Err(Fault::interrupted());
            }
        }
        // Where bytes are missing, on to where packets begin again.
        let mut is_lost = packet[before] != SYNC;
        while is_lost {
            packet.rotate_left(1);
            let end = packet.len() - 1;
            if file.read_exact(&mut packet[end..]).is_err() {
                return Ok(None);
            }
            let follows = file.fill_buf().ok().and_then(|next| next.get(before)).is_none_or(|b| *b == SYNC);
            is_lost = packet[before] != SYNC || !follows;
        }
        if let Some(gap) = clock.packet(&packet[before..]) {
            return Ok(Some(gap).filter(|gap| stop.is_none_or(|stop| gap.at < stop)));
        }
        if stop.is_some_and(|stop| clock.seconds > stop) {
            break;
        }
    }
    Ok(None)
}

/// Of a packet that has one, the clock, and whether it begins anew there.
fn clock(packet: &[u8]) -> Option<(u64, bool)> {
    let has_field = packet[3] & 0x20 != 0 && packet[4] >= 7;
    if !has_field || packet[5] & 0x10 == 0 {
        return None;
    }
    let base = packet[6..11].iter().fold(0u64, |v, b| v << 8 | u64::from(*b)) >> 7;
    Some((base, packet[5] & 0x80 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet with the clock at a time.
    fn at(seconds: f64, counter: u8) -> Vec<u8> {
        let mut packet = vec![0; PACKET];
        packet[..6].copy_from_slice(&[SYNC, 0x41, 0x00, 0x30 | (counter & 0x0f), 7, 0x10]);
        // 33 bits before six that are reserved.
        let base = ((seconds * RATE) as u64 % WRAP) << 7 | 0x7e;
        packet[6..11].copy_from_slice(&(base << 24).to_be_bytes()[..5]);
        packet
    }

    fn gap(packets: &[Vec<u8>], stop: Option<f64>) -> Option<Gap> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), packets.concat()).unwrap();
        first_gap(file.path(), stop, &Watchdog::new(std::sync::Arc::default(), None)).unwrap()
    }

    #[test]
    fn the_clock_is_read_where_there_is_one() {
        let mut packet = at(1.0, 0);
        assert_eq!(clock(&packet), Some((90_000, false)));
        packet[5] = 0x90;
        assert_eq!(clock(&packet), Some((90_000, true)));
        packet[5] = 0;
        assert_eq!(clock(&packet), None);
    }

    #[test]
    fn only_what_loses_something_is_told() {
        // Four packets a second, of which some are changed.
        let steady = || (0..40u8).map(|n| at(f64::from(n) * 0.25, n)).collect::<Vec<_>>();
        assert_eq!(gap(&steady(), None), None);
        let shifted = |by: f64, skipped: u8| {
            let moved = |n: u8| at(f64::from(n) * 0.25 + by, n + skipped);
            [steady()[..20].to_vec(), (20..40).map(moved).collect()].concat()
        };
        let (at_end, of) = (|g: Option<Gap>| g.map(|g| (g.at, g.lost)), shifted(0.5, 0));
        assert_eq!(at_end(gap(&of, None)), Some((4.75, false)));
        // Not in the part.
        assert_eq!(gap(&of, Some(4.0)), None);
        assert_eq!(at_end(gap(&shifted(2.0, 5), None)), Some((4.75, true)));
        // Another recording that begins later or earlier, or as the clock begins again; but a picture that stands.
        assert_eq!(gap(&shifted(100.0, 5), None), None);
        assert_eq!(gap(&shifted(-3.0, 0), None), None);
        assert_eq!(at_end(gap(&shifted(100.0, 0), None)), Some((4.75, false)));
        let end = WRAP as f64 / RATE;
        let over = (0..40u8).map(|n| at(end - 5.0 + f64::from(n) * 0.25, n)).collect::<Vec<_>>();
        assert_eq!(gap(&over, None), None);
        // Received badly.
        let mut bad = steady();
        bad[20] = at(7.0, 0);
        bad[20][1] |= 0x80;
        assert_eq!(gap(&bad, None), None);
        // Bytes between packets.
        let mut odd = steady();
        odd[10].extend([1, 2, SYNC, 4, 5]);
        assert_eq!(gap(&odd, None), None);
        odd[20..].iter_mut().enumerate().for_each(|(n, p)| *p = at(7.0 + n as f64 * 0.25, n as u8 + 20));
        assert_eq!(at_end(gap(&odd, None)), Some((4.75, false)));
    }

    #[test]
    fn the_clock_is_that_of_the_programme() {
        let mut tables = [vec![0xff; PACKET], vec![0xff; PACKET]];
        // One programme, whose table is in packets of 0x1000; its clock is in those of 0x100.
        tables[0][..21].copy_from_slice(&[
            SYNC, 0x40, 0, 0x10, 0, 0, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xf0, 0, 0, 0, 0, 0,
        ]);
        tables[1][..21].copy_from_slice(&[
            SYNC, 0x50, 0, 0x10, 0, 2, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0xe1, 0, 0xf0, 0, 0, 0, 0, 0,
        ]);
        let other = |seconds, n| {
            let mut packet = at(seconds, n);
            packet[2] = 0x99;
            packet
        };
        let all = (0..8u8).flat_map(|n| [other(f64::from(n) * 3.0, n), at(f64::from(n) * 0.25, n)]);
        let all: Vec<_> = tables.into_iter().chain(all).collect();
        assert_eq!(gap(&all, None), None);
        assert_eq!(gap(&all[2..], None).map(|g| g.length), Some(3.0));
    }
}
