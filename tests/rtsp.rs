//! A network camera's stream, its background replaced, and served again: three processes on the loopback.
//!
//! source (this file) → `examples/rtsp_server` → client (this file), at 30 frames a second.

mod common;

use common::{Running, clip, init};
use gst::glib;
use gst::prelude::*;
use gst_rtsp_server::prelude::*;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const FRAME: f64 = 1.0 / 30.0;
/// For which the stream is watched.
const WATCHED: f64 = 8.0;
const PORT: &str = "BGREMOVE_TEST_RTSP_PORT";

#[test]
fn a_stream_goes_through_and_comes_back_when_its_source_does() {
    init();
    let (source, address) = Server::source(0);
    let port: u16 = address.rsplit([':', '/']).nth(1).unwrap().parse().unwrap();
    let (_middle, served) = Server::with_blue_background(&address);
    let client = Client::new(&served);

    // The first frames belong to the start: connections, and the networks' first mask.
    client.wait_for(|frames| frames.len() > 60, Duration::from_secs(60));
    let start = client.frames().last().unwrap().time;
    let watched = Duration::from_secs_f64(WATCHED);
    client.wait_for(|f| f.last().unwrap().time >= start + WATCHED, watched * 2);
    let frames: Vec<Frame> =
        client.frames().into_iter().filter(|f| f.time > start && f.time <= start + WATCHED).collect();
    let steps: Vec<f64> = frames.windows(2).map(|w| w[1].time - w[0].time).collect();
    assert!(steps.iter().all(|&s| s > 0.0), "time runs backwards");
    let lost: u64 = steps.iter().map(|s| ((s / FRAME).round() as u64).saturating_sub(1)).sum();
    let expected = WATCHED / FRAME;
    let (shortest, longest) = steps.iter().fold((f64::MAX, 0.0f64), |(a, b), &s| (a.min(s), b.max(s)));
    let spread = (steps.iter().map(|s| (s - FRAME).powi(2)).sum::<f64>() / steps.len() as f64).sqrt();
    println!(
        "{} frames of {expected:.0}, {lost} lost; a step takes {:.1} to {:.1} ms, deviation {:.2} ms",
        frames.len(),
        shortest * 1e3,
        longest * 1e3,
        spread * 1e3
    );
    assert!(frames.len() as f64 >= 0.99 * expected && lost as f64 <= 0.01 * expected);
    // Steady: what a step differs from a frame by is a small part of one.
    assert!(spread < 0.25 * FRAME);
    assert!(frames.iter().all(Frame::is_right), "{:?}", frames.iter().find(|f| !f.is_right()));
    assert_eq!(client.errors(), Vec::<String>::new());

    // The source goes away, as a camera that starts anew does, and comes back at the same address.
    drop(source);
    std::thread::sleep(Duration::from_secs(3));
    let (_source, again) = Server::source(port);
    assert_eq!(again, address);
    let came_back = client.frames().len();
    client.wait_for(|frames| frames.len() > came_back + 60, Duration::from_secs(60));
    assert!(client.frames()[came_back + 30..].iter().all(Frame::is_right));
    assert_eq!(client.errors(), Vec::<String>::new(), "the client stayed connected");
}

/// Runs in a process of its own, as the camera.
#[test]
fn source_process() {
    let Ok(port) = std::env::var(PORT) else { return };
    init();
    let factory = gst_rtsp_server::RTSPMediaFactory::new();
    factory.set_launch(&format!(
        "( filesrc location=\"{}\" ! pngdec ! videoscale ! videoconvert ! video/x-raw,format=I420,width=480,height=480 ! \
         imagefreeze is-live=true ! video/x-raw,framerate=30/1 ! \
         x264enc tune=zerolatency speed-preset=ultrafast bitrate=2000 key-int-max=30 ! rtph264pay name=pay0 pt=96 )",
        clip("astronaut.png").display()
    ));
    factory.set_shared(true);
    let server = gst_rtsp_server::RTSPServer::new();
    server.set_address("127.0.0.1");
    server.set_service(&port);
    server.mount_points().unwrap().add_factory("/camera", factory);
    let _id = server.attach(None).unwrap();
    println!("serving rtsp://127.0.0.1:{}/camera", server.bound_port());
    glib::MainLoop::new(None, false).run();
}

/// A process that serves until it is dropped.
struct Server(Child);

impl Server {
    fn source(port: u16) -> (Self, String) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        Self::start(command.args(["source_process", "--exact", "--nocapture"]).env(PORT, port.to_string()))
    }

    fn with_blue_background(of: &str) -> (Self, String) {
        let deps = std::env::current_exe().unwrap().parent().unwrap().to_path_buf();
        let example = deps.with_file_name("examples").join("rtsp_server");
        assert!(example.exists(), "{} is missing: run `cargo build --examples`", example.display());
        Self::start(Command::new(example).args([of, "--port", "0", "--background", "#0000ff"]))
    }

    /// The process, and the address that it says it serves.
    fn start(command: &mut Command) -> (Self, String) {
        let mut server = Server(command.stdout(Stdio::piped()).spawn().unwrap());
        let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("it ended without serving").unwrap();
            if let Some((_, address)) = line.split_once("serving ") {
                break address.trim().to_string();
            }
        };
        // What else it says is read, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        (server, address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    /// Running time in seconds.
    time: f64,
    corner: [u8; 3],
    face: [u8; 3],
}

impl Frame {
    /// Blue where the background was, and the face in its own colours.
    fn is_right(&self) -> bool {
        let [r, g, b] = self.corner;
        let [fr, _, fb] = self.face;
        r < 40 && g < 40 && b > 215 && fr > 100 && fr > fb
    }
}

struct Client {
    pipeline: Running,
    frames: Arc<Mutex<Vec<Frame>>>,
}

impl Client {
    fn new(address: &str) -> Self {
        let line = format!(
            "rtspsrc location={address} latency=200 ! rtph264depay ! avdec_h264 ! videoconvert ! \
             video/x-raw,format=RGB ! appsink name=out"
        );
        let pipeline = gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap();
        let frames = Arc::new(Mutex::new(Vec::new()));
        let sink = pipeline.by_name("out").and_downcast::<gst_app::AppSink>().unwrap();
        let seen = frames.clone();
        sink.set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    seen.lock().unwrap().push(read(&sample).ok_or(gst::FlowError::Error)?);
                    Ok(gst::FlowSuccess::Ok)
                })
                .build(),
        );
        pipeline.set_state(gst::State::Playing).unwrap();
        Client { pipeline: Running(pipeline), frames }
    }

    fn frames(&self) -> Vec<Frame> {
        self.frames.lock().unwrap().clone()
    }

    fn wait_for(&self, enough: impl Fn(&[Frame]) -> bool, limit: Duration) {
        let start = Instant::now();
        while !enough(&self.frames.lock().unwrap()) {
            let seen = self.frames.lock().unwrap().len();
            assert!(start.elapsed() < limit, "{seen} frames after {limit:?}; {:?}", self.errors());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn errors(&self) -> Vec<String> {
        let bus = self.pipeline.bus().unwrap();
        let kinds = [gst::MessageType::Error, gst::MessageType::Eos];
        std::iter::from_fn(|| bus.pop_filtered(&kinds)).map(|m| format!("{m:?}")).collect()
    }
}

fn read(sample: &gst::Sample) -> Option<Frame> {
    let info = gst_video::VideoInfo::from_caps(sample.caps()?).ok()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let time = segment.to_running_time(sample.buffer()?.pts()?)?;
    let map = sample.buffer()?.map_readable().ok()?;
    let at = |x: u32, y: u32| {
        let start = y as usize * info.stride()[0] as usize + x as usize * 3;
        map[start..start + 3].try_into().expect("three of them")
    };
    let (w, h) = (info.width(), info.height());
    // A corner of the room, and the forehead.
    let (corner, face) = (at(w / 20, h * 2 / 5), at(w * 9 / 20, h / 5));
    Some(Frame { time: time.nseconds() as f64 * 1e-9, corner, face })
}
