//! The arithmetic: sums over windows, and the models that they make.

use super::Samples;
use super::window::Window;
use crate::simd::multiversion;

/// Residual variance of alpha at which a model's weight has halved.
pub(super) const RESIDUAL: f32 = 0.005;
/// Sums kept of each window: alpha, alpha², three colours, their six products, the three with alpha.
pub(super) const SUMS: usize = 14;
/// Values kept of each model: three slopes, offset, weight, all but the last times the weight.
pub(super) const MODEL: usize = 5;
/// Samples that are worked on together.
pub(super) const LANES: usize = 16;

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
    pub(super) fn moments(samples: &Samples, count: usize, out: &mut [f32], at: usize) {
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
    pub(super) fn stack(ring: &[f32], starts: &[usize], planes: (usize, usize), x: (usize, usize), edge: f32, out: &mut [f32]) {
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
pub(super) struct Span {
    pub stride: usize,
    /// The first one's middle, and how many there are.
    pub at: usize,
    pub count: usize,
    pub window: Window,
}

multiversion! {
    /// Each cell's mean of the models whose windows hold it.
    pub(super) fn mean(column_sums: &[f32], span: Span, out: [&mut [f32]; 4]) {
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
fn mean_of<const REACH: usize>(column_sums: &[f32], span: Span, mut out: [&mut [f32]; 4]) {
    let Span { stride, at, count, window } = span;
    let (reach, edge) = (window.reach(), window.edge());
    for i in (0..count).step_by(LANES) {
        let mut v = [[0f32; LANES]; MODEL];
        for (k, v) in v.iter_mut().enumerate() {
            *v = across::<REACH>(&column_sums[k * stride..][..stride], at + i, reach, edge);
        }
        let mut o = [[0f32; LANES]; 4];
        for l in 0..LANES {
            let weight = 1.0 / v[4][l].max(1e-20);
            for k in 0..4 {
                o[k][l] = v[k][l] * weight;
            }
        }
        for (out, o) in out.iter_mut().zip(&o) {
            out[i..][..LANES].copy_from_slice(o);
        }
    }
}

multiversion! {
    /// Solves the model of each window of a span. `columns`: one over the cells in the windows of each column, and whether it
    /// is one of the plane's; `rows`: one over those of their rows.
    pub(super) fn fit(column_sums: &[f32], span: Span, columns: [&[f32]; 2], rows: f32, eps: [f32; 3], out: &mut [f32]) {
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
