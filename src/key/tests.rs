use super::alpha::{Local, close, finish};
use super::colour::{Difference, Numbers, Primary};
use super::grid::{Grid, Ramps, Sloped, along};
use super::rows::Rows;
use super::screen::{self, ScreenModel};
use super::*;
use crate::frame::testing::{Picture, noise};
use crate::frame::{Color, Format};
use crate::simd::same_at_each_width;

/// Values that look like nothing, and are the same at every run.
fn value(i: usize, k: usize) -> u8 {
    ((i * 31 + i * i * k + k * 97) % 251) as u8
}

/// A grey disc with a soft edge before a green screen whose light falls off, in any format with colours; and its alpha.
fn disc(format: Format, width: usize, height: usize) -> (Picture, Vec<f32>) {
    let alpha = |x: usize, y: usize| {
        let (x, y) = (x as f32 - width as f32 / 2.0, y as f32 - height as f32 / 2.0);
        (0.5 + (height as f32 / 3.0 - x.hypot(y)) / 4.0).clamp(0.0, 1.0)
    };
    let mut picture = Picture::new(format, width, height);
    let numbers = Numbers::of(&picture.frame());
    let colour = |x: usize, y: usize| {
        let (x, y) = (x.min(width - 1), y.min(height - 1));
        let (a, light) = (alpha(x, y), 1.0 - 0.4 * x as f32 / width as f32);
        let rgb = [40.0, 170.0, 80.0].map(|v| 130.0 * a + v * light * (1.0 - a));
        numbers.components(rgb)
    };
    let layout = format.layout();
    for (k, c) in layout.color.iter().enumerate() {
        for y in 0..c.height(height) {
            for x in 0..c.width(width) {
                // The mean of the pixels that share the sample.
                let (nx, ny) = (1 << c.hsub, 1 << c.vsub);
                let sum: f32 =
                    (0..nx * ny).map(|i| colour((x << c.hsub) + i % nx, (y << c.vsub) + i / nx)[k]).sum();
                let (data, stride) = &mut picture.planes[c.plane];
                data[y * *stride + c.offset + x * c.step] = (sum / (nx * ny) as f32 + 0.5) as u8;
            }
        }
    }
    let alpha = (0..width * height).map(|i| alpha(i % width, i / width)).collect();
    (picture, alpha)
}

fn with_colours() -> impl Iterator<Item = Format> {
    Format::ALL.into_iter().filter(|f| f.layout().colors == 3)
}

#[test]
fn a_difference_is_the_same_in_every_format() {
    for rgb in [[40u8, 170, 80], [200, 150, 120], [90, 90, 90], [20, 60, 200]] {
        for primary in [Primary::Red, Primary::Green, Primary::Blue] {
            let [a, b] = primary.others();
            let k = f32::from(rgb[primary as usize]);
            let plain = k - f32::from(rgb[a].max(rgb[b]));
            for format in with_colours() {
                let mut picture = Picture::new(format, 2, 2);
                for color in [Color::BT601, Color::BT709, Color { full_range: true, ..Color::BT709 }] {
                    picture.color = color;
                    let frame = picture.frame();
                    let numbers = Numbers::of(&frame);
                    let c = numbers.components(rgb.map(f32::from));
                    let difference = Difference::new(&frame, primary);
                    assert!((difference.at(c) - plain).abs() < 0.01, "{format:?} {rgb:?} {primary:?}");
                    // One less of the primary.
                    let less = [0, 1, 2].map(|i| c[i] - difference.fall[i]);
                    let mut want = rgb.map(f32::from);
                    want[primary as usize] -= 1.0;
                    let got = numbers.rgb(less);
                    assert!((0..3).all(|i| (got[i] - want[i]).abs() < 0.01), "{format:?}: {got:?}, {want:?}");
                }
            }
        }
    }
}

#[test]
fn a_soft_disc_is_found_and_comes_out_grey_in_every_format() {
    let (width, height) = (260, 202);
    for format in with_colours() {
        let (mut picture, truth) = disc(format, width, height);
        let mut alpha = vec![0; width * height];
        let mut keyer = Keyer::default();
        assert!(keyer.key(&picture.frame(), &mut alpha), "{format:?}");
        let off = alpha.iter().zip(&truth).map(|(a, t)| (f32::from(*a) / 255.0 - t).abs());
        let off = off.sum::<f32>() / truth.len() as f32 * 1e3;
        assert!(off < 3.0, "{format:?}: {off}");
        assert!((0..truth.len()).all(|i| truth[i] > 0.0 || alpha[i] < 40), "{format:?}");
        let numbers = Numbers::of(&picture.frame());
        keyer.clean(&mut picture.frame_mut(), &alpha);
        let layout = format.layout();
        for i in (0..truth.len()).filter(|i| alpha[*i] > 100) {
            let (x, y) = (i % width, i / width);
            let c = layout.color.map(|c| f32::from(picture.sample(&c, x >> c.hsub, y >> c.vsub)));
            let rgb = numbers.rgb(c);
            assert!(rgb.iter().all(|v| (v - 130.0).abs() < 24.0), "{format:?} {x},{y} {}: {rgb:?}", alpha[i]);
        }
    }
}

#[test]
fn what_looks_like_the_screen_inside_a_subject_stays_where_it_is_not_the_screens() {
    // A disc with a patch of a duller green, and one with a hole through which the screen is seen.
    for (patch, stays) in [([95.0, 130.0, 95.0], true), ([40.0, 170.0, 80.0], false)] {
        let (mut picture, _) = disc(Format::Rgb, 400, 400);
        let light = |x: usize| if stays { 1.0 } else { 1.0 - 0.4 * x as f32 / 400.0 };
        for y in 180..220 {
            for x in 180..220 {
                for (k, v) in patch.iter().enumerate() {
                    let (data, stride) = &mut picture.planes[0];
                    data[y * *stride + 3 * x + k] = (v * light(x)) as u8;
                }
            }
        }
        let mut alpha = vec![0; 400 * 400];
        assert!(Keyer::default().key(&picture.frame(), &mut alpha));
        let middle = alpha[200 * 400 + 200];
        assert!(if stays { middle == 255 } else { middle == 0 }, "{patch:?}: {middle}");
    }
}

#[test]
fn anything_may_come() {
    for format in Format::ALL {
        let mut keyer = Keyer::default();
        for (w, h) in [(1, 1), (2, 1), (1, 37), (67, 1), (33, 47), (130, 66), (64, 64)] {
            let mut picture = noise(format, w, h, 7);
            let mut alpha = vec![9; w * h];
            let found = keyer.key(&picture.frame(), &mut alpha);
            assert!(found || alpha.iter().all(|a| *a == 9), "{format:?}: what is not keyed is left alone");
            keyer.clean(&mut picture.frame_mut(), &alpha);
            // Mattes and frames that do not fit.
            assert!(!keyer.key(&picture.frame(), &mut vec![0; w * h + 1]));
            let before = picture.clone();
            keyer.clean(&mut picture.frame_mut(), &alpha[1..]);
            assert_eq!(picture, before);
            let mut short = picture.frame();
            short.planes[0].data = &[];
            assert!(!keyer.key(&short, &mut alpha));
        }
        // A frame of one colour.
        let mut even = Picture::new(format, 64, 64);
        for v in [0, 128, 255] {
            even.planes.iter_mut().for_each(|(data, _)| data.fill(v));
            keyer.key(&even.frame(), &mut vec![0; 64 * 64]);
        }
    }
}

#[test]
fn a_screen_is_forgotten_with_its_scene() {
    let (green, _) = disc(Format::I420, 320, 240);
    let mut alpha = vec![0; 320 * 240];
    let mut keyer = Keyer::default();
    assert!(keyer.key(&green.frame(), &mut alpha));
    let [r, g, b] = keyer.color().unwrap();
    assert!(g > 100 && r < 60 && b < 100, "{r},{g},{b}");
    // A grey frame before which the screen is known: nothing of it is left.
    let mut grey = Picture::new(Format::I420, 320, 240);
    grey.planes.iter_mut().for_each(|(data, _)| data.fill(128));
    assert!(!keyer.key(&grey.frame(), &mut alpha));
    assert_eq!(keyer.color(), None);
    assert!(keyer.key(&green.frame(), &mut alpha));
    keyer.reset();
    assert_eq!(keyer.color(), None);
}

#[test]
fn a_light_that_goes_down_at_once_is_followed() {
    let (mut picture, truth) = disc(Format::Rgb, 320, 240);
    let mut alpha = vec![0; 320 * 240];
    let mut keyer = Keyer::default();
    assert!(keyer.key(&picture.frame(), &mut alpha));
    for part in [0.75, 0.6, 0.9] {
        let darker = picture.planes[0].0.iter().map(|v| (f32::from(*v) * part) as u8).collect::<Vec<u8>>();
        picture.planes[0].0 = darker;
        assert!(keyer.key(&picture.frame(), &mut alpha), "{part}");
        let off = alpha.iter().zip(&truth).map(|(a, t)| (f32::from(*a) / 255.0 - t).abs());
        let off = off.sum::<f32>() / truth.len() as f32 * 1e3;
        assert!(off < 4.0, "{part}: {off}");
    }
}

#[test]
fn colours_that_can_be_keyed() {
    for (rgb, can) in [
        ([0, 177, 64], true),
        ([20, 60, 200], true),
        ([220, 40, 60], true),
        ([128, 128, 128], false),
        ([250, 250, 20], false),
        ([10, 30, 10], false),
    ] {
        assert_eq!(can_be_keyed(rgb), can, "{rgb:?}");
    }
}

#[test]
fn grids_are_filled_from_their_surroundings() {
    let mut grid = Grid::new(9, 7, [0.0f32]);
    let weights: Vec<f32> = (0..63).map(|i| if i % 9 < 3 { 1.0 } else { 0.0 }).collect();
    for (cell, w) in grid.cells.iter_mut().zip(&weights) {
        *cell = if *w > 0.0 { [40.0] } else { [999.0] };
    }
    grid.fill(&weights);
    assert!(grid.cells.iter().all(|c| (c[0] - 40.0).abs() < 0.01), "{:?}", grid.cells);
    // Nothing is known: nothing is changed.
    let before = grid.cells.clone();
    grid.fill(&[0.0; 63]);
    assert_eq!(grid.cells, before);
}

#[test]
fn lines_are_spread_as_the_formula_says() {
    let grid = Grid { width: 5, height: 3, cells: (0..15).map(|i| [f32::from(value(i, 3)), 1.0]).collect() };
    let plain = |x: usize, y: usize, side: usize| {
        let place = |at: usize, n: usize| {
            let v = ((at as f32 + 0.5) / side as f32 - 0.5).clamp(0.0, (n - 1) as f32);
            (v as usize, (v as usize + 1).min(n - 1), v.fract())
        };
        let ((l, r, fx), (t, b, fy)) = (place(x, 5), place(y, 3));
        let cell = |x: usize, y: usize| grid.cells[y * 5 + x][0];
        let row = |y: usize| cell(l, y) + (cell(r, y) - cell(l, y)) * fx;
        row(t) + (row(b) - row(t)) * fy
    };
    for side in [4, 8, 16, 32, 64] {
        for (from, to) in [(0, 5), (0, 1), (2, 4), (4, 5)] {
            for y in [0, side / 2, side, 2 * side + 1, 3 * side - 1] {
                let got = same_at_each_width(format!("side {side}"), || {
                    let mut line = Vec::new();
                    Sloped::new(&grid).line(y, side, &(from..to), &mut line);
                    let ramps = Ramps::new(side);
                    let values = |cell| ramps.lanes::<4>().flat_map(move |ramp| along(cell, 0, ramp));
                    line.iter().flat_map(values).collect::<Vec<_>>()
                });
                for (i, v) in got.iter().enumerate() {
                    let want = plain(from * side + i, y, side);
                    assert!(
                        (v - want).abs() < 0.01,
                        "side {side}, row {y}, {}: {v}, not {want}",
                        from * side + i
                    );
                }
            }
        }
    }
}

#[test]
fn holes_are_closed_as_the_formula_says() {
    for (grid_width, grid_height, reach) in [(20, 17, 3), (33, 30, 6), (60, 41, 12)] {
        let before: Vec<u8> = (0..grid_width * grid_height)
            .map(|i| if i % 37 < 20 { 255 } else { 105u8.saturating_add(value(i, 7) / 2) })
            .collect();
        let got = same_at_each_width("close", || {
            let mut alpha = before.clone();
            close(&mut alpha, grid_width, grid_height, reach, &mut Vec::new(), &mut Vec::new());
            alpha
        });
        for y in reach..grid_height - reach {
            for x in reach..grid_width - reach {
                let around =
                    (y - reach..=y + reach).flat_map(|y| (x - reach..=x + reach).map(move |x| (x, y)));
                let least = around.map(|(x, y)| before[y * grid_width + x]).min().unwrap();
                let part = (f32::from(least) - 112.0).clamp(0.0, 68.0) / 68.0;
                let a = f32::from(before[y * grid_width + x]);
                let want = a + (255.0 - a) * part;
                let is = f32::from(got[y * grid_width + x]);
                assert!((is - want).abs() <= 1.5, "{grid_width}x{grid_height} {x},{y}: {is}, not {want}");
            }
        }
    }
}

#[test]
fn a_matte_is_enlarged_as_the_formula_says() {
    for (w, h) in [(203, 151), (330, 250), (16, 34)] {
        let picture = noise(Format::I420, w, h, 3);
        let frame = picture.frame();
        let rows = Rows::new(&frame).unwrap();
        let (width, height, side) = (rows.width, rows.height, rows.side);
        // Cells and more that are even, and such as are not.
        let samples: Vec<u8> = (0..width * height)
            .map(|i| match (i % width / 20 + i / width / 20) % 4 {
                0 => 0,
                1 => 255,
                _ => value(i, 11),
            })
            .collect();
        let cells = width.div_ceil(side);
        let got = same_at_each_width("enlarged", || {
            let mut out = vec![7; w * h];
            for (row, out) in out.chunks_mut(2 * side * w).enumerate() {
                finish(&rows, &samples, (row, 0, cells), &mut Local::default(), out);
            }
            out
        });
        // The same in parts of a row.
        let mut parts = vec![7; w * h];
        let l = &mut Local::default();
        for (row, out) in parts.chunks_mut(2 * side * w).enumerate() {
            for from in (0..cells).step_by(3) {
                finish(&rows, &samples, (row, from, (from + 3).min(cells)), l, out);
            }
        }
        assert!(parts == got, "{w}x{h}");
        // The first and the last samples go on.
        let reach = side * 3 / 8;
        let halo = reach + 1;
        let (all, high) = (width + 2 * halo, height + 2 * halo);
        let at = |v: usize, n: usize| v.saturating_sub(halo).min(n - 1);
        let mut closed: Vec<u8> =
            (0..all * high).map(|i| samples[at(i / all, height) * width + at(i % all, width)]).collect();
        close(&mut closed, all, high, reach, &mut Vec::new(), &mut Vec::new());
        let mut small = vec![0; width * height];
        small.chunks_exact_mut(width).enumerate().for_each(|(y, row)| rows.read_luma(y, 0, row));
        let inside = |v: i32, n: usize| v.clamp(0, n as i32 - 1) as usize;
        let alpha = |x: i32, y: i32| {
            f64::from(closed[(y + halo as i32) as usize * all + (x + halo as i32) as usize]) / 255.0
        };
        let luma = |x: i32, y: i32| f64::from(small[inside(y, height) * width + inside(x, width)]);
        for (i, &got) in got.iter().enumerate() {
            let (px, py) = ((i % w) as i32, (i / w) as i32);
            let (x, y) = (px / 2, py / 2);
            let (dx, dy) = (px % 2 * 2 - 1, py % 2 * 2 - 1);
            let near: Vec<(i32, i32)> = (0..9).map(|k| (k % 3 - 1, k / 3 - 1)).collect();
            let mean = |f: &dyn Fn(i32, i32) -> f64| {
                near.iter().map(|(dx, dy)| f(x + dx, y + dy)).sum::<f64>() / 9.0
            };
            let (a, l) = (mean(&alpha), mean(&luma));
            let covariance = mean(&|x, y| alpha(x, y) * luma(x, y)) - a * l;
            let variance = mean(&|x, y| luma(x, y) * luma(x, y)) - l * l;
            let bilinear = |f: &dyn Fn(i32, i32) -> f64| {
                0.5625 * f(x, y) + 0.1875 * (f(x + dx, y) + f(x, y + dy)) + 0.0625 * f(x + dx, y + dy)
            };
            // The mean of the four pixels of each sample, were they bilinear.
            let weight = |d: i32| if d == 0 { 0.75 } else { 0.125 };
            let smooth: f64 =
                near.iter().map(|(dx, dy)| weight(*dx) * weight(*dy) * alpha(x + dx, y + dy)).sum();
            let all: Vec<f64> = near.iter().map(|(dx, dy)| alpha(x + dx, y + dy)).collect();
            let (least, most) =
                (all.iter().copied().fold(1.0, f64::min), all.iter().copied().fold(0.0, f64::max));
            let more = 0.2 * (most - least);
            let fine = f64::from(picture.sample(&Format::I420.layout().color[0], px as usize, py as usize));
            let want = bilinear(&alpha)
                + 0.4 * (alpha(x, y) - smooth)
                + covariance / (variance + 2.0) * (fine - bilinear(&luma));
            let want = 255.0 * want.max((least - more).max(0.0)).min((most + more).min(1.0));
            assert!((f64::from(got) - want).abs() < 0.6, "{w}x{h} {px},{py}: {got}, not {want}");
        }
    }
}

#[test]
fn a_model_holds_what_plain_sums_give() {
    // Nothing but screen, noisy: its mean and its noise.
    let (w, h) = (240, 160);
    let mut picture = Picture::new(Format::Rgb, w, h);
    let (data, stride) = &mut picture.planes[0];
    for y in 0..h {
        for x in 0..w {
            let n = value(y * w + x, 5) % 9;
            data[y * *stride + 3 * x..][..3].copy_from_slice(&[40 + n, 160 + n, 70]);
        }
    }
    let frame = picture.frame();
    let rows = Rows::new(&frame).unwrap();
    let (primary, mean) = screen::find(&rows, None).unwrap();
    assert!(primary == Primary::Green && (mean - 94.0).abs() < 4.0, "{primary:?} {mean}");
    let difference = Difference::new(&frame, primary);
    let mut model = ScreenModel::new(&rows, mean);
    model.look(&rows, &difference, true).unwrap();
    let d: Vec<f32> = (0..w * h).map(|i| f32::from(90 + value(i, 5) % 9)).collect();
    let mean = d.iter().sum::<f32>() / d.len() as f32;
    let deviation = (d.iter().map(|d| (d - mean).powi(2)).sum::<f32>() / d.len() as f32).sqrt();
    let n = model.back.cells.len() as f32;
    let [d, noise, r, ..] =
        model.back.cells.iter().fold([0.0; 5], |s, c| [0, 1, 2, 3, 4].map(|k| s[k] + c[k] / n));
    assert!((d - mean).abs() < 0.3 && (noise - deviation).abs() < 0.3, "{d} {noise}, not {mean} {deviation}");
    assert!((r - (mean - 50.0)).abs() < 0.3, "{r}");
}

#[test]
fn each_width_of_vectors_keys_the_same() {
    for format in [Format::I420, Format::Nv12, Format::Yuy2, Format::Rgb, Format::Bgra, Format::Ayuv] {
        for (w, h) in [(203, 151), (330, 250)] {
            let (picture, _) = disc(format, w, h);
            same_at_each_width(format!("{format:?}"), || {
                let mut keyer = Keyer::default();
                let (mut alpha, mut out) = (vec![0; w * h], picture.clone());
                // Twice: found, and followed.
                for _ in 0..2 {
                    assert!(keyer.key(&picture.frame(), &mut alpha));
                }
                keyer.clean(&mut out.frame_mut(), &alpha);
                (alpha, out)
            });
        }
    }
}

/// What a component of a frame should be after cleaning: every sample by the formulas, plainly.
fn cleaned(keyer: &Keyer, before: &Picture, alpha: &[u8]) -> Vec<Vec<f32>> {
    let known = keyer.known.as_ref().unwrap();
    let (w, h, layout) = (before.width, before.height, before.format.layout());
    let (numbers, made_of) = (Numbers::of(&before.frame()), known.made_of.2);
    let difference = Difference::new(&before.frame(), known.primary);
    let model = &known.model;
    let (grid_width, grid_height) = (model.back.width, model.back.height);
    let around = |cell: usize, reach: usize, is: &dyn Fn(usize) -> bool| {
        let (x, y) = (cell % grid_width, cell / grid_width);
        let near = |at: usize, n: usize| at.saturating_sub(reach)..(at + reach + 1).min(n);
        near(y, grid_height).any(|y| near(x, grid_width).any(|x| is(y * grid_width + x)))
    };
    let near = |cell: usize| around(cell, 2, &|c| known.kinds[c] == Kind::Mixed);
    let colour = |c: &[f32; 5]| {
        let c = [c[2], c[3], c[4]];
        if made_of == numbers { c } else { numbers.components(made_of.rgb(c)) }
    };
    // A cell's value between the middles of cells, at a sample of a component.
    let at = |x: usize, y: usize, (hsub, vsub): (u32, u32), value: &dyn Fn(usize) -> f32| {
        let place = |at: usize, sub: u32, n: usize| {
            let v = ((at as f32 + 0.5) / (known.side >> sub) as f32 - 0.5).clamp(0.0, (n - 1) as f32);
            (v as usize, (v as usize + 1).min(n - 1), v.fract())
        };
        let ((l, r, fx), (t, b, fy)) = (place(x, hsub, grid_width), place(y, vsub, grid_height));
        let row = |y: usize| value(y * grid_width + l) * (1.0 - fx) + value(y * grid_width + r) * fx;
        row(t) * (1.0 - fy) + row(b) * fy
    };
    let unmixed = |k: usize, x: usize, y: usize| {
        let c = &layout.color[k];
        let sub = (c.hsub, c.vsub);
        let pixels = (0..1usize << (c.hsub + c.vsub)).map(|i| {
            let (x, y) = ((x << c.hsub) + i % (1 << c.hsub), (y << c.vsub) + (i >> c.hsub));
            f32::from(alpha[y.min(h - 1) * w + x.min(w - 1)]) / 255.0
        });
        let a = pixels.sum::<f32>() / (1u32 << (c.hsub + c.vsub)) as f32;
        let back = at(x, y, sub, &|cell| colour(&model.back.cells[cell])[k]);
        let front = at(x, y, sub, &|cell| colour(&model.front.cells[cell])[k]);
        let gain = a / (a * a + 0.1 * (1.0 - a) * (1.0 - a));
        front + gain * (f32::from(before.sample(c, x, y)) - a * front - (1.0 - a) * back)
    };
    let (hsub, vsub) = layout.color.iter().fold((0, 0), |(h, v), c| (h.max(c.hsub), v.max(c.vsub)));
    let shared = hsub + vsub > 0;
    let fall = |x: usize, y: usize| {
        let luma = if shared { 0.0 } else { unmixed(0, x, y) };
        let [d, e] = difference.parts([luma, unmixed(1, x, y), unmixed(2, x, y)]);
        let weight = at(x, y, (hsub, vsub), &|cell| f32::from(u8::from(near(cell))));
        let may = at(x, y, (hsub, vsub), &|cell| {
            let [mean, square] = model.own.cells[cell];
            (mean + (square - mean * mean).max(0.0).sqrt()).max(0.0)
        });
        (0.5 * (d + e) - may).max(0.0) * weight
    };
    let component = |(k, c): (usize, &crate::frame::Component)| {
        let (cw, ch) = (c.width(w), c.height(h));
        let value = |i: usize| {
            let (x, y) = (i % cw, i / cw);
            let (px, py) = (x << c.hsub, y << c.vsub);
            if !around(py / known.side * grid_width + px / known.side, 1, &near) {
                return f32::from(before.sample(c, x, y));
            }
            let (cx, cy) = (px >> hsub, py >> vsub);
            (unmixed(k, x, y) - fall(cx, cy) * difference.fall[k]).clamp(0.0, 255.0)
        };
        (0..cw * ch).map(value).collect()
    };
    layout.color.iter().enumerate().map(component).collect()
}

#[test]
fn a_frame_is_cleaned_as_the_formulas_say() {
    // Of the same format, and of another than the one that was keyed.
    for (keyed, format) in [
        (Format::I420, Format::I420),
        (Format::Nv12, Format::Nv12),
        (Format::Yuy2, Format::Yuy2),
        (Format::Ayuv, Format::Ayuv),
        (Format::Bgra, Format::Bgra),
        (Format::Rgb, Format::I420),
        (Format::I420, Format::Rgba),
    ] {
        for (w, h) in [(203, 151), (130, 98)] {
            let (picture, _) = disc(keyed, w, h);
            let (mut out, _) = disc(format, w, h);
            let (mut alpha, mut keyer) = (vec![0; w * h], Keyer::default());
            assert!(keyer.key(&picture.frame(), &mut alpha));
            let want = cleaned(&keyer, &out, &alpha);
            let before = out.clone();
            keyer.clean(&mut out.frame_mut(), &alpha);
            assert!(out != before, "{keyed:?} {format:?}");
            for (k, c) in format.layout().color.iter().enumerate() {
                let wide = c.width(w);
                for (i, want) in want[k].iter().enumerate() {
                    let got = f32::from(out.sample(c, i % wide, i / wide));
                    assert!(
                        (got - want).abs() < 0.6,
                        "{keyed:?} {format:?} {w}x{h} component {k} {},{}: {got}, not {want}",
                        i % wide,
                        i / wide
                    );
                }
            }
        }
    }
}
