//! What people's files are like: turned, uneven in time, interlaced, odd, deep, or broken.

use crate::media::*;
use crate::quick::quick;
use std::path::{Path, PathBuf};

fn size(path: &Path) -> (usize, usize) {
    let number = |what| probe(path, "v:0", what).parse().unwrap();
    (number("width"), number("height"))
}

/// How far two pictures of the same size are apart where the subject is opaque.
fn apart(cut: &Frame, whole: &Frame) -> f64 {
    let seen: Vec<_> = cut.chunks_exact(4).zip(whole.chunks_exact(4)).filter(|(c, _)| c[3] == 255).collect();
    assert!(seen.len() > 500, "only {} pixels are there", seen.len());
    seen.iter().map(|(c, w)| f64::from(c[1].abs_diff(w[1]))).sum::<f64>() / seen.len() as f64
}

#[test]
fn phone_video_comes_out_upright() {
    let folder = folder("turned");
    let (w, h) = (160, 90);
    let source = clip("small.mp4", 1.0, ",scale=160:90", &H264);
    for (turn, format) in [("90", "webm"), ("180", "mov"), ("270", "webm")] {
        let input = turned(&source, turn);
        let path = folder.join(format!("{turn}.{format}"));
        convert(&input, &path, &[]);
        let turned = turn != "180";
        assert_eq!(size(&path), if turned { (h, w) } else { (w, h) });
        let streams = String::from_utf8(tool("ffprobe", &["-v", "error", "-show_streams", text(&path)]));
        assert!(!streams.unwrap().contains("rotation="), "it is turned twice");
        // As ffmpeg shows the input, which heeds the turn.
        let (got, shown) = (frames(&path), frames_turned(&input, w * h * 4));
        assert_eq!((got.len(), shown.len()), (30, 30), "{turn} {format}");
        assert!(apart(&got[15], &shown[15]) < 12.0, "{turn} {format}");
        same_beeps(&path, &input, 0.0);
    }
}

/// A copy that says that it is to be turned, by so many degrees clockwise: the matrix of its first track (ISO/IEC 14496-12,
/// 8.3.2), for which ffmpegs have different options.
fn turned(source: &Path, turn: &str) -> PathBuf {
    let mut bytes = std::fs::read(source).unwrap();
    let track = bytes.windows(4).position(|w| w == b"tkhd").unwrap() + 4;
    let [a, b, c, d] = match turn {
        "90" => [0, 1, -1, 0],
        "180" => [-1, 0, 0, -1],
        _ => [0, -1, 1, 0],
    };
    let matrix = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30];
    for (place, value) in bytes[track + 40..].chunks_exact_mut(4).zip(matrix) {
        place.copy_from_slice(&i32::to_be_bytes(value));
    }
    let path = source.with_file_name(format!("{}-turned-{turn}.mp4", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Frames of a turned clip, of so many bytes; ffprobe tells the size before the turn.
fn frames_turned(path: &Path, size: usize) -> Vec<Frame> {
    let bytes = tool(
        "ffmpeg",
        &["-v", "error", "-i", path.to_str().unwrap(), "-f", "rawvideo", "-pix_fmt", "rgba", "-"],
    );
    bytes.chunks_exact(size).map(<[u8]>::to_vec).collect()
}

#[test]
fn variable_frame_rate_keeps_its_times() {
    let folder = folder("vfr");
    let filter = ",select='not(mod(n,7))+not(mod(n,5))+eq(n,3)'";
    let input = clip("vfr.mp4", 2.0, filter, &[&["-vsync", "vfr"], &SILENT_H264[..]].concat());
    let want = times(&input);
    assert!(want.len() > 15);
    let steps: std::collections::BTreeSet<_> =
        want.windows(2).map(|w| ((w[1] - w[0]) * 30.0).round() as i32).collect();
    assert!(steps.len() > 2, "the clip is not uneven: {steps:?}");
    let clip = silent();
    for (name, exact, more) in [
        ("a.webm", 0.001, &[][..]),
        ("a.mov", 0.001, &[]),
        ("a.mp4", 0.001, &["--background", "white"]),
        ("behind.mp4", 0.001, &["--background", clip.to_str().unwrap()]),
        ("a.gif", 0.0051, &[]),
    ] {
        let path = folder.join(name);
        convert(&input, &path, &[&quick()[..], more].concat());
        let got = times(&path);
        assert_eq!(got.len(), want.len(), "{name}");
        for (got, want) in got.iter().zip(&want) {
            assert!((got - want).abs() <= exact, "{name}: {got} s, not {want} s");
        }
    }
}

#[test]
fn ten_bits_finer_chroma_and_grey_come_out_as_they_were() {
    let folder = folder("deep");
    for format in ["yuv420p10le", "yuv422p10le", "yuv422p", "yuv444p", "yuv444p10le", "gray"] {
        let options = [&["-pix_fmt", format], &SILENT_H264[..]].concat();
        let input = clip(&format!("{format}.mp4"), 0.3, "", &options);
        let path = folder.join(format!("{format}.webm"));
        convert(&input, &path, &[]);
        let (cut, whole) = (frames(&path), frames(&input));
        assert_eq!(cut.len(), 9, "{format}");
        assert!(apart(&cut[8], &whole[8]) < 10.0, "{format}: {}", apart(&cut[8], &whole[8]));
    }
}

#[test]
fn an_odd_size_stays_odd_but_in_mp4() {
    let folder = folder("odd");
    let input =
        clip("odd.mkv", 0.5, ",scale=161:119,setsar=1", &["-an", "-c:v", "ffv1", "-pix_fmt", "yuv444p"]);
    for format in ["webm", "mov", "gif"] {
        let path = folder.join(format!("a.{format}"));
        convert(&input, &path, &quick()[2..]);
        assert_eq!(size(&path), (161, 119), "{format}");
    }
    // H.264 in 4:2:0 has no odd sizes: a row and a column go.
    let path = folder.join("a.mp4");
    convert(&input, &path, &[&quick()[2..], &["--background", "white"]].concat());
    assert_eq!(size(&path), (160, 118));
    assert_eq!(times(&path).len(), 15);
}

#[test]
fn interlaced_video_is_deinterlaced() {
    let folder = folder("interlaced");
    // Woven from a fast pan, so that the fields differ.
    let input = clip(
        "interlaced.mp4",
        1.0,
        ",scale=640:360,crop=320:180:120+100*sin(t*3):20,interlace",
        &[&["-flags", "+ildct+ilme", "-x264opts", "tff=1"], &SILENT_H264[..]].concat(),
    );
    assert_eq!(probe(&input, "v:0", "field_order"), "tt");
    let combs = |frames: &[Frame]| -> f64 {
        // Rows that differ from both neighbours in the same direction.
        let at = |f: &Frame, x: usize, y: usize| i32::from(f[(y * WIDTH + x) * 4 + 1]);
        let f = &frames[10];
        let all = (1..HEIGHT - 1).flat_map(|y| (0..WIDTH).map(move |x| (x, y)));
        let comb = |(x, y): &(usize, usize)| {
            let (up, here, down) = (at(f, *x, y - 1), at(f, *x, *y), at(f, *x, y + 1));
            (here - up > 10 && here - down > 10) || (up - here > 10 && down - here > 10)
        };
        let there = |(x, y): &(usize, usize)| f[(y * WIDTH + x) * 4 + 3] > 200;
        let seen = all.clone().filter(there).count();
        assert!(seen > 1000, "only {seen} pixels are there");
        all.filter(there).filter(comb).count() as f64 / seen as f64
    };
    let before = combs(&frames(&input));
    for (format, more) in [("webm", &[][..]), ("mp4", &["--background", "blur"])] {
        let path = folder.join(format!("a.{format}"));
        convert(&input, &path, more);
        assert_eq!(times(&path).len(), times(&input).len(), "{format}: a frame for a frame");
        let after = combs(&frames(&path));
        println!("{format}: combs {before:.4} before, {after:.4} after");
        assert!(after < before * 0.5, "{format}: combs {before:.4} before, {after:.4} after");
        let order = probe(&path, "v:0", "field_order");
        assert!(["progressive", "unknown"].contains(&order.as_str()), "{order}");
    }
}

#[test]
fn pixels_that_are_not_square_stay_so_or_are_made_square() {
    let folder = folder("anamorphic");
    let input = clip("pal.mp4", 0.3, ",setsar=16/11", &SILENT_H264);
    let path = folder.join("a.webm");
    convert(&input, &path, &quick()[2..]);
    assert_eq!(size(&path), (WIDTH, HEIGHT));
    // WebM tells the size that it is shown at, in whole pixels: 465 × 180.
    assert_eq!(probe(&path, "v:0", "sample_aspect_ratio"), "93:64");
    let path = folder.join("a.gif");
    convert(&input, &path, &quick()[2..]);
    assert_eq!(size(&path), (465, HEIGHT));
}

#[test]
fn hdr_is_refused_or_made_ordinary() {
    let folder = folder("hdr");
    let options = |transfer| {
        [
            "-an",
            "-c:v",
            "libx264",
            "-pix_fmt",
            "yuv420p10le",
            "-color_primaries",
            "bt2020",
            "-colorspace",
            "bt2020nc",
            "-color_trc",
            transfer,
        ]
    };
    // Newer ffmpegs write what the frames say, older ones what the options do.
    let params = |transfer: &str| {
        let colors = "color_primaries=bt2020:colorspace=bt2020nc";
        format!(",format=yuv420p10le,setparams={colors}:color_trc={transfer}")
    };
    let pq = clip("pq.mp4", 0.3, &params("smpte2084"), &options("smpte2084"));
    let said = refuse(&pq, &folder.join("a.webm"), &[], 1);
    assert!(said.contains("HDR") && said.contains("ffmpeg -i") && said.trim().lines().count() == 1, "{said}");
    let hlg = clip("hlg.mp4", 0.3, &params("arib-std-b67"), &options("arib-std-b67"));
    let path = folder.join("a.mov");
    convert(&hlg, &path, &quick());
    assert_ne!(probe(&path, "v:0", "color_transfer"), "arib-std-b67", "it must not be shown as HDR");
    assert_eq!(times(&path).len(), 9);
}

#[test]
fn sound_that_begins_late_ends_early_or_is_not_there_is_as_it_was() {
    let folder = folder("sound");
    let source = plain();
    let source = text(&source);
    let late = folder.join("late.mkv");
    let both = ["-v", "error", "-i", source, "-itsoffset", "0.8", "-i", source, "-map", "0:v", "-map", "1:a"];
    tool("ffmpeg", &[&both[..], &["-c", "copy", text(&late)]].concat());
    let short = clip("short.mp4", 2.0, "", &["-af", "atrim=0:0.7", "-c:v", "libx264", "-preset", "veryfast"]);
    for (input, name) in [(&late, "late"), (&short, "short")] {
        for (format, more) in [("webm", &[][..]), ("mov", &[]), ("mp4", &["--background", "red"])] {
            let path = folder.join(format!("{name}.{format}"));
            convert(input, &path, &[&quick()[..], more, &["--timeout", "20"]].concat());
            assert_eq!(times(&path).len(), 60, "{name} {format}");
            same_beeps(&path, input, 0.0);
        }
    }
    // It is over before the part begins: what waits for it would wait for ever.
    let over = folder.join("over.mkv");
    tool("ffmpeg", &["-v", "error", "-i", text(&short), "-c", "copy", text(&over)]);
    for (format, more) in [("webm", &[][..]), ("mov", &[]), ("mp4", &["--background", "red"])] {
        let path = folder.join(format!("over.{format}"));
        convert(&over, &path, &[&quick()[..], more, &["--start", "1", "--timeout", "20"]].concat());
        // Matroska's times are whole milliseconds: the first frame may be that before.
        assert!((30..=31).contains(&times(&path).len()), "{format}: {:?}", times(&path));
    }
    let path = folder.join("silent.webm");
    convert(&silent(), &path, &quick());
    assert!(!has_sound(&path));
    let path = folder.join("dropped.mp4");
    convert(&plain(), &path, &[&quick()[..], &["--background", "red", "--audio", "drop"]].concat());
    assert!(!has_sound(&path));
}

#[test]
fn what_is_no_video_is_refused_in_a_line() {
    let folder = folder("broken");
    let source = std::fs::read(plain()).unwrap();
    let made = crate::media::folder("broken-inputs");
    let file = |name: &str, bytes: &[u8]| {
        std::fs::write(made.join(name), bytes).unwrap();
        made.join(name)
    };
    let sound = made.join("sound.m4a");
    tool("ffmpeg", &["-v", "error", "-i", text(&plain()), "-vn", "-c", "copy", text(&sound)]);
    for (input, why) in [
        (made.join("nowhere.mp4"), "no such file"),
        (made.clone(), "folder"),
        (file("empty.mp4", b""), "empty"),
        (
            file("text.mp4", b"no video at all, but a letter"),
            "no video file that GStreamer knows, or its start is damaged (GStreamer's",
        ),
        (file("cut.mp4", &source[..9_000]), "damaged or break off"),
        (sound, "sound but no video"),
    ] {
        let said = refuse(&input, &folder.join("a.webm"), &["--timeout", "20"], 1);
        assert!(said.contains(why) && said.contains(input.to_str().unwrap()), "{}: {said}", input.display());
        assert_eq!(said.trim().lines().count(), 1, "{said}");
    }
}

/// What cannot be read says that it may be damaged, what GStreamer says of it, and what may help.
#[test]
fn damaged_files_are_told_of_in_words() {
    let (folder, made) = (folder("damaged"), crate::media::folder("damaged-inputs"));
    let source = silent();
    let make = |name: &str, options: &[&str]| {
        let path = made.join(name);
        let input = ["-v", "error", "-y", "-i", source.to_str().unwrap()];
        tool("ffmpeg", &[&input[..], options, &[path.to_str().unwrap()]].concat());
        std::fs::read(path).unwrap()
    };
    let write = |name: &str, bytes: Vec<u8>| {
        std::fs::write(made.join(name), bytes).unwrap();
        made.join(name)
    };
    // A picture whose data is noise from the first byte on.
    let mut picture = make("whole.png", &["-frames:v", "1"]);
    let data = picture.windows(4).position(|w| w == b"IDAT").unwrap() + 4;
    picture[data..].iter_mut().enumerate().for_each(|(n, b)| *b ^= n as u8 | 1);
    // Matroska frames without a single whole one; their headers stay.
    let mut frames =
        make("whole.mkv", &["-c:v", "libvpx", "-threads", "1", "-deadline", "realtime", "-frames:v", "5"]);
    let cluster = frames.windows(4).position(|w| w == [0x1F, 0x43, 0xB6, 0x75]).unwrap() + 40;
    frames[cluster..].iter_mut().for_each(|b| *b = 0xFF);
    // GStreamer's words are not asked for: its decodebin loses those of decoders now and then.
    for input in [write("noise.png", picture), write("frames.mkv", frames)] {
        let said = refuse(&input, &folder.join("a.webm"), &["--timeout", "20"], 1);
        // libpng prints lines of its own.
        let said = said.lines().last().unwrap();
        let wanted = [input.to_str().unwrap(), "may be damaged or break off", "ffmpeg -i IN OUT.mkv"];
        assert!(wanted.iter().all(|w| said.contains(w)), "{}: {said}", input.display());
    }
    let picture = write("whole.jpg", make("whole.jpg", &["-frames:v", "1"]));
    let said = refuse(&picture, &folder.join("a.webm"), &["--start", "0.1"], 1);
    assert!(said.contains("--start and --duration") && said.contains("leave them out"), "{said}");
}

/// Some encoders and muxers go on with another size in silence, and what comes out cannot be played.
#[test]
fn frames_that_change_their_size_are_refused_or_brought_to_one() {
    let (folder, made) = (folder("changing"), crate::media::folder("changing-inputs"));
    let part = |name: &str, size: &str| {
        let path = made.join(name);
        let filter = format!("scale={size},setsar=1");
        let options = ["-frames:v", "10", "-vf", &filter, "-c:v", "libx264", "-preset", "veryfast"];
        let input = ["-v", "error", "-y", "-i"];
        tool("ffmpeg", &[&input[..], &[text(&silent())], &options, &[text(&path)]].concat());
        std::fs::read(path).unwrap()
    };
    let input = made.join("both.ts");
    std::fs::write(&input, [part("a.ts", "160:120"), part("b.ts", "200:150")].concat()).unwrap();
    // Before every encoder: a file and a folder show it.
    for format in ["webm", "png"] {
        let said = refuse(&input, &folder.join(format!("a.{format}")), &quick()[2..], 1);
        let wanted = ["from 160x120 to 200x150", "give --size 160x120"];
        assert!(wanted.iter().all(|w| said.contains(w)), "{format}: {said}");
    }
    for format in ["webm", "mov", "mp4"] {
        let path = folder.join(format!("a.{format}"));
        let more = ["--background", "red", "--size", "160x120"];
        convert(&input, &path, &[&quick()[2..], &more].concat());
        assert_eq!(size(&path), (160, 120), "{format}");
        assert_eq!(times(&path).len(), 20, "{format}");
    }
}

#[test]
fn sound_of_more_channels_than_the_format_takes_is_refused() {
    let (folder, made) = (folder("channels"), crate::media::folder("channels-inputs"));
    let input = made.join("sixteen.mkv");
    let to = text(&input);
    let options = ["-frames:v", "10", "-shortest", "-c:v", "copy", "-c:a", "pcm_s16le", "-ac", "16", to];
    tool("ffmpeg", &[&["-v", "error", "-i", text(&plain())][..], &options].concat());
    for format in ["webm", "mp4"] {
        let path = folder.join(format!("a.{format}"));
        let more = [&quick()[..], &["--background", "red"]].concat();
        let said = refuse(&input, &path, &more, 1);
        assert!(said.contains("16 channels") && said.contains("--audio drop"), "{format}: {said}");
        convert(&input, &path, &[&more[..], &["--audio", "drop"]].concat());
        assert_eq!((times(&path).len(), has_sound(&path)), (10, false), "{format}");
        std::fs::remove_file(path).unwrap();
    }
    // All of them.
    let path = folder.join("a.mov");
    convert(&input, &path, &quick());
    assert_eq!(probe(&path, "a", "channels"), "16");
}

/// A decoder that GStreamer lacks is named; sound is not left out in silence.
#[test]
fn a_missing_decoder_is_named() {
    let folder = folder("missing");
    let without = |decoders: &[&str], input: &Path, output: &str| {
        let ranks: Vec<String> = decoders.iter().map(|d| format!("{d}:NONE")).collect();
        std::process::Command::new(env!("CARGO_BIN_EXE_bgremove"))
            .args(["convert".as_ref(), input, folder.join(output).as_path()])
            .args(quick())
            .env("GST_PLUGIN_FEATURE_RANK", ranks.join(","))
            .output()
            .unwrap()
    };
    let video = ["avdec_h264", "openh264dec", "vah264dec", "nvh264dec", "v4l2h264dec"];
    let out = without(&video, &silent(), "a.webm");
    let text = said(&out);
    assert_eq!(out.status.code(), Some(1), "{text}");
    assert!(text.contains("H.264") && text.contains("gstreamer1.0-libav"), "{text}");
    // Also where there is sound that can be decoded.
    let out = without(&video, &plain(), "a.webm");
    let text = said(&out);
    assert_eq!(out.status.code(), Some(1), "{text}");
    let wanted = ["no H.264", "gstreamer1.0-libav"];
    assert!(wanted.iter().all(|w| text.contains(w)) && !text.contains("ffmpeg"), "{text}");
    let sound = ["avdec_aac", "avdec_aac_fixed", "avdec_aac_latm", "faad", "fdkaacdec"];
    let out = without(&sound, &plain(), "b.webm");
    let text = said(&out);
    assert_eq!(out.status.code(), Some(0), "{text}");
    assert!(text.contains("AAC") && text.contains("left out"), "{text}");
    assert!(!has_sound(&folder.join("b.webm")));
}

#[test]
fn a_picture_becomes_a_video_of_one_frame() {
    let folder = folder("picture");
    for (name, format, more) in [
        ("picture.jpg", "webm", &[][..]),
        ("picture.png", "webm", &[]),
        ("picture.jpg", "mov", &[]),
        ("picture.jpg", "mp4", &["--background", "#00b140"]),
        // 1.22's videorate aborts the process at a frame that lasts no time.
        ("picture.png", "gif", &["--fps", "10"]),
    ] {
        let (input, path) = (folder.join(name), folder.join(format!("{name}.{format}")));
        tool("ffmpeg", &["-v", "error", "-y", "-i", text(&plain()), "-frames:v", "1", text(&input)]);
        convert(&input, &path, &[&quick()[..], more].concat());
        assert_eq!(probe(&path, "v:0", "nb_read_frames"), "1", "{name} to {format}");
    }
}

/// h264parse takes lengths from the rate, and there is none here.
#[test]
fn the_only_frame_of_a_part_is_seen_as_long_as_in_the_input() {
    let folder = folder("only-frame");
    let options = ["-fps_mode", "passthrough", "-c:v", "libx264", "-pix_fmt", "yuv420p"];
    let slides = clip("slides.mkv", 30.0, ",trim=end_frame=3,setpts=N*10/TB", &options);
    let out = folder.join("a.mp4");
    convert(
        &slides,
        &out,
        &[&quick()[..], &["--start", "13", "--duration", "2", "--background", "black"]].concat(),
    );
    assert_eq!(probe(&out, "v:0", "nb_read_frames"), "1");
    let length: f64 = probe(&out, "v:0", "duration").parse().unwrap();
    assert!((length - 2.0).abs() < 0.05, "{length}");
}

/// A clock that jumps is no reason to refuse a file; what GStreamer loses by it is told, with a command that helps.
#[test]
fn transport_streams_whose_clock_jumps_are_converted_and_what_is_lost_is_told() {
    let (folder, made) = (folder("clock"), crate::media::folder("clock-inputs"));
    let path = |name: &str| made.join(name);
    let small = [&quick()[..], &["--timeout", "20", "--overwrite"]].concat();
    let run = |input: &Path, more: &[&str]| {
        let out = folder.join("a.mov");
        let all = [&[input.to_str().unwrap(), out.to_str().unwrap()], &small[..], more].concat();
        let done = bgremove(&all);
        assert!(done.status.success(), "{}: {}", input.display(), said(&done));
        (times(&out), onsets(&out), said(&done))
    };
    // Two recordings in one file, of which the second has a later clock: nothing is lost, and nothing is said.
    let ts = |offset| std::fs::read(remux(&plain(), "clock.ts", &["-output_ts_offset", offset])).unwrap();
    std::fs::write(path("both.ts"), [ts("0"), ts("100")].concat()).unwrap();
    let (frames, beeps, words) = run(&path("both.ts"), &[]);
    assert_eq!((frames.len(), beeps.len()), (120, 4), "{words}");
    assert!(!words.contains("convert/clock"), "{words}");
    // A picture that stands while the sound goes on.
    let filter = ",select='not(between(n,75,119))'";
    let options = [&["-fps_mode", "vfr"], &H264[..]].concat();
    let gap = clip("clock-gap.ts", 6.0, &[LOOP, filter].concat(), &options);
    let (frames, _, words) = run(&gap, &[]);
    assert_eq!(frames.len(), 135);
    let wanted =
        ["warning: after 2.", "stands still for 1.5", "-map 0:v -map 0:a? -c copy", "(convert/clock)"];
    assert!(wanted.iter().all(|w| words.contains(w)), "{words}");
    // Which is not asked for.
    assert!(!run(&gap, &["--duration", "1.5"]).2.contains("convert/clock"));
    // What it says helps.
    let other = path("other.mkv");
    let maps = ["-map", "0:v", "-map", "0:a?", "-c", "copy", other.to_str().unwrap()];
    tool("ffmpeg", &[&["-v", "error", "-i", gap.to_str().unwrap()], &maps[..]].concat());
    let (frames, beeps, words) = run(&other, &[]);
    assert!(!words.contains("convert/clock"), "{words}");
    assert_eq!((frames.len(), beeps.len()), (135, 6));
    assert!(frames.windows(2).any(|w| (w[1] - w[0] - 1.533).abs() < 0.02), "{frames:?}");
    // Packets that were never received: the rest comes, and it is said.
    let whole = std::fs::read(clip("clock.ts", 6.0, LOOP, &options)).unwrap();
    let packets = whole.len() / 188;
    let lost = [&whole[..packets * 2 / 5 * 188], &whole[packets * 3 / 5 * 188..]].concat();
    std::fs::write(path("lost.ts"), lost).unwrap();
    let (frames, _, words) = run(&path("lost.ts"), &[]);
    assert!(frames.len() > 120, "{}", frames.len());
    assert!(words.contains("are missing") && words.contains("(convert/clock)"), "{words}");
}

/// ffmpeg from 7 on writes how much that is, for Matroska of any codec.
#[test]
fn what_an_encoder_put_before_the_sound_is_taken_off() {
    let folder = folder("codec-delay");
    let plain = remux(&plain(), "delay-none.mkv", &[]);
    let mut bytes = std::fs::read(&plain).unwrap();
    // In place of the second track's random number (TrackUID), which nobody needs, as many bytes that tell the delay.
    let uid = [0x73, 0xc5, 0x88];
    let at = bytes.windows(3).enumerate().filter(|(_, b)| *b == uid).nth(1).unwrap().0;
    let delay = [&[0x56, 0xaa, 0x88][..], &(1024u64 * 1_000_000_000 / 48_000).to_be_bytes()].concat();
    bytes[at..at + 11].copy_from_slice(&delay);
    let late = folder.join("delay.mkv");
    std::fs::write(&late, bytes).unwrap();
    let heard = |input: &Path, more: &[&str]| {
        let out = folder.join("a.mov");
        convert(input, &out, &[&quick()[..], &["--overwrite"], more].concat());
        onsets(&out)
    };
    let (with, without) = (heard(&late, &[]), heard(&plain, &[]));
    let apart = |a: &[f64], b: &[f64]| {
        assert!(a.len() == b.len() && !a.is_empty(), "{a:?} {b:?}");
        a.iter().zip(b).map(|(a, b)| b - a).collect::<Vec<_>>()
    };
    for off in apart(&with, &without) {
        assert!((off - 0.0213).abs() < 0.001, "{with:?} {without:?}");
    }
    for end in [&[][..], &["--duration", "0.5"]] {
        let part: Vec<f64> =
            heard(&late, &[&["--start", "0.3"], end].concat()).iter().map(|t| t + 0.3).collect();
        for off in apart(&part, &with[..part.len()]) {
            assert!(off.abs() < 0.002, "{with:?} {part:?}");
        }
    }
    // Of the last part, which ends.
    let length: f64 = probe(&folder.join("a.mov"), "a:0", "duration").parse().unwrap();
    assert!((length - 0.5).abs() < 0.005, "{length}");
}

/// Of sound that may come later nothing is said where none is kept.
#[test]
fn what_begins_before_nought_is_told_where_sound_is_kept() {
    let folder = folder("before-nought");
    let input = remux(&plain(), "before.mkv", &["-avoid_negative_ts", "disabled"]);
    for (name, more, told) in
        [("a.webm", &[][..], true), ("b.webm", &["--audio", "drop"], false), ("a.gif", &[], false)]
    {
        let out = folder.join(name);
        let all = [&[input.to_str().unwrap(), out.to_str().unwrap()], &quick()[..], more].concat();
        let done = bgremove(&all);
        assert!(
            done.status.success() && said(&done).contains("before its nought") == told,
            "{}",
            said(&done)
        );
    }
}
