//! A clip that plays round and round, asked for the frame of a moment.

use gst::prelude::*;
use gst_video::VideoInfo;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long the clip's decoder may take for a frame.
const PATIENCE: Duration = Duration::from_secs(30);

/// A pipeline that stops when it goes.
struct Running(gst::Pipeline);

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing is left to tell a failure to.
        let _ = self.0.set_state(gst::State::Null);
    }
}

/// What ends a wait for the clip.
#[derive(Clone)]
pub struct Interrupt {
    /// Set by whoever wants the streaming thread back; a flush may have come and gone between two looks.
    pub asked: Arc<AtomicBool>,
    /// The pad that the frame came by, which may be deactivated.
    pub pad: gst::Pad,
}

impl Interrupt {
    fn is_due(&self) -> bool {
        self.asked.load(Ordering::Relaxed) || self.pad.pad_flags().contains(gst::PadFlags::FLUSHING)
    }
}

pub struct Clip {
    path: PathBuf,
    wanted: VideoInfo,
    pipeline: Running,
    sink: gst_app::AppSink,
    stop: Interrupt,
    /// When this round began.
    began: gst::ClockTime,
    /// Time stamp of its first frame, end of its last so far, and their number.
    first: Option<gst::ClockTime>,
    end: gst::ClockTime,
    /// From its first frame to its last so far.
    last: gst::ClockTime,
    count: u64,
    current: Option<(gst::ClockTime, gst::Buffer)>,
    next: Option<(gst::ClockTime, gst::Buffer)>,
    /// A clip of one frame is a picture.
    still: bool,
}

impl Clip {
    /// Opens a clip whose frames come as `wanted`: size, format, colorimetry and pixel aspect.
    ///
    /// # Errors
    /// In words.
    pub fn open(path: &Path, wanted: &VideoInfo, stop: Interrupt) -> Result<Self, String> {
        if !path.is_file() {
            return Err(format!("there is no file {}: check the name", path.display()));
        }
        let (w, h) = (wanted.width() as i32, wanted.height() as i32);
        let shape = gst::Fraction::new(w, h) * wanted.par();
        // Turned and deinterlaced as it is meant to be seen, then cut to the frame's shape and scaled.
        let line = format!(
            "filesrc name=file ! decodebin name=in \
             videoconvert name=first ! deinterlace method=linear fields=top ! videoflip video-direction=auto ! \
             aspectratiocrop aspect-ratio={}/{} ! videoscale add-borders=false ! videoconvert ! \
             appsink name=out sync=false max-buffers=3",
            shape.numer(),
            shape.denom()
        );
        let odd = |e: &dyn std::fmt::Display| {
            format!(
                "{} cannot be played: {e}. GStreamer's plugins -base and -good are needed.",
                path.display()
            )
        };
        let pipeline = gst::parse::launch(&line).map_err(|e| odd(&e))?;
        let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| odd(&"no pipeline"))?;
        let part = |name: &str| pipeline.by_name(name).ok_or_else(|| odd(&name));
        part("file")?.set_property("location", path);
        let sink = part("out")?.downcast::<gst_app::AppSink>().map_err(|_| odd(&"no appsink"))?;
        let caps = gst_video::VideoCapsBuilder::new()
            .format(wanted.format())
            .width(w)
            .height(h)
            .pixel_aspect_ratio(wanted.par())
            .field("colorimetry", wanted.colorimetry().to_string())
            .build();
        sink.set_caps(Some(&caps));
        let target = part("first")?.static_pad("sink").ok_or_else(|| odd(&"videoconvert"))?;
        let decoder = part("in")?;
        crate::decode::keep_last_frame(&decoder);
        let link_to = target.clone();
        decoder.connect_pad_added(move |_, pad| {
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            let video = caps.structure(0).is_some_and(|s| s.name().starts_with("video/x-raw"));
            if video && !link_to.is_linked() {
                // What cannot be linked ends as an error on the bus.
                let _ = pad.link(&link_to);
            }
        });
        decoder.connect_no_more_pads(move |decoder| {
            if !target.is_linked() {
                gst::element_error!(decoder, gst::StreamError::TypeNotFound, ("it has no video"));
            }
        });
        let clip = Self {
            path: path.to_path_buf(),
            wanted: wanted.clone(),
            pipeline: Running(pipeline),
            sink,
            stop,
            began: gst::ClockTime::ZERO,
            first: None,
            end: gst::ClockTime::ZERO,
            last: gst::ClockTime::ZERO,
            count: 0,
            current: None,
            next: None,
            still: false,
        };
        clip.play()?;
        Ok(clip)
    }

    fn play(&self) -> Result<(), String> {
        let started = self.pipeline.0.set_state(gst::State::Playing);
        started.map(|_| ()).map_err(|e| self.failure().unwrap_or_else(|| self.say(&e.to_string())))
    }

    fn say(&self, what: &str) -> String {
        format!("{} cannot be played: {what}", self.path.display())
    }

    fn failure(&self) -> Option<String> {
        self.ended().err()
    }

    /// Whether the bus tells of the end, or of an error.
    fn ended(&self) -> Result<bool, String> {
        let bus = self.pipeline.0.bus();
        let message = bus.and_then(|b| b.pop_filtered(&[gst::MessageType::Error, gst::MessageType::Eos]));
        match message.as_ref().map(|m| m.view()) {
            Some(gst::MessageView::Error(e)) => Err(self.say(e.error().message())),
            Some(_) => Ok(true),
            None => Ok(false),
        }
    }

    /// The frame that is seen at a time. Times are to rise; one that falls begins the clip anew.
    ///
    /// # Errors
    /// In words; an empty text when the wait was interrupted.
    pub fn at(&mut self, time: gst::ClockTime) -> Result<&gst::BufferRef, String> {
        match &self.current {
            None => self.began = time,
            Some((since, _)) if time < *since && !self.still => {
                self.again()?;
                self.began = time;
                self.current = None;
            }
            Some(_) => {}
        }
        while !self.still {
            if self.next.is_none() {
                self.next = self.pull()?;
            }
            match &self.next {
                Some((since, _)) if *since <= time || self.current.is_none() => {
                    self.current = self.next.take()
                }
                Some(_) => break,
                None => self.round(time)?,
            }
        }
        self.current.as_ref().map(|(_, b)| &**b).ok_or_else(|| self.say("it has no frame"))
    }

    /// The end of the clip was reached before `time`.
    fn round(&mut self, time: gst::ClockTime) -> Result<(), String> {
        if self.count == 0 {
            return Err(self.say("it has no frame"));
        }
        if self.count == 1 {
            self.still = true;
            return Ok(());
        }
        if self.last == gst::ClockTime::ZERO {
            return Err(self.say(
                "its frames all have the same time, as GStreamer reads animated GIFs; make a video file of it",
            ));
        }
        let length = self.end.saturating_sub(self.first.unwrap_or_default()).max(gst::ClockTime::MSECOND);
        // Whole rounds that nobody sees are not played.
        let rounds = (time.saturating_sub(self.began).nseconds() / length.nseconds()).max(1);
        self.began += length * rounds;
        self.again()
    }

    /// Back to the first frame, by opening the file anew: not every format can be sought in.
    fn again(&mut self) -> Result<(), String> {
        let opened = Self::open(&self.path, &self.wanted, self.stop.clone())?;
        (self.pipeline, self.sink) = (opened.pipeline, opened.sink);
        (self.first, self.count, self.next) = (None, 0, None);
        Ok(())
    }

    /// Leaves the clip to a thread of its own, to be closed there: a decoder that gives nothing may not stop either.
    pub fn abandon(self) {
        // Without a thread it is closed here.
        let _ = std::thread::Builder::new().name("backdrop-close".into()).spawn(move || drop(self));
    }

    /// The next frame and when it is due; `None` at the end of the clip.
    fn pull(&mut self) -> Result<Option<(gst::ClockTime, gst::Buffer)>, String> {
        // How late an interruption may be noticed.
        const SLICE: gst::ClockTime = gst::ClockTime::from_mseconds(20);
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if let Some(sample) = self.sink.try_pull_sample(SLICE) {
                let odd = || self.say("a frame has no time");
                let segment = sample.segment().and_then(|s| s.downcast_ref::<gst::ClockTime>().cloned());
                let buffer = sample.buffer_owned().ok_or_else(odd)?;
                let at = segment.and_then(|s| s.to_running_time(buffer.pts())).ok_or_else(odd)?;
                let first = *self.first.get_or_insert(at);
                let since = at.saturating_sub(first);
                // Without a duration the last frame lasts as long as the mean of those before.
                let mean = since / self.count.max(1);
                self.last = since;
                self.end = at + buffer.duration().unwrap_or(mean);
                self.count += 1;
                return Ok(Some((self.began + since, buffer)));
            }
            if self.stop.is_due() {
                return Err(String::new());
            }
            // The end is told of once the last frame has been pulled.
            if self.ended()? {
                return Ok(None);
            }
            if self.sink.is_eos() {
                // The EOS message has not come yet; until then a pull returns at once.
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        Err(self.say("no frame came for half a minute"))
    }
}
