//! `lookahead`: the network runs ahead of the frames that leave; masks are steadied from both sides, and a network that
//! remembers knows the scene when it begins. Without steadying, nothing else changes.

use crate::common::onnx::{Attr, Onnx, Type};
use crate::stream::*;
use gst::prelude::*;
use std::time::{Duration, Instant};

/// What comes out of a file's frames: times, and bytes.
fn play(props: &[(&str, &str)], step: gst::ClockTime, frames: u64) -> Vec<(gst::ClockTime, Vec<u8>)> {
    let mut stream = Stream::file(&network(0, 0), props);
    for n in 0..frames {
        // Something that moves, and a cut in the middle.
        let x = 40.0 + 6.0 * n as f32;
        let other = n >= frames / 2;
        let mut frame = stream.frame(|u, v| if other { v < 90.0 } else { u < x });
        frame.get_mut().unwrap().set_pts(step * n);
        stream.harness.push(frame).unwrap();
    }
    stream.harness.push_event(gst::event::Eos::new());
    let out = std::iter::from_fn(|| stream.harness.try_pull());
    let out: Vec<_> =
        out.map(|b| (b.pts().unwrap(), b.map_readable().unwrap().as_slice().to_vec())).collect();
    assert_eq!(stream.stat("frames-hidden"), 0, "{props:?}");
    out
}

#[test]
fn frames_are_the_same_whatever_the_lookahead() {
    let more: [&[(&str, &str)]; 4] = [
        &[],
        &[("inference-interval", "3")],
        &[("reuse-threshold", "0.01"), ("temporal-smoothing", "0.6"), ("refine", "best")],
        &[("max-inference-rate", "11")],
    ];
    for props in more {
        // Also where a frame lasts longer than a mask may serve while another one is awaited.
        for step in [gst::ClockTime::SECOND / 30, gst::ClockTime::SECOND * 9 / 10] {
            let plain = play(props, step, 14);
            assert_eq!(plain.len(), 14);
            for lookahead in ["1", "3", "16"] {
                let ahead = play(&[props, &[("lookahead", lookahead)]].concat(), step, 14);
                assert!(plain == ahead, "{props:?} {step} lookahead={lookahead}");
            }
        }
    }
}

/// Its mask is the most green that it has seen in any frame, in the mean.
fn rememberer() -> Onnx {
    with_memory(1.0, |network| network.op("Max", "seen mean", "saw"))
}

/// Its mask is a fifth of the green in what it is shown, in the mean, and the rest of what it gave before.
fn slow_rememberer() -> Onnx {
    let fades = |network: Onnx| network.scalar("rest", 0.8).op("Mul", "seen rest", "left");
    with_memory(0.2, |network| fades(network).op("Add", "left mean", "saw"))
}

/// A network whose mask is `saw`, which it remembers: what `remember` makes of `seen`, what it remembered before, and of `mean`, so
/// much of the frame's green.
fn with_memory(green: f32, remember: impl FnOnce(Onnx) -> Onnx) -> Onnx {
    let network = Onnx::new()
        .input("x", Type::F32, &[1, 3, 36, 64])
        .input("seen", Type::F32, &[1, 1, -1, -1])
        .f32s("green", &[1, 3, 1, 1], &[0.0, green, 0.0])
        .op("Conv", "x green", "mask")
        .node("ReduceMean", "mask", "mean", &[("axes", Attr::Ints(&[1, 2, 3]))]);
    remember(network)
        .scalar("zero", 0.0)
        .op("Mul", "mask zero", "none")
        .op("Add", "none saw", "y")
        .output("y", Type::F32, &[1, 1, 36, 64])
        .output("saw", Type::F32, &[1, 1, -1, -1])
}

/// Alpha in the middle of each frame: so many of its columns are green.
fn remembered(lookahead: &str, frames: &[f32], cut: &str) -> Vec<u8> {
    recalled(&rememberer(), &[("lookahead", lookahead), ("scene-detection", cut)], frames)
}

/// The same of a network with one state, with more properties.
fn recalled(network: &Onnx, props: &[(&str, &str)], frames: &[f32]) -> Vec<u8> {
    let options = "options,fit=stretch,activation=none,recurrent=(string)seen:saw";
    let mut stream = Stream::file(network, &[&[("model-options", options)], props].concat());
    for green in frames {
        let frame = stream.frame(|x, _| x < *green);
        stream.harness.push(frame).unwrap();
    }
    stream.harness.push_event(gst::event::Eos::new());
    let out: Vec<u8> = std::iter::from_fn(|| stream.harness.try_pull())
        .map(|b| b.map_readable().unwrap()[(90 * 320 + 160) * 4 + 3])
        .collect();
    assert_eq!(out.len(), frames.len());
    out
}

#[test]
fn a_network_that_remembers_knows_the_scene_when_it_begins() {
    const ALL: f32 = 320.0;
    let scene = [0.0, 0.0, ALL, 0.0, 0.0];
    assert_eq!(remembered("0", &scene, "false"), [0, 0, 255, 255, 255]);
    // The third frame is seen before the first one, once it is among those that are looked ahead at.
    assert_eq!(remembered("1", &scene, "false"), [0, 0, 255, 255, 255]);
    assert_eq!(remembered("2", &scene, "false"), [255; 5]);
    // Nothing that comes after a cut is shown before it, whatever is in the queue, and the end may come before so many frames.
    assert_eq!(remembered("8", &[0.0, 0.0, ALL, ALL], "true"), [0, 0, 255, 255]);
    assert_eq!(remembered("8", &[ALL, 0.0], "false"), [255; 2]);
    // A scene in the middle of the clip: its first frame is nine tenths green, the third one all over.
    let clip = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 288.0, 288.0, ALL, ALL, ALL];
    let first = |lookahead| remembered(lookahead, &clip, "true")[5..=6].to_vec();
    assert!(matches!(first("0")[..], [0, 220..=240]), "{:?}", first("0"));
    assert_eq!(first("2"), [0, 255]);
}

#[test]
fn a_scene_is_seen_forwards_and_back_before_its_first_frame() {
    // Without the first frame, the other way round, or with one more or less of them, it would be 3 of 255 off or more.
    let frames = [320.0, 0.0, 160.0, 320.0, 0.0, 320.0, 320.0];
    let props = |n| [("lookahead", n), ("temporal-smoothing", "0"), ("scene-detection", "false")];
    let first = |n| f32::from(recalled(&slow_rememberer(), &props(n), &frames)[0]);
    for (n, shown) in [
        // What it sees first it always sees twice.
        ("0", &[0][..]),
        ("1", &[0, 0, 1]),
        ("2", &[0, 0, 1, 2, 1]),
        ("3", &[0, 0, 1, 2, 3, 2, 1]),
        // No more than four of them.
        ("6", &[0, 0, 1, 2, 3, 4, 3, 2, 1]),
    ] {
        let all = shown.iter().chain(&[0]);
        let want = all.fold(0.0, |seen: f32, i: &usize| 0.8 * seen + 0.2 * frames[*i] / 320.0) * 255.0;
        assert!((first(n) - want).abs() < 1.5, "lookahead={n}: {}, not {want}", first(n));
    }
}

#[test]
fn less_lookahead_while_a_scene_begins_loses_no_mask() {
    let options = "options,fit=stretch,activation=none,recurrent=(string)seen:saw";
    let props = [("lookahead", "6"), ("model-options", options), ("scene-detection", "false")];
    let mut stream = Stream::file(&rememberer(), &props);
    for n in 0..8 {
        if n == 2 {
            stream.element.set_property("lookahead", 0u32);
        }
        let frame = stream.frame(|_, _| true);
        stream.harness.push(frame).unwrap();
    }
    stream.harness.push_event(gst::event::Eos::new());
    let out = std::iter::from_fn(|| stream.harness.try_pull());
    let alpha: Vec<u8> = out.map(|b| b.map_readable().unwrap()[(90 * 320 + 160) * 4 + 3]).collect();
    assert_eq!(alpha, [255; 8]);
    assert_eq!(stream.stat("frames-hidden"), 0);
}

#[test]
fn so_many_are_held_back_and_the_latency_says_so() {
    let mut stream = Stream::new(&network(0, 0), &[("lookahead", "3"), ("inference-mode", "sync")]);
    for n in 0..5 {
        let frame = stream.half();
        stream.harness.push(frame).unwrap();
        assert_eq!(stream.harness.buffers_in_queue(), (n + 1u32).saturating_sub(3), "after frame {n}");
    }
    let three = gst::ClockTime::SECOND / 30 * 3;
    let latency = stream.latency();
    assert!((three..three + gst::ClockTime::from_mseconds(40)).contains(&latency), "{latency}");
    // Less is held back from the next frame on.
    stream.element.set_property("lookahead", 1u32);
    let frame = stream.half();
    stream.harness.push(frame).unwrap();
    assert_eq!(stream.harness.buffers_in_queue(), 5);
    // A flush forgets what is held back.
    assert!(stream.harness.push_event(gst::event::FlushStart::new()));
    assert!(stream.harness.push_event(gst::event::FlushStop::new(true)));
    let left = std::iter::from_fn(|| stream.harness.try_pull()).count();
    assert!(
        stream.harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()))
    );
    assert!(stream.harness.push_event(gst::event::Eos::new()));
    assert_eq!(stream.harness.buffers_in_queue(), 0, "{left} were there before");
}

#[test]
fn what_waits_in_line_is_not_too_late() {
    let mut stream = Stream::file(&network(384, 40), &[("lookahead", "12")]);
    stream.element.set_property("lookahead", 0u32);
    let mut usual = Duration::ZERO;
    for n in 0..3 {
        let frame = stream.half();
        let begin = Instant::now();
        stream.harness.push(frame).unwrap();
        // The first run is a longer one.
        usual = if n == 0 { usual } else { usual.max(begin.elapsed()) };
    }
    // Long enough for each, and not for all of them.
    let limit = usual * 4 + Duration::from_millis(20);
    stream.element.set_property("lookahead", 12u32);
    stream.element.set_property("inference-timeout", limit.as_nanos() as u64);
    for _ in 0..13 {
        let frame = stream.half();
        stream.harness.push(frame).unwrap();
    }
    stream.harness.push_event(gst::event::Eos::new());
    assert_eq!(stream.stat("failures"), 0);
    assert_eq!(stream.harness.buffers_in_queue(), 16);
}

#[test]
fn frames_that_are_held_back_keep_the_network_that_was_asked() {
    let mut stream = Stream::file(&network(0, 0), &[("lookahead", "4")]);
    let folder = tempfile::tempdir().unwrap();
    let nothing = Onnx::constant(0.0, 64, 36).save(folder.path(), "nothing.onnx");
    // The subject changes sides with each frame.
    let swapping = |stream: &mut Stream| {
        let left = stream.n.is_multiple_of(2);
        stream.frame(|x, _| (x < 160.0) == left)
    };
    for _ in 0..4 {
        let frame = swapping(&mut stream);
        stream.harness.push(frame).unwrap();
    }
    stream.element.set_property("model", nothing.display().to_string());
    // It is loaded beside the stream.
    let mut sides = Vec::new();
    let until = Instant::now() + Duration::from_secs(20);
    while sides.last() != Some(&[0, 0]) {
        assert!(Instant::now() < until, "the new network never takes over: {sides:?}");
        let frame = swapping(&mut stream);
        stream.harness.push(frame).unwrap();
        while let Some(out) = stream.harness.try_pull() {
            sides.push(stream.sides(&out));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let old = sides.iter().take_while(|s| **s != [0, 0]).count();
    assert!(old >= 4, "{sides:?}");
    for (n, s) in sides[..old].iter().enumerate() {
        assert_eq!(*s, if n.is_multiple_of(2) { [255, 0] } else { [0, 255] }, "frame {n}: {sides:?}");
    }
    assert!(sides[old..].iter().all(|s| *s == [0, 0]), "{sides:?}");
}

#[test]
fn a_gap_lets_go_what_nothing_else_would() {
    let mut stream = Stream::file(&network(0, 0), &[("lookahead", "4")]);
    for event in [
        gst::event::Gap::builder(gst::ClockTime::from_seconds(1)).build(),
        gst::event::StreamGroupDone::new(gst::GroupId::next()),
    ] {
        for _ in 0..3 {
            let frame = stream.half();
            stream.harness.push(frame).unwrap();
        }
        assert_eq!(stream.harness.buffers_in_queue(), 0);
        assert!(stream.harness.push_event(event));
        assert_eq!(std::iter::from_fn(|| stream.harness.try_pull()).count(), 3);
    }
}
