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

/// A key wants none: it works all the same, and a network that is set meanwhile is refused in words, and it goes on.
fn keys_a_screen() {
    let bg = gst::ElementFactory::make("bgremove").property("model", "key").build().unwrap();
    let bus = gst::Bus::new();
    bg.set_bus(Some(&bus));
    let mut harness = gst_check::Harness::with_element(&bg, Some("sink"), Some("src"));
    harness.set_live(false);
    harness.set_src_caps_str("video/x-raw,format=RGBA,width=64,height=64,framerate=30/1");
    harness.play();
    let alpha = |harness: &mut gst_check::Harness| -> [u8; 2] {
        let row: Vec<u8> =
            (0..64).flat_map(|x| if x < 32 { [0, 180, 60, 255] } else { [120, 90, 80, 255] }).collect();
        let out = harness.push_and_pull(gst::Buffer::from_mut_slice(row.repeat(64))).unwrap();
        let map = out.map_readable().unwrap();
        [map[3], map[63 * 4 + 3]]
    };
    assert_eq!(alpha(&mut harness), [0, 255]);
    bg.set_property("model", "light");
    for _ in 0..500 {
        assert_eq!(alpha(&mut harness), [0, 255]);
        if let Some(message) = bus.pop_filtered(&[gst::MessageType::Warning]) {
            let gst::MessageView::Warning(w) = message.view() else { unreachable!() };
            let text = w.error().to_string();
            assert!(text.contains("ONNX Runtime") && text.contains("It stays 'key'"), "{text}");
            assert_eq!(alpha(&mut harness), [0, 255]);
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("nothing is said of the missing runtime");
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
        keys_a_screen();
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
