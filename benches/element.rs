//! The element's time a frame beside the bare network's, in one run: what is not the network is ours.
//!
//! `cargo bench --bench element`. Needs ONNX Runtime (`make runtime`).

mod common;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gstbgremove::models::{self, Network};
use gstbgremove::runtime::{self, Input, Provider};
use std::hint::black_box;

const SIZES: [(u32, u32); 2] = [(1280, 720), (1920, 1080)];

fn benches(c: &mut Criterion) {
    common::init();
    let runtime = runtime::open(None).unwrap_or_else(|e| panic!("{e}"));

    let choice = models::resolve("light", Some(16.0 / 9.0)).unwrap_or_else(|e| panic!("{e}"));
    let network =
        Network::load(runtime, &choice, &Provider::Cpu.into(), 0, false).unwrap_or_else(|e| panic!("{e}"));
    let (w, h) = network.spec.input_size(1920, 1080, 0);
    let shape = network.spec.input_shape(w, h);
    let tensor = vec![0.5f32; 3 * w * h];
    let mut group = c.benchmark_group("light");
    group.sample_size(60);
    group.bench_function("bare network", |b| {
        b.iter(|| {
            let input = [(network.spec.input.as_str(), &shape[..], Input::F32(&tensor))];
            network.session.run(&input, &mut [], &[&network.spec.output], |v| Ok(black_box(v[0].data[0])))
        })
    });
    for (width, height) in SIZES {
        for (background, name) in [("transparent", "A420"), ("#00b140", "colour"), ("blur", "blur")] {
            let element = gst::ElementFactory::make("bgremove")
                .property("background", background)
                .build()
                .expect("the element");
            let (mut harness, frame) = common::stream(&element, width, height);
            let id = BenchmarkId::new(name, format!("{width}x{height}"));
            group.bench_function(id, |b| {
                b.iter(|| black_box(harness.push_and_pull(frame.clone()).expect("a frame")))
            });
        }
    }
    group.finish();
}

criterion_group!(element, benches);
criterion_main!(element);
