//! What the properties say, and what their texts mean.

use super::place::{Anchor, Offset};
use super::{Crop, MARGIN};
use crate::compose::Background;

/// What the properties say.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// 0 for those of the frames.
    pub width: u32,
    pub height: u32,
    pub anchor: Anchor,
    pub scale: f64,
    pub offset: String,
    pub crop: Crop,
    pub margin: f64,
    pub background: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            width: 0,
            height: 0,
            anchor: Anchor::default(),
            scale: 0.0,
            offset: "0,0".into(),
            crop: Crop::default(),
            margin: MARGIN,
            background: "transparent".into(),
        }
    }
}

/// What the texts of the properties mean, from READY on.
#[derive(Clone, Debug)]
pub(super) struct Meant {
    pub offset: Offset,
    pub background: Background,
}
