//! Kinds of input, each through `bgremove convert` to each of the six formats, and what comes out held against what was
//! put in: every frame by the number in it, times, sound, colour, size, alpha.
//!
//! `make corpus` (`BGREMOVE_CORPUS=all`) crosses them all and prints a table; without it each kind goes to one format, in
//! turns. What deviates has to be on the kind's row with the words that the tool says of it: a silent deviation fails, and
//! so does an error that the row does not expect. `BGREMOVE_CORPUS_ONLY='WORD …'` takes the kinds with one of the words in their names.
#![cfg(feature = "cli")]

mod judge;
mod kinds;
#[path = "../convert/media.rs"]
#[allow(dead_code)]
mod media;
#[path = "../common/onnx.rs"]
#[allow(dead_code)]
mod onnx;
mod rows;
mod seen;
mod source;

use judge::{INPUT, OUTPUTS, Output, Want, judge};
use kinds::Kind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How it went.
#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    Right,
    /// As the row says that it is told.
    Told(String),
    /// An error that the row does not expect, or a false alarm.
    Error(String),
    /// Something is not as it should be, and nothing was said of it.
    Silent(String),
}

impl Verdict {
    fn word(&self) -> &'static str {
        match self {
            Verdict::Right => "ok",
            Verdict::Told(_) => "told",
            Verdict::Error(_) => "ERROR",
            Verdict::Silent(_) => "SILENT",
        }
    }
}

/// A network that calls the right part of every picture background, and the rest the subject.
fn network(folder: &Path) -> PathBuf {
    let (w, h) = (64, 48);
    let row: Vec<f32> =
        (0..w).map(|x| if (x as f64 + 0.5) / (w as f64) < source::BEHIND_FROM { 1.0 } else { 0.0 }).collect();
    let mask: Vec<f32> = (0..h).flat_map(|_| row.clone()).collect();
    onnx::Onnx::new()
        .input("x", onnx::Type::F32, &[1, 3, h, w])
        .f32s("none", &[1, 3, 1, 1], &[0.0; 3])
        .op("Conv", "x none", "zero")
        .f32s("mask", &[1, 1, h, w], &mask)
        .op("Add", "zero mask", "y")
        .output("y", onnx::Type::F32, &[1, 1, h, w])
        .save(folder, "left.onnx")
}

/// A row's input, to one format.
fn convert(kind: &Kind, input: &Path, model: &Path, output: &Output, want: &Want) -> Verdict {
    let mut path = input.parent().unwrap().join(format!("out.{}", output.name));
    if output.name == "png" {
        path.set_extension("");
    }
    let options = "model-options=options,fit=stretch,activation=none";
    let text = |p: &Path| p.to_str().unwrap().to_string();
    let (input, model, place) = (text(input), text(model), text(&path));
    let mut all = vec![&*input, &*place, "--model", &model, "--set", options, "--format", output.name];
    all.extend(["--timeout", "20", "--overwrite"].iter().chain(output.options));
    all.extend(kind.with.split_whitespace());
    let out = media::bgremove(&all);
    let said = media::said(&out);
    let wrong = match out.status.success() {
        true => judge(kind, output, want, &seen::look(&path)).join("; "),
        false => format!("exit status {:?}", out.status.code()),
    };
    if wrong.is_empty() && !said.contains("(convert/short)") {
        return Verdict::Right;
    }
    let wrong = if wrong.is_empty() { "a false alarm".to_string() } else { wrong };
    let lines: Vec<_> = said.lines().map(|l| l.replace(&input, "IN")).collect();
    let said = lines.join(" | ");
    let told = kind.told.iter().any(|t| t.is_of(output.name) && said.contains(t.words));
    let is_error = !out.status.success() || wrong == "a false alarm";
    match (told, !is_error) {
        (true, _) => Verdict::Told(format!("{wrong}: {said}")),
        (_, false) => Verdict::Error(format!("{wrong}: {said}")),
        _ => Verdict::Silent(format!("{wrong}{}{said}", if said.is_empty() { "" } else { "; it says: " })),
    }
}

/// All of a kind's verdicts, and how ffmpeg sees its file.
fn row(kind: &Kind, outputs: &[Output]) -> (Vec<Verdict>, Vec<String>) {
    let folder = media::folder(&format!("corpus-{}", kind.name));
    let model = network(&folder);
    let input = source::make(kind, &folder);
    let (want, foreign) = match kind.color {
        Some(color) => (Want::new(kind, color, None), Vec::new()),
        None => {
            let seen = seen::look(&input);
            let [r, g, b, _] = seen.frames[0].plain;
            let want = Want::new(kind, [r, g, b], Some(&seen));
            let foreign = judge(kind, &INPUT, &want, &seen);
            (want, foreign)
        }
    };
    let verdicts = outputs.iter().map(|o| convert(kind, &input, &model, o, &want)).collect();
    if std::env::var_os("BGREMOVE_CORPUS_KEEP").is_none() {
        let _ = std::fs::remove_dir_all(folder);
    }
    (verdicts, foreign)
}

#[test]
fn no_kind_of_input_loses_anything_in_silence() {
    let all = std::env::var_os("BGREMOVE_CORPUS").is_some_and(|v| v == "all");
    let only = std::env::var("BGREMOVE_CORPUS_ONLY").unwrap_or_default();
    let kinds: Vec<Kind> =
        rows::all().into_iter().filter(|k| only.split(' ').any(|o| k.name.contains(o))).collect();
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |n| n.get()) {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(kind) = kinds.get(n) else { break };
                    let some = if all { OUTPUTS.to_vec() } else { vec![OUTPUTS[n % OUTPUTS.len()]] };
                    // What cannot be made or read is told with the rest.
                    let done = std::panic::catch_unwind(|| row(kind, &some)).unwrap_or_else(|e| {
                        let why = e.downcast_ref::<String>().cloned().unwrap_or_default();
                        (vec![Verdict::Error(format!("the test: {why}")); some.len()], Vec::new())
                    });
                    results.lock().unwrap().push((n, some, done));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|r| r.0);
    let (mut table, mut notes, mut wrong) = (String::new(), String::new(), Vec::new());
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    table += &format!("{:26}", "");
    OUTPUTS.iter().for_each(|o| table += &format!("{:8}", o.name));
    for (n, outputs, (verdicts, foreign)) in &results {
        let name = kinds[*n].name;
        table += &format!("\n{name:26}");
        for output in OUTPUTS {
            let verdict = outputs.iter().position(|o| o.name == output.name).map(|at| &verdicts[at]);
            table += &format!("{:8}", verdict.map_or("", Verdict::word));
            let Some(verdict) = verdict else { continue };
            *counts.entry(verdict.word()).or_default() += 1;
            match verdict {
                Verdict::Right => {}
                Verdict::Told(how) => notes += &format!("{name} to {}: {how}\n", output.name),
                Verdict::Error(how) | Verdict::Silent(how) => {
                    let seen = if foreign.is_empty() {
                        String::new()
                    } else {
                        format!(" (ffmpeg of the input: {})", foreign.join("; "))
                    };
                    wrong.push(format!("{} {name} to {}: {how}{seen}", verdict.word(), output.name));
                }
            }
        }
    }
    println!("{table}\n\nTold:\n{notes}\n{} kinds: {counts:?}", results.len());
    assert!(wrong.is_empty(), "{} are not as they should be:\n{}", wrong.len(), wrong.join("\n"));
}
