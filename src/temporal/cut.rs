//! Hard cuts, by luma histograms.

use crate::frame::Frame;

/// Parts of the picture, across and down; each has its histogram.
const CELLS: usize = 3;
/// Bins of a histogram.
const BINS: usize = 32;
/// Share of the picture that must change its luma.
const CHANGE: f32 = 0.4;
/// And how many times the usual change that must be: a shaky camera is not a series of cuts.
const USUAL: f32 = 2.5;

/// Tells the first frame of a new shot from the next frame of the same one, by the change of luma histograms in
/// nine parts of the picture (in the manner of Nagasaka & Tanaka, 1992), against the change that has been usual.
#[derive(Debug)]
pub struct CutDetector {
    last: Option<[[u32; BINS]; CELLS * CELLS]>,
    usual: f32,
}

impl Default for CutDetector {
    fn default() -> Self {
        Self::new()
    }
}

impl CutDetector {
    /// Has seen nothing; the first frame is no cut.
    pub fn new() -> Self {
        Self { last: None, usual: 0.0 }
    }

    /// Whether `frame` starts a new shot. Looks at some 5000 pixels, whatever the size.
    pub fn is_cut(&mut self, frame: &Frame<'_>) -> bool {
        if frame.width == 0 || frame.height == 0 {
            return false;
        }
        let component = super::guide(frame);
        let plane = &frame.planes[component.plane];
        let (w, h) = (frame.width, frame.height);
        let step = ((w * h) as f32 / 5000.0).sqrt().max(1.0) as usize;
        let mut now = [[0u32; BINS]; CELLS * CELLS];
        for y in (step / 2..h).step_by(step) {
            for x in (step / 2..w).step_by(step) {
                let at = y * plane.stride + component.offset + x * component.step;
                let Some(&value) = plane.data.get(at) else { return false };
                now[y * CELLS / h * CELLS + x * CELLS / w][usize::from(value) * BINS / 256] += 1;
            }
        }
        let Some(last) = self.last.replace(now) else { return false };
        let (mut moved, mut all) = (0, 0);
        for (now, last) in now.iter().zip(&last) {
            // A small shift in luma moves counts to a neighbouring bin: so pairs of bins are compared, most of
            // which hold both.
            let wide = |h: &[u32; BINS], b: usize| h[b] + h[(b + 1).min(BINS - 1)];
            moved += (0..BINS - 1).map(|b| wide(now, b).abs_diff(wide(last, b))).sum::<u32>();
            all += now.iter().sum::<u32>() + last.iter().sum::<u32>();
        }
        // Each pixel counts in two pairs of bins.
        let change = moved as f32 / (2 * all).max(1) as f32;
        let cut = change > CHANGE && change > USUAL * self.usual;
        self.usual = if cut { 0.0 } else { self.usual + (change - self.usual) * 0.2 };
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Format, testing::Picture};

    fn scene(format: Format, seed: usize, shift: usize) -> Picture {
        let mut p = Picture::new(format, 320, 180);
        for (data, _) in &mut p.planes {
            for (i, v) in data.iter_mut().enumerate() {
                let i = i + shift;
                *v = ((i / (37 + seed * 11) * (29 + seed * 13)) % 160 + seed * 40) as u8;
            }
        }
        p
    }

    #[test]
    fn cuts_are_cuts_and_motion_is_not() {
        for format in [Format::I420, Format::Rgba, Format::Yuy2, Format::Gray8] {
            let mut detector = CutDetector::new();
            for n in 0..10 {
                assert!(!detector.is_cut(&scene(format, 0, n * 8).frame()), "{format:?} {n}");
            }
            assert!(detector.is_cut(&scene(format, 2, 0).frame()), "{format:?}");
            assert!(!detector.is_cut(&scene(format, 2, 4).frame()), "{format:?}");
            detector = CutDetector::new();
            assert!(!detector.is_cut(&scene(format, 0, 0).frame()), "{format:?}");
        }
    }
}
