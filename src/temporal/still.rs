//! Where the scene stands still, and for how long it has: each cell of the picture against its own mean over the last
//! seconds. Noise, and what a coder makes of it, stays about that mean; what moves, however slowly, leaves it.

use rayon::prelude::*;

use super::motion::Area;
use super::view::{Grey, View};
use crate::refine::halve_plane;
use crate::simd::multiversion;

/// Frames that the mean goes over, at most.
pub const LONG: u8 = 64;
/// Difference from the mean (0..255, averaged over 3×3 cells) up to which a cell stands still, in medians of the noise; twice as
/// much is another thing at once, what lies between is one if it stays.
const OVER_NOISE: f32 = 7.0;
/// The least that this difference is, however little noise there is.
const LEAST: f32 = 1.5;
/// Noise that is assumed until it is measured.
const USUAL: f32 = 0.75;
/// The most noise that is believed.
const MOST: f32 = 1.5;
/// Share of a new measurement in the noise.
const CHANGE: f32 = 0.125;
/// What nine in ten differ by, in medians.
const NINE_IN_TEN: f32 = 2.44;
/// Steps of a level in which means are kept.
const STEPS: i16 = 128;
/// Steps of a level in which differences from them are.
const FINE: i32 = 16;
/// The ninth part of a difference in finer steps, 65536 times.
const NINTH: i32 = 65536 * FINE / (9 * STEPS as i32);
/// Frames for which a cell has to stand still before its noise counts.
const SETTLED: u8 = 4;
/// One in so many of all cells has to, for noise to be measured.
const PART: usize = 4;
/// Rows that a thread takes at a time.
const ROWS: usize = 64;
/// Of so many rows one is looked at for noise.
const EVERY: usize = 16;

/// The mean of the scene, by cells of two samples' side (see [`View`]), and how long it has stood still.
#[derive(Debug, Default)]
pub struct Still {
    width: usize,
    height: usize,
    luma: Vec<u8>,
    /// Luma and chroma, in steps of [`STEPS`]; and what they are off by now.
    mean: [Vec<i16>; 3],
    off: [Vec<i16>; 3],
    /// By how much a cell differs from its mean, in steps of [`FINE`].
    differs: Vec<u8>,
    /// For how many frames it has been the same.
    age: Vec<u8>,
    /// The median of what a cell differs by: over the last frames, and in this one, if that can be told.
    noise: f32,
    seen: Option<f32>,
    /// Whether the second chroma plane is looked at next; one at a time will do.
    second: bool,
    started: bool,
}

impl Still {
    /// Forgets the scene.
    pub fn reset(&mut self) {
        self.started = false;
    }

    /// Takes in a frame.
    pub fn update(&mut self, view: &View) {
        let luma = view.luma();
        let (width, height) = (luma.width.div_ceil(2), luma.height.div_ceil(2));
        self.luma.resize(width * height, 0);
        self.luma.par_chunks_mut(width * ROWS).enumerate().for_each(|(part, rows)| {
            for (y, out) in rows.chunks_exact_mut(width).enumerate() {
                halve_plane(luma.data, luma.width, luma.height, part * ROWS + y, 0, out);
            }
        });
        let own = std::mem::take(&mut self.luma);
        let chroma = view.chroma();
        let planes = [Some(&own[..]), chroma.map(|t| t[0].data), chroma.map(|t| t[1].data)];
        let grey = |data| Grey { data, width, height };
        self.compare(planes.map(|p| p.map(grey)));
        self.luma = own;
    }

    fn compare(&mut self, planes: [Option<Grey<'_>>; 3]) {
        let Some((width, height)) = planes[0].map(|p| (p.width, p.height)) else { return };
        let n = width * height;
        let count = |p: &Option<Grey<'_>>| if p.is_some() { n } else { 0 };
        let alike = (self.width, self.height) == (width, height)
            && planes.iter().zip(&self.mean).all(|(p, mean)| mean.len() == count(p));
        if !alike || !self.started {
            (self.width, self.height, self.started) = (width, height, true);
            (self.noise, self.seen) = (USUAL, None);
            for ((p, mean), off) in planes.iter().zip(&mut self.mean).zip(&mut self.off) {
                mean.clear();
                mean.extend(p.iter().flat_map(|p| p.data).map(|&v| i16::from(v) * STEPS));
                off.resize(count(p), 0);
            }
            self.differs.resize(n, 0);
            self.age.clear();
            return self.age.resize(n, 0);
        }
        self.second = !self.second;
        let which = [0, if self.second { 2 } else { 1 }];
        for k in which {
            let (Some(p), mean, off) = (&planes[k], &self.mean[k], &mut self.off[k]) else { continue };
            let parts = off.par_chunks_mut(width * ROWS).zip(mean.par_chunks(width * ROWS));
            parts.zip(p.data.par_chunks(width * ROWS)).for_each(|((off, mean), now)| apart(now, mean, off));
        }
        let limit = (LEAST.max(OVER_NOISE * self.noise) * FINE as f32) as u8;
        let off = &self.off;
        let parts = self.age.par_chunks_mut(width * ROWS).zip(self.differs.par_chunks_mut(width * ROWS));
        parts.enumerate().for_each_init(Vec::new, |tall, (part, (age, differs))| {
            tall.resize(width + 2, 0);
            let rows = age.chunks_exact_mut(width).zip(differs.chunks_exact_mut(width));
            for (y, (age, differs)) in rows.enumerate() {
                let at = part * ROWS + y;
                differs.fill(0);
                for off in which.map(|k| &off[k]).iter().filter(|off| !off.is_empty()) {
                    let line = |y: usize| &off[y.min(height - 1) * width..][..width];
                    sums([line(at.saturating_sub(1)), line(at), line(at + 1)], &mut tall[1..=width]);
                    (tall[0], tall[width + 1]) = (tall[1], tall[width]);
                    largest(tall, differs);
                }
                grow(differs, limit, age);
            }
        });
        for k in which {
            let (mean, off) = (&mut self.mean[k], &off[k]);
            let parts = mean.par_chunks_mut(width * ROWS).zip(off.par_chunks(width * ROWS));
            parts
                .zip(self.age.par_chunks(width * ROWS))
                .for_each(|((mean, off), age)| follow(off, age, mean));
        }
        self.seen = self.find_noise();
        self.noise += (self.seen.unwrap_or(USUAL) - self.noise) * CHANGE;
    }

    /// The median of what settled cells differ by from their means, if there are enough of them. A coder leaves noise in
    /// some places only: most of them count.
    fn find_noise(&self) -> Option<f32> {
        let mut bins = [0usize; 256];
        let (mut settled, mut all) = (0, 0);
        let rows = self.differs.chunks_exact(self.width).zip(self.age.chunks_exact(self.width));
        for (differs, age) in rows.step_by(EVERY) {
            for (&d, _) in differs.iter().zip(age).filter(|(_, age)| **age >= SETTLED) {
                bins[usize::from(d)] += 1;
                settled += 1;
            }
            all += differs.len();
        }
        if settled * PART < all {
            return None;
        }
        let mut sum = 0;
        let most = bins.iter().position(|n| {
            sum += n;
            10 * sum >= 9 * settled
        });
        Some((most.unwrap_or_default() as f32 / FINE as f32 / NINE_IN_TEN).min(MOST))
    }

    /// The median of the noise of a cell, in levels; 0 if none is known.
    pub fn noise(&self) -> f32 {
        self.seen.filter(|_| self.started).map_or(0.0, |seen| seen.min(self.noise))
    }

    /// Whether all cells of an area of the view's luma, of even corners, stand still.
    pub fn all(&self, [x, y, w, h]: Area) -> bool {
        if !self.started {
            return false;
        }
        let (x, width) = (x / 2, w.div_ceil(2));
        let mut rows = self.age.chunks_exact(self.width).skip(y / 2).take(h.div_ceil(2));
        rows.all(|row| row[x..x + width].iter().all(|&age| age >= SETTLED))
    }

    /// Whether it has seen the last frame.
    pub fn knows(&self) -> bool {
        self.started
    }

    /// For how many frames the samples of row `y` of the view's luma have been the same, by twos.
    pub fn ages(&self, y: usize) -> &[u8] {
        &self.age[y / 2 * self.width..][..self.width]
    }

    /// For how many frames the sample `x, y` of the view's luma has been the same.
    pub fn age(&self, x: usize, y: usize) -> u8 {
        self.ages(y)[x / 2]
    }
}

multiversion! {
    fn apart(now: &[u8], mean: &[i16], off: &mut [i16]) {
        for ((o, &n), &m) in off.iter_mut().zip(now).zip(mean) {
            *o = i16::from(n) * STEPS - m;
        }
    }
}

multiversion! {
    fn sums(rows: [&[i16]; 3], out: &mut [i32]) {
        let n = out.len();
        let [a, b, c] = rows.map(|r| &r[..n]);
        for i in 0..n {
            out[i] = i32::from(a[i]) + i32::from(b[i]) + i32::from(c[i]);
        }
    }
}

multiversion! {
    /// The mean over three columns of three rows' sums, if that is more than was there; `tall` has one more at each end.
    fn largest(tall: &[i32], out: &mut [u8]) {
        let n = out.len();
        let (a, b, c) = (&tall[..n], &tall[1..n + 1], &tall[2..n + 2]);
        for i in 0..n {
            let sum = (a[i] + b[i] + c[i]).abs();
            let fine = ((sum * NINTH) >> 16).min(255) as u8;
            out[i] = out[i].max(fine);
        }
    }
}

multiversion! {
    fn grow(differs: &[u8], limit: u8, age: &mut [u8]) {
        let more = limit.saturating_mul(2);
        for (a, &d) in age.iter_mut().zip(differs) {
            let same = (*a + 1).min(LONG - 1);
            let doubt = if d > more { 0 } else { *a >> 2 };
            *a = if d > limit { doubt } else { same };
        }
    }
}

multiversion! {
    /// Takes a frame into the mean, or begins a new one with it.
    fn follow(off: &[i16], age: &[u8], mean: &mut [i16]) {
        for ((m, &o), &age) in mean.iter_mut().zip(off).zip(age) {
            // Next to 1.5 · 2²³ a float has no room for a fraction.
            let part = f32::from(o) / (f32::from(age) + 1.0) + 12_582_912.0;
            *m += (part.to_bits() as i32 - 0x4B40_0000) as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::testing::noise;
    use crate::frame::{Format, Frame};

    fn update(still: &mut Still, view: &mut View, frame: &Frame<'_>) {
        view.update(frame, 2);
        still.update(view);
    }

    #[test]
    fn agrees_with_its_definition() {
        for (format, w, h) in [(Format::I420, 162, 90), (Format::Rgba, 67, 35), (Format::Gray8, 33, 140)] {
            let (mut still, mut view) = (Still::default(), View::default());
            let mut mean: [Vec<i16>; 3] = Default::default();
            let (mut age, mut noise_before) = (Vec::new(), 0.0);
            for n in 0..12 {
                let mut p = noise(format, w, h, 1 + n);
                // Most of it nearly the same in each frame.
                for (data, _) in &mut p.planes {
                    data.iter_mut()
                        .enumerate()
                        .for_each(|(i, v)| *v = if i % 97 < 90 { 100 + *v / 16 } else { *v });
                }
                update(&mut still, &mut view, &p.frame());
                let (cw, ch) = (still.width, still.height);
                let chroma = view.chroma();
                let mut planes = vec![still.luma.clone()];
                planes.extend(chroma.iter().flatten().map(|t| t.data.to_vec()));
                if n == 0 {
                    for (mean, plane) in mean.iter_mut().zip(&planes) {
                        *mean = plane.iter().map(|&v| i16::from(v) * STEPS).collect();
                    }
                    age = vec![0u8; cw * ch];
                } else {
                    let limit = (LEAST.max(OVER_NOISE * noise_before) * FINE as f32) as u8;
                    let off = |k: usize, x: isize, y: isize| {
                        let at =
                            y.clamp(0, ch as isize - 1) as usize * cw + x.clamp(0, cw as isize - 1) as usize;
                        i32::from(planes[k][at]) * i32::from(STEPS) - i32::from(mean[k][at])
                    };
                    let around = |k: usize, i: usize| -> u8 {
                        let (x, y) = ((i % cw) as isize, (i / cw) as isize);
                        let sum: i32 = (0..9).map(|j| off(k, x + j % 3 - 1, y + j / 3 - 1)).sum();
                        ((sum.abs() * NINTH) >> 16).min(255) as u8
                    };
                    // Luma and one of the chroma planes in turn.
                    let which: Vec<usize> =
                        [0, 1 + (n as usize) % 2].into_iter().filter(|&k| k < planes.len()).collect();
                    let differs: Vec<u8> =
                        (0..cw * ch).map(|i| which.iter().map(|&k| around(k, i)).max().unwrap()).collect();
                    for (age, d) in age.iter_mut().zip(differs) {
                        *age = match d {
                            d if d <= limit => (*age + 1).min(LONG - 1),
                            d if d <= limit.saturating_mul(2) => *age / 4,
                            _ => 0,
                        };
                    }
                    for k in which {
                        let (mean, plane) = (&mut mean[k], &planes[k]);
                        for ((m, &now), &age) in mean.iter_mut().zip(plane).zip(&age) {
                            let off = f32::from(i16::from(now) * STEPS - *m);
                            *m += (off / (f32::from(age) + 1.0)).round_ties_even() as i16;
                        }
                    }
                }
                noise_before = still.noise;
                assert!(still.age == age, "{format:?}, frame {n}");
                assert!(still.mean == mean, "{format:?}, frame {n}");
            }
            assert!(age.iter().any(|&a| a > 8) && age.iter().any(|&a| a < 8), "{format:?}");
        }
    }

    #[test]
    fn noise_stands_still_and_what_creeps_does_not() {
        let (w, h) = (640, 360);
        // An edge down the middle that creeps, in one half of the picture.
        let draw = |n: u32, sigma: u8, speed: f32| {
            let mut p = noise(Format::Gray8, w, h, n + 1);
            let (data, stride) = &mut p.planes[0];
            for (i, v) in data.iter_mut().enumerate() {
                let (x, y) = ((i % *stride) as f32, i / *stride);
                let edge = 320.0 + if y < h / 2 { speed * n as f32 } else { 0.0 };
                let level = 90.0 + 40.0 * (edge - x + 0.5).clamp(0.0, 1.0);
                // Even noise of 0..255 has a standard deviation of 74.
                *v = (level + (f32::from(*v) - 127.5) * f32::from(sigma) / 74.0) as u8;
            }
            p
        };
        for (sigma, speed) in [(0, 0.1), (0, 0.5), (4, 0.1), (12, 0.2)] {
            let (mut still, mut view) = (Still::default(), View::default());
            for n in 0..80 {
                update(&mut still, &mut view, &draw(n, sigma, speed).frame());
            }
            let stands = |x: usize, y: usize| still.age(x / 2, y / 2) >= SETTLED;
            let edge = (320.0 + 79.0 * speed) as usize;
            let share = |x: usize, y: std::ops::Range<usize>| {
                y.clone().filter(|&y| stands(x, y)).count() as f32 / y.len() as f32
            };
            let what = format!("σ {sigma}, {speed} px a frame");
            assert!(share(100, 0..h) > 0.97 && share(320, 190..h) > 0.97, "{what}: what stands still");
            let ages = (10..80).map(|y| f32::from(still.age(edge / 2, y)));
            let mean = ages.sum::<f32>() / 70.0;
            assert!(mean < 24.0, "{what}: what creeps is taken to stand still for {mean} frames");
        }
    }

    #[test]
    fn small_and_odd_sizes() {
        for (w, h) in [(1, 1), (3, 1), (1, 70), (481, 3), (17, 33)] {
            let (mut still, mut view) = (Still::default(), View::default());
            for n in 0..6 {
                update(&mut still, &mut view, &noise(Format::Yuy2, w, h, n).frame());
            }
            still.age((w - 1) / 2, (h - 1) / 2);
            assert_eq!(still.noise(), still.noise());
        }
    }
}
