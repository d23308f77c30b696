//! What is kept of one run of the element: its warnings, what was seen of its masks and frames, its statistics.

use super::imp::BgRemove;
use crate::frame::Frame;
use crate::mask::Mask;
use crate::report::{Incident, MaskSummary, MatteMonitor, Outcome, blockiness};
use crate::subjects::{Asked, Found, Wanted};
use crate::sync::lock;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_video::VideoInfo;
use std::time::{Duration, Instant, SystemTime};

/// Frames between two checks for compression.
const CHECK_EVERY: u64 = 60;
/// Blocks stand out so much where compression is heavy (see [`blockiness`]).
const BLOCKY: f32 = 2.0;
/// So few bits are spent on a pixel there.
const FEW_BITS: f64 = 0.012;
/// How long nobody of those that are wanted is to be seen before that is said.
const MISSING: Duration = Duration::from_millis(500);
/// So many who have been seen are kept in mind.
const MOST_SIGHTINGS: usize = 100;

/// What has been said and seen in one run of the element, from READY to PAUSED and back.
#[derive(Default)]
pub struct Journal {
    /// `job-id` as it was at the start, or one that was made up.
    job: String,
    pub(super) started: Option<SystemTime>,
    monitor: MatteMonitor,
    pub(super) warnings: Vec<KeptWarning>,
    pub(super) notes: Vec<String>,
    /// Who has been seen, where not all are wanted; the oldest of them are told of, where there are many.
    pub(super) sightings: Vec<Sighting>,
    /// Since when nobody is seen of those that are wanted, and whether that has been said.
    missing: Option<Missing>,
    pub(super) tags: Option<gst::TagList>,
    pub(super) tagged: bool,
    /// Checks in a row that found compression blocks.
    blocky: u32,
    stats_posted: Option<Instant>,
    pub(super) alpha_checked: bool,
    pub(super) incident: Option<Incident>,
    /// How the run ended by the record, if that has been written.
    pub(super) written: Option<Outcome>,
}

/// Nobody is seen of those that are wanted.
struct Missing {
    wanted: Wanted,
    since: Duration,
    said: bool,
}

/// Somebody who has been seen.
pub struct Sighting {
    pub number: u32,
    /// Times of the frames.
    pub first: Duration,
    pub last: Duration,
    /// Masks that show them, and those that they were kept in.
    pub seen: u64,
    pub chosen: u64,
    /// Of the frame, at most.
    pub area: f32,
}

/// A warning, and how often it occurred.
pub struct KeptWarning {
    pub code: &'static str,
    pub text: String,
    pub first: SystemTime,
    pub count: u64,
}

impl Journal {
    /// For a new run of a job.
    pub fn new(job: &str) -> Self {
        let made_up = || glib::uuid_string_random().to_string();
        let job = if job.is_empty() { made_up() } else { job.to_string() };
        Self { job, started: Some(SystemTime::now()), ..Self::default() }
    }

    /// A frame does not follow on the one before: the coverage may jump.
    pub fn break_history(&mut self) {
        self.monitor.break_history();
        self.missing = None;
    }

    /// A frame has come. After the end of the stream that means a seek back: the record is to be written again.
    pub fn reopen(&mut self) {
        self.written.take_if(|how| *how == Outcome::Completed);
    }

    /// Who is in a mask of a frame at `time`; whether it is to be said that none of those that are wanted is.
    fn sight(&mut self, found: &Found, wanted: &Wanted, time: Duration) -> bool {
        for seen in &found.seen {
            let known = self.sightings.iter().position(|s| s.number == seen.number);
            let Some(index) = known.or_else(|| {
                (self.sightings.len() < MOST_SIGHTINGS).then(|| {
                    let (number, first) = (seen.number, time);
                    self.sightings.push(Sighting {
                        number,
                        first,
                        last: time,
                        seen: 0,
                        chosen: 0,
                        area: 0.0,
                    });
                    self.sightings.len() - 1
                })
            }) else {
                continue;
            };
            let s = &mut self.sightings[index];
            (s.last, s.area) = (time, s.area.max(seen.area));
            s.seen += 1;
            s.chosen += u64::from(seen.chosen);
        }
        if !found.is_missing() {
            self.missing = None;
            return false;
        }
        // Times go back and forth by seeks, after which it is looked for anew.
        self.missing.take_if(|m| m.wanted != *wanted || m.since > time);
        let missing =
            self.missing.get_or_insert_with(|| Missing { wanted: wanted.clone(), since: time, said: false });
        let now = !missing.said && time - missing.since >= MISSING;
        missing.said |= now;
        now
    }

    /// Counts a warning that was not posted because it came too soon.
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
                self.warnings.push(KeptWarning {
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
        if set.is_empty() { lock(&self.journal).job.clone() } else { set }
    }

    /// Checks a new mask, of a frame at `time`, and warns of what is wrong with it.
    pub(super) fn check_mask(&self, mask: &Mask, found: Option<(&Found, &Asked)>, time: Duration) {
        let look = MaskSummary::at(mask);
        {
            let mut stats = lock(&self.stats);
            stats.coverage = look.coverage;
            stats.subjects = found.map(|(f, _)| f.seen.clone());
        }
        let (missing, note) = {
            let mut journal = lock(&self.journal);
            if found.is_none() {
                journal.missing = None;
            }
            let missing = found.filter(|(found, asked)| {
                // It is told of by name.
                journal.monitor.excuse(time);
                journal.sight(found, &asked.wanted, time)
            });
            (missing, journal.monitor.see(&look, time))
        };
        if let Some((found, asked)) = missing {
            self.warn_subject_missing(&asked.wanted, found.seen.len());
        }
        if let Some(note) = note {
            lock(&self.journal).notes.push(note.text());
            self.warn(note.code(), |s| s, |_| note.text());
        }
    }

    /// Warns that nobody is seen of those that are `wanted`, and how many others are.
    fn warn_subject_missing(&self, wanted: &Wanted, others: usize) {
        let who = match others {
            0 => "nobody else is".to_string(),
            1 => "one other is".into(),
            n => format!("{n} others are"),
        };
        let until = match wanted {
            Wanted::Meta(_) => "until a detector's region shows somebody",
            _ => "until they come, or come back near to where they left",
        };
        let note = format!("nobody of subject={wanted} is seen: all of the frame is hidden {until}");
        let subject = wanted.to_string();
        {
            let mut journal = lock(&self.journal);
            if !journal.notes.contains(&note) {
                journal.notes.push(note.clone());
            }
        }
        let text = note.replacen(" is seen: ", &format!(" is seen ({who}): "), 1);
        self.warn(
            "subject-not-found",
            |s| s.field("subject", &subject).field("others", others as u32),
            |_| text,
        );
    }

    /// Checks whether a frame has been compressed so heavily that edges are lost, and warns.
    pub(super) fn check_compression(&self, number: u64, frame: &Frame<'_>) {
        if !number.is_multiple_of(CHECK_EVERY) {
            return;
        }
        let bits = self.bits_a_pixel(frame).is_some_and(|b| b < FEW_BITS);
        let mut journal = lock(&self.journal);
        journal.blocky = if bits || blockiness(frame) > BLOCKY { journal.blocky + 1 } else { 0 };
        let enough = journal.blocky == 3;
        drop(journal);
        if enough {
            let text = "the source is heavily compressed: fine edges are lost before they come here. Take a source of a \
                        higher bitrate";
            lock(&self.journal).notes.push(text.into());
            self.warn("source-compressed", |s| s, |_| text.into());
        }
    }

    /// The source's bits per pixel, if its tags say so.
    fn bits_a_pixel(&self, frame: &Frame<'_>) -> Option<f64> {
        let journal = lock(&self.journal);
        let tags = journal.tags.as_ref()?;
        let modern = tags.get::<gst::tags::VideoCodec>().is_some();
        let rate = tags.get::<gst::tags::Bitrate>().map(|v| v.get()).filter(|_| modern)?;
        drop(journal);
        let caps = self.obj().sink_pad().current_caps()?;
        let info = VideoInfo::from_caps(&caps).ok()?;
        let fps = f64::from(info.fps().numer()) / f64::from(info.fps().denom());
        (fps > 0.0 && rate > 0).then(|| f64::from(rate) / fps / (frame.width * frame.height) as f64)
    }

    /// Posts the statistics when their interval has passed.
    pub(super) fn post_stats(&self) {
        let Some(interval) = self.settings().stats_interval else { return };
        {
            let mut journal = lock(&self.journal);
            if journal.stats_posted.is_some_and(|t| t.elapsed() < interval) {
                return;
            }
            journal.stats_posted = Some(Instant::now());
        }
        let message = gst::message::Element::builder(self.stats_structure()).src(&*self.obj()).build();
        let _ = self.obj().post_message(message);
    }
}
