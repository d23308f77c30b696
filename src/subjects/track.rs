//! Who is who from mask to mask: by where each was, how each moves, and what colours each has.

use super::cells::{Bounds, Cells, NOBODY};
use super::colors::Colors;
use super::contest::{Rival, Shape, contest};
use super::split::{LIMB, pieces, stacked};

/// More are not told apart.
const MOST: usize = 24;
/// For so many masks one who is gone is known again.
const REMEMBERED: u32 = 300;
/// And one who was not there for long for so many.
const BRIEFLY: u32 = 4;
/// One who is gone comes back no further from where they left than this part of the frame.
const BACK: f32 = 0.25;
/// Who has come back has at least so much of their colours in common with who left.
const ALIKE: f32 = 0.5;
/// Who has come is looked at for so many masks.
const STRANGE: u32 = 60;
/// They are looked at from so much of them on, as a part of who left.
const ENOUGH: f32 = 0.25;
/// A part of the mask may be somebody's who was in this part of it, or in whose place it has this part.
const CLAIM: f32 = 0.2;
/// For so many masks somebody is waited for behind another, who goes on as they went.
const HIDES: u32 = 90;
/// They go more slowly with each, by this factor.
const SLOWS: f32 = 0.95;
/// A part of the mask that is larger by this than who was there has somebody else in it.
const GROWN: f32 = 1.5;
/// Of one who falls apart, a part of this share is another.
const ANOTHER: f32 = 0.3;
/// And so is one so far away, as a part of the frame.
const ASTRAY: f32 = 0.08;
/// Who was not seen in so many masks before may be a part of somebody: a head that came into the frame beside its shoulders.
const YOUNG: u32 = 15;
/// If they were seen apart in no more masks than this.
const HARDLY: u32 = 3;
/// And if they stand on somebody, and are no more than this part of them.
const PIECE: f32 = 0.35;
/// So many cells from others somebody is sure to be themselves.
const CORE: u8 = 10;
/// A small part no further than so many cells from somebody is theirs.
const NEAR: u8 = 6;
/// If it is smaller than this part of them.
const SMALL: f32 = 0.15;

/// Somebody who is seen, or was.
#[derive(Clone, Debug)]
pub struct Track {
    pub number: u32,
    /// The cells in which they were last seen.
    pub cells: Vec<u32>,
    /// When they came, and were last seen, by the clock of masks; in how many masks they were seen, and in how many in a part of
    /// their own.
    pub born: u32,
    seen: u32,
    pub age: u32,
    apart: u32,
    /// Masks since then; 0 for who is in the newest.
    pub lost: u32,
    /// How many cells they usually take.
    area: f32,
    /// In cells a mask.
    velocity: [f32; 2],
    /// As they were when they were last in a part of their own, and how far they have gone since, in cells.
    shape: Shape,
    gone: [f32; 2],
    colors: Colors,
    /// The numbers of those behind whom they were lost.
    behind: Vec<u32>,
}

impl Track {
    /// Where they should be now, if they are not gone.
    fn ghost(&mut self, cells: &Cells, moved: bool) -> Vec<u32> {
        if self.lost >= HIDES || (self.lost > 0 && self.behind.is_empty()) {
            return Vec::new();
        }
        if self.lost > 0 {
            self.velocity = self.velocity.map(|v| v * SLOWS);
        }
        if moved {
            self.gone = [0, 1].map(|i| self.gone[i] + self.velocity[i]);
        }
        self.shape.laid(cells, self.gone, 1).map(|(cell, _)| cell as u32).collect()
    }

    /// As one of several in a part.
    fn rival(&self) -> Rival<'_> {
        Rival { shape: &self.shape, gone: self.gone, colors: &self.colors }
    }

    /// They have been found, so far from where their shape was taken.
    fn stands(&mut self, gone: [f32; 2], moved: bool) {
        let off = [0, 1].map(|i| gone[i] - self.gone[i]);
        if moved {
            self.velocity = [0, 1].map(|i| self.velocity[i] + off[i] / 2.0);
        }
        self.gone = gone;
    }

    /// Whether a part looks like them.
    fn is_like(&self, cells: &Cells, part: &[u32]) -> bool {
        self.colors.common(&Colors::of(cells, part)) >= ALIKE
    }
}

/// All who are seen, and who were seen lately.
#[derive(Debug, Default)]
pub struct Tracks {
    pub all: Vec<Track>,
    next: u32,
    /// Masks of other frames than the one before.
    clock: u32,
}

impl Tracks {
    /// Forgets all; numbers go on.
    pub fn reset(&mut self) {
        self.all.clear();
    }

    /// Time has passed: whoever was there is gone, and is known again by how they look.
    pub fn interrupt(&mut self) {
        for track in &mut self.all {
            track.lost = track.lost.max(1);
            track.behind.clear();
        }
        self.clock = self.clock.wrapping_add(1);
    }

    /// Takes a mask; gives each cell's owner, an index in `all`. `moved`: it is of another frame than the mask before.
    /// `visible`: only this part of the frame was looked at. `held`: numbers that are never forgotten.
    pub fn see(&mut self, cells: &Cells, moved: bool, visible: Option<Bounds>, held: &[u32]) -> Vec<u8> {
        let speck = cells.speck();
        self.clock = self.clock.wrapping_add(u32::from(moved));
        // What flickers was nobody.
        let remembered = |t: &Track| if t.age < YOUNG { t.lost < BRIEFLY } else { t.lost < REMEMBERED };
        self.all.retain(|t| t.number > 0 && (remembered(t) || held.contains(&t.number)));
        while self.all.len() >= MOST {
            let gone = (0..self.all.len()).filter(|t| !held.contains(&self.all[*t].number));
            let Some(oldest) = gone.max_by_key(|t| self.all[*t].lost).filter(|t| self.all[*t].lost > 0)
            else {
                break;
            };
            self.all.remove(oldest);
        }
        let mut owner = vec![NOBODY; cells.len()];
        // Where those who were there should be now.
        let ghosts: Vec<Vec<u32>> = self.all.iter_mut().map(|t| t.ghost(cells, moved)).collect();
        let mut claims = vec![0u32; cells.len()];
        for (t, ghost) in ghosts.iter().enumerate() {
            ghost.iter().for_each(|c| claims[*c as usize] |= 1 << t);
        }
        let mut strangers = Vec::new();
        let mut contested = vec![Vec::new(); self.all.len()];
        // Parts that are one's alone: whose, how much of it they claim.
        let mut alone: Vec<(usize, usize, Vec<u32>)> = Vec::new();
        let (parts, mut small): (Vec<_>, Vec<_>) = cells.parts().into_iter().partition(|p| p.len() >= speck);
        for part in parts {
            let claimed = |t: usize| part.iter().filter(|c| claims[**c as usize] >> t & 1 == 1).count();
            let mut here: Vec<(usize, usize)> = (0..ghosts.len())
                .map(|t| (t, claimed(t)))
                .filter(|(t, n)| *n as f32 >= CLAIM * part.len().min(ghosts[*t].len()).max(1) as f32)
                .collect();
            for theirs in absorb(cells, &mut self.all, &here, &ghosts, held) {
                here.retain(|(t, _)| *t != theirs);
            }
            match here[..] {
                [] => strangers.extend(parted(cells, &part)),
                // Somebody else is where one was waited for.
                [(t, _)] if self.all[t].lost > 0 && !self.all[t].is_like(cells, &part) => {
                    strangers.push(part)
                }
                [(t, n)] => {
                    if (part.len() as f32) < GROWN * self.all[t].area || ghosts[t].is_empty() {
                        alone.push((t, n, part));
                        continue;
                    }
                    for piece in parted(cells, &part) {
                        let n = piece.iter().filter(|c| claims[**c as usize] >> t & 1 == 1).count();
                        if n as f32 >= CLAIM * piece.len() as f32 {
                            alone.push((t, n, piece));
                        } else {
                            strangers.push(piece);
                        }
                    }
                }
                _ => {
                    let who: Vec<usize> = here.iter().map(|(t, _)| *t).collect();
                    let rivals: Vec<Rival<'_>> = who.iter().map(|t| self.all[*t].rival()).collect();
                    let (whose, places) = contest(cells, &part, &rivals);
                    part.iter().zip(whose).for_each(|(c, k)| owner[*c as usize] = who[k] as u8);
                    for (t, place) in who.iter().zip(places) {
                        self.all[*t].stands(place, moved);
                        contested[*t].extend(who.iter().map(|t| self.all[*t].number));
                    }
                }
            }
        }
        self.settle(cells, alone, &mut strangers, &mut owner);
        for piece in strangers {
            // Less is a splinter of the watershed.
            if piece.len() < speck {
                small.push(piece);
            } else {
                self.welcome(cells, &piece, &mut owner);
            }
        }
        attach(cells, &small, &mut owner);
        self.update(cells, &owner, &contested, moved, visible);
        self.recognise(cells, held);
        owner
    }

    /// Parts that are one's alone go to them, unless one part of several is another.
    fn settle(
        &mut self,
        cells: &Cells,
        mut alone: Vec<(usize, usize, Vec<u32>)>,
        strangers: &mut Vec<Vec<u32>>,
        owner: &mut [u8],
    ) {
        // By whom, and who claims most of it first.
        alone.sort_by_key(|(t, claimed, _)| (*t, std::cmp::Reverse(*claimed)));
        let mut main: Option<(usize, Bounds)> = None;
        for (t, _, part) in alone {
            let bounds = cells.bounds(&part);
            let first = main.filter(|(of, _)| *of == t);
            let is_another = first.is_some_and(|(_, main)| {
                part.len() as f32 >= ANOTHER * self.all[t].area || gap(main, bounds) > ASTRAY
            });
            if is_another {
                strangers.push(part);
                continue;
            }
            main = first.or(Some((t, bounds)));
            part.iter().for_each(|c| owner[*c as usize] = t as u8);
        }
        // Two who were one, one of whom has been seen before: who is who is told by their colours.
        for t in 0..self.all.len() {
            let number = self.all[t].number;
            let was_behind = |h: &usize| self.all[*h].lost > 0 && self.all[*h].behind.contains(&number);
            let back: Vec<usize> = (0..self.all.len()).filter(was_behind).collect();
            if back.is_empty() || strangers.is_empty() {
                continue;
            }
            let own: Vec<u32> =
                (0..owner.len() as u32).filter(|c| owner[*c as usize] as usize == t).collect();
            if own.is_empty() {
                continue;
            }
            let a = Colors::of(cells, &own);
            for other in strangers.iter_mut() {
                let b = Colors::of(cells, other);
                let fit = |who: usize, what: &Colors| self.all[who].colors.explains(what);
                if back.iter().any(|h| fit(t, &b) + fit(*h, &a) > fit(t, &a) + fit(*h, &b)) {
                    own.iter().for_each(|c| owner[*c as usize] = NOBODY);
                    other.iter().for_each(|c| owner[*c as usize] = t as u8);
                    *other = own;
                    break;
                }
            }
        }
    }

    /// Somebody whom nobody claims.
    fn welcome(&mut self, cells: &Cells, piece: &[u32], owner: &mut [u8]) {
        if self.all.len() >= MOST {
            return;
        }
        self.next += 1;
        piece.iter().for_each(|c| owner[*c as usize] = self.all.len() as u8);
        self.all.push(Track {
            number: self.next,
            cells: Vec::new(),
            born: self.clock,
            seen: self.clock,
            age: 0,
            apart: 0,
            lost: 0,
            area: piece.len() as f32,
            velocity: [0.0; 2],
            shape: Shape::of(cells, piece),
            gone: [0.0; 2],
            colors: Colors::of(cells, piece),
            behind: Vec::new(),
        });
    }

    /// Knows those again who have come since others were last seen, and who look like them; they get their numbers back. Of two
    /// numbers the one that is `held` is kept.
    fn recognise(&mut self, cells: &Cells, held: &[u32]) {
        let mut pairs = Vec::new();
        for (t, new) in self.all.iter().enumerate() {
            if new.lost > 0 || new.number == 0 || self.clock - new.born > STRANGE {
                continue;
            }
            let bounds = cells.bounds(&new.cells);
            let near = |cells_of: &[u32]| gap(bounds, cells.bounds(cells_of)) <= BACK;
            for (o, old) in self.all.iter().enumerate() {
                let behind = || self.all.iter().any(|o| old.behind.contains(&o.number) && near(&o.cells));
                let is_gone = old.lost > 0 && old.number > 0 && old.seen < new.born;
                if is_gone && new.cells.len() as f32 >= ENOUGH * old.area && (near(&old.cells) || behind()) {
                    let common = old.colors.common(&new.colors);
                    pairs.extend((common >= ALIKE).then_some((common, t, o)));
                }
            }
        }
        // The best first, each once.
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (_, t, o) in pairs {
            let (new, old) = (self.all[t].number, self.all[o].number);
            if new == 0 || old == 0 || self.all[t].born <= self.all[o].seen {
                continue;
            }
            let keeps_new = held.contains(&new) && !held.contains(&old);
            self.all[t].number = if keeps_new { new } else { old };
            self.all[o].number = 0;
            // Known from now on.
            self.all[t].born = self.all[o].born.min(self.all[t].born);
            self.all[t].area = self.all[o].area;
            self.all[t].colors = self.all[o].colors.clone();
        }
    }

    /// Learns where each is now, and how they look.
    fn update(
        &mut self,
        cells: &Cells,
        owner: &[u8],
        contested: &[Vec<u32>],
        moved: bool,
        visible: Option<Bounds>,
    ) {
        let mut own = vec![Vec::new(); self.all.len()];
        for (cell, t) in owner.iter().enumerate().filter(|(_, t)| **t != NOBODY) {
            own[*t as usize].push(cell as u32);
        }
        for (t, (track, own)) in self.all.iter_mut().zip(own).enumerate() {
            let rivals: Vec<u32> =
                contested.get(t).into_iter().flatten().copied().filter(|n| *n != track.number).collect();
            if own.len() < cells.speck() {
                if visible.is_some_and(|v| cells.share_in(&track.cells, v) <= 0.5) {
                    // Nobody has looked there.
                    continue;
                }
                if track.lost == 0 {
                    track.behind = rivals;
                }
                track.lost += u32::from(moved || track.lost == 0);
                continue;
            }
            let whole = own.len() as f32 > 0.6 * track.area;
            let alone = rivals.is_empty();
            if alone {
                // One who stood in another's part was seen in part only.
                let was_whole = track.behind.is_empty();
                if moved && track.lost == 0 && !track.cells.is_empty() && was_whole {
                    let (before, centre) = (cells.centre(&track.cells), cells.centre(&own));
                    track.velocity = [0, 1].map(|i| (track.velocity[i] + centre[i] - before[i]) / 2.0);
                }
                if whole {
                    track.colors.blend(&Colors::of(cells, &own), 0.1);
                }
                track.area += (own.len() as f32 - track.area) * 0.1;
                (track.shape, track.gone) = (Shape::of(cells, &own), [0.0; 2]);
                track.behind.clear();
            } else {
                track.behind = rivals;
            }
            (track.lost, track.seen) = (0, self.clock);
            track.age += u32::from(moved);
            track.apart += u32::from(moved && alone);
            track.cells = own;
        }
    }
}

/// The pieces of a part, parted where their colours do. What is well inside of each says which those are.
fn parted(cells: &Cells, part: &[u32]) -> Vec<Vec<u32>> {
    let pieces = pieces(cells, part);
    if pieces.len() < 2 {
        return pieces;
    }
    let cores: Vec<(Shape, Colors)> = (0..pieces.len())
        .map(|k| {
            let others: Vec<u32> =
                pieces.iter().enumerate().filter(|(o, _)| *o != k).flat_map(|(_, p)| p).copied().collect();
            let away = cells.distance(&others, CORE + 1);
            let core: Vec<u32> = pieces[k].iter().copied().filter(|c| away[*c as usize] > CORE).collect();
            let core = if 2 * core.len() < pieces[k].len() { &pieces[k] } else { &core };
            (Shape::of(cells, core), Colors::of(cells, core))
        })
        .collect();
    let rivals: Vec<Rival<'_>> =
        cores.iter().map(|(shape, colors)| Rival { shape, gone: [0.0; 2], colors }).collect();
    let (whose, _) = contest(cells, part, &rivals);
    let mut parted = vec![Vec::new(); pieces.len()];
    part.iter().zip(whose).for_each(|(c, k)| parted[k].push(*c));
    parted.retain(|p| !p.is_empty());
    parted
}

/// Takes a small piece that has just come, and has hardly been seen apart, for a part of whom it hangs together with and stands on:
/// a head that came into the frame beside its shoulders. Nobody who is `held`. Which of them are gone then.
fn absorb(
    cells: &Cells,
    all: &mut [Track],
    here: &[(usize, usize)],
    ghosts: &[Vec<u32>],
    held: &[u32],
) -> Vec<usize> {
    let is_young = |t: &usize| {
        let track = &all[*t];
        let edge = cells.at_edge(&track.cells);
        track.age <= YOUNG && (track.apart <= HARDLY || edge) && !held.contains(&track.number)
    };
    let young: Vec<usize> = here.iter().map(|(t, _)| *t).filter(is_young).collect();
    let mut gone = Vec::new();
    for young in young {
        let belongs = |other: &usize| {
            let part = ghosts[young].len() as f32 / ghosts[*other].len().max(1) as f32;
            part < LIMB || (part < PIECE && stacked(cells, &ghosts[young], &ghosts[*other]))
        };
        let is_older = |t: &usize| *t != young && !gone.contains(t) && all[*t].area > all[young].area;
        if here.iter().map(|(t, _)| *t).filter(is_older).any(|t| belongs(&t)) {
            all[young].lost = REMEMBERED;
            gone.push(young);
        }
    }
    gone
}

/// Small parts belong to whom they are next to.
fn attach(cells: &Cells, small: &[Vec<u32>], owner: &mut [u8]) {
    if small.is_empty() {
        return;
    }
    let somebody: Vec<u32> = (0..owner.len() as u32).filter(|c| owner[*c as usize] != NOBODY).collect();
    // Whose is the nearest cell, step by step.
    let mut nearest = owner.to_vec();
    let mut edge = somebody;
    for _ in 0..NEAR {
        let mut next = Vec::new();
        for cell in edge {
            for other in cells.beside(cell as usize) {
                if nearest[other] == NOBODY {
                    nearest[other] = nearest[cell as usize];
                    next.push(other as u32);
                }
            }
        }
        edge = next;
    }
    let mut sizes = [0usize; NOBODY as usize + 1];
    owner.iter().for_each(|o| sizes[*o as usize] += 1);
    for part in small {
        let next_to = part.iter().map(|c| nearest[*c as usize]).find(|o| *o != NOBODY);
        if let Some(o) = next_to
            && (part.len() as f32) < SMALL * sizes[o as usize] as f32
        {
            part.iter().for_each(|c| owner[*c as usize] = o);
        }
    }
}

/// How far two rectangles are apart, in parts of the frame.
fn gap(a: Bounds, b: Bounds) -> f32 {
    let along = |i: usize| (b[i] - a[i + 2]).max(a[i] - b[i + 2]).max(0.0);
    along(0).max(along(1))
}
