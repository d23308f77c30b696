//! Framing the subject, steadily: a box around it that rests as long as the subject is well inside, and glides where it is not.

use super::place::Rect;

/// Alpha from which on a pixel counts.
const SOLID: u8 = 128;
/// The part of the subject's pixels that may lie outside the box at each side: specks.
const OUTSIDE: f64 = 0.003;
/// So small a part of the frame is nobody.
const NOBODY: f64 = 0.0005;
/// Sides of the subject within this part of the frame's from its edge are cut off there, and get no margin.
const CUT: f64 = 0.01;
/// The part of the margin that the subject may move by before the box follows.
const REST: f64 = 0.5;
/// The time in which the box follows, in seconds.
const FOLLOWS: f64 = 0.4;
/// The longest time between two frames that counts.
const LONGEST: f64 = 0.25;

/// Where the subject is in a matte (tight rows of `width`), in pixels; `None` when there is nobody.
pub fn find(alpha: &[u8], width: usize) -> Option<Rect> {
    if width == 0 {
        return None;
    }
    let mut columns = vec![0u32; width];
    let mut rows = Vec::with_capacity(alpha.len() / width);
    for row in alpha.chunks_exact(width) {
        let mut count = 0;
        for (a, column) in row.iter().zip(&mut columns) {
            let solid = u32::from(*a >= SOLID);
            count += solid;
            *column += solid;
        }
        rows.push(count);
    }
    let all: u64 = rows.iter().map(|n| u64::from(*n)).sum();
    if (all as f64) < NOBODY * alpha.len() as f64 || all == 0 {
        return None;
    }
    let few = OUTSIDE * all as f64;
    let first = |counts: &mut dyn Iterator<Item = &u32>| {
        let mut sum = 0.0;
        let mut at = 0;
        for n in counts {
            sum += f64::from(*n);
            if sum > few {
                break;
            }
            at += 1;
        }
        at as f64
    };
    let (w, h) = (width as f64, rows.len() as f64);
    Some([
        first(&mut columns.iter()),
        first(&mut rows.iter()),
        w - first(&mut columns.iter().rev()),
        h - first(&mut rows.iter().rev()),
    ])
}

/// The box with a margin (a part of its height) at each side that is not cut off by the frame's edge.
fn with_margin([left, top, right, bottom]: Rect, (w, h): (f64, f64), margin: f64) -> Rect {
    let more = margin * (bottom - top);
    [
        if left > CUT * w { left - more } else { left },
        if top > CUT * h { top - more } else { top },
        if right < (1.0 - CUT) * w { right + more } else { right },
        if bottom < (1.0 - CUT) * h { bottom + more } else { bottom },
    ]
}

/// Follows the subject from frame to frame.
#[derive(Debug, Default)]
pub struct Framing {
    /// What is shown, and how fast its sides move, in pixels a second.
    view: Option<(Rect, Rect)>,
    target: Rect,
    time: Option<gst::ClockTime>,
}

impl Framing {
    /// Forgets the subject.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// The region that is to be shown of a frame of this size at a time; all of it until somebody is seen.
    pub fn follow(
        &mut self,
        found: Option<Rect>,
        size: (usize, usize),
        margin: f64,
        time: Option<gst::ClockTime>,
    ) -> Rect {
        let (w, h) = (size.0 as f64, size.1 as f64);
        let since = match (self.time, time) {
            (Some(last), Some(now)) => now.saturating_sub(last).nseconds() as f64 / 1e9,
            _ => 0.0,
        };
        self.time = time.or(self.time);
        let wanted = found.map(|found| with_margin(found, (w, h), margin));
        match (wanted, &mut self.view) {
            (None, None) => return [0.0, 0.0, w, h],
            (Some(wanted), view) if view.is_none_or(|(view, _)| apart(view, wanted)) => {
                self.target = wanted;
                self.view = Some((wanted, [0.0; 4]));
            }
            (Some(wanted), _) => {
                let rest = REST * margin.max(0.02) * (self.target[3] - self.target[1]);
                if self.target.iter().zip(wanted).any(|(t, w)| (t - w).abs() > rest) {
                    self.target = wanted;
                }
            }
            (None, Some(_)) => {}
        }
        let Some((view, speed)) = &mut self.view else { return [0.0, 0.0, w, h] };
        for ((view, speed), target) in view.iter_mut().zip(speed).zip(self.target) {
            (*view, *speed) = glide(*view, *speed, target, since.min(LONGEST));
        }
        // Who runs is not left behind.
        for (n, side) in found.into_iter().flatten().enumerate() {
            let out = if n < 2 { view[n] > side } else { view[n] < side };
            if out {
                view[n] = side;
            }
        }
        *view
    }
}

/// A step of a critically damped spring towards a place, exact for any length of time.
fn glide(at: f64, speed: f64, to: f64, time: f64) -> (f64, f64) {
    let rate = 2.0 / FOLLOWS;
    let off = at - to;
    let pull = speed + rate * off;
    let left = (-rate * time).exp();
    (to + (off + pull * time) * left, (speed - rate * pull * time) * left)
}

/// Whether two boxes have nothing in common: what was followed is gone.
fn apart(a: Rect, b: Rect) -> bool {
    a[0].max(b[0]) >= a[2].min(b[2]) || a[1].max(b[1]) >= a[3].min(b[3])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matte((w, h): (usize, usize), [left, top, right, bottom]: [usize; 4]) -> Vec<u8> {
        let inside = |x: usize, y: usize| (left..right).contains(&x) && (top..bottom).contains(&y);
        (0..h).flat_map(|y| (0..w).map(move |x| if inside(x, y) { 255 } else { 0 })).collect()
    }

    #[test]
    fn the_box_is_the_subjects_without_specks() {
        let mut alpha = matte((200, 100), [50, 20, 120, 100]);
        alpha[5 * 200 + 5] = 255;
        alpha[190] = 255;
        let found = find(&alpha, 200).unwrap();
        for (found, want) in found.iter().zip([50.0, 20.0, 120.0, 100.0]) {
            assert!((found - want).abs() <= 1.0, "{found} {want}");
        }
        assert_eq!(find(&vec![0; 20000], 200), None);
        assert_eq!(find(&matte((200, 100), [3, 3, 5, 5]), 200), None, "a speck is nobody");
        assert_eq!(find(&[], 0), None);
    }

    #[test]
    fn cut_sides_get_no_margin() {
        let view = Framing::default().follow(Some([50.0, 20.0, 120.0, 100.0]), (200, 100), 0.1, None);
        assert_eq!(view, [42.0, 12.0, 128.0, 100.0]);
    }

    #[test]
    fn it_rests_while_the_subject_sways_and_glides_where_it_walks() {
        let at = |n: u64| Some(gst::ClockTime::from_mseconds(40 * n));
        let around = |x: f64| Some([x, 100.0, x + 200.0, 500.0]);
        let mut framing = Framing::default();
        let first = framing.follow(around(300.0), (1280, 720), 0.1, at(0));
        for n in 1..50 {
            let sway = 300.0 + 10.0 * (n as f64 * 0.7).sin();
            assert_eq!(framing.follow(around(sway), (1280, 720), 0.1, at(n)), first);
        }
        // A hundred pixels a second.
        let (mut last, mut speed) = (first[0], 0.0);
        for n in 50..150 {
            let x = 300.0 + (n - 50) as f64 * 4.0;
            let view = framing.follow(around(x), (1280, 720), 0.1, at(n));
            assert!(view[0] <= x && view[2] >= x + 200.0, "{n}: the subject is inside: {view:?} {x}");
            let now = view[0] - last;
            assert!((-1e-9..12.0).contains(&now) && (now - speed).abs() < 6.0, "{n}: {now} after {speed}");
            (last, speed) = (view[0], now);
        }
        assert!(last > 600.0, "{last}");
        // Nobody there: it waits. Somebody elsewhere: it is there at once.
        let waits: Vec<_> = (400..600).map(|n| framing.follow(None, (1280, 720), 0.1, at(n))).collect();
        assert!(waits[198..].windows(2).all(|w| (w[0][0] - w[1][0]).abs() < 1e-6), "{waits:?}");
        assert!((waits[199][0] - framing.target[0]).abs() < 1e-3, "where it was going");
        let view = framing.follow(Some([0.0, 0.0, 90.0, 90.0]), (1280, 720), 0.1, at(601));
        assert_eq!(view, [0.0, 0.0, 99.0, 99.0]);
        framing.reset();
        assert_eq!(framing.follow(None, (1280, 720), 0.1, at(0)), [0.0, 0.0, 1280.0, 720.0]);
    }
}
