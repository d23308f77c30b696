//! Networks that are told whom to keep: what they are told, in one file and in two.

mod common;

use common::onnx::{Attr, Onnx, Type};
use common::*;
use gst::prelude::*;
use std::path::Path;

const GREEN: [u8; 3] = [0, 255, 0];

/// A rectangle: left, top, right and bottom in pixels.
type Rect = [usize; 4];

fn frame((w, h): (usize, usize), green: &[Rect], n: u64) -> gst::Buffer {
    let mut data = vec![0u8; w * h * 4];
    for (i, pixel) in data.chunks_exact_mut(4).enumerate() {
        let (x, y) = (i % w, i / w);
        pixel[3] = 255;
        if green.iter().any(|[l, t, r, b]| (*l..*r).contains(&x) && (*t..*b).contains(&y)) {
            pixel[..3].copy_from_slice(&GREEN);
        }
    }
    let mut buffer = gst::Buffer::from_mut_slice(data);
    buffer.get_mut().unwrap().set_pts(gst::ClockTime::SECOND * n / 30);
    buffer
}

/// Writes the two halves of a network as SAM 2.1 has them: what it is told to keep is whatever is green within 22 pixels of the
/// first place, or between two corners. The frame is 128 × 72 for it.
fn write_parts(folder: &Path) -> String {
    Onnx::new()
        .input("image", Type::F32, &[1, 3, 72, 128])
        .f32s("green", &[1, 3, 1, 1], &[0.0, 1.0, 0.0])
        .op("Conv", "image green", "image_embed")
        .output("image_embed", Type::F32, &[1, 1, 72, 128])
        .save(folder, "encoder.onnx");
    let columns: Vec<f32> = (0..128).map(|x| x as f32 + 0.5).collect();
    let rows: Vec<f32> = (0..72).map(|y| y as f32 + 0.5).collect();
    let at = |axis| [("axis", Attr::Int(axis))];
    let float = [("to", Attr::Int(1))];
    let mut n = Onnx::new()
        .input("image_embed", Type::F32, &[1, 1, 72, 128])
        .input("point_coords", Type::F32, &[-1, -1, 2])
        .input("point_labels", Type::F32, &[-1, -1])
        .f32s("x", &[1, 1, 1, 128], &columns)
        .f32s("y", &[1, 1, 72, 1], &rows)
        .scalar("reach", 22.0)
        .scalar("corner", 2.0)
        .i64s("first", &[], &[0])
        .i64s("second", &[], &[1])
        .node("Gather", "point_labels first", "label", &at(1))
        .op("Equal", "label corner", "boxed");
    for place in ["first", "second"] {
        n = n.node("Gather", &format!("point_coords {place}"), &format!("p_{place}"), &at(1));
        for (axis, which) in [("x", "first"), ("y", "second")] {
            n = n.node("Gather", &format!("p_{place} {which}"), &format!("{axis}_{place}"), &at(1));
        }
    }
    for axis in ["x", "y"] {
        n = n
            .op("Sub", &format!("{axis} {axis}_first"), &format!("d_{axis}"))
            .op("Abs", &format!("d_{axis}"), &format!("away_{axis}"))
            .op("Less", &format!("away_{axis} reach"), &format!("near_{axis}"))
            .op("Greater", &format!("{axis} {axis}_first"), &format!("after_{axis}"))
            .op("Less", &format!("{axis} {axis}_second"), &format!("before_{axis}"))
            .op("And", &format!("after_{axis} before_{axis}"), &format!("within_{axis}"));
    }
    n.op("And", "near_x near_y", "near")
        .op("And", "within_x within_y", "within")
        .node("Cast", "near", "near_f", &float)
        .node("Cast", "within", "within_f", &float)
        .op("Where", "boxed within_f near_f", "kept")
        .op("Mul", "image_embed kept", "masks")
        .output("masks", Type::F32, &[-1, 1, 72, 128])
        .save(folder, "decoder.onnx");
    std::fs::write(
        folder.join("encoder.onnx.modelinfo"),
        "[bgremove]\ndecoder=decoder.onnx\nfit=stretch\nactivation=none\n",
    )
    .unwrap();
    folder.join("encoder.onnx").display().to_string()
}

/// A harness around the element that gives the matte.
struct Stream {
    element: gst::Element,
    harness: gst_check::Harness,
    bus: gst::Bus,
    size: (usize, usize),
    n: u64,
}

impl Stream {
    fn new(props: &str, size: (usize, usize)) -> Self {
        init();
        let line = format!(
            "bgremove inference-mode=sync output=matte refine=none temporal-smoothing=0 remember-background=false \
             scene-detection=false {props}"
        );
        let element = gst::parse::launch(&line).unwrap();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
        let (w, h) = size;
        harness.set_src_caps_str(&format!("video/x-raw,format=RGBA,width={w},height={h},framerate=30/1"));
        harness.play();
        Self { element, harness, bus, size, n: 0 }
    }

    fn error(&self) -> Option<String> {
        let message = self.bus.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(e) => Some(e.error().message().to_string()),
            _ => None,
        }
    }

    /// The matte at places of a frame with these green rectangles.
    fn see(&mut self, green: &[Rect], places: &[(usize, usize)]) -> Vec<u8> {
        let pushed = self.harness.push(frame(self.size, green, self.n));
        assert!(pushed.is_ok(), "{:?}", self.error());
        self.n += 1;
        let out = self.harness.pull().unwrap();
        let map = out.map_readable().unwrap();
        places.iter().map(|(x, y)| map[y * self.size.0 + x]).collect()
    }
}

/// Who walks by, in frame `n`, and who stands above.
fn walking(n: usize) -> [Rect; 2] {
    let x = 10 + 3 * n;
    [[x, 80, x + 40, 130], [200, 10, 240, 50]]
}

/// The middle of each.
fn middles(n: usize) -> [(usize, usize); 2] {
    walking(n).map(|[l, t, r, b]| ((l + r) / 2, (t + b) / 2))
}

const SIZE: (usize, usize) = (256, 144);

#[test]
fn a_click_goes_with_whom_it_was_on() {
    let folder = tempfile::tempdir().unwrap();
    let model = write_parts(folder.path());
    let mut stream = Stream::new(&format!("model={model} subject=nearest:0.12,0.75"), SIZE);
    for n in 0..60 {
        assert_eq!(stream.see(&walking(n), &middles(n)), [255, 0], "{n}");
    }
    // Another click is on the other, and one on where the first one was is on nobody that is there now.
    stream.element.set_property("subject", "nearest:0.86,0.2");
    assert_eq!(stream.see(&walking(60), &middles(60)), [0, 255]);
    // A cut, or a seek: it is clicked anew where it was said.
    stream.element.set_property("subject", "nearest:0.12,0.75");
    assert_eq!(stream.see(&walking(60), &middles(60)), [0, 0]);
    assert_eq!(stream.see(&walking(0), &middles(0)), [255, 0]);

    // Told always of the same place, it loses them.
    let options = "model-options=\"options,points=(string)\\\"0.12,0.75\\\"\"";
    let mut stream = Stream::new(&format!("model={model} {options}"), SIZE);
    assert_eq!(stream.see(&walking(0), &middles(0)), [255, 0]);
    assert_eq!(stream.see(&walking(60), &middles(60)), [0, 0]);
}

#[test]
fn a_box_and_a_detectors_region_are_two_corners() {
    let folder = tempfile::tempdir().unwrap();
    let model = write_parts(folder.path());
    let mut stream = Stream::new(&format!("model={model} subject=box:0.7,0,0.3,0.4"), SIZE);
    assert_eq!(stream.see(&walking(0), &middles(0)), [0, 255]);
    // Everything, where nothing is said.
    stream.element.set_property("subject", "all");
    assert_eq!(stream.see(&walking(1), &middles(1)), [255, 255]);
    // With a place as well it stays with them.
    stream.element.set_property("subject", "largest");
    for n in 2..40 {
        assert_eq!(stream.see(&walking(n), &middles(n)), [255, 0], "{n}");
    }
    stream.element.set_property("subject", "meta:person");
    let mut found = frame(SIZE, &walking(40), 100);
    let region = (195, 5, 50, 50);
    gst_video::VideoRegionOfInterestMeta::add(found.get_mut().unwrap(), "person", region);
    stream.harness.push(found).unwrap();
    let out = stream.harness.pull().unwrap();
    let map = out.map_readable().unwrap();
    assert_eq!(middles(40).map(|(x, y)| map[y * SIZE.0 + x]), [0, 255]);
}

#[test]
fn another_network_points_at_whom_the_one_before_kept() {
    let folder = tempfile::tempdir().unwrap();
    let told = write_parts(folder.path());
    let green = Onnx::colored([0.0, 1.0, 0.0], 0.0, 128, 72).save(folder.path(), "green.onnx");
    let options = "model-options=\"options,fit=stretch,activation=none\"";
    let mut stream =
        Stream::new(&format!("model={} {options} subject=nearest:0.12,0.75", green.display()), SIZE);
    for n in 0..60 {
        assert_eq!(stream.see(&walking(n), &middles(n)), [255, 0], "{n}");
    }
    // Told of the place of the click, it would find nobody there.
    stream.element.set_property("model", &told);
    for n in 0..200 {
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert_eq!(stream.see(&walking(60), &middles(60)), [255, 0], "{n}");
    }
    // It has taken over: clicked anew there, it finds nobody.
    stream.element.set_property("subject", "nearest:0.12,0.75");
    assert_eq!(stream.see(&walking(60), &middles(60)), [0, 0]);
}

/// A network whose mask is what it is told: 20 rows, of which each is one number.
fn dials(folder: &Path) -> String {
    let axis = [("axis", Attr::Int(0))];
    Onnx::new()
        .input("x", Type::F32, &[1, 3, 80, 80])
        .input("places", Type::F16, &[1, -1, 2])
        .input("kinds", Type::I64, &[1, -1])
        .input("area", Type::F32, &[1, 1, 4])
        .input("last", Type::F32, &[1, 1, 16, 16])
        .input("seen", Type::F32, &[1])
        .input("size", Type::I64, &[2])
        .input("text", Type::F32, &[1, 3])
        .i64s("flat", &[1], &[-1])
        .scalar("eighty", 80.0)
        .scalar("two", 2.0)
        .scalar("four", 4.0)
        .scalar("one", 1.0)
        .node("Cast", "places", "places_f", &[("to", Attr::Int(1))])
        .op("Reshape", "places_f flat", "places_1")
        .op("Div", "places_1 eighty", "a")
        .node("Cast", "kinds", "kinds_f", &[("to", Attr::Int(1))])
        .op("Reshape", "kinds_f flat", "kinds_1")
        .op("Add", "kinds_1 one", "kinds_2")
        .op("Div", "kinds_2 four", "b")
        .op("Reshape", "area flat", "area_1")
        .op("Div", "area_1 eighty", "c")
        .op("ReduceMean", "last", "mean")
        .op("Reshape", "mean flat", "e")
        .node("Cast", "size", "size_f", &[("to", Attr::Int(1))])
        .op("Div", "size_f eighty", "size_1")
        .op("Div", "size_1 two", "f")
        .op("Reshape", "text flat", "g")
        .node("Concat", "a b c seen e f g", "all", &axis)
        .i64s("rows", &[4], &[1, 1, 20, 1])
        .i64s("wide", &[4], &[1, 1, 20, 80])
        .op("Reshape", "all rows", "column")
        .op("Expand", "column wide", "told")
        .op("ReduceMean", "x", "bright")
        .scalar("zero", 0.0)
        .op("Mul", "bright zero", "none")
        .op("Add", "told none", "y")
        .output("y", Type::F32, &[1, 1, 20, 80])
        .save(folder, "dials.onnx")
        .display()
        .to_string()
}

/// An array as numpy.save() writes it.
fn npy(shape: &str, numbers: &[f32]) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    let data: Vec<u8> = numbers.iter().flat_map(|v| v.to_le_bytes()).collect();
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

const TOLD: &str = "[bgremove]\nactivation=none\nprompt-points=places:kinds\nprompt-box=area\nprompt-mask=last:seen\n\
                    prompt-size=size\nprompt-embedding=text:jacket.npy\npoints=0.25,0.5;0.75,1,0\n";

#[test]
fn each_input_is_filled_in_pixels_of_the_networks_picture() {
    let folder = tempfile::tempdir().unwrap();
    let model = dials(folder.path());
    std::fs::write(format!("{model}.modelinfo"), TOLD).unwrap();
    std::fs::write(folder.path().join("jacket.npy"), npy("(3,)", &[0.2, 0.6, 0.4])).unwrap();
    // Half as wide as high: it takes columns 20 to 59 of the network's 80.
    let mut stream = Stream::new(&format!("model={model}"), (160, 320));
    let row = |stream: &mut Stream| -> Vec<f64> {
        // Each row is 16 high; in its middle nothing is mixed.
        let places: Vec<_> = (0..20).flat_map(|r| [(80, 16 * r + 7), (80, 16 * r + 8)]).collect();
        let seen = stream.see(&[], &places);
        seen.chunks(2).map(|p| (f64::from(p[0]) + f64::from(p[1])) / 510.0).collect()
    };
    let first = row(&mut stream);
    let places = [30.0, 40.0, 50.0, 80.0, 0.0 + 20.0, 0.0].map(|v| v / 80.0);
    let kinds = [0.5, 0.25, 0.0];
    let area = [20.0, 0.0, 60.0, 80.0].map(|v| v / 80.0);
    let expected = [&places[..], &kinds, &area, &[0.0, 0.0], &[0.5, 0.5], &[0.2, 0.6, 0.4]].concat();
    for (i, (have, want)) in first.iter().zip(&expected).enumerate() {
        // The rows beside it have a little part in it.
        assert!((have - want).abs() < 0.02, "{i}: {have} for {want}: {first:?}");
    }
    // From the second frame on there is a mask before; half of it is beside the frame.
    let second = row(&mut stream);
    assert!((second[13] - 1.0).abs() < 0.03, "{second:?}");
    let mean = expected.iter().sum::<f64>() / 40.0;
    assert!((second[14] - mean).abs() < 0.02, "{} for {mean}", second[14]);
    // After a flush there is none again.
    assert!(stream.harness.push_event(gst::event::FlushStart::new()));
    assert!(stream.harness.push_event(gst::event::FlushStop::new(true)));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(stream.harness.push_event(gst::event::Segment::new(&segment)));
    let third = row(&mut stream);
    assert!(third[13] < 0.01 && third[14] < 0.01, "{third:?}");
}

/// A network of three masks of the same level each, of which the last is the best, or the second before a green frame. The levels are
/// a fifth, a half and four fifths, and `more`.
fn several(folder: &tempfile::TempDir, more: f32) -> String {
    Onnx::new()
        .input("x", Type::F32, &[1, 3, 36, 64])
        .f32s("green", &[1, 3, 1, 1], &[0.0, 1.0, 0.0])
        .op("Conv", "x green", "mask")
        .scalar("zero", 0.0)
        .op("Mul", "mask zero", "none")
        .f32s("levels", &[1, 1, 3, 1, 1], &[0.2 + more, 0.5 + more, 0.8 + more])
        .op("Add", "none levels", "masks")
        .op("ReduceMean", "mask", "mean")
        .i64s("flat", &[3], &[1, 1, 1])
        .op("Reshape", "mean flat", "second")
        .f32s("low", &[1, 1, 1], &[0.1])
        .f32s("half", &[1, 1, 1], &[0.5])
        .node("Concat", "low second half", "iou_scores", &[("axis", Attr::Int(2))])
        .output("iou_scores", Type::F32, &[1, 1, 3])
        .output("masks", Type::F32, &[1, 1, 3, 36, 64])
        .save(folder.path(), "several.onnx")
        .display()
        .to_string()
}

#[test]
fn of_several_masks_the_best_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = several(&folder, 0.0);
    let options = "model-options=\"options,fit=stretch,activation=none\"";
    let mut stream = Stream::new(&format!("model={path} {options}"), SIZE);
    assert_eq!(stream.see(&[], &[(128, 72)]), [204]);
    assert!(matches!(stream.see(&[[0, 0, 256, 144]], &[(128, 72)])[..], [127 | 128]));
    // One that is named is taken, however good it is.
    let options = "model-options=\"options,fit=stretch,activation=none,class=0\"";
    let mut stream = Stream::new(&format!("model={path} {options}"), SIZE);
    assert_eq!(stream.see(&[], &[(128, 72)]), [51]);
    // Logits that are on everywhere are so in each mask by itself.
    let mut logits = Stream::new(
        &format!("model={} {}", several(&folder, 6.0), "model-options=options,fit=stretch,class=0"),
        SIZE,
    );
    assert_eq!(logits.see(&[], &[(128, 72)]), [254]);
}

#[test]
fn what_is_missing_or_does_not_fit_is_named_at_the_start() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let fails = |model: &str| {
        let line = format!("videotestsrc num-buffers=1 ! bgremove model={model} ! fakesink");
        let pipeline = Running(gst::parse::launch(&line).unwrap().downcast().unwrap());
        let _ = pipeline.set_state(gst::State::Playing);
        let types = [gst::MessageType::Error, gst::MessageType::Eos];
        let message = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(30), &types);
        match message.as_ref().map(|m| m.view()) {
            Some(gst::MessageView::Error(e)) => e.error().message().to_string(),
            _ => panic!("{model}: no error"),
        }
    };
    let model = write_parts(folder.path());
    std::fs::rename(folder.path().join("decoder.onnx"), folder.path().join("other.onnx")).unwrap();
    let text = fails(&model);
    assert!(text.contains("its decoder") && text.contains("decoder.onnx"), "{text}");
    // The decoder alone wants what an encoder gives.
    let text = fails(&folder.path().join("other.onnx").display().to_string());
    assert!(text.contains("no input for an RGB image") && text.contains("point_coords"), "{text}");

    let model = dials(folder.path());
    let with = |sidecar: &str| {
        std::fs::write(format!("{model}.modelinfo"), sidecar).unwrap();
        fails(&model)
    };
    let text = with(TOLD);
    assert!(text.contains("jacket.npy") && text.contains("cannot be read"), "{text}");
    std::fs::write(folder.path().join("jacket.npy"), npy("(1, 4)", &[0.0; 4])).unwrap();
    let text = with(TOLD);
    assert!(text.contains("its shape is [1, 4]") && text.contains("text"), "{text}");
    let text = with("[bgremove]\nprompt-points=nowhere\n");
    assert!(text.contains("no input 'nowhere'"), "{text}");
    let text = with("[bgremove]\nprompt-points=area\n");
    assert!(text.contains("'area'") && text.contains("last dimension is not 2"), "{text}");
    let text = with(&TOLD.replace("prompt-size=size\n", ""));
    assert!(text.contains("'size'") && text.contains("prompt-mask"), "{text}");
}

#[test]
fn the_record_and_the_tool_tell_of_both_parts() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let model = write_parts(folder.path());
    let report = folder.path().join("r.json");
    let mut stream = Stream::new(&format!("model={model} report-location={}", report.display()), SIZE);
    stream.see(&walking(0), &middles(0));
    stream.harness.push_event(gst::event::Eos::new());
    let record = record::record(&report);
    let [first, second] =
        ["sha256", "decoder_sha256"].map(|key| record["model"][key].as_str().unwrap().to_string());
    assert!(first.len() == 64 && second.len() == 64 && first != second, "{record}");

    let mut tool = std::process::Command::new(env!("CARGO_BIN_EXE_bgremove"));
    let said = tool.args(["models", "info", &model]).output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(said.status.success(), "{text}");
    for line in [
        "the picture (the first that can be one)",
        "goes to the decoder, as 'image_embed'",
        "'image_embed' of the first part",
        "places of whom to keep, in pixels",
        "taken as the mask (the first output that can be one)",
        &first,
        &second,
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}
