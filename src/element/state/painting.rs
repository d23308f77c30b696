//! The frame that goes out, painted with its colours and mattes.

use super::InForce;
use crate::compose;
use crate::element::mattes::Mattes;
use crate::element::settings::OutputKind;
use crate::frame::{Frame, FrameMut};
use crate::paint::{Painter, Prepared};
use crate::refine::Colors;
use crate::scene::Scene;

/// What a frame is painted with, besides its colours.
pub(super) struct Painting<'a> {
    pub in_force: &'a InForce,
    /// A pixel's width over its height.
    pub aspect: f64,
    pub decontaminate: bool,
    /// Which samples get the subject's own colours where both mix.
    pub which: Colors,
    /// The same where the frame's own alpha hides what is beside them.
    pub kept: Colors,
    pub painter: &'a mut Painter,
    pub mattes: &'a mut Mattes,
    pub scene: &'a mut Scene,
    pub prepared: &'a mut Option<Prepared>,
}

impl Painting<'_> {
    /// Paints. `colors` are the frame's, as they lie in `out`, or are brought there as they are painted.
    pub fn paint(self, frame: &Frame<'_>, colors: &Frame<'_>, out: &mut FrameMut<'_>) {
        match self.in_force.kind {
            OutputKind::Matte => compose::matte(out, self.mattes.subject().alpha),
            OutputKind::Transparent if self.in_force.inverse => {
                // Whatever is asked for: of the subject nothing is to be left.
                let own = (Colors::All, Colors::Shared);
                self.painter.transparent(colors, self.mattes.background(), own, out);
            }
            OutputKind::Transparent => {
                let side = self.mattes.subject();
                let first = if side.had_alpha || self.decontaminate { self.which } else { self.kept };
                self.painter.transparent(colors, side, (first, self.kept), out);
            }
            OutputKind::Opaque => self.opaque(frame, colors, out),
        }
    }

    /// The subject on its background, or the room without the subject.
    fn opaque(self, frame: &Frame<'_>, colors: &Frame<'_>, out: &mut FrameMut<'_>) {
        let InForce { inverse, background, fit, .. } = self.in_force;
        let prepared =
            self.prepared.get_or_insert_with(|| Prepared::new(background, (*fit).into(), self.aspect, out));
        // Neither the subject nor what was hidden before takes part in a blur.
        if *inverse {
            self.mattes.find_clear(frame);
        } else if prepared.is_blur() {
            self.mattes.find_cover(frame);
        }
        let backdrop = prepared.look(colors, self.mattes.cover());
        if *inverse {
            let plate = self.scene.plate(frame, (out.format, out.color), backdrop);
            self.painter.plain(colors, self.mattes.clear(), &plate, out);
        } else {
            self.painter.opaque(colors, self.mattes.subject(), self.which, backdrop, out);
        }
    }
}
