//! The element's time a frame beside the bare network's, in one run: what is not the network is ours.
//!
//! `cargo bench --bench element`. Needs ONNX Runtime (`make runtime`).

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gst_video::{VideoFormat, VideoInfo};
use gstbgremove::models::{self, Network};
use gstbgremove::runtime::{self, Input, Provider};
use std::hint::black_box;

const SIZES: [(u32, u32); 2] = [(1280, 720), (1920, 1080)];

/// A frame of I420 with shapes in it; what is in it does not change the time.
fn frame(info: &VideoInfo) -> gst::Buffer {
    let mut buffer = gst::Buffer::with_size(info.size()).expect("memory for a frame");
    let mut map = buffer.get_mut().expect("a new buffer").map_writable().expect("a new buffer");
    map.iter_mut().enumerate().for_each(|(i, v)| *v = ((i / 97) ^ (i / info.width() as usize)) as u8);
    drop(map);
    buffer
}

fn benches(c: &mut Criterion) {
    gst::init().expect("GStreamer");
    gstbgremove::plugin_register_static().expect("the plugin");
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
            let info = VideoInfo::builder(VideoFormat::I420, width, height)
                .fps(gst::Fraction::new(30, 1))
                .build()
                .expect("video info");
            let element = gst::ElementFactory::make("bgremove")
                .property("background", background)
                .build()
                .expect("the element");
            let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
            harness.set_live(false);
            harness.set_src_caps(info.to_caps().expect("caps"));
            harness.play();
            let frame = frame(&info);
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
