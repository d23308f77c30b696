//! A mask and its frame's colours in cells, the parts that hang together, and what grows from them.

use crate::frame::Frame;
use crate::mask::Mask;
use crate::sample::Sampler;
use std::collections::VecDeque;

/// Cells along the frame's longer side: as many as the coarsest network has samples.
const LONGER: usize = 256;
/// Mask from which on a cell is a subject's.
const SOLID: f32 = 0.5;
/// Mask up to which nothing is there.
const NOTHING: f32 = 0.02;
/// A part of fewer cells than this share of all is no subject.
const SPECK: f32 = 0.002;
/// Steps of each colour.
pub const STEPS: usize = 6;
/// How many colours are told apart.
pub const COLORS: usize = STEPS * STEPS * STEPS;

/// Whose a cell is that is nobody's.
pub const NOBODY: u8 = u8::MAX;

/// A rectangle in parts of the frame: left, top, right, bottom.
pub type Bounds = [f32; 4];

/// A frame in cells.
#[derive(Debug, Default)]
pub struct Cells {
    pub width: usize,
    pub height: usize,
    /// The mask, 0 to 1.
    mask: Vec<f32>,
    /// Which of the colours each cell has.
    pub color: Vec<u8>,
    sampler: Sampler,
}

impl Cells {
    /// Takes a mask, and the frame that it is of.
    pub fn update(&mut self, mask: &Mask, frame: &Frame<'_>) {
        let longer = frame.width.max(frame.height).max(1);
        let side = |n: usize| ((n * LONGER) as f64 / longer as f64).round().max(1.0) as usize;
        (self.width, self.height) = (side(frame.width), side(frame.height));
        self.mask.clear();
        // The mean of the samples that a cell covers, or the one that it lies in.
        let span = |i: usize, cells: usize, samples: usize| {
            let from = i * samples / cells;
            from..((i + 1) * samples / cells).max(from + 1).min(samples)
        };
        for y in 0..self.height {
            let rows = span(y, self.height, mask.height);
            for x in 0..self.width {
                let columns = span(x, self.width, mask.width);
                let count = rows.len() * columns.len();
                let sum: f32 = rows
                    .clone()
                    .map(|y| mask.data[y * mask.width..][columns.clone()].iter().sum::<f32>())
                    .sum();
                self.mask.push(sum / count as f32);
            }
        }
        // Colours half as fine: in subsampled formats there are no more.
        let (w, h) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let rgb = self.sampler.sample(frame, w, h);
        let step = |v: f32| ((v * STEPS as f32 / 256.0) as usize).min(STEPS - 1);
        self.color.clear();
        for y in 0..self.height {
            for x in 0..self.width {
                let at = y / 2 * w + x / 2;
                let [r, g, b] = [0, 1, 2].map(|c| step(rgb[c][at]));
                self.color.push(((r * STEPS + g) * STEPS + b) as u8);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.mask.len()
    }

    pub fn is_solid(&self, cell: usize) -> bool {
        self.mask[cell] >= SOLID
    }

    /// The fewest cells that are a subject.
    pub fn speck(&self) -> usize {
        ((self.len() as f32 * SPECK) as usize).max(4)
    }

    /// The cells beside a cell: left, right, above, below.
    pub fn beside(&self, cell: usize) -> impl Iterator<Item = usize> + use<> {
        let (w, n, x) = (self.width, self.len(), cell % self.width);
        [
            (x > 0).then(|| cell - 1),
            (x + 1 < w).then(|| cell + 1),
            cell.checked_sub(w),
            Some(cell + w).filter(|c| *c < n),
        ]
        .into_iter()
        .flatten()
    }

    /// The parts of what is solid that hang together, each a list of cells.
    pub fn parts(&self) -> Vec<Vec<u32>> {
        let mut solid: Vec<bool> = (0..self.len()).map(|c| self.is_solid(c)).collect();
        let mut parts = Vec::new();
        for first in 0..solid.len() {
            if !std::mem::take(&mut solid[first]) {
                continue;
            }
            let (mut part, mut next) = (vec![first as u32], 0);
            while let Some(&cell) = part.get(next) {
                next += 1;
                for other in self.beside(cell as usize) {
                    if std::mem::take(&mut solid[other]) {
                        part.push(other as u32);
                    }
                }
            }
            parts.push(part);
        }
        parts
    }

    /// Gives each cell that is not quite nothing, and hangs together with cells that are somebody's, to the nearest.
    pub fn grow(&self, owner: &mut [u8]) {
        let mut queue: VecDeque<usize> = (0..owner.len()).filter(|c| owner[*c] != NOBODY).collect();
        while let Some(cell) = queue.pop_front() {
            for other in self.beside(cell) {
                // What is solid and nobody's is somebody who is not told apart.
                if owner[other] == NOBODY && self.mask[other] > NOTHING && !self.is_solid(other) {
                    owner[other] = owner[cell];
                    queue.push_back(other);
                }
            }
        }
    }

    /// How far each cell is from some, in steps to the side, up or down, but no further than `far`.
    pub fn distance(&self, from: &[u32], far: u8) -> Vec<u8> {
        let mut distance = vec![far; self.len()];
        let mut queue: VecDeque<usize> = from.iter().map(|c| *c as usize).collect();
        queue.iter().for_each(|c| distance[*c] = 0);
        while let Some(cell) = queue.pop_front() {
            let next = distance[cell] + 1;
            if next >= far {
                continue;
            }
            for other in self.beside(cell) {
                if next < distance[other] {
                    distance[other] = next;
                    queue.push_back(other);
                }
            }
        }
        distance
    }

    /// The middle of a cell in parts of the frame.
    pub fn place(&self, cell: u32) -> [f32; 2] {
        let cell = cell as usize;
        [
            ((cell % self.width) as f32 + 0.5) / self.width as f32,
            ((cell / self.width) as f32 + 0.5) / self.height as f32,
        ]
    }

    /// Whether a cell's middle is in a part of the frame.
    pub fn is_in(&self, cell: u32, [left, top, right, bottom]: Bounds) -> bool {
        let [x, y] = self.place(cell);
        (left..right).contains(&x) && (top..bottom).contains(&y)
    }

    /// How many of some cells are in a part of the frame, as a part of them.
    pub fn share_in(&self, cells: &[u32], bounds: Bounds) -> f32 {
        let count = cells.iter().filter(|c| self.is_in(**c, bounds)).count();
        count as f32 / cells.len().max(1) as f32
    }

    /// What some cells span.
    pub fn bounds(&self, cells: &[u32]) -> Bounds {
        let (mut low, mut high) = ([usize::MAX; 2], [0; 2]);
        for cell in cells {
            for (i, v) in [*cell as usize % self.width, *cell as usize / self.width].into_iter().enumerate() {
                (low[i], high[i]) = (low[i].min(v), high[i].max(v + 1));
            }
        }
        let part = |v: usize, n: usize| v.min(n) as f32 / n as f32;
        [
            part(low[0], self.width),
            part(low[1], self.height),
            part(high[0], self.width),
            part(high[1], self.height),
        ]
    }

    /// Whether some cells reach the left, right or upper edge of the frame.
    pub fn at_edge(&self, cells: &[u32]) -> bool {
        let [left, top, right, _] = self.bounds(cells);
        left <= 0.0 || top <= 0.0 || right >= 1.0
    }

    /// The mean place of some cells, in cells.
    pub fn centre(&self, cells: &[u32]) -> [f32; 2] {
        let sum = cells.iter().fold([0.0f64; 2], |[x, y], cell| {
            [x + (*cell as usize % self.width) as f64, y + (*cell as usize / self.width) as f64]
        });
        sum.map(|v| (v / cells.len().max(1) as f64) as f32)
    }
}

/// Leaves of a mask what lies in cells that are kept. Where a subject that is kept touches one that is not, the mask falls
/// over two cells, so that refinement looks for their edge there.
pub fn keep(cells: &Cells, owner: &[u8], kept: &[bool], mask: &mut Mask) {
    let (w, h) = (cells.width, cells.height);
    let mut weight = vec![0.0f32; kept.len()];
    for y in 0..h {
        for x in 0..w {
            let at = y * w + x;
            if owner[at] == NOBODY {
                continue;
            }
            let (mut own, mut all) = (0, 0);
            for y in y.saturating_sub(1)..(y + 2).min(h) {
                for x in x.saturating_sub(1)..(x + 2).min(w) {
                    let at = y * w + x;
                    all += u32::from(owner[at] != NOBODY);
                    own += u32::from(kept[at]);
                }
            }
            weight[at] = own as f32 / all as f32;
        }
    }
    let column: Vec<usize> = (0..mask.width).map(|x| (2 * x + 1) * w / (2 * mask.width)).collect();
    for (y, row) in mask.data.chunks_exact_mut(mask.width).enumerate() {
        let weights = &weight[(2 * y + 1) * h / (2 * mask.height) * w..][..w];
        row.iter_mut().zip(&column).for_each(|(v, x)| *v *= weights[*x]);
    }
}
