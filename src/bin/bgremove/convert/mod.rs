//! `bgremove convert`: a clip without its background, as one of six file formats, or as Y4M or raw frames for a pipe.
//!
//! Thin: it builds a pipeline of public elements, which `--print-pipeline` prints, and looks after it: the input
//! waits at its first frame until everything is known ([`input`], [`plan`]), the result is written under
//! another name until it is whole ([`output`]), and whoever waits hears how far it is ([`progress`]).

pub(crate) mod also;
mod arguments;
pub(crate) mod canvas;
mod color;
mod demux;
pub(crate) mod edits;
pub(crate) mod fault;
pub mod format;
pub(crate) mod header;
pub(crate) mod input;
mod job;
pub mod launch_line;
mod layered;
pub(crate) mod output;
pub(crate) mod packets;
pub(crate) mod parts;
mod picture;
pub(crate) mod plan;
mod premultiply;
mod probes;
pub(crate) mod progress;
mod raw;
pub(crate) mod record;
mod shortfall;
mod subjects;
#[cfg(test)]
mod tests;
mod times;
pub(crate) mod tracks;
mod trim;
mod ts;
mod uneven;
pub(crate) mod values;
pub(crate) mod watchdog;

pub use arguments::{Args, EXIT_CODES};

use crate::Failure;
use crate::inbox::{self, Come, FileState, Inbox};
use also::Also;
use canvas::Canvas;
use fault::Fault;
use format::{Codec, Format};
use gst::prelude::*;
use gstbgremove::auto::{self, Chosen};
use gstbgremove::compose;
use gstbgremove::models;
use gstbgremove::sync::lock;
use launch_line::LaunchLine;
use parts::PartChoice;
use progress::ProgressOutput;
use raw::Raw;
use record::ConvertRecord;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracks::TrackChoice;
use watchdog::Watchdog;

/// What stands behind the subject.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Background {
    Transparent,
    /// What bgremove's own property takes: a colour, a blur, a picture.
    Text(String),
    /// Another video.
    Clip(PathBuf),
}

/// What is to be done to every input.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub format: Format,
    pub codec: Codec,
    pub quality: u32,
    pub model: String,
    pub background: Background,
    /// Further properties of bgremove.
    pub set: Vec<(String, String)>,
    /// Where in the input to start.
    pub start: gst::ClockTime,
    /// How much of it to convert; `None` to its end.
    pub duration: Option<gst::ClockTime>,
    /// The box that frames are fitted into.
    pub size: Option<(u32, u32)>,
    pub fps: Option<u32>,
    /// Whether the result has sound where the input has.
    pub sound: bool,
    /// Whether sound was asked to be dropped.
    pub drop_sound: bool,
    /// Which of several streams, if that is said.
    pub video_track: Option<TrackChoice>,
    pub audio_track: Option<TrackChoice>,
    pub overwrite: bool,
    /// Whether alpha is multiplied into the colours.
    pub premultiplied: bool,
    /// How frames lie in inputs that are nothing but frames.
    pub raw: Option<Raw>,
    /// Which part of it, if not the whole.
    pub part: Option<PartChoice>,
    /// What is there already is not made again.
    pub resume: bool,
    /// Further layers, of the only input.
    pub also: Vec<Also>,
    /// Where the result stands.
    pub canvas: Option<Canvas>,
}

impl Settings {
    /// What is asked for, if nothing is said but the format.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            codec: Codec::default(),
            quality: 75,
            model: auto::AUTO.into(),
            background: Background::Transparent,
            set: Vec::new(),
            start: gst::ClockTime::ZERO,
            duration: None,
            size: None,
            fps: None,
            sound: true,
            drop_sound: false,
            video_track: None,
            audio_track: None,
            overwrite: false,
            premultiplied: false,
            raw: None,
            part: None,
            resume: false,
            also: Vec::new(),
            canvas: None,
        }
    }

    /// Whether frames keep their alpha up to the encoder.
    fn alpha(&self) -> bool {
        self.background == Background::Transparent && !self.matte()
    }

    /// Whether the matte alone is asked for.
    fn matte(&self) -> bool {
        self.set.iter().any(|(n, v)| n == "output" && (v == "matte" || v == "1"))
    }

    /// Whether a colour or a picture stands behind the subject.
    fn is_opaque_still(&self) -> bool {
        let Background::Text(text) = &self.background else { return false };
        text == "color"
            || matches!(
                compose::parse(text),
                Ok(compose::Background::Color(_) | compose::Background::Image(_))
            )
    }

    pub fn sound_wanted(&self) -> bool {
        !self.drop_sound
    }

    /// The properties of bgremove, as words behind its name.
    fn element<'a>(&self, line: &'a mut LaunchLine) -> &'a mut LaunchLine {
        for (name, value) in self.properties() {
            line.set(name, value);
        }
        if let Some(layers) = also::layers(&self.also) {
            line.set("layers", &layers);
        }
        line
    }

    /// What is set of bgremove, by name.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        let background = match &self.background {
            // Of a canvas it is the canvas's.
            Background::Text(text) if self.canvas.is_none() => Some(("background", text.as_str())),
            _ => None,
        };
        let set = self.set.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        // The network runs ahead of what is written, and takes the time that it needs: what stalls is seen by `Watchdog`.
        let usual = [
            ("model", self.model.as_str()),
            ("refine", "learned"),
            ("lookahead", "3"),
            ("inference-timeout", "0"),
        ];
        usual.into_iter().chain(background).chain(set)
    }

    /// The `resolution` that frames of this size get where nothing is said, if it is another one than the network's usual.
    pub fn files_resolution(&self, (width, height): (u32, u32)) -> Option<usize> {
        let options = self.model_options();
        if self.property("resolution").is_some() || options.is_some_and(|said| said.has_field("short-side")) {
            return None;
        }
        let model = self.chosen().map_or(self.model.as_str(), |c| c.model);
        models::files_resolution(model, width.min(height) as usize)
    }

    fn model_options(&self) -> Option<gst::Structure> {
        self.property("model-options")?.parse().ok()
    }

    /// What is set of bgremove by this name; of what is said several times the last counts.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties().filter(|(n, _)| *n == name).last().map(|(_, value)| value)
    }

    /// What `auto` stands for, if that is asked for; files have no pace that has to be kept.
    pub fn chosen(&self) -> Option<Chosen> {
        (self.model == auto::AUTO).then(|| auto::for_files(&auto::look()))
    }

    /// The network that is asked for, with what is said of it, for frames of this width over their height.
    ///
    /// # Errors
    /// There is no such network.
    pub fn network(&self, aspect: Option<f64>) -> Result<models::Choice, gstbgremove::error::Error> {
        let model = self.chosen().map_or(self.model.as_str(), |c| c.model);
        let mut choice = models::resolve(model, aspect)?;
        if let Some(said) = self.model_options() {
            choice.hints = models::from_structure(&said)?.or(choice.hints);
        }
        Ok(choice)
    }

    /// Everything about the element that can be known to fail, before any work.
    fn check(&self) -> Result<(), Fault> {
        self.check_ranges().map_err(Fault::settings)?;
        let mut line = LaunchLine::new(true);
        self.element(line.start("bgremove"));
        let element = line.launch().map_err(Fault::settings)?;
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let ready = element.set_state(gst::State::Ready);
        // Nothing is left to tell a failure to.
        let _ = element.set_state(gst::State::Null);
        match (ready, bus.pop_filtered(&[gst::MessageType::Error])) {
            (Ok(_), _) => Ok(()),
            (Err(_), Some(message)) => match message.view() {
                gst::MessageView::Error(e) => Err(e.into()),
                _ => Err(Fault::from("bgremove does not start".to_string())),
            },
            (Err(e), None) => Err(Fault::from(e.to_string())),
        }
    }

    /// GObject leaves a number beyond a property's range out, with a warning only.
    fn check_ranges(&self) -> Result<(), String> {
        let element = gst::ElementFactory::make("bgremove").build().map_err(|e| e.to_string())?;
        for (name, text) in self.properties() {
            let range = element.find_property(name).and_then(|p| range(&p));
            if let (Some((least, most)), Ok(number)) = (range, text.parse::<f64>())
                && !(least..=most).contains(&number)
            {
                return Err(format!("--set {name}={text}: {name} takes {least} to {most}"));
            }
        }
        Ok(())
    }
}

/// What a number may be.
fn range(property: &glib::ParamSpec) -> Option<(f64, f64)> {
    macro_rules! of {
        ($($kind:ty),*) => {
            $(if let Some(p) = property.downcast_ref::<$kind>() {
                return Some((p.minimum() as f64, p.maximum() as f64));
            })*
        };
    }
    of!(
        glib::ParamSpecFloat,
        glib::ParamSpecDouble,
        glib::ParamSpecInt,
        glib::ParamSpecUInt,
        glib::ParamSpecUInt64
    );
    None
}

/// An input and where it goes.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub input: PathBuf,
    pub output: PathBuf,
    /// Where the record goes.
    pub report: Option<PathBuf>,
    /// How the input was when it counted as whole, where it may still be written to.
    pub seen: Option<FileState>,
}

impl Task {
    /// That the input is no longer what it was.
    fn changed(&self) -> Option<Fault> {
        let changed = self.seen.as_ref().is_some_and(|look| !look.holds(&self.input));
        changed.then(|| Fault::changed("it changed while it was read: it is tried again when it is whole"))
    }
}

/// GStreamer with our elements, and what says that somebody has had enough.
///
/// # Errors
/// It does not start.
pub(crate) fn start() -> Result<Arc<AtomicBool>, Failure> {
    gst::init().map_err(|e| Failure::Failed(format!("GStreamer does not start: {e}")))?;
    gstbgremove::plugin_register_static()
        .map_err(|e| Failure::Failed(format!("the bgremove element: {e}")))?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // Who presses Ctrl-C twice does not want to wait.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(|e| Failure::Failed(format!("cannot watch for signals: {e}")))?;
    }
    Ok(stop)
}

/// Converts.
///
/// # Errors
/// With one input, why it failed; with several, that some did.
pub fn run(args: &Args) -> Result<(), Failure> {
    let stop = start()?;
    if let Some(picture) = &args.preview_subjects {
        let (settings, input) = args.read_preview().map_err(Failure::Usage)?;
        if let Some(chosen) = settings.chosen() {
            ProgressOutput::new(false).chosen(&chosen);
        }
        let watchdog = Watchdog::new(stop, args.timeout());
        let lines =
            subjects::preview(&settings, &input, picture, &watchdog).map_err(|e| failure(&input, &e))?;
        crate::print(&lines);
        return Ok(());
    }
    let (mut settings, tasks) = args.read().map_err(Failure::Usage)?;
    let watchdog = || Watchdog::new(Arc::clone(&stop), args.timeout());
    if args.print_pipeline {
        settings.check().map_err(|f| Failure::Failed(f.text))?;
        if let Some(chosen) = settings.chosen() {
            ProgressOutput::new(false).chosen(&chosen);
        }
        for task in &tasks {
            let told = |e| failure(&task.input, &e);
            let line = job::print(&settings, &task.input, &task.output, &watchdog()).map_err(told)?;
            crate::print(&format!("{line}\n"));
        }
        let part = settings.start > gst::ClockTime::ZERO || settings.duration.is_some();
        for (holds, note) in [
            (
                part,
                "--start and --duration are not in the line: gst-launch-1.0 cannot go to a place in a file",
            ),
            (
                settings.format == Format::Mov,
                "frames of the line's file do not say what their colours are, as those of convert do",
            ),
            (
                settings.format == Format::Y4m,
                "y4menc garbles frames of a width that is no multiple of 8, which convert packs for it",
            ),
            (
                settings.premultiplied,
                "the line's file has straight alpha: no element of GStreamer multiplies it in",
            ),
        ] {
            if holds {
                let text = format!("bgremove: note: {note}\n");
                let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
            }
        }
        return Ok(());
    }
    for folder in args.output_folder.iter().chain(args.report_folder()) {
        std::fs::create_dir_all(folder)
            .map_err(|e| Failure::Failed(format!("the folder {} cannot be made: {e}", folder.display())))?;
    }
    // A record that cannot be written is known before the work, not after it.
    tasks.iter().filter_map(|t| t.report.as_deref()).try_for_each(record::probe).map_err(Failure::Failed)?;
    if let Err(fault) = settings.check() {
        for task in &tasks {
            ConvertRecord::new(&settings, task)
                .close(task.report.as_deref(), Err(&fault))
                .map_err(Failure::Failed)?;
        }
        return Err(Failure::Failed(fault.text));
    }
    let watched = args.watch.is_some();
    let jobs = if watched { args.jobs } else { args.jobs.min(tasks.len()).max(1) };
    if jobs > 1 && !settings.set.iter().any(|(n, _)| n == "threads") {
        // Several networks share the processors.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        settings.set.push(("threads".into(), (cores / jobs).max(1).to_string()));
    }
    // What is written to standard output is alone there.
    let progress = ProgressOutput::beside(args.json, tasks.iter().any(|t| raw::is_pipe(&t.output)));
    if let Some(chosen) = settings.chosen() {
        progress.chosen(&chosen);
    }
    let alone = tasks.len() == 1 && !watched;
    let work =
        Work { settings: &settings, progress: &progress, stop: &stop, timeout: args.timeout(), jobs, alone };
    if let (Some(folder), Some(into)) = (&args.watch, &args.output_folder) {
        return work.watch_folder(folder, into, args.report_folder().map(PathBuf::as_path));
    }
    let Ended { done, failed } = work.each(&tasks, |_| None);
    if stop.load(Ordering::Relaxed) && done < tasks.len() {
        let whole = if alone { String::new() } else { format!("; {done} of {} were whole", tasks.len()) };
        return Err(Failure::Interrupted(format!("interrupted; nothing unfinished is kept{whole}")));
    }
    if alone {
        return match failed.into_iter().next() {
            None => Ok(()),
            Some((input, fault)) => Err(failure(&input, &fault)),
        };
    }
    let failed: Vec<_> = failed.into_iter().map(|(i, fault)| (i.display().to_string(), fault.text)).collect();
    progress.summary(done, &failed);
    if failed.is_empty() { Ok(()) } else { Err(Failure::Told) }
}

/// What conversions have in common.
struct Work<'a> {
    settings: &'a Settings,
    progress: &'a ProgressOutput,
    stop: &'a Arc<AtomicBool>,
    timeout: Option<Duration>,
    jobs: usize,
    /// There is but one, of whose failure the tool itself tells.
    alone: bool,
}

/// How they went.
struct Ended {
    done: usize,
    failed: Vec<(PathBuf, Fault)>,
}

impl Work<'_> {
    /// Does all, several at a time. `aside` says where the record of one that cannot be converted goes, if none is asked
    /// for.
    fn each(&self, tasks: &[Task], aside: impl Fn(&Task) -> Option<PathBuf> + Sync) -> Ended {
        let work = Mutex::new(tasks.iter().cloned().collect::<VecDeque<_>>());
        let ended = Mutex::new(Ended { done: 0, failed: Vec::new() });
        let next = || lock(&work).pop_front();
        std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| {
                    while let Some(task) = next() {
                        if self.stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let job = self.progress.job(&task.input, &task.output);
                        let mut record = ConvertRecord::new(self.settings, &task);
                        let watchdog = Watchdog::new(Arc::clone(self.stop), self.timeout);
                        let done = job::convert(self.settings, &task, &watchdog, &job, &mut record);
                        // Of half a file it may also be said that it is damaged.
                        let done = done.map_err(|f| task.changed().filter(|_| f.is_of_input()).unwrap_or(f));
                        let failed = done.as_ref().is_err_and(Fault::is_of_input);
                        let path = task.report.clone().or_else(|| failed.then(|| aside(&task)).flatten());
                        let kept = record.close(path.as_deref(), done.as_ref().map(|_| ()));
                        let kept = kept.map_err(|e| Fault::new("convert/report", e));
                        let mut ended = lock(&ended);
                        match done.and(kept) {
                            Ok(()) => ended.done += 1,
                            Err(fault) => {
                                job.failed(&fault.code, &fault.text, self.alone || fault.is_interrupted());
                                ended.failed.push((task.input, fault));
                            }
                        }
                    }
                });
            }
        });
        ended.into_inner().unwrap_or_else(|e| e.into_inner())
    }

    /// Converts what comes into a folder, until somebody has had enough.
    fn watch_folder(&self, folder: &Path, into: &Path, reports: Option<&Path>) -> Result<(), Failure> {
        let mut inbox = Inbox::new(folder).map_err(Failure::Failed)?;
        let format = self.settings.format;
        while !self.stop.load(Ordering::Relaxed) {
            let mut tasks = Vec::new();
            for come in inbox.look(|input| target_in(input, into, format)).map_err(Failure::Failed)? {
                match come {
                    Come::Whole(input, look) => {
                        let report = reports.map(|r| record_in(&input, r));
                        let output = target_in(&input, into, format);
                        tasks.push(Task { output, input, report, seen: Some(look) });
                    }
                    Come::Doubled(input, other) => {
                        let job = self.progress.job(&input, &target_in(&input, into, format));
                        let why = format!("{} has its result's name: give it another one", other.display());
                        job.failed("convert/settings", &why, false);
                        inbox.set_aside(&input).unwrap_or_else(|note| {
                            job.note(&note);
                            input.clone()
                        });
                    }
                }
            }
            let ended = self.each(&tasks, |task| inbox.record(&task.input));
            for (input, fault) in ended.failed.iter().filter(|f| !f.1.is_interrupted()) {
                let job = self.progress.job(input, &target_in(input, into, format));
                if !fault.is_of_input() {
                    if !fault.is_changed() {
                        inbox.again(input);
                        job.note(&format!("it stays, and is tried again ({})", fault.code));
                    }
                    continue;
                }
                match inbox.set_aside(input) {
                    Ok(to) => job.note(&format!("it is set aside as {} ({})", to.display(), fault.code)),
                    Err(note) => job.note(&note),
                }
            }
            std::thread::sleep(inbox::PAUSE);
        }
        // That is how watching ends.
        Ok(())
    }
}

fn failure(input: &Path, fault: &Fault) -> Failure {
    if fault.is_interrupted() {
        return Failure::Interrupted("interrupted; nothing unfinished is kept".into());
    }
    Failure::Failed(format!("{}: {}", input.display(), fault.text))
}

/// Reads what `--background` says.
fn background(text: &str) -> Result<Background, String> {
    if text.trim() == "color" {
        // Which one, the property `background-color` says.
        return Ok(Background::Text(text.trim().into()));
    }
    match compose::parse(text) {
        Ok(b) if b.is_transparent() => Ok(Background::Transparent),
        Ok(_) => Ok(Background::Text(text.into())),
        // What is a file and no picture is taken for a video; whether it is one shows when it is opened.
        Err(_) if Path::new(text).is_file() => Ok(Background::Clip(text.into())),
        // It is not meant as the name of a file.
        Err(e) if !text.contains(['#', '.', '/']) => Err(format!("{e}. A video file would do, too.")),
        Err(e) => Err(e.to_string()),
    }
}

/// Where an input's result goes in a folder.
fn target_in(input: &Path, folder: &Path, format: Format) -> PathBuf {
    let mut name = input.file_stem().unwrap_or_default().to_os_string();
    if format != Format::Png {
        name.push(format!(".{}", format.name()));
    }
    folder.join(name)
}

/// And its record.
fn record_in(input: &Path, folder: &Path) -> PathBuf {
    let mut name = input.file_stem().unwrap_or_default().to_os_string();
    name.push(".json");
    folder.join(name)
}

/// Where each input goes in a folder.
fn into_folder(
    inputs: &[PathBuf],
    folder: &Path,
    format: Format,
    reports: Option<&Path>,
) -> Result<Vec<Task>, String> {
    let mut seen: HashMap<PathBuf, &Path> = HashMap::new();
    let mut tasks = Vec::new();
    for input in inputs {
        input.file_stem().ok_or_else(|| format!("{} is no name of a file", input.display()))?;
        let output = target_in(input, folder, format);
        if let Some(other) = seen.insert(output.clone(), input) {
            return Err(format!(
                "{} and {} would both become {}: convert them one by one",
                other.display(),
                input.display(),
                output.display()
            ));
        }
        let report = reports.map(|folder| record_in(input, folder));
        tasks.push(Task { input: input.clone(), output, report, seen: None });
    }
    Ok(tasks)
}
