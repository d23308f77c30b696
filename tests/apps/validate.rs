//! GStreamer's scenarios (`gst-validate-1.0`): the same reports with and without the element, and one of our own.
//! No package of Debian 12 or 13 has the program, so this runs where somebody has built it; it has not run yet, and
//! bgremove.scenario is written after the format's documentation.

use crate::common::clip;
use crate::program::plugins;
use crate::skip::skip;
use std::path::Path;
use std::process::Command;

/// Stock scenarios that fit a clip of four seconds.
const STOCK: [&str; 6] = [
    "simple_seeks",
    "pause_resume",
    "scrub_forward_seeking",
    "fast_forward",
    "reverse_playback",
    "change_state_intensive",
];

#[test]
fn scenarios_of_gst_validate() {
    if Command::new("gst-validate-1.0").arg("--version").output().is_err() {
        return skip("scenarios_of_gst_validate", "no gst-validate-1.0, which no package of Debian 12 has");
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps/bgremove.scenario");
    let (good, said) = play(own.to_str().unwrap(), "bgremove name=bg");
    assert!(good, "{said}");
    for scenario in STOCK {
        let (without, _) = play(scenario, "identity");
        for element in ["bgremove background=blur", "bgremove inference-mode=async"] {
            let (with, said) = play(scenario, element);
            assert_eq!(with, without, "{scenario}, {element}: {said}");
        }
    }
}

/// Whether a scenario goes well with an element, and what is said about it.
fn play(scenario: &str, element: &str) -> (bool, String) {
    let line = format!(
        "filesrc location={} ! decodebin ! videoconvert ! {element} ! videoconvert ! fakevideosink sync=true",
        clip("astronaut.mp4").display()
    );
    let out = Command::new("timeout")
        .args(["120", "gst-validate-1.0", "--set-scenario", scenario])
        .args(line.split(' '))
        .env("GST_PLUGIN_PATH", plugins())
        .output()
        .unwrap();
    let said = [out.stdout, out.stderr].map(|t| String::from_utf8_lossy(&t).into_owned()).concat();
    (out.status.success(), said)
}
