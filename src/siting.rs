//! Where the chroma samples of 4:2:0 lie, and chroma brought to the middle of its four pixels.
//!
//! Edges are drawn by the colours of pixels, of which chroma is taken to be the mean of four. Most video has it at the left
//! of them instead, some at the first (ITU-T H.273 §8.7): half a pixel to the side, which costs the edge a tenth of what it
//! has gained. Streams say where theirs lies, and often wrongly, for who made them seldom looked. So it is measured: luma and
//! chroma have most edges in common, and these coincide where luma is taken from where chroma is.

use crate::frame::{Component, Format, Frame, Plane};
use crate::simd::multiversion;
use rayon::prelude::*;

/// Samples of a row or a column in which luma and chroma are compared at a time.
const BLOCK: usize = 8;
/// Of so many rows, columns and rows of blocks one is looked at.
const EVERY: usize = 8;
/// Variance, in levels², from which on a block has an edge.
const EDGE: f32 = 6.0;
/// The part of it that luma has to explain.
const EXPLAINED: f32 = 0.6;
/// Blocks with edges that it takes to say where chroma lies.
const ENOUGH: f32 = 300.0;
/// So many frames are all looked at.
const FIRST: u32 = 4;
/// Later one in so many is.
const ONE_IN: u32 = 16;
/// What was seen before counts by so much less each time.
const KEPT: f32 = 0.9;
/// How far from the middle chroma has to be found, in samples, to be moved. Where it lies beside the middle by a quarter, blur
/// has it found somewhat nearer.
const FROM: f32 = -0.09;
/// How near to it, to be moved no longer.
const UNTIL: f32 = -0.05;
/// Chroma a quarter of a sample further on, of 64: a cubic filter, sharper by what the coder's own has taken.
const TAPS: [i16; 4] = [-9, 63, 12, -2];

/// What is known of a stream's chroma; keeps its planes from frame to frame.
#[derive(Debug, Default)]
pub(crate) struct Siting {
    /// Of what: format and size.
    kind: Option<(Format, usize, usize)>,
    frames: u32,
    axes: [Axis; 2],
    /// Chroma in the middle.
    planes: [Vec<u8>; 2],
    scratch: Vec<u8>,
}

/// One direction, across or down.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Axis {
    /// What of chroma's edges luma does not explain if chroma lies a quarter of a sample before the middle, there, and as far
    /// behind; and the blocks that were looked at.
    left: [f32; 3],
    blocks: f32,
    /// Whether it lies before the middle.
    before: bool,
}

impl Axis {
    /// Where chroma lies, in samples from the middle: the least of a parabola. None as long as there is too little to tell.
    fn place(&self) -> Option<f32> {
        let [a, b, c] = self.left;
        let bend = a - 2.0 * b + c;
        (self.blocks >= ENOUGH && bend > 0.0).then(|| 0.25 * (a - c) / (2.0 * bend))
    }

    fn see(&mut self, seen: Axis) {
        for (left, seen) in self.left.iter_mut().zip(seen.left) {
            *left = *left * KEPT + seen;
        }
        self.blocks = self.blocks * KEPT + seen.blocks;
        if let Some(place) = self.place() {
            self.before = place < if self.before { UNTIL } else { FROM };
        }
    }
}

impl Siting {
    /// Another stream begins, or another place in it: all is looked at anew.
    pub(crate) fn restart(&mut self) {
        self.kind = None;
    }

    /// The frame with its chroma in the middle of its pixels. Formats without shared chroma, and those that are not planar,
    /// are given as they are.
    pub(crate) fn centred<'a>(&'a mut self, frame: &Frame<'a>) -> Frame<'a> {
        let layout = frame.format.layout();
        let [luma, cb, cr] = layout.color;
        let shared = layout.colors == 3 && (cb.hsub, cb.vsub) == (1, 1) && luma.step == 1;
        if !shared || !frame.holds_colors() {
            return *frame;
        }
        let kind = Some((frame.format, frame.width, frame.height));
        if self.kind != kind {
            (self.kind, self.frames, self.axes) = (kind, 0, Default::default());
        }
        if self.frames < FIRST || self.frames.is_multiple_of(ONE_IN) {
            for (axis, down) in self.axes.iter_mut().zip([false, true]) {
                axis.see(look(frame, &[cb, cr], down));
            }
        }
        self.frames = self.frames.wrapping_add(1);
        let mut out = *frame;
        let [across, down] = self.axes.map(|a| a.before);
        if !across && !down {
            return out;
        }
        // Both of NV12 lie in one plane.
        let count = if cb.plane == cr.plane { 1 } else { 2 };
        for (c, plane) in [cb, cr].iter().zip(&mut self.planes).take(count) {
            let (bytes, rows) = (c.width(frame.width) * c.step, c.height(frame.height));
            let from = frame.planes[c.plane];
            plane.resize(bytes * rows, 0);
            let row = |y: usize| &from.row(y)[..bytes];
            if across {
                plane.par_chunks_exact_mut(bytes).enumerate().for_each(|(y, to)| along(row(y), c.step, to));
            }
            if down {
                self.scratch.clear();
                if across {
                    self.scratch.extend_from_slice(plane);
                }
                let moved = &self.scratch;
                let row = |y: usize| if across { &moved[y * bytes..][..bytes] } else { row(y) };
                plane.par_chunks_exact_mut(bytes).enumerate().for_each(|(y, to)| {
                    let at = [y.saturating_sub(1), y, (y + 1).min(rows - 1), (y + 2).min(rows - 1)];
                    mix(at.map(row), to);
                });
            }
        }
        let [a, b] = &self.planes;
        for (c, data) in [cb, cr].iter().zip([a, if count == 1 { a } else { b }]) {
            out.planes[c.plane] = Plane { data, stride: c.width(frame.width) * c.step };
        }
        out
    }
}

/// A row a quarter of a sample further on; at the ends its last samples go on.
fn along(row: &[u8], step: usize, to: &mut [u8]) {
    let n = row.len();
    let inner = n.saturating_sub(3 * step);
    if inner > 0 {
        let of = |k: usize| &row[k * step..][..inner];
        mix([of(0), of(1), of(2), of(3)], &mut to[step..][..inner]);
    }
    let at = |i: isize, k: isize| {
        row[(i + k * step as isize).clamp(i % step as isize, (n - step) as isize + i % step as isize)
            as usize]
    };
    for i in (0..step.min(n)).chain((step + inner).min(n)..n) {
        let i = i as isize;
        to[i as usize] = mixed([at(i, -1), at(i, 0), at(i, 1), at(i, 2)]);
    }
}

#[inline(always)]
fn mixed(v: [u8; 4]) -> u8 {
    let [a, b, c, d] = v.map(i16::from);
    let [p, q, r, s] = TAPS;
    ((a * p + b * q + c * r + d * s + 32) >> 6).clamp(0, 255) as u8
}

multiversion! {
    fn mix(rows: [&[u8]; 4], to: &mut [u8]) {
        let n = to.len();
        let [a, b, c, d] = rows.map(|r| &r[..n]);
        for i in 0..n {
            to[i] = mixed([a[i], b[i], c[i], d[i]]);
        }
    }
}

/// Compares the edges of luma and chroma, along columns if `down`, else along rows.
fn look(frame: &Frame<'_>, chroma: &[Component; 2], down: bool) -> Axis {
    let [cb, _] = chroma;
    let (wide, high) = (cb.width(frame.width), cb.height(frame.height));
    let (long, lines) = if down { (high, wide) } else { (wide, high) };
    // Whole pairs of pixels only.
    let (width, height) = (frame.width / 2, frame.height / 2);
    let (long, lines) =
        if down { (long.min(height), lines.min(width)) } else { (long.min(width), lines.min(height)) };
    let luma = frame.planes[frame.format.layout().color[0].plane];
    let at = |along: usize, across: usize| {
        let (x, y) = if down { (across, along) } else { (along, across) };
        f32::from(luma.row(y)[x])
    };
    let mut axis = Axis::default();
    for line in (0..lines).step_by(EVERY) {
        let light = |along: usize| at(along, 2 * line) + at(along, 2 * line + 1);
        for first in (1..long.saturating_sub(BLOCK)).step_by(BLOCK) {
            let mut lights = [0.0; 2 * BLOCK + 2];
            lights.iter_mut().enumerate().for_each(|(k, l)| *l = light(2 * first - 1 + k) / 8.0);
            for c in chroma {
                let plane = frame.planes[c.plane];
                let values: [f32; BLOCK] = std::array::from_fn(|k| {
                    let (x, y) = if down { (line, first + k) } else { (first + k, line) };
                    f32::from(plane.row(y)[c.offset + x * c.step])
                });
                if let Some(left) = compare(&lights, values) {
                    axis.left.iter_mut().zip(left).for_each(|(sum, left)| *sum += left);
                    axis.blocks += 1.0;
                }
            }
        }
    }
    axis
}

/// What luma does not explain of chroma's variance where it is taken before the middle, there and behind it, with filters of
/// which the first and the last are mirror images. `None` without an edge that both have.
fn compare(lights: &[f32; 2 * BLOCK + 2], values: [f32; BLOCK]) -> Option<[f32; 3]> {
    const N: f32 = BLOCK as f32;
    let mean = values.iter().sum::<f32>() / N;
    let values = values.map(|v| v - mean);
    let square = |v: &[f32; BLOCK]| v.iter().map(|v| v * v).sum::<f32>();
    let all = square(&values);
    if all < EDGE * N {
        return None;
    }
    let with = |weights: [f32; 4]| {
        let lights: [f32; BLOCK] =
            std::array::from_fn(|k| (0..4).map(|i| weights[i] * lights[2 * k + i]).sum());
        let mean = lights.iter().sum::<f32>() / N;
        let lights = lights.map(|l| l - mean);
        let both = lights.iter().zip(&values).map(|(l, v)| l * v).sum::<f32>();
        let light = square(&lights);
        (light, both * both / light.max(1e-6))
    };
    let (light, explained) = with([0.5, 1.5, 1.5, 0.5]);
    if light < EDGE * N || explained < EXPLAINED * all {
        return None;
    }
    let others = [[1.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 1.0]].map(|w| all - with(w).1);
    Some([others[0], all - explained, others[1]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::testing::Picture;
    use crate::simd::same_at_each_width;

    /// Whether chroma is taken from before the middle of its pixels, across and down.
    type Place = (bool, bool);

    const SIZE: (usize, usize) = (322, 181);

    /// Discs of many colours, pixel by pixel.
    fn discs() -> Vec<[f32; 3]> {
        let mut state = 9u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        let (w, h) = SIZE;
        let mut pixels = vec![[90.0, 120.0, 130.0]; w * h];
        for _ in 0..90 {
            let (x, y, r) = (next() * w as f32, next() * h as f32, 6.0 + next() * 20.0);
            let color = [40.0 + next() * 170.0, 60.0 + next() * 130.0, 60.0 + next() * 130.0];
            for (i, p) in pixels.iter_mut().enumerate() {
                let a = (r - ((i % w) as f32 - x).hypot((i / w) as f32 - y) + 0.5).clamp(0.0, 1.0);
                p.iter_mut().zip(color).for_each(|(p, c)| *p += (c - *p) * a);
            }
        }
        pixels
    }

    /// Them as a frame.
    fn picture(format: Format, pixels: &[[f32; 3]], (left, top): Place) -> Picture {
        let (w, h) = SIZE;
        let mut p = Picture::new(format, w, h);
        for (k, c) in format.layout().color.iter().enumerate() {
            let (data, stride) = &mut p.planes[c.plane];
            let weights = |before: bool| match (c.hsub, before) {
                (0, _) => [(0, 0.0), (0, 1.0), (0, 0.0)],
                (_, false) => [(0, 0.0), (0, 0.5), (1, 0.5)],
                (_, true) => [(-1, 0.25), (0, 0.5), (1, 0.25)],
            };
            for y in 0..c.height(h) {
                for x in 0..c.width(w) {
                    let at = |from: usize, sub: u32, by: isize, n: usize| {
                        ((from << sub) as isize + by).clamp(0, n as isize - 1) as usize
                    };
                    let mut sum = 0.5;
                    for (dy, wy) in weights(top) {
                        for (dx, wx) in weights(left) {
                            sum += wx * wy * pixels[at(y, c.vsub, dy, h) * w + at(x, c.hsub, dx, w)][k];
                        }
                    }
                    data[y * *stride + c.offset + x * c.step] = sum as u8;
                }
            }
        }
        p
    }

    #[test]
    fn chroma_is_found_and_brought_to_the_middle() {
        let (w, h) = SIZE;
        let pixels = discs();
        for format in [Format::I420, Format::Nv12, Format::A420] {
            let middle = picture(format, &pixels, (false, false));
            for place in [(false, false), (true, false), (false, true), (true, true)] {
                let from = picture(format, &pixels, place);
                let mut siting = Siting::default();
                for _ in 0..3 {
                    siting.centred(&from.frame());
                }
                let found = (siting.axes[0].before, siting.axes[1].before);
                assert_eq!(found, place, "{format:?}: {:?}", siting.axes.map(|a| a.place()));
                let got = siting.centred(&from.frame());
                let off = |frame: &Frame<'_>| {
                    let wanted = middle.frame();
                    let (mut sum, mut n) = (0u32, 0u32);
                    for c in &format.layout().color[1..] {
                        for y in 0..c.height(h) {
                            for x in 0..c.width(w) {
                                let [a, b] =
                                    [frame, &wanted].map(|f| f.planes[c.plane].row(y)[c.offset + x * c.step]);
                                sum += u32::from(a.abs_diff(b));
                                n += 1;
                            }
                        }
                    }
                    f64::from(sum) / f64::from(n)
                };
                let (before, after) = (off(&from.frame()), off(&got));
                siting.restart();
                siting.centred(&middle.frame());
                assert!(
                    siting.axes.iter().all(|a| !a.before),
                    "what was known of another stream is forgotten"
                );
                match place {
                    (false, false) => assert_eq!(after, 0.0),
                    _ => assert!(after < 0.65 * before, "{format:?} {place:?}: {before:.2} → {after:.2}"),
                }
            }
        }
    }

    #[test]
    fn what_has_no_colours_tells_nothing() {
        let grey: Vec<_> = discs().iter().map(|p| [p[0], 128.0, 128.0]).collect();
        let grey = picture(Format::I420, &grey, (true, true));
        let mut siting = Siting::default();
        siting.centred(&grey.frame());
        assert_eq!(siting.axes.map(|a| (a.place(), a.before)), [(None, false); 2]);
        for (format, w, h) in
            [(Format::I420, 1, 1), (Format::Nv12, 3, 2), (Format::Yuy2, 40, 30), (Format::Rgba, 40, 30)]
        {
            let p = Picture::new(format, w, h);
            let mut siting = Siting::default();
            siting.axes.iter_mut().for_each(|a| a.before = true);
            siting.kind = Some((format, w, h));
            let got = siting.centred(&p.frame());
            assert!(got.holds_colors(), "{format:?}");
            if !matches!(format, Format::I420 | Format::Nv12) {
                assert!(got.same_planes(&p.frame()), "{format:?} is left as it is");
            }
        }
    }

    #[test]
    fn a_row_is_moved_alike_at_each_width() {
        for (n, step) in
            [(1usize, 1usize), (2, 1), (3, 1), (37, 1), (200, 1), (2, 2), (6, 2), (74, 2), (260, 2)]
        {
            let row: Vec<u8> = (0..n).map(|i| (i * i * 37 % 256) as u8).collect();
            let got = same_at_each_width(format!("{n} {step}"), || {
                let mut to = vec![0; n];
                along(&row, step, &mut to);
                to
            });
            for (i, got) in got.iter().enumerate() {
                let at = |k: isize| {
                    let (x, last) = ((i / step) as isize + k, (n / step) as isize - 1);
                    i32::from(row[x.clamp(0, last) as usize * step + i % step])
                };
                let sum = -9 * at(-1) + 63 * at(0) + 12 * at(1) - 2 * at(2);
                assert_eq!(i32::from(*got), ((sum + 32) >> 6).clamp(0, 255), "{n} {step} {i}");
            }
        }
    }
}
