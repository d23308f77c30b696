//! The largest and smallest values around each sample of a mask.

use crate::simd::{byte, multiversion};

multiversion! {
    /// A mask of 0..1 in 8 bits.
    pub fn quantise(mask: &[f32], out: &mut [u8]) {
        for (o, &v) in out.iter_mut().zip(mask) {
            // A NaN becomes 0.
            *o = byte(if v > 0.0 { v } else { 0.0 });
        }
    }
}

multiversion! {
    /// Takes a row into the least and the most of each column.
    pub fn take_extremes(row: &[u8], least: &mut [u8], most: &mut [u8]) {
        for ((&v, least), most) in row.iter().zip(least).zip(most) {
            *least = (*least).min(v);
            *most = (*most).max(v);
        }
    }
}

macro_rules! window {
    ($(#[$doc:meta])* $name:ident, $pick:path) => {
        multiversion! {
            $(#[$doc])*
            pub fn $name(from: &[u8], width: usize, radius: usize, to: &mut [u8], tmp: &mut [u8]) {
                for (row, out) in from.chunks_exact(width).zip(tmp.chunks_exact_mut(width)) {
                    out.copy_from_slice(row);
                    for d in 1..=radius.min(width - 1) {
                        for (o, &v) in out.iter_mut().zip(&row[d..]) {
                            *o = $pick(*o, v);
                        }
                        for (o, &v) in out[d..].iter_mut().zip(row) {
                            *o = $pick(*o, v);
                        }
                    }
                }
                let height = from.len() / width;
                for (y, out) in to.chunks_exact_mut(width).enumerate() {
                    out.copy_from_slice(&tmp[y * width..][..width]);
                    for near in y.saturating_sub(radius)..(y + radius + 1).min(height) {
                        for (o, &v) in out.iter_mut().zip(&tmp[near * width..][..width]) {
                            *o = $pick(*o, v);
                        }
                    }
                }
            }
        }
    };
}
window!(
    /// The largest value within `radius` samples both ways (a square window). `tmp` is scratch.
    dilate,
    Ord::max
);
window!(
    /// The smallest.
    erode,
    Ord::min
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_the_plain_window() {
        for (w, h, r) in [(1, 1, 3), (7, 1, 2), (1, 9, 2), (13, 11, 1), (13, 11, 20)] {
            let from: Vec<u8> = (0..w * h).map(|i| (i * 7919 % 251) as u8).collect();
            let (mut to, mut tmp) = (vec![0; w * h], vec![0; w * h]);
            for largest in [true, false] {
                let pick = if largest { u8::max } else { u8::min };
                let window = if largest { dilate } else { erode };
                window(&from, w, r, &mut to, &mut tmp);
                for y in 0..h {
                    for x in 0..w {
                        let rows = y.saturating_sub(r)..(y + r + 1).min(h);
                        let all = rows
                            .flat_map(|v| (x.saturating_sub(r)..(x + r + 1).min(w)).map(move |u| v * w + u));
                        assert_eq!(to[y * w + x], all.map(|i| from[i]).reduce(pick).unwrap());
                    }
                }
            }
        }
    }
}
