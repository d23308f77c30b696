//! The foreground's colours carried outward under hidden pixels, a little way beyond the edge.
//!
//! Whoever scales a frame with straight alpha, or reads its chroma at half the resolution, mixes visible pixels with
//! their hidden neighbours: where these are black, the subject gets a dark rim. So the colours that the estimate gives
//! at the edge go on for a few pixels. They are means of visible pixels alone: a hidden pixel has no weight in them.

use rayon::prelude::*;

use super::{Foreground, Unmixed};
use crate::frame::{Component, HiddenColors};
use crate::refine::{blocks::runs, with_local};
use crate::simd::multiversion;

/// How far colours go at most, in pixels of a frame whose shorter side is 1080.
const MOST: f32 = 16.0;
/// And at least, in pairs of pixels: what scaling and the chroma of 4:2:0 mix in is near by in any size.
const LEAST: usize = 2;
/// Rows of the mask that one thread works on at a time.
const STRIP: usize = 32;

/// Where hidden pixels get colours.
#[derive(Debug, Default)]
pub(super) struct Outward {
    /// Half the side of the square that each visible pair of pixels spreads over, in pairs.
    radius: usize,
    /// Cells in which there may be such pixels.
    pub(super) cells: Vec<bool>,
    /// Not 0 for pairs of pixels, both ways, within reach of a visible one; known in `cells` alone.
    mask: Vec<u8>,
    grid_width: usize,
    grid_height: usize,
    /// Scratch for `cells`.
    visible: Vec<bool>,
}

impl Outward {
    pub(super) fn resize(&mut self, (w, h): (usize, usize), cells: usize) {
        // The square's corners are the farthest.
        let far = MOST * w.min(h) as f32 / 1080.0;
        self.radius = ((far / std::f32::consts::SQRT_2 / 2.0) as usize).max(LEAST);
        (self.grid_width, self.grid_height) = (w.div_ceil(2), h.div_ceil(2));
        self.mask.clear();
        self.mask.resize(self.grid_width * self.grid_height, 0);
        for v in [&mut self.cells, &mut self.visible] {
            v.clear();
            v.resize(cells, false);
        }
    }

    /// The mask under a row of a component, from its sample `x` on, which begins a pair.
    pub(super) fn row(&self, c: &Component, y: usize, x: usize) -> &[u8] {
        &self.mask[((y << c.vsub) / 2) * self.grid_width..][(x << c.hsub) / 2..self.grid_width]
    }
}

impl Foreground {
    /// Finds the cells with pixels that get colours; whether there are any. `band` is marked.
    pub(super) fn mark_outward(&mut self, width: usize, alpha: &[u8]) -> bool {
        let (side, grid_width, grid_height) =
            (self.side, self.levels[0].grid_width, self.levels[0].grid_height);
        let Outward { radius, cells, visible, .. } = &mut self.outward;
        let first = |cx: usize, cy: usize| alpha[cy * side * width + cx * side];
        for (cy, (seen, band)) in
            visible.chunks_exact_mut(grid_width).zip(self.band.chunks_exact(grid_width)).enumerate()
        {
            for (cx, (seen, &band)) in seen.iter_mut().zip(band).enumerate() {
                *seen = band || first(cx, cy) != 0;
            }
        }
        let reach = (2 * *radius + 1).div_ceil(side);
        cells.fill(false);
        for (cy, seen) in visible.chunks_exact(grid_width).enumerate() {
            for run in runs(seen) {
                let columns = run.start.saturating_sub(reach)..(run.end + reach).min(grid_width);
                for near in cy.saturating_sub(reach)..(cy + reach + 1).min(grid_height) {
                    cells[near * grid_width..][columns.clone()].fill(true);
                }
            }
        }
        // Cells that are visible throughout have no hidden pixels.
        for (cell, (&band, &seen)) in cells.iter_mut().zip(self.band.iter().zip(visible.iter())) {
            *cell &= band || !seen;
        }
        cells.contains(&true)
    }

    /// Finds the pixels within reach of visible ones, in the cells that were marked.
    pub(super) fn reach(&mut self, (width, height): (usize, usize), alpha: &[u8]) {
        let (side, cells_wide) = (self.side, self.levels[0].grid_width);
        let Outward { radius, cells, mask, grid_width, grid_height, .. } = &mut self.outward;
        let (radius, grid_width, grid_height, cells) = (*radius, *grid_width, *grid_height, &*cells);
        mask.par_chunks_mut(grid_width * STRIP).enumerate().for_each(|(strip, out)| {
            let rows = out.len() / grid_width;
            let first = strip * STRIP;
            let of = |y: usize| 2 * y / side;
            let here =
                cells[of(first) * cells_wide..(of(first + rows - 1) + 1) * cells_wide].chunks(cells_wide);
            let columns = here.flat_map(runs).fold(cells_wide..0, |all: std::ops::Range<usize>, run| {
                all.start.min(run.start)..all.end.max(run.end)
            });
            if columns.is_empty() {
                return;
            }
            // What is looked at reaches farther than what is found.
            let (x0, x1) = (columns.start * side / 2, (columns.end * side / 2).min(grid_width));
            let (from, to) = (x0.saturating_sub(radius), (x1 + radius).min(grid_width));
            let n = x1 - x0;
            with_local(|l| {
                let [tile, other, line] = &mut l.bytes;
                let all = rows + 2 * radius;
                tile.clear();
                tile.resize(all * n, 0);
                for (near, row) in tile.chunks_exact_mut(n).enumerate() {
                    // Beyond the frame nothing is visible.
                    let Some(y) = (first + near).checked_sub(radius).filter(|y| *y < grid_height) else {
                        continue;
                    };
                    let of = |y: usize| &alpha[y.min(height - 1) * width..][2 * from..(2 * to).min(width)];
                    line.clear();
                    line.resize(n + 2 * radius, 0);
                    largest_of_four(of(2 * y), of(2 * y + 1), &mut line[radius - (x0 - from)..][..to - from]);
                    window(line, other, 1, 2 * radius + 1);
                    row.copy_from_slice(&line[..n]);
                }
                window(tile, other, n, 2 * radius + 1);
                for (row, found) in out.chunks_exact_mut(grid_width).zip(tile.chunks_exact(n)) {
                    row[x0..x1].copy_from_slice(found);
                }
            });
        });
    }

    /// The reference that [`Foreground::reach`] is held against.
    #[cfg(test)]
    fn reach_plainly(&self, (width, height): (usize, usize), alpha: &[u8]) -> Vec<bool> {
        let Outward { radius, grid_width, grid_height, .. } = self.outward;
        let seen = |x: usize, y: usize| {
            let pixels = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(dx, dy)| (2 * x + dx, 2 * y + dy));
            pixels.iter().any(|(x, y)| *x < width && *y < height && alpha[y * width + x] != 0)
        };
        let near = |v: usize, most: usize| v.saturating_sub(radius)..(v + radius + 1).min(most);
        (0..grid_width * grid_height)
            .map(|i| {
                near(i / grid_width, grid_height)
                    .any(|y| near(i % grid_width, grid_width).any(|x| seen(x, y)))
            })
            .collect()
    }
}

impl HiddenColors for Unmixed<'_> {
    fn row<'a>(&'a self, c: &Component, y: usize, alpha: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
        let Some(foreground) = self.foreground.filter(|_| self.mix.outward) else { return alpha };
        let found = foreground.cells_of(&self.mix, c.plane, y);
        let Some((_, cells)) = found.filter(|(_, cells)| cells.contains(&true)) else { return alpha };
        scratch.clear();
        scratch.extend_from_slice(alpha);
        let (across, width) =
            ((foreground.side >> c.hsub).max(1) * c.step, c.width(self.mix.size.0) * c.step);
        for run in runs(cells) {
            let (x0, x1) = (run.start * across, (run.end * across).min(width));
            let mask = foreground.outward.row(c, y, x0 / c.step);
            match (c.step, c.hsub) {
                (1, 0) => show_pairs(&mut scratch[x0..x1], mask),
                (1, _) => show(&mut scratch[x0..x1], mask),
                (step, hsub) => {
                    for (i, pixel) in scratch[x0..x1].chunks_mut(step).enumerate() {
                        pixel.iter_mut().for_each(|v| *v |= mask[(i << hsub) / 2]);
                    }
                }
            }
        }
        scratch
    }
}

multiversion! {
    fn show(alpha: &mut [u8], mask: &[u8]) {
        for (a, &m) in alpha.iter_mut().zip(mask) {
            *a |= m;
        }
    }
}

multiversion! {
    /// As [`show`], with a mask of pairs.
    fn show_pairs(alpha: &mut [u8], mask: &[u8]) {
        let (pairs, last) = alpha.as_chunks_mut::<2>();
        for (a, &m) in pairs.iter_mut().zip(mask) {
            *a = (u16::from_ne_bytes(*a) | (u16::from(m) * 0x101)).to_ne_bytes();
        }
        if let ([a], Some(m)) = (last, mask.get(pairs.len())) {
            *a |= m;
        }
    }
}

multiversion! {
    /// The largest of two by two values; of an odd row's last pair there is one.
    fn largest_of_four(top: &[u8], bottom: &[u8], out: &mut [u8]) {
        let (t, b) = (top.chunks_exact(2), bottom.chunks_exact(2));
        if let (Some(out), [t], [b]) = (out.last_mut(), t.remainder(), b.remainder()) {
            *out = *t.max(b);
        }
        for ((o, t), b) in out.iter_mut().zip(t).zip(b) {
            *o = t[0].max(t[1]).max(b[0].max(b[1]));
        }
    }
}

/// `data[i]` becomes the largest of `count` values from it on, each `step` after the other; what has fewer behind it is
/// left undefined. `other` is scratch, as long as `data`.
fn window(data: &mut Vec<u8>, other: &mut Vec<u8>, step: usize, count: usize) {
    other.resize(other.len().max(data.len()), 0);
    let (mut have, mut long) = (1, data.len());
    while have < count {
        let more = have.min(count - have);
        long -= more * step;
        larger(&data[..long], &data[more * step..][..long], &mut other[..long]);
        std::mem::swap(data, other);
        have += more;
    }
}

multiversion! {
    fn larger(a: &[u8], b: &[u8], out: &mut [u8]) {
        for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *o = a.max(b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::{black, transparent};
    use crate::frame::Format;
    use crate::frame::testing::{Picture, noise};
    use crate::refine::Colors;

    const SIZES: [(usize, usize); 8] =
        [(1, 1), (2, 1), (1, 37), (33, 47), (203, 151), (64, 48), (301, 240), (960, 540)];

    /// Mattes of pieces: hard, soft, along the cells and across them, and of single pixels.
    fn mattes(w: usize, h: usize) -> Vec<Vec<u8>> {
        let of = |f: &dyn Fn(usize, usize) -> u8| (0..w * h).map(|i| f(i % w, i / w)).collect::<Vec<u8>>();
        vec![
            of(&|x, _| if x >= w / 2 { 255 } else { 0 }),
            of(&|x, y| if (16..32).contains(&x) && (16..32).contains(&y) { 255 } else { 0 }),
            of(&|x, y| {
                let far = (x as f32 - w as f32 / 2.0).hypot(y as f32 - h as f32 / 2.0);
                ((h as f32 / 4.0 - far) * 30.0).clamp(0.0, 255.0) as u8
            }),
            of(&|x, y| if (x * 7919 + y * 104_729).is_multiple_of(997) { 9 } else { 0 }),
            of(&|_, _| 255),
            of(&|_, _| 0),
        ]
    }

    #[test]
    fn reach_is_as_the_definition() {
        for (w, h) in SIZES {
            for alpha in mattes(w, h) {
                let picture = noise(Format::I420, w, h, 2);
                let mut f = Foreground::new();
                f.prepare(&picture.frame(), &alpha, Colors::All, true);
                let want = f.reach_plainly((w, h), &alpha);
                for (i, want) in want.into_iter().enumerate() {
                    let (x, y) = (i % f.outward.grid_width, i / f.outward.grid_width);
                    let cell = 2 * y / f.side * f.levels[0].grid_width + 2 * x / f.side;
                    let pixels = (2 * y..2 * y + 2).flat_map(|y| (2 * x..2 * x + 2).map(move |x| (x, y)));
                    let mut hidden = pixels.filter(|(x, y)| *x < w && *y < h);
                    if f.outward.cells[cell] {
                        assert_eq!(f.outward.mask[i] != 0, want, "{w}x{h} {x},{y}");
                    } else if hidden.any(|(x, y)| alpha[y * w + x] == 0) {
                        assert!(!want, "{w}x{h} {x},{y}: a cell is not marked");
                    }
                }
            }
        }
    }

    fn cut_out(picture: &Picture, alpha: &[u8], colors: Colors) -> Picture {
        let (mut out, mut f) = (noise(picture.format, picture.width, picture.height, 9), Foreground::new());
        let frame = picture.frame();
        let own = f.prepare(&frame, alpha, colors, true);
        transparent(&own, &own, &mut out.frame_mut(), alpha);
        out
    }

    /// Samples that only hidden pixels share.
    fn hidden<'a>(
        c: &'a crate::frame::Component,
        alpha: &'a [u8],
        (w, h): (usize, usize),
    ) -> impl Iterator<Item = (usize, usize)> + 'a {
        let all = (0..c.height(h)).flat_map(move |y| (0..c.width(w)).map(move |x| (x, y)));
        all.filter(move |(x, y)| {
            let (mut ys, xs) =
                ((y << c.vsub)..((y + 1) << c.vsub).min(h), (x << c.hsub)..((x + 1) << c.hsub).min(w));
            ys.all(|y| xs.clone().all(|x| alpha[y * w + x] == 0))
        })
    }

    /// What hidden pixels were is nowhere in what they become.
    #[test]
    fn what_is_carried_comes_from_visible_pixels_alone() {
        for format in Format::ALL.into_iter().filter(|f| f.has_alpha()) {
            for (w, h) in SIZES.into_iter().filter(|s| s.0 < 300) {
                for (n, alpha) in mattes(w, h).into_iter().enumerate() {
                    let first = noise(format, w, h, 3);
                    let mut second = noise(format, w, h, 4);
                    let layout = format.layout();
                    for c in &layout.color {
                        let gone: std::collections::HashSet<_> = hidden(c, &alpha, (w, h)).collect();
                        for y in 0..c.height(h) {
                            for x in (0..c.width(w)).filter(|x| !gone.contains(&(*x, y))) {
                                let at = |stride: usize| y * stride + c.offset + x * c.step;
                                let (from, stride) = &first.planes[c.plane];
                                let v = from[at(*stride)];
                                let (to, stride) = &mut second.planes[c.plane];
                                to[at(*stride)] = v;
                            }
                        }
                    }
                    for colors in [Colors::All, Colors::Shared, Colors::Faded] {
                        let [a, b] = [&first, &second].map(|p| cut_out(p, &alpha, colors));
                        for c in &layout.color {
                            for (x, y) in hidden(c, &alpha, (w, h)) {
                                let [a, b] = [&a, &b].map(|p| p.sample(c, x, y));
                                assert_eq!(a, b, "{format:?} {w}x{h} matte {n} {x},{y}");
                            }
                        }
                    }
                }
            }
        }
    }

    /// One colour goes on beyond a hard edge, for 16 pixels of 1080 at most; there is black beyond.
    #[test]
    fn colours_go_on_and_end() {
        for format in Format::ALL.into_iter().filter(|f| f.has_alpha()) {
            for (w, h) in [(301, 240), (960, 540), (1080, 1081)] {
                let (mut picture, subject) = (noise(format, w, h, 7), [200, 60, 40]);
                let far = |x: usize, y: usize| {
                    (x as f32 - w as f32 / 2.0).hypot(y as f32 - h as f32 / 2.0) - h as f32 / 4.0
                };
                let alpha: Vec<u8> = (0..w * h).map(|i| u8::from(far(i % w, i / w) <= 0.0) * 255).collect();
                let layout = format.layout();
                for (c, v) in layout.color.iter().zip(subject) {
                    let (data, stride) = &mut picture.planes[c.plane];
                    for y in 0..c.height(h) {
                        for x in 0..c.width(w) {
                            if far(x << c.hsub, y << c.vsub) <= 3.0 {
                                data[y * *stride + c.offset + x * c.step] = v;
                            }
                        }
                    }
                }
                let black = black(&picture.frame_mut());
                let out = cut_out(&picture, &alpha, Colors::All);
                let most = MOST * w.min(h) as f32 / 1080.0;
                let mut carried = 0;
                for (c, (v, black)) in layout.color.iter().zip(subject.into_iter().zip(black)) {
                    for (x, y) in hidden(c, &alpha, (w, h)) {
                        let (far, got) = (far(x << c.hsub, y << c.vsub), out.sample(c, x, y));
                        let is = |v: u8| got.abs_diff(v) <= 1;
                        assert!(is(v) || got == black, "{format:?} {w}x{h} {x},{y}: {got}");
                        if far < 2.0 || far < most * 0.5 {
                            assert!(is(v), "{format:?} {w}x{h} {x},{y}: {got}, {far} pixels off");
                            carried += 1;
                        } else if far > most.max(7.1) + 1.0 {
                            assert_eq!(got, black, "{format:?} {w}x{h} {x},{y}, {far} pixels off");
                        }
                    }
                }
                assert!(carried > w, "{format:?} {w}x{h}: {carried}");
            }
        }
    }
}
