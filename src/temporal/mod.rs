//! From frame to frame: a matte that neither shimmers where the scene stands still nor drags where it moves.
//!
//! Each block of the matte's band looks for itself in the frame before ([`motion`]), and blends with the matte it
//! had there as far as the picture agrees, pixel by pixel, that it is the same thing. Where the picture agrees but
//! the matte jumps between foreground and background, the jump waits two frames for confirmation, so that a hand
//! does not blink out and back.

mod cut;
mod motion;

pub use cut::CutDetector;

use rayon::prelude::*;

use crate::frame::{Component, Frame};
use crate::simd::multiversion;
use motion::{Grey, Motion};

/// Side of a block in samples of the luma that motion is looked for in.
const BLOCK: usize = 16;
/// Difference of luma (0..255, a mean of nine samples) up to which the picture is the same, and from which it is
/// not.
const SAME: i32 = 3;
const OTHER: i32 = 7;
/// Change of alpha (0..255) that waits for confirmation, and frames that it waits.
const JUMP: i32 = 100;
const WAIT: u8 = 2;
/// The weight of the past that moves, against the past that stands still: motion is known to a fraction of a
/// pixel only.
const MOVING: f32 = 0.6;

/// Smooths mattes over time. One per stream; [`Smoother::reset`] after a seek, a cut or a gap.
#[derive(Debug, Default)]
pub struct Smoother {
    width: usize,
    height: usize,
    scale: usize,
    /// Luma of this frame and the last, at `1 / scale` of the frame.
    now: Vec<u8>,
    before: Vec<u8>,
    /// The matte as it went out.
    alpha: Vec<u8>,
    /// For how many frames a jump has waited, by pixel.
    waiting: Vec<u8>,
    /// Blocks in which something waits.
    waits: Vec<bool>,
    motion: Vec<Motion>,
    motion_before: Vec<Motion>,
    started: bool,
}

impl Smoother {
    /// Has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the past; the next matte goes out as it comes.
    pub fn reset(&mut self) {
        self.started = false;
    }

    /// Smooths `alpha` (tight rows of the frame's size) in place. `strength` runs from 0, off, to 1; the past's
    /// weight where nothing moves is 1 − (1 − strength)², so that the noise of the matte falls to about 0.3 at
    /// 0.6. A size that changes resets; an `alpha` of another size than the frame is left alone.
    pub fn apply(&mut self, frame: &Frame<'_>, alpha: &mut [u8], strength: f32) {
        let (w, h) = (frame.width, frame.height);
        let component = guide(frame);
        let plane = &frame.planes[component.plane];
        let row = component.offset + w.saturating_sub(1) * component.step + 1;
        let short = w == 0 || h == 0 || plane.stride < row || plane.data.len() < (h - 1) * plane.stride + row;
        if short || alpha.len() != w * h || strength.is_nan() || strength <= 0.0 {
            self.reset();
            return;
        }
        if (self.width, self.height) != (w, h) {
            self.resize(w, h);
        }
        let (lw, lh) = (w.div_ceil(self.scale), h.div_ceil(self.scale));
        let scale = self.scale;
        self.now.par_chunks_mut(lw * 16).enumerate().for_each(|(part, rows)| {
            for (y, out) in rows.chunks_exact_mut(lw).enumerate() {
                luma_row(frame, &component, scale, part * 16 + y, out);
            }
        });
        if self.started {
            let weight = (1.0 - (1.0 - strength.min(1.0)).powi(2)).min(0.95);
            self.blend(alpha, (lw, lh), weight);
        } else {
            self.motion.fill(Motion::default());
            self.waiting.fill(0);
            self.waits.fill(false);
        }
        self.alpha.copy_from_slice(alpha);
        std::mem::swap(&mut self.now, &mut self.before);
        std::mem::swap(&mut self.motion, &mut self.motion_before);
        self.started = true;
    }

    fn resize(&mut self, w: usize, h: usize) {
        (self.width, self.height) = (w, h);
        self.scale = match w.min(h) {
            0..480 => 1,
            480..1440 => 2,
            _ => 4,
        };
        let (lw, lh) = (w.div_ceil(self.scale), h.div_ceil(self.scale));
        for v in [&mut self.now, &mut self.before] {
            v.clear();
            v.resize(lw * lh, 0);
        }
        for v in [&mut self.alpha, &mut self.waiting] {
            v.clear();
            v.resize(w * h, 0);
        }
        for v in [&mut self.motion, &mut self.motion_before] {
            v.clear();
            v.resize(lw.div_ceil(BLOCK) * lh.div_ceil(BLOCK), Motion::default());
        }
        self.waits.clear();
        self.waits.resize(self.motion.len(), false);
        self.started = false;
    }

    fn blend(&mut self, alpha: &mut [u8], (lw, lh): (usize, usize), weight: f32) {
        let (w, h, scale) = (self.width, self.height, self.scale);
        let now = Grey { data: &self.now, width: lw, height: lh };
        let before = Grey { data: &self.before, width: lw, height: lh };
        let (past, wide) = (&self.alpha, lw.div_ceil(BLOCK));
        let was = &self.motion_before;
        let side = BLOCK * scale;
        let rows = alpha.par_chunks_mut(side * w).zip(self.waiting.par_chunks_mut(side * w));
        let blocks = self.motion.par_chunks_mut(wide).zip(self.waits.par_chunks_mut(wide));
        rows.zip(blocks).enumerate().for_each(|(by, ((alpha, waiting), (motion, waits)))| {
            let mut same = [0u8; BLOCK * BLOCK];
            let mut last = Motion::default();
            for bx in 0..wide {
                let (x0, y0) = (bx * side, by * side);
                let (x1, rows) = ((x0 + side).min(w), alpha.len() / w);
                motion[bx] = Motion::default();
                let solid = alpha[x0];
                let all = |data: &[u8]| (0..rows).all(|y| uniform(&data[y * w + x0..y * w + x1], solid));
                if matches!(solid, 0 | 255) && all(alpha) && all(&past[y0 * w..]) {
                    if std::mem::take(&mut waits[bx]) {
                        (0..rows).for_each(|y| waiting[y * w + x0..y * w + x1].fill(0));
                    }
                    continue;
                }
                let (lx, ly) = (bx * BLOCK, by * BLOCK);
                let area = [lx, ly, BLOCK.min(lw - lx), BLOCK.min(lh - ly)];
                // Where the block and its neighbours went before, and where the one beside goes now.
                let at = by * wide + bx;
                let near = |i: Option<usize>| i.and_then(|i| was.get(i)).copied().unwrap_or_default();
                let seeds = [
                    near(Some(at)),
                    last,
                    near(at.checked_sub(1)),
                    near(Some(at + 1)),
                    near(at.checked_sub(wide)),
                    near(Some(at + wide)),
                ];
                let m = motion::search(now, before, area, &seeds);
                (motion[bx], last) = (m, m);
                agree(now, before, area, m, &mut same);
                // Motion of less than two frame pixels weighs in between.
                let far = f32::from(m.x).hypot(f32::from(m.y)) / 4.0 * scale as f32;
                let weight = weight * (1.0 - (1.0 - MOVING) * (far / 2.0).min(1.0));
                let weight = (weight * 256.0) as i32;
                let mut there = [0u8; BLOCK * 4];
                let mut keep = [0u8; BLOCK * 4];
                waits[bx] = false;
                for y in 0..rows {
                    let n = x1 - x0;
                    displaced(past, (w, h), x0, y0 + y, m, scale, &mut there[..n]);
                    let same = &same[y / scale * BLOCK..][..BLOCK];
                    for (x, k) in keep[..n].iter_mut().enumerate() {
                        *k = same[x / scale];
                    }
                    let row = y * w + x0..y * w + x1;
                    waits[bx] |=
                        mix(&mut alpha[row.clone()], &mut waiting[row], &there[..n], &keep[..n], weight);
                }
            }
        });
    }
}

/// The component that stands for brightness: luma, or green.
fn guide(frame: &Frame<'_>) -> Component {
    let layout = frame.format.layout();
    layout.color[if frame.format.is_yuv() || layout.colors == 1 { 0 } else { 1 }]
}

/// One row of brightness, averaged over `scale · scale` pixels of the frame.
fn luma_row(frame: &Frame<'_>, c: &Component, scale: usize, y: usize, out: &mut [u8]) {
    let plane = &frame.planes[c.plane];
    let row = |dy: usize| &plane.row((y * scale + dy).min(frame.height - 1))[c.offset..];
    if scale == 2 && c.step == 1 {
        let (top, bottom) = (row(0), row(1));
        let whole = frame.width / 2;
        halve(&top[..2 * whole], &bottom[..2 * whole], &mut out[..whole]);
        if let Some(o) = out.get_mut(whole) {
            *o = top[2 * whole].midpoint(bottom[2 * whole]);
        }
        return;
    }
    for (x, o) in out.iter_mut().enumerate() {
        let mut sum = 0;
        for dy in 0..scale {
            let row = row(dy);
            for dx in 0..scale {
                sum += usize::from(row[(x * scale + dx).min(frame.width - 1) * c.step]);
            }
        }
        *o = ((sum + scale * scale / 2) / (scale * scale)) as u8;
    }
}

multiversion! {
    fn halve(top: &[u8], bottom: &[u8], out: &mut [u8]) {
        for ((o, t), b) in out.iter_mut().zip(top.chunks_exact(2)).zip(bottom.chunks_exact(2)) {
            *o = ((u16::from(t[0]) + u16::from(t[1]) + u16::from(b[0]) + u16::from(b[1]) + 2) >> 2) as u8;
        }
    }
}

multiversion! {
    fn uniform(row: &[u8], value: u8) -> bool {
        row.iter().fold(0, |differ, &v| differ | (v ^ value)) == 0
    }
}

/// How far the samples of `area` look as they did where they came from: 255 the same, 0 another thing. The
/// difference is averaged over 3×3 samples with its sign, which noise does not survive and a moved edge does.
fn agree(
    now: Grey<'_>,
    before: Grey<'_>,
    [x, y, w, h]: motion::Area,
    m: Motion,
    out: &mut [u8; BLOCK * BLOCK],
) {
    const SIDE: usize = BLOCK + 2;
    let mut diff = [0i32; SIDE * SIDE];
    let (dx, dy) = (i32::from(m.x >> 2), i32::from(m.y >> 2));
    let (fx, fy) = (i32::from(m.x & 3), i32::from(m.y & 3));
    let inside = |v: i32, n: usize| v.clamp(0, n as i32 - 1) as usize;
    for j in 0..h + 2 {
        let (v, u) = (y as i32 + j as i32 - 1, x as i32 - 1);
        let here = &now.data[inside(v, now.height) * now.width..][..now.width];
        let top = &before.data[inside(v + dy, now.height) * now.width..][..now.width];
        let bottom = &before.data[inside(v + dy + 1, now.height) * now.width..][..now.width];
        for (i, d) in diff[j * SIDE..][..w + 2].iter_mut().enumerate() {
            let u = u + i as i32;
            let (l, r) = (inside(u + dx, now.width), inside(u + dx + 1, now.width));
            let line = |row: &[u8]| i32::from(row[l]) * (4 - fx) + i32::from(row[r]) * fx;
            let there = line(top) * (4 - fy) + line(bottom) * fy;
            *d = 16 * i32::from(here[inside(u, now.width)]) - there;
        }
    }
    for j in 0..h {
        for i in 0..w {
            let at = j * SIDE + i;
            let sum: i32 =
                [0, SIDE, 2 * SIDE].iter().map(|r| diff[at + r] + diff[at + r + 1] + diff[at + r + 2]).sum();
            // The sum holds nine times sixteen differences.
            let level = (OTHER * 144 - sum.abs()) * 255 / ((OTHER - SAME) * 144);
            out[j * BLOCK + i] = level.clamp(0, 255) as u8;
        }
    }
}

/// The past matte at a row of pixels, displaced (bilinear between pixels).
fn displaced(
    past: &[u8],
    (w, h): (usize, usize),
    x: usize,
    y: usize,
    m: Motion,
    scale: usize,
    out: &mut [u8],
) {
    let inside = |v: isize, n: usize| v.clamp(0, n as isize - 1) as usize;
    let (mx, my) = (isize::from(m.x) * scale as isize, isize::from(m.y) * scale as isize);
    let (u, v) = (x as isize + (mx >> 2), y as isize + (my >> 2));
    let (fx, fy) = ((mx & 3) as u16, (my & 3) as u16);
    let row = |v: isize| &past[inside(v, h) * w..][..w];
    let (top, bottom) = (row(v), row(v + 1));
    let n = out.len();
    if u >= 0 && u as usize + n < w {
        let u = u as usize;
        if fx == 0 && fy == 0 {
            out.copy_from_slice(&top[u..u + n]);
        } else {
            between(&top[u..u + n + 1], &bottom[u..u + n + 1], fx, fy, out);
        }
        return;
    }
    for (i, o) in out.iter_mut().enumerate() {
        let (l, r) = (inside(u + i as isize, w), inside(u + i as isize + 1, w));
        let line = |row: &[u8]| u16::from(row[l]) * (4 - fx) + u16::from(row[r]) * fx;
        *o = ((line(top) * (4 - fy) + line(bottom) * fy + 8) >> 4) as u8;
    }
}

multiversion! {
    fn between(top: &[u8], bottom: &[u8], fx: u16, fy: u16, out: &mut [u8]) {
        for ((o, t), b) in out.iter_mut().zip(top.windows(2)).zip(bottom.windows(2)) {
            let t = u16::from(t[0]) * (4 - fx) + u16::from(t[1]) * fx;
            let b = u16::from(b[0]) * (4 - fx) + u16::from(b[1]) * fx;
            *o = ((t * (4 - fy) + b * fy + 8) >> 4) as u8;
        }
    }
}

multiversion! {
    /// Moves each pixel from the past towards the present; at least by one step, so that solid becomes solid.
    /// Says whether any waits.
    fn mix(alpha: &mut [u8], waiting: &mut [u8], past: &[u8], same: &[u8], weight: i32) -> bool {
        let mut any = 0;
        for (((a, n), &p), &s) in alpha.iter_mut().zip(waiting).zip(past).zip(same) {
            let gap = i32::from(*a) - i32::from(p);
            let rest = 256 - ((weight * i32::from(s)) >> 8);
            let size = (gap.abs() * rest + 255) >> 8;
            let step = if gap < 0 { -size } else { size };
            let jump = (gap.abs() > JUMP) & (s > 192);
            let hold = jump & (*n < WAIT);
            *n = if jump { n.saturating_add(1) } else { 0 };
            any |= *n;
            *a = if hold { p } else { (i32::from(p) + step) as u8 };
        }
        any != 0
    }
}

#[cfg(test)]
mod tests;
