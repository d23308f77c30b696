//! What `auto` would choose on this machine, for those who want to know before.

use gstbgremove::auto::{self, Chosen, Trial, USUAL_FRAME};
use gstbgremove::runtime;

/// What it would choose, as far as that is known without measuring anything.
pub struct Here {
    pub files: Chosen,
    /// At 30 frames a second.
    pub live: Chosen,
}

impl Here {
    pub fn look() -> Self {
        let best = auto::look();
        let known = || {
            let runtime = runtime::open(None).map_err(|_| "ONNX Runtime does not open".to_string())?;
            let not_yet = || {
                format!(
                    "what a run of {} takes is not known yet: `bgremove doctor`, or the first live stream, measures it",
                    auto::BEST
                )
            };
            Trial::usual(runtime).known().ok_or_else(not_yet)
        };
        Self { files: auto::for_files(&best), live: auto::for_pace(&best, USUAL_FRAME, known) }
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

/// What `bgremove models info auto` prints.
pub fn page() -> String {
    let here = Here::look();
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
