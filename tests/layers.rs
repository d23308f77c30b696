//! The layers of a frame: what `layerextract` takes off belongs to the frame's own matte, holds nothing of the subject, and
//! shows the room where it has been seen. The truth is painted: a disc of one colour before a room, which a network of one
//! operator finds.

mod common;

use common::onnx::Onnx;
use common::*;
use gst::prelude::*;
use gst_video::{VideoFormat, VideoInfo};
use std::path::Path;

const W: usize = 320;
const H: usize = 192;
/// The subject, which is redder than anything of the room.
const SUBJECT: [u8; 3] = [255, 20, 200];
const RADIUS: f64 = 36.0;

/// The room: soft, with an object here and there, and no red above 100.
fn room(x: usize, y: usize) -> [u8; 3] {
    let wave = |v: usize, s: f64| (40.0 * ((v as f64) / s).sin() + 45.0) as u8;
    let step = if (x / 22 + y / 26).is_multiple_of(2) { 90 } else { 0 };
    [wave(x + y, 17.0), 60 + step, wave(2 * y + 3 * x, 23.0) + 40]
}

/// How much of a pixel the disc takes where it stands in frame `n`: it walks to the right and back.
fn covers(x: usize, y: usize, n: u64) -> f64 {
    let way = (n as f64 * 6.0) % 320.0;
    let centre = 80.0 + if way < 160.0 { way } else { 320.0 - way };
    let (dx, dy) = (x as f64 + 0.5 - centre, y as f64 + 0.5 - 96.0);
    (RADIUS + 0.5 - (dx * dx + dy * dy).sqrt()).clamp(0.0, 1.0)
}

fn picture(n: u64) -> Vec<[u8; 3]> {
    let pixel = |i: usize| {
        let (x, y) = (i % W, i / W);
        let a = covers(x, y, n);
        let behind = room(x, y);
        [0, 1, 2].map(|k| (f64::from(SUBJECT[k]) * a + f64::from(behind[k]) * (1.0 - a)).round() as u8)
    };
    (0..W * H).map(pixel).collect()
}

/// A frame in RGB, RGBA, or I420 of full range.
fn frame(info: &VideoInfo, n: u64) -> gst::Buffer {
    let picture = picture(n);
    let mut data = vec![255u8; info.size()];
    match info.format() {
        VideoFormat::Rgbx | VideoFormat::Rgba => {
            data.chunks_exact_mut(4).zip(&picture).for_each(|(to, p)| to[..3].copy_from_slice(p));
        }
        VideoFormat::I420 => {
            for (i, p) in picture.iter().enumerate() {
                data[i] = numbers(info, *p)[0].round() as u8;
            }
            for (i, (x, y)) in (0..W * H / 4).map(|i| (i, (i % (W / 2), i / (W / 2)))) {
                let four =
                    [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(a, b)| picture[(2 * y + b) * W + 2 * x + a]);
                for k in [1, 2] {
                    let mean = four.iter().map(|p| numbers(info, *p)[k]).sum::<f64>() / 4.0;
                    data[W * H + (k - 1) * W * H / 4 + i] = mean.round() as u8;
                }
            }
        }
        other => panic!("{other:?}"),
    }
    let mut buffer = gst::Buffer::from_mut_slice(data);
    let own = buffer.get_mut().unwrap();
    own.set_pts(gst::ClockTime::from_mseconds(33) * n);
    own.set_duration(gst::ClockTime::from_mseconds(33));
    buffer
}

/// A network that finds the disc: red, from 110 to 250 of 255.
fn network(folder: &Path) -> String {
    let onnx = Onnx::colored([255.0 / 140.0, 0.0, 0.0], -110.0 / 140.0, W as i64, H as i64);
    let path = onnx.save(folder, "disc.onnx");
    format!("model={} model-options=\"options,fit=stretch,activation=none\"", path.display())
}

/// Frames through `bgremove PROPS ! WANT`.
fn run(props: &str, want: &str, format: VideoFormat, frames: u64) -> (VideoInfo, Vec<gst::Buffer>) {
    let folder = tempfile::tempdir().unwrap();
    let mut info = info(format, W as u32, H as u32);
    if info.is_yuv() {
        let full = "1:3:5:1".parse::<gst_video::VideoColorimetry>().unwrap();
        info = VideoInfo::builder(format, W as u32, H as u32)
            .fps(info.fps())
            .colorimetry(&full)
            .build()
            .unwrap();
    }
    let props = format!("{} follow-subject=false {props}", network(folder.path()));
    process(&props, want, &info, (0..frames).map(|n| frame(&info, n)).collect()).unwrap()
}

/// What is left of a picture's sample of the room, by component.
fn room_numbers(info: &VideoInfo, x: usize, y: usize) -> [f64; 3] {
    numbers(info, room(x, y))
}

#[test]
fn the_background_is_what_the_matte_leaves_and_holds_nothing_of_the_subject() {
    for (format, made) in [
        (VideoFormat::Rgbx, VideoFormat::Rgba),
        (VideoFormat::I420, VideoFormat::A420),
        (VideoFormat::Rgba, VideoFormat::Rgba),
    ] {
        let (_, mattes) = run("layers=matte", "layerextract layer=matte", format, 6);
        let (info, rooms) = run("layers=matte+background", "layerextract layer=background", format, 6);
        assert_eq!((info.format(), rooms.len(), mattes.len()), (made, 6, 6));
        let (_, same) = run("output=background", &format!("video/x-raw,format={}", made.to_str()), format, 6);
        for (n, ((room, matte), same)) in rooms.iter().zip(&mattes).zip(&same).enumerate() {
            assert_eq!(room.pts(), Some(gst::ClockTime::from_mseconds(33) * n as u64));
            assert_eq!((room.pts(), room.duration()), (matte.pts(), matte.duration()));
            let matte = matte.map_readable().unwrap();
            assert!(matte.contains(&0) && matte.contains(&255));
            let seen = Samples::new(room, &info);
            let alpha = seen.alpha();
            assert!(
                alpha.iter().zip(matte.iter()).all(|(a, m)| *a == 255 - m),
                "frame {n}: alpha is 1 − matte"
            );
            assert_eq!(
                room.map_readable().unwrap(),
                same.map_readable().unwrap(),
                "output=background is the layer"
            );
            // No sample, seen or hidden, is the subject's: halfway to it at most, in red or in the difference of red.
            for (x, y) in (0..W).flat_map(|x| (0..H).map(move |y| (x, y))) {
                let k = if info.is_yuv() { 2 } else { 0 };
                let c = seen.components[k];
                let got = f64::from(seen.at(&c, x >> c.hsub, y >> c.vsub));
                let (own, subject) = (room_numbers(&info, x, y)[k], numbers(&info, SUBJECT)[k]);
                let hidden = alpha[y * W + x] == 0;
                assert!(
                    got < own.max(if info.is_yuv() { 128.0 } else { 100.0 }) * 0.5 + subject * 0.5,
                    "{format:?} {n} {x},{y} (hidden: {hidden}): {got}, room {own}"
                );
            }
        }
    }
}

#[test]
fn the_plate_is_the_room_where_it_has_been_seen() {
    const FRAMES: u64 = 60;
    for (format, made, props) in [
        (VideoFormat::Rgbx, VideoFormat::Rgba, ""),
        (VideoFormat::I420, VideoFormat::A420, ""),
        (VideoFormat::I420, VideoFormat::I420, "background=blur"),
        // Remembered in one colour model, shown in the other.
        (VideoFormat::I420, VideoFormat::Rgba, "! video/x-raw,format=RGBA"),
    ] {
        let of = if let Some(caps) = props.strip_prefix("! ") {
            ("layers=plate".to_string(), format!("{caps} ! "))
        } else {
            (format!("layers=plate {props}"), String::new())
        };
        let (info, plates) = run(&of.0, &format!("{}layerextract layer=plate", of.1), format, FRAMES);
        assert_eq!((info.format(), plates.len()), (made, FRAMES as usize));
        assert!(Samples::new(&plates[0], &info).alpha().iter().all(|a| *a == 255));
        // It has walked to the right and back by then: all has been seen but what it hid at first and does again.
        let last = FRAMES - 20;
        // Colours of which four pixels share one, in red, green and blue.
        let own = if info.is_rgb() && format == VideoFormat::I420 { 40.0 } else { 1.0 };
        let plate = Samples::new(&plates[last as usize], &info);
        let (mut hidden, mut off, mut inside) = (0, 0, 0.0);
        for (x, y) in (0..W).flat_map(|x| (0..H).map(move |y| (x, y))) {
            for (k, c) in plate.components.iter().enumerate().filter(|(_, c)| c.hsub == 0) {
                let got = f64::from(plate.at(c, x, y));
                let wrong = (got - room_numbers(&info, x, y)[k]).abs();
                let covered = covers(x, y, last);
                if covered == 0.0 {
                    // Of what is in sight, all stays: the matte's edge may take a pixel or two.
                    let near = (0..8).any(|i| covers(x.saturating_sub(4).min(W - 9) + i, y, last) > 0.0);
                    assert!(wrong <= own || near || y.abs_diff(96) as f64 > RADIUS - 6.0, "{x},{y}: {wrong}");
                } else {
                    hidden += 1;
                    inside += wrong;
                    off += usize::from(wrong > 24.0);
                }
            }
        }
        let mean = inside / f64::from(hidden);
        assert!(
            hidden > 3000
                && mean < 6.0 + own / 5.0
                && f64::from(off as u32) < 0.05 * own.clamp(1.0, 4.0) * f64::from(hidden),
            "{format:?}: {mean} {off} of {hidden}"
        );
    }
}

#[test]
fn what_is_not_remembered_is_filled_from_around_or_by_the_background() {
    // The first frame: nothing is known but what is in sight.
    let (info, plates) = run("layers=plate", "layerextract layer=plate", VideoFormat::Rgbx, 1);
    let plate = Samples::new(&plates[0], &info);
    let red = plate.at(&plate.components[0], 80, 96);
    assert!(red < 100, "the room's colours: {red}");
    let (info, out) = run("output=background background=#204060", "identity", VideoFormat::Rgbx, 1);
    let out = Samples::new(&out[0], &info);
    let middle = [0, 1, 2].map(|k| out.at(&out.components[k], 80, 96));
    assert_eq!(middle, [0x20, 0x40, 0x60]);
    let beside = [0, 1, 2].map(|k| out.at(&out.components[k], 250, 30));
    assert_eq!(beside, room(250, 30));
}

#[test]
fn all_layers_of_a_tee_are_of_one_inference_and_in_step() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let line = format!(
        "appsrc name=in format=time ! bgremove name=bg {} layers=matte+background+plate ! tee name=t \
         t. ! queue ! appsink name=cut sync=false async=false \
         t. ! queue ! layerextract layer=matte ! appsink name=matte sync=false async=false \
         t. ! queue ! layerextract layer=background ! appsink name=background sync=false async=false \
         t. ! queue ! layerextract layer=plate ! appsink name=plate sync=false async=false",
        network(folder.path())
    );
    let pipeline = Running(gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap());
    let info = info(VideoFormat::Rgbx, W as u32, H as u32);
    let source = pipeline.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    source.set_caps(Some(&info.to_caps().unwrap()));
    pipeline.set_state(gst::State::Playing).unwrap();
    // Unevenly spaced.
    let times: Vec<u64> = (0..12u64).map(|n| n * 40 + n * n * 7).collect();
    for (n, ms) in times.iter().enumerate() {
        let mut buffer = frame(&info, n as u64);
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(*ms));
        source.push_buffer(buffer).unwrap();
    }
    source.end_of_stream().unwrap();
    let mut all: Vec<Vec<gst::Buffer>> = Vec::new();
    for name in ["cut", "matte", "background", "plate"] {
        let sink = pipeline.by_name(name).unwrap().downcast::<gst_app::AppSink>().unwrap();
        all.push(std::iter::from_fn(|| sink.pull_sample().ok()?.buffer_owned()).collect());
    }
    for layer in &all {
        let came: Vec<u64> = layer.iter().map(|b| b.pts().unwrap().mseconds()).collect();
        assert_eq!(came, times);
    }
    let alpha = |buffer: &gst::Buffer| -> Vec<u8> {
        buffer.map_readable().unwrap().chunks_exact(4).map(|p| p[3]).collect()
    };
    for ((cut, matte), room) in all[0].iter().zip(&all[1]).zip(&all[2]) {
        let (cut, room, matte) = (alpha(cut), alpha(room), matte.map_readable().unwrap());
        assert_eq!(cut, &matte[..]);
        assert!(cut.iter().zip(room).all(|(c, r)| c + r == 255));
    }
    let stats = pipeline.by_name("bg").unwrap().property::<gst::Structure>("stats");
    assert_eq!(stats.get::<u64>("inferences"), Ok(12), "one for each frame, whatever is made of it");
}

#[test]
fn what_carries_no_layer_is_refused_in_words() {
    let info = info(VideoFormat::Rgbx, W as u32, H as u32);
    let folder = tempfile::tempdir().unwrap();
    let own = network(folder.path());
    let run = |props: &str, want: &str| {
        process(&format!("{own} {props}"), want, &info, vec![frame(&info, 0)]).expect_err("an error")
    };
    let text = run("layers=matte", "layerextract layer=plate");
    assert!(text.contains("layers=plate"), "{text}");
    // Another size, or other colours, are other frames.
    for between in ["videoscale ! video/x-raw,width=160,height=96", "videoflip video-direction=180"] {
        let text = run("layers=plate", &format!("{between} ! layerextract layer=plate"));
        assert!(text.contains("nothing but tee and queue"), "{between}: {text}");
    }
}
