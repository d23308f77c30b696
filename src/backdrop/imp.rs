//! The element's implementation.

use super::clip::{Clip, Interrupt};
use crate::compose::{self, Backdrop};
use crate::frame::{Format, Frame};
use crate::ready::is_too_late;
use crate::sync::lock;
use crate::video;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use gst_video::{VideoFormat, VideoInfo};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("videobackdrop", gst::DebugColorFlags::empty(), Some("A video behind a video"))
});

/// What goes in and what comes out, in the same order of bytes.
const FORMATS: [(VideoFormat, VideoFormat); 2] =
    [(VideoFormat::A420, VideoFormat::I420), (VideoFormat::Rgba, VideoFormat::Rgbx)];

#[derive(Default)]
pub struct VideoBackdrop {
    location: Mutex<Option<String>>,
    state: Mutex<Option<State>>,
    stop: Arc<AtomicBool>,
}

/// Between caps and the end of the stream.
struct State {
    input: VideoInfo,
    output: VideoInfo,
    /// The clip behind, in the format that is blended; opened with the first frame.
    behind: VideoInfo,
    clip: Option<Clip>,
    /// Running time of the last frame.
    last: gst::ClockTime,
    alpha: Vec<u8>,
}

#[glib::object_subclass]
impl ObjectSubclass for VideoBackdrop {
    const NAME: &'static str = "GstBgVideoBackdrop";
    type Type = super::VideoBackdrop;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for VideoBackdrop {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecString::builder("location")
                    .nick("Location")
                    .blurb(
                        "The video file that plays behind; it covers the frame and begins again at its end",
                    )
                    .mutable_ready()
                    .build(),
            ]
        });
        PROPERTIES.as_ref()
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        if is_too_late(&*self.obj(), pspec, value) {
            return;
        }
        *lock(&self.location) = value.get().unwrap_or_default();
    }

    fn property(&self, _id: usize, _pspec: &glib::ParamSpec) -> glib::Value {
        lock(&self.location).to_value()
    }
}

impl GstObjectImpl for VideoBackdrop {}

impl ElementImpl for VideoBackdrop {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Video Backdrop",
                "Filter/Effect/Video",
                "Puts frames with alpha on another video, which plays behind them round and round",
                "The bgremove authors",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let (sink, src) = (FORMATS.map(|f| f.0), FORMATS.map(|f| f.1));
            video::templates(&video::caps(sink), &video::caps(src))
        });
        TEMPLATES.as_ref()
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::ReadyToPaused => self.stop.store(false, Ordering::Relaxed),
            // A frame of the clip that is waited for must not hold up the end.
            gst::StateChange::PausedToReady => self.stop.store(true, Ordering::Relaxed),
            _ => {}
        }
        self.parent_change_state(transition)
    }
}

impl BaseTransformImpl for VideoBackdrop {
    const MODE: gst_base::subclass::BaseTransformMode = gst_base::subclass::BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let location = lock(&self.location).clone();
        match location {
            Some(path) if PathBuf::from(&path).is_file() => Ok(()),
            Some(path) => Err(gst::error_msg!(
                gst::ResourceError::NotFound,
                ("there is no file {path} to play behind the subject: check the location")
            )),
            None => Err(gst::error_msg!(
                gst::ResourceError::Settings,
                ("location is not set: name the video file to play behind the subject")
            )),
        }
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.state) = None;
        Ok(())
    }

    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let out = video::transform(direction, caps, FORMATS.into_iter(), |_| ());
        Some(video::filtered(out, filter))
    }

    fn unit_size(&self, caps: &gst::Caps) -> Option<usize> {
        video::unit_size(caps)
    }

    fn transform_size(
        &self,
        _direction: gst::PadDirection,
        _caps: &gst::Caps,
        _size: usize,
        other: &gst::Caps,
    ) -> Option<usize> {
        video::unit_size(other)
    }

    fn set_caps(&self, incaps: &gst::Caps, outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let odd = |e: &dyn std::fmt::Display| gst::loggable_error!(CAT, "{e}");
        let input = VideoInfo::from_caps(incaps).map_err(|e| odd(&e))?;
        let output = VideoInfo::from_caps(outcaps).map_err(|e| odd(&e))?;
        // With alpha bytes for what has them, so that rows lie alike.
        let format = if output.format() == VideoFormat::I420 { VideoFormat::I420 } else { VideoFormat::Rgba };
        let behind = VideoInfo::builder(format, input.width(), input.height())
            .par(input.par())
            .colorimetry(&input.colorimetry())
            .build()
            .map_err(|e| odd(&e))?;
        *lock(&self.state) =
            Some(State { input, output, behind, clip: None, last: gst::ClockTime::ZERO, alpha: Vec::new() });
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        match event.type_() {
            // Nor a flush; the lock of the state is held by whoever waits.
            gst::EventType::FlushStart => self.stop.store(true, Ordering::Relaxed),
            gst::EventType::FlushStop => {
                self.stop.store(false, Ordering::Relaxed);
                if let Some(state) = lock(&self.state).as_mut() {
                    state.clip = None;
                }
            }
            _ => {}
        }
        self.parent_sink_event(event)
    }

    fn transform(
        &self,
        input: &gst::Buffer,
        output: &mut gst::BufferRef,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let segment = self.obj().segment();
        let time = segment.downcast_ref::<gst::ClockTime>().and_then(|s| s.to_running_time(input.pts()));
        let mut guard = lock(&self.state);
        let Some(state) = guard.as_mut() else { return Err(gst::FlowError::NotNegotiated) };
        let location = lock(&self.location).clone().unwrap_or_default();
        let stop = Interrupt { asked: Arc::clone(&self.stop), pad: self.obj().sink_pad().clone() };
        let put = state.put(&PathBuf::from(location), time, stop, input, output);
        put.map_err(|what| {
            if what.is_empty() {
                gst::debug!(CAT, imp = self, "interrupted while it waits for the clip");
                if let Some(clip) = state.clip.take() {
                    clip.abandon();
                }
                return gst::FlowError::Flushing;
            }
            gst::element_imp_error!(self, gst::StreamError::Failed, ("the video behind the subject: {what}"));
            gst::FlowError::Error
        })?;
        Ok(gst::FlowSuccess::Ok)
    }
}

impl State {
    /// Puts a frame on the clip's frame of that time.
    fn put(
        &mut self,
        path: &std::path::Path,
        time: Option<gst::ClockTime>,
        stop: Interrupt,
        input: &gst::BufferRef,
        output: &mut gst::BufferRef,
    ) -> Result<(), String> {
        let clip = match &mut self.clip {
            Some(clip) => clip,
            none => none.insert(Clip::open(path, &self.behind, stop)?),
        };
        // A frame without a time is put on what was there before.
        self.last = time.unwrap_or(self.last);
        let buffer = clip.at(self.last)?;
        let blended = video::view(buffer, &self.behind, |behind| {
            video::view(input, &self.input, |frame| {
                let opaque = if frame.format == Format::A420 { Format::I420 } else { frame.format };
                video::fill_as(output, &self.output, opaque, |into| {
                    self.alpha.clear();
                    self.alpha.resize(frame.width * frame.height, 255);
                    compose::multiply_alpha(frame, &mut self.alpha);
                    compose::composite(frame, into, &self.alpha, &Behind(*behind));
                })
            })
        });
        blended.flatten().flatten().ok_or_else(|| {
            "a frame's buffer is smaller than its caps say, or stored upside down, which is not read"
                .to_string()
        })
    }
}

/// The clip's frame as what stands behind.
struct Behind<'a>(Frame<'a>);

impl Backdrop for Behind<'_> {
    fn row(&self, plane: usize, y: usize, row: &mut [u8]) {
        let from = self.0.planes[plane].row(y);
        let n = row.len().min(from.len());
        row[..n].copy_from_slice(&from[..n]);
    }
}
