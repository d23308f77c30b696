//! Where a block of the frame was one frame ago.

use super::view::{Grey, Pair};
use crate::simd::multiversion;

/// A displacement in quarter samples: what is here was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Motion {
    pub x: i16,
    pub y: i16,
}

impl Motion {
    /// So many times as far.
    pub fn times(self, n: i16) -> Self {
        Self { x: self.x.saturating_mul(n), y: self.y.saturating_mul(n) }
    }
}

/// Price of a sample of displacement, in summed differences: noise must not pay for motion.
const PRICE: u32 = 8;
/// What a sample of chroma counts for, against one of luma.
pub const CHROMA_WEIGHT: u32 = 2;
/// Standing still wins if it costs no more than this a sample over the best.
const STILL_BONUS: f32 = 0.75;

/// A difference a sample up to which a block is searched for next to where it was expected only.
const FITS: u32 = 2;

/// A rectangle of the plane: left, top, width, height.
pub type Area = [usize; 4];

/// The same rectangle of a plane of half the size.
pub fn halved([x, y, w, h]: Area) -> Area {
    [x / 2, y / 2, w.div_ceil(2), h.div_ceil(2)]
}

/// Where block `at` may have gone: where it and its neighbours, in rows of `grid_width`, went before, and where the one beside
/// it goes now.
pub fn seeds(before: &[Motion], at: usize, grid_width: usize, beside: Motion) -> [Motion; 6] {
    let near = |i: Option<usize>| i.and_then(|i| before.get(i)).copied().unwrap_or_default();
    [
        beside,
        near(Some(at)),
        near(at.checked_sub(1)),
        near(Some(at + 1)),
        near(at.checked_sub(grid_width)),
        near(Some(at + grid_width)),
    ]
}

/// Finds the motion of `area` between two pictures by descent from `seeds` over sums of absolute
/// differences (as the predictive searches of video encoders, e.g. Tourapis, "Enhanced predictive zonal search",
/// VCIP 2002), to a quarter sample by a symmetric V through the sums beside the best (Haller & Nayar's equiangular
/// line fit).
///
/// `luma`: now and before; `chroma`: if it counts as well, at half the size.
pub fn search(luma: Pair<'_>, chroma: &[Pair<'_>], area: Area, seeds: &[Motion]) -> Motion {
    let cost = |(x, y): (i32, i32)| -> u32 {
        let Some(sum) = sad(luma.0, luma.1, area, x, y) else { return u32::MAX };
        let half = halved(area);
        // A quarter as many samples, and of less contrast.
        let chroma: u32 = chroma
            .iter()
            .filter_map(|&(now, before)| sad(now, before, half, x.div_euclid(2), y.div_euclid(2)))
            .map(|sum| CHROMA_WEIGHT * sum)
            .sum();
        sum + chroma + PRICE * (x.unsigned_abs() + y.unsigned_abs())
    };
    let still = cost((0, 0));
    let mut best = ((0, 0), still);
    for seed in seeds {
        let at = ((i32::from(seed.x) + 2) >> 2, (i32::from(seed.y) + 2) >> 2);
        let c = cost(at);
        if c < best.1 {
            best = (at, c);
        }
    }
    let samples = (area[2] * area[3]) as u32;
    // Where hardly more than noise is left there is nothing better farther off.
    let steps: &[i32] = if best.1 < FITS * samples { &[1] } else { &[4, 2, 1] };
    for &step in steps {
        for _ in 0..8 {
            let (x, y) = best.0;
            let near = [(x - step, y), (x + step, y), (x, y - step), (x, y + step)];
            let Some(next) = near.map(|at| (at, cost(at))).into_iter().min_by_key(|n| n.1) else { break };
            if next.1 >= best.1 {
                break;
            }
            best = next;
        }
    }
    if still as f32 <= best.1 as f32 + STILL_BONUS * samples as f32 {
        return Motion::default();
    }
    let (x, y) = best.0;
    let part = |less: u32, more: u32| -> i32 {
        if less == u32::MAX || more == u32::MAX {
            return 0;
        }
        let (l, m, b) = (less as f32, more as f32, best.1 as f32);
        let slope = l.max(m) - b;
        if slope <= 0.0 { 0 } else { ((l - m) / slope * 2.0).round() as i32 }
    };
    let fx = part(cost((x - 1, y)), cost((x + 1, y)));
    let fy = part(cost((x, y - 1)), cost((x, y + 1)));
    Motion { x: (4 * x + fx) as i16, y: (4 * y + fy) as i16 }
}

/// Whether chroma planes, at half the size, differ by more than `mean` a sample where a motion of luma leads.
pub fn differs(chroma: &[Pair<'_>], area: Area, m: Motion, mean: u32) -> bool {
    let half = halved(area);
    let (x, y) = ((i32::from(m.x) + 2) >> 2, (i32::from(m.y) + 2) >> 2);
    let most = mean * (half[2] * half[3]) as u32;
    chroma.iter().any(|&(now, before)| {
        sad(now, before, half, x.div_euclid(2), y.div_euclid(2)).is_some_and(|sum| sum > most)
    })
}

/// The sum of absolute differences at a displacement; none where that leaves the plane.
fn sad(now: Grey<'_>, before: Grey<'_>, [x, y, w, h]: Area, dx: i32, dy: i32) -> Option<u32> {
    let (u, v) = (x.checked_add_signed(dx as isize)?, y.checked_add_signed(dy as isize)?);
    if u + w > before.width || v + h > before.height {
        return None;
    }
    let (from, to) = (y * now.width + x, v * before.width + u);
    let size = (w, h, now.width);
    let (now, before) = (&now.data[from..], &before.data[to..]);
    Some(match w {
        16 => sad_16(now, before, size),
        8 => sad_8(now, before, size),
        _ => sad_any(now, before, size),
    })
}

macro_rules! sad {
    ($name:ident, $width:literal) => {
        multiversion! {
            /// The sum of absolute differences of two rectangles; `size` is width, height and stride.
            pub fn $name(a: &[u8], b: &[u8], size: (usize, usize, usize)) -> u32 {
                let mut sum = 0;
                for row in 0..size.1 {
                    let (a, b) = (&a[row * size.2..][..$width], &b[row * size.2..][..$width]);
                    let mut part = 0u16;
                    for (&a, &b) in a.iter().zip(b) {
                        part += u16::from(a.abs_diff(b));
                    }
                    sum += u32::from(part);
                }
                sum
            }
        }
    };
}
sad!(sad_16, 16);
sad!(sad_8, 8);
sad!(sad_4, 4);

fn sad_any(a: &[u8], b: &[u8], (w, h, stride): (usize, usize, usize)) -> u32 {
    let row = |y: usize| a[y * stride..][..w].iter().zip(&b[y * stride..][..w]);
    (0..h).map(|y| row(y).map(|(&a, &b)| u32::from(a.abs_diff(b))).sum::<u32>()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_shift_to_a_quarter() {
        let (w, h) = (160, 120);
        let draw = |dx: f32, dy: f32| -> Vec<u8> {
            let wave = |x: f32, y: f32| (x * 0.21).sin() + (y * 0.17 + x * 0.05).sin() + 2.0;
            (0..w * h).map(|i| (wave((i % w) as f32 - dx, (i / w) as f32 - dy) * 60.0) as u8).collect()
        };
        let before = draw(0.0, 0.0);
        for (dx, dy) in [(0.0, 0.0), (3.0, -2.0), (5.5, 0.25), (-1.25, 4.0)] {
            let now = draw(dx, dy);
            let [now, before] = [&now, &before].map(|d| Grey { data: d, width: w, height: h });
            let m = search((now, before), &[], [64, 48, 16, 16], &[]);
            let off = (f32::from(m.x) / 4.0 + dx).hypot(f32::from(m.y) / 4.0 + dy);
            assert!(off <= 0.55, "{m:?} for {dx},{dy}");
        }
    }

    #[test]
    fn sums_agree_and_stay_inside() {
        let data: Vec<u8> = (0..40 * 30).map(|i| (i * 7919 % 251) as u8).collect();
        let grey = Grey { data: &data, width: 40, height: 30 };
        let size = (16, 9, 40);
        assert_eq!(sad_16(&data[41..], &data[85..], size), sad_any(&data[41..], &data[85..], size));
        let size = (8, 7, 40);
        assert_eq!(sad_8(&data[41..], &data[85..], size), sad_any(&data[41..], &data[85..], size));
        let size = (4, 5, 40);
        assert_eq!(sad_4(&data[41..], &data[85..], size), sad_any(&data[41..], &data[85..], size));
        assert_eq!(sad(grey, grey, [0, 0, 16, 16], -1, 0), None);
        assert_eq!(sad(grey, grey, [24, 14, 16, 16], 0, 1), None);
        assert_eq!(sad(grey, grey, [24, 14, 16, 16], 0, 0), Some(0));
    }
}
