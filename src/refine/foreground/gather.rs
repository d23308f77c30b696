//! What is seen of foreground and background in each cell of the finest level.

use rayon::prelude::*;

use super::{
    super::{blocks::runs, with_local},
    Foreground, Ground,
};
use crate::frame::{Component, Frame};
use crate::simd::multiversion;

impl Foreground {
    /// Means over the finest cells.
    pub(super) fn gather(&mut self, frame: &Frame<'_>, alpha: &[u8]) {
        let (side, need, band) = (self.side, &self.need, &self.band);
        let layout = frame.format.layout();
        let cells = &mut self.levels[0];
        let grid_width = cells.grid_width;
        let [front, back] = &mut cells.grounds;
        rows(front, grid_width).zip(rows(back, grid_width)).enumerate().for_each(|(cy, (front, back))| {
            let mut grounds = [front, back];
            let (need, band) =
                (&need[cy * grid_width..][..grid_width], &band[cy * grid_width..][..grid_width]);
            grounds.iter_mut().flatten().for_each(|row| row.fill(0.0));
            for cx in (0..grid_width).filter(|&cx| need[cx] && !band[cx]) {
                let (front, means) = solid(frame, alpha, side, (cx, cy));
                let to = &mut grounds[usize::from(!front)];
                to[0][cx] = 1.0;
                for (to, mean) in to[1..].iter_mut().zip(means).take(layout.colors) {
                    to[cx] = mean;
                }
            }
            with_local(|l| {
                for run in runs(band) {
                    mixed(frame, alpha, side, (cy, run), &mut grounds, &mut l.gather);
                }
            });
        });
    }
}

/// The rows of foreground or background: of its weights, and of its colours.
fn rows(ground: &mut Ground, grid_width: usize) -> impl IndexedParallelIterator<Item = [&mut [f32]; 4]> {
    let Ground { weight, color: [a, b, c] } = ground;
    let colors =
        a.par_chunks_mut(grid_width).zip(b.par_chunks_mut(grid_width)).zip(c.par_chunks_mut(grid_width));
    weight.par_chunks_mut(grid_width).zip(colors).map(|(weight, ((a, b), c))| [weight, a, b, c])
}

/// Of a cell of one piece, whether that is foreground, and its colours; four of its pixels will do.
fn solid(frame: &Frame<'_>, alpha: &[u8], side: usize, (cx, cy): (usize, usize)) -> (bool, [f32; 3]) {
    let (w, h) = (frame.width, frame.height);
    let (x0, y0, step) = (cx * side, cy * side, (side / 2).max(1));
    let layout = frame.format.layout();
    let means = [0, 1, 2].map(|k| {
        let c = &layout.color[k];
        let (mut sum, mut count) = (0u32, 0u32);
        for y in (y0..(y0 + side).min(h)).step_by(step) {
            for x in (x0..(x0 + side).min(w)).step_by(step) {
                sum += u32::from(sample(frame, c, x, y));
                count += 1;
            }
        }
        sum as f32 / count.max(1) as f32
    });
    (alpha[y0 * w + x0] > 127, means)
}

/// Means over a run of cells of the band, of the weights and of the colours times the weights, every second pixel of
/// large cells both ways.
fn mixed(
    frame: &Frame<'_>,
    alpha: &[u8],
    side: usize,
    (cy, run): (usize, std::ops::Range<usize>),
    grounds: &mut [[&mut [f32]; 4]; 2],
    rows: &mut Gather,
) {
    let (w, h) = (frame.width, frame.height);
    let step = (side / 8).clamp(1, 2);
    let layout = frame.format.layout();
    let shared = layout.color[..layout.colors].iter().any(|c| c.hsub > 0);
    let vsub = layout.color[..layout.colors].iter().map(|c| c.vsub).max().unwrap_or(0);
    let (x0, x1) = (run.start * side, (run.end * side).min(w));
    let n = (x1 - x0).div_ceil(step);
    rows.parts.iter_mut().for_each(|v| v.resize(n, 0.0));
    for v in rows.sums.iter_mut().flatten() {
        v.clear();
        v.resize(n, 0.0);
    }
    let mut count = 0;
    for y in (cy * side..((cy + 1) * side).min(h)).step_by(step) {
        count += 1;
        if shared {
            let top = y >> vsub << vsub;
            let of = |y: usize| &alpha[y.min(h - 1) * w..][x0..x1];
            shared_purity(of(y), of(top), of(top + vsub as usize), step, &mut rows.parts);
        } else {
            purity(&alpha[y * w + x0..y * w + x1], step, &mut rows.parts);
        }
        let [front, back] = &rows.parts;
        let (front_sums, back_sums) = rows.sums.split_at_mut(1);
        let (front_sums, back_sums) = (&mut front_sums[0], &mut back_sums[0]);
        add(front, &mut front_sums[0]);
        add(back, &mut back_sums[0]);
        for (k, c) in layout.color[..layout.colors].iter().enumerate() {
            let from = &frame.planes[c.plane].row(y >> c.vsub)[c.offset + (x0 >> c.hsub) * c.step..];
            let (to, back_to) = (&mut front_sums[k + 1], &mut back_sums[k + 1]);
            // Pixels step by so many bytes, or two of them share a sample.
            match (step * c.step) >> c.hsub {
                1 if step >> c.hsub > 0 => weigh_1(&from[..n], front, back, to, back_to),
                // A row's last sample ends it.
                2 if step >> c.hsub > 0 => weigh_2(&from[..2 * n - 1], front, back, to, back_to),
                stride => {
                    let shared = usize::from(step >> c.hsub == 0);
                    let stride = if shared == 1 { c.step } else { stride };
                    for i in 0..n {
                        // A run begins at an even pixel.
                        let v = f32::from(from[(i >> shared) * stride]);
                        to[i] += front[i] * v;
                        back_to[i] += back[i] * v;
                    }
                }
            }
        }
    }
    let per = side / step;
    for (ground, sums) in grounds.iter_mut().zip(&rows.sums) {
        for (to, sums) in ground.iter_mut().zip(sums) {
            for (to, part) in to[run.clone()].iter_mut().zip(sums.chunks(per)) {
                *to = part.iter().sum::<f32>() / (part.len() * count) as f32;
            }
        }
    }
}

/// Rows of pixels, of foreground and background: their weights; sums of these, and of the colours times them.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    parts: [Vec<f32>; 2],
    sums: [[Vec<f32>; 4]; 2],
}

/// How far a pixel speaks for foreground or background: high powers, since a mix says little about both.
fn purity(alpha: &[u8], step: usize, [front, back]: &mut [Vec<f32>; 2]) {
    if step == 1 { purity_1(alpha, front, back) } else { purity_2(alpha, front, back) }
}

/// Weight of a pixel's own alpha, against that of the least of those that share samples with it.
const SHARED: f32 = 0.01;

/// As [`purity`], for pixels that share samples, two by two: a sample with a hidden pixel in it counts where there is
/// none without, and what is hidden itself never.
fn shared_purity(own: &[u8], top: &[u8], bottom: &[u8], step: usize, [front, back]: &mut [Vec<f32>; 2]) {
    if step == 1 {
        shared_purity_1(own, top, bottom, front, back)
    } else {
        shared_purity_2(own, top, bottom, front, back)
    }
}

#[inline(always)]
fn eighth(v: f32) -> f32 {
    let v = v * v;
    let v = v * v;
    v * v
}

macro_rules! purity {
    ($name:ident, $shared:ident, $step:literal) => {
        multiversion! {
            fn $name(alpha: &[u8], front: &mut [f32], back: &mut [f32]) {
                for ((f, b), a) in front.iter_mut().zip(back).zip(alpha.chunks($step)) {
                    let a = f32::from(a[0]) * (1.0 / 255.0);
                    *f = eighth(a);
                    *b = eighth(1.0 - a);
                }
            }
        }
        multiversion! {
            fn $shared(own: &[u8], top: &[u8], bottom: &[u8], front: &mut [f32], back: &mut [f32]) {
                const PER: usize = 2 / $step;
                let pairs = own.chunks(2).zip(top.chunks(2).zip(bottom.chunks(2)));
                for ((f, b), (own, (t, u))) in front.chunks_mut(PER).zip(back.chunks_mut(PER)).zip(pairs) {
                    let (right, below) = (t[t.len() - 1], u[u.len() - 1]);
                    let least = t[0].min(right).min(u[0].min(below));
                    let most = t[0].max(right).max(u[0].max(below));
                    let (least, most) = (f32::from(least) * (1.0 / 255.0), f32::from(most) * (1.0 / 255.0));
                    for ((f, b), &own) in f.iter_mut().zip(b).zip(own) {
                        let own = f32::from(own) * (1.0 / 255.0);
                        *f = eighth(least) + SHARED * eighth(own);
                        *b = eighth(1.0 - most) + SHARED * eighth(1.0 - own);
                    }
                }
            }
        }
    };
}
purity!(purity_1, shared_purity_1, 1);
purity!(purity_2, shared_purity_2, 2);

macro_rules! weigh {
    ($name:ident, $stride:literal) => {
        multiversion! {
            fn $name(from: &[u8], front: &[f32], back: &[f32], to: &mut [f32], back_to: &mut [f32]) {
                let n = from.len().div_ceil($stride);
                let (front, back, to, back_to) = (&front[..n], &back[..n], &mut to[..n], &mut back_to[..n]);
                for i in 0..n {
                    let v = f32::from(from[i * $stride]);
                    to[i] += front[i] * v;
                    back_to[i] += back[i] * v;
                }
            }
        }
    };
}
weigh!(weigh_1, 1);
weigh!(weigh_2, 2);

multiversion! {
    fn add(from: &[f32], to: &mut [f32]) {
        for (t, &f) in to.iter_mut().zip(from) {
            *t += f;
        }
    }
}

/// The sample of a component under a frame pixel.
#[inline(always)]
fn sample(frame: &Frame<'_>, c: &Component, x: usize, y: usize) -> u8 {
    let plane = &frame.planes[c.plane];
    plane.data[(y >> c.vsub) * plane.stride + c.offset + (x >> c.hsub) * c.step]
}
