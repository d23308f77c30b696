//! Which of several streams of a kind is converted: the one that is asked for, else the one that the file calls its
//! default, else the first; and a line on what is left out.

use gst::prelude::*;
use std::fmt;
use std::str::FromStr;

/// A track as one asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackChoice {
    /// Counted from 1, among those of its kind.
    Number(usize),
    /// A language as the file writes it (ISO 639: `en`, `eng`).
    Language(String),
}

impl fmt::Display for TrackChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => n.fmt(f),
            Self::Language(language) => language.fmt(f),
        }
    }
}

impl FromStr for TrackChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<usize>() {
            Ok(0) => Err("tracks are counted from 1".into()),
            Ok(n) => Ok(TrackChoice::Number(n)),
            Err(_)
                if (2..=8).contains(&text.len())
                    && text.chars().all(|c| c.is_ascii_alphabetic() || c == '-') =>
            {
                Ok(TrackChoice::Language(text.to_lowercase()))
            }
            Err(_) => Err("give a number, from 1, or a language as in the file: en, eng".into()),
        }
    }
}

/// What is known of a stream without decoding more of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// As the file writes it.
    pub language: Option<String>,
    pub is_default: bool,
}

impl Known {
    pub fn of(pad: &gst::Pad, tags: &gst::TagList) -> Self {
        let start = pad.sticky_event::<gst::event::StreamStart>(0);
        Self {
            language: tags.get::<gst::tags::LanguageCode>().map(|v| v.get().to_lowercase()),
            is_default: start.is_some_and(|s| s.stream_flags().contains(gst::StreamFlags::SELECT)),
        }
    }
}

/// Which of these streams is taken: its index, and a note where others are left out. `kind` is what they are, as in
/// "sound track"; `option` chooses.
///
/// # Errors
/// What was asked for is not there; what is.
pub fn choose(
    streams: &[Known],
    wanted: Option<&TrackChoice>,
    kind: &str,
    option: &str,
) -> Result<(usize, Option<String>), String> {
    let speaks = |s: &Known, language: &str| {
        s.language.as_deref().is_some_and(|l| l == language || same_language(l, language))
    };
    let taken = match wanted {
        None => Some(streams.iter().position(|s| s.is_default).unwrap_or(0)),
        Some(TrackChoice::Number(n)) => Some(n - 1).filter(|n| *n < streams.len()),
        Some(TrackChoice::Language(language)) => streams.iter().position(|s| speaks(s, language)),
    };
    let named = |n: usize| match &streams[n].language {
        Some(language) => format!("{} ({language})", n + 1),
        None => (n + 1).to_string(),
    };
    let list = |which: Vec<usize>| which.into_iter().map(named).collect::<Vec<_>>().join(", ");
    let Some(taken) = taken.filter(|n| *n < streams.len()) else {
        let all = list((0..streams.len()).collect());
        return Err(format!("{option} asks for a {kind} that it has not; it has {all}"));
    };
    if streams.len() < 2 {
        return Ok((taken, None));
    }
    let others = list((0..streams.len()).filter(|n| *n != taken).collect());
    let note = format!(
        "of its {} {kind}s, number {} is taken; left out: {others} ({option} N or LANGUAGE chooses)",
        streams.len(),
        named(taken)
    );
    Ok((taken, Some(note)))
}

/// Whether two codes are of one language: ISO 639-1 against 639-2, whose codes mostly begin alike (`en`, `eng`).
fn same_language(a: &str, b: &str) -> bool {
    let two = |code: &str| match code {
        "ger" | "deu" => "de".to_string(),
        "spa" => "es".into(),
        "chi" | "zho" => "zh".into(),
        "dut" | "nld" => "nl".into(),
        "gre" | "ell" => "el".into(),
        "cze" | "ces" => "cs".into(),
        "swe" => "sv".into(),
        "jpn" => "ja".into(),
        "pol" => "pl".into(),
        "por" => "pt".into(),
        "tur" => "tr".into(),
        "ukr" => "uk".into(),
        code => code.chars().take(2).collect(),
    };
    two(a) == two(b)
}

/// The number of a stream in an ISO base media file, by which its header has it.
pub fn track_id(pad: &gst::Pad) -> Option<u32> {
    pad.stream_id()?.rsplit('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(list: &[(&str, bool)]) -> Vec<Known> {
        let known = |(language, is_default): &(&str, bool)| Known {
            language: (!language.is_empty()).then(|| language.to_string()),
            is_default: *is_default,
        };
        list.iter().map(known).collect()
    }

    #[test]
    fn the_default_or_the_first_and_what_is_asked_for() {
        let take = |list: &[(&str, bool)], wanted: Option<&str>| {
            let wanted = wanted.map(|w| w.parse::<TrackChoice>().unwrap());
            choose(&streams(list), wanted.as_ref(), "sound track", "--audio-track")
        };
        assert_eq!(take(&[("", false)], None), Ok((0, None)));
        let two = [("ger", false), ("eng", true)];
        let (taken, note) = take(&two, None).unwrap();
        assert_eq!(taken, 1);
        let note = note.unwrap();
        assert!(note.contains("number 2 (eng)") && note.contains("left out: 1 (ger)"), "{note}");
        assert_eq!(take(&[("", false), ("", false)], None).unwrap().0, 0);
        for (wanted, taken) in [("1", 0), ("2", 1), ("eng", 1), ("en", 1), ("de", 0), ("deu", 0)] {
            assert_eq!(take(&two, Some(wanted)).unwrap().0, taken, "{wanted}");
        }
        for wanted in ["3", "fr"] {
            let why = take(&two, Some(wanted)).unwrap_err();
            assert!(why.contains("1 (ger), 2 (eng)") && why.contains("--audio-track"), "{why}");
        }
        for bad in ["0", "-1", "", "1.5", "e"] {
            assert!(bad.parse::<TrackChoice>().is_err(), "{bad}");
        }
    }
}
