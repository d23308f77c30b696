//! What is left to the machine: which network, and which execution provider it runs on.
//!
//! `model=auto` is the best network for people that is there, and that keeps the pace where a stream does not wait.
//! [`Chosen`] says which and why. Networks that find things are chosen by name only: nobody who asks for
//! a person wants the chair. `execution-provider=auto` is the fastest one of those that the library has. What a run takes
//! on this machine a [`Trial`] finds out; what it finds is kept on disk.

mod kept;
mod provider;
mod trial;

pub use kept::Figure;
pub use trial::{Candidate, Trial, Unknown};

use crate::models::{self, Entry};
use std::path::PathBuf;
use std::time::Duration;

/// The value of `model` that leaves the choice to the machine.
pub const AUTO: &str = "auto";
/// The best one for people, if it is installed.
pub const BEST: &str = "human";
/// The one that is built in.
pub const LIGHT: &str = "light";

/// What installs the best one.
pub const INSTALL: &str = "bgremove models install human";

/// How much of a frame's time a run may take: edges, colours, and what else is in the pipeline want the cores, too.
const SHARE: f64 = 0.5;
/// How long a frame lasts where nothing says it.
pub const USUAL_FRAME: Duration = Duration::from_nanos(33_333_333);

/// What `auto` stands for, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The name of a preset.
    pub model: &'static str,
    pub reason: String,
    /// How to have a better one, if there is a way.
    pub advice: Option<String>,
}

impl Chosen {
    fn best(reason: String) -> Self {
        Self { model: BEST, reason, advice: None }
    }

    fn light(reason: String, advice: Option<String>) -> Self {
        Self { model: LIGHT, reason, advice }
    }

    /// The choice in one line.
    pub fn line(&self) -> String {
        format!("model {}, chosen by auto: {}", self.model, self.reason)
    }

    /// The best one is there, and keeps no provider: it was measured on one and runs on another, time and again.
    pub fn unsteady(measured: &str, runs: &str) -> Self {
        let reason = format!(
            "the stream does not wait, and {BEST} runs on {runs} now, and ran on {measured} when it was measured"
        );
        Self::light(reason, None)
    }

    /// The best one is there, and turned out not to load.
    pub fn unusable(why: &str) -> Self {
        Self::light(why.to_string(), Some(format!("`bgremove models verify {BEST}`, then `{INSTALL}`")))
    }
}

/// Whether the best network is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Best {
    Installed,
    Missing,
    /// A file is there, but not of the right length.
    Damaged(PathBuf),
}

/// Looks whether the best network is there. Nothing is read of it.
pub fn look() -> Best {
    let Some(entry) = entry() else { return Best::Missing };
    let path = entry.path();
    match path.metadata() {
        Ok(file) if file.is_file() && file.len() == entry.bytes => Best::Installed,
        Ok(_) => Best::Damaged(path),
        Err(_) => Best::Missing,
    }
}

/// What the manifest says of the best network.
fn entry() -> Option<&'static Entry> {
    models::entries().iter().find(|e| e.preset == BEST)
}

/// For a stream that waits for each frame, as from a file.
pub fn for_files(best: &Best) -> Chosen {
    without(best).unwrap_or_else(|| {
        Chosen::best("the best one for people that is installed; nothing has to keep pace".to_string())
    })
}

/// For a stream whose frames come when they come and last so long. `run`: what one run of the best network takes, or
/// why that is not known.
pub fn for_pace(best: &Best, length: Duration, run: impl FnOnce() -> Result<Figure, String>) -> Chosen {
    if let Some(chosen) = without(best) {
        return chosen;
    }
    let last = ms(length);
    match run() {
        Ok(Figure { run, .. }) if run <= length.mul_f64(SHARE) => Chosen::best(format!(
            "the stream does not wait, and a run of {BEST} takes {} ms here, of {last} ms that a frame lasts",
            ms(run)
        )),
        Ok(Figure { run, beside, .. }) => Chosen::light(
            format!(
                "the stream does not wait, and a run of {BEST} takes {} ms here, more than half of the {last} ms that \
                 a frame lasts",
                ms(run)
            ),
            beside.then(|| {
                "that was measured beside a running stream: `bgremove doctor` measures it by itself"
                    .to_string()
            }),
        ),
        Err(why) => Chosen::light(format!("the stream does not wait, and {why}"), None),
    }
}

/// The choice where there is none.
fn without(best: &Best) -> Option<Chosen> {
    let better = |how: &str| Some(format!("for finer mattes of people {how}: {INSTALL}"));
    match best {
        Best::Installed => None,
        Best::Missing => {
            let licence = entry().map_or_else(String::new, |e| format!(" ({})", e.licence));
            Some(Chosen::light(format!("{BEST} is not installed"), better(&format!("install it{licence}"))))
        }
        Best::Damaged(path) => Some(Chosen::light(
            format!("{BEST} is damaged: {} is not as long as it should be", path.display()),
            better("install it anew"),
        )),
    }
}

/// Milliseconds, as exact as anybody wants them.
fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 10.0 { format!("{ms:.1}") } else { format!("{ms:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn files_get_the_best_one_that_is_there() {
        let chosen = for_files(&Best::Installed);
        assert_eq!((chosen.model, &chosen.advice), ("human", &None));
        for (best, word) in
            [(Best::Missing, "not installed"), (Best::Damaged("/a/human.onnx".into()), "damaged")]
        {
            let chosen = for_files(&best);
            assert!(chosen.model == "light" && chosen.reason.contains(word), "{chosen:?}");
            assert!(chosen.line().starts_with("model light, chosen by auto: human is"), "{}", chosen.line());
            assert!(chosen.advice.unwrap().ends_with("bgremove models install human"));
        }
    }

    #[test]
    fn live_streams_get_the_best_one_that_keeps_the_pace() {
        let figure = |run, beside| Figure {
            run: MS(run),
            provider: "cpu".to_string(),
            beside,
            slower: Vec::new(),
            failed: Vec::new(),
        };
        let at = |run: u64, length: u64| for_pace(&Best::Installed, MS(length), || Ok(figure(run, false)));
        assert_eq!((at(16, 33).model, at(17, 33).model, at(30, 100).model), ("human", "light", "human"));
        assert!(
            at(17, 33).reason.contains("17 ms") && at(17, 33).reason.contains("33 ms"),
            "{:?}",
            at(17, 33)
        );
        // One that was measured in company is too long, if anything.
        assert_eq!(at(17, 33).advice, None);
        let beside = |run| for_pace(&Best::Installed, MS(33), || Ok(figure(run, true)));
        assert_eq!((beside(16).model, beside(16).advice, beside(17).model), ("human", None, "light"));
        assert!(beside(17).advice.unwrap().contains("bgremove doctor"));
        // What cannot be found out is not hoped for.
        let unknown = for_pace(&Best::Installed, MS(33), || Err("nobody knows".into()));
        assert!(unknown.model == "light" && unknown.reason.contains("nobody knows"), "{unknown:?}");
        // Nothing is measured of what is not there.
        let missing = for_pace(&Best::Missing, MS(33), || panic!("measured"));
        assert_eq!((missing.model, missing.advice.is_some()), ("light", true));
    }
}
