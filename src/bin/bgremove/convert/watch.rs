//! Waiting for a pipeline: until something happens, it fails, it stalls, or somebody has had enough.

use gst::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often is looked.
const TICK: gst::ClockTime = gst::ClockTime::from_mseconds(50);

/// The text of an error that was no error: somebody pressed Ctrl-C.
pub const INTERRUPTED: &str = "interrupted";

/// What a pipeline is waited for with.
#[derive(Clone)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    /// Without any sign of life for so long, it counts as stalled.
    timeout: Option<Duration>,
    began: Instant,
    /// The last sign of life, in milliseconds after `began`.
    alive: Arc<AtomicU64>,
    /// Code and details of the last error.
    error: Arc<Mutex<Option<(String, String)>>>,
}

impl Watch {
    pub fn new(stop: Arc<AtomicBool>, timeout: Option<Duration>) -> Self {
        Self { stop, timeout, began: Instant::now(), alive: Arc::default(), error: Arc::default() }
    }

    /// A sign of life.
    pub fn touch(&self) {
        self.alive.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Everything that goes through a pad is a sign of life.
    pub fn listen(&self, pad: &gst::Pad) {
        let watch = self.clone();
        let all = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(all, move |_, _| {
            watch.touch();
            gst::PadProbeReturn::Ok
        });
    }

    /// The error on the bus.
    pub fn failure(&self, pipeline: &gst::Pipeline) -> Option<String> {
        let message = pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(e) => Some(self.said(e)),
            _ => None,
        }
    }

    /// Waits until `done` says yes.
    ///
    /// # Errors
    /// The pipeline's failure, a stall, or [`INTERRUPTED`].
    pub fn until(&self, pipeline: &gst::Pipeline, mut done: impl FnMut() -> bool) -> Result<(), String> {
        while !done() {
            if let Some(message) = self.next(pipeline)?
                && let gst::MessageView::Error(e) = message.view()
            {
                return Err(self.said(e));
            }
        }
        Ok(())
    }

    /// An error as a person reads it; what a program reads is kept.
    pub fn said(&self, e: &gst::message::Error) -> String {
        let kept = (super::record::code(&e.error()), e.debug().map_or_else(String::new, Into::into));
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        said(e)
    }

    /// Code and details of the last error of a pipeline.
    pub fn last_error(&self) -> Option<(String, String)> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next message, or none within a moment.
    ///
    /// # Errors
    /// A stall or [`INTERRUPTED`].
    pub fn next(&self, pipeline: &gst::Pipeline) -> Result<Option<gst::Message>, String> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(INTERRUPTED.into());
        }
        let message = pipeline.bus().and_then(|bus| bus.timed_pop(TICK));
        let idle =
            self.began.elapsed().saturating_sub(Duration::from_millis(self.alive.load(Ordering::Relaxed)));
        match self.timeout {
            Some(most) if message.is_none() && idle > most => Err(format!(
                "nothing has come in or out for {} s: the input has stalled, or the machine is too slow for this \
                 network; --timeout SECONDS waits longer",
                most.as_secs_f64()
            )),
            _ => Ok(message),
        }
    }
}

/// An error as a person reads it.
fn said(e: &gst::message::Error) -> String {
    let text = e.error().message().trim_end_matches('.').to_string();
    let error = e.error();
    // GStreamer's own words for these tell nothing.
    if error.matches(gst::CoreError::MissingPlugin) || error.matches(gst::StreamError::CodecNotFound) {
        return format!(
            "{text}; install GStreamer's plugins for it (Debian: gstreamer1.0-libav, -plugins-bad)"
        );
    }
    if error.matches(gst::StreamError::TypeNotFound) || error.matches(gst::StreamError::WrongType) {
        return "it is no video file that GStreamer knows".into();
    }
    match e.debug().as_deref().and_then(|d| d.rsplit('\n').next()).map(str::trim) {
        Some(more) if text.contains("Internal data") && !more.is_empty() => format!("{text} ({more})"),
        _ => text,
    }
}
