//! The edit lists that `mp4mux` of GStreamer writes, mended in the finished file.
//!
//! What an AAC encoder puts before the sound is shown as if it were sound, which comes 1024 samples late in every player; and
//! with frames out of order the last one lies behind the end of the list, so that nobody shows it.

use super::header::{Header, Track};
use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Samples that `avenc_aac` puts before the first one.
const PRIMING: u32 = 1024;

/// When the last frame of a video ends. One that lasts no time by the file is shown as long as the one before; any other as
/// long as the file says, however long the one before stood.
fn end(track: &Track) -> Option<i64> {
    let [.., before, last] = track.times[..] else { return None };
    Some(if track.end > last { track.end } else { last + (last - before).max(1) })
}

/// Mends them.
///
/// # Errors
/// Those of reading and writing the file.
pub fn mend(path: &Path) -> io::Result<()> {
    let header = Header::read(path);
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    for track in header.tracks.iter().filter(|t| t.is_sound || t.is_video) {
        let Some(at) = track.edits_at else { continue };
        // After the name of `edts` come the size and name of `elst`, its version and flags, and how many entries there are.
        let mut bytes = [0; 16];
        file.seek(SeekFrom::Start(at + 4))?;
        file.read_exact(&mut bytes)?;
        let count = u32::from_be_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
        if &bytes[4..8] != b"elst" || bytes[8] != 0 || count as usize != track.edits.len() {
            continue;
        }
        // A pause may come first.
        let Some((n, edit)) = track.edits.iter().enumerate().next_back() else { continue };
        let (Some(from), scale) = (edit.from, f64::from(track.scale.max(1))) else { continue };
        let (from, length) = if track.is_sound {
            // The track's clock is that of its samples.
            (from + i64::from(PRIMING), edit.length.as_secs_f64() - f64::from(PRIMING) / scale)
        } else {
            let Some(end) = end(track) else { continue };
            (from, edit.length.as_secs_f64().max((end - from) as f64 / scale))
        };
        let length = (length.max(0.0) / track.edit_tick).round() as u32;
        file.seek(SeekFrom::Start(at + 4 + 16 + n as u64 * 12))?;
        file.write_all(&length.to_be_bytes())?;
        file.write_all(&u32::try_from(from).unwrap_or(0).to_be_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_frame_ends_where_the_file_says() {
        let of = |times: &[i64], end| super::end(&Track { times: times.to_vec(), end, ..Track::default() });
        assert_eq!(of(&[0, 40, 80], 120), Some(120));
        // Behind a frame that stood for long.
        assert_eq!(of(&[0, 40, 5000], 5040), Some(5040));
        assert_eq!(of(&[0, 40, 80], 80), Some(120));
        assert_eq!(of(&[0], 40), None);
    }
}
