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

    /// Cells at each side of the middle that count at all.
    pub fn reach(&self) -> usize {
        self.whole + usize::from(self.part > 0.0)
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

/// Columns `x.0..x.1` and rows `y.0..y.1` of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    pub x: (usize, usize),
    pub y: (usize, usize),
}

/// What is filtered: planes of `width · height` samples, asked for by rows.
pub trait Guide {
    /// Samples in a row, and rows.
    fn size(&self) -> (usize, usize);

    /// The two rows of samples in row `y` of the cells, from sample `x` on, as many as there is room for: three colours
    /// ([`centred`]) and alpha (0..1). The second row of a plane's last cells may be past its end and is then the
    /// same as the first.
    fn rows(&mut self, y: usize, x: usize, out: [[&mut [f32]; 4]; 2]);
}

/// Reused between calls.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Two rows of samples: three colours and alpha.
    samples: [[Vec<f32>; 4]; 2],
    sums: Rows,
    models: Rows,
    tall: Vec<f32>,
    boxed: Vec<f32>,
    inverse: Vec<f32>,
    inside: Vec<f32>,
    /// What [`filter`] hands on.
    out: [Vec<f32>; 5],
}

/// The rows under a window that moves down.
#[derive(Debug, Default)]
struct Rows {
    /// Values in a row.
    len: usize,
    turns: usize,
    ring: Vec<f32>,
    /// The sum of rows `first..next`.
    inner: Vec<f32>,
    first: usize,
    next: usize,
    zeros: Vec<f32>,
}

impl Rows {
    fn begin(&mut self, len: usize, window: Window, from: usize) {
        // One more than the window spans: what leaves must still be there.
        (self.len, self.turns) = (len, 2 * window.reach() + 2);
        self.ring.resize((self.turns * len).max(self.ring.len()), 0.0);
        self.inner.clear();
        self.inner.resize(len, 0.0);
        self.zeros.resize(len.max(self.zeros.len()), 0.0);
        (self.first, self.next) = (from, from);
    }

    fn slot(&mut self, row: usize) -> &mut [f32] {
        &mut self.ring[row % self.turns * self.len..][..self.len]
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.ring[row % self.turns * self.len..][..self.len]
    }

    /// Moves the window to the middle `at` of `n` rows; its sums go into `out`.
    fn slide(&mut self, at: usize, n: usize, window: Window, out: &mut [f32]) {
        let (from, to) = (at.saturating_sub(window.whole), (at + window.whole + 1).min(n));
        let (len, turns) = (self.len, self.turns);
        let row = |row: usize| &self.ring[row % turns * len..][..len];
        if self.next < from {
            (self.first, self.next) = (from, from);
        }
        while self.next + 1 < to {
            add(&mut self.inner, row(self.next));
            self.next += 1;
        }
        let zeros = &self.zeros[..len];
        let enter = if self.next < to { row(self.next) } else { zeros };
        let leave = if self.first < from { row(self.first) } else { zeros };
        let top = if from > 0 && at > window.whole { row(from - 1) } else { zeros };
        let bottom = if to < n { row(to) } else { zeros };
        (self.first, self.next) = (from, to);
        slide(&mut self.inner, [enter, leave, top, bottom], window.part, out);
    }
}

/// One row of results at the cells of a rectangle.
pub struct Models<'a> {
    /// Slopes by colour (centred) and offset.
    pub model: [&'a mut [f32]; 4],
    /// The cells' alpha as it was before.
    pub alpha: &'a [f32],
}

/// Fits the models of `rect` and hands each row of them to `done`, from the first on. `eps` is added to the
/// colours' variances.
pub fn filter(
    guide: &mut impl Guide,
    rect: Rect,
    window: Window,
    eps: [f32; 3],
    s: &mut Scratch,
    mut done: impl FnMut(usize, Models<'_>),
) {
    let reach = window.reach();
    let (width, height) = guide.size();
    let (wide, high) = (width.div_ceil(2), height.div_ceil(2));
    let count = rect.x.1 - rect.x.0;
    let models = count + 2 * reach;
    // Room for whole vectors, and for windows that run past the last of them.
    let room = (models.next_multiple_of(LANES) + 2 * reach + LANES).next_multiple_of(LANES);
    // The first column of the sums lies so far left of the plane's first, or right of it.
    let left = rect.x.0 as isize - 2 * reach as isize;
    let cells = (left.max(0) as usize, (rect.x.1 + 2 * reach).min(wide));
    let at = (cells.0 as isize - left) as usize;
    for v in s.samples.iter_mut().flatten() {
        v.clear();
        v.resize(2 * room, 0.0);
    }
    for (v, n) in [(&mut s.tall, SUMS.max(MODEL)), (&mut s.boxed, SUMS.max(MODEL))] {
        v.resize((n * room).max(v.len()), 0.0);
    }
    for v in &mut s.out {
        v.resize(count.next_multiple_of(LANES).max(v.len()), 0.0);
    }
    s.inverse.clear();
    s.inside.clear();
    for j in 0..room {
        let x = left + (reach + j) as isize;
        let inside = x >= 0 && x < wide as isize && j < models;
        s.inverse.push(if inside { 0.25 / window.weight(x as usize, wide) } else { 0.0 });
        s.inside.push(f32::from(u8::from(inside)));
    }
    let mut next_row = rect.y.0.saturating_sub(2 * reach);
    let mut next_model = rect.y.0.saturating_sub(reach);
    s.sums.begin(SUMS * room, window, next_row);
    s.models.begin(MODEL * room, window, next_model);
    let samples = (2 * cells.0, (2 * cells.1).min(width));
    for y in rect.y.0..rect.y.1 {
        while next_model <= (y + reach).min(high - 1) {
            while next_row <= (next_model + reach).min(high - 1) {
                let span = 2 * at..2 * at + samples.1 - samples.0;
                let rows = s.samples.each_mut().map(|r| r.each_mut().map(|v| &mut v[span.clone()]));
                guide.rows(next_row, samples.0, rows);
                if width % 2 == 1 && samples.1 == width {
                    // The last cell's missing column is as the one beside it.
                    for v in s.samples.iter_mut().flatten() {
                        v[span.end] = v[span.end - 1];
                    }
                }
                moments(&s.samples, s.sums.slot(next_row));
                next_row += 1;
            }
            s.sums.slide(next_model, high, window, &mut s.tall[..SUMS * room]);
            boxes(&s.tall[..SUMS * room], room, models, window, &mut s.boxed);
            let rows = 1.0 / window.weight(next_model, high);
            fit(&s.boxed, room, models, &s.inverse, &s.inside, rows, eps, s.models.slot(next_model));
            next_model += 1;
        }
        s.models.slide(y, high, window, &mut s.tall[..MODEL * room]);
        boxes(&s.tall[..MODEL * room], room, count, window, &mut s.boxed);
        let [a, b, c, d, old] = &mut s.out;
        let [a, b, c, d, old] = [a, b, c, d, old].map(|v| &mut v[..count]);
        mean(&s.boxed, room, [&mut *a, &mut *b, &mut *c, &mut *d]);
        old.iter_mut().zip(&s.sums.row(y)[2 * reach..]).for_each(|(o, v)| *o = v * 0.25);
        done(y, Models { model: [a, b, c, d], alpha: old });
    }
}

/// A colour as the sums take it: they lose fewest digits around 0.
#[inline(always)]
pub fn centred(v: u8) -> f32 {
    f32::from(v) * (1.0 / 255.0) - 0.5
}

multiversion! {
    /// Bytes as [`centred`].
    pub fn center(from: &[u8], out: &mut [f32]) {
        for (o, &v) in out.iter_mut().zip(from) {
            *o = centred(v);
        }
    }
}

multiversion! {
    /// Sums over the cells of two rows of samples.
    fn moments(rows: &[[Vec<f32>; 4]; 2], out: &mut [f32]) {
        let room = out.len() / SUMS;
        let [top, bottom] = rows.each_ref().map(|r| r.each_ref().map(|v| &v[..2 * room]));
        // Alpha comes fourth among the rows, first among the sums.
        let (plain, products) = out.split_at_mut(4 * room);
        for (out, c) in plain.chunks_exact_mut(room).zip([3, 0, 1, 2]) {
            pair_sums(top[c], bottom[c], out);
        }
        let pairs = [(3, 3), (0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2), (0, 3), (1, 3), (2, 3)];
        for (out, (p, q)) in products.chunks_exact_mut(room).zip(pairs) {
            pair_products([top[p], top[q]], [bottom[p], bottom[q]], out);
        }
    }
}

#[inline(always)]
fn pair_sums(top: &[f32], bottom: &[f32], out: &mut [f32]) {
    let rows = top.chunks_exact(2 * LANES).zip(bottom.chunks_exact(2 * LANES));
    for (out, (t, b)) in out.chunks_exact_mut(LANES).zip(rows) {
        let mut v = [0.0; 2 * LANES];
        for l in 0..2 * LANES {
            v[l] = t[l] + b[l];
        }
        for l in 0..LANES {
            out[l] = v[2 * l] + v[2 * l + 1];
        }
    }
}

#[inline(always)]
fn pair_products([tp, tq]: [&[f32]; 2], [bp, bq]: [&[f32]; 2], out: &mut [f32]) {
    let top = tp.chunks_exact(2 * LANES).zip(tq.chunks_exact(2 * LANES));
    let bottom = bp.chunks_exact(2 * LANES).zip(bq.chunks_exact(2 * LANES));
    for (out, ((tp, tq), (bp, bq))) in out.chunks_exact_mut(LANES).zip(top.zip(bottom)) {
        let mut v = [0.0; 2 * LANES];
        for l in 0..2 * LANES {
            v[l] = tp[l] * tq[l] + bp[l] * bq[l];
        }
        for l in 0..LANES {
            out[l] = v[2 * l] + v[2 * l + 1];
        }
    }
}

multiversion! {
    fn add(to: &mut [f32], from: &[f32]) {
        for (t, &f) in to.iter_mut().zip(from) {
            *t += f;
        }
    }
}

multiversion! {
    /// One row enters the sum and one leaves it; the rows beyond count in part.
    fn slide(inner: &mut [f32], rows: [&[f32]; 4], part: f32, out: &mut [f32]) {
        let n = inner.len();
        let [enter, leave, top, bottom] = rows.map(|r| &r[..n]);
        let out = &mut out[..n];
        for i in 0..n {
            let sum = inner[i] + enter[i] - leave[i];
            inner[i] = sum;
            out[i] = sum + part * (top[i] + bottom[i]);
        }
    }
}

multiversion! {
    /// The windows' sums along rows of `room`, each from its leftmost cell on.
    fn boxes(from: &[f32], room: usize, count: usize, window: Window, out: &mut [f32]) {
        // Whole vectors.
        let n = count.next_multiple_of(LANES);
        for (from, out) in from.chunks_exact(room).zip(out.chunks_exact_mut(room)) {
            let out = &mut out[..n];
            // A width known to the compiler makes one pass of vector loads of each.
            match (window.whole, window.part > 0.0) {
                (1, false) => fixed::<3, 0>(from, window.part, out),
                (1, true) => fixed::<3, 1>(from, window.part, out),
                (2, false) => fixed::<5, 0>(from, window.part, out),
                (2, true) => fixed::<5, 1>(from, window.part, out),
                (3, false) => fixed::<7, 0>(from, window.part, out),
                (3, true) => fixed::<7, 1>(from, window.part, out),
                (4, false) => fixed::<9, 0>(from, window.part, out),
                (4, true) => fixed::<9, 1>(from, window.part, out),
                (whole, partly) => {
                    let skip = usize::from(partly);
                    let turns = 2 * whole + 1;
                    for (i, o) in out.iter_mut().enumerate() {
                        let sum: f32 = from[i + skip..][..turns].iter().sum();
                        *o = sum + window.part * (from[i] + from[i + turns - 1 + 2 * skip]);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn fixed<const N: usize, const SKIP: usize>(from: &[f32], part: f32, out: &mut [f32]) {
    let from = &from[..out.len() + N - 1 + 2 * SKIP];
    for (at, out) in out.chunks_exact_mut(LANES).enumerate() {
        let near = &from[at * LANES..][..LANES + N - 1 + 2 * SKIP];
        let mut sum = [0f32; LANES];
        for k in 0..N {
            for l in 0..LANES {
                sum[l] += near[SKIP + k + l];
            }
        }
        for l in 0..LANES {
            out[l] = if SKIP == 0 { sum[l] } else { sum[l] + part * (near[l] + near[l + N + 1]) };
        }
    }
}

multiversion! {
    /// Each cell's mean of the models whose windows hold it.
    fn mean(sums: &[f32], room: usize, out: [&mut [f32]; 4]) {
        let weight = &sums[4 * room..];
        for (k, out) in out.into_iter().enumerate() {
            for ((o, &s), &w) in out.iter_mut().zip(&sums[k * room..]).zip(weight) {
                *o = s / w.max(1e-20);
            }
        }
    }
}

multiversion! {
    /// Solves each window's model from the sums of its columns.
    #[allow(clippy::too_many_arguments)]
    fn fit(
        sums: &[f32], room: usize, count: usize, columns: &[f32], inside: &[f32], rows: f32, eps: [f32; 3],
        out: &mut [f32],
    ) {
        for at in (0..count).step_by(LANES) {
            let mut v = [[0f32; LANES]; SUMS];
            for (k, v) in v.iter_mut().enumerate() {
                v.copy_from_slice(&sums[k * room + at..][..LANES]);
            }
            let mut o = [[0f32; LANES]; MODEL];
            let (columns, inside) = (&columns[at..][..LANES], &inside[at..][..LANES]);
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
                out[k * room + at..][..LANES].copy_from_slice(o);
            }
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

    impl Guide for Planes {
        fn size(&self) -> (usize, usize) {
            (self.width, self.alpha.len() / self.width)
        }

        fn rows(&mut self, y: usize, x: usize, out: [[&mut [f32]; 4]; 2]) {
            for (dy, [r, g, b, alpha]) in out.into_iter().enumerate() {
                let at = (2 * y + dy).min(self.size().1 - 1) * self.width + x;
                for (out, from) in [r, g, b].into_iter().zip(&self.color) {
                    center(&from[at..], out);
                }
                alpha.copy_from_slice(&self.alpha[at..][..alpha.len()]);
            }
        }
    }

    /// The same by the definition: every sum from scratch, in double precision.
    fn reference(p: &Planes, window: Window, eps: [f32; 3]) -> [Vec<f32>; 4] {
        let (w, h) = p.size();
        let (wide, high) = (w.div_ceil(2), h.div_ceil(2));
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
        for (w, h, samples, x, y) in [
            (37, 29, 7.0, (0, 19), (0, 15)),
            (37, 29, 8.9, (2, 10), (3, 7)),
            (41, 1, 5.0, (0, 21), (0, 1)),
            (1, 17, 11.0, (0, 1), (2, 9)),
            (1, 1, 6.0, (0, 1), (0, 1)),
            (9, 50, 13.0, (1, 5), (20, 25)),
            (150, 60, 25.0, (0, 75), (5, 30)),
        ] {
            let plane = |seed: usize| -> Vec<u8> {
                (0..w * h).map(|i| ((i * 31 + i * i * seed) % 251) as u8).collect()
            };
            let alpha = plane(7).iter().map(|&v| f32::from(v) / 250.0).collect();
            let mut planes = Planes { width: w, color: [plane(3), plane(5), plane(11)], alpha };
            let window = Window::new(samples);
            let want = reference(&planes, window, [1e-3; 3]);
            let old = planes.alpha.clone();
            let mut next = y.0;
            filter(&mut planes, Rect { x, y }, window, [1e-3; 3], &mut Scratch::default(), |row, models| {
                assert_eq!(row, next);
                next += 1;
                for (i, u) in (x.0..x.1).enumerate() {
                    for (got, want) in models.model.iter().zip(&want) {
                        let (got, want) = (got[i], want[row * w.div_ceil(2) + u]);
                        assert!(
                            (got - want).abs() < 2e-3 * (1.0 + want.abs()),
                            "{w}x{h} {samples} at {u},{row}: {got} for {want}"
                        );
                    }
                    let at =
                        |dx: usize, dy: usize| old[(2 * row + dy).min(h - 1) * w + (2 * u + dx).min(w - 1)];
                    let mean = (at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1)) / 4.0;
                    assert!((models.alpha[i] - mean).abs() < 1e-5);
                }
            });
            assert_eq!(next, y.1);
        }
    }
}
