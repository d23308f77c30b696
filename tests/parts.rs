//! The proof that a minute in parts is the minute in one piece, with a picture of it over time: `make parts`. What
//! `make test` runs of it, on a shorter clip, is in `tests/convert/join.rs`.

#[path = "convert/media.rs"]
#[allow(dead_code)]
mod media;

use image::{Rgb, RgbImage};
use media::{packets, text, tool};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PIXELS: usize = 1280 * 720;
/// How far alpha may be off, of 255: in the mean over all frames, and over any one frame.
const MEAN: f64 = 1.0;
const MOST: f64 = 3.0;

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
    let path = folder.join("minute.mp4");
    let (long, short) = (seconds() * 11 / 30, seconds() * 4 / 30);
    let both = format!(
        "[0]scale=1280:720,fps=30,setsar=1,loop=-1:size=120,trim=end={long},setpts=N/30/TB,split[a][b];\
         [1]scale=1280:-2,crop=1280:720,fps=30,setsar=1,loop=-1:size=370,trim=end={short},setpts=N/30/TB,split=3[c][d][e];\
         [a][c][b][d][e]concat=n=5,format=yuv420p[v]"
    );
    let length = seconds().to_string();
    let beeps = "aevalsrc='if(between(mod(t,1),0.5,0.6),0.5*sin(2*PI*1000*t),0)':s=48000:c=stereo";
    let [portrait, car] = ["astronaut.mp4", "carphone_pristine.mp4"].map(|n| clips.join(n));
    let inputs = ["-v", "error", "-y", "-i", text(&portrait), "-i", text(&car), "-f", "lavfi", "-i", beeps];
    let coding =
        ["-t", &length, "-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-c:a", "aac", text(&path)];
    tool(
        "ffmpeg",
        &[&inputs[..], &["-filter_complex", &both, "-map", "[v]", "-map", "2:a"], &coding].concat(),
    );
    path
}

/// The mean distance of alpha in each frame of two files, of which the second one begins later.
fn distances(whole: &Path, other: &Path, later: usize) -> Vec<f64> {
    let open = |path: &Path| {
        let mut child = Command::new("ffmpeg");
        child.args(["-v", "error", "-c:v", "libvpx-vp9", "-i", text(path), "-vsync", "passthrough"]);
        child.args(["-vf", "alphaextract,format=gray", "-f", "rawvideo", "-"]);
        child.stdout(Stdio::piped()).spawn().unwrap()
    };
    let (mut a, mut b) = (open(whole), open(other));
    let (mut from_a, mut from_b) = (a.stdout.take().unwrap(), b.stdout.take().unwrap());
    let (mut one, mut two) = (vec![0u8; PIXELS], vec![0u8; PIXELS]);
    for _ in 0..later {
        from_a.read_exact(&mut one).unwrap();
    }
    let mut all = Vec::new();
    while from_a.read_exact(&mut one).is_ok() {
        from_b.read_exact(&mut two).unwrap();
        let off: u64 = one.iter().zip(&two).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        all.push(off as f64 / PIXELS as f64);
    }
    assert_eq!(from_b.read(&mut two).unwrap(), 0, "{} is longer", other.display());
    assert!(a.wait().unwrap().success() && b.wait().unwrap().success());
    all
}

/// The first frames of the parts.
fn seams(output: &Path, of: u32) -> Vec<usize> {
    let first = |k| {
        let name = format!("{}.part-{k}-of-{of}.webm.json", output.file_stem().unwrap().to_str().unwrap());
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(output.with_file_name(name)).unwrap()).unwrap();
        json["first_frame"].as_u64().unwrap() as usize
    };
    (2..=of).map(first).collect()
}

/// A row for each run over time: how far it is off, where parts meet, and the most that is allowed.
fn strip(rows: &[(Vec<f64>, Vec<usize>)], path: &Path) {
    const HIGH: u32 = 80;
    let mut picture = RgbImage::from_pixel(frames() as u32, rows.len() as u32 * (HIGH + 8), Rgb([255; 3]));
    for (n, (off, seams)) in rows.iter().enumerate() {
        let base = n as u32 * (HIGH + 8) + HIGH;
        for x in seams {
            (base - HIGH..=base).for_each(|y| picture.put_pixel(*x as u32, y, Rgb([230, 60, 60])));
        }
        for (x, off) in off.iter().enumerate() {
            let high = (off / MOST * f64::from(HIGH)).min(f64::from(HIGH)) as u32;
            (base - high..=base).for_each(|y| picture.put_pixel(x as u32, y, Rgb([40, 90, 200])));
        }
        for x in 0..frames() as u32 {
            picture.put_pixel(x, base - HIGH, Rgb([180; 3]));
            picture.put_pixel(x, base + 1, Rgb([0; 3]));
        }
    }
    picture.save(path).unwrap();
}

fn prove(model: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("parts").join(model);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let input = minute(&folder);
    let whole = folder.join("whole.webm");
    let plain = ["--model", model, "--timeout", "600"];
    bgremove(&[&["convert", text(&input), text(&whole)], &plain[..]].concat());
    // The yardstick: the same run, begun a frame later.
    let later = folder.join("later.webm");
    bgremove(
        &[&["convert", text(&input), text(&later), "--range", "1..", "--warm-up", "0"], &plain[..]].concat(),
    );
    let mut rows = vec![(distances(&whole, &later, 1), vec![1])];
    let told =
        |off: &[f64]| (off.iter().sum::<f64>() / off.len() as f64, off.iter().copied().fold(0.0, f64::max));
    println!("{model}, a frame later: mean {:.3}, most {:.3} of 255", told(&rows[0].0).0, told(&rows[0].0).1);
    for of in [1, 3, 7] {
        let joined = folder.join(format!("in{of}.webm"));
        for k in 1..=of {
            let share = format!("{k}/{of}");
            bgremove(&[&["convert", text(&input), text(&joined), "--part", &share], &plain[..]].concat());
        }
        bgremove(&["join", text(&joined)]);
        for (stream, sums) in [("v", false), ("a", true)] {
            assert!(
                packets(&joined, stream, sums) == packets(&whole, stream, sums),
                "{model} in {of}: other times or sound ({stream})"
            );
        }
        let off = distances(&whole, &joined, 0);
        assert_eq!(off.len(), frames());
        let (mean, most) = told(&off);
        println!("{model} in {of} parts: mean {mean:.3}, most {most:.3} of 255");
        rows.push((off, seams(&joined, of)));
        assert!(
            mean <= MEAN && most <= MOST,
            "{model} in {of} parts is off by {mean} of 255, {most} in a frame"
        );
    }
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(format!("parts-{model}.png"));
    strip(&rows, &picture);
    println!("{} shows it over time", picture.display());
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
