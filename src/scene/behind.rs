//! The remembered background as R, G, B at another resolution, for what looks at it beside the frame.

use super::memory::{Memory, STEPS};
use crate::frame::Frame;

/// What is known of the background of the frame at hand.
#[derive(Clone, Copy, Debug)]
pub struct Behind<'a> {
    pub(super) memory: &'a Memory,
    /// The frame as the memory has seen it.
    pub frame: Frame<'a>,
}

/// A part of the background; keeps its buffers.
#[derive(Debug, Default)]
pub struct Part {
    /// R, G, B in 0..255, row by row; of no meaning where nothing is known.
    pub rgb: [Vec<f32>; 3],
    /// 1 where it is known, else 0.
    pub known: Vec<f32>,
    /// For each column the sample left of its middle, and how far that is from it.
    taps: Vec<(usize, f32)>,
    /// By sample from the first tap to the last: how much it counts in the rows above and below the middle, nothing where it is not
    /// known; and both rows in one.
    weights: [Vec<f32>; 2],
    row: Vec<f32>,
    /// By column: what colours are to be divided by.
    whole: Vec<f32>,
}

impl Part {
    /// Fills itself with what lies in `width · height` pixels of the frame from (`x`, `y`) on, at `columns · rows`; whether any of
    /// it is known, without which the buffers keep what they held.
    pub fn fill(
        &mut self,
        behind: &Behind<'_>,
        (x, y, width, height): (usize, usize, usize, usize),
        (columns, rows): (usize, usize),
    ) -> bool {
        let memory = behind.memory;
        let (cells, grid_height) = memory.grid();
        let (scale, side) = (memory.scale, 2 * memory.scale);
        let middle = |from: usize, n: usize, i: usize, of: usize| {
            from as f32 + (i as f32 + 0.5) * n as f32 / of as f32
        };
        let row_of = |r: usize| ((middle(y, height, r, rows) as usize) / side).min(grid_height - 1);
        let within = x / side..((x + width).div_ceil(side)).min(cells);
        let some = |row: usize| within.clone().any(|c| memory.knows(row * cells + c));
        if !(row_of(0)..=row_of(rows - 1)).any(some) {
            return false;
        }
        let place = |middle: f32, samples: usize| {
            let at = (middle / scale as f32 - 0.5).clamp(0.0, (samples - 1) as f32);
            (at as usize, at.fract())
        };
        self.taps.clear();
        self.taps.extend((0..columns).map(|c| place(middle(x, width, c, columns), 2 * cells)));
        self.known.clear();
        for r in 0..rows {
            let row = row_of(r) * cells;
            let cell = |c: usize| ((middle(x, width, c, columns) as usize) / side).min(cells - 1);
            self.known.extend((0..columns).map(|c| f32::from(u8::from(memory.knows(row + cell(c))))));
        }
        self.blend(memory, |r| place(middle(y, height, r, rows), 2 * grid_height), rows);
        let [a, b, c] = &mut self.rgb;
        if memory.planes() == 1 {
            b.clone_from(a);
            c.clone_from(a);
        } else if memory.yuv() {
            let (matrix, offset) = behind.frame.color.rgb_matrix();
            for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
                let d = [*a - offset[0], *b - offset[1], *c - offset[2]];
                [*a, *b, *c] = matrix.map(|m| (m[0] * d[0] + m[1] * d[1] + m[2] * d[2]).clamp(0.0, 255.0));
            }
        }
        true
    }

    /// Fills the colours: bilinearly, of what is known alone. `place`: the sample above the middle of a row, and how far that is
    /// from it.
    fn blend(&mut self, memory: &Memory, place: impl Fn(usize) -> (usize, f32), rows: usize) {
        let (cells, grid_height) = memory.grid();
        let samples = 2 * cells;
        let first = self.taps[0].0;
        let last = (self.taps.last().map_or(first, |t| t.0) + 1).min(samples - 1);
        let end = last - first;
        self.rgb.iter_mut().for_each(Vec::clear);
        for r in 0..rows {
            let (v, f) = place(r);
            let lines = [v, (v + 1).min(2 * grid_height - 1)];
            for ((weights, v), part) in self.weights.iter_mut().zip(lines).zip([1.0 - f, f]) {
                let known = |u: usize| f32::from(u8::from(memory.knows(v / 2 * cells + u / 2)));
                weights.clear();
                weights.extend((first..=last).map(|u| part * known(u)));
            }
            let mix = |(u, g): &(usize, f32), of: &[f32]| {
                let (a, b) = (of[u - first], of[(u + 1 - first).min(end)]);
                a + (b - a) * g
            };
            let [top, bottom] = &self.weights;
            self.row.clear();
            self.row.extend(top.iter().zip(bottom).map(|(a, b)| a + b));
            self.whole.clear();
            self.whole.extend(self.taps.iter().map(|tap| f32::from(STEPS) * mix(tap, &self.row).max(1e-6)));
            for (out, mean) in self.rgb.iter_mut().zip(memory.means()).take(memory.planes()) {
                let [above, below] = lines.map(|v| &mean[v * samples..][first..=last]);
                let both = above.iter().zip(top).zip(below.iter().zip(bottom));
                self.row.clear();
                self.row.extend(both.map(|((a, s), (b, t))| f32::from(*a) * s + f32::from(*b) * t));
                out.extend(self.taps.iter().zip(&self.whole).map(|(tap, whole)| mix(tap, &self.row) / whole));
            }
        }
    }
}
