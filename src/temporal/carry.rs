//! A mask carried to a later frame: where no inference has been made, the newest mask there is follows the picture.
//!
//! From frame to frame each cell of the picture looks for itself in the frame before. The steps add up to the way
//! back to the frame that a mask belongs to, and the mask is fetched once, at the end of that way, so that nothing
//! blurs however old it gets. What was not found (it has been uncovered, or is new) is in doubt: there the mask
//! becomes grey, and refinement decides by colour.

use rayon::prelude::*;

use super::field::fetch;
use super::motion::{self, Motion};
use super::view::{Chroma, Pair, View, pairs};
use super::{luma_scale, readable};
use crate::frame::Frame;
use crate::morphology::{dilate, erode, quantise};

/// Side of a block in samples of the luma that motion is looked for in.
const BLOCK: usize = 16;
/// Side of a cell, which chooses among the motions of the blocks around it.
const CELL: usize = 4;
/// A cell is compared with this many samples around it at each side.
const MARGIN: usize = 2;
/// Side of what is compared.
const PATCH: usize = CELL + 2 * MARGIN;
// What the sums are made for.
const _: () = assert!(PATCH == 8);
/// Mean difference of luma (0..255) up to which a cell has been found.
const FOUND: u32 = 5;
/// Mean difference of luma from which on it has not.
const LOST: u32 = 16;
/// How grey the mask becomes where nothing was found, near an edge of it.
const GREY: f32 = 0.6;
/// How near that is, in samples of the mask.
const NEAR: usize = 6;
/// Mean difference of a chroma plane that makes it another colour.
const OTHER_CHROMA: u32 = 4;
/// Frames that can wait for their mask at the same time.
const TRACKS: usize = 4;

/// The way from each cell of the newest frame back to an earlier frame.
#[derive(Debug)]
struct Track {
    number: u64,
    /// In quarter samples of luma.
    way: Vec<[i16; 2]>,
    /// 0 found all along, 255 lost.
    doubt: Vec<u8>,
}

/// Carries masks along the motion of the picture. [`Carrier::advance`] takes each frame in turn, [`Carrier::mark`]
/// begins the way from the newest one, [`Carrier::carry`] brings its mask to the frame that is the newest then.
#[derive(Debug, Default)]
pub struct Carrier {
    width: usize,
    height: usize,
    /// Frame pixels in a sample of luma, across; samples; cells.
    scale: usize,
    luma: [usize; 2],
    cells: [usize; 2],
    now: View,
    before: View,
    motion: Vec<Motion>,
    motion_before: Vec<Motion>,
    /// The last step of each cell, and how surely it is known.
    step: Vec<[i16; 2]>,
    doubt: Vec<u8>,
    tracks: Vec<Track>,
    spare: Vec<Track>,
    started: bool,
}

impl Carrier {
    /// Has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all frames: after a cut, a seek or a gap.
    pub fn reset(&mut self) {
        self.started = false;
        self.spare.append(&mut self.tracks);
    }

    /// Takes in the next frame.
    pub fn advance(&mut self, frame: &Frame<'_>) {
        if !readable(frame) {
            return self.reset();
        }
        if (self.width, self.height) != (frame.width, frame.height) {
            self.resize(frame.width, frame.height);
        }
        std::mem::swap(&mut self.now, &mut self.before);
        std::mem::swap(&mut self.motion, &mut self.motion_before);
        self.now.update(frame, self.scale);
        if !std::mem::replace(&mut self.started, true) {
            self.motion.fill(Motion::default());
            return;
        }
        if self.tracks.is_empty() {
            // Nobody asks; the next search starts from nothing.
            self.motion.fill(Motion::default());
            return;
        }
        self.search();
        self.choose();
        for track in &mut self.tracks {
            lengthen(track, &mut self.spare, &self.step, &self.doubt, self.cells);
        }
    }

    /// The newest frame will get a mask: keeps the way back to it from now on. The oldest mark is given up when
    /// there are too many.
    pub fn mark(&mut self, number: u64) {
        if !self.started {
            return;
        }
        if self.tracks.len() == TRACKS {
            let oldest = self.tracks.remove(0);
            self.spare.push(oldest);
        }
        let n = self.cells[0] * self.cells[1];
        let mut track = self.spare.pop().unwrap_or(Track { number, way: Vec::new(), doubt: Vec::new() });
        track.number = number;
        track.way.clear();
        track.way.resize(n, [0; 2]);
        track.doubt.clear();
        track.doubt.resize(n, 0);
        self.tracks.push(track);
    }

    /// Whether the way back to a frame is known.
    pub fn knows(&self, number: u64) -> bool {
        self.tracks.iter().any(|t| t.number == number)
    }

    /// Forgets the ways to frames of which `keep` does not say so.
    pub fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        while let Some(at) = self.tracks.iter().position(|t| !keep(t.number)) {
            let old = self.tracks.remove(at);
            self.spare.push(old);
        }
    }

    /// The mask of frame `number` (0..1, `w · h`, spanning the frame) as it looks on the newest frame. Without a
    /// known way it is taken as it is.
    pub fn carry(&self, number: u64, mask: &[f32], w: usize, h: usize, out: &mut Vec<f32>) {
        out.clear();
        let track = self.tracks.iter().find(|t| t.number == number);
        let (Some(track), true) = (track, w > 0 && h > 0 && w.checked_mul(h) == Some(mask.len())) else {
            return out.extend_from_slice(mask);
        };
        out.resize(mask.len(), 0.0);
        let [lw, lh] = self.luma.map(|n| n as f32);
        // Samples of the mask in a quarter sample of luma.
        let (kx, ky) = (w as f32 / lw / 4.0, h as f32 / lh / 4.0);
        let cell =
            |u: usize, n: usize, l: usize, cells: usize| ((2 * u + 1) * l / (2 * n) / CELL).min(cells - 1);
        let columns: Vec<usize> = (0..w).map(|u| cell(u, w, self.luma[0], self.cells[0])).collect();
        out.par_chunks_mut(w * 8).enumerate().for_each(|(part, rows)| {
            for (dv, row) in rows.chunks_exact_mut(w).enumerate() {
                let v = part * 8 + dv;
                let line = cell(v, h, self.luma[1], self.cells[1]) * self.cells[0];
                for (u, (o, column)) in row.iter_mut().zip(&columns).enumerate() {
                    let [dx, dy] = track.way[line + column];
                    let m = if dx == 0 && dy == 0 {
                        mask[v * w + u]
                    } else {
                        fetch(mask, w, h, u as f32 + f32::from(dx) * kx, v as f32 + f32::from(dy) * ky)
                    };
                    *o = m;
                }
            }
        });
        let contrast = contrast(out, w);
        out.par_chunks_mut(w * 8).enumerate().for_each(|(part, rows)| {
            for (dv, row) in rows.chunks_exact_mut(w).enumerate() {
                let v = part * 8 + dv;
                let line = cell(v, h, self.luma[1], self.cells[1]) * self.cells[0];
                for ((m, column), contrast) in row.iter_mut().zip(&columns).zip(&contrast[v * w..]) {
                    let doubt = f32::from(track.doubt[line + column]) * f32::from(*contrast);
                    *m += (0.5 - *m) * (GREY / (255.0 * 255.0) * doubt);
                }
            }
        });
    }

    fn resize(&mut self, w: usize, h: usize) {
        self.reset();
        self.spare.clear();
        (self.width, self.height, self.scale) = (w, h, luma_scale(w, h));
        self.luma = [w.div_ceil(self.scale), h.div_ceil(self.scale)];
        self.cells = self.luma.map(|n| n.div_ceil(CELL));
        let blocks = self.luma.map(|n| n.div_ceil(BLOCK)).iter().product();
        for v in [&mut self.motion, &mut self.motion_before] {
            v.clear();
            v.resize(blocks, Motion::default());
        }
        self.step.clear();
        self.step.resize(self.cells[0] * self.cells[1], [0; 2]);
        self.doubt.clear();
        self.doubt.resize(self.cells[0] * self.cells[1], 0);
    }

    /// The motion of each block.
    fn search(&mut self) {
        let [lw, lh] = self.luma;
        let grid_width = lw.div_ceil(BLOCK);
        let (luma, chroma) = pairs(&self.now, &self.before);
        let was = &self.motion_before;
        self.motion.par_chunks_mut(grid_width).enumerate().for_each(|(by, motion)| {
            let mut last = Motion::default();
            for (bx, motion) in motion.iter_mut().enumerate() {
                let (x, y) = (bx * BLOCK, by * BLOCK);
                let area = [x, y, BLOCK.min(lw - x), BLOCK.min(lh - y)];
                let at = by * grid_width + bx;
                let seeds = motion::seeds(was, at, grid_width, last);
                last = motion::search(luma, &[], area, &seeds);
                // Where luma fits and chroma does not, chroma is what tells things apart.
                if motion::differs(chroma.all(), area, last, OTHER_CHROMA) {
                    last = motion::search(luma, chroma.all(), area, &seeds);
                }
                *motion = last;
            }
        });
    }

    /// Of the motions of its block and those around, each cell takes the one that fits it best.
    fn choose(&mut self) {
        let ([lw, lh], [cw, ch]) = (self.luma, self.cells);
        let (grid_width, grid_height) = (lw.div_ceil(BLOCK), lh.div_ceil(BLOCK));
        let ((luma, chroma), motion) = (pairs(&self.now, &self.before), &self.motion);
        // Samples that a difference is summed over, those of chroma by what they count.
        let samples =
            PATCH * PATCH + chroma.all().len() * motion::CHROMA_WEIGHT as usize * (PATCH / 2).pow(2);
        let weight = samples as u32;
        let rows = self.step.par_chunks_mut(cw).zip(self.doubt.par_chunks_mut(cw));
        rows.enumerate().for_each(|(cy, (step, doubt))| {
            let by = cy * CELL / BLOCK;
            let top = (cy * CELL).saturating_sub(MARGIN).min(lh.saturating_sub(PATCH));
            for (cx, (step, doubt)) in step.iter_mut().zip(doubt).enumerate() {
                let bx = cx * CELL / BLOCK;
                let left = (cx * CELL).saturating_sub(MARGIN).min(lw.saturating_sub(PATCH));
                let own = motion[by * grid_width + bx];
                // As above: most cells need no look at chroma but this one.
                let area = [left, top, PATCH.min(lw), PATCH.min(lh)];
                let uses_chroma = motion::differs(chroma.all(), area, own, OTHER_CHROMA);
                let cost = |m: Motion| -> u32 { difference(luma, chroma, uses_chroma, left, top, m) };
                let mut best = (cost(own), own);
                // The blocks that the cell is near to, and standing still.
                let side = |c: usize, b: usize, n: usize| match c % (BLOCK / CELL) {
                    0 | 1 => b.saturating_sub(1),
                    _ => (b + 1).min(n - 1),
                };
                let (sx, sy) = (side(cx, bx, grid_width), side(cy, by, grid_height.min(ch)));
                let others = [
                    motion[by * grid_width + sx],
                    motion[sy * grid_width + bx],
                    motion[sy * grid_width + sx],
                    Motion::default(),
                ];
                for m in others {
                    if m != best.1 && best.0 > 0 {
                        let c = cost(m);
                        // A gain that is noise is none.
                        if c + 32 < best.0 {
                            best = (c, m);
                        }
                    }
                }
                *step = [best.1.x, best.1.y];
                let mean = best.0 / if uses_chroma { weight } else { (PATCH * PATCH) as u32 };
                *doubt = ((mean.clamp(FOUND, LOST) - FOUND) * 255 / (LOST - FOUND)) as u8;
            }
        });
    }
}

/// One more step: the way from the newest frame is the last step and the way from where that leads.
fn lengthen(track: &mut Track, spare: &mut Vec<Track>, step: &[[i16; 2]], doubt: &[u8], cells: [usize; 2]) {
    let mut next = spare.pop().unwrap_or(Track { number: 0, way: Vec::new(), doubt: Vec::new() });
    next.number = track.number;
    let n = cells[0] * cells[1];
    next.way.resize(n, [0; 2]);
    next.doubt.resize(n, 0);
    let unit = 4 * CELL as i32;
    for cy in 0..cells[1] {
        for cx in 0..cells[0] {
            let at = cy * cells[0] + cx;
            let [dx, dy] = step[at];
            let place = |c: usize, d: i16, n: usize| -> usize {
                let to = c as i32 * unit + unit / 2 + i32::from(d);
                to.div_euclid(unit).clamp(0, n as i32 - 1) as usize
            };
            let from = place(cy, dy, cells[1]) * cells[0] + place(cx, dx, cells[0]);
            let [wx, wy] = track.way[from];
            next.way[at] = [wx.saturating_add(dx), wy.saturating_add(dy)];
            next.doubt[at] = doubt[at].max(track.doubt[from]);
        }
    }
    std::mem::swap(track, &mut next);
    spare.push(next);
}

/// The sum of absolute differences between a patch and where it was, in luma, and in chroma if it counts.
fn difference(
    luma: Pair<'_>,
    chroma: Chroma<'_>,
    uses_chroma: bool,
    left: usize,
    top: usize,
    m: Motion,
) -> u32 {
    let (now, before) = luma;
    let sum = patch_difference::<PATCH>(now.data, before.data, now.width, now.height, left, top, m);
    if !uses_chroma {
        return sum;
    }
    let half = Motion { x: m.x / 2, y: m.y / 2 };
    let chroma = chroma.all().iter().map(|(now, before)| {
        let (w, h) = (now.width, now.height);
        let [x, y] = [(left / 2, w), (top / 2, h)].map(|(at, n)| at.min(n.saturating_sub(PATCH / 2)));
        patch_difference::<{ PATCH / 2 }>(now.data, before.data, w, h, x, y, half)
    });
    sum + motion::CHROMA_WEIGHT * chroma.sum::<u32>()
}

/// The sum of absolute differences between a patch of `SIDE²`, which is [`PATCH`] or half of it, and where it was, to the
/// nearest sample; beyond the frame it is compared with the frame's edge.
fn patch_difference<const SIDE: usize>(
    now: &[u8],
    before: &[u8],
    lw: usize,
    lh: usize,
    left: usize,
    top: usize,
    m: Motion,
) -> u32 {
    if lw < SIDE || lh < SIDE {
        return 0;
    }
    let (x, y) = (left as i32 + i32::from((m.x + 2) >> 2), top as i32 + i32::from((m.y + 2) >> 2));
    if x < 0 || y < 0 || x as usize + SIDE > lw || y as usize + SIDE > lh {
        let at = |v: i32, n: usize| v.clamp(0, n as i32 - 1) as usize;
        return (0..SIDE * SIDE)
            .map(|i| {
                let (dx, dy) = (i % SIDE, i / SIDE);
                let here = now[(top + dy) * lw + left + dx];
                u32::from(here.abs_diff(before[at(y + dy as i32, lh) * lw + at(x + dx as i32, lw)]))
            })
            .sum();
    }
    let (now, before) = (&now[top * lw + left..], &before[y as usize * lw + x as usize..]);
    let size = (SIDE, SIDE, lw);
    if SIDE == PATCH { motion::sad_8(now, before, size) } else { motion::sad_4(now, before, size) }
}

/// The difference of the largest and the smallest value within [`NEAR`] samples, 0..255.
fn contrast(mask: &[f32], w: usize) -> Vec<u8> {
    let mut bytes = vec![0; mask.len()];
    quantise(mask, &mut bytes);
    let buffers = || (vec![0; mask.len()], vec![0; mask.len()]);
    let (mut high, low) = rayon::join(
        || {
            let (mut to, mut tmp) = buffers();
            dilate(&bytes, w, NEAR, &mut to, &mut tmp);
            to
        },
        || {
            let (mut to, mut tmp) = buffers();
            erode(&bytes, w, NEAR, &mut to, &mut tmp);
            to
        },
    );
    high.iter_mut().zip(&low).for_each(|(h, l)| *h -= l);
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Format, testing::Picture};

    /// A textured disc over a textured ground, and its mask at an eighth of the size.
    fn scene(w: usize, h: usize, x: f32, y: f32) -> (Picture, Vec<f32>) {
        let mut p = Picture::new(Format::I420, w, h);
        let (data, stride) = &mut p.planes[0];
        let wave = |x: f32, y: f32, k: f32| ((x * 0.23 * k).sin() + (y * 0.19 * k + x * 0.07).sin()) * 25.0;
        let inside = |px: f32, py: f32| (60.5 - (px - x).hypot(py - y)).clamp(0.0, 1.0);
        for v in 0..h {
            for u in 0..w {
                let (px, py) = (u as f32, v as f32);
                let a = inside(px, py);
                let subject = 170.0 + wave(px - x, py - y, 1.0);
                let ground = 80.0 + wave(px, py, 0.7);
                data[v * *stride + u] = (ground + (subject - ground) * a) as u8;
            }
        }
        let mask = (0..w / 8 * (h / 8))
            .map(|i| inside((i % (w / 8) * 8 + 4) as f32, (i / (w / 8) * 8 + 4) as f32))
            .collect();
        (p, mask)
    }

    /// The samples that are on the wrong side; those in doubt may be grey.
    fn wrong(a: &[f32], b: &[f32]) -> usize {
        a.iter().zip(b).filter(|(a, b)| (**a > 0.5) != (**b > 0.5)).count()
    }

    #[test]
    fn a_mask_follows_a_disc() {
        for (w, h) in [(640, 360), (1280, 720)] {
            let mut carrier = Carrier::new();
            let (first, mask) = scene(w, h, 150.0, 160.0);
            carrier.advance(&first.frame());
            carrier.mark(0);
            let mut out = Vec::new();
            for n in 1..=6 {
                let (frame, truth) = scene(w, h, 150.0 + 9.0 * n as f32, 160.0 + 3.0 * n as f32);
                carrier.advance(&frame.frame());
                carrier.carry(0, &mask, w / 8, h / 8, &mut out);
                let (carried, left) = (wrong(&out, &truth), wrong(&mask, &truth));
                assert!(4 * carried <= left + 4, "{w}×{h}, age {n}: {carried} carried, {left} left");
            }
        }
    }

    #[test]
    fn a_mask_follows_a_disc_that_is_as_bright_as_the_ground() {
        let (w, h) = (1280, 720);
        for plane in [1, 2] {
            // Luma, and one of the chroma planes, are the same everywhere; in the other the disc and the ground differ.
            let coloured = |x: f32, y: f32| {
                let (bright, mask) = scene(w, h, x, y);
                let mut p = Picture::new(Format::I420, w, h);
                p.planes.iter_mut().for_each(|(data, _)| data.fill(110));
                let (data, stride) = &mut p.planes[plane];
                for v in 0..h / 2 {
                    for u in 0..w / 2 {
                        data[v * *stride + u] = bright.planes[0].0[2 * v * bright.planes[0].1 + 2 * u];
                    }
                }
                (p, mask)
            };
            let mut carrier = Carrier::new();
            let (first, mask) = coloured(150.0, 160.0);
            carrier.advance(&first.frame());
            carrier.mark(0);
            let mut out = Vec::new();
            for n in 1..=6 {
                let (frame, truth) = coloured(150.0 + 9.0 * n as f32, 160.0 + 3.0 * n as f32);
                carrier.advance(&frame.frame());
                carrier.carry(0, &mask, w / 8, h / 8, &mut out);
                let (carried, left) = (wrong(&out, &truth), wrong(&mask, &truth));
                assert!(3 * carried <= left + 4, "plane {plane}, age {n}: {carried} carried, {left} left");
            }
        }
    }

    #[test]
    fn what_stands_still_stays_as_it_is() {
        let (frame, mask) = scene(640, 360, 300.0, 180.0);
        let mut carrier = Carrier::new();
        carrier.advance(&frame.frame());
        carrier.mark(7);
        for _ in 0..5 {
            carrier.advance(&frame.frame());
        }
        let mut out = Vec::new();
        carrier.carry(7, &mask, 80, 45, &mut out);
        assert_eq!(out, mask);
    }

    #[test]
    fn unknown_ways_and_odd_sizes_are_survived() {
        let mut carrier = Carrier::new();
        let mut out = Vec::new();
        carrier.carry(0, &[0.25; 6], 3, 2, &mut out);
        assert_eq!(out, [0.25; 6]);
        for (w, h) in [(16, 16), (1, 1), (17, 1), (33, 47), (640, 3)] {
            let p = Picture::new(Format::Rgba, w, h);
            carrier.advance(&p.frame());
            carrier.mark(1);
            carrier.advance(&p.frame());
            carrier.carry(1, &[0.5; 6], 3, 2, &mut out);
            assert_eq!(out, [0.5; 6], "{w}×{h}");
            carrier.carry(1, &[0.5; 6], 3, 3, &mut out);
            assert_eq!(out, [0.5; 6], "a mask that does not hold what its size says");
        }
    }

    #[test]
    fn too_many_marks_drop_the_oldest() {
        let p = Picture::new(Format::I420, 64, 48);
        let mut carrier = Carrier::new();
        for n in 0..10 {
            carrier.advance(&p.frame());
            carrier.mark(n);
        }
        assert!(!carrier.knows(5) && carrier.knows(6) && carrier.knows(9));
        carrier.retain(|n| n >= 8);
        assert!(!carrier.knows(7) && carrier.knows(8));
    }
}
