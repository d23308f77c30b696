//! Several in one part of the mask: whose each cell is.
//!
//! Each is laid on the part as they were when they stood alone, where their colours fit best. Where two lie over each other, the
//! one who fits better there stands before the other.

use super::cells::Cells;
use super::colors::Colors;

/// So far from where they should be somebody is looked for, in cells.
const REACH: isize = 3;
/// How much each cell further off has to gain, as a part of theirs.
const OFF: f32 = 0.01;
/// So many cells further away weigh as much as a colour that is e times as frequent.
const STEP: f32 = 3.0;
/// Cells further away than this weigh no more.
const FAR: u8 = 12;
/// The most that a colour weighs.
const MOST_COLOR: f32 = 3.0;
/// What it weighs to stand behind another.
const BEHIND: f32 = 4.0;
/// How much each neighbour weighs who is the other's.
const NEIGHBOUR: f32 = 0.4;
/// How often neighbours are asked.
const ROUNDS: usize = 3;

/// Cells, and which colour each has.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    cells: Vec<u32>,
    colors: Vec<u8>,
}

impl Shape {
    pub fn of(cells: &Cells, these: &[u32]) -> Self {
        Self { cells: these.to_vec(), colors: these.iter().map(|c| cells.color[*c as usize]).collect() }
    }

    /// The cells where they lie after a shift, with the colours that they had.
    pub fn laid(&self, cells: &Cells, by: [f32; 2], each: usize) -> impl Iterator<Item = (usize, u8)> {
        let [dx, dy] = by.map(|v| v.round() as isize);
        let (w, h) = (cells.width as isize, cells.height as isize);
        self.cells.iter().zip(&self.colors).step_by(each).filter_map(move |(cell, color)| {
            let (x, y) = (*cell as isize % w + dx, *cell as isize / w + dy);
            ((0..w).contains(&x) && (0..h).contains(&y)).then_some(((y * w + x) as usize, *color))
        })
    }
}

/// One of those in a part.
pub struct Rival<'a> {
    pub shape: &'a Shape,
    /// How far from there they should be by now, in cells.
    pub gone: [f32; 2],
    pub colors: &'a Colors,
}

/// Whose each cell of a part is, by the rivals' order; and how far each has gone.
pub fn contest(cells: &Cells, part: &[u32], rivals: &[Rival<'_>]) -> (Vec<usize>, Vec<[f32; 2]>) {
    let mut inside = vec![false; cells.len()];
    part.iter().for_each(|c| inside[*c as usize] = true);
    let places: Vec<[f32; 2]> = rivals.iter().map(|r| place(cells, &inside, r)).collect();
    let laid: Vec<Vec<(usize, u8)>> =
        rivals.iter().zip(&places).map(|(r, place)| r.shape.laid(cells, *place, 1).collect()).collect();

    // Who stands before whom: whose colours are there where they lie over another.
    let mut covers = vec![0u8; cells.len()];
    laid.iter().flatten().for_each(|(c, _)| covers[*c] = covers[*c].saturating_add(1));
    let fits: Vec<f32> = laid
        .iter()
        .map(|own| {
            let over: Vec<_> = own.iter().filter(|(c, _)| covers[*c] > 1 && inside[*c]).collect();
            let same = over.iter().filter(|(c, color)| cells.color[*c] == *color).count();
            same as f32 / over.len().max(1) as f32
        })
        .collect();

    let away: Vec<Vec<u8>> = laid
        .iter()
        .map(|own| {
            let own: Vec<u32> = own.iter().map(|(c, _)| *c as u32).collect();
            cells.distance(&own, FAR)
        })
        .collect();
    let mut costs = Vec::with_capacity(part.len() * rivals.len());
    for cell in part {
        let cell = *cell as usize;
        let likely = |r: &Rival<'_>| r.colors.likely(cells.color[cell]);
        let best = rivals.iter().map(likely).fold(f32::MIN, f32::max);
        let covers = |k: &usize| away[*k][cell] == 0;
        let front = (0..rivals.len()).filter(covers).max_by(|a, b| fits[*a].total_cmp(&fits[*b]));
        for (k, rival) in rivals.iter().enumerate() {
            let behind = if front.is_some_and(|f| f != k) && covers(&k) { BEHIND } else { 0.0 };
            costs.push(f32::from(away[k][cell]) / STEP + (best - likely(rival)).min(MOST_COLOR) + behind);
        }
    }
    (settle(cells, part, &costs, rivals.len()), places)
}

/// Where somebody is: where most of the colours that they had are again, near to where they should be.
fn place(cells: &Cells, inside: &[bool], rival: &Rival<'_>) -> [f32; 2] {
    // Of large ones some are enough.
    let each = (rival.shape.cells.len() / 1500).max(1);
    let fit = |by: [f32; 2]| {
        let (mut sum, mut all) = (0.0, 0.0f32);
        for (cell, color) in rival.shape.laid(cells, by, each) {
            let here = match inside[cell] {
                true if cells.color[cell] == color => 1.0,
                true => 0.0,
                false => -0.5,
            };
            (sum, all) = (sum + here, all + 1.0);
        }
        sum / all.max(1.0)
    };
    let mut best = (f32::MIN, rival.gone);
    for dy in -REACH..=REACH {
        for dx in -REACH..=REACH {
            let by = [rival.gone[0] + dx as f32, rival.gone[1] + dy as f32];
            let fit = fit(by) - OFF * (dx.abs() + dy.abs()) as f32;
            if fit > best.0 {
                best = (fit, by);
            }
        }
    }
    best.1
}

/// The rival whom each cell costs least (`costs`: of each cell those of each rival), if each asks its neighbours in turn
/// (iterated conditional modes; Besag, 1986).
fn settle(cells: &Cells, part: &[u32], costs: &[f32], rivals: usize) -> Vec<usize> {
    const NONE: usize = usize::MAX;
    let mut whose = vec![NONE; cells.len()];
    for round in 0..=ROUNDS {
        for (cell, costs) in part.iter().zip(costs.chunks_exact(rivals.max(1))) {
            let cost = |k: usize| {
                let other = |c: &usize| whose[*c] != NONE && whose[*c] != k;
                let beside = if round == 0 { 0 } else { cells.beside(*cell as usize).filter(other).count() };
                costs[k] + beside as f32 * NEIGHBOUR
            };
            let least = (0..costs.len()).min_by(|a, b| cost(*a).total_cmp(&cost(*b)));
            whose[*cell as usize] = least.unwrap_or(0);
        }
    }
    part.iter().map(|c| whose[*c as usize]).collect()
}
