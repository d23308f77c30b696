//! The layers that are hung on a frame (`layers`): matte, background and plate, of the same mask as the frame itself.

use super::convert::{FormatConverter, lie_alike, no_memory};
use super::mattes::Mattes;
use crate::compose::{self, Blur};
use crate::error::{Error, ErrorKind};
use crate::frame::{Frame, FrameMut};
use crate::layers::{Layer, Layers, attach};
use crate::paint::Painter;
use crate::refine::Colors;
use crate::scene::Scene;
use crate::video;
use gst_video::{VideoFrameRef, VideoInfo};

/// How much the background is blurred where the subject hides what is not remembered, in percent of the frame's height.
const BLUR: f32 = 6.0;

/// What layers are made of.
pub struct LayerSource<'a> {
    pub input: &'a gst::BufferRef,
    /// A view of it.
    pub frame: &'a Frame<'a>,
    pub colors: LayerColors<'a>,
    pub input_info: &'a VideoInfo,
    /// Of the frame that layers are hung on.
    pub output_info: &'a VideoInfo,
    pub mattes: &'a Mattes,
    pub scene: &'a mut Scene,
}

/// The frame's colours as they lie in the format that goes out.
#[derive(Clone, Copy)]
pub enum LayerColors<'a> {
    /// None: of a matte there is nothing but the matte.
    Missing,
    Given(&'a Frame<'a>),
    /// The input's, which are converted first.
    Converted,
}

/// Makes layers; keeps its buffers from frame to frame, nothing else.
#[derive(Default)]
pub struct Layering {
    painter: Painter,
    /// Of the input to the format that goes out.
    outgoing: Option<FormatConverter>,
    /// To a format with alpha, where the frame goes out in one that differs in more.
    converter: Option<FormatConverter>,
    blur: Option<Blur>,
}

impl Layering {
    /// Makes the layers that are asked for, and hangs them on `output`.
    ///
    /// # Errors
    /// [`ErrorKind::Inference`] when there is no memory, or a buffer does not hold what its caps say.
    pub fn attach(
        &mut self,
        layers: Layers,
        source: LayerSource<'_>,
        output: &mut gst::BufferRef,
    ) -> Result<(), Error> {
        let LayerSource { input, output_info, .. } = source;
        match source.colors {
            LayerColors::Missing => self.make(layers, source, None, output),
            LayerColors::Given(colors) => self.make(layers, source, Some(colors), output),
            LayerColors::Converted => {
                let own = self.outgoing.take();
                let mut own = own.unwrap_or_else(|| FormatConverter::new(source.input_info, output_info));
                own.convert(input)?;
                {
                    let converted = own.converted().ok_or_else(no_memory)?;
                    let mapped = VideoFrameRef::from_buffer_ref_readable(converted, output_info)
                        .map_err(|_| no_memory())?;
                    let colors = video::read(&mapped, output_info).ok_or_else(no_memory)?;
                    self.make(layers, source, Some(&colors), output)?;
                }
                self.outgoing = Some(own);
                Ok(())
            }
        }
    }

    fn make(
        &mut self,
        layers: Layers,
        source: LayerSource<'_>,
        colors: Option<&Frame<'_>>,
        output: &mut gst::BufferRef,
    ) -> Result<(), Error> {
        let LayerSource { input, frame, input_info, output_info, mattes, scene, .. } = source;
        for layer in Layer::ALL.into_iter().filter(|l| layers.contains(l.flag())) {
            let Some(info) = layer.info(output_info) else { continue };
            if layer != Layer::Matte && colors.is_none() {
                continue;
            }
            let mut buffer = gst::Buffer::with_size(info.size()).map_err(|_| no_memory())?;
            let of = (Colors::All, Colors::Shared);
            let filled =
                video::fill(buffer.get_mut().ok_or_else(no_memory)?, &info, |out| -> Result<(), Error> {
                    match (layer, colors) {
                        (Layer::Matte, _) => compose::matte(out, mattes.subject().alpha),
                        (Layer::Background, Some(colors)) if lie_alike(output_info, &info) => {
                            self.painter.transparent(colors, mattes.background(), of, out);
                        }
                        (Layer::Background, Some(_)) => {
                            // Without alpha frames go out in the format that they came in.
                            if self.converter.as_ref().is_none_or(|c| *c.to() != info) {
                                self.converter = Some(FormatConverter::new(input_info, &info));
                            }
                            let converter = self.converter.as_mut().ok_or_else(no_memory)?;
                            converter.convert(input)?;
                            let converted = converter.converted().ok_or_else(no_memory)?;
                            let painter = &mut self.painter;
                            video::view(converted, &info, |colors| {
                                painter.transparent(colors, mattes.background(), of, out);
                            })
                            .ok_or_else(no_memory)?;
                        }
                        (Layer::Plate, Some(colors)) => self.plate(frame, colors, mattes, scene, out),
                        (Layer::Background | Layer::Plate, None) => {}
                    }
                    Ok(())
                });
            filled.ok_or_else(no_memory)??;
            attach(output, layer, buffer, &info)
                .ok_or_else(|| Error::new(ErrorKind::Inference, "GStreamer takes no layer on a frame"))?;
        }
        Ok(())
    }

    /// The background without a hole.
    fn plate(
        &mut self,
        frame: &Frame<'_>,
        colors: &Frame<'_>,
        mattes: &Mattes,
        scene: &mut Scene,
        out: &mut FrameMut<'_>,
    ) {
        let fits = |b: &Blur| b.fits(out.format, out.width, out.height);
        if !self.blur.as_ref().is_some_and(fits) {
            self.blur = Some(Blur::new(out.format, out.width, out.height, BLUR));
        }
        let Some(blur) = &mut self.blur else { return };
        blur.prepare(colors, mattes.cover());
        let plate = scene.plate(frame, (out.format, out.color), blur);
        self.painter.plain(colors, mattes.clear(), &plate, out);
    }
}
