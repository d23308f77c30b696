//! Sums of colours over blocks of cells, of the cells in them that count.

use rayon::prelude::*;

/// Cells in a block, across and down.
pub const BLOCK: usize = 2;

/// By block: how many cells count, their colours, and the squares of the first of these.
#[derive(Debug, Default)]
pub struct Sums {
    width: usize,
    blocks: Vec<[u32; 5]>,
}

impl Sums {
    /// Sums up `grid_width · grid_height` cells in blocks that are not 0 in `wanted`; `counts` says which cells count, `color` what
    /// colour they have.
    pub fn fill(
        &mut self,
        (grid_width, grid_height): (usize, usize),
        wanted: &[u8],
        counts: impl Fn(usize) -> bool + Sync,
        color: impl Fn(usize) -> [u32; 3] + Sync,
    ) {
        self.width = grid_width.div_ceil(BLOCK);
        self.blocks.resize(wanted.len(), [0; 5]);
        let rows = self.blocks.par_chunks_mut(self.width).zip(wanted.par_chunks(self.width));
        rows.enumerate().for_each(|(y, (sums, wanted))| {
            let down = y * BLOCK..((y + 1) * BLOCK).min(grid_height);
            for (x, sums) in sums.iter_mut().enumerate().filter(|(x, _)| wanted[*x] != 0) {
                *sums = [0; 5];
                for v in down.clone() {
                    for at in v * grid_width + x * BLOCK..v * grid_width + ((x + 1) * BLOCK).min(grid_width) {
                        if counts(at) {
                            let [a, b, c] = color(at);
                            sums.iter_mut().zip([1, a, b, c, a * a]).for_each(|(s, v)| *s += v);
                        }
                    }
                }
            }
        });
    }

    /// The mean colour of the cells that count within `radius` blocks of the block `x, y` both ways, all of them wanted; if there
    /// are any; and the variance of its first component.
    pub fn mean(&self, x: usize, y: usize, radius: usize) -> Option<([f32; 3], f32)> {
        let across = x.saturating_sub(radius)..(x + radius + 1).min(self.width);
        let mut sums = [0; 5];
        for row in self.blocks.chunks_exact(self.width).take(y + radius + 1).skip(y.saturating_sub(radius)) {
            for block in &row[across.clone()] {
                sums.iter_mut().zip(block).for_each(|(s, v)| *s += v);
            }
        }
        let n = sums[0];
        (n > 0).then(|| {
            let [first, second, third, squares] = [1, 2, 3, 4].map(|k| sums[k] as f32 / n as f32);
            ([first, second, third], (squares - first * first).max(0.0))
        })
    }
}
