//! Planes made smaller: a frame's components at a half, a quarter, … of its size, and planes halved.

use crate::frame::{Component, Frame};
use crate::simd::multiversion;

/// Writes one row of a component, averaged over squares of `scale` frame pixels (a power of two): the squares
/// `from..from + out.len()` of row `y`. Squares past the frame's edge take its last samples.
pub fn component_row(frame: &Frame<'_>, c: &Component, scale: usize, y: usize, from: usize, out: &mut [u8]) {
    let plane = frame.planes[c.plane];
    let (width, height) = (c.width(frame.width), c.height(frame.height));
    // Samples in a square; a coarser component gives one sample to several squares.
    let (nx, ny) = ((scale >> c.hsub).max(1), (scale >> c.vsub).max(1));
    let (sx, sy) = ((1 << c.hsub) / scale.min(1 << c.hsub), (1 << c.vsub) / scale.min(1 << c.vsub));
    let row = |dy: usize| &plane.row((y / sy * ny + dy).min(height - 1))[c.offset..];
    if (sx, nx, ny) == (2, 1, 1) && matches!(c.step, 1 | 2) {
        // Chroma at half the width, a sample of which is two squares'.
        let row = row(0);
        let (mut done, end) = (0, out.len());
        if from % 2 == 1 && end > 0 {
            out[0] = row[(from / 2).min(width - 1) * c.step];
            done = 1;
        }
        let first = (from + done) / 2;
        let pairs = ((end - done) / 2).min(width.saturating_sub(first));
        let (samples, to) = (&row[(first * c.step).min(row.len())..], &mut out[done..done + 2 * pairs]);
        match c.step {
            1 => double_1(samples, to),
            _ => double_2(samples, to),
        }
        done += 2 * pairs;
        return average(|_| row, c.step, width, (nx, ny, sx), from + done, &mut out[done..]);
    }
    // Squares that lie wholly inside.
    let whole = if sx == 1 { (width / nx).saturating_sub(from).min(out.len()) } else { 0 };
    let start = if whole > 0 { from * nx * c.step } else { 0 };
    let done = match (nx, ny, c.step) {
        _ if whole == 0 => 0,
        (2, 2, 1) => {
            halve_1(&row(0)[start..], &row(1)[start..], &mut out[..whole]);
            whole
        }
        (2, 2, 2) => {
            halve_2(&row(0)[start..], &row(1)[start..], &mut out[..whole]);
            whole
        }
        (2, 2, 3) => {
            halve_3(&row(0)[start..], &row(1)[start..], &mut out[..whole]);
            whole
        }
        (2, 2, 4) => {
            halve_4(&row(0)[start..], &row(1)[start..], &mut out[..whole]);
            whole
        }
        (1, 1, 1) => {
            out[..whole].copy_from_slice(&row(0)[start..][..whole]);
            whole
        }
        (4, 4, 1) => {
            let rows = [row(0), row(1), row(2), row(3)].map(|r| &r[start..]);
            quarter_1(rows, &mut out[..whole]);
            whole
        }
        (4, 4, 3) => {
            quarter_3([row(0), row(1), row(2), row(3)].map(|r| &r[start..]), &mut out[..whole]);
            whole
        }
        (4, 4, 4) => {
            quarter_4([row(0), row(1), row(2), row(3)].map(|r| &r[start..]), &mut out[..whole]);
            whole
        }
        (1, 1, 2) => {
            bytes_2(&row(0)[start..], &mut out[..whole]);
            whole
        }
        (1, 1, 3) => {
            bytes_3(&row(0)[start..], &mut out[..whole]);
            whole
        }
        (1, 1, 4) => {
            bytes_4(&row(0)[start..], &mut out[..whole]);
            whole
        }
        _ => 0,
    };
    average(row, c.step, width, (nx, ny, sx), from + done, &mut out[done..]);
}

/// Any case, plainly.
fn average<'a>(
    row: impl Fn(usize) -> &'a [u8],
    step: usize,
    width: usize,
    (nx, ny, sx): (usize, usize, usize),
    from: usize,
    out: &mut [u8],
) {
    for (i, o) in out.iter_mut().enumerate() {
        let x = (from + i) / sx * nx;
        let mut sum = 0;
        for dy in 0..ny {
            let row = row(dy);
            for dx in 0..nx {
                sum += usize::from(row[(x + dx).min(width - 1) * step]);
            }
        }
        *o = ((sum + nx * ny / 2) / (nx * ny)) as u8;
    }
}

#[inline(always)]
fn mean_of_four(a: u8, b: u8, c: u8, d: u8) -> u8 {
    ((u16::from(a) + u16::from(b) + u16::from(c) + u16::from(d) + 2) >> 2) as u8
}

macro_rules! halve {
    ($name:ident, $step:literal) => {
        multiversion! {
            fn $name(top: &[u8], bottom: &[u8], out: &mut [u8]) {
                const S: usize = $step;
                // The last square needs no more than its second sample.
                let n = 2 * S * (out.len() - 1) + S + 1;
                let (top, bottom) = (&top[..n], &bottom[..n]);
                for (i, o) in out.iter_mut().enumerate() {
                    let at = 2 * S * i;
                    *o = mean_of_four(top[at], top[at + S], bottom[at], bottom[at + S]);
                }
            }
        }
    };
}
halve!(halve_2, 2);
halve!(halve_3, 3);
halve!(halve_4, 4);

multiversion! {
    fn halve_1(top: &[u8], bottom: &[u8], out: &mut [u8]) {
        for ((o, t), b) in out.iter_mut().zip(top.chunks_exact(2)).zip(bottom.chunks_exact(2)) {
            *o = mean_of_four(t[0], t[1], b[0], b[1]);
        }
    }
}

multiversion! {
    fn quarter_1(rows: [&[u8]; 4], out: &mut [u8]) {
        let [a, b, c, d] = rows.map(|r| r.chunks_exact(4));
        for ((((o, a), b), c), d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            let four = |r: &[u8]| u16::from(r[0]) + u16::from(r[1]) + u16::from(r[2]) + u16::from(r[3]);
            *o = ((four(a) + four(b) + four(c) + four(d) + 8) >> 4) as u8;
        }
    }
}

macro_rules! quarter {
    ($name:ident, $step:literal) => {
        multiversion! {
            fn $name(rows: [&[u8]; 4], out: &mut [u8]) {
                const S: usize = $step;
                // The last square needs no more than its fourth sample.
                let n = 4 * S * (out.len() - 1) + 3 * S + 1;
                let [a, b, c, d] = rows.map(|r| &r[..n]);
                for (i, o) in out.iter_mut().enumerate() {
                    let at = 4 * S * i;
                    let four = |r: &[u8]| (0..4).map(|k| u16::from(r[at + k * S])).sum::<u16>();
                    *o = ((four(a) + four(b) + four(c) + four(d) + 8) >> 4) as u8;
                }
            }
        }
    };
}
quarter!(quarter_3, 3);
quarter!(quarter_4, 4);

multiversion! {
    /// Each sample twice.
    fn double_1(from: &[u8], out: &mut [u8]) {
        for (o, &v) in out.chunks_exact_mut(2).zip(from) {
            o.copy_from_slice(&[v, v]);
        }
    }
}

multiversion! {
    /// Every other sample twice.
    fn double_2(from: &[u8], out: &mut [u8]) {
        for (o, v) in out.chunks_exact_mut(2).zip(from.chunks(2)) {
            o.copy_from_slice(&[v[0], v[0]]);
        }
    }
}

macro_rules! bytes {
    ($name:ident, $step:literal) => {
        multiversion! {
            fn $name(from: &[u8], out: &mut [u8]) {
                for (o, &v) in out.iter_mut().zip(from.iter().step_by($step)) {
                    *o = v;
                }
            }
        }
    };
}
bytes!(bytes_2, 2);
bytes!(bytes_3, 3);
bytes!(bytes_4, 4);

multiversion! {
    fn halve_floats(top: &[f32], bottom: &[f32], out: &mut [f32]) {
        for ((o, t), b) in out.iter_mut().zip(top.chunks_exact(2)).zip(bottom.chunks_exact(2)) {
            *o = (t[0] + t[1] + b[0] + b[1]) * 0.25;
        }
    }
}

/// What can be averaged to half its size.
pub trait Halve: Copy {
    /// Averages two rows to half their length.
    fn rows(top: &[Self], bottom: &[Self], out: &mut [Self]);
    /// Averages four.
    fn four(v: [Self; 4]) -> Self;
}

impl Halve for f32 {
    fn rows(top: &[f32], bottom: &[f32], out: &mut [f32]) {
        halve_floats(top, bottom, out);
    }

    fn four(v: [f32; 4]) -> f32 {
        v.iter().sum::<f32>() * 0.25
    }
}

impl Halve for u8 {
    fn rows(top: &[u8], bottom: &[u8], out: &mut [u8]) {
        halve_1(top, bottom, out);
    }

    fn four([a, b, c, d]: [u8; 4]) -> u8 {
        mean_of_four(a, b, c, d)
    }
}

/// The squares `from..from + out.len()` of row `y` of a plane half as wide and high as `plane` (rounded up).
pub fn halve_plane<T: Halve>(plane: &[T], width: usize, height: usize, y: usize, from: usize, out: &mut [T]) {
    let row = |y: usize| &plane[y.min(height - 1) * width..][..width];
    let (top, bottom) = (row(2 * y), row(2 * y + 1));
    let whole = (width / 2).saturating_sub(from).min(out.len());
    T::rows(&top[2 * from..], &bottom[2 * from..], &mut out[..whole]);
    if let Some(o) = out.get_mut(whole) {
        // An odd width: the last column has no neighbour.
        let (t, b) = (top[width - 1], bottom[width - 1]);
        *o = T::four([t, t, b, b]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Format, testing::noise};

    #[test]
    fn components_are_means_of_squares() {
        for format in Format::ALL {
            for (w, h) in [(1, 1), (37, 1), (1, 5), (38, 22), (37, 23)] {
                let picture = noise(format, w, h, 9);
                let layout = format.layout();
                for c in &layout.color[..layout.colors] {
                    for scale in [1usize, 2, 4] {
                        let scaled = w.div_ceil(scale);
                        for y in 0..h.div_ceil(scale) {
                            let mut row = vec![0; scaled];
                            component_row(&picture.frame(), c, scale, y, 0, &mut row);
                            let mut part = vec![0; scaled - scaled / 3];
                            component_row(&picture.frame(), c, scale, y, scaled / 3, &mut part);
                            assert_eq!(part, row[scaled / 3..], "{format:?} {w}x{h}");
                            for (x, &got) in row.iter().enumerate() {
                                // Every pixel of the square has a sample; the last ones stand for those outside.
                                let (mut sum, mut n) = (0.0, 0.0);
                                let (nx, ny) = ((scale >> c.hsub).max(1), (scale >> c.vsub).max(1));
                                for dy in 0..ny {
                                    for dx in 0..nx {
                                        let u = ((x * scale) >> c.hsub) + dx;
                                        let v = ((y * scale) >> c.vsub) + dy;
                                        let (u, v) = (u.min(c.width(w) - 1), v.min(c.height(h) - 1));
                                        sum += f32::from(picture.sample(c, u, v));
                                        n += 1.0;
                                    }
                                }
                                assert!(
                                    (f32::from(got) - sum / n).abs() <= 0.51,
                                    "{format:?} {w}x{h} /{scale} {x},{y}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn halving_takes_odd_sizes() {
        let plane: Vec<f32> = (0..15).map(|i| i as f32).collect();
        let mut out = [0.0; 3];
        halve_plane(&plane, 5, 3, 1, 0, &mut out);
        assert_eq!(out, [10.5, 12.5, 14.0]);
        let bytes: Vec<u8> = (0..15).collect();
        let mut out = [0; 2];
        halve_plane(&bytes, 5, 3, 0, 1, &mut out);
        assert_eq!(out, [5, 7]);
    }
}
