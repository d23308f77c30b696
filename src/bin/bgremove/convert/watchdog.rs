//! Waiting for a pipeline: until something happens, it fails, it stalls, or somebody has had enough.

use super::fault::{self, Fault};
use gst::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often is looked.
const TICK: gst::ClockTime = gst::ClockTime::from_mseconds(50);

/// What a pipeline is waited for with.
#[derive(Clone)]
pub struct Watchdog {
    stop: Arc<AtomicBool>,
    /// Without any sign of life for so long, it counts as stalled.
    timeout: Option<Duration>,
    began: Instant,
    /// The last sign of life, in milliseconds after `began`.
    alive: Arc<AtomicU64>,
}

impl Watchdog {
    pub fn new(stop: Arc<AtomicBool>, timeout: Option<Duration>) -> Self {
        Self { stop, timeout, began: Instant::now(), alive: Arc::default() }
    }

    /// A sign of life.
    pub fn touch(&self) {
        self.alive.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Whether somebody has had enough.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Everything that goes through a pad is a sign of life.
    pub fn listen(&self, pad: &gst::Pad) {
        let watchdog = self.clone();
        let all = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(all, move |_, _| {
            watchdog.touch();
            gst::PadProbeReturn::Ok
        });
    }

    /// The error on the bus.
    pub fn failure(&self, pipeline: &gst::Pipeline) -> Option<Fault> {
        let message = pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(e) => Some(e.into()),
            _ => None,
        }
    }

    /// Waits for an input that is being opened until `done` says yes. Gives what GStreamer lacks for some of its
    /// streams, where the others can be decoded.
    ///
    /// # Errors
    /// The pipeline's failure, a stall, or an interruption.
    pub fn until(
        &self,
        pipeline: &gst::Pipeline,
        is_file: bool,
        mut done: impl FnMut() -> bool,
    ) -> Result<Vec<fault::Missing>, Fault> {
        let (mut warned, mut missing) = (String::new(), Vec::new());
        while !done() {
            let message = match self.next(pipeline) {
                Err(fault) if fault.is_stalled() => return Err(self.no_frame(is_file, &warned)),
                other => other?,
            };
            match message.as_ref().map(|m| m.view()) {
                Some(gst::MessageView::Error(e)) => return Err(e.into()),
                Some(gst::MessageView::Warning(w)) => warned = format!(" ({})", fault::warned(w)),
                Some(gst::MessageView::Element(e)) => missing.extend(fault::missing(e)),
                _ => {}
            }
        }
        Ok(missing)
    }

    /// A stall before the first frame, of which the last warning may tell more: no network has run yet.
    fn no_frame(&self, is_file: bool, warned: &str) -> Fault {
        let seconds = self.timeout.unwrap_or_default().as_secs_f64();
        let why = match is_file {
            true => fault::maybe_damaged(),
            false => "it has stalled, and whoever writes to it should be looked at".into(),
        };
        Fault::stalled(format!(
            "no frame has come out of it for {seconds} s{warned}: {why}; --timeout SECONDS waits longer"
        ))
    }

    /// The next message, or none within a moment.
    ///
    /// # Errors
    /// A stall or an interruption.
    pub fn next(&self, pipeline: &gst::Pipeline) -> Result<Option<gst::Message>, Fault> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Fault::interrupted());
        }
        let message = pipeline.bus().and_then(|bus| bus.timed_pop(TICK));
        let idle =
            self.began.elapsed().saturating_sub(Duration::from_millis(self.alive.load(Ordering::Relaxed)));
        match self.timeout {
            Some(most) if message.is_none() && idle > most => Err(Fault::stalled(format!(
                "nothing has come in or out for {} s: the input has stalled or is damaged, or the machine is too \
                 slow for this network; --timeout SECONDS waits longer",
                most.as_secs_f64()
            ))),
            _ => Ok(message),
        }
    }
}
