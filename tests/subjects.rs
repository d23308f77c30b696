//! Who is kept of several people: real ones whom the built-in network finds, and what a program is told of them.

mod common;

use common::onnx::Onnx;
use common::*;
use gst::prelude::*;
use gst_video::VideoFormat;
use image::{Rgba, RgbaImage, imageops};
use std::sync::LazyLock;

const W: u32 = 640;
const H: u32 = 360;

/// The astronaut, cut out; and two others, who are she in other clothes, turned round.
static PEOPLE: LazyLock<[RgbaImage; 3]> = LazyLock::new(|| {
    let large = info(VideoFormat::Rgba, 512, 512);
    let (_, cut) =
        process("follow-subject=false", "video/x-raw,format=RGBA", &large, vec![portrait(&large, 0)])
            .unwrap();
    let cut = RgbaImage::from_raw(512, 512, cut[0].map_readable().unwrap().to_vec()).unwrap();
    let dressed = |order: [usize; 3]| {
        let mut other = imageops::flip_horizontal(&cut);
        // Below the chin.
        other
            .rows_mut()
            .skip(210)
            .flatten()
            .for_each(|p| *p = Rgba([p[order[0]], p[order[1]], p[order[2]], p[3]]));
        other
    };
    [cut.clone(), dressed([2, 1, 0]), dressed([1, 0, 2])]
});

/// One of them, so high, whose picture's middle is at `x`; they stand on the lower edge.
#[derive(Clone, Copy)]
struct Person {
    who: usize,
    x: i64,
    height: u32,
}

/// A frame with people in a room, the last one before the others; and what each of them shows, 0 to 255.
fn frame(people: &[Person], n: u64) -> (gst::Buffer, Vec<Vec<u8>>) {
    let mut room = RgbaImage::from_fn(W, H, |x, y| Rgba([(x / 8 + 60) as u8, (y / 4 + 70) as u8, 110, 255]));
    let mut shown: Vec<Vec<u8>> = Vec::new();
    for p in people {
        let picture = imageops::resize(&PEOPLE[p.who], p.height, p.height, imageops::FilterType::Triangle);
        let mut own = vec![0; (W * H) as usize];
        for (px, py, v) in picture.enumerate_pixels() {
            let (x, y) = (p.x - i64::from(p.height) / 2 + i64::from(px), H - p.height + py);
            if !(0..i64::from(W)).contains(&x) {
                continue;
            }
            let (a, under) = (u32::from(v[3]), room.get_pixel_mut(x as u32, y));
            for c in 0..3 {
                under[c] = ((u32::from(v[c]) * a + u32::from(under[c]) * (255 - a)) / 255) as u8;
            }
            let at = (y * W + x as u32) as usize;
            own[at] = v[3];
            shown.iter_mut().for_each(|before| before[at] = (u32::from(before[at]) * (255 - a) / 255) as u8);
        }
        shown.push(own);
    }
    let mut buffer = gst::Buffer::from_mut_slice(room.into_raw());
    let own = buffer.get_mut().unwrap();
    own.set_pts(gst::ClockTime::SECOND * n / 30);
    own.set_duration(gst::ClockTime::SECOND / 30);
    (buffer, shown)
}

/// How much of what each shows is in the matte of each frame, and how many pixels are in it that nobody shows, as a part of
/// what all do.
fn kept(props: &str, frames: &[Vec<Person>]) -> Vec<(Vec<f64>, f64)> {
    let (buffers, shown): (Vec<_>, Vec<_>) =
        frames.iter().enumerate().map(|(n, f)| frame(f, n as u64)).unzip();
    let info = info(VideoFormat::Rgba, W, H);
    let (out, got) =
        process(&format!("output=matte {props}"), "video/x-raw,format=GRAY8", &info, buffers).unwrap();
    assert_eq!(got.len(), frames.len());
    let part = |buffer: &gst::Buffer, shown: &Vec<Vec<u8>>| {
        let alpha = Samples::new(buffer, &out).first();
        let of = |own: &Vec<u8>| {
            let all: f64 = own.iter().filter(|v| **v > 200).count() as f64;
            let left: f64 =
                own.iter().zip(&alpha).filter(|(v, _)| **v > 200).map(|(_, a)| f64::from(*a) / 255.0).sum();
            left / all.max(1.0)
        };
        let nobody = |i: usize| shown.iter().all(|own| own[i] < 20);
        let beyond =
            (0..alpha.len()).filter(|i| nobody(*i)).map(|i| f64::from(alpha[i]) / 255.0).sum::<f64>();
        let all = shown.iter().flatten().filter(|v| **v > 200).count().max(1) as f64;
        (shown.iter().map(of).collect(), beyond / all)
    };
    got.iter().zip(&shown).map(|(b, s)| part(b, s)).collect()
}

fn person(who: usize, x: i64) -> Person {
    Person { who, x, height: 300 }
}

#[test]
fn one_of_two_real_people_is_kept() {
    let still = vec![vec![person(0, 160), person(1, 480)]; 6];
    for (props, own) in [
        ("subject=nearest:0.25,0.7", 0),
        ("subject=nearest:0.75,0.7", 1),
        ("subject=box:0,0,0.5,1", 0),
        ("subject=box:0.5,0,0.5,1 refine=none", 1),
    ] {
        for (n, (left, beyond)) in kept(props, &still).into_iter().enumerate() {
            assert!(
                left[own] > 0.9 && left[1 - own] < 0.02 && beyond < 0.1,
                "{props} {n}: {left:?} {beyond}"
            );
        }
    }
}

#[test]
fn real_people_keep_their_numbers_when_they_cross() {
    // The one in orange goes right, behind the one in blue, who goes left.
    let frames: Vec<_> = (0..70).map(|n| vec![person(0, 130 + 6 * n), person(1, 520 - 6 * n)]).collect();
    for (props, own) in [("subject=nearest:0.2,0.7", 0), ("subject=nearest:0.8,0.7", 1)] {
        let got = kept(&format!("{props} lookahead=3"), &frames);
        for (n, (left, _)) in got.iter().enumerate() {
            let apart = (390 - 12 * n as i64).abs();
            // Both wear black and white; and where she is all but hidden, what is left is an edge.
            let (least, most) = if apart > 240 { (0.8, 0.1) } else { (0.7, 0.25) };
            assert!(left[own] > least && left[1 - own] < most, "{props} {n}, {apart} apart: {left:?}");
        }
    }
}

#[test]
fn one_of_three_real_people_leaves_and_comes_back() {
    let small = |who, x| Person { who, x, height: 200 };
    let frames: Vec<_> = (0..110)
        .map(|n: i64| {
            let away = match n {
                0..15 => 0,
                15..40 => (n - 15) * 9,
                40..60 => 225,
                _ => (85 - n).max(0) * 9,
            };
            vec![small(0, 100), small(1, 310), small(2, 540 + away)]
        })
        .collect();
    let got = kept("subject=nearest:0.85,0.8 follow-subject=false", &frames);
    for (n, (left, _)) in got.iter().enumerate() {
        assert!(left[0] < 0.1 && left[1] < 0.1, "{n}: {left:?}");
        if !(20..=95).contains(&n) {
            assert!(left[2] > 0.8, "{n}: {left:?}");
        }
    }
}

/// A network that takes for a person whatever is brighter than the room.
fn network(folder: &std::path::Path) -> String {
    let onnx = Onnx::colored([1.0; 3], -0.3, 128, 72);
    let path = onnx.save(folder, "bright.onnx");
    format!("model={} model-options=\"options,fit=stretch,activation=none\"", path.display())
}

/// Boxes of one colour each in a dark room: left, width and colour. They stand on the lower edge.
fn boxes(all: &[(usize, usize, [u8; 3])], n: u64) -> gst::Buffer {
    let (w, h) = (256, 144);
    let mut data = vec![0u8; w * h * 4];
    for (i, pixel) in data.chunks_exact_mut(4).enumerate() {
        let (x, y) = (i % w, i / w);
        pixel[3] = 255;
        for (left, width, color) in all {
            if (*left..left + width).contains(&x) && y > 50 {
                pixel[..3].copy_from_slice(color);
            }
        }
    }
    let mut buffer = gst::Buffer::from_mut_slice(data);
    buffer.get_mut().unwrap().set_pts(gst::ClockTime::SECOND * n / 30);
    buffer
}

const RED: [u8; 3] = [220, 60, 60];
const BLUE: [u8; 3] = [60, 80, 220];

/// A harness around the element, with a bus.
struct Stream {
    element: gst::Element,
    harness: gst_check::Harness,
    bus: gst::Bus,
    _folder: tempfile::TempDir,
}

impl Stream {
    fn new(props: &str) -> Self {
        init();
        let folder = tempfile::tempdir().unwrap();
        let line = format!(
            "bgremove inference-mode=sync output=matte refine=none follow-subject=false {} {props}",
            network(folder.path())
        );
        let element = gst::parse::launch(&line).unwrap();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
        harness.set_src_caps_str("video/x-raw,format=RGBA,width=256,height=144,framerate=30/1");
        harness.play();
        Self { element, harness, bus, _folder: folder }
    }

    /// Alpha in the middle of columns of the frame.
    fn see(&mut self, frame: gst::Buffer, columns: &[usize]) -> Vec<u8> {
        self.harness.push(frame).unwrap();
        let out = self.harness.pull().unwrap();
        let map = out.map_readable().unwrap();
        columns.iter().map(|x| map[100 * 256 + x]).collect()
    }

    fn subjects(&self) -> Vec<gst::Structure> {
        let stats = self.element.property::<gst::Structure>("stats");
        let list = stats.get::<gst::List>("subjects").map(|l| l.iter().map(|v| v.get().unwrap()).collect());
        list.unwrap_or_default()
    }

    fn warnings(&self) -> Vec<(Option<String>, String)> {
        let all = std::iter::from_fn(|| self.bus.pop_filtered(&[gst::MessageType::Warning]));
        all.filter_map(|m| match m.view() {
            gst::MessageView::Warning(w) => {
                Some((w.details().and_then(|d| d.get("code").ok()), w.error().message().to_string()))
            }
            _ => None,
        })
        .collect()
    }
}

#[test]
fn it_may_change_while_playing_and_stats_say_who_is_there() {
    let mut stream = Stream::new("");
    let both = [(20, 60, RED), (160, 40, BLUE)];
    assert_eq!(stream.see(boxes(&both, 0), &[50, 180]), [255, 255]);
    assert!(stream.subjects().is_empty());
    stream.element.set_property("subject", "largest");
    assert_eq!(stream.see(boxes(&both, 1), &[50, 180]), [255, 0]);
    let seen = stream.subjects();
    assert_eq!(seen.len(), 2);
    let of = |s: &gst::Structure, name: &str| s.get::<f64>(name).unwrap();
    assert_eq!((seen[0].get::<u32>("number"), seen[0].get::<bool>("chosen")), (Ok(1), Ok(true)));
    assert_eq!((seen[1].get::<u32>("number"), seen[1].get::<bool>("chosen")), (Ok(2), Ok(false)));
    for (name, value) in
        [("x", 160.0 / 256.0), ("width", 40.0 / 256.0), ("y", 51.0 / 144.0), ("height", 93.0 / 144.0)]
    {
        assert!((of(&seen[1], name) - value).abs() < 0.012, "{name}: {}", of(&seen[1], name));
    }
    stream.element.set_property("subject", "nearest:0.7,0.7");
    assert_eq!(stream.see(boxes(&both, 2), &[50, 180]), [0, 255]);
    // One that means nothing is a warning, and who was wanted stays.
    stream.element.set_property("subject", "nearest:7,7");
    assert!(stream.warnings().iter().any(|(_, text)| text.contains("0 to 1") && text.contains("It stays")));
    assert_eq!(stream.element.property::<String>("subject"), "nearest:0.7,0.7");
    assert_eq!(stream.see(boxes(&both, 3), &[50, 180]), [0, 255]);
    stream.element.set_property("subject", "all");
    assert_eq!(stream.see(boxes(&both, 4), &[50, 180]), [255, 255]);
    assert!(stream.subjects().is_empty());
}

#[test]
fn who_leaves_is_said_to_be_gone_once_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("r.json");
    let mut stream = Stream::new(&format!("subject=nearest:0.7,0.7 report-location={}", report.display()));
    let mut codes = Vec::new();
    for n in 0..90 {
        let gone = (20..45).contains(&n) || n > 70;
        let all = [(20, 60, RED), (160, 40, BLUE)];
        let alpha = stream.see(boxes(if gone { &all[..1] } else { &all }, n), &[50, 180]);
        assert_eq!(alpha, [0, if gone { 0 } else { 255 }], "{n}");
        codes.extend(stream.warnings().into_iter().map(|(code, text)| (n, code.unwrap(), text)));
        assert!(stream.harness.element().is_some());
    }
    // The second comes within a second on the clock of the first, and is counted only.
    assert_eq!(codes.len(), 1, "{codes:?}");
    let (n, code, text) = &codes[0];
    assert!(
        (35..37).contains(n) && code == "subject-not-found" && text.contains("one other is"),
        "{n} {text}"
    );
    stream.harness.push_event(gst::event::Eos::new());
    let record = record::record(&report);
    let subjects = record["subjects"].as_array().unwrap();
    assert_eq!(subjects.len(), 2, "{subjects:?}");
    let of = |number: u64| subjects.iter().find(|s| s["number"] == number).unwrap();
    assert_eq!((of(1)["masks"].as_u64(), of(1)["kept"].as_u64()), (Some(90), Some(0)));
    assert_eq!((of(2)["masks"].as_u64(), of(2)["kept"].as_u64()), (Some(46), Some(46)));
    assert_eq!(record["stats"]["subjects"][0]["number"], 1);
    assert!(
        record["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|w| w["code"] == "subject-not-found" && w["count"] == 2)
    );
    assert!(record["quality_notes"].to_string().contains("nearest:0.7,0.7"));
}

#[test]
fn an_upstream_detector_chooses() {
    let mut stream = Stream::new("subject=meta:person");
    let both = [(20, 60, RED), (160, 40, BLUE)];
    let mut found = |n, class: Option<&str>| {
        let mut frame = boxes(&both, n);
        if let Some(class) = class {
            gst_video::VideoRegionOfInterestMeta::add(frame.get_mut().unwrap(), class, (158, 48, 44, 96));
        }
        stream.see(frame, &[50, 180])
    };
    assert_eq!(found(0, None), [0, 0], "nothing was found yet");
    assert_eq!(found(1, Some("person")), [0, 255]);
    assert_eq!(found(2, None), [0, 255], "it does not look at each frame");
    assert_eq!(found(3, Some("dog")), [0, 255], "nor does it find all in each");
    let gone: Vec<bool> = (4..40).map(|n| found(n, Some("dog")) == [0, 0]).collect();
    assert!(!gone[20] && gone[35], "{gone:?}");
}

#[test]
fn what_cannot_be_is_an_error_at_the_start() {
    init();
    for (props, why) in [
        ("subject=nearest:2,0", "subject 'nearest:2,0' cannot be used"),
        ("subject=box:0.5,0,0.9,1", "not in the frame"),
        ("subject=someone", "neither"),
        ("subject=largest model=key", "knows the screen"),
        ("model=key subject=largest", "knows the screen"),
    ] {
        let pipeline =
            gst::parse::launch(&format!("videotestsrc num-buffers=1 ! bgremove {props} ! fakesink")).unwrap();
        assert!(pipeline.set_state(gst::State::Playing).is_err(), "{props}");
        let message = pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error]).unwrap();
        let gst::MessageView::Error(e) = message.view() else { unreachable!() };
        assert!(e.error().message().contains(why), "{props}: {}", e.error());
        assert!(e.error().matches(gst::LibraryError::Settings), "{props}: {e:?}");
        pipeline.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn another_network_and_a_gap_leave_the_choice_as_it_is() {
    let mut stream = Stream::new("subject=nearest:0.7,0.7");
    let mut at = |n: u64, red: usize, blue: usize| {
        stream.see(boxes(&[(red, 60, RED), (blue, 40, BLUE)], n), &[red + 30, blue + 20])
    };
    assert_eq!(at(0, 20, 160), [0, 255]);
    // The chosen one walks to the other's side, so that at the place that was said there is somebody else.
    for step in 1..=20 {
        at(step, 20 + 7 * step as usize, 160 - 7 * step as usize);
    }
    assert_eq!(at(21, 165, 20), [0, 255]);
    stream.element.set_property("follow-subject", true);
    stream.element.set_property("follow-subject", false);
    for n in 22..60 {
        std::thread::sleep(std::time::Duration::from_millis(3));
        assert_eq!(
            stream.see(boxes(&[(165, 60, RED), (20, 40, BLUE)], n), &[195, 40]),
            [0, 255],
            "{n}: another network"
        );
    }
    // Three seconds are missing.
    for n in 150..155 {
        assert_eq!(
            stream.see(boxes(&[(165, 60, RED), (20, 40, BLUE)], n), &[195, 40]),
            [0, 255],
            "{n}: a gap"
        );
    }
    // Set again it chooses anew.
    stream.element.set_property("subject", "nearest:0.7,0.7");
    assert_eq!(stream.see(boxes(&[(165, 60, RED), (20, 40, BLUE)], 155), &[195, 40]), [255, 0]);
}
