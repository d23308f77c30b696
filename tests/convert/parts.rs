//! Parts of files that have no index, and of files of which an edit list shows a part.

use crate::media::*;
use std::path::{Path, PathBuf};

const LOOP: &str = ",loop=loop=1:size=120";
const H264: [&str; 8] = ["-c:v", "libx264", "-preset", "veryfast", "-g", "90", "-c:a", "aac"];
const SMALL: [&str; 6] = ["--size", "96x96", "--background", "blur", "--timeout", "20"];

/// Which of the frames of the whole the pictures are.
fn places(part: &[Frame], whole: &[Frame]) -> Vec<usize> {
    let like = |frame: &Frame, n: &usize| psnr(frame, &whole[*n]);
    let best = |frame| (0..whole.len()).max_by(|a, b| like(frame, a).total_cmp(&like(frame, b))).unwrap();
    part.iter().map(best).collect()
}

/// The pictures of a part of a file, each for itself.
fn shown(input: &Path, folder: &Path, more: &[&str]) -> Vec<Frame> {
    let alone = ["--format", "png", "--set", "temporal-smoothing=0", "--overwrite"];
    convert(input, &folder.join("frames"), &[&SMALL[..], &alone, more].concat());
    pictures(&folder.join("frames"))
}

#[test]
fn a_part_is_found_without_an_index() {
    let (folder, made) = (folder("no-index"), folder("no-index-inputs"));
    // Into a pipe, so that no index can be written.
    let source = clip("parts.mp4", 4.0, "", &H264);
    let source = source.to_str().unwrap();
    let copy = |name: &str, options: &[&str]| -> PathBuf {
        let all = [&["-v", "error", "-i", source][..], options, &["-"]].concat();
        let path = made.join(name);
        std::fs::write(&path, tool("ffmpeg", &all)).unwrap();
        path
    };
    let vp8 = ["-c:v", "libvpx", "-deadline", "realtime", "-g", "60", "-c:a", "libopus", "-f", "webm"];
    let frag = [&H264[..], &["-movflags", "frag_keyframe+empty_moov", "-f", "mp4"]].concat();
    let avi = made.join("a.avi");
    let mpeg4 = ["-c:v", "mpeg4", "-g", "60", "-c:a", "libmp3lame", avi.to_str().unwrap()];
    tool("ffmpeg", &[&["-v", "error", "-i", source][..], &mpeg4].concat());
    let mut formats = ["mov", "webm", "mp4"];
    for (input, sound) in [
        (copy("pipe.webm", &vp8), true),
        (copy("frag.mp4", &frag), true),
        (copy("a.ts", &["-c", "copy", "-f", "mpegts"]), true),
        (copy("a.mkv", &["-c", "copy", "-f", "matroska"]), true),
        (copy("a.flv", &["-c:v", "copy", "-c:a", "aac", "-ar", "44100", "-f", "flv"]), true),
        (avi, true),
        (copy("raw.h264", &["-an", "-c", "copy", "-f", "h264"]), false),
    ] {
        let whole = shown(&input, &folder, &[]);
        assert!((119..=120).contains(&whole.len()), "{}: {}", input.display(), whole.len());
        // A gap in its sound would end qtmux.
        convert(&input, &folder.join("whole.mov"), &[&SMALL[..], &["--overwrite"]].concat());
        // By the times in this one, 45 ms are missing after its first packet of sound, which ffmpeg closes up.
        let exact = if input.ends_with("frag.mp4") { 0.08 } else { 0.034 };
        for (start, first) in [("1.4", 42), ("2.2", 66)] {
            let part = ["--start", start, "--duration", "1"];
            let got = places(&shown(&input, &folder, &part), &whole);
            // The time of a frame is rounded in some, and fragments begin with the two frames that B-frames are late.
            let near = |v: &[usize]| (first - 2..=first).any(|f| v.iter().copied().eq(f..f + v.len()));
            assert!((30..=31).contains(&got.len()) && near(&got), "{} {start}: {got:?}", input.display());
            if !sound {
                continue;
            }
            formats.rotate_left(1);
            for format in &formats[..2] {
                let path = folder.join(format!("a.{format}"));
                convert(&input, &path, &[&SMALL[..], &part, &["--overwrite"]].concat());
                let start: f64 = start.parse().unwrap();
                assert!((30..=31).contains(&times(&path).len()), "{} {format}", input.display());
                assert!((seconds(&path) - 1.0).abs() < 0.08, "{}: {} s", input.display(), seconds(&path));
                let want: Vec<f64> = onsets(&input).into_iter().map(|t| t - start).collect();
                let got = onsets(&path);
                let is_there = |w: &&f64| **w > 0.01 && **w < 0.95;
                let want: Vec<f64> = want.iter().filter(is_there).copied().collect();
                let got: Vec<f64> = got.iter().filter(is_there).copied().collect();
                let same =
                    got.len() == want.len() && got.iter().zip(&want).all(|(g, w)| (g - w).abs() < exact);
                assert!(same, "{} {format} from {start}: {got:?}, not {want:?}", input.display());
            }
        }
        let none = crate::media::folder("no-index-none");
        let said = refuse(&input, &none.join("a.webm"), &["--start", "60"], 1);
        assert!(said.contains("--start"), "{said}");
    }
}

#[test]
fn a_part_of_a_pipe() {
    let (folder, made) = (folder("pipe-part"), folder("pipe-part-inputs"));
    let pipe = made.join("pipe");
    tool("mkfifo", &[pipe.to_str().unwrap()]);
    let ts = remux(&plain(), "part.ts", &["-f", "mpegts"]);
    let bytes = std::fs::read(ts).unwrap();
    let to = pipe.clone();
    let writer = std::thread::spawn(move || std::fs::write(to, bytes));
    let path = folder.join("a.webm");
    convert(&pipe, &path, &["--start", "0.7", "--duration", "1", "--timeout", "20"]);
    // It is not read to its end.
    let _ = writer.join().unwrap();
    assert!((30..=31).contains(&times(&path).len()), "{:?}", times(&path));
    same_beeps(&path, &plain(), 0.7);
}

#[test]
fn what_an_edit_list_shows_is_all_there() {
    let (folder, made) = (folder("edits"), folder("edits-inputs"));
    let source = clip("eight.mp4", 8.0, LOOP, &H264);
    let whole = shown(&source, &folder, &[]);
    for (n, cut) in ["1.0", "2.5", "2.51", "3.2", "4.7", "6.1"].into_iter().enumerate() {
        let input = made.join(format!("c{cut}.mp4"));
        let from = ["-v", "error", "-ss", cut, "-i", source.to_str().unwrap(), "-c", "copy"];
        tool("ffmpeg", &[&from[..], &[input.to_str().unwrap()]].concat());
        // As ffmpeg shows it.
        let want: usize = probe(&input, "v:0", "nb_read_frames").parse().unwrap();
        for format in ["mov", "webm", "mp4"] {
            let path = folder.join(format!("{cut}.{format}"));
            convert(&input, &path, &SMALL);
            let got = times(&path);
            // Of a cut within a frame the rest of that is shown.
            assert!((want..=want + 1).contains(&got.len()), "{cut} {format}: {} of {want}", got.len());
            assert!((seconds(&path) - seconds(&input)).abs() < 0.05, "{cut} {format}: {}", seconds(&path));
            same_beeps(&path, &input, 0.0);
        }
        if n % 2 == 1 {
            let part = shown(&input, &folder, &["--start", "0.5", "--duration", "0.5"]);
            let first = ((cut.parse::<f64>().unwrap() + 0.5) * 30.0).round() as usize;
            let got = places(&part, &whole);
            // Where the clip begins anew, its frames are hard to tell apart.
            let off = |f: usize| got.iter().zip(f..).filter(|(n, w)| *n % 120 != w % 120).count();
            let same = |f: usize| off(f) <= 1;
            assert!((15..=16).contains(&got.len()) && (first - 1..=first).any(same), "{cut}: {got:?}");
        }
    }
}
