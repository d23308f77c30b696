//! An RTSP server that serves a clip, a camera or another server's stream with the background replaced.
//!
//!     cargo run --release --example rtsp_server -- clip.mp4 --background blur
//!     cargo run --release --example rtsp_server -- /dev/video0 --background beach.jpg
//!     cargo run --release --example rtsp_server -- rtsp://camera.local/stream --model original
//!
//! and, to watch: `gst-play-1.0 rtsp://127.0.0.1:8554/live`, or VLC, or ffplay.
//!
//! The source has a pipeline of its own: it is opened once for all clients, and opened again whenever it fails, ends
//! or falls silent. The clients stay connected meanwhile and see nothing new.

use clap::Parser;
use gst::glib;
use gst::prelude::*;
use gst_rtsp_server::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Parser)]
#[command(about = "Serves a clip, a camera or another RTSP stream with the background replaced")]
struct Args {
    /// A file (played round and round), /dev/videoN, or any URI that GStreamer can play, such as rtsp://…
    source: String,
    /// A colour, `blur`, or a picture; the stream has no alpha
    #[arg(long, default_value = "blur")]
    background: String,
    /// Name of a network, auto, or an ONNX file
    #[arg(long, default_value = "light")]
    model: String,
    /// Address to serve at; 0.0.0.0 serves to everybody
    #[arg(long, default_value = "127.0.0.1")]
    address: String,
    /// Port to serve at; 0 takes a free one
    #[arg(long, default_value_t = 8554)]
    port: u16,
    /// Where the stream is on the server
    #[arg(long, default_value = "/live")]
    path: String,
    /// kbit/s of the H.264 stream
    #[arg(long, default_value_t = 2000)]
    bitrate: u32,
    /// Seconds without a frame after which the source is opened again
    #[arg(long, default_value_t = 5)]
    timeout: u64,
}

type Error = Box<dyn std::error::Error>;

/// The pipelines that serve clients, each by its source element.
type Clients = Arc<Mutex<Vec<gst_app::AppSrc>>>;

fn main() -> Result<(), Error> {
    let args = Args::parse();
    gst::init()?;
    gstbgremove::plugin_register_static()?;
    if args.background == "transparent" {
        return Err("H.264 has no alpha: choose a colour, blur or a picture with --background".into());
    }

    let clients = Clients::default();
    let source = Source::new(&args, clients.clone())?;
    let server = serve(&args, clients, &source.pipeline)?;
    println!("serving rtsp://{}:{}{}", args.address, server.bound_port(), args.path);

    std::thread::spawn(move || source.run());
    glib::MainLoop::new(None, false).run();
    Ok(())
}

/// One encoder for all clients, which starts with the first and stops after the last of them.
fn serve(
    args: &Args,
    clients: Clients,
    source: &gst::Pipeline,
) -> Result<gst_rtsp_server::RTSPServer, Error> {
    let factory = gst_rtsp_server::RTSPMediaFactory::new();
    factory.set_launch(&format!(
        "( appsrc name=frames is-live=true format=time max-buffers=3 leaky-type=downstream ! videoconvert ! \
         x264enc tune=zerolatency speed-preset=veryfast bitrate={} key-int-max=60 ! h264parse ! \
         rtph264pay name=pay0 pt=96 config-interval=-1 )",
        args.bitrate
    ));
    factory.set_shared(true);
    factory.set_clock(Some(&gst::SystemClock::obtain()));
    factory.connect_media_configure(glib::clone!(
        #[weak]
        source,
        move |_, media| {
            let bin = media.element().downcast::<gst::Bin>().expect("what was launched");
            let frames = bin.by_name("frames").and_downcast::<gst_app::AppSrc>().expect("named above");
            let mut latency = gst::query::Latency::new();
            if source.query(&mut latency) {
                frames.set_latency(latency.result().1, gst::ClockTime::NONE);
            }
            lock(&clients).push(frames.clone());
            let clients = clients.clone();
            media.connect_unprepared(move |_| lock(&clients).retain(|c| *c != frames));
        }
    ));

    let server = gst_rtsp_server::RTSPServer::new();
    server.set_address(&args.address);
    server.set_service(&args.port.to_string());
    server.mount_points().ok_or("a server without mount points")?.add_factory(&args.path, factory);
    server.attach(None).map_err(|e| format!("port {} cannot be served at: {e}", args.port))?;
    // Sessions of clients that went without a word.
    let sweeper = server.clone();
    glib::timeout_add_seconds(2, move || {
        if let Some(pool) = sweeper.session_pool() {
            pool.cleanup();
        }
        glib::ControlFlow::Continue
    });
    Ok(server)
}

struct Source {
    pipeline: gst::Pipeline,
    name: String,
    /// A file begins again at its end.
    is_file: bool,
    timeout: Duration,
    last_frame: Arc<Mutex<Instant>>,
}

impl Source {
    fn new(args: &Args, clients: Clients) -> Result<Self, Error> {
        let path = std::path::Path::new(&args.source);
        let is_device = args.source.starts_with("/dev/");
        let is_file = !is_device && path.is_file();
        let head = match is_device {
            // A decoder, since many cameras give JPEG at their larger sizes.
            true => "v4l2src name=device ! decodebin name=decoder",
            false => "uridecodebin name=decoder",
        };
        // Async also for files, which stand in for cameras here: every frame goes out in time, with any network.
        let line = format!(
            "{head} videoconvert name=convert ! queue max-size-buffers=3 ! bgremove name=bgremove inference-mode=async ! \
             appsink name=out max-buffers=3 drop=true"
        );
        let pipeline = gst::parse::launch(&line)?.downcast::<gst::Pipeline>().map_err(|_| "no pipeline")?;
        let named = |name: &str| pipeline.by_name(name).ok_or("an element without its name");
        // Set here and not in the line: a path may hold what the line's syntax takes for its own.
        let bgremove = named("bgremove")?;
        bgremove.set_property("background", &args.background);
        bgremove.set_property("model", &args.model);
        let (decoder, convert) = (named("decoder")?, named("convert")?);
        // Not in the line either, which would link once only: this is opened many times.
        decoder.connect_pad_added(move |_, pad| {
            let is_video = pad.current_caps().is_some_and(|c| c.iter().all(|s| s.name() == "video/x-raw"));
            let sink = convert.static_pad("sink").expect("every videoconvert has one");
            if is_video && !sink.is_linked() {
                let _ = pad.link(&sink);
            }
        });
        if is_device {
            named("device")?.set_property("device", &args.source);
        } else {
            let uri = match is_file {
                true => glib::filename_to_uri(path.canonicalize()?, None)?.to_string(),
                false if args.source.contains("://") => args.source.clone(),
                false => return Err(format!("{} is neither a file, a device nor a URI", args.source).into()),
            };
            decoder.set_property("uri", uri);
            decoder.connect("source-setup", false, |values| {
                let element = values[1].get::<gst::Element>().expect("as documented");
                // rtspsrc holds two seconds back unless it is told otherwise.
                if element.find_property("latency").is_some() {
                    element.set_property_from_str("latency", "200");
                }
                None
            });
        }
        let sink = named("out")?.downcast::<gst_app::AppSink>().map_err(|_| "no appsink")?;
        // One clock for all pipelines: what it shows connects their times.
        pipeline.use_clock(Some(&gst::SystemClock::obtain()));

        let last_frame = Arc::new(Mutex::new(Instant::now()));
        sink.set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample({
                    let last_frame = last_frame.clone();
                    move |sink| {
                        *lock(&last_frame) = Instant::now();
                        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                        for client in lock(&clients).iter() {
                            let _ = forward(&sample, sink, client);
                        }
                        Ok(gst::FlowSuccess::Ok)
                    }
                })
                .build(),
        );
        let timeout = Duration::from_secs(args.timeout);
        let this = Self { pipeline, name: args.source.clone(), is_file, timeout, last_frame };
        // What is wrong with the model or the background is wrong for good.
        if this.pipeline.set_state(gst::State::Ready).is_err() {
            return Err(this.failure().unwrap_or_else(|| "the pipeline does not start".into()).into());
        }
        Ok(this)
    }

    /// Plays the source, and begins again whenever it fails, ends or falls silent.
    fn run(&self) {
        loop {
            *lock(&self.last_frame) = Instant::now();
            let why = match self.pipeline.set_state(gst::State::Playing) {
                Ok(_) => self.watch(),
                Err(_) => self.failure().unwrap_or_else(|| "it does not start".into()),
            };
            let _ = self.pipeline.set_state(gst::State::Null);
            eprintln!("{}: {why}; it is opened again", self.name);
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Why the source plays no longer.
    fn watch(&self) -> String {
        let bus = self.pipeline.bus().expect("a pipeline has one");
        loop {
            match bus.timed_pop(gst::ClockTime::from_mseconds(200)).as_ref().map(|m| m.view()) {
                Some(gst::MessageView::Error(e)) => return what(e),
                Some(gst::MessageView::Warning(w)) => eprintln!("{}: {}", self.name, w.error()),
                Some(gst::MessageView::Latency(_)) => {
                    let _ = self.pipeline.recalculate_latency();
                }
                Some(gst::MessageView::Eos(_)) if self.is_file => {
                    let start = gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT;
                    if self.pipeline.seek_simple(start, gst::ClockTime::ZERO).is_err() {
                        return "it cannot be wound back".into();
                    }
                }
                Some(gst::MessageView::Eos(_)) => return "it has ended".into(),
                _ => {}
            }
            if lock(&self.last_frame).elapsed() > self.timeout {
                return format!("no frame for {} s", self.timeout.as_secs());
            }
        }
    }

    fn failure(&self) -> Option<String> {
        let message = self.pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(e) => Some(what(e)),
            _ => None,
        }
    }
}

/// An error with the last line of its details, where rtspsrc says what the matter is.
fn what(error: &gst::message::Error) -> String {
    let details = error.debug().unwrap_or_default();
    let last = details.lines().last().unwrap_or_default();
    format!("{} {last}", error.error()).trim_end().to_string()
}

/// Hands a frame to a client's pipeline, at the moment of the common clock that it belongs to.
fn forward(sample: &gst::Sample, from: &gst_app::AppSink, to: &gst_app::AppSrc) -> Option<()> {
    if to.current_state() != gst::State::Playing {
        return None;
    }
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let running = segment.to_running_time(sample.buffer()?.pts()?)?;
    let pts = (from.base_time()? + running).checked_sub(to.base_time()?)?;
    let mut buffer = sample.buffer_owned()?;
    {
        let buffer = buffer.make_mut();
        buffer.set_pts(pts);
        buffer.set_dts(gst::ClockTime::NONE);
    }
    to.set_caps(sample.caps_owned().as_ref());
    to.push_buffer(buffer).ok().map(drop)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
