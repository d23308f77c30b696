//! The clip's decoder and the two elements, a frame at a time.

use gst::prelude::*;
use gst_video::{VideoFormat, VideoInfo};
use gstbgremove::auto;
use gstbgremove::key;
use gstbgremove::measure::Size;
use gstbgremove::models::{self, FileSource};
use gstbgremove::video;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a frame may take before the element counts as stuck; a slow network on a slow machine included.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(120);

/// A pipeline that stops when it goes.
struct Running(gst::Pipeline);

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing is left to tell a failure to.
        let _ = self.0.set_state(gst::State::Null);
    }
}

impl Running {
    fn failure(&self) -> Option<String> {
        let message = self.0.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(e) => Some(e.error().to_string()),
            _ => None,
        }
    }

    fn start(&self) -> Result<(), String> {
        match self.0.set_state(gst::State::Playing) {
            Ok(_) => Ok(()),
            Err(e) => Err(self.failure().unwrap_or_else(|| e.to_string())),
        }
    }
}

fn make(factory: &str) -> Result<gst::Element, String> {
    gst::ElementFactory::make(factory).build().map_err(|_| {
        format!("GStreamer's element '{factory}' is missing: install gstreamer1.0-plugins-base and -good")
    })
}

fn sink(format: VideoFormat, queue: u32) -> gst_app::AppSink {
    let caps = gst_video::VideoCapsBuilder::new().format(format).build();
    gst_app::AppSink::builder().caps(&caps).sync(false).max_buffers(queue).build()
}

/// A packed frame with its layout.
pub struct Frame {
    pub info: VideoInfo,
    buffer: gst::Buffer,
    /// Rows without padding.
    pub bytes: Vec<u8>,
}

impl Frame {
    fn new(sample: &gst::Sample) -> Result<Self, String> {
        let odd = || "a frame came that cannot be read".to_string();
        let info = sample.caps().and_then(|c| VideoInfo::from_caps(c).ok()).ok_or_else(odd)?;
        let buffer = sample.buffer_owned().ok_or_else(odd)?;
        let row = info.width() as usize * info.format_info().pixel_stride()[0] as usize;
        let bytes = video::view(&buffer, &info, |frame| {
            (0..frame.height).flat_map(|y| &frame.planes[0].row(y)[..row]).copied().collect()
        });
        Ok(Self { bytes: bytes.ok_or_else(odd)?, info, buffer })
    }

    pub fn size(&self) -> Size {
        Size::new(self.info.width() as usize, self.info.height() as usize)
    }

    /// Luma of an RGB frame (ITU-R BT.601 weights; only motion is read from it).
    pub fn luma(&self) -> Vec<u8> {
        let luma = |p: &[u8]| (77 * u32::from(p[0]) + 150 * u32::from(p[1]) + 29 * u32::from(p[2])) >> 8;
        self.bytes.chunks_exact(3).map(|p| luma(p) as u8).collect()
    }

    /// Alpha of an RGBA frame.
    pub fn alpha(&self) -> Vec<f32> {
        self.bytes.chunks_exact(4).map(|p| f32::from(p[3]) / 255.0).collect()
    }
}

/// A clip, decoded to RGB.
pub struct Decoder {
    name: String,
    pipeline: Running,
    sink: gst_app::AppSink,
}

impl Decoder {
    pub fn open(path: &Path) -> Result<Self, String> {
        if !path.is_file() {
            return Err(format!("there is no file {}: check the name", path.display()));
        }
        let pipeline = gst::Pipeline::new();
        let source = make("filesrc")?;
        source.set_property("location", path);
        let (decode, convert) = (make("decodebin")?, make("videoconvert")?);
        gstbgremove::decode::keep_last_frame(&decode);
        let sink = sink(VideoFormat::Rgb, 2);
        let odd = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        pipeline.add_many([&source, &decode, &convert, sink.upcast_ref()]).map_err(|e| odd(&e))?;
        source.link(&decode).map_err(|e| odd(&e))?;
        convert.link(&sink).map_err(|e| odd(&e))?;
        let target = convert.static_pad("sink").ok_or_else(|| odd(&"videoconvert has no sink pad"))?;
        decode.connect_pad_added(move |_, pad| {
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            let video = caps.structure(0).is_some_and(|s| s.name().starts_with("video/x-raw"));
            if video && !target.is_linked() {
                // What cannot be linked ends as an error on the bus.
                let _ = pad.link(&target);
            }
        });
        let decoder = Self { name: path.display().to_string(), pipeline: Running(pipeline), sink };
        decoder.pipeline.start().map_err(|e| decoder.say(&e))?;
        Ok(decoder)
    }

    fn say(&self, what: &str) -> String {
        format!("{} cannot be decoded: {what} Try whether `gst-play-1.0` shows it.", self.name)
    }

    /// The next frame; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Frame>, String> {
        // In slices, since an error on the bus need not end the wait.
        for _ in 0..PATIENCE.seconds() * 5 {
            if let Some(sample) = self.sink.try_pull_sample(gst::ClockTime::from_mseconds(200)) {
                return Frame::new(&sample).map(Some).map_err(|e| self.say(&e));
            }
            if let Some(e) = self.pipeline.failure() {
                return Err(self.say(&e));
            }
            if self.sink.is_eos() {
                return Ok(None);
            }
        }
        Err(self.say("no frame came for two minutes."))
    }
}

/// One of the two sets of properties.
pub struct Setting {
    /// `--a` or `--b`, for messages.
    option: &'static str,
    /// As it was given.
    pub text: String,
    /// The element's own properties with their values, and whether they differ from the default.
    pub properties: Vec<(String, String, bool)>,
    /// What was given for display only and does not count here (background and output).
    pub left_out: bool,
}

impl Setting {
    pub fn parse(option: &'static str, text: &str) -> Result<Self, String> {
        let element = element(option, text)?;
        let base = gst_base::BaseTransform::static_type();
        let mut properties = Vec::new();
        let mut left_out = false;
        for spec in element.list_properties() {
            let own = !base.is_a(spec.owner_type()) && spec.flags().contains(glib::ParamFlags::READWRITE);
            if !own {
                continue;
            }
            let value = element.property_value(spec.name());
            let show = |v: &glib::Value| {
                // GStreamer complains about a structure that is not there.
                if matches!(v.get::<Option<gst::Structure>>(), Ok(None)) {
                    return "none".to_string();
                }
                v.serialize().map_or_else(|_| format!("{v:?}"), |s| s.trim_matches('"').to_string())
            };
            let (now, default) = (show(&value), show(spec.default_value()));
            left_out |= now != default && ["background", "output"].contains(&spec.name());
            properties.push((spec.name().to_string(), now.clone(), now != default));
        }
        Ok(Self { option, text: text.to_string(), properties, left_out })
    }

    fn model(&self) -> &str {
        self.properties.iter().find(|(n, ..)| n == "model").map_or("", |(_, v, _)| v)
    }

    /// The network's file for frames of a size and its SHA-256; `None` where there is no network.
    pub fn model_file(&self, size: Size) -> Result<Option<(String, String)>, String> {
        if self.model() == key::NAME {
            return Ok(None);
        }
        let aspect = size.width as f64 / size.height as f64;
        // Clips have no pace that has to be kept.
        let model = match self.model() {
            auto::AUTO => auto::for_files(&auto::look()).model,
            named => named,
        };
        let choice = models::resolve(model, Some(aspect)).map_err(|e| e.to_string())?;
        match choice.source {
            FileSource::Embedded(name, bytes) => Ok(Some((format!("{name} (built in)"), hash(bytes)?))),
            FileSource::File(path) => {
                let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
                Ok(Some((name.unwrap_or_default(), hash_file(&path)?)))
            }
        }
    }
}

/// A bgremove element with its properties set.
fn element(option: &str, text: &str) -> Result<gst::Element, String> {
    let wrong = |why: &str| {
        format!(
            "{option} '{text}': {why}. Give properties of the element as for gst-launch-1.0, such as \
             'model=light threads=2'; `gst-inspect-1.0 bgremove` lists them."
        )
    };
    let line = format!("bgremove {text}");
    let element = gst::parse::launch_full(&line, None, gst::ParseFlags::FATAL_ERRORS)
        .map_err(|e| wrong(e.message().trim_end_matches('.')))?;
    if element.is::<gst::Bin>() || element.factory().is_none_or(|f| f.name() != "bgremove") {
        return Err(wrong("it holds more than properties"));
    }
    Ok(element)
}

/// One element at work.
pub struct Remover {
    option: &'static str,
    pipeline: Running,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
}

impl Remover {
    pub fn start(setting: &Setting, info: &VideoInfo) -> Result<Self, String> {
        let element = element(setting.option, &setting.text)?;
        // The matte is judged, and it comes as the alpha of a transparent frame.
        element.set_property_from_str("background", "transparent");
        element.set_property_from_str("output", "video");
        let odd = |e: &dyn std::fmt::Display| format!("{}: {e}", setting.option);
        let caps = info.to_caps().map_err(|e| odd(&e))?;
        let source = gst_app::AppSrc::builder().caps(&caps).format(gst::Format::Time).build();
        let sink = sink(VideoFormat::Rgba, 0);
        let pipeline = gst::Pipeline::new();
        pipeline.add_many([source.upcast_ref(), &element, sink.upcast_ref()]).map_err(|e| odd(&e))?;
        gst::Element::link_many([source.upcast_ref(), &element, sink.upcast_ref()]).map_err(|e| odd(&e))?;
        let remover = Self { option: setting.option, pipeline: Running(pipeline), source, sink };
        remover.pipeline.start().map_err(|e| odd(&e))?;
        Ok(remover)
    }

    /// Puts a frame in and waits for it to come out; how long that took.
    pub fn remove_background(&mut self, frame: &Frame) -> Result<(Frame, Duration), String> {
        let begin = Instant::now();
        let pushed = self.source.push_buffer(frame.buffer.clone());
        if pushed.is_ok() {
            for _ in 0..PATIENCE.seconds() * 5 {
                if let Some(sample) = self.sink.try_pull_sample(gst::ClockTime::from_mseconds(200)) {
                    let time = begin.elapsed();
                    return Ok((Frame::new(&sample)?, time));
                }
                if let Some(e) = self.pipeline.failure() {
                    return Err(format!("{}: {e}", self.option));
                }
                if self.sink.is_eos() {
                    break;
                }
            }
        }
        let why = self.pipeline.failure().unwrap_or_else(|| "the element gave no frame".into());
        Err(format!("{}: {why}", self.option))
    }
}

fn checksum() -> Result<glib::Checksum, String> {
    glib::Checksum::new(glib::ChecksumType::Sha256).ok_or_else(|| "GLib has no SHA-256".to_string())
}

fn hash(bytes: &[u8]) -> Result<String, String> {
    let mut sum = checksum()?;
    sum.update(bytes);
    Ok(sum.string().unwrap_or_default())
}

/// A file's SHA-256, in hexadecimal.
pub fn hash_file(path: &Path) -> Result<String, String> {
    let wrong = |e: std::io::Error| format!("{} cannot be read: {e}", path.display());
    let mut file = File::open(path).map_err(wrong)?;
    let mut sum = checksum()?;
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece).map_err(wrong)? {
            0 => return Ok(sum.string().unwrap_or_default()),
            n => sum.update(&piece[..n]),
        }
    }
}
