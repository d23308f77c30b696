//! Frames through pipes, and a folder that is watched.

use crate::media::*;
use crate::quick::quick;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs the tool with bytes on its standard input.
fn fed(bytes: Vec<u8>, arguments: &[&str]) -> Output {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_bgremove"));
    tool.arg("convert").args(arguments).args(model(arguments));
    let mut child = tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut into = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || into.write_all(&bytes));
    let out = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    assert!(out.status.success(), "{arguments:?}: {}", said(&out));
    out
}

fn decoded(input: &Path, options: &[&str]) -> Vec<u8> {
    tool("ffmpeg", &[&["-v", "error", "-i", text(input)], options, &["-"]].concat())
}

#[test]
fn frames_come_in_through_a_pipe() {
    let folder = folder("pipes-in");
    let input = clip("pipe.mp4", 1.0, ",scale=160:90", &SILENT_H264);
    let want = folder.join("want.webm");
    convert(&input, &want, &[]);
    for (name, options, raw) in [
        ("rgb", &["-f", "rawvideo", "-pix_fmt", "rgb24"][..], &["--raw", "160x90@30/1,rgb24"][..]),
        ("yuv", &["-f", "rawvideo", "-pix_fmt", "yuv420p"], &["--raw", "160x90@30,yuv420p"]),
        ("y4m", &["-f", "yuv4mpegpipe"], &[]),
    ] {
        let output = folder.join(format!("{name}.webm"));
        fed(decoded(&input, options), &[&["-", text(&output)], raw].concat());
        let times = |p: &Path| times(p).iter().map(|t| (t * 1000.0).round() as i64).collect::<Vec<_>>();
        assert_eq!(times(&output), times(&want), "{name}");
        let (got, want) = (frames(&output), frames(&want));
        assert_eq!(got.len(), want.len(), "{name}");
        let worst = got.iter().zip(&want).map(|(a, b)| psnr(&alpha(a), &alpha(b))).fold(99.0, f64::min);
        assert!(worst > 28.0, "{name}: {worst} dB");
    }
    // Of the wrong size it is said, though there are frames of that size, too.
    let bytes = decoded(&input, &["-f", "rawvideo", "-pix_fmt", "rgb24"]);
    let output = folder.join("wrong.webm");
    let out = fed(bytes, &[&["-", text(&output), "--raw", "151x90@30/1,rgb24"], &quick()[..]].concat());
    assert!(said(&out).contains("middle of a frame"), "{}", said(&out));
    // ffmpeg says more of colours in the header than y4mdec takes: through a pipe, and in a file.
    let tagged = ["-vf", "setparams=range=tv:colorspace=bt709", "-r", "30000/1001", "-f", "yuv4mpegpipe"];
    let bytes = decoded(&input, &tagged);
    let header = bytes.iter().position(|b| *b == b'\n').unwrap();
    assert!(header > 79, "{}", String::from_utf8_lossy(&bytes[..header]));
    let file = folder.join("tagged.y4m");
    std::fs::write(&file, &bytes).unwrap();
    let (piped, read) = (folder.join("tagged-pipe.webm"), folder.join("tagged-file.webm"));
    fed(bytes, &[&["-", text(&piped)], &quick()[..]].concat());
    convert(&file, &read, &quick());
    for output in [piped, read] {
        assert_eq!(frames(&output).len(), frames(&want).len(), "{}", output.display());
    }
    // Rows that are no multiple of four bytes long have no gaps between them.
    let odd = ["-vf", "scale=101:75,setsar=1", "-f", "rawvideo", "-pix_fmt"];
    let output = folder.join("odd.webm");
    let want = folder.join("odd");
    let file = folder.join("odd.mkv");
    let ffv1 = ["-c:v", "ffv1", "-pix_fmt", "bgr0", text(&file)];
    tool("ffmpeg", &[&["-v", "error", "-i", text(&input)], &odd[..2], &ffv1].concat());
    convert(&file, &want, &[&quick()[2..], &["--format", "png", "--background", "green"]].concat());
    let raw = ["-", text(&output), "--raw", "101x75@30,rgb24", "--background", "green"];
    fed(decoded(&input, &[&odd[..], &["rgb24"]].concat()), &[&raw, &quick()[2..]].concat());
    let (got, want) = (frames(&output), pictures(&want));
    assert_eq!((got.len(), want.len()), (30, 30));
    let worst = got.iter().zip(&want).map(|(a, b)| psnr(a, b)).fold(99.0, f64::min);
    assert!(worst > 25.0, "{worst} dB");
    // From a file as well, of which a part is taken.
    let file = folder.join("frames.rgb");
    std::fs::write(&file, decoded(&input, &["-f", "rawvideo", "-pix_fmt", "rgb24"])).unwrap();
    let output = folder.join("part.webm");
    convert(&file, &output, &[&quick()[..], &["--raw", "160x90@30/1,rgb24", "--start", "0.5"]].concat());
    assert_eq!(times(&output).len(), 15);
}

#[test]
fn frames_go_out_through_a_pipe() {
    let folder = folder("pipes-out");
    let input = silent();
    let short = ["--duration", "0.4"];
    let pictures_of = |more: &[&str]| {
        let name = folder.join("p");
        convert(&input, &name, &[&["--format", "png", "--overwrite"], &short[..], more].concat());
        pictures(&name)
    };
    // Nothing but the frames, to the bit.
    let out = bgremove(&[&[text(&input), "out:-"], &short[..]].concat());
    assert!(out.status.success(), "{}", said(&out));
    assert!(said(&out).contains("12 frames"), "{}", said(&out));
    let want = pictures_of(&[]);
    assert_eq!(out.stdout.len(), want.len() * 320 * 180 * 4);
    assert!(out.stdout.chunks_exact(320 * 180 * 4).zip(&want).all(|(a, b)| a == b), "other frames");
    // Y4M where nothing is transparent, also of sides that are no multiple of eight, or of two.
    for (size, shape) in [("320x180", (320, 180)), ("200x112", (200, 112)), ("170x96", (170, 96))] {
        let opaque = ["--background", "green", "--size", size];
        let out = bgremove(&[&[text(&input), "-"], &opaque[..], &short].concat());
        assert!(out.status.success() && out.stdout.starts_with(b"YUV4MPEG2"), "{size}: {}", said(&out));
        let file = folder.join(format!("{size}.y4m"));
        std::fs::write(&file, out.stdout).unwrap();
        let got = frames(&file);
        assert_eq!((got.len(), got[0].len()), (12, shape.0 * shape.1 * 4), "{size}");
        if size == "320x180" {
            let worst = got.iter().zip(pictures_of(&opaque)).map(|(a, b)| psnr(a, &b)).fold(99.0, f64::min);
            // Y4M does not say by which matrix its colours are meant.
            assert!(worst > 25.0, "{size}: {worst} dB");
        }
    }
    let out = bgremove(&[&[text(&input), "-", "--format", "webm", "--json"], &quick()[..]].concat());
    let film = folder.join("a.webm");
    std::fs::write(&film, &out.stdout).unwrap();
    assert_eq!(frames(&film).len(), 30);
    for (more, word) in [
        (&["--format", "mov"][..], "pipe"),
        (&["--format", "y4m"], "transparency"),
        (&["--part", "1/2", "--format", "webm"], "no file"),
        (&["--part", "1/2", "--format", "raw"], "has no parts"),
    ] {
        let out = bgremove(&[&[text(&input), "-"], more].concat());
        assert!(out.status.code() == Some(2) && said(&out).contains(word), "{}", said(&out));
    }
}

#[test]
fn who_stops_reading_the_result_is_told_of() {
    let input = clip("pipe.mp4", 1.0, ",scale=160:90", &SILENT_H264);
    let mut tool = Command::new(env!("CARGO_BIN_EXE_bgremove"));
    tool.args(["convert", text(&input), "-", "--format", "y4m", "--background", "black"]).args(quick());
    let mut child = tool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(1), "{}", said(&out));
    assert!(said(&out).contains("has stopped reading") && !said(&out).contains("disk"), "{}", said(&out));
}

#[test]
fn what_comes_into_a_watched_folder_is_converted_once() {
    let (inside, out) = (folder("inbox"), folder("inbox-out"));
    let start = || {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_bgremove"));
        tool.args(["convert", "--watch", text(&inside), "-o", text(&out)]).args(quick());
        tool.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let until = |what: &str, done: &dyn Fn() -> bool| {
        let begin = Instant::now();
        while !done() {
            assert!(begin.elapsed() < Duration::from_secs(90), "{what} did not come about");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    let refused = bgremove(&["--watch", text(&inside), "-o", text(&inside)]);
    assert!(refused.status.code() == Some(2) && said(&refused).contains("is watched"), "{}", said(&refused));
    let end = |mut child: std::process::Child| {
        // SAFETY: the child is not waited for yet, so the number is still its own.
        unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
        assert!(child.wait().unwrap().success());
    };
    std::fs::copy(silent(), inside.join("one.mp4")).unwrap();
    std::fs::write(inside.join("bad.mp4"), "no film").unwrap();
    let watching = start();
    until("the first result", &|| out.join("one.webm").exists());
    until("the failure", &|| inside.join("failed/bad.mp4").exists());
    end(watching);
    let record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(inside.join("failed/bad.mp4.json")).unwrap()).unwrap();
    assert_eq!(record["result"], "failed");
    assert!(!inside.join("bad.mp4").exists());
    let made = out.join("one.webm").metadata().unwrap().modified().unwrap();
    let watching = start();
    std::fs::copy(silent(), inside.join("two.mp4")).unwrap();
    until("the second result", &|| out.join("two.webm").exists());
    end(watching);
    assert_eq!(out.join("one.webm").metadata().unwrap().modified().unwrap(), made, "once is enough");
    let left: Vec<_> = std::fs::read_dir(&out).unwrap().flatten().map(|f| f.file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}
