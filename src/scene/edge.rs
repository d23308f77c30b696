//! Alpha at the matte's edges from what is known to lie behind them: a frame's colour C is a mix αF + (1 − α)B of the
//! remembered background B and the foreground F near by, of which α is the projection of C − B on F − B. How much that
//! is worth against the matte as it was follows from noise, from how far B and F are apart, and from how far C is off
//! the line between them.

use rayon::prelude::*;

use super::distance::{CHROMA_WEIGHT, luma_and_chroma};
use super::memory::{KNOWN, Memory, STEPS};
use super::sums::{BLOCK, Sums};
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
    /// Cells across and down.
    grid: (usize, usize),
    /// By cell: the least and the most alpha in it.
    least: Vec<u8>,
    most: Vec<u8>,
    /// By cell: the least alpha in and beside it, then whether alpha changes there.
    low: Vec<u8>,
    tmp: Vec<u8>,
    /// By block of cells: not 0 where edges are, and near them.
    blocks: Vec<u8>,
    wanted: Vec<u8>,
    sums: Sums,
    /// What is added to alpha, by sample, in 1/64 of its steps.
    change: Vec<i16>,
    /// By cell: 1 where something is added, else 0.
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
        if self.grid != (grid_width, grid_height) {
            self.grid = (grid_width, grid_height);
            self.change.clear();
            self.changes.clear();
        }
        self.change.resize(4 * n, 0);
        self.changes.resize(n, 0);
        // What was added in the frame before goes.
        let parts = self.change.par_chunks_mut(4 * grid_width).zip(self.changes.par_chunks_mut(grid_width));
        let (least, most) = (&self.least, &self.most);
        parts.enumerate().for_each(|(y, (change, changes))| {
            if changes.contains(&1) {
                change.fill(0);
            }
            let row = y * grid_width..(y + 1) * grid_width;
            edges(&least[row.clone()], &most[row.clone()], &memory.seen()[row], changes);
        });
        // Blocks with edges, and those whose colours they ask for.
        let blocks_wide = grid_width.div_ceil(BLOCK);
        self.blocks.clear();
        let (mut row, mut pairs) = (Vec::new(), Vec::new());
        for rows in self.changes.chunks(BLOCK * grid_width) {
            let (top, bottom) = rows.split_at(grid_width);
            row.clear();
            row.extend_from_slice(top);
            row.iter_mut().zip(bottom).for_each(|(a, b)| *a |= b);
            row.resize(BLOCK * blocks_wide, 0);
            most_of_pairs(&row, &mut pairs);
            self.blocks.extend_from_slice(&pairs);
        }
        if !self.blocks.contains(&1) {
            return;
        }
        self.wanted.resize(self.blocks.len(), 0);
        dilate(&self.blocks, blocks_wide, FAR, &mut self.wanted, &mut self.tmp[..self.blocks.len()]);
        erode(&self.least, grid_width, 1, &mut self.low, &mut self.tmp);
        let low = &self.low;
        let counts = |at: usize| low[at] >= FOREGROUND;
        self.sums.fill((grid_width, grid_height), &self.wanted, counts, |at| memory.color(at));
        let sums = &self.sums;
        let seen = (&*alpha, width, alpha.len() / width);
        let parts = self.change.par_chunks_mut(BLOCK * 4 * grid_width);
        let parts = parts.zip(self.changes.par_chunks_mut(BLOCK * grid_width));
        parts.zip(self.blocks.par_chunks(blocks_wide)).enumerate().for_each(
            |(v, ((change, changes), blocks))| {
                let mut block = Block::default();
                let mut u = 0;
                while let Some(next) = skip(blocks, u, 0) {
                    u = next + 1;
                    let u = next;
                    let cells = changes.chunks_exact_mut(grid_width).map(|row| {
                        let end = ((u + 1) * BLOCK).min(grid_width);
                        &mut row[u * BLOCK..end]
                    });
                    let Some((near, variance)) = sums.mean(u, v, NEAR).or_else(|| sums.mean(u, v, FAR))
                    else {
                        cells.for_each(|cells| cells.fill(0));
                        continue;
                    };
                    block.fill(memory, seen, (u, v));
                    let levels = (memory.noise(), error, memory.yuv());
                    // Planes that are not there are 0 in the block.
                    let near = [0, 1, 2].map(|k| if k < memory.planes() { near[k] / 4.0 } else { 0.0 });
                    solve(&mut block, near, variance / 16.0, levels);
                    for (y, cells) in cells.enumerate() {
                        for (x, _) in cells.iter().enumerate().filter(|c| *c.1 != 0) {
                            let (row, column) = (v * BLOCK + y, u * BLOCK + x);
                            let at = row * grid_width + column;
                            let shadow = most[at] < SHADOW && memory.shaded(at);
                            for (down, across) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                                let from = (2 * y + down) * SIDE + 2 * x + across;
                                let more = block.alpha[from] - block.was[from];
                                let more = if shadow { more.min(0.0) } else { more };
                                let to = (2 * y + down) * 2 * grid_width + 2 * column + across;
                                change[to] = (more * 255.0 * 64.0) as i16;
                            }
                        }
                    }
                }
            },
        );
        // Stretching reaches into the cells beside.
        dilate(&self.changes, grid_width, 1, &mut self.low, &mut self.tmp);
        let (change, near, scale) = (&self.change, &self.low, memory.scale);
        let samples = (2 * grid_width, 2 * grid_height);
        alpha.par_chunks_mut(width * side).zip(near.par_chunks(grid_width)).enumerate().for_each_init(
            Vec::new,
            |scratch, (y, (rows, near))| {
                let mut x = 0;
                while let Some(from) = skip(near, x, 0) {
                    x = skip(near, from, 1).unwrap_or(grid_width);
                    for (v, row) in rows.chunks_exact_mut(width).enumerate() {
                        let pixels = &mut row[from * side..(x * side).min(width)];
                        stretch(change, samples, scale, (2 * from, y * side + v), scratch, pixels);
                    }
                }
            },
        );
    }
}

/// Where from `from` on something else than `value` is.
fn skip(row: &[u8], from: usize, value: u8) -> Option<usize> {
    let rest = row.get(from..)?;
    // Whole vectors at once.
    let equal = rest.chunks_exact(32).take_while(|c| **c == [value; 32]).count() * 32;
    rest[equal..].iter().position(|v| *v != value).map(|n| from + equal + n)
}

/// Samples along a side of a block.
const SIDE: usize = 2 * BLOCK;
/// Samples in a block.
const SAMPLES: usize = SIDE * SIDE;

/// The samples of a block of cells, row by row; those beyond the frame are its last ones.
#[derive(Default)]
struct Block {
    /// The colours of the frame, in levels, and of the background.
    now: [[f32; SAMPLES]; 3],
    behind: [[f32; SAMPLES]; 3],
    /// Alpha as it was, and solved, 0..1.
    was: [f32; SAMPLES],
    alpha: [f32; SAMPLES],
}

impl Block {
    /// Takes in the block `u, v` of the grid; `seen` is alpha, its width and its height.
    fn fill(&mut self, memory: &Memory, seen: (&[u8], usize, usize), (u, v): (usize, usize)) {
        let (grid_width, grid_height) = memory.grid();
        let (width, height) = (2 * grid_width, 2 * grid_height);
        let column = |i: usize| (u * SIDE + i).min(width - 1);
        for (line, was) in self.was.chunks_exact_mut(SIDE).enumerate() {
            let row = (v * SIDE + line).min(height - 1);
            for (i, was) in was.iter_mut().enumerate() {
                *was = mean(seen, memory.scale, column(i), row);
            }
            let to = line * SIDE..(line + 1) * SIDE;
            for (k, (now, behind)) in
                self.now.iter_mut().zip(&mut self.behind).enumerate().take(memory.planes())
            {
                let (now, behind) = (&mut now[to.clone()], &mut behind[to.clone()]);
                let (from, mean) = memory.row(k, row);
                if let Some((from, mean)) =
                    from.get(u * SIDE..(u + 1) * SIDE).zip(mean.get(u * SIDE..(u + 1) * SIDE))
                {
                    now.iter_mut().zip(from).for_each(|(o, v)| *o = f32::from(*v));
                    behind.iter_mut().zip(mean).for_each(|(o, v)| *o = f32::from(*v) / f32::from(STEPS));
                } else {
                    for i in 0..SIDE {
                        now[i] = f32::from(from[column(i)]);
                        behind[i] = f32::from(mean[column(i)]) / f32::from(STEPS);
                    }
                }
            }
        }
    }
}

multiversion! {
    /// Alpha by the colours of the frame, the background and the foreground `near`, which varies by so much, and as it was with its
    /// error; `levels`: how much more than usual noise makes, that error, and whether colours are luma and chroma.
    fn solve(block: &mut Block, near: [f32; 3], variance: f32, levels: (f32, f32, bool)) {
        let (noise, its_error, yuv) = levels;
        let noise = NOISE * noise;
        let Block { now, behind, was, alpha } = block;
        for n in 0..SAMPLES {
            let less = |a: [f32; 3], b: [f32; 3]| {
                let d = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
                let [y, u, v] = if yuv { d } else { luma_and_chroma(d) };
                [y, CHROMA_WEIGHT * u, CHROMA_WEIGHT * v]
            };
            let dot = |a: [f32; 3], b: [f32; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
            let (now, behind) = ([0, 1, 2].map(|k| now[k][n]), [0, 1, 2].map(|k| behind[k][n]));
            let (line, here) = (less(near, behind), less(now, behind));
            let long = dot(line, line).max(1.0);
            let solved = (dot(here, line) / long).clamp(0.0, 1.0);
            let off = (dot(here, here) - solved * solved * long).max(0.0);
            let was = was[n];
            let error =
                (noise * noise + was * was * (NEAR_ERROR * NEAR_ERROR + VARIES * variance) + OFF * off) / long;
            let own = its_error * (SURE + (1.0 - SURE) * 4.0 * was * (1.0 - was));
            alpha[n] = was + (solved - was) * own / (own + error);
        }
    }
}

/// The mean of alpha, of that width and height, over a sample, 0..1.
fn mean((alpha, width, height): (&[u8], usize, usize), scale: usize, u: usize, v: usize) -> f32 {
    let mut sum = 0u32;
    if (u + 1) * scale <= width && (v + 1) * scale <= height {
        for y in v * scale..(v + 1) * scale {
            sum += alpha[y * width + u * scale..][..scale].iter().map(|&a| u32::from(a)).sum::<u32>();
        }
    } else {
        for y in v * scale..(v + 1) * scale {
            let row = &alpha[y.min(height - 1) * width..][..width];
            sum += (u * scale..(u + 1) * scale).map(|x| u32::from(row[x.min(width - 1)])).sum::<u32>();
        }
    }
    sum as f32 / (255 * scale * scale) as f32
}

multiversion! {
    /// Where the least and the most alpha of a cell are those of an edge, and its background has been seen often enough.
    fn edges(least: &[u8], most: &[u8], seen: &[u8], out: &mut [u8]) {
        for (((o, &least), &most), &seen) in out.iter_mut().zip(least).zip(most).zip(seen) {
            *o = u8::from((most > EMPTY) & (least < FULL) & (seen >= KNOWN));
        }
    }
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
