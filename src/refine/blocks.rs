//! Which blocks of the frame the band touches: work is done in those only.

use super::band::Band;

/// Side of a block in samples of the finest level.
pub const BLOCK: usize = 16;

/// A grid of blocks over the frame.
#[derive(Debug, Default)]
pub struct Blocks {
    pub wide: usize,
    pub high: usize,
    /// Blocks with band in them.
    pub core: Vec<bool>,
    /// `core` and the blocks beside it.
    pub near: Vec<bool>,
    /// Blocks that the filters' windows over `core` reach.
    pub need: Vec<bool>,
    /// Blocks of `core` that the coarser levels have not settled.
    pub live: Vec<bool>,
    tmp: Vec<bool>,
    cells: Vec<u8>,
}

/// Side of the cells by which [`Blocks::settle`] looks at alpha.
const CELL: usize = BLOCK / 2;
/// Alpha this close to 0 or 1 is settled.
const SETTLED: f32 = 0.01;

impl Blocks {
    /// Marks blocks of `side` frame pixels over a frame of `width · height`; `reach` in blocks.
    pub fn mark(&mut self, band: &Band, width: usize, height: usize, side: usize, reach: usize) {
        (self.wide, self.high) = (width.div_ceil(side), height.div_ceil(side));
        let n = self.wide * self.high;
        for v in [&mut self.core, &mut self.near, &mut self.need, &mut self.live, &mut self.tmp] {
            v.clear();
            v.resize(n, false);
        }
        let (sx, sy) = (width as f32 / band.width as f32, height as f32 / band.height as f32);
        // Bilinear stretching carries a sample half a sample beyond its own cell, and the models are stretched
        // by a level's pixel more.
        let blocks = |at: usize, to: usize, step: f32, count: usize| {
            let from = ((at as f32 - 0.5) * step - 2.0).max(0.0) as usize / side;
            let to = ((to as f32 + 0.5) * step + 2.0) as usize / side;
            from.min(count - 1)..to.min(count - 1) + 1
        };
        for (v, row) in band.band.chunks_exact(band.width).enumerate() {
            let mut u = 0;
            while let Some(start) = row[u..].iter().position(|&b| b != 0).map(|p| u + p) {
                u = row[start..].iter().position(|&b| b == 0).map_or(row.len(), |p| start + p);
                let columns = blocks(start, u, sx, self.wide);
                for y in blocks(v, v + 1, sy, self.high) {
                    self.core[y * self.wide..][columns.clone()].fill(true);
                }
            }
        }
        for (reach, to) in [(1, &mut self.near), (reach, &mut self.need)] {
            for (row, out) in self.core.chunks_exact(self.wide).zip(self.tmp.chunks_exact_mut(self.wide)) {
                out.fill(false);
                for run in runs(row) {
                    out[run.start.saturating_sub(reach)..(run.end + reach).min(row.len())].fill(true);
                }
            }
            for (y, to) in to.chunks_exact_mut(self.wide).enumerate() {
                for near in y.saturating_sub(reach)..(y + reach + 1).min(self.high) {
                    let from = &self.tmp[near * self.wide..][..self.wide];
                    to.iter_mut().zip(from).for_each(|(t, &f)| *t |= f);
                }
            }
        }
    }

    /// Keeps in `live` the blocks of `core` in or beside which `alpha` (the finest level's, `width · height`) is
    /// neither all foreground nor all background.
    pub fn settle(&mut self, alpha: &[f32], width: usize, height: usize) {
        let (wide, high) = (width.div_ceil(CELL), height.div_ceil(CELL));
        self.cells.clear();
        self.cells.resize(wide * high, 0);
        for by in 0..self.high {
            for run in runs(&self.need[by * self.wide..][..self.wide]) {
                for cy in 2 * by..(2 * by + 2).min(high) {
                    for cx in 2 * run.start..(2 * run.end).min(wide) {
                        let (x0, x1) = (cx * CELL, (cx * CELL + CELL).min(width));
                        // A block outside `core` is of one value.
                        let rows = if self.core[by * self.wide + cx / 2] { CELL } else { 1 };
                        let (mut lo, mut hi) = (1f32, 0f32);
                        for y in cy * CELL..(cy * CELL + rows).min(height) {
                            for &v in &alpha[y * width + x0..y * width + x1] {
                                lo = lo.min(v);
                                hi = hi.max(v);
                            }
                        }
                        self.cells[cy * wide + cx] =
                            u8::from(hi <= SETTLED) | (u8::from(lo >= 1.0 - SETTLED) << 1);
                    }
                }
            }
        }
        for by in 0..self.high {
            for bx in 0..self.wide {
                if self.core[by * self.wide + bx] {
                    let mut all = 3;
                    for cy in (2 * by).saturating_sub(1)..(2 * by + 3).min(high) {
                        for cx in (2 * bx).saturating_sub(1)..(2 * bx + 3).min(wide) {
                            all &= self.cells[cy * wide + cx];
                        }
                    }
                    self.live[by * self.wide + bx] = all == 0;
                }
            }
        }
    }

    /// One row of `live`.
    pub fn live_row(&self, y: usize) -> &[bool] {
        &self.live[y * self.wide..][..self.wide]
    }

    /// One row of `core`.
    pub fn core_row(&self, y: usize) -> &[bool] {
        &self.core[y * self.wide..][..self.wide]
    }

    /// One row of `near`.
    pub fn near_row(&self, y: usize) -> &[bool] {
        &self.near[y * self.wide..][..self.wide]
    }

    /// One row of `need`.
    pub fn need_row(&self, y: usize) -> &[bool] {
        &self.need[y * self.wide..][..self.wide]
    }
}

/// The runs of marked blocks in a row.
pub fn runs(row: &[bool]) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + row[at..].iter().position(|&b| b)?;
        at = row[start..].iter().position(|&b| !b).map_or(row.len(), |p| start + p);
        Some(start..at)
    })
}
