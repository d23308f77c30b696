//! A frame's colours at the resolution that its chroma has, row by row.

use crate::frame::{Component, Frame};
use crate::refine::component_row;

/// Reads a frame in rows of samples of all three components.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    pub frame: &'a Frame<'a>,
    /// Frame pixels in a sample, each way: 2 where chroma is shared, else 1.
    pub scale: usize,
    /// Samples in a row, and rows.
    pub width: usize,
    /// See `width`.
    pub height: usize,
    /// Samples in a cell of the model, each way.
    pub side: usize,
    /// Of the rows, one in so many is looked at for what the screen is.
    pub step: usize,
    color: [Component; 3],
}

impl<'a> Rows<'a> {
    /// `None` for frames without colour, and those that do not hold what their size says.
    pub fn new(frame: &'a Frame<'a>) -> Option<Self> {
        let layout = frame.format.layout();
        if layout.colors < 3 || !frame.holds_colors() {
            return None;
        }
        let scale = if layout.color.iter().any(|c| c.hsub + c.vsub > 0) { 2 } else { 1 };
        let (width, height) = (frame.width.div_ceil(scale), frame.height.div_ceil(scale));
        // Sixteen pixels at 1080p.
        let side = match width.min(height) {
            0..800 => 8,
            800..1600 => 16,
            _ => 32,
        };
        Some(Self { frame, scale, width, height, side, step: side.min(16) / 8, color: layout.color })
    }

    /// As [`Rows::read`], of luma alone, inside the frame.
    pub fn read_luma(&self, y: usize, from: usize, out: &mut [u8]) {
        component_row(self.frame, &self.color[0], self.scale, y, from, out);
    }

    /// Samples `from..` of row `y`, as many as `out` holds; past the frame's edge the last one goes on.
    pub fn read(&self, y: usize, from: usize, out: [&mut [u8]; 3]) {
        self.read_some(y, from, out, 0);
    }

    /// The same without luma, which falls out of colour differences; what `out` holds of it stays.
    pub fn read_difference(&self, y: usize, from: usize, out: [&mut [u8]; 3]) {
        self.read_some(y, from, out, usize::from(self.frame.format.is_yuv()));
    }

    fn read_some(&self, y: usize, from: usize, out: [&mut [u8]; 3], first: usize) {
        for (c, out) in self.color.iter().zip(out).skip(first) {
            let n = out.len().min(self.width - from);
            component_row(self.frame, c, self.scale, y, from, &mut out[..n]);
            let last = out[n - 1];
            out[n..].fill(last);
        }
    }
}
