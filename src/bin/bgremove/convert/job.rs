//! One conversion, from the opened input to the whole file in its place.

use super::Settings;
use super::format::Format;
use super::input::Input;
use super::output::Output;
use super::plan::Plan;
use super::record::Record;
use super::report::{Job, State};
use super::uneven::uneven;
use super::watch::Watch;
use gst::prelude::*;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What the encoder has been given so far.
#[derive(Default)]
struct Given {
    frames: AtomicU64,
    /// End of the last frame, in nanoseconds of running time.
    until: AtomicU64,
    /// What is wrong with a frame.
    wrong: Mutex<Option<String>>,
}

/// Prints the pipeline for an input.
pub fn print(settings: &Settings, input: &Path, output: &Path, watch: &Watch) -> Result<String, String> {
    let mut opened = Input::open(input, watch)?;
    opened.facts.uneven = settings.format == Format::Mp4 && input.is_file() && uneven(input, watch);
    Plan::new(settings, &opened.facts)?.print(settings, input, output)
}

/// Converts an input.
pub fn convert(
    settings: &Settings,
    input: &Path,
    output: &Path,
    watch: &Watch,
    job: &Job<'_>,
    record: Option<&Record>,
) -> Result<(), String> {
    let result = Output::begin(output, settings.format, settings.overwrite)?;
    let even = settings.format != Format::Mp4 || !input.is_file() || !uneven(input, watch);
    let mut input = Input::open(input, watch)?;
    input.facts.uneven = !even;
    let plan = Plan::new(settings, &input.facts)?;
    if input.facts.hlg {
        job.note("HDR video (hybrid log-gamma) becomes ordinary video; bright parts may look flat");
    }
    if input.facts.channels.is_some() && settings.sound_wanted() && !settings.format.has_sound() {
        job.note(&format!("its sound is left out: {} holds none", settings.format.name()));
    }
    let stop = settings.duration.map(|d| settings.start + d);
    if settings.start > gst::ClockTime::ZERO || stop.is_some() {
        input.cut(settings.start, stop, watch)?;
    }
    let end = match (stop, input.duration) {
        (Some(stop), Some(length)) => Some(stop.min(length)),
        (stop, length) => stop.or(length),
    };
    let total = end.map(|end| end.saturating_sub(settings.start).nseconds() as f64 / 1e9);
    job.started(plan.width, plan.height, total, plan.sound());

    let rest = plan.run(settings, result.path())?.launch()?;
    let rest = rest.downcast::<gst::Bin>().map_err(|_| "the pipeline is but one element")?;
    let given = Arc::new(Given::default());
    look(&rest, &plan, &given, watch)?;
    let pipeline = input.pipeline.0.clone();
    pipeline.add(&rest).map_err(|e| e.to_string())?;
    if let Some(record) = record {
        record.attach(&pipeline);
    }
    // Awake before the first frame is let go, else that would be refused.
    let unfit =
        |_| watch.failure(&pipeline).unwrap_or_else(|| format!("{} cannot be converted", input.name()));
    rest.sync_state_with_parent().map_err(|e| e.to_string()).map_err(unfit)?;
    input.release(&rest)?;
    watch.touch();
    pipeline.set_state(gst::State::Playing).map_err(|e| e.to_string()).map_err(unfit)?;
    let began = Instant::now();
    let state = || State {
        frames: given.frames.load(Ordering::Relaxed),
        seconds: given.until.load(Ordering::Relaxed) as f64 / 1e9,
        total,
        worked: began.elapsed().as_secs_f64(),
    };
    let mut ended = false;
    while !ended {
        if let Some(wrong) = given.wrong.lock().unwrap_or_else(|e| e.into_inner()).take() {
            return Err(wrong);
        }
        let message = watch.next(&pipeline)?;
        match message.as_ref().map(|m| m.view()) {
            Some(gst::MessageView::Error(e)) => return Err(watch.said(e)),
            Some(gst::MessageView::Warning(w)) => job.note(w.error().message()),
            Some(gst::MessageView::Eos(_)) => ended = true,
            _ => {}
        }
        job.progress(&state());
    }
    let state = state();
    // The file is closed before it is looked at.
    drop(input);
    if state.frames == 0 {
        return Err("not a single frame came out of it".into());
    }
    let bytes = result.finish()?;
    if bytes == 0 {
        return Err("nothing was written".into());
    }
    if let Some(record) = record {
        record.written(bytes, state.frames, state.seconds);
    }
    job.done(&state, bytes);
    Ok(())
}

/// Watches what goes to the encoder and to the file.
fn look(rest: &gst::Bin, plan: &Plan, given: &Arc<Given>, watch: &Watch) -> Result<(), String> {
    let pad = |name: &str| {
        let pad = rest.by_name(name).and_then(|e| e.static_pad("sink"));
        pad.ok_or_else(|| format!("the pipeline has no element '{name}'"))
    };
    watch.listen(&pad("video")?);
    watch.listen(&pad("file")?);
    let encoder = pad("encoder")?;
    let (alpha, given, watch) = (plan.alpha(), Arc::clone(given), watch.clone());
    let segment = Mutex::new(gst::FormattedSegment::<gst::ClockTime>::new());
    let what = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    encoder.add_probe(what, move |_, info| {
        let lock = || segment.lock().unwrap_or_else(|e| e.into_inner());
        match &info.data {
            Some(gst::PadProbeData::Event(event)) => match event.view() {
                gst::EventView::Segment(s) => {
                    if let Some(s) = s.segment().downcast_ref::<gst::ClockTime>() {
                        *lock() = s.clone();
                    }
                }
                // However it came about: frames without alpha must not pass for transparent ones.
                gst::EventView::Caps(caps) => {
                    let opaque = gst_video::VideoInfo::from_caps(caps.caps()).is_ok_and(|i| !i.has_alpha());
                    if alpha && opaque {
                        let text =
                            format!("the alpha was lost before the encoder, which would get {}", caps.caps());
                        *given.wrong.lock().unwrap_or_else(|e| e.into_inner()) = Some(text);
                    }
                }
                _ => {}
            },
            Some(gst::PadProbeData::Buffer(buffer)) => {
                watch.touch();
                given.frames.fetch_add(1, Ordering::Relaxed);
                if let Some(time) = lock().to_running_time(buffer.pts()) {
                    let end = time + buffer.duration().unwrap_or_default();
                    given.until.fetch_max(end.nseconds(), Ordering::Relaxed);
                }
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::input::Running;
    use crate::convert::plan::Facts;

    /// What the tool's own lines never do: between bgremove and an encoder that takes both, videoconvert may
    /// choose a format without alpha.
    #[test]
    fn alpha_that_is_lost_on_the_way_is_an_error() {
        gst::init().unwrap();
        gstbgremove::plugin_register_static().unwrap();
        let settings = crate::convert::tests::settings(Format::Mov);
        let facts = Facts { width: 64, height: 48, pixel_aspect: 1.0, rate: 25.0, ..Facts::default() };
        let plan = Plan::new(&settings, &facts).unwrap();
        for (format, lost) in [("Y444", true), ("AYUV", false)] {
            let line = format!(
                "videotestsrc num-buffers=3 ! video/x-raw,width=64,height=48 ! queue name=video ! videoconvert ! \
                 bgremove ! videoconvert ! video/x-raw,format={format} ! identity name=encoder ! fakesink name=file"
            );
            let pipeline = Running(gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap());
            let watch = Watch::new(Arc::default(), Some(std::time::Duration::from_secs(30)));
            let given = Arc::new(Given::default());
            look(pipeline.0.upcast_ref(), &plan, &given, &watch).unwrap();
            pipeline.0.set_state(gst::State::Playing).unwrap();
            let bus = pipeline.0.bus().unwrap();
            let ends = [gst::MessageType::Eos, gst::MessageType::Error];
            bus.timed_pop_filtered(gst::ClockTime::from_seconds(30), &ends).expect("an end");
            let wrong = given.wrong.lock().unwrap().take();
            assert_eq!(
                wrong.as_deref().is_some_and(|w| w.contains("alpha was lost")),
                lost,
                "{format}: {wrong:?}"
            );
        }
    }
}
