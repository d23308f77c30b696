//! Keeps the frames that only warm up, and those that are only looked ahead at, out of a part's file.

use super::slice::Slice;
use gst::prelude::*;
use gstbgremove::sync::lock;
use std::sync::{Arc, Mutex};

/// When each frame of a part is shown in the whole, and how long, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct WrittenFrames(Arc<Mutex<Vec<(u64, u64)>>>);

impl WrittenFrames {
    pub fn times(&self) -> Vec<(u64, u64)> {
        lock(&self.0).clone()
    }
}

/// Lets time run before the network as it does when the whole is converted, whatever was gone to, and of what comes out
/// only the frames of a part through to the encoder, from nought on. `input` is the pad where frames come in.
pub fn crop(input: &gst::Pad, encoder: &gst::Pad, slice: &Slice) -> WrittenFrames {
    input.set_offset(slice.from.map_or(0, |t| i64::try_from(t).unwrap_or(i64::MAX)));
    let written = WrittenFrames::default();
    let (own, slice) = (written.clone(), slice.clone());
    let segment = Mutex::new(gst::FormattedSegment::<gst::ClockTime>::new());
    let what = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    encoder.add_probe(what, move |_, info| {
        let mut segment = lock(&segment);
        match &mut info.data {
            Some(gst::PadProbeData::Event(event)) => {
                if let gst::EventView::Segment(s) = event.view()
                    && let Some(s) = s.segment().downcast_ref::<gst::ClockTime>()
                {
                    *segment = s.clone();
                    let plain = gst::FormattedSegment::<gst::ClockTime>::new();
                    *event = gst::event::Segment::builder(&plain).seqnum(event.seqnum()).build();
                }
            }
            Some(gst::PadProbeData::Buffer(buffer)) => {
                let Some(time) = segment.to_running_time(buffer.pts()).map(gst::ClockTime::nseconds) else {
                    return gst::PadProbeReturn::Handled;
                };
                if slice.begin.is_some_and(|b| time < b) || slice.end.is_some_and(|e| time >= e) {
                    // GStreamer would free once more what is dropped.
                    return gst::PadProbeReturn::Handled;
                }
                let length = buffer.duration().unwrap_or_default().nseconds();
                let mut written = lock(&own.0);
                written.push((time, length));
                let first = written[0].0;
                drop(written);
                let buffer = buffer.make_mut();
                buffer.set_pts(gst::ClockTime::from_nseconds(time.saturating_sub(first)));
                buffer.set_dts(gst::ClockTime::NONE);
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
    written
}
