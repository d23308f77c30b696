//! What one 1080p frame costs after the network, stage by stage, beside a copy of the frame.

use criterion::{Criterion, criterion_group, criterion_main};
use gstbgremove::frame::{Color, Format, Frame, FrameMut, Plane, PlaneMut};
use gstbgremove::refine::{Foreground, Quality, Refiner};
use gstbgremove::temporal::Smoother;
use std::hint::black_box;

const W: usize = 1920;
const H: usize = 1080;
const MASK: (usize, usize) = (256, 144);

/// Head and shoulders, to the size of those of a talking head: distance from the outline in frame pixels.
fn outline(x: f32, y: f32) -> f32 {
    let head = 230.0 - ((x - 960.0) / 0.8).hypot(y - 420.0);
    let body = 620.0 - ((x - 960.0) * 0.9).hypot(y - 1280.0);
    head.max(body) + 3.0 * (x * 0.11).sin() + 3.0 * (y * 0.09).cos()
}

fn picture() -> Vec<u8> {
    let mut data = vec![0u8; W * H * 3 / 2];
    let mut seed = 1u32;
    for (i, v) in data.iter_mut().enumerate() {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (seed >> 29) as f32;
        let (x, y, levels) = match i.checked_sub(W * H) {
            None => (i % W, i / W, [60.0, 150.0]),
            Some(i) => (i % (W / 2) * 2, i / (W / 2) % (H / 2) * 2, [110.0, 140.0]),
        };
        let a = (outline(x as f32, y as f32) + 0.5).clamp(0.0, 1.0);
        *v = (levels[0] + (levels[1] - levels[0]) * a + noise) as u8;
    }
    data
}

fn mask() -> Vec<f32> {
    let cell = W as f32 / MASK.0 as f32;
    (0..MASK.0 * MASK.1)
        .map(|i| {
            let (x, y) = ((i % MASK.0) as f32 * cell, (i / MASK.0) as f32 * cell);
            (0.5 + (outline(x, y) + 4.0 * (x * 0.03).sin()) / (2.5 * cell)).clamp(0.0, 1.0)
        })
        .collect()
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

fn stages(c: &mut Criterion) {
    let (mut data, mask) = (picture(), mask());
    let mut copy = data.clone();
    let mut alpha = vec![0u8; W * H];
    let mut group = c.benchmark_group("1080p I420, mask 256x144");
    group.bench_function("copy the frame", |b| b.iter(|| copy.copy_from_slice(black_box(&data))));
    for quality in [Quality::None, Quality::Fast, Quality::Best] {
        let mut refiner = Refiner::new();
        group.bench_function(format!("refine {quality:?}"), |b| {
            b.iter(|| refiner.refine(&frame(&data), &mask, MASK.0, MASK.1, quality, black_box(&mut alpha)));
        });
    }
    let mut smoother = Smoother::new();
    group.bench_function("steady mask and matte", |b| {
        b.iter(|| {
            let mut mask = mask.clone();
            smoother.mask(&frame(&data), black_box(&mut mask), MASK.0, MASK.1, 0.6);
            smoother.apply(&frame(&data), black_box(&mut alpha), 0.6);
        });
    });
    let mut foreground = Foreground::new();
    group.bench_function("foreground", |b| {
        b.iter(|| {
            let (y, c) = data.split_at_mut(W * H);
            let (u, v) = c.split_at_mut(W * H / 4);
            let plane = |data, stride| PlaneMut { data, stride };
            let mut frame = FrameMut {
                format: Format::I420,
                color: Color::BT709,
                width: W,
                height: H,
                planes: [plane(y, W), plane(u, W / 2), plane(v, W / 2), plane(&mut [], 0)],
            };
            foreground.estimate(black_box(&mut frame), &alpha);
        });
    });
    group.finish();
}

criterion_group!(benches, stages);
criterion_main!(benches);
