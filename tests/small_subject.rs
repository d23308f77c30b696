//! A person who takes a fifth of the frame's height: with the network on the whole frame, and with it
//! on the region around the person.

mod common;

use common::*;
use gst_video::VideoFormat;
use image::{Rgba, RgbaImage, imageops};

const W: u32 = 1280;
const H: u32 = 720;

/// The portrait, cut out and small, walks through a room; frames, and the true alpha of the last.
fn clip(frames: u64) -> (Vec<gst::Buffer>, Vec<u8>) {
    let large = info(VideoFormat::Rgba, 512, 512);
    let (_, cut) =
        process("follow-subject=false", "video/x-raw,format=RGBA", &large, vec![portrait(&large, 0)])
            .unwrap();
    let cut = RgbaImage::from_raw(512, 512, cut[0].map_readable().unwrap().to_vec()).unwrap();
    let small = imageops::resize(&cut, H / 5, H / 5, imageops::FilterType::Triangle);
    let mut truth = vec![0; (W * H) as usize];
    let frames = (0..frames)
        .map(|n| {
            let mut room = RgbaImage::from_fn(W, H, |x, y| {
                Rgba([(x / 8 + 60) as u8, (y / 6 + 70) as u8, (90 + (x + y) / 16) as u8, 255])
            });
            let (x, y) = (500 + 7 * n as u32, 420);
            truth.fill(0);
            for (px, py, p) in small.enumerate_pixels() {
                let a = u32::from(p[3]);
                let under = room.get_pixel_mut(x + px, y + py);
                for c in 0..3 {
                    under[c] = ((u32::from(p[c]) * a + u32::from(under[c]) * (255 - a)) / 255) as u8;
                }
                truth[((y + py) * W + x + px) as usize] = p[3];
            }
            let mut buffer = gst::Buffer::from_mut_slice(room.into_raw());
            buffer.get_mut().unwrap().set_pts(gst::ClockTime::SECOND * n / 30);
            buffer
        })
        .collect();
    (frames, truth)
}

#[test]
fn is_seen_in_its_own_region() {
    init();
    // Nine windows are tried at most, one a frame; then some frames of following.
    let (frames, truth) = clip(24);
    let error = |props: &str| {
        let info = info(VideoFormat::Rgba, W, H);
        let (out, got) =
            process(&format!("output=matte {props}"), "video/x-raw,format=GRAY8", &info, frames.clone())
                .unwrap();
        assert_eq!(got.len(), frames.len());
        let alpha = Samples::new(got.last().unwrap(), &out).first();
        alpha.iter().zip(&truth).map(|(a, t)| f64::from(a.abs_diff(*t))).sum::<f64>() / truth.len() as f64
    };
    let (whole, region) = (error("follow-subject=false"), error(""));
    println!("mean alpha error: whole frame {whole:.3}, region {region:.3}");
    assert!(region < 0.6 * whole, "whole frame {whole:.3}, region {region:.3}");
}
