//! Still and animated pictures, of which GStreamer 1.22 tells less than there is in them.

use super::fault::Fault;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

/// How a still picture has to be turned, by what its file says (EXIF, as the standard CIPA DC-008 numbers it), and
/// whether that is by a quarter; `None` if it is no picture that can be read so.
pub fn turn(path: &Path) -> Option<(Option<&'static str>, bool)> {
    use image::ImageDecoder;
    use image::metadata::Orientation;
    let reader = image::ImageReader::open(path).ok()?.with_guessed_format().ok()?;
    let orientation = reader.into_decoder().ok()?.orientation().ok()?;
    Some(match orientation {
        Orientation::NoTransforms => (None, false),
        Orientation::Rotate90 => (Some("90r"), true),
        Orientation::Rotate180 => (Some("180"), false),
        Orientation::Rotate270 => (Some("90l"), true),
        Orientation::FlipHorizontal => (Some("horiz"), false),
        Orientation::FlipVertical => (Some("vert"), false),
        Orientation::Rotate90FlipH => (Some("ul-lr"), true),
        Orientation::Rotate270FlipH => (Some("ur-ll"), true),
    })
}

/// Whether a folder holds numbered pictures.
pub fn is_folder_of(path: &Path) -> bool {
    let Ok(files) = std::fs::read_dir(path) else { return false };
    let is_picture = |name: &Path| {
        let extension = name.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
        ["png", "jpg", "jpeg", "tif", "tiff", "exr", "dpx", "bmp", "webp"].contains(&extension.as_str())
    };
    files.flatten().filter(|f| is_picture(Path::new(&f.file_name()))).nth(1).is_some()
}

/// Of an animated picture GStreamer gives one frame, or all at one time: in silence, a still picture would come of it.
pub fn refuse_animation(path: &Path) -> Result<(), Fault> {
    const VIDEO: &str = "make a video of it first: ffmpeg -i IN -c:v ffv1 -pix_fmt bgra OUT.mkv";
    let (kind, help) = match animation(path) {
        Some("WebP") => ("WebP", "make a video of it first, with a program that reads animated WebP"),
        Some(kind) => (kind, VIDEO),
        None => return Ok(()),
    };
    Err(Fault::input(format!("it is an animated {kind}, which GStreamer does not read as it moves: {help}")))
}

/// Which kind of animated picture a file is, if any.
fn animation(path: &Path) -> Option<&'static str> {
    let mut file = BufReader::new(File::open(path).ok()?);
    let mut begin = [0; 8];
    file.read_exact(&mut begin).ok()?;
    match &begin {
        b"\x89PNG\r\n\x1a\n" => is_animated_png(file)?.then_some("PNG"),
        [b'R', b'I', b'F', b'F', ..] => {
            // "WEBP", "VP8X", its size, and flags, of which the second is animation (RFC 9649, 2.7).
            let mut head = [0; 13];
            file.read_exact(&mut head).ok()?;
            (head.starts_with(b"WEBPVP8X") && head[12] & 2 != 0).then_some("WebP")
        }
        [b'G', b'I', b'F', b'8', ..] => {
            file.rewind().ok()?;
            let mut decoder = gif::Decoder::new(file).ok()?;
            let mut next = || decoder.next_frame_info().ok().flatten().is_some();
            (next() && next()).then_some("GIF")
        }
        _ => None,
    }
}

/// The chunk `acTL` comes before the first data and says how many pictures there are (PNG, third edition, 11.3.6.1).
fn is_animated_png(mut file: impl Read) -> Option<bool> {
    loop {
        let mut head = [0; 8];
        file.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        match &head[4..] {
            b"acTL" => {
                let mut count = [0; 4];
                file.read_exact(&mut count).ok()?;
                return Some(u32::from_be_bytes(count) > 1);
            }
            b"IDAT" | b"IEND" => return Some(false),
            // With its checksum.
            _ => std::io::copy(&mut file.by_ref().take(u64::from(length) + 4), &mut std::io::sink()).ok()?,
        };
    }
}

/// What GStreamer fails at though it is whole: its decoders of BMP and TIFF are given such files in pieces.
pub fn explain(path: &Path, fault: Fault) -> Fault {
    // Opening a pipe that nobody writes to would wait for ever.
    if !path.is_file() {
        return fault;
    }
    let mut begin = [0; 4];
    let read = File::open(path).and_then(|mut f| f.read_exact(&mut begin));
    let kind = match &begin {
        [b'B', b'M', ..] => "BMP",
        b"II*\0" | b"MM\0*" => "TIFF",
        _ => return fault,
    };
    if read.is_err() || fault.is_interrupted() {
        return fault;
    }
    let text = format!(
        "it is a {kind} picture that GStreamer does not read: make another of it first: ffmpeg -i IN OUT.png"
    );
    Fault { text, ..fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_orientation_of_exif_has_its_turn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        let mut jpeg = Vec::new();
        let encoder = image::codecs::jpeg::JpegEncoder::new(&mut jpeg);
        image::RgbImage::new(16, 8).write_with_encoder(encoder).unwrap();
        let of = |orientation: u8| {
            // TIFF 6.0, big-endian: one field, 0x0112, SHORT.
            let mut exif =
                b"\xff\xe1\0\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
            exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
            std::fs::write(&path, [&jpeg[..2], &exif, &jpeg[2..]].concat()).unwrap();
            turn(&path).unwrap()
        };
        // By what the first row and the first column of what is stored are in what is shown.
        assert_eq!(of(1), (None, false), "top, left");
        assert_eq!(of(2), (Some("horiz"), false), "top, right");
        assert_eq!(of(3), (Some("180"), false), "bottom, right");
        assert_eq!(of(4), (Some("vert"), false), "bottom, left");
        assert_eq!(of(5), (Some("ul-lr"), true), "left, top");
        assert_eq!(of(6), (Some("90r"), true), "right, top");
        assert_eq!(of(7), (Some("ur-ll"), true), "right, bottom");
        assert_eq!(of(8), (Some("90l"), true), "left, bottom");
        std::fs::write(&path, "no picture").unwrap();
        assert_eq!(turn(&path), None);
    }
}
