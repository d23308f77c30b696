//! The screen: its colour found in a frame, how it and the foreground vary over the frame, and what cells hold.

use super::colour::{Difference, Primary};
use super::grid::{Cell, Grid};
use super::rows::Rows;
use super::sums::{COLUMNS, Sums, add, means};
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
