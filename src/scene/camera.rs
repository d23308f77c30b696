//! Whether the camera stands still, and what its exposure does.

use rayon::prelude::*;

use super::exposure;
use super::memory::{KNOWN, Memory, QUARTERS, SETTLED, STEPS};

/// The change of luma, from frame to frame, of cells without texture (its median) that noise makes as a rule. Where it is
/// more, all distances count as so many times less.
const QUIET: f32 = 0.5;
/// So many times less at most.
const MOST_NOISE: f32 = 2.5;
/// The gradient, in levels from one cell's neighbour to the other, that shows whether a camera stands still.
const TEXTURE: i32 = 4;
/// How much of it has to be as before for the memory to be kept.
const LOST: f32 = 0.8;
/// How many cells with texture it takes to say so.
const TELLING: usize = 30;
/// How much of it has to be as before for the camera to stand still.
const STILL: f32 = 0.9;
/// How many cells without texture it takes to tell how much noise there is.
const FLAT_TELLING: usize = 100;
/// Of so many rows and columns of cells one says as much as all.
const EVERY: (usize, usize) = (6, 3);

/// What the camera has done since the frame that was taken in before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Camera {
    Still,
    Unsure,
    Moved,
}

impl Memory {
    /// Judges the camera's motion from the cells that `away_from_subject` says are away from the subject. Forgets the scene if
    /// it has moved.
    pub fn judge(&mut self, away_from_subject: impl Fn(usize, usize) -> bool + Copy) -> Camera {
        self.follow_exposure(away_from_subject);
        let (grid_width, grey) = (self.grid_width, &self.cells.now[self.luma()]);
        let (mut all, mut same) = (0usize, 0usize);
        // How much the luma of cells without texture changes from one frame that is taken in to the next, in quarters of a
        // level. (Noise makes √6 times as much of twice a cell less its neighbours.)
        let mut bins = [0usize; 64];
        let mut flat = 0usize;
        let limit = self.limit();
        for y in (1..self.grid_height.saturating_sub(1)).step_by(EVERY.0) {
            for x in (1..grid_width.saturating_sub(1)).step_by(EVERY.1).filter(|&x| away_from_subject(x, y)) {
                let at = y * grid_width + x;
                let dx = i32::from(grey[at + 1]) - i32::from(grey[at - 1]);
                let dy = i32::from(grey[at + grid_width]) - i32::from(grey[at - grid_width]);
                if dx * dx + dy * dy > 16 * TEXTURE * TEXTURE {
                    all += 1;
                    same += usize::from(self.cells.distance[at] < limit);
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
            let part = if self.frames < SETTLED { 0.5 } else { 0.125 };
            self.noise += (times - self.noise) * part;
        }
        if all >= TELLING && same as f32 >= STILL * all as f32 { Camera::Still } else { Camera::Unsure }
    }

    /// Follows a change of the whole picture's brightness or colour cast, plane by plane a gain and an offset: the camera's
    /// exposure or white balance, or a lamp's.
    fn follow_exposure(&mut self, away_from_subject: impl Fn(usize, usize) -> bool) {
        let (grid_width, cells) = (self.grid_width, &self.cells);
        let mut pairs: [Vec<(f32, f32)>; 3] = Default::default();
        for y in (1..self.grid_height).step_by(EVERY.0) {
            for x in (0..grid_width).step_by(EVERY.1).filter(|&x| away_from_subject(x, y)) {
                let at = y * grid_width + x;
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
}

/// Moves means along a line.
fn scale(mean: &mut [i16], gain: f32, offset: f32) {
    mean.par_chunks_mut(16384).for_each(|part| {
        for m in part {
            *m = (f32::from(*m) * gain + offset).clamp(0.0, 255.0 * f32::from(STEPS)) as i16;
        }
    });
}
