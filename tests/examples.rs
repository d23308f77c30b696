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
fn the_program_in_rust_embeds_the_element() {
    embeds(&output(Command::new(built("examples/embed")).arg(clip("astronaut.png"))));
}

#[test]
fn the_program_in_c_embeds_the_element() {
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
fn the_program_in_python_embeds_the_element() {
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
    let folder = tempfile::tempdir().unwrap();
    let short = folder.path().join("short.mp4");
    let small = ["-t", "1.5", "-vf", "scale=426:240", "-preset", "ultrafast"];
    output(
        Command::new("ffmpeg").args(["-v", "error", "-i"]).arg(clip("astronaut.mp4")).args(small).arg(&short),
    );
    let sink = "fakevideosink";
    let text = output(camera().arg("--source").arg(&short).args(["--sink", sink, "--seconds", "5"]));
    // A line a second: it is shorter than that, so it has begun again where frames still come in the last one.
    let frames: Vec<u32> = text.lines().filter_map(|l| l.split_once(" frames out")?.0.parse().ok()).collect();
    assert!(frames.len() >= 3 && frames.last() > frames.iter().rev().nth(1), "{text}");

    let (ok, _, err) = run(camera().args(["--source", "/dev/none", "--sink", sink]));
    assert!(!ok && err.contains("/dev/none") && err.contains("clip"), "{err}");
    let (ok, _, err) = run(camera().args(["--source", "test", "--sink", sink, "--background", "nocolour"]));
    assert!(!ok && err.contains("nocolour"), "{err}");
}

const SIZE: (usize, usize) = (640, 360);

/// A frame of a rendered timeline, R, G, B.
struct Picture<'a>(&'a [u8]);

impl Picture<'_> {
    /// How far a pixel is from a colour, in the component that differs most.
    fn far(&self, x: usize, y: usize, color: [f64; 3]) -> f64 {
        let pixel = &self.0[(y * SIZE.0 + x) * 3..][..3];
        pixel.iter().zip(color).map(|(p, c)| (f64::from(*p) - c).abs()).fold(0.0, f64::max)
    }

    /// The pixels that are neither a colour nor far from it: those of a soft edge to it.
    fn nearly(&self, color: [f64; 3]) -> usize {
        let all = (0..SIZE.1).flat_map(|y| (0..SIZE.0).map(move |x| (x, y)));
        all.filter(|&(x, y)| (16.0..70.0).contains(&self.far(x, y, color))).count()
    }
}

#[test]
fn a_timeline_of_two_layers_is_rendered_with_its_key_frames() {
    let folder = tempfile::tempdir().unwrap();
    let behind = folder.path().join("behind.png");
    image::RgbImage::from_pixel(64, 36, image::Rgb([200, 30, 160])).save(&behind).unwrap();
    let (file, raw) = (folder.path().join("out.webm"), folder.path().join("raw"));
    let mut program = Command::new("/usr/bin/python3");
    output(program.arg(source("timeline.py")).args([&clip("astronaut.mp4"), &behind, &file]));
    let line = format!(
        "filesrc location={} ! matroskademux ! vp8dec ! videoconvert ! \
         video/x-raw,format=RGB,width={},height={} ! filesink location={}",
        file.display(),
        SIZE.0,
        SIZE.1,
        raw.display()
    );
    output(Command::new("gst-launch-1.0").arg("-q").args(line.split_whitespace()));
    let bytes = std::fs::read(&raw).unwrap();
    let frames: Vec<Picture> = bytes.chunks_exact(SIZE.0 * SIZE.1 * 3).map(Picture).collect();
    assert!((118..=122).contains(&frames.len()), "{}", frames.len());

    // A colour through the encoder and back.
    let near = 14.0;
    for n in [1, 30, 58] {
        let (corner, face) =
            (frames[n].far(630, 8, [200.0, 30.0, 160.0]), frames[n].far(300, 150, [200.0, 30.0, 160.0]));
        assert!(corner < near && face > 3.0 * near, "frame {n}: {corner}, {face}");
    }
    // From green at two seconds to blue at four.
    let color = |n: usize| {
        let part = (n as f64 / 30.0 - 2.0) / 2.0;
        [[0.0, 0.0], [177.0, 64.0], [64.0, 208.0]].map(|[a, b]| a * (1.0 - part) + b * part)
    };
    for n in [61, 75, 90, 105, 117] {
        let (corner, face) = (frames[n].far(630, 8, color(n)), frames[n].far(300, 150, color(n)));
        assert!(corner < near && face > 3.0 * near, "frame {n}: {corner}, {face}");
    }
    let (hard, soft) = (frames[75].nearly(color(75)), frames[117].nearly(color(117)));
    assert!(soft > hard * 3 / 2, "{hard} pixels of the edge at first, {soft} at the end");
}

#[test]
fn a_timeline_says_what_is_wrong() {
    let program = || Command::new("/usr/bin/python3");
    let (ok, _, err) = run(program().arg(source("timeline.py")));
    assert!(!ok && err.contains("which clip"), "{err}");
    let args = [&source("none.mp4"), &source("none.mp4"), &source("none.webm")];
    let (ok, _, err) = run(program().arg(source("timeline.py")).args(args));
    assert!(!ok && err.contains("none.mp4"), "{err}");
}

/// Red for the first half second, then blue, by a control binding for texts, which GStreamer has none for.
const STEPS: &str = r#"
import gi
gi.require_version("Gst", "1.0")
from gi.repository import GObject, Gst
Gst.init(None)

class Steps(Gst.ControlBinding):
    def do_sync_values(self, element, time, last_sync):
        element.set_property("background", "red" if time < Gst.SECOND // 2 else "blue")
        return True

pipeline = Gst.parse_launch(
    "videotestsrc num-buffers=20 pattern=black ! video/x-raw,width=64,height=64,format=RGB,framerate=20/1 ! "
    "bgremove name=bg background=green ! fakesink name=out signal-handoffs=true sync=false"
)
element = pipeline.get_by_name("bg")
element.add_control_binding(GObject.new(Steps, object=element, name="background"))
show = lambda sink, buffer, pad: print("frame", [*buffer.extract_dup(0, 3), buffer.pts // Gst.MSECOND])
pipeline.get_by_name("out").connect("handoff", show)
pipeline.set_state(Gst.State.PLAYING)
pipeline.get_bus().timed_pop_filtered(Gst.CLOCK_TIME_NONE, Gst.MessageType.EOS | Gst.MessageType.ERROR)
pipeline.set_state(Gst.State.NULL)
"#;

#[test]
fn a_text_is_key_framed_by_a_binding_of_ones_own() {
    let text = output(Command::new("/usr/bin/python3").args(["-c", STEPS]));
    let frames = pixels(&text, "frame");
    assert_eq!(frames.len(), 20, "{text}");
    for [r, g, b, time] in frames {
        assert_eq!([r, g, b], if time < 500 { [255, 0, 0] } else { [0, 0, 255] }, "at {time} ms");
    }
}
