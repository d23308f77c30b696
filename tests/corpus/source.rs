//! What each input is made of: numbered frames and beeps, which ffmpeg makes a file of as a kind's row says.

use crate::kinds::{Kind, Turn};
use crate::media::tool;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

/// Of the whole picture, save the number, the hole and what the network calls background.
pub const COLOR: [u8; 3] = [210, 60, 40];
/// A frame's number, in so many bits.
pub const BITS: usize = 7;
/// Samples a second of the sound.
const SAMPLES: usize = 48_000;

/// Where in a picture the bit of a number is, as a part of its width and height; its opposite lies below, so that what is
/// turned or mirrored is no number.
pub fn bit(n: usize, opposite: bool) -> (f64, f64) {
    (0.04 + (n as f64 + 0.5) * 0.64 / BITS as f64, if opposite { 0.32 } else { 0.14 })
}

/// Where the colour is looked at, where the hole is of a picture that has one, and what the network calls background.
pub const PLAIN: (f64, f64) = (0.5, 0.75);
pub const HOLE: (f64, f64) = (0.16, 0.75);
pub const BEHIND: (f64, f64) = (0.92, 0.6);
/// From here on to the right, as a part of the width.
pub const BEHIND_FROM: f64 = 0.78;

/// The first frames of a size, with the hole or without: drawn once, since most kinds have the same.
fn frames(count: usize, size: (usize, usize), hole: bool) -> Vec<Arc<Vec<u8>>> {
    type Drawn = HashMap<((usize, usize), bool), Vec<Arc<Vec<u8>>>>;
    static DRAWN: LazyLock<Mutex<Drawn>> = LazyLock::new(Mutex::default);
    let mut drawn = DRAWN.lock().unwrap_or_else(|e| e.into_inner());
    let drawn = drawn.entry((size, hole)).or_default();
    (drawn.len()..count).for_each(|n| drawn.push(Arc::new(frame(n, size, hole))));
    drawn[..count].to_vec()
}

/// A frame as R, G, B, A, as it is to be seen.
fn frame(n: usize, (w, h): (usize, usize), hole: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(w * h * 4);
    for y in 0..h {
        for x in 0..w {
            let (x, y) = ((x as f64 + 0.5) / w as f64, (y as f64 + 0.5) / h as f64);
            let within = |(cx, cy): (f64, f64), rx: f64, ry: f64| (x - cx).abs() < rx && (y - cy).abs() < ry;
            let half = 0.32 / BITS as f64;
            let one = |b: usize, opposite: bool| within(bit(b, opposite), half, 0.08).then_some(opposite);
            let of = (0..BITS).find_map(|b| one(b, false).or(one(b, true)).map(|o| (n >> b & 1 == 1) != o));
            let [r, g, b] = match of {
                Some(true) => [235; 3],
                Some(false) => [20; 3],
                None => COLOR,
            };
            let alpha = if hole && within(HOLE, 0.1, 0.14) { 0 } else { 255 };
            out.extend([r, g, b, alpha]);
        }
    }
    out
}

/// Turns and mirrors a frame into what has to be stored so that a player that does as it is told shows the frame.
fn stored(frame: &[u8], (w, h): (usize, usize), turn: Turn) -> Vec<u8> {
    if turn == Turn::None {
        return frame.to_vec();
    }
    let picture = image::RgbaImage::from_raw(w as u32, h as u32, frame.to_vec()).unwrap();
    use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};
    match turn {
        Turn::None => picture,
        Turn::Right => rotate270(&picture),
        Turn::Half => rotate180(&picture),
        Turn::Left => rotate90(&picture),
        Turn::Mirror => flip_horizontal(&picture),
        Turn::Flip => flip_vertical(&picture),
    }
    .into_raw()
}

/// Beeps of a tenth of a second, half a second after each whole one.
fn beeps(seconds: f64) -> Vec<u8> {
    let count = (seconds * SAMPLES as f64).round() as usize;
    let sample = |n: usize| {
        let time = n as f64 / SAMPLES as f64;
        let on = (0.5..0.6).contains(&time.fract());
        let value = if on { 0.5 * (time * 1000.0 * std::f64::consts::TAU).sin() } else { 0.0 };
        ((value * 32767.0) as i16).to_le_bytes()
    };
    (0..count).flat_map(|n| [sample(n), sample(n)].concat()).collect()
}

/// What many rows say of the video.
const H264: &str = "-c:v libx264 -preset veryfast -crf 12 -pix_fmt yuv420p";

/// Words of a row, with what it says of files put in.
fn words(line: &str, input: &str) -> Vec<String> {
    let line = line.replace("H264", H264);
    line.split_whitespace().map(|w| if w == "IN" { input.to_string() } else { w.to_string() }).collect()
}

/// Makes the file of a kind in a folder.
pub fn make(kind: &Kind, folder: &Path) -> PathBuf {
    let (w, h) = kind.size;
    let frames = frames(kind.frames, (w, h), kind.hole);
    let all: Vec<_> = frames.iter().map(|f| stored(f, (w, h), kind.turn)).collect();
    let video = folder.join("video.rgba");
    std::fs::write(&video, all.concat()).unwrap();
    let (w, h) = if kind.turn.is_quarter() { (h, w) } else { (w, h) };
    let (size, rate) = (format!("{w}x{h}"), format!("{}/{}", kind.rate.0, kind.rate.1));
    let text = |p: &Path| p.to_str().unwrap().to_string();
    let mut all: Vec<String> = ["-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgba", "-s", &size]
        .iter()
        .chain(&["-framerate", &rate, "-i", &text(&video)])
        .map(|s| (*s).to_string())
        .collect();
    if let Some(sound) = kind.sound {
        let path = folder.join("sound.raw");
        std::fs::write(&path, beeps(sound.length)).unwrap();
        all.extend(words(
            &format!("-itsoffset {} -f s16le -ar {SAMPLES} -ac 2 -i IN", sound.from),
            &text(&path),
        ));
    }
    let path = folder.join(kind.name);
    let is_folder = path.extension().is_none();
    if is_folder {
        std::fs::create_dir(&path).unwrap();
    }
    let first = match kind.then {
        Some((name, _)) => folder.join(name),
        None if is_folder => path.join("frame-%05d.png"),
        None => path.clone(),
    };
    all.extend(words(kind.make, ""));
    all.push(text(&first));
    run("ffmpeg", &all);
    if let Some((_, line)) = kind.then {
        let mut all = words(line, &text(&first));
        let program = if all[0].starts_with('-') { "ffmpeg".to_string() } else { all.remove(0) };
        if program == "ffmpeg" {
            all.splice(0..0, ["-v", "error", "-y"].map(String::from));
        }
        if program == "mkvpropedit" {
            std::fs::copy(&first, &path).unwrap();
            all.insert(0, text(&path));
        } else {
            all.push(text(&path));
        }
        run(&program, &all);
    }
    if let Some(make) = kind.and {
        let second = folder.join(format!("second-{}", kind.name));
        let mut all = all;
        all.truncate(all.len() - 1 - words(kind.make, "").len());
        all.extend(words(make, ""));
        all.push(text(&second));
        run("ffmpeg", &all);
        std::fs::write(&path, [std::fs::read(&path).unwrap(), std::fs::read(&second).unwrap()].concat())
            .unwrap();
    }
    if let Some(patch) = kind.patch {
        let bytes = patch(std::fs::read(&path).unwrap());
        std::fs::write(&path, bytes).unwrap();
    }
    std::fs::remove_file(video).unwrap();
    path
}

fn run(program: &str, all: &[String]) {
    tool(program, &all.iter().map(String::as_str).collect::<Vec<_>>());
}
