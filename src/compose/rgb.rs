//! From a frame in Y'CbCr 4:2:0 to a transparent one in R'G'B', in one pass: no frame of either kind lies in memory between.

use super::{LOCAL, Local, STRIP};
use crate::frame::{Color, Format, FrameMut, HiddenColors, Rows};
use crate::simd::multiversion;
use rayon::prelude::*;

/// Steps of a level in which what luma and chroma add to a colour is counted.
const STEPS: f32 = 64.0;
/// Bits by which coefficients are finer than that.
const FINER: u32 = 8;

/// Whether [`transparent`] brings frames from one format to the other.
pub(crate) fn takes(from: Format, to: Format) -> bool {
    let rgb = to.layout();
    matches!(from, Format::I420 | Format::Yv12 | Format::Nv12)
        && !to.is_yuv()
        && rgb.alpha.is_some()
        && rgb.color.iter().all(|c| c.step == 4)
}

/// What the samples of a format add to R', G' and B' (ITU-T H.273 §8.3), in [`STEPS`] and [`FINER`] bits below.
#[derive(Clone, Copy, Debug)]
struct Matrix {
    luma: i32,
    black: i32,
    /// Of Cr to red, of both to green, of Cb to blue.
    red: i32,
    green: [i32; 2],
    blue: i32,
}

impl Matrix {
    fn new(color: Color) -> Self {
        let (m, offset) = color.rgb_matrix();
        let fixed = |v: f32| (v * STEPS * (1 << FINER) as f32).round() as i32;
        Self {
            luma: fixed(m[0][0]),
            black: offset[0] as i32,
            red: fixed(m[0][2]),
            green: [fixed(m[1][1]), fixed(m[1][2])],
            blue: fixed(m[2][1]),
        }
    }
}

/// As [`super::transparent`], for colours in the `format` and the numbers `color` of a frame of `to`'s size, of which
/// [`takes`] says so. A sample of chroma is that of all four pixels that share it.
pub(crate) fn transparent(
    (from, format, color): (&dyn Rows, Format, Color),
    hidden: &dyn HiddenColors,
    to: &mut FrameMut<'_>,
    alpha: &[u8],
) {
    let (width, height) = (to.width, to.height);
    let [luma, cb, cr] = format.layout().color;
    let matrix = Matrix::new(color);
    let layout = to.format.layout();
    let Some(a) = layout.alpha else { return };
    let at = [layout.color[0], layout.color[1], layout.color[2], a].map(|c| 8 * c.offset as u32);
    let chroma = cb.width(width);
    let plane = &mut to.planes[0];
    let stride = plane.stride.max(1);
    plane.data.par_chunks_mut(stride * STRIP).enumerate().for_each(|(part, data)| {
        LOCAL.with_borrow_mut(|l| {
            let Local { back, front, shown, terms, .. } = l;
            for (y, row) in (part * STRIP..height).zip(data.chunks_mut(stride)) {
                if y % 2 == 0 {
                    terms.iter_mut().for_each(|t| t.resize(2 * chroma, 0));
                    let blue = from.row(cb.plane, y / 2, front);
                    let red = if cr.plane == cb.plane { blue } else { from.row(cr.plane, y / 2, back) };
                    chroma_terms([&blue[cb.offset..], &red[cr.offset..]], cb.step, &matrix, terms);
                }
                let own = &alpha[y * width..][..width];
                let shown = hidden.row(&luma, y, own, shown);
                let light = from.row(luma.plane, y, front);
                pack(light, &matrix, terms, [own, shown], at, &mut row[..4 * width]);
            }
        });
    });
}

multiversion! {
    /// What chroma adds to R', G' and B' of the pixels of a row, in [`STEPS`]: `out` holds two pixels for each sample.
    fn chroma_terms(chroma: [&[u8]; 2], step: usize, matrix: &Matrix, out: &mut [Vec<i16>; 3]) {
        match step {
            1 => chroma_terms_by::<1>(chroma, matrix, out),
            _ => chroma_terms_by::<2>(chroma, matrix, out),
        }
    }
}

#[inline(always)]
fn chroma_terms_by<const STEP: usize>([cb, cr]: [&[u8]; 2], matrix: &Matrix, out: &mut [Vec<i16>; 3]) {
    let Matrix { red, green: [gb, gr], blue, .. } = *matrix;
    let n = out[0].len() / 2;
    let [r, g, b] = out.each_mut().map(|o| o.as_chunks_mut::<2>().0);
    let (cb, cr) = (&cb[..(n - 1) * STEP + 1], &cr[..(n - 1) * STEP + 1]);
    let (r, g, b) = (&mut r[..n], &mut g[..n], &mut b[..n]);
    let part = |v: i32| ((v + (1 << (FINER - 1))) >> FINER) as i16;
    for i in 0..n {
        let (u, v) = (i32::from(cb[i * STEP]) - 128, i32::from(cr[i * STEP]) - 128);
        r[i] = [part(v * red); 2];
        g[i] = [part(u * gb + v * gr); 2];
        b[i] = [part(u * blue); 2];
    }
}

multiversion! {
    /// A row of pixels, of their luma and what chroma adds; black where nothing is `shown`. `at`: where in a pixel red, green,
    /// blue and alpha begin, in bits from its first byte on.
    fn pack(luma: &[u8], matrix: &Matrix, terms: &[Vec<i16>; 3], alpha: [&[u8]; 2], at: [u32; 4], out: &mut [u8]) {
        let (out, _) = out.as_chunks_mut::<4>();
        let n = out.len();
        let (r, g, b) = (&terms[0][..n], &terms[1][..n], &terms[2][..n]);
        let (luma, alpha, shown) = (&luma[..n], &alpha[0][..n], &alpha[1][..n]);
        let half = 1 << (FINER - 1);
        for i in 0..n {
            let y = ((i32::from(luma[i]) - matrix.black) * matrix.luma + half) >> FINER;
            let level = |term: i16| ((y + i32::from(term) + STEPS as i32 / 2) >> 6).clamp(0, 255) as u32;
            let colors = level(r[i]) << at[0] | level(g[i]) << at[1] | level(b[i]) << at[2];
            let seen = if shown[i] != 0 { colors } else { 0 };
            out[i] = (seen | u32::from(alpha[i]) << at[3]).to_le_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::testing::Picture;
    use crate::frame::{Component, Frame};
    use crate::simd::same_at_each_width;

    /// The reference: in floating point, pixel by pixel.
    fn plainly(frame: &Frame<'_>, x: usize, y: usize) -> [f32; 3] {
        let c = frame.format.layout().color;
        let at = |c: &Component| {
            f32::from(frame.planes[c.plane].row(y >> c.vsub)[c.offset + (x >> c.hsub) * c.step])
        };
        let (m, o) = frame.color.rgb_matrix();
        let yuv = [at(&c[0]), at(&c[1]), at(&c[2])];
        std::array::from_fn(|i| (0..3).map(|j| m[i][j] * (yuv[j] - o[j])).sum::<f32>().clamp(0.0, 255.0))
    }

    #[test]
    fn colours_are_those_of_the_formula() {
        let numbers = [
            Color::BT601,
            Color::BT709,
            Color { full_range: true, ..Color::BT601 },
            Color { full_range: true, kr: 0.2627, kb: 0.0593 },
        ];
        for (w, h) in [(1usize, 1usize), (2, 2), (37, 5), (130, 67)] {
            for from in [Format::I420, Format::Yv12, Format::Nv12] {
                for (k, to) in
                    [Format::Rgba, Format::Bgra, Format::Argb, Format::Abgr].into_iter().enumerate()
                {
                    assert!(takes(from, to));
                    let mut picture = Picture::new(from, w, h);
                    let mut state = 7u32;
                    for (data, _) in &mut picture.planes {
                        for v in data {
                            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                            *v = (state >> 24) as u8;
                        }
                    }
                    let frame = Frame { color: numbers[k], ..picture.frame() };
                    let alpha: Vec<u8> = (0..w * h).map(|i| [0u8, 255, 90, 0, 7][i * 31 % 5]).collect();
                    let got = same_at_each_width(format!("{from:?} to {to:?} {w}x{h}"), || {
                        let mut out = Picture::new(to, w, h);
                        out.planes[0].0.fill(77);
                        transparent((&frame, from, numbers[k]), &(), &mut out.frame_mut(), &alpha);
                        out.planes[0].0.clone()
                    });
                    let layout = to.layout();
                    let stride = Picture::new(to, w, h).planes[0].1;
                    for (i, &a) in alpha.iter().enumerate() {
                        let (x, y) = (i % w, i / w);
                        let pixel = &got[y * stride + 4 * x..][..4];
                        assert_eq!(pixel[layout.alpha.unwrap().offset], a);
                        let want = if a == 0 { [0.0; 3] } else { plainly(&frame, x, y) };
                        for (c, want) in layout.color.iter().zip(want) {
                            let got = f32::from(pixel[c.offset]);
                            assert!(
                                (got - want).abs() < 0.55,
                                "{from:?} to {to:?} {x},{y}: {got}, not {want}"
                            );
                        }
                    }
                }
            }
        }
    }
}
