//! The screen's light taken out of the foreground: out of mixed pixels, and as spill out of whole ones near the edge.

use super::colour::{Difference, Numbers};
use super::grid::{Cell, Grid, LANES, Ramps, Sloped, Slopes, along, any_around, numbers, put, room};
use super::screen::{Kind, ScreenModel};
use crate::frame::{Component, FrameMut};
use crate::refine::{alpha_row, runs};
use crate::simd::multiversion;
use rayon::prelude::*;
use std::ops::Range;

/// How much a mixed pixel's noise counts against what it says of the foreground's colour.
const DAMPING: f32 = 0.1;

/// What the cells near the edge are cleaned by.
pub struct SpillColors {
    /// The first component of the screen and of the foreground.
    first: Sloped<2>,
    /// The two others of the screen, and of the foreground; how much spill is taken out, 0..1, and how far the screen's primary may
    /// stand over the mean of the two others.
    others: Sloped<6>,
    /// Cells with anything to clean.
    touched: Vec<bool>,
    grid_width: usize,
}

impl SpillColors {
    /// For a frame whose numbers may not be those that the model was made of.
    pub fn new(model: &ScreenModel, kinds: &[Kind], made_of: &Numbers, to: &Numbers) -> Self {
        let (grid_width, grid_height) = (model.back.width, model.back.height);
        let other = |c: [f32; 3]| if made_of == to { c } else { to.components(made_of.rgb(c)) };
        let mixed: Vec<bool> = kinds.iter().map(|k| *k == Kind::Mixed).collect();
        let near = any_around(&any_around(&mixed, grid_width), grid_width);
        let (mut first, mut others) =
            (Grid::new(grid_width, grid_height, [0.0; 2]), Grid::new(grid_width, grid_height, [0.0; 6]));
        for (i, (first, others)) in first.cells.iter_mut().zip(&mut others.cells).enumerate() {
            let of = |c: &Cell<5>| other([c[2], c[3], c[4]]);
            let (b, f) = (of(&model.back.cells[i]), of(&model.front.cells[i]));
            let [mean, square] = model.own.cells[i];
            let may = (mean + (square - mean * mean).max(0.0).sqrt()).max(0.0);
            *first = [b[0], f[0]];
            *others = [b[1], b[2], f[1], f[2], if near[i] { 1.0 } else { 0.0 }, may];
        }
        let touched = any_around(&near, grid_width);
        Self { first: Sloped::new(&first), others: Sloped::new(&others), touched, grid_width }
    }
}

#[derive(Default)]
struct Local {
    first: Vec<Slopes<2>>,
    others: Vec<Slopes<6>>,
    alpha: Vec<f32>,
    /// Up to three components, in tight rows.
    c: [Vec<u8>; 3],
    /// What the primary falls by.
    falls: Vec<f32>,
    doubled: Vec<f32>,
}

/// Puts the foreground's own colours into the cells near the edge. `side`: frame pixels in a cell. `alpha`: as keyed,
/// in tight rows.
pub fn clean(
    frame: &mut FrameMut<'_>,
    alpha: &[u8],
    colors: &SpillColors,
    difference: &Difference,
    side: usize,
) {
    let layout = frame.format.layout();
    let size = (frame.width, frame.height);
    let sub = layout.color.iter().fold((0, 0), |(h, v), c| (h.max(c.hsub), v.max(c.vsub)));
    let strides = frame.planes.each_ref().map(|p| p.stride.max(1));
    // Which rows of a plane belong to a row of cells.
    let rows_of = |plane: usize| {
        let c = layout.color.iter().find(|c| c.plane == plane);
        c.map_or(side, |c| side >> c.vsub)
    };
    let mut rest = frame.planes.each_mut().map(|p| &mut *p.data);
    let strips: Vec<[&mut [u8]; 4]> = (0..size.1.div_ceil(side))
        .map(|_| {
            let mut strip: [&mut [u8]; 4] = Default::default();
            for (plane, (here, rest)) in strip.iter_mut().zip(&mut rest).enumerate() {
                let end = (rows_of(plane) * strides[plane]).min(rest.len());
                let (data, more) = std::mem::take(rest).split_at_mut(end);
                (*here, *rest) = (data, more);
            }
            strip
        })
        .collect();
    // Those of pixels, and those of samples of chroma.
    let ramps = [Ramps::new(side), Ramps::new(side >> sub.0)];
    let strip = Strip { layout: &layout.color, sub, size, strides, side, ramps, alpha, colors, difference };
    strips.into_par_iter().enumerate().for_each_init(Local::default, |l, (row, mut planes)| {
        for cells in runs(&colors.touched[row * colors.grid_width..][..colors.grid_width]) {
            for y in (row * side..((row + 1) * side).min(size.1)).step_by(1 << sub.1) {
                strip.clean(y, &cells, &mut planes, l);
            }
        }
    });
}

/// What is the same in all rows of cells.
struct Strip<'a> {
    layout: &'a [Component; 3],
    sub: (u32, u32),
    size: (usize, usize),
    strides: [usize; 4],
    side: usize,
    ramps: [Ramps; 2],
    alpha: &'a [u8],
    colors: &'a SpillColors,
    difference: &'a Difference,
}

impl Strip<'_> {
    /// Cleans the rows of pixels that share their chroma, from `y` on, in a run of cells. `planes`: what lies in this row of cells.
    fn clean(&self, y: usize, cells: &Range<usize>, planes: &mut [&mut [u8]; 4], l: &mut Local) {
        let (hsub, vsub) = self.sub;
        // Luma falls out of the difference, and has more samples than chroma.
        let shared = hsub + vsub > 0;
        let of_difference = &self.layout[usize::from(shared)..];
        let x = cells.start * self.side..(cells.end * self.side).min(self.size.0);
        let (from, n) = (x.start >> hsub, x.len().div_ceil(1 << hsub));
        // Whole cells, though the last one may stand over the frame.
        let pixels = cells.len() * self.side;
        let samples = pixels >> hsub;
        self.colors.others.line(y >> vsub, self.side >> vsub, cells, &mut l.others);
        let alpha = room(&mut l.alpha, samples);
        alpha_row(self.alpha, self.size, self.sub, (from, y >> vsub), &mut alpha[..n]);
        for (c, to) in of_difference.iter().zip(&mut l.c) {
            load(self.samples(planes, c, y, from), c.step, &mut room(to, samples)[..n]);
        }
        let falls = room(&mut l.falls, samples);
        let [a, b, c] = &mut l.c;
        if shared {
            let c = [&mut a[..samples], &mut b[..samples]];
            clean_chroma(self.difference, c, alpha, &l.others, &self.ramps[1], falls);
        } else {
            let c = [&mut a[..samples], &mut b[..samples], &mut c[..samples]];
            self.colors.first.line(y, self.side, cells, &mut l.first);
            clean_colors(self.difference, c, alpha, (&l.first, &l.others), &self.ramps[0]);
        }
        for (c, bytes) in of_difference.iter().zip(&l.c) {
            store(self.samples(planes, c, y, from), c.step, &bytes[..n]);
        }
        if !shared {
            return;
        }
        let (c, n, step) = (&self.layout[0], x.len(), self.difference.fall[0]);
        if hsub == 1 {
            double(falls, room(&mut l.doubled, pixels));
            std::mem::swap(&mut l.falls, &mut l.doubled);
        }
        for y in y..(y + (1 << vsub)).min(self.size.1) {
            self.colors.first.line(y, self.side, cells, &mut l.first);
            let (luma, alpha) = (room(&mut l.c[0], pixels), room(&mut l.alpha, pixels));
            alpha_row(self.alpha, self.size, (0, 0), (x.start, y), &mut alpha[..n]);
            load(self.samples(planes, c, y, x.start), c.step, &mut luma[..n]);
            clean_luma(luma, alpha, &l.first, &self.ramps[0], &l.falls, step);
            store(self.samples(planes, c, y, x.start), c.step, &luma[..n]);
        }
    }

    /// A component from sample `from` on of the row in which the frame's row `y` lies.
    fn samples<'a>(
        &self,
        planes: &'a mut [&mut [u8]; 4],
        c: &Component,
        y: usize,
        from: usize,
    ) -> &'a mut [u8] {
        let row = (y % self.side) >> c.vsub;
        &mut planes[c.plane][row * self.strides[c.plane] + c.offset + from * c.step..]
    }
}

multiversion! {
    fn load(data: &[u8], step: usize, out: &mut [u8]) {
        match step {
            1 => out.copy_from_slice(&data[..out.len()]),
            2 => load_by::<2>(data, out),
            3 => load_by::<3>(data, out),
            _ => load_by::<4>(data, out),
        }
    }
}

#[inline(always)]
fn load_by<const STEP: usize>(data: &[u8], out: &mut [u8]) {
    let data = &data[..(out.len() - 1) * STEP + 1];
    for (i, o) in out.iter_mut().enumerate() {
        *o = data[i * STEP];
    }
}

multiversion! {
    fn store(data: &mut [u8], step: usize, values: &[u8]) {
        match step {
            1 => data[..values.len()].copy_from_slice(values),
            2 => store_by::<2>(data, values),
            3 => store_by::<3>(data, values),
            _ => store_by::<4>(data, values),
        }
    }
}

#[inline(always)]
fn store_by<const STEP: usize>(data: &mut [u8], values: &[u8]) {
    let data = &mut data[..(values.len() - 1) * STEP + 1];
    for (i, v) in values.iter().enumerate() {
        data[i * STEP] = *v;
    }
}

multiversion! {
    /// Cleans a row of all three components.
    fn clean_colors(
        difference: &Difference,
        c: [&mut [u8]; 3],
        alpha: &[f32],
        line: (&[Slopes<2>], &[Slopes<6>]),
        ramps: &Ramps,
    ) {
        let n = ramps.side();
        let [c0, c1, c2] = c.map(|c| c.chunks_exact_mut(n));
        let cells = line.0.iter().zip(line.1).zip(alpha.chunks_exact(n)).zip(c0).zip(c1.zip(c2));
        for ((((first, others), alpha), c0), (c1, c2)) in cells {
            let c = c0.as_chunks_mut().0.iter_mut().zip(c1.as_chunks_mut().0).zip(c2.as_chunks_mut().0);
            let samples = alpha.as_chunks::<LANES>().0.iter().zip(ramps.lanes::<LANES>());
            for ((alpha, ramp), ((c0, c1), c2)) in samples.zip(c) {
                let mix = Mix::new(alpha);
                let a = mix.unmix(numbers(c0), along(first, 0, ramp), along(first, 1, ramp));
                let b = mix.unmix(numbers(c1), along(others, 0, ramp), along(others, 2, ramp));
                let c = mix.unmix(numbers(c2), along(others, 1, ramp), along(others, 3, ramp));
                let fall = fall(difference, [a, b, c], along(others, 4, ramp), along(others, 5, ramp));
                put(less(a, fall, difference.fall[0]), c0);
                put(less(b, fall, difference.fall[1]), c1);
                put(less(c, fall, difference.fall[2]), c2);
            }
        }
    }
}

multiversion! {
    /// The same of chroma alone. `falls`: by how much the primary fell.
    fn clean_chroma(
        difference: &Difference,
        c: [&mut [u8]; 2],
        alpha: &[f32],
        line: &[Slopes<6>],
        ramps: &Ramps,
        falls: &mut [f32],
    ) {
        if ramps.side() < LANES {
            clean_chroma_by::<{ LANES / 2 }>(difference, c, alpha, line, ramps, falls);
        } else {
            clean_chroma_by::<LANES>(difference, c, alpha, line, ramps, falls);
        }
    }
}

#[inline(always)]
fn clean_chroma_by<const L: usize>(
    difference: &Difference,
    c: [&mut [u8]; 2],
    alpha: &[f32],
    line: &[Slopes<6>],
    ramps: &Ramps,
    falls: &mut [f32],
) {
    let n = ramps.side();
    let [c1, c2] = c.map(|c| c.chunks_exact_mut(n));
    let cells = line.iter().zip(alpha.chunks_exact(n)).zip(falls.chunks_exact_mut(n)).zip(c1.zip(c2));
    for (((cell, alpha), falls), (c1, c2)) in cells {
        let c = c1.as_chunks_mut().0.iter_mut().zip(c2.as_chunks_mut().0);
        let samples = alpha.as_chunks::<L>().0.iter().zip(ramps.lanes::<L>());
        for (((alpha, ramp), falls), (c1, c2)) in samples.zip(falls.as_chunks_mut::<L>().0).zip(c) {
            let mix = Mix::new(alpha);
            let b = mix.unmix(numbers(c1), along(cell, 0, ramp), along(cell, 2, ramp));
            let c = mix.unmix(numbers(c2), along(cell, 1, ramp), along(cell, 3, ramp));
            *falls = fall(difference, [[0.0; L], b, c], along(cell, 4, ramp), along(cell, 5, ramp));
            put(less(b, *falls, difference.fall[1]), c1);
            put(less(c, *falls, difference.fall[2]), c2);
        }
    }
}

multiversion! {
    /// Cleans a row of luma: the primary falls as its chroma's did, luma by `step` of that.
    fn clean_luma(
        c: &mut [u8],
        alpha: &[f32],
        line: &[Slopes<2>],
        ramps: &Ramps,
        falls: &[f32],
        step: f32,
    ) {
        let n = ramps.side();
        let cells = line.iter().zip(alpha.chunks_exact(n)).zip(falls.chunks_exact(n)).zip(c.chunks_exact_mut(n));
        for (((cell, alpha), falls), c) in cells {
            let samples = alpha.as_chunks::<LANES>().0.iter().zip(ramps.lanes::<LANES>());
            let c = c.as_chunks_mut().0.iter_mut().zip(falls.as_chunks().0);
            for ((alpha, ramp), (c, fall)) in samples.zip(c) {
                let own = Mix::new(alpha).unmix(numbers(c), along(cell, 0, ramp), along(cell, 1, ramp));
                put(less(own, *fall, step), c);
            }
        }
    }
}

multiversion! {
    /// Each value twice.
    fn double(from: &[f32], to: &mut [f32]) {
        for (to, from) in to.chunks_exact_mut(2).zip(from) {
            (to[0], to[1]) = (*from, *from);
        }
    }
}

/// Samples that mix with the screen.
struct Mix<const L: usize> {
    /// α, 1 − α, and how much counts of what the mean foreground leaves unexplained.
    alpha: [f32; L],
    rest: [f32; L],
    gain: [f32; L],
}

impl<const L: usize> Mix<L> {
    #[inline(always)]
    fn new(alpha: &[f32; L]) -> Self {
        let (mut rest, mut gain) = ([0.0; L], [0.0; L]);
        for i in 0..L {
            rest[i] = 1.0 - alpha[i];
            gain[i] = alpha[i] / (alpha[i] * alpha[i] + DAMPING * rest[i] * rest[i]);
        }
        Self { alpha: *alpha, rest, gain }
    }

    /// The foreground F of a mix C = α·F + (1−α)·B (Smith & Blinn, "Blue Screen Matting", SIGGRAPH 1996): what the mean
    /// foreground leaves unexplained is added back, as far as it is not the noise of a pixel that has little of it (a Wiener
    /// filter; at α = 1 the colour stays as it is).
    #[inline(always)]
    fn unmix(&self, c: [f32; L], back: [f32; L], front: [f32; L]) -> [f32; L] {
        let mut out = [0.0; L];
        for i in 0..L {
            let mean = self.alpha[i] * front[i] + self.rest[i] * back[i];
            out[i] = front[i] + self.gain[i] * (c[i] - mean);
        }
        out
    }
}

/// How far the screen's primary stands over the mean of the two others, beyond what it may.
#[inline(always)]
fn fall<const L: usize>(
    difference: &Difference,
    c: [[f32; L]; 3],
    weight: [f32; L],
    may: [f32; L],
) -> [f32; L] {
    let mut out = [0.0; L];
    for i in 0..L {
        let [d, e] = difference.parts([c[0][i], c[1][i], c[2][i]]);
        out[i] = (0.5 * (d + e) - may[i]).max(0.0) * weight[i];
    }
    out
}

#[inline(always)]
fn less<const L: usize>(c: [f32; L], fall: [f32; L], step: f32) -> [f32; L] {
    let mut out = [0.0; L];
    for i in 0..L {
        out[i] = c[i] - fall[i] * step;
    }
    out
}
