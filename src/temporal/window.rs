//! A mask from the frames on both sides of it. Where later frames are there already, what the network says of a thing in
//! each of them is an opinion of its own: their mean, along the motion, is nearer to the truth than any, without the lag
//! of a mean over the past; and what a single frame says alone counts for little, so that a blink of the mask never shows.

use rayon::prelude::*;

use super::field::{Field, fetch};
use super::motion::Motion;
use super::still::Still;
use super::view::{View, unshared};
use super::{BLOCK, Steps, in_luma, luma_scale, mark, readable, unsure};
use crate::frame::Frame;
use crate::simd::in_pool;
use std::collections::VecDeque;
use std::sync::Arc;

/// Frames on each side that count at most.
pub const REACH: usize = 2;
/// A difference from the others at which an opinion counts half (iteratively reweighted least squares with Cauchy's weight;
/// Holland & Welsch, 1977).
const APART: f32 = 0.2;
/// How often the mean is taken anew.
const ROUNDS: usize = 2;
/// Samples of the mask that a thread takes at a time.
const PART: usize = 16 * 1024;

/// A frame, and what the network said of it.
#[derive(Debug, Default)]
struct Seen {
    number: u64,
    view: Arc<View>,
    mask: Vec<f32>,
}

/// The frames around the one that is worked on. [`FrameWindow::add`] takes frames in their order, [`FrameWindow::blend`] makes the
/// mask of one that has been added of its neighbours' as well.
#[derive(Debug, Default)]
pub struct FrameWindow {
    size: (usize, usize),
    scale: usize,
    mask_size: (usize, usize),
    seen: VecDeque<Seen>,
    spare: Vec<Seen>,
    /// From the frame to those about it.
    ways: Ways,
    wanted: Vec<bool>,
    marks: Vec<u8>,
    /// Where the mask's columns lie in luma.
    columns: Vec<usize>,
}

impl FrameWindow {
    /// Has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all frames.
    pub fn reset(&mut self) {
        self.spare.extend(self.seen.drain(..));
        self.spare.truncate(2 * REACH + 1);
        self.ways.before.clear();
    }

    /// Whether this frame has been added, and is still known.
    pub fn knows(&self, number: u64) -> bool {
        self.seen.iter().any(|seen| seen.number == number)
    }

    /// What it has seen of a frame, if that is still known.
    pub fn view(&self, number: u64) -> Option<Arc<View>> {
        self.seen.iter().find(|seen| seen.number == number).map(|seen| Arc::clone(&seen.view))
    }

    /// Takes in a frame, later than those before, with the network's mask of it (0..1, `w · h`, spanning the frame).
    /// Another size of either forgets the frames before. What cannot be read is not taken in.
    pub fn add(&mut self, number: u64, frame: &Frame<'_>, (mask, w, h): (&[f32], usize, usize)) {
        let sized = w.checked_mul(h).is_some_and(|n| n > 0 && mask.len() == n);
        if !sized || !readable(frame) {
            return self.reset();
        }
        let size = (frame.width, frame.height);
        if (self.size, self.mask_size) != (size, (w, h))
            || self.seen.back().is_some_and(|s| s.number >= number)
        {
            self.reset();
            (self.size, self.mask_size, self.scale) = (size, (w, h), luma_scale(size.0, size.1));
        }
        let mut seen = self.spare.pop().unwrap_or_default();
        seen.number = number;
        in_pool(|| unshared(&mut seen.view).update(frame, self.scale));
        seen.mask.clear();
        seen.mask.extend_from_slice(mask);
        self.seen.push_back(seen);
    }

    /// Makes `mask`, which is the network's of frame `number`, the mean of those about it, sample by sample as far as the
    /// picture shows the same thing. Frames more than [`REACH`] before it are forgotten. Whether it knows the frame. `steps`:
    /// what else is asked about the way from this frame to the one before, so that it is looked for once.
    pub fn blend(&mut self, number: u64, mask: &mut [f32], steps: Option<Steps<'_>>) -> bool {
        while self.seen.front().is_some_and(|s| s.number + (REACH as u64) < number) {
            self.spare.extend(self.seen.pop_front());
        }
        let Some(at) = self.seen.iter().position(|s| s.number == number) else { return false };
        if self.seen.len() > 1 && self.seen[at].mask.len() == mask.len() {
            in_pool(|| self.blend_at(at, mask, steps));
        }
        true
    }

    fn blend_at(&mut self, at: usize, mask: &mut [f32], steps: Option<Steps<'_>>) {
        let ((w, h), scale, (mw, mh)) = (self.size, self.scale, self.mask_size);
        let luma = (w.div_ceil(scale), h.div_ceil(scale));
        let grid_width = luma.0.div_ceil(BLOCK);
        let neighbours: Neighbours<'_> = std::array::from_fn(|n| {
            let far = n / 2 + 1;
            let there = if n % 2 == 0 { at.checked_sub(far) } else { Some(at + far) };
            there.and_then(|there| self.seen.get(there))
        });
        let now = &self.seen[at];
        self.columns.clear();
        self.columns.extend((0..mw).map(|u| in_luma(u, (w, mw), scale)));
        self.wanted.clear();
        self.wanted.resize(grid_width * luma.1.div_ceil(BLOCK), false);
        self.marks.resize(mw, 0);
        for v in 0..mh {
            self.marks.fill(0);
            let row = |seen: &Seen| v * mw..v * mw + seen.mask.len().min(mw);
            for there in neighbours.iter().flatten() {
                unsure(&now.mask[row(now)], &there.mask[row(there)], &mut self.marks);
            }
            let by = in_luma(v, (h, mh), scale) / BLOCK;
            mark(&self.marks, &self.columns, &mut self.wanted[by * grid_width..][..grid_width]);
        }
        let (wanted, columns) = (&self.wanted, &self.columns);
        let wants = |bx: usize, by: usize| wanted[by * grid_width + bx];
        let fields = self.ways.find(now, &neighbours, steps, luma, wants).map(|field| &*field);
        let sample = (w as f32 / mw as f32, h as f32 / mh as f32);
        let opinions = Opinions { fields, neighbours, size: (mw, mh), scale: scale as f32, sample };
        let part = mw * (PART / mw).max(1);
        mask.par_chunks_mut(part).enumerate().for_each(|(n, mask)| {
            for (row, mask) in mask.chunks_exact_mut(mw).enumerate() {
                let v = n * (part / mw) + row;
                let y = in_luma(v, (h, mh), scale);
                for (u, (here, &x)) in mask.iter_mut().zip(columns).enumerate() {
                    let block = y / BLOCK * grid_width + x / BLOCK;
                    if wanted[block] {
                        *here = opinions.mean(*here, (u, v), block, (x % BLOCK, y % BLOCK));
                    }
                }
            }
        });
    }
}

/// The frames about one: one before, one after, two before, two after, as far as they are there.
type Neighbours<'a> = [Option<&'a Seen>; 2 * REACH];

/// Finds the ways from a frame to its [`Neighbours`].
#[derive(Debug, Default)]
struct Ways {
    fields: [Field; 2 * REACH],
    /// How blocks moved from the last frame to the one before it.
    before: Vec<Motion>,
    seeds: Vec<Motion>,
    /// Always empty: what has stood still until now may move in the next frame, so that lookahead must not rely on it.
    still: Still,
}

impl Ways {
    /// Finds them, of the blocks that are wanted; `luma`: samples across and down. `steps`: see [`FrameWindow::blend`].
    fn find<'a>(
        &'a mut self,
        now: &Seen,
        neighbours: &Neighbours<'_>,
        steps: Option<Steps<'a>>,
        luma: (usize, usize),
        wants: impl Fn(usize, usize) -> bool + Sync,
    ) -> [&'a mut Field; 2 * REACH] {
        let [first, second, third, fourth] = &mut self.fields;
        let steps = steps.filter(|s| {
            neighbours[0]
                .is_some_and(|there| Arc::ptr_eq(s.views.0, &now.view) && Arc::ptr_eq(s.views.1, &there.view))
        });
        // All that they say is measured alike.
        let noise = steps.as_ref().map_or(0.0, |s| s.still.noise());
        let first = match (steps, neighbours[0]) {
            (Some(steps), Some(there)) => {
                steps.field.track((&now.view, &there.view), steps.was, steps.still, noise, &wants);
                steps.field
            }
            (_, Some(there)) => {
                first.clear(luma.0, luma.1);
                first.track((&now.view, &there.view), &self.before, &self.still, noise, &wants);
                first
            }
            _ => first,
        };
        let mut fields = [first, second, third, fourth];
        for (n, there) in neighbours.iter().enumerate().skip(1) {
            let Some(there) = there else { continue };
            let (before, field) = fields.split_at_mut(n);
            // What moves goes on as it did: back from where it came, or twice as far.
            let (from, times) = if n == 1 { (&*before[0], -1) } else { (&*before[n - 2], 2) };
            self.seeds.clear();
            self.seeds.extend(from.motion.iter().map(|m| m.times(times)));
            field[0].clear(luma.0, luma.1);
            field[0].track((&now.view, &there.view), &self.seeds, &self.still, noise, &wants);
        }
        if neighbours[0].is_some() {
            self.before.clone_from(&fields[0].motion);
        }
        fields
    }
}

/// What the frames about one say of its mask.
struct Opinions<'a> {
    fields: [&'a Field; 2 * REACH],
    neighbours: Neighbours<'a>,
    /// The mask's.
    size: (usize, usize),
    /// Frame pixels in a sample of luma, across, and in one of the mask, both ways.
    scale: f32,
    sample: (f32, f32),
}

impl Opinions<'_> {
    /// The mean of what is said of sample `u, v`, of which `own` is the frame's own opinion; it lies in a block of luma at `x, y`.
    fn mean(&self, own: f32, (u, v): (usize, usize), block: usize, (x, y): (usize, usize)) -> f32 {
        let (mw, mh) = self.size;
        // What each says, and how surely it speaks of the same thing.
        let mut says = [(own, 1.0f32); 2 * REACH + 1];
        let mut count = 1;
        for (field, there) in self.fields.iter().zip(&self.neighbours) {
            let Some(there) = there else { continue };
            let same = field.same[(block * BLOCK + y) * BLOCK + x];
            let weight = f32::from(same) / 255.0 * field.sure[block];
            if weight <= 0.0 {
                continue;
            }
            let m = field.motion[block];
            let value = if m == Motion::default() {
                there.mask[v * mw + u]
            } else {
                let [dx, dy] = [m.x, m.y].map(|d| f32::from(d) * 0.25 * self.scale);
                let (sx, sy) = self.sample;
                fetch(&there.mask, mw, mh, u as f32 + dx / sx, v as f32 + dy / sy)
            };
            says[count] = (value, weight);
            count += 1;
        }
        if count > 1 { mean(&says[..count]) } else { own }
    }
}

/// The mean of values with weights, in which one that is far from the others counts for little.
fn mean(says: &[(f32, f32)]) -> f32 {
    let by = |weight: &dyn Fn(f32, f32) -> f32| {
        let (sum, all) = says.iter().fold((0.0, 0.0), |(sum, all), &(value, w)| {
            let w = weight(value, w);
            (sum + value * w, all + w)
        });
        sum / all
    };
    let mut mean = by(&|_, w| w);
    for _ in 0..ROUNDS {
        mean = by(&|value, w| w / (1.0 + ((value - mean) / APART).powi(2)));
    }
    mean
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Format, testing::Picture};

    const W: usize = 640;
    const H: usize = 360;
    const MW: usize = 64;
    const MH: usize = 36;

    /// A textured disc about `x` over a textured ground, and its mask.
    fn scene(x: f32) -> (Picture, Vec<f32>) {
        let mut p = Picture::new(Format::Gray8, W, H);
        let (data, stride) = &mut p.planes[0];
        let wave = |x: f32, y: f32, k: f32| ((x * 0.23 * k).sin() + (y * 0.19 * k + x * 0.07).sin()) * 25.0;
        let inside = |u: f32, v: f32| (90.5 - (u - x).hypot(v - 180.0)).clamp(0.0, 1.0);
        for v in 0..H {
            for u in 0..W {
                let (px, py) = (u as f32, v as f32);
                let (subject, ground) = (170.0 + wave(px - x, py, 1.0), 80.0 + wave(px, py, 0.7));
                data[v * *stride + u] = (ground + (subject - ground) * inside(px, py)) as u8;
            }
        }
        let cell = |n: usize| n as f32 * 10.0 + 5.0;
        (p, (0..MW * MH).map(|i| inside(cell(i % MW), cell(i / MW))).collect())
    }

    /// Blends frame `at` of masks that are the scene's, but for what `change` makes of them. The disc moves by `step`.
    fn blended(
        frames: usize,
        at: usize,
        step: f32,
        change: impl Fn(usize, &mut [f32]),
    ) -> (Vec<f32>, Vec<f32>) {
        let mut window = FrameWindow::new();
        let (mut raw, mut truth) = (Vec::new(), Vec::new());
        for n in 0..frames {
            let (picture, mask) = scene(250.0 + step * n as f32);
            let mut said = mask.clone();
            change(n, &mut said);
            window.add(n as u64, &picture.frame(), (&said, MW, MH));
            if n == at {
                (raw, truth) = (said, mask);
            }
        }
        assert!(window.blend(at as u64, &mut raw, None));
        (raw, truth)
    }

    fn off(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>()
    }

    #[test]
    fn a_blink_of_the_mask_does_not_show() {
        for step in [0.0, 6.0] {
            // The middle of the frame's, or of a neighbour's, is gone.
            for blinks in [1, 2, 3] {
                let (got, _) = blended(5, 2, step, |n, mask| {
                    if n == blinks {
                        mask.iter_mut().for_each(|m| *m = 0.0);
                    }
                });
                // A block's width inside: at the rim a block may be of two things.
                let inside = |i: usize| {
                    let (x, y) = ((i % MW) as f32 * 10.0 + 5.0, (i / MW) as f32 * 10.0 + 5.0);
                    (x - 250.0 - 2.0 * step).hypot(y - 180.0) < 90.0 - 2.0 * BLOCK as f32
                };
                let worst = (0..got.len()).filter(|i| inside(*i)).map(|i| got[i]).fold(1.0, f32::min);
                let least = if blinks == 2 { 0.95 } else { 0.8 };
                assert!(worst > least, "{worst} at {step}, frame {blinks}");
            }
        }
    }

    #[test]
    fn what_masks_are_off_by_is_averaged_and_nothing_lags() {
        for step in [0.0, 6.0] {
            let noise = |n: usize, mask: &mut [f32]| {
                let mut seed = (n as u32 + 1).wrapping_mul(2_654_435_761);
                for m in mask.iter_mut() {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // Inside the range, so that the error has no sign of its own.
                    *m = 0.2 + 0.6 * *m + ((seed >> 16) as f32 / 65536.0 - 0.5) * 0.3;
                }
            };
            let (got, truth) = blended(5, 2, step, noise);
            let mut raw = truth.clone();
            let truth: Vec<f32> = truth.iter().map(|t| 0.2 + 0.6 * t).collect();
            noise(2, &mut raw);
            assert!(
                off(&got, &truth) < 0.6 * off(&raw, &truth),
                "{step}: {} {}",
                off(&got, &truth),
                off(&raw, &truth)
            );
            let middle = |mask: &[f32]| {
                let sum: f32 = mask.iter().sum();
                mask.iter().enumerate().map(|(i, m)| (i % MW) as f32 * m).sum::<f32>() / sum
            };
            let (got, truth) = blended(5, 2, step, |_, _| {});
            assert!(
                (middle(&got) - middle(&truth)).abs() < 0.03,
                "{step}: {} {}",
                middle(&got),
                middle(&truth)
            );
            assert!(off(&got, &truth) < 0.03 * truth.iter().sum::<f32>(), "{step}: {}", off(&got, &truth));
        }
    }

    #[test]
    fn what_appears_does_so_in_its_own_frame() {
        // The disc is there from frame 2 on, in the picture as in the mask.
        for at in 0..5 {
            let mut window = FrameWindow::new();
            let (ground, disc) = (scene(-500.0), scene(300.0));
            for n in 0..5 {
                let (picture, mask) = if n < 2 { &ground } else { &disc };
                window.add(n, &picture.frame(), (mask, MW, MH));
            }
            let truth = if at < 2 { &ground.1 } else { &disc.1 };
            let mut mask = truth.clone();
            window.blend(at, &mut mask, None);
            assert!(off(&mask, truth) < 4.0, "{at}: {}", off(&mask, truth));
        }
    }

    #[test]
    fn other_sizes_and_frames_out_of_order_begin_anew() {
        let (picture, mask) = scene(300.0);
        let small = Picture::new(Format::Gray8, 64, 36);
        let mut window = FrameWindow::new();
        for n in 0..3 {
            window.add(n, &picture.frame(), (&mask, MW, MH));
        }
        window.add(3, &small.frame(), (&mask, MW, MH));
        assert!(!window.knows(2) && window.knows(3));
        window.add(1, &small.frame(), (&mask, MW, MH));
        assert!(!window.knows(3) && window.knows(1));
        // Masks that are not what they are said to be.
        window.add(2, &small.frame(), (&mask[1..], MW, MH));
        assert!(!window.knows(1) && !window.blend(2, &mut mask.clone(), None));
        // A mask of another size than the one that was added is left alone.
        window.add(5, &picture.frame(), (&mask, MW, MH));
        window.add(6, &picture.frame(), (&mask, MW, MH));
        let mut other = vec![0.5; 7];
        window.blend(5, &mut other, None);
        assert_eq!(other, [0.5; 7]);
    }
}
