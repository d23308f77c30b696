//! What people key with today, each at the setting that the truth likes best.

use super::scene::{Scene, Setup, i420};
use super::{measure, over_grey, stamped};
use gst::prelude::*;
use gst_video::VideoInfo;
use gstbgremove::measure::TruthFrame;
use std::io::Write;
use std::process::{Command, Stdio};

/// The best that a search found: each measure for itself.
pub struct Best {
    pub measures: TruthFrame,
    /// Colours over grey at the setting of the least MAD, and the rim.
    pub off: f64,
    pub rim: f64,
}

impl Best {
    fn new() -> Self {
        let none = TruthFrame { mad: f64::MAX, grad: f64::MAX, ..TruthFrame::default() };
        Self { measures: none, off: f64::MAX, rim: f64::MAX }
    }

    /// Whether its MAD is the least so far.
    fn see(&mut self, alpha: &[u8], scene: &Scene) -> bool {
        let m = measure(alpha, scene);
        let better = m.mad < self.measures.mad;
        self.measures.mad = self.measures.mad.min(m.mad);
        self.measures.grad = self.measures.grad.min(m.grad);
        better
    }
}

/// GStreamer's element `alpha`, told the paint: its own green and blue fit no real screen as well.
pub fn alpha(scene: &Scene, setup: &Setup, info: &VideoInfo) -> Best {
    let element = gst::ElementFactory::make("alpha").build().unwrap();
    let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_live(false);
    harness.set_src_caps(info.to_caps().unwrap());
    harness.set_sink_caps_str("video/x-raw,format=AYUV");
    let [r, g, b] = setup.paint.map(|v| v as u32);
    let mut best = Best::new();
    let mut try_one = |method: &str, angle: f32, noise: f32| {
        element.set_property_from_str("method", method);
        if method == "custom" {
            for (name, value) in [("target-r", r), ("target-g", g), ("target-b", b)] {
                element.set_property(name, value);
            }
        }
        element.set_property("angle", angle);
        element.set_property("noise-level", noise);
        let out = harness.push_and_pull(stamped(i420(scene), 0)).unwrap();
        let alpha: Vec<u8> = out.map_readable().unwrap().chunks_exact(4).map(|p| p[0]).collect();
        best.see(&alpha, scene);
    };
    let own = if b > g { "blue" } else { "green" };
    for method in ["custom", own] {
        for angle in [5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0] {
            for noise in [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0] {
                try_one(method, angle, noise);
            }
        }
    }
    best
}

/// ffmpeg's `chromakey` and `despill`, told the paint.
pub fn chromakey(scene: &Scene, setup: &Setup) -> Best {
    const SIMILARITIES: [f32; 9] = [0.01, 0.02, 0.03, 0.05, 0.08, 0.11, 0.15, 0.2, 0.27];
    const BLENDS: [f32; 8] = [0.0, 0.02, 0.05, 0.08, 0.12, 0.17, 0.25, 0.35];
    let [r, g, b] = setup.paint.map(|v| v as u8);
    let color = format!("0x{r:02x}{g:02x}{b:02x}");
    let pixels = scene.width * scene.height;
    let settings: Vec<(f32, f32)> =
        SIMILARITIES.iter().flat_map(|s| BLENDS.iter().map(move |b| (*s, *b))).collect();
    let n = settings.len();
    // All at once: one under the other.
    let mut graph = format!("[0]split={n}");
    (0..n).for_each(|i| graph += &format!("[s{i}]"));
    for (i, (similarity, blend)) in settings.iter().enumerate() {
        graph += &format!(
            ";[s{i}]chromakey={color}:{similarity}:{blend},format=yuva420p,alphaextract,format=gray[o{i}]"
        );
    }
    graph += ";";
    (0..n).for_each(|i| graph += &format!("[o{i}]"));
    graph += &format!("vstack=inputs={n}");
    let all = ffmpeg(scene, &["-filter_complex", &graph, "-pix_fmt", "gray"]);
    assert_eq!(all.len(), n * pixels);
    let mut best = Best::new();
    let mut at = 0;
    for (i, alpha) in all.chunks_exact(pixels).enumerate() {
        if best.see(alpha, scene) {
            at = i;
        }
    }
    let (similarity, blend) = settings[at];
    let kind = if b > g { "blue" } else { "green" };
    for (mix, expand) in [(0.5, 0.0), (0.3, 0.0), (0.7, 0.0), (0.5, 0.1), (1.0, 0.0), (0.2, 0.1)] {
        let filters = format!(
            "chromakey={color}:{similarity}:{blend},format=rgba,despill=type={kind}:mix={mix}:expand={expand}"
        );
        let rgba = ffmpeg(scene, &["-vf", &filters, "-pix_fmt", "rgba"]);
        assert_eq!(rgba.len(), 4 * pixels);
        let alpha: Vec<u8> = rgba.chunks_exact(4).map(|p| p[3]).collect();
        let rgb: Vec<u8> = rgba.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
        let (off, rim) = over_grey(&rgb, &alpha, scene, setup);
        if off < best.off {
            (best.off, best.rim) = (off, rim);
        }
    }
    best
}

/// What ffmpeg makes of a scene.
fn ffmpeg(scene: &Scene, arguments: &[&str]) -> Vec<u8> {
    let size = format!("{}x{}", scene.width, scene.height);
    let mut child = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", &size])
        .args(["-color_range", "tv", "-colorspace", "bt709", "-i", "-"])
        .args(arguments)
        .args(["-frames:v", "1", "-f", "rawvideo", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("ffmpeg: {e}; `make deps-test` installs it"));
    let mut input = child.stdin.take().unwrap();
    let frame = i420(scene);
    let writer = std::thread::spawn(move || input.write_all(&frame));
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "ffmpeg {arguments:?}");
    writer.join().unwrap().unwrap();
    out.stdout
}
