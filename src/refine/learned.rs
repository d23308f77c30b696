//! What the filter leaves open, corrected by a small network at the frame's own pixels: gaps between curls, rough contours before
//! a busy background. It looks at the colours and at the matte itself, and only where that is in doubt or next to it.
//!
//! `tools/refiner` draws what it was trained with and trains it; docs/refine.md tells how it was measured.

use std::cell::RefCell;

use once_cell::sync::OnceCell;
use rayon::prelude::*;

use super::Kept;
use crate::error::Result;
use crate::frame::Frame;
use crate::runtime::{Input, ModelSource, Provider, Runtime, Session};
use crate::sample::Sampler;

/// R, G, B and the matte in 0..1 in, the matte out; any size in multiples of [`GRAIN`].
const NETWORK: &[u8] = include_bytes!("../../models/edges.onnx");
const GRAIN: usize = 16;
/// Side of a square of the frame that is corrected or left alone, in pixels.
const BLOCK: usize = 8;
/// Side of what the network is shown at a time, where the frame is as large.
const TILE: usize = 128;
/// Blocks at a tile's sides that it is shown for what lies beside them.
const MARGIN: usize = 1;
/// Blocks of a tile that are corrected, across: tiles begin at multiples of the grain, up to a block sooner than they would have to.
const USED: usize = TILE / BLOCK - 2 * MARGIN - 1;
/// Samples of the mask's short side from which on its errors are such as the network knows.
pub const LEAST_MASK: usize = 270;
/// Blocks around one with doubt in it that are corrected, too.
const REACH: usize = 1;
/// Alpha between these is in doubt.
const DOUBT: std::ops::RangeInclusive<u8> = 3..=252;
/// What the network gives within this of 0 or 1 is meant so.
const SURE: f32 = 0.012;

/// One for all streams of the process: its runs do not wait for each other.
static SESSION: OnceCell<Session> = OnceCell::new();

fn session(runtime: &Runtime) -> Result<&'static Session> {
    SESSION.get_or_try_init(|| {
        // Tiles go side by side, on the kernels' threads; a run has none of its own.
        Session::load(runtime, ModelSource::Memory(NETWORK), (Provider::Cpu, ""), 1, true, false)
    })
}

/// Corrects mattes; keeps its buffers from frame to frame.
#[derive(Debug, Default)]
pub struct EdgeCorrector {
    /// The matte as it came.
    before: Vec<u8>,
    /// By block, row by row: what is corrected.
    marked: Vec<bool>,
    rows: Vec<bool>,
    tiles: Vec<Tile>,
}

/// A part of the frame that the network is shown.
#[derive(Clone, Copy, Debug)]
struct Tile {
    /// Its first pixel; even.
    x: usize,
    y: usize,
    /// The first block that is corrected by it, and as many across and down as [`USED`].
    column: usize,
    row: usize,
}

#[derive(Default)]
struct Local {
    sampler: Sampler,
    input: Vec<f32>,
}

thread_local!(static LOCAL: RefCell<Local> = RefCell::default());

impl EdgeCorrector {
    /// No buffers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Corrects `alpha` (0..255, tight rows of the frame's size) by the colours of `frame`, but for the blocks in `kept`.
    /// Chroma is taken to lie in the middle of its pixels. A frame less than 16 pixels wide or high is left as it is, and so is one
    /// that `alpha` does not fit.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::ModelInvalid`] and [`crate::error::ErrorKind::Inference`] when ONNX Runtime cannot load or
    /// run the network; `alpha` is as it was then.
    pub(crate) fn correct(
        &mut self,
        runtime: &Runtime,
        frame: &Frame<'_>,
        kept: Option<Kept<'_>>,
        alpha: &mut [u8],
    ) -> Result<()> {
        let (w, h) = (frame.width, frame.height);
        let (tile_w, tile_h) = (w.min(TILE) / GRAIN * GRAIN, h.min(TILE) / GRAIN * GRAIN);
        if tile_w == 0 || tile_h == 0 || alpha.len() != w * h || !frame.holds_colors() {
            return Ok(());
        }
        let columns = w.div_ceil(BLOCK);
        self.mark(alpha, w, kept);
        self.cover((w, h), (tile_w, tile_h));
        if self.tiles.is_empty() {
            return Ok(());
        }
        let session = session(runtime)?;
        self.before.clear();
        self.before.extend_from_slice(alpha);
        let before = &self.before[..];
        let solve = |tile: &Tile| {
            LOCAL.with_borrow_mut(|l| {
                let rgb = l.sampler.sample(&frame.part(tile.x, tile.y, tile_w, tile_h), tile_w, tile_h);
                l.input.clear();
                l.input.extend(rgb.iter().flatten().map(|v| v / 255.0));
                let rows = before[tile.y * w..].chunks(w).take(tile_h);
                l.input.extend(rows.flat_map(|r| &r[tile.x..][..tile_w]).map(|a| f32::from(*a) / 255.0));
                let shape = [1, 4, tile_h as i64, tile_w as i64];
                session.run(&[("in", &shape, Input::F32(&l.input))], &mut [], &["out"], |outputs| {
                    Ok(outputs[0].data.iter().map(|v| quantise(*v)).collect::<Vec<u8>>())
                })
            })
        };
        let solved = self.tiles.par_iter().map(solve).collect::<Result<Vec<_>>>()?;
        for (tile, solved) in self.tiles.iter().zip(solved) {
            for (row, marked) in self.marked.chunks(columns).enumerate().skip(tile.row).take(USED) {
                for (column, _) in marked.iter().enumerate().skip(tile.column).take(USED).filter(|m| *m.1) {
                    let x = column * BLOCK..((column + 1) * BLOCK).min(tile.x + tile_w);
                    for y in row * BLOCK..((row + 1) * BLOCK).min(tile.y + tile_h) {
                        let from = &solved[(y - tile.y) * tile_w..];
                        alpha[y * w..][x.clone()].copy_from_slice(&from[x.start - tile.x..x.end - tile.x]);
                    }
                }
            }
        }
        Ok(())
    }

    /// Marks blocks with doubt in or near them that are not kept.
    fn mark(&mut self, alpha: &[u8], width: usize, kept: Option<Kept<'_>>) {
        let columns = width.div_ceil(BLOCK);
        let count = alpha.len().div_ceil(width).div_ceil(BLOCK) * columns;
        for v in [&mut self.marked, &mut self.rows] {
            v.clear();
            v.resize(count, false);
        }
        self.rows.par_chunks_mut(columns).zip(alpha.par_chunks(width * BLOCK)).for_each(|(doubt, rows)| {
            for row in rows.chunks(width) {
                for (doubt, part) in doubt.iter_mut().zip(row.chunks(BLOCK)) {
                    // Without a branch a sample.
                    *doubt |= part.iter().fold(false, |any, a| any | DOUBT.contains(a));
                }
            }
        });
        let rows = count / columns;
        for (row, marked) in self.marked.chunks_mut(columns).enumerate() {
            for near in
                self.rows.chunks(columns).take(rows.min(row + REACH + 1)).skip(row.saturating_sub(REACH))
            {
                for (column, marked) in marked.iter_mut().enumerate() {
                    *marked |=
                        near[column.saturating_sub(REACH)..(column + REACH + 1).min(columns)].contains(&true);
                }
            }
            let Some(kept) = kept else { continue };
            for (column, marked) in marked.iter_mut().enumerate() {
                let at = row * BLOCK / kept.side * kept.grid_width + column * BLOCK / kept.side;
                *marked &= !kept.blocks.get(at).is_some_and(|kept| *kept);
            }
        }
    }

    /// Lays tiles over what is marked.
    fn cover(&mut self, (w, h): (usize, usize), (tile_w, tile_h): (usize, usize)) {
        let columns = w.div_ceil(BLOCK);
        // Where the network's own grid lies as in the frame before, but at the frame's end; even, so that a tile begins with a
        // sample of chroma.
        let place = |block: usize, n: usize, tile: usize| {
            (block.saturating_sub(MARGIN) * BLOCK / GRAIN * GRAIN).min((n - tile) / 2 * 2)
        };
        self.tiles.clear();
        let rows = self.marked.len() / columns;
        let mut row = 0;
        while row < rows {
            let band = &self.marked[row * columns..(row + USED).min(rows) * columns];
            if !band[..columns].contains(&true) {
                row += 1;
                continue;
            }
            let mut column = 0;
            while column < columns {
                if band.iter().skip(column).step_by(columns).any(|m| *m) {
                    let (x, y) = (place(column, w, tile_w), place(row, h, tile_h));
                    self.tiles.push(Tile { x, y, column, row });
                    column += USED;
                } else {
                    column += 1;
                }
            }
            row += USED;
        }
    }
}

fn quantise(alpha: f32) -> u8 {
    match alpha {
        a if a < SURE => 0,
        a if a > 1.0 - SURE => 255,
        a => (a * 255.0 + 0.5) as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Format;
    use crate::frame::testing::{Picture, noise};
    use crate::refine::{Quality, Refiner};
    use crate::runtime;

    const W: usize = 640;
    const H: usize = 360;

    fn correct(picture: &Picture, kept: Option<Kept<'_>>, alpha: &mut [u8]) {
        let runtime = runtime::open(None).unwrap();
        EdgeCorrector::new().correct(runtime, &picture.frame(), kept, alpha).unwrap();
    }

    /// How far a pixel lies inside a disc, in pixels.
    fn inside(x: usize, y: usize) -> f32 {
        110.0 - (x as f32 + 0.5 - 320.0).hypot(y as f32 + 0.5 - 180.0)
    }

    /// A matte of the disc whose edge is `soft` pixels wide.
    fn disc(soft: f32) -> Vec<u8> {
        let at = |n| (inside(n % W, n / W) / soft + 0.5).clamp(0.0, 1.0);
        (0..W * H).map(|n| (at(n) * 255.0 + 0.5) as u8).collect()
    }

    /// An orange disc before a blue wall.
    fn scene(format: Format) -> Picture {
        let mut picture = noise(format, W, H, 3);
        let truth = disc(1.0);
        let color = picture.color;
        let layout = format.layout();
        for (i, c) in layout.color.iter().enumerate().take(layout.colors) {
            let values = [[40, 60, 140], [220, 120, 60]];
            let [out, within] = values.map(|v| if format.is_yuv() { color.yuv(v)[i] } else { v[i] });
            let mut frame = picture.frame_mut();
            for y in 0..c.height(H) {
                let row = frame.planes[c.plane].row(y);
                for x in 0..c.width(W) {
                    let a = f32::from(truth[(y << c.vsub) * W + (x << c.hsub)]) / 255.0;
                    let grain = f32::from(row[c.offset + x * c.step]) / 32.0;
                    let v = f32::from(out) * (1.0 - a) + f32::from(within) * a + grain;
                    row[c.offset + x * c.step] = v.clamp(0.0, 255.0) as u8;
                }
            }
        }
        picture
    }

    fn error(alpha: &[u8], truth: &[u8]) -> u64 {
        alpha.iter().zip(truth).map(|(a, t)| u64::from(a.abs_diff(*t))).sum()
    }

    #[test]
    fn the_filters_contour_becomes_smoother_in_every_format() {
        let truth = disc(1.0);
        // What a network might see of it, at two fifths of the size.
        let at = |n: usize| inside(n % 256 * 5 / 2 + 1, n / 256 * 5 / 2 + 1) / 15.0 + 0.5;
        let mask: Vec<f32> = (0..256 * 144).map(|n| at(n).clamp(0.0, 1.0)).collect();
        for format in Format::ALL.into_iter().filter(|f| f.layout().colors == 3) {
            let (picture, mut alpha) = (scene(format), vec![0; W * H]);
            Refiner::new().refine(&picture.frame(), &mask, 256, 144, Quality::Best, &mut alpha);
            let before = error(&alpha, &truth);
            correct(&picture, None, &mut alpha);
            let after = error(&alpha, &truth);
            assert!(after * 10 < before * 8, "{format:?}: {before} → {after}");
        }
    }

    #[test]
    fn one_tile_is_one_run_of_the_network() {
        let picture = noise(Format::Rgb, TILE, TILE, 5);
        let before: Vec<u8> = (0..TILE * TILE).map(|n| (n % 251) as u8).collect();
        let frame = picture.frame();
        let mut input: Vec<f32> = (0..3)
            .flat_map(|c| (0..TILE * TILE).map(move |n| (c, n)))
            .map(|(c, n)| f32::from(frame.planes[0].row(n / TILE)[n % TILE * 3 + c]) / 255.0)
            .collect();
        input.extend(before.iter().map(|a| f32::from(*a) / 255.0));
        let session = session(runtime::open(None).unwrap()).unwrap();
        let shape = [1, 4, TILE as i64, TILE as i64];
        let run = session.run(&[("in", &shape, Input::F32(&input))], &mut [], &["out"], |o| {
            Ok(o[0].data.iter().map(|v| quantise(*v)).collect::<Vec<_>>())
        });
        let mut alpha = before;
        correct(&picture, None, &mut alpha);
        // The last blocks are another tile's, which lies in the same place.
        assert_eq!(alpha, run.unwrap());
    }

    #[test]
    fn what_is_sure_or_kept_stays() {
        let picture = noise(Format::I420, W, H, 1);
        let sure: Vec<u8> = (0..W * H).map(|n| if n % W < 320 { 0 } else { 255 }).collect();
        let mut alpha = sure.clone();
        correct(&picture, None, &mut alpha);
        assert!(alpha == sure, "a matte without doubt");

        let before = disc(9.0);
        let mut alpha = before.clone();
        correct(&picture, None, &mut alpha);
        let changed = |n: &usize| alpha[*n] != before[*n];
        // Beyond the blocks that are near doubt.
        let far = |n: &usize| inside(n % W, n / W).abs() > 4.5 + 1.5 * ((REACH + 1) * BLOCK) as f32;
        assert!((0..W * H).any(|n| changed(&n)) && !(0..W * H).filter(far).any(|n| changed(&n)));

        let blocks: Vec<bool> = (0..20 * 12).map(|n| n % 20 < 10).collect();
        let kept = Kept { side: 32, grid_width: 20, blocks: &blocks };
        let mut alpha = before.clone();
        correct(&picture, Some(kept), &mut alpha);
        let changed = |n: &usize| alpha[*n] != before[*n];
        assert!((0..W * H).filter(changed).all(|n| n % W >= 320));
        assert!((0..W * H).any(|n| changed(&n)));
    }

    #[test]
    fn frames_of_any_size_are_taken() {
        for (w, h) in [(1, 1), (15, 40), (16, 16), (17, 33), (100, 100), (127, 129), (131, 16), (640, 20)] {
            let picture = noise(Format::I420, w, h, 9);
            let mut alpha: Vec<u8> = (0..w * h).map(|n| (n * 7 % 256) as u8).collect();
            let before = alpha.clone();
            correct(&picture, None, &mut alpha);
            assert_eq!(alpha == before, w < GRAIN || h < GRAIN, "{w}x{h}");
        }
        let mut short = vec![128; 10];
        correct(&noise(Format::Rgb, 64, 64, 9), None, &mut short);
        assert_eq!(short, [128; 10]);
    }
}
