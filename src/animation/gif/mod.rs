//! Animated GIF with one bit of alpha (GIF89a, W3C/CompuServe 1990).
//!
//! Steady by design: the palette stays until a frame needs another; colours are dithered by a pattern that
//! stands still; a pixel that hardly changes keeps its colour. Only what changed is written. Where
//! something opaque has to become nothing again, the frame before is disposed of first, since a GIF can
//! paint colours over colours but no hole.

mod palette;

use super::Rgba;
use gif::{DisposalMethod, Encoder, EncodingError, Frame, Repeat};
use palette::{MOST_COLORS, Palette, SAMPLES};
use rayon::prelude::*;
use std::borrow::Cow;
use std::sync::Arc;

/// The format's largest width and height.
pub const MAX_SIZE: usize = u16::MAX as usize;
/// Shortest time of a frame in hundredths of a second. Browsers take what is shorter for a tenth of a second.
const SHORTEST: u64 = 2;
/// A source pixel may change by so much (root mean square of R, G, B) before its colour is chosen anew.
const STILL: u32 = 4;
/// A new palette is due when the old one is so many times worse than it was for its own frame.
const WORSE: f32 = 1.5;
/// The same, below which no palette is bad (squared distance in Oklab).
const GOOD: f32 = 4e-5;

/// How to encode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Least alpha that is seen, 1 to 255.
    pub threshold: u8,
    /// 0 (flat areas in steps) to 1 (all steps dithered away).
    pub dither: f32,
    /// How many colours a palette has at most, 2 to 255.
    pub colors: u8,
    /// How often to play; 0 = for ever.
    pub loops: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self { threshold: 128, dither: 0.7, colors: MOST_COLORS, loops: 0 }
    }
}

/// A pixel that is shown: R, G, B, 255, or all 0 for nothing.
type Shown = [u8; 4];
const NOTHING: Shown = [0; 4];

/// A frame that waits for the next one, which tells how long it is seen and what has to go after it.
struct Pending {
    /// From the first frame on, in hundredths of a second.
    at: u64,
    palette: Arc<Palette>,
    indices: Vec<u8>,
    shown: Vec<Shown>,
}

/// Writes an animation, piece by piece.
pub struct Writer {
    options: Options,
    size: (usize, usize),
    /// Begun with the first frame's palette, which serves later frames, too.
    file: Option<(Encoder<Vec<u8>>, Arc<Palette>)>,
    palette: Option<Arc<Palette>>,
    /// Time of the first frame in nanoseconds.
    first: Option<u64>,
    pending: Option<Pending>,
    /// What is seen before the pending frame is painted.
    canvas: Vec<Shown>,
    /// The source pixels that what is seen was made from.
    held: Vec<[u8; 4]>,
    /// Whether anything was ever see-through.
    holes: bool,
}

/// Left, top, width, height.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rect(usize, usize, usize, usize);

impl Writer {
    /// Begins an animation of pictures of `width` × `height` pixels.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn new(width: usize, height: usize, options: &Options) -> Result<Self, String> {
        if width > MAX_SIZE || height > MAX_SIZE {
            return Err(format!(
                "{width}×{height} is too large: GIF holds {MAX_SIZE}×{MAX_SIZE} at most; scale it down"
            ));
        }
        Ok(Self {
            options: *options,
            size: (width, height),
            file: None,
            palette: None,
            first: None,
            pending: None,
            canvas: vec![NOTHING; width * height],
            held: vec![[0; 4]; width * height],
            holes: false,
        })
    }

    /// Adds a frame at a time in nanoseconds; gives the bytes of the frame before it. `None` for a frame
    /// that comes too soon after the last to be seen, and is left out.
    ///
    /// # Errors
    /// In words.
    pub fn add(&mut self, frame: Rgba<'_>, time: u64) -> Result<Option<Vec<u8>>, String> {
        if (frame.width, frame.height) != self.size {
            return Err("the frame's size changed, which GIF cannot hold".into());
        }
        let first = *self.first.get_or_insert(time);
        // Rounded from the start of the animation on, so that no error adds up.
        let at = hundredths(first, time);
        if self.pending.as_ref().is_some_and(|p| at < p.at + SHORTEST) {
            return Ok(None);
        }
        let next = self.quantise(frame, at);
        let bytes = match self.pending.take() {
            Some(before) => self.emit(before, &next.shown, at)?,
            None => Vec::new(),
        };
        self.pending = Some(next);
        Ok(Some(bytes))
    }

    /// The last bytes of the file; the last frame is shown until `end`, in nanoseconds.
    ///
    /// # Errors
    /// In words; also when there was no frame.
    pub fn finish(mut self, end: u64) -> Result<Vec<u8>, String> {
        let (Some(last), Some(first)) = (self.pending.take(), self.first) else {
            return Err("there was no frame".into());
        };
        let end = hundredths(first, end).max(last.at + SHORTEST);
        // The animation begins again with nothing, where it has nothing anywhere.
        let next = if self.holes { vec![NOTHING; last.shown.len()] } else { last.shown.clone() };
        let mut bytes = self.emit(last, &next, end)?;
        if let Some((encoder, _)) = self.file.take() {
            bytes.extend(encoder.into_inner().map_err(said)?);
        }
        Ok(bytes)
    }

    /// Chooses colours.
    fn quantise(&mut self, frame: Rgba<'_>, at: u64) -> Pending {
        let (width, _) = self.size;
        let threshold = self.options.threshold.max(1);
        let samples = samples(frame.data, threshold);
        let kept = self.palette.take().filter(|p| p.error(&samples) <= (p.born * WORSE).max(GOOD));
        let same = kept.is_some();
        let palette = kept.unwrap_or_else(|| Arc::new(Palette::of(&samples, self.options.colors)));
        let amount = self.options.dither;
        let nothing = palette.nothing();
        // What will be seen just before: the pending frame's own picture.
        let before = self.pending.as_ref().map(|p| (&p.shown, &p.indices, &p.palette));
        let mut indices = vec![nothing; self.held.len()];
        let mut shown = vec![NOTHING; self.held.len()];
        let rows = indices.par_chunks_mut(width).zip(shown.par_chunks_mut(width));
        let rows = rows.zip(self.held.par_chunks_mut(width)).zip(frame.data.par_chunks(width * 4));
        rows.enumerate().for_each(|(y, (((indices, shown), held), source))| {
            for (x, source) in source.as_chunks::<4>().0.iter().enumerate() {
                if source[3] < threshold {
                    held[x] = [0; 4];
                    continue;
                }
                let old = before.filter(|_| same).map(|(s, i, _)| (s[y * width + x], i[y * width + x]));
                if let Some((was, index)) = old
                    && was[3] != 0
                    && index != nothing
                    && difference(source, &held[x]) <= 3 * STILL * STILL
                {
                    indices[x] = index;
                    shown[x] = was;
                    continue;
                }
                // As far as the next colour is from this one: near in the dark, far elsewhere.
                let color = [source[0], source[1], source[2]];
                let shift = amount * palette.spacing(palette.nearest(color)) * threshold_at(x, y);
                let dithered = color.map(|v| (f32::from(v) + shift + 0.5).clamp(0.0, 255.0) as u8);
                let index = palette.nearest(dithered);
                let [r, g, b] = palette.color(index);
                indices[x] = index;
                shown[x] = [r, g, b, 255];
                held[x] = [color[0], color[1], color[2], 255];
            }
        });
        self.holes |= shown.iter().any(|s| s[3] == 0);
        self.palette = Some(Arc::clone(&palette));
        Pending { at, palette, indices, shown }
    }

    /// Writes a frame that is followed by `next` at `end`.
    fn emit(&mut self, frame: Pending, next: &[Shown], end: u64) -> Result<Vec<u8>, String> {
        let (width, height) = self.size;
        let goes = |i: usize| frame.shown[i][3] != 0 && next[i][3] == 0;
        let clear = (0..next.len()).any(goes);
        let changes = |i: usize| frame.shown[i] != self.canvas[i] || (clear && goes(i));
        // A frame in which nothing changes still takes its time.
        let rect = bounds(self.size, changes).unwrap_or(Rect(0, 0, 1, 1));
        let Rect(left, top, w, h) = rect;
        let nothing = frame.palette.nothing();
        let mut buffer = Vec::with_capacity(w * h);
        for y in top..top + h {
            let row = y * width + left..y * width + left + w;
            buffer.extend(
                row.map(|i| if frame.shown[i] == self.canvas[i] { nothing } else { frame.indices[i] }),
            );
        }
        if self.file.is_none() {
            let mut encoder = Encoder::new(Vec::new(), width as u16, height as u16, &frame.palette.table())
                .map_err(said)?;
            // What is written is how often it plays again; once needs no word.
            match self.options.loops {
                0 => encoder.set_repeat(Repeat::Infinite).map_err(said)?,
                1 => {}
                n => encoder.set_repeat(Repeat::Finite(n - 1)).map_err(said)?,
            }
            self.file = Some((encoder, Arc::clone(&frame.palette)));
        }
        let Some((encoder, first)) = &mut self.file else { return Err("the file has not begun".into()) };
        let own = (!Arc::ptr_eq(first, &frame.palette)).then(|| frame.palette.table());
        let written = Frame {
            delay: (end - frame.at).min(u16::MAX.into()) as u16,
            dispose: if clear { DisposalMethod::Background } else { DisposalMethod::Keep },
            transparent: Some(nothing),
            needs_user_input: false,
            top: top as u16,
            left: left as u16,
            width: w as u16,
            height: h as u16,
            interlaced: false,
            palette: own,
            buffer: Cow::Owned(buffer),
        };
        encoder.write_frame(&written).map_err(said)?;
        self.canvas = frame.shown;
        if clear {
            for y in top..top + h {
                self.canvas[y * width + left..][..w].fill(NOTHING);
            }
        }
        Ok(std::mem::take(encoder.get_mut()))
    }
}

fn said(e: EncodingError) -> String {
    format!("the GIF cannot be written: {e}")
}

/// Hundredths of a second between two times in nanoseconds.
fn hundredths(first: u64, time: u64) -> u64 {
    (time.saturating_sub(first) + 5_000_000) / 10_000_000
}

fn difference(a: &[u8; 4], b: &[u8; 4]) -> u32 {
    a[..3].iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2)).sum()
}

/// Seen pixels, spread evenly over the frame.
fn samples(rgba: &[u8], threshold: u8) -> Vec<[u8; 3]> {
    let pixels = rgba.as_chunks::<4>().0;
    let seen = pixels.iter().filter(|p| p[3] >= threshold);
    let step = seen.clone().count().div_ceil(SAMPLES).max(1);
    seen.step_by(step).map(|p| [p[0], p[1], p[2]]).collect()
}

/// The dither pattern, −0.5 to 0.5: the R2 sequence as a triangle wave, which has no visible grid (Roberts,
/// "The Unreasonable Effectiveness of Quasirandom Sequences", 2018).
fn threshold_at(x: usize, y: usize) -> f32 {
    let v = (0.754_877_67 * x as f64 + 0.569_840_3 * y as f64).fract();
    let triangle = if v < 0.5 { 2.0 * v } else { 2.0 - 2.0 * v };
    (triangle - 0.5) as f32
}

/// The smallest rectangle around all pixels that `is` says yes to.
fn bounds((width, height): (usize, usize), is: impl Fn(usize) -> bool) -> Option<Rect> {
    let (mut left, mut right) = (width, 0);
    let (mut top, mut bottom) = (None, 0);
    for y in 0..height {
        let row = y * width..(y + 1) * width;
        let Some(l) = row.clone().position(&is) else { continue };
        let r = row.rev().position(&is).map_or(l, |back| width - 1 - back);
        (left, right) = (left.min(l), right.max(r));
        top.get_or_insert(y);
        bottom = y;
    }
    top.map(|top| Rect(left, top, right + 1 - left, bottom + 1 - top))
}

#[cfg(test)]
mod tests;
