//! `videobackdrop`: what it puts out is compared with the definition, a·F + (1−a)·B.

mod common;

use common::*;
use gst::prelude::*;
use gst_video::{VideoFormat, VideoInfo};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const W: u32 = 64;
const H: u32 = 48;

/// A clip of one colour after the other, a tenth of a second each, coded without loss.
fn clip(name: &str, colors: &[[u8; 3]]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}.mkv", std::process::id()));
    let size = format!("{W}x{H}");
    let mut ffmpeg = Command::new("ffmpeg")
        .args([
            "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", &size, "-r", "10", "-i", "-",
        ])
        .args(["-c:v", "ffv1", "-pix_fmt", "gbrp"])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("ffmpeg (Debian package ffmpeg)");
    let mut input = ffmpeg.stdin.take().unwrap();
    for color in colors {
        input.write_all(&color.repeat((W * H) as usize)).unwrap();
    }
    drop(input);
    assert!(ffmpeg.wait().unwrap().success());
    path
}

/// Frames of one colour whose alpha rises from left to right, in milliseconds of running time.
fn slopes(info: &VideoInfo, times: &[u64]) -> Vec<gst::Buffer> {
    let rgba: Vec<u8> = (0..W * H).flat_map(|i| [200, 100, 50, (i % W * 4) as u8]).collect();
    times
        .iter()
        .map(|time| {
            let mut buffer = gst::Buffer::from_mut_slice(if info.format() == VideoFormat::Rgba {
                rgba.clone()
            } else {
                let y = vec![120u8; (W * H) as usize];
                let u = vec![90u8; (W * H / 4) as usize];
                let v = vec![170u8; (W * H / 4) as usize];
                [y, u, v, rgba.iter().skip(3).step_by(4).copied().collect()].concat()
            });
            let frame = buffer.get_mut().unwrap();
            frame.set_pts(gst::ClockTime::from_mseconds(*time));
            frame.set_duration(gst::ClockTime::from_mseconds(20));
            buffer
        })
        .collect()
}

fn run(
    location: Option<&Path>,
    info: &VideoInfo,
    frames: Vec<gst::Buffer>,
) -> Result<Vec<(VideoInfo, gst::Buffer)>, String> {
    init();
    let line = "appsrc name=in format=time ! videobackdrop name=b ! appsink name=out sync=false";
    let pipeline = Running(gst::parse::launch(line).unwrap().downcast::<gst::Pipeline>().unwrap());
    if let Some(location) = location {
        pipeline.by_name("b").unwrap().set_property("location", location.to_str().unwrap());
    }
    let source = pipeline.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    source.set_caps(Some(&info.to_caps().unwrap()));
    let error = || {
        let message = pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error])?;
        let gst::MessageView::Error(e) = message.view() else { unreachable!() };
        Some(e.error().to_string())
    };
    if pipeline.set_state(gst::State::Playing).is_err() {
        return Err(error().unwrap());
    }
    for frame in frames {
        let _ = source.push_buffer(frame);
    }
    let _ = source.end_of_stream();
    let mut out = Vec::new();
    loop {
        if let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_mseconds(100)) {
            let info = VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
            out.push((info, sample.buffer_owned().unwrap()));
        } else if let Some(error) = error() {
            return Err(error);
        } else if sink.is_eos() {
            return Ok(out);
        }
    }
}

#[test]
fn a_blend_by_the_definition_at_the_right_moment() {
    let rgb = [[255, 0, 0], [0, 255, 0], [0, 0, 255]];
    let clip = clip("blend", &rgb);
    for format in [VideoFormat::Rgba, VideoFormat::A420] {
        let info = info(format, W, H);
        // Uneven, and longer than two rounds of the clip.
        let times = [500, 520, 590, 610, 780, 799, 801, 930, 1150, 1395];
        let frames = slopes(&info, &times);
        let out = run(Some(&clip), &info, frames.clone()).unwrap();
        assert_eq!(out.len(), times.len());
        for ((shown, buffer), (time, input)) in out.iter().zip(times.iter().zip(&frames)) {
            assert_eq!(buffer.pts(), input.pts());
            assert!(!shown.has_alpha());
            // The clip begins with the first frame.
            let behind = numbers(shown, rgb[(time - 500) as usize / 100 % 3]);
            let (from, to) = (Samples::new(input, &info), Samples::new(buffer, shown));
            let alpha = from.alpha();
            for (i, c) in to.components.iter().enumerate() {
                for y in 0..c.height(H as usize) {
                    for x in 0..c.width(W as usize) {
                        let four = sharing(&alpha, W as usize, H as usize, c, x, y);
                        let a = four.iter().map(|a| f64::from(*a)).sum::<f64>() / four.len() as f64 / 255.0;
                        let want = a * f64::from(from.at(&from.components[i], x, y)) + (1.0 - a) * behind[i];
                        let got = f64::from(to.at(c, x, y));
                        assert!(
                            (got - want).abs() <= 4.0,
                            "{format:?} {time} ms {i} {x},{y}: {got}, not {want}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_played_says_so() {
    let info = info(VideoFormat::A420, W, H);
    let frames = || slopes(&info, &[0, 20]);
    let said = run(None, &info, frames()).unwrap_err();
    assert!(said.contains("location"), "{said}");
    let said = run(Some(Path::new("/no/such/beach.mp4")), &info, frames()).unwrap_err();
    assert!(said.contains("/no/such/beach.mp4"), "{said}");
    let said = run(Some(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))), &info, frames())
        .unwrap_err();
    assert!(said.contains("Cargo.toml") && said.contains("cannot be played"), "{said}");
}

#[test]
fn a_clip_of_one_frame_stands_still() {
    let clip = clip("still", &[[0, 0, 255]]);
    let info = info(VideoFormat::Rgba, W, H);
    let out = run(Some(&clip), &info, slopes(&info, &[0, 500, 2000])).unwrap();
    for (shown, buffer) in &out {
        let samples = Samples::new(buffer, shown);
        assert!(samples.at(&samples.components[2], 0, 0) > 250);
    }
    assert_eq!(out.len(), 3);
}

/// A clip whose decoder takes its file and never gives a frame, nor stops when it is told to.
struct Never {
    _file: tempfile::NamedTempFile,
    path: String,
    /// A word each time that a decoder has taken the file.
    taken: mpsc::Receiver<()>,
    release: Arc<AtomicBool>,
}

/// Lets the decoder go when it goes.
struct Release(Arc<AtomicBool>);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Never {
    fn new() -> Self {
        init();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"NEVER").unwrap();
        file.write_all(&[0; 4096]).unwrap();
        let (sender, taken) = mpsc::channel();
        let release = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&release);
        let find = move |find: &mut gst::TypeFind| {
            if find.peek(0, 5) == Some(b"NEVER") {
                let _ = sender.send(());
                while !until.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        };
        let rank = gst::Rank::PRIMARY + 100;
        gst::TypeFind::register(None, "never", rank, None, None, find).unwrap();
        let path = file.path().to_str().unwrap().to_string();
        Self { _file: file, path, taken, release }
    }

    /// Until the element waits for the clip.
    fn wait(&self) {
        self.taken.recv_timeout(Duration::from_secs(20)).expect("the clip is opened");
        // It does not matter whether the element has come from opening it to waiting.
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Does something that has to come back although the clip does not: the wait itself gives up after half a minute.
fn promptly(what: &str, f: impl FnOnce() + Send + 'static) {
    let (sender, done) = mpsc::channel();
    std::thread::spawn(move || {
        f();
        sender.send(())
    });
    assert!(done.recv_timeout(Duration::from_secs(10)).is_ok(), "{what}: it is held up by the clip");
}

#[test]
fn a_clip_that_gives_nothing_holds_up_no_flush_seek_deactivation_or_end() {
    let never = Never::new();
    let info = info(VideoFormat::Rgba, W, H);
    let line = "appsrc name=in format=time stream-type=seekable ! videobackdrop name=b ! appsink name=out sync=false";
    let pipeline = Running(gst::parse::launch(line).unwrap().downcast::<gst::Pipeline>().unwrap());
    let backdrop = pipeline.by_name("b").unwrap();
    backdrop.set_property("location", &never.path);
    let source = pipeline.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    source.set_caps(Some(&info.to_caps().unwrap()));
    let (sender, sought) = mpsc::channel();
    source.set_callbacks(
        gst_app::AppSrcCallbacks::builder().seek_data(move |_, to| sender.send(to).is_ok()).build(),
    );
    // Before the pipeline goes, also when something fails here.
    let _release = Release(Arc::clone(&never.release));
    pipeline.set_state(gst::State::Playing).unwrap();
    let push = || source.push_buffer(slopes(&info, &[0]).remove(0)).unwrap();

    push();
    never.wait();
    while sought.try_recv().is_ok() {}
    let own = pipeline.clone();
    promptly("a flushing seek", move || {
        own.seek_simple(gst::SeekFlags::FLUSH, gst::ClockTime::from_mseconds(700)).unwrap();
    });
    assert_eq!(sought.recv_timeout(Duration::from_secs(10)), Ok(700_000_000), "the seek goes its way");

    push();
    never.wait();
    // Without a pause in between: the flush is over before anybody can look whether there is one.
    let pad = backdrop.static_pad("sink").unwrap();
    promptly("a flush", move || {
        pad.send_event(gst::event::FlushStart::new());
        pad.send_event(gst::event::FlushStop::new(false));
    });
    assert_eq!(
        pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error]).map(|m| format!("{m:?}")),
        None
    );

    promptly("the end", {
        let own = pipeline.clone();
        move || {
            let _ = own.set_state(gst::State::Null);
        }
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    push();
    never.wait();
    let pad = backdrop.static_pad("sink").unwrap();
    promptly("a deactivation", move || pad.set_active(false).unwrap());
    promptly("the end after it", {
        let own = pipeline.clone();
        move || {
            let _ = own.set_state(gst::State::Null);
        }
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    push();
    never.wait();
    promptly("the end while it waits", move || drop(pipeline));
}
