//! The squares over which models are fitted and averaged.

/// A square of cells around one; its outermost cells count in part, so that it may have any size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Cells at each side of the middle that count wholly, and the weight of the one beyond.
    pub(super) whole: usize,
    pub(super) part: f32,
}

impl Window {
    /// A square of so many samples, at least three cells.
    pub fn new(samples: f32) -> Self {
        // To a quarter of a cell: less is not worth a cell more to look at.
        let radius = ((samples - 2.0) * 0.25 * 4.0).round().max(4.0) * 0.25;
        Self { whole: radius as usize, part: radius.fract() }
    }

    /// The weight of the outermost cells.
    pub(super) fn edge(&self) -> f32 {
        if self.part > 0.0 { self.part } else { 1.0 }
    }

    /// Cells at each side of the middle that count at all.
    pub fn reach(&self) -> usize {
        self.whole + usize::from(self.part > 0.0)
    }

    /// Rows of a window, or columns.
    pub(super) fn side(&self) -> usize {
        2 * self.reach() + 1
    }

    /// The weight of the cells inside `0..n` around `at`.
    pub(super) fn weight(&self, at: usize, n: usize) -> f32 {
        let k = self.whole;
        let mut weight = ((at + k).min(n - 1) + 1 - at.saturating_sub(k)) as f32;
        for inside in [at > k, at + k + 1 < n] {
            weight += if inside { self.part } else { 0.0 };
        }
        weight
    }
}
