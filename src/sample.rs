//! A frame of any format as three small planes of R, G, B: one pass that reads every byte once.
//!
//! Down, each output pixel is the mean of the area that it covers (a network that sees aliased
//! input flickers); up, bilinear. Rows are summed first, as bytes as they lie, which the compiler
//! turns into vectors for every format alike; columns are then summed from the one row that is left.

use crate::frame::{Component, Frame};
use crate::simd::multiversion;

/// For each output sample: where its input samples begin, and their weights.
#[derive(Clone, Debug, Default)]
struct Taps {
    start: Vec<usize>,
    /// `reach` weights an output sample.
    weights: Vec<f32>,
    reach: usize,
}

impl Taps {
    /// `samples` input samples that span `extent` of their own widths, to `out` output samples.
    fn new(extent: f64, samples: usize, out: usize) -> Self {
        let scale = extent / out as f64;
        let reach = (if scale >= 1.0 { scale.ceil() as usize + 1 } else { 2 }).min(samples);
        let mut taps = Taps { start: Vec::with_capacity(out), weights: vec![0.0; reach * out], reach };
        for (i, weights) in taps.weights.chunks_exact_mut(reach).enumerate() {
            let mut put = |start: usize, at: usize, w: f64| weights[at.min(samples - 1) - start] += w as f32;
            let begin = |at: f64| (at.max(0.0).floor() as usize).min(samples - reach);
            let start = if scale >= 1.0 {
                let (from, to) = (i as f64 * scale, ((i + 1) as f64 * scale).min(samples as f64));
                let start = begin(from);
                for at in from.floor() as usize..(to.ceil() as usize).min(samples) {
                    let overlap = (to.min((at + 1) as f64) - from.max(at as f64)).max(0.0);
                    put(start, at, overlap / (to - from));
                }
                start
            } else {
                let centre = ((i as f64 + 0.5) * scale - 0.5).max(0.0);
                let start = begin(centre);
                let (at, f) = (centre.floor() as usize, centre.fract());
                put(start, at, 1.0 - f);
                put(start, at + 1, f);
                start
            };
            taps.start.push(start);
        }
        taps
    }
}

/// Brings frames to network size. Keeps its tables and buffers between frames of one shape.
#[derive(Debug, Default)]
pub struct Sampler {
    shape: Option<(crate::frame::Format, [usize; 4])>,
    columns: [Taps; 3],
    rows: [Taps; 3],
    sum: Vec<f32>,
    whole: Vec<u16>,
    rgb: [Vec<f32>; 3],
}

impl Sampler {
    /// R, G, B in 0..255 of the frame at `width` × `height`, a plane each.
    pub fn sample(&mut self, frame: &Frame<'_>, width: usize, height: usize) -> &[Vec<f32>; 3] {
        let layout = frame.format.layout();
        let shape = (frame.format, [frame.width, frame.height, width, height]);
        if self.shape != Some(shape) {
            self.shape = Some(shape);
            for (i, c) in layout.color.iter().enumerate() {
                let extent = |n: usize, sub: u32| n as f64 / f64::from(1 << sub);
                self.columns[i] = Taps::new(extent(frame.width, c.hsub), c.width(frame.width), width);
                self.rows[i] = Taps::new(extent(frame.height, c.vsub), c.height(frame.height), height);
            }
            self.rgb.iter_mut().for_each(|p| {
                p.clear();
                p.resize(width * height, 0.0);
            });
        }
        for plane in 0..layout.planes {
            let here: Vec<usize> = (0..layout.colors).filter(|&i| layout.color[i].plane == plane).collect();
            let Some(&first) = here.first() else { continue };
            let end = |c: &Component| c.offset + (c.width(frame.width) - 1) * c.step + 1;
            let bytes = here.iter().map(|&i| end(&layout.color[i])).max().unwrap_or(0);
            self.sum.resize(bytes.max(self.sum.len()), 0.0);
            let sum = &mut self.sum[..bytes];
            // The components of one plane share its rows.
            let rows = &self.rows[first];
            for y in 0..height {
                let weights = &rows.weights[y * rows.reach..][..rows.reach];
                let row = |k: usize| &frame.planes[plane].row(rows.start[y] + k)[..bytes];
                // Rows that count wholly have the same weight: they are added up as whole numbers.
                let most = weights.iter().fold(0f32, |m, w| m.max(*w));
                let wholly = |k: &usize| weights[*k] == most;
                if (0..weights.len()).filter(wholly).take(257).count() < 257 {
                    self.whole.clear();
                    self.whole.resize(bytes, 0);
                    (0..weights.len()).filter(wholly).for_each(|k| count_row(&mut self.whole, row(k)));
                    begin(sum, &self.whole, most);
                } else {
                    sum.fill(0.0);
                    (0..weights.len()).filter(wholly).for_each(|k| add_row(sum, row(k), most));
                }
                for k in (0..weights.len()).filter(|k| !wholly(k) && weights[*k] != 0.0) {
                    add_row(sum, row(k), weights[k]);
                }
                for &i in &here {
                    let c = &layout.color[i];
                    add_columns(
                        &sum[c.offset..],
                        c.step,
                        &self.columns[i],
                        &mut self.rgb[i][y * width..][..width],
                    );
                }
            }
        }
        if frame.format.is_yuv() {
            let [a, b, c] = &mut self.rgb;
            to_rgb(a, b, c, frame.color.rgb_matrix());
        } else if layout.colors == 1 {
            let [grey, rest @ ..] = &mut self.rgb;
            rest.iter_mut().for_each(|p| p.copy_from_slice(grey));
        }
        &self.rgb
    }
}

multiversion! {
    fn add_row(sum: &mut [f32], row: &[u8], weight: f32) {
        for (s, v) in sum.iter_mut().zip(row) {
            *s += f32::from(*v) * weight;
        }
    }
}

multiversion! {
    fn count_row(sum: &mut [u16], row: &[u8]) {
        for (s, v) in sum.iter_mut().zip(row) {
            *s += u16::from(*v);
        }
    }
}

multiversion! {
    fn begin(sum: &mut [f32], whole: &[u16], weight: f32) {
        for (s, v) in sum.iter_mut().zip(whole) {
            *s = f32::from(*v) * weight;
        }
    }
}

fn add_columns(sum: &[f32], step: usize, taps: &Taps, out: &mut [f32]) {
    // A number of taps known to the compiler makes vectors of them.
    if step == 1 {
        match taps.reach {
            3 => return columns::<3>(sum, taps, out),
            4 => return columns::<4>(sum, taps, out),
            5 => return columns::<5>(sum, taps, out),
            6 => return columns::<6>(sum, taps, out),
            7 => return columns::<7>(sum, taps, out),
            8 => return columns::<8>(sum, taps, out),
            9 => return columns::<9>(sum, taps, out),
            16 => return columns::<16>(sum, taps, out),
            _ => {}
        }
    }
    for ((o, &start), weights) in out.iter_mut().zip(&taps.start).zip(taps.weights.chunks_exact(taps.reach)) {
        let from = &sum[start * step..];
        *o = if step == 1 {
            weights.iter().zip(from).map(|(w, v)| w * v).sum()
        } else {
            weights.iter().zip(from.iter().step_by(step)).map(|(w, v)| w * v).sum()
        };
    }
}

fn columns<const N: usize>(sum: &[f32], taps: &Taps, out: &mut [f32]) {
    let weights = taps.weights.as_chunks::<N>().0;
    for ((o, &start), weights) in out.iter_mut().zip(&taps.start).zip(weights) {
        let mut products = [0f32; N];
        for ((p, w), v) in products.iter_mut().zip(weights).zip(&sum[start..start + N]) {
            *p = w * v;
        }
        // Halves onto each other, so that few additions wait for one another.
        let mut n = N;
        while n > 1 {
            let half = n.div_ceil(2);
            for i in 0..n - half {
                products[i] += products[i + half];
            }
            n = half;
        }
        *o = products[0];
    }
}

multiversion! {
    fn to_rgb(a: &mut [f32], b: &mut [f32], c: &mut [f32], matrix: ([[f32; 3]; 3], [f32; 3])) {
        let (m, o) = matrix;
        for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
            let (y, u, v) = (*a - o[0], *b - o[1], *c - o[2]);
            *a = (m[0][0] * y + m[0][1] * u + m[0][2] * v).clamp(0.0, 255.0);
            *b = (m[1][0] * y + m[1][1] * u + m[1][2] * v).clamp(0.0, 255.0);
            *c = (m[2][0] * y + m[2][1] * u + m[2][2] * v).clamp(0.0, 255.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Format;
    use crate::frame::testing::{Picture, noise};

    /// Area mean or bilinear of one component, straight from the definition.
    fn reference(p: &Picture, component: usize, out_w: usize, out_h: usize) -> Vec<f64> {
        let f = p.frame();
        let c = f.format.layout().color[component];
        let (w, h) = (c.width(f.width), c.height(f.height));
        let at = |x: usize, y: usize| {
            f64::from(f.planes[c.plane].row(y.min(h - 1))[c.offset + x.min(w - 1) * c.step])
        };
        let weight = |i: usize, s: usize, scale: f64, n: usize| {
            if scale >= 1.0 {
                let (from, to) = (i as f64 * scale, ((i + 1) as f64 * scale).min(n as f64));
                ((to.min((s + 1) as f64) - from.max(s as f64)).max(0.0)) / (to - from)
            } else {
                let centre = ((i as f64 + 0.5) * scale - 0.5).clamp(0.0, (n - 1) as f64);
                (1.0 - (centre - s as f64).abs()).max(0.0)
            }
        };
        let (sx, sy) = (
            f.width as f64 / f64::from(1 << c.hsub) / out_w as f64,
            f.height as f64 / f64::from(1 << c.vsub) / out_h as f64,
        );
        let mut out = Vec::new();
        for j in 0..out_h {
            for i in 0..out_w {
                let mut sum = 0.0;
                for y in 0..h {
                    for x in 0..w {
                        sum += weight(i, x, sx, w) * weight(j, y, sy, h) * at(x, y);
                    }
                }
                out.push(sum);
            }
        }
        out
    }

    #[test]
    fn every_format_equals_the_definition() {
        for format in Format::ALL {
            for (w, h, ow, oh) in
                [(33, 17, 16, 8), (16, 16, 40, 24), (37, 5, 9, 9), (1, 1, 4, 4), (64, 1, 8, 2)]
            {
                let p = noise(format, w, h, 7);
                let mut sampler = Sampler::default();
                // Twice: the second run uses the kept tables.
                sampler.sample(&p.frame(), ow, oh);
                let got = sampler.sample(&p.frame(), ow, oh);
                let colors = format.layout().colors;
                let parts: Vec<Vec<f64>> = (0..3).map(|i| reference(&p, i.min(colors - 1), ow, oh)).collect();
                let (m, o) = p.color.rgb_matrix();
                for i in 0..ow * oh {
                    let v = [parts[0][i], parts[1][i], parts[2][i]];
                    for c in 0..3 {
                        let want = if format.is_yuv() {
                            (0..3)
                                .map(|k| f64::from(m[c][k]) * (v[k] - f64::from(o[k])))
                                .sum::<f64>()
                                .clamp(0.0, 255.0)
                        } else {
                            v[c]
                        };
                        assert!(
                            (f64::from(got[c][i]) - want).abs() < 0.05,
                            "{format:?} {w}x{h} {i} {c}: {} {want}",
                            got[c][i]
                        );
                    }
                }
            }
        }
    }
}
