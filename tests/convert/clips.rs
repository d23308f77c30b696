//! Clips as people have them, each with something that tools of this kind stumble over.

use crate::formats::webp_frames;
use crate::media::*;
use crate::quick::quick;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

/// Frames of a file that a foreign decoder can decode, and what it complains of.
fn decoded(path: &Path) -> (usize, String) {
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-i", path.to_str().unwrap(), "-map", "0:v:0", "-fps_mode", "passthrough"])
        .args(["-f", "framemd5", "-"])
        .output()
        .unwrap();
    let frames = String::from_utf8_lossy(&out.stdout).lines().filter(|l| !l.starts_with('#')).count();
    (frames, String::from_utf8_lossy(&out.stderr).into_owned())
}

#[test]
fn mp4_needs_no_folder_for_temporary_files() {
    let folder = folder("no-tmp");
    let path = folder.join("a.mp4");
    let out = Command::new(env!("CARGO_BIN_EXE_bgremove"))
        .args(["convert", silent().to_str().unwrap(), path.to_str().unwrap(), "--background", "white"])
        .args(["--timeout", "20", "--model", "light"])
        .env("TMPDIR", "/no/such/folder")
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", said(&out));
    assert_eq!(files(&folder), ["a.mp4"]);
    assert_eq!(probe(&path, "v:0", "nb_read_frames"), "30");
    // The index comes first all the same.
    let bytes = std::fs::read(&path).unwrap();
    let at = |what: &[u8]| bytes.windows(4).position(|w| w == what).unwrap();
    assert!(at(b"moov") < at(b"mdat"));
}

/// A file system of so many kilobytes, for as long as it is there; none where it may not be made.
struct Small(PathBuf);

impl Small {
    fn mount(path: &Path, kilobytes: u32, options: &str) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let size = format!("size={kilobytes}k{options}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).output();
        mount.is_ok_and(|out| out.status.success()).then(|| Self(path.into()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn no_format_needs_room_for_temporary_files() {
    let (out, temp) = (folder("small-tmp-out"), folder("small-tmp"));
    let (full, read_only) = (temp.join("full"), temp.join("read-only"));
    let mounts = [Small::mount(&full, 4, ""), Small::mount(&read_only, 4, ",ro")];
    if mounts.iter().any(Option::is_none) {
        use std::os::unix::fs::PermissionsExt;
        for path in [&full, &read_only] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o555)).unwrap();
        }
    }
    let _ = std::fs::write(full.join("filling"), [0; 8192]);
    for (place, names) in [
        (&full, &["a.webm", "a.mov", "a.mp4", "a.gif", "a.webp", "a.png"][..]),
        (&read_only, &["a.mov", "a.mp4"]),
    ] {
        for name in names {
            let done = Command::new(env!("CARGO_BIN_EXE_bgremove"))
                .args(["convert", plain().to_str().unwrap(), out.join(name).to_str().unwrap()])
                .args(["--background", "white", "--overwrite", "--timeout", "20"])
                .args(quick())
                .env("TMPDIR", place)
                .output()
                .unwrap();
            assert!(done.status.success(), "{name} with {}: {}", place.display(), said(&done));
        }
    }
}

#[test]
fn a_full_disk_is_named_and_not_the_input() {
    let input = clip("noisy.mp4", 4.0, ",noise=alls=60:allf=t", &SILENT_H264);
    let place = folder("small-out");
    // Room for a part of the result, and for mp4 for the whole, but not for a second copy of it.
    for (name, kilobytes) in [("a.mov", 40), ("a.mp4", 24), ("a.mp4", 60), ("a.png", 40)] {
        let Some(_mounted) = Small::mount(&place, kilobytes, "") else {
            crate::skip::skip("a_full_disk_is_named_and_not_the_input", "no small disk can be mounted");
            return;
        };
        let more = ["--background", "white", "--timeout", "20"];
        let said = refuse(&input, &place.join(name), &[&more[..], &quick()[2..]].concat(), 1);
        let folder = format!("cannot be written into {}", place.display());
        assert!(said.contains(&folder) && said.contains("make room there"), "{name}: {said}");
        assert!(!said.contains("damaged"), "{name}: {said}");
    }
}

#[test]
fn any_name_will_do_that_the_disk_takes() {
    let folder = folder("names");
    let longest = folder.join(format!("{}.webm", "n".repeat(250)));
    convert(&silent(), &longest, &quick());
    assert!(longest.is_file());
    std::fs::remove_file(&longest).unwrap();
    let longer = folder.join(format!("{}.webm", "n".repeat(251)));
    let said = refuse(&silent(), &longer, &[], 2);
    assert!(said.contains("choose a shorter one"), "{said}");
}

#[test]
fn a_link_is_seen_before_the_work_and_replaced_when_asked() {
    let folder = folder("links");
    let (link, nowhere) = (folder.join("a.webm"), folder.join("elsewhere.webm"));
    symlink(&nowhere, &link).unwrap();
    let run = |more: &[&str]| {
        bgremove(&[&[silent().to_str().unwrap(), link.to_str().unwrap()], &quick()[..], more].concat())
    };
    let out = run(&[]);
    assert_eq!(out.status.code(), Some(2));
    assert!(said(&out).contains("leads nowhere"), "{}", said(&out));
    let out = run(&["--overwrite"]);
    assert!(out.status.success(), "{}", said(&out));
    assert!(link.symlink_metadata().unwrap().is_file() && !nowhere.exists());
    // What a link leads to stays as it is.
    std::fs::write(&nowhere, "mine").unwrap();
    std::fs::remove_file(&link).unwrap();
    symlink(&nowhere, &link).unwrap();
    assert!(run(&["--overwrite"]).status.success());
    assert_eq!(std::fs::read_to_string(&nowhere).unwrap(), "mine");
    assert!(link.symlink_metadata().unwrap().is_file());
}

#[test]
fn what_a_killed_run_leaves_goes_with_the_next_one() {
    let folder = folder("killed");
    let input = clip("long.mp4", 30.0, ",loop=loop=10:size=110", &SILENT_H264);
    for format in ["mp4", "png"] {
        let output = folder.join(format!("a.{format}"));
        // A run that has begun to write its part, and the part's name.
        let start = |other: &str| {
            let mut tool = Command::new(env!("CARGO_BIN_EXE_bgremove"));
            tool.args(["convert", text(&input), text(&output), "--background", "blur", "--model", "light"]);
            let child = tool.spawn().unwrap();
            let is_new = |n: &String| n.ends_with(".part") && n != other && is_begun(&folder, n);
            let begin = Instant::now();
            let part = loop {
                if let Some(part) = files(&folder).into_iter().find(is_new) {
                    break part;
                }
                assert!(begin.elapsed() < Duration::from_secs(60), "it does not begin");
                std::thread::sleep(Duration::from_millis(20));
            };
            (child, part)
        };
        let other = |more: &[&str]| {
            let path = folder.join("b.webm");
            let out = bgremove(&[&[text(&silent()), text(&path)], &quick()[..], more].concat());
            assert!(out.status.success(), "{}", said(&out));
            said(&out)
        };
        // What has just been written to is nobody's yet.
        let age = || {
            for part in files(&folder).iter().filter(|n| n.contains(".part")) {
                let part = std::fs::File::open(folder.join(part)).unwrap();
                part.set_modified(SystemTime::now() - Duration::from_secs(10)).unwrap();
            }
        };
        let (mut alive, living) = start("");
        // It stands still, and holds its part all the same.
        // SAFETY: the child is not waited for yet, so the number is still its own.
        unsafe { libc::kill(alive.id() as i32, libc::SIGSTOP) };
        let (mut dead, left) = start(&living);
        dead.kill().unwrap();
        dead.wait().unwrap();
        age();
        let told = other(&[]);
        assert!(told.contains("unfinished parts"), "{format}: {told}");
        let there = files(&folder);
        assert!(there.contains(&living) && !there.contains(&left), "{format}: {there:?}, {living} lives");
        alive.kill().unwrap();
        alive.wait().unwrap();
        age();
        other(&["--overwrite"]);
        assert!(files(&folder).iter().all(|n| !n.contains(".part")), "{format}: {:?}", files(&folder));
        std::fs::remove_file(folder.join("b.webm")).unwrap();
    }
}

/// Whether something has been written into a part that is a folder, or beside one that is a file, where MP4's muxer keeps what
/// comes behind the index.
fn is_begun(folder: &Path, part: &str) -> bool {
    match std::fs::read_dir(folder.join(part)) {
        Ok(mut pictures) => pictures.next().is_some(),
        Err(_) => files(folder).iter().any(|n| n != part && n.starts_with(part)),
    }
}

#[test]
fn the_last_frame_is_shown_also_where_the_header_counts_in_ticks() {
    let folder = folder("ticks");
    for (rate, name) in [("1000", "a.mov"), ("90000", "a.mp4"), ("90000", "a.webm")] {
        let options = format!("fps={rate}:force-cfr=0");
        let more = ["-fps_mode", "vfr", "-enc_time_base", "1/90000", "-x264-params", &options];
        let input = clip(&format!("ticks-{rate}.mp4"), 1.0, "", &[&SILENT_H264[..], &more].concat());
        let path = folder.join(name);
        convert(&input, &path, &[&quick()[..], &["--background", "white"]].concat());
        let got = times(&path);
        assert_eq!(got.len(), 30, "{rate} {name}");
        assert!((seconds(&path) - 1.0).abs() < 0.02, "{rate} {name}: {} s", seconds(&path));
    }
}

#[test]
fn frames_with_one_time_are_all_there_and_can_be_decoded() {
    let folder = folder("packed");
    // Packed B-frames: two frames in one chunk of the file.
    let input =
        clip("packed.avi", 2.0, "", &["-an", "-c:v", "mpeg4", "-bf", "2", "-vtag", "XVID", "-q:v", "4"]);
    for (name, more) in [
        ("a.webm", &[][..]),
        ("vp8.webm", &["--codec", "vp8"]),
        ("a.mp4", &["--background", "white"]),
        ("a.mov", &[]),
        ("a.gif", &[]),
        ("a.webp", &[]),
    ] {
        let path = folder.join(name);
        let out =
            bgremove(&[&[input.to_str().unwrap(), path.to_str().unwrap()], &quick()[..], more].concat());
        assert!(out.status.success(), "{name}: {}", said(&out));
        if name == "a.webp" {
            // ffmpeg reads no animated WebP.
            continue;
        }
        let (frames, complaints) = decoded(&path);
        assert!(frames >= 58 && complaints.is_empty(), "{name}: {frames} frames; {complaints}");
        let times = times(&path);
        assert!(times.windows(2).all(|w| w[1] > w[0]), "{name}: {times:?}");
    }
}

/// The portrait as a JPEG file whose EXIF data say how it is to be turned, and which is upright then.
fn oriented(path: &Path, orientation: u8) -> PathBuf {
    let clips = Path::new(env!("CARGO_MANIFEST_DIR")).join("build/clips");
    let upright = image::open(clips.join("astronaut.png")).unwrap();
    let upright = upright.resize_exact(192, 256, image::imageops::FilterType::Triangle);
    let stored = match orientation {
        2 => upright.fliph(),
        3 => upright.rotate180(),
        4 => upright.flipv(),
        5 => upright.rotate90().fliph(),
        6 => upright.rotate270(),
        7 => upright.rotate270().fliph(),
        8 => upright.rotate90(),
        _ => upright,
    };
    let mut jpeg = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 95);
    stored.into_rgb8().write_with_encoder(encoder).unwrap();
    // TIFF 6.0, big-endian: one field, 0x0112, SHORT.
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut file = jpeg[..2].to_vec();
    file.extend([0xff, 0xe1]);
    file.extend(((exif.len() + 2) as u16).to_be_bytes());
    file.extend(exif);
    file.extend(&jpeg[2..]);
    std::fs::write(path, file).unwrap();
    path.into()
}

#[test]
fn pictures_come_out_upright() {
    let folder = folder("upright");
    let shown = |orientation: u8| {
        let input = oriented(&folder.join(format!("{orientation}.jpg")), orientation);
        let output = folder.join(format!("{orientation}"));
        convert(&input, &output, &["--format", "png", "--background", "blue"]);
        image::open(output.join("frame-00001.png")).unwrap().into_rgb8()
    };
    let upright = shown(1);
    assert!(upright.pixels().any(|p| p.0 != [0, 0, 255]), "nobody is in the picture");
    // A quarter turn, a mirror and both: which orientation is which of GStreamer's turns, a unit test says.
    for orientation in [2, 5, 6] {
        let got = shown(orientation);
        assert_eq!(got.dimensions(), upright.dimensions(), "{orientation}");
        let off = |other: &image::RgbImage| {
            let sum = got.iter().zip(other.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>();
            sum as f64 / got.len() as f64
        };
        // The network and JPEG see another picture; what is not upright is far off.
        let wrong = [image::imageops::flip_horizontal(&upright), image::imageops::rotate180(&upright)];
        let wrong = wrong.iter().map(off).fold(f64::MAX, f64::min);
        assert!(off(&upright) < wrong / 4.0, "{orientation}: off by {}, mirrored by {wrong}", off(&upright));
    }
}

#[test]
fn the_colour_behind_is_exact_where_pixels_are_rgb() {
    let folder = folder("white");
    let blue = ("#123456", [0x12, 0x34, 0x56]);
    for (name, more, (color, want)) in [
        ("png", &["--format", "png"][..], ("white", [255; 3])),
        ("png", &["--format", "png"], blue),
        ("a.webp", &["--quality", "100"], blue),
        ("a.gif", &[], blue),
    ] {
        let path = folder.join(name);
        // A frame tells it.
        let always = ["--background", color, "--overwrite", "--duration", "0.1"];
        convert(&silent(), &path, &[&always[..], more].concat());
        let frame = match name {
            "png" => pictures(&path).remove(0),
            "a.webp" => webp_frames(&path).remove(0),
            _ => frames(&path).remove(0),
        };
        let corner = &frame[(2 * WIDTH + 2) * 4..][..3];
        // WebP's lossy colours are 4:2:0.
        let off = corner.iter().zip(want).map(|(a, b)| a.abs_diff(b)).max().unwrap();
        assert!(off <= if name == "a.webp" { 2 } else { 0 }, "{name} {color}: {corner:?}");
    }
}

#[test]
fn no_false_alarm_of_alpha_on_an_opaque_background() {
    let folder = folder("alarms");
    for (format, codec, names) in [
        ("yuv444p", "libx264", &["a.mp4"][..]),
        ("gbrp", "ffv1", &["a.webm"]),
        ("yuva444p10le", "prores_ks", &["a.mp4", "a.webm"]),
    ] {
        let options = ["-an", "-pix_fmt", format, "-c:v", codec];
        let input = clip(&format!("alarm-{format}.mkv"), 0.5, "", &options);
        for name in names {
            let path = folder.join(name);
            let what = [text(&input), text(&path)];
            let out = bgremove(&[&what[..], &quick(), &["--background", "white", "--overwrite"]].concat());
            assert!(out.status.success() && !said(&out).contains("alpha"), "{format} {name}: {}", said(&out));
        }
    }
}

#[test]
fn frames_without_times_get_them_or_are_refused_in_words() {
    let folder = folder("no-times");
    let input = clip("raw.mjpeg", 1.0, "", &["-an", "-c:v", "mjpeg", "-q:v", "3", "-f", "mjpeg"]);
    let path = folder.join("a.webm");
    let said = refuse(&input, &path, &[], 1);
    assert!(said.contains("--fps"), "{said}");
    convert(&input, &path, &[&quick()[..], &["--fps", "30"]].concat());
    let got = times(&path);
    assert_eq!(got.len(), 30);
    assert!(got.iter().enumerate().all(|(n, t)| (t - n as f64 / 30.0).abs() < 0.002), "{got:?}");
}

#[test]
fn of_several_tracks_the_default_is_taken_and_the_others_are_told_of() {
    let folder = folder("tracks");
    // Silence first, and a tone that the file calls its default.
    let input = folder.join("two.mkv");
    let (source, two) = (silent(), input.to_str().unwrap().to_string());
    let sources = ["-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo", "-f", "lavfi", "-i", "sine=r=48000"];
    let maps = ["-map", "0:v", "-map", "1:a", "-map", "2:a", "-t", "1", "-c:v", "copy", "-c:a", "flac"];
    let languages = ["-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=eng"];
    let default = ["-disposition:a:0", "0", "-disposition:a:1", "default", &two];
    let all =
        [&["-v", "error", "-y", "-i", source.to_str().unwrap()][..], &sources, &maps, &languages, &default];
    tool("ffmpeg", &all.concat());
    let loud = |path: &Path| {
        let args =
            ["-v", "error", "-i", path.to_str().unwrap(), "-map", "0:a", "-f", "s16le", "-ac", "1", "-"];
        let bytes = tool("ffmpeg", &args);
        bytes.chunks_exact(2).any(|s| i16::from_le_bytes([s[0], s[1]]).unsigned_abs() > 500)
    };
    for (format, more, tone) in [
        ("webm", &[][..], true),
        ("mov", &["--audio-track", "1"], false),
        ("mp4", &["--audio-track", "en"], true),
    ] {
        let path = folder.join(format!("a.{format}"));
        let out = bgremove(&[&[&two, text(&path)], &["--background", "white"][..], &quick(), more].concat());
        assert!(out.status.success(), "{}", said(&out));
        assert_eq!(loud(&path), tone, "{format} {more:?}");
        assert!(said(&out).contains("left out"), "{}", said(&out));
    }
    let out = folder.join("none").join("a.webm");
    std::fs::create_dir_all(out.parent().unwrap()).unwrap();
    let said = refuse(&input, &out, &["--audio-track", "fr"], 1);
    assert!(said.contains("1 (ger)") || said.contains("1 (de)"), "{said}");
}

#[test]
fn many_frames_a_second_are_none_too_short_for_a_browser() {
    let folder = folder("short");
    let input = clip("120.mp4", 1.0, ",fps=120", &SILENT_H264);
    let path = folder.join("a.webp");
    convert(&input, &path, &["--size", "160x90"]);
    let bytes = std::fs::read(&path).unwrap();
    let ends: Vec<i32> =
        webp_animation::Decoder::new(&bytes).unwrap().into_iter().map(|f| f.timestamp()).collect();
    let steps: Vec<i32> = std::iter::once(&0).chain(&ends).zip(&ends).map(|(a, b)| b - a).collect();
    assert!(steps.iter().all(|s| *s >= 11), "{steps:?}");
    assert!(ends.len() > 50 && (990..=1012).contains(ends.last().unwrap()), "{ends:?}");
}
