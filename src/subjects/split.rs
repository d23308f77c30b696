//! Where a part of the mask that is one piece is several people: below the gap between two heads, and else where it is narrow
//! between two that stand side by side.
//!
//! The latter by a watershed of the distance to the outline (Vincent & Soille: Watersheds in digital spaces, PAMI 13
//! (6), 1991), whose basins stay apart only if the neck between them is narrow, neither is a limb, and neither stands
//! on the other: a head on its shoulders has a narrow neck, too.

use super::cells::Cells;

/// A neck is at most so wide, as a part of the narrower of the two that it joins.
const NECK: f32 = 0.6;
/// A limb has fewer cells than this part of the whole.
pub const LIMB: f32 = 0.2;
/// One stands on the other if so much of the narrower one's width is below or above the wider one.
const STACKED: f32 = 0.5;

/// A head is at least so many cells wide.
const LEAST_HEAD: usize = 5;
/// It is at least so wide as a part of the part's height.
const HEAD: f32 = 0.06;
/// The narrowest of several is at least so wide as a part of the widest: a fist is not.
const LIKE: f32 = 0.55;
/// From a head it goes down on both sides by so much of its width at least.
const DROP: f32 = 0.5;
/// The next head is so many widths away at least.
const APART: f32 = 1.0;
/// The gap between two is where it is no more than this part of the height less deep than at its deepest.
const SLACK: f32 = 0.1;

/// A basin of the watershed.
struct Basin {
    /// Its greatest distance to the outline.
    peak: u8,
    cells: Vec<u32>,
    /// The widest way into each other basin that was not joined to it: which, and half its width.
    necks: Vec<(usize, u8)>,
    /// The basin that it has been joined to.
    gone: Option<usize>,
}

/// The pieces of a part: itself, where it is one person as far as can be seen.
pub fn pieces(cells: &Cells, part: &[u32]) -> Vec<Vec<u32>> {
    let pieces = by_heads(cells, part);
    if pieces.len() > 1 { pieces } else { by_necks(cells, part) }
}

/// Parts a piece where it is narrow between two.
fn by_necks(cells: &Cells, part: &[u32]) -> Vec<Vec<u32>> {
    let mut inside = vec![false; cells.len()];
    part.iter().for_each(|c| inside[*c as usize] = true);
    let outline: Vec<u32> = (0..cells.len() as u32).filter(|c| !inside[*c as usize]).collect();
    // The frame's edge is no outline: who stands there goes on beyond.
    let depth = cells.distance(&outline, u8::MAX);
    let mut order = part.to_vec();
    order.sort_by_key(|c| std::cmp::Reverse(depth[*c as usize]));

    let mut basins: Vec<Basin> = Vec::new();
    let mut of = vec![usize::MAX; cells.len()];
    for cell in order {
        let here = depth[cell as usize];
        let mut around: Vec<usize> = cells
            .beside(cell as usize)
            .map(|c| of[c])
            .filter(|b| *b != usize::MAX)
            .map(|b| alive(&basins, b))
            .collect();
        around.sort_unstable();
        around.dedup();
        let Some(&first) = around.first() else {
            of[cell as usize] = basins.len();
            basins.push(Basin { peak: here, cells: vec![cell], necks: Vec::new(), gone: None });
            continue;
        };
        let mut own = first;
        for &other in &around[1..] {
            own = alive(&basins, own);
            let lower = basins[own].peak.min(basins[other].peak);
            if f32::from(here) > NECK * f32::from(lower) {
                own = join(&mut basins, own, other);
            } else {
                for (a, b) in [(own, other), (other, own)] {
                    if !basins[a].necks.iter().any(|(n, _)| alive(&basins, *n) == b) {
                        basins[a].necks.push((b, here));
                    }
                }
            }
        }
        of[cell as usize] = own;
        basins[own].cells.push(cell);
    }
    // Limbs, from the smallest on, to whom they have the widest neck with; then heads on shoulders, of the few that are left.
    let mut small: Vec<usize> = (0..basins.len()).filter(|b| basins[*b].gone.is_none()).collect();
    small.sort_by_key(|b| basins[*b].cells.len());
    for basin in small {
        let is_limb =
            basins[basin].gone.is_none() && (basins[basin].cells.len() as f32) < LIMB * part.len() as f32;
        if let Some(to) = is_limb.then(|| widest(&basins, basin)).flatten() {
            join(&mut basins, to, basin);
        }
    }
    loop {
        let mut left: Vec<usize> = (0..basins.len()).filter(|b| basins[*b].gone.is_none()).collect();
        left.sort_by_key(|b| basins[*b].cells.len());
        let belongs = |small: &usize| {
            let to = widest(&basins, *small)?;
            stacked(cells, &basins[*small].cells, &basins[to].cells).then_some((*small, to))
        };
        let Some((small, to)) = left.iter().find_map(belongs) else {
            return left.into_iter().map(|b| std::mem::take(&mut basins[b].cells)).collect();
        };
        join(&mut basins, to, small);
    }
}

/// The basin that one has the widest neck with.
fn widest(basins: &[Basin], basin: usize) -> Option<usize> {
    let necks = basins[basin].necks.iter().map(|(other, wide)| (alive(basins, *other), *wide));
    Some(necks.filter(|(other, _)| *other != basin).max_by_key(|(_, wide)| *wide)?.0)
}

/// Parts a piece below the gaps between its heads.
fn by_heads(cells: &Cells, piece: &[u32]) -> Vec<Vec<u32>> {
    let (mut top, mut bottom) = (vec![usize::MAX; cells.width], 0);
    for cell in piece {
        let (x, y) = (*cell as usize % cells.width, *cell as usize / cells.width);
        top[x] = top[x].min(y);
        bottom = bottom.max(y + 1);
    }
    let used = |x: &usize| top[*x] != usize::MAX;
    let (Some(first), Some(last)) = ((0..cells.width).find(used), (0..cells.width).rev().find(used)) else {
        return Vec::new();
    };
    // Where there is nothing in a column it goes down to the ground.
    let top: Vec<usize> = (first..=last).map(|x| top[x].min(bottom)).collect();
    let cuts = gaps(&top, bottom - top.iter().min().copied().unwrap_or(0));
    let mut pieces = vec![Vec::new(); cuts.len() + 1];
    for cell in piece {
        let x = *cell as usize % cells.width - first;
        pieces[cuts.partition_point(|c| *c <= x)].push(*cell);
    }
    pieces.retain(|p| !p.is_empty());
    pieces
}

/// The columns of the gaps between heads in an outline, seen from above: how far down it is in each column.
fn gaps(top: &[usize], height: usize) -> Vec<usize> {
    // A head's top, and the columns that it is as wide as half way down to the lower of the gaps beside it.
    let lowest = |from: usize, to: usize| (from..=to).max_by_key(|x| top[*x]).unwrap_or(from);
    let mut heads: Vec<(usize, usize)> = Vec::new();
    let mut rest: Vec<usize> = (0..top.len()).collect();
    rest.sort_by_key(|x| top[*x]);
    for peak in rest {
        // Higher ones to the left and to the right, and the gaps between.
        let higher = |x: &usize| top[*x] < top[peak] || (top[*x] == top[peak] && *x < peak);
        let left = (0..peak).rev().find(higher).map_or(0, |x| lowest(x, peak));
        let right = (peak..top.len()).find(higher).map_or(top.len() - 1, |x| lowest(peak, x));
        let drop = top[left].min(top[right]) - top[peak];
        let level = top[peak] + drop.div_ceil(2);
        let begin = (0..peak).rev().find(|x| top[*x] > level).map_or(0, |x| x + 1);
        let end = (peak..top.len()).find(|x| top[*x] > level).unwrap_or(top.len());
        let wide = end - begin;
        let is_head =
            wide >= LEAST_HEAD && wide as f32 >= HEAD * height as f32 && drop as f32 >= DROP * wide as f32;
        if is_head {
            heads.push((peak, wide));
        }
    }
    let widest = heads.iter().map(|(_, wide)| *wide).max().unwrap_or(0);
    heads.retain(|(_, wide)| *wide as f32 >= LIKE * widest as f32);
    heads.sort_unstable();
    heads.dedup_by(|b, a| ((b.0 - a.0) as f32) < APART * (a.1 + b.1) as f32 / 2.0);
    // The middle of where it is about lowest: shoulders are not level.
    let slack = (SLACK * height as f32) as usize;
    let middle = |from: usize, to: usize| {
        let deep = top[lowest(from, to)];
        let all: Vec<usize> = (from..=to).filter(|x| top[*x] + slack >= deep).collect();
        all[all.len() / 2]
    };
    heads.windows(2).map(|two| middle(two[0].0, two[1].0)).collect()
}

/// The basin that one has become part of.
fn alive(basins: &[Basin], mut basin: usize) -> usize {
    while let Some(to) = basins[basin].gone {
        basin = to;
    }
    basin
}

/// Joins the second to the first, or the other way round; which one is left.
fn join(basins: &mut [Basin], a: usize, b: usize) -> usize {
    let (to, from) = if basins[a].peak >= basins[b].peak { (a, b) } else { (b, a) };
    let (cells, necks) = (std::mem::take(&mut basins[from].cells), std::mem::take(&mut basins[from].necks));
    basins[to].cells.extend(cells);
    basins[to].necks.extend(necks);
    basins[from].gone = Some(to);
    to
}

/// Whether one of them stands on the other: most columns of the narrower one are the wider one's, too.
pub fn stacked(cells: &Cells, a: &[u32], b: &[u32]) -> bool {
    if a.is_empty() || b.is_empty() {
        return false;
    }
    // Without a tenth at each side, where hair and elbows are.
    let range = |of: &[u32]| {
        let mut x: Vec<usize> = of.iter().map(|c| *c as usize % cells.width).collect();
        x.sort_unstable();
        (x[x.len() / 10], x[x.len() - 1 - x.len() / 10] + 1)
    };
    let (a, b) = (range(a), range(b));
    let common = a.1.min(b.1).saturating_sub(a.0.max(b.0));
    common as f32 > STACKED * (a.1 - a.0).min(b.1 - b.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An outline: from where to where it is how far down.
    fn outline(steps: &[(usize, usize)]) -> Vec<usize> {
        steps.iter().flat_map(|(count, top)| std::iter::repeat_n(*top, *count)).collect()
    }

    #[test]
    fn between_heads_there_is_a_gap() {
        // Shoulder, head, the neck's side, shoulders that are not level, head, shoulder; 100 high.
        let two = outline(&[(20, 50), (30, 0), (5, 56), (30, 50), (10, 52), (34, 4), (20, 50)]);
        assert_eq!(gaps(&two, 100), [72]);
        // With nothing between them.
        assert_eq!(
            gaps(&outline(&[(20, 50), (30, 0), (20, 50), (9, 100), (20, 50), (30, 2), (20, 48)]), 100),
            [74]
        );
        // One with an arm up, and one alone.
        assert_eq!(gaps(&outline(&[(20, 50), (30, 10), (12, 50), (9, 0), (8, 50)]), 100), [0; 0]);
        assert_eq!(gaps(&outline(&[(20, 50), (30, 0), (20, 50)]), 100), [0; 0]);
        assert_eq!(gaps(&[3], 1), [0; 0]);
    }
}
