//! What the background looks like, sample by sample, and since when it has been seen as it is.
//!
//! Samples are a half of the frame across (a quarter of large ones, the frame's own of small ones); four of them are a
//! cell, over which noise is averaged before anything is judged.

use rayon::prelude::*;

use super::exposure;
use crate::frame::{Format, Frame};
use crate::refine::component_row;
use crate::simd::multiversion;
use crate::temporal::luma_scale;

/// Steps of a level in which means are kept.
pub const STEPS: i16 = 64;
/// Distances are in quarters of a level.
const QUARTERS: f32 = 4.0;
/// Distance from the mean, in levels (0..255), up to which a cell looks the same, and from which it does not, in little
/// noise.
const SAME: f32 = 2.5;
const OTHER: f32 = 6.0;
/// The median change of the brightness of a cell without texture from frame to frame that makes no difference to that; more of it makes
/// it so many times as much.
const QUIET: f32 = 0.5;
const MOST_NOISE: f32 = 2.5;
/// What a tint's distance counts for, against one of brightness.
pub const TINT: f32 = 1.5;
/// Frames for which the background has to have been seen before it is known.
const KNOWN: u8 = 6;
/// Frames that its mean goes over, at most.
const LONG: u8 = 32;
/// Rows of cells of which one takes in a frame, where the mean goes over that many.
const TURNS: usize = 4;
/// Frames over which the network's opinion is averaged, at most.
const OPINIONS: u8 = 250;
/// The network's mean opinion up to which a cell is background: at first, and how much more after so many frames.
const EMPTY: f32 = 0.35;
const LATER: f32 = 0.25;
const LATE: (f32, f32) = (8.0, 24.0);
/// Frames for which something else has to be there, while the network says that it is nothing, to be the background;
/// how many times as fast that goes where it stands still away from the subject.
const RELEARN: u8 = 60;
const APART: u8 = 3;
/// Change of brightness from one frame to the next up to which it stands, in quarters of a level, in little noise.
const STANDS: u16 = 16;
/// The gradient, in levels from one cell's neighbour to the other, that shows whether a camera stands still; how much of
/// it has to be as before for the memory to be kept; and how many cells it takes to say so.
const TEXTURE: i32 = 4;
const LOST: f32 = 0.8;
const TELLING: usize = 30;
/// How much of it has to be as before for the camera to stand still.
const STILL: f32 = 0.9;
/// How many cells without texture it takes to tell how much noise there is.
const FLAT_TELLING: usize = 100;
/// Of so many rows and columns of cells one says as much as all.
const EVERY: (usize, usize) = (6, 3);
/// How far a cell is from the background, in levels, where something else begins to be there, and where it is, in little
/// noise; and for how many frames the background has to have been seen for that.
const DIFFERS: (f32, f32) = (10.0, 24.0);
const SURE: u8 = 10;
/// A shadow takes this part of the brightness at most, and of the tints the same part. For each level that it takes of
/// brightness, tints may be off by so much beside that.
const SHADE: f32 = 0.5;
const SHADE_TINT: f32 = 0.12;
/// Cells whose means follow together.
const RUN: usize = 32;
/// Rows of cells that a thread takes at a time.
const ROWS: usize = 16;
/// The rate that takes the frame as it is.
const ANEW: i16 = i16::MIN;

/// What is known of the background, by cell.
#[derive(Debug, Default)]
struct Cells {
    /// How far the frame is from the mean, in quarters of a level.
    far: Vec<u8>,
    /// Not 0 where it is the mean in a shadow.
    shade: Vec<u8>,
    /// The network's mean opinion over the frames for which the cell has looked the same; how many these are, up to
    /// [`OPINIONS`].
    said: Vec<f32>,
    run: Vec<u8>,
    /// For how many frames it has been seen as background, up to [`LONG`].
    seen: Vec<u8>,
    /// Not 0 where it has not changed since it was last seen as background.
    held: Vec<u8>,
    /// For how many frames something else has been there that the network takes for nothing.
    stood: Vec<u8>,
    /// The frame's colours there, and the brightness of the one taken in before, in quarters of a level; the background's in [`STEPS`].
    now: [Vec<u16>; 3],
    before: Vec<u16>,
    mean: [Vec<i16>; 3],
}

impl Cells {
    fn resize(&mut self, n: usize) {
        for v in
            [&mut self.far, &mut self.shade, &mut self.run, &mut self.seen, &mut self.held, &mut self.stood]
        {
            v.clear();
            v.resize(n, 0);
        }
        self.said.clear();
        self.said.resize(n, 0.0);
        // Planes that are not there have no tint: 128 in quarters.
        for v in self.now.iter_mut().chain([&mut self.before]) {
            v.clear();
            v.resize(n, 512);
        }
        for v in &mut self.mean {
            v.clear();
            v.resize(n, 0);
        }
    }

    /// Knows nothing any more.
    fn forget(&mut self) {
        for v in [&mut self.run, &mut self.seen, &mut self.held, &mut self.stood] {
            v.fill(0);
        }
    }
}

/// What the camera has done since the frame that was taken in before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Camera {
    Still,
    Unsure,
    Moved,
}

/// The background's means and what is known of them.
#[derive(Debug, Default)]
pub struct Memory {
    /// Of what: the frame's format and size.
    kind: Option<(Format, usize, usize)>,
    /// Frame pixels in a sample, across.
    pub scale: usize,
    wide: usize,
    high: usize,
    /// Colour planes: three, or one; whether they are brightness and tints.
    planes: usize,
    yuv: bool,
    /// The brightness of black.
    black: f32,
    /// The frame, and the background in [`STEPS`], by sample.
    now: [Vec<u8>; 3],
    mean: [Vec<i16>; 3],
    cells: Cells,
    /// How much more than usual noise makes of all distances.
    noise: f32,
    /// Frames seen, as far as it matters; none before the first.
    frames: u8,
}

impl Memory {
    /// Forgets everything.
    pub fn reset(&mut self) {
        self.frames = 0;
    }

    /// Cells across and down.
    pub fn grid(&self) -> (usize, usize) {
        (self.wide, self.high)
    }

    /// Whether it is about frames of this kind.
    pub fn fits(&self, frame: &Frame<'_>) -> bool {
        self.kind == Some((frame.format, frame.width, frame.height))
    }

    /// Colour planes: three, or one of grey.
    pub fn planes(&self) -> usize {
        self.planes
    }

    /// Whether colours are brightness and tints.
    pub fn yuv(&self) -> bool {
        self.yuv
    }

    /// How much more than usual noise makes of all distances.
    pub fn noise(&self) -> f32 {
        self.noise
    }

    /// Takes in a frame, and finds how far it is from the background.
    pub fn take(&mut self, frame: &Frame<'_>) {
        if !self.fits(frame) {
            self.resize(frame);
        }
        let (width, layout, scale) = (2 * self.wide, frame.format.layout(), self.scale);
        for (c, now) in layout.color[..self.planes].iter().zip(&mut self.now) {
            now.par_chunks_mut(width * 2 * ROWS).enumerate().for_each(|(part, rows)| {
                for (y, row) in rows.chunks_exact_mut(width).enumerate() {
                    component_row(frame, c, scale, part * 2 * ROWS + y, 0, row);
                }
            });
        }
        let luma = self.luma();
        std::mem::swap(&mut self.cells.now[luma], &mut self.cells.before);
        for (now, out) in self.now.iter().zip(&mut self.cells.now).take(self.planes) {
            let rows = out.par_chunks_mut(self.wide * ROWS).zip(now.par_chunks(2 * width * ROWS));
            rows.for_each(|(out, rows)| {
                for (out, rows) in out.chunks_exact_mut(width / 2).zip(rows.chunks_exact(2 * width)) {
                    fours(rows, out);
                }
            });
        }
        if self.frames == 0 {
            self.noise = 1.0;
            self.start_anew();
            self.cells.before.clone_from(&self.cells.now[luma]);
        }
        self.frames = self.frames.checked_add(1).unwrap_or(u8::MAX - TURNS as u8 + 1);
        self.compare();
    }

    /// The plane that stands for brightness: itself, or green.
    fn luma(&self) -> usize {
        usize::from(!self.yuv)
    }

    /// The frame is all that is known.
    fn start_anew(&mut self) {
        for (mean, now) in self.mean.iter_mut().zip(&self.now) {
            mean.clear();
            mean.extend(now.iter().map(|&v| i16::from(v) * STEPS));
        }
        for (mean, now) in self.cells.mean.iter_mut().zip(&self.cells.now) {
            mean.iter_mut().zip(now).for_each(|(m, &n)| *m = n as i16 * (STEPS / 4));
        }
        self.cells.forget();
    }

    /// Finds how far the frame is from the background.
    fn compare(&mut self) {
        let (yuv, planes, wide, black) = (self.yuv, self.planes, self.wide, self.black);
        let k = &mut self.cells;
        let (now, mean) = (&k.now, &k.mean);
        let parts = k.far.par_chunks_mut(wide * ROWS).zip(k.shade.par_chunks_mut(wide * ROWS));
        parts.enumerate().for_each_init(Vec::new, |scratch, (part, (far, shade))| {
            scratch.resize(3 * wide, 0i16);
            let (a, rest) = scratch.split_at_mut(wide);
            let (b, c) = rest.split_at_mut(wide);
            for (y, (far, shade)) in far.chunks_exact_mut(wide).zip(shade.chunks_exact_mut(wide)).enumerate()
            {
                let row = (part * ROWS + y) * wide..(part * ROWS + y + 1) * wide;
                for (k, off) in [&mut *a, &mut *b, &mut *c].into_iter().enumerate().take(planes) {
                    apart(&now[k][row.clone()], &mean[k][row.clone()], off);
                }
                let off = [&*a, &*b, &*c];
                let was = mean.each_ref().map(|m| &m[row.clone()]);
                if yuv {
                    distances(off, far);
                    shades(off, was, black, shade);
                } else {
                    distances_of_rgb(off, far);
                    shades_of_rgb(off, was, shade);
                }
            }
        });
    }

    fn resize(&mut self, frame: &Frame<'_>) {
        let (w, h) = (frame.width, frame.height);
        self.kind = Some((frame.format, w, h));
        self.frames = 0;
        self.scale = luma_scale(w, h);
        (self.wide, self.high) = (w.div_ceil(2 * self.scale), h.div_ceil(2 * self.scale));
        self.planes = frame.format.layout().colors;
        self.yuv = frame.format.is_yuv() || self.planes == 1;
        self.black = frame.color.scale().1;
        let cells = self.wide * self.high;
        self.cells.resize(cells);
        for (k, now) in self.now.iter_mut().enumerate() {
            now.clear();
            now.resize(if k < self.planes { 4 * cells } else { 0 }, 0);
        }
    }

    /// Whether the camera stands where it stood, as far as the cells show that of which `far` says that nothing of the
    /// subject is near. Forgets the scene if it has moved.
    pub fn judge(&mut self, far: impl Fn(usize, usize) -> bool + Copy) -> Camera {
        self.follow_exposure(far);
        let (wide, grey) = (self.wide, &self.cells.now[self.luma()]);
        let (mut all, mut same) = (0usize, 0usize);
        // How much the brightness of cells without texture changes from one frame that is taken in to the next, in quarters of a
        // level. (Noise makes √6 times as much of twice a cell less its neighbours.)
        let mut bins = [0usize; 64];
        let mut flat = 0usize;
        let limit = self.limit();
        for y in (1..self.high.saturating_sub(1)).step_by(EVERY.0) {
            for x in (1..wide.saturating_sub(1)).step_by(EVERY.1).filter(|&x| far(x, y)) {
                let at = y * wide + x;
                let dx = i32::from(grey[at + 1]) - i32::from(grey[at - 1]);
                let dy = i32::from(grey[at + wide]) - i32::from(grey[at - wide]);
                if dx * dx + dy * dy > 16 * TEXTURE * TEXTURE {
                    all += 1;
                    same += usize::from(self.cells.far[at] < limit);
                } else {
                    flat += 1;
                    // Beside its neighbours: what moves changes them alike.
                    let change = |at: usize| i32::from(grey[at]) - i32::from(self.cells.before[at]);
                    let own = (2 * change(at) - change(at - 1) - change(at + 1)).unsigned_abs();
                    bins[(own as usize * 10 / 25).min(63)] += 1;
                }
            }
        }
        if all >= TELLING && (same as f32) < LOST * all as f32 {
            self.start_anew();
            return Camera::Moved;
        }
        if flat >= FLAT_TELLING && self.frames > 1 {
            let mut sum = 0;
            let median = bins.iter().position(|n| {
                sum += n;
                2 * sum >= flat
            });
            // A bin's middle.
            let noise = (median.unwrap_or_default() as f32 + 0.5) / QUARTERS;
            let times = (noise / QUIET).clamp(1.0, MOST_NOISE);
            let part = if self.frames < 8 { 0.5 } else { 0.125 };
            self.noise += (times - self.noise) * part;
        }
        if all >= TELLING && same as f32 >= STILL * all as f32 { Camera::Still } else { Camera::Unsure }
    }

    /// Follows a change of the whole picture's brightness or tint, plane by plane a gain and an offset: the camera's
    /// exposure or white balance, or a lamp's.
    fn follow_exposure(&mut self, far: impl Fn(usize, usize) -> bool) {
        let (wide, cells) = (self.wide, &self.cells);
        let mut pairs: [Vec<(f32, f32)>; 3] = Default::default();
        for y in (1..self.high).step_by(EVERY.0) {
            for x in (0..wide).step_by(EVERY.1).filter(|&x| far(x, y)) {
                let at = y * wide + x;
                if cells.run[at] >= 4 || cells.seen[at] >= KNOWN {
                    for (pairs, (now, mean)) in
                        pairs.iter_mut().zip(cells.now.iter().zip(&cells.mean)).take(self.planes)
                    {
                        pairs.push((f32::from(mean[at]) / f32::from(STEPS), f32::from(now[at]) / QUARTERS));
                    }
                }
            }
        }
        let mut changed = false;
        for (pairs, (mean, cell_means)) in pairs.iter().zip(self.mean.iter_mut().zip(&mut self.cells.mean)) {
            let Some((gain, offset)) = exposure::line(pairs) else { continue };
            changed = true;
            scale(mean, gain, offset * f32::from(STEPS));
            scale(cell_means, gain, offset * f32::from(STEPS));
        }
        if changed {
            self.compare();
        }
    }

    /// The distance from which on a cell does not look the same.
    fn limit(&self) -> u8 {
        (OTHER * self.noise * QUARTERS) as u8
    }

    /// How far the cells of a row are the background that has not changed since it was seen, and how far something else
    /// stands there, 0 to 255.
    pub fn compared(&self, y: usize, same: &mut [u8], other: &mut [u8]) {
        let k = &self.cells;
        let row = y * self.wide..(y + 1) * self.wide;
        let [same_to, other_from] = [SAME, OTHER].map(|l| l * self.noise * QUARTERS);
        let [first, all] = [DIFFERS.0, DIFFERS.1].map(|l| l * self.noise * QUARTERS);
        // `other_from` times the first slope, and 255 times the second, are at most 28,000 at any noise.
        let slope = |span: f32| (64.0 * 255.0 / span) as u16;
        let ramps = [(other_from as u16, slope(other_from - same_to)), (first as u16, slope(all - first))];
        let [far, seen, held, shade] = [&k.far, &k.seen, &k.held, &k.shade].map(|v| &v[row.clone()]);
        likeness(far, seen, held, shade, ramps, same, other);
    }

    /// Learns: `raw` is the network's mask by cell, 0..1; `near` is 0 where nothing of the subject is near.
    pub fn learn(&mut self, raw: &[f32], near: &[u8]) {
        let (wide, limit, planes) = (self.wide, self.limit(), self.planes);
        let part = wide * ROWS;
        let (turn, luma) = (usize::from(self.frames), self.luma());
        let stands = (f32::from(STANDS) * self.noise) as u16;
        let k = &mut self.cells;
        let [a, b, c] = &mut self.mean;
        let rows = |m| <[i16]>::par_chunks_mut(m, 4 * part);
        // Planes that are not there have no parts; theirs are made up.
        let parts = k.far.len().div_ceil(part);
        let mut spare: [Vec<i16>; 2] = Default::default();
        let [d, e] = &mut spare;
        if planes < 3 {
            d.resize(parts * 4 * part, 0);
            e.resize(parts * 4 * part, 0);
        }
        let (b, c) = if planes < 3 { (d, e) } else { (b, c) };
        let means = rows(a).zip(rows(b)).zip(rows(c));
        let counts = k.run.par_chunks_mut(part).zip(k.seen.par_chunks_mut(part));
        let counts = counts.zip(k.held.par_chunks_mut(part)).zip(k.stood.par_chunks_mut(part));
        let [p, q, r] = &mut k.mean;
        let cell_means = p.par_chunks_mut(part).zip(q.par_chunks_mut(part)).zip(r.par_chunks_mut(part));
        let known = k.said.par_chunks_mut(part).zip(counts).zip(means.zip(cell_means));
        let (far, grey, before, now) = (&k.far, &k.now[luma], &k.before, &self.now);
        let cells_now = &k.now;
        known.enumerate().for_each_init(Vec::new, |scratch, (n, ((said, counts), (means, ((p, q), r))))| {
            let mut cell_means = [p, q, r];
            let (((run, seen), held), stood) = counts;
            let ((a, b), c) = means;
            let mut means = [a, b, c];
            scratch.resize(3 * wide, 0i16);
            let (rates, wider) = scratch.split_at_mut(wide);
            for y in 0..said.len() / wide {
                let cells = y * wide..(y + 1) * wide;
                let all = n * part + y * wide;
                let all = all..all + wide;
                let seen_now = Seen {
                    far: &far[all.clone()],
                    raw: &raw[all.clone()],
                    near: &near[all.clone()],
                    grey: &grey[all.clone()],
                    before: &before[all.clone()],
                    limit,
                    stands,
                };
                let counts = [&mut *run, &mut *seen, &mut *held, &mut *stood].map(|v| &mut v[cells.clone()]);
                learn(seen_now, &mut said[cells.clone()], counts, rates);
                for (mean, now) in cell_means.iter_mut().zip(cells_now).take(planes) {
                    follow_cells(&now[all.clone()], rates, &mut mean[cells.clone()]);
                }
                // What has long been known follows by turns, and then as far as in all of them.
                let part = if (n * ROWS + y + turn).is_multiple_of(TURNS) { TURNS as i16 } else { 0 };
                rates.iter_mut().zip(&run[cells.clone()]).for_each(|(rate, run)| {
                    *rate *= if *run >= LONG { part } else { 1 };
                });
                twice(rates, wider);
                for (rates, x) in wider.chunks(2 * RUN).zip((0..2 * wide).step_by(2 * RUN)) {
                    if rates.iter().all(|r| *r == 0) {
                        continue;
                    }
                    for (mean, now) in means.iter_mut().zip(now).take(planes) {
                        for row in [0, 2 * wide] {
                            let now = &now[4 * all.start + row + x..][..rates.len()];
                            follow(now, rates, &mut mean[4 * cells.start + row + x..][..rates.len()]);
                        }
                    }
                }
            }
        });
    }

    /// Whether a cell is the background in a shadow.
    pub fn shaded(&self, at: usize) -> bool {
        self.cells.shade[at] != 0
    }

    /// Whether the background is known in a cell.
    pub fn knows(&self, at: usize) -> bool {
        self.cells.seen[at] >= KNOWN
    }

    /// The background by sample and plane, in [`STEPS`]; planes that are not there are empty.
    pub fn means(&self) -> [&[i16]; 3] {
        self.mean.each_ref().map(Vec::as_slice)
    }

    /// The colours of a sample of the frame and of the background, in levels.
    pub fn sample(&self, at: usize) -> ([f32; 3], [f32; 3]) {
        let (mut now, mut mean) = ([0.0; 3], [0.0; 3]);
        for k in 0..self.planes {
            now[k] = f32::from(self.now[k][at]);
            mean[k] = f32::from(self.mean[k][at]) / f32::from(STEPS);
        }
        (now, mean)
    }

    /// The frame's colours in a cell, in quarters of a level.
    pub fn color(&self, at: usize) -> [u32; 3] {
        self.cells.now.each_ref().map(|now| u32::from(now[at]))
    }
}

/// Moves means along a line.
fn scale(mean: &mut [i16], gain: f32, offset: f32) {
    mean.par_chunks_mut(16384).for_each(|part| {
        for m in part {
            *m = (f32::from(*m) * gain + offset).clamp(0.0, 255.0 * f32::from(STEPS)) as i16;
        }
    });
}

/// A difference of red, green and blue as one of brightness and tints (BT.601).
pub fn brightness_and_tints([r, g, b]: [f32; 3]) -> [f32; 3] {
    let y = 0.299 * r + 0.587 * g + 0.114 * b;
    [y, 0.564 * (b - y), 0.713 * (r - y)]
}

/// Whether what had some brightness and tints, beside black, and is so far off now, is the same in a shadow: all of it
/// darker by one part. Any unit will do; [`SAME`] is in [`STEPS`].
#[inline(always)]
fn shade(off: [f32; 3], was: [f32; 3]) -> u8 {
    let part = -off[0] / was[0].max(1.0);
    let [u, v] = [off[1] + part * was[1], off[2] + part * was[2]];
    let least = (SHADE_TINT * -off[0]).max(SAME * STEPS as f32);
    u8::from((part > 0.0) & (part < SHADE) & (TINT * TINT * (u * u + v * v) < least * least))
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
            let off = brightness_and_tints([a[i], b[i], c[i]].map(f32::from));
            out[i] = shade(off, brightness_and_tints([p[i], q[i], r[i]].map(f32::from)));
        }
    }
}

multiversion! {
    /// Sums over cells, of two rows of samples each.
    fn fours(rows: &[u8], out: &mut [u16]) {
        let (top, bottom) = rows.split_at(2 * out.len());
        for (o, (a, b)) in out.iter_mut().zip(top.chunks_exact(2).zip(bottom.chunks_exact(2))) {
            *o = u16::from(a[0]) + u16::from(a[1]) + u16::from(b[0]) + u16::from(b[1]);
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

/// About the length (to a tenth) of a distance in brightness and tints in [`STEPS`], in quarters of a level: of two that
/// stand at right angles the longer and three eighths of the shorter.
#[inline(always)]
fn length([a, b, c]: [i16; 3]) -> u8 {
    let both = |a: i16, b: i16| a.max(b) + ((a.min(b) * 3) >> 3);
    // So that nothing overflows.
    let [a, b, c] = [a, b, c].map(|v| v.abs().min(4096));
    let tint = both(b, c);
    (both(a, tint + (tint >> 1)) >> 4).min(255) as u8
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
            *o = length(brightness_and_tints([a[i], b[i], c[i]].map(f32::from)).map(|v| v as i16));
        }
    }
}

multiversion! {
    /// See [`Memory::compared`]; `ramps`: where each begins, and 64 times what a step counts for.
    fn likeness(far: &[u8], seen: &[u8], held: &[u8], shade: &[u8], ramps: [(u16, u16); 2], same: &mut [u8], other: &mut [u8]) {
        let n = same.len();
        let (far, seen, held, shade, other) = (&far[..n], &seen[..n], &held[..n], &shade[..n], &mut other[..n]);
        let [(last, down), (first, up)] = ramps;
        for i in 0..n {
            let d = u16::from(far[i]);
            let alike = ((last.saturating_sub(d) * down) >> 6).min(255) as u8;
            let differs = ((d.saturating_sub(first) * up) >> 6).min(255) as u8;
            same[i] = if (held[i] != 0) & (seen[i] >= KNOWN) { alike } else { 0 };
            other[i] = if (seen[i] >= SURE) & (shade[i] == 0) { differs } else { 0 };
        }
    }
}

/// What is seen of a row of cells; see [`Cells`].
#[derive(Clone, Copy)]
struct Seen<'a> {
    far: &'a [u8],
    raw: &'a [f32],
    near: &'a [u8],
    grey: &'a [u16],
    before: &'a [u16],
    /// The distance from which on a cell does not look the same, and the change of brightness up to which it stands.
    limit: u8,
    stands: u16,
}

multiversion! {
    /// Learns of a row of cells; gives how much of the means' way to the frame is gone, of 32768, or [`ANEW`].
    fn learn(now: Seen<'_>, said: &mut [f32], counts: [&mut [u8]; 4], rates: &mut [i16]) {
        let n = rates.len();
        let [run, seen, held, stood] = counts.map(|v| &mut v[..n]);
        let (far, raw, near, said) = (&now.far[..n], &now.raw[..n], &now.near[..n], &mut said[..n]);
        let (grey, before) = (&now.grey[..n], &now.before[..n]);
        for i in 0..n {
            let known = seen[i] >= KNOWN;
            // A NaN is nothing.
            let raw = if raw[i] > 0.0 { raw[i].min(1.0) } else { 0.0 };
            let near = near[i] != 0;
            // Where something else is seen.
            let stands = grey[i].abs_diff(before[i]) <= now.stands;
            // Sooner where it does not move, nor hang together with the subject.
            let waited = if raw >= EMPTY {
                stood[i].saturating_sub(APART)
            } else {
                stood[i] + if stands & !near { APART } else { 1 }
            };
            let over = !known | (waited >= RELEARN);
            // Where it looks the same.
            let long = (run[i] + 1).min(OPINIONS);
            let opinion = said[i] + (raw - said[i]) / f32::from(long);
            let late = ((f32::from(long) - LATE.0) / LATE.1).clamp(0.0, 1.0);
            let empty = opinion < EMPTY + LATER * late;
            let learnt = empty & !near;
            let count = if learnt { (seen[i] + 1).min(LONG) } else if known { seen[i] } else { 0 };
            let holds = ((held[i] != 0) & empty) | (learnt & (count >= KNOWN));
            // 2²³ leaves a float no room for a fraction.
            let rate = (32767.0 / f32::from(long.min(LONG)) + 8_388_608.0).to_bits() as i16;
            let rate = if learnt | !known { rate } else { 0 };

            let other = far[i] >= now.limit;
            run[i] = if other { 0 } else { long };
            said[i] = if other { raw } else { opinion };
            held[i] = u8::from(!other & holds);
            // A moment as before does not make it new.
            let kept = if long >= LONG { 0 } else { stood[i] };
            stood[i] = if !other { kept } else if over { 0 } else { waited };
            seen[i] = if !other { count } else if over { 0 } else { seen[i] };
            rates[i] = if !other { rate } else if over { ANEW } else { 0 };
        }
    }
}

multiversion! {
    /// Each value twice.
    fn twice(from: &[i16], to: &mut [i16]) {
        for (to, &v) in to.chunks_exact_mut(2).zip(from) {
            to[0] = v;
            to[1] = v;
        }
    }
}

/// A mean, moved towards the frame.
#[inline(always)]
fn moved(mean: i16, now: i16, rate: i16) -> i16 {
    // As one instruction has it.
    let step = (((i32::from(now - mean) * i32::from(rate)) >> 14) + 1) >> 1;
    let step = step as i16;
    if rate == ANEW { now } else { mean + step }
}

multiversion! {
    fn follow(now: &[u8], rate: &[i16], mean: &mut [i16]) {
        for ((m, &n), &rate) in mean.iter_mut().zip(now).zip(rate) {
            *m = moved(*m, i16::from(n) * STEPS, rate);
        }
    }
}

multiversion! {
    fn follow_cells(now: &[u16], rate: &[i16], mean: &mut [i16]) {
        for ((m, &n), &rate) in mean.iter_mut().zip(now).zip(rate) {
            *m = moved(*m, n as i16 * (STEPS / 4), rate);
        }
    }
}
