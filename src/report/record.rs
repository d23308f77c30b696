//! A record of a stream in JSON, for whoever has to find out later what happened.
//!
//! `docs/report.schema.json` says what is in it. No picture content, no file contents; paths as they were given.

use crate::draft;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The version of the record's form; it grows when a reader has to change.
const VERSION: u32 = 1;

/// How a stream ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// To its end.
    Completed,
    /// By an error.
    Failed,
    /// Somebody stopped it before its end.
    #[default]
    Stopped,
}

/// What went wrong.
#[derive(Clone, Debug, Default)]
pub struct Incident {
    pub time: Option<SystemTime>,
    /// Domain and name of the error, as in `resource/not-found`.
    pub code: String,
    /// What the user was told.
    pub symptom: String,
    pub debug: String,
    /// The elements of the pipeline, by factory and name.
    pub elements: Vec<String>,
}

/// All that is known of a stream. The maps hold what GStreamer's side knows, by name.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub job_id: String,
    pub started: Option<SystemTime>,
    pub ended: Option<SystemTime>,
    pub outcome: Outcome,
    pub software: Map<String, Value>,
    pub model: Map<String, Value>,
    pub runtime: Map<String, Value>,
    pub settings: Map<String, Value>,
    pub input: Map<String, Value>,
    pub output: Map<String, Value>,
    pub stats: Map<String, Value>,
    pub warnings: Vec<Value>,
    /// Who has been seen, where not all were wanted.
    pub subjects: Vec<Value>,
    pub notes: Vec<String>,
    pub incident: Option<Incident>,
    /// Of a conversion from file to file: what was read and what was written. Empty where only a stream is known.
    pub source: Map<String, Value>,
    pub destination: Map<String, Value>,
}

impl Record {
    /// The record as JSON.
    pub fn to_json(&self) -> Value {
        let time = |t: Option<SystemTime>| t.map_or(Value::Null, |t| Value::String(utc(t)));
        let mut record = json!({
            "schema": "bgremove-report",
            "schema_version": VERSION,
            "job_id": self.job_id,
            "started": time(self.started),
            "ended": time(self.ended),
            "result": match self.outcome {
                Outcome::Completed => "completed",
                Outcome::Failed => "failed",
                Outcome::Stopped => "stopped",
            },
            "software": self.software,
            "model": self.model,
            "runtime": self.runtime,
            "settings": self.settings,
            "input": self.input,
            "output": self.output,
            "stats": self.stats,
            "warnings": self.warnings,
            "quality_notes": self.notes,
            "incident": self.incident.as_ref().map(|i| json!({
                "time": time(i.time),
                "error_code": i.code,
                "symptom": i.symptom,
                "debug": i.debug,
                "elements": i.elements,
            })),
        });
        if !self.subjects.is_empty() {
            record["subjects"] = self.subjects.clone().into();
        }
        for (name, map) in [("source", &self.source), ("destination", &self.destination)] {
            if !map.is_empty() {
                record[name] = Value::Object(map.clone());
            }
        }
        record
    }
}

/// A time in UTC, to the millisecond, as RFC 3339 has it.
pub fn utc(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = glib::DateTime::from_unix_utc(since.as_secs().cast_signed());
    // Of no time that the calendar has.
    let text = seconds.and_then(|t| t.format("%Y-%m-%dT%H:%M:%S")).unwrap_or_default();
    format!("{text}.{:03}Z", since.subsec_millis())
}

/// Writes the record, whole or not at all.
///
/// # Errors
/// Those of the file system.
pub fn save(record: &Record, path: &Path) -> std::io::Result<()> {
    let mut text = serde_json::to_string_pretty(&record.to_json())?;
    text.push('\n');
    let name = path.file_name().ok_or(std::io::ErrorKind::InvalidFilename)?;
    draft::write(path, &format!(".{}.", name.to_string_lossy()), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000Z"),
            (4_102_444_799, "2099-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
        assert!(utc(UNIX_EPOCH + Duration::from_millis(1234)).ends_with("01.234Z"));
    }

    #[test]
    fn a_record_is_written_whole_or_not_at_all() {
        let folder = std::env::temp_dir().join(format!("bgremove-record-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("r.json");
        let record = Record { job_id: "j".into(), ..Record::default() };
        save(&record, &path).unwrap();
        save(&record, &path).unwrap();
        let read: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(read["job_id"], "j");
        assert_eq!(read["result"], "stopped");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
        // A folder stands in its place.
        let taken = folder.join("taken");
        std::fs::create_dir(&taken).unwrap();
        assert!(save(&record, &taken).is_err());
        assert!(save(&record, &folder.join("no/such/folder.json")).is_err());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    #[cfg(unix)]
    fn a_link_in_the_drafts_way_is_not_followed() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("theirs"), "theirs").unwrap();
        // The name that a draft used to have, which anybody who may write here could guess.
        symlink(at("theirs"), at(&format!("r.json.{}.part", std::process::id()))).unwrap();
        // And the record's own place.
        symlink(at("theirs"), at("r.json")).unwrap();
        save(&Record::default(), &at("r.json")).unwrap();
        assert_eq!(std::fs::read_to_string(at("theirs")).unwrap(), "theirs");
        let made = std::fs::symlink_metadata(at("r.json")).unwrap();
        assert!(made.is_file(), "the record stands in the link's place");
        // As any new file has them.
        std::fs::write(at("new"), "").unwrap();
        let mode = |name: &str| std::fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("r.json"), mode("new"));
    }
}
