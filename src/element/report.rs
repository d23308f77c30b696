//! What the element keeps and tells of a stream: warnings, statistics, tags, and the record at its end.

use super::imp::BgRemove;
use super::properties::PROPERTIES;
use super::settings::Kind;
use crate::frame::Frame;
use crate::matte::Mask;
use crate::report::{Incident, Look, Outcome, Record, Watch, blockiness, save, utc};
use crate::sync::lock;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_video::{VideoFormatInfo, VideoInfo};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// Frames between two looks for compression.
const CHECK_EVERY: u64 = 60;
/// Blocks stand out so much where compression is heavy (see [`blockiness`]), and so few bits are spent on a pixel.
const BLOCKY: f32 = 2.0;
const FEW_BITS: f64 = 0.012;

/// What has been said and seen in one run of the element, from READY to PAUSED and back.
#[derive(Default)]
pub struct Log {
    /// The property's, or one that was made up.
    job: String,
    started: Option<SystemTime>,
    watch: Watch,
    warnings: Vec<LoggedWarning>,
    notes: Vec<String>,
    tags: Option<gst::TagList>,
    tagged: bool,
    /// Looks in a row that found blocks.
    blocky: u32,
    stats_posted: Option<Instant>,
    alpha_checked: bool,
    incident: Option<Incident>,
    /// How it ended by what the record says, if that has been written.
    written: Option<Outcome>,
}

/// A warning, and how often there was reason for it.
struct LoggedWarning {
    code: &'static str,
    text: String,
    first: SystemTime,
    count: u64,
}

impl Log {
    /// For a new run of a job.
    pub fn new(job: &str) -> Self {
        let made_up = || glib::uuid_string_random().to_string();
        let job = if job.is_empty() { made_up() } else { job.to_string() };
        Self { job, started: Some(SystemTime::now()), ..Self::default() }
    }

    /// Another picture follows.
    pub fn cut(&mut self) {
        self.watch.cut();
    }

    /// A frame comes: if that is after the end (a seek back), the record that was written no longer holds.
    pub fn reopen(&mut self) {
        self.written.take_if(|how| *how == Outcome::Completed);
    }

    /// Counts a reason for a warning.
    pub fn count_warning(&mut self, code: &'static str) {
        if let Some(said) = self.warnings.iter_mut().find(|s| s.code == code) {
            said.count += 1;
        }
    }

    /// Keeps a warning that was posted.
    pub fn keep_warning(&mut self, code: &'static str, text: &str) {
        match self.warnings.iter_mut().find(|s| s.code == code) {
            Some(said) => said.count += 1,
            None => {
                self.warnings.push(LoggedWarning {
                    code,
                    text: text.to_string(),
                    first: SystemTime::now(),
                    count: 1,
                });
            }
        }
    }
}

impl BgRemove {
    /// The job's name, as the property gives it or as it was made up for this run.
    pub(super) fn job_id(&self) -> String {
        let set = self.settings().job_id.clone();
        if set.is_empty() { lock(&self.log).job.clone() } else { set }
    }

    /// Looks at a mask that has come, of a frame at `time`.
    pub(super) fn check_mask(&self, mask: &Mask, time: Duration) {
        let look = Look::at(mask);
        lock(&self.stats).coverage = look.coverage;
        let note = lock(&self.log).watch.see(&look, time);
        if let Some(note) = note {
            lock(&self.log).notes.push(note.text());
            self.warn(note.code(), |s| s, |_| note.text());
        }
    }

    /// Looks at a frame that has arrived: whether it has been compressed so much that edges are lost.
    pub(super) fn check_compression(&self, number: u64, frame: &Frame<'_>) {
        if !number.is_multiple_of(CHECK_EVERY) {
            return;
        }
        let bits = self.bits_a_pixel(frame).is_some_and(|b| b < FEW_BITS);
        let mut log = lock(&self.log);
        log.blocky = if bits || blockiness(frame) > BLOCKY { log.blocky + 1 } else { 0 };
        let enough = log.blocky == 3;
        drop(log);
        if enough {
            let text = "the source is heavily compressed: fine edges are lost before they come here. Take a source of a \
                        higher bitrate";
            lock(&self.log).notes.push(text.into());
            self.warn("source-compressed", |s| s, |_| text.into());
        }
    }

    /// What the source spends on a pixel, if its tags say so.
    fn bits_a_pixel(&self, frame: &Frame<'_>) -> Option<f64> {
        let log = lock(&self.log);
        let tags = log.tags.as_ref()?;
        let modern = tags.get::<gst::tags::VideoCodec>().is_some();
        let rate = tags.get::<gst::tags::Bitrate>().map(|v| v.get()).filter(|_| modern)?;
        drop(log);
        let caps = self.obj().sink_pad().current_caps()?;
        let info = VideoInfo::from_caps(&caps).ok()?;
        let fps = f64::from(info.fps().numer()) / f64::from(info.fps().denom());
        (fps > 0.0 && rate > 0).then(|| f64::from(rate) / fps / (frame.width * frame.height) as f64)
    }

    /// Posts the statistics when their interval has passed.
    pub(super) fn post_stats(&self) {
        let Some(interval) = self.settings().stats_interval else { return };
        {
            let mut log = lock(&self.log);
            if log.stats_posted.is_some_and(|t| t.elapsed() < interval) {
                return;
            }
            log.stats_posted = Some(Instant::now());
        }
        let message = gst::message::Element::builder(self.stats_structure()).src(&*self.obj()).build();
        let _ = self.obj().post_message(message);
    }

    /// Adds to a tag event what made the stream.
    pub(super) fn tag(&self, event: gst::Event) -> gst::Event {
        let gst::EventView::Tag(tag) = event.view() else { return event };
        let mut log = lock(&self.log);
        log.tagged |= tag.tag().scope() == gst::TagScope::Stream;
        let known = log.tags.get_or_insert_with(gst::TagList::new);
        known.make_mut().insert(tag.tag(), gst::TagMergeMode::Replace);
        drop(log);
        if !self.settings().write_tags || tag.tag().scope() != gst::TagScope::Stream {
            return event;
        }
        let mut tags = tag.tag_owned();
        tags.make_mut().insert(&self.own_tags(), gst::TagMergeMode::Append);
        gst::event::Tag::builder(tags).seqnum(event.seqnum()).build()
    }

    /// Before the first frame: says what made the stream, unless a tag event has said it on its way.
    pub(super) fn tag_at_start(&self) {
        let told = std::mem::replace(&mut lock(&self.log).tagged, true);
        if !told && self.settings().write_tags {
            let src = self.obj().src_pad().clone();
            // It belongs to the stream that has begun.
            let start = src.sticky_event::<gst::event::StreamStart>(0);
            let tags = gst::event::Tag::builder(self.own_tags());
            src.push_event(tags.seqnum_if_some(start.map(|s| s.seqnum())).build());
        }
    }

    fn own_tags(&self) -> gst::TagList {
        let name = concat!("bgremove ", env!("CARGO_PKG_VERSION"));
        let model = format!("bgremove-model={}", base_name(&self.active_model()));
        let mut tags = gst::TagList::new();
        let list = tags.make_mut();
        list.set_scope(gst::TagScope::Stream);
        list.add::<gst::tags::ApplicationName>(&name, gst::TagMergeMode::Append);
        list.add::<gst::tags::ExtendedComment>(&&*model, gst::TagMergeMode::Append);
        tags
    }

    /// New caps: what follows may have changed, too.
    pub(super) fn recheck_downstream_alpha(&self) {
        lock(&self.log).alpha_checked = false;
    }

    /// Once frames with alpha have gone out: whether an element further down has dropped it.
    pub(super) fn check_downstream_alpha(&self) {
        if std::mem::replace(&mut lock(&self.log).alpha_checked, true) {
            return;
        }
        let src = self.obj().src_pad().clone();
        // On a background a format with alpha is opaque throughout, which may go.
        if self.settings().kind() != Kind::Transparent || !src.current_caps().is_some_and(|c| has_alpha(&c)) {
            return;
        }
        if let Some((element, caps)) = alpha_dropped_by(&src, 0) {
            self.warn(
                "alpha-dropped",
                |s| s.field("element", &element).field("caps", caps.to_string()),
                |_| {
                    format!(
                        "{element} drops the alpha: its output is {caps}. Name a format that keeps it after {element} \
                         (video/x-raw,format=A444_10LE, RGBA, …), or choose a background"
                    )
                },
            );
        }
    }

    /// Keeps what went wrong, and writes the record.
    pub(super) fn incident(&self, code: String, symptom: &str, debug: &str) {
        let elements = self.pipeline();
        lock(&self.log).incident = Some(Incident {
            time: Some(SystemTime::now()),
            code,
            symptom: symptom.to_string(),
            debug: debug.to_string(),
            elements,
        });
        self.write_record(Outcome::Failed);
    }

    /// The elements of the pipeline, as `factory name`.
    fn pipeline(&self) -> Vec<String> {
        let mut top = self.obj().clone().upcast::<gst::Object>();
        while let Some(parent) = top.parent() {
            top = parent;
        }
        top.downcast::<gst::Bin>().map(|bin| elements_of(&bin)).unwrap_or_default()
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
            let mut log = lock(&self.log);
            if log.written.is_some() {
                return None;
            }
            log.written = Some(outcome);
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

    /// Says before the work that the record's folder is not there: at the end nobody may listen any more.
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
        let sink = self.obj().sink_pad().clone();
        let src = self.obj().src_pad().clone();
        let caps = |pad: &gst::Pad| pad.current_caps().map_or(Value::Null, |c| c.to_string().into());
        let stats = structure(&self.stats_structure());
        let log = lock(&self.log);
        let mut input = object(json!({ "caps": caps(&sink) }));
        if let Some(info) = sink.current_caps().and_then(|c| VideoInfo::from_caps(&c).ok()) {
            input.insert("width".into(), info.width().into());
            input.insert("height".into(), info.height().into());
            input.insert("format".into(), info.format().to_string().into());
            input.insert("framerate".into(), format!("{}/{}", info.fps().numer(), info.fps().denom()).into());
            input.insert("colorimetry".into(), info.colorimetry().to_string().into());
        }
        if let Some(tags) = &log.tags {
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
        let started = log.started;
        let warnings = log
            .warnings
            .iter()
            .map(|s| json!({ "code": s.code, "text": s.text, "first": utc(s.first), "count": s.count }));
        let (job_id, warnings, notes, incident) =
            (log.job.clone(), warnings.collect(), log.notes.clone(), log.incident.clone());
        drop(log);
        if let Some(duration) = duration {
            input.insert("duration_ns".into(), duration.nseconds().into());
        }
        let network = lock(&self.network).clone();
        let mut model = object(json!({ "name": self.active_model() }));
        if let Some(chosen) = lock(&self.chosen).as_ref() {
            model.insert("reason".into(), chosen.reason.clone().into());
        }
        if let Some(network) = &network {
            let known = network.provenance();
            model.insert("title".into(), known.title.into());
            model.insert("licence".into(), known.licence.into());
            model.insert("sha256".into(), known.sha256.into());
            model.insert("bytes".into(), known.bytes.into());
        }
        let runtime = (*lock(&self.runtime)).map(|r| {
            json!({
                "name": "ONNX Runtime",
                "version": r.version(),
                "library": r.path.display().to_string(),
                "provider": network.as_ref().map(|n| n.session.provider.name()),
                "device": network.as_ref().map(|n| n.session.device.name.clone()).filter(|d| !d.is_empty()),
            })
        });
        let (major, minor, micro, _) = gst::version();
        Record {
            job_id,
            started,
            ended: Some(SystemTime::now()),
            outcome,
            software: object(json!({
                "name": "bgremove",
                "version": env!("CARGO_PKG_VERSION"),
                "gstreamer": format!("{major}.{minor}.{micro}"),
            })),
            model,
            runtime: runtime.map(object).unwrap_or_default(),
            settings: self.properties_json(),
            input,
            output: object(json!({ "caps": caps(&src) })),
            stats,
            warnings,
            notes,
            incident,
            ..Record::default()
        }
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

/// What may be told of a model to whoever gets the file: a preset's name, or a file's without its folders, which may
/// name the user.
fn base_name(model: &str) -> &str {
    // Either slash, whichever system wrote the name.
    model.rsplit(['/', '\\']).next().unwrap_or_default()
}

/// The elements in a pipeline, at any depth, as `factory name`, the first ones first.
pub fn elements_of(bin: &gst::Bin) -> Vec<String> {
    let name = |e: gst::Element| {
        let factory = e.factory().map_or_else(|| "?".to_string(), |f| f.name().to_string());
        format!("{factory} {}", e.name())
    };
    // A pipeline that changes meanwhile gives what it had.
    let mut elements: Vec<String> =
        bin.iterate_recurse().into_iter().map_while(Result::ok).map(name).collect();
    elements.reverse();
    elements
}

/// A value as JSON; what has no plain form as text.
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
        // As it was written: 0.6 and not 0.6000000238.
        return v.to_string().parse::<f64>().map_or(Value::Null, Value::from);
    }
    if let Some((_, v)) = glib::EnumValue::from_value(value) {
        return v.nick().into();
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

/// Whether raw video of these caps has alpha.
fn has_alpha(caps: &gst::CapsRef) -> bool {
    VideoInfo::from_caps(caps).is_ok_and(|i| VideoFormatInfo::from_format(i.format()).has_alpha())
}

/// The first element behind a pad that takes frames with alpha and gives raw video without; how it is called, and
/// its caps. Behind what mixes streams, and behind an encoder, nothing is looked for.
fn alpha_dropped_by(src: &gst::Pad, depth: usize) -> Option<(String, gst::Caps)> {
    /// Longer chains are none.
    const DEEPEST: usize = 64;
    let mut sink = src.peer().filter(|_| depth < DEEPEST)?;
    // Through the wall of a bin, inwards.
    while let Some(ghost) = sink.downcast_ref::<gst::GhostPad>() {
        sink = ghost.target()?;
    }
    let element = sink.parent_element();
    let Some(element) = element else {
        // Or outwards: a ghost pad's inner half leads to its outer one.
        let outer = sink.parent()?.downcast::<gst::Pad>().ok()?;
        return alpha_dropped_by(&outer, depth + 1);
    };
    let mixes = sink.pad_template().is_some_and(|t| t.presence() == gst::PadPresence::Request);
    // Who has a background of its own uses the alpha up.
    let backdrop = element.factory().is_some_and(|f| f.name() == "videobackdrop");
    if mixes || backdrop || element.sink_pads().len() != 1 {
        return None;
    }
    let pads = element.src_pads();
    // Who takes a frame apart may put its alpha elsewhere.
    let alone = pads.len() == 1;
    pads.into_iter().find_map(|pad| {
        let caps = pad.current_caps()?;
        if caps.structure(0).is_none_or(|s| s.name() != "video/x-raw") {
            return None;
        }
        if has_alpha(&caps) {
            return alpha_dropped_by(&pad, depth + 1);
        }
        alone.then(|| (element.name().to_string(), caps))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_names_a_model_without_its_folders() {
        for (model, name) in [
            ("light", "light"),
            ("/home/jane/nets/my.onnx", "my.onnx"),
            ("nets/my.onnx", "my.onnx"),
            ("file:///home/jane/my.onnx", "my.onnx"),
            (r"C:\Users\jane\my.onnx", "my.onnx"),
        ] {
            assert_eq!(base_name(model), name);
        }
    }

    #[test]
    fn values_have_plain_forms() {
        gst::init().unwrap();
        for (value, json) in [
            ("text".to_value(), json!("text")),
            (None::<String>.to_value(), Value::Null),
            (0.6f32.to_value(), json!(0.6)),
            (true.to_value(), json!(true)),
            (7u64.to_value(), json!(7)),
            (super::super::Output::Matte.to_value(), json!("matte")),
            (gst::Structure::builder("a").field("b", 1i32).build().to_value(), json!("a, b=(int)1;")),
        ] {
            assert_eq!(plain(&value), json);
        }
    }
}
