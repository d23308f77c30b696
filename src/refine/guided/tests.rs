use super::kernels::RESIDUAL;
use super::*;

struct Planes {
    width: usize,
    color: [Vec<u8>; 3],
    alpha: Vec<f32>,
}

impl Planes {
    fn height(&self) -> usize {
        self.alpha.len() / self.width
    }
}

impl Guide for Planes {
    fn size(&self) -> (usize, usize) {
        (self.width.div_ceil(2), self.height().div_ceil(2))
    }

    fn rows(&mut self, y: usize, x: usize, count: usize, out: &mut Samples) {
        for (dy, rows) in out.iter_mut().enumerate() {
            let at = (2 * y + dy).min(self.height() - 1) * self.width;
            let columns = 2 * x..(2 * (x + count)).min(self.width);
            let [r, g, b, alpha] = rows;
            for ([first, second], from) in [r, g, b].into_iter().zip(&self.color) {
                center_pairs(&from[at..][columns.clone()], first, second);
            }
            for (i, pair) in self.alpha[at..][columns].chunks(2).enumerate() {
                (alpha[0][i], alpha[1][i]) = (pair[0], pair[pair.len() - 1]);
            }
        }
    }
}

/// The same by the definition: every sum from scratch, in double precision.
fn reference(p: &Planes, window: Window, eps: [f32; 3]) -> [Vec<f32>; 4] {
    let (w, h) = (p.width, p.height());
    let (grid_width, grid_height) = p.size();
    // Cells of a window with their weights; one direction after the other.
    let line = |at: usize, n: usize| {
        let reach = window.reach();
        (at.saturating_sub(reach)..(at + reach + 1).min(n))
            .map(move |i| (i, if i.abs_diff(at) > window.whole { f64::from(window.part) } else { 1.0 }))
    };
    let cells = |x: usize, y: usize| {
        line(y, grid_height).flat_map(move |(v, wv)| line(x, grid_width).map(move |(u, wu)| (u, v, wu * wv)))
    };
    let models: Vec<[f64; MODEL]> = (0..grid_width * grid_height)
        .map(|i| {
            let mean = |f: &dyn Fn(usize) -> f64| {
                let (mut sum, mut weight) = (0.0, 0.0);
                for (u, v, part) in cells(i % grid_width, i / grid_width) {
                    for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                        sum += part * f((2 * v + dy).min(h - 1) * w + (2 * u + dx).min(w - 1));
                        weight += part;
                    }
                }
                sum / weight
            };
            let c = |k: usize, j: usize| f64::from(centred(p.color[k][j]));
            let a = |j: usize| f64::from(p.alpha[j]);
            let (mc, mp) = ([0, 1, 2].map(|k| mean(&|j| c(k, j))), mean(&a));
            let cov = [0, 1, 2].map(|k| mean(&|j| c(k, j) * a(j)) - mc[k] * mp);
            let mut m = [[0.0; 4]; 3];
            for k in 0..3 {
                for l in 0..3 {
                    m[k][l] = mean(&|j| c(k, j) * c(l, j)) - mc[k] * mc[l];
                }
                m[k][k] += f64::from(eps[k]);
                m[k][3] = cov[k];
            }
            // Gauss and Jordan; positive definite, so that no pivoting is needed.
            for k in 0..3 {
                let pivot = m[k][k];
                m[k].iter_mut().for_each(|v| *v /= pivot);
                for l in (0..3).filter(|&l| l != k) {
                    let (f, from) = (m[l][k], m[k]);
                    m[l].iter_mut().zip(from).for_each(|(v, q)| *v -= f * q);
                }
            }
            let slope = [0, 1, 2].map(|k| m[k][3]);
            let explained: f64 = (0..3).map(|k| slope[k] * cov[k]).sum();
            let rest = (mean(&|j| a(j) * a(j)) - mp * mp - explained).max(0.0);
            let weight = 1.0 / (rest + f64::from(RESIDUAL));
            let offset = mp - (0..3).map(|k| slope[k] * mc[k]).sum::<f64>();
            [slope[0], slope[1], slope[2], offset, 1.0].map(|v| v * weight)
        })
        .collect();
    [0, 1, 2, 3].map(|k| {
        let each = |i: usize| {
            let (sum, weight) =
                cells(i % grid_width, i / grid_width).fold((0.0, 0.0), |(s, t), (u, v, part)| {
                    let m = &models[v * grid_width + u];
                    (s + part * m[k], t + part * m[4])
                });
            (sum / weight) as f32
        };
        (0..grid_width * grid_height).map(each).collect()
    })
}

#[test]
fn agrees_with_the_definition() {
    // One for all, as the threads have: what earlier calls have left must not matter.
    let mut scratch = Scratch::default();
    // Size, side of the windows, rows asked for, side of the blocks in cells, and how many of less than a cell make
    // one.
    for (w, h, samples, y, side, per) in [
        (37, 29, 7.0, (0, 15), 8, 1),
        (37, 29, 8.9, (4, 8), 4, 1),
        (41, 1, 5.0, (0, 1), 8, 1),
        (1, 17, 11.0, (2, 9), 2, 1),
        (1, 1, 6.0, (0, 1), 8, 1),
        (9, 50, 13.0, (20, 25), 1, 1),
        (150, 60, 25.0, (0, 30), 8, 1),
        (150, 60, 7.0, (8, 24), 8, 1),
        (61, 47, 9.0, (0, 24), 1, 2),
    ] {
        let plane =
            |seed: usize| -> Vec<u8> { (0..w * h).map(|i| ((i * 31 + i * i * seed) % 251) as u8).collect() };
        let alpha = plane(7).iter().map(|&v| f32::from(v) / 250.0).collect();
        let mut planes = Planes { width: w, color: [plane(3), plane(5), plane(11)], alpha };
        let window = Window::new(samples);
        let want = reference(&planes, window, [1e-3; 3]);
        let old = planes.alpha.clone();
        let (grid_width, grid_height) = planes.size();
        let blocks = (grid_width * per).div_ceil(side);
        for seed in 0..4 {
            let marks: Vec<bool> = (0..blocks * (grid_height * per).div_ceil(side))
                .map(|i| seed == 0 || (i * 7919 + seed * 104_729) % 11 < 2 * seed)
                .collect();
            let first = y.0 * per / side;
            let area = Area { y, first, side, per, grid_width: blocks, marks: &marks[first * blocks..] };
            let mut seen = vec![false; grid_width * grid_height];
            filter(&mut planes, &area, window, [1e-3; 3], &mut scratch, |models| {
                let (row, x) = models.at;
                for u in x..x + models.alpha.len() {
                    seen[row * grid_width + u] = true;
                    for (got, want) in models.model.iter().zip(&want) {
                        let (got, want) = (got[u - x], want[row * grid_width + u]);
                        assert!(
                            (got - want).abs() < 2e-3 * (1.0 + want.abs()),
                            "{w}x{h} {samples} at {u},{row}: {got} for {want}"
                        );
                    }
                    let at =
                        |dx: usize, dy: usize| old[(2 * row + dy).min(h - 1) * w + (2 * u + dx).min(w - 1)];
                    let mean = (at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1)) / 4.0;
                    assert!((models.alpha[u - x] - mean).abs() < 1e-5);
                }
            });
            for (i, &seen) in seen.iter().enumerate() {
                let (u, v) = (i % grid_width, i / grid_width);
                let marked =
                    (u * per / side..((u + 1) * per).div_ceil(side).max(u * per / side + 1)).any(|bx| {
                        (v * per / side..((v + 1) * per).div_ceil(side).max(v * per / side + 1))
                            .any(|by| marks[by * blocks + bx])
                    });
                let asked = (y.0..y.1).contains(&v) && marked;
                assert!(seen || !asked, "{w}x{h} {samples}: {u},{v} is missing");
            }
        }
    }
}
