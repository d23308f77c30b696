//! What the element tells of a stream: the record, warnings, statistics, tags.

mod common;

use common::record::record;
use common::*;
use gst::prelude::*;
use gst_video::VideoFormat;
use serde_json::Value;

/// Plays a line to its end or to an error; gives what was on the bus.
fn play(line: &str) -> Vec<gst::Message> {
    init();
    let pipeline = Running(gst::parse::launch(line).unwrap().downcast::<gst::Pipeline>().unwrap());
    let bus = pipeline.bus().unwrap();
    let mut seen = Vec::new();
    if pipeline.set_state(gst::State::Playing).is_ok() {
        while let Some(message) = bus.timed_pop(gst::ClockTime::from_seconds(60)) {
            let last = matches!(message.type_(), gst::MessageType::Eos | gst::MessageType::Error);
            seen.push(message);
            if last {
                break;
            }
        }
    }
    let _ = pipeline.set_state(gst::State::Null);
    seen.extend(std::iter::from_fn(|| bus.pop()));
    seen
}

fn warnings(messages: &[gst::Message]) -> Vec<(String, String)> {
    messages
        .iter()
        .filter_map(|m| match m.view() {
            gst::MessageView::Warning(w) => {
                let code = w.details()?.get::<String>("code").ok()?;
                Some((code, w.error().message().to_string()))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn the_record_of_a_clip_tells_what_went_in_and_came_out_and_by_what() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    let line = format!(
        "filesrc location={} ! decodebin ! identity eos-after=110 ! bgremove job-id=job-7 background=#00b140 \
         report-location={} ! fakesink",
        clip("carphone_pristine.mp4").display(),
        path.display()
    );
    play(&line);
    let r = record(&path);
    assert_eq!((&r["job_id"], &r["result"]), (&"job-7".into(), &"completed".into()));
    assert_eq!(r["incident"], Value::Null);
    assert_eq!(r["model"]["name"], "light");
    assert_eq!(r["model"]["licence"], "Apache-2.0");
    assert!(r["model"]["sha256"].as_str().is_some_and(|s| s.len() == 64));
    assert_eq!(r["runtime"]["provider"], "cpu");
    assert!(r["runtime"]["version"].as_str().is_some_and(|v| v.starts_with("1.")), "{}", r["runtime"]);
    assert_eq!(r["settings"]["background"], "#00b140");
    assert_eq!(r["settings"]["temporal_smoothing"], 0.6);
    assert_eq!((&r["input"]["width"], &r["input"]["height"]), (&176.into(), &144.into()));
    assert!(r["input"]["codec"].as_str().is_some_and(|c| c.contains("H.264")), "{}", r["input"]);
    assert!(r["input"]["duration_ns"].as_u64().is_some_and(|d| d > 1_000_000_000));
    assert!(r["output"]["caps"].as_str().is_some_and(|c| c.contains("I420")));
    let frames = r["stats"]["frames_out"].as_u64().unwrap();
    assert!(frames > 100 && r["stats"]["frames_in"] == frames && r["stats"]["inferences"] == frames);
    assert!(r["stats"]["subject_coverage"].as_f64().is_some_and(|c| (0.2..0.8).contains(&c)));
    assert!(r["stats"]["inference_p50"].as_u64() <= r["stats"]["inference_max"].as_u64());
}

#[test]
fn the_record_of_a_failure_has_its_code_its_words_and_the_elements() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    let at = path.display();
    // Before the start, and at negotiation.
    play(&format!(
        "videotestsrc num-buffers=3 ! bgremove model=/no/such.onnx report-location={at} ! fakesink"
    ));
    let r = record(&path);
    assert_eq!(r["result"], "failed");
    assert_eq!(r["incident"]["error_code"], "resource/not-found");
    assert!(!r["job_id"].as_str().unwrap().is_empty(), "a job that fails before its start has a name, too");
    assert!(r["incident"]["symptom"].as_str().unwrap().contains("/no/such.onnx"));
    let messages =
        play(&format!("videotestsrc num-buffers=3 ! bgremove report-location={at} ! jpegenc ! fakesink"));
    let r = record(&path);
    assert_eq!(r["incident"]["error_code"], "stream/format");
    let elements = r["incident"]["elements"].as_array().unwrap();
    for name in ["videotestsrc", "bgremove", "jpegenc"] {
        assert!(elements.iter().any(|e| e.as_str().unwrap().starts_with(name)), "{elements:?}");
    }
    // What the element says on the bus has the job in its details.
    let job = messages.iter().find_map(|m| match m.view() {
        gst::MessageView::Warning(w) => w.details().map(|d| d.get::<String>("job-id").unwrap()),
        _ => None,
    });
    assert_eq!(job.as_deref(), r["job_id"].as_str());
    assert_eq!(r["warnings"][0]["code"], "caps-refused");
}

#[test]
fn a_stream_that_is_stopped_is_recorded_as_that() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    let line = format!(
        "videotestsrc ! video/x-raw,width=64,height=48 ! bgremove report-location={} ! fakesink name=sink signal-handoffs=true",
        path.display()
    );
    let pipeline = Running(gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap());
    let (send, seen) = std::sync::mpsc::channel();
    let sink = pipeline.by_name("sink").unwrap();
    sink.connect("handoff", false, move |_| {
        let _ = send.send(());
        None
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    seen.recv_timeout(std::time::Duration::from_secs(20)).expect("a frame");
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(record(&path)["result"], "stopped");
}

#[test]
fn a_stream_that_is_played_again_is_recorded_again() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    let mut harness = gst_check::Harness::new_parse(&format!("bgremove report-location={}", path.display()));
    let small = info(gst_video::VideoFormat::Rgb, 64, 48);
    harness.set_src_caps(small.to_caps().unwrap());
    let push = |harness: &mut gst_check::Harness| {
        harness.push(gst::Buffer::from_mut_slice(vec![0; small.size()])).unwrap();
    };
    push(&mut harness);
    assert!(harness.push_event(gst::event::Eos::new()));
    assert_eq!(record(&path)["result"], "completed");
    // From the start again, and not to the end.
    flush(&mut harness);
    push(&mut harness);
    drop(harness);
    let r = record(&path);
    assert_eq!((&r["result"], &r["stats"]["frames_in"]), (&"stopped".into(), &2.into()));
}

/// Whoever encodes or plays does not wait for a disk.
#[test]
fn the_end_goes_on_before_the_record_is_written() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    let mut harness = gst_check::Harness::new_parse(&format!("bgremove report-location={}", path.display()));
    let small = info(gst_video::VideoFormat::Rgb, 64, 48);
    harness.set_src_caps(small.to_caps().unwrap());
    harness.push(gst::Buffer::from_mut_slice(vec![0; small.size()])).unwrap();
    let (seen, there) = (std::sync::Arc::new(std::sync::Mutex::new(None)), path.clone());
    let own = seen.clone();
    let element = harness.element().unwrap();
    let bin = element.downcast_ref::<gst::Bin>().map(|b| b.children()[0].clone());
    let src = bin.unwrap_or(element).static_pad("src").unwrap();
    src.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if info.event().is_some_and(|e| e.type_() == gst::EventType::Eos) {
            *own.lock().unwrap() = Some(there.exists());
        }
        gst::PadProbeReturn::Ok
    });
    assert!(harness.push_event(gst::event::Eos::new()));
    assert_eq!(*seen.lock().unwrap(), Some(false));
    assert_eq!(record(&path)["result"], "completed");
}

#[test]
fn a_record_that_cannot_be_written_is_told() {
    let messages = play(
        "videotestsrc num-buffers=2 ! video/x-raw,width=64,height=48 ! \
         bgremove report-location=/no/such/folder/report.json ! fakesink",
    );
    let told = warnings(&messages);
    assert!(
        told.iter().any(|(code, text)| code == "report-not-written" && text.contains("/no/such")),
        "{told:?}"
    );
    assert!(messages.iter().any(|m| m.type_() == gst::MessageType::Eos), "the stream itself goes on");
}

#[test]
fn an_empty_scene_is_told_once() {
    let messages = play(
        "videotestsrc pattern=black num-buffers=300 ! video/x-raw,width=64,height=48,framerate=30/1 ! bgremove ! fakesink",
    );
    let codes: Vec<String> = warnings(&messages).into_iter().map(|w| w.0).collect();
    assert_eq!(codes, ["subject-not-found"]);
}

#[test]
fn alpha_that_is_dropped_is_told() {
    let line = |after: &str| {
        format!(
            "videotestsrc num-buffers=5 ! video/x-raw,width=64,height=48,format=I420 ! bgremove ! {after} ! fakesink"
        )
    };
    let told = |after: &str| warnings(&play(&line(after)));
    let dropped = told("videoconvert name=culprit ! x264enc");
    assert_eq!(dropped.len(), 1, "{dropped:?}");
    assert_eq!(dropped[0].0, "alpha-dropped");
    assert!(dropped[0].1.contains("culprit"), "{}", dropped[0].1);
    // Some elements further, and inside a bin.
    let dropped = told("queue ! ( videoconvert name=deep ! jpegenc )");
    assert!(dropped[0].1.contains("deep"), "{dropped:?}");
    let backdrop = format!(
        "queue ! videobackdrop location={} ! videoconvert ! jpegenc",
        clip("carphone_pristine.mp4").display()
    );
    for kept in [
        backdrop.as_str(),
        "videoconvert ! video/x-raw,format=RGBA ! pngenc",
        "vp9alphaenc ! webmalphamux",
        "fakesink silent=true name=a videotestsrc num-buffers=1",
        "compositor ! videoconvert ! jpegenc",
    ] {
        assert_eq!(told(kept), [], "{kept}");
    }
}

#[test]
fn statistics_are_posted_and_can_be_read() {
    let messages = play(
        "videotestsrc num-buffers=60 is-live=true ! video/x-raw,width=64,height=48,framerate=60/1 ! \
         bgremove job-id=s stats-interval=100000000 ! fakesink",
    );
    let stats: Vec<gst::Structure> = messages
        .iter()
        .filter_map(|m| m.structure().filter(|s| s.name() == "bgremove-stats").map(|s| s.to_owned()))
        .collect();
    assert!((4..=12).contains(&stats.len()), "{} in a second", stats.len());
    let frames: Vec<u64> = stats.iter().map(|s| s.get("frames-out").unwrap()).collect();
    assert!(frames.windows(2).all(|w| w[0] < w[1]), "{frames:?}");
    assert_eq!(stats[0].get::<String>("job-id").unwrap(), "s");
    assert!(stats[0].get::<u64>("network-bytes").unwrap() > 100_000);
}

#[test]
fn the_stream_is_tagged() {
    let tags = |more: &str, source: &str| -> Vec<String> {
        play(&format!("{source} ! bgremove model=light {more} ! fakesink"))
            .iter()
            .filter_map(|m| match m.view() {
                gst::MessageView::Tag(t) => Some(t.tags().to_string()),
                _ => None,
            })
            .collect()
    };
    let bare = "videotestsrc num-buffers=2 ! video/x-raw,width=64,height=48";
    let file = format!(
        "filesrc location={} ! decodebin ! identity eos-after=3",
        clip("carphone_pristine.mp4").display()
    );
    for source in [bare, &file] {
        let on = tags("write-tags=true", source).join("\n");
        assert!(on.contains("application-name=(string)bgremove") || on.contains("bgremove\\ "), "{on}");
        assert!(on.contains("bgremove-model\\=light") || on.contains("bgremove-model=light"), "{on}");
        // Who gives a file away does not tell with what it was made, unless they want it.
        assert!(!tags("", source).join("\n").contains("bgremove"), "off");
    }
    let kept = tags("write-tags=true", &file).join("\n");
    assert!(kept.contains("H.264"), "what was there stays: {kept}");
}

/// Where a network's file lies can name its user.
#[test]
fn no_tag_tells_where_the_network_lies() {
    let home = tempfile::tempdir().unwrap();
    let model = home.path().join("my-own.onnx");
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/models/light-square.onnx"), &model).unwrap();
    let source = "videotestsrc num-buffers=2 ! video/x-raw,width=64,height=48";
    let messages = play(&format!("{source} ! bgremove write-tags=true model={} ! fakesink", model.display()));
    let told: Vec<String> = messages
        .iter()
        .filter_map(|m| match m.view() {
            gst::MessageView::Tag(t) => Some(t.tags().to_string()),
            _ => None,
        })
        .collect();
    let told = told.join("\n");
    assert!(told.contains("my-own.onnx"), "{told}");
    let folder = home.path().file_name().unwrap().to_str().unwrap();
    assert!(!told.contains(folder), "the folder {folder} is told of: {told}");
}

#[test]
fn heavy_compression_is_told() {
    let info = info(VideoFormat::I420, 320, 240);
    let run = |quality: u32| {
        init();
        let line = format!(
            "appsrc name=in format=time ! jpegenc quality={quality} ! jpegdec ! bgremove background=red ! appsink name=out sync=false"
        );
        let pipeline = Running(gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap());
        let src = pipeline.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
        let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
        src.set_caps(Some(&info.to_caps().unwrap()));
        pipeline.set_state(gst::State::Playing).unwrap();
        let frame = portrait(&info, 0);
        for n in 0..130 {
            let mut frame = frame.copy();
            frame.get_mut().unwrap().set_pts(gst::ClockTime::SECOND * n / 30);
            src.push_buffer(frame).unwrap();
            sink.pull_sample().unwrap();
        }
        let bus = pipeline.bus().unwrap();
        let messages: Vec<_> = std::iter::from_fn(|| bus.pop()).collect();
        warnings(&messages).into_iter().map(|w| w.0).filter(|c| c == "source-compressed").count()
    };
    assert_eq!((run(4), run(90)), (1, 0));
}
