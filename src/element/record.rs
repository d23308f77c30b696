//! The record of a run (`report-location`): put together from all that is known, and written.

use super::imp::BgRemove;
use super::properties::PROPERTIES;
use crate::key;
use crate::models::Network;
use crate::report::{Incident, Outcome, Record, save, utc};
use crate::sync::lock;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_video::VideoInfo;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::time::SystemTime;

impl BgRemove {
    /// Keeps what went wrong, and writes the record.
    pub(super) fn incident(&self, code: String, symptom: &str, debug: &str) {
        let elements = self.pipeline();
        lock(&self.journal).incident = Some(Incident {
            time: Some(SystemTime::now()),
            code,
            symptom: symptom.to_string(),
            debug: debug.to_string(),
            elements,
        });
        self.write_record(Outcome::Failed);
    }

    /// Writes the record of this run, once, if a place for it is set.
    pub(super) fn write_record(&self, outcome: Outcome) {
        if let Some(record) = self.take_record(outcome) {
            self.save_record(&record);
        }
    }

    /// The record of this run as it is now, to be written by [`Self::save_record`]; `None` where it is not wanted, or
    /// has been taken before.
    pub(super) fn take_record(&self, outcome: Outcome) -> Option<Record> {
        self.settings().report_location.as_ref()?;
        {
            let mut journal = lock(&self.journal);
            if journal.written.is_some() {
                return None;
            }
            journal.written = Some(outcome);
        }
        let duration = self.obj().sink_pad().peer_query_duration::<gst::ClockTime>();
        Some(self.record(outcome, duration))
    }

    pub(super) fn save_record(&self, record: &Record) {
        let Some(location) = self.settings().report_location.clone() else { return };
        if let Err(e) = save(record, &PathBuf::from(&location)) {
            self.warn_report_not_written(&location, &e.to_string());
        }
    }

    /// Warns at the start if the record's folder is missing: at the end nobody may listen any more.
    pub(super) fn check_report_folder(&self) {
        let Some(location) = self.settings().report_location.clone() else { return };
        let path = PathBuf::from(&location);
        let folder = path.parent().filter(|f| !f.as_os_str().is_empty());
        if folder.is_some_and(|f| !f.is_dir()) {
            self.warn_report_not_written(&location, "its folder is not there");
        }
    }

    fn warn_report_not_written(&self, location: &str, why: &str) {
        self.warn(
            "report-not-written",
            |s| s.field("location", location),
            |_| format!("the report '{location}' could not be written: {why}"),
        );
    }

    /// What is known of this run; `duration` is the whole input's.
    pub(super) fn record(&self, outcome: Outcome, duration: Option<gst::ClockTime>) -> Record {
        let stats = structure(&self.stats_structure());
        let journal = lock(&self.journal);
        let mut input = self.input_json(journal.tags.as_ref());
        let started = journal.started;
        let warnings = journal
            .warnings
            .iter()
            .map(|s| json!({ "code": s.code, "text": s.text, "first": utc(s.first), "count": s.count }));
        let ns = |t: std::time::Duration| t.as_nanos() as u64;
        let subjects = journal.sightings.iter().map(|s| {
            json!({
                "number": s.number, "first_ns": ns(s.first), "last_ns": ns(s.last), "masks": s.seen, "kept": s.chosen,
                "largest": plain(&s.area.to_value()),
            })
        });
        let subjects: Vec<Value> = subjects.collect();
        let (warnings, notes, incident) =
            (warnings.collect(), journal.notes.clone(), journal.incident.clone());
        drop(journal);
        if let Some(duration) = duration {
            input.insert("duration_ns".into(), duration.nseconds().into());
        }
        let network = lock(&self.network).clone();
        let (major, minor, micro, _) = gst::version();
        Record {
            job_id: self.job_id(),
            started,
            ended: Some(SystemTime::now()),
            outcome,
            software: object(json!({
                "name": "bgremove",
                "version": env!("CARGO_PKG_VERSION"),
                "gstreamer": format!("{major}.{minor}.{micro}"),
            })),
            model: self.model_json(network.as_ref()),
            runtime: self.runtime_json(network.as_ref()),
            settings: self.properties_json(),
            input,
            output: object(json!({ "caps": caps(self.obj().src_pad()) })),
            stats,
            warnings,
            subjects,
            notes,
            incident,
            ..Record::default()
        }
    }

    /// What comes in, and what upstream's tags say of it.
    fn input_json(&self, tags: Option<&gst::TagList>) -> Map<String, Value> {
        let obj = self.obj();
        let mut input = object(json!({ "caps": caps(obj.sink_pad()) }));
        if let Some(info) = obj.sink_pad().current_caps().and_then(|c| VideoInfo::from_caps(&c).ok()) {
            input.insert("width".into(), info.width().into());
            input.insert("height".into(), info.height().into());
            input.insert("format".into(), info.format().to_string().into());
            input.insert("framerate".into(), format!("{}/{}", info.fps().numer(), info.fps().denom()).into());
            input.insert("colorimetry".into(), info.colorimetry().to_string().into());
        }
        if let Some(tags) = tags {
            let text = |v: Option<String>| v.map_or(Value::Null, Value::String);
            input.insert(
                "codec".into(),
                text(tags.get::<gst::tags::VideoCodec>().map(|v| v.get().to_string())),
            );
            input.insert(
                "container".into(),
                text(tags.get::<gst::tags::ContainerFormat>().map(|v| v.get().to_string())),
            );
            input.insert(
                "bitrate".into(),
                tags.get::<gst::tags::Bitrate>().map_or(Value::Null, |v| v.get().into()),
            );
        }
        input
    }

    /// What makes the mattes.
    fn model_json(&self, network: Option<&Network>) -> Map<String, Value> {
        let mut model = object(json!({ "name": self.active_model() }));
        if let Some(chosen) = lock(&self.chosen).as_ref() {
            model.insert("reason".into(), chosen.reason.clone().into());
        }
        if self.settings().is_key() {
            model.insert("title".into(), key::TITLE.into());
            if let Some(network) = network {
                model.insert("garbage_sha256".into(), network.provenance().sha256.into());
            }
        } else if let Some(network) = network {
            let known = network.provenance();
            model.insert("title".into(), known.title.into());
            model.insert("licence".into(), known.licence.into());
            model.insert("sha256".into(), known.sha256.into());
            model.insert("bytes".into(), known.bytes.into());
            if let Some(decoder) = &network.decoder {
                model.insert("decoder_sha256".into(), decoder.sha256.clone().into());
            }
        }
        model
    }

    /// What the network runs on; empty where none is needed.
    fn runtime_json(&self, network: Option<&Network>) -> Map<String, Value> {
        let needed = !self.settings().is_key() || network.is_some();
        let Some(runtime) = (*lock(&self.runtime)).filter(|_| needed) else { return Map::new() };
        object(json!({
            "name": "ONNX Runtime",
            "version": runtime.version(),
            "library": runtime.path.display().to_string(),
            "provider": network.map(|n| n.session.provider.name()),
            "provider_reason": network.map(|n| n.reason.clone()),
            "device": network.map(|n| n.session.device.name.clone()).filter(|d| !d.is_empty()),
        }))
    }

    /// The properties as they are set.
    fn properties_json(&self) -> Map<String, Value> {
        PROPERTIES
            .iter()
            .filter(|p| p.flags().contains(glib::ParamFlags::WRITABLE))
            .filter(|p| !["report-location", "job-id"].contains(&p.name()))
            .map(|p| (p.name().replace('-', "_"), plain(&self.obj().property_value(p.name()))))
            .collect()
    }
}

fn caps(pad: &gst::Pad) -> Value {
    pad.current_caps().map_or(Value::Null, |c| c.to_string().into())
}

/// A value as JSON; a structure becomes text.
fn plain(value: &glib::Value) -> Value {
    if let Ok(v) = value.get::<Option<String>>() {
        return v.map_or(Value::Null, Value::String);
    }
    if let Ok(v) = value.get::<bool>() {
        return v.into();
    }
    if let Ok(v) = value.get::<u64>() {
        return v.into();
    }
    if let Ok(v) = value.get::<u32>() {
        return v.into();
    }
    if let Ok(v) = value.get::<f64>() {
        return v.into();
    }
    if let Ok(v) = value.get::<f32>() {
        // By way of its shortest text: 0.6 and not 0.6000000238.
        return v.to_string().parse::<f64>().map_or(Value::Null, Value::from);
    }
    if let Some((_, v)) = glib::EnumValue::from_value(value) {
        return v.nick().into();
    }
    if let Some((_, set)) = glib::FlagsValue::from_value(value) {
        return set.iter().map(|v| v.nick()).collect::<Vec<_>>().join("+").into();
    }
    if let Ok(list) = value.get::<gst::List>() {
        let item = |v: &glib::SendValue| match v.get::<gst::Structure>() {
            Ok(s) => structure(&s).into(),
            Err(_) => plain(v),
        };
        return list.iter().map(item).collect();
    }
    if let Ok(v) = value.get::<Option<gst::Structure>>() {
        return v.map_or(Value::Null, |s| s.to_string().into());
    }
    Value::Null
}

fn structure(s: &gst::StructureRef) -> Map<String, Value> {
    s.iter().map(|(name, v)| (name.as_str().replace('-', "_"), plain(v))).collect()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::settings::Output;
    use crate::layers::Layers;

    #[test]
    fn values_have_plain_forms() {
        gst::init().unwrap();
        for (value, json) in [
            ("text".to_value(), json!("text")),
            (None::<String>.to_value(), Value::Null),
            (0.6f32.to_value(), json!(0.6)),
            (true.to_value(), json!(true)),
            (7u64.to_value(), json!(7)),
            (Output::Matte.to_value(), json!("matte")),
            (
                gst::List::new([gst::Structure::builder("a").field("b-c", 1u32).build()]).to_value(),
                json!([{"b_c": 1}]),
            ),
            (Layers::all().to_value(), json!("matte+background+plate")),
            (Layers::empty().to_value(), json!("")),
            (gst::Structure::builder("a").field("b", 1i32).build().to_value(), json!("a, b=(int)1;")),
        ] {
            assert_eq!(plain(&value), json);
        }
    }
}
