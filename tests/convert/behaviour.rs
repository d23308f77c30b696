//! What happens besides the pictures: refusals, interruptions, stalls, several inputs, progress.

use crate::media::*;
use crate::quick::quick;
use crate::record::record;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn what_cannot_be_is_refused_before_any_work() {
    let folder = folder("refused");
    // The input is not even there: nobody looked.
    let nowhere = Path::new("/no/such/input.mp4");
    for (name, more, words) in [
        ("a.mp4", &[][..], &["mp4 has no transparency", "webm, mov, gif, webp, png", "--background"][..]),
        ("a.xyz", &[], &["extension", "webm"]),
        ("a.gif", &["--audio", "keep"], &["no sound", "webm, mov, mp4"]),
        ("a.mp4", &["--background", "nocolour"], &["nocolour", "video"]),
        ("a.mp4", &["--background", "/no/such.mp4"], &["/no/such.mp4", "no such file"]),
        ("a.webm", &["--set", "model=pro"], &["--model"]),
        ("a.webm", &["--set", "output=matte", "--background", "red"], &["--background"]),
        ("a.webm", &["--size", "huge"], &["WIDTHxHEIGHT"]),
        ("a.webm", &["--start", "1:2:3:4"], &["MINUTES"]),
    ] {
        let said = refuse(nowhere, &folder.join(name), more, 2);
        assert!(words.iter().all(|w| said.contains(w)), "{name} {more:?}: {said}");
    }
    for (more, word) in [
        (["--model", "nobody"], "nobody"),
        (["--set", "foo=bar"], "foo"),
        (["--set", "refine=finest"], "refine"),
        (["--set", "edge-shift=99"], "edge-shift takes -20 to 20"),
        (["--set", "inference-interval=0"], "inference-interval takes 1 to"),
    ] {
        let said = refuse(nowhere, &folder.join("a.webm"), &more, 1);
        assert!(said.contains(word) && !said.contains("/no/such"), "{more:?}: {said}");
    }
}

#[test]
fn files_are_kept_unless_asked() {
    let folder = folder("kept");
    let path = folder.join("a.webm");
    std::fs::write(&path, "mine").unwrap();
    let (input, output) = (silent(), path.to_str().unwrap().to_string());
    let out = bgremove(&[input.to_str().unwrap(), &output]);
    assert_eq!(out.status.code(), Some(2));
    assert!(said(&out).contains("--overwrite"), "{}", said(&out));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    // A failure keeps the old file, too.
    let broken = folder.join("broken.mp4");
    std::fs::write(&broken, "no video").unwrap();
    let out = bgremove(&[broken.to_str().unwrap(), &output, "--overwrite"]);
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    convert(&input, &path, &[&quick()[..], &["--overwrite"]].concat());
    assert_eq!(times(&path).len(), 30);
    assert_eq!(files(&folder), ["a.webm", "broken.mp4"]);
    // The input is never its own output.
    let own = folder.join("own.mov");
    std::fs::copy(silent(), &own).unwrap();
    let out = bgremove(&[own.to_str().unwrap(), own.to_str().unwrap(), "--overwrite"]);
    assert_eq!(out.status.code(), Some(2), "{}", said(&out));
    assert_eq!(std::fs::read(&own).unwrap(), std::fs::read(silent()).unwrap());
    // Others may read the result as any new file.
    use std::os::unix::fs::PermissionsExt;
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), mode(&broken));
}

/// Starts a conversion that tells of itself as JSON, and waits until frames come out.
pub fn start(arguments: &[&str]) -> (Child, Box<dyn BufRead>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bgremove"))
        .arg("convert")
        .args(arguments)
        .args(model(arguments))
        .arg("--json")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while out.read_line(&mut line).unwrap() > 0 {
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        if event["event"] == "progress" && event["frames"].as_u64().unwrap() > 3 {
            break;
        }
        line.clear();
    }
    assert!(!line.is_empty(), "no progress");
    (child, Box::new(out))
}

pub fn interrupt(child: &Child, signal: &str) {
    tool("kill", &[&format!("-{signal}"), &child.id().to_string()]);
}

/// Waits for the end, for so long at most.
pub fn end(mut child: Child, most: Duration) -> (Option<i32>, String) {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            return (status.code(), said);
        }
        if begin.elapsed() > most {
            child.kill().unwrap();
            panic!("it has not ended after {most:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn ctrl_c_leaves_nothing() {
    let folder = folder("interrupted");
    // Long enough to be caught at it.
    let long = clip("long.mp4", 30.0, ",loop=loop=10:size=110", &SILENT_H264);
    // A file and a folder.
    for (name, signal) in [("a.webm", "INT"), ("a.png", "TERM")] {
        let output = folder.join(name);
        let (child, _out) = start(&[long.to_str().unwrap(), output.to_str().unwrap()]);
        assert!(
            files(&folder).iter().all(|f| f.starts_with('.') && f.ends_with(".part")),
            "{:?}",
            files(&folder)
        );
        assert_eq!(files(&folder).len(), 1);
        interrupt(&child, signal);
        let (code, said) = end(child, Duration::from_secs(30));
        assert_eq!(code, Some(130), "{said}");
        assert!(said.contains("interrupted"), "{said}");
        assert_eq!(files(&folder), [""; 0], "{name}");
    }
}

#[test]
fn a_stalled_input_ends_and_is_recorded() {
    let (folder, inputs) = (folder("stalled"), folder("stalled-inputs"));
    // Nobody ever writes to it.
    let silent_pipe = fifo(&inputs, "never");
    let (report, begin) = (inputs.join("report.json"), Instant::now());
    let more = ["--timeout", "0.5", "--report", text(&report)];
    let said = refuse(&silent_pipe, &folder.join("a.webm"), &more, 1);
    assert!(said.contains("stalled") && said.contains("--timeout"), "{said}");
    assert!(begin.elapsed() < Duration::from_secs(20));
    let r = record(&report);
    assert_eq!((&r["result"], &r["incident"]["error_code"]), (&"failed".into(), &"convert/stalled".into()));
    assert_eq!(r["source"]["bytes"], serde_json::Value::Null);
    // Somebody begins, and then does not go on.
    let ts = remux(&plain(), "stall.ts", &["-an", "-f", "mpegts"]);
    let bytes = std::fs::read(&ts).unwrap();
    let pipe = fifo(&inputs, "half");
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        let half = bytes[..bytes.len() * 3 / 5].to_vec();
        move || {
            let mut file = std::fs::OpenOptions::new().write(true).open(pipe).unwrap();
            file.write_all(&half).unwrap();
            file
        }
    });
    let said = refuse(&pipe, &folder.join("a.mov"), &[&quick()[..], &["--timeout", "1"]].concat(), 1);
    assert!(said.contains("stalled"), "{said}");
    drop(writer.join().unwrap());
}

#[test]
fn a_pipe_is_converted_to_its_end() {
    let (folder, inputs) = (folder("pipe"), folder("pipe-inputs"));
    let ts = remux(&plain(), "whole.ts", &["-f", "mpegts"]);
    let pipe = fifo(&inputs, "whole");
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || {
            std::io::copy(
                &mut std::fs::File::open(ts).unwrap(),
                &mut std::fs::OpenOptions::new().write(true).open(pipe).unwrap(),
            )
        }
    });
    let path = folder.join("a.webm");
    convert(&pipe, &path, &[&quick()[..], &["--timeout", "20"]].concat());
    writer.join().unwrap().unwrap();
    assert_eq!(times(&path).len(), 60);
    assert_eq!(onsets(&path).len(), 2);
}

#[test]
fn one_failure_does_not_stop_the_rest() {
    let (folder, inputs) = (folder("many"), folder("many-inputs"));
    let names = ["one.mp4", "two.mp4", "three.mp4", "four.mp4"].map(|n| inputs.join(n));
    for name in &names {
        std::fs::copy(silent(), name).unwrap();
    }
    std::fs::write(&names[1], "no video").unwrap();
    let out = folder.join("out/deep");
    let mut arguments: Vec<&str> = names.iter().map(|n| n.to_str().unwrap()).collect();
    arguments.extend(["-o", out.to_str().unwrap(), "--jobs", "2"]);
    arguments.extend(quick());
    let done = bgremove(&arguments);
    let said = said(&done);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("3 of 4 converted") && said.contains("two.mp4: it is no video file"), "{said}");
    assert_eq!(files(&out), ["four.webm", "one.webm", "three.webm"]);
    for name in files(&out) {
        assert_eq!(times(&out.join(name)).len(), 30);
    }
    // All that is there already fails, and says so; what is not is made.
    std::fs::remove_file(out.join("one.webm")).unwrap();
    let again = bgremove(&arguments);
    assert_eq!(again.status.code(), Some(1));
    assert!(crate::media::said(&again).contains("1 of 4 converted"), "{}", crate::media::said(&again));
    assert_eq!(files(&out).len(), 3);
    // As JSON.
    arguments.extend(["--json", "--overwrite"]);
    let events = events(&bgremove(&arguments));
    let count = |what: &str| events.iter().filter(|e| e["event"] == what).count();
    assert_eq!((count("start"), count("done"), count("error"), count("summary")), (3, 3, 1, 1));
    let last = events.last().unwrap();
    assert_eq!((&last["done"], &last["failed"]), (&3.into(), &1.into()));
    let done = events.iter().find(|e| e["event"] == "done").unwrap();
    assert_eq!(done["frames"], 30);
    assert_eq!(done["bytes"], std::fs::metadata(done["output"].as_str().unwrap()).unwrap().len());
    // The default is a format that can hold what is asked for.
    let all = [text(&names[0]), "-o", text(&out), "--background", "blur"];
    let plain = bgremove(&[&all[..], &quick()].concat());
    assert!(plain.status.success() && out.join("one.mp4").exists());
}

#[test]
fn a_part_comes_at_another_size_and_rate_where_that_is_said() {
    let folder = folder("part");
    let path = folder.join("a.webm");
    let part = ["--start", "0:00.7", "--duration", "1", "--size", "200x200"];
    convert(&plain(), &path, &[&part[..], &quick()[2..]].concat());
    assert_eq!((probe(&path, "v:0", "width"), probe(&path, "v:0", "height")), ("200".into(), "113".into()));
    assert_eq!(times(&path).len(), 30);
    assert!((seconds(&path) - 1.0).abs() < 0.04);
    same_beeps(&path, &plain(), 0.7);
    // The very frames: those of the whole, from the twenty-first on.
    let (cut, whole) = (folder.join("c"), folder.join("w"));
    let frames = [&quick()[..], &["--format", "png", "--set", "temporal-smoothing=0"]].concat();
    convert(&silent(), &cut, &[&frames[..], &["--start", "0.7"]].concat());
    convert(&silent(), &whole, &frames);
    let (cut, whole) = (pictures(&cut), pictures(&whole));
    assert_eq!((cut.len(), whole.len()), (9, 30));
    for (n, frame) in cut.iter().enumerate() {
        let best =
            (0..30).max_by(|a, b| psnr(frame, &whole[*a]).total_cmp(&psnr(frame, &whole[*b]))).unwrap();
        assert_eq!(best, 21 + n);
    }
    let path = folder.join("slow.gif");
    convert(&silent(), &path, &[&quick()[..], &["--fps", "10"]].concat());
    assert_eq!(times(&path).len(), 10);
    assert!((seconds(&path) - 1.0).abs() < 0.04);
    let late = crate::media::folder("part-late");
    let said = refuse(&silent(), &late.join("a.webm"), &["--start", "5"], 1);
    assert!(said.contains("--start") && said.contains("1.000"), "{said}");
}

#[test]
fn a_video_behind_covers_the_frame_and_begins_again() {
    let folder = folder("behind");
    // Half a second red, half a second blue; green above and below what covers a frame of 16:9.
    let behind = folder.join("behind.mp4");
    let filter = "drawbox=t=fill:color=blue:enable='gte(t,0.5)',drawbox=t=fill:color=lime:h=ih/8,\
                  drawbox=t=fill:color=lime:y=ih*7/8:h=ih/8";
    tool(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "color=red:s=160x160:r=20:d=1",
            "-vf",
            filter,
            "-pix_fmt",
            "yuv420p",
            "-c:v",
            "libx264",
            behind.to_str().unwrap(),
        ],
    );
    let path = folder.join("a.mp4");
    convert(&plain(), &path, &["--background", text(&behind)]);
    let shown = frames(&path);
    assert_eq!(shown.len(), 60);
    same_beeps(&path, &plain(), 0.0);
    for (n, frame) in shown.iter().enumerate() {
        let time = n as f64 / FPS;
        // Of the square only the middle 9/16 is seen, without the green bars.
        for (x, y) in [(6, 6), (WIDTH - 7, 6)] {
            let pixel = &frame[(y * WIDTH + x) * 4..][..3];
            let red = time % 1.0 < 0.499;
            assert!((pixel[0] > 180) == red && (pixel[2] > 180) != red && pixel[1] < 70, "{time}: {pixel:?}");
        }
    }
    let letter = folder.join("letter.txt");
    std::fs::write(&letter, "no video").unwrap();
    let out = crate::media::folder("behind-none");
    let said = refuse(&plain(), &out.join("a.mp4"), &["--background", text(&letter)], 1);
    assert!(said.contains("letter.txt") && said.contains("behind the subject"), "{said}");
}
