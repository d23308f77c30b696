//! The record that `--report` writes, of what goes well and of what fails.

use crate::behaviour::{end, interrupt, start};
use crate::media::*;
use crate::quick::quick;
use crate::record::record;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Converts with a record beside the result, which has to end with this exit code.
fn reported(folder: &Path, input: &Path, name: &str, more: &[&str], code: i32) -> (Value, String) {
    let (output, report) = (folder.join(name), folder.join("report.json"));
    let _ = std::fs::remove_file(&report);
    let (input, report) = (input.to_str().unwrap(), report.to_str().unwrap());
    let out = bgremove(&[&[input, output.to_str().unwrap(), "--report", report], more].concat());
    assert_eq!(out.status.code(), Some(code), "{name} {more:?}: {}", said(&out));
    (record(Path::new(report)), said(&out))
}

#[test]
fn a_success_is_recorded() {
    let folder = folder("report-success");
    let input = plain();
    let more = [&TINY[..], &["--set", "job-id=job-7"]].concat();
    let (r, _) = reported(&folder, &input, "a.webm", &more, 0);
    assert_eq!(
        (&r["job_id"], &r["result"], &r["incident"]),
        (&json!("job-7"), &json!("completed"), &Value::Null)
    );
    let bytes = |p: &Path| json!(p.metadata().unwrap().len());
    let s = &r["source"];
    assert_eq!((&s["location"], &s["bytes"]), (&json!(input.to_str().unwrap()), &bytes(&input)));
    assert_eq!((&s["width"], &s["height"], &s["framerate"]), (&json!(320), &json!(180), &json!("30/1")));
    assert!(s["duration_ns"].as_u64().is_some_and(|d| d.abs_diff(2_000_000_000) < 100_000_000), "{s}");
    for (key, word) in [("container", "ISO"), ("video_codec", "H.264"), ("audio_codec", "AAC")] {
        assert!(s[key].as_str().is_some_and(|v| v.contains(word)), "{key}: {s}");
    }
    let d = &r["destination"];
    let path = folder.join("a.webm");
    assert_eq!((&d["location"], &d["bytes"]), (&json!(path.to_str().unwrap()), &bytes(&path)));
    assert_eq!(
        (&d["container"], &d["video_codec"], &d["audio_codec"]),
        (&json!("webm"), &json!("VP9"), &json!("Opus"))
    );
    assert_eq!((&d["frames"], &d["alpha"]), (&json!(60), &json!(true)));
    // What the element knows.
    assert_eq!((&r["stats"]["frames_out"], &r["model"]["licence"]), (&json!(60), &json!("Apache-2.0")));
    assert_eq!(r["runtime"]["provider"], "cpu");
    assert!(r["output"]["caps"].as_str().unwrap().contains("A420"), "{}", r["output"]);
    assert_eq!(files(&folder), ["a.webm", "report.json"], "nothing is left beside it");

    // A second one takes the place of the first; what the user is told is in it.
    let (r, _) = reported(&folder, &input, "a.gif", &["--duration", "0.5", "--size", "96x96"], 0);
    assert!(r["quality_notes"].to_string().contains("sound is left out"), "{}", r["quality_notes"]);
    let d = &r["destination"];
    assert_eq!((&d["width"], &d["height"], &d["audio_codec"]), (&json!(96), &json!(54), &Value::Null));
    assert!(r["job_id"].as_str().is_some_and(|id| id.len() == 36), "{}", r["job_id"]);
}

#[test]
fn a_failure_is_recorded_with_its_code_and_its_words() {
    let folder = folder("report-failure");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let whole = std::fs::read(silent()).unwrap();
    let sound = folder.join("sound.wav");
    tool("ffmpeg", &["-v", "error", "-f", "lavfi", "-i", "sine=d=0.2", sound.to_str().unwrap()]);
    let inputs = [
        (Path::new("/no/such.mp4").to_path_buf(), &[][..], "convert/input", "no such file"),
        (write("text.mp4", b"this is no video at all"), &[], "stream/", "no video file"),
        (write("cut.mp4", &whole[..whole.len() / 2]), &[], "stream/demux", "damaged or break off"),
        (sound, &[], "convert/input", "no video"),
        (silent(), &["--start", "9"], "convert/settings", "after its end"),
        (silent(), &["--size", "17x16"], "convert/settings", "pixels a side"),
        (silent(), &["--model", "/no/such.onnx"], "resource/not-found", "/no/such.onnx"),
        (silent(), &["--set", "refine=finest"], "convert/settings", "finest"),
    ];
    for (input, more, code, words) in &inputs {
        let (r, said) = reported(&folder, input, "a.webm", more, 1);
        assert_eq!(r["result"], "failed", "{input:?}");
        let incident = &r["incident"];
        assert!(incident["error_code"].as_str().is_some_and(|c| c.contains(code)), "{input:?}: {incident}");
        let symptom = incident["symptom"].as_str().unwrap();
        assert!(symptom.contains(words) && said.contains(symptom), "{input:?}: {symptom}, told: {said}");
        assert_eq!(r["destination"]["frames"], Value::Null);
        assert!(!folder.join("a.webm").exists());
        // As it was asked for, also where that is what is wrong.
        match more {
            ["--model", name] => assert_eq!(r["model"]["name"], *name),
            ["--set", _] => assert_eq!(r["settings"]["refine"], "finest"),
            _ => assert_eq!(r["settings"]["refine"], "learned"),
        }
    }
    // In the middle: the element's own words, and the pipeline that they were said in.
    let more = ["--set", "inference-timeout=1", "--set", "on-error=error"];
    let (r, _) = reported(&folder, &silent(), "a.webm", &more, 1);
    assert_eq!(r["incident"]["error_code"], "stream/failed", "{}", r["incident"]);
    let elements = r["incident"]["elements"].to_string();
    for name in ["filesrc", "bgremove", "vp9alphaenc", "webmalphamux"] {
        assert!(elements.contains(name), "{elements}");
    }
    assert!(r["source"]["video_codec"].as_str().is_some_and(|c| c.contains("H.264")));
}

#[test]
fn an_interruption_is_recorded_as_a_stop() {
    let folder = folder("report-stopped");
    let input = clip("long.mp4", 30.0, ",loop=loop=10:size=110", &SILENT_H264);
    let (output, report) = (folder.join("b.webm"), folder.join("b.json"));
    let (child, _out) = start(&[text(&input), text(&output), "--report", text(&report)]);
    interrupt(&child, "INT");
    assert_eq!(end(child, Duration::from_secs(20)).0, Some(130));
    let r = record(&report);
    assert_eq!((&r["result"], &r["incident"]), (&json!("stopped"), &Value::Null));
    assert!(r["stats"]["frames_out"].as_u64().unwrap() > 3);
    assert!(!output.exists());
}

#[test]
fn of_several_inputs_each_has_a_record() {
    let folder = folder("report-several");
    let broken = folder.join("broken.mp4");
    std::fs::write(&broken, "no video").unwrap();
    let whole = folder.join("whole.mp4");
    std::fs::copy(silent(), &whole).unwrap();
    let (out, records) = (folder.join("out"), folder.join("records"));
    let all = [
        broken.to_str().unwrap(),
        whole.to_str().unwrap(),
        "--output-folder",
        out.to_str().unwrap(),
        "--report",
        records.to_str().unwrap(),
    ];
    let run = bgremove(&[&all[..], &quick()].concat());
    assert_eq!(run.status.code(), Some(1));
    assert_eq!(
        (files(&out), files(&records)),
        (vec!["whole.webm".into()], vec!["broken.json".into(), "whole.json".into()])
    );
    assert_eq!(record(&records.join("broken.json"))["result"], "failed");
    assert_eq!(record(&records.join("whole.json"))["result"], "completed");
}

#[test]
fn nothing_else_is_replaced() {
    let folder = folder("report-refused");
    let mine = folder.join("mine.json");
    std::fs::write(&mine, "{\"schema\": \"mine\"}").unwrap();
    let own = folder.join("own.mp4");
    std::fs::copy(silent(), &own).unwrap();
    let before = files(&folder);
    let (input, output) = (own.to_str().unwrap(), folder.join("a.webm"));
    let nowhere = folder.join("no/such/report.json");
    for (report, code, words) in [
        (&own, 2, "would replace it"),
        (&output, 2, "would replace it"),
        (&mine, 2, "no record of an earlier conversion"),
        (&folder, 2, "no file"),
        (&nowhere, 1, "could not be written"),
    ] {
        let out = bgremove(&[input, output.to_str().unwrap(), "--report", report.to_str().unwrap()]);
        assert_eq!(out.status.code(), Some(code), "{}", said(&out));
        assert!(said(&out).contains(words), "{}", said(&out));
        assert_eq!(files(&folder), before);
    }
    assert_eq!(std::fs::read(&own).unwrap(), std::fs::read(silent()).unwrap());
    assert_eq!(std::fs::read_to_string(&mine).unwrap(), "{\"schema\": \"mine\"}");
}

#[test]
fn the_log_has_a_line_a_frame() {
    let folder = folder("log");
    let output = folder.join("a.webm");
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_bgremove"))
        .args(["convert", text(&silent()), text(&output), "--set", "inference-interval=2"])
        .args(["--model", "light"])
        .args(TINY)
        .env("GST_DEBUG", "bgremove:5")
        .env("GST_DEBUG_NO_COLOR", "1")
        .output()
        .unwrap();
    let said = said(&out);
    assert!(out.status.success(), "{said}");
    let frames: Vec<&str> =
        said.lines().filter_map(|l| l.split_once("> frame ").map(|(_, told)| told)).collect();
    assert_eq!(frames.len(), 30, "{said}");
    let number = |line: &str, word: &str| -> f64 {
        let after = line.split_once(&format!("{word} ")).unwrap_or_else(|| panic!("no {word}: {line}")).1;
        after.split([',', ' ']).next().unwrap().parse().unwrap()
    };
    for (n, line) in frames.iter().enumerate() {
        assert!(line.starts_with(&format!("{n} at 0:00:0")), "{line}");
        // Each figure is rounded. What needs no mask is done while the network runs: the two add up by themselves only.
        let within = |stages: &[&str]| {
            let sum: f64 = stages.iter().map(|stage| number(line, stage)).sum();
            assert!(sum > 0.0 && sum <= number(line, "in all") + 0.05, "{line}");
        };
        within(&["refine", "temporal", "compose"]);
        if n % 2 == 0 {
            within(&["preprocess", "inference"]);
            assert!(line.ends_with("its own mask"), "{line}");
        } else {
            assert!(line.contains("no inference") && line.contains("carried from 33.33 ms before"), "{line}");
        }
    }
}
