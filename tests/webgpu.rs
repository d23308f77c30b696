//! WebGPU on a Vulkan driver that computes on the CPU, which Debian's Chromium brings; what is said where something
//! that a provider needs is missing; and which provider `auto` takes. Each case has a process of its own: Vulkan reads its
//! variables once, and a process opens one ONNX Runtime.

mod common;

use common::onnx::{Onnx, Type};
use common::skip::skip;
use gst::prelude::*;
use gstbgremove::auto::Trial;
use gstbgremove::runtime::{self, Cancel, Provider};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Chromium's SwiftShader.
const SOFTWARE: &str = "/usr/lib/chromium/vk_swiftshader_icd.json";

/// What a process of its own prints: whatever the element says on the bus, a line each, and what it runs on at the end.
fn told(properties: &str, variables: &[(&str, &Path)]) -> Vec<String> {
    alone("a_process_of_its_own", properties, variables)
}

/// What a test prints that is run in a process of its own.
fn alone(test: &str, properties: &str, variables: &[(&str, &Path)]) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]).env("BGREMOVE_CASE", properties);
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
    let stats = element.property::<gst::Structure>("stats");
    println!("> because: {}", stats.get::<String>("execution-provider-reason").unwrap());
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

/// Minutes of shaders that a processor computes: `make test-webgpu`.
#[test]
#[ignore = "takes minutes"]
fn human_remembers_on_webgpu_as_on_the_cpu() {
    const TEST: &str = "human_remembers_on_webgpu_as_on_the_cpu";
    if ready(TEST).is_none() {
        return;
    }
    if gstbgremove::models::resolve("human", None).is_err() {
        return skip(TEST, "model human is not installed (`make models`)");
    }
    let driver = Path::new(SOFTWARE);
    let lines = alone("human_on_both", "", &[("VK_ICD_FILENAMES", driver), ("VK_DRIVER_FILES", driver)]);
    println!("{}", lines.join("\n"));
}

#[test]
#[ignore = "another one runs it"]
fn human_on_both() {
    // Before anything else opens another one.
    runtime::open_for(None, Some(Provider::WebGpu)).unwrap();
    let info = common::info(gst_video::VideoFormat::Rgb, 128, 128);
    let masks = |provider: &str, frames: &[u64]| -> Vec<Vec<u8>> {
        let properties = format!(
            "model=human resolution=64 output=matte refine=none temporal-smoothing=0 remember-background=false \
             scene-detection=false inference-timeout=0 execution-provider={provider}"
        );
        let frames = frames.iter().map(|n| common::portrait_at(&info, *n, *n as u32 * 4)).collect();
        let (_, out) = common::process(&properties, "video/x-raw,format=GRAY8", &info, frames).unwrap();
        out.iter().map(|buffer| buffer.map_readable().unwrap().to_vec()).collect()
    };
    let far = |a: &[u8], b: &[u8]| {
        a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
    };
    let frames = [0, 1, 2, 3];
    let (cpu, alone) = (masks("cpu", &frames), masks("cpu", &[3]));
    let subject = cpu[3].iter().filter(|v| **v > 128).count() as f64 / cpu[3].len() as f64;
    assert!((0.1..0.9).contains(&subject), "{subject}: there is somebody in the picture");
    // What is remembered makes a difference that would be seen.
    let remembered = far(&cpu[3], &alone[0]);
    assert!(remembered > 1.0, "{remembered}");
    let gpu = masks("webgpu", &frames);
    let off: Vec<f64> = gpu.iter().zip(&cpu).map(|(a, b)| far(a, b)).collect();
    println!(
        "> webgpu is {off:.4?} of 255 from the CPU, which would be {remembered:.2} off without what it remembers"
    );
    assert!(gpu.len() == 4 && off.iter().all(|off| *off <= 1.0), "{off:?}");
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

/// A network that takes next to no time, in a file so large that `auto` takes it elsewhere than to the CPU; and the same in
/// another file, with a text of three bytes in it (ModelProto.doc_string).
fn networks(folder: &Path) -> [PathBuf; 2] {
    let network = Onnx::new()
        .input("x", Type::F32, &[1, 3, -1, -1])
        .f32s("green", &[1, 3, 1, 1], &[0.0, 1.0, 0.0])
        .f32s("unused", &[600_000], &vec![1.0; 600_000])
        .op("Conv", "x green", "y")
        .output("y", Type::F32, &[1, 1, -1, -1]);
    let (one, other) = (network.save(folder, "x.onnx"), folder.join("other.onnx"));
    std::fs::write(&other, [&network.bytes()[..], &[6 << 3 | 2, 1, b'x']].concat()).unwrap();
    [one, other]
}

/// The library with OpenVINO, networks, and a cache that is nobody else's.
struct Choice {
    library: PathBuf,
    cache: tempfile::TempDir,
    network: PathBuf,
    other: PathBuf,
}

impl Choice {
    fn new(test: &str) -> Option<Self> {
        let library = runtime::data_folder().join("runtime-openvino/libonnxruntime.so");
        if !library.exists() {
            skip(test, "there is no ONNX Runtime with OpenVINO (make runtime-openvino)");
            return None;
        }
        let cache = tempfile::tempdir().unwrap();
        let [network, other] = networks(cache.path());
        Some(Self { library, cache, network, other })
    }

    fn alone(&self, test: &str, properties: &str, library: &Path) -> Vec<String> {
        alone(test, properties, &[("XDG_CACHE_HOME", self.cache.path()), ("ORT_DYLIB_PATH", library)])
    }

    /// What a stream through the network says.
    fn told(&self, properties: &str) -> String {
        let properties = format!("model={} {properties}", self.network.display());
        self.alone("a_process_of_its_own", &properties, &self.library).join("\n")
    }

    /// Has the network measured; gives what is kept of it.
    fn measure(&self) -> (PathBuf, String) {
        self.alone("what_providers_take", self.network.to_str().unwrap(), &self.library);
        let folder = self.cache.path().join("bgremove/pace");
        let files: Vec<_> = folder.read_dir().unwrap().map(|f| f.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        (files[0].clone(), std::fs::read_to_string(&files[0]).unwrap())
    }
}

/// What is kept, with other figures: of the faster one and of the other.
fn figures(kept: &str, fast: &str, slow: &str) -> String {
    let (key, _) = kept.split_once("ran on ").unwrap();
    format!("{key}ran on {fast}\nnanoseconds 1500000\nslower {slow} 3000000\n")
}

#[test]
#[ignore = "another one runs it"]
fn what_providers_take() {
    let network = std::env::var("BGREMOVE_CASE").unwrap();
    // For frames as small as those of `a_process_of_its_own`.
    let trial = Trial { aspect: 1.0, ..Trial::usual(runtime::open(None).unwrap(), &network).unwrap() };
    let figure = trial.run_within(std::time::Duration::from_secs(240), &Cancel::default(), || false).unwrap();
    let mut order: Vec<&str> = figure.order().collect();
    order.sort_unstable();
    assert_eq!(order, ["cpu", "openvino"]);
    assert_eq!(trial.known(), Some(figure));
}

#[test]
fn auto_takes_what_was_measured_to_be_the_fastest() {
    let Some(here) = Choice::new("auto_takes_what_was_measured_to_be_the_fastest") else { return };
    let (file, kept) = here.measure();
    let place = |provider: &str| if provider == "openvino" { "openvino (CPU)" } else { "cpu" }.to_string();
    for (fast, slow) in [("cpu", "openvino"), ("openvino", "cpu")] {
        let text = figures(&kept, fast, slow);
        std::fs::write(&file, &text).unwrap();
        let told = here.told("");
        let reason = format!("because: measured: {fast} 1.5 ms a run, {slow} 3.0 ms");
        assert!(told.contains(&format!("runs on: {}\n{reason}", place(fast))), "{told}");
        assert!(!told.contains("warning"), "the slower one is not missing: {told}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "it is not measured again");
    }
    // Who names one gets it.
    let told = here.told("execution-provider=cpu");
    assert!(told.contains("runs on: cpu\nbecause: execution-provider=cpu is asked for"), "{told}");
    // One that failed when it was measured is not taken, and that is said.
    let (key, _) = kept.split_once("ran on ").unwrap();
    let failed = format!("{key}ran on cpu\nnanoseconds 1500000\nfailed openvino it broke\n");
    std::fs::write(&file, failed).unwrap();
    let told = here.told("");
    assert!(told.contains("runs on: cpu") && told.contains("openvino: it broke"), "{told}");
}

#[test]
fn what_was_measured_elsewhere_does_not_count() {
    let Some(here) = Choice::new("what_was_measured_elsewhere_does_not_count") else { return };
    let (file, kept) = here.measure();
    let ours = figures(&kept, "cpu", "openvino");
    let followed = |told: &str| told.contains("cpu 1.5 ms a run");
    std::fs::write(&file, &ours).unwrap();
    assert!(followed(&here.told("")), "it would be followed");
    // The same library in another place.
    let other = tempfile::tempdir().unwrap();
    let library = other.path().join("ort");
    std::os::unix::fs::symlink(here.library.parent().unwrap(), &library).unwrap();
    let model = format!("model={}", here.network.display());
    let told = here.alone("a_process_of_its_own", &model, &library.join("libonnxruntime.so"));
    assert!(!followed(&told.join("\n")), "{told:?}");
    // The same network in another file.
    let model = format!("model={}", here.other.display());
    let told = here.alone("a_process_of_its_own", &model, &here.library).join("\n");
    assert!(told.contains("runs on: ") && !followed(&told), "{told}");
    // Another way to run it, and another machine's file.
    assert!(!followed(&here.told("threads=1")));
    std::fs::write(&file, ours.replace("\nprocessor ", "\nprocessor another ")).unwrap();
    assert!(!followed(&here.told("")));
    // What is broken does not count, and is written anew. In how many ways that may be, a unit test has.
    std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    std::fs::write(&file, &ours[..ours.len() - 1]).unwrap();
    assert!(!followed(&here.told("")));
    assert_eq!(here.measure().1.lines().count(), ours.lines().count());
}

#[test]
fn the_provider_of_a_stream_does_not_change() {
    let Some(here) = Choice::new("the_provider_of_a_stream_does_not_change") else { return };
    let (file, kept) = here.measure();
    std::fs::write(&file, figures(&kept, "openvino", "cpu")).unwrap();
    let case = format!("{}\n{}\n{kept}", here.network.display(), file.display());
    here.alone("a_provider_that_stays", &case, &here.library);
}

#[test]
#[ignore = "another one runs it"]
fn a_provider_that_stays() {
    let case = std::env::var("BGREMOVE_CASE").unwrap();
    let [network, file, kept] = case.splitn(3, '\n').collect::<Vec<_>>().try_into().unwrap();
    common::init();
    let element = gst::ElementFactory::make("bgremove").property("model", network).build().unwrap();
    let place = || element.property::<String>("active-execution-provider");
    let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_live(false);
    harness.play();
    let mut frame = |width| {
        let info = common::info(gst_video::VideoFormat::Rgb, width, 64);
        harness.set_src_caps(info.to_caps().unwrap());
        harness.push_and_pull(common::portrait(&info, 0)).unwrap();
    };
    frame(64);
    assert_eq!(place(), "openvino (CPU)");
    // Another shape of frames, for which a network is loaded; by now another provider is said to be faster.
    std::fs::write(file, figures(kept, "cpu", "openvino")).unwrap();
    frame(48);
    assert_eq!(place(), "openvino (CPU)");
    // The next stream is another matter.
    drop(harness);
    element.set_state(gst::State::Null).unwrap();
    let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_live(false);
    harness.play();
    let info = common::info(gst_video::VideoFormat::Rgb, 64, 64);
    harness.set_src_caps(info.to_caps().unwrap());
    harness.push_and_pull(common::portrait(&info, 0)).unwrap();
    assert_eq!(place(), "cpu");
}
