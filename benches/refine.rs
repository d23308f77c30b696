//! What one 1080p frame of the demo's clip costs after the network, stage by stage, on all cores, beside a copy of
//! the frame: `light`'s masks, I420, every round goes on to the next frame of the clip.
//!
//! `cargo bench --bench refine`. Needs the clip (`make clips`) and ONNX Runtime (`make runtime`).

use criterion::{Criterion, criterion_group, criterion_main};
use gst::prelude::*;
use gstbgremove::frame::{Color, Format, Frame, FrameMut, Plane, PlaneMut};
use gstbgremove::mask::Mask;
use gstbgremove::matte::Matting;
use gstbgremove::models::{self, Network};
use gstbgremove::refine::{Colors, Foreground, Quality, Refiner};
use gstbgremove::runtime::{self, Provider};
use gstbgremove::temporal::Smoother;
use std::hint::black_box;

const W: usize = 1920;
const H: usize = 1080;
/// Frames that the rounds go through, to and fro, so that none is a cut.
const FRAMES: usize = 30;
/// The element's default.
const STRENGTH: f32 = 0.6;

/// Frames of the clip, I420 with tight rows.
fn frames() -> Vec<Vec<u8>> {
    gst::init().expect("GStreamer");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/build/clips/astronaut.mp4");
    assert!(std::path::Path::new(path).exists(), "{path} is missing: run `make clips`");
    let line = format!(
        "filesrc location=\"{path}\" ! decodebin ! videoconvert ! videoscale method=lanczos ! \
         video/x-raw,format=I420,width={W},height={H},pixel-aspect-ratio=1/1 ! appsink name=out sync=false"
    );
    let pipeline = gst::parse::launch(&line).expect("a pipeline").downcast::<gst::Pipeline>().expect("one");
    let sink = pipeline.by_name("out").expect("a sink");
    pipeline.set_state(gst::State::Playing).expect("a clip that plays");
    let pull = |_| {
        let sample: gst::Sample = sink.emit_by_name("pull-sample", &[]);
        let map = sample.buffer().expect("a frame").map_readable().expect("a frame");
        map[..W * H * 3 / 2].to_vec()
    };
    let frames = (0..FRAMES).map(pull).collect();
    pipeline.set_state(gst::State::Null).expect("an end");
    frames
}

fn frame(data: &[u8]) -> Frame<'_> {
    let (y, c) = data.split_at(W * H);
    let (u, v) = c.split_at(W * H / 4);
    let plane = |data, stride| Plane { data, stride };
    Frame {
        format: Format::I420,
        color: Color::BT709,
        width: W,
        height: H,
        planes: [plane(y, W), plane(u, W / 2), plane(v, W / 2), plane(&[], 0)],
    }
}

fn frame_mut(data: &mut [u8]) -> FrameMut<'_> {
    let (y, c) = data.split_at_mut(W * H);
    let (u, v) = c.split_at_mut(W * H / 4);
    let plane = |data, stride| PlaneMut { data, stride };
    FrameMut {
        format: Format::I420,
        color: Color::BT709,
        width: W,
        height: H,
        planes: [plane(y, W), plane(u, W / 2), plane(v, W / 2), plane(&mut [], 0)],
    }
}

/// What the network gives for each frame.
fn masks(frames: &[Vec<u8>]) -> Vec<Mask> {
    let fail = |e: gstbgremove::error::Error| -> ! { panic!("{e}") };
    let runtime = runtime::open(None).unwrap_or_else(|e| fail(e));
    let choice = models::resolve("light", Some(W as f64 / H as f64)).unwrap_or_else(|e| fail(e));
    let network =
        Network::load(runtime, &choice, &Provider::Cpu.into(), 0, false).unwrap_or_else(|e| fail(e));
    let mut matting = Matting::new(network, 0, true);
    let mut run =
        |f: &Vec<u8>| matting.run(&frame(f), None, &Default::default()).unwrap_or_else(|e| fail(e)).clone();
    frames.iter().map(&mut run).collect()
}

/// 0, 1, … to the last and back again.
fn to_and_fro() -> impl FnMut() -> usize {
    let mut n = 0;
    move || {
        n = (n + 1) % (2 * FRAMES - 2);
        n.min(2 * FRAMES - 2 - n)
    }
}

fn stages(c: &mut Criterion) {
    let frames = frames();
    let masks = masks(&frames);
    let mut alpha = vec![0u8; W * H];
    let mut copy = frames[0].clone();
    let mut group = c.benchmark_group("1080p I420, light");
    let mut next = to_and_fro();
    group.bench_function("copy the frame", |b| b.iter(|| copy.copy_from_slice(black_box(&frames[next()]))));
    for quality in [Quality::None, Quality::Fast, Quality::Best] {
        let (mut refiner, mut next) = (Refiner::new(), to_and_fro());
        group.bench_function(format!("refine {quality:?}"), |b| {
            b.iter(|| {
                let n = next();
                let mask = &masks[n];
                let (w, h) = (mask.width, mask.height);
                refiner.refine(&frame(&frames[n]), &mask.data, w, h, quality, black_box(&mut alpha));
            });
        });
    }
    let mut refiner = Refiner::new();
    let mattes: Vec<Vec<u8>> = frames
        .iter()
        .zip(&masks)
        .map(|(data, mask)| {
            let mut alpha = vec![0u8; W * H];
            let (w, h) = (mask.width, mask.height);
            refiner.refine(&frame(data), &mask.data, w, h, Quality::Best, &mut alpha);
            alpha
        })
        .collect();
    let (mut smoother, mut next) = (Smoother::new(), to_and_fro());
    group.bench_function("steady mask and matte, with a copy of the matte", |b| {
        b.iter(|| {
            let n = next();
            let (frame, mut mask) = (frame(&frames[n]), masks[n].clone());
            let (w, h) = (mask.width, mask.height);
            smoother.smooth_mask(&frame, black_box(&mut mask.data), w, h, STRENGTH);
            alpha.copy_from_slice(&mattes[n]);
            smoother.smooth_matte(&frame, black_box(&mut alpha), STRENGTH);
        });
    });
    let (mut foreground, mut next) = (Foreground::new(), to_and_fro());
    group.bench_function("copy the frame, foreground", |b| {
        b.iter(|| {
            let n = next();
            copy.copy_from_slice(&frames[n]);
            foreground.estimate(black_box(&mut frame_mut(&mut copy)), &mattes[n], Colors::All);
        });
    });
    let (mut smoother, mut refiner, mut foreground) = (Smoother::new(), Refiner::new(), Foreground::new());
    let mut next = to_and_fro();
    group.bench_function("all of it, with the copy", |b| {
        b.iter(|| {
            let n = next();
            let (frame, mut mask) = (frame(&frames[n]), masks[n].clone());
            let (w, h) = (mask.width, mask.height);
            smoother.smooth_mask(&frame, &mut mask.data, w, h, STRENGTH);
            refiner.refine(&frame, &mask.data, w, h, Quality::Best, &mut alpha);
            smoother.smooth_matte(&frame, &mut alpha, STRENGTH);
            copy.copy_from_slice(&frames[n]);
            foreground.estimate(black_box(&mut frame_mut(&mut copy)), black_box(&alpha), Colors::All);
        });
    });
    group.finish();
}

criterion_group!(benches, stages);
criterion_main!(benches);
