//! The frame's colours at each level, by rows of blocks: each is filled from the frame down to the coarsest level
//! while it is in the cache.

use rayon::prelude::*;

use super::blocks::{BLOCK, Blocks, runs};
use super::reduce::{component_row, halve_plane};
use crate::frame::Frame;

/// Where one level lies in a strip.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    width: usize,
    height: usize,
    /// Rows of the level in a strip.
    rows: usize,
    /// Where its first component begins; the others follow.
    at: usize,
}

/// Colours of all levels.
#[derive(Debug, Default)]
pub struct Strips {
    parts: Vec<Part>,
    scale: usize,
    len: usize,
    data: Vec<u8>,
}

impl Strips {
    /// Makes room for `count` levels, the finest at `1 / scale` of a frame of `width · height`.
    pub fn plan(&mut self, width: usize, height: usize, scale: usize, count: usize) {
        self.parts.clear();
        self.scale = scale;
        let (mut w, mut h, mut at) = (width.div_ceil(scale), height.div_ceil(scale), 0);
        let strips = h.div_ceil(BLOCK);
        for n in 0..count {
            let rows = (BLOCK >> n).max(1);
            self.parts.push(Part { width: w, height: h, rows, at });
            at += 3 * rows * w;
            (w, h) = (w.div_ceil(2), h.div_ceil(2));
        }
        self.len = at;
        self.data.clear();
        self.data.resize(strips * at, 0);
    }

    /// Row `y` of component `k` at level `n`.
    pub fn row(&self, n: usize, k: usize, y: usize) -> &[u8] {
        let p = &self.parts[n];
        &self.data[y / p.rows * self.len + p.at + (k * p.rows + y % p.rows) * p.width..][..p.width]
    }

    /// Takes in the frame's colours in the blocks needed.
    pub fn fill(&mut self, frame: &Frame<'_>, blocks: &Blocks) {
        let (parts, scale) = (&self.parts, self.scale);
        let layout = frame.format.layout();
        self.data.par_chunks_mut(self.len).enumerate().for_each(|(by, data)| {
            for run in runs(blocks.need_row(by)) {
                for (n, p) in parts.iter().enumerate() {
                    let x = ((run.start * BLOCK) >> n).min(p.width)
                        ..(run.end * BLOCK).div_ceil(1 << n).min(p.width);
                    let rows = p.rows.min(p.height - (by * p.rows).min(p.height));
                    let (finer, here) = data.split_at_mut(p.at);
                    for k in 0..3 {
                        let to = &mut here[k * p.rows * p.width..][..p.rows * p.width];
                        for (y, to) in to.chunks_exact_mut(p.width).enumerate().take(rows) {
                            let to = &mut to[x.clone()];
                            if n == 0 {
                                component_row(frame, &layout.color[k], scale, by * p.rows + y, x.start, to);
                            } else {
                                let f = &parts[n - 1];
                                let height = f.rows.min(f.height - by * f.rows);
                                let from = &finer[f.at + k * f.rows * f.width..][..f.rows * f.width];
                                halve_plane(from, f.width, height, y, x.start, to);
                            }
                        }
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Format, testing::noise};
    use crate::refine::band::Band;

    #[test]
    fn each_level_halves_the_one_before() {
        for (w, h, scale) in [(1, 1, 1), (37, 1, 1), (203, 151, 2), (160, 97, 1)] {
            let picture = noise(Format::I420, w, h, 3);
            let mut band = Band::default();
            band.find(&[0.5; 4], 2, 2, 1, 1);
            let mut blocks = Blocks::default();
            blocks.mark(&band, w, h, BLOCK * scale, 1, None);
            let mut strips = Strips::default();
            strips.plan(w, h, scale, 4);
            strips.fill(&picture.frame(), &blocks);
            let layout = Format::I420.layout();
            for (k, c) in layout.color.iter().enumerate() {
                let (mut w, mut h) = (w.div_ceil(scale), h.div_ceil(scale));
                let mut plane = Vec::new();
                for y in 0..h {
                    let mut row = vec![0; w];
                    component_row(&picture.frame(), c, scale, y, 0, &mut row);
                    plane.extend(row);
                }
                for n in 0..4 {
                    for (y, row) in plane.chunks_exact(w).enumerate() {
                        assert_eq!(strips.row(n, k, y), row, "{w}x{h} level {n} row {y}");
                    }
                    let (half_w, half_h) = (w.div_ceil(2), h.div_ceil(2));
                    let mut next = vec![0; half_w * half_h];
                    for (y, row) in next.chunks_exact_mut(half_w).enumerate() {
                        halve_plane(&plane, w, h, y, 0, row);
                    }
                    (plane, w, h) = (next, half_w, half_h);
                }
            }
        }
    }
}
