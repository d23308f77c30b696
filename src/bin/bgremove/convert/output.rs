//! Where the result goes: written under another name, put in its place when it is whole.

use super::format::{BESIDE, Format, beside};
use super::raw;
use gstbgremove::draft::folder_of;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::{Builder, NamedTempFile, TempDir};

/// The unfinished result; gone with it unless it is put in its place. It is locked as long as somebody works on it.
enum Part {
    File(NamedTempFile),
    Folder(TempDir, Option<File>),
    /// Standard output, where nothing can be put in its place.
    Pipe,
}

/// How the names of parts begin. Short, so that any name that is possible can be that of the result.
pub const PREFIX: &str = ".bgremove-";
/// How they end.
const SUFFIX: &str = ".part";
/// A part is made first and locked then.
const YOUNG: Duration = Duration::from_secs(1);

/// Whether two names lead to one file or folder.
pub(crate) fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Takes away the parts in a folder that somebody has left there who came to a sudden end; how many.
fn sweep(folder: &Path) -> u64 {
    let mut gone = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_part = name.starts_with(PREFIX) && name.trim_end_matches(BESIDE).ends_with(SUFFIX);
        let Ok(meta) = entry.metadata() else { continue };
        let young = meta.modified().is_ok_and(|m| m.elapsed().is_ok_and(|age| age < YOUNG));
        if !is_part || young || !(meta.is_file() || meta.is_dir()) {
            continue;
        }
        let path = entry.path();
        // What lies beside a part is as alive as that is.
        let owner = folder.join(name.trim_end_matches(BESIDE));
        let open = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&owner);
        let locked = match open {
            Ok(file) => file.try_lock().is_err(),
            Err(e) => e.kind() != ErrorKind::NotFound,
        };
        if locked {
            continue;
        }
        let removed = if meta.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        gone += u64::from(removed.is_ok());
    }
    gone
}

/// A file, or for pictures a folder, in the making.
pub struct Output {
    target: PathBuf,
    overwrite: bool,
    part: Part,
    /// Goes with the part.
    _beside: Beside,
    /// Parts of others that were taken away.
    pub swept: u64,
}

/// What a muxer has left beside the part.
struct Beside(PathBuf);

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Where an output of a format goes: pictures go into a folder, also when a name ends in `.png`.
pub fn target(path: &Path, format: Format) -> PathBuf {
    if format == Format::Png && Format::of(path) == Some(Format::Png) {
        path.with_extension("")
    } else {
        path.into()
    }
}

/// Whether something is in the way.
///
/// # Errors
/// What, and what to do.
pub fn check(target: &Path, format: Format, overwrite: bool) -> Result<(), String> {
    let name = target.display();
    let is_link = fs::symlink_metadata(target).is_ok_and(|m| m.is_symlink());
    let there = match fs::metadata(target) {
        Ok(there) => there,
        Err(e) if e.kind() == ErrorKind::NotFound && is_link && (!overwrite || format == Format::Png) => {
            return Err(format!(
                "{name} is a link that leads nowhere: {}choose another name",
                if format == Format::Png { "" } else { "give --overwrite to replace it, or " }
            ));
        }
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) if e.kind() == ErrorKind::InvalidFilename => {
            return Err(format!(
                "the name {name} is longer than the file system takes: choose a shorter one"
            ));
        }
        Err(e) => return Err(format!("{name} cannot be looked at: {e}")),
    };
    if format != Format::Png {
        return match (there.is_file(), overwrite) {
            (false, _) => Err(format!("{name} is there and is no file: choose another name")),
            (true, false) => {
                Err(format!("{name} exists: give --overwrite to replace it, or choose another name"))
            }
            (true, true) => Ok(()),
        };
    }
    if !there.is_dir() {
        return Err(format!(
            "{name} is there and is no folder, which the pictures need: choose another name"
        ));
    }
    let mut others =
        fs::read_dir(target).map_err(|e| format!("{name} cannot be read: {e}"))?.flatten().peekable();
    if others.peek().is_none() {
        return Ok(());
    }
    if !overwrite {
        return Err(format!(
            "{name} holds files: give --overwrite to replace them, or choose another folder"
        ));
    }
    match others.find(|f| !is_picture(&f.file_name().to_string_lossy())) {
        Some(other) => Err(format!(
            "{name} holds more than frames ({}): it is not replaced; choose another folder",
            other.file_name().display()
        )),
        None => Ok(()),
    }
}

/// `frame-NNNNN.png`.
fn is_picture(name: &str) -> bool {
    let number = name.strip_prefix("frame-").and_then(|n| n.strip_suffix(".png"));
    number.is_some_and(|n| n.len() >= 5 && n.bytes().all(|b| b.is_ascii_digit()))
}

impl Output {
    /// Begins a result, and takes away what others have left unfinished in its folder.
    pub fn begin(target: &Path, format: Format, overwrite: bool) -> Result<Self, String> {
        let mut output = Self::among_others(target, format, overwrite)?;
        if !raw::is_pipe(target) {
            output.swept = sweep(folder_of(target));
        }
        Ok(output)
    }

    /// The same where other machines may be at work in the folder, whose locks are not always seen from here: nothing is
    /// taken away.
    pub fn among_others(target: &Path, format: Format, overwrite: bool) -> Result<Self, String> {
        if raw::is_pipe(target) {
            let _beside = Beside(PathBuf::new());
            return Ok(Self { target: target.into(), overwrite, part: Part::Pipe, _beside, swept: 0 });
        }
        check(target, format, overwrite)?;
        let folder = folder_of(target);
        target.file_name().ok_or_else(|| format!("{} is no name for a result", target.display()))?;
        let mut builder = Builder::new();
        builder.prefix(PREFIX).suffix(SUFFIX);
        // As any new file, not for its owner alone.
        let part = if format == Format::Png {
            builder.permissions(Permissions::from_mode(0o777)).tempdir_in(folder).map(|f| {
                let lock = File::open(f.path()).ok().filter(|d| d.try_lock().is_ok());
                Part::Folder(f, lock)
            })
        } else {
            builder.permissions(Permissions::from_mode(0o666)).tempfile_in(folder).map(|f| {
                // Where locks are not known, parts that are left stay.
                let _ = f.as_file().try_lock();
                Part::File(f)
            })
        };
        let part = part.map_err(|e| match e.kind() {
            ErrorKind::NotFound => format!("there is no folder {}: make it first", folder.display()),
            kind => format!("the folder {} cannot be written to: {kind}", folder.display()),
        })?;
        let path = match &part {
            Part::File(file) => file.path(),
            Part::Folder(folder, _) => folder.path(),
            Part::Pipe => Path::new(""),
        };
        let _beside = Beside(beside(path));
        Ok(Self { target: target.to_path_buf(), overwrite, part, _beside, swept: 0 })
    }

    /// Where to write for now.
    pub fn path(&self) -> &Path {
        match &self.part {
            Part::File(file) => file.path(),
            Part::Folder(folder, _) => folder.path(),
            Part::Pipe => &self.target,
        }
    }

    /// Puts the whole result in its place; its size in bytes, where that is known.
    pub fn finish(self) -> Result<Option<u64>, String> {
        let name = self.target.display().to_string();
        let said = |e: std::io::Error| match e.kind() {
            ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty => {
                format!("{name} has come to be while its successor was made, and is kept")
            }
            _ => format!("{name} cannot be put in its place: {e}"),
        };
        match self.part {
            Part::File(file) => {
                let bytes = fs::metadata(file.path()).map_err(said)?.len();
                let put = if self.overwrite {
                    file.persist(&self.target)
                } else {
                    file.persist_noclobber(&self.target)
                };
                put.map_err(|e| said(e.error))?;
                Ok(Some(bytes))
            }
            Part::Folder(folder, _lock) => {
                let mut bytes = 0;
                for file in fs::read_dir(folder.path()).map_err(said)? {
                    bytes += file.and_then(|f| f.metadata()).map_err(said)?.len();
                }
                // Looked at again: frames, and nothing else, may go.
                check(&self.target, Format::Png, self.overwrite)?;
                if self.overwrite && self.target.is_dir() {
                    for file in fs::read_dir(&self.target).map_err(said)?.flatten() {
                        fs::remove_file(file.path()).map_err(said)?;
                    }
                }
                // Onto nothing, or an empty folder.
                fs::rename(folder.path(), &self.target).map_err(said)?;
                let _ = folder.keep();
                Ok(Some(bytes))
            }
            Part::Pipe => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.webm");
        fs::write(&file, "old").unwrap();
        assert!(check(&file, Format::Webm, false).is_err_and(|e| e.contains("--overwrite")));
        drop(Output::begin(&file, Format::Webm, true).unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), "old");
        let output = Output::begin(&file, Format::Webm, true).unwrap();
        fs::write(output.path(), "newer").unwrap();
        assert_eq!(output.finish().unwrap(), Some(5));
        assert_eq!(fs::read_to_string(&file).unwrap(), "newer");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no part is left");

        let other = folder.path().join("b.webm");
        let output = Output::begin(&other, Format::Webm, false).unwrap();
        fs::write(&other, "somebody else's").unwrap();
        assert!(output.finish().is_err_and(|e| e.contains("kept")));
        assert_eq!(fs::read_to_string(&other).unwrap(), "somebody else's");
    }

    #[test]
    fn folders_of_frames_only_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let target = target(&folder.path().join("clip.png"), Format::Png);
        assert_eq!(target, folder.path().join("clip"));
        let write = |overwrite, frames: u32| {
            let output = Output::begin(&target, Format::Png, overwrite)?;
            for n in 1..=frames {
                fs::write(output.path().join(format!("frame-{n:05}.png")), "x").unwrap();
            }
            output.finish()
        };
        assert_eq!(write(false, 3), Ok(Some(3)));
        assert!(write(false, 3).is_err_and(|e| e.contains("--overwrite")));
        assert_eq!(write(true, 2), Ok(Some(2)));
        assert_eq!(fs::read_dir(&target).unwrap().count(), 2, "none of the old frames stays");
        fs::write(target.join("letter.txt"), "mine").unwrap();
        assert!(write(true, 2).is_err_and(|e| e.contains("letter.txt")));
        assert!(target.join("letter.txt").exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no part is left");
    }
}
