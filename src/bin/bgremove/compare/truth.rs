//! True mattes, from a clip or a folder of pictures.

use super::play::Decoder;
use gstbgremove::measure::{Size, from_bytes};
use std::path::{Path, PathBuf};

enum Frames {
    Clip(Box<Decoder>),
    Folder(Vec<PathBuf>),
}

/// Mattes in the order of the frames.
pub struct Mattes {
    name: String,
    kind: Frames,
}

impl Mattes {
    pub fn open(path: &Path) -> Result<Self, String> {
        let name = path.display().to_string();
        if !path.is_dir() {
            return Ok(Self { name, kind: Frames::Clip(Box::new(Decoder::open(path)?)) });
        }
        let files = std::fs::read_dir(path).map_err(|e| format!("--truth {name} cannot be read: {e}"))?;
        let png = |p: &PathBuf| p.extension().is_some_and(|e| e.eq_ignore_ascii_case("png"));
        let mut files: Vec<PathBuf> = files.filter_map(|f| f.ok().map(|f| f.path())).filter(png).collect();
        files.sort();
        if files.is_empty() {
            return Err(format!("--truth {name} holds no .png file: put one matte a frame there"));
        }
        Ok(Self { name, kind: Frames::Folder(files) })
    }

    /// The matte of frame `n`.
    pub fn next(&mut self, n: usize, size: Size) -> Result<Vec<f32>, String> {
        let ends = || {
            format!(
                "--truth {} ends before the clip, which goes on with frame {n}: give a matte for every frame, or \
                 --frames {n}",
                self.name
            )
        };
        let (got, bytes) = match &mut self.kind {
            Frames::Clip(decoder) => {
                let frame = decoder.next()?.ok_or_else(ends)?;
                // A matte is grey: one component says it, and RGB is always full range.
                (frame.size(), frame.bytes.chunks_exact(3).map(|p| p[0]).collect())
            }
            Frames::Folder(files) => {
                let path = files.get(n).ok_or_else(ends)?;
                let image = image::open(path).map_err(|e| format!("matte {}: {e}", path.display()))?;
                let grey = image.into_luma8();
                (Size::new(grey.width() as usize, grey.height() as usize), grey.into_raw())
            }
        };
        if got != size {
            return Err(format!(
                "--truth {}: matte {n} is {}x{}, the clip {}x{}: give mattes of the clip's size",
                self.name, got.width, got.height, size.width, size.height
            ));
        }
        Ok(from_bytes(&bytes))
    }
}
