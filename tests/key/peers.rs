//! What people key with today, each at the setting that the truth likes best: of all on a half-size frame, of the dozen best of
//! those on the whole one.

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
/// What is best is looked for on a small frame, and of the whole one so many are tried: the best by each measure.
const KEPT: usize = 12;

/// A scene as a frame of a format.
pub struct Shot<'a> {
    pub scene: &'a Scene,
    pub info: &'a VideoInfo,
    pub frame: &'a [u8],
}

/// The mattes of a search, and what became of them.
struct Search<'a> {
    scene: &'a Scene,
    size: Size,
    /// Which setting, its MAD, its matte.
    tried: Vec<(usize, f64, Vec<u8>)>,
    least: f64,
}

impl<'a> Search<'a> {
    fn new(scene: &'a Scene) -> Self {
        let size = Size::new(scene.width, scene.height);
        Self { scene, size, tried: Vec::new(), least: f64::MAX }
    }

    fn see(&mut self, setting: usize, alpha: Vec<u8>) {
        let mad = difference(&from_bytes(&alpha), &self.scene.alpha);
        self.least = self.least.min(mad);
        self.tried.push((setting, mad, alpha));
        let most = NEAR * self.least;
        self.tried.retain(|t| t.1 <= most);
    }

    /// Setting, MAD and Grad.
    fn measured(&self) -> Vec<(usize, f64, f64)> {
        // As `Truth` has it, which measures all else as well.
        let truth = gradient(&self.scene.alpha, self.size);
        let grad = |alpha: &[u8]| {
            let own = gradient(&from_bytes(alpha), self.size);
            own.iter().zip(&truth).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / 1e3
        };
        self.tried.iter().map(|(setting, mad, alpha)| (*setting, *mad, grad(alpha))).collect()
    }
}

/// The least MAD and the setting that has it, and the least Grad, of so many settings: `mattes` gives those of some of them.
fn search(
    [small, whole]: [&Shot; 2],
    settings: usize,
    mattes: impl Fn(&Shot, &[usize], &mut dyn FnMut(usize, Vec<u8>)),
) -> (Best, usize) {
    let run = |shot: &Shot, some: &[usize]| {
        let mut search = Search::new(shot.scene);
        mattes(shot, some, &mut |setting, alpha| search.see(setting, alpha));
        search.measured()
    };
    let mut measured = run(small, &(0..settings).collect::<Vec<_>>());
    let mut some = std::collections::BTreeSet::new();
    for by in [|m: &(usize, f64, f64)| m.1, |m: &(usize, f64, f64)| m.2] {
        measured.sort_by(|a, b| by(a).total_cmp(&by(b)));
        some.extend(measured.iter().take(KEPT).map(|m| m.0));
    }
    let measured = run(whole, &some.into_iter().collect::<Vec<_>>());
    let least =
        |by: fn(&(usize, f64, f64)) -> f64| *measured.iter().min_by(|a, b| by(a).total_cmp(&by(b))).unwrap();
    let (setting, mad, _) = least(|m| m.1);
    (Best { mad, grad: least(|m| m.2).2, off: f64::MAX, rim: f64::MAX }, setting)
}

/// GStreamer's element `alpha`: its green or blue, and told the paint, which fits better.
pub fn alpha(shots: [&Shot; 2], setup: &Setup) -> Best {
    let [r, g, b] = setup.paint.map(|v| v as u32);
    let own = if b > g { "blue" } else { "green" };
    let mut settings = Vec::new();
    for method in ["custom", own] {
        for angle in [10.0f32, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0] {
            settings.extend([0.0f32, 2.0, 5.0, 10.0, 20.0].map(|noise| (method, angle, noise)));
        }
    }
    let mattes = |shot: &Shot, some: &[usize], see: &mut dyn FnMut(usize, Vec<u8>)| {
        let element = gst::ElementFactory::make("alpha").build().unwrap();
        let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
        harness.set_live(false);
        harness.set_src_caps(shot.info.to_caps().unwrap());
        harness.set_sink_caps_str("video/x-raw,format=AYUV");
        for (name, value) in [("target-r", r), ("target-g", g), ("target-b", b)] {
            element.set_property(name, value);
        }
        for &n in some {
            let (method, angle, noise) = settings[n];
            element.set_property_from_str("method", method);
            element.set_property("angle", angle);
            element.set_property("noise-level", noise);
            let out = harness.push_and_pull(stamped(shot.frame.to_vec(), 0)).unwrap();
            see(n, out.map_readable().unwrap().chunks_exact(4).map(|p| p[0]).collect());
        }
    };
    search(shots, settings.len(), mattes).0
}

/// ffmpeg's `chromakey` and `despill`, told the paint.
pub fn chromakey(shots: [&Shot; 2], setup: &Setup) -> Best {
    const SIMILARITIES: [f32; 7] = [0.01, 0.02, 0.04, 0.06, 0.09, 0.13, 0.19];
    const BLENDS: [f32; 7] = [0.0, 0.03, 0.06, 0.1, 0.15, 0.22, 0.32];
    let [r, g, b] = setup.paint.map(|v| v as u8);
    let color = format!("0x{r:02x}{g:02x}{b:02x}");
    let rgb = shots[1].info.format() == VideoFormat::Rgb;
    // All of the colours that there are.
    let (keeps, with_alpha) = if rgb { ("format=yuv444p,", "yuva444p") } else { ("", "yuva420p") };
    let settings: Vec<(f32, f32)> =
        SIMILARITIES.iter().flat_map(|s| BLENDS.iter().map(move |b| (*s, *b))).collect();
    let mattes = |shot: &Shot, some: &[usize], see: &mut dyn FnMut(usize, Vec<u8>)| {
        let (n, pixels) = (some.len(), shot.scene.width * shot.scene.height);
        // All at once, one under the other.
        let mut graph = format!("[0]{keeps}split={n}");
        (0..n).for_each(|i| graph += &format!("[s{i}]"));
        for (i, setting) in some.iter().enumerate() {
            let (similarity, blend) = settings[*setting];
            let filter = format!("chromakey={color}:{similarity}:{blend},format={with_alpha}");
            graph += &format!(";[s{i}]{filter},alphaextract,format=gray[o{i}]");
        }
        graph += ";";
        (0..n).for_each(|i| graph += &format!("[o{i}]"));
        graph += &format!("vstack=inputs={n}");
        let all = ffmpeg(shot.scene, rgb, shot.frame, &["-filter_complex", &graph, "-pix_fmt", "gray"]);
        assert_eq!(all.len(), n * pixels);
        some.iter().zip(all.chunks_exact(pixels)).for_each(|(setting, alpha)| see(*setting, alpha.to_vec()));
    };
    let (mut best, at) = search(shots, settings.len(), mattes);
    let (similarity, blend) = settings[at];
    let kind = if b > g { "blue" } else { "green" };
    let Shot { scene, frame, .. } = shots[1];
    let mixes = [(0.5, 0.0), (0.3, 0.0), (0.7, 0.0), (0.5, 0.1), (1.0, 0.0), (0.2, 0.1)];
    let mut graph =
        format!("[0]{keeps}chromakey={color}:{similarity}:{blend},format=rgba,split={}", mixes.len());
    (0..mixes.len()).for_each(|i| graph += &format!("[s{i}]"));
    for (i, (mix, expand)) in mixes.iter().enumerate() {
        graph += &format!(";[s{i}]despill=type={kind}:mix={mix}:expand={expand}[o{i}]");
    }
    graph += ";";
    (0..mixes.len()).for_each(|i| graph += &format!("[o{i}]"));
    graph += &format!("vstack=inputs={}", mixes.len());
    let all = ffmpeg(scene, rgb, frame, &["-filter_complex", &graph, "-pix_fmt", "rgba"]);
    assert_eq!(all.len(), mixes.len() * 4 * scene.width * scene.height);
    for rgba in all.chunks_exact(4 * scene.width * scene.height) {
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
