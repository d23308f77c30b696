//! A colour stays what it is, whatever range and matrix the source has, in each format, as foreign eyes see it.

use crate::media::*;
use std::path::{Path, PathBuf};

const COLOR: [u8; 3] = [210, 60, 40];

/// Name, what ffmpeg converts to, how it says so in the file, and the encoder.
const SOURCES: [(&str, &str, &str, &str); 10] = [
    ("709.mp4", "bt709:out_range=tv,format=yuv420p", "bt709 bt709 bt709 tv", "libx264"),
    ("709-matrix-only.mp4", "bt709:out_range=tv,format=yuv420p", "bt709", "libx264"),
    ("709-full.mp4", "bt709:out_range=pc,format=yuvj420p", "bt709 bt709 bt709 pc", "libx264"),
    ("601.mp4", "bt601:out_range=tv,format=yuv420p", "smpte170m smpte170m smpte170m tv", "libx264"),
    ("601-full.mov", "bt601:out_range=pc,format=yuvj420p", "smpte170m smpte170m smpte170m pc", "libx264"),
    ("709-full.mkv", "bt709:out_range=pc,format=yuvj420p", "bt709 bt709 bt709 pc", "libx264"),
    ("2020.mp4", "bt2020:out_range=tv,format=yuv420p", "bt2020nc bt2020 bt709 tv", "libx264"),
    ("709-full.webm", "bt709:out_range=pc,format=yuv420p", "bt709 bt709 bt709 pc", "libvpx-vp9"),
    ("601-full.avi", "bt601:out_range=pc,format=yuvj420p", "", "mjpeg"),
    ("untagged.mp4", "bt601:out_range=tv,format=yuv420p", "", "libx264"),
];

fn source(folder: &Path, (name, to, tags, encoder): (&str, &str, &str, &str)) -> PathBuf {
    // No two have one stem, by which results are named.
    let (stem, extension) = name.split_once('.').unwrap();
    let path = folder.join(format!("{stem}-{extension}.{extension}"));
    let [r, g, b] = COLOR;
    let color = format!("color=c=0x{r:02x}{g:02x}{b:02x}:s=160x120:r=10:d=0.5");
    let names = ["colorspace", "color_primaries", "color_trc", "range"];
    let params: Vec<String> =
        names.iter().zip(tags.split_whitespace()).map(|(n, t)| format!("{n}={t}")).collect();
    // Newer ffmpegs write what the frames say, older ones what the options do.
    let params = if params.is_empty() { String::new() } else { format!(",setparams={}", params.join(":")) };
    let filter = format!("scale=out_color_matrix={to}{params}");
    let mut all = vec!["-v", "error", "-y", "-f", "lavfi", "-i", &color, "-vf", &filter, "-c:v", encoder];
    let options = ["-colorspace", "-color_primaries", "-color_trc", "-color_range"];
    all.extend(options.into_iter().zip(tags.split_whitespace()).flat_map(|(o, t)| [o, t]));
    if encoder == "mjpeg" {
        all.extend(["-q:v", "2"]);
    }
    all.push(path.to_str().unwrap());
    tool("ffmpeg", &all);
    path
}

/// The pixel in the middle, as another decoder gives it.
fn middle(path: &Path) -> [u8; 3] {
    let frame = if path.is_dir() {
        pictures(path).remove(0)
    } else if path.extension().is_some_and(|e| e == "webp") {
        image::open(path).unwrap().into_rgba8().into_raw()
    } else {
        frames(path).remove(0)
    };
    let at = (60 * 160 + 80) * 4;
    assert_eq!(frame[at + 3], 255, "{}", path.display());
    [frame[at], frame[at + 1], frame[at + 2]]
}

#[test]
fn a_colour_is_the_same_in_every_format() {
    let folder = folder("color");
    // All is foreground.
    let whole = crate::onnx::Onnx::constant(1.0, 64, 36).save(&folder, "whole.onnx");
    let options = "model-options=options,fit=stretch,activation=none";
    let sources = SOURCES.map(|kind| source(&folder, kind));
    // What is left of it after the source's own encoder.
    let want = sources.each_ref().map(|source| middle(source));
    for (source, want) in sources.iter().zip(want) {
        assert!(want.iter().zip(COLOR).all(|(a, b)| a.abs_diff(b) <= 5), "{}: {want:?}", source.display());
    }
    let mut wrong = Vec::new();
    for format in ["webm", "mov", "mp4", "png", "gif", "webp"] {
        // The last two get the RGB that png gets: one source shows it.
        let few = ["gif", "webp"].contains(&format);
        let some = sources.iter().zip(want).filter(|(s, _)| !few || s.ends_with("601-full-mov.mov"));
        let some: Vec<_> = some.collect();
        let more: &[&str] = if format == "mp4" { &["--background", "white"] } else { &[] };
        let out = folder.join(format);
        // All in one run of the tool.
        let mut all: Vec<&str> = some.iter().map(|(source, _)| text(source)).collect();
        all.extend(["-o", text(&out), "--model", text(&whole), "--set", options, "--format", format]);
        let run = bgremove(&[&all[..], more].concat());
        assert!(run.status.success(), "{format}: {}", said(&run));
        for (source, want) in some {
            let name = out.join(source.file_stem().unwrap());
            let got = middle(&if format == "png" { name } else { name.with_added_extension(format) });
            if got.iter().zip(want).any(|(a, b)| a.abs_diff(b) > 4) {
                wrong.push(format!("{} to {format}: {got:?}, not {want:?}", source.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
