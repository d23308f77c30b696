//! The encoders: in step whatever happens, or an error.

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gst_video::video_meta::VideoCodecAlphaMeta;

use crate::media::*;
use crate::validate::{Expect, validate};

/// A coded frame: time, whether it is marked a key frame, whether colour and alpha truly are.
#[derive(Clone, Debug, PartialEq)]
struct Coded {
    time: Option<gst::ClockTime>,
    marked: bool,
    colour: bool,
    alpha: bool,
}

/// An encoder between `appsrc` and `appsink`.
struct Rig {
    pipeline: gst::Pipeline,
    encoder: gst::Element,
    coded: Arc<Mutex<Vec<Coded>>>,
}

fn rig(codec: &str, settings: &str) -> Rig {
    let pipeline = launch(&format!(
        "appsrc name=v ! {codec}alphaenc name=e deadline=realtime cpu-used=8 {settings} ! \
         appsink name=sink sync=false"
    ));
    let encoder = pipeline.by_name("e").unwrap();
    let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
    let coded = Arc::new(Mutex::new(Vec::new()));
    let (into, vp8) = (coded.clone(), codec == "vp8");
    sink.set_callbacks(
        gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                let buffer = sample.buffer().unwrap();
                let key = |buffer: &gst::BufferRef| {
                    let first = buffer.map_readable().unwrap()[0];
                    if vp8 { first & 1 == 0 } else { first & 0x04 == 0 }
                };
                let meta = buffer.meta::<VideoCodecAlphaMeta>().expect("alpha is lost");
                into.lock().unwrap().push(Coded {
                    time: buffer.pts(),
                    marked: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
                    colour: key(buffer),
                    alpha: key(meta.alpha_buffer()),
                });
                Ok(gst::FlowSuccess::Ok)
            })
            .build(),
    );
    Rig { pipeline, encoder, coded }
}

impl Rig {
    fn source(&self) -> gst::Element {
        self.pipeline.by_name("v").unwrap()
    }

    fn probe(
        &self,
        child: &str,
        pad: &str,
        f: impl Fn(&mut gst::Buffer, u64) -> gst::PadProbeReturn + Send + Sync + 'static,
    ) {
        let bin = self.encoder.downcast_ref::<gst::Bin>().unwrap();
        let pad = bin.by_name(child).unwrap().static_pad(pad).unwrap();
        let count = Mutex::new(0);
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data else {
                return gst::PadProbeReturn::Ok;
            };
            let mut count = count.lock().unwrap();
            *count += 1;
            f(buffer, *count - 1)
        });
    }

    fn coded(&self) -> Vec<Coded> {
        self.coded.lock().unwrap().clone()
    }

    fn keys(&self) -> Vec<usize> {
        let coded = self.coded();
        for (n, frame) in coded.iter().enumerate() {
            assert_eq!(frame.colour, frame.alpha, "key frames differ at {n}");
            assert_eq!(frame.colour, frame.marked, "key frame marked wrong at {n}");
        }
        (0..coded.len()).filter(|n| coded[*n].marked).collect()
    }
}

#[test]
fn key_frames_of_both_come_at_their_distance() {
    for codec in ["vp8", "vp9"] {
        let rig = rig(codec, "keyframe-max-dist=10");
        feed_video(&rig.source(), 0..45);
        run(&rig.pipeline).unwrap();
        assert_eq!(rig.keys(), [0, 10, 20, 30, 40], "{codec}");
    }
}

/// A cut in the picture must not make a key frame in one stream alone.
#[test]
fn a_cut_makes_no_key_frame_of_one() {
    for codec in ["vp8", "vp9"] {
        for deadline in ["good", "realtime"] {
            let rig = rig(codec, &format!("keyframe-max-dist=100 deadline={deadline}"));
            let source = source_of(&rig.pipeline);
            for n in 0..30u64 {
                // The colour changes at 10 and 17, the alpha at 17 and 23.
                let mut frame = vec![if (10..17).contains(&n) { 200u8 } else { 30 }; WIDTH * HEIGHT];
                frame.extend(vec![128; WIDTH * HEIGHT / 2]);
                frame.extend(vec![if (17..23).contains(&n) { 255u8 } else { 0 }; WIDTH * HEIGHT]);
                source.push_buffer(timed(frame, n)).unwrap();
            }
            source.end_of_stream().unwrap();
            run(&rig.pipeline).unwrap();
            assert_eq!(rig.coded().len(), 30);
            assert_eq!(rig.keys(), [0], "{codec} {deadline}");
        }
    }
}

#[test]
fn a_key_frame_asked_for_comes_in_both() {
    for codec in ["vp8", "vp9"] {
        // From downstream, at once: asked when frame 12 leaves.
        let upstream = rig(codec, "keyframe-max-dist=1000");
        let sink = upstream.pipeline.by_name("sink").unwrap().static_pad("sink").unwrap();
        let seen = Mutex::new(0);
        sink.add_probe(gst::PadProbeType::BUFFER, move |pad, _| {
            let mut seen = seen.lock().unwrap();
            *seen += 1;
            if *seen == 13 {
                let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
                assert!(pad.push_event(event));
            }
            gst::PadProbeReturn::Ok
        });
        feed_video(&upstream.source(), 0..60);
        run(&upstream.pipeline).unwrap();
        let keys = upstream.keys();
        assert_eq!(keys.len(), 2, "{keys:?}");
        assert!((13..20).contains(&keys[1]), "{codec}: asked at 12, came at {}", keys[1]);

        // From upstream, for a time.
        let downstream = rig(codec, "keyframe-max-dist=1000");
        let sink = downstream.encoder.static_pad("sink").unwrap();
        let sent = Mutex::new(false);
        sink.add_probe(gst::PadProbeType::BUFFER, move |pad, _| {
            if !std::mem::replace(&mut *sent.lock().unwrap(), true) {
                let time = gst::ClockTime::from_nseconds(time_of(21));
                let event = gst_video::DownstreamForceKeyUnitEvent::builder().running_time(time).build();
                pad.send_event(event);
            }
            gst::PadProbeReturn::Ok
        });
        feed_video(&downstream.source(), 0..40);
        run(&downstream.pipeline).unwrap();
        assert_eq!(downstream.keys(), [0, 21], "{codec}");
    }
}

#[test]
fn a_frame_lost_by_one_encoder_is_an_error() {
    init();
    for (child, lost) in [("alpha-encoder", 10), ("colour-encoder", 10), ("alpha-encoder", 29)] {
        let rig = rig("vp9", "");
        rig.probe(
            child,
            "src",
            move |_, n| {
                if n == lost { gst::PadProbeReturn::Drop } else { gst::PadProbeReturn::Ok }
            },
        );
        feed_video(&rig.source(), 0..30);
        let error = run(&rig.pipeline).unwrap_err();
        assert!(error.contains("out of step"), "{child}: {error}");
        assert_eq!(rig.coded().len() as u64, lost, "{child}");
    }
}

#[test]
fn a_key_frame_of_the_colour_alone_is_not_one() {
    // Nothing can make libvpx do this; a probe tells the lie.
    let rig = rig("vp9", "keyframe-max-dist=1000");
    rig.probe("colour-encoder", "src", |buffer, n| {
        if n == 10 {
            buffer.make_mut().unset_flags(gst::BufferFlags::DELTA_UNIT);
        }
        gst::PadProbeReturn::Ok
    });
    feed_video(&rig.source(), 0..40);
    run(&rig.pipeline).unwrap();
    let marked: Vec<_> = (0..40).filter(|n| rig.coded()[*n].marked).collect();
    assert_eq!(marked.len(), 2, "a new pair of key frames soon after: {marked:?}");
    assert_eq!(marked[0], 0);
    assert!((11..18).contains(&marked[1]), "{marked:?}");
}

#[test]
fn a_flush_begins_anew() {
    init();
    for codec in ["vp8", "vp9"] {
        let file = path(&format!("flush-{codec}.webm"));
        let pipeline = launch(&format!(
            "videotestsrc name=v num-buffers=120 ! \
             video/x-raw,format=A420,width=160,height=120,framerate=30/1 ! \
             {codec}alphaenc deadline=realtime cpu-used=8 keyframe-max-dist=30 ! webmalphamux ! \
             filesink location={}",
            file.display()
        ));
        let source = pipeline.by_name("v").unwrap();
        let muxer_in = pipeline.by_name("v").unwrap().static_pad("src").unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        // Well into the second cluster, so that something lies in the file.
        while muxer_in.query_position::<gst::ClockTime>().is_none_or(|at| at.seconds() < 2) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let seek = gst::event::Seek::new(
            1.0,
            gst::SeekFlags::FLUSH,
            gst::SeekType::Set,
            gst::ClockTime::from_mseconds(500),
            gst::SeekType::Set,
            gst::ClockTime::from_mseconds(1500),
        );
        assert!(source.send_event(seek));
        run(&pipeline).unwrap();
        let parsed = validate(&std::fs::read(&file).unwrap(), Expect::Finished).unwrap();
        let blocks = parsed.blocks(1);
        assert_eq!(blocks.len(), 30, "{codec}");
        assert_eq!(blocks[0].time, 0);
        assert!(blocks[0].key);
    }
}

/// The sizes of colour and alpha of twelve frames of noise, after six of which a property is set. What takes its time gives the
/// same each time.
fn sizes(codec: &str, change: Option<(&str, &str)>) -> [Vec<usize>; 2] {
    let pipeline = launch(&format!(
        "appsrc name=v ! {codec}alphaenc name=e cpu-used=5 threads=1 target-bitrate=1000000000 ! \
         appsink name=sink sync=false"
    ));
    let source = source_of(&pipeline);
    let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut seed = 1u32;
    let mut sizes = [Vec::new(), Vec::new()];
    for n in 0..12 {
        if let Some((name, value)) = change.filter(|_| n == 6) {
            pipeline.by_name("e").unwrap().set_property_from_str(name, value);
        }
        let noise = (0..WIDTH * HEIGHT * 5 / 2).map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 25) as u8
        });
        source.push_buffer(timed(noise.collect(), n)).unwrap();
        let sample = sink.try_pull_sample(gst::ClockTime::from_seconds(20)).expect("a frame");
        let coded = sample.buffer().unwrap();
        sizes[0].push(coded.size());
        sizes[1].push(coded.meta::<VideoCodecAlphaMeta>().unwrap().alpha_buffer().size());
    }
    pipeline.set_state(gst::State::Null).unwrap();
    sizes
}

#[test]
fn quality_and_speed_may_change_while_it_plays() {
    for codec in ["vp8", "vp9"] {
        let [color, alpha] = sizes(codec, None);
        let sum = |v: &[usize]| v.iter().sum::<usize>();
        // What is set again to what it was changes a few bytes.
        let alike = |a: &[usize], b: &[usize]| a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) * 100 < *b);
        let [coarse, same] = sizes(codec, Some(("cq-level", "60")));
        assert_eq!(coarse[..6], color[..6], "{codec}");
        assert!(alike(&same, &alpha), "{codec}: {same:?} for {alpha:?}");
        assert!(sum(&coarse[6..]) < sum(&color[6..]), "{codec}: {coarse:?} for {color:?}");
        let [same, coarse] = sizes(codec, Some(("alpha-cq-level", "60")));
        assert_eq!(coarse[..6], alpha[..6], "{codec}");
        assert!(alike(&same, &color), "{codec}: {same:?} for {color:?}");
        assert!(sum(&coarse[6..]) * 2 < sum(&alpha[6..]), "{codec}: {coarse:?} for {alpha:?}");
        let [slow, _] = sizes(codec, Some(("cpu-used", "1")));
        assert_eq!(slow[..6], color[..6], "{codec}");
        assert!(!alike(&slow[6..], &color[6..]), "{codec}: {slow:?} for {color:?}");
    }
}

#[test]
fn where_nobody_says_how_many_both_encoders_take_the_threads_of_their_codec() {
    for codec in ["vp8", "vp9"] {
        let want = gstbgremove::encoder_threads(&format!("{codec}enc"));
        let rig = rig(codec, "");
        feed_video(&rig.source(), 0..2);
        run(&rig.pipeline).unwrap();
        for child in ["colour-encoder", "alpha-encoder"] {
            let encoder = rig.encoder.downcast_ref::<gst::Bin>().unwrap().by_name(child).unwrap();
            assert_eq!(encoder.property::<i32>("threads"), want as i32, "{codec}: {child}");
        }
    }
}

#[test]
fn what_its_encoders_take_in_ready_stays_as_it_is_above_it() {
    let rig = rig("vp9", "");
    rig.pipeline.set_state(gst::State::Paused).unwrap();
    let bus = rig.pipeline.bus().unwrap();
    for (name, value) in [("end-usage", "vbr"), ("threads", "3"), ("deadline", "best")] {
        let before = rig.encoder.property_value(name).serialize().unwrap();
        rig.encoder.set_property_from_str(name, value);
        assert_eq!(rig.encoder.property_value(name).serialize().unwrap(), before, "{name}");
        let said = bus.pop_filtered(&[gst::MessageType::Warning]).expect(name);
        let gst::MessageView::Warning(w) = said.view() else { unreachable!() };
        assert!(w.error().message().starts_with(&format!("{name} is taken in READY")), "{}", w.error());
    }
    rig.pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn a_pipeline_runs_again_after_its_end() {
    let file = path("again.webm");
    let pipeline = launch(&format!(
        "videotestsrc num-buffers=20 ! video/x-raw,format=A420,width=160,height=120 ! \
         vp9alphaenc deadline=realtime cpu-used=8 ! webmalphamux ! filesink location={}",
        file.display()
    ));
    let mut sizes = Vec::new();
    for _ in 0..3 {
        run(&pipeline).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        let parsed = validate(&bytes, Expect::Finished).unwrap();
        assert_eq!(parsed.blocks(1).len(), 20);
        sizes.push(bytes.len());
    }
    // With several threads libvpx does not give the same bits each time.
    assert!(sizes[0].abs_diff(sizes[2]) < sizes[0] / 20, "{sizes:?}");
}

fn frame_of(width: u32, height: u32, n: u64) -> gst::Buffer {
    let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::A420, width, height).build().unwrap();
    timed(vec![100; info.size()], n)
}

#[test]
fn a_new_size_goes_through_the_encoder_and_is_refused_by_the_muxer() {
    let feed = |pipeline: &gst::Pipeline| {
        let source = source_of(pipeline);
        let caps = a420_caps();
        for (width, height, from) in [(320, 240, 0), (161, 121, 10)] {
            let mut caps = caps.clone();
            caps.make_mut().set("width", width as i32);
            caps.make_mut().set("height", height as i32);
            source.set_caps(Some(&caps));
            for n in from..from + 10 {
                source.push_buffer(frame_of(width, height, n)).unwrap();
            }
        }
        source.end_of_stream().unwrap();
    };
    for codec in ["vp8", "vp9"] {
        let rig = rig(codec, "keyframe-max-dist=100");
        feed(&rig.pipeline);
        run(&rig.pipeline).unwrap();
        assert_eq!(rig.keys(), [0, 10], "{codec}");
        assert_eq!(rig.coded().len(), 20);

        let pipeline = launch(&format!("appsrc name=v ! {codec}alphaenc ! webmalphamux ! fakesink"));
        feed(&pipeline);
        let error = run(&pipeline).unwrap_err();
        assert!(error.contains("changed in the middle"), "{error}");
    }
}

/// Rows with padding, planes out of order, a buffer of several memories: the view must follow.
#[test]
fn strides_and_offsets_are_obeyed() {
    let file = path("strides.webm");
    let pipeline = launch(&format!(
        "appsrc name=v ! vp9alphaenc alpha-cq-level=4 ! webmalphamux ! filesink location={}",
        file.display()
    ));
    let source = source_of(&pipeline);
    let (luma_stride, chroma_stride, alpha_stride) = (352, 192, 336);
    for n in 0..5 {
        let pad = |plane: &[u8], width: usize, stride: usize| -> Vec<u8> {
            let row = |row: &[u8]| {
                let mut row = row.to_vec();
                row.resize(stride, 77);
                row
            };
            plane.chunks(width).flat_map(row).collect()
        };
        let chroma = |value| pad(&vec![value; WIDTH * HEIGHT / 4], WIDTH / 2, chroma_stride);
        // Alpha first, then V, U, Y.
        let planes = [
            pad(&alpha_of(n), WIDTH, alpha_stride),
            chroma(180),
            chroma(64),
            pad(&luma_of(n), WIDTH, luma_stride),
        ];
        let mut offsets = [0; 4];
        for index in 1..4 {
            offsets[index] = offsets[index - 1] + planes[index - 1].len();
        }
        let mut buffer = gst::Buffer::new();
        let buffer_ref = buffer.get_mut().unwrap();
        for plane in planes {
            buffer_ref.append_memory(gst::Memory::from_slice(plane));
        }
        buffer_ref.set_pts(gst::ClockTime::from_nseconds(time_of(n)));
        gst_video::VideoMeta::add_full(
            buffer_ref,
            gst_video::VideoFrameFlags::empty(),
            gst_video::VideoFormat::A420,
            WIDTH as u32,
            HEIGHT as u32,
            &[offsets[3], offsets[2], offsets[1], offsets[0]],
            &[luma_stride as i32, chroma_stride as i32, chroma_stride as i32, alpha_stride as i32],
        )
        .unwrap();
        source.push_buffer(buffer).unwrap();
    }
    source.end_of_stream().unwrap();
    run(&pipeline).unwrap();
    for (picture, n) in decode(&file).iter().zip(0..) {
        assert!(psnr(&picture.alpha, &alpha_of(n)) > 38.0);
        assert!(psnr(&picture.luma, &luma_of(n)) > 30.0);
    }
}

/// A buffer that claims more than it holds is an error, not a read past its end.
#[test]
fn a_short_buffer_is_an_error() {
    let pipeline = launch("appsrc name=v ! vp9alphaenc ! fakesink");
    let source = source_of(&pipeline);
    source.push_buffer(timed(vec![0; 5000], 0)).unwrap();
    source.end_of_stream().unwrap();
    let error = run(&pipeline).unwrap_err();
    assert!(error.contains("the buffer holds 5000"), "{error}");
}

/// A live stream whose sound stops must not stop the picture.
#[test]
fn a_live_gap_stalls_nothing() {
    let pipeline = launch(
        "videotestsrc is-live=true num-buffers=20 ! \
         video/x-raw,format=A420,width=160,height=120,framerate=30/1 ! \
         vp8alphaenc deadline=realtime cpu-used=8 ! queue ! webmalphamux name=m streamable=true ! \
         appsink name=sink sync=false \
         appsrc name=s is-live=true format=time do-timestamp=true ! \
         audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=1 ! opusenc ! queue ! m.",
    );
    let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
    let sound = pipeline.by_name("s").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    // A fifth of a second of sound, then none and no end.
    for _ in 0..10 {
        sound.push_buffer(gst::Buffer::from_slice(vec![0u8; 1920])).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let mut pieces = 0;
    while pieces < 15 {
        let sample = sink.try_pull_sample(gst::ClockTime::from_seconds(10));
        assert!(sample.is_some(), "stalled after {pieces} pieces");
        pieces += 1;
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

/// Writes frames with these mattes and reads them back with ffmpeg; the worst of all pixels.
fn worst_alpha(codec: &str, name: &str, matte: impl Fn(usize, usize, u64) -> u8) -> Option<u8> {
    const FRAMES: u64 = 40;
    let file = path(&format!("alpha-{name}-{codec}.webm"));
    let pipeline = launch(&format!(
        "appsrc name=v ! {codec}alphaenc ! webmalphamux ! filesink location={}",
        file.display()
    ));
    let source = source_of(&pipeline);
    let mattes: Vec<Vec<u8>> = (0..FRAMES)
        .map(|n| (0..WIDTH * HEIGHT).map(|at| matte(at % WIDTH, at / WIDTH, n)).collect())
        .collect();
    for (n, matte) in (0..).zip(&mattes) {
        let mut frame = a420(n);
        frame.truncate(WIDTH * HEIGHT * 3 / 2);
        frame.extend(matte);
        source.push_buffer(timed(frame, n)).unwrap();
    }
    source.end_of_stream().unwrap();
    run(&pipeline).unwrap();
    let frames = by_ffmpeg(name, codec, &file)?;
    assert_eq!(frames.len() as u64, FRAMES);
    let got = frames.iter().map(|frame| &frame[WIDTH * HEIGHT * 3 / 2..]);
    got.zip(&mattes).flat_map(|(got, want)| got.iter().zip(want).map(|(g, w)| g.abs_diff(*w))).max()
}

#[test]
fn hard_edges_keep_their_alpha() {
    for codec in ["vp8", "vp9"] {
        // Bars, one of them three pixels wide, at rest and by whole and by uneven steps.
        for (name, speed) in [("still", 0), ("moving", 3), ("uneven", 7)] {
            let bars = |x: usize, y: usize, n: u64| {
                let at = 40 + (n * speed / 2) as usize;
                let there = (at..at + 60).contains(&x) || (at + 80..at + 83).contains(&x);
                if there && (30..200).contains(&y) { 255 } else { 0 }
            };
            if let Some(worst) = worst_alpha(codec, name, bars) {
                assert!(worst <= 8, "{codec}, {name}: off by {worst}");
            }
        }
    }
}
