//! The frame's own background, blurred, without the subject in it.
//!
//! Normalised convolution (Knutsson and Westin, 1993): the blurred colour is G∗(w·c) ∕ G∗w with the
//! weight w = 1 − alpha, so that the subject's pixels take no part and no halo of them stands around
//! it. The Gaussian G is three box filters at low resolution, whose cost does not depend on their
//! size.

use super::{Backdrop, LEAST_BLUR, Share, extent, spread_alpha};
use crate::frame::{Component, Format, Frame};
use crate::simd::multiversion;
use rayon::prelude::*;
use std::cell::RefCell;

/// A component at low resolution: weighted colour, then colour.
#[derive(Debug, Default)]
struct Low {
    part: Option<Component>,
    color: Vec<f32>,
    weight: Vec<f32>,
    /// For each sample of the component's rows: the cell to its left, and how far towards the next.
    columns: Vec<(u32, f32)>,
    /// The rows of the grid at the component's own width, in [`STEPS`].
    wide: Vec<i16>,
    scratch: Vec<f32>,
}

/// Steps of a level in which colours are mixed.
const STEPS: i16 = 64;

impl Low {
    /// Stretches the grid's rows bilinearly: what is left for each row of the frame is to mix two of them.
    fn widen(&mut self, width: usize, factor: usize, low_width: usize) {
        let Some(c) = self.part else { return };
        let n = c.width(width);
        if self.columns.len() != n {
            self.columns = (0..n)
                .map(|x| {
                    let (at, f) = place(x, c.hsub, factor, low_width);
                    (at as u32, f)
                })
                .collect();
        }
        self.wide.resize(self.color.len() / low_width * n, 0);
        let rows = self.color.par_chunks_exact(low_width).zip(self.wide.par_chunks_exact_mut(n));
        rows.for_each(|(row, wide)| {
            for (o, &(at, f)) in wide.iter_mut().zip(&self.columns) {
                let (l, r) = (row[at as usize], row[(at as usize + 1).min(low_width - 1)]);
                *o = ((l + (r - l) * f) * f32::from(STEPS) + 0.5) as i16;
            }
        });
    }

    /// Blurs what was gathered, and divides by the weights.
    fn smooth(&mut self, (width, height): (usize, usize), boxes: [usize; 3]) {
        let sum = |v: &[f32]| v.iter().map(|v| f64::from(*v)).sum::<f64>();
        let (total, weight) = (sum(&self.color), sum(&self.weight));
        let neutral = if weight > 0.0 { (total / weight) as f32 } else { 128.0 };
        for size in boxes {
            for v in [&mut self.color, &mut self.weight] {
                smooth(v, width, height, size, &mut self.scratch);
            }
        }
        // Deep inside the subject nothing of the background is near; it is not seen there.
        let least = 1e-3 * 255.0;
        for (c, w) in self.color.iter_mut().zip(&self.weight) {
            *c = (*c + least * neutral) / (w + least);
        }
    }
}

/// A blurred background; keeps its buffers from frame to frame.
#[derive(Debug)]
pub struct Blur {
    format: Format,
    width: usize,
    height: usize,
    /// Pixels of the frame in one of the low grid, along each axis.
    factor: usize,
    low_width: usize,
    low_height: usize,
    /// Widths of the three boxes, in pixels of the low grid.
    boxes: [usize; 3],
    low: [Low; 3],
    grid: Vec<f32>,
}

/// What one thread needs: a row's alpha, and sums over rows.
#[derive(Default)]
struct Sums {
    alpha: Vec<u8>,
    weighted: Vec<u32>,
    weights: Vec<u32>,
}

thread_local!(static SUMS: RefCell<Sums> = RefCell::default());

impl Blur {
    /// For frames of a format and size. `percent` is the standard deviation as a part of the height, [`LEAST_BLUR`] at
    /// least; and it is no less than two pixels.
    pub fn new(format: Format, width: usize, height: usize, percent: f32) -> Self {
        let percent = f64::from(percent.max(LEAST_BLUR));
        let sigma = (percent / 100.0 * height as f64).max(2.0);
        // Boxes need a few pixels to look like a Gaussian. A factor that is even keeps the cells of
        // subsampled chroma whole.
        let factor = match (sigma / 2.5) as usize {
            0 | 1 => 1,
            n => n & !1,
        };
        let (low_width, low_height) = (width.div_ceil(factor), height.div_ceil(factor));
        Self {
            format,
            width,
            height,
            factor,
            low_width,
            low_height,
            boxes: boxes(sigma / factor as f64),
            low: Default::default(),
            grid: Vec::new(),
        }
    }

    /// Whether it is for frames of this format and size.
    pub fn fits(&self, format: Format, width: usize, height: usize) -> bool {
        (self.format, self.width, self.height) == (format, width, height)
    }

    /// Blurs what is behind the subject.
    pub fn prepare(&mut self, frame: &Frame<'_>, alpha: &[u8]) {
        let layout = self.format.layout();
        let (size, factor, wide) = ((self.width, self.height), self.factor, self.low_width);
        // A row of the grid: of each component weighted colour and weight.
        let line = 6 * wide;
        self.grid.resize(self.low_height * line, 0.0);
        for plane in 0..layout.planes {
            let parts = || (0..layout.colors).filter(|&i| layout.color[i].plane == plane);
            let Some(first) = parts().next() else { continue };
            let (format, (bytes, rows)) = (self.format, extent(self.format, plane, size.0, size.1));
            let vsub = layout.color[first].vsub;
            let step = (factor >> vsub).max(1);
            // Where chroma has one row for two of the grid, it fills both.
            let copies = if factor == 1 { 1 << vsub } else { 1 };
            self.grid.par_chunks_mut(copies * line).enumerate().for_each(|(y, grid)| {
                SUMS.with_borrow_mut(|Sums { alpha: spread_out, weighted, weights }| {
                    for sums in [&mut *weighted, &mut *weights] {
                        sums.clear();
                        sums.resize(bytes, 0);
                    }
                    spread_out.clear();
                    spread_out.resize(bytes, 0);
                    for at in (y * step).min(rows)..((y + 1) * step).min(rows) {
                        spread_alpha(format, plane, alpha, size, at, Share::Mean, spread_out);
                        let row = frame.planes[plane].row(at);
                        let n = bytes.min(row.len());
                        add(&row[..n], spread_out, weighted, weights);
                    }
                    for grid in grid.chunks_exact_mut(line) {
                        for i in parts() {
                            let (color, weight) = grid[2 * i * wide..][..2 * wide].split_at_mut(wide);
                            gather(weighted, &layout.color[i], factor, size.0, color);
                            gather(weights, &layout.color[i], factor, size.0, weight);
                        }
                    }
                });
            });
        }
        for (i, low) in self.low.iter_mut().enumerate().take(layout.colors) {
            low.part = Some(layout.color[i]);
            for (v, at) in [(&mut low.color, 2 * i), (&mut low.weight, 2 * i + 1)] {
                v.clear();
                self.grid.chunks_exact(line).for_each(|row| v.extend_from_slice(&row[at * wide..][..wide]));
            }
        }
        let (low_size, boxes) = ((self.low_width, self.low_height), self.boxes);
        self.low[..layout.colors].par_iter_mut().for_each(|low| {
            low.smooth(low_size, boxes);
            low.widen(size.0, factor, wide);
        });
    }
}

impl Backdrop for Blur {
    fn row(&self, plane: usize, y: usize, row: &mut [u8]) {
        let layout = self.format.layout();
        if layout.alpha.is_some() {
            row.fill(255);
        }
        for low in &self.low[..layout.colors] {
            let Some(c) = low.part.filter(|c| c.plane == plane) else { continue };
            let n = c.width(self.width);
            let (at, f) = place(y, c.vsub, self.factor, self.low_height);
            let top = &low.wide[at * n..][..n];
            let bottom = &low.wide[(at + 1).min(self.low_height - 1) * n..][..n];
            let part = (f * 32767.0) as i16;
            if c.step == 1 {
                mix(top, bottom, part, &mut row[..n]);
            } else {
                for ((o, t), b) in row[c.offset..].iter_mut().step_by(c.step).zip(top).zip(bottom) {
                    *o = mixed(*t, *b, part);
                }
            }
        }
    }
}

/// Between which cells of the grid a sample lies: the first, and how far towards the next.
fn place(at: usize, sub: u32, factor: usize, cells: usize) -> (usize, f32) {
    let centre = ((at as f32 + 0.5) * (1 << sub) as f32) / factor as f32 - 0.5;
    let centre = centre.clamp(0.0, (cells - 1) as f32);
    (centre as usize, centre.fract())
}

/// A level between two in [`STEPS`]; `part` is how far towards the second, of 32767.
#[inline(always)]
fn mixed(top: i16, bottom: i16, part: i16) -> u8 {
    // The upper half of a product of 16 bits is one instruction.
    let twice = 2 * (bottom - top);
    let more = ((i32::from(twice) * i32::from(part)) >> 16) as i16;
    ((top + more + STEPS / 2) >> 6) as u8
}

multiversion! {
    fn mix(top: &[i16], bottom: &[i16], part: i16, out: &mut [u8]) {
        for ((o, &t), &b) in out.iter_mut().zip(top).zip(bottom) {
            *o = mixed(t, b, part);
        }
    }
}

multiversion! {
    fn add(row: &[u8], alpha: &[u8], weighted: &mut [u32], weights: &mut [u32]) {
        for (((v, a), c), w) in row.iter().zip(alpha).zip(weighted).zip(weights) {
            let weight = 255 - u32::from(*a);
            *c += u32::from(*v) * weight;
            *w += weight;
        }
    }
}

/// The samples of one component in each cell of a row, as a mean over the cell's samples.
fn gather(sums: &[u32], c: &Component, factor: usize, width: usize, out: &mut [f32]) {
    let n = c.width(width);
    let per = factor >> c.hsub;
    for (x, o) in out.iter_mut().enumerate() {
        // Without a reduction a chroma sample serves two cells.
        let (from, to) = if per == 0 { (x >> c.hsub, (x >> c.hsub) + 1) } else { (x * per, (x + 1) * per) };
        let (from, to) = (from.min(n - 1), to.min(n).max(from.min(n - 1) + 1));
        let sum: u64 = (from..to).map(|i| u64::from(sums[c.offset + i * c.step])).sum();
        *o = sum as f32 / (to - from) as f32;
    }
}

/// Widths of three boxes, all odd, whose cascade has the standard deviation `sigma` (after Kovesi,
/// "Fast almost-Gaussian filtering", 2010).
fn boxes(sigma: f64) -> [usize; 3] {
    let ideal = (12.0 * sigma * sigma / 3.0 + 1.0).sqrt();
    let small = (((ideal as usize).max(1)) - 1) / 2 * 2 + 1;
    let s = small as f64;
    let count =
        ((12.0 * sigma * sigma - 3.0 * s * s - 12.0 * s - 9.0) / (-4.0 * s - 4.0)).round().clamp(0.0, 3.0);
    [0, 1, 2].map(|i| if (i as f64) < count { small } else { small + 2 })
}

/// A box filter along rows and columns; outside is zero, which the weights make up for.
fn smooth(v: &mut [f32], width: usize, height: usize, size: usize, scratch: &mut Vec<f32>) {
    let r = size / 2;
    let k = 1.0 / size as f32;
    scratch.clear();
    scratch.resize(v.len().max(width), 0.0);
    for (row, out) in v.chunks_exact(width).zip(scratch.chunks_exact_mut(width)) {
        let mut sum: f32 = row[..r.min(width)].iter().sum();
        for x in 0..width {
            sum += row.get(x + r).copied().unwrap_or(0.0);
            out[x] = sum * k;
            sum -= if x >= r { row[x - r] } else { 0.0 };
        }
    }
    // Columns side by side: one running sum a column.
    let mut sums = vec![0.0f32; width];
    for y in 0..r.min(height) {
        add_to(&mut sums, &scratch[y * width..][..width], 1.0);
    }
    for y in 0..height {
        if y + r < height {
            add_to(&mut sums, &scratch[(y + r) * width..][..width], 1.0);
        }
        for (o, s) in v[y * width..][..width].iter_mut().zip(&sums) {
            *o = s.max(0.0) * k;
        }
        if y >= r {
            add_to(&mut sums, &scratch[(y - r) * width..][..width], -1.0);
        }
    }
}

multiversion! {
    fn add_to(sums: &mut [f32], row: &[f32], sign: f32) {
        for (s, v) in sums.iter_mut().zip(row) {
            *s += v * sign;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::composite;
    use crate::frame::testing::Picture;

    #[test]
    fn boxes_have_the_deviation() {
        for sigma in [1.0, 2.5, 3.3, 7.0, 20.0] {
            let variance: f64 = boxes(sigma).iter().map(|&n| ((n * n - 1) as f64) / 12.0).sum();
            assert!((variance.sqrt() - sigma).abs() < 0.35, "{sigma} {:?}", boxes(sigma));
        }
    }

    #[test]
    fn the_subject_leaves_no_halo() {
        // A white subject on a mid-grey background: whatever the format, the blur stays grey.
        for format in Format::ALL.into_iter().filter(|f| *f != Format::Gray8) {
            for (w, h) in [(64, 48), (61, 47), (200, 300)] {
                let mut p = Picture::new(format, w, h);
                let layout = format.layout();
                let mut alpha = vec![0u8; w * h];
                for y in h / 4..h * 3 / 4 {
                    alpha[(y * w + w / 4) & !1..y * w + w / 2].fill(255);
                }
                let (back, white) = if format.is_yuv() {
                    (p.color.yuv([90; 3]), p.color.yuv([255; 3]))
                } else {
                    ([90; 3], [255; 3])
                };
                for (i, c) in layout.color.iter().enumerate() {
                    for y in 0..c.height(h) {
                        for x in 0..c.width(w) {
                            let (fx, fy) = (x << c.hsub, y << c.vsub);
                            let v = if alpha[fy * w + fx] == 255 { white[i] } else { back[i] };
                            let (data, stride) = &mut p.planes[c.plane];
                            data[y * *stride + c.offset + x * c.step] = v;
                        }
                    }
                }
                let mut blur = Blur::new(format, w, h, 5.0);
                blur.prepare(&p.frame(), &alpha);
                // Composited with nothing of the subject, only the backdrop is left.
                let before = p.clone();
                composite(&before.frame(), &mut p.frame_mut(), &vec![0; w * h], &blur);
                for (i, c) in layout.color.iter().enumerate() {
                    for y in 0..c.height(h) {
                        for x in 0..c.width(w) {
                            let got = p.sample(c, x, y);
                            // Chroma at the subject's border is a mean of both; grey has none.
                            assert!(
                                (i32::from(got) - i32::from(back[i])).abs() <= 2,
                                "{format:?} {w}x{h} {x},{y}: {got}"
                            );
                        }
                    }
                }
            }
        }
    }

    /// Letters up to a tenth of the frame high, as their strokes: 2.5 of them to the height.
    #[test]
    fn the_least_blur_leaves_no_letters() {
        for (w, h) in [(160, 120), (426, 240), (1920, 1080), (3840, 2160)] {
            for letters in [0.02, 0.05, 0.1] {
                let mut p = Picture::new(Format::Gray8, w, h);
                let stride = p.planes[0].1;
                let period = letters * h as f64 / 2.5;
                if period < 4.0 {
                    // Smaller than pixels can show without a pattern of their own.
                    continue;
                }
                // As a lens and a sensor see it: what falls within a pixel is one.
                let dark = |v: usize| {
                    let parts = (0..32).map(|k| v as f64 + (f64::from(k) + 0.5) / 32.0);
                    parts.filter(|x| (x / period).fract() < 0.5).count() as f64 / 32.0
                };
                let line: Vec<u8> = (0..w).map(|x| (235.0 - 215.0 * dark(x) + 0.5) as u8).collect();
                for y in 0..h {
                    p.planes[0].0[y * stride..][..w].copy_from_slice(&line);
                }
                // What asks for less gets the least.
                let mut blur = Blur::new(Format::Gray8, w, h, 0.01);
                blur.prepare(&p.frame(), &vec![0; w * h]);
                let mut row = vec![0; w];
                blur.row(0, h / 2, &mut row);
                let inner = &row[w / 4..w * 3 / 4];
                let (least, most) = inner.iter().fold((255, 0), |(l, m): (u8, u8), v| (l.min(*v), m.max(*v)));
                // Of 215 levels; what is left is no more than a step that one sees at all.
                assert!(most - least <= 8, "{w}x{h}, letters of {letters}: {} levels", most - least);
            }
        }
    }

    #[test]
    fn equals_a_plain_gaussian_on_smooth_pictures() {
        let (w, h) = (160, 120);
        let mut p = Picture::new(Format::Gray8, w, h);
        let value = |x: f64| 128.0 + 80.0 * (x / 25.0).sin();
        let stride = p.planes[0].1;
        for y in 0..h {
            for x in 0..w {
                p.planes[0].0[y * stride + x] = value(x as f64).round() as u8;
            }
        }
        let mut blur = Blur::new(Format::Gray8, w, h, 5.0);
        blur.prepare(&p.frame(), &vec![0; w * h]);
        let mut row = vec![0; w];
        blur.row(0, h / 2, &mut row);
        let sigma = 0.05 * h as f64;
        for (x, got) in row.iter().enumerate().take(120).skip(40) {
            // A sine keeps its shape under a Gaussian: only its height shrinks.
            let shrink = (-sigma * sigma / (2.0 * 25.0 * 25.0)).exp();
            let want = 128.0 + 80.0 * shrink * (x as f64 / 25.0).sin();
            assert!((f64::from(*got) - want).abs() < 3.0, "{x}: {got} {want}");
        }
    }
}
