//! What the filter leaves open, corrected by a small network: gaps between curls, rough contours before a busy background. It
//! looks at the colours, at the matte itself, and at the background where that is remembered, and only where the matte is in
//! doubt or next to it.
//!
//! It works near the size at which it was trained: frames of 900 lines or more are brought to 600 to 900, and its changes back.
//!
//! `tools/refiner` draws what it was trained with and trains it; docs/refine.md tells how it was measured.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::Kept;
use crate::error::Result;
use crate::frame::{Color, Format, Frame, Plane};
use crate::models::edges;
use crate::morphology::dilate;
use crate::runtime::{Input, Runtime, Session};
use crate::sample::Sampler;
use crate::scene::{Behind, Part};
use crate::simd::in_pool;

/// Lines of the frames that it was trained with.
const LINES: usize = 720;
/// Numbers of a pixel that the network is shown: R, G, B and the matte, less a half; what R, G, B differ by from the remembered
/// background, and whether one is known.
const INPUTS: usize = 8;
/// Where the matte is among them.
const MATTE: usize = 3;
/// The largest tile, in pixels across.
const WIDEST: usize = 128;
/// What the network's sizes are multiples of.
const GRAIN: usize = 16;
/// Side of a square that is corrected or left alone.
const BLOCK: usize = 8;
/// Blocks at a tile's sides that it is shown for what lies beside them.
const MARGIN: usize = 1;
/// Blocks of a tile that are corrected, across and down, at most: tiles begin and end at multiples of the grain, up to a block
/// beyond their margin. Lower ones follow a contour more closely.
const USED: (usize, usize) = (WIDEST / BLOCK - 2 * MARGIN - 2, 8);
/// Samples of the mask's short side from which on its errors are such as the network knows.
pub const LEAST_MASK: usize = 270;
/// Blocks around one with doubt in it that are corrected, too.
const REACH: usize = 1;
/// Alpha between these is in doubt.
const DOUBT: std::ops::RangeInclusive<u8> = 3..=252;
/// What the network gives within this of 0 or 1 is meant so.
const SURE: f32 = 0.012;

/// Corrects mattes; keeps its buffers from frame to frame.
#[derive(Debug, Default)]
pub struct EdgeCorrector {
    session: Option<Arc<Session>>,
    /// By block, row by row: not 0 where it is corrected.
    marked: Vec<u8>,
    doubt: Vec<u8>,
    tmp: Vec<u8>,
    tiles: Vec<Tile>,
    /// By tile, at its own size: what is added to the matte.
    changes: Vec<Vec<f32>>,
}

/// A part of the frame that the network is shown.
#[derive(Clone, Debug)]
struct Tile {
    across: Side,
    down: Side,
}

/// Where a tile lies along an axis.
#[derive(Clone, Debug)]
struct Side {
    /// Its first pixel of the frame, even; and its pixels of the frame.
    begin: usize,
    span: usize,
    /// Its own pixels.
    size: usize,
    /// The blocks that are corrected by it.
    blocks: Range<usize>,
}

/// Sizes that follow from the frame's.
#[derive(Clone, Copy, Debug)]
struct Plan {
    width: usize,
    height: usize,
    /// Half pixels of the frame to a pixel of a tile.
    halves: usize,
}

impl Plan {
    /// None for a frame that is smaller than the network's grain.
    fn new(width: usize, height: usize) -> Option<Self> {
        let halves = ((2 * width.min(height) + LINES / 2) / LINES).max(2);
        let plan = Self { width, height, halves };
        (width.min(height) >= plan.pixels(GRAIN)).then_some(plan)
    }

    /// So many pixels of a tile in pixels of the frame.
    fn pixels(&self, n: usize) -> usize {
        n * self.halves / 2
    }

    /// The side of a block.
    fn block(&self) -> usize {
        self.pixels(BLOCK)
    }

    /// Blocks in a row.
    fn columns(&self) -> usize {
        self.width.div_ceil(self.block())
    }

    /// The side of a tile that corrects these blocks of an axis of `n` pixels. The network's own grid lies as in the frame
    /// before, but at the frame's end; and a tile begins with a sample of chroma.
    fn side(&self, blocks: Range<usize>, n: usize) -> Side {
        let first = blocks.start.saturating_sub(MARGIN) * BLOCK / GRAIN;
        let last = ((blocks.end + MARGIN) * BLOCK).div_ceil(GRAIN);
        let size = (last - first).min(n / self.pixels(GRAIN)) * GRAIN;
        let span = self.pixels(size);
        let end = (blocks.end * self.block()).min(n);
        let begin = (first * self.pixels(GRAIN)).max(end.saturating_sub(span).next_multiple_of(2));
        Side { begin: begin.min((n - span) / 2 * 2), span, size, blocks }
    }

    /// Blocks that a tile may correct along an axis of `n` pixels: fewer than `most` where the frame is hardly larger and no multiple
    /// of the grain.
    fn used(&self, n: usize, most: usize) -> usize {
        let grains = n / self.pixels(GRAIN);
        let whole = grains * self.pixels(GRAIN) + 1 >= n;
        if whole { most } else { (grains * GRAIN / BLOCK).saturating_sub(2 * MARGIN).clamp(1, most) }
    }

    /// The pixels of the frame of a block of a tile, counted from the tile's first, along an axis of `n` pixels. One more than the
    /// tile has where that is odd.
    fn within(&self, block: usize, side: &Side, n: usize) -> Range<usize> {
        block * self.block() - side.begin..((block + 1) * self.block()).min(n) - side.begin
    }

    /// Which of a tile's pixels lies before the middle of a pixel of the frame, counted from the tile's first; and how far.
    fn place(&self, at: usize, side: &Side) -> (usize, f32) {
        let at = ((2 * at + 1) as f32 / self.halves as f32 - 0.5).clamp(0.0, (side.size - 1) as f32);
        (at as usize, at.fract())
    }
}

#[derive(Default)]
struct Local {
    colors: Sampler,
    uncentred: Sampler,
    matte: Sampler,
    behind: Part,
    input: Vec<f32>,
}

thread_local!(static LOCAL: RefCell<Local> = RefCell::default());

impl EdgeCorrector {
    /// No buffers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Corrects `alpha` (0..255, tight rows of the frame's size) by the colours of `frame` and what is known of the background,
    /// but for what lies wholly in the blocks in `kept`. Chroma is taken to lie in the middle of its pixels. A frame less than 16
    /// pixels wide or high is left as it is, and so is one that `alpha` does not fit.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::ModelInvalid`] and [`crate::error::ErrorKind::Inference`] when ONNX Runtime cannot load or
    /// run the network; `alpha` is as it was then.
    pub(crate) fn correct(
        &mut self,
        runtime: &Runtime,
        frame: &Frame<'_>,
        behind: Option<Behind<'_>>,
        kept: Option<Kept<'_>>,
        alpha: &mut [u8],
    ) -> Result<()> {
        let Some(plan) = Plan::new(frame.width, frame.height) else { return Ok(()) };
        if alpha.len() != frame.width * frame.height || !frame.holds_colors() {
            return Ok(());
        }
        in_pool(|| self.mark(alpha, &plan, kept));
        self.cover(&plan);
        if self.tiles.is_empty() {
            return Ok(());
        }
        let session = match &self.session {
            Some(session) => Arc::clone(session),
            None => Arc::clone(self.session.insert(edges(runtime)?)),
        };
        in_pool(|| {
            self.changes.resize_with(self.tiles.len().max(self.changes.len()), Vec::new);
            let (before, marked) = (&*alpha, &self.marked[..]);
            let tiles = self.tiles.par_iter().zip(&mut self.changes);
            tiles.try_for_each(|(tile, change)| {
                LOCAL.with_borrow_mut(|l| l.solve(&session, (frame, before, behind), tile, change))
            })?;
            let band = plan.used(plan.height, USED.1);
            let bands = alpha.par_chunks_mut(frame.width * band * plan.block());
            bands.enumerate().for_each(|(n, rows)| {
                let tiles = self.tiles.iter().zip(&self.changes);
                for (tile, change) in tiles.filter(|(tile, _)| tile.down.blocks.start / band == n) {
                    tile.put(&plan, marked, change, n * band * plan.block(), rows);
                }
            });
            Ok(())
        })
    }

    /// Marks blocks with doubt in or near them, but for those all of which is kept.
    fn mark(&mut self, alpha: &[u8], plan: &Plan, kept: Option<Kept<'_>>) {
        let (columns, block) = (plan.columns(), plan.block());
        let count = plan.height.div_ceil(block) * columns;
        for v in [&mut self.marked, &mut self.doubt, &mut self.tmp] {
            v.clear();
            v.resize(count, 0);
        }
        let rows = self.doubt.par_chunks_mut(columns).zip(alpha.par_chunks(plan.width * block));
        rows.for_each(|(doubt, rows)| {
            for row in rows.chunks(plan.width) {
                for (doubt, part) in doubt.iter_mut().zip(row.chunks(block)) {
                    // Without a branch a sample.
                    *doubt |= part.iter().fold(0, |any, a| any | u8::from(DOUBT.contains(a)));
                }
            }
        });
        dilate(&self.doubt, columns, REACH, &mut self.marked, &mut self.tmp);
        let Some(kept) = kept else { return };
        for (n, marked) in self.marked.iter_mut().enumerate().filter(|m| *m.1 != 0) {
            let ends =
                |at: usize, n: usize| [at * block, ((at + 1) * block).min(n) - 1].map(|p| p / kept.side);
            let (xs, ys) = (ends(n % columns, plan.width), ends(n / columns, plan.height));
            let held = |(x, y): (usize, usize)| kept.blocks.get(y * kept.grid_width + x).is_some_and(|k| *k);
            *marked = u8::from(!ys.into_iter().all(|y| xs.into_iter().all(|x| held((x, y)))));
        }
    }

    /// Lays tiles over what is marked, each within a cell of fixed place, so that nothing that comes or goes elsewhere shifts it,
    /// and as wide and high as what it holds.
    fn cover(&mut self, plan: &Plan) {
        let columns = plan.columns();
        let rows = self.marked.len() / columns;
        let marked = |row: usize, column: usize| self.marked[row * columns + column] != 0;
        let used = (plan.used(plan.width, USED.0), plan.used(plan.height, USED.1));
        self.tiles.clear();
        for top in (0..rows).step_by(used.1) {
            let down = top..(top + used.1).min(rows);
            let holds = |column: &usize| down.clone().any(|row| marked(row, *column));
            let mut left = 0;
            while let Some(first) = (left..columns).find(holds) {
                // What lies less than two margins apart is shown once.
                let mut last = first;
                let end = (first / used.0 + 1) * used.0;
                for column in (first..columns.min(end)).filter(holds) {
                    if column > last + 2 * MARGIN + 1 {
                        break;
                    }
                    last = column;
                }
                left = last + 1;
                let holds = |row: &usize| (first..left).any(|column| marked(*row, column));
                let upper = down.clone().find(holds).unwrap_or(down.start);
                let lower = down.clone().rfind(holds).map_or(down.end, |row| row + 1);
                self.tiles.push(Tile {
                    across: plan.side(first..left, plan.width),
                    down: plan.side(upper..lower, plan.height),
                });
            }
        }
    }
}

impl Local {
    /// What is added to the matte in a tile, by its own pixels.
    fn solve(
        &mut self,
        session: &Session,
        (frame, matte, behind): (&Frame<'_>, &[u8], Option<Behind<'_>>),
        tile: &Tile,
        change: &mut Vec<f32>,
    ) -> Result<()> {
        let (width, height) = (tile.across.size, tile.down.size);
        let n = width * height;
        let area = (tile.across.begin, tile.down.begin, tile.across.span, tile.down.span);
        let (x, y, across, down) = area;
        self.input.resize(INPUTS * n, 0.0);
        let (seen, rest) = self.input.split_at_mut(MATTE * n);
        let (alpha, rest) = rest.split_at_mut(n);
        let rgb = self.colors.sample(&frame.part(x, y, across, down), width, height);
        for (to, from) in seen.iter_mut().zip(rgb.iter().flatten()) {
            *to = from / 255.0 - 0.5;
        }
        let none = Plane { data: &[], stride: 0 };
        let planes = [Plane { data: matte, stride: frame.width }, none, none, none];
        let matte = Frame { format: Format::Gray8, color: Color::BT709, planes, ..*frame };
        let [grey, ..] = self.matte.sample(&matte.part(x, y, across, down), width, height);
        for (to, from) in alpha.iter_mut().zip(grey) {
            *to = from / 255.0 - 0.5;
        }
        if let Some(behind) = behind.filter(|b| self.behind.fill(b, area, (width, height))) {
            // What is remembered has its chroma where the frame had it.
            let rgb = if frame.same_planes(&behind.frame) {
                rgb
            } else {
                self.uncentred.sample(&behind.frame.part(x, y, across, down), width, height)
            };
            let (differences, known) = rest.split_at_mut(3 * n);
            known.copy_from_slice(&self.behind.known);
            for ((to, from), behind) in differences.chunks_mut(n).zip(rgb).zip(&self.behind.rgb) {
                for (((to, from), behind), known) in to.iter_mut().zip(from).zip(behind).zip(&*known) {
                    *to = known * (from - behind) / 255.0;
                }
            }
        } else {
            rest.fill(0.0);
        }
        let shape = [1, INPUTS as i64, height as i64, width as i64];
        session.run(&[("in", &shape, Input::F32(&self.input))], &mut [], &["out"], |outputs| {
            let within = |(m, more): (&f32, &f32)| (m + more).clamp(-0.5, 0.5) - m;
            change.clear();
            change.extend(self.input[MATTE * n..].iter().zip(outputs[0].data.iter()).map(within));
            Ok(())
        })
    }
}

impl Tile {
    /// The rows of its blocks that hold something to correct; of all: `marked`.
    fn blocks<'a>(&self, plan: &Plan, marked: &'a [u8]) -> impl Iterator<Item = (usize, &'a [u8])> {
        let (columns, across) = (plan.columns(), self.across.blocks.clone());
        let rows = self.down.blocks.clone().map(move |row| (row, &marked[row * columns..][across.clone()]));
        rows.filter(|(_, marked)| marked.contains(&1))
    }

    /// Adds its change to the rows of the matte from `top` on, in the blocks that are marked.
    fn put(&self, plan: &Plan, marked: &[u8], change: &[f32], top: usize, alpha: &mut [u8]) {
        let (across, down) = (&self.across, &self.down);
        let places: Vec<(usize, f32)> = (0..=across.span).map(|x| plan.place(x, across)).collect();
        let mut mixed = [0.0; WIDEST + 1];
        for (row, marked) in self.blocks(plan, marked) {
            for y in plan.within(row, down, plan.height) {
                let (at, f) = plan.place(y, down);
                let line = |at: usize| &change[at.min(down.size - 1) * across.size..][..across.size];
                for ((m, a), b) in mixed.iter_mut().zip(line(at)).zip(line(at + 1)) {
                    *m = a + (b - a) * f;
                }
                mixed[across.size] = mixed[across.size - 1];
                for (column, _) in across.blocks.clone().zip(marked).filter(|m| *m.1 != 0) {
                    let within = plan.within(column, across, plan.width);
                    let out = &mut alpha[(down.begin + y - top) * plan.width + across.begin + within.start..];
                    let places = &places[within];
                    for (a, (x, f)) in out.iter_mut().zip(places) {
                        let change = mixed[*x] + (mixed[x + 1] - mixed[*x]) * f;
                        *a = quantise(f32::from(*a) / 255.0 + change);
                    }
                }
            }
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
        EdgeCorrector::new().correct(runtime, &picture.frame(), None, kept, alpha).unwrap();
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
        const SIDE: usize = 64;
        let picture = noise(Format::Rgb, SIDE, SIDE, 5);
        let before: Vec<u8> = (0..SIDE * SIDE).map(|n| (n % 251) as u8).collect();
        let frame = picture.frame();
        let n = SIDE * SIDE;
        let mut input: Vec<f32> = (0..3)
            .flat_map(|c| (0..n).map(move |n| (c, n)))
            .map(|(c, n)| f32::from(frame.planes[0].row(n / SIDE)[n % SIDE * 3 + c]) / 255.0 - 0.5)
            .collect();
        input.extend(before.iter().map(|a| f32::from(*a) / 255.0 - 0.5));
        input.resize(INPUTS * n, 0.0);
        let session = edges(runtime::open(None).unwrap()).unwrap();
        let shape = [1, INPUTS as i64, SIDE as i64, SIDE as i64];
        let mut expected = before.clone();
        let run = session.run(&[("in", &shape, Input::F32(&input))], &mut [], &["out"], |o| {
            for ((a, m), more) in expected.iter_mut().zip(&input[MATTE * n..]).zip(o[0].data.iter()) {
                *a = quantise(f32::from(*a) / 255.0 + ((m + more).clamp(-0.5, 0.5) - m));
            }
            Ok(())
        });
        run.unwrap();
        let mut alpha = before;
        correct(&picture, None, &mut alpha);
        assert_eq!(alpha, expected);
    }

    #[test]
    fn a_larger_frame_is_corrected_as_a_smaller_one() {
        // Each pixel four, and nine: 720 lines become 1440 and 2160.
        let small = noise(Format::Rgb, 1280, 720, 7);
        let matte: Vec<u8> = (0..1280 * 720)
            .map(|n| ((4.0 * (n as f32 % 1280.0 - 500.0 - (n / 1280) as f32 / 9.0)).clamp(0.0, 255.0)) as u8)
            .collect();
        let mut corrected = matte.clone();
        correct(&small, None, &mut corrected);
        let changed = error(&corrected, &matte);
        for times in [2, 3] {
            let mut large = Picture::new(Format::Rgb, 1280 * times, 720 * times);
            for y in 0..720 * times {
                for x in 0..1280 * times {
                    let (from, to) = (small.planes[0].1, large.planes[0].1);
                    let from = &small.planes[0].0[y / times * from + x / times * 3..][..3];
                    large.planes[0].0[y * to + x * 3..][..3].copy_from_slice(from);
                }
            }
            let of = |matte: &[u8]| -> Vec<u8> {
                (0..matte.len() * times * times)
                    .map(|n| matte[n / (1280 * times) / times * 1280 + n % (1280 * times) / times])
                    .collect()
            };
            let mut alpha = of(&matte);
            correct(&large, None, &mut alpha);
            let off = error(&alpha, &of(&corrected)) / (times * times) as u64;
            // What is added is stretched bilinearly.
            assert!(off * 3 < changed, "{times}: {off}, {changed}");
        }
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
    fn every_pixel_that_is_marked_lies_in_a_tile() {
        let sizes =
            (16..150).chain([719, 720, 899, 900, 1079, 1080, 1081, 2159]).map(|n| (n, 16 + n * 7 % 201));
        for (width, height) in sizes {
            let Some(plan) = Plan::new(width, height) else { continue };
            let count = plan.columns() * height.div_ceil(plan.block());
            let mut corrector = EdgeCorrector { marked: vec![1; count], ..EdgeCorrector::default() };
            corrector.cover(&plan);
            let mut covered = vec![false; width * height];
            for tile in &corrector.tiles {
                assert!(tile.across.begin + tile.across.span <= width && tile.across.size <= WIDEST);
                assert!(tile.down.begin + tile.down.span <= height && tile.down.size <= WIDEST);
                for row in tile.down.blocks.clone() {
                    for y in plan.within(row, &tile.down, height) {
                        for column in tile.across.blocks.clone() {
                            let xs = plan.within(column, &tile.across, width);
                            assert!(
                                y <= tile.down.span && xs.end <= tile.across.span + 1,
                                "{width}x{height}"
                            );
                            let at = (tile.down.begin + y) * width + tile.across.begin;
                            covered[at + xs.start..at + xs.end].fill(true);
                        }
                    }
                }
            }
            assert!(covered.iter().all(|c| *c), "{width}x{height}");
        }
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
