//! The examples, built and run as a reader would: three programs that embed the element, and the camera.

mod common;

use common::clip;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A file beside this test's own: `examples/NAME`, which `cargo test` builds, or `deps/libgstbgremove.so`.
fn built(name: &str) -> PathBuf {
    let deps = std::env::current_exe().unwrap().parent().unwrap().to_path_buf();
    let path = deps.with_file_name(name);
    assert!(path.exists(), "{} is missing: run `cargo build --examples`", path.display());
    path
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// What a program prints, which has to end well and in time.
fn output(command: &mut Command) -> String {
    let (ok, out, err) = run(command);
    assert!(ok, "{command:?}: {out}{err}");
    out
}

fn run(command: &mut Command) -> (bool, String, String) {
    command.env("GST_PLUGIN_PATH", built("deps/libgstbgremove.so").parent().unwrap());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = child.id() as i32;
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if ended.recv_timeout(Duration::from_secs(180)).is_err() {
            // SAFETY: the child is not waited for yet, so the number is still its own.
            unsafe { libc::kill(id, libc::SIGKILL) };
        }
    });
    let out = child.wait_with_output().unwrap();
    let _ = done.send(());
    watch.join().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.success(), text(&out.stdout), text(&out.stderr))
}

/// The four numbers behind a word, in each line that has it.
fn pixels(text: &str, word: &str) -> Vec<[i32; 4]> {
    text.lines()
        .filter_map(|l| l.split_once(&format!("{word} [")))
        .map(|(_, rest)| {
            let numbers = rest.split(']').next().unwrap().split(", ").map(|n| n.parse().unwrap());
            numbers.collect::<Vec<i32>>().try_into().unwrap()
        })
        .collect()
}

/// What an embedding program has to have seen: nothing, then red, around a face that stays, and another network.
fn embeds(text: &str) {
    assert!(text.contains("another network serves"), "{text}");
    assert_eq!(pixels(text, "corner"), [[0, 0, 0, 0], [255, 0, 0, 255], [255, 0, 0, 255]], "{text}");
    let faces = pixels(text, "middle");
    assert_eq!(faces.len(), 3, "{text}");
    for face in faces {
        assert!(face[3] == 255 && face != [255, 0, 0, 255], "{text}");
    }
}

#[test]
fn embedding_in_rust() {
    embeds(&output(Command::new(built("examples/embed")).arg(clip("astronaut.png"))));
}

#[test]
fn embedding_in_c() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("embed");
    let flags = output(Command::new("pkg-config").args([
        "--cflags",
        "--libs",
        "gstreamer-app-1.0",
        "gstreamer-video-1.0",
    ]));
    output(
        Command::new("cc")
            .args(["-Wall", "-Wextra", "-Werror", "-o"])
            .args([&program, &source("embed.c")])
            .args(flags.split_whitespace()),
    );
    embeds(&output(Command::new(&program).arg(clip("astronaut.png"))));
}

#[test]
fn embedding_in_python() {
    // Debian's own Python, which its packages are for.
    let python = || Command::new("/usr/bin/python3");
    embeds(&output(python().arg(source("embed.py")).arg(clip("astronaut.png"))));
}

#[test]
fn embedding_programs_say_what_is_wrong() {
    for (mut program, args) in [
        (Command::new(built("examples/embed")), vec![]),
        (Command::new("/usr/bin/python3"), vec![source("embed.py")]),
    ] {
        let (ok, _, err) = run(program.args(args).arg(source("embed.c")));
        assert!(!ok && err.contains("text file"), "{err}");
    }
}

#[test]
fn a_clip_stands_in_for_a_camera() {
    let camera = || Command::new(built("examples/camera"));
    let clip = clip("astronaut.mp4");
    let sink = "fakevideosink";
    let text = output(camera().arg("--source").arg(&clip).args(["--sink", sink, "--seconds", "6"]));
    // It is four seconds long, so it has begun again.
    let frames: Vec<u32> = text.lines().filter_map(|l| l.split_once(" frames out")?.0.parse().ok()).collect();
    assert!(frames.len() >= 4 && frames.iter().any(|&f| f > 60), "{text}");

    let (ok, _, err) = run(camera().args(["--source", "/dev/none", "--sink", sink]));
    assert!(!ok && err.contains("/dev/none") && err.contains("clip"), "{err}");
    let (ok, _, err) = run(camera().args(["--source", "test", "--sink", sink, "--background", "nocolour"]));
    assert!(!ok && err.contains("nocolour"), "{err}");
}
