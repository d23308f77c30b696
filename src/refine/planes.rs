//! The frame's colours and the mask as float planes, at a half, a quarter, … of the frame.

use crate::frame::{Component, Frame};
use crate::simd::multiversion;

/// Writes one row of a component, averaged over squares of `scale` frame pixels (a power of two), as −0.5..0.5:
/// the squares `from..from + out.len()` of row `y`. Squares past the frame's edge take its last samples.
pub fn component_row(frame: &Frame<'_>, c: &Component, scale: usize, y: usize, from: usize, out: &mut [f32]) {
    let plane = frame.planes[c.plane];
    let (width, height) = (c.width(frame.width), c.height(frame.height));
    // Samples in a square; a coarser component gives one sample to several squares.
    let (nx, ny) = ((scale >> c.hsub).max(1), (scale >> c.vsub).max(1));
    let (sx, sy) = ((1 << c.hsub) / scale.min(1 << c.hsub), (1 << c.vsub) / scale.min(1 << c.vsub));
    let row = |dy: usize| &plane.row((y / sy * ny + dy).min(height - 1))[c.offset..];
    if nx == 2 && ny == 2 {
        let (top, bottom) = (row(0), row(1));
        // Squares that lie wholly inside.
        let whole = (width / 2).saturating_sub(from).min(out.len());
        match c.step {
            1 => halve_1(&top[2 * from..], &bottom[2 * from..], &mut out[..whole]),
            2 => halve_2(&top[4 * from..], &bottom[4 * from..], &mut out[..whole]),
            3 => halve_3(&top[6 * from..], &bottom[6 * from..], &mut out[..whole]),
            _ => halve_4(&top[8 * from..], &bottom[8 * from..], &mut out[..whole]),
        }
        average(row, c.step, width, (2, 2, 1), from + whole, &mut out[whole..]);
    } else if nx == 1 && ny == 1 && sx == 1 {
        let whole = width.saturating_sub(from).min(out.len());
        let bytes = &row(0)[(from * c.step).min(row(0).len())..];
        match c.step {
            1 => bytes_1(bytes, &mut out[..whole]),
            2 => bytes_2(bytes, &mut out[..whole]),
            3 => bytes_3(bytes, &mut out[..whole]),
            _ => bytes_4(bytes, &mut out[..whole]),
        }
        average(row, c.step, width, (1, 1, 1), from + whole, &mut out[whole..]);
    } else {
        average(row, c.step, width, (nx, ny, sx), from, out);
    }
}

/// Any case, plainly.
fn average<'a>(
    row: impl Fn(usize) -> &'a [u8],
    step: usize,
    width: usize,
    (nx, ny, sx): (usize, usize, usize),
    from: usize,
    out: &mut [f32],
) {
    let norm = 1.0 / (255.0 * (nx * ny) as f32);
    for (i, o) in out.iter_mut().enumerate() {
        let x = (from + i) / sx * nx;
        let mut sum = 0u32;
        for dy in 0..ny {
            let row = row(dy);
            for dx in 0..nx {
                sum += u32::from(row[(x + dx).min(width - 1) * step]);
            }
        }
        *o = sum as f32 * norm - 0.5;
    }
}

macro_rules! halve {
    ($name:ident, $step:literal) => {
        multiversion! {
            fn $name(top: &[u8], bottom: &[u8], out: &mut [f32]) {
                const S: usize = $step;
                for (i, o) in out.iter_mut().enumerate() {
                    let sum = u32::from(top[2 * S * i]) + u32::from(top[2 * S * i + S])
                        + u32::from(bottom[2 * S * i]) + u32::from(bottom[2 * S * i + S]);
                    *o = sum as f32 * (1.0 / 1020.0) - 0.5;
                }
            }
        }
    };
}
halve!(halve_2, 2);
halve!(halve_3, 3);
halve!(halve_4, 4);

multiversion! {
    fn halve_1(top: &[u8], bottom: &[u8], out: &mut [f32]) {
        for ((o, t), b) in out.iter_mut().zip(top.chunks_exact(2)).zip(bottom.chunks_exact(2)) {
            let sum = u32::from(t[0]) + u32::from(t[1]) + u32::from(b[0]) + u32::from(b[1]);
            *o = sum as f32 * (1.0 / 1020.0) - 0.5;
        }
    }
}

macro_rules! bytes {
    ($name:ident, $step:literal) => {
        multiversion! {
            fn $name(from: &[u8], out: &mut [f32]) {
                for (o, &v) in out.iter_mut().zip(from.iter().step_by($step)) {
                    *o = f32::from(v) * (1.0 / 255.0) - 0.5;
                }
            }
        }
    };
}
bytes!(bytes_1, 1);
bytes!(bytes_2, 2);
bytes!(bytes_3, 3);
bytes!(bytes_4, 4);

multiversion! {
    /// Averages two rows to half their length.
    pub fn halve_row(top: &[f32], bottom: &[f32], out: &mut [f32]) {
        for ((o, t), b) in out.iter_mut().zip(top.chunks_exact(2)).zip(bottom.chunks_exact(2)) {
            *o = (t[0] + t[1] + b[0] + b[1]) * 0.25;
        }
    }
}

/// The squares `from..from + out.len()` of row `y` of a plane half as wide and high as `plane` (rounded up).
pub fn halve_plane(plane: &[f32], width: usize, height: usize, y: usize, from: usize, out: &mut [f32]) {
    let row = |y: usize| &plane[y.min(height - 1) * width..][..width];
    let (top, bottom) = (row(2 * y), row(2 * y + 1));
    let whole = (width / 2).saturating_sub(from).min(out.len());
    halve_row(&top[2 * from..], &bottom[2 * from..], &mut out[..whole]);
    if let Some(o) = out.get_mut(whole) {
        // An odd width: the last column has no neighbour.
        *o = (top[width - 1] + bottom[width - 1]) * 0.5;
    }
}

/// One row of a plane stretched `scale` times (a power of two), bilinearly, pixel centres half a pixel in:
/// pixels `from..from + out.len()` of row `y`; `from` is a multiple of `scale`. `tmp` is scratch.
#[allow(clippy::too_many_arguments)]
pub fn stretch_row(
    plane: &[f32],
    width: usize,
    height: usize,
    scale: usize,
    y: usize,
    from: usize,
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
    match scale {
        1 => out.copy_from_slice(&tmp[1..][..out.len()]),
        2 => twice(tmp, out),
        4 => four_times(tmp, out),
        _ => {
            for (i, block) in out.chunks_mut(scale).enumerate() {
                for (j, o) in block.iter_mut().enumerate() {
                    let f = (j as f32 + 0.5) / scale as f32 - 0.5;
                    let (a, b, f) =
                        if f < 0.0 { (tmp[i], tmp[i + 1], f + 1.0) } else { (tmp[i + 1], tmp[i + 2], f) };
                    *o = a + (b - a) * f;
                }
            }
        }
    }
}

multiversion! {
    fn four_times(from: &[f32], out: &mut [f32]) {
        let n = out.len() / 4;
        let (left, mid, right) = (&from[..n], &from[1..n + 1], &from[2..n + 2]);
        for (i, o) in out.chunks_exact_mut(4).enumerate() {
            o[0] = 0.375 * left[i] + 0.625 * mid[i];
            o[1] = 0.125 * left[i] + 0.875 * mid[i];
            o[2] = 0.875 * mid[i] + 0.125 * right[i];
            o[3] = 0.625 * mid[i] + 0.375 * right[i];
        }
        for (k, o) in out[4 * n..].iter_mut().enumerate() {
            let f = k as f32 * 0.25 + 0.625;
            let (a, b, f) = if f < 1.0 { (from[n], from[n + 1], f) } else { (from[n + 1], from[n + 2], f - 1.0) };
            *o = a + (b - a) * f;
        }
    }
}

multiversion! {
    pub fn mix(top: &[f32], bottom: &[f32], f: f32, out: &mut [f32]) {
        for ((o, &t), &b) in out.iter_mut().zip(top).zip(bottom) {
            *o = t + (b - t) * f;
        }
    }
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

    /// Widens the plane columns `from..from + out.len()` of one row of the grid.
    pub fn widen<T: Copy + Into<f32>>(&self, row: &[T], from: usize, out: &mut [f32]) {
        let last = row.len() - 1;
        for (o, &(at, f)) in out.iter_mut().zip(&self.columns[from..]) {
            let (l, r): (f32, f32) = (row[at as usize].into(), row[(at as usize + 1).min(last)].into());
            *o = l + (r - l) * f;
        }
    }
}
