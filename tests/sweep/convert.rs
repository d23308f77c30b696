//! Damaged files through `bgremove convert`, a process a case, as a user runs it.
//!
//! Each ends soon, and in one of two ways: with success and a whole file, which ffmpeg (or for WebP, which it cannot
//! read, the image crate) decodes from start to end; or with status 1, an error in words, and nothing left. Either way
//! with a record by its schema that says the same. What crashes or hangs is held against us unless the same file does the
//! same through `decodebin` alone: crashes by the same signal, or never ends. convert's own encoders have three minutes,
//! so that a slow one is not a hang.

use super::common::record::record;
use super::{FILES, Stop, What, When, cores, damage, excuse, folder, judge_excuses, make_files, number};
use image::AnimationDecoder;
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Extension of the result, and options.
const WAYS: [(&str, &[&str]); 7] = [
    ("webm", &[]),
    ("mov", &[]),
    ("mp4", &["--background", "#00b140"]),
    ("gif", &["--fps", "10"]),
    ("webp", &[]),
    ("png", &["--size", "64x64"]),
    ("webm", &["--codec", "vp8", "--start", "0.05", "--duration", "0.1"]),
];

/// How long nothing may come, as convert is told, and how long all of it may take: a damaged header can make
/// large frames.
const STALL: &str = "5";
const PATIENCE: Duration = Duration::from_secs(180);

/// How a case ended.
enum End {
    Done,
    /// With these words.
    Error(String),
    /// Not as it should.
    Fault(String),
    /// It crashed or hung, so that it has to be seen whose fault that is.
    Stopped(Stop),
}

fn case(n: usize, whole: &[u8]) -> End {
    let (name, _) = FILES[n % FILES.len()];
    let (extension, more) = WAYS[n / FILES.len() % WAYS.len()];
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    std::fs::create_dir(at("out")).unwrap();
    let (input, output, report) = (at(name), at("out").join(format!("out.{extension}")), at("report.json"));
    std::fs::write(&input, damage(n, whole)).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_bgremove"))
        .arg("convert")
        .args([&input, &output])
        .args(["--timeout", STALL, "--model", "light", "--report"])
        .arg(&report)
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        // To a file: a pipe that nobody reads meanwhile would fill up.
        .stderr(std::fs::File::create(at("said")).unwrap())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if begin.elapsed() > PATIENCE => {
                child.kill().unwrap();
                child.wait().unwrap();
                return End::Stopped(Stop { what: What::NeverEnds, when: When::Unknown, lost: false });
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let said = String::from_utf8_lossy(&std::fs::read(at("said")).unwrap()).into_owned();
    let left: Vec<_> = std::fs::read_dir(at("out")).unwrap().map(|f| f.unwrap().file_name()).collect();
    if said.contains("panicked") {
        return End::Fault(said);
    }
    let fault = |why: String| End::Fault(format!("{name} to {extension}: {why}; it said: {said}"));
    let result = || record(&report)["result"].as_str().unwrap_or_default().to_string();
    match status.code() {
        None => {
            let what = What::Crashes(status.signal().unwrap_or(0));
            End::Stopped(Stop { what, when: When::Unknown, lost: false })
        }
        Some(0) => {
            let target = if extension == "png" { at("out").join("out") } else { output };
            match (left.len(), whole_file(&target), result()) {
                (1, Ok(()), result) if result == "completed" => End::Done,
                (1, Err(why), _) => fault(format!("what came out cannot be read: {why}")),
                (_, _, result) => fault(format!("{left:?} is there, and the record says {result}")),
            }
        }
        Some(1) => {
            let told = said.lines().find_map(|l| l.strip_prefix("bgremove: error: "));
            // Behind the input's name.
            let words = told.and_then(|t| t.split_once(": ")).map_or("", |(_, words)| words.trim());
            match (left.is_empty(), words, result()) {
                (true, words, result) if result == "failed" && words.len() > 5 => End::Error(words.into()),
                (_, _, result) => fault(format!("{left:?} is there, and the record says {result}")),
            }
        }
        Some(code) => fault(format!("status {code}")),
    }
}

/// Decodes a result to its end.
fn whole_file(path: &Path) -> Result<(), String> {
    if path.is_dir() {
        let frames: Vec<_> = std::fs::read_dir(path).unwrap().map(|f| f.unwrap().path()).collect();
        return match frames.iter().find_map(|f| image::open(f).err()) {
            None if frames.is_empty() => Err("there is no frame".into()),
            None => Ok(()),
            Some(e) => Err(e.to_string()),
        };
    }
    if path.extension().is_some_and(|e| e == "webp") {
        let file = std::io::BufReader::new(std::fs::File::open(path).map_err(|e| e.to_string())?);
        let decoder = image::codecs::webp::WebPDecoder::new(file).map_err(|e| e.to_string())?;
        if !decoder.has_animation() {
            return image::DynamicImage::from_decoder(decoder).map(drop).map_err(|e| e.to_string());
        }
        let frames = decoder.into_frames().collect_frames().map_err(|e| e.to_string())?;
        return if frames.is_empty() { Err("there is no frame".into()) } else { Ok(()) };
    }
    let out = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-select_streams", "v:0", "-of", "csv=p=0"])
        .args(["-show_entries", "stream=nb_read_frames"])
        .arg(path)
        .output()
        .map_err(|e| format!("ffprobe: {e}"))?;
    let frames = String::from_utf8_lossy(&out.stdout).trim().trim_matches(',').parse::<u64>().unwrap_or(0);
    let said = String::from_utf8_lossy(&out.stderr).trim().to_string();
    if frames > 0 && said.is_empty() {
        Ok(())
    } else {
        Err(format!("{frames} frames, and ffprobe says: {said}"))
    }
}

#[test]
fn damaged_files_through_convert() {
    if make_files().is_none() {
        return;
    }
    let first = number("BGREMOVE_SWEEP_FROM").unwrap_or(0);
    let count = number("BGREMOVE_SWEEP_CASES").map_or(20, |n| n.div_ceil(10));
    let wholes: Vec<Vec<u8>> =
        FILES.iter().map(|(name, _)| std::fs::read(folder().join(name)).unwrap()).collect();
    let next = AtomicUsize::new(first);
    let ends = Mutex::new(BTreeMap::new());
    std::thread::scope(|s| {
        for _ in 0..cores() {
            s.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= first + count {
                        break;
                    }
                    let end = case(n, &wholes[n % FILES.len()]);
                    ends.lock().unwrap().insert(n, end);
                }
            });
        }
    });
    let (mut done, mut errors, mut theirs, mut faults) = (0, BTreeMap::new(), Vec::new(), Vec::new());
    for (n, end) in ends.into_inner().unwrap() {
        match end {
            End::Done => done += 1,
            End::Error(words) => *errors.entry(words).or_insert(0) += 1,
            End::Fault(why) => faults.push(format!("case {n}: {why}")),
            End::Stopped(stop) => match excuse(n, &stop) {
                Some(without) => theirs.push(format!("case {n} {stop}, and without bgremove it {without}")),
                None => faults.push(format!("case {n} {stop}, and not so without bgremove")),
            },
        }
    }
    let failed: usize = errors.values().sum();
    println!(
        "{count} cases through convert: {done} gave a whole file, {failed} ended with one of {} errors and left nothing, {} \
         crash or hang without bgremove, too",
        errors.len(),
        theirs.len()
    );
    let mut often: Vec<_> = errors.iter().collect();
    often.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
    often.iter().for_each(|(words, times)| println!("{times:6} {words}"));
    assert!(faults.is_empty(), "{faults:#?}");
    judge_excuses("GStreamer's own", &theirs, count, 1);
    assert_eq!(done + failed + theirs.len(), count);
    assert!(count < 20 || done > 0 && failed > 0, "neither whole nor broken files: {done}, {failed}");
}
