//! Sums of colours over rectangles of blocks, of the cells in them that count.

/// Cells in a block, across and down.
pub const BLOCK: usize = 2;

/// A summed-area table (Crow, "Summed-area tables for texture mapping", SIGGRAPH 1984) of how many cells count, of their
/// colours, and of the squares of the first of these.
#[derive(Debug, Default)]
pub struct Sums {
    wide: usize,
    high: usize,
    /// A row and a column more than there are blocks.
    table: Vec<[u32; 5]>,
}

impl Sums {
    /// Sums up `wide · high` cells; `counts` says which count, `color` what colour they have.
    pub fn fill(
        &mut self,
        (wide, high): (usize, usize),
        counts: impl Fn(usize) -> bool,
        color: impl Fn(usize) -> [u32; 3],
    ) {
        (self.wide, self.high) = (wide.div_ceil(BLOCK), high.div_ceil(BLOCK));
        let stride = self.wide + 1;
        self.table.resize(stride * (self.high + 1), [0; 5]);
        self.table[..stride].fill([0; 5]);
        for y in 0..self.high {
            let (above, row) = self.table.split_at_mut((y + 1) * stride);
            let above = &above[y * stride..];
            let mut sum = [0u32; 5];
            row[0] = sum;
            for x in 0..self.wide {
                for v in y * BLOCK..((y + 1) * BLOCK).min(high) {
                    for at in v * wide + x * BLOCK..v * wide + ((x + 1) * BLOCK).min(wide) {
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
        let stride = self.wide + 1;
        let (x, y) = (x / BLOCK, y / BLOCK);
        let (x0, x1) = (x.saturating_sub(radius), (x + radius + 1).min(self.wide));
        let (y0, y1) = (y.saturating_sub(radius) * stride, (y + radius + 1).min(self.high) * stride);
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
