//! A pipeline as words, which gst-launch-1.0 and this tool read alike.

use crate::gstreamer;
use std::path::Path;

/// The words of a pipeline, as one would give them to gst-launch-1.0 one by one.
#[derive(Clone, Debug, Default)]
pub struct LaunchLine {
    words: Vec<String>,
    /// Whether elements that the tool looks for get names.
    named: bool,
}

impl LaunchLine {
    /// `named`: to run within this tool; otherwise to print.
    pub fn new(named: bool) -> Self {
        Self { words: Vec::new(), named }
    }

    /// A first element of a chain, or the name of one as `name.`.
    pub fn start(&mut self, element: &str) -> &mut Self {
        self.words.push(element.into());
        self
    }

    /// An element, caps or `name.` that follows.
    pub fn then(&mut self, element: &str) -> &mut Self {
        self.words.push("!".into());
        self.start(element)
    }

    /// A property of the last element.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.words.push(format!("{name}={}", quoted(value)));
        self
    }

    /// A name for the last element, where the tool looks for it.
    pub fn name(&mut self, name: &str) -> &mut Self {
        if self.named {
            self.words.push(format!("name={name}"));
        }
        self
    }

    /// Whether this is to run within the tool.
    pub fn is_named(&self) -> bool {
        self.named
    }

    /// More words, as they are.
    pub fn words(&mut self, words: &[&str]) -> &mut Self {
        self.words.extend(words.iter().map(|w| (*w).to_string()));
        self
    }

    /// The elements within one bin, or the one element.
    pub fn launch(&self) -> Result<gst::Element, String> {
        gstreamer::launch(&self.list(), gst::ParseFlags::PLACE_IN_BIN).map_err(|e| e.to_string())
    }

    /// The words, one by one.
    pub fn list(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }

    /// As one types it.
    pub fn shell(&self) -> String {
        let word = |w: &String| if w == "!" { w.clone() } else { shell_word(w) };
        let words: Vec<String> = self.words.iter().map(word).collect();
        format!("gst-launch-1.0 {}", words.join(" "))
    }
}

/// A word for a shell: quoted where it has to be.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into()
    } else {
        glib::shell_quote(text).to_string_lossy().into_owned()
    }
}

/// A path as GStreamer takes it.
pub fn text(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| {
        format!("the name {} is not UTF-8, which GStreamer's properties need: rename it", path.display())
    })
}

/// A value as the pipeline syntax wants it.
pub fn quoted(value: &str) -> String {
    let safe = |c: char| c.is_alphanumeric() || "_./:%+@,#-~".contains(c);
    if !value.is_empty() && value.chars().all(safe) {
        return value.into();
    }
    format!("\"{}\"", value.replace('\\', r"\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gst::prelude::*;

    #[test]
    fn any_value_comes_through_unchanged() {
        gst::init().unwrap();
        for value in [
            "plain.mp4",
            "two words.mp4",
            "it's",
            "a\"b",
            r"back\slash",
            r"end\",
            "50%",
            "#1",
            "a!b ! c",
            "ü ✓",
            "a=b",
            "",
        ] {
            let mut line = LaunchLine::new(true);
            line.start("filesrc").name("f").set("location", value).then("identity").then("fakesink");
            let bin = line.launch().unwrap_or_else(|e| panic!("{value}: {e}"));
            let bin = bin.downcast::<gst::Bin>().unwrap();
            let got = bin.by_name("f").unwrap().property::<Option<String>>("location").unwrap_or_default();
            assert_eq!(got, value);
        }
    }

    #[test]
    fn the_printed_line_is_for_a_shell() {
        let mut line = LaunchLine::new(false);
        line.start("filesrc").name("f").set("location", "it's a $file").then("fakesink");
        assert_eq!(line.shell(), r#"gst-launch-1.0 filesrc 'location="it'\''s a $file"' ! fakesink"#);
    }
}
