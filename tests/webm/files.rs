//! Files: what is written is what others read.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gst::prelude::*;

use crate::media::*;
use crate::validate::{Expect, validate};

const FRAMES: u64 = 100;

fn check_file(codec: &str) {
    let file = path(&format!("{codec}.webm"));
    write(&format!("{codec}alphaenc keyframe-max-dist=30"), FRAMES, true, &file);

    // (c) the structure
    let bytes = std::fs::read(&file).unwrap();
    let parsed = validate(&bytes, Expect::Finished).unwrap();
    let codec_id = format!("V_{}", codec.to_uppercase());
    assert_eq!(parsed.tracks[0].codec, codec_id);
    assert!(parsed.tracks[0].alpha);
    let blocks = parsed.blocks(1);
    assert_eq!(blocks.len() as u64, FRAMES);
    for (block, n) in blocks.iter().zip(0..) {
        assert_eq!(block.time as u64, (time_of(n) + 500_000) / 1_000_000);
        assert_eq!(block.key, n % 30 == 0, "frame {n}");
    }
    assert_eq!(parsed.clusters.len(), 4, "key frames begin clusters");
    assert_eq!(parsed.cues, [0, 1000, 2000, 3000]);

    // (a) GStreamer
    let pictures = decode(&file);
    assert_eq!(pictures.len() as u64, FRAMES);
    let mut worst = f64::MAX;
    for (picture, n) in pictures.iter().zip(0..) {
        assert!(picture.time.abs_diff(time_of(n)) <= 500_000, "frame {n} at {}", picture.time);
        assert_eq!(number_in(&picture.luma, WIDTH), n);
        assert_eq!(number_in(&picture.alpha, WIDTH), n);
        worst = worst.min(psnr(&picture.alpha, &alpha_of(n)));
    }
    println!("{codec}: {} bytes, worst alpha PSNR {worst:.1} dB", bytes.len());
    assert!(worst >= 38.0, "{codec}: alpha PSNR {worst:.1} dB");

    // (b) ffmpeg
    let name = format!("{codec} by ffmpeg");
    let text = file.to_str().unwrap();
    if let Some(frames) = by_ffmpeg(&name, codec, &file) {
        assert_eq!(frames.len() as u64, FRAMES);
        for (frame, n) in frames.iter().zip(0..) {
            let alpha = &frame[WIDTH * HEIGHT * 3 / 2..];
            assert_eq!(number_in(frame, WIDTH), n);
            assert!(psnr(alpha, &alpha_of(n)) >= 38.0, "frame {n}");
        }
    }
    let arguments = ["-v", "warning", "-show_streams", "-show_packets", text];
    if let Some(output) = tool(&name, "ffprobe", "ffmpeg", &arguments) {
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("TAG:alpha_mode=1"), "{text}");
        assert_eq!(text.matches("[PACKET]\ncodec_type=video").count() as u64, FRAMES);
    }
    if let Some(output) = tool(&name, "mkvinfo", "mkvtoolnix", &["--all", text]) {
        let text = String::from_utf8_lossy(&output.stdout).to_lowercase();
        assert!(output.status.success());
        for bad in ["warning", "error", "corrupt"] {
            assert!(!text.contains(bad), "mkvinfo says {bad}");
        }
        assert!(text.contains("block additional"));
    }
}

#[test]
fn vp9_with_alpha_is_read_by_all() {
    init();
    check_file("vp9");
}

#[test]
fn vp8_with_alpha_is_read_by_all() {
    init();
    check_file("vp8");
}

/// (d)
#[test]
fn after_a_seek_colour_and_alpha_are_of_one_frame() {
    init();
    for codec in ["vp9", "vp8"] {
        let file = path(&format!("seek-{codec}.webm"));
        write(
            &format!("{codec}alphaenc keyframe-max-dist=17 deadline=realtime cpu-used=8"),
            300,
            false,
            &file,
        );
        let pipeline = launch(&format!(
            "filesrc location={} ! decodebin ! appsink name=sink sync=false",
            file.display()
        ));
        let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
        pipeline.set_state(gst::State::Paused).unwrap();
        pipeline.state(gst::ClockTime::from_seconds(20)).0.unwrap();
        for (place, frame) in [250, 3, 120, 51, 299, 77, 0, 180, 34, 211].into_iter().enumerate() {
            let exact = place % 2 == 0;
            let how = if exact { gst::SeekFlags::ACCURATE } else { gst::SeekFlags::KEY_UNIT };
            // The middle of the frame: block times are rounded to a millisecond.
            let time = gst::ClockTime::from_nseconds(time_of(frame) + 10_000_000);
            pipeline.seek_simple(gst::SeekFlags::FLUSH | how, time).unwrap();
            pipeline.state(gst::ClockTime::from_seconds(20)).0.unwrap();
            let picture = picture(&sink.pull_preroll().unwrap());
            let (colour, alpha) = (number_in(&picture.luma, WIDTH), number_in(&picture.alpha, WIDTH));
            assert_eq!(colour, alpha, "{codec}: stale alpha after a seek to frame {frame}");
            // A decoder cuts an exact seek's first frame short, to where the seek was.
            let (start, end) = (time_of(colour), time_of(colour + 1));
            assert!(picture.time + 500_000 >= start && picture.time < end, "{}", picture.time);
            let expected = if exact { frame } else { frame / 17 * 17 };
            assert_eq!(colour, expected, "{codec}: seek to frame {frame}");
        }
        pipeline.set_state(gst::State::Null).unwrap();
    }
}

/// (e)
#[test]
fn sound_and_picture_are_in_step() {
    in_step(10);
}

#[test]
#[ignore = "takes a while; run it by hand"]
fn sound_and_picture_are_in_step_after_a_minute() {
    in_step(60);
}

fn in_step(seconds: u64) {
    init();
    let file = path(&format!("sound-{seconds}.webm"));
    // 1 kHz begins with frame 0, 30, 60 and so on.
    write("vp9alphaenc deadline=realtime cpu-used=8", seconds * FPS, true, &file);
    let parsed = validate(&std::fs::read(&file).unwrap(), Expect::Finished).unwrap();
    assert_eq!(parsed.tracks[1].codec, "A_OPUS");
    println!(
        "duration {:?} ms, last audio {:?}",
        parsed.duration,
        parsed.blocks(2).last().map(|b| (b.time, b.discard))
    );

    let pipeline = launch(&format!(
        "filesrc location={} ! decodebin caps=audio/x-raw ! audioconvert ! \
         audio/x-raw,format=S16LE,channels=1,rate=48000 ! appsink name=sink sync=false",
        file.display()
    ));
    let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut samples = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let buffer = sample.buffer().unwrap();
        // Where the clock puts it, not where it lies in the row.
        let at = (buffer.pts().unwrap().nseconds() as f64 * 48e-6).round() as usize;
        samples.resize(at.max(samples.len()), 0);
        samples.truncate(at);
        let map = buffer.map_readable().unwrap();
        samples.extend(map.chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
    }
    pipeline.set_state(gst::State::Null).unwrap();
    check_onsets("GStreamer", &samples, seconds);
    let length = samples.len() as f64 / 48_000.0;
    assert!((length - seconds as f64).abs() < 0.03, "{length} s of sound");

    let arguments = [
        "-v",
        "warning",
        "-i",
        file.to_str().unwrap(),
        "-map",
        "0:a",
        "-af",
        "aresample=async=0",
        "-f",
        "s16le",
        "-",
    ];
    if let Some(output) = tool("sound by ffmpeg", "ffmpeg", "ffmpeg", &arguments) {
        let pairs = output.stdout.chunks(2);
        let samples: Vec<_> = pairs.map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        check_onsets("ffmpeg", &samples, seconds);
        println!("ffmpeg: {} s of sound", samples.len() as f64 / 48_000.0);
    }
}

fn check_onsets(who: &str, samples: &[i16], seconds: u64) {
    let onsets = crate::common::signal::onsets(samples.iter().copied());
    println!("{who}: tones at {onsets:.4?}");
    assert_eq!(onsets.len() as u64, seconds, "{who}: {onsets:?}");
    for (onset, second) in onsets.iter().zip(0..) {
        let off = (onset - f64::from(second)).abs();
        assert!(off < 0.002, "{who}: the tone of second {second} is at {onset}");
    }
}

/// (f)
#[test]
fn a_file_killed_half_way_plays() {
    init();
    // This test once more, as the process that writes and is killed.
    const WRITES: &str = "WEBM_CHILD";
    if let Ok(location) = std::env::var(WRITES) {
        let encoder = "vp9alphaenc deadline=realtime cpu-used=8 keyframe-max-dist=15";
        return write(encoder, u64::MAX / 2, false, std::path::Path::new(&location));
    }
    let file = path("killed.webm");
    let _ = std::fs::remove_file(&file);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "files::a_file_killed_half_way_plays"])
        .env(WRITES, &file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while std::fs::metadata(&file).map_or(0, |file| file.len()) < 300_000 {
        assert!(start.elapsed() < Duration::from_secs(60), "nothing was written");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let parsed = validate(&bytes, Expect::Cut).unwrap();
    let whole = parsed.blocks(1).len();
    println!("killed at {} bytes: {} whole clusters, {whole} frames", bytes.len(), parsed.clusters.len());
    assert!(whole >= 15);
    let text = file.to_str().unwrap();
    let arguments = ["-v", "error", "-c:v", "libvpx-vp9", "-i", text, "-f", "rawvideo", "-"];
    if let Some(output) = tool("killed file by ffmpeg", "ffmpeg", "ffmpeg", &arguments) {
        let frames = output.stdout.len() / (WIDTH * HEIGHT * 5 / 2);
        assert!(frames >= whole, "ffmpeg plays {frames} of {whole} frames");
    }
    // GStreamer too, and it must not fail at the broken end.
    let pictures = decode(&file);
    assert!(pictures.len() >= whole, "GStreamer plays {} of {whole} frames", pictures.len());
    for (picture, n) in pictures.iter().zip(0..) {
        assert_eq!(number_in(&picture.alpha, WIDTH), n % 1024);
    }
}

/// (g)
#[test]
fn a_stream_goes_through_a_pipe() {
    init();
    let (mut read, write) = std::io::pipe().unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&write);
    let pipeline = launch(&format!(
        "appsrc name=v ! vp9alphaenc keyframe-max-dist=30 ! webmalphamux name=m ! fdsink fd={fd} \
         appsrc name=s ! opusenc ! m."
    ));
    feed_video(&pipeline.by_name("v").unwrap(), 0..90);
    feed_sound(&pipeline.by_name("s").unwrap(), 3);
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        read.read_to_end(&mut bytes).unwrap();
        bytes
    });
    run(&pipeline).unwrap();
    drop(write);
    let bytes = reader.join().unwrap();
    let parsed = validate(&bytes, Expect::Stream).unwrap();
    assert_eq!(parsed.blocks(1).len(), 90);
    let file = path("stream.webm");
    std::fs::write(&file, &bytes).unwrap();
    let pictures = decode(&file);
    assert_eq!(pictures.len(), 90);
    assert!(pictures.iter().zip(0..).all(|(picture, n)| number_in(&picture.alpha, WIDTH) == n));
    let arguments = ["-v", "warning", "-show_streams", file.to_str().unwrap()];
    if let Some(output) = tool("stream by ffprobe", "ffprobe", "ffmpeg", &arguments) {
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[test]
fn streamable_is_obeyed_on_a_file_too() {
    init();
    let file = path("streamable.webm");
    let pipeline = launch(&format!(
        "videotestsrc num-buffers=30 ! vp8enc deadline=1 ! webmalphamux streamable=true ! \
         filesink location={}",
        file.display()
    ));
    run(&pipeline).unwrap();
    validate(&std::fs::read(&file).unwrap(), Expect::Stream).unwrap();
}

/// (h)
#[test]
fn without_alpha_it_is_a_normal_webm() {
    init();
    for (codec, audio, id) in [("vp9", "opus", "A_OPUS"), ("vp8", "vorbis", "A_VORBIS")] {
        let file = path(&format!("opaque-{codec}.webm"));
        let pipeline = launch(&format!(
            "videotestsrc num-buffers=60 ! {codec}enc deadline=1 cpu-used=8 keyframe-max-dist=20 ! \
             webmalphamux name=m writing-app=Tester ! filesink location={} \
             audiotestsrc num-buffers=86 ! {audio}enc ! m.",
            file.display()
        ));
        let tags = pipeline.by_name("m").unwrap().dynamic_cast::<gst::TagSetter>().unwrap();
        tags.add_tag::<gst::tags::Title>(&"Hello", gst::TagMergeMode::Append);
        tags.add_tag::<gst::tags::Artist>(&"Me", gst::TagMergeMode::Append);
        run(&pipeline).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        let parsed = validate(&bytes, Expect::Finished).unwrap();
        assert!(!parsed.tracks[0].alpha);
        assert_eq!(parsed.tracks[1].codec, id);
        let groups = parsed.segment.all("Cluster").flat_map(|cluster| cluster.all("BlockGroup"));
        assert!(groups.count() <= 1, "only the last sound may need a group");
        assert_eq!(parsed.blocks(1).len(), 60);
        assert_eq!(parsed.tag("TITLE"), Some("Hello"));
        assert_eq!(parsed.tag("ARTIST"), Some("Me"));
        let info = parsed.segment.get("Info").unwrap();
        assert_eq!(info.get("WritingApp").unwrap().text(), "Tester");
        let text = file.to_str().unwrap();
        let arguments = ["-v", "warning", "-i", text, "-f", "null", "-"];
        if let Some(output) = tool("opaque by ffmpeg", "ffmpeg", "ffmpeg", &arguments) {
            assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        }
        let pipeline = launch(&format!(
            "filesrc location={text} ! matroskademux name=d ! queue ! {codec}dec ! fakesink \
             d. ! queue ! {audio}dec ! fakesink"
        ));
        run(&pipeline).unwrap();
    }
}

#[test]
fn our_own_file_is_remuxed_to_the_bit() {
    init();
    let (from, to) = (path("remux-from.webm"), path("remux-to.webm"));
    write("vp9alphaenc keyframe-max-dist=30", 60, true, &from);
    let pipeline = launch(&format!(
        "filesrc location={} ! matroskademux name=d webmalphamux name=m ! filesink location={} \
         d.video_0 ! queue ! m.video_0 d.audio_0 ! queue ! m.audio_0",
        from.display(),
        to.display()
    ));
    run(&pipeline).unwrap();
    let before = validate(&std::fs::read(&from).unwrap(), Expect::Finished).unwrap();
    let after = validate(&std::fs::read(&to).unwrap(), Expect::Finished).unwrap();
    assert!(after.tracks[0].alpha);
    for track in [1, 2] {
        let (before, after) = (before.blocks(track), after.blocks(track));
        assert_eq!(before.len(), after.len());
        for (before, after) in before.iter().zip(after) {
            assert_eq!((&before.data, &before.alpha), (&after.data, &after.alpha));
            assert!(before.time.abs_diff(after.time) <= 1, "{} {}", before.time, after.time);
        }
    }
}
