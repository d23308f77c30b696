//! The screen's light taken out of the foreground: out of mixed pixels, and as spill out of whole ones near the edge.

use super::colour::{Difference, Numbers};
use super::grid::{Cell, Grid, any_around, spread};
use super::screen::{Kind, Model};
use crate::frame::{Component, FrameMut};
use crate::refine::alpha_row;
use crate::simd::multiversion;
use rayon::prelude::*;

/// How much a mixed pixel's noise counts against what it says of the foreground's colour.
const DAMPING: f32 = 0.1;

/// Of each cell: the screen's components, the foreground's, how much spill is taken out, 0..1, and how far the screen's primary may
/// stand over the mean of the two others.
type Tints = Grid<8>;

/// The grid for a frame whose numbers may not be those that the model was made of.
pub fn tints(model: &Model, kinds: &[Kind], made_of: &Numbers, to: &Numbers) -> Tints {
    let (wide, high) = (model.back.wide, model.back.high);
    let other = |c: [f32; 3]| if made_of == to { c } else { to.components(made_of.rgb(c)) };
    let mixed: Vec<bool> = kinds.iter().map(|k| *k == Kind::Mixed).collect();
    let near = any_around(&any_around(&mixed, wide, high), wide, high);
    let mut grid = Grid::new(wide, high, [0.0; 8]);
    for (i, cell) in grid.cells.iter_mut().enumerate() {
        let of = |c: &Cell<5>| other([c[2], c[3], c[4]]);
        let (b, f) = (of(&model.back.cells[i]), of(&model.front.cells[i]));
        let [mean, square] = model.own.cells[i];
        let may = (mean + (square - mean * mean).max(0.0).sqrt()).max(0.0);
        *cell = [b[0], b[1], b[2], f[0], f[1], f[2], if near[i] { 1.0 } else { 0.0 }, may];
    }
    grid
}

#[derive(Default)]
struct Local {
    line: [Vec<f32>; 8],
    /// Components, alpha, screen and foreground of a component, weight of spill, what it falls by.
    c: [Vec<f32>; 3],
    alpha: Vec<f32>,
    back: Vec<f32>,
    front: Vec<f32>,
    weight: Vec<f32>,
    may: Vec<f32>,
    fall: Vec<f32>,
}

/// Puts the foreground's own colours into the cells near the edge. `side`: frame pixels in a cell. `alpha`: as keyed,
/// in tight rows.
pub fn clean(frame: &mut FrameMut<'_>, alpha: &[u8], tints: &Tints, difference: &Difference, side: usize) {
    let layout = frame.format.layout();
    let (width, height) = (frame.width, frame.height);
    let (hsub, vsub) = layout.color.iter().fold((0, 0), |(h, v), c| (h.max(c.hsub), v.max(c.vsub)));
    let strides = frame.planes.each_ref().map(|p| p.stride.max(1));
    // Which rows of a plane belong to a row of cells.
    let rows_of = |plane: usize| {
        let c = layout.color.iter().find(|c| c.plane == plane);
        c.map_or(side, |c| side >> c.vsub)
    };
    let mut rest = frame.planes.each_mut().map(|p| &mut *p.data);
    let strips: Vec<[&mut [u8]; 4]> = (0..height.div_ceil(side))
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
    let touched: Vec<bool> =
        any_around(&tints.cells.iter().map(|c| c[6] > 0.0).collect::<Vec<_>>(), tints.wide, tints.high);
    strips.into_par_iter().enumerate().for_each_init(Local::default, |l, (row, mut strip)| {
        let cells = &touched[row * tints.wide..][..tints.wide];
        let mut x = 0;
        while x < cells.len() {
            let end = x + cells[x..].iter().take_while(|c| **c == cells[x]).count();
            if cells[x] {
                let columns = (x * side, (end * side).min(width));
                let group = Group {
                    layout: &layout.color,
                    sub: (hsub, vsub),
                    size: (width, height),
                    columns,
                    cells: (x, end),
                    side,
                };
                for y in (row * side..((row + 1) * side).min(height)).step_by(1 << vsub) {
                    group.clean(y, y - row * side, &mut strip, &strides, alpha, tints, difference, l);
                }
            }
            x = end;
        }
    });
}

/// Columns of a few rows of pixels that share their chroma.
struct Group<'a> {
    layout: &'a [Component; 3],
    sub: (u32, u32),
    size: (usize, usize),
    columns: (usize, usize),
    cells: (usize, usize),
    side: usize,
}

impl Group<'_> {
    #[allow(clippy::too_many_arguments)]
    fn clean(
        &self,
        y: usize,
        in_strip: usize,
        strip: &mut [&mut [u8]; 4],
        strides: &[usize; 4],
        alpha: &[u8],
        tints: &Tints,
        difference: &Difference,
        l: &mut Local,
    ) {
        let (hsub, vsub) = self.sub;
        let (x0, x1) = self.columns;
        let shared = hsub + vsub > 0;
        // The components that the difference is of, and at their resolution.
        let (n, from) = ((x1 - x0).div_ceil(1 << hsub), x0 >> hsub);
        let side = self.side >> hsub;
        tints.line(y >> vsub, self.side >> vsub, self.cells, &mut l.line);
        resize(&mut l.alpha, n);
        alpha_row(alpha, self.size, self.sub, (from, y >> vsub), &mut l.alpha);
        resize(&mut l.weight, n);
        resize(&mut l.fall, n);
        resize(&mut l.may, n);
        spread(&l.line[6], side, &mut l.weight);
        spread(&l.line[7], side, &mut l.may);
        let at =
            |c: &Component, rows: usize| (in_strip >> c.vsub) * strides[c.plane] + rows * strides[c.plane];
        for k in 0..3 {
            let c = &self.layout[k];
            resize(&mut l.c[k], n);
            if shared && k == 0 {
                // Luma falls out of the difference.
                l.c[0].fill(128.0);
                continue;
            }
            load(&strip[c.plane][at(c, 0) + c.offset..], c.step, from, &mut l.c[k]);
            unmix_component(k, side, n, l);
        }
        let [a, b, c] = &mut l.c;
        fall(difference, [a, b, c], &l.may, &l.weight, &mut l.fall);
        for k in usize::from(shared)..3 {
            let c = &self.layout[k];
            drop_by(&mut l.c[k], &l.fall, difference.fall[k]);
            store(&mut strip[c.plane][at(c, 0) + c.offset..], c.step, from, &l.c[k]);
        }
        if !shared {
            return;
        }
        let c = &self.layout[0];
        let falls = std::mem::take(&mut l.fall);
        for dy in 0..(1 << vsub).min(self.size.1 - y) {
            let n = x1 - x0;
            tints.line(y + dy, self.side, self.cells, &mut l.line);
            resize(&mut l.alpha, n);
            alpha_row(alpha, self.size, (0, 0), (x0, y + dy), &mut l.alpha);
            resize(&mut l.c[0], n);
            load(&strip[c.plane][at(c, dy) + c.offset..], c.step, x0, &mut l.c[0]);
            unmix_component(0, self.side, n, l);
            if hsub == 1 {
                drop_pairs(&mut l.c[0], &falls, difference.fall[0]);
            } else {
                drop_by(&mut l.c[0], &falls, difference.fall[0]);
            }
            store(&mut strip[c.plane][at(c, dy) + c.offset..], c.step, x0, &l.c[0]);
        }
        l.fall = falls;
    }
}

/// Takes the screen out of component `k`.
fn unmix_component(k: usize, side: usize, n: usize, l: &mut Local) {
    resize(&mut l.back, n);
    resize(&mut l.front, n);
    spread(&l.line[k], side, &mut l.back);
    spread(&l.line[3 + k], side, &mut l.front);
    unmix(&mut l.c[k], &l.alpha, &l.back, &l.front);
}

fn resize(v: &mut Vec<f32>, n: usize) {
    v.resize(n, 0.0);
}

multiversion! {
    fn load(data: &[u8], step: usize, from: usize, out: &mut [f32]) {
        let data = &data[from * step..];
        match step {
            1 => load_by::<1>(data, out),
            2 => load_by::<2>(data, out),
            3 => load_by::<3>(data, out),
            _ => load_by::<4>(data, out),
        }
    }
}

#[inline(always)]
fn load_by<const STEP: usize>(data: &[u8], out: &mut [f32]) {
    let data = &data[..(out.len() - 1) * STEP + 1];
    for (i, o) in out.iter_mut().enumerate() {
        *o = f32::from(data[i * STEP]);
    }
}

multiversion! {
    fn store(data: &mut [u8], step: usize, from: usize, values: &[f32]) {
        let data = &mut data[from * step..];
        match step {
            1 => store_by::<1>(data, values),
            2 => store_by::<2>(data, values),
            3 => store_by::<3>(data, values),
            _ => store_by::<4>(data, values),
        }
    }
}

#[inline(always)]
fn store_by<const STEP: usize>(data: &mut [u8], values: &[f32]) {
    let data = &mut data[..(values.len() - 1) * STEP + 1];
    for (i, v) in values.iter().enumerate() {
        data[i * STEP] = (v.clamp(0.0, 255.0) + 8_388_608.0).to_bits() as u8;
    }
}

multiversion! {
    /// The foreground F of a mix C = α·F + (1−α)·B (Smith & Blinn, "Blue Screen Matting", SIGGRAPH 1996): what the mean
    /// foreground leaves unexplained is added back, as far as it is not the noise of a pixel that has little of it (a Wiener
    /// filter; at α = 1 the colour stays as it is).
    fn unmix(c: &mut [f32], alpha: &[f32], back: &[f32], front: &[f32]) {
        let n = c.len();
        let (alpha, back, front) = (&alpha[..n], &back[..n], &front[..n]);
        for (i, c) in c.iter_mut().enumerate() {
            let (a, b, f) = (alpha[i], back[i], front[i]);
            let gain = a / (a * a + DAMPING * (1.0 - a) * (1.0 - a));
            *c = f + gain * (*c - a * f - (1.0 - a) * b);
        }
    }
}

multiversion! {
    /// How far the screen's primary stands over the mean of the two others, beyond what it may.
    fn fall(difference: &Difference, c: [&mut Vec<f32>; 3], may: &[f32], weight: &[f32], out: &mut [f32]) {
        let n = out.len();
        let (a, b, c) = (&c[0][..n], &c[1][..n], &c[2][..n]);
        let (may, weight) = (&may[..n], &weight[..n]);
        for i in 0..n {
            let [d, e] = difference.parts([a[i], b[i], c[i]]);
            out[i] = (0.5 * (d + e) - may[i]).max(0.0) * weight[i];
        }
    }
}

multiversion! {
    fn drop_by(c: &mut [f32], fall: &[f32], step: f32) {
        for (c, f) in c.iter_mut().zip(fall) {
            *c -= f * step;
        }
    }
}

multiversion! {
    fn drop_pairs(c: &mut [f32], fall: &[f32], step: f32) {
        let whole = c.len() / 2;
        let fall = &fall[..c.len().div_ceil(2)];
        let pairs = &mut c[..2 * whole];
        for i in 0..whole {
            pairs[2 * i] -= fall[i] * step;
            pairs[2 * i + 1] -= fall[i] * step;
        }
        if let Some(last) = c.get_mut(2 * whole) {
            *last -= fall[whole] * step;
        }
    }
}
