//! Frames before a painted screen, whose mattes are known: everything is computed, nothing is a photograph.

/// How a screen is painted and lit.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub name: &'static str,
    /// The paint, R'G'B' of 0..255.
    pub paint: [f32; 3],
    /// How much darker it is lit at one end than at the other, 0..1.
    pub gradient: f32,
    /// How deep its folds are, 0..1.
    pub folds: f32,
    /// How deep the shadow of the subject is, 0..1.
    pub shadow: f32,
    /// How much of the screen's light falls on the subject's edges, 0..1.
    pub spill: f32,
    /// Standard deviation of the camera's noise, of 255.
    pub noise: f32,
}

pub const GREEN: [f32; 3] = [38.0, 172.0, 74.0];
pub const BLUE: [f32; 3] = [28.0, 72.0, 188.0];

/// From an even screen to what a garage gives.
pub const SETUPS: [Setup; 6] = [
    Setup {
        name: "green, even",
        paint: GREEN,
        gradient: 0.05,
        folds: 0.0,
        shadow: 0.0,
        spill: 0.05,
        noise: 1.0,
    },
    Setup {
        name: "green, uneven",
        paint: GREEN,
        gradient: 0.4,
        folds: 0.0,
        shadow: 0.25,
        spill: 0.1,
        noise: 1.5,
    },
    Setup {
        name: "green, folds",
        paint: GREEN,
        gradient: 0.25,
        folds: 0.12,
        shadow: 0.15,
        spill: 0.1,
        noise: 2.5,
    },
    Setup {
        name: "blue, even",
        paint: BLUE,
        gradient: 0.05,
        folds: 0.0,
        shadow: 0.0,
        spill: 0.05,
        noise: 1.0,
    },
    Setup {
        name: "blue, uneven",
        paint: BLUE,
        gradient: 0.4,
        folds: 0.0,
        shadow: 0.25,
        spill: 0.1,
        noise: 1.5,
    },
    Setup {
        name: "blue, folds",
        paint: BLUE,
        gradient: 0.25,
        folds: 0.12,
        shadow: 0.15,
        spill: 0.1,
        noise: 2.5,
    },
];

/// A picture of the foreground alone, its true alpha, and the picture before a screen.
pub struct Scene {
    pub width: usize,
    pub height: usize,
    /// 0..1.
    pub alpha: Vec<f32>,
    /// R'G'B' of 0..255, without spill.
    pub foreground: Vec<[f32; 3]>,
    /// What the camera sees, R, G, B in 8 bits, tight.
    pub rgb: Vec<u8>,
}

/// Numbers that are the same at every run (xorshift).
pub struct Random(u32);

impl Random {
    pub fn new(seed: u32) -> Self {
        Self(seed.wrapping_mul(2_654_435_761) | 1)
    }

    /// 0..1.
    pub fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        (self.0 >> 8) as f32 / (1 << 24) as f32
    }

    /// About normal, of deviation 1.
    pub fn normal(&mut self) -> f32 {
        (0..6).map(|_| self.next()).sum::<f32>() * 2f32.sqrt() - 3.0 * 2f32.sqrt()
    }
}

/// A person with loose hair, a striped shirt and an arm on the hip, a grey ball and a bunch of twigs; `shift` moves all of it to the
/// right, in parts of the height.
pub fn scene(setup: &Setup, width: usize, height: usize, seed: u32, shift: f32) -> Scene {
    let (mut alpha, mut foreground) = subject(width, height, shift);
    hair(&mut alpha, &mut foreground, width, height, shift);
    let spilt = spilt(setup, &alpha, &foreground, width, height);
    let mut random = Random::new(seed);
    let mut rgb = Vec::with_capacity(3 * width * height);
    for i in 0..width * height {
        let back = screen(setup, i % width, i / width, width, height, shift);
        for k in 0..3 {
            let v = spilt[i][k] * alpha[i] + back[k] * (1.0 - alpha[i]) + setup.noise * random.normal();
            rgb.push((v + 0.5).clamp(0.0, 255.0) as u8);
        }
    }
    Scene { width, height, alpha, foreground, rgb }
}

/// The screen's colour at a pixel: paint times light.
pub fn screen(setup: &Setup, x: usize, y: usize, width: usize, height: usize, shift: f32) -> [f32; 3] {
    let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
    let (px, py) = ((x as f32 - width as f32 / 2.0) / height as f32 - shift, v);
    let light = 1.06 - setup.gradient * (0.7 * u + 0.3 * v);
    // Cloth hangs in folds that waver.
    let fold = (u * 40.0 + 3.0 * (v * 5.0).sin()).sin() * (u * 13.0 + 1.0).sin().abs();
    let shadow = (-((px - 0.32) / 0.16).powi(2) - ((py - 0.75) / 0.3).powi(2)).exp();
    let all = light * (1.0 + setup.folds * fold) * (1.0 - setup.shadow * shadow);
    setup.paint.map(|v| v * all)
}

/// Coverage and colours, from 4 × 4 points a pixel.
fn subject(width: usize, height: usize, shift: f32) -> (Vec<f32>, Vec<[f32; 3]>) {
    const N: usize = 4;
    let h = height as f32;
    let mut alpha = Vec::with_capacity(width * height);
    let mut colors = Vec::with_capacity(width * height);
    for i in 0..width * height {
        let (x, y) = ((i % width) as f32, (i / width) as f32);
        let (mut n, mut sum) = (0.0, [0.0; 3]);
        for s in 0..N * N {
            let at = |p: f32, s: usize| p + (s as f32 + 0.5) / N as f32;
            let p = ((at(x, s % N) - width as f32 / 2.0) / h - shift, at(y, s / N) / h);
            if let Some(color) = shape(p) {
                n += 1.0;
                sum.iter_mut().zip(color).for_each(|(s, c)| *s += c);
            }
        }
        alpha.push(n / (N * N) as f32);
        // What is not seen takes the hair's colour.
        colors.push(if n > 0.0 { sum.map(|v| v / n) } else { [58.0, 42.0, 34.0] });
    }
    (alpha, colors)
}

/// The colour at a point, in parts of the height from the frame's middle and its top; `None` outside the subject.
fn shape((x, y): (f32, f32)) -> Option<[f32; 3]> {
    let ellipse = |cx: f32, cy: f32, rx: f32, ry: f32| ((x - cx) / rx).hypot((y - cy) / ry);
    let lit = |c: [f32; 3]| c.map(|v| v * (1.0 - 0.35 * x - 0.1 * (y - 0.5)));
    // A head, with eyes and a mouth.
    if ellipse(0.0, 0.3, 0.105, 0.14) < 1.0 {
        let eye = ellipse(-0.04, 0.29, 0.012, 0.008).min(ellipse(0.04, 0.29, 0.012, 0.008));
        let mouth = ellipse(0.0, 0.375, 0.03, 0.009);
        return Some(match (eye < 1.0, mouth < 1.0) {
            (true, _) => [50.0, 70.0, 66.0],
            (_, true) => [170.0, 84.0, 80.0],
            _ => lit([214.0, 164.0, 138.0]),
        });
    }
    // A neck, and a shirt with stripes of grey, white and ochre.
    if x.abs() < 0.05 && (0.4..0.5).contains(&y) {
        return Some(lit([188.0, 140.0, 116.0]));
    }
    let shoulders = 0.24 - 0.1 * ((0.62 - y) / 0.14).clamp(0.0, 1.0).powi(2);
    if y > 0.48 && x.abs() < shoulders {
        return Some(lit(match ((x + 0.05 * y) * 30.0).rem_euclid(4.0) as usize {
            0 => [126.0, 126.0, 128.0],
            1 => [226.0, 224.0, 220.0],
            2 => [150.0, 118.0, 64.0],
            _ => [62.0, 60.0, 84.0],
        }));
    }
    // An arm on the hip: the screen is seen through it.
    let arm = ellipse(-0.26, 0.76, 0.13, 0.17);
    if arm < 1.0 && arm > 0.62 {
        return Some(lit([206.0, 154.0, 128.0]));
    }
    // A grey ball, shiny.
    let ball = ellipse(0.52, 0.8, 0.1, 0.1);
    if ball < 1.0 {
        let shine = (-(((x - 0.49) / 0.03).powi(2) + ((y - 0.765) / 0.03).powi(2))).exp();
        return Some([118.0 - 50.0 * ball * ball + 120.0 * shine; 3]);
    }
    // Twigs.
    for k in 0..7 {
        let lean = (k as f32 - 3.0) * 0.06;
        let off = (x - 0.52 - lean * (0.7 - y) * 2.0).abs();
        if (0.28..0.72).contains(&y) && off < 0.0022 {
            return Some([96.0, 74.0, 52.0]);
        }
    }
    None
}

/// Draws loose hair: some hundreds of strands, thinner than a pixel at their ends.
fn hair(alpha: &mut [f32], colors: &mut [[f32; 3]], width: usize, height: usize, shift: f32) {
    let h = height as f32;
    let mut random = Random::new(77);
    for _ in 0..420 {
        let root = (random.next() - 0.5) * 3.6;
        let (mut x, mut y) = (0.1 * root.sin(), 0.3 - 0.135 * root.cos());
        let (mut dx, mut dy) = (root.sin() * 0.9, -root.cos());
        let length = 0.05 + 0.12 * random.next();
        let tone = 0.75 + 0.5 * random.next();
        let color = [70.0 * tone, 50.0 * tone, 38.0 * tone];
        let bend = (random.next() - 0.5) * 9.0;
        let steps = (length * h / 0.35) as usize;
        for s in 0..steps {
            let part = s as f32 / steps as f32;
            let strength = 0.5 * (1.0 - part).sqrt();
            let (px, py) = ((x + shift) * h + width as f32 / 2.0 - 0.5, y * h - 0.5);
            // Spread over four pixels, bilinear.
            for (ox, oy) in [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)] {
                let (ix, iy) = (px.floor() + ox, py.floor() + oy);
                if ix < 0.0 || iy < 0.0 || ix >= width as f32 || iy >= h {
                    continue;
                }
                let i = iy as usize * width + ix as usize;
                let a = strength * (1.0 - (px - ix).abs()) * (1.0 - (py - iy).abs());
                let under = alpha[i];
                let whole = a + under * (1.0 - a);
                if whole > 0.0 {
                    for k in 0..3 {
                        colors[i][k] = (color[k] * a + colors[i][k] * under * (1.0 - a)) / whole;
                    }
                }
                alpha[i] = whole;
            }
            let turn = bend * 0.35 / h;
            (dx, dy) = (dx - dy * turn, dy + dx * turn + 0.6 / h);
            let norm = dx.hypot(dy);
            (dx, dy) = (dx / norm, dy / norm);
            (x, y) = (x + dx * 0.35 / h, y + dy * 0.35 / h);
        }
    }
}

/// The foreground with the screen's light on it, the more the nearer the edge.
fn spilt(
    setup: &Setup,
    alpha: &[f32],
    foreground: &[[f32; 3]],
    width: usize,
    height: usize,
) -> Vec<[f32; 3]> {
    let near = blurred(alpha, width, height, (height / 90).max(2));
    foreground
        .iter()
        .zip(near)
        .map(|(f, n)| {
            let part = setup.spill * (0.2 + 1.6 * (1.0 - n).clamp(0.0, 0.5));
            std::array::from_fn(|k| f[k] + part * setup.paint[k] * (1.0 - f[k] / 400.0))
        })
        .collect()
}

fn blurred(from: &[f32], width: usize, height: usize, radius: usize) -> Vec<f32> {
    let pass = |from: &[f32], lines: usize, n: usize, next: usize, step: usize| {
        let mut out = vec![0.0; from.len()];
        for line in 0..lines {
            for i in 0..n {
                let (l, r) = (i.saturating_sub(radius), (i + radius).min(n - 1));
                let sum: f32 = (l..=r).map(|j| from[line * next + j * step]).sum();
                out[line * next + i * step] = sum / (r - l + 1) as f32;
            }
        }
        out
    };
    let across = pass(from, height, width, width, 1);
    pass(&across, width, height, 1, width)
}

/// The frame as I420 of BT.709, limited range: planes Y, U, V, tight; chroma is the mean of four pixels.
pub fn i420(scene: &Scene) -> Vec<u8> {
    let (w, h) = (scene.width, scene.height);
    let yuv: Vec<[f32; 3]> = scene
        .rgb
        .chunks_exact(3)
        .map(|p| {
            let [r, g, b] = [p[0], p[1], p[2]].map(|v| f32::from(v) / 255.0);
            let y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
            [y * 219.0 + 16.0, (b - y) / 1.8556 * 224.0 + 128.0, (r - y) / 1.5748 * 224.0 + 128.0]
        })
        .collect();
    let byte = |v: f32| (v + 0.5).clamp(0.0, 255.0) as u8;
    let mut out: Vec<u8> = yuv.iter().map(|c| byte(c[0])).collect();
    for chroma in [|c: &[f32; 3]| c[1], |c: &[f32; 3]| c[2]] {
        for y in (0..h).step_by(2) {
            for x in (0..w).step_by(2) {
                let sum: f32 = [(0, 0), (1, 0), (0, 1), (1, 1)]
                    .iter()
                    .map(|(dx, dy)| chroma(&yuv[(y + dy).min(h - 1) * w + (x + dx).min(w - 1)]))
                    .sum();
                out.push(byte(sum / 4.0));
            }
        }
    }
    out
}
