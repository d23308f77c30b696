//! Measures against mattes that are known.

use super::{Size, WrongSize, check, connectivity, dilate, gradient, mean};

/// The measures of one frame. All are at least 0; 0 is a perfect matte.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TruthFrame {
    /// Mean of |α − α*|, ×10³; 0..1000.
    pub mad: f64,
    /// Mean of (α − α*)², ×10³; 0..1000.
    pub mse: f64,
    /// Σ (|∇α| − |∇α*|)², ×10⁻³; grows with the frame's area. Gaussian derivatives, σ = 1.4.
    /// Rhemann, Rother, Wang, Gelautz, Kohli, Rott: A Perceptually Motivated Online Benchmark for Image
    /// Matting, CVPR 2009.
    pub grad: f64,
    /// Σ |φ(α) − φ(α*)|, ×10⁻³; grows with the frame's area. Connectivity to the largest region that both
    /// mattes hold, with p = 1 and θ = 0.15 (Rhemann et al. 2009).
    pub conn: f64,
    /// Mean of |α − α*|, ×10³, within 5 pixels of where 0.02 < α* < 0.98: where users look; 0..1000.
    pub edge: f64,
    /// √(mean of (Δα − Δα*)²), ×10², Δ from the frame before; 0..200. `None` for the first frame.
    /// Erofeev, Gitman, Vatolin, Fedorov, Wang: Perceptually Motivated Benchmark for Video Matting,
    /// BMVC 2015.
    pub dtssd: Option<f64>,
}

/// Collects the measures of a clip's frames, in order.
pub struct Truth {
    size: Size,
    /// α − α* of the frame before.
    before: Option<Vec<f32>>,
    frames: Vec<TruthFrame>,
}

impl Truth {
    /// For frames of a size.
    pub fn new(size: Size) -> Self {
        Self { size, before: None, frames: Vec::new() }
    }

    /// Measures the next frame: `p` is judged, `g` is the truth.
    ///
    /// # Errors
    /// When either does not have the size's number of pixels.
    pub fn add(&mut self, p: &[f32], g: &[f32]) -> Result<TruthFrame, WrongSize> {
        check(self.size, p.len())?;
        check(self.size, g.len())?;
        let pixels = p.len() as f64;
        let d: Vec<f32> = p.iter().zip(g).map(|(p, g)| p - g).collect();
        let absolute = |d: &f32| f64::from(d.abs());
        let square = |d: f64| d * d;
        let soft: Vec<bool> = g.iter().map(|g| *g > 0.02 && *g < 0.98).collect();
        let band = dilate(&soft, self.size, 5);
        let (gp, gg) = (gradient::magnitude(p, self.size), gradient::magnitude(g, self.size));
        let frame = TruthFrame {
            mad: d.iter().map(absolute).sum::<f64>() / pixels * 1e3,
            mse: d.iter().map(|d| square(f64::from(*d))).sum::<f64>() / pixels * 1e3,
            grad: gp.iter().zip(&gg).map(|(p, g)| square(p - g)).sum::<f64>() / 1e3,
            conn: connectivity::error(p, g, self.size) / 1e3,
            edge: mean(d.iter().zip(&band).filter(|(_, b)| **b).map(|(d, _)| absolute(d))).unwrap_or(0.0)
                * 1e3,
            dtssd: self.before.as_ref().map(|before| {
                let sum: f64 = d.iter().zip(before).map(|(d, b)| square(f64::from(d - b))).sum();
                (sum / pixels).sqrt() * 1e2
            }),
        };
        self.before = Some(d);
        self.frames.push(frame);
        Ok(frame)
    }

    /// Each frame's measures.
    pub fn frames(&self) -> &[TruthFrame] {
        &self.frames
    }

    /// The mean over the frames; `None` before the first.
    pub fn mean(&self) -> Option<TruthFrame> {
        let of = |f: fn(&TruthFrame) -> f64| mean(self.frames.iter().map(f));
        Some(TruthFrame {
            mad: of(|f| f.mad)?,
            mse: of(|f| f.mse)?,
            grad: of(|f| f.grad)?,
            conn: of(|f| f.conn)?,
            edge: of(|f| f.edge)?,
            dtssd: mean(self.frames.iter().filter_map(|f| f.dtssd)),
        })
    }
}
