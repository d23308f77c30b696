//! What the element says on the bus.

use super::caps;
use super::imp::{BgRemove, lock};
use crate::error::{Error, Kind};
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use std::time::{Duration, Instant};

/// The least time between two warnings of the same code.
const SELDOM: Duration = Duration::from_secs(1);

/// When a warning of a code was posted last, and how often it would have been since.
pub struct Posted {
    code: &'static str,
    at: Instant,
    withheld: u64,
}

impl BgRemove {
    pub(super) fn post(&self, e: &Error) {
        match e.kind {
            Kind::Runtime => gst::element_imp_error!(self, gst::LibraryError::Init, ("{e}")),
            Kind::ModelNotFound => gst::element_imp_error!(self, gst::ResourceError::NotFound, ("{e}")),
            Kind::ModelInvalid => gst::element_imp_error!(self, gst::ResourceError::Read, ("{e}")),
            Kind::Setting => gst::element_imp_error!(self, gst::LibraryError::Settings, ("{e}")),
            Kind::Inference | Kind::Cancelled => {
                gst::element_imp_error!(self, gst::StreamError::Failed, ("{e}"));
            }
        }
    }

    /// A warning with a code in its details (structure `bgremove-warning`, fields `code` and what `fields` adds), at
    /// most once a second for each code. `text` is given how many went before it unsaid.
    pub(super) fn warn(
        &self,
        code: &'static str,
        fields: impl FnOnce(gst::structure::Builder) -> gst::structure::Builder,
        text: impl FnOnce(u64) -> String,
    ) {
        let withheld = {
            let mut posted = lock(&self.warned);
            match posted.iter_mut().find(|p| p.code == code) {
                Some(p) if p.at.elapsed() < SELDOM => {
                    p.withheld += 1;
                    return;
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
        let details = fields(gst::Structure::builder("bgremove-warning").field("code", code)).build();
        gst::warning!(super::imp::CAT, imp = self, "{details}");
        let message = gst::message::Warning::builder(gst::StreamError::Failed, &text(withheld))
            .details(details)
            .src(&*self.obj())
            .build();
        let _ = self.obj().post_message(message);
    }

    /// The counts and times of the stream as the property `stats` gives them.
    pub(super) fn stats_structure(&self) -> gst::Structure {
        let stats = lock(&self.stats).clone();
        let provider = lock(&self.network).as_ref().map_or("", |n| n.session.provider.name());
        let mut s = gst::Structure::builder("bgremove-stats")
            .field("frames-in", stats.frames_in)
            .field("frames-out", stats.frames_out)
            .field("frames-dropped", stats.dropped)
            .field("frames-late", stats.late)
            .field("frames-hidden", stats.hidden)
            .field("inferences", stats.inferences)
            .field("masks-reused", stats.reused)
            .field("failures", stats.failures)
            .field("resets", stats.resets)
            .field("cuts", stats.cuts)
            .field("subject-coverage", f64::from(stats.coverage))
            .field("active-execution-provider", provider)
            .build();
        let stages = [
            ("mask-age", &stats.mask_age),
            ("preprocess", &stats.preprocess),
            ("inference", &stats.inference),
            ("refine", &stats.refine),
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

    /// Says in plain words why downstream could not take the caps; once until it can.
    pub(super) fn explain_negotiation(&self, caps: Option<&gst::Caps>) {
        let obj = self.obj();
        let Some(input) = caps.cloned().or_else(|| obj.sink_pad().current_caps()) else { return };
        let kind = self.settings().kind();
        let peer = obj.src_pad().peer_query_caps(None);
        if peer.can_intersect(&caps::transform(gst::PadDirection::Sink, &input, kind))
            || std::mem::replace(&mut *lock(&self.explained), true)
        {
            return;
        }
        gst::element_imp_error!(
            self,
            gst::StreamError::Format,
            ("{}", caps::refusal(kind, &input, &peer)),
            ["input: {input}, downstream takes: {peer}"]
        );
    }
}
