//! Pictures as backgrounds: decode once, fit to the frame once, then copy rows.

use super::{Backdrop, extent};
use crate::frame::{Color, Format};
use image::{DynamicImage, ImageDecoder, ImageReader, RgbImage, imageops};
use std::io::{BufRead, Seek};
use std::path::Path;

/// How a picture meets a frame of another shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// Fill the frame; what stands over is cut off at both sides alike.
    #[default]
    Cover,
    /// Show the whole picture; the rest is black.
    Contain,
    /// Fill the frame, each axis with its own scale.
    Stretch,
}

/// A decoded picture. `Eq`, so that two `Arc`s of the same one are found equal without a look at its pixels.
#[derive(Debug, PartialEq, Eq)]
pub struct Image(RgbImage);

/// Larger pictures are refused before they are decoded. Fuzzing stops earlier, where nothing new happens.
const MOST_PIXELS: u64 = if cfg!(fuzzing) { 1 << 20 } else { 8192 * 8192 * 2 };

impl Image {
    /// Opens and decodes a PNG, JPEG or WebP. Transparent parts are put on black; EXIF orientation is
    /// applied.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn open(path: &Path) -> Result<Self, String> {
        let unreadable = |e: std::io::Error| format!("the file cannot be read: {e}");
        let kind = path.metadata().map_err(unreadable)?;
        if kind.is_dir() {
            return Err("it is a folder; a picture file is wanted".into());
        }
        // Opening a pipe would wait for somebody to write into it.
        if !kind.is_file() {
            return Err("it is a pipe or a device; a picture file is wanted".into());
        }
        Self::read(std::io::BufReader::new(std::fs::File::open(path).map_err(unreadable)?))
    }

    /// As [`Self::open`], from what is open already.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn read(from: impl BufRead + Seek) -> Result<Self, String> {
        // By its first bytes; what the name says is not asked.
        let reader = ImageReader::new(from)
            .with_guessed_format()
            .map_err(|e| format!("the file cannot be read: {e}"))?;
        if reader.format().is_none() {
            return Err("the file is no PNG, JPEG or WebP picture (a video goes behind with videobackdrop, or bgremove \
                        convert)"
                .into());
        }
        let broken = |e: image::ImageError| match e {
            image::ImageError::Limits(_) => {
                format!("the picture is too large: at most {MOST_PIXELS} pixels are allowed")
            }
            e => format!("the picture cannot be decoded: {e}"),
        };
        let mut decoder = reader.into_decoder().map_err(broken)?;
        let (w, h) = decoder.dimensions();
        if u64::from(w) * u64::from(h) > MOST_PIXELS {
            return Err(format!(
                "the picture is too large: {w}×{h} pixels, at most {MOST_PIXELS} are allowed"
            ));
        }
        // 16 bits a channel take twice the memory.
        if decoder.total_bytes() > 4 * MOST_PIXELS {
            return Err(format!(
                "the picture is too large: {w}×{h} pixels of {} bytes; save it with 8 bits a channel",
                decoder.color_type().bytes_per_pixel()
            ));
        }
        let orientation = decoder.orientation().map_err(broken)?;
        let mut picture = DynamicImage::from_decoder(decoder).map_err(broken)?;
        picture.apply_orientation(orientation);
        if !picture.color().has_alpha() {
            return Ok(Self(picture.into_rgb8()));
        }
        let mut rgb = RgbImage::new(picture.width(), picture.height());
        for (to, from) in rgb.pixels_mut().zip(picture.into_rgba8().pixels()) {
            let a = u32::from(from[3]);
            to.0 = [0, 1, 2].map(|i| ((u32::from(from[i]) * a + 127) / 255) as u8);
        }
        Ok(Self(rgb))
    }

    /// The picture at frame size. `pixel_aspect` is the width of the frame's pixels over their height.
    fn fitted(&self, width: u32, height: u32, fit: Fit, pixel_aspect: f64) -> RgbImage {
        let (w, h) = self.0.dimensions();
        // In the frame's pixels: the picture's are square.
        let (pw, ph) = (f64::from(w) / pixel_aspect, f64::from(h));
        let (sx, sy) = (f64::from(width) / pw, f64::from(height) / ph);
        let filter = imageops::FilterType::Triangle;
        if fit == Fit::Contain {
            let s = sx.min(sy);
            let fw = ((pw * s).round() as u32).clamp(1, width);
            let fh = ((ph * s).round() as u32).clamp(1, height);
            let small = imageops::resize(&self.0, fw, fh, filter);
            let mut out = RgbImage::new(width, height);
            imageops::replace(&mut out, &small, i64::from((width - fw) / 2), i64::from((height - fh) / 2));
            return out;
        }
        let (cw, ch) = match fit {
            Fit::Stretch => (w, h),
            _ => {
                // The part of the picture that is seen.
                let s = sx.max(sy);
                let part = |n: u32, scale: f64| ((f64::from(n) * scale / s).round() as u32).clamp(1, n);
                (part(w, sx), part(h, sy))
            }
        };
        let part = imageops::crop_imm(&self.0, (w - cw) / 2, (h - ch) / 2, cw, ch);
        imageops::resize(&*part, width, height, filter)
    }
}

/// A picture at frame size, in the frame's own format.
#[derive(Debug)]
pub struct Picture {
    planes: Vec<(Vec<u8>, usize)>,
}

impl Picture {
    /// Fits an image to frames of this format and size.
    pub fn new(
        image: &Image,
        (format, color): (Format, Color),
        (width, height): (usize, usize),
        fit: Fit,
        pixel_aspect: f64,
    ) -> Self {
        let rgb = image.fitted(width as u32, height as u32, fit, pixel_aspect);
        let layout = format.layout();
        let mut planes: Vec<(Vec<u8>, usize)> = (0..layout.planes)
            .map(|plane| {
                let (bytes, rows) = extent(format, plane, width, height);
                (vec![255; bytes * rows], bytes)
            })
            .collect();
        for (i, c) in layout.color[..layout.colors].iter().enumerate() {
            let (data, stride) = &mut planes[c.plane];
            for y in 0..c.height(height) {
                for x in 0..c.width(width) {
                    // A sample's colour is the mean of the pixels that share it.
                    let mut sum = [0u32; 3];
                    let mut n = 0;
                    for py in y << c.vsub..((y + 1) << c.vsub).min(height) {
                        for px in x << c.hsub..((x + 1) << c.hsub).min(width) {
                            let p = rgb.get_pixel(px as u32, py as u32);
                            sum.iter_mut().zip(p.0).for_each(|(s, v)| *s += u32::from(v));
                            n += 1;
                        }
                    }
                    let mean = sum.map(|s| ((s + n / 2) / n) as u8);
                    let v = if format.is_yuv() { color.yuv(mean) } else { mean };
                    data[y * *stride + c.offset + x * c.step] = v[i];
                }
            }
        }
        Picture { planes }
    }
}

impl Backdrop for Picture {
    fn row(&self, plane: usize, y: usize, row: &mut [u8]) {
        let (data, stride) = &self.planes[plane];
        row.copy_from_slice(&data[y * stride..][..*stride]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    /// Left half red, right half blue.
    fn halves(w: u32, h: u32) -> Image {
        Image(RgbImage::from_fn(w, h, |x, _| if x < w / 2 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) }))
    }

    #[test]
    fn fits_keep_or_bend_the_shape() {
        let image = halves(200, 100);
        let cover = image.fitted(100, 100, Fit::Cover, 1.0);
        assert_eq!((cover.get_pixel(0, 50).0, cover.get_pixel(99, 50).0), ([255, 0, 0], [0, 0, 255]));
        assert_eq!(cover.get_pixel(40, 0).0, [255, 0, 0]);
        let contain = image.fitted(100, 100, Fit::Contain, 1.0);
        assert_eq!((contain.get_pixel(50, 10).0, contain.get_pixel(10, 50).0), ([0; 3], [255, 0, 0]));
        let stretch = image.fitted(100, 100, Fit::Stretch, 1.0);
        assert_eq!((stretch.get_pixel(10, 0).0, stretch.get_pixel(90, 99).0), ([255, 0, 0], [0, 0, 255]));
        // Pixels twice as wide as high: the frame of 100×100 is seen as 200×100, the picture's shape.
        let wide = image.fitted(100, 100, Fit::Contain, 2.0);
        assert_eq!((wide.get_pixel(10, 0).0, wide.get_pixel(90, 99).0), ([255, 0, 0], [0, 0, 255]));
    }

    #[test]
    fn colours_come_out_in_every_format() {
        let image = halves(64, 64);
        for format in Format::ALL.into_iter().filter(|f| *f != Format::Gray8) {
            let color =
                if format.is_yuv() { Color::BT709 } else { Color { full_range: true, ..Color::BT709 } };
            let picture = Picture::new(&image, (format, color), (31, 17), Fit::Stretch, 1.0);
            let layout = format.layout();
            let want = if format.is_yuv() { color.yuv([255, 0, 0]) } else { [255, 0, 0] };
            for (c, w) in layout.color.iter().zip(want) {
                let (data, stride) = &picture.planes[c.plane];
                let last = (c.height(17) - 1) * stride + c.offset;
                assert!((i32::from(data[last]) - i32::from(w)).abs() <= 1, "{format:?}");
            }
            if let Some(a) = layout.alpha {
                assert!(picture.planes[a.plane].0.iter().skip(a.offset).step_by(a.step).all(|v| *v == 255));
            }
        }
    }
}
