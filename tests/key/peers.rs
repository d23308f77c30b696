//! What people key with today, each at the setting that the truth likes best.

use super::scene::{Scene, Setup};
use super::{over_grey, stamped};
use gst::prelude::*;
use gst_video::{VideoFormat, VideoInfo};
use gstbgremove::measure::{Size, difference, from_bytes, gradient};
use std::io::Write;
use std::process::{Command, Stdio};

/// The best that a search found: each measure for itself.
pub struct Best {
    pub mad: f64,
    pub grad: f64,
    /// Colours over grey at the setting of the least MAD, and the rim; where they were looked at.
    pub off: f64,
    pub rim: f64,
}

/// Settings whose MAD is so many times the least are looked at for their Grad.
const NEAR: f64 = 1.6;

/// The mattes of a search, and what became of them.
struct Search<'a> {
    scene: &'a Scene,
    size: Size,
    tried: Vec<(f64, Vec<u8>)>,
    least: f64,
}

impl<'a> Search<'a> {
    fn new(scene: &'a Scene) -> Self {
        let size = Size::new(scene.width, scene.height);
        Self { scene, size, tried: Vec::new(), least: f64::MAX }
    }

    /// Whether its MAD is the least so far.
    fn see(&mut self, alpha: Vec<u8>) -> bool {
        let mad = difference(&from_bytes(&alpha), &self.scene.alpha);
        let best = mad < self.least;
        self.least = self.least.min(mad);
        self.tried.push((mad, alpha));
        let most = NEAR * self.least;
        self.tried.retain(|t| t.0 <= most);
        best
    }

    fn best(&self) -> Best {
        // As `Truth` has it, which measures all else as well.
        let truth = gradient(&self.scene.alpha, self.size);
        let grads = self.tried.iter().map(|(_, alpha)| {
            let own = gradient(&from_bytes(alpha), self.size);
            own.iter().zip(&truth).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / 1e3
        });
        Best { mad: self.least, grad: grads.fold(f64::MAX, f64::min), off: f64::MAX, rim: f64::MAX }
    }
}

/// GStreamer's element `alpha`: its green or blue, and told the paint, which fits better.
pub fn alpha(scene: &Scene, setup: &Setup, info: &VideoInfo, frame: &[u8]) -> Best {
    let element = gst::ElementFactory::make("alpha").build().unwrap();
    let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_live(false);
    harness.set_src_caps(info.to_caps().unwrap());
    harness.set_sink_caps_str("video/x-raw,format=AYUV");
    let [r, g, b] = setup.paint.map(|v| v as u32);
    for (name, value) in [("target-r", r), ("target-g", g), ("target-b", b)] {
        element.set_property(name, value);
    }
    let mut search = Search::new(scene);
    let own = if b > g { "blue" } else { "green" };
    for method in ["custom", own] {
        element.set_property_from_str("method", method);
        for angle in [10.0f32, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0] {
            for noise in [0.0f32, 2.0, 5.0, 10.0, 20.0] {
                element.set_property("angle", angle);
                element.set_property("noise-level", noise);
                let out = harness.push_and_pull(stamped(frame.to_vec(), 0)).unwrap();
                search.see(out.map_readable().unwrap().chunks_exact(4).map(|p| p[0]).collect());
            }
        }
    }
    search.best()
}

/// ffmpeg's `chromakey` and `despill`, told the paint.
pub fn chromakey(scene: &Scene, setup: &Setup, info: &VideoInfo, frame: &[u8]) -> Best {
    const SIMILARITIES: [f32; 7] = [0.01, 0.02, 0.04, 0.06, 0.09, 0.13, 0.19];
    const BLENDS: [f32; 7] = [0.0, 0.03, 0.06, 0.1, 0.15, 0.22, 0.32];
    let [r, g, b] = setup.paint.map(|v| v as u8);
    let color = format!("0x{r:02x}{g:02x}{b:02x}");
    let rgb = info.format() == VideoFormat::Rgb;
    // All of the colours that there are.
    let (keeps, with_alpha) = if rgb { ("format=yuv444p,", "yuva444p") } else { ("", "yuva420p") };
    let pixels = scene.width * scene.height;
    let settings: Vec<(f32, f32)> =
        SIMILARITIES.iter().flat_map(|s| BLENDS.iter().map(move |b| (*s, *b))).collect();
    let n = settings.len();
    // All at once, one under the other.
    let mut graph = format!("[0]{keeps}split={n}");
    (0..n).for_each(|i| graph += &format!("[s{i}]"));
    for (i, (similarity, blend)) in settings.iter().enumerate() {
        let filter = format!("chromakey={color}:{similarity}:{blend},format={with_alpha}");
        graph += &format!(";[s{i}]{filter},alphaextract,format=gray[o{i}]");
    }
    graph += ";";
    (0..n).for_each(|i| graph += &format!("[o{i}]"));
    graph += &format!("vstack=inputs={n}");
    let all = ffmpeg(scene, rgb, frame, &["-filter_complex", &graph, "-pix_fmt", "gray"]);
    assert_eq!(all.len(), n * pixels);
    let mut search = Search::new(scene);
    let mut at = 0;
    for (i, alpha) in all.chunks_exact(pixels).enumerate() {
        if search.see(alpha.to_vec()) {
            at = i;
        }
    }
    let mut best = search.best();
    let (similarity, blend) = settings[at];
    let kind = if b > g { "blue" } else { "green" };
    for (mix, expand) in [(0.5, 0.0), (0.3, 0.0), (0.7, 0.0), (0.5, 0.1), (1.0, 0.0), (0.2, 0.1)] {
        let filters = format!(
            "{keeps}chromakey={color}:{similarity}:{blend},format=rgba,despill=type={kind}:mix={mix}:expand={expand}"
        );
        let rgba = ffmpeg(scene, rgb, frame, &["-vf", &filters, "-pix_fmt", "rgba"]);
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

/// What ffmpeg makes of a scene's frame, RGB or I420.
fn ffmpeg(scene: &Scene, rgb: bool, frame: &[u8], arguments: &[&str]) -> Vec<u8> {
    let size = format!("{}x{}", scene.width, scene.height);
    let format: &[&str] = match rgb {
        true => &["rgb24"],
        false => &["yuv420p", "-color_range", "tv", "-colorspace", "bt709"],
    };
    let mut child = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "rawvideo", "-s", &size, "-pix_fmt"])
        .args(format)
        .args(["-i", "-"])
        .args(arguments)
        .args(["-frames:v", "1", "-f", "rawvideo", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("ffmpeg: {e}; `make deps-test` installs it"));
    let mut input = child.stdin.take().unwrap();
    let frame = frame.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&frame));
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "ffmpeg {arguments:?}");
    writer.join().unwrap().unwrap();
    out.stdout
}
