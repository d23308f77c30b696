//! Which of those that a mask shows are kept.
//!
//! A mask says where people are, and not who is who. It is taken apart (`cells`: what hangs together; `split`: what is
//! narrow between two), and each gets a number that they keep while they are seen (`track`), also when they pass before each
//! other (`contest`) or leave for a while. Of these a [`Wanted`] chooses; what is not chosen goes out of the mask.

mod cells;
mod colors;
mod contest;
mod split;
#[cfg(test)]
mod tests;
mod track;

use crate::error::{Error, ErrorKind, Result};
use crate::frame::Frame;
use crate::mask::Mask;
use cells::{Cells, NOBODY};
use std::fmt;
use track::{Track, Tracks};

/// Whoever is chosen for their size is chosen anew when they have not been seen in so many masks, or another has been
/// larger in so many.
const PATIENCE: u32 = 30;
/// So many times larger that other one has to be.
const LARGER: f32 = 1.5;
/// Who is chosen for a place that is further from them than this part of the frame's width makes room for somebody whom the network
/// finds only later, if they are nearer by as much.
const NEARER: f32 = 0.08;
/// In one of so many masks that they are first seen in.
const COMES: u32 = 3;
/// More of what was kept than this part of it is given up only where others are kept.
const GIVEN_UP: f32 = 0.15;
/// Most of a subject is in a box from this part of it on.
const MOSTLY: f32 = 0.5;
/// As good as all of it is from this part on.
const WHOLLY: f32 = 0.85;
/// A detector's box is so much wider than what it has found, at each side and as a part of its size.
const PADDING: f32 = 0.08;

/// Which subjects are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Wanted {
    /// Whatever the network finds.
    #[default]
    All,
    /// The largest.
    Largest,
    /// The one at a place, or nearest to it: in parts of the frame, from the left and from the top.
    Nearest(f32, f32),
    /// Those of whom most is in a box: left, top, width and height in parts of the frame.
    Box([f32; 4]),
    /// Those in the regions that an upstream element has put on the frame: of this class or with this number, or all of them.
    Meta(Option<String>),
}

impl Wanted {
    /// Reads the text of the element's `subject`.
    ///
    /// # Errors
    /// [`ErrorKind::Setting`], with what is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let refuse = |why: &str| {
            Err(Error::new(ErrorKind::Setting, format!("subject '{text}' cannot be used: {why}")))
        };
        let (word, rest) =
            text.split_once(':').map_or((text, None), |(word, rest)| (word, Some(rest.trim())));
        let numbers =
            |text: &str| text.split(',').map(|v| v.trim().parse::<f32>().ok()).collect::<Option<Vec<f32>>>();
        let fraction = |v: &f32| (0.0..=1.0).contains(v);
        match (word.trim(), rest) {
            ("" | "all", None) => Ok(Self::All),
            ("largest", None) => Ok(Self::Largest),
            ("nearest", Some(rest)) => match numbers(rest).as_deref() {
                Some([x, y]) if fraction(x) && fraction(y) => Ok(Self::Nearest(*x, *y)),
                _ => refuse("a place is X,Y in parts of the frame, 0 to 1, as in nearest:0.25,0.5"),
            },
            ("box", Some(rest)) => match numbers(rest).as_deref() {
                Some([_, _, w, h]) if !(*w > 0.0 && *h > 0.0) => {
                    refuse("the box has neither width nor height")
                }
                // What is rounded may stand out a little.
                Some([x, y, w, h]) if fraction(x) && fraction(y) && x + w <= 1.001 && y + h <= 1.001 => {
                    Ok(Self::Box([*x, *y, *w, *h]))
                }
                Some([..]) if numbers(rest).is_some_and(|n| n.len() == 4) => {
                    refuse("the box is not in the frame, 0 to 1")
                }
                _ => refuse(
                    "a box is X,Y,WIDTH,HEIGHT in parts of the frame, 0 to 1, as in box:0.1,0.2,0.3,0.7",
                ),
            },
            ("meta", None) => Ok(Self::Meta(None)),
            ("meta", Some(class)) if !class.is_empty() => Ok(Self::Meta(Some(class.to_string()))),
            _ => refuse("it is neither all, largest, nearest:X,Y, box:X,Y,WIDTH,HEIGHT, meta nor meta:CLASS"),
        }
    }
}

/// As [`Wanted::parse`] reads it.
impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Largest => f.write_str("largest"),
            Self::Nearest(x, y) => write!(f, "nearest:{x},{y}"),
            Self::Box([x, y, w, h]) => write!(f, "box:{x},{y},{w},{h}"),
            Self::Meta(None) => f.write_str("meta"),
            Self::Meta(Some(class)) => write!(f, "meta:{class}"),
        }
    }
}

/// What a detector has found in a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// Left, top, right, bottom in parts of the frame.
    pub bounds: [f32; 4],
    pub class: String,
    /// Its number, where it has one that lasts.
    pub id: Option<i64>,
}

impl Region {
    /// At left, top, width and height in pixels of a frame of this size.
    pub fn at(
        [x, y, w, h]: [i64; 4],
        (width, height): (u32, u32),
        class: impl Into<String>,
        id: Option<i64>,
    ) -> Self {
        let part = |v: i64, n: u32| v as f32 / n.max(1) as f32;
        let bounds = [part(x, width), part(y, height), part(x + w, width), part(y + h, height)];
        Self { bounds, class: class.into(), id }
    }

    /// Whether it is of this class or has this number; any is, where none is said.
    pub fn is_of(&self, class: Option<&str>) -> bool {
        class.is_none_or(|c| {
            self.class.eq_ignore_ascii_case(c) || self.id.is_some_and(|id| id.to_string() == c)
        })
    }
}

/// Who is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    pub wanted: Wanted,
    /// Another number chooses anew.
    pub number: u64,
    /// What a detector says of the frame.
    pub regions: Vec<Region>,
}

/// Somebody in a mask.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Counted from 1 as they come; kept while they are seen.
    pub number: u32,
    /// Left, top, right, bottom in parts of the frame.
    pub bounds: [f32; 4],
    /// Of the frame, 0 to 1.
    pub area: f32,
    /// Whether they are kept.
    pub chosen: bool,
}

/// What is known of the last mask.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Largest first.
    pub seen: Vec<Seen>,
    /// Others are kept than in the mask before, or of somebody another part: what was steadied is of no use.
    pub changed: bool,
}

impl Found {
    /// Nobody of those that are wanted is there.
    pub fn is_missing(&self) -> bool {
        !self.seen.iter().any(|s| s.chosen)
    }
}

/// Tells those apart whom masks show, and keeps those that are wanted.
#[derive(Debug, Default)]
pub struct Subjects {
    cells: Cells,
    tracks: Tracks,
    /// Each cell's, after the last mask.
    owner: Vec<u8>,
    wanted: Wanted,
    /// By which number it was asked for them: another asks anew.
    asked: u64,
    /// How far the one who was chosen was from the place that was said, in cells.
    far: f32,
    /// Which cells were kept of the last mask, and of whom.
    kept: (Vec<bool>, Vec<u32>),
    /// The numbers that are kept; none before anybody was there to choose from.
    chosen: Vec<u32>,
    /// Who has been larger than the chosen one, and in how many masks.
    larger: (u32, u32),
    /// The newest regions, and in how many masks there have been no others since.
    regions: (Vec<Region>, u32),
}

impl Subjects {
    /// Another scene: all are forgotten, and who is wanted is chosen anew.
    pub fn reset(&mut self) {
        self.tracks.reset();
        self.owner.clear();
        self.chosen.clear();
        self.larger = (0, 0);
        self.regions = Default::default();
    }

    /// Frames are missing: those who are chosen are known again by how they look.
    pub fn interrupt(&mut self) {
        self.tracks.interrupt();
    }

    /// Takes out of a frame's mask what is not wanted. `again`: the mask is of the same frame as the last one. `visible`: only
    /// this part of the frame was looked at; left, top, right, bottom in parts of it.
    pub fn keep(
        &mut self,
        mask: &mut Mask,
        frame: &Frame<'_>,
        asked: &Asked,
        again: bool,
        visible: Option<[f32; 4]>,
    ) -> Found {
        let Asked { wanted, number, regions } = asked;
        if (&self.wanted, &self.asked) != (wanted, number) {
            (self.wanted, self.asked) = (wanted.clone(), *number);
            self.chosen.clear();
            self.larger = (0, 0);
            self.regions = Default::default();
        }
        let before = (self.cells.width, self.cells.height);
        self.cells.update(mask, frame);
        if before != (self.cells.width, self.cells.height) {
            self.reset();
        }
        self.owner = self.tracks.see(&self.cells, !again, visible, &self.chosen);
        let mut kept = self.choose(regions, again);
        self.cells.grow(&mut self.owner);
        // What has grown belongs to whom it has grown from.
        if let Some(kept) = &mut kept {
            self.spread(kept);
        }
        let kept = kept.unwrap_or_else(|| {
            let chosen: Vec<bool> = self.tracks.all.iter().map(|t| self.chosen.contains(&t.number)).collect();
            self.owner.iter().map(|o| *o != NOBODY && chosen[*o as usize]).collect()
        });
        if *wanted != Wanted::All {
            cells::keep(&self.cells, &self.owner, &kept, mask);
        }
        let changed = self.changes(kept);
        Found { changed, ..self.found() }
    }

    /// Whether others are kept now than before.
    fn changes(&mut self, kept: Vec<bool>) -> bool {
        let live = self.tracks.all.iter().filter(|t| t.lost == 0 && self.chosen.contains(&t.number));
        let mut who: Vec<u32> = live.map(|t| t.number).collect();
        who.sort_unstable();
        let (before, others) = std::mem::replace(&mut self.kept, (kept, who));
        if others != self.kept.1 || before.len() != self.kept.0.len() {
            return true;
        }
        // What was kept, is somebody's still, and is not kept any more.
        let of = before.iter().filter(|k| **k).count();
        let given_up =
            (0..before.len()).filter(|c| before[*c] && !self.kept.0[*c] && self.cells.is_solid(*c)).count();
        given_up as f32 > GIVEN_UP * of as f32
    }

    /// Who is seen: of each cell of the last mask the number, or 0; cells are square, the first row is the uppermost one, and
    /// how many a row has.
    pub fn map(&self) -> (Vec<u32>, usize) {
        let number = |o: &u8| if *o == NOBODY { 0 } else { self.tracks.all[*o as usize].number };
        (self.owner.iter().map(number).collect(), self.cells.width)
    }

    /// A place that is well inside of somebody who was in the last mask, from the left and from the top in parts of the frame.
    pub fn place(&self, number: u32) -> Option<[f32; 2]> {
        let own = |c: u32| {
            let owner = self.owner[c as usize];
            owner != NOBODY && self.tracks.all[owner as usize].number == number
        };
        let (inside, outside): (Vec<u32>, Vec<u32>) = (0..self.owner.len() as u32).partition(|c| own(*c));
        let depth = self.cells.distance(&outside, u8::MAX);
        let (w, h) = (self.cells.width, self.cells.height);
        let from_edge = |c: usize| (c % w).min(w - 1 - c % w).min(c / w).min(h - 1 - c / w);
        let deep = |c: &u32| usize::from(depth[*c as usize]).min(from_edge(*c as usize) + 1);
        inside.into_iter().max_by_key(deep).map(|c| self.cells.place(c))
    }

    /// Who is in the last mask.
    pub fn found(&self) -> Found {
        let live = self.tracks.all.iter().filter(|t| t.lost == 0);
        let mut seen: Vec<Seen> = live
            .map(|t| Seen {
                number: t.number,
                bounds: self.cells.bounds(&t.cells),
                area: t.cells.len() as f32 / self.cells.len() as f32,
                chosen: self.wanted == Wanted::All || self.chosen.contains(&t.number),
            })
            .collect();
        seen.sort_by(|a, b| b.area.total_cmp(&a.area));
        Found { seen, changed: false }
    }

    /// Chooses, where that is not done. For regions, which cells are in them as well.
    fn choose(&mut self, regions: &[Region], again: bool) -> Option<Vec<bool>> {
        let live = || self.tracks.all.iter().filter(|t| t.lost == 0);
        let near = NEARER * self.cells.width as f32;
        match &self.wanted {
            Wanted::All => {}
            Wanted::Largest => {
                let largest = live().max_by_key(|t| t.cells.len())?;
                let own = self.tracks.all.iter().find(|t| self.chosen.contains(&t.number));
                let anew = match own {
                    None => true,
                    Some(own) if own.lost > 0 => own.lost >= PATIENCE,
                    Some(own) if largest.cells.len() as f32 > LARGER * own.cells.len() as f32 => {
                        let (number, times) = self.larger;
                        let times = if number == largest.number { times + u32::from(!again) } else { 1 };
                        self.larger = (largest.number, times);
                        times >= PATIENCE
                    }
                    Some(_) => {
                        self.larger = (0, 0);
                        false
                    }
                };
                if anew {
                    self.chosen = vec![largest.number];
                }
            }
            // Whom a network finds only after some masks may be nearer.
            Wanted::Nearest(x, y) if self.chosen.is_empty() || self.far > near => {
                let away = |cells_of: &[u32]| {
                    let far = cells_of.iter().map(|c| {
                        let [cx, cy] = self.cells.place(*c);
                        let (dx, dy) =
                            ((cx - x) * self.cells.width as f32, (cy - y) * self.cells.height as f32);
                        dx * dx + dy * dy
                    });
                    far.fold(f32::MAX, f32::min)
                };
                let first = self.chosen.is_empty();
                let comes = live().filter(|t| first || t.age <= COMES);
                let nearest =
                    comes.map(|t| (away(&t.cells).sqrt(), t.number)).min_by(|a, b| a.0.total_cmp(&b.0));
                if let Some((far, number)) = nearest
                    && (first || far + near < self.far)
                {
                    (self.far, self.chosen) = (far, vec![number]);
                }
            }
            Wanted::Box([x, y, w, h]) if self.chosen.is_empty() => {
                let bounds = [*x, *y, x + w, y + h];
                let within = |t: &Track| (t.number, self.cells.share_in(&t.cells, bounds));
                let mut inside: Vec<(u32, f32)> = live().map(within).collect();
                inside.sort_by(|a, b| b.1.total_cmp(&a.1));
                let mostly = inside.iter().take_while(|(_, part)| *part >= MOSTLY).count();
                // Of whom less is in it, the one of whom most is.
                let some = inside.iter().take(mostly.max(1)).filter(|(_, part)| *part > 0.0);
                self.chosen = some.map(|(number, _)| *number).collect();
            }
            Wanted::Nearest(..) | Wanted::Box(_) => {}
            Wanted::Meta(class) => {
                let class = class.as_deref();
                let wanted: Vec<Region> = regions.iter().filter(|r| r.is_of(class)).cloned().collect();
                if !wanted.is_empty() {
                    self.regions = (wanted, 0);
                } else if !again {
                    self.regions.1 += 1;
                    if self.regions.1 > PATIENCE {
                        self.regions.0.clear();
                    }
                }
                return Some(self.choose_in_regions());
            }
        }
        None
    }

    /// Chooses those of whom most is in a region; of whom a region shows a part only, that part is kept.
    fn choose_in_regions(&mut self) -> Vec<bool> {
        let mut kept = vec![false; self.cells.len()];
        self.chosen.clear();
        for region in &self.regions.0 {
            let [left, top, right, bottom] = region.bounds;
            let (dx, dy) = ((right - left) * PADDING, (bottom - top) * PADDING);
            let padded = [left - dx, top - dy, right + dx, bottom + dy];
            let within: Vec<bool> =
                (0..self.cells.len() as u32).map(|c| self.cells.is_in(c, padded)).collect();
            let there = (0..within.len()).filter(|c| within[*c] && self.owner[*c] != NOBODY).count();
            for (t, track) in self.tracks.all.iter().enumerate().filter(|(_, t)| t.lost == 0) {
                let own = track.cells.iter().filter(|c| within[**c as usize]).count();
                let all = own as f32 >= WHOLLY * track.cells.len() as f32;
                let mostly = own as f32 >= MOSTLY * track.cells.len() as f32;
                let main = 2 * own > there && there >= self.cells.speck();
                if !(mostly || main) {
                    continue;
                }
                self.chosen.push(track.number);
                for c in (0..kept.len()).filter(|c| self.owner[*c] as usize == t) {
                    kept[c] |= all || within[c];
                }
            }
        }
        self.chosen.dedup();
        kept
    }

    /// Cells that have become somebody's are kept as the nearest of theirs is.
    fn spread(&self, kept: &mut [bool]) {
        let from: Vec<u32> = (0..kept.len() as u32).filter(|c| kept[*c as usize]).collect();
        let others: Vec<u32> = (0..kept.len() as u32)
            .filter(|c| !kept[*c as usize] && self.cells.is_solid(*c as usize))
            .collect();
        let (own, other) = (self.cells.distance(&from, u8::MAX), self.cells.distance(&others, u8::MAX));
        for c in 0..kept.len() {
            let soft = !self.cells.is_solid(c) && self.owner[c] != NOBODY;
            kept[c] |= soft && own[c] < other[c];
        }
    }
}
