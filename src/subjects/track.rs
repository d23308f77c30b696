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
/// Who has come back has at least so much of the colours that were seen of who left.
const ALIKE: f32 = 0.7;
/// Who has come is looked at for so many masks, from so much of them on.
const STRANGE: u32 = 60;
const ENOUGH: f32 = 0.25;
/// A part of the mask may be somebody's who was in this part of it, or in whose place it has this part.
const CLAIM: f32 = 0.2;
/// For so many masks somebody is waited for behind another, who goes on as they went, and more slowly with each.
const HIDES: u32 = 90;
const SLOWS: f32 = 0.95;
/// A part of the mask that is larger by this than who was there has somebody else in it.
const GROWN: f32 = 1.5;
/// Of one who falls apart, a part of this share is another.
const ANOTHER: f32 = 0.3;
/// Who was not seen in so many masks before, and stands on somebody in one part of the mask, was theirs: a head that came into the
/// frame beside its shoulders.
const YOUNG: u32 = 15;
/// So many cells from others somebody is sure to be themselves.
const CORE: u8 = 10;
/// What is no further than so many cells from somebody and so much smaller is theirs.
const NEAR: u8 = 6;
const SMALL: f32 = 0.15;

/// Somebody who is seen, or was.
#[derive(Clone, Debug)]
pub struct Track {
    pub number: u32,
    /// The cells in which they were last seen.
    pub cells: Vec<u32>,
    /// In how many masks they were seen.
    age: u32,
    /// Masks since then; 0 for who is in the newest.
    pub lost: u32,
    /// How many cells they usually take.
    area: f32,
    centre: [f32; 2],
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
        cells.moved(&self.shape.cells, self.gone)
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
        self.colors.has(&Colors::of(cells, part)) >= ALIKE
    }
}

/// All who are seen, and who were seen lately.
#[derive(Debug, Default)]
pub struct Tracks {
    pub all: Vec<Track>,
    next: u32,
}

impl Tracks {
    /// Forgets all; numbers go on.
    pub fn reset(&mut self) {
        self.all.clear();
    }

    /// Takes a mask; gives each cell's owner, an index in `all`. `moved`: it is of another frame than the mask before.
    /// `visible`: only this part of the frame was looked at. `held`: numbers that are never forgotten.
    pub fn see(&mut self, cells: &Cells, moved: bool, visible: Option<Bounds>, held: &[u32]) -> Vec<u8> {
        let speck = cells.speck();
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
        let (parts, small): (Vec<_>, Vec<_>) = cells.parts().into_iter().partition(|p| p.len() >= speck);
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
            self.welcome(cells, &piece, speck, &mut owner);
        }
        attach(cells, &small, &mut owner);
        self.update(cells, &owner, &contested, moved, visible);
        self.recognise(cells);
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
        let mut before = None;
        for (t, _, part) in alone {
            let is_first = before.replace(t) != Some(t);
            if !is_first && part.len() as f32 >= ANOTHER * self.all[t].area {
                strangers.push(part);
                continue;
            }
            part.iter().for_each(|c| owner[*c as usize] = t as u8);
        }
        // Two who were one, one of whom has been seen before: who is who is told by their colours.
        for t in 0..self.all.len() {
            let own: Vec<u32> =
                (0..owner.len() as u32).filter(|c| owner[*c as usize] as usize == t).collect();
            if own.is_empty() {
                continue;
            }
            let number = self.all[t].number;
            for other in strangers.iter_mut() {
                let (a, b) = (Colors::of(cells, &own), Colors::of(cells, other));
                let fit = |who: usize, what: &Colors| self.all[who].colors.explains(what);
                let back = (0..self.all.len())
                    .filter(|h| self.all[*h].lost > 0 && self.all[*h].behind.contains(&number));
                let crossed = back.into_iter().find(|h| fit(t, &b) + fit(*h, &a) > fit(t, &a) + fit(*h, &b));
                if crossed.is_some() {
                    own.iter().for_each(|c| owner[*c as usize] = NOBODY);
                    other.iter().for_each(|c| owner[*c as usize] = t as u8);
                    *other = own;
                    break;
                }
            }
        }
    }

    /// Somebody whom nobody claims.
    fn welcome(&mut self, cells: &Cells, piece: &[u32], speck: usize, owner: &mut [u8]) {
        // Less is a splinter of the watershed.
        if piece.len() < speck || self.all.len() >= MOST {
            return;
        }
        self.next += 1;
        piece.iter().for_each(|c| owner[*c as usize] = self.all.len() as u8);
        self.all.push(Track {
            number: self.next,
            cells: Vec::new(),
            age: 0,
            lost: 0,
            area: piece.len() as f32,
            centre: cells.centre(piece),
            velocity: [0.0; 2],
            shape: Shape::of(cells, piece),
            gone: [0.0; 2],
            colors: Colors::of(cells, piece),
            behind: Vec::new(),
        });
    }

    /// Knows those again who have come lately and were there before; they get their numbers back.
    fn recognise(&mut self, cells: &Cells) {
        for t in 0..self.all.len() {
            let new = &self.all[t];
            if new.lost > 0 || new.age > STRANGE {
                continue;
            }
            let bounds = cells.bounds(&new.cells);
            let near = |cells_of: &[u32]| gap(bounds, cells.bounds(cells_of)) <= BACK;
            let same = |old: &Track| {
                let behind = self.all.iter().any(|o| old.behind.contains(&o.number) && near(&o.cells));
                old.lost > 0
                    && old.number < new.number
                    && new.cells.len() as f32 >= ENOUGH * old.area
                    && (near(&old.cells) || behind)
                    && old.colors.has(&new.colors) >= ALIKE
            };
            let best = (0..self.all.len()).filter(|o| same(&self.all[*o])).max_by(|a, b| {
                let fit = |o: usize| self.all[o].colors.explains(&new.colors);
                fit(*a).total_cmp(&fit(*b))
            });
            if let Some(old) = best {
                self.all[t].number = std::mem::take(&mut self.all[old].number);
                self.all[t].area = self.all[old].area;
                self.all[t].colors = self.all[old].colors.clone();
            }
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
                if visible.is_some_and(|v| !inside(cells, &track.cells, v)) {
                    // Nobody has looked there.
                    continue;
                }
                if track.lost == 0 {
                    track.behind = rivals;
                }
                track.lost += u32::from(moved || track.lost == 0);
                continue;
            }
            let (before, centre) = (track.centre, cells.centre(&own));
            let whole = own.len() as f32 > 0.6 * track.area;
            if rivals.is_empty() {
                // One who stood in another's part was seen in part only.
                let was_whole = track.behind.is_empty();
                if moved && track.lost == 0 && !track.cells.is_empty() && was_whole {
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
            (track.centre, track.lost) = (centre, 0);
            track.age += u32::from(moved);
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

/// Takes those who have just come for parts of those whom they hang together with, where they are; who is gone then. The number that is
/// `held` stays.
fn absorb(
    cells: &Cells,
    all: &mut [Track],
    here: &[(usize, usize)],
    ghosts: &[Vec<u32>],
    held: &[u32],
) -> Vec<usize> {
    let mut gone = Vec::new();
    let young: Vec<usize> = here.iter().map(|(t, _)| *t).filter(|t| all[*t].age <= YOUNG).collect();
    for young in &young {
        let belongs = |other: usize| {
            let small = (ghosts[*young].len() as f32) < LIMB * ghosts[other].len() as f32;
            small || stacked(cells, &ghosts[*young], &ghosts[other])
        };
        let older = here.iter().map(|(t, _)| *t).filter(|t| t != young && !gone.contains(t));
        let to = older.filter(|t| all[*t].area >= all[*young].area).find(|t| belongs(*t));
        let Some(to) = to else { continue };
        if held.contains(&all[*young].number) && !held.contains(&all[to].number) {
            let (a, b) = (all[*young].number, all[to].number);
            (all[*young].number, all[to].number) = (b, a);
        }
        all[*young].lost = REMEMBERED;
        gone.push(*young);
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

/// Whether most of some cells are in a part of the frame.
fn inside(cells: &Cells, these: &[u32], [left, top, right, bottom]: Bounds) -> bool {
    let within = these.iter().filter(|c| {
        let [x, y] = cells.place(**c);
        (left..right).contains(&x) && (top..bottom).contains(&y)
    });
    2 * within.count() > these.len()
}
