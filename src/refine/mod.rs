//! From network resolution to frame resolution: a soft mask becomes a matte with the frame's own edges.
//!
//! A colour guided filter runs from coarse to fine: at an eighth of the frame it decides by colour what the
//! mask's blur leaves open, at a quarter it follows contours, at a half it finds hair (the scales are those of a
//! 720p frame). Each level's result guides the next, sharpened where the network was sure on both sides and left
//! soft where it was not. All of it happens in the uncertain band only: solid areas are exactly 255, empty ones
//! exactly 0, and the cost follows the length of the edge.

mod band;
mod blocks;
mod foreground;
mod guided;
mod levels;
mod planes;

pub use foreground::Foreground;
pub use levels::{Controls, Levels};

use std::cell::RefCell;

use rayon::prelude::*;

use crate::frame::{Format, Frame};
use crate::simd::multiversion;
use band::Band;
use blocks::{BLOCK, Blocks, runs};
use guided::{Guide, Rect, Scratch, centred};
use planes::{Halve, Stretch, component_row, halve_plane, mix, place, stretch_row};

/// How much work goes into edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quality {
    /// The mask stretched bilinearly.
    None,
    /// Without the finest levels.
    Fast,
    /// Down to half the frame's resolution (its own for small frames).
    #[default]
    Best,
}

/// Added to the colours' variances, in units of full scale squared: contrast below its root (2.5 of 255) is noise.
const EPS: f32 = 1e-4;
/// Contrast after each level, coarsest first; the last also closes a one percent haze.
const CONTRAST: [f32; 2] = [1.6, 1.3];
const LAST_CONTRAST: f32 = 1.02;
/// Window radii in samples of the coarsest, the next and all further levels where 90 samples span the short side.
const RADII: [f32; 3] = [3.0, 4.0, 2.5];
/// Smallest and largest radius of the coarsest windows in samples of the mask.
const MASK_REACH: (f32, f32) = (5.0, 10.0);
/// The band reaches this many pixels of a 720p frame beyond the doubt.
const GROW: f32 = 6.0;
/// Sure foreground and background this many pixels of a 720p frame apart make a clear edge.
const CLEAR_REACH: f32 = 14.0;

#[derive(Debug, Default)]
struct Level {
    /// Frame pixels in a sample, across.
    scale: usize,
    width: usize,
    height: usize,
    radius: usize,
    contrast: f32,
    color: [Vec<u8>; 3],
    alpha: Vec<f32>,
    /// How far results count here, 0..1.
    band: Vec<f32>,
    /// How far contrast may be raised, 0..1.
    clear: Vec<f32>,
    /// alpha = model[0..3]·colour + model[3].
    model: [Vec<f32>; 4],
}

/// Turns masks into mattes; keeps its buffers from frame to frame, nothing else.
#[derive(Debug, Default)]
pub struct Refiner {
    plan: Option<(Format, usize, usize, usize, usize, Quality)>,
    levels: Vec<Level>,
    /// The finest level whose models are made.
    last: usize,
    band: Band,
    blocks: Blocks,
    stretch: Stretch,
}

/// What one thread needs.
#[derive(Default)]
struct Local {
    filter: Scratch,
    rows: [Vec<f32>; 4],
    bytes: [Vec<u8>; 3],
    tmp: Vec<f32>,
    marks: Vec<bool>,
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
        let (w, h) = (frame.width, frame.height);
        let sized = mask_w.checked_mul(mask_h).is_some_and(|n| n > 0 && mask.len() >= n);
        if !sized || w == 0 || h == 0 || out.len() < w * h || !readable(frame) {
            out.fill(0);
            return;
        }
        let (mask, out) = (&mask[..mask_w * mask_h], &mut out[..w * h]);
        if quality == Quality::None {
            return self.bilinear(w, mask, mask_w, mask_h, out);
        }
        self.plan(frame, mask_w, mask_h, quality);
        let cell = cell(w, h, mask_w, mask_h);
        let samples = |px: f32| (px * w.min(h) as f32 / 720.0 / cell).round().clamp(1.0, 16.0) as usize;
        self.band.find(mask, mask_w, mask_h, samples(GROW), samples(CLEAR_REACH));
        let finest = self.levels[0].scale;
        // Blocks that a level's windows of windows reach.
        let reach = self
            .levels
            .iter()
            .enumerate()
            .map(|(n, l)| (2 * l.radius + 1).div_ceil((BLOCK >> n).max(1)))
            .max();
        self.blocks.mark(&self.band, w, h, BLOCK * finest, reach.unwrap_or(1));
        self.fill(frame);
        self.shrink();
        for n in (self.last..self.levels.len()).rev() {
            if n + 1 < self.levels.len() {
                self.hand_down(n);
            }
            if n == 0 {
                self.blocks.settle(&self.levels[0].alpha, self.levels[0].width, self.levels[0].height);
            }
            self.fit(n, n == self.last && folds(frame.format, self.levels[n].scale), noise(frame));
        }
        self.finish(frame, out);
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

    /// Chooses levels and makes room for them.
    fn plan(&mut self, frame: &Frame<'_>, mask_w: usize, mask_h: usize, quality: Quality) {
        let (w, h) = (frame.width, frame.height);
        let want = Some((frame.format, w, h, mask_w, mask_h, quality));
        if self.plan == want {
            return;
        }
        self.plan = want;
        let short = w.min(h) as f32;
        // The coarsest window's radius is a thirtieth of the frame, or less for a finer mask and more for a coarser.
        let cell = cell(w, h, mask_w, mask_h);
        let window = (short * RADII[0] / 90.0).clamp(MASK_REACH.0 * cell, MASK_REACH.1 * cell).max(RADII[0]);
        let coarsest = 1usize << (window / RADII[0]).log2() as u32;
        let ratio = window / RADII[0] / coarsest as f32; // 1..2
        let finest = (coarsest / 4).clamp(1, 2);
        let count = (coarsest / finest).ilog2() as usize + 1;
        self.last = usize::from(quality == Quality::Fast && count > 1);
        self.levels.clear();
        let (mut width, mut height) = (w.div_ceil(finest), h.div_ceil(finest));
        for n in 0..count {
            let step = count - 1 - n; // 0 is the coarsest
            let size = width * height;
            let zeros = || vec![0.0; size];
            self.levels.push(Level {
                scale: finest << n,
                width,
                height,
                radius: (RADII[step.min(2)] * ratio).round() as usize,
                contrast: if n == 0 && count > 2 {
                    LAST_CONTRAST
                } else {
                    *CONTRAST.get(step).unwrap_or(&1.0)
                },
                color: [0; 3].map(|_| vec![0; size]),
                alpha: zeros(),
                band: zeros(),
                clear: zeros(),
                model: [zeros(), zeros(), zeros(), zeros()],
            });
            (width, height) = (width.div_ceil(2), height.div_ceil(2));
        }
    }

    /// Colours, mask and maps at the finest level, in the blocks needed.
    fn fill(&mut self, frame: &Frame<'_>) {
        let (blocks, band, stretch) = (&self.blocks, &self.band, &mut self.stretch);
        let level = &mut self.levels[0];
        let (width, scale) = (level.width, level.scale);
        let layout = frame.format.layout();
        stretch.prepare(band.width, frame.width as f32 / scale as f32, width);
        let (stretch, tall) = (&*stretch, frame.height as f32 / scale as f32);
        let rows = BLOCK * width;
        let [c0, c1, c2] = &mut level.color;
        let colors = c0.par_chunks_mut(rows).zip(c1.par_chunks_mut(rows)).zip(c2.par_chunks_mut(rows));
        let maps = level
            .alpha
            .par_chunks_mut(rows)
            .zip(level.band.par_chunks_mut(rows))
            .zip(level.clear.par_chunks_mut(rows));
        colors.zip(maps).enumerate().for_each(|(by, (((c0, c1), c2), ((alpha, inside), clear)))| {
            for (c, to) in layout.color[..layout.colors].iter().zip([c0, c1, c2]) {
                for (y, to) in to.chunks_exact_mut(width).enumerate() {
                    for run in runs(blocks.need_row(by)) {
                        let (x0, x1) = (run.start * BLOCK, (run.end * BLOCK).min(width));
                        component_row(frame, c, scale, by * BLOCK + y, x0, &mut to[x0..x1]);
                    }
                }
            }
            for run in runs(blocks.need_row(by)) {
                for bx in run {
                    let x = bx * BLOCK..((bx + 1) * BLOCK).min(width);
                    if !blocks.core_row(by)[bx] {
                        let value = f32::from(band.solid(bx, by, blocks.wide, blocks.high)) / 255.0;
                        for start in (0..alpha.len()).step_by(width) {
                            alpha[start..][x.clone()].fill(value);
                            inside[start..][x.clone()].fill(0.0);
                            clear[start..][x.clone()].fill(0.0);
                        }
                    }
                }
            }
            // The mask is snapped: what is within two percent of sure is sure.
            let maps = [
                (&band.mask, alpha, 1.04 / 255.0, -0.02),
                (&band.band, inside, 1.0, 0.0),
                (&band.clear, clear, 1.0 / 255.0, 0.0),
            ];
            with_local(|l| {
                let [top, bottom, ..] = &mut l.rows;
                for (from, to, gain, low) in maps {
                    for run in runs(blocks.core_row(by)) {
                        let (x0, x1) = (run.start * BLOCK, (run.end * BLOCK).min(width));
                        let mut have = usize::MAX;
                        for (y, to) in to.chunks_exact_mut(width).enumerate() {
                            let (at, f) = place(by * BLOCK + y, tall, band.height);
                            if have != at {
                                have = at;
                                for (to, y) in
                                    [(&mut *top, at), (&mut *bottom, (at + 1).min(band.height - 1))]
                                {
                                    to.resize(x1 - x0, 0.0);
                                    stretch.widen(&from[y * band.width..][..band.width], x0, to);
                                    clip(to, gain, low);
                                }
                            }
                            mix(top, bottom, f, &mut to[x0..x1]);
                        }
                    }
                }
            });
        });
    }

    /// Each coarser level by halving the one before.
    fn shrink(&mut self) {
        let blocks = &self.blocks;
        for n in 1..self.levels.len() {
            let (fine, coarse) = self.levels.split_at_mut(n);
            let (fine, coarse) = (&fine[n - 1], &mut coarse[0]);
            let width = coarse.width;
            // Maps are looked at in the band only.
            let (need, core) = (|row| blocks.need_row(row), |row| blocks.core_row(row));
            let [a, b, c] = &mut coarse.color;
            let colors = [a, b, c].into_par_iter().zip(&fine.color);
            let sizes = (fine.width, fine.height, width, n);
            let band = (&fine.band, &mut coarse.band);
            let clear = (&fine.clear, &mut coarse.clear);
            rayon::join(
                || colors.for_each(|(to, from)| halve(from, to, sizes, blocks.high, need)),
                || {
                    halve(&fine.alpha, &mut coarse.alpha, sizes, blocks.high, need);
                    halve(band.0, band.1, sizes, blocks.high, core);
                    halve(clear.0, clear.1, sizes, blocks.high, core);
                },
            );
        }
    }

    /// The alpha of level `n` from the model of the next coarser one.
    fn hand_down(&mut self, n: usize) {
        let blocks = &self.blocks;
        let (fine, coarse) = self.levels.split_at_mut(n + 1);
        let (fine, coarse) = (&mut fine[n], &coarse[0]);
        let width = fine.width;
        let color = &fine.color;
        let strip = 16;
        fine.alpha.par_chunks_mut(strip * width).enumerate().for_each(|(part, alpha)| {
            with_local(|l| {
                for (y, alpha) in alpha.chunks_exact_mut(width).enumerate() {
                    let y = part * strip + y;
                    for run in runs(blocks.core_row(((y << n) / BLOCK).min(blocks.high - 1))) {
                        let (x0, x1) =
                            ((run.start * BLOCK) >> n & !1, (run.end * BLOCK).div_ceil(1 << n).min(width));
                        for (row, plane) in l.rows.iter_mut().zip(&coarse.model) {
                            row.resize(x1 - x0, 0.0);
                            stretch_row(plane, coarse.width, coarse.height, 2, y, x0, row, &mut l.tmp);
                        }
                        let [a, b, c, d] = &l.rows;
                        let color = color.each_ref().map(|c| &c[y * width..][x0..x1]);
                        apply([a, b, c, d], color, &mut alpha[x0..x1]);
                    }
                }
            });
        });
    }

    /// The models of level `n`; `fold` puts the colours other than the first into the offset.
    fn fit(&mut self, n: usize, fold: bool, eps: [f32; 3]) {
        let blocks = &self.blocks;
        let busy = |row: usize| if n == 0 { blocks.live_row(row) } else { blocks.core_row(row) };
        let level = &mut self.levels[n];
        let (width, height, radius) = (level.width, level.height, level.radius);
        let guide =
            Guide { width, height, color: level.color.each_ref().map(|c| &c[..]), alpha: &level.alpha };
        let (inside, clear, contrast) = (&level.band, &level.clear, level.contrast);
        // Strips of 32 rows at least, or the windows' margins cost more than the rows.
        let side = (BLOCK >> n).max(1);
        let group = (32 / side).max(1);
        let strip = group * side * width;
        let [a, b, c, d] = &mut level.model;
        let parts = a
            .par_chunks_mut(strip)
            .zip(b.par_chunks_mut(strip))
            .zip(c.par_chunks_mut(strip))
            .zip(d.par_chunks_mut(strip));
        parts.enumerate().for_each(|(part, (((a, b), c), d))| {
            with_local(|l| {
                l.marks.clear();
                l.marks.resize(blocks.wide, false);
                for row in (part * group..(part + 1) * group).take_while(|&r| r < blocks.high) {
                    l.marks.iter_mut().zip(busy(row)).for_each(|(m, &c)| *m |= c);
                }
                let y0 = part * group * side;
                // Beside the band, where stretching reads one sample on, the model is the alpha itself.
                for y in y0..(y0 + group * side).min(height) {
                    let (at, to) = (y * width, (y - y0) * width);
                    for run in runs(blocks.near_row(((y << n) / BLOCK).min(blocks.high - 1))) {
                        let x = ((run.start * BLOCK) >> n).min(width)
                            ..(run.end * BLOCK).div_ceil(1 << n).min(width);
                        for slope in [&mut *a, &mut *b, &mut *c] {
                            slope[to..][x.clone()].fill(0.0);
                        }
                        d[to..][x.clone()].copy_from_slice(&guide.alpha[at..][x]);
                    }
                }
                for run in runs(&l.marks) {
                    let x = (
                        ((run.start * BLOCK) >> n).min(width),
                        (run.end * BLOCK).div_ceil(1 << n).min(width),
                    );
                    let rect = Rect { x, y: (y0, (y0 + group * side).min(height)) };
                    guided::filter(
                        &guide,
                        rect,
                        radius,
                        eps,
                        &mut [&mut *a, &mut *b, &mut *c, &mut *d],
                        &mut l.filter,
                    );
                    for y in rect.y.0..rect.y.1 {
                        let (at, to) = (y * width, (y - y0) * width);
                        let maps =
                            [&inside[at..][x.0..x.1], &clear[at..][x.0..x.1], &guide.alpha[at..][x.0..x.1]];
                        let color = guide.color.map(|c| &c[at..][x.0..x.1]);
                        let model = [&mut *a, &mut *b, &mut *c, &mut *d].map(|m| &mut m[to..][x.0..x.1]);
                        blend(model, maps, color, contrast, fold);
                    }
                }
            });
        });
    }

    /// The finest level's models on the frame's own pixels.
    fn finish(&self, frame: &Frame<'_>, out: &mut [u8]) {
        let (blocks, band, level) = (&self.blocks, &self.band, &self.levels[self.last]);
        let (width, scale, side) = (frame.width, level.scale, BLOCK * self.levels[0].scale);
        let layout = frame.format.layout();
        let fold = folds(frame.format, scale);
        out.par_chunks_mut(side * width).enumerate().for_each(|(by, rows)| {
            let busy = if self.last == 0 { blocks.live_row(by) } else { blocks.core_row(by) };
            for bx in (0..busy.len()).filter(|&bx| !busy[bx]) {
                let value = if blocks.core_row(by)[bx] {
                    let fine = &self.levels[0];
                    if fine.alpha[by * BLOCK * fine.width + bx * BLOCK] > 0.5 { 255 } else { 0 }
                } else {
                    band.solid(bx, by, blocks.wide, blocks.high)
                };
                rows[bx * side..((bx + 1) * side).min(width)].fill(value);
            }
            for y in 1..rows.len() / width {
                let (first, rest) = rows.split_at_mut(y * width);
                rest[..width].copy_from_slice(&first[..width]);
            }
            with_local(|l| {
                for (y, row) in rows.chunks_exact_mut(width).enumerate() {
                    let y = by * side + y;
                    for run in runs(busy) {
                        let (x0, x1) = (run.start * side, (run.end * side).min(width));
                        let out = &mut row[x0..x1];
                        for (k, row) in l.rows.iter_mut().enumerate() {
                            if !(fold && (k == 1 || k == 2)) {
                                row.resize(out.len(), 0.0);
                                let plane = &level.model[k];
                                stretch_row(plane, level.width, level.height, scale, y, x0, row, &mut l.tmp);
                            }
                        }
                        for (k, row) in l.bytes.iter_mut().enumerate().take(if fold { 1 } else { 3 }) {
                            row.resize(out.len(), 0);
                            component_row(frame, &layout.color[k], 1, y, x0, row);
                        }
                        let [a, b, c, d] = &l.rows;
                        let [r, g, bl] = &l.bytes;
                        if fold {
                            write_one(a, d, r, out)
                        } else {
                            write_three([a, b, c, d], [r, g, bl], out)
                        }
                    }
                }
            });
        });
    }
}

/// Halves a plane where `marked` says so, by rows of blocks; `sizes` are those of the fine plane, the width of the
/// coarse one and its level.
fn halve<'a, T: Halve>(
    from: &[T],
    to: &mut [T],
    (fine_w, fine_h, width, n): (usize, usize, usize, usize),
    rows: usize,
    marked: impl Fn(usize) -> &'a [bool],
) {
    for (y, to) in to.chunks_exact_mut(width).enumerate() {
        for run in runs(marked(((y << n) / BLOCK).min(rows - 1))) {
            let x0 = ((run.start * BLOCK) >> n).min(width);
            let x1 = (run.end * BLOCK).div_ceil(1 << n).min(width);
            halve_plane(from, fine_w, fine_h, y, x0, &mut to[x0..x1]);
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
fn noise(frame: &Frame<'_>) -> [f32; 3] {
    if !frame.format.is_yuv() {
        return if frame.format.layout().colors == 1 { [EPS / 3.0; 3] } else { [EPS; 3] };
    }
    let (luma, _, chroma) = frame.color.scale();
    let part = |scale: f32| (scale / 255.0).powi(2) * EPS / 3.0;
    [part(luma), part(chroma), part(chroma)]
}

/// Whether the planes hold what the format and the size say.
fn readable(frame: &Frame<'_>) -> bool {
    let layout = frame.format.layout();
    layout.color[..layout.colors].iter().all(|c| {
        let row = c.offset + (c.width(frame.width) - 1) * c.step + 1;
        let plane = &frame.planes[c.plane];
        plane.stride >= row && plane.data.len() >= (c.height(frame.height) - 1) * plane.stride + row
    })
}

/// 0..1 as 0..255, rounded, in few vector instructions: 2²³ leaves a float no room for a fraction.
#[inline(always)]
fn byte(v: f32) -> u8 {
    ((v * 255.0).clamp(0.0, 255.0) + 8_388_608.0).to_bits() as u8
}

multiversion! {
    fn clip(row: &mut [f32], gain: f32, low: f32) {
        for v in row {
            *v = (*v * gain + low).clamp(0.0, 1.0);
        }
    }
}

multiversion! {
    fn round_mix(top: &[f32], bottom: &[f32], f: f32, out: &mut [u8]) {
        for ((o, &t), &b) in out.iter_mut().zip(top).zip(bottom) {
            *o = byte(t + (b - t) * f);
        }
    }
}

multiversion! {
    fn apply(model: [&[f32]; 4], color: [&[u8]; 3], out: &mut [f32]) {
        let n = out.len();
        let [a, b, c, d] = model.map(|m| &m[..n]);
        let [r, g, bl] = color.map(|c| &c[..n]);
        for i in 0..n {
            out[i] = (a[i] * centred(r[i]) + b[i] * centred(g[i]) + c[i] * centred(bl[i]) + d[i]).clamp(0.0, 1.0);
        }
    }
}

multiversion! {
    fn write_three(model: [&[f32]; 4], color: [&[u8]; 3], out: &mut [u8]) {
        let n = out.len();
        let [a, b, c, d] = model.map(|m| &m[..n]);
        let [r, g, bl] = color.map(|c| &c[..n]);
        for i in 0..n {
            let v = a[i] * centred(r[i]) + b[i] * centred(g[i]) + c[i] * centred(bl[i]) + d[i];
            out[i] = byte(v);
        }
    }
}

multiversion! {
    fn write_one(slope: &[f32], offset: &[f32], luma: &[u8], out: &mut [u8]) {
        for (((o, &a), &b), &y) in out.iter_mut().zip(slope).zip(offset).zip(luma) {
            *o = byte(a * centred(y) + b);
        }
    }
}

multiversion! {
    /// Raises the models' contrast about one half where `maps[1]` lets it and fades them into the alpha that they
    /// were fitted to (`maps[2]`) where the band (`maps[0]`) ends.
    fn blend(model: [&mut [f32]; 4], maps: [&[f32]; 3], color: [&[u8]; 3], contrast: f32, fold: bool) {
        let [a, b, c, d] = model;
        let n = a.len();
        let (b, c, d) = (&mut b[..n], &mut c[..n], &mut d[..n]);
        let [inside, clear, alpha] = maps.map(|m| &m[..n]);
        for i in 0..n {
            let gain = 1.0 + (contrast - 1.0) * clear[i];
            let slope = gain * inside[i];
            a[i] *= slope;
            b[i] *= slope;
            c[i] *= slope;
            d[i] = slope * (d[i] - 0.5) + 0.5 * inside[i] + (1.0 - inside[i]) * alpha[i];
        }
        if fold {
            let [_, g, bl] = color.map(|c| &c[..n]);
            for i in 0..n {
                d[i] += b[i] * centred(g[i]) + c[i] * centred(bl[i]);
            }
        }
    }
}

#[cfg(test)]
mod tests;
