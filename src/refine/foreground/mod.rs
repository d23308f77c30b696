//! Colours of the foreground alone: in the band a pixel's colour is a mix with the old background, which shows as a
//! fringe on a new one.
//!
//! As in blur fusion (Forte & Pitié, "Approximate Fast Foreground Colour Estimation", ICIP 2021) the foreground F and
//! the background B around a pixel are means weighted by alpha, and what the mix I leaves unexplained is added back:
//! F + w·(I − α·F − (1−α)·B), where w is α, and below a quarter 4·α². The means come from a pyramid of
//! cells instead of wide blurs, from near by where there is enough to see and from ever farther off where there is not;
//! cells away from the band are not looked at. Each component is its own plane at its own resolution; no colour space
//! is left or entered.

mod gather;
mod outward;
mod piece;
mod rows;

use rayon::prelude::*;

use super::{
    Local, alpha_rows::alpha_row, blocks::runs, enlarge::stretch_row, reduce::halve_plane, with_local,
};
use crate::frame::{Component, Format, Frame, FrameMut, Rows};
use crate::simd::{in_pool, multiversion, unsettled};
pub(super) use gather::Gather;
use outward::Outward;
use piece::bounds;
use rows::Place;

/// Cells of the pyramid, finest to coarsest.
const LEVELS: usize = 4;
/// Cells around the band that are looked at.
const REACH: usize = 4;
/// Weight of the coarser mean against full coverage of a cell.
const COARSER: f32 = 0.03;

/// Foreground or background: sums over cells of weights, and of colours times weights.
#[derive(Debug, Default)]
struct Ground {
    weight: Vec<f32>,
    color: [Vec<f32>; 3],
}

#[derive(Debug, Default)]
struct Cells {
    grid_width: usize,
    grid_height: usize,
    grounds: [Ground; 2],
}

/// From this alpha on a pixel's colour is its own in [`Colors::Faded`].
pub const FADES_BELOW: u8 = 16;

/// Which samples get the foreground's own colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    /// All in the band.
    All,
    /// Chroma samples that a visible pixel shares with hidden ones: it would show what they were.
    Shared,
    /// None: they are the foreground's own already, and those of hidden pixels beside visible ones as well.
    Own,
    /// The same as `Shared`, and where alpha is below `FADES_BELOW` the rest fades to the foreground's colours.
    Faded,
}

/// Puts the foreground's own colours into the band of a frame; keeps its buffers from frame to frame, nothing else.
#[derive(Debug, Default)]
pub struct Foreground {
    made_for: (usize, usize),
    /// Frame pixels in a cell, across.
    side: usize,
    levels: Vec<Cells>,
    /// Cells in the band, and cells looked at.
    band: Vec<bool>,
    need: Vec<bool>,
    wide_need: Vec<bool>,
    outward: Outward,
}

impl Foreground {
    /// No buffers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The colours of `frame`, and the foreground's own where `alpha` (0..255, tight rows of the frame's size) is neither
    /// 0 nor 255 throughout a cell of a few pixels; solid foreground keeps its colours to the bit. Frames and mattes
    /// that do not hold what their sizes say are left as they are. `outward`: also what goes under hidden pixels beside
    /// visible ones.
    pub fn prepare<'a>(
        &'a mut self,
        frame: &'a Frame<'a>,
        alpha: &'a [u8],
        colors: Colors,
        outward: bool,
    ) -> Unmixed<'a> {
        let size = (frame.width, frame.height);
        let mix = Mix { format: frame.format, size, alpha, colors, outward };
        let found = self.find(frame, &mix);
        Unmixed { from: frame, foreground: found.then_some(self), mix }
    }

    /// As [`Foreground::prepare`], in place.
    pub fn estimate(&mut self, frame: &mut FrameMut<'_>, alpha: &[u8], colors: Colors) {
        let size = (frame.width, frame.height);
        let mix = Mix { format: frame.format, size, alpha, colors, outward: false };
        if !self.find(&frame.as_ref(), &mix) {
            return;
        }
        for (plane, data) in frame.planes.iter_mut().enumerate() {
            let stride = data.stride.max(1);
            data.data.par_chunks_mut(stride).enumerate().for_each(|(y, row)| {
                if self.touches(&mix, plane, y) {
                    self.unmix_row(&mix, plane, y, row);
                }
            });
        }
    }

    /// Estimates the colours of foreground and background; whether there is anything to replace.
    fn find(&mut self, frame: &Frame<'_>, mix: &Mix<'_>) -> bool {
        let Mix { size: (w, h), alpha, colors, outward, .. } = *mix;
        let layout = mix.format.layout();
        if !outward
            && colors != Colors::All
            && (colors == Colors::Own || layout.color[..layout.colors].iter().all(|c| c.hsub + c.vsub == 0))
        {
            return false;
        }
        if Some(alpha.len()) != w.checked_mul(h) || !frame.holds_colors() {
            return false;
        }
        self.resize(w, h);
        in_pool(|| {
            self.mark_band(w, alpha);
            let beyond = outward && self.mark_outward(w, alpha);
            if !beyond && !self.band.contains(&true) {
                return false;
            }
            self.mark_need(beyond);
            if beyond {
                self.reach((w, h), alpha);
            }
            if colors == Colors::Own {
                return beyond;
            }
            self.gather(frame, alpha);
            self.pull();
            self.push();
            true
        })
    }

    fn resize(&mut self, w: usize, h: usize) {
        if self.made_for == (w, h) {
            return;
        }
        self.made_for = (w, h);
        // Sixteen pixels at 1080p.
        self.side = (w.min(h) / 90).next_power_of_two().clamp(4, 32);
        let (mut grid_width, mut grid_height) = (w.div_ceil(self.side), h.div_ceil(self.side));
        self.levels.clear();
        for v in [&mut self.band, &mut self.need, &mut self.wide_need] {
            v.clear();
            v.resize(grid_width * grid_height, false);
        }
        self.outward.resize((w, h), grid_width * grid_height);
        for _ in 0..LEVELS {
            let plane = || vec![0.0; grid_width * grid_height];
            let ground = || Ground { weight: plane(), color: [plane(), plane(), plane()] };
            self.levels.push(Cells { grid_width, grid_height, grounds: [ground(), ground()] });
            (grid_width, grid_height) = (grid_width.div_ceil(2), grid_height.div_ceil(2));
        }
    }

    /// Finds the cells in the band.
    fn mark_band(&mut self, width: usize, alpha: &[u8]) {
        let (side, grid_width) = (self.side, self.levels[0].grid_width);
        self.band.par_chunks_mut(grid_width).zip(alpha.par_chunks(side * width)).for_each(|(band, rows)| {
            with_local(|l| unsettled(rows, width, side, &mut l.bytes[0], band));
        });
    }

    /// Finds the cells within reach of the band, or of those whose hidden pixels get colours.
    fn mark_need(&mut self, beyond: bool) {
        let (grid_width, grid_height) = (self.levels[0].grid_width, self.levels[0].grid_height);
        let from = if beyond { &self.outward.cells } else { &self.band };
        for (row, out) in from.chunks_exact(grid_width).zip(self.wide_need.chunks_exact_mut(grid_width)) {
            out.fill(false);
            for run in runs(row) {
                out[run.start.saturating_sub(REACH)..(run.end + REACH).min(grid_width)].fill(true);
            }
        }
        self.need.fill(false);
        for y in 0..grid_height {
            for near in y.saturating_sub(REACH)..(y + REACH + 1).min(grid_height) {
                let (from, to) = (
                    &self.wide_need[near * grid_width..][..grid_width],
                    &mut self.need[y * grid_width..][..grid_width],
                );
                to.iter_mut().zip(from).for_each(|(t, &f)| *t |= f);
            }
        }
    }

    /// Each coarser level's sums.
    fn pull(&mut self) {
        for n in 1..LEVELS {
            let (fine, coarse) = self.levels.split_at_mut(n);
            let (fine, coarse) = (&fine[n - 1], &mut coarse[0]);
            let grid_width = coarse.grid_width;
            fine.grounds.par_iter().zip(&mut coarse.grounds).for_each(|(from, to)| {
                let planes =
                    from.color.iter().chain([&from.weight]).zip(to.color.iter_mut().chain([&mut to.weight]));
                for (from, to) in planes {
                    for (y, to) in to.chunks_exact_mut(grid_width).enumerate() {
                        halve_plane(from, fine.grid_width, fine.grid_height, y, 0, to);
                    }
                }
            });
        }
    }

    /// From sums to means, coarsest first; each takes what it lacks from the coarser one.
    fn push(&mut self) {
        for n in (0..LEVELS).rev() {
            let (fine, coarse) = self.levels.split_at_mut(n + 1);
            let fine = &mut fine[n];
            let grid_width = fine.grid_width;
            fine.grounds.par_iter_mut().enumerate().for_each(|(n, ground)| {
                for (k, color) in ground.color.iter_mut().enumerate() {
                    if let Some(coarse) = coarse.first() {
                        let from = &coarse.grounds[n].color[k];
                        let weight = &ground.weight;
                        with_local(|l| {
                            let line = &mut l.rows[0];
                            line.resize(grid_width, 0.0);
                            for (y, row) in color.chunks_exact_mut(grid_width).enumerate() {
                                stretch_row(
                                    from,
                                    (coarse.grid_width, coarse.grid_height),
                                    2,
                                    (0, y),
                                    line,
                                    &mut l.tmp,
                                );
                                complete(row, &weight[y * grid_width..][..grid_width], line);
                            }
                        });
                    } else {
                        // The whole picture's mean where a coarsest cell has seen nothing.
                        let (sum, weight) = (color.iter().sum::<f32>(), ground.weight.iter().sum::<f32>());
                        let mean = if weight > 1e-3 { sum / weight } else { 128.0 };
                        for (c, &w) in color.iter_mut().zip(&ground.weight) {
                            *c = (*c + COARSER * mean) / (w + COARSER);
                        }
                    }
                }
            });
        }
    }

    /// Cell rows' height in a plane, and the cells that one of its rows lies in whose colours may be replaced.
    fn cells_of(&self, mix: &Mix<'_>, plane: usize, y: usize) -> Option<(usize, &[bool])> {
        let layout = mix.format.layout();
        let first = layout.color[..layout.colors].iter().find(|c| c.plane == plane)?;
        let (grid_width, rows) = (self.levels[0].grid_width, (self.side >> first.vsub).max(1));
        let cells = if mix.outward { &self.outward.cells } else { &self.band };
        Some((rows, cells.get(y / rows * grid_width..)?.get(..grid_width)?))
    }

    /// Whether anything of a row may be replaced.
    fn touches(&self, mix: &Mix<'_>, plane: usize, y: usize) -> bool {
        let layout = mix.format.layout();
        let all = mix.outward || mix.colors == Colors::All;
        let some = |c: &Component| c.plane == plane && (all || c.hsub + c.vsub > 0);
        mix.colors != Colors::Own
            && layout.color[..layout.colors].iter().any(some)
            && self.cells_of(mix, plane, y).is_some_and(|(_, cells)| cells.contains(&true))
    }

    /// Puts the foreground's colours into a row of a plane.
    fn unmix_row(&self, mix: &Mix<'_>, plane: usize, y: usize, row: &mut [u8]) {
        let Mix { format, size: (w, h), alpha, colors, outward } = *mix;
        let (layout, side, finest) = (format.layout(), self.side, &self.levels[0]);
        let Some((down, cells)) = self.cells_of(mix, plane, y) else { return };
        with_local(|l| {
            let Local { bytes: [least, most, ..], rows: [front, back, own_alpha, ..], tmp, .. } = l;
            for (k, c) in layout.color[..layout.colors].iter().enumerate().filter(|(_, c)| c.plane == plane) {
                let shared = c.hsub + c.vsub > 0;
                if colors != Colors::All && !shared && !outward {
                    continue;
                }
                let across = (side >> c.hsub).max(1);
                let width = c.width(w);
                for run in runs(cells) {
                    let all = (run.start * across)..(run.end * across).min(width);
                    let found = bounds(alpha, (w, h), c, y, all.clone(), [&mut *least, &mut *most]);
                    // The run's ends along this very row, where nothing mixes, are left alone.
                    let reach = outward.then(|| self.outward.row(c, y, all.start));
                    let Some(piece) = found.mixes(across, reach, c.hsub) else { continue };
                    let (x0, n) = (all.start + piece.start, piece.len());
                    own_alpha.resize(n, 0.0);
                    alpha_row(alpha, (w, h), (c.hsub, c.vsub), (x0, y), own_alpha);
                    if colors != Colors::All {
                        // What no hidden pixel shares stays as it is.
                        rows::keep(own_alpha, &found.least[piece.clone()]);
                    }
                    // Rows of cells are square in the frame, not in a component: place by rows.
                    let at = Place { cells: finest, across, down, y, from: x0 };
                    let [a, b] = finest.grounds.each_ref().map(|ground| &ground.color[k][..]);
                    let data = &mut row[c.offset + x0 * c.step..];
                    if c.step == 1 && colors != Colors::Faded {
                        rows::unmix_cells([a, b], &at, own_alpha, [&mut *front, &mut *back], data);
                        continue;
                    }
                    for (out, plane) in [(&mut *front, a), (&mut *back, b)] {
                        out.resize(n, 0.0);
                        at.stretch(plane, out, tmp);
                    }
                    rows::unmix(data, c.step, front, back, own_alpha);
                    if colors == Colors::Faded {
                        rows::fade(data, c.step, front, &found.most[piece]);
                    }
                }
            }
        });
    }
}

/// A frame that mixes with its background, and what of it is replaced.
#[derive(Clone, Copy)]
struct Mix<'a> {
    format: Format,
    size: (usize, usize),
    /// Tight rows of the frame's size.
    alpha: &'a [u8],
    colors: Colors,
    /// Under hidden pixels beside visible ones as well.
    outward: bool,
}

/// The colours of a frame, the foreground's own where it mixes with the background.
pub struct Unmixed<'a> {
    from: &'a dyn Rows,
    /// None if nothing mixes.
    foreground: Option<&'a Foreground>,
    mix: Mix<'a>,
}

impl<'a> Unmixed<'a> {
    /// With colours of the same frame into which others have been put already.
    pub fn over(self, from: &'a dyn Rows) -> Self {
        Self { from, ..self }
    }

    /// The estimate, where it may replace anything of a row.
    fn touching(&self, plane: usize, y: usize) -> Option<&'a Foreground> {
        self.foreground.filter(|f| f.touches(&self.mix, plane, y))
    }
}

impl Rows for Unmixed<'_> {
    fn row<'a>(&'a self, plane: usize, y: usize, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        let Some(foreground) = self.touching(plane, y) else { return self.from.row(plane, y, scratch) };
        self.from.copy_row(plane, y, scratch);
        foreground.unmix_row(&self.mix, plane, y, scratch);
        scratch
    }

    fn copy_row(&self, plane: usize, y: usize, to: &mut Vec<u8>) {
        self.from.copy_row(plane, y, to);
        if let Some(foreground) = self.touching(plane, y) {
            foreground.unmix_row(&self.mix, plane, y, to);
        }
    }
}

multiversion! {
    fn complete(sums: &mut [f32], weights: &[f32], coarser: &[f32]) {
        for ((s, &w), &c) in sums.iter_mut().zip(weights).zip(coarser) {
            *s = (*s + COARSER * c) / (w + COARSER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::testing::{Picture, noise};

    /// A soft disc of one colour over a background of another, in every component.
    fn mixed_disc(format: Format, w: usize, h: usize) -> (Picture, Vec<u8>) {
        let a = |x: usize, y: usize| {
            (0.5 + (h as f32 / 3.0 - (x as f32 - w as f32 / 2.0).hypot(y as f32 - h as f32 / 2.0)) / 12.0)
                .clamp(0.0, 1.0)
        };
        let mut p = Picture::new(format, w, h);
        let layout = format.layout();
        for (k, c) in layout.color[..layout.colors].iter().enumerate() {
            let (data, stride) = &mut p.planes[c.plane];
            for y in 0..c.height(h) {
                for x in 0..c.width(w) {
                    let a = a(x << c.hsub, y << c.vsub);
                    let (front, back) = ([200.0, 120.0, 90.0][k], [40.0, 160.0, 150.0][k]);
                    data[y * *stride + c.offset + x * c.step] = (front * a + back * (1.0 - a) + 0.5) as u8;
                }
            }
        }
        let alpha = (0..w * h).map(|i| (a(i % w, i / w) * 255.0 + 0.5) as u8).collect();
        (p, alpha)
    }

    #[test]
    fn the_band_takes_the_foregrounds_colour() {
        for format in Format::ALL {
            let (mut p, alpha) = mixed_disc(format, 203, 151);
            let before = p.clone();
            Foreground::new().estimate(&mut p.frame_mut(), &alpha, Colors::All);
            let layout = format.layout();
            let (mut off, mut on) = (0.0, 0.0);
            for (k, c) in layout.color[..layout.colors].iter().enumerate() {
                for y in 0..151 {
                    for x in 0..203 {
                        let a = alpha[y * 203 + x];
                        let (was, is) = (
                            before.sample(c, x >> c.hsub, y >> c.vsub),
                            p.sample(c, x >> c.hsub, y >> c.vsub),
                        );
                        if (20..235).contains(&a) {
                            let truth = [200.0f32, 120.0, 90.0][k];
                            off += (f32::from(was) - truth).abs();
                            on += (f32::from(is) - truth).abs();
                        } else if a == 255 && c.hsub == 0 {
                            assert!(was.abs_diff(is) <= 1, "{format:?}: solid colour changed");
                        }
                    }
                }
            }
            assert!(on < 0.3 * off, "{format:?}: {on} against {off}");
            if let Some(c) = layout.alpha {
                assert!((0..151).all(|y| (0..203).all(|x| before.sample(&c, x, y) == p.sample(&c, x, y))));
            }
        }
    }

    #[test]
    fn little_alpha_fades_to_the_foregrounds_colour() {
        for format in Format::ALL.into_iter().filter(|f| f.has_alpha()) {
            let (w, h) = (203, 151);
            let (p, alpha) = mixed_disc(format, w, h);
            let (frame, mut foreground, mut scratch) = (p.frame(), Foreground::new(), Vec::new());
            let own = foreground.prepare(&frame, &alpha, Colors::Faded, true);
            let mut faded = 0;
            for (k, c) in format.layout().color.iter().enumerate().filter(|(_, c)| c.hsub == 0) {
                for y in 0..h {
                    let row = own.row(c.plane, y, &mut scratch);
                    let f = own.foreground.unwrap();
                    let mut front = vec![0.0; w];
                    let at = Place { cells: &f.levels[0], across: f.side, down: f.side, y, from: 0 };
                    at.stretch(&f.levels[0].grounds[0].color[k], &mut front, &mut vec![]);
                    for x in 0..w {
                        let (a, was) = (alpha[y * w + x], f32::from(p.sample(c, x, y)));
                        let got = f32::from(row[c.offset + x * c.step]);
                        if a >= FADES_BELOW {
                            assert_eq!(got, was, "{format:?} {x},{y}");
                        } else if a > 0 {
                            let want = front[x] + (was - front[x]) * f32::from(a) / f32::from(FADES_BELOW);
                            assert!((got - want).abs() <= 0.51, "{format:?} {x},{y}: {got}, not {want}");
                            faded += 1;
                        }
                    }
                }
            }
            assert!(faded > 100, "{format:?}: {faded}");
        }
    }

    #[test]
    fn rows_are_as_the_whole_frame_in_place() {
        for format in Format::ALL {
            for (w, h) in [(203, 151), (67, 1), (1, 37), (33, 47)] {
                for colors in [Colors::All, Colors::Shared] {
                    let (before, alpha) = mixed_disc(format, w, h);
                    let mut after = before.clone();
                    Foreground::new().estimate(&mut after.frame_mut(), &alpha, colors);
                    let (frame, mut foreground, mut scratch) =
                        (before.frame(), Foreground::new(), Vec::new());
                    let own = foreground.prepare(&frame, &alpha, colors, false);
                    for (plane, (data, stride)) in after.planes.iter().enumerate() {
                        for (y, want) in data.chunks(*stride).enumerate() {
                            assert_eq!(
                                own.row(plane, y, &mut scratch),
                                want,
                                "{format:?} {w}x{h} plane {plane} row {y}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn any_size_and_what_does_not_fit() {
        let mut foreground = Foreground::new();
        for format in Format::ALL {
            for (w, h) in [(1, 1), (2, 1), (1, 37), (67, 1), (33, 47)] {
                let mut p = noise(format, w, h, 3);
                let alpha: Vec<u8> = (0..w * h).map(|i| (i * 37 % 256) as u8).collect();
                foreground.estimate(&mut p.frame_mut(), &alpha, Colors::All);
                let before = p.clone();
                foreground.estimate(&mut p.frame_mut(), &alpha[1..], Colors::All);
                foreground.estimate(&mut p.frame_mut(), &vec![255; w * h], Colors::All);
                foreground.estimate(&mut p.frame_mut(), &vec![0; w * h], Colors::All);
                assert_eq!(p, before);
            }
        }
    }
}
