//! One conversion, from the opened input to the whole file in its place.

use super::edits;
use super::fault::{Fault, LOOK};
use super::format::Format;
use super::input::{Input, Range};
use super::layered::{self, Layered};
use super::output::Output;
use super::picture;
use super::plan::Plan;
use super::probes::{EncoderCounters, check_frames, count_frames};
use super::progress::{Job, Progress};
use super::raw;
use super::record::{ConvertRecord, WrittenFiles};
use super::shortfall::{Delivered, ExpectedContent, Span};
use super::times;
use super::ts;
use super::uneven::uneven;
use super::watchdog::Watchdog;
use super::{Settings, Task, shortfall};
use super::parts::mark::{self, There};
use super::parts::{self, Slice};
use gst::prelude::*;
use gstbgremove::sync::lock;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Prints the pipeline for an input.
pub fn print(settings: &Settings, input: &Path, output: &Path, watchdog: &Watchdog) -> Result<String, Fault> {
    refuse(input)?;
    let mut opened = Input::open(input, settings, None, watchdog)?;
    opened.facts.uneven = makes_mp4(settings) && input.is_file() && uneven(input, watchdog);
    Ok(Plan::new(settings, &opened.facts).map_err(Fault::settings)?.print(settings, input, output)?)
}

/// Whether any of the files is one that has trouble with unevenly spaced frames.
fn makes_mp4(settings: &Settings) -> bool {
    settings.also.iter().map(|a| a.format).chain([settings.format]).any(|f| f == Format::Mp4)
}

/// Refuses files of which GStreamer loses something without a word.
fn refuse(path: &Path) -> Result<(), Fault> {
    // What is read once cannot be looked at first.
    if path.is_file() { picture::refuse_animation(path) } else { Ok(()) }
}

/// Converts an input.
pub fn convert(
    settings: &Settings,
    task: &Task,
    watchdog: &Watchdog,
    job: &Job<'_>,
    record: &mut ConvertRecord<'_>,
) -> Result<(), Fault> {
    let mut overwrite = settings.overwrite;
    if settings.resume {
        match parts::there(settings, task).map_err(Fault::output)? {
            There::Whole => {
                job.kept();
                record.kept();
                return Ok(());
            }
            There::Broken => overwrite = true,
            There::Nothing => {}
            There::Other(what) if !overwrite => {
                return Err(Fault::output(format!("{what}: give --overwrite to replace it")));
            }
            There::Other(_) => {}
        }
    }
    let begin = if settings.part.is_some() { Output::among_others } else { Output::begin };
    let result = begin(&task.output, settings.format, overwrite).map_err(Fault::output)?;
    if result.swept > 0 {
        let text = format!("{} unfinished parts of conversions that were ended are taken away", result.swept);
        note(job, record, &text);
    }
    let layered = Layered::begin(settings).map_err(Fault::output)?;
    let even = !makes_mp4(settings) || !task.input.is_file() || !uneven(&task.input, watchdog);
    let stop = settings.duration.map(|d| settings.start + d);
    let range = (settings.start > gst::ClockTime::ZERO || stop.is_some()).then_some(Range {
        start: settings.start,
        stop,
        standing: None,
        exact: None,
    });
    // A pipe is read once.
    let at_once = range.filter(|_| !task.input.is_file());
    if settings.part.is_some() && !task.input.is_file() {
        return Err(Fault::input(
            "a part of it cannot be found, since it is no file and can be read only once",
        ));
    }
    if settings.raw.is_none() {
        refuse(&task.input)?;
    }
    if std::fs::metadata(&task.input).is_ok_and(|m| !m.is_file() && !m.is_dir()) {
        let text = "it is no regular file and is read once: its header is not looked at, and what GStreamer gets wrong in \
                    it (edit lists, turned Matroska, animated pictures) is neither mended nor told";
        if settings.raw.is_none() {
            note(job, record, text);
        }
    } else if settings.raw.is_none() {
        let stop = stop.map(|t| t.nseconds() as f64 / 1e9);
        if let Some(text) = ts::check(&task.input, stop, watchdog)? {
            job.warning(ts::CODE, &text);
            record.warning(ts::CODE, &text);
        }
    }
    let opened = Input::open(&task.input, settings, at_once, watchdog);
    let mut input = opened.map_err(|fault| picture::explain(&task.input, fault))?;
    input.facts.uneven = !even;
    record.opened(&input);
    let slice = settings.part.as_ref().map(|part| part.slice(settings, &input, watchdog)).transpose()?;
    let range = slice.as_ref().map_or(range, Slice::range);
    let mut plan = Plan::new(settings, &input.facts).map_err(Fault::settings)?;
    record.planned(&plan);
    if input.facts.hlg {
        let text = "HDR video (hybrid log-gamma) becomes ordinary video; bright parts may look flat";
        note(job, record, text);
    }
    if input.facts.channels.is_some() && settings.sound_wanted() && !settings.format.has_sound() {
        note(job, record, &format!("its sound is left out: {} holds none", settings.format.name()));
    }
    if let Some(range) = range.filter(|_| at_once.is_none()) {
        if !input.seek(range, watchdog)? {
            drop(input);
            input = Input::open(&task.input, settings, Some(range), watchdog)?;
            // A picture that stands where the part begins is only known by the one after it.
            if let Some(standing) = input.standing() {
                drop(input);
                let range = Range { standing: Some(standing), ..range };
                input = Input::open(&task.input, settings, Some(range), watchdog)?;
            }
            input.facts.uneven = !even;
        }
        // Its sound may be over by then.
        plan = Plan::new(settings, &input.facts).map_err(Fault::settings)?;
        record.planned(&plan);
    }
    if input.header.before > 0.0 && plan.sound() {
        let text = format!(
            "it begins {:.3} s before its nought, which GStreamer takes for nought: sound may come so much later",
            input.header.before
        );
        note(job, record, &text);
    }
    input.left_out.iter().for_each(|text| note(job, record, text));
    let end = match (stop, input.duration) {
        (Some(stop), Some(length)) => Some(stop.min(length)),
        (stop, length) => stop.or(length),
    };
    let mut total = end.map(|end| end.saturating_sub(settings.start).nseconds() as f64 / 1e9);
    if let Some(slice) = &slice {
        let end = slice.end.map(gst::ClockTime::from_nseconds).or(input.duration);
        total = end.map(|end| (end.nseconds() as f64 - slice.time as f64) / 1e9);
    }
    job.started(plan.width, plan.height, total, plan.sound());

    let output_bin = plan.run(settings, result.path(), &layered.paths())?.launch()?;
    if settings.format == Format::Y4m
        && let Some(pad) =
            output_bin.downcast_ref::<gst::Bin>().and_then(|b| b.by_name("encoder")?.static_pad("sink"))
    {
        raw::pack(&pad);
    }
    let cropped = slice.as_ref().map(|slice| parts::crop(&output_bin, slice)).transpose()?;
    let played = play(&input, output_bin, &plan, (settings, total), watchdog, job, record);
    record.played(&input.pipeline.0);
    input.read_tags();
    record.tagged(&input);
    let rate = input.facts.rate;
    // Return first: a stalled element may hold locks that the next queries need.
    let (state, delivered, counts) = played?;
    // A part of it ends where it is told to.
    if let Some(text) =
        settings.raw.as_ref().filter(|_| range.is_none()).and_then(|raw| raw.check(input.bytes()))
    {
        job.warning(shortfall::CODE, &text);
        record.warning(shortfall::CODE, &text);
    }
    let (mut expected, part) = expected(&input, range);
    // The file is closed before it is looked at.
    drop(input);
    if state.frames == 0 {
        return Err(Fault::damaged("not a single frame came out of it"));
    }
    expected.look(&task.input, part, &delivered, rate, watchdog)?;
    // Of a part, frames that warm up are not encoded.
    let thinned = settings.fps.is_some() || slice.is_some();
    if let Some(shortfall) = expected.shortfall(&delivered, part, rate, thinned) {
        if shortfall.substantial {
            return Err(shortfall.into());
        }
        job.warning(shortfall::CODE, &shortfall.text);
        record.warning(shortfall::CODE, &shortfall.text);
    }
    layered::compare(&settings.also, &counts, &plan, delivered.encoded)?;
    if makes_mp4(settings) {
        let first = if settings.format == Format::Mp4 { edits::mend(result.path()) } else { Ok(()) };
        first
            .and_then(|()| layered.mend(&settings.also))
            .map_err(|e| Fault::output(format!("its edit lists cannot be written: {e}")))?;
    }
    if let Some(fault) = task.changed() {
        return Err(fault);
    }
    let mut old = None;
    if let (Some(part), Some(slice), Some(cropped)) = (&settings.part, &slice, &cropped) {
        // Another machine may have been quicker, and what lies beside its part is not ours to replace.
        if !overwrite && task.output.exists() {
            if settings.resume && parts::there(settings, task).map_err(Fault::output)? == There::Whole {
                job.kept();
                record.kept();
                return Ok(());
            }
            return Err(Fault::output(format!(
                "{} has come to be while its successor was made, and is kept",
                task.output.display()
            )));
        }
        old = Some(mark::Old::of(&task.output).map_err(Fault::output)?);
        let made = parts::Made { settings, task, slice, stream: record.stream() };
        if let Some(text) = part.mark(&made, cropped, result.path()).map_err(Fault::output)? {
            job.warning(parts::CODE, &text);
            record.warning(parts::CODE, &text);
        }
    }
    let sizes = layered.finish(&settings.also).map_err(Fault::output)?;
    let bytes = result.finish().map_err(|text| {
        let text = match settings.also.is_empty() {
            true => text,
            false => format!("{text}; in place are {}", layered::places(&settings.also)),
        };
        // Restore the old file's sidecar: the old file has stayed in its place.
        let back = old.map_or(Ok(()), mark::Old::put_back);
        Fault::output(match back {
            Ok(()) => text,
            Err(e) => format!("{text}; {e}"),
        })
    })?;
    if bytes == Some(0) {
        return Err(Fault::output(format!("nothing was written to {}", task.output.display())));
    }
    let bytes = bytes.unwrap_or(0);
    record.written(&WrittenFiles { frames: state.frames, bytes, layers: &sizes });
    for (also, bytes) in settings.also.iter().zip(&sizes) {
        job.layer(also.layer.nick(), &also.path, state.frames, *bytes);
    }
    job.done(&state, bytes);
    Ok(())
}

/// What the input says is in the part of it that is asked for.
fn expected(input: &Input, range: Option<Range>) -> (ExpectedContent, Span) {
    let seconds = |t: gst::ClockTime| t.nseconds() as f64 / 1e9;
    let part = Span {
        start: range.map_or(0.0, |r| seconds(r.start)),
        stop: range.and_then(|r| r.stop).map_or(f64::INFINITY, seconds),
    };
    (ExpectedContent::new(input, part), part)
}

/// Tells the user, and keeps it for the record.
fn note(job: &Job<'_>, record: &mut ConvertRecord<'_>, text: &str) {
    job.note(text);
    record.note(text);
}

/// Plays the input through the rest of the pipeline, to the end.
fn play(
    input: &Input,
    output_bin: gst::Element,
    plan: &Plan,
    (settings, total): (&Settings, Option<f64>),
    watchdog: &Watchdog,
    job: &Job<'_>,
    record: &mut ConvertRecord<'_>,
) -> Result<(Progress, Delivered, Vec<Arc<layered::Count>>), Fault> {
    let odd = |text: String| Fault::from(text);
    let output_bin = output_bin.downcast::<gst::Bin>().map_err(|_| odd("the pipeline is but one element".into()))?;
    let counters = Arc::new(EncoderCounters::default());
    let still = input.facts.rate == 0.0 && input.tags.container.is_none();
    check_frames(&output_bin, plan, still, &counters, watchdog)?;
    count_frames(&output_bin, plan, input.facts.rate, &counters)?;
    let counts = layered::count_layers(&output_bin, plan, &settings.also, watchdog)?;
    let video = output_bin.by_name("video").and_then(|e| e.static_pad("sink"));
    let wrong = Arc::clone(&counters);
    let times = video.map(|pad| {
        times::mend(&pad, settings.fps, move |fault| {
            lock(&wrong.wrong).get_or_insert(fault);
        })
    });
    let pipeline = &input.pipeline.0;
    pipeline.add(&output_bin).map_err(|e| odd(e.to_string()))?;
    // Awake before the first frame is let go, else that would be refused.
    let unfit = || {
        let told = watchdog.failure(pipeline);
        told.unwrap_or_else(|| odd(format!("it cannot be converted, and GStreamer does not say why: {LOOK}")))
    };
    output_bin.sync_state_with_parent().map_err(|_| unfit())?;
    input.release(&output_bin)?;
    watchdog.touch();
    pipeline.set_state(gst::State::Playing).map_err(|_| unfit())?;
    let began = Instant::now();
    let state = || Progress {
        frames: counters.frames.load(Ordering::Relaxed),
        seconds: counters.until.load(Ordering::Relaxed) as f64 / 1e9,
        total,
        worked: began.elapsed().as_secs_f64(),
    };
    loop {
        let message = watchdog.next(pipeline)?;
        // Before the message is: an error, and even the end, may follow from it.
        if let Some(wrong) = lock(&counters.wrong).take() {
            return Err(wrong);
        }
        match message.as_ref().map(|m| m.view()) {
            Some(gst::MessageView::Error(e)) => return Err(e.into()),
            Some(gst::MessageView::Warning(w)) => {
                let ours = w.details().is_some_and(|d| d.name() == "bgremove-warning");
                job.note(w.error().message());
                // Those of bgremove are in its own part of the record.
                if !ours {
                    record.note(w.error().message());
                }
            }
            // What was said before the work turned out otherwise.
            Some(gst::MessageView::Info(i)) => {
                let model = i.details().and_then(|d| d.get::<String>("model").ok());
                if model.is_some() && model.as_deref() != settings.chosen().map(|c| c.model) {
                    note(job, record, i.error().message());
                }
            }
            Some(gst::MessageView::Eos(_)) => {
                // Of such a track mp4mux makes a file that cannot be read.
                if plan.sound() && !counters.sound.load(Ordering::Relaxed) {
                    return Err(Fault::input(
                        "nothing of its sound could be decoded: --audio drop leaves it out",
                    ));
                }
                job.progress(&state());
                let notes = times.map(|t| t.mended().notes()).unwrap_or_default();
                notes.iter().for_each(|text| note(job, record, text));
                return Ok((state(), counters.delivered(plan.sound()), counts));
            }
            _ => {}
        }
        job.progress(&state());
    }
}
