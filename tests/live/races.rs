//! What an application does while a frame is on its way: set properties, seek, stop, from any thread.

use crate::common::onnx::{Onnx, Type};
use crate::common::*;
use crate::stream::*;
use gst::prelude::*;
use gst_video::VideoFormat;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// A mask that is one of the colour channels.
fn channel(c: usize) -> Onnx {
    let mut weights = [0.0; 3];
    weights[c] = 1.0;
    Onnx::new()
        .input("x", Type::F32, &[1, 3, 36, 64])
        .f32s("w", &[1, 3, 1, 1], &weights)
        .op("Conv", "x w", "y")
        .output("y", Type::F32, &[1, 1, 36, 64])
}

/// Does something in a thread of its own; fails the test when it takes so long that it can only be a deadlock.
fn in_time(what: &str, f: impl FnOnce() + Send + 'static) {
    let (tx, rx) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        f();
        let _ = tx.send(());
    });
    match rx.recv_timeout(Duration::from_secs(60)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: it does not come back"),
        _ => thread.join().unwrap_or_else(|e| std::panic::resume_unwind(e)),
    }
}

fn set_all(element: &gst::Element) {
    for (name, value) in [
        ("inference-mode", "async"),
        ("inference-mode", "sync"),
        ("matte-delay", "100000000"),
        ("matte-delay", "0"),
        ("background", "red"),
        ("background", "transparent"),
        ("edge-shift", "2"),
        ("model-options", "options,fit=stretch,activation=none"),
        ("resolution", "64"),
        ("inference-timeout", "0"),
    ] {
        element.set_property_from_str(name, value);
    }
}

#[test]
fn properties_do_not_wait_for_the_network() {
    // A minute, if nobody ends it.
    let mut stream = Stream::file(&network(1024, 1000), &[("inference-timeout", "0")]);
    let element = stream.element.clone();
    std::thread::scope(|scope| {
        let pusher = push_and_wait(scope, &mut stream);
        set_all(&element);
        for property in element.list_properties().iter() {
            element.property_value(property.name());
        }
        assert!(!pusher.is_finished(), "the network has ended by itself");
        element.set_state(gst::State::Null).unwrap();
        assert!(pusher.join().unwrap().is_err());
    });
}

#[test]
fn who_hears_a_message_may_set_properties() {
    in_time("a handler", || {
        let props = [("inference-mode", "sync"), ("on-error", "hide"), ("scene-detection", "false")];
        let mut stream = Stream::new(&fragile(), &props);
        let heard = Arc::new(AtomicUsize::new(0));
        let (element, count) = (stream.element.downgrade(), heard.clone());
        stream.bus.set_sync_handler(move |_, message| {
            if let (gst::MessageType::Warning, Some(element)) = (message.type_(), element.upgrade()) {
                count.fetch_add(1, Ordering::SeqCst);
                element.set_property_from_str("matte-delay", "0");
                element.set_property_from_str("edge-shift", "1");
                element.set_property_from_str("background", "transparent");
                element.set_property_from_str("inference-mode", "sync");
            }
            gst::BusSyncReply::Pass
        });
        let frame = stream.half();
        stream.through(frame);
        // A failing network.
        let n = stream.info.size();
        let bad = stream.stamp(vec![250; n]);
        stream.through(bad);
        assert_eq!(heard.load(Ordering::SeqCst), 1);
        // A network that cannot be used.
        stream.element.set_property("model", "/nowhere/x.onnx");
        let start = Instant::now();
        while heard.load(Ordering::SeqCst) < 2 {
            assert!(start.elapsed() < Duration::from_secs(20), "no warning");
            let frame = stream.half();
            stream.through(frame);
        }
        assert!(stream.element.property::<String>("model").ends_with("x.onnx"));
        assert!(!stream.element.property::<String>("model").starts_with("/nowhere"));
        // An output that nothing downstream takes.
        let rgba = gst_video::VideoCapsBuilder::new().format(VideoFormat::Rgba).build();
        stream.harness.set_sink_caps(rgba);
        stream.element.set_property_from_str("output", "matte");
        assert_eq!(heard.load(Ordering::SeqCst), 3);
    });
}

#[test]
fn a_seek_does_not_take_a_run_that_it_ends_for_one_that_hangs() {
    // A run that cannot be ended: one operator.
    let mut stream = Stream::file(&network(2600, 1), &[]);
    let element = stream.element.clone();
    std::thread::scope(|scope| {
        let pusher = push_and_wait(scope, &mut stream);
        let sink = element.static_pad("sink").unwrap();
        assert!(sink.send_event(gst::event::FlushStart::new()));
        assert!(pusher.join().unwrap().is_err());
    });
    assert!(stream.harness.push_event(gst::event::FlushStop::new(true)));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(stream.harness.push_event(gst::event::Segment::new(&segment)));
    while stream.harness.try_pull().is_some() {}
    let frame = stream.half();
    assert_eq!(stream.through(frame), [255, 0]);
    assert!(stream.bus.pop_filtered(&[gst::MessageType::Error]).is_none());
}

#[test]
fn a_hang_is_told_also_after_a_flush() {
    let mut stream = Stream::new(&endless(), &[("inference-timeout", "100000000")]);
    let frame = stream.half();
    stream.harness.push(frame).unwrap();
    // Longer than a run may take.
    std::thread::sleep(Duration::from_millis(150));
    flush(&mut stream.harness);
    let start = Instant::now();
    while stream.stat("failures") == 0 {
        assert!(start.elapsed() < Duration::from_secs(2), "nothing is said of it");
        let frame = stream.half();
        stream.harness.push(frame).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(stream.warnings()[0].0, "inference-failed");
}

#[test]
fn frames_do_not_each_wait_for_a_network_that_nobody_knows() {
    let mut stream = Stream::new(&network(512, 100), &[]);
    for _ in 0..31 {
        let frame = stream.half();
        stream.through(frame);
    }
    let median = stream.stat("frame-p50");
    let start = Instant::now();
    while stream.stat("inferences") == 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "no inference ends");
        std::thread::sleep(Duration::from_millis(20));
        let frame = stream.half();
        stream.through(frame);
    }
    let inference = stream.stat("inference-p50");
    assert!(
        median < inference / 8,
        "half of the frames took more than {median} ns, an inference {inference} ns"
    );
}

#[test]
fn a_stop_does_not_wait_for_a_run_that_cannot_be_ended() {
    let took = |_| {
        let mut stream = Stream::new(&endless(), &[]);
        let frame = stream.half();
        stream.harness.push(frame).unwrap();
        // It has begun.
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(stream.stat("inferences"), 0, "the run has come to its end");
        let start = Instant::now();
        stream.element.set_state(gst::State::Null).unwrap();
        start.elapsed()
    };
    let mut all: Vec<_> = (0..3).map(took).collect();
    all.sort();
    // The machine may be busy now and then.
    assert!(all[1] < Duration::from_millis(200), "it took {all:?}");
}

#[test]
fn the_last_model_that_was_set_takes_over() {
    let mut stream = Stream::file(&channel(0), &[("temporal-smoothing", "0")]);
    let folder = tempfile::tempdir().unwrap();
    let models = [0, 1].map(|c| channel(c).save(folder.path(), &format!("{c}.onnx")).display().to_string());
    // Red at the left, green at the right.
    let mut picture = vec![0; stream.info.size()];
    for row in picture.chunks_exact_mut(stream.info.stride()[0] as usize) {
        for (x, pixel) in row.chunks_exact_mut(3).take(320).enumerate() {
            pixel.copy_from_slice(if x < 160 { &[255, 0, 0] } else { &[0, 255, 0] });
        }
    }
    let sides = [[255, 0], [0, 255]];
    let mut state = 1u64;
    for round in 0..150usize {
        let (stop, element) = (AtomicBool::new(false), stream.element.clone());
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let pause = Duration::from_micros(state >> 54);
        std::thread::scope(|scope| {
            let setter = scope.spawn(|| {
                for k in 0..=round % 3 {
                    element.set_property("model", &models[(round + k) % 2]);
                    std::thread::sleep(pause);
                }
                stop.store(true, Ordering::SeqCst);
            });
            while !stop.load(Ordering::SeqCst) {
                // New caps ask for networks, too.
                if round % 4 == 0 {
                    let (w, h) = [(320, 180), (160, 180)][stream.n as usize % 2];
                    let other = info(VideoFormat::Rgb, w, h);
                    stream.harness.set_src_caps(other.to_caps().unwrap());
                    let frame = stream.stamp(vec![0; other.size()]);
                    stream.harness.push(frame).unwrap();
                } else {
                    let frame = stream.stamp(picture.clone());
                    stream.harness.push(frame).unwrap();
                }
                stream.harness.pull().unwrap();
            }
            setter.join().unwrap();
        });
        stream.harness.set_src_caps(stream.info.to_caps().unwrap());
        let wanted = sides[(round + round % 3) % 2];
        let start = Instant::now();
        loop {
            let frame = stream.stamp(picture.clone());
            if stream.through(frame) == wanted {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "round {round}: the last model never came");
        }
    }
}

#[test]
fn odd_numbers_do_no_harm() {
    let stream = |props: &[(&str, &str)]| Stream::new(&network(0, 0), props);
    let mut s = stream(&[("max-inference-rate", "1e-300")]);
    for _ in 0..3 {
        let frame = s.half();
        s.through(frame);
    }
    // Times at the end of the range, and back.
    let mut s = stream(&[("matte-delay", "10000000000")]);
    for pts in [0, u64::MAX - 1, u64::MAX - 2, 1, u64::MAX - 1] {
        let mut frame = s.half();
        frame.get_mut().unwrap().set_pts(gst::ClockTime::from_nseconds(pts));
        s.harness.push(frame).unwrap();
    }
    assert!(s.harness.push_event(gst::event::Eos::new()));
    assert_eq!(s.stat("frames-out"), 5);
    // Frames that last for years, or no time at all.
    for fps in [gst::Fraction::new(1, i32::MAX), gst::Fraction::new(i32::MAX, 1), gst::Fraction::new(0, 1)] {
        let mut s = stream(&[("matte-delay", "30000000")]);
        s.info = gst_video::VideoInfo::builder(VideoFormat::Rgb, 320, 180).fps(fps).build().unwrap();
        s.harness.set_src_caps(s.info.to_caps().unwrap());
        for _ in 0..3 {
            let frame = s.half();
            s.harness.push(frame).unwrap();
            std::thread::sleep(Duration::from_millis(40));
        }
        assert!(s.harness.push_event(gst::event::Eos::new()));
        assert_eq!(s.stat("frames-out"), 3, "{fps}");
    }
}

#[test]
fn frames_that_are_held_back_do_not_starve_upstream() {
    // By a delay that a slow network needs, and by frames that are looked ahead at however quick it is.
    starves_nobody(Stream::new(&network(512, 100), &[("matte-delay", "1000000000")]));
    starves_nobody(Stream::new(&network(0, 0), &[("inference-mode", "sync"), ("lookahead", "8")]));
}

/// Pushes frames of a pool that has only four.
fn starves_nobody(mut stream: Stream) {
    let pool = gst::BufferPool::new();
    let mut config = pool.config();
    config.set_params(stream.info.to_caps().ok().as_ref(), stream.info.size() as u32, 4, 4);
    pool.set_config(config).unwrap();
    pool.set_active(true).unwrap();
    for n in 0..40u64 {
        let params = gst::BufferPoolAcquireParams::with_flags(gst::BufferPoolAcquireFlags::DONTWAIT);
        let mut buffer = pool.acquire_buffer(Some(&params)).unwrap_or_else(|e| panic!("frame {n}: {e:?}"));
        {
            let b = buffer.get_mut().unwrap();
            b.set_pts(gst::ClockTime::SECOND * n / 30);
            b.map_writable().unwrap().fill(90);
        }
        stream.harness.push(buffer).unwrap();
        while stream.harness.try_pull().is_some() {}
    }
    pool.set_active(false).unwrap();
}

#[test]
fn upstream_gets_its_frames_back_when_it_asks() {
    let mut stream = Stream::new(&slow(), &[("matte-delay", "1000000000")]);
    for _ in 0..5 {
        let frame = stream.half();
        stream.harness.push(frame).unwrap();
    }
    assert!(stream.stat("frames-out") < 5, "none is held back");
    stream.element.static_pad("sink").unwrap().query(&mut gst::query::Drain::new());
    assert_eq!(stream.stat("frames-out"), 5);
}

#[test]
fn a_new_stream_is_asked_whether_it_is_live() {
    let mut stream = Stream::new(&network(256, 40), &[]);
    let frame = stream.half();
    stream.through(frame);
    stream.harness.set_live(false);
    assert!(stream.harness.push_event(gst::event::StreamStart::new("another")));
    assert!(stream.harness.push_event(gst::event::Caps::new(&stream.info.to_caps().unwrap())));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(stream.harness.push_event(gst::event::Segment::new(&segment)));
    let before = stream.stat("inferences");
    for _ in 0..5 {
        let frame = stream.half();
        assert_eq!(stream.through(frame), [255, 0]);
    }
    assert!(stream.stat("inferences") >= before + 5, "each frame of a file has its own mask");
}

#[test]
fn properties_may_be_set_while_it_stops() {
    in_time("setting and stopping", || {
        init();
        let folder = tempfile::tempdir().unwrap();
        let path = |c: usize| channel(c).save(folder.path(), &format!("{c}.onnx"));
        let models = [path(0), path(1)];
        let element = gst::ElementFactory::make("bgremove")
            .property("model", models[0].display().to_string())
            .property_from_str("model-options", "options,fit=stretch,activation=none")
            .build()
            .unwrap();
        let pipeline = Running(gst::Pipeline::new());
        let line =
            "videotestsrc is-live=true ! capsfilter caps=video/x-raw,width=160,height=120,framerate=120/1";
        let source = gst::parse::bin_from_description(line, true).unwrap();
        let sink = gst::ElementFactory::make("fakesink").property("sync", false).build().unwrap();
        pipeline.add_many([source.upcast_ref(), &element, &sink]).unwrap();
        gst::Element::link_many([source.upcast_ref(), &element, &sink]).unwrap();
        let stop = AtomicBool::new(false);
        let set = |model: &Path| element.set_property("model", model.display().to_string());
        std::thread::scope(|scope| {
            for k in 0..2 {
                let (stop, element, models) = (&stop, &element, &models);
                scope.spawn(move || {
                    let mut n = k;
                    while !stop.load(Ordering::SeqCst) {
                        set(&models[n % 2]);
                        set_all(element);
                        n += 1;
                        std::thread::sleep(Duration::from_millis(1));
                    }
                });
            }
            for round in 0..40u64 {
                pipeline.set_state(gst::State::Playing).unwrap();
                std::thread::sleep(Duration::from_millis(round * 7 % 50));
                pipeline.set_state([gst::State::Null, gst::State::Ready][round as usize % 2]).unwrap();
            }
            stop.store(true, Ordering::SeqCst);
        });
        let bus = pipeline.bus().unwrap();
        if let Some(e) = bus.pop_filtered(&[gst::MessageType::Error]) {
            panic!("{e:?}");
        }
    });
}

#[test]
fn a_stream_that_is_stuck_does_not_hold_up_another_one_of_its_network() {
    let props = [("inference-timeout", "0"), ("inference-mode", "sync")];
    let mut stuck = Stream::file(&onnx::slow_when_large(), &[&props[..], &[("resolution", "1500")]].concat());
    let model: String = stuck.element.property("model");
    let mut other = Stream::file(
        &onnx::slow_when_large(),
        &[&props[..], &[("resolution", "64"), ("model", model.as_str())]].concat(),
    );
    let element = stuck.element.clone();
    std::thread::scope(|scope| {
        let pusher = push_and_wait(scope, &mut stuck);
        let mut sides = Vec::new();
        for _ in 0..20 {
            let frame = other.half();
            sides.push(other.through(frame));
        }
        let late = pusher.is_finished();
        element.set_state(gst::State::Null).unwrap();
        let ended = pusher.join().unwrap();
        assert!(!late, "the other one waited for it");
        assert!(ended.is_err());
        assert!(sides.iter().all(|[left, right]| *left > 250 && *right < 5), "{sides:?}");
    });
}
