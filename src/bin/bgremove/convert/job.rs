//! One conversion, from the opened input to the whole file in its place.

use super::edits;
use super::fault::{Fault, LOOK};
use super::format::Format;
use super::input::{Input, Range};
use super::layered::{self, Layered};
use super::output::Output;
use super::parts::mark::{self, There};
use super::parts::{self, Slice, WrittenFrames};
use super::picture;
use super::plan::Plan;
use super::probes::{EncoderCounters, check_frames, count_frames, keep_first_length};
use super::progress::{Job, Progress};
use super::raw;
use super::record::{ConvertRecord, WrittenFiles};
use super::shortfall::{Delivered, ExpectedContent, Span};
use super::times;
use super::ts;
use super::uneven::uneven;
use super::watchdog::Watchdog;
use super::{Settings, Task, shortfall};
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
    opened.facts.uneven = is_uneven(settings, input, watchdog);
    Ok(Plan::new(settings, &opened.facts).map_err(Fault::settings)?.print(settings, input, output)?)
}

/// Whether any of the files is one that has trouble with unevenly spaced frames.
fn makes_mp4(settings: &Settings) -> bool {
    settings.also.iter().map(|a| a.format).chain([settings.format]).any(|f| f == Format::Mp4)
}

/// Whether the input has unevenly spaced frames, and a file is made that has trouble with them.
fn is_uneven(settings: &Settings, input: &Path, watchdog: &Watchdog) -> bool {
    makes_mp4(settings) && input.is_file() && uneven(input, watchdog)
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
    Conversion { settings, task, watchdog, job, record }.run()
}

/// One conversion, and who is told of it.
struct Conversion<'a, 'r> {
    settings: &'a Settings,
    task: &'a Task,
    watchdog: &'a Watchdog,
    job: &'a Job<'a>,
    record: &'a mut ConvertRecord<'r>,
}

/// The files in the making, under other names.
struct Files {
    result: Output,
    layered: Layered,
    /// Whether what is in the result's place may be replaced.
    overwrite: bool,
}

/// An input that is ready to play, and what is made of it.
struct Source {
    input: Input,
    plan: Plan,
    /// What of it is converted; `None` for all.
    range: Option<Range>,
    /// The part that is made of it, if one is.
    slice: Option<Slice>,
    /// Seconds to convert, if that is known.
    total: Option<f64>,
}

/// What came of playing an input to its end.
struct Played {
    progress: Progress,
    delivered: Delivered,
    layers: Vec<Arc<layered::Count>>,
    expected: ExpectedContent,
    /// What of the input was asked for.
    span: Span,
    /// The input's frames a second, 0 where that is not known.
    rate: f64,
    plan: Plan,
    /// The part, and which of its frames were written.
    slice: Option<(Slice, WrittenFrames)>,
}

impl Conversion<'_, '_> {
    fn run(&mut self) -> Result<(), Fault> {
        let Some(overwrite) = self.may_overwrite()? else {
            self.keep();
            return Ok(());
        };
        let files = self.begin(overwrite)?;
        let source = self.open()?;
        let mut played = self.play(source, &files)?;
        self.verify(&mut played)?;
        self.mend(&files)?;
        if let Some(fault) = self.task.changed() {
            return Err(fault);
        }
        self.commit(&played, files)
    }

    /// Tells the user, and keeps it for the record.
    fn note(&mut self, text: &str) {
        self.job.note(text);
        self.record.note(text);
    }

    /// Warns the user, and keeps it for the record.
    fn warn(&mut self, code: &str, text: &str) {
        self.job.warning(code, text);
        self.record.warning(code, text);
    }

    /// The result is there already, and stays.
    fn keep(&mut self) {
        self.job.kept();
        self.record.kept();
    }

    /// Whether what is in the result's place may be replaced; `None` if that is the whole result.
    fn may_overwrite(&self) -> Result<Option<bool>, Fault> {
        let overwrite = self.settings.overwrite;
        if !self.settings.resume {
            return Ok(Some(overwrite));
        }
        match parts::there(self.settings, self.task).map_err(Fault::output)? {
            There::Whole => Ok(None),
            There::Broken => Ok(Some(true)),
            There::Other(what) if !overwrite => {
                Err(Fault::output(format!("{what}: give --overwrite to replace it")))
            }
            There::Nothing | There::Other(_) => Ok(Some(overwrite)),
        }
    }

    /// Begins the files.
    fn begin(&mut self, overwrite: bool) -> Result<Files, Fault> {
        let begin = if self.settings.part.is_some() { Output::among_others } else { Output::begin };
        let result = begin(&self.task.output, self.settings.format, overwrite).map_err(Fault::output)?;
        if result.swept > 0 {
            let swept = result.swept;
            self.note(&format!("{swept} unfinished parts of conversions that were ended are taken away"));
        }
        let layered = Layered::begin(self.settings).map_err(Fault::output)?;
        Ok(Files { result, layered, overwrite })
    }

    /// Opens the input where it is to begin, and plans what is made of it.
    fn open(&mut self) -> Result<Source, Fault> {
        let (settings, task, watchdog) = (self.settings, self.task, self.watchdog);
        let uneven = is_uneven(settings, &task.input, watchdog);
        let stop = settings.duration.map(|d| settings.start + d);
        let range = (settings.start > gst::ClockTime::ZERO || stop.is_some()).then_some(Range {
            start: settings.start,
            stop,
            standing: None,
            exact: None,
        });
        // A pipe is read once.
        let at_once = range.filter(|_| !task.input.is_file());
        self.check_source(stop)?;
        let opened = Input::open(&task.input, settings, at_once, watchdog);
        let mut input = opened.map_err(|fault| picture::explain(&task.input, fault))?;
        input.facts.uneven = uneven;
        self.record.opened(&input);
        let slice = settings.part.as_ref().map(|part| part.slice(settings, &input, watchdog)).transpose()?;
        let range = slice.as_ref().map_or(range, Slice::range);
        let mut plan = Plan::new(settings, &input.facts).map_err(Fault::settings)?;
        self.record.planned(&plan);
        if input.facts.hlg {
            self.note("HDR video (hybrid log-gamma) becomes ordinary video; bright parts may look flat");
        }
        if input.facts.channels.is_some() && settings.sound_wanted() && !settings.format.has_sound() {
            self.note(&format!("its sound is left out: {} holds none", settings.format.name()));
        }
        if let Some(range) = range.filter(|_| at_once.is_none()) {
            input = self.go_to(range, input, uneven, plan.sound())?;
            // Its sound may be over by then.
            plan = Plan::new(settings, &input.facts).map_err(Fault::settings)?;
            self.record.planned(&plan);
        }
        if input.header.before > 0.0 && plan.sound() {
            self.note(&format!(
                "it begins {:.3} s before its nought, which GStreamer takes for nought: sound may come so much later",
                input.header.before
            ));
        }
        input.left_out.iter().for_each(|text| self.note(text));
        let total = self.seconds(stop, slice.as_ref(), input.duration);
        Ok(Source { input, plan, range, slice, total })
    }

    /// Looks at the input before it is opened, as far as that can be done.
    fn check_source(&mut self, stop: Option<gst::ClockTime>) -> Result<(), Fault> {
        let (settings, task) = (self.settings, self.task);
        let input = &task.input;
        if settings.part.is_some() && !input.is_file() {
            return Err(Fault::input(
                "a part of it cannot be found, since it is no file and can be read only once",
            ));
        }
        if settings.raw.is_some() {
            return Ok(());
        }
        refuse(input)?;
        if std::fs::metadata(input).is_ok_and(|m| !m.is_file() && !m.is_dir()) {
            self.note(
                "it is no regular file and is read once: its header is not looked at, and what GStreamer gets wrong in \
                 it (edit lists, turned Matroska, animated pictures) is neither mended nor told",
            );
            return Ok(());
        }
        let stop = stop.map(|t| t.nseconds() as f64 / 1e9);
        if let Some(text) = ts::check(input, stop, self.watchdog)? {
            self.warn(ts::CODE, &text);
        }
        Ok(())
    }

    /// Brings an input to a part of it: by a seek, or by opening it anew where a seek would not be exact.
    fn go_to(&self, range: Range, mut input: Input, uneven: bool, sound: bool) -> Result<Input, Fault> {
        if input.seek(range, sound, self.watchdog)? {
            return Ok(input);
        }
        drop(input);
        let open = |range| Input::open(&self.task.input, self.settings, Some(range), self.watchdog);
        input = open(range)?;
        // A picture that stands where the part begins is only known by the one after it.
        if let Some(standing) = input.standing() {
            drop(input);
            input = open(Range { standing: Some(standing), ..range })?;
        }
        input.facts.uneven = uneven;
        Ok(input)
    }

    /// How many seconds of an input of this length are converted, if that is known.
    fn seconds(
        &self,
        stop: Option<gst::ClockTime>,
        slice: Option<&Slice>,
        length: Option<gst::ClockTime>,
    ) -> Option<f64> {
        if let Some(slice) = slice {
            let end = slice.end.map(gst::ClockTime::from_nseconds).or(length)?;
            return Some((end.nseconds() as f64 - slice.time as f64) / 1e9);
        }
        let end = stop.into_iter().chain(length).min()?;
        Some(end.saturating_sub(self.settings.start).nseconds() as f64 / 1e9)
    }

    /// Plays the input into the files.
    fn play(&mut self, source: Source, files: &Files) -> Result<Played, Fault> {
        let Source { mut input, plan, range, slice, total } = source;
        self.job.started(plan.width, plan.height, total, plan.sound());
        let output_bin = plan.run(self.settings, files.result.path(), &files.layered.paths())?.launch()?;
        if self.settings.format == Format::Y4m
            && let Some(bin) = output_bin.downcast_ref::<gst::Bin>()
            && let Some(pad) = bin.by_name("encoder").and_then(|e| e.static_pad("sink"))
        {
            raw::pack(&pad);
        }
        let crop = |slice| parts::crop(&output_bin, &slice).map(|written| (slice, written));
        let slice = slice.map(crop).transpose()?;
        let played = self.play_to_the_end(&input, output_bin, &plan, total);
        self.record.played(&input.pipeline.0);
        input.read_tags();
        self.record.tagged(&input);
        let rate = input.facts.rate;
        // Return first: a stalled element may hold locks that the next queries need.
        let (progress, delivered, layers) = played?;
        // A part of it ends where it is told to.
        if let Some(raw) = self.settings.raw.as_ref().filter(|_| range.is_none())
            && let Some(text) = raw.check(input.bytes())
        {
            self.warn(shortfall::CODE, &text);
        }
        let (expected, span) = expected(&input, range);
        // The file is closed before it is looked at.
        drop(input);
        Ok(Played { progress, delivered, layers, expected, span, rate, plan, slice })
    }

    /// Plays the input through the rest of the pipeline, to the end.
    fn play_to_the_end(
        &mut self,
        input: &Input,
        output_bin: gst::Element,
        plan: &Plan,
        total: Option<f64>,
    ) -> Result<(Progress, Delivered, Vec<Arc<layered::Count>>), Fault> {
        let (settings, watchdog) = (self.settings, self.watchdog);
        let odd = |text: String| Fault::from(text);
        let output_bin =
            output_bin.downcast::<gst::Bin>().map_err(|_| odd("the pipeline is but one element".into()))?;
        let counters = Arc::new(EncoderCounters::default());
        let still = input.facts.rate == 0.0 && input.tags.container.is_none();
        check_frames(&output_bin, plan, still, &counters, watchdog)?;
        count_frames(&output_bin, plan, input.facts.rate, &counters)?;
        keep_first_length(&output_bin);
        let layers = layered::count_layers(&output_bin, plan, &settings.also, watchdog)?;
        let video = output_bin.by_name("video").and_then(|e| e.static_pad("sink"));
        let wrong = Arc::clone(&counters);
        let times = video.map(|pad| {
            times::mend(&pad, settings.fps, move |fault| {
                lock(&wrong.wrong).get_or_insert(fault);
            })
        });
        let pipeline = &input.pipeline.0;
        pipeline.add(&output_bin).map_err(|e| odd(e.to_string()))?;
        let unfit = || {
            let told = watchdog.failure(pipeline);
            told.unwrap_or_else(|| {
                odd(format!("it cannot be converted, and GStreamer does not say why: {LOOK}"))
            })
        };
        // Awake before the first frame is let go, else that would be refused.
        output_bin.sync_state_with_parent().map_err(|_| unfit())?;
        input.release(&output_bin)?;
        watchdog.touch();
        pipeline.set_state(gst::State::Playing).map_err(|_| unfit())?;
        let began = Instant::now();
        let progress = || Progress {
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
            let is_end = message.map_or(Ok(false), |message| self.hear(&message))?;
            if is_end {
                // Of such a track mp4mux makes a file that cannot be read.
                if plan.sound() && !counters.sound.load(Ordering::Relaxed) {
                    return Err(Fault::input(
                        "nothing of its sound could be decoded: --audio drop leaves it out",
                    ));
                }
                self.job.progress(&progress());
                let notes = times.map(|t| t.mended().notes()).unwrap_or_default();
                notes.iter().for_each(|text| self.note(text));
                return Ok((progress(), counters.delivered(plan.sound()), layers));
            }
            self.job.progress(&progress());
        }
    }

    /// Passes on what a message tells; whether it is the end.
    fn hear(&mut self, message: &gst::Message) -> Result<bool, Fault> {
        match message.view() {
            gst::MessageView::Error(e) => return Err(e.into()),
            gst::MessageView::Eos(_) => return Ok(true),
            gst::MessageView::Warning(w) => {
                let ours = w.details().is_some_and(|d| d.name() == "bgremove-warning");
                self.job.note(w.error().message());
                // Those of bgremove are in its own part of the record.
                if !ours {
                    self.record.note(w.error().message());
                }
            }
            // What was said before the work turned out otherwise.
            gst::MessageView::Info(i) => {
                let model = i.details().and_then(|d| d.get::<String>("model").ok());
                if model.is_some() && model.as_deref() != self.settings.chosen().map(|c| c.model) {
                    self.note(i.error().message());
                }
            }
            _ => {}
        }
        Ok(false)
    }

    /// Holds what came out against what the input says is in it.
    fn verify(&mut self, played: &mut Played) -> Result<(), Fault> {
        if played.progress.frames == 0 {
            return Err(Fault::damaged("not a single frame came out of it"));
        }
        let (span, rate, delivered) = (played.span, played.rate, &played.delivered);
        if delivered.broken > 0 {
            self.note(&format!(
                "{} of its frames are damaged, or made from frames that are missing, says the decoder",
                delivered.broken
            ));
        }
        played.expected.look(&self.task.input, span, delivered, rate, self.watchdog)?;
        // Of a part, frames that warm up are not encoded.
        let thinned = self.settings.fps.is_some() || played.slice.is_some();
        if let Some(shortfall) = played.expected.shortfall(delivered, span, rate, thinned) {
            if shortfall.substantial {
                return Err(shortfall.into());
            }
            self.warn(shortfall::CODE, &shortfall.text);
        }
        layered::compare(&self.settings.also, &played.layers, &played.plan, delivered.encoded)
    }

    /// Mends what muxers have written.
    fn mend(&self, files: &Files) -> Result<(), Fault> {
        if !makes_mp4(self.settings) {
            return Ok(());
        }
        let is_mp4 = self.settings.format == Format::Mp4;
        let first = if is_mp4 { edits::mend(files.result.path()) } else { Ok(()) };
        first
            .and_then(|()| files.layered.mend(&self.settings.also))
            .map_err(|e| Fault::output(format!("its edit lists cannot be written: {e}")))
    }

    /// Puts the files in their places.
    fn commit(&mut self, played: &Played, files: Files) -> Result<(), Fault> {
        let (settings, task) = (self.settings, self.task);
        let mut old = None;
        if let (Some(part), Some((slice, written))) = (&settings.part, &played.slice) {
            // Another machine may have been quicker, and what lies beside its part is not ours to replace.
            if !files.overwrite && task.output.exists() {
                if settings.resume && parts::there(settings, task).map_err(Fault::output)? == There::Whole {
                    self.keep();
                    return Ok(());
                }
                return Err(Fault::output(format!(
                    "{} has come to be while its successor was made, and is kept",
                    task.output.display()
                )));
            }
            old = Some(mark::Old::of(&task.output).map_err(Fault::output)?);
            let made = parts::Made { settings, task, slice, stream: self.record.stream() };
            let text = part.mark(&made, written, files.result.path()).map_err(Fault::output)?;
            if let Some(text) = text {
                self.warn(parts::CODE, &text);
            }
        }
        let sizes = files.layered.finish(&settings.also).map_err(Fault::output)?;
        let bytes = files.result.finish().map_err(|text| {
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
        let (frames, bytes) = (played.progress.frames, bytes.unwrap_or(0));
        self.record.written(&WrittenFiles { frames, bytes, layers: &sizes });
        for (also, bytes) in settings.also.iter().zip(&sizes) {
            self.job.layer(also.layer.nick(), &also.path, frames, *bytes);
        }
        self.job.done(&played.progress, bytes);
        Ok(())
    }
}

/// What the input says is in the part of it that is asked for.
fn expected(input: &Input, range: Option<Range>) -> (ExpectedContent, Span) {
    let seconds = |t: gst::ClockTime| t.nseconds() as f64 / 1e9;
    let span = Span {
        start: range.map_or(0.0, |r| seconds(r.start)),
        stop: range.and_then(|r| r.stop).map_or(f64::INFINITY, seconds),
    };
    (ExpectedContent::new(input, span), span)
}
