//! Alpha as a component has it, which may be coarser than the frame.

use crate::simd::multiversion;

/// Alpha (0..1) of samples from `from` on of a row of a component, each the mean of `1 << hsub` by `1 << vsub` pixels of a frame
/// of `w · h`; `y` is the component's row. Past the frame's edge its last pixels go on.
pub(crate) fn alpha_row(
    alpha: &[u8],
    (w, h): (usize, usize),
    (hsub, vsub): (u32, u32),
    (from, y): (usize, usize),
    out: &mut [f32],
) {
    let row = |y: usize| &alpha[y.min(h - 1) * w..][..w];
    if (hsub, vsub) == (0, 0) {
        return whole(&row(y)[from..], out);
    }
    let done = if (hsub, vsub) == (1, 1) {
        let pairs = (w / 2).saturating_sub(from).min(out.len());
        let x = 2 * from..2 * (from + pairs);
        if pairs > 0 {
            halved(&row(2 * y)[x.clone()], &row(2 * y + 1)[x], &mut out[..pairs]);
        }
        pairs
    } else {
        0
    };
    let (from, out) = (from + done, &mut out[done..]);
    let (nx, ny) = (1 << hsub, 1 << vsub);
    let norm = 1.0 / (255 * nx * ny) as f32;
    for (i, o) in out.iter_mut().enumerate() {
        let x = (from + i) << hsub;
        let mut sum = 0u32;
        for dy in 0..ny {
            let row = row((y << vsub) + dy);
            for dx in 0..nx {
                sum += u32::from(row[(x + dx).min(w - 1)]);
            }
        }
        *o = sum as f32 * norm;
    }
}

multiversion! {
    fn whole(row: &[u8], out: &mut [f32]) {
        for (o, &a) in out.iter_mut().zip(row) {
            *o = f32::from(a) * (1.0 / 255.0);
        }
    }
}

multiversion! {
    fn halved(top: &[u8], bottom: &[u8], out: &mut [f32]) {
        for ((o, t), b) in out.iter_mut().zip(top.chunks_exact(2)).zip(bottom.chunks_exact(2)) {
            let sum = u16::from(t[0]) + u16::from(t[1]) + u16::from(b[0]) + u16::from(b[1]);
            *o = f32::from(sum) * (1.0 / 1020.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::same_at_each_width;

    #[test]
    fn each_sample_is_the_mean_of_its_pixels() {
        for (w, h) in [(1usize, 1usize), (37, 5), (2, 9), (130, 6)] {
            let alpha: Vec<u8> = (0..w * h).map(|i| (i * i * 31 % 256) as u8).collect();
            for (hsub, vsub) in [(0, 0), (1, 0), (1, 1), (2, 0)] {
                let (width, height) = (w.div_ceil(1 << hsub), h.div_ceil(1 << vsub));
                for y in 0..height {
                    let from = width / 3;
                    let got = same_at_each_width(format!("{w}x{h} {hsub} {vsub}"), || {
                        let mut out = vec![7.0; width - from];
                        alpha_row(&alpha, (w, h), (hsub, vsub), (from, y), &mut out);
                        out
                    });
                    for (i, got) in got.iter().enumerate() {
                        let pixels =
                            (0..1usize << vsub).flat_map(|dy| (0..1usize << hsub).map(move |dx| (dx, dy)));
                        let at = |(dx, dy): (usize, usize)| {
                            let (x, y) = (((from + i) << hsub) + dx, (y << vsub) + dy);
                            f32::from(alpha[y.min(h - 1) * w + x.min(w - 1)])
                        };
                        let want = pixels.map(at).sum::<f32>() / (255 << (hsub + vsub)) as f32;
                        assert!(
                            (got - want).abs() < 1e-6,
                            "{w}x{h} {hsub} {vsub} {i},{y}: {got}, not {want}"
                        );
                    }
                }
            }
        }
    }
}
