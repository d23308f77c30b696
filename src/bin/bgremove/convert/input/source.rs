//! Where the bytes come from: a file, or a pipe.

use crate::convert::picture;
use gst::prelude::*;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Reads a file, or what is no file (a pipe), in a way that can be broken off.
pub fn source(path: &Path) -> Result<(gst::Element, Option<File>), String> {
    let make = |name: &str| {
        gst::ElementFactory::make(name).build().map_err(|_| format!("GStreamer's {name} is missing"))
    };
    let meta = std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => "there is no such file: check the name".to_string(),
        _ => format!("it cannot be read: {e}"),
    })?;
    if meta.is_dir() {
        return Err(match picture::is_folder_of(path) {
            true => "it is a folder of pictures: make a video of them first, as in ffmpeg -framerate 25 -i \
                     FOLDER/frame-%05d.png -c:v ffv1 -pix_fmt bgra OUT.mkv"
                .into(),
            false => "it is a folder: name the video files in it".into(),
        });
    }
    if meta.is_file() {
        File::open(path).map_err(|e| format!("it cannot be read: {e}"))?;
        if meta.len() == 0 {
            return Err("it is empty (0 bytes): take another copy of it".into());
        }
        let source = make("filesrc")?;
        source.set_property("location", path);
        return Ok((source, None));
    }
    // A pipe nobody writes to must not hold up the opening either.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let source = make("fdsrc")?;
    let file = match file {
        Ok(file) => file,
        // A socket cannot be opened by its name.
        Err(e) if e.raw_os_error() == Some(libc::ENXIO) && path == Path::new("/dev/stdin") => {
            source.set_property("fd", 0);
            return Ok((source, None));
        }
        Err(e) => return Err(format!("it cannot be read: {e}")),
    };
    source.set_property("fd", file.as_raw_fd());
    Ok((source, Some(file)))
}

/// Counts the bytes that are pushed.
pub fn count(source: &gst::Element, bytes: &Arc<AtomicU64>) {
    let Some(pad) = source.static_pad("src") else { return };
    let bytes = Arc::clone(bytes);
    pad.add_probe(gst::PadProbeType::PUSH | gst::PadProbeType::BUFFER, move |_, info| {
        let size = info.buffer().map_or(0, |b| b.size() as u64);
        bytes.fetch_add(size, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
}

/// Lets Y4M be read whose header is longer than y4mdec of 1.22 takes (ffmpeg's is, where it says what it knows of colours): the
/// comments in it become one in the first frame's header, so that all else stays in its place.
pub fn shorten_y4m(source: &gst::Element) {
    let Some(pad) = source.static_pad("src") else { return };
    let is_first = AtomicBool::new(true);
    let both = gst::PadProbeType::PULL | gst::PadProbeType::PUSH;
    pad.add_probe(both | gst::PadProbeType::BUFFER, move |_, info| {
        let is_pull = info.mask.contains(gst::PadProbeType::PULL);
        let at_start = if is_pull { info.offset == 0 } else { is_first.swap(false, Ordering::Relaxed) };
        if at_start
            && let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data
            && let Some(new) = buffer.map_readable().ok().and_then(|bytes| shorter(&bytes))
            && let Ok(mut bytes) = buffer.make_mut().map_writable()
        {
            bytes[..new.len()].copy_from_slice(&new);
        }
        gst::PadProbeReturn::Ok
    });
}

/// The beginning of a Y4M stream with a header that y4mdec takes, as long as it was; `None` where it is good as it is.
fn shorter(bytes: &[u8]) -> Option<Vec<u8>> {
    const MOST: usize = 79;
    let line = |bytes: &[u8]| bytes.iter().take(1024).position(|b| *b == b'\n');
    let header = line(bytes).filter(|end| *end > MOST && bytes.starts_with(b"YUV4MPEG2 "))?;
    let frame = bytes[header + 1..].starts_with(b"FRAME").then(|| line(&bytes[header + 1..])).flatten()?;
    let all = header + 1 + frame + 1;
    let words = bytes[..header].split(|b| *b == b' ').filter(|word| !word.starts_with(b"X"));
    let mut new = words.collect::<Vec<_>>().join(&b' ');
    new.extend(b"\nFRAME X");
    new.resize(all - 1, b'x');
    new.push(b'\n');
    (new.len() == all).then_some(new)
}

/// Lets a file be read with other bytes at some places.
pub fn change(source: &gst::Element, changes: Vec<(u64, Vec<u8>)>) {
    let Some(pad) = source.static_pad("src").filter(|_| !changes.is_empty()) else { return };
    // Demuxers of such files ask for what they read.
    pad.add_probe(gst::PadProbeType::PULL | gst::PadProbeType::BUFFER, move |_, info| {
        let from = info.offset;
        let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data else { return gst::PadProbeReturn::Ok };
        let end = from.saturating_add(buffer.size() as u64);
        let within = |(at, new): &&(u64, Vec<u8>)| *at < end && at.saturating_add(new.len() as u64) > from;
        let changes: Vec<_> = changes.iter().filter(within).collect();
        if changes.is_empty() {
            return gst::PadProbeReturn::Ok;
        }
        let Ok(mut bytes) = buffer.make_mut().map_writable() else { return gst::PadProbeReturn::Ok };
        for (place, new) in changes {
            for (at, byte) in (*place..).zip(new) {
                let at = at.checked_sub(from).and_then(|at| usize::try_from(at).ok());
                if let Some(to) = at.and_then(|at| bytes.get_mut(at)) {
                    *to = *byte;
                }
            }
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_y4m_are_made_shorter_in_their_place() {
        let long = b"YUV4MPEG2 W320 H180 F30000:1001 Ip A1:1 C420mpeg2 XYSCSS=420MPEG2 XCOLORRANGE=LIMITED\nFRAME\n\x10X\n";
        let new = shorter(long).unwrap();
        assert_eq!(new.len(), long.len() - 3);
        let text = String::from_utf8(new).unwrap();
        assert!(text.starts_with("YUV4MPEG2 W320 H180 F30000:1001 Ip A1:1 C420mpeg2\nFRAME Xx"), "{text}");
        assert!(text.ends_with("x\n") && text.lines().count() == 2 && text.lines().all(|l| l.len() < 79));
        assert_eq!(shorter(b"YUV4MPEG2 W320 H180 F30:1 XCOLORRANGE=LIMITED\nFRAME\n"), None);
        assert_eq!(shorter(&long[..60]), None);
    }
}
