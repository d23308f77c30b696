//! Without ONNX Runtime: the plugin loads, the element is there, and going to READY says what is
//! missing. A process opens the library once, so this test has a process of its own.

mod common;

use gst::prelude::*;

fn error_on_start() -> String {
    let bg = gst::ElementFactory::make("bgremove").build().unwrap();
    let bus = gst::Bus::new();
    bg.set_bus(Some(&bus));
    assert!(bg.set_state(gst::State::Ready).is_err());
    let message = bus.pop_filtered(&[gst::MessageType::Error]).expect("an error on the bus");
    bg.set_state(gst::State::Null).unwrap();
    let gst::MessageView::Error(e) = message.view() else { unreachable!() };
    assert!(e.error().matches(gst::LibraryError::Init));
    e.error().to_string()
}

#[test]
fn says_where_it_looked_and_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    // SAFETY: this process has one test, and no other thread reads the environment yet.
    unsafe {
        std::env::remove_var("ORT_DYLIB_PATH");
        std::env::set_var("XDG_DATA_HOME", empty.path());
    }
    common::init();
    let place = empty.path().join("bgremove/runtime").display().to_string();
    // A machine may have the library where the system loader finds it; then there is no error to see.
    let by_loader = std::process::Command::new("ldconfig").arg("-p").output();
    if by_loader.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("libonnxruntime.so")) {
        common::skip::skip(
            "says_where_it_looked_and_what_to_do",
            "the system has an ONNX Runtime of its own",
        );
    } else {
        let text = error_on_start();
        for part in [place.as_str(), "the system loader", "make runtime", "ORT_DYLIB_PATH"] {
            assert!(text.contains(part), "'{part}' is not in: {text}");
        }
    }

    // SAFETY: as above.
    unsafe { std::env::set_var("ORT_DYLIB_PATH", "/no/such/libonnxruntime.so") };
    let text = error_on_start();
    assert!(text.contains("/no/such/libonnxruntime.so: no such file"), "{text}");
    assert!(!text.contains(&place), "a path that was given is the only place: {text}");

    // A file that is no library.
    let file = empty.path().join("libonnxruntime.so");
    std::fs::write(&file, b"not a library").unwrap();
    // SAFETY: as above.
    unsafe { std::env::set_var("ORT_DYLIB_PATH", &file) };
    assert!(error_on_start().contains(&file.display().to_string()));
}
