//! The screen: its colour found in a frame, how it and the foreground vary over the frame, and what cells hold.

use super::colour::{Difference, Primary};
use super::grid::{Cell, Grid};
use super::rows::Rows;
use crate::simd::multiversion;
use rayon::prelude::*;

/// The least colour difference, of 255, of what can be a screen: below it noise decides.
pub const LEAST: f32 = 24.0;
/// The part of the frame that a screen takes at least, where its colour is not given.
const LEAST_PART: f32 = 0.03;
/// The same where it is given.
const LEAST_GIVEN: f32 = 0.003;
/// From this part of the screen's difference on, a sample is the screen's.
const SCREEN: f32 = 0.85;
/// The same while nothing is known yet.
const SCREEN_AT_FIRST: f32 = 0.5;
/// With less than this part of the screen's difference all over, a cell is whole.
const SOLID: f32 = 0.5;
/// Standard deviations of the screen's noise that are taken for screen.
const NOISE: f32 = 1.5;
/// Weight of what is seen of the screen in cells with other things in them, against that of whole ones.
const MIXED: f32 = 0.005;

/// Weight of what is remembered of a cell, at most, against that of what is seen whole.
const REMEMBERED: f32 = 0.03;

/// What is known of a cell's screen: its difference, the noise of that, its components.
pub type Back = [f32; 5];
/// What is known of a cell's foreground: the same.
pub type Front = [f32; 5];

/// The screen and what stands before it, cell by cell.
#[derive(Clone, Debug)]
pub struct ScreenModel {
    /// The screen.
    pub back: Grid<5>,
    /// The foreground near the screen.
    pub front: Grid<5>,
    /// How far the screen's primary stands over the mean of the two others in the foreground's own colours: in whole
    /// cells, where the screen's light does not fall, and from there outwards. The mean of that, and of its square.
    pub own: Grid<2>,
    /// Of the cells, how sure the screen's values are, 0..1; what is remembered grows unsure.
    sure: Vec<f32>,
    /// The mean difference of all screen that was seen.
    pub mean: f32,
    /// Samples of it in the frame before.
    seen: f32,
    /// Cells that were whole in the frame before: all of them is the foreground's own.
    solid: Vec<bool>,
}

/// Up to which part of the screen's difference a sample beside the screen is the foreground's, and how many deviations of the
/// foreground's difference are still foreground. A sample that stands for four pixels is seldom all foreground: more has to pass for it.
fn foreground(rows: &Rows<'_>) -> (f32, f32) {
    if rows.scale == 1 { (0.1, 0.0) } else { (0.25, 0.5) }
}

/// What the samples of a cell add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    /// Samples; difference, its square, components.
    back: [f32; 6],
    front: [f32; 6],
    least: f32,
    most: f32,
}

/// How a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing but screen here and all around.
    Screen,
    /// Nothing of the screen here and all around.
    Solid,
    /// Anything else.
    Mixed,
}

/// From a sample's parts e of the difference d = min e to its alpha, cell by cell: α = max(p − q·d, r + s·e).
///
/// The second is exact for a mix of the screen and the mean foreground, which lie on a line: alpha is the place between them. The
/// first is the colour difference's. Where the primary stands over another colour than in the screen, as in hair before
/// green, it bends and is too low for a mix, but it is no less for a foreground of any other hue.
#[derive(Debug)]
pub struct Lines {
    /// p, q, r, and both of s.
    pub lines: Grid<5>,
    /// How each cell stands.
    pub kinds: Vec<Kind>,
}

/// Looks for the screen: a mode of the differences over the frame, where the frame's borders count more. Gives its
/// primary and its difference. `wanted`: a colour's primary and difference, if one is given.
pub fn find(rows: &Rows<'_>, wanted: Option<(Primary, f32)>) -> Option<(Primary, f32)> {
    const BINS: usize = 64;
    const STEP: usize = 4;
    let (width, height) = (rows.width, rows.height);
    let candidates: Vec<Primary> = wanted.map_or(Primary::SCREENS.to_vec(), |(p, _)| vec![p]);
    let differences: Vec<Difference> = candidates.iter().map(|p| Difference::new(rows.frame, *p)).collect();
    let mut counts = vec![[0.0f32; BINS]; candidates.len()];
    let mut all = 0.0;
    let mut lines: [Vec<u8>; 3] = std::array::from_fn(|_| vec![0; width]);
    for y in (0..height).step_by(STEP) {
        rows.read(y, 0, lines.each_mut().map(|v| &mut v[..]));
        let edge = y < height / 8 || y >= height - height / 8;
        for x in (0..width).step_by(STEP) {
            let weight = if edge || x < width / 8 || x >= width - width / 8 { 3.0 } else { 1.0 };
            all += weight;
            let c = [lines[0][x], lines[1][x], lines[2][x]].map(f32::from);
            for (count, difference) in counts.iter_mut().zip(&differences) {
                let d = difference.at(c);
                if d >= LEAST {
                    count[((d / 4.0) as usize).min(BINS - 1)] += weight;
                }
            }
        }
    }
    let mut best: Option<(f32, Primary, f32)> = None;
    for (count, primary) in counts.iter().zip(&candidates) {
        // The window of ±20 % that holds the most, and the mean in it.
        for bin in (LEAST / 4.0) as usize..BINS {
            let middle = (bin as f32 + 0.5) * 4.0;
            if wanted.is_some_and(|(_, d)| middle < 0.4 * d || middle > 1.7 * d) {
                continue;
            }
            let window = (middle * 0.8 / 4.0) as usize..((middle * 1.2 / 4.0) as usize + 1).min(BINS);
            let mass: f32 = count[window.clone()].iter().sum();
            if mass > best.map_or(0.0, |b| b.0) {
                let mean = window.map(|b| count[b] * (b as f32 + 0.5) * 4.0).sum::<f32>() / mass;
                best = Some((mass, *primary, mean));
            }
        }
    }
    let least = if wanted.is_some() { LEAST_GIVEN } else { LEAST_PART };
    best.filter(|(mass, ..)| *mass >= least * all).map(|(_, primary, mean)| (primary, mean))
}

impl ScreenModel {
    /// A screen that is even, of this difference.
    pub fn new(rows: &Rows<'_>, difference: f32) -> Self {
        let (grid_width, grid_height) = (rows.width.div_ceil(rows.side), rows.height.div_ceil(rows.side));
        let mut back = [0.0; 5];
        back[0] = difference;
        Self {
            back: Grid::new(grid_width, grid_height, back),
            front: Grid::new(grid_width, grid_height, [0.0; 5]),
            own: Grid::new(grid_width, grid_height, [0.0; 2]),
            sure: vec![0.0; grid_width * grid_height],
            mean: difference,
            seen: 0.0,
            solid: vec![false; grid_width * grid_height],
        }
    }

    /// Looks at a frame: follows the screen where it is seen, and the foreground. Gives the lines to alpha, or `None` where
    /// so little of the screen is left that another has to be looked for. `first`: what is known is a guess.
    pub fn look(&mut self, rows: &Rows<'_>, difference: &Difference, first: bool) -> Option<Lines> {
        let sums = self.sums(rows, difference, if first { SCREEN_AT_FIRST } else { SCREEN });
        let grid_width = self.back.width;
        let (seen, mean) = sums.iter().fold((0.0, 0.0), |(n, d), s| (n + s.back[0], d + s.back[1]));
        if seen < 0.002 * (rows.width * rows.height / rows.step) as f32 {
            return None;
        }
        if !first {
            // Much of the screen is gone at once: it is lit otherwise, and looked for anew.
            if seen < 0.6 * self.seen {
                return None;
            }
            self.seen = seen;
        }
        self.mean = mean / seen;
        // Samples of each cell: those at the right and at the bottom may stand over the frame.
        let full: Vec<f32> = (0..sums.len())
            .map(|i| {
                let side = |at: usize, n: usize| rows.side.min(n - at * rows.side);
                (side(i % grid_width, rows.width) * side(i / grid_width, rows.height).div_ceil(rows.step))
                    as f32
            })
            .collect();
        let pure: Vec<bool> = sums
            .iter()
            .zip(&self.back.cells)
            .zip(&full)
            .map(|((s, b), full)| s.back[0] >= 0.99 * full && s.least > 0.6 * b[0])
            .collect();
        let inner = self.back.all_around(&pure);
        self.follow_light(&sums, &inner, difference);
        let Self { back, front, sure, .. } = self;
        let ((), seen) = rayon::join(
            || learn_back(back, sure, &sums, &full, (&inner, &pure)),
            || learn_front(front, &sums, &full),
        );
        if !seen {
            // All screen: neutral and dark.
            for (f, b) in self.front.cells.iter_mut().zip(&self.back.cells) {
                *f = [-0.1 * b[0], 0.1 * b[0], b[2], b[3], b[4]];
            }
        }
        let kinds = self.kinds(&sums);
        let (lines, own) = rayon::join(
            || self.lines(rows, difference, &kinds),
            || own(&sums, &full, &kinds, difference, grid_width),
        );
        self.solid = kinds.iter().map(|k| *k == Kind::Solid).collect();
        self.own = own;
        Some(Lines { lines, kinds })
    }

    /// What is remembered is lit as what is seen: light dims all of R'G'B' alike. `inner`: cells of nothing but screen.
    fn follow_light(&mut self, sums: &[Sums], inner: &[bool], difference: &Difference) {
        let (mut now, mut then) = (0.0, 0.0);
        for (i, s) in sums.iter().enumerate().filter(|(i, _)| inner[*i]) {
            now += s.back[1] / s.back[0].max(1.0);
            then += self.back.cells[i][0];
        }
        if then > 0.0 {
            let gain = (now / then).clamp(0.5, 2.0);
            let offset = difference.offset();
            for b in &mut self.back.cells {
                b[0] *= gain;
                for (c, o) in b[2..].iter_mut().zip(offset) {
                    *c = o + (*c - o) * gain;
                }
            }
        }
    }

    /// How cells stand.
    fn kinds(&self, sums: &[Sums]) -> Vec<Kind> {
        let cells = || sums.iter().zip(&self.back.cells);
        let screen: Vec<bool> =
            cells().map(|(s, b)| b[0] - s.least < (4.5 * b[1]).max(0.06 * b[0]).min(0.3 * b[0])).collect();
        let solid: Vec<bool> = cells().map(|(s, b)| s.most < SOLID * b[0]).collect();
        let [screen, solid] = [screen, solid].map(|m| self.back.all_around(&m));
        let kind = |(screen, solid): (&bool, &bool)| match (screen, solid) {
            (true, _) => Kind::Screen,
            (_, true) => Kind::Solid,
            _ => Kind::Mixed,
        };
        screen.iter().zip(&solid).map(kind).collect()
    }

    /// See [`Lines`].
    fn lines(&self, rows: &Rows<'_>, difference: &Difference, kinds: &[Kind]) -> Grid<5> {
        let (_, above) = foreground(rows);
        let cells = kinds.iter().zip(self.back.cells.iter().zip(&self.front.cells));
        let line = |(kind, (b, f)): (&Kind, (&Back, &Front))| match kind {
            Kind::Screen => [0.0; 5],
            Kind::Solid => [1.0, 0.0, 1.0, 0.0, 0.0],
            Kind::Mixed => line_of(difference, b, f, above),
        };
        Grid { width: self.back.width, height: self.back.height, cells: cells.map(line).collect() }
    }

    fn sums(&self, rows: &Rows<'_>, difference: &Difference, screen: f32) -> Vec<Sums> {
        let (grid_width, side) = (self.back.width, rows.side);
        let (front, _) = foreground(rows);
        let mut sums = vec![Sums::default(); grid_width * self.back.height];
        let line = grid_width * side;
        sums.par_chunks_mut(grid_width).enumerate().for_each_init(
            || std::array::from_fn::<Vec<u8>, 3, _>(|_| vec![0; line * side + COLUMNS]),
            |lines, (row, sums)| {
                let cells = &self.back.cells[row * grid_width..][..grid_width];
                let solid = &self.solid[row * grid_width..][..grid_width];
                let mut n = 0;
                for y in (row * side..((row + 1) * side).min(rows.height)).step_by(rows.step) {
                    rows.read(y, 0, lines.each_mut().map(|v| &mut v[n..n + line]));
                    n += line;
                }
                let bounds: Vec<[f32; 2]> = cells
                    .iter()
                    .zip(solid)
                    .map(|(b, solid)| [screen * b[0], if *solid { SOLID } else { front } * b[0]])
                    .collect();
                add(difference, lines.each_ref().map(|v| &v[..n + COLUMNS]), side, &bounds, sums);
                // The last column stands over the frame.
                let over = grid_width * side - rows.width;
                if over > 0 {
                    let last = &mut sums[grid_width - 1];
                    let part = (side - over) as f32 / side as f32;
                    last.back.iter_mut().chain(&mut last.front).for_each(|v| *v *= part);
                }
            },
        );
        sums
    }
}

/// Takes over what is seen of the screen, which counts whole where nothing else is near. `sure`: see [`ScreenModel`]; `full`: samples of
/// each cell; the cells of nothing but screen that have only such around them, and all of them.
fn learn_back(
    back: &mut Grid<5>,
    sure: &mut [f32],
    sums: &[Sums],
    full: &[f32],
    (inner, pure): (&[bool], &[bool]),
) {
    let mut weights = vec![0.0; sums.len()];
    let mut noise = Grid::new(back.width, back.height, [0.0; 1]);
    let mut noise_weights = vec![0.0; sums.len()];
    for (i, s) in sums.iter().enumerate() {
        let part = s.back[0] / full[i];
        let before = sure[i] * 0.9;
        let now = match (inner[i], pure[i]) {
            (true, _) => 1.0,
            (_, true) => 0.3,
            _ if part > 0.2 => MIXED * part * part,
            _ => 0.0,
        };
        if now > 0.0 {
            let mean = means(&s.back);
            let keep = REMEMBERED * before * (1.0 - now);
            for (c, m) in back.cells[i].iter_mut().zip(mean) {
                *c = (*c * keep + m * now) / (keep + now);
            }
        }
        if inner[i] {
            (noise.cells[i], noise_weights[i]) = ([means(&s.back)[1]], 1.0);
        }
        weights[i] = now.max(REMEMBERED * before);
        sure[i] = now.max(before);
    }
    back.fill(&weights);
    noise.fill(&noise_weights);
    for (b, n) in back.cells.iter_mut().zip(&noise.cells) {
        b[1] = n[0];
    }
}

/// Takes over what is seen of the foreground; whether there is any.
fn learn_front(front: &mut Grid<5>, sums: &[Sums], full: &[f32]) -> bool {
    let mut weights = vec![0.0; sums.len()];
    for (i, s) in sums.iter().enumerate() {
        let part = s.front[0] / full[i];
        if part > 0.0 {
            front.cells[i] = means(&s.front);
            weights[i] = part;
        }
    }
    let seen = weights.iter().any(|w| *w > 0.0);
    if seen {
        front.fill(&weights);
    }
    seen
}

/// [`ScreenModel::own`], of a frame.
fn own(sums: &[Sums], full: &[f32], kinds: &[Kind], difference: &Difference, grid_width: usize) -> Grid<2> {
    let mut own = Grid::new(grid_width, sums.len() / grid_width, [0.0; 2]);
    let mut weights = vec![0.0; sums.len()];
    for (i, s) in sums.iter().enumerate().filter(|(i, _)| kinds[*i] == Kind::Solid) {
        let [_, noise, a, b, c] = means(&s.front);
        let [d, e] = difference.parts([a, b, c]);
        let mean = 0.5 * (d + e);
        own.cells[i] = [mean, mean * mean + noise * noise];
        weights[i] = s.front[0] / full[i];
    }
    own.fill(&weights);
    own
}

/// The line of a cell with this screen and this foreground.
fn line_of(difference: &Difference, b: &Back, f: &Front, above: f32) -> Cell<5> {
    // What is left of the screen's noise is screen, and what varies in the foreground is foreground.
    let (below, above) = ((NOISE * b[1] + 0.01 * b[0]).min(0.3 * b[0]), above * f[1]);
    let (none, whole) = (b[0] - below, (f[0] + above).clamp(-0.6 * b[0], 0.3 * b[0]));
    let q = 1.0 / (none - whole);
    let [back, front] = [b, f].map(|c| difference.parts([c[2], c[3], c[4]]));
    let v = [front[0] - back[0], front[1] - back[1]];
    let length = v[0].hypot(v[1]).max(1.0);
    // Alpha where the levels begin and end.
    let (low, high) = (below / length, 1.0 - (above / length).min(0.3));
    let scale = 1.0 / ((high - low) * length * length);
    let s = [v[0] * scale, v[1] * scale];
    [none * q, q, -(back[0] * s[0] + back[1] * s[1]) - low / (high - low), s[0], s[1]]
}

/// Mean and deviation of the difference, and mean components.
fn means(sums: &[f32; 6]) -> [f32; 5] {
    let n = sums[0].max(1e-3);
    let mean = sums[1] / n;
    [mean, (sums[2] / n - mean * mean).max(0.0).sqrt(), sums[3] / n, sums[4] / n, sums[5] / n]
}

/// Columns of samples that are added up side by side: what they add up to lies in the nearest cache then.
const COLUMNS: usize = 64;

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
    fn add(difference: &Difference, c: [&[u8]; 3], side: usize, bounds: &[[f32; 2]], sums: &mut [Sums]) {
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
