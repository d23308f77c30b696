//! What a network gives, read as a mask.

use super::Placement;
use crate::error::{Error, ErrorKind, Result};
use crate::mask::Mask;
use crate::models::{Activation, Spec};
use crate::runtime::View;

/// What is known of a network's output from earlier frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// Values outside 0..1 were seen, of which nobody said that they are logits.
    pub logits: bool,
    /// Finite numbers were seen: a frame without any is an empty one, and the network is right.
    pub finite: bool,
}

impl Known {
    /// Whether the network's masks are logits, and the one before is handed back to it as such; `None` before there was any.
    pub fn gives_logits(&self, spec: &Spec) -> Option<bool> {
        match spec.activation {
            Activation::Auto => self.finite.then_some(self.logits),
            kind => Some(kind == Activation::Sigmoid),
        }
    }
}

/// Reads the matte out of the network's output, cropped to where the frame was placed. `views`: the output, and how good
/// each of its masks is, where the network says that.
pub fn read(
    views: &[View<'_>],
    spec: &Spec,
    input: (usize, usize),
    placement: Placement,
    known: &mut Known,
    mask: &mut Mask,
) -> Result<()> {
    let [view, scores @ ..] = views else {
        return Err(Error::new(ErrorKind::Inference, "the network gave no output"));
    };
    let grid = Grid::of(&view.shape, view.data.len()).ok_or_else(|| {
        Error::new(
            ErrorKind::Inference,
            format!(
                "the network's output '{}' of shape {:?} is no mask of one or more channels",
                spec.output, view.shape
            ),
        )
    })?;
    let columns = Span::new(placement.x, placement.width, input.0, grid.width);
    let rows = Span::new(placement.y, placement.height, input.1, grid.height);
    (mask.width, mask.height) = (columns.cells.len(), rows.cells.len());
    mask.data.clear();
    if spec.activation == Activation::Auto && !known.logits {
        // float16 rounds a little past the ends.
        known.logits = view.data.iter().any(|v| !(-0.01..=1.01).contains(v) && v.is_finite());
    }
    let activation = match spec.activation {
        // Several masks, each by itself, are no classes.
        Activation::Auto if known.logits && grid.channels > 1 && !spec.separate => Activation::Softmax,
        Activation::Auto if known.logits && !spec.min_max => Activation::Sigmoid,
        Activation::Auto => Activation::None,
        known => known,
    };
    // With two classes or more the foreground is the last one, unless it is said.
    let best = scores.first().and_then(|s| {
        let finite = s.data.iter().enumerate().filter(|(_, v)| v.is_finite());
        finite.max_by(|a, b| a.1.total_cmp(b.1)).map(|(i, _)| i)
    });
    let class = best.or(spec.class).unwrap_or(grid.channels - 1).min(grid.channels - 1);
    for y in rows.cells.clone() {
        mask.data.extend(columns.cells.clone().map(|x| {
            let at = y * grid.row + x * grid.pixel;
            let raw = view.data[at + class * grid.channel];
            let v = match activation {
                Activation::Auto | Activation::None => raw,
                Activation::Sigmoid => 1.0 / (1.0 + (-raw).exp()),
                Activation::Softmax => {
                    1.0 / (0..grid.channels)
                        .map(|c| (view.data[at + c * grid.channel] - raw).exp())
                        .sum::<f32>()
                }
            };
            // What is no number stays none until the range is known: it has no part in that.
            if v.is_finite() && raw.is_finite() { v } else { f32::NAN }
        }));
    }
    known.finite |= mask.data.iter().any(|v| !v.is_nan());
    if !known.finite {
        return Err(Error::new(
            ErrorKind::Unsuited,
            format!(
                "the network gives no mask: there is no finite number in its output '{}'. Its file may be broken (float16 \
                 overflows where float32 does not), it may want other numbers (`mean` and `std`), or its mask is another \
                 output (`output`): `bgremove models info FILE` shows all; a sidecar or model-options says which",
                spec.output
            ),
        ));
    }
    if spec.min_max {
        let (lo, hi) =
            mask.data.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(lo, hi), v| (lo.min(*v), hi.max(*v)));
        let k = if hi - lo > 1e-6 { 1.0 / (hi - lo) } else { 0.0 };
        mask.data.iter_mut().for_each(|v| *v = (*v - lo) * k);
    }
    mask.data.iter_mut().for_each(|v| *v = if v.is_nan() { 0.0 } else { v.clamp(0.0, 1.0) });
    if columns.step != 1.0 || columns.first != 0.0 || rows.step != 1.0 || rows.first != 0.0 {
        mask.data = shift(&mask.data, &columns, &rows);
    }
    Ok(())
}

/// Along one axis: the cells of the output that the frame touches, and where between them
/// the same number of samples lies that covers the frame exactly.
#[derive(Debug, PartialEq)]
struct Span {
    cells: std::ops::Range<usize>,
    /// Position of the first sample, from the first cell on, and the distance between two.
    first: f32,
    step: f32,
}

impl Span {
    /// The frame is `at`, `length` of `from` input pixels; the output has `to` of its own.
    fn new(at: usize, length: usize, from: usize, to: usize) -> Self {
        let end = (at + length) * to;
        let cells = at * to / from..end.div_ceil(from);
        // An output of another size than the input need not have a cell's edge at the frame's: taking
        // the nearest would shift the matte by up to half a cell.
        let step = (length * to) as f64 / (from * cells.len()) as f64;
        let first = (at * to) as f64 / from as f64 - cells.start as f64 + 0.5 * step - 0.5;
        Self { cells, first: first as f32, step: step as f32 }
    }

    /// The two cells around a sample, and the weight of the second.
    fn place(&self, i: usize) -> (usize, usize, f32) {
        let last = self.cells.len() - 1;
        let at = (self.first + i as f32 * self.step).clamp(0.0, last as f32);
        (at as usize, (at as usize + 1).min(last), at.fract())
    }
}

/// The cells of a mask brought, by bilinear sampling, to where the frame lies.
fn shift(cells: &[f32], columns: &Span, rows: &Span) -> Vec<f32> {
    let width = columns.cells.len();
    let mut out = Vec::with_capacity(cells.len());
    for y in 0..rows.cells.len() {
        let (top, bottom, fy) = rows.place(y);
        out.extend((0..width).map(|x| {
            let (left, right, fx) = columns.place(x);
            let mix = |row: usize| {
                let (l, r) = (cells[row * width + left], cells[row * width + right]);
                l + (r - l) * fx
            };
            let (t, b) = (mix(top), mix(bottom));
            t + (b - t) * fy
        }));
    }
    out
}

/// How the numbers of an output lie: its size and the distances between neighbours.
#[derive(Debug, PartialEq)]
struct Grid {
    width: usize,
    height: usize,
    channels: usize,
    row: usize,
    pixel: usize,
    channel: usize,
}

impl Grid {
    fn of(shape: &[i64], len: usize) -> Option<Grid> {
        let d: Vec<usize> = shape.iter().map(|&d| usize::try_from(d).ok()).collect::<Option<_>>()?;
        // Also that no product of two of them is too large below.
        let n = d.iter().try_fold(1, |n: usize, d| n.checked_mul(*d))?;
        if n == 0 || n != len {
            return None;
        }
        let planar = |channels, height, width| Grid {
            width,
            height,
            channels,
            row: width,
            pixel: 1,
            channel: width * height,
        };
        // Batches of one in front say nothing; of the three dimensions left, the channels are the small one.
        let d = match &d[..] {
            [1, 1, rest @ ..] if rest.len() == 3 => rest,
            [1, rest @ ..] if rest.len() >= 2 => rest,
            all => all,
        };
        Some(match *d {
            [h, w] if h > 1 && w > 1 => planar(1, h, w),
            [c, h, w] if c <= 4 && w > 4 => planar(c, h, w),
            [h, w, c] if c <= 4 => {
                Grid { width: w, height: h, channels: c, row: w * c, pixel: c, channel: 1 }
            }
            [c, h, w] => planar(c, h, w),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_of_all_shapes() {
        let g = Grid::of(&[1, 2, 6, 8], 96).unwrap();
        assert_eq!((g.width, g.height, g.channels, g.channel), (8, 6, 2, 48));
        let g = Grid::of(&[1, 6, 8, 2], 96).unwrap();
        assert_eq!((g.width, g.height, g.channels, g.pixel), (8, 6, 2, 2));
        let g = Grid::of(&[1, 6, 8], 48).unwrap();
        assert_eq!((g.width, g.height, g.channels), (8, 6, 1));
        let g = Grid::of(&[1, 1, 3, 6, 8], 144).unwrap();
        assert_eq!((g.width, g.height, g.channels), (8, 6, 3));
        assert_eq!(Grid::of(&[1, 1000], 1000), None);
        assert_eq!(Grid::of(&[1, 2, 6, 8], 95), None);
        assert_eq!(Grid::of(&[1, 0, 6, 8], 0), None);
        assert_eq!(Grid::of(&[7], 7), None);
    }

    #[test]
    fn the_window_is_found_in_an_output_of_any_size() {
        // The same size, twice and a half: whole cells, nothing to move.
        for (to, cells) in [(64, 14..50), (128, 28..100), (32, 7..25)] {
            assert_eq!(Span::new(14, 36, 64, to), Span { cells, first: 0.0, step: 1.0 });
        }
        // A quarter: 3.5 to 12.5.
        assert_eq!(Span::new(14, 36, 64, 16), Span { cells: 3..13, first: 0.45, step: 0.9 });
        assert_eq!(Span::new(127, 1, 256, 1).cells, 0..1);
    }
}
