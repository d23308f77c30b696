//! Pictures and sound whose every frame can be told, and ways to write and read them.

pub use crate::common::init;
pub use crate::common::signal::psnr;
pub use crate::skip::tool;
use std::path::{Path, PathBuf};

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gst_video::prelude::*;

pub const WIDTH: usize = 320;
pub const HEIGHT: usize = 240;
pub const FPS: u64 = 30;
/// Side of a square that says one bit of the frame number.
const BIT: usize = 16;
const BITS: usize = 10;

/// A path in a folder for test files.
pub fn path(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("webm");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

/// Time of a frame in nanoseconds, rounded down as GStreamer's sources do.
pub fn time_of(frame: u64) -> u64 {
    frame * 1_000_000_000 / FPS
}

/// One plane, row by row: the frame number in squares at the top left, `rest` elsewhere.
fn plane(number: u64, rest: impl Fn(f32, f32) -> f32) -> Vec<u8> {
    let mut out = Vec::with_capacity(WIDTH * HEIGHT);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            out.push(if y < BIT && x < BIT * BITS {
                if number >> (x / BIT) & 1 == 1 { 235 } else { 16 }
            } else {
                rest(x as f32, y as f32) as u8
            });
        }
    }
    out
}

/// The alpha of a frame: a disc with a soft edge that moves to the right.
pub fn alpha_of(number: u64) -> Vec<u8> {
    let centre = 80.0 + (number % 100) as f32 * 1.6;
    plane(number, |x, y| {
        let distance = ((x - centre).powi(2) + (y - 130.0).powi(2)).sqrt();
        ((70.0 - distance) / 12.0 + 0.5).clamp(0.0, 1.0) * 255.0
    })
}

/// The luma of a frame.
pub fn luma_of(number: u64) -> Vec<u8> {
    plane(number, |x, y| 110.0 + 60.0 * ((x + number as f32) * 0.05).sin() * (y * 0.04).cos())
}

/// A whole A420 frame: orange, so that a browser shows it apart from grey stripes.
pub fn a420(number: u64) -> Vec<u8> {
    let mut out = luma_of(number);
    out.extend(vec![64u8; WIDTH * HEIGHT / 4]);
    out.extend(vec![180u8; WIDTH * HEIGHT / 4]);
    out.extend(alpha_of(number));
    out
}

/// The frame number that a plane says.
pub fn number_in(plane: &[u8], stride: usize) -> u64 {
    (0..BITS)
        .filter(|bit| plane[BIT / 2 * stride + bit * BIT + BIT / 2] > 125)
        .fold(0, |number, bit| number | 1 << bit)
}

pub fn a420_caps() -> gst::Caps {
    gst_video::VideoCapsBuilder::new()
        .format(gst_video::VideoFormat::A420)
        .width(WIDTH as i32)
        .height(HEIGHT as i32)
        .framerate(gst::Fraction::new(FPS as i32, 1))
        .pixel_aspect_ratio(gst::Fraction::new(1, 1))
        .field("colorimetry", "bt709")
        .build()
}

/// The pipeline's `appsrc`, for A420 frames by hand.
pub fn source_of(pipeline: &gst::Pipeline) -> gst_app::AppSrc {
    let source = pipeline.by_name("v").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    source.set_format(gst::Format::Time);
    source.set_caps(Some(&a420_caps()));
    source
}

/// Frame number `n`.
pub fn timed(frame: Vec<u8>, n: u64) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(frame);
    buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_nseconds(time_of(n)));
    buffer
}

/// The frames of a file as ffmpeg gives them, in yuva420p; `None`, said loudly, where there is no ffmpeg.
pub fn by_ffmpeg(what: &str, codec: &str, path: &Path) -> Option<Vec<Vec<u8>>> {
    let decoder = if codec == "vp9" { "libvpx-vp9" } else { "libvpx" };
    let arguments = [
        "-v",
        "warning",
        "-c:v",
        decoder,
        "-i",
        path.to_str().unwrap(),
        "-map",
        "0:v",
        "-f",
        "rawvideo",
        "-",
    ];
    let output = tool(what, "ffmpeg", "ffmpeg", &arguments)?;
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let size = WIDTH * HEIGHT * 5 / 2;
    assert_eq!(output.stdout.len() % size, 0, "ffmpeg did not read yuva420p");
    Some(output.stdout.chunks(size).map(<[u8]>::to_vec).collect())
}

/// An `appsrc` that gives `frames` A420 frames and ends.
pub fn feed_video(source: &gst::Element, frames: std::ops::Range<u64>) {
    let source = source.clone().downcast::<gst_app::AppSrc>().unwrap();
    source.set_caps(Some(&a420_caps()));
    source.set_format(gst::Format::Time);
    let frames = Mutex::new(frames);
    source.set_callbacks(
        gst_app::AppSrcCallbacks::builder()
            .need_data(move |source, _| {
                let Some(number) = frames.lock().unwrap().next() else {
                    let _ = source.end_of_stream();
                    return;
                };
                let mut buffer = gst::Buffer::from_mut_slice(a420(number));
                let buffer_ref = buffer.get_mut().unwrap();
                let time = time_of(number);
                buffer_ref.set_pts(gst::ClockTime::from_nseconds(time));
                let duration = time_of(number + 1) - time;
                buffer_ref.set_duration(gst::ClockTime::from_nseconds(duration));
                let _ = source.push_buffer(buffer);
            })
            .build(),
    );
}

/// Sound at 48 kHz, one channel: silence, and 10 ms of 1 kHz at each whole second.
pub fn sound(seconds: u64) -> Vec<i16> {
    let wave = |n: u64| {
        let value = (n as f32 * std::f32::consts::TAU / 48.0).sin() * 20_000.0;
        if n % 48_000 < 480 { value as i16 } else { 0 }
    };
    (0..seconds * 48_000).map(wave).collect()
}

/// An `appsrc` that gives `sound()` and ends.
pub fn feed_sound(source: &gst::Element, seconds: u64) {
    let source = source.clone().downcast::<gst_app::AppSrc>().unwrap();
    let caps = gst::Caps::builder("audio/x-raw")
        .field("format", "S16LE")
        .field("layout", "interleaved")
        .field("rate", 48_000)
        .field("channels", 1)
        .build();
    source.set_caps(Some(&caps));
    source.set_format(gst::Format::Time);
    let sound = sound(seconds);
    let at = Mutex::new(0usize);
    source.set_callbacks(
        gst_app::AppSrcCallbacks::builder()
            .need_data(move |source, _| {
                let mut at = at.lock().unwrap();
                if *at >= sound.len() {
                    let _ = source.end_of_stream();
                    return;
                }
                let end = (*at + 4800).min(sound.len());
                let bytes: Vec<u8> = sound[*at..end].iter().flat_map(|s| s.to_le_bytes()).collect();
                let mut buffer = gst::Buffer::from_mut_slice(bytes);
                let time =
                    |sample: usize| gst::ClockTime::from_nseconds(sample as u64 * 1_000_000_000 / 48_000);
                buffer.get_mut().unwrap().set_pts(time(*at));
                buffer.get_mut().unwrap().set_duration(time(end) - time(*at));
                *at = end;
                let _ = source.push_buffer(buffer);
            })
            .build(),
    );
}

/// Runs a pipeline to its end; the error's text if it fails.
pub fn run(pipeline: &gst::Pipeline) -> Result<(), String> {
    let bus = pipeline.bus().unwrap();
    let result = match pipeline.set_state(gst::State::Playing) {
        Err(_) => Err("the state cannot change".into()),
        Ok(_) => Ok(()),
    };
    let message = bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(if result.is_ok() { 120 } else { 1 }),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    pipeline.set_state(gst::State::Null).unwrap();
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) => result,
        Some(gst::MessageView::Error(error)) => Err(error.error().to_string()),
        _ => Err("no end within two minutes".into()),
    }
}

pub fn launch(text: &str) -> gst::Pipeline {
    init();
    let pipeline = gst::parse::launch(text).unwrap().downcast::<gst::Pipeline>().unwrap();
    // What is to be seen is what the file holds, not what GStreamer 1.26 loses of it.
    gstbgremove::decode::keep_last_frame(pipeline.upcast_ref());
    pipeline
}

/// Writes `frames` frames with alpha, and sound with them if asked.
pub fn write(encoder: &str, frames: u64, with_sound: bool, path: &Path) {
    let sound = if with_sound { "appsrc name=s ! opusenc ! m." } else { "" };
    let pipeline = launch(&format!(
        "appsrc name=v ! {encoder} ! webmalphamux name=m ! filesink location={} {sound}",
        path.display()
    ));
    feed_video(&pipeline.by_name("v").unwrap(), 0..frames);
    if with_sound {
        feed_sound(&pipeline.by_name("s").unwrap(), frames.div_ceil(FPS));
    }
    run(&pipeline).unwrap();
}

/// A decoded frame.
pub struct Picture {
    /// Nanoseconds.
    pub time: u64,
    pub luma: Vec<u8>,
    pub alpha: Vec<u8>,
}

pub fn picture(sample: &gst::Sample) -> Picture {
    let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
    assert_eq!(info.format(), gst_video::VideoFormat::A420, "{:?}", sample.caps());
    let buffer = sample.buffer_owned().unwrap();
    let time = buffer.pts().unwrap().nseconds();
    let frame = gst_video::VideoFrame::from_buffer_readable(buffer, &info).unwrap();
    let plane = |plane: u32| {
        let stride = frame.plane_stride()[plane as usize] as usize;
        let data = frame.plane_data(plane).unwrap();
        let rows = data.chunks(stride).take(info.height() as usize);
        rows.flat_map(|row| &row[..info.width() as usize]).copied().collect()
    };
    Picture { time, luma: plane(0), alpha: plane(3) }
}

/// All frames of a file through `decodebin`, which must give A420.
pub fn decode(path: &Path) -> Vec<Picture> {
    let pipeline = launch(&format!(
        "filesrc location={} ! decodebin caps=video/x-raw ! appsink name=sink sync=false",
        path.display()
    ));
    let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
    let pictures = Arc::new(Mutex::new(Vec::new()));
    let into = pictures.clone();
    sink.set_callbacks(
        gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                into.lock().unwrap().push(picture(&sample));
                Ok(gst::FlowSuccess::Ok)
            })
            .build(),
    );
    run(&pipeline).unwrap();
    std::mem::take(&mut *pictures.lock().unwrap())
}
