//! The models of a level: alpha by colour, fitted to the mask or to the next coarser level.

use rayon::prelude::*;

use super::band::Band;
use super::blocks::BLOCK;
use super::enlarge::{Stretch, stretch_pairs};
use super::guided::{self, Area, Guide, Samples, center_pairs};
use super::pixels::{apply, blend, clip};
use super::strips::Strips;
use super::{Level, Local, Refiner, frame_rows, with_local};
use crate::frame::Frame;

/// Added to the colours' variances, in units of full scale squared: contrast below its root (1.3 of 255) is noise.
const EPS: f32 = 2.5e-5;
/// The mask is snapped: what is within two percent of sure is sure.
const SNAP: (f32, f32) = (1.04 / 255.0, -0.02);

/// Parts of a level that run side by side.
const STRIPS: usize = 4;

impl Refiner {
    /// The models of level `n`.
    pub(super) fn fit(&mut self, n: usize, eps: [f32; 3]) {
        let (blocks, band, strips) = (&self.blocks, &self.band, &self.strips);
        let busy = |row: usize| if n == 0 { blocks.live_row(row) } else { blocks.core_row(row) };
        let (fine, coarse) = self.levels.split_at_mut(n + 1);
        let (level, coarse) = (&mut fine[n], coarse.first());
        let Some(window) = level.window else { return };
        let (grid_width, grid_height, contrast) = (level.grid_width, level.grid_height, level.contrast);
        let cells = &level.cells;
        let (size, scale) = ((level.width, level.height), level.scale);
        let extent = frame_rows(self.plan) as f32;
        // Cells in a block; few strips, or the windows' margins cost more than the rows.
        let side = (BLOCK / 2) >> n;
        let (side, per) = (side.max(1), 1 << n.saturating_sub(BLOCK.ilog2() as usize - 1));
        let group = (grid_height.div_ceil(STRIPS) / side).max(32 / side).max(1);
        let strip = group * side * grid_width;
        let samples = &level.samples;
        let [a, b, c, d] = &mut level.model;
        let parts = a
            .par_chunks_mut(strip)
            .zip(b.par_chunks_mut(strip))
            .zip(c.par_chunks_mut(strip))
            .zip(d.par_chunks_mut(strip));
        parts.enumerate().for_each(|(part, (((a, b), c), d))| {
            with_local(|l| {
                let Local { filter, pairs, more, tmp, marks, .. } = l;
                let y0 = part * group * side;
                let y1 = (y0 + group * side).min(grid_height);
                let block_rows = (y0 / side * per, (y1.div_ceil(side) * per).min(blocks.grid_height));
                // Beside the band the model is what was settled there.
                for by in block_rows.0..block_rows.1 {
                    let near = |bx: usize| {
                        let near = if n == 0 { blocks.near_live(bx, by) } else { blocks.need_row(by)[bx] };
                        near && !blocks.keeps(bx, by, n == 0)
                    };
                    let y = (by * side / per)..((by + 1) * side).div_ceil(per);
                    let rows = (y.start.max(y0) - y0)..(y.end.min(y1) - y0);
                    let mut end = 0;
                    while let Some(start) = (end..blocks.grid_width).find(|&bx| near(bx)) {
                        let value = blocks.solid(start, by);
                        end = (start + 1..blocks.grid_width)
                            .find(|&bx| !near(bx) || blocks.solid(bx, by) != value)
                            .unwrap_or(blocks.grid_width);
                        let x =
                            (start * side / per).min(grid_width)..(end * side).div_ceil(per).min(grid_width);
                        for y in rows.clone() {
                            for slope in [&mut *a, &mut *b, &mut *c] {
                                slope[y * grid_width..][x.clone()].fill(0.0);
                            }
                            d[y * grid_width..][x.clone()].fill(f32::from(value) / 255.0);
                        }
                    }
                }
                marks.clear();
                (block_rows.0..block_rows.1).for_each(|row| marks.extend_from_slice(busy(row)));
                // Rows of the area count from its first block on.
                let area = Area {
                    y: (y0, y1),
                    first: block_rows.0,
                    side,
                    per,
                    grid_width: blocks.grid_width,
                    marks,
                };
                let source = match coarse {
                    Some(coarse) => Source::Models(coarse),
                    None => Source::Mask { band, stretch: samples, extent: extent / scale as f32 },
                };
                let mut guide = Pixels { strips, n, size, source, models: pairs, tmp };
                let [inside, clear, line, ..] = more;
                let rows = extent / (2 * scale) as f32;
                guided::filter(&mut guide, &area, window, eps, filter, |models| {
                    let ((y, x), count) = (models.at, models.alpha.len());
                    for (grid, out) in [(&band.band, &mut *inside), (&band.clear, &mut *clear)] {
                        out.resize(count, 0.0);
                        cells.row(grid, band.height, (y, rows), x, out, line);
                    }
                    let at = (y - y0) * grid_width + x;
                    let out = [&mut *a, &mut *b, &mut *c, &mut *d].map(|m| &mut m[at..][..count]);
                    blend(models.model, [inside, clear, models.alpha], contrast, out);
                });
            });
        });
    }

    /// Finds the blocks in which the finest level has something to do.
    pub(super) fn settle(&mut self) {
        let (blocks, level, strips) = (&mut self.blocks, &self.levels[1], &self.strips);
        blocks.settle(level.width, level.height, |y, x, lo_hi| {
            with_local(|l| {
                let n = x.1 - x.0;
                let Local { pairs: [r, g, b, alpha], .. } = l;
                // The cells' own models will do.
                let count = n.div_ceil(2);
                let model = level.model.each_ref().map(|m| &m[y / 2 * level.grid_width + x.0 / 2..][..count]);
                for (k, [first, second]) in [&mut *r, &mut *g, &mut *b].into_iter().enumerate() {
                    first.resize(count, 0.0);
                    second.resize(count, 0.0);
                    center_pairs(&strips.row(1, k, y)[x.0..x.1], first, second);
                }
                for k in 0..2 {
                    alpha[k].resize(count, 0.0);
                    apply(model, [&r[k], &g[k], &b[k]], &mut alpha[k]);
                }
                lo_hi(&alpha[0], &alpha[1]);
            });
        });
    }
}

/// Where the alpha that a level is fitted to comes from.
enum Source<'a> {
    /// The network's mask.
    Mask { band: &'a Band, stretch: &'a Stretch, extent: f32 },
    /// The next coarser level.
    Models(&'a Level),
}

/// A level as the filter sees it.
struct Pixels<'a> {
    strips: &'a Strips,
    n: usize,
    size: (usize, usize),
    source: Source<'a>,
    models: &'a mut [[Vec<f32>; 2]; 4],
    tmp: &'a mut Vec<f32>,
}

impl Guide for Pixels<'_> {
    fn size(&self) -> (usize, usize) {
        (self.size.0.div_ceil(2), self.size.1.div_ceil(2))
    }

    fn rows(&mut self, y: usize, x: usize, count: usize, out: &mut Samples) {
        let (width, height) = self.size;
        let columns = 2 * x..(2 * (x + count)).min(width);
        for (dy, [r, g, b, alpha]) in out.iter_mut().enumerate() {
            let y = (2 * y + dy).min(height - 1);
            for (k, [first, second]) in [&mut *r, &mut *g, &mut *b].into_iter().enumerate() {
                center_pairs(&self.strips.row(self.n, k, y)[columns.clone()], first, second);
            }
            match self.source {
                Source::Mask { band, stretch, extent } => {
                    let row = &mut self.models[0][0];
                    row.resize(columns.len(), 0.0);
                    stretch.row(&band.mask, band.height, (y, extent), columns.start, row, self.tmp);
                    clip(row, SNAP.0, SNAP.1);
                    for (i, pair) in row.chunks(2).enumerate() {
                        (alpha[0][i], alpha[1][i]) = (pair[0], pair[pair.len() - 1]);
                    }
                }
                Source::Models(coarse) => {
                    // One model for the four samples of a cell would do a quarter of this, and costs 2 % of Grad.
                    for (rows, plane) in self.models.iter_mut().zip(&coarse.model) {
                        stretch_pairs(
                            plane,
                            (coarse.grid_width, coarse.grid_height),
                            y,
                            (x, count),
                            rows,
                            self.tmp,
                        );
                    }
                    let model = self.models.each_ref().map(|m| m.each_ref().map(|v| &v[..count]));
                    for k in 0..2 {
                        let color = [&r[k], &g[k], &b[k]].map(|c| &c[..count]);
                        apply(model.map(|m| m[k]), color, &mut alpha[k][..count]);
                    }
                    if width % 2 == 1 && columns.end == width {
                        alpha[1][count - 1] = alpha[0][count - 1];
                    }
                }
            }
        }
    }
}

/// What is added to each colour's variance: [`EPS`] on R, G and B, and as much contrast of grey on luma alone.
pub(super) fn regularisation(frame: &Frame<'_>) -> [f32; 3] {
    if !frame.format.is_yuv() {
        return if frame.format.layout().colors == 1 { [EPS / 3.0; 3] } else { [EPS; 3] };
    }
    let (luma, _, chroma) = frame.color.scale();
    let part = |scale: f32| (scale / 255.0).powi(2) * EPS / 3.0;
    [part(luma), part(chroma), part(chroma)]
}
