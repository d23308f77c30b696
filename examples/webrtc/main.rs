//! A camera or a clip with its background replaced, as a call: WebRTC, which browsers speak.
//!
//!     cargo run --release --example webrtc -- clip.mp4                       # then open http://127.0.0.1:8080/
//!     cargo run --release --example webrtc -- /dev/video0 --background beach.jpg --address 0.0.0.0
//!     cargo run --release --example webrtc -- /dev/video0 --whip https://server/whip/room --token SECRET
//!
//! Viewers come by WHEP: one HTTP request with an offer, answered with where and how the video is to be had. The page
//! that is served does so, and any WHEP player can at `/whep`. With `--whip` the stream is brought to a server (a media
//! server or a meeting's), which hands it on; the connection is made again when it breaks.
//!
//! There is one source, one network and one encoder for all; a connection has a pipeline of its own, so that it can
//! fail alone. Video only, at a fixed bit rate.
//!
//! In a project of your own the crate `gstreamer-webrtc` wants Debian's libgstreamer-plugins-bad1.0-dev; here
//! `.cargo/config.toml` tells it where the library is.

mod peer;
mod whep;
mod whip;

use clap::{Parser, ValueEnum};
use gst::glib;
use gst::prelude::*;
use gst_utils::StreamProducer;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub type Error = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
#[command(about = "Sends a camera or a clip with the background replaced to browsers, or to a server")]
struct Args {
    /// A clip (played round and round), /dev/videoN, or `test`: a pattern
    #[arg(default_value = "/dev/video0")]
    source: String,
    /// A colour, `blur`, or a picture; the stream has no alpha
    #[arg(long, default_value = "blur")]
    background: String,
    /// Name of a network, auto, or an ONNX file
    #[arg(long, default_value = "auto")]
    model: String,
    /// How the video is encoded; browsers know both
    #[arg(long, value_enum, default_value = "vp8")]
    codec: Format,
    /// kbit/s of the video
    #[arg(long, default_value_t = 2000)]
    bitrate: u32,
    /// Address to serve at; 0.0.0.0 serves to everybody
    #[arg(long, default_value = "127.0.0.1")]
    address: String,
    /// Port to serve at; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Bring the stream to this WHIP server, instead of serving it
    #[arg(long)]
    whip: Option<String>,
    /// What the WHIP server knows its senders by; others on this machine can read it here, so better in WHIP_TOKEN
    #[arg(long, requires = "whip")]
    token: Option<String>,
    /// Address of this machine to send from (can be given more than once); else all but the loopback's
    #[arg(long = "ice-address")]
    ice_addresses: Vec<std::net::IpAddr>,
    /// A STUN server, to be found from beyond a router: stun://host:port
    #[arg(long)]
    stun: Option<String>,
}

/// How the video is encoded, and what it is called in each place.
#[derive(Clone, Copy, ValueEnum)]
pub enum Format {
    Vp8,
    H264,
}

impl Format {
    pub fn name(self) -> &'static str {
        match self {
            Format::Vp8 => "VP8",
            Format::H264 => "H264",
        }
    }

    /// Made for calls: no frame waits for a later one.
    fn encoder(self, bitrate: u32) -> String {
        match self {
            Format::Vp8 => format!(
                "vp8enc deadline=1 cpu-used=8 end-usage=cbr target-bitrate={} lag-in-frames=0 keyframe-max-dist=300",
                u64::from(bitrate) * 1000
            ),
            Format::H264 => format!(
                "x264enc tune=zerolatency speed-preset=veryfast bitrate={bitrate} key-int-max=300 ! \
                 video/x-h264,profile=constrained-baseline ! h264parse"
            ),
        }
    }

    fn payloader(self) -> &'static str {
        match self {
            Format::Vp8 => "rtpvp8pay picture-id-mode=15-bit",
            Format::H264 => "rtph264pay aggregate-mode=zero-latency config-interval=-1",
        }
    }

    /// What is in the packets; `in_full` as an offer says it.
    fn rtp_caps(self, payload: u32, in_full: bool) -> gst::Caps {
        let caps = gst::Caps::builder("application/x-rtp")
            .field("media", "video")
            .field("encoding-name", self.name())
            .field("payload", payload as i32)
            .field("clock-rate", 90_000i32);
        match self {
            Format::H264 if in_full => {
                caps.field("packetization-mode", "1").field("profile-level-id", "42e01f").build()
            }
            _ => caps.build(),
        }
    }

    /// Whether a format in an offer is this one.
    fn is_of(self, caps: &gst::Caps) -> bool {
        let Some(s) = caps.structure(0) else { return false };
        let is = |field: &str, what: &str| s.get::<&str>(field).is_ok_and(|v| v.eq_ignore_ascii_case(what));
        // Baseline, in packets that may be cut anywhere: what the encoder and the payloader give.
        let profile =
            || s.get::<&str>("profile-level-id").is_ok_and(|v| v.to_ascii_lowercase().starts_with("42"));
        match self {
            Format::Vp8 => is("encoding-name", "VP8"),
            Format::H264 => is("encoding-name", "H264") && is("packetization-mode", "1") && profile(),
        }
    }
}

/// The encoded frames, and the time that they are in.
#[derive(Clone)]
pub struct Stream {
    pub frames: StreamProducer,
    pub format: Format,
    pub clock: gst::Clock,
    pub base_time: gst::ClockTime,
}

fn main() -> Result<(), Error> {
    let args = Args::parse();
    gst::init()?;
    gstbgremove::plugin_register_static()?;
    if args.background == "transparent" {
        return Err("a call has no alpha: choose a colour, blur or a picture with --background".into());
    }
    for (element, package) in [("webrtcbin", "gstreamer1.0-plugins-bad"), ("nicesink", "gstreamer1.0-nice")] {
        if gst::ElementFactory::find(element).is_none() {
            return Err(format!("GStreamer has no {element}; on Debian: apt install {package}").into());
        }
    }

    // Before anything is said: who waits for a line may end the program at once.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let token = args.token.clone().or_else(|| std::env::var("WHIP_TOKEN").ok());
    let (pipeline, stream) = source(&args)?;
    let is_clip = Path::new(&args.source).is_file();
    let end = glib::MainLoop::new(None, false);
    let network = peer::Network {
        addresses: args.ice_addresses.iter().map(ToString::to_string).collect(),
        stun: args.stun.clone(),
    };
    let result = play(&pipeline, is_clip, &end).and_then(|(_watch, failure)| {
        let serving = match &args.whip {
            Some(server) => Serving::Whip(whip::Sender::start(server, token, stream, network)?),
            None => Serving::Whep(whep::Server::start(&args.address, args.port, stream, network)?),
        };
        glib::timeout_add_local(Duration::from_millis(100), {
            let (end, stop) = (end.clone(), stop.clone());
            move || {
                if stop.load(Ordering::Relaxed) {
                    end.quit();
                }
                glib::ControlFlow::Continue
            }
        });
        end.run();
        // Says goodbye.
        drop(serving);
        failure.take().map_or(Ok(()), Err)
    });
    pipeline.set_state(gst::State::Null)?;
    result
}

/// What goes on beside the source until the program ends.
#[allow(dead_code)]
enum Serving {
    Whep(whep::Server),
    Whip(whip::Sender),
}

/// The pipeline up to the encoder.
fn source(args: &Args) -> Result<(gst::Pipeline, Stream), Error> {
    let path = Path::new(&args.source);
    let head = match args.source.as_str() {
        "test" => "videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=30/1",
        // `identity sync` lets frames through at the clip's own pace, as a camera would give them.
        _ if path.is_file() => "filesrc name=source ! decodebin ! videoconvert ! identity sync=true",
        // A decoder, since many cameras give JPEG at their larger sizes.
        _ if path.exists() => "v4l2src name=source ! decodebin",
        _ => return Err(format!("{}: there is no such device or file", args.source).into()),
    };
    let line = format!(
        "{head} ! queue max-size-buffers=2 leaky=downstream ! videoconvert ! bgremove name=bg inference-mode=async ! \
         queue max-size-buffers=2 ! videoconvert ! {} ! appsink name=out",
        args.codec.encoder(args.bitrate)
    );
    let pipeline = gst::parse::launch(&line)?.downcast::<gst::Pipeline>().map_err(|_| "no pipeline")?;
    let named = |name: &str| pipeline.by_name(name).ok_or("an element without its name");
    // Set here and not in the line: a path may hold what the line's syntax takes for its own.
    let bgremove = named("bg")?;
    bgremove.set_property("background", &args.background);
    bgremove.set_property("model", &args.model);
    if let Some(source) = pipeline.by_name("source") {
        let property = if path.is_file() { "location" } else { "device" };
        source.set_property(property, &args.source);
    }
    let out = named("out")?.downcast::<gst_app::AppSink>().map_err(|_| "no appsink")?;
    // One clock and one beginning for all pipelines.
    let clock = gst::SystemClock::obtain();
    let base_time = clock.time();
    pipeline.use_clock(Some(&clock));
    pipeline.set_start_time(gst::ClockTime::NONE);
    pipeline.set_base_time(base_time);
    let frames = StreamProducer::from(&out);
    Ok((pipeline, Stream { frames, format: args.codec, clock, base_time }))
}

type Failure = std::rc::Rc<std::cell::Cell<Option<Error>>>;

/// Plays the source, a clip round and round; what goes wrong ends the program.
fn play(
    pipeline: &gst::Pipeline,
    is_clip: bool,
    end: &glib::MainLoop,
) -> Result<(gst::bus::BusWatchGuard, Failure), Error> {
    let bus = pipeline.bus().ok_or("no bus")?;
    pipeline.set_state(gst::State::Playing).map_err(|e| first_error(&bus).unwrap_or_else(|| e.into()))?;

    let failure = Failure::default();
    let watch = bus.add_watch_local({
        let (pipeline, end, failure) = (pipeline.downgrade(), end.clone(), failure.clone());
        let mut waits = is_clip;
        move |_, message| {
            let Some(pipeline) = pipeline.upgrade() else { return glib::ControlFlow::Break };
            let ended = match message.view() {
                gst::MessageView::Error(e) => Err(what(e)),
                gst::MessageView::Warning(w) => {
                    eprintln!("warning: {}", w.error());
                    Ok(())
                }
                // Which network it is, and why.
                gst::MessageView::Info(i) => {
                    eprintln!("{}", i.error().message());
                    Ok(())
                }
                gst::MessageView::Latency(_) => pipeline.recalculate_latency().map_err(Into::into),
                // Played in pieces, which follow each other without a flush: time goes on where the clip begins again.
                gst::MessageView::AsyncDone(_) if waits => {
                    waits = false;
                    wind_back(&pipeline, gst::SeekFlags::FLUSH)
                }
                gst::MessageView::SegmentDone(_) => wind_back(&pipeline, gst::SeekFlags::empty()),
                gst::MessageView::Eos(_) => Err("the source has ended".into()),
                _ => Ok(()),
            };
            if let Err(e) = ended {
                failure.set(Some(e));
                end.quit();
            }
            glib::ControlFlow::Continue
        }
    })?;
    Ok((watch, failure))
}

fn wind_back(pipeline: &gst::Pipeline, flags: gst::SeekFlags) -> Result<(), Error> {
    pipeline
        .seek_simple(flags | gst::SeekFlags::SEGMENT, gst::ClockTime::ZERO)
        .map_err(|_| "the clip cannot be wound back".into())
}

fn first_error(bus: &gst::Bus) -> Option<Error> {
    match bus.pop_filtered(&[gst::MessageType::Error])?.view() {
        gst::MessageView::Error(e) => Some(what(e)),
        _ => None,
    }
}

fn what(error: &gst::message::Error) -> Error {
    format!("{}: {}", error.src().map(|s| s.name()).unwrap_or_default(), error.error()).into()
}
