//! Hand-computed cases, and figures of an independent program in Python (NumPy and OpenCV).

use super::*;

/// Pictures that integer arithmetic makes, so that any language makes the very same.
fn picture(t: i64, k: i64) -> Vec<f32> {
    let pixel = |i: i64| {
        let (x, y) = (i % 64, i / 64);
        let v = (x * 7 + y * 3 + t * 11) * k % 97;
        let dx = x - 32 - t * 2;
        let disc = (255 - (dx * dx + (y - 24) * (y - 24) - 200) * (1 + k % 3)).clamp(0, 255);
        (disc + v % (5 + k * 8) - k * 4).clamp(0, 255) as f32 / 255.0
    };
    (0..64 * 48).map(pixel).collect()
}

fn near(a: f64, b: f64) {
    assert!((a - b).abs() <= b.abs() * 1e-5 + 1e-9, "{a} is not {b}");
}

#[test]
fn the_figures_are_those_of_the_python_program() {
    let mut truth = Truth::new(Size::new(64, 48));
    for t in 0..3 {
        truth.add(&picture(t, 2), &picture(t, 1)).unwrap();
    }
    let mean = truth.mean().unwrap();
    near(mean.mad, 33.38566970825195);
    near(mean.mse, 5.082665920257568);
    near(mean.grad, 0.13148172024071492);
    near(mean.edge, 34.95289993286133);
    near(mean.dtssd.unwrap(), 6.821084022521973);
    near(truth.frames()[0].grad, 0.1320439751311322);
    near(truth.frames()[2].dtssd.unwrap(), 6.83101);
    assert_eq!(truth.frames()[0].dtssd, None);
}

#[test]
fn a_perfect_matte_has_no_error() {
    let mut truth = Truth::new(Size::new(64, 48));
    for t in 0..2 {
        truth.add(&picture(t, 1), &picture(t, 1)).unwrap();
    }
    assert_eq!(truth.mean(), Some(TruthFrame { dtssd: Some(0.0), ..Default::default() }));
}

/// Four pixels, one wrong by a half: everything by hand.
#[test]
fn one_pixel_off_by_a_half() {
    let mut truth = Truth::new(Size::new(2, 2));
    let g = [1.0, 1.0, 0.0, 0.0];
    truth.add(&g, &g).unwrap();
    let frame = truth.add(&[1.0, 0.5, 0.0, 0.0], &g).unwrap();
    near(frame.mad, 125.0);
    near(frame.mse, 62.5);
    // √(0.25 / 4) · 100
    near(frame.dtssd.unwrap(), 25.0);
    // No true edge is soft, so there is no band.
    assert_eq!(frame.edge, 0.0);
}

/// A row 1 1 0 1 against 1 1 1 1: the last pixel is cut off in both at every level (distances 1 and 1), the
/// gap's own distances are 0 and 1. φ is 1 and 0 there, 0 and 0 in the last: the error is 1.
#[test]
fn connectivity_of_a_gap() {
    let size = Size::new(4, 1);
    near(connectivity::error(&[1.0, 1.0, 0.0, 1.0], &[1.0; 4], size), 1.0);
    // Less than θ above its level is no error.
    near(connectivity::error(&[1.0, 1.0, 0.9], &[1.0; 3], Size::new(3, 1)), 0.0);
    // The second pixel hangs together up to 0.5: distances 0 and 0.5.
    near(connectivity::error(&[1.0, 0.5], &[1.0, 1.0], Size::new(2, 1)), 0.5);
}

#[test]
fn dilation_is_a_square() {
    let size = Size::new(5, 4);
    let mut mask = vec![false; 20];
    mask[6] = true;
    let out = dilate(&mask, size, 1);
    for (i, set) in out.iter().enumerate() {
        assert_eq!(*set, i % 5 <= 2 && i / 5 <= 2, "{i}");
    }
}

#[test]
fn sizes_that_do_not_fit_are_errors() {
    let mut truth = Truth::new(Size::new(2, 2));
    assert_eq!(truth.add(&[0.0; 3], &[0.0; 4]), Err(WrongSize { want: 4, got: 3 }));
    assert!(Steady::new(Size::new(2, 2)).add(&[0; 4], &[0.0; 5]).is_err());
    assert!(Truth::new(Size::new(0, 0)).add(&[], &[]).is_err());
}

const SIZE: Size = Size { width: 96, height: 64 };

/// A textured scene, shifted, so that every block has one true motion.
fn scene(shift: i64) -> Vec<u8> {
    let value = |x: i64, y: i64| {
        let (x, y) = (x as f64, y as f64);
        128.0 + 50.0 * (x / 5.0).sin() * (y / 7.0).cos() + 40.0 * ((x + 2.0 * y) / 11.0).sin()
    };
    let pixel = |i: i64| value(i % 96 - shift, i / 96) as u8;
    (0..96 * 64).map(pixel).collect()
}

/// A soft-edged disc.
fn disc(cx: f32, cy: f32, radius: f32) -> Vec<f32> {
    let pixel = |i: usize| {
        let (dx, dy) = ((i % 96) as f32 - cx, (i / 96) as f32 - cy);
        ((radius - dx.hypot(dy)) / 3.0 + 0.5).clamp(0.0, 1.0)
    };
    (0..96 * 64).map(pixel).collect()
}

fn steady(frames: impl IntoIterator<Item = (Vec<u8>, Vec<f32>)>) -> SteadyFrame {
    let mut steady = Steady::new(SIZE);
    for (luma, alpha) in frames {
        steady.add(&luma, &alpha).unwrap();
    }
    steady.mean()
}

#[test]
fn what_stands_still_is_steady() {
    let mean = steady((0..4).map(|_| (scene(0), disc(48.0, 32.0, 20.0))));
    let zero = Some(0.0);
    assert_eq!(mean, SteadyFrame { flicker: zero, holes: zero, islands: zero, blinks: zero, pulsing: zero });
}

#[test]
fn motion_of_picture_and_matte_together_is_no_flicker() {
    let moves = steady((0..4).map(|t| (scene(t * 3), disc(40.0 + t as f32 * 3.0, 32.0, 18.0))));
    let jumps = steady((0..4).map(|t| (scene(0), disc(40.0 + t as f32 * 3.0, 32.0, 18.0))));
    let (moves, jumps) = (moves.flicker.unwrap(), jumps.flicker.unwrap());
    assert!(moves < 0.1 * jumps, "moving {moves}, jumping {jumps}");
}

#[test]
fn a_step_at_a_steady_rate_does_not_pulse() {
    let frames = |radius: fn(usize) -> f32| (0..6).map(move |t| (scene(0), disc(48.0, 32.0, radius(t))));
    let pulses = steady(frames(|t| 18.0 + (t % 2) as f32)).pulsing.unwrap();
    let grows = steady(frames(|t| 18.0 + t as f32 * 0.5)).pulsing.unwrap();
    assert!(grows < 0.1 * pulses, "growing {grows}, pulsing {pulses}");
    // Coverage goes c, d, c, d: |c − 2d + c| / 2 = |c − d|; 18² and 19² are 10 % apart.
    assert!((90.0..130.0).contains(&pulses), "{pulses}");
}

/// 10 × 10 with a hole of 1, an island of 4, and 16 gone for a frame.
#[test]
fn holes_islands_and_blinks_are_counted() {
    let block = |blink: bool| -> Vec<f32> {
        let pixel = |i: usize| {
            let (x, y) = (i % 96, i / 96);
            let solid = (20..30).contains(&x) && (20..30).contains(&y);
            let island = (50..52).contains(&x) && (50..52).contains(&y);
            let hole = (x, y) == (25, 25);
            let gone = blink && (20..24).contains(&x) && (20..24).contains(&y);
            if (solid && !hole && !gone) || island { 1.0 } else { 0.0 }
        };
        (0..96 * 64).map(pixel).collect()
    };
    let mut all = Steady::new(SIZE);
    for blink in [false, true, false] {
        all.add(&scene(0), &block(blink)).unwrap();
    }
    let frames = all.frames();
    near(frames[0].holes.unwrap(), 1e3 / 103.0);
    near(frames[0].islands.unwrap(), 4e3 / 103.0);
    near(frames[1].blinks.unwrap(), 16e3 / 103.0);
    assert_eq!((frames[0].blinks, frames[2].blinks), (None, None));
}

#[test]
fn an_empty_matte_has_no_integrity() {
    let mean = steady((0..3).map(|_| (scene(0), vec![0.0; 96 * 64])));
    assert_eq!(mean, SteadyFrame::default());
}
