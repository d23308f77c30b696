//! The colours of frames in another pixel format, in private memory.

use crate::compose;
use crate::error::{Error, ErrorKind};
use crate::frame::Format;
use crate::video;
use gst_video::{VideoConverter, VideoConverterConfig, VideoFrameRef, VideoInfo};

/// Converts frames into private scratch memory, so that hidden pixels never reach downstream's buffer.
pub struct FormatConverter {
    from: VideoInfo,
    to: VideoInfo,
    scratch: Option<gst::Buffer>,
    /// GStreamer's own conversion, where the formats differ in more than order and alpha.
    converter: Option<VideoConverter>,
}

/// Whether the colours of two formats lie alike.
pub fn lie_alike(from: &VideoInfo, to: &VideoInfo) -> bool {
    let [from, to] = [from, to].map(|info| video::format(info.format()));
    let alike = |(a, b): (Format, Format)| {
        let yuv = a.is_yuv() == b.is_yuv();
        let [a, b] = [a.layout(), b.layout()];
        yuv && (a.color, a.colors) == (b.color, b.colors)
    };
    from.zip(to).is_some_and(alike)
}

impl FormatConverter {
    /// From one format to another of the same size.
    pub fn new(from: &VideoInfo, to: &VideoInfo) -> Self {
        Self { from: from.clone(), to: to.clone(), scratch: None, converter: None }
    }

    /// The colours that were converted last, to be worked on.
    pub fn converted_mut(&mut self) -> Option<&mut gst::BufferRef> {
        self.scratch.as_mut()?.get_mut()
    }

    /// What it brings frames to.
    pub fn to(&self) -> &VideoInfo {
        &self.to
    }

    /// The frame that was converted last.
    pub fn converted(&self) -> Option<&gst::BufferRef> {
        self.scratch.as_deref()
    }

    /// Puts a frame's colours into memory of our own.
    ///
    /// # Errors
    /// [`ErrorKind::Inference`] when the buffer does not hold what its caps say.
    pub fn convert(&mut self, input: &gst::BufferRef) -> Result<(), Error> {
        let in_frame = VideoFrameRef::from_buffer_ref_readable(input, &self.from)
            .map_err(|_| Error::unreadable("the incoming buffer"))?;
        let frame =
            video::read(&in_frame, &self.from).ok_or_else(|| Error::unreadable("the incoming buffer"))?;
        let mut scratch =
            self.scratch.take().unwrap_or_else(|| gst::Buffer::from_mut_slice(vec![0u8; self.to.size()]));
        {
            let buffer = scratch.get_mut().ok_or_else(no_memory)?;
            let mut mapped =
                VideoFrameRef::from_buffer_ref_writable(buffer, &self.to).map_err(|_| no_memory())?;
            let mut colors = video::write(&mut mapped, &self.to).ok_or_else(no_memory)?;
            if !compose::copy_colors(&frame, &mut colors) {
                self.convert_by_gstreamer(&in_frame, &mut mapped)?;
            }
        }
        self.scratch = Some(scratch);
        Ok(())
    }

    /// The frame's colours in the other format, by GStreamer's converter.
    fn convert_by_gstreamer(
        &mut self,
        input: &VideoFrameRef<&gst::BufferRef>,
        output: &mut VideoFrameRef<&mut gst::BufferRef>,
    ) -> Result<(), Error> {
        let converter = match &mut self.converter {
            Some(c) => c,
            none => {
                let mut config = VideoConverterConfig::new();
                // On several threads, GStreamer 1.22 gives other chroma where the threads' lines meet, and of NV12 below.
                use gst_video::VideoFormat::{A420, Nv12};
                let alone = [A420, Nv12].contains(&self.from.format()) || self.to.format() == A420;
                config.set_threads(if alone { 1 } else { rayon::current_num_threads() as u32 });
                let made = VideoConverter::new(&self.from, &self.to, Some(config)).map_err(|e| {
                    Error::new(
                        ErrorKind::Inference,
                        format!(
                            "GStreamer cannot convert {:?} to {:?}: {e}",
                            self.from.format(),
                            self.to.format()
                        ),
                    )
                })?;
                none.insert(made)
            }
        };
        converter.frame_ref(input, output);
        Ok(())
    }
}

/// The error of our own memory, which cannot be had or read.
pub fn no_memory() -> Error {
    Error::new(ErrorKind::Inference, "there is no memory for a frame")
}
