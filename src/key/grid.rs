//! Values on a coarse grid of cells over the frame: filled in where nothing was seen, and read along a row.

use crate::refine::{mix, place};
use crate::simd::multiversion;

/// What one cell holds: as many numbers as somebody wants.
pub type Cell<const N: usize> = [f32; N];

/// Weight of the coarser mean against a cell that was seen whole.
const COARSER: f32 = 0.02;

/// A grid of cells, each `side` samples a side; the last column and row may stand over the frame.
#[derive(Clone, Debug, Default)]
pub struct Grid<const N: usize> {
    /// Cells in a row, and rows.
    pub wide: usize,
    /// See `wide`.
    pub high: usize,
    /// The cells, row by row.
    pub cells: Vec<Cell<N>>,
}

impl<const N: usize> Grid<N> {
    /// A grid of cells that hold `value`.
    pub fn new(wide: usize, high: usize, value: Cell<N>) -> Self {
        Self { wide, high, cells: vec![value; wide * high] }
    }

    /// Where a cell is weighted less than 1, it takes the rest from its surroundings, from near by where there is
    /// enough and from ever farther off where there is not (pull and push: Gortler, Grzeszczuk, Szeliski & Cohen, "The
    /// Lumigraph", SIGGRAPH 1996, §3.4). With no weight at all the grid is left as it is.
    pub fn fill(&mut self, weights: &[f32]) {
        if weights.iter().all(|w| *w <= 0.0) {
            return;
        }
        let sums = self.cells.iter().zip(weights).map(|(c, &w)| (c.map(|v| v * w), w)).collect();
        let mut levels: Vec<Level<N>> = vec![Level { wide: self.wide, high: self.high, sums }];
        while let Some(last) = levels.last().filter(|l| l.wide > 1 || l.high > 1) {
            levels.push(last.halved());
        }
        let mut coarse: Option<Grid<N>> = None;
        let mut row = Vec::new();
        for level in levels.iter().rev() {
            let mut fine = Grid::new(level.wide, level.high, [0.0; N]);
            let rows = fine.cells.chunks_exact_mut(level.wide).zip(level.sums.chunks_exact(level.wide));
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
        let (top, bottom, f) = self.between(y, 2);
        row.resize(self.wide * N, 0.0);
        mix(self.row(top).as_flattened(), self.row(bottom).as_flattened(), f, row);
        let (row, _) = row.as_chunks::<N>();
        for (x, out) in out.iter_mut().enumerate() {
            // Three parts of four are the cell's that it lies in.
            let (near, far) =
                (x / 2, if x % 2 == 0 { (x / 2).saturating_sub(1) } else { (x / 2 + 1).min(self.wide - 1) });
            for (out, (near, far)) in out.iter_mut().zip(row[near].iter().zip(&row[far])) {
                *out = 0.75 * near + 0.25 * far;
            }
        }
    }

    /// The two rows, `side` samples each, between whose middles sample `y` lies, and how far it is to the second.
    fn between(&self, y: usize, side: usize) -> (usize, usize, f32) {
        let (top, f) = place(y, (self.high * side) as f32, self.high);
        (top, (top + 1).min(self.high - 1), f)
    }

    fn row(&self, y: usize) -> &[Cell<N>] {
        &self.cells[y * self.wide..][..self.wide]
    }

    /// The grid along row `y` of samples, a cell being `side` of them a side: what [`spread`] needs for samples in the
    /// cells `from..to`, one line a number.
    pub fn line(&self, y: usize, side: usize, (from, to): (usize, usize), out: &mut [Vec<f32>; N]) {
        let (top, bottom, f) = self.between(y, side);
        // The grid's ends go on beyond it.
        let (first, last) = (from.saturating_sub(1), (to + 1).min(self.wide));
        let mut row = vec![0.0; (last - first) * N];
        let [top, bottom] = [top, bottom].map(|y| self.row(y)[first..last].as_flattened());
        mix(top, bottom, f, &mut row);
        let (row, _) = row.as_chunks::<N>();
        for (k, out) in out.iter_mut().enumerate() {
            out.clear();
            out.extend((from == 0).then_some(row[0][k]));
            out.extend(row.iter().map(|cell| cell[k]));
            out.resize(to - from + 2, row[row.len() - 1][k]);
        }
    }

    /// Each cell is true where it and all that touch it are.
    pub fn all_around(&self, marked: &[bool]) -> Vec<bool> {
        around(marked, self.wide, self.high, true)
    }
}

/// Each cell is true where it or one that touches it is.
pub fn any_around(marked: &[bool], wide: usize, high: usize) -> Vec<bool> {
    around(marked, wide, high, false)
}

fn around(marked: &[bool], wide: usize, high: usize, all: bool) -> Vec<bool> {
    let near = |i: usize, n: usize| i.saturating_sub(1)..(i + 2).min(n);
    (0..wide * high)
        .map(|i| {
            let (x, y) = (i % wide, i / wide);
            let mut cells = near(y, high).flat_map(|y| near(x, wide).map(move |x| marked[y * wide + x]));
            if all { cells.all(|m| m) } else { cells.any(|m| m) }
        })
        .collect()
}

multiversion! {
    /// Spreads a line over the samples of its cells, `side` each, linear between the cells' middles. `line` has one value more at
    /// both ends than the cells that `out` covers; `out` may end early.
    pub fn spread(line: &[f32], side: usize, out: &mut [f32]) {
        match side {
            8 => spread_by::<8>(line, out),
            16 => spread_by::<16>(line, out),
            32 => spread_by::<32>(line, out),
            _ => spread_part(line, side, out),
        }
    }
}

#[inline(always)]
fn spread_by<const SIDE: usize>(line: &[f32], out: &mut [f32]) {
    let step = 1.0 / SIDE as f32;
    let whole = out.len() / SIDE;
    for (x, out) in out.chunks_exact_mut(SIDE).enumerate() {
        let (left, right) = (line[x + 1] - line[x], line[x + 2] - line[x + 1]);
        for (i, o) in out.iter_mut().enumerate().take(SIDE) {
            let t = (i as f32 + 0.5) * step - 0.5;
            *o = line[x + 1] + if i < SIDE / 2 { left } else { right } * t;
        }
    }
    spread_part(&line[whole..], SIDE, &mut out[whole * SIDE..]);
}

#[inline(always)]
fn spread_part(line: &[f32], side: usize, out: &mut [f32]) {
    let step = 1.0 / side as f32;
    for (x, out) in out.chunks_mut(side).enumerate() {
        let (left, right) = (line[x + 1] - line[x], line[x + 2] - line[x + 1]);
        for (i, o) in out.iter_mut().enumerate() {
            let t = (i as f32 + 0.5) * step - 0.5;
            *o = line[x + 1] + if i < side / 2 { left } else { right } * t;
        }
    }
}

struct Level<const N: usize> {
    wide: usize,
    high: usize,
    /// Values times weights, and weights up to 1.
    sums: Vec<(Cell<N>, f32)>,
}

impl<const N: usize> Level<N> {
    fn halved(&self) -> Self {
        let (wide, high) = (self.wide.div_ceil(2), self.high.div_ceil(2));
        let sums = (0..wide * high)
            .map(|i| {
                let (x, y) = (i % wide * 2, i / wide * 2);
                let mut sum = ([0.0; N], 0.0);
                for y in y..(y + 2).min(self.high) {
                    for x in x..(x + 2).min(self.wide) {
                        let (value, weight) = &self.sums[y * self.wide + x];
                        sum.0.iter_mut().zip(value).for_each(|(s, v)| *s += v);
                        sum.1 += weight;
                    }
                }
                // What was seen whole is no surer for being large.
                let scale = 1.0 / sum.1.max(1.0);
                (sum.0.map(|v| v * scale), sum.1 * scale)
            })
            .collect();
        Level { wide, high, sums }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(wide: usize, high: usize) -> Grid<3> {
        let value = |i: usize, k: usize| ((i * 7919 + k * 31) % 101) as f32;
        let cells = (0..wide * high).map(|i| std::array::from_fn(|k| value(i, k))).collect();
        Grid { wide, high, cells }
    }

    /// Between the middles of cells of `side` samples, bilinear.
    fn between(grid: &Grid<3>, x: f32, y: f32, side: usize) -> Cell<3> {
        let place = |at: f32, n: usize| {
            let v = ((at + 0.5) / side as f32 - 0.5).clamp(0.0, (n - 1) as f32);
            (v as usize, (v as usize + 1).min(n - 1), v.fract())
        };
        let ((l, r, fx), (t, b, fy)) = (place(x, grid.wide), place(y, grid.high));
        let cell = |x: usize, y: usize| &grid.cells[y * grid.wide + x];
        std::array::from_fn(|k| {
            let line = |y: usize| cell(l, y)[k] + (cell(r, y)[k] - cell(l, y)[k]) * fx;
            line(t) + (line(b) - line(t)) * fy
        })
    }

    #[test]
    fn a_grid_is_read_between_its_cells() {
        for (wide, high) in [(1, 1), (2, 1), (1, 3), (7, 5), (16, 9)] {
            let grid = grid(wide, high);
            let mut out = vec![[0.0; 3]; 2 * wide];
            for y in 0..2 * high {
                grid.doubled_row(y, &mut Vec::new(), &mut out);
                for (x, got) in out.iter().enumerate() {
                    let want = between(&grid, x as f32, y as f32, 2);
                    assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-3), "{wide}x{high} {x},{y}");
                }
            }
            for side in [8, 16] {
                for (from, to) in
                    [(0, wide), (wide / 2, wide), (0, wide.div_ceil(2)), (wide / 3, wide.div_ceil(2))]
                {
                    let mut lines: [Vec<f32>; 3] = Default::default();
                    for y in (0..side * high).step_by(3) {
                        grid.line(y, side, (from, to), &mut lines);
                        for (k, line) in lines.iter().enumerate() {
                            assert_eq!(line.len(), to - from + 2);
                            for (i, got) in line.iter().enumerate() {
                                let cell = (from + i).saturating_sub(1).min(wide - 1);
                                let middle = cell as f32 * side as f32 + 0.5 * (side - 1) as f32;
                                let want = between(&grid, middle, y as f32, side)[k];
                                assert!(
                                    (got - want).abs() < 1e-2,
                                    "{wide}x{high} {from}..{to} {i}: {got}, {want}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}
