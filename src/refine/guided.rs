//! A colour guided filter (He, Sun & Tang, "Guided Image Filtering", PAMI 2013) over rectangles of a plane.
//!
//! In each window of side 2r+1 it fits alpha ≈ a·colour + b; each pixel then takes the mean of the models whose
//! windows hold it. As in weighted aggregation (Chen, Li, Huang & Yang, "Weighted aggregation for guided image
//! filtering", SIViP 2020) a model counts by how well it fits its own window, so that a window over clutter does
//! not blur the edge beside it.

use crate::simd::multiversion;

/// Residual variance of alpha at which a model's weight has halved.
const RESIDUAL: f32 = 0.005;
/// Sums kept of each window: alpha, alpha², three colours, their six products, the three with alpha.
const SUMS: usize = 14;
/// Values kept of each model: three slopes, offset, weight, all but the last times the weight.
const MODEL: usize = 5;
const LANES: usize = 8;

/// The picture that guides and the alpha that is guided, planes of `width · height`.
#[derive(Clone, Copy, Debug)]
pub struct Guide<'a> {
    pub width: usize,
    pub height: usize,
    /// 0..255.
    pub color: [&'a [u8]; 3],
    /// 0..1.
    pub alpha: &'a [f32],
}

/// Columns `x.0..x.1` and rows `y.0..y.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    pub x: (usize, usize),
    pub y: (usize, usize),
}

/// Reused between calls.
#[derive(Debug, Default)]
pub struct Scratch {
    color: [Vec<f32>; 3],
    columns: Vec<f32>,
    sums: Vec<f32>,
    ring: Vec<f32>,
    models: Vec<f32>,
    inverse: Vec<f32>,
    inside: Vec<f32>,
}

multiversion! {
    /// Fits the models of `rect` and writes slopes and offset at each of its pixels into `out`, planes as wide as
    /// the guide whose first row is `rect.y.0`. `eps` is added to the colours' variances.
    pub fn filter(
        guide: &Guide<'_>, rect: Rect, radius: usize, eps: [f32; 3], out: &mut [&mut [f32]; 4], s: &mut Scratch,
    ) {
        let r = radius as isize;
        let (w, h) = (guide.width as isize, guide.height as isize);
        let (x0, y0, y1) = (rect.x.0 as isize, rect.y.0 as isize, rect.y.1 as isize);
        let wide = rect.x.1 - rect.x.0;
        // Columns that windows reach, columns that have models; room for whole vectors.
        let reach = wide + 4 * radius;
        let models = wide + 2 * radius;
        let room = (reach + 2 * radius + 2).next_multiple_of(LANES) + LANES;
        let left = x0 - 2 * r;
        let valid = (-left).max(0) as usize..((w - left).min(reach as isize)) as usize;
        let turns = 2 * radius + 1;
        for (v, n) in [(&mut s.columns, SUMS), (&mut s.models, MODEL)] {
            v.clear();
            v.resize(n * room, 0.0);
        }
        // Written before they are read.
        s.sums.resize((SUMS * room).max(s.sums.len()), 0.0);
        s.ring.resize((turns * MODEL * room).max(s.ring.len()), 0.0);
        s.inverse.clear();
        s.inside.clear();
        for j in 0..room as isize {
            let x = left + r + j;
            let inside = x >= 0 && x < w && j < models as isize;
            let count = (x + r).min(w - 1) - (x - r).max(0) + 1;
            s.inverse.push(if inside { 1.0 / count as f32 } else { 0.0 });
            s.inside.push(f32::from(u8::from(inside)));
        }

        let from = (left + valid.start as isize) as usize;
        let span = (from, valid.len());
        // Rows in the windows' sums and models in the models' sums: [first, next).
        let (mut first, mut next) = ((y0 - 2 * r).max(0), (y0 - 2 * r).max(0));
        let (mut first_model, mut next_model) = ((y0 - r).max(0), (y0 - r).max(0));
        for y in y0..y1 {
            while first_model < y - r {
                add(&mut s.models, &s.ring[first_model as usize % turns * MODEL * room..][..MODEL * room], -1.0);
                first_model += 1;
            }
            while next_model <= (y + r).min(h - 1) {
                while next <= (next_model + r).min(h - 1) {
                    account(guide, next as usize, span, 1.0, &mut s.color, &mut s.columns[valid.start..], room);
                    next += 1;
                }
                while first < next_model - r {
                    account(guide, first as usize, span, -1.0, &mut s.color, &mut s.columns[valid.start..], room);
                    first += 1;
                }
                let slot = &mut s.ring[next_model as usize % turns * MODEL * room..][..MODEL * room];
                let rows = 1.0 / (next - first) as f32;
                for (c, o) in s.columns.chunks_exact(room).zip(s.sums.chunks_exact_mut(room)) {
                    boxes(c, turns, &mut o[..models]);
                }
                fit(&s.sums, room, models, &s.inverse, &s.inside, rows, eps, slot);
                add(&mut s.models, slot, 1.0);
                next_model += 1;
            }
            let at = (y - y0) as usize * guide.width + rect.x.0;
            mean(&s.models, room, turns, &mut s.sums, out, at, wide);
        }
    }
}

/// A colour as the sums take it: they lose fewest digits around 0.
#[inline(always)]
pub fn centred(v: u8) -> f32 {
    f32::from(v) * (1.0 / 255.0) - 0.5
}

/// Adds (or with −1 takes away) one row to the sums of the columns.
#[inline(always)]
fn account(
    guide: &Guide<'_>,
    y: usize,
    (from, count): (usize, usize),
    sign: f32,
    color: &mut [Vec<f32>; 3],
    columns: &mut [f32],
    room: usize,
) {
    let at = y * guide.width + from;
    let alpha = &guide.alpha[at..][..count];
    for (to, from) in color.iter_mut().zip(guide.color) {
        to.resize(count.max(to.len()), 0.0);
        for (t, &f) in to.iter_mut().zip(&from[at..][..count]) {
            *t = centred(f);
        }
    }
    let [r, g, b] = color.each_ref().map(|c| &c[..count]);
    let pairs: [(&[f32], &[f32]); 10] =
        [(alpha, alpha), (r, r), (r, g), (r, b), (g, g), (g, b), (b, b), (r, alpha), (g, alpha), (b, alpha)];
    for (k, v) in [alpha, r, g, b].into_iter().enumerate() {
        for (c, &v) in columns[k * room..].iter_mut().zip(v) {
            *c += sign * v;
        }
    }
    for (k, (p, q)) in pairs.into_iter().enumerate() {
        for ((c, &p), &q) in columns[(k + 4) * room..].iter_mut().zip(p).zip(q) {
            *c += sign * (p * q);
        }
    }
}

#[inline(always)]
fn add(to: &mut [f32], from: &[f32], sign: f32) {
    for (t, &f) in to.iter_mut().zip(from) {
        *t += sign * f;
    }
}

/// `out[i] = Σ from[i..i + turns]`.
#[inline(always)]
fn boxes(from: &[f32], turns: usize, out: &mut [f32]) {
    // A width known to the compiler makes one pass of vector loads of each.
    match turns {
        3 => fixed::<3>(from, out),
        5 => fixed::<5>(from, out),
        7 => fixed::<7>(from, out),
        9 => fixed::<9>(from, out),
        11 => fixed::<11>(from, out),
        13 => fixed::<13>(from, out),
        15 => fixed::<15>(from, out),
        17 => fixed::<17>(from, out),
        _ => {
            out.fill(0.0);
            for turn in 0..turns {
                for (o, &v) in out.iter_mut().zip(&from[turn..]) {
                    *o += v;
                }
            }
        }
    }
}

#[inline(always)]
fn fixed<const N: usize>(from: &[f32], out: &mut [f32]) {
    for (o, near) in out.iter_mut().zip(from.windows(N)) {
        let mut sum = near[0];
        for &v in &near[1..] {
            sum += v;
        }
        *o = sum;
    }
}

/// Each pixel's mean of the models whose windows hold it.
#[inline(always)]
fn mean(
    models: &[f32],
    room: usize,
    turns: usize,
    sums: &mut [f32],
    out: &mut [&mut [f32]; 4],
    to: usize,
    wide: usize,
) {
    let (sums, weight) = sums[..(MODEL) * room].split_at_mut(4 * room);
    boxes(&models[4 * room..], turns, &mut weight[..wide]);
    for w in &mut weight[..wide] {
        *w = 1.0 / w.max(1e-20);
    }
    for ((o, from), sum) in out.iter_mut().zip(models.chunks_exact(room)).zip(sums.chunks_exact_mut(room)) {
        boxes(from, turns, &mut sum[..wide]);
        for ((o, &s), &w) in o[to..][..wide].iter_mut().zip(&*sum).zip(&*weight) {
            *o = s * w;
        }
    }
}

/// Solves each window's model from the sums of its columns.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn fit(
    sums: &[f32],
    room: usize,
    count: usize,
    columns: &[f32],
    inside: &[f32],
    rows: f32,
    eps: [f32; 3],
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

/// The same by the definition, for tests: every sum from scratch, in double precision.
#[cfg(test)]
pub fn reference(guide: &Guide<'_>, radius: usize, eps: [f32; 3]) -> [Vec<f32>; 4] {
    let (w, h) = (guide.width, guide.height);
    let window = |x: usize, y: usize| {
        let rows = y.saturating_sub(radius)..(y + radius + 1).min(h);
        rows.flat_map(move |v| (x.saturating_sub(radius)..(x + radius + 1).min(w)).map(move |u| v * w + u))
    };
    let models: Vec<[f64; MODEL]> = (0..w * h)
        .map(|i| {
            let n = window(i % w, i / w).count() as f64;
            let mean = |f: &dyn Fn(usize) -> f64| window(i % w, i / w).map(f).sum::<f64>() / n;
            let c = |k: usize, j: usize| f64::from(centred(guide.color[k][j]));
            let p = |j: usize| f64::from(guide.alpha[j]);
            let (mc, mp) = ([0, 1, 2].map(|k| mean(&|j| c(k, j))), mean(&p));
            let cov = [0, 1, 2].map(|k| mean(&|j| c(k, j) * p(j)) - mc[k] * mp);
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
                    let f = m[l][k];
                    let lead = m[k];
                    m[l].iter_mut().zip(lead).for_each(|(v, q)| *v -= f * q);
                }
            }
            let a = [0, 1, 2].map(|k| m[k][3]);
            let explained: f64 = (0..3).map(|k| a[k] * cov[k]).sum();
            let rest = (mean(&|j| p(j) * p(j)) - mp * mp - explained).max(0.0);
            let weight = 1.0 / (rest + f64::from(RESIDUAL));
            [a[0], a[1], a[2], mp - (0..3).map(|k| a[k] * mc[k]).sum::<f64>(), 1.0].map(|v| v * weight)
        })
        .collect();
    [0, 1, 2, 3].map(|k| {
        let each = |i: usize| {
            let (sum, weight) =
                window(i % w, i / w).fold((0.0, 0.0), |(s, t), j| (s + models[j][k], t + models[j][4]));
            (sum / weight) as f32
        };
        (0..w * h).map(each).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_definition() {
        for (w, h, r, rect) in [
            (37, 29, 3, Rect { x: (0, 37), y: (0, 29) }),
            (37, 29, 4, Rect { x: (5, 20), y: (7, 13) }),
            (41, 1, 2, Rect { x: (0, 41), y: (0, 1) }),
            (1, 17, 5, Rect { x: (0, 1), y: (3, 17) }),
            (1, 1, 3, Rect { x: (0, 1), y: (0, 1) }),
            (9, 50, 6, Rect { x: (2, 9), y: (40, 50) }),
        ] {
            let plane = |seed: usize| -> Vec<u8> {
                (0..w * h).map(|i| ((i * 31 + i * i * seed) % 251) as u8).collect()
            };
            let c = [plane(3), plane(5), plane(11)];
            let p: Vec<f32> = plane(7).iter().map(|&v| f32::from(v) / 250.0).collect();
            let guide = Guide { width: w, height: h, color: c.each_ref().map(|c| &c[..]), alpha: &p };
            let want = reference(&guide, r, [1e-3; 3]);
            let rows = rect.y.1 - rect.y.0;
            let mut got = [0; 4].map(|_| vec![9.0; w * rows]);
            filter(
                &guide,
                rect,
                r,
                [1e-3; 3],
                &mut got.each_mut().map(|g| &mut g[..]),
                &mut Scratch::default(),
            );
            for (g, t) in got.iter().zip(&want) {
                for y in rect.y.0..rect.y.1 {
                    for x in 0..w {
                        let (g, t) = (g[(y - rect.y.0) * w + x], t[y * w + x]);
                        if (rect.x.0..rect.x.1).contains(&x) {
                            assert!(
                                (g - t).abs() < 2e-3 * (1.0 + t.abs()),
                                "{w}x{h} r{r} at {x},{y}: {g} for {t}"
                            );
                        } else {
                            assert_eq!(g, 9.0, "written outside");
                        }
                    }
                }
            }
        }
    }
}
