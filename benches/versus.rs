//! bgremove beside decoding alone, beside the bare networks, and beside what people run today with the same weights:
//! all in one run, in rounds that alternate. `make bench` sets up what it needs and calls it.
//!
//! Each measurement is a process of its own (this program again, with `--child`), so that memory and CPU time are
//! that case's alone. What is compared comes from the same round; the table gives medians over the rounds.
//!
//! Options: `--rounds N` (3), `--quick` (1080p and one preset only), `--out FILE` (benches/RESULTS.md).

use gst::prelude::*;
use gstbgremove::models::{self, Network};
use gstbgremove::runtime::{self, Input, Provider, State};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SIZES: [(&str, u32, u32); 3] = [("720p", 1280, 720), ("1080p", 1920, 1080), ("2160p", 3840, 2160)];
const OUTPUTS: [(&str, &str, &str); 5] = [
    ("A420", "transparent", "video/x-raw,format=A420"),
    ("RGBA", "transparent", "video/x-raw,format=RGBA"),
    ("colour", "#00b140", "video/x-raw"),
    ("image", "PICTURE", "video/x-raw"),
    ("blur", "blur", "video/x-raw"),
];

/// What one process measured.
#[derive(Clone, Copy, Debug, Default)]
struct Took {
    fps: f64,
    /// CPU seconds a frame.
    cpu: f64,
    /// The process's largest resident set, in MiB.
    peak: f64,
    /// From READY to the first frame, in ms.
    start: f64,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// CPU seconds of this process so far, from /proc/self/stat.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |i: usize| fields.get(i).and_then(|v| v.parse::<f64>().ok()).unwrap_or_default();
    // utime and stime, in hundredths of a second on every Linux.
    (ticks(11) + ticks(12)) / 100.0
}

fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|v| v.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

/// Plays a line that ends in an element named `sink`; times from the first frame there to the last.
fn play(line: &str) -> Value {
    gst::init().expect("GStreamer");
    gstbgremove::plugin_register_static().expect("the plugin");
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
fn bare(preset: &str, provider: &str, width: usize, height: usize) -> Value {
    let runtime = runtime::open(None).unwrap_or_else(|e| panic!("{e}"));
    let choice =
        models::resolve(preset, Some(width as f64 / height as f64)).unwrap_or_else(|e| panic!("{e}"));
    let provider = [Provider::Cpu, Provider::OpenVino].into_iter().find(|p| p.name() == provider);
    let network = Network::load(runtime, &choice, provider, 0).unwrap_or_else(|e| panic!("{e}"));
    let spec = network.spec.clone();
    let (w, h) = spec.input_size(width, height, 0);
    let (shape, tensor) = (spec.input_shape(w, h), vec![0.5f32; 3 * w * h]);
    let mut states: Vec<State> = spec
        .states
        .iter()
        .map(|(port, _)| {
            let shape: Vec<i64> = port.shape.iter().map(|&d| d.max(1)).collect();
            State::zeros(port.element, &shape).unwrap_or_else(|e| panic!("{e}"))
        })
        .collect();
    let mut run = || {
        let input = [(spec.input.as_str(), &shape[..], Input::F32(&tensor))];
        let mut states: Vec<(&str, &str, &mut State)> = spec
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

fn took(out: std::process::Output, what: &str) -> Result<Took, String> {
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
    })
}

fn child(args: &[&str], runtime: &Path) -> Result<Took, String> {
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let out = Command::new(me).arg("--child").args(args).env("ORT_DYLIB_PATH", runtime).output();
    took(out.map_err(|e| e.to_string())?, &args.join(" "))
}

/// A case of the run; what it is called is its key.
struct Case {
    name: String,
    kind: Kind,
}

enum Kind {
    Line(String, PathBuf),
    Bare(&'static str, &'static str, u32, u32, PathBuf),
    Peer(&'static str, String, usize, Option<PathBuf>),
}

impl Case {
    fn run(&self) -> Result<Took, String> {
        match &self.kind {
            Kind::Line(line, runtime) => child(&["line", line], runtime),
            Kind::Bare(preset, provider, w, h, runtime) => {
                child(&["bare", preset, provider, &w.to_string(), &h.to_string()], runtime)
            }
            Kind::Peer(name, clip, frames, model) => {
                let python = root().join("build/peers/bin/python");
                let mut command = Command::new(python);
                command.arg(root().join("benches/peers/loop.py")).arg(name).arg(clip).arg(frames.to_string());
                command.args(model).env("U2NET_HOME", root().join("build/bench"));
                took(command.output().map_err(|e| e.to_string())?, name)
            }
        }
    }
}

/// Frames that a case takes, so that it lasts some seconds.
fn frames(preset: &str, size: &str) -> usize {
    let base = match preset {
        "light" => 120,
        "human" => 40,
        "original" => 20,
        _ => 5,
    };
    if size == "2160p" && base > 60 { 60 } else { base }
}

fn cases(quick: bool, plain: &Path, openvino: Option<&Path>) -> Vec<Case> {
    let mut all = Vec::new();
    let bench = root().join("build/bench");
    let picture = root().join("build/clips/astronaut.png").display().to_string();
    for (size, w, h) in SIZES.into_iter().filter(|s| !quick || s.0 == "1080p") {
        let clip = bench.join(format!("{size}.mp4")).display().to_string();
        let source = format!("filesrc location={clip} ! qtdemux ! h264parse ! avdec_h264");
        // A queue, so that decoding has a thread of its own, as in any real pipeline.
        let line = |n: usize, middle: &str| {
            format!(
                "{source} ! queue max-size-buffers=4 ! identity eos-after={} {middle} ! fakesink name=sink sync=false",
                n + 1
            )
        };
        let add = |all: &mut Vec<Case>, name: String, kind: Kind| all.push(Case { name, kind });
        add(&mut all, format!("decode {size}"), Kind::Line(line(120, ""), plain.into()));
        let presets: &[&str] = if quick { &["light"] } else { &["light", "human", "original", "pro"] };
        for preset in presets.iter().filter(|p| models::resolve(p, None).is_ok()) {
            let n = frames(preset, size);
            for (output, background, caps) in OUTPUTS {
                // What only the composition costs is seen with the fastest network.
                if *preset != "light" && output != "A420" && size != "1080p" {
                    continue;
                }
                let background = background.replace("PICTURE", &picture);
                let middle = |provider: &str| {
                    line(
                        n,
                        &format!(
                            "! bgremove model={preset} background={background} execution-provider={provider} ! {caps}"
                        ),
                    )
                };
                add(&mut all, format!("{preset} {size} {output}"), Kind::Line(middle("cpu"), plain.into()));
                if let Some(openvino) = openvino.filter(|_| *preset != "light" && output == "A420") {
                    let name = format!("{preset} openvino {size} {output}");
                    add(&mut all, name, Kind::Line(middle("openvino"), openvino.into()));
                }
            }
            if size == "1080p" {
                add(&mut all, format!("{preset} bare"), Kind::Bare(preset, "cpu", w, h, plain.into()));
                if let Some(openvino) = openvino.filter(|_| *preset != "light") {
                    let name = format!("{preset} openvino bare");
                    add(&mut all, name, Kind::Bare(preset, "openvino", w, h, openvino.into()));
                }
            }
        }
        if size != "2160p" {
            for (peer, n) in [("mediapipe", 100), ("mediapipe-colour", 100), ("rembg", 10)] {
                add(&mut all, format!("{peer} {size}"), Kind::Peer(peer, clip.clone(), n, None));
            }
            let official = bench.join("rvm-official.onnx");
            if official.is_file() {
                add(&mut all, format!("rvm {size}"), Kind::Peer("rvm", clip.clone(), 20, Some(official)));
            }
        }
    }
    all
}

fn median(mut v: Vec<f64>) -> f64 {
    v.retain(|v| v.is_finite());
    v.sort_by(f64::total_cmp);
    v.get(v.len() / 2).copied().unwrap_or(f64::NAN)
}

/// All rounds of all cases.
type Rounds = BTreeMap<String, Vec<Took>>;

/// The median over the rounds of a figure of two cases of the same round.
fn of(rounds: &Rounds, a: &str, b: &str, f: impl Fn(&Took, &Took) -> f64) -> f64 {
    match (rounds.get(a), rounds.get(b)) {
        (Some(a), Some(b)) => median(a.iter().zip(b).map(|(a, b)| f(a, b)).collect()),
        _ => f64::NAN,
    }
}

/// The aims, each with what was measured.
fn aims(rounds: &Rounds) -> Vec<(String, f64, f64, &'static str)> {
    let ratio = |a: &str, b: &str| of(rounds, a, b, |a, b| a.fps / b.fps);
    let alone = |a: &str, f: fn(&Took) -> f64| of(rounds, a, a, |a, _| f(a));
    let mut all = vec![
        (
            "`light` 1080p transparent ÷ MediaPipe's loop, mask alone",
            ratio("light 1080p A420", "mediapipe 1080p"),
            3.0,
            "≥",
        ),
        (
            "`light` 1080p on a colour ÷ MediaPipe's loop on a colour",
            ratio("light 1080p colour", "mediapipe-colour 1080p"),
            6.0,
            "≥",
        ),
        ("`light` 1080p transparent ÷ decoding alone", ratio("light 1080p A420", "decode 1080p"), 0.45, "≥"),
        (
            "`original` 1080p ÷ rembg u2netp, plain runtime",
            ratio("original 1080p A420", "rembg 1080p"),
            1.25,
            "≥",
        ),
        (
            "`original` 1080p ÷ rembg u2netp, OpenVINO",
            ratio("original openvino 1080p A420", "rembg 1080p"),
            5.0,
            "≥",
        ),
        (
            "`human` 1080p ÷ RVM's own layout in a Python loop, plain runtime",
            ratio("human 1080p A420", "rvm 1080p"),
            1.8,
            "≥",
        ),
        (
            "`human` 1080p ÷ RVM's own layout in a Python loop, OpenVINO",
            ratio("human openvino 1080p A420", "rvm 1080p"),
            2.5,
            "≥",
        ),
        ("`original` 1080p ÷ the bare network", ratio("original 1080p A420", "original bare"), 0.95, "≥"),
        ("`human` 1080p ÷ the bare network", ratio("human 1080p A420", "human bare"), 0.95, "≥"),
        ("`pro` 1080p ÷ the bare network", ratio("pro 1080p A420", "pro bare"), 0.95, "≥"),
        ("`light` 2160p transparent, frames/s", alone("light 2160p A420", |t| t.fps), 40.0, "≥"),
        (
            "`light` 1080p: peak memory over decoding alone, MiB",
            of(rounds, "light 1080p A420", "decode 1080p", |a, b| a.peak - b.peak),
            76.3,
            "≤",
        ),
        ("`light` 1080p: READY to the first frame, ms", alone("light 1080p A420", |t| t.start), 120.0, "≤"),
    ];
    all.retain(|a| a.1.is_finite());
    all.into_iter().map(|(n, v, aim, sign)| (n.to_string(), v, aim, sign)).collect()
}

fn report(
    rounds: &Rounds,
    failed: &BTreeMap<String, String>,
    plain: &Path,
    openvino: Option<&Path>,
) -> String {
    let mut out = String::new();
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|l| l.strip_prefix("model name")?.split(": ").nth(1)).unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, |n| n.get());
    let (major, minor, micro, _) = gst::version();
    let name = |p: &Path| {
        let real = p.canonicalize().unwrap_or_else(|_| p.into());
        real.file_name().unwrap_or_default().to_string_lossy().into_owned()
    };
    let _ = writeln!(out, "# Speed, side by side\n");
    let _ = writeln!(
        out,
        "Written by `make bench`; medians of rounds that alternate, on one machine, in one run. Trust the ratios.\n"
    );
    let _ = writeln!(out, "- Machine: {model}, {cores} cores");
    let _ = writeln!(
        out,
        "- GStreamer {major}.{minor}.{micro}; {}{}",
        name(plain),
        openvino.map_or(String::new(), |p| format!("; OpenVINO provider of {}", name(p)))
    );
    let peers = std::fs::read_to_string(root().join("benches/peers/requirements.txt")).unwrap_or_default();
    let peers: Vec<&str> = peers.lines().filter(|l| l.contains("==")).collect();
    let _ = writeln!(out, "- Peers: {}", peers.join(", "));
    let _ = writeln!(out, "- Clip: the demo's portrait, H.264, at each size; decoded in every case\n");
    let _ = writeln!(out, "## Aims\n\n| case | measured | aim | |\n|---|---|---|---|");
    for (case, value, aim, sign) in aims(rounds) {
        let met = if (sign == "≥" && value >= aim) || (sign == "≤" && value <= aim) {
            "met"
        } else {
            "**missed**"
        };
        let _ = writeln!(out, "| {case} | {value:.2} | {sign} {aim} | {met} |");
    }
    let _ =
        writeln!(out, "\n## All cases\n\n| case | frames/s | CPU ms a frame | peak MiB |\n|---|---|---|---|");
    for (name, rounds) in rounds {
        let get = |f: fn(&Took) -> f64| median(rounds.iter().map(f).collect());
        let _ = writeln!(
            out,
            "| {name} | {:.1} | {:.1} | {:.0} |",
            get(|t| t.fps),
            get(|t| t.cpu * 1e3),
            get(|t| t.peak)
        );
    }
    for (name, why) in failed {
        let _ = writeln!(out, "| {name} | not measured: {} | | |", why.replace('|', "/"));
    }
    out
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [first, kind, rest @ ..] = &args[..]
        && first == "--child"
    {
        let result = match (kind.as_str(), rest) {
            ("line", [line]) => play(line),
            ("bare", [preset, provider, w, h]) => {
                bare(preset, provider, w.parse().expect("a width"), h.parse().expect("a height"))
            }
            _ => panic!("{args:?}"),
        };
        println!("{result}");
        return;
    }
    let value = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)).cloned();
    let n: usize = value("--rounds").and_then(|v| v.parse().ok()).unwrap_or(3);
    let quick = args.iter().any(|a| a == "--quick");
    let out = value("--out").map_or_else(|| root().join("benches/RESULTS.md"), PathBuf::from);
    gst::init().expect("GStreamer");
    let library = |name: &str| runtime::data_folder().join(name).join("libonnxruntime.so");
    let plain = library("runtime");
    assert!(plain.is_file(), "{} is not there: make runtime", plain.display());
    let openvino = Some(library("runtime-openvino")).filter(|p| p.is_file());
    let cases = cases(quick, &plain, openvino.as_deref());
    let (mut rounds, mut failed): (Rounds, BTreeMap<String, String>) = Default::default();
    for round in 0..n {
        for (at, case) in cases.iter().enumerate() {
            if failed.contains_key(&case.name) {
                continue;
            }
            match case.run() {
                Ok(t) => {
                    eprintln!(
                        "round {}/{n}, {}/{}: {}: {:.1} frames/s",
                        round + 1,
                        at + 1,
                        cases.len(),
                        case.name,
                        t.fps
                    );
                    rounds.entry(case.name.clone()).or_default().push(t);
                }
                Err(why) => {
                    eprintln!("{} could not be measured: {why}", case.name);
                    failed.insert(case.name.clone(), why);
                }
            }
        }
    }
    let text = report(&rounds, &failed, &plain, openvino.as_deref());
    println!("\n{text}");
    std::fs::write(&out, text).unwrap_or_else(|e| panic!("{}: {e}", out.display()));
    println!("written to {}", out.display());
}
