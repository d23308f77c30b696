//! Questions to a process of its own, which may crash or hang without taking the tool with it.

use serde_json::Value;
use std::ffi::OsStr;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long one may take; a graph that is optimised for the first time on a slow machine included.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Probe {
    /// Where pipelines find the plugin, and whether it loads.
    Plugin,
    /// Which ONNX Runtime opens; with the plugin's folder.
    Runtime,
    /// The devices that a provider sees; with its name, and the plugin's folder in a second line.
    Devices,
    /// Whether a provider runs a network, and how fast; with its name, and the plugin's folder and a device in a second and
    /// a third line.
    Provider,
    /// Whether files can be opened and their frames prepared.
    Input,
    /// Whether a format can be made; with its name.
    Format,
    /// How fast a preset is; with its name.
    Speed,
    /// What a run of the best network takes, by a new measurement; with the plugin's folder.
    Pace,
    /// The same as it was measured before; the plugin's folder may be left open.
    Known,
    /// What a run of a preset takes on each provider that `auto` may take, by a new measurement; with its name, and the
    /// plugin's folder in a second line.
    Race,
    /// The same as it was measured before.
    Ranking,
}

/// Asks a process of its own.
///
/// # Errors
/// What it says, or how it ended.
pub fn ask(probe: Probe, with: &str) -> Result<Value, String> {
    ask_with(probe, with, ("BGREMOVE_PROBE", OsStr::new("1")))
}

/// The same with a variable in its environment.
pub fn ask_with(probe: Probe, with: &str, (name, value): (&str, &OsStr)) -> Result<Value, String> {
    use clap::ValueEnum as _;
    let kind = probe.to_possible_value().map(|v| v.get_name().to_string()).unwrap_or_default();
    let odd = |e: std::io::Error| format!("this tool cannot be started again: {e}");
    let exe = std::env::current_exe().map_err(odd)?;
    let mut child = Command::new(exe)
        .args(["doctor", "--probe", &kind, "--with", with])
        .env(name, value)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(odd)?;
    // Both are read to their ends at once, so that neither fills up and stops the process.
    let reader = |from: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut from) = from {
                let _ = from.read_to_end(&mut bytes);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = reader(child.stdout.take().map(|o| Box::new(o) as _));
    let err = reader(child.stderr.take().map(|e| Box::new(e) as _));
    let begin = Instant::now();
    let status = loop {
        match child.try_wait().map_err(odd)? {
            Some(status) => break status,
            None if begin.elapsed() > PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it did not end within {} s", PATIENCE.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    if status.success() {
        return serde_json::from_str(&out).map_err(|_| format!("it gave no answer: {}", err.trim()));
    }
    match err.split_once("bgremove: error: ") {
        Some((_, told)) => Err(told.trim().to_string()),
        // A crash has no words of its own.
        None => {
            Err(format!("it crashed ({status}) {}", err.lines().last().unwrap_or_default()).trim().into())
        }
    }
}
