//! The colour difference by which a screen is told from what stands before it.

use crate::frame::{Color, Frame};

/// One of R, G, B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Primary {
    /// Red.
    Red = 0,
    /// Green.
    Green = 1,
    /// Blue.
    Blue = 2,
}

impl Primary {
    /// Those that screens are looked for in.
    pub const SCREENS: [Primary; 2] = [Primary::Green, Primary::Blue];

    /// The two others.
    pub fn others(self) -> [usize; 2] {
        match self {
            Primary::Red => [1, 2],
            Primary::Green => [0, 2],
            Primary::Blue => [0, 1],
        }
    }

    /// The one that stands out of a colour, and by how much, 0..255.
    pub fn of(rgb: [u8; 3]) -> (Primary, u8) {
        let all = [Primary::Red, Primary::Green, Primary::Blue];
        let excess = |p: Primary| {
            let [a, b] = p.others();
            rgb[p as usize].saturating_sub(rgb[a].max(rgb[b]))
        };
        all.map(|p| (p, excess(p))).into_iter().max_by_key(|(_, e)| *e).unwrap_or((Primary::Green, 0))
    }
}

/// The colour difference d = K − max(the two others) of Petro Vlahos (US patent 3 158 477, 1964), where K is the screen's
/// primary, in R'G'B' of 0..255. It is the smaller of two linear forms of a pixel's components, so that it is taken of Y'CbCr as
/// it lies: Y' falls out of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// `d = min over i of forms[i] · (c − offset)`.
    forms: [[f32; 3]; 2],
    offset: [f32; 3],
    /// What a component falls by where K falls by 1 of 255.
    pub fall: [f32; 3],
}

impl Difference {
    /// For the components of a frame's format.
    pub fn new(frame: &Frame<'_>, primary: Primary) -> Self {
        let to_rgb = Numbers::of(frame).to_rgb;
        let k = primary as usize;
        let forms = primary.others().map(|o| std::array::from_fn(|j| to_rgb.0[k][j] - to_rgb.0[o][j]));
        let mut unit = [0.0; 3];
        unit[k] = 1.0;
        Self { forms, offset: to_rgb.1, fall: Numbers::of(frame).step(unit) }
    }

    /// The components of black.
    pub fn offset(&self) -> [f32; 3] {
        self.offset
    }

    /// The difference of one colour.
    #[inline(always)]
    pub fn at(&self, c: [f32; 3]) -> f32 {
        let [a, b] = self.parts(c);
        a.min(b)
    }

    /// By how much the primary stands over each of the others.
    #[inline(always)]
    pub fn parts(&self, c: [f32; 3]) -> [f32; 2] {
        let (a, b, c) = (c[0] - self.offset[0], c[1] - self.offset[1], c[2] - self.offset[2]);
        let [f, g] = &self.forms;
        [f[0] * a + f[1] * b + f[2] * c, g[0] * a + g[1] * b + g[2] * c]
    }
}

/// How a frame's components mean R'G'B' of 0..255.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numbers {
    /// `rgb[i] = Σ m[i][j] · (c[j] − offset[j])`.
    pub to_rgb: ([[f32; 3]; 3], [f32; 3]),
    /// Of a YUV format.
    yuv: Option<Color>,
}

impl Numbers {
    /// Of a frame.
    pub fn of(frame: &Frame<'_>) -> Self {
        let yuv = frame.format.is_yuv().then_some(frame.color);
        let identity = ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [0.0; 3]);
        Self { to_rgb: yuv.map_or(identity, |c| c.rgb_matrix()), yuv }
    }

    /// The colour's R'G'B'.
    pub fn rgb(&self, c: [f32; 3]) -> [f32; 3] {
        let (m, o) = &self.to_rgb;
        std::array::from_fn(|i| (0..3).map(|j| m[i][j] * (c[j] - o[j])).sum())
    }

    /// What components change by where R'G'B' changes by this (ITU-T H.273 §8.3).
    pub fn step(&self, rgb: [f32; 3]) -> [f32; 3] {
        let Some(color) = self.yuv else { return rgb };
        let (ys, _, cs) = color.scale();
        let [r, g, b] = rgb.map(|v| v / 255.0);
        let y = color.kr * r + (1.0 - color.kr - color.kb) * g + color.kb * b;
        [y * ys, (b - y) / (2.0 * (1.0 - color.kb)) * cs, (r - y) / (2.0 * (1.0 - color.kr)) * cs]
    }

    /// The components of R'G'B'.
    pub fn components(&self, rgb: [f32; 3]) -> [f32; 3] {
        let (step, offset) = (self.step(rgb), self.to_rgb.1);
        std::array::from_fn(|i| step[i] + offset[i])
    }
}
