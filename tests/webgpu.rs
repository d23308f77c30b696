//! WebGPU on a Vulkan driver that computes on the CPU, which Debian's Chromium brings; and what is said where something
//! that a provider needs is missing. Each case has a process of its own: Vulkan reads its variables once, and a process
//! opens one ONNX Runtime.

mod common;

use common::skip::skip;
use gst::prelude::*;
use gstbgremove::runtime::{self, Provider};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Chromium's SwiftShader.
const SOFTWARE: &str = "/usr/lib/chromium/vk_swiftshader_icd.json";

/// What a process of its own prints: whatever the element says on the bus, a line each, and what it runs on at the end.
fn told(properties: &str, variables: &[(&str, &Path)]) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "a_process_of_its_own", "--ignored", "--nocapture"])
        .env("BGREMOVE_CASE", properties);
    for name in ["VK_ICD_FILENAMES", "VK_DRIVER_FILES", "ORT_DYLIB_PATH"] {
        command.env_remove(name);
    }
    let out = command.envs(variables.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{properties}: {text}{}", String::from_utf8_lossy(&out.stderr));
    text.lines().filter_map(|l| l.split_once("> ")).map(|(_, l)| l.to_string()).collect()
}

/// With Chromium's driver and no other.
fn on_software(properties: &str) -> Vec<String> {
    told(properties, &[("VK_ICD_FILENAMES", Path::new(SOFTWARE)), ("VK_DRIVER_FILES", Path::new(SOFTWARE))])
}

#[test]
#[ignore = "the others run it"]
fn a_process_of_its_own() {
    let properties = std::env::var("BGREMOVE_CASE").unwrap();
    common::init();
    let line = format!(
        "videotestsrc num-buffers=1 ! video/x-raw,format=RGB,width=64,height=64 ! bgremove name=bg {properties} ! fakesink"
    );
    let pipeline = common::Running(gst::parse::launch(&line).unwrap().downcast().unwrap());
    let (element, bus) = (pipeline.by_name("bg").unwrap(), pipeline.bus().unwrap());
    element.connect_notify(Some("active-execution-provider"), |element, _| {
        println!("> notify: {}", element.property::<String>("active-execution-provider"));
    });
    let _ = pipeline.set_state(gst::State::Playing);
    loop {
        let message = bus.timed_pop(gst::ClockTime::from_seconds(240)).expect("an end");
        match message.view() {
            gst::MessageView::Error(e) => {
                println!("> error: {}", e.error().message().replace('\n', " / "));
                break;
            }
            gst::MessageView::Warning(w) => {
                let code = w.details().and_then(|d| d.get::<String>("code").ok()).unwrap_or_default();
                println!("> warning: {code}: {}", w.error().message().replace('\n', " / "));
            }
            gst::MessageView::Eos(_) => break,
            _ => {}
        }
    }
    println!("> runs on: {}", element.property::<String>("active-execution-provider"));
}

/// The folder of the library with WebGPU, and the driver that computes on the CPU.
fn ready(test: &str) -> Option<PathBuf> {
    let library = runtime::data_folder().join("runtime-webgpu/libonnxruntime.so");
    if !library.exists() {
        skip(test, "there is no ONNX Runtime with WebGPU (make runtime-webgpu)");
        return None;
    }
    if !Path::new(SOFTWARE).exists() {
        skip(test, &format!("there is no {SOFTWARE} (apt-get install chromium)"));
        return None;
    }
    Some(library)
}

#[test]
fn webgpu_gives_the_mask_of_the_cpu() {
    if ready("webgpu_gives_the_mask_of_the_cpu").is_none() {
        return;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_mask_on_both", "--ignored", "--nocapture"]).env_remove("ORT_DYLIB_PATH");
    command.env("VK_ICD_FILENAMES", SOFTWARE).env("VK_DRIVER_FILES", SOFTWARE);
    let out = command.output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    println!("{text}");
    assert!(out.status.success(), "{text}{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
#[ignore = "another one runs it"]
fn the_mask_on_both() {
    let info = common::info(gst_video::VideoFormat::Rgb, 256, 256);
    // Before anything else opens another one.
    runtime::open_for(None, Some(Provider::WebGpu)).unwrap();
    let mask = |more: &str| {
        // Software takes its time for the first frame.
        let properties = format!(
            "model=light output=matte refine=none temporal-smoothing=0 follow-subject=false inference-timeout=0 {more}"
        );
        let frames = vec![common::portrait(&info, 0)];
        let (_, out) = common::process(&properties, "video/x-raw,format=GRAY8", &info, frames).unwrap();
        out[0].map_readable().unwrap().to_vec()
    };
    let (gpu, cpu) = (mask("execution-provider=webgpu device=swiftshader"), mask("execution-provider=cpu"));
    let subject = cpu.iter().filter(|v| **v > 128).count() as f64 / cpu.len() as f64;
    assert!((0.1..0.9).contains(&subject), "{subject}: there is somebody in the picture");
    let far = gpu.iter().zip(&cpu).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / cpu.len() as f64;
    println!("webgpu is {far:.4} of 255 from the CPU");
    assert!(far <= 1.0, "{far}");
}

#[test]
fn what_webgpu_lacks_is_an_error_that_names_it() {
    let Some(library) = ready("what_webgpu_lacks_is_an_error_that_names_it") else { return };
    let folder = tempfile::tempdir().unwrap();
    let asked = "model=light execution-provider=webgpu";
    let none = folder.path().join("none.json");
    // A driver that is not there.
    let lines = told(asked, &[("VK_ICD_FILENAMES", &none), ("VK_DRIVER_FILES", &none)]);
    assert!(lines[0].starts_with("error: ") && lines[0].contains("finds no driver"), "{lines:?}");
    // A loader that is none.
    std::fs::write(folder.path().join("libvulkan.so.1"), b"").unwrap();
    let lines = told(asked, &[("LD_LIBRARY_PATH", folder.path())]);
    assert!(lines[0].starts_with("error: ") && lines[0].contains("libvulkan1"), "{lines:?}");
    // A device that is not there; those that are, are named.
    let lines = on_software(&format!("{asked} device=7"));
    assert!(lines[0].starts_with("error: ") && lines[0].contains("0: SwiftShader"), "{lines:?}");
    // A device of nobody knows which provider.
    let lines = on_software("model=light device=0");
    assert!(lines[0].contains("set execution-provider, too"), "{lines:?}");
    // A library without it, where another one is installed that has it.
    let plain = runtime::data_folder().join("runtime/libonnxruntime.so");
    let lines = told(asked, &[("ORT_DYLIB_PATH", &plain)]);
    assert!(lines[0].contains(&library.display().to_string()), "{lines:?}");
    // Nothing of it ran elsewhere in silence.
    assert!(lines.contains(&"runs on: ".to_string()), "{lines:?}");
}

#[test]
fn auto_takes_no_software_for_a_gpu_and_says_so_once() {
    let Some(library) = ready("auto_takes_no_software_for_a_gpu_and_says_so_once") else { return };
    let driver = Path::new(SOFTWARE);
    let variables =
        [("VK_ICD_FILENAMES", driver), ("VK_DRIVER_FILES", driver), ("ORT_DYLIB_PATH", library.as_path())];
    let lines = told("model=original", &variables);
    let warnings: Vec<_> = lines.iter().filter(|l| l.starts_with("warning: provider-failed")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("stands in for a GPU"), "{lines:?}");
    assert!(lines.contains(&"runs on: cpu".to_string()), "{lines:?}");
    assert!(lines.contains(&"notify: cpu".to_string()), "{lines:?}");
    // Where nobody names that library, the one without a GPU is taken, and there is nothing to say.
    let lines = on_software("model=original");
    assert!(!lines.iter().any(|l| l.starts_with("warning: provider-failed")), "{lines:?}");
}

/// A library of a provider that is empty stands for one whose own libraries are missing: opening it fails in the same
/// place, with the same kind of words.
#[test]
fn a_provider_that_does_not_open_is_named_and_auto_steps_down_aloud() {
    const TEST: &str = "a_provider_that_does_not_open_is_named_and_auto_steps_down_aloud";
    let from = runtime::data_folder().join("runtime-openvino");
    if !from.join("libonnxruntime.so").exists() {
        return skip(TEST, "there is no ONNX Runtime with OpenVINO (make runtime-openvino)");
    }
    let folder = tempfile::tempdir().unwrap();
    for file in ["libonnxruntime.so", "libonnxruntime_providers_shared.so"] {
        std::fs::copy(from.join(file), folder.path().join(file)).unwrap();
    }
    std::fs::write(folder.path().join("libonnxruntime_providers_openvino.so"), b"").unwrap();
    let library = folder.path().join("libonnxruntime.so");
    let with = [("ORT_DYLIB_PATH", library.as_path())];
    let lines = told("model=original execution-provider=openvino", &with);
    let names =
        |l: &str| l.contains("libonnxruntime_providers_openvino.so") && l.contains("runtime-openvino");
    assert!(lines[0].starts_with("error: ") && names(&lines[0]), "{lines:?}");
    let lines = told("model=original", &with);
    let warnings: Vec<_> = lines.iter().filter(|l| l.starts_with("warning: provider-failed")).collect();
    assert!(warnings.len() == 1 && names(warnings[0]), "{lines:?}");
    assert!(lines.contains(&"runs on: cpu".to_string()), "{lines:?}");
}
