//! Where the matte may stay as it is: blocks in and around which picture and mask have not changed since their matte was
//! made. A shoulder that stands still need not be solved thirty times a second, and what is not solved does not shimmer.

use super::BLOCK;
use super::still::Still;

/// Frames for which all of a block has to have stood still.
const AGE: u8 = 8;
/// Change of the mask from which on a block's matte is made anew.
const CHANGE: f32 = 0.05;
/// Every so many frames it is made anew in any case.
const ROUND: usize = 8;
/// Rows of blocks that are made anew together.
const ROWS: usize = 4;

/// Finds the blocks, frame by frame.
#[derive(Debug, Default)]
pub struct Rest {
    grid_width: usize,
    /// What is kept of this frame; empty if nothing is.
    kept: Vec<bool>,
    calm: Vec<bool>,
    wide_calm: Vec<bool>,
    /// The mask that each sample's matte was made of.
    made_of: Vec<f32>,
    /// The block that each column of the mask lies in, and each row.
    columns: Vec<usize>,
    rows: Vec<usize>,
    round: usize,
}

/// A mask that has been steadied: its samples, its size, and for how many frames the network is still followed by sample.
pub struct Steadied<'a> {
    pub mask: &'a [f32],
    pub size: (usize, usize),
    pub free: &'a [u8],
}

impl Rest {
    /// Nothing is kept of this frame.
    pub fn disturb(&mut self) {
        self.kept.clear();
    }

    /// Which blocks are kept.
    pub fn kept(&self) -> &[bool] {
        &self.kept
    }

    /// Finds what is kept of a frame whose luma is looked at in `luma` samples.
    pub fn find(&mut self, still: &Still, (lw, lh): (usize, usize), now: &Steadied<'_>) {
        let (mw, mh) = now.size;
        let (grid_width, grid_height) = (lw.div_ceil(BLOCK), lh.div_ceil(BLOCK));
        self.round += 1;
        self.grid_width = grid_width;
        let place = |n: usize, l: usize| (0..n).map(move |u| (2 * u + 1) * l / (2 * n) / BLOCK);
        self.columns.clear();
        self.columns.extend(place(mw, lw));
        self.rows.clear();
        self.rows.extend(place(mh, lh));
        if self.made_of.len() != now.mask.len() || !still.knows() {
            self.made_of.clear();
            self.made_of.resize(now.mask.len(), f32::NAN);
            return self.kept.clear();
        }
        for v in [&mut self.kept, &mut self.calm, &mut self.wide_calm] {
            v.clear();
            v.resize(grid_width * grid_height, true);
        }
        for (by, calm) in self.calm.chunks_exact_mut(grid_width).enumerate() {
            for y in (by * BLOCK..((by + 1) * BLOCK).min(lh)).step_by(2) {
                for (calm, ages) in calm.iter_mut().zip(still.ages(y).chunks(BLOCK / 2)) {
                    *calm &= ages.iter().all(|age| *age >= AGE);
                }
            }
        }
        let samples =
            now.mask.chunks_exact(mw).zip(self.made_of.chunks_exact(mw)).zip(now.free.chunks_exact(mw));
        for (((mask, made_of), free), by) in samples.zip(&self.rows) {
            let calm = &mut self.calm[by * grid_width..][..grid_width];
            for (((m, was), free), bx) in mask.iter().zip(made_of).zip(free).zip(&self.columns) {
                // Not so where nothing was made yet, either.
                calm[*bx] &= (m - was).abs() <= CHANGE && *free == 0;
            }
        }
        // With all that are beside it, whose changes its edges would follow.
        for (calm, out) in self.calm.chunks_exact(grid_width).zip(self.wide_calm.chunks_exact_mut(grid_width))
        {
            for (bx, out) in out.iter_mut().enumerate() {
                *out = calm[bx.saturating_sub(1)..(bx + 2).min(grid_width)].iter().all(|c| *c);
            }
        }
        for (by, kept) in self.kept.chunks_exact_mut(grid_width).enumerate() {
            if (by / ROWS + self.round).is_multiple_of(ROUND) {
                kept.fill(false);
                continue;
            }
            for near in by.saturating_sub(1)..(by + 2).min(grid_height) {
                kept.iter_mut().zip(&self.wide_calm[near * grid_width..]).for_each(|(k, c)| *k &= c);
            }
        }
    }

    /// The matte has been made of `mask` where nothing was kept.
    pub fn made(&mut self, mask: &[f32]) {
        let mw = self.columns.len();
        if self.made_of.len() != mask.len() || mw == 0 {
            return;
        }
        if self.kept.is_empty() {
            return self.made_of.copy_from_slice(mask);
        }
        for ((made_of, mask), by) in
            self.made_of.chunks_exact_mut(mw).zip(mask.chunks_exact(mw)).zip(&self.rows)
        {
            let kept = &self.kept[by * self.grid_width..][..self.grid_width];
            for ((was, m), bx) in made_of.iter_mut().zip(mask).zip(&self.columns) {
                *was = if kept[*bx] { *was } else { *m };
            }
        }
    }
}
