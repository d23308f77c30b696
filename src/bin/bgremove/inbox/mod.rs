//! A folder that is watched: files that come into it and are whole, each once; and where those go that cannot be
//! converted. What has been done is known by the results alone, so that it can be stopped and started at any time.

use gstbgremove::sync::lock;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

/// How long a file has to stay as it is before it counts as whole.
const SETTLED: Duration = Duration::from_secs(2);
/// How often is looked.
pub const PAUSE: Duration = Duration::from_millis(500);
/// What cannot be converted for a reason that is not its own is tried again after so long.
const AGAIN: Duration = Duration::from_secs(60);
/// What cannot be converted goes into a folder of this name within.
pub const FAILED: &str = "failed";
/// What is still being written often has such a name.
const UNFINISHED: [&str; 5] = ["part", "tmp", "crdownload", "partial", "download"];
/// What lies beside videos, and is none: subtitles, sound, notes, sums, what cameras add.
const BESIDE: [&str; 33] = [
    "srt", "vtt", "ass", "ssa", "sub", "idx", "sup", "wav", "mp3", "flac", "aac", "m4a", "ogg", "opus",
    "txt", "md", "log", "csv", "json", "xml", "xmp", "nfo", "html", "pdf", "ini", "db", "md5", "sha1",
    "sha256", "sfv", "thm", "edl", "zip",
];

/// What is seen of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    bytes: u64,
    changed: Option<SystemTime>,
}

impl FileState {
    fn at(meta: &fs::Metadata) -> Self {
        Self { bytes: meta.len(), changed: meta.modified().ok() }
    }

    /// Whether a file is still as it was.
    pub fn holds(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|meta| Self::at(&meta) == *self)
    }
}

/// What is known of a file in the folder.
#[derive(Clone, Copy)]
struct Seen {
    look: FileState,
    /// Since when it is so.
    since: Instant,
    /// When it was seen first.
    came: Instant,
}

pub struct Inbox {
    folder: PathBuf,
    seen: HashMap<PathBuf, Seen>,
    /// Those that could not be set aside, and are not tried again by this run.
    given_up: HashSet<PathBuf>,
    /// Those that are tried again, and when.
    later: HashMap<PathBuf, Instant>,
    /// The places of those that are about to be set aside.
    places: Mutex<HashMap<PathBuf, PathBuf>>,
}

/// A file that is to be converted, or why it cannot be.
#[derive(Debug, PartialEq, Eq)]
pub enum Come {
    Whole(PathBuf, FileState),
    /// Another one has its result's name.
    Doubled(PathBuf, PathBuf),
}

impl Inbox {
    /// # Errors
    /// It is no folder.
    pub fn new(folder: &Path) -> Result<Self, String> {
        match folder.is_dir() {
            true => Ok(Self {
                folder: folder.into(),
                seen: HashMap::new(),
                given_up: HashSet::new(),
                later: HashMap::new(),
                places: Mutex::default(),
            }),
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
        let unread = |e: io::Error| format!("the folder {} cannot be read: {e}", self.folder.display());
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(unread)? {
            let Ok(entry) = entry else { continue };
            let (path, name) = (entry.path(), entry.file_name());
            let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
            let other = UNFINISHED.contains(&&*extension) || BESIDE.contains(&&*extension);
            let hidden = name.to_string_lossy().starts_with('.');
            // Of a link what it leads to counts.
            let Ok(meta) = fs::metadata(&path) else { continue };
            if meta.is_file() && meta.len() > 0 && !hidden && !other && !self.given_up.contains(&path) {
                let look = FileState::at(&meta);
                let seen = match self.seen.get(&path) {
                    Some(seen) if seen.look == look => *seen,
                    Some(seen) => Seen { look, since: now, came: seen.came },
                    None => Seen { look, since: now, came: now },
                };
                self.seen.insert(path.clone(), seen);
                // Copies and moves may keep the time of the content, but not that of the entry.
                files.push((seen.came, (meta.ctime(), meta.ctime_nsec()), path, seen));
            }
        }
        self.seen.retain(|path, _| files.iter().any(|f| f.2 == *path));
        self.later.retain(|_, when| *when > now);
        // Who was there first keeps the name.
        files.sort_by(|a, b| (a.0, a.1, &a.2).cmp(&(b.0, b.1, &b.2)));
        let (mut owners, mut come) = (HashMap::<PathBuf, PathBuf>::new(), Vec::new());
        for (_, _, path, Seen { look, since, .. }) in files {
            let output = target(&path);
            if let Some(owner) = owners.get(&output) {
                if now.duration_since(since) >= SETTLED {
                    come.push(Come::Doubled(path, owner.clone()));
                }
                continue;
            }
            let waits = self.later.contains_key(&path);
            if now.duration_since(since) >= SETTLED && !waits && !output.exists() {
                come.push(Come::Whole(path.clone(), look));
            }
            owners.insert(output, path);
        }
        Ok(come)
    }

    /// Takes a name in the folder for those that cannot be converted, which neither a file nor a record has, by an empty
    /// file.
    fn claim(&self, input: &Path) -> io::Result<PathBuf> {
        let folder = self.folder.join(FAILED);
        fs::create_dir_all(&folder)?;
        let stem = input.file_stem().ok_or(ErrorKind::InvalidFilename)?;
        for number in 1.. {
            let mut name = stem.to_os_string();
            if number > 1 {
                name.push(format!("-{number}"));
            }
            if let Some(extension) = input.extension() {
                name.push(".");
                name.push(extension);
            }
            let place = folder.join(name);
            if fs::symlink_metadata(beside(&place)).is_ok() {
                continue;
            }
            match File::create_new(&place) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                made => return made.map(|_| place),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// Where the record of one that is about to be set aside goes, if there is a place for it.
    pub fn record(&self, input: &Path) -> Option<PathBuf> {
        let place = self.claim(input).ok()?;
        let record = beside(&place);
        lock(&self.places).insert(input.into(), place);
        Some(record)
    }

    /// Moves one that cannot be converted out of the way, beside its record, and over nothing that is there; a note where
    /// it stays.
    pub fn set_aside(&mut self, input: &Path) -> Result<PathBuf, String> {
        let place = self.places.get_mut().unwrap_or_else(|e| e.into_inner()).remove(input);
        let moved = place.map_or_else(|| self.claim(input), Ok).and_then(|place| {
            fs::rename(input, &place).map(|()| place.clone()).inspect_err(|_| {
                // It is the empty one.
                let _ = fs::remove_file(&place);
            })
        });
        moved.map_err(|e| {
            self.given_up.insert(input.into());
            format!("{} cannot be moved into {}: {e}", input.display(), self.folder.join(FAILED).display())
        })
    }

    /// Leaves one where it is for a while.
    pub fn again(&mut self, input: &Path) {
        self.later.insert(input.into(), Instant::now() + AGAIN);
    }
}

/// The record of a file.
fn beside(place: &Path) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for hidden in [".b.mp4", "b.mp4.part", "empty.mp4", "a.srt"] {
            fs::write(inside.join(hidden), if hidden == "empty.mp4" { "" } else { "x" }).unwrap();
        }
        fs::write(&file, "half").unwrap();
        assert_eq!(look(0.0), []);
        assert_eq!(look(1.9), []);
        fs::write(&file, "halves").unwrap();
        assert_eq!(look(2.1), [], "it has grown");
        let whole = FileState::at(&fs::metadata(&file).unwrap());
        assert_eq!(look(4.2), [Come::Whole(file.clone(), whole)]);
        assert!(whole.holds(&file));
        fs::write(out.join("a.webm"), "done").unwrap();
        assert_eq!(look(5.0), []);
        // A later one of the same name, though it says that it is older.
        let later = inside.join("a.avi");
        // The system's clock for entries ticks slowly.
        std::thread::sleep(Duration::from_millis(20));
        fs::write(&later, "x").unwrap();
        File::options().write(true).open(&later).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(look(6.0), []);
        assert_eq!(look(8.5), [Come::Doubled(later.clone(), file.clone())]);
        // Started anew, what came first is known by the entries' times.
        let mut anew = Inbox::new(&inside).unwrap();
        let target = |p: &Path| out.join(p.file_stem().unwrap()).with_extension("webm");
        assert_eq!(anew.look_at(began, target).unwrap(), []);
        let after = anew.look_at(began + SETTLED, target).unwrap();
        assert_eq!(after, [Come::Doubled(later.clone(), file.clone())]);
        // What fails for another reason is tried again.
        fs::remove_file(out.join("a.webm")).unwrap();
        anew.again(&file);
        assert_eq!(anew.look_at(began + SETTLED, target).unwrap().len(), 1);
        let after = anew.look_at(Instant::now() + AGAIN + SETTLED, target).unwrap();
        assert_eq!(after[0], Come::Whole(file, whole));
        assert_eq!(inbox.set_aside(&later), Ok(inside.join("failed/a.avi")));
        assert!(inside.join("failed/a.avi").exists() && !later.exists());
        assert!(inbox.set_aside(&later).is_err(), "it has gone");
        assert!(!inside.join("failed/a-2.avi").exists(), "no empty one stays");
    }

    #[test]
    fn what_is_set_aside_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut inbox = Inbox::new(folder.path()).unwrap();
        let (file, failed) = (folder.path().join("clip.mp4"), folder.path().join(FAILED));
        for (content, name) in [("one", "clip.mp4"), ("two", "clip-2.mp4"), ("three", "clip-3.mp4")] {
            fs::write(&file, content).unwrap();
            // With a record of its own, and with one that lies elsewhere.
            if content != "two" {
                let record = inbox.record(&file).unwrap();
                assert_eq!(record, failed.join(format!("{name}.json")));
                fs::write(record, content).unwrap();
            }
            assert_eq!(inbox.set_aside(&file), Ok(failed.join(name)));
        }
        for (content, name) in [("one", "clip.mp4"), ("two", "clip-2.mp4"), ("three", "clip-3.mp4")] {
            assert_eq!(fs::read_to_string(failed.join(name)).unwrap(), content);
        }
        assert_eq!(fs::read_to_string(failed.join("clip.mp4.json")).unwrap(), "one");
        assert_eq!(fs::read_to_string(failed.join("clip-3.mp4.json")).unwrap(), "three");
    }
}
