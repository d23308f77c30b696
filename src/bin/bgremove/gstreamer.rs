//! Pipelines made of words, and what there is to say where an element is missing.

use gst::prelude::*;
use std::fmt;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

/// How long a pipeline may take to stop before it is left behind.
const STOPPING: Duration = Duration::from_secs(10);

/// A pipeline that stops when it goes, or is left behind when it does not: a read from a dead network
/// drive cannot be broken off.
pub struct Running(pub gst::Pipeline);

impl Drop for Running {
    fn drop(&mut self) {
        let (done, wait) = mpsc::channel();
        let pipeline = self.0.clone();
        std::thread::spawn(move || {
            // Nothing is left to tell a failure to.
            let _ = pipeline.set_state(gst::State::Null);
            let _ = done.send(());
        });
        let _ = wait.recv_timeout(STOPPING);
    }
}

/// The Debian package that an element is in.
fn package(element: &str) -> &'static str {
    match element {
        "vp8alphaenc" | "vp9alphaenc" | "webmalphamux" | "gifalphaenc" | "webpalphaenc" | "videobackdrop"
        | "alphaextract" | "layerextract" | "videocanvas" | "bgremove" => "gstreamer1.0-bgremove",
        "vp8enc" | "vp9enc" | "vp8dec" | "vp9dec" | "qtmux" | "mp4mux" | "qtdemux" | "matroskademux"
        | "pngenc" | "pngdec" | "multifilesink" | "deinterlace" | "videoflip" | "videocrop" => {
            "gstreamer1.0-plugins-good"
        }
        "vp8alphadecodebin" | "vp9alphadecodebin" | "h264parse" | "vp9parse" => "gstreamer1.0-plugins-bad",
        "x264enc" => "gstreamer1.0-plugins-ugly",
        e if e.starts_with("avenc_") || e.starts_with("avdec_") => "gstreamer1.0-libav",
        "filesrc" | "fdsrc" | "filesink" | "queue" | "capsfilter" => "libgstreamer1.0-0",
        _ => "gstreamer1.0-plugins-base",
    }
}

/// Why a pipeline cannot be put together, and the elements that are missing.
#[derive(Debug)]
pub struct Refused {
    pub why: String,
    missing: Vec<String>,
}

impl From<String> for Refused {
    fn from(why: String) -> Self {
        Self { why, missing: Vec::new() }
    }
}

impl Refused {
    /// That something is missing, of whatever names.
    pub fn missing(mut names: Vec<String>) -> Self {
        names.sort_unstable();
        names.dedup();
        let verb = if names.len() == 1 { "is" } else { "are" };
        Self { why: format!("GStreamer's {} {verb} missing", names.join(" and ")), missing: names }
    }

    /// Adds where it was tried, if that may be the reason.
    pub fn within(mut self, folder: Option<&Path>) -> Self {
        if let Some(folder) = folder.filter(|_| self.missing.is_empty()) {
            self.why = format!("{} (tried in {})", self.why.trim_end_matches('.'), folder.display());
        }
        self
    }

    /// The Debian packages that bring what is missing; empty if it is something else.
    pub fn packages(&self) -> Vec<&'static str> {
        let mut packages: Vec<&str> = self.missing.iter().map(|e| package(e)).collect();
        packages.sort_unstable();
        packages.dedup();
        packages
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)?;
        match self.packages().join(", ") {
            none if none.is_empty() => Ok(()),
            packages => write!(f, "; install it (Debian: {packages})"),
        }
    }
}

/// Those of the names that no element has, or none that loads.
pub fn missing(names: &[&str]) -> Vec<String> {
    let absent = |name: &&&str| gst::ElementFactory::make(name).build().is_err();
    names.iter().filter(absent).map(|name| (*name).to_string()).collect()
}

/// Puts words together as gst-launch-1.0 does.
///
/// # Errors
/// What is missing, or wrong with the words.
pub fn launch(words: &[&str], flags: gst::ParseFlags) -> Result<gst::Element, Refused> {
    let mut context = gst::ParseContext::new();
    gst::parse::launchv_full(words, Some(&mut context), flags | gst::ParseFlags::FATAL_ERRORS).map_err(|e| {
        // Caps between elements need this one, and say nothing of it.
        let mut gone = missing(&["capsfilter"]);
        // The list names elements of which a property could not be set, too.
        if e.matches(gst::ParseError::NoSuchElement) {
            gone.extend(context.missing_elements().iter().map(|s| s.to_string()));
        }
        if gone.is_empty() { e.message().to_string().into() } else { Refused::missing(gone) }
    })
}

/// GStreamer with our plugin, for the tests of one process: registered twice at a time it breaks.
#[cfg(test)]
pub fn init() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstbgremove::plugin_register_static().unwrap();
    });
}
