//! Files that come whole or not at all: written under a name of their own beside their place, then renamed.

use std::io::{Result, Write};
use std::path::Path;
use tempfile::TempPath;

/// A file in the making. Its name is one that nobody can guess, and it was not there before and is no link. Unless it is put
/// in its place, it goes when this does.
#[derive(Debug)]
pub struct Draft(TempPath);

impl Draft {
    /// An empty file in a folder, whose name begins with `prefix` and ends with `.part`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn new(folder: &Path, prefix: &str) -> Result<Self> {
        Self::with(folder, prefix, &[])
    }

    /// The same, with what is to be in it on the disk.
    fn with(folder: &Path, prefix: &str, bytes: &[u8]) -> Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(prefix).suffix(".part");
        // As any new file of this process, not for its owner alone: the system takes off what the umask says.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder)?;
        if !bytes.is_empty() {
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
        }
        Ok(Self(file.into_temp_path()))
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Puts the file in its place, instead of what is there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn publish(self, place: &Path) -> Result<()> {
        // By the standard library: `persist` would bring system calls past the C library into the plugin, and then its list
        // of imports would not tell what it can do.
        std::fs::rename(&self.0, place)?;
        // It has gone; nothing is to be cleared away.
        let _ = self.0.keep();
        Ok(())
    }
}

/// The folder that a file lies in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a file. What becomes of it in a crash is the old file or the new one.
///
/// # Errors
/// Those of the file system; what was there before is as it was.
pub fn write(place: &Path, prefix: &str, bytes: &[u8]) -> Result<()> {
    Draft::with(folder_of(place), prefix, bytes)?.publish(place)
}
