//! Where the blocks of a frame were in another one, and how far they look the same there.

use rayon::prelude::*;

use super::BLOCK;
use super::motion::{self, Motion};
use super::still::Still;
use super::view::{Chroma, Grey, Pair, View, pairs};
use crate::simd::multiversion;

/// Difference of luma (0..255, a mean of nine samples) up to which the picture is the same.
const SAME: i32 = 3;
/// Difference of luma from which on it is another.
const OTHER: i32 = 7;
/// Both grow by this factor for each level of noise (its median).
const BESIDE_NOISE: f32 = 2.8;
/// By this factor they grow at most.
const MOST: f32 = 3.0;

/// The motion of a frame's blocks, as far as it has been asked for. Blocks lie in rows.
#[derive(Debug, Default)]
pub struct Field {
    /// Blocks in a row.
    grid_width: usize,
    /// By block: how it moved, and whether that is known yet.
    pub motion: Vec<Motion>,
    pub known: Vec<bool>,
    /// By sample of each block: 255 the same there, 0 another thing.
    pub same: Vec<u8>,
    /// By block: how far it was there as a whole, 0 to 1 (see [`sure`]).
    pub sure: Vec<f32>,
}

impl Field {
    /// Nothing is known of a frame of `w · h` samples of luma.
    pub fn clear(&mut self, w: usize, h: usize) {
        self.grid_width = w.div_ceil(BLOCK);
        let blocks = self.grid_width * h.div_ceil(BLOCK);
        self.known.clear();
        self.known.resize(blocks, false);
        self.motion.clear();
        self.motion.resize(blocks, Motion::default());
        self.same.resize(blocks * BLOCK * BLOCK, 0);
        self.sure.resize(blocks, 0.0);
    }

    /// Finds the motion of the blocks of which `wanted(bx, by)` says so, from `now` to where they are `there`. `was`: how
    /// they moved elsewhere, to begin with. `still`: what stands still is not looked for. `noise`: see [`Still::noise`].
    pub fn track(
        &mut self,
        (now, there): (&View, &View),
        was: &[Motion],
        still: &Still,
        noise: f32,
        wanted: impl Fn(usize, usize) -> bool + Sync,
    ) {
        let (luma, chroma) = pairs(now, there);
        let (lw, lh, grid_width) = (luma.0.width, luma.0.height, self.grid_width);
        let limits = Limits::of(noise);
        let rows = self.motion.par_chunks_mut(grid_width).zip(self.known.par_chunks_mut(grid_width));
        let rows = rows.zip(self.sure.par_chunks_mut(grid_width));
        rows.zip(self.same.par_chunks_mut(grid_width * BLOCK * BLOCK)).enumerate().for_each(
            |(by, (((motion, known), all), same))| {
                let mut last = Motion::default();
                for (bx, same) in same.chunks_exact_mut(BLOCK * BLOCK).enumerate() {
                    if known[bx] || !wanted(bx, by) {
                        continue;
                    }
                    known[bx] = true;
                    let (x, y) = (bx * BLOCK, by * BLOCK);
                    let area = [x, y, BLOCK.min(lw - x), BLOCK.min(lh - y)];
                    last = if still.all(area) {
                        // Noise may look like motion.
                        Motion::default()
                    } else {
                        let seeds = motion::seeds(was, by * grid_width + bx, grid_width, last);
                        // Things of equal luma do not move for it; that they look otherwise is seen below.
                        motion::search(luma, &[], area, &seeds)
                    };
                    motion[bx] = last;
                    agree_in_all(luma, chroma, area, last, limits, same);
                    all[bx] = sure(area, same);
                }
            },
        );
    }
}

/// A mask between its samples (Catmull & Rom's cubic: a bilinear one would blur a little more each frame), its edge
/// continued.
pub fn fetch(mask: &[f32], w: usize, h: usize, x: f32, y: f32) -> f32 {
    let (x, y) = (x.clamp(0.0, (w - 1) as f32), y.clamp(0.0, (h - 1) as f32));
    let at = |base: f32, k: usize, n: usize| (base as usize + k).saturating_sub(1).min(n - 1);
    let (wx, wy) = (cubic_weights(x.fract()), cubic_weights(y.fract()));
    let line = |v: usize| (0..4).map(|k| wx[k] * mask[v * w + at(x, k, w)]).sum::<f32>();
    (0..4).map(|k| wy[k] * line(at(y, k, h))).sum::<f32>().clamp(0.0, 1.0)
}

/// Weights of four samples in a row for a place `f` (0..1) past the second: Catmull & Rom's cubic.
fn cubic_weights(f: f32) -> [f32; 4] {
    let (f2, f3) = (f * f, f * f * f);
    [
        0.5 * (2.0 * f2 - f3 - f),
        0.5 * (2.0 - 5.0 * f2 + 3.0 * f3),
        0.5 * (f + 4.0 * f2 - 3.0 * f3),
        0.5 * (f3 - f2),
    ]
}

/// From which difference on, of nine times sixteen samples, the picture is another, and how fast it becomes that.
#[derive(Clone, Copy)]
struct Limits {
    other: i32,
    gain: i32,
}

impl Limits {
    /// [`SAME`] and [`OTHER`], or more where noise alone makes frames differ by more; its median is [`Still::noise`].
    fn of(noise: f32) -> Self {
        let times = (BESIDE_NOISE * noise).clamp(1.0, MOST);
        let [same, other] = [SAME, OTHER].map(|l| (l as f32 * times * 144.0) as i32);
        Self { other, gain: 255 * 65536 / (other - same) }
    }
}

/// How far the samples of `area` look as they did where they came from: 255 the same, 0 another thing. The
/// difference is averaged over 3×3 samples with its sign, which noise does not survive and a moved edge does.
fn agree((now, before): Pair<'_>, [x, y, w, h]: motion::Area, m: Motion, limits: Limits, out: &mut [u8]) {
    let (left, top) = (x as i32 - 1, y as i32 - 1);
    let (dx, dy) = (i32::from(m.x >> 2), i32::from(m.y >> 2));
    let fraction = [m.x & 3, m.y & 3];
    let mut copies = [[0; PADDED * (SIDE + 1)]; 2];
    let [here, there] = &mut copies;
    let here = around(now, (left, top), here);
    let there = around(before, (left + dx, top + dy), there);
    if (w, h) == (BLOCK, BLOCK) {
        return agree_block(here, there, fraction, limits, out);
    }
    let mut all = [0; BLOCK * BLOCK];
    agree_block(here, there, fraction, limits, &mut all);
    for (out, all) in out.chunks_mut(BLOCK).zip(all.chunks_exact(BLOCK)).take(h) {
        out[..w].copy_from_slice(&all[..w]);
    }
}

/// Samples of a block and one more at each side.
const SIDE: usize = BLOCK + 2;
/// Samples of a row of that, with some that nobody reads.
const PADDED: usize = 32;

/// `SIDE` + 1 rows of `PADDED` samples and the step from one to the next: of the plane where they lie in it, else a copy in
/// which the plane's edge goes on.
fn around<'a>(
    grey: Grey<'a>,
    (x, y): (i32, i32),
    copy: &'a mut [u8; PADDED * (SIDE + 1)],
) -> (&'a [u8], usize) {
    if let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y))
        && x + PADDED <= grey.width
        && y + SIDE < grey.height
    {
        return (&grey.data[y * grey.width + x..], grey.width);
    }
    for (j, to) in copy.chunks_exact_mut(PADDED).enumerate() {
        let y = (y + j as i32).clamp(0, grey.height as i32 - 1) as usize;
        let from = &grey.data[y * grey.width..][..grey.width];
        for (i, to) in to.iter_mut().enumerate().take(SIDE + 1) {
            *to = from[(x + i as i32).clamp(0, grey.width as i32 - 1) as usize];
        }
    }
    (copy, PADDED)
}

/// As [`agree`], in luma and in both chroma planes: what differs in one is another thing.
fn agree_in_all(
    luma: Pair<'_>,
    chroma: Chroma<'_>,
    area: motion::Area,
    m: Motion,
    limits: Limits,
    out: &mut [u8],
) {
    agree(luma, area, m, limits, out);
    // Most blocks are done with that.
    if !motion::differs(chroma.all(), area, m, 1) {
        return;
    }
    let [.., w, h] = area;
    let half = motion::halved(area);
    let part = Motion { x: m.x / 2, y: m.y / 2 };
    let mut same = [0u8; BLOCK * BLOCK];
    for &plane in chroma.all() {
        agree(plane, half, part, limits, &mut same);
        for (v, out) in out.chunks_exact_mut(BLOCK).enumerate().take(h) {
            for (u, out) in out.iter_mut().enumerate().take(w) {
                *out = (*out).min(same[v / 2 * BLOCK + u / 2]);
            }
        }
    }
}

/// Whether a block as a whole was there before: 1 where nearly all of its samples agree, 0 where three in ten or more
/// does not.
fn sure([_, _, w, h]: motion::Area, same: &[u8]) -> f32 {
    const NONE: f32 = 0.7;
    const WHOLE: f32 = 0.95;
    let sum: u32 = same.chunks_exact(BLOCK).take(h).flat_map(|row| &row[..w]).map(|&s| u32::from(s)).sum();
    let mean = sum as f32 / (255 * w * h) as f32;
    ((mean - NONE) / (WHOLE - NONE)).clamp(0.0, 1.0)
}

/// Sums of three samples.
#[inline(always)]
fn threes(row: &[u8]) -> [i16; BLOCK] {
    let row = &row[..BLOCK + 2];
    let mut out = [0; BLOCK];
    for i in 0..BLOCK {
        out[i] = i16::from(row[i]) + i16::from(row[i + 1]) + i16::from(row[i + 2]);
    }
    out
}

/// Four times the sums of three samples, some quarters of a sample further on.
#[inline(always)]
fn threes_between(row: &[u8], quarters: i16) -> [i16; BLOCK] {
    let (a, b) = (threes(row), threes(&row[1..]));
    let mut out = [0; BLOCK];
    for i in 0..BLOCK {
        out[i] = a[i] * (4 - quarters) + b[i] * quarters;
    }
    out
}

multiversion! {
    /// See [`agree`]; `here` and `there` begin a sample up and left of the block, `fraction` is in quarters of a sample.
    fn agree_block(here: (&[u8], usize), there: (&[u8], usize), fraction: [i16; 2], limits: Limits, out: &mut [u8]) {
        let [fx, fy] = fraction;
        let Limits { other, gain } = limits;
        let mut was = threes_between(there.0, fx);
        // Sixteen times the differences, over three samples each, of the two rows before.
        let (mut first, mut second) = ([0; BLOCK], [0; BLOCK]);
        for j in 0..SIDE {
            let below = threes_between(&there.0[(j + 1) * there.1..], fx);
            let is = threes(&here.0[j * here.1..]);
            let mut third = [0i32; BLOCK];
            for i in 0..BLOCK {
                third[i] = i32::from(16 * is[i] - was[i] * (4 - fy) - below[i] * fy);
            }
            was = below;
            if let Some(row) = j.checked_sub(2) {
                let out = &mut out[row * BLOCK..][..BLOCK];
                for i in 0..BLOCK {
                    // Nine times sixteen differences.
                    let sum: i32 = first[i] + second[i] + third[i];
                    out[i] = (((other - sum.abs()) * gain) >> 16).clamp(0, 255) as u8;
                }
            }
            (first, second) = (second, third);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::same_at_each_width;

    /// [`agree`], sample by sample.
    fn agree_plainly(
        (now, before): Pair<'_>,
        [x, y, w, h]: motion::Area,
        m: Motion,
        limits: Limits,
    ) -> Vec<u8> {
        let at = |grey: Grey<'_>, x: i32, y: i32| {
            let place = |v: i32, n: usize| v.clamp(0, n as i32 - 1) as usize;
            i32::from(grey.data[place(y, grey.height) * grey.width + place(x, grey.width)])
        };
        let (dx, dy) = (i32::from(m.x >> 2), i32::from(m.y >> 2));
        let (fx, fy) = (i32::from(m.x & 3), i32::from(m.y & 3));
        let difference = |x: i32, y: i32| {
            let line = |y: i32| at(before, x + dx, y) * (4 - fx) + at(before, x + dx + 1, y) * fx;
            16 * at(now, x, y) - line(y + dy) * (4 - fy) - line(y + dy + 1) * fy
        };
        let mut out = Vec::new();
        for v in y as i32..(y + h) as i32 {
            for u in x as i32..(x + w) as i32 {
                let sum: i32 = (v - 1..v + 2)
                    .flat_map(|v| (u - 1..u + 2).map(move |u| (u, v)))
                    .map(|(u, v)| difference(u, v))
                    .sum();
                out.push((((limits.other - sum.abs()) * limits.gain) >> 16).clamp(0, 255) as u8);
            }
        }
        out
    }

    #[test]
    fn blocks_agree_as_sample_by_sample() {
        let (width, height) = (70, 45);
        let data = |k: usize| (0..width * height).map(|i| ((i * i * k) >> 5) as u8).collect::<Vec<_>>();
        let smooth =
            |k: usize| (0..width * height).map(|i| (i % width * 3 + i / width * k) as u8).collect::<Vec<_>>();
        for (now, before) in [(data(3), data(5)), (smooth(2), smooth(2)), (smooth(2), smooth(3))] {
            let [now, before] = [&now, &before].map(|data| Grey { data, width, height });
            for area in [
                [0, 0, 16, 16],
                [16, 16, 16, 16],
                [32, 16, 16, 16],
                [64, 32, 6, 13],
                [48, 32, 16, 13],
                [8, 8, 8, 8],
            ] {
                for m in [(0, 0), (3, -5), (-9, 2), (64, 60), (-200, 1)] {
                    for noise in [0.0, 1.0] {
                        let (m, limits) = (Motion { x: m.0, y: m.1 }, Limits::of(noise));
                        let got = same_at_each_width(format!("{area:?} {m:?}"), || {
                            let mut out = [7; BLOCK * BLOCK];
                            agree((now, before), area, m, limits, &mut out);
                            (0..area[3])
                                .flat_map(|y| out[y * BLOCK..][..area[2]].to_vec())
                                .collect::<Vec<_>>()
                        });
                        assert_eq!(got, agree_plainly((now, before), area, m, limits), "{area:?} {m:?}");
                    }
                }
            }
        }
    }
}
