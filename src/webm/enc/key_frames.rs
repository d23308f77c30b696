//! What the two ends of a bin share: which frames are key frames, decided once for both encoders, and the numbers of
//! the events that pass.

use crate::numbers::Numbers;
use crate::sync::lock;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// A wish for a key frame, from a force-key-unit event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Not before this running time; `None` is at once.
    pub running_time: Option<gst::ClockTime>,
    /// Whether headers are wanted too.
    pub all_headers: bool,
    /// Count, to be told again downstream.
    pub count: u32,
    /// Number of the event that asked, by which it is known again downstream; `None` where none did.
    pub seqnum: Option<gst::Seqnum>,
}

impl Request {
    /// At once, asked for by no event.
    pub const OWN: Self = Self { running_time: None, all_headers: false, count: 0, seqnum: None };
}

/// Shared by the two ends of a bin: wishes come in anywhere, `split` decides.
#[derive(Debug)]
pub(super) struct KeyFrames {
    requests: Mutex<Vec<Request>>,
    distance: AtomicU32,
    /// Of the events that go through the encoder of the colour.
    pub numbers: Numbers,
}

impl Default for KeyFrames {
    fn default() -> Self {
        Self { requests: Mutex::default(), distance: AtomicU32::new(u32::MAX), numbers: Numbers::default() }
    }
}

impl KeyFrames {
    /// Sets the most frames from one key frame to the next.
    pub fn set_distance(&self, frames: u32) {
        self.distance.store(frames.max(1), Ordering::Relaxed);
    }

    /// Adds a wish.
    pub fn request(&self, request: Request) {
        let mut requests = lock(&self.requests);
        // A peer that keeps asking while nothing flows must not fill the memory.
        if requests.len() < 64 {
            requests.push(request);
        }
    }

    /// Forgets all wishes.
    pub fn clear(&self) {
        lock(&self.requests).clear();
    }

    /// Whether the frame at `running_time`, the `since`th after the last key frame, is to be one.
    ///
    /// Wishes that it fulfils are taken away; the latest is returned, to be told downstream.
    pub fn due(&self, running_time: Option<gst::ClockTime>, since: Option<u32>) -> Option<Request> {
        let mut due = None;
        lock(&self.requests).retain(|request| {
            let now = match (request.running_time, running_time) {
                (Some(wanted), Some(at)) => at >= wanted,
                _ => true,
            };
            if now {
                due = Some(*request);
            }
            !now
        });
        let far = since.is_none_or(|since| since >= self.distance.load(Ordering::Relaxed));
        due.or(far.then_some(Request::OWN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_frames_come_first_by_distance_and_on_request() {
        let keys = KeyFrames::default();
        keys.set_distance(3);
        assert!(keys.due(None, None).is_some());
        assert!(keys.due(None, Some(2)).is_none());
        assert!(keys.due(None, Some(3)).is_some());
        let at = |ms| Some(gst::ClockTime::from_mseconds(ms));
        let wish =
            Request { running_time: at(100), all_headers: true, count: 4, seqnum: Some(gst::Seqnum::next()) };
        keys.request(wish);
        assert_eq!(keys.due(at(66), Some(1)), None);
        assert_eq!(keys.due(at(100), Some(1)), Some(wish));
        assert_eq!(keys.due(at(133), Some(1)), None);
    }
}
