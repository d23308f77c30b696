//! From frame to frame: a matte that neither shimmers where the scene stands still nor drags where it moves.
//!
//! Each block of the band looks for itself in the frame before ([`motion`]). The network's mask blends with the
//! mask it had there, as far as the picture agrees, sample by sample, that it is the same thing; a jump between
//! foreground and background waits two frames for confirmation, so that a hand does not blink out and back. This
//! happens before refinement, which then draws the edge of this very frame: nothing is blurred or dragged. What is
//! left of sensor noise in the refined matte is smoothed where the scene stands still, and there only.

mod carry;
mod change;
mod cut;
mod motion;

pub use carry::Carrier;
pub use change::Change;
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
/// Change of the mask that waits for confirmation, and frames that it waits.
const JUMP: f32 = 0.4;
const WAIT: u8 = 2;
/// The weight of the mask's past that moves, against the past that stands still, where a sample of the mask spans
/// [`COARSE`] pixels of a 720p frame; less where it spans less, for motion is known to a fraction of a pixel only.
const MOVING: f32 = 0.6;
const COARSE: f32 = 5.0;
/// Motion in frame pixels at which the refined matte's past no longer counts.
const STILL: f32 = 1.0;

/// Smooths masks and mattes over time. One per stream; [`Smoother::reset`] after a seek, a cut or a gap.
///
/// For each frame: [`Smoother::mask`], refinement, [`Smoother::apply`]. Either works without the other.
#[derive(Debug, Default)]
pub struct Smoother {
    width: usize,
    height: usize,
    /// Frame pixels in a sample of `now`, across.
    scale: usize,
    /// Luma of this frame and the last, at `1 / scale` of the frame.
    now: Vec<u8>,
    before: Vec<u8>,
    /// By block: how it moved; whether that is known yet; how far its samples look as before (see [`agree`]).
    motion: Vec<Motion>,
    motion_before: Vec<Motion>,
    known: Vec<bool>,
    same: Vec<u8>,
    /// Blocks whose motion is asked for; kept for its room only.
    wanted: Vec<bool>,
    /// The matte as it went out, if it did.
    alpha: Vec<u8>,
    alpha_kept: bool,
    /// The mask as it went out, its size, and for how many frames a jump has waited, by sample.
    mask: Vec<f32>,
    mask_size: (usize, usize),
    waiting: Vec<u8>,
    /// Whether `now` holds the frame that is being worked on, and `before` the one before it.
    current: bool,
    started: bool,
}

impl Smoother {
    /// Has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the past; the next matte goes out as it comes.
    pub fn reset(&mut self) {
        (self.started, self.current, self.alpha_kept, self.mask_size) = (false, false, false, (0, 0));
    }

    /// Smooths the network's mask (0..1, `mask_w · mask_h`, spanning the frame) in place, before refinement.
    /// `strength` runs from 0, off, to 1; the past's weight where nothing moves is 1 − (1 − strength)², so that
    /// noise falls to about 0.3 of itself at 0.6. Sizes that change reset; a mask that does not hold as much as
    /// its size says is left alone.
    pub fn mask(&mut self, frame: &Frame<'_>, mask: &mut [f32], mask_w: usize, mask_h: usize, strength: f32) {
        let sized = mask_w.checked_mul(mask_h).is_some_and(|n| n > 0 && mask.len() == n);
        let Some(weight) = weight(strength).filter(|_| sized && readable(frame)) else {
            return self.reset();
        };
        self.look(frame);
        if self.started && self.mask_size == (mask_w, mask_h) {
            self.blend_mask(mask, weight);
        } else {
            self.mask_size = (mask_w, mask_h);
            self.mask.resize(mask.len(), 0.0);
            self.waiting.clear();
            self.waiting.resize(mask.len(), 0);
        }
        self.mask.copy_from_slice(mask);
    }

    /// Smooths the refined `alpha` (tight rows of the frame's size) in place where the scene stands still.
    /// `strength` as for [`Smoother::mask`]. An `alpha` of another size than the frame is left alone.
    pub fn apply(&mut self, frame: &Frame<'_>, alpha: &mut [u8], strength: f32) {
        let sized = frame.width.checked_mul(frame.height) == Some(alpha.len());
        let Some(weight) = weight(strength).filter(|_| sized && readable(frame)) else {
            return self.reset();
        };
        if !self.current {
            self.look(frame);
        }
        if self.started && self.alpha_kept {
            self.blend_matte(alpha, weight);
        }
        self.alpha.copy_from_slice(alpha);
        (self.alpha_kept, self.current, self.started) = (true, false, true);
        std::mem::swap(&mut self.motion, &mut self.motion_before);
        std::mem::swap(&mut self.now, &mut self.before);
    }

    /// Takes in a frame.
    fn look(&mut self, frame: &Frame<'_>) {
        let (w, h) = (frame.width, frame.height);
        if (self.width, self.height) != (w, h) {
            self.resize(w, h);
        } else if self.current {
            // No matte followed the last mask: that frame is now the one before.
            self.started = true;
            std::mem::swap(&mut self.motion, &mut self.motion_before);
            std::mem::swap(&mut self.now, &mut self.before);
        }
        let (component, scale, lw) = (guide(frame), self.scale, w.div_ceil(self.scale));
        self.now.par_chunks_mut(lw * 16).enumerate().for_each(|(part, rows)| {
            for (y, out) in rows.chunks_exact_mut(lw).enumerate() {
                luma_row(frame, &component, scale, part * 16 + y, out);
            }
        });
        self.motion.fill(Motion::default());
        self.known.fill(false);
        self.current = true;
    }

    fn resize(&mut self, w: usize, h: usize) {
        self.reset();
        (self.width, self.height) = (w, h);
        self.scale = luma_scale(w, h);
        let (lw, lh) = (w.div_ceil(self.scale), h.div_ceil(self.scale));
        let blocks = lw.div_ceil(BLOCK) * lh.div_ceil(BLOCK);
        for (v, n) in [(&mut self.now, lw * lh), (&mut self.before, lw * lh), (&mut self.alpha, w * h)] {
            v.clear();
            v.resize(n, 0);
        }
        for v in [&mut self.motion, &mut self.motion_before] {
            v.clear();
            v.resize(blocks, Motion::default());
        }
        self.known.clear();
        self.known.resize(blocks, false);
        self.same.clear();
        self.same.resize(blocks * BLOCK * BLOCK, 0);
    }

    /// Finds the motion of the blocks of which `wanted(bx, by)` says so.
    fn track(&mut self, wanted: impl Fn(usize, usize) -> bool + Sync) {
        let (lw, lh) = (self.width.div_ceil(self.scale), self.height.div_ceil(self.scale));
        let wide = lw.div_ceil(BLOCK);
        let now = Grey { data: &self.now, width: lw, height: lh };
        let before = Grey { data: &self.before, width: lw, height: lh };
        let was = &self.motion_before;
        let rows = self.motion.par_chunks_mut(wide).zip(self.known.par_chunks_mut(wide));
        rows.zip(self.same.par_chunks_mut(wide * BLOCK * BLOCK)).enumerate().for_each(
            |(by, ((motion, known), same))| {
                let mut last = Motion::default();
                for (bx, same) in same.chunks_exact_mut(BLOCK * BLOCK).enumerate() {
                    if known[bx] || !wanted(bx, by) {
                        continue;
                    }
                    known[bx] = true;
                    let (x, y) = (bx * BLOCK, by * BLOCK);
                    let area = [x, y, BLOCK.min(lw - x), BLOCK.min(lh - y)];
                    // Where the block and its neighbours went before, and where the one beside goes now.
                    let at = by * wide + bx;
                    let near = |i: Option<usize>| i.and_then(|i| was.get(i)).copied().unwrap_or_default();
                    let seeds = [
                        last,
                        near(Some(at)),
                        near(at.checked_sub(1)),
                        near(Some(at + 1)),
                        near(at.checked_sub(wide)),
                        near(Some(at + wide)),
                    ];
                    last = motion::search(now, before, area, &seeds);
                    motion[bx] = last;
                    agree(now, before, area, last, same);
                }
            },
        );
    }

    fn blend_mask(&mut self, mask: &mut [f32], weight: f32) {
        let (w, h, scale) = (self.width, self.height, self.scale);
        let (mw, mh) = self.mask_size;
        let side = BLOCK * scale;
        let (wide, high) = (w.div_ceil(side), h.div_ceil(side));
        // A sample's centre in frame pixels.
        let centre =
            |u: usize, size: usize, samples: usize| ((2 * u + 1) * size / (2 * samples)).min(size - 1);
        let mut wanted = std::mem::take(&mut self.wanted);
        wanted.clear();
        wanted.resize(wide * high, false);
        for (v, (row, past)) in mask.chunks_exact(mw).zip(self.mask.chunks_exact(mw)).enumerate() {
            let y = centre(v, h, mh) / side;
            for (u, (&m, &p)) in row.iter().zip(past).enumerate() {
                if (m > 0.02 && m < 0.98) || (m - p).abs() > 0.1 {
                    wanted[y * wide + centre(u, w, mw) / side] = true;
                }
            }
        }
        self.track(|bx, by| wanted[by * wide + bx]);
        self.wanted = wanted;
        let (sx, sy) = (w as f32 / mw as f32, h as f32 / mh as f32);
        let fine = ((sx * sy).sqrt() * 720.0 / (w.min(h) as f32 * COARSE)).min(1.0);
        let trust = MOVING * fine;
        let past = &self.mask;
        // A bilinear fetch would blur a little more each frame.
        let fetch = |x: f32, y: f32| -> f32 {
            let (x, y) = (x.clamp(0.0, (mw - 1) as f32), y.clamp(0.0, (mh - 1) as f32));
            let at = |base: f32, k: usize, n: usize| (base as usize + k).saturating_sub(1).min(n - 1);
            let (wx, wy) = (cubic_weights(x.fract()), cubic_weights(y.fract()));
            let line = |v: usize| (0..4).map(|k| wx[k] * past[v * mw + at(x, k, mw)]).sum::<f32>();
            (0..4).map(|k| wy[k] * line(at(y, k, mh))).sum::<f32>().clamp(0.0, 1.0)
        };
        for v in 0..mh {
            let y = centre(v, h, mh) / scale;
            for u in 0..mw {
                let x = centre(u, w, mw) / scale;
                let block = y / BLOCK * wide + x / BLOCK;
                let wait = &mut self.waiting[v * mw + u];
                if !self.known[block] {
                    *wait = 0;
                    continue;
                }
                let m = self.motion[block];
                let (dx, dy) = (f32::from(m.x) * 0.25 * scale as f32, f32::from(m.y) * 0.25 * scale as f32);
                let same = f32::from(self.same[(block * BLOCK + y % BLOCK) * BLOCK + x % BLOCK]) / 255.0;
                let there = fetch(u as f32 + dx / sx, v as f32 + dy / sy);
                let here = &mut mask[v * mw + u];
                let jump = (*here - there).abs() > JUMP && same > 0.75;
                let moving = 1.0 - (1.0 - trust) * (dx.hypot(dy) / 2.0).min(1.0);
                let weight = if jump && *wait < WAIT { 1.0 } else { weight * moving };
                *wait = if jump { wait.saturating_add(1) } else { 0 };
                *here += (there - *here) * weight * same;
            }
        }
    }

    fn blend_matte(&mut self, alpha: &mut [u8], weight: f32) {
        let (w, scale) = (self.width, self.scale);
        let side = BLOCK * scale;
        let wide = w.div_ceil(side);
        let past = &self.alpha;
        let mut busy = std::mem::take(&mut self.wanted);
        busy.clear();
        busy.resize(self.known.len(), false);
        let parts = alpha.par_chunks(side * w).zip(past.par_chunks(side * w));
        busy.par_chunks_mut(wide)
            .zip(parts)
            .for_each(|(busy, (alpha, past))| unsettled(alpha, past, w, side, busy));
        self.track(|bx, by| busy[by * wide + bx]);
        let (past, motion, same) = (&self.alpha, &self.motion, &self.same);
        alpha.par_chunks_mut(side * w).enumerate().for_each(|(by, alpha)| {
            let mut keep = [0u8; BLOCK * 4];
            for bx in (0..wide).filter(|bx| busy[by * wide + bx]) {
                let m = motion[by * wide + bx];
                let far = f32::from(m.x).hypot(f32::from(m.y)) * 0.25 * scale as f32;
                let weight = (weight * (1.0 - far / STILL).max(0.0) * 256.0) as i32;
                if weight == 0 {
                    continue;
                }
                let x = bx * side..((bx + 1) * side).min(w);
                let same = &same[(by * wide + bx) * BLOCK * BLOCK..][..BLOCK * BLOCK];
                for (y, row) in alpha.chunks_exact_mut(w).enumerate() {
                    for (k, keep) in keep[..x.len()].iter_mut().enumerate() {
                        *keep = same[y / scale * BLOCK + k / scale];
                    }
                    let past = &past[(by * side + y) * w..][x.clone()];
                    mix(&mut row[x.clone()], past, &keep[..x.len()], weight);
                }
            }
        });
        self.wanted = busy;
    }
}

/// The past's weight where nothing moves; none if smoothing is off.
fn weight(strength: f32) -> Option<f32> {
    (strength > 0.0).then(|| (1.0 - (1.0 - strength.min(1.0)).powi(2)).min(0.95))
}

/// Frame pixels in a sample of the luma that motion is looked for in, across.
fn luma_scale(w: usize, h: usize) -> usize {
    match w.min(h) {
        0..480 => 1,
        480..1440 => 2,
        _ => 4,
    }
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

/// Whether the frame holds the component that is looked at.
fn readable(frame: &Frame<'_>) -> bool {
    let (c, w, h) = (guide(frame), frame.width, frame.height);
    let plane = &frame.planes[c.plane];
    let row = c.offset + w.saturating_sub(1) * c.step + 1;
    w > 0 && h > 0 && plane.stride >= row && plane.data.len() >= (h - 1) * plane.stride + row
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
    /// Marks the blocks along a row of blocks that are not, now and before, all 0 or all 255.
    fn unsettled(alpha: &[u8], past: &[u8], width: usize, side: usize, out: &mut [bool]) {
        for (x, out) in out.iter_mut().enumerate() {
            let (from, to) = (x * side, ((x + 1) * side).min(width));
            let first = alpha[from];
            let mut differ = 0;
            for (row, old) in alpha.chunks_exact(width).zip(past.chunks_exact(width)) {
                for (&a, &p) in row[from..to].iter().zip(&old[from..to]) {
                    differ |= (a ^ first) | (p ^ first);
                }
            }
            *out = (first != 0 && first != 255) || differ != 0;
        }
    }
}

/// How far the samples of `area` look as they did where they came from: 255 the same, 0 another thing. The
/// difference is averaged over 3×3 samples with its sign, which noise does not survive and a moved edge does.
fn agree(now: Grey<'_>, before: Grey<'_>, [x, y, w, h]: motion::Area, m: Motion, out: &mut [u8]) {
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

multiversion! {
    /// Moves each pixel from the past towards the present; at least by one step, so that solid becomes solid.
    fn mix(alpha: &mut [u8], past: &[u8], same: &[u8], weight: i32) {
        for ((a, &p), &s) in alpha.iter_mut().zip(past).zip(same) {
            let gap = i32::from(*a) - i32::from(p);
            let rest = 256 - ((weight * i32::from(s)) >> 8);
            let size = (gap.abs() * rest + 255) >> 8;
            *a = (i32::from(p) + if gap < 0 { -size } else { size }) as u8;
        }
    }
}

#[cfg(test)]
mod tests;
