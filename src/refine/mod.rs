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
mod foreground;
mod guided;
mod pixels;
mod reduce;
mod strips;

pub(crate) use adjust::{Adjuster, Controls};
pub(crate) use alpha_rows::alpha_row;
pub(crate) use blocks::{Kept, runs};
pub(crate) use enlarge::{mix, place};
pub use foreground::{Colors, Foreground};
pub(crate) use reduce::{component_row, halve_plane};

use std::cell::RefCell;

use rayon::prelude::*;

use crate::frame::{Format, Frame};
use crate::simd::in_pool;
use band::Band;
use blocks::{BLOCK, Blocks};
use enlarge::{Stretch, stretch_pairs, stretch_row};
use guided::{Area, Guide, Samples, Scratch, Window, center_pairs};
use pixels::{apply, blend, clip, fold_colors, round_mix, write_one, write_pairs, write_three};
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

/// Added to the colours' variances, in units of full scale squared: contrast below its root (1.3 of 255) is noise.
const EPS: f32 = 2.5e-5;
/// Contrast after each level, coarsest first; the last also closes a one percent haze.
const CONTRAST: [f32; 2] = [1.9, 1.3];
const LAST_CONTRAST: f32 = 1.02;
/// Window radii in samples of the coarsest, the next and all further levels where 90 samples span the short side.
const RADII: [f32; 3] = [3.0, 4.0, 2.5];
/// From this size of the coarsest window's samples on, in pixels, and of the mask's, the finest level is at half the frame's
/// resolution, at a quarter of the work; finer masks would lose by it (docs/refine.md).
const HALF_FROM: f32 = 5.6;
const COARSE_MASK: f32 = 3.0;
/// Smallest and largest radius of the coarsest windows in samples of the mask.
const MASK_REACH: (f32, f32) = (5.0, 10.0);
/// The band reaches this many pixels of a 720p frame beyond the doubt.
const GROW: f32 = 6.0;
/// Sure foreground and background this many pixels of a 720p frame apart make a clear edge.
const CLEAR_REACH: f32 = 14.0;
/// The mask is snapped: what is within two percent of sure is sure.
const SNAP: (f32, f32) = (1.04 / 255.0, -0.02);

/// The finest level is left out when more than the first part of the frame is in doubt, until less than the second is: where
/// all is in doubt there are no edges to draw, and it would take many times as long as usual.
const CROWDED: (f32, f32) = (0.75, 0.65);

/// Frames of fewer blocks than this take little time however much is in doubt.
const LARGE: usize = 1500;

/// Parts of a level that run side by side.
const STRIPS: usize = 4;

/// One resolution. Its colours lie in [`Strips`], its models on a grid of cells of 2×2 samples.
#[derive(Debug, Default)]
struct Level {
    /// Frame pixels in a sample, across.
    scale: usize,
    /// Samples.
    width: usize,
    height: usize,
    /// Cells.
    wide: usize,
    high: usize,
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
        let cell = cell(w, h, mask_w, mask_h);
        let samples = |px: f32| (px * w.min(h) as f32 / 720.0 / cell).round().clamp(1.0, 16.0) as usize;
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
        let cell = cell(w, h, mask_w, mask_h);
        let window = (short * RADII[0] / 90.0).clamp(MASK_REACH.0 * cell, MASK_REACH.1 * cell).max(RADII[0]);
        let mut coarsest = 1usize << (window / RADII[0]).log2() as u32;
        if coarsest == 4 && window / RADII[0] >= HALF_FROM && cell >= COARSE_MASK {
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
            let (wide, high) = (width.div_ceil(2), height.div_ceil(2));
            let zeros = || vec![0.0; wide * high];
            let (mut cells, mut samples) = (Stretch::default(), Stretch::default());
            cells.prepare(mask_w, w as f32 / (2 * scale) as f32, wide);
            samples.prepare(mask_w, w as f32 / scale as f32, width);
            self.levels.push(Level {
                scale,
                width,
                height,
                wide,
                high,
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
            (width, height) = (wide, high);
        }
        self.strips.plan(w, h, finest, count);
        false
    }

    /// The models of level `n`.
    fn fit(&mut self, n: usize, eps: [f32; 3]) {
        let (blocks, band, strips) = (&self.blocks, &self.band, &self.strips);
        let busy = |row: usize| if n == 0 { blocks.live_row(row) } else { blocks.core_row(row) };
        let (fine, coarse) = self.levels.split_at_mut(n + 1);
        let (level, coarse) = (&mut fine[n], coarse.first());
        let Some(window) = level.window else { return };
        let (wide, high, contrast) = (level.wide, level.high, level.contrast);
        let cells = &level.cells;
        let (size, scale) = ((level.width, level.height), level.scale);
        let extent = frame_rows(self.plan) as f32;
        // Cells in a block; few strips, or the windows' margins cost more than the rows.
        let side = (BLOCK / 2) >> n;
        let (side, per) = (side.max(1), 1 << n.saturating_sub(BLOCK.ilog2() as usize - 1));
        let group = (high.div_ceil(STRIPS) / side).max(32 / side).max(1);
        let strip = group * side * wide;
        let samples = &level.samples;
        let [a, b, c, d] = &mut level.model;
        let parts = a
            .par_chunks_mut(strip)
            .zip(b.par_chunks_mut(strip))
            .zip(c.par_chunks_mut(strip))
            .zip(d.par_chunks_mut(strip));
        parts.enumerate().for_each(|(part, (((a, b), c), d))| {
            with_local(|l| {
                let Local { filter, pairs, more, tmp, marks, .. } = l;
                let y0 = part * group * side;
                let y1 = (y0 + group * side).min(high);
                let block_rows = (y0 / side * per, (y1.div_ceil(side) * per).min(blocks.high));
                // Beside the band the model is what was settled there.
                for by in block_rows.0..block_rows.1 {
                    let near = |bx: usize| {
                        let near = if n == 0 { blocks.near_live(bx, by) } else { blocks.need_row(by)[bx] };
                        near && !blocks.keeps(bx, by, n == 0)
                    };
                    let y = (by * side / per)..((by + 1) * side).div_ceil(per);
                    let rows = (y.start.max(y0) - y0)..(y.end.min(y1) - y0);
                    let mut end = 0;
                    while let Some(start) = (end..blocks.wide).find(|&bx| near(bx)) {
                        let value = blocks.solid(start, by);
                        end = (start + 1..blocks.wide)
                            .find(|&bx| !near(bx) || blocks.solid(bx, by) != value)
                            .unwrap_or(blocks.wide);
                        let x = (start * side / per).min(wide)..(end * side).div_ceil(per).min(wide);
                        for y in rows.clone() {
                            for slope in [&mut *a, &mut *b, &mut *c] {
                                slope[y * wide..][x.clone()].fill(0.0);
                            }
                            d[y * wide..][x.clone()].fill(f32::from(value) / 255.0);
                        }
                    }
                }
                marks.clear();
                (block_rows.0..block_rows.1).for_each(|row| marks.extend_from_slice(busy(row)));
                // Rows of the area count from its first block on.
                let area = Area { y: (y0, y1), first: block_rows.0, side, per, wide: blocks.wide, marks };
                let source = match coarse {
                    Some(coarse) => Source::Models(coarse),
                    None => Source::Mask { band, stretch: samples, extent: extent / scale as f32 },
                };
                let mut guide = Pixels { strips, n, size, source, models: pairs, tmp };
                let [inside, clear, line, ..] = more;
                let rows = extent / (2 * scale) as f32;
                guided::filter(&mut guide, &area, window, eps, filter, |models| {
                    let ((y, x), count) = (models.at, models.alpha.len());
                    for (grid, out) in [(&band.band, &mut *inside), (&band.clear, &mut *clear)] {
                        out.resize(count, 0.0);
                        cells.row(grid, band.height, (y, rows), x, out, line);
                    }
                    let at = (y - y0) * wide + x;
                    let out = [&mut *a, &mut *b, &mut *c, &mut *d].map(|m| &mut m[at..][..count]);
                    blend(models.model, [inside, clear, models.alpha], contrast, out);
                });
            });
        });
    }

    /// Finds the blocks in which the finest level has something to do.
    fn settle(&mut self) {
        let (blocks, level, strips) = (&mut self.blocks, &self.levels[1], &self.strips);
        blocks.settle(level.width, level.height, |y, x, lo_hi| {
            with_local(|l| {
                let n = x.1 - x.0;
                let Local { pairs: [r, g, b, alpha], .. } = l;
                // The cells' own models will do.
                let count = n.div_ceil(2);
                let model = level.model.each_ref().map(|m| &m[y / 2 * level.wide + x.0 / 2..][..count]);
                for (k, [first, second]) in [&mut *r, &mut *g, &mut *b].into_iter().enumerate() {
                    first.resize(count, 0.0);
                    second.resize(count, 0.0);
                    center_pairs(&strips.row(1, k, y)[x.0..x.1], first, second);
                }
                for k in 0..2 {
                    alpha[k].resize(count, 0.0);
                    apply(model, [&r[k], &g[k], &b[k]], &mut alpha[k]);
                }
                lo_hi(&alpha[0], &alpha[1]);
            });
        });
    }

    /// The finest level's models on the frame's own pixels.
    fn finish(&self, frame: &Frame<'_>, last: usize, out: &mut [u8]) {
        let (blocks, level) = (&self.blocks, &self.levels[last]);
        let (width, scale, side) = (frame.width, level.scale, BLOCK * self.levels[0].scale);
        let (layout, cells) = (frame.format.layout(), (level.wide, level.high));
        let fold = folds(frame.format, scale);
        out.par_chunks_mut(side * width).enumerate().for_each(|(by, rows)| {
            let busy = if last == 0 { blocks.live_row(by) } else { blocks.core_row(by) };
            for bx in 0..blocks.wide {
                rows[bx * side..((bx + 1) * side).min(width)].fill(blocks.solid(bx, by));
            }
            for y in 1..rows.len() / width {
                let (first, rest) = rows.split_at_mut(y * width);
                rest[..width].copy_from_slice(&first[..width]);
            }
            with_local(|l| {
                for run in runs(busy) {
                    let (x0, x1) = (run.start * side, (run.end * side).min(width));
                    if fold {
                        self.write_folded(frame, last, (by * side, rows), (x0, x1), l);
                        continue;
                    }
                    for (y, row) in rows.chunks_exact_mut(width).enumerate() {
                        let (y, out) = (by * side + y, &mut row[x0..x1]);
                        for (row, plane) in l.rows.iter_mut().zip(&level.model) {
                            row.resize(out.len(), 0.0);
                            stretch_row(plane, cells, 2 * scale, (x0, y), row, &mut l.tmp);
                        }
                        for (k, row) in l.bytes.iter_mut().enumerate() {
                            row.resize(out.len(), 0);
                            component_row(frame, &layout.color[k], 1, y, x0, row);
                        }
                        let [a, b, c, d] = &l.rows;
                        let [r, g, bl] = &l.bytes;
                        write_three([a, b, c, d], [r, g, bl], out);
                    }
                }
            });
        });
    }

    /// Pixels `x0..x1` of rows from `top` on, where only the first component is worth reading at full resolution:
    /// the others go into the offset, at the level's own.
    fn write_folded(
        &self,
        frame: &Frame<'_>,
        last: usize,
        (top, rows): (usize, &mut [u8]),
        (x0, x1): (usize, usize),
        l: &mut Local,
    ) {
        let level = &self.levels[last];
        let (width, scale) = (frame.width, level.scale);
        let luma = frame.format.layout().color[0];
        // A sample more at either side, for the stretching.
        let from = (x0 / scale).saturating_sub(2) & !1;
        let to = (x1.div_ceil(scale) + 1).min(level.width);
        let n = to - from;
        let Local { rows: models, more, pair: wide, bytes, tmp, .. } = l;
        // Slope and offset of two rows of samples.
        let [a0, d0, a1, d1] = more;
        let mut have = [usize::MAX; 2];
        let mut sample_row = |y: usize, slope: &mut Vec<f32>, offset: &mut Vec<f32>, tmp: &mut Vec<f32>| {
            for (row, plane) in models.iter_mut().zip(&level.model) {
                row.resize(n, 0.0);
                stretch_row(plane, (level.wide, level.high), 2, (from, y), row, tmp);
            }
            let color = [1, 2].map(|k| &self.strips.row(last, k, y)[from..to]);
            let [a, b, c, d] = &*models;
            slope.clear();
            slope.extend_from_slice(a);
            offset.resize(n, 0.0);
            fold_colors([b, c, d], color, offset);
        };
        for (y, row) in rows.chunks_exact_mut(width).enumerate() {
            let y = top + y;
            let (at, f) = place(y, (level.height * scale) as f32, level.height);
            let want = [at, (at + 1).min(level.height - 1)];
            if have[0] != want[0] && have[1] == want[0] {
                std::mem::swap(a0, a1);
                std::mem::swap(d0, d1);
                have.swap(0, 1);
            }
            for (k, (a, d)) in [(&mut *a0, &mut *d0), (&mut *a1, &mut *d1)].into_iter().enumerate() {
                if have[k] != want[k] {
                    sample_row(want[k], a, d, tmp);
                    have[k] = want[k];
                }
            }
            let out = &mut row[x0..x1];
            let pairs = [[&*a0, &*a1], [&*d0, &*d1]].map(|pair| pair.map(|p| &p[..]));
            if (scale, luma.step) == (2, 1) {
                for (row, pair) in wide.iter_mut().zip(pairs) {
                    enlarge::between(pair, f, x0 / 2 - from, out.len().div_ceil(2), row);
                }
                let luma = &frame.planes[luma.plane].row(y)[luma.offset + x0..][..out.len()];
                write_pairs(&wide[0], &wide[1], luma, out);
                continue;
            }
            for (row, pair) in wide.iter_mut().zip(pairs) {
                row.resize(out.len(), 0.0);
                enlarge::widen_between(pair, f, x0 / scale - from, scale, row, tmp);
            }
            if luma.step == 1 {
                write_one(&wide[0], &wide[1], &frame.planes[luma.plane].row(y)[luma.offset + x0..], out);
            } else {
                let bytes = &mut bytes[0];
                bytes.resize(out.len(), 0);
                component_row(frame, &luma, 1, y, x0, bytes);
                write_one(&wide[0], &wide[1], bytes, out);
            }
        }
    }
}

/// Rows of the frame that the buffers are made for.
fn frame_rows(plan: Option<(Format, usize, usize, usize, usize, Quality)>) -> usize {
    plan.map_or(1, |p| p.2)
}

/// Where the alpha that a level is fitted to comes from.
enum Source<'a> {
    /// The network's mask.
    Mask { band: &'a Band, stretch: &'a Stretch, extent: f32 },
    /// The next coarser level.
    Models(&'a Level),
}

/// A level as the filter sees it.
struct Pixels<'a> {
    strips: &'a Strips,
    n: usize,
    size: (usize, usize),
    source: Source<'a>,
    models: &'a mut [[Vec<f32>; 2]; 4],
    tmp: &'a mut Vec<f32>,
}

impl Guide for Pixels<'_> {
    fn size(&self) -> (usize, usize) {
        (self.size.0.div_ceil(2), self.size.1.div_ceil(2))
    }

    fn rows(&mut self, y: usize, x: usize, count: usize, out: &mut Samples) {
        let (width, height) = self.size;
        let columns = 2 * x..(2 * (x + count)).min(width);
        for (dy, [r, g, b, alpha]) in out.iter_mut().enumerate() {
            let y = (2 * y + dy).min(height - 1);
            for (k, [first, second]) in [&mut *r, &mut *g, &mut *b].into_iter().enumerate() {
                center_pairs(&self.strips.row(self.n, k, y)[columns.clone()], first, second);
            }
            match self.source {
                Source::Mask { band, stretch, extent } => {
                    let row = &mut self.models[0][0];
                    row.resize(columns.len(), 0.0);
                    stretch.row(&band.mask, band.height, (y, extent), columns.start, row, self.tmp);
                    clip(row, SNAP.0, SNAP.1);
                    for (i, pair) in row.chunks(2).enumerate() {
                        (alpha[0][i], alpha[1][i]) = (pair[0], pair[pair.len() - 1]);
                    }
                }
                Source::Models(coarse) => {
                    // One model for the four samples of a cell would do a quarter of this, and costs 2 % of Grad.
                    for (rows, plane) in self.models.iter_mut().zip(&coarse.model) {
                        stretch_pairs(plane, (coarse.wide, coarse.high), y, (x, count), rows, self.tmp);
                    }
                    let model = self.models.each_ref().map(|m| m.each_ref().map(|v| &v[..count]));
                    for k in 0..2 {
                        let color = [&r[k], &g[k], &b[k]].map(|c| &c[..count]);
                        apply(model.map(|m| m[k]), color, &mut alpha[k][..count]);
                    }
                    if width % 2 == 1 && columns.end == width {
                        alpha[1][count - 1] = alpha[0][count - 1];
                    }
                }
            }
        }
    }
}

/// Frame pixels in a mask sample, across, the mean of both directions.
fn cell(w: usize, h: usize, mask_w: usize, mask_h: usize) -> f32 {
    ((w as f32 / mask_w as f32) * (h as f32 / mask_h as f32)).sqrt()
}

/// Whether only the first component is worth reading at full resolution.
fn folds(format: Format, scale: usize) -> bool {
    scale > 1 && (format.is_yuv() || format.layout().colors == 1)
}

/// What is added to each colour's variance: [`EPS`] on R, G and B, and as much contrast of grey on luma alone.
fn regularisation(frame: &Frame<'_>) -> [f32; 3] {
    if !frame.format.is_yuv() {
        return if frame.format.layout().colors == 1 { [EPS / 3.0; 3] } else { [EPS; 3] };
    }
    let (luma, _, chroma) = frame.color.scale();
    let part = |scale: f32| (scale / 255.0).powi(2) * EPS / 3.0;
    [part(luma), part(chroma), part(chroma)]
}

#[cfg(test)]
mod tests;
