//! The record of a conversion, for `--report`: what the element keeps of its stream, and what the tool knows besides.
//!
//! `docs/report.schema.json` says what is in it.

use super::watch::{INTERRUPTED, Watch};
use super::{Settings, Task};
use gst::prelude::*;
use gstbgremove::report::{save, utc};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use tempfile::TempDir;

/// A record in the making.
pub struct Record {
    place: PathBuf,
    /// Where the element puts its part.
    folder: TempDir,
    known: Mutex<Known>,
}

/// What the tool gets to know.
#[derive(Default)]
struct Known {
    elements: Vec<String>,
    output: Option<Value>,
}

impl Record {
    /// # Errors
    /// Where it cannot be written.
    pub fn new(place: &Path) -> Result<Self, String> {
        let unfit = |e: std::io::Error| format!("the report {} cannot be written: {e}", place.display());
        if place.is_dir() {
            return Err(format!("the report {} is a folder: name a file", place.display()));
        }
        let beside = place.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Better now than after an hour's work.
        drop(tempfile::tempfile_in(beside).map_err(unfit)?);
        let folder = tempfile::tempdir().map_err(unfit)?;
        Ok(Self { place: place.into(), folder, known: Mutex::default() })
    }

    fn part(&self) -> PathBuf {
        self.folder.path().join("element.json")
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pipeline is there: its bgremove is to keep a record.
    pub fn attach(&self, pipeline: &gst::Pipeline) {
        let elements = pipeline.iterate_recurse().into_iter().map_while(Result::ok);
        for element in elements {
            let factory = element.factory().map_or_else(|| "?".to_string(), |f| f.name().to_string());
            if factory == "bgremove" {
                element.set_property("report-location", self.part().display().to_string());
            }
            self.known().elements.push(format!("{factory} {}", element.name()));
        }
        self.known().elements.reverse();
    }

    /// The result is in its place.
    pub fn written(&self, bytes: u64, frames: u64, seconds: f64) {
        self.known().output = Some(json!({ "bytes": bytes, "frames": frames, "seconds": seconds }));
    }

    /// Writes the record. The pipeline is gone by now, so the element has written its part.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(
        self,
        settings: &Settings,
        task: &Task,
        result: Result<(), &str>,
        watch: &Watch,
    ) -> Result<(), String> {
        let unfit =
            |e: &dyn std::fmt::Display| format!("the report {} cannot be written: {e}", self.place.display());
        let part = self.part();
        if !part.exists() {
            // It never came to a stream: an element without one says what it knows.
            settings.idle(&part)?;
        }
        let text = std::fs::read_to_string(&part).map_err(|e| unfit(&e))?;
        let mut record: Value = serde_json::from_str(&text).map_err(|e| unfit(&e))?;
        let known = std::mem::take(&mut *self.known());
        record["input"]["path"] = task.input.display().to_string().into();
        let output = &mut record["output"];
        output["path"] = task.output.display().to_string().into();
        output["container"] = settings.format.name().into();
        output["codec"] = settings.codec_name().into();
        if let Some(Value::Object(more)) = known.output {
            more.into_iter().for_each(|(name, value)| output[name] = value);
        }
        let now: Value = utc(SystemTime::now()).into();
        record["ended"] = now.clone();
        record["result"] = match result {
            Ok(()) => "completed",
            Err(why) if why == INTERRUPTED => "stopped",
            Err(_) => "failed",
        }
        .into();
        if let Err(why) = result
            && why != INTERRUPTED
            && record["incident"].is_null()
        {
            let (code, debug) = watch.last_error().unwrap_or(("convert/failed".into(), String::new()));
            record["incident"] = json!({
                "time": now, "error_code": code, "symptom": why, "debug": debug, "elements": known.elements,
            });
        }
        save(&record, &self.place).map_err(|e| unfit(&e))
    }
}

/// Domain and name of an error, as in `resource/no-space-left`.
pub fn code(error: &gst::glib::Error) -> String {
    let domain = error.domain().as_str().trim_start_matches("gst-").trim_end_matches("-error-quark");
    let name = if let Some(e) = error.kind::<gst::CoreError>() {
        format!("{e:?}")
    } else if let Some(e) = error.kind::<gst::LibraryError>() {
        format!("{e:?}")
    } else if let Some(e) = error.kind::<gst::ResourceError>() {
        format!("{e:?}")
    } else if let Some(e) = error.kind::<gst::StreamError>() {
        format!("{e:?}")
    } else {
        return "convert/failed".into();
    };
    let mut kebab = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(c.to_ascii_lowercase());
    }
    format!("{domain}/{kebab}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_form_of_the_elements_own() {
        let named = |e: gst::glib::Error| code(&e);
        assert_eq!(
            named(gst::glib::Error::new(gst::ResourceError::NoSpaceLeft, "")),
            "resource/no-space-left"
        );
        assert_eq!(named(gst::glib::Error::new(gst::StreamError::Decode, "")), "stream/decode");
        assert_eq!(named(gst::glib::Error::new(gst::glib::FileError::Noent, "")), "convert/failed");
    }
}
