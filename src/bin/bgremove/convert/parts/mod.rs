//! A part of a clip: which frames it has, decided alike on every machine, and what has to run before and after them so
//! that no seam is seen.
//!
//! [`ask`] reads what is asked for, [`frames`] finds the source's frames without decoding them, [`mod@slice`] chooses which of
//! them a part has, [`warm_up`] says how many more are inferred before them, [`mod@crop`] keeps the others out of its file,
//! and [`mark`] is what a part says of itself.

mod ask;
mod crop;
mod frames;
pub mod mark;
mod slice;
mod warm_up;

pub use ask::{Ask, Share};
pub use crop::WrittenFrames;
pub use slice::Slice;

use crate::convert::fault::Fault;
use crate::convert::input::{Input, Range};
use crate::convert::watchdog::Watchdog;
use crate::convert::{Settings, Task};
use frames::Frames;
use gst::prelude::*;
use gstbgremove::report::Record;
use mark::{Mark, SourceId, There};
use serde_json::json;
use std::path::{Path, PathBuf};

/// The code of a warning about a part.
pub const CODE: &str = "convert/part";

/// A part that is asked for.
#[derive(Clone, Debug)]
pub struct PartChoice {
    pub ask: Ask,
    /// In words, by which it is known again.
    pub asked: String,
    /// How many frames are inferred before its first one, if that is said.
    pub warm_up: Option<u64>,
}

/// What a part was made of, and by what.
pub struct Made<'a> {
    pub settings: &'a Settings,
    pub task: &'a Task,
    pub slice: &'a Slice,
    pub stream: Option<&'a Record>,
}

impl PartChoice {
    /// Which frames of an input it has.
    ///
    /// # Errors
    /// There is no such part, or the input cannot be looked through.
    pub fn slice(&self, settings: &Settings, input: &Input, watchdog: &Watchdog) -> Result<Slice, Fault> {
        // Told now, and not when all parts are made and joined.
        let most = settings.format.most_channels().filter(|_| settings.sound_wanted());
        if let (Some(most), Some(channels)) = (most, input.facts.channels)
            && channels > most
        {
            return Err(Fault::settings(format!(
                "its sound has {channels} channels, and {} takes {most} at most: --audio drop leaves it out",
                settings.format.name()
            )));
        }
        let ahead = settings.property("lookahead").and_then(|v| v.parse::<u64>().ok());
        // One more, since the last one that is decoded may be cut short.
        let after = ahead.unwrap_or(0) + 1;
        let before = self.warm_up.unwrap_or_else(|| warm_up::usual(settings));
        slice::plan(self.ask, &Frames::of(input, watchdog)?, before, after).map_err(Fault::settings)
    }

    /// Writes down beside a part what it is; a warning where other frames came than were to come.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn mark(
        &self,
        made: &Made<'_>,
        written: &WrittenFrames,
        content: &Path,
    ) -> Result<Option<String>, String> {
        let (settings, output) = (made.settings, &made.task.output);
        let unwritten =
            |e: std::io::Error| format!("what is to be known of {} cannot be written: {e}", output.display());
        let source = SourceId::of(&made.task.input).map_err(unwritten)?;
        let mut mark = Mark::new(&self.asked, made.slice, written.times(), source);
        mark.settings = mark::settings(settings);
        (mark.sound, mark.audio_track) = mark::sound(settings);
        if let Some(stream) = made.stream {
            let network = stream.model.get("sha256").cloned();
            mark.settings.insert("model_sha256".into(), network.unwrap_or_default());
            mark.made_by.insert("runtime".into(), stream.runtime.clone().into());
        }
        mark.made_by.insert("bgremove".into(), json!(env!("CARGO_PKG_VERSION")));
        mark.made_by.insert("warm_up".into(), json!(made.slice.warm_up));
        (mark.bytes, mark.sha256) = mark::content(content).map_err(unwritten)?;
        mark.write(output).map_err(unwritten)?;
        let came = mark.frames.len() as u64;
        let all = settings.fps.is_none() && made.slice.exact;
        Ok((came != mark.count && all).then(|| {
            format!("{came} frames came where the file says {}: look at the joined result there", mark.count)
        }))
    }
}

impl Slice {
    /// What of the input is decoded; none for all.
    pub fn range(&self) -> Option<Range> {
        let time = gst::ClockTime::from_nseconds;
        (self.from.is_some() || self.until.is_some()).then(|| Range {
            start: time(self.from.unwrap_or(0)),
            stop: self.until.map(time),
            standing: None,
            exact: Some(time(self.shift)),
        })
    }
}

/// Lets only a part's frames through to the encoder of a pipeline that begins with `video`.
///
/// # Errors
/// The pipeline has no such elements.
pub fn crop(output_bin: &gst::Element, slice: &Slice) -> Result<WrittenFrames, String> {
    let bin = output_bin.downcast_ref::<gst::Bin>();
    let pad = |name: &str, pad: &str| {
        let found = bin.and_then(|b| b.by_name(name)).and_then(|e| e.static_pad(pad));
        found.ok_or_else(|| format!("the pipeline has no element '{name}'"))
    };
    Ok(crop::crop(&pad("video", "src")?, &pad("encoder", "sink")?, slice))
}

/// Whether what is asked for is there already.
///
/// # Errors
/// The input cannot be read.
pub fn there(settings: &Settings, task: &Task) -> Result<There, String> {
    let Some(part) = &settings.part else {
        // Results are put in their place when they are whole.
        let is_there = match std::fs::read_dir(&task.output) {
            Ok(mut files) => files.next().is_some(),
            Err(_) => task.output.exists(),
        };
        return Ok(if is_there { There::Whole } else { There::Nothing });
    };
    let source =
        SourceId::of(&task.input).map_err(|e| format!("{} cannot be read: {e}", task.input.display()))?;
    let (wanted, sound) = (mark::settings(settings), mark::sound(settings));
    Ok(mark::there(&task.output, &part.asked, &source, &wanted, &sound))
}

/// Where a part of a result goes: beside it, with its number in the name, so that one command line serves all parts.
pub fn name(output: &Path, share: Share) -> PathBuf {
    let digits = share.of.to_string().len();
    let mut name = output.file_stem().unwrap_or_default().to_os_string();
    name.push(format!(".part-{:0digits$}-of-{}", share.number, share.of));
    if let Some(extension) = output.extension() {
        name.push(".");
        name.push(extension);
    }
    output.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parts_sort_as_their_numbers() {
        let of = |number, of| name(Path::new("out/a.b.webm"), Share { number, of });
        assert_eq!(of(3, 7), Path::new("out/a.b.part-3-of-7.webm"));
        assert_eq!(of(3, 12), Path::new("out/a.b.part-03-of-12.webm"));
        assert_eq!(name(Path::new("folder"), Share { number: 1, of: 2 }), Path::new("folder.part-1-of-2"));
    }
}
