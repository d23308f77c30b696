//! Buffers, values and neighbours that are not what one hopes for.

mod common;

use common::*;
use gst::glib::translate::IntoGlibPtr;
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

/// The plugin's elements, as GStreamer knows them.
fn elements() -> Vec<String> {
    init();
    let all = gst::Registry::get().features_by_plugin("bgremove");
    let mut names: Vec<String> = all
        .iter()
        .filter(|f| f.type_().is_a(gst::ElementFactory::static_type()))
        .map(|f| f.name().to_string())
        .collect();
    names.sort();
    names
}

/// An element as the tests here want it, what it is given, and frames of it.
fn stage(element: &str) -> (String, Vec<VideoFormat>) {
    let (props, formats) = match element {
        "bgremove" => ("".into(), SINK_FORMATS.to_vec()),
        "videobackdrop" => (
            format!("location={}", clip("astronaut.mp4").display()),
            vec![VideoFormat::Rgba, VideoFormat::A420],
        ),
        "gifalphaenc" | "webpalphaenc" => ("".into(), vec![VideoFormat::Rgba]),
        "alphaextract" => (
            "".into(),
            vec![VideoFormat::Rgba, VideoFormat::A420, VideoFormat::Argb64, VideoFormat::A44410le],
        ),
        "videocanvas" => {
            ("width=200 height=120 crop=subject".into(), vec![VideoFormat::Rgba, VideoFormat::A420])
        }
        "layerextract" => ("layer=matte".into(), SINK_FORMATS.to_vec()),
        "vp8alphaenc" | "vp9alphaenc" => ("deadline=realtime cpu-used=8".into(), vec![VideoFormat::A420]),
        "webmalphamux" => ("".into(), vec![]),
        other => panic!("no test here knows {other}"),
    };
    (format!("{element} {props}"), formats)
}

/// Numbers that come again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 24) % n
    }
}

/// A buffer whose meta says anything of it, in one piece of memory or in several.
fn lie(dice: &mut Dice, info: &VideoInfo) -> gst::Buffer {
    let mut next = |n: u64| dice.below(n);
    let size = if next(2) == 0 { info.size() } else { next(40_000) as usize };
    let mut buffer = gst::Buffer::new();
    let own = buffer.get_mut().unwrap();
    let pieces = if next(3) == 0 { 3 } else { 1 };
    for piece in 0..pieces {
        let length = size * (piece + 1) / pieces - size * piece / pieces;
        // From the heap, so that a byte beyond is seen by whoever looks for such.
        own.append_memory(gst::Memory::from_mut_slice(vec![next(256) as u8; length]));
    }
    let planes = info.n_planes() as usize;
    let mut offsets = info.offset()[..planes].to_vec();
    let mut strides = info.stride()[..planes].to_vec();
    // Half of them tell the truth but for one plane.
    let only = (next(2) == 0).then(|| next(planes as u64) as usize);
    for i in (0..planes).filter(|i| only.is_none_or(|only| only == *i)) {
        match next(5) {
            0 => offsets[i] = next(30_000) as usize,
            1 => offsets[i] = usize::MAX - next(100) as usize,
            _ => {}
        }
        match next(6) {
            0 => strides[i] = next(4096) as i32,
            1 => strides[i] = -(next(300) as i32),
            2 => strides[i] = i32::MAX - next(9) as i32,
            _ => {}
        }
    }
    let (w, h) = match next(6) {
        0 => (next(200) as u32, next(200) as u32),
        1 => (u32::MAX, 48),
        _ => (64, 48),
    };
    // GStreamer may refuse one by itself; then the buffer comes without.
    let flags = gst_video::VideoFrameFlags::empty();
    let _ = gst_video::VideoMeta::add_full(own, flags, info.format(), w, h, &offsets, &strides);
    own.set_pts(gst::ClockTime::ZERO);
    own.set_duration(gst::ClockTime::from_mseconds(33));
    buffer
}

/// Pushes buffers through an element; the number that comes out, or the error on the bus.
fn through(element: &str, caps: &gst::Caps, buffers: Vec<gst::Buffer>) -> Result<usize, String> {
    let line = format!("appsrc name=in format=time ! {element} ! appsink name=out sync=false");
    let pipeline = Running(gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap());
    let src = pipeline.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    src.set_caps(Some(caps));
    pipeline.set_state(gst::State::Playing).unwrap();
    for buffer in buffers {
        let _ = src.push_buffer(buffer);
    }
    let _ = src.end_of_stream();
    let error = || {
        let message = pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error])?;
        let gst::MessageView::Error(e) = message.view() else { unreachable!() };
        Some(format!("{} {:?}", e.error(), e.debug()))
    };
    let (mut out, began) = (0, std::time::Instant::now());
    loop {
        if sink.try_pull_sample(gst::ClockTime::from_mseconds(10)).is_some() {
            out += 1;
        } else if let Some(error) = error() {
            return Err(error);
        } else if sink.is_eos() {
            // The news of an error may come after the end that follows from it.
            return error().map_or(Ok(out), Err);
        }
        assert!(began.elapsed().as_secs() < 60, "{element}: no end comes");
    }
}

/// Buffers whose metas say anything, through every element of the plugin; `make sanitize` looks for reads and
/// writes beyond the memory that is there.
#[test]
fn metas_that_lie() {
    let mut dice = Dice(0x2545_F491_4F6C_DD1D);
    for name in elements() {
        let (element, formats) = stage(&name);
        let mut good = 0;
        for case in 0..150 {
            let said = if formats.is_empty() {
                through(&element, &coded(), vec![lie_of_frames(&mut dice)])
            } else {
                let info = info(formats[dice.below(formats.len() as u64) as usize], 64, 48);
                let props = ["", "background=red", "background=blur", "output=matte"][case % 4];
                let props = if name == "bgremove" { props } else { "" };
                let caps = info.to_caps().unwrap();
                let mut frame = lie(&mut dice, &info);
                if name == "layerextract" && case % 3 > 0 {
                    with_layer(&mut frame, &info);
                }
                through(&format!("{element} {props}"), &caps, vec![frame])
            };
            match said {
                Ok(out) => {
                    good += 1;
                    assert!(out > 0, "{name}, case {case}: nothing came out");
                }
                Err(e) => assert!(!e.contains("panic"), "{name}, case {case}: {e}"),
            }
        }
        assert!(good > 10 && good < 140, "{name}: {good} of 150 frames went through");
    }
}

/// Hangs a matte on a frame, as bgremove does.
fn with_layer(frame: &mut gst::Buffer, info: &VideoInfo) {
    use gstbgremove::layers::{Layer, attach};
    let matte = Layer::Matte.info(info).unwrap();
    let buffer = gst::Buffer::from_mut_slice(vec![7u8; matte.size()]);
    attach(frame.get_mut().unwrap(), Layer::Matte, buffer, &matte).unwrap();
}

/// What a muxer takes.
fn coded() -> gst::Caps {
    gst::Caps::builder("video/x-vp9")
        .field("width", 64i32)
        .field("height", 48i32)
        .field("framerate", gst::Fraction::new(30, 1))
        .field("codec-alpha", true)
        .build()
}

/// A coded frame and its alpha, of any size and any bytes.
fn lie_of_frames(dice: &mut Dice) -> gst::Buffer {
    let mut bytes = |key: bool| {
        let mut bytes: Vec<u8> = (0..dice.below(40)).map(|_| dice.below(256) as u8).collect();
        if let Some(first) = bytes.first_mut().filter(|_| key) {
            // A key frame of VP9.
            *first = 0x82;
        }
        gst::Buffer::from_mut_slice(bytes)
    };
    let (mut colour, alpha) = (bytes(true), bytes(true));
    let times = [dice.below(u64::MAX >> 24), dice.below(1 << 40)];
    let own = colour.get_mut().unwrap();
    own.set_pts(gst::ClockTime::from_nseconds(times[0]));
    own.set_duration(gst::ClockTime::from_nseconds(times[1]));
    if dice.below(3) > 0 {
        // SAFETY: the buffer is writable, and the function takes the reference to the alpha buffer.
        unsafe {
            gst_video::ffi::gst_buffer_add_video_codec_alpha_meta(own.as_mut_ptr(), alpha.into_glib_ptr());
        }
    }
    let (start, end) = (dice.below(u64::MAX >> 24), dice.below(u64::MAX >> 24));
    let clip = |v| gst::format::Default::from_u64(v);
    gst_audio::AudioClippingMeta::add(own, clip(start), clip(end));
    colour
}

/// Whoever follows an event through the pipeline knows it by its number.
#[test]
fn events_keep_their_numbers() {
    use gst::EventType::{self, *};
    for name in elements() {
        let (element, formats) = stage(&name);
        let (caps, frame) = match formats.last() {
            None => {
                let mut frame = gst::Buffer::from_mut_slice(vec![0x82u8, 1, 2, 3]);
                frame.get_mut().unwrap().set_pts(gst::ClockTime::ZERO);
                let mut caps = coded();
                caps.make_mut().structure_mut(0).unwrap().remove_field("codec-alpha");
                (caps, frame)
            }
            Some(_) => {
                let format =
                    if formats.contains(&VideoFormat::A420) { VideoFormat::A420 } else { VideoFormat::Rgba };
                let info = info(format, 64, 48);
                let mut frame = empty(&info, 0);
                with_layer(&mut frame, &info);
                (info.to_caps().unwrap(), frame)
            }
        };
        // Of a muxer, whose stream comes from several, GStreamer's base class keeps the segment's alone; and the caps of
        // a transform are its base class's.
        let kept: &[EventType] = match &*name {
            "webmalphamux" => &[Segment],
            "bgremove" | "videobackdrop" | "alphaextract" | "layerextract" | "videocanvas" => {
                &[StreamStart, Segment, Tag, CustomDownstream, Eos]
            }
            _ => &[StreamStart, Caps, Segment, Tag, CustomDownstream, Eos],
        };
        let pipeline = Running(
            gst::parse::launch(&format!("{element} name=e"))
                .map(|e| {
                    let pipeline = gst::Pipeline::new();
                    pipeline.add(&e).unwrap();
                    pipeline
                })
                .unwrap(),
        );
        let e = pipeline.by_name("e").unwrap();
        let sink = e.static_pad("sink").or_else(|| e.request_pad_simple("video_%u")).unwrap();
        let feed = gst::Pad::new(gst::PadDirection::Src);
        let (sender, seen) = std::sync::mpsc::channel();
        let end = gst::Pad::builder(gst::PadDirection::Sink)
            .chain_function(|_, _, _| Ok(gst::FlowSuccess::Ok))
            .event_function(move |_, _, event| sender.send((event.type_(), event.seqnum())).is_ok())
            .build();
        feed.link(&sink).unwrap();
        e.static_pad("src").unwrap().link(&end).unwrap();
        // Behind the wall of a bin, where colour and alpha part.
        let inner: Vec<_> = e
            .downcast_ref::<gst::Bin>()
            .and_then(|bin| bin.by_name("split"))
            .into_iter()
            .flat_map(|split| ["colour", "alpha"].map(|pad| split.static_pad(pad).unwrap()))
            .collect();
        let within = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        for pad in &inner {
            let into = within.clone();
            pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |pad, info| {
                if let Some(event) = info.event() {
                    into.lock().unwrap().push((pad.name(), event.type_(), event.seqnum()));
                }
                gst::PadProbeReturn::Ok
            });
        }
        feed.set_active(true).unwrap();
        end.set_active(true).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let mut tags = gst::TagList::new();
        tags.make_mut().add::<gst::tags::Title>(&"t", gst::TagMergeMode::Append);
        let number = gst::Seqnum::next;
        let events = [
            gst::event::StreamStart::builder("s").seqnum(number()).build(),
            gst::event::Caps::builder(&caps).seqnum(number()).build(),
            gst::event::Segment::builder(&gst::FormattedSegment::<gst::ClockTime>::new())
                .seqnum(number())
                .build(),
            gst::event::Tag::builder(tags).seqnum(number()).build(),
            gst_video::DownstreamForceKeyUnitEvent::builder().seqnum(number()).build(),
            gst::event::CustomDownstream::builder(gst::Structure::new_empty("mine")).seqnum(number()).build(),
            gst::event::Eos::builder().seqnum(number()).build(),
        ];
        let (before, after) = events.split_at(5);
        before.iter().for_each(|e| assert!(feed.push_event(e.clone()) || e.type_() == Tag, "{name}: {e:?}"));
        feed.push(frame).unwrap();
        for event in after {
            let _ = feed.push_event(event.clone());
        }
        let mut out = Vec::new();
        while let Ok(event) = seen.recv_timeout(std::time::Duration::from_secs(20)) {
            out.push(event);
            if event.0 == Eos {
                break;
            }
        }
        for event in events.iter().filter(|e| kept.contains(&e.type_())) {
            // A wish for a key frame is met by an encoder, which says so in its own way.
            let encodes = name.ends_with("enc");
            if encodes && gst_video::DownstreamForceKeyUnitEvent::parse(event).is_ok() {
                continue;
            }
            assert!(out.contains(&(event.type_(), event.seqnum())), "{name}: {event:?} became {out:?}");
        }
        let within = within.lock().unwrap();
        for pad in &inner {
            for event in &events {
                let same = (pad.name(), event.type_(), event.seqnum());
                assert!(within.contains(&same), "{name}: {event:?} became {within:?}");
            }
        }
    }
}

/// What the element says of itself belongs to the stream that it is said of.
#[test]
fn its_own_tag_has_the_streams_number() {
    init();
    let mut harness = gst_check::Harness::new_parse("bgremove write-tags=true");
    let info = info(VideoFormat::I420, 64, 48);
    let number = gst::Seqnum::next();
    harness.push_event(gst::event::StreamStart::builder("s").seqnum(number).build());
    harness.push_event(gst::event::Caps::new(&info.to_caps().unwrap()));
    harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
    harness.push(empty(&info, 0)).unwrap();
    harness.push_event(gst::event::Eos::new());
    let tag = std::iter::from_fn(|| harness.try_pull_event()).find(|e| e.type_() == gst::EventType::Tag);
    assert_eq!(tag.expect("a tag").seqnum(), number);
}
