//! Whether what came out is what went in.

use crate::kinds::Kind;
use crate::seen::{Look, Seen};

/// Seconds that a frame may be off, and a beep.
const FRAME: f64 = 0.00101;
const BEEP: f64 = 0.020;
/// Seconds that the whole may be longer or shorter: encoders of sound fill their last frame.
const LENGTH: f64 = 0.15;
/// What a part of a colour may be off, of 255; and alpha, which is one bit in GIF.
const COLOR: u8 = 4;
const ALPHA: u8 = 4;

/// What a format can hold.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub name: &'static str,
    pub options: &'static [&'static str],
    /// What stands behind; none where it is transparent.
    pub behind: Option<[u8; 3]>,
    pub sound: bool,
    /// Seconds of a tick of its times.
    pub tick: f64,
    /// Seconds that a frame lasts at least: where more come, some are left out.
    pub least: f64,
    /// Sides are multiples of this.
    pub step: f64,
}

const GREEN: [u8; 3] = [0, 0xb1, 0x40];
const PLAIN: Output =
    Output { name: "", options: &[], behind: None, sound: true, tick: 0.0, least: 0.0, step: 1.0 };

pub const OUTPUTS: [Output; 6] = [
    Output { name: "webm", ..PLAIN },
    Output { name: "mov", ..PLAIN },
    // No alpha, so that it needs a background; 4:2:0 has no odd sides.
    Output { name: "mp4", options: &["--background", "#00b140"], behind: Some(GREEN), step: 2.0, ..PLAIN },
    // Times in hundredths; shorter frames than two of these are shown for ten by browsers.
    Output { name: "gif", sound: false, tick: 0.01, least: 0.02, ..PLAIN },
    // Shorter frames than that are shown for a tenth of a second by browsers.
    Output { name: "webp", sound: false, tick: 0.001, least: 0.011, ..PLAIN },
    Output { name: "png", sound: false, ..PLAIN },
];

/// What the input is held against, with ffmpeg's eyes.
pub const INPUT: Output = Output { name: "input", tick: 0.001, ..PLAIN };

fn off(a: &[u8], b: &[u8]) -> u8 {
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

/// What is to be seen.
pub struct Want {
    /// What is left of the picture's colour in the input.
    pub color: [u8; 3],
    /// Frames, with their times after the first.
    frames: Vec<(usize, f64)>,
    /// Beeps, with their times after the first frame.
    beeps: Option<Vec<f64>>,
}

impl Want {
    /// By the kind's row, or where times are moved by ffmpeg's eyes.
    pub fn new(kind: &Kind, color: [u8; 3], input: Option<&Seen>) -> Self {
        let mut want = Self { color, frames: kind.shown(), beeps: kind.beeps() };
        if let Some((seen, times)) = input.filter(|_| kind.moved).and_then(|i| Some((i, i.times.as_ref()?))) {
            let numbers = seen.frames.iter().map(|f| f.number.unwrap_or(usize::MAX));
            want.frames = numbers.zip(times.iter().map(|t| t - times[0])).collect();
            want.beeps = seen.beeps.as_ref().map(|all| all.iter().map(|t| t - times[0]).collect());
        }
        want
    }
}

/// All that is not as it should be.
pub fn judge(kind: &Kind, output: &Output, want: &Want, seen: &Seen) -> Vec<String> {
    let color = want.color;
    let mut wrong = frames(want, output, seen);
    for (n, look) in seen.frames.iter().enumerate() {
        if let Some(what) = pixels(kind, output, color, look) {
            wrong.push(format!("frame {n}: {what}"));
            break;
        }
    }
    let (w, h) = (kind.size.0 as f64 * kind.aspect, kind.size.1 as f64);
    let stepped = |v: f64| v - v % output.step;
    let (w, h) = if kind.aspect == 1.0 { (stepped(w), stepped(h)) } else { (w, h) };
    // Formats round the shape of a pixel, and the width of what has none.
    if (seen.size.0 - w).abs() > if kind.aspect == 1.0 { 0.1 } else { 1.5 } || (seen.size.1 - h).abs() > 0.1 {
        wrong.push(format!("it is shown at {:.1}×{}, not {w:.1}×{h}", seen.size.0, seen.size.1));
    }
    if output.sound {
        wrong.extend(sound(want, seen));
    }
    let length = kind.length(output.sound);
    let is_known = output.name != INPUT.name && !kind.moved;
    if let Some(got) = seen.length.filter(|got| (got - length).abs() > LENGTH && is_known) {
        wrong.push(format!("it lasts {got:.3} s, not {length:.3}"));
    }
    wrong
}

fn frames(want: &Want, output: &Output, seen: &Seen) -> Vec<String> {
    let (want, mut wrong) = (&want.frames, Vec::new());
    let numbers: Vec<_> = seen.frames.iter().map(|f| f.number).collect();
    let show = |n: &Option<usize>| n.map_or("?".to_string(), |n| n.to_string());
    // Runs in which each is the next, by their ends.
    let list = |all: &[Option<usize>]| {
        let runs = all.chunk_by(|a, b| (a.is_none() && b.is_none()) || a.is_some_and(|a| *b == Some(a + 1)));
        let run = |r: &[Option<usize>]| match r {
            [one] => show(one),
            [first, .., last] => format!("{}..{}", show(first), show(last)),
            [] => String::new(),
        };
        runs.map(run).collect::<Vec<_>>().join(" ")
    };
    let begin = seen.times.as_ref().and_then(|t| t.first().copied()).unwrap_or(0.0);
    if let Some(times) = seen.times.as_ref().filter(|t| t.len() != numbers.len()) {
        wrong.push(format!("{} times of {} frames", times.len(), numbers.len()));
    }
    let (mut next, mut last) = (0, f64::NEG_INFINITY);
    for (n, number) in numbers.iter().enumerate() {
        // What is too short for the format may be left out.
        while let Some((w, at)) = want.get(next)
            && Some(*w) != *number
            && (at - last < output.least || want.get(next + 1).is_some_and(|(_, t)| t - at < output.least))
        {
            next += 1;
        }
        let Some((w, at)) = want.get(next).filter(|(w, _)| Some(*w) == *number) else {
            let expected: Vec<_> = want.iter().map(|(n, _)| Some(*n)).collect();
            wrong.push(format!("frames {} where there are {}", list(&numbers), list(&expected)));
            return wrong;
        };
        let exact = FRAME + output.tick;
        let time = seen.times.as_ref().and_then(|t| Some(t.get(n)? - begin));
        if let Some(time) = time.filter(|t| (t - at).abs() > exact) {
            wrong.push(format!("frame {w} is seen at {time:.4} s, not {at:.4}"));
            return wrong;
        }
        (next, last) = (next + 1, *at);
    }
    let left: Vec<_> = want[next..].iter().filter(|(_, at)| at - last >= output.least).collect();
    if !left.is_empty() {
        let expected: Vec<_> = want.iter().map(|(n, _)| Some(*n)).collect();
        wrong.push(format!("frames {} where there are {}", list(&numbers), list(&expected)));
    }
    wrong
}

fn pixels(kind: &Kind, output: &Output, color: [u8; 3], look: &Look) -> Option<String> {
    let told = |what: &str, got: [u8; 4], want: &dyn std::fmt::Debug| {
        Some(format!("{what} is {got:?}, not {want:?}"))
    };
    let there = |p: &[u8; 4]| off(&p[..3], &color) <= COLOR && p[3] >= 255 - ALPHA;
    let gone = |p: &[u8; 4]| match output.behind {
        Some(behind) => off(&p[..3], &behind) <= COLOR,
        None => p[3] <= ALPHA,
    };
    if !there(&look.plain) {
        return told("the colour", look.plain, &color);
    }
    let is_input = output.name == INPUT.name;
    if !is_input && !gone(&look.behind) {
        return told("the background", look.behind, &"gone");
    }
    match kind.hole {
        true if is_input => (look.hole[3] > ALPHA).then(|| format!("the hole is {:?}", look.hole)),
        true if !gone(&look.hole) => told("the hole", look.hole, &"gone"),
        // Another place than the one whose colour is known: codecs give it another.
        false if off(&look.hole[..3], &color) > 2 * COLOR || look.hole[3] < 255 - ALPHA => {
            told("where no hole is, it", look.hole, &color)
        }
        _ => None,
    }
}

fn sound(want: &Want, seen: &Seen) -> Option<String> {
    let want = want.beeps.as_ref();
    let begin = seen.times.as_ref().and_then(|t| t.first().copied()).unwrap_or(0.0);
    let (want, got) = match (want, &seen.beeps) {
        (None, None) => return None,
        (None, Some(_)) => return Some("it has sound".into()),
        (Some(want), None) if want.is_empty() => return None,
        (Some(_), None) => return Some("it has no sound".into()),
        (Some(want), Some(got)) => (want, got.iter().map(|t| t - begin).collect::<Vec<_>>()),
    };
    let same = want.len() == got.len() && want.iter().zip(&got).all(|(a, b)| (a - b).abs() <= BEEP);
    (!same).then(|| format!("beeps at {got:.3?}, not {want:.3?}"))
}
