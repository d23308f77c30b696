//! `alphaextract`: the alpha of every format that it takes, exactly, and only that.

mod common;

use common::*;
use gst::prelude::*;
use gst_video::prelude::*;
use gst_video::{VideoFormat, VideoFrameRef, VideoInfo};

const W: u32 = 67;
const H: u32 = 35;

/// What alpha is at a place.
fn alpha(x: u32, y: u32) -> u8 {
    (x * 3 + y * 7) as u8
}

/// A frame of that alpha over a colour, in a format; by GStreamer's own converter from RGBA.
fn frame(info: &VideoInfo) -> gst::Buffer {
    let pixels: Vec<u8> = (0..W * H).flat_map(|i| [200, 100, 50, alpha(i % W, i / W)]).collect();
    let rgba = VideoInfo::builder(VideoFormat::Rgba, W, H).fps(info.fps()).build().unwrap();
    let mut from = gst::Buffer::with_size(rgba.size()).unwrap();
    {
        let from = from.get_mut().unwrap();
        let mut mapped = VideoFrameRef::from_buffer_ref_writable(from, &rgba).unwrap();
        let stride = mapped.plane_stride()[0] as usize;
        for (row, line) in
            mapped.plane_data_mut(0).unwrap().chunks_mut(stride).zip(pixels.chunks((W * 4) as usize))
        {
            row[..line.len()].copy_from_slice(line);
        }
    }
    let mut to = gst::Buffer::with_size(info.size()).unwrap();
    {
        let converter = gst_video::VideoConverter::new(&rgba, info, None).unwrap();
        let source = VideoFrameRef::from_buffer_ref_readable(&from, &rgba).unwrap();
        let mut target = VideoFrameRef::from_buffer_ref_writable(to.get_mut().unwrap(), info).unwrap();
        converter.frame_ref(&source, &mut target);
    }
    let own = to.get_mut().unwrap();
    own.set_pts(gst::ClockTime::from_mseconds(40));
    own.set_duration(gst::ClockTime::from_mseconds(20));
    to
}

/// Frames through `LINE ! appsink`: caps and buffers, or the error.
fn run(
    line: &str,
    caps: &gst::Caps,
    frames: Vec<gst::Buffer>,
) -> Result<(VideoInfo, Vec<gst::Buffer>), String> {
    init();
    let line = format!("appsrc name=in format=time ! {line} ! appsink name=out sync=false");
    let pipeline = Running(gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap());
    let source = pipeline.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    source.set_caps(Some(caps));
    pipeline.set_state(gst::State::Playing).unwrap();
    for frame in frames {
        let _ = source.push_buffer(frame);
    }
    let _ = source.end_of_stream();
    let (mut info, mut out) = (None, Vec::new());
    while let Ok(sample) = sink.pull_sample() {
        info = sample.caps().map(|c| VideoInfo::from_caps(c).unwrap());
        out.push(sample.buffer_owned().unwrap());
    }
    let error = pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error]);
    if let Some(gst::MessageView::Error(e)) = error.as_ref().map(|m| m.view()) {
        return Err(e.error().to_string());
    }
    info.map(|info| (info, out)).ok_or_else(|| "nothing came out".to_string())
}

/// What an element's sink pad takes.
fn formats() -> Vec<VideoFormat> {
    init();
    let factory = gst::ElementFactory::find("alphaextract").expect("alphaextract");
    let templates = factory.static_pad_templates();
    let sink = templates.iter().find(|t| t.direction() == gst::PadDirection::Sink).unwrap().caps();
    let list = sink.structure(0).unwrap().get::<gst::List>("format").unwrap();
    list.iter().map(|v| VideoFormat::from_string(v.get::<&str>().unwrap())).collect()
}

#[test]
fn every_format_gives_its_alpha() {
    let formats = formats();
    assert!(formats.len() >= 12, "{formats:?}");
    for format in formats {
        let info = VideoInfo::builder(format, W, H).fps(gst::Fraction::new(50, 1)).build().unwrap();
        let (grey, out) = run("alphaextract", &info.to_caps().unwrap(), vec![frame(&info)]).unwrap();
        assert_eq!(
            (grey.format(), grey.width(), grey.height(), grey.fps()),
            (VideoFormat::Gray8, W, H, info.fps())
        );
        let [buffer] = &out[..] else { panic!("{format:?}: {} frames", out.len()) };
        assert_eq!(buffer.pts(), Some(gst::ClockTime::from_mseconds(40)));
        assert_eq!(buffer.duration(), Some(gst::ClockTime::from_mseconds(20)));
        let mapped = VideoFrameRef::from_buffer_ref_readable(buffer, &grey).unwrap();
        let stride = mapped.plane_stride()[0] as usize;
        for (y, row) in mapped.plane_data(0).unwrap().chunks(stride).take(H as usize).enumerate() {
            for (x, &got) in row.iter().enumerate() {
                let want = if x < W as usize { alpha(x as u32, y as u32) } else { 0 };
                // Ten bits hold a byte to a quarter of a step.
                assert!(got.abs_diff(want) <= 1, "{format:?} {x},{y}: {got}, not {want}");
                assert!(x < W as usize || got == 0, "{format:?}: a row's padding holds {got}");
                if info.format_info().depth()[3] == 8 {
                    assert_eq!(got, want, "{format:?} {x},{y}");
                }
            }
        }
    }
}

/// Cut-out and matte of one inference are one and the same matte.
#[test]
fn a_tee_gives_cut_out_and_matte() {
    let info = info(VideoFormat::I420, 320, 180);
    let frames = |n| (0..n).map(|n| portrait(&info, n)).collect::<Vec<_>>();
    let caps = info.to_caps().unwrap();
    let (_, cut) = run("bgremove ! video/x-raw,format=A420", &caps, frames(3)).unwrap();
    let (_, matte) = run("bgremove ! video/x-raw,format=A420 ! alphaextract", &caps, frames(3)).unwrap();
    assert_eq!((cut.len(), matte.len()), (3, 3));
    for (cut, matte) in cut.iter().zip(&matte) {
        let (cut, matte) = (cut.map_readable().unwrap(), matte.map_readable().unwrap());
        let alpha = &cut[320 * 180 * 3 / 2..];
        assert!(alpha.contains(&255) && alpha.contains(&0));
        assert_eq!(alpha, &matte[..]);
    }
}

#[test]
fn what_has_no_alpha_is_refused() {
    let info = VideoInfo::builder(VideoFormat::I420, W, H).build().unwrap();
    let text =
        run("alphaextract", &info.to_caps().unwrap(), vec![gst::Buffer::with_size(info.size()).unwrap()]);
    assert!(text.is_err());
    // Less than the caps promise.
    let info = VideoInfo::builder(VideoFormat::Rgba, W, H).build().unwrap();
    let text = run("alphaextract", &info.to_caps().unwrap(), vec![gst::Buffer::with_size(100).unwrap()]);
    assert!(text.unwrap_err().contains("smaller than its caps"));
}
