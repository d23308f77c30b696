//! An input, opened and decoded up to its first frame, where it waits.

use super::Settings;
use super::color;
use super::fault::{self, Fault};
use super::plan::Facts;
use super::tracks::{self, Known, Track};
use super::watch::Watch;
use gst::prelude::*;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::time::{Duration, Instant};

/// How long a pipeline may take to stop before it is left behind.
const STOPPING: Duration = Duration::from_secs(10);

/// How long sound is waited for, before it is taken for one that begins later.
const SOUND: Duration = Duration::from_millis(500);

/// A pipeline that stops when it goes, or is left behind when it does not: a read from a dead network
/// drive cannot be broken off.
pub struct Running(pub gst::Pipeline);

impl Drop for Running {
    fn drop(&mut self) {
        let (done, wait) = mpsc::channel();
        let pipeline = self.0.clone();
        std::thread::spawn(move || {
            // Nothing is left to tell a failure to.
            let _ = pipeline.set_state(gst::State::Null);
            let _ = done.send(());
        });
        let _ = wait.recv_timeout(STOPPING);
    }
}

/// A decoded stream that is held at its first frame.
struct Stream {
    pad: gst::Pad,
    probes: Vec<gst::PadProbeId>,
    held: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

impl Stream {
    fn new(pad: &gst::Pad) -> Self {
        let (held, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (hold, end) = (Arc::clone(&held), Arc::clone(&ended));
        let frames = gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        let probes = [
            pad.add_probe(frames, move |_, _| {
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
        Self { pad: pad.clone(), probes: probes.into_iter().flatten().collect(), held, ended }
    }

    fn is(&self, media: &str) -> bool {
        let caps = self.pad.current_caps().unwrap_or_else(|| self.pad.query_caps(None));
        caps.structure(0).is_some_and(|s| s.name() == media)
    }

    fn is_subtitle(&self) -> bool {
        let caps = self.pad.current_caps().unwrap_or_else(|| self.pad.query_caps(None));
        let name = caps.structure(0).map(|s| s.name().to_string()).unwrap_or_default();
        name.starts_with("subpicture/")
            || name.starts_with("application/x-ssa")
            || name.starts_with("application/x-ass")
    }

    /// An end that came before anything was linked: nothing more is to come that would bring it along, and the muxer
    /// would wait for it for ever.
    fn hand_on_its_end(&self) {
        let Some(peer) = self.pad.peer().filter(|_| self.ended.load(Ordering::SeqCst)) else { return };
        if peer.sticky_event::<gst::event::Eos>(0).is_some() {
            return;
        }
        let mut events = Vec::new();
        self.pad.sticky_events_foreach(|event| {
            events.push(event.clone());
            std::ops::ControlFlow::Continue(gst::EventForeachAction::Keep)
        });
        for event in events {
            peer.send_event(event);
        }
    }

    fn settled(&self) -> bool {
        self.held.load(Ordering::SeqCst) || self.ended.load(Ordering::SeqCst)
    }
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
    /// The whole input's, if it is known.
    pub duration: Option<gst::ClockTime>,
    /// What the user should know of streams that do not come along.
    pub left_out: Vec<String>,
    /// Kept open for `fdsrc`.
    _file: Option<File>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Input {
    /// Opens an input and waits until its first frame is decoded.
    pub fn open(path: &Path, settings: &Settings, watch: &Watch) -> Result<Self, Fault> {
        let pipeline = Running(gst::Pipeline::new());
        let (source, file) = source(path).map_err(Fault::input)?;
        let decoder = gst::ElementFactory::make("decodebin").name("in").build();
        let decoder = decoder.map_err(|_| {
            Fault::new(
                "core/missing-plugin",
                "GStreamer's decodebin is missing; install gstreamer1.0-plugins-base",
            )
        })?;
        color::hear_range(&decoder);
        let odd = |e: glib::BoolError| e.to_string();
        pipeline.0.add_many([&source, &decoder]).map_err(odd)?;
        source.link(&decoder).map_err(odd)?;
        let streams: Arc<Mutex<Vec<Stream>>> = Arc::default();
        let complete = Arc::new(AtomicBool::new(false));
        let (into, seen) = (Arc::clone(&streams), Arc::clone(&complete));
        decoder.connect_pad_added(move |_, pad| lock(&into).push(Stream::new(pad)));
        decoder.connect_no_more_pads(move |_| seen.store(true, Ordering::SeqCst));
        watch.touch();
        if pipeline.0.set_state(gst::State::Paused).is_err() {
            return Err(watch
                .failure(&pipeline.0)
                .unwrap_or_else(|| Fault::damaged("it cannot be opened, and GStreamer does not say why")));
        }
        let all = |media: &str| -> Vec<gst::Pad> {
            lock(&streams).iter().filter(|s| s.is(media)).map(|s| s.pad.clone()).collect()
        };
        let mut missing = watch.until(&pipeline.0, path.is_file(), || {
            let held = || lock(&streams).iter().filter(|s| s.is("video/x-raw")).all(Stream::settled);
            complete.load(Ordering::SeqCst) && held()
        })?;
        // What was said before the wait was over, and has not been heard yet.
        let heard = std::iter::from_fn(|| pipeline.0.bus()?.pop_filtered(&[gst::MessageType::Element]));
        missing.extend(heard.filter_map(|m| fault::missing(&m)));
        let mut left_out = Vec::new();
        let mut choose = |pads: &[gst::Pad], wanted: Option<&Track>, kind: &str, option: &str| {
            let known: Vec<_> = pads.iter().map(|pad| Known::of(pad, &tags(pad))).collect();
            let (taken, note) = tracks::choose(&known, wanted, kind, option).map_err(Fault::settings)?;
            left_out.extend(note);
            Ok::<_, Fault>(pads[taken].clone())
        };
        let (videos, sounds) = (all("video/x-raw"), all("audio/x-raw"));
        if videos.is_empty() {
            return Err(Fault::input(match sounds.is_empty() {
                false => "it holds sound but no video: name a file with video",
                true => "it holds no video that can be decoded: name a file with video",
            }));
        }
        let video = choose(&videos, settings.video_track.as_ref(), "video", "--video-track")?;
        // Its end has been and gone, and would be waited for in vain.
        if lock(&streams).iter().any(|s| s.pad == video && !s.held.load(Ordering::SeqCst)) {
            let told = watch.failure(&pipeline.0);
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
            format!("a stream of it is left out: GStreamer has no {decoder} ({})", fault::PACKAGES)
        }));
        let duration = video.query_duration::<gst::ClockTime>();
        let mut facts = facts(&video, audio.as_ref())?;
        let tags = Tags::of(&video, audio.as_ref());
        if facts.turned.is_none() && facts.rate == 0.0 && tags.container.is_none() {
            // decodebin of 1.22 leaves out jpegparse, which would tell.
            (facts.turned, facts.quarter) = turn_of_picture(path).unwrap_or((None, false));
        }
        let mut input = Self {
            path: path.to_path_buf(),
            pipeline,
            streams,
            video,
            audio,
            facts,
            tags,
            duration,
            left_out,
            _file: file,
        };
        input.drop_empty_sound(watch)?;
        Ok(input)
    }

    /// Leaves out sound of which nothing is to come: muxers wait for it for ever, or make files that cannot be read.
    fn drop_empty_sound(&mut self, watch: &Watch) -> Result<(), Fault> {
        let Some(audio) = self.audio.clone() else { return Ok(()) };
        let found =
            |what: &dyn Fn(&Stream) -> bool| lock(&self.streams).iter().any(|s| s.pad == audio && what(s));
        // What comes late, behind frames that wait here, is not waited for.
        let begin = Instant::now();
        while !found(&Stream::settled) && begin.elapsed() < SOUND {
            if let Some(message) = watch.next(&self.pipeline.0)?
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

    /// Goes to a moment, and ends at another.
    pub fn cut(
        &mut self,
        start: gst::ClockTime,
        stop: Option<gst::ClockTime>,
        watch: &Watch,
    ) -> Result<(), Fault> {
        if let Some(length) = self.duration.filter(|d| *d <= start) {
            let end = length.nseconds() as f64 / 1e9;
            return Err(Fault::settings(format!("--start is after its end, at {end:.3} s")));
        }
        for stream in lock(&self.streams).iter() {
            stream.held.store(false, Ordering::SeqCst);
            stream.ended.store(false, Ordering::SeqCst);
        }
        let (to, at) = match stop {
            Some(stop) => (gst::SeekType::Set, stop),
            None => (gst::SeekType::None, gst::ClockTime::ZERO),
        };
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        let seek = gst::event::Seek::new(1.0, flags, gst::SeekType::Set, start, to, at);
        if !self.video.send_event(seek) {
            return Err(Fault::input(match self.path.is_file() {
                true => {
                    "--start and --duration have to find a place in it, and it is a single picture or has no index: \
                     leave them out, or make another file of it first: ffmpeg -i IN OUT.mkv"
                }
                false => "it cannot be sought in, which --start and --duration need: give a file, not a pipe",
            }));
        }
        let video = self.video.clone();
        watch.until(&self.pipeline.0, self.path.is_file(), || {
            lock(&self.streams).iter().filter(|s| s.pad == video).all(Stream::settled)
        })?;
        let none = lock(&self.streams).iter().any(|s| s.pad == video && !s.held.load(Ordering::SeqCst));
        if none {
            return Err(Fault::settings(
                "it has no frame between --start and the end: begin earlier, or take more with --duration",
            ));
        }
        self.drop_empty_sound(watch)
    }

    /// Links the streams to what takes them, and lets them go.
    pub fn release(&self, rest: &gst::Bin) -> Result<(), String> {
        let odd = |e: &dyn std::fmt::Display| format!("the pipeline cannot be put together: {e}");
        for (pad, name) in [(Some(&self.video), "video"), (self.audio.as_ref(), "audio")] {
            let (Some(pad), Some(first)) = (pad, rest.by_name(name)) else { continue };
            let target = first.static_pad("sink").ok_or_else(|| odd(&name))?;
            let ghost = gst::GhostPad::builder_with_target(&target).map_err(|e| odd(&e))?.name(name).build();
            ghost.set_active(true).map_err(|e| odd(&e))?;
            rest.add_pad(&ghost).map_err(|e| odd(&e))?;
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

    /// Frames a second as a fraction; 0/1 if the file does not say.
    pub fn framerate(&self) -> String {
        let caps = self.video.current_caps();
        let info = caps.and_then(|c| gst_video::VideoInfo::from_caps(&c).ok());
        let rate = info.map_or(gst::Fraction::new(0, 1), |i| i.fps());
        format!("{}/{}", rate.numer(), rate.denom())
    }
}

/// Reads a file, or what is no file (a pipe), in a way that can be broken off.
fn source(path: &Path) -> Result<(gst::Element, Option<File>), String> {
    let make = |name: &str| {
        gst::ElementFactory::make(name).build().map_err(|_| format!("GStreamer's {name} is missing"))
    };
    let meta = std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => "there is no such file: check the name".to_string(),
        _ => format!("it cannot be read: {e}"),
    })?;
    if meta.is_dir() {
        return Err("it is a folder: name the video files in it".into());
    }
    if meta.is_file() {
        File::open(path).map_err(|e| format!("it cannot be read: {e}"))?;
        if meta.len() == 0 {
            return Err("it is empty (0 bytes): take another copy of it".into());
        }
        let source = make("filesrc")?;
        source.set_property("location", path);
        return Ok((source, None));
    }
    // A pipe nobody writes to must not hold up the opening either.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = file.map_err(|e| format!("it cannot be read: {e}"))?;
    let source = make("fdsrc")?;
    source.set_property("fd", file.as_raw_fd());
    Ok((source, Some(file)))
}

/// What the decoder says of its streams.
fn facts(video: &gst::Pad, audio: Option<&gst::Pad>) -> Result<Facts, Fault> {
    let caps = video.current_caps().ok_or_else(|| Fault::damaged("no frame of it can be decoded"))?;
    let info = gst_video::VideoInfo::from_caps(&caps)
        .map_err(|e| Fault::damaged(&format!("its video format is not known ({e})")))?;
    let fraction =
        |f: gst::Fraction| if f.denom() == 0 { 0.0 } else { f64::from(f.numer()) / f64::from(f.denom()) };
    let transfer = info.colorimetry().transfer();
    let turn =
        tags(video).get::<gst::tags::ImageOrientation>().map(|v| v.get().to_string()).unwrap_or_default();
    Ok(Facts {
        width: info.width(),
        height: info.height(),
        pixel_aspect: fraction(info.par()),
        rate: fraction(info.fps()),
        uneven: false,
        interlaced: info.is_interlaced(),
        turned: (!turn.is_empty() && turn != "rotate-0").then_some("auto"),
        quarter: turn.ends_with("90") || turn.ends_with("270"),
        hlg: transfer == gst_video::VideoTransferFunction::AribStdB67,
        pq: transfer == gst_video::VideoTransferFunction::Smpte2084,
        narrow: color::narrow(&info),
        channels: audio.map(|pad| {
            let caps = pad.current_caps();
            let channels = caps.as_ref().and_then(|c| c.structure(0)?.get::<i32>("channels").ok());
            channels.and_then(|n| u32::try_from(n).ok()).unwrap_or(2)
        }),
    })
}

/// How a still picture has to be turned, by what its file says (EXIF, as the standard CIPA DC-008 numbers it), and
/// whether that is by a quarter; `None` if it is no picture that can be read so.
fn turn_of_picture(path: &Path) -> Option<(Option<&'static str>, bool)> {
    use image::ImageDecoder;
    use image::metadata::Orientation;
    let reader = image::ImageReader::open(path).ok()?.with_guessed_format().ok()?;
    let orientation = reader.into_decoder().ok()?.orientation().ok()?;
    Some(match orientation {
        Orientation::NoTransforms => (None, false),
        Orientation::Rotate90 => (Some("90r"), true),
        Orientation::Rotate180 => (Some("180"), false),
        Orientation::Rotate270 => (Some("90l"), true),
        Orientation::FlipHorizontal => (Some("horiz"), false),
        Orientation::FlipVertical => (Some("vert"), false),
        Orientation::Rotate90FlipH => (Some("ul-lr"), true),
        Orientation::Rotate270FlipH => (Some("ur-ll"), true),
    })
}

/// What the file says of itself.
#[derive(Clone, Debug, Default)]
pub struct Tags {
    pub container: Option<String>,
    pub video: Option<String>,
    pub audio: Option<String>,
    /// Of the video, in bits a second.
    pub bitrate: Option<u32>,
}

impl Tags {
    fn of(video: &gst::Pad, audio: Option<&gst::Pad>) -> Self {
        let (list, sound) = (tags(video), audio.map(tags));
        Self {
            container: list.get::<gst::tags::ContainerFormat>().map(|v| v.get().to_string()),
            video: list.get::<gst::tags::VideoCodec>().map(|v| v.get().to_string()),
            audio: sound.and_then(|l| l.get::<gst::tags::AudioCodec>().map(|v| v.get().to_string())),
            bitrate: list.get::<gst::tags::Bitrate>().map(|v| v.get()),
        }
    }
}

/// All tags that have come to a pad.
fn tags(pad: &gst::Pad) -> gst::TagList {
    let mut all = gst::TagList::new();
    pad.sticky_events_foreach(|event| {
        if let gst::EventView::Tag(tag) = event.view() {
            all.make_mut().insert(tag.tag(), gst::TagMergeMode::Replace);
        }
        std::ops::ControlFlow::Continue(gst::EventForeachAction::Keep)
    });
    all
}
