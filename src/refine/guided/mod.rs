//! A colour guided filter (He, Sun & Tang, "Guided Image Filtering", PAMI 2013) over rectangles of a plane.
//!
//! In each window it fits alpha ≈ a·colour + b; each place then takes the mean of the models whose windows hold it.
//! As in weighted aggregation (Chen, Li, Huang & Yang, "Weighted aggregation for guided image filtering", SIViP
//! 2020) a model counts by how well it fits its own window, so that a window over clutter does not blur the edge
//! beside it.
//!
//! Windows are made of cells of 2×2 samples, and models are fitted at cells only (as in He & Sun, "Fast Guided
//! Filter", 2015, but the sums take in every sample): models are so smooth that nothing is lost, and most of the
//! work is a quarter.

mod area;
mod kernels;
mod window;

pub use area::Area;
pub use kernels::{center_pairs, centred};
pub use window::Window;

use area::Run;
use kernels::{LANES, MODEL, SUMS, Span, fit, mean, moments, stack};

/// Two rows of samples, cells side by side: `[row][component][column in its cell][cell]`, three colours ([`centred`])
/// and alpha (0..1).
pub type Samples = [[[Vec<f32>; 2]; 4]; 2];

/// What is filtered: planes of samples, asked for by rows of cells.
pub trait Guide {
    /// Cells in a row, and rows.
    fn size(&self) -> (usize, usize);

    /// The samples of row `y` of the cells, `count` cells from `x` on; `x` is even. What lies past the last sample, where
    /// sizes are odd, is as that sample.
    fn rows(&mut self, y: usize, x: usize, count: usize, out: &mut Samples);
}

/// Reused between calls.
#[derive(Debug, Default)]
pub struct Scratch {
    samples: Samples,
    sums: Rows,
    models: Rows,
    column_sums: Vec<f32>,
    /// One over the cells in the windows of each column, and whether it is one of the plane's.
    inverse: Vec<f32>,
    inside: Vec<f32>,
    row: Vec<bool>,
    runs: Vec<Run>,
    out: [Vec<f32>; 5],
}

/// The last rows of sums or models, and one that is empty.
#[derive(Debug, Default)]
struct Rows {
    shape: [usize; 4],
    len: usize,
    turns: usize,
    ring: Vec<f32>,
}

impl Rows {
    /// For `planes` of `stride` values, of which those from `pad` on are `grid_width` cells.
    fn begin(&mut self, planes: usize, stride: usize, (pad, grid_width): (usize, usize), window: Window) {
        let (len, turns) = (planes * stride, window.side());
        if self.shape != [len, turns, pad, grid_width] {
            self.shape = [len, turns, pad, grid_width];
            (self.len, self.turns) = (len, turns);
            // Columns beside the plane count as empty, and nothing else is written there.
            self.ring.clear();
            self.ring.resize((turns + 1) * len, 0.0);
        }
        // What earlier calls have left in the cells, nobody reads.
        #[cfg(test)]
        for plane in self.ring[..turns * len].chunks_exact_mut(stride) {
            plane[pad..pad + grid_width].fill(1e6);
        }
    }

    fn slot(&mut self, row: usize) -> &mut [f32] {
        &mut self.ring[row % self.turns * self.len..][..self.len]
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.ring[row % self.turns * self.len..][..self.len]
    }

    /// Sums of the rows of a window whose middle is `at` of `n` rows, columns `x.0..x.1` of each plane of `stride`.
    fn stack(&self, at: usize, n: usize, window: Window, stride: usize, x: Run, out: &mut [f32]) {
        let reach = window.reach();
        let mut starts = [self.turns * self.len; MOST];
        for (k, start) in starts.iter_mut().enumerate().take(window.side()) {
            if let Some(row) = (at + k).checked_sub(reach).filter(|&row| row < n) {
                *start = row % self.turns * self.len;
            }
        }
        stack(&self.ring, &starts[..window.side()], (self.len / stride, stride), x, window.edge(), out);
    }
}

/// Most rows that a window can have.
const MOST: usize = 17;

/// One row of results at the cells of a run.
pub struct Models<'a> {
    /// The row, and its first cell.
    pub at: (usize, usize),
    /// Slopes by colour (centred) and offset.
    pub model: [&'a [f32]; 4],
    /// The cells' alpha as it was before.
    pub alpha: &'a [f32],
}

/// Fits models in an area and hands them to `done`, row by row from the first on. `eps` is added to the colours'
/// variances.
pub fn filter(
    guide: &mut impl Guide,
    area: &Area<'_>,
    window: Window,
    eps: [f32; 3],
    s: &mut Scratch,
    mut done: impl FnMut(Models<'_>),
) {
    let reach = window.reach();
    let (grid_width, grid_height) = guide.size();
    // Windows that reach past the plane fit into it, and whole vectors.
    let pad = reach.next_multiple_of(LANES);
    let stride = pad + grid_width.next_multiple_of(LANES) + pad + 2 * LANES;
    for v in s.samples.iter_mut().flatten().flatten() {
        v.resize((grid_width + 2 * LANES).max(v.len()), 0.0);
    }
    s.column_sums.resize((SUMS * stride).max(s.column_sums.len()), 0.0);
    for v in &mut s.out {
        v.resize((grid_width + LANES).max(v.len()), 0.0);
    }
    s.inverse.clear();
    s.inside.clear();
    for x in 0..stride {
        let inside = x >= pad && x - pad < grid_width;
        s.inverse.push(if inside { 0.25 / window.weight(x - pad, grid_width) } else { 0.0 });
        s.inside.push(f32::from(u8::from(inside)));
    }
    let mut next_row = area.y.0.saturating_sub(2 * reach);
    let mut next_model = area.y.0.saturating_sub(reach);
    s.sums.begin(SUMS, stride, (pad, grid_width), window);
    s.models.begin(MODEL, stride, (pad, grid_width), window);
    let mut runs = std::mem::take(&mut s.runs);
    for y in area.y.0..area.y.1 {
        while next_model <= (y + reach).min(grid_height - 1) {
            while next_row <= (next_model + reach).min(grid_height - 1) {
                area.runs(next_row, 2 * reach, (grid_width, grid_height), &mut s.row, &mut runs);
                for &(x0, x1) in &runs {
                    let x0 = x0 & !1;
                    let count = x1 - x0;
                    guide.rows(next_row, x0, count, &mut s.samples);
                    let whole = count.next_multiple_of(LANES);
                    for v in s.samples.iter_mut().flatten().flatten() {
                        v[count..whole].fill(0.0);
                    }
                    moments(&s.samples, whole, s.sums.slot(next_row), pad + x0);
                }
                next_row += 1;
            }
            area.runs(next_model, reach, (grid_width, grid_height), &mut s.row, &mut runs);
            let rows = 1.0 / window.weight(next_model, grid_height);
            for &(x0, x1) in &runs {
                let whole = (x1 - x0).next_multiple_of(LANES);
                let x = (pad + x0 - reach, pad + x0 + whole + reach);
                s.sums.stack(next_model, grid_height, window, stride, x, &mut s.column_sums);
                let at = pad + x0;
                let span = Span { stride, at, count: whole, window };
                let columns = [&s.inverse[at..], &s.inside[at..]];
                fit(&s.column_sums, span, columns, rows, eps, s.models.slot(next_model));
            }
            next_model += 1;
        }
        area.runs(y, 0, (grid_width, grid_height), &mut s.row, &mut runs);
        for &(x0, x1) in &runs {
            let (count, at) = (x1 - x0, pad + x0);
            let whole = count.next_multiple_of(LANES);
            s.models.stack(
                y,
                grid_height,
                window,
                stride,
                (at - reach, at + whole + reach),
                &mut s.column_sums,
            );
            let [a, b, c, d, old] = &mut s.out;
            let span = Span { stride, at, count: whole, window };
            mean(&s.column_sums, span, [&mut *a, &mut *b, &mut *c, &mut *d]);
            for (o, v) in old[..count].iter_mut().zip(&s.sums.row(y)[at..]) {
                *o = v * 0.25;
            }
            done(Models { at: (y, x0), model: [a, b, c, d].map(|v| &v[..count]), alpha: &old[..count] });
        }
    }
    s.runs = runs;
}

#[cfg(test)]
mod tests;
