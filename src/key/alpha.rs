//! From a frame's colour differences to its matte, at the resolution of its luma.

use super::colour::Difference;
use super::grid::{LANES, Ramps, Sloped, Slopes, along, numbers, room};
use super::rows::Rows;
use super::screen::{Kind, Lines};
use crate::frame::Component;
use crate::simd::multiversion;
use rayon::prelude::*;
use std::ops::Range;

/// Variance of luma, in codes², below which it does not say where an edge runs.
const FLAT: f32 = 2.0;
/// How much of what a bilinear enlargement takes off a sample is given back to it.
const SHARPEN: f32 = 0.4;

/// What one thread needs.
#[derive(Default)]
struct Local {
    colors: [Vec<u8>; 3],
    /// What makes alpha of them, cell by cell.
    line: Vec<Slopes<5>>,
    made: Vec<u8>,
    /// Alpha of a run's samples and some more all around, and the least around each.
    alpha: Vec<u8>,
    across: Vec<u8>,
    least: Vec<u8>,
    /// Alpha and luma of three rows of samples, with one more at both ends.
    rows: [[Vec<f32>; 3]; 2],
    luma: Vec<u8>,
    fine: Vec<u8>,
    /// What each sample adds to its pixels: see [`slopes`].
    up: [Vec<f32>; 4],
    mixed: [Vec<f32>; 2],
    halves: [Vec<u8>; 2],
}

/// Makes mattes; keeps its buffers from frame to frame, nothing else.
#[derive(Debug, Default)]
pub struct Maker {
    /// Alpha of each sample, before holes are closed.
    samples: Vec<u8>,
}

impl Maker {
    /// Writes the matte of the whole frame: `out` in tight rows.
    pub fn matte(&mut self, rows: &Rows<'_>, difference: &Difference, lines: &Lines, out: &mut [u8]) {
        let grid_width = lines.lines.width;
        let flat = flat(lines);
        let side = rows.side;
        let (terms, ramps) = (Sloped::new(&lines.lines), Ramps::new(side));
        self.samples.resize(rows.width * rows.height, 0);
        self.samples.par_chunks_mut(side * rows.width).enumerate().for_each_init(
            Local::default,
            |l, (row, out)| {
                each_run(&flat[row * grid_width..][..grid_width], |value, (from, to)| {
                    let x = from * side..(to * side).min(rows.width);
                    for (y, out) in out.chunks_exact_mut(rows.width).enumerate() {
                        let out = &mut out[x.clone()];
                        match value {
                            Some(value) => out.fill(value),
                            None => {
                                sample(rows, difference, (&terms, &ramps), row * side + y, from..to, l, out)
                            }
                        }
                    }
                });
            },
        );
        let (width, strip) = (rows.frame.width, side * rows.scale);
        let samples = &self.samples;
        out.par_chunks_mut(strip * width).enumerate().for_each_init(Local::default, |l, (row, out)| {
            each_run(&flat[row * grid_width..][..grid_width], |value, (from, to)| match value {
                Some(value) => {
                    let x = from * strip..(to * strip).min(width);
                    out.chunks_exact_mut(width).for_each(|out| out[x.clone()].fill(value));
                }
                None => finish(rows, samples, (row, from, to), l, out),
            });
        });
    }
}

/// Calls `f` for each run of equal cells of a row, with its begin and its end.
fn each_run<T: PartialEq + Copy>(cells: &[T], mut f: impl FnMut(T, (usize, usize))) {
    let mut x = 0;
    while x < cells.len() {
        let end = x + cells[x..].iter().take_while(|c| **c == cells[x]).count();
        f(cells[x], (x, end));
        x = end;
    }
}

/// The alpha of cells in which it is one and the same, with all that touches them.
fn flat(lines: &Lines) -> Vec<Option<u8>> {
    let is = |kind: Kind| -> Vec<bool> {
        let marked: Vec<bool> = lines.kinds.iter().map(|k| *k == kind).collect();
        lines.lines.all_around(&marked)
    };
    let (screen, solid) = (is(Kind::Screen), is(Kind::Solid));
    let value = |(screen, solid): (&bool, &bool)| match (screen, solid) {
        (true, _) => Some(0),
        (_, true) => Some(255),
        _ => None,
    };
    screen.iter().zip(&solid).map(value).collect()
}

/// Alpha of the samples of some cells in row `y`.
fn sample(
    rows: &Rows<'_>,
    difference: &Difference,
    (terms, ramps): (&Sloped<5>, &Ramps),
    y: usize,
    cells: Range<usize>,
    l: &mut Local,
    out: &mut [u8],
) {
    // The last cell may stand over the frame.
    let (n, whole) = (out.len(), cells.len() * rows.side);
    let colors = l.colors.each_mut().map(|v| room(v, whole));
    rows.read_difference(y, cells.start * rows.side, colors.map(|c| &mut c[..n]));
    terms.line(y, rows.side, &cells, &mut l.line);
    let made = room(&mut l.made, whole);
    alphas(difference, l.colors.each_ref().map(|v| &v[..whole]), &l.line, ramps, made);
    out.copy_from_slice(&made[..n]);
}

/// The matte of the cells `from..to` of a row of cells: holes closed, and at the resolution of luma.
fn finish(
    rows: &Rows<'_>,
    samples: &[u8],
    (row, from, to): (usize, usize, usize),
    l: &mut Local,
    out: &mut [u8],
) {
    let side = rows.side;
    let reach = side * 3 / 8;
    let halo = reach + 1;
    let (x0, x1) = (from * side, (to * side).min(rows.width));
    let (y0, y1) = (row * side, ((row + 1) * side).min(rows.height));
    let (tile_width, tile_height) = (x1 - x0 + 2 * halo, y1 - y0 + 2 * halo);
    // What of that lies in the frame; its first and last samples go on.
    let (left, right) = (x0.saturating_sub(halo), (x1 + halo).min(rows.width));
    let pad = halo - (x0 - left);
    l.alpha.resize(tile_height * tile_width, 0);
    for (at, alpha) in l.alpha.chunks_exact_mut(tile_width).enumerate() {
        let y = (y0 + at).saturating_sub(halo).min(rows.height - 1);
        let from = &samples[y * rows.width..][left..right];
        alpha[..pad].fill(from[0]);
        alpha[pad..][..from.len()].copy_from_slice(from);
        alpha[pad + from.len()..].fill(from[from.len() - 1]);
    }
    close(&mut l.alpha, tile_width, tile_height, reach, &mut l.across, &mut l.least);
    let width = rows.frame.width;
    let n = x1 - x0;
    if rows.scale == 1 {
        for (y, out) in out.chunks_exact_mut(width).enumerate() {
            out[x0..x1].copy_from_slice(&l.alpha[(y + halo) * tile_width + halo..][..n]);
        }
        return;
    }
    let y_of = rows.frame.format.layout().color[0];
    l.up.iter_mut().for_each(|v| v.resize(n, 0.0));
    for y in y0..y1 {
        for k in 0..3 {
            if y > y0 && k < 2 {
                // As in the row before.
                for rows in &mut l.rows {
                    rows.swap(k, k + 1);
                }
                continue;
            }
            let [alpha, luma] = &mut l.rows;
            let (alpha, luma) = (&mut alpha[k], &mut luma[k]);
            alpha.resize(n + 2, 0.0);
            luma.resize(n + 2, 0.0);
            floats(&l.alpha[(y - y0 + halo + k - 1) * tile_width + halo - 1..][..n + 2], 1.0 / 255.0, alpha);
            let (left, right) = (x0.saturating_sub(1), (x1 + 1).min(rows.width));
            l.luma.resize(right - left, 0);
            rows.read_luma((y + k).saturating_sub(1).min(rows.height - 1), left, &mut l.luma);
            let pad = 1 - (x0 - left);
            floats(&l.luma, 1.0, &mut luma[pad..][..right - left]);
            luma[0] = luma[pad];
            luma[n + 1] = luma[pad + right - left - 1];
        }
        let [alpha, luma] = l.rows.each_ref().map(|rows| rows.each_ref().map(|v| &v[..]));
        slopes(alpha, luma, &mut l.up);
        for dy in (0..2).filter(|dy| 2 * y + dy < rows.frame.height) {
            let to = &mut out[(2 * (y - y0) + dy) * width..][2 * x0..(2 * x1).min(width)];
            luma_row(rows, &y_of, 2 * y + dy, 2 * x0, to.len(), &mut l.fine);
            let far = 2 * dy;
            let (alpha, luma) = ([alpha[1], alpha[far]], [luma[1], luma[far]]);
            widen(alpha, luma, &l.up, &l.fine, &mut l.mixed, &mut l.halves, to);
        }
    }
}

/// Closes holes: where no sample within reach is the screen's by half or more, what looks like it is the foreground's own
/// colour. Alpha rises to 255 as the least alpha around goes from 112 to 180.
pub(super) fn close(
    alpha: &mut [u8],
    tile_width: usize,
    tile_height: usize,
    reach: usize,
    across: &mut Vec<u8>,
    least: &mut Vec<u8>,
) {
    across.resize(alpha.len(), 0);
    least.resize(tile_width, 0);
    for (row, out) in alpha.chunks_exact(tile_width).zip(across.chunks_exact_mut(tile_width)) {
        out.copy_from_slice(row);
        for d in 1..=reach {
            smaller(&mut out[d..], row);
            smaller(out, &row[d..]);
        }
    }
    for y in reach..tile_height - reach {
        least.copy_from_slice(&across[y * tile_width..][..tile_width]);
        for d in 1..=reach {
            smaller(least, &across[(y - d) * tile_width..][..tile_width]);
            smaller(least, &across[(y + d) * tile_width..][..tile_width]);
        }
        raise(&mut alpha[y * tile_width..][..tile_width], least);
    }
}

multiversion! {
    fn smaller(out: &mut [u8], other: &[u8]) {
        for (o, &v) in out.iter_mut().zip(other) {
            *o = (*o).min(v);
        }
    }
}

multiversion! {
    fn raise(alpha: &mut [u8], least: &[u8]) {
        for (a, &l) in alpha.iter_mut().zip(least) {
            // 68 steps from 112 on, as 0..255.
            let part = (u16::from(l.saturating_sub(112).min(68)) * 240) >> 6;
            let v = u16::from(255 - *a) * part.min(255) + 128;
            *a += ((v + (v >> 8)) >> 8) as u8;
        }
    }
}

multiversion! {
    fn floats(from: &[u8], scale: f32, out: &mut [f32]) {
        for (o, &v) in out.iter_mut().zip(from) {
            *o = f32::from(v) * scale;
        }
    }
}

fn luma_row(rows: &Rows<'_>, c: &Component, y: usize, from: usize, n: usize, out: &mut Vec<u8>) {
    out.resize(n, 0);
    out.truncate(n);
    crate::refine::component_row(rows.frame, c, 1, y, from, out);
}

multiversion! {
    /// Alpha of the samples of a line's cells: see [`Lines`].
    fn alphas(difference: &Difference, c: [&[u8]; 3], line: &[Slopes<5>], ramps: &Ramps, out: &mut [u8]) {
        let n = ramps.side();
        let [c0, c1, c2] = c.map(|c| c.chunks_exact(n));
        for ((cell, out), ((c0, c1), c2)) in line.iter().zip(out.chunks_exact_mut(n)).zip(c0.zip(c1).zip(c2)) {
            let c = c0.as_chunks::<LANES>().0.iter().zip(c1.as_chunks::<LANES>().0);
            let c = c.zip(c2.as_chunks::<LANES>().0);
            let samples = out.as_chunks_mut::<LANES>().0.iter_mut().zip(ramps.lanes::<LANES>());
            for ((out, ramp), ((c0, c1), c2)) in samples.zip(c) {
                let (c0, c1, c2) = (numbers(c0), numbers(c1), numbers(c2));
                let (p, q) = (along(cell, 0, ramp), along(cell, 1, ramp));
                let (r, s, t) = (along(cell, 2, ramp), along(cell, 3, ramp), along(cell, 4, ramp));
                for i in 0..LANES {
                    let [a, b] = difference.parts([c0[i], c1[i], c2[i]]);
                    out[i] = byte((p[i] - q[i] * a.min(b)).max(r[i] + s[i] * a + t[i] * b));
                }
            }
        }
    }
}

/// Alpha of 0..1 as 0..255; what is outside is cut off.
#[inline(always)]
fn byte(alpha: f32) -> u8 {
    ((alpha.clamp(0.0, 1.0) * 255.0) + 8_388_608.0).to_bits() as u8
}

multiversion! {
    /// Of each sample's surroundings of 3 × 3: how alpha goes with luma (the slope of the guided filter, He, Sun & Tang,
    /// ECCV 2010), what a bilinear enlargement takes off its mean, and the least and greatest alpha.
    fn slopes(alpha: [&[f32]; 3], luma: [&[f32]; 3], out: &mut [Vec<f32>; 4]) {
        let n = out[0].len();
        let [out0, out1, out2, out3] = out;
        let (out0, out1, out2, out3) = (&mut out0[..n], &mut out1[..n], &mut out2[..n], &mut out3[..n]);
        let (a0, a1, a2) = (&alpha[0][..n + 2], &alpha[1][..n + 2], &alpha[2][..n + 2]);
        let (y0, y1, y2) = (&luma[0][..n + 2], &luma[1][..n + 2], &luma[2][..n + 2]);
        for i in 0..n {
            let (mut a, mut y, mut ay, mut yy) = (0.0f32, 0.0f32, 0.0f32, 0.0f32);
            let (mut least, mut most) = (1.0f32, 0.0f32);
            for x in i..i + 3 {
                a += a0[x] + a1[x] + a2[x];
                y += y0[x] + y1[x] + y2[x];
                ay += a0[x] * y0[x] + a1[x] * y1[x] + a2[x] * y2[x];
                yy += y0[x] * y0[x] + y1[x] * y1[x] + y2[x] * y2[x];
                least = least.min(a0[x]).min(a1[x]).min(a2[x]);
                most = most.max(a0[x]).max(a1[x]).max(a2[x]);
            }
            let cov = (ay - a * y / 9.0) / 9.0;
            let var = (yy - y * y / 9.0) / 9.0;
            let across = |x: usize| a0[x] + 6.0 * a1[x] + a2[x];
            let mean = (across(i) + 6.0 * across(i + 1) + across(i + 2)) / 64.0;
            let more = (most - least) * 0.2;
            out0[i] = cov / (var + FLAT);
            out1[i] = (a1[i + 1] - mean) * SHARPEN;
            out2[i] = (least - more).max(0.0);
            out3[i] = (most + more).min(1.0);
        }
    }
}

multiversion! {
    /// A row of pixels from the rows of samples that it lies between, the nearer first: bilinear, with the detail of luma. `mixed`
    /// and `halves` are scratch.
    fn widen(
        alpha: [&[f32]; 2],
        luma: [&[f32]; 2],
        up: &[Vec<f32>; 4],
        fine: &[u8],
        mixed: &mut [Vec<f32>; 2],
        halves: &mut [Vec<u8>; 2],
        out: &mut [u8],
    ) {
        let n = up[0].len();
        for (from, mixed) in [alpha, luma].iter().zip(mixed.iter_mut()) {
            let (near, far) = (&from[0][..n + 2], &from[1][..n + 2]);
            mixed.resize(n + 2, 0.0);
            for ((o, near), far) in mixed.iter_mut().zip(near).zip(far) {
                *o = 0.75 * near + 0.25 * far;
            }
        }
        let (a, y) = (&mixed[0][..n + 2], &mixed[1][..n + 2]);
        let (slope, lost, least, most) = (&up[0][..n], &up[1][..n], &up[2][..n], &up[3][..n]);
        let whole = fine.len() / 2;
        for (k, half) in halves.iter_mut().enumerate() {
            half.resize(n, 0);
            let side = 2 * k;
            for i in 0..whole {
                let alpha = 0.75 * a[i + 1] + 0.25 * a[i + side] + lost[i];
                let luma = 0.75 * y[i + 1] + 0.25 * y[i + side];
                let v = alpha + slope[i] * (f32::from(fine[2 * i + k]) - luma);
                half[i] = byte(v.max(least[i]).min(most[i]));
            }
        }
        if whole < n && 2 * whole < fine.len() {
            // The last column of an odd width.
            let i = whole;
            let alpha = 0.75 * a[i + 1] + 0.25 * a[i] + lost[i];
            let luma = 0.75 * y[i + 1] + 0.25 * y[i];
            let v = alpha + slope[i] * (f32::from(fine[2 * i]) - luma);
            out[2 * i] = byte(v.max(least[i]).min(most[i]));
        }
        let (left, right) = (&halves[0][..whole], &halves[1][..whole]);
        for (i, out) in out.chunks_exact_mut(2).take(whole).enumerate() {
            out[0] = left[i];
            out[1] = right[i];
        }
    }
}
