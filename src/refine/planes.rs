//! The frame's colours and the mask as planes at a half, a quarter, … of the frame.

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

/// One row of a plane stretched `scale` times (a power of two), bilinearly, pixel centres half a pixel in:
/// pixels `from..from + out.len()` of row `y`; `from` is a multiple of `scale`. `tmp` is scratch.
pub fn stretch_row(
    plane: &[f32],
    (width, height): (usize, usize),
    scale: usize,
    (from, y): (usize, usize),
    out: &mut [f32],
    tmp: &mut Vec<f32>,
) {
    let centre = ((y as f32 + 0.5) / scale as f32 - 0.5).clamp(0.0, (height - 1) as f32);
    let at = centre as usize;
    let below = (at + 1).min(height - 1);
    // The samples under the output and one more on either side.
    let (first, last) = (from / scale, ((from + out.len()).div_ceil(scale)).min(width));
    let n = last - first;
    tmp.resize(n + 2, 0.0);
    let (l, r) = (first.saturating_sub(1), (last + 1).min(width));
    let pad = first - l;
    mix(&plane[at * width..][l..r], &plane[below * width..][l..r], centre.fract(), &mut tmp[1 - pad..]);
    if pad == 0 {
        tmp[0] = tmp[1];
    }
    if r == last {
        tmp[n + 1] = tmp[n];
    }
    widen_by(tmp, scale, out);
}

/// Row `y` of a plane stretched four times, the even samples and the odd ones each by themselves: `count` of each from
/// the one at `2 · from` on; `from` is even. `tmp` is scratch.
pub fn stretch_pairs(
    plane: &[f32],
    (width, height): (usize, usize),
    y: usize,
    (from, count): (usize, usize),
    [even, odd]: &mut [Vec<f32>; 2],
    tmp: &mut Vec<f32>,
) {
    let centre = ((y as f32 + 0.5) * 0.25 - 0.5).clamp(0.0, (height - 1) as f32);
    let at = centre as usize;
    let below = (at + 1).min(height - 1);
    let (first, last) = (from / 2, (from + count).div_ceil(2).min(width));
    let n = last - first;
    tmp.resize(n + 2, 0.0);
    let (l, r) = (first.saturating_sub(1), (last + 1).min(width));
    let pad = first - l;
    mix(&plane[at * width..][l..r], &plane[below * width..][l..r], centre.fract(), &mut tmp[1 - pad..]);
    if pad == 0 {
        tmp[0] = tmp[1];
    }
    if r == last {
        tmp[n + 1] = tmp[n];
    }
    for v in [&mut *even, &mut *odd] {
        v.resize(2 * n, 0.0);
    }
    pairs(tmp, even, odd);
}

multiversion! {
    /// Four samples for each of `from` but the first and the last.
    fn pairs(from: &[f32], even: &mut [f32], odd: &mut [f32]) {
        let n = from.len() - 2;
        let (left, mid, right) = (&from[..n], &from[1..n + 1], &from[2..n + 2]);
        let (even, odd) = (&mut even[..2 * n], &mut odd[..2 * n]);
        for (i, (e, o)) in even.chunks_exact_mut(2).zip(odd.chunks_exact_mut(2)).enumerate() {
            let (l, m, r) = (left[i], mid[i], right[i]);
            e[0] = 0.375 * l + 0.625 * m;
            o[0] = 0.125 * l + 0.875 * m;
            e[1] = 0.875 * m + 0.125 * r;
            o[1] = 0.625 * m + 0.375 * r;
        }
    }
}

/// Stretches samples `scale` times along a row; `from` has one more on either side.
pub fn widen_by(from: &[f32], scale: usize, out: &mut [f32]) {
    match scale {
        1 => out.copy_from_slice(&from[1..][..out.len()]),
        2 => twice(from, out),
        4 => by_4(from, out),
        8 => by_8(from, out),
        16 => by_16(from, out),
        _ => widen_plainly(from, scale, out),
    }
}

#[inline(always)]
fn widen_plainly(from: &[f32], scale: usize, out: &mut [f32]) {
    for (i, block) in out.chunks_mut(scale).enumerate() {
        for (j, o) in block.iter_mut().enumerate() {
            let f = (j as f32 + 0.5) / scale as f32 - 0.5;
            let (a, b, f) =
                if f < 0.0 { (from[i], from[i + 1], f + 1.0) } else { (from[i + 1], from[i + 2], f) };
            *o = a + (b - a) * f;
        }
    }
}

macro_rules! widen_by {
    ($name:ident, $scale:literal) => {
        multiversion! {
            fn $name(from: &[f32], out: &mut [f32]) {
                const HALF: usize = $scale / 2;
                let steps: [f32; HALF] = std::array::from_fn(|j| (j as f32 + 0.5) / $scale as f32);
                let whole = out.len() / $scale;
                for (block, near) in out.chunks_exact_mut($scale).zip(from.windows(3)) {
                    let (rise, fall) = block.split_at_mut(HALF);
                    let (left, right) = (near[1] - near[0], near[2] - near[1]);
                    let start = near[0] + 0.5 * left;
                    for ((o, p), f) in rise.iter_mut().zip(fall).zip(steps) {
                        *o = start + left * f;
                        *p = near[1] + right * f;
                    }
                }
                widen_plainly(&from[whole..], $scale, &mut out[whole * $scale..]);
            }
        }
    };
}
widen_by!(by_4, 4);
widen_by!(by_8, 8);
widen_by!(by_16, 16);

multiversion! {
    pub fn mix(top: &[f32], bottom: &[f32], f: f32, out: &mut [f32]) {
        for ((o, &t), &b) in out.iter_mut().zip(top).zip(bottom) {
            *o = t + (b - t) * f;
        }
    }
}

multiversion! {
    fn mix_bytes(top: &[u8], bottom: &[u8], f: f32, out: &mut [f32]) {
        for ((o, &t), &b) in out.iter_mut().zip(top).zip(bottom) {
            let (t, b) = (f32::from(t), f32::from(b));
            *o = t + (b - t) * f;
        }
    }
}

/// A row between two (`f` of the way to the second): `n` samples from `from` on, and one more on either side; samples past
/// either end are as the last ones.
pub fn between([top, bottom]: [&[f32]; 2], f: f32, from: usize, n: usize, out: &mut Vec<f32>) {
    let (l, r) = (from.saturating_sub(1), (from + n + 1).min(top.len()));
    let pad = 1 - (from - l);
    out.resize(n + 2, 0.0);
    mix(&top[l..r], &bottom[l..r], f, &mut out[pad..]);
    if pad == 1 {
        out[0] = out[1];
    }
    for at in pad + (r - l)..n + 2 {
        out[at] = out[at - 1];
    }
}

/// As [`between`], stretched `scale` times. `tmp` is scratch.
pub fn widen_between(
    pair: [&[f32]; 2],
    f: f32,
    from: usize,
    scale: usize,
    out: &mut [f32],
    tmp: &mut Vec<f32>,
) {
    between(pair, f, from, out.len().div_ceil(scale), tmp);
    widen_by(tmp, scale, out);
}

multiversion! {
    fn twice(from: &[f32], out: &mut [f32]) {
        let n = out.len() / 2;
        let (left, mid, right) = (&from[..n], &from[1..n + 1], &from[2..n + 2]);
        for (i, o) in out.chunks_exact_mut(2).enumerate() {
            o[0] = 0.25 * left[i] + 0.75 * mid[i];
            o[1] = 0.75 * mid[i] + 0.25 * right[i];
        }
        if out.len() % 2 == 1 {
            out[2 * n] = 0.25 * from[n] + 0.75 * from[n + 1];
        }
    }
}

/// Stretches a small grid of samples over a wider plane, half-pixel centres (as `cv2.resize`).
#[derive(Debug, Default)]
pub struct Stretch {
    made_for: (usize, usize, u32),
    columns: Vec<(u32, f32)>,
}

/// Where the sample `at` of a plane lies on a grid of `samples` that spans `extent` of the plane's samples: the
/// grid sample before it and how far it is on the way to the next.
pub fn place(at: usize, extent: f32, samples: usize) -> (usize, f32) {
    let centre = ((at as f32 + 0.5) * samples as f32 / extent - 0.5).clamp(0.0, (samples - 1) as f32);
    (centre as usize, centre.fract())
}

impl Stretch {
    /// Prepares for rows of `samples` that span `extent` samples of a plane `width` wide (a plane rounded up to
    /// whole squares reaches past the frame that the grid spans).
    pub fn prepare(&mut self, samples: usize, extent: f32, width: usize) {
        let want = (samples, width, extent.to_bits());
        if self.made_for != want {
            self.made_for = want;
            self.columns.clear();
            self.columns.extend((0..width).map(|x| {
                let (at, f) = place(x, extent, samples);
                (at as u32, f)
            }));
        }
    }

    /// One row of a grid of bytes, `height` rows of it spanning `extent` rows of the plane: the plane's columns
    /// `from..from + out.len()` of its row `y`. `line` is scratch.
    pub fn row(
        &self,
        grid: &[u8],
        height: usize,
        (y, extent): (usize, f32),
        from: usize,
        out: &mut [f32],
        line: &mut Vec<f32>,
    ) {
        let width = grid.len() / height;
        let (at, f) = place(y, extent, height);
        let below = (at + 1).min(height - 1);
        let columns = &self.columns[from..][..out.len()];
        let (Some(first), Some(last)) = (columns.first(), columns.last()) else { return };
        let (l, r) = (first.0 as usize, (last.0 as usize + 2).min(width));
        line.resize(r - l + 1, 0.0);
        mix_bytes(&grid[at * width..][l..r], &grid[below * width..][l..r], f, &mut line[..r - l]);
        // The last sample goes on past the grid's end.
        line[r - l] = line[r - l - 1];
        for (o, &(at, f)) in out.iter_mut().zip(columns) {
            let (a, b) = (line[at as usize - l], line[at as usize - l + 1]);
            *o = a + (b - a) * f;
        }
    }

    /// Widens the plane columns `from..from + out.len()` of one row of the grid.
    pub fn widen<T: Copy + Into<f32>>(&self, row: &[T], from: usize, out: &mut [f32]) {
        let last = row.len() - 1;
        for (o, &(at, f)) in out.iter_mut().zip(&self.columns[from..]) {
            let (l, r): (f32, f32) = (row[at as usize].into(), row[(at as usize + 1).min(last)].into());
            *o = l + (r - l) * f;
        }
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
                        let wide = w.div_ceil(scale);
                        for y in 0..h.div_ceil(scale) {
                            let mut row = vec![0; wide];
                            component_row(&picture.frame(), c, scale, y, 0, &mut row);
                            let mut part = vec![0; wide - wide / 3];
                            component_row(&picture.frame(), c, scale, y, wide / 3, &mut part);
                            assert_eq!(part, row[wide / 3..], "{format:?} {w}x{h}");
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
    fn stretching_is_bilinear() {
        let (w, h) = (13, 7);
        let plane: Vec<f32> = (0..w * h).map(|i| ((i * 7919) % 101) as f32).collect();
        for scale in [1, 2, 4, 8, 16, 32] {
            for width in [w * scale, w * scale - scale / 2] {
                for y in 0..h * scale {
                    let mut row = vec![0.0; width];
                    stretch_row(&plane, (w, h), scale, (0, y), &mut row, &mut Vec::new());
                    let (v, fy) = place(y, (h * scale) as f32, h);
                    for (x, &got) in row.iter().enumerate() {
                        let (u, fx) = place(x, (w * scale) as f32, w);
                        let at = |u: usize, v: usize| plane[v.min(h - 1) * w + u.min(w - 1)];
                        let line = |v: usize| at(u, v) + (at(u + 1, v) - at(u, v)) * fx;
                        let want = line(v) + (line(v + 1) - line(v)) * fy;
                        assert!((got - want).abs() < 1e-2, "x{scale} at {x},{y}: {got} for {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn pairs_are_what_stretching_gives() {
        let (w, h) = (13, 7);
        let plane: Vec<f32> = (0..w * h).map(|i| ((i * 7919) % 101) as f32).collect();
        for y in 0..4 * h {
            let mut want = vec![0.0; 4 * w];
            stretch_row(&plane, (w, h), 4, (0, y), &mut want, &mut Vec::new());
            for (from, count) in [(0, 2 * w), (4, 5), (24, 2), (25 & !1, 1)] {
                let mut rows = [Vec::new(), Vec::new()];
                stretch_pairs(&plane, (w, h), y, (from, count), &mut rows, &mut Vec::new());
                for i in 0..count {
                    for (k, row) in rows.iter().enumerate() {
                        let want = want[2 * (from + i) + k];
                        assert!((row[i] - want).abs() < 1e-3, "{} for {want}", row[i]);
                    }
                }
            }
        }
    }

    #[test]
    fn rows_between_two_are_bilinear() {
        let (w, h) = (13, 7);
        let plane: Vec<f32> = (0..w * h).map(|i| ((i * 7919) % 101) as f32).collect();
        for scale in [1, 2, 4] {
            for y in 0..h * scale {
                let mut want = vec![0.0; w * scale];
                stretch_row(&plane, (w, h), scale, (0, y), &mut want, &mut Vec::new());
                let (at, f) = place(y, (h * scale) as f32, h);
                let pair = [at, (at + 1).min(h - 1)].map(|y| &plane[y * w..][..w]);
                for from in [0, 1, 5, 12] {
                    let mut row = vec![0.0; (w - from) * scale];
                    widen_between(pair, f, from, scale, &mut row, &mut Vec::new());
                    for (got, want) in row.iter().zip(&want[from * scale..]) {
                        assert!((got - want).abs() < 1e-3, "x{scale} from {from}: {got} for {want}");
                    }
                }
            }
        }
        // A grid of bytes over a plane.
        let grid: Vec<u8> = plane.iter().map(|&v| v as u8).collect();
        let mut stretch = Stretch::default();
        stretch.prepare(w, 41.0, 44);
        for y in 0..20 {
            let mut row = vec![0.0; 41];
            stretch.row(&grid, h, (y, 20.0), 3, &mut row, &mut Vec::new());
            let (v, fy) = place(y, 20.0, h);
            for (x, got) in row.iter().enumerate() {
                let (u, fx) = place(x + 3, 41.0, w);
                let at = |u: usize, v: usize| f32::from(grid[v.min(h - 1) * w + u.min(w - 1)]);
                let line = |v: usize| at(u, v) + (at(u + 1, v) - at(u, v)) * fx;
                let want = line(v) + (line(v + 1) - line(v)) * fy;
                assert!((got - want).abs() < 1e-3, "{x},{y}: {got} for {want}");
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
