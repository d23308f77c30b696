//! Why a conversion ended before its end.

use gst::prelude::*;

/// What the user is told, and what a record keeps besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A name for programs: GStreamer's, as in `stream/decode`, or one of `convert/…`.
    pub code: String,
    pub text: String,
    /// What GStreamer says for those who look further.
    pub debug: String,
}

/// Somebody has had enough; no error.
const INTERRUPTED: &str = "convert/interrupted";

impl Fault {
    pub fn new(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.into(), text: text.into(), debug: String::new() }
    }

    pub fn interrupted() -> Self {
        Self::new(INTERRUPTED, "interrupted")
    }

    pub fn is_interrupted(&self) -> bool {
        self.code == INTERRUPTED
    }

    /// The input is not what can be read.
    pub fn input(text: impl Into<String>) -> Self {
        Self::new("convert/input", text)
    }

    /// The result cannot be put where it should.
    pub fn output(text: impl Into<String>) -> Self {
        Self::new("convert/output", text)
    }

    /// What is asked for cannot be.
    pub fn settings(text: impl Into<String>) -> Self {
        Self::new("convert/settings", text)
    }
}

/// Whatever else goes wrong, the pipeline cannot be put together.
impl From<String> for Fault {
    fn from(text: String) -> Self {
        Self::new("convert/pipeline", text)
    }
}

impl From<&gst::message::Error> for Fault {
    fn from(e: &gst::message::Error) -> Self {
        let debug = e.debug().map(|d| d.to_string()).unwrap_or_default();
        Self { code: gstbgremove::element::error_code(&e.error()), text: said(e), debug }
    }
}

/// An error as a person reads it.
fn said(e: &gst::message::Error) -> String {
    let text = e.error().message().trim_end_matches('.').to_string();
    let error = e.error();
    // GStreamer's own words for these tell nothing.
    if error.matches(gst::CoreError::MissingPlugin) || error.matches(gst::StreamError::CodecNotFound) {
        return format!(
            "{text}; install GStreamer's plugins for it (Debian: gstreamer1.0-libav, -plugins-bad)"
        );
    }
    if error.matches(gst::StreamError::TypeNotFound) || error.matches(gst::StreamError::WrongType) {
        return "it is no video file that GStreamer knows".into();
    }
    if !text.contains("Internal data") && !text.contains("general stream error") {
        return text;
    }
    // Neither do these, whose reason is in the last line of what is for those who look further.
    let more =
        e.debug().and_then(|d| d.rsplit('\n').next().map(|l| l.trim().to_string())).unwrap_or_default();
    let reading = e.src().is_some_and(|s| within(s, "in"));
    match (reading && !more.contains("not-negotiated"), more.is_empty()) {
        (true, _) => format!("it is damaged, or breaks off: GStreamer cannot read on ({text})"),
        (false, true) => text,
        (false, false) => format!("{text} ({more})"),
    }
}

/// Whether an object is an element of a name, or within it.
fn within(object: &gst::Object, name: &str) -> bool {
    object.name() == name || object.parent().is_some_and(|parent| within(&parent, name))
}
