//! What `auto` would choose on this machine, for those who want to know before.

use crate::probe::{self, Probe};
use gstbgremove::auto::{self, Chosen, Figure, USUAL_FRAME};
use serde_json::Value;
use std::time::Duration;

/// What it would choose, as far as that is known without measuring anything.
pub struct Here {
    pub files: Chosen,
    /// At 30 frames a second.
    pub live: Chosen,
}

impl Here {
    /// `known`: what a run of the best network takes, or why that is not known.
    pub fn look(known: impl FnOnce() -> Result<Figure, String>) -> Self {
        let best = auto::look();
        Self { files: auto::for_files(&best), live: auto::for_pace(&best, USUAL_FRAME, known) }
    }

    /// With what was measured before. `folder`: the plugin's, if that has been looked for.
    pub fn look_up(folder: Option<&str>) -> Self {
        // ONNX Runtime opens in a process of its own, which may crash.
        Self::look(|| figure(&probe::ask(Probe::Known, folder.unwrap_or_default())?))
    }

    /// For which streams it would choose a network.
    pub fn chooses(&self, model: &str) -> Vec<&'static str> {
        let of = |chosen: &Chosen, what| (chosen.model == model).then_some(what);
        [of(&self.files, "files"), of(&self.live, "live")].into_iter().flatten().collect()
    }

    /// In one line, with the way to something better if there is one.
    pub fn line(&self) -> String {
        let (files, live) = (&self.files, &self.live);
        let choice = match files == live {
            true => format!("{} ({})", files.model, files.reason),
            false => format!(
                "for files {} ({}); for live streams of 30 frames a second {} ({})",
                files.model, files.reason, live.model, live.reason
            ),
        };
        choice + &files.advice.as_ref().map_or(String::new(), |advice| format!("; {advice}"))
    }
}

/// What a probe says of a run of the best network.
pub fn figure(told: &Value) -> Result<Figure, String> {
    let not_yet = || {
        format!(
            "what a run of {} takes is not known yet: `bgremove doctor`, or the first live stream, measures it",
            auto::BEST
        )
    };
    let run = Duration::from_nanos(told["nanoseconds"].as_u64().ok_or_else(not_yet)?);
    let provider = told["provider"].as_str().unwrap_or_default().to_string();
    let (slower, failed) = (Vec::new(), Vec::new());
    Ok(Figure { run, provider, beside: told["beside"] == true, slower, failed })
}

/// What `bgremove models info auto` prints.
pub fn page() -> String {
    let here = Here::look_up(None);
    let mut lines = vec![
        ("name", auto::AUTO.to_string()),
        ("network", format!("{} where it is installed and keeps the pace, else {}", auto::BEST, auto::LIGHT)),
        ("finds", "people".to_string()),
        ("default", "of `bgremove convert`; the element's own is light".to_string()),
        ("files", format!("{}: {}", here.files.model, here.files.reason)),
        ("live", format!("{}: {}", here.live.model, here.live.reason)),
        (
            "",
            "for 30 frames a second of 16:9; settled at a stream's start, and the same to its end"
                .to_string(),
        ),
    ];
    lines.extend(here.files.advice.map(|advice| ("better", advice)));
    lines.iter().map(|(key, value)| format!("{key:9}{value}\n")).collect()
}
