//! From a frame's colour differences to its matte, at the resolution of its luma.

use super::colour::Difference;
use super::grid::{LANES, Ramps, Sloped, Slopes, along, numbers, room};
use super::rows::Rows;
use super::screen::{Kind, Lines};
use crate::morphology::take_extremes;
use crate::refine::component_row;
use crate::simd::{byte, multiversion};
use rayon::prelude::*;
use std::ops::Range;

/// Variance of luma, in codes², below which it does not say where an edge runs.
const FLAT: f32 = 2.0;
/// How much of what a bilinear enlargement takes off a sample is given back to it.
const SHARPEN: f32 = 0.4;

/// What one thread needs.
#[derive(Default)]
pub(super) struct Local {
    colors: [Vec<u8>; 3],
    /// What makes alpha of them, cell by cell.
    line: Vec<Slopes<5>>,
    made: Vec<u8>,
    /// Alpha of a run's samples and some more all around, and the least around each.
    alpha: Vec<u8>,
    across: Vec<u8>,
    least: Vec<u8>,
    most: Vec<u8>,
    /// Of cells, their alpha where it is one and the same.
    even: Vec<Option<u8>>,
    enlarging: Enlarging,
}

/// What [`enlarge`] needs.
#[derive(Default)]
struct Enlarging {
    /// Alpha and luma of three rows of samples, with one more at both ends.
    rows: [[Vec<f32>; 3]; 2],
    luma: Vec<u8>,
    fine: Vec<u8>,
    up: Vec<Up>,
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
pub(super) fn finish(
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
    // From here on the samples with one more all around.
    let alpha = &l.alpha[reach * tile_width + reach..(tile_height - reach) * tile_width];
    even(alpha.chunks(tile_width).map(|row| &row[..n + 2]), side, &mut l.least, &mut l.most, &mut l.even);
    each_run(&l.even, |value, (from, to)| {
        let x = x0 + from * side..(x0 + to * side).min(x1);
        match value {
            Some(value) => {
                let x = 2 * x.start..(2 * x.end).min(width);
                out.chunks_exact_mut(width).for_each(|out| out[x.clone()].fill(value));
            }
            None => enlarge(rows, (x, y0..y1), (&alpha[from * side..], tile_width), &mut l.enlarging, out),
        }
    });
}

/// Of each cell the alpha that its samples and those beside them have, where it is the same. `rows`: of the cells' samples, and one
/// more all around.
fn even<'a>(
    mut rows: impl Iterator<Item = &'a [u8]>,
    side: usize,
    least: &mut Vec<u8>,
    most: &mut Vec<u8>,
    out: &mut Vec<Option<u8>>,
) {
    out.clear();
    let Some(first) = rows.next() else { return };
    for v in [&mut *least, &mut *most] {
        v.clear();
        v.extend_from_slice(first);
    }
    for row in rows {
        take_extremes(row, least, most);
    }
    out.extend((0..(first.len() - 2).div_ceil(side)).map(|cell| {
        let columns = cell * side..((cell + 1) * side + 2).min(first.len());
        let (least, most) = (least[columns.clone()].iter().min(), most[columns].iter().max());
        least.filter(|_| least == most).copied()
    }));
}

/// The matte of the samples `x` of the rows `y`, at the resolution of luma. `alpha` is theirs and of one more all around, in rows of
/// `stride`; `out` begins at the first of the rows.
fn enlarge(
    rows: &Rows<'_>,
    (x, y): (Range<usize>, Range<usize>),
    (alpha, stride): (&[u8], usize),
    l: &mut Enlarging,
    out: &mut [u8],
) {
    let (n, width) = (x.len(), rows.frame.width);
    let y_of = rows.frame.format.layout().color[0];
    // Whole blocks; what stands over is nobody's.
    let whole = n.next_multiple_of(BLOCK);
    l.up.resize(whole / BLOCK, [[0.0; BLOCK]; 4]);
    l.fine.resize(2 * whole, 0);
    for (at, y) in y.enumerate() {
        for k in 0..3 {
            if at > 0 && k < 2 {
                // As in the row before.
                for rows in &mut l.rows {
                    rows.swap(k, k + 1);
                }
                continue;
            }
            let [to, luma] = &mut l.rows;
            let (to, luma) = (&mut to[k], &mut luma[k]);
            to.resize(whole + 2, 0.0);
            luma.resize(whole + 2, 0.0);
            floats(&alpha[(at + k) * stride..][..n + 2], 1.0 / 255.0, to);
            let (left, right) = (x.start.saturating_sub(1), (x.end + 1).min(rows.width));
            l.luma.resize(right - left, 0);
            rows.read_luma((y + k).saturating_sub(1).min(rows.height - 1), left, &mut l.luma);
            let pad = 1 - (x.start - left);
            floats(&l.luma, 1.0, &mut luma[pad..][..right - left]);
            luma[0] = luma[pad];
            luma[n + 1] = luma[pad + right - left - 1];
        }
        let [alpha, luma] = l.rows.each_ref().map(|rows| rows.each_ref().map(|v| &v[..]));
        slopes(alpha, luma, &mut l.up);
        for dy in (0..2).filter(|dy| 2 * y + dy < rows.frame.height) {
            let to = &mut out[(2 * at + dy) * width..][2 * x.start..(2 * x.end).min(width)];
            let fine = &mut l.fine[..to.len()];
            component_row(rows.frame, &y_of, 1, 2 * y + dy, 2 * x.start, fine);
            let far = 2 * dy;
            widen([alpha[1], alpha[far]], [luma[1], luma[far]], &l.up, &l.fine, to);
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

/// Samples that are enlarged side by side.
const BLOCK: usize = 16;
/// The same with those at both ends.
const WIDE: usize = BLOCK + 2;

/// What a block's samples add to their pixels: see [`slopes`].
type Up = [[f32; BLOCK]; 4];

/// Some blocks' samples, from the one before them on.
fn blocks(row: &[f32]) -> impl Iterator<Item = &[f32; WIDE]> {
    (0..row.len()).step_by(BLOCK).map_while(|at| row[at..].first_chunk())
}

multiversion! {
    /// Of each sample's surroundings of 3 × 3: how alpha goes with luma (the slope of the guided filter, He, Sun & Tang,
    /// ECCV 2010), what a bilinear enlargement takes off its mean, and the least and greatest alpha.
    fn slopes(alpha: [&[f32]; 3], luma: [&[f32]; 3], out: &mut [Up]) {
        let [a0, a1, a2] = alpha.map(blocks);
        let [y0, y1, y2] = luma.map(blocks);
        let rows = a0.zip(a1).zip(a2).zip(y0.zip(y1).zip(y2));
        for (out, (((a0, a1), a2), ((y0, y1), y2))) in out.iter_mut().zip(rows) {
            for i in 0..BLOCK {
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
                out[0][i] = cov / (var + FLAT);
                out[1][i] = (a1[i + 1] - mean) * SHARPEN;
                out[2][i] = (least - more).max(0.0);
                out[3][i] = (most + more).min(1.0);
            }
        }
    }
}

/// Three parts of the nearer row and one of the farther, of a block's samples, those before each and those behind.
#[inline(always)]
fn three_quarters((near, far): (&[f32; WIDE], &[f32; WIDE])) -> [[f32; BLOCK]; 3] {
    let mut out = [[0.0; BLOCK]; 3];
    for (from, out) in out.iter_mut().enumerate() {
        let (near, far) = (&near[from..][..BLOCK], &far[from..][..BLOCK]);
        for i in 0..BLOCK {
            out[i] = 0.75 * near[i] + 0.25 * far[i];
        }
    }
    out
}

/// The pixels on one side of their samples: alpha and luma of these, and of those on that side; the pixels' luma.
#[inline(always)]
fn pixels(alpha: [&[f32; BLOCK]; 2], luma: [&[f32; BLOCK]; 2], up: &Up, fine: &[f32; BLOCK]) -> [u8; BLOCK] {
    let mut out = [0; BLOCK];
    for i in 0..BLOCK {
        let a = 0.75 * alpha[0][i] + 0.25 * alpha[1][i] + up[1][i];
        let y = 0.75 * luma[0][i] + 0.25 * luma[1][i];
        let v = a + up[0][i] * (fine[i] - y);
        out[i] = byte(v.max(up[2][i]).min(up[3][i]));
    }
    out
}

multiversion! {
    /// A row of pixels from the rows of samples that it lies between, the nearer first: bilinear, with the detail of luma. `fine`:
    /// the pixels' luma.
    fn widen(alpha: [&[f32]; 2], luma: [&[f32]; 2], up: &[Up], fine: &[u8], out: &mut [u8]) {
        let [near, far] = alpha.map(blocks);
        let alpha = near.zip(far);
        let [near, far] = luma.map(blocks);
        let parts = alpha.zip(near.zip(far)).zip(up).zip(fine.as_chunks::<{ 2 * BLOCK }>().0);
        for (out, (((alpha, luma), up), fine)) in out.chunks_mut(2 * BLOCK).zip(parts) {
            let ([a0, a1, a2], [y0, y1, y2]) = (three_quarters(alpha), three_quarters(luma));
            // Two pixels a sample, in 16 bits: as vectors they are taken apart and put together so.
            let pairs = fine.as_chunks().0;
            let (mut left, mut right) = ([0.0f32; BLOCK], [0.0f32; BLOCK]);
            for i in 0..BLOCK {
                let pair = u16::from_le_bytes(pairs[i]);
                (left[i], right[i]) = (f32::from(pair & 255), f32::from(pair >> 8));
            }
            let left = pixels([&a1, &a0], [&y1, &y0], up, &left);
            let right = pixels([&a1, &a2], [&y1, &y2], up, &right);
            let mut row = [[0; 2]; BLOCK];
            for i in 0..BLOCK {
                row[i] = (u16::from(left[i]) | u16::from(right[i]) << 8).to_le_bytes();
            }
            let n = out.len();
            out.copy_from_slice(&row.as_flattened()[..n]);
        }
    }
}
