//! How the cost grows with the size of the frame, and the speed with the number of streams in one process.
//!
//! Frames come out of memory, so that nothing but the element is measured.

use crate::child::{cpu, peak};
use crate::{Case, Kind, Rounds, median};
use gst::prelude::*;
use gst_video::{VideoCapsBuilder, VideoFormat};
use gstbgremove::models;
use serde_json::{Value, json};
use std::fmt::{self, Write as _};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const SIZES: [(&str, u32, u32); 7] = [
    ("360p", 640, 360),
    ("540p", 960, 540),
    ("720p", 1280, 720),
    ("1080p", 1920, 1080),
    ("1440p", 2560, 1440),
    ("2160p", 3840, 2160),
    ("4320p", 7680, 4320),
];
const STREAMS: [u64; 4] = [1, 2, 4, 8];
/// Frames of each kind kept in memory; played to and fro.
const KEPT: usize = 4;

/// Some streams of the same frames in one process.
#[derive(Clone, Debug, PartialEq)]
pub struct Streams {
    preset: String,
    width: u32,
    height: u32,
    streams: u64,
    /// Frames of each stream.
    frames: u64,
}

impl fmt::Display for Streams {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { preset, width, height, streams, frames } = self;
        write!(f, "{preset},{width},{height},{streams},{frames}")
    }
}

impl FromStr for Streams {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(',').collect();
        let [preset, numbers @ ..] = &parts[..] else { return Err("nothing".into()) };
        let numbers: Result<Vec<u32>, _> = numbers.iter().map(|n| n.parse::<u32>()).collect();
        let [width, height, streams, frames] = numbers.map_err(|e| e.to_string())?[..] else {
            return Err("four numbers are wanted".into());
        };
        let (preset, streams, frames) = ((*preset).into(), streams.into(), frames.into());
        Ok(Self { preset, width, height, streams, frames })
    }
}

fn size_case(size: &str) -> String {
    format!("scale light {size}")
}

fn streams_case(preset: &str, streams: u64) -> String {
    format!("streams {preset} {streams}")
}

/// Seconds a frame at a size, the median over the rounds; NaN where it has not been measured.
pub fn frame_time(rounds: &Rounds, size: &str) -> f64 {
    median(rounds.get(&size_case(size)).map_or(Vec::new(), |r| r.iter().map(|t| 1.0 / t.fps).collect()))
}

/// Whether a case belongs to this module and its tables.
pub fn is_one(name: &str) -> bool {
    name.starts_with("scale ") || name.starts_with("streams ")
}

/// Adds the cases of this module; some of them when it must be `quick`.
pub fn add_cases(all: &mut Vec<Case>, quick: bool, runtime: &Path) {
    let mut add = |name: String, kind: Kind| {
        if all.iter().all(|case| case.name != name) {
            all.push(Case { name, kind });
        }
    };
    // The network's own part.
    add("light bare".into(), Kind::Bare("light", "cpu", 1920, 1080, runtime.into()));
    for (size, width, height) in
        SIZES.into_iter().filter(|s| !quick || ["540p", "720p", "1080p", "2160p"].contains(&s.0))
    {
        // Each some seconds long, as far as that goes.
        let frames = (500_000_000 / u64::from(width * height)).clamp(16, 500);
        let streams = Streams { preset: "light".into(), width, height, streams: 1, frames };
        add(size_case(size), Kind::Streams(streams, runtime.into()));
    }
    for (preset, frames) in [("light", 480), ("human", 48)] {
        if models::resolve(preset, None).is_err() || (quick && preset != "light") {
            continue;
        }
        for streams in STREAMS.into_iter().filter(|&n| !quick || n <= 2) {
            let of = Streams {
                preset: preset.into(),
                width: 1920,
                height: 1080,
                streams,
                frames: frames / streams,
            };
            add(streams_case(preset, streams), Kind::Streams(of, runtime.into()));
        }
    }
}

/// Consecutive frames of the demo's portrait in motion, at a size, and their caps.
fn kept(width: u32, height: u32) -> (Vec<gst::Buffer>, gst::Caps) {
    let caps = VideoCapsBuilder::new()
        .format(VideoFormat::I420)
        .width(width as i32)
        .height(height as i32)
        .framerate(gst::Fraction::new(30, 1))
        .build();
    let line = format!(
        "filesrc location={} ! qtdemux ! h264parse ! avdec_h264 ! videoscale method=lanczos ! {caps} ! \
         appsink name=sink sync=false max-buffers=1",
        crate::root().join("build/clips/astronaut.mp4").display()
    );
    let pipeline = gst::parse::launch(&line).unwrap_or_else(|e| panic!("{line}\n{e}"));
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    let sink = pipeline.by_name("sink").and_downcast::<gst_app::AppSink>().expect("a sink");
    pipeline.set_state(gst::State::Paused).expect("paused");
    pipeline.state(gst::ClockTime::NONE).0.unwrap_or_else(|e| panic!("{line}\n{e}"));
    // In the middle, where the pan is at its fastest.
    let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
    pipeline.seek_simple(flags, gst::ClockTime::from_seconds(2)).expect("a file can be sought in");
    pipeline.set_state(gst::State::Playing).expect("playing");
    let frames = (0..KEPT)
        .map(|_| {
            let sample = sink.pull_sample().unwrap_or_else(|e| panic!("{line}\n{e}"));
            sample.buffer_owned().expect("a frame")
        })
        .collect();
    pipeline.set_state(gst::State::Null).expect("it stops");
    (frames, caps)
}

/// Plays the streams side by side; times from all having given their first frame to all being done.
pub fn play(of: &Streams) -> Value {
    gst::init().expect("GStreamer");
    gstbgremove::plugin_register_static().expect("the plugin");
    let (kept, caps) = kept(of.width, of.height);
    let kept = Arc::new(kept);
    let seen = Arc::new(AtomicU64::new(0));
    let line = format!(
        "appsrc name=src format=time max-buffers=2 caps=\"{caps}\" ! \
         bgremove name=cut model={} execution-provider=cpu ! video/x-raw,format=A420 ! fakesink name=sink sync=false",
        of.preset
    );
    let pipelines: Vec<gst::Pipeline> = (0..of.streams)
        .map(|_| {
            let pipeline = gst::parse::launch(&line).unwrap_or_else(|e| panic!("{line}\n{e}"));
            let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
            let src = pipeline.by_name("src").and_downcast::<gst_app::AppSrc>().expect("a source");
            let (kept, frames) = (Arc::clone(&kept), of.frames + 1);
            let mut n = 0;
            let need = move |src: &gst_app::AppSrc, _| {
                if n == frames {
                    // What a stream that is stopped answers does not matter.
                    let _ = src.end_of_stream();
                    return;
                }
                // To and fro: 0 1 2 3 2 1 0 …
                let at = (n as usize) % (2 * KEPT - 2);
                let mut frame = kept[at.min(2 * KEPT - 2 - at)].copy();
                let length = gst::ClockTime::SECOND / 30;
                let meta = frame.get_mut().expect("a new one");
                meta.set_pts(length * n);
                meta.set_duration(length);
                n += 1;
                let _ = src.push_buffer(frame);
            };
            src.set_callbacks(gst_app::AppSrcCallbacks::builder().need_data(need).build());
            let seen = Arc::clone(&seen);
            let sink = pipeline.by_name("sink").expect("a sink").static_pad("sink").expect("its pad");
            sink.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                seen.fetch_add(1, Ordering::Relaxed);
                gst::PadProbeReturn::Ok
            });
            pipeline
        })
        .collect();
    for pipeline in &pipelines {
        pipeline.set_state(gst::State::Paused).expect("paused");
    }
    for pipeline in &pipelines {
        pipeline.state(gst::ClockTime::NONE).0.unwrap_or_else(|e| panic!("{line}\n{e}"));
    }
    let (before, start, cpu_before) = (seen.load(Ordering::Relaxed), Instant::now(), cpu());
    for pipeline in &pipelines {
        pipeline.set_state(gst::State::Playing).expect("playing");
    }
    for pipeline in &pipelines {
        for message in pipeline.bus().expect("a bus").iter_timed(gst::ClockTime::NONE) {
            match message.view() {
                gst::MessageView::Eos(_) => break,
                gst::MessageView::Error(e) => panic!("{line}\n{}", e.error()),
                _ => {}
            }
        }
    }
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu() - cpu_before);
    let network = pipelines.iter().filter_map(|p| {
        let stats = p.by_name("cut")?.property::<gst::Structure>("stats");
        Some(stats.get::<u64>("inference-p50").ok()? as f64 / 1e6)
    });
    let network = median(network.collect());
    let peak = peak();
    for pipeline in &pipelines {
        pipeline.set_state(gst::State::Null).expect("it stops");
    }
    let frames = seen.load(Ordering::Relaxed) - before;
    json!({"frames": frames, "seconds": seconds, "cpu": cpu, "peak_mib": peak, "network_ms": network})
}

/// The tables that tools/plot_scale.py draws; medians over the rounds.
pub fn report(out: &mut String, rounds: &Rounds) {
    let get = |name: &str, f: fn(&crate::Took) -> f64| {
        median(rounds.get(name).map_or(Vec::new(), |r| r.iter().map(f).collect()))
    };
    let bare = get("light bare", |t| t.cpu * 1e3);
    let _ = writeln!(
        out,
        "\n## Scale: frame size\n\n\
         `light`, I420 in memory to A420, one stream, nothing decoded; drawn in docs/scale-size.png. The bare network \
         takes {bare:.2} CPU ms a frame whatever the size; its time in the element is known to 9 %. Frames of fewer \
         than about 690 lines are refined down to single pixels, larger ones to blocks of 2×2: the cost grows with \
         the pixels on either side of that step, and falls at it.\n\n\
         | size | megapixels | ms a frame | CPU ms a frame | CPU ms less the bare network | network in the element, ms |\n\
         |---|---|---|---|---|---|"
    );
    for (size, width, height) in SIZES {
        let name = size_case(size);
        if !rounds.contains_key(&name) {
            continue;
        }
        let cpu = get(&name, |t| t.cpu * 1e3);
        let _ = writeln!(
            out,
            "| {size} | {:.3} | {:.2} | {cpu:.2} | {:.2} | {:.2} |",
            f64::from(width * height) / 1e6,
            get(&name, |t| 1e3 / t.fps),
            cpu - bare,
            get(&name, |t| t.network)
        );
    }
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let _ = writeln!(
        out,
        "\n## Scale: streams\n\n\
         1080p, I420 in memory to A420, all in one process, the weights shared; drawn in docs/scale-streams.png. One \
         stream of `light` alone keeps {:.1} of {cores} cores busy. More streams fill what is left, and the knee is \
         where nothing is: cores ÷ CPU time a frame. The provider `cuda` is not measured here.\n\n\
         | network | streams | frames/s, all together | CPU ms a frame | peak MiB |\n|---|---|---|---|---|",
        get(&streams_case("light", 1), |t| t.cpu * t.fps)
    );
    for preset in ["light", "human"] {
        for streams in STREAMS {
            let name = streams_case(preset, streams);
            if rounds.contains_key(&name) {
                let _ = writeln!(
                    out,
                    "| {preset} | {streams} | {:.1} | {:.1} | {:.0} |",
                    get(&name, |t| t.fps),
                    get(&name, |t| t.cpu * 1e3),
                    get(&name, |t| t.peak)
                );
            }
        }
    }
}
