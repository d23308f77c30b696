//! The parts, held against each other: that all are there, each once, whole, of one source and made alike.

use crate::convert::fault::Fault;
use crate::convert::format::Format;
use crate::convert::parts::mark::{Mark, SourceId};
use crate::convert::watchdog::Watchdog;
use std::path::{Path, PathBuf};

/// A part and what it says of itself.
#[derive(Clone, Debug)]
pub struct Part {
    pub path: PathBuf,
    pub mark: Mark,
}

/// All parts of a clip, in their order.
#[derive(Clone, Debug)]
pub struct Whole {
    pub parts: Vec<Part>,
    pub format: Format,
}

impl Whole {
    /// Finds the parts and looks at them.
    ///
    /// # Errors
    /// What is wrong with them, and what to do.
    pub fn gather(output: &Path, named: &[PathBuf], watchdog: &Watchdog) -> Result<Self, Fault> {
        let paths = if named.is_empty() { neighbours(output)? } else { named.to_vec() };
        // `out.part-*` takes what lies beside them along.
        let is_beside = |path: &PathBuf| {
            path.extension().is_some_and(|e| e == "json") && paths.contains(&path.with_extension(""))
        };
        let mut parts = Vec::new();
        for path in paths.iter().filter(|p| !is_beside(p)) {
            if !path.exists() {
                return Err(Fault::input(format!("there is no part {}: check the name", path.display())));
            }
            let mark = Mark::read(path).map_err(Fault::input)?;
            parts.push(Part { path: path.clone(), mark });
        }
        parts.sort_by_key(|p| (p.mark.begin, p.mark.first));
        check(&parts).map_err(Fault::input)?;
        for part in &parts {
            if watchdog.is_stopped() {
                return Err(Fault::interrupted());
            }
            watchdog.touch();
            if !part.mark.is_whole(&part.path) {
                return Err(Fault::input(format!(
                    "{} is not what was written there: make it again, with --resume",
                    part.path.display()
                )));
            }
        }
        let format = parts.first().and_then(|p| p.mark.settings.get("format")?.as_str());
        let format = format.and_then(|name| Format::ALL.into_iter().find(|f| f.name() == name));
        let format = format.ok_or_else(|| Fault::input("the parts are of a format that is not known"))?;
        Ok(Self { parts, format })
    }

    /// The clip that they were made of.
    pub fn source(&self) -> &SourceId {
        &self.first().source
    }

    /// The first one's.
    pub fn first(&self) -> &Mark {
        &self.parts[0].mark
    }

    pub fn frames(&self) -> u64 {
        self.parts.iter().map(|p| p.mark.frames.len() as u64).sum()
    }

    /// When the last frame ends.
    pub fn seconds(&self) -> f64 {
        let last = self.parts.last().and_then(|p| p.mark.frames.last());
        last.map_or(0.0, |(time, length)| (time + length) as f64 / 1e9)
    }
}

/// Parts with an output's name.
fn neighbours(output: &Path) -> Result<Vec<PathBuf>, Fault> {
    let folder = gstbgremove::draft::folder_of(output);
    let stem = output.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let extension = output.extension().map_or(String::new(), |e| format!(".{}", e.to_string_lossy()));
    // Folders of pictures have none.
    let is_png = Format::of(output) == Some(Format::Png);
    let extension = if is_png { String::new() } else { extension };
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_part = |name: &str| {
        let rest = name.strip_prefix(&stem).and_then(|n| n.strip_prefix(".part-"));
        let share = rest.and_then(|n| n.strip_suffix(&extension)).and_then(|n| n.split_once("-of-"));
        share.is_some_and(|(k, n)| number(k) && number(n))
    };
    let entries = std::fs::read_dir(folder)
        .map_err(|e| Fault::input(format!("the folder {} cannot be read: {e}", folder.display())))?;
    let names = entries.flatten().map(|e| e.path());
    let of = |path: &PathBuf| path.file_name().is_some_and(|n| is_part(&n.to_string_lossy()));
    let parts: Vec<_> = names.filter(of).collect();
    if parts.is_empty() {
        return Err(Fault::input(format!(
            "no parts lie beside it ({}): name them, or make them with convert --part",
            folder.join(format!("{stem}.part-K-of-N{extension}")).display()
        )));
    }
    Ok(parts)
}

/// Whether parts in their order are one whole, made alike.
fn check(parts: &[Part]) -> Result<(), String> {
    let [first, ..] = parts else { return Err("no part is named".into()) };
    let name = |part: &Part| part.path.display().to_string();
    for part in parts {
        let (mark, like) = (&part.mark, &first.mark);
        if !mark.source.is(&like.source) {
            return Err(format!(
                "{} is of another clip ({}) than {} ({}): parts of one clip make a whole",
                name(part),
                mark.source.location,
                name(first),
                like.source.location
            ));
        }
        let names = mark.settings.keys().chain(like.settings.keys());
        let mut differ = names.filter(|n| mark.settings.get(*n) != like.settings.get(*n));
        if let Some(what) = differ.next() {
            let value = |m: &Mark| m.settings.get(what).map_or("none".to_string(), ToString::to_string);
            return Err(format!(
                "{} was made with another {what} ({}) than {} ({}): make it again with the same, and --overwrite",
                name(part),
                value(mark),
                name(first),
                value(like)
            ));
        }
        if (mark.sound, &mark.audio_track) != (like.sound, &like.audio_track) {
            return Err(format!("{} and {} were made for different sound", name(first), name(part)));
        }
    }
    if let Some(of) = first
        .mark
        .share
        .map(|s| s.1)
        .filter(|of| parts.iter().all(|p| p.mark.share.is_some_and(|s| s.1 == *of)))
    {
        let has = |k: &u32| parts.iter().any(|p| p.mark.share.is_some_and(|s| s.0 == *k));
        let missing: Vec<_> = (1..=of).filter(|k| !has(k)).collect();
        if let Some(k) = missing.first() {
            let list = missing.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            return Err(format!(
                "of {of} parts number {list} is missing: convert --part {k}/{of} makes {}",
                if missing.len() > 1 { "the first of them" } else { "it" }
            ));
        }
    }
    if let Some(begin) = first.mark.begin {
        return Err(format!(
            "what comes before {} is missing: up to {:.3} s",
            name(first),
            begin as f64 / 1e9
        ));
    }
    for two in parts.windows(2) {
        let (end, begin) = (two[0].mark.end, two[1].mark.begin);
        if end == begin && end.is_some() {
            continue;
        }
        let (a, b) = (name(&two[0]), name(&two[1]));
        // Where nothing is said, it is the clip's end, or its beginning.
        return Err(if end.is_none_or(|end| end > begin.unwrap_or(0)) {
            format!(
                "{a} and {b} have the same frames: take one of them away, or name the parts that are meant"
            )
        } else {
            format!("between {a} and {b} frames are missing")
        });
    }
    match parts.last() {
        Some(last) if last.mark.end.is_some() => Err(format!(
            "what comes after {} is missing: from {:.3} s",
            name(last),
            last.mark.end.unwrap_or(0) as f64 / 1e9
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    fn part(share: (u32, u32), begin: Option<u64>, end: Option<u64>) -> Part {
        let mark = Mark {
            asked: format!("{}/{}", share.0, share.1),
            share: Some(share),
            first: u64::from(share.0),
            count: 1,
            begin,
            end,
            frames: vec![(0, 1)],
            source: SourceId { location: "in.mp4".into(), bytes: 1, sha256: "a".into() },
            settings: Map::from_iter([("quality".to_string(), json!(75))]),
            sound: true,
            audio_track: None,
            made_by: Map::new(),
            bytes: 0,
            sha256: String::new(),
        };
        Part { path: format!("p{}", share.0).into(), mark }
    }

    fn three() -> Vec<Part> {
        vec![part((1, 3), None, Some(10)), part((2, 3), Some(10), Some(20)), part((3, 3), Some(20), None)]
    }

    #[test]
    fn what_is_no_whole_is_refused() {
        assert_eq!(check(&three()), Ok(()));
        let refused = |change: &dyn Fn(&mut Vec<Part>)| {
            let mut parts = three();
            change(&mut parts);
            check(&parts).unwrap_err()
        };
        assert!(refused(&|p| drop(p.remove(1))).contains("number 2 is missing: convert --part 2/3"));
        assert!(refused(&|p| drop(p.remove(2))).contains("number 3 is missing"));
        assert!(refused(&|p| p.insert(1, p[1].clone())).contains("the same frames"));
        assert!(refused(&|p| p[2].mark.source.bytes = 2).contains("another clip"));
        assert!(refused(&|p| p[2].mark.sound = false).contains("sound"));
        let finer = refused(&|p| drop(p[1].mark.settings.insert("quality".into(), json!(80))));
        assert!(finer.contains("p2") && finer.contains("quality (80)"), "{finer}");
        assert!(refused(&|p| p.clear()).contains("no part"));
        // Ranges have no numbers.
        let ranges = |change: &dyn Fn(&mut Vec<Part>)| {
            refused(&|p| {
                p.iter_mut().for_each(|part| part.mark.share = None);
                change(p);
            })
        };
        assert!(ranges(&|p| drop(p.remove(1))).contains("between p1 and p3"));
        assert!(ranges(&|p| drop(p.remove(0))).contains("before p2"));
        assert!(ranges(&|p| drop(p.remove(2))).contains("after p2"));
        assert!(ranges(&|p| p[1].mark.begin = Some(5)).contains("the same frames"));
        assert!(ranges(&|p| p[0].mark.end = None).contains("the same frames"));
    }
}
