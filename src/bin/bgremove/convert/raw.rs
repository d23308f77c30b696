//! Frames without a file about them, as programs hand them to each other through pipes.

use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Standard input, and standard output, as one names them.
const PIPE: &str = "-";
const OUT: &str = "out:-";

/// How frames lie in what comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    pub width: u32,
    pub height: u32,
    pub rate: gst::Fraction,
    /// As GStreamer calls it.
    pub format: &'static str,
}

/// Pixel formats as ffmpeg and GStreamer call them.
const FORMATS: [(&str, &str); 17] = [
    ("rgb24", "rgb"),
    ("bgr24", "bgr"),
    ("rgba", "rgba"),
    ("bgra", "bgra"),
    ("argb", "argb"),
    ("abgr", "abgr"),
    ("rgb0", "rgbx"),
    ("bgr0", "bgrx"),
    ("0rgb", "xrgb"),
    ("0bgr", "xbgr"),
    ("yuv420p", "i420"),
    ("nv12", "nv12"),
    ("yuv422p", "y42b"),
    ("yuv444p", "y444"),
    ("yuyv422", "yuy2"),
    ("uyvy422", "uyvy"),
    ("gray", "gray8"),
];

impl FromStr for Raw {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "give WIDTHxHEIGHT@RATE,FORMAT, as in 1280x720@30/1,rgb24".to_string();
        let (frame, format) = text.split_once(',').ok_or_else(wrong)?;
        let (size, rate) = frame.split_once('@').ok_or_else(wrong)?;
        let (width, height) = size.split_once(['x', '×']).ok_or_else(wrong)?;
        let side = |s: &str| s.parse::<u32>().ok().filter(|n| (1..=32_768).contains(n)).ok_or_else(wrong);
        let (n, d) = rate.split_once('/').unwrap_or((rate, "1"));
        let part = |s: &str| s.parse::<i32>().ok().filter(|n| (1..=1_000_000).contains(n)).ok_or_else(wrong);
        let name = format.to_lowercase();
        let known = FORMATS.iter().find(|(ffmpeg, own)| name == *ffmpeg || name == *own);
        let (_, format) = known.ok_or_else(|| {
            let all: Vec<_> = FORMATS.iter().map(|f| f.0).collect();
            format!("the format {format} is not known: one of {}", all.join(", "))
        })?;
        Ok(Self {
            width: side(width)?,
            height: side(height)?,
            rate: gst::Fraction::new(part(n)?, part(d)?),
            format,
        })
    }
}

impl Raw {
    /// What divides bytes into frames.
    ///
    /// # Errors
    /// It is missing.
    pub fn parser(&self) -> Result<gst::Element, String> {
        let parser = gst::ElementFactory::make("rawvideoparse");
        let parser = parser
            .property("width", self.width as i32)
            .property("height", self.height as i32)
            .property("framerate", self.rate)
            .property_from_str("format", self.format);
        parser.build().map_err(|_| {
            "GStreamer's rawvideoparse is missing; install gstreamer1.0-plugins-base".to_string()
        })
    }
}

/// An input as one names it.
pub fn input(path: &Path) -> PathBuf {
    if path.as_os_str() == PIPE { "/dev/stdin".into() } else { path.into() }
}

/// An output as one names it: all names of standard output become one.
pub fn output(path: &Path) -> PathBuf {
    if path.as_os_str() == OUT { PIPE.into() } else { path.into() }
}

/// Whether an output is standard output.
pub fn is_pipe(output: &Path) -> bool {
    output.as_os_str() == PIPE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_in_ffmpegs_words_and_in_gstreamers() {
        let raw: Raw = "1280x720@30000/1001,rgb24".parse().unwrap();
        let rate = gst::Fraction::new(30000, 1001);
        assert_eq!(raw, Raw { width: 1280, height: 720, rate, format: "rgb" });
        assert_eq!("16x16@25,I420".parse::<Raw>().unwrap().format, "i420");
        for wrong in
            ["1280x720", "1280x720@30", "x720@30,rgb24", "1x1@0,rgb24", "1x1@30/0,rgb24", "0x1@30,rgb24"]
        {
            assert!(wrong.parse::<Raw>().is_err(), "{wrong}");
        }
        assert!("1x1@30,rgb48".parse::<Raw>().is_err_and(|e| e.contains("yuv420p")));
    }

    #[test]
    fn every_format_has_a_parser() {
        crate::gstreamer::init();
        for (ffmpeg, own) in FORMATS {
            let raw: Raw = format!("64x48@25/1,{ffmpeg}").parse().unwrap();
            assert_eq!(raw.format, own);
            raw.parser().unwrap();
        }
    }
}
