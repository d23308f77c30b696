//! Which part of a row has anything to replace in it: most samples are as their neighbours are.

use std::ops::Range;

use crate::frame::Component;
use crate::simd::multiversion;

/// The least and the most alpha of the pixels that share each of some samples.
pub(super) struct Bounds<'a> {
    pub least: &'a [u8],
    pub most: &'a [u8],
}

/// Those of samples `span` of row `y` of a component; `alpha` is of a frame of `w · h`. `scratch` is for what is not there as
/// it is wanted.
pub(super) fn bounds<'a>(
    alpha: &'a [u8],
    (w, h): (usize, usize),
    c: &Component,
    y: usize,
    span: Range<usize>,
    [least, most]: [&'a mut Vec<u8>; 2],
) -> Bounds<'a> {
    let row = |y: usize| &alpha[y.min(h - 1) * w..][..w];
    if (c.hsub, c.vsub) == (0, 0) {
        let row = &row(y)[span];
        return Bounds { least: row, most: row };
    }
    least.resize(span.len(), 0);
    most.resize(span.len(), 0);
    let (top, last) = (y << c.vsub, (y << c.vsub) + (1 << c.vsub) - 1);
    let whole =
        if c.hsub == 1 && c.vsub <= 1 { (w / 2).saturating_sub(span.start).min(span.len()) } else { 0 };
    if whole > 0 {
        let rows = [row(top), row(last)].map(|row| &row[2 * span.start..][..2 * whole]);
        of_pairs(rows, &mut least[..whole], &mut most[..whole]);
    }
    for i in whole..span.len() {
        let columns = (0..1 << c.hsub).map(|dx| (((span.start + i) << c.hsub) + dx).min(w - 1));
        let pixels = (top..=last).flat_map(|y| columns.clone().map(move |x| row(y)[x]));
        (least[i], most[i]) = pixels.fold((255, 0), |(l, m), a| (l.min(a), m.max(a)));
    }
    Bounds { least, most }
}

multiversion! {
    fn of_pairs(rows: [&[u8]; 2], least: &mut [u8], most: &mut [u8]) {
        let [top, bottom] = rows.map(|row| row.as_chunks::<2>().0);
        for (((l, m), t), b) in least.iter_mut().zip(most).zip(top).zip(bottom) {
            *l = t[0].min(t[1]).min(b[0].min(b[1]));
            *m = t[0].max(t[1]).max(b[0].max(b[1]));
        }
    }
}

impl Bounds<'_> {
    /// From the first to the last cell of `across` samples with a mix in it, or with hidden pixels in `reach` (of pairs of
    /// pixels, from the first sample on).
    pub(super) fn mixes(&self, across: usize, reach: Option<&[u8]>, hsub: u32) -> Option<Range<usize>> {
        let (least, most, n) = (self.least, self.most, self.least.len());
        let wanted = |cell: usize| {
            let span = cell * across..((cell + 1) * across).min(n);
            let (all, any) = (least[span.clone()].iter(), most[span.clone()].iter());
            let (all, any) = (all.fold(255, |all, a| all & a), any.fold(0, |any, a| any | a));
            if all == 255 {
                return false;
            }
            if any != 0 {
                let mut both = least[span.clone()].iter().zip(&most[span]);
                return reach.is_some() || both.any(|(l, m)| *m > 0 && *l < 255);
            }
            let Some(reach) = reach else { return false };
            let from = (span.start << hsub) / 2;
            reach[from..(span.end << hsub).div_ceil(2).min(reach.len())].iter().fold(0, |any, r| any | r) != 0
        };
        let cells = n.div_ceil(across);
        // As far as all are 255, or 0 out of reach, nothing is looked at closely.
        let mut start = 0;
        while start < cells && !wanted(start) {
            let at = start * across;
            let same = match (least[at], most[at], reach) {
                (255, ..) => leading(&least[at..], 255),
                (_, 0, None) => leading(&most[at..], 0),
                (_, 0, Some(reach)) => {
                    let from = ((at << hsub) / 2).min(reach.len());
                    let out = from + leading(&reach[from..], 0);
                    // Beyond its end nothing is in reach.
                    let clear = if out == reach.len() { n } else { (2 * out) >> hsub };
                    leading(&most[at..], 0).min(clear.saturating_sub(at))
                }
                _ => 0,
            };
            start = ((at + same) / across).max(start + 1);
        }
        if start >= cells {
            return None;
        }
        let mut end = cells;
        while !wanted(end - 1) {
            let to = (end * across).min(n);
            let same = match (least[to - 1], most[to - 1], reach) {
                (255, ..) => trailing(&least[..to], 255),
                (_, 0, None) => trailing(&most[..to], 0),
                _ => 0,
            };
            end = (to - same).div_ceil(across).min(end - 1);
        }
        Some(start * across..(end * across).min(n))
    }
}

/// So many of a row are compared at once.
const AT_ONCE: usize = 64;

/// Without a way out in the middle, so that it is done in vectors.
fn all_are(chunk: &[u8], value: u8) -> bool {
    chunk.iter().fold(true, |all, v| all & (*v == value))
}

/// How many of a row, from its begin on, are `value`.
fn leading(row: &[u8], value: u8) -> usize {
    let n = AT_ONCE * row.chunks_exact(AT_ONCE).take_while(|chunk| all_are(chunk, value)).count();
    n + row[n..].iter().take_while(|v| **v == value).count()
}

/// The same, from its end.
fn trailing(row: &[u8], value: u8) -> usize {
    let n = AT_ONCE * row.rchunks_exact(AT_ONCE).take_while(|chunk| all_are(chunk, value)).count();
    n + row[..row.len() - n].iter().rev().take_while(|v| **v == value).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Format;
    use crate::simd::same_at_each_width;

    fn below(seed: &mut u32, n: usize) -> usize {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*seed >> 8) as usize % n
    }

    /// [`Bounds::mixes`], cell by cell.
    fn mixes_plain(b: &Bounds<'_>, across: usize, reach: Option<&[u8]>, hsub: u32) -> Option<Range<usize>> {
        let n = b.least.len();
        let wanted = |cell: &usize| {
            let (from, end) = (cell * across, ((cell + 1) * across).min(n));
            let own = || (from..end).map(|i| (b.least[i], b.most[i]));
            let near = reach.is_some_and(|r| {
                r[(from << hsub) / 2..(end << hsub).div_ceil(2).min(r.len())].iter().any(|r| *r != 0)
            });
            let mixed = own().any(|(l, m)| m > 0 && l < 255);
            let both = own().any(|(_, m)| m == 0) && own().any(|(l, _)| l == 255);
            mixed || reach.is_some() && both || own().all(|(_, m)| m == 0) && near
        };
        let cells: Vec<usize> = (0..n.div_ceil(across)).filter(wanted).collect();
        Some(cells.first()? * across..((cells.last()? + 1) * across).min(n))
    }

    #[test]
    fn where_a_row_mixes_is_found_as_cell_by_cell() {
        let mut seed = 1u32;
        for _ in 0..20_000 {
            let mut below = |n| below(&mut seed, n);
            let (length, across, hsub) = (1 + below(300), 1 + below(9), below(2) as u32);
            // Stretches of one value, few of them neither 0 nor 255.
            let (mut least, mut most) = (Vec::new(), Vec::new());
            while least.len() < length {
                let (l, m) = [(0, 0), (0, 0), (0, 0), (255, 255), (255, 255), (9, 9), (0, 255)][below(7)];
                let count = 1 + below(90);
                least.extend(std::iter::repeat_n(l, count));
                most.extend(std::iter::repeat_n(m, count));
            }
            let found = Bounds { least: &least[..length], most: &most[..length] };
            let mut reach = vec![0u8; (length << hsub).div_ceil(2)];
            for _ in 0..below(3) {
                let at = below(reach.len());
                reach[at] = 1;
            }
            for reach in [None, Some(&reach[..])] {
                let plain = mixes_plain(&found, across, reach, hsub);
                assert_eq!(found.mixes(across, reach, hsub), plain, "{least:?} {across} {reach:?} {hsub}");
            }
        }
    }

    #[test]
    fn bounds_are_those_of_the_pixels_that_share_a_sample() {
        let mut seed = 7u32;
        for format in Format::ALL {
            for (w, h) in [(1, 1), (37, 5), (2, 9), (130, 6)] {
                let alpha: Vec<u8> = (0..w * h).map(|_| below(&mut seed, 256) as u8).collect();
                let layout = format.layout();
                for c in &layout.color[..layout.colors] {
                    for y in 0..c.height(h) {
                        let from = c.width(w) / 3;
                        let (least, most) = same_at_each_width(format!("{format:?} {w}x{h}"), || {
                            let mut scratch = [vec![3; 9], Vec::new()];
                            let [a, b] = &mut scratch;
                            let found = bounds(&alpha, (w, h), c, y, from..c.width(w), [a, b]);
                            (found.least.to_vec(), found.most.to_vec())
                        });
                        for x in from..c.width(w) {
                            let pixels =
                                (0..w * h).filter(|i| ((i % w) >> c.hsub, (i / w) >> c.vsub) == (x, y));
                            let all: Vec<u8> = pixels.map(|i| alpha[i]).collect();
                            assert_eq!(Some(&least[x - from]), all.iter().min());
                            assert_eq!(Some(&most[x - from]), all.iter().max());
                        }
                    }
                }
            }
        }
    }
}
