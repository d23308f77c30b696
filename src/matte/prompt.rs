//! Tells a network whom to keep.
//!
//! In the first frame it is told what `subject` says: a place, a box, a detector's region, or the whole frame where that says
//! nothing. From then on it is told where whoever was kept was in the mask before: a place well inside of them, a box around
//! them, and the mask itself; a click of a second ago would mean whoever has come there since.

use super::Placement;
use crate::error::Result;
use crate::mask::Mask;
use crate::models::{Array, Prompt, label};
use crate::runtime::{Port, Value};
use crate::subjects::{Asked, Found, Subjects, Wanted};

/// A subject may move so far out of its box until the next frame, at each side and as a part of its size.
const MOVES: f32 = 0.08;
/// Two boxes are of the same subject if so much of them together is in both.
const SAME: f32 = 0.3;
/// The largest logit that a mask is handed back with, as the SAM family has them.
const SURE: f32 = 10.0;

/// Where a subject is, in parts of the frame.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Aim {
    place: Option<[f32; 2]>,
    /// Left, top, right, bottom.
    bounds: Option<[f32; 4]>,
}

impl Aim {
    const WHOLE: Self = Self { place: None, bounds: Some([0.0, 0.0, 1.0, 1.0]) };
}

/// The part of two boxes together that is in both.
fn shared(a: [f32; 4], b: [f32; 4]) -> f32 {
    let area = |[l, t, r, b]: [f32; 4]| (r - l).max(0.0) * (b - t).max(0.0);
    let both = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    both / (area(a) + area(b) - both).max(f32::EPSILON)
}

/// Where the frame lies in the network's input, and that one's width and height.
type Place = (Placement, (usize, usize));

/// What a network is told, from frame to frame.
#[derive(Debug)]
pub struct Prompter {
    aim: Aim,
    /// Who was asked for, and by which number.
    asked: Option<(Wanted, u64)>,
    /// The mask before, of whom is kept.
    last: Option<Mask>,
}

impl Default for Prompter {
    fn default() -> Self {
        Self { aim: Aim::WHOLE, asked: None, last: None }
    }
}

impl Prompter {
    /// Another scene: who is to be kept is looked for anew, where `subject` says.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Frames are missing: the mask before is none of the frame before.
    pub fn interrupt(&mut self) {
        self.last = None;
    }

    /// Before a frame: who is to be kept in it.
    pub fn aim(&mut self, asked: Option<&Asked>) {
        let (wanted, number, regions) =
            asked.map_or((&Wanted::All, 0, &[][..]), |a| (&a.wanted, a.number, &a.regions[..]));
        if self.asked.as_ref().is_none_or(|(w, n)| (w, *n) != (wanted, number)) {
            self.asked = Some((wanted.clone(), number));
            self.last = None;
            self.aim = match *wanted {
                Wanted::Nearest(x, y) => Aim { place: Some([x, y]), bounds: None },
                Wanted::Box([x, y, w, h]) => Aim { place: None, bounds: Some([x, y, x + w, y + h]) },
                Wanted::All | Wanted::Largest | Wanted::Meta(_) => Aim::WHOLE,
            };
        }
        if let Wanted::Meta(class) = wanted {
            // A network keeps one at a time.
            let area = |[l, t, r, b]: [f32; 4]| (r - l) * (b - t);
            let fits = regions.iter().filter(|r| r.is_of(class.as_deref())).map(|r| r.bounds);
            if let Some(bounds) = fits.max_by(|a, b| area(*a).total_cmp(&area(*b))) {
                // The mask before is of somebody else.
                if self.aim.bounds.is_some_and(|before| shared(before, bounds) < SAME) {
                    self.last = None;
                }
                self.aim = Aim { place: None, bounds: Some(bounds) };
            }
        }
    }

    /// After a frame: its mask, and who was found in that, where not all are wanted.
    pub fn see(&mut self, subjects: &Subjects, found: Option<&Found>, mask: &Mask) {
        self.last = mask.data.iter().any(|v| *v > 0.5).then(|| mask.clone());
        let Some(found) = found else { return };
        // They are sorted by their size.
        match found.seen.iter().find(|s| s.chosen) {
            Some(kept) => {
                let [left, top, right, bottom] = kept.bounds;
                let (dx, dy) = ((right - left) * MOVES, (bottom - top) * MOVES);
                let bounds = [left - dx, top - dy, right + dx, bottom + dy].map(|v| v.clamp(0.0, 1.0));
                self.aim = Aim { place: subjects.place(kept.number), bounds: Some(bounds) };
            }
            // They are waited for where they were.
            None => self.last = None,
        }
    }

    /// Points at who is kept so far, of a network that was not told.
    pub fn take_over(&mut self, subjects: &Subjects) {
        if self.asked.as_ref().is_some_and(|(wanted, _)| *wanted != Wanted::All) {
            self.see(subjects, Some(&subjects.found()), &Mask::default());
        }
    }

    /// The box to point at; none where places say more.
    fn bounds(&self, prompt: &Prompt) -> Option<[f32; 4]> {
        let told = prompt.places.iter().any(|[.., kind]| *kind == label::SUBJECT);
        self.aim.bounds.filter(|_| !(told && self.aim == Aim::WHOLE))
    }

    /// The inputs' values, by their names. `logits`: whether the mask before is handed back as logits; `None` as long as it is
    /// not known in which form the network gives it.
    ///
    /// # Errors
    /// [`ErrorKind::Inference`](crate::error::ErrorKind) for one that cannot be filled.
    pub fn fill<'a>(
        &self,
        prompt: &'a Prompt,
        embedding: Option<&Array>,
        place: Place,
        logits: Option<bool>,
    ) -> Result<Vec<(&'a str, Value)>> {
        let (placement, input) = place;
        let last = self.last.as_ref().zip(logits);
        let mut values = Vec::new();
        let mut give = |port: &'a Port, shape: &[i64], numbers: Vec<f32>| {
            values.push((port.name.as_str(), Value::of(port.element, shape, numbers)?));
            Ok(())
        };
        if let Some(points) = &prompt.points {
            let list = self.places(prompt, points);
            let count = list.len() as i64;
            let mut shape = points.least_shape();
            let at = shape.len() - 2;
            shape[at..].copy_from_slice(&[count, 2]);
            give(points, &shape, list.iter().flat_map(|[x, y, _]| in_pixels(placement, *x, *y)).collect())?;
            if let Some(labels) = &prompt.labels {
                let mut shape = labels.least_shape();
                let at = shape.len() - 1;
                shape[at] = count;
                give(labels, &shape, list.iter().map(|[.., kind]| *kind).collect())?;
            }
        }
        if let Some(port) = &prompt.bounds {
            let mut shape = port.least_shape();
            let last = shape.len() - 1;
            shape[last] = 4;
            let boxes_open = last > 0 && port.shape[last - 1] < 0;
            let bounds = match self.bounds(prompt) {
                // As many boxes as there are: none.
                None if boxes_open => {
                    shape[last - 1] = 0;
                    Vec::new()
                }
                bounds => {
                    let [l, t, r, b] = bounds.unwrap_or([0.0, 0.0, 1.0, 1.0]);
                    [in_pixels(placement, l, t), in_pixels(placement, r, b)].concat()
                }
            };
            give(port, &shape, bounds)?;
        }
        if let Some(port) = &prompt.mask {
            let (shape, width, height) = plane(port, input);
            let numbers = match last {
                Some((mask, logits)) => spread_out(mask, place, (width, height), logits),
                None => vec![0.0; width * height],
            };
            give(port, &shape, numbers)?;
        }
        if let Some(port) = &prompt.has_mask {
            give(port, &port.least_shape(), vec![f32::from(u8::from(last.is_some()))])?;
        }
        if let Some(port) = &prompt.size {
            give(port, &[2], vec![input.1 as f32, input.0 as f32])?;
        }
        if let (Some((port, _)), Some(array)) = (&prompt.embedding, embedding) {
            give(port, &array.shape, array.numbers.clone())?;
        }
        Ok(values)
    }

    /// The places for an input that takes them: x and y in parts of the frame, and a [`label`].
    fn places(&self, prompt: &Prompt, points: &Port) -> Vec<[f32; 3]> {
        let labels = prompt.labels.as_ref().and_then(|p| p.shape.last());
        let wanted = [points.shape.iter().rev().nth(1), labels].into_iter().flatten().find(|d| **d > 0);
        let room = wanted.map_or(usize::MAX, |d| *d as usize);
        let mut list: Vec<[f32; 3]> = self.aim.place.iter().map(|[x, y]| [*x, *y, label::SUBJECT]).collect();
        list.extend(&prompt.places);
        let mut boxed = false;
        if let Some([l, t, r, b]) = self.bounds(prompt) {
            let labelled = prompt.labels.is_some();
            if labelled && prompt.bounds.is_none() && list.len() + 2 <= room {
                list.extend([[l, t, label::TOP_LEFT], [r, b, label::BOTTOM_RIGHT]]);
                boxed = true;
            } else if list.is_empty() && (prompt.bounds.is_none() || !labelled) {
                list.push([(l + r) / 2.0, (t + b) / 2.0, label::SUBJECT]);
            }
        }
        if prompt.labels.is_some() {
            // The SAM family wants one more place that is none, unless there is a box.
            let count = wanted.map_or(list.len() + usize::from(!boxed), |_| room);
            list.resize(count, [0.0, 0.0, label::NONE]);
        } else if let (Some(_), Some(last)) = (wanted, list.last().copied()) {
            list.resize(room, last);
        }
        list
    }
}

/// A place in pixels of the network's input.
fn in_pixels(placement: Placement, x: f32, y: f32) -> [f32; 2] {
    [placement.x as f32 + x * placement.width as f32, placement.y as f32 + y * placement.height as f32]
}

/// The shape of an input for a mask, and its width and height; as large as the picture, where that is open.
fn plane(port: &Port, input: (usize, usize)) -> (Vec<i64>, usize, usize) {
    let (shape, mut full) = (&port.shape, port.least_shape());
    // The channel may come last.
    let columns = if shape.len() > 2 && shape.last() == Some(&1) { shape.len() - 2 } else { shape.len() - 1 };
    for (at, side) in [(columns, input.0), (columns - 1, input.1)] {
        if shape[at] < 0 {
            full[at] = side as i64;
        }
    }
    let (width, height) = (full[columns] as usize, full[columns - 1] as usize);
    (full, width, height)
}

/// A mask of the frame at the place of the frame in an input of a size of its own, by bilinear sampling; nothing around it.
fn spread_out(mask: &Mask, (placement, input): Place, size: (usize, usize), logits: bool) -> Vec<f32> {
    // The two cells around the middle of pixel `i`, and the weight of the second; `None` beside the frame.
    let axis = |count: usize, of: usize, at: usize, length: usize, cells: usize| -> Vec<_> {
        let place = |i: usize| {
            let middle = (i as f32 + 0.5) * of as f32 / count as f32 - at as f32;
            let inside = (0.0..=length as f32).contains(&middle);
            let cell = (middle * cells as f32 / length as f32 - 0.5).clamp(0.0, (cells - 1) as f32);
            inside.then_some((cell as usize, (cell as usize + 1).min(cells - 1), cell.fract()))
        };
        (0..count).map(place).collect()
    };
    let columns = axis(size.0, input.0, placement.x, placement.width, mask.width);
    let rows = axis(size.1, input.1, placement.y, placement.height, mask.height);
    let mut out = Vec::with_capacity(size.0 * size.1);
    for row in &rows {
        out.extend(columns.iter().map(|column| {
            let value = match (row, column) {
                (Some((top, bottom, fy)), Some((left, right, fx))) => {
                    let along = |y: usize| {
                        let (l, r) = (mask.data[y * mask.width + left], mask.data[y * mask.width + right]);
                        l + (r - l) * fx
                    };
                    let (t, b) = (along(*top), along(*bottom));
                    t + (b - t) * fy
                }
                _ => 0.0,
            };
            match logits {
                true => (value / (1.0 - value)).ln().clamp(-SURE, SURE),
                false => value,
            }
        }));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Element;

    fn port(shape: &[i64]) -> Option<Port> {
        Some(Port { name: "x".into(), element: Element::F32, shape: shape.into(), described: String::new() })
    }

    fn aimed(place: Option<[f32; 2]>, bounds: Option<[f32; 4]>) -> Prompter {
        Prompter { aim: Aim { place, bounds }, ..Prompter::default() }
    }

    fn places(prompter: &Prompter, prompt: &Prompt) -> Vec<[f32; 3]> {
        prompter.places(prompt, prompt.points.as_ref().unwrap())
    }

    #[test]
    fn a_box_is_two_corners_where_there_is_no_input_for_it() {
        let open = Prompt { points: port(&[1, -1, 2]), labels: port(&[1, -1]), ..Prompt::default() };
        let boxed = aimed(None, Some([0.1, 0.2, 0.5, 0.6]));
        assert_eq!(places(&boxed, &open), [[0.1, 0.2, 2.0], [0.5, 0.6, 3.0]]);
        let clicked = aimed(Some([0.25, 0.5]), None);
        assert_eq!(places(&clicked, &open), [[0.25, 0.5, 1.0], [0.0, 0.0, -1.0]], "one more that is none");
        // Room for one: the middle.
        let one = Prompt { points: port(&[1, 1, 2]), labels: port(&[1, 1]), ..Prompt::default() };
        let middle = places(&boxed, &one);
        assert!(matches!(middle[..], [[x, y, 1.0]] if (x - 0.3).abs() < 1e-6 && (y - 0.4).abs() < 1e-6));
        // An input of its own for the box.
        let own = Prompt { bounds: port(&[1, -1, 4]), ..open.clone() };
        assert_eq!(places(&boxed, &own), [[0.0, 0.0, -1.0]]);
        // Nothing that says what a place is.
        let bare = Prompt { points: port(&[1, 3, 2]), ..Prompt::default() };
        assert_eq!(places(&clicked, &bare), [[0.25, 0.5, 1.0]; 3]);
        let bare = Prompt { bounds: port(&[1, 4]), ..bare };
        assert_eq!(places(&aimed(None, Some([0.0, 0.0, 1.0, 1.0])), &bare), [[0.5, 0.5, 1.0]; 3]);
        // Whoever says a place and asks for nobody means that place, and not everything.
        let said = Prompt { places: vec![[0.2, 0.3, 1.0]], ..open.clone() };
        assert_eq!(places(&Prompter::default(), &said), [[0.2, 0.3, 1.0], [0.0, 0.0, -1.0]]);
        assert_eq!(places(&Prompter::default(), &open), [[0.0, 0.0, 2.0], [1.0, 1.0, 3.0]]);
        let told = Prompt { places: vec![[0.9, 0.9, 0.0]], ..open };
        assert_eq!(places(&clicked, &told)[..2], [[0.25, 0.5, 1.0], [0.9, 0.9, 0.0]]);
    }

    #[test]
    fn another_region_is_somebody_else() {
        let asked = |bounds: [f32; 4]| Asked {
            wanted: Wanted::Meta(None),
            number: 1,
            regions: vec![crate::subjects::Region { bounds, class: String::new(), id: None }],
        };
        let mut prompter = Prompter::default();
        prompter.aim(Some(&asked([0.1, 0.1, 0.3, 0.9])));
        prompter.last = Some(Mask { width: 1, height: 1, data: vec![1.0] });
        prompter.aim(Some(&asked([0.12, 0.1, 0.32, 0.9])));
        assert!(prompter.last.is_some(), "the same one, a little on");
        prompter.aim(Some(&asked([0.6, 0.1, 0.9, 0.9])));
        assert!(prompter.last.is_none());
        assert_eq!(prompter.aim.bounds, Some([0.6, 0.1, 0.9, 0.9]));
    }

    #[test]
    fn the_mask_before_lies_where_the_frame_does() {
        // A frame twice as wide as high in a square of 8: rows 2 to 5.
        let placement = Placement { x: 0, y: 2, width: 8, height: 4 };
        let mask = Mask { width: 4, height: 2, data: vec![1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0] };
        let out = spread_out(&mask, (placement, (8, 8)), (4, 4), false);
        let rows: Vec<&[f32]> = out.chunks(4).collect();
        assert_eq!(rows, [[0.0; 4], [1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0; 4]]);
        let logits = spread_out(&mask, (placement, (8, 8)), (4, 4), true);
        assert_eq!(logits[4..8], [SURE, SURE, -SURE, -SURE]);
        assert_eq!(plane(&port(&[-1, 1, 64, 32]).unwrap(), (8, 8)), (vec![1, 1, 64, 32], 32, 64));
        assert_eq!(plane(&port(&[1, -1, -1, 1]).unwrap(), (8, 6)), (vec![1, 6, 8, 1], 8, 6));
    }
}
