//! The element's implementation.

use super::{Layer, layer};
use crate::ready::is_too_late;
use crate::sync::lock;
use crate::video;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::GenerateOutputSuccess;
use gst_base::subclass::prelude::*;
use gst_video::{VideoFormat, VideoInfo};
use std::sync::{LazyLock, Mutex};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("layerextract", gst::DebugColorFlags::empty(), Some("A layer of a frame"))
});

#[derive(Default)]
pub struct LayerExtract {
    layer: Mutex<Layer>,
    output: Mutex<Option<VideoInfo>>,
}

#[glib::object_subclass]
impl ObjectSubclass for LayerExtract {
    const NAME: &'static str = "GstBgLayerExtract";
    type Type = super::LayerExtract;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for LayerExtract {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecEnum::builder_with_default("layer", Layer::default())
                    .nick("Layer")
                    .blurb("Which of the layers that hang on frames is put out")
                    .mutable_ready()
                    .build(),
            ]
        });
        PROPERTIES.as_ref()
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        if is_too_late(&*self.obj(), pspec, value) {
            return;
        }
        *lock(&self.layer) = value.get().unwrap_or_default();
    }

    fn property(&self, _id: usize, _pspec: &glib::ParamSpec) -> glib::Value {
        lock(&self.layer).to_value()
    }
}

impl GstObjectImpl for LayerExtract {}

impl ElementImpl for LayerExtract {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Layer Extractor",
                "Filter/Converter/Video",
                "Takes a layer off the frames of bgremove: matte, background or plate",
                "The bgremove authors",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = video::caps(formats());
            video::templates(&caps, &caps)
        });
        TEMPLATES.as_ref()
    }
}

/// All that bgremove gives.
fn formats() -> impl Iterator<Item = VideoFormat> + Clone {
    video::SINK_FORMATS.into_iter().chain([VideoFormat::Gray8])
}

impl BaseTransformImpl for LayerExtract {
    const MODE: gst_base::subclass::BaseTransformMode = gst_base::subclass::BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.output) = None;
        Ok(())
    }

    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let layer = *lock(&self.layer);
        let pairs = formats().filter_map(|frames| Some((frames, layer.format(frames)?)));
        let out = video::transform(direction, caps, pairs, |s| {
            if layer == Layer::Matte {
                // The colours' say nothing of alpha, and the other way round.
                s.remove_fields(["colorimetry", "chroma-site"]);
            }
        });
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

    fn set_caps(&self, _incaps: &gst::Caps, outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = VideoInfo::from_caps(outcaps).map_err(|e| gst::loggable_error!(CAT, "{e}"))?;
        *lock(&self.output) = Some(info);
        Ok(())
    }

    fn generate_output(&self) -> Result<GenerateOutputSuccess, gst::FlowError> {
        let Some(frame) = self.take_queued_buffer() else { return Ok(GenerateOutputSuccess::NoOutput) };
        let Some(wanted) = lock(&self.output).clone() else { return Err(gst::FlowError::NotNegotiated) };
        self.take(&frame, &wanted).map(GenerateOutputSuccess::Buffer).map_err(|why| {
            gst::element_imp_error!(self, gst::StreamError::Failed, ("{why}"));
            gst::FlowError::Error
        })
    }
}

impl LayerExtract {
    /// The layer of a frame, with the frame's own times.
    fn take(&self, frame: &gst::Buffer, wanted: &VideoInfo) -> Result<gst::Buffer, String> {
        let which = *lock(&self.layer);
        let name = which.nick();
        let sample = layer(frame, which).ok_or_else(|| {
            format!(
                "the frames carry no layer '{name}': give bgremove layers={name}, and put nothing but tee and queue between \
                 it and layerextract"
            )
        })?;
        let info = sample.caps().and_then(|caps| VideoInfo::from_caps(caps).ok());
        let fits = info.is_some_and(|info| {
            (info.format(), info.width(), info.height()) == (wanted.format(), wanted.width(), wanted.height())
        });
        let mut buffer = sample.buffer_owned().filter(|_| fits).ok_or_else(|| {
            format!(
                "the frames are not those that the layer '{name}' was made for: put nothing but tee and queue between \
                 bgremove and layerextract"
            )
        })?;
        let new = buffer.make_mut();
        let times = gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS;
        frame.copy_into(new, times, ..).map_err(|e| e.to_string())?;
        Ok(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_has_every_layer_and_a_matte_has_itself() {
        gst::init().unwrap();
        for format in formats() {
            let info = VideoInfo::builder(format, 64, 48).build().unwrap();
            for layer in Layer::ALL {
                let made = layer.info(&info).map(|i| i.format());
                assert_eq!(made, layer.format(format), "{layer:?} of {format:?}");
                let alpha = made.is_some_and(|f| gst_video::VideoFormatInfo::from_format(f).has_alpha());
                match layer {
                    Layer::Matte => assert_eq!(made, Some(VideoFormat::Gray8)),
                    Layer::Background => assert_eq!(alpha, format != VideoFormat::Gray8, "{format:?}"),
                    Layer::Plate => assert_eq!(made, Some(format).filter(|f| *f != VideoFormat::Gray8)),
                }
            }
        }
    }
}
