//! `--canvas`, `--crop` and `--layout`: where the subject stands.

use crate::media::*;
use crate::record::record;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The pictures that a conversion gives, with their size.
fn placed(folder: &Path, name: &str, more: &[&str]) -> (Vec<Frame>, usize) {
    let path = folder.join(name);
    convert(&silent(), &path, &[&["--format", "png", "--duration", "0.4"], more].concat());
    let first = image::open(path.join("frame-00001.png")).unwrap();
    (pictures(&path), first.width() as usize)
}

/// The frames as they are cut out, without a canvas.
fn whole() -> &'static [Frame] {
    static WHOLE: OnceLock<Vec<Frame>> = OnceLock::new();
    WHOLE.get_or_init(|| placed(&folder("canvas-whole"), "whole", &[]).0)
}

/// Left, top, right and bottom of what has some alpha.
fn bounds(frame: &Frame, width: usize, least: u8) -> [usize; 4] {
    let seen =
        frame.chunks_exact(4).enumerate().filter(|(_, p)| p[3] >= least).map(|(i, _)| (i % width, i / width));
    seen.fold([usize::MAX, usize::MAX, 0, 0], |[l, t, r, b], (x, y)| {
        [l.min(x), t.min(y), r.max(x + 1), b.max(y + 1)]
    })
}

#[test]
fn a_frame_stands_where_it_is_said() {
    let folder = folder("canvas");
    let [left, top, right, bottom] = bounds(&whole()[5], WIDTH, 128);
    // 0.4 of 400: a factor of 160/180; right and bottom of the frame 20 from the canvas's.
    let place = ["--canvas", "300x400", "--anchor", "bottom-right", "--scale", "0.4", "--offset", "-20,-5%"];
    let (out, width) = placed(&folder, "placed", &place);
    assert_eq!((out.len(), width, out[0].len()), (whole().len(), 300, 300 * 400 * 4));
    let by = 160.0 / 180.0;
    let (x, y) = (280.0 - 320.0 * by, 380.0 - 160.0);
    let want = [x + left as f64 * by, y + top as f64 * by, x + right as f64 * by, y + bottom as f64 * by];
    for (got, want) in bounds(&out[5], 300, 128).iter().zip(want) {
        assert!((*got as f64 - want.max(0.0)).abs() <= 1.5, "{got} {want}");
    }
}

/// A picture made smaller by another's hand: premultiplied, then scaled, on a background.
fn reference(frame: &Frame, (w, h): (usize, usize), size: (u32, u32), behind: [f32; 3]) -> Vec<f32> {
    let pixels: Vec<f32> = frame
        .chunks_exact(4)
        .flat_map(|p| {
            let a = f32::from(p[3]) / 255.0;
            // The crate's floating point ends at 1.
            [f32::from(p[0]) / 255.0 * a, f32::from(p[1]) / 255.0 * a, f32::from(p[2]) / 255.0 * a, a]
        })
        .collect();
    let picture = image::Rgba32FImage::from_raw(w as u32, h as u32, pixels).unwrap();
    let small = image::imageops::resize(&picture, size.0, size.1, image::imageops::FilterType::Triangle);
    small.pixels().flat_map(|p| [0, 1, 2].map(|k| 255.0 * p[k] + behind[k] * (1.0 - p[3]))).collect()
}

/// On white and on black, small and smaller: a rim of the wrong brightness would be seen on one of them.
#[test]
fn no_rim_shows_however_small_it_becomes() {
    let folder = folder("canvas-rim");
    for (n, size) in [(160u32, 90u32), (48, 27), (480, 270)].into_iter().enumerate() {
        let canvas = format!("{}x{}", size.0, size.1);
        let (out, _) = placed(&folder, &format!("small{n}"), &["--canvas", &canvas]);
        for behind in [[255.0f32; 3], [0.0; 3]] {
            let want = reference(&whole()[5], (WIDTH, HEIGHT), size, behind);
            let got = out[5].chunks_exact(4).flat_map(|p| {
                let a = f32::from(p[3]) / 255.0;
                [0, 1, 2].map(|k| f32::from(p[k]) * a + behind[k] * (1.0 - a))
            });
            let off: Vec<f32> = got.zip(&want).map(|(g, w)| g - w).collect();
            let mean = off.iter().sum::<f32>() / off.len() as f32;
            let worst = off.iter().fold(0.0f32, |w, o| w.max(o.abs()));
            let size = size.0;
            // A420 has a quarter of the colours, which is off at single pixels; a rim would be off all one way.
            assert!(mean.abs() < 0.8, "{size} on {behind:?}: {mean} {worst}");
            let far = off.iter().filter(|o| o.abs() > 24.0).count();
            assert!(far * 200 < off.len(), "{size} on {behind:?}: {far} of {}", off.len());
        }
    }
}

#[test]
fn a_colour_a_picture_or_a_video_is_behind() {
    let folder = folder("canvas-behind");
    let picture = folder.join("behind.png");
    image::RgbImage::from_fn(64, 64, |x, _| image::Rgb(if x < 32 { [200, 10, 10] } else { [10, 10, 200] }))
        .save(&picture)
        .unwrap();
    let video: PathBuf = folder.join("behind.mp4");
    tool(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "color=0x208040:s=64x64:d=1",
            "-pix_fmt",
            "yuv420p",
            text(&video),
        ],
    );
    let place = ["--canvas", "200x200", "--anchor", "bottom", "--scale", "0.5"];
    for (n, (behind, corners)) in [
        ("#3060c0", [[0x30, 0x60, 0xc0]; 2]),
        (text(&picture), [[200, 10, 10], [10, 10, 200]]),
        (text(&video), [[0x20, 0x80, 0x40]; 2]),
    ]
    .into_iter()
    .enumerate()
    {
        let (out, _) = placed(&folder, &format!("out{n}"), &[&place[..], &["--background", behind]].concat());
        for (x, want) in [(3, corners[0]), (196, corners[1])] {
            let got = &out[3][(4 * 200 + x) * 4..][..4];
            let near = (0..3).all(|k| got[k].abs_diff(want[k]) <= 8);
            assert!(near && got[3] == 255, "{behind}: {got:?} {want:?}");
        }
        // Somebody stands before it.
        let differs = out[3].chunks_exact(4).enumerate().filter(|(i, p)| {
            let want = corners[usize::from(i % 200 >= 100)];
            (0..3).any(|k| p[k].abs_diff(want[k]) > 40)
        });
        assert!(differs.count() > 1000, "{behind}");
    }
}

#[test]
fn the_subject_is_framed_and_stays_framed() {
    let folder = folder("canvas-crop");
    let (out, width) = placed(
        &folder,
        "square",
        &["--canvas", "240x240", "--crop", "subject", "--anchor", "bottom", "--scale", "0.9"],
    );
    let all: Vec<_> = out.iter().map(|frame| bounds(frame, width, 128)).collect();
    for (n, [_, top, _, bottom]) in all.iter().enumerate() {
        // As high as was said, less the margin; the frame cuts it off below.
        assert_eq!(*bottom, 240, "{n}: {all:?}");
        assert!((24..60).contains(top), "{n}: {all:?}");
    }
    assert!(all.windows(2).all(|w| w[0][1].abs_diff(w[1][1]) <= 3), "steady: {all:?}");
    // A word for it.
    let report = folder.join("report.json");
    let (out, width) =
        placed(&folder, "word", &["--layout", "square", "--canvas", "240x240", "--report", text(&report)]);
    assert_eq!(out.iter().map(|f| bounds(f, width, 128)).collect::<Vec<_>>(), all);
    let d = record(&report)["destination"].clone();
    assert_eq!((&d["width"], &d["height"]), (&240.into(), &240.into()), "{d}");
    assert!(d["canvas"].as_str().is_some_and(|c| c.contains("crop=subject")), "{d}");
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let folder = folder("canvas-refused");
    for (name, more, code, words) in [
        ("a.webm", &["--scale", "0.4"][..], 2, "--canvas"),
        ("a.webm", &["--canvas", "300x300", "--anchor", "middle"], 2, "bottom-right"),
        ("a.webm", &["--canvas", "300x300", "--scale", "0"], 2, "more than 0"),
        ("a.webm", &["--canvas", "300x300", "--offset", "7"], 2, "percent"),
        ("a.webm", &["--canvas", "9x300"], 2, "16 to 8192"),
        ("a.webm", &["--canvas", "300x300", "--background", "blur"], 2, "fills no canvas"),
        ("a.webm", &["--canvas", "300x300", "--set", "output=matte"], 2, "canvas"),
        ("a.webm", &["--canvas", "300x300", "--part", "1/2"], 2, "parts"),
        ("a.mp4", &["--canvas", "301x300", "--background", "white"], 1, "multiples of 2"),
        (
            "a.webm",
            &["--canvas", "300x300", "--anchor", "left", "--offset", "300,0"],
            1,
            "nothing of the frame",
        ),
        ("a.mp4", &["--canvas", "300x300"], 2, "no transparency"),
    ] {
        let said = refuse(&silent(), &folder.join(name), more, code);
        assert!(said.contains(words), "{more:?}: {said}");
    }
}
