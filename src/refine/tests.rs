use super::pixels::{write_one, write_pairs};
use super::*;
use crate::frame::testing::{Picture, noise};
use crate::simd::same_at_each_width;

/// A soft disc on a mask of `w · h`.
fn disc(w: usize, h: usize) -> Vec<f32> {
    let far = |i: usize| ((i % w) as f32 + 0.5 - w as f32 / 2.0).hypot((i / w) as f32 + 0.5 - h as f32 / 2.0);
    (0..w * h).map(|i| (0.5 + (w.min(h) as f32 / 3.0 - far(i)) / 4.0).clamp(0.0, 1.0)).collect()
}

#[test]
fn every_format_and_size_gives_a_whole_matte() {
    let mut refiner = Refiner::new();
    for format in Format::ALL {
        for (w, h) in [(1, 1), (2, 1), (1, 37), (35, 1), (33, 47), (641, 359)] {
            let picture = noise(format, w, h, 5);
            for quality in [Quality::None, Quality::Fast, Quality::Best] {
                let mut out = vec![7; w * h];
                refiner.refine(&picture.frame(), &[1.0; 12], 4, 3, quality, &mut out);
                assert!(out.iter().all(|&a| a == 255), "{format:?} {w}x{h} {quality:?}");
                refiner.refine(&picture.frame(), &[0.0; 12], 4, 3, quality, &mut out);
                assert!(out.iter().all(|&a| a == 0), "{format:?} {w}x{h} {quality:?}");
                refiner.refine(&picture.frame(), &disc(31, 17), 31, 17, quality, &mut out);
            }
        }
    }
}

#[test]
fn what_does_not_fit_leaves_the_matte_empty() {
    let mut refiner = Refiner::new();
    let picture = noise(Format::I420, 8, 8, 1);
    let mut out = vec![7; 64];
    refiner.refine(&picture.frame(), &[1.0; 3], 2, 2, Quality::Best, &mut out);
    assert_eq!(out, [0; 64]);
    let mut frame = picture.frame();
    frame.planes[1].data = &[];
    refiner.refine(&frame, &[1.0; 4], 2, 2, Quality::Best, &mut out);
    assert_eq!(out, [0; 64]);
    refiner.refine(&picture.frame(), &[f32::NAN; 4], 2, 2, Quality::Best, &mut out);
}

#[test]
fn none_is_bilinear() {
    let picture = Picture::new(Format::Gray8, 4, 1);
    let mut out = [0; 4];
    Refiner::new().refine(&picture.frame(), &[0.0, 1.0], 2, 1, Quality::None, &mut out);
    assert_eq!(out, [0, 64, 191, 255]);
}

/// A blurred, shifted mask of a bright disc comes back with the disc's own edge; solid stays solid.
#[test]
fn the_edge_is_the_pictures() {
    let (w, h, radius) = (640usize, 360usize, 101.0f32);
    let truth = |i: usize| {
        let d = ((i % w) as f32 - 320.0).hypot((i / w) as f32 - 180.0);
        (radius - d + 0.5).clamp(0.0, 1.0)
    };
    for format in [Format::Rgb, Format::I420, Format::Nv12, Format::Gray8] {
        let mut picture = Picture::new(format, w, h);
        let layout = format.layout();
        for (k, c) in layout.color[..layout.colors].iter().enumerate() {
            let (data, stride) = &mut picture.planes[c.plane];
            for y in 0..c.height(h) {
                for x in 0..c.width(w) {
                    let a = truth((y << c.vsub) * w + (x << c.hsub));
                    data[y * *stride + c.offset + x * c.step] = (60.0 + a * [130.0, 40.0, -30.0][k]) as u8;
                }
            }
        }
        let mask: Vec<f32> = (0..128 * 72)
            .map(|i| {
                let d = ((i % 128) as f32 - 64.3).hypot((i / 128) as f32 - 36.0);
                (0.5 + (radius / 5.0 - d) / 2.5).clamp(0.0, 1.0)
            })
            .collect();
        let error = |quality| {
            let mut out = vec![0; w * h];
            Refiner::new().refine(&picture.frame(), &mask, 128, 72, quality, &mut out);
            assert_eq!((out[180 * w + 320], out[5]), (255, 0));
            out.iter().enumerate().map(|(i, &a)| (f32::from(a) / 255.0 - truth(i)).abs()).sum::<f32>()
        };
        let (none, fast, best) = (error(Quality::None), error(Quality::Fast), error(Quality::Best));
        assert!(fast < 0.6 * none && best < 0.3 * none, "{format:?}: none {none}, fast {fast}, best {best}");
    }
}

/// What is kept changes nothing of what is not: the models of the last frame stand in for those that are not made.
#[test]
fn what_is_kept_leaves_the_rest_as_it_is() {
    for (w, h) in [(1280, 720), (960, 540), (641, 359), (320, 180)] {
        let picture = noise(Format::I420, w, h, 5);
        let mask = disc(128, 72);
        // Of blocks that are smaller than those of refinement, as large, and larger.
        for side in [16, 32, 48] {
            let (grid_width, grid_height) = (w.div_ceil(side), h.div_ceil(side));
            let (mut refiner, mut out) = (Refiner::new(), vec![0; w * h]);
            let run = |refiner: &mut Refiner, kept: Option<&[bool]>, out: &mut [u8]| {
                let kept = kept.map(|blocks| Kept { side, grid_width, blocks });
                refiner.refine_partly((&picture.frame(), &mask, 128, 72), Quality::Best, kept, out)
            };
            assert!(
                !run(&mut refiner, Some(&vec![true; grid_width * grid_height]), &mut out),
                "there was nothing to keep"
            );
            let whole = out.clone();
            for seed in 1..9usize {
                let blocks: Vec<bool> = (0..grid_width * grid_height)
                    .map(|i| (i * 7919 + seed * 104_729) % 11 < seed + 2)
                    .collect();
                out.fill(7);
                assert!(run(&mut refiner, Some(&blocks), &mut out));
                let made = (0..w * h).filter(|i| !blocks[i / w / side * grid_width + i % w / side]);
                let off = made.filter(|i| out[*i] != whole[*i]).count();
                assert_eq!(off, 0, "{w}x{h}, blocks of {side}, seed {seed}");
            }
            // Another quality keeps nothing.
            let of = (&picture.frame(), &mask[..], 128, 72);
            let blocks = vec![true; grid_width * grid_height];
            let kept = Some(Kept { side, grid_width, blocks: &blocks });
            assert!(!refiner.refine_partly(of, Quality::Fast, kept, &mut out));
            assert!(refiner.refine_partly(of, Quality::Fast, kept, &mut out));
            assert!(!refiner.refine_partly(of, Quality::None, kept, &mut out));
            assert!(!refiner.refine_partly(of, Quality::Best, kept, &mut out));
        }
    }
}

#[test]
fn pairs_are_written_as_the_stretched_row_is() {
    for n in [1, 2, 15, 32, 33, 70] {
        let value = |i: usize, k: usize| ((i * 37 + i * i * k) % 101) as f32 / 101.0 - 0.4;
        let rows = [3, 5].map(|k| (0..n + 2).map(|i| value(i, k)).collect::<Vec<f32>>());
        for width in [2 * n - 1, 2 * n] {
            let luma: Vec<u8> = (0..width).map(|i| (i * i * 31 + 7) as u8).collect();
            let mut want = vec![0; width];
            let [slope, offset] = rows.each_ref().map(|row| {
                let mut wide = vec![0.0; width];
                enlarge::widen_by(row, 2, &mut wide);
                wide
            });
            write_one(&slope, &offset, &luma, &mut want);
            let got = same_at_each_width(format!("{width}"), || {
                let mut out = vec![0; width];
                write_pairs(&rows[0], &rows[1], &luma, &mut out);
                out
            });
            for (got, want) in got.iter().zip(&want) {
                assert!(got.abs_diff(*want) <= 1, "{width}: {got}, not {want}");
            }
        }
    }
}
