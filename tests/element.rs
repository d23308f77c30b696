//! The element in a stream, with the real network on the real clip.

mod common;

use common::*;
use gst::prelude::*;
use gst_video::{VideoFormat, VideoInfo};
use std::sync::{Arc, Mutex};

fn pipeline(line: &str) -> (Running, gst_app::AppSink) {
    init();
    let pipeline = Running(gst::parse::launch(line).unwrap().downcast::<gst::Pipeline>().unwrap());
    let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    (pipeline, sink)
}

fn clip_line(name: &str, rest: &str) -> String {
    format!(
        "filesrc location={} ! decodebin ! {rest} ! appsink name=out sync=false max-buffers=4",
        clip(name).display()
    )
}

fn no_error(pipeline: &gst::Pipeline) {
    if let Some(m) = pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error]) {
        panic!("{m:?}");
    }
}

/// The man's face and chest are his, the car's window and ceiling are not, on every frame.
#[test]
fn the_man_stays_and_the_window_goes() {
    let (pipeline, sink) =
        pipeline(&clip_line("carphone_pristine.mp4", "bgremove output=matte ! video/x-raw,format=GRAY8"));
    pipeline.set_state(gst::State::Playing).unwrap();
    for n in 0..30 {
        let sample = sink.pull_sample().unwrap();
        let info = VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let matte = Samples::new(&sample.buffer_owned().unwrap(), &info);
        let alpha = matte.first();
        let (w, h) = (matte.width, matte.height);
        let at = |x: f64, y: f64| alpha[(y * h as f64) as usize * w + (x * w as f64) as usize];
        let area = alpha.iter().map(|a| f64::from(*a)).sum::<f64>() / 255.0 / (w * h) as f64;
        assert!((0.25..0.75).contains(&area), "frame {n}: the man takes {area:.2} of the picture");
        for (x, y, what) in [(0.5, 0.5, "the face"), (0.5, 0.9, "the chest")] {
            assert!(at(x, y) > 200, "frame {n}: {what} is {}", at(x, y));
        }
        for (x, y, what) in [(0.95, 0.2, "the window"), (0.05, 0.05, "the ceiling")] {
            assert!(at(x, y) < 50, "frame {n}: {what} is {}", at(x, y));
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn times_flags_order_and_count_are_kept() {
    let (pipeline, sink) = pipeline(&clip_line("carphone_pristine.mp4", "identity name=before ! bgremove"));
    type Seen = Vec<(Option<gst::ClockTime>, Option<gst::ClockTime>, u64, gst::BufferFlags)>;
    let seen: Arc<Mutex<Seen>> = Default::default();
    // Flags of the stream; those of the memory are the buffer's own affair.
    let kept = gst::BufferFlags::DISCONT
        | gst::BufferFlags::DELTA_UNIT
        | gst::BufferFlags::MARKER
        | gst::BufferFlags::GAP;
    let before = pipeline.by_name("before").unwrap().static_pad("src").unwrap();
    let into = seen.clone();
    before.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let b = info.buffer().unwrap();
        into.lock().unwrap().push((b.pts(), b.duration(), b.offset(), b.flags() & kept));
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut out = Seen::new();
    while let Ok(sample) = sink.pull_sample() {
        let b = sample.buffer().unwrap();
        out.push((b.pts(), b.duration(), b.offset(), b.flags() & kept));
    }
    no_error(&pipeline);
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(out.len() > 100);
    assert_eq!(out, *seen.lock().unwrap());
}

#[test]
fn metas_are_kept() {
    let info = info(VideoFormat::I420, 64, 48);
    let mut buffer = portrait(&info, 0);
    {
        let buffer = buffer.get_mut().unwrap();
        buffer.set_flags(gst::BufferFlags::MARKER);
        gst::ReferenceTimestampMeta::add(
            buffer,
            &gst::Caps::builder("timestamp/x-unix").build(),
            gst::ClockTime::from_seconds(7),
            gst::ClockTime::NONE,
        );
        gst_video::VideoRegionOfInterestMeta::add(buffer, "cup", (3, 4, 20, 30));
    }
    let (_, out) = process("", "video/x-raw", &info, vec![buffer]).unwrap();
    assert!(out[0].flags().contains(gst::BufferFlags::MARKER));
    assert_eq!(
        out[0].meta::<gst::ReferenceTimestampMeta>().unwrap().timestamp(),
        gst::ClockTime::from_seconds(7)
    );
    let regions: Vec<_> =
        out[0].iter_meta::<gst_video::VideoRegionOfInterestMeta>().map(|r| r.rect()).collect();
    assert_eq!(regions, [(3, 4, 20, 30)], "size and place stay");
}

#[test]
fn streams_of_no_frame_and_one() {
    let info = info(VideoFormat::Nv12, 64, 48);
    assert_eq!(process("", "video/x-raw", &info, vec![]).unwrap().1.len(), 0);
    assert_eq!(process("", "video/x-raw", &info, vec![portrait(&info, 0)]).unwrap().1.len(), 1);
}

#[test]
fn any_framerate_and_pixel_shape() {
    init();
    for (fps, par) in [((0, 1), (1, 1)), ((30000, 1001), (12, 11)), ((1, 1), (1, 2))] {
        let info = VideoInfo::builder(VideoFormat::Bgra, 80, 60)
            .fps(gst::Fraction::new(fps.0, fps.1))
            .par(gst::Fraction::new(par.0, par.1))
            .build()
            .unwrap();
        let (out, frames) = process("", "video/x-raw", &info, vec![portrait(&info, 0)]).unwrap();
        assert_eq!((out.fps(), out.par(), frames.len()), (info.fps(), info.par(), 1));
    }
}

/// Backgrounds change while frames flow: each frame has one of them whole, none is lost, and the
/// caps follow.
#[test]
fn backgrounds_change_while_playing() {
    init();
    let info = info(VideoFormat::I420, 160, 120);
    let line =
        "appsrc name=in format=time ! bgremove name=bg background=#ff0000 ! appsink name=out sync=false";
    let (pipeline, sink) = pipeline(line);
    let src = pipeline.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    let bg = pipeline.by_name("bg").unwrap();
    src.set_caps(Some(&info.to_caps().unwrap()));
    pipeline.set_state(gst::State::Playing).unwrap();
    let picture = clip("astronaut.png").display().to_string();
    let mut n = 0;
    let mut push = |background: Option<&str>| -> (VideoInfo, Samples) {
        if let Some(b) = background {
            bg.set_property("background", b);
        }
        src.push_buffer(portrait(&info, n)).unwrap();
        let sample = sink.pull_sample().expect("no frame is lost");
        assert_eq!(sample.buffer().unwrap().pts(), Some(gst::ClockTime::SECOND * n / 30));
        n += 1;
        let out = VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let samples = Samples::new(&sample.buffer_owned().unwrap(), &out);
        (out, samples)
    };
    // The corner is background.
    let corner = |(out, s): &(VideoInfo, Samples)| {
        let c: Vec<u8> = s.components.iter().map(|c| s.at(c, 0, 0)).collect();
        (out.format(), [c[0], c[1], c[2]])
    };
    let near = |got: [u8; 3], rgb: [u8; 3]| {
        got.iter().zip(numbers(&info, rgb)).all(|(g, w)| (f64::from(*g) - w).abs() < 3.0)
    };
    let red = corner(&push(None));
    assert!(red.0 == VideoFormat::I420 && near(red.1, [255, 0, 0]), "{red:?}");
    let blue = corner(&push(Some("blue")));
    assert!(blue.0 == VideoFormat::I420 && near(blue.1, [0, 0, 255]), "{blue:?}");
    let clear = push(Some("transparent"));
    assert_eq!(clear.0.format(), VideoFormat::A420);
    assert_eq!(clear.1.alpha()[0], 0);
    let green = corner(&push(Some("lime")));
    assert!(green.0 == VideoFormat::I420 && near(green.1, [0, 255, 0]), "{green:?}");
    assert_eq!(push(Some(&picture)).0.format(), VideoFormat::I420);
    bg.set_property_from_str("background-fit", "contain");
    // The picture is read beside the stream.
    let mut corners = (0..300).map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        corner(&push(None)).1
    });
    let contained = corners.any(|c| near(c, [0, 0, 0]));
    assert!(contained, "a square picture leaves black at the sides");
    bg.set_property_from_str("output", "matte");
    assert_eq!(push(None).0.format(), VideoFormat::Gray8);
    bg.set_property_from_str("output", "video");
    assert_eq!(push(Some("blur:5")).0.format(), VideoFormat::I420);
    src.end_of_stream().unwrap();
    assert!(sink.pull_sample().is_err());
    no_error(&pipeline);
    pipeline.set_state(gst::State::Null).unwrap();
}

/// Asked for alpha that nothing downstream can take, the element keeps what it has and warns.
#[test]
fn transparent_is_refused_in_midstream_without_alpha_downstream() {
    let info = info(VideoFormat::I420, 64, 48);
    let line = "appsrc name=in format=time ! bgremove name=bg background=red ! jpegenc ! appsink name=out sync=false";
    let (pipeline, sink) = pipeline(line);
    let src = pipeline.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    src.set_caps(Some(&info.to_caps().unwrap()));
    pipeline.set_state(gst::State::Playing).unwrap();
    src.push_buffer(portrait(&info, 0)).unwrap();
    sink.pull_sample().unwrap();
    pipeline.by_name("bg").unwrap().set_property("background", "transparent");
    src.push_buffer(portrait(&info, 1)).unwrap();
    sink.pull_sample().expect("the stream goes on");
    let bus = pipeline.bus().unwrap();
    // The decoder of a still format may warn, too.
    let warnings: Vec<String> = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Warning]))
        .filter_map(|m| match m.view() {
            gst::MessageView::Warning(w) => Some(w.error().to_string()),
            _ => None,
        })
        .collect();
    assert!(warnings.iter().any(|w| w.contains("alpha")), "{warnings:?}");
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn caps_change_in_midstream() {
    init();
    let line = "appsrc name=in format=time ! bgremove ! appsink name=out sync=false";
    let (pipeline, sink) = pipeline(line);
    let src = pipeline.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let cases = [
        (VideoFormat::I420, 320, 180, VideoFormat::A420),
        (VideoFormat::I420, 176, 144, VideoFormat::A420),
        (VideoFormat::Bgrx, 90, 160, VideoFormat::Bgra),
        (VideoFormat::Rgba, 90, 160, VideoFormat::Rgba),
    ];
    for (n, (format, w, h, want)) in cases.into_iter().enumerate() {
        let info = info(format, w, h);
        let sample =
            gst::Sample::builder().caps(&info.to_caps().unwrap()).buffer(&portrait(&info, n as u64)).build();
        src.push_sample(&sample).unwrap();
        let sample = sink.pull_sample().unwrap();
        let out = VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        assert_eq!((out.format(), out.width(), out.height()), (want, w, h));
        let alpha = Samples::new(&sample.buffer_owned().unwrap(), &out).alpha();
        let covered = alpha.iter().filter(|a| **a > 127).count() as f64 / alpha.len() as f64;
        assert!((0.2..0.8).contains(&covered), "{format:?} {w}×{h}: the portrait is found, {covered:.2}");
    }
    src.end_of_stream().unwrap();
    assert!(sink.pull_sample().is_err());
    no_error(&pipeline);
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn seeks_and_flushes() {
    let (pipeline, sink) =
        pipeline(&clip_line("astronaut.mp4", "videoscale ! video/x-raw,width=320,height=180 ! bgremove"));
    pipeline.set_state(gst::State::Paused).unwrap();
    let preroll = |sink: &gst_app::AppSink| sink.pull_preroll().unwrap().buffer().unwrap().pts().unwrap();
    assert!(preroll(&sink) < gst::ClockTime::from_mseconds(100));
    for ms in [2000, 500, 3000, 0] {
        let to = gst::ClockTime::from_mseconds(ms);
        pipeline.seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE, to).unwrap();
        let got = preroll(&sink);
        assert!(got.absdiff(to) < gst::ClockTime::from_mseconds(100), "{got} after a seek to {to}");
    }
    // A segment of one second, played to its end.
    pipeline
        .seek(
            1.0,
            gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE,
            gst::SeekType::Set,
            gst::ClockTime::SECOND,
            gst::SeekType::Set,
            2 * gst::ClockTime::SECOND,
        )
        .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut count = 0;
    while sink.pull_sample().is_ok() {
        count += 1;
    }
    assert_eq!(count, 30);
    no_error(&pipeline);
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn starts_and_stops_again_and_again() {
    let info = info(VideoFormat::I420, 64, 48);
    let (pipeline, sink) = pipeline("appsrc name=in format=time ! bgremove ! appsink name=out sync=false");
    let src = pipeline.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    src.set_caps(Some(&info.to_caps().unwrap()));
    let mut first = None;
    for _ in 0..20 {
        pipeline.set_state(gst::State::Playing).unwrap();
        src.push_buffer(portrait(&info, 0)).unwrap();
        let sample = sink.pull_sample().unwrap();
        let alpha = Samples::new(
            &sample.buffer_owned().unwrap(),
            &VideoInfo::from_caps(sample.caps().unwrap()).unwrap(),
        )
        .alpha();
        assert_eq!(first.get_or_insert_with(|| alpha.clone()), &alpha, "each start gives the same");
        pipeline.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn two_elements_in_one_process() {
    let threads: Vec<_> = (0..2)
        .map(|i| {
            std::thread::spawn(move || {
                let info = info(VideoFormat::I420, 320, 180);
                let frames = (0..10).map(|n| portrait(&info, n)).collect();
                let background = ["background=red", "background=transparent"][i];
                let (out, frames) = process(background, "video/x-raw", &info, frames).unwrap();
                assert_eq!(frames.len(), 10);
                out.format()
            })
        })
        .collect();
    let formats: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    assert_eq!(formats, [VideoFormat::I420, VideoFormat::A420]);
    // One behind the other: the second gets the first one's alpha.
    let info = info(VideoFormat::Rgba, 160, 120);
    let (_, once) = process("", "video/x-raw", &info, vec![portrait(&info, 0)]).unwrap();
    let (out, twice) = process("", "bgremove ! video/x-raw", &info, vec![portrait(&info, 0)]).unwrap();
    let (once, twice) = (Samples::new(&once[0], &info).alpha(), Samples::new(&twice[0], &out).alpha());
    assert!(once.iter().zip(&twice).all(|(a, b)| b <= a));
}

/// `refine=learned` corrects edges, where the mask is fine enough, and nothing else.
#[test]
fn the_learned_step_is_for_fine_masks() {
    let (info, grey) = (info(VideoFormat::I420, 640, 360), common::info(VideoFormat::Gray8, 640, 360));
    let matte = |props: &str| {
        let props = format!("output=matte {props}");
        let frames = (0..2).map(|n| portrait(&info, n)).collect();
        let (_, frames) = process(&props, "video/x-raw,format=GRAY8", &info, frames).unwrap();
        assert_eq!(frames.len(), 2);
        Samples::new(&frames[1], &grey).first()
    };
    let [best, learned] = ["best", "learned"].map(|r| matte(&format!("model=light refine={r}")));
    assert!(best == learned, "the masks of `light` are too coarse");
    let [best, learned] = ["best", "learned"].map(|r| matte(&format!("model=original refine={r}")));
    let changed: Vec<i32> =
        best.iter().zip(&learned).map(|(a, b)| i32::from(a.abs_diff(*b))).filter(|d| *d > 0).collect();
    assert!(changed.len() > 100 && changed.len() < best.len() / 8, "{} pixels", changed.len());
    assert!(changed.iter().sum::<i32>() < 60 * changed.len() as i32, "it draws other edges");
}

/// The same network from a file gives the same matte as the preset.
#[test]
fn a_path_to_a_file_of_the_same_kind() {
    let info = info(VideoFormat::Rgb, 256, 144);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/models/light-landscape.onnx");
    let (_, preset) = process("output=matte", "video/x-raw", &info, vec![portrait(&info, 0)]).unwrap();
    let (_, path) = process(
        &format!("output=matte model={file} threads=1"),
        "video/x-raw",
        &info,
        vec![portrait(&info, 0)],
    )
    .unwrap();
    let grey = common::info(VideoFormat::Gray8, 256, 144);
    let (a, b) = (Samples::new(&preset[0], &grey).first(), Samples::new(&path[0], &grey).first());
    assert!(a.iter().zip(&b).all(|(a, b)| a.abs_diff(*b) <= 1));
}
