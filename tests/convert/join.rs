//! A clip in parts, and the parts joined: what the whole is held against is the run in one piece.

use crate::media::*;
use crate::onnx::{Onnx, Type};
use crate::quick::quick;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Four seconds, key frames a second apart, two B-frames, sound.
fn four(name: &str, filter: &str, more: &[&str]) -> PathBuf {
    clip(name, 4.0, &[LOOP, filter].concat(), &[more, &H264, &["-g", "30", "-bf", "2"]].concat())
}

fn even() -> PathBuf {
    four("join.mp4", "", &[])
}

fn uneven() -> PathBuf {
    four("uneven.mp4", ",select='not(eq(mod(n\\,7)\\,3))'", &["-vsync", "vfr"])
}

fn run(command: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_bgremove"));
    let network: &[&str] = if command == "convert" { model(arguments) } else { &[] };
    tool.arg(command).args(arguments).args(network).envs(environment.iter().copied()).output().unwrap()
}

fn must(command: &str, arguments: &[&str]) {
    let out = run(command, arguments, &[]);
    assert!(out.status.success(), "{command} {arguments:?}: {}", said(&out));
}

/// The parts of a conversion, and the joined file.
fn in_parts(input: &Path, output: &Path, of: u32, more: &[&str]) {
    for number in 1..=of {
        let share = format!("{number}/{of}");
        must("convert", &[&[text(input), text(output), "--part", &share], more].concat());
    }
    must("join", &[text(output)]);
}

fn part(output: &Path, number: u32, of: u32) -> PathBuf {
    let extension = output.extension().map_or(String::new(), |e| format!(".{}", e.to_str().unwrap()));
    let stem = output.file_stem().unwrap().to_str().unwrap();
    output.with_file_name(format!("{stem}.part-{number}-of-{of}{extension}"))
}

/// Greatest and mean distance of two files' alpha, each frame's own mean, of 255.
fn distance(a: &[Frame], b: &[Frame]) -> (f64, f64) {
    assert_eq!(a.len(), b.len());
    let of = |(a, b): (&Frame, &Frame)| {
        let off = alpha(a).iter().zip(alpha(b)).map(|(a, b)| f64::from(a.abs_diff(b))).sum::<f64>();
        off / (a.len() / 4) as f64
    };
    let all: Vec<f64> = a.iter().zip(b).map(of).collect();
    (all.iter().copied().fold(0.0, f64::max), all.iter().sum::<f64>() / all.len() as f64)
}

#[test]
fn parts_become_the_whole() {
    let folder = folder("join");
    let input = even();
    let small = ["--size", "160x160"];
    let whole = folder.join("whole.webm");
    convert(&input, &whole, &small);
    let joined = folder.join("joined.webm");
    in_parts(&input, &joined, 3, &small);
    // Frames, their times and lengths, and the sound to the bit.
    assert_eq!(packets(&joined, "v:0", false), packets(&whole, "v:0", false));
    assert_eq!(packets(&joined, "a:0", true), packets(&whole, "a:0", true));
    for what in ["width", "height", "r_frame_rate", "color_range", "color_space", "codec_name"] {
        assert_eq!(probe(&joined, "v:0", what), probe(&whole, "v:0", what), "{what}");
    }
    assert!((seconds(&joined) - seconds(&whole)).abs() < 0.0005);
    let (most, mean) = distance(&frames(&joined), &frames(&whole));
    assert!(most <= 3.0 && mean <= 1.0, "alpha is off by {most} of 255 in a frame, {mean} in the mean");
    // Each begins with a key frame and stands for itself.
    for number in 1..=3 {
        let one = part(&joined, number, 3);
        assert_eq!(times(&one)[0], 0.0);
        assert!(!has_sound(&one));
    }
}

#[test]
fn parts_become_the_whole_in_every_format_that_is_joined() {
    let folder = folder("join-formats");
    let (input, quick) = (even(), quick());
    for (format, more) in
        [("mov", &[][..]), ("mp4", &["--background", "green"]), ("png", &[]), ("webm", &["--codec", "vp8"])]
    {
        // A network's matte at the seam is looked at once, in what keeps it exactly.
        let more = [if format == "png" { &TINY[..] } else { &quick[..] }, more].concat();
        let name = |n: &str| folder.join(format!("{n}.{format}"));
        let (whole, joined) = (name("whole"), name("joined"));
        convert(&input, &whole, &more);
        in_parts(&input, &joined, 2, &more);
        if format == "png" {
            let [joined, whole] = [joined, whole].map(|p| pictures(&p.with_extension("")));
            let (most, mean) = distance(&joined, &whole);
            assert!(most <= 3.0 && mean <= 1.0, "{most} {mean}");
            continue;
        }
        assert_eq!(times(&joined), times(&whole), "{format}");
        assert_eq!(packets(&joined, "a:0", true), packets(&whole, "a:0", true), "{format}");
        assert!((seconds(&joined) - seconds(&whole)).abs() < 0.0015, "{format}");
        let (joined, whole) = (frames(&joined), frames(&whole));
        let worst = joined.iter().zip(&whole).map(|(a, b)| psnr(a, b)).fold(99.0, f64::min);
        assert!(worst > 30.0, "{format}: {worst} dB");
    }
    let behind = ["--background", text(&input), "--part", "1/2"];
    let out = run("convert", &[&[text(&input), text(&folder.join("a.mp4"))], &behind[..]].concat(), &[]);
    assert!(out.status.code() == Some(2) && said(&out).contains("begin anew"), "{}", said(&out));
    for format in ["gif", "webp"] {
        let out =
            run("convert", &[text(&input), text(&folder.join(format!("a.{format}"))), "--part", "1/2"], &[]);
        assert!(
            out.status.code() == Some(2) && said(&out).contains("cannot be put together"),
            "{}",
            said(&out)
        );
    }
}

/// Sources whose times are not plain: no index, a late beginning, uneven frames, an edit list that hides frames.
#[test]
fn parts_become_the_whole_of_sources_of_all_kinds() {
    let (folder, made) = (folder("join-sources"), folder("join-sources-inputs"));
    let source = even();
    let from = |name: &str, before: &[&str], options: &[&str]| -> PathBuf {
        let path = made.join(name);
        let head = [&["-v", "error"], before, &["-i", text(&source)]].concat();
        tool("ffmpeg", &[&head[..], options, &[text(&path)]].concat());
        path
    };
    let vp8 = [&VP8[..], &["-g", "40"]].concat();
    // With a network's mattes where the frames before a part are not simply those before it.
    for (input, more) in [
        (from("a.webm", &[], &vp8), &quick()[..]),
        (from("late.mkv", &[], &["-c", "copy", "-output_ts_offset", "3.21"]), &TINY),
        (from("live.webm", &[], &[&vp8[..], &["-live", "1"]].concat()), &quick()),
        (from("a.ts", &[], &["-c", "copy"]), &quick()),
        (from("cut.mp4", &["-ss", "1.37"], &["-c", "copy"]), &TINY),
        (uneven(), &quick()),
    ] {
        let name = input.file_name().unwrap().to_str().unwrap().to_string();
        let (whole, joined) =
            (folder.join(format!("{name}.whole.webm")), folder.join(format!("{name}.webm")));
        convert(&input, &whole, more);
        in_parts(&input, &joined, 2, more);
        assert_eq!(packets(&joined, "v:0", false), packets(&whole, "v:0", false), "{name}");
        assert_eq!(packets(&joined, "a:0", true), packets(&whole, "a:0", true), "{name}");
        let (most, mean) = distance(&frames(&joined), &frames(&whole));
        assert!(most <= 3.0 && mean <= 1.0, "{name}: {most} {mean}");
    }
}

/// Of uneven frames demuxers guess another rate in each part, by which such files count their time.
#[test]
fn uneven_frames_keep_their_times_in_mov_and_mp4() {
    let folder = folder("join-uneven");
    let input = uneven();
    for (format, more) in [("mov", &[][..]), ("mp4", &["--background", "green"])] {
        let more = [&quick()[..], more].concat();
        let name = |n: &str| folder.join(format!("{n}.{format}"));
        let (whole, joined) = (name("whole"), name("joined"));
        convert(&input, &whole, &more);
        in_parts(&input, &joined, 2, &more);
        let (got, want) = (times(&joined), times(&whole));
        assert_eq!(got.len(), want.len(), "{format}");
        let off = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(off < 0.0005, "{format}: {off} s");
        same_beeps(&joined, &whole, 0.0);
    }
}

#[test]
fn what_is_no_whole_is_refused_and_what_is_whole_is_kept() {
    let folder = folder("join-refused");
    let input = even();
    let output = folder.join("a.webm");
    let make = |share: &str, more: &[&str]| {
        run("convert", &[&[text(&input), text(&output), "--part", share], &quick()[..], more].concat(), &[])
    };
    let refused = |word: &str| {
        let out = run("join", &[text(&output)], &[]);
        assert_eq!(out.status.code(), Some(1), "{word}");
        assert!(said(&out).contains(word), "{word}: {}", said(&out));
        assert!(!output.exists());
    };
    refused("no parts lie beside it");
    assert!(make("1/3", &[]).status.success() && make("3/3", &[]).status.success());
    refused("number 2 is missing");
    // The index of an array job counts from nought.
    let auto = [&[text(&input), text(&output), "--part", "auto/3"], &quick()[..]].concat();
    assert!(run("convert", &auto, &[("JOB_COMPLETION_INDEX", "1")]).status.success());
    let second = part(&output, 2, 3);
    let bytes = std::fs::read(&second).unwrap();
    // It is there; and with --resume that is well.
    assert!(said(&make("2/3", &[])).contains("exists"));
    let before = second.metadata().unwrap().modified().unwrap();
    let kept = make("2/3", &["--resume"]);
    assert!(kept.status.success() && String::from_utf8_lossy(&kept.stdout).contains("there already"));
    assert_eq!(second.metadata().unwrap().modified().unwrap(), before);
    let finer = make("2/3", &["--resume", "--quality", "80"]);
    assert!(!finer.status.success() && said(&finer).contains("another quality"), "{}", said(&finer));
    let silent = make("2/3", &["--resume", "--audio", "drop"]);
    assert!(!silent.status.success() && said(&silent).contains("another sound"), "{}", said(&silent));
    // Half a copy.
    std::fs::write(&second, &bytes[..bytes.len() / 2]).unwrap();
    refused("is not what was written there");
    assert!(make("2/3", &["--resume"]).status.success());
    assert_eq!(std::fs::read(&second).unwrap().len(), bytes.len());
    let other = folder.join("other.webm");
    let all = [&part(&output, 1, 3), &second, &part(&output, 3, 3)].map(|p| text(p).to_string());
    let [one, two, three] = all.each_ref().map(String::as_str);
    must("join", &[text(&other), three, one, two]);
    let twice = run("join", &[text(&output), one, two, two, three], &[]);
    assert!(said(&twice).contains("same frames"), "{}", said(&twice));
    assert!(make("2/3", &["--overwrite", "--quality", "80"]).status.success());
    refused("another quality");
    // A source that has changed since is none.
    assert!(make("2/3", &["--overwrite"]).status.success());
    let out = run("join", &[text(&output), "--source", text(&plain())], &[]);
    assert!(said(&out).contains("is not the clip"), "{}", said(&out));
    must("join", &[text(&output)]);
    assert_eq!(times(&output).len(), times(&input).len());
    // Neither the source nor a part is written over.
    let copy = folder.join("copy.webm");
    for (from, to, word) in [(&input, &copy, "the clip"), (&second, &second, "one of the parts")] {
        if from != to {
            std::fs::copy(from, to).unwrap();
        }
        let bytes = std::fs::read(to).unwrap();
        let parts = [&part(&output, 1, 3), &second, &part(&output, 3, 3)].map(|p| text(p).to_string());
        let all: Vec<&str> = parts.iter().map(String::as_str).collect();
        let out = run("join", &[&[text(to)], &all[..], &["--overwrite"]].concat(), &[]);
        assert!(out.status.code() == Some(1) && said(&out).contains(word), "{}", said(&out));
        assert_eq!(std::fs::read(to).unwrap(), bytes);
    }
    let itself = run("convert", &[text(&output), text(&output), "--part", "1/2"], &[]);
    assert!(itself.status.code() == Some(2) && said(&itself).contains("replace itself"), "{}", said(&itself));
    let thin = run("convert", &[text(&input), text(&copy), "--part", "1/2", "--fps", "5"], &[]);
    assert!(thin.status.code() == Some(2) && said(&thin).contains("--fps"), "{}", said(&thin));
}

#[test]
fn gnu_parallel_and_slurms_script_make_the_same() {
    let folder = folder("join-engines");
    let input = silent();
    let tool = Path::new(env!("CARGO_BIN_EXE_bgremove")).parent().unwrap();
    let path = format!("{}:{}", tool.display(), std::env::var("PATH").unwrap());
    let cluster = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cluster");
    let whole = folder.join("whole.webm");
    convert(&input, &whole, &quick());
    let engine = |script: &str, output: &Path, more: &[&str], environment: &[(&str, &str)]| {
        let mut shell = Command::new("bash");
        shell.arg(cluster.join(script)).args([text(&input), text(output)]).args(more).args(quick());
        let out = shell.env("PATH", &path).envs(environment.iter().copied()).output().unwrap();
        assert!(out.status.success(), "{script}: {}", said(&out));
    };
    if Command::new("parallel").arg("--version").output().is_ok() {
        // Spaces and colours are handed on as they are.
        let output = folder.join("by parallel.webm");
        let opaque = folder.join("opaque.webm");
        convert(&input, &opaque, &[&quick()[..], &["--background", "#00b140"]].concat());
        engine("parallel.sh", &output, &["3", "--background", "#00b140"], &[]);
        assert_eq!(packets(&output, "v:0", false), packets(&opaque, "v:0", false));
    } else {
        crate::skip::skip("gnu_parallel_and_slurms_script_make_the_same", "GNU parallel is not installed");
    }
    let output = folder.join("slurm.webm");
    for id in ["1", "2"] {
        let task = [
            ("SLURM_ARRAY_TASK_ID", id),
            ("SLURM_ARRAY_TASK_MIN", "1"),
            ("SLURM_ARRAY_TASK_MAX", "2"),
            ("SLURM_ARRAY_TASK_COUNT", "2"),
        ];
        engine("convert.slurm", &output, &[], &task);
    }
    must("join", &[text(&output)]);
    assert_eq!(packets(&output, "v:0", false), packets(&whole, "v:0", false));
}

#[test]
fn networks_that_remember_begin_further_before_a_part() {
    let folder = folder("warm-up");
    let input = clip("warm-up.mp4", 6.0, LOOP, &[&H264[..], &["-g", "30"]].concat());
    let remembers = Onnx::constant(1.0, 64, 36)
        .input("r1i", Type::F32, &[1, 1, 36, 64])
        .op("Add", "r1i y", "r1o")
        .output("r1o", Type::F32, &[1, 1, 36, 64])
        .save(&folder, "remembers.onnx");
    // What it says of the frames that were inferred before.
    let before = |more: &[&str]| {
        let output = folder.join("part.webm");
        let part = ["--range", "170..174", "--size", "96x96", "--overwrite"];
        must("convert", &[&[text(&input), text(&output)][..], &part, more].concat());
        let json = std::fs::read(folder.join("part.webm.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&json).unwrap()["made_by"]["warm_up"].as_u64()
    };
    assert_eq!(before(&["--model", "light"]), Some(60));
    assert_eq!(before(&["--model", text(&remembers)]), Some(150));
    assert_eq!(before(&["--model", text(&remembers), "--warm-up", "7"]), Some(7));
}
