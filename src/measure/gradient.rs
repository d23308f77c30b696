//! The length of an image's gradient, by first-order Gaussian derivatives with σ = 1.4 (Rhemann et al. 2009).

use super::Size;

const SIGMA: f64 = 1.4;
/// Beyond this the Gaussian is below 0.01: ⌈σ √(−2 ln(√(2π) σ 0.01))⌉.
const HALF: usize = 4;

/// The Gaussian and its derivative, each of length 1 (L2), so that their product is.
fn kernels() -> ([f64; 2 * HALF + 1], [f64; 2 * HALF + 1]) {
    let mut g = [0.0; 2 * HALF + 1];
    let mut d = g;
    for (i, (g, d)) in g.iter_mut().zip(&mut d).enumerate() {
        let x = i as f64 - HALF as f64;
        *g = (-x * x / (2.0 * SIGMA * SIGMA)).exp();
        *d = -x * *g;
    }
    let unit = |k: &mut [f64]| {
        let length = k.iter().map(|v| v * v).sum::<f64>().sqrt();
        k.iter_mut().for_each(|v| *v /= length);
    };
    unit(&mut g);
    unit(&mut d);
    (g, d)
}

/// Correlates along `rows`, or else along columns; the border pixel goes on outside.
fn along(src: &[f64], size: Size, rows: bool, kernel: &[f64]) -> Vec<f64> {
    let (w, h) = (size.width, size.height);
    let mut out = vec![0.0; src.len()];
    // A row with its border, so that the compiler makes vectors of it.
    let mut bordered = Vec::new();
    for y in 0..h {
        let line = &mut out[y * w..(y + 1) * w];
        if rows {
            let row = &src[y * w..(y + 1) * w];
            bordered.clear();
            bordered.resize(HALF, row[0]);
            bordered.extend_from_slice(row);
            bordered.resize(w + 2 * HALF, row[w - 1]);
        }
        for (i, k) in kernel.iter().enumerate() {
            let from =
                if rows { &bordered[i..] } else { &src[(y + i).saturating_sub(HALF).min(h - 1) * w..] };
            line.iter_mut().zip(from).for_each(|(o, v)| *o += k * v);
        }
    }
    out
}

/// |∇α| of each pixel.
pub fn magnitude(alpha: &[f32], size: Size) -> Vec<f64> {
    let (g, d) = kernels();
    let alpha: Vec<f64> = alpha.iter().map(|a| f64::from(*a)).collect();
    let x = along(&along(&alpha, size, false, &g), size, true, &d);
    let y = along(&along(&alpha, size, true, &g), size, false, &d);
    x.iter().zip(&y).map(|(x, y)| x.hypot(*y)).collect()
}
