//! Every error that a user can cause says what it is about and what to do.

mod common;

use common::onnx::{Onnx, Type};
use common::*;
use gst::prelude::*;
use gst_video::VideoFormat;
use gst_video::prelude::*;

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

/// What a pipeline posts until its end: warnings and errors. `caps` are those of its appsrc `in`.
fn told(line: &str, caps: Option<&gst::Caps>) -> Vec<String> {
    init();
    let pipeline = Running(gst::parse::launch(line).unwrap().downcast().unwrap());
    if let Some(caps) = caps {
        let src = pipeline.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
        src.set_caps(Some(caps));
        src.push_buffer(gst::Buffer::with_size(64 * 48 * 3 / 2).unwrap()).unwrap();
        src.end_of_stream().unwrap();
    }
    let bus = pipeline.bus().unwrap();
    let _ = pipeline.set_state(gst::State::Playing);
    let kinds = [gst::MessageType::Warning, gst::MessageType::Error, gst::MessageType::Eos];
    let mut told = Vec::new();
    // An error of a source is followed by the end of its stream, and what that makes others say.
    let patience = |told: &[String]| {
        let failed = told.iter().any(|t| t.starts_with("error"));
        gst::ClockTime::from_mseconds(if failed { 500 } else { 10_000 })
    };
    while let Some(message) = bus.timed_pop_filtered(patience(&told), &kinds) {
        match message.view() {
            gst::MessageView::Error(e) => told.push(format!("error: {}", e.error())),
            gst::MessageView::Warning(w) => told.push(format!("warning: {}", w.error())),
            _ => {
                told.push("end".into());
                break;
            }
        }
    }
    told
}

/// A source or converter in front asks what would do, and gives up with a bare "not negotiated". The answer to the
/// question is true all the same, and the reason is told beside it.
#[test]
fn no_alpha_downstream_of_who_asks_first() {
    for before in ["video/x-raw,format=I420", "videoconvert", "videoconvert ! videoscale"] {
        let line = format!("videotestsrc num-buffers=3 ! {before} ! bgremove ! jpegenc ! fakesink");
        let told = told(&line, None);
        let ours = told.iter().position(|t| t.contains("background=transparent")).expect("a reason");
        let bare = told.iter().position(|t| t.starts_with("error: Internal")).expect("an error");
        assert!(told[ours].starts_with("warning") && ours < bare, "{told:?}");
        says(&told[ours], &["alpha", "it takes", "I420", "Choose a background"]);
        assert!(told.iter().all(|t| t != "end"), "{told:?}");
    }
}

#[test]
fn caps_are_answered_truly() {
    init();
    let line = "appsrc name=in format=time ! bgremove name=bg ! video/x-raw,format={I420,NV12} ! fakesink";
    let takes = |pipeline: &gst::Pipeline| {
        let caps = pipeline.by_name("bg").unwrap().static_pad("sink").unwrap().query_caps(None);
        let s = caps.structure(0).map(|s| s.get::<gst::List>("format").unwrap());
        s.map(|list| list.iter().map(|v| v.get::<String>().unwrap()).collect::<Vec<_>>())
    };
    for (background, want) in [("transparent", None), ("red", Some(vec!["I420".to_string(), "NV12".into()]))]
    {
        let pipeline = Running(gst::parse::launch(line).unwrap().downcast().unwrap());
        pipeline.by_name("bg").unwrap().set_property("background", background);
        pipeline.set_state(gst::State::Paused).unwrap();
        assert_eq!(takes(&pipeline), want, "{background}");
        // A question alone is no error.
        assert!(pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error]).is_none());
    }
    let element = gst::ElementFactory::make("bgremove").build().unwrap();
    let sink = element.static_pad("sink").unwrap();
    let modes = |mode: &str| {
        let caps = gst_video::VideoCapsBuilder::new().format(VideoFormat::I420).width(64).height(48);
        sink.query_caps(None).can_intersect(&caps.field("interlace-mode", mode).build())
    };
    assert_eq!(["progressive", "mixed", "interleaved"].map(modes), [true, true, false]);
}

#[test]
fn interlaced_video() {
    let plain = info(VideoFormat::I420, 64, 48);
    let of = |mode| {
        let info = gst_video::VideoInfo::builder(VideoFormat::I420, 64, 48);
        info.fps(gst::Fraction::new(25, 1)).interlace_mode(mode).build().unwrap()
    };
    let interlaced = of(gst_video::VideoInterlaceMode::Interleaved);
    says(&process("", "video/x-raw", &interlaced, vec![portrait(&plain, 0)]).unwrap_err(), &["deinterlace"]);
    let line = "appsrc name=in format=time ! videoconvert ! bgremove ! fakesink";
    let told = told(line, interlaced.to_caps().ok().as_ref());
    assert!(told.iter().any(|t| t.contains("deinterlace")), "{told:?}");
    // Mixed streams: what is progressive passes, what is not does not.
    let mixed = of(gst_video::VideoInterlaceMode::Mixed);
    let (out, frames) = process("", "video/x-raw", &mixed, vec![portrait(&plain, 0); 2]).unwrap();
    assert_eq!((out.interlace_mode(), frames.len()), (gst_video::VideoInterlaceMode::Mixed, 2));
    let mut fields = portrait(&plain, 1);
    fields.get_mut().unwrap().set_video_flags(gst_video::VideoBufferFlags::INTERLACED);
    let told = process("", "video/x-raw", &mixed, vec![portrait(&plain, 0), fields]).unwrap_err();
    says(&told, &["deinterlace"]);
}

#[test]
fn caps_of_another_kind_are_refused_in_words() {
    let p010 = gst_video::VideoInfo::builder(VideoFormat::P01010le, 64, 48)
        .fps(gst::Fraction::new(25, 1))
        .build()
        .unwrap();
    let buffer = gst::Buffer::with_size(p010.size()).unwrap();
    says(&process("", "video/x-raw", &p010, vec![buffer]).unwrap_err(), &["videoconvert"]);
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
