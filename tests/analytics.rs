//! The matte as segmentation metadata, read back from the outgoing buffers of the real network on a real picture.

mod common;

use common::*;
use gst::prelude::*;
use gst_analytics::prelude::*;
use gst_analytics::{
    AnalyticsAnyMtd, AnalyticsClassificationMtd, AnalyticsMtd, AnalyticsODMtd, AnalyticsRelationMeta,
    RelTypes, ffi,
};
use gst_video::{VideoFormat, VideoInfo, VideoMeta};
use std::collections::HashSet;

// Odd, so that the mask's rows are padded.
const W: u32 = 161;
const H: u32 = 119;

/// The segmentation, which the crate has no type for.
enum Segmentation {}

// SAFETY: it is the type of segmentations that the library itself names.
unsafe impl AnalyticsMtd for Segmentation {
    fn mtd_type() -> ffi::GstAnalyticsMtdType {
        // SAFETY: the call takes nothing and gives the address of a static.
        unsafe { ffi::gst_analytics_segmentation_mtd_get_mtd_type() }
    }
}

/// A segmentation as another element finds it.
struct Found {
    /// Its mask, and where that lies in the frame.
    mask: gst::Buffer,
    place: (i32, i32, u32, u32),
    regions: Vec<u32>,
    /// The class of each region.
    classes: Vec<String>,
}

impl Found {
    /// The region of each pixel, row by row.
    fn ids(&self) -> Vec<u8> {
        let meta = self.mask.meta::<VideoMeta>().expect("the mask has a video meta");
        assert_eq!((meta.format(), meta.width(), meta.height()), (VideoFormat::Gray8, W, H));
        let (offset, stride) = (meta.offset()[0], meta.stride()[0] as usize);
        let data = self.mask.map_readable().unwrap();
        data[offset..].chunks(stride).take(H as usize).flat_map(|row| row[..W as usize].to_vec()).collect()
    }
}

fn found(buffer: &gst::BufferRef) -> Vec<Found> {
    let Some(meta) = buffer.meta::<AnalyticsRelationMeta>() else { return Vec::new() };
    let mut all = Vec::new();
    for id in meta.iter::<Segmentation>().map(|s| s.id()).collect::<Vec<_>>() {
        let (mut x, mut y, mut w, mut h) = (-1, -1, 0, 0);
        // SAFETY: the handle names a segmentation of `meta`, which lives as long as `buffer`; the calls write the
        // four numbers, and hand over a reference of the mask.
        let (mask, regions) = unsafe {
            let handle = ffi::GstAnalyticsSegmentationMtd { id, meta: meta.as_mut_ptr() };
            let mask = ffi::gst_analytics_segmentation_mtd_get_mask(&handle, &mut x, &mut y, &mut w, &mut h);
            let count = ffi::gst_analytics_segmentation_mtd_get_region_count(&handle);
            let region = |n| ffi::gst_analytics_segmentation_mtd_get_region_id(&handle, n);
            (glib::translate::from_glib_full(mask), (0..count).map(region).collect())
        };
        let classes = meta
            .iter_direct_related::<AnalyticsClassificationMtd>(id, RelTypes::RELATE_TO)
            .flat_map(|c| (0..c.len()).map(|n| c.quark(n).as_str().to_string()).collect::<Vec<_>>())
            .collect();
        all.push(Found { mask, place: (x, y, w, h), regions, classes });
    }
    all
}

/// The only segmentation of a buffer, after a look at everything but its pixels.
fn only(buffer: &gst::BufferRef) -> Found {
    let mut all = found(buffer);
    assert_eq!(all.len(), 1, "one segmentation");
    let found = all.remove(0);
    assert_eq!(found.place, (0, 0, W, H), "of the whole frame");
    assert_eq!(found.regions, [0, 1]);
    assert_eq!(found.classes, ["background", "foreground"]);
    found
}

/// How many data of any kind the buffer's relation meta has.
fn count(buffer: &gst::BufferRef) -> usize {
    buffer.meta::<AnalyticsRelationMeta>().map_or(0, |m| m.iter::<AnalyticsAnyMtd>().count())
}

fn halved(alpha: &[u8]) -> Vec<u8> {
    alpha.iter().map(|a| u8::from(*a >= 128)).collect()
}

#[test]
fn the_mask_is_the_alpha_of_the_same_buffer() {
    for (input, output) in [
        (VideoFormat::I420, "A420"),
        (VideoFormat::I420, "AYUV"),
        (VideoFormat::Rgb, "RGBA"),
        (VideoFormat::Bgra, "BGRA"),
    ] {
        let info = info(input, W, H);
        let want = format!("video/x-raw,format={output}");
        let frames = (0..3).map(|n| portrait(&info, n)).collect();
        let (out_info, out) = process("segmentation-meta=true", &want, &info, frames).unwrap();
        assert_eq!(out.len(), 3);
        for buffer in &out {
            let ids = only(buffer).ids();
            let alpha = Samples::new(buffer, &out_info).alpha();
            let area = |v: &[u8]| v.iter().filter(|v| **v == 1).count();
            let subject = area(&ids);
            println!("{output}: {subject} of {} pixels are the subject's", ids.len());
            assert!((ids.len() / 10..ids.len() * 9 / 10).contains(&subject), "there is somebody");
            assert_eq!(subject, area(&halved(&alpha)));
            assert!(ids == halved(&alpha), "{output}: in the same places, and no other values");
        }
    }
}

#[test]
fn alpha_that_was_there_before_counts() {
    let info = info(VideoFormat::Rgba, W, H);
    let mut data = portrait(&info, 0).map_readable().unwrap().to_vec();
    data.chunks_exact_mut(4).enumerate().for_each(|(i, p)| p[3] = if i % 161 < 80 { 0 } else { 255 });
    let (out_info, out) = process(
        "segmentation-meta=true",
        "video/x-raw,format=RGBA",
        &info,
        vec![gst::Buffer::from_mut_slice(data)],
    )
    .unwrap();
    let ids = only(&out[0]).ids();
    assert!(ids == halved(&Samples::new(&out[0], &out_info).alpha()));
    assert!(ids.iter().enumerate().all(|(i, id)| i % 161 >= 80 || *id == 0), "the hidden half is background");
    assert!(ids.contains(&1));
}

#[test]
fn it_rides_on_opaque_frames_and_mattes_too() {
    let info = info(VideoFormat::I420, W, H);
    let matte = "video/x-raw,format=GRAY8";
    let (out_info, out) =
        process("output=matte segmentation-meta=true", matte, &info, vec![portrait(&info, 0)]).unwrap();
    let ids = only(&out[0]).ids();
    assert!(ids == halved(&Samples::new(&out[0], &out_info).first()));
    for background in ["#00b140", "blur"] {
        let props = format!("background={background} segmentation-meta=true");
        let (_, out) = process(&props, "video/x-raw", &info, vec![portrait(&info, 0)]).unwrap();
        assert!(only(&out[0]).ids() == ids, "{background}");
    }
}

#[test]
fn off_by_default() {
    let info = info(VideoFormat::I420, W, H);
    for props in ["", "segmentation-meta=false"] {
        let (_, out) = process(props, "video/x-raw,format=A420", &info, vec![portrait(&info, 0)]).unwrap();
        assert!(out[0].meta::<AnalyticsRelationMeta>().is_none(), "'{props}'");
    }
}

/// Nothing is known of a frame that is hidden because its inference took too long.
#[test]
fn none_without_a_matte() {
    let info = info(VideoFormat::I420, W, H);
    for policy in ["hide", "passthrough"] {
        let props = format!("segmentation-meta=true inference-timeout=1 on-error={policy}");
        let (out_info, out) =
            process(&props, "video/x-raw,format=A420", &info, vec![portrait(&info, 0)]).unwrap();
        let alpha = Samples::new(&out[0], &out_info).alpha();
        let whole = if policy == "hide" { 0 } else { 255 };
        assert!(alpha.iter().all(|a| *a == whole), "{policy}: the frame has no matte");
        assert!(found(&out[0]).is_empty(), "{policy}");
    }
}

#[test]
fn what_upstream_has_found_stays() {
    let info = info(VideoFormat::I420, W, H);
    let mut buffer = portrait(&info, 0);
    let mut meta = AnalyticsRelationMeta::add(buffer.get_mut().unwrap());
    meta.add_od_mtd(glib::Quark::from_str("cup"), 3, 4, 50, 60, 0.8).unwrap();
    for (props, segmentations) in [("segmentation-meta=true", 1), ("", 0)] {
        let (_, out) =
            process(props, "video/x-raw,format=A420", &info, vec![buffer.clone(), buffer.clone()]).unwrap();
        for out in out {
            let meta = out.meta::<AnalyticsRelationMeta>().unwrap();
            let detected: Vec<_> = meta
                .iter::<AnalyticsODMtd>()
                .map(|o| {
                    let at = o.location().unwrap();
                    (o.obj_type().unwrap().as_str().to_string(), at.x, at.y, at.w, at.h)
                })
                .collect();
            assert_eq!(detected, [("cup".to_string(), 3, 4, 50, 60)]);
            assert_eq!(found(&out).len(), segmentations);
            assert_eq!(count(&out), 1 + 2 * segmentations);
        }
    }
    // A second one of our own, with its own mask.
    let twice = "segmentation-meta=true ! bgremove segmentation-meta=true";
    let (_, out) = process(twice, "video/x-raw,format=A420", &info, vec![portrait(&info, 0)]).unwrap();
    let both = found(&out[0]);
    assert_eq!(both.len(), 2);
    assert!(both.iter().all(|f| f.regions == [0, 1] && f.ids().contains(&1)));
}

/// Outgoing buffers are used again and again: what was on one has to be gone the next time.
#[test]
fn nothing_piles_up_on_buffers_that_are_used_again() {
    init();
    let line = format!(
        "filesrc location={} ! decodebin ! videoconvertscale ! video/x-raw,format=I420,width={W},height={H} ! \
         bgremove name=bg segmentation-meta=true ! video/x-raw,format=A420 ! \
         appsink name=out sync=false max-buffers=1 enable-last-sample=false",
        clip("carphone_pristine.mp4").display()
    );
    let pipeline = Running(gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap());
    let element = pipeline.by_name("bg").unwrap();
    let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let (mut buffers, mut masks) = (HashSet::new(), Vec::new());
    for n in 0..60 {
        if n == 40 {
            element.set_property("segmentation-meta", false);
        }
        let sample = sink.pull_sample().unwrap();
        let info = VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let buffer = sample.buffer().unwrap();
        buffers.insert(buffer.as_ptr() as usize);
        if n < 40 {
            let found = only(buffer);
            assert_eq!(count(buffer), 2, "frame {n}: segmentation and classes");
            let alpha = Samples::new(&sample.buffer_owned().unwrap(), &info).alpha();
            assert!(found.ids() == halved(&alpha), "frame {n}: its own mask");
            masks.push(found.mask);
        } else if n >= 50 {
            assert_eq!(count(buffer), 0, "frame {n}: the property is off");
        }
    }
    // The buffers are gone, and with them their hold on the masks, also from their earlier uses.
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(masks.len(), 40);
    assert!(masks.iter_mut().all(|m| m.get_mut().is_some()), "nobody else holds a mask");
    assert!(buffers.len() < 30, "buffers were used again: {} for 60 frames", buffers.len());
}

#[test]
fn a_detector_chooses_the_subject() {
    let info = info(VideoFormat::Rgba, W, H);
    let seen = |subject: &str| {
        let mut frame = portrait(&info, 0);
        {
            let mut meta = AnalyticsRelationMeta::add(frame.get_mut().unwrap());
            // All but a strip, and a corner in which there is nobody.
            for (class, x, w, h) in [("person", 10, W as i32 - 12, H as i32), ("dog", 0, 6, 6)] {
                meta.add_od_mtd(glib::Quark::from_str(class), x, 0, w, h, 0.9).unwrap();
            }
        }
        let props = format!("subject={subject} output=matte");
        let (info, out) = process(&props, "video/x-raw,format=GRAY8", &info, vec![frame]).unwrap();
        Samples::new(&out[0], &info).first().iter().filter(|a| **a > 128).count()
    };
    let all = seen("all");
    assert!(all > (W * H / 10) as usize, "{all}");
    assert!(seen("meta:person") > all * 9 / 10);
    assert_eq!(seen("meta:dog"), 0);
}
