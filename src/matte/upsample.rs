//! From network resolution to frame resolution.

use super::Mask;
use crate::simd::multiversion;

/// Stretches a mask bilinearly over a frame; pixel centres are half a pixel from the edge, as in
/// `cv2.resize`. `alpha` is tight, `width · height`, 0..255.
#[derive(Debug, Default)]
pub struct Upsampler {
    size: [usize; 3],
    columns: Vec<(u32, f32)>,
    wide: [Vec<f32>; 2],
}

impl Upsampler {
    pub fn run(&mut self, mask: &Mask, width: usize, height: usize, alpha: &mut [u8]) {
        if self.size != [mask.width, width, height] {
            self.size = [mask.width, width, height];
            self.columns = (0..width)
                .map(|x| {
                    let (at, f) = place(x, width, mask.width);
                    (at as u32, f)
                })
                .collect();
            self.wide.iter_mut().for_each(|w| w.resize(width, 0.0));
        }
        let mut have = [usize::MAX; 2];
        for (y, row) in alpha.chunks_exact_mut(width).enumerate() {
            let (at, f) = place(y, height, mask.height);
            // Each row of the mask is widened once; two are kept.
            for want in [at, (at + 1).min(mask.height - 1)] {
                if !have.contains(&want) {
                    let slot = want % 2;
                    have[slot] = want;
                    widen(&mask.data[want * mask.width..][..mask.width], &self.columns, &mut self.wide[slot]);
                }
            }
            let slot = |want: usize| &self.wide[if have[0] == want { 0 } else { 1 }];
            mix(slot(at), slot((at + 1).min(mask.height - 1)), f, row);
        }
    }
}

fn place(at: usize, out: usize, samples: usize) -> (usize, f32) {
    let centre = ((at as f32 + 0.5) * samples as f32 / out as f32 - 0.5).clamp(0.0, (samples - 1) as f32);
    (centre as usize, centre.fract())
}

fn widen(row: &[f32], columns: &[(u32, f32)], out: &mut [f32]) {
    let last = row.len() - 1;
    for (o, &(at, f)) in out.iter_mut().zip(columns) {
        let (l, r) = (row[at as usize], row[(at as usize + 1).min(last)]);
        *o = (l + (r - l) * f) * 255.0 + 0.5;
    }
}

multiversion! {
    fn mix(top: &[f32], bottom: &[f32], f: f32, out: &mut [u8]) {
        for ((o, t), b) in out.iter_mut().zip(top).zip(bottom) {
            *o = (t + (b - t) * f) as u8;
        }
    }
}
