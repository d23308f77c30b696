//! What is learnt of a frame: how long each cell has looked the same, whether that is background, and its mean.

use rayon::prelude::*;

use super::memory::{KNOWN, LONG, Memory, OPINIONS, ROWS, STEPS, TURNS};
use crate::refine::runs;
use crate::simd::{multiversion, nearest};

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
        // Of a scene that has gone on for long every second frame tells enough; by turns an even and an odd one, or else what flickers
        // from frame to frame would seem to stand.
        let by = if self.frames >= LONG { 2 } else { 1 };
        if by == 2 && !matches!(self.frames % 4, 0 | 3) {
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
        known.enumerate().for_each_init(
            || (vec![0i16; 3 * grid_width], Vec::new()),
            |(scratch, moving), (n, ((said, counts), (means, ((p, q), r))))| {
                let mut cell_means = [p, q, r];
                let (((run, seen), held), stood) = counts;
                let ((a, b), c) = means;
                let mut means = [a, b, c];
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
                    let counts =
                        [&mut *run, &mut *seen, &mut *held, &mut *stood].map(|v| &mut v[cells.clone()]);
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
                    moving.clear();
                    moving.extend(wider.chunks(2 * RUN).map(|rates| rates.iter().any(|r| *r != 0)));
                    for (mean, now) in means.iter_mut().zip(now).take(planes) {
                        for run in runs(moving) {
                            let x = run.start * 2 * RUN..(run.end * 2 * RUN).min(2 * grid_width);
                            for row in [0, 2 * grid_width] {
                                let now = &now[4 * all.start + row..][x.clone()];
                                let mean = &mut mean[4 * cells.start + row..][x.clone()];
                                follow(now, &wider[x.clone()], mean);
                            }
                        }
                    }
                }
            },
        );
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
    /// How many frames it speaks for.
    by: u8,
}

/// Cells that are learnt of side by side.
const LANES: usize = 32;

/// So many of a row from `at` on, and nothing beyond its end.
#[inline(always)]
fn lanes<T: Copy + Default>(row: &[T], at: usize) -> [T; LANES] {
    let row = &row[at..];
    row.first_chunk().copied().unwrap_or_else(|| {
        let mut lanes = [T::default(); LANES];
        lanes[..row.len()].copy_from_slice(row);
        lanes
    })
}

/// Puts them back.
#[inline(always)]
fn put<T: Copy>(lanes: &[T; LANES], row: &mut [T], at: usize) {
    let row = &mut row[at..];
    match row.first_chunk_mut() {
        Some(row) => *row = *lanes,
        None => row.copy_from_slice(&lanes[..row.len()]),
    }
}

/// For each of the lanes.
#[inline(always)]
fn each<T>(f: impl FnMut(usize) -> T) -> [T; LANES] {
    std::array::from_fn(f)
}

multiversion! {
    /// Learns of a row of cells; gives how much of the means' way to the frame is gone, of 32768, or [`ANEW`].
    ///
    /// In steps of one kind of number each, on copies: so that all of it becomes vectors.
    fn learn(now: Seen<'_>, said: &mut [f32], counts: [&mut [u8]; 4], rates: &mut [i16]) {
        let [run, seen, held, stood] = counts;
        let (by, part) = (now.by, f32::from(now.by));
        for at in (0..rates.len()).step_by(LANES) {
            let (distance, near) = (lanes(now.distance, at), lanes(now.near, at));
            let (grey, before) = (lanes(now.grey, at), lanes(now.before, at));
            let (ran, knew, hold, stays) = (lanes(run, at), lanes(seen, at), lanes(held, at), lanes(stood, at));
            let mean = lanes(said, at);
            // A NaN is nothing.
            let raw = lanes(now.raw, at).map(|v| if v > 0.0 { v.min(1.0) } else { 0.0 });
            let long = ran.map(|v| (v + by).min(OPINIONS));
            // The network's opinion, and how fast what it looks like is followed.
            let frames = long.map(f32::from);
            let opinion = each(|i| mean[i] + (raw[i] - mean[i]) * part / frames[i]);
            let empty = each(|i| {
                let late = ((frames[i] - LATE.0) / LATE.1).clamp(0.0, 1.0);
                u8::from(opinion[i] < EMPTY + LATER * late)
            });
            let rate = each(|i| nearest(32767.0 * part / frames[i].min(f32::from(LONG))) as i16);
            // Where something else is seen: sooner where it does not move, nor hang together with the subject.
            let subject = raw.map(|v| u8::from(v >= EMPTY));
            let moves = each(|i| u8::from(grey[i].abs_diff(before[i]) > now.stands));
            let waited = each(|i| {
                let apart = (moves[i] == 0) & (near[i] == 0);
                let more = stays[i] + if apart { APART * by } else { by };
                if subject[i] != 0 { stays[i].saturating_sub(APART * by) } else { more }
            });
            let over = each(|i| u8::from((knew[i] < KNOWN) | (waited[i] >= RELEARN)));
            // Where it looks the same.
            let learnt = each(|i| empty[i] & u8::from(near[i] == 0));
            let count = each(|i| {
                let without = if knew[i] >= KNOWN { knew[i] } else { 0 };
                if learnt[i] != 0 { (knew[i] + by).min(LONG) } else { without }
            });
            let holds = each(|i| (u8::from(hold[i] != 0) & empty[i]) | (learnt[i] & u8::from(count[i] >= KNOWN)));
            let other = distance.map(|v| u8::from(v >= now.limit));
            let anew = each(|i| over[i] & other[i]);
            let follows = each(|i| (learnt[i] | u8::from(knew[i] < KNOWN)) & (1 - other[i]));
            // A moment as before does not make it new.
            let stays = each(|i| if long[i] >= LONG { 0 } else { stays[i] });

            put(&each(|i| if other[i] != 0 { 0 } else { long[i] }), run, at);
            put(&each(|i| if other[i] != 0 { raw[i] } else { opinion[i] }), said, at);
            put(&each(|i| holds[i] & (1 - other[i])), held, at);
            let waited = each(|i| if other[i] != 0 { waited[i] } else { stays[i] });
            put(&each(|i| if anew[i] != 0 { 0 } else { waited[i] }), stood, at);
            let known = each(|i| if other[i] != 0 { knew[i] } else { count[i] });
            put(&each(|i| if anew[i] != 0 { 0 } else { known[i] }), seen, at);
            let rate = each(|i| if follows[i] != 0 { rate[i] } else { 0 });
            put(&each(|i| if anew[i] != 0 { ANEW } else { rate[i] }), rates, at);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::same_at_each_width;

    /// A cell's opinion, counts (run, seen, held, stood) and rate, as [`learn`] has them, said plainly.
    fn plainly(now: Seen<'_>, i: usize, said: f32, [run, seen, held, stood]: [u8; 4]) -> (f32, [u8; 4], i16) {
        let raw = if now.raw[i] > 0.0 { now.raw[i].min(1.0) } else { 0.0 };
        let known = seen >= KNOWN;
        if now.distance[i] >= now.limit {
            let waited = if raw >= EMPTY {
                stood.saturating_sub(APART * now.by)
            } else if now.grey[i].abs_diff(now.before[i]) <= now.stands && now.near[i] == 0 {
                stood + APART * now.by
            } else {
                stood + now.by
            };
            let over = !known || waited >= RELEARN;
            return if over { (raw, [0; 4], ANEW) } else { (raw, [0, seen, 0, waited], 0) };
        }
        let long = (run + now.by).min(OPINIONS);
        let opinion = said + (raw - said) * f32::from(now.by) / f32::from(long);
        let late = ((f32::from(long) - LATE.0) / LATE.1).clamp(0.0, 1.0);
        let empty = opinion < EMPTY + LATER * late;
        let learnt = empty && now.near[i] == 0;
        let count = if learnt {
            (seen + now.by).min(LONG)
        } else if known {
            seen
        } else {
            0
        };
        let holds = (held != 0 && empty) || (learnt && count >= KNOWN);
        let stood = if long >= LONG { 0 } else { stood };
        let rate = (32767.0 * f32::from(now.by) / f32::from(long.min(LONG))).round_ties_even();
        (opinion, [long, count, u8::from(holds), stood], if learnt || !known { rate as i16 } else { 0 })
    }

    #[test]
    fn what_is_learnt_side_by_side_is_what_is_learnt_of_each() {
        let mut state = 1u32;
        let mut number = move |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for (n, by) in [(1, 1), (LANES - 1, 2), (LANES, 1), (2 * LANES + 5, 2), (960, 1)] {
            let mut bytes = |below: u32| (0..n).map(|_| number(below) as u8).collect::<Vec<_>>();
            let (distance, near, held) = (bytes(40), bytes(2), bytes(2));
            let (run, seen, stood) = (bytes(251), bytes(u32::from(LONG) + 1), bytes(u32::from(RELEARN)));
            let grey: Vec<u16> = bytes(250).iter().map(|v| 4 * u16::from(*v)).collect();
            let before: Vec<u16> = grey.iter().zip(bytes(40)).map(|(g, d)| g + u16::from(d)).collect();
            let said: Vec<f32> = bytes(255).iter().map(|v| f32::from(*v) / 254.0).collect();
            let mut raw: Vec<f32> = bytes(255).iter().map(|v| f32::from(*v) / 200.0 - 0.1).collect();
            raw[0] = f32::NAN;
            let now = Seen {
                distance: &distance,
                raw: &raw,
                near: &near,
                grey: &grey,
                before: &before,
                limit: 24,
                stands: STANDS,
                by,
            };
            let found = same_at_each_width(format!("{n} cells by {by}"), || {
                let (mut said, mut rates) = (said.clone(), vec![0; n]);
                let mut counts = [&run, &seen, &held, &stood].map(Clone::clone);
                learn(now, &mut said, counts.each_mut().map(Vec::as_mut_slice), &mut rates);
                (said, counts, rates)
            });
            for i in 0..n {
                let plain = plainly(now, i, said[i], [run[i], seen[i], held[i], stood[i]]);
                assert_eq!(
                    (found.0[i], found.1.each_ref().map(|c| c[i]), found.2[i]),
                    plain,
                    "cell {i} of {n}"
                );
            }
        }
    }
}
