//! `bgremove`: the command-line tool beside the plugin.

mod compare;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Removes the background from video: what goes with the GStreamer plugin.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Two settings on the same frames: which is steadier, which is better, which is faster
    Compare(compare::Args),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Compare(args) => compare::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("bgremove: error: {text}");
            ExitCode::FAILURE
        }
    }
}
