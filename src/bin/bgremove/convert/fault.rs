//! Why a conversion ended before its end.

use gst::prelude::*;
use std::path::Path;

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
/// Nothing has come in or out for too long.
const STALLED: &str = "convert/stalled";
/// The input is no longer what it was.
const CHANGED: &str = "convert/changed";

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

    /// The input gives nothing, and GStreamer does not say why.
    pub fn damaged(what: &str) -> Self {
        Self::input(format!("{what}: {}", maybe_damaged()))
    }

    /// Nothing happens any more.
    pub fn stalled(text: String) -> Self {
        Self::new(STALLED, text)
    }

    pub fn is_stalled(&self) -> bool {
        self.code == STALLED
    }

    /// The input is being written to.
    pub fn changed(text: &str) -> Self {
        Self::new(CHANGED, text)
    }

    pub fn is_changed(&self) -> bool {
        self.code == CHANGED
    }

    /// Whether another input may do better: neither somebody's wish, nor a full disk, nor the like.
    pub fn is_of_input(&self) -> bool {
        let aside = [INTERRUPTED, CHANGED, "convert/output", "convert/report"];
        !aside.contains(&&*self.code) && !self.code.starts_with("resource/")
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

/// A decoder or demuxer that is missing, where other streams can be decoded.
#[derive(Clone, Debug)]
pub struct Missing {
    pub name: String,
    /// It would be for video of a codec that GStreamer knows: of others the name is only that of their caps.
    pub is_known_video: bool,
}

/// What a message says that one is missing for.
pub fn missing(message: &gst::MessageRef) -> Option<Missing> {
    let said = message.structure().filter(|s| s.name() == "missing-plugin")?;
    let name = said.get::<String>("name").unwrap_or_else(|_| "plugin for one of its streams".into());
    let caps = said.get::<gst::Caps>("detail").ok();
    let is_video = caps.is_some_and(|c| c.structure(0).is_some_and(|s| s.name().starts_with("video/")));
    Some(Missing { is_known_video: is_video && !name.starts_with("video/"), name })
}

/// What GStreamer warns of, as words in brackets.
pub fn warned(w: &gst::message::Warning) -> String {
    let name = w.src().map(|s| s.name().to_string()).unwrap_or_default();
    words(&name, w.error().message(), &w.debug().unwrap_or_default())
}

impl From<&gst::message::Error> for Fault {
    fn from(e: &gst::message::Error) -> Self {
        let debug = e.debug().map(|d| d.to_string()).unwrap_or_default();
        // Our own say it more exactly than GStreamer's domains can.
        let own = e.details().filter(|d| d.name() == "bgremove-error").and_then(|d| d.get("code").ok());
        let code = own.unwrap_or_else(|| gstbgremove::element::error_code(&e.error()));
        Self { code, text: said(e), debug }
    }
}

/// What may help where a file is damaged.
const ANOTHER: &str = "take another copy of it, or try to save what can be read: ffmpeg -i IN OUT.mkv";

/// Where decoders and demuxers are.
pub const PACKAGES: &str =
    "Debian: gstreamer1.0-libav for most codecs, gstreamer1.0-plugins-good and -bad for the others";

/// What is said where the cause is not known.
pub fn maybe_damaged() -> String {
    format!("it may be damaged or break off; {ANOTHER}")
}

/// What shows a cause that GStreamer does not tell by itself.
pub const LOOK: &str = "the same command with GST_DEBUG=3 in front shows where";

/// An error as a person reads it: what is wrong, GStreamer's own words, what to do.
fn said(e: &gst::message::Error) -> String {
    let error = e.error();
    let source = e.src().and_then(|s| s.downcast_ref::<gst::Element>());
    let factory = source.and_then(gst::Element::factory);
    // Our own elements know best.
    let ours = factory.as_ref().is_none_or(|f| f.plugin().is_some_and(|p| p.plugin_name() == "bgremove"));
    if source.is_some() && ours {
        return error.message().to_string();
    }
    let name = factory.map_or_else(|| "pipeline".into(), |f| f.name().to_string());
    let debug = e.debug().unwrap_or_default();
    let words = words(&name, error.message(), &debug);
    let of = |kind: gst::StreamError| error.matches(kind);
    if error.matches(gst::CoreError::MissingPlugin) || of(gst::StreamError::CodecNotFound) {
        // As in `Missing decoder: H.264 (High Profile) (video/x-h264, …)`.
        let what = debug.lines().find_map(|l| l.split_once("issing ")).map(|(_, what)| what);
        let what = what.map_or(words, |w| format!("no {}", w.split(" (video/").next().unwrap_or(w).trim()));
        return format!("GStreamer lacks a plugin for it ({what}): install it ({PACKAGES})");
    }
    if debug.contains("not-negotiated") {
        return format!(
            "what is in it does not fit the elements that make the result ({words}): another --format, --size or --audio \
             drop may do, and {LOOK}"
        );
    }
    // A muxer writes beside the file what it needs until that is whole.
    let beside = error.message().contains("temporary file") || debug.contains("temporary file");
    let property = match source.map(|s| s.name()) {
        Some(name) if name == "file" => Some("location"),
        Some(name) if name == "mux" && beside => Some("faststart-file"),
        _ => None,
    };
    if property.is_some() && name == "fdsink" && words.contains("Broken pipe") {
        return format!("the program that the result goes to has stopped reading ({words})");
    }
    if let Some(property) = property {
        let place = source.filter(|s| s.has_property_with_type(property, String::static_type()));
        let place = place.and_then(|s| s.property::<Option<String>>(property)).unwrap_or_default();
        // Pictures go into a folder that has no name of its own yet.
        let named = |p: &&Path| !p.as_os_str().is_empty() && p.extension().is_none_or(|e| e != "part");
        let folder =
            Path::new(&place).ancestors().skip(1).find(named).unwrap_or(Path::new("this folder")).display();
        let full = error.matches(gst::ResourceError::NoSpaceLeft) || words.contains("No space left");
        let what = match full {
            true => "make room there, or name an output on another disk",
            false => "look at the disk, or name an output elsewhere",
        };
        return format!("the result cannot be written into {folder} ({words}): {what}");
    }
    let reading = source.is_some_and(|s| within(s.upcast_ref(), "in"));
    if !reading && !["filesrc", "fdsrc"].contains(&&*name) {
        return format!(
            "the result cannot be made of it ({words}): it may be damaged, or another --format may do; {LOOK}"
        );
    }
    if error.is::<gst::ResourceError>() {
        return format!(
            "it cannot be read on ({words}): look at the disk, the connection and its permissions"
        );
    }
    if of(gst::StreamError::Decrypt) || of(gst::StreamError::DecryptNokey) {
        return format!("it is encrypted ({words}): take a copy without protection");
    }
    // That a stream is not what it should be is said by parsers, too.
    if of(gst::StreamError::TypeNotFound) || of(gst::StreamError::WrongType) && name == "decodebin" {
        return format!(
            "it is no video file that GStreamer knows, or its start is damaged ({words}): name a video or a picture"
        );
    }
    format!("it may be damaged or break off: GStreamer cannot read on ({words}); {ANOTHER}")
}

/// GStreamer's own words in one line: who says it, the message, and the reason in what is for those who look further,
/// whose first line is a place in its source.
fn words(element: &str, message: &str, debug: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in message.lines().chain(debug.lines().skip(1)) {
        let part = part.trim().trim_end_matches(['.', ':']);
        if !part.is_empty() && !parts.contains(&part) {
            parts.push(part);
        }
    }
    format!("GStreamer's {element}: {}", parts.join(": "))
}

/// Whether an object is an element of a name, or within it.
fn within(object: &gst::Object, name: &str) -> bool {
    object.name() == name || object.parent().is_some_and(|parent| within(&parent, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gstreamers_words_are_one_line_and_say_nothing_twice() {
        let debug = "../gst/a.c(1): f (): /GstPipeline:p/GstQTDemux:q:\nno known streams found\n";
        let said = words("qtdemux", "This file contains no playable streams.", debug);
        assert_eq!(
            said,
            "GStreamer's qtdemux: This file contains no playable streams: no known streams found"
        );
        assert_eq!(words("pngdec", "Bad.\n", "../gst/a.c(1): f (): /x:\nBad."), "GStreamer's pngdec: Bad");
        assert_eq!(words("pngdec", "Bad", ""), "GStreamer's pngdec: Bad");
    }
}
