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

/// A mapped frame to read; `None` for a format that no pad of the element takes.
pub fn read<'a>(frame: &'a VideoFrameRef<&'a gst::BufferRef>) -> Option<Frame<'a>> {
    let info = frame.info();
    let mut planes = [Plane { data: &[], stride: 0 }; 4];
    for (i, plane) in planes.iter_mut().enumerate().take(info.n_planes() as usize) {
        *plane = Plane { data: frame.plane_data(i as u32).ok()?, stride: stride(frame.plane_stride(), i)? };
    }
    Some(Frame {
        format: format(info.format())?,
        color: color(info),
        width: info.width() as usize,
        height: info.height() as usize,
        planes,
    })
}

/// A mapped frame to write.
pub fn write<'a>(frame: &'a mut VideoFrameRef<&mut gst::BufferRef>) -> Option<FrameMut<'a>> {
    let info = frame.info().clone();
    let strides = frame.plane_stride().to_vec();
    let mut planes = [(); 4].map(|()| PlaneMut { data: &mut [], stride: 0 });
    for (i, (plane, data)) in
        planes.iter_mut().zip(frame.planes_data_mut()).enumerate().take(info.n_planes() as usize)
    {
        *plane = PlaneMut { data, stride: stride(&strides, i)? };
    }
    Some(FrameMut {
        format: format(info.format())?,
        color: color(&info),
        width: info.width() as usize,
        height: info.height() as usize,
        planes,
    })
}

/// Strides can be negative (a picture upside down); such a frame is not read in place.
fn stride(strides: &[i32], plane: usize) -> Option<usize> {
    strides.get(plane).and_then(|s| usize::try_from(*s).ok())
}
