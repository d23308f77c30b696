//! Values on a coarse grid of cells over the frame: filled in where nothing was seen, and read along a row.

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
        for level in levels.iter().rev() {
            let mut fine = Grid::new(level.wide, level.high, [0.0; N]);
            for (i, (out, (sum, weight))) in fine.cells.iter_mut().zip(&level.sums).enumerate() {
                let around = coarse.as_ref().map(|c| c.at(i % level.wide, i / level.wide));
                *out = match around {
                    Some(around) => {
                        std::array::from_fn(|k| (sum[k] + COARSER * around[k]) / (weight + COARSER))
                    }
                    None => sum.map(|v| v / weight.max(1e-6)),
                };
            }
            coarse = Some(fine);
        }
        if let Some(filled) = coarse {
            self.cells = filled.cells;
        }
    }

    /// The value at a cell of the grid of twice the resolution, bilinear.
    fn at(&self, x: usize, y: usize) -> Cell<N> {
        let place = |at: usize, n: usize| {
            let v = ((at as f32 + 0.5) / 2.0 - 0.5).clamp(0.0, (n - 1) as f32);
            (v as usize, (v as usize + 1).min(n - 1), v.fract())
        };
        let ((l, r, fx), (t, b, fy)) = (place(x, self.wide), place(y, self.high));
        let cell = |x: usize, y: usize| &self.cells[y * self.wide + x];
        std::array::from_fn(|k| {
            let top = cell(l, t)[k] + (cell(r, t)[k] - cell(l, t)[k]) * fx;
            let bottom = cell(l, b)[k] + (cell(r, b)[k] - cell(l, b)[k]) * fx;
            top + (bottom - top) * fy
        })
    }

    /// The grid along row `y` of samples, a cell being `side` of them a side: what [`spread`] needs for samples in the
    /// cells `from..to`, one line a number.
    pub fn line(&self, y: usize, side: usize, (from, to): (usize, usize), out: &mut [Vec<f32>; N]) {
        let at = ((y as f32 + 0.5) / side as f32 - 0.5).clamp(0.0, (self.high - 1) as f32);
        let (top, f) = (at as usize, at.fract());
        let bottom = (top + 1).min(self.high - 1);
        let last = self.wide - 1;
        for (k, out) in out.iter_mut().enumerate() {
            out.clear();
            out.resize(to - from + 2, 0.0);
            for (x, o) in (from..to + 2).zip(out.iter_mut()) {
                let x = x.saturating_sub(1).min(last);
                let (t, b) = (self.cells[top * self.wide + x][k], self.cells[bottom * self.wide + x][k]);
                *o = t + (b - t) * f;
            }
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
