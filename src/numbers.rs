//! Numbers of events, by which whoever has sent one knows what follows from it.
//!
//! GStreamer's base class of encoders makes segments, caps and tags anew when it hands them on, with new numbers. Here
//! they get those of the events that they come from.

use crate::sync::lock;
use gst::prelude::*;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// Segments that may be under way at once; an encoder keeps hardly a frame.
const MOST: usize = 16;

#[derive(Debug, Default)]
pub struct Numbers(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    caps: Option<gst::Seqnum>,
    tags: Option<gst::Seqnum>,
    /// The latest last.
    segments: VecDeque<(gst::Segment, gst::Seqnum)>,
}

impl Numbers {
    /// Looks at an event on its way in.
    pub fn comes(&self, event: &gst::EventRef) {
        let mut known = lock(&self.0);
        let number = Some(event.seqnum());
        match event.view() {
            gst::EventView::Caps(_) => known.caps = number,
            gst::EventView::Tag(_) => known.tags = number,
            gst::EventView::Segment(s) => {
                if known.segments.len() == MOST {
                    known.segments.pop_front();
                }
                known.segments.push_back((s.segment().clone(), event.seqnum()));
            }
            // Whatever was under way is gone; caps and tags stay.
            gst::EventView::FlushStop(_) => known.segments.clear(),
            gst::EventView::StreamStart(_) => *known = Known::default(),
            _ => {}
        }
    }

    /// The same event with the number of the one that it comes from.
    pub fn goes(&self, event: gst::Event) -> gst::Event {
        let known = lock(&self.0);
        let (offset, now) = (event.running_time_offset(), event.seqnum());
        match event.view() {
            gst::EventView::Caps(c) => match known.caps.filter(|n| *n != now) {
                Some(n) => {
                    gst::event::Caps::builder(&c.caps_owned()).seqnum(n).running_time_offset(offset).build()
                }
                None => event,
            },
            gst::EventView::Tag(t) => match known.tags.filter(|n| *n != now) {
                Some(n) => {
                    gst::event::Tag::builder(t.tag_owned()).seqnum(n).running_time_offset(offset).build()
                }
                None => event,
            },
            gst::EventView::Segment(s) => {
                let from = known.segments.iter().rev().find(|(segment, _)| segment == s.segment());
                match from.filter(|(_, n)| *n != now) {
                    Some((segment, n)) => {
                        gst::event::Segment::builder(segment).seqnum(*n).running_time_offset(offset).build()
                    }
                    None => event,
                }
            }
            _ => event,
        }
    }

    /// Lets what leaves by a pad have its numbers.
    pub fn watch(self: &Arc<Self>, pad: &gst::Pad) {
        let own = Arc::clone(self);
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let Some(gst::PadProbeData::Event(event)) = info.data.take() {
                info.data = Some(gst::PadProbeData::Event(own.goes(event)));
            }
            gst::PadProbeReturn::Ok
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_anew_gets_the_number_of_what_it_comes_from() {
        gst::init().unwrap();
        let numbers = Numbers::default();
        let segment = |start| {
            let mut s = gst::FormattedSegment::<gst::ClockTime>::new();
            s.set_start(gst::ClockTime::from_seconds(start));
            gst::event::Segment::new(&s)
        };
        let caps = || gst::event::Caps::new(&gst::Caps::new_empty_simple("video/x-vp9"));
        let (first, second, format) = (segment(1), segment(2), caps());
        for event in [&first, &second, &format] {
            numbers.comes(event);
        }
        // Two segments with no frame between them leave together.
        assert_eq!(numbers.goes(segment(1)).seqnum(), first.seqnum());
        assert_eq!(numbers.goes(segment(2)).seqnum(), second.seqnum());
        assert_eq!(numbers.goes(caps()).seqnum(), format.seqnum());
        let other = segment(3);
        assert_eq!(numbers.goes(other.clone()).seqnum(), other.seqnum(), "it comes from none");
        for n in 0..100 {
            numbers.comes(&segment(n));
        }
        assert!(lock(&numbers.0).segments.len() <= MOST);
    }
}
