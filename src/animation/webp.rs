//! Animated WebP with alpha, by libwebp's animation encoder, which finds out what changes from frame to
//! frame and how to put it (WebP Container Specification, "Animation").

use super::Rgba;
use webp_animation::{
    AnimParams, Encoder, EncoderOptions, EncodingConfig, EncodingType, LossyEncodingConfig,
};

/// The format's largest width and height.
pub const MAX_SIZE: usize = 16383;

/// Milliseconds that a frame lasts at least: of shorter ones, browsers show each for a tenth of a second.
const LEAST: i32 = 11;

/// How to encode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// 0 (smallest) to 100 (best); with `lossless`, how hard to try.
    pub quality: f32,
    /// 0 to 100; 100 keeps alpha exactly.
    pub alpha_quality: usize,
    /// Colours are kept exactly, too.
    pub lossless: bool,
    /// 0 (fast) to 6 (small).
    pub method: usize,
    /// How often to play; 0 = for ever.
    pub loops: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self { quality: 80.0, alpha_quality: 100, lossless: false, method: 4, loops: 0 }
    }
}

/// libwebp's encoder; its pointers are its own.
struct Libwebp(Encoder);

// SAFETY: the encoder owns all that its raw pointers lead to, libwebp keeps no state of a thread, and
// nothing but `&mut self` methods touch it: it may move from thread to thread.
unsafe impl Send for Libwebp {}

/// Writes an animation; all bytes come at the end, since the container's sizes stand at its start.
pub struct Writer {
    encoder: Libwebp,
    size: (usize, usize),
    /// Time of the first frame in nanoseconds.
    first: Option<u64>,
    /// Milliseconds from the first frame to the last.
    last: i32,
}

/// Milliseconds between two times in nanoseconds, each rounded so that no error adds up.
fn milliseconds(first: u64, time: u64) -> Result<i32, String> {
    i32::try_from((time.saturating_sub(first) + 500_000) / 1_000_000)
        .map_err(|_| "an animated WebP lasts 24 days at most".to_string())
}

impl Writer {
    /// Begins an animation of pictures of `width` × `height` pixels.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn new(width: usize, height: usize, options: &Options) -> Result<Self, String> {
        if width > MAX_SIZE || height > MAX_SIZE {
            return Err(format!(
                "{width}×{height} is too large: WebP holds {MAX_SIZE}×{MAX_SIZE} at most; scale it down"
            ));
        }
        let lossy = LossyEncodingConfig {
            alpha_quality: options.alpha_quality,
            ..LossyEncodingConfig::new_from_default_preset()
        };
        let encoding = EncodingConfig {
            quality: options.quality,
            method: options.method,
            encoding_type: if options.lossless { EncodingType::Lossless } else { EncodingType::Lossy(lossy) },
        };
        let encoder = Encoder::new_with_options(
            (width as u32, height as u32),
            EncoderOptions {
                anim_params: AnimParams { loop_count: options.loops.into() },
                encoding_config: Some(encoding),
                ..EncoderOptions::default()
            },
        )
        .map_err(|e| format!("libwebp does not take these settings: {e:?}"))?;
        Ok(Self { encoder: Libwebp(encoder), size: (width, height), first: None, last: 0 })
    }

    /// Adds a frame at a time in nanoseconds. A frame that comes less than 11 ms after the last one is left out, which
    /// is shown in its place: the answer is `false`.
    ///
    /// # Errors
    /// In words.
    pub fn add(&mut self, frame: Rgba<'_>, time: u64) -> Result<bool, String> {
        if (frame.width, frame.height) != self.size {
            return Err("the frame's size changed, which WebP cannot hold".into());
        }
        let first = *self.first.get_or_insert(time);
        let at = milliseconds(first, time)?;
        if at < self.last.saturating_add(LEAST) && time != first {
            return Ok(false);
        }
        self.last = at;
        let added = self.encoder.0.add_frame(frame.data, at);
        added.map(|()| true).map_err(|e| format!("libwebp does not take a frame: {e:?}"))
    }

    /// The whole file; the last frame is shown until `end`, in nanoseconds.
    ///
    /// # Errors
    /// In words; also when there was no frame.
    pub fn finish(self, end: u64) -> Result<Vec<u8>, String> {
        let Some(first) = self.first else { return Err("there was no frame".into()) };
        let end = milliseconds(first, end)?.max(self.last.saturating_add(LEAST));
        let data = self.encoder.0.finalize(end);
        data.map(|d| d.to_vec()).map_err(|e| format!("libwebp does not finish the file: {e:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const W: usize = 64;
    const H: usize = 48;

    /// A disc that moves over nothing.
    fn frame(n: usize) -> Vec<u8> {
        let (cx, cy) = (16 + n * 4, 24);
        (0..W * H)
            .flat_map(|i| {
                let (dx, dy) = ((i % W).abs_diff(cx), (i / W).abs_diff(cy));
                let inside = dx * dx + dy * dy < 100;
                if inside { [230, 120, 20, 255] } else { [0, 0, 0, 0] }
            })
            .collect()
    }

    fn rgba(data: &[u8]) -> Rgba<'_> {
        Rgba { width: W, height: H, data }
    }

    #[test]
    fn times_are_exact_and_nothing_trails() {
        let mut writer = Writer::new(W, H, &Options::default()).unwrap();
        // 30 frames a second: 0, 33.3, 66.7, … ms; then a pause.
        let times = [0u64, 33_333_333, 66_666_667, 100_000_000, 600_000_000];
        for (n, time) in times.into_iter().enumerate() {
            assert!(writer.add(rgba(&frame(n)), 5_000_000_000 + time).unwrap());
        }
        let file = writer.finish(5_000_000_000 + 640_000_000).unwrap();
        let decoder = webp_animation::Decoder::new(&file).unwrap();
        let frames: Vec<_> = decoder.into_iter().collect();
        // This decoder gives the times at which frames end.
        let ends: Vec<i32> = frames.iter().map(webp_animation::Frame::timestamp).collect();
        assert_eq!(ends, [33, 67, 100, 600, 640]);
        for (n, shown) in frames.iter().enumerate() {
            for (want, got) in frame(n).chunks_exact(4).zip(shown.data().chunks_exact(4)) {
                assert_eq!(want[3], got[3], "frame {n}: alpha is kept exactly");
            }
        }
    }

    #[test]
    fn no_frame_is_so_short_that_browsers_make_it_long() {
        for rate in [60u64, 90, 120, 240, 1000] {
            let mut writer = Writer::new(W, H, &Options::default()).unwrap();
            let time = |n: u64| n * 1_000_000_000 / rate;
            let kept = (0..rate / 2).filter(|n| writer.add(rgba(&frame(*n as usize % 8)), time(*n)).unwrap());
            let kept = kept.count();
            let file = writer.finish(time(rate / 2)).unwrap();
            let decoder = webp_animation::Decoder::new(&file).unwrap();
            let ends: Vec<i32> = decoder.into_iter().map(|f| f.timestamp()).collect();
            let steps = std::iter::once(&0).chain(&ends).zip(&ends).map(|(a, b)| b - a);
            assert!(steps.into_iter().all(|step| step >= LEAST), "{rate} frames/s: {ends:?}");
            assert!(kept as u64 >= (rate / 2).min(23), "{rate} frames/s: {kept} kept");
            assert!((500..=510).contains(ends.last().unwrap()), "{rate} frames/s: {ends:?}");
        }
    }

    #[test]
    fn a_frame_too_many_and_wrong_sizes() {
        let mut writer = Writer::new(W, H, &Options::default()).unwrap();
        assert!(writer.add(rgba(&frame(0)), 0).unwrap());
        assert!(!writer.add(rgba(&frame(1)), 300_000).unwrap(), "within the same millisecond");
        assert!(writer.add(Rgba { width: 1, height: 1, data: &[0; 4] }, 9_000_000).is_err());
        assert!(Writer::new(MAX_SIZE + 1, 4, &Options::default()).is_err_and(|e| e.contains("16383")));
        assert!(Writer::new(W, H, &Options::default()).unwrap().finish(0).is_err());
    }
}
