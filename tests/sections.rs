//! The elements' documentation in the sources: each element has a section, and its lines run as they stand.

mod common;

use gst::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

/// The sections of the sources, by element; without the comment's own marks.
fn sections(folder: &Path, all: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sections(&path, all);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        for comment in text.split("/**").skip(1).filter_map(|c| Some(c.split_once("*/")?.0)) {
            let lines = comment.lines().map(|l| l.trim().trim_start_matches('*').trim_start());
            let body = lines.collect::<Vec<_>>().join("\n");
            if let Some(name) = body.trim_start().strip_prefix("SECTION:element-") {
                let name = name.lines().next().unwrap().to_string();
                assert!(all.insert(name.clone(), body.clone()).is_none(), "two sections for {name}");
            }
        }
    }
}

#[test]
fn each_element_has_a_section_whose_lines_run() {
    common::init();
    let mut all = BTreeMap::new();
    sections(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    let plugin = gst::ElementFactory::find("bgremove").unwrap().plugin().unwrap();
    let features = gst::Registry::get().features_by_plugin(&plugin.plugin_name());
    let mut names: Vec<_> = features.iter().map(|f| f.name().to_string()).collect();
    names.sort();
    assert_eq!(all.keys().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());

    let folder = tempfile::tempdir().unwrap();
    let run = |line: &str| common::shell(folder.path(), line);
    for (name, from, length) in
        [("in.mp4", "astronaut.mp4", "0.5"), ("beach.mp4", "carphone_pristine.mp4", "0.3")]
    {
        let from = common::clip(from);
        run(&format!("ffmpeg -v error -i '{}' -t {length} -an {name}", from.display()));
    }
    for (name, body) in &all {
        for part in ["@title:", "@short_description:", "@see_also:", "\nSince: "] {
            assert!(body.contains(part), "{name} has no {}", part.trim());
        }
        let lines: Vec<_> = body.split("```bash\n").skip(1).map(|b| b.split("```").next().unwrap()).collect();
        assert!(lines.iter().any(|l| l.contains(name.as_str())), "{name}: no line has it");
        for line in lines {
            run(line);
        }
    }
    for name in ["out.webm", "out.gif", "out.webp"] {
        assert!(std::fs::metadata(folder.path().join(name)).unwrap().len() > 500, "{name}");
    }
}
