//! Where the blocks of a frame were in another one, and how far they look the same there.

use rayon::prelude::*;

use super::BLOCK;
use super::motion::{self, Grey, Motion};
use super::still::Still;
use super::view::{Pair, Tints, View, pairs};
use crate::simd::multiversion;

/// Difference of luma (0..255, a mean of nine samples) up to which the picture is the same, and from which it is
/// not.
const SAME: i32 = 3;
const OTHER: i32 = 7;
/// How many times that, for noise of a median of so many levels; and how many at most.
const BESIDE_NOISE: f32 = 2.8;
const MOST: f32 = 3.0;

/// The motion of a frame's blocks, as far as it has been asked for. Blocks lie in rows.
#[derive(Debug, Default)]
pub struct Field {
    /// Blocks in a row.
    wide: usize,
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
        self.wide = w.div_ceil(BLOCK);
        let blocks = self.wide * h.div_ceil(BLOCK);
        self.known.clear();
        self.known.resize(blocks, false);
        self.motion.clear();
        self.motion.resize(blocks, Motion::default());
        self.same.resize(blocks * BLOCK * BLOCK, 0);
        self.sure.resize(blocks, 0.0);
    }

    /// Finds the motion of the blocks of which `wanted(bx, by)` says so, from `now` to where they are `there`. `was`: how
    /// they moved elsewhere, to begin with. `still`: what stands still is not looked for.
    pub fn track(
        &mut self,
        (now, there): (&View, &View),
        was: &[Motion],
        still: &Still,
        wanted: impl Fn(usize, usize) -> bool + Sync,
    ) {
        let (luma, tints) = pairs(now, there);
        let (lw, lh, wide) = (luma.0.width, luma.0.height, self.wide);
        let limits = Limits::of(still.noise());
        let rows = self.motion.par_chunks_mut(wide).zip(self.known.par_chunks_mut(wide));
        let rows = rows.zip(self.sure.par_chunks_mut(wide));
        rows.zip(self.same.par_chunks_mut(wide * BLOCK * BLOCK)).enumerate().for_each(
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
                        let seeds = motion::seeds(was, by * wide + bx, wide, last);
                        // Things of equal brightness do not move for it; that they look otherwise is seen below.
                        motion::search(luma, &[], area, &seeds)
                    };
                    motion[bx] = last;
                    agree_in_all(luma, tints, area, last, limits, same);
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
    /// [`SAME`] and [`OTHER`], or more in noise of which the median is known (see [`Still::noise`]): from one frame to
    /// the next it makes three times the difference that it makes of a cell.
    fn of(noise: f32) -> Self {
        let times = (BESIDE_NOISE * noise).clamp(1.0, MOST);
        let [same, other] = [SAME, OTHER].map(|l| (l as f32 * times * 144.0) as i32);
        Self { other, gain: 255 * 65536 / (other - same) }
    }
}

/// How far the samples of `area` look as they did where they came from: 255 the same, 0 another thing. The
/// difference is averaged over 3×3 samples with its sign, which noise does not survive and a moved edge does.
fn agree((now, before): Pair<'_>, [x, y, w, h]: motion::Area, m: Motion, limits: Limits, out: &mut [u8]) {
    // A sample more at each side, one more again for the fraction; to the right some that nobody reads.
    const SIDE: usize = BLOCK + 2;
    const ROOM: usize = 32;
    let row = |grey: Grey<'_>, x: i32, y: i32, to: &mut [u8; ROOM]| {
        let y = y.clamp(0, grey.height as i32 - 1) as usize;
        let from = &grey.data[y * grey.width..][..grey.width];
        if let Some(all) = usize::try_from(x).ok().and_then(|x| from.get(x..x + ROOM)) {
            to.copy_from_slice(all);
        } else {
            for (i, to) in to.iter_mut().enumerate().take(SIDE + 1) {
                *to = from[(x + i as i32).clamp(0, grey.width as i32 - 1) as usize];
            }
        }
    };
    let (left, top) = (x as i32 - 1, y as i32 - 1);
    let (dx, dy) = (i32::from(m.x >> 2), i32::from(m.y >> 2));
    let fraction = [m.x & 3, m.y & 3];
    let (mut here, mut there) = ([0; ROOM], [[0; ROOM]; 2]);
    row(before, left + dx, top + dy, &mut there[1]);
    let mut diff = [[0i16; ROOM]; SIDE];
    for (j, diff) in diff.iter_mut().enumerate().take(h + 2) {
        let v = top + j as i32;
        row(now, left, v, &mut here);
        there.swap(0, 1);
        row(before, left + dx, v + dy + 1, &mut there[1]);
        differences(&here, &there, fraction, diff);
    }
    for j in 0..h {
        levels([&diff[j], &diff[j + 1], &diff[j + 2]], limits, &mut out[j * BLOCK..][..w]);
    }
}

/// As [`agree`], in brightness and in both tints: what differs in one is another thing.
fn agree_in_all(
    luma: Pair<'_>,
    tints: Tints<'_>,
    area: motion::Area,
    m: Motion,
    limits: Limits,
    out: &mut [u8],
) {
    agree(luma, area, m, limits, out);
    // Most blocks are done with that.
    if !motion::differs(tints.all(), area, m, 1) {
        return;
    }
    let [.., w, h] = area;
    let half = motion::halved(area);
    let part = Motion { x: m.x / 2, y: m.y / 2 };
    let mut same = [0u8; BLOCK * BLOCK];
    for &tint in tints.all() {
        agree(tint, half, part, limits, &mut same);
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

multiversion! {
    /// Sixteen times what is here less what was there, a fraction of a sample in quarters further on.
    fn differences(here: &[u8; 32], there: &[[u8; 32]; 2], fraction: [i16; 2], out: &mut [i16; 32]) {
        let [fx, fy] = fraction;
        let line = |row: &[u8; 32], i: usize| i16::from(row[i]) * (4 - fx) + i16::from(row[i + 1]) * fx;
        for i in 0..31 {
            let there = line(&there[0], i) * (4 - fy) + line(&there[1], i) * fy;
            out[i] = 16 * i16::from(here[i]) - there;
        }
    }
}

multiversion! {
    fn levels(rows: [&[i16; 32]; 3], limits: Limits, out: &mut [u8]) {
        let Limits { other, gain } = limits;
        let [top, middle, bottom] = rows;
        let mut tall = [0i32; 32];
        for i in 0..32 {
            tall[i] = i32::from(top[i]) + i32::from(middle[i]) + i32::from(bottom[i]);
        }
        let mut all = [0u8; BLOCK];
        for i in 0..BLOCK {
            let sum = tall[i] + tall[i + 1] + tall[i + 2];
            // The sum holds nine times sixteen differences.
            let level = ((other - sum.abs()) * gain) >> 16;
            all[i] = level.clamp(0, 255) as u8;
        }
        out.copy_from_slice(&all[..out.len()]);
    }
}
