//! `bgremove compare` as a user runs it, on the real clip.

use std::path::PathBuf;
use std::process::{Command, Output};

fn clip() -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("build/clips/carphone_pristine.mp4");
    assert!(path.exists(), "{} is missing: run `make clips`", path.display());
    path
}

fn compare(a: &str, b: &str, rest: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bgremove"));
    command.args(["compare", "--a", a, "--b", b, "--frames", "20"]).args(rest).output().unwrap()
}

fn page(a: &str, b: &str, more: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    let clip = clip();
    let rest = [&[clip.to_str().unwrap(), "--output", file.to_str().unwrap()], more].concat();
    let out = compare(a, b, &rest);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    std::fs::read_to_string(file).unwrap()
}

#[test]
fn a_setting_and_itself_do_not_differ() {
    let page = page("model=light", "model=light background=#00b140", &[]);
    assert!(page.contains("A and B do not differ: the same alpha in every pixel of all 20 frames"));
    assert!(page.contains("alpha differs by 0 "));
    assert!(page.contains("do not take part"), "the background is not said to be left out");
}

#[test]
fn the_page_holds_figures_hashes_and_pictures_and_nothing_from_outside() {
    let other = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/light-landscape.onnx");
    let page = page("model=light", &format!("model={}", other.display()), &[]);
    assert!(!page.contains("A and B do not differ"));
    for part in ["Edge flicker", "Pulsing", "Blinks", "Holes", "Islands", "ms a frame", "frames a second"] {
        assert!(page.contains(part), "{part} is missing");
    }
    for file in ["light-square.onnx (built in)", "light-landscape.onnx", "SHA-256", "carphone_pristine.mp4"] {
        assert!(page.contains(file), "{file} is missing");
    }
    assert!(page.matches("data:image/jpeg;base64,").count() >= 8);
    for outside in ["http://", "https://", "<script", "url("] {
        assert!(!page.contains(outside), "{outside} is in the page");
    }
}

#[test]
fn with_mattes_it_gives_the_full_metrics() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..20 {
        let half = image::GrayImage::from_fn(176, 144, |x, _| image::Luma([if x < 88 { 255 } else { 0 }]));
        half.save(folder.path().join(format!("{n:03}.png"))).unwrap();
    }
    let page = page("model=light", "model=light", &["--truth", folder.path().to_str().unwrap()]);
    for part in ["MAD", "MSE", "Grad", "Conn", "Edge ", "dtSSD"] {
        assert!(page.contains(&format!("<tr><td>{part}")), "{part} is missing");
    }
    std::fs::remove_file(folder.path().join("019.png")).unwrap();
    let clip = clip();
    let out = compare(
        "model=light",
        "model=light",
        &[clip.to_str().unwrap(), "--truth", folder.path().to_str().unwrap(), "--output", "/dev/null"],
    );
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && said.contains("--frames 19"), "{said}");
}

#[test]
fn errors_name_what_was_wrong() {
    let clip = clip();
    let clip = clip.to_str().unwrap();
    for (a, file, named) in [
        ("model=light", "/no/such.mp4", "/no/such.mp4"),
        ("modell=light", clip, "modell"),
        ("model=nobody", clip, "nobody"),
        ("model=light ! identity", clip, "more than properties"),
        ("model=light", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), "cannot be decoded"),
    ] {
        let out = compare(a, "model=light", &[file, "--output", "/dev/null"]);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(1), "{a} {file}: {said}");
        assert!(said.contains(named), "{a} {file}: {said}");
    }
}
