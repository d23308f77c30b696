//! How much the picture has changed since it was last looked at.

use super::readable;
use crate::frame::Frame;

/// Parts of the picture, across.
const COLUMNS: usize = 32;
/// Parts of the picture, down.
const ROWS: usize = 18;
/// Pixels of a part that are looked at, across and down.
const LOOKS: usize = 8;

/// Compares frames with one that was kept, part by part: a small thing that moves counts as much as a large one.
#[derive(Debug, Default)]
pub struct Change {
    kept: Option<(usize, usize, Vec<u8>)>,
}

impl Change {
    /// Keeps a frame to compare others with.
    pub fn keep(&mut self, frame: &Frame<'_>) {
        self.kept = readable(frame).then(|| (frame.width, frame.height, samples(frame)));
    }

    /// The mean absolute difference of the component that has changed most, 0..1 of full scale, in the part that has
    /// changed most; `None` if no frame of this size has been kept.
    pub fn since_kept(&self, frame: &Frame<'_>) -> Option<f32> {
        let (w, h, kept) = self.kept.as_ref()?;
        if (*w, *h) != (frame.width, frame.height) || !readable(frame) {
            return None;
        }
        let now = samples(frame);
        if now.len() != kept.len() {
            return None;
        }
        let parts = now.chunks_exact(LOOKS * LOOKS).zip(kept.chunks_exact(LOOKS * LOOKS));
        let sum = |(a, b): (&[u8], &[u8])| -> u32 {
            a.iter().zip(b).map(|(&a, &b)| u32::from(a.abs_diff(b))).sum()
        };
        parts.map(sum).max().map(|m| m as f32 / (LOOKS * LOOKS * 255) as f32)
    }
}

/// Some pixels of each part, part by part, of each component in turn.
fn samples(frame: &Frame<'_>) -> Vec<u8> {
    let layout = frame.format.layout();
    let colors = layout.color[..layout.colors].iter().filter(|c| frame.holds(c));
    let mut out = Vec::with_capacity(layout.colors * COLUMNS * ROWS * LOOKS * LOOKS);
    let place = |i: usize, n: usize, size: usize| ((2 * i + 1) * size / (2 * n)).min(size - 1);
    for c in colors {
        let (plane, width, height) = (&frame.planes[c.plane], c.width(frame.width), c.height(frame.height));
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                for y in 0..LOOKS {
                    let line = plane.row(place(row * LOOKS + y, ROWS * LOOKS, height));
                    out.extend((0..LOOKS).map(|x| {
                        let at = place(column * LOOKS + x, COLUMNS * LOOKS, width);
                        line[c.offset + at * c.step]
                    }));
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Format;
    use crate::frame::testing::{Picture, noise};

    #[test]
    fn sees_small_changes_and_no_others() {
        let mut change = Change::default();
        let first = noise(Format::I420, 320, 180, 1);
        assert_eq!(change.since_kept(&first.frame()), None);
        change.keep(&first.frame());
        assert_eq!(change.since_kept(&first.frame()), Some(0.0));
        // One part of 10×10 pixels turns white.
        let mut second = first.clone();
        let (data, stride) = &mut second.planes[0];
        for y in 50..60 {
            data[y * *stride + 100..][..10].fill(255);
        }
        assert!(change.since_kept(&second.frame()).unwrap() > 0.2);
        // The same in one chroma plane alone.
        let mut third = first.clone();
        let (data, stride) = &mut third.planes[2];
        for y in 25..30 {
            data[y * *stride + 50..][..5].fill(255);
        }
        assert!(change.since_kept(&third.frame()).unwrap() > 0.2);
        assert_eq!(change.since_kept(&noise(Format::I420, 322, 180, 1).frame()), None);
        for (w, h) in [(1, 1), (16, 16), (17, 3)] {
            let p = Picture::new(Format::Bgra, w, h);
            change.keep(&p.frame());
            assert_eq!(change.since_kept(&p.frame()), Some(0.0));
        }
    }
}
