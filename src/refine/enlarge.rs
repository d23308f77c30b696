//! Planes made larger, bilinearly: by a power of two, or from a small grid to any size.

use crate::simd::multiversion;

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
}
