//! What is learnt of a frame: how long each cell has looked the same, whether that is background, and its mean.

use rayon::prelude::*;

use super::memory::{KNOWN, LONG, Memory, OPINIONS, ROWS, STEPS, TURNS};
use crate::simd::multiversion;

/// The network's mean opinion up to which a cell is background, at first.
const EMPTY: f32 = 0.35;
/// How much more that is later.
const LATER: f32 = 0.25;
/// After how many frames it begins to be more, and over how many it grows to that.
const LATE: (f32, f32) = (8.0, 24.0);
/// Frames for which something else has to be there, while the network says that it is nothing, to be the background.
const RELEARN: u8 = 60;
/// How many times as fast that goes where it stands still away from the subject.
const APART: u8 = 3;
/// Change of luma from one frame to the next up to which it stands, in quarters of a level, in little noise.
const STANDS: u16 = 16;
/// Cells whose means follow together.
const RUN: usize = 32;
/// The rate that takes the frame as it is.
const ANEW: i16 = i16::MIN;

impl Memory {
    /// Learns: `raw` is the network's mask by cell, 0..1; `near` is 0 where nothing of the subject is near.
    pub fn learn(&mut self, raw: &[f32], near: &[u8]) {
        // Of a scene that has gone on for long every second frame tells enough.
        let by = if self.frames >= LONG { 2 } else { 1 };
        if !self.frames.is_multiple_of(by) {
            return;
        }
        let (grid_width, limit, planes) = (self.grid_width, self.limit(), self.planes);
        let part = grid_width * ROWS;
        let (turns, turn) = (TURNS / usize::from(by), usize::from(self.frames / by));
        let luma = self.luma();
        let stands = (f32::from(STANDS) * self.noise) as u16;
        let k = &mut self.cells;
        let [a, b, c] = &mut self.mean;
        let rows = |m| <[i16]>::par_chunks_mut(m, 4 * part);
        // Planes that are not there have no parts; theirs are made up.
        let parts = k.distance.len().div_ceil(part);
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
        let (distance, grey, before, now) = (&k.distance, &k.now[luma], &k.before, &self.now);
        let cells_now = &k.now;
        known.enumerate().for_each_init(Vec::new, |scratch, (n, ((said, counts), (means, ((p, q), r))))| {
            let mut cell_means = [p, q, r];
            let (((run, seen), held), stood) = counts;
            let ((a, b), c) = means;
            let mut means = [a, b, c];
            scratch.resize(3 * grid_width, 0i16);
            let (rates, wider) = scratch.split_at_mut(grid_width);
            for y in 0..said.len() / grid_width {
                let cells = y * grid_width..(y + 1) * grid_width;
                let all = n * part + y * grid_width;
                let all = all..all + grid_width;
                let seen_now = Seen {
                    distance: &distance[all.clone()],
                    raw: &raw[all.clone()],
                    near: &near[all.clone()],
                    grey: &grey[all.clone()],
                    before: &before[all.clone()],
                    limit,
                    stands,
                    by,
                };
                let counts = [&mut *run, &mut *seen, &mut *held, &mut *stood].map(|v| &mut v[cells.clone()]);
                learn(seen_now, &mut said[cells.clone()], counts, rates);
                for (mean, now) in cell_means.iter_mut().zip(cells_now).take(planes) {
                    follow_cells(&now[all.clone()], rates, &mut mean[cells.clone()]);
                }
                // What has long been known follows by turns, and then as far as in all of them.
                let part = if (n * ROWS + y + turn).is_multiple_of(turns) { turns as i16 } else { 0 };
                rates.iter_mut().zip(&run[cells.clone()]).for_each(|(rate, run)| {
                    *rate *= if *run >= LONG { part } else { 1 };
                });
                twice(rates, wider);
                for (rates, x) in wider.chunks(2 * RUN).zip((0..2 * grid_width).step_by(2 * RUN)) {
                    if rates.iter().all(|r| *r == 0) {
                        continue;
                    }
                    for (mean, now) in means.iter_mut().zip(now).take(planes) {
                        for row in [0, 2 * grid_width] {
                            let now = &now[4 * all.start + row + x..][..rates.len()];
                            follow(now, rates, &mut mean[4 * cells.start + row + x..][..rates.len()]);
                        }
                    }
                }
            }
        });
    }
}

/// What is seen of a row of cells; see [`Cells`](super::memory::Cells).
#[derive(Clone, Copy)]
struct Seen<'a> {
    distance: &'a [u8],
    raw: &'a [f32],
    near: &'a [u8],
    grey: &'a [u16],
    before: &'a [u16],
    /// The distance from which on a cell does not look the same, and the change of luma up to which it stands.
    limit: u8,
    stands: u16,
    /// How many frames it stands for.
    by: u8,
}

multiversion! {
    /// Learns of a row of cells; gives how much of the means' way to the frame is gone, of 32768, or [`ANEW`].
    fn learn(now: Seen<'_>, said: &mut [f32], counts: [&mut [u8]; 4], rates: &mut [i16]) {
        let n = rates.len();
        let [run, seen, held, stood] = counts.map(|v| &mut v[..n]);
        let (distance, raw, near, said) = (&now.distance[..n], &now.raw[..n], &now.near[..n], &mut said[..n]);
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
                stood[i].saturating_sub(APART * now.by)
            } else {
                stood[i] + if stands & !near { APART * now.by } else { now.by }
            };
            let over = !known | (waited >= RELEARN);
            // Where it looks the same.
            let long = (run[i] + now.by).min(OPINIONS);
            let opinion = said[i] + (raw - said[i]) * f32::from(now.by) / f32::from(long);
            let late = ((f32::from(long) - LATE.0) / LATE.1).clamp(0.0, 1.0);
            let empty = opinion < EMPTY + LATER * late;
            let learnt = empty & !near;
            let count = if learnt { (seen[i] + now.by).min(LONG) } else if known { seen[i] } else { 0 };
            let holds = ((held[i] != 0) & empty) | (learnt & (count >= KNOWN));
            // 2²³ leaves a float no room for a fraction.
            let rate = (32767.0 * f32::from(now.by) / f32::from(long.min(LONG)) + 8_388_608.0).to_bits() as i16;
            let rate = if learnt | !known { rate } else { 0 };

            let other = distance[i] >= now.limit;
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
