//! What a run takes, kept on disk: a file for each machine, network, runtime and way to run it.
//!
//! A file begins with all that its figure depends on, so that none is taken for another, and ends with how the figure
//! came about, the figure, and those of slower providers.

use crate::draft::{self, Draft};
use crate::runtime;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::PathBuf;
use std::time::Duration;

/// What the lines after those begin with, and how the first of them may end.
const RAN: &str = "ran on ";
const BESIDE: &str = ", beside a stream";
const FIGURE: &str = "nanoseconds ";
const OTHER: &str = "slower ";
const FAILED: &str = "failed ";

/// Where a provider has failed, it is measured again after this.
const RETRY: Duration = Duration::from_secs(24 * 60 * 60);

/// Nothing is kept that took longer than this: it was not the network.
const LONGEST: Duration = Duration::from_secs(600);

/// What a run takes, and how that was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    pub run: Duration,
    /// The name of the provider that it ran on; another day the machine may have another.
    pub provider: String,
    /// It was measured beside a running stream, with which it takes longer.
    pub beside: bool,
    /// The other providers that were measured with it, and what a run takes there: the fastest first.
    pub slower: Vec<(String, Duration)>,
    /// Those where it loads and does not run, and why.
    pub failed: Vec<(String, String)>,
}

impl Figure {
    /// The providers that were tried, the fastest first.
    pub fn order(&self) -> impl Iterator<Item = &str> {
        let others = self.slower.iter().map(|(name, _)| name).chain(self.failed.iter().map(|(name, _)| name));
        std::iter::once(&self.provider).chain(others).map(String::as_str)
    }

    /// All that was measured, in words.
    pub fn line(&self) -> String {
        let others = self.slower.iter().map(|(name, run)| format!(", {name} {} ms", super::ms(*run)));
        let beside = if self.beside { ", beside a stream" } else { "" };
        format!("{} {} ms a run{}{beside}", self.provider, super::ms(self.run), others.collect::<String>())
    }
}

/// The place of one figure.
#[derive(Clone, Debug)]
pub struct Place {
    /// What the figure depends on, a line each.
    key: String,
    path: PathBuf,
}

impl Place {
    /// The place for a figure that depends on this; `None` where there is no folder for it.
    pub fn new(key: String) -> Option<Self> {
        Some(Self::within(&runtime::cache_folder()?, key))
    }

    fn within(folder: &std::path::Path, key: String) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(key.as_bytes());
        let path = folder.join("pace").join(format!("{:016x}.txt", hasher.finish()));
        Self { key, path }
    }

    /// The figure, if there is one.
    pub fn read(&self) -> Option<Figure> {
        let text = fs::read_to_string(&self.path).ok()?;
        let (how, rest) = text.strip_prefix(&self.key)?.strip_prefix(RAN)?.split_once('\n')?;
        let mut lines = rest.strip_suffix('\n')?.split('\n');
        let time = |text: &str| {
            let nanos = text.parse().ok()?;
            Some(Duration::from_nanos(nanos)).filter(|t| !t.is_zero() && *t < LONGEST)
        };
        let run = time(lines.next()?.strip_prefix(FIGURE)?)?;
        let (mut slower, mut failed) = (Vec::new(), Vec::new());
        for line in lines {
            if let Some((name, why)) = line.strip_prefix(FAILED).and_then(|l| l.split_once(' ')) {
                failed.push((name.to_string(), why.to_string()));
            } else {
                let (name, nanos) = line.strip_prefix(OTHER)?.split_once(' ')?;
                slower.push((name.to_string(), time(nanos)?));
            }
        }
        let provider = how.strip_suffix(BESIDE).unwrap_or(how).to_string();
        let figure = Figure { run, provider, beside: how.ends_with(BESIDE), slower, failed };
        let times: Vec<_> = std::iter::once(run).chain(figure.slower.iter().map(|(_, t)| *t)).collect();
        // What has failed once may have been in the way of something else.
        let stale = !figure.failed.is_empty() && self.age().is_none_or(|age| age > RETRY);
        (times.is_sorted() && !stale).then_some(figure)
    }

    fn age(&self) -> Option<Duration> {
        fs::metadata(&self.path).ok()?.modified().ok()?.elapsed().ok()
    }

    /// Whether a figure can be kept there.
    pub fn is_writable(&self) -> bool {
        let folder = draft::folder_of(&self.path);
        fs::create_dir_all(folder).and_then(|()| Draft::new(folder, ".")).is_ok()
    }

    /// Takes the figure away.
    pub fn forget(&self) {
        let _ = fs::remove_file(&self.path);
    }

    /// Keeps a figure. Without it, the next one who wants to know measures again.
    pub fn write(&self, figure: &Figure) {
        let folder = draft::folder_of(&self.path);
        let beside = if figure.beside { BESIDE } else { "" };
        let mut text =
            format!("{}{RAN}{}{beside}\n{FIGURE}{}\n", self.key, figure.provider, figure.run.as_nanos());
        text.extend(figure.slower.iter().map(|(name, run)| format!("{OTHER}{name} {}\n", run.as_nanos())));
        text.extend(
            figure
                .failed
                .iter()
                .map(|(name, why)| format!("{FAILED}{name} {}\n", why.lines().next().unwrap_or_default())),
        );
        let _ = fs::create_dir_all(folder).and_then(|()| draft::write(&self.path, ".", text.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_found_again_and_taken_for_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let place = |key: &str| Place::within(folder.path(), key.to_string());
        let run = Duration::from_micros(12_345);
        let took = |beside| Figure {
            run,
            provider: "cpu".to_string(),
            beside,
            slower: if beside { Vec::new() } else { vec![("openvino".to_string(), run * 2)] },
            failed: if beside { vec![("cuda".to_string(), "it was lost".to_string())] } else { Vec::new() },
        };
        assert!(place("network a\n").is_writable());
        assert_eq!(place("network a\n").read(), None);
        for beside in [true, false] {
            place("network a\n").write(&took(beside));
            assert_eq!(place("network a\n").read(), Some(took(beside)));
        }
        assert_eq!(place("network b\n").read(), None);
        // What has failed is not out for ever.
        place("network a\n").write(&took(true));
        let then = std::time::SystemTime::now() - 2 * RETRY;
        fs::File::options().write(true).open(place("network a\n").path).unwrap().set_modified(then).unwrap();
        assert_eq!(place("network a\n").read(), None);
        // A file that got another's name.
        fs::copy(place("network a\n").path, place("network b\n").path).unwrap();
        assert_eq!(place("network b\n").read(), None);
        // Damage.
        let how = "network a\nran on cpu\n";
        for text in [
            "",
            "network a\n",
            how,
            &format!("{how}nanoseconds 0\n"),
            &format!("{how}nanoseconds 12"),
            &format!("{how}nanoseconds 12\nslower openvino\n"),
            &format!("{how}nanoseconds 12\nslower openvino 11\n"),
        ] {
            fs::write(place("network a\n").path, text).unwrap();
            assert_eq!(place("network a\n").read(), None, "{text:?}");
        }
        // Of before it was kept what it ran on.
        fs::write(place("network a\n").path, "network a\nnanoseconds 12\n").unwrap();
        assert_eq!(place("network a\n").read(), None);
        place("network a\n").write(&took(false));
        assert_eq!(place("network a\n").read(), Some(took(false)));
        assert_eq!(fs::read_dir(folder.path().join("pace")).unwrap().count(), 2, "no drafts are left");
        place("network a\n").forget();
        assert_eq!(place("network a\n").read(), None);
    }
}
