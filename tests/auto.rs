//! `model=auto`: what it stands for with and without the best network on the shelf, for files and for live streams.
//!
//! The shelf is a folder of this test's own. The network `human` on it is one of a few operators, as long as the real
//! one, whose mask is white all over: whether it runs shows in the matte.
#![cfg(feature = "cli")]

mod common;

use common::onnx::{Attr, Onnx, Type};
use common::record::record;
use common::{Running, clip, init, threads, until};
use gst::prelude::*;
use gstbgremove::auto::{self, Best, Trial, Unknown};
use gstbgremove::runtime::Cancel;
use gstbgremove::{models, runtime};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

const TOOL: &str = env!("CARGO_BIN_EXE_bgremove");

/// The shelf and the cache, for one test at a time.
struct Shelf {
    folder: PathBuf,
    _one: MutexGuard<'static, ()>,
}

impl Shelf {
    /// With nothing on it, and nothing measured.
    fn empty() -> Self {
        static ONE: Mutex<()> = Mutex::new(());
        static FOLDER: OnceLock<PathBuf> = OnceLock::new();
        let _one = ONE.lock().unwrap_or_else(|e| e.into_inner());
        let folder = FOLDER.get_or_init(|| {
            let runtime = runtime::data_folder().join("runtime").canonicalize().expect("run `make runtime`");
            let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("auto");
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(folder.join("data/bgremove/models")).unwrap();
            std::os::unix::fs::symlink(runtime, folder.join("data/bgremove/runtime")).unwrap();
            // SAFETY: every test of this file comes through here first, and no other thread has begun anything.
            unsafe {
                std::env::set_var("XDG_DATA_HOME", folder.join("data"));
                std::env::set_var("XDG_CACHE_HOME", folder.join("cache"));
                std::env::remove_var("ORT_DYLIB_PATH");
            }
            init();
            folder
        });
        let shelf = Self { folder: folder.clone(), _one };
        let _ = std::fs::remove_file(shelf.human());
        let _ = std::fs::remove_dir_all(shelf.folder.join("cache/bgremove/pace"));
        shelf
    }

    fn human(&self) -> PathBuf {
        self.folder.join("data/bgremove/models/human.onnx")
    }

    /// Puts the best network on the shelf.
    fn install(&self) {
        let network = Onnx::new()
            .input("src", Type::F32, &[1, 3, -1, -1])
            .f32s("none", &[1, 3, 1, 1], &[0.0; 3])
            .op("Conv", "src none", "zero")
            .scalar("one", 1.0)
            .op("Add", "zero one", "pha");
        self.put(network);
    }

    /// The same one, and a run takes some milliseconds where the short side is 64, and a second or so at 288.
    fn install_slow(&self) {
        const STEPS: usize = 2500;
        let mut network = Onnx::new()
            .input("src", Type::F32, &[1, 3, -1, -1])
            .f32s("none", &[1, 3, 1, 1], &[0.0; 3])
            .op("Conv", "src none", "zero")
            .node("Transpose", "zero", "turned", &[("perm", Attr::Ints(&[0, 1, 3, 2]))])
            .op("MatMul", "zero turned", "m0");
        for k in 0..STEPS {
            network = network.op("MatMul", &format!("m{k} m0"), &format!("m{}", k + 1));
        }
        let network = network
            .op("ReduceMean", &format!("m{STEPS}"), "last")
            .scalar("one", 1.0)
            .op("Add", "last one", "white")
            .op("Add", "zero white", "pha");
        self.put(network);
    }

    fn put(&self, network: Onnx) {
        let mut bytes = network.output("pha", Type::F32, &[1, 1, -1, -1]).bytes();
        let length = models::entries().iter().find(|e| e.preset == "human").unwrap().bytes as usize;
        // As long as the real one, by a text of four bytes' length (ModelProto.doc_string).
        let rest = length - bytes.len() - 5;
        assert!((1 << 21..1 << 28).contains(&rest));
        bytes.push(6 << 3 | 2);
        bytes.extend((0..4).map(|i| (rest >> (7 * i)) as u8 & 0x7f | if i < 3 { 0x80 } else { 0 }));
        bytes.resize(length, b' ');
        std::fs::write(self.human(), bytes).unwrap();
        assert_eq!(auto::look(), Best::Installed);
    }

    /// The file with the only figure that is kept.
    fn figure(&self) -> PathBuf {
        let files = std::fs::read_dir(self.folder.join("cache/bgremove/pace")).expect("something is kept");
        let files: Vec<_> = files.map(|f| f.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }

    /// Says that a run has taken so long.
    fn say(&self, run: Duration) {
        let text = std::fs::read_to_string(self.figure()).unwrap();
        let (key, _) = text.rsplit_once("nanoseconds ").unwrap();
        std::fs::write(self.figure(), format!("{key}nanoseconds {}\n", run.as_nanos())).unwrap();
    }

    fn tool(&self, arguments: &[&str]) -> Output {
        let out = Command::new(TOOL).args(arguments).output().unwrap();
        assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        out
    }
}

/// The best network as the element runs it.
fn usual() -> Trial {
    Trial::usual(runtime::open(None).unwrap(), auto::BEST).unwrap()
}

/// What a stream said of its network.
#[derive(Debug)]
struct Told {
    /// From the messages on the bus: model, reason, advice, and the text.
    messages: Vec<[String; 4]>,
    stats: gst::Structure,
    record: Value,
}

impl Told {
    fn stat(&self, name: &str) -> String {
        self.stats.get(name).unwrap()
    }

    /// Whether the network from the shelf has run: its mask is white.
    fn white(&self) -> bool {
        let coverage: f64 = self.stats.get("subject-coverage").unwrap();
        assert!(!(0.3..0.9).contains(&coverage), "{coverage}");
        coverage > 0.9
    }

    /// All places say the same; gives the model, the reason and the advice.
    #[track_caller]
    fn agree(&self) -> [String; 3] {
        assert_eq!(self.messages.len(), 1, "{self:?}");
        let [model, reason, advice, text] = self.messages[0].clone();
        assert!(text.contains(&model) && text.contains(&reason) && text.contains(&advice), "{text}");
        assert_eq!((self.stat("model"), self.stat("model-reason")), (model.clone(), reason.clone()));
        let r = &self.record;
        assert_eq!(
            (&r["model"]["name"], &r["model"]["reason"]),
            (&model.clone().into(), &reason.clone().into())
        );
        assert_eq!((&r["stats"]["model"], &r["settings"]["model"]), (&model.clone().into(), &"auto".into()));
        assert_eq!(self.white(), model == "human");
        [model, reason, advice]
    }
}

fn choices(bus: &gst::Bus) -> Vec<[String; 4]> {
    let mut list = Vec::new();
    while let Some(message) = bus.pop_filtered(&[gst::MessageType::Info]) {
        let gst::MessageView::Info(info) = message.view() else { continue };
        let Some(details) = info.details().filter(|d| d.name() == "bgremove-model") else { continue };
        let field = |name: &str| details.get::<String>(name).unwrap_or_default();
        assert!(!field("job-id").is_empty());
        list.push([field("model"), field("reason"), field("advice"), info.error().message().to_string()]);
    }
    list
}

/// A pipeline whose bus nobody empties.
fn pipeline(line: &str) -> Running {
    Running(gst::parse::launch(line).unwrap().downcast::<gst::Pipeline>().unwrap())
}

/// Plays a few frames through `bgremove model=auto`.
fn play(source: &str, rate: &str, more: &str) -> Told {
    init();
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("r.json");
    let pipeline = pipeline(&format!(
        "videotestsrc pattern=black num-buffers=6 {source} ! video/x-raw,format=I420,width=320,height=180,framerate={rate} ! \
         bgremove name=b model=auto report-location={} {more} ! fakesink sync=false",
        report.display()
    ));
    let (bus, b) = (pipeline.bus().unwrap(), pipeline.by_name("b").unwrap());
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut messages = Vec::new();
    let begin = Instant::now();
    loop {
        assert!(begin.elapsed() < Duration::from_secs(60), "no end");
        let types = [gst::MessageType::Eos, gst::MessageType::Error, gst::MessageType::Info];
        let Some(message) = bus.timed_pop_filtered(gst::ClockTime::from_mseconds(100), &types) else {
            continue;
        };
        match message.view() {
            gst::MessageView::Error(e) => panic!("{e}"),
            gst::MessageView::Info(_) => {
                let one = gst::Bus::new();
                one.post(message.clone()).unwrap();
                messages.extend(choices(&one));
            }
            _ => break,
        }
    }
    assert_eq!(b.property::<String>("model"), "auto", "the property stays what was set");
    let stats = b.property::<gst::Structure>("stats");
    pipeline.set_state(gst::State::Null).unwrap();
    Told { messages, stats, record: record(&report) }
}

const LIVE: &str = "is-live=true";

#[test]
fn a_file_gets_the_best_network_that_is_there() {
    let shelf = Shelf::empty();
    let [model, reason, advice] = play("", "30/1", "").agree();
    assert_eq!((model.as_str(), reason.as_str()), ("light", "human is not installed"));
    assert!(advice.contains("GPL-3.0") && advice.ends_with("bgremove models install human"), "{advice}");

    shelf.install();
    let [model, _, advice] = play("", "30/1", "").agree();
    assert_eq!((model.as_str(), advice.as_str()), ("human", ""));

    // Not as long as it should be; and as long, but no network.
    let bytes = std::fs::read(shelf.human()).unwrap();
    std::fs::write(shelf.human(), &bytes[..1000]).unwrap();
    let [model, reason, advice] = play("", "30/1", "").agree();
    assert!(model == "light" && reason.contains("damaged") && advice.contains("anew"), "{reason} {advice}");
    std::fs::write(shelf.human(), vec![7; bytes.len()]).unwrap();
    let [model, reason, advice] = play("", "30/1", "").agree();
    assert!(
        model == "light" && reason.contains("cannot be used") && advice.contains("verify"),
        "{reason} {advice}"
    );
}

#[test]
fn a_live_stream_gets_it_if_it_keeps_the_pace_which_is_measured_once() {
    let shelf = Shelf::empty();
    let [model, reason, _] = play(LIVE, "5/1", "").agree();
    assert_eq!((model.as_str(), reason.as_str()), ("light", "human is not installed"));

    // A few operators take no tenth of a second, also on a busy machine.
    shelf.install();
    let [model, reason, _] = play(LIVE, "5/1", "").agree();
    assert!(model == "human" && reason.contains("200 ms"), "{model}: {reason}");
    let measured = std::fs::read(shelf.figure()).unwrap();
    play(LIVE, "5/1", "").agree();
    assert_eq!(std::fs::read(shelf.figure()).unwrap(), measured, "it is not measured again");

    // What is kept decides: more than half of a fifth of a second, less than half a second.
    shelf.say(Duration::from_millis(150));
    let [model, reason, _] = play(LIVE, "5/1", "").agree();
    assert!(model == "light" && reason.contains("150 ms"), "{model}: {reason}");
    assert_eq!(play("is-live=true num-buffers=2", "1/1", "").agree()[0], "human");
    // One inference for several frames has their time.
    assert_eq!(play(LIVE, "5/1", "inference-interval=2").agree()[0], "human");
    // A file that is not waited for has a pace, and one that is waited for has none.
    assert_eq!(play("", "5/1", "inference-mode=async").agree()[0], "light");
    assert_eq!(play("", "5/1", "").agree()[0], "human");
    // What is damaged is measured again.
    std::fs::write(shelf.figure(), "nanoseconds 1\n").unwrap();
    assert_eq!(play(LIVE, "5/1", "").agree()[0], "human");
    assert_ne!(std::fs::read(shelf.figure()).unwrap(), b"nanoseconds 1\n");
}

/// How many measure just now.
fn measuring() -> usize {
    threads("bgremove-trial")
}

#[test]
fn the_start_of_a_stream_is_not_held_up() {
    let shelf = Shelf::empty();
    shelf.install_slow();
    let trial = usual();
    // Who is stopped does not wait, and nothing is kept of what has been called off.
    let begin = Instant::now();
    let told = trial.run_within(Duration::from_secs(60), &Cancel::default(), || true);
    assert!(told == Err(Unknown::Interrupted) && begin.elapsed() < Duration::from_millis(500));
    let begin = Instant::now();
    let told = trial.run_within(Duration::from_secs(60), &Cancel::default(), || {
        begin.elapsed() > Duration::from_millis(100)
    });
    assert_eq!(told, Err(Unknown::Interrupted));
    until("nobody measures any more", || measuring() == 0);
    assert_eq!(trial.known(), None);
    // When patience is over, it is measured all the same, until it is called off.
    let trial = Trial { side: 96, ..trial.clone() };
    let cancel = Cancel::default();
    let begin = Instant::now();
    let Err(Unknown::Because(why)) = trial.run_within(Duration::ZERO, &cancel, || false) else { panic!() };
    assert!(why.contains("bgremove doctor") && begin.elapsed() < Duration::from_millis(500), "{why}");
    until("it is known", || trial.known().is_some());
    let figure = trial.known().unwrap();
    assert!(figure.beside && figure.provider == "cpu", "{figure:?}");
    assert_eq!(trial.run_within(Duration::ZERO, &cancel, || false), Ok(figure));
    trial.forget();
    let Err(Unknown::Because(_)) = trial.run_within(Duration::ZERO, &cancel, || false) else { panic!() };
    cancel.call();
    // With patience it is known, and then no time is needed.
    let patient = || trial.run_within(Duration::from_secs(60), &Cancel::default(), || false);
    let figure = patient().unwrap();
    assert!(!figure.beside && trial.known() == Some(figure.clone()), "{figure:?}");
    assert_eq!(patient(), Ok(figure.clone()));
    // Portraits and what is a little narrower are no other matter; what is much wider is.
    for (aspect, same) in [(9.0 / 16.0, true), (1.6, true), (4.0 / 3.0, false), (21.0 / 9.0, false)] {
        assert_eq!(Trial { aspect, ..trial.clone() }.known() == Some(figure.clone()), same, "{aspect}");
    }
    shelf.figure();
}

#[test]
fn who_waits_for_another_who_measures_gets_that_figure() {
    let shelf = Shelf::empty();
    shelf.install_slow();
    let trial = Trial { side: 96, ..usual() };
    let told: Vec<_> = std::thread::scope(|scope| {
        let one = || trial.run_within(Duration::from_secs(60), &Cancel::default(), || false);
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|t| t.join().unwrap().unwrap()).collect()
    });
    assert!(told.iter().all(|figure| *figure == told[0]), "{told:?}");
    // One that is called off while it waits for its turn does not go on waiting for it.
    trial.forget();
    let long = Trial { side: 0, ..trial.clone() };
    let (cancel, other) = (Cancel::default(), Cancel::default());
    std::thread::scope(|scope| {
        let measures = scope.spawn(|| long.run_beside(&cancel));
        std::thread::sleep(Duration::from_millis(500));
        let waits = scope.spawn(|| trial.run_beside(&other));
        std::thread::sleep(Duration::from_millis(100));
        other.call();
        let begin = Instant::now();
        assert!(waits.join().unwrap().is_err() && begin.elapsed() < Duration::from_millis(500));
        assert!(!measures.is_finished(), "it was to be slow");
        cancel.call();
        assert!(measures.join().unwrap().is_err());
    });
}

#[test]
fn what_was_measured_on_another_provider_does_not_count() {
    let shelf = Shelf::empty();
    shelf.install();
    assert_eq!(play(LIVE, "5/1", "").agree()[0], "human");
    // It was measured while there was a GPU.
    let kept = std::fs::read_to_string(shelf.figure()).unwrap();
    let (key, _) = kept.split_once("ran on cpu\n").unwrap();
    std::fs::write(shelf.figure(), format!("{key}ran on cuda\nnanoseconds 1234567\n")).unwrap();
    let [model, reason, _] = play(LIVE, "5/1", "").agree();
    assert!(model == "human" && !reason.contains("1.2 ms"), "{reason}");
    assert!(std::fs::read_to_string(shelf.figure()).unwrap().contains("ran on cpu\n"));
    // And without it the network is much too slow.
    let key = key.to_string();
    shelf.install_slow();
    std::fs::write(shelf.figure(), format!("{key}ran on cuda\nnanoseconds 1234567\n")).unwrap();
    let [model, reason, _] = play(LIVE, "5/1", "").agree();
    assert!(model == "light" && !reason.contains("1.2 ms"), "{reason}");
}

#[test]
fn what_nobody_waits_for_any_more_is_not_measured_on() {
    let shelf = Shelf::empty();
    shelf.install_slow();
    // A run takes some seconds, and there are to be several.
    let slow = "resolution=576";
    let free = |what: &str| {
        let begin = Instant::now();
        let trial = Trial { side: 64, ..usual() };
        trial.run_beside(&Cancel::default()).unwrap();
        assert!(begin.elapsed() < Duration::from_secs(6), "{what}: {:?}", begin.elapsed());
    };
    // The stream begins without it, and its end is the end of that.
    let [model, reason, _] = play(LIVE, "5/1", slow).agree();
    assert!(model == "light" && reason.contains("within 2 s"), "{reason}");
    free("the stream has ended");
    // So is the wish for another network.
    let pipeline = pipeline(&format!(
        "videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=30/1 ! bgremove name=b {slow} ! fakesink"
    ));
    let b = pipeline.by_name("b").unwrap();
    let model = || b.property::<gst::Structure>("stats").get::<String>("model").unwrap();
    let inferences = || b.property::<gst::Structure>("stats").get::<u64>("inferences").unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    until("it runs", || inferences() > 0);
    b.set_property("model", "auto");
    // In a thread that was there before: nothing shows when it begins.
    std::thread::sleep(Duration::from_millis(500));
    let begin = Instant::now();
    b.set_property("model", "original");
    until("original takes over", || model() == "original");
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    free("another network is there");
    assert!(!shelf.folder.join("cache/bgremove/pace").exists(), "nothing is kept");
}

#[test]
fn a_flush_while_it_is_measured_settles_nothing() {
    let shelf = Shelf::empty();
    shelf.install_slow();
    let b = gst::ElementFactory::make("bgremove").build().unwrap();
    b.set_property("model", "auto");
    b.set_property_from_str("inference-mode", "async");
    let bus = gst::Bus::new();
    b.set_bus(Some(&bus));
    let sink = b.static_pad("sink").unwrap();
    let stats = |name: &str| b.property::<gst::Structure>("stats").get::<String>(name).unwrap();
    let mut harness = gst_check::Harness::with_element(&b, Some("sink"), Some("src"));
    harness.play();
    let info = common::info(gst_video::VideoFormat::I420, 320, 180);
    std::thread::scope(|scope| {
        // The caps wait for what a run takes.
        let caps = scope.spawn(|| harness.set_src_caps(info.to_caps().unwrap()));
        until("it is measured", || measuring() > 0);
        assert!(!caps.is_finished(), "it was to be slow");
        let begin = Instant::now();
        assert!(sink.send_event(gst::event::FlushStart::new()));
        caps.join().unwrap();
        assert!(begin.elapsed() < Duration::from_millis(500), "{:?}", begin.elapsed());
        assert!(sink.send_event(gst::event::FlushStop::new(false)));
    });
    assert_eq!(choices(&bus).len(), 0);
    assert_eq!((stats("model"), stats("model-reason")), ("light".into(), String::new()));
    // The same caps are no news; the choice is made before the first frame. By now the network is another one.
    shelf.install();
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(harness.push_event(gst::event::Segment::new(&segment)));
    for n in 0..3 {
        harness.push(common::portrait(&info, n)).unwrap();
    }
    let told = choices(&bus);
    assert!(told.len() == 1 && told[0][1].contains("that a frame lasts"), "{told:?}");
    assert_eq!((stats("model"), stats("model-reason")), (told[0][0].clone(), told[0][1].clone()));
    shelf.figure();
}

#[test]
fn nothing_changes_in_mid_stream() {
    let shelf = Shelf::empty();
    init();
    let pipeline = pipeline(
        "videotestsrc name=s is-live=true pattern=black ! capsfilter name=c caps=video/x-raw,format=I420,width=320,height=180,framerate=30/1 ! \
         bgremove name=b model=auto ! fakesink name=out sync=false",
    );
    let (bus, b) = (pipeline.bus().unwrap(), pipeline.by_name("b").unwrap());
    let stats = |name: &str| b.property::<gst::Structure>("stats").value(name).unwrap().clone();
    let frames = || stats("inferences").get::<u64>().unwrap();
    let model = || stats("model").get::<String>().unwrap();
    let some_more = || {
        let before = frames();
        until("frames come", || frames() > before + 5);
    };
    pipeline.set_state(gst::State::Playing).unwrap();
    some_more();
    assert_eq!(model(), "light");
    // A better one is installed; the frames get another shape, for which a network is loaded.
    shelf.install();
    let caps = |text: &str| text.parse::<gst::Caps>().unwrap();
    pipeline
        .by_name("c")
        .unwrap()
        .set_property("caps", caps("video/x-raw,format=I420,width=240,height=240,framerate=30/1"));
    some_more();
    until("the new shape is there", || {
        let now = b.static_pad("src").unwrap().current_caps().unwrap();
        now.structure(0).unwrap().get::<i32>("width") == Ok(240)
    });
    some_more();
    b.set_property("resolution", 128u32);
    some_more();
    assert_eq!((model(), choices(&bus).len()), ("light".into(), 1));

    // Named ones come and go as ever, and nobody has chosen them.
    b.set_property("model", "original");
    until("original takes over", || model() == "original");
    assert_eq!(stats("model-reason").get::<String>().unwrap(), "");
    // Whoever asks for auto in mid-stream asks anew.
    b.set_property("model", "auto");
    until("auto takes over", || model() == "human" && stats("subject-coverage").get::<f64>().unwrap() > 0.9);
    assert_eq!(choices(&bus).iter().map(|c| c[0].as_str()).collect::<Vec<_>>(), ["human"]);
    assert_eq!(b.property::<String>("model"), "auto");
    // And that stays, whatever becomes of the file.
    std::fs::remove_file(shelf.human()).unwrap();
    some_more();
    assert_eq!(model(), "human");
    // The next stream is another matter.
    pipeline.set_state(gst::State::Ready).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    some_more();
    assert_eq!(model(), "light");
}

#[test]
fn the_elements_own_default_is_a_network_by_name() {
    let _shelf = Shelf::empty();
    let b = gst::ElementFactory::make("bgremove").build().unwrap();
    assert_ne!(b.property::<String>("model"), "auto");
    let spec = b.find_property("model").unwrap();
    assert!(spec.blurb().unwrap().contains("auto"), "gst-inspect-1.0 tells of it");
}

/// The first line on standard error, and the first event.
fn first_of(shelf: &Shelf, more: &[&str]) -> (String, Value, Value) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let clip = clip("carphone_pristine.mp4").display().to_string();
    let (out, report) = (at("a.webm"), at("r.json"));
    let line = [&["convert", &clip, &out, "--overwrite", "--duration", "0.2"][..], more].concat();
    let told = shelf.tool(&[&line[..], &["--report", &report]].concat());
    let json = shelf.tool(&[&line[..], &["--json"]].concat());
    let first = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().to_string();
    (first(&told.stderr), serde_json::from_str(&first(&json.stdout)).unwrap(), record(Path::new(&report)))
}

#[test]
fn convert_says_on_its_first_line_what_it_takes_and_why() {
    let shelf = Shelf::empty();
    let (line, event, record) = first_of(&shelf, &[]);
    assert_eq!(line, "model light, chosen by auto: human is not installed");
    assert_eq!((&event["event"], &event["model"]), (&"model".into(), &"light".into()));
    assert!(event["advice"].as_str().unwrap().ends_with("bgremove models install human"), "{event}");
    assert_eq!((&record["model"]["name"], &record["settings"]["model"]), (&"light".into(), &"auto".into()));
    shelf.install();
    let (line, event, record) = first_of(&shelf, &[]);
    assert!(line.starts_with("model human, chosen by auto: "), "{line}");
    assert_eq!((&event["model"], &event["advice"]), (&"human".into(), &Value::Null));
    assert_eq!(record["model"]["name"], "human");
    // Who has named one is told nothing.
    let (line, event, record) = first_of(&shelf, &["--model", "light"]);
    assert_eq!((line.as_str(), &event["event"]), ("", &"start".into()));
    assert_eq!((&record["model"]["name"], record["model"].get("reason")), (&"light".into(), None));
}

#[test]
fn the_tool_tells_what_it_would_choose() {
    let shelf = Shelf::empty();
    let says = |arguments: &[&str]| String::from_utf8(shelf.tool(arguments).stdout).unwrap();
    let chosen = || -> Vec<Value> {
        let list: Value = serde_json::from_str(&says(&["models", "list", "--json"])).unwrap();
        ["light", "human"]
            .map(|name| list.as_array().unwrap().iter().find(|n| n["name"] == name).unwrap()["auto"].clone())
            .to_vec()
    };
    let last = |text: String| text.lines().last().unwrap_or_default().to_string();
    let line = last(says(&["models", "list"]));
    assert!(line.starts_with("auto") && line.contains("light (human is not installed)"), "{line}");
    assert!(line.ends_with("bgremove models install human"), "{line}");
    assert_eq!(chosen(), [serde_json::json!(["files", "live"]), serde_json::json!([])]);
    // Installed, and not measured yet.
    shelf.install();
    let info = says(&["models", "info", "auto"]);
    assert!(info.contains("files    human: ") && info.contains("live     light: "), "{info}");
    assert!(info.contains("not known yet"), "{info}");
    assert_eq!(chosen(), [serde_json::json!(["live"]), serde_json::json!(["files"])]);
    // Measured: what the tool says is what the element does.
    usual().run_anew().unwrap();
    shelf.say(Duration::from_millis(1));
    assert!(says(&["models", "info", "auto"]).contains("live     human: "));
    assert_eq!(chosen(), [serde_json::json!([]), serde_json::json!(["files", "live"])]);
    assert_eq!(play(LIVE, "30/1", "").agree()[0], "human");
    shelf.say(Duration::from_millis(20));
    assert!(says(&["models", "list"]).contains("takes 20 ms here"));
    assert_eq!(play(LIVE, "30/1", "").agree()[0], "light");
}
