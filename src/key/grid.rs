//! Values on a coarse grid of cells over the frame: filled in where nothing was seen, and read along a row.

use crate::refine::{mix, place};
use crate::simd::nearest;
use rayon::prelude::*;
use std::ops::Range;

/// What one cell holds: as many numbers as somebody wants.
pub type Cell<const N: usize> = [f32; N];

/// Weight of the coarser mean against a cell that was seen whole.
const COARSER: f32 = 0.02;

/// A grid of cells, each `side` samples a side; the last column and row may stand over the frame.
#[derive(Clone, Debug, Default)]
pub struct Grid<const N: usize> {
    /// Cells in a row, and rows.
    pub width: usize,
    /// See `width`.
    pub height: usize,
    /// The cells, row by row.
    pub cells: Vec<Cell<N>>,
}

impl<const N: usize> Grid<N> {
    /// A grid of cells that hold `value`.
    pub fn new(width: usize, height: usize, value: Cell<N>) -> Self {
        Self { width, height, cells: vec![value; width * height] }
    }

    /// Where a cell is weighted less than 1, it takes the rest from its surroundings, from near by where there is
    /// enough and from ever farther off where there is not (pull and push: Gortler, Grzeszczuk, Szeliski & Cohen, "The
    /// Lumigraph", SIGGRAPH 1996, §3.4). With no weight at all the grid is left as it is.
    pub fn fill(&mut self, weights: &[f32]) {
        if weights.iter().all(|w| *w <= 0.0) {
            return;
        }
        let sums = self.cells.iter().zip(weights).map(|(c, &w)| (c.map(|v| v * w), w)).collect();
        let mut levels: Vec<Level<N>> = vec![Level { width: self.width, height: self.height, sums }];
        while let Some(last) = levels.last().filter(|l| l.width > 1 || l.height > 1) {
            levels.push(last.halved());
        }
        let mut coarse: Option<Grid<N>> = None;
        let mut row = Vec::new();
        for level in levels.iter().rev() {
            let mut fine = Grid::new(level.width, level.height, [0.0; N]);
            let rows = fine.cells.chunks_exact_mut(level.width).zip(level.sums.chunks_exact(level.width));
            for (y, (out, sums)) in rows.enumerate() {
                if let Some(coarse) = &coarse {
                    coarse.doubled_row(y, &mut row, out);
                    for (out, (sum, weight)) in out.iter_mut().zip(sums) {
                        for (out, sum) in out.iter_mut().zip(sum) {
                            *out = (sum + COARSER * *out) / (weight + COARSER);
                        }
                    }
                } else {
                    for (out, (sum, weight)) in out.iter_mut().zip(sums) {
                        *out = sum.map(|v| v / weight.max(1e-6));
                    }
                }
            }
            coarse = Some(fine);
        }
        if let Some(filled) = coarse {
            self.cells = filled.cells;
        }
    }

    /// Row `y` of the grid of twice the resolution, bilinear. `row` is scratch.
    fn doubled_row(&self, y: usize, row: &mut Vec<f32>, out: &mut [Cell<N>]) {
        let (top, bottom, f) = between(y, 2, self.height);
        row.resize(self.width * N, 0.0);
        mix(self.row(top).as_flattened(), self.row(bottom).as_flattened(), f, row);
        let (row, _) = row.as_chunks::<N>();
        for (x, out) in out.iter_mut().enumerate() {
            // Three parts of four are the cell's that it lies in.
            let (near, far) =
                (x / 2, if x % 2 == 0 { (x / 2).saturating_sub(1) } else { (x / 2 + 1).min(self.width - 1) });
            for (out, (near, far)) in out.iter_mut().zip(row[near].iter().zip(&row[far])) {
                *out = 0.75 * near + 0.25 * far;
            }
        }
    }

    fn row(&self, y: usize) -> &[Cell<N>] {
        &self.cells[y * self.width..][..self.width]
    }

    /// Each cell is true where it and all that touch it are.
    pub fn all_around(&self, marked: &[bool]) -> Vec<bool> {
        around(marked, self.width, |a, b| a & b)
    }
}

/// Each cell is true where it or one that touches it is.
pub fn any_around(marked: &[bool], width: usize) -> Vec<bool> {
    around(marked, width, |a, b| a | b)
}

fn around(marked: &[bool], width: usize, both: impl Fn(bool, bool) -> bool) -> Vec<bool> {
    let add = |to: &mut [bool], from: &[bool]| to.iter_mut().zip(from).for_each(|(t, f)| *t = both(*t, *f));
    let mut across = marked.to_vec();
    for (to, from) in across.chunks_exact_mut(width).zip(marked.chunks_exact(width)) {
        add(&mut to[1..], from);
        add(to, &from[1..]);
    }
    let mut out = across.clone();
    add(&mut out[width..], &across);
    add(&mut out, &across[width..]);
    out
}

/// The two rows of `height`, `side` samples each, between whose middles sample `y` lies, and how far it is to the second.
fn between(y: usize, side: usize, height: usize) -> (usize, usize, f32) {
    let (top, f) = place(y, (height * side) as f32, height);
    (top, (top + 1).min(height - 1), f)
}

/// Of a cell the value in its middle, what it differs by from the cell before, and from there to the next.
pub type Slopes<const N: usize> = [Cell<N>; 3];

/// A grid to be read along rows of samples.
#[derive(Debug)]
pub struct Sloped<const N: usize> {
    width: usize,
    height: usize,
    cells: Vec<Slopes<N>>,
}

impl<const N: usize> Sloped<N> {
    /// Of a grid.
    pub fn new(grid: &Grid<N>) -> Self {
        let slopes = |row: &[Cell<N>], x: usize| {
            // The grid's ends go on beyond it.
            let (left, here, right) = (&row[x.saturating_sub(1)], &row[x], &row[(x + 1).min(row.len() - 1)]);
            [*here, std::array::from_fn(|k| here[k] - left[k]), std::array::from_fn(|k| right[k] - here[k])]
        };
        let mut cells = vec![[[0.0; N]; 3]; grid.cells.len()];
        let rows = cells.par_chunks_mut(grid.width).zip(grid.cells.par_chunks(grid.width));
        rows.with_min_len(8)
            .for_each(|(out, row)| out.iter_mut().enumerate().for_each(|(x, out)| *out = slopes(row, x)));
        Self { width: grid.width, height: grid.height, cells }
    }

    /// The cells `cells` along row `y` of samples, a cell being `side` of them a side.
    pub fn line(&self, y: usize, side: usize, cells: &Range<usize>, out: &mut Vec<Slopes<N>>) {
        let (top, bottom, f) = between(y, side, self.height);
        let row = |y: usize| self.cells[y * self.width..][cells.clone()].as_flattened().as_flattened();
        out.resize(cells.len(), [[0.0; N]; 3]);
        mix(row(top), row(bottom), f, out.as_flattened_mut().as_flattened_mut());
    }
}

/// Samples that kernels work on side by side, where a cell has as many.
pub const LANES: usize = 8;

/// How far the samples of a cell lie before its middle and beyond it, of a cell: values run linearly from middle to middle.
#[derive(Debug)]
pub struct Ramps {
    before: Vec<f32>,
    beyond: Vec<f32>,
}

impl Ramps {
    /// Of cells of `side` samples a side.
    pub fn new(side: usize) -> Self {
        let at = (0..side).map(|i| (i as f32 + 0.5) / side as f32 - 0.5);
        Self { before: at.clone().map(|t| t.min(0.0)).collect(), beyond: at.map(|t| t.max(0.0)).collect() }
    }

    /// Samples in a row of a cell.
    #[inline(always)]
    pub fn side(&self) -> usize {
        self.before.len()
    }

    /// The ramps, `L` samples by `L`.
    #[inline(always)]
    pub fn lanes<const L: usize>(&self) -> impl Iterator<Item = Ramp<'_, L>> {
        self.before.as_chunks().0.iter().zip(self.beyond.as_chunks().0)
    }
}

/// A part of [`Ramps`].
pub type Ramp<'a, const L: usize> = (&'a [f32; L], &'a [f32; L]);

/// Value `k` of a cell of a line, at some of its samples.
#[inline(always)]
pub fn along<const N: usize, const L: usize>(cell: &Slopes<N>, k: usize, ramp: Ramp<'_, L>) -> [f32; L] {
    let [here, before, beyond] = cell;
    let mut out = [0.0; L];
    for (i, out) in out.iter_mut().enumerate() {
        *out = here[k] + before[k] * ramp.0[i] + beyond[k] * ramp.1[i];
    }
    out
}

/// Samples as numbers.
#[inline(always)]
pub fn numbers<const L: usize>(bytes: &[u8; L]) -> [f32; L] {
    let mut out = [0.0; L];
    for i in 0..L {
        out[i] = f32::from(bytes[i]);
    }
    out
}

/// Writes numbers of 0..255, rounded; what is outside is cut off.
#[inline(always)]
pub fn put<const L: usize>(values: [f32; L], out: &mut [u8; L]) {
    for i in 0..L {
        out[i] = nearest(values[i].clamp(0.0, 255.0)) as u8;
    }
}

/// The first `n` values of `v`, which is made longer where it is too short.
pub fn room<T: Copy + Default>(v: &mut Vec<T>, n: usize) -> &mut [T] {
    if v.len() < n {
        v.resize(n, T::default());
    }
    &mut v[..n]
}

struct Level<const N: usize> {
    width: usize,
    height: usize,
    /// Values times weights, and weights up to 1.
    sums: Vec<(Cell<N>, f32)>,
}

impl<const N: usize> Level<N> {
    fn halved(&self) -> Self {
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let sums = (0..width * height)
            .map(|i| {
                let (x, y) = (i % width * 2, i / width * 2);
                let mut sum = ([0.0; N], 0.0);
                for y in y..(y + 2).min(self.height) {
                    for x in x..(x + 2).min(self.width) {
                        let (value, weight) = &self.sums[y * self.width + x];
                        sum.0.iter_mut().zip(value).for_each(|(s, v)| *s += v);
                        sum.1 += weight;
                    }
                }
                // What was seen whole is no surer for being large.
                let scale = 1.0 / sum.1.max(1.0);
                (sum.0.map(|v| v * scale), sum.1 * scale)
            })
            .collect();
        Level { width, height, sums }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(width: usize, height: usize) -> Grid<3> {
        let value = |i: usize, k: usize| ((i * 7919 + k * 31) % 101) as f32;
        let cells = (0..width * height).map(|i| std::array::from_fn(|k| value(i, k))).collect();
        Grid { width, height, cells }
    }

    /// Between the middles of cells of `side` samples, bilinear.
    fn between(grid: &Grid<3>, x: f32, y: f32, side: usize) -> Cell<3> {
        let place = |at: f32, n: usize| {
            let v = ((at + 0.5) / side as f32 - 0.5).clamp(0.0, (n - 1) as f32);
            (v as usize, (v as usize + 1).min(n - 1), v.fract())
        };
        let ((l, r, fx), (t, b, fy)) = (place(x, grid.width), place(y, grid.height));
        let cell = |x: usize, y: usize| &grid.cells[y * grid.width + x];
        std::array::from_fn(|k| {
            let line = |y: usize| cell(l, y)[k] + (cell(r, y)[k] - cell(l, y)[k]) * fx;
            line(t) + (line(b) - line(t)) * fy
        })
    }

    #[test]
    fn a_grid_is_read_between_its_cells() {
        for (width, height) in [(1, 1), (2, 1), (1, 3), (7, 5), (16, 9)] {
            let grid = grid(width, height);
            let mut out = vec![[0.0; 3]; 2 * width];
            for y in 0..2 * height {
                grid.doubled_row(y, &mut Vec::new(), &mut out);
                for (x, got) in out.iter().enumerate() {
                    let want = between(&grid, x as f32, y as f32, 2);
                    assert!(
                        got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-3),
                        "{width}x{height} {x},{y}"
                    );
                }
            }
            for side in [8, 16] {
                for (from, to) in
                    [(0, width), (width / 2, width), (0, width.div_ceil(2)), (width / 3, width.div_ceil(2))]
                {
                    let mut line = Vec::new();
                    for y in (0..side * height).step_by(3) {
                        Sloped::new(&grid).line(y, side, &(from..to), &mut line);
                        assert_eq!(line.len(), to - from);
                        for (i, [here, before, beyond]) in line.iter().enumerate() {
                            let middle = (from + i) as f32 * side as f32 + 0.5 * (side - 1) as f32;
                            let at = |x: f32| between(&grid, x, y as f32, side);
                            let (left, want) = (at(middle - side as f32), at(middle));
                            let right = at(middle + side as f32);
                            for k in 0..3 {
                                let off = (here[k] - want[k]).abs()
                                    + (here[k] - before[k] - left[k]).abs()
                                    + (here[k] + beyond[k] - right[k]).abs();
                                assert!(off < 1e-2, "{width}x{height} {from}..{to} {i}: {off}");
                            }
                        }
                    }
                }
            }
        }
    }
}
