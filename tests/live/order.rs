//! What happens to events, segments and downstream's buffers between the frames.

use crate::stream::*;
use gst::prelude::*;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What leaves the element: frames by their number, events by their type.
fn record(stream: &Stream) -> Arc<Mutex<Vec<String>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let own = seen.clone();
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    stream.element.static_pad("src").unwrap().add_probe(kinds, move |_, info| {
        let text = match (info.buffer(), info.event()) {
            (Some(b), _) => (b.pts().unwrap().nseconds() * 30).div_ceil(1_000_000_000).to_string(),
            (_, Some(e)) => e.type_().to_string(),
            _ => return gst::PadProbeReturn::Ok,
        };
        own.lock().unwrap().push(text);
        gst::PadProbeReturn::Ok
    });
    seen
}

fn title(text: &str) -> gst::Event {
    let mut tags = gst::TagList::new();
    tags.get_mut().unwrap().add::<gst::tags::Title>(&text, gst::TagMergeMode::Append);
    gst::event::Tag::new(tags)
}

fn segment(rate: f64) -> gst::Event {
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_rate(rate);
    segment.set_stop(gst::ClockTime::from_seconds(3600));
    gst::event::Segment::new(&segment)
}

/// Gives the element buffers of a pool that has only so many.
fn lend(stream: &Stream, buffers: u32) -> Arc<Mutex<Option<gst::BufferPool>>> {
    let lent = Arc::new(Mutex::new(None));
    let own = lent.clone();
    let src = stream.element.static_pad("src").unwrap();
    src.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM | gst::PadProbeType::PUSH, move |_, info| {
        let Some(query) = info.query_mut() else { return gst::PadProbeReturn::Ok };
        let gst::QueryViewMut::Allocation(q) = query.view_mut() else { return gst::PadProbeReturn::Ok };
        let caps = q.get_owned().0.unwrap();
        let size = gst_video::VideoInfo::from_caps(&caps).unwrap().size() as u32;
        let pool = gst::BufferPool::new();
        let mut config = pool.config();
        config.set_params(Some(&caps), size, buffers, buffers);
        pool.set_config(config).unwrap();
        q.add_allocation_pool(Some(&pool), size, buffers, buffers);
        *own.lock().unwrap() = Some(pool);
        gst::PadProbeReturn::Handled
    });
    src.send_event(gst::event::Reconfigure::new());
    lent
}

#[test]
fn events_wait_in_line_with_the_frames() {
    let mut stream = Stream::new(&slow(), &[("matte-delay", "1500000000")]);
    let seen = record(&stream);
    for n in 0..3 {
        let frame = stream.half();
        stream.harness.push(frame).unwrap();
        if n == 0 {
            // Its inference begins before another frame takes its turn.
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    let gap = gst::event::Gap::builder(gst::ClockTime::from_mseconds(100)).build();
    let custom = gst::event::CustomDownstream::new(gst::Structure::new_empty("test"));
    for event in [title("a"), custom, gap] {
        assert!(stream.harness.push_event(event));
    }
    for _ in 0..2 {
        let frame = stream.half();
        stream.harness.push(frame).unwrap();
    }
    let frames = |seen: &[String]| seen.iter().filter(|s| s.parse::<u64>().is_ok()).count();
    assert_eq!(frames(&seen.lock().unwrap()), 0, "the delay holds, whatever comes between: {seen:?}");
    assert!(stream.harness.push_event(gst::event::Eos::new()));
    let seen = seen.lock().unwrap();
    let from = seen.iter().position(|s| s == "0").unwrap();
    assert_eq!(seen[from..], ["0", "1", "2", "tag", "custom-downstream", "gap", "3", "4", "eos"]);
}

#[test]
fn a_gap_lets_frames_go_whose_time_has_come() {
    let mut stream = Stream::new(&slow(), &[("matte-delay", "10000000")]);
    let seen = record(&stream);
    let frame = stream.half();
    stream.harness.push(frame).unwrap();
    std::thread::sleep(Duration::from_millis(15));
    let gap = gst::event::Gap::builder(gst::ClockTime::from_mseconds(150)).build();
    assert!(stream.harness.push_event(gap));
    let seen = seen.lock().unwrap();
    assert_eq!(seen[seen.len() - 2..], ["0", "gap"], "{seen:?}");
}

#[test]
fn a_flush_keeps_what_stays_true() {
    let mut stream = Stream::new(&slow(), &[("matte-delay", "1000000000")]);
    let frame = stream.half();
    stream.harness.push(frame).unwrap();
    assert!(stream.harness.push_event(title("of the film")));
    assert!(stream.harness.push_event(gst::event::FlushStart::new()));
    assert!(stream.harness.push_event(gst::event::FlushStop::new(true)));
    let src = stream.element.static_pad("src").unwrap();
    let kept = src.sticky_event::<gst::event::Tag>(0).expect("a tag");
    assert_eq!(kept.tag().get::<gst::tags::Title>().unwrap().get(), "of the film");
}

#[test]
fn what_downstream_answers_to_drained_frames_reaches_upstream() {
    let mut stream = Stream::new(&slow(), &[("matte-delay", "1000000000")]);
    let frame = stream.half();
    stream.harness.push(frame).unwrap();
    let src = stream.element.static_pad("src").unwrap();
    src.add_probe(gst::PadProbeType::BUFFER, |_, info| {
        info.flow_res = Err(gst::FlowError::Eos);
        gst::PadProbeReturn::Handled
    });
    assert!(stream.harness.push_event(segment(1.0)));
    let frame = stream.half();
    assert_eq!(stream.harness.push(frame), Err(gst::FlowError::Eos));
}

#[test]
fn the_latency_is_what_is_really_held() {
    let mut stream = Stream::new(&slow(), &[("matte-delay", "10000000000")]);
    // 64 frames of 30 a second are 2.1 s.
    let most = gst::ClockTime::from_mseconds(2134);
    for _ in 0..100 {
        let frame = stream.half();
        stream.harness.push(frame).unwrap();
        assert!(stream.stat("frames-in") - stream.stat("frames-out") <= 64);
    }
    let latency = stream.latency();
    assert!(latency <= most + gst::ClockTime::from_mseconds(100), "{latency}");
    assert!(latency >= most - gst::ClockTime::from_mseconds(40), "{latency}");
}

#[test]
fn backwards_is_no_reset_for_each_frame() {
    let mut stream = Stream::file(&network(0, 0), &[]);
    assert!(stream.harness.push_event(segment(-1.0)));
    for n in (0..12u64).rev() {
        stream.n = n;
        let mut frame = stream.half();
        if n % 4 == 3 {
            // As decoders mark the first frame of each group.
            frame.get_mut().unwrap().set_flags(gst::BufferFlags::DISCONT);
        }
        assert_eq!(stream.through(frame), [255, 0]);
    }
    assert_eq!(stream.stat("resets"), 0);
    // A jump is one, also backwards.
    stream.n = 200;
    let frame = stream.half();
    stream.through(frame);
    assert_eq!(stream.stat("resets"), 1);
}

#[test]
fn rates_and_gaps_are_those_of_the_time_that_it_takes_to_play() {
    let inferences = |rate: f64| {
        let mut stream = Stream::file(&network(0, 0), &[("max-inference-rate", "10")]);
        assert!(stream.harness.push_event(segment(rate)));
        for _ in 0..31 {
            let frame = stream.half();
            assert_eq!(stream.through(frame), [255, 0]);
        }
        stream.stat("inferences")
    };
    assert_eq!([inferences(1.0), inferences(2.0)], [11, 6]);
}

#[test]
fn time_without_a_buffer_of_downstreams_is_not_the_networks() {
    let mut stream = Stream::new(&network(0, 0), &[("inference-mode", "sync")]);
    let lent = lend(&stream, 1);
    let frame = stream.half();
    stream.through(frame);
    assert!(lent.lock().unwrap().is_some(), "its pool is in use");
    for _ in 0..6 {
        let frame = stream.half();
        stream.harness.push(frame).unwrap();
        let out = stream.harness.pull().unwrap();
        let late = std::thread::spawn(move || {
            // It is on screen for longer than a frame lasts.
            std::thread::sleep(Duration::from_millis(50));
            drop(out);
        });
        let start = Instant::now();
        let frame = stream.half();
        stream.harness.push(frame).unwrap();
        assert!(start.elapsed() > Duration::from_millis(35), "it has not waited for the buffer");
        drop(stream.harness.pull().unwrap());
        late.join().unwrap();
    }
    assert!(stream.stat("frames-late") < 3, "{} of 6", stream.stat("frames-late"));
    assert!(stream.warnings().iter().all(|w| w.0 != "falling-behind"));
    assert!(stream.latency() < gst::ClockTime::from_mseconds(60), "{}", stream.latency());
}

#[test]
fn a_mask_that_is_too_late_is_so_also_while_downstream_lends_no_buffer() {
    let props = [("inference-mode", "sync"), ("inference-timeout", "0"), ("on-error", "hide")];
    let mut stream = Stream::new(&network(1024, 6), &props);
    let _lent = lend(&stream, 1);
    for _ in 0..3 {
        let frame = stream.half();
        assert_eq!(stream.through(frame), [255, 0]);
    }
    let run = stream.stat("inference-p50");
    stream.element.set_property("inference-timeout", run / 4);
    let frame = stream.half();
    stream.harness.push(frame).unwrap();
    let out = stream.harness.pull().unwrap();
    // The mask of the next frame comes meanwhile.
    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_nanos(2 * run));
        drop(out);
    });
    let frame = stream.half();
    assert_eq!(stream.through(frame), [0, 0]);
    late.join().unwrap();
}

#[test]
fn a_frame_that_fails_on_its_way_is_gone() {
    let mut stream = Stream::new(&network(0, 0), &[("inference-mode", "sync")]);
    let lent = lend(&stream, 2);
    let frame = stream.half();
    stream.through(frame);
    let pool = lent.lock().unwrap().clone().unwrap();
    pool.set_flushing(true);
    let frame = stream.half();
    assert_eq!(stream.harness.push(frame), Err(gst::FlowError::Flushing));
    pool.set_flushing(false);
    for _ in 0..3 {
        // Each goes out as itself: its own time, its own matte.
        let frame = stream.half();
        assert_eq!(stream.through(frame), [255, 0]);
    }
    assert_eq!(stream.stat("frames-in"), stream.stat("frames-out") + 1);
    assert!(stream.bus.pop_filtered(&[gst::MessageType::Error]).is_none());
}

#[test]
fn a_hang_is_told_also_where_the_frame_itself_fails() {
    let mut stream = Stream::new(&endless(), &[("inference-timeout", "100000000")]);
    let lent = lend(&stream, 2);
    let frame = stream.half();
    stream.harness.push(frame).unwrap();
    // Longer than a run may take.
    std::thread::sleep(Duration::from_millis(150));
    let pool = lent.lock().unwrap().clone().unwrap();
    pool.set_flushing(true);
    let frame = stream.half();
    assert_eq!(stream.harness.push(frame), Err(gst::FlowError::Flushing));
    pool.set_flushing(false);
    assert_eq!(stream.stat("failures"), 1);
    assert!(stream.warnings().iter().any(|w| w.0 == "inference-failed"));
}

#[test]
fn async_becomes_sync_and_sync_async_while_it_plays() {
    let mut stream = Stream::new(&network(384, 24), &[("matte-delay", "200000000")]);
    let seen = record(&stream);
    for round in 0..6 {
        let mode = ["async", "sync"][round % 2];
        stream.element.set_property_from_str("inference-mode", mode);
        let before = stream.stat("inferences");
        for n in 0..8 {
            let frame = stream.half();
            stream.harness.push(frame).unwrap();
            let mut last = None;
            while stream.harness.buffers_in_queue() > 0 {
                last = stream.harness.pull().ok();
            }
            if mode == "sync" && n > 0 {
                assert_eq!(stream.sides(&last.expect("its frame")), [255, 0], "round {round}, frame {n}");
            }
            if mode == "async" {
                std::thread::sleep(Duration::from_millis(15));
            }
        }
        if mode == "sync" {
            assert!(stream.stat("inferences") >= before + 8, "each frame has its own");
        }
    }
    assert!(stream.harness.push_event(gst::event::Eos::new()));
    let frames: Vec<u64> = seen.lock().unwrap().iter().filter_map(|s| s.parse().ok()).collect();
    assert_eq!(frames, (0..48).collect::<Vec<_>>());
}

/// How much nicer the threads are that ONNX Runtime computes on than this process, which may have been started with `nice`.
#[cfg(target_os = "linux")]
fn priorities() -> Vec<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let stats = tasks.filter_map(|t| std::fs::read_to_string(t.ok()?.path().join("stat")).ok());
    let nice = |stat: &str| -> Option<(bool, i32)> {
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        Some((name == "bgremove-ort", rest.split(' ').nth(16)?.parse().ok()?))
    };
    let (_, own) = nice(&std::fs::read_to_string("/proc/self/stat").unwrap()).unwrap();
    stats.filter_map(|s| nice(&s)).filter(|(computes, _)| *computes).map(|(_, nice)| nice - own).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn the_networks_threads_stand_behind_only_while_the_stream_does_not_wait() {
    // No other test here has a network with threads of its own.
    let mut stream = Stream::new(&network(256, 4), &[("threads", "2")]);
    for mode in ["async", "sync", "async", "sync"] {
        stream.element.set_property_from_str("inference-mode", mode);
        let start = Instant::now();
        loop {
            let frame = stream.half();
            stream.through(frame);
            let now = priorities();
            if !now.is_empty() && now.iter().all(|n| (*n > 0) == (mode == "async")) {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{mode}: {now:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn an_old_mask_does_not_serve_for_ever() {
    // A network that fails, and an app that wants the last matte held.
    let props = [("on-error", "hold"), ("inference-mode", "sync"), ("scene-detection", "false")];
    let mut stream = Stream::new(&fragile(), &props);
    let frame = stream.half();
    assert_eq!(stream.through(frame), [255, 0]);
    let mut held = 0;
    for n in 1..40 {
        let size = stream.info.size();
        let bad = stream.stamp(vec![250; size]);
        match stream.through(bad) {
            [255, 0] => {
                assert_eq!(held, n - 1, "it does not come back");
                held = n;
            }
            sides => assert_eq!(sides, [0, 0]),
        }
    }
    // Half a second of 30 frames.
    assert_eq!(held, 15);
    assert!(stream.warnings().iter().any(|w| w.0 == "mask-outdated"));
    let frame = stream.half();
    assert_eq!(stream.through(frame), [255, 0], "it recovers");
}

#[test]
fn in_async_mode_an_old_mask_does_not_serve_for_ever() {
    for (limit, serves) in [("0", false), ("100000000", false), ("18446744073709551615", true)] {
        let props = [("inference-timeout", "0"), ("max-mask-age", "18446744073709551615")];
        let mut stream = Stream::new(&network(512, 40), &props);
        let start = Instant::now();
        loop {
            let frame = stream.half();
            if stream.through(frame) == [255, 0] {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "no mask");
            std::thread::sleep(Duration::from_millis(30));
        }
        // From here on: a busy machine may take longer for the first mask.
        stream.element.set_property_from_str("max-mask-age", limit);
        // A minute goes by in the stream while the network works on a frame or two.
        let mut last = [0, 0];
        for _ in 0..80 {
            stream.n += 24;
            let frame = stream.half();
            last = stream.through(frame);
        }
        assert_eq!(last, if serves { [255, 0] } else { [0, 0] }, "max-mask-age={limit}");
    }
}

#[test]
fn a_mask_that_serves_on_purpose_does_not_grow_old() {
    let props = [("reuse-threshold", "0.01"), ("max-mask-age", "200000000")];
    let mut stream = Stream::file(&network(0, 0), &props);
    for _ in 0..60 {
        let frame = stream.half();
        assert_eq!(stream.through(frame), [255, 0]);
    }
    assert_eq!(stream.stat("inferences"), 1);
    // Nor where another network takes over while nothing changes.
    stream.element.set_property("resolution", 64u32);
    let until = Instant::now() + Duration::from_secs(10);
    while stream.stat("inferences") == 1 {
        assert!(Instant::now() < until, "the network that takes over is never asked");
        let frame = stream.half();
        assert_eq!(stream.through(frame), [255, 0]);
        std::thread::sleep(Duration::from_millis(2));
    }
    for _ in 0..60 {
        let frame = stream.half();
        assert_eq!(stream.through(frame), [255, 0]);
    }
}
