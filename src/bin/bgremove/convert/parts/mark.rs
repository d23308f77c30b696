//! What a part says of itself, in a file beside it: which frames of which source it has, with what settings it was made,
//! and by which sum one knows that it is whole. `bgremove join` puts parts together by this.

use super::slice::Slice;
use crate::convert::output::PREFIX;
use crate::convert::{Background, Settings};
use crate::install::{hex, sha256_of};
use gstbgremove::draft;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// What it is by.
const SCHEMA: &str = "bgremove-part";
/// The version of its form, which grows when a reader has to change.
const VERSION: u64 = 1;
/// Of a source so much is looked at from its beginning and from its end, beside its length: a whole film would have to be
/// read for every part.
const ENDS: u64 = 1 << 20;
/// Properties that change nothing in the picture.
const ASIDE: [&str; 5] = ["threads", "job-id", "report-location", "stats-interval", "execution-provider"];

/// What says which resolution of the network large frames get where nothing is said, if that is not the usual one.
const FILES_RESOLUTION: &str = "files_resolution";

/// A part as its file says.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// As it was asked for: `3/7`, or a range.
    pub asked: String,
    /// Its number and how many there are, where it is one of so many.
    pub share: Option<(u32, u32)>,
    /// Its first frame and how many it has, in the source.
    pub first: u64,
    pub count: u64,
    /// Between its frames and those before and after; none at the clip's beginning and end.
    pub begin: Option<u64>,
    pub end: Option<u64>,
    /// When each frame is shown in the whole, and how long, in nanoseconds.
    pub frames: Vec<(u64, u64)>,
    pub source: SourceId,
    /// All that the picture depends on.
    pub settings: Map<String, Value>,
    /// Whether the whole has the source's sound, and which.
    pub sound: bool,
    pub audio_track: Option<String>,
    /// What made it, for those who wonder: versions, the provider.
    pub made_by: Map<String, Value>,
    /// Of what it is beside.
    pub bytes: u64,
    pub sha256: String,
}

/// A clip, so that it is known again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceId {
    pub location: String,
    pub bytes: u64,
    /// Of its first and last megabyte.
    pub sha256: String,
}

impl SourceId {
    /// # Errors
    /// It cannot be read.
    pub fn of(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut sum = Sha256::new();
        let mut ends = Vec::new();
        (&mut file).take(ENDS).read_to_end(&mut ends)?;
        sum.update(&ends);
        if bytes > ENDS {
            ends.clear();
            file.seek(SeekFrom::Start(bytes - ENDS))?;
            file.take(ENDS).read_to_end(&mut ends)?;
            sum.update(&ends);
        }
        // So that it is found from another folder, too.
        let location = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        Ok(Self { location: location.display().to_string(), bytes, sha256: hex(sum) })
    }

    /// Whether it is the same clip, wherever it lies.
    pub fn is(&self, other: &Self) -> bool {
        (self.bytes, &self.sha256) == (other.bytes, &other.sha256)
    }
}

/// All that the pictures of a result depend on, but for the network's own file.
pub fn settings(settings: &Settings) -> Map<String, Value> {
    let chosen = settings.chosen();
    let model = chosen.map_or(settings.model.as_str(), |c| c.model);
    // A file is the same under any folder.
    let model = Path::new(model).file_name().map_or(model.into(), |n| n.to_string_lossy());
    let (background, file) = match &settings.background {
        Background::Transparent => ("transparent".to_string(), None),
        Background::Text(text) => (text.clone(), Some(PathBuf::from(text))),
        Background::Clip(path) => (path.display().to_string(), Some(path.clone())),
    };
    let behind = file.filter(|f| f.is_file()).and_then(|f| SourceId::of(&f).ok());
    let background = behind.map_or(background, |b| format!("file of {} bytes, {}", b.bytes, b.sha256));
    // Of one that is said several times the last counts.
    let set = settings.set.iter().filter(|(n, _)| !ASIDE.contains(&n.as_str()));
    let set: Map<String, Value> = set.map(|(n, v)| (n.clone(), json!(v))).collect();
    let is_webm = settings.format == crate::convert::format::Format::Webm;
    let all = json!({
        "format": settings.format.name(),
        "codec": is_webm.then(|| format!("{:?}", settings.codec).to_lowercase()),
        "quality": settings.quality,
        "model": model,
        "background": background,
        "set": set,
        "size": settings.size.map(|(w, h)| format!("{w}x{h}")),
        "fps": settings.fps,
        "alpha": if settings.premultiplied { "premultiplied" } else { "straight" },
        "video_track": settings.video_track.as_ref().map(ToString::to_string),
        "warm_up": settings.part.as_ref().and_then(|p| p.warm_up),
        "bgremove": env!("CARGO_PKG_VERSION"),
    });
    let mut map = match all {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    // Of large frames; smaller ones follow from it and the source.
    if let Some(side) = settings.files_resolution((u32::MAX, u32::MAX)) {
        map.insert(FILES_RESOLUTION.into(), side.into());
    }
    map
}

/// Whether the whole is to have the source's sound, and which.
pub fn sound(settings: &Settings) -> (bool, Option<String>) {
    let has = settings.sound_wanted() && settings.format.has_sound();
    (has, settings.audio_track.as_ref().map(ToString::to_string))
}

/// A sum of what is asked for, by which parts of one result know each other.
pub fn sum(settings: &Map<String, Value>) -> String {
    sha256_of(Value::Object(settings.clone()).to_string().as_bytes())
}

/// Where what a part says lies.
pub fn beside(part: &Path) -> PathBuf {
    let mut name = part.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// Length and sum of a file, or of the pictures in a folder.
///
/// # Errors
/// It cannot be read.
pub fn content(path: &Path) -> io::Result<(u64, String)> {
    let mut files = vec![path.to_path_buf()];
    if path.is_dir() {
        files = std::fs::read_dir(path)?.map(|f| f.map(|f| f.path())).collect::<io::Result<_>>()?;
        files.sort();
    }
    let (mut bytes, mut sum) = (0, Sha256::new());
    let mut block = vec![0; 1 << 20];
    for file in files {
        let mut file = File::open(file)?;
        loop {
            let n = file.read(&mut block)?;
            if n == 0 {
                break;
            }
            sum.update(&block[..n]);
            bytes += n as u64;
        }
    }
    Ok((bytes, hex(sum)))
}

impl Mark {
    /// Takes in what was written.
    pub fn new(asked: &str, slice: &Slice, frames: Vec<(u64, u64)>, source: SourceId) -> Self {
        Self {
            asked: asked.into(),
            share: slice.share.map(|s| (s.number, s.of)),
            first: slice.first,
            count: slice.count,
            begin: slice.begin,
            end: slice.end,
            frames,
            source,
            settings: Map::new(),
            sound: false,
            audio_track: None,
            made_by: Map::new(),
            bytes: 0,
            sha256: String::new(),
        }
    }

    fn json(&self) -> Value {
        json!({
            "schema": SCHEMA,
            "schema_version": VERSION,
            "part": self.asked,
            "number": self.share.map(|s| s.0),
            "of": self.share.map(|s| s.1),
            "first_frame": self.first,
            "frames": self.count,
            "begin_ns": self.begin,
            "end_ns": self.end,
            "source": {
                "location": self.source.location, "bytes": self.source.bytes, "sha256_of_ends": self.source.sha256,
            },
            "settings": self.settings,
            "settings_sha256": sum(&self.settings),
            "sound": self.sound,
            "audio_track": self.audio_track,
            "made_by": self.made_by,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "times_ns": self.frames.iter().map(|f| f.0).collect::<Vec<_>>(),
            "durations_ns": self.frames.iter().map(|f| f.1).collect::<Vec<_>>(),
        })
    }

    fn of(json: &Value) -> Option<Self> {
        if json["schema"] != SCHEMA || json["schema_version"].as_u64()? > VERSION {
            return None;
        }
        let text = |v: &Value| v.as_str().map(str::to_string);
        let numbers = |v: &Value| v.as_array()?.iter().map(Value::as_u64).collect::<Option<Vec<_>>>();
        let small = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok());
        let (times, lengths) = (numbers(&json["times_ns"])?, numbers(&json["durations_ns"])?);
        let mark = Self {
            asked: text(&json["part"])?,
            share: small(&json["number"]).zip(small(&json["of"])),
            first: json["first_frame"].as_u64()?,
            count: json["frames"].as_u64()?,
            begin: json["begin_ns"].as_u64(),
            end: json["end_ns"].as_u64(),
            source: SourceId {
                location: text(&json["source"]["location"])?,
                bytes: json["source"]["bytes"].as_u64()?,
                sha256: text(&json["source"]["sha256_of_ends"])?,
            },
            settings: json["settings"].as_object()?.clone(),
            sound: json["sound"].as_bool()?,
            audio_track: text(&json["audio_track"]),
            made_by: json["made_by"].as_object()?.clone(),
            bytes: json["bytes"].as_u64()?,
            sha256: text(&json["sha256"])?,
            frames: (times.len() == lengths.len()).then(|| times.into_iter().zip(lengths).collect())?,
        };
        // What somebody has changed in it is no longer what the part was made with.
        (json["settings_sha256"] == sum(&mark.settings)).then_some(mark)
    }

    /// Writes it beside its part, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, part: &Path) -> io::Result<()> {
        draft::write(&beside(part), PREFIX, format!("{}\n", self.json()).as_bytes())
    }

    /// What a part says of itself.
    ///
    /// # Errors
    /// It says nothing, or nothing that is understood.
    pub fn read(part: &Path) -> Result<Self, String> {
        let path = beside(part);
        let name = path.display();
        let bytes = std::fs::read(&path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => format!(
                "{} is no part: {name}, which convert --part writes beside each, is not there",
                part.display()
            ),
            _ => format!("{name} cannot be read: {e}"),
        })?;
        let json: Option<Value> = serde_json::from_slice(&bytes).ok();
        json.as_ref().and_then(Self::of).ok_or_else(|| {
            format!("{name} says nothing that is understood: make the part again, with --overwrite")
        })
    }

    /// Whether the part beside it is as long and has the sum that it says.
    pub fn is_whole(&self, part: &Path) -> bool {
        content(part).is_ok_and(|(bytes, sum)| (bytes, sum) == (self.bytes, self.sha256.clone()))
    }
}

/// What lay beside a part before it is made anew.
pub struct Old {
    part: PathBuf,
    bytes: Option<Vec<u8>>,
}

impl Old {
    /// # Errors
    /// It cannot be read.
    pub fn of(part: &Path) -> Result<Self, String> {
        let path = beside(part);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Self { part: part.into(), bytes: Some(bytes) }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self { part: part.into(), bytes: None }),
            Err(e) => Err(format!("{} cannot be read: {e}", path.display())),
        }
    }

    /// Puts it back, since the new part has not come to its place.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put_back(self) -> Result<(), String> {
        let path = beside(&self.part);
        let put = match &self.bytes {
            Some(bytes) => draft::write(&path, PREFIX, bytes),
            // It may be that of somebody who was quicker by a moment; --resume tells whether it fits.
            None if self.part.exists() => Ok(()),
            None => std::fs::remove_file(&path),
        };
        put.map_err(|e| format!("{} is no longer what it was: {e}", path.display()))
    }
}

/// How a place stands for a part that is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum There {
    Nothing,
    /// It is this part, and whole.
    Whole,
    /// It is this part, or was to be, and is not whole.
    Broken,
    /// It is something else: what.
    Other(String),
}

/// Looks whether a part is there already.
pub fn there(
    part: &Path,
    asked: &str,
    source: &SourceId,
    wanted: &Map<String, Value>,
    sound: &(bool, Option<String>),
) -> There {
    if !part.exists() {
        return There::Nothing;
    }
    let mark = match Mark::read(part) {
        Ok(mark) => mark,
        Err(why) => return There::Other(why),
    };
    // Which file the network was is known only to who has loaded it.
    let names = wanted.keys().map(String::as_str).chain([FILES_RESOLUTION]);
    let differs = names
        .map(|what| (what, mark.settings.get(what), wanted.get(what)))
        .find(|(_, had, want)| had != want);
    let name = part.display();
    if let Some((what, had, want)) = differs {
        let [had, want] = [had, want].map(|v| v.map_or("none".into(), Value::to_string));
        return There::Other(format!("{name} was made with another {what} ({had}, not {want})"));
    }
    if (mark.sound, &mark.audio_track) != (sound.0, &sound.1) {
        return There::Other(format!("{name} was made for another sound (--audio, --audio-track)"));
    }
    if mark.asked != asked || !mark.source.is(source) {
        return There::Other(format!("{name} is part {} of {}", mark.asked, mark.source.location));
    }
    if mark.is_whole(part) { There::Whole } else { There::Broken }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark() -> Mark {
        let frames = vec![(40, 20), (60, 20)];
        let slice = Slice {
            share: None,
            first: 2,
            count: 2,
            begin: Some(30),
            end: None,
            time: 40,
            from: None,
            until: None,
            warm_up: 2,
            shift: 0,
            exact: true,
        };
        let source = SourceId { location: "in.mp4".into(), bytes: 5, sha256: "ab".into() };
        let mut mark = Mark::new("2..4", &slice, frames, source);
        mark.settings.insert("quality".into(), json!(75));
        mark
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("a.webm");
        std::fs::write(&part, "film").unwrap();
        let mut mark = mark();
        (mark.bytes, mark.sha256) = content(&part).unwrap();
        mark.write(&part).unwrap();
        assert_eq!(Mark::read(&part).unwrap(), mark);
        let of = |asked: &str, source: &SourceId| there(&part, asked, source, &mark.settings, &(false, None));
        assert_eq!(of("2..4", &mark.source), There::Whole);
        let moved = SourceId { location: "elsewhere/in.mp4".into(), ..mark.source.clone() };
        assert_eq!(of("2..4", &moved), There::Whole);
        let other = SourceId { bytes: 6, ..mark.source.clone() };
        assert!(
            matches!(of("2..4", &other), There::Other(_)) && matches!(of("2..5", &moved), There::Other(_))
        );
        let finer = Map::from_iter([("quality".to_string(), json!(80))]);
        let made = there(&part, "2..4", &mark.source, &finer, &(false, None));
        assert!(matches!(made, There::Other(why) if why.contains("quality") && why.contains("75, not 80")));
        let fine = mark.settings.iter().map(|(n, v)| (n.clone(), v.clone()));
        let fine = fine.chain([(FILES_RESOLUTION.to_string(), json!(384))]).collect();
        let made = there(&part, "2..4", &mark.source, &fine, &(false, None));
        assert!(matches!(made, There::Other(why) if why.contains("none, not 384")));
        let of_fine = Mark { settings: fine, ..mark.clone() };
        of_fine.write(&part).unwrap();
        assert!(matches!(of("2..4", &mark.source), There::Other(why) if why.contains("384, not none")));
        mark.write(&part).unwrap();
        for sound in [(true, None), (false, Some("2".to_string()))] {
            let made = there(&part, "2..4", &mark.source, &mark.settings, &sound);
            assert!(matches!(made, There::Other(why) if why.contains("sound")));
        }
        std::fs::write(&part, "fil").unwrap();
        assert_eq!(of("2..4", &mark.source), There::Broken);
        std::fs::write(beside(&part), mark.json().to_string().replace("75", "76")).unwrap();
        assert!(Mark::read(&part).is_err_and(|e| e.contains("--overwrite")));
        assert!(Mark::read(&folder.path().join("b.webm")).is_err_and(|e| e.contains("is no part")));
    }

    #[test]
    fn of_what_is_set_twice_the_last_counts() {
        let mut wanted = Settings::new(crate::convert::format::Format::Webm);
        for value in ["0.9", "0.5"] {
            wanted.set.push(("edge-softness".into(), value.into()));
        }
        assert_eq!(settings(&wanted)["set"]["edge-softness"], "0.5");
    }

    #[test]
    fn parts_of_another_resolution_are_not_the_same() {
        let mut wanted = Settings::new(crate::convert::format::Format::Webm);
        wanted.model = "human".into();
        assert_eq!(settings(&wanted)[FILES_RESOLUTION], 384);
        // It is noted among what was set, or is the usual one, as in parts that were made before it was noted.
        wanted.set.push(("resolution".into(), "288".into()));
        assert_eq!(settings(&wanted).get(FILES_RESOLUTION), None);
        wanted.set.clear();
        wanted.model = "light".into();
        assert_eq!(settings(&wanted).get(FILES_RESOLUTION), None);
    }

    #[test]
    fn what_lay_beside_is_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("a.webm");
        let old = Old::of(&part).unwrap();
        std::fs::write(beside(&part), "new").unwrap();
        old.put_back().unwrap();
        assert!(!beside(&part).exists());
        std::fs::write(beside(&part), "somebody else's").unwrap();
        let old = Old::of(&part).unwrap();
        std::fs::write(beside(&part), "new").unwrap();
        old.put_back().unwrap();
        assert_eq!(std::fs::read_to_string(beside(&part)).unwrap(), "somebody else's");
    }
}
