//! The scene remembered: what the background looks like where a camera stands still.
//!
//! Per sample the mean colour of what lay behind the subject when it could be seen (`memory`). It is used twice:
//! on the network's mask, which loses what looks as the background did and has not changed since, and gets back what
//! differs from it and hangs together with the subject (`mask`); and on the refined matte's edges, where the frame's
//! colour is a mix of the remembered background and the near foreground, so that alpha follows (`edge`).
//!
//! Nothing is known of a scene until it has stood still for some frames, and what it looked like is forgotten when the camera
//! moves; only how much noise it has stays known.

mod behind;
mod camera;
mod distance;
mod edge;
mod exposure;
mod learn;
mod mask;
mod memory;
mod plate;
mod sums;

use crate::compose::Backdrop;
use crate::frame::{Color, Format, Frame};
use crate::simd::in_pool;
pub(crate) use behind::{Behind, Part};
use camera::Camera;
use edge::Edge;
use mask::Corrector;
use memory::Memory;
use plate::Coverage;
pub use plate::Plate;

/// What is remembered of a scene. One per stream; [`Scene::reset`] after a seek, a cut or a gap.
///
/// For each frame: [`Scene::correct`], refinement, [`Scene::refine`].
#[derive(Debug, Default)]
pub struct Scene {
    memory: Memory,
    corrector: Corrector,
    edge: Edge,
    coverage: Coverage,
    /// Whether the memory has seen the frame that is being worked on, and can be trusted in it.
    trusted: bool,
    /// For how many looks in a row the camera has moved, and how many frames are let pass before the next.
    moved: u32,
    pass: u32,
}

/// For so many frames a camera has moved before not all of its frames are looked at.
const MOVES: u32 = 4;
/// Of these one in so many is, until the camera stands: there is nothing to remember.
const ONE_IN: u32 = 4;

impl Scene {
    /// Has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the scene.
    pub fn reset(&mut self) {
        self.memory.reset();
        self.corrector.reset();
        self.trusted = false;
        (self.moved, self.pass) = (0, 0);
    }

    /// Corrects the network's mask (0..1, `mask_w · mask_h`, spanning the frame) in place by what is remembered, and
    /// learns from it. A frame whose planes hold less than they should, or a mask that does, resets.
    pub fn correct(&mut self, frame: &Frame<'_>, mask: &mut [f32], mask_w: usize, mask_h: usize) {
        self.trusted = false;
        let sized = mask_w.checked_mul(mask_h).is_some_and(|n| n > 0 && mask.len() == n);
        if !sized || !frame.holds_colors() {
            return self.reset();
        }
        if self.pass > 0 {
            self.pass -= 1;
            return;
        }
        in_pool(|| {
            self.memory.update(frame);
            self.corrector.update(mask, (mask_w, mask_h), self.memory.grid());
            let camera = self.memory.judge(|x, y| self.corrector.is_away_from_subject(x, y));
            self.trusted = camera == Camera::Still;
            if camera == Camera::Moved {
                self.moved += 1;
                self.corrector.reset();
                if self.moved >= MOVES {
                    self.pass = ONE_IN - 1;
                    return;
                }
            } else {
                self.moved = 0;
            }
            if self.trusted {
                self.corrector.correct(&self.memory, mask);
            }
            self.corrector.claim(mask);
            self.memory.learn(self.corrector.raw(), self.corrector.near());
        });
    }

    /// Whether [`Scene::refine`] has something to do in this frame.
    pub fn is_known(&self) -> bool {
        self.trusted
    }

    /// What is known of the background of a frame, if anything may be: the one that [`Scene::correct`] has seen last.
    pub(crate) fn behind<'a>(&'a self, frame: &Frame<'a>) -> Option<Behind<'a>> {
        let known = self.trusted && self.memory.fits(frame);
        known.then_some(Behind { memory: &self.memory, frame: *frame })
    }

    /// The background as it is remembered, in the format and colours `to`, over `behind` where it is not: alone that, where nothing
    /// is known. The frame is the one that [`Scene::correct`] has seen last.
    pub fn plate<'a>(
        &'a mut self,
        frame: &Frame<'_>,
        to: (Format, Color),
        behind: &'a dyn Backdrop,
    ) -> Plate<'a> {
        // What a frame's own alpha hid is remembered as well, and is not to be shown.
        let knows = self.trusted
            && !frame.format.has_alpha()
            && self.memory.fits(frame)
            && to.0.layout().colors <= self.memory.planes();
        if knows {
            self.coverage.look(&self.memory);
            self.coverage.convert(&self.memory, frame, to);
        }
        let memory = knows.then_some((&self.memory, &self.coverage));
        Plate { memory, behind, format: to.0, width: frame.width }
    }

    /// Solves the matte (`alpha`, tight rows of the frame's size) at its edges in place, where what is behind them is
    /// known. The frame is the one that [`Scene::correct`] has seen last. `corrected`: by a network, so that less is left to solve.
    pub fn refine(&mut self, frame: &Frame<'_>, corrected: bool, alpha: &mut [u8]) {
        if self.trusted
            && frame.width.checked_mul(frame.height) == Some(alpha.len())
            && self.memory.fits(frame)
        {
            in_pool(|| self.edge.solve(&self.memory, frame.width, corrected, alpha));
        }
    }
}

#[cfg(test)]
mod tests;
