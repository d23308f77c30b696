//! A folder that is watched: files that come into it and are whole, each once; and where those go that cannot be
//! converted. What has been done is known by the results alone, so that it can be stopped and started at any time.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How long a file has to stay as it is before it counts as whole.
const SETTLED: Duration = Duration::from_secs(2);
/// How often is looked.
pub const PAUSE: Duration = Duration::from_millis(500);
/// What cannot be converted goes into a folder of this name within.
const FAILED: &str = "failed";
/// What is still being written often has such a name.
const UNFINISHED: [&str; 5] = ["part", "tmp", "crdownload", "partial", "download"];

/// What is seen of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    bytes: u64,
    changed: Option<SystemTime>,
}

pub struct Inbox {
    folder: PathBuf,
    /// Since when each has been as it is.
    seen: HashMap<PathBuf, (Look, Instant)>,
    /// Those that could not be set aside, and are not tried again by this run.
    given_up: HashSet<PathBuf>,
}

/// A file that is to be converted, or why it cannot be.
#[derive(Debug, PartialEq, Eq)]
pub enum Come {
    Whole(PathBuf),
    /// Another one has its result's name.
    Doubled(PathBuf, PathBuf),
}

impl Inbox {
    /// # Errors
    /// It is no folder.
    pub fn new(folder: &Path) -> Result<Self, String> {
        match folder.is_dir() {
            true => Ok(Self { folder: folder.into(), seen: HashMap::new(), given_up: HashSet::new() }),
            false => Err(format!("--watch {}: there is no such folder: make it first", folder.display())),
        }
    }

    /// Files that are whole by now and have no result, the oldest first. `target` says where one's result goes.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn look(&mut self, target: impl Fn(&Path) -> PathBuf) -> Result<Vec<Come>, String> {
        self.look_at(Instant::now(), target)
    }

    fn look_at(&mut self, now: Instant, target: impl Fn(&Path) -> PathBuf) -> Result<Vec<Come>, String> {
        let unread = |e: std::io::Error| format!("the folder {} cannot be read: {e}", self.folder.display());
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(unread)? {
            let Ok(entry) = entry else { continue };
            let (path, name) = (entry.path(), entry.file_name());
            let unfinished = path.extension().is_some_and(|e| UNFINISHED.iter().any(|u| e == *u));
            let hidden = name.to_string_lossy().starts_with('.');
            // Of a link what it leads to counts.
            let Ok(meta) = std::fs::metadata(&path) else { continue };
            if meta.is_file() && meta.len() > 0 && !hidden && !unfinished && !self.given_up.contains(&path) {
                files.push((path, Look { bytes: meta.len(), changed: meta.modified().ok() }));
            }
        }
        self.seen.retain(|path, _| files.iter().any(|f| f.0 == *path));
        // Who was there first keeps the name.
        files.sort_by(|a, b| (a.1.changed, &a.0).cmp(&(b.1.changed, &b.0)));
        let (mut owners, mut come) = (HashMap::<PathBuf, PathBuf>::new(), Vec::new());
        for (path, look) in files {
            let since = match self.seen.get(&path) {
                Some((before, since)) if *before == look => *since,
                _ => {
                    self.seen.insert(path.clone(), (look, now));
                    now
                }
            };
            let output = target(&path);
            if let Some(owner) = owners.get(&output) {
                if now.duration_since(since) >= SETTLED {
                    come.push(Come::Doubled(path, owner.clone()));
                }
                continue;
            }
            if now.duration_since(since) >= SETTLED && !output.exists() {
                come.push(Come::Whole(path.clone()));
            }
            owners.insert(output, path);
        }
        Ok(come)
    }

    /// Where the record of one that cannot be converted goes, if the folder for them can be made.
    pub fn record(&self, input: &Path) -> Option<PathBuf> {
        let folder = self.folder.join(FAILED);
        std::fs::create_dir_all(&folder).ok()?;
        let mut name = input.file_name()?.to_os_string();
        name.push(".json");
        Some(folder.join(name))
    }

    /// Moves one that cannot be converted out of the way; a note where it stays.
    pub fn set_aside(&mut self, input: &Path) -> Result<PathBuf, String> {
        let folder = self.folder.join(FAILED);
        let to = input.file_name().map(|name| folder.join(name));
        let moved = to.ok_or(std::io::ErrorKind::InvalidFilename.into()).and_then(|to| {
            std::fs::create_dir_all(&folder)?;
            std::fs::rename(input, &to).map(|()| to)
        });
        moved.map_err(|e| {
            self.given_up.insert(input.into());
            format!("{} cannot be moved into {}: {e}", input.display(), folder.display())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn files_come_once_when_they_are_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, out) = (folder.path().join("in"), folder.path().join("out"));
        fs::create_dir_all(&inside).unwrap();
        fs::create_dir_all(&out).unwrap();
        let mut inbox = Inbox::new(&inside).unwrap();
        let began = Instant::now();
        let mut look = |seconds: f64| {
            let target = |p: &Path| out.join(p.file_stem().unwrap()).with_extension("webm");
            inbox.look_at(began + Duration::from_secs_f64(seconds), target).unwrap()
        };
        let file = inside.join("a.mp4");
        for hidden in [".b.mp4", "b.mp4.part", "empty.mp4"] {
            fs::write(inside.join(hidden), if hidden == "empty.mp4" { "" } else { "x" }).unwrap();
        }
        fs::write(&file, "half").unwrap();
        assert_eq!(look(0.0), []);
        assert_eq!(look(1.9), []);
        fs::write(&file, "halves").unwrap();
        assert_eq!(look(2.1), [], "it has grown");
        assert_eq!(look(4.2), [Come::Whole(file.clone())]);
        fs::write(out.join("a.webm"), "done").unwrap();
        assert_eq!(look(5.0), []);
        // A later one of the same name.
        std::thread::sleep(Duration::from_millis(20));
        let later = inside.join("a.avi");
        fs::write(&later, "x").unwrap();
        assert_eq!(look(6.0), []);
        assert_eq!(look(8.5), [Come::Doubled(later.clone(), file)]);
        assert_eq!(inbox.set_aside(&later), Ok(inside.join("failed/a.avi")));
        assert!(inside.join("failed/a.avi").exists() && !later.exists());
        assert!(inbox.set_aside(&later).is_err(), "it has gone");
    }
}
