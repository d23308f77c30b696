//! The plate: what is remembered of the background, to be put where the subject stands.
//!
//! Samples of the memory are stretched bilinearly; towards what has not been seen they fade into another backdrop.

use super::memory::{Memory, STEPS};
use crate::compose::Backdrop;
use crate::frame::{Color, Component, Format, Frame};
use std::cell::RefCell;

/// Cells over which what is remembered fades.
const FADE: usize = 3;

/// What of the plate is known, by cell; keeps its buffers from frame to frame.
#[derive(Debug, Default)]
pub struct Coverage {
    /// 0..1.
    weights: Vec<f32>,
    rows: Vec<f32>,
    /// Means in the output's colour model, where that is another one.
    converted: [Vec<f32>; 3],
}

impl Coverage {
    /// Finds how much each cell counts: 1 where all around it is known, 0 where it is not.
    pub(super) fn look(&mut self, memory: &Memory) {
        let (grid_width, grid_height) = memory.grid();
        let known = |x: usize, y: usize| f32::from(u8::from(memory.knows(y * grid_width + x)));
        self.rows.clear();
        for y in 0..grid_height {
            self.rows.extend((0..grid_width).map(|x| {
                let (from, to) = (x.saturating_sub(FADE), (x + FADE).min(grid_width - 1));
                (from..=to).map(|x| known(x, y)).sum::<f32>() / (to - from + 1) as f32
            }));
        }
        self.weights.clear();
        for y in 0..grid_height {
            let (from, to) = (y.saturating_sub(FADE), (y + FADE).min(grid_height - 1));
            let (rows, count) = (&self.rows, (to - from + 1) as f32);
            self.weights.extend((0..grid_width).map(|x| {
                let around = (from..=to).map(|y| rows[y * grid_width + x]).sum::<f32>() / count;
                // Half of it, where the border is straight.
                known(x, y) * (2.0 * around - 1.0).clamp(0.0, 1.0)
            }));
        }
    }

    /// Brings the means from a frame's colours into those of the output.
    pub(super) fn convert(&mut self, memory: &Memory, from: &Frame<'_>, to: (Format, Color)) {
        self.converted.iter_mut().for_each(Vec::clear);
        if from.format.is_yuv() == to.0.is_yuv() {
            return;
        }
        let means = memory.means();
        let (matrix, offset) = from.color.rgb_matrix();
        for i in 0..means[0].len() {
            let color = means.map(|m| f32::from(m.get(i).copied().unwrap_or_default()) / f32::from(STEPS));
            let other = if to.0.is_yuv() {
                to.1.yuv(color.map(|v| v.round().clamp(0.0, 255.0) as u8)).map(f32::from)
            } else {
                let d = [0, 1, 2].map(|k| color[k] - offset[k]);
                matrix.map(|m| (m[0] * d[0] + m[1] * d[1] + m[2] * d[2]).clamp(0.0, 255.0))
            };
            self.converted.iter_mut().zip(other).for_each(|(to, v)| to.push(v));
        }
    }
}

/// The remembered background over another backdrop.
pub struct Plate<'a> {
    /// None where nothing is remembered.
    pub(super) memory: Option<(&'a Memory, &'a Coverage)>,
    pub(super) behind: &'a dyn Backdrop,
    pub(super) format: Format,
    pub(super) width: usize,
}

/// A row of samples: weights, and values times weights.
#[derive(Default)]
struct Line {
    weights: Vec<f32>,
    values: Vec<f32>,
}

thread_local!(static LINE: RefCell<Line> = RefCell::default());

impl Backdrop for Plate<'_> {
    fn row(&self, plane: usize, y: usize, row: &mut [u8]) {
        self.behind.row(plane, y, row);
        let Some((memory, coverage)) = self.memory else { return };
        let layout = self.format.layout();
        for (k, c) in layout.color[..layout.colors].iter().enumerate().filter(|(_, c)| c.plane == plane) {
            LINE.with_borrow_mut(|line| {
                if coverage.line(memory, k, (c.vsub, y), line) {
                    put(line, c, memory.scale, self.width, row);
                }
            });
        }
    }
}

/// Between which samples a pixel of a component lies: the first, and how far towards the next.
fn place(at: usize, sub: u32, scale: usize, samples: usize) -> (usize, f32) {
    let centre = (at as f32 + 0.5) * (1 << sub) as f32 / scale as f32 - 0.5;
    let centre = centre.clamp(0.0, (samples - 1) as f32);
    (centre as usize, centre.fract())
}

impl Coverage {
    /// The samples of a component for a row of it; whether any of them counts.
    fn line(&self, memory: &Memory, k: usize, (vsub, y): (u32, usize), line: &mut Line) -> bool {
        let (cells, grid_height) = memory.grid();
        let grid_width = 2 * cells;
        let (top, f) = place(y, vsub, memory.scale, 2 * grid_height);
        line.weights.clear();
        line.weights.resize(grid_width, 0.0);
        line.values.clear();
        line.values.resize(grid_width, 0.0);
        let mut some = false;
        for (v, part) in [(top, 1.0 - f), ((top + 1).min(2 * grid_height - 1), f)] {
            let weights = &self.weights[v / 2 * cells..][..cells];
            if part == 0.0 || weights.iter().all(|w| *w == 0.0) {
                continue;
            }
            some = true;
            let at = v * grid_width;
            let value = |u: usize| match self.converted[k].get(at + u) {
                Some(v) => *v,
                None => f32::from(memory.means()[k][at + u]) / f32::from(STEPS),
            };
            for u in 0..grid_width {
                let weight = part * weights[u / 2];
                line.weights[u] += weight;
                line.values[u] += weight * value(u);
            }
        }
        some
    }
}

/// Puts samples into a row of a plane.
fn put(line: &Line, c: &Component, scale: usize, width: usize, row: &mut [u8]) {
    let samples = line.weights.len();
    let pixels = row.get_mut(c.offset..).unwrap_or_default().iter_mut().step_by(c.step);
    for (x, out) in pixels.enumerate().take(c.width(width)) {
        let (left, f) = place(x, c.hsub, scale, samples);
        let right = (left + 1).min(samples - 1);
        let of = |v: &[f32]| v[left] + (v[right] - v[left]) * f;
        let (weight, value) = (of(&line.weights), of(&line.values));
        *out = (value + (1.0 - weight) * f32::from(*out) + 0.5) as u8;
    }
}
