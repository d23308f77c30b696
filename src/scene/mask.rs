//! The network's mask, corrected by the scene: what has not changed since it was seen as background goes, and what
//! differs from the background and hangs together with the subject comes back.

use rayon::prelude::*;

use super::memory::Memory;
use crate::morphology::{dilate, erode, quantise};
use crate::simd::multiversion;

/// Mask above which the subject is there, for what is learnt beside it.
const SUBJECT: f32 = 0.7;
/// So near beside it nothing is learnt, in pixels of a 720p frame.
const MARGIN: f32 = 8.0;
/// Mask up to which nothing of the subject is there.
const ANYTHING: u8 = 51;
/// From so many pixels of a 720p frame on a place is away from the subject.
const AWAY: f32 = 20.0;
/// How much of a sample and of those around it has to be background for it to go: from, and how much more for all of it.
const GOES: (f32, f32) = (0.3, 0.5);
/// The same for what differs.
const COMES: (f32, f32) = (0.2, 0.4);
/// Mask from which on the subject is sure enough for others to hang together with it.
const SEED: f32 = 0.6;
/// How much of a sample has to differ to be part of it.
const PART: f32 = 0.5;
/// Over how many samples that may go.
const REACH: u8 = 14;
/// Farther away something comes back as long as all that has come back makes the subject no larger than so many times
/// what the network has lately called the subject, the largest; of which it forgets a part in each frame.
const LARGER: f32 = 1.25;
const SHRINKS: f32 = 1.0 / 600.0;
/// Corrections of masks whose samples are finer than cells are at least so many cells wide: edges are better known to
/// the network.
const WIDE: f32 = 3.0;

/// Rows that a thread takes at a time.
const ROWS: usize = 16;

/// Corrects masks; keeps its buffers from frame to frame.
#[derive(Debug, Default)]
pub struct Corrector {
    size: (usize, usize),
    cells: (usize, usize),
    /// Which samples of the mask the cells lie in, and which cells the samples span.
    across: Vec<usize>,
    down: Vec<usize>,
    spans: [Vec<Span>; 2],
    /// The network's mask by cell.
    raw: Vec<f32>,
    /// The most of the mask within [`AWAY`] of each sample.
    dilated: Vec<u8>,
    /// Not 0 around the subject, by sample of the mask.
    around: Vec<u8>,
    /// The same by cell.
    near: Vec<u8>,
    tmp: [Vec<u8>; 2],
    /// How far cells are background, and how far they differ from it, 0 to 255.
    compared: [Vec<u8>; 2],
    /// By sample of the mask: how far it is background; how far it differs from it.
    same: Vec<f32>,
    other: Vec<f32>,
    smooth: Vec<f32>,
    before: Vec<f32>,
    /// How far what differs is from the subject, in samples; 0 for what is not reached.
    grown: Vec<u8>,
    queue: Vec<usize>,
    /// The largest part of the frame that the network alone has lately called the subject.
    most: f32,
}

/// The cells that a sample of the mask spans along an axis, and one over how many these are.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: usize,
    to: usize,
    part: f32,
}

impl Corrector {
    /// Forgets the subject.
    pub fn reset(&mut self) {
        self.most = 0.0;
    }

    /// Takes in the network's mask.
    pub fn update(&mut self, mask: &[f32], size: (usize, usize), cells: (usize, usize)) {
        let ((mw, mh), (grid_width, grid_height)) = (size, cells);
        if (self.size, self.cells) != (size, cells) {
            (self.size, self.cells) = (size, cells);
            let place = |cells: usize, samples: usize| {
                (0..cells).map(move |i| (2 * i + 1) * samples / (2 * cells)).collect::<Vec<_>>()
            };
            (self.across, self.down) = (place(grid_width, mw), place(grid_height, mh));
            let span = |samples: usize, cells: usize| {
                let of = move |i: usize| {
                    let (from, to) = (i * cells / samples, ((i + 1) * cells).div_ceil(samples).min(cells));
                    Span { from, to, part: 1.0 / (to - from) as f32 }
                };
                (0..samples).map(of).collect::<Vec<_>>()
            };
            self.spans = [span(mw, grid_width), span(mh, grid_height)];
        }
        let subject = mask.iter().filter(|m| **m > SEED).count() as f32 / mask.len() as f32;
        self.most = subject.max(self.most * (1.0 - SHRINKS));
        by_cell(mask, mw, &self.across, &self.down, &mut self.raw);
        let [own, tmp] = &mut self.tmp;
        own.resize(mask.len(), 0);
        tmp.resize(mask.len(), 0);
        self.dilated.resize(mask.len(), 0);
        self.around.resize(mask.len(), 0);
        quantise(mask, own);
        dilate(own, mw, in_samples(AWAY, size), &mut self.dilated, tmp);
    }

    /// The network's mask by cell.
    pub fn raw(&self) -> &[f32] {
        &self.raw
    }

    /// Whether a cell is away from the subject.
    pub fn is_away_from_subject(&self, x: usize, y: usize) -> bool {
        self.dilated[self.down[y] * self.size.0 + self.across[x]] < ANYTHING
    }

    /// Not 0 where the subject is near, by cell.
    pub fn near(&self) -> &[u8] {
        &self.near
    }

    /// Finds what is near the subject of the corrected mask.
    pub fn claim(&mut self, mask: &[f32]) {
        let (mw, _) = self.size;
        let [own, tmp] = &mut self.tmp;
        own.clear();
        own.extend(mask.iter().map(|&m| u8::from(m > SUBJECT)));
        dilate(own, mw, in_samples(MARGIN, self.size), &mut self.around, tmp);
        by_cell(&self.around, mw, &self.across, &self.down, &mut self.near);
    }

    /// Corrects the mask.
    pub fn correct(&mut self, memory: &Memory, mask: &mut [f32]) {
        let mw = self.size.0;
        let grid_width = self.cells.0;
        self.same.resize(mask.len(), 0.0);
        self.other.resize(mask.len(), 0.0);
        let cells = grid_width * self.cells.1;
        let [same, other] = &mut self.compared;
        same.resize(cells, 0);
        other.resize(cells, 0);
        let rows = same.par_chunks_mut(grid_width * ROWS).zip(other.par_chunks_mut(grid_width * ROWS));
        rows.enumerate().for_each(|(part, (same, other))| {
            for (y, (same, other)) in
                same.chunks_exact_mut(grid_width).zip(other.chunks_exact_mut(grid_width)).enumerate()
            {
                memory.compared(part * ROWS + y, same, other);
            }
        });
        let [across, down] = &self.spans;
        let compared = &self.compared;
        let rows = self.same.par_chunks_mut(mw * ROWS).zip(self.other.par_chunks_mut(mw * ROWS));
        rows.enumerate().for_each_init(Vec::new, |sums, (part, (same, other))| {
            for (v, (same, other)) in same.chunks_exact_mut(mw).zip(other.chunks_exact_mut(mw)).enumerate() {
                let span = &down[part * ROWS + v];
                for (out, plane) in [same, other].into_iter().zip(compared) {
                    let rows = &plane[span.from * grid_width..span.to * grid_width];
                    sums_from_left(rows, grid_width, sums);
                    for (out, x) in out.iter_mut().zip(across) {
                        *out = (sums[x.to] - sums[x.from]) as f32 * (x.part * span.part / 255.0);
                    }
                }
            }
        });
        let ramp = |v: f32, (from, more): (f32, f32)| ((v - from) / more).clamp(0.0, 1.0);
        box3(&self.same, mw, &mut self.smooth);
        for (same, &around) in self.same.iter_mut().zip(&self.smooth) {
            *same *= ramp(around, GOES);
        }
        self.before.clear();
        self.before.extend_from_slice(mask);
        for (m, same) in mask.iter_mut().zip(&self.same) {
            *m *= 1.0 - same;
        }
        self.grow(mask);
        box3(&self.other, mw, &mut self.smooth);
        let parts = self.other.iter().zip(&self.smooth).zip(&self.same).zip(&self.grown);
        for (m, (((&other, &around), same), &grown)) in mask.iter_mut().zip(parts) {
            if grown > 0 {
                *m = m.max(other * ramp(around, COMES) * (1.0 - same));
            }
        }
        let cell = self.cells.0 as f32 / mw as f32;
        if cell < 1.0 {
            let radius = ((WIDE / cell - 1.0) / 2.0).round().max(1.0) as usize;
            self.keep_wide(mask, radius);
        }
    }

    /// Finds what differs and hangs together with the subject: near it, and farther away as long as the subject is not too large.
    fn grow(&mut self, mask: &[f32]) {
        let (mw, mh) = self.size;
        self.grown.clear();
        self.grown.resize(mask.len(), 0);
        let [joins, beside] = &mut self.tmp;
        seeds(mask, &self.other, &mut self.grown, joins);
        // What hangs together with the subject begins where something that may join is beside it.
        dilate(joins, mw, 1, beside, &mut self.around);
        let mut size = self.grown.iter().filter(|g| **g != 0).count();
        self.queue.clear();
        let begins = self.grown.iter().zip(&*beside).enumerate().filter(|(_, (g, b))| **g != 0 && **b != 0);
        self.queue.extend(begins.map(|(at, _)| at));
        let most = (LARGER * self.most * mask.len() as f32) as usize;
        let mut next = 0;
        while let Some(&at) = self.queue.get(next) {
            next += 1;
            let step = self.grown[at].saturating_add(1);
            if step > REACH && size >= most {
                break;
            }
            let (x, y) = (at % mw, at / mw);
            for v in y.saturating_sub(1)..(y + 2).min(mh) {
                for near in v * mw + x.saturating_sub(1)..v * mw + (x + 2).min(mw) {
                    if self.grown[near] == 0 && self.other[near] > PART {
                        self.grown[near] = step;
                        self.queue.push(near);
                        size += 1;
                    }
                }
            }
        }
    }

    /// Takes back corrections that are narrower than a square of so many samples to each side.
    fn keep_wide(&mut self, mask: &mut [f32], radius: usize) {
        let mw = self.size.0;
        let [own, tmp] = &mut self.tmp;
        for sign in [1.0f32, -1.0] {
            let change = self.before.iter().zip(mask.iter()).map(|(b, m)| ((m - b) * sign).max(0.0));
            self.smooth.clear();
            self.smooth.extend(change);
            quantise(&self.smooth, own);
            if own.iter().all(|c| *c == 0) {
                // Too little to be seen.
                for (m, &b) in mask.iter_mut().zip(&self.before) {
                    *m = if (*m - b) * sign > 0.0 { b } else { *m };
                }
                continue;
            }
            erode(own, mw, radius, &mut self.around, tmp);
            dilate(&self.around, mw, radius + 1, own, tmp);
            for ((m, &b), (&change, &most)) in
                mask.iter_mut().zip(&self.before).zip(self.smooth.iter().zip(own.iter()))
            {
                if change > 0.0 {
                    *m = b + sign * change.min(f32::from(most) / 255.0);
                }
            }
        }
    }
}

multiversion! {
    /// Marks the subject with 1; and with 1 what else may join it.
    fn seeds(mask: &[f32], other: &[f32], subject: &mut [u8], joins: &mut [u8]) {
        for (((s, j), &m), &o) in subject.iter_mut().zip(joins).zip(mask).zip(other) {
            *s = u8::from(m > SEED);
            *j = u8::from(o > PART) & (1 - *s);
        }
    }
}

/// So many pixels of a 720p frame in samples of a mask.
fn in_samples(px: f32, (mw, mh): (usize, usize)) -> usize {
    (px * mw.min(mh) as f32 / 720.0).round().max(1.0) as usize
}

/// The mask's samples by cell.
fn by_cell<T: Copy>(mask: &[T], mw: usize, across: &[usize], down: &[usize], out: &mut Vec<T>) {
    out.clear();
    for (y, &v) in down.iter().enumerate() {
        if y > 0 && down[y - 1] == v {
            out.extend_from_within(out.len() - across.len()..);
        } else {
            let row = &mask[v * mw..][..mw];
            out.extend(across.iter().map(|&u| row[u]));
        }
    }
}

/// Of rows of cells, one below the other: the sum of all that lies left of each column, and of all.
fn sums_from_left(rows: &[u8], width: usize, sums: &mut Vec<u32>) {
    sums.clear();
    sums.resize(width + 1, 0);
    for row in rows.chunks_exact(width) {
        sums[1..].iter_mut().zip(row).for_each(|(s, &v)| *s += u32::from(v));
    }
    let mut sum = 0;
    for s in &mut sums[1..] {
        sum += *s;
        *s = sum;
    }
}

/// Means over 3×3 samples, fewer at the border.
fn box3(from: &[f32], width: usize, out: &mut Vec<f32>) {
    let height = from.len() / width;
    out.resize(from.len(), 0.0);
    let mut column_sums = vec![0.0; width];
    for (y, out) in out.chunks_exact_mut(width).enumerate() {
        let rows = y.saturating_sub(1)..(y + 2).min(height);
        column_sums.fill(0.0);
        for row in rows.clone() {
            column_sums.iter_mut().zip(&from[row * width..][..width]).for_each(|(t, v)| *t += v);
        }
        let part = 1.0 / (3 * rows.len()) as f32;
        for (out, three) in out[1..].iter_mut().zip(column_sums.windows(3)) {
            *out = (three[0] + three[1] + three[2]) * part;
        }
        for (x, beside) in [(0, 1.min(width - 1)), (width - 1, width.saturating_sub(2))] {
            out[x] = (column_sums[x] + column_sums[beside]) / (2 * rows.len()) as f32;
        }
    }
}
