//! Which blocks of the frame the band touches: work is done in those only.

use super::band::Band;
use rayon::prelude::*;

/// Side of a block in samples of the finest level.
pub const BLOCK: usize = 16;

/// Blocks of a frame whose matte stays as it was in the frame before.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// The side of a block in frame pixels; blocks in a row.
    pub side: usize,
    pub grid_width: usize,
    /// Row by row.
    pub blocks: &'a [bool],
}

/// A grid of blocks over the frame.
#[derive(Debug, Default)]
pub struct Blocks {
    pub grid_width: usize,
    pub grid_height: usize,
    /// Blocks with band in them.
    pub core: Vec<bool>,
    /// Blocks that the filters' windows over `core` reach.
    pub need: Vec<bool>,
    /// Blocks of `core` that the coarser levels have not settled.
    pub live: Vec<bool>,
    /// Blocks whose models are kept from an earlier frame.
    kept: Vec<bool>,
    /// Down to which level the models of each block are made: what there is to keep.
    solved: Vec<Solved>,
    /// Blocks that are all foreground, if they are of one value.
    front: Vec<bool>,
    tmp: Vec<bool>,
    cells: Vec<u8>,
}

/// What a block was solved down to when it was last looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Solved {
    /// Not at all: it is of one value.
    #[default]
    No,
    /// Without the finest level.
    Coarse,
    Fine,
}

/// Cells in a block, across, by which [`Blocks::settle`] looks at alpha; one beside a block counts for it.
const PARTS: usize = 4;
/// Alpha this close to 0 or 1 is settled.
const SETTLED: f32 = 0.01;

impl Blocks {
    /// Marks blocks of `side` frame pixels over a frame of `width · height`; `reach` in blocks. Blocks that lie in those
    /// of `keep` and were solved in the frame before are left as they are.
    pub fn mark(
        &mut self,
        band: &Band,
        width: usize,
        height: usize,
        side: usize,
        reach: usize,
        keep: Option<Kept<'_>>,
    ) {
        (self.grid_width, self.grid_height) = (width.div_ceil(side), height.div_ceil(side));
        let n = self.grid_width * self.grid_height;
        for v in [&mut self.core, &mut self.need, &mut self.live, &mut self.tmp, &mut self.kept] {
            v.clear();
            v.resize(n, false);
        }
        if self.solved.len() != n {
            self.solved.clear();
            self.solved.resize(n, Solved::No);
        }
        self.front.resize(n, false);
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
                let columns = blocks(start, u, sx, self.grid_width);
                for y in blocks(v, v + 1, sy, self.grid_height) {
                    self.core[y * self.grid_width..][columns.clone()].fill(true);
                }
            }
        }
        if let Some(keep) = keep {
            for (block, kept) in self.kept.iter_mut().enumerate() {
                let (x, y) = (block % self.grid_width * side, block / self.grid_width * side);
                let last = |at: usize, size: usize| (at + side).min(size) - 1;
                let (x, y) =
                    (x / keep.side..=last(x, width) / keep.side, y / keep.side..=last(y, height) / keep.side);
                *kept = self.solved[block] != Solved::No
                    && y.clone().all(|y| x.clone().all(|x| keep.blocks[y * keep.grid_width + x]));
                self.core[block] &= !*kept;
            }
        }
        for (block, front) in self.front.iter_mut().enumerate().filter(|(block, _)| !self.kept[*block]) {
            *front = band.solid(
                block % self.grid_width,
                block / self.grid_width,
                self.grid_width,
                self.grid_height,
            ) > 127;
        }
        self.live.copy_from_slice(&self.core);
        for ((solved, &core), _) in
            self.solved.iter_mut().zip(&self.core).zip(&self.kept).filter(|(_, k)| !**k)
        {
            *solved = if core { Solved::Fine } else { Solved::No };
        }
        {
            let to = &mut self.need;
            for (row, out) in
                self.core.chunks_exact(self.grid_width).zip(self.tmp.chunks_exact_mut(self.grid_width))
            {
                out.fill(false);
                for run in runs(row) {
                    out[run.start.saturating_sub(reach)..(run.end + reach).min(row.len())].fill(true);
                }
            }
            for (y, to) in to.chunks_exact_mut(self.grid_width).enumerate() {
                for near in y.saturating_sub(reach)..(y + reach + 1).min(self.grid_height) {
                    let from = &self.tmp[near * self.grid_width..][..self.grid_width];
                    to.iter_mut().zip(from).for_each(|(t, &f)| *t |= f);
                }
            }
        }
    }

    /// Keeps in `live` the blocks of `core` in or beside which alpha is neither all foreground nor all background, and
    /// remembers which of both it is in the others. `look` gives the alpha of samples `x.0..x.1` of row `y` of the
    /// second finest level, `width · height`: the even ones, and the odd ones.
    pub fn settle(
        &mut self,
        width: usize,
        height: usize,
        look: impl Fn(usize, (usize, usize), &mut dyn FnMut(&[f32], &[f32])) + Sync,
    ) {
        const CELL: usize = BLOCK / 2 / PARTS;
        let (grid_width, grid_height) = (PARTS * self.grid_width, PARTS * self.grid_height);
        self.cells.resize(grid_width * grid_height, 0);
        let (core, front, kept) = (&self.core, &self.front, &self.kept);
        self.cells.par_chunks_mut(PARTS * grid_width).enumerate().for_each(|(by, cells)| {
            // Where nothing is in doubt, blocks are of one value.
            for row in cells.chunks_exact_mut(grid_width) {
                for (bx, cells) in row.chunks_exact_mut(PARTS).enumerate() {
                    let at = by * self.grid_width + bx;
                    if kept[at] {
                        continue;
                    }
                    cells.fill(if core[at] { 3 } else { 1 + u8::from(front[at]) });
                }
            }
            for run in runs(&core[by * self.grid_width..][..self.grid_width]) {
                let x = (run.start * PARTS * CELL, (run.end * PARTS * CELL).min(width));
                for y in by * PARTS * CELL..((by + 1) * PARTS * CELL).min(height) {
                    let cells = &mut cells[(y / CELL - by * PARTS) * grid_width..]
                        [PARTS * run.start..PARTS * run.end];
                    look(y, x, &mut |even, odd| {
                        for (cell, (e, o)) in
                            cells.iter_mut().zip(even.chunks(CELL / 2).zip(odd.chunks(CELL / 2)))
                        {
                            let (mut lo, mut hi) = (1f32, 0f32);
                            for &v in e.iter().chain(o) {
                                lo = lo.min(v);
                                hi = hi.max(v);
                            }
                            let settled = u8::from(hi <= SETTLED) | (u8::from(lo >= 1.0 - SETTLED) << 1);
                            *cell &= settled;
                        }
                    });
                }
            }
        });
        for by in 0..self.grid_height {
            for bx in 0..self.grid_width {
                let block = by * self.grid_width + bx;
                if self.core[block] {
                    let mut all = 3;
                    for cy in (PARTS * by).saturating_sub(1)..(PARTS * by + PARTS + 1).min(grid_height) {
                        for cx in (PARTS * bx).saturating_sub(1)..(PARTS * bx + PARTS + 1).min(grid_width) {
                            all &= self.cells[cy * grid_width + cx];
                        }
                    }
                    self.live[block] = all == 0;
                    self.front[block] = all == 2;
                    self.solved[block] = if all == 0 { Solved::Fine } else { Solved::Coarse };
                }
            }
        }
    }

    /// The part of all blocks that has band in it, and how many blocks there are.
    pub fn crowded(&self) -> (f32, usize) {
        let busy = self.core.iter().zip(&self.kept).filter(|(core, kept)| **core || **kept).count();
        (busy as f32 / self.core.len().max(1) as f32, self.core.len())
    }

    /// What a block holds where nothing is left to do, 0 or 255.
    pub fn solid(&self, bx: usize, by: usize) -> u8 {
        if self.front[by * self.grid_width + bx] { 255 } else { 0 }
    }

    /// Whether a block has models of an earlier frame that hold; `finest`: those of the finest level.
    pub fn keeps(&self, bx: usize, by: usize, finest: bool) -> bool {
        let at = by * self.grid_width + bx;
        self.kept[at] && (!finest || self.solved[at] == Solved::Fine)
    }

    /// Whether a block or one beside it is marked in `live`.
    pub fn near_live(&self, bx: usize, by: usize) -> bool {
        (by.saturating_sub(1)..(by + 2).min(self.grid_height))
            .any(|y| self.live_row(y)[bx.saturating_sub(1)..(bx + 2).min(self.grid_width)].contains(&true))
    }

    /// One row of `live`.
    pub fn live_row(&self, y: usize) -> &[bool] {
        &self.live[y * self.grid_width..][..self.grid_width]
    }

    /// One row of `core`.
    pub fn core_row(&self, y: usize) -> &[bool] {
        &self.core[y * self.grid_width..][..self.grid_width]
    }

    /// One row of `need`.
    pub fn need_row(&self, y: usize) -> &[bool] {
        &self.need[y * self.grid_width..][..self.grid_width]
    }
}

/// The runs of marked blocks in a row.
pub fn runs(row: &[bool]) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = next(row, at, true);
        at = next(row, start, false);
        (start < row.len()).then_some(start..at)
    })
}

/// The first of `value` from `from` on, or the row's end. Many rows have few runs.
fn next(row: &[bool], from: usize, value: bool) -> usize {
    const STEP: usize = 16;
    let holds = |blocks: &[bool]| blocks.iter().fold(false, |found, b| found | (*b == value));
    let skipped = row[from..].chunks_exact(STEP).take_while(|blocks| !holds(blocks)).count();
    let from = from + skipped * STEP;
    row[from..].iter().position(|b| *b == value).map_or(row.len(), |at| from + at)
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn runs_are_what_lies_between_changes() {
        for n in [0usize, 1, 15, 16, 17, 40, 67] {
            for rare in [2usize, 3, 7, 31, 1000] {
                for seed in 0..20 {
                    let row: Vec<bool> =
                        (0..n).map(|i| (i * i * 31 + i * 7 + seed * 13) % rare == 0).collect();
                    let mut plain: Vec<std::ops::Range<usize>> = Vec::new();
                    for i in (0..n).filter(|i| row[*i]) {
                        match plain.last_mut().filter(|run| run.end == i) {
                            Some(run) => run.end = i + 1,
                            None => plain.push(i..i + 1),
                        }
                    }
                    assert_eq!(runs(&row).collect::<Vec<_>>(), plain, "{row:?}");
                    let whole = vec![true; n];
                    assert_eq!(
                        runs(&whole).collect::<Vec<_>>(),
                        (n > 0).then_some(0..n).into_iter().collect::<Vec<_>>()
                    );
                }
            }
        }
    }
}
