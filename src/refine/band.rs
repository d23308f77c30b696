//! Where the network is in doubt: the band that refinement works in, on the network's own grid.

use crate::morphology::{dilate, erode, quantise};
use crate::simd::{multiversion, nearest};

/// Mask values (8 bits) strictly between this and 255 less this are in doubt.
const SURE: u8 = 5;
/// A step of more than this between neighbours is an edge even when both sides are sure.
const STEP: u8 = 25;

/// What refinement wants to know of a mask, on the mask's own grid.
#[derive(Debug, Default)]
pub struct Band {
    pub width: usize,
    pub height: usize,
    /// The mask in 8 bits.
    pub mask: Vec<u8>,
    /// 1 in the uncertain band, 0 outside.
    pub band: Vec<u8>,
    /// 255 near a clear edge of the mask (both sure foreground and sure background close by), 0 in a wide grey
    /// area, where the network does not know and no contrast may be made up.
    pub clear: Vec<u8>,
    tmp: [Vec<u8>; 7],
}

impl Band {
    /// Finds the band of `mask` (0..1, `width · height`), widened by `grow` samples; `reach` is how far off, in
    /// samples, sure foreground and background count as close by.
    pub fn find(&mut self, mask: &[f32], width: usize, height: usize, grow: usize, reach: usize) {
        let n = width * height;
        (self.width, self.height) = (width, height);
        for v in [&mut self.mask, &mut self.band, &mut self.clear].into_iter().chain(&mut self.tmp) {
            v.resize(n, 0);
        }
        let [near_hi, near_lo, doubts, near, far_hi, far_lo, far] = &mut self.tmp;
        quantise(mask, &mut self.mask);
        let (mask, band, clear) = (&self.mask[..], &mut self.band, &mut self.clear);
        rayon::join(
            || {
                dilate(mask, width, 1, near_hi, near);
                erode(mask, width, 1, near_lo, near);
                doubt(mask, near_hi, near_lo, doubts);
                dilate(doubts, width, grow, band, near);
            },
            || {
                dilate(mask, width, reach, far_hi, far);
                erode(mask, width, reach, far_lo, far);
                clearness(far_hi, far_lo, clear);
            },
        );
    }

    /// What the mask holds in the middle of block `bx, by` of a grid of `grid_width · grid_height` over the frame, 0 or 255.
    pub fn solid(&self, bx: usize, by: usize, grid_width: usize, grid_height: usize) -> u8 {
        let at =
            |b: usize, count: usize, samples: usize| ((2 * b + 1) * samples / (2 * count)).min(samples - 1);
        let here = self.mask[at(by, grid_height, self.height) * self.width + at(bx, grid_width, self.width)];
        if here > 127 { 255 } else { 0 }
    }
}

multiversion! {
    fn doubt(mask: &[u8], hi: &[u8], lo: &[u8], out: &mut [u8]) {
        for (((o, &m), &h), &l) in out.iter_mut().zip(mask).zip(hi).zip(lo) {
            *o = (((m > SURE) & (m < 255 - SURE)) | (h - l > STEP)) as u8;
        }
    }
}

multiversion! {
    /// A smooth step from half the range to nine tenths of it.
    fn clearness(hi: &[u8], lo: &[u8], out: &mut [u8]) {
        for ((o, &h), &l) in out.iter_mut().zip(hi).zip(lo) {
            let t = ((f32::from(h - l) / 255.0 - 0.5) / 0.4).clamp(0.0, 1.0);
            *o = nearest(t * t * (3.0 - 2.0 * t) * 255.0) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sure_masks_have_no_band_and_edges_have() {
        let mut band = Band::default();
        band.find(&[1.0; 64], 8, 8, 2, 2);
        assert!(band.band.iter().all(|&b| b == 0));
        let step: Vec<f32> = (0..32 * 4).map(|i| if i % 32 < 16 { 0.0 } else { 1.0 }).collect();
        band.find(&step, 32, 4, 2, 2);
        assert_eq!((band.band[12], band.band[13], band.band[18], band.band[19]), (0, 1, 1, 0));
        assert_eq!((band.clear[15], band.clear[16], band.clear[2]), (255, 255, 0));
    }
}
