//! Every format against a composition written straight from the definition.

use super::*;
use crate::frame::testing::{Picture, noise};

fn alphas(w: usize, h: usize) -> Vec<u8> {
    (0..w * h).map(|i| [0, 0, 255, 255, 128, 1, 254, 77][(i * 7 / 3) % 8]).collect()
}

/// The alpha of the pixels that share a sample.
fn shared(alpha: &[u8], w: usize, h: usize, c: &Component, x: usize, y: usize) -> Vec<u8> {
    let mut v = Vec::new();
    for dy in 0..1 << c.vsub {
        for dx in 0..1 << c.hsub {
            let (px, py) = (((x << c.hsub) + dx).min(w - 1), ((y << c.vsub) + dy).min(h - 1));
            v.push(alpha[py * w + px]);
        }
    }
    v
}

fn sizes() -> [(usize, usize); 6] {
    [(16, 16), (17, 19), (33, 2), (1, 1), (5, 1), (64, 31)]
}

#[test]
fn what_pads_an_odd_row_is_nothing_of_another_frame() {
    let blurred = |color: [u8; 3]| {
        // What the threads' buffers hold then.
        let other = noise(Format::Yuy2, 642, 64, 1);
        let solid = Solid { format: Format::Yuy2, color };
        rayon::broadcast(|_| {
            composite(&other.frame(), &mut other.clone().frame_mut(), &[0; 642 * 64], &solid)
        });
        let (w, h) = (641, 64);
        let (mut p, mut blur) = (noise(Format::Yuy2, w, h, 3), Blur::new(Format::Yuy2, w, h, 4.0));
        blur.prepare(&p.frame(), &vec![0; w * h]);
        let before = p.clone();
        composite(&before.frame(), &mut p.frame_mut(), &vec![0; w * h], &blur);
        p
    };
    let first = blurred([10, 20, 30]);
    assert!(blurred([210, 120, 130]) == first);
}

#[test]
fn composites_equal_the_definition() {
    for format in Format::ALL.into_iter().filter(|f| *f != Format::Gray8) {
        for (w, h) in sizes() {
            let before = noise(format, w, h, 3);
            let mut p = noise(format, w, h, 77);
            let alpha = alphas(w, h);
            let color = [200, 90, 33];
            composite(&before.frame(), &mut p.frame_mut(), &alpha, &Solid { format, color });
            let layout = format.layout();
            for (c, back) in layout.color.iter().zip(color) {
                for y in 0..c.height(h) {
                    for x in 0..c.width(w) {
                        let four = shared(&alpha, w, h, c, x, y);
                        let a = four.iter().map(|a| f64::from(*a)).sum::<f64>() / four.len() as f64 / 255.0;
                        let want = f64::from(before.sample(c, x, y)) * a + f64::from(back) * (1.0 - a);
                        let got = f64::from(p.sample(c, x, y));
                        assert!((got - want).abs() <= 1.0, "{format:?} {w}x{h} {x},{y}: {got} {want}");
                    }
                }
            }
            if let Some(c) = layout.alpha {
                assert!((0..w * h).all(|i| p.sample(&c, i % w, i / w) == 255), "{format:?} is opaque");
            }
        }
    }
}

#[test]
fn nothing_is_left_where_alpha_is_zero() {
    for format in Format::ALL.into_iter().filter(|f| f.has_alpha()) {
        for (w, h) in sizes() {
            let before = noise(format, w, h, 5);
            let mut p = noise(format, w, h, 77);
            let alpha = alphas(w, h);
            let black = black(&p.frame_mut());
            transparent(&before.frame(), &(), &mut p.frame_mut(), &alpha);
            let layout = format.layout();
            for (c, black) in layout.color.iter().zip(black) {
                for y in 0..c.height(h) {
                    for x in 0..c.width(w) {
                        let hidden = shared(&alpha, w, h, c, x, y).iter().all(|a| *a == 0);
                        let want = if hidden { black } else { before.sample(c, x, y) };
                        assert_eq!(p.sample(c, x, y), want, "{format:?} {w}x{h} {x},{y}");
                    }
                }
            }
            let c = layout.alpha.unwrap();
            assert!((0..w * h).all(|i| p.sample(&c, i % w, i / w) == alpha[i]));
        }
    }
}

#[test]
fn carries_between_formats_of_one_kind() {
    let pairs = [
        (Format::I420, Format::A420),
        (Format::Yv12, Format::A420),
        (Format::Nv12, Format::A420),
        (Format::A420, Format::A420),
        (Format::Rgba, Format::Rgba),
        (Format::Yuy2, Format::Yuy2),
    ];
    for (from, to) in pairs {
        for (w, h) in sizes() {
            let a = noise(from, w, h, 9);
            let mut b = Picture::new(to, w, h);
            assert!(copy_colors(&a.frame(), &mut b.frame_mut()));
            for (ca, cb) in from.layout().color.iter().zip(&to.layout().color) {
                for y in 0..ca.height(h) {
                    for x in 0..ca.width(w) {
                        assert_eq!(a.sample(ca, x, y), b.sample(cb, x, y), "{from:?} {to:?}");
                    }
                }
            }
        }
    }
    assert!(!copy_colors(
        &noise(Format::I420, 8, 8, 1).frame(),
        &mut Picture::new(Format::Rgba, 8, 8).frame_mut()
    ));
    assert!(!copy_colors(
        &noise(Format::Yuy2, 8, 8, 1).frame(),
        &mut Picture::new(Format::A420, 8, 8).frame_mut()
    ));
}

#[test]
fn alpha_that_was_there_multiplies_in() {
    for format in Format::ALL.into_iter().filter(|f| f.has_alpha()) {
        let (w, h) = (19, 7);
        let p = noise(format, w, h, 11);
        let mut alpha = alphas(w, h);
        let before = alpha.clone();
        multiply_alpha(&p.frame(), &mut alpha);
        let c = format.layout().alpha.unwrap();
        for i in 0..w * h {
            let want = f64::from(before[i]) * f64::from(p.sample(&c, i % w, i / w)) / 255.0;
            assert!((f64::from(alpha[i]) - want).abs() <= 0.51, "{format:?}");
        }
    }
}

#[test]
fn the_matte_is_the_luma() {
    for (format, w, h) in [(Format::Gray8, 17, 9), (Format::I420, 17, 9)] {
        let mut p = noise(format, w, h, 2);
        let alpha = alphas(w, h);
        matte(&mut p.frame_mut(), &alpha);
        let layout = format.layout();
        assert!((0..w * h).all(|i| p.sample(&layout.color[0], i % w, i / w) == alpha[i]));
        for c in &layout.color[1..layout.colors] {
            assert!((0..c.height(h)).all(|y| (0..c.width(w)).all(|x| p.sample(c, x, y) == 128)));
        }
    }
}

#[test]
fn haze_goes_and_nothing_else_changes() {
    let all: Vec<u8> = (0..=255).collect();
    let mut cleared = all.clone();
    clear_haze(&mut cleared);
    assert!(cleared[..=8].iter().all(|a| *a == 0) && cleared[24..] == all[24..]);
    assert!(cleared.windows(2).all(|w| w[1] >= w[0] && w[1] - w[0] <= 2), "{cleared:?}");
}
