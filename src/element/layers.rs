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
use gst_video::VideoInfo;

/// How much the background is blurred where the subject hides what is not remembered, in percent of the frame's height.
const BLUR: f32 = 6.0;

/// Makes layers; keeps its buffers from frame to frame, nothing else.
#[derive(Default)]
pub struct Layering {
    painter: Painter,
    /// To a format with alpha, where the frame goes out in one that differs in more.
    converter: Option<FormatConverter>,
    blur: Option<Blur>,
}

impl Layering {
    /// Makes the layers that are asked for, and hangs them on `output`. `input` comes with a view of it, and with its colours
    /// as they lie in the format that goes out; `infos` are of the two. Of a matte (no colours) there is nothing but the matte.
    ///
    /// # Errors
    /// [`ErrorKind::Inference`] when there is no memory, or a buffer does not hold what its caps say.
    pub fn attach(
        &mut self,
        layers: Layers,
        (input, (frame, colors)): (&gst::BufferRef, (&Frame<'_>, Option<&Frame<'_>>)),
        infos: [&VideoInfo; 2],
        (mattes, scene): (&Mattes, &mut Scene),
        output: &mut gst::BufferRef,
    ) -> Result<(), Error> {
        for layer in Layer::ALL.into_iter().filter(|l| layers.contains(l.flag())) {
            let Some(info) = layer.info(infos[1]) else { continue };
            if layer != Layer::Matte && colors.is_none() {
                continue;
            }
            let mut buffer = gst::Buffer::with_size(info.size()).map_err(|_| no_memory())?;
            let of = (Colors::All, Colors::Shared);
            let filled =
                video::fill(buffer.get_mut().ok_or_else(no_memory)?, &info, |out| -> Result<(), Error> {
                    match (layer, colors) {
                        (Layer::Matte, _) => compose::matte(out, mattes.subject().alpha),
                        (Layer::Background, Some(colors)) if lie_alike(infos[1], &info) => {
                            self.painter.transparent(colors, mattes.background(), of, out);
                        }
                        (Layer::Background, Some(_)) => {
                            // Without alpha frames go out in the format that they came in.
                            if self.converter.as_ref().is_none_or(|c| *c.to() != info) {
                                self.converter = Some(FormatConverter::new(infos[0], &info));
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
                        (Layer::Plate, Some(colors)) => self.plate(frame, colors, (mattes, scene), out),
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
        (mattes, scene): (&Mattes, &mut Scene),
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
