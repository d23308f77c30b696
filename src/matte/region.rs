//! Where to look: a small subject gets the network's whole resolution.
//!
//! A network of 256×144 sees a person who takes a fifth of the frame's height as 29 rows, or not at
//! all. Once such a subject is found, later frames are cut to a padded region of the frame's shape
//! around it, which follows it. The region stays where it is as long as the subject is well inside,
//! since every move shifts the sampling grid and makes the matte flicker. From time to time the
//! whole frame is looked at, so that a newcomer is seen; while nobody is seen, one window of a grid
//! of smaller ones is tried on each frame.

use crate::mask::Mask;

/// A part of a frame, in pixels; `x` and `y` are even, so that subsampled chroma starts there, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

impl Region {
    /// All of a frame.
    pub fn whole((width, height): (usize, usize)) -> Self {
        Self { x: 0, y: 0, width, height }
    }
}

/// Frames between two looks at the whole frame.
const WHOLE_EVERY: u32 = 15;
/// A subject larger than this part of the frame, in either direction, needs no region.
const SMALL: f64 = 0.5;
/// The region's size over the subject's.
const PADDING: f64 = 1.6;
/// Free space that is left at each side before the region moves, as a part of its size.
const MARGIN: f64 = 0.1;
/// The smallest region, as a part of the frame: beyond, there is nothing more to see.
const LEAST: f64 = 0.12;
/// Fewer pixels of a mask than this part of it are no subject.
const SPECK: f64 = 0.002;

/// What to do with the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Run on the whole frame.
    Whole,
    /// Run on a part of it.
    At(Region),
    /// Run on a part of it, and look at the whole frame as well for a newcomer.
    AtAndAround(Region),
}

/// Decides where the network looks. Fed with each mask, it names the place for the next frame.
#[derive(Debug, Default)]
pub struct Tracker {
    frame: (usize, usize),
    region: Option<Region>,
    since_whole: u32,
    /// The next window to try while nobody is seen.
    window: usize,
}

/// A rectangle in parts of the frame: left, top, right, bottom.
type Bounds = [f64; 4];

impl Tracker {
    /// Forgets the subject.
    pub fn reset(&mut self) {
        *self = Self { frame: self.frame, ..Self::default() };
    }

    /// Where to look on a frame of this size.
    pub fn look(&mut self, width: usize, height: usize) -> Look {
        if self.frame != (width, height) {
            self.frame = (width, height);
            self.reset();
        }
        match self.region {
            None => Look::Whole,
            Some(r) => {
                self.since_whole += 1;
                if self.since_whole >= WHOLE_EVERY {
                    self.since_whole = 0;
                    Look::AtAndAround(r)
                } else {
                    Look::At(r)
                }
            }
        }
    }

    /// Takes the mask of the whole frame. Gives a region when the subject is small and deserves one.
    pub fn saw_whole(&mut self, mask: &Mask) -> Option<Region> {
        let frame = Region::whole(self.frame);
        self.since_whole = 0;
        self.region = bounds(mask, frame, self.frame).filter(is_small).and_then(|b| self.around(&b));
        self.region
    }

    /// A window to try when the whole frame's mask shows nobody; another one each time.
    pub fn search(&mut self, mask: &Mask) -> Option<Region> {
        let frame = Region::whole(self.frame);
        if bounds(mask, frame, self.frame).is_some() {
            return None;
        }
        // Nine windows of half the frame's size, overlapping by half.
        let (i, j) = (self.window % 3, self.window / 3 % 3);
        self.window += 1;
        let at = |n: usize| 0.25 * n as f64;
        self.place(at(i), at(j), 0.5)
    }

    /// Takes the mask of a window that was tried. Gives a region if a subject is in it.
    pub fn found(&mut self, mask: &Mask, window: Region) -> Option<Region> {
        // A guess on a picture without people is pale; a person is solid.
        let solid = mask.data.iter().filter(|v| **v > 0.9).count();
        let pale = mask.data.iter().filter(|v| **v > 0.3).count();
        if (solid as f64) < 0.03 * mask.data.len() as f64 || (solid as f64) < 0.7 * pale as f64 {
            return None;
        }
        self.region = bounds(mask, window, self.frame).filter(is_small).and_then(|b| self.around(&b));
        self.region
    }

    /// Takes the mask of the region, which `covers` it or more; moves or gives up the region for the next frame.
    pub fn saw_region(&mut self, mask: &Mask, covers: Region, region: Region) {
        let Some(b) = bounds(mask, covers, self.frame) else {
            self.region = None;
            return;
        };
        let (fw, fh) = (self.frame.0 as f64, self.frame.1 as f64);
        let own = [
            region.x as f64 / fw,
            region.y as f64 / fh,
            (region.x + region.width) as f64 / fw,
            (region.y + region.height) as f64 / fh,
        ];
        let (w, h) = (own[2] - own[0], own[3] - own[1]);
        // At the frame's edge there is nothing to make room for.
        let tight = (b[0] - own[0] < MARGIN * w && own[0] > 0.0)
            || (b[1] - own[1] < MARGIN * h && own[1] > 0.0)
            || (own[2] - b[2] < MARGIN * w && own[2] < 1.0 - 1.0 / fw)
            || (own[3] - b[3] < MARGIN * h && own[3] < 1.0 - 1.0 / fh);
        let loose = (b[2] - b[0]).max(b[3] - b[1]) * PADDING < 0.6 * w && w > LEAST * 1.5;
        if tight || loose {
            self.region = if is_small(&b) { self.around(&b) } else { None };
        }
    }

    /// Takes a look at the whole frame while a region is in force. Gives `true` when there is a subject
    /// outside the region, which is given up then.
    pub fn saw_around(&mut self, mask: &Mask, region: Region) -> bool {
        let (fw, fh) = (self.frame.0 as f64, self.frame.1 as f64);
        let (x0, x1) = (region.x as f64 / fw, (region.x + region.width) as f64 / fw);
        let (y0, y1) = (region.y as f64 / fh, (region.y + region.height) as f64 / fh);
        let outside = mask
            .data
            .iter()
            .enumerate()
            .filter(|(i, v)| {
                let x = ((i % mask.width) as f64 + 0.5) / mask.width as f64;
                let y = ((i / mask.width) as f64 + 0.5) / mask.height as f64;
                **v > 0.5 && !((x0..x1).contains(&x) && (y0..y1).contains(&y))
            })
            .count();
        let newcomer = outside as f64 > SPECK * mask.data.len() as f64;
        if newcomer {
            self.region = None;
        }
        newcomer
    }

    /// A padded region of the frame's shape around a subject; `None` if it would be most of the frame.
    fn around(&self, b: &Bounds) -> Option<Region> {
        let size = ((b[2] - b[0]).max(b[3] - b[1]) * PADDING).max(LEAST);
        if size > 0.85 {
            return None;
        }
        let (cx, cy) = ((b[0] + b[2]) / 2.0, (b[1] + b[3]) / 2.0);
        self.place((cx - size / 2.0).clamp(0.0, 1.0 - size), (cy - size / 2.0).clamp(0.0, 1.0 - size), size)
    }

    fn place(&self, x: f64, y: f64, size: f64) -> Option<Region> {
        let (fw, fh) = self.frame;
        let side = |n: usize| ((size * n as f64).round() as usize).clamp(16.min(n), n);
        let (width, height) = (side(fw), side(fh));
        let even = |part: f64, n: usize, side: usize| ((part * n as f64) as usize).min(n - side) & !1;
        let region = Region { x: even(x, fw, width), y: even(y, fh, height), width, height };
        (region.width >= 16 && region.height >= 16).then_some(region)
    }
}

fn is_small(b: &Bounds) -> bool {
    b[2] - b[0] < SMALL && b[3] - b[1] < SMALL
}

/// The subject's bounds in parts of the frame, from a mask of a region; `None` when there is nobody.
fn bounds(mask: &Mask, region: Region, frame: (usize, usize)) -> Option<Bounds> {
    let (mut x0, mut y0, mut x1, mut y1) = (usize::MAX, usize::MAX, 0, 0);
    let mut count = 0;
    for (y, row) in mask.data.chunks_exact(mask.width).enumerate() {
        let Some(first) = row.iter().position(|v| *v > 0.5) else { continue };
        let last = row.iter().rposition(|v| *v > 0.5).unwrap_or(first);
        count += row[first..=last].iter().filter(|v| **v > 0.5).count();
        (x0, x1) = (x0.min(first), x1.max(last + 1));
        (y0, y1) = (y0.min(y), y1.max(y + 1));
    }
    if (count as f64) < SPECK * mask.data.len() as f64 {
        return None;
    }
    let x =
        |v: usize| (region.x as f64 + v as f64 / mask.width as f64 * region.width as f64) / frame.0 as f64;
    let y =
        |v: usize| (region.y as f64 + v as f64 / mask.height as f64 * region.height as f64) / frame.1 as f64;
    Some([x(x0), y(y0), x(x1), y(y1)])
}

/// Samples of the whole frame's mask along its longer side, at most, unless the network's own has more: beyond,
/// refinement finds by the frame's own pixels what the mask would tell it, and all that follows gets slower with each.
const FINEST: usize = 960;

/// Puts the mask of a region into one of the whole frame, at the region's own resolution up to [`FINEST`], and no
/// finer than the frame.
pub fn paste(part: &Mask, region: Region, frame: (usize, usize), whole: &mut Mask) {
    let longer = frame.0.max(frame.1).max(1);
    let grid = |n: usize, all: usize, side: usize| {
        let own = ((n * all) as f64 / side as f64).round() as usize;
        own.min(n.max(all * FINEST.min(longer) / longer)).max(1)
    };
    whole.width = grid(part.width, frame.0, region.width);
    whole.height = grid(part.height, frame.1, region.height);
    whole.data.clear();
    whole.data.resize(whole.width * whole.height, 0.0);
    let columns = taps(part.width, region.x, region.width, frame.0, whole.width);
    let rows = taps(part.height, region.y, region.height, frame.1, whole.height);
    let Some(left) = columns.first().map(|t| t.at) else { return };
    // Across first, row by row of the part.
    let mut across = vec![0.0; columns.len() * part.height];
    for (from, to) in part.data.chunks_exact(part.width).zip(across.chunks_exact_mut(columns.len())) {
        for (to, tap) in to.iter_mut().zip(&columns) {
            *to = tap.weights.iter().zip(&from[tap.first..]).map(|(w, v)| w * v).sum();
        }
    }
    for tap in &rows {
        let to = &mut whole.data[tap.at * whole.width + left..][..columns.len()];
        for (w, from) in tap.weights.iter().zip(across.chunks_exact(columns.len()).skip(tap.first)) {
            to.iter_mut().zip(from).for_each(|(to, v)| *to += w * v);
        }
    }
}

/// What a sample of the whole frame's mask is made of, along one axis.
struct Tap {
    /// Where the sample is.
    at: usize,
    /// The part's samples from this one on, by weight. Beyond the part there is nothing.
    first: usize,
    weights: Vec<f32>,
}

/// The samples of the whole frame's mask that a part of `n` samples over `side` of `all` pixels reaches: bilinear, or
/// a triangle as wide as a sample where the mask is coarser than the part.
fn taps(n: usize, start: usize, side: usize, all: usize, whole: usize) -> Vec<Tap> {
    // Samples of the part in one of the whole.
    let step = (all * n) as f64 / (side * whole) as f64;
    let wide = step.max(1.0);
    let origin = (start * n) as f64 / side as f64;
    (0..whole)
        .filter_map(|at| {
            let centre = (at as f64 + 0.5) * step - origin - 0.5;
            let (low, high) = ((centre - wide).floor() as isize + 1, (centre + wide).ceil() as isize);
            let weight = |i: isize| (1.0 - (i as f64 - centre).abs() / wide).max(0.0);
            let sum: f64 = (low..high).map(weight).sum();
            let (from, to) = (low.max(0), high.min(n as isize));
            let weights: Vec<f32> = (from..to).map(|i| (weight(i) / sum) as f32).collect();
            (!weights.is_empty()).then_some(Tap { at, first: from as usize, weights })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mask of a region with a box in it, which is given in parts of the frame.
    fn mask(region: Region, frame: (usize, usize), subject: Bounds) -> Mask {
        let (width, height) = (160, 90);
        let data = (0..width * height)
            .map(|i| {
                let x = (region.x as f64 + ((i % width) as f64 + 0.5) / 160.0 * region.width as f64)
                    / frame.0 as f64;
                let y = (region.y as f64 + ((i / width) as f64 + 0.5) / 90.0 * region.height as f64)
                    / frame.1 as f64;
                let inside = (subject[0]..subject[2]).contains(&x) && (subject[1]..subject[3]).contains(&y);
                if inside { 1.0 } else { 0.0 }
            })
            .collect();
        Mask { width, height, data }
    }

    const FRAME: (usize, usize) = (1280, 720);
    const WHOLE: Region = Region { x: 0, y: 0, width: 1280, height: 720 };

    fn contains(r: Region, b: Bounds) -> bool {
        r.x as f64 <= b[0] * 1280.0
            && r.y as f64 <= b[1] * 720.0
            && (r.x + r.width) as f64 >= b[2] * 1280.0
            && (r.y + r.height) as f64 >= b[3] * 720.0
    }

    #[test]
    fn a_large_subject_is_seen_on_the_whole_frame() {
        let mut t = Tracker::default();
        assert_eq!(t.look(1280, 720), Look::Whole);
        assert_eq!(t.saw_whole(&mask(WHOLE, FRAME, [0.2, 0.1, 0.8, 1.0])), None);
        assert_eq!(t.look(1280, 720), Look::Whole);
    }

    #[test]
    fn a_small_subject_gets_a_region_that_follows_it() {
        let mut t = Tracker::default();
        t.look(1280, 720);
        let mut subject = [0.5, 0.5, 0.58, 0.7];
        let mut region = t.saw_whole(&mask(WHOLE, FRAME, subject)).unwrap();
        assert!(contains(region, subject) && region.width < 1280 / 2);
        let mut moves = 0;
        for _ in 0..40 {
            subject = [subject[0] - 0.01, subject[1], subject[2] - 0.01, subject[3]];
            let (Look::At(r) | Look::AtAndAround(r)) = t.look(1280, 720) else { panic!("lost") };
            moves += usize::from(r != region);
            region = r;
            assert!(contains(r, subject), "{r:?} {subject:?}");
            assert!(r.x % 2 == 0 && r.y % 2 == 0 && r.x + r.width <= 1280 && r.y + r.height <= 720);
            t.saw_region(&mask(r, FRAME, subject), r, r);
        }
        assert!(moves < 12, "it moves seldom: {moves}");
        // Gone: back to the whole frame.
        t.saw_region(&mask(region, FRAME, [0.0; 4]), region, region);
        assert_eq!(t.look(1280, 720), Look::Whole);
    }

    #[test]
    fn a_newcomer_is_seen() {
        let mut t = Tracker::default();
        t.look(1280, 720);
        let subject = [0.1, 0.5, 0.2, 0.7];
        t.saw_whole(&mask(WHOLE, FRAME, subject)).unwrap();
        for _ in 0..2 * WHOLE_EVERY {
            match t.look(1280, 720) {
                Look::At(r) => t.saw_region(&mask(r, FRAME, subject), r, r),
                Look::AtAndAround(r) => {
                    t.saw_region(&mask(r, FRAME, subject), r, r);
                    assert!(!t.saw_around(&mask(WHOLE, FRAME, subject), r));
                    assert!(t.saw_around(&mask(WHOLE, FRAME, [0.7, 0.2, 0.9, 0.9]), r));
                    assert_eq!(t.look(1280, 720), Look::Whole);
                    return;
                }
                Look::Whole => panic!("lost"),
            }
        }
        panic!("never looked around");
    }

    #[test]
    fn windows_are_tried_while_nobody_is_seen() {
        let mut t = Tracker::default();
        t.look(1280, 720);
        let subject = [0.8, 0.75, 0.86, 0.95];
        let nobody = mask(WHOLE, FRAME, [0.0; 4]);
        for _ in 0..9 {
            assert_eq!(t.saw_whole(&nobody), None);
            let window = t.search(&nobody).unwrap();
            let seen = mask(window, FRAME, subject);
            if let Some(region) = t.found(&seen, window)
                && contains(region, subject)
            {
                return;
            }
        }
        panic!("not found");
    }

    #[test]
    fn a_pasted_mask_lies_where_it_was() {
        let region = Region { x: 402, y: 122, width: 422, height: 238 };
        let subject = [0.4, 0.3, 0.5, 0.45];
        let mut whole = Mask::default();
        paste(&mask(region, FRAME, subject), region, FRAME, &mut whole);
        let got = bounds(&whole, WHOLE, FRAME).unwrap();
        for (g, w) in got.iter().zip(subject) {
            assert!((g - w).abs() < 0.004, "{got:?} {subject:?}");
        }
    }

    #[test]
    fn a_pasted_mask_is_no_finer_than_the_frame_needs() {
        for (region, size) in [
            // As fine as the frame, by itself.
            (Region { x: 404, y: 122, width: 154, height: 88 }, (960, 540)),
            // The part alone is as fine as the frame.
            (Region { x: 0, y: 0, width: 160, height: 90 }, (160, 90)),
        ] {
            let frame = if size.0 == 960 { FRAME } else { (160, 90) };
            let subject = if size.0 == 960 { [0.33, 0.2, 0.4, 0.27] } else { [0.2, 0.2, 0.6, 0.8] };
            let part = mask(region, frame, subject);
            let mut whole = Mask::default();
            paste(&part, region, frame, &mut whole);
            assert_eq!((whole.width, whole.height), size);
            // What it covers stays what it was.
            let area = |m: &Mask, w: usize, h: usize| {
                let sum: f64 = m.data.iter().map(|v| f64::from(*v)).sum();
                sum / m.data.len() as f64 * (w * h) as f64
            };
            let (before, after) = (area(&part, region.width, region.height), area(&whole, frame.0, frame.1));
            assert!((before - after).abs() < 0.01 * before, "{before} {after}");
            assert!(whole.data.iter().all(|v| (0.0..=1.0001).contains(v)));
        }
    }
}
