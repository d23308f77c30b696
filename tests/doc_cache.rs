//! The committed description for GStreamer's documentation is the plugin's.
#![cfg(feature = "cli")]

use serde_json::Value;
use std::process::Command;

#[test]
fn the_description_is_current() {
    let out = Command::new(env!("CARGO_BIN_EXE_bgremove")).args(["generate", "doc-cache"]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let now: Value = serde_json::from_slice(&out.stdout).unwrap();
    let kept: Value = serde_json::from_str(include_str!("../docs/gst_plugins_cache.json")).unwrap();
    let elements = |page: &Value| page["bgremove"]["elements"].as_object().unwrap().clone();
    let (mut now, kept) = (elements(&now), elements(&kept));
    if cfg!(feature = "analytics") {
        // The committed one is of the default features.
        let properties = now["bgremove"]["properties"].as_object_mut().unwrap();
        assert!(properties.remove("segmentation-meta").is_some());
    }
    assert_eq!(now.keys().collect::<Vec<_>>(), kept.keys().collect::<Vec<_>>(), "run `make doc-cache`");
    for (name, element) in &now {
        for part in ["properties", "pad-templates", "hierarchy", "long-name", "klass"] {
            assert!(element[part] == kept[name][part], "{name}: {part} changed; run `make doc-cache`");
        }
    }
    let smoothing = &now["bgremove"]["properties"]["temporal-smoothing"];
    assert_eq!((&smoothing["default"], &smoothing["max"]), (&"0.6".into(), &"1".into()));
}
