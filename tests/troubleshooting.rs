//! docs/troubleshooting.md holds what it says: codes and figures that exist, remedies that can be set and work.

mod common;

use common::*;
use gst::prelude::*;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The cells of a page's table rows, without the headings.
fn rows(page: &str) -> Vec<Vec<String>> {
    let rows = page.lines().filter(|l| l.starts_with("| "));
    rows.map(|l| l.trim_matches('|').split(" | ").map(|c| c.trim().to_string()).collect()).skip(1).collect()
}

/// What stands between backticks.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// All files in a folder and in those in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path());
    entries.flat_map(|p| if p.is_dir() { files(&p) } else { vec![p] }).collect()
}

/// The codes of warnings in the source: the first text after `self.warn(`, and those of the notes.
fn codes() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let source = std::fs::read_to_string(file).unwrap();
        for after in source.split("self.warn(").skip(1) {
            // `note.code()` is one of those below.
            if let Some(code) = after.trim_start().strip_prefix('"') {
                found.insert(code.split('"').next().unwrap().to_string());
            }
        }
    }
    let source = read("src/report/monitor.rs");
    found.extend(source.split("(_) => \"").skip(1).map(|s| s.split('"').next().unwrap().to_string()));
    assert!(found.len() >= 10, "{found:?}");
    found
}

#[test]
fn each_warning_has_its_place() {
    let page = read("docs/troubleshooting.md");
    let shown: String = rows(&page).iter().map(|r| r[2].clone() + "\n").collect();
    let (schema, production) = (read("docs/report.schema.json"), read("docs/production.md"));
    for code in codes() {
        assert!(spans(&shown).any(|s| s == code), "docs/troubleshooting.md has no row for {code}");
        assert!(schema.contains(&format!("\"{code}\"")), "{code} is not in the schema");
        assert!(spans(&production).any(|s| s == code), "{code} is not in docs/production.md");
    }
}

#[test]
fn what_shows_a_cause_exists() {
    init();
    let element = gst::ElementFactory::make("bgremove").build().unwrap();
    let stats = element.property::<gst::Structure>("stats");
    let codes = codes();
    let properties: Vec<String> = element.list_properties().iter().map(|p| p.name().to_string()).collect();
    for row in rows(&read("docs/troubleshooting.md")) {
        assert_eq!(row.len(), 4, "{row:?}");
        for span in spans(&row[2])
            .filter(|s| s.chars().all(|c| c.is_ascii_lowercase() || c == '-' || c.is_ascii_digit()))
        {
            let known = codes.contains(span) || stats.has_field(span) || properties.iter().any(|p| p == span);
            assert!(known || span == "cpu", "nothing is called '{span}': {row:?}");
        }
        assert!(!row[2].is_empty() && !row[3].is_empty(), "{row:?}");
    }
}

/// The pipeline that a remedy makes of a clip's frames; `None` of what is no remedy in a pipeline.
fn line(remedy: &str) -> Option<String> {
    let element = gst::ElementFactory::make("bgremove").build().unwrap();
    let is_property = |w: &str| w.split_once('=').is_some_and(|(n, _)| element.find_property(n).is_some());
    let first = remedy.split(' ').next().filter(|first| *first != "bgremove")?;
    Some(if remedy.contains("! bgremove") {
        remedy.to_string()
    } else if remedy.split(' ').all(is_property) {
        format!("bgremove {remedy}")
    } else if ["videoscale", "videoflip", "queue"].contains(&first) {
        format!("{remedy} ! bgremove")
    } else if first.starts_with("video/x-raw") || gst::ElementFactory::find(first).is_some() {
        format!("bgremove ! videoconvert ! {remedy}")
    } else {
        return None;
    })
}

#[test]
fn each_remedy_can_be_had() {
    init();
    let clip = clip("astronaut.mp4");
    let (mut tried, mut skipped) = (0, 0);
    let table = rows(&read("docs/troubleshooting.md"));
    let remedies: BTreeSet<&str> = table.iter().flat_map(|r| spans(&r[3])).collect();
    for remedy in remedies {
        let Some(line) = line(remedy) else { continue };
        let line = format!(
            "filesrc location=\"{}\" ! decodebin ! videoconvert ! videoscale ! video/x-raw,width=640,height=360 ! \
             identity eos-after=4 ! {line} ! fakesink",
            clip.display()
        );
        let pipeline = Running(
            gst::parse::launch(&line).unwrap_or_else(|e| panic!("{remedy}: {e}")).downcast().unwrap(),
        );
        let bus = pipeline.bus().unwrap();
        let started = pipeline.set_state(gst::State::Playing);
        let ends = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(120), &ends).expect("an end");
        if let gst::MessageView::Error(e) = message.view() {
            let text = e.error().message().to_string();
            // What not every machine has: it says so, and what to do.
            let optional = remedy.contains("model=") && text.contains("models install")
                || remedy.contains("execution-provider=") && text.contains("does not have it");
            assert!(optional, "{remedy}: {text}");
            let why = format!("{remedy}: {}", text.lines().next().unwrap_or_default());
            skip::skip("each_remedy_can_be_had", &why);
            skipped += 1;
            continue;
        }
        started.unwrap();
        tried += 1;
    }
    println!("{tried} remedies tried, {skipped} skipped");
    assert!(tried > 20);
}

/// The mattes of a clip's first 25 frames with some properties, and the element's counts at the end.
fn mattes(properties: &str) -> (Vec<Vec<u8>>, gst::Structure) {
    init();
    let line = format!(
        "filesrc location=\"{}\" ! decodebin ! videoconvert ! videoscale ! video/x-raw,format=I420,width=640,height=360 \
         ! identity eos-after=25 ! bgremove name=bg output=matte {properties} ! video/x-raw,format=GRAY8 ! \
         appsink name=out sync=false",
        clip("astronaut.mp4").display()
    );
    let pipeline = Running(gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap());
    let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut frames = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        frames.push(sample.buffer().unwrap().map_readable().unwrap().to_vec());
    }
    // A few more may be under way when identity ends the stream.
    assert!(frames.len() >= 25, "{properties}: {} frames", frames.len());
    frames.truncate(25);
    (frames, pipeline.by_name("bg").unwrap().property("stats"))
}

/// The part of all alphas that a condition holds for.
fn part(frames: &[Vec<u8>], which: impl Fn(u8) -> bool) -> f64 {
    let all = frames.iter().flatten();
    all.clone().filter(|v| which(**v)).count() as f64 / all.count() as f64
}

fn area(frames: &[Vec<u8>]) -> f64 {
    frames.iter().flatten().map(|v| f64::from(*v)).sum::<f64>() / 255.0
}

/// How much alphas change from frame to frame.
fn change(frames: &[Vec<u8>]) -> f64 {
    let pairs = frames.windows(2).flat_map(|w| w[0].iter().zip(&w[1]));
    pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum()
}

#[test]
fn remedies_do_what_the_page_says() {
    let (plain, stats) = mattes("");
    let of = |properties: &str| mattes(properties).0;
    let haze = |v: u8| (1..=25).contains(&v);
    let (before, after) = (part(&plain, haze), part(&of("black-point=0.1"), haze));
    println!("haze: {:.2} % to {:.2} %", before * 100.0, after * 100.0);
    assert!(after < before * 0.7, "haze: {before} to {after}");
    let opaque = |v: u8| v == 255;
    let (before, after) = (part(&plain, opaque), part(&of("white-point=0.9"), opaque));
    println!("wholly opaque: {:.1} % to {:.1} %", before * 100.0, after * 100.0);
    assert!(after > before * 1.02, "opaque: {before} to {after}");
    let (tight, wide) = (area(&of("edge-shift=-2")), area(&of("edge-shift=2")));
    let percent = |area: f64| area / plain.iter().flatten().count() as f64 * 100.0;
    println!("area: {:.1} %, {:.1} %, {:.1} %", percent(tight), percent(area(&plain)), percent(wide));
    assert!(tight < area(&plain) && area(&plain) < wide, "{tight} {} {wide}", area(&plain));
    let soft = |v: u8| (26..=229).contains(&v);
    let (before, after) = (part(&plain, soft), part(&of("edge-softness=4"), soft));
    println!("soft: {:.1} % to {:.1} %", before * 100.0, after * 100.0);
    assert!(after > before * 1.2, "soft: {before} to {after}");
    let (loose, steady) = (change(&of("temporal-smoothing=0")), change(&of("temporal-smoothing=1")));
    assert!(steady < loose * 0.93, "change: {loose} to {steady}");
    let count =
        |s: &gst::Structure| (s.get::<u64>("inferences").unwrap(), s.get::<u64>("frames-out").unwrap());
    let (inferences, frames) = count(&mattes("inference-interval=3").1);
    assert_eq!(inferences, frames.div_ceil(3));
    assert_eq!(count(&stats).0, count(&stats).1);
}
