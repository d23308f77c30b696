//! Models applied to colours, and the alpha of pixels written by them, row by row.

use super::guided::centred;
use crate::simd::{byte, multiversion};

multiversion! {
    pub(super) fn clip(row: &mut [f32], gain: f32, low: f32) {
        for v in row {
            *v = (*v * gain + low).clamp(0.0, 1.0);
        }
    }
}

multiversion! {
    pub(super) fn round_mix(top: &[f32], bottom: &[f32], f: f32, out: &mut [u8]) {
        for ((o, &t), &b) in out.iter_mut().zip(top).zip(bottom) {
            *o = byte(t + (b - t) * f);
        }
    }
}

multiversion! {
    pub(super) fn apply(model: [&[f32]; 4], color: [&[f32]; 3], out: &mut [f32]) {
        let n = out.len();
        let [a, b, c, d] = model.map(|m| &m[..n]);
        let [r, g, bl] = color.map(|c| &c[..n]);
        for i in 0..n {
            out[i] = (a[i] * r[i] + b[i] * g[i] + c[i] * bl[i] + d[i]).clamp(0.0, 1.0);
        }
    }
}

multiversion! {
    /// offset = b·g + c·bl + d.
    pub(super) fn fold_colors(model: [&[f32]; 3], color: [&[u8]; 2], out: &mut [f32]) {
        let n = out.len();
        let [b, c, d] = model.map(|m| &m[..n]);
        let [g, bl] = color.map(|c| &c[..n]);
        for i in 0..n {
            out[i] = b[i] * centred(g[i]) + c[i] * centred(bl[i]) + d[i];
        }
    }
}

multiversion! {
    pub(super) fn write_three(model: [&[f32]; 4], color: [&[u8]; 3], out: &mut [u8]) {
        let n = out.len();
        let [a, b, c, d] = model.map(|m| &m[..n]);
        let [r, g, bl] = color.map(|c| &c[..n]);
        for i in 0..n {
            let v = a[i] * centred(r[i]) + b[i] * centred(g[i]) + c[i] * centred(bl[i]) + d[i];
            out[i] = byte(v);
        }
    }
}

multiversion! {
    pub(super) fn write_one(slope: &[f32], offset: &[f32], luma: &[u8], out: &mut [u8]) {
        for (((o, &a), &b), &y) in out.iter_mut().zip(slope).zip(offset).zip(luma) {
            *o = byte(a * centred(y) + b);
        }
    }
}

multiversion! {
    /// As [`write_one`], of rows half as long that have one value more at each side, and are stretched bilinearly.
    pub(super) fn write_pairs(slope: &[f32], offset: &[f32], luma: &[u8], out: &mut [u8]) {
        let n = luma.len() / 2;
        let (slope, offset) = (&slope[..n + 2], &offset[..n + 2]);
        let (whole, last) = out.split_at_mut(2 * n);
        let (whole, pairs) = (whole.as_chunks_mut::<2>().0, luma.as_chunks::<2>().0);
        for i in 0..n {
            let (a, b, c) = (0.25 * slope[i], 0.75 * slope[i + 1], 0.25 * slope[i + 2]);
            let (d, e, f) = (0.25 * offset[i], 0.75 * offset[i + 1], 0.25 * offset[i + 2]);
            let luma = u16::from_le_bytes(pairs[i]);
            let left = byte((a + b) * centred((luma & 255) as u8) + (d + e));
            let right = byte((b + c) * centred((luma >> 8) as u8) + (e + f));
            whole[i] = (u16::from(left) | (u16::from(right) << 8)).to_le_bytes();
        }
        if let ([out], [.., luma]) = (last, luma) {
            let of = |v: &[f32]| 0.25 * v[n] + 0.75 * v[n + 1];
            *out = byte(of(slope) * centred(*luma) + of(offset));
        }
    }
}

multiversion! {
    /// Raises the models' contrast about one half where `maps[1]` lets it and fades them into the alpha that they
    /// were fitted to (`maps[2]`) where the band (`maps[0]`) ends.
    pub(super) fn blend(model: [&[f32]; 4], maps: [&[f32]; 3], contrast: f32, out: [&mut [f32]; 4]) {
        let n = out[0].len();
        let [a, b, c, d] = model.map(|m| &m[..n]);
        let [oa, ob, oc, od] = out.map(|m| &mut m[..n]);
        let [inside, clear, alpha] = maps.map(|m| &m[..n]);
        for i in 0..n {
            let gain = 1.0 + (contrast - 1.0) * (clear[i] * (1.0 / 255.0));
            let slope = gain * inside[i];
            oa[i] = a[i] * slope;
            ob[i] = b[i] * slope;
            oc[i] = c[i] * slope;
            od[i] = slope * (d[i] - 0.5) + 0.5 * inside[i] + (1.0 - inside[i]) * alpha[i];
        }
    }
}
