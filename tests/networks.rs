//! Networks of every family through the element, with ONNX Runtime itself: each is a few operators, so
//! that the matte can be computed by hand.

mod common;

use common::onnx::{Attr, Onnx, Type};
use common::*;
use gst::prelude::*;
use gst_check::Harness;
use gst_video::{VideoFormat, VideoInfo};
use gstbgremove::error::ErrorKind;
use gstbgremove::models::{self, Network};
use gstbgremove::runtime::{self, Cancel, Input, Provider};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const RGB: [u8; 3] = [200, 100, 40];
/// Weights of R, G, B: a permutation of the channels gives another sum.
const WEIGHTS: [f32; 3] = [0.5, 0.25, 0.125];

const NO_OPENVINO: &str = "this ONNX Runtime has no OpenVINO (`make runtime-openvino`)";

/// The network alone: its mask, stretched.
const BARE: &str = "output=matte refine=none temporal-smoothing=0 follow-subject=false scene-detection=false";

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// What the weights make of a picture of one colour that the network sees as `(rgb ∕ 255 − mean) ∕ std`.
fn sum(rgb: [u8; 3], mean: f32, std: f32) -> f32 {
    rgb.iter().zip(WEIGHTS).map(|(v, w)| w * (f32::from(*v) / 255.0 - mean) / std).sum()
}

/// NCHW: `to` = the weighted sum of the channels of `from`.
fn weigh(network: Onnx, from: &str, to: &str) -> Onnx {
    let name = format!("w_{to}");
    network.f32s(&name, &[1, 3, 1, 1], &WEIGHTS).op("Conv", &format!("{from} {name}"), to)
}

/// NCHW, 32×32 in and out: the weighted sum.
fn plain() -> Onnx {
    weigh(Onnx::new().input("x", Type::F32, &[1, 3, 32, 32]), "x", "y").output(
        "y",
        Type::F32,
        &[1, 1, 32, 32],
    )
}

/// NHWC: `to` = the weighted sum of the channels of `from`.
fn weigh_last(network: Onnx, from: &str, to: &str) -> Onnx {
    network
        .f32s("weights", &[3], &WEIGHTS)
        .i64s("last", &[1], &[3])
        .op("Mul", &format!("{from} weights"), "weighted")
        .node("ReduceSum", "weighted last", to, &[("keepdims", Attr::Int(1))])
}

fn frame(info: &VideoInfo, n: u64, rgb: impl Fn(usize, usize) -> [u8; 3]) -> gst::Buffer {
    assert_eq!(info.format(), VideoFormat::Rgb);
    let stride = info.stride()[0] as usize;
    let mut data = vec![0; info.size()];
    for y in 0..info.height() as usize {
        for x in 0..info.width() as usize {
            data[y * stride + 3 * x..][..3].copy_from_slice(&rgb(x, y));
        }
    }
    let mut buffer = gst::Buffer::from_mut_slice(data);
    let b = buffer.get_mut().unwrap();
    b.set_pts(gst::ClockTime::SECOND * n / 30);
    b.set_duration(gst::ClockTime::SECOND / 30);
    buffer
}

/// The matte of one frame; `size` is width and height.
fn matte_of(
    model: &Path,
    more: &str,
    size: (u32, u32),
    rgb: impl Fn(usize, usize) -> [u8; 3],
) -> Result<Vec<u8>, String> {
    let info = info(VideoFormat::Rgb, size.0, size.1);
    let props = format!("{BARE} model=\"{}\" {more}", model.display());
    let (out, frames) = process(&props, "video/x-raw,format=GRAY8", &info, vec![frame(&info, 0, rgb)])?;
    assert_eq!(frames.len(), 1);
    Ok(Samples::new(&frames[0], &out).first())
}

/// The matte of a frame of one colour, which has to be one value all over.
fn value(model: &Path, more: &str, size: (u32, u32), rgb: [u8; 3]) -> u8 {
    let matte = matte_of(model, more, size, |_, _| rgb).unwrap();
    let (lo, hi) = (matte.iter().min().unwrap(), matte.iter().max().unwrap());
    assert!(hi - lo <= 1, "{}: {lo}..{hi}", model.display());
    *lo
}

/// Whether a matte is `wanted`, apart from the haze that the element takes away: up to 8 is 0, and from there it rises to
/// what it was at 24 (docs/security.md).
fn near(got: u8, wanted: f32) {
    let wanted = wanted.clamp(0.0, 1.0) * 255.0;
    let wanted = wanted.min(((wanted - 8.0) * 1.5).max(0.0));
    assert!((f32::from(got) - wanted).abs() <= 1.6, "{got}, not {wanted}");
}

fn check(network: &Onnx, more: &str, wanted: f32) {
    let folder = folder();
    near(value(&network.save(folder.path(), "x.onnx"), more, (48, 48), RGB), wanted);
}

/// The same, with a sidecar.
fn check_sidecar(network: &Onnx, sidecar: &str, wanted: f32) {
    let folder = folder();
    let path = network.save(folder.path(), "x.onnx");
    std::fs::write(folder.path().join("x.onnx.modelinfo"), sidecar).unwrap();
    near(value(&path, "", (48, 48), RGB), wanted);
}

fn options(fields: &str) -> String {
    format!("model-options=\"options,{}\"", fields.replace('"', "\\\""))
}

fn sigmoid(v: f32) -> f32 {
    1.0 / (1.0 + (-v).exp())
}

#[test]
fn of_several_outputs_the_first_is_the_matte() {
    let network = weigh(Onnx::new().input("x", Type::F32, &[1, 3, 32, 32]), "x", "d0")
        .scalar("tenth", 0.1)
        .op("Mul", "d0 tenth", "d1")
        .op("Mul", "d1 tenth", "d2")
        .output("d0", Type::F32, &[1, 1, 32, 32])
        .output("d1", Type::F32, &[1, 1, 32, 32])
        .output("d2", Type::F32, &[1, 1, 32, 32]);
    check(&network, "", sum(RGB, 0.0, 1.0));
    check(&network, &options("output=d1"), sum(RGB, 0.0, 1.0) / 10.0);
}

#[test]
fn mean_and_deviation_come_from_sidecar_ranges_or_options() {
    let wanted = sum(RGB, 0.25, 0.5);
    assert!((0.1..0.9).contains(&wanted));
    check_sidecar(&plain(), "[bgremove]\nmean=0.25;0.25;0.25\nstd=0.5;0.5;0.5\n", wanted);
    check(&plain(), &options("mean=\"0.25;0.25;0.25\",std=\"0.5;0.5;0.5\""), wanted);
    // −0.5..1.5 is (v − 0.25) ∕ 0.5.
    let ranges = "[modelinfo]\nversion=1.0\ngroup-id=net\n\n[x]\nid=in\ntype=float32\ndims=1,3,32,32\ndir=input\n\
                  ranges=-0.5,1.5;-0.5,1.5;-0.5,1.5\n\n[y]\nid=out\ntype=float32\ndims=1,1,32,32\ndir=output\n";
    check_sidecar(&plain(), ranges, wanted);
    check_sidecar(&plain(), "[x]\ndir=input\nranges=-1.0,1.0;-1.0,1.0;-1.0,1.0\n", sum(RGB, 0.5, 0.5));
    // What the options say goes before what the sidecar says.
    let folder = folder();
    let path = plain().save(folder.path(), "x.onnx");
    std::fs::write(folder.path().join("x.onnx.modelinfo"), "[bgremove]\nmean=1;1;1\nstd=0.5;0.5;0.5\n")
        .unwrap();
    near(value(&path, &options("mean=\"0.25;0.25;0.25\""), (48, 48), RGB), wanted);
}

#[test]
fn each_channel_has_its_own_mean_and_deviation() {
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let rgb = [180, 140, 120];
    let wanted: f32 = (0..3).map(|c| WEIGHTS[c] * (f32::from(rgb[c]) / 255.0 - mean[c]) / std[c]).sum();
    let folder = folder();
    let path = plain().save(folder.path(), "x.onnx");
    let text = "[bgremove]\nmean=0.485;0.456;0.406\nstd=0.229;0.224;0.225\nactivation=none\n";
    std::fs::write(folder.path().join("x.onnx.modelinfo"), text).unwrap();
    near(value(&path, "", (48, 48), rgb), wanted);
}

#[test]
fn with_divide_by_max_the_largest_value_is_one() {
    // The largest value, 200, becomes 1.
    check(&plain(), &options("divide-by-max=true"), 0.5 + 0.25 * 0.5 + 0.125 * 0.2);
}

#[test]
fn with_min_max_the_mask_reaches_from_0_to_1() {
    let folder = folder();
    let path = plain().save(folder.path(), "x.onnx");
    let tones = |x: usize, _: usize| if x < 24 { [60; 3] } else { [180; 3] };
    let bare = matte_of(&path, "", (48, 48), tones).unwrap();
    let wide = matte_of(&path, &options("min-max=true"), (48, 48), tones).unwrap();
    near(bare[0], 60.0 / 255.0 * 0.875);
    near(bare[47], 180.0 / 255.0 * 0.875);
    assert_eq!((wide[0], wide[47]), (0, 255));
}

#[test]
fn channels_may_come_last_one_or_two_of_them() {
    let s = sum(RGB, 0.0, 1.0);
    let start = || weigh_last(Onnx::new().input("x", Type::F32, &[1, 32, 32, 3]), "x", "s");
    let one = start().op("Identity", "s", "y").output("y", Type::F32, &[1, 32, 32, 1]);
    check(&one, "", s);
    let two = start()
        .scalar("one", 1.0)
        .op("Sub", "one s", "rest")
        .node("Concat", "rest s", "y", &[("axis", Attr::Int(3))])
        .output("y", Type::F32, &[1, 32, 32, 2]);
    check(&two, "", s);
    check(&two, &options("class=0"), 1.0 - s);
}

/// Logits 6·s − 2.
fn logits() -> Onnx {
    weigh(Onnx::new().input("x", Type::F32, &[1, 3, 32, 32]), "x", "s")
        .scalar("six", 6.0)
        .scalar("two", 2.0)
        .op("Mul", "s six", "s6")
        .op("Sub", "s6 two", "l")
}

#[test]
fn a_sigmoid_is_added_where_the_network_has_none() {
    let l = 6.0 * sum(RGB, 0.0, 1.0) - 2.0;
    assert!(l > 1.02);
    let outside = logits().op("Identity", "l", "y").output("y", Type::F32, &[1, 1, 32, 32]);
    let inside = logits().op("Sigmoid", "l", "y").output("y", Type::F32, &[1, 1, 32, 32]);
    check(&outside, "", sigmoid(l));
    check(&inside, "", sigmoid(l));
    check(&outside, &options("activation=sigmoid"), sigmoid(l));
    check(&inside, &options("activation=sigmoid"), sigmoid(sigmoid(l)));
    check(&outside, &options("activation=none"), 1.0);
}

#[test]
fn a_softmax_is_added_where_the_network_has_none() {
    let l = 6.0 * sum(RGB, 0.0, 1.0) - 2.0;
    let (a, b) = (l.exp(), (0.5 * l).exp());
    let two = || {
        logits().scalar("half", 0.5).op("Mul", "l half", "m").node(
            "Concat",
            "l m",
            "both",
            &[("axis", Attr::Int(1))],
        )
    };
    let outside = two().op("Identity", "both", "y").output("y", Type::F32, &[1, 2, 32, 32]);
    let inside =
        two().node("Softmax", "both", "y", &[("axis", Attr::Int(1))]).output("y", Type::F32, &[1, 2, 32, 32]);
    for network in [&outside, &inside] {
        check(network, "", b / (a + b));
        check(network, &options("class=0"), a / (a + b));
        check(network, &options("class=1"), b / (a + b));
    }
    check(&outside, &options("activation=softmax"), b / (a + b));
    check_sidecar(&outside, "[bgremove]\nclass=0\nactivation=softmax\n", a / (a + b));
    check(&outside, &options("activation=sigmoid,class=0"), sigmoid(l));
}

/// Tells the size that it sees: `h` and `w` are the image's height and width ∕ 1024, all over.
fn teller(height: i64, width: i64) -> Onnx {
    let mut network = weigh(Onnx::new().input("x", Type::F32, &[1, 3, height, width]), "x", "s")
        .scalar("zero", 0.0)
        .scalar("scale", 1.0 / 1024.0)
        .op("Mul", "s zero", "none")
        .op("Shape", "x", "shape")
        .node("Cast", "shape", "sizes", &[("to", Attr::Int(Type::F32 as i64))]);
    for (name, at) in [("h", 2), ("w", 3)] {
        network = network
            .i64s(&format!("at_{name}"), &[], &[at])
            .op("Gather", &format!("sizes at_{name}"), &format!("pixels_{name}"))
            .op("Mul", &format!("pixels_{name} scale"), &format!("part_{name}"))
            .op("Add", &format!("none part_{name}"), name)
            .output(name, Type::F32, &[1, 1, height, width]);
    }
    network
}

#[test]
fn open_sizes_keep_the_shape_in_multiples() {
    let folder = folder();
    let path = teller(-1, -1).save(folder.path(), "x.onnx");
    let sees = |more: &str, fields: &str, size, width: usize, height: usize| {
        for (name, n) in [("w", width), ("h", height)] {
            let more = format!("{more} {}", options(&format!("output={name}{fields}")));
            near(value(&path, &more, size, RGB), n as f32 / 1024.0);
        }
    };
    // 512 and multiples of 32, where nothing is said.
    sees("", "", (64, 48), 672, 512);
    sees("", "", (48, 64), 512, 672);
    sees("", ",short-side=96,multiple=32", (50, 40), 128, 96);
    sees("", ",short-side=96,multiple=48", (64, 48), 144, 96);
    sees("resolution=192", "", (64, 48), 256, 192);
    sees("resolution=192", ",short-side=96", (48, 64), 192, 256);
    // A size that the file fixes stays, whatever is asked for.
    let path = teller(64, 96).save(folder.path(), "fixed.onnx");
    for (name, n) in [("w", 96.0), ("h", 64.0)] {
        let more = format!("resolution=256 {}", options(&format!("output={name}")));
        near(value(&path, &more, (64, 48), RGB), n / 1024.0);
    }
}

#[test]
fn modnet_runs_by_its_sidecar() {
    // −1..1 in, open size in multiples of 32, a matte out.
    let network = weigh(Onnx::new().input("input", Type::F32, &[-1, 3, -1, -1]), "input", "output").output(
        "output",
        Type::F32,
        &[-1, 1, -1, -1],
    );
    let sidecar = "[input]\ndir=input\ntype=float32\ndims=-1,3,-1,-1\nranges=-1.0,1.0;-1.0,1.0;-1.0,1.0\n\n\
                   [bgremove]\nshort-side=512\nmultiple=32\nactivation=none\n";
    check_sidecar(&network, sidecar, sum(RGB, 0.5, 0.5));
}

/// The mean of the channels, 64×64 in; `tail` makes `y` of `s`.
fn mean_then(tail: impl Fn(Onnx) -> Onnx, out: i64) -> Onnx {
    let network = Onnx::new()
        .input("x", Type::F32, &[1, 3, 64, 64])
        .f32s("thirds", &[1, 3, 1, 1], &[1.0 / 3.0; 3])
        .op("Conv", "x thirds", "s");
    tail(network).output("y", Type::F32, &[1, 1, out, out])
}

fn sizes_of_outputs() -> [(&'static str, Onnx); 3] {
    let pool = |network: Onnx| {
        let four = Attr::Ints(&[4, 4]);
        network.node("AveragePool", "s", "y", &[("kernel_shape", four), ("strides", four)])
    };
    let twice = |network: Onnx| {
        network.f32s("scales", &[4], &[1.0, 1.0, 2.0, 2.0]).node(
            "Resize",
            "s _ scales",
            "y",
            &[("mode", Attr::Text("nearest"))],
        )
    };
    [
        ("same", mean_then(|n| n.op("Identity", "s", "y"), 64)),
        ("smaller", mean_then(pool, 16)),
        ("larger", mean_then(twice, 128)),
    ]
}

/// A network that nothing is known of gets the frame letterboxed, and its mask lies where the frame
/// does: the edge between two halves stays in the middle, whatever the shapes.
#[test]
fn the_mask_is_not_shifted() {
    let folder = folder();
    for (name, network) in sizes_of_outputs() {
        let path = network.save(folder.path(), &format!("{name}.onnx"));
        for (w, h) in
            [(160, 90), (90, 160), (100, 100), (100, 70), (70, 100), (102, 74), (66, 118), (200, 34)]
        {
            let (cols, rows) = (w as usize, h as usize);
            let left =
                matte_of(&path, "", (w, h), |x, _| if x < cols / 2 { [255; 3] } else { [0; 3] }).unwrap();
            let top =
                matte_of(&path, "", (w, h), |_, y| if y < rows / 2 { [255; 3] } else { [0; 3] }).unwrap();
            // Where the matte passes through one half, between the centres of two pixels.
            let edge = |line: Vec<u8>| {
                let at = line.windows(2).position(|p| p[0] >= 128 && p[1] < 128).unwrap();
                let (a, b) = (f64::from(line[at]), f64::from(line[at + 1]));
                at as f64 + 0.5 + (a - 127.5) / (a - b)
            };
            let x = edge(left[rows / 2 * cols..][..cols].to_vec());
            let y = edge((0..rows).map(|y| top[y * cols + cols / 2]).collect());
            assert!((x - cols as f64 / 2.0).abs() <= 1.0, "{name}, {w}×{h}: the edge is at x = {x}");
            assert!((y - rows as f64 / 2.0).abs() <= 1.0, "{name}, {w}×{h}: the edge is at y = {y}");
        }
    }
}

/// What fills the rest of the input does not come into the matte.
#[test]
fn the_mask_reaches_the_frames_borders() {
    let folder = folder();
    for (name, network) in sizes_of_outputs() {
        let path = network.save(folder.path(), &format!("{name}.onnx"));
        for size in [(160, 80), (80, 160), (64, 64)] {
            assert_eq!(value(&path, "", size, [255; 3]), 255, "{name}, {size:?}");
        }
    }
}

/// Adds a tenth to its state at each frame, and gives it.
fn counter(input: &str, output: &str) -> Onnx {
    weigh(Onnx::new().input("x", Type::F32, &[1, 3, 32, 32]), "x", "s")
        .input(input, Type::F32, &[1, 1, -1, -1])
        .scalar("zero", 0.0)
        .scalar("tenth", 0.1)
        .op("Mul", "s zero", "none")
        .op("Add", &format!("{input} tenth"), output)
        .op("Add", &format!("none {output}"), "y")
        .output("y", Type::F32, &[1, 1, 32, 32])
        .output(output, Type::F32, &[1, 1, -1, -1])
}

/// The element alone, with a pad on each side, to send it events and to see each frame.
struct Stream {
    harness: Harness,
    element: gst::Element,
    bus: gst::Bus,
    info: VideoInfo,
    n: u64,
}

impl Stream {
    fn new(model: &Path, props: &[(&str, &str)]) -> Self {
        init();
        let mut element = gst::ElementFactory::make("bgremove")
            .property("model", model.display().to_string())
            .property("model-options", None::<gst::Structure>);
        for (name, value) in BARE.split(' ').filter_map(|p| p.split_once('=')) {
            element = element.property_from_str(name, value);
        }
        for (name, value) in props {
            element = element.property_from_str(name, value);
        }
        let element = element.build().unwrap();
        let bus = gst::Bus::new();
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        // A file; live, a lost packet would be no reason to start anew.
        harness.set_live(false);
        element.set_bus(Some(&bus));
        let info = info(VideoFormat::Rgb, 48, 48);
        harness.set_src_caps(info.to_caps().unwrap());
        Self { harness, element, bus, info, n: 0 }
    }

    fn push_with(&mut self, flags: gst::BufferFlags) -> u8 {
        let mut buffer = frame(&self.info, self.n, |_, _| RGB);
        self.n += 1;
        buffer.get_mut().unwrap().set_flags(flags);
        let pts = buffer.pts();
        self.harness.push(buffer).unwrap();
        let out = self.harness.pull().unwrap();
        assert_eq!(out.pts(), pts);
        let map = out.map_readable().unwrap();
        map[map.len() / 2]
    }

    fn push(&mut self) -> u8 {
        self.push_with(gst::BufferFlags::empty())
    }

    /// The frames `from` to `to` after a reset: the first of all is seen twice, so it counts for two.
    fn counts(&mut self, from: u32, to: u32) {
        for k in from..=to {
            near(self.push(), (k + 1) as f32 / 10.0);
        }
    }
}

#[test]
fn state_adds_up_and_is_reset() {
    let folder = folder();
    let path = counter("a", "b").save(folder.path(), "x.onnx");
    std::fs::write(folder.path().join("x.onnx.modelinfo"), "[bgremove]\nrecurrent=a:b\n").unwrap();
    let mut stream = Stream::new(&path, &[]);
    stream.counts(1, 4);
    // A discontinuity.
    near(stream.push_with(gst::BufferFlags::DISCONT), 0.2);
    stream.counts(2, 4);
    // A flush, as a seek makes.
    flush(&mut stream.harness);
    stream.counts(1, 3);
    // Other caps.
    stream.info = info(VideoFormat::Rgb, 64, 40);
    stream.harness.set_src_caps(stream.info.to_caps().unwrap());
    stream.counts(1, 3);
    // What does not touch the network leaves the state alone.
    stream.element.set_property("background", "red");
    stream.counts(4, 5);
    // Another network.
    let other = counter("c", "d").save(folder.path(), "y.onnx");
    stream.element.set_property("model", other.display().to_string());
    stream
        .element
        .set_property("model-options", "options,recurrent=(string)c:d".parse::<gst::Structure>().unwrap());
    let start = Instant::now();
    let mut seen = Vec::new();
    while seen.last().is_none_or(|v| *v > 60) {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{:?}, {:?}",
            &seen[seen.len() - 5..],
            stream.bus.pop()
        );
        std::thread::sleep(Duration::from_millis(5));
        seen.push(stream.push());
    }
    near(*seen.last().unwrap(), 0.2);
    stream.counts(2, 4);
}

#[test]
fn a_recurrent_pair_that_is_not_there_is_named() {
    let folder = folder();
    let path = counter("a", "b").save(folder.path(), "x.onnx");
    let fails = |more: &str| matte_of(&path, more, (48, 48), |_, _| RGB).unwrap_err();
    let text = fails(&options("recurrent=a:nothing"));
    assert!(text.contains("nothing") && text.contains("Outputs"), "{text}");
    let text = fails("");
    assert!(text.contains("'a'") && text.contains("recurrent"), "{text}");
}

#[test]
fn rvm_runs_as_it_is_published() {
    let any = [-1; 4];
    let mut network = Onnx::new().input("src", Type::F32, &[-1, 3, -1, -1]);
    for k in 1..=4 {
        network = network.input(&format!("r{k}i"), Type::F32, &any);
    }
    network = network.input("downsample_ratio", Type::F32, &[1]).scalar("tenth", 0.1).scalar("zero", 0.0);
    for k in 1..=4 {
        network = network.op("Add", &format!("r{k}i tenth"), &format!("r{k}o"));
    }
    // pha = a third of the ratio + half of the third state
    network = weigh(network, "src", "s")
        .scalar("third", 1.0 / 3.0)
        .scalar("half", 0.5)
        .op("Mul", "s zero", "none")
        .op("Mul", "downsample_ratio third", "ratio")
        .op("Mul", "r3o half", "state")
        .op("Add", "none ratio", "part")
        .op("Add", "part state", "pha")
        .op("Identity", "src", "fgr")
        .output("fgr", Type::F32, &[-1, 3, -1, -1])
        .output("pha", Type::F32, &[-1, 1, -1, -1]);
    for k in 1..=4 {
        network = network.output(&format!("r{k}o"), Type::F32, &any);
    }
    let folder = folder();
    let mut stream = Stream::new(&network.save(folder.path(), "rvm.onnx"), &[("resolution", "64")]);
    for k in 1..=5 {
        near(stream.push(), 1.0 / 3.0 + 0.05 * (k + 1) as f32);
    }
}

#[test]
fn float16_goes_in_and_comes_out() {
    let network = Onnx::new()
        .input("x", Type::F16, &[1, 3, 32, 32])
        .f16s("w", &[1, 3, 1, 1], &WEIGHTS)
        .op("Conv", "x w", "y")
        .output("y", Type::F16, &[1, 1, 32, 32]);
    check(&network, "", sum(RGB, 0.0, 1.0));
    check(&network, &options("mean=\"0.25;0.25;0.25\",std=\"0.5;0.5;0.5\""), sum(RGB, 0.25, 0.5));
}

#[test]
fn bytes_go_in_and_come_out() {
    let bytes = |network: Onnx| {
        let float = Attr::Int(Type::F32 as i64);
        weigh_last(network.node("Cast", "x", "f", &[("to", float)]), "f", "s")
    };
    let network = || Onnx::new().input("x", Type::U8, &[1, 32, 32, 3]);
    let float = bytes(network()).scalar("scale", 1.0 / 255.0).op("Mul", "s scale", "y").output(
        "y",
        Type::F32,
        &[1, 32, 32, 1],
    );
    check(&float, "", sum(RGB, 0.0, 1.0));
    let byte = bytes(network()).node("Cast", "s", "y", &[("to", Attr::Int(Type::U8 as i64))]).output(
        "y",
        Type::U8,
        &[1, 32, 32, 1],
    );
    check(&byte, "", sum(RGB, 0.0, 1.0));
}

#[test]
fn with_bgr_blue_comes_first() {
    let [r, g, b] = RGB;
    check(&plain(), &options("bgr=true"), sum([b, g, r], 0.0, 1.0));
    check_sidecar(
        &plain(),
        "[bgremove]\nbgr=true\nmean=0.1;0;0\n",
        sum([b, g, r], 0.0, 1.0) - 0.1 * WEIGHTS[2],
    );
}

/// Left half black, right half white: 0 and 1 for the network.
fn halves(x: usize, _: usize) -> [u8; 3] {
    if x < 24 { [0; 3] } else { [255; 3] }
}

#[test]
fn what_is_no_number_is_background() {
    let folder = folder();
    let start = || {
        Onnx::new()
            .input("x", Type::F32, &[1, 3, 48, 48])
            .f32s("thirds", &[1, 3, 1, 1], &[1.0 / 3.0; 3])
            .op("Conv", "x thirds", "s")
            .scalar("half", 0.5)
            .scalar("three", 3.0)
    };
    let out = |network: Onnx| network.output("y", Type::F32, &[1, 1, 48, 48]);
    // The root of −0.5 is no number, that of 0.5 is 0.71; 1 ∕ 0 is infinite.
    let nan = out(start().op("Sub", "s half", "d").op("Sqrt", "d", "y")).save(folder.path(), "nan.onnx");
    let inf = out(start().op("Sub", "s s", "d").op("Div", "s d", "y")).save(folder.path(), "inf.onnx");
    let reciprocal = out(start().op("Reciprocal", "s", "y")).save(folder.path(), "reciprocal.onnx");
    // Values from −0.5·3 up, with no number where they should be lowest: stretched, that must not land between.
    let below = out(start().op("Sub", "s half", "d").op("Sqrt", "d", "r").op("Sub", "r three", "y"))
        .save(folder.path(), "below.onnx");
    for more in ["", "activation=none", "activation=sigmoid"] {
        let more = if more.is_empty() { String::new() } else { options(more) };
        let matte = matte_of(&nan, &more, (48, 48), halves).unwrap();
        assert_eq!(matte[0], 0, "{more}");
        assert!(matte[47] > 150, "{more}");
        let said = matte_of(&inf, &more, (48, 48), halves).unwrap_err();
        assert!(said.contains("no finite number"), "{more}: {said}");
        let matte = matte_of(&reciprocal, &more, (48, 48), halves).unwrap();
        assert_eq!(matte[0], 0, "{more}");
        assert!(matte[47] > 150, "{more}");
    }
    let matte = matte_of(&below, &options("min-max=true,activation=none"), (48, 48), |x, _| match x {
        0..16 => [0; 3],
        16..32 => [160; 3],
        _ => [255; 3],
    })
    .unwrap();
    assert_eq!((matte[4], matte[24], matte[44]), (0, 0, 255));
}

/// A network whose mask is no number anywhere: the root of what is below 0.
fn nowhere() -> Onnx {
    weigh(Onnx::new().input("x", Type::F32, &[1, 3, 32, 32]), "x", "s")
        .scalar("two", 2.0)
        .op("Sub", "s two", "d")
        .op("Sqrt", "d", "y")
        .output("y", Type::F32, &[1, 1, 32, 32])
}

#[test]
fn a_network_without_a_finite_number_is_told_of_at_its_first_frame() {
    init();
    let folder = folder();
    let model = nowhere().save(folder.path(), "nowhere.onnx");
    let run = |more: &str| {
        let pipeline = gst::parse::launch(&format!(
            "videotestsrc num-buffers=5 ! video/x-raw,format=RGB,width=64,height=48,framerate=30/1 ! \
             bgremove name=b model={} {more} ! video/x-raw,format=RGBA ! appsink name=sink sync=false",
            model.display()
        ))
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
        let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let mut frames = Vec::new();
        while let Ok(sample) = sink.pull_sample() {
            frames.push(sample.buffer().unwrap().map_readable().unwrap().to_vec());
        }
        let mut codes = Vec::new();
        let kinds = [gst::MessageType::Error, gst::MessageType::Warning];
        // The first may still be on its way.
        let wait = |codes: &[_]| gst::ClockTime::from_seconds(if codes.is_empty() { 10 } else { 0 });
        let bus = pipeline.bus().unwrap();
        while let Some(message) = bus.timed_pop_filtered(wait(&codes), &kinds) {
            let details = match message.view() {
                gst::MessageView::Error(e) => e.details().map(|d| d.to_owned()),
                gst::MessageView::Warning(w) => w.details().map(|d| d.to_owned()),
                _ => None,
            };
            let details = details.unwrap();
            codes.push((details.name().to_string(), details.get::<String>("code").unwrap()));
        }
        pipeline.set_state(gst::State::Null).unwrap();
        (frames, codes)
    };
    let (frames, codes) = run("");
    assert!(frames.is_empty());
    assert!(codes.contains(&("bgremove-error".into(), "network-unsuited".into())), "{codes:?}");
    // Who wants the stream to go on sees nothing of the room, and hears the same.
    let (frames, codes) = run("on-error=hide");
    assert_eq!(frames.len(), 5);
    assert!(frames.iter().flatten().all(|v| *v == 0));
    assert_eq!(codes, [("bgremove-warning".to_string(), "network-unsuited".to_string())]);
}

#[cfg(feature = "cli")]
#[test]
fn convert_fails_with_a_network_that_gives_no_number() {
    let folder = folder();
    let model = nowhere().save(folder.path(), "nowhere.onnx");
    let (input, output) = (folder.path().join("in.y4m"), folder.path().join("out.webm"));
    let mut y4m = b"YUV4MPEG2 W64 H48 F30:1 Ip A1:1 C420jpeg\n".to_vec();
    for n in 0..5 {
        y4m.extend(b"FRAME\n");
        y4m.extend(std::iter::repeat_n(n * 40, 64 * 48 * 3 / 2));
    }
    std::fs::write(&input, y4m).unwrap();
    let report = folder.path().join("report.json");
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_bgremove"))
        .arg("convert")
        .args([&input, &output])
        .arg("--model")
        .arg(&model)
        .arg("--report")
        .arg(&report)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("no finite number in its output 'y'") && !output.exists(), "{said}");
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert_eq!(record["incident"]["error_code"], "network-unsuited");
}

#[cfg(feature = "cli")]
#[test]
fn models_info_tells_what_a_file_has_and_what_is_taken() {
    let folder = folder();
    let told = |file: &Path| {
        let tool = env!("CARGO_BIN_EXE_bgremove");
        let out = std::process::Command::new(tool).args(["models", "info"]).arg(file).output().unwrap();
        let (said, wrong) = (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap());
        (out.status.code(), said, wrong)
    };
    let of = |network: Onnx, name: &str| told(&network.save(folder.path(), name));
    // Scores first, then colours, then two masks.
    let several = || {
        let network = Onnx::new()
            .input("x", Type::F32, &[1, 3, -1, -1])
            .node("ReduceMean", "x", "scores", &[("axes", Attr::Ints(&[2, 3])), ("keepdims", Attr::Int(0))])
            .op("Identity", "x", "colours");
        let network = weigh(weigh(network, "x", "mask"), "x", "other");
        network
            .output("scores", Type::F32, &[1, 3])
            .output("colours", Type::F32, &[1, 3, -1, -1])
            .output("mask", Type::F32, &[1, 1, -1, -1])
            .output("other", Type::F32, &[1, 1, -1, -1])
    };
    let (code, said, wrong) = of(several(), "several.onnx");
    assert_eq!(code, Some(0), "{wrong}");
    let line = |start: &str| {
        said.lines().find(|l| l.starts_with(start)).unwrap_or_else(|| panic!("no '{start}': {said}"))
    };
    assert!(line("input    x f32[1,3,?,?]").ends_with("the picture (the first that can be one)"), "{said}");
    assert!(line("output   scores f32[1,3]").contains("not read (no image"), "{said}");
    assert!(line("output   colours").contains("a matte has one or two channels"), "{said}");
    assert!(
        line("output   mask f32[1,1,?,?]").ends_with("taken as the mask (the first output that can be one)")
    );
    assert!(line("output   other").contains("output=other takes it"), "{said}");
    // A sidecar says which, and that is said.
    std::fs::write(folder.path().join("several.onnx.modelinfo"), "[bgremove]\noutput=other\n").unwrap();
    let (_, said, _) = of(several(), "several.onnx");
    assert!(said.contains("taken as the mask (named by `output`)"), "{said}");
    // What cannot be used is shown all the same.
    let scores = Onnx::new()
        .input("x", Type::F32, &[1, 3, 8, 8])
        .node("ReduceMean", "x", "y", &[("axes", Attr::Ints(&[2, 3])), ("keepdims", Attr::Int(0))])
        .output("y", Type::F32, &[1, 3]);
    let (code, said, wrong) = of(scores, "scores.onnx");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("output   y f32[1,3]") && wrong.contains("no output that could be a matte"),
        "{wrong}"
    );
    // No file, no preset.
    assert_eq!(told(&folder.path().join("none.onnx")).0, Some(2));
}

/// The rows that come out depend on the picture: its mean times 32.
fn shrinking() -> Onnx {
    let int = Attr::Int(Type::I64 as i64);
    weigh(Onnx::new().input("x", Type::F32, &[1, 3, 32, 32]), "x", "s")
        .scalar("rows", 32.0)
        .i64s("zero", &[1], &[0])
        .i64s("axis", &[1], &[2])
        .i64s("one", &[1], &[1])
        .node("ReduceMean", "s", "mean", &[("keepdims", Attr::Int(0))])
        .op("Mul", "mean rows", "many")
        .node("Cast", "many", "count", &[("to", int)])
        .op("Reshape", "count one", "end")
        .op("Slice", "s zero end axis", "y")
        .output("y", Type::F32, &[1, 1, -1, 32])
}

#[test]
fn an_output_may_have_another_size_each_frame() {
    let folder = folder();
    let path = shrinking().save(folder.path(), "x.onnx");
    let info = info(VideoFormat::Rgb, 48, 48);
    let props = format!("{BARE} model=\"{}\"", path.display());
    let greys = |list: &[u8]| -> Vec<gst::Buffer> {
        list.iter().enumerate().map(|(n, v)| frame(&info, n as u64, |_, _| [*v; 3])).collect()
    };
    // A mask of any size covers the frame.
    let (out, frames) =
        process(&props, "video/x-raw,format=GRAY8", &info, greys(&[255, 128, 40, 200, 12, 255])).unwrap();
    for (frame, v) in frames.iter().zip([255u8, 128, 40, 200, 12, 255]) {
        let matte = Samples::new(frame, &out).first();
        matte.iter().for_each(|m| near(*m, f32::from(v) / 255.0 * 0.875));
    }
    // None at all is an error.
    let text = process(&props, "video/x-raw,format=GRAY8", &info, greys(&[255, 0, 255])).unwrap_err();
    assert!(text.contains("'y'") && text.contains("[1, 1, 0, 32]") && text.contains("no mask"), "{text}");
}

#[test]
fn an_output_that_is_no_mask_is_refused_by_its_name() {
    let folder = folder();
    let shaped = |shape: &[i64]| {
        weigh(Onnx::new().input("x", Type::F32, &[1, 3, 32, 32]), "x", "s")
            .i64s("shape", &[shape.len() as i64], shape)
            .op("Reshape", "s shape", "y")
            .output("y", Type::F32, shape)
    };
    for shape in [&[1024][..], &[1, 2, 16, 32, 1], &[4, 1, 16, 16]] {
        let path = shaped(shape).save(folder.path(), "x.onnx");
        for more in [String::new(), options("output=y")] {
            // Named by the user it is tried, and told at the first frame.
            let text = match matte_of(&path, &more, (48, 48), |_, _| RGB) {
                Err(text) => text,
                Ok(_) => panic!("{shape:?} {more} is taken for a mask"),
            };
            let named = text.contains("'y'") || text.contains("Outputs: y ");
            assert!(named && (text.contains("mask") || text.contains("matte")), "{text}");
        }
        std::fs::remove_file(path).unwrap();
    }
}

/// Mean difference of two mattes, of 255.
fn difference(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}

fn portrait_matte(props: &str) -> Vec<u8> {
    let info = info(VideoFormat::Rgb, 512, 512);
    let (out, frames) =
        process(&format!("{BARE} {props}"), "video/x-raw,format=GRAY8", &info, vec![portrait(&info, 0)])
            .unwrap();
    Samples::new(&frames[0], &out).first()
}

#[test]
fn a_known_file_is_known_wherever_it_lies() {
    let folder = folder();
    let copy = folder.path().join("some other name.onnx");
    let original = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/original.onnx");
    std::fs::copy(original, &copy).unwrap();
    let preset = portrait_matte("model=original execution-provider=cpu");
    let file = portrait_matte(&format!("model=\"{}\" execution-provider=cpu", copy.display()));
    assert!(difference(&preset, &file) < 0.05);
    assert!(preset.iter().any(|v| *v > 250) && preset.iter().any(|v| *v < 5));
}

#[test]
fn the_model_changes_while_playing() {
    let folder = folder();
    let one = plain().save(folder.path(), "one.onnx");
    let two = weigh(Onnx::new().input("x", Type::F32, &[1, 3, 32, 32]), "x", "s")
        .scalar("half", 0.5)
        .op("Mul", "s half", "y")
        .output("y", Type::F32, &[1, 1, 32, 32])
        .save(folder.path(), "two.onnx");
    let s = sum(RGB, 0.0, 1.0);
    let mut stream = Stream::new(&one, &[]);
    near(stream.push(), s);
    let until = |stream: &mut Stream, wanted: f32| {
        let start = Instant::now();
        loop {
            // Every frame that goes in comes out (`push` sees to it), with one network or the other.
            let v = stream.push();
            if (f32::from(v) - wanted * 255.0).abs() < 2.0 {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{v}, not {}", wanted * 255.0);
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    for _ in 0..5 {
        stream.element.set_property("model", two.display().to_string());
        until(&mut stream, s / 2.0);
        stream.element.set_property("model", one.display().to_string());
        until(&mut stream, s);
    }
    assert!(stream.bus.pop_filtered(&[gst::MessageType::Warning, gst::MessageType::Error]).is_none());
    // The options alone, too.
    stream.element.set_property("model-options", "options,bgr=true".parse::<gst::Structure>().unwrap());
    until(&mut stream, sum([RGB[2], RGB[1], RGB[0]], 0.0, 1.0));
    stream.element.set_property("model-options", None::<gst::Structure>);
    until(&mut stream, s);
    // What cannot be used is told, and the running network stays.
    let broken = folder.path().join("broken.onnx");
    std::fs::write(&broken, b"no network").unwrap();
    for bad in ["/no/such.onnx", broken.to_str().unwrap()] {
        stream.element.set_property("model", bad);
        let start = Instant::now();
        let warning = loop {
            near(stream.push(), s);
            if let Some(m) = stream.bus.pop_filtered(&[gst::MessageType::Warning]) {
                break m;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "no warning");
            std::thread::sleep(Duration::from_millis(2));
        };
        let gst::MessageView::Warning(w) = warning.view() else { unreachable!() };
        let text = w.error().to_string();
        assert!(text.contains(bad) && text.contains("one.onnx"), "{text}");
        assert_eq!(stream.element.property::<String>("model"), one.display().to_string());
        near(stream.push(), s);
    }
}

#[test]
fn elements_share_one_network() {
    init();
    let folder = folder();
    let path = plain().save(folder.path(), "x.onnx");
    let runtime = runtime::open(None).unwrap();
    let choice = models::resolve(path.to_str().unwrap(), None).unwrap();
    let load = |threads| Network::load(runtime, &choice, &Provider::Cpu.into(), threads, false).unwrap();
    let (one, two, other) = (load(0), load(0), load(1));
    assert!(Arc::ptr_eq(&one.session, &two.session));
    assert!(!Arc::ptr_eq(&one.session, &other.session));
    drop(two);
    assert_eq!(Arc::strong_count(&one.session), 1);
    let mut streams: Vec<Stream> =
        (0..8).map(|_| Stream::new(&path, &[("execution-provider", "cpu")])).collect();
    // They run at the same time, each with its own frames.
    std::thread::scope(|s| {
        for stream in &mut streams {
            s.spawn(|| (0..20).for_each(|_| near(stream.push(), sum(RGB, 0.0, 1.0))));
        }
    });
    assert!(Arc::strong_count(&one.session) > 8, "{}", Arc::strong_count(&one.session));
    drop(streams);
    assert_eq!(Arc::strong_count(&one.session), 1);
    // A file that has been written anew is another network.
    plain().save(folder.path(), "x.onnx");
    let later = std::time::SystemTime::now() + Duration::from_secs(1);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
    assert!(!Arc::ptr_eq(&one.session, &load(0).session));
}

#[test]
fn runs_of_one_network_go_on_side_by_side_and_each_is_cancelled_alone() {
    init();
    let folder = folder();
    let path = onnx::slow_when_large().save(folder.path(), "x.onnx");
    let runtime = runtime::open(None).unwrap();
    let choice = models::resolve(path.to_str().unwrap(), None).unwrap();
    let network = Network::load(runtime, &choice, &Provider::Cpu.into(), 1, false).unwrap();
    let run = |side: usize, cancel: &Cancel| {
        let (x, shape) = (vec![0.5; 3 * side * side], [1, 3, side as i64, side as i64]);
        let input = [("x", &shape[..], Input::F32(&x))];
        network.session.run_unless(cancel, &input, &mut [], &["y"], |views| Ok(views[0].data[7]))
    };
    let cancels = [Cancel::default(), Cancel::default()];
    std::thread::scope(|s| {
        let [a, b] = [0, 1].map(|i| {
            let (run, cancel) = (&run, &cancels[i]);
            s.spawn(move || run(1500, cancel))
        });
        std::thread::sleep(Duration::from_millis(300));
        let values: Vec<f32> = (0..5).map(|_| run(32, &Cancel::default()).unwrap()).collect();
        let waited = a.is_finished() || b.is_finished();
        cancels[0].call();
        let first = a.join().unwrap();
        let alone = !b.is_finished();
        cancels[1].call();
        let second = b.join().unwrap();
        assert!(!waited, "it waited for another run");
        assert_eq!(first.unwrap_err().kind, ErrorKind::Cancelled);
        assert!(alone, "the other run was cancelled, too");
        assert_eq!(second.unwrap_err().kind, ErrorKind::Cancelled);
        assert_eq!(values, [0.5; 5]);
    });
}

#[test]
fn a_network_is_known_by_the_file_that_was_loaded_and_not_by_what_lies_there_since() {
    init();
    let folder = folder();
    let runtime = runtime::open(None).unwrap();
    let sum = |bytes: &[u8]| glib::compute_checksum_for_data(glib::ChecksumType::Sha256, bytes).unwrap();
    std::fs::write(folder.path().join("w.bin"), [0u8; 12]).unwrap();
    let beside = Onnx::new()
        .input("x", Type::F32, &[1, 3, 32, 32])
        .external("w", &[1, 3, 1, 1], "w.bin")
        .op("Conv", "x w", "y")
        .output("y", Type::F32, &[1, 1, 32, 32]);
    for (network, name) in [(plain(), "x.onnx"), (beside, "y.onnx")] {
        let path = network.save(folder.path(), name);
        let bytes = std::fs::read(&path).unwrap();
        let choice = models::resolve(path.to_str().unwrap(), None).unwrap();
        let loaded = Network::load(runtime, &choice, &Provider::Cpu.into(), 0, false).unwrap();
        std::fs::write(&path, b"something else").unwrap();
        for _ in 0..2 {
            let known = loaded.provenance();
            assert_eq!(known.sha256.as_deref(), Some(sum(&bytes).as_str()), "{name}");
            assert_eq!(known.bytes, bytes.len() as u64);
            let _ = std::fs::remove_file(&path);
        }
    }
    let light = models::resolve("light", None).unwrap();
    let known = Network::load(runtime, &light, &Provider::Cpu.into(), 0, false).unwrap().provenance();
    assert!(known.title.is_some() && known.sha256.is_some_and(|s| s.len() == 64), "{:?}", known.title);
}

#[test]
fn streams_that_wait_do_not_run_on_threads_that_have_stepped_back() {
    init();
    let folder = folder();
    let path = plain().save(folder.path(), "x.onnx");
    let runtime = runtime::open(None).unwrap();
    let choice = models::resolve(path.to_str().unwrap(), None).unwrap();
    let load = |behind| Network::load(runtime, &choice, &Provider::Cpu.into(), 2, behind).unwrap();
    let (first, ahead, behind, second) = (load(true), load(false), load(true), load(false));
    assert!(Arc::ptr_eq(&first.session, &behind.session) && Arc::ptr_eq(&ahead.session, &second.session));
    assert!(!Arc::ptr_eq(&ahead.session, &behind.session));
}

#[test]
fn a_provider_that_is_not_there_is_an_error() {
    init();
    runtime::open(None).unwrap();
    let folder = folder();
    let path = plain().save(folder.path(), "x.onnx");
    let missing: Vec<_> = Provider::ALL.into_iter().filter(|p| !p.is_available()).collect();
    if missing.is_empty() {
        skip::skip("a_provider_that_is_not_there_is_an_error", "this ONNX Runtime has them all");
    }
    for provider in missing {
        let name = provider.name();
        let more = format!("execution-provider={name}");
        let text = matte_of(&path, &more, (48, 48), |_, _| RGB).unwrap_err();
        assert!(text.contains(&more) && text.contains("libonnxruntime"), "{text}");
    }
}

#[test]
fn the_provider_in_use_can_be_read() {
    init();
    runtime::open(None).unwrap();
    let folder = folder();
    let path = plain().save(folder.path(), "x.onnx");
    let active = |provider: &str| {
        let mut stream = Stream::new(&path, &[("execution-provider", provider)]);
        near(stream.push(), sum(RGB, 0.0, 1.0));
        stream.element.property::<String>("active-execution-provider")
    };
    assert_eq!(active("cpu"), "cpu");
    // Small networks stay on the CPU.
    assert_eq!(active("auto"), "cpu");
    if Provider::OpenVino.is_available() {
        assert_eq!(active("openvino"), "openvino (CPU)");
    } else {
        skip::skip("the_provider_in_use_can_be_read", NO_OPENVINO);
    }
    let idle = gst::ElementFactory::make("bgremove").build().unwrap();
    assert_eq!(idle.property::<String>("active-execution-provider"), "");
}

#[test]
fn openvino_gives_the_same_matte() {
    init();
    runtime::open(None).unwrap();
    if !Provider::OpenVino.is_available() {
        return skip::skip("openvino_gives_the_same_matte", NO_OPENVINO);
    }
    let mut far = Vec::new();
    for model in ["original", "human"] {
        if models::resolve(model, None).is_err() {
            skip::skip(
                "openvino_gives_the_same_matte",
                &format!("model {model} is not installed (`make models`)"),
            );
            continue;
        }
        let on = |provider: &str| portrait_matte(&format!("model={model} execution-provider={provider}"));
        let d = difference(&on("openvino"), &on("cpu"));
        println!("{model}: OpenVINO is {d:.3} of 255 from the CPU");
        far.extend((d > 2.0).then(|| format!("{model}: {d:.3}")));
    }
    assert!(far.is_empty(), "more than 2 of 255 from the CPU: {far:?}");
}

/// The sidecars and options of docs/networks.md, each with a network of the kind that it is for.
#[test]
fn the_pages_sidecars_and_options_do_what_it_says() {
    let page = include_str!("../docs/networks.md");
    let section = page.split("## Your own network").nth(1).unwrap().split("\n## ").next().unwrap();
    let block = |title: &str| {
        let from = section.split(title).nth(1).unwrap_or_else(|| panic!("{title} is not on the page"));
        from.split("```ini\n").nth(1).unwrap().split("```").next().unwrap().to_string()
    };
    let with = |network: &Onnx, sidecar: &str, rgb: fn(usize, usize) -> [u8; 3]| {
        let folder = folder();
        let path = network.save(folder.path(), "x.onnx");
        std::fs::write(folder.path().join("x.onnx.modelinfo"), sidecar).unwrap();
        matte_of(&path, "", (48, 48), rgb).unwrap()
    };
    let matte = with(&plain(), &block("u2net.onnx.modelinfo"), halves);
    assert_eq!((matte[0], matte[47]), (0, 255));
    let modnet = weigh(Onnx::new().input("input", Type::F32, &[-1, 3, -1, -1]), "input", "output").output(
        "output",
        Type::F32,
        &[-1, 1, -1, -1],
    );
    near(with(&modnet, &block("modnet.onnx.modelinfo"), |_, _| RGB)[0], sum(RGB, 0.5, 0.5));
    let l = sum(RGB, 0.5, 0.5);
    let classes = weigh(Onnx::new().input("x", Type::F32, &[1, 3, 32, 32]), "x", "s")
        .scalar("two", 2.0)
        .op("Mul", "s two", "m")
        .node("Concat", "s m", "y", &[("axis", Attr::Int(1))])
        .output("y", Type::F32, &[1, 2, 32, 32]);
    let wanted = sigmoid(l);
    near(with(&classes, &block("humanseg.onnx.modelinfo"), |_, _| RGB)[0], wanted);
    // The same by options, as the page's command has them.
    let options: Vec<&str> = section.lines().filter(|l| l.contains("model-options=")).collect();
    assert!(!options.is_empty());
    for line in options {
        let text = line.split("model-options=").nth(1).unwrap().split('\'').nth(1).unwrap();
        let folder = folder();
        let path = classes.save(folder.path(), "x.onnx");
        near(value(&path, &format!("model-options={text:?}"), (48, 48), RGB), wanted);
    }
}
