//! Metadata of the analytics library (feature `analytics`, GStreamer 1.26): the matte as a segmentation on the buffer that goes
//! out, and what a detector has found in the one that comes in.

use crate::error::{Error, ErrorKind};
use crate::subjects::Region;
use glib::translate::IntoGlibPtr;
use gst_analytics::prelude::*;
use gst_analytics::{AnalyticsODMtd, AnalyticsRelationMeta, RelTypes, ffi};
use gst_video::{VideoFormat, VideoFrameFlags, VideoInfo, VideoMeta};

/// The ids of the regions, which are the mask's values.
const REGIONS: [u32; 2] = [0, 1];
/// Their classes; the n-th goes with the n-th id.
const CLASSES: [&str; 2] = ["background", "foreground"];
/// "Not known", as GStreamer's documentation has it for classes of a semantic segmentation.
const NO_CONFIDENCE: [f32; 2] = [-1.0; 2];

/// Adds a semantic segmentation of the whole frame to the buffer's relation meta, beside what upstream has put there:
/// a GRAY8 mask of the frame's size, 1 where alpha is 128 or more (half and above) and 0 elsewhere, and related to it
/// a classification that names the two regions. `alpha` is tight, `width · height`.
///
/// # Errors
/// [`ErrorKind::Inference`] when GStreamer does not take it.
pub fn attach(buffer: &mut gst::BufferRef, alpha: &[u8], size: (u32, u32)) -> Result<(), Error> {
    mask(alpha, size).and_then(|mask| add(buffer, mask, size)).map_err(|e| {
        Error::new(
            ErrorKind::Inference,
            format!("GStreamer does not take the matte as metadata: {}", e.message),
        )
    })
}

fn add(
    buffer: &mut gst::BufferRef,
    mask: gst::Buffer,
    (width, height): (u32, u32),
) -> Result<(), glib::BoolError> {
    // Where there is one already this gives that.
    let mut meta = AnalyticsRelationMeta::add(buffer);
    let mut regions = REGIONS;
    let mut added = ffi::GstAnalyticsSegmentationMtd { id: 0, meta: std::ptr::null_mut() };
    // SAFETY: `meta` borrows the writable buffer that its meta lies on, for itself alone. `regions` is as long as is
    // said and is copied; the mask's reference is handed over, as the call wants it; `added` is written before TRUE
    // is returned. That the mask has a video meta in GRAY8, which the call demands, `mask` has seen to.
    let taken = unsafe {
        ffi::gst_analytics_relation_meta_add_segmentation_mtd(
            meta.as_mut_ptr(),
            mask.into_glib_ptr(),
            ffi::GST_SEGMENTATION_TYPE_SEMANTIC,
            regions.len(),
            regions.as_mut_ptr(),
            0,
            0,
            width,
            height,
            &mut added,
        )
    };
    if taken == glib::ffi::GFALSE {
        return Err(glib::bool_error!("there is no room for a segmentation"));
    }
    let classes = CLASSES.map(glib::Quark::from_str);
    let class = meta.add_cls_mtd(&NO_CONFIDENCE, &classes)?.id();
    meta.set_relation(RelTypes::RELATE_TO, added.id, class)
}

/// The objects that an upstream element has found in a frame of this size.
pub fn detected(buffer: &gst::BufferRef, size: (u32, u32)) -> Vec<Region> {
    let Some(meta) = buffer.meta::<AnalyticsRelationMeta>() else { return Vec::new() };
    meta.iter::<AnalyticsODMtd>()
        .filter_map(|object| {
            let at = object.location().ok()?;
            let class = object.obj_type().map_or_else(String::new, |class| class.as_str().to_string());
            Some(Region::at([at.x, at.y, at.w, at.h].map(i64::from), size, class, None))
        })
        .collect()
}

/// The regions' ids as a picture.
fn mask(alpha: &[u8], (width, height): (u32, u32)) -> Result<gst::Buffer, glib::BoolError> {
    let info = VideoInfo::builder(VideoFormat::Gray8, width, height).build()?;
    let mut data = vec![0; info.size()];
    let rows = data.chunks_exact_mut(info.stride()[0] as usize);
    for (row, alpha) in rows.zip(alpha.chunks_exact(width as usize)) {
        row.iter_mut().zip(alpha).for_each(|(id, a)| *id = a >> 7);
    }
    let mut buffer = gst::Buffer::from_mut_slice(data);
    VideoMeta::add_from_info(buffer.make_mut(), VideoFrameFlags::empty(), &info)?;
    Ok(buffer)
}
