//! What a live stream gets when the network is slower than the stream.
//!
//! `cargo bench --bench live` prints two things. *Age*: the network is so slow that a mask is some frames old; how far
//! from the truth is the matte when the mask is carried to the frame, when it is left where it was, and when each
//! frame waits for its own (the measures of `bgremove compare --truth`). This part is simulated, so that it comes out
//! the same on every machine. *Pace*: a live 1080p stream of 30 frames a second through the element, `original` on
//! the CPU provider: how long frames take, how old the masks are, whether any is lost; of a small thing that moves, of
//! test bars, which that network is undecided about all over, and of noise.
//!
//! Options: `--model NAME`, `--latency FRAMES` (5), `--seconds N` (10; 0 leaves the pace out), `--pictures FOLDER`
//! (NAME.jpg with NAME_alpha.png beside it; without, the portrait cut out and put before another ground).

use gst::prelude::*;
use gstbgremove::frame::{Color, Format, Frame, Plane};
use gstbgremove::mask::Mask;
use gstbgremove::matte::Matting;
use gstbgremove::measure::{Size, Truth, TruthFrame, from_bytes};
use gstbgremove::models::{self, Network};
use gstbgremove::refine::{Quality, Refiner};
use gstbgremove::runtime::{self, Provider, Runtime};
use gstbgremove::temporal::{Carrier, Smoother};
use image::{GrayImage, RgbImage};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const W: usize = 1280;
const H: usize = 720;
const FRAMES: usize = 45;
const STRENGTH: f32 = 0.6;

/// A picture with its matte, and what is behind it if that moves apart from it.
struct Scene {
    name: String,
    picture: RgbImage,
    alpha: GrayImage,
    ground: Option<RgbImage>,
}

/// Where a pixel of frame `t` (in seconds) comes from in a picture: a hand-held camera and a swaying subject.
fn place(x: f32, y: f32, t: f32, (w, h): (f32, f32)) -> (f32, f32) {
    let turn = |f: f32, p: f32| (std::f32::consts::TAU * (f * t + p)).sin();
    let scale = (W as f32 / w).max(H as f32 / h) * 1.12 * (1.0 + 0.06 * turn(0.7, 0.2));
    let angle = 0.044 * turn(0.9, 0.6);
    let sway = 0.006 * H as f32;
    let phase = std::f32::consts::TAU * t;
    let ex = sway * (std::f32::consts::TAU * y / (0.6 * H as f32) + 2.0 * phase).sin();
    let ey = sway * (std::f32::consts::TAU * x / (0.7 * W as f32) + 1.5 * phase).sin();
    let u = x - W as f32 / 2.0 - 0.05 * W as f32 * turn(1.0, 0.35) + ex;
    let v = y - H as f32 / 2.0 - 0.03 * H as f32 * turn(1.3, 0.8) + ey;
    let (s, c) = (angle.sin() / scale, angle.cos() / scale);
    (c * u - s * v + w / 2.0, s * u + c * v + h / 2.0)
}

/// Bilinear, mirrored at the edges.
fn sample(data: &[u8], (w, h): (usize, usize), channels: usize, channel: usize, x: f32, y: f32) -> f32 {
    let mirror = |v: i64, n: usize| {
        let m = v.rem_euclid(2 * n as i64);
        (if m < n as i64 { m } else { 2 * n as i64 - 1 - m }) as usize
    };
    let (fx, fy) = (x.floor(), y.floor());
    let at = |dx: i64, dy: i64| {
        let (u, v) = (mirror(fx as i64 + dx, w), mirror(fy as i64 + dy, h));
        f32::from(data[(v * w + u) * channels + channel])
    };
    let (ax, ay) = (x - fx, y - fy);
    let top = at(0, 0) * (1.0 - ax) + at(1, 0) * ax;
    let bottom = at(0, 1) * (1.0 - ax) + at(1, 1) * ax;
    top * (1.0 - ay) + bottom * ay
}

impl Scene {
    /// Frame `n` as RGB, and its alpha.
    fn frame(&self, n: usize) -> (Vec<u8>, Vec<u8>) {
        let t = n as f32 / 30.0;
        let (mut rgb, mut alpha) = (vec![0; W * H * 3], vec![0; W * H]);
        let size = |i: (u32, u32)| (i.0 as usize, i.1 as usize);
        let (ps, gs) = (size(self.picture.dimensions()), self.ground.as_ref().map(|g| size(g.dimensions())));
        let float = |s: (usize, usize)| (s.0 as f32, s.1 as f32);
        for i in 0..W * H {
            let (x, y) = ((i % W) as f32, (i / W) as f32);
            let (px, py) = place(x, y, t, float(ps));
            let a = sample(self.alpha.as_raw(), ps, 1, 0, px, py);
            for c in 0..3 {
                let mut v = sample(self.picture.as_raw(), ps, 3, c, px, py);
                if let (Some(ground), Some(gs)) = (&self.ground, gs) {
                    let (gx, gy) = place(x, y, 0.4 - 1.2 * t, float(gs));
                    let g = sample(ground.as_raw(), gs, 3, c, gx, gy);
                    v = g + (v - g) * a / 255.0;
                }
                rgb[3 * i + c] = (v + 0.5) as u8;
            }
            alpha[i] = (a + 0.5) as u8;
        }
        (rgb, alpha)
    }
}

fn view(rgb: &[u8]) -> Frame<'_> {
    let empty = Plane { data: &[], stride: 0 };
    let color = Color { full_range: true, ..Color::BT709 };
    let planes = [Plane { data: rgb, stride: W * 3 }, empty, empty, empty];
    Frame { format: Format::Rgb, color, width: W, height: H, planes }
}

fn network(runtime: &Runtime, model: &str) -> Network {
    let choice = models::resolve(model, Some(W as f64 / H as f64)).unwrap_or_else(|e| panic!("{e}"));
    Network::load(runtime, &choice, &Provider::Cpu.into(), 0, false).unwrap_or_else(|e| panic!("{e}"))
}

/// Smooths and refines as the element does.
#[derive(Default)]
struct Rest {
    smoother: Smoother,
    refiner: Refiner,
}

impl Rest {
    fn matte(&mut self, frame: &Frame<'_>, mask: &mut Mask, recurrent: bool) -> Vec<u8> {
        let mut alpha = vec![0; W * H];
        if !recurrent {
            self.smoother.smooth_mask(frame, &mut mask.data, mask.width, mask.height, STRENGTH);
        }
        self.refiner.refine(frame, &mask.data, mask.width, mask.height, Quality::Best, &mut alpha);
        self.smoother.smooth_matte(frame, &mut alpha, STRENGTH);
        alpha
    }
}

/// The portrait, cut out by the finest of the networks that are built in, before its own mirror image in other
/// colours.
fn portrait(runtime: &Runtime) -> Scene {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("build/clips/astronaut.png");
    let picture = image::open(&path).unwrap_or_else(|e| panic!("{}: {e}; run `make clips`", path.display()));
    let picture = picture.resize_exact(1024, 1024, image::imageops::FilterType::CatmullRom).into_rgb8();
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    let empty = Plane { data: &[], stride: 0 };
    let color = Color { full_range: true, ..Color::BT709 };
    let planes = [Plane { data: picture.as_raw(), stride: w * 3 }, empty, empty, empty];
    let frame = Frame { format: Format::Rgb, color, width: w, height: h, planes };
    let mut matting = Matting::new(network(runtime, "original"), 0, false);
    let mask = matting.run(&frame, None, &Default::default()).unwrap_or_else(|e| panic!("{e}"));
    let mut alpha = vec![0; w * h];
    Refiner::new().refine(&frame, &mask.data, mask.width, mask.height, Quality::Best, &mut alpha);
    let mut ground = image::imageops::blur(&image::imageops::flip_horizontal(&picture), 3.0);
    ground.pixels_mut().for_each(|p| p.0.rotate_left(1));
    let alpha = GrayImage::from_raw(w as u32, h as u32, alpha).expect("the picture's size");
    Scene { name: "portrait".into(), picture, alpha, ground: Some(ground) }
}

fn pictures(folder: &Path) -> Vec<Scene> {
    let mut scenes: Vec<Scene> = std::fs::read_dir(folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .filter_map(|e| e.ok().map(|e| e.path()).filter(|p| p.extension().is_some_and(|x| x == "jpg")))
        .map(|p| {
            let name = p.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let open = |p: PathBuf| image::open(&p).unwrap_or_else(|e| panic!("{}: {e}", p.display()));
            let alpha = open(p.with_file_name(format!("{name}_alpha.png"))).into_luma8();
            let mut picture = open(p).into_rgb8();
            if picture.dimensions() != alpha.dimensions() {
                let (w, h) = alpha.dimensions();
                picture = image::imageops::resize(&picture, w, h, image::imageops::FilterType::Triangle);
            }
            Scene { name, picture, alpha, ground: None }
        })
        .collect();
    scenes.sort_by(|a, b| a.name.cmp(&b.name));
    scenes
}

/// Mean MAD, Grad, Edge, dtSSD.
fn means(frames: &[TruthFrame]) -> [f64; 4] {
    let mean = |f: &dyn Fn(&TruthFrame) -> Option<f64>| {
        let v: Vec<f64> = frames.iter().filter_map(f).collect();
        v.iter().sum::<f64>() / v.len().max(1) as f64
    };
    [mean(&|f| Some(f.mad)), mean(&|f| Some(f.grad)), mean(&|f| Some(f.edge)), mean(&|f| f.dtssd)]
}

/// How good the mattes are: own mask, carried, left where it was.
fn age(scene: &Scene, network: &Network, latency: usize, keep: Option<&Path>) -> [[f64; 4]; 3] {
    let recurrent = !network.spec.states.is_empty();
    let frames: Vec<(Vec<u8>, Vec<u8>)> = (0..FRAMES).map(|n| scene.frame(n)).collect();
    let size = Size::new(W, H);
    // Its own mask for each frame.
    let mut matting = Matting::new(network.clone(), 0, true);
    let mut run = |n: usize| -> Mask {
        matting.run(&view(&frames[n].0), None, &Default::default()).unwrap_or_else(|e| panic!("{e}")).clone()
    };
    let all: Vec<Mask> = (0..FRAMES).map(&mut run).collect();
    // A slow network sees each latency-th frame only; one with state has seen no others.
    let mut slow = Matting::new(network.clone(), 0, true);
    let seen: Vec<Mask> = (0..FRAMES)
        .step_by(latency)
        .map(|n| {
            slow.run(&view(&frames[n].0), None, &Default::default()).unwrap_or_else(|e| panic!("{e}")).clone()
        })
        .collect();
    let mut rests: [Rest; 3] = Default::default();
    let mut truths = [(); 3].map(|()| Truth::new(size));
    let mut carrier = Carrier::new();
    for (n, (rgb, alpha)) in frames.iter().enumerate() {
        let frame = view(rgb);
        let truth = from_bytes(alpha);
        carrier.advance(&frame);
        if n % latency == 0 {
            carrier.mark(n as u64);
        }
        // What was asked at frame m is there at m + latency, when the next is asked.
        let m = (n / latency).checked_sub(1);
        let stale = m.map(|m| seen[m].clone()).unwrap_or_else(|| all[n].clone());
        let mut carried = stale.clone();
        if let Some(m) = m {
            carrier.carry((m * latency) as u64, &stale.data, stale.width, stale.height, &mut carried.data);
            carrier.retain(|k| k >= (m * latency) as u64);
        }
        for (kind, mut mask) in [all[n].clone(), carried, stale].into_iter().enumerate() {
            let matte = rests[kind].matte(&frame, &mut mask, recurrent);
            if n == FRAMES - 2
                && let Some(folder) = keep
            {
                let name = folder.join(format!("{}-{}.png", scene.name, ["own", "carried", "stale"][kind]));
                let image = GrayImage::from_raw(W as u32, H as u32, matte.clone()).expect("the frame's size");
                image.save(&name).unwrap_or_else(|e| panic!("{}: {e}", name.display()));
            }
            if n >= 2 * latency {
                truths[kind].add(&from_bytes(&matte), &truth).expect("the frame's size");
            }
        }
    }
    truths.map(|t| means(t.frames()))
}

/// A live stream through the element; prints what it says of itself, and how much longer frames take than the best.
fn pace(model: &str, pattern: &str, seconds: u64) {
    let frames = seconds * 30;
    let line = format!(
        "videotestsrc is-live=true num-buffers={frames} pattern={pattern} ! \
         video/x-raw,format=I420,width=1920,height=1080,framerate=30/1 ! queue ! identity name=before ! \
         bgremove name=bg model={model} execution-provider=cpu ! identity name=after ! fakesink name=sink sync=true"
    );
    let pipeline = gst::parse::launch(&line).unwrap_or_else(|e| panic!("{e}"));
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    // How long after its time on the clock each frame leaves the element.
    let delays: Arc<Mutex<Vec<f64>>> = Default::default();
    let (into, clock_of) = (Arc::clone(&delays), pipeline.downgrade());
    let after = pipeline.by_name("after").expect("it").static_pad("sink").expect("its pad");
    after.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let now = clock_of.upgrade().and_then(|p| p.current_running_time());
        if let (Some(now), Some(pts)) = (now, info.buffer().and_then(|b| b.pts())) {
            let late = now.nseconds() as f64 - pts.nseconds() as f64;
            into.lock().expect("the only one").push(late / 1e6);
        }
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Playing).expect("it plays");
    let bus = pipeline.bus().expect("a bus");
    for message in bus.iter_timed(gst::ClockTime::NONE) {
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(e) => panic!("{}", e.error()),
            gst::MessageView::Latency(_) => {
                let _ = pipeline.recalculate_latency();
            }
            _ => {}
        }
    }
    let bg = pipeline.by_name("bg").expect("the element");
    let stats: gst::Structure = bg.property("stats");
    pipeline.set_state(gst::State::Null).expect("it stops");
    // Times are given as plain numbers of nanoseconds.
    let time = |name: &str| stats.get::<u64>(name).map_or(f64::NAN, |t| t as f64 / 1e6);
    let count = |name: &str| stats.get::<u64>(name).unwrap_or_default();
    let mut delays = std::mem::take(&mut *delays.lock().expect("the only one"));
    delays.sort_by(f64::total_cmp);
    let at =
        |q: f64| delays.get((q * (delays.len().max(1) - 1) as f64) as usize).copied().unwrap_or(f64::NAN);
    println!(
        "{model}, {pattern}, 1080p at 30 frames/s for {seconds} s: {} of {frames} frames out, {} dropped, {} with \
         coarser edges; {} inferences of {:.0} ms",
        count("frames-out"),
        count("frames-dropped"),
        count("frames-coarser"),
        count("inferences"),
        time("inference-p50"),
    );
    println!(
        "  99 frames in a hundred leave within {:.1} ms of the best, the worst {:.1} ms after it (aim: 50 ms); a frame \
         takes {:.1} ms (p50), {:.1} ms (p99); masks are {:.0} ms old (p50), {:.0} ms (p95)",
        at(0.99) - at(0.0),
        at(1.0) - at(0.0),
        time("frame-p50"),
        time("frame-p99"),
        time("mask-age-p50"),
        time("mask-age-p95"),
    );
}

fn main() {
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    let (mut model, mut latency, mut seconds, mut folder, mut keep) =
        ("original".to_string(), 5usize, 10u64, None, None);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| panic!("{arg} wants a value"));
        match arg.as_str() {
            "--model" => model = value(),
            "--latency" => latency = value().parse().expect("a number of frames"),
            "--seconds" => seconds = value().parse().expect("a number"),
            "--pictures" => folder = Some(PathBuf::from(value())),
            "--keep" => keep = Some(PathBuf::from(value())),
            other => panic!("{other} is not known; see the head of benches/live.rs"),
        }
    }
    gst::init().expect("GStreamer");
    gstbgremove::plugin_register_static().expect("the plugin");
    let runtime = runtime::open(None).unwrap_or_else(|e| panic!("{e}"));
    let scenes = match &folder {
        Some(folder) => pictures(folder),
        None => vec![portrait(runtime)],
    };
    let network = network(runtime, &model);
    println!("Age: {model}, {W}×{H}, masks {latency} to {} frames old", 2 * latency - 1);
    println!("{:<14}{:>9}{:>9}{:>9}{:>9}", "", "MAD", "Grad", "Edge", "dtSSD");
    let mut ratios: [[f64; 4]; 2] = [[0.0; 4]; 2];
    for scene in &scenes {
        let rows = age(scene, &network, latency, keep.as_deref());
        for (name, row) in ["own mask", "carried", "left"].iter().zip(rows) {
            println!(
                "{:<14}{:>9.2}{:>9.2}{:>9.2}{:>9.2}   {}",
                name, row[0], row[1], row[2], row[3], scene.name
            );
        }
        for (ratio, row) in ratios.iter_mut().zip(&rows[1..]) {
            for k in 0..4 {
                ratio[k] += (row[k].max(1e-6) / rows[0][k].max(1e-6)).ln() / scenes.len() as f64;
            }
        }
    }
    for (name, r) in ["carried ÷ own", "left ÷ own"].iter().zip(ratios) {
        let r = r.map(f64::exp);
        println!("{:<14}{:>9.2}{:>9.2}{:>9.2}{:>9.2}", name, r[0], r[1], r[2], r[3]);
    }
    if seconds > 0 {
        println!();
        // A small thing that moves; what the network is undecided about all over; and noise.
        for pattern in ["ball", "smpte", "snow"] {
            pace(&model, pattern, seconds);
        }
    }
}
