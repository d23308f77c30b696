//! Alpha at the matte's edges from what is known to lie behind them: a frame's colour C is a mix αF + (1 − α)B of the
//! remembered background B and the foreground F near by, of which α is the projection of C − B on F − B. How much that
//! is worth against the matte as it was follows from noise, from how far B and F are apart, and from how far C is off
//! the line between them.

use rayon::prelude::*;

use super::distance::{CHROMA_WEIGHT, luma_and_chroma};
use super::memory::Memory;
use super::sums::Sums;
use crate::morphology::{dilate, erode, take_extremes};
use crate::simd::multiversion;

/// Alpha from which on a cell and all around it are foreground.
const FOREGROUND: u8 = 242;
/// Up to this alpha a pixel counts as empty: less is taken away as haze.
const EMPTY: u8 = 8;
/// From this alpha on a pixel counts as full.
const FULL: u8 = 250;
/// Below this alpha a place that may be a shadow gets no more than it had.
const SHADOW: u8 = 128;
/// Blocks of cells within which the foreground's colour is looked for.
const NEAR: usize = 1;
/// The same where there is none so near.
const FAR: usize = 3;
/// The error of a sample's colour in levels, by noise.
const NOISE: f32 = 2.0;
/// The error of the foreground's colour in levels.
const NEAR_ERROR: f32 = 8.0;
/// What of the variance of its first component near by counts for error.
const VARIES: f32 = 0.25;
/// What the distance from the line counts for as error.
const OFF: f32 = 3.0;
/// The variance of the matte's own error where alpha is a half.
const ERROR: f32 = 0.09;
/// What part of it a network leaves: gradients are off by four fifths of what they were (docs/refine.md), and this is a variance.
const CORRECTED: f32 = 0.66;
/// What part of it is left where alpha is 0 or 1.
const SURE: f32 = 0.05;

/// Solves edges; keeps its buffers from frame to frame.
#[derive(Debug, Default)]
pub struct Edge {
    /// By cell: the least and the most alpha in it.
    least: Vec<u8>,
    most: Vec<u8>,
    /// By cell: the least alpha in and beside it, then whether alpha changes there.
    low: Vec<u8>,
    tmp: Vec<u8>,
    sums: Sums,
    /// What is added to alpha, by sample, in 1/64 of its steps.
    change: Vec<i16>,
    /// By cell: not 0 where something is added.
    changes: Vec<u8>,
}

impl Edge {
    /// Solves `alpha`, rows of `width`, which a network may have corrected.
    pub fn solve(&mut self, memory: &Memory, width: usize, corrected: bool, alpha: &mut [u8]) {
        let error = if corrected { CORRECTED * ERROR } else { ERROR };
        let (grid_width, grid_height) = memory.grid();
        let n = grid_width * grid_height;
        let side = 2 * memory.scale;
        for v in [&mut self.least, &mut self.most, &mut self.low, &mut self.tmp] {
            v.resize(n, 0);
        }
        let parts = self.least.par_chunks_mut(grid_width).zip(self.most.par_chunks_mut(grid_width));
        parts.zip(alpha.par_chunks(width * side)).for_each_init(
            Default::default,
            |scratch, ((least, most), rows)| {
                extremes(rows, width, side, least, most, scratch);
            },
        );
        erode(&self.least, grid_width, 1, &mut self.low, &mut self.tmp);
        let low = &self.low;
        self.sums.fill((grid_width, grid_height), |at| low[at] >= FOREGROUND, |at| memory.color(at));
        self.change.resize(4 * n, 0);
        self.changes.resize(n, 0);
        let (least, most, sums) = (&self.least, &self.most, &self.sums);
        let seen = &*alpha;
        let parts = self.change.par_chunks_mut(4 * grid_width).zip(self.changes.par_chunks_mut(grid_width));
        parts.enumerate().for_each(|(y, (change, changes))| {
            change.fill(0);
            for (x, changes) in changes.iter_mut().enumerate() {
                let at = y * grid_width + x;
                let band = most[at] > EMPTY && least[at] < FULL && memory.knows(at);
                let shadow = most[at] < SHADOW && memory.shaded(at);
                let near = || sums.mean(x, y, NEAR).or_else(|| sums.mean(x, y, FAR));
                let Some((near, variance)) = band.then(near).flatten() else {
                    *changes = 0;
                    continue;
                };
                *changes = 1;
                let (near, variance) = (near.map(|v| v / 4.0), variance / 16.0);
                for (row, column) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let (u, v) = (2 * x + column, 2 * y + row);
                    let was = mean(seen, width, memory.scale, u, v);
                    let (now, behind) = memory.sample(v * 2 * grid_width + u);
                    let solved = solve(memory, [now, behind, near], variance, (was, error));
                    let solved = if shadow { solved.min(was) } else { solved };
                    change[row * 2 * grid_width + u] = ((solved - was) * 255.0 * 64.0) as i16;
                }
            }
        });
        // Stretching reaches into the cells beside.
        dilate(&self.changes, grid_width, 1, &mut self.low, &mut self.tmp);
        let (change, near, scale) = (&self.change, &self.low, memory.scale);
        let samples = (2 * grid_width, 2 * grid_height);
        alpha.par_chunks_mut(width * side).zip(near.par_chunks(grid_width)).enumerate().for_each_init(
            Vec::new,
            |scratch, (y, (rows, near))| {
                let mut x = 0;
                while let Some(from) = near[x..].iter().position(|n| *n != 0) {
                    let from = x + from;
                    x = near[from..].iter().position(|n| *n == 0).map_or(grid_width, |to| from + to);
                    for (v, row) in rows.chunks_exact_mut(width).enumerate() {
                        let pixels = &mut row[from * side..(x * side).min(width)];
                        stretch(change, samples, scale, (2 * from, y * side + v), scratch, pixels);
                    }
                }
            },
        );
    }
}

/// Alpha by the colours of the frame, the background and the foreground, which varies by so much, and as it was with its error.
fn solve(
    memory: &Memory,
    [now, behind, near]: [[f32; 3]; 3],
    variance: f32,
    (was, its_error): (f32, f32),
) -> f32 {
    let less = |a: [f32; 3], b: [f32; 3]| {
        let d = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
        let [y, u, v] = if memory.yuv() { d } else { luma_and_chroma(d) };
        [y, CHROMA_WEIGHT * u, CHROMA_WEIGHT * v]
    };
    let dot = |a: [f32; 3], b: [f32; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    let (line, here) = (less(near, behind), less(now, behind));
    let long = dot(line, line).max(1.0);
    let alpha = (dot(here, line) / long).clamp(0.0, 1.0);
    let off = (dot(here, here) - alpha * alpha * long).max(0.0);
    let noise = NOISE * memory.noise();
    let error =
        (noise * noise + was * was * (NEAR_ERROR * NEAR_ERROR + VARIES * variance) + OFF * off) / long;
    let own = its_error * (SURE + (1.0 - SURE) * 4.0 * was * (1.0 - was));
    was + (alpha - was) * own / (own + error)
}

/// The mean of alpha over a sample, 0..1.
fn mean(alpha: &[u8], width: usize, scale: usize, u: usize, v: usize) -> f32 {
    let height = alpha.len() / width;
    let mut sum = 0u32;
    for y in v * scale..(v + 1) * scale {
        let row = &alpha[y.min(height - 1) * width..][..width];
        sum += (u * scale..(u + 1) * scale).map(|x| u32::from(row[x.min(width - 1)])).sum::<u32>();
    }
    sum as f32 / (255 * scale * scale) as f32
}

/// Adds a plane of samples, stretched bilinearly, to a row of pixels that begins with sample `x`, in row `y` of the frame.
fn stretch(
    plane: &[i16],
    (width, height): (usize, usize),
    scale: usize,
    (x, y): (usize, usize),
    scratch: &mut Vec<i32>,
    pixels: &mut [u8],
) {
    // Pixels lie between samples by odd parts of twice the scale.
    let whole = 2 * scale as i32;
    let place = |i: usize| (2 * i as i32 + 1 - scale as i32).max(0);
    let at = place(y);
    let first = ((at / whole) as usize).min(height - 1);
    let part = at % whole;
    let (top, bottom) =
        (&plane[first * width..][..width], &plane[(first + 1).min(height - 1) * width..][..width]);
    // One sample more at each side.
    let count = pixels.len().div_ceil(scale) + 2;
    scratch.clear();
    scratch.extend((0..count).map(|i| {
        let i = (x + i).saturating_sub(1).min(width - 1);
        i32::from(top[i]) * (whole - part) + i32::from(bottom[i]) * part
    }));
    let shift = 6 + 2 * whole.ilog2();
    let round = 1 << (shift - 1);
    if scale == 2 {
        return stretch_2(scratch, shift, pixels);
    }
    for (i, out) in pixels.chunks_mut(scale).enumerate() {
        let [left, middle, right] = [scratch[i], scratch[i + 1], scratch[i + 2]];
        for (j, out) in out.iter_mut().enumerate() {
            let part = 2 * j as i32 + 1 - scale as i32;
            let (beside, part) = if part < 0 { (left, -part) } else { (right, part) };
            *out = add(*out, (middle * (whole - part) + beside * part + round) >> shift);
        }
    }
}

#[inline(always)]
fn add(pixel: u8, more: i32) -> u8 {
    (i32::from(pixel) + more).clamp(0, 255) as u8
}

multiversion! {
    /// Adds samples, one more at each side, to pairs of pixels.
    fn stretch_2(samples: &[i32], shift: u32, pixels: &mut [u8]) {
        let round = 1 << (shift - 1);
        let n = pixels.len() / 2;
        let (left, middle, right) = (&samples[..n], &samples[1..n + 1], &samples[2..n + 2]);
        let (pairs, last) = pixels.split_at_mut(2 * n);
        for (i, pair) in pairs.chunks_exact_mut(2).enumerate() {
            pair[0] = add(pair[0], (3 * middle[i] + left[i] + round) >> shift);
            pair[1] = add(pair[1], (3 * middle[i] + right[i] + round) >> shift);
        }
        // An odd width.
        if let Some(last) = last.first_mut() {
            *last = add(*last, (3 * samples[n + 1] + samples[n] + round) >> shift);
        }
    }
}

/// The least and the most of blocks of `side` columns of some rows.
fn extremes(
    rows: &[u8],
    width: usize,
    side: usize,
    least: &mut [u8],
    most: &mut [u8],
    scratch: &mut [Vec<u8>; 3],
) {
    let [low, high, other] = scratch;
    low.clear();
    low.extend_from_slice(&rows[..width]);
    high.clear();
    high.extend_from_slice(&rows[..width]);
    for row in rows[width..].chunks_exact(width) {
        take_extremes(row, low, high);
    }
    // The last block may be narrower.
    low.resize(least.len() * side, u8::MAX);
    high.resize(least.len() * side, 0);
    while low.len() > least.len() {
        least_of_pairs(low, other);
        std::mem::swap(low, other);
        most_of_pairs(high, other);
        std::mem::swap(high, other);
    }
    least.copy_from_slice(low);
    most.copy_from_slice(high);
}

macro_rules! of_pairs {
    ($name:ident, $pick:path) => {
        multiversion! {
            fn $name(from: &[u8], to: &mut Vec<u8>) {
                to.resize(from.len() / 2, 0);
                for (to, pair) in to.iter_mut().zip(from.chunks_exact(2)) {
                    *to = $pick(pair[0], pair[1]);
                }
            }
        }
    };
}
of_pairs!(least_of_pairs, Ord::min);
of_pairs!(most_of_pairs, Ord::max);
