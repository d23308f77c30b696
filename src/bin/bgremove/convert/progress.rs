//! What the user hears of the work: bars on a terminal, lines elsewhere, JSON for programs.

use crate::print;
use gstbgremove::auto::Chosen;
use gstbgremove::sync::lock;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How far a conversion is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    pub frames: u64,
    /// Seconds of the input that are done, and all of them if that is known.
    pub seconds: f64,
    pub total: Option<f64>,
    /// Seconds of work so far.
    pub worked: f64,
}

impl Progress {
    fn part(&self) -> Option<f64> {
        self.total.filter(|t| *t > 0.0).map(|t| (self.seconds / t).clamp(0.0, 1.0))
    }

    fn fps(&self) -> f64 {
        if self.worked > 0.0 { self.frames as f64 / self.worked } else { 0.0 }
    }

    /// Seconds to go, once that can be guessed.
    fn left(&self) -> Option<f64> {
        let part = self.part().filter(|p| *p > 0.01 && self.worked > 1.0)?;
        Some(self.worked * (1.0 - part) / part)
    }

    fn text(&self) -> String {
        let mut text = format!("{} frames, {:.1} frames a second", self.frames, self.fps());
        if let Some(left) = self.left() {
            text += &format!(", {} left", clock(left));
        }
        text
    }
}

/// Minutes and seconds, with hours where there are any.
fn clock(seconds: f64) -> String {
    let s = seconds.round() as u64;
    if s >= 3600 {
        format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    } else {
        format!("{}:{:02}", s / 60, s % 60)
    }
}

enum Way {
    Bars(MultiProgress),
    Lines,
    Json,
}

/// Tells of several conversions that may run at the same time.
pub struct ProgressOutput {
    way: Way,
    /// Standard output is somebody else's.
    aside: bool,
}

/// How often lines tell of progress.
const LINES: Duration = Duration::from_secs(10);
/// How often JSON does.
const EVENTS: Duration = Duration::from_millis(500);

/// Prints to standard error. That nobody reads it is no error; `eprintln!` would panic.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

impl ProgressOutput {
    pub fn new(json: bool) -> Self {
        Self::beside(json, false)
    }

    /// The same; `aside`, nothing is written to standard output.
    pub fn beside(json: bool, aside: bool) -> Self {
        let way = match (json, std::io::stderr().is_terminal()) {
            (true, _) => Way::Json,
            (false, true) => {
                Way::Bars(MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8)))
            }
            (false, false) => Way::Lines,
        };
        Self { way, aside }
    }

    fn event(&self, value: &Value) {
        self.print(&format!("{value}\n"));
    }

    fn print(&self, text: &str) {
        if self.aside { tell(text.trim_end()) } else { print(text) }
    }

    /// Which network there will be, where nobody has named one: before anything else.
    pub fn chosen(&self, chosen: &Chosen) {
        match &self.way {
            Way::Json => self.event(&json!({
                "event": "model", "model": chosen.model, "reason": chosen.reason, "advice": chosen.advice,
            })),
            _ => {
                tell(&chosen.line());
                chosen.advice.iter().for_each(|advice| tell(advice));
            }
        }
    }

    /// Begins to tell of one input.
    pub fn job(&self, input: &Path, output: &Path) -> Job<'_> {
        let name = input.file_name().unwrap_or(input.as_os_str()).to_string_lossy().into_owned();
        let bar = match &self.way {
            Way::Bars(all) => {
                let style = ProgressStyle::with_template("{prefix} [{bar:30}] {percent:>3} %  {msg}");
                let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("#>-");
                Some(all.add(ProgressBar::new(1000).with_style(style).with_prefix(name)))
            }
            _ => None,
        };
        Job {
            out: self,
            input: input.display().to_string(),
            output: output.display().to_string(),
            bar,
            last: Mutex::new(Instant::now()),
        }
    }

    /// Tells how several inputs went.
    pub fn summary(&self, done: usize, failed: &[(String, String)]) {
        match &self.way {
            Way::Json => self.event(&json!({"event": "summary", "done": done, "failed": failed.len()})),
            _ => {
                let mut text = format!("{done} of {} converted", done + failed.len());
                for (input, why) in failed {
                    text += &format!("\n  failed: {input}: {why}");
                }
                tell(&text);
            }
        }
    }
}

/// One conversion that is told of.
pub struct Job<'a> {
    out: &'a ProgressOutput,
    input: String,
    output: String,
    bar: Option<ProgressBar>,
    last: Mutex<Instant>,
}

impl Job<'_> {
    /// A line beside the progress.
    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| tell(text)),
            None => tell(text),
        }
    }

    /// The input is open.
    pub fn started(&self, width: u32, height: u32, total: Option<f64>, sound: bool) {
        if let (Some(bar), None) = (&self.bar, total)
            && let Ok(style) = ProgressStyle::with_template("{prefix} [length unknown]  {msg}")
        {
            bar.set_style(style);
        }
        if let Way::Json = self.out.way {
            self.out.event(&json!({
                "event": "start", "input": self.input, "output": self.output, "width": width, "height": height,
                "seconds": total, "sound": sound,
            }));
        }
    }

    /// Something that the user should know and need not do anything about.
    pub fn note(&self, text: &str) {
        match self.out.way {
            Way::Json => self.out.event(&json!({"event": "note", "input": self.input, "text": text})),
            _ => self.line(&format!("{}: {text}", self.input)),
        }
    }

    /// Something that is not as it should be.
    pub fn warning(&self, code: &str, text: &str) {
        match self.out.way {
            Way::Json => {
                self.out.event(&json!({"event": "warning", "input": self.input, "code": code, "text": text}))
            }
            _ => self.line(&format!("{}: warning: {text} ({code})", self.input)),
        }
    }

    pub fn progress(&self, state: &Progress) {
        let every = match self.out.way {
            Way::Bars(_) => Duration::ZERO,
            Way::Lines => LINES,
            Way::Json => EVENTS,
        };
        let mut last = lock(&self.last);
        if last.elapsed() < every {
            return;
        }
        *last = Instant::now();
        match (&self.out.way, &self.bar) {
            (Way::Json, _) => self.out.event(&json!({
                "event": "progress", "input": self.input, "frames": state.frames, "seconds": state.seconds,
                "percent": state.part().map(|p| (p * 1000.0).round() / 10.0),
                "fps": (state.fps() * 100.0).round() / 100.0, "left": state.left().map(f64::round),
            })),
            (_, Some(bar)) => {
                bar.set_position((state.part().unwrap_or(0.0) * 1000.0) as u64);
                bar.set_message(state.text());
            }
            _ => {
                let part = match state.part() {
                    Some(part) => format!("{:.0} %, ", part * 100.0),
                    None => format!("{:.1} s of an unknown length, ", state.seconds),
                };
                tell(&format!("{}: {part}{}", self.input, state.text()));
            }
        }
    }

    /// A layer is in its place.
    pub fn layer(&self, layer: &str, path: &Path, frames: u64, bytes: u64) {
        let path = path.display().to_string();
        match self.out.way {
            Way::Json => self.out.event(&json!({
                "event": "layer", "input": self.input, "layer": layer, "output": path, "frames": frames,
                "bytes": bytes,
            })),
            _ => {
                let text = format!("{path}: {layer}, {:.1} MB\n", bytes as f64 / 1e6);
                match &self.out.way {
                    Way::Bars(all) => all.suspend(|| self.out.print(&text)),
                    _ => self.out.print(&text),
                }
            }
        }
    }

    pub fn done(&self, state: &Progress, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        match self.out.way {
            Way::Json => self.out.event(&json!({
                "event": "done", "input": self.input, "output": self.output, "frames": state.frames,
                "seconds": state.seconds, "bytes": bytes, "fps": (state.fps() * 100.0).round() / 100.0,
            })),
            _ => {
                let size = if bytes > 0 { format!(" {:.1} MB,", bytes as f64 / 1e6) } else { String::new() };
                let text = format!(
                    "{}: {} frames,{size} {:.1} frames a second\n",
                    self.output,
                    state.frames,
                    state.fps()
                );
                match &self.out.way {
                    Way::Bars(all) => all.suspend(|| self.out.print(&text)),
                    _ => self.out.print(&text),
                }
            }
        }
    }

    /// The result was there already, and whole.
    pub fn kept(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        match self.out.way {
            Way::Json => {
                self.out.event(&json!({"event": "kept", "input": self.input, "output": self.output}))
            }
            _ => self.out.print(&format!("{}: there already\n", self.output)),
        }
    }

    /// It failed; of a single input the tool itself tells on standard error.
    pub fn failed(&self, code: &str, why: &str, alone: bool) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        match self.out.way {
            Way::Json => {
                self.out.event(&json!({"event": "error", "input": self.input, "code": code, "text": why}))
            }
            _ if alone => {}
            _ => self.line(&format!("{}: error: {why}", self.input)),
        }
    }
}
