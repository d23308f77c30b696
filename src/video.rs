//! A GStreamer buffer as the modules' [`Frame`]: the one way in which any element looks into a video buffer.
//!
//! What a buffer's metas say of it is the neighbour's word; here it is held against the memory that is there.

use crate::compose;
use crate::frame::{Color, Format, Frame, FrameMut, Plane, PlaneMut};
use gst_video::prelude::*;
use gst_video::{VideoColorMatrix, VideoColorRange, VideoFormat, VideoFrameRef, VideoInfo};

/// The modules' name of a format.
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

/// What bgremove takes, the commonest first.
pub const SINK_FORMATS: [VideoFormat; 16] = [
    VideoFormat::I420,
    VideoFormat::Nv12,
    VideoFormat::Yv12,
    VideoFormat::Yuy2,
    VideoFormat::A420,
    VideoFormat::Ayuv,
    VideoFormat::Rgba,
    VideoFormat::Bgra,
    VideoFormat::Argb,
    VideoFormat::Abgr,
    VideoFormat::Rgbx,
    VideoFormat::Bgrx,
    VideoFormat::Xrgb,
    VideoFormat::Xbgr,
    VideoFormat::Rgb,
    VideoFormat::Bgr,
];

/// The formats with alpha, nearest to `from` first: no change of colour model, then no loss of chroma
/// resolution, then the same order of bytes.
pub fn alpha_formats(from: VideoFormat) -> [VideoFormat; 6] {
    use VideoFormat::*;
    match from {
        A420 | I420 | Yv12 | Nv12 => [A420, Ayuv, Rgba, Bgra, Argb, Abgr],
        Ayuv | Yuy2 => [Ayuv, A420, Rgba, Bgra, Argb, Abgr],
        Bgra | Bgrx | Bgr => [Bgra, Rgba, Argb, Abgr, Ayuv, A420],
        Argb | Xrgb => [Argb, Abgr, Rgba, Bgra, Ayuv, A420],
        Abgr | Xbgr => [Abgr, Argb, Bgra, Rgba, Ayuv, A420],
        _ => [Rgba, Bgra, Argb, Abgr, Ayuv, A420],
    }
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
    let (width, height) = (info.width() as usize, info.height() as usize);
    let mut planes = [Plane { data: &[], stride: 0 }; 4];
    for (i, (plane, stride)) in planes.iter_mut().zip(strides).enumerate().take(format.layout().planes) {
        let (data, bytes) = mapped(frame.as_ptr(), i)?;
        let length = bytes.min(needs(format, i, (width, height), stride)?.0);
        // SAFETY: `mapped` has found that these bytes lie in memory that stays mapped for reading as long
        // as `frame` lives, which the result borrows.
        *plane = Plane { data: unsafe { std::slice::from_raw_parts(data, length) }, stride };
    }
    let whole = |(i, p): (usize, &Plane<'_>)| holds(format, i, (width, height), p.data.len(), p.stride);
    let whole = planes.iter().enumerate().all(whole);
    whole.then_some(Frame { format, color: color(info), width, height, planes })
}

/// A mapped frame to write; as [`read`].
pub fn write<'a>(
    frame: &'a mut VideoFrameRef<&mut gst::BufferRef>,
    info: &VideoInfo,
) -> Option<FrameMut<'a>> {
    write_as(frame, info, format(info.format())?)
}

/// What `f` makes of a buffer's frame; `None` where [`read`] says so.
pub fn view<R>(buffer: &gst::BufferRef, info: &VideoInfo, f: impl FnOnce(&Frame<'_>) -> R) -> Option<R> {
    let mapped = VideoFrameRef::from_buffer_ref_readable(buffer, info).ok()?;
    Some(f(&read(&mapped, info)?))
}

/// Lets `f` write a buffer's frame, and clears what the buffer has beside it; `None` where [`write()`] says so.
pub fn fill<R>(
    buffer: &mut gst::BufferRef,
    info: &VideoInfo,
    f: impl FnOnce(&mut FrameMut<'_>) -> R,
) -> Option<R> {
    fill_as(buffer, info, format(info.format())?, f)
}

/// As [`fill`], with the bytes taken for another format, as by [`write_as`].
pub fn fill_as<R>(
    buffer: &mut gst::BufferRef,
    info: &VideoInfo,
    format: Format,
    f: impl FnOnce(&mut FrameMut<'_>) -> R,
) -> Option<R> {
    let mut mapped = VideoFrameRef::from_buffer_ref_writable(buffer, info).ok()?;
    let made = f(&mut write_as(&mut mapped, info, format)?);
    drop(mapped);
    clear_rest(buffer, info);
    Some(made)
}

/// Bytes of a frame of these caps, whatever its buffer's size: rows may be padded, which BaseTransform would refuse.
pub fn unit_size(caps: &gst::Caps) -> Option<usize> {
    VideoInfo::from_caps(caps).ok().map(|info| info.size())
}

/// Video in memory, of these formats.
pub fn caps(formats: impl IntoIterator<Item = VideoFormat>) -> gst::Caps {
    gst_video::VideoCapsBuilder::new().format_list(formats).build()
}

/// The templates of an element with one pad for each direction.
pub fn templates(sink: &gst::Caps, src: &gst::Caps) -> Vec<gst::PadTemplate> {
    let pads = [("sink", gst::PadDirection::Sink, sink), ("src", gst::PadDirection::Src, src)];
    let make =
        |(name, direction, caps)| gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps).ok();
    pads.into_iter().filter_map(make).collect()
}

/// Caps on the other pad, where one format becomes another: of pairs that go in and come out. `f` changes what else differs.
pub fn transform(
    direction: gst::PadDirection,
    caps: &gst::Caps,
    pairs: impl Iterator<Item = (VideoFormat, VideoFormat)> + Clone,
    f: impl Fn(&mut gst::StructureRef),
) -> gst::Caps {
    let mut out = gst::Caps::new_empty();
    for s in caps.iter() {
        let one = gst::Caps::builder_full().structure(s.to_owned()).build();
        for (sink, src) in pairs.clone() {
            let (here, there) = if direction == gst::PadDirection::Sink { (sink, src) } else { (src, sink) };
            let mut both = one.intersect(&self::caps([here]));
            for s in both.make_mut().iter_mut() {
                s.set("format", there.to_str());
                f(s);
            }
            out.merge(both);
        }
    }
    out
}

/// What of `caps` a filter lets through, in the filter's order.
pub fn filtered(caps: gst::Caps, filter: Option<&gst::Caps>) -> gst::Caps {
    match filter {
        Some(filter) => filter.intersect_with_mode(&caps, gst::CapsIntersectMode::First),
        None => caps,
    }
}

/// One component of a frame that is not subsampled, of any format whose pixels lie in whole bytes.
pub struct Component<'a> {
    data: &'a [u8],
    stride: usize,
    /// Bytes from one pixel to the next.
    pub step: usize,
}

impl Component<'_> {
    /// Row `y` from its first pixel's sample to the end of its last one's, of `bytes` each.
    pub fn row(&self, y: usize, width: usize, bytes: usize) -> Option<&[u8]> {
        let from = y.checked_mul(self.stride)?;
        self.data.get(from..from.checked_add((width.checked_sub(1)?) * self.step + bytes)?)
    }
}

/// A component of a mapped frame to read. `None` when the buffer is smaller than its caps say; whether it holds the rows
/// themselves, [`Component::row`] tells.
pub fn component<'a>(
    frame: &'a VideoFrameRef<&'a gst::BufferRef>,
    info: &VideoInfo,
    number: usize,
) -> Option<Component<'a>> {
    let (buffer, format) = (frame.info(), info.format_info());
    let fits = buffer.width() >= info.width() && buffer.height() >= info.height();
    if !fits || buffer.format() != info.format() {
        return None;
    }
    let plane = *format.plane().get(number)? as usize;
    let stride = usize::try_from(*frame.plane_stride().get(plane)?).ok()?;
    let step = usize::try_from(*format.pixel_stride().get(number)?).ok().filter(|step| *step > 0)?;
    let offset = *format.poffset().get(number)? as usize;
    let (data, bytes) = mapped(frame.as_ptr(), plane)?;
    // SAFETY: `mapped` has found that these bytes lie in memory that stays mapped for reading as long as `frame` lives,
    // which the result borrows.
    let data = unsafe { std::slice::from_raw_parts(data, bytes) };
    Some(Component { data: data.get(offset..)?, stride, step })
}

/// As [`write()`], with the bytes taken for another format that lays them out alike, as RGBA does RGBx's.
pub fn write_as<'a>(
    frame: &'a mut VideoFrameRef<&mut gst::BufferRef>,
    info: &VideoInfo,
    format: Format,
) -> Option<FrameMut<'a>> {
    let (own, strides) = sizes(frame.info(), info, frame.plane_stride())?;
    if own.layout().planes != format.layout().planes {
        return None;
    }
    let (width, height) = (info.width() as usize, info.height() as usize);
    let mut planes = [(); 4].map(|()| PlaneMut { data: &mut [], stride: 0 });
    let mut taken: Vec<(usize, usize)> = Vec::with_capacity(4);
    for (i, (plane, stride)) in planes.iter_mut().zip(strides).enumerate().take(format.layout().planes) {
        let (data, bytes) = mapped(frame.as_ptr(), i)?;
        let length = bytes.min(needs(format, i, (width, height), stride)?.0);
        let (from, to) = (data as usize, data as usize + length);
        // A meta may lay one plane over another.
        if taken.iter().any(|(f, t)| from < *t && *f < to) {
            return None;
        }
        taken.push((from, to));
        // SAFETY: `mapped` has found that these bytes lie in memory that stays mapped for writing as long
        // as `frame` lives, which the result borrows for itself alone; no other slice of them was made.
        let data = unsafe { std::slice::from_raw_parts_mut(data.cast_mut(), length) };
        *plane = PlaneMut { data, stride };
    }
    let whole = |(i, p): (usize, &PlaneMut<'_>)| holds(format, i, (width, height), p.data.len(), p.stride);
    let whole = planes.iter().enumerate().all(whole);
    whole.then_some(FrameMut { format, color: color(info), width, height, planes })
}

/// Clears what a frame's buffer has beside the frame: bytes behind each row, rows beyond an odd height, what lies
/// between the planes and behind the last. They would be handed on with whatever the memory held before.
pub fn clear_rest(buffer: &mut gst::BufferRef, info: &VideoInfo) {
    let Some(layout) = format(info.format()) else { return };
    let meta = buffer.meta::<gst_video::VideoMeta>();
    let meta = meta.map(|m| (m.offset().to_vec(), m.stride().to_vec()));
    let (offsets, strides) = meta.unwrap_or_else(|| (info.offset().to_vec(), info.stride().to_vec()));
    let (width, height) = (info.width() as usize, info.height() as usize);
    let planes = (0..layout.layout().planes).filter_map(|p| {
        let (bytes, rows) = compose::extent(layout, p, width, height);
        Some((*offsets.get(p)?, usize::try_from(*strides.get(p)?).ok()?, bytes, rows))
    });
    let mut planes: Vec<_> = planes.collect();
    planes.sort_unstable();
    // Planes one after the other without a gap, as most are.
    let tight = planes.iter().try_fold(0, |at, &(offset, stride, bytes, rows)| {
        (offset == at && (stride == bytes || rows == 1)).then_some(at + bytes * rows)
    });
    if tight == Some(buffer.size()) {
        return;
    }
    let mut from = 0;
    for n in 0..buffer.n_memory() {
        let Ok(memory) = buffer.peek_memory_mut(n) else { return };
        let to = from + memory.size();
        if let Ok(mut map) = memory.map_writable() {
            let data = map.as_mut_slice();
            let mut at = from;
            for &(offset, stride, bytes, rows) in &planes {
                for y in 0..rows {
                    let row = offset + y * stride;
                    if row > at && at < to {
                        data[at - from..row.min(to) - from].fill(0);
                    }
                    at = at.max(row + bytes);
                }
            }
            if at < to {
                data[at.max(from) - from..].fill(0);
            }
        }
        from = to;
    }
}

/// Where a plane begins, and how many bytes are mapped from there on. `VideoFrameRef::plane_data` takes a
/// meta's word for it, which may promise rows that the memory does not have.
fn mapped(frame: *const gst_video::ffi::GstVideoFrame, plane: usize) -> Option<(*const u8, usize)> {
    // SAFETY: the pointer comes from a frame that the caller holds.
    let frame = unsafe { &*frame };
    let data = *frame.data.get(plane)?;
    let at = data as usize;
    // With a meta each plane has a map of its own; without one the first holds all, and the others are not even set.
    let maps = if frame.meta.is_null() {
        1
    } else {
        // SAFETY: a frame that is mapped has a format's description, which is there for ever.
        (unsafe { (*frame.info.finfo).n_planes } as usize).min(frame.map.len())
    };
    frame.map[..maps].iter().find_map(|map| {
        let end = (map.data as usize).checked_add(map.size)?;
        (!map.data.is_null() && (map.data as usize..end).contains(&at)).then(|| (data as *const u8, end - at))
    })
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

/// The most and the fewest bytes that a plane's rows can take, with and without what pads the last one;
/// `None` when a row is longer than the stride.
fn needs(
    format: Format,
    plane: usize,
    (width, height): (usize, usize),
    stride: usize,
) -> Option<(usize, usize)> {
    let layout = format.layout();
    let parts = layout.color[..layout.colors].iter().chain(layout.alpha.as_ref());
    parts.filter(|c| c.plane == plane).try_fold((0, 0), |(most, least): (usize, usize), c| {
        let row = c.offset + (c.width(width) - 1) * c.step + 1;
        let rows = c.height(height);
        let all = stride.checked_mul(rows).filter(|_| stride >= row)?;
        Some((most.max(all), least.max(all - stride + row)))
    })
}

/// Whether a plane's rows and bytes suffice for the frame.
fn holds(format: Format, plane: usize, size: (usize, usize), bytes: usize, stride: usize) -> bool {
    needs(format, plane, size, stride).is_some_and(|(_, least)| bytes >= least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_alpha_a_format_keeps_its_colour_model() {
        let is_yuv = |f| format(f).unwrap().is_yuv();
        for from in SINK_FORMATS {
            let nearest = alpha_formats(from)[0];
            assert_eq!(is_yuv(nearest), is_yuv(from), "{from} becomes {nearest}");
            let has_alpha = format(from).unwrap().has_alpha();
            assert!(!has_alpha || nearest == from, "{from} becomes {nearest}");
        }
    }
}
