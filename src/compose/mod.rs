//! From a frame and its matte to the frame that is handed on: transparent, or on a new background.
//!
//! Kernels work on the bytes of a plane as they lie. What differs between formats is only how the
//! alpha of a row spreads over a plane's bytes (`spread_alpha`), so one blend serves every format.

mod background;
mod blur;
mod picture;
pub(crate) mod rgb;

#[cfg(test)]
pub(crate) use background::hook;
pub(crate) use background::{BLUR, LEAST_BLUR, MOST_BLUR, Meaning, meaning, open};
pub use background::{Background, parse};
pub(crate) use blur::Blur;
pub(crate) use picture::{Fit, Image, Picture};

use crate::frame::{Component, Format, Frame, FrameMut, HiddenColors, PlaneMut, Rows};
use crate::simd::multiversion;
use rayon::prelude::*;
use std::cell::RefCell;

/// Fills a row of a plane with one colour, in the format's own numbers; bytes that belong to no colour become 255.
pub(crate) fn fill_row(format: Format, plane: usize, color: [u8; 3], row: &mut [u8]) {
    let layout = format.layout();
    row.fill(255);
    for (c, v) in layout.color[..layout.colors].iter().zip(color) {
        if c.plane == plane {
            row.iter_mut().skip(c.offset).step_by(c.step).for_each(|b| *b = v);
        }
    }
}

/// Black in the format's own numbers.
pub(crate) fn black(frame: &FrameMut<'_>) -> [u8; 3] {
    if frame.format.is_yuv() { frame.color.yuv([0; 3]) } else { [0; 3] }
}

/// How the alpha of four pixels becomes that of the one chroma sample they share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    /// Their mean: for blending.
    Mean,
    /// Their largest: a sample is gone only if no visible pixel uses it.
    Max,
}

/// The alpha of one row of a plane, byte by byte as the plane lies. Bytes that belong to no colour
/// component (padding, the format's own alpha) get 0.
///
/// `alpha` is tight, `width · height`; `y` counts the plane's own rows.
fn spread_alpha(
    format: Format,
    plane: usize,
    alpha: &[u8],
    (width, height): (usize, usize),
    y: usize,
    share: Share,
    out: &mut [u8],
) {
    let layout = format.layout();
    let parts = layout.color[..layout.colors].iter().filter(|c| c.plane == plane);
    let whole = |c: &Component| c.step == 1 && c.hsub == 0 && c.vsub == 0;
    if let Some(c) = parts.clone().next()
        && whole(c)
    {
        out[..width].copy_from_slice(&alpha[y * width..][..width]);
        return;
    }
    if layout.color.iter().all(|c| c.plane == plane && c.step == 4 && c.hsub == 0) {
        let keep = layout.color.map(|c| c.offset);
        spread_four(&alpha[y * width..][..width], keep, out);
        return;
    }
    out.fill(0);
    let rows = |c: &Component| {
        let top = y << c.vsub;
        let bottom = (top + (1 << c.vsub) - 1).min(height - 1);
        (&alpha[top * width..][..width], &alpha[bottom * width..][..width])
    };
    let mut done: Option<(&Component, usize)> = None;
    for c in parts {
        let n = c.width(width);
        // The two chroma components of a plane share their alpha.
        if let Some((first, from)) =
            done.filter(|(f, _)| (f.hsub, f.vsub, f.step) == (c.hsub, c.vsub, c.step))
        {
            debug_assert_eq!(first.plane, c.plane);
            for x in 0..n {
                out[c.offset + x * c.step] = out[from + x * c.step];
            }
            continue;
        }
        let (top, bottom) = rows(c);
        if c.hsub == 0 && c.vsub == 0 {
            for (o, a) in out[c.offset..].iter_mut().step_by(c.step).zip(top) {
                *o = *a;
            }
        } else {
            share_row(top, bottom, c.hsub, share, n, c.step, &mut out[c.offset..]);
        }
        done = Some((c, c.offset));
    }
}

multiversion! {
    fn spread_four(alpha: &[u8], keep: [usize; 3], out: &mut [u8]) {
        let mut mask = [0u8; 4];
        keep.iter().for_each(|k| mask[*k] = 255);
        for (o, a) in out.chunks_exact_mut(4).zip(alpha) {
            for (b, m) in o.iter_mut().zip(mask) {
                *b = *a & m;
            }
        }
    }
}

fn share_row(top: &[u8], bottom: &[u8], hsub: u32, share: Share, n: usize, step: usize, out: &mut [u8]) {
    if hsub == 1 && step == 1 {
        let whole = top.len() / 2;
        share_pairs(&top[..whole * 2], &bottom[..whole * 2], share == Share::Max, &mut out[..whole]);
        if n > whole {
            out[whole] = match share {
                Share::Mean => ((u16::from(top[whole * 2]) + u16::from(bottom[whole * 2])).div_ceil(2)) as u8,
                Share::Max => top[whole * 2].max(bottom[whole * 2]),
            };
        }
        return;
    }
    let last = top.len() - 1;
    for x in 0..n {
        let (l, r) = (x << hsub, ((x << hsub) + (1 << hsub) - 1).min(last));
        let four = [top[l], top[r], bottom[l], bottom[r]];
        out[x * step] = match share {
            Share::Mean => ((four.iter().map(|v| u16::from(*v)).sum::<u16>() + 2) / 4) as u8,
            Share::Max => four.into_iter().fold(0, u8::max),
        };
    }
}

multiversion! {
    fn share_pairs(top: &[u8], bottom: &[u8], max: bool, out: &mut [u8]) {
        if max {
            for ((o, t), b) in out.iter_mut().zip(top.chunks_exact(2)).zip(bottom.chunks_exact(2)) {
                *o = t[0].max(t[1]).max(b[0]).max(b[1]);
            }
        } else {
            for ((o, t), b) in out.iter_mut().zip(top.chunks_exact(2)).zip(bottom.chunks_exact(2)) {
                let sum = u16::from(t[0]) + u16::from(t[1]) + u16::from(b[0]) + u16::from(b[1]);
                *o = ((sum + 2) / 4) as u8;
            }
        }
    }
}

multiversion! {
    /// `dst = front · a + back · (1 − a)`, rounded to nearest; `a` in 0..255 stands for 0..1.
    fn blend(dst: &mut [u8], front: &[u8], back: &[u8], alpha: &[u8]) {
        for (((d, f), b), a) in dst.iter_mut().zip(front).zip(back).zip(alpha) {
            let a = u16::from(*a);
            let v = u16::from(*f) * a + u16::from(*b) * (255 - a) + 128;
            *d = ((v + (v >> 8)) >> 8) as u8;
        }
    }
}

/// Alpha up to here hides a pixel altogether.
const HIDES: u8 = 8;

multiversion! {
    /// `front` where alpha is above 0, `back` where it is 0.
    fn reveal(dst: &mut [u8], front: &[u8], back: &[u8], alpha: &[u8]) {
        const RUN: usize = 64;
        let n = dst.len().min(front.len()).min(back.len()).min(alpha.len());
        let runs = dst[..n].chunks_exact_mut(RUN).zip(front[..n].chunks_exact(RUN));
        let runs = runs.zip(back[..n].chunks_exact(RUN)).zip(alpha[..n].chunks_exact(RUN));
        for (((d, f), b), a) in runs {
            let (least, most) = a.iter().fold((255, 0), |(l, m): (u8, u8), v| (l.min(*v), m.max(*v)));
            if least > 0 {
                d.copy_from_slice(f);
            } else if most == 0 {
                d.copy_from_slice(b);
            } else {
                reveal_run(d, f, b, a);
            }
        }
        let done = n - n % RUN;
        reveal_run(&mut dst[done..n], &front[done..n], &back[done..n], &alpha[done..n]);
    }
}

#[inline(always)]
fn reveal_run(dst: &mut [u8], front: &[u8], back: &[u8], alpha: &[u8]) {
    for (((d, &f), &b), &a) in dst.iter_mut().zip(front).zip(back).zip(alpha) {
        *d = if a != 0 { f } else { b };
    }
}

/// Takes away the haze of a matte, in which what is behind could still be read: alpha up to 8 becomes 0, and from there it
/// rises to what it was at 24, without a step that would flicker.
pub(crate) fn clear_haze(matte: &mut [u8]) {
    matte.par_chunks_mut(1 << 16).for_each(clear);
}

multiversion! {
    fn clear(matte: &mut [u8]) {
        for a in matte {
            let above = a.saturating_sub(HIDES);
            *a = (*a).min(above.saturating_add(above >> 1));
        }
    }
}

multiversion! {
    fn scale(dst: &mut [u8], by: &[u8]) {
        for (d, b) in dst.iter_mut().zip(by) {
            let v = u16::from(*d) * u16::from(*b) + 128;
            *d = ((v + (v >> 8)) >> 8) as u8;
        }
    }
}

/// Multiplies the alpha that the frame already has into the matte.
pub(crate) fn multiply_alpha(frame: &Frame<'_>, alpha: &mut [u8]) {
    let Some(c) = frame.format.layout().alpha else { return };
    for (y, row) in alpha.chunks_exact_mut(frame.width).enumerate() {
        let from = &frame.planes[c.plane].row(y)[c.offset..];
        if c.step == 1 {
            scale(row, from);
        } else {
            for (a, b) in row.iter_mut().zip(from.iter().step_by(c.step)) {
                let v = u16::from(*a) * u16::from(*b) + 128;
                *a = ((v + (v >> 8)) >> 8) as u8;
            }
        }
    }
}

/// 1 − (1 − matte) · alpha: high where the subject is, and where the frame was hidden already.
pub(crate) fn cover(frame: &Frame<'_>, matte: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend(matte.iter().map(|m| 255 - m));
    multiply_alpha(frame, out);
    out.iter_mut().for_each(|v| *v = 255 - *v);
}

/// Bytes of a row of a plane that belong to the frame, and rows of the plane.
pub(crate) fn extent(format: Format, plane: usize, width: usize, height: usize) -> (usize, usize) {
    let layout = format.layout();
    let parts = layout.color[..layout.colors].iter().chain(layout.alpha.as_ref());
    let here = parts.filter(|c| c.plane == plane);
    here.fold((0, 0), |(bytes, rows), c| {
        // Whole pixel groups, so that padding bytes (the x of RGBx) are written, too.
        let group = c.width(width) * c.step;
        (bytes.max(group), rows.max(c.height(height)))
    })
}

/// Copies the colours of a frame into one of the same kind, YUV with the same subsampling or RGB.
/// Gives `false`, with nothing written, when the formats differ in more than order and alpha.
pub(crate) fn copy_colors(from: &Frame<'_>, to: &mut FrameMut<'_>) -> bool {
    let (a, b) = (from.format.layout(), to.format.layout());
    if from.format == to.format {
        for (plane, data) in to.planes.iter_mut().enumerate().take(a.planes) {
            each_row(data, extent(from.format, plane, from.width, from.height), |y, row| {
                let source = from.planes[plane].row(y);
                let n = row.len().min(source.len());
                row[..n].copy_from_slice(&source[..n]);
            });
        }
        return true;
    }
    let alike = from.format.is_yuv() == to.format.is_yuv()
        && a.colors == b.colors
        && a.color.iter().zip(&b.color).all(|(a, b)| (a.hsub, a.vsub) == (b.hsub, b.vsub));
    // Packed formats are shuffled faster by GStreamer's own converter.
    if !alike || b.color[0].step != 1 {
        return false;
    }
    for (a, b) in a.color.iter().zip(&b.color) {
        let size = (a.width(from.width), a.height(from.height));
        each_row(&mut to.planes[b.plane], size, |y, row| {
            let source = &from.planes[a.plane].row(y)[a.offset..];
            if a.step == 1 {
                row.copy_from_slice(&source[..row.len()]);
            } else {
                row.iter_mut().zip(source.iter().step_by(a.step)).for_each(|(t, f)| *t = *f);
            }
        });
    }
    true
}

/// Rows of the frame that one thread works on at a time: with all that belongs to them they lie in its cache.
const STRIP: usize = 32;

/// Calls `f` for each row of a plane, some rows side by side: the row's number in the plane, and its `bytes` bytes.
fn each_row(plane: &mut PlaneMut<'_>, (bytes, count): (usize, usize), f: impl Fn(usize, &mut [u8]) + Sync) {
    let stride = plane.stride.max(1);
    plane.data.par_chunks_mut(stride * STRIP).enumerate().for_each(|(part, data)| {
        let first = part * STRIP;
        for (y, row) in (first..count).zip(data.chunks_mut(stride)) {
            let n = bytes.min(row.len());
            f(y, &mut row[..n]);
        }
    });
}

/// Some rows of a frame, from one strip of it: of each plane, the first row's number and the bytes.
type Strip<'a> = [(usize, &'a mut [u8]); 4];

/// What one thread needs.
#[derive(Default)]
struct Local {
    /// A row's alpha, byte by byte.
    alpha: Vec<u8>,
    back: Vec<u8>,
    front: Vec<u8>,
    shown: Vec<u8>,
    /// The strip's alpha at half the resolution.
    halved: Vec<u8>,
    /// What a row of chroma adds to red, green and blue.
    terms: [Vec<i16>; 3],
}

thread_local!(static LOCAL: RefCell<Local> = RefCell::default());

/// What a row of a plane is made of.
struct Line<'a> {
    plane: usize,
    /// Counted in the plane's own rows.
    y: usize,
    /// The plane's first in this strip.
    first: bool,
    /// The alpha of each byte of the row; empty where no colour is.
    alpha: &'a [u8],
    back: &'a mut Vec<u8>,
    front: &'a mut Vec<u8>,
    /// Scratch.
    shown: &'a mut Vec<u8>,
}

/// Calls `f` for each row of a frame, strips of them side by side. `share`: how pixels that share a sample count.
fn each_line(to: &mut FrameMut<'_>, alpha: &[u8], share: Share, f: impl Fn(Line<'_>, &mut [u8]) + Sync) {
    let (format, width, height) = (to.format, to.width, to.height);
    let layout = format.layout();
    let parts = |plane: usize| layout.color[..layout.colors].iter().filter(move |c| c.plane == plane);
    let vsub = |plane: usize| parts(plane).next().map_or(0, |c| c.vsub);
    let strides = to.planes.each_ref().map(|p| p.stride.max(1));
    let mut rest = to.planes.each_mut().map(|p| &mut *p.data);
    let strips: Vec<Strip<'_>> = (0..height.div_ceil(STRIP))
        .map(|n| {
            let mut strip: Strip<'_> = Default::default();
            for (plane, (here, rest)) in strip.iter_mut().zip(&mut rest).enumerate() {
                let rows = STRIP >> vsub(plane);
                let end = (rows * strides[plane]).min(rest.len());
                let (data, more) = std::mem::take(rest).split_at_mut(end);
                (*here, *rest) = ((n * rows, data), more);
            }
            strip
        })
        .collect();
    strips.into_par_iter().for_each(|strip| {
        LOCAL.with_borrow_mut(|l| {
            let Local { alpha: spread_out, back, front, shown, halved, .. } = l;
            let mut have_half = false;
            for (plane, (first, data)) in strip.into_iter().enumerate().take(layout.planes) {
                let (bytes, count) = extent(format, plane, width, height);
                let colored = parts(plane).next().is_some();
                // Not every backdrop writes the bytes that pad an odd row; nothing of another frame may stand there.
                back.clear();
                back.resize(bytes, 0);
                let alone = parts(plane).next().filter(|c| (c.offset, c.step) == (0, 1));
                for (y, row) in (first..count).zip(data.chunks_mut(strides[plane])) {
                    let n = bytes.min(row.len());
                    let alpha = match alone {
                        _ if !colored => &[],
                        Some(c) if (c.hsub, c.vsub) == (0, 0) => &alpha[y * width..][..width],
                        Some(c) if (c.hsub, c.vsub) == (1, 1) => {
                            // Both of chroma's planes have the same.
                            let (n, at) = (c.width(width), (y - first) * c.width(width));
                            if !have_half {
                                halved.resize(halved.len().max(at + n), 0);
                                let rows = [2 * y, (2 * y + 1).min(height - 1)];
                                let [top, bottom] = rows.map(|y| &alpha[y * width..][..width]);
                                share_row(top, bottom, 1, share, n, 1, &mut halved[at..]);
                            }
                            &halved[at..][..n]
                        }
                        _ => {
                            spread_out.clear();
                            spread_out.resize(bytes, 0);
                            spread_alpha(format, plane, alpha, (width, height), y, share, spread_out);
                            &spread_out[..]
                        }
                    };
                    f(Line { plane, y, first: y == first, alpha, back, front, shown }, &mut row[..n]);
                }
                have_half |= alone.is_some_and(|c| (c.hsub, c.vsub) == (1, 1));
            }
        });
    });
}

/// No hidden pixel keeps its colours.
impl HiddenColors for () {
    fn row<'a>(&'a self, _c: &Component, _y: usize, alpha: &'a [u8], _scratch: &'a mut Vec<u8>) -> &'a [u8] {
        alpha
    }
}

/// Writes a frame with the matte as its alpha, and black wherever that is 0 and `hidden` keeps no colours; nothing else of `from`
/// is ever in `to`.
///
/// The colours of `from` lie as in `to`, and both are of one size.
pub(crate) fn transparent(from: &dyn Rows, hidden: &dyn HiddenColors, to: &mut FrameMut<'_>, alpha: &[u8]) {
    let (format, width) = (to.format, to.width);
    let layout = format.layout();
    let black = black(to);
    each_line(to, alpha, Share::Max, |line, row| {
        let Line { plane, y, first, alpha: shared, back, front, shown } = line;
        if let Some(c) = layout.color[..layout.colors].iter().find(|c| c.plane == plane) {
            if first {
                fill_row(format, plane, black, back);
            }
            let front = from.row(plane, y, front);
            reveal(row, front, back, hidden.row(c, y, shared, shown));
            // Of a last row, bytes that no colour is in may be missing.
            row.iter_mut().skip(front.len()).for_each(|b| *b = 255);
        }
        if let Some(c) = layout.alpha.filter(|c| c.plane == plane) {
            let from = &alpha[y * width..][..width];
            if c.step == 1 {
                row[..width].copy_from_slice(from);
            } else {
                row[c.offset..].iter_mut().step_by(c.step).zip(from).for_each(|(o, a)| *o = *a);
            }
        }
    });
}

/// What stands behind the subject.
pub(crate) trait Backdrop: Sync {
    /// The bytes of row `y` of a plane, as they lie in the frame's format; alpha bytes are 255.
    fn row(&self, plane: usize, y: usize, row: &mut [u8]);

    /// Whether all rows of a plane are the same.
    fn is_uniform(&self) -> bool {
        false
    }
}

/// One colour, in the frame's own numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Solid {
    pub format: Format,
    pub color: [u8; 3],
}

impl Backdrop for Solid {
    fn row(&self, plane: usize, _y: usize, row: &mut [u8]) {
        fill_row(self.format, plane, self.color, row);
    }

    fn is_uniform(&self) -> bool {
        true
    }
}

/// Writes the subject on a backdrop; nothing else of `from` is ever in `to`. The result is opaque.
///
/// The colours of `from` lie as in `to`, and both are of one size.
pub(crate) fn composite(from: &dyn Rows, to: &mut FrameMut<'_>, alpha: &[u8], backdrop: &dyn Backdrop) {
    each_line(to, alpha, Share::Mean, |line, row| {
        let Line { plane, y, first, alpha: shared, back, front, .. } = line;
        if first && backdrop.is_uniform() {
            backdrop.row(plane, y, back);
        }
        if shared.is_empty() {
            // Alpha of its own.
            row.fill(255);
            return;
        }
        let front = from.row(plane, y, front);
        // Of a last row, bytes that no colour is in may be missing.
        row.iter_mut().skip(front.len()).for_each(|b| *b = 255);
        if shared.iter().all(|a| *a == 255) {
            let n = row.len().min(front.len());
            row[..n].copy_from_slice(&front[..n]);
            return;
        }
        if !backdrop.is_uniform() {
            backdrop.row(plane, y, back);
        }
        blend(row, front, back, shared);
    });
}

/// The matte as a picture: grey, or the luma of I420 with neutral chroma.
pub(crate) fn matte(frame: &mut FrameMut<'_>, alpha: &[u8]) {
    let width = frame.width;
    for (y, from) in alpha.chunks_exact(width).enumerate() {
        frame.planes[0].row(y)[..width].copy_from_slice(from);
    }
    let layout = frame.format.layout();
    for c in layout.color[..layout.colors].iter().skip(1) {
        for y in 0..c.height(frame.height) {
            frame.planes[c.plane].row(y)[..c.width(width)].fill(128);
        }
    }
}

#[cfg(test)]
mod tests;
