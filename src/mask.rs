//! What a network says of a frame.

/// A mask at network resolution that covers the whole frame, foreground 1, background 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mask {
    pub width: usize,
    pub height: usize,
    /// `width · height` values in 0..1.
    pub data: Vec<f32>,
}
