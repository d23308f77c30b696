//! Which side is better, in words, and whether the figures bear it.

use super::{Outcome, Side};

/// Frames in a row are alike; blocks of this many count as one observation.
const BLOCK: usize = 5;
/// A difference counts when it is larger than this many standard errors of the blocks' differences (5 % level
/// at four blocks, stricter with more) …
const ERRORS: f64 = 3.2;
/// … and larger than this share.
const SHARE: f64 = 0.02;

/// A figure of both sides over all clips.
pub struct Judged {
    pub a: f64,
    pub b: f64,
    /// Whether they differ by more than chance and more than 2 %; `None` with too few frames to tell.
    pub differ: Option<bool>,
}

impl Judged {
    /// Share by which the smaller is below the larger, in percent.
    fn less(&self) -> f64 {
        (1.0 - self.a.min(self.b) / self.a.max(self.b).max(1e-12)) * 100.0
    }

    fn better(&self) -> char {
        if self.a <= self.b { 'A' } else { 'B' }
    }
}

/// Judges one figure, frame by frame; frames where either side has none are left out.
pub fn judge(outcomes: &[Outcome], figures: impl Fn(&Side) -> Vec<Option<f64>>) -> Option<Judged> {
    let (mut a, mut b, mut blocks) = (Vec::new(), Vec::new(), Vec::new());
    for outcome in outcomes {
        let [of_a, of_b] = [figures(&outcome.sides[0]), figures(&outcome.sides[1])];
        let pairs: Vec<(f64, f64)> = of_a.into_iter().zip(of_b).filter_map(|(a, b)| Some((a?, b?))).collect();
        a.extend(pairs.iter().map(|p| p.0));
        b.extend(pairs.iter().map(|p| p.1));
        let whole = pairs.chunks_exact(BLOCK);
        blocks.extend(whole.map(|c| c.iter().map(|(a, b)| a - b).sum::<f64>() / BLOCK as f64));
    }
    if a.is_empty() {
        return None;
    }
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (a, b) = (mean(&a), mean(&b));
    let differ = (blocks.len() >= 3).then(|| {
        let middle = mean(&blocks);
        let square: f64 = blocks.iter().map(|d| (d - middle).powi(2)).sum();
        let error = (square / (blocks.len() - 1) as f64 / blocks.len() as f64).sqrt();
        middle.abs() > ERRORS * error && (a - b).abs() > SHARE * a.max(b)
    });
    Some(Judged { a, b, differ })
}

/// A figure of a frame, on its way to a table or a verdict.
pub type Figures = fn(&Side) -> Vec<Option<f64>>;

pub const FLICKER: Figures = |s| s.steady.iter().map(|f| f.flicker).collect();
pub const HOLES: Figures = |s| s.steady.iter().map(|f| f.holes).collect();
pub const ISLANDS: Figures = |s| s.steady.iter().map(|f| f.islands).collect();
pub const BLINKS: Figures = |s| s.steady.iter().map(|f| f.blinks).collect();
pub const PULSING: Figures = |s| s.steady.iter().map(|f| f.pulsing).collect();
pub const MAD: Figures = |s| s.truth.iter().map(|f| Some(f.mad)).collect();
pub const MSE: Figures = |s| s.truth.iter().map(|f| Some(f.mse)).collect();
pub const GRAD: Figures = |s| s.truth.iter().map(|f| Some(f.grad)).collect();
pub const CONN: Figures = |s| s.truth.iter().map(|f| Some(f.conn)).collect();
pub const EDGE: Figures = |s| s.truth.iter().map(|f| Some(f.edge)).collect();
pub const DTSSD: Figures = |s| s.truth.iter().map(|f| f.dtssd).collect();
/// Without the first frame, which loads and warms up.
pub const TIME: Figures = |s| s.times.iter().skip(1).map(|t| Some(t.as_secs_f64() * 1e3)).collect();

/// `A is NAME: FIGURE 1.2 against 3.4 (65 % less)`, one line a question.
fn line(outcomes: &[Outcome], comparative: &str, figures: &[(&str, Figures)]) -> Option<String> {
    let judged: Vec<(&str, Judged)> =
        figures.iter().filter_map(|(n, f)| judge(outcomes, f).map(|j| (*n, j))).collect();
    if judged.is_empty() {
        return None;
    }
    let told = |(n, j): &(&str, Judged)| {
        format!("{n} {} against {} ({:.0} % less)", number(j.a.min(j.b)), number(j.a.max(j.b)), j.less())
    };
    let of = |side: char| {
        let clear = judged.iter().filter(|(_, j)| j.differ == Some(true) && j.better() == side);
        clear.map(told).collect::<Vec<_>>()
    };
    let (a, b) = (of('A'), of('B'));
    let names = judged.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", ");
    Some(match (a.is_empty(), b.is_empty()) {
        _ if judged.iter().all(|(_, j)| j.differ.is_none()) => {
            format!("Which is {comparative} cannot be told from so few frames: give at least 20.")
        }
        (true, true) => format!("Neither is measurably {comparative} ({names})."),
        (false, true) => format!("A is {comparative}: {}.", a.join("; ")),
        (true, false) => format!("B is {comparative}: {}.", b.join("; ")),
        (false, false) => {
            format!("Mixed on which is {comparative}: A has {}; B has {}.", a.join("; "), b.join("; "))
        }
    })
}

/// The verdict, a sentence each; the first is the headline.
pub fn verdicts(outcomes: &[Outcome]) -> Vec<String> {
    let mut all = Vec::new();
    let frames: usize = outcomes.iter().map(|o| o.differences.len()).sum();
    if outcomes.iter().all(|o| o.differences.iter().all(|d| *d == 0.0)) {
        all.push(format!("A and B do not differ: the same alpha in every pixel of all {frames} frames."));
    } else {
        let figures = [("MAD", MAD), ("Grad", GRAD), ("Conn", CONN), ("Edge", EDGE), ("dtSSD", DTSSD)];
        all.extend(line(outcomes, "nearer to the truth", &figures));
        let figures = [("edge flicker", FLICKER), ("blinks", BLINKS), ("pulsing", PULSING)];
        all.extend(line(outcomes, "steadier", &figures));
        let total: f64 = outcomes.iter().flat_map(|o| &o.differences).sum();
        let worst = outcomes.iter().flat_map(|o| &o.differences).fold(0.0f64, |a, b| a.max(*b));
        all.push(format!(
            "Their alpha differs by {} ‰ on average, {} ‰ on the worst of {frames} frames.",
            number(total / frames.max(1) as f64),
            number(worst)
        ));
        for (i, name) in ["A", "B"].into_iter().enumerate() {
            if outcomes.iter().any(|o| o.coverage[i] < 0.01) {
                all.push(format!(
                    "{name} finds hardly any foreground in a clip (less than 1 % of the picture): there its \
                     steadiness means nothing."
                ));
            }
        }
    }
    all.extend(line(outcomes, "faster on this machine", &[("milliseconds a frame", TIME)]));
    all
}

/// Three figures that count; zero is `0`.
pub fn number(v: f64) -> String {
    match v.abs() {
        0.0 => "0".into(),
        a if a < 0.001 => format!("{v:.1e}"),
        a if a < 1.0 => format!("{v:.3}"),
        a if a < 100.0 => format!("{v:.2}"),
        _ => format!("{v:.0}"),
    }
}
