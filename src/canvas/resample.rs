//! Frames with straight alpha, scaled and moved: colours count by their alpha, so that nothing of hidden pixels shows.
//!
//! Each sample is a mean under a triangle, two samples wide of whichever grid is the coarser: bilinear where a frame is
//! enlarged, an average over all pixels where it is made smaller. Of colour C and alpha a it is Σ w·a·C / Σ w·a, which is
//! the mean of premultiplied colours, divided by that of alpha. At the frame's border its last samples go on, and alpha ends
//! with the part of a pixel that is covered.

use super::place::Mapping;
use crate::frame::{Component, Frame, FrameMut};
use rayon::prelude::*;

/// Which samples a sample is made of along one axis, and what of it the frame covers.
#[derive(Debug, Default)]
struct Taps {
    /// The first sample that is wanted, and how many.
    from: usize,
    /// By sample: the first of the frame's, where its weights begin, how many there are, and the part that is covered.
    list: Vec<(usize, usize, usize, f32)>,
    weights: Vec<f32>,
}

/// A frame that is narrower than this on the canvas, in pixels, is not placed.
const LEAST: f64 = 1.0 / 64.0;

impl Taps {
    /// For samples of a component with 2^`sub` pixels each. `size` and `canvas` are the sides of frame and canvas in pixels.
    fn new((scale, shift): (f64, f64), sub: u32, size: usize, canvas: usize) -> Self {
        let group = f64::from(1u32 << sub);
        let count = |side: usize| (side + (1 << sub) - 1) >> sub;
        let (samples, all) = (count(size), count(canvas));
        let (begin, end) = (shift, shift + size as f64 * scale);
        let radius = (1.0 / scale).max(1.0);
        let mut taps = Taps::default();
        // Too small to be seen; a tap would reach over the whole frame many times.
        if size as f64 * scale < LEAST {
            return taps;
        }
        for n in 0..all {
            let (left, right) = (n as f64 * group, ((n + 1) as f64 * group).min(canvas as f64));
            let covered = (right.min(end) - left.max(begin)) / (right - left);
            if covered <= 0.0 {
                continue;
            }
            if taps.list.is_empty() {
                taps.from = n;
            }
            // In samples of the frame, whose n-th has its middle at n + ½.
            let middle = (((n as f64 + 0.5) * group - shift) / scale) / group;
            let first = (middle - radius).floor() as i64;
            let last = (middle + radius).ceil() as i64;
            let inside = |at: i64| at.clamp(0, samples as i64 - 1) as usize;
            let (low, high) = (inside(first), inside(last));
            let at = taps.weights.len();
            taps.weights.resize(at + high - low + 1, 0.0);
            let mut sum = 0.0;
            for i in first..=last {
                let weight = (1.0 - (i as f64 + 0.5 - middle).abs() / radius).max(0.0) as f32;
                taps.weights[at + inside(i) - low] += weight;
                sum += weight;
            }
            taps.weights[at..].iter_mut().for_each(|w| *w /= sum.max(f32::MIN_POSITIVE));
            taps.list.push((low, at, high - low + 1, covered.min(1.0) as f32));
        }
        taps
    }

    /// What a sample is made of: the first of the frame's and the weights, and the part that is covered.
    fn at(&self, n: usize) -> (usize, &[f32], f32) {
        let (first, at, count, covered) = self.list[n];
        (first, &self.weights[at..][..count], covered)
    }

    /// The frame's samples that are used.
    fn used(&self) -> std::ops::Range<usize> {
        let first = self.list.iter().map(|t| t.0).min().unwrap_or(0);
        first..self.list.iter().map(|t| t.0 + t.2).max().unwrap_or(0)
    }
}

/// Scales and places frames; keeps its buffers from frame to frame.
#[derive(Debug, Default)]
pub struct Resampler {
    /// The frame's alpha, and at the resolution of a component.
    alpha: Vec<u8>,
    coarse: Vec<u8>,
    rows: Vec<f32>,
}

/// What of a component is not 0 where there is nothing: the middle of a difference of colours.
fn nothing(k: usize, frame: &FrameMut<'_>) -> u8 {
    crate::compose::black(frame)[k]
}

impl Resampler {
    /// The frame's alpha, tight; all of it 255 where it has none.
    pub fn alpha_of(&mut self, frame: &Frame<'_>) -> &[u8] {
        self.alpha.clear();
        self.alpha.resize(frame.width * frame.height, 255);
        crate::compose::multiply_alpha(frame, &mut self.alpha);
        &self.alpha
    }

    /// Puts the frame whose alpha was looked at last ([`Resampler::alpha_of`]) on a canvas whose colour components lie as the
    /// frame's: its colours into `to`, black where there are none, and its alpha, tight and of the canvas's size, into `alpha`.
    pub fn place(&mut self, frame: &Frame<'_>, mapping: Mapping, to: &mut FrameMut<'_>, alpha: &mut Vec<u8>) {
        let layout = frame.format.layout();
        alpha.clear();
        alpha.resize(to.width * to.height, 0);
        let mut done: Vec<(u32, u32)> = Vec::new();
        for c in &layout.color[..layout.colors] {
            let subs = (c.hsub, c.vsub);
            if done.contains(&subs) {
                continue;
            }
            done.push(subs);
            let parts: Vec<usize> = (0..layout.colors)
                .filter(|k| (layout.color[*k].hsub, layout.color[*k].vsub) == subs)
                .collect();
            let taps = [
                Taps::new((mapping.scale[0], mapping.shift[0]), c.hsub, frame.width, to.width),
                Taps::new((mapping.scale[1], mapping.shift[1]), c.vsub, frame.height, to.height),
            ];
            let own = coarser(&self.alpha, (frame.width, frame.height), c, &mut self.coarse);
            across(frame, own, &parts, &taps, &mut self.rows);
            let wants_alpha = subs == (0, 0);
            for k in &parts {
                clear(&layout.color[*k], nothing(*k, to), to);
            }
            down(&self.rows, &parts, &taps, to, wants_alpha.then_some(&mut alpha[..]));
        }
    }
}

/// Alpha at the resolution of a component: the mean of the pixels that share a sample.
fn coarser<'a>(alpha: &'a [u8], (w, h): (usize, usize), c: &Component, out: &'a mut Vec<u8>) -> &'a [u8] {
    if (c.hsub, c.vsub) == (0, 0) {
        return alpha;
    }
    let (wide, high) = (c.width(w), c.height(h));
    out.clear();
    out.resize(wide * high, 0);
    out.par_chunks_mut(wide).enumerate().for_each(|(y, row)| {
        for (x, o) in row.iter_mut().enumerate() {
            let (mut sum, mut count) = (0u32, 0u32);
            for y in (y << c.vsub)..(((y + 1) << c.vsub).min(h)) {
                for x in (x << c.hsub)..(((x + 1) << c.hsub).min(w)) {
                    (sum, count) = (sum + u32::from(alpha[y * w + x]), count + 1);
                }
            }
            // One that is seen at all is not nothing.
            *o = sum.div_ceil(count.max(1)) as u8;
        }
    });
    out
}

/// The rows of a frame that are used, at the canvas's width: sums of alpha, then of each component's colours times alpha.
fn across(frame: &Frame<'_>, alpha: &[u8], parts: &[usize], taps: &[Taps; 2], rows: &mut Vec<f32>) {
    let (layout, wide, used) = (frame.format.layout(), taps[0].list.len(), taps[1].used());
    let first = &layout.color[parts[0]];
    let width = first.width(frame.width);
    let line = (1 + parts.len()) * wide;
    rows.clear();
    rows.resize(used.len() * line, 0.0);
    if line == 0 {
        return;
    }
    rows.par_chunks_exact_mut(line).zip(used).for_each(|(line, y)| {
        let own = &alpha[y * width..][..width];
        let (sums, colors) = line.split_at_mut(wide);
        for (n, sum) in sums.iter_mut().enumerate() {
            let (at, weights, _) = taps[0].at(n);
            *sum = weights.iter().zip(&own[at..]).map(|(w, a)| w * f32::from(*a)).sum();
        }
        for (k, colors) in parts.iter().zip(colors.chunks_exact_mut(wide)) {
            let c = &layout.color[*k];
            let row = &frame.planes[c.plane].row(y)[c.offset..];
            for (n, color) in colors.iter_mut().enumerate() {
                let (at, weights, _) = taps[0].at(n);
                let all = weights.iter().zip(&own[at..]).zip(row.iter().step_by(c.step).skip(at));
                *color = all.map(|((w, a), v)| w * f32::from(*a) * f32::from(*v)).sum();
            }
        }
    });
}

/// A component without a picture.
fn clear(c: &Component, value: u8, to: &mut FrameMut<'_>) {
    let (wide, high) = (c.width(to.width), c.height(to.height));
    for y in 0..high {
        let row = &mut to.planes[c.plane].row(y)[c.offset..];
        row.iter_mut().step_by(c.step).take(wide).for_each(|v| *v = value);
    }
}

/// From such rows to the canvas.
fn down(rows: &[f32], parts: &[usize], taps: &[Taps; 2], to: &mut FrameMut<'_>, alpha: Option<&mut [u8]>) {
    let (layout, wide) = (to.format.layout(), taps[0].list.len());
    let (line, used) = ((1 + parts.len()) * wide, taps[1].used());
    if line == 0 || used.is_empty() {
        return;
    }
    // By row of the canvas: sums of alpha, then each component's colours.
    let mut out = vec![0.0f32; taps[1].list.len() * line];
    out.par_chunks_exact_mut(line).enumerate().for_each(|(n, out)| {
        let (at, weights, _) = taps[1].at(n);
        for (weight, row) in weights.iter().zip(rows[(at - used.start) * line..].chunks_exact(line)) {
            out.iter_mut().zip(row).for_each(|(o, v)| *o += weight * v);
        }
    });
    for (n, line) in out.chunks_exact(line).enumerate() {
        let y = taps[1].from + n;
        let (sums, colors) = line.split_at(wide);
        for (k, colors) in parts.iter().zip(colors.chunks_exact(wide)) {
            let c = &layout.color[*k];
            let row = &mut to.planes[c.plane].row(y)[c.offset + taps[0].from * c.step..];
            for ((v, sum), color) in row.iter_mut().step_by(c.step).zip(sums).zip(colors) {
                // Less than a thousandth of a step of alpha is nothing.
                if *sum > 1e-3 {
                    *v = (color / sum + 0.5) as u8;
                }
            }
        }
    }
    let Some(alpha) = alpha else { return };
    for (n, line) in out.chunks_exact(line).enumerate() {
        let row = &mut alpha[(taps[1].from + n) * to.width + taps[0].from..][..wide];
        let high = taps[1].at(n).2;
        for (x, (a, sum)) in row.iter_mut().zip(&line[..wide]).enumerate() {
            *a = (sum * high * taps[0].at(x).2 + 0.5) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canvas::place::{Anchor, Offset, Placing};
    use crate::frame::Format;
    use crate::frame::testing::{Picture, noise};

    fn placing(width: u32, height: u32, anchor: Anchor, scale: f64) -> Placing {
        Placing { width, height, anchor, scale, offset: Offset::default() }
    }

    fn placed(picture: &Picture, place: &Placing) -> (Picture, Vec<u8>) {
        let mut out = Picture::new(picture.format, place.width as usize, place.height as usize);
        let (mut alpha, mut resampler) = (Vec::new(), Resampler::default());
        let frame = picture.frame();
        let mapping = place.map([0.0, 0.0, picture.width as f64, picture.height as f64], 1.0);
        resampler.alpha_of(&frame);
        resampler.place(&frame, mapping, &mut out.frame_mut(), &mut alpha);
        (out, alpha)
    }

    #[test]
    fn as_it_was_where_nothing_is_to_be_done() {
        for format in [Format::A420, Format::Rgba, Format::Argb, Format::I420] {
            let picture = noise(format, 33, 21, 7);
            let (out, alpha) = placed(&picture, &placing(33, 21, Anchor::Center, 1.0));
            let layout = format.layout();
            let seen = Resampler::default().alpha_of(&picture.frame()).to_vec();
            assert_eq!(alpha, seen);
            for c in &layout.color[..layout.colors] {
                for (x, y) in (0..c.width(33)).flat_map(|x| (0..c.height(21)).map(move |y| (x, y))) {
                    let own = seen[(y << c.vsub) * 33 + (x << c.hsub)];
                    let (got, want) = (out.sample(c, x, y), picture.sample(c, x, y));
                    assert!(got == want || own == 0, "{format:?} {x},{y}: {got} {want}");
                }
            }
        }
    }

    /// By the definition, in double precision, pixel by pixel.
    fn plainly(
        picture: &Picture,
        k: usize,
        alpha: &[u8],
        m: Mapping,
        (x, y): (usize, usize),
    ) -> Option<(f64, f64)> {
        let (w, h) = (picture.width as i64, picture.height as i64);
        let weights = |n: usize, axis: usize, size: i64| -> Vec<(usize, f64)> {
            let radius = (1.0 / m.scale[axis]).max(1.0);
            let middle = (n as f64 + 0.5 - m.shift[axis]) / m.scale[axis];
            let near = (-3 - radius as i64)..(size + 3 + radius as i64);
            near.map(|i| {
                (i.clamp(0, size - 1) as usize, (1.0 - (i as f64 + 0.5 - middle).abs() / radius).max(0.0))
            })
            .filter(|t| t.1 > 0.0)
            .collect()
        };
        let (across, down) = (weights(x, 0, w), weights(y, 1, h));
        let (mut sum, mut color, mut all) = (0.0, 0.0, 0.0);
        for (v, b) in &down {
            for (u, a) in &across {
                let own = f64::from(alpha[v * w as usize + u]);
                let c = picture.format.layout().color[k];
                all += a * b;
                sum += a * b * own;
                color += a * b * own * f64::from(picture.sample(&c, *u, *v));
            }
        }
        (sum > 0.0).then(|| (color / sum, sum / all))
    }

    #[test]
    fn what_is_too_small_to_be_seen_takes_no_time() {
        for scale in [1e-9, 1e-18, f64::MIN_POSITIVE] {
            let picture = noise(Format::Rgba, 41, 30, 1);
            let (_, alpha) = placed(&picture, &placing(64, 40, Anchor::Center, scale));
            assert!(alpha.iter().all(|a| *a == 0));
        }
    }

    #[test]
    fn it_is_the_definition() {
        for (scale, seed) in [(0.35, 1), (0.8, 2), (2.3, 3)] {
            let picture = noise(Format::Rgba, 41, 30, seed);
            let place = placing(64, 40, Anchor::Center, scale);
            let (out, alpha) = placed(&picture, &place);
            let m = place.map([0.0, 0.0, 41.0, 30.0], 1.0);
            let own = Resampler::default().alpha_of(&picture.frame()).to_vec();
            let inside = |n: usize, axis: usize, size: f64| {
                let (left, right) = (m.shift[axis], m.shift[axis] + size * m.scale[axis]);
                n as f64 >= left && (n + 1) as f64 <= right
            };
            let mut held = 0;
            for (x, y) in (0..64).flat_map(|x| (0..40).map(move |y| (x, y))) {
                if !inside(x, 0, 41.0) || !inside(y, 1, 30.0) {
                    continue;
                }
                held += 1;
                for k in 0..3 {
                    let Some((color, sum)) = plainly(&picture, k, &own, m, (x, y)) else { continue };
                    let got = f64::from(out.sample(&picture.format.layout().color[k], x, y));
                    assert!((got - color).abs() <= 0.51 || sum < 0.01, "{scale} {x},{y}: {got} {color}");
                    assert!((f64::from(alpha[y * 64 + x]) - sum).abs() <= 0.51);
                }
            }
            assert!(held > 100, "{held}");
        }
    }

    #[test]
    fn hidden_colours_do_not_show_at_any_scale() {
        // A red disc whose hidden pixels are green and black.
        for format in [Format::Rgba, Format::A420] {
            let (w, h) = (160, 120);
            let mut picture = Picture::new(format, w, h);
            let color = picture.color;
            let of = |rgb: [u8; 3]| if format.is_yuv() { color.yuv(rgb) } else { rgb };
            let (red, green) = (of([200, 30, 30]), of([0, 255, 0]));
            let layout = format.layout();
            let mut frame = picture.frame_mut();
            let inside = |x: usize, y: usize| {
                let (x, y) = (x as f64 - 80.0, y as f64 - 60.0);
                (40.0 - (x * x + y * y).sqrt()).clamp(0.0, 1.0)
            };
            for (k, c) in layout.color.iter().enumerate() {
                for y in 0..c.height(h) {
                    for x in 0..c.width(w) {
                        let some = (0..2)
                            .any(|i| (0..2).any(|j| inside((x << c.hsub) + i, (y << c.vsub) + j) > 0.0));
                        let at = c.offset + x * c.step;
                        frame.planes[c.plane].row(y)[at] = if some { red[k] } else { green[k] };
                    }
                }
            }
            let a = layout.alpha.unwrap();
            for y in 0..h {
                for x in 0..w {
                    frame.planes[a.plane].row(y)[a.offset + x * a.step] = (255.0 * inside(x, y)) as u8;
                }
            }
            for scale in [0.13, 0.4, 1.0, 1.7] {
                let (out, alpha) = placed(&picture, &placing(200, 150, Anchor::Center, scale));
                for (k, c) in layout.color.iter().enumerate() {
                    for (x, y) in (0..200).flat_map(|x| (0..150).map(move |y| (x, y))) {
                        let got = out.sample(c, x >> c.hsub, y >> c.vsub);
                        let seen = alpha[y * 200 + x] > 0;
                        assert!(
                            !seen || got.abs_diff(red[k]) <= 1,
                            "{format:?} {scale} {x},{y}: {got} {}",
                            red[k]
                        );
                    }
                }
                assert!(alpha.contains(&255), "{scale}");
            }
        }
    }

    #[test]
    fn the_border_is_cut_where_it_lies() {
        let mut picture = Picture::new(Format::Rgba, 10, 10);
        picture.planes[0].0.fill(255);
        // Ten pixels as 25: from 37.5 to 62.5 across, to the bottom down.
        let (_, alpha) = placed(&picture, &placing(100, 50, Anchor::Bottom, 0.5));
        let row = |y: usize| &alpha[y * 100..][..100];
        assert_eq!(row(24)[50], 0);
        assert!(row(25)[50] == 255 && row(49)[50] == 255, "no seam at the canvas's edge");
        assert_eq!(
            (row(30)[36], row(30)[37], row(30)[38], row(30)[61], row(30)[62]),
            (0, 128, 255, 255, 128)
        );
    }
}
