//! Which files this machine can make, by making them: a few frames whose left half is transparent, and back.

use super::host;
use crate::convert::format::{Codec, Encoding, Format};
use crate::convert::launch_line::{LaunchLine, shell_word};
use crate::gstreamer::{Refused, Running, launch, missing};
use gst::prelude::*;
use gst_video::{VideoFormat, VideoInfo};
use serde_json::{Value, json};
use std::path::Path;

/// How a format is tried.
pub struct Trial {
    pub format: Format,
    pub what: &'static str,
    /// What becomes of transparency.
    pub keeps: &'static str,
    read: Reader,
    /// Elements that the encoder and the reader make themselves.
    inner: &'static [&'static str],
}

/// How a file is read back.
enum Reader {
    /// By GStreamer's elements, from the file to raw video.
    Elements(&'static str),
    /// By decoders of this tool: GStreamer 1.22 has none for all frames with their alpha.
    Gif,
    Webp,
}

/// Every format that `convert` makes, a line each.
#[rustfmt::skip]
pub const TABLE: &[Trial] = &[
    Trial { format: Format::Webm, what: "VP9 with alpha, Opus", keeps: "keeps transparency", inner: &["vp9enc"],
        read: Reader::Elements("matroskademux ! vp9parse ! vp9alphadecodebin") },
    Trial { format: Format::Mov, what: "ProRes 4444, PCM", keeps: "keeps transparency", inner: &[],
        read: Reader::Elements("qtdemux ! avdec_prores") },
    Trial { format: Format::Mp4, what: "H.264, AAC", keeps: "has no transparency: choose a background", inner: &[],
        read: Reader::Elements("qtdemux ! h264parse ! avdec_h264") },
    Trial { format: Format::Gif, what: "animated GIF", keeps: "keeps transparency of one bit: hard edges", inner: &[],
        read: Reader::Gif },
    Trial { format: Format::Webp, what: "animated WebP", keeps: "keeps transparency", inner: &[],
        read: Reader::Webp },
    Trial { format: Format::Png, what: "PNG pictures", keeps: "keeps transparency", inner: &[],
        read: Reader::Elements("pngdec") },
];

const WIDTH: usize = 64;
const HEIGHT: usize = 48;
const FRAMES: u64 = 5;
/// How long making or reading a few small frames may take.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(30);

/// The command that brings what is missing.
fn mend(refused: &Refused) -> Option<String> {
    let packages = refused.packages();
    (!packages.is_empty()).then(|| host::apt(&packages.join(" ")))
}

/// The reason, and in a second line the command that mends it.
pub fn told(refused: Refused) -> String {
    let why = refused.why.replace('\n', " ");
    match mend(&refused) {
        Some(mend) => format!("{why}\n{mend}"),
        None => why,
    }
}

/// Makes a format and reads it back.
pub fn answer(name: &str) -> Result<Value, String> {
    gst::init().map_err(|e| format!("GStreamer does not start: {e}"))?;
    gstbgremove::plugin_register_static().map_err(|e| format!("the plugin: {e}"))?;
    let trial = TABLE
        .iter()
        .find(|t| t.format.name() == name)
        .ok_or_else(|| format!("there is no format '{name}'"))?;
    let folder = tempfile::tempdir().map_err(|e| {
        let mend = std::env::var_os("TMPDIR").map_or("", |_| "\nunset TMPDIR");
        format!("no folder for a trial can be made: {e}{mend}")
    })?;
    // Pictures go into a folder.
    let path = if trial.format == Format::Png { folder.path().into() } else { folder.path().join("trial") };
    make(trial, &path).map_err(|e| told(e.within(folder.path().parent())))?;
    let file = if trial.format == Format::Png { path.join("frame-00001.png") } else { path };
    match file.metadata() {
        Ok(m) if m.len() > 0 => {}
        _ => return Err("nothing was written".into()),
    }
    match read(trial, &file) {
        Ok([hidden, shown]) if trial.format.has_alpha() && (hidden > 8 || shown < 247) => {
            Err(format!("transparency is lost: alpha 0 and 255 come back as {hidden} and {shown}"))
        }
        Ok(_) => Ok(json!({ "read": true })),
        Err(e) if mend(&e).is_some() => Ok(json!({ "read": false, "unread": e.why, "mend": mend(&e) })),
        Err(e) => Err(format!("what was made cannot be read: {}", e.why)),
    }
}

/// Elements that `convert` takes files apart and prepares their frames with.
const INPUT: [&str; 11] = [
    "filesrc",
    "decodebin",
    "parsebin",
    "queue",
    "videoconvert",
    "videoscale",
    "videorate",
    "videocrop",
    "videoflip",
    "deinterlace",
    "audioconvert",
];

/// Forbids elements to those who look for one by itself.
const RANK: &str = "GST_PLUGIN_FEATURE_RANK";

/// Whether files are recognised and their frames can be prepared.
pub fn input() -> Result<Value, String> {
    gst::init().map_err(|e| format!("GStreamer does not start: {e}"))?;
    let gone = missing(&INPUT);
    if !gone.is_empty() {
        return Err(told(Refused::missing(gone)));
    }
    // The decoders that most files need, and whether decodebin would take them or others like them.
    for (name, caps, decoder) in
        [("H.264", "video/x-h264", "avdec_h264"), ("AAC", "audio/mpeg,mpegversion=4", "avdec_aac")]
    {
        let caps: gst::Caps = caps.parse().map_err(|e: glib::BoolError| e.to_string())?;
        let all =
            gst::ElementFactory::factories_with_type(gst::ElementFactoryType::DECODER, gst::Rank::MARGINAL);
        if all.iter().any(|f| f.can_sink_any_caps(&caps)) {
            continue;
        }
        if !missing(&[decoder]).is_empty() {
            return Err(told(Refused::missing(vec![decoder.into()])));
        }
        return Err(format!("no decoder for {name} may be used: {RANK} forbids it\nunset {RANK}"));
    }
    // The start of an MP4 file (ISO/IEC 14496-12, box `ftyp`).
    let start = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom";
    match gst_base::type_find_helper_for_data(None::<&gst::Object>, start) {
        Ok((caps, _)) if caps.structure(0).is_some_and(|s| s.name() == "video/quicktime") => Ok(json!({})),
        _ => Err(told(Refused::missing(vec!["typefindfunctions".into()]))),
    }
}

fn begin(words: &[&str], inner: &[&str]) -> Result<Running, Refused> {
    let gone = missing(inner);
    if !gone.is_empty() {
        return Err(Refused::missing(gone));
    }
    let made = launch(words, gst::ParseFlags::empty())?;
    made.downcast::<gst::Pipeline>().map(Running).map_err(|_| Refused::from("no pipeline".to_string()))
}

/// Waits for the end.
fn finish(pipeline: &Running) -> Result<(), Refused> {
    let bus = pipeline.0.bus().ok_or_else(|| "the pipeline has no bus".to_string())?;
    let message = bus.timed_pop_filtered(PATIENCE, &[gst::MessageType::Eos, gst::MessageType::Error]);
    match message.as_ref().map(|m| m.view()) {
        Some(gst::MessageView::Eos(_)) => Ok(()),
        Some(gst::MessageView::Error(e)) => Err(e.error().message().to_string().into()),
        _ => Err(format!("it did not end within {} s", PATIENCE.seconds()).into()),
    }
}

fn start(pipeline: &Running) -> Result<(), Refused> {
    match pipeline.0.set_state(gst::State::Playing) {
        Ok(_) => Ok(()),
        Err(e) => finish(pipeline).and(Err(e.to_string().into())),
    }
}

/// A source in the pipeline with its caps.
fn source(pipeline: &Running, name: &str, caps: &gst::Caps) -> Result<gst_app::AppSrc, Refused> {
    let source = pipeline.0.by_name(name).and_downcast::<gst_app::AppSrc>();
    let source = source.ok_or_else(|| Refused::from("no source".to_string()))?;
    source.set_format(gst::Format::Time);
    source.set_caps(Some(caps));
    Ok(source)
}

fn encoding(trial: &Trial) -> Encoding {
    Encoding {
        format: trial.format,
        codec: Codec::Vp9,
        quality: 75,
        alpha: trial.format.has_alpha(),
        pixel_rate: (WIDTH * HEIGHT) as f64 * 30.0,
        channels: 1,
        uneven: false,
        narrow: None,
        number: None,
    }
}

/// What makes the same with GStreamer's own tool, reads it back, and tells what happens.
pub fn line(trial: &Trial) -> String {
    let mut line = LaunchLine::new(false);
    let video = |line: &mut LaunchLine| {
        line.start("videotestsrc").set("num-buffers", &FRAMES.to_string());
        line.then(&format!("video/x-raw,format=RGBA,width={WIDTH},height={HEIGHT}")).then("videoconvert");
        Ok(())
    };
    let sound = |line: &mut LaunchLine| {
        line.start("audiotestsrc").set("num-buffers", &FRAMES.to_string());
    };
    let path = std::env::temp_dir().join(match trial.format {
        Format::Png => String::new(),
        format => format!("bgremove-doctor.{}", format.name()),
    });
    // Its only error is a name that is no text.
    let _ = encoding(trial).pipeline(&mut line, &path, video, trial.format.has_sound().then_some(sound));
    let made = format!("GST_DEBUG=3 {}", line.shell());
    match trial.read {
        Reader::Elements(elements) if trial.format != Format::Png => {
            let file = shell_word(&path.display().to_string());
            format!(
                "{made} && GST_DEBUG=3 gst-launch-1.0 filesrc location={file} ! {elements} ! videoconvert ! fakesink"
            )
        }
        _ => made,
    }
}

fn make(trial: &Trial, path: &Path) -> Result<(), Refused> {
    let encoding = encoding(trial);
    let mut line = LaunchLine::new(true);
    let video = |line: &mut LaunchLine| {
        line.start("appsrc").name("in").then("videoconvert");
        Ok(())
    };
    let sound = |line: &mut LaunchLine| {
        line.start("appsrc").name("sound");
    };
    encoding.pipeline(&mut line, path, video, trial.format.has_sound().then_some(sound))?;
    let pipeline = begin(&line.list(), trial.inner)?;
    let info = VideoInfo::builder(VideoFormat::Rgba, WIDTH as u32, HEIGHT as u32)
        .fps(gst::Fraction::new(30, 1))
        .build()
        .and_then(|info| info.to_caps());
    let frames = source(&pipeline, "in", &info.map_err(|e| e.to_string())?)?;
    let sound = if trial.format.has_sound() {
        let caps = gst_audio::AudioInfo::builder(gst_audio::AudioFormat::S16le, 48_000, 1).build();
        let caps = caps.and_then(|info| info.to_caps()).map_err(|e| e.to_string())?;
        Some(source(&pipeline, "sound", &caps)?)
    } else {
        None
    };
    start(&pipeline)?;
    for n in 0..FRAMES {
        let pixel = |i: usize| if i % WIDTH < WIDTH / 2 { [0, 0, 0, 0] } else { [200, 60, 60, 255] };
        // A thirtieth of a second, and silence for as long.
        let picture = (0..WIDTH * HEIGHT).flat_map(pixel).collect::<Vec<u8>>();
        for (source, bytes) in [(Some(&frames), picture), (sound.as_ref(), vec![0; 1600 * 2])] {
            let mut buffer = gst::Buffer::from_mut_slice(bytes);
            if let Some(b) = buffer.get_mut() {
                b.set_pts(gst::ClockTime::SECOND * n / 30);
                b.set_duration(gst::ClockTime::SECOND / 30);
            }
            // One that is refused has its reason on the bus.
            let _ = source.map(|s| s.push_buffer(buffer));
        }
    }
    for source in [Some(&frames), sound.as_ref()].into_iter().flatten() {
        let _ = source.end_of_stream();
    }
    finish(&pipeline)
}

/// The alpha in the middle of either half of the first frame.
fn read(trial: &Trial, file: &Path) -> Result<[u8; 2], Refused> {
    let data = match trial.read {
        Reader::Elements(elements) => read_with(elements, trial.inner, file)?,
        Reader::Gif => gif(file)?,
        Reader::Webp => {
            let read = std::fs::read(file).map_err(|e| e.to_string())?;
            let picture = image::load_from_memory_with_format(&read, image::ImageFormat::WebP);
            picture.map_err(|e| e.to_string())?.into_rgba8().into_raw()
        }
    };
    let alpha = |x: usize| data.get((HEIGHT / 2 * WIDTH + x) * 4 + 3).copied().unwrap_or_default();
    Ok([alpha(WIDTH / 4), alpha(3 * WIDTH / 4)])
}

/// The first frame as RGBA, by GStreamer.
fn read_with(elements: &str, inner: &[&str], file: &Path) -> Result<Vec<u8>, Refused> {
    // A name of ours: nothing in it means anything to gst-launch's grammar.
    let location = format!("location=\"{}\"", file.display());
    let mut words = vec!["filesrc", &location, "!"];
    words.extend(elements.split(' '));
    words.extend("! videoconvert ! video/x-raw,format=RGBA ! appsink name=out sync=false".split(' '));
    let pipeline = begin(&words, inner)?;
    let sink = pipeline.0.by_name("out").and_downcast::<gst_app::AppSink>();
    let sink = sink.ok_or_else(|| "no sink".to_string())?;
    start(&pipeline)?;
    let Some(sample) = sink.try_pull_sample(PATIENCE) else {
        return Err(finish(&pipeline).err().unwrap_or_else(|| "no frame came".to_string().into()));
    };
    let map =
        sample.buffer().and_then(|b| b.map_readable().ok()).ok_or_else(|| "no frame came".to_string())?;
    Ok(map.to_vec())
}

/// The first frame of a GIF as RGBA; what lies outside the frame's own part is transparent.
fn gif(file: &Path) -> Result<Vec<u8>, Refused> {
    let odd = |e: &dyn std::fmt::Display| Refused::from(e.to_string());
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder =
        options.read_info(std::fs::File::open(file).map_err(|e| odd(&e))?).map_err(|e| odd(&e))?;
    let frame = decoder.read_next_frame().map_err(|e| odd(&e))?.ok_or_else(|| odd(&"no frame came"))?;
    let mut data = vec![0; WIDTH * HEIGHT * 4];
    let (left, top, width) =
        (usize::from(frame.left), usize::from(frame.top), usize::from(frame.width).max(1));
    for (y, row) in frame.buffer.chunks_exact(width * 4).enumerate() {
        let at = ((top + y) * WIDTH + left) * 4;
        if let Some(to) = data.get_mut(at..at + row.len()) {
            to.copy_from_slice(row);
        }
    }
    Ok(data)
}
