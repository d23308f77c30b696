//! Measures that need no truth: the picture and its alpha are enough.

use super::connectivity::components;
use super::{Motion, Size, WrongSize, check, dilate, mean};

/// Wider pictures are reduced by whole factors to about this, so that the cost stays small.
const WIDTH: usize = 640;

/// The measures of one frame. Lower is better; `None` where there is nothing to measure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SteadyFrame {
    /// Edge stability: mean of |α − α where the picture says this pixel was a frame ago|, ×10³, within
    /// two pixels of 0.02 < α < 0.98 in either frame; 0..1000. Pixels whose motion is not known are left
    /// out. The motion-compensated error of Erofeev et al. 2015 (MESSDdt), without the truth.
    pub flicker: Option<f64>,
    /// Foreground integrity: background (α < 0.5) that the foreground closes in, in ‰ of the foreground;
    /// a bent arm's gap counts too, so only a difference between two mattes means something.
    pub holes: Option<f64>,
    /// Foreground integrity: foreground (α ≥ 0.5) apart from its largest piece, ‰ of the foreground; 0..1000.
    pub islands: Option<f64>,
    /// Vanished parts: foreground both a frame ago and a frame on, but not now, ‰ of the foreground.
    pub blinks: Option<f64>,
    /// Temporal consistency: |c(t−1) − 2c(t) + c(t+1)| / 2, in ‰ of the coverage c (the mean alpha):
    /// growth and shrinkage at a steady rate are motion, a change of mind from frame to frame is pulsing.
    pub pulsing: Option<f64>,
}

/// One frame, reduced.
struct Seen {
    luma: Vec<u8>,
    alpha: Vec<f32>,
    coverage: f64,
}

/// Collects the reference-free measures of a clip's frames, in order.
pub struct Steady {
    size: Size,
    factor: usize,
    reduced: Size,
    /// The last two frames, the older first.
    before: [Option<Seen>; 2],
    frames: Vec<SteadyFrame>,
}

impl Steady {
    /// For frames of a size.
    pub fn new(size: Size) -> Self {
        let factor = (size.width / WIDTH).max(1);
        let reduced = Size::new((size.width / factor).max(1), (size.height / factor).max(1));
        Self { size, factor, reduced, before: [None, None], frames: Vec::new() }
    }

    /// Measures the next frame. `blinks` and `pulsing` of a frame are known when the next one has come:
    /// they are in [`Steady::frames`] then.
    ///
    /// # Errors
    /// When either image does not have the size's number of pixels.
    pub fn add(&mut self, luma: &[u8], alpha: &[f32]) -> Result<SteadyFrame, WrongSize> {
        check(self.size, luma.len())?;
        check(self.size, alpha.len())?;
        let luma = self.reduce(luma, f32::from).iter().map(|v| (v + 0.5) as u8).collect();
        let alpha = self.reduce(alpha, |v| v);
        let coverage = mean(alpha.iter().map(|a| f64::from(*a))).unwrap_or(0.0);
        let now = Seen { luma, alpha, coverage };
        let mut frame = SteadyFrame::default();
        (frame.holes, frame.islands) = integrity(&now.alpha, self.reduced);
        if let Some(before) = &self.before[1] {
            frame.flicker = flicker(before, &now, self.reduced)?;
            if let (Some(older), Some(last)) = (&self.before[0], self.frames.last_mut()) {
                last.blinks = blinks(older, before, &now);
                let bend = (older.coverage - 2.0 * before.coverage + now.coverage).abs() / 2.0;
                last.pulsing = (before.coverage > 1e-4).then(|| bend / before.coverage * 1e3);
            }
        }
        self.frames.push(frame);
        self.before = [self.before[1].take(), Some(now)];
        Ok(frame)
    }

    /// Each frame's measures.
    pub fn frames(&self) -> &[SteadyFrame] {
        &self.frames
    }

    /// The mean over the frames that have a figure.
    pub fn mean(&self) -> SteadyFrame {
        let of = |f: fn(&SteadyFrame) -> Option<f64>| mean(self.frames.iter().filter_map(f));
        SteadyFrame {
            flicker: of(|f| f.flicker),
            holes: of(|f| f.holes),
            islands: of(|f| f.islands),
            blinks: of(|f| f.blinks),
            pulsing: of(|f| f.pulsing),
        }
    }

    /// Means of squares of `factor` pixels.
    fn reduce<T: Copy>(&self, image: &[T], number: fn(T) -> f32) -> Vec<f32> {
        let (f, w) = (self.factor, self.size.width);
        let mut out = Vec::with_capacity(self.reduced.pixels());
        for y in 0..self.reduced.height {
            for x in 0..self.reduced.width {
                let rows = (0..f).map(|r| image[(y * f + r) * w + x * f..][..f].iter().map(|v| number(*v)));
                out.push(rows.map(|r| r.sum::<f32>()).sum::<f32>() / (f * f) as f32);
            }
        }
        out
    }
}

fn flicker(before: &Seen, now: &Seen, size: Size) -> Result<Option<f64>, WrongSize> {
    let motion = Motion::find(&before.luma, &now.luma, size)?;
    let soft = |a: f32| a > 0.02 && a < 0.98;
    let either: Vec<bool> = now.alpha.iter().zip(&before.alpha).map(|(a, b)| soft(*a) || soft(*b)).collect();
    // A hard matte that jumps has no soft pixel: what changed is in the band too.
    let changed = now.alpha.iter().zip(&before.alpha).map(|(a, b)| (a - b).abs() > 0.5);
    let marked: Vec<bool> = either.iter().zip(changed).map(|(e, c)| *e || c).collect();
    let band = dilate(&marked, size, 2);
    let of = (0..band.len()).filter(|i| band[*i]).filter_map(|i| {
        let was = motion.before(i)?;
        Some(f64::from((now.alpha[i] - before.alpha[was]).abs()))
    });
    Ok(mean(of).map(|m| m * 1e3))
}

/// Holes and islands, ‰ of the foreground.
fn integrity(alpha: &[f32], size: Size) -> (Option<f64>, Option<f64>) {
    let solid: Vec<bool> = alpha.iter().map(|a| *a >= 0.5).collect();
    let empty: Vec<bool> = solid.iter().map(|s| !s).collect();
    let parts = components(&solid, size);
    let area: usize = parts.area.iter().sum();
    let Some(largest) = parts.largest() else { return (None, None) };
    let gaps = components(&empty, size);
    let closed: usize = gaps.area.iter().zip(&gaps.border).filter(|(_, b)| !**b).map(|(a, _)| a).sum();
    let share = |n: usize| Some(n as f64 / area as f64 * 1e3);
    (share(closed), share(area - parts.area[largest as usize]))
}

/// Foreground before and after but not now, ‰ of what is foreground before and after.
fn blinks(older: &Seen, now: &Seen, newer: &Seen) -> Option<f64> {
    let (mut both, mut gone) = (0usize, 0usize);
    for ((o, a), n) in older.alpha.iter().zip(&now.alpha).zip(&newer.alpha) {
        if *o >= 0.5 && *n >= 0.5 {
            both += 1;
            gone += usize::from(*a < 0.5);
        }
    }
    (both > 0).then(|| gone as f64 / both as f64 * 1e3)
}
