//! The remembered background as R, G, B at another resolution, for what looks at it beside the frame.

use super::memory::{Memory, STEPS};
use crate::frame::Color;

/// What is known of the background of the frame at hand.
#[derive(Clone, Copy, Debug)]
pub struct Behind<'a> {
    pub(super) memory: &'a Memory,
    pub(super) color: Color,
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
    row: Vec<f32>,
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
        let (first, last) = (self.taps[0].0, (self.taps[columns - 1].0 + 1).min(2 * cells - 1));
        let means = memory.means();
        for (out, mean) in self.rgb.iter_mut().zip(means).take(memory.planes()) {
            out.clear();
            for r in 0..rows {
                let (v, f) = place(middle(y, height, r, rows), 2 * grid_height);
                let line = |v: usize| &mean[v.min(2 * grid_height - 1) * 2 * cells..][first..=last];
                self.row.clear();
                let mix = |(a, b): (&i16, &i16)| f32::from(*a) + (f32::from(*b) - f32::from(*a)) * f;
                self.row.extend(line(v).iter().zip(line(v + 1)).map(mix));
                let end = last - first;
                out.extend(self.taps.iter().map(|(u, f)| {
                    let (a, b) = (self.row[u - first], self.row[(u + 1 - first).min(end)]);
                    (a + (b - a) * f) / f32::from(STEPS)
                }));
            }
        }
        let [a, b, c] = &mut self.rgb;
        if memory.planes() == 1 {
            b.clone_from(a);
            c.clone_from(a);
        } else if memory.yuv() {
            let (matrix, offset) = behind.color.rgb_matrix();
            for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
                let d = [*a - offset[0], *b - offset[1], *c - offset[2]];
                [*a, *b, *c] = matrix.map(|m| (m[0] * d[0] + m[1] * d[1] + m[2] * d[2]).clamp(0.0, 255.0));
            }
        }
        true
    }
}
