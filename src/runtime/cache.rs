//! Optimised graphs on disk: the largest networks start in a fraction of the time.
//!
//! An entry is named after the network's contents, the library, and the processor, so that none is
//! used where it does not fit; beside it a file holds its own hash, so that a damaged one is seen.

use super::{Runtime, provider};
use crate::draft::{self, Draft};
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

/// Smaller files are optimised faster than they are looked up.
const LEAST: u64 = 2_000_000;

/// The place of one network's optimised graph.
pub struct Slot {
    path: PathBuf,
    sum: PathBuf,
}

/// The place for a network of `length` bytes whose contents have the SHA-256 `contents`; `None` when it is small or
/// there is no folder for it.
pub fn slot(runtime: &Runtime, length: u64, contents: &str) -> Option<Slot> {
    if length < LEAST {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    hasher.write(contents.as_bytes());
    hasher.write(ort::info().as_bytes());
    hasher.write(runtime.path.as_os_str().as_encoded_bytes());
    hasher.write(processor().as_bytes());
    let folder = provider::cache_folder()?.join("graphs");
    fs::create_dir_all(&folder).ok()?;
    let name = format!("{:016x}", hasher.finish());
    Some(Slot { path: folder.join(format!("{name}.onnx")), sum: folder.join(format!("{name}.sum")) })
}

impl Slot {
    /// The entry, if there is one and it is whole.
    pub fn sound(&self) -> Option<&Path> {
        let kept = fs::read_to_string(&self.sum).ok()?;
        (hash(&self.path)? == kept).then_some(self.path.as_path())
    }

    /// Where a new entry is written first; `None` where the folder takes none.
    pub fn draft(&self) -> Option<Draft> {
        Draft::new(draft::folder_of(&self.path), ".").ok()
    }

    /// Puts the new entry in its place. Without one the next start is only slower.
    pub fn keep(&self, draft: Draft) {
        // The hash goes first: a stop in between leaves an entry that does not match.
        let kept = hash(draft.path())
            .is_some_and(|h| fs::write(&self.sum, h).is_ok() && draft.publish(&self.path).is_ok());
        if !kept {
            self.discard();
        }
    }

    /// Takes an entry away.
    pub fn discard(&self) {
        for path in [&self.sum, &self.path] {
            let _ = fs::remove_file(path);
        }
    }
}

fn hash(path: &Path) -> Option<String> {
    let mut hasher = DefaultHasher::new();
    hasher.write(&fs::read(path).ok()?);
    Some(format!("{:016x}", hasher.finish()))
}

/// The processor's name and features: optimised graphs are laid out for them, and what a run takes depends on them.
pub fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = |key: &str| text.lines().find(|l| l.starts_with(key)).unwrap_or_default().to_string();
    line("model name") + &line("flags") + &line("Features") + std::env::consts::ARCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let slot = Slot { path: at("a.onnx"), sum: at("a.sum") };
        assert_eq!(slot.sound(), None);
        let draft = slot.draft().unwrap();
        fs::write(draft.path(), b"graph").unwrap();
        slot.keep(draft);
        assert_eq!(slot.sound(), Some(at("a.onnx").as_path()));
        fs::write(at("a.onnx"), b"grapf").unwrap();
        assert_eq!(slot.sound(), None);
        slot.discard();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
