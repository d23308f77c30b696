//! `bgremove convert`: a clip without its background, as a file of any of six formats.
//!
//! Thin: it builds a pipeline of public elements, which `--print-pipeline` prints, and looks after it: the input
//! waits at its first frame until everything is known ([`input`], [`plan`]), the result is written under
//! another name until it is whole ([`output`]), and whoever waits hears how far it is ([`report`]).

mod arguments;
mod format;
mod input;
mod job;
mod line;
mod output;
mod plan;
mod record;
mod report;
#[cfg(test)]
mod tests;
mod uneven;
mod watch;

pub use arguments::{Args, EXIT_CODES};

use crate::Failure;
use format::{Codec, Format};
use gst::prelude::*;
use gstbgremove::compose;
use line::Line;
use record::Record;
use report::Report;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use watch::{INTERRUPTED, Watch};

/// What stands behind the subject.
#[derive(Clone, Debug, PartialEq)]
enum Background {
    Transparent,
    /// What bgremove's own property takes: a colour, a blur, a picture.
    Text(String),
    /// Another video.
    Clip(PathBuf),
}

/// What is to be done to every input.
#[derive(Clone, Debug)]
struct Settings {
    format: Format,
    codec: Codec,
    quality: u32,
    model: String,
    background: Background,
    /// Further properties of bgremove.
    set: Vec<(String, String)>,
    /// Least and most of the input: from where, how long.
    start: gst::ClockTime,
    duration: Option<gst::ClockTime>,
    /// The box that frames are fitted into.
    size: Option<(u32, u32)>,
    fps: Option<u32>,
    /// Whether the result has sound where the input has.
    sound: bool,
    /// Whether sound was asked to be dropped.
    drop_sound: bool,
    overwrite: bool,
}

impl Settings {
    /// Whether frames keep their alpha up to the encoder.
    fn alpha(&self) -> bool {
        self.background == Background::Transparent && !self.matte()
    }

    /// Whether the matte alone is asked for.
    fn matte(&self) -> bool {
        self.set.iter().any(|(n, v)| n == "output" && (v == "matte" || v == "1"))
    }

    fn sound_wanted(&self) -> bool {
        !self.drop_sound
    }

    /// The properties of bgremove, as words behind its name.
    fn element<'a>(&self, line: &'a mut Line) -> &'a mut Line {
        line.set("model", &self.model);
        if let Background::Text(text) = &self.background {
            line.set("background", text);
        }
        for (name, value) in &self.set {
            line.set(name, value);
        }
        line
    }

    /// What the pictures are coded with.
    fn codec_name(&self) -> &'static str {
        match self.format {
            Format::Webm => self.codec.name(),
            Format::Mov => "prores",
            Format::Mp4 => "h264",
            format => format.name(),
        }
    }

    /// Has an element write a record that has seen no stream.
    fn idle(&self, place: &Path) -> Result<(), String> {
        let mut line = Line::new(true);
        self.element(line.start("bgremove")).set("report-location", plan::text(place)?);
        let element = line.launch()?;
        // Where it cannot start, it writes why.
        let _ = element.set_state(gst::State::Paused);
        let _ = element.set_state(gst::State::Null);
        Ok(())
    }

    /// Everything about the element that can be known to fail, before any work.
    fn check(&self) -> Result<(), String> {
        let mut line = Line::new(true);
        self.element(line.start("bgremove"));
        let element = line.launch()?;
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let ready = element.set_state(gst::State::Ready);
        // Nothing is left to tell a failure to.
        let _ = element.set_state(gst::State::Null);
        match (ready, bus.pop_filtered(&[gst::MessageType::Error])) {
            (Ok(_), _) => Ok(()),
            (Err(_), Some(message)) => match message.view() {
                gst::MessageView::Error(e) => Err(e.error().message().to_string()),
                _ => Err("bgremove does not start".into()),
            },
            (Err(e), None) => Err(e.to_string()),
        }
    }
}

/// An input and where it goes.
#[derive(Clone, Debug)]
struct Task {
    input: PathBuf,
    output: PathBuf,
}

/// Converts.
///
/// # Errors
/// With one input, why it failed; with several, that some did.
pub fn run(args: &Args) -> Result<(), Failure> {
    gst::init().map_err(|e| Failure::Failed(format!("GStreamer does not start: {e}")))?;
    gstbgremove::plugin_register_static()
        .map_err(|e| Failure::Failed(format!("the bgremove element: {e}")))?;
    let (mut settings, tasks) = args.read().map_err(Failure::Usage)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // Who presses Ctrl-C twice does not want to wait.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(|e| Failure::Failed(format!("cannot watch for signals: {e}")))?;
    }
    let watch = || Watch::new(Arc::clone(&stop), args.timeout());
    if args.print_pipeline {
        settings.check().map_err(Failure::Failed)?;
        for task in &tasks {
            let told = |e| failure(&task.input, e);
            let line = job::print(&settings, &task.input, &task.output, &watch()).map_err(told)?;
            crate::print(&format!("{line}\n"));
        }
        if settings.start > gst::ClockTime::ZERO || settings.duration.is_some() {
            let note = "bgremove: note: --start and --duration are not in the line: gst-launch-1.0 cannot go to a \
                        place in a file";
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{note}\n").as_bytes());
        }
        return Ok(());
    }
    if let (Some(folder), Some(_)) = (&args.report, &args.output_folder) {
        std::fs::create_dir_all(folder)
            .map_err(|e| Failure::Failed(format!("the folder {} cannot be made: {e}", folder.display())))?;
    }
    if let Err(why) = settings.check() {
        // There are records of that, too.
        for task in &tasks {
            if let Some(place) = args.record_of(task) {
                let saved = Record::new(&place).and_then(|r| r.save(&settings, task, Err(&why), &watch()));
                saved.map_err(|unkept| Failure::Failed(format!("{why}; {unkept}")))?;
            }
        }
        return Err(Failure::Failed(why));
    }
    let jobs = args.jobs.min(tasks.len()).max(1);
    if jobs > 1 && !settings.set.iter().any(|(n, _)| n == "threads") {
        // Several networks share the processors.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        settings.set.push(("threads".into(), (cores / jobs).max(1).to_string()));
    }
    if let Some(folder) = &args.output_folder {
        std::fs::create_dir_all(folder)
            .map_err(|e| Failure::Failed(format!("the folder {} cannot be made: {e}", folder.display())))?;
    }
    let report = Report::new(args.json);
    let alone = tasks.len() == 1;
    let work = Mutex::new(tasks.iter().cloned().collect::<VecDeque<_>>());
    let failed = Mutex::new(Vec::new());
    let done = Mutex::new(0);
    let lock = || work.lock().unwrap_or_else(|e| e.into_inner());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let Some(task) = lock().pop_front() else { break };
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let job = report.job(&task.input, &task.output);
                    match work_on(&settings, &task, args.record_of(&task), &watch(), &job) {
                        Ok(()) => *done.lock().unwrap_or_else(|e| e.into_inner()) += 1,
                        Err(why) => {
                            job.failed(&why, alone || why == INTERRUPTED);
                            failed.lock().unwrap_or_else(|e| e.into_inner()).push((task.input, why));
                        }
                    }
                }
            });
        }
    });
    let done = done.into_inner().unwrap_or_else(|e| e.into_inner());
    let failed = failed.into_inner().unwrap_or_else(|e| e.into_inner());
    if stop.load(Ordering::Relaxed) && done < tasks.len() {
        let whole = if alone { String::new() } else { format!("; {done} of {} were whole", tasks.len()) };
        return Err(Failure::Interrupted(format!("interrupted; nothing unfinished is kept{whole}")));
    }
    if alone {
        return match failed.into_iter().next() {
            None => Ok(()),
            Some((input, why)) => Err(failure(&input, why)),
        };
    }
    let failed: Vec<_> = failed.into_iter().map(|(i, why)| (i.display().to_string(), why)).collect();
    report.summary(done, &failed);
    if failed.is_empty() { Ok(()) } else { Err(Failure::Told) }
}

/// Converts, and keeps a record of it if that is asked for.
fn work_on(
    settings: &Settings,
    task: &Task,
    record: Option<PathBuf>,
    watch: &Watch,
    job: &report::Job<'_>,
) -> Result<(), String> {
    let record = record.map(|place| Record::new(&place)).transpose()?;
    let result = job::convert(settings, &task.input, &task.output, watch, job, record.as_ref());
    match record.map(|r| r.save(settings, task, result.as_ref().copied().map_err(String::as_str), watch)) {
        // Without a record the work is not done; its failure goes before.
        Some(Err(unkept)) => Err(result.err().map_or(unkept.clone(), |why| format!("{why}; {unkept}"))),
        _ => result,
    }
}

fn failure(input: &Path, why: String) -> Failure {
    if why == INTERRUPTED {
        return Failure::Interrupted("interrupted; nothing unfinished is kept".into());
    }
    Failure::Failed(format!("{}: {why}", input.display()))
}

/// Reads what `--background` says.
fn background(text: &str) -> Result<Background, String> {
    match compose::parse(text) {
        Ok(b) if b.is_transparent() => Ok(Background::Transparent),
        Ok(_) => Ok(Background::Text(text.into())),
        // What is a file and no picture is taken for a video; whether it is one shows when it is opened.
        Err(_) if Path::new(text).is_file() => Ok(Background::Clip(text.into())),
        Err(e) => Err(format!("{e}. A video file would do, too.")),
    }
}

/// Where each input goes in a folder.
fn into_folder(inputs: &[PathBuf], folder: &Path, format: Format) -> Result<Vec<Task>, String> {
    let mut seen: HashMap<PathBuf, &Path> = HashMap::new();
    let mut tasks = Vec::new();
    for input in inputs {
        let stem = input.file_stem().ok_or_else(|| format!("{} is no name of a file", input.display()))?;
        let mut name = stem.to_os_string();
        if format != Format::Png {
            name.push(format!(".{}", format.name()));
        }
        let output = folder.join(name);
        if let Some(other) = seen.insert(output.clone(), input) {
            return Err(format!(
                "{} and {} would both become {}: convert them one by one",
                other.display(),
                input.display(),
                output.display()
            ));
        }
        tasks.push(Task { input: input.clone(), output });
    }
    Ok(tasks)
}
