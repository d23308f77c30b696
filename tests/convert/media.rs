//! Clips to convert, and foreign eyes for what comes out: ffmpeg, ffprobe and the image crate.

// Several programs have this file as a module of theirs.
#[path = "../common/signal.rs"]
pub mod signal;

#[allow(unused_imports, reason = "shared by several test binaries")]
pub use signal::psnr;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock};
use std::time::SystemTime;

pub const WIDTH: usize = 320;
pub const HEIGHT: usize = 180;
pub const FPS: f64 = 30.0;
/// ffmpeg's options for most clips, without sound and with it; and a filter for clips of up to eight seconds.
pub const SILENT_H264: [&str; 5] = ["-an", "-c:v", "libx264", "-preset", "veryfast"];
pub const H264: [&str; 6] = ["-c:v", "libx264", "-preset", "veryfast", "-c:a", "aac"];
pub const LOOP: &str = ",loop=loop=1:size=120";
/// ffmpeg's libvpx encodes VP8 with one thread: those of several spin.
pub const VP8: [&str; 8] = ["-c:v", "libvpx", "-threads", "1", "-deadline", "realtime", "-c:a", "libopus"];
/// Where little hangs on pixels: VP9 with alpha takes a tenth of the time for these.
pub const TINY: [&str; 2] = ["--size", "96x96"];

/// A folder for one test, empty.
pub fn folder(test: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("convert").join(test);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// A file that `make clips` puts there.
fn fetched(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("build/clips").join(name);
    assert!(path.exists(), "{} is missing: run `make clips`", path.display());
    path
}

/// Runs a program that has to succeed.
pub fn tool(program: &str, arguments: &[&str]) -> Vec<u8> {
    let out = Command::new(program).args(arguments).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{program} {arguments:?}: {said}");
    out.stdout
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Times and lengths of a file's packets of a kind as they are stored, and their bytes' sums where asked for.
pub fn packets(path: &Path, stream: &str, sums: bool) -> Vec<String> {
    let what = format!("packet=pts,duration{}", if sums { ",data_hash" } else { "" });
    let all = [
        "-v",
        "error",
        "-show_data_hash",
        "md5",
        "-select_streams",
        stream,
        "-show_entries",
        &what,
        "-of",
        "csv=p=0",
    ];
    let out = tool("ffprobe", &[&all[..], &[text(path)]].concat());
    String::from_utf8(out).unwrap().lines().map(str::to_string).collect()
}

/// What is in a folder, sorted.
pub fn files(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
}

/// A named pipe.
pub fn fifo(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    tool("mkfifo", &[text(&path)]);
    path
}

/// The portrait in 320 × 180, to the bit, from which clips are made: to read it takes a tenth of what the large one takes.
fn portrait() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let path =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("portrait-{}.mp4", std::process::id()));
        let (source, scale) = (fetched("astronaut.mp4"), format!("scale={WIDTH}:{HEIGHT}"));
        let lossless = ["-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", text(&path)];
        tool(
            "ffmpeg",
            &[&["-v", "error", "-y", "-i", text(&source), "-an", "-vf", &scale][..], &lossless].concat(),
        );
        path
    })
}

/// A clip of the portrait, 320 × 180, through ffmpeg with more options; made once.
pub fn clip(name: &str, seconds: f64, filter: &str, options: &[&str]) -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one = MAKING.lock().unwrap_or_else(|e| e.into_inner());
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("convert-clips");
    std::fs::create_dir_all(&folder).unwrap();
    // Made anew by every run of the tests: what is written here may have changed.
    // Clips of one name may differ.
    let mut what = std::hash::DefaultHasher::new();
    (seconds.to_bits(), filter, options).hash(&mut what);
    let path = folder.join(format!("{}-{:x}-{name}", std::process::id(), what.finish()));
    if path.exists() {
        return path;
    }
    let (seconds, filter) = (seconds.to_string(), format!("null{filter}"));
    let mut arguments = vec!["-v", "error", "-y", "-i", text(portrait())];
    // Beeps of a tenth of a second, half a second after each whole one.
    let beeps = "aevalsrc='if(between(mod(t,1),0.5,0.6),0.5*sin(2*PI*1000*t),0)':s=48000:c=stereo";
    if !options.contains(&"-an") {
        arguments.extend(["-f", "lavfi", "-i", beeps]);
    }
    arguments.extend(["-t", &seconds, "-vf", &filter]);
    arguments.extend(options.iter().filter(|o| **o != "-an"));
    arguments.push(text(&path));
    tool("ffmpeg", &arguments);
    path
}

/// Two seconds with sound: what most tests convert.
pub fn plain() -> PathBuf {
    clip("plain.mp4", 2.0, "", &H264)
}

/// A second without sound.
pub fn silent() -> PathBuf {
    clip("silent.mp4", 1.0, "", &SILENT_H264)
}

/// The portrait with the noise of a small camera.
pub fn noisy() -> PathBuf {
    clip("noisy.mp4", 2.0, ",noise=alls=30:allf=t", &[&SILENT_H264[..], &["-crf", "18"]].concat())
}

/// A copy of a clip in which only what stands about it differs.
pub fn remux(from: &Path, name: &str, options: &[&str]) -> PathBuf {
    let path = from.with_file_name(format!("{}-{name}", std::process::id()));
    let mut arguments = vec!["-v", "error", "-y", "-i", text(from), "-c", "copy"];
    arguments.extend(options);
    arguments.push(text(&path));
    tool("ffmpeg", &arguments);
    path
}

/// The network, where a test names none: the default depends on what is installed.
pub fn model(arguments: &[&str]) -> &'static [&'static str] {
    if arguments.contains(&"--model") { &[] } else { &["--model", "light"] }
}

pub fn bgremove(arguments: &[&str]) -> Output {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_bgremove"));
    tool.arg("convert").args(arguments).args(model(arguments)).output().unwrap()
}

/// What it said on standard error.
pub fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// Converts, which has to succeed.
pub fn convert(input: &Path, output: &Path, more: &[&str]) {
    let out = bgremove(&[&[text(input), text(output)], more].concat());
    assert!(out.status.success(), "{} to {}: {}", input.display(), output.display(), said(&out));
}

/// What it said to programs, event by event.
pub fn events(out: &Output) -> Vec<serde_json::Value> {
    let text = String::from_utf8_lossy(&out.stdout);
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// Converts, which has to fail with this exit code and leave nothing; what it said.
pub fn refuse(input: &Path, output: &Path, more: &[&str], code: i32) -> String {
    let out = bgremove(&[&[text(input), text(output)], more].concat());
    let said = said(&out);
    assert_eq!(out.status.code(), Some(code), "{} to {}: {said}", input.display(), output.display());
    let left: Vec<_> = std::fs::read_dir(output.parent().unwrap()).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?} is left behind");
    said
}

/// A section of what ffprobe prints: the whole file's, or a stream's.
type Section = HashMap<String, String>;

/// What ffprobe says of a file and then of each of its streams.
type Sections = Arc<Vec<Section>>;

/// What it has said of files, so that it is asked once of each: a start of it takes a tenth of a second.
fn known() -> MutexGuard<'static, HashMap<(PathBuf, u64, SystemTime), Sections>> {
    type Known = HashMap<(PathBuf, u64, SystemTime), Sections>;
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    KNOWN.lock().unwrap_or_else(|e| e.into_inner())
}

fn key(path: &Path) -> (PathBuf, u64, SystemTime) {
    let file = path.metadata().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    (path.to_path_buf(), file.len(), file.modified().unwrap())
}

fn sections(path: &Path) -> Sections {
    if let Some(sections) = known().get(&key(path)) {
        return Arc::clone(sections);
    }
    ask(path, &[]).0
}

/// Asks ffprobe of a file, its streams and what `more` says; gives the frames' sections besides.
fn ask(path: &Path, more: &[&str]) -> (Sections, Vec<Section>) {
    let all = [&["-v", "error", "-show_format", "-show_streams"], more, &[text(path)]].concat();
    let out = tool("ffprobe", &all);
    let (mut format, mut streams, mut frames) = (Section::new(), Vec::new(), Vec::new());
    let mut within = Vec::new();
    for line in String::from_utf8(out).unwrap().lines() {
        match line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            Some(end) if end.starts_with('/') => drop(within.pop()),
            Some(begin) => {
                match begin {
                    "STREAM" => streams.push(Section::new()),
                    "FRAME" => frames.push(Section::new()),
                    _ => {}
                }
                within.push(begin.to_string());
            }
            None => {
                // What lies deeper is about side data.
                let section = match within.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                    ["STREAM"] => streams.last_mut().unwrap(),
                    ["FRAME"] => frames.last_mut().unwrap(),
                    ["FORMAT"] => &mut format,
                    _ => continue,
                };
                if let Some((name, value)) = line.split_once('=') {
                    section.insert(name.to_string(), value.to_string());
                }
            }
        }
    }
    let sections = Arc::new([vec![format], streams].concat());
    known().insert(key(path), Arc::clone(&sections));
    (sections, frames)
}

/// A figure of a stream (`v:0`, `a`, …) as ffprobe tells it; of several streams a line each.
pub fn probe(path: &Path, stream: &str, what: &str) -> String {
    // All is decoded for it.
    if what == "nb_read_frames" {
        let all = ["-v", "error", "-count_frames", "-select_streams", stream, "-show_entries"];
        let of = ["stream=nb_read_frames", "-of", "default=noprint_wrappers=1:nokey=1", text(path)];
        return String::from_utf8(tool("ffprobe", &[&all[..], &of].concat())).unwrap().trim().to_string();
    }
    let (kind, number) = stream.split_once(':').unwrap_or((stream, ""));
    let kind = match kind {
        "v" => "video",
        "a" => "audio",
        other => panic!("streams of kind {other}?"),
    };
    let sections = sections(path);
    let of_kind = sections[1..].iter().filter(|s| s.get("codec_type").is_some_and(|t| t == kind));
    let figures = of_kind.map(|s| s.get(what).cloned().unwrap_or_default());
    match number.parse::<usize>() {
        Ok(n) => figures.skip(n).take(1).collect(),
        Err(_) => figures.collect::<Vec<_>>().join("\n"),
    }
}

pub fn has_sound(path: &Path) -> bool {
    !probe(path, "a", "codec_name").is_empty()
}

/// Seconds that a file lasts.
pub fn seconds(path: &Path) -> f64 {
    figure(path, "duration").unwrap()
}

/// A figure of the whole file, if it has one. ffmpeg counts from its `start_time` where it decodes.
pub fn figure(path: &Path, what: &str) -> Option<f64> {
    sections(path)[0].get(what)?.parse().ok()
}

/// Seconds at which frames are seen.
pub fn times(path: &Path) -> Vec<f64> {
    times_if_said(path).unwrap()
}

/// The same; none where the file does not say.
pub fn times_if_said(path: &Path) -> Option<Vec<f64>> {
    let (sections, frames) = ask(path, &["-show_frames", "-show_entries", "frame=stream_index,pts_time"]);
    let video = sections[1..].iter().find(|s| s["codec_type"] == "video")?["index"].clone();
    let frames = frames.iter().filter(|f| f["stream_index"] == video);
    frames.map(|f| f["pts_time"].parse().ok()).collect()
}

/// A decoded frame as R, G, B, A.
pub type Frame = Vec<u8>;

/// ffmpeg's options for a codec: its own decoders of VP8 and VP9 pass the alpha over.
pub fn decoder(codec: &str) -> &'static [&'static str] {
    match codec {
        "vp9" => &["-c:v", "libvpx-vp9"],
        "vp8" => &["-c:v", "libvpx"],
        _ => &[],
    }
}

/// The frames of a file, every one once, as they are seen.
pub fn frames(path: &Path) -> Vec<Frame> {
    // What Matroska calls its codecs: ffprobe would say the same, and a start of it takes as long as to decode.
    let mut head = Vec::new();
    std::fs::File::open(path).unwrap().take(1 << 16).read_to_end(&mut head).unwrap();
    let has = |name: &[u8]| head.windows(name.len()).any(|w| w == name);
    let codec = if has(b"V_VP9") {
        "vp9"
    } else if has(b"V_VP8") {
        "vp8"
    } else {
        ""
    };
    let mut arguments = vec!["-v", "error"];
    arguments.extend(decoder(codec));
    arguments.extend(["-i", text(path), "-vsync", "passthrough", "-f", "image2pipe", "-c:v", "pam"]);
    arguments.extend(["-pix_fmt", "rgba", "-"]);
    let frames = netpbm(&tool("ffmpeg", &arguments));
    assert!(frames.windows(2).all(|f| f[0].0 == f[1].0), "{}: of several sizes", path.display());
    frames.into_iter().map(|(_, frame)| frame).collect()
}

/// Width and height, and the pixels, of each of the pictures that ffmpeg's encoder `pam` makes of R, G, B and A: whatever turns
/// the frames, their size stands before them.
pub fn netpbm(mut bytes: &[u8]) -> Vec<((usize, usize), Frame)> {
    let mut out = Vec::new();
    while let Some(end) = bytes.windows(7).position(|w| w == b"ENDHDR\n") {
        let (head, rest) = bytes.split_at(end + 7);
        let head = std::str::from_utf8(head).unwrap();
        let number = |name| head.lines().find_map(|l| l.strip_prefix(name)?.parse::<usize>().ok()).unwrap();
        let size = (number("WIDTH "), number("HEIGHT "));
        let (frame, rest) = rest.split_at(size.0 * size.1 * 4);
        out.push((size, frame.to_vec()));
        bytes = rest;
    }
    out
}

/// A sum of each frame as it is stored, whatever its colours mean.
pub fn stored(path: &Path) -> Vec<Frame> {
    let sums = tool("ffmpeg", &["-v", "error", "-i", text(path), "-map", "0:v", "-f", "framemd5", "-"]);
    let lines = sums.split(|b| *b == b'\n').filter(|l| !l.is_empty() && !l.starts_with(b"#"));
    lines.map(|l| l.rsplit(|b| *b == b',').next().unwrap_or_default().to_vec()).collect()
}

pub fn alpha(frame: &Frame) -> Vec<u8> {
    frame.chunks_exact(4).map(|p| p[3]).collect()
}

/// The element's own mattes for the plain clip: what every format's alpha is held against.
pub fn mattes() -> &'static [Vec<u8>] {
    static MATTES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    MATTES.get_or_init(|| {
        let folder = folder("mattes");
        let out = folder.join("m");
        convert(&plain(), &out, &["--format", "png", "--set", "output=matte"]);
        pictures(&out).into_iter().map(|p| p.into_iter().step_by(4).collect()).collect()
    })
}

/// Numbered pictures, in their order, as RGBA.
pub fn pictures(folder: &Path) -> Vec<Frame> {
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    names.sort();
    for (n, name) in names.iter().enumerate() {
        assert_eq!(name.file_name().unwrap().to_str().unwrap(), format!("frame-{:05}.png", n + 1));
    }
    names.iter().map(|n| image::open(n).unwrap().into_rgba8().into_raw()).collect()
}

/// Seconds at which a file's beeps begin. It is asked once of each file: many are held against one source.
pub fn onsets(path: &Path) -> Vec<f64> {
    type Known = HashMap<(PathBuf, u64, SystemTime), Vec<f64>>;
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    let key = key(path);
    if let Some(known) = KNOWN.lock().unwrap_or_else(|e| e.into_inner()).get(&key) {
        return known.clone();
    }
    let out = heard(path);
    KNOWN.lock().unwrap_or_else(|e| e.into_inner()).insert(key, out.clone());
    out
}

fn heard(path: &Path) -> Vec<f64> {
    // Silence before a late start is written out, so that places are times.
    let bytes = tool(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-i",
            text(path),
            "-af",
            "aresample=async=1:first_pts=0",
            "-f",
            "s16le",
            "-ac",
            "1",
            "-ar",
            "48000",
            "-",
        ],
    );
    signal::onsets(bytes.as_chunks::<2>().0.iter().map(|sample| i16::from_le_bytes(*sample)))
}

/// Compares beeps with those of a source, `shift` seconds earlier.
pub fn same_beeps(output: &Path, source: &Path, shift: f64) {
    let want: Vec<f64> = onsets(source).into_iter().map(|t| t - shift).filter(|t| *t > 0.0).collect();
    let got = onsets(output);
    assert_eq!(got.len(), want.len(), "{got:?}, not {want:?}");
    for (got, want) in got.iter().zip(&want) {
        assert!((got - want).abs() < 1.0 / FPS, "a beep at {got} s, not {want} s");
    }
}
