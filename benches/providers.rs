//! Each installed network on each execution provider that is here: bare, and in the element at three sizes; how far its masks
//! are from the CPU's, and the memory that it takes. For machines with a GPU, and so that it is known to run, for those without.
//!
//! `cargo bench --bench providers`; `benches/gpu.sh` runs it where nothing can be built. Each pair has a process of its own: one
//! opens one ONNX Runtime, and one that crashes takes no others along. Options, with their defaults:
//!
//! - `--models light,original,human,pro`, those that are installed;
//! - `--providers cpu,openvino,cuda,tensorrt,webgpu`, those that have a device (one that only stands in for a GPU: where it is
//!   named);
//! - `--sizes 720,1080,2160`, rows of frames of 16:9; `--side 0`, the short side of the network's input;
//! - `--seconds 2`, what one measurement takes at most; `--within 450`, what all take, and what does not fit is left out;
//! - `--picture build/clips/astronaut.png`, of a person.

mod common;

use gstbgremove::frame::{Color, Format, Frame, Plane};
use gstbgremove::matte::Matting;
use gstbgremove::models::{self, Network};
use gstbgremove::runtime::{self, Cancel, Provider};
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Frames whose masks are compared; a network that remembers needs some.
const COMPARED: usize = 4;

/// What is asked for.
#[derive(Clone)]
struct Wish {
    models: Vec<String>,
    providers: Option<Vec<String>>,
    sizes: Vec<u32>,
    side: u32,
    seconds: f64,
    within: f64,
    picture: String,
    /// Of a process of its own: its provider and its network.
    one: Option<(String, String)>,
}

fn wish() -> Wish {
    let list = |text: &str| text.split(',').map(String::from).collect::<Vec<_>>();
    let mut wish = Wish {
        models: list("light,original,human,pro"),
        providers: None,
        sizes: vec![720, 1080, 2160],
        side: 0,
        seconds: 2.0,
        within: 450.0,
        picture: "build/clips/astronaut.png".into(),
        one: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        // cargo's own.
        if word == "--bench" {
            continue;
        }
        let value = words.next().unwrap_or_else(|| panic!("{word} wants a value"));
        let number = || value.parse::<f64>().unwrap_or_else(|e| panic!("{word} {value}: {e}"));
        match word.as_str() {
            "--models" => wish.models = list(&value),
            "--providers" => wish.providers = Some(list(&value)),
            "--sizes" => wish.sizes = list(&value).iter().map(|n| n.parse().expect("rows")).collect(),
            "--side" => wish.side = number() as u32,
            "--seconds" => wish.seconds = number(),
            "--within" => wish.within = number(),
            "--picture" => wish.picture = value,
            "--one" => wish.one = value.split_once(',').map(|(p, m)| (p.into(), m.into())),
            _ => panic!("there is no option {word}"),
        }
    }
    wish
}

fn named(name: &str) -> Provider {
    let found = Provider::ALL.into_iter().find(|p| p.name() == name);
    found.unwrap_or_else(|| panic!("there is no provider '{name}'"))
}

fn main() {
    let wish = wish();
    if let Some((provider, model)) = wish.one.clone() {
        return one(&wish, named(&provider), &model);
    }
    let begin = Instant::now();
    let usual = ["cpu", "openvino", "cuda", "tensorrt", "webgpu"].map(String::from).to_vec();
    // Why, and of whom.
    let mut notes: Vec<(String, Vec<String>)> = Vec::new();
    let mut note = |why: &str, pair: &str| match notes.iter_mut().find(|(known, _)| known == why) {
        Some((_, pairs)) => pairs.push(pair.to_string()),
        None => notes.push((why.to_string(), vec![pair.to_string()])),
    };
    println!("{}", head(&wish));
    for model in &wish.models {
        for provider in wish.providers.as_ref().unwrap_or(&usual) {
            let pair = format!("{model} on {provider}");
            let left = wish.within - begin.elapsed().as_secs_f64();
            if left < 10.0 {
                note("left out, for want of time", &pair);
                continue;
            }
            match ask(provider, model, Duration::from_secs_f64(left)) {
                Ok(text) => text.lines().for_each(|line| match line.strip_prefix("note ") {
                    Some(why) => note(why, &pair),
                    None => println!("{line}"),
                }),
                Err(why) => note(&why, &pair),
            }
        }
    }
    println!(
        "\nframes/s, medians; mask: mean and largest mean of a frame's difference to the CPU's, of 255; memory: the GPU's, or * the"
    );
    println!("process's peak; in {:.0} s", begin.elapsed().as_secs_f64());
    notes.iter().for_each(|(why, pairs)| println!("{}: {why}", pairs.join(", ")));
}

fn head(wish: &Wish) -> String {
    let sizes: Vec<String> = wish.sizes.iter().map(|rows| format!("{rows}p")).collect();
    let line = "---|".repeat(7 + sizes.len());
    format!(
        "| network | runs on | load s | first ms | bare | {} | mask | memory MiB |\n|{line}",
        sizes.join(" | ")
    )
}

/// Has a process of its own do it.
fn ask(provider: &str, model: &str, within: Duration) -> Result<String, String> {
    let mut command = Command::new(std::env::current_exe().map_err(|e| e.to_string())?);
    command.args(std::env::args().skip(1)).args(["--one", &format!("{provider},{model}")]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|e| e.to_string())?;
    let reader = |from: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = from.map(|mut from| from.read_to_end(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = reader(child.stdout.take().map(|o| Box::new(o) as _));
    let err = reader(child.stderr.take().map(|e| Box::new(e) as _));
    let begin = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) => break Some(status),
            None if begin.elapsed() > within => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    match status {
        Some(status) if status.success() => Ok(out),
        Some(status) => Err(format!("it ended with {status}: {}", err.trim())),
        None => Err(format!("it took longer than the {:.0} s that were left", within.as_secs_f64())),
    }
}

/// One network on one provider: prints its line of the table, or a note.
fn one(wish: &Wish, provider: Provider, model: &str) {
    common::init();
    let Err(why) = measure(wish, provider, model) else { return };
    println!("note left out: {}", why.replace('\n', " "));
}

fn measure(wish: &Wish, provider: Provider, model: &str) -> Result<(), String> {
    let runtime = runtime::open_for(None, Some(provider)).map_err(|e| e.to_string())?;
    if !provider.is_available() {
        return Err(format!("no library here has it (looked at {})", runtime.path.display()));
    }
    let choice = models::resolve(model, Some(16.0 / 9.0)).map_err(|e| e.to_string())?;
    let begin = Instant::now();
    let network = Network::load(runtime, &choice, &provider.into(), 0, false).map_err(|e| e.to_string())?;
    let load = begin.elapsed();
    let place = network.session.place();
    if network.session.device.software && wish.providers.is_none() {
        return Err(format!("{place} only stands in for a GPU"));
    }
    let pictures = Pictures::new(&wish.picture)?;
    let run = |matting: &mut Matting, n: usize| {
        let begin = Instant::now();
        let done =
            pictures.frame(n, |frame| matting.run(frame, None, &Cancel::default()).map(|m| m.data.clone()));
        done.map(|mask| (mask, begin.elapsed())).map_err(|e| format!("{place}: {e}"))
    };
    let side = wish.side as usize;
    let mut matting = Matting::new(network, side, false);
    let (mask, first) = run(&mut matting, 0)?;
    let mut masks = vec![mask];
    for n in 1..COMPARED {
        masks.push(run(&mut matting, n)?.0);
    }
    let difference = match provider {
        Provider::Cpu => "–".to_string(),
        _ => {
            let cpu = Network::load(runtime, &choice, &Provider::Cpu.into(), 0, false)
                .map_err(|e| e.to_string())?;
            let mut cpu = Matting::new(cpu, side, false);
            let mut far = Vec::new();
            for (n, mask) in masks.iter().enumerate() {
                let other = run(&mut cpu, n)?.0;
                let sum: f64 = mask.iter().zip(&other).map(|(a, b)| f64::from((a - b).abs())).sum();
                far.push(255.0 * sum / mask.len().max(1) as f64);
            }
            let mean = far.iter().sum::<f64>() / far.len() as f64;
            format!("{mean:.4}, {:.4}", far.iter().fold(0.0, |most: f64, v| most.max(*v)))
        }
    };
    let limit = Duration::from_secs_f64(wish.seconds);
    let bare = rate(limit, || run(&mut matting, 0).map(|(_, took)| took))?;
    let mut sizes = String::new();
    for rows in &wish.sizes {
        let element = gst::ElementFactory::make("bgremove")
            .property("model", model)
            .property("resolution", wish.side)
            // The first run of a GPU may take its time.
            .property("inference-timeout", 0u64)
            .property_from_str("execution-provider", provider.name())
            .build()
            .map_err(|e| e.to_string())?;
        let (mut harness, frame) = common::stream(&element, rows * 16 / 9, *rows);
        let rate = rate(limit, || {
            let begin = Instant::now();
            harness.push_and_pull(frame.clone()).map_err(|e| format!("{rows} rows: {e}"))?;
            Ok(begin.elapsed())
        })?;
        sizes += &format!(" {rate:.1} |");
    }
    println!(
        "| {model} | {place} | {:.1} | {:.0} | {bare:.1} |{sizes} {difference} | {} |",
        load.as_secs_f64(),
        first.as_secs_f64() * 1e3,
        memory()
    );
    Ok(())
}

/// Frames a second at the median; the first one or two make ready what the others find.
fn rate(limit: Duration, mut once: impl FnMut() -> Result<Duration, String>) -> Result<f64, String> {
    let begin = Instant::now();
    once()?;
    if begin.elapsed() < limit {
        once()?;
    }
    let (mut times, begin) = (Vec::new(), Instant::now());
    while times.is_empty() || begin.elapsed() < limit {
        times.push(once()?);
    }
    times.sort();
    Ok(1.0 / times[times.len() / 2].as_secs_f64())
}

/// A person who moves a little from frame to frame.
struct Pictures(image::RgbImage);

impl Pictures {
    fn new(path: &str) -> Result<Self, String> {
        let picture = image::open(path).map_err(|e| format!("{path}: {e}"))?;
        Ok(Self(picture.resize_exact(1312, 720, image::imageops::FilterType::Triangle).into_rgb8()))
    }

    /// Of 1280×720.
    fn frame<T>(&self, n: usize, see: impl FnOnce(&Frame<'_>) -> T) -> T {
        let stride = self.0.width() as usize * 3;
        let none = Plane { data: &[][..], stride: 0 };
        let planes = [Plane { data: &self.0.as_raw()[3 * 8 * n..], stride }, none, none, none];
        see(&Frame { format: Format::Rgb, color: Color::BT709, width: 1280, height: 720, planes })
    }
}

/// What this process has of the GPU's memory where its driver's tool tells, or the most that it has had of the machine's.
fn memory() -> String {
    let query = ["--query-compute-apps=pid,used_gpu_memory", "--format=csv,noheader,nounits"];
    let told = Command::new("nvidia-smi").args(query).output().map(|o| o.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&told).into_owned();
    let own = std::process::id().to_string();
    let of_gpu = text.lines().filter_map(|l| l.split_once(',')).find(|(pid, _)| pid.trim() == own);
    if let Some((_, mib)) = of_gpu {
        return mib.trim().to_string();
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    peak.map_or_else(|| "–".to_string(), |kib: u64| format!("{} *", kib / 1024))
}
