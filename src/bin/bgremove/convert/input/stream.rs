//! A decoded stream, held at its first frame until there is something that takes it.

use crate::convert::trim::Trimmer;
use gst::prelude::*;
use gstbgremove::sync::lock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A decoded stream that is held at its first frame.
pub struct Stream {
    pub pad: gst::Pad,
    /// When that frame is, as the file counts.
    pub first: Arc<Mutex<Option<gst::ClockTime>>>,
    /// And by the stream's own clock.
    pub pts: Arc<Mutex<Option<gst::ClockTime>>>,
    pub trimmer: Option<Arc<Trimmer>>,
    pub probes: Vec<gst::PadProbeId>,
    pub held: Arc<AtomicBool>,
    pub ended: Arc<AtomicBool>,
}

/// Ends a stream for what is linked to it, though it goes on.
pub fn hand_on_the_end(pad: &gst::Pad) {
    let Some(peer) = pad.peer().filter(|p| p.sticky_event::<gst::event::Eos>(0).is_none()) else { return };
    let has = |pad: &gst::Pad, kind| {
        let mut found = false;
        pad.sticky_events_foreach(|event| {
            found |= event.type_() == kind;
            std::ops::ControlFlow::Continue(gst::EventForeachAction::Keep)
        });
        found
    };
    let mut events = Vec::new();
    pad.sticky_events_foreach(|event| {
        // What has come already was right as it came.
        if event.type_() != gst::EventType::Eos && !has(&peer, event.type_()) {
            events.push(event.clone());
        }
        std::ops::ControlFlow::Continue(gst::EventForeachAction::Keep)
    });
    for event in events.into_iter().chain([gst::event::Eos::new()]) {
        peer.send_event(event);
    }
}

impl Stream {
    /// `trim` says which frames are taken.
    pub fn new(pad: &gst::Pad, ended: Arc<AtomicBool>, trim: Option<Arc<Trimmer>>) -> Self {
        let held = Arc::new(AtomicBool::new(false));
        let (hold, end) = (Arc::clone(&held), Arc::clone(&ended));
        let first = Arc::new(Mutex::new(None));
        let at = Arc::clone(&first);
        let pts = Arc::new(Mutex::new(None));
        let (own, trimmer) = (Arc::clone(&pts), trim.clone());
        let frames = gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        let probes = [
            pad.add_probe(frames, move |pad, info| {
                if let (Some(trim), Some(buffer)) = (&trim, info.buffer())
                    && !trim.takes(pad, buffer)
                {
                    return gst::PadProbeReturn::Drop;
                }
                *lock(&own) = info.buffer().and_then(|buffer| buffer.pts());
                let segment = pad.sticky_event::<gst::event::Segment>(0);
                *lock(&at) = info.buffer().and_then(|buffer| {
                    segment?.segment().downcast_ref::<gst::ClockTime>()?.to_stream_time(buffer.pts())
                });
                hold.store(true, Ordering::SeqCst);
                gst::PadProbeReturn::Ok
            }),
            pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
                if let Some(gst::PadProbeData::Event(e)) = &info.data
                    && e.type_() == gst::EventType::Eos
                {
                    end.store(true, Ordering::SeqCst);
                }
                gst::PadProbeReturn::Ok
            }),
        ];
        Self {
            pad: pad.clone(),
            first,
            pts,
            trimmer,
            probes: probes.into_iter().flatten().collect(),
            held,
            ended,
        }
    }

    pub fn is(&self, media: &str) -> bool {
        let caps = self.pad.current_caps().unwrap_or_else(|| self.pad.query_caps(None));
        caps.structure(0).is_some_and(|s| s.name() == media)
    }

    pub fn is_subtitle(&self) -> bool {
        let caps = self.pad.current_caps().unwrap_or_else(|| self.pad.query_caps(None));
        let name = caps.structure(0).map(|s| s.name().to_string()).unwrap_or_default();
        name.starts_with("subpicture/")
            || name.starts_with("application/x-ssa")
            || name.starts_with("application/x-ass")
    }

    /// An end that came before anything was linked: nothing more is to come that would bring it along, and the muxer
    /// would wait for it for ever.
    pub fn hand_on_its_end(&self) {
        if self.ended.load(Ordering::SeqCst) {
            hand_on_the_end(&self.pad);
        }
    }

    pub fn settled(&self) -> bool {
        self.held.load(Ordering::SeqCst) || self.ended.load(Ordering::SeqCst)
    }
}
