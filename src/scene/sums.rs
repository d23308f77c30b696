//! Sums of colours over rectangles of blocks, of the cells in them that count.

/// Cells in a block, across and down.
pub const BLOCK: usize = 2;

/// A summed-area table (Crow, "Summed-area tables for texture mapping", SIGGRAPH 1984) of how many cells count, of their
/// colours, and of the squares of the first of these.
#[derive(Debug, Default)]
pub struct Sums {
    grid_width: usize,
    grid_height: usize,
    /// A row and a column more than there are blocks.
    table: Vec<[u32; 5]>,
}

impl Sums {
    /// Sums up `grid_width · grid_height` cells; `counts` says which count, `color` what colour they have.
    pub fn fill(
        &mut self,
        (grid_width, grid_height): (usize, usize),
        counts: impl Fn(usize) -> bool,
        color: impl Fn(usize) -> [u32; 3],
    ) {
        (self.grid_width, self.grid_height) = (grid_width.div_ceil(BLOCK), grid_height.div_ceil(BLOCK));
        let stride = self.grid_width + 1;
        self.table.resize(stride * (self.grid_height + 1), [0; 5]);
        self.table[..stride].fill([0; 5]);
        for y in 0..self.grid_height {
            let (above, row) = self.table.split_at_mut((y + 1) * stride);
            let above = &above[y * stride..];
            let mut sum = [0u32; 5];
            row[0] = sum;
            for x in 0..self.grid_width {
                for v in y * BLOCK..((y + 1) * BLOCK).min(grid_height) {
                    for at in v * grid_width + x * BLOCK..v * grid_width + ((x + 1) * BLOCK).min(grid_width) {
                        if counts(at) {
                            let [a, b, c] = color(at);
                            for (s, v) in sum.iter_mut().zip([1, a, b, c, a * a]) {
                                *s = s.wrapping_add(v);
                            }
                        }
                    }
                }
                let to = &mut row[x + 1];
                for ((to, s), above) in to.iter_mut().zip(sum).zip(above[x + 1]) {
                    *to = s.wrapping_add(above);
                }
            }
        }
    }

    /// The mean colour of the cells that count within `radius` blocks of the cell `x, y` both ways, if there are any, and
    /// the variance of its first component.
    pub fn mean(&self, x: usize, y: usize, radius: usize) -> Option<([f32; 3], f32)> {
        let stride = self.grid_width + 1;
        let (x, y) = (x / BLOCK, y / BLOCK);
        let (x0, x1) = (x.saturating_sub(radius), (x + radius + 1).min(self.grid_width));
        let (y0, y1) = (y.saturating_sub(radius) * stride, (y + radius + 1).min(self.grid_height) * stride);
        let at = |i: usize| self.table[i];
        let (a, b, c, d) = (at(y1 + x1), at(y1 + x0), at(y0 + x1), at(y0 + x0));
        // Sums may go round; their differences do not.
        let sum = |k: usize| a[k].wrapping_sub(b[k]).wrapping_sub(c[k]).wrapping_add(d[k]);
        let n = sum(0);
        (n > 0).then(|| {
            let [first, second, third, squares] = [1, 2, 3, 4].map(|k| sum(k) as f32 / n as f32);
            ([first, second, third], (squares - first * first).max(0.0))
        })
    }
}
