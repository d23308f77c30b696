//! What an editor does to a matte by hand: levels, choke and spread, feather.

use rayon::prelude::*;

use crate::simd::{multiversion, nearest};

/// The settings of [`Adjuster`]. The default changes nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Controls {
    /// Alpha (0..1) that becomes 0.
    pub black_point: f32,
    /// Alpha (0..1) that becomes 1. At or below `black_point` the matte is cut in two there.
    pub white_point: f32,
    /// Moves edges outwards (spread), or inwards if negative (choke): pixels of a 1080p frame, −20..20.
    pub edge_shift: f32,
    /// Feathers edges, outwards as much as inwards: standard deviation in pixels of a 1080p frame, 0..64.
    pub edge_softness: f32,
}

impl Default for Controls {
    fn default() -> Self {
        Self { black_point: 0.0, white_point: 1.0, edge_shift: 0.0, edge_softness: 0.0 }
    }
}

/// Applies [`Controls`]; keeps its buffers from frame to frame, nothing else.
#[derive(Debug, Default)]
pub struct Adjuster {
    from: Vec<u8>,
    sums: Vec<u8>,
}

impl Adjuster {
    /// No buffers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes `alpha` (tight rows, `width · height`) in place: levels first, then shift, then softness. A matte
    /// that does not hold what its size says is left alone, numbers that are none count as neutral.
    pub fn apply(&mut self, alpha: &mut [u8], width: usize, height: usize, controls: &Controls) {
        if width == 0 || height == 0 || width.checked_mul(height) != Some(alpha.len()) {
            return;
        }
        // The short side says how large the frame is: a 1080p frame may stand upright.
        let unit = width.min(height) as f32 / 1080.0;
        let neutral = Controls::default();
        let clean = |v: f32, or: f32| if v.is_finite() { v } else { or };
        let black = clean(controls.black_point, neutral.black_point).clamp(0.0, 1.0);
        let white = clean(controls.white_point, neutral.white_point).clamp(0.0, 1.0);
        if black > 0.0 || white < 1.0 {
            let table = table(black, white);
            alpha
                .par_chunks_mut(width * 64)
                .for_each(|rows| rows.iter_mut().for_each(|a| *a = table[usize::from(*a)]));
        }
        let shift = clean(controls.edge_shift, 0.0).clamp(-20.0, 20.0) * unit;
        if shift.abs() >= 0.01 {
            self.shift(alpha, width, shift);
        }
        let softness = clean(controls.edge_softness, 0.0).clamp(0.0, 64.0) * unit;
        if softness >= 0.1 {
            self.soften(alpha, width, softness);
        }
    }

    /// Grey dilation or erosion with a disc; a radius between two whole ones is a mean of both.
    fn shift(&mut self, alpha: &mut [u8], width: usize, shift: f32) {
        // Erosion is dilation of the opposite.
        let flip = if shift < 0.0 { 255 } else { 0 };
        self.from.clear();
        self.from.extend(alpha.iter().map(|a| a ^ flip));
        let (radius, part) = (shift.abs() as usize, (shift.abs().fract() * 256.0) as u16);
        let (from, height) = (&self.from, alpha.len() / width);
        // Half widths of a disc's rows, from the middle on.
        let disc = |r: usize| -> Vec<usize> {
            (0..=r).map(|d| ((r * r - d * d) as f32).sqrt().round() as usize).collect()
        };
        let (inner, outer) = (disc(radius), disc(radius + 1));
        alpha.par_chunks_mut(width).enumerate().for_each_init(Vec::new, |more, (y, row)| {
            more.resize(width, 0);
            dilate(from, width, height, y, &inner, row);
            if part > 0 {
                dilate(from, width, height, y, &outer, more);
                between(row, more, part);
            }
            row.iter_mut().for_each(|a| *a ^= flip);
        });
    }

    /// Three running means, which is close to a Gaussian (Wells 1986).
    fn soften(&mut self, alpha: &mut [u8], width: usize, sigma: f32) {
        let height = alpha.len() / width;
        // Three boxes of side s have the variance (s² − 1) / 4.
        let ideal = (4.0 * sigma * sigma + 1.0).sqrt();
        self.sums.resize(alpha.len(), 0);
        for pass in 0..3 {
            // Sides are odd: the wider ones come first as far as the ideal side needs them.
            let low = (((ideal - 1.0) / 2.0) as usize) * 2 + 1;
            let wider = (3.0 * (ideal - low as f32) / 2.0).round() as usize;
            let radius = (low + if pass < wider { 2 } else { 0 }) / 2;
            if radius == 0 {
                continue;
            }
            alpha
                .par_chunks(width)
                .zip(self.sums.par_chunks_mut(width))
                .for_each(|(row, out)| running(row, radius, out));
            let sums = &self.sums;
            // Columns in strips, so that their sums stay close by.
            alpha.par_chunks_mut(width * 64).enumerate().for_each_init(Vec::new, |columns, (part, rows)| {
                columns.clear();
                columns.resize(width, 0u32);
                let row = |y: isize| &sums[y.clamp(0, height as isize - 1) as usize * width..][..width];
                let (y0, r) = ((part * 64) as isize, radius as isize);
                for y in y0 - r..y0 + r {
                    slide(columns, row(y), None);
                }
                for (y, out) in rows.chunks_exact_mut(width).enumerate() {
                    let y = y0 + y as isize;
                    slide(columns, row(y + r), None);
                    mean(columns, 1.0 / (2 * radius + 1) as f32, out);
                    slide(columns, &[], Some(row(y - r)));
                }
            });
        }
    }
}

/// Levels by value.
fn table(black: f32, white: f32) -> [u8; 256] {
    std::array::from_fn(|i| {
        let a = i as f32 / 255.0;
        let v = if white > black { (a - black) / (white - black) } else { f32::from(u8::from(a > black)) };
        (v.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
    })
}

/// Row `y` of the dilation of a plane by a disc given by its rows' half widths.
fn dilate(from: &[u8], width: usize, height: usize, y: usize, disc: &[usize], out: &mut [u8]) {
    out.copy_from_slice(&from[y * width..][..width]);
    let r = disc.len() - 1;
    for near in y.saturating_sub(r)..(y + r + 1).min(height) {
        let row = &from[near * width..][..width];
        // Nothing to spread from an empty row.
        if !empty(row) {
            widest(row, disc[near.abs_diff(y)], out);
        }
    }
}

multiversion! {
    fn empty(row: &[u8]) -> bool {
        row.iter().fold(0, |any, &v| any | v) == 0
    }
}

multiversion! {
    fn widest(row: &[u8], reach: usize, out: &mut [u8]) {
        for d in 0..=reach.min(row.len() - 1) {
            for (o, &v) in out.iter_mut().zip(&row[d..]) {
                *o = (*o).max(v);
            }
            for (o, &v) in out[d..].iter_mut().zip(row) {
                *o = (*o).max(v);
            }
        }
    }
}

multiversion! {
    fn between(row: &mut [u8], more: &[u8], part: u16) {
        for (a, &m) in row.iter_mut().zip(more) {
            *a += (((u16::from(m) - u16::from(*a)) * part) >> 8) as u8;
        }
    }
}

/// Running mean along a row, its ends repeated.
fn running(row: &[u8], radius: usize, out: &mut [u8]) {
    let (last, r) = (row.len() as isize - 1, radius as isize);
    let at = |x: isize| u32::from(row[x.clamp(0, last) as usize]);
    let norm = 1.0 / (2 * radius + 1) as f32;
    let mut sum: u32 = (-r..r).map(at).sum();
    for (x, o) in out.iter_mut().enumerate() {
        let x = x as isize;
        sum += at(x + r);
        *o = (sum as f32 * norm + 0.5) as u8;
        sum -= at(x - r);
    }
}

/// Takes a row into the columns' sums, or out of them.
fn slide(columns: &mut [u32], enter: &[u8], leave: Option<&[u8]>) {
    for (c, &v) in columns.iter_mut().zip(enter) {
        *c += u32::from(v);
    }
    for (c, &v) in columns.iter_mut().zip(leave.unwrap_or_default()) {
        *c -= u32::from(v);
    }
}

multiversion! {
    fn mean(columns: &[u32], norm: f32, out: &mut [u8]) {
        for (o, &c) in out.iter_mut().zip(columns) {
            *o = nearest(c as i32 as f32 * norm) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const W: usize = 1920;
    const H: usize = 1080;

    /// A disc, hard but for one pixel.
    fn disc(radius: f32) -> Vec<u8> {
        let far = |i: usize| ((i % W) as f32 - 960.0).hypot((i / W) as f32 - 540.0);
        (0..W * H).map(|i| ((radius - far(i) + 0.5).clamp(0.0, 1.0) * 255.0 + 0.5) as u8).collect()
    }

    fn area(alpha: &[u8]) -> f32 {
        alpha.iter().map(|&a| f32::from(a) / 255.0).sum()
    }

    fn apply(alpha: &[u8], controls: Controls) -> Vec<u8> {
        let mut out = alpha.to_vec();
        Adjuster::new().apply(&mut out, W, H, &controls);
        out
    }

    #[test]
    fn neutral_changes_nothing() {
        let alpha: Vec<u8> = (0..W * H).map(|i| (i * 31 % 256) as u8).collect();
        assert_eq!(apply(&alpha, Controls::default()), alpha);
        let none = Controls {
            black_point: f32::NAN,
            white_point: f32::NAN,
            edge_shift: f32::NAN,
            edge_softness: f32::NAN,
        };
        assert_eq!(apply(&alpha, none), alpha);
    }

    #[test]
    fn points_stretch_levels() {
        let t = table(0.2, 0.8);
        assert_eq!((t[0], t[51], t[204], t[255]), (0, 0, 255, 255));
        assert!(t[127].abs_diff(127) <= 1);
        let cut = table(0.5, 0.5);
        assert_eq!((cut[127], cut[128]), (0, 255));
    }

    #[test]
    fn shift_moves_the_edge_all_around() {
        let alpha = disc(200.0);
        for shift in [-8.0, -2.5, -0.5, 0.5, 1.0, 3.0, 12.0] {
            let out = apply(&alpha, Controls { edge_shift: shift, ..Controls::default() });
            let radius = (area(&out) / std::f32::consts::PI).sqrt();
            assert!((radius - 200.0 - shift).abs() < 0.5, "{shift}: {radius}");
        }
    }

    #[test]
    fn softness_goes_outwards_as_well_as_inwards() {
        let alpha = disc(200.0);
        for sigma in [1.0, 4.0, 15.0] {
            let out = apply(&alpha, Controls { edge_softness: sigma, ..Controls::default() });
            // The edge stays where it was and spreads to both sides.
            assert!((area(&out) / area(&alpha) - 1.0).abs() < 0.02);
            let row = &out[540 * W..][..W];
            assert!(row[960 + 200].abs_diff(127) < 24, "{sigma}: {}", row[1160]);
            let inside = row[(1160.0 - sigma) as usize];
            let outside = row[(1160.0 + sigma) as usize];
            // One standard deviation from the edge of a half plane: 0.84 and 0.16.
            assert!(inside.abs_diff(214) < 20 && outside.abs_diff(41) < 20, "{sigma}: {inside} {outside}");
            assert_eq!((row[960], row[10]), (255, 0));
        }
    }

    #[test]
    fn small_and_wrong_sizes() {
        let all = Controls { black_point: 0.1, white_point: 0.9, edge_shift: 2.0, edge_softness: 9.0 };
        for (w, h) in [(1, 1), (1, 300), (301, 1), (401, 333)] {
            let mut alpha = vec![255; w * h];
            Adjuster::new().apply(&mut alpha, w, h, &all);
            assert!(alpha.iter().all(|&a| a == 255));
        }
        Adjuster::new().apply(&mut [1, 2], 3, 1, &all);
    }

    #[test]
    fn dilation_and_means_agree_with_their_definitions() {
        let (w, h) = (23, 9);
        let from: Vec<u8> = (0..w * h).map(|i| (i * 7919 % 256) as u8).collect();
        let disc = [3, 3, 2, 0];
        let mut out = vec![0; w];
        for y in 0..h {
            dilate(&from, w, h, y, &disc, &mut out);
            for (x, got) in out.iter().enumerate() {
                let best = (0..w * h)
                    .filter(|i| (i / w).abs_diff(y) < 4 && (i % w).abs_diff(x) <= disc[(i / w).abs_diff(y)])
                    .map(|i| from[i])
                    .max();
                assert_eq!(Some(*got), best);
            }
        }
        running(&from[..w], 2, &mut out);
        let at = |x: isize| u32::from(from[x.clamp(0, w as isize - 1) as usize]);
        for x in 0..w as isize {
            let sum: u32 = (x - 2..=x + 2).map(at).sum();
            assert_eq!(out[x as usize], (sum as f32 / 5.0 + 0.5) as u8);
        }
    }
}
