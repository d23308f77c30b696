//! From the finest level's models to the matte, at the frame's own pixels.

use rayon::prelude::*;

use super::blocks::{BLOCK, runs};
use super::enlarge::{self, place, stretch_row};
use super::pixels::{fold_colors, write_one, write_pairs, write_three};
use super::reduce::component_row;
use super::{Local, Refiner, with_local};
use crate::frame::{Format, Frame};

impl Refiner {
    /// The finest level's models on the frame's own pixels.
    pub(super) fn finish(&self, frame: &Frame<'_>, last: usize, out: &mut [u8]) {
        let (blocks, level) = (&self.blocks, &self.levels[last]);
        let (width, scale, side) = (frame.width, level.scale, BLOCK * self.levels[0].scale);
        let (layout, cells) = (frame.format.layout(), (level.grid_width, level.grid_height));
        let fold = folds(frame.format, scale);
        out.par_chunks_mut(side * width).enumerate().for_each(|(by, rows)| {
            let busy = if last == 0 { blocks.live_row(by) } else { blocks.core_row(by) };
            for bx in 0..blocks.grid_width {
                rows[bx * side..((bx + 1) * side).min(width)].fill(blocks.solid(bx, by));
            }
            for y in 1..rows.len() / width {
                let (first, rest) = rows.split_at_mut(y * width);
                rest[..width].copy_from_slice(&first[..width]);
            }
            with_local(|l| {
                for run in runs(busy) {
                    let (x0, x1) = (run.start * side, (run.end * side).min(width));
                    if fold {
                        self.write_folded(frame, last, (by * side, rows), (x0, x1), l);
                        continue;
                    }
                    for (y, row) in rows.chunks_exact_mut(width).enumerate() {
                        let (y, out) = (by * side + y, &mut row[x0..x1]);
                        for (row, plane) in l.rows.iter_mut().zip(&level.model) {
                            row.resize(out.len(), 0.0);
                            stretch_row(plane, cells, 2 * scale, (x0, y), row, &mut l.tmp);
                        }
                        for (k, row) in l.bytes.iter_mut().enumerate() {
                            row.resize(out.len(), 0);
                            component_row(frame, &layout.color[k], 1, y, x0, row);
                        }
                        let [a, b, c, d] = &l.rows;
                        let [r, g, bl] = &l.bytes;
                        write_three([a, b, c, d], [r, g, bl], out);
                    }
                }
            });
        });
    }

    /// Pixels `x0..x1` of rows from `top` on, where only the first component is worth reading at full resolution:
    /// the others go into the offset, at the level's own.
    fn write_folded(
        &self,
        frame: &Frame<'_>,
        last: usize,
        (top, rows): (usize, &mut [u8]),
        (x0, x1): (usize, usize),
        l: &mut Local,
    ) {
        let level = &self.levels[last];
        let (width, scale) = (frame.width, level.scale);
        let luma = frame.format.layout().color[0];
        // A sample more at either side, for the stretching.
        let from = (x0 / scale).saturating_sub(2) & !1;
        let to = (x1.div_ceil(scale) + 1).min(level.width);
        let n = to - from;
        let Local { rows: models, more, pair: enlarged, bytes, tmp, .. } = l;
        // Slope and offset of two rows of samples.
        let [a0, d0, a1, d1] = more;
        let mut have = [usize::MAX; 2];
        let mut sample_row = |y: usize, slope: &mut Vec<f32>, offset: &mut Vec<f32>, tmp: &mut Vec<f32>| {
            for (row, plane) in models.iter_mut().zip(&level.model) {
                row.resize(n, 0.0);
                stretch_row(plane, (level.grid_width, level.grid_height), 2, (from, y), row, tmp);
            }
            let color = [1, 2].map(|k| &self.strips.row(last, k, y)[from..to]);
            let [a, b, c, d] = &*models;
            slope.clear();
            slope.extend_from_slice(a);
            offset.resize(n, 0.0);
            fold_colors([b, c, d], color, offset);
        };
        for (y, row) in rows.chunks_exact_mut(width).enumerate() {
            let y = top + y;
            let (at, f) = place(y, (level.height * scale) as f32, level.height);
            let want = [at, (at + 1).min(level.height - 1)];
            if have[0] != want[0] && have[1] == want[0] {
                std::mem::swap(a0, a1);
                std::mem::swap(d0, d1);
                have.swap(0, 1);
            }
            for (k, (a, d)) in [(&mut *a0, &mut *d0), (&mut *a1, &mut *d1)].into_iter().enumerate() {
                if have[k] != want[k] {
                    sample_row(want[k], a, d, tmp);
                    have[k] = want[k];
                }
            }
            let out = &mut row[x0..x1];
            let pairs = [[&*a0, &*a1], [&*d0, &*d1]].map(|pair| pair.map(|p| &p[..]));
            if (scale, luma.step) == (2, 1) {
                for (row, pair) in enlarged.iter_mut().zip(pairs) {
                    enlarge::between(pair, f, x0 / 2 - from, out.len().div_ceil(2), row);
                }
                let luma = &frame.planes[luma.plane].row(y)[luma.offset + x0..][..out.len()];
                write_pairs(&enlarged[0], &enlarged[1], luma, out);
                continue;
            }
            for (row, pair) in enlarged.iter_mut().zip(pairs) {
                row.resize(out.len(), 0.0);
                enlarge::widen_between(pair, f, x0 / scale - from, scale, row, tmp);
            }
            if luma.step == 1 {
                write_one(
                    &enlarged[0],
                    &enlarged[1],
                    &frame.planes[luma.plane].row(y)[luma.offset + x0..],
                    out,
                );
            } else {
                let bytes = &mut bytes[0];
                bytes.resize(out.len(), 0);
                component_row(frame, &luma, 1, y, x0, bytes);
                write_one(&enlarged[0], &enlarged[1], bytes, out);
            }
        }
    }
}

/// Whether only the first component is worth reading at full resolution.
fn folds(format: Format, scale: usize) -> bool {
    scale > 1 && (format.is_yuv() || format.layout().colors == 1)
}
