//! The record of a conversion (`--report`): what the element knows of the stream, and what only the tool knows
//! of the files.

use super::fault::Fault;
use super::input::Input;
use super::launch_line::LaunchLine;
use super::plan::Plan;
use super::{Settings, Task};
use gst::prelude::*;
use gstbgremove::element::{BgRemove, elements_of};
use gstbgremove::report::{Incident, Outcome, Record, save, utc};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

/// How long a pipeline may take to say what is in it.
const ASKING: Duration = Duration::from_secs(3);

/// What is found out in the course of one conversion.
pub struct ConvertRecord<'a> {
    settings: &'a Settings,
    started: SystemTime,
    /// The element's own, once there is one.
    stream: Option<Record>,
    source: Map<String, Value>,
    destination: Map<String, Value>,
    elements: Vec<String>,
    notes: Vec<String>,
    warnings: Vec<Value>,
    kept: bool,
}

impl<'a> ConvertRecord<'a> {
    pub fn new(settings: &'a Settings, task: &'a Task) -> Self {
        let mut source = object(json!({ "location": task.input.display().to_string() }));
        if let Ok(meta) = std::fs::metadata(&task.input)
            && meta.is_file()
        {
            source.insert("bytes".into(), meta.len().into());
        }
        let destination = object(json!({
            "location": task.output.display().to_string(), "container": settings.format.name(),
        }));
        Self {
            settings,
            started: SystemTime::now(),
            stream: None,
            source,
            destination,
            elements: Vec::new(),
            notes: Vec::new(),
            warnings: Vec::new(),
            kept: false,
        }
    }

    /// The input has said all that it has to say of itself.
    pub fn tagged(&mut self, input: &Input) {
        self.source.extend(object(json!({
            "container": input.tags.container, "video_codec": input.tags.video, "audio_codec": input.tags.audio,
            "bitrate": input.tags.bitrate,
        })));
    }

    /// The input is open.
    pub fn opened(&mut self, input: &Input) {
        let facts = &input.facts;
        self.tagged(input);
        self.source.extend(object(json!({
            "width": facts.width, "height": facts.height,
            "framerate": input.framerate(), "sound": facts.channels.is_some(),
        })));
        if let Some(duration) = input.duration {
            self.source.insert("duration_ns".into(), duration.nseconds().into());
        }
        self.elements = elements_of(input.pipeline.0.upcast_ref());
    }

    /// It is known what is made of it.
    pub fn planned(&mut self, plan: &Plan) {
        let (video, audio) = self.settings.format.codecs(self.settings.codec, plan.alpha());
        self.destination.extend(object(json!({
            "video_codec": video, "audio_codec": audio.filter(|_| plan.sound()), "width": plan.width,
            "height": plan.height, "alpha": plan.alpha(),
        })));
        if let Some(canvas) = &self.settings.canvas {
            self.destination.insert("canvas".into(), canvas.words().into());
        }
        let layers = self.settings.also.iter().map(|also| {
            let (video, _) = also.format.codecs(self.settings.codec, also.has_alpha());
            json!({
                "layer": also.layer.nick(), "location": also.path.display().to_string(),
                "container": also.format.name(), "video_codec": video, "alpha": also.has_alpha(),
            })
        });
        if !self.settings.also.is_empty() {
            self.destination.insert("layers".into(), layers.collect());
        }
    }

    /// Something that the user was told.
    pub fn note(&mut self, text: &str) {
        self.notes.push(text.into());
    }

    /// Something that is not as it should be, which the user was told.
    pub fn warning(&mut self, code: &str, text: &str) {
        let first = utc(SystemTime::now());
        self.warnings.push(json!({ "code": code, "text": text, "first": first, "count": 1 }));
    }

    /// The pipeline is about to go, for whatever reason.
    pub fn played(&mut self, pipeline: &gst::Pipeline) {
        let pipeline = pipeline.clone();
        let (tell, told) = mpsc::channel();
        // An element that is stuck may hold a lock that even its name is behind (mp4mux of 1.22, when it cannot write).
        std::thread::spawn(move || {
            let elements = elements_of(pipeline.upcast_ref());
            let ours = pipeline.iterate_recurse().into_iter().map_while(Result::ok);
            let ours = ours.filter_map(|e| e.downcast::<BgRemove>().ok());
            let _ = tell.send((elements, ours.map(|e| e.record(Outcome::Stopped)).next()));
        });
        if let Ok((elements, stream)) = told.recv_timeout(ASKING) {
            (self.elements, self.stream) = (elements, stream);
        }
    }

    /// What the element knows of the stream, once it has been.
    pub fn stream(&self) -> Option<&Record> {
        self.stream.as_ref()
    }

    /// The result was there already, and so may be its record.
    pub fn kept(&mut self) {
        self.kept = true;
        self.note("it was there already, and was not made again");
    }

    /// The result is whole and in its place.
    pub fn written(&mut self, written: &WrittenFiles<'_>) {
        self.destination.insert("frames".into(), written.frames.into());
        self.destination.insert("bytes".into(), written.bytes.into());
        let layers = self.destination.get_mut("layers").and_then(Value::as_array_mut);
        for (layer, bytes) in layers.into_iter().flatten().zip(written.layers) {
            layer["frames"] = written.frames.into();
            layer["bytes"] = (*bytes).into();
        }
    }

    /// Writes the record, if it is to be anywhere.
    ///
    /// # Errors
    /// That it could not be written.
    pub fn close(self, path: Option<&Path>, ended: Result<(), &Fault>) -> Result<(), String> {
        let Some(path) = path.filter(|path| !self.kept || !path.exists()) else { return Ok(()) };
        let mut record = match self.stream {
            Some(record) => record,
            None => unborn(self.settings),
        };
        if record.job_id.is_empty() {
            record.job_id = glib::uuid_string_random().to_string();
        }
        (record.started, record.ended) = (Some(self.started), Some(SystemTime::now()));
        record.outcome = match ended {
            Ok(()) => Outcome::Completed,
            Err(fault) if fault.is_interrupted() => Outcome::Stopped,
            Err(_) => Outcome::Failed,
        };
        // The element's own words are closer to the cause.
        record.incident = ended.err().filter(|f| !f.is_interrupted()).map(|fault| {
            record.incident.take().unwrap_or_else(|| Incident {
                time: record.ended,
                code: fault.code.clone(),
                symptom: fault.text.clone(),
                debug: fault.debug.clone(),
                elements: self.elements,
            })
        });
        record.notes.extend(self.notes);
        record.warnings.extend(self.warnings);
        (record.source, record.destination) = (self.source, self.destination);
        save(&record, path).map_err(|e| unwritten(path, &e))
    }
}

fn unwritten(path: &Path, e: &std::io::Error) -> String {
    format!("the record {} could not be written: {e}", path.display())
}

/// The record of a conversion that has come to no stream: the settings as they were asked for.
fn unborn(settings: &Settings) -> Record {
    let mut line = LaunchLine::new(true);
    settings.element(line.start("bgremove"));
    let element = |line: &LaunchLine| line.launch().ok()?.downcast::<BgRemove>().ok();
    if let Some(element) = element(&line) {
        return element.record(Outcome::Failed);
    }
    // One of them is no property, or no value of one.
    let mut line = LaunchLine::new(true);
    let mut record = element(line.start("bgremove")).map(|e| e.record(Outcome::Failed)).unwrap_or_default();
    record.model.insert("name".into(), settings.model.clone().into());
    for (name, value) in settings.properties() {
        record.settings.insert(name.replace('-', "_"), value.into());
    }
    record
}

/// Looks whether a record may be put into a place: nothing but an older one may be there.
///
/// # Errors
/// What is in the way.
pub fn check(path: &Path) -> Result<(), String> {
    let name = path.display();
    match std::fs::metadata(path) {
        Err(_) => return Ok(()),
        Ok(there) if !there.is_file() => {
            return Err(format!(
                "{name} is there and is no file, which the record needs: choose another name"
            ));
        }
        Ok(there) if there.len() > 1 << 24 => {}
        Ok(_) => {
            let old: Option<Value> = std::fs::read(path).ok().and_then(|b| serde_json::from_slice(&b).ok());
            if old.is_some_and(|r| r["schema"] == "bgremove-report") {
                return Ok(());
            }
        }
    }
    Err(format!("{name} exists and is no record of an earlier conversion: choose another name for --report"))
}

/// What came out.
pub struct WrittenFiles<'a> {
    pub frames: u64,
    pub bytes: u64,
    /// Bytes of each of the layers.
    pub layers: &'a [u64],
}

/// Tries whether the folder of a record can be written to, before any work.
///
/// # Errors
/// Why not.
pub fn probe(path: &Path) -> Result<(), String> {
    let folder = gstbgremove::draft::folder_of(path);
    tempfile::Builder::new().prefix(".report.").tempfile_in(folder).map(drop).map_err(|e| unwritten(path, &e))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
