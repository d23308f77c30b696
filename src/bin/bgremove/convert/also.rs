//! `--also LAYER=FILE`: further layers of the same conversion, each into a file of its own.

use super::format::Format;
use super::output::{self, same_file};
use super::{Settings, raw};
use gstbgremove::layers::Layer;
use std::path::{Path, PathBuf};

/// A layer and where it goes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Also {
    pub layer: Layer,
    pub path: PathBuf,
    pub format: Format,
}

impl std::str::FromStr for Also {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, path) = text
            .split_once('=')
            .filter(|(_, path)| !path.is_empty())
            .ok_or("give LAYER=FILE, as in matte=m.mp4; LAYER is matte, background or plate")?;
        let layer = Layer::ALL.into_iter().find(|l| l.nick() == name).ok_or_else(|| {
            format!(
                "there is no layer '{name}': matte (the alpha as grey), background (the room with a hole where the subject is) \
                 and plate (the room without the subject) are there"
            )
        })?;
        if raw::is_pipe(&raw::output(Path::new(path))) {
            return Err(format!("the layer '{name}' needs a file: only the first output can be a pipe"));
        }
        let format = Format::of(Path::new(path)).ok_or_else(|| {
            format!(
                "{path}: the extension tells no format that can be written ({}): choose one",
                Format::names(|_| true)
            )
        })?;
        // Where there can be no hole, it is filled.
        let filled = layer == Layer::Background && !format.has_alpha();
        let layer = if filled { Layer::Plate } else { layer };
        Ok(Self { layer, path: output::target(Path::new(path), format), format })
    }
}

impl Also {
    /// Whether its frames have alpha.
    pub fn has_alpha(&self) -> bool {
        self.layer == Layer::Background
    }
}

/// The property `layers` that gives all of them; nothing if there are none.
pub(crate) fn layers(all: &[Also]) -> Option<String> {
    let names: Vec<_> = Layer::ALL.into_iter().filter(|l| all.iter().any(|a| a.layer == *l)).collect();
    (!names.is_empty()).then(|| names.into_iter().map(Layer::nick).collect::<Vec<_>>().join("+"))
}

/// Whether what is asked for goes together, as far as that can be known without opening the input.
///
/// # Errors
/// Why not, and what to do.
pub(crate) fn check(settings: &Settings, input: &Path, others: &[&Path]) -> Result<(), String> {
    let all = &settings.also;
    if all.is_empty() {
        return Ok(());
    }
    if settings.part.is_some() {
        return Err("--also is for whole clips, and parts are joined file by file: make each layer of the parts in a run of \
                    its own (--set output=matte or --set output=background)"
            .into());
    }
    if settings.resume {
        return Err("--resume looks for one file, and --also makes several: leave out one of them".into());
    }
    if let Some((name, _)) = settings.set.iter().find(|(n, _)| n == "output" || n == "layers") {
        return Err(format!(
            "--set {name}=… would contradict --also: the first output is the video, layers are LAYER=FILE"
        ));
    }
    let background = match &settings.background {
        super::Background::Clip(path) => Some(path.as_path()),
        super::Background::Text(text) => Some(Path::new(text)),
        super::Background::Transparent => None,
    };
    for (n, also) in all.iter().enumerate() {
        let path = &also.path;
        let taken = |other: &Path| place(path) == place(other) || same_file(path, other);
        let read = [Some(input), background].into_iter().flatten();
        if all[..n].iter().map(|o| o.path.as_path()).chain(others.iter().copied()).chain(read).any(taken) {
            return Err(format!(
                "{} would be written twice, or over what is read: choose another name",
                path.display()
            ));
        }
    }
    Ok(())
}

/// Where a file lies or will lie, however its folder is spelt.
fn place(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (folder.canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_path_buf(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_has_a_name_and_a_file() {
        let read = |text: &str| text.parse::<Also>();
        let also = read("matte=m=1.mp4").unwrap();
        assert_eq!(
            (also.layer, also.path.to_str(), also.format),
            (Layer::Matte, Some("m=1.mp4"), Format::Mp4)
        );
        // A hole where there can be one.
        assert_eq!(read("background=b.webm").unwrap().layer, Layer::Background);
        assert_eq!(read("background=b.mp4").unwrap().layer, Layer::Plate);
        assert_eq!(read("plate=b.webm").unwrap().layer, Layer::Plate);
        for (text, words) in [
            ("matte", "LAYER=FILE"),
            ("matte=", "LAYER=FILE"),
            ("depth=d.mp4", "no layer 'depth'"),
            ("matte=m.mkv", "extension"),
            ("matte=-", "pipe"),
        ] {
            assert!(read(text).is_err_and(|e| e.contains(words)), "{text}");
        }
        let all = ["plate=a.mp4", "matte=b.mp4", "background=c.mp4"].map(|t| read(t).unwrap());
        assert_eq!(layers(&all).as_deref(), Some("matte+plate"));
        assert_eq!(layers(&[]), None);
    }

    #[test]
    fn a_file_has_one_place_however_it_is_spelt() {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str| folder.path().join(name);
        std::fs::create_dir(of("d")).unwrap();
        let check = |all: &[&str], background: super::super::Background| {
            let also = all.iter().map(|text| {
                let (layer, name) = text.split_once('=').unwrap();
                format!("{layer}={}", of(name).display()).parse().unwrap()
            });
            let settings = Settings { also: also.collect(), background, ..Settings::new(Format::Webm) };
            super::check(&settings, &of("in.mp4"), &[&of("d/../out.webm")])
        };
        let none = || super::super::Background::Transparent;
        assert!(check(&["matte=m.mp4", "plate=p.mp4"], none()).is_ok());
        assert!(check(&["matte=m.mp4", "plate=d/../m.mp4"], none()).is_err());
        assert!(check(&["matte=./out.webm"], none()).is_err());
        assert!(check(&["matte=./in.mp4"], none()).is_err());
        assert!(check(&["plate=beach.mp4"], super::super::Background::Clip(of("./beach.mp4"))).is_err());
    }
}
