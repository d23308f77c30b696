//! The muxer with streams that do not behave.

use std::sync::{Arc, Mutex};

use gst::prelude::*;

use crate::media::*;
use crate::validate::{Expect, File, validate};

/// `encoder ! webmalphamux` with a probe between, on frame after frame; what is written, and the warnings.
fn through(
    name: &str,
    frames: u64,
    probe: impl Fn(&mut gst::Buffer, u64) -> gst::PadProbeReturn + Send + Sync + 'static,
) -> Result<(File, Vec<String>), String> {
    let file = path(name);
    let pipeline = launch(&format!(
        "appsrc name=v ! vp9alphaenc name=e deadline=realtime cpu-used=8 keyframe-max-dist=1000 ! \
         webmalphamux ! filesink location={}",
        file.display()
    ));
    feed_video(&pipeline.by_name("v").unwrap(), 0..frames);
    let count = Mutex::new(0);
    let pad = pipeline.by_name("e").unwrap().static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data else {
            return gst::PadProbeReturn::Ok;
        };
        let mut count = count.lock().unwrap();
        *count += 1;
        probe(buffer, *count - 1)
    });
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let heard = warnings.clone();
    pipeline.bus().unwrap().set_sync_handler(move |_, message| {
        if let gst::MessageView::Warning(w) = message.view() {
            heard.lock().unwrap().push(w.error().message().to_string());
        }
        gst::BusSyncReply::Pass
    });
    run(&pipeline)?;
    let file = validate(&std::fs::read(&file).unwrap(), Expect::Finished)?;
    let warnings = std::mem::take(&mut *warnings.lock().unwrap());
    Ok((file, warnings))
}

#[test]
fn a_stream_joined_in_the_middle_begins_with_a_key_frame() {
    let first_lost =
        |_: &mut gst::Buffer, n| if n < 5 { gst::PadProbeReturn::Drop } else { gst::PadProbeReturn::Ok };
    let (file, _) = through("joined.webm", 90, first_lost).unwrap();
    let blocks = file.blocks(1);
    // The muxer asks for a key frame when it misses one.
    assert!(blocks[0].key && blocks.len() > 40, "{} frames", blocks.len());
}

#[test]
fn a_frame_without_alpha_is_an_error() {
    init();
    let error = through("lost-alpha.webm", 30, |buffer, n| {
        if n == 10 {
            let flags =
                gst::BufferCopyFlags::MEMORY | gst::BufferCopyFlags::TIMESTAMPS | gst::BufferCopyFlags::FLAGS;
            *buffer = buffer.copy_region(flags, ..).unwrap();
        }
        gst::PadProbeReturn::Ok
    })
    .unwrap_err();
    assert!(error.contains("333 ms has no alpha"), "{error}");
}

#[test]
fn a_frame_without_a_time_is_an_error() {
    let error = through("timeless.webm", 30, |buffer, n| {
        if n == 10 {
            buffer.make_mut().set_pts(gst::ClockTime::NONE);
            buffer.make_mut().set_dts(gst::ClockTime::NONE);
        }
        gst::PadProbeReturn::Ok
    })
    .unwrap_err();
    assert!(error.contains("a frame has no time"), "{error}");
}

/// So files of others may be: each of their streams has key frames of its own.
#[test]
fn a_key_frame_of_the_colour_alone_is_none_and_is_told() {
    let first = Mutex::new(None);
    let (file, warnings) = through("colour-key.webm", 30, move |buffer, n| {
        let mut first = first.lock().unwrap();
        if n == 0 {
            *first = Some(buffer.clone());
        } else if n == 10 {
            // The colour of the first frame, which is a key frame, beside the alpha of this one, which is none.
            let b = buffer.make_mut();
            b.remove_all_memory();
            first.take().unwrap().iter_memories_owned().for_each(|m| b.append_memory(m));
            b.unset_flags(gst::BufferFlags::DELTA_UNIT);
        }
        gst::PadProbeReturn::Ok
    })
    .unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let wanted = "the alpha has no key frame where the colour has one, at 0:00:00.33";
    assert!(warnings[0].contains(wanted), "{warnings:?}");
    let keys: Vec<bool> = file.blocks(1).iter().map(|block| block.key).collect();
    assert!(keys[0] && !keys[1..].contains(&true), "{keys:?}");
}

/// Every frame has its own time, whatever the rate in the caps.
#[test]
fn a_variable_rate_keeps_its_times() {
    let jitter = |n: u64| n * 41_300_000 + n % 5 * 3_141_593;
    let (file, _) = through("variable.webm", 50, move |buffer, n| {
        buffer.make_mut().set_pts(gst::ClockTime::from_nseconds(jitter(n)));
        gst::PadProbeReturn::Ok
    })
    .unwrap();
    for (block, n) in file.blocks(1).iter().zip(0..) {
        assert_eq!(block.time as u64, (jitter(n) + 500_000) / 1_000_000);
    }
}

#[test]
fn no_stream_comes_late() {
    let pipeline = launch(
        "videotestsrc num-buffers=20 ! vp8enc deadline=1 ! webmalphamux name=m ! fakesink name=s \
         signal-handoffs=true",
    );
    let muxer = pipeline.by_name("m").unwrap();
    let weak = muxer.downgrade();
    let asked = Arc::new(Mutex::new(None));
    let answer = asked.clone();
    pipeline.by_name("s").unwrap().connect("handoff", false, move |_| {
        let mut answer = answer.lock().unwrap();
        if answer.is_none() {
            *answer = weak.upgrade().map(|muxer| muxer.request_pad_simple("audio_%u").is_some());
        }
        None
    });
    run(&pipeline).unwrap();
    assert_eq!(*asked.lock().unwrap(), Some(false));
    // Stopped, it takes one again; one that is there already it does not.
    let pad = muxer.request_pad_simple("audio_3").unwrap();
    assert_eq!(pad.name(), "audio_3");
    assert!(muxer.request_pad_simple("audio_3").is_none());
    assert_eq!(muxer.request_pad_simple("audio_%u").unwrap().name(), "audio_0");
}

#[test]
fn seeks_in_a_row_neither_hang_nor_mix_frames() {
    for codec in ["vp8", "vp9"] {
        let file = path(&format!("seeks-{codec}.webm"));
        let pipeline = launch(&format!(
            "videotestsrc name=v ! video/x-raw,format=A420,width=160,height=120,framerate=30/1 ! \
             queue ! {codec}alphaenc deadline=realtime cpu-used=8 ! queue ! webmalphamux ! \
             filesink location={}",
            file.display()
        ));
        let source = pipeline.by_name("v").unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        for round in 0..30u64 {
            let last = round == 29;
            let seek = gst::event::Seek::new(
                1.0,
                gst::SeekFlags::FLUSH,
                gst::SeekType::Set,
                gst::ClockTime::from_mseconds(round * 100),
                gst::SeekType::Set,
                gst::ClockTime::from_mseconds(if last { round * 100 + 1000 } else { 3_600_000 }),
            );
            assert!(source.send_event(seek));
            std::thread::sleep(std::time::Duration::from_millis(round * 7 % 40));
        }
        run(&pipeline).unwrap();
        let parsed = validate(&std::fs::read(&file).unwrap(), Expect::Finished).unwrap();
        assert_eq!(parsed.blocks(1).len(), 30, "{codec}");
    }
}
