use super::*;
use crate::frame::{Format, testing::Picture};

const W: usize = 640;
const H: usize = 360;
const MW: usize = 128;
const MH: usize = 72;

/// Repeatable noise, of a standard deviation of about 1.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        let mut sum = -3.0;
        for _ in 0..6 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sum += (self.0 >> 40) as f32 / (1u64 << 24) as f32;
        }
        sum * 1.4
    }
}

type Color = [f32; 3];

/// A room with texture in luma and chroma.
fn room(x: f32, y: f32) -> Color {
    let wave = |a: f32, b: f32| ((x * a).sin() + (y * b).cos()) * 0.5;
    [120.0 + 50.0 * wave(0.11, 0.07), 128.0 + 16.0 * wave(0.03, 0.05), 128.0 - 12.0 * wave(0.05, 0.02)]
}

const SUBJECT: Color = [60.0, 150.0, 100.0];

/// A disc's alpha.
fn disc(cx: f32, radius: f32) -> impl Fn(f32, f32) -> f32 + Copy {
    move |x, y| (radius + 0.5 - (x - cx).hypot(y - H as f32 / 2.0)).clamp(0.0, 1.0)
}

/// A picture of what `color` says of each pixel, with noise.
fn picture(format: Format, noise: &mut Noise, color: impl Fn(f32, f32) -> Color) -> Picture {
    let mut p = Picture::new(format, W, H);
    let layout = format.layout();
    for y in 0..H {
        for x in 0..W {
            let [l, u, v] = color(x as f32, y as f32);
            let l = l + 1.5 * noise.next();
            let all = if format.is_yuv() {
                [l, u, v]
            } else {
                let (u, v) = (u - 128.0, v - 128.0);
                [l + 1.402 * v, l - 0.344 * u - 0.714 * v, l + 1.772 * u]
            };
            for (c, v) in layout.color[..layout.colors].iter().zip(all) {
                let (data, stride) = &mut p.planes[c.plane];
                let at = (y >> c.vsub) * *stride + c.offset + (x >> c.hsub) * c.step;
                data[at] = v.round().clamp(0.0, 255.0) as u8;
            }
        }
    }
    p
}

/// A picture of a subject before a background.
fn mixed(
    format: Format,
    noise: &mut Noise,
    alpha: impl Fn(f32, f32) -> f32,
    behind: impl Fn(f32, f32) -> Color,
) -> Picture {
    picture(format, noise, |x, y| {
        let (a, b) = (alpha(x, y), behind(x, y));
        std::array::from_fn(|k| a * SUBJECT[k] + (1.0 - a) * b[k])
    })
}

/// What `alpha` says at the samples of a mask.
fn mask(alpha: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    let at = |i: usize, n: usize, size: usize| (i as f32 + 0.5) * size as f32 / n as f32;
    (0..MW * MH).map(|i| alpha(at(i % MW, MW, W), at(i / MW, MH, H))).collect()
}

fn in_box(x: f32, y: f32, [left, top, right, bottom]: [f32; 4]) -> bool {
    (left..right).contains(&x) && (top..bottom).contains(&y)
}

/// The mask's mean in a rectangle of the frame.
fn mean(mask: &[f32], area: [f32; 4]) -> f32 {
    let inside = self::mask(|x, y| f32::from(u8::from(in_box(x, y, area))));
    mask.iter().zip(&inside).map(|(m, i)| m * i).sum::<f32>() / inside.iter().sum::<f32>()
}

/// Where the disc is in a frame.
fn place(n: usize) -> f32 {
    200.0 + 8.0 * n.min(24) as f32
}

/// A scene that has seen a disc go by for so many frames.
fn accustomed(format: Format, noise: &mut Noise, frames: usize) -> Scene {
    let mut scene = Scene::new();
    for n in 0..frames {
        let alpha = disc(place(n), 60.0);
        let p = mixed(format, noise, alpha, room);
        scene.correct(&p.frame(), &mut mask(alpha), MW, MH);
    }
    scene
}

const GHOST: [f32; 4] = [460.0, 60.0, 580.0, 160.0];

#[test]
fn what_was_seen_as_background_goes_and_what_differs_from_it_comes_back() {
    for format in [Format::I420, Format::Rgba] {
        let mut noise = Noise(1);
        let mut scene = accustomed(format, &mut noise, 24);
        let alpha = disc(place(24), 60.0);
        let p = mixed(format, &mut noise, alpha, room);
        // The network takes a piece of the room along, and loses the subject's upper half.
        let lost = [place(24) - 30.0, 130.0, place(24) + 30.0, 175.0];
        let seen =
            |x, y| if in_box(x, y, GHOST) { 0.9 } else { alpha(x, y) * f32::from(u8::from(y > 180.0)) };
        let mut corrected = mask(seen);
        assert!(mean(&corrected, GHOST) > 0.85 && mean(&corrected, lost) < 0.05);
        scene.correct(&p.frame(), &mut corrected, MW, MH);
        assert!(
            mean(&corrected, GHOST) < 0.03,
            "{format:?}: {} of the room is left",
            mean(&corrected, GHOST)
        );
        assert!(
            mean(&corrected, lost) > 0.9,
            "{format:?}: {} of the subject is back",
            mean(&corrected, lost)
        );
    }
}

#[test]
fn all_of_a_subject_comes_back_that_the_network_has_seen_before() {
    let (mut noise, mut scene) = (Noise(10), Scene::new());
    let walks = |n: usize| disc(12.0 * n.min(41) as f32 - 100.0, 90.0);
    for n in 0..44 {
        let p = mixed(Format::I420, &mut noise, walks(n), room);
        scene.correct(&p.frame(), &mut mask(walks(n)), MW, MH);
    }
    // Then the network sees its lowest part, and masks are of another size now and then.
    let alpha = walks(44);
    let seen = |x, y| alpha(x, y) * f32::from(u8::from(y > 250.0));
    let head = [372.0, 100.0, 412.0, 130.0];
    let half: Vec<f32> = mask(seen).iter().flat_map(|m| [*m; 2]).collect();
    let p = mixed(Format::I420, &mut noise, alpha, room);
    scene.correct(&p.frame(), &mut half.clone(), 2 * MW, MH);
    let p = mixed(Format::I420, &mut noise, alpha, room);
    let mut corrected = mask(seen);
    scene.correct(&p.frame(), &mut corrected, MW, MH);
    assert!(mean(&corrected, head) > 0.9, "{} of the head is back", mean(&corrected, head));
}

#[test]
fn a_screen_that_lights_up_beside_the_subject_does_not_become_a_part_of_it() {
    let mut noise = Noise(11);
    let mut scene = accustomed(Format::I420, &mut noise, 24);
    let screen = [456.0, 40.0, 620.0, 320.0];
    let alpha = disc(place(24), 60.0);
    let behind = |x, y| if in_box(x, y, screen) { [200.0, 110.0, 150.0] } else { room(x, y) };
    for _ in 0..4 {
        let p = mixed(Format::I420, &mut noise, alpha, behind);
        let mut corrected = mask(alpha);
        scene.correct(&p.frame(), &mut corrected, MW, MH);
        // But for what is next to it.
        let rest = [545.0, 60.0, 620.0, 300.0];
        assert!(mean(&corrected, rest) < 0.05, "{}", mean(&corrected, rest));
    }
}

#[test]
fn a_camera_that_moves_changes_nothing() {
    let (mut noise, mut scene) = (Noise(2), Scene::new());
    for n in 0..40 {
        let alpha = disc(place(n), 60.0);
        let p = mixed(Format::I420, &mut noise, alpha, |x, y| room(x + 3.0 * n as f32, y));
        let before = mask(|x, y| if in_box(x, y, GHOST) { 0.4 } else { alpha(x, y) });
        let mut after = before.clone();
        scene.correct(&p.frame(), &mut after, MW, MH);
        assert!(before == after, "frame {n}");
        let matte: Vec<u8> =
            (0..W * H).map(|i| (alpha((i % W) as f32, (i / W) as f32) * 255.0) as u8).collect();
        let mut solved = matte.clone();
        scene.refine(&p.frame(), false, &mut solved);
        assert!(matte == solved, "frame {n}");
    }
}

#[test]
fn a_change_of_exposure_is_followed() {
    for (gain, offset) in [(0.75, 0.0), (1.2, -10.0), (1.0, 25.0)] {
        let mut noise = Noise(3);
        let mut scene = accustomed(Format::I420, &mut noise, 24);
        let alpha = disc(place(24), 60.0);
        let exposed = |x, y| {
            let [l, u, v] = room(x, y);
            [gain * l + offset, 128.0 + gain * (u - 128.0), 128.0 + gain * (v - 128.0)]
        };
        let p = mixed(Format::I420, &mut noise, alpha, exposed);
        let mut corrected = mask(|x, y| if in_box(x, y, GHOST) { 0.9 } else { alpha(x, y) });
        scene.correct(&p.frame(), &mut corrected, MW, MH);
        assert!(mean(&corrected, GHOST) < 0.05, "×{gain} + {offset}: {} is left", mean(&corrected, GHOST));
        let besides = [20.0, 20.0, 200.0, 340.0];
        assert!(mean(&corrected, besides) < 0.01, "×{gain} + {offset}");
    }
}

#[test]
fn a_shadow_beside_the_subject_is_none_of_it() {
    let mut noise = Noise(4);
    let mut scene = accustomed(Format::I420, &mut noise, 24);
    let alpha = disc(place(24), 60.0);
    let right = place(24) + 62.0;
    let shadow = [right, 150.0, right + 60.0, 210.0];
    let behind = |x, y| {
        let [l, u, v] = room(x, y);
        let part = if in_box(x, y, shadow) { 0.7 } else { 1.0 };
        [16.0 + part * (l - 16.0), 128.0 + part * (u - 128.0), 128.0 + part * (v - 128.0)]
    };
    let p = mixed(Format::I420, &mut noise, alpha, behind);
    let mut corrected = mask(alpha);
    let area = [shadow[0] + 8.0, shadow[1], shadow[2], shadow[3]];
    scene.correct(&p.frame(), &mut corrected, MW, MH);
    assert!(mean(&corrected, area) < 0.05, "{}", mean(&corrected, area));
    // As much darker, and of another chroma: something is there.
    let other = |x, y| {
        let [l, u, v] = behind(x, y);
        if in_box(x, y, shadow) { [l, u + 30.0, v - 30.0] } else { [l, u, v] }
    };
    let p = mixed(Format::I420, &mut noise, alpha, other);
    let mut corrected = mask(alpha);
    scene.correct(&p.frame(), &mut corrected, MW, MH);
    assert!(mean(&corrected, area) > 0.5, "{}", mean(&corrected, area));
}

#[test]
fn what_is_put_into_the_room_becomes_a_part_of_it() {
    let mut noise = Noise(5);
    let mut scene = accustomed(Format::I420, &mut noise, 24);
    let chair = [540.0, 120.0, 620.0, 300.0];
    let behind = |x, y| if in_box(x, y, chair) { [200.0, 110.0, 150.0] } else { room(x, y) };
    for n in 24..70 {
        let alpha = disc(place(n), 60.0);
        let p = mixed(Format::I420, &mut noise, alpha, behind);
        scene.correct(&p.frame(), &mut mask(alpha), MW, MH);
    }
    // The subject comes up to it.
    let alpha = disc(485.0, 60.0);
    let p = mixed(Format::I420, &mut noise, alpha, behind);
    let mut corrected = mask(alpha);
    scene.correct(&p.frame(), &mut corrected, MW, MH);
    let area = [chair[0] + 20.0, chair[1], chair[2], chair[3]];
    assert!(mean(&corrected, area) < 0.05, "{}", mean(&corrected, area));
}

#[test]
fn a_screen_that_begins_to_flicker_is_soon_a_part_of_the_room() {
    let mut noise = Noise(9);
    let mut scene = accustomed(Format::I420, &mut noise, 24);
    let screen = [456.0, 140.0, 520.0, 220.0];
    let alpha = disc(place(24), 60.0);
    for n in 0..80 {
        let bright = if n % 2 == 0 { 190.0 } else { 220.0 };
        let behind = |x, y| if in_box(x, y, screen) { [bright, 110.0, 150.0] } else { room(x, y) };
        let p = mixed(Format::I420, &mut noise, alpha, behind);
        let mut corrected = mask(alpha);
        scene.correct(&p.frame(), &mut corrected, MW, MH);
        // At each of its phases.
        assert!(n < 72 || mean(&corrected, screen) < 0.05, "frame {n}: {}", mean(&corrected, screen));
    }
}

#[test]
fn a_subject_that_was_missed_at_first_is_not_held_to_be_background() {
    let (mut noise, mut scene) = (Noise(6), Scene::new());
    let alpha = disc(320.0, 60.0);
    let body = [290.0, 150.0, 350.0, 210.0];
    let mut corrected = Vec::new();
    for n in 0..40 {
        // It does not move, and the network sees it from frame 8 on.
        let p = mixed(Format::I420, &mut noise, alpha, room);
        corrected = if n < 8 { mask(|_, _| 0.0) } else { mask(alpha) };
        scene.correct(&p.frame(), &mut corrected, MW, MH);
    }
    assert!(mean(&corrected, body) > 0.95, "{}", mean(&corrected, body));
}

#[test]
fn an_edge_is_where_the_colours_say() {
    for format in [Format::I420, Format::Rgba] {
        let mut noise = Noise(7);
        let mut scene = accustomed(format, &mut noise, 24);
        // A soft edge, that the matte has three pixels too far out.
        let soft = |radius: f32| {
            let cx = place(24);
            move |x: f32, y: f32| ((radius - (x - cx).hypot(y - H as f32 / 2.0)) / 6.0 + 0.5).clamp(0.0, 1.0)
        };
        let (truth, wrong) = (soft(60.0), soft(63.0));
        let p = mixed(format, &mut noise, truth, room);
        scene.correct(&p.frame(), &mut mask(truth), MW, MH);
        let bytes = |alpha: &dyn Fn(f32, f32) -> f32| -> Vec<u8> {
            (0..W * H).map(|i| (alpha((i % W) as f32, (i / W) as f32) * 255.0).round() as u8).collect()
        };
        let (truth, mut matte) = (bytes(&truth), bytes(&wrong));
        let off = |m: &[u8]| m.iter().zip(&truth).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
        let before = off(&matte);
        scene.refine(&p.frame(), false, &mut matte);
        assert!(off(&matte) < 0.5 * before, "{format:?}: {before} → {}", off(&matte));
    }
}

#[test]
fn a_reset_forgets_and_odd_input_is_left_alone() {
    let mut noise = Noise(8);
    let mut scene = accustomed(Format::I420, &mut noise, 24);
    scene.reset();
    let alpha = disc(place(24), 60.0);
    let p = mixed(Format::I420, &mut noise, alpha, room);
    let ghost = mask(|x, y| if in_box(x, y, GHOST) { 0.9 } else { alpha(x, y) });
    let mut after = ghost.clone();
    scene.correct(&p.frame(), &mut after, MW, MH);
    assert!(ghost == after);
    // A mask of another size than is said, and a matte of another size than the frame.
    scene.correct(&p.frame(), &mut after[..100], MW, MH);
    scene.refine(&p.frame(), false, &mut [0; 100]);
    for (w, h) in [(1, 1), (2, 3), (17, 5), (481, 483)] {
        for format in Format::ALL {
            let p = Picture::new(format, w, h);
            let (mut mask, mut alpha) = (vec![0.5; 6], vec![128; w * h]);
            for _ in 0..10 {
                scene.correct(&p.frame(), &mut mask, 3, 2);
                scene.refine(&p.frame(), false, &mut alpha);
            }
        }
    }
}

/// While a camera moves most frames are let pass; where it comes to stand, the scene is learnt as at first.
#[test]
fn a_camera_that_has_moved_is_looked_at_again() {
    let (mut noise, mut scene) = (Noise(9), Scene::new());
    let nobody = |_: f32, _: f32| 0.0;
    let (mut still, mut passed) = (Vec::new(), Vec::new());
    for n in 0..60 {
        // A pan of 30 frames.
        let far = 7.0 * n.min(30) as f32;
        let p = mixed(Format::I420, &mut noise, nobody, |x, y| room(x + far, y));
        passed.push(scene.pass > 0);
        scene.correct(&p.frame(), &mut mask(nobody), MW, MH);
        still.push(scene.is_known());
    }
    assert_eq!(passed[8..28].iter().filter(|p| **p).count(), 15, "{passed:?}");
    assert!(passed[40..].iter().all(|p| !p), "{passed:?}");
    assert!(still[10..30].iter().all(|s| !s), "{still:?}");
    assert!(still[36..].iter().all(|s| *s), "{still:?}");
}

#[test]
fn what_is_behind_can_be_had_at_any_size() {
    for format in [Format::I420, Format::Rgb, Format::Gray8] {
        let mut noise = Noise(8);
        let mut scene = accustomed(format, &mut noise, 40);
        let p = mixed(format, &mut noise, disc(place(40), 60.0), room);
        let frame = p.frame();
        scene.correct(&frame, &mut mask(disc(place(40), 60.0)), MW, MH);
        let behind = scene.behind(&frame).unwrap();
        let empty = picture(format, &mut noise, room);
        let mut part = Part::default();
        // Where the disc was at first, and where it never was: as it is, smaller, and larger.
        for (area, size) in [
            ((120, 40, 96, 64), (96, 64)),
            ((440, 20, 192, 96), (128, 64)),
            ((0, 0, 96, 48), (64, 32)),
            ((544, 296, 96, 64), (32, 16)),
        ] {
            assert!(part.fill(&behind, area, size), "{format:?}, {area:?}");
            let (x, y, w, h) = area;
            let mut sampler = crate::sample::Sampler::default();
            let truth = sampler.sample(&empty.frame().part(x, y, w, h), size.0, size.1);
            let known = part.known.iter().filter(|k| **k == 1.0).count();
            assert!(known * 10 > part.known.len() * 9, "{format:?}, {area:?}: {known}");
            for (ours, truth) in part.rgb.iter().zip(truth) {
                assert_eq!(ours.len(), truth.len());
                let pairs = ours.iter().zip(truth).zip(&part.known).filter(|p| *p.1 == 1.0);
                let off: f32 = pairs.map(|((a, b), _)| (a - b).abs()).sum::<f32>() / known as f32;
                // Sensor noise alone is 1.5 on average, less where it is brought down.
                assert!(off < 2.5, "{format:?}, {area:?}: {off}");
            }
        }
        // Of a scene that has only begun nothing is known.
        let begun = accustomed(format, &mut noise, 3);
        let knows = |b| part.fill(&b, (0, 0, W, H), (64, 32));
        assert!(!begun.behind(&frame).is_some_and(knows), "{format:?}");
    }
    let scene = Scene::new();
    assert!(scene.behind(&picture(Format::Rgb, &mut Noise(1), room).frame()).is_none());
}
