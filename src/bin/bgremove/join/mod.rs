//! `bgremove join`: the parts of a clip that `convert --part` has made become one file. No frame is encoded again; the
//! sound is laid once, from the source, over the whole.
//!
//! [`gather`] finds the parts and holds them against each other, [`feed`] reads their frames and gives them their places
//! in the whole, [`mux`] is the pipeline that they go into, and [`pictures`] does the same for folders.

mod feed;
mod gather;
mod mux;
mod pictures;

use crate::Failure;
use crate::convert::fault::Fault;
use crate::convert::format::Format;
use crate::convert::output::{self, Output};
use crate::convert::parts::mark::SourceId;
use crate::convert::progress::{Progress, ProgressOutput};
use crate::convert::watchdog::Watchdog;
use crate::convert::{self, edits, values};
use gather::Whole;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    it failed: a part is missing, doubled, damaged or made with other settings, …
  2    the command line was not understood
  130  interrupted (Ctrl-C); nothing unfinished is kept

Examples:
  bgremove join out.webm                       # out.part-1-of-7.webm and so on, as convert --part has named them
  bgremove join out.webm parts/*.webm --source in.mp4";

/// What is put together.
#[derive(clap::Args)]
pub struct Args {
    /// The file to write, or for png the folder
    output: PathBuf,
    /// The parts, in any order; without them those that lie beside the output, with its name
    parts: Vec<PathBuf>,
    /// Where the source lies, from which the sound comes; if nothing is said, where it was when the parts were made
    #[arg(long, value_name = "FILE")]
    source: Option<PathBuf>,
    /// Replace what exists
    #[arg(long)]
    overwrite: bool,
    /// Give up after so many seconds in which nothing comes in or out; 0 never
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS", value_parser = values::seconds)]
    timeout: f64,
    /// Tell of the work as JSON, an object a line: start, progress, note, done, error
    #[arg(long)]
    json: bool,
}

/// Joins.
///
/// # Errors
/// What is wrong with the parts, or why the file could not be written.
pub fn run(args: &Args) -> Result<(), Failure> {
    let stop = convert::start()?;
    let timeout = (args.timeout > 0.0).then(|| Duration::from_secs_f64(args.timeout));
    let watchdog = Watchdog::new(stop, timeout);
    let progress = ProgressOutput::new(args.json);
    join(args, &watchdog, &progress).map_err(|fault| {
        if fault.is_interrupted() {
            return Failure::Interrupted("interrupted; nothing unfinished is kept".into());
        }
        progress.job(&args.output, &args.output).failed(&fault.code, &fault.text, true);
        Failure::Failed(fault.text)
    })
}

fn join(args: &Args, watchdog: &Watchdog, progress: &ProgressOutput) -> Result<(), Fault> {
    let whole = Whole::gather(&args.output, &args.parts, watchdog)?;
    let format = whole.format;
    let target = output::target(&args.output, format);
    match Format::of(&args.output) {
        Some(named) if named == format => {}
        None if format == Format::Png => {}
        _ => {
            return Err(Fault::settings(format!(
                "the parts are {0}, and {1} is no name for that: give it the extension {0}",
                format.name(),
                args.output.display()
            )));
        }
    }
    let source = args.source.clone().unwrap_or_else(|| PathBuf::from(&whole.source().location));
    // What the sound comes from, or what is put together, is not to be written over.
    let is_source = output::same_file(&target, &source)
        || SourceId::of(&target).is_ok_and(|there| there.is(whole.source()));
    if is_source || whole.parts.iter().any(|part| output::same_file(&target, &part.path)) {
        let what = if is_source { "the clip that the parts were made of" } else { "one of the parts" };
        return Err(Fault::output(format!("{} is {what}: choose another name", target.display())));
    }
    let job = progress.job(&source, &target);
    let result = Output::among_others(&target, format, args.overwrite).map_err(Fault::output)?;
    let began = Instant::now();
    let frames = match format {
        Format::Png => pictures::join(&whole, result.path(), watchdog)?,
        _ => mux::join(&whole, &source, result.path(), watchdog, &job)?,
    };
    if format == Format::Mp4 {
        let written = edits::mend(result.path());
        written.map_err(|e| Fault::output(format!("its edit lists cannot be written: {e}")))?;
    }
    let bytes = result.finish().map_err(Fault::output)?.unwrap_or(0);
    let seconds = whole.seconds();
    let worked = began.elapsed().as_secs_f64();
    job.done(&Progress { frames, seconds, total: Some(seconds), worked }, bytes);
    Ok(())
}
