//! GStreamer's frames as the rooms' frames.

use crate::frame::{Color, Format, Frame, FrameMut, Plane, PlaneMut};
use gst_video::prelude::*;
use gst_video::{VideoColorMatrix, VideoColorRange, VideoFormat, VideoFrameRef, VideoInfo};

/// The format's name in the rooms.
pub fn format(format: VideoFormat) -> Option<Format> {
    Some(match format {
        VideoFormat::I420 => Format::I420,
        VideoFormat::Yv12 => Format::Yv12,
        VideoFormat::Nv12 => Format::Nv12,
        VideoFormat::Yuy2 => Format::Yuy2,
        VideoFormat::A420 => Format::A420,
        VideoFormat::Ayuv => Format::Ayuv,
        VideoFormat::Rgb => Format::Rgb,
        VideoFormat::Bgr => Format::Bgr,
        VideoFormat::Rgbx => Format::Rgbx,
        VideoFormat::Bgrx => Format::Bgrx,
        VideoFormat::Xrgb => Format::Xrgb,
        VideoFormat::Xbgr => Format::Xbgr,
        VideoFormat::Rgba => Format::Rgba,
        VideoFormat::Bgra => Format::Bgra,
        VideoFormat::Argb => Format::Argb,
        VideoFormat::Abgr => Format::Abgr,
        VideoFormat::Gray8 => Format::Gray8,
        _ => return None,
    })
}

/// Range and matrix of a stream.
pub fn color(info: &VideoInfo) -> Color {
    let colorimetry = info.colorimetry();
    let (kr, kb) = match colorimetry.matrix() {
        VideoColorMatrix::Fcc => (0.30, 0.11),
        VideoColorMatrix::Bt709 => (0.2126, 0.0722),
        VideoColorMatrix::Smpte240m => (0.212, 0.087),
        VideoColorMatrix::Bt2020 => (0.2627, 0.0593),
        _ => (0.299, 0.114),
    };
    Color { full_range: colorimetry.range() == VideoColorRange::Range0_255, kr, kb }
}

/// A mapped frame to read, at the size that was negotiated: a decoder's buffer may be larger than its
/// caps say. `None` when the buffer does not hold what it should.
pub fn read<'a>(frame: &'a VideoFrameRef<&'a gst::BufferRef>, info: &VideoInfo) -> Option<Frame<'a>> {
    let (format, strides) = sizes(frame.info(), info, frame.plane_stride())?;
    let mut planes = [Plane { data: &[], stride: 0 }; 4];
    for (i, (plane, stride)) in planes.iter_mut().zip(strides).enumerate().take(format.layout().planes) {
        *plane = Plane { data: frame.plane_data(i as u32).ok()?, stride };
    }
    let (width, height) = (info.width() as usize, info.height() as usize);
    let whole =
        planes.iter().enumerate().all(|(i, p)| holds(format, i, (width, height), p.data.len(), p.stride));
    whole.then_some(Frame { format, color: color(info), width, height, planes })
}

/// A mapped frame to write; as [`read`].
pub fn write<'a>(
    frame: &'a mut VideoFrameRef<&mut gst::BufferRef>,
    info: &VideoInfo,
) -> Option<FrameMut<'a>> {
    let (format, strides) = sizes(frame.info(), info, frame.plane_stride())?;
    let mut planes = [(); 4].map(|()| PlaneMut { data: &mut [], stride: 0 });
    let data = frame.planes_data_mut();
    for ((plane, data), stride) in planes.iter_mut().zip(data).zip(strides).take(format.layout().planes) {
        *plane = PlaneMut { data, stride };
    }
    let (width, height) = (info.width() as usize, info.height() as usize);
    let whole =
        planes.iter().enumerate().all(|(i, p)| holds(format, i, (width, height), p.data.len(), p.stride));
    whole.then_some(FrameMut { format, color: color(info), width, height, planes })
}

/// Format and strides of a buffer, unless it is smaller than its caps. Strides can be negative (a picture
/// upside down); such a frame is not read.
fn sizes(buffer: &VideoInfo, caps: &VideoInfo, strides: &[i32]) -> Option<(Format, [usize; 4])> {
    let fits = buffer.width() >= caps.width() && buffer.height() >= caps.height();
    let format = format(caps.format()).filter(|_| fits && buffer.format() == caps.format())?;
    let mut out = [0; 4];
    for (o, s) in out.iter_mut().zip(strides) {
        *o = usize::try_from(*s).ok()?;
    }
    Some((format, out))
}

/// Whether a plane's rows and bytes suffice for the frame.
fn holds(format: Format, plane: usize, (width, height): (usize, usize), bytes: usize, stride: usize) -> bool {
    let layout = format.layout();
    let parts = layout.color[..layout.colors].iter().chain(layout.alpha.as_ref());
    parts.filter(|c| c.plane == plane).all(|c| {
        let row = c.offset + (c.width(width) - 1) * c.step + 1;
        stride >= row && bytes >= (c.height(height) - 1) * stride + row
    })
}
