use super::*;
use crate::frame::{Format, testing::Picture};
use std::sync::LazyLock;

/// A repeatable source of normal noise: a place among numbers that are drawn once, since to draw them takes most of a test's time.
/// Frames share numbers, at other pixels, far apart.
struct Noise(usize);

impl Noise {
    fn next(&mut self) -> f32 {
        // A prime.
        const MANY: usize = 1_048_573;
        static DRAWN: LazyLock<Vec<f32>> = LazyLock::new(|| {
            let mut state = 1u64;
            let mut uniform = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1u64 << 24) as f32
            };
            // The sum of twelve uniform numbers has a variance of 1.
            (0..MANY).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
        });
        self.0 = if self.0 + 1 < MANY { self.0 + 1 } else { 0 };
        DRAWN[self.0]
    }
}

const W: usize = 640;
const H: usize = 480;

/// A disc of luma 180 on 60, and its matte.
fn disc(cx: f32, cy: f32, radius: f32) -> (Vec<f32>, Vec<u8>) {
    let a = |x: usize, y: usize| {
        let (x, y) = (x as f32 - cx, y as f32 - cy);
        (radius - (x * x + y * y).sqrt() + 0.5).clamp(0.0, 1.0)
    };
    let all: Vec<f32> = (0..H).flat_map(|y| (0..W).map(move |x| a(x, y))).collect();
    (all.iter().map(|a| 60.0 + 120.0 * a).collect(), all.iter().map(|a| (a * 255.0) as u8).collect())
}

fn picture(format: Format, luma: &[f32], noise: &mut Noise, sigma: f32) -> Picture {
    let mut p = Picture::new(format, W, H);
    let layout = format.layout();
    for (i, l) in luma.iter().enumerate() {
        let v = (l + sigma * noise.next()).clamp(0.0, 255.0) as u8;
        for c in &layout.color[..if format.is_yuv() { 1 } else { layout.colors }] {
            let (data, stride) = &mut p.planes[c.plane];
            data[i / W * *stride + c.offset + i % W * c.step] = v;
        }
    }
    p
}

#[test]
fn a_still_scene_with_noise_stands_still() {
    for format in [Format::I420, Format::Rgba] {
        let (luma, truth) = disc(320.0, 240.0, 120.0);
        let (mut noise, mut smoother) = (Noise(1), Smoother::new());
        let band: Vec<usize> = (0..W * H).filter(|&i| (20..235).contains(&truth[i])).collect();
        let mut sums = vec![[0f64; 4]; band.len()];
        let frames = 30;
        for n in 0..frames + 10 {
            let p = picture(format, &luma, &mut noise, 4.0);
            let mut alpha = truth.clone();
            for &i in &band {
                alpha[i] = (f32::from(alpha[i]) + 12.0 * noise.next()).clamp(0.0, 255.0) as u8;
            }
            let raw = alpha.clone();
            smoother.smooth_matte(&p.frame(), &mut alpha, 0.6);
            if n >= 10 {
                for (s, &i) in sums.iter_mut().zip(&band) {
                    for (k, v) in [raw[i], alpha[i]].into_iter().enumerate() {
                        s[2 * k] += f64::from(v);
                        s[2 * k + 1] += f64::from(v).powi(2);
                    }
                }
            }
        }
        let deviation = |k: usize| {
            let one = |s: &[f64; 4]| {
                (s[2 * k + 1] / frames as f64 - (s[2 * k] / frames as f64).powi(2)).max(0.0).sqrt()
            };
            sums.iter().map(one).sum::<f64>() / sums.len() as f64
        };
        let ratio = deviation(1) / deviation(0);
        assert!(ratio <= 0.35, "{format:?}: {ratio}");
    }
}

#[test]
fn a_moving_disc_leaves_nothing_behind() {
    for (sigma, step) in [(0.0, 12.0), (4.0, 12.0), (2.0, 3.3), (2.0, 30.0), (2.0, 0.5)] {
        let (mut noise, mut smoother) = (Noise(2), Smoother::new());
        for n in 0..12 {
            let cx = 150.0 + step * n as f32;
            let (luma, truth) = disc(cx, 240.0, 70.0);
            let p = picture(Format::Gray8, &luma, &mut noise, sigma);
            let mut alpha = truth.clone();
            smoother.smooth_matte(&p.frame(), &mut alpha, 0.6);
            // Where alpha crosses one half along the middle row, in front and behind.
            let cross = |alpha: &[u8], back: bool| {
                let row: f32 = alpha[240 * W..][..W]
                    .iter()
                    .enumerate()
                    .filter(|(x, _)| ((*x as f32) < cx) == back)
                    .map(|(_, &a)| f32::from(a) / 255.0)
                    .sum();
                row
            };
            for back in [true, false] {
                let lag = (cross(&alpha, back) - cross(&truth, back)).abs();
                assert!(lag <= 1.0, "σ {sigma}, {step} px a frame, frame {n}: {lag} px");
            }
        }
    }
}

/// Contrasts in one component alone, down to small ones: what moves in any of them leaves nothing behind.
#[test]
fn a_disc_of_another_chroma_leaves_nothing_behind() {
    for format in [Format::I420, Format::Nv12, Format::Yuy2, Format::Rgba, Format::Bgr] {
        for component in 0..3 {
            for contrast in [20.0, 40.0, -60.0, 100.0] {
                let (mut noise, mut smoother) = (Noise(9), Smoother::new());
                for n in 0..8 {
                    let (shape, truth) = disc(150.0 + 14.0 * n as f32, 240.0, 70.0);
                    let mut p = Picture::new(format, W, H);
                    let layout = format.layout();
                    for (k, c) in layout.color.iter().enumerate() {
                        for y in 0..c.height(H) {
                            for x in 0..c.width(W) {
                                let inside = (shape[(y << c.vsub) * W + (x << c.hsub)] - 60.0) / 120.0;
                                let v = 120.0 + if k == component { contrast * inside } else { 0.0 };
                                let (data, stride) = &mut p.planes[c.plane];
                                data[y * *stride + c.offset + x * c.step] = (v + noise.next()) as u8;
                            }
                        }
                    }
                    let mut mask = shrink(&truth);
                    smoother.smooth_mask(&p.frame(), &mut mask, W / 5, H / 5, 0.6);
                    let mut alpha = truth.clone();
                    smoother.smooth_matte(&p.frame(), &mut alpha, 0.6);
                    let area = |a: &[u8]| a.iter().map(|v| f64::from(*v)).sum::<f64>() / 255.0;
                    // What is behind the disc, as so many of its own rows of 140 pixels.
                    let off = (area(&alpha) - area(&truth)).abs() / 140.0;
                    let what = format!("{format:?}, component {component} by {contrast}, frame {n}");
                    assert!(off <= 1.0, "{what}: {off} px of the matte");
                    let sum = |m: &[f32]| m.iter().sum::<f32>();
                    let off = (sum(&mask) - sum(&shrink(&truth))).abs() * 25.0 / 140.0;
                    assert!(off <= 1.5, "{what}: {off} px of the mask");
                }
            }
        }
    }
}

#[test]
fn what_looks_like_the_subject_is_not_kept_where_that_has_left() {
    let (mut noise, mut smoother) = (Noise(7), Smoother::new());
    // Print on the wall, as bright as the disc.
    let print = |i: usize| (i % W) % 32 < 10 && (i / W) % 32 < 10;
    for n in 0..10 {
        let (luma, truth) = disc(120.0 + 40.0 * n as f32, 240.0, 70.0);
        let luma: Vec<f32> =
            luma.iter().enumerate().map(|(i, &l)| if print(i) { 180.0 } else { l }).collect();
        let p = picture(Format::Gray8, &luma, &mut noise, 1.0);
        let mut mask = shrink(&truth);
        smoother.smooth_mask(&p.frame(), &mut mask, W / 5, H / 5, 0.6);
        let left =
            mask.iter().zip(shrink(&truth)).filter(|(_, t)| *t == 0.0).fold(0.0f32, |m, (&v, _)| m.max(v));
        assert!(left < 0.1, "frame {n}: {left} of the mask is left");
        let mut alpha = truth.clone();
        smoother.smooth_matte(&p.frame(), &mut alpha, 0.6);
        // A block that is uncovered by a small part only still counts as seen before.
        let left = alpha.iter().zip(&truth).filter(|(a, t)| **t == 0 && **a > 20).count();
        assert!(left <= 40, "frame {n}: {left} pixels of the matte are left");
    }
}

/// The matte at network resolution: means over `5 · 5` pixels.
fn shrink(alpha: &[u8]) -> Vec<f32> {
    let (w, h) = (W / 5, H / 5);
    let cell = |i: usize| {
        let sum: u32 = (0..25).map(|k| u32::from(alpha[(i / w * 5 + k / 5) * W + i % w * 5 + k % 5])).sum();
        sum as f32 / (25.0 * 255.0)
    };
    (0..w * h).map(cell).collect()
}

#[test]
fn a_hole_of_one_frame_is_held_and_a_lasting_change_is_not() {
    let (luma, truth) = disc(320.0, 240.0, 120.0);
    let (mut noise, mut smoother) = (Noise(3), Smoother::new());
    let mut middle = Vec::new();
    let (w, h) = (W / 5, H / 5);
    for n in 0..24 {
        let p = picture(Format::I420, &luma, &mut noise, 3.0);
        let mut mask = shrink(&truth);
        if n == 4 || n >= 8 {
            for y in 40..52 {
                mask[y * w + 58..y * w + 70].fill(0.0);
            }
        }
        smoother.smooth_mask(&p.frame(), &mut mask, w, h, 0.6);
        middle.push(mask[46 * w + 64]);
    }
    assert!(middle[..10].iter().all(|&a| a > 0.9), "{middle:?}");
    assert!(middle[23] < 0.12, "{middle:?}");
}

#[test]
fn a_mask_follows_a_moving_disc() {
    for step in [12.0, 3.3, 0.7] {
        let (mut noise, mut smoother) = (Noise(5), Smoother::new());
        for n in 0..12 {
            let (luma, truth) = disc(150.0 + step * n as f32, 240.0, 70.0);
            let p = picture(Format::Nv12, &luma, &mut noise, 2.0);
            let truth = shrink(&truth);
            let mut mask = truth.clone();
            smoother.smooth_mask(&p.frame(), &mut mask, W / 5, H / 5, 0.6);
            let row = 48 * (W / 5)..49 * (W / 5);
            let off: f32 = row.map(|i| (mask[i] - truth[i]).abs()).sum();
            // Two edges, samples of five pixels.
            assert!(off * 5.0 / 2.0 <= 1.0, "{step} px a frame, frame {n}: {} px", off * 2.5);
            let mut alpha = vec![0; W * H];
            smoother.smooth_matte(&p.frame(), &mut alpha, 0.6);
        }
    }
}

#[test]
fn off_reset_and_other_sizes_leave_the_matte_alone() {
    let mut smoother = Smoother::new();
    let (luma, truth) = disc(320.0, 240.0, 120.0);
    let p = picture(Format::Gray8, &luma, &mut Noise(4), 0.0);
    let empty = vec![0; W * H];
    smoother.smooth_matte(&p.frame(), &mut empty.clone(), 0.6);
    let mut alpha = truth.clone();
    smoother.smooth_matte(&p.frame(), &mut alpha, 0.0);
    assert_eq!(alpha, truth);
    smoother.smooth_matte(&p.frame(), &mut alpha, 0.6);
    assert_eq!(alpha, truth, "nothing is remembered while off");
    smoother.reset();
    smoother.smooth_matte(&p.frame(), &mut alpha, 1.0);
    assert_eq!(alpha, truth);
    for (w, h) in [(1, 1), (3, 1), (1, 700), (481, 483), (17, 33)] {
        let p = Picture::new(Format::Yuy2, w, h);
        for value in [255, 90, 90] {
            let mut alpha = vec![value; w * h];
            smoother.smooth_matte(&p.frame(), &mut alpha, 0.5);
        }
        smoother.smooth_matte(&p.frame(), &mut [1, 2], 0.5);
    }
}

#[test]
fn no_block_stands_out() {
    // A still ground, of which one block's worth becomes something else while the matte goes from all to nothing.
    let ground = |i: usize| 120.0 + 40.0 * ((i % W) as f32 * 0.21).sin() * ((i / W) as f32 * 0.17).cos();
    let luma: Vec<f32> = (0..W * H).map(ground).collect();
    let block = |i: usize| (320..352).contains(&(i % W)) && (224..256).contains(&(i / W));
    let other: Vec<f32> = (0..W * H).map(|i| if block(i) { 250.0 - luma[i] } else { luma[i] }).collect();
    let (mut noise, mut smoother) = (Noise(5), Smoother::new());
    smoother.smooth_matte(&picture(Format::I420, &luma, &mut noise, 0.0).frame(), &mut vec![255; W * H], 0.6);
    let mut alpha = vec![0; W * H];
    smoother.smooth_matte(&picture(Format::I420, &other, &mut noise, 0.0).frame(), &mut alpha, 0.6);
    let row = &alpha[240 * W..][..W];
    assert_eq!(row[336], 0, "what is new there has no past");
    assert!(row[200] > 180, "what stands still is steadied: {}", row[200]);
    let step = row.windows(2).map(|w| w[0].abs_diff(w[1])).max().unwrap();
    assert!(step < 40, "a step of {step}");
}

/// Where a scene moves too slowly for a block to be seen moving, what was long there is not held.
#[test]
fn what_creeps_is_followed() {
    for (sigma, step, contrast) in [
        (0.0, 0.1, 1.0),
        (2.0, 0.1, 1.0),
        (2.0, 0.25, 0.3),
        (2.0, 0.05, 0.5),
        (4.0, 0.1, 0.4),
        (12.0, 0.2, 1.0),
    ] {
        let (mut noise, mut smoother) = (Noise(6), Smoother::new());
        for n in 0..150 {
            // At rest at first, so that all is settled.
            let cx = 250.0 + step * (n as f32 - 40.0).max(0.0);
            let (luma, truth) = disc(cx, 240.0, 70.0);
            let luma: Vec<f32> = luma.iter().map(|l| 60.0 + (l - 60.0) * contrast).collect();
            let p = picture(Format::Gray8, &luma, &mut noise, sigma);
            let mut mask = shrink(&truth);
            smoother.smooth_mask(&p.frame(), &mut mask, W / 5, H / 5, 0.6);
            let mut alpha = truth.clone();
            smoother.smooth_matte(&p.frame(), &mut alpha, 0.6);
            let what = format!("σ {sigma}, {step} px a frame, contrast {contrast}, frame {n}");
            let off = |got: f32, want: f32| (got - want).abs();
            for back in [true, false] {
                let side = |x: f32| (x < cx) == back;
                let row = |a: &[u8]| -> f32 {
                    let pixels = a[240 * W..][..W].iter().enumerate().filter(|(x, _)| side(*x as f32));
                    pixels.map(|(_, &a)| f32::from(a) / 255.0).sum()
                };
                let lag = off(row(&alpha), row(&truth));
                assert!(lag <= 1.5, "{what}: {lag} px of the matte");
                let cells = |m: &[f32]| -> f32 {
                    let samples = m[48 * (W / 5)..][..W / 5].iter().enumerate();
                    samples.filter(|(u, _)| side(*u as f32 * 5.0 + 2.5)).map(|(_, m)| m * 5.0).sum()
                };
                let lag = off(cells(&mask), cells(&shrink(&truth)));
                // Half a sample.
                assert!(lag <= 2.5, "{what}: {lag} px of the mask");
            }
        }
    }
}

/// In noise that is stronger than the contrast nothing tells motion from rest but the network: it is followed.
#[test]
fn what_noise_hides_is_followed() {
    for contrast in [0.07, 0.2] {
        let (mut noise, mut smoother) = (Noise(7), Smoother::new());
        let mut lags = Vec::new();
        for n in 0..90 {
            let cx = 200.0 + 3.0 * (n as f32 - 30.0).max(0.0);
            let (luma, truth) = disc(cx, 240.0, 70.0);
            let luma: Vec<f32> = luma.iter().map(|l| 60.0 + (l - 60.0) * contrast).collect();
            let p = picture(Format::Gray8, &luma, &mut noise, 12.0);
            let mut mask = shrink(&truth);
            smoother.smooth_mask(&p.frame(), &mut mask, W / 5, H / 5, 0.6);
            smoother.smooth_matte(&p.frame(), &mut truth.clone(), 0.6);
            if n > 40 {
                let want = shrink(&truth);
                let off: f32 = mask.iter().zip(&want).map(|(m, w)| (m - w).abs()).sum();
                // Of the two edges that move, in frame pixels.
                lags.push(off * 25.0 / (2.0 * 140.0));
            }
        }
        let lag = lags.iter().sum::<f32>() / lags.len() as f32;
        println!("contrast {contrast}: {lag}");
        assert!(lag < 9.0, "contrast {contrast}: a lag of {lag} px");
    }
}

/// A little strength is a little, also where nothing moves.
#[test]
fn a_little_smoothing_is_little_in_a_still_scene() {
    let p = picture(Format::Gray8, &disc(320.0, 240.0, 70.0).0, &mut Noise(1), 0.0);
    let mut smoother = Smoother::new();
    for n in 0..40 {
        // One half, a little more, and one half again.
        let value = if n < 30 { 0.5 } else { 0.6 };
        let mut mask = vec![value; W / 5 * (H / 5)];
        smoother.smooth_mask(&p.frame(), &mut mask, W / 5, H / 5, 0.05);
        smoother.smooth_matte(&p.frame(), &mut vec![128; W * H], 0.05);
        assert!((mask[W / 5 * 40 + 40] - value).abs() < 0.02, "frame {n}: {}", mask[W / 5 * 40 + 40]);
    }
}

/// A network that wavers about one half of a still scene, faster and slower: what it said at first stays.
#[test]
fn a_mask_that_wavers_over_a_still_scene_is_held() {
    let (w, h) = (W / 5, H / 5);
    for (format, sigma) in [(Format::Gray8, 0.0), (Format::I420, 4.0), (Format::I420, 12.0)] {
        let (luma, truth) = disc(320.0, 240.0, 120.0);
        let (mut noise, mut smoother) = (Noise(8), Smoother::new());
        let inside = |i: usize| ((i % w) as f32 - 64.0).hypot((i / w) as f32 - 48.0) < 18.0;
        let mut seen = Vec::new();
        for n in 0..70 {
            let p = picture(format, &luma, &mut noise, sigma);
            let slow = 0.08 * (n as f32 * 0.1).sin();
            let mut mask = shrink(&truth);
            for (_, m) in mask.iter_mut().enumerate().filter(|(i, _)| inside(*i)) {
                *m = 0.55 + slow + 0.06 * noise.next();
            }
            smoother.smooth_mask(&p.frame(), &mut mask, w, h, 0.6);
            smoother.smooth_matte(&p.frame(), &mut truth.clone(), 0.6);
            seen.push(mask);
        }
        let seen = &seen[20..];
        let of = |i: usize| {
            let mean = seen.iter().map(|m| m[i]).sum::<f32>() / seen.len() as f32;
            (seen.iter().map(|m| (m[i] - mean).powi(2)).sum::<f32>() / seen.len() as f32).sqrt()
        };
        let all: Vec<f32> = (0..w * h).filter(|&i| inside(i)).map(of).collect();
        let deviation = all.iter().sum::<f32>() / all.len() as f32;
        // It comes in at 0.08.
        assert!(deviation < 0.026, "{format:?}, σ {sigma}: {deviation}");
    }
}

#[test]
fn what_was_held_for_long_yields_to_a_network_that_insists() {
    let (luma, truth) = disc(320.0, 240.0, 120.0);
    let (mut noise, mut smoother) = (Noise(3), Smoother::new());
    let (w, h) = (W / 5, H / 5);
    let mut left = (Vec::new(), Vec::new());
    for n in 0..120 {
        let p = picture(Format::I420, &luma, &mut noise, 3.0);
        let (mut mask, mut alpha) = (shrink(&truth), truth.clone());
        if n >= 100 {
            for y in 40..52 {
                mask[y * w + 58..y * w + 70].fill(0.4);
            }
            for y in 200..260 {
                alpha[y * W + 290..y * W + 350].fill(60);
            }
        }
        smoother.smooth_mask(&p.frame(), &mut mask, w, h, 0.6);
        smoother.smooth_matte(&p.frame(), &mut alpha, 0.6);
        left.0.push(mask[46 * w + 64]);
        left.1.push(alpha[230 * W + 320]);
    }
    assert!(left.0[119] < 0.5 && left.1[119] < 75, "{:?} {:?}", &left.0[98..], &left.1[98..]);
}

/// What stands still is kept, and made anew now and then; what changes, in the picture or in the mask, is made anew at once.
#[test]
fn a_matte_is_kept_where_nothing_changes() {
    let (w, h) = (W / 5, H / 5);
    let (mut noise, mut smoother) = (Noise(11), Smoother::new());
    let (luma, truth) = disc(320.0, 240.0, 120.0);
    let grid_width = W.div_ceil(32);
    // Blocks at the disc's left and right edges.
    let [left, right] = [200, 440].map(|x| 240 / 32 * grid_width + x / 32);
    let mut since = [0; 2];
    for n in 0..80 {
        let mut luma = luma.clone();
        let mut mask = shrink(&truth);
        if n >= 60 {
            // A hand beside the left edge; the network is of another mind at the right one.
            for y in 200..280 {
                luma[y * W + 160..y * W + 200].fill(230.0);
            }
        }
        if (40..60).contains(&n) {
            for y in 44..52 {
                mask[y * w + 86..y * w + 92].fill(if n < 44 { 1.0 } else { 0.7 });
            }
        }
        let p = picture(Format::I420, &luma, &mut noise, 3.0);
        smoother.smooth_mask(&p.frame(), &mut mask, w, h, 0.6);
        let kept = smoother.kept().map_or(vec![false; grid_width * 15], |k| k.blocks.to_vec());
        let before = smoother.alpha.clone();
        let mut alpha: Vec<u8> =
            truth.iter().map(|&a| if a == 255 { 255 } else { a.saturating_add((n % 7) as u8) }).collect();
        for (_, a) in alpha.iter_mut().enumerate().filter(|(i, _)| kept[i / W / 32 * grid_width + i % W / 32])
        {
            *a = 99;
        }
        smoother.smooth_matte(&p.frame(), &mut alpha, 0.6);
        let undefined = (0..W * H).filter(|i| kept[i / W / 32 * grid_width + i % W / 32]);
        assert!(undefined.clone().all(|i| alpha[i] == before[i]), "frame {n}");
        assert!(smoother.kept().is_none(), "what was kept of a frame is not of the next");
        for (since, at) in since.iter_mut().zip([left, right]) {
            *since = if kept[at] { *since + 1 } else { 0 };
            assert!(*since < 8, "frame {n}: a block is as it was for {since} frames");
        }
        match n {
            0..8 => assert!(!kept.contains(&true), "frame {n}"),
            20..40 => {
                let part = kept.iter().filter(|k| **k).count() as f32 / kept.len() as f32;
                assert!(part > 0.6, "frame {n}: {part} of the blocks are kept");
            }
            60..72 => assert!(!kept[left], "frame {n}: a hand is there"),
            _ => {}
        }
        if (46..52).contains(&n) {
            assert!(!kept[right], "frame {n}: the mask is another one");
        }
    }
}

#[test]
fn nothing_is_kept_of_little_smoothing_or_after_a_reset() {
    let p = picture(Format::Gray8, &disc(320.0, 240.0, 70.0).0, &mut Noise(1), 0.0);
    let (mut mask, mut alpha) = (vec![0.5; W / 5 * (H / 5)], vec![128; W * H]);
    for strength in [0.3, 0.6] {
        let mut smoother = Smoother::new();
        assert!(smoother.kept().is_none());
        for n in 0..40 {
            smoother.smooth_mask(&p.frame(), &mut mask, W / 5, H / 5, strength);
            assert!(strength > 0.5 || smoother.kept().is_none(), "frame {n}");
            smoother.smooth_matte(&p.frame(), &mut alpha, strength);
        }
        smoother.smooth_mask(&p.frame(), &mut mask, W / 5, H / 5, strength);
        assert_eq!(smoother.kept().is_some(), strength > 0.5);
        smoother.reset();
        assert!(smoother.kept().is_none());
    }
}

/// A frame is looked at once for a window and the smoother, and its way to the frame before is looked for once.
#[test]
fn a_window_and_the_smoother_share_what_they_see() {
    let (mw, mh) = (W / 8, H / 8);
    let frame = |n: usize| {
        let (luma, alpha) = disc(200.0 + 4.0 * n as f32, 240.0, 120.0);
        let mask: Vec<f32> =
            (0..mw * mh).map(|i| f32::from(alpha[(i / mw * 8 + 4) * W + i % mw * 8 + 4]) / 255.0).collect();
        (picture(Format::I420, &luma, &mut Noise(77_777 * n), 3.0), mask, alpha)
    };
    let frames: Vec<_> = (0..9).map(frame).collect();
    let (mut window, mut smoother) = (FrameWindow::new(), Smoother::new());
    for (n, (picture, mask, alpha)) in frames.iter().enumerate() {
        let ahead = if n == 0 { 0..3 } else { n + 2..n + 3 };
        for (k, (picture, mask, _)) in frames.iter().enumerate().skip(ahead.start).take(ahead.len()) {
            window.add(k as u64, &picture.frame(), (mask, mw, mh));
        }
        // Another scene begins at 5: of that, too, nothing is looked at twice.
        if n == 5 {
            smoother.reset();
        }
        let seen = window.view(n as u64);
        let before = n.checked_sub(1).and_then(|n| window.view(n as u64));
        assert!(seen.is_some());
        let steps = smoother.begin_frame(&picture.frame(), seen.clone(), 0.6);
        assert_eq!(steps.is_some(), n != 0 && n != 5, "frame {n}");
        if let Some(steps) = &steps {
            assert!(Arc::ptr_eq(steps.views.0, seen.as_ref().unwrap()), "frame {n}");
            assert!(Arc::ptr_eq(steps.views.1, before.as_ref().unwrap()), "frame {n}");
        }
        let known = steps.is_some();
        let mut mask = mask.clone();
        assert!(window.blend(n as u64, &mut mask, steps));
        assert_eq!(smoother.field.known.contains(&true), known, "frame {n}");
        smoother.set_ahead(true);
        smoother.smooth_mask(&picture.frame(), &mut mask, mw, mh, 0.6);
        assert!(Arc::ptr_eq(&smoother.now, seen.as_ref().unwrap()), "frame {n}");
        let mut alpha = alpha.clone();
        smoother.smooth_matte(&picture.frame(), &mut alpha, 0.6);
    }
    // Nor does it matter to the smoother who looks first.
    let (mut met, mut alone) = (Smoother::new(), Smoother::new());
    for (n, (picture, mask, alpha)) in frames.iter().enumerate() {
        let results = [(&mut met, true), (&mut alone, false)].map(|(smoother, meets)| {
            if meets {
                assert_eq!(smoother.begin_frame(&picture.frame(), None, 0.6).is_some(), n > 0);
            }
            let (mut mask, mut alpha) = (mask.clone(), alpha.clone());
            smoother.smooth_mask(&picture.frame(), &mut mask, mw, mh, 0.6);
            smoother.smooth_matte(&picture.frame(), &mut alpha, 0.6);
            (mask, alpha)
        });
        assert!(results[0] == results[1], "frame {n}");
    }
}
