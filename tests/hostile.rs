//! Buffers, values and neighbours that are not what one hopes for.

mod common;

use common::*;
use gst::prelude::*;
use gst_video::{VideoFormat, VideoInfo};

fn empty(info: &VideoInfo, n: u64) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(vec![128u8; info.size()]);
    buffer.get_mut().unwrap().set_pts(gst::ClockTime::SECOND * n / 30);
    buffer
}

/// Nobody in the picture: windows are tried in frames that are smaller than a window may be.
#[test]
fn small_frames_without_a_subject() {
    init();
    for (w, h) in [(16, 16), (24, 24), (320, 24), (17, 131)] {
        let info = info(VideoFormat::I420, w, h);
        let frames = (0..14).map(|n| empty(&info, n)).collect();
        let (_, out) = process("background=red", "video/x-raw", &info, frames).unwrap();
        assert_eq!(out.len(), 14, "{w}×{h}");
    }
}

/// A frame of NV12 in a buffer whose meta gives a larger picture and wider rows, as decoders pad.
fn padded(info: &VideoInfo, picture: (u32, u32), stride: usize) -> gst::Buffer {
    let rows = picture.1 as usize;
    let data = vec![90u8; stride * rows * 3 / 2];
    let mut buffer = gst::Buffer::from_mut_slice(data);
    gst_video::VideoMeta::add_full(
        buffer.get_mut().unwrap(),
        gst_video::VideoFrameFlags::empty(),
        info.format(),
        picture.0,
        picture.1,
        &[0, stride * rows],
        &[stride as i32, stride as i32],
    )
    .unwrap();
    buffer
}

#[test]
fn a_decoders_padding_is_left_out() {
    init();
    let info = info(VideoFormat::Nv12, 640, 360);
    for props in ["", "background=red", "background=blur", "output=matte"] {
        let (out, frames) =
            process(props, "video/x-raw", &info, vec![padded(&info, (704, 368), 768)]).unwrap();
        assert_eq!((out.width(), out.height(), frames.len()), (640, 360, 1), "{props}");
    }
    // To another colour model, through GStreamer's converter.
    let (out, frames) =
        process("", "video/x-raw,format=RGBA", &info, vec![padded(&info, (704, 368), 768)]).unwrap();
    assert_eq!((out.width(), frames[0].size()), (640, 640 * 360 * 4));
}

#[test]
fn rows_that_are_too_short_are_an_error() {
    init();
    let info = info(VideoFormat::Rgba, 64, 48);
    for stride in [0, 100] {
        let mut buffer = gst::Buffer::from_mut_slice(vec![0u8; info.size()]);
        gst_video::VideoMeta::add_full(
            buffer.get_mut().unwrap(),
            gst_video::VideoFrameFlags::empty(),
            VideoFormat::Rgba,
            64,
            48,
            &[0],
            &[stride],
        )
        .unwrap();
        let text = process("", "video/x-raw", &info, vec![buffer]).unwrap_err();
        assert!(text.contains("incoming buffer"), "{text}");
    }
}

/// What the input hid stays hidden, in a blur as well.
#[test]
fn hidden_input_pixels_do_not_come_back_blurred() {
    init();
    let info = info(VideoFormat::Rgba, 128, 96);
    let data: Vec<u8> =
        (0..128 * 96).flat_map(|i| if i % 128 < 64 { [250, 20, 20, 0] } else { [60, 60, 60, 255] }).collect();
    let frame = gst::Buffer::from_mut_slice(data);
    let (_, out) = process("background=blur:8", "video/x-raw", &info, vec![frame]).unwrap();
    let map = out[0].map_readable().unwrap();
    for p in map.chunks_exact(4) {
        assert!(p[0].abs_diff(60) <= 2 && p[1].abs_diff(60) <= 2 && p[3] == 255, "{p:?}");
    }
}

/// Straight alpha that was there says nothing of how colours mix.
#[test]
fn translucent_input_keeps_its_colours() {
    init();
    let info = info(VideoFormat::Rgba, 320, 320);
    let whole = portrait(&info, 0);
    let (_, plain) = process("", "video/x-raw", &info, vec![whole.clone()]).unwrap();
    let mut data = whole.map_readable().unwrap().to_vec();
    data.chunks_exact_mut(4).for_each(|p| p[3] = 128);
    let (_, half) = process("", "video/x-raw", &info, vec![gst::Buffer::from_mut_slice(data)]).unwrap();
    let (plain, half) = (plain[0].map_readable().unwrap(), half[0].map_readable().unwrap());
    let mut seen = 0;
    for (p, h) in plain.chunks_exact(4).zip(half.chunks_exact(4)) {
        if p[3] == 255 {
            assert_eq!((h[3], &h[..3]), (128, &p[..3]));
            seen += 1;
        }
    }
    assert!(seen > 10_000);
}

/// Very wide blurs of large frames, whose sums are large.
#[test]
fn a_wide_blur_of_a_large_white_frame_is_white() {
    init();
    let info = info(VideoFormat::I420, 3840, 2160);
    let mut data = vec![128u8; info.size()];
    data[..3840 * 2160].fill(235);
    let props = "background=blur:40 follow-subject=false decontaminate=false refine=none";
    let (out, frames) =
        process(props, "video/x-raw", &info, vec![gst::Buffer::from_mut_slice(data)]).unwrap();
    assert!(Samples::new(&frames[0], &out).first().iter().all(|v| v.abs_diff(235) <= 1));
}

/// A change that downstream cannot take is refused with a warning, and the stream goes on.
#[test]
fn changes_that_downstream_cannot_take() {
    init();
    let cases = [
        (
            "background=transparent",
            "video/x-raw,format=RGBA",
            VideoFormat::I420,
            ("background", "red"),
            "videoconvert",
        ),
        (
            "background=transparent",
            "video/x-raw,format=RGBA",
            VideoFormat::I420,
            ("output", "matte"),
            "GRAY8",
        ),
        ("output=matte", "jpegenc", VideoFormat::I420, ("output", "video"), "alpha"),
    ];
    for (props, after, format, (name, value), says) in cases {
        let info = info(format, 64, 48);
        let line = format!(
            "appsrc name=in format=time ! bgremove name=bg {props} ! {after} ! appsink name=out sync=false"
        );
        let pipeline = Running(gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap());
        let src = pipeline.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
        let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
        src.set_caps(Some(&info.to_caps().unwrap()));
        pipeline.set_state(gst::State::Playing).unwrap();
        src.push_buffer(portrait(&info, 0)).unwrap();
        sink.pull_sample().unwrap();
        pipeline.by_name("bg").unwrap().set_property_from_str(name, value);
        src.push_buffer(portrait(&info, 1)).unwrap();
        sink.pull_sample()
            .unwrap_or_else(|_| panic!("{props} ! {after}, {name}={value}: the stream goes on"));
        let bus = pipeline.bus().unwrap();
        let warned =
            std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Warning])).any(|m| match m.view() {
                gst::MessageView::Warning(w) => w.error().to_string().contains(says),
                _ => false,
            });
        assert!(warned, "{props} ! {after}, {name}={value}");
    }
}

/// The same at the start is an error that says what to do.
#[test]
fn an_opaque_format_that_downstream_cannot_take() {
    init();
    let info = info(VideoFormat::I420, 64, 48);
    let text = process("background=red", "pngenc", &info, vec![portrait(&info, 0)]).unwrap_err();
    assert!(text.contains("videoconvert") && text.contains("I420"), "{text}");
}

/// A bad model, and new caps before the bad news is in.
#[test]
fn a_bad_model_meets_a_caps_change() {
    init();
    let line = "appsrc name=in format=time ! bgremove name=bg ! appsink name=out sync=false";
    let pipeline = Running(gst::parse::launch(line).unwrap().downcast::<gst::Pipeline>().unwrap());
    let src = pipeline.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    let bg = pipeline.by_name("bg").unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let push = |w: u32, h: u32, n: u64| {
        let info = info(VideoFormat::I420, w, h);
        let sample =
            gst::Sample::builder().caps(&info.to_caps().unwrap()).buffer(&portrait(&info, n)).build();
        src.push_sample(&sample).unwrap();
        sink.pull_sample().expect("the stream goes on");
    };
    push(320, 180, 0);
    for (n, background) in [(1, "red"), (2, "transparent")] {
        bg.set_property("model", "/no/such.onnx");
        bg.set_property("background", background);
        push(320, 180, n);
        bg.set_property("model", "/no/such.onnx");
        push(180 + 2 * n as u32, 320, n);
    }
    // The bad value is taken back as soon as a frame has passed after its news.
    for n in 3..40 {
        push(180, 320, n);
        if bg.property::<String>("model") == "light" {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("model stays '{}'", bg.property::<String>("model"));
}
