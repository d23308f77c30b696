//! How many frames a second a preset makes transparent, with a figure that moves before a busy background.

use super::formats::told;
use crate::gstreamer;
use crate::gstreamer::Running;
use gst::prelude::*;
use gst_video::{VideoFormat, VideoInfo};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const WIDTH: usize = 1920;
const HEIGHT: usize = 1080;
/// How many different frames there are.
const FRAMES: usize = 6;
/// How long to measure; at least three frames.
const TIME: Duration = Duration::from_secs(1);

/// What does the same with GStreamer's own tool, and tells what happens. `path`: words in front of it.
pub fn line(preset: &str, path: &str) -> String {
    format!(
        "{path}GST_DEBUG=bgremove:5 gst-launch-1.0 videotestsrc num-buffers=3 ! \
         video/x-raw,format=I420,width={WIDTH},height={HEIGHT} ! bgremove model={preset} ! fakesink"
    )
}

/// Measures a preset.
pub fn answer(preset: &str) -> Result<Value, String> {
    gst::init().map_err(|e| format!("GStreamer does not start: {e}"))?;
    gstbgremove::plugin_register_static().map_err(|e| format!("the plugin: {e}"))?;
    let odd = |e: &dyn std::fmt::Display| e.to_string();
    let line = "appsrc name=in format=time ! bgremove name=bg ! appsink name=out sync=false";
    let words: Vec<&str> = line.split(' ').collect();
    let pipeline = gstreamer::launch(&words, gst::ParseFlags::empty()).map_err(told)?;
    let pipeline = Running(pipeline.downcast::<gst::Pipeline>().map_err(|_| "no pipeline")?);
    let named = |name: &str| pipeline.0.by_name(name).ok_or("an element is missing");
    let source = named("in")?.downcast::<gst_app::AppSrc>().map_err(|_| "no source")?;
    let sink = named("out")?.downcast::<gst_app::AppSink>().map_err(|_| "no sink")?;
    let bgremove = named("bg")?;
    bgremove.set_property("model", preset);
    let info = VideoInfo::builder(VideoFormat::I420, WIDTH as u32, HEIGHT as u32)
        .fps(gst::Fraction::new(30, 1))
        .build()
        .map_err(|e| odd(&e))?;
    source.set_caps(Some(&info.to_caps().map_err(|e| odd(&e))?));
    let bus = pipeline.0.bus().ok_or("the pipeline has no bus")?;
    let failure = || {
        let message = bus.timed_pop_filtered(gst::ClockTime::SECOND, &[gst::MessageType::Error]);
        match message.as_ref().map(|m| m.view()) {
            Some(gst::MessageView::Error(e)) => e.error().message().to_string(),
            _ => "no frame came out".to_string(),
        }
    };
    pipeline.0.set_state(gst::State::Playing).map_err(|_| failure())?;
    let pictures: Vec<Vec<u8>> = (0..FRAMES).map(|n| picture(&info, n)).collect();
    let mut alpha = 0u64;
    let mut run = |n: usize| -> Result<(), String> {
        let mut buffer = gst::Buffer::from_slice(pictures[n % FRAMES].clone());
        if let Some(b) = buffer.get_mut() {
            b.set_pts(gst::ClockTime::SECOND * n as u64 / 30);
            b.set_duration(gst::ClockTime::SECOND / 30);
        }
        source.push_buffer(buffer).map_err(|_| failure())?;
        let sample = sink.pull_sample().map_err(|_| failure())?;
        // One value in a hundred of the alpha plane, the last of A420.
        let map = sample.buffer().and_then(|b| b.map_readable().ok()).ok_or("a frame cannot be read")?;
        let plane = map.len().saturating_sub(WIDTH * HEIGHT);
        alpha += map[plane..].iter().step_by(101).map(|v| u64::from(*v)).sum::<u64>();
        Ok(())
    };
    // The first loads and warms up.
    run(0)?;
    run(1)?;
    let begin = Instant::now();
    let mut frames = 0;
    while frames < 3 || begin.elapsed() < TIME {
        run(2 + frames)?;
        frames += 1;
    }
    let rate = frames as f64 / begin.elapsed().as_secs_f64();
    let samples = (WIDTH * HEIGHT).div_ceil(101) * (frames + 2);
    Ok(json!({
        "frames_per_second": rate, "frames": frames, "width": WIDTH, "height": HEIGHT,
        "provider": bgremove.property::<String>("active-execution-provider"),
        "coverage": alpha as f64 / 255.0 / samples as f64,
    }))
}

/// Head and shoulders, drawn with ellipses, before a pattern.
fn picture(info: &VideoInfo, n: usize) -> Vec<u8> {
    let mut data = vec![128u8; info.size()];
    let centre = 960.0 + 12.0 * n as f32;
    let inside = |x: f32, y: f32, cx: f32, cy: f32, rx: f32, ry: f32| {
        ((x - cx) / rx).powi(2) + ((y - cy) / ry).powi(2) < 1.0
    };
    // Luma and chroma of a point.
    let paint = |x: usize, y: usize| -> [u8; 3] {
        let (fx, fy) = (x as f32, y as f32);
        let grain = ((x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503) ^ (n * 977)) >> 7) & 7;
        let [l, u, v] = if [-55.0, 55.0].iter().any(|dx| inside(fx, fy, centre + dx, 400.0, 22.0, 11.0)) {
            [40, 126, 130]
        } else if inside(fx, fy, centre, 520.0, 45.0, 12.0) {
            [90, 118, 165]
        } else if inside(fx, fy, centre, 430.0, 140.0, 185.0) && fy > 320.0 {
            [165, 108, 150]
        } else if inside(fx, fy, centre, 370.0, 165.0, 190.0) {
            [45, 122, 134]
        } else if inside(fx, fy, centre, 620.0, 75.0, 130.0) {
            [150, 108, 150]
        } else if inside(fx, fy, centre, 1080.0, 460.0, 400.0) {
            [70, 150, 120]
        } else {
            // Shelves.
            let shade = if (x / 120 + y / 180).is_multiple_of(2) { 150 } else { 190 };
            [shade, 124, 131]
        };
        [l + grain as u8, u, v]
    };
    let (strides, offsets) = (info.stride(), info.offset());
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let [l, u, v] = paint(x, y);
            data[offsets[0] + y * strides[0] as usize + x] = l;
            if x % 2 == 0 && y % 2 == 0 {
                data[offsets[1] + y / 2 * strides[1] as usize + x / 2] = u;
                data[offsets[2] + y / 2 * strides[2] as usize + x / 2] = v;
            }
        }
    }
    data
}
