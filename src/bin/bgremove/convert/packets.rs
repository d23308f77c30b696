//! The packets of a file, looked through without decoding them.

use super::fault::Fault;
use super::watchdog::Watchdog;
use crate::gstreamer::Running;
use gst::prelude::*;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A packet, of which this is known.
pub struct Packet {
    pub is_video: bool,
    pub is_sound: bool,
    /// Whether decoding can begin with it.
    pub is_key: bool,
    /// The id of its stream, which is the same whenever the file is read.
    pub stream: Option<Arc<str>>,
    pub pts: gst::ClockTime,
    /// As the file counts, from its beginning; and from what comes first.
    pub stream_time: Option<gst::ClockTime>,
    pub running_time: Option<gst::ClockTime>,
    pub duration: Option<gst::ClockTime>,
}

/// Shows each packet that has a time, until there are no more, or somebody has seen enough.
///
/// # Errors
/// What GStreamer fails with, a stall or an interruption; the packets before it have been shown.
pub fn look_through(
    path: &Path,
    watchdog: &Watchdog,
    each: impl Fn(Packet) -> std::ops::ControlFlow<()> + Send + Sync + 'static,
) -> Result<(), Fault> {
    let pipeline = Running(gst::Pipeline::new());
    let make = |name: &str| gst::ElementFactory::make(name).build().map_err(|e| e.to_string());
    let (source, parser) = (make("filesrc")?, make("parsebin")?);
    source.set_property("location", path);
    pipeline.0.add_many([&source, &parser]).map_err(|e| e.to_string())?;
    source.link(&parser).map_err(|e| e.to_string())?;
    let enough = Arc::new(AtomicBool::new(false));
    let (each, full, weak) = (Arc::new(each), Arc::clone(&enough), pipeline.0.downgrade());
    let alive = watchdog.clone();
    parser.connect_pad_added(move |_, pad| {
        let (Some(pipeline), Ok(sink)) = (weak.upgrade(), make("fakesink")) else { return };
        // Neither waits for the clock, nor for the other streams.
        sink.set_property("async", false);
        sink.set_property("sync", false);
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let is = |media: &str| caps.structure(0).is_some_and(|s| s.name().starts_with(media));
        let (is_video, is_sound) = (is("video/") || is("image/"), is("audio/"));
        // A stream that cannot be linked is not looked at.
        let linked = pipeline.add(&sink).is_ok()
            && sink.sync_state_with_parent().is_ok()
            && sink.static_pad("sink").is_some_and(|to| pad.link(&to).is_ok());
        if !linked {
            return;
        }
        let stream: Option<Arc<str>> = pad.stream_id().map(|id| id.as_str().into());
        let (each, full, alive) = (Arc::clone(&each), Arc::clone(&full), alive.clone());
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            alive.touch();
            if let Some(gst::PadProbeData::Buffer(buffer)) = &info.data
                && let Some(pts) = buffer.pts()
            {
                let event = pad.sticky_event::<gst::event::Segment>(0);
                let segment = event.as_ref().and_then(|s| s.segment().downcast_ref::<gst::ClockTime>());
                let packet = Packet {
                    is_video,
                    is_sound,
                    is_key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
                    stream: stream.clone(),
                    pts,
                    stream_time: segment.and_then(|s| s.to_stream_time(pts)),
                    running_time: segment.and_then(|s| s.to_running_time(pts)),
                    duration: buffer.duration(),
                };
                if each(packet).is_break() {
                    full.store(true, Ordering::SeqCst);
                }
            }
            gst::PadProbeReturn::Ok
        });
    });
    watchdog.touch();
    pipeline.0.set_state(gst::State::Playing).map_err(|e| e.to_string())?;
    while !enough.load(Ordering::SeqCst) {
        match watchdog.next(&pipeline.0)?.as_ref().map(|m| m.view()) {
            Some(gst::MessageView::Eos(_)) => break,
            Some(gst::MessageView::Error(e)) => return Err(e.into()),
            _ => {}
        }
    }
    Ok(())
}
