//! Each installed network on each provider of the loaded library: the bare network, the element at
//! 1280×720 from I420 to A420, and how much of the network's speed the element keeps.
//!
//! `cargo bench --bench networks`. Needs ONNX Runtime (`make runtime` or `make runtime-openvino`);
//! `ORT_DYLIB_PATH` chooses another library, a filter as in `-- light` one network. The table comes last.

mod common;

use criterion::Criterion;
use gstbgremove::models::{self, Network};
use gstbgremove::runtime::{self, Input, Port, Provider, Value};
use std::hint::black_box;
use std::time::{Duration, Instant};

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;
const PROVIDERS: [Provider; 4] = [Provider::Cpu, Provider::OpenVino, Provider::Cuda, Provider::TensorRt];

/// A network without anything around it: the same input each time, its state carried along.
struct Bare {
    network: Network,
    shape: [i64; 4],
    tensor: Vec<f32>,
    states: Vec<Value>,
}

impl Bare {
    fn new(network: Network) -> Self {
        let (w, h) = network.spec.input_size(WIDTH as usize, HEIGHT as usize, 0);
        let state =
            |port: &Port| Value::zeros(port.element, &port.least_shape()).unwrap_or_else(|e| panic!("{e}"));
        let states = network.spec.states.iter().map(|(port, _)| state(port)).collect();
        let shape = network.spec.input_shape(w, h);
        Self { network, shape, tensor: vec![0.5; 3 * w * h], states }
    }

    fn run(&mut self) {
        let spec = &self.network.spec;
        let input = [(spec.input.as_str(), &self.shape[..], Input::F32(&self.tensor))];
        let mut states: Vec<(&str, &str, &mut Value)> = spec
            .states
            .iter()
            .zip(&mut self.states)
            .map(|((port, out), state)| (port.name.as_str(), out.as_str(), state))
            .collect();
        let done = self.network.session.run(&input, &mut states, &[&spec.output], |v| {
            black_box(v[0].data[0]);
            Ok(())
        });
        done.unwrap_or_else(|e| panic!("{e}"));
    }
}

fn timed(f: impl FnOnce()) -> Duration {
    let start = Instant::now();
    f();
    start.elapsed()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Times one network on one provider; a line of the table, `None` when the filter leaves it out.
fn network(c: &mut Criterion, bare: &mut Bare, preset: &str, provider: &str) -> Option<String> {
    let element = gst::ElementFactory::make("bgremove")
        .property("model", preset)
        .property_from_str("execution-provider", provider)
        .build()
        .expect("the element");
    let (mut harness, frame) = common::stream(&element, WIDTH, HEIGHT);

    // Both take turns, so that what else the machine does meets both alike; each criterion line is one
    // of the two.
    let mut pairs: Vec<(f64, f64)> = Vec::new();
    let mut pair = || {
        let network = timed(|| bare.run());
        let element = timed(|| {
            black_box(harness.push_and_pull(frame.clone()).expect("a frame"));
        });
        pairs.push((network.as_secs_f64(), element.as_secs_f64()));
        (network, element)
    };
    let slow = {
        pair();
        pair().0 > Duration::from_millis(100)
    };
    let mut group = c.benchmark_group(format!("{preset} on {provider}"));
    group.sample_size(if slow { 10 } else { 20 }).warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(if slow { 1 } else { 2 }));
    let mut ran = false;
    for (at, name) in ["bare network", "element"].into_iter().enumerate() {
        group.bench_function(name, |b| {
            ran = true;
            b.iter_custom(|n| (0..n).map(|_| pair()).map(|p| if at == 0 { p.0 } else { p.1 }).sum());
        });
    }
    group.finish();
    // The first one finds caches cold.
    let pairs = &pairs[1..];
    let bare = median(pairs.iter().map(|p| p.0).collect());
    let whole = median(pairs.iter().map(|p| p.1).collect());
    let ratio = median(pairs.iter().map(|p| p.0 / p.1).collect());
    ran.then(|| format!("{preset:<10}{provider:<10}{:>10.1}{:>10.1}{ratio:>8.2}", 1.0 / bare, 1.0 / whole))
}

fn main() {
    common::init();
    let runtime = runtime::open(None).unwrap_or_else(|e| panic!("{e}"));
    let mut c = Criterion::default().configure_from_args();
    let mut presets: Vec<&str> = models::entries().iter().map(|e| e.preset.as_str()).collect();
    presets.dedup();
    let mut table = Vec::new();
    for preset in presets {
        let aspect = f64::from(WIDTH) / f64::from(HEIGHT);
        let choice = match models::resolve(preset, Some(aspect)) {
            Ok(choice) => choice,
            Err(_) => {
                table.push(format!("{preset:<10}left out: not installed (make models)"));
                continue;
            }
        };
        for provider in PROVIDERS.into_iter().filter(|p| p.is_available()) {
            let name = provider.name();
            match Network::load(runtime, &choice, &provider.into(), 0, false) {
                Ok(loaded) => table.extend(network(&mut c, &mut Bare::new(loaded), preset, name)),
                // The library has the provider, but the machine lacks what it runs on.
                Err(e) => table.push(format!("{preset:<10}{name:<10}left out: {e}")),
            }
        }
    }
    c.final_summary();
    println!("\n{WIDTH}×{HEIGHT}, I420 to A420, with {}", runtime.path.display());
    println!("medians in frames a second; the ratio is the element's share of the bare network's speed");
    println!("{:<10}{:<10}{:>10}{:>10}{:>8}", "model", "provider", "network", "element", "ratio");
    table.iter().for_each(|line| println!("{line}"));
}
