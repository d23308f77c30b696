//! What motion and sameness are looked for in: a frame's luma at a part of its size, and its two chroma planes at half of
//! that. Things of equal luma are told apart by their chroma.

use std::sync::Arc;

use rayon::prelude::*;

use super::readable;
use crate::frame::{Component, Frame};
use crate::refine::{component_row, halve_plane};

/// The chroma components: Cb and Cr, or red and blue where green stands for luma; none of grey.
fn chroma_components(frame: &Frame<'_>) -> Option<[Component; 2]> {
    let layout = frame.format.layout();
    (layout.colors == 3).then(|| [layout.color[if frame.format.is_yuv() { 1 } else { 0 }], layout.color[2]])
}

/// A grey plane, tight rows.
#[derive(Clone, Copy, Debug)]
pub struct Grey<'a> {
    pub data: &'a [u8],
    pub width: usize,
    pub height: usize,
}

/// Luma and chroma of one frame; keeps its buffers from frame to frame.
#[derive(Clone, Debug, Default)]
pub struct View {
    width: usize,
    height: usize,
    luma: Vec<u8>,
    chroma: [Vec<u8>; 2],
    has_chroma: bool,
}

impl View {
    /// Takes in a frame at `1 / scale` of its size; it must be [`readable`].
    pub fn update(&mut self, frame: &Frame<'_>, scale: usize) {
        debug_assert!(readable(frame));
        (self.width, self.height) = (frame.width.div_ceil(scale), frame.height.div_ceil(scale));
        let (width, height) = (self.width, self.height);
        self.luma.resize(width * height, 0);
        let guide = super::guide(frame);
        self.luma.par_chunks_mut(width * 16).enumerate().for_each(|(part, rows)| {
            for (y, out) in rows.chunks_exact_mut(width).enumerate() {
                component_row(frame, &guide, scale, part * 16 + y, 0, out);
            }
        });
        let parts = chroma_components(frame).filter(|parts| parts.iter().all(|c| frame.holds(c)));
        self.has_chroma = parts.is_some();
        let Some(parts) = parts else { return };
        let half_width = width.div_ceil(2);
        for (c, chroma) in parts.iter().zip(&mut self.chroma) {
            chroma.resize(half_width * height.div_ceil(2), 0);
            chroma.par_chunks_mut(half_width * 16).enumerate().for_each_init(
                Vec::new,
                |two, (part, rows)| {
                    for (y, out) in rows.chunks_exact_mut(half_width).enumerate() {
                        let y = part * 16 + y;
                        // Where the component is as coarse as that, there is nothing to average.
                        if (scale << 1) == (1 << c.hsub) && c.hsub == c.vsub {
                            component_row(frame, c, scale << 1, y, 0, out);
                            continue;
                        }
                        two.resize(2 * width, 0);
                        for (dy, row) in two.chunks_exact_mut(width).enumerate() {
                            component_row(frame, c, scale, (2 * y + dy).min(height - 1), 0, row);
                        }
                        halve_plane(two, width, 2, 0, 0, out);
                    }
                },
            );
        }
    }

    /// Whether it is of a frame of this size and kind.
    pub fn is_of(&self, frame: &Frame<'_>, scale: usize) -> bool {
        (self.width, self.height) == (frame.width.div_ceil(scale), frame.height.div_ceil(scale))
            && self.has_chroma
                == chroma_components(frame).is_some_and(|parts| parts.iter().all(|c| frame.holds(c)))
    }

    /// Luma.
    pub fn luma(&self) -> Grey<'_> {
        Grey { data: &self.luma, width: self.width, height: self.height }
    }

    /// The chroma planes, at half the size; none of a grey frame, or none before the first.
    pub fn chroma(&self) -> Option<[Grey<'_>; 2]> {
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        self.has_chroma.then(|| self.chroma.each_ref().map(|data| Grey { data, width, height }))
    }
}

/// A view to write to, in the memory of `view` unless others still look at that.
pub fn unshared(view: &mut Arc<View>) -> &mut View {
    if Arc::strong_count(view) > 1 {
        *view = Arc::default();
    }
    Arc::make_mut(view)
}

/// The same part of two frames: of the one now, and of the one before.
pub type Pair<'a> = (Grey<'a>, Grey<'a>);

/// The luma of two frames of one size, and their chroma planes: two, or none.
pub fn pairs<'a>(now: &'a View, before: &'a View) -> (Pair<'a>, Chroma<'a>) {
    let chroma = now.chroma().zip(before.chroma());
    let chroma = chroma.map(|([a, b], [c, d])| [(a, c), (b, d)]);
    let alike = |pairs: &[Pair<'_>; 2]| pairs.iter().all(|(a, b)| (a.width, a.height) == (b.width, b.height));
    ((now.luma(), before.luma()), Chroma(chroma.filter(alike)))
}

/// The chroma planes of two frames.
#[derive(Clone, Copy)]
pub struct Chroma<'a>(Option<[Pair<'a>; 2]>);

impl<'a> Chroma<'a> {
    /// Both, or none.
    pub fn all(&self) -> &[Pair<'a>] {
        self.0.as_ref().map_or(&[], |pairs| &pairs[..])
    }
}
