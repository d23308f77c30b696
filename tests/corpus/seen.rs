//! What is in a file, as ffmpeg and ffprobe see it; animated WebP, which ffmpeg cannot read, as libwebp does.

use crate::media::signal::onsets;
use crate::media::{decoder, figure, netpbm, pictures, probe, text, times_if_said, tool};
use crate::source::{BEHIND, BITS, HOLE, PLAIN, bit};
use std::path::Path;

/// A place of a frame: R, G, B, A.
pub type Pixel = [u8; 4];

/// A frame, as far as it is looked at.
#[derive(Clone, Debug)]
pub struct Look {
    /// None where it cannot be read: what is turned, mirrored, or not one frame but two.
    pub number: Option<usize>,
    pub plain: Pixel,
    pub hole: Pixel,
    pub behind: Pixel,
}

#[derive(Clone, Debug)]
pub struct Seen {
    pub frames: Vec<Look>,
    /// Of each frame in seconds; none for pictures.
    pub times: Option<Vec<f64>>,
    /// As it is shown, in square pixels.
    pub size: (f64, f64),
    /// When beeps begin; none without sound.
    pub beeps: Option<Vec<f64>>,
    /// Seconds that all lasts.
    pub length: Option<f64>,
}

impl Look {
    fn new(frame: &[u8], w: usize, h: usize) -> Self {
        // The mean of nine, which codecs change less than one.
        let at = |(x, y): (f64, f64)| -> Pixel {
            let (x, y) = ((x * w as f64) as usize, (y * h as f64) as usize);
            std::array::from_fn(|c| {
                let near = (y - 1..=y + 1).flat_map(|y| (x - 1..=x + 1).map(move |x| (y * w + x) * 4 + c));
                (near.map(|n| u32::from(frame[n])).sum::<u32>() / 9) as u8
            })
        };
        let bright = |p: Pixel| p[..3].iter().map(|v| u32::from(*v)).sum::<u32>() > 3 * 128;
        let one = |n: usize| {
            let (up, down) = (bright(at(bit(n, false))), bright(at(bit(n, true))));
            (up != down).then_some(usize::from(up) << n)
        };
        Self { number: (0..BITS).map(one).sum(), plain: at(PLAIN), hole: at(HOLE), behind: at(BEHIND) }
    }
}

/// The first line of a figure.
fn first(path: &Path, what: &str) -> String {
    probe(path, "v:0", what).lines().next().unwrap_or_default().trim_end_matches(',').to_string()
}

fn webp(path: &Path) -> Seen {
    let bytes = std::fs::read(path).unwrap();
    let decoder = webp_animation::Decoder::new(&bytes).unwrap();
    let (w, h) = decoder.dimensions();
    let (mut frames, mut ends) = (Vec::new(), vec![0.0]);
    for frame in decoder {
        frames.push(Look::new(frame.data(), w as usize, h as usize));
        ends.push(f64::from(frame.timestamp()) / 1000.0);
    }
    // One frame alone is written as a still picture, which has none.
    let length = ends.pop().filter(|_| frames.len() > 1);
    Seen { frames, times: Some(ends), size: (f64::from(w), f64::from(h)), beeps: None, length }
}

/// Looks at a file or at a folder of pictures. What has no sound says so.
pub fn look(path: &Path) -> Seen {
    if path.is_dir() {
        let name = path.join("frame-00001.png");
        let (w, h) = image::image_dimensions(name).unwrap();
        let frames = pictures(path).iter().map(|f| Look::new(f, w as usize, h as usize)).collect();
        return Seen { frames, times: None, size: (w.into(), h.into()), beeps: None, length: None };
    }
    if path.extension().is_some_and(|e| e == "webp") {
        return webp(path);
    }
    // First, since it tells all else as well.
    let times = times_if_said(path);
    let has_sound = !probe(path, "a:0", "codec_name").is_empty();
    let (frames, (w, h), samples) = decoded(path, has_sound);
    let aspect = first(path, "sample_aspect_ratio");
    let aspect =
        aspect.split_once(':').and_then(|(a, b)| Some(a.parse::<f64>().ok()? / b.parse::<f64>().ok()?));
    let begin = figure(path, "start_time").unwrap_or(0.0);
    Seen {
        frames: frames.iter().map(|f| Look::new(f, w, h)).collect(),
        times,
        size: (w as f64 * aspect.filter(|a| *a > 0.0).unwrap_or(1.0), h as f64),
        beeps: samples.map(|s| {
            let samples = s.as_chunks::<2>().0.iter().map(|sample| i16::from_le_bytes(*sample));
            onsets(samples).into_iter().map(|t| begin + t).collect()
        }),
        length: figure(path, "duration"),
    }
}

/// Frames as R, G, B, A, and their size; samples of the sound.
type Decoded = (Vec<Vec<u8>>, (usize, usize), Option<Vec<u8>>);

/// The frames of the first video of a file, upright, and the first sound: one start of ffmpeg, which takes a tenth of a second.
fn decoded(path: &Path, has_sound: bool) -> Decoded {
    let mut all = vec!["-v", "error", "-y"];
    all.extend(decoder(&first(path, "codec_name")));
    all.extend(["-i", text(path), "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "image2pipe"]);
    all.extend(["-c:v", "pam", "-pix_fmt", "rgba", "-"]);
    let sound = path.with_extension("s16le");
    if has_sound {
        // Silence before a late start and in gaps is written out, so that places are times.
        all.extend(["-map", "0:a:0", "-af", "aresample=async=48000:min_hard_comp=0.01:first_pts=0"]);
        all.extend(["-f", "s16le", "-ac", "1", "-ar", "48000", text(&sound)]);
    }
    let bytes = tool("ffmpeg", &all);
    let frames = netpbm(&bytes);
    let size = frames.first().map_or((0, 0), |f| f.0);
    (frames.into_iter().map(|f| f.1).collect(), size, has_sound.then(|| std::fs::read(sound).unwrap()))
}
