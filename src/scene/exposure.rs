//! A change of exposure, as a gain and an offset of a plane.

/// How much of what is compared has to be as before for that to be trusted.
const TRUSTED: f32 = 0.9;
/// How much there has to be to compare.
const ENOUGH: usize = 100;
/// The standard deviation of levels from which on a gain can be told.
const FLAT: f64 = 3.0;
/// The mean change of a level from which on it is followed.
const STEP: f32 = 0.4;
/// How far off the line, in levels, what belongs to the scene may lie: first, then, and in the end.
const LIMITS: [f32; 3] = [24.0, 12.0, 8.0];

/// The line, gain and offset, on which nearly all pairs of a level before and one now lie, if it is another than before
/// and there are enough of them.
pub fn line(pairs: &[(f32, f32)]) -> Option<(f32, f32)> {
    // Mostly there is no change, and one look shows that.
    let at_first = fit(pairs, (1.0, 0.0), LIMITS[0])?;
    let near = pairs.iter().filter(|(x, y)| (x - y).abs() < LIMITS[0]).count();
    if near as f32 > TRUSTED * pairs.len() as f32 && step(pairs, at_first) < STEP {
        return None;
    }
    let mut line = (1.0, median_gap(pairs));
    for limit in LIMITS {
        line = fit(pairs, line, limit)?;
    }
    let (gain, offset) = line;
    let on = pairs.iter().filter(|(x, y)| (gain * x + offset - y).abs() < LIMITS[2]).count();
    let holds = (0.5..2.0).contains(&gain) && on as f32 > TRUSTED * pairs.len() as f32;
    (holds && step(pairs, line) > STEP).then_some(line)
}

/// The line of least squares through what is near another line.
fn fit(pairs: &[(f32, f32)], (gain, offset): (f32, f32), limit: f32) -> Option<(f32, f32)> {
    let [mut n, mut sx, mut sy, mut sxx, mut sxy] = [0.0f64; 5];
    for &(x, y) in pairs.iter().filter(|(x, y)| (gain * x + offset - y).abs() < limit) {
        let (x, y) = (f64::from(x), f64::from(y));
        (n, sx, sy) = (n + 1.0, sx + x, sy + y);
        (sxx, sxy) = (sxx + x * x, sxy + x * y);
    }
    if n < ENOUGH as f64 {
        return None;
    }
    let scatter = sxx - sx * sx / n;
    // Of a flat scene no gain can be told.
    let slope = if scatter > n * FLAT * FLAT { (sxy - sx * sy / n) / scatter } else { 1.0 };
    Some((slope as f32, ((sy - slope * sx) / n) as f32))
}

/// The mean change of a level.
fn step(pairs: &[(f32, f32)], (gain, offset): (f32, f32)) -> f32 {
    pairs.iter().map(|(x, _)| (gain * x + offset - x).abs()).sum::<f32>() / pairs.len() as f32
}

/// The median of what a pair's second is more than its first.
fn median_gap(pairs: &[(f32, f32)]) -> f32 {
    let mut gaps: Vec<f32> = pairs.iter().map(|(x, y)| y - x).collect();
    let middle = gaps.len() / 2;
    *gaps.select_nth_unstable_by(middle, f32::total_cmp).1
}
