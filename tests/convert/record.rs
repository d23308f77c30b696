//! `--report`: what is kept of a conversion that went well, that failed, that was stopped.

use crate::media::*;
use crate::schema::record;
use serde_json::Value;
use std::path::Path;

/// Runs the tool, which has to end so; gives its record.
fn kept(input: &Path, output: &Path, more: &[&str], status: i32) -> Value {
    let place = output.with_extension("report.json");
    let mut arguments = vec![input.to_str().unwrap(), output.to_str().unwrap()];
    arguments.extend_from_slice(&["--report", place.to_str().unwrap()]);
    arguments.extend_from_slice(more);
    let out = bgremove(&arguments);
    assert_eq!(out.status.code(), Some(status), "{}", said(&out));
    record(&place)
}

#[test]
fn a_conversion_leaves_a_record() {
    let folder = folder("record");
    let output = folder.join("a.webm");
    let (input, job) = (silent(), ["--set", "job-id=job-9"]);
    let r = kept(&input, &output, &job, 0);
    assert_eq!(
        (&r["result"], &r["job_id"], &r["incident"]),
        (&"completed".into(), &"job-9".into(), &Value::Null)
    );
    assert_eq!(r["input"]["path"], input.to_str().unwrap());
    assert!(r["input"]["codec"].as_str().is_some_and(|c| c.contains("H.264")), "{}", r["input"]);
    assert!(r["input"]["duration_ns"].as_u64().is_some_and(|d| d > 500_000_000), "{}", r["input"]);
    let o = &r["output"];
    assert_eq!((&o["container"], &o["codec"], &o["frames"]), (&"webm".into(), &"vp9".into(), &30.into()));
    assert_eq!(o["path"], output.to_str().unwrap());
    assert_eq!(o["bytes"], std::fs::metadata(&output).unwrap().len());
    assert_eq!((&r["stats"]["frames_out"], &r["model"]["licence"]), (&30.into(), &"Apache-2.0".into()));
}

#[test]
fn a_failure_leaves_a_record() {
    let folder = folder("record-failed");
    let broken = folder.join("broken.mp4");
    std::fs::write(&broken, "no video").unwrap();
    let failed = |r: Value, word: &str| {
        assert_eq!(r["result"], "failed");
        assert!(r["incident"]["symptom"].as_str().is_some_and(|s| s.contains(word)), "{}", r["incident"]);
        r
    };
    let r = failed(kept(&broken, &folder.join("a.webm"), &[], 1), "no video file");
    assert!(
        r["incident"]["error_code"].as_str().is_some_and(|c| c.starts_with("stream/")),
        "{}",
        r["incident"]
    );
    assert_eq!((&r["model"]["name"], &r["input"]["caps"]), (&"light".into(), &Value::Null));
    failed(kept(&folder.join("gone.mp4"), &folder.join("b.webm"), &[], 1), "no such file");
    let r = failed(kept(&silent(), &folder.join("c.webm"), &["--model", "nobody"], 1), "nobody");
    assert_eq!(r["model"]["name"], "nobody");
    let r = failed(kept(&silent(), &folder.join("d.webm"), &["--start", "99"], 1), "");
    assert!(r["output"]["bytes"].is_null());
}

#[test]
fn each_of_many_leaves_a_record() {
    let folder = folder("records");
    let broken = folder.join("broken.mp4");
    std::fs::write(&broken, "no video").unwrap();
    let (good, cut, records) = (silent(), folder.join("cut"), folder.join("records"));
    let text = |p: &Path| p.to_str().unwrap().to_string();
    let out = bgremove(&[
        &text(&good),
        &text(&broken),
        "-o",
        &text(&cut),
        "--format",
        "webp",
        "--report",
        &text(&records),
    ]);
    assert_eq!(out.status.code(), Some(1), "{}", said(&out));
    let of = |input: &Path| {
        let name = format!("{}.webp.json", input.file_stem().unwrap().to_str().unwrap());
        record(&records.join(name))["result"].clone()
    };
    assert_eq!((of(&good), of(&broken)), ("completed".into(), "failed".into()));
}

#[test]
fn a_record_that_cannot_be_kept_is_an_error_before_any_work() {
    let folder = folder("record-nowhere");
    let output = folder.join("a.webm");
    let (input, output) = (silent(), output.to_str().unwrap());
    let input = input.to_str().unwrap();
    for (place, status) in [("/no/such/folder/r.json", 1), ("/", 1), (input, 2), (output, 2)] {
        let out = bgremove(&[input, output, "--report", place]);
        assert_eq!(out.status.code(), Some(status), "{place}: {}", said(&out));
        assert!(said(&out).contains("report"), "{}", said(&out));
        assert!(!Path::new(output).exists());
    }
}
