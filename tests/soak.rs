//! A live stream to which everything happens that may happen to one, for a minute or for longer:
//!
//!     BGREMOVE_SOAK_SECONDS=1200 cargo test --release --test soak -- --nocapture
//!
//! In a process of its own, where any critical warning of GLib is the end, since memory and threads are a process's.
//! The same again: `BGREMOVE_SOAK_SEED`, as the first line says it.

mod common;

use common::{Running, clip, info, init, portrait};
use gst::prelude::*;
use gst_video::VideoFormat;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const CHILD: &str = "BGREMOVE_SOAK_CHILD";
/// What may be taken after the first half of a minute; from there it has to stay.
const WARM_UP: Duration = Duration::from_secs(30);
/// The memory of the scene, in buffers of each size of frame, fills the allocator's arenas for a while.
const ROOM: u64 = 14 << 20;

/// Each property that may change while playing, and values for it, the default first.
const VALUES: &[(&str, &[&str])] = &[
    (
        "background",
        &["transparent", "#204060", "blur", "blur:8", "tomato", "color", "PICTURE", "/no/such.png"],
    ),
    ("background-color", &["4278235456", "4294901760"]),
    ("background-blur", &["3", "12.5"]),
    ("background-fit", &["cover", "contain", "stretch"]),
    ("black-point", &["0", "0.1"]),
    ("decontaminate", &["true", "false"]),
    ("edge-shift", &["0", "-3", "5"]),
    ("edge-softness", &["0", "2", "20"]),
    ("follow-subject", &["true", "false"]),
    ("inference-interval", &["1", "3"]),
    ("inference-mode", &["auto", "sync", "async"]),
    ("inference-timeout", &["10000000000", "0", "5000000000"]),
    ("layers", &["0", "matte", "matte+background+plate"]),
    ("lookahead", &["0", "1", "5"]),
    ("matte-delay", &["0", "50000000", "200000000"]),
    ("max-mask-age", &["0", "100000000", "18446744073709551615"]),
    ("max-inference-rate", &["0", "5"]),
    ("model", &["light", "original", "auto"]),
    ("on-error", &["auto", "hold", "passthrough", "hide"]),
    ("output", &["video", "matte", "background"]),
    ("refine", &["best", "learned", "fast", "none"]),
    ("report-location", &["", "REPORT"]),
    ("resolution", &["0", "128"]),
    ("reuse-threshold", &["0", "0.02"]),
    ("remember-background", &["true", "false"]),
    ("scene-detection", &["true", "false"]),
    #[cfg(feature = "analytics")]
    ("segmentation-meta", &["false", "true"]),
    ("stats-interval", &["0", "100000000"]),
    ("subject", &["all", "largest", "nearest:0.3,0.5", "meta", "box:0.2,0,0.5,1"]),
    ("temporal-smoothing", &["0.6", "0", "1"]),
    ("white-point", &["1", "0.9"]),
];
/// It belongs to a file of one's own.
const LEFT_OUT: [&str; 1] = ["model-options"];

#[test]
fn a_live_stream_stays_whole_whatever_happens() {
    let seed = std::env::var("BGREMOVE_SOAK_SEED").ok().and_then(|s| s.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["soak_process", "--exact", "--nocapture"])
        .env(CHILD, seed.to_string())
        .env("G_DEBUG", "fatal-criticals")
        .stdout(std::process::Stdio::inherit())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "seed {seed}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn soak_process() {
    let Ok(seed) = std::env::var(CHILD) else { return };
    let seconds = std::env::var("BGREMOVE_SOAK_SECONDS").map_or(60, |s| s.parse().unwrap());
    println!("seed {seed}, {seconds} s");
    // The system's allocator keeps what is given back, for each thread, and the more the larger it was. Not so here,
    // where a leak has to show: one heap, and what is free in it goes back before memory is measured.
    for (what, n) in
        [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, 128 << 10), (libc::M_TRIM_THRESHOLD, 128 << 10)]
    {
        // SAFETY: nobody else changes these.
        assert_eq!(unsafe { libc::mallopt(what, n) }, 1);
    }
    init();
    let mut dice = Dice(seed.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let before = threads();

    let soak = Soak::new(folder.path());
    soak.all_properties_are_known();
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let pause = Duration::from_secs((seconds / 8).clamp(5, 15));
    soak.everything_once();
    let (mut next, mut highest, mut later, mut actions) = (Instant::now(), 0, Vec::new(), 0);
    while Instant::now() < end {
        if Instant::now() < next {
            soak.act(&mut dice);
            actions += 1;
            std::thread::sleep(Duration::from_millis(dice.below(500)));
            continue;
        }
        soak.settle();
        let memory = resident();
        println!(
            "{:4} s: {:.1} MB, {} threads, {actions} actions, {} frames",
            start.elapsed().as_secs(),
            memory as f64 / 1e6,
            threads().len(),
            soak.frames()
        );
        if start.elapsed() <= WARM_UP || highest == 0 {
            highest = highest.max(memory);
        } else {
            later.push(memory);
        }
        next = Instant::now() + pause;
    }
    drop(soak);
    assert!(!later.is_empty(), "no time to measure anything after the warm-up");
    // Frames and networks that are just under way come and go: a leak is what the lowest of a few shows.
    for some in later.chunks(4) {
        let lowest = *some.iter().min().expect("chunks have something in them");
        assert!(lowest <= highest + ROOM, "{lowest} bytes, {highest} at first");
    }

    // GLib keeps its pool's idle threads for a quarter of a minute.
    let ended = Instant::now();
    while threads().len() > before.len() {
        assert!(ended.elapsed() < Duration::from_secs(30), "left over: {:?}", threads());
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("no thread is left after {:.1} s", ended.elapsed().as_secs_f64());
}

struct Soak {
    pipeline: Running,
    bgremove: gst::Element,
    bus: gst::Bus,
    report: String,
    frames: Arc<AtomicU64>,
    camera: Arc<Camera>,
    pusher: Option<std::thread::JoinHandle<()>>,
    /// How long a frame is held up at the sink, ms.
    blocked: Arc<AtomicU64>,
    /// Bytes of the network that it begins with.
    light: u64,
}

impl Soak {
    fn new(folder: &std::path::Path) -> Self {
        let line = "appsrc name=in is-live=true format=time max-buffers=3 leaky-type=downstream ! \
                    bgremove name=bg ! queue max-size-buffers=2 ! fakesink name=out sync=true";
        let pipeline = gst::parse::launch(line).unwrap().downcast::<gst::Pipeline>().unwrap();
        let pipeline = Running(pipeline);
        let (frames, blocked) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let sink = pipeline.by_name("out").unwrap().static_pad("sink").unwrap();
        let (count, hold) = (frames.clone(), blocked.clone());
        sink.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            count.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(hold.swap(0, Ordering::Relaxed)));
            gst::PadProbeReturn::Ok
        });
        let bgremove = pipeline.by_name("bg").unwrap();
        let bus = pipeline.bus().unwrap();
        let camera = Arc::new(Camera::new());
        let source = pipeline.by_name("in").and_downcast::<gst_app::AppSrc>().unwrap();
        let (pictures, whole) = (camera.clone(), pipeline.0.downgrade());
        let pusher = std::thread::spawn(move || pictures.run(&source, &whole));
        let report = folder.join("report.json").display().to_string();
        let mut soak =
            Self { pipeline, bgremove, bus, report, frames, camera, pusher: Some(pusher), blocked, light: 0 };
        soak.state(gst::State::Playing);
        soak.flows();
        soak.light = soak.network();
        assert!(soak.light > 0);
        soak
    }

    fn all_properties_are_known(&self) {
        for p in self.bgremove.list_properties() {
            let (name, flags) = (p.name(), p.flags());
            let live = flags.contains(gst::PARAM_FLAG_MUTABLE_PLAYING);
            let listed = VALUES.iter().any(|(n, _)| *n == name) || LEFT_OUT.contains(&name);
            assert_eq!(live, listed, "is '{name}' in the list?");
        }
    }

    /// So that all working memory that is kept has been asked for once.
    fn everything_once(&self) {
        for (name, values) in VALUES {
            // The default last.
            for value in values.iter().rev() {
                self.set(name, value);
                std::thread::sleep(Duration::from_millis(if *name == "model" { 2000 } else { 100 }));
                self.flows();
            }
        }
        for kind in (0..Camera::KINDS.len()).rev() {
            self.camera.change(|now| now.kind = kind);
            std::thread::sleep(Duration::from_millis(200));
            self.flows();
        }
    }

    fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    fn set(&self, name: &str, value: &str) {
        match value {
            "PICTURE" => self.bgremove.set_property(name, clip("astronaut.png").display().to_string()),
            "REPORT" => self.bgremove.set_property(name, &self.report),
            "" => self.bgremove.set_property(name, None::<&str>),
            _ => self.bgremove.set_property_from_str(name, value),
        }
    }

    /// Anything that may happen, and then frames have to come again.
    fn act(&self, dice: &mut Dice) {
        let pad = self.bgremove.static_pad("sink").unwrap();
        match dice.below(20) {
            0..=9 => {
                let (name, values) = VALUES[dice.below(VALUES.len() as u64) as usize];
                self.set(name, values[dice.below(values.len() as u64) as usize]);
            }
            10 => self.set("model", ["light", "original", "auto"][dice.below(3) as usize]),
            11 | 12 => {
                let source = self.pipeline.by_name("in").unwrap();
                source.send_event(gst::event::FlushStart::new());
                std::thread::sleep(Duration::from_millis(dice.below(50)));
                source.send_event(gst::event::FlushStop::new(dice.below(2) == 0));
            }
            13 | 14 => self.camera.change(|now| now.kind = dice.below(Camera::KINDS.len() as u64) as usize),
            // As a clock that is set does.
            15 => self.camera.change(|now| now.jump = dice.below(3000) as i64 - 2000),
            16 => self.camera.change(|now| now.scene = dice.below(3)),
            17 => self.blocked.store(dice.below(1000), Ordering::Relaxed),
            18 => {
                let source = self.pipeline.by_name("in").and_downcast::<gst_app::AppSrc>().unwrap();
                if dice.below(2) == 0 {
                    let gap =
                        gst::event::Gap::builder(self.pipeline.current_running_time().unwrap_or_default());
                    pad.peer().unwrap().push_event(gap.build());
                } else {
                    let _ = source.end_of_stream();
                    std::thread::sleep(Duration::from_millis(dice.below(200)));
                    self.state(gst::State::Ready);
                }
            }
            _ => {
                let down = [gst::State::Paused, gst::State::Ready, gst::State::Null];
                self.state(down[dice.below(3) as usize]);
                std::thread::sleep(Duration::from_millis(dice.below(300)));
            }
        }
        self.state(gst::State::Playing);
        self.flows();
    }

    /// Back to what it began with, and a while for it to take hold.
    fn settle(&self) {
        for (name, values) in VALUES {
            self.set(name, values[0]);
        }
        self.camera.change(|now| *now = Now::default());
        let start = Instant::now();
        // Until the other network is gone, and all that was on its way.
        while start.elapsed() < Duration::from_secs(2) || self.network() != self.light {
            assert!(start.elapsed() < Duration::from_secs(30), "it does not settle");
            std::thread::sleep(Duration::from_millis(200));
            self.flows();
        }
    }

    /// Bytes of the network in use.
    fn network(&self) -> u64 {
        self.bgremove.property::<gst::Structure>("stats").get("network-bytes").unwrap()
    }

    fn state(&self, state: gst::State) {
        let start = Instant::now();
        self.pipeline.set_state(state).unwrap();
        // It is live: PAUSED has no frame to wait for.
        self.pipeline.state(gst::ClockTime::from_seconds(10)).0.unwrap();
        // A fifth of a second is the promise; the machine may be busy.
        assert!(start.elapsed() < Duration::from_secs(5), "{state:?} took {:?}", start.elapsed());
    }

    fn flows(&self) {
        let (start, before) = (Instant::now(), self.frames());
        loop {
            if let Some(error) = self.bus.pop_filtered(&[gst::MessageType::Error]) {
                panic!("{error:?}");
            }
            if self.frames() > before {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "no frame for ten seconds");
            std::thread::sleep(Duration::from_millis(5));
        }
        while self.bus.pop().is_some() {}
    }
}

impl Drop for Soak {
    fn drop(&mut self) {
        self.camera.off.store(true, Ordering::Relaxed);
        let _ = self.pusher.take().unwrap().join();
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// What it shows, and when.
#[derive(Clone, Copy, Default)]
struct Now {
    kind: usize,
    scene: u64,
    /// ms that the frames' times are ahead by.
    jump: i64,
}

struct Camera {
    now: Mutex<Now>,
    off: AtomicBool,
}

impl Camera {
    const KINDS: [(VideoFormat, u32, u32); 6] = [
        (VideoFormat::I420, 640, 360),
        (VideoFormat::Nv12, 640, 360),
        (VideoFormat::Yuy2, 640, 360),
        (VideoFormat::Bgrx, 639, 359),
        (VideoFormat::Rgba, 320, 180),
        (VideoFormat::I420, 161, 321),
    ];

    fn new() -> Self {
        Camera { now: Mutex::default(), off: AtomicBool::new(false) }
    }

    fn change(&self, how: impl FnOnce(&mut Now)) {
        how(&mut self.now.lock().unwrap());
    }

    /// A frame every 33 ms, whatever becomes of it.
    fn run(&self, to: &gst_app::AppSrc, pipeline: &gst::glib::WeakRef<gst::Pipeline>) {
        let infos: Vec<_> = Self::KINDS.iter().map(|&(f, w, h)| info(f, w, h)).collect();
        let pictures: Vec<_> = infos.iter().map(|i| portrait(i, 0)).collect();
        // Another scene: the same without a subject.
        let empty: Vec<_> =
            pictures.iter().map(|p| gst::Buffer::from_mut_slice(vec![90; p.size()])).collect();
        let start = Instant::now();
        let mut shown = usize::MAX;
        for n in 1.. {
            std::thread::sleep((start + Duration::from_millis(n * 1000 / 30)).duration_since(Instant::now()));
            if self.off.load(Ordering::Relaxed) {
                return;
            }
            let now = *self.now.lock().unwrap();
            let Some(time) = pipeline.upgrade().and_then(|p| p.current_running_time()) else { continue };
            if shown != now.kind {
                shown = now.kind;
                to.set_caps(Some(&infos[now.kind].to_caps().unwrap()));
            }
            // One scene flickers between both.
            let with = now.scene == 0 || now.scene == 1 && n % 20 < 10;
            let mut buffer = if with { &pictures } else { &empty }[now.kind].copy();
            let b = buffer.make_mut();
            let time = time.mseconds() as i64 + now.jump;
            b.set_pts(gst::ClockTime::from_mseconds(time.max(0) as u64));
            b.set_duration(gst::ClockTime::SECOND / 30);
            // It flushes, or is stopped: the frame is lost.
            let _ = to.push_buffer(buffer);
        }
    }
}

/// Numerical Recipes' linear congruential generator, its high bits.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    // SAFETY: it may be called at any time.
    unsafe { libc::malloc_trim(0) };
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// The names of this process's threads.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |t: std::io::Result<std::fs::DirEntry>| {
        Some(std::fs::read_to_string(t.ok()?.path().join("comm")).ok()?.trim().to_string())
    };
    // The one with which newer GLibs make the threads of their pools stays.
    tasks.filter_map(name).filter(|name| name != "pool-spawner").collect()
}
