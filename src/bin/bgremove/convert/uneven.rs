//! Whether the frames of a file are unevenly spaced, found without decoding them.

use super::fault::Fault;
use super::input::Running;
use super::watch::Watch;
use gst::prelude::*;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// So many frames are looked at.
const FRAMES: usize = 1000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Whether a gap between neighbouring frames at the file's start is half as long again as another. A file that
/// cannot be looked at counts as even: whoever opens it next will say what is wrong with it.
pub fn uneven(path: &Path, watch: &Watch) -> bool {
    times(path, watch).is_ok_and(|mut times| {
        times.sort_unstable();
        let gaps = times.windows(2).map(|w| w[1] - w[0]);
        let (least, most) = (gaps.clone().min().unwrap_or(0), gaps.max().unwrap_or(0));
        most * 2 > least * 3
    })
}

/// The time stamps of the first frames, in the order of the file.
fn times(path: &Path, watch: &Watch) -> Result<Vec<u64>, Fault> {
    let pipeline = Running(gst::Pipeline::new());
    let make = |name: &str| gst::ElementFactory::make(name).build().map_err(|e| e.to_string());
    let (source, parser) = (make("filesrc")?, make("parsebin")?);
    source.set_property("location", path);
    pipeline.0.add_many([&source, &parser]).map_err(|e| e.to_string())?;
    source.link(&parser).map_err(|e| e.to_string())?;
    let times = Arc::new(Mutex::new(Vec::new()));
    let enough = Arc::new(AtomicBool::new(false));
    let (into, full, weak) = (Arc::clone(&times), Arc::clone(&enough), pipeline.0.downgrade());
    parser.connect_pad_added(move |_, pad| {
        let (Some(pipeline), Ok(sink)) = (weak.upgrade(), make("fakesink")) else { return };
        // Neither waits for the clock, nor for the other streams.
        sink.set_property("async", false);
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let video = caps.structure(0).is_some_and(|s| s.name().starts_with("video/"));
        // A stream that cannot be linked is not looked at.
        let linked = pipeline.add(&sink).is_ok()
            && sink.sync_state_with_parent().is_ok()
            && sink.static_pad("sink").is_some_and(|to| pad.link(&to).is_ok());
        if !linked || !video {
            return;
        }
        let (into, full) = (Arc::clone(&into), Arc::clone(&full));
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(gst::PadProbeData::Buffer(buffer)) = &info.data
                && let Some(pts) = buffer.pts()
            {
                let mut times = lock(&into);
                times.push(pts.nseconds());
                if times.len() >= FRAMES {
                    full.store(true, Ordering::SeqCst);
                }
            }
            gst::PadProbeReturn::Ok
        });
    });
    watch.touch();
    pipeline.0.set_state(gst::State::Playing).map_err(|e| e.to_string())?;
    while !enough.load(Ordering::SeqCst) {
        match watch.next(&pipeline.0)?.as_ref().map(|m| m.view()) {
            Some(gst::MessageView::Eos(_)) => break,
            Some(gst::MessageView::Error(e)) => return Err(e.into()),
            _ => {}
        }
    }
    drop(pipeline);
    let mut times = std::mem::take(&mut *lock(&times));
    // Around the place where it was broken off, frames of the future are there and those between are not.
    if times.len() >= FRAMES {
        times.sort_unstable();
        times.truncate(FRAMES - 20);
    }
    Ok(times)
}
