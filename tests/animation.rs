//! `gifalphaenc` and `webpalphaenc` in a pipeline; what they write is read by other decoders.

mod common;

use common::*;
use gst::prelude::*;
use gst_video::VideoFormat;
use image::AnimationDecoder;

const W: u32 = 50;
const H: u32 = 30;

/// An RGBA frame with a disc at a place that its number tells; `padding` more bytes a row than needed.
fn disc(n: u64, (w, h): (u32, u32), padding: u32) -> gst::Buffer {
    init();
    let stride = w * 4 + padding;
    let mut data = vec![7u8; (stride * h) as usize];
    for y in 0..h {
        for x in 0..w {
            let inside = x.abs_diff(10 + n as u32 * 6).pow(2) + y.abs_diff(15).pow(2) < 60;
            let pixel = if inside { [220, 40, 90, 255] } else { [0; 4] };
            data[(y * stride + x * 4) as usize..][..4].copy_from_slice(&pixel);
        }
    }
    let mut buffer = gst::Buffer::from_mut_slice(data);
    {
        let buffer = buffer.get_mut().unwrap();
        buffer.set_pts(gst::ClockTime::from_mseconds(1000 + n * 40));
        buffer.set_duration(gst::ClockTime::from_mseconds(40));
        gst_video::VideoMeta::add_full(
            buffer,
            gst_video::VideoFrameFlags::empty(),
            VideoFormat::Rgba,
            w,
            h,
            &[0],
            &[stride as i32],
        )
        .unwrap();
    }
    buffer
}

/// What an encoder makes of frames, or the error on the bus. At a `None` the source is flushed.
fn encode(encoder: &str, frames: Vec<Option<(gst::Buffer, (u32, u32))>>) -> Result<Vec<u8>, String> {
    init();
    let line = format!("appsrc name=in format=time ! {encoder} ! appsink name=out sync=false");
    let pipeline = Running(gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap());
    let source = pipeline.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    for frame in frames {
        let Some((buffer, (w, h))) = frame else {
            // Until what was pushed before is in the encoder.
            while source.current_level_buffers() > 0 {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            source.send_event(gst::event::FlushStart::new());
            source.send_event(gst::event::FlushStop::builder(true).build());
            continue;
        };
        source.set_caps(Some(&info(VideoFormat::Rgba, w, h).to_caps().unwrap()));
        if source.push_buffer(buffer).is_err() {
            break;
        }
    }
    let _ = source.end_of_stream();
    let mut out = Vec::new();
    loop {
        if let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_mseconds(100)) {
            out.extend_from_slice(&sample.buffer().unwrap().map_readable().unwrap());
        } else if let Some(message) = pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error]) {
            let gst::MessageView::Error(e) = message.view() else { unreachable!() };
            return Err(e.error().to_string());
        } else if sink.is_eos() {
            return Ok(out);
        }
    }
}

/// The frames as they are seen, and for how many milliseconds. (WebP through libwebp's decoder: the image crate's,
/// 0.2.4 of image-webp, clears the wrong rectangle after a part of a frame that has no alpha of its own.)
fn read(encoder: &str, file: &[u8]) -> Vec<(Vec<u8>, u32)> {
    if encoder.starts_with("webp") {
        let mut last = 0;
        let frames = webp_animation::Decoder::new(file).unwrap().into_iter().collect::<Vec<_>>();
        let time = |end: i32| (end - std::mem::replace(&mut last, end)) as u32;
        return frames
            .iter()
            .map(|f| f.timestamp())
            .map(time)
            .zip(&frames)
            .map(|(t, f)| (f.data().to_vec(), t))
            .collect();
    }
    let frames = image::codecs::gif::GifDecoder::new(std::io::Cursor::new(file)).unwrap().into_frames();
    let frames = frames.collect_frames().unwrap().into_iter();
    frames.map(|f| (f.delay().numer_denom_ms().0, f)).map(|(t, f)| (f.into_buffer().into_raw(), t)).collect()
}

const ENCODERS: [&str; 3] = ["gifalphaenc", "webpalphaenc", "webpalphaenc lossless=true"];

#[test]
fn frames_with_padded_rows_come_out_where_they_were() {
    for encoder in ENCODERS {
        let frames = (0..5).map(|n| Some((disc(n, (W, H), 24), (W, H)))).collect();
        let file = encode(encoder, frames).unwrap();
        let shown = read(encoder, &file);
        assert_eq!(shown.len(), 5, "{encoder}");
        for (n, (pixels, time)) in shown.iter().enumerate() {
            assert_eq!(*time, 40, "{encoder}");
            let want = disc(n as u64, (W, H), 0);
            let want = want.map_readable().unwrap();
            for (got, want) in pixels.chunks_exact(4).zip(want.chunks_exact(4)) {
                assert_eq!(got[3], want[3], "{encoder}: frame {n}");
            }
        }
    }
}

#[test]
fn another_size_in_mid_stream_is_an_error() {
    for encoder in &ENCODERS[..2] {
        let frames = vec![
            Some((disc(0, (W, H), 0), (W, H))),
            Some((disc(1, (W, H), 0), (W, H))),
            Some((disc(2, (W + 10, H), 0), (W + 10, H))),
        ];
        let said = encode(encoder, frames).unwrap_err();
        assert!(said.contains("60×30") && said.contains("videoscale") && said.contains(encoder), "{said}");
    }
}

#[test]
fn after_a_flush_a_new_file_begins() {
    for encoder in &ENCODERS[..2] {
        let at = |n| Some((disc(n, (W, H), 0), (W, H)));
        let whole = encode(encoder, vec![at(3), at(4), at(5)]).unwrap();
        let flushed = encode(encoder, vec![at(0), at(1), None, at(3), at(4), at(5)]).unwrap();
        // What a GIF had written before the flush was sent before it, too.
        assert!(flushed.ends_with(&whole), "{encoder}: {} and {} bytes", flushed.len(), whole.len());
    }
}

#[test]
fn a_single_frame_is_a_file() {
    for encoder in &ENCODERS[..2] {
        let file = encode(encoder, vec![Some((disc(2, (W, H), 0), (W, H)))]).unwrap();
        if encoder.starts_with("gif") {
            assert_eq!(read(encoder, &file).len(), 1);
        } else {
            // libwebp makes a still picture of it.
            let picture = image::load_from_memory(&file).unwrap();
            assert_eq!((picture.width(), picture.height()), (W, H));
        }
    }
}
