//! The presets, and from the value of the `model` property to the file to load.

use super::hint_keys::{hints, key_file, number};
use super::{Hints, sidecar};
use crate::error::{Error, ErrorKind, Result};
use crate::key;
use crate::runtime::{self, ModelSource};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Where a network's file is.
#[derive(Clone, Debug)]
pub enum FileSource {
    /// Built into the plugin; the name is the manifest's.
    Embedded(&'static str, &'static [u8]),
    /// On disk.
    File(PathBuf),
}

impl FileSource {
    /// What the runtime loads.
    pub fn contents(&self) -> ModelSource<'_> {
        match self {
            FileSource::Embedded(_, bytes) => ModelSource::Memory(bytes),
            FileSource::File(path) => ModelSource::File(path),
        }
    }

    /// What it is known by: the contents of what is built in need no looking at, megabytes under a lock.
    fn identity(&self) -> (bool, &Path) {
        match self {
            FileSource::Embedded(name, _) => (true, Path::new(name)),
            FileSource::File(path) => (false, path),
        }
    }
}

impl PartialEq for FileSource {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for FileSource {}

impl Hash for FileSource {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

/// A group of the manifest.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The group's name.
    pub name: String,
    /// The preset that it belongs to.
    pub preset: String,
    /// Whether it is the one for frames that are much wider than high.
    pub wide: bool,
    pub title: String,
    pub licence: String,
    pub subject: String,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Length of the file.
    pub bytes: u64,
    pub hints: Hints,
    /// The short side of its input in pixels where no pace has to be kept, if that is another one.
    files_short_side: Option<usize>,
    /// The file, if it is built in.
    embedded: Option<(&'static str, &'static [u8])>,
}

impl Entry {
    /// The file's bytes, if it is built in.
    pub fn embedded(&self) -> Option<&'static [u8]> {
        self.embedded.map(|(_, bytes)| bytes)
    }

    /// Whether this is what `source` means, built in.
    pub(super) fn is_built_in_as(&self, source: &FileSource) -> bool {
        matches!((self.embedded, source), (Some((own, _)), FileSource::Embedded(name, _)) if own == *name)
    }

    /// Where the file is, or would be, if it is not built in.
    pub fn path(&self) -> PathBuf {
        runtime::data_folder().join("models").join(format!("{}.onnx", self.name))
    }
}

/// A file to load and what is known of it.
#[derive(Clone, Debug)]
pub struct Choice {
    /// For messages: the preset's or the file's name.
    pub name: String,
    pub source: FileSource,
    pub hints: Hints,
}

pub const MANIFEST: &str = include_str!("../../models/manifest.ini");

/// The files that are built in, by their name in the manifest.
const EMBEDDED: [(&str, &[u8]); 3] = [
    ("light-landscape.onnx", include_bytes!("../../models/light-landscape.onnx")),
    ("light-square.onnx", include_bytes!("../../models/light-square.onnx")),
    ("original.onnx", include_bytes!("../../models/original.onnx")),
];

static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| parse(MANIFEST).unwrap_or_default());

pub(crate) fn parse(text: &str) -> std::result::Result<Vec<Entry>, glib::Error> {
    let file = key_file(text)?;
    file.groups()
        .iter()
        .map(|group| {
            let name = group.as_str();
            let text = |key: &str| file.string(name, key).map(|s| s.to_string());
            let embedded = text("file").ok().and_then(|f| EMBEDDED.iter().find(|(n, _)| *n == f).copied());
            Ok(Entry {
                name: name.to_string(),
                preset: text("preset")?,
                wide: text("shape")? == "wide",
                title: text("title")?,
                licence: text("licence")?,
                subject: text("subject")?,
                sha256: text("sha256")?,
                bytes: file.uint64(name, "bytes")?,
                hints: hints(&file, name)?,
                files_short_side: number(&file, name, "files-short-side")?,
                embedded,
            })
        })
        .collect()
}

/// The manifest's entries.
pub fn entries() -> &'static [Entry] {
    &ENTRIES
}

/// The short side of a preset's input in pixels where no pace has to be kept, for frames of that short side; none if that is its
/// usual one. No frame is enlarged beyond that one for it: networks see that worse.
pub fn files_resolution(preset: &str, frame: usize) -> Option<usize> {
    let entry = entries().iter().find(|e| e.preset == preset)?;
    let usual = entry.hints.short_side?;
    Some(entry.files_short_side?.min(frame.max(usual))).filter(|side| *side != usual)
}

/// The names of the presets, each once.
fn presets() -> Vec<&'static str> {
    let mut names: Vec<&str> = entries().iter().map(|e| e.preset.as_str()).collect();
    names.dedup();
    names
}

/// What the manifest knows of a file that lies somewhere else, by its SHA-256.
fn known(path: &Path) -> Hints {
    let length = path.metadata().map(|m| m.len()).unwrap_or_default();
    let candidates: Vec<&Entry> = entries().iter().filter(|e| e.bytes == length).collect();
    // Hashing takes a second for the largest; a file of another length cannot be one of them.
    if candidates.is_empty() {
        return Hints::default();
    }
    let sum = std::fs::read(path)
        .ok()
        .and_then(|bytes| glib::compute_checksum_for_data(glib::ChecksumType::Sha256, &bytes));
    let found = candidates.iter().find(|e| sum.as_deref() == Some(e.sha256.as_str()));
    found.map(|e| e.hints.clone()).unwrap_or_default()
}

/// Finds the file that a `model` property means.
///
/// `aspect` is the frame's width over its height as it is seen (pixel aspect ratio taken in), for
/// presets with a file for wide frames; `None` if it is not known yet.
///
/// # Errors
/// [`ErrorKind::ModelNotFound`] when it is neither a preset nor a file, or a preset that is not installed.
pub fn resolve(model: &str, aspect: Option<f64>) -> Result<Choice> {
    let missing = |text: String| Err(Error::new(ErrorKind::ModelNotFound, text));
    let entries: Vec<&Entry> = entries().iter().filter(|e| e.preset == model).collect();
    if let Some(first) = entries.first() {
        // Between the networks' own shapes, 16:9 and 1:1, the border is their geometric mean, 4:3; a
        // frame of 4:3 itself is better served by the square one, which has more pixels.
        let wide = aspect.is_some_and(|a| a > 1.4);
        let entry = entries.iter().find(|e| e.wide == wide).unwrap_or(first);
        let source = match entry.embedded {
            Some((name, bytes)) => FileSource::Embedded(name, bytes),
            None => {
                let path = entry.path();
                if !path.is_file() {
                    return missing(format!(
                        "model '{model}' ({}, {}) is not installed: there is no {}. Install it with `bgremove models install {model}`, or \
                         `make models` in bgremove's source folder.",
                        entry.title,
                        entry.licence,
                        path.display()
                    ));
                }
                FileSource::File(path)
            }
        };
        return Ok(Choice { name: model.to_string(), source, hints: entry.hints.clone() });
    }
    if model == key::NAME {
        return missing(format!("model '{model}' has no file: it keys a screen, without a network"));
    }
    let path = Path::new(model);
    if !path.is_file() {
        return missing(format!(
            "there is no model '{model}': it is neither a preset (auto, {}, {}) nor a file that can be read",
            presets().join(", "),
            key::NAME
        ));
    }
    let hints = sidecar::read(path)?.or(known(path));
    Ok(Choice { name: model.to_string(), source: FileSource::File(path.to_path_buf()), hints })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_parses_and_light_is_built_in() {
        let entries = parse(MANIFEST).unwrap();
        assert!(entries.iter().filter(|e| e.preset == "light").all(|e| e.embedded.is_some()));
        assert_eq!(presets(), ["light", "original", "human", "pro"]);
    }

    #[test]
    fn what_is_built_in_is_what_the_manifest_says() {
        let built_in: Vec<_> = entries().iter().filter_map(|e| Some((e, e.embedded()?))).collect();
        assert_eq!(built_in.len(), EMBEDDED.len());
        for (entry, bytes) in built_in {
            let sum = glib::compute_checksum_for_data(glib::ChecksumType::Sha256, bytes).unwrap();
            assert_eq!(
                (sum.as_str(), bytes.len() as u64),
                (entry.sha256.as_str(), entry.bytes),
                "{}",
                entry.name
            );
        }
    }

    #[test]
    fn light_follows_the_shape_of_the_frame() {
        let name = |aspect| match resolve("light", Some(aspect)).unwrap().source {
            FileSource::Embedded(name, _) => name,
            FileSource::File(_) => "",
        };
        assert_eq!(name(16.0 / 9.0), "light-landscape.onnx");
        assert_eq!(name(4.0 / 3.0), "light-square.onnx");
        assert_eq!(name(9.0 / 16.0), "light-square.onnx");
    }

    #[test]
    fn what_is_not_there_is_named() {
        let e = resolve("/no/such.onnx", None).unwrap_err();
        assert_eq!(e.kind, ErrorKind::ModelNotFound);
        assert!(e.text.contains("/no/such.onnx") && e.text.contains("light"), "{e}");
    }

    #[test]
    fn a_broken_manifest_is_an_error() {
        for text in [
            "[a]\npreset=x\n",
            "[a]\npreset=x\nshape=any\ntitle=t\nlicence=l\nsubject=s\nsha256=\nbytes=1\nmean=1\n",
            "[a]\npreset=x\nshape=any\ntitle=t\nlicence=l\nsubject=s\nsha256=\nbytes=1\nfiles-short-side=x\n",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
