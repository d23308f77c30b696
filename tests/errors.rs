//! Every error that a user can cause says what it is about and what to do.

mod common;

use common::onnx::{Onnx, Type};
use common::*;
use gst::prelude::*;
use gst_video::VideoFormat;

/// The error of a pipeline around `bgremove PROPS`.
fn error(props: &str) -> String {
    let info = info(VideoFormat::I420, 64, 48);
    process(props, "video/x-raw", &info, vec![portrait(&info, 0)]).map(|_| props.to_string()).unwrap_err()
}

fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
}

#[test]
fn no_such_model() {
    says(&error("model=/no/such/file.onnx"), &["/no/such/file.onnx", "light"]);
    says(&error("model=lihgt"), &["lihgt", "light", "human"]);
}

#[test]
fn a_file_that_is_not_onnx() {
    let file = tempfile::NamedTempFile::with_suffix(".onnx").unwrap();
    std::fs::write(file.path(), b"this is a text").unwrap();
    let path = file.path().display().to_string();
    says(&error(&format!("model={path}")), &[&path, "cannot be used"]);
}

#[test]
fn an_onnx_file_that_is_no_image_network() {
    let network = Onnx::new().input("tokens", Type::F32, &[1, 77]).op("Identity", "tokens", "logits").output(
        "logits",
        Type::F32,
        &[1, 77],
    );
    let file = tempfile::NamedTempFile::with_suffix(".onnx").unwrap();
    std::fs::write(file.path(), network.bytes()).unwrap();
    let path = file.path().display().to_string();
    says(
        &error(&format!("model={path}")),
        &[&path, "tokens", "[1,77]", "logits", "no input for an RGB image"],
    );
}

#[test]
fn bad_backgrounds() {
    says(&error("background=nocolour"), &["nocolour", "#RRGGBB"]);
    says(&error("background=#12"), &["#12", "#RRGGBB"]);
    says(&error("background=blur:900"), &["blur:900", "percentage"]);
    says(&error("background=/no/such.png"), &["/no/such.png", "no such file"]);
    let file = tempfile::NamedTempFile::with_suffix(".png").unwrap();
    std::fs::write(file.path(), b"\x89PNG\r\n\x1a\nbroken").unwrap();
    let path = file.path().display().to_string();
    says(&error(&format!("background={path}")), &[&path, "decoded"]);
    std::fs::write(file.path(), b"no picture at all").unwrap();
    says(&error(&format!("background={path}")), &[&path, "no PNG, JPEG or WebP"]);
}

#[test]
fn no_alpha_downstream() {
    let info = info(VideoFormat::I420, 64, 48);
    for after in ["jpegenc", "queue ! jpegenc"] {
        let text = process("", after, &info, vec![portrait(&info, 0)]).unwrap_err();
        says(&text, &["background=transparent", "alpha", "it takes", "I420", "Choose a background"]);
    }
    assert!(process("background=red", "jpegenc", &info, vec![portrait(&info, 0)]).is_ok());
}

/// A converter in front asks what would do, and must not end the stream with a bare "not negotiated" of its own.
#[test]
fn no_alpha_downstream_of_a_converter() {
    init();
    for before in ["video/x-raw,format=I420", "videoconvert", "videoconvert ! videoscale"] {
        let line = format!("videotestsrc num-buffers=3 ! {before} ! bgremove ! jpegenc ! fakesink");
        let pipeline = Running(gst::parse::launch(&line).unwrap().downcast().unwrap());
        let _ = pipeline.set_state(gst::State::Playing);
        let kinds = [gst::MessageType::Error, gst::MessageType::Eos];
        let message = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(30), &kinds);
        match message.expect("an end").view() {
            gst::MessageView::Error(e) => says(
                &e.error().to_string(),
                &["background=transparent", "alpha", "it takes", "I420", "Choose a background"],
            ),
            _ => panic!("{line}: plays"),
        }
    }
}

#[test]
fn interlaced_video() {
    let plain = info(VideoFormat::I420, 64, 48);
    let interlaced = gst_video::VideoInfo::builder(VideoFormat::I420, 64, 48)
        .fps(gst::Fraction::new(25, 1))
        .interlace_mode(gst_video::VideoInterlaceMode::Interleaved)
        .build()
        .unwrap();
    says(&process("", "video/x-raw", &interlaced, vec![portrait(&plain, 0)]).unwrap_err(), &["deinterlace"]);
}

#[test]
fn a_buffer_smaller_than_its_caps() {
    let info = info(VideoFormat::Rgba, 64, 48);
    let small = gst::Buffer::with_size(1000).unwrap();
    says(&process("", "video/x-raw", &info, vec![small]).unwrap_err(), &["incoming buffer", "caps"]);
}

#[test]
fn a_bad_value_while_playing_leaves_the_last_good_one() {
    init();
    let bg = gst::ElementFactory::make("bgremove").property("background", "#102030").build().unwrap();
    let bus = gst::Bus::new();
    bg.set_bus(Some(&bus));
    bg.set_state(gst::State::Ready).unwrap();
    for bad in ["nocolour", "/no/such.png"] {
        bg.set_property("background", bad);
        let message = bus.pop_filtered(&[gst::MessageType::Warning]).expect("a warning");
        let gst::MessageView::Warning(w) = message.view() else { unreachable!() };
        says(w.error().message(), &[bad, "#102030"]);
        assert_eq!(bg.property::<String>("background"), "#102030");
    }
    bg.set_property("background", "#405060");
    assert!(bus.pop_filtered(&[gst::MessageType::Warning]).is_none());
    assert_eq!(bg.property::<String>("background"), "#405060");
    bg.set_state(gst::State::Null).unwrap();
}

#[test]
fn a_failed_start_can_be_mended() {
    init();
    let bg = gst::ElementFactory::make("bgremove").property("background", "nocolour").build().unwrap();
    assert!(bg.set_state(gst::State::Ready).is_err());
    bg.set_property("background", "blue");
    assert!(bg.set_state(gst::State::Ready).is_ok());
    bg.set_state(gst::State::Null).unwrap();
}
