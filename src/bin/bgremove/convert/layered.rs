//! The layers of `--also` on their way into their files: counted, held against the frames of the first output, put in place.

use super::also::Also;
use super::fault::Fault;
use super::format::Format;
use super::output::Output;
use super::plan::Plan;
use super::shortfall;
use super::watchdog::Watchdog;
use super::{Settings, color, edits, raw};
use gst::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What has come to a layer's encoder and into its file.
#[derive(Default)]
pub(crate) struct Count {
    given: AtomicU64,
    written: AtomicU64,
    /// Frames without alpha would have passed for transparent ones.
    alpha_lost: AtomicBool,
}

/// Watches the layers of a pipeline on their way to their files.
pub(crate) fn count_layers(
    output_bin: &gst::Bin,
    plan: &Plan,
    also: &[Also],
    watchdog: &Watchdog,
) -> Result<Vec<Arc<Count>>, String> {
    let mut counts = Vec::new();
    for (number, also) in also.iter().enumerate() {
        let pad = |element: &str, pad: &str| {
            let found = output_bin.by_name(element).and_then(|e| e.static_pad(pad));
            found.ok_or_else(|| format!("the pipeline has no element '{element}'"))
        };
        let encoding = plan.layer(number);
        let (encoder, file) =
            (pad(&encoding.called("encoder"), "sink")?, pad(&encoding.called("file"), "sink")?);
        watchdog.listen(&file);
        encoder.parent_element().inspect(color::tell);
        if also.format == Format::Y4m {
            raw::pack(&encoder);
        }
        let count = Arc::<Count>::default();
        let (own, alpha) = (Arc::clone(&count), also.has_alpha());
        let what = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
        encoder.add_probe(what, move |_, info| {
            match &info.data {
                Some(gst::PadProbeData::Event(event)) => {
                    if let gst::EventView::Caps(caps) = event.view() {
                        let info = gst_video::VideoInfo::from_caps(caps.caps());
                        let lost = alpha && info.is_ok_and(|info| !info.has_alpha());
                        own.alpha_lost.fetch_or(lost, Ordering::Relaxed);
                    }
                }
                Some(gst::PadProbeData::Buffer(_)) => {
                    own.given.fetch_add(1, Ordering::Relaxed);
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
        if let Some((element, name)) = encoding.counts_frames() {
            let own = Arc::clone(&count);
            let what = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
            pad(&encoding.called(element), name)?.add_probe(what, move |_, info| {
                let n = match &info.data {
                    Some(gst::PadProbeData::BufferList(list)) => list.len() as u64,
                    _ => 1,
                };
                own.written.fetch_add(n, Ordering::Relaxed);
                gst::PadProbeReturn::Ok
            });
        }
        counts.push(count);
    }
    Ok(counts)
}

/// Holds the layers against the frames of the first output: they are to be in step.
///
/// # Errors
/// Which one is not.
pub(crate) fn compare(also: &[Also], counts: &[Arc<Count>], plan: &Plan, frames: u64) -> Result<(), Fault> {
    for (number, (also, count)) in also.iter().zip(counts).enumerate() {
        let name = also.layer.nick();
        if count.alpha_lost.load(Ordering::Relaxed) {
            let text = format!("the alpha of the layer '{name}' was lost before its encoder");
            return Err(Fault::new("convert/alpha-lost", text));
        }
        let given = count.given.load(Ordering::Relaxed);
        let written = plan.layer(number).counts_frames().map(|_| count.written.load(Ordering::Relaxed));
        if given != frames || written.is_some_and(|w| w != frames) {
            let text = format!(
                "the layer '{name}' has {} of {frames} frames; GStreamer's encoder or muxer has lost them: another format for {} \
                 may do",
                written.unwrap_or(given).min(given),
                also.path.display()
            );
            return Err(Fault::new(shortfall::CODE, text));
        }
    }
    Ok(())
}

/// The layers' files in the making.
pub(crate) struct Layered(Vec<Output>);

impl Layered {
    /// # Errors
    /// What is in the way of one.
    pub fn begin(settings: &Settings) -> Result<Self, String> {
        let begin = |also: &Also| Output::begin(&also.path, also.format, settings.overwrite);
        settings.also.iter().map(begin).collect::<Result<_, _>>().map(Self)
    }

    /// Where to write for now.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.0.iter().map(|o| o.path().to_path_buf()).collect()
    }

    /// Mends what a muxer has written, while all is under other names.
    ///
    /// # Errors
    /// That it cannot be read or written.
    pub fn mend(&self, also: &[Also]) -> std::io::Result<()> {
        let mp4 = self.0.iter().zip(also).filter(|(_, also)| also.format == Format::Mp4);
        mp4.map(|(output, _)| output).try_for_each(|output| edits::mend(output.path()))
    }

    /// Puts all in their places; sizes in bytes. What cannot be ends it, and the text says what is in its place already.
    ///
    /// # Errors
    /// Which one cannot, and why.
    pub fn finish(self, also: &[Also]) -> Result<Vec<u64>, String> {
        let mut sizes = Vec::new();
        for (output, own) in self.0.into_iter().zip(also) {
            // Before it takes the place of another one.
            let empty = std::fs::metadata(output.path()).is_ok_and(|m| m.is_file() && m.len() == 0);
            let done = match empty {
                true => Err(format!("nothing was written to {}", own.path.display())),
                false => output.finish().map(Option::unwrap_or_default),
            };
            match done {
                Ok(bytes) => sizes.push(bytes),
                Err(text) if sizes.is_empty() => return Err(text),
                Err(text) => return Err(format!("{text}; in place are {}", places(&also[..sizes.len()]))),
            }
        }
        Ok(sizes)
    }
}

/// Where layers lie, for a text.
pub(crate) fn places(also: &[Also]) -> String {
    also.iter().map(|a| a.path.display().to_string()).collect::<Vec<_>>().join(", ")
}
