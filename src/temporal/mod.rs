//! From frame to frame: a matte that neither shimmers where the scene stands still nor drags where it moves.
//!
//! Each block of the band looks for itself in the frame before (`motion`). The network's mask blends with the
//! mask it had there, as far as the picture agrees, sample by sample, that it is the same thing; a jump between
//! foreground and background waits two frames for confirmation, so that a hand does not blink out and back. This
//! happens before refinement, which then draws the edge of this very frame: nothing is blurred or dragged. What is
//! left of sensor noise in the refined matte is smoothed where the scene stands still, and there only. Where it has
//! stood still for long (`still`), mask and matte stay as they are unless the network insists.

mod carry;
mod change;
mod cut;
mod field;
mod matte;
mod motion;
mod rest;
mod still;
mod view;
mod window;

pub use carry::Carrier;
pub(crate) use change::Change;
pub(crate) use cut::CutDetector;
pub(crate) use window::{FrameWindow, REACH};

use rayon::prelude::*;

use crate::frame::{Component, Frame};
use crate::refine::{Kept, runs};
use crate::simd::{in_pool, multiversion};
use field::{Field, fetch};
use motion::Motion;
use rest::{Rest, Steadied};
use std::cell::RefCell;
use std::sync::Arc;
use still::Still;
use view::{View, unshared};

/// Side of a block in samples of the luma that motion is looked for in.
const BLOCK: usize = 16;
/// Change of the mask that waits for confirmation.
const JUMP: f32 = 0.4;
/// Frames that it waits.
const WAIT: u8 = 2;
/// By this factor the mask's past counts less where the picture moves than where it stands still, in masks as coarse as
/// [`COARSE`].
const MOVING: f32 = 0.6;
/// The same for masks that a [`FrameWindow`] has made of frames on both sides: these follow the motion already.
const MOVING_AHEAD: f32 = 0.8;
/// Pixels of a 720p frame that a sample of a coarse mask spans. The past of finer masks counts less still where the picture
/// moves: motion is known to a fraction of a pixel, which is more of their samples.
const COARSE: f32 = 5.0;
/// The past's weight at the default strength.
const USUAL: f32 = 0.84;
/// How many times longer than the usual the mask's past lasts where the scene stands still.
const LONGER: f32 = 10.0;
/// Frames after the scene has come to rest that count alike.
const FIRST: u8 = 12;
/// Mean disagreement of the network, over [`LASTING`] frames, that overrides the mask that is held where the scene stands
/// still.
const INSISTS: f32 = 0.25;
/// Frames that the network's mean opinion goes over.
const LASTING: f32 = 8.0;
/// How near to 0 or 1 the network's mean opinion has to be for a mask that is nearer still to be followed at once.
const SURE: f32 = 0.05;
/// Frames for which a network that has insisted is followed.
const FREE: u8 = 16;
/// The past's weight in these frames, at most.
const HEARD: f32 = 0.5;
/// Samples of the mask that a thread takes at a time.
const PART: usize = 16 * 1024;
/// Smooths masks and mattes over time. One per stream; [`Smoother::reset`] after a seek, a cut or a gap.
///
/// For each frame: [`Smoother::smooth_mask`], refinement, [`Smoother::smooth_matte`]. Either works without the other.
#[derive(Debug, Default)]
pub struct Smoother {
    width: usize,
    height: usize,
    /// Frame pixels in a sample of `now`, across.
    scale: usize,
    /// This frame and the last, at `1 / scale` of the frame.
    now: Arc<View>,
    before: Arc<View>,
    /// The frame that is about to be taken in, if a [`FrameWindow`] has looked at it already.
    seen: Option<Arc<View>>,
    /// Where the blocks of `now` were in `before`, and those of `before` in the frame before it.
    field: Field,
    motion_before: Vec<Motion>,
    /// Blocks whose motion is asked for; kept for its memory only.
    wanted: Vec<bool>,
    /// Blocks of this frame whose motion has been asked for here: a window may know those of others.
    asked: Vec<bool>,
    /// The matte as it went out, if it did.
    alpha: Vec<u8>,
    alpha_kept: bool,
    /// Blocks of it that may be of more than one value.
    mixed: Vec<bool>,
    /// The mask as it went out, its size, and for how many frames a jump has waited, by sample.
    mask: Vec<f32>,
    mask_size: (usize, usize),
    waiting: Vec<u8>,
    /// What the network has lately said otherwise, by sample.
    otherwise: Vec<f32>,
    /// For how many frames more it is followed, by sample.
    free: Vec<u8>,
    /// Masks come from a [`FrameWindow`].
    ahead: bool,
    /// Goes round with the frames: what is too small a step for eight bits is taken now and then.
    dither: u8,
    /// Where the scene stands still, and where the matte is kept for it.
    still: Still,
    rest: Rest,
    /// Where the mask's columns lie in luma, or luma's in the mask; kept for its memory only.
    columns: Vec<usize>,
    /// Whether `now` holds the frame that is being worked on, and `before` the one before it.
    current: bool,
    started: bool,
    /// Whether [`Smoother::begin_frame`] has taken it in.
    begun: bool,
}

/// What is known, and found out, about the way of a frame's blocks to the frame before.
pub(crate) struct Steps<'a> {
    field: &'a mut Field,
    still: &'a Still,
    /// The frame, and the one before.
    views: (&'a Arc<View>, &'a Arc<View>),
    /// How blocks moved to that one.
    was: &'a [Motion],
}

impl Smoother {
    /// Has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the past; the next matte goes out as it comes.
    pub fn reset(&mut self) {
        self.still.reset();
        self.rest.disturb();
        (self.started, self.current, self.alpha_kept, self.mask_size) = (false, false, false, (0, 0));
        (self.seen, self.begun) = (None, false);
    }

    /// Whether masks that come from now on are those of a [`FrameWindow`], which looks ahead.
    pub(crate) fn set_ahead(&mut self, ahead: bool) {
        self.ahead = ahead;
    }

    /// Takes in the frame that [`Smoother::smooth_mask`] is about to get the mask of, as a [`FrameWindow`] has seen it; gives what that
    /// needs, too. None at the beginning, or with a `strength` of 0.
    pub(crate) fn begin_frame(
        &mut self,
        frame: &Frame<'_>,
        seen: Option<Arc<View>>,
        strength: f32,
    ) -> Option<Steps<'_>> {
        self.seen = seen;
        weight(strength).filter(|_| readable(frame))?;
        in_pool(|| {
            self.look(frame);
            self.still.update(&self.now);
        });
        self.begun = true;
        let Self { field, still, now, before, motion_before, .. } = self;
        self.started.then_some(Steps { field, still, views: (now, before), was: motion_before })
    }

    /// Smooths the network's mask (0..1, `mask_w · mask_h`, spanning the frame) in place, before refinement. `strength`
    /// runs from 0, off, to 1; the past's weight where nothing moves is 1 − (1 − strength)², so that noise falls
    /// to about 0.3 of itself at 0.6, and up to 0.984 where nothing has moved for long. Sizes that change reset; a mask
    /// that does not hold as much as its size says is left alone.
    pub fn smooth_mask(
        &mut self,
        frame: &Frame<'_>,
        mask: &mut [f32],
        mask_w: usize,
        mask_h: usize,
        strength: f32,
    ) {
        let sized = mask_w.checked_mul(mask_h).is_some_and(|n| n > 0 && mask.len() == n);
        let Some(weight) = weight(strength).filter(|_| sized && readable(frame)) else {
            return self.reset();
        };
        if !std::mem::take(&mut self.begun) {
            in_pool(|| {
                self.look(frame);
                self.still.update(&self.now);
            });
        }
        self.rest.disturb();
        if self.started && self.mask_size == (mask_w, mask_h) {
            in_pool(|| self.blend_mask(mask, weight));
            // Who asks for less than is usual wants to see changes.
            if self.alpha_kept && weight > USUAL - 0.01 {
                let now = Steadied { mask, size: self.mask_size, free: &self.free };
                let luma = (self.width.div_ceil(self.scale), self.height.div_ceil(self.scale));
                self.rest.find(&self.still, luma, &now);
            }
        } else {
            // What was made of masks of another kind is not held on to.
            self.alpha_kept &= self.mask_size == (mask_w, mask_h);
            self.mask_size = (mask_w, mask_h);
            self.mask.resize(mask.len(), 0.0);
            self.waiting.clear();
            self.waiting.resize(mask.len(), 0);
            self.otherwise.clear();
            self.otherwise.resize(mask.len(), 0.0);
            self.free.clear();
            self.free.resize(mask.len(), 0);
        }
        self.mask.copy_from_slice(mask);
    }

    /// The blocks whose matte is kept as it went out last, if there are any: [`Smoother::smooth_matte`] puts it there. Whoever
    /// cannot keep to that says so by [`Smoother::keep_nothing`].
    pub(crate) fn kept(&self) -> Option<Kept<'_>> {
        let (side, blocks) = (BLOCK * self.scale, self.rest.kept());
        (!blocks.is_empty()).then(|| Kept { side, grid_width: self.width.div_ceil(side), blocks })
    }

    /// Puts what is kept of the last matte into this one (tight rows of the frame's size).
    pub(crate) fn restore(&self, alpha: &mut [u8]) {
        let Some(kept) = self.kept().filter(|_| alpha.len() == self.alpha.len()) else { return };
        let (w, side) = (self.width, kept.side);
        for (by, (alpha, past)) in alpha.chunks_mut(side * w).zip(self.alpha.chunks(side * w)).enumerate() {
            restore(alpha, past, w, side, &kept.blocks[by * kept.grid_width..]);
        }
    }

    /// Nothing is kept of this frame.
    pub(crate) fn keep_nothing(&mut self) {
        self.rest.disturb();
    }

    /// Smooths the refined `alpha` (tight rows of the frame's size) in place where the scene stands still.
    /// `strength` as for [`Smoother::smooth_mask`]. An `alpha` of another size than the frame is left alone.
    pub fn smooth_matte(&mut self, frame: &Frame<'_>, alpha: &mut [u8], strength: f32) {
        let sized = frame.width.checked_mul(frame.height) == Some(alpha.len());
        let Some(weight) = weight(strength).filter(|_| sized && readable(frame)) else {
            return self.reset();
        };
        if !self.current {
            self.look(frame);
            self.still.reset();
            self.rest.disturb();
        }
        if self.started && self.alpha_kept {
            in_pool(|| self.blend_matte(alpha, weight));
        } else {
            self.alpha.copy_from_slice(alpha);
            self.mixed.fill(true);
        }
        self.rest.made(&self.mask);
        self.rest.disturb();
        (self.alpha_kept, self.current, self.started) = (true, false, true);
        std::mem::swap(&mut self.field.motion, &mut self.motion_before);
        std::mem::swap(&mut self.now, &mut self.before);
    }

    /// Takes in a frame.
    fn look(&mut self, frame: &Frame<'_>) {
        let (w, h) = (frame.width, frame.height);
        let seen = self.seen.take();
        if (self.width, self.height) != (w, h) {
            self.resize(w, h);
        } else if self.current {
            // No matte followed the last mask: that frame is now the one before.
            self.started = true;
            std::mem::swap(&mut self.field.motion, &mut self.motion_before);
            std::mem::swap(&mut self.now, &mut self.before);
        }
        match seen {
            Some(view) if view.is_of(frame, self.scale) => self.now = view,
            _ => unshared(&mut self.now).update(frame, self.scale),
        }
        self.field.clear(w.div_ceil(self.scale), h.div_ceil(self.scale));
        self.asked.clear();
        self.asked.resize(self.field.known.len(), false);
        self.current = true;
    }

    fn resize(&mut self, w: usize, h: usize) {
        self.reset();
        (self.width, self.height) = (w, h);
        self.scale = luma_scale(w, h);
        let (lw, lh) = (w.div_ceil(self.scale), h.div_ceil(self.scale));
        let blocks = lw.div_ceil(BLOCK) * lh.div_ceil(BLOCK);
        self.alpha.clear();
        self.alpha.resize(w * h, 0);
        self.motion_before.clear();
        self.motion_before.resize(blocks, Motion::default());
        self.mixed.clear();
        self.mixed.resize(blocks, false);
    }

    /// Finds the motion of the blocks of which `wanted(bx, by)` says so.
    fn track(&mut self, wanted: impl Fn(usize, usize) -> bool + Sync) {
        let noise = self.still.noise();
        self.field.track((&self.now, &self.before), &self.motion_before, &self.still, noise, wanted);
    }

    fn blend_mask(&mut self, mask: &mut [f32], weight: f32) {
        let (w, h, scale) = (self.width, self.height, self.scale);
        let (mw, mh) = self.mask_size;
        let side = BLOCK * scale;
        let (grid_width, grid_height) = (w.div_ceil(side), h.div_ceil(side));
        let mut columns = std::mem::take(&mut self.columns);
        columns.clear();
        columns.extend((0..mw).map(|u| in_luma(u, (w, mw), scale)));
        let mut wanted = std::mem::take(&mut self.wanted);
        wanted.clear();
        wanted.resize(grid_width * grid_height, false);
        ACC.with_borrow_mut(|acc| {
            acc.clear();
            acc.resize(mw, 0);
            let mut at = 0;
            for (v, (row, past)) in mask.chunks_exact(mw).zip(self.mask.chunks_exact(mw)).enumerate() {
                let by = in_luma(v, (h, mh), scale) / BLOCK;
                if by != at {
                    mark(acc, &columns, &mut wanted[at * grid_width..][..grid_width]);
                    acc.fill(0);
                    at = by;
                }
                unsure(row, past, acc);
            }
            mark(acc, &columns, &mut wanted[at * grid_width..][..grid_width]);
        });
        self.track(|bx, by| wanted[by * grid_width + bx]);
        self.asked.copy_from_slice(&wanted);
        self.wanted = wanted;
        let (sx, sy) = (w as f32 / mw as f32, h as f32 / mh as f32);
        let fine = ((sx * sy).sqrt() * 720.0 / (w.min(h) as f32 * COARSE)).min(1.0);
        let trust = fine * if self.ahead { MOVING_AHEAD } else { MOVING };
        let past = &self.mask;
        let Field { motion, same, sure, .. } = &self.field;
        let (still, asked) = (&self.still, &self.asked);
        // Small masks are not worth many hand-overs.
        let part = mw * (PART / mw).max(1);
        let rows = mask.par_chunks_mut(part).zip(self.waiting.par_chunks_mut(part));
        let rows = rows.zip(self.otherwise.par_chunks_mut(part)).zip(self.free.par_chunks_mut(part));
        rows.enumerate().for_each(|(n, (((mask, waiting), otherwise), free))| {
            let rows = mask.chunks_exact_mut(mw).zip(waiting.chunks_exact_mut(mw));
            let rows = rows.zip(otherwise.chunks_exact_mut(mw)).zip(free.chunks_exact_mut(mw));
            for (row, (((mask, waiting), otherwise), free)) in rows.enumerate() {
                let v = n * (part / mw) + row;
                let y = in_luma(v, (h, mh), scale);
                let blocks = y / BLOCK * grid_width;
                let samples = columns.iter().zip(mask).zip(waiting).zip(otherwise).zip(free);
                for (u, ((((&x, here), wait), otherwise), free)) in samples.enumerate() {
                    let block = blocks + x / BLOCK;
                    if !asked[block] {
                        (*wait, *otherwise, *free) = (0, 0.0, 0);
                        continue;
                    }
                    let m = motion[block];
                    let (dx, dy) =
                        (f32::from(m.x) * 0.25 * scale as f32, f32::from(m.y) * 0.25 * scale as f32);
                    let same = f32::from(same[(block * BLOCK + y % BLOCK) * BLOCK + x % BLOCK]) / 255.0;
                    let there = if m == Motion::default() {
                        past[v * mw + u]
                    } else {
                        fetch(past, mw, mh, u as f32 + dx / sx, v as f32 + dy / sy)
                    };
                    // What a thing uncovers may look here and there like the thing, but not all over a block.
                    let sure = sure[block];
                    let jump = (*here - there).abs() > JUMP && same > 0.75 && sure > 0.5;
                    let moving = 1.0 - (1.0 - trust) * (dx.hypot(dy) / 2.0).min(1.0);
                    let age = if m == Motion::default() { still.age(x, y) } else { 0 };
                    let gap = *here - there;
                    *otherwise += (gap - *otherwise) * if age > 0 { 1.0 / LASTING } else { 1.0 };
                    let lately = there + *otherwise;
                    let end = if there > 0.5 { 1.0 } else { 0.0 };
                    let sure_now = (lately - end).abs() < SURE && (*here - end).abs() < (there - end).abs();
                    let insists = otherwise.abs() > INSISTS || jump && *wait >= WAIT;
                    *free = if insists { FREE } else { free.saturating_sub(1) };
                    let long = if age > 0 && *free == 0 && !sure_now { lasting(age, weight) } else { 0.0 };
                    // Where noise hides what moves, what the network insists on comes sooner.
                    let usual = if age > 0 && *free > 0 { weight.min(HEARD) } else { weight * moving };
                    let weight = if jump && *wait < WAIT { 1.0 } else { usual.max(long) * sure };
                    *wait = if jump { wait.saturating_add(1) } else { 0 };
                    *here += (there - *here) * weight * same;
                }
            }
        });
        self.columns = columns;
    }
}

/// Copies the blocks of a row of them, `side` pixels across, that are kept.
fn restore(alpha: &mut [u8], past: &[u8], width: usize, side: usize, kept: &[bool]) {
    for run in runs(&kept[..kept.len().min(width.div_ceil(side))]) {
        let x = run.start * side..(run.end * side).min(width);
        for (row, past) in alpha.chunks_exact_mut(width).zip(past.chunks_exact(width)) {
            row[x.clone()].copy_from_slice(&past[x.clone()]);
        }
    }
}

thread_local!(static ACC: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });

/// The past's weight where nothing moves; none if smoothing is off.
fn weight(strength: f32) -> Option<f32> {
    (strength > 0.0).then(|| (1.0 - (1.0 - strength.min(1.0)).powi(2)).min(0.95))
}

/// The past's weight where the scene has stood still for `age` frames and `weight` is what it is without: that of the
/// mean of the first frames, from there on little is learnt. Less where less is asked for than by default.
fn lasting(age: u8, weight: f32) -> f32 {
    let part = if age < FIRST { 1.0 / (f32::from(age) + 1.0) } else { 0.0 };
    (1.0 - part.max((1.0 - weight) / LONGER)) * (weight / USUAL).min(1.0)
}

/// Frame pixels in a sample of the luma that motion, and the scene, are looked for in, across.
pub(crate) fn luma_scale(w: usize, h: usize) -> usize {
    match w.min(h) {
        0..480 => 1,
        480..1440 => 2,
        _ => 4,
    }
}

/// Whether the frame holds the component that is looked at.
fn readable(frame: &Frame<'_>) -> bool {
    frame.width > 0 && frame.height > 0 && frame.holds(&guide(frame))
}

/// The luma component; of RGB green, which stands for it.
fn guide(frame: &Frame<'_>) -> Component {
    let layout = frame.format.layout();
    layout.color[if frame.format.is_yuv() || layout.colors == 1 { 0 } else { 1 }]
}

/// Where the middle of a mask's column or row lies in luma: of so many, spanning so many pixels, `scale` of them a sample of luma.
fn in_luma(at: usize, (size, samples): (usize, usize), scale: usize) -> usize {
    ((2 * at + 1) * size / (2 * samples)).min(size - 1) / scale
}

/// Marks the blocks in which columns, which lie at `place` in luma, are marked.
fn mark(columns: &[u8], place: &[usize], blocks: &mut [bool]) {
    place.iter().zip(columns).for_each(|(x, &c)| blocks[x / BLOCK] |= c != 0);
}

multiversion! {
    /// Marks the columns in which a mask is in doubt, or another than before.
    fn unsure(mask: &[f32], past: &[f32], out: &mut [u8]) {
        for ((o, &m), &p) in out.iter_mut().zip(mask).zip(past) {
            *o |= u8::from(((m > 0.02) & (m < 0.98)) | ((m - p).abs() > 0.1));
        }
    }
}

#[cfg(test)]
mod tests;
