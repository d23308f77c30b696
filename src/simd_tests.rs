//! What is computed is the same, to the last bit, at each width of vectors that the processor has.
//!
//! The modules' own tests hold the widest version against references; these hold the others against it. No kernel fuses
//! or reorders what the source says, so nothing may differ.

use crate::compose::{self, Blur, Solid};
use crate::frame::Format;
use crate::frame::testing::{Picture, noise};
use crate::morphology::{dilate, erode, quantise};
use crate::refine::{Adjuster, Colors, Controls, Foreground, Quality, Refiner};
use crate::sample::Sampler;
use crate::scene::Scene;
use crate::simd::same_at_each_width;
use crate::temporal::{Carrier, Change, CutDetector, Smoother};

/// Odd ones, smaller and larger than vectors are, and one of several strips.
const SIZES: [(usize, usize); 8] =
    [(1, 1), (5, 3), (16, 16), (33, 47), (64, 2), (67, 35), (129, 65), (641, 359)];
const FORMATS: [Format; 7] =
    [Format::I420, Format::Nv12, Format::Yuy2, Format::Rgb, Format::Bgrx, Format::Argb, Format::A420];

/// A soft disc on a mask of `w · h`.
fn disc(w: usize, h: usize) -> Vec<f32> {
    let far = |i: usize| ((i % w) as f32 + 0.5 - w as f32 / 2.0).hypot((i / w) as f32 + 0.5 - h as f32 / 2.0);
    (0..w * h).map(|i| (0.5 + (w.min(h) as f32 / 3.0 - far(i)) / 4.0).clamp(0.0, 1.0)).collect()
}

/// The same in 8 bits, with some noise on it.
fn alpha(w: usize, h: usize) -> Vec<u8> {
    let noise = |i: usize| ((i * 7919) % 13) as f32;
    disc(w, h).iter().enumerate().map(|(i, a)| (a * 255.0 - noise(i)).clamp(0.0, 255.0) as u8).collect()
}

/// A disc on noise: something with an edge, in any format.
fn scene(format: Format, w: usize, h: usize, seed: u32) -> Picture {
    let mut p = noise(format, w, h, seed);
    let (layout, disc) = (format.layout(), disc(w, h));
    for c in &layout.color[..layout.colors] {
        let (data, stride) = &mut p.planes[c.plane];
        for y in 0..c.height(h) {
            for x in 0..c.width(w) {
                let a = disc[(y << c.vsub).min(h - 1) * w + (x << c.hsub).min(w - 1)];
                let v = &mut data[y * *stride + c.offset + x * c.step];
                *v = (f32::from(*v) * 0.2 + 40.0 + a * 130.0) as u8;
            }
        }
    }
    p
}

fn each(mut f: impl FnMut(Format, usize, usize, String)) {
    for format in FORMATS {
        for (w, h) in SIZES {
            f(format, w, h, format!("{format:?} {w}×{h}"));
        }
    }
}

#[test]
fn refinement_and_levels_are_the_same_at_each_width() {
    each(|format, w, h, what| {
        let picture = scene(format, w, h, 3);
        let (mw, mh) = (w.div_ceil(5) + 1, h.div_ceil(5) + 1);
        let mask = disc(mw, mh);
        for quality in [Quality::None, Quality::Fast, Quality::Best] {
            same_at_each_width(format!("{what} {quality:?}"), || {
                let mut out = vec![0; w * h];
                Refiner::new().refine(&picture.frame(), &mask, mw, mh, quality, &mut out);
                out
            });
        }
        let controls = Controls { black_point: 0.1, white_point: 0.9, edge_shift: 9.0, edge_softness: 20.0 };
        same_at_each_width(format!("{what} levels"), || {
            let mut out = alpha(w, h);
            Adjuster::new().apply(&mut out, w, h, &controls);
            Adjuster::new().apply(&mut out, w, h, &Controls { edge_shift: -7.0, ..controls });
            out
        });
    });
}

#[test]
fn foregrounds_are_the_same_at_each_width() {
    each(|format, w, h, what| {
        let alpha = alpha(w, h);
        same_at_each_width(what, || {
            let mut picture = scene(format, w, h, 4);
            Foreground::new().estimate(&mut picture.frame_mut(), &alpha, Colors::All);
            Foreground::new().estimate(&mut picture.frame_mut(), &alpha, Colors::Shared);
            let (mut foreground, mut out) = (Foreground::new(), picture.clone());
            let front = picture.frame();
            let own = foreground.prepare(&front, &alpha, Colors::All, true);
            if format.has_alpha() {
                compose::transparent(&own, &own, &mut out.frame_mut(), &alpha);
                return (picture, out);
            }
            compose::composite(&own, &mut out.frame_mut(), &alpha, &Solid { format, color: [200, 90, 33] });
            (picture, out)
        });
    });
}

#[test]
fn compositions_are_the_same_at_each_width() {
    each(|format, w, h, what| {
        let alpha = alpha(w, h);
        let picture = scene(format, w, h, 5);
        same_at_each_width(format!("{what} solid"), || {
            let mut p = picture.clone();
            let solid = Solid { format, color: [200, 90, 33] };
            compose::composite(&picture.frame(), &mut p.frame_mut(), &alpha, &solid);
            p
        });
        same_at_each_width(format!("{what} blur"), || {
            let (mut p, mut blur) = (picture.clone(), Blur::new(format, w, h, 4.0));
            blur.prepare(&p.frame(), &alpha);
            compose::composite(&picture.frame(), &mut p.frame_mut(), &alpha, &blur);
            p
        });
        if format.has_alpha() {
            same_at_each_width(format!("{what} transparent"), || {
                let mut p = picture.clone();
                compose::transparent(&picture.frame(), &(), &mut p.frame_mut(), &alpha);
                let (mut own, mut cover) = (alpha.clone(), Vec::new());
                compose::clear_haze(&mut own);
                compose::multiply_alpha(&p.frame(), &mut own);
                compose::cover(&p.frame(), &own, &mut cover);
                (p, own, cover)
            });
        }
    });
}

#[test]
fn what_is_remembered_is_the_same_at_each_width() {
    each(|format, w, h, what| {
        let pictures: Vec<Picture> = (0..4).map(|n| scene(format, w, h, 6 + n / 2)).collect();
        let (mw, mh) = (w.div_ceil(3) + 1, h.div_ceil(3) + 1);
        same_at_each_width(what, || {
            let (mut smoother, mut carrier) = (Smoother::new(), Carrier::new());
            let (mut cuts, mut change) = (CutDetector::new(), Change::default());
            let mut scene = Scene::new();
            let mut all = Vec::new();
            for (n, picture) in (0..).zip(&pictures) {
                let frame = picture.frame();
                let (mut mask, mut alpha, mut carried) = (disc(mw, mh), alpha(w, h), Vec::new());
                alpha.rotate_right(n as usize % (w * h));
                carrier.advance(&frame);
                carrier.carry(0, &mask, mw, mh, &mut carried);
                carrier.mark(n);
                smoother.smooth_mask(&frame, &mut mask, mw, mh, 0.6);
                smoother.smooth_matte(&frame, &mut alpha, 0.6);
                // Frames enough for the background to be known.
                for _ in 0..4 {
                    scene.correct(&frame, &mut mask, mw, mh);
                    scene.refine(&frame, false, &mut alpha);
                }
                let since = change.since_kept(&frame);
                change.keep(&frame);
                all.push((mask, alpha, carried, cuts.is_cut(&frame), since));
            }
            all
        });
    });
}

#[test]
fn samples_and_windows_are_the_same_at_each_width() {
    each(|format, w, h, what| {
        let picture = scene(format, w, h, 9);
        for (ow, oh) in [(1, 1), (16, 9), (33, 31), (256, 144)] {
            same_at_each_width(format!("{what} to {ow}×{oh}"), || {
                Sampler::default().sample(&picture.frame(), ow, oh).clone()
            });
        }
        let from = alpha(w, h);
        same_at_each_width(format!("{what} dilated and eroded"), || {
            let [mut large, mut small, mut tmp] = [0; 3].map(|_| vec![0; w * h]);
            dilate(&from, w, 1, &mut large, &mut tmp);
            erode(&from, w, 4, &mut small, &mut tmp);
            quantise(&disc(w, h), &mut tmp);
            (large, small, tmp)
        });
    });
}
