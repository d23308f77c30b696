//! What the samples of a frame's cells add up to, the screen's and the foreground's apart.

use super::colour::Difference;
use crate::simd::multiversion;

/// What the samples of a cell add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    /// Samples; difference, its square, components.
    pub back: [f32; 6],
    pub front: [f32; 6],
    pub least: f32,
    pub most: f32,
}

/// Mean and deviation of the difference, and mean components.
pub(super) fn means(sums: &[f32; 6]) -> [f32; 5] {
    let n = sums[0].max(1e-3);
    let mean = sums[1] / n;
    [mean, (sums[2] / n - mean * mean).max(0.0).sqrt(), sums[3] / n, sums[4] / n, sums[5] / n]
}

/// Columns of samples that are added up side by side: what they add up to lies in the nearest cache then.
pub(super) const COLUMNS: usize = 64;

/// Rows of a cell that are looked at, at most: its side by [`Rows::step`].
const ROWS: usize = 16;

/// A number of each column.
type Columns = [f32; COLUMNS];

/// A row of all three components.
type Samples<'a> = [&'a [u8; COLUMNS]; 3];

/// The differences of cells that lie side by side, row by row, and the least and greatest of each column.
struct Differences {
    rows: [Columns; ROWS],
    least: Columns,
    most: Columns,
}

impl Differences {
    const NONE: Self =
        Self { rows: [[0.0; COLUMNS]; ROWS], least: [f32::MAX; COLUMNS], most: [f32::MIN; COLUMNS] };

    /// Takes those of rows of samples.
    #[inline(always)]
    fn take<'a>(&mut self, difference: &Difference, rows: impl Iterator<Item = Samples<'a>>) {
        (self.least, self.most) = ([f32::MAX; COLUMNS], [f32::MIN; COLUMNS]);
        for ([c0, c1, c2], out) in rows.zip(&mut self.rows) {
            for i in 0..COLUMNS {
                let d = difference.at([f32::from(c0[i]), f32::from(c1[i]), f32::from(c2[i])]);
                // As `min` and `max`, of which there are instructions like this.
                self.least[i] = if d < self.least[i] { d } else { self.least[i] };
                self.most[i] = if d > self.most[i] { d } else { self.most[i] };
                out[i] = d;
            }
        }
    }

    /// Whether all is screen, or all foreground, by the bounds of each column's cell.
    #[inline(always)]
    fn pure(&self, limits: &[Columns; 2]) -> (bool, bool) {
        let [from, to] = limits;
        let back = self.least.iter().zip(from).fold(true, |all, (least, from)| all & (least > from));
        let front = self.most.iter().zip(to).fold(true, |all, (most, to)| all & (most < to));
        (back, front)
    }

    /// Of each cell, `side` columns, the least and the greatest.
    #[inline(always)]
    fn ends(&self, side: usize, sums: &mut [Sums]) {
        let columns = self.least.chunks_exact(side).zip(self.most.chunks_exact(side));
        for (sum, (least, most)) in sums.iter_mut().zip(columns) {
            sum.least = fold(least, |a, b| if b < a { b } else { a });
            sum.most = fold(most, |a, b| if b > a { b } else { a });
        }
    }
}

/// One number of the columns of a cell, of which there are 8 or a multiple of that.
#[inline(always)]
fn fold(columns: &[f32], both: impl Fn(f32, f32) -> f32) -> f32 {
    let Some((first, more)) = columns.split_first_chunk::<8>() else { return 0.0 };
    let mut lanes = *first;
    for part in more.as_chunks::<8>().0 {
        for (lane, v) in lanes.iter_mut().zip(part) {
            *lane = both(*lane, *v);
        }
    }
    // As vectors are halved.
    let mut n = 4;
    while n > 0 {
        for i in 0..n {
            lanes[i] = both(lanes[i], lanes[i + n]);
        }
        n /= 2;
    }
    lanes[0]
}

#[inline(always)]
fn sum(columns: &[f32]) -> f32 {
    fold(columns, |a, b| a + b)
}

/// Adds up rows of cells, `side` columns each, of which some samples are screen and some foreground.
#[inline(always)]
fn add_mixed<'a>(
    differences: &Differences,
    limits: &[Columns; 2],
    side: usize,
    rows: impl Iterator<Item = Samples<'a>>,
    sums: &mut [Sums],
) {
    let mut columns = [[[0.0; COLUMNS]; 6]; 2];
    for ([c0, c1, c2], d) in rows.zip(&differences.rows) {
        for i in 0..COLUMNS {
            let (c, d) = ([f32::from(c0[i]), f32::from(c1[i]), f32::from(c2[i])], d[i]);
            let back = if d > limits[0][i] { 1.0 } else { 0.0 };
            let front = if d < limits[1][i] { 1.0 } else { 0.0 };
            for (sums, w) in columns.iter_mut().zip([back, front]) {
                sums[0][i] += w;
                sums[1][i] += w * d;
                sums[2][i] += w * d * d;
                sums[3][i] += w * c[0];
                sums[4][i] += w * c[1];
                sums[5][i] += w * c[2];
            }
        }
    }
    let [back, front] = &columns;
    for (k, (back, front)) in back.iter().zip(front).enumerate() {
        let cells = back.chunks_exact(side).zip(front.chunks_exact(side));
        for (cell, (back, front)) in sums.iter_mut().zip(cells) {
            (cell.back[k], cell.front[k]) = (sum(back), sum(front));
        }
    }
}

/// The same where all samples count; `of` says what for.
#[inline(always)]
fn add_pure<'a>(
    differences: &Differences,
    side: usize,
    rows: impl Iterator<Item = Samples<'a>>,
    sums: &mut [Sums],
    of: impl Fn(&mut Sums) -> &mut [f32; 6],
) {
    // Components in 16 bits, which the rows of a cell's column do not fill.
    let mut colors = [[0u16; COLUMNS]; 3];
    let (mut means, mut squares): (Columns, Columns) = ([0.0; COLUMNS], [0.0; COLUMNS]);
    let mut count = 0;
    for (c, d) in rows.zip(&differences.rows) {
        for (sums, c) in colors.iter_mut().zip(c) {
            for i in 0..COLUMNS {
                sums[i] += u16::from(c[i]);
            }
        }
        for i in 0..COLUMNS {
            means[i] += d[i];
            squares[i] += d[i] * d[i];
        }
        count += side;
    }
    for (cell, sums) in sums.iter_mut().enumerate() {
        let columns = cell * side..(cell + 1) * side;
        let color = |k: usize| colors[k][columns.clone()].iter().map(|&v| u32::from(v)).sum::<u32>() as f32;
        let all = [sum(&means[columns.clone()]), sum(&squares[columns.clone()])];
        *sums = Sums::default();
        *of(sums) = [count as f32, all[0], all[1], color(0), color(1), color(2)];
    }
}

multiversion! {
    /// Adds up cells that lie side by side. `c`: their rows, one behind the other, and
    /// [`COLUMNS`] samples more, whatever they are; `bounds`: the difference from which on a
    /// sample is the screen's, and that up to which it is the foreground's.
    pub(super) fn add(difference: &Difference, c: [&[u8]; 3], side: usize, bounds: &[[f32; 2]], sums: &mut [Sums]) {
        let line = sums.len() * side;
        debug_assert!((c[0].len() - COLUMNS) / line <= ROWS, "more rows than a cell has");
        let mut limits = [[0.0; COLUMNS]; 2];
        let mut differences = Differences::NONE;
        for (block, (sums, bounds)) in
            sums.chunks_mut(COLUMNS / side).zip(bounds.chunks(COLUMNS / side)).enumerate()
        {
            for (cell, bounds) in bounds.iter().enumerate() {
                for k in 0..2 {
                    limits[k][cell * side..][..side].fill(bounds[k]);
                }
            }
            // Columns beyond the line's end are nobody's.
            limits[0][sums.len() * side..].fill(f32::MIN);
            limits[1][sums.len() * side..].fill(f32::MAX);
            let rows = (block * COLUMNS..c[0].len() - COLUMNS).step_by(line).filter_map(|row| {
                let [c0, c1, c2] = c.map(|c| c[row..].first_chunk());
                Some([c0?, c1?, c2?])
            });
            differences.take(difference, rows.clone());
            match differences.pure(&limits) {
                (true, false) => add_pure(&differences, side, rows, sums, |s| &mut s.back),
                (false, true) => add_pure(&differences, side, rows, sums, |s| &mut s.front),
                _ => add_mixed(&differences, &limits, side, rows, sums),
            }
            differences.ends(side, sums);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::colour::Primary;
    use super::*;
    use crate::frame::testing::Picture;
    use crate::frame::{Color, Format};
    use crate::simd::same_at_each_width;

    /// What a cell adds up to, plainly: see [`Sums`].
    fn plain(difference: &Difference, samples: &[[u8; 3]], [back, front]: [f32; 2]) -> ([f64; 6], [f64; 6]) {
        let mut sums = ([0.0; 6], [0.0; 6]);
        for c in samples {
            let d = difference.at(c.map(f32::from));
            let all = [1.0, f64::from(d), f64::from(d * d), c[0].into(), c[1].into(), c[2].into()];
            for (sum, counts) in [(&mut sums.0, d > back), (&mut sums.1, d < front)] {
                sum.iter_mut().zip(all).filter(|_| counts).for_each(|(s, v)| *s += v);
            }
        }
        sums
    }

    #[test]
    fn cells_add_up_to_what_plain_sums_give() {
        for format in [Format::Rgb, Format::I420] {
            let picture = Picture { color: Color::BT709, ..Picture::new(format, 2, 2) };
            let difference = Difference::new(&picture.frame(), Primary::Green);
            // Screen, foreground, or cells of both.
            let sample = |i: usize, cell: usize, kind: usize| {
                let noise = (i * i * 31 + i * 7) % 13;
                let screen = if kind == 2 { (i + cell).is_multiple_of(3) } else { kind == 0 };
                match (screen, format) {
                    (true, Format::Rgb) => [40, 170 + noise as u8, 60],
                    (true, _) => [100, 70 + noise as u8, 70],
                    (_, Format::Rgb) => [200, 90 + noise as u8, 110],
                    _ => [180, 128, 140 + noise as u8],
                }
            };
            for side in [8, 16, 32] {
                for (cells, rows) in (1..=9).flat_map(|cells| [1, 3, 8, 16].map(|rows| (cells, rows))) {
                    let line = cells * side;
                    let kind = |cell: usize| (cell / 2 + cells + rows) % 3;
                    let all: Vec<[u8; 3]> = (0..line * rows)
                        .map(|i| sample(i, i % line / side, kind(i % line / side)))
                        // What stands over is anything.
                        .chain([[1, 255, 3]; COLUMNS])
                        .collect();
                    let planes: [Vec<u8>; 3] = std::array::from_fn(|k| all.iter().map(|c| c[k]).collect());
                    let bounds: Vec<[f32; 2]> =
                        (0..cells).map(|c| [60.0 + c as f32, 20.0 + c as f32]).collect();
                    let what = format!("{format:?} {side} {cells}x{rows}");
                    let got = same_at_each_width(&what, || {
                        let mut sums = vec![Sums::default(); cells];
                        add(&difference, planes.each_ref().map(|p| &p[..]), side, &bounds, &mut sums);
                        sums
                    });
                    for (cell, got) in got.iter().enumerate() {
                        let of: Vec<[u8; 3]> =
                            (0..line * rows).filter(|i| i % line / side == cell).map(|i| all[i]).collect();
                        let d: Vec<f32> = of.iter().map(|c| difference.at(c.map(f32::from))).collect();
                        let (least, most) =
                            d.iter().fold((f32::MAX, f32::MIN), |(l, m), d| (l.min(*d), m.max(*d)));
                        assert!(
                            (got.least - least).abs() < 1e-3 && (got.most - most).abs() < 1e-3,
                            "{what} {cell}"
                        );
                        let (back, front) = plain(&difference, &of, bounds[cell]);
                        for (got, want) in got.back.iter().zip(back).chain(got.front.iter().zip(front)) {
                            let off = (f64::from(*got) - want).abs();
                            assert!(off <= 1e-5 * want.abs() + 1e-2, "{what} {cell}: {got}, not {want}");
                        }
                    }
                }
            }
        }
    }
}
