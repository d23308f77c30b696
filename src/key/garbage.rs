//! The garbage matte, for what stands beside the screen: a coarse mask of a network says where the subject may be, and whatever
//! is far from there goes.

use crate::morphology::dilate;
use rayon::prelude::*;

/// What a network finds from this value on.
const FOUND: f32 = 0.3;
/// Rows of square cells that a mask is brought to: where it ends is coarse.
const ROWS: usize = 72;
/// So many cells around it, a tenth of the frame's height, everything is left as it is keyed.
const REACH: usize = 7;
/// Over twice so many more it fades.
const FADE: usize = 3;
/// Where something was found it may be for so many masks more, so that what a network loses for a moment does not blink.
const HOLD: u8 = 8;

/// Where the subject may be, of the last masks.
#[derive(Debug, Default)]
pub struct GarbageMatte {
    width: usize,
    height: usize,
    /// In how many masks from now on a cell may still be the subject's.
    hold: Vec<u8>,
    /// How much of the matte is left in a cell, of 255.
    left: Vec<u8>,
    scratch: [Vec<u8>; 2],
}

impl GarbageMatte {
    /// Forgets the masks: another scene begins.
    pub fn reset(&mut self) {
        self.hold.clear();
    }

    /// Takes a mask, 0..1 and of `columns`, of the whole frame, which is `aspect` times as wide as high.
    pub fn see(&mut self, mask: &[f32], columns: usize, aspect: f32) {
        let rows = mask.len() / columns.max(1);
        if rows == 0 {
            return;
        }
        let (width, height) = (((ROWS as f32 * aspect).round() as usize).clamp(1, 16 * ROWS), ROWS);
        if (self.width, self.height, self.hold.len()) != (width, height, width * height) {
            (self.width, self.height) = (width, height);
            self.hold.clear();
            self.hold.resize(width * height, 0);
        }
        // What of the mask lies in a cell; of a coarser one what the cell lies in.
        let within = |i: usize, of: usize, n: usize| i * n / of..((i + 1) * n).div_ceil(of);
        for (i, hold) in self.hold.iter_mut().enumerate() {
            let x = within(i % width, width, columns);
            let found = within(i / width, height, rows)
                .any(|y| mask[y * columns..][x.clone()].iter().any(|m| *m >= FOUND));
            *hold = if found { HOLD } else { hold.saturating_sub(1) };
        }
        let [there, tmp] = &mut self.scratch;
        there.clear();
        there.extend(self.hold.iter().map(|h| if *h > 0 { 255 } else { 0 }));
        for room in [&mut self.left, &mut *tmp] {
            room.resize(width * height, 0);
        }
        dilate(there, width, REACH + FADE, &mut self.left, tmp);
        soften(&mut self.left, width, FADE, tmp);
    }

    /// Takes out of a frame's matte, tight and of `width` columns, what is far from all that was found.
    pub fn apply(&self, matte: &mut [u8], width: usize) {
        let height = matte.len() / width.max(1);
        if self.left.is_empty() || height == 0 {
            return;
        }
        let columns = Axis { cells: self.width, pixels: width };
        let rows = Axis { cells: self.height, pixels: height };
        matte.par_chunks_mut(width).enumerate().for_each_init(Vec::new, |line: &mut Vec<u32>, (y, out)| {
            let (top, bottom, f) = rows.between(y);
            let row = |y: usize| &self.left[y * self.width..][..self.width];
            line.clear();
            // Of 255 · 256.
            line.extend(
                row(top).iter().zip(row(bottom)).map(|(t, b)| u32::from(*t) * (256 - f) + u32::from(*b) * f),
            );
            apply_row(line, &columns, out);
        });
    }
}

/// A row of pixels times its row of cells. Most of it is all or nothing.
fn apply_row(line: &[u32], columns: &Axis, out: &mut [u8]) {
    const ALL: u32 = 255 * 256;
    let mut x = 0;
    while x < out.len() {
        let (left, right, _) = columns.between(x);
        let end = columns.end(left, x);
        match (line[left], line[right]) {
            (ALL, ALL) => {}
            (0, 0) => out[x..end].fill(0),
            (l, r) => {
                for (i, o) in out[x..end].iter_mut().enumerate() {
                    let (.., f) = columns.between(x + i);
                    *o = weighed(*o, l, r, f);
                }
            }
        }
        x = end;
    }
}

/// Alpha times what is left between two cells, which are of 255 · 256, at `f` of 256 between them.
fn weighed(alpha: u8, left: u32, right: u32, f: u32) -> u8 {
    let kept = (left * (256 - f) + right * f) >> 8;
    ((u32::from(alpha) * kept + 255 * 128) / (255 * 256)) as u8
}

/// Cells over pixels along one axis; both cover the same.
struct Axis {
    cells: usize,
    pixels: usize,
}

impl Axis {
    /// The two cells between whose middles a pixel's lies, and the second's part, of 256.
    fn between(&self, pixel: usize) -> (usize, usize, u32) {
        // In 256ths of a cell, from the first one's middle on.
        let at = ((2 * pixel + 1) * self.cells * 128 / self.pixels).saturating_sub(128);
        let cell = (at >> 8).min(self.cells - 1);
        (cell, (cell + 1).min(self.cells - 1), (at & 255) as u32)
    }

    /// The first pixel after `from` that is not between the same two cells.
    fn end(&self, cell: usize, from: usize) -> usize {
        if cell + 1 >= self.cells {
            return self.pixels;
        }
        // `between` goes on to the next cell at (cell + 1) · 256.
        let at = (cell + 1) * 256 + 128;
        let first = (at * self.pixels).div_ceil(self.cells * 128);
        first.saturating_sub(1).div_ceil(2).clamp(from + 1, self.pixels)
    }
}

/// The mean over a square window of `radius` cells both ways, with the border's cells repeated beyond it.
fn soften(cells: &mut [u8], width: usize, radius: usize, tmp: &mut [u8]) {
    let mean = |n: usize, at: &dyn Fn(usize) -> u8, i: usize| {
        let window = (0..=2 * radius).map(|d| u32::from(at((i + d).saturating_sub(radius).min(n - 1))));
        (window.sum::<u32>() / (2 * radius as u32 + 1)) as u8
    };
    for (row, out) in cells.chunks_exact(width).zip(tmp.chunks_exact_mut(width)) {
        for (x, o) in out.iter_mut().enumerate() {
            *o = mean(width, &|x| row[x], x);
        }
    }
    let height = cells.len() / width;
    for (i, o) in cells.iter_mut().enumerate() {
        *o = mean(height, &|y| tmp[y * width + i % width], i / width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each pixel by itself.
    fn plain(garbage: &GarbageMatte, matte: &mut [u8], width: usize) {
        let height = matte.len() / width;
        let columns = Axis { cells: garbage.width, pixels: width };
        let rows = Axis { cells: garbage.height, pixels: height };
        for (i, a) in matte.iter_mut().enumerate() {
            let ((left, right, fx), (top, bottom, fy)) =
                (columns.between(i % width), rows.between(i / width));
            let at = |x: usize| {
                let cell = |y: usize| u32::from(garbage.left[y * garbage.width + x]);
                cell(top) * (256 - fy) + cell(bottom) * fy
            };
            *a = weighed(*a, at(left), at(right), fx);
        }
    }

    #[test]
    fn rows_are_applied_as_pixel_by_pixel() {
        for (w, h, mw, mh) in
            [(640, 360, 64, 36), (641, 359, 64, 36), (17, 9, 32, 20), (100, 1, 7, 1), (3, 200, 1, 30)]
        {
            let mask: Vec<f32> =
                (0..mw * mh).map(|i| f32::from(u8::from((i % mw) * 3 < mw && (i / mw) * 2 >= mh))).collect();
            let mut garbage = GarbageMatte::default();
            garbage.see(&mask, mw, w as f32 / h as f32);
            let matte: Vec<u8> = (0..w * h).map(|i| (i * 7919 % 256) as u8).collect();
            let (mut fast, mut slow) = (matte.clone(), matte);
            garbage.apply(&mut fast, w);
            plain(&garbage, &mut slow, w);
            assert_eq!(fast, slow, "{w}×{h} of {mw}×{mh}");
        }
    }

    #[test]
    fn what_is_near_stays_and_what_is_far_goes() {
        let (w, h) = (64, 36);
        let mask: Vec<f32> =
            (0..w * h).map(|i| if (24..40).contains(&(i % w)) { 1.0 } else { 0.0 }).collect();
        let mut garbage = GarbageMatte::default();
        let whole = |garbage: &GarbageMatte| {
            let mut matte = vec![255; 640 * 360];
            garbage.apply(&mut matte, 640);
            matte[180 * 640..][..640].to_vec()
        };
        assert!(whole(&garbage).iter().all(|a| *a == 255), "nothing was seen yet");
        garbage.see(&mask, w, 16.0 / 9.0);
        let row = whole(&garbage);
        assert!(row[210..430].iter().all(|a| *a == 255), "a tenth of the height around");
        assert!(row[..150].iter().chain(&row[490..]).all(|a| *a == 0));
        assert!(row[150..210].is_sorted() && row[430..490].iter().rev().is_sorted());
        // Lost for a moment it is waited for, and not for ever.
        for n in 1..=HOLD {
            garbage.see(&vec![0.0; w * h], w, 16.0 / 9.0);
            assert_eq!(whole(&garbage)[320], if n < HOLD { 255 } else { 0 }, "{n}");
        }
    }
}
