//! The element's implementation.

use crate::sync::lock;
use crate::video;
use gst::subclass::prelude::*;
use gst_base::subclass::prelude::*;
use gst_video::{VideoFormat, VideoFormatInfo, VideoFrameRef, VideoInfo};
use std::sync::{LazyLock, Mutex};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("alphaextract", gst::DebugColorFlags::empty(), Some("Alpha as frames of grey"))
});

/// Where alpha stands among a format's components.
const ALPHA: usize = 3;

/// Formats whose alpha is a byte, or lies in two, from 8 to 16 bits: those of GStreamer 1.22, whatever is loaded.
const NAMES: [&str; 28] = [
    "ABGR64_LE",
    "BGRA64_LE",
    "AYUV64",
    "ARGB64_LE",
    "ARGB64",
    "RGBA64_LE",
    "ABGR64_BE",
    "BGRA64_BE",
    "ARGB64_BE",
    "RGBA64_BE",
    "GBRA_12LE",
    "GBRA_12BE",
    "A444_10LE",
    "GBRA_10LE",
    "A444_10BE",
    "GBRA_10BE",
    "A422_10LE",
    "A422_10BE",
    "A420_10LE",
    "A420_10BE",
    "GBRA",
    "ABGR",
    "VUYA",
    "BGRA",
    "AYUV",
    "ARGB",
    "RGBA",
    "A420",
];
static FORMATS: LazyLock<Vec<VideoFormat>> =
    LazyLock::new(|| NAMES.iter().map(|name| VideoFormat::from_string(name)).collect());

/// How a sample of alpha lies in memory.
#[derive(Clone, Copy, Debug)]
enum Sample {
    Byte,
    /// Two bytes, little-endian or not, of which `most` is the largest value once shifted to the right.
    Word {
        little: bool,
        shift: u32,
        most: u32,
    },
}

impl Sample {
    fn of(info: &VideoFormatInfo) -> Self {
        match info.depth()[ALPHA] {
            8 => Self::Byte,
            depth => Self::Word { little: info.is_le(), shift: info.shift()[ALPHA], most: (1 << depth) - 1 },
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Byte => 1,
            Self::Word { .. } => 2,
        }
    }
}

#[derive(Default)]
pub struct AlphaExtract {
    sizes: Mutex<Option<(VideoInfo, VideoInfo)>>,
}

#[glib::object_subclass]
impl ObjectSubclass for AlphaExtract {
    const NAME: &'static str = "GstBgAlphaExtract";
    type Type = super::AlphaExtract;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for AlphaExtract {}

impl GstObjectImpl for AlphaExtract {}

impl ElementImpl for AlphaExtract {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Alpha Extractor",
                "Filter/Converter/Video",
                "Puts out the alpha of frames as frames of grey, white where they are opaque",
                "The bgremove authors",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let sink = video::caps(FORMATS.iter().copied());
            video::templates(&sink, &video::caps([VideoFormat::Gray8]))
        });
        TEMPLATES.as_ref()
    }
}

impl BaseTransformImpl for AlphaExtract {
    const MODE: gst_base::subclass::BaseTransformMode = gst_base::subclass::BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.sizes) = None;
        Ok(())
    }

    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let to_grey = direction == gst::PadDirection::Sink;
        let mut out = gst::Caps::new_empty();
        for (s, features) in caps.iter_with_features() {
            // In the memory that all know alone: what a device holds cannot be read here.
            if !features.is_any()
                && !features
                    .is_equal(gst::CapsFeatures::new([gst::CAPS_FEATURE_MEMORY_SYSTEM_MEMORY]).as_ref())
            {
                continue;
            }
            let mut s = s.to_owned();
            // The colours' say nothing of alpha, and the other way round.
            s.remove_fields(["colorimetry", "chroma-site"]);
            if to_grey {
                s.set("format", VideoFormat::Gray8.to_str());
            } else {
                s.set("format", gst::List::new(FORMATS.iter().map(|f| f.to_str())));
            }
            out.merge_structure(s);
        }
        Some(video::filtered(out, filter))
    }

    fn unit_size(&self, caps: &gst::Caps) -> Option<usize> {
        video::unit_size(caps)
    }

    fn transform_size(
        &self,
        _direction: gst::PadDirection,
        _caps: &gst::Caps,
        _size: usize,
        other: &gst::Caps,
    ) -> Option<usize> {
        video::unit_size(other)
    }

    fn set_caps(&self, incaps: &gst::Caps, outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = |caps| VideoInfo::from_caps(caps).map_err(|e| gst::loggable_error!(CAT, "{e}"));
        *lock(&self.sizes) = Some((info(incaps)?, info(outcaps)?));
        Ok(())
    }

    fn transform(
        &self,
        input: &gst::Buffer,
        output: &mut gst::BufferRef,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let Some((from, to)) = lock(&self.sizes).clone() else { return Err(gst::FlowError::NotNegotiated) };
        extract(&from, &to, input, output).ok_or_else(|| {
            gst::element_imp_error!(
                self,
                gst::StreamError::Failed,
                ("a frame's buffer is smaller than its caps say, or stored upside down, which is not read")
            );
            gst::FlowError::Error
        })?;
        Ok(gst::FlowSuccess::Ok)
    }
}

/// Writes the alpha of a frame; `None` if a buffer does not hold what its caps say.
fn extract(
    from: &VideoInfo,
    to: &VideoInfo,
    input: &gst::BufferRef,
    output: &mut gst::BufferRef,
) -> Option<()> {
    let input = VideoFrameRef::from_buffer_ref_readable(input, from).ok()?;
    let alpha = video::component(&input, from, ALPHA)?;
    let format = from.format_info();
    let sample = Sample::of(&format);
    video::fill(output, to, |grey| {
        let width = grey.width;
        for y in 0..grey.height {
            let row = alpha.row(y, width, sample.bytes())?;
            let out = &mut grey.planes[0].row(y)[..width];
            match (sample, alpha.step) {
                (Sample::Byte, 1) => out.copy_from_slice(&row[..width]),
                (Sample::Byte, step) => {
                    out.iter_mut().zip(row.iter().step_by(step)).for_each(|(o, a)| *o = *a)
                }
                (Sample::Word { little, shift, most }, step) => {
                    for (o, a) in out.iter_mut().zip(row.chunks(step)) {
                        let word = if little {
                            u16::from_le_bytes([a[0], a[1]])
                        } else {
                            u16::from_be_bytes([a[0], a[1]])
                        };
                        let value = u32::from(word >> shift) & most;
                        *o = ((value * 255 + most / 2) / most) as u8;
                    }
                }
            }
        }
        Some(())
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_formats_are_such_as_can_be_read() {
        gst::init().unwrap();
        for format in FORMATS.iter() {
            let info = VideoFormatInfo::from_format(*format);
            let depth = info.depth()[ALPHA];
            assert!(info.has_alpha() && !info.has_palette() && !info.is_tiled(), "{format:?}");
            assert!((8..=16).contains(&depth), "{format:?}: {depth} bits");
            assert!(info.pixel_stride()[ALPHA] as usize >= Sample::of(&info).bytes(), "{format:?}");
        }
    }
}
