//! bgremove beside decoding alone, beside the bare networks, and beside what people run today with the same weights:
//! all in one run, in rounds that alternate. `make bench` sets up what it needs and calls it.
//!
//! Each measurement is a process of its own (this program again, with `--child`), so that memory and CPU time are
//! that case's alone. What is compared comes from the same round; the table gives medians over the rounds.
//!
//! Options: `--rounds N` (3), `--quick` (1080p and one preset only), `--scale` (how cost grows with frame size and
//! number of streams, and nothing else), `--before PLUGIN` (an older build of the plugin, beside which this one is
//! measured; `make bench BENCH='--against COMMIT'` builds one), `--out FILE` (benches/RESULTS.md).

mod child;
#[path = "../../tests/common/onnx.rs"]
#[allow(dead_code)]
mod onnx;
mod scale;
mod screen;

use child::Took;
use gstbgremove::{models, runtime};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const SIZES: [(&str, u32, u32); 3] = [("720p", 1280, 720), ("1080p", 1920, 1080), ("2160p", 3840, 2160)];
const OUTPUTS: [(&str, &str, &str); 5] = [
    ("A420", "transparent", "video/x-raw,format=A420"),
    ("RGBA", "transparent", "video/x-raw,format=RGBA"),
    ("colour", "#00b140", "video/x-raw"),
    ("image", "PICTURE", "video/x-raw"),
    ("blur", "blur", "video/x-raw"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A case of the run; what it is called is its key.
struct Case {
    name: String,
    kind: Kind,
}

enum Kind {
    Line(String, PathBuf),
    /// With the element of an older build.
    Before(String, PathBuf, String),
    Bare(&'static str, &'static str, u32, u32, PathBuf),
    Peer(&'static str, String, usize, Option<PathBuf>),
    Streams(scale::Streams, PathBuf),
}

impl Case {
    fn run(&self) -> Result<Took, String> {
        match &self.kind {
            Kind::Line(line, runtime) => child::run(&["line", line], runtime),
            Kind::Before(line, runtime, plugin) => child::run(&["line", line, plugin], runtime),
            Kind::Bare(preset, provider, w, h, runtime) => {
                child::run(&["bare", preset, provider, &w.to_string(), &h.to_string()], runtime)
            }
            Kind::Peer(name, clip, frames, model) => {
                let python = root().join("build/peers/bin/python");
                let mut command = Command::new(python);
                command.arg(root().join("benches/peers/loop.py")).arg(name).arg(clip).arg(frames.to_string());
                command.args(model).env("U2NET_HOME", root().join("build/bench"));
                child::took(command.output().map_err(|e| e.to_string())?, name)
            }
            Kind::Streams(streams, runtime) => child::run(&["streams", &streams.to_string()], runtime),
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

/// A network that is undecided all over the frame, whatever it is shown.
fn undecided(folder: &Path) -> PathBuf {
    onnx::Onnx::constant(0.5, 256, 144).save(folder, "undecided.onnx")
}

fn cases(quick: bool, plain: &Path, openvino: Option<&Path>, before: Option<&str>) -> Vec<Case> {
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
        if size == "1080p" {
            match screen::clip(&bench) {
                Ok(clip) => {
                    let source =
                        format!("filesrc location={} ! qtdemux ! h264parse ! avdec_h264", clip.display());
                    for (name, middle) in [
                        ("decode screen 1080p", ""),
                        ("key 1080p A420", "! bgremove model=key ! video/x-raw,format=A420"),
                        (
                            "alpha 1080p AYUV",
                            "! alpha method=custom target-r=38 target-g=172 target-b=74 angle=60",
                        ),
                    ] {
                        let line = format!(
                            "{source} ! queue max-size-buffers=4 ! identity eos-after=121 {middle} ! fakesink name=sink sync=false"
                        );
                        add(&mut all, name.into(), Kind::Line(line, plain.into()));
                    }
                }
                Err(why) => eprintln!("no clip before a screen: {why}"),
            }
            match screen::frames(&bench) {
                Ok(files) => {
                    let line = format!(
                        "multifilesrc {files} caps=\"{}\" ! identity eos-after=121 ! bgremove model=key ! \
                         video/x-raw,format=A420 ! fakesink name=sink sync=false",
                        screen::CAPS
                    );
                    add(&mut all, "key 1080p A420, not coded".into(), Kind::Line(line, plain.into()));
                }
                Err(why) => eprintln!("no frames before a screen: {why}"),
            }
            let model = undecided(&bench).display().to_string();
            let options = "model-options=options,fit=stretch,activation=none";
            let middle = format!(
                "! bgremove lookahead=3 model={model} {options} execution-provider=cpu ! video/x-raw,format=A420"
            );
            add(&mut all, "undecided 1080p A420".into(), Kind::Line(line(60, &middle), plain.into()));
        }
        let presets: &[&str] = if quick { &["light"] } else { &["light", "human", "original", "pro"] };
        for preset in presets.iter().filter(|p| models::resolve(p, None).is_ok()) {
            let n = frames(preset, size);
            for (output, background, caps) in OUTPUTS {
                // What only the composition costs is seen with the fastest network.
                if *preset != "light" && output != "A420" && size != "1080p" {
                    continue;
                }
                let background = background.replace("PICTURE", &picture);
                let alone = |provider: &str, more: &str| {
                    let element = format!("bgremove {more} model={preset} background={background}");
                    line(n, &format!("! {element} execution-provider={provider} ! {caps}"))
                };
                // As `bgremove convert` does.
                let middle = |provider: &str| alone(provider, "lookahead=3");
                add(&mut all, format!("{preset} {size} {output}"), Kind::Line(middle("cpu"), plain.into()));
                let compared = matches!((*preset, size), ("light", _) | ("human", "1080p"));
                if let Some(plugin) = before.filter(|_| compared && output == "A420") {
                    let kind = Kind::Before(alone("cpu", ""), plain.into(), plugin.into());
                    add(&mut all, format!("before: {preset} {size} {output}"), kind);
                }
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

/// `a` ÷ `b`, each what is left of a time when `whole` is taken off; less than nothing where that is less than a twentieth of
/// `whole`, by which the network's own time differs from run to run.
fn share(a: f64, b: f64, whole: f64) -> f64 {
    if a.min(b) < whole / 20.0 { -1.0 } else { a / b }
}

/// The aims, each with what was measured, which is less than nothing where that says nothing.
fn aims(rounds: &Rounds) -> Vec<(String, f64, f64, &'static str)> {
    let ratio = |a: &str, b: &str| of(rounds, a, b, |a, b| a.fps / b.fps);
    let over = |a: &str, b: &str, f: fn(&Took) -> f64| of(rounds, a, b, |a, b| f(a) - f(b));
    let cpu = |a: &str, b: &str| over(a, b, |t| t.cpu);
    let bare = of(rounds, "human bare", "human bare", |a, _| a.cpu);
    let beside = |a: &str| cpu(a, "decode 1080p") - bare;
    let frame = |size: &str| scale::frame_time(rounds, size);
    let mut all = vec![
        (
            "`light` 1080p, the element's own CPU time (less decoding) ÷ before",
            cpu("light 1080p A420", "decode 1080p") / cpu("before: light 1080p A420", "decode 1080p"),
            0.45,
            "≤",
        ),
        (
            "`human` 1080p on the CPU, own CPU time less the bare network's ÷ before",
            share(beside("human 1080p A420"), beside("before: human 1080p A420"), bare),
            0.45,
            "≤",
        ),
        (
            "`light` 1080p transparent ÷ MediaPipe's loop, mask alone",
            ratio("light 1080p A420", "mediapipe 1080p"),
            2.0,
            "≥",
        ),
        (
            "`light` 1080p on a colour ÷ MediaPipe's loop on a colour",
            ratio("light 1080p colour", "mediapipe-colour 1080p"),
            4.0,
            "≥",
        ),
        ("`light` 1080p transparent ÷ decoding alone", ratio("light 1080p A420", "decode 1080p"), 0.6, "≥"),
        (
            "`light` 2160p transparent ÷ before",
            ratio("light 2160p A420", "before: light 2160p A420"),
            1.8,
            "≥",
        ),
        ("`light` 1080p as RGBA ÷ as A420", ratio("light 1080p RGBA", "light 1080p A420"), 0.9, "≥"),
        ("`light` 1080p on a colour ÷ as A420", ratio("light 1080p colour", "light 1080p A420"), 0.9, "≥"),
        ("`light` 1080p on a picture ÷ as A420", ratio("light 1080p image", "light 1080p A420"), 0.9, "≥"),
        ("`light` 1080p blurred ÷ as A420", ratio("light 1080p blur", "light 1080p A420"), 0.9, "≥"),
        (
            "`key` 1080p transparent, frames that need no decoding, frames/s",
            of(rounds, "key 1080p A420, not coded", "key 1080p A420, not coded", |t, _| t.fps),
            200.0,
            "≥",
        ),
        (
            "`key` 1080p transparent ÷ decoding alone",
            ratio("key 1080p A420", "decode screen 1080p"),
            0.6,
            "≥",
        ),
        (
            "`key` 1080p as A420 ÷ GStreamer's `alpha` as AYUV",
            ratio("key 1080p A420", "alpha 1080p AYUV"),
            1.0,
            "≥",
        ),
        ("`original` 1080p ÷ the bare network", ratio("original 1080p A420", "original bare"), 0.97, "≥"),
        ("`human` 1080p ÷ the bare network", ratio("human 1080p A420", "human bare"), 0.97, "≥"),
        ("`pro` 1080p ÷ the bare network", ratio("pro 1080p A420", "pro bare"), 0.97, "≥"),
        ("`light` 540p ÷ 720p, time a frame", frame("540p") / frame("720p"), 0.8, "≤"),
        (
            "a frame whose mask is grey all over ÷ the demo's, time",
            ratio("light 1080p A420", "undecided 1080p A420"),
            2.0,
            "≤",
        ),
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
        (
            "`light` 1080p: peak memory over decoding alone, MiB",
            over("light 1080p A420", "decode 1080p", |t| t.peak),
            76.3,
            "≤",
        ),
        (
            "`light` 1080p: READY to the first frame, ms",
            of(rounds, "light 1080p A420", "light 1080p A420", |t, _| t.start),
            80.0,
            "≤",
        ),
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
    let aims = aims(rounds);
    if !aims.is_empty() {
        let _ = writeln!(out, "## Aims\n\n| case | measured | aim | |\n|---|---|---|---|");
    }
    for (case, value, aim, sign) in aims {
        if value < 0.0 {
            let _ = writeln!(
                out,
                "| {case} | – | {sign} {aim} | lost in how much the network's own time differs |"
            );
            continue;
        }
        let met = if (sign == "≥" && value >= aim) || (sign == "≤" && value <= aim) {
            "met"
        } else if (value - aim).abs() < 0.005 {
            "**missed** by less than 0.005"
        } else {
            "**missed**"
        };
        let _ = writeln!(out, "| {case} | {value:.2} | {sign} {aim} | {met} |");
    }
    let _ =
        writeln!(out, "\n## All cases\n\n| case | frames/s | CPU ms a frame | peak MiB |\n|---|---|---|---|");
    for (name, rounds) in rounds.iter().filter(|(name, _)| !scale::is_one(name)) {
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
    scale::report(&mut out, rounds);
    out
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [first, kind, rest @ ..] = &args[..]
        && first == "--child"
    {
        let result = match (kind.as_str(), rest) {
            ("line", [line]) => child::play(line, None),
            ("line", [line, plugin]) => child::play(line, Some(plugin)),
            ("streams", [streams]) => {
                scale::play(&streams.parse().unwrap_or_else(|e| panic!("{streams}: {e}")))
            }
            ("bare", [preset, provider, w, h]) => {
                child::bare(preset, provider, w.parse().expect("a width"), h.parse().expect("a height"))
            }
            _ => panic!("{args:?}"),
        };
        println!("{result}");
        return;
    }
    let value = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)).cloned();
    let n: usize = value("--rounds").and_then(|v| v.parse().ok()).unwrap_or(3);
    let [quick, only_scale] = ["--quick", "--scale"].map(|o| args.iter().any(|a| a == o));
    let out = value("--out").map_or_else(|| root().join("benches/RESULTS.md"), PathBuf::from);
    gst::init().expect("GStreamer");
    let library = |name: &str| runtime::data_folder().join(name).join("libonnxruntime.so");
    let plain = library("runtime");
    assert!(plain.is_file(), "{} is not there: make runtime", plain.display());
    let openvino = Some(library("runtime-openvino")).filter(|p| p.is_file());
    let before = value("--before");
    let mut cases = match only_scale {
        true => Vec::new(),
        false => cases(quick, &plain, openvino.as_deref(), before.as_deref()),
    };
    scale::add_cases(&mut cases, quick && !only_scale, &plain);
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
