//! What the element says on the bus.

use super::caps;
use super::imp::BgRemove;
use crate::error::{Error, ErrorKind};
use crate::subjects::Seen;
use crate::sync::lock;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use std::time::{Duration, Instant};

/// The least time between two warnings of the same code.
const SELDOM: Duration = Duration::from_secs(1);

/// The code of a network that gives no mask, as a warning and as an error.
pub(super) const UNSUITED: &str = "network-unsuited";

pub(super) const INTERLACED_TEXT: &str =
    "the video is interlaced, which bgremove does not take: put `deinterlace` before it";

/// When a warning of this code was posted last, and how many were withheld since.
pub struct Posted {
    code: &'static str,
    at: Instant,
    withheld: u64,
}

impl BgRemove {
    /// Posts an error, and keeps it for the record.
    pub(super) fn post(&self, e: &Error) {
        match e.kind {
            ErrorKind::Runtime => self.post_as(gst::LibraryError::Init, &e.text, ""),
            ErrorKind::ModelNotFound => self.post_as(gst::ResourceError::NotFound, &e.text, ""),
            ErrorKind::ModelInvalid => self.post_as(gst::ResourceError::Read, &e.text, ""),
            ErrorKind::Setting => self.post_as(gst::LibraryError::Settings, &e.text, ""),
            ErrorKind::Unsuited => self.post_named(gst::StreamError::Failed, UNSUITED.into(), &e.text, ""),
            ErrorKind::Inference | ErrorKind::Cancelled => {
                self.post_as(gst::StreamError::Failed, &e.text, "")
            }
        }
    }

    pub(super) fn post_as(
        &self,
        code: impl gst::MessageErrorDomain + std::fmt::Debug,
        text: &str,
        debug: &str,
    ) {
        self.post_named(code, code_name(code), text, debug);
    }

    fn post_named(&self, code: impl gst::MessageErrorDomain, name: String, text: &str, debug: &str) {
        let job = self.job_id();
        let details =
            gst::Structure::builder("bgremove-error").field("job-id", &job).field("code", &name).build();
        gst::error!(super::imp::CAT, imp = self, "job {job}: {text} {debug}");
        let mut message = gst::message::Error::builder(code, text).details(details).src(&*self.obj());
        if !debug.is_empty() {
            message = message.debug(debug);
        }
        let _ = self.obj().post_message(message.build());
        self.incident(name, text, debug);
    }

    /// A warning with a code in its details (structure `bgremove-warning`, fields `code` and what `fields` adds), at
    /// most once a second for each code. `text` gets the number that was withheld before. Returns
    /// whether it was posted.
    pub(super) fn warn(
        &self,
        code: &'static str,
        fields: impl FnOnce(gst::structure::Builder) -> gst::structure::Builder,
        text: impl FnOnce(u64) -> String,
    ) -> bool {
        let withheld = {
            let mut posted = lock(&self.warnings_posted);
            match posted.iter_mut().find(|p| p.code == code) {
                Some(p) if p.at.elapsed() < SELDOM => {
                    p.withheld += 1;
                    lock(&self.journal).count_warning(code);
                    return false;
                }
                Some(p) => {
                    p.at = Instant::now();
                    std::mem::take(&mut p.withheld)
                }
                None => {
                    posted.push(Posted { code, at: Instant::now(), withheld: 0 });
                    0
                }
            }
        };
        let details =
            gst::Structure::builder("bgremove-warning").field("code", code).field("job-id", self.job_id());
        let (details, text) = (fields(details).build(), text(withheld));
        gst::warning!(super::imp::CAT, imp = self, "{details}");
        lock(&self.journal).keep_warning(code, &text);
        let message = gst::message::Warning::builder(gst::StreamError::Failed, &text)
            .details(details)
            .src(&*self.obj())
            .build();
        let _ = self.obj().post_message(message);
        true
    }

    /// The counts and times of the stream as the property `stats` gives them.
    pub(super) fn stats_structure(&self) -> gst::Structure {
        let stats = lock(&self.stats).clone();
        let provider = lock(&self.network).as_ref().map_or_else(String::new, |n| n.session.place());
        let why = lock(&self.network).as_ref().map_or_else(String::new, |n| n.reason.clone());
        let bytes = lock(&self.network).as_ref().map_or(0, |n| n.bytes());
        let mut s = gst::Structure::builder("bgremove-stats")
            .field("job-id", self.job_id())
            .field("model", self.active_model())
            .field("model-reason", lock(&self.chosen).as_ref().map_or("", |c| c.reason.as_str()))
            .field("frames-in", stats.frames_in)
            .field("frames-out", stats.frames_out)
            .field("frames-dropped", stats.dropped)
            .field("frames-late", stats.late)
            .field("frames-hidden", stats.hidden)
            .field("frames-coarser", stats.coarser)
            .field("inferences", stats.inferences)
            .field("masks-reused", stats.reused)
            .field("failures", stats.failures)
            .field("resets", stats.resets)
            .field("cuts", stats.cuts)
            .field("subject-coverage", f64::from(stats.coverage))
            .field("active-execution-provider", provider)
            .field("execution-provider-reason", why)
            .field("network-bytes", bytes)
            .build();
        if let Some(seen) = &stats.subjects {
            s.set("subjects", gst::List::new(seen.iter().map(subject)));
        }
        let stages = [
            ("mask-age", &stats.mask_age),
            ("preprocess", &stats.preprocess),
            ("inference", &stats.inference),
            ("refine", &stats.refine),
            ("temporal", &stats.temporal),
            ("compose", &stats.compose),
            ("frame", &stats.frame),
        ];
        for (name, times) in stages {
            let parts =
                [("p50", times.quantile(0.5)), ("p95", times.quantile(0.95)), ("p99", times.quantile(0.99))];
            for (part, time) in parts.into_iter().chain([("max", times.max())]) {
                s.set(format!("{name}-{part}"), time.as_nanos() as u64);
            }
        }
        s
    }

    /// A caps query had an empty answer, so that upstream will fail with a bare "not negotiated": warns with the reason. Before
    /// the stream starts, a query is no sign of an error.
    pub(super) fn warn_caps_refused(&self, filter: Option<&gst::CapsRef>) {
        let obj = self.obj();
        let (sink, src) = (obj.sink_pad(), obj.src_pad());
        if !src.is_active() || sink.has_current_caps() || filter.is_some_and(|f| f.is_empty()) {
            return;
        }
        let kind = self.settings().kind();
        let input = filter.map_or_else(|| caps::SINK.clone(), |f| f.to_owned());
        let text = if is_interlaced(&input) {
            INTERLACED_TEXT.to_string()
        } else {
            let peer = src.peer_query_caps(None);
            if peer.can_intersect(&caps::transform(gst::PadDirection::Sink, &input, kind)) {
                // The formats fit; something else is wrong.
                return;
            }
            caps::refusal(kind, &input, &peer)
        };
        if lock(&self.caps_refused).replace(text.clone()).is_none() {
            self.warn("caps-refused", |s| s, |_| text);
        }
    }

    /// The stream has ended before it began: what [`Self::warn_caps_refused`] warned of was the error.
    pub(super) fn post_caps_refused(&self) {
        let refusal = lock(&self.caps_refused).take();
        if let Some(text) = refusal {
            self.post_as(gst::StreamError::Format, &text, "");
        }
    }

    /// Posts an error for caps that the pad template does not take; the pad refuses them after this.
    pub(super) fn post_caps_unsupported(&self, caps: &gst::CapsRef) {
        if caps.can_intersect(&caps::SINK) || std::mem::replace(&mut *lock(&self.not_negotiated_posted), true)
        {
            return;
        }
        *lock(&self.caps_refused) = None;
        let text = match is_interlaced(caps) {
            true => INTERLACED_TEXT,
            false => {
                "bgremove takes raw video of 8 bits in ordinary memory, 16 to 8192 pixels a side, and no other: put \
                 `videoconvert`, or `videoscale`, before it"
            }
        };
        self.post_as(gst::StreamError::Format, text, &format!("input: {caps}"));
    }

    /// Posts an error that says why downstream cannot take the caps; once until it can.
    pub(super) fn post_not_negotiated(&self, caps: Option<&gst::Caps>) {
        let obj = self.obj();
        let Some(input) = caps.cloned().or_else(|| obj.sink_pad().current_caps()) else { return };
        let kind = self.settings().kind();
        let peer = obj.src_pad().peer_query_caps(None);
        if peer.can_intersect(&caps::transform(gst::PadDirection::Sink, &input, kind))
            || std::mem::replace(&mut *lock(&self.not_negotiated_posted), true)
        {
            return;
        }
        let debug = format!("input: {input}, downstream takes: {peer}");
        self.post_as(gst::StreamError::Format, &caps::refusal(kind, &input, &peer), &debug);
    }
}

/// Somebody who is seen, as `stats` has it.
fn subject(seen: &Seen) -> gst::Structure {
    let [left, top, right, bottom] = seen.bounds.map(f64::from);
    gst::Structure::builder("subject")
        .field("number", seen.number)
        .field("x", left)
        .field("y", top)
        .field("width", right - left)
        .field("height", bottom - top)
        .field("area", f64::from(seen.area))
        .field("chosen", seen.chosen)
        .build()
}

/// Whether caps are of frames that are all interlaced.
fn is_interlaced(caps: &gst::CapsRef) -> bool {
    let interlaced = |s: &gst::StructureRef| {
        s.get::<&str>("interlace-mode").is_ok_and(|mode| !["progressive", "mixed"].contains(&mode))
    };
    !caps.is_empty() && caps.iter().all(interlaced)
}

/// An error code in words, as in `resource/not-found`.
fn code_name(code: impl gst::MessageErrorDomain + std::fmt::Debug) -> String {
    let domain = glib::Error::new(code, "").domain();
    let domain = domain.as_str().trim_start_matches("gst-").trim_end_matches("-error-quark").to_string();
    let mut name = domain + "/";
    for c in format!("{code:?}").chars() {
        if c.is_uppercase() && !name.ends_with('/') {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

/// The code of an error from the bus in words, as in `resource/not-found`; `other/error` of one that is not GStreamer's.
pub fn error_code(e: &glib::Error) -> String {
    None.or_else(|| e.kind::<gst::CoreError>().map(code_name))
        .or_else(|| e.kind::<gst::LibraryError>().map(code_name))
        .or_else(|| e.kind::<gst::ResourceError>().map(code_name))
        .or_else(|| e.kind::<gst::StreamError>().map(code_name))
        .unwrap_or_else(|| "other/error".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_names() {
        assert_eq!(code_name(gst::ResourceError::NotFound), "resource/not-found");
        assert_eq!(code_name(gst::StreamError::Failed), "stream/failed");
        assert_eq!(code_name(gst::LibraryError::Init), "library/init");
        let of = |e| error_code(&e);
        assert_eq!(of(glib::Error::new(gst::CoreError::MissingPlugin, "")), "core/missing-plugin");
        assert_eq!(of(glib::Error::new(gst::ResourceError::NoSpaceLeft, "")), "resource/no-space-left");
        assert_eq!(of(glib::Error::new(gst::StreamError::Decode, "")), "stream/decode");
        assert_eq!(of(glib::Error::new(glib::FileError::Noent, "")), "other/error");
    }
}
