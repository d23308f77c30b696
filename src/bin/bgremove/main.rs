//! `bgremove`: the command-line tool beside the plugin.

mod choice;
mod compare;
mod convert;
mod doctor;
mod generate;
mod gstreamer;
mod inbox;
mod install;
mod join;
mod models;
mod probe;

use clap::{CommandFactory, Parser, Subcommand};
use std::fmt;
use std::io::Write;
use std::process::ExitCode;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    it failed, or `models verify` or `doctor` found something that is damaged or missing
  2    the command line was not understood
  3    a licence was not accepted
  130  interrupted; what was under way was not installed";

/// Removes the background from video: what goes with the GStreamer plugin.
#[derive(Parser)]
#[command(name = "bgremove", version, after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The networks: which there are, and installing them
    #[command(subcommand, after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
    Models(models::Command),
    /// Two settings on the same frames: which is steadier, which is better, which is faster
    #[command(after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
    Compare(compare::Args),
    /// A clip without its background: webm, mov, mp4, gif, webp or pictures
    #[command(after_help = convert::EXIT_CODES, after_long_help = convert::EXIT_CODES)]
    Convert(Box<convert::Args>),
    /// Puts parts of a clip together (convert --part), with the source's sound, and without encoding a frame again
    #[command(after_help = join::EXIT_CODES, after_long_help = join::EXIT_CODES)]
    Join(join::Args),
    /// Looks at everything that bgremove needs on this machine, and measures its speed
    #[command(after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
    Doctor(doctor::Args),
    /// Writes the manual pages, or what completes the tool's arguments in a shell
    #[command(subcommand)]
    Generate(generate::Command),
}

/// Why the tool ends without success.
pub enum Failure {
    Failed(String),
    /// The command line asks for what cannot be.
    Usage(String),
    Licence(String),
    Interrupted(String),
    /// What was wrong has been printed.
    Told,
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Told => 1,
            Self::Usage(_) => 2,
            Self::Licence(_) => 3,
            // As shells put it: 128 and the number of SIGINT.
            Self::Interrupted(_) => 130,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(text) | Self::Usage(text) | Self::Licence(text) | Self::Interrupted(text) => {
                f.write_str(text)
            }
            Self::Told => Ok(()),
        }
    }
}

impl From<install::Error> for Failure {
    fn from(e: install::Error) -> Self {
        match e {
            install::Error::Interrupted => Self::Interrupted(e.to_string()),
            install::Error::Failed(text) => Self::Failed(text),
        }
    }
}

/// Prints to standard output. That nobody reads it (`| head`) is no error; `println!` would panic.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Models(command) => models::run(command),
        Command::Compare(args) => compare::run(&args).map_err(Failure::Failed),
        Command::Convert(args) => convert::run(&args),
        Command::Join(args) => join::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Generate(command) => generate::run(command, Arguments::command()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::Told) {
                let _ = writeln!(std::io::stderr(), "bgremove: error: {failure}");
            }
            ExitCode::from(failure.code())
        }
    }
}
