//! What a run takes, kept on disk: a file for each machine, network, runtime and way to run it.
//!
//! A file begins with all that its figure depends on, so that none is taken for another, and ends with how the figure
//! came about and the figure.

use crate::draft;
use crate::runtime;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::PathBuf;
use std::time::Duration;

/// What the last two lines begin with, and how the first of them may end.
const RAN: &str = "ran on ";
const BESIDE: &str = ", beside a stream";
const FIGURE: &str = "nanoseconds ";

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
        let (how, last) = text.strip_prefix(&self.key)?.strip_prefix(RAN)?.split_once('\n')?;
        let nanos = last.strip_prefix(FIGURE)?.strip_suffix('\n')?.parse().ok()?;
        let run = Some(Duration::from_nanos(nanos)).filter(|t| !t.is_zero() && *t < LONGEST)?;
        let provider = how.strip_suffix(BESIDE).unwrap_or(how);
        Some(Figure { run, provider: provider.to_string(), beside: how.ends_with(BESIDE) })
    }

    /// Takes the figure away.
    pub fn forget(&self) {
        let _ = fs::remove_file(&self.path);
    }

    /// Keeps a figure. Without it, the next one who wants to know measures again.
    pub fn write(&self, figure: &Figure) {
        let folder = draft::folder_of(&self.path);
        let beside = if figure.beside { BESIDE } else { "" };
        let text =
            format!("{}{RAN}{}{beside}\n{FIGURE}{}\n", self.key, figure.provider, figure.run.as_nanos());
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
        let took =
            |beside| Figure { run: Duration::from_micros(12_345), provider: "cpu".to_string(), beside };
        assert_eq!(place("network a\n").read(), None);
        for beside in [true, false] {
            place("network a\n").write(&took(beside));
            assert_eq!(place("network a\n").read(), Some(took(beside)));
        }
        assert_eq!(place("network b\n").read(), None);
        // A file that got another's name.
        fs::copy(place("network a\n").path, place("network b\n").path).unwrap();
        assert_eq!(place("network b\n").read(), None);
        // Damage.
        let how = "network a\nran on cpu\n";
        for text in
            ["", "network a\n", how, &format!("{how}nanoseconds 0\n"), &format!("{how}nanoseconds 12")]
        {
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
