//! Measures of mattes: how far from the truth, and, where there is no truth, how steady and how whole.
//!
//! Nothing here knows GStreamer. Alpha is `f32` in 0..1, row by row without padding; sums run in `f64`.
//! [`Truth`] compares with mattes that are known; [`Steady`] needs only the picture and the alpha.
//! Lower is better in every measure. Reference-free measures rank two mattes of the *same* frames; they
//! cannot say that a matte is right: an empty one is perfectly steady.

mod connectivity;
mod gradient;
mod motion;
mod steady;
mod truth;

pub use gradient::magnitude as gradient;
pub use motion::Motion;
pub use steady::{Steady, SteadyFrame};
pub use truth::{Truth, TruthFrame};

/// Width and height of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Size {
    /// A size.
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height }
    }

    /// How many pixels there are.
    pub fn pixels(self) -> usize {
        self.width * self.height
    }
}

/// An image or a frame that does not have the pixels that its size promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongSize {
    /// Pixels that the size asks for.
    pub want: usize,
    /// Pixels that came.
    pub got: usize,
}

impl std::fmt::Display for WrongSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "an image has {} pixels where its size asks for {}", self.got, self.want)
    }
}

impl std::error::Error for WrongSize {}

fn check(size: Size, got: usize) -> Result<(), WrongSize> {
    let want = size.pixels();
    if got == want && want > 0 { Ok(()) } else { Err(WrongSize { want, got }) }
}

/// 8-bit alpha as numbers in 0..1.
pub fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    bytes.iter().map(|b| f32::from(*b) / 255.0).collect()
}

/// Mean of |a − b|, ×10³; 0..1000.
pub fn difference(a: &[f32], b: &[f32]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).sum();
    sum / a.len().min(b.len()).max(1) as f64 * 1e3
}

/// Every pixel within `reach` rows and columns of one that is set (a square of 2·reach + 1).
fn dilate(mask: &[bool], size: Size, reach: usize) -> Vec<bool> {
    let (w, h) = (size.width, size.height);
    let mut across = vec![false; mask.len()];
    for (row, out) in mask.chunks_exact(w).zip(across.chunks_exact_mut(w)) {
        // Distance to the last set pixel on the way right, then on the way left.
        let mut last = None;
        for x in 0..w {
            last = if row[x] { Some(x) } else { last };
            out[x] = last.is_some_and(|l| x - l <= reach);
        }
        last = None;
        for x in (0..w).rev() {
            last = if row[x] { Some(x) } else { last };
            out[x] |= last.is_some_and(|l| l - x <= reach);
        }
    }
    let mut out = vec![false; mask.len()];
    for y in 0..h {
        for from in y.saturating_sub(reach)..(y + reach + 1).min(h) {
            let rows = out[y * w..(y + 1) * w].iter_mut().zip(&across[from * w..(from + 1) * w]);
            rows.for_each(|(o, a)| *o |= a);
        }
    }
    out
}

/// The mean of what there is.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0usize), |(s, n), v| (s + v, n + 1));
    (n > 0).then(|| sum / n as f64)
}

#[cfg(test)]
mod tests;
