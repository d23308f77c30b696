//! The pipeline that frames of all parts, and the sound of the source, go into.

use super::feed::feed;
use super::gather::Whole;
use crate::convert::Settings;
use crate::convert::fault::Fault;
use crate::convert::format::{Codec, Encoding};
use crate::convert::input::Input;
use crate::convert::launch_line::LaunchLine;
use crate::convert::parts::mark::SourceId;
use crate::convert::progress::{Job, Progress};
use crate::convert::tracks::TrackChoice;
use crate::convert::watchdog::Watchdog;
use crate::gstreamer::Running;
use gst::prelude::*;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Instant;

/// Bytes of frames that may wait for the muxer.
const WAITING: u64 = 32 << 20;

/// Writes the whole; how many frames it has.
pub fn join(
    whole: &Whole,
    source: &Path,
    output: &Path,
    watchdog: &Watchdog,
    job: &Job<'_>,
) -> Result<u64, Fault> {
    let sound = if whole.first().sound { open(whole, source, watchdog)? } else { None };
    let channels = sound.as_ref().and_then(|input| input.facts.channels);
    let encoding = Encoding {
        format: whole.format,
        codec: Codec::default(),
        quality: 0,
        alpha: true,
        pixel_rate: 0.0,
        channels: channels.unwrap_or(0),
        uneven: false,
        narrow: None,
        number: None,
    };
    let mut line = LaunchLine::new(true);
    let frames = |line: &mut LaunchLine| {
        line.start("appsrc").name("parts").set("format", "time").set("block", "true");
        line.set("handle-segment-change", "true").set("max-bytes", &WAITING.to_string());
        Ok(())
    };
    let audio = |line: &mut LaunchLine| {
        line.start("queue").name("audio");
    };
    encoding.file(&mut line, output, frames, channels.map(|_| audio))?;
    let output_bin =
        line.launch()?.downcast::<gst::Bin>().map_err(|_| "the pipeline is but one element".to_string())?;
    let parts = output_bin.by_name("parts").and_then(|e| e.downcast::<gst_app::AppSrc>().ok());
    let parts = parts.ok_or_else(|| "the pipeline has no element 'parts'".to_string())?;
    job.started(0, 0, Some(whole.seconds()), channels.is_some());
    play(whole, output_bin, parts, sound, watchdog, job)
}

/// The source, with its sound, if it has any.
fn open(whole: &Whole, source: &Path, watchdog: &Watchdog) -> Result<Option<Input>, Fault> {
    let like = whole.source();
    let is = SourceId::of(source).map_err(|e| {
        Fault::input(format!(
            "the source, {}, from which the sound comes, cannot be read: {e}; --source FILE says where it lies now",
            source.display()
        ))
    })?;
    if !like.is(&is) {
        return Err(Fault::input(format!(
            "{} is not the clip that the parts were made of: --source FILE names that",
            source.display()
        )));
    }
    let mark = whole.first();
    let track = |text: Option<&str>| text.and_then(|t| t.parse::<TrackChoice>().ok());
    let settings = Settings {
        video_track: track(mark.settings.get("video_track").and_then(|v| v.as_str())),
        audio_track: track(mark.audio_track.as_deref()),
        ..Settings::new(whole.format)
    };
    let input = Input::open(source, &settings, None, watchdog)?;
    Ok(input.facts.channels.is_some().then_some(input))
}

fn play(
    whole: &Whole,
    output_bin: gst::Bin,
    parts: gst_app::AppSrc,
    sound: Option<Input>,
    watchdog: &Watchdog,
    job: &Job<'_>,
) -> Result<u64, Fault> {
    let unfit = |what: &dyn std::fmt::Display| Fault::from(format!("the parts cannot be joined: {what}"));
    // One that has the source's streams already, or one of its own.
    let own = sound.is_none().then(|| Running(gst::Pipeline::new()));
    let pipeline = match (&own, &sound) {
        (Some(own), _) => own.0.clone(),
        (None, Some(input)) => input.pipeline.0.clone(),
        (None, None) => return Err(unfit(&"there is no pipeline")),
    };
    pipeline.add(&output_bin).map_err(|e| unfit(&e))?;
    if let Some(file) = output_bin.by_name("file").and_then(|e| e.static_pad("sink")) {
        watchdog.listen(&file);
    }
    output_bin.sync_state_with_parent().map_err(|e| unfit(&e))?;
    if let Some(input) = &sound {
        input.release(&output_bin)?;
    }
    watchdog.touch();
    pipeline.set_state(gst::State::Playing).map_err(|e| unfit(&e))?;
    let (tell, told) = mpsc::channel();
    let until = Arc::new(AtomicU64::new(0));
    if let Some(pad) = parts.static_pad("src") {
        let count = Arc::clone(&until);
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            count.fetch_add(1, Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        });
    }
    let (all, own_watchdog) = (whole.clone(), watchdog.clone());
    // Not waited for where something fails: it ends when the pipeline takes no more.
    std::thread::spawn(move || tell.send(feed(&all, &parts, &own_watchdog)));
    let began = Instant::now();
    let (frames, mut fed) = (whole.frames(), None);
    loop {
        let message = watchdog.next(&pipeline)?;
        match told.try_recv() {
            Ok(Ok(count)) => fed = Some(count),
            Ok(Err(fault)) => return Err(fault),
            Err(_) => {}
        }
        match message.as_ref().map(|m| m.view()) {
            Some(gst::MessageView::Error(e)) => return Err(e.into()),
            Some(gst::MessageView::Warning(w)) => job.note(w.error().message()),
            Some(gst::MessageView::Eos(_)) => break,
            _ => {}
        }
        let done = until.load(Ordering::Relaxed);
        let total = whole.seconds();
        let seconds = total * done as f64 / frames.max(1) as f64;
        job.progress(&Progress {
            frames: done,
            seconds,
            total: Some(total),
            worked: began.elapsed().as_secs_f64(),
        });
    }
    let fed = match fed {
        Some(count) => count,
        None => told.recv().map_err(|_| unfit(&"whoever reads them has ended"))??,
    };
    if fed != frames {
        return Err(unfit(&format!("{fed} of {frames} frames were written")));
    }
    Ok(fed)
}
