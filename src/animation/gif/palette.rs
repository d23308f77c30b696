//! The few colours of a GIF: chosen from a frame, and found again fast for each pixel.

use quantette::deps::palette::{IntoColor, Oklab, Srgb};
use quantette::{PaletteSize, Pipeline};
use std::sync::atomic::{AtomicU16, Ordering};

/// One of the 256 colours says "nothing".
pub const MOST_COLORS: u8 = 255;
/// Pixels of a frame that palettes are made of and judged by, at most.
pub const SAMPLES: usize = 1 << 15;
/// Colours are looked up with so many bits of each component.
const BITS: u32 = 6;
/// A colour that has not been looked up.
const UNKNOWN: u16 = u16::MAX;

fn oklab([r, g, b]: [u8; 3]) -> [f32; 3] {
    let lab: Oklab = Srgb::new(r, g, b).into_linear().into_color();
    [lab.l, lab.a, lab.b]
}

/// Colours and the way from any colour to the nearest of them, as the eye sees it (Oklab; Ottosson, "A
/// perceptual color space for image processing", 2020).
pub struct Palette {
    colors: Vec<[u8; 3]>,
    lab: Vec<[f32; 3]>,
    /// The nearest colour of each cell of the colour cube, or [`UNKNOWN`]; filled in as asked for.
    nearest: Vec<AtomicU16>,
    /// How far each colour is from its neighbour, in code values: what dithering has to bridge.
    spacing: Vec<f32>,
    /// [`Palette::error`] for the frame that it was made from.
    pub born: f32,
}

impl Palette {
    /// The colours, so many at most, that suit the samples best: Wu's quantiser in Oklab.
    pub fn of(samples: &[[u8; 3]], most: u8) -> Self {
        let srgb: Vec<Srgb<u8>> = samples.iter().map(|&[r, g, b]| Srgb::new(r, g, b)).collect();
        let size = PaletteSize::from_u8_clamped(most);
        let colors = match Pipeline::new().palette_size(size).ditherer(None).input_slice(&srgb) {
            Ok(input) => {
                input.output_srgb8_palette().into_vec().iter().map(|c| [c.red, c.green, c.blue]).collect()
            }
            // No pixel at all is seen.
            Err(_) => vec![[0; 3]],
        };
        Self::new(colors, samples)
    }

    fn new(mut colors: Vec<[u8; 3]>, samples: &[[u8; 3]]) -> Self {
        colors.truncate(MOST_COLORS.into());
        let lab: Vec<_> = colors.iter().map(|c| oklab(*c)).collect();
        let cells = 1usize << (3 * BITS);
        let mut palette = Self {
            spacing: spacing(&colors),
            born: 0.0,
            nearest: (0..cells).map(|_| AtomicU16::new(UNKNOWN)).collect(),
            lab,
            colors,
        };
        palette.born = palette.error(samples);
        palette
    }

    /// How far the colour of an index is from its neighbour, in code values (root mean square).
    pub fn spacing(&self, index: u8) -> f32 {
        self.spacing[usize::from(index)]
    }

    /// The colours as R, G, B, one after the other.
    pub fn table(&self) -> Vec<u8> {
        self.colors.iter().flatten().copied().chain([0; 3]).collect()
    }

    /// The index that says "nothing": after the colours.
    pub fn nothing(&self) -> u8 {
        self.colors.len() as u8
    }

    pub fn color(&self, index: u8) -> [u8; 3] {
        self.colors[usize::from(index)]
    }

    /// The index of the colour nearest to a colour.
    pub fn nearest(&self, [r, g, b]: [u8; 3]) -> u8 {
        let high = |v: u8| usize::from(v >> (8 - BITS));
        let cell = (high(r) << (2 * BITS)) | (high(g) << BITS) | high(b);
        // Each cell stands for itself, so the order in which threads see them does not matter; to work one
        // out twice does no harm.
        let known = self.nearest[cell].load(Ordering::Relaxed);
        if known != UNKNOWN {
            return known as u8;
        }
        let centre = |v: u8| (v & (0xff << (8 - BITS))) | (1 << (7 - BITS));
        let (index, _) = self.search([r, g, b].map(centre));
        self.nearest[cell].store(index.into(), Ordering::Relaxed);
        index
    }

    fn search(&self, color: [u8; 3]) -> (u8, f32) {
        let [l, a, b] = oklab(color);
        let mut best = (0, f32::INFINITY);
        for (i, [pl, pa, pb]) in self.lab.iter().enumerate() {
            let d = (pl - l).powi(2) + (pa - a).powi(2) + (pb - b).powi(2);
            if d < best.1 {
                best = (i as u8, d);
            }
        }
        best
    }

    /// Mean squared distance in Oklab from the samples to the colours taken for them.
    pub fn error(&self, samples: &[[u8; 3]]) -> f32 {
        // An eighth of them tells enough.
        let some = samples.iter().step_by(8);
        let count = some.len().max(1);
        let sum: f32 = some
            .map(|s| {
                let (want, got) = (oklab(*s), self.lab[usize::from(self.nearest(*s))]);
                want.iter().zip(got).map(|(w, g)| (w - g).powi(2)).sum::<f32>()
            })
            .sum();
        sum / count as f32
    }
}

fn spacing(colors: &[[u8; 3]]) -> Vec<f32> {
    let distance = |a: &[u8; 3], b: &[u8; 3]| {
        let square = a.iter().zip(b).map(|(a, b)| (f32::from(*a) - f32::from(*b)).powi(2)).sum::<f32>();
        (square / 3.0).sqrt()
    };
    let to_next = |(i, a): (usize, &[u8; 3])| {
        let others = colors.iter().enumerate().filter(|(j, _)| *j != i);
        let least = others.map(|(_, b)| distance(a, b)).fold(f32::INFINITY, f32::min);
        if least.is_finite() { least } else { 0.0 }
    };
    colors.iter().enumerate().map(to_next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_colours_are_kept_exactly() {
        let colors = [[0, 0, 0], [255, 0, 0], [0, 255, 0], [250, 250, 250]];
        let samples: Vec<_> = colors.iter().copied().cycle().take(4000).collect();
        let palette = Palette::of(&samples, MOST_COLORS);
        for c in colors {
            let got = palette.color(palette.nearest(c));
            assert!(got.iter().zip(c).all(|(g, w)| g.abs_diff(w) <= 2), "{c:?} became {got:?}");
        }
        assert!(palette.born < 1e-4);
    }

    #[test]
    fn the_table_finds_what_a_search_finds() {
        let samples: Vec<_> =
            (0..20_000u32).map(|i| [i * 7, i / 9 * 13, i / 700 * 29].map(|v| (v % 256) as u8)).collect();
        let palette = Palette::of(&samples, MOST_COLORS);
        assert_eq!(palette.nothing(), MOST_COLORS);
        for c in samples.iter().step_by(97) {
            let centre = c.map(|v| (v & 0xfc) | 2);
            let first = palette.nearest(*c);
            assert_eq!(first, palette.search(centre).0);
            assert_eq!(first, palette.nearest(*c));
        }
    }

    #[test]
    fn nothing_to_see_makes_a_palette_all_the_same() {
        let palette = Palette::of(&[], MOST_COLORS);
        assert_eq!(palette.nothing(), 1);
        assert_eq!(palette.nearest([9, 9, 9]), 0);
    }
}
