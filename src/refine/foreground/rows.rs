//! What is done to a row of samples: the cells' means stretched over them, and the colours parted.

use super::{Cells, FADES_BELOW};
use crate::refine::enlarge::{mix, place, widen_by};
use crate::simd::{multiversion, nearest};

/// Where a row of samples lies in the cells.
pub(super) struct Place<'a> {
    pub cells: &'a Cells,
    /// A cell is so many samples of the component.
    pub across: usize,
    pub down: usize,
    /// The row, and its first sample.
    pub y: usize,
    pub from: usize,
}

impl Place<'_> {
    /// The cells' means in this row, of those that `count` samples lie in and one more at each side.
    fn lines(&self, plane: &[f32], count: usize, out: &mut Vec<f32>) {
        let Self { cells, across, down, y, from } = *self;
        let (at, f) = place(y, (cells.grid_height * down) as f32, cells.grid_height);
        let below = (at + 1).min(cells.grid_height - 1);
        let (first, last) = (from / across, (from + count).div_ceil(across).min(cells.grid_width));
        let (l, r) = (first.saturating_sub(1), (last + 1).min(cells.grid_width));
        out.resize(last - first + 2, 0.0);
        let pad = first - l;
        mix(
            &plane[at * cells.grid_width..][l..r],
            &plane[below * cells.grid_width..][l..r],
            f,
            &mut out[1 - pad..],
        );
        let n = last - first;
        if pad == 0 {
            out[0] = out[1];
        }
        if r == last {
            out[n + 1] = out[n];
        }
    }

    /// The cells' means, bilinear.
    pub(super) fn stretch(&self, plane: &[f32], out: &mut [f32], tmp: &mut Vec<f32>) {
        self.lines(plane, out.len(), tmp);
        widen_by(tmp, self.across, out);
    }
}

multiversion! {
    /// Sets alpha to 1, at which a colour stays as it is, where the least is more than 0.
    pub fn keep(alpha: &mut [f32], least: &[u8]) {
        for (alpha, &least) in alpha.iter_mut().zip(least) {
            *alpha = if least != 0 { 1.0 } else { *alpha };
        }
    }
}

/// Fades samples to the foreground's colours where alpha (0..255) is little.
pub(super) fn fade(data: &mut [u8], step: usize, front: &[f32], alpha: &[u8]) {
    let samples = data.iter_mut().step_by(step).zip(front).zip(alpha);
    for ((v, &f), &a) in samples.filter(|(_, a)| **a < FADES_BELOW) {
        let part = f32::from(a) / f32::from(FADES_BELOW);
        *v = (f + (f32::from(*v) - f) * part + 0.5).clamp(0.0, 255.0) as u8;
    }
}

/// Parts samples, each `step` bytes after the other, by the colours of foreground and background and by alpha.
pub(super) fn unmix(data: &mut [u8], step: usize, front: &[f32], back: &[f32], alpha: &[f32]) {
    match step {
        1 => unmix_1(data, front, back, alpha),
        2 => unmix_2(data, front, back, alpha),
        3 => unmix_3(data, front, back, alpha),
        _ => unmix_4(data, front, back, alpha),
    }
}

/// As [`Place::stretch`] of both grounds' planes and [`unmix`], of samples that lie next to each other.
pub(super) fn unmix_cells(
    planes: [&[f32]; 2],
    at: &Place<'_>,
    alpha: &[f32],
    [front, back]: [&mut Vec<f32>; 2],
    data: &mut [u8],
) {
    at.lines(planes[0], alpha.len(), front);
    at.lines(planes[1], alpha.len(), back);
    let done = match at.across {
        2 => cells_2(data, front, back, alpha),
        4 => cells_4(data, front, back, alpha),
        8 => cells_8(data, front, back, alpha),
        16 => cells_16(data, front, back, alpha),
        32 => cells_32(data, front, back, alpha),
        _ => 0,
    };
    if done == alpha.len() {
        return;
    }
    // The last cell, at the frame's edge; cells of other sizes altogether.
    let (n, first) = (alpha.len() - done, done / at.across);
    let [mut left, mut right] = [vec![0.0; n], vec![0.0; n]];
    widen_by(&front[first..], at.across, &mut left);
    widen_by(&back[first..], at.across, &mut right);
    unmix_1(&mut data[done..], &left, &right, &alpha[done..]);
}

macro_rules! cells {
    ($name:ident, $across:literal) => {
        multiversion! {
            /// Parts whole cells; gives how many samples that were. `front` and `back` have a cell more at each side.
            fn $name(data: &mut [u8], front: &[f32], back: &[f32], alpha: &[f32]) -> usize {
                const HALF: usize = $across / 2;
                let steps: [f32; HALF] = std::array::from_fn(|j| (j as f32 + 0.5) / $across as f32);
                let (data, _) = data.as_chunks_mut::<$across>();
                let (alpha, _) = alpha.as_chunks::<$across>();
                // As in `widen_by`.
                let wide = |near: &[f32]| -> [f32; $across] {
                    let (left, right) = (near[1] - near[0], near[2] - near[1]);
                    let start = near[0] + 0.5 * left;
                    std::array::from_fn(|j| {
                        if j < HALF { start + left * steps[j] } else { near[1] + right * steps[j - HALF] }
                    })
                };
                for (((data, alpha), f), b) in
                    data.iter_mut().zip(alpha).zip(front.windows(3)).zip(back.windows(3))
                {
                    let (f, b) = (wide(f), wide(b));
                    for j in 0..$across {
                        data[j] = parted(data[j], f[j], b[j], alpha[j]);
                    }
                }
                alpha.len() * $across
            }
        }
    };
}
cells!(cells_2, 2);
cells!(cells_4, 4);
cells!(cells_8, 8);
cells!(cells_16, 16);
cells!(cells_32, 32);

macro_rules! unmix {
    ($name:ident, $step:literal) => {
        multiversion! {
            fn $name(data: &mut [u8], front: &[f32], back: &[f32], alpha: &[f32]) {
                let n = alpha.len();
                let (front, back) = (&front[..n], &back[..n]);
                for (i, v) in data.iter_mut().step_by($step).take(n).enumerate() {
                    *v = parted(*v, front[i], back[i], alpha[i]);
                }
            }
        }
    };
}
unmix!(unmix_1, 1);
unmix!(unmix_2, 2);
unmix!(unmix_3, 3);
unmix!(unmix_4, 4);

/// The foreground's own colour in a mix, of which `a` is foreground.
#[inline(always)]
fn parted(mix: u8, front: f32, back: f32, a: f32) -> u8 {
    let mix = f32::from(mix);
    // Below a quarter, what is left unexplained fades out faster: more and more of it is the background's.
    let left = a * (4.0 * a).min(1.0);
    let v = front + left * (mix - a * front - (1.0 - a) * back);
    nearest(v.clamp(0.0, 255.0)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::same_at_each_width;

    #[test]
    fn runs_agree_with_the_formula() {
        for n in [1, 7, 64, 101] {
            let value = |i: usize, k: usize| ((i * 31 + i * i * k) % 256) as f32;
            let (front, back): (Vec<f32>, Vec<f32>) = (0..n).map(|i| (value(i, 3), value(i, 5))).unzip();
            let alpha: Vec<f32> = (0..n).map(|i| value(i, 7) / 255.0).collect();
            for step in 1..=4 {
                let mut data: Vec<u8> = (0..n * step).map(|i| value(i, 11) as u8).collect();
                let want: Vec<u8> = (0..n * step)
                    .map(|i| {
                        if i % step == 0 {
                            parted(data[i], front[i / step], back[i / step], alpha[i / step])
                        } else {
                            data[i]
                        }
                    })
                    .collect();
                unmix(&mut data, step, &front, &back, &alpha);
                assert_eq!(data, want);
            }
        }
    }

    #[test]
    fn cells_are_parted_as_sample_by_sample() {
        let (grid_width, grid_height) = (9, 4);
        let cells = Cells { grid_width, grid_height, ..Cells::default() };
        let value = |i: usize, k: usize| ((i * 31 + i * i * k) % 256) as f32;
        let planes = [3, 5].map(|k| (0..grid_width * grid_height).map(|i| value(i, k)).collect::<Vec<f32>>());
        for across in [1, 2, 4, 8, 16, 32] {
            for (from, n) in
                [(0, 9 * across), (2 * across, 3 * across), (6 * across, 3 * across - across / 2)]
            {
                let alpha: Vec<f32> = (0..n).map(|i| value(i, 7) / 255.0).collect();
                let data: Vec<u8> = (0..n).map(|i| value(i, 11) as u8).collect();
                for y in [0, 3, 17 % (4 * across)] {
                    let at = Place { cells: &cells, across, down: across, y, from };
                    let want = {
                        let [mut front, mut back, mut out] = [vec![0.0; n], vec![0.0; n], vec![]];
                        at.stretch(&planes[0], &mut front, &mut out);
                        at.stretch(&planes[1], &mut back, &mut out);
                        let mut data = data.clone();
                        unmix(&mut data, 1, &front, &back, &alpha);
                        data
                    };
                    let got = same_at_each_width(format!("{across} {from} {n}"), || {
                        let (mut data, mut scratch) = (data.clone(), [vec![], vec![]]);
                        let [a, b] = &mut scratch;
                        unmix_cells([&planes[0], &planes[1]], &at, &alpha, [a, b], &mut data);
                        data
                    });
                    assert_eq!(got, want, "{across} {from} {n} {y}");
                }
            }
        }
    }
}
