//! Green screens: the matte of a frame before a screen of one colour, without a network.
//!
//! `screen` finds the screen's colour and follows how it varies over the frame, `alpha` makes the matte of the
//! colour difference between it and the foreground, `spill` takes its light out of the foreground. All of it
//! works in the frame's own numbers, R'G'B' or Y'CbCr (ITU-R BT.601, BT.709): both are linear in each other, so that what holds
//! of a mix in one holds in the other. Nothing here knows GStreamer.

mod alpha;
mod colour;
mod garbage;
mod grid;
mod rows;
mod screen;
mod spill;
mod sums;
#[cfg(test)]
mod tests;

use crate::frame::{Frame, FrameMut};
use alpha::Maker;
use colour::{Difference, Numbers, Primary};
pub use garbage::GarbageMatte;
use rows::Rows;
use screen::{Kind, Lines, ScreenModel};

/// The value of the element's `model` that means keying.
pub const NAME: &str = "key";
/// What it is, in words.
pub const TITLE: &str = "Colour key, without a network";

/// What a user may say of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Its colour, R'G'B' of 0..255; `None` to have it found.
    pub color: Option<[u8; 3]>,
}

/// A colour cannot be keyed: neither red, green nor blue stands out of it by as much as this, of 255.
pub const LEAST_DIFFERENCE: u8 = screen::LEAST as u8;

/// Whether a screen of this colour can be keyed.
pub fn can_be_keyed(rgb: [u8; 3]) -> bool {
    Primary::of(rgb).1 >= LEAST_DIFFERENCE
}

/// Keys the frames of one stream; remembers the screen from frame to frame.
#[derive(Debug, Default)]
pub struct Keyer {
    options: Options,
    known: Option<Known>,
    maker: Maker,
}

#[derive(Debug)]
struct Known {
    /// Size and numbers of the frames that it is of.
    made_of: (usize, usize, Numbers),
    primary: Primary,
    model: ScreenModel,
    kinds: Vec<Kind>,
    /// Frame pixels in a cell.
    side: usize,
}

impl Keyer {
    /// Nothing known yet.
    pub fn new(options: Options) -> Self {
        Self { options, ..Self::default() }
    }

    /// What it was made with.
    pub fn options(&self) -> Options {
        self.options
    }

    /// Forgets the screen: another scene begins.
    pub fn reset(&mut self) {
        self.known = None;
    }

    /// Writes the matte of `frame` (0..255, tight rows of its size). Gives `false`, with `out` as it was, where there is no screen: none
    /// is found, or the frame has no colours.
    pub fn key(&mut self, frame: &Frame<'_>, out: &mut [u8]) -> bool {
        let Some(rows) = Rows::new(frame).filter(|_| out.len() == frame.width * frame.height) else {
            return false;
        };
        let numbers = Numbers::of(frame);
        let made_of = (frame.width, frame.height, numbers);
        self.known.take_if(|k| k.made_of != made_of);
        let followed = self.known.as_mut().and_then(|known| {
            let difference = Difference::new(frame, known.primary);
            Some((difference, known.model.look(&rows, &difference, false)?))
        });
        let found = followed.or_else(|| self.find(&rows, made_of));
        let Some((difference, lines)) = found else {
            self.known = None;
            return false;
        };
        self.maker.matte(&rows, &difference, &lines, out);
        if let Some(known) = &mut self.known {
            known.kinds = lines.kinds;
        }
        true
    }

    fn find(&mut self, rows: &Rows<'_>, made_of: (usize, usize, Numbers)) -> Option<(Difference, Lines)> {
        let wanted = self.options.color.map(Primary::of).map(|(p, d)| (p, f32::from(d)));
        let (primary, mean) = screen::find(rows, wanted)?;
        let difference = Difference::new(rows.frame, primary);
        let mut model = ScreenModel::new(rows, mean);
        // From the brightest parts outwards: each look knows the light better than the one before.
        for _ in 0..3 {
            model.look(rows, &difference, true)?;
        }
        let lines = model.look(rows, &difference, false)?;
        self.known = Some(Known { made_of, primary, model, kinds: Vec::new(), side: rows.side * rows.scale });
        Some((difference, lines))
    }

    /// Takes the screen's light out of a frame's colours, where the last frame that was keyed has its edges. `frame` has that frame's
    /// picture, in any format; `alpha` is the matte that was made of it.
    pub fn clean(&self, frame: &mut FrameMut<'_>, alpha: &[u8]) {
        let view = frame.as_ref();
        let Some(known) = &self.known else { return };
        let (width, height, made_of) = &known.made_of;
        let fits = (*width, *height) == (view.width, view.height) && alpha.len() == width * height;
        if !fits || !view.holds_colors() || view.format.layout().colors < 3 {
            return;
        }
        let to = Numbers::of(&view);
        let difference = Difference::new(&view, known.primary);
        let colors = spill::SpillColors::new(&known.model, &known.kinds, made_of, &to);
        spill::clean(frame, alpha, &colors, &difference, known.side);
    }

    /// The screen's colour where it was seen last, R'G'B' of 0..255: the mean of the frame.
    pub fn color(&self) -> Option<[u8; 3]> {
        let known = self.known.as_ref()?;
        let cells = &known.model.back.cells;
        let n = cells.len().max(1) as f32;
        let mean = cells.iter().fold([0.0; 3], |m, c| [m[0] + c[2] / n, m[1] + c[3] / n, m[2] + c[4] / n]);
        Some(known.made_of.2.rgb(mean).map(|v| v.clamp(0.0, 255.0) as u8))
    }
}
