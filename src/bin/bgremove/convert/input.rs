//! An input, opened and decoded up to its first frame, where it waits.

mod facts;
mod source;
mod stream;

use super::Settings;
use super::color;
use super::demux;
use super::fault::{self, Fault};
use super::header::{Family, Header, Track};
use super::picture;
use super::tracks::{self, Known, TrackChoice, track_id};
use super::trim::Trim;
use super::watchdog::Watchdog;
use crate::gstreamer::Running;
pub use facts::{Facts, Tags};
use facts::{facts, tags};
use gst::prelude::*;
use gstbgremove::sync::lock;
use source::{change, count, shorten_y4m, source};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use stream::{Stream, hand_on_the_end};

/// How long sound is waited for, before it is taken for one that begins later.
const SOUND: Duration = Duration::from_millis(500);

/// Sound that begins so many seconds off the moment that was sought is not where it should be.
const NEAR: f64 = 0.1;

/// From where to where an input is taken.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub start: gst::ClockTime,
    pub stop: Option<gst::ClockTime>,
    /// A frame before the beginning that is seen then: when it comes and how long it stands, in nanoseconds.
    pub standing: Option<(i64, i64)>,
    /// For what is put together again: every frame at its own time, and what a Matroska file's clock says at its beginning.
    pub exact: Option<gst::ClockTime>,
}

/// An input that waits at its first frame.
pub struct Input {
    path: PathBuf,
    pub pipeline: Running,
    streams: Arc<Mutex<Vec<Stream>>>,
    video: gst::Pad,
    audio: Option<gst::Pad>,
    pub facts: Facts,
    pub tags: Tags,
    /// What its header says, if it is a file.
    pub header: Header,
    /// The whole input's, if it is known.
    pub duration: Option<gst::ClockTime>,
    /// What the user should know of streams that do not come along.
    pub left_out: Vec<String>,
    /// A part was gone to.
    sought: bool,
    /// What a Matroska file's clock says at a place that was gone to and has to be exact.
    clock: Option<gst::ClockTime>,
    /// Kept open for `fdsrc`.
    _file: Option<File>,
    /// How many bytes of bare frames have come through a pipe.
    came: Arc<AtomicU64>,
}

impl Input {
    /// Opens an input and waits until its first frame is decoded, or with a range the first frame in that: all before
    /// it is decoded too.
    pub fn open(
        path: &Path,
        settings: &Settings,
        range: Option<Range>,
        watchdog: &Watchdog,
    ) -> Result<Self, Fault> {
        let pipeline = Running(gst::Pipeline::new());
        let header =
            if path.is_file() && settings.raw.is_none() { Header::read(path) } else { Header::default() };
        let (source, file) = source(path).map_err(Fault::input)?;
        if header.has_odd_edits() {
            return Err(Fault::input(
                "its edit list shows parts of it twice, in another order or at another speed, which GStreamer reads \
                 wrong: make another file of it first: ffmpeg -i IN -c:v libx264 -crf 12 -c:a flac OUT.mkv",
            ));
        }
        let decoder = gst::ElementFactory::make("decodebin").name("in").build();
        let decoder = decoder.map_err(|_| {
            Fault::new(
                "core/missing-plugin",
                "GStreamer's decodebin is missing; install gstreamer1.0-plugins-base",
            )
        })?;
        color::hear_range(&decoder);
        gstbgremove::decode::keep_last_frame(&decoder);
        let unknown = demux::hear_unknown(&decoder);
        let odd = |e: glib::BoolError| e.to_string();
        pipeline.0.add_many([&source, &decoder]).map_err(odd)?;
        let came: Arc<AtomicU64> = Arc::default();
        match settings.raw {
            None => shorten_y4m(&source),
            Some(_) => count(&source, &came),
        }
        match &settings.raw {
            None => source.link(&decoder).map_err(odd)?,
            Some(raw) => {
                let parser = raw.parser()?;
                pipeline.0.add(&parser).map_err(odd)?;
                gst::Element::link_many([&source, &parser, &decoder]).map_err(odd)?;
            }
        }
        if header.has_hidden_parts() {
            change(&source, header.without_edits());
        }
        let (streams, complete) = hold_streams(&decoder, &header, range, watchdog);
        watchdog.touch();
        if pipeline.0.set_state(gst::State::Paused).is_err() {
            return Err(watchdog
                .failure(&pipeline.0)
                .unwrap_or_else(|| Fault::damaged("it cannot be opened, and GStreamer does not say why")));
        }
        let all = |media: &str| -> Vec<gst::Pad> {
            lock(&streams).iter().filter(|s| s.is(media)).map(|s| s.pad.clone()).collect()
        };
        let mut missing = watchdog.until(&pipeline.0, path.is_file(), || {
            let held = || lock(&streams).iter().filter(|s| s.is("video/x-raw")).all(Stream::settled);
            complete.load(Ordering::SeqCst) && held()
        })?;
        // What was said before the wait was over, and has not been heard yet.
        let heard = std::iter::from_fn(|| pipeline.0.bus()?.pop_filtered(&[gst::MessageType::Element]));
        missing.extend(heard.filter_map(|m| fault::missing(&m)));
        let mut left_out = Vec::new();
        let mut choose = |pads: &[gst::Pad], wanted: Option<&TrackChoice>, kind: &str, option: &str| {
            let known: Vec<_> = pads.iter().map(|pad| Known::of(pad, &tags(pad))).collect();
            let (taken, note) = tracks::choose(&known, wanted, kind, option).map_err(Fault::settings)?;
            left_out.extend(note);
            Ok::<_, Fault>(pads[taken].clone())
        };
        let (videos, sounds) = (all("video/x-raw"), all("audio/x-raw"));
        if videos.is_empty() {
            let is_unknown = unknown.load(Ordering::SeqCst) || header.tracks.iter().any(|t| t.is_video);
            return Err(no_video(&missing, is_unknown, sounds.is_empty()));
        }
        let video = choose(&videos, settings.video_track.as_ref(), "video", "--video-track")?;
        let duration = length(&header, &pipeline.0, &video);
        // Its end has been and gone, and would be waited for in vain.
        if lock(&streams).iter().any(|s| s.pad == video && !s.held.load(Ordering::SeqCst)) {
            let failure = watchdog.failure(&pipeline.0);
            // The part may lie wholly within the time of the frame before it.
            let again = range.filter(|r| r.standing.is_none() && failure.is_none() && path.is_file());
            let end =
                header.end(track_id(&video)).and_then(|l| gst::ClockTime::try_from(l).ok()).or(duration);
            let trimmer = lock(&streams).iter().find(|s| s.pad == video).and_then(|s| s.trimmer.clone());
            if let (Some(range), Some(standing)) = (again, trimmer.and_then(|c| c.standing(end))) {
                drop(pipeline);
                return Self::open(
                    path,
                    settings,
                    Some(Range { standing: Some(standing), ..range }),
                    watchdog,
                );
            }
            let told = failure.or(range.map(|_| none_within()));
            return Err(told.unwrap_or_else(|| Fault::damaged("no frame of it can be decoded")));
        }
        let audio = match sounds.is_empty() || !settings.sound {
            true => sounds.first().cloned(),
            false => Some(choose(&sounds, settings.audio_track.as_ref(), "sound track", "--audio-track")?),
        };
        if lock(&streams).iter().any(|s| s.is("text/x-raw") || s.is_subtitle()) {
            left_out.push("its subtitles are left out".into());
        }
        left_out.extend(missing.iter().map(|decoder| {
            format!("a stream of it is left out: GStreamer has no {} ({})", decoder.name, fault::PACKAGES)
        }));
        color::complete(&video);
        let tags = Tags::of(&video, audio.as_ref());
        let mut facts = facts(&video, audio.as_ref())?;
        if facts.turned.is_none() {
            (facts.turned, facts.quarter) = turned(path, &header, &video, &facts, &tags);
        }
        let mut input = Self {
            path: path.to_path_buf(),
            pipeline,
            streams,
            video,
            audio,
            facts,
            tags,
            header,
            duration,
            left_out,
            sought: false,
            clock: None,
            _file: file,
            came,
        };
        input.drop_empty_sound(watchdog)?;
        Ok(input)
    }

    /// Leaves out sound of which nothing is to come: muxers wait for it for ever, or make files that cannot be read.
    fn drop_empty_sound(&mut self, watchdog: &Watchdog) -> Result<(), Fault> {
        let Some(audio) = self.audio.clone() else { return Ok(()) };
        let found =
            |what: &dyn Fn(&Stream) -> bool| lock(&self.streams).iter().any(|s| s.pad == audio && what(s));
        // What comes late, behind frames that wait here, is not waited for.
        let begin = Instant::now();
        while !found(&Stream::settled) && begin.elapsed() < SOUND {
            if let Some(message) = watchdog.next(&self.pipeline.0)?
                && let gst::MessageView::Error(e) = message.view()
            {
                return Err(e.into());
            }
        }
        if found(&|s| s.ended.load(Ordering::SeqCst) && !s.held.load(Ordering::SeqCst)) {
            (self.audio, self.facts.channels) = (None, None);
            self.left_out
                .push("its sound is left out: it is over by then, empty, or cannot be decoded".into());
        }
        Ok(())
    }

    /// What the file has said of itself by now; the sound's tags may come after the first frame.
    pub fn read_tags(&mut self) {
        self.tags = Tags::of(&self.video, self.audio.as_ref());
    }

    /// Goes to a moment, and ends at another; whether that is where it is then. What has no index has to be decoded from
    /// its beginning.
    pub fn seek(&mut self, range: Range, keeps_sound: bool, watchdog: &Watchdog) -> Result<bool, Fault> {
        let start = range.start;
        if let Some(length) = self.duration.filter(|d| *d <= start && self.is_contained()) {
            let end = length.nseconds() as f64 / 1e9;
            return Err(Fault::settings(format!("--start is after its end, at {end:.3} s")));
        }
        if self.facts.rate == 0.0 && !self.is_contained() {
            return Err(Fault::input(
                "--start and --duration have to find a place in it, and it is a single picture: leave them out",
            ));
        }
        if !self.header.indexed || self.header.has_hidden_parts() {
            return Ok(false);
        }
        // The sound's end would be missing: what belongs before the end of the part lies behind it in the file.
        let is_late = |sound| demux::delay(&self.header.delays, sound).is_some();
        if keeps_sound && range.stop.is_some() && self.audio.as_ref().is_some_and(is_late) {
            return Ok(false);
        }
        self.sought = true;
        // Places are sought from where the file begins; what comes has its own clock.
        self.clock = range.exact.map(|own| own + start);
        for stream in lock(&self.streams).iter() {
            stream.held.store(false, Ordering::SeqCst);
            stream.ended.store(false, Ordering::SeqCst);
        }
        let (to, at) = match range.stop {
            Some(stop) => (gst::SeekType::Set, stop),
            None => (gst::SeekType::None, gst::ClockTime::ZERO),
        };
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        let seek = gst::event::Seek::new(1.0, flags, gst::SeekType::Set, start, to, at);
        if !self.video.send_event(seek) {
            return Ok(false);
        }
        let video = self.video.clone();
        watchdog.until(&self.pipeline.0, self.path.is_file(), || {
            lock(&self.streams).iter().filter(|s| s.pad == video).all(Stream::settled)
        })?;
        let none = lock(&self.streams).iter().any(|s| s.pad == video && !s.held.load(Ordering::SeqCst));
        // There may be one that stands there, which is found by decoding all before.
        if none {
            return Ok(false);
        }
        self.drop_empty_sound(watchdog)?;
        Ok(self.is_at(start))
    }

    /// Whether the frames that are held are those of a moment: the video's, and the sound's if it has come.
    fn is_at(&self, moment: gst::ClockTime) -> bool {
        let frame = if self.facts.rate > 0.0 { 1.5 / self.facts.rate } else { 0.1 };
        let near = |most: f64, stream: &Stream| {
            let first = *lock(&stream.first);
            let off = first.map(|t| (t.nseconds() as f64 - moment.nseconds() as f64) / 1e9);
            off.is_none_or(|off| off.abs() <= most)
        };
        lock(&self.streams).iter().filter(|s| s.held.load(Ordering::SeqCst)).all(|s| {
            match (s.pad == self.video, self.audio.as_ref() == Some(&s.pad)) {
                (true, _) => near(frame, s),
                (_, true) => near(NEAR, s),
                _ => true,
            }
        })
    }

    /// Links the streams to what takes them, and lets them go.
    pub fn release(&self, output_bin: &gst::Bin) -> Result<(), String> {
        let odd = |e: &dyn std::fmt::Display| format!("the pipeline cannot be put together: {e}");
        let begin = self.begin();
        for (pad, name) in [(Some(&self.video), "video"), (self.audio.as_ref(), "audio")] {
            if let (Some(pad), Some(begin)) = (pad, begin) {
                demux::begin_at(pad, begin);
            }
            let (Some(pad), Some(first)) = (pad, output_bin.by_name(name)) else { continue };
            let target = first.static_pad("sink").ok_or_else(|| odd(&name))?;
            let ghost = gst::GhostPad::builder_with_target(&target).map_err(|e| odd(&e))?.name(name).build();
            ghost.set_active(true).map_err(|e| odd(&e))?;
            output_bin.add_pad(&ghost).map_err(|e| odd(&e))?;
            pad.link(&ghost).map_err(|e| odd(&e))?;
        }
        for stream in lock(&self.streams).iter_mut() {
            for probe in stream.probes.drain(..) {
                stream.pad.remove_probe(probe);
            }
            stream.hand_on_its_end();
        }
        Ok(())
    }

    /// When the first of what is taken comes by the streams' own clock, where their segments are not to be trusted:
    /// matroskademux of 1.22 begins a stream's first segment with its own first packet, and another one as soon as one of
    /// another stream comes before that, so that the first frame came too early.
    fn begin(&self) -> Option<gst::ClockTime> {
        let streams = lock(&self.streams);
        let taken = streams.iter().filter(|s| s.pad == self.video || self.audio.as_ref() == Some(&s.pad));
        let is_whole = !self.sought && streams.iter().all(|s| s.trimmer.is_none());
        let begin = taken.filter_map(|s| *lock(&s.pts)).min();
        let begin = if self.sought { self.clock } else { begin.filter(|_| is_whole) };
        begin.filter(|_| self.header.family == Family::Matroska)
    }

    /// The picture that stands where the part begins, if it was opened in one.
    pub fn standing(&self) -> Option<(i64, i64)> {
        lock(&self.streams).iter().find(|s| s.pad == self.video)?.trimmer.as_ref()?.standing(None)
    }

    /// How many bytes bare frames had, when all of them have been read.
    pub fn bytes(&self) -> u64 {
        match self.path.metadata() {
            Ok(file) if file.is_file() => file.len(),
            _ => self.came.load(Ordering::Relaxed),
        }
    }

    /// Whether its streams lie in a container.
    fn is_contained(&self) -> bool {
        is_contained(&self.pipeline.0)
    }

    /// The ids of the video and of the sound that are taken.
    pub fn stream_ids(&self) -> [Option<String>; 2] {
        let id = |pad: &gst::Pad| pad.stream_id().map(|id| id.to_string());
        [id(&self.video), self.audio.as_ref().and_then(id)]
    }

    /// Whether its length is found out from what is in it: the container has no header that would say it.
    pub fn has_measured_length(&self) -> bool {
        let measures = ["tsdemux", "mpegpsdemux", "oggdemux", "dvdemux"];
        demuxers(&self.pipeline.0).iter().any(|name| measures.contains(&name.as_str()))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The numbers of the streams that are taken, by which an ISO base media file has them.
    pub fn track_ids(&self) -> (Option<u32>, Option<u32>) {
        (track_id(&self.video), self.audio.as_ref().and_then(track_id))
    }

    /// Frames a second as a fraction; 0/1 if the file does not say.
    pub fn framerate(&self) -> String {
        let caps = self.video.current_caps();
        let info = caps.and_then(|c| gst_video::VideoInfo::from_caps(&c).ok());
        let rate = info.map_or(gst::Fraction::new(0, 1), |i| i.fps());
        format!("{}/{}", rate.numer(), rate.denom())
    }
}

/// There is video in a codec that no plugin is for.
const NO_DECODER: &str = "GStreamer does not know the codec of its video: make another file of it first: ffmpeg -i IN -c:v libx264 -crf 12 \
     -c:a flac OUT.mkv";

/// Holds each stream of a decoder at its first frame, or at the first one in a range, as it comes; and whether all have come.
///
/// qtdemux of 1.22 gets edit lists wrong; the parts that are shown are cut out of all that is decoded.
fn hold_streams(
    decoder: &gst::Element,
    header: &Header,
    range: Option<Range>,
    watchdog: &Watchdog,
) -> (Arc<Mutex<Vec<Stream>>>, Arc<AtomicBool>) {
    let streams: Arc<Mutex<Vec<Stream>>> = Arc::default();
    let complete = Arc::new(AtomicBool::new(false));
    let (into, seen) = (Arc::clone(&streams), Arc::clone(&complete));
    let alive = watchdog.clone();
    let tracks = if header.has_hidden_parts() { header.tracks.clone() } else { Vec::new() };
    let is_matroska = header.family == Family::Matroska;
    let delays = header.delays.clone();
    decoder.connect_pad_added(move |_, pad| {
        if let Some(delay) = demux::delay(&delays, pad) {
            demux::take_off(pad, delay);
        }
        let ended = Arc::new(AtomicBool::new(false));
        let mut trimmer = None;
        let id = track_id(pad);
        let shown = tracks.iter().find(|t| Some(t.id) == id).and_then(Track::pieces);
        if range.is_some() || shown.is_some() {
            let (start, stop) = range.map_or((gst::ClockTime::ZERO, None), |r| (r.start, r.stop));
            let ended = Arc::clone(&ended);
            let trim = Trim::new(start, stop, shown.as_deref());
            let trim = trim.with_standing(range.and_then(|r| r.standing));
            let begin = range.and_then(|r| r.exact);
            if let Some(begin) = begin.filter(|_| is_matroska) {
                demux::begin_at(pad, begin);
            }
            let trim = trim.exact(begin.is_some());
            trimmer = Some(trim.apply(pad, &alive, move |pad| {
                ended.store(true, Ordering::SeqCst);
                hand_on_the_end(pad);
            }));
        }
        lock(&into).push(Stream::new(pad, ended, trimmer));
    });
    decoder.connect_no_more_pads(move |_| seen.store(true, Ordering::SeqCst));
    (streams, complete)
}

/// Why no video was decoded; `is_unknown`: there is some, of a codec that nothing knows.
fn no_video(missing: &[fault::Missing], is_unknown: bool, is_silent: bool) -> Fault {
    // A package helps there; the file that the other text advises would be H.264, which may be what is missing.
    if let Some(decoder) = missing.iter().find(|m| m.is_known_video) {
        let (name, packages) = (&decoder.name, fault::PACKAGES);
        return Fault::new(
            "core/missing-plugin",
            format!("GStreamer lacks a plugin for its video (no {name}): install it ({packages})"),
        );
    }
    Fault::input(match is_silent {
        _ if is_unknown => NO_DECODER,
        false => "it holds sound but no video: name a file with video",
        true => "it holds no video that can be decoded: name a file with video",
    })
}

/// The length of an input, if it is known.
fn length(header: &Header, pipeline: &gst::Pipeline, video: &gst::Pad) -> Option<gst::ClockTime> {
    match header.family {
        // Of a recording whose header says nothing, GStreamer takes the beginning of the last cluster for the end.
        Family::Isom if header.has_hidden_parts() => {
            header.length.and_then(|l| gst::ClockTime::try_from(l).ok())
        }
        Family::Matroska => header.length.and_then(|l| gst::ClockTime::try_from(l).ok()),
        // Of a raw stream the length would be a guess.
        _ if is_contained(pipeline) => video.query_duration::<gst::ClockTime>(),
        _ => None,
    }
}

/// How frames are turned where GStreamer does not say so, and whether by a quarter.
fn turned(
    path: &Path,
    header: &Header,
    video: &gst::Pad,
    facts: &Facts,
    tags: &Tags,
) -> (Option<&'static str>, bool) {
    if let Some((how, quarter)) = demux::turn(header, video) {
        return (Some(how), quarter);
    }
    if facts.rate == 0.0 && tags.container.is_none() {
        // decodebin of 1.22 leaves out jpegparse, which would tell.
        return picture::turn(path).unwrap_or((None, false));
    }
    (facts.turned, facts.quarter)
}

/// There is nothing in the range.
fn none_within() -> Fault {
    Fault::settings(
        "it has no frame between --start and the end: begin earlier, or take more with --duration",
    )
}

/// The demuxers in a pipeline; not every one says of which container.
fn demuxers(pipeline: &gst::Pipeline) -> Vec<String> {
    let all = pipeline.iterate_recurse().into_iter().map_while(Result::ok).filter_map(|e| e.factory());
    let is_demuxer = |f: &gst::ElementFactory| f.metadata("klass").is_some_and(|k| k.contains("Demuxer"));
    all.filter(is_demuxer).map(|f| f.name().to_string()).collect()
}

fn is_contained(pipeline: &gst::Pipeline) -> bool {
    !demuxers(pipeline).is_empty()
}
