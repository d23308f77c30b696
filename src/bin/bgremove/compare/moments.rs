//! The moments to show: pictures of the frames where it goes worst, made as they pass.

use super::play::Frame;
use gstbgremove::measure::Size;
use image::{ImageFormat, RgbImage, imageops};
use std::io::Cursor;

/// Moments of a clip.
const SHOWN: usize = 3;
/// Frames between two of them, at least.
const APART: usize = 12;
/// Pictures are reduced to this width.
const WIDTH: u32 = 640;

/// One moment; the pictures are data URIs.
pub struct Moment {
    pub frame: usize,
    pub score: f64,
    /// Input, A, B and their difference, whole.
    pub whole: [String; 4],
    /// The same, where the difference is greatest.
    pub near: [String; 4],
}

/// The worst moments so far.
#[derive(Default)]
pub struct Moments(Vec<Moment>);

impl Moments {
    /// In the order of the clip.
    pub fn in_order(&self) -> Vec<&Moment> {
        let mut all: Vec<&Moment> = self.0.iter().collect();
        all.sort_by_key(|m| m.frame);
        all
    }

    /// Shows the frame if its score is among the worst; of frames close together, the worst.
    pub fn offer(
        &mut self,
        n: usize,
        score: f64,
        input: &Frame,
        removed: [&Frame; 2],
        alphas: &[Vec<f32>; 2],
    ) -> Result<(), String> {
        let close = |m: &Moment| n - m.frame < APART;
        let beaten = self.0.iter().any(|m| close(m) && m.score >= score);
        let full = self.0.len() >= SHOWN && self.0.iter().all(|m| m.score >= score);
        if beaten || full {
            return Ok(());
        }
        self.0.retain(|m| !close(m));
        self.0.push(draw(n, score, input, removed, alphas)?);
        self.0.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.0.truncate(SHOWN);
        Ok(())
    }
}

fn draw(
    n: usize,
    score: f64,
    input: &Frame,
    removed: [&Frame; 2],
    alphas: &[Vec<f32>; 2],
) -> Result<Moment, String> {
    let size = input.size();
    let checker = (size.width / 40).max(4);
    let rgb = |bytes: Vec<u8>| {
        RgbImage::from_raw(size.width as u32, size.height as u32, bytes)
            .ok_or_else(|| "a frame is shorter than its size says".to_string())
    };
    let over = |rgba: &[u8]| {
        let pixel = |(i, p): (usize, &[u8])| {
            let (x, y) = (i % size.width / checker, i / size.width / checker);
            let back = if (x + y) % 2 == 0 { 205u32 } else { 235 };
            let a = u32::from(p[3]);
            [0, 1, 2].map(|c| ((u32::from(p[c]) * a + back * (255 - a) + 127) / 255) as u8)
        };
        rgba.chunks_exact(4).enumerate().flat_map(pixel).collect()
    };
    // White: no difference; red: A has more; blue: B has more. Four times, so that small ones are seen.
    let ink = |(a, b): (&f32, &f32)| {
        let d = ((a - b) * 4.0).clamp(-1.0, 1.0);
        let fade = |to: f32| (255.0 - d.abs() * (255.0 - to)) as u8;
        if d > 0.0 { [fade(200.0), fade(40.0), fade(30.0)] } else { [fade(20.0), fade(90.0), fade(190.0)] }
    };
    let difference = alphas[0].iter().zip(&alphas[1]).flat_map(ink).collect();
    let pictures = [
        rgb(input.bytes.clone())?,
        rgb(over(&removed[0].bytes))?,
        rgb(over(&removed[1].bytes))?,
        rgb(difference)?,
    ];
    let (x, y, w, h) = place(alphas, size);
    let mut whole: [String; 4] = Default::default();
    let mut near: [String; 4] = Default::default();
    for (i, picture) in pictures.iter().enumerate() {
        near[i] = encode(&imageops::crop_imm(picture, x, y, w, h).to_image())?;
        whole[i] = encode(picture)?;
    }
    Ok(Moment { frame: n, score, whole, near })
}

/// A quarter of the picture each way, where the mattes differ most; where they do not, where alpha is softest.
fn place(alphas: &[Vec<f32>; 2], size: Size) -> (u32, u32, u32, u32) {
    const CELLS: usize = 16;
    const SIDE: usize = 5;
    let mut cells = [[[0.0f32; CELLS]; CELLS]; 2];
    for (i, (a, b)) in alphas[0].iter().zip(&alphas[1]).enumerate() {
        let cx = i % size.width * CELLS / size.width;
        let cy = i / size.width * CELLS / size.height;
        cells[0][cy][cx] += (a - b).abs();
        cells[1][cy][cx] += a * (1.0 - a);
    }
    let differ = cells[0].iter().flatten().any(|v| *v > 0.0);
    let cells = &cells[usize::from(!differ)];
    let sum = |x: usize, y: usize| -> f32 { cells[y..y + SIDE].iter().flat_map(|r| &r[x..x + SIDE]).sum() };
    let spots = (0..=CELLS - SIDE).flat_map(|y| (0..=CELLS - SIDE).map(move |x| (x, y)));
    let (x, y) = spots.max_by(|a, b| sum(a.0, a.1).total_cmp(&sum(b.0, b.1))).unwrap_or((0, 0));
    let part = |n: usize, of: usize| (n * of / CELLS) as u32;
    let (w, h) = (part(SIDE, size.width).max(1), part(SIDE, size.height).max(1));
    (part(x, size.width), part(y, size.height), w, h)
}

/// As a JPEG in a data URI.
fn encode(picture: &RgbImage) -> Result<String, String> {
    let (w, h) = picture.dimensions();
    let mut bytes = Cursor::new(Vec::new());
    let wrong = |e: image::ImageError| format!("a picture of the page: {e}");
    if w > WIDTH {
        let h = (u64::from(h) * u64::from(WIDTH) / u64::from(w)).max(1) as u32;
        let small = imageops::resize(picture, WIDTH, h, imageops::FilterType::Triangle);
        small.write_to(&mut bytes, ImageFormat::Jpeg).map_err(wrong)?;
    } else {
        picture.write_to(&mut bytes, ImageFormat::Jpeg).map_err(wrong)?;
    }
    Ok(format!("data:image/jpeg;base64,{}", glib::base64_encode(bytes.get_ref())))
}
