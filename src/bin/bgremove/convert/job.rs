//! One conversion, from the opened input to the whole file in its place.

use super::edits;
use super::fault::{Fault, LOOK};
use super::format::Format;
use super::input::{Input, Range};
use super::layered::{self, Layered};
use super::output::Output;
use super::picture;
use super::plan::Plan;
use super::probes::{Given, follow, look};
use super::progress::{Job, Progress};
use super::raw;
use super::record::{Account, Written};
use super::short::{Came, Promise, Span};
use super::times;
use super::ts;
use super::uneven::uneven;
use super::watch::Watch;
use super::{Settings, Task, short};
use super::parts::mark::{self, There};
use super::parts::{self, Slice};
use gst::prelude::*;
use gstbgremove::sync::lock;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Prints the pipeline for an input.
pub fn print(settings: &Settings, input: &Path, output: &Path, watch: &Watch) -> Result<String, Fault> {
    refuse(input)?;
    let mut opened = Input::open(input, settings, None, watch)?;
    opened.facts.uneven = makes_mp4(settings) && input.is_file() && uneven(input, watch);
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
    watch: &Watch,
    job: &Job<'_>,
    account: &mut Account<'_>,
) -> Result<(), Fault> {
    let mut overwrite = settings.overwrite;
    if settings.resume {
        match parts::there(settings, task).map_err(Fault::output)? {
            There::Whole => {
                job.kept();
                account.kept();
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
        note(job, account, &text);
    }
    let layered = Layered::begin(settings).map_err(Fault::output)?;
    let even = !makes_mp4(settings) || !task.input.is_file() || !uneven(&task.input, watch);
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
            note(job, account, text);
        }
    } else if settings.raw.is_none() {
        let stop = stop.map(|t| t.nseconds() as f64 / 1e9);
        if let Some(text) = ts::check(&task.input, stop, watch)? {
            job.warning(ts::CODE, &text);
            account.warning(ts::CODE, &text);
        }
    }
    let opened = Input::open(&task.input, settings, at_once, watch);
    let mut input = opened.map_err(|fault| picture::explain(&task.input, fault))?;
    input.facts.uneven = !even;
    account.opened(&input);
    let slice = settings.part.as_ref().map(|part| part.slice(settings, &input, watch)).transpose()?;
    let range = slice.as_ref().map_or(range, Slice::range);
    let mut plan = Plan::new(settings, &input.facts).map_err(Fault::settings)?;
    account.planned(&plan);
    if input.facts.hlg {
        let text = "HDR video (hybrid log-gamma) becomes ordinary video; bright parts may look flat";
        note(job, account, text);
    }
    if input.facts.channels.is_some() && settings.sound_wanted() && !settings.format.has_sound() {
        note(job, account, &format!("its sound is left out: {} holds none", settings.format.name()));
    }
    if let Some(range) = range.filter(|_| at_once.is_none()) {
        if !input.seek(range, watch)? {
            drop(input);
            input = Input::open(&task.input, settings, Some(range), watch)?;
            // A picture that stands where the part begins is only known by the one after it.
            if let Some(standing) = input.standing() {
                drop(input);
                let range = Range { standing: Some(standing), ..range };
                input = Input::open(&task.input, settings, Some(range), watch)?;
            }
            input.facts.uneven = !even;
        }
        // Its sound may be over by then.
        plan = Plan::new(settings, &input.facts).map_err(Fault::settings)?;
        account.planned(&plan);
    }
    if input.header.before > 0.0 && plan.sound() {
        let text = format!(
            "it begins {:.3} s before its nought, which GStreamer takes for nought: sound may come so much later",
            input.header.before
        );
        note(job, account, &text);
    }
    input.left_out.iter().for_each(|text| note(job, account, text));
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

    let rest = plan.run(settings, result.path(), &layered.paths())?.launch()?;
    if settings.format == Format::Y4m
        && let Some(pad) =
            rest.downcast_ref::<gst::Bin>().and_then(|b| b.by_name("encoder")?.static_pad("sink"))
    {
        raw::pack(&pad);
    }
    let cropped = slice.as_ref().map(|slice| parts::crop(&rest, slice)).transpose()?;
    let played = play(&input, rest, &plan, (settings, total), watch, job, account);
    account.played(&input.pipeline.0);
    input.read_tags();
    account.tagged(&input);
    let rate = input.facts.rate;
    // Return first: a stalled element may hold locks that the next queries need.
    let (state, came, counts) = played?;
    // A part of it ends where it is told to.
    if let Some(text) =
        settings.raw.as_ref().filter(|_| range.is_none()).and_then(|raw| raw.check(input.bytes()))
    {
        job.warning(short::CODE, &text);
        account.warning(short::CODE, &text);
    }
    let (mut promise, part) = promise(&input, range);
    // The file is closed before it is looked at.
    drop(input);
    if state.frames == 0 {
        return Err(Fault::damaged("not a single frame came out of it"));
    }
    promise.look(&task.input, part, &came, rate, watch)?;
    // Of a part, frames that warm up are not encoded.
    let thinned = settings.fps.is_some() || slice.is_some();
    if let Some(short) = promise.short(&came, part, rate, thinned) {
        if short.substantial {
            return Err(short.into());
        }
        job.warning(short::CODE, &short.text);
        account.warning(short::CODE, &short.text);
    }
    layered::compare(&settings.also, &counts, &plan, came.encoded)?;
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
                account.kept();
                return Ok(());
            }
            return Err(Fault::output(format!(
                "{} has come to be while its successor was made, and is kept",
                task.output.display()
            )));
        }
        old = Some(mark::Old::of(&task.output).map_err(Fault::output)?);
        let made = parts::Made { settings, task, slice, stream: account.stream() };
        if let Some(text) = part.mark(&made, cropped, result.path()).map_err(Fault::output)? {
            job.warning(parts::CODE, &text);
            account.warning(parts::CODE, &text);
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
    account.written(&Written { frames: state.frames, bytes, layers: &sizes });
    for (also, bytes) in settings.also.iter().zip(&sizes) {
        job.layer(also.layer.nick(), &also.path, state.frames, *bytes);
    }
    job.done(&state, bytes);
    Ok(())
}

/// What the input says is in the part of it that is asked for.
fn promise(input: &Input, range: Option<Range>) -> (Promise, Span) {
    let seconds = |t: gst::ClockTime| t.nseconds() as f64 / 1e9;
    let part = Span {
        start: range.map_or(0.0, |r| seconds(r.start)),
        stop: range.and_then(|r| r.stop).map_or(f64::INFINITY, seconds),
    };
    (Promise::new(input, part), part)
}

/// Tells the user, and keeps it for the record.
fn note(job: &Job<'_>, account: &mut Account<'_>, text: &str) {
    job.note(text);
    account.note(text);
}

/// Plays the input through the rest of the pipeline, to the end.
fn play(
    input: &Input,
    rest: gst::Element,
    plan: &Plan,
    (settings, total): (&Settings, Option<f64>),
    watch: &Watch,
    job: &Job<'_>,
    account: &mut Account<'_>,
) -> Result<(Progress, Came, Vec<Arc<layered::Count>>), Fault> {
    let odd = |text: String| Fault::from(text);
    let rest = rest.downcast::<gst::Bin>().map_err(|_| odd("the pipeline is but one element".into()))?;
    let given = Arc::new(Given::default());
    let still = input.facts.rate == 0.0 && input.tags.container.is_none();
    look(&rest, plan, still, &given, watch)?;
    follow(&rest, plan, input.facts.rate, &given)?;
    let counts = layered::follow(&rest, plan, &settings.also, watch)?;
    let video = rest.by_name("video").and_then(|e| e.static_pad("sink"));
    let wrong = Arc::clone(&given);
    let times = video.map(|pad| {
        times::mend(&pad, settings.fps, move |fault| {
            lock(&wrong.wrong).get_or_insert(fault);
        })
    });
    let pipeline = &input.pipeline.0;
    pipeline.add(&rest).map_err(|e| odd(e.to_string()))?;
    // Awake before the first frame is let go, else that would be refused.
    let unfit = || {
        let told = watch.failure(pipeline);
        told.unwrap_or_else(|| odd(format!("it cannot be converted, and GStreamer does not say why: {LOOK}")))
    };
    rest.sync_state_with_parent().map_err(|_| unfit())?;
    input.release(&rest)?;
    watch.touch();
    pipeline.set_state(gst::State::Playing).map_err(|_| unfit())?;
    let began = Instant::now();
    let state = || Progress {
        frames: given.frames.load(Ordering::Relaxed),
        seconds: given.until.load(Ordering::Relaxed) as f64 / 1e9,
        total,
        worked: began.elapsed().as_secs_f64(),
    };
    loop {
        let message = watch.next(pipeline)?;
        // Before the message is: an error, and even the end, may follow from it.
        if let Some(wrong) = lock(&given.wrong).take() {
            return Err(wrong);
        }
        match message.as_ref().map(|m| m.view()) {
            Some(gst::MessageView::Error(e)) => return Err(e.into()),
            Some(gst::MessageView::Warning(w)) => {
                let ours = w.details().is_some_and(|d| d.name() == "bgremove-warning");
                job.note(w.error().message());
                // Those of bgremove are in its own part of the record.
                if !ours {
                    account.note(w.error().message());
                }
            }
            // What was said before the work turned out otherwise.
            Some(gst::MessageView::Info(i)) => {
                let model = i.details().and_then(|d| d.get::<String>("model").ok());
                if model.is_some() && model.as_deref() != settings.chosen().map(|c| c.model) {
                    note(job, account, i.error().message());
                }
            }
            Some(gst::MessageView::Eos(_)) => {
                // Of such a track mp4mux makes a file that cannot be read.
                if plan.sound() && !given.sound.load(Ordering::Relaxed) {
                    return Err(Fault::input(
                        "nothing of its sound could be decoded: --audio drop leaves it out",
                    ));
                }
                job.progress(&state());
                let notes = times.map(|t| t.mended().notes()).unwrap_or_default();
                notes.iter().for_each(|text| note(job, account, text));
                return Ok((state(), given.came(plan.sound()), counts));
            }
            _ => {}
        }
        job.progress(&state());
    }
}
