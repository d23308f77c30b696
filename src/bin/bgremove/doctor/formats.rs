//! Which files this machine can make, by making them: a few frames whose left half is transparent, and back.

use super::host;
use super::probe::Running;
use gst::prelude::*;
use gst_video::{VideoFormat, VideoInfo};
use serde_json::{Value, json};
use std::path::Path;

/// A kind of file.
pub struct Format {
    pub name: &'static str,
    pub what: &'static str,
    /// Whether it keeps transparency.
    pub alpha: bool,
    /// From raw video to coded.
    video: &'static str,
    /// From raw sound to coded; nothing where the format has none.
    sound: &'static str,
    /// Puts both into a file; nothing where the encoder does.
    mux: &'static str,
    /// From the file to raw video; nothing where GStreamer has no reader that ends.
    read: &'static str,
    /// Elements that the ones above make themselves.
    inner: &'static [&'static str],
}

/// Every format, a line each.
#[rustfmt::skip]
pub const TABLE: &[Format] = &[
    Format { name: "webm", what: "VP9 with alpha, Opus", alpha: true,
        video: "video/x-raw,format=A420 ! vp9alphaenc deadline=realtime cpu-used=8", sound: "opusenc",
        mux: "webmalphamux", read: "matroskademux ! vp9parse ! vp9alphadecodebin", inner: &["vp9enc", "vp9dec"] },
    Format { name: "mov", what: "ProRes 4444, PCM", alpha: true,
        video: "video/x-raw,format=A444_10LE ! avenc_prores_ks pass=quant quantizer=6 alpha-bits=8",
        sound: "audio/x-raw,format=S16LE", mux: "qtmux", read: "qtdemux ! avdec_prores", inner: &[] },
    Format { name: "mp4", what: "H.264, AAC", alpha: false,
        video: "video/x-raw,format=I420 ! x264enc ! h264parse", sound: "avenc_aac", mux: "mp4mux",
        read: "qtdemux ! h264parse ! avdec_h264", inner: &[] },
    Format { name: "gif", what: "GIF, one bit of alpha", alpha: true,
        video: "gifalphaenc", sound: "", mux: "", read: "avdemux_gif ! avdec_gif", inner: &[] },
    Format { name: "webp", what: "animated WebP", alpha: true,
        video: "webpalphaenc", sound: "", mux: "", read: "", inner: &[] },
    Format { name: "png", what: "PNG pictures", alpha: true,
        video: "pngenc", sound: "", mux: "", read: "pngdec", inner: &[] },
];

/// The Debian package that an element is in.
fn package(element: &str) -> &'static str {
    match element {
        "vp8alphaenc" | "vp9alphaenc" | "webmalphamux" | "gifalphaenc" | "webpalphaenc" | "bgremove" => {
            "gstreamer1.0-bgremove"
        }
        "vp8enc" | "vp9enc" | "vp8dec" | "vp9dec" | "qtmux" | "mp4mux" | "qtdemux" | "matroskademux"
        | "pngenc" | "pngdec" | "multifilesink" => "gstreamer1.0-plugins-good",
        "vp8alphadecodebin" | "vp9alphadecodebin" | "h264parse" | "vp9parse" => "gstreamer1.0-plugins-bad",
        "x264enc" => "gstreamer1.0-plugins-ugly",
        e if ["avenc_", "avdec_", "avdemux_"].iter().any(|p| e.starts_with(p)) => "gstreamer1.0-libav",
        "filesrc" | "filesink" | "queue" | "capsfilter" => "libgstreamer1.0-0",
        _ => "gstreamer1.0-plugins-base",
    }
}

const WIDTH: usize = 64;
const HEIGHT: usize = 48;
const FRAMES: u64 = 5;
/// How long making or reading a few small frames may take.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(30);

/// Why not, and the elements that are missing.
struct Refused {
    why: String,
    missing: Vec<String>,
}

impl From<String> for Refused {
    fn from(why: String) -> Self {
        Self { why, missing: Vec::new() }
    }
}

impl Refused {
    fn missing(names: Vec<String>) -> Self {
        Self { why: format!("GStreamer's {} is missing", names.join(" and ")), missing: names }
    }

    /// The command that brings what is missing.
    fn mend(&self) -> Option<String> {
        let mut packages: Vec<&str> = self.missing.iter().map(|e| package(e)).collect();
        packages.sort_unstable();
        packages.dedup();
        (!packages.is_empty()).then(|| host::apt(&packages.join(" ")))
    }
}

/// Makes a format and reads it back.
pub fn answer(name: &str) -> Result<Value, String> {
    gst::init().map_err(|e| format!("GStreamer does not start: {e}"))?;
    gstbgremove::plugin_register_static().map_err(|e| format!("the plugin: {e}"))?;
    let format =
        TABLE.iter().find(|f| f.name == name).ok_or_else(|| format!("there is no format '{name}'"))?;
    let folder = tempfile::tempdir().map_err(|e| format!("no folder for a trial can be made: {e}"))?;
    let file = folder.path().join(format!("trial.{name}"));
    make(format, &file).map_err(|e| match e.mend() {
        Some(mend) => format!("{}\n{mend}", e.why),
        None => e.why,
    })?;
    if format.read.is_empty() {
        return Ok(json!({ "read": false }));
    }
    match read(format, &file) {
        Ok([hidden, shown]) if format.alpha && (hidden > 8 || shown < 247) => {
            Err(format!("transparency is lost: alpha 0 and 255 come back as {hidden} and {shown}"))
        }
        Ok(_) => Ok(json!({ "read": true })),
        Err(e) if !e.missing.is_empty() => Ok(json!({ "read": false, "unread": e.why, "mend": e.mend() })),
        Err(e) => Err(format!("what was made cannot be read: {}", e.why)),
    }
}

fn launch(line: &str, inner: &[&str]) -> Result<Running, Refused> {
    let missing: Vec<String> =
        inner.iter().filter(|e| gst::ElementFactory::find(e).is_none()).map(|e| e.to_string()).collect();
    if !missing.is_empty() {
        return Err(Refused::missing(missing));
    }
    let mut context = gst::ParseContext::new();
    match gst::parse::launch_full(line, Some(&mut context), gst::ParseFlags::FATAL_ERRORS) {
        Ok(made) => made
            .downcast::<gst::Pipeline>()
            .map(Running)
            .map_err(|_| Refused::from("no pipeline".to_string())),
        Err(e) => {
            let mut missing: Vec<String> = context.missing_elements().iter().map(|s| s.to_string()).collect();
            missing.dedup();
            Err(if missing.is_empty() { e.message().to_string().into() } else { Refused::missing(missing) })
        }
    }
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

fn make(format: &Format, file: &Path) -> Result<(), Refused> {
    // A name of ours: nothing in it means anything to gst-launch's grammar.
    let location = file.display();
    let sink = format!("filesink location=\"{location}\"");
    let line = match format.mux {
        "" => format!("appsrc name=in ! videoconvert ! {} ! {sink}", format.video),
        mux => format!(
            "{mux} name=mux ! {sink} appsrc name=in ! videoconvert ! {} ! queue ! mux. \
             audiotestsrc num-buffers=9 ! audioconvert ! audioresample ! {} ! queue ! mux.",
            format.video, format.sound
        ),
    };
    let pipeline = launch(&line, format.inner)?;
    let odd = |e: &dyn std::fmt::Display| Refused::from(e.to_string());
    let source =
        pipeline.0.by_name("in").and_downcast::<gst_app::AppSrc>().ok_or_else(|| odd(&"no source"))?;
    let info = VideoInfo::builder(VideoFormat::Rgba, WIDTH as u32, HEIGHT as u32)
        .fps(gst::Fraction::new(30, 1))
        .build()
        .map_err(|e| odd(&e))?;
    source.set_format(gst::Format::Time);
    source.set_caps(Some(&info.to_caps().map_err(|e| odd(&e))?));
    start(&pipeline)?;
    // One picture is one file.
    for n in 0..if format.mux.is_empty() { 1 } else { FRAMES } {
        let pixel = |i: usize| if i % WIDTH < WIDTH / 2 { [0, 0, 0, 0] } else { [200, 60, 60, 255] };
        let mut buffer =
            gst::Buffer::from_mut_slice((0..WIDTH * HEIGHT).flat_map(pixel).collect::<Vec<u8>>());
        if let Some(b) = buffer.get_mut() {
            b.set_pts(gst::ClockTime::SECOND * n / 30);
            b.set_duration(gst::ClockTime::SECOND / 30);
        }
        if source.push_buffer(buffer).is_err() {
            break;
        }
    }
    let _ = source.end_of_stream();
    finish(&pipeline)?;
    match file.metadata() {
        Ok(m) if m.len() > 0 => Ok(()),
        _ => Err("nothing was written".to_string().into()),
    }
}

/// The alpha in the middle of either half of the first frame.
fn read(format: &Format, file: &Path) -> Result<[u8; 2], Refused> {
    let line = format!(
        "filesrc location=\"{}\" ! {} ! videoconvert ! video/x-raw,format=RGBA ! appsink name=out sync=false",
        file.display(),
        format.read
    );
    let pipeline = launch(&line, format.inner)?;
    let sink = pipeline.0.by_name("out").and_downcast::<gst_app::AppSink>();
    let sink = sink.ok_or_else(|| "no sink".to_string())?;
    start(&pipeline)?;
    let Some(sample) = sink.try_pull_sample(PATIENCE) else {
        return Err(finish(&pipeline).err().unwrap_or_else(|| "no frame came".to_string().into()));
    };
    let map =
        sample.buffer().and_then(|b| b.map_readable().ok()).ok_or_else(|| "no frame came".to_string())?;
    let alpha = |x: usize| map.get((HEIGHT / 2 * WIDTH + x) * 4 + 3).copied().unwrap_or_default();
    Ok([alpha(WIDTH / 4), alpha(3 * WIDTH / 4)])
}
