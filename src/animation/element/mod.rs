//! The two elements: what they share, which is all but their properties.

mod gif;
mod webp;

use super::Rgba;
use crate::frame::Frame;
use crate::numbers::Numbers;
use crate::sync::lock;
use crate::video;
use gst::prelude::*;
use gst_video::prelude::*;
use gst_video::{VideoCodecFrame, VideoFormat, VideoInfo};
use std::sync::{Arc, Mutex};

glib::wrapper! {
    /**
     * SECTION:element-gifalphaenc
     * @title: gifalphaenc
     * @short_description: animated GIF with transparency
     * @see_also: webpalphaenc
     *
     * A GIF's pixel is there or not: #GstBgGifAlphaEnc:alpha-threshold says from which alpha on. Each frame has up to
     * #GstBgGifAlphaEnc:colors colours, which stay steady where nothing moves. Times are hundredths of a second, and frames
     * that come closer than two of them are left out.
     *
     * ## Example launch line
     *
     * ```bash
     * gst-launch-1.0 filesrc location=in.mp4 ! decodebin ! videoconvert ! videoscale ! video/x-raw,width=320,height=180 ! bgremove ! videoconvert ! gifalphaenc ! filesink location=out.gif
     * ```
     *
     * Since: 0.1.0
     */
    pub struct GifAlphaEnc(ObjectSubclass<gif::GifAlphaEnc>) @extends gst_video::VideoEncoder, gst::Element,
        gst::Object, @implements gst::Preset;
}

glib::wrapper! {
    /**
     * SECTION:element-webpalphaenc
     * @title: webpalphaenc
     * @short_description: animated WebP with alpha
     * @see_also: gifalphaenc, webpenc
     *
     * Whole alpha, times in milliseconds, and colours that are lossy, or exact with #GstBgWebpAlphaEnc:lossless. The frames are
     * kept until the end of the stream, when the file comes as one buffer.
     *
     * ## Example launch line
     *
     * ```bash
     * gst-launch-1.0 filesrc location=in.mp4 ! decodebin ! videoconvert ! videoscale ! video/x-raw,width=320,height=180 ! bgremove ! videoconvert ! webpalphaenc quality=75 ! filesink location=out.webp
     * ```
     *
     * Since: 0.1.0
     */
    pub struct WebpAlphaEnc(ObjectSubclass<webp::WebpAlphaEnc>) @extends gst_video::VideoEncoder, gst::Element,
        gst::Object, @implements gst::Preset;
}

pub(super) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    // Never plugged automatically: a picture format is asked for by name.
    let rank = gst::Rank::NONE;
    gst::Element::register(Some(plugin), "gifalphaenc", rank, GifAlphaEnc::static_type())?;
    gst::Element::register(Some(plugin), "webpalphaenc", rank, WebpAlphaEnc::static_type())
}

/// One of the two writers.
trait Write: Sized + Send {
    /// What came of a frame.
    fn add(&mut self, frame: Rgba<'_>, time: u64) -> Result<Added, String>;

    /// The last bytes; the last frame is seen until `end`.
    fn finish(self, end: u64) -> Result<Vec<u8>, String>;
}

/// What can be set of one of the two.
trait Options: Default + Send {
    fn properties() -> Vec<glib::ParamSpec>;
    /// Whether there is such a property.
    fn set(&mut self, name: &str, value: &glib::Value) -> bool;
    fn get(&self, name: &str) -> Option<glib::Value>;
}

enum Added {
    /// Bytes of the frames before, perhaps none.
    Bytes(Vec<u8>),
    /// The frame came too soon after the last one.
    LeftOut,
}

/// A stream on its way through a writer.
struct Core<W> {
    state: Mutex<State<W>>,
    numbers: Arc<Numbers>,
}

struct State<W> {
    info: Option<VideoInfo>,
    writer: Option<W>,
    /// When the last frame ends, and how long it is seen.
    end: u64,
    duration: u64,
    last: Option<u64>,
    rows: Vec<u8>,
}

impl<W> Default for Core<W> {
    fn default() -> Self {
        let state = State { info: None, writer: None, end: 0, duration: 0, last: None, rows: Vec::new() };
        Self { state: Mutex::new(state), numbers: Arc::default() }
    }
}

/// Time of a frame of which nothing tells it: a last one without a duration.
const SOME_FRAME: u64 = 100_000_000;

impl<W: Write> Core<W> {
    /// Forgets the stream.
    fn reset(&self) {
        let mut state = lock(&self.state);
        (state.writer, state.last, state.duration) = (None, None, 0);
    }

    /// New caps.
    fn set_format(&self, encoder: &gst_video::VideoEncoder, info: &VideoInfo) -> Result<(), String> {
        let mut state = lock(&self.state);
        let changed = state
            .info
            .as_ref()
            .is_some_and(|old| (old.width(), old.height()) != (info.width(), info.height()));
        if changed && state.writer.is_some() {
            let text = format!(
                "the video changes its size in mid-stream, to {}×{}, which {} cannot hold; scale it to one size \
                 before (videoscale)",
                info.width(),
                info.height(),
                encoder.factory().map_or_else(Default::default, |f| f.name().to_string()),
            );
            gst::element_error!(encoder, gst::StreamError::Format, ("{text}"));
            return Err(text);
        }
        state.info = Some(info.clone());
        Ok(())
    }

    /// A frame; `begin` makes the writer for the first one.
    fn frame(
        &self,
        encoder: &gst_video::VideoEncoder,
        frame: VideoCodecFrame<'_>,
        begin: impl Fn(&VideoInfo) -> Result<W, String>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let refuse = |what: &str| {
            gst::element_error!(encoder, gst::StreamError::Encode, ("{what}"));
            gst::FlowError::Error
        };
        let added = {
            let mut guard = lock(&self.state);
            let state = &mut *guard;
            let Some(info) = &state.info else { return Err(gst::FlowError::NotNegotiated) };
            let time = frame.pts().ok_or_else(|| refuse("a frame has no time"))?.nseconds();
            if state.writer.is_none() {
                state.writer = Some(begin(info).map_err(|e| refuse(&e))?);
            }
            let Some(writer) = &mut state.writer else { return Err(gst::FlowError::Error) };
            let unreadable = || refuse("a frame cannot be read: its buffer is smaller than its caps say");
            let buffer = frame.input_buffer().ok_or_else(unreadable)?;
            let added = video::view(buffer, info, |frame| writer.add(pack(frame, &mut state.rows), time));
            let added = added.ok_or_else(unreadable)?.map_err(|e| refuse(&e))?;
            // A frame without a duration is taken to last as long as the one before.
            let since = state.last.map(|last| time.saturating_sub(last));
            state.duration = frame.duration().map(gst::ClockTime::nseconds).or(since).unwrap_or(SOME_FRAME);
            state.last = Some(time);
            state.end = time + state.duration;
            added
        };
        match added {
            Added::LeftOut => encoder.finish_frame(frame),
            Added::Bytes(bytes) => {
                let this = frame.system_frame_number();
                drop(frame);
                // The bytes are those of the frame before: this one waits for the next.
                match encoder.oldest_frame() {
                    Some(before) if before.system_frame_number() != this => hand_on(encoder, before, bytes),
                    _ => Ok(gst::FlowSuccess::Ok),
                }
            }
        }
    }

    /// The end of the stream.
    fn finish(&self, encoder: &gst_video::VideoEncoder) -> Result<gst::FlowSuccess, gst::FlowError> {
        let bytes = {
            let mut state = lock(&self.state);
            let end = state.end;
            state.last = None;
            let Some(writer) = state.writer.take() else { return Ok(gst::FlowSuccess::Ok) };
            writer.finish(end)
        };
        match (bytes, encoder.oldest_frame()) {
            (Ok(bytes), Some(frame)) => hand_on(encoder, frame, bytes),
            (Ok(_), None) => Ok(gst::FlowSuccess::Ok),
            (Err(what), _) => {
                gst::element_error!(encoder, gst::StreamError::Encode, ("{what}"));
                Err(gst::FlowError::Error)
            }
        }
    }
}

/// Hands bytes on in the place of a frame; none, and the frame goes without.
fn hand_on(
    encoder: &gst_video::VideoEncoder,
    mut frame: VideoCodecFrame<'_>,
    bytes: Vec<u8>,
) -> Result<gst::FlowSuccess, gst::FlowError> {
    if !bytes.is_empty() {
        frame.set_flags(gst_video::VideoCodecFrameFlags::SYNC_POINT);
        frame.set_output_buffer(gst::Buffer::from_mut_slice(bytes));
    }
    encoder.finish_frame(frame)
}

/// The frame's rows without padding.
fn pack<'a>(frame: &Frame<'a>, rows: &'a mut Vec<u8>) -> Rgba<'a> {
    let (width, height, plane) = (frame.width, frame.height, frame.planes[0]);
    let row = width * 4;
    if plane.stride == row {
        return Rgba { width, height, data: &plane.data[..row * height] };
    }
    rows.clear();
    (0..height).for_each(|y| rows.extend_from_slice(&plane.row(y)[..row]));
    Rgba { width, height, data: rows }
}

/// RGBA in, a picture file out.
fn templates(media_type: &str, max: usize) -> Vec<gst::PadTemplate> {
    let max = max as i32;
    let sink = gst_video::VideoCapsBuilder::new()
        .format(VideoFormat::Rgba)
        .width_range(1..=max)
        .height_range(1..=max)
        .build();
    video::templates(&sink, &gst::Caps::new_empty_simple(media_type))
}

/// How often a picture plays, as both files count it.
fn loops(default: u16) -> glib::ParamSpec {
    glib::ParamSpecUInt::builder("loops")
        .nick("Loops")
        .blurb("How often to play (0 = for ever)")
        .maximum(u16::MAX.into())
        .default_value(default.into())
        .mutable_ready()
        .build()
}

/// One of the two elements: all of it, but for its [`Options`] and its writer. A macro, since GObject knows no generics.
macro_rules! encoder {
    ($name:ident, $type_name:literal, $media_type:literal, $max:expr, $long_name:literal, $what:literal) => {
        #[derive(Default)]
        pub struct $name {
            core: Core<Writer>,
            options: Mutex<Options>,
        }

        #[glib::object_subclass]
        impl ObjectSubclass for $name {
            const NAME: &'static str = $type_name;
            type Type = super::$name;
            type ParentType = gst_video::VideoEncoder;
        }

        impl ObjectImpl for $name {
            fn properties() -> &'static [glib::ParamSpec] {
                static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> =
                    LazyLock::new(<Options as super::Options>::properties);
                PROPERTIES.as_ref()
            }

            fn constructed(&self) {
                self.parent_constructed();
                self.core.numbers.watch(self.obj().src_pad());
            }

            fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
                if is_too_late(&*self.obj(), pspec, value) {
                    return;
                }
                if !lock(&self.options).set(pspec.name(), value) {
                    gst::warning!(gst::CAT_RUST, imp = self, "no property {}", pspec.name());
                }
            }

            fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
                lock(&self.options).get(pspec.name()).unwrap_or_else(|| pspec.default_value().clone())
            }
        }

        impl GstObjectImpl for $name {}

        impl ElementImpl for $name {
            fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
                static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                    gst::subclass::ElementMetadata::new(
                        $long_name,
                        "Codec/Encoder/Image",
                        $what,
                        "The bgremove authors",
                    )
                });
                Some(&*METADATA)
            }

            fn pad_templates() -> &'static [gst::PadTemplate] {
                static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> =
                    LazyLock::new(|| super::templates($media_type, $max));
                TEMPLATES.as_ref()
            }
        }

        impl VideoEncoderImpl for $name {
            fn stop(&self) -> Result<(), gst::ErrorMessage> {
                self.core.reset();
                Ok(())
            }

            fn flush(&self) -> bool {
                self.core.reset();
                true
            }

            fn sink_event(&self, event: gst::Event) -> bool {
                self.core.numbers.comes(&event);
                self.parent_sink_event(event)
            }

            fn propose_allocation(
                &self,
                query: &mut gst::query::Allocation,
            ) -> Result<(), gst::LoggableError> {
                query.add_allocation_meta::<gst_video::VideoMeta>(None);
                self.parent_propose_allocation(query)
            }

            fn set_format(
                &self,
                state: &gst_video::VideoCodecState<'static, gst_video::video_codec_state::Readable>,
            ) -> Result<(), gst::LoggableError> {
                let obj = self.obj();
                let said = |e: &dyn std::fmt::Display| gst::loggable_error!(gst::CAT_RUST, "{e}");
                self.core.set_format(obj.upcast_ref(), state.info()).map_err(|e| said(&e))?;
                let caps = gst::Caps::new_empty_simple($media_type);
                let out = obj.set_output_state(caps, Some(state)).map_err(|e| said(&e))?;
                obj.negotiate(out).map_err(|e| said(&e))?;
                self.parent_set_format(state)
            }

            fn handle_frame(
                &self,
                frame: gst_video::VideoCodecFrame<'_>,
            ) -> Result<gst::FlowSuccess, gst::FlowError> {
                self.core.frame(self.obj().upcast_ref(), frame, |info| {
                    Writer::new(info.width() as usize, info.height() as usize, &lock(&self.options))
                })
            }

            fn finish(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
                self.core.finish(self.obj().upcast_ref())
            }
        }
    };
}

use encoder;
