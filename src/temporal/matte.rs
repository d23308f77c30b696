//! A refined matte steadied: what is left of sensor noise in it is smoothed where the scene stands still, and there only.

use rayon::prelude::*;

use super::field::Field;
use super::motion::Motion;
use super::still::{LONG, Still};
use super::{ACC, BLOCK, Smoother, lasting, restore};
use crate::simd::{multiversion, nearest, unsettled};

/// Change of the matte, of 255, up to which it is held for long: more than that is more than noise.
const QUIET: i32 = 16;
/// The past's weight, of 255, from which on it is that of a scene that has stood still for long.
const FIRM: u8 = 243;
/// Motion in frame pixels at which the refined matte's past no longer counts.
const STILL: f32 = 1.0;

impl Smoother {
    /// Smooths `alpha` and keeps it.
    pub(super) fn blend_matte(&mut self, alpha: &mut [u8], weight: f32) {
        let (w, h, scale) = (self.width, self.height, self.scale);
        let side = BLOCK * scale;
        let grid_width = w.div_ceil(side);
        let busy = self.find_busy(alpha);
        self.track(|bx, by| busy[by * grid_width + bx]);
        self.asked.iter_mut().zip(&busy).for_each(|(asked, busy)| *asked |= busy);
        let luma = (w.div_ceil(scale), h.div_ceil(scale));
        // Where the samples' columns lie in the mask.
        let mut columns = std::mem::take(&mut self.columns);
        columns.clear();
        columns.extend((0..luma.0).map(|u| u * self.mask_size.0 / luma.0));
        self.dither = self.dither.wrapping_add(159);
        let dither = self.dither;
        let usual = Usual { field: &self.field, asked: &self.asked, grid_width, scale, weight };
        let held = (self.mask_size.0 > 0 && self.still.knows()).then(|| Held {
            still: &self.still,
            free: &self.free,
            mask_size: self.mask_size,
            luma,
            columns: &columns,
            long: std::array::from_fn(|age| lasting(age as u8, weight)),
        });
        let rows = alpha.par_chunks_mut(side * w).zip(self.alpha.par_chunks_mut(side * w));
        rows.enumerate().for_each(|(by, (alpha, past))| {
            // What remains of the past, by sample and by pixel: see `mix`.
            let (mut samples, mut pixels) = ([[0u8; BLOCK]; 2], [[0u8; BLOCK * 4]; 2]);
            for bx in (0..grid_width).filter(|bx| busy[by * grid_width + bx]) {
                let block = by * grid_width + bx;
                let corners = usual.corners(bx, by);
                let weighs = corners.iter().any(|c| *c > 0.0);
                let held = held.as_ref().filter(|_| usual.field.motion[block] == Motion::default());
                let (same, _) = usual.field.same[block * BLOCK * BLOCK..].as_chunks::<BLOCK>();
                let x = bx * side..((bx + 1) * side).min(w);
                for (y, (row, past)) in alpha.chunks_exact_mut(w).zip(past.chunks_exact_mut(w)).enumerate() {
                    let (row, past) = (&mut row[x.clone()], &mut past[x.clone()]);
                    if weighs {
                        if y % scale == 0 {
                            let y = y / scale;
                            let held = held.map_or([0.0; BLOCK], |held| held.row(bx, by * BLOCK + y));
                            weigh(&same[y], ends(corners, y), &held, &mut samples);
                            for (pixels, samples) in pixels.iter_mut().zip(&samples) {
                                let parts = pixels.chunks_exact_mut(scale).zip(samples);
                                parts.for_each(|(part, sample)| part.fill(*sample));
                            }
                        }
                        let [keep, hold] = &pixels;
                        mix(row, past, &keep[..row.len()], &hold[..row.len()], dither);
                    }
                    past.copy_from_slice(row);
                }
            }
        });
        (self.wanted, self.columns) = (busy, columns);
    }

    /// Puts what is kept of the last matte into `alpha`, and finds the blocks that are to be smoothed: all but those that are of one
    /// value, and were of the same, and those that are kept.
    fn find_busy(&mut self, alpha: &mut [u8]) -> Vec<bool> {
        let (w, side) = (self.width, BLOCK * self.scale);
        let grid_width = w.div_ceil(side);
        let mut busy = std::mem::take(&mut self.wanted);
        busy.clear();
        busy.resize(self.field.known.len(), false);
        let parts = alpha.par_chunks_mut(side * w).zip(self.alpha.par_chunks(side * w));
        let parts = busy.par_chunks_mut(grid_width).zip(self.mixed.par_chunks_mut(grid_width)).zip(parts);
        let kept = self.rest.kept();
        parts.enumerate().for_each(|(by, ((busy, mixed), (alpha, past)))| {
            let kept = kept.get(by * grid_width..).unwrap_or_default();
            restore(alpha, past, w, side, kept);
            ACC.with_borrow_mut(|acc| unsettled(alpha, w, side, acc, busy));
            for (x, (busy, was)) in busy.iter_mut().zip(mixed).enumerate() {
                let now = *busy;
                *busy |= *was || alpha[x * side] != past[x * side];
                *busy &= !kept.get(x).is_some_and(|kept| *kept);
                *was = now;
            }
        });
        busy
    }
}

/// How much of a matte's past remains where the scene stands still, but for what [`Held`] says.
struct Usual<'a> {
    field: &'a Field,
    asked: &'a [bool],
    grid_width: usize,
    scale: usize,
    weight: f32,
}

impl Usual<'_> {
    /// What remains at a block's four corners: of the blocks that meet there the least, so that with a slope between the corners no
    /// block stands out, and none keeps more of the past than it would by itself.
    fn corners(&self, bx: usize, by: usize) -> [f32; 4] {
        let grid_height = self.asked.len() / self.grid_width;
        [[0, 0], [1, 0], [0, 1], [1, 1]].map(|[x, y]| {
            let (cx, cy) = (bx + x, by + y);
            let around = (cy.saturating_sub(1)..(cy + 1).min(grid_height)).flat_map(|y| {
                (cx.saturating_sub(1)..(cx + 1).min(self.grid_width)).map(move |x| y * self.grid_width + x)
            });
            let asked = around.filter(|&at| self.asked[at]);
            asked.map(|at| self.block(at)).fold(f32::MAX, f32::min).min(self.weight)
        })
    }

    fn block(&self, at: usize) -> f32 {
        let m = self.field.motion[at];
        let far = f32::from(m.x).hypot(f32::from(m.y)) * 0.25 * self.scale as f32;
        self.weight * (1.0 - far / STILL).max(0.0) * self.field.sure[at]
    }
}

/// How much of a matte's past remains where the scene has stood still for long: what is held of the mask is of the matte.
struct Held<'a> {
    still: &'a Still,
    free: &'a [u8],
    mask_size: (usize, usize),
    luma: (usize, usize),
    /// Where luma's columns lie in the mask.
    columns: &'a [usize],
    /// By age.
    long: [f32; LONG as usize],
}

impl Held<'_> {
    /// What remains of the samples of a block's row, `v` of luma's.
    fn row(&self, bx: usize, v: usize) -> [f32; BLOCK] {
        let ((lw, lh), (mw, mh)) = (self.luma, self.mask_size);
        let v = v.min(lh - 1);
        let mut held = [0.0; BLOCK];
        let ages = &self.still.ages(v)[bx * BLOCK / 2..];
        for (held, &age) in held.chunks_exact_mut(2).zip(ages) {
            held.fill(self.long[usize::from(age)]);
        }
        let columns = &self.columns[bx * BLOCK..((bx + 1) * BLOCK).min(lw)];
        let free = &self.free[v * mh / lh * mw..][..mw];
        if free[columns[0]..=columns[columns.len() - 1]].iter().any(|f| *f > 0) {
            for (held, &u) in held.iter_mut().zip(columns) {
                *held = if free[u] > 0 { 0.0 } else { *held };
            }
        }
        held
    }
}

/// How far a sample's middle lies in its block.
#[inline(always)]
fn within(n: usize) -> f32 {
    (n as f32 + 0.5) / BLOCK as f32
}

/// Left and right in a row of samples between a block's corners.
fn ends([a, b, c, d]: [f32; 4], y: usize) -> (f32, f32) {
    let down = within(y);
    (a + (c - a) * down, b + (d - b) * down)
}

multiversion! {
    /// What remains of the past in a row of a block's samples, of 255, as far as they are the `same`: between its ends, and as much as
    /// is `held` where that is more; see [`mix`].
    fn weigh(same: &[u8; BLOCK], ends: (f32, f32), held: &[f32; BLOCK], out: &mut [[u8; BLOCK]; 2]) {
        let [keep, hold] = out;
        for x in 0..BLOCK {
            let (same, usual) = (f32::from(same[x]), ends.0 + (ends.1 - ends.0) * within(x));
            keep[x] = nearest(same * usual) as u8;
            hold[x] = nearest(same * usual.max(held[x])) as u8;
        }
    }
}

multiversion! {
    /// Moves each pixel from the past, of which `keep` (255: all) remains, towards the present; at least by one step,
    /// so that solid becomes solid. Of a change that is no more than [`QUIET`], and leads to no solid, `hold` remains;
    /// where that is more than [`FIRM`] a smaller step is taken once in a while.
    fn mix(alpha: &mut [u8], past: &[u8], keep: &[u8], hold: &[u8], dither: u8) {
        for (((a, &p), &keep), &hold) in alpha.iter_mut().zip(past).zip(keep).zip(hold) {
            let gap = i32::from(*a) - i32::from(p);
            let quiet = if *a == 0 || *a == 255 { 0 } else { gap.abs().min(QUIET) };
            let up = if hold > FIRM && quiet == gap.abs() { i32::from(dither) } else { 255 };
            let more = gap.abs() - quiet;
            let size = (quiet * (256 - i32::from(hold)) + more * (256 - i32::from(keep)) + up) >> 8;
            *a = (i32::from(p) + if gap < 0 { -size } else { size }) as u8;
        }
    }
}
