//! Parts of files that have no index, and of files of which an edit list shows a part.

use crate::media::*;
use crate::quick::quick;
use std::path::{Path, PathBuf};

/// Key frames three seconds apart.
fn sparse() -> Vec<&'static str> {
    [&H264[..], &["-g", "90"]].concat()
}

/// Of all that is tested here, mattes are no part: frames are counted and told apart, and sound is heard.
fn fast() -> Vec<&'static str> {
    [&quick()[..], &["--background", "white", "--timeout", "20"]].concat()
}

/// Which of the frames of the whole the pictures are.
fn places(part: &[Frame], whole: &[Frame]) -> Vec<usize> {
    let like = |frame: &Frame, n: &usize| psnr(frame, &whole[*n]);
    let best = |frame| (0..whole.len()).max_by(|a, b| like(frame, a).total_cmp(&like(frame, b))).unwrap();
    part.iter().map(best).collect()
}

/// The pictures of a part of a file, each for itself.
fn shown(input: &Path, folder: &Path, more: &[&str]) -> Vec<Frame> {
    let alone = ["--format", "png", "--set", "temporal-smoothing=0", "--overwrite"];
    convert(input, &folder.join("frames"), &[&fast()[..], &alone, more].concat());
    pictures(&folder.join("frames"))
}

#[test]
fn a_part_is_found_without_an_index() {
    let (folder, made) = (folder("no-index"), folder("no-index-inputs"));
    // Into a pipe, so that no index can be written.
    let source = clip("parts.mp4", 4.0, "", &sparse());
    let from = ["-v", "error", "-i", text(&source)];
    let copy = |name: &str, options: &[&str]| -> PathBuf {
        let all = [&from[..], options, &["-"]].concat();
        let path = made.join(name);
        std::fs::write(&path, tool("ffmpeg", &all)).unwrap();
        path
    };
    let vp8 = [&VP8[..], &["-g", "60", "-f", "webm"]].concat();
    let frag = [&sparse()[..], &["-movflags", "frag_keyframe+empty_moov", "-f", "mp4"]].concat();
    let avi = made.join("a.avi");
    let mpeg4 = ["-c:v", "mpeg4", "-g", "60", "-c:a", "libmp3lame", text(&avi)];
    tool("ffmpeg", &[&from[..], &mpeg4].concat());
    let mut formats = ["mov", "webm", "mp4"];
    let inputs = [
        (copy("pipe.webm", &vp8), true),
        (copy("frag.mp4", &frag), true),
        (copy("a.ts", &["-c", "copy", "-f", "mpegts"]), true),
        (copy("a.mkv", &["-c", "copy", "-f", "matroska"]), true),
        (copy("a.flv", &["-c:v", "copy", "-c:a", "aac", "-ar", "44100", "-f", "flv"]), true),
        (avi, true),
        (copy("raw.h264", &["-an", "-c", "copy", "-f", "h264"]), false),
    ];
    for (n, (input, sound)) in inputs.into_iter().enumerate() {
        let whole = shown(&input, &folder, &[]);
        assert!((119..=120).contains(&whole.len()), "{}: {}", input.display(), whole.len());
        // A gap in its sound would end qtmux.
        convert(&input, &folder.join("whole.mov"), &[&fast()[..], &["--overwrite"]].concat());
        // By the times in this one, 45 ms are missing after its first packet of sound, which ffmpeg closes up.
        let exact = if input.ends_with("frag.mp4") { 0.08 } else { 0.034 };
        // Before a key frame of VP8 and after it; the others have one of them each.
        let starts = [("1.4", 42), ("2.2", 66)];
        for (start, first) in starts.into_iter().skip(n % 2).take(if n == 0 { 2 } else { 1 }) {
            let part = ["--start", start, "--duration", "1"];
            let got = places(&shown(&input, &folder, &part), &whole);
            // The time of a frame is rounded in some, and fragments begin with the two frames that B-frames are late.
            let near = |v: &[usize]| (first - 2..=first).any(|f| v.iter().copied().eq(f..f + v.len()));
            assert!((30..=31).contains(&got.len()) && near(&got), "{} {start}: {got:?}", input.display());
            if !sound {
                continue;
            }
            formats.rotate_left(1);
            let format = formats[0];
            let path = folder.join(format!("a.{format}"));
            convert(&input, &path, &[&fast()[..], &part, &["--overwrite"]].concat());
            let start: f64 = start.parse().unwrap();
            assert!((30..=31).contains(&times(&path).len()), "{} {format}", input.display());
            assert!((seconds(&path) - 1.0).abs() < 0.08, "{}: {} s", input.display(), seconds(&path));
            let want: Vec<f64> = onsets(&input).into_iter().map(|t| t - start).collect();
            let got = onsets(&path);
            let is_there = |w: &&f64| **w > 0.01 && **w < 0.95;
            let want: Vec<f64> = want.iter().filter(is_there).copied().collect();
            let got: Vec<f64> = got.iter().filter(is_there).copied().collect();
            let same = got.len() == want.len() && got.iter().zip(&want).all(|(g, w)| (g - w).abs() < exact);
            assert!(same, "{} {format} from {start}: {got:?}, not {want:?}", input.display());
        }
        if input.ends_with("pipe.webm") {
            // As many as there are in that time, though the sound's priming has moved them by 7 ms.
            let path = folder.join("exact.mov");
            convert(&input, &path, &[&fast()[..], &["--start", "1.5", "--duration", "1"]].concat());
            let got = times(&path);
            assert_eq!((got.len(), got[0]), (30, 0.0), "{got:?}");
        }
        if input.ends_with("pipe.webm") || input.ends_with("raw.h264") {
            let none = crate::media::folder("no-index-none");
            let said = refuse(&input, &none.join("a.webm"), &["--start", "60"], 1);
            assert!(said.contains("--start"), "{said}");
        }
    }
}

#[test]
fn a_part_within_a_picture_that_is_shown_for_long_is_that_picture() {
    let folder = folder("slides");
    let input = clip("slides.flv", 4.0, ",fps=1/2", &["-an", "-c:v", "flv"]);
    let path = folder.join("a.webm");
    convert(&input, &path, &[&fast()[..], &["--start", "0.6", "--duration", "1"]].concat());
    assert_eq!(times(&path), [0.0]);
}

#[test]
fn a_part_of_a_pipe_is_cut_out_as_it_is_read() {
    let folder = folder("pipe-part");
    let pipe = fifo(&crate::media::folder("pipe-part-inputs"), "pipe");
    let ts = remux(&plain(), "part.ts", &["-f", "mpegts"]);
    let bytes = std::fs::read(ts).unwrap();
    let to = pipe.clone();
    let writer = std::thread::spawn(move || std::fs::write(to, bytes));
    let path = folder.join("a.webm");
    let part = ["--start", "0.7", "--duration", "1", "--timeout", "20"];
    let out = bgremove(&[&[text(&pipe), text(&path)], &part[..], &quick()].concat());
    let words = said(&out);
    assert!(out.status.success() && words.matches("is no regular file").count() == 1, "{words}");
    // It is not read to its end.
    let _ = writer.join().unwrap();
    assert!((30..=31).contains(&times(&path).len()), "{:?}", times(&path));
    same_beeps(&path, &plain(), 0.7);
}

#[test]
fn what_an_edit_list_shows_is_all_there() {
    let (folder, made) = (folder("edits"), folder("edits-inputs"));
    let source = clip("eight.mp4", 8.0, LOOP, &sparse());
    let whole = shown(&source, &folder, &[]);
    for (n, cut) in ["1.0", "2.5", "2.51", "3.2", "4.7", "6.1"].into_iter().enumerate() {
        let input = made.join(format!("c{cut}.mp4"));
        let from = ["-v", "error", "-ss", cut, "-i", text(&source), "-c", "copy"];
        tool("ffmpeg", &[&from[..], &[text(&input)]].concat());
        // As ffmpeg shows it.
        let want: usize = probe(&input, "v:0", "nb_read_frames").parse().unwrap();
        // Each format has two of the cuts.
        let format = ["mov", "webm", "mp4"][n % 3];
        let path = folder.join(format!("{cut}.{format}"));
        convert(&input, &path, &fast());
        let got = times(&path);
        // Of a cut within a frame the rest of that is shown.
        assert!((want..=want + 1).contains(&got.len()), "{cut} {format}: {} of {want}", got.len());
        assert!((seconds(&path) - seconds(&input)).abs() < 0.05, "{cut} {format}: {}", seconds(&path));
        same_beeps(&path, &input, 0.0);
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

/// A box with this content.
fn boxed(name: &[u8], content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32 + 8).to_be_bytes(), name, content].concat()
}

/// Boxes of an MP4 file whose index comes last, with other edits: length and place in milliseconds (-1 for a pause), and
/// speed.
fn with_edits(boxes: &[u8], edits: &[(u32, i32, f32)]) -> Vec<u8> {
    let u32_at = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let place = |bytes: &[u8], name: &[u8]| bytes.windows(4).position(|w| w == name).unwrap();
    let (mut out, mut at) = (Vec::new(), 0);
    while at + 8 <= boxes.len() {
        let size = u32_at(boxes, at) as usize;
        let (name, mut content) = (&boxes[at + 4..at + 8], boxes[at + 8..at + size].to_vec());
        match name {
            b"moov" => content = with_edits(&content, edits),
            b"mvhd" => {
                let all: u32 = edits.iter().map(|e| e.0).sum();
                content[16..20].copy_from_slice(&all.to_be_bytes());
            }
            b"trak" => {
                let scale = u32_at(&content, place(&content, b"mdhd") + 16);
                let mut list = [0u32.to_be_bytes(), (edits.len() as u32).to_be_bytes()].concat();
                for (length, from, speed) in edits {
                    // What an encoder puts before: two frames, a frame of sound.
                    let media = if *from < 0 { -1 } else { from * (scale as i32 / 1000) + 1024 };
                    list.extend(length.to_be_bytes());
                    list.extend(media.to_be_bytes());
                    list.extend(((speed * 65536.0) as u32).to_be_bytes());
                }
                let old = place(&content, b"edts");
                let size = u32_at(&content, old - 4) as usize;
                content.splice(old - 4..old - 4 + size, boxed(b"edts", &boxed(b"elst", &list)));
            }
            _ => {}
        }
        out.extend(boxed(name, &content));
        at += size;
    }
    out
}

#[test]
fn what_an_edit_list_puts_together_comes_in_its_order() {
    let (folder, made) = (folder("edits-many"), folder("edits-many-inputs"));
    let source = clip("eight.mp4", 8.0, LOOP, &sparse());
    // 15360 ticks a second, which milliseconds do not fit: places are whole seconds.
    let source = std::fs::read(source).unwrap();
    let none = crate::media::folder("edits-many-none");
    for (name, edits) in [
        ("two", &[(2000, 0, 1.0), (2000, 4000, 1.0)][..]),
        ("three", &[(1000, 1000, 1.0), (1000, 3000, 1.0), (1500, 6000, 1.0)]),
        ("pause", &[(1000, 0, 1.0), (500, -1, 1.0), (1000, 2000, 1.0)]),
        ("late", &[(500, -1, 1.0), (3000, 2000, 1.0)]),
        ("early-end", &[(2000, 0, 1.0)]),
        ("back", &[(2000, 4000, 1.0), (2000, 0, 1.0)]),
        ("twice", &[(1000, 1000, 1.0), (1000, 1000, 1.0)]),
        ("slow", &[(4000, 0, 0.5)]),
    ] {
        let input = made.join(format!("{name}.mp4"));
        std::fs::write(&input, with_edits(&source, edits)).unwrap();
        // Refusals come before the format.
        if ["back", "twice", "slow"].contains(&name) {
            let said = refuse(&input, &none.join("a.webm"), &fast(), 1);
            assert!(said.contains("edit list") && said.contains("ffmpeg -i IN"), "{name}: {said}");
            continue;
        }
        for format in ["mov", "webm"] {
            let path = folder.join(format!("{name}.{format}"));
            convert(&input, &path, &fast());
            // ffmpeg is no help here: it shows whole packets at the ends of pieces.
            let (mut at, mut want, mut beeps) = (0, 0, Vec::new());
            for (length, from, _) in edits.iter().map(|e| (e.0 as i32, e.1, e.2)) {
                if from >= 0 {
                    want += length as usize * 30 / 1000;
                    let here = (0..8).map(|n| n * 1000 + 500).filter(|b| (from..from + length).contains(b));
                    beeps.extend(here.map(|b| f64::from(at + b - from) / 1000.0));
                }
                at += length;
            }
            let got = times(&path).len();
            // Of a cut within a frame the rest of that is shown.
            assert!((want..=want + edits.len()).contains(&got), "{name} {format}: {got} of {want}");
            // ffmpeg counts from where the file's first stream begins.
            let starts = ["v:0", "a"].map(|s| probe(&path, s, "start_time").parse::<f64>().unwrap());
            let start = starts[0].min(starts[1]).max(0.0);
            let heard: Vec<f64> = onsets(&path).into_iter().map(|t| t + start).collect();
            let near = |(a, b): (&f64, &f64)| (a - b).abs() < 0.034;
            let same = heard.len() == beeps.len() && heard.iter().zip(&beeps).all(near);
            assert!(same, "{name} {format}: {heard:?}, not {beeps:?}");
            let whole: f64 = edits.iter().map(|e| f64::from(e.0) / 1000.0).sum();
            let begin = if edits[0].1 < 0 { 0.5 } else { 0.0 };
            let ends = times(&path).last().unwrap() + 1.0 / FPS;
            assert!((ends - whole).abs() < 0.07 || (ends - whole + begin).abs() < 0.07, "{name}: {ends} s");
        }
    }
}

/// What an edit list hides must not be seen where a part begins.
#[test]
fn a_part_that_begins_in_a_pause_shows_nothing_that_is_hidden() {
    let (folder, made) = (folder("edits-pause"), folder("edits-pause-inputs"));
    let source = clip("eight.mp4", 8.0, LOOP, &sparse());
    let whole = shown(&source, &folder, &[]);
    let source = std::fs::read(source).unwrap();
    // The first frame that is to come (places are those of `with_edits`, a little before), and how many at most.
    for (name, edits, more, first, most) in [
        ("late", &[(500, -1, 1.0), (3000, 2000, 1.0)][..], &["--duration", "2"][..], 59, 46),
        (
            "pause",
            &[(1000, 0, 1.0), (500, -1, 1.0), (1000, 2000, 1.0)],
            &["--start", "1.2", "--duration", "1"],
            59,
            22,
        ),
    ] {
        let input = made.join(format!("{name}.mp4"));
        std::fs::write(&input, with_edits(&source, edits)).unwrap();
        let got = places(&shown(&input, &folder, more), &whole);
        // Where the clip begins anew, its frames are hard to tell apart.
        assert_eq!(got[0] % 120, first, "{name}: {got:?}");
        assert!((most - 2..=most).contains(&got.len()), "{name}: {got:?}");
    }
}
