//! Connected components (4 neighbours) and the connectivity error of Rhemann et al. 2009.

use super::Size;

/// The components of a mask.
pub struct Components {
    /// Number of each pixel's component, from 1; 0 where the mask is not set.
    pub label: Vec<u32>,
    /// How many pixels each component has; `[0]` is not used.
    pub area: Vec<usize>,
    /// Whether a component reaches the image's border.
    pub border: Vec<bool>,
}

impl Components {
    /// The number of the largest, the first of equals.
    pub fn largest(&self) -> Option<u32> {
        let areas = self.area.iter().enumerate().skip(1);
        areas.max_by_key(|(i, a)| (**a, std::cmp::Reverse(*i))).map(|(i, _)| i as u32)
    }
}

/// Labels a mask's components.
pub fn components(mask: &[bool], size: Size) -> Components {
    let (w, h) = (size.width, size.height);
    let mut all = Components { label: vec![0; mask.len()], area: vec![0], border: vec![false] };
    let mut todo = Vec::new();
    for start in 0..mask.len() {
        if !mask[start] || all.label[start] != 0 {
            continue;
        }
        let number = all.area.len() as u32;
        let (mut area, mut border) = (0, false);
        all.label[start] = number;
        todo.push(start);
        while let Some(i) = todo.pop() {
            area += 1;
            let (x, y) = (i % w, i / w);
            border |= x == 0 || y == 0 || x == w - 1 || y == h - 1;
            let near = [
                (x > 0).then(|| i - 1),
                (x + 1 < w).then_some(i + 1),
                (y > 0).then(|| i - w),
                (y + 1 < h).then_some(i + w),
            ];
            for n in near.into_iter().flatten() {
                if mask[n] && all.label[n] == 0 {
                    all.label[n] = number;
                    todo.push(n);
                }
            }
        }
        all.area.push(area);
        all.border.push(border);
    }
    all
}

/// Σ |φ(p) − φ(g)|, with φ = 1 − d where d ≥ 0.15, else 1; d is how far alpha stands above the level up to
/// which the pixel hangs together with the largest region that is in both mattes. Levels in steps of 0.1.
pub fn error(p: &[f32], g: &[f32], size: Size) -> f64 {
    let mut level = vec![1.0f32; p.len()];
    let mut held = vec![true; p.len()];
    for step in 1..=10u8 {
        let t = f32::from(step) / 10.0;
        let both: Vec<bool> = p.iter().zip(g).map(|(p, g)| *p >= t && *g >= t).collect();
        let parts = components(&both, size);
        let omega = parts.largest();
        for (i, held) in held.iter_mut().enumerate() {
            if *held && Some(parts.label[i]) != omega {
                *held = false;
                level[i] = f32::from(step - 1) / 10.0;
            }
        }
    }
    let phi = |a: f32, level: f32| {
        let d = a - level;
        if d >= 0.15 { 1.0 - d } else { 1.0 }
    };
    p.iter().zip(g).zip(&level).map(|((p, g), l)| f64::from((phi(*p, *l) - phi(*g, *l)).abs())).sum()
}
