//! `bgremove generate`: manual pages and shell completions, made from the command line's own description.

mod doc_cache;

use crate::{Failure, print};
use clap_complete::Shell;
use std::path::PathBuf;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Writes the manual pages into a folder: bgremove.1 and one for each subcommand
    Man {
        /// A folder that is there
        folder: PathBuf,
    },
    /// Prints what a shell needs to complete the arguments
    ///
    /// For bash: bgremove generate completions bash > ~/.local/share/bash-completion/completions/bgremove
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Prints the plugin's description for GStreamer's documentation, gst_plugins_cache.json
    DocCache,
}

pub fn run(command: Command, mut tool: clap::Command) -> Result<(), Failure> {
    match command {
        Command::Man { folder } => clap_mangen::generate_to(tool, &folder).map_err(|e| {
            Failure::Failed(format!("the manual pages cannot be written to {}: {e}", folder.display()))
        }),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut tool, "bgremove", &mut text);
            print(&String::from_utf8_lossy(&text));
            Ok(())
        }
        Command::DocCache => doc_cache::json().map(|text| print(&text)).map_err(Failure::Failed),
    }
}
