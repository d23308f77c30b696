//! What the tests share: pipelines around the element, pictures to push through them, and plain
//! reference arithmetic on what comes out.
#![allow(dead_code)]

pub mod onnx;
pub mod record;
pub mod signal;
pub mod skip;

use gst::prelude::*;
use gst_video::prelude::*;
use gst_video::{VideoFormat, VideoFrame, VideoInfo};
use gstbgremove::frame::{Component, Format};
use image::imageops::FilterType;
use image::{DynamicImage, RgbaImage};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex, Once};
use std::time::{Duration, Instant};

pub const SINK_FORMATS: [VideoFormat; 16] = [
    VideoFormat::I420,
    VideoFormat::Yv12,
    VideoFormat::Nv12,
    VideoFormat::Yuy2,
    VideoFormat::Rgb,
    VideoFormat::Bgr,
    VideoFormat::Rgbx,
    VideoFormat::Bgrx,
    VideoFormat::Xrgb,
    VideoFormat::Xbgr,
    VideoFormat::Rgba,
    VideoFormat::Bgra,
    VideoFormat::Argb,
    VideoFormat::Abgr,
    VideoFormat::A420,
    VideoFormat::Ayuv,
];

pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstbgremove::plugin_register_static().unwrap();
    });
}

/// A file that `make clips` puts there.
pub fn clip(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("build/clips").join(name);
    assert!(path.exists(), "{} is missing: run `make clips`", path.display());
    path
}

/// Waits until something is so; a test that hangs says why.
#[track_caller]
pub fn until(what: &str, is: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is() {
        assert!(begin.elapsed() < Duration::from_secs(60), "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The threads of this process that are named so.
pub fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|t| std::fs::read_to_string(t.ok()?.path().join("comm")).ok())
        .filter(|comm| comm.starts_with(name))
        .count()
}

/// The number of this thread, for [`until_it_waits`].
pub fn this_thread() -> i32 {
    // SAFETY: it may be called at any time.
    unsafe { libc::gettid() }
}

/// Waits until the element has got a frame, and the thread that pushes it sleeps in there.
pub fn until_it_waits(element: &gst::Element, thread: i32) {
    let came = || element.property::<gst::Structure>("stats").get::<u64>("frames-in").unwrap() > 0;
    let sleeps = || {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('S'))
    };
    until("a frame is on its way", came);
    // Once may be a lock that is held for a moment.
    let mut times = 0;
    while times < 5 {
        times = if sleeps() { times + 1 } else { 0 };
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A flush as a seek makes it, and the segment after it.
pub fn flush(harness: &mut gst_check::Harness) {
    assert!(harness.push_event(gst::event::FlushStart::new()));
    assert!(harness.push_event(gst::event::FlushStop::new(true)));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(harness.push_event(gst::event::Segment::new(&segment)));
}

/// Runs a line of a page as its reader would, in a folder, with the plugin and the tool that were built for the tests; it has to
/// end well within two minutes. There is no screen and no camera.
pub fn shell(folder: &Path, line: &str) {
    let deps = std::env::current_exe().unwrap().parent().unwrap().to_path_buf();
    let path = format!("{}:{}", deps.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let line = line
        .replace("gst-launch-1.0 ", "gst-launch-1.0 -q ")
        .replace("v4l2src", "videotestsrc is-live=true num-buffers=30")
        .replace("autovideosink", "fakevideosink");
    let out = Command::new("timeout")
        .args(["120", "sh", "-c", &line])
        .current_dir(folder)
        .env("PATH", path)
        .env("GST_PLUGIN_PATH", deps)
        .output()
        .unwrap();
    assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
}

pub fn info(format: VideoFormat, width: u32, height: u32) -> VideoInfo {
    init();
    VideoInfo::builder(format, width, height).fps(gst::Fraction::new(30, 1)).build().unwrap()
}

/// The portrait in a format and size, as frame number `n` of a 30 frames a second stream.
pub fn portrait(info: &VideoInfo, n: u64) -> gst::Buffer {
    portrait_at(info, n, 0)
}

/// The same, so many pixels further to the left; what comes in on the right is what was on the left.
pub fn portrait_at(info: &VideoInfo, n: u64, shift: u32) -> gst::Buffer {
    let mut rgb = RgbaImage::clone(&portrait_of(info.width(), info.height()));
    for row in rgb.chunks_exact_mut(4 * info.width() as usize) {
        row.rotate_left(4 * shift as usize);
    }
    let from =
        VideoInfo::builder(VideoFormat::Rgba, info.width(), info.height()).fps(info.fps()).build().unwrap();
    let mut buffer = gst::Buffer::from_mut_slice(rgb.into_raw());
    stamp(buffer.get_mut().unwrap(), n);
    if info.format() == VideoFormat::Rgba {
        return buffer;
    }
    let source = VideoFrame::from_buffer_readable(buffer, &from).unwrap();
    let mut out = gst::Buffer::with_size(info.size()).unwrap();
    stamp(out.get_mut().unwrap(), n);
    let mut target = VideoFrame::from_buffer_writable(out, info).unwrap();
    gst_video::VideoConverter::new(&from, info, None).unwrap().frame(&source, &mut target);
    target.into_buffer()
}

/// The portrait in a size: read and scaled once, since streams show it again and again.
fn portrait_of(width: u32, height: u32) -> Arc<RgbaImage> {
    type Scaled = HashMap<(u32, u32), Arc<RgbaImage>>;
    static WHOLE: LazyLock<DynamicImage> = LazyLock::new(|| image::open(clip("astronaut.png")).unwrap());
    static SCALED: LazyLock<Mutex<Scaled>> = LazyLock::new(Mutex::default);
    let mut scaled = SCALED.lock().unwrap_or_else(|e| e.into_inner());
    let make = || WHOLE.resize_exact(width, height, FilterType::Triangle).into_rgba8().into();
    Arc::clone(scaled.entry((width, height)).or_insert_with(make))
}

fn stamp(buffer: &mut gst::BufferRef, n: u64) {
    buffer.set_pts(gst::ClockTime::SECOND * n / 30);
    buffer.set_duration(gst::ClockTime::SECOND / 30);
    buffer.set_offset(n);
}

/// A pipeline that stops when it goes, also when a test fails.
pub struct Running(pub gst::Pipeline);

impl std::ops::Deref for Running {
    type Target = gst::Pipeline;
    fn deref(&self) -> &gst::Pipeline {
        &self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

/// Pushes frames through `bgremove PROPS ! WANT` and gives what comes out, or the error on the bus.
pub fn process(
    props: &str,
    want: &str,
    info: &VideoInfo,
    frames: Vec<gst::Buffer>,
) -> Result<(VideoInfo, Vec<gst::Buffer>), String> {
    init();
    let line = format!(
        "appsrc name=in format=time ! bgremove name=bg {props} ! {want} ! appsink name=out sync=false"
    );
    let pipeline = Running(gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap());
    let src = pipeline.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    src.set_caps(Some(&info.to_caps().unwrap()));
    let bus = pipeline.bus().unwrap();
    let failure = |or: &str| {
        let message = bus.timed_pop_filtered(gst::ClockTime::SECOND, &[gst::MessageType::Error]);
        match message.as_ref().map(|m| m.view()) {
            Some(gst::MessageView::Error(e)) => e.error().to_string(),
            _ => or.to_string(),
        }
    };
    {
        pipeline.set_state(gst::State::Playing).map_err(|_| failure("the state change failed"))?;
        for frame in frames {
            if src.push_buffer(frame).is_err() {
                break;
            }
        }
        let _ = src.end_of_stream();
        let mut out = Vec::new();
        let mut format = None;
        while let Ok(sample) = sink.pull_sample() {
            format = sample.caps().map(|c| VideoInfo::from_caps(c).unwrap());
            out.push(sample.buffer_owned().unwrap());
        }
        match bus.pop_filtered(&[gst::MessageType::Error]) {
            Some(m) => match m.view() {
                gst::MessageView::Error(e) => Err(e.error().to_string()),
                _ => Err("?".into()),
            },
            None => Ok((format.unwrap_or_else(|| info.clone()), out)),
        }
    }
}

/// A mapped frame with its layout, to read samples of.
pub struct Samples {
    frame: VideoFrame<gst_video::video_frame::Readable>,
    pub components: Vec<Component>,
    pub alpha: Option<Component>,
    pub width: usize,
    pub height: usize,
}

impl Samples {
    pub fn new(buffer: &gst::Buffer, info: &VideoInfo) -> Self {
        let layout = layout(info.format());
        Samples {
            frame: VideoFrame::from_buffer_readable(buffer.clone(), info).unwrap(),
            components: layout.color[..layout.colors].to_vec(),
            alpha: layout.alpha,
            width: info.width() as usize,
            height: info.height() as usize,
        }
    }

    pub fn at(&self, c: &Component, x: usize, y: usize) -> u8 {
        let stride = self.frame.plane_stride()[c.plane] as usize;
        self.frame.plane_data(c.plane as u32).unwrap()[y * stride + c.offset + x * c.step]
    }

    /// The alpha of each pixel, row by row; 255 where the format has none.
    pub fn alpha(&self) -> Vec<u8> {
        let at = |i: usize| self.alpha.map_or(255, |c| self.at(&c, i % self.width, i / self.width));
        (0..self.width * self.height).map(at).collect()
    }

    /// The first component of each pixel.
    pub fn first(&self) -> Vec<u8> {
        let at = |i: usize| self.at(&self.components[0], i % self.width, i / self.width);
        (0..self.width * self.height).map(at).collect()
    }
}

pub fn layout(format: VideoFormat) -> gstbgremove::frame::Layout {
    let same = |f: &&Format| format!("{f:?}").eq_ignore_ascii_case(format.to_str());
    Format::ALL.iter().find(same).unwrap().layout()
}

/// The alphas of the pixels that share a sample of a component.
pub fn sharing(alpha: &[u8], w: usize, h: usize, c: &Component, x: usize, y: usize) -> Vec<u8> {
    let mut v = Vec::new();
    for dy in 0..1 << c.vsub {
        for dx in 0..1 << c.hsub {
            v.push(alpha[((y << c.vsub) + dy).min(h - 1) * w + ((x << c.hsub) + dx).min(w - 1)]);
        }
    }
    v
}

/// R, G, B as the numbers of a stream's format, in floating point (ITU-T H.273 §8.3).
pub fn numbers(info: &VideoInfo, rgb: [u8; 3]) -> [f64; 3] {
    let [r, g, b] = rgb.map(|v| f64::from(v) / 255.0);
    if !info.is_yuv() {
        return [r, g, b].map(|v| v * 255.0);
    }
    let c = info.colorimetry();
    let (kr, kb) = match c.matrix() {
        gst_video::VideoColorMatrix::Bt709 => (0.2126, 0.0722),
        gst_video::VideoColorMatrix::Bt601 => (0.299, 0.114),
        m => panic!("{m:?} is not in the tests"),
    };
    let y = kr * r + (1.0 - kr - kb) * g + kb * b;
    let (u, v) = ((b - y) / (2.0 - 2.0 * kb), (r - y) / (2.0 - 2.0 * kr));
    match c.range() {
        gst_video::VideoColorRange::Range0_255 => [y * 255.0, u * 255.0 + 128.0, v * 255.0 + 128.0],
        _ => [y * 219.0 + 16.0, u * 224.0 + 128.0, v * 224.0 + 128.0],
    }
}
