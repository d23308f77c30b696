//! What one process of the bench measures, and how it is started.

use gst::prelude::*;
use gstbgremove::models::{self, Network};
use gstbgremove::runtime::{self, Input, Provider, Value as Tensor};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What one process measured.
#[derive(Clone, Copy, Debug, Default)]
pub struct Took {
    pub fps: f64,
    /// CPU seconds a frame.
    pub cpu: f64,
    /// The process's largest resident set, in MiB.
    pub peak: f64,
    /// From READY to the first frame, in ms.
    pub start: f64,
    /// What the network took of it, elapsed, in ms; of streams only.
    pub network: f64,
}

/// CPU seconds of this process so far, from /proc/self/stat.
pub fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |i: usize| fields.get(i).and_then(|v| v.parse::<f64>().ok()).unwrap_or_default();
    // utime and stime, in hundredths of a second on every Linux.
    (ticks(11) + ticks(12)) / 100.0
}

pub fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|v| v.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

/// Plays a line that ends in an element named `sink`; times from the first frame there to the last. `plugin`: a file
/// to take the element from, instead of the code that this program is made of.
pub fn play(line: &str, plugin: Option<&str>) -> Value {
    gst::init().expect("GStreamer");
    match plugin {
        Some(file) => {
            let plugin = gst::Plugin::load_file(file).unwrap_or_else(|e| panic!("{file}: {e}"));
            gst::Registry::get().add_plugin(&plugin).unwrap_or_else(|e| panic!("{file}: {e}"));
        }
        None => gstbgremove::plugin_register_static().expect("the plugin"),
    }
    let pipeline = gst::parse::launch(line).unwrap_or_else(|e| panic!("{line}\n{e}"));
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    let sink = pipeline.by_name("sink").expect("a sink").static_pad("sink").expect("its pad");
    type Seen = (u64, Option<Instant>, Option<Instant>, f64);
    let seen: Arc<Mutex<Seen>> = Default::default();
    let into = Arc::clone(&seen);
    sink.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        let mut seen = into.lock().expect("the only one");
        seen.0 += 1;
        if seen.1.is_none() {
            (seen.1, seen.3) = (Some(Instant::now()), cpu());
        }
        seen.2 = Some(Instant::now());
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Ready).expect("ready");
    let ready = Instant::now();
    pipeline.set_state(gst::State::Playing).expect("playing");
    let bus = pipeline.bus().expect("a bus");
    for message in bus.iter_timed(gst::ClockTime::NONE) {
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(e) => panic!("{line}\n{}", e.error()),
            _ => {}
        }
    }
    let (frames, first, last, before) = *seen.lock().expect("the only one");
    let (cpu, peak) = (cpu() - before, peak());
    pipeline.set_state(gst::State::Null).expect("it stops");
    let (Some(first), Some(last)) = (first, last) else { panic!("no frame: {line}") };
    json!({
        "frames": frames - 1,
        "seconds": (last - first).as_secs_f64(),
        "cpu": cpu,
        "peak_mib": peak,
        "start_ms": (first - ready).as_secs_f64() * 1e3,
    })
}

/// A network without anything around it, on a frame of `width`×`height`.
pub fn bare(preset: &str, provider: &str, width: usize, height: usize) -> Value {
    let runtime = runtime::open(None).unwrap_or_else(|e| panic!("{e}"));
    let choice =
        models::resolve(preset, Some(width as f64 / height as f64)).unwrap_or_else(|e| panic!("{e}"));
    let provider = [Provider::Cpu, Provider::OpenVino].into_iter().find(|p| p.name() == provider);
    let target = provider.map_or_else(Default::default, Into::into);
    let network = Network::load(runtime, &choice, &target, 0, false).unwrap_or_else(|e| panic!("{e}"));
    let spec = network.spec.clone();
    let (w, h) = spec.input_size(width, height, 0);
    let (shape, tensor) = (spec.input_shape(w, h), vec![0.5f32; 3 * w * h]);
    let mut states: Vec<Tensor> = spec
        .states
        .iter()
        .map(|(port, _)| {
            let shape: Vec<i64> = port.shape.iter().map(|&d| d.max(1)).collect();
            Tensor::zeros(port.element, &shape).unwrap_or_else(|e| panic!("{e}"))
        })
        .collect();
    let mut run = || {
        let input = [(spec.input.as_str(), &shape[..], Input::F32(&tensor))];
        let mut states: Vec<(&str, &str, &mut Tensor)> = spec
            .states
            .iter()
            .zip(&mut states)
            .map(|((port, out), state)| (port.name.as_str(), out.as_str(), state))
            .collect();
        let done = network.session.run(&input, &mut states, &[&spec.output], |v| Ok(v[0].data[0]));
        done.unwrap_or_else(|e| panic!("{e}"));
    };
    run();
    run();
    let (before, start, mut n) = (cpu(), Instant::now(), 0u64);
    while n < 3 || start.elapsed() < Duration::from_millis(1500) {
        run();
        n += 1;
    }
    json!({"frames": n, "seconds": start.elapsed().as_secs_f64(), "cpu": cpu() - before, "peak_mib": peak()})
}

pub fn took(out: std::process::Output, what: &str) -> Result<Took, String> {
    let text = String::from_utf8_lossy(&out.stdout);
    let value: Option<Value> = text.lines().rev().find_map(|l| serde_json::from_str(l).ok());
    let Some(value) = value.filter(|_| out.status.success()) else {
        let errors = String::from_utf8_lossy(&out.stderr);
        let last: Vec<&str> = errors.lines().rev().take(2).collect();
        return Err(format!("{what}: {}", last.join(" | ")));
    };
    let get = |k: &str| value[k].as_f64().unwrap_or_default();
    let frames = get("frames").max(1.0);
    Ok(Took {
        fps: frames / get("seconds"),
        cpu: get("cpu") / frames,
        peak: get("peak_mib"),
        start: get("start_ms"),
        network: get("network_ms"),
    })
}

pub fn run(args: &[&str], runtime: &Path) -> Result<Took, String> {
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let out = Command::new(me).arg("--child").args(args).env("ORT_DYLIB_PATH", runtime).output();
    took(out.map_err(|e| e.to_string())?, &args.join(" "))
}
