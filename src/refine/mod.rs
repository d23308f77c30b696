//! From network resolution to frame resolution: a soft mask becomes a matte with the frame's own edges.
//!
//! A colour guided filter runs from coarse to fine: at an eighth of the frame it decides by colour what the
//! mask's blur leaves open, at a quarter it follows contours, at a half it finds hair (the scales are those of a
//! 720p frame). Each level's result guides the next, sharpened where the network was sure on both sides and left
//! soft where it was not. All of it happens in the uncertain band only: solid areas are exactly 255, empty ones
//! exactly 0, and the cost follows the length of the edge.

mod adjust;
mod alpha_rows;
mod band;
mod blocks;
mod enlarge;
mod finish;
mod fit;
mod foreground;
mod guided;
mod learned;
mod pixels;
mod reduce;
mod strips;

pub(crate) use adjust::{Adjuster, Controls};
pub(crate) use alpha_rows::alpha_row;
pub(crate) use blocks::{Kept, runs};
pub(crate) use enlarge::{mix, place};
pub use foreground::{Colors, Foreground};
pub(crate) use learned::{EdgeCorrector, LEAST_MASK};
pub(crate) use reduce::{component_row, halve_plane};

use std::cell::RefCell;

use rayon::prelude::*;

use crate::frame::{Format, Frame};
use crate::simd::in_pool;
use band::Band;
use blocks::{BLOCK, Blocks};
use enlarge::Stretch;
use fit::regularisation;
use guided::{Scratch, Window};
use pixels::round_mix;
use strips::Strips;

/// How much work goes into edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quality {
    /// The mask stretched bilinearly.
    None,
    /// Without the finest level.
    Fast,
    /// Down to half the frame's resolution (its own for small frames).
    #[default]
    Best,
}

/// Contrast after each level but the last, coarsest first.
const CONTRAST: [f32; 2] = [1.9, 1.3];
/// Contrast after the last level, which also closes a one percent haze.
const LAST_CONTRAST: f32 = 1.02;
/// Window radii in samples of the coarsest, the next and all further levels where 90 samples span the short side.
const RADII: [f32; 3] = [3.0, 4.0, 2.5];
/// From this size of the coarsest window's samples on, in pixels, the finest level is at half the frame's resolution, at a
/// quarter of the work.
const HALF_FROM: f32 = 5.6;
/// And from this size of the mask's samples on: finer masks would lose by it (docs/refine.md).
const COARSE_MASK: f32 = 3.0;
/// Smallest and largest radius of the coarsest windows in samples of the mask.
const MASK_REACH: (f32, f32) = (5.0, 10.0);
/// The band reaches this many pixels of a 720p frame beyond the doubt.
const GROW: f32 = 6.0;
/// Sure foreground and background this many pixels of a 720p frame apart make a clear edge.
const CLEAR_REACH: f32 = 14.0;
/// The finest level is left out when more than the first part of the frame is in doubt, until less than the second is: where
/// all is in doubt there are no edges to draw, and it would take many times as long as usual.
const CROWDED: (f32, f32) = (0.75, 0.65);

/// Frames of fewer blocks than this take little time however much is in doubt.
const LARGE: usize = 1500;

/// One resolution. Its colours lie in [`Strips`], its models on a grid of cells of 2×2 samples.
#[derive(Debug, Default)]
struct Level {
    /// Frame pixels in a sample, across.
    scale: usize,
    /// Samples.
    width: usize,
    height: usize,
    /// Cells.
    grid_width: usize,
    grid_height: usize,
    window: Option<Window>,
    contrast: f32,
    /// alpha = model[0..3]·colour + model[3], by cell.
    model: [Vec<f32>; 4],
    /// From the mask to the cells, and to the samples.
    cells: Stretch,
    samples: Stretch,
}

/// Turns masks into mattes; keeps its buffers from frame to frame, and whether the last frame was `CROWDED`.
#[derive(Debug, Default)]
pub struct Refiner {
    plan: Option<(Format, usize, usize, usize, usize, Quality)>,
    levels: Vec<Level>,
    strips: Strips,
    /// The finest level whose models are made, unless there is too much to do.
    last: usize,
    crowded: bool,
    /// Down to which level the models of the last frame were made, if they were.
    made: Option<usize>,
    band: Band,
    blocks: Blocks,
    stretch: Stretch,
}

/// What one thread needs.
#[derive(Default)]
struct Local {
    filter: Scratch,
    rows: [Vec<f32>; 4],
    more: [Vec<f32>; 4],
    pair: [Vec<f32>; 2],
    pairs: [[Vec<f32>; 2]; 4],
    bytes: [Vec<u8>; 3],
    tmp: Vec<f32>,
    marks: Vec<bool>,
    gather: foreground::Gather,
}

thread_local!(static LOCAL: RefCell<Local> = RefCell::default());

/// Runs with the thread's scratch.
fn with_local<T>(f: impl FnOnce(&mut Local) -> T) -> T {
    LOCAL.with(|l| f(&mut l.borrow_mut()))
}

impl Refiner {
    /// No buffers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Refines `mask` (0..1, row by row, `mask_w · mask_h`, spanning the whole frame, half-pixel centres as in
    /// `cv2.resize`) by the colours of `frame` into `out` (0..255, tight rows of the frame's width).
    /// Buffers that do not hold as much as the sizes say leave `out` empty (0).
    pub fn refine(
        &mut self,
        frame: &Frame<'_>,
        mask: &[f32],
        mask_w: usize,
        mask_h: usize,
        quality: Quality,
        out: &mut [u8],
    ) {
        self.refine_partly((frame, mask, mask_w, mask_h), quality, None, out);
    }

    /// As [`Refiner::refine`], but skips the blocks in `kept`, whose matte is that of the last frame, and leaves them undefined in
    /// `out`. Gives whether it skipped them; if not, all of `out` is written.
    pub(crate) fn refine_partly(
        &mut self,
        (frame, mask, mask_w, mask_h): (&Frame<'_>, &[f32], usize, usize),
        quality: Quality,
        kept: Option<Kept<'_>>,
        out: &mut [u8],
    ) -> bool {
        let (w, h) = (frame.width, frame.height);
        let sized = mask_w.checked_mul(mask_h).is_some_and(|n| n > 0 && mask.len() >= n);
        if !sized || out.len() < w * h || !frame.holds_colors() {
            out.fill(0);
            return false;
        }
        let (mask, out) = (&mask[..mask_w * mask_h], &mut out[..w * h]);
        if quality == Quality::None {
            self.bilinear(w, mask, mask_w, mask_h, out);
            self.made = None;
            return false;
        }
        if !self.plan(frame, mask_w, mask_h, quality) {
            self.made = None;
        }
        // The models of levels that were not made last time are older than those of the others.
        let mut kept = kept.filter(|_| self.made.is_some());
        let pitch = mask_pitch(w, h, mask_w, mask_h);
        let samples = |px: f32| (px * w.min(h) as f32 / 720.0 / pitch).round().clamp(1.0, 16.0) as usize;
        let side = BLOCK * self.levels[0].scale;
        in_pool(|| {
            self.band.find(mask, mask_w, mask_h, samples(GROW), samples(CLEAR_REACH));
            self.blocks.mark(&self.band, w, h, side, self.reach(), kept);
            let last = self.finest();
            if kept.is_some() && self.made != Some(last) {
                kept = None;
                self.blocks.mark(&self.band, w, h, side, self.reach(), kept);
            }
            self.made = Some(last);
            self.strips.fill(frame, &self.blocks);
            for n in (last..self.levels.len()).rev() {
                self.fit(n, regularisation(frame));
                if n == 1 && last == 0 {
                    self.settle();
                }
            }
            self.finish(frame, last, out);
        });
        kept.is_some()
    }

    /// Whether so much of the last frame was in doubt that its finest level was left out.
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// The finest level that is worth its time on this frame.
    fn finest(&mut self) -> usize {
        let (part, count) = self.blocks.crowded();
        // Small frames are cheap.
        let large = count >= LARGE;
        self.crowded = large && part > if self.crowded { CROWDED.1 } else { CROWDED.0 };
        if self.crowded { self.last.max(1).min(self.levels.len() - 1) } else { self.last }
    }

    /// How many blocks around the band are looked at.
    fn reach(&self) -> usize {
        let of = |(n, l): (usize, &Level)| {
            // Windows of windows, and a cell for the stretching.
            let cells = l.window.map_or(0, |w| 2 * w.reach()) + 2;
            (2 * cells).div_ceil((BLOCK >> n).max(1))
        };
        self.levels.iter().enumerate().map(of).max().unwrap_or(1)
    }

    /// The mask stretched and nothing else.
    fn bilinear(&mut self, width: usize, mask: &[f32], mask_w: usize, mask_h: usize, out: &mut [u8]) {
        let height = out.len() / width;
        self.stretch.prepare(mask_w, width as f32, width);
        let stretch = &self.stretch;
        out.par_chunks_mut(width * 32).enumerate().for_each(|(strip, rows)| {
            with_local(|l| {
                let [top, bottom, ..] = &mut l.rows;
                let mut have = usize::MAX;
                for (y, row) in rows.chunks_exact_mut(width).enumerate() {
                    let (at, f) = place(strip * 32 + y, height as f32, mask_h);
                    if have != at {
                        have = at;
                        for (to, y) in [(&mut *top, at), (&mut *bottom, (at + 1).min(mask_h - 1))] {
                            to.resize(width, 0.0);
                            stretch.widen(&mask[y * mask_w..][..mask_w], 0, to);
                        }
                    }
                    round_mix(top, bottom, f, row);
                }
            });
        });
    }

    /// Chooses levels and makes room for them; whether they were so before.
    fn plan(&mut self, frame: &Frame<'_>, mask_w: usize, mask_h: usize, quality: Quality) -> bool {
        let (w, h) = (frame.width, frame.height);
        let want = Some((frame.format, w, h, mask_w, mask_h, quality));
        if self.plan == want {
            return true;
        }
        self.plan = want;
        let short = w.min(h) as f32;
        // The coarsest window's radius is a thirtieth of the frame, or less for a finer mask and more for a coarser.
        let pitch = mask_pitch(w, h, mask_w, mask_h);
        let window =
            (short * RADII[0] / 90.0).clamp(MASK_REACH.0 * pitch, MASK_REACH.1 * pitch).max(RADII[0]);
        let mut coarsest = 1usize << (window / RADII[0]).log2() as u32;
        if coarsest == 4 && window / RADII[0] >= HALF_FROM && pitch >= COARSE_MASK {
            coarsest = 8;
        }
        let ratio = window / RADII[0] / coarsest as f32; // 0.7..2
        let finest = (coarsest / 4).clamp(1, 2).max(coarsest / 16);
        let count = (coarsest / finest).ilog2() as usize + 1;
        self.last = usize::from(quality == Quality::Fast && count > 1);
        self.levels.clear();
        let (mut width, mut height) = (w.div_ceil(finest), h.div_ceil(finest));
        for n in 0..count {
            let step = count - 1 - n; // 0 is the coarsest
            let scale = finest << n;
            let (grid_width, grid_height) = (width.div_ceil(2), height.div_ceil(2));
            let zeros = || vec![0.0; grid_width * grid_height];
            let (mut cells, mut samples) = (Stretch::default(), Stretch::default());
            cells.prepare(mask_w, w as f32 / (2 * scale) as f32, grid_width);
            samples.prepare(mask_w, w as f32 / scale as f32, width);
            self.levels.push(Level {
                scale,
                width,
                height,
                grid_width,
                grid_height,
                window: Some(Window::new(2.0 * RADII[step.min(2)] * ratio + 1.0)),
                contrast: if n == 0 && count > 2 {
                    LAST_CONTRAST
                } else {
                    *CONTRAST.get(step).unwrap_or(&1.0)
                },
                model: [zeros(), zeros(), zeros(), zeros()],
                cells,
                samples,
            });
            (width, height) = (grid_width, grid_height);
        }
        self.strips.plan(w, h, finest, count);
        false
    }
}

/// Rows of the frame that the buffers are made for.
fn frame_rows(plan: Option<(Format, usize, usize, usize, usize, Quality)>) -> usize {
    plan.map_or(1, |p| p.2)
}

/// Frame pixels in a mask sample, across, the mean of both directions.
fn mask_pitch(w: usize, h: usize, mask_w: usize, mask_h: usize) -> f32 {
    ((w as f32 / mask_w as f32) * (h as f32 / mask_h as f32)).sqrt()
}

#[cfg(test)]
mod tests;
