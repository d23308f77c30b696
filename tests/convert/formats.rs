//! Each format keeps what it promises: size, number of frames, duration, alpha and sound.

use crate::media::*;
use crate::quick::quick;
use image::AnimationDecoder;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The whole clip with its sound.
fn check(path: &Path, sound: bool) {
    assert_eq!(probe(path, "v:0", "width"), WIDTH.to_string());
    assert_eq!(probe(path, "v:0", "height"), HEIGHT.to_string());
    assert_eq!(probe(path, "v:0", "nb_read_frames"), "60");
    assert!((seconds(path) - 2.0).abs() < 0.04, "{} s", seconds(path));
    assert_eq!(has_sound(path), sound);
    if sound {
        same_beeps(path, &plain(), 0.0);
    }
}

/// The alpha is the element's own matte, and pixels without it hide nothing of the room.
fn check_alpha(frames: &[Frame], least: f64, hidden: u8) {
    let mattes = mattes();
    assert_eq!(frames.len(), mattes.len());
    let (mut clear, mut solid) = (0, 0);
    for (frame, matte) in frames.iter().zip(mattes) {
        let alpha = alpha(frame);
        let db = psnr(&alpha, matte);
        assert!(db >= least, "alpha at {db:.1} dB");
        clear += alpha.iter().filter(|a| **a == 0).count();
        solid += alpha.iter().filter(|a| **a == 255).count();
        // Away from the edge, where chroma is shared and codecs ring.
        let far = all_within(8, matte, 0);
        for (n, pixel) in frame.chunks_exact(4).enumerate().filter(|(n, _)| far[*n]) {
            let (x, y) = (n % WIDTH, n / WIDTH);
            assert!(pixel[..3].iter().all(|v| *v <= hidden), "{x},{y} hides {pixel:?}");
        }
    }
    let pixels = frames.len() * WIDTH * HEIGHT;
    assert!(clear > pixels / 4 && solid > pixels / 20, "{clear} clear and {solid} solid of {pixels}");
}

/// Of each pixel whether all within so many pixels of it have this alpha.
fn all_within(pixels: usize, matte: &[u8], of: u8) -> Vec<bool> {
    let rows: Vec<bool> = (0..WIDTH * HEIGHT)
        .map(|n| {
            let (x, row) = (n % WIDTH, n / WIDTH * WIDTH);
            matte[row + x.saturating_sub(pixels)..=row + (x + pixels).min(WIDTH - 1)].iter().all(|a| *a == of)
        })
        .collect();
    let column = |n: usize| {
        let (x, y) = (n % WIDTH, n / WIDTH);
        (y.saturating_sub(pixels)..=(y + pixels).min(HEIGHT - 1)).all(|y| rows[y * WIDTH + x])
    };
    (0..WIDTH * HEIGHT).map(column).collect()
}

/// That the alpha of a WebM is a matte's, and exactly so far from edges.
fn check_alpha_of_webm(frames: &[Frame], mattes: &[Vec<u8>], codec: &str) {
    assert_eq!(frames.len(), mattes.len());
    let (mut worst, mut over, mut far) = (0, 0, 0);
    for (got, matte) in frames.iter().map(alpha).zip(mattes) {
        let (outside, inside) = (all_within(16, matte, 0), all_within(16, matte, 255));
        for (at, (got, want)) in got.iter().zip(matte).enumerate() {
            let off = got.abs_diff(*want);
            worst = off.max(worst);
            over += usize::from(off > 8);
            if outside[at] || inside[at] {
                far = off.max(far);
            }
        }
    }
    let said = format!("{codec}: off by {worst}, {over} pixels by more than 8, far by {far}");
    println!("{said}");
    assert_eq!(far, 0, "{said}");
    match codec {
        "vp8" => assert!(worst <= 8, "{said}"),
        // Its large transforms lose single pixels.
        _ => assert!(worst <= 40 && over <= 4 * frames.len(), "{said}"),
    }
}

#[test]
fn a_webm_keeps_size_length_sound_and_alpha() {
    let folder = folder("webm");
    for codec in ["vp9", "vp8"] {
        let path = folder.join(format!("{codec}.webm"));
        convert(&plain(), &path, &["--codec", codec]);
        check(&path, true);
        assert_eq!(probe(&path, "v:0", "codec_name"), codec);
        assert_eq!(probe(&path, "a:0", "codec_name"), "opus");
        let frames = frames(&path);
        check_alpha(&frames, 38.0, 40);
        check_alpha_of_webm(&frames, mattes(), codec);
    }
}

#[test]
fn the_alpha_of_webm_is_that_of_the_matte_in_noise_too() {
    let folder = folder("alpha");
    let exact = folder.join("exact");
    let half = ["--duration", "0.5"];
    convert(&noisy(), &exact, &[&half[..], &["--format", "png"]].concat());
    let mattes: Vec<Vec<u8>> = pictures(&exact).iter().map(alpha).collect();
    for codec in ["vp8", "vp9"] {
        let path = folder.join(format!("{codec}.webm"));
        convert(&noisy(), &path, &[&half[..], &["--codec", codec]].concat());
        check_alpha_of_webm(&frames(&path), &mattes, codec);
    }
}

#[test]
fn a_mov_keeps_size_length_sound_and_alpha() {
    let path = folder("mov").join("a.mov");
    convert(&plain(), &path, &[]);
    check(&path, true);
    assert_eq!(probe(&path, "v:0", "codec_name"), "prores");
    assert_eq!(probe(&path, "a:0", "codec_name"), "pcm_s16le");
    check_alpha(&frames(&path), 50.0, 24);
}

#[test]
fn a_premultiplied_mov_has_the_colours_times_the_same_alpha() {
    let folder_of_both = folder("premultiplied");
    let paths = ["straight", "premultiplied"].map(|how| {
        let path = folder_of_both.join(format!("{how}.mov"));
        convert(&plain(), &path, &["--alpha", how, "--quality", "95", "--duration", "0.5"]);
        path
    });
    let [straight, premultiplied] = paths.each_ref().map(|p| frames(p));
    assert!(straight.len() == premultiplied.len() && straight.len() > 10);
    let (mut mixed, mut off) = (0, 0.0);
    for (s, p) in straight.iter().zip(&premultiplied) {
        assert!(psnr(&alpha(s), &alpha(p)) > 60.0, "the alpha is the same");
        for (s, p) in s.chunks_exact(4).zip(p.chunks_exact(4)).filter(|(s, _)| (1..255).contains(&s[3])) {
            let part = f64::from(s[3]) / 255.0;
            off += (0..3).map(|c| (f64::from(s[c]) * part - f64::from(p[c])).abs()).sum::<f64>() / 3.0;
            mixed += 1;
        }
        let bright = p.chunks_exact(4).filter(|p| p[..3].iter().any(|c| *c > p[3].saturating_add(12)));
        assert!(bright.count() < 50, "colours are no brighter than their alpha");
    }
    let off = off / f64::from(mixed);
    assert!(mixed > 1000 && off < 4.0, "{mixed} mixed pixels, off by {off:.1}");
    for (more, word) in [
        (&["--alpha", "premultiplied", "--background", "white"][..], "background"),
        (&["--alpha", "premultiplied", "--format", "webm"], "mov"),
    ] {
        let other = folder("premultiplied-refused").join("no.mov");
        let said = refuse(&plain(), &other, more, 2);
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn an_mp4_keeps_size_length_and_sound_before_the_colour() {
    let path = folder("mp4").join("a.mp4");
    convert(&plain(), &path, &["--background", "#00b140"]);
    check(&path, true);
    assert_eq!(probe(&path, "v:0", "codec_name"), "h264");
    assert_eq!(probe(&path, "v:0", "pix_fmt"), "yuv420p");
    assert_eq!(probe(&path, "a:0", "codec_name"), "aac");
    for (frame, matte) in frames(&path).iter().zip(mattes()) {
        // A corner where there is nothing but the colour.
        let at = 20 * WIDTH + 20;
        assert_eq!(matte[at], 0);
        let got = &frame[at * 4..][..3];
        assert!(got.iter().zip([0, 0xb1, 0x40]).all(|(g, w)| g.abs_diff(w) < 12), "{got:?}");
    }
}

#[test]
fn a_gif_keeps_size_length_and_the_mattes_shape() {
    let path = folder("gif").join("a.gif");
    convert(&plain(), &path, &[]);
    check(&path, false);
    for frames in [frames(&path), gif_frames(&path)] {
        for (frame, matte) in frames.iter().zip(mattes()) {
            let wrong = alpha(frame).iter().zip(matte).filter(|(a, m)| (**a > 0) != (**m >= 128)).count();
            assert_eq!(wrong, 0, "pixels are there or not as the matte says");
        }
    }
    // The subject's colours: those of the pictures, within what 255 colours can tell.
    for (got, want) in frames(&path).iter().zip(plain_pictures()) {
        let seen = got.chunks_exact(4).zip(want.chunks_exact(4)).filter(|(g, _)| g[3] > 0);
        let off: f64 = seen.clone().map(|(g, w)| psnr(&g[..3], &w[..3]).min(60.0)).sum();
        let mean = off / seen.count() as f64;
        assert!(mean > 28.0, "colours are off: {mean:.1} dB");
    }
}

#[test]
fn a_webp_keeps_times_alpha_and_nothing_of_the_room() {
    let path = folder("webp").join("a.webp");
    convert(&plain(), &path, &[]);
    let file = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
    let decoder = image::codecs::webp::WebPDecoder::new(file).unwrap();
    assert!(matches!(decoder.loop_count(), image::metadata::LoopCount::Infinite));
    let shown = decoder.into_frames().collect_frames().unwrap();
    assert_eq!(shown.len(), 60);
    let delays: Vec<u32> = shown.iter().map(|f| f.delay().numer_denom_ms().0).collect();
    // 33⅓ ms, the rest carried.
    assert_eq!(delays[..6], [33, 34, 33, 33, 34, 33]);
    assert_eq!(delays.iter().sum::<u32>(), 2000);
    // libwebp puts colours of visible pixels under hidden ones, since they take less room. It has seen no others.
    let got = webp_frames(&path);
    check_alpha(&got, 99.0, 255);
    let (mut hidden, mut room) = (0, 0);
    for ((frame, source), matte) in got.iter().zip(frames(&plain())).zip(mattes()) {
        let far = all_within(8, matte, 0);
        for (n, (got, was)) in frame.chunks_exact(4).zip(source.chunks_exact(4)).enumerate() {
            if far[n] {
                hidden += 1;
                room += usize::from((0..3).all(|c| got[c].abs_diff(was[c]) < 8));
            }
        }
    }
    assert!(room * 20 < hidden, "{room} of {hidden} hidden pixels look as the room did");
}

/// Through the image crate.
fn gif_frames(path: &Path) -> Vec<Frame> {
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let frames = image::codecs::gif::GifDecoder::new(file).unwrap().into_frames().collect_frames();
    frames.unwrap().into_iter().map(|f| f.into_buffer().into_raw()).collect()
}

/// Through libwebp: the image crate's decoder (0.2.4 of image-webp) clears the wrong rectangle after a part of a
/// frame that has no alpha of its own, and whether there is one depends on last bits of the matte.
pub fn webp_frames(path: &Path) -> Vec<Frame> {
    let file = std::fs::read(path).unwrap();
    webp_animation::Decoder::new(&file).unwrap().into_iter().map(|f| f.data().to_vec()).collect()
}

/// The plain clip cut out, as pictures: made once.
fn plain_pictures() -> &'static [Frame] {
    static MADE: OnceLock<Vec<Frame>> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = folder("png");
        // A name with the extension is a folder's name without.
        convert(&plain(), &folder.join("a.png"), &[]);
        let first = image::open(folder.join("a/frame-00001.png")).unwrap();
        assert_eq!((first.width() as usize, first.height() as usize), (WIDTH, HEIGHT));
        assert_eq!(first.color(), image::ColorType::Rgba8);
        pictures(&folder.join("a"))
    })
}

#[test]
fn pngs_have_the_very_matte_and_nothing_of_the_room() {
    check_alpha(plain_pictures(), 99.0, 0);
}

/// The frames of any format.
fn shown(path: &Path) -> Vec<Frame> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("webp") => webp_frames(path),
        None => pictures(path),
        _ => frames(path),
    }
}

#[test]
fn quality_has_steps_of_size_and_of_likeness() {
    let folder = folder("quality");
    let always = ["--background", "#808080", "--duration", "0.5"];
    let exact = folder.join("exact");
    convert(&noisy(), &exact, &[&always[..], &["--format", "png"]].concat());
    let exact = pictures(&exact);
    for (name, more, steps) in [
        // What is transparent has all of WebM's steps, below.
        ("webm", &[][..], &["5", "75"][..]),
        ("webm", &["--codec", "vp8"], &["5", "75"]),
        ("mov", &[], &["5", "30", "75"]),
        ("mp4", &[], &["5", "30", "75"]),
        ("gif", &[], &["5", "30", "75"]),
        ("webp", &[], &["5", "30", "75"]),
    ] {
        let mut before = (0, 0.0);
        for quality in steps {
            let path = folder.join(format!("a.{name}"));
            let options = ["--overwrite", "--quality", quality];
            convert(&noisy(), &path, &[&always[..], &options, more].concat());
            let size = std::fs::metadata(&path).unwrap().len();
            let got = shown(&path);
            assert_eq!(got.len(), exact.len(), "{name} {more:?} {quality}");
            let like = got.iter().zip(&exact).map(|(g, w)| psnr(g, w)).sum::<f64>() / got.len() as f64;
            println!("{name} {more:?} {quality}: {size} bytes, {like:.2} dB");
            assert!(size as f64 > before.0 as f64 * 1.1, "{name} {more:?} {quality}: {size} bytes");
            assert!(like > before.1 + 0.15, "{name} {more:?} {quality}: {like:.2} dB");
            before = (size, like);
        }
    }
}

#[test]
fn quality_has_steps_for_colour_and_alpha_of_webm_and_vp9_keeps_alpha_exactly_at_last() {
    let folder = folder("quality-alpha");
    let exact = folder.join("exact");
    convert(&noisy(), &exact, &["--format", "png", "--duration", "0.5"]);
    let exact = pictures(&exact);
    // Of the colours those of opaque pixels, for the alpha all.
    let likeness = |got: &Frame, want: &Frame| {
        let inside = |f: &Frame| -> Vec<u8> {
            let seen = f.chunks_exact(4).zip(want.chunks_exact(4)).filter(|(_, w)| w[3] == 255);
            seen.flat_map(|(p, _)| p[..3].to_vec()).collect()
        };
        (psnr(&inside(got), &inside(want)), psnr(&alpha(got), &alpha(want)))
    };
    for codec in ["vp8", "vp9"] {
        let mut before = (0, 0.0, 0.0);
        for quality in ["5", "30", "75", "100"] {
            let path = folder.join(format!("{codec}.webm"));
            let options = ["--overwrite", "--duration", "0.5", "--codec", codec, "--quality", quality];
            convert(&noisy(), &path, &options);
            let size = std::fs::metadata(&path).unwrap().len();
            let got = frames(&path);
            assert_eq!(got.len(), exact.len());
            let all: Vec<_> = got.iter().zip(&exact).map(|(g, w)| likeness(g, w)).collect();
            let mean = |of: fn(&(f64, f64)) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
            let (colour, alpha) = (mean(|l| l.0), mean(|l| l.1));
            println!("{codec} {quality}: {size} bytes, colour {colour:.2} dB, alpha {alpha:.2} dB");
            assert!(size as f64 > before.0 as f64 * 1.1, "{codec} {quality}: {size} bytes");
            assert!(colour > before.1 + 0.15, "{codec} {quality}: colour {colour:.2} dB");
            assert!(alpha > before.2 + 1.0, "{codec} {quality}: alpha {alpha:.2} dB");
            before = (size, colour, alpha);
        }
        assert!(codec == "vp8" || before.2 == 99.0, "{codec}: alpha {:.2} dB", before.2);
    }
}

#[test]
fn the_finest_opaque_webm_has_all_frames() {
    let folder = folder("finest");
    for codec in ["vp8", "vp9"] {
        let path = folder.join(format!("{codec}.webm"));
        let options = ["--background", "#808080", "--quality", "100", "--codec", codec];
        // The encoder loses what is too large, and the network has no part in it.
        convert(&noisy(), &path, &[&quick()[2..], &options].concat());
        assert_eq!(probe(&path, "v:0", "nb_read_frames"), "60", "{codec}");
    }
}

#[test]
fn png_takes_no_quality() {
    let folder = folder("png-quality");
    let said = refuse(&silent(), &folder.join("a"), &["--format", "png", "--quality", "50"], 2);
    assert!(said.contains("--quality") && said.contains("webp"), "{said}");
}

#[test]
fn opaque_files_have_no_alpha_channel() {
    let folder = folder("opaque");
    for (format, pixels) in
        [("webm", "yuv420p"), ("mov", "yuv422p10le"), ("gif", "bgra"), ("png", "rgb24"), ("webp", "")]
    {
        let path = folder.join(format!("a.{format}"));
        convert(&silent(), &path, &["--background", "blur", "--duration", "0.4"]);
        let shown = match format {
            "webp" => webp_frames(&path),
            "png" => pictures(&path.with_extension("")),
            _ => {
                assert_eq!(probe(&path, "v:0", "pix_fmt"), pixels, "{format}");
                frames(&path)
            }
        };
        assert_eq!(shown.len(), 12, "{format}");
        assert!(shown.iter().all(|f| f.chunks_exact(4).all(|p| p[3] == 255)), "{format}: it is all there");
        // Something other than black stands behind.
        let sum: u64 = shown[10].chunks_exact(4).take(WIDTH * 20).map(|p| u64::from(p[1])).sum();
        assert!(sum > (WIDTH * 20 * 60) as u64, "{format}");
        assert!(!has_sound(&if format == "png" {
            path.with_extension("").join("frame-00001.png")
        } else {
            path
        }));
    }
}

/// A folder that holds the plugin that these tests were built with, and nothing else.
fn plugin() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_bgremove")).with_file_name("deps").join("libgstbgremove.so");
    assert!(built.exists(), "there is no {}", built.display());
    let folder = folder("plugin");
    std::os::unix::fs::symlink(built, folder.join("libgstbgremove.so")).unwrap();
    folder
}

#[test]
fn printed_pipelines_run() {
    let folder = folder("printed");
    let plugin = plugin();
    let nasty = folder.join("it's \"50%\" off! #1.mp4");
    let half = clip("printed.mp4", 0.5, "", &H264);
    std::fs::copy(half, &nasty).unwrap();
    for (name, background) in [
        ("a \\ b.webm", "transparent"),
        ("c.mov", "transparent"),
        ("d's.mp4", "#00b140"),
        ("e.mp4", "clip"),
        ("f.gif", "transparent"),
        ("g.webp", "blur:4"),
        ("50% h", "transparent"),
    ] {
        let output = folder.join(name);
        // It ends sooner, and begins again.
        let behind = clip("behind.mp4", 0.3, "", &SILENT_H264);
        let background = if background == "clip" { text(&behind) } else { background };
        let mut more = vec![text(&nasty), text(&output), "--background", background];
        if output.extension().is_none() {
            more.extend(["--format", "png"]);
            std::fs::create_dir(&output).unwrap();
        }
        let out = bgremove(&[&more[..], &["--print-pipeline"]].concat());
        assert!(out.status.success(), "{}", said(&out));
        let line = String::from_utf8(out.stdout).unwrap();
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(line.starts_with("gst-launch-1.0 "));
        let ran = Command::new("timeout")
            .args(["120", "sh", "-c", line.trim()])
            .env("GST_PLUGIN_PATH", &plugin)
            .env("GST_REGISTRY", plugin.join("registry.bin"))
            .output()
            .unwrap();
        assert!(ran.status.success(), "{line}: {}", said(&ran));
        // The same file as the tool's own.
        let own = folder.join(format!("own-{name}"));
        let arguments: Vec<&str> =
            more.iter().map(|a| if Path::new(a) == output { own.to_str().unwrap() } else { a }).collect();
        let converted = bgremove(&arguments);
        assert!(converted.status.success(), "{}", said(&converted));
        let frames = |p: &Path| match p.extension().and_then(|e| e.to_str()) {
            Some("webp") => webp_frames(p),
            None => pictures(p),
            // The tool writes into each frame what its colours are, which a line cannot: as they are stored.
            Some("mov") => stored(p),
            _ => frames(p),
        };
        assert_eq!(frames(&output).len(), 15, "{name}");
        assert!(frames(&output) == frames(&own), "{name}: the printed line gives other pictures");
    }
}
