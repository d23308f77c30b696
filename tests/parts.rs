//! The proof that a minute in parts is the minute in one piece, with a picture of it over time: `make parts`. What
//! `make test` runs of it, on a shorter clip and in each format, is in `tests/convert/join.rs`.
//!
//! In MOV, whose ProRes keeps alpha exactly: what is off is the matte itself, and none of it is the encoder's. And it is
//! the quickest to write.

#[path = "convert/media.rs"]
#[allow(dead_code)]
mod media;

use image::{Rgb, RgbImage};
use media::{packets, text, tool};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

const PIXELS: usize = 1280 * 720;
/// How far alpha may be off, of 255: in the mean over all frames, and over any one frame.
const MEAN: f64 = 1.0;
const MOST: f64 = 3.0;
/// What a row of the strip is high for.
const TOP: f64 = 1.0;

/// How long the clip is: a minute, or what `BGREMOVE_PARTS_SECONDS` says, where nobody has the time.
fn seconds() -> u32 {
    std::env::var("BGREMOVE_PARTS_SECONDS").map_or(60, |s| s.parse().unwrap())
}

fn frames() -> usize {
    seconds() as usize * 30
}

fn bgremove(arguments: &[&str]) {
    tool(env!("CARGO_BIN_EXE_bgremove"), arguments);
}

/// A minute at 720p with two people, cuts between them, and a beep every second.
fn minute(folder: &Path) -> PathBuf {
    let clips = Path::new(env!("CARGO_MANIFEST_DIR")).join("build/clips");
    let coding = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "18"];
    let piece = |name: &str, filter: &str, frames: usize| {
        let (from, to) = (clips.join(name), folder.join(name));
        let (filter, frames) = (format!("{filter},fps=30,setsar=1,format=yuv420p"), frames.to_string());
        let input = ["-v", "error", "-stream_loop", "-1", "-i", text(&from), "-an", "-vf", &filter];
        tool("ffmpeg", &[&input[..], &["-frames:v", &frames], &coding, &[text(&to)]].concat());
        format!("file '{}'\n", to.display())
    };
    let one = piece("astronaut.mp4", "scale=1280:720", frames() * 11 / 30);
    let two = piece("carphone_pristine.mp4", "scale=1280:-2,crop=1280:720", frames() * 4 / 30);
    let (list, path) = (folder.join("pieces.txt"), folder.join("minute.mp4"));
    std::fs::write(&list, [&*one, &two, &one, &two, &two].concat()).unwrap();
    let beeps = "aevalsrc='if(between(mod(t,1),0.5,0.6),0.5*sin(2*PI*1000*t),0)':s=48000:c=stereo";
    let (length, count) = (seconds().to_string(), frames().to_string());
    let inputs = ["-v", "error", "-f", "concat", "-safe", "0", "-i", text(&list), "-f", "lavfi", "-i", beeps];
    let streams = ["-map", "0:v", "-map", "1:a", "-vf", "fps=30", "-frames:v", &count, "-t", &length];
    tool("ffmpeg", &[&inputs[..], &streams, &coding, &["-c:a", "aac", text(&path)]].concat());
    assert_eq!(media::times(&path).len(), frames(), "the clip is not as long as it should be");
    path
}

/// The alpha of a file's frames, one after the other, by ffmpeg.
struct Mattes {
    decoder: Child,
    frames: ChildStdout,
}

impl Mattes {
    fn of(path: &Path) -> Self {
        let mut decoder = Command::new("ffmpeg");
        decoder.args(["-v", "error", "-i", text(path), "-vsync", "passthrough"]);
        decoder.args(["-vf", "extractplanes=a,format=gray", "-f", "rawvideo", "-"]);
        let mut decoder = decoder.stdout(Stdio::piped()).spawn().unwrap();
        let frames = decoder.stdout.take().unwrap();
        Self { decoder, frames }
    }

    /// The next one into `matte`; whether there is one.
    fn next(&mut self, matte: &mut [u8]) -> bool {
        self.frames.read_exact(matte).is_ok()
    }
}

impl Drop for Mattes {
    fn drop(&mut self) {
        let _ = self.decoder.kill();
        let _ = self.decoder.wait();
    }
}

/// A run that is held against the one in one piece.
struct Run {
    path: PathBuf,
    /// How many frames later than that it begins.
    later: usize,
    /// The first frames of its parts.
    seams: Vec<usize>,
    /// How far its alpha is off in each frame, of 255.
    off: Vec<f64>,
    /// Frames about its seams, as the run in one piece has them, and as this one has.
    shown: Vec<[Vec<u8>; 2]>,
}

impl Run {
    fn new(path: PathBuf, later: usize, seams: Vec<usize>) -> Self {
        Self { path, later, seams, off: Vec::new(), shown: Vec::new() }
    }

    /// The mean over time, and the most of a frame.
    fn told(&self) -> (f64, f64) {
        let sum: f64 = self.off.iter().sum();
        (sum / self.off.len() as f64, self.off.iter().copied().fold(0.0, f64::max))
    }
}

/// Frames before and after a seam that are shown, counted from the first one after it.
const ABOUT: [isize; 3] = [-1, 0, 10];

/// Holds the runs against the one in one piece. All are decoded side by side, and each once.
fn compare(whole: &Path, runs: &mut [Run]) {
    let mut all = Mattes::of(whole);
    let mut others: Vec<Mattes> = runs.iter().map(|run| Mattes::of(&run.path)).collect();
    let (mut want, mut got) = (vec![0u8; PIXELS], vec![0u8; PIXELS]);
    let mut n = 0;
    while all.next(&mut want) {
        for (run, other) in runs.iter_mut().zip(&mut others).filter(|(run, _)| n >= run.later) {
            assert!(other.next(&mut got), "{} ends before frame {n}", run.path.display());
            let off: u64 = want.iter().zip(&got).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            run.off.push(off as f64 / PIXELS as f64);
            let about = |seam: &usize| ABOUT.iter().any(|a| seam.checked_add_signed(*a) == Some(n));
            if run.seams.iter().any(about) {
                run.shown.push([small(&want), small(&got)]);
            }
        }
        n += 1;
    }
    assert_eq!(n, frames());
    for (run, other) in runs.iter().zip(&mut others) {
        assert!(!other.next(&mut got), "{} is longer", run.path.display());
    }
}

/// How much smaller frames are shown.
const LESS: usize = 16;
const SMALL: (usize, usize) = (1280 / LESS, 720 / LESS);

fn small(matte: &[u8]) -> Vec<u8> {
    let block = |x: usize, y: usize| {
        let rows = (y * LESS..(y + 1) * LESS).map(|y| &matte[y * 1280 + x * LESS..][..LESS]);
        (rows.flatten().map(|v| u32::from(*v)).sum::<u32>() / (LESS * LESS) as u32) as u8
    };
    (0..SMALL.1).flat_map(|y| (0..SMALL.0).map(move |x| block(x, y))).collect()
}

/// The first frames of the parts.
fn seams(output: &Path, of: u32) -> Vec<usize> {
    let first = |k| {
        let name = format!("{}.part-{k}-of-{of}.mov.json", output.file_stem().unwrap().to_str().unwrap());
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(output.with_file_name(name)).unwrap()).unwrap();
        json["first_frame"].as_u64().unwrap() as usize
    };
    (2..=of).map(first).collect()
}

/// A row for each run over time: how far it is off, where parts meet. Under them, of the run in most parts, mattes about
/// each seam: those of the run in one piece, its own, and how far they are off, made visible.
fn strip(runs: &[Run], path: &Path) {
    const HIGH: u32 = 80;
    const GAP: u32 = 8;
    let wide = frames() as u32;
    let shown = &runs.last().unwrap().shown;
    let per_row = (wide / (SMALL.0 as u32 + 2)).max(1);
    let film = 3 * (SMALL.1 as u32 + 2) + GAP;
    let films = (shown.len() as u32).div_ceil(per_row);
    let charts = runs.len() as u32 * (HIGH + GAP);
    let mut picture = RgbImage::from_pixel(wide, charts + films * film, Rgb([255; 3]));
    for (n, run) in runs.iter().enumerate() {
        let base = n as u32 * (HIGH + GAP) + HIGH;
        for x in &run.seams {
            (base - HIGH..=base).for_each(|y| picture.put_pixel(*x as u32, y, Rgb([230, 60, 60])));
        }
        for (x, off) in run.off.iter().enumerate() {
            let high = (off / TOP * f64::from(HIGH)).min(f64::from(HIGH)) as u32;
            (base - high..=base)
                .for_each(|y| picture.put_pixel((x + run.later) as u32, y, Rgb([40, 90, 200])));
        }
        for x in 0..wide {
            picture.put_pixel(x, base - HIGH, Rgb([180; 3]));
            picture.put_pixel(x, base + 1, Rgb([0; 3]));
        }
    }
    for (n, [want, got]) in shown.iter().enumerate() {
        let n = n as u32;
        let (left, top) = (n % per_row * (SMALL.0 as u32 + 2), charts + n / per_row * film);
        let off: Vec<u8> = want.iter().zip(got).map(|(a, b)| a.abs_diff(*b).saturating_mul(32)).collect();
        for (row, matte) in [want, got, &off].into_iter().enumerate() {
            for (at, value) in matte.iter().enumerate() {
                let (x, y) = ((at % SMALL.0) as u32, (at / SMALL.0) as u32);
                let y = top + row as u32 * (SMALL.1 as u32 + 2) + y;
                picture.put_pixel(left + x, y, Rgb([*value; 3]));
            }
        }
    }
    picture.save(path).unwrap();
}

fn prove(model: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("parts").join(model);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let began = Instant::now();
    let tell = |text: &str| println!("{:4.0} s, {model}: {text}", began.elapsed().as_secs_f64());
    let input = minute(&folder);
    let whole = folder.join("whole.mov");
    // However busy the machine is.
    let plain = ["--model", model, "--timeout", "600", "--set", "inference-timeout=0"];
    bgremove(&[&["convert", text(&input), text(&whole)], &plain[..]].concat());
    tell("in one piece");
    // The yardstick: the same run, begun a frame later.
    let later = folder.join("later.mov");
    let begun = ["--range", "1..", "--warm-up", "0"];
    bgremove(&[&["convert", text(&input), text(&later)], &begun[..], &plain].concat());
    tell("begun a frame later");
    let mut runs = vec![Run::new(later, 1, Vec::new())];
    for of in [1, 3, 7] {
        let joined = folder.join(format!("in{of}.mov"));
        for k in 1..=of {
            let share = format!("{k}/{of}");
            bgremove(&[&["convert", text(&input), text(&joined), "--part", &share], &plain[..]].concat());
        }
        bgremove(&["join", text(&joined)]);
        tell(&format!("{of} parts, joined"));
        for (stream, sums) in [("v", false), ("a", true)] {
            assert!(
                packets(&joined, stream, sums) == packets(&whole, stream, sums),
                "{model} in {of}: other times or sound ({stream})"
            );
        }
        let seams = seams(&joined, of);
        runs.push(Run::new(joined, 0, seams));
    }
    compare(&whole, &mut runs);
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(format!("parts-{model}.png"));
    strip(&runs, &picture);
    tell(&format!("{} shows it over time", picture.display()));
    for run in &runs {
        let (name, (mean, most)) = (run.path.file_stem().unwrap().display(), run.told());
        let worst = run.off.iter().position(|off| *off == most).unwrap() + run.later;
        tell(&format!(
            "{name}: mean {mean:.3}, most {most:.3} of 255 in frame {worst}; seams {:?}",
            run.seams
        ));
    }
    for run in &runs[1..] {
        let (mean, most) = run.told();
        let parts = run.seams.len() + 1;
        assert!(
            mean <= MEAN && most <= MOST,
            "{model} in {parts} parts is off by {mean} of 255, {most} in a frame"
        );
    }
}

#[test]
#[ignore = "takes minutes: `make parts`"]
fn a_minute_in_parts_with_light() {
    prove("light");
}

#[test]
#[ignore = "takes minutes, and needs the network human: `make parts`"]
fn a_minute_in_parts_with_human() {
    prove("human");
}
