use super::*;
use crate::frame::{Color, Format, Plane};

const WIDTH: usize = 320;
const HEIGHT: usize = 180;

/// Somebody: a head on shoulders that go down to the lower edge, so high and in such clothes, whose middle is at `x`.
#[derive(Clone, Copy)]
struct Person {
    x: f32,
    height: f32,
    clothes: [u8; 3],
}

const RED: [u8; 3] = [190, 50, 40];
const BLUE: [u8; 3] = [50, 80, 180];
const GREEN: [u8; 3] = [60, 150, 70];

fn person(x: f32, clothes: [u8; 3]) -> Person {
    Person { x, height: 120.0, clothes }
}

impl Person {
    /// How far a pixel is inside of them, in pixels; what it shows.
    fn at(&self, x: f32, y: f32) -> (f32, [u8; 3]) {
        let h = self.height;
        let top = HEIGHT as f32 - h;
        let head = {
            let (dx, dy) = (x - self.x, (y - (top + 0.18 * h)) * 0.8);
            0.15 * h - dx.hypot(dy)
        };
        let body = (0.27 * h - (x - self.x).abs()).min(y - (top + 0.4 * h));
        let neck = (0.07 * h - (x - self.x).abs()).min(y - (top + 0.2 * h));
        if head.max(neck) > body { (head.max(neck), [214, 164, 138]) } else { (body, self.clothes) }
    }
}

/// The people of a frame, the last one before the others: the mask that a network gives, and the picture.
fn picture(people: &[Person]) -> (Mask, Vec<u8>) {
    let mut rgb = Vec::new();
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            // A wall with a shade.
            let mut here = [100 + (x / 8) as u8, 110, 120];
            for p in people {
                let (depth, color) = p.at(x as f32, y as f32);
                if depth > 0.0 {
                    // Folds.
                    let fold = ((x + 2 * y) % 13) as u8;
                    here = color.map(|v| v - fold);
                }
            }
            rgb.extend(here);
        }
    }
    let (width, height) = (256, 144);
    let data = (0..width * height)
        .map(|i| {
            let (x, y) = ((i % width) as f32 * 1.25 + 0.6, (i / width) as f32 * 1.25 + 0.6);
            let depth = people.iter().map(|p| p.at(x, y).0).fold(f32::MIN, f32::max);
            (0.5 + depth / 4.0).clamp(0.0, 1.0)
        })
        .collect();
    (Mask { width, height, data }, rgb)
}

fn asked(wanted: &Wanted, regions: &[Region]) -> Asked {
    Asked { wanted: wanted.clone(), number: 0, regions: regions.to_vec() }
}

/// A stream of frames.
#[derive(Default)]
struct Stream(Subjects);

impl Stream {
    /// How much of each person's own place is left, those before them taken off; and who was found.
    fn see(&mut self, people: &[Person], wanted: &Wanted, regions: &[Region]) -> (Vec<f32>, Found) {
        let (mut mask, rgb) = picture(people);
        let empty = Plane { data: &[], stride: 0 };
        let planes = [Plane { data: &rgb, stride: WIDTH * 3 }, empty, empty, empty];
        let frame = Frame { format: Format::Rgb, color: Color::BT709, width: WIDTH, height: HEIGHT, planes };
        let found = self.0.keep(&mut mask, &frame, &asked(wanted, regions), false, None);
        let left = |n: usize| {
            let (mut sum, mut all) = (0.0, 0.0f32);
            for (i, v) in mask.data.iter().enumerate() {
                let (x, y) = ((i % mask.width) as f32 * 1.25 + 0.6, (i / mask.width) as f32 * 1.25 + 0.6);
                let hidden = people[n + 1..].iter().any(|p| p.at(x, y).0 > -2.0);
                if people[n].at(x, y).0 > 2.0 && !hidden {
                    (sum, all) = (sum + v, all + 1.0);
                }
            }
            sum / all.max(1.0)
        };
        ((0..people.len()).map(left).collect(), found)
    }
}

fn numbers(found: &Found) -> Vec<u32> {
    let mut all: Vec<u32> = found.seen.iter().map(|s| s.number).collect();
    all.sort_unstable();
    all
}

#[test]
fn texts_mean_what_they_say_and_are_written_as_they_are_read() {
    for (text, wanted) in [
        ("all", Wanted::All),
        ("", Wanted::All),
        ("largest", Wanted::Largest),
        ("nearest:0.25,0.5", Wanted::Nearest(0.25, 0.5)),
        (" nearest: 0 , 1 ", Wanted::Nearest(0.0, 1.0)),
        ("box:0.1,0.2,0.3,0.7", Wanted::Box([0.1, 0.2, 0.3, 0.7])),
        ("meta", Wanted::Meta(None)),
        ("meta:person", Wanted::Meta(Some("person".into()))),
    ] {
        assert_eq!(Wanted::parse(text).unwrap(), wanted, "{text}");
        assert_eq!(Wanted::parse(&wanted.to_string()).unwrap(), wanted);
    }
    for (text, why) in [
        ("nearest", "neither"),
        ("nearest:1.5,0", "0 to 1"),
        ("nearest:0.5", "X,Y"),
        ("nearest:nan,0", "X,Y"),
        ("box:0.5,0.5,0.6,0.2", "not in the frame"),
        ("box:0.5,0.5,0,0.2", "neither width nor height"),
        ("box:0,0,nan,1", "neither width nor height"),
        ("box:1,2", "X,Y,WIDTH,HEIGHT"),
        ("meta:", "neither"),
        ("smallest", "neither"),
    ] {
        assert!(Wanted::parse(text).is_err_and(|e| e.text.contains(why)), "{text}");
    }
}

#[test]
fn one_of_two_is_kept_and_the_other_goes() {
    let people = [person(80.0, RED), Person { height: 90.0, ..person(240.0, BLUE) }];
    for (wanted, left) in [
        (Wanted::Largest, [1.0, 0.0]),
        (Wanted::Nearest(0.75, 0.9), [0.0, 1.0]),
        (Wanted::Nearest(0.95, 0.1), [0.0, 1.0]),
        (Wanted::Nearest(0.2, 0.1), [1.0, 0.0]),
        (Wanted::Box([0.6, 0.4, 0.4, 0.6]), [0.0, 1.0]),
        (Wanted::Box([0.0, 0.0, 1.0, 1.0]), [1.0, 1.0]),
        (Wanted::Box([0.45, 0.0, 0.05, 0.05]), [0.0, 0.0]),
        (Wanted::All, [1.0, 1.0]),
    ] {
        let (got, found) = Stream::default().see(&people, &wanted, &[]);
        assert!(got.iter().zip(left).all(|(a, b)| (a - b).abs() < 0.02), "{wanted}: {got:?}");
        assert_eq!(numbers(&found), [1, 2], "{wanted}");
        assert_eq!(found.is_missing(), left == [0.0, 0.0], "{wanted}");
    }
}

#[test]
fn who_touches_is_parted_and_a_head_stays_on_its_shoulders() {
    // Their sleeves overlap.
    let people = [person(120.0, RED), person(180.0, BLUE)];
    let (left, found) = Stream::default().see(&people, &Wanted::Nearest(0.3, 0.7), &[]);
    assert_eq!(numbers(&found).len(), 2, "{found:?}");
    assert!(left[0] > 0.95 && left[1] < 0.05, "{left:?}");
    let (_, found) = Stream::default().see(&people[..1], &Wanted::Largest, &[]);
    assert_eq!(numbers(&found), [1], "{found:?}");
}

#[test]
fn numbers_are_kept_when_they_cross() {
    for wanted in [Wanted::Nearest(0.1, 0.8), Wanted::Nearest(0.9, 0.8)] {
        let mut stream = Stream::default();
        let own = usize::from(wanted != Wanted::Nearest(0.1, 0.8));
        for n in 0..80 {
            let x = 40.0 + 3.0 * n as f32;
            // Red goes right, behind blue, who goes left.
            let people = [person(x, RED), person(320.0 - x, BLUE)];
            let (left, found) = stream.see(&people, &wanted, &[]);
            assert!(numbers(&found).iter().all(|n| *n <= 2), "{n}: {found:?}");
            // Where they overlap little, or not.
            if !(24..=52).contains(&n) {
                assert!(left[own] > 0.9 && left[1 - own] < 0.1, "{wanted} {n}: {left:?}");
            } else {
                assert!(
                    left[1 - own] < 0.3 || (people[0].x - people[1].x).abs() < 20.0,
                    "{wanted} {n}: {left:?}"
                );
            }
        }
    }
}

#[test]
fn one_of_three_leaves_and_comes_back() {
    let mut stream = Stream::default();
    let wanted = Wanted::Nearest(0.9, 0.8);
    let mut gone = 0;
    for n in 0..120 {
        // Blue leaves to the right, stays away, and comes back there.
        let away = match n {
            0..20 => 0.0,
            20..50 => (n - 20) as f32 * 4.0,
            50..80 => 120.0,
            _ => (110 - n).max(0) as f32 * 4.0,
        };
        let mut people = vec![person(60.0, RED), person(150.0, GREEN)];
        people.push(person(270.0 + away, BLUE));
        let (left, found) = stream.see(&people, &wanted, &[]);
        assert!(left[0] < 0.05 && left[1] < 0.05, "{n}: {left:?}");
        gone += usize::from(found.is_missing());
        if !(30..105).contains(&n) {
            assert!(left[2] > 0.9, "{n}: {left:?}");
            assert_eq!(numbers(&found), [1, 2, 3], "{n}");
        }
    }
    assert!((25..70).contains(&gone), "{gone}");
    // Somebody else comes from there, and is not taken for them.
    for n in 0..60 {
        let away = if n < 25 { n as f32 * 5.0 } else { (60 - n) as f32 * 3.5 };
        let clothes = if n < 25 { BLUE } else { [225, 220, 90] };
        let people = [person(60.0, RED), person(150.0, GREEN), person(270.0 + away, clothes)];
        let (left, found) = stream.see(&people, &wanted, &[]);
        if n > 50 {
            assert!(left[2] < 0.1 && found.is_missing(), "{n}: {left:?} {found:?}");
        }
    }
    // Another scene: whoever is there is nearest.
    stream.0.reset();
    let (left, _) = stream.see(&[person(60.0, RED)], &wanted, &[]);
    assert!(left[0] > 0.95);
}

#[test]
fn the_largest_stays_the_largest_until_another_is_for_long() {
    let mut stream = Stream::default();
    let size = |n: usize| if n < 10 || n == 20 { 100.0 } else { 170.0 };
    for n in 0..70 {
        let people = [
            Person { height: 120.0, ..person(70.0, RED) },
            Person { height: size(n), ..person(230.0, BLUE) },
        ];
        let (left, _) = stream.see(&people, &Wanted::Largest, &[]);
        let first = n < 21 + PATIENCE as usize - 1;
        let own = usize::from(!first);
        assert!(left[own] > 0.9 && left[1 - own] < 0.1, "{n}: {left:?}");
    }
    // Who has gone is given up after a while.
    let mut seen = Vec::new();
    for _ in 0..40 {
        let (left, _) = stream.see(&[person(70.0, RED)], &Wanted::Largest, &[]);
        seen.push(left[0] > 0.9);
    }
    assert!(!seen[20] && seen[39], "{seen:?}");
}

#[test]
fn who_a_detector_has_found_is_kept() {
    let people = [person(80.0, RED), person(150.0, GREEN), person(260.0, BLUE)];
    let region = |x: f32, class: &str, id| Region {
        bounds: [(x - 34.0) / 320.0, 58.0 / 180.0, (x + 34.0) / 320.0, 1.0],
        class: class.into(),
        id: Some(id),
    };
    let regions = [region(80.0, "person", 7), region(260.0, "dog", 8)];
    let of = |text: &str| Wanted::parse(text).unwrap();
    for (text, left) in [
        ("meta", [1.0, 0.0, 1.0]),
        ("meta:person", [1.0, 0.0, 0.0]),
        ("meta:8", [0.0, 0.0, 1.0]),
        ("meta:cat", [0.0; 3]),
    ] {
        let (got, found) = Stream::default().see(&people, &of(text), &regions);
        assert!(got.iter().zip(left).all(|(a, b)| (a - b).abs() < 0.1), "{text}: {got:?}");
        assert_eq!(found.is_missing(), left == [0.0; 3], "{text}");
    }
    // Two that are one to the mask are parted by the box. And a detector that looks at each tenth frame is enough, one that has
    // found nobody for a second is not.
    let close = [person(130.0, RED), person(170.0, GREEN)];
    let mut stream = Stream::default();
    for n in 0..60u32 {
        let seen = if n % 10 == 0 && n < 20 { &[region(130.0, "person", 7)][..] } else { &[] };
        let (left, _) = stream.see(&close, &of("meta"), seen);
        if n <= 10 + PATIENCE {
            // The second one stands before the first.
            assert!(left[0] > 0.9 && left[1] < 0.55, "{n}: {left:?}");
        } else {
            assert!(left.iter().all(|v| *v < 0.01), "{n}: {left:?}");
        }
    }
}

#[test]
fn any_mask_is_taken() {
    let rgb = vec![90u8; 16 * 3000 * 3];
    let empty = Plane { data: &[], stride: 0 };
    // One stream, whose frames change their size.
    let mut subjects = Subjects::default();
    for (width, height, w, h) in
        [(16, 16, 1, 1), (3000, 16, 256, 144), (16, 3000, 7, 960), (40, 30, 900, 700)]
    {
        let planes = [Plane { data: &rgb, stride: width * 3 }, empty, empty, empty];
        let frame = Frame { format: Format::Rgb, color: Color::BT709, width, height, planes };
        for (n, fill) in [1.0, 0.0, 0.6, f32::NAN, 0.3].into_iter().enumerate() {
            let mut mask = Mask { width: w, height: h, data: vec![fill; w * h] };
            // Many of a few samples each.
            mask.data.iter_mut().step_by(n + 2).for_each(|v| *v = 1.0 - *v);
            for wanted in [Wanted::Largest, Wanted::Nearest(1.0, 1.0), Wanted::Meta(None)] {
                subjects.keep(&mut mask, &frame, &asked(&wanted, &[]), false, Some([0.5, 0.0, 1.0, 0.5]));
                let (map, across) = subjects.map();
                assert!(map.len().is_multiple_of(across));
            }
        }
    }
}

#[test]
fn nobody_takes_the_place_of_who_is_lost_for_a_moment() {
    // Both wear the same, and stand apart.
    let both = [person(80.0, RED), person(240.0, RED)];
    let mut stream = Stream::default();
    let wanted = Wanted::Nearest(0.2, 0.8);
    for n in 0..40 {
        let people = if n == 20 { &both[1..] } else { &both[..] };
        let (left, found) = stream.see(people, &wanted, &[]);
        if n == 20 {
            assert!(found.is_missing() && left[0] < 0.01);
        } else {
            assert!(left[0] > 0.95 && left[1] < 0.01, "{n}: {left:?}");
        }
    }
}

#[test]
fn who_passes_by_is_not_taken_for_a_part() {
    let mut stream = Stream::default();
    for n in 0..70 {
        // Smaller, in another colour, enters at the right and walks past behind the chosen one.
        let passes = Person { height: 80.0, ..person(330.0 - 5.0 * n as f32, BLUE) };
        let (left, _) = stream.see(&[passes, person(270.0, RED)], &Wanted::Nearest(0.85, 0.8), &[]);
        assert!(left[1] > 0.9, "{n}: {left:?}");
        if n > 22 {
            assert!(left[0] < 0.1, "{n}: {left:?}");
        }
    }
}

#[test]
fn who_was_known_before_keeps_the_number_by_which_they_were_chosen() {
    let mut stream = Stream::default();
    let away = |n: usize| Person { height: 120.0, ..person(270.0 + n as f32 * 4.0, BLUE) };
    for n in 0..60 {
        stream.see(&[person(60.0, RED), away(n.min(40))], &Wanted::Largest, &[]);
    }
    // Back at the edge as somebody new, and clicked there before they are known again.
    let wanted = Wanted::Nearest(0.99, 0.9);
    for n in (0..24).rev() {
        let (left, _) = stream.see(&[person(60.0, RED), away(n)], &wanted, &[]);
        assert!(n > 18 || left[1] > 0.85 && left[0] < 0.05, "{n}: {left:?}");
    }
}
