//! How far a frame is from the remembered background, cell by cell, and what of that may be a shadow.

use rayon::prelude::*;

use super::memory::{KNOWN, Memory, QUARTERS, ROWS, STEPS};
use crate::simd::{multiversion, nearest};

/// Distance from the mean, in levels (0..255), up to which a cell looks the same, in little noise.
const SAME: f32 = 2.5;
/// Distance from which on it does not, in little noise.
const OTHER: f32 = 6.0;
/// What a distance in chroma counts for, against one in luma.
pub const CHROMA_WEIGHT: f32 = 1.5;
/// How far a cell is from the background, in levels, where something else begins to be there, and where it is, in little
/// noise.
const DIFFERS: (f32, f32) = (10.0, 24.0);
/// For how many frames the background has to have been seen for that.
const SURE: u8 = 10;
/// A shadow takes this part of luma at most, and of chroma the same part.
const SHADE: f32 = 0.5;
/// For each level that it takes of luma, chroma may be off by so much beside that.
const SHADE_CHROMA: f32 = 0.12;

impl Memory {
    /// Finds how far the frame is from the background.
    pub(super) fn compare(&mut self) {
        let (yuv, planes, grid_width, black) = (self.yuv, self.planes, self.grid_width, self.black);
        let k = &mut self.cells;
        let (now, mean) = (&k.now, &k.mean);
        let parts =
            k.distance.par_chunks_mut(grid_width * ROWS).zip(k.shade.par_chunks_mut(grid_width * ROWS));
        parts.enumerate().for_each_init(Vec::new, |scratch, (part, (distance, shade))| {
            scratch.resize(3 * grid_width, 0i16);
            let (a, rest) = scratch.split_at_mut(grid_width);
            let (b, c) = rest.split_at_mut(grid_width);
            for (y, (distance, shade)) in
                distance.chunks_exact_mut(grid_width).zip(shade.chunks_exact_mut(grid_width)).enumerate()
            {
                let row = (part * ROWS + y) * grid_width..(part * ROWS + y + 1) * grid_width;
                for (k, off) in [&mut *a, &mut *b, &mut *c].into_iter().enumerate().take(planes) {
                    apart(&now[k][row.clone()], &mean[k][row.clone()], off);
                }
                let off = [&*a, &*b, &*c];
                let was = mean.each_ref().map(|m| &m[row.clone()]);
                if yuv {
                    distances(off, distance);
                    shades(off, was, black, shade);
                } else {
                    distances_of_rgb(off, distance);
                    shades_of_rgb(off, was, shade);
                }
            }
        });
    }

    /// The distance from which on a cell does not look the same.
    pub(super) fn limit(&self) -> u8 {
        (OTHER * self.noise * QUARTERS) as u8
    }

    /// How far the cells of a row are the background that has not changed since it was seen, and how far something else
    /// stands there, 0 to 255.
    pub fn compared(&self, y: usize, same: &mut [u8], other: &mut [u8]) {
        let k = &self.cells;
        let row = y * self.grid_width..(y + 1) * self.grid_width;
        let [same_to, other_from] = [SAME, OTHER].map(|l| l * self.noise * QUARTERS);
        let [first, all] = [DIFFERS.0, DIFFERS.1].map(|l| l * self.noise * QUARTERS);
        // `other_from` times the first slope, and 255 times the second, are at most 28,000 at any noise.
        let slope = |span: f32| (64.0 * 255.0 / span) as u16;
        let ramps = [(other_from as u16, slope(other_from - same_to)), (first as u16, slope(all - first))];
        let [distance, seen, held, shade] =
            [&k.distance, &k.seen, &k.held, &k.shade].map(|v| &v[row.clone()]);
        likeness(distance, seen, held, shade, ramps, same, other);
    }
}

/// A difference of red, green and blue as one of luma and chroma (BT.601).
pub fn luma_and_chroma([r, g, b]: [f32; 3]) -> [f32; 3] {
    let y = 0.299 * r + 0.587 * g + 0.114 * b;
    [y, 0.564 * (b - y), 0.713 * (r - y)]
}

/// Whether what had some luma and chroma, beside black, and is so far off now, is the same in a shadow: all of it
/// darker by one part. Any unit will do; [`SAME`] is in [`STEPS`].
#[inline(always)]
fn shade(off: [f32; 3], was: [f32; 3]) -> u8 {
    let part = -off[0] / was[0].max(1.0);
    let [u, v] = [off[1] + part * was[1], off[2] + part * was[2]];
    let least = (SHADE_CHROMA * -off[0]).max(SAME * STEPS as f32);
    u8::from(
        (part > 0.0) & (part < SHADE) & (CHROMA_WEIGHT * CHROMA_WEIGHT * (u * u + v * v) < least * least),
    )
}

multiversion! {
    fn shades(off: [&[i16]; 3], was: [&[i16]; 3], black: f32, out: &mut [u8]) {
        let n = out.len();
        let ([a, b, c], [p, q, r]) = (off.map(|o| &o[..n]), was.map(|w| &w[..n]));
        let step = STEPS as f32;
        for i in 0..n {
            let was = [f32::from(p[i]) - black * step, f32::from(q[i]) - 128.0 * step, f32::from(r[i]) - 128.0 * step];
            out[i] = shade([a[i], b[i], c[i]].map(f32::from), was);
        }
    }
}

multiversion! {
    fn shades_of_rgb(off: [&[i16]; 3], was: [&[i16]; 3], out: &mut [u8]) {
        let n = out.len();
        let ([a, b, c], [p, q, r]) = (off.map(|o| &o[..n]), was.map(|w| &w[..n]));
        for i in 0..n {
            let off = luma_and_chroma([a[i], b[i], c[i]].map(f32::from));
            out[i] = shade(off, luma_and_chroma([p[i], q[i], r[i]].map(f32::from)));
        }
    }
}

multiversion! {
    /// What the frame is more than the mean.
    fn apart(now: &[u16], mean: &[i16], out: &mut [i16]) {
        for ((o, &n), &m) in out.iter_mut().zip(now).zip(mean) {
            *o = n as i16 * (STEPS / 4) - m;
        }
    }
}

/// About the length (to a tenth) of a distance in luma and chroma in [`STEPS`], in quarters of a level: of two that
/// stand at right angles the longer and three eighths of the shorter.
#[inline(always)]
fn length([a, b, c]: [i16; 3]) -> u8 {
    let both = |a: i16, b: i16| a.max(b) + ((a.min(b) * 3) >> 3);
    // So that nothing overflows.
    let [a, b, c] = [a, b, c].map(|v| v.abs().min(4096));
    let chroma = both(b, c);
    (both(a, chroma + (chroma >> 1)) >> 4).min(255) as u8
}

multiversion! {
    fn distances(off: [&[i16]; 3], out: &mut [u8]) {
        let [a, b, c] = off.map(|o| &o[..out.len()]);
        for (i, o) in out.iter_mut().enumerate() {
            *o = length([a[i], b[i], c[i]]);
        }
    }
}

multiversion! {
    fn distances_of_rgb(off: [&[i16]; 3], out: &mut [u8]) {
        let [a, b, c] = off.map(|o| &o[..out.len()]);
        for (i, o) in out.iter_mut().enumerate() {
            *o = length(luma_and_chroma([a[i], b[i], c[i]].map(f32::from)).map(|v| nearest(v) as i16));
        }
    }
}

multiversion! {
    /// See [`Memory::compared`]; `ramps`: where each begins, and 64 times what a step counts for.
    fn likeness(distance: &[u8], seen: &[u8], held: &[u8], shade: &[u8], ramps: [(u16, u16); 2], same: &mut [u8], other: &mut [u8]) {
        let n = same.len();
        let (distance, seen, held, shade, other) = (&distance[..n], &seen[..n], &held[..n], &shade[..n], &mut other[..n]);
        let [(last, down), (first, up)] = ramps;
        for i in 0..n {
            let d = u16::from(distance[i]);
            let alike = ((last.saturating_sub(d) * down) >> 6).min(255) as u8;
            let differs = ((d.saturating_sub(first) * up) >> 6).min(255) as u8;
            same[i] = if (held[i] != 0) & (seen[i] >= KNOWN) { alike } else { 0 };
            other[i] = if (seen[i] >= SURE) & (shade[i] == 0) { differs } else { 0 };
        }
    }
}
