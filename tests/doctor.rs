//! `bgremove doctor` in a place of its own, from which one thing after the other is taken away.
#![cfg(feature = "cli")]

#[path = "common/skip.rs"]
mod skip;

use serde_json::Value;
use skip::skip;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// GStreamer's plugins that the checks need (others would only be scanned), and what each is missed by: the checks,
/// a word of what is said, and the package. A note: it is made, and only not read back.
#[rustfmt::skip]
const MISSED: [(&str, &str, &[&str], &str, &str); 22] = [
    ("app", "failed", &["webm", "mov", "mp4", "gif", "webp", "png"], "appsrc", "plugins-base"),
    ("audioconvert", "failed", &["webm", "mov", "mp4", "input"], "audioconvert", "plugins-base"),
    ("audiorate", "failed", &["mov"], "audiorate", "plugins-base"),
    ("audioresample", "failed", &["webm", "mov", "mp4"], "audioresample", "plugins-base"),
    ("codecalpha", "note", &["webm"], "not read back", "plugins-bad"),
    ("coreelements", "failed", &["webm", "mov", "mp4", "gif", "webp", "png", "input"], "missing", "libgstreamer1.0-0"),
    ("deinterlace", "failed", &["input"], "deinterlace", "plugins-good"),
    ("isomp4", "failed", &["mov", "mp4"], "mux", "plugins-good"),
    ("libav", "failed", &["mov", "mp4", "input"], "GStreamer's av", "libav"),
    ("matroska", "note", &["webm"], "not read back", "plugins-good"),
    ("multifile", "failed", &["png"], "multifilesink", "plugins-good"),
    ("opus", "failed", &["webm"], "opusenc", "plugins-base"),
    ("playback", "failed", &["input"], "decodebin", "plugins-base"),
    ("png", "failed", &["png"], "pngenc", "plugins-good"),
    ("typefindfunctions", "failed", &["input"], "typefindfunctions", "plugins-base"),
    ("videoconvertscale", "failed", &["webm", "mov", "mp4", "gif", "webp", "png", "input"], "videoconvert", "plugins-base"),
    ("videocrop", "failed", &["input"], "videocrop", "plugins-good"),
    ("videofilter", "failed", &["input"], "videoflip", "plugins-good"),
    ("videoparsersbad", "failed", &["mp4", "webm:note"], "parse is missing", "plugins-bad"),
    ("videorate", "failed", &["input"], "videorate", "plugins-base"),
    ("vpx", "failed", &["webm"], "vp9enc", "plugins-good"),
    ("x264", "failed", &["mp4"], "x264enc", "plugins-ugly"),
];

/// Tool, plugin, runtime, models and GStreamer's plugins, as links that can be taken away.
struct Place(TempDir);

/// Where this system's GStreamer has its plugins.
fn system_plugins() -> PathBuf {
    gst::init().unwrap();
    let core = gst::Registry::get().find_plugin("coreelements").unwrap();
    core.filename().unwrap().parent().unwrap().to_path_buf()
}

fn link(from: &Path, to: &Path) {
    std::os::unix::fs::symlink(from, to)
        .unwrap_or_else(|e| panic!("{} → {}: {e}", to.display(), from.display()));
}

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for folder in ["bin", "data/bgremove/models", "data/bgremove/runtime", "plugins"] {
            fs::create_dir_all(place.at(folder)).unwrap();
        }
        let tool = Path::new(env!("CARGO_BIN_EXE_bgremove"));
        // A copy: the tool looks beside what it is, not beside what it is called.
        fs::copy(tool, place.at("bin/bgremove")).unwrap();
        fs::copy(tool.with_file_name("deps").join("libgstbgremove.so"), place.at("bin/libgstbgremove.so"))
            .unwrap();
        let runtime = gstbgremove::runtime::data_folder().join("runtime/libonnxruntime.so");
        let runtime = runtime
            .canonicalize()
            .unwrap_or_else(|e| panic!("{}: {e}; run `make runtime`", runtime.display()));
        link(&runtime, &place.at("data/bgremove/runtime/libonnxruntime.so"));
        let system = system_plugins();
        for (name, ..) in MISSED {
            let file = format!("libgst{name}.so");
            link(&system.join(&file), &place.at("plugins").join(&file));
        }
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs it; the page, and whether the exit status said that all is well.
    fn doctor(&self, arguments: &[&str]) -> (Value, bool) {
        self.doctor_by(Command::new(self.at("bin/bgremove")).arg("doctor").args(arguments), &[])
    }

    /// The same by a command of one's own, with more in its environment.
    fn doctor_by(&self, command: &mut Command, more: &[(&str, &str)]) -> (Value, bool) {
        let out = command
            .arg("--json")
            .env_remove("ORT_DYLIB_PATH")
            .env_remove("GST_PLUGIN_PATH")
            .env_remove("GST_PLUGIN_PATH_1_0")
            .env("GST_PLUGIN_SYSTEM_PATH_1_0", self.at("plugins"))
            .env("GST_REGISTRY_1_0", self.at("registry.bin"))
            .env("XDG_DATA_HOME", self.at("data"))
            .env("XDG_CACHE_HOME", self.at("cache"))
            .envs(more.iter().copied())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let page: Value = serde_json::from_str(&text)
            .unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&out.stderr)));
        assert_eq!(page["healthy"].as_bool(), Some(out.status.success()), "{page:#}");
        assert!(out.status.success() || out.status.code() == Some(1), "{:?}", out.status);
        (page, out.status.success())
    }

    /// The state of each check, with its detail and its remedy. What has failed has one, or says what shows the cause.
    fn checks(&self) -> Vec<[String; 4]> {
        let (page, _) = self.doctor(&["--no-speed"]);
        let text = |c: &Value, key: &str| c[key].as_str().unwrap_or_default().to_string();
        let list = page["checks"].as_array().unwrap();
        let left_alone = |c: &&Value| c["state"] == "failed" && c["mend"].is_null() == c["look"].is_null();
        assert_eq!(list.iter().find(left_alone), None);
        list.iter().map(|c| ["name", "state", "detail", "mend"].map(|key| text(c, key))).collect()
    }

    /// Takes a file away, or puts another in its place, and looks at what is said of it: these checks, and
    /// no others, are in this state, with words and remedy.
    #[track_caller]
    fn without(
        &self,
        file: &str,
        instead: Option<&[u8]>,
        state: &str,
        names: &[&str],
        says: &str,
        mend: &str,
    ) {
        let (path, kept) = (self.at(file), self.at("kept"));
        let was = path.symlink_metadata().is_ok();
        if was {
            fs::rename(&path, &kept).unwrap();
        }
        if let Some(bytes) = instead {
            fs::write(&path, bytes).unwrap();
        }
        let checks = self.checks();
        let _ = fs::remove_file(&path);
        if was {
            fs::rename(&kept, &path).unwrap();
        }
        // `auto` says what it makes of a network whose file is damaged.
        let plain = ["plugin", "openvino", "human", "pro", "auto"];
        for [name, is, detail, how] in &checks {
            let of = |n: &&str| n.split(':').next() == Some(name);
            if let Some(wanted) = names.iter().copied().find(of) {
                let state = wanted.split_once(':').map_or(state, |(_, other)| other);
                assert_eq!(is, state, "{file}: {checks:#?}");
                assert!(detail.contains(says), "{file}: '{says}' is not in: {detail}");
                assert!(how.contains(mend) && (mend.is_empty() || !how.is_empty()), "{file}: {how}");
            } else {
                // What could be had, and the plugin that only the tool finds.
                let fine = is == "ok" || is == "note" && plain.contains(&name.as_str());
                assert!(fine, "{file}: {name} is {is}: {detail}");
            }
        }
        for name in names {
            let name = name.split(':').next().unwrap();
            assert!(checks.iter().any(|c| c[0] == name), "{file}: nothing is said of {name}");
        }
    }
}

#[test]
fn it_is_green_where_all_is_there_and_names_the_speeds() {
    let place = Place::new();
    let (page, healthy) = place.doctor(&[]);
    assert!(healthy, "{page:#}");
    for preset in ["light", "original"] {
        let speed = &page["speed"][preset];
        assert!(speed["frames_per_second"].as_f64().unwrap() > 0.0, "{page:#}");
        assert_eq!((speed["width"].as_u64(), speed["height"].as_u64()), (Some(1920), Some(1080)));
        assert_eq!(speed["provider"], "cpu");
    }
    // The figure that is drawn is found, so that what is measured is work.
    let coverage = page["speed"]["light"]["coverage"].as_f64().unwrap();
    assert!((0.1..0.4).contains(&coverage), "{coverage}");
    // The version is the library's own word.
    let library = page["checks"].as_array().unwrap().iter().find(|c| c["name"] == "library").unwrap();
    assert!(library["detail"].as_str().unwrap().starts_with("1."), "{library}");
    // With the plugin where pipelines look.
    let text = Command::new(place.at("bin/bgremove")).args(["doctor", "--no-speed"]).output().unwrap();
    assert!(String::from_utf8_lossy(&text.stdout).contains("\nFormats\n"));
}

#[test]
fn a_missing_plugin_runtime_or_model_is_named_with_what_mends_it() {
    let place = Place::new();
    let plugin = "bin/libgstbgremove.so";
    place.without(plugin, None, "failed", &["plugin"], "was not found", "make build");
    place.without(plugin, Some(b"no library"), "failed", &["plugin"], "does not load", "make build");

    let runtime = "data/bgremove/runtime/libonnxruntime.so";
    let broken: &[u8] = b"\x7fELF no library";
    let by_loader = Command::new("ldconfig").arg("-p").output();
    if by_loader.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("libonnxruntime.so")) {
        skip(
            "a_missing_plugin_runtime_or_model_is_named_with_what_mends_it",
            "the system has an ONNX Runtime of its own",
        );
    } else {
        place.without(runtime, None, "failed", &["library"], "was not found", "make runtime");
        place.without(runtime, Some(broken), "failed", &["library"], "libonnxruntime.so: ", "make runtime");
    }
    // One that is installed and cannot be opened is not passed over in silence.
    fs::create_dir_all(place.at("data/bgremove/runtime-openvino")).unwrap();
    let faster = "data/bgremove/runtime-openvino/libonnxruntime.so";
    for instead in [None, Some(broken)] {
        place.without(
            faster,
            instead,
            "failed",
            &["openvino library"],
            "is not used",
            "make runtime-openvino",
        );
    }
    fs::remove_dir_all(place.at("data/bgremove/runtime-openvino")).unwrap();

    let human = "data/bgremove/models/human.onnx";
    place.without(human, None, "note", &["human"], "not installed", "models install human");
    place.without(human, Some(b"short"), "failed", &["human"], "as long as", "models install human");
    let wrong = vec![0; 14_994_479];
    place.without(human, Some(&wrong), "failed", &["human"], "SHA-256", "models install human");
}

#[test]
fn it_tells_what_auto_runs_a_network_on() {
    let from = gstbgremove::runtime::data_folder().join("runtime-openvino");
    if !from.join("libonnxruntime.so").exists() {
        return skip(
            "it_tells_what_auto_runs_a_network_on",
            "there is no ONNX Runtime with OpenVINO (make runtime-openvino)",
        );
    }
    let place = Place::new();
    let line = || place.checks().into_iter().find(|c| c[0] == "original runs on").map(|c| c[2].clone());
    assert_eq!(line(), None, "there is one provider");
    link(&from, &place.at("data/bgremove/runtime-openvino"));
    assert!(line().unwrap().contains("not known yet"), "{line:?}", line = line());
    let out = Command::new(place.at("bin/bgremove"))
        .args(["doctor", "--probe", "race", "--with", "original\n"])
        .env_remove("ORT_DYLIB_PATH")
        .env("XDG_DATA_HOME", place.at("data"))
        .env("XDG_CACHE_HOME", place.at("cache"))
        .output()
        .unwrap();
    let told: Value = serde_json::from_slice(&out.stdout).unwrap();
    let measured = told["line"].as_str().unwrap();
    assert!(measured.contains("openvino ") && measured.contains("cpu "), "{measured}");
    assert_eq!(line().as_deref(), Some(measured));
}

#[test]
fn a_missing_plugin_of_gstreamers_is_named_with_its_package() {
    let place = Place::new();
    for (plugin, state, missed_by, says, package) in MISSED {
        let file = format!("plugins/libgst{plugin}.so");
        place.without(&file, None, state, missed_by, says, package);
    }
    // Or damages it.
    let broken: &[u8] = b"\x7fELF no library";
    place.without("plugins/libgstpng.so", Some(broken), "failed", &["png"], "pngenc", "plugins-good");
}

/// Those of a page that have failed: name, remedy, and what shows the cause.
fn failures(page: &Value) -> Vec<[String; 3]> {
    let failed = page["checks"].as_array().unwrap().iter().filter(|c| c["state"] == "failed");
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    failed.map(|c| [text(&c["name"]), text(&c["mend"]), text(&c["look"])]).collect()
}

#[test]
fn variables_that_are_in_the_way_are_named() {
    let place = Place::new();
    let decoders = "avdec_h264:NONE,openh264dec:NONE";
    for (name, value, failed) in [
        ("ORT_DYLIB_PATH", "/no/such.so", &["library"][..]),
        ("GST_PLUGIN_FEATURE_RANK", decoders, &["input"]),
        ("TMPDIR", "/proc/self", &["webm", "mov", "mp4", "gif", "webp", "png"]),
    ] {
        let mut command = Command::new(place.at("bin/bgremove"));
        let (page, _) = place.doctor_by(command.args(["doctor", "--no-speed"]), &[(name, value)]);
        let told = failures(&page);
        assert_eq!(told.iter().map(|[n, ..]| n).collect::<Vec<_>>(), failed, "{page:#}");
        assert!(told.iter().all(|[_, mend, _]| *mend == format!("unset {name}")), "{told:?}");
    }
    // A plugin of another folder that does not load, before the one beside the tool.
    fs::create_dir(place.at("other")).unwrap();
    fs::write(place.at("other/libgstbgremove.so"), "no library").unwrap();
    let other = place.at("other").display().to_string();
    let doctor = |path: &str| {
        let mut command = Command::new(place.at("bin/bgremove"));
        let (page, _) = place.doctor_by(command.args(["doctor", "--no-speed"]), &[("GST_PLUGIN_PATH", path)]);
        failures(&page)
    };
    let own = place.at("bin").canonicalize().unwrap().display().to_string();
    assert_eq!(
        doctor(&other),
        [["plugin".to_string(), format!("export GST_PLUGIN_PATH={own}"), String::new()]]
    );
    assert_eq!(doctor(&own), [[""; 3]; 0]);
}

#[test]
fn a_library_that_ends_whoever_opens_it_does_not_end_the_tool() {
    let place = Place::new();
    let source = place.at("dies.c");
    fs::write(
        &source,
        "#include <stdlib.h>\n__attribute__((constructor)) static void die(void) { abort(); }\n",
    )
    .unwrap();
    let library = place.at("libdies.so");
    let mut compiler = Command::new("cc");
    let made = compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    if !made.is_ok_and(|status| status.success()) {
        skip("a_library_that_ends_whoever_opens_it_does_not_end_the_tool", "there is no C compiler");
        return;
    }
    // `auto` has a choice only where the best network is there; nobody reads it here.
    let length = gstbgremove::models::entries().iter().find(|e| e.preset == "human").unwrap().bytes;
    fs::File::create(place.at("data/bgremove/models/human.onnx")).unwrap().set_len(length).unwrap();
    let variable = [("ORT_DYLIB_PATH", library.to_str().unwrap())];
    let (page, _) = place.doctor_by(Command::new(place.at("bin/bgremove")).arg("doctor"), &variable);
    let auto = page["checks"].as_array().unwrap().iter().find(|c| c["name"] == "auto").unwrap();
    assert_eq!(auto["state"], "note", "{auto}");
    assert!(auto["detail"].as_str().unwrap().contains("ONNX Runtime does not run"), "{auto}");
    // Nor does it end those who only want to know.
    for arguments in [["models", "list", "--json"], ["models", "info", "auto"]] {
        let out = Command::new(place.at("bin/bgremove"))
            .args(arguments)
            .envs([("XDG_DATA_HOME", place.at("data")), ("XDG_CACHE_HOME", place.at("cache"))])
            .env("GST_PLUGIN_SYSTEM_PATH_1_0", place.at("plugins"))
            .env("GST_REGISTRY_1_0", place.at("registry.bin"))
            .envs(variable)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success() && text.contains("human"), "{arguments:?}: {:?} {text}", out.status);
    }
}

#[test]
fn where_no_command_mends_one_shows_the_cause() {
    let place = Place::new();
    // GStreamer's registry is written now, and not below, where files may not grow.
    assert!(place.doctor(&["--no-speed"]).1);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 1; exec \"$0\" doctor --no-speed \"$@\""]).arg(place.at("bin/bgremove"));
    let (page, _) = place.doctor_by(&mut command, &[("TMPDIR", &place.at("plugins").display().to_string())]);
    let told = failures(&page);
    let [_, mend, look] = told.iter().find(|[name, ..]| name == "mov").unwrap_or_else(|| panic!("{page:#}"));
    assert_eq!(mend, "");
    let out = Command::new("sh").args(["-c", look]).output().unwrap();
    assert!(out.status.success(), "{look}: {}", String::from_utf8_lossy(&out.stderr));
    let cause = Command::new("sh").args(["-c", &format!("ulimit -f 1; {look}")]).output().unwrap();
    let said = String::from_utf8_lossy(&cause.stderr);
    assert!(!cause.status.success(), "{look}: {said}");
}

#[test]
fn a_speed_that_cannot_be_measured_is_said_with_what_mends_it() {
    let place = Place::new();
    fs::remove_file(place.at("plugins/libgstapp.so")).unwrap();
    let (page, _) = place.doctor(&[]);
    for preset in ["light", "original"] {
        let of = |c: &&Value| c["group"] == "Speed" && c["name"] == preset;
        let check = page["checks"].as_array().unwrap().iter().find(of).unwrap();
        assert_eq!(check["state"], "failed");
        assert!(check["mend"].as_str().is_some_and(|m| m.ends_with("gstreamer1.0-plugins-base")), "{check}");
    }
}

#[test]
fn all_formats_of_convert_are_there_for_programs() {
    let (page, _) = Place::new().doctor(&["--no-speed"]);
    let formats = page["formats"].as_object().unwrap();
    let names: Vec<&str> = formats.keys().map(String::as_str).collect();
    assert_eq!(names, ["gif", "mov", "mp4", "png", "webm", "webp"]);
    for (name, told) in formats {
        assert_eq!(told["made"], true, "{name}: {page:#}");
        assert_eq!(told["transparency"], name != "mp4", "{name}");
        let of = |c: &&Value| c["group"] == "Formats" && c["name"] == **name;
        let check = page["checks"].as_array().unwrap().iter().find(of).unwrap();
        assert!(check["detail"].as_str().unwrap().contains("made and read back"), "{check}");
    }
}
