//! The picture's motion from frame to frame, by block matching on luma.

use super::{Size, WrongSize, check};

/// Side of a block.
const BLOCK: usize = 16;
/// Furthest motion that is looked for, in pixels of the reduced picture.
const REACH: i32 = 14;
/// What a step away from standing still must gain a pixel, so that noise moves nothing.
const BIAS: u32 = 1;
/// Mean |difference| of a block above which its motion is not believed (uncovered ground, a cut).
const TRUST: u32 = 10;

/// Where each block of a frame was in the frame before.
pub struct Motion {
    size: Size,
    columns: usize,
    /// Per block: where it was, relative to where it is; `None` if nothing there looks like it.
    blocks: Vec<Option<(i32, i32)>>,
}

impl Motion {
    /// Finds the motion from `before` to `now`, 8-bit luma both.
    ///
    /// # Errors
    /// When either does not have the size's number of pixels.
    pub fn find(before: &[u8], now: &[u8], size: Size) -> Result<Self, WrongSize> {
        check(size, before.len())?;
        check(size, now.len())?;
        let columns = size.width.div_ceil(BLOCK);
        let rows = size.height.div_ceil(BLOCK);
        let mut blocks = Vec::with_capacity(columns * rows);
        for by in 0..rows {
            for bx in 0..columns {
                // A neighbour's motion is the likeliest start.
                let left = if bx > 0 { blocks[by * columns + bx - 1] } else { None };
                let above = if by > 0 { blocks[(by - 1) * columns + bx] } else { None };
                blocks.push(search(before, now, size, (bx * BLOCK, by * BLOCK), [left, above]));
            }
        }
        Ok(Self { size, columns, blocks })
    }

    /// Which pixel of the frame before is at pixel `i` now; `None` where the motion is not known.
    pub fn before(&self, i: usize) -> Option<usize> {
        let (x, y) = (i % self.size.width, i / self.size.width);
        let (dx, dy) = self.blocks[y / BLOCK * self.columns + x / BLOCK]?;
        let x = usize::try_from(x as i32 + dx).ok().filter(|x| *x < self.size.width)?;
        let y = usize::try_from(y as i32 + dy).ok().filter(|y| *y < self.size.height)?;
        Some(y * self.size.width + x)
    }
}

type Vector = (i32, i32);

/// Logarithmic search from the best of standing still and the neighbours' motion.
fn search(
    before: &[u8],
    now: &[u8],
    size: Size,
    at: (usize, usize),
    near: [Option<Vector>; 2],
) -> Option<Vector> {
    let w = (size.width - at.0).min(BLOCK);
    let h = (size.height - at.1).min(BLOCK);
    let pixels = (w * h) as u32;
    let sad = |v: Vector| -> Option<u32> {
        let x = usize::try_from(at.0 as i32 + v.0).ok().filter(|x| x + w <= size.width)?;
        let y = usize::try_from(at.1 as i32 + v.1).ok().filter(|y| y + h <= size.height)?;
        let rows = (0..h).map(|r| {
            let a = &now[(at.1 + r) * size.width + at.0..][..w];
            let b = &before[(y + r) * size.width + x..][..w];
            a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>()
        });
        Some(rows.sum::<u32>() + if v == (0, 0) { 0 } else { BIAS * pixels })
    };
    let mut best = ((0, 0), sad((0, 0))?);
    let offer = |v: Vector, best: &mut (Vector, u32)| {
        if v.0.abs() <= REACH
            && v.1.abs() <= REACH
            && let Some(cost) = sad(v)
            && cost < best.1
        {
            *best = (v, cost);
        }
    };
    near.into_iter().flatten().for_each(|v| offer(v, &mut best));
    for step in [8, 4, 2, 1, 1] {
        let (x, y) = best.0;
        for (dx, dy) in [(-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1)] {
            offer((x + dx * step, y + dy * step), &mut best);
        }
    }
    (best.1 <= (TRUST + BIAS) * pixels).then_some(best.0)
}
