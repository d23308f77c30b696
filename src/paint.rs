//! From a frame's colours and a matte to a picture: with alpha, or on what stands behind.

use crate::compose::{self, Backdrop, Background, Blur, Fit, Picture, Solid};
use crate::frame::{Frame, FrameMut, Rows};
use crate::refine::{Colors, Foreground};

/// A backdrop that is ready for a format.
pub enum Prepared {
    Solid(Solid),
    Picture(Picture),
    Blur(Box<Blur>),
}

impl Prepared {
    /// For frames like `out`; `aspect` is a pixel's width over its height.
    pub fn new(background: &Background, fit: Fit, aspect: f64, out: &FrameMut<'_>) -> Self {
        let (format, color) = (out.format, out.color);
        match background {
            Background::Color(rgb) => {
                let color = if format.is_yuv() { color.yuv(*rgb) } else { *rgb };
                Prepared::Solid(Solid { format, color })
            }
            Background::Image(image) => {
                let size = (out.width, out.height);
                Prepared::Picture(Picture::new(image, (format, color), size, fit, aspect))
            }
            Background::Blur(percent) => {
                Prepared::Blur(Box::new(Blur::new(format, out.width, out.height, *percent)))
            }
            // Not reached while opaque; black shows nothing of what is behind.
            Background::Transparent => Prepared::Solid(Solid { format, color: compose::black(out) }),
        }
    }

    /// Looks at the frame behind whose subject it stands. What has `cover` takes no part in a blur.
    pub fn look(&mut self, colors: &Frame<'_>, cover: &[u8]) -> &dyn Backdrop {
        match self {
            Prepared::Solid(s) => s,
            Prepared::Picture(p) => p,
            Prepared::Blur(b) => {
                b.prepare(colors, cover);
                &**b
            }
        }
    }

    /// Whether the frame makes a difference to it.
    pub fn is_blur(&self) -> bool {
        matches!(self, Prepared::Blur(_))
    }
}

/// One side of a frame, the subject or its background: what of each pixel's colour it is, and what of it is shown.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    pub matte: &'a [u8],
    /// With the alpha that the frame had before multiplied in.
    pub alpha: &'a [u8],
    /// Whether it had any. Straight alpha hides pixels, too; it says nothing of how colours mix.
    pub had_alpha: bool,
}

/// Paints sides; keeps its buffers from frame to frame, nothing else.
#[derive(Default)]
pub struct Painter {
    foreground: Foreground,
    /// The colours that a frame's own alpha leaves visible.
    seen: Foreground,
}

impl Painter {
    /// A side with its alpha; `colors` lie as in `out`, or are brought there by [`compose::rgb`]. `first`: which samples
    /// get the side's own colours where both mix; `kept`: where a frame's own alpha hides what is beside them.
    pub fn transparent(
        &mut self,
        colors: &Frame<'_>,
        side: Side<'_>,
        (first, kept): (Colors, Colors),
        out: &mut FrameMut<'_>,
    ) {
        let own_colors = self.foreground.prepare(colors, side.matte, first, !side.had_alpha);
        // Nothing of what was hidden before shows in chroma that is shared, nor is it carried.
        let seen =
            side.had_alpha.then(|| self.seen.prepare(colors, side.alpha, kept, true).over(&own_colors));
        let own_colors = seen.as_ref().unwrap_or(&own_colors);
        if compose::rgb::takes(colors.format, out.format) {
            let from = (own_colors as &dyn Rows, colors.format, colors.color);
            compose::rgb::transparent(from, own_colors, out, side.alpha);
        } else {
            compose::transparent(own_colors, own_colors, out, side.alpha);
        }
    }

    /// A side that mixes with nothing where it is shown, on a backdrop.
    pub fn plain(
        &mut self,
        colors: &Frame<'_>,
        side: Side<'_>,
        backdrop: &dyn Backdrop,
        out: &mut FrameMut<'_>,
    ) {
        let own = side.had_alpha.then(|| self.seen.prepare(colors, side.alpha, Colors::Shared, false));
        match &own {
            Some(own) => compose::composite(own, out, side.alpha, backdrop),
            None => compose::composite(colors, out, side.alpha, backdrop),
        }
    }

    /// A side on a backdrop.
    pub fn opaque(
        &mut self,
        colors: &Frame<'_>,
        side: Side<'_>,
        which: Colors,
        backdrop: &dyn Backdrop,
        out: &mut FrameMut<'_>,
    ) {
        let own_colors = self.foreground.prepare(colors, side.matte, which, false);
        let seen = side
            .had_alpha
            .then(|| self.seen.prepare(colors, side.alpha, Colors::Shared, false).over(&own_colors));
        compose::composite(seen.as_ref().unwrap_or(&own_colors), out, side.alpha, backdrop);
    }
}
