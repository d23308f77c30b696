//! Frames without a file about them, as programs hand them to each other through pipes.

use gst::prelude::*;
use gst_video::prelude::*;
use gstbgremove::sync::lock;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Standard input or output, as one names them.
const PIPE: &str = "-";
/// Standard output, where the name says so.
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
    /// Bytes a row and rows of each plane, one after the other without a gap, as ffmpeg writes them.
    fn planes(&self) -> Vec<(u32, u32)> {
        let (w, h) = (self.width, self.height);
        let (half, low) = (w.div_ceil(2), h.div_ceil(2));
        match self.format {
            "rgb" | "bgr" => vec![(3 * w, h)],
            "i420" => vec![(w, h), (half, low), (half, low)],
            "nv12" => vec![(w, h), (2 * half, low)],
            "y42b" => vec![(w, h), (half, h), (half, h)],
            "y444" => vec![(w, h); 3],
            "yuy2" | "uyvy" => vec![(4 * half, h)],
            "gray8" => vec![(w, h)],
            _ => vec![(4 * w, h)],
        }
    }

    /// Bytes of a frame.
    fn bytes(&self) -> u64 {
        self.planes().iter().map(|(stride, rows)| u64::from(*stride) * u64::from(*rows)).sum()
    }

    /// What there is to say of an input of so many bytes, if it ended within a frame.
    pub fn check(&self, bytes: u64) -> Option<String> {
        let rest = bytes % self.bytes().max(1);
        (rest > 0).then(|| {
            format!(
                "it ended in the middle of a frame, with {rest} bytes of {}: it broke off, or its frames are not {}×{} {}, as --raw says",
                self.bytes(),
                self.width,
                self.height,
                self.format
            )
        })
    }

    /// What divides bytes into frames.
    ///
    /// # Errors
    /// It is missing.
    pub fn parser(&self) -> Result<gst::Element, String> {
        let parser = gst::ElementFactory::make("rawvideoparse").build().map_err(|_| {
            "GStreamer's rawvideoparse is missing; install gstreamer1.0-plugins-base".to_string()
        })?;
        parser.set_property("width", self.width as i32);
        parser.set_property("height", self.height as i32);
        parser.set_property("framerate", self.rate);
        parser.set_property_from_str("format", self.format);
        // GStreamer's own rows are padded to multiples of four bytes.
        let (mut offset, mut offsets, mut strides) = (0u32, Vec::new(), Vec::new());
        for (stride, rows) in self.planes() {
            offsets.push(format!("(int){offset}"));
            strides.push(format!("(int){stride}"));
            let bytes = stride.checked_mul(rows).and_then(|n| offset.checked_add(n));
            offset = bytes.filter(|n| *n <= i32::MAX as u32).ok_or("frames of that size are too large")?;
        }
        let list = |v: &[String]| format!("<{}>", v.join(","));
        parser.set_property_from_str("plane-strides", &list(&strides));
        parser.set_property_from_str("plane-offsets", &list(&offsets));
        parser.set_property("frame-size", offset);
        Ok(parser)
    }
}

/// Takes the gaps between rows out of the frames of planar YUV 4:2:0 on their way through a pad: y4menc of 1.22 writes
/// them along where the width is no multiple of eight.
pub fn pack(pad: &gst::Pad) {
    let what = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    let info = std::sync::Mutex::new(None);
    pad.add_probe(what, move |_, probe| {
        let mut info = lock(&info);
        match &mut probe.data {
            Some(gst::PadProbeData::Event(event)) => {
                if let gst::EventView::Caps(caps) = event.view() {
                    *info = gst_video::VideoInfo::from_caps(caps.caps()).ok();
                }
            }
            Some(gst::PadProbeData::Buffer(buffer)) => {
                if let Some(packed) = info.as_ref().and_then(|info| packed(buffer, info)) {
                    *buffer = packed;
                }
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

fn packed(buffer: &gst::Buffer, info: &gst_video::VideoInfo) -> Option<gst::Buffer> {
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info).ok()?;
    let (w, h) = (info.width() as usize, info.height() as usize);
    let mut bytes = Vec::with_capacity(w * h * 3 / 2);
    for (plane, (width, rows)) in
        [(w, h), (w.div_ceil(2), h.div_ceil(2)), (w.div_ceil(2), h.div_ceil(2))].into_iter().enumerate()
    {
        let stride = usize::try_from(frame.plane_stride()[plane]).ok()?;
        let data = frame.plane_data(plane as u32).ok()?;
        for row in 0..rows {
            bytes.extend_from_slice(data.get(row * stride..row * stride + width)?);
        }
    }
    let mut packed = gst::Buffer::from_mut_slice(bytes);
    let new = packed.get_mut()?;
    // Newer y4menc goes by this; it is less than what the caps say by themselves.
    let (half, low) = (w.div_ceil(2), h.div_ceil(2));
    let offsets = [0, w * h, w * h + half * low];
    let strides = [w, half, half].map(|s| i32::try_from(s).unwrap_or(i32::MAX));
    let (flags, format) = (gst_video::VideoFrameFlags::empty(), info.format());
    gst_video::VideoMeta::add_full(new, flags, format, info.width(), info.height(), &offsets, &strides)
        .ok()?;
    new.set_pts(buffer.pts());
    new.set_dts(buffer.dts());
    new.set_duration(buffer.duration());
    Some(packed)
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
            // Rows of 67 bytes and columns of 33 fit no multiple.
            let odd = Raw { width: 67, height: 33, ..raw };
            let parser = odd.parser().unwrap();
            let bytes: u32 = odd.planes().iter().map(|(stride, rows)| stride * rows).sum();
            assert_eq!(parser.property::<u32>("frame-size"), bytes, "{ffmpeg}");
        }
    }
}
