//! What the modes promise, what happens when a network fails, and what a live source does.

use crate::common::*;
use crate::stream::*;
use gst::prelude::*;
use gst_video::VideoFormat;
use std::path::Path;
use std::time::{Duration, Instant};

#[test]
fn live_frames_do_not_wait_and_nothing_shows_before_the_first_mask() {
    // About a second for the first mask.
    let mut stream = Stream::new(&network(512, 100), &[]);
    for n in 0..20 {
        let frame = stream.half();
        assert_eq!(stream.through(frame), [0, 0], "frame {n}");
    }
    assert_eq!(stream.stat("frames-out"), 20);
    assert_eq!(stream.stat("frames-hidden"), 20);
    assert_eq!(stream.stat("inferences"), 0);
    // It comes in the end, and serves from then on.
    let start = Instant::now();
    loop {
        let frame = stream.half();
        let sides = stream.through(frame);
        if sides == [255, 0] {
            break;
        }
        assert_eq!(sides, [0, 0]);
        assert!(start.elapsed() < Duration::from_secs(60), "no mask at all");
        std::thread::sleep(Duration::from_millis(30));
    }
    assert!(stream.stat("inferences") < stream.stat("frames-out") / 3);
    assert!(stream.stat("masks-reused") >= 1 && stream.stat("mask-age-max") > 0);
}

#[test]
fn a_fast_network_keeps_up_with_a_live_stream() {
    let mut stream = Stream::new(&network(0, 0), &[]);
    for n in 0..30 {
        let frame = stream.half();
        let sides = stream.through(frame);
        // A frame waits a while for its own mask when it is about to come.
        assert!(sides == [255, 0] || (n == 0 && sides == [0, 0]), "frame {n}: {sides:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn files_wait_for_each_mask() {
    let mut stream = Stream::file(&network(256, 40), &[]);
    for _ in 0..5 {
        let frame = stream.half();
        assert_eq!(stream.through(frame), [255, 0]);
    }
    assert_eq!(stream.stat("inferences"), 5);
    assert_eq!(stream.stat("masks-reused"), 0);
}

#[test]
fn a_wait_ends_with_a_flush_and_with_the_state() {
    for flush in [true, false] {
        // A minute, if nobody ends it; in few steps, which are loaded soon.
        let mut stream = Stream::file(&network(1024, 1000), &[("inference-timeout", "0")]);
        let frame = stream.half();
        let (element, thread) = (stream.element.clone(), this_thread());
        let ender = std::thread::spawn(move || {
            until_it_waits(&element, thread);
            let start = Instant::now();
            if flush {
                let sink = element.static_pad("sink").unwrap();
                assert!(sink.send_event(gst::event::FlushStart::new()));
            } else {
                element.set_state(gst::State::Null).unwrap();
            }
            start.elapsed()
        });
        let pushed = stream.harness.push(frame);
        assert!(pushed.is_err(), "the frame cannot have gone through");
        let took = ender.join().unwrap();
        // The promise is a fifth of a second; the machine may be busy.
        assert!(took < Duration::from_secs(2), "it took {took:?}");
    }
}

#[test]
fn an_inference_that_takes_too_long_follows_the_policy() {
    let late = ("inference-timeout", "60000000");
    for (policy, sides) in [("hide", [0, 0]), ("passthrough", [255, 255]), ("hold", [0, 0])] {
        let mut stream = Stream::file(&slow(), &[late, ("on-error", policy)]);
        for _ in 0..3 {
            let frame = stream.half();
            assert_eq!(stream.through(frame), sides, "{policy}");
        }
        let hidden = if policy == "passthrough" { 0 } else { 3 };
        assert_eq!(stream.stat("frames-hidden"), hidden, "{policy}: what goes out whole is not hidden");
        let warnings = stream.warnings();
        assert_eq!(warnings.len(), 1, "one a second: {warnings:?}");
        assert_eq!(warnings[0].0, "inference-failed");
        assert!(warnings[0].1.contains("inference-timeout"), "{warnings:?}");
        assert_eq!(stream.stat("failures"), 3);
    }
    let mut stream = Stream::file(&slow(), &[late]);
    let frame = stream.half();
    assert_eq!(stream.harness.push(frame), Err(gst::FlowError::Error));
    let error = stream.bus.pop_filtered(&[gst::MessageType::Error]).expect("an error");
    let gst::MessageView::Error(e) = error.view() else { unreachable!() };
    assert!(e.error().message().contains("inference-timeout"), "{}", e.error());
}

#[test]
fn a_network_that_fails_follows_the_policy() {
    let good = |s: &mut Stream| s.half();
    let bad = |s: &mut Stream| {
        let n = s.info.size();
        s.stamp(vec![250; n])
    };
    for (policy, while_failing) in
        [("hide", [0, 0]), ("passthrough", [255, 255]), ("hold", [255, 0]), ("auto", [0, 0])]
    {
        // Live, where `auto` hides.
        let props = [("on-error", policy), ("inference-mode", "sync"), ("scene-detection", "false")];
        let mut stream = Stream::new(&fragile(), &props);
        let frame = good(&mut stream);
        assert_eq!(stream.through(frame), [255, 0]);
        let frame = bad(&mut stream);
        assert_eq!(stream.through(frame), while_failing, "{policy}");
        assert_eq!(stream.warnings()[0].0, "inference-failed");
        let frame = good(&mut stream);
        assert_eq!(stream.through(frame), [255, 0], "it recovers");
    }
    let mut stream = Stream::file(&fragile(), &[]);
    let frame = bad(&mut stream);
    assert_eq!(stream.harness.push(frame), Err(gst::FlowError::Error), "a file stops");
}

#[test]
fn what_is_taken_in_ready_stays_as_it_is_above_it() {
    let mut stream = Stream::file(&network(0, 0), &[("job-id", "first")]);
    let frame = stream.half();
    assert_eq!(stream.through(frame), [255, 0]);
    let text = |element: &gst::Element, name: &str| {
        element.property_value(name).transform::<String>().unwrap().get::<Option<String>>().unwrap()
    };
    let others = [
        ("execution-provider", "openvino"),
        ("device", "1"),
        ("threads", "3"),
        ("job-id", "second"),
        ("write-tags", "true"),
    ];
    for (name, other) in others {
        let before = text(&stream.element, name);
        stream.element.set_property_from_str(name, other);
        assert_eq!(text(&stream.element, name), before, "{name}");
        let warnings = stream.warnings();
        let said = format!("{name} is taken in READY; it stays as it is");
        assert!(warnings.len() == 1 && warnings[0].1.contains(&said), "{warnings:?}");
        // What changes nothing is no reason for a warning: a preset sets all of them.
        let value = stream.element.property_value(name);
        stream.element.set_property_from_value(name, &value);
        assert!(stream.warnings().is_empty(), "{name}");
    }
    let job: String = stream.element.property::<gst::Structure>("stats").get("job-id").unwrap();
    assert_eq!(job, "first");
    stream.element.set_state(gst::State::Ready).unwrap();
    for (name, other) in others {
        let before = text(&stream.element, name);
        stream.element.set_property_from_str(name, other);
        assert_ne!(text(&stream.element, name), before, "{name}");
    }
    assert!(stream.warnings().is_empty());
}

#[test]
fn intervals_rates_and_likeness_save_inferences() {
    let count = |props: &[(&str, &str)], frames: u64| {
        let mut stream = Stream::file(&network(0, 0), props);
        for _ in 0..frames {
            let frame = stream.half();
            assert_eq!(stream.through(frame), [255, 0]);
        }
        (stream.stat("inferences"), stream.stat("masks-reused"))
    };
    assert_eq!(count(&[("inference-interval", "4")], 21), (6, 15));
    assert_eq!(count(&[("max-inference-rate", "10")], 31), (11, 20));
    assert_eq!(count(&[("reuse-threshold", "0.01")], 21), (1, 20));
    assert_eq!(count(&[], 21), (21, 0));
    // A part of the picture changes.
    let mut stream = Stream::file(&network(0, 0), &[("reuse-threshold", "0.01")]);
    for n in 0..6 {
        let frame = stream.frame(move |x, y| x < 160.0 && !(n >= 3 && x < 20.0 && y < 20.0));
        stream.through(frame);
    }
    assert_eq!(stream.stat("inferences"), 2);
}

#[test]
fn a_mask_follows_what_moves() {
    let mut stream = Stream::file(&network(0, 0), &[("inference-interval", "8")]);
    let mut off = 0.0f32;
    for n in 0..24 {
        let right = 60.0 + 6.0 * n as f32;
        // A subject with a pattern of its own, which moves with it.
        let (w, h, stride) = (320, 180, stream.info.stride()[0] as usize);
        let mut data = vec![0; stream.info.size()];
        for y in 0..h {
            for x in 0..w {
                let (fx, fy) = (x as f32, y as f32);
                let subject = fx < right && fx > right - 50.0;
                let own = ((fx - right) * 0.5).sin() * 40.0 + (fy * 0.37).sin() * 40.0;
                let pixel = if subject { [100, (160.0 + own) as u8 | 0xc0, 90] } else { [20, 0, 20] };
                data[y * stride + 3 * x..][..3].copy_from_slice(&pixel);
            }
        }
        let frame = stream.stamp(data);
        stream.harness.push(frame).unwrap();
        let out = stream.harness.pull().unwrap();
        let map = out.map_readable().unwrap();
        let last = (0..w).rev().find(|x| map[(90 * w + x) * 4 + 3] > 100).unwrap_or(0) as f32;
        off = off.max((last - right).abs());
    }
    // A cell of the mask is five pixels; left where it was, the mask would be 42 behind.
    assert!(off <= 9.0, "the edge is up to {off} pixels off");
}

#[test]
fn a_cut_ends_an_old_mask() {
    let mut stream = Stream::new(&network(512, 30), &[]);
    let start = Instant::now();
    loop {
        let frame = stream.half();
        if stream.through(frame) == [255, 0] {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
    // Another picture: grey all over.
    let n = stream.info.size();
    let other = stream.stamp(vec![120; n]);
    let [left, right] = stream.through(other);
    assert_eq!(left, right, "the mask of another picture");
    assert!(stream.stat("cuts") >= 1);
}

#[test]
fn held_frames_meet_their_own_matte_and_all_come_out() {
    // About a frame's length a run: without a delay, masks are a frame or more old.
    let run = |delay: &str| {
        let mut stream = Stream::new(&network(384, 24), &[("matte-delay", delay)]);
        let mut out = 0;
        for n in 0..40 {
            let frame = stream.half();
            stream.harness.push(frame).unwrap();
            while stream.harness.buffers_in_queue() > 0 {
                let buffer = stream.harness.pull().unwrap();
                assert_eq!(buffer.pts(), Some(gst::ClockTime::SECOND * out / 30), "in order");
                out += 1;
            }
            assert!(out <= n + 1);
            std::thread::sleep(Duration::from_millis(33));
        }
        let latency = stream.latency();
        assert!(stream.harness.push_event(gst::event::Eos::new()));
        while stream.harness.buffers_in_queue() > 0 {
            stream.harness.pull().unwrap();
            out += 1;
        }
        assert_eq!(out, 40, "none is kept at the end");
        (latency, stream.stat("masks-reused") + stream.stat("frames-hidden"))
    };
    let (short, without) = run("0");
    let (long, with) = run("300000000");
    assert!(long >= gst::ClockTime::from_mseconds(300) && short < long, "{short} {long}");
    assert!(with < without || without == 0, "{with} of 40 not their own, {without} without delay");
}

#[test]
fn a_live_stream_that_is_too_slow_in_sync_mode_says_so() {
    let mut stream = Stream::new(&network(0, 0), &[("inference-mode", "sync")]);
    let frame = stream.half();
    stream.through(frame);
    // Downstream says that all of the next second is too late.
    let qos = gst::event::Qos::new(
        gst::QOSType::Underflow,
        2.0,
        gst::ClockTime::SECOND.nseconds() as i64,
        gst::ClockTime::ZERO,
    );
    assert!(stream.harness.push_upstream_event(qos));
    for _ in 0..10 {
        let frame = stream.half();
        stream.harness.push(frame).unwrap();
    }
    assert_eq!(stream.stat("frames-dropped"), 10);
    assert_eq!(stream.stat("inferences"), 1, "dropped before inference");
    let warnings = stream.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].0, "falling-behind");
    assert!(warnings[0].1.contains("inference-mode=async"), "{warnings:?}");
}

#[test]
fn a_live_stream_that_is_too_slow_says_so_also_where_nothing_asks_it_to_drop() {
    let mut stream = Stream::new(&network(1024, 6), &[("inference-mode", "sync")]);
    for _ in 0..9 {
        let frame = stream.half();
        stream.through(frame);
    }
    assert_eq!(stream.warnings(), [], "a few may be slow");
    let late = stream.stat("frames-late");
    for _ in 0..3 {
        let frame = stream.half();
        stream.through(frame);
    }
    assert_eq!(stream.stat("frames-late"), 12, "{late} of the first nine");
    let warnings = stream.warnings();
    assert!(!warnings.is_empty() && warnings.iter().all(|w| w.0 == "falling-behind"), "{warnings:?}");
    assert!(warnings[0].1.contains("inference-mode=async") && warnings[0].1.contains("qos"), "{warnings:?}");
}

/// A stream on OpenVINO that has got a frame on which that fails; with what was said then.
fn failed_on_openvino(
    test: &str,
    network: &onnx::Onnx,
    provider: &str,
) -> Option<(Stream, Vec<(String, String)>)> {
    init();
    let runtime = gstbgremove::runtime::open(None).unwrap();
    if !gstbgremove::runtime::Provider::OpenVino.is_available() {
        skip::skip(test, &format!("{} has no OpenVINO (make runtime-openvino)", runtime.path.display()));
        return None;
    }
    let props = [("execution-provider", provider), ("inference-mode", "sync"), ("scene-detection", "false")];
    let mut stream = Stream::new(network, &props);
    let frame = stream.half();
    assert_eq!(stream.through(frame), [255, 0]);
    assert_eq!(stream.element.property::<String>("active-execution-provider"), "openvino (CPU)");
    let n = stream.info.size();
    let bad = stream.stamp(vec![250; n]);
    stream.through(bad);
    let warnings = stream.warnings();
    if warnings.is_empty() {
        // Where OpenVINO lets the index pass, nothing fails.
        skip::skip(test, "OpenVINO does not fail on this network");
        return None;
    }
    Some((stream, warnings))
}

#[test]
fn a_provider_that_fails_is_replaced_by_the_cpu() {
    const TEST: &str = "a_provider_that_fails_is_replaced_by_the_cpu";
    // So large a file that `auto` takes it elsewhere than to the CPU.
    let large = fragile().f32s("unused", &[600_000], &vec![1.0; 600_000]);
    let Some((mut stream, warnings)) = failed_on_openvino(TEST, &large, "auto") else { return };
    assert_eq!(warnings[0].0, "provider-failed", "{warnings:?}");
    assert_eq!(stream.element.property::<String>("active-execution-provider"), "cpu");
    let frame = stream.half();
    assert_eq!(stream.through(frame), [255, 0]);
}

#[test]
fn a_provider_that_was_asked_for_is_not_replaced() {
    const TEST: &str = "a_provider_that_was_asked_for_is_not_replaced";
    let Some((mut stream, warnings)) = failed_on_openvino(TEST, &fragile(), "openvino") else { return };
    // It is as `on-error` says.
    assert_eq!(warnings[0].0, "inference-failed", "{warnings:?}");
    assert_eq!(stream.element.property::<String>("active-execution-provider"), "openvino (CPU)");
    let frame = stream.half();
    assert_eq!(stream.through(frame), [255, 0]);
}

#[test]
fn caps_flushes_and_gaps_are_survived() {
    let mut stream = Stream::new(&network(384, 10), &[("matte-delay", "100000000")]);
    for round in 0..12 {
        let format = [VideoFormat::Rgb, VideoFormat::I420, VideoFormat::Nv12][round % 3];
        let (w, h) = [(320, 180), (160, 120), (322, 182)][round / 3 % 3];
        stream.info = info(format, w, h);
        stream.harness.set_src_caps(stream.info.to_caps().unwrap());
        for k in 0..5 {
            let n = stream.info.size();
            let mut buffer = stream.stamp(vec![90; n]);
            if k == 2 {
                buffer.get_mut().unwrap().set_flags(gst::BufferFlags::DISCONT);
                // The clock jumps, once ahead and once back.
                stream.n = if round % 2 == 0 { stream.n + 3000 } else { stream.n.saturating_sub(2000) };
            }
            stream.harness.push(buffer).unwrap();
            if k == 3 {
                let gap = gst::event::Gap::builder(gst::ClockTime::SECOND * stream.n / 30).build();
                assert!(stream.harness.push_event(gap));
            }
        }
        if round % 4 == 3 {
            flush(&mut stream.harness);
        }
        while stream.harness.buffers_in_queue() > 0 {
            stream.harness.pull().unwrap();
        }
    }
    assert!(stream.harness.push_event(gst::event::Eos::new()));
    assert!(stream.bus.pop_filtered(&[gst::MessageType::Error]).is_none());
    let (dropped, out) = (stream.stat("frames-dropped"), stream.stat("frames-out"));
    assert!(out + dropped <= 60 && out >= 40, "{out} of 60 out, {dropped} dropped");
}

#[test]
fn another_frame_rate_is_no_other_picture() {
    let mut stream = Stream::new(&network(1024, 12), &[]);
    let begin = std::time::Instant::now();
    loop {
        let frame = stream.half();
        if stream.through(frame) == [255, 0] {
            break;
        }
        assert!(begin.elapsed().as_secs() < 60, "no mask comes");
        // As fast as the stream's own time goes: a mask that is older than a few inferences does not serve.
        std::thread::sleep(std::time::Duration::from_millis(33));
    }
    let hidden = stream.stat("frames-hidden");
    for rate in [15, 25, 0] {
        let caps = stream.info.to_caps().unwrap();
        let mut caps = caps.copy();
        caps.make_mut().set("framerate", gst::Fraction::new(rate, 1));
        stream.harness.set_src_caps(caps);
        let frame = stream.half();
        assert_eq!(stream.through(frame), [255, 0], "{rate} frames/s");
    }
    assert_eq!(stream.stat("frames-hidden"), hidden);
}

#[test]
fn the_latency_is_told() {
    let mut stream = Stream::new(&network(0, 0), &[("matte-delay", "80000000")]);
    let frame = stream.half();
    stream.harness.push(frame).unwrap();
    assert!(stream.latency() >= gst::ClockTime::from_mseconds(80));
    while stream.bus.pop_filtered(&[gst::MessageType::Latency]).is_some() {}
    stream.element.set_property("matte-delay", 0u64);
    assert!(stream.bus.pop_filtered(&[gst::MessageType::Latency]).is_some(), "a change is told");
    assert!(stream.latency() < gst::ClockTime::from_mseconds(80));
    // In sync mode frames are not held back.
    stream.element.set_property("matte-delay", 80_000_000u64);
    stream.element.set_property_from_str("inference-mode", "sync");
    assert!(stream.latency() < gst::ClockTime::from_mseconds(80));
}

#[test]
fn eight_elements_share_a_network() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let path = network(256, 10).save(folder.path(), "x.onnx");
    let run = |path: &Path| {
        let line = format!(
            "videotestsrc is-live=true num-buffers=30 ! video/x-raw,format=I420,width=160,height=120,framerate=30/1 ! \
             bgremove model={} model-options=\"options,fit=stretch,activation=none\" ! fakesink sync=true",
            path.display()
        );
        Running(gst::parse::launch(&line).unwrap().downcast().unwrap())
    };
    let before = threads("bgremove-netw");
    let all: Vec<Running> = (0..8).map(|_| run(&path)).collect();
    for pipeline in &all {
        pipeline.set_state(gst::State::Playing).unwrap();
    }
    for pipeline in &all {
        let bus = pipeline.bus().unwrap();
        let end = bus.timed_pop_filtered(
            gst::ClockTime::from_seconds(60),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        );
        assert_eq!(end.expect("an end").type_(), gst::MessageType::Eos);
    }
    drop(all);
    until("no thread is left", || threads("bgremove-netw") <= before);
}

#[test]
fn starts_and_stops_a_thousand_times() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let path = network(0, 0).save(folder.path(), "x.onnx");
    let element = gst::ElementFactory::make("bgremove")
        .property("model", path.display().to_string())
        .property_from_str("model-options", "options,fit=stretch,activation=none")
        .build()
        .unwrap();
    let before = threads("bgremove-netw");
    for _ in 0..1000 {
        element.set_state(gst::State::Playing).unwrap();
        element.set_state(gst::State::Null).unwrap();
    }
    assert!(threads("bgremove-netw") <= before + 12, "each start leaves a thread");
}
