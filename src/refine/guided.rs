//! A colour guided filter (He, Sun & Tang, "Guided Image Filtering", PAMI 2013) over rectangles of a plane.
//!
//! In each window it fits alpha ≈ a·colour + b; each place then takes the mean of the models whose windows hold it.
//! As in weighted aggregation (Chen, Li, Huang & Yang, "Weighted aggregation for guided image filtering", SIViP
//! 2020) a model counts by how well it fits its own window, so that a window over clutter does not blur the edge
//! beside it.
//!
//! Windows are made of cells of 2×2 samples, and models are fitted at cells only (as in He & Sun, "Fast Guided
//! Filter", 2015, but the sums take in every sample): models are so smooth that nothing is lost, and most of the
//! work is a quarter.

use super::blocks::runs;
use crate::simd::multiversion;

/// Residual variance of alpha at which a model's weight has halved.
const RESIDUAL: f32 = 0.005;
/// Sums kept of each window: alpha, alpha², three colours, their six products, the three with alpha.
const SUMS: usize = 14;
/// Values kept of each model: three slopes, offset, weight, all but the last times the weight.
const MODEL: usize = 5;
const LANES: usize = 16;

/// A square of cells around one; its outermost cells count in part, so that it may have any size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Cells at each side of the middle that count wholly, and the weight of the one beyond.
    whole: usize,
    part: f32,
}

impl Window {
    /// A square of so many samples, at least three cells.
    pub fn new(samples: f32) -> Self {
        // To a quarter of a cell: less is not worth a cell more to look at.
        let radius = ((samples - 2.0) * 0.25 * 4.0).round().max(4.0) * 0.25;
        Self { whole: radius as usize, part: radius.fract() }
    }

    /// The weight of the outermost cells.
    fn edge(&self) -> f32 {
        if self.part > 0.0 { self.part } else { 1.0 }
    }

    /// Cells at each side of the middle that count at all.
    pub fn reach(&self) -> usize {
        self.whole + usize::from(self.part > 0.0)
    }

    /// Rows of a window, or columns.
    fn side(&self) -> usize {
        2 * self.reach() + 1
    }

    /// The weight of the cells inside `0..n` around `at`.
    fn weight(&self, at: usize, n: usize) -> f32 {
        let k = self.whole;
        let mut weight = ((at + k).min(n - 1) + 1 - at.saturating_sub(k)) as f32;
        for inside in [at > k, at + k + 1 < n] {
            weight += if inside { self.part } else { 0.0 };
        }
        weight
    }
}

/// Two rows of samples, cells side by side: `[row][component][column in its cell][cell]`, three colours ([`centred`])
/// and alpha (0..1).
pub type Samples = [[[Vec<f32>; 2]; 4]; 2];

/// What is filtered: planes of samples, asked for by rows of cells.
pub trait Guide {
    /// Cells in a row, and rows.
    fn size(&self) -> (usize, usize);

    /// The samples of row `y` of the cells, `count` cells from `x` on; `x` is even. What lies past the last sample, where
    /// sizes are odd, is as that sample.
    fn rows(&mut self, y: usize, x: usize, count: usize, out: &mut Samples);
}

/// Where models are asked for: whole blocks of cells.
pub struct Area<'a> {
    /// Rows of cells.
    pub y: (usize, usize),
    /// The row of blocks that `marks` begins with.
    pub first: usize,
    /// Cells in a block, across; blocks in a row. Of blocks smaller than a cell, `per` make one.
    pub side: usize,
    pub per: usize,
    pub wide: usize,
    /// The blocks asked for, row by row.
    pub marks: &'a [bool],
}

impl Area<'_> {
    /// The runs of cells, each widened by `reach` to either side, that rows within `reach` of `y` are asked for.
    fn runs(
        &self,
        y: usize,
        reach: usize,
        (wide, high): (usize, usize),
        row: &mut Vec<bool>,
        out: &mut Vec<Run>,
    ) {
        let last = self.marks.len() / self.wide - 1;
        let block = |y: usize| (y * self.per / self.side).saturating_sub(self.first).min(last);
        // Rows outside of the area are not asked for.
        let (from, to) = (y.saturating_sub(reach).max(self.y.0), (y + reach).min(high - 1).min(self.y.1 - 1));
        out.clear();
        row.clear();
        row.resize(self.wide, false);
        if from > to {
            return;
        }
        for by in block(from)..=block(to).max(((to + 1) * self.per - 1) / self.side - self.first).min(last) {
            row.iter_mut().zip(&self.marks[by * self.wide..]).for_each(|(r, m)| *r |= m);
        }
        for run in runs(row) {
            let x0 = (run.start * self.side / self.per).min(wide).saturating_sub(reach);
            let x1 = ((run.end * self.side).div_ceil(self.per) + reach).min(wide);
            match out.last_mut() {
                Some(before) if before.1 >= x0 => before.1 = x1,
                _ if x0 < x1 => out.push((x0, x1)),
                _ => {}
            }
        }
    }
}

/// From one cell to before another.
type Run = (usize, usize);

/// Reused between calls.
#[derive(Debug, Default)]
pub struct Scratch {
    samples: Samples,
    sums: Rows,
    models: Rows,
    column_sums: Vec<f32>,
    /// One over the cells in the windows of each column, and whether it is one of the plane's.
    inverse: Vec<f32>,
    inside: Vec<f32>,
    row: Vec<bool>,
    runs: Vec<Run>,
    out: [Vec<f32>; 5],
}

/// The last rows of sums or models, and one that is empty.
#[derive(Debug, Default)]
struct Rows {
    shape: [usize; 4],
    len: usize,
    turns: usize,
    ring: Vec<f32>,
}

impl Rows {
    /// For `planes` of `stride` values, of which those from `pad` on are `wide` cells.
    fn begin(&mut self, planes: usize, stride: usize, (pad, wide): (usize, usize), window: Window) {
        let (len, turns) = (planes * stride, window.side());
        if self.shape != [len, turns, pad, wide] {
            self.shape = [len, turns, pad, wide];
            (self.len, self.turns) = (len, turns);
            // Columns beside the plane count as empty, and nothing else is written there.
            self.ring.clear();
            self.ring.resize((turns + 1) * len, 0.0);
        }
        // What earlier calls have left in the cells, nobody reads.
        #[cfg(test)]
        for plane in self.ring[..turns * len].chunks_exact_mut(stride) {
            plane[pad..pad + wide].fill(1e6);
        }
    }

    fn slot(&mut self, row: usize) -> &mut [f32] {
        &mut self.ring[row % self.turns * self.len..][..self.len]
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.ring[row % self.turns * self.len..][..self.len]
    }

    /// Sums of the rows of a window whose middle is `at` of `n` rows, columns `x.0..x.1` of each plane of `stride`.
    fn stack(&self, at: usize, n: usize, window: Window, stride: usize, x: Run, out: &mut [f32]) {
        let reach = window.reach();
        let mut starts = [self.turns * self.len; MOST];
        for (k, start) in starts.iter_mut().enumerate().take(window.side()) {
            if let Some(row) = (at + k).checked_sub(reach).filter(|&row| row < n) {
                *start = row % self.turns * self.len;
            }
        }
        stack(&self.ring, &starts[..window.side()], (self.len / stride, stride), x, window.edge(), out);
    }
}

/// Most rows that a window can have.
const MOST: usize = 17;

/// One row of results at the cells of a run.
pub struct Models<'a> {
    /// The row, and its first cell.
    pub at: (usize, usize),
    /// Slopes by colour (centred) and offset.
    pub model: [&'a [f32]; 4],
    /// The cells' alpha as it was before.
    pub alpha: &'a [f32],
}

/// Fits models in an area and hands them to `done`, row by row from the first on. `eps` is added to the colours'
/// variances.
pub fn filter(
    guide: &mut impl Guide,
    area: &Area<'_>,
    window: Window,
    eps: [f32; 3],
    s: &mut Scratch,
    mut done: impl FnMut(Models<'_>),
) {
    let reach = window.reach();
    let (wide, high) = guide.size();
    // Windows that reach past the plane fit into it, and whole vectors.
    let pad = reach.next_multiple_of(LANES);
    let stride = pad + wide.next_multiple_of(LANES) + pad + 2 * LANES;
    for v in s.samples.iter_mut().flatten().flatten() {
        v.resize((wide + 2 * LANES).max(v.len()), 0.0);
    }
    s.column_sums.resize((SUMS * stride).max(s.column_sums.len()), 0.0);
    for v in &mut s.out {
        v.resize((wide + LANES).max(v.len()), 0.0);
    }
    s.inverse.clear();
    s.inside.clear();
    for x in 0..stride {
        let inside = x >= pad && x - pad < wide;
        s.inverse.push(if inside { 0.25 / window.weight(x - pad, wide) } else { 0.0 });
        s.inside.push(f32::from(u8::from(inside)));
    }
    let mut next_row = area.y.0.saturating_sub(2 * reach);
    let mut next_model = area.y.0.saturating_sub(reach);
    s.sums.begin(SUMS, stride, (pad, wide), window);
    s.models.begin(MODEL, stride, (pad, wide), window);
    let mut runs = std::mem::take(&mut s.runs);
    for y in area.y.0..area.y.1 {
        while next_model <= (y + reach).min(high - 1) {
            while next_row <= (next_model + reach).min(high - 1) {
                area.runs(next_row, 2 * reach, (wide, high), &mut s.row, &mut runs);
                for &(x0, x1) in &runs {
                    let x0 = x0 & !1;
                    let count = x1 - x0;
                    guide.rows(next_row, x0, count, &mut s.samples);
                    let whole = count.next_multiple_of(LANES);
                    for v in s.samples.iter_mut().flatten().flatten() {
                        v[count..whole].fill(0.0);
                    }
                    moments(&s.samples, whole, s.sums.slot(next_row), pad + x0);
                }
                next_row += 1;
            }
            area.runs(next_model, reach, (wide, high), &mut s.row, &mut runs);
            let rows = 1.0 / window.weight(next_model, high);
            for &(x0, x1) in &runs {
                let whole = (x1 - x0).next_multiple_of(LANES);
                let x = (pad + x0 - reach, pad + x0 + whole + reach);
                s.sums.stack(next_model, high, window, stride, x, &mut s.column_sums);
                let at = pad + x0;
                let span = Span { stride, at, count: whole, window };
                let columns = [&s.inverse[at..], &s.inside[at..]];
                fit(&s.column_sums, span, columns, rows, eps, s.models.slot(next_model));
            }
            next_model += 1;
        }
        area.runs(y, 0, (wide, high), &mut s.row, &mut runs);
        for &(x0, x1) in &runs {
            let (count, at) = (x1 - x0, pad + x0);
            let whole = count.next_multiple_of(LANES);
            s.models.stack(y, high, window, stride, (at - reach, at + whole + reach), &mut s.column_sums);
            let [a, b, c, d, old] = &mut s.out;
            let span = Span { stride, at, count: whole, window };
            mean(&s.column_sums, span, [&mut *a, &mut *b, &mut *c, &mut *d]);
            for (o, v) in old[..count].iter_mut().zip(&s.sums.row(y)[at..]) {
                *o = v * 0.25;
            }
            done(Models { at: (y, x0), model: [a, b, c, d].map(|v| &v[..count]), alpha: &old[..count] });
        }
    }
    s.runs = runs;
}

/// A colour as the sums take it: they lose fewest digits around 0.
#[inline(always)]
pub fn centred(v: u8) -> f32 {
    f32::from(v) * (1.0 / 255.0) - 0.5
}

multiversion! {
    /// Bytes as [`centred`], the first and the second of each pair; a last one without a second counts twice.
    pub fn center_pairs(from: &[u8], first: &mut [f32], second: &mut [f32]) {
        for ((f, s), v) in first.iter_mut().zip(&mut *second).zip(from.chunks_exact(2)) {
            *f = centred(v[0]);
            *s = centred(v[1]);
        }
        if let [last] = from.chunks_exact(2).remainder() {
            let at = from.len() / 2;
            (first[at], second[at]) = (centred(*last), centred(*last));
        }
    }
}

multiversion! {
    /// Sums over cells, from place `at` of the planes in `out` on.
    fn moments(samples: &Samples, count: usize, out: &mut [f32], at: usize) {
        let stride = out.len() / SUMS;
        let rows = samples.each_ref().map(|r| r.each_ref().map(|c| c.each_ref().map(|v| &v[..count])));
        for i in (0..count).step_by(LANES) {
            let mut v = [[0f32; LANES]; 16];
            for (k, v) in v.iter_mut().enumerate() {
                v.copy_from_slice(&rows[k >> 3][k >> 1 & 3][k & 1][i..][..LANES]);
            }
            let mut o = [[0f32; LANES]; SUMS];
            for l in 0..LANES {
                // The four samples of a component.
                let four = |c: usize| [v[2 * c][l], v[2 * c + 1][l], v[8 + 2 * c][l], v[9 + 2 * c][l]];
                let (r, g, b, a) = (four(0), four(1), four(2), four(3));
                let sum = |p: [f32; 4]| p[0] + p[1] + p[2] + p[3];
                let dot = |p: [f32; 4], q: [f32; 4]| p[0] * q[0] + p[1] * q[1] + p[2] * q[2] + p[3] * q[3];
                o[0][l] = sum(a);
                o[1][l] = sum(r);
                o[2][l] = sum(g);
                o[3][l] = sum(b);
                o[4][l] = dot(a, a);
                o[5][l] = dot(r, r);
                o[6][l] = dot(r, g);
                o[7][l] = dot(r, b);
                o[8][l] = dot(g, g);
                o[9][l] = dot(g, b);
                o[10][l] = dot(b, b);
                o[11][l] = dot(r, a);
                o[12][l] = dot(g, a);
                o[13][l] = dot(b, a);
            }
            for (k, o) in o.iter().enumerate() {
                out[k * stride + at + i..][..LANES].copy_from_slice(o);
            }
        }
    }
}

multiversion! {
    /// Sums of the rows that begin at `starts`, for each of `planes.0` planes of `planes.1` values; the outermost rows
    /// count `edge` times.
    fn stack(ring: &[f32], starts: &[usize], planes: (usize, usize), x: (usize, usize), edge: f32, out: &mut [f32]) {
        let (count, stride) = planes;
        for k in 0..count {
            let row = |start: usize| &ring[start + k * stride + x.0..][..x.1 - x.0];
            let out = &mut out[k * stride + x.0..][..x.1 - x.0];
            match *starts {
                [a, b, c] => stack_rows([a, c].map(row), [b].map(row), edge, out),
                [a, b, c, d, e] => stack_rows([a, e].map(row), [b, c, d].map(row), edge, out),
                [a, b, c, d, e, f, g] => stack_rows([a, g].map(row), [b, c, d, e, f].map(row), edge, out),
                [a, b, c, d, e, f, g, h, i] => {
                    stack_rows([a, i].map(row), [b, c, d, e, f, g, h].map(row), edge, out)
                }
                [first, ref inner @ .., last] => {
                    let (top, bottom) = (row(first), row(last));
                    for (i, o) in out.iter_mut().enumerate() {
                        *o = edge * (top[i] + bottom[i]);
                    }
                    for &start in inner {
                        out.iter_mut().zip(row(start)).for_each(|(o, v)| *o += v);
                    }
                }
                _ => out.fill(0.0),
            }
        }
    }
}

#[inline(always)]
fn stack_rows<const N: usize>(ends: [&[f32]; 2], inner: [&[f32]; N], edge: f32, out: &mut [f32]) {
    let n = out.len();
    let (ends, inner) = (ends.map(|r| &r[..n]), inner.map(|r| &r[..n]));
    for i in 0..n {
        let mut sum = edge * (ends[0][i] + ends[1][i]);
        for row in inner {
            sum += row[i];
        }
        out[i] = sum;
    }
}

/// The sum along a row over a window around each of sixteen places from `at` on.
#[inline(always)]
fn across<const REACH: usize>(row: &[f32], at: usize, reach: usize, edge: f32) -> [f32; LANES] {
    // A reach known to the compiler makes one pass of vector loads.
    let reach = if REACH == 0 { reach } else { REACH };
    let near = &row[at - reach..][..LANES + 2 * reach];
    let mut sum = [0f32; LANES];
    for l in 0..LANES {
        sum[l] = edge * (near[l] + near[l + 2 * reach]);
    }
    for k in 1..2 * reach {
        for l in 0..LANES {
            sum[l] += near[k + l];
        }
    }
    sum
}

/// Windows side by side, of the sums of columns in planes of `stride` values.
#[derive(Clone, Copy)]
struct Span {
    stride: usize,
    /// The first one's middle, and how many there are.
    at: usize,
    count: usize,
    window: Window,
}

multiversion! {
    /// Each cell's mean of the models whose windows hold it.
    fn mean(column_sums: &[f32], span: Span, out: [&mut [f32]; 4]) {
        match span.window.reach() {
            1 => mean_of::<1>(column_sums, span, out),
            2 => mean_of::<2>(column_sums, span, out),
            3 => mean_of::<3>(column_sums, span, out),
            4 => mean_of::<4>(column_sums, span, out),
            _ => mean_of::<0>(column_sums, span, out),
        }
    }
}

#[inline(always)]
fn mean_of<const REACH: usize>(column_sums: &[f32], span: Span, out: [&mut [f32]; 4]) {
    let Span { stride, at, count, window } = span;
    let (reach, edge) = (window.reach(), window.edge());
    for i in (0..count).step_by(LANES) {
        let sum = |k: usize| across::<REACH>(&column_sums[k * stride..][..stride], at + i, reach, edge);
        let mut weight = sum(4);
        for w in &mut weight {
            *w = 1.0 / w.max(1e-20);
        }
        let sums = [sum(0), sum(1), sum(2), sum(3)];
        for k in 0..4 {
            let out = &mut out[k][i..][..LANES];
            for l in 0..LANES {
                out[l] = sums[k][l] * weight[l];
            }
        }
    }
}

multiversion! {
    /// Solves the model of each window of a span. `columns`: one over the cells in the windows of each column, and whether it
    /// is one of the plane's; `rows`: one over those of their rows.
    fn fit(column_sums: &[f32], span: Span, columns: [&[f32]; 2], rows: f32, eps: [f32; 3], out: &mut [f32]) {
        match span.window.reach() {
            1 => fit_of::<1>(column_sums, span, columns, rows, eps, out),
            2 => fit_of::<2>(column_sums, span, columns, rows, eps, out),
            3 => fit_of::<3>(column_sums, span, columns, rows, eps, out),
            4 => fit_of::<4>(column_sums, span, columns, rows, eps, out),
            _ => fit_of::<0>(column_sums, span, columns, rows, eps, out),
        }
    }
}

#[inline(always)]
fn fit_of<const REACH: usize>(
    column_sums: &[f32],
    span: Span,
    [columns, inside]: [&[f32]; 2],
    rows: f32,
    eps: [f32; 3],
    out: &mut [f32],
) {
    let Span { stride, at, count, window } = span;
    let (reach, edge) = (window.reach(), window.edge());
    for i in (0..count).step_by(LANES) {
        let mut v = [[0f32; LANES]; SUMS];
        for (k, v) in v.iter_mut().enumerate() {
            *v = across::<REACH>(&column_sums[k * stride..][..stride], at + i, reach, edge);
        }
        let mut o = [[0f32; LANES]; MODEL];
        let (columns, inside) = (&columns[i..][..LANES], &inside[i..][..LANES]);
        for l in 0..LANES {
            let inv = columns[l] * rows;
            let m = |k: usize| v[k][l] * inv;
            let (p, r, g, b) = (m(0), m(1), m(2), m(3));
            let var = m(4) - p * p;
            // Covariance of the colours, a little of the identity added, and with alpha.
            let (rr, rg, rb) = (m(5) - r * r + eps[0], m(6) - r * g, m(7) - r * b);
            let (gg, gb, bb) = (m(8) - g * g + eps[1], m(9) - g * b, m(10) - b * b + eps[2]);
            let (cr, cg, cb) = (m(11) - r * p, m(12) - g * p, m(13) - b * p);
            // Its inverse by cofactors.
            let (i00, i01, i02) = (gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb);
            let (i11, i12, i22) = (rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg);
            let det = 1.0 / (rr * i00 + rg * i01 + rb * i02).max(1e-20);
            let ar = (i00 * cr + i01 * cg + i02 * cb) * det;
            let ag = (i01 * cr + i11 * cg + i12 * cb) * det;
            let ab = (i02 * cr + i12 * cg + i22 * cb) * det;
            let rest = (var - (ar * cr + ag * cg + ab * cb)).max(0.0);
            let weight = inside[l] / (rest + RESIDUAL);
            o[0][l] = ar * weight;
            o[1][l] = ag * weight;
            o[2][l] = ab * weight;
            o[3][l] = (p - ar * r - ag * g - ab * b) * weight;
            o[4][l] = weight;
        }
        for (k, o) in o.iter().enumerate() {
            out[k * stride + at + i..][..LANES].copy_from_slice(o);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Planes {
        width: usize,
        color: [Vec<u8>; 3],
        alpha: Vec<f32>,
    }

    impl Planes {
        fn height(&self) -> usize {
            self.alpha.len() / self.width
        }
    }

    impl Guide for Planes {
        fn size(&self) -> (usize, usize) {
            (self.width.div_ceil(2), self.height().div_ceil(2))
        }

        fn rows(&mut self, y: usize, x: usize, count: usize, out: &mut Samples) {
            for (dy, rows) in out.iter_mut().enumerate() {
                let at = (2 * y + dy).min(self.height() - 1) * self.width;
                let columns = 2 * x..(2 * (x + count)).min(self.width);
                let [r, g, b, alpha] = rows;
                for ([first, second], from) in [r, g, b].into_iter().zip(&self.color) {
                    center_pairs(&from[at..][columns.clone()], first, second);
                }
                for (i, pair) in self.alpha[at..][columns].chunks(2).enumerate() {
                    (alpha[0][i], alpha[1][i]) = (pair[0], pair[pair.len() - 1]);
                }
            }
        }
    }

    /// The same by the definition: every sum from scratch, in double precision.
    fn reference(p: &Planes, window: Window, eps: [f32; 3]) -> [Vec<f32>; 4] {
        let (w, h) = (p.width, p.height());
        let (wide, high) = p.size();
        // Cells of a window with their weights; one direction after the other.
        let line = |at: usize, n: usize| {
            let reach = window.reach();
            (at.saturating_sub(reach)..(at + reach + 1).min(n))
                .map(move |i| (i, if i.abs_diff(at) > window.whole { f64::from(window.part) } else { 1.0 }))
        };
        let cells = |x: usize, y: usize| {
            line(y, high).flat_map(move |(v, wv)| line(x, wide).map(move |(u, wu)| (u, v, wu * wv)))
        };
        let models: Vec<[f64; MODEL]> = (0..wide * high)
            .map(|i| {
                let mean = |f: &dyn Fn(usize) -> f64| {
                    let (mut sum, mut weight) = (0.0, 0.0);
                    for (u, v, part) in cells(i % wide, i / wide) {
                        for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                            sum += part * f((2 * v + dy).min(h - 1) * w + (2 * u + dx).min(w - 1));
                            weight += part;
                        }
                    }
                    sum / weight
                };
                let c = |k: usize, j: usize| f64::from(centred(p.color[k][j]));
                let a = |j: usize| f64::from(p.alpha[j]);
                let (mc, mp) = ([0, 1, 2].map(|k| mean(&|j| c(k, j))), mean(&a));
                let cov = [0, 1, 2].map(|k| mean(&|j| c(k, j) * a(j)) - mc[k] * mp);
                let mut m = [[0.0; 4]; 3];
                for k in 0..3 {
                    for l in 0..3 {
                        m[k][l] = mean(&|j| c(k, j) * c(l, j)) - mc[k] * mc[l];
                    }
                    m[k][k] += f64::from(eps[k]);
                    m[k][3] = cov[k];
                }
                // Gauss and Jordan; positive definite, so that no pivoting is needed.
                for k in 0..3 {
                    let pivot = m[k][k];
                    m[k].iter_mut().for_each(|v| *v /= pivot);
                    for l in (0..3).filter(|&l| l != k) {
                        let (f, from) = (m[l][k], m[k]);
                        m[l].iter_mut().zip(from).for_each(|(v, q)| *v -= f * q);
                    }
                }
                let slope = [0, 1, 2].map(|k| m[k][3]);
                let explained: f64 = (0..3).map(|k| slope[k] * cov[k]).sum();
                let rest = (mean(&|j| a(j) * a(j)) - mp * mp - explained).max(0.0);
                let weight = 1.0 / (rest + f64::from(RESIDUAL));
                let offset = mp - (0..3).map(|k| slope[k] * mc[k]).sum::<f64>();
                [slope[0], slope[1], slope[2], offset, 1.0].map(|v| v * weight)
            })
            .collect();
        [0, 1, 2, 3].map(|k| {
            let each = |i: usize| {
                let (sum, weight) = cells(i % wide, i / wide).fold((0.0, 0.0), |(s, t), (u, v, part)| {
                    let m = &models[v * wide + u];
                    (s + part * m[k], t + part * m[4])
                });
                (sum / weight) as f32
            };
            (0..wide * high).map(each).collect()
        })
    }

    #[test]
    fn agrees_with_the_definition() {
        // One for all, as the threads have: what earlier calls have left must not matter.
        let mut scratch = Scratch::default();
        // Size, side of the windows, rows asked for, side of the blocks in cells, and how many of less than a cell make
        // one.
        for (w, h, samples, y, side, per) in [
            (37, 29, 7.0, (0, 15), 8, 1),
            (37, 29, 8.9, (4, 8), 4, 1),
            (41, 1, 5.0, (0, 1), 8, 1),
            (1, 17, 11.0, (2, 9), 2, 1),
            (1, 1, 6.0, (0, 1), 8, 1),
            (9, 50, 13.0, (20, 25), 1, 1),
            (150, 60, 25.0, (0, 30), 8, 1),
            (150, 60, 7.0, (8, 24), 8, 1),
            (61, 47, 9.0, (0, 24), 1, 2),
        ] {
            let plane = |seed: usize| -> Vec<u8> {
                (0..w * h).map(|i| ((i * 31 + i * i * seed) % 251) as u8).collect()
            };
            let alpha = plane(7).iter().map(|&v| f32::from(v) / 250.0).collect();
            let mut planes = Planes { width: w, color: [plane(3), plane(5), plane(11)], alpha };
            let window = Window::new(samples);
            let want = reference(&planes, window, [1e-3; 3]);
            let old = planes.alpha.clone();
            let (wide, high) = planes.size();
            let blocks = (wide * per).div_ceil(side);
            for seed in 0..4 {
                let marks: Vec<bool> = (0..blocks * (high * per).div_ceil(side))
                    .map(|i| seed == 0 || (i * 7919 + seed * 104_729) % 11 < 2 * seed)
                    .collect();
                let first = y.0 * per / side;
                let area = Area { y, first, side, per, wide: blocks, marks: &marks[first * blocks..] };
                let mut seen = vec![false; wide * high];
                filter(&mut planes, &area, window, [1e-3; 3], &mut scratch, |models| {
                    let (row, x) = models.at;
                    for u in x..x + models.alpha.len() {
                        seen[row * wide + u] = true;
                        for (got, want) in models.model.iter().zip(&want) {
                            let (got, want) = (got[u - x], want[row * wide + u]);
                            assert!(
                                (got - want).abs() < 2e-3 * (1.0 + want.abs()),
                                "{w}x{h} {samples} at {u},{row}: {got} for {want}"
                            );
                        }
                        let at = |dx: usize, dy: usize| {
                            old[(2 * row + dy).min(h - 1) * w + (2 * u + dx).min(w - 1)]
                        };
                        let mean = (at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1)) / 4.0;
                        assert!((models.alpha[u - x] - mean).abs() < 1e-5);
                    }
                });
                for (i, &seen) in seen.iter().enumerate() {
                    let (u, v) = (i % wide, i / wide);
                    let marked = (u * per / side..((u + 1) * per).div_ceil(side).max(u * per / side + 1))
                        .any(|bx| {
                            (v * per / side..((v + 1) * per).div_ceil(side).max(v * per / side + 1))
                                .any(|by| marks[by * blocks + bx])
                        });
                    let asked = (y.0..y.1).contains(&v) && marked;
                    assert!(seen || !asked, "{w}x{h} {samples}: {u},{v} is missing");
                }
            }
        }
    }
}
