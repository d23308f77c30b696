//! What the background looks like, sample by sample, and since when it has been seen as it is.
//!
//! Samples are a half of the frame across (a quarter of large ones, the frame's own of small ones); four of them are a
//! cell, over which noise is averaged before anything is judged.

use rayon::prelude::*;

use crate::frame::{Format, Frame};
use crate::refine::component_row;
use crate::simd::multiversion;
use crate::temporal::luma_scale;

/// Steps of a level in which means are kept.
pub const STEPS: i16 = 64;
/// Distances are in quarters of a level.
pub(super) const QUARTERS: f32 = 4.0;
/// Frames for which the background has to have been seen before it is known.
pub(super) const KNOWN: u8 = 6;
/// Frames after which the noise is known well enough to follow it slowly.
pub(super) const SETTLED: u8 = 8;
/// Frames that its mean goes over, at most.
pub(super) const LONG: u8 = 32;
/// Means that have been known for [`LONG`] frames are moved row by row in turn, each in one of so many frames.
pub(super) const TURNS: usize = 4;
/// Frames over which the network's opinion is averaged, at most.
pub(super) const OPINIONS: u8 = 250;
/// Rows of cells that a thread takes at a time.
pub(super) const ROWS: usize = 16;

/// What is known of the background, by cell.
#[derive(Debug, Default)]
pub(super) struct Cells {
    /// How far the frame is from the mean, in quarters of a level.
    pub distance: Vec<u8>,
    /// Not 0 where it is the mean in a shadow.
    pub shade: Vec<u8>,
    /// The network's mean opinion over the frames for which the cell has looked the same; how many these are, up to
    /// [`OPINIONS`].
    pub said: Vec<f32>,
    pub run: Vec<u8>,
    /// For how many frames it has been seen as background, up to [`LONG`].
    pub seen: Vec<u8>,
    /// Not 0 where it has not changed since it was last seen as background.
    pub held: Vec<u8>,
    /// For how many frames something else has been there that the network takes for nothing.
    pub stood: Vec<u8>,
    /// The frame's colours there, and the luma of the one taken in before, in quarters of a level; the background's in [`STEPS`].
    pub now: [Vec<u16>; 3],
    pub before: Vec<u16>,
    pub mean: [Vec<i16>; 3],
}

impl Cells {
    fn resize(&mut self, n: usize) {
        for v in [
            &mut self.distance,
            &mut self.shade,
            &mut self.run,
            &mut self.seen,
            &mut self.held,
            &mut self.stood,
        ] {
            v.clear();
            v.resize(n, 0);
        }
        self.said.clear();
        self.said.resize(n, 0.0);
        // Planes that are not there have no chroma: 128 in quarters.
        for v in self.now.iter_mut().chain([&mut self.before]) {
            v.clear();
            v.resize(n, 512);
        }
        for v in &mut self.mean {
            v.clear();
            v.resize(n, 0);
        }
    }

    /// Knows nothing any more.
    fn forget(&mut self) {
        for v in [&mut self.run, &mut self.seen, &mut self.held, &mut self.stood] {
            v.fill(0);
        }
    }
}

/// The background's means and what is known of them.
#[derive(Debug, Default)]
pub struct Memory {
    /// Of what: the frame's format and size.
    pub(super) kind: Option<(Format, usize, usize)>,
    /// Frame pixels in a sample, across.
    pub scale: usize,
    pub(super) grid_width: usize,
    pub(super) grid_height: usize,
    /// Colour planes: three, or one; whether they are luma and chroma.
    pub(super) planes: usize,
    pub(super) yuv: bool,
    /// The luma of black.
    pub(super) black: f32,
    /// The frame, and the background in [`STEPS`], by sample.
    pub(super) now: [Vec<u8>; 3],
    pub(super) mean: [Vec<i16>; 3],
    pub(super) cells: Cells,
    /// How much more than usual noise makes of all distances.
    pub(super) noise: f32,
    /// Frames seen, as far as it matters; none before the first.
    pub(super) frames: u8,
}

impl Memory {
    /// Forgets everything.
    pub fn reset(&mut self) {
        self.frames = 0;
    }

    /// Cells across and down.
    pub fn grid(&self) -> (usize, usize) {
        (self.grid_width, self.grid_height)
    }

    /// Whether it is about frames of this kind.
    pub fn fits(&self, frame: &Frame<'_>) -> bool {
        self.kind == Some((frame.format, frame.width, frame.height))
    }

    /// Colour planes: three, or one of grey.
    pub fn planes(&self) -> usize {
        self.planes
    }

    /// Whether colours are luma and chroma.
    pub fn yuv(&self) -> bool {
        self.yuv
    }

    /// How much more than usual noise makes of all distances.
    pub fn noise(&self) -> f32 {
        self.noise
    }

    /// Takes in a frame, and finds how far it is from the background.
    pub fn update(&mut self, frame: &Frame<'_>) {
        if !self.fits(frame) {
            self.resize(frame);
        }
        let (width, layout, scale) = (2 * self.grid_width, frame.format.layout(), self.scale);
        for (c, now) in layout.color[..self.planes].iter().zip(&mut self.now) {
            now.par_chunks_mut(width * 2 * ROWS).enumerate().for_each(|(part, rows)| {
                for (y, row) in rows.chunks_exact_mut(width).enumerate() {
                    component_row(frame, c, scale, part * 2 * ROWS + y, 0, row);
                }
            });
        }
        let luma = self.luma();
        std::mem::swap(&mut self.cells.now[luma], &mut self.cells.before);
        for (now, out) in self.now.iter().zip(&mut self.cells.now).take(self.planes) {
            let rows = out.par_chunks_mut(self.grid_width * ROWS).zip(now.par_chunks(2 * width * ROWS));
            rows.for_each(|(out, rows)| {
                for (out, rows) in out.chunks_exact_mut(width / 2).zip(rows.chunks_exact(2 * width)) {
                    fours(rows, out);
                }
            });
        }
        if self.frames == 0 {
            self.noise = 1.0;
            self.start_anew();
            self.cells.before.clone_from(&self.cells.now[luma]);
        }
        self.frames = self.frames.checked_add(1).unwrap_or(u8::MAX - TURNS as u8 + 1);
        self.compare();
    }

    /// The luma plane; of RGB green, which stands for it.
    pub(super) fn luma(&self) -> usize {
        usize::from(!self.yuv)
    }

    /// The frame is all that is known.
    pub(super) fn start_anew(&mut self) {
        for (mean, now) in self.mean.iter_mut().zip(&self.now) {
            mean.clear();
            mean.extend(now.iter().map(|&v| i16::from(v) * STEPS));
        }
        for (mean, now) in self.cells.mean.iter_mut().zip(&self.cells.now) {
            mean.iter_mut().zip(now).for_each(|(m, &n)| *m = n as i16 * (STEPS / 4));
        }
        self.cells.forget();
        // Learnt from every frame again, with the noise that is known.
        self.frames = self.frames.min(SETTLED);
    }

    fn resize(&mut self, frame: &Frame<'_>) {
        let (w, h) = (frame.width, frame.height);
        self.kind = Some((frame.format, w, h));
        self.frames = 0;
        self.scale = luma_scale(w, h);
        (self.grid_width, self.grid_height) = (w.div_ceil(2 * self.scale), h.div_ceil(2 * self.scale));
        self.planes = frame.format.layout().colors;
        self.yuv = frame.format.is_yuv() || self.planes == 1;
        self.black = frame.color.scale().1;
        let cells = self.grid_width * self.grid_height;
        self.cells.resize(cells);
        for (k, now) in self.now.iter_mut().enumerate() {
            now.clear();
            now.resize(if k < self.planes { 4 * cells } else { 0 }, 0);
        }
    }

    /// Whether a cell is the background in a shadow.
    pub fn shaded(&self, at: usize) -> bool {
        self.cells.shade[at] != 0
    }

    /// Whether the background is known in a cell.
    pub fn knows(&self, at: usize) -> bool {
        self.cells.seen[at] >= KNOWN
    }

    /// For how many frames the background has been seen, by cell.
    pub fn seen(&self) -> &[u8] {
        &self.cells.seen
    }

    /// The background by sample and plane, in [`STEPS`]; planes that are not there are empty.
    pub fn means(&self) -> [&[i16]; 3] {
        self.mean.each_ref().map(Vec::as_slice)
    }

    /// A row of samples of a plane: the frame's, in levels, and the background's, in [`STEPS`].
    pub fn row(&self, plane: usize, y: usize) -> (&[u8], &[i16]) {
        let row = y * 2 * self.grid_width..(y + 1) * 2 * self.grid_width;
        (&self.now[plane][row.clone()], &self.mean[plane][row])
    }

    /// The frame's colours in a cell, in quarters of a level.
    pub fn color(&self, at: usize) -> [u32; 3] {
        self.cells.now.each_ref().map(|now| u32::from(now[at]))
    }
}

multiversion! {
    /// Sums over cells, of two rows of samples each.
    fn fours(rows: &[u8], out: &mut [u16]) {
        let (top, bottom) = rows.split_at(2 * out.len());
        for (o, (a, b)) in out.iter_mut().zip(top.chunks_exact(2).zip(bottom.chunks_exact(2))) {
            *o = u16::from(a[0]) + u16::from(a[1]) + u16::from(b[0]) + u16::from(b[1]);
        }
    }
}
