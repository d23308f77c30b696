//! What the source promised and what came out.

use crate::media::*;
use crate::quick::quick;
use crate::record::record;
use std::path::{Path, PathBuf};

/// What is tested are lengths and words.
fn small() -> Vec<&'static str> {
    [&quick()[..], &["--timeout", "20"]].concat()
}

/// Six seconds with sound.
fn six(name: &str, options: &[&str]) -> PathBuf {
    clip(name, 6.0, LOOP, options)
}

/// The first third of a file's bytes.
fn third(path: &Path, folder: &Path) -> PathBuf {
    let bytes = std::fs::read(path).unwrap();
    let cut = folder.join(format!("cut.{}", path.extension().unwrap().to_str().unwrap()));
    std::fs::write(&cut, &bytes[..bytes.len() / 3]).unwrap();
    cut
}

#[test]
fn a_source_that_breaks_off_is_no_success() {
    let (folder, made) = (folder("breaks-off"), folder("breaks-off-inputs"));
    let first = [&H264[..], &["-movflags", "+faststart"]].concat();
    for (name, options, outputs, why) in [
        ("six.mp4", &first[..], &["a.webm", "a.mp4", "a.mov", "a.gif", "a.webp", "a.png"][..], "breaks off"),
        ("six.mkv", &H264, &["a.webm", "a.gif"], "breaks off"),
        ("six.webm", &VP8, &["a.mov", "a.png"], "breaks off"),
        ("six.avi", &["-c:v", "mpeg4", "-q:v", "4", "-c:a", "libmp3lame"], &["a.mov", "a.gif"], "breaks off"),
        ("six.flv", &[&H264[..], &["-ar", "44100"]].concat(), &["a.mp4", "a.webp"], "damaged"),
    ] {
        let cut = third(&six(name, options), &made);
        let mut least = String::new();
        for output in outputs {
            let more = [&small()[..], &["--background", "white"]].concat();
            let said = refuse(&cut, &folder.join(output), &more, 1);
            let wanted = ["less came out than it promises", why, "--duration", " of 6.0"];
            assert!(wanted.iter().all(|w| said.contains(w)), "{name} to {output}: {said}");
            assert_eq!(said.trim().lines().filter(|l| !l.contains("left out")).count(), 1, "{said}");
            if least.is_empty() {
                least = said.split_once("--duration ").unwrap().1.split(' ').next().unwrap().to_string();
            }
        }
        // What it says helps.
        let path = folder.join("a.webm");
        convert(&cut, &path, &[&small()[..], &["--duration", &least]].concat());
        assert!((seconds(&path) - least.parse::<f64>().unwrap()).abs() < 0.1, "{name}: {}", seconds(&path));
        std::fs::remove_file(path).unwrap();
    }
    // For programs.
    let cut = third(&six("six.mp4", &first), &made);
    let (output, report) = (folder.join("a.webm"), made.join("report.json"));
    let all = [text(&cut), text(&output), "--json", "--report", text(&report)];
    let out = bgremove(&[&all[..], &small()].concat());
    assert_eq!(out.status.code(), Some(1));
    let last = events(&out).pop().unwrap();
    assert_eq!((last["event"].as_str(), last["code"].as_str()), (Some("error"), Some("convert/short")));
    assert_eq!(record(&report)["incident"]["error_code"], "convert/short");
}

/// Sets the length that a Matroska header says, or takes it out.
fn with_length(from: &Path, to: &Path, milliseconds: Option<f64>) {
    let mut bytes = std::fs::read(from).unwrap();
    let at = bytes.windows(3).position(|w| w == [0x44, 0x89, 0x88]).unwrap();
    match milliseconds {
        Some(length) => bytes[at + 3..at + 11].copy_from_slice(&length.to_be_bytes()),
        // Void, of nine bytes.
        None => bytes[at..at + 2].copy_from_slice(&[0xec, 0x89]),
    }
    std::fs::write(to, bytes).unwrap();
}

#[test]
fn what_is_a_little_short_is_said_and_kept() {
    let (folder, made) = (folder("little"), folder("little-inputs"));
    let input = made.join("says-more.mkv");
    with_length(&clip("two.mkv", 2.0, "", &H264), &input, Some(2400.0));
    let (output, report) = (folder.join("a.webm"), folder.join("report.json"));
    let all = [text(&input), text(&output), "--report", text(&report)];
    let out = bgremove(&[&all[..], &small()].concat());
    assert!(out.status.success(), "{}", said(&out));
    assert!(said(&out).contains("warning: less came out than it promises"), "{}", said(&out));
    assert!(said(&out).contains("(convert/short)"), "{}", said(&out));
    assert_eq!(times(&output).len(), 60);
    let warnings = record(&report)["warnings"].clone();
    assert!(warnings.as_array().unwrap().iter().any(|w| w["code"] == "convert/short"), "{warnings}");
    let out = bgremove(&[&all[..], &small(), &["--json", "--overwrite"]].concat());
    let events = events(&out);
    let warning = events.iter().find(|e| e["event"] == "warning").unwrap();
    assert_eq!(warning["code"], "convert/short");
    // What was asked for is there.
    let out = bgremove(&[&all[..], &small(), &["--duration", "1.5", "--overwrite"]].concat());
    assert!(out.status.success() && !said(&out).contains("promises"), "{}", said(&out));
}

#[test]
fn nothing_is_said_of_whole_sources() {
    let (folder, made) = (folder("whole"), folder("whole-inputs"));
    let vp9 = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"];
    let mp3 = ["-c:v", "mpeg4", "-c:a", "libmp3lame"];
    let frag = [&H264[..], &["-movflags", "frag_keyframe+empty_moov"]].concat();
    let uneven = ",select='not(mod(n,7))+not(mod(n,5))+eq(n,3)'";
    let two = |name: &str, options: &[&str]| clip(name, 2.0, "", options);
    let recorded = made.join("recorded.webm");
    with_length(&two("two.webm", &VP8), &recorded, None);
    let cover = made.join("cover.mp4");
    let jpeg = made.join("cover.jpg");
    let source = plain();
    let source = text(&source);
    tool("ffmpeg", &["-v", "error", "-i", source, "-frames:v", "1", text(&jpeg)]);
    let both = ["-v", "error", "-i", source, "-i", text(&jpeg), "-map", "0", "-map", "1"];
    let attached = ["-c", "copy", "-c:v:1", "mjpeg", "-disposition:v:1", "attached_pic", text(&cover)];
    tool("ffmpeg", &[&both[..], &attached].concat());
    let late = made.join("late.mp4");
    let offset = ["-v", "error", "-i", source, "-itsoffset", "0.8", "-i", source];
    let maps = ["-map", "0:v", "-map", "1:a", "-c", "copy", text(&late)];
    tool("ffmpeg", &[&offset[..], &maps].concat());
    let short_sound = [&["-af", "atrim=0:0.7"][..], &H264].concat();
    let long_sound = [&["-vf", "scale=320:180,trim=0:1"][..], &H264].concat();
    // Recorded from a second after the beginning on.
    let offset = made.join("offset.mkv");
    tool("ffmpeg", &["-v", "error", "-itsoffset", "1", "-i", source, "-c", "copy", text(&offset)]);
    let inputs = [
        offset,
        two("two.m2ts", &["-c:v", "libx264", "-preset", "veryfast", "-c:a", "ac3"]),
        two("short-sound.ts", &short_sound),
        two("two.wmv", &["-c:v", "wmv2", "-c:a", "wmav2"]),
        two("two.ogv", &["-c:v", "libtheora", "-c:a", "libvorbis"]),
        two("packed.avi", &["-c:v", "mpeg4", "-bf", "2", "-vtag", "XVID", "-c:a", "libmp3lame"]),
        plain(),
        silent(),
        two("two.mov", &["-c:v", "prores_ks", "-c:a", "pcm_s16le"]),
        two("two.mkv", &H264),
        two("two.webm", &vp9),
        recorded,
        two("two.avi", &mp3),
        two("two.ts", &H264),
        two("two.flv", &[&H264[..], &["-ar", "44100"]].concat()),
        two("two.mpg", &["-c:v", "mpeg2video", "-c:a", "mp2"]),
        two("frag.mp4", &frag),
        clip("uneven.mp4", 2.0, uneven, &[&["-vsync", "vfr"][..], &H264].concat()),
        clip("uneven.mkv", 2.0, uneven, &[&["-vsync", "vfr"][..], &H264].concat()),
        clip("slow.mp4", 2.0, ",fps=2", &H264),
        clip("slow.mkv", 2.0, ",fps=2", &H264),
        two("short-sound.mkv", &short_sound),
        two("short-sound.mp4", &short_sound),
        two("long-sound.avi", &[&long_sound[..], &mp3].concat()),
        two("long-sound.mkv", &long_sound),
        two("long-sound.mp4", &long_sound),
        cover,
        late,
    ];
    let outputs = ["a.webm", "a.mp4", "a.mov", "a.gif", "a.webp", "a.png"];
    // Of two sounds the shorter one.
    let two_sounds = made.join("two-sounds.mkv");
    let maps = ["-map", "0:v", "-map", "0:a", "-map", "0:a", "-c:v", "copy", "-c:a", "flac"];
    let shorter = ["-filter:a:1", "atrim=0:0.6", text(&two_sounds)];
    tool("ffmpeg", &[&["-v", "error", "-i", source][..], &maps, &shorter].concat());
    for (track, output) in [("1", "a.mov"), ("2", "a.webm")] {
        let output = folder.join(output);
        let all = [text(&two_sounds), text(&output), "--audio-track", track, "--overwrite"];
        let out = bgremove(&[&all[..], &small()].concat());
        assert!(out.status.success() && !said(&out).contains("promises"), "{track}: {}", said(&out));
    }
    for (n, output) in outputs.iter().enumerate() {
        let format = output.strip_prefix("a.").unwrap();
        // What is thinned and what is left out of a part is reckoned each by itself: they do not meet.
        let part = ["--fps", "10", "--start", "0.5", "--duration", "1"];
        for (m, more) in [&[][..], &part].iter().enumerate() {
            // Each input to two of the formats; all that go to one in one run of the tool.
            let some = inputs.iter().skip((n + 6 - m * 2) % 6).step_by(6);
            let mut all: Vec<&str> = some.map(|input| text(input)).collect();
            all.extend(["-o", text(&folder), "--format", format, "--background", "white", "--overwrite"]);
            let out = bgremove(&[&all[..], &small(), more].concat());
            let told = said(&out);
            assert!(out.status.success() && !told.contains("promises"), "{format} {more:?}: {told}");
        }
    }
}

#[test]
fn an_unknown_length_is_shown_as_unknown() {
    let (folder, made) = (folder("unknown"), folder("unknown-inputs"));
    let recorded = made.join("recorded.webm");
    with_length(&clip("two.webm", 2.0, "", &VP8), &recorded, None);
    let raw = clip("raw.h264", 2.0, "", &SILENT_H264);
    let output = folder.join("a.webm");
    for (input, known) in [(&recorded, false), (&raw, false), (&plain(), true)] {
        let what = [text(input), text(&output), "--overwrite", "--json"];
        let out = bgremove(&[&what[..], &small()].concat());
        assert!(out.status.success(), "{}", said(&out));
        for event in events(&out) {
            let what = match event["event"].as_str().unwrap() {
                "start" => &event["seconds"],
                "progress" => &event["percent"],
                _ => continue,
            };
            assert_eq!(what.is_number(), known, "{}: {event}", input.display());
        }
        // On a terminal.
        let line = format!(
            "{} convert {} {} --overwrite {}",
            env!("CARGO_BIN_EXE_bgremove"),
            input.display(),
            output.display(),
            quick().join(" ")
        );
        let Ok(out) = std::process::Command::new("script").args(["-qec", &line, "/dev/null"]).output() else {
            crate::skip::skip("an_unknown_length_is_shown_as_unknown", "`script` does not run");
            continue;
        };
        let shown = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "{shown}");
        assert_eq!(shown.contains("length unknown"), !known, "{shown}");
        assert_eq!(shown.contains(" %"), known, "{shown}");
    }
}
