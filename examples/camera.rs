//! A camera with its background replaced: in a window, or as a virtual camera for other programs.
//!
//!     cargo run --release --example camera                                       # /dev/video0 into a window
//!     cargo run --release --example camera -- --background beach.jpg --model original
//!     cargo run --release --example camera -- --source clip.mp4                   # a clip in place of a camera
//!
//! A virtual camera, that a browser or a meeting program takes for a real one: through PipeWire, which most desktops
//! run (Debian: gstreamer1.0-pipewire), or with a kernel module (v4l2loopback-dkms):
//!
//!     cargo run --release --example camera -- --virtual-camera pipewire
//!
//!     sudo modprobe v4l2loopback video_nr=10 exclusive_caps=1 card_label=bgremove
//!     cargo run --release --example camera -- --virtual-camera /dev/video10
//!
//! Once a second it tells how many frames went out, how old their mattes were, and what warned.

use clap::Parser;
use gst::prelude::*;
use std::path::Path;
use std::time::{Duration, Instant};

#[derive(Parser)]
#[command(about = "Shows a camera with its background replaced, or makes a virtual camera of it")]
struct Args {
    /// A video device, a clip that stands in for one (played round and round), or `test`: a pattern
    #[arg(long, default_value = "/dev/video0")]
    source: String,
    /// A colour, `blur`, or a picture
    #[arg(long, default_value = "blur")]
    background: String,
    /// Name of a network, or an ONNX file; auto: human, if it is installed and keeps the camera's pace here
    #[arg(long, default_value = "auto")]
    model: String,
    /// Milliseconds to hold frames back, so that fast motion meets its own matte
    #[arg(long, default_value_t = 0)]
    matte_delay: u64,
    /// `pipewire`, or a v4l2loopback device to write to, instead of a window
    #[arg(long)]
    virtual_camera: Option<String>,
    /// The last elements, instead of a window, as gst-launch-1.0 would take them
    #[arg(long, conflicts_with = "virtual_camera")]
    sink: Option<String>,
    /// End after so many seconds
    #[arg(long)]
    seconds: Option<u64>,
}

/// A PipeWire node that other programs take for a camera: browsers want the role. That sink lends out buffers without
/// memory, at which a converter before it crashes; `identity` keeps it from being asked for any.
const PIPEWIRE_CAMERA: &str = "video/x-raw,format=YUY2 ! identity drop-allocation=true ! pipewiresink mode=provide \
     stream-properties=\"props,media.class=Video/Source,media.role=Camera,node.name=bgremove,node.description=bgremove\"";

/// What that sink of PipeWire 1.4 says when the last program that looked has left.
const LEFT: &str = "all buffers have been removed";

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let args = Args::parse();
    gst::init()?;
    gstbgremove::plugin_register_static()?;
    if args.background == "transparent" {
        return Err("a camera has no alpha: choose a colour, blur or a picture with --background".into());
    }
    let is_clip = Path::new(&args.source).is_file();
    let sink = match (args.virtual_camera.as_deref(), &args.sink) {
        // Most programs expect YUY2 of a camera.
        (Some("pipewire"), _) if gst::ElementFactory::find("pipewiresink").is_none() => {
            return Err("GStreamer has no pipewiresink; on Debian: apt install gstreamer1.0-pipewire".into());
        }
        (Some("pipewire"), _) => PIPEWIRE_CAMERA.into(),
        (Some(device), _) => format!("video/x-raw,format=YUY2 ! v4l2sink device={device} sync=false"),
        (None, Some(sink)) => sink.clone(),
        // autovideosink would try DirectFB, which crashes where there is no screen.
        (None, None) if ["DISPLAY", "WAYLAND_DISPLAY"].iter().all(|v| std::env::var_os(v).is_none()) => {
            return Err("there is no display to open a window on; see --virtual-camera and --sink".into());
        }
        (None, None) => "autovideosink".into(),
    };
    let end = args.seconds.map(|s| Instant::now() + Duration::from_secs(s));
    while play(&args, is_clip, &sink, end)? {
        eprintln!("the last one who looked has left; the camera begins anew");
    }
    Ok(())
}

/// Plays to the end; gives true where the camera has to begin anew.
fn play(args: &Args, is_clip: bool, sink: &str, end: Option<Instant>) -> Result<bool, Error> {
    let line = format!(
        "{} ! queue max-size-buffers=2 leaky=downstream ! videoconvert ! \
         bgremove name=bg inference-mode=async matte-delay={} ! queue max-size-buffers=2 ! videoconvert ! {sink}",
        source(&args.source, is_clip)?,
        args.matte_delay * 1_000_000
    );
    let pipeline = gst::parse::launch(&line)?.downcast::<gst::Pipeline>().map_err(|_| "no pipeline")?;
    let bgremove = pipeline.by_name("bg").ok_or("no bgremove")?;
    // Set here and not in the line: a path may hold what the line's syntax takes for its own.
    bgremove.set_property("background", &args.background);
    bgremove.set_property("model", &args.model);
    if is_clip {
        let file = pipeline.by_name("file").ok_or("no file source")?;
        file.set_property("location", &args.source);
    }

    let result = match pipeline.set_state(gst::State::Playing) {
        Ok(_) => watch(&pipeline, &bgremove, is_clip, end),
        Err(e) => Err(first_error(&pipeline).unwrap_or_else(|| e.into())),
    };
    pipeline.set_state(gst::State::Null)?;
    result
}

fn source(name: &str, is_clip: bool) -> Result<String, Error> {
    if name == "test" {
        Ok("videotestsrc is-live=true pattern=ball ! video/x-raw,width=1280,height=720,framerate=30/1".into())
    } else if is_clip {
        // `identity sync` lets frames through at the clip's own pace, as a camera would give them.
        Ok("filesrc name=file ! decodebin ! videoconvert ! identity sync=true".into())
    } else if Path::new(name).exists() {
        // A decoder, since many cameras give JPEG at their larger sizes.
        Ok(format!("v4l2src device={name} ! decodebin"))
    } else {
        let what = "there is no such device or file; a clip can stand in for a camera: --source clip.mp4";
        Err(format!("{name}: {what}").into())
    }
}

/// Shows what the pipeline says until it ends; gives true where the sink of PipeWire 1.4 fails since the last program that looked
/// has left.
fn watch(
    pipeline: &gst::Pipeline,
    bgremove: &gst::Element,
    is_clip: bool,
    end: Option<Instant>,
) -> Result<bool, Error> {
    let bus = pipeline.bus().ok_or("no bus")?;
    let mut told = Instant::now();
    loop {
        if end.is_some_and(|e| Instant::now() >= e) {
            return Ok(false);
        }
        if let Some(message) = bus.timed_pop(gst::ClockTime::from_mseconds(100)) {
            match message.view() {
                gst::MessageView::Error(e) if e.error().message() == LEFT => return Ok(true),
                gst::MessageView::Error(e) => {
                    return Err(
                        format!("{}: {}", e.src().map(|s| s.name()).unwrap_or_default(), e.error()).into()
                    );
                }
                gst::MessageView::Warning(w) => eprintln!("warning: {}", w.error()),
                // Which network it is, and why.
                gst::MessageView::Info(i) => eprintln!("{}", i.error().message()),
                gst::MessageView::Latency(_) => pipeline.recalculate_latency()?,
                gst::MessageView::Eos(_) if is_clip => {
                    pipeline.seek_simple(
                        gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT,
                        gst::ClockTime::ZERO,
                    )?;
                }
                gst::MessageView::Eos(_) => return Ok(false),
                _ => {}
            }
        }
        if told.elapsed() >= Duration::from_secs(1) {
            told = Instant::now();
            let stats = bgremove.property::<gst::Structure>("stats");
            let count = |name: &str| stats.get::<u64>(name).unwrap_or(0);
            println!(
                "{} frames out, {} dropped; {} inferences, mattes up to {} ms old",
                count("frames-out"),
                count("frames-dropped"),
                count("inferences"),
                count("mask-age-max") / 1_000_000,
            );
        }
    }
}

fn first_error(pipeline: &gst::Pipeline) -> Option<Error> {
    let message = pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
    match message.view() {
        gst::MessageView::Error(e) => Some(e.error().into()),
        _ => None,
    }
}
