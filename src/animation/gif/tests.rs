//! What is written is read again with the image crate's decoder, which paints the frames as a browser does.

use super::*;
use image::AnimationDecoder;
use image::codecs::gif::GifDecoder;
use std::time::Duration;

const W: usize = 60;
const H: usize = 40;

fn rgba(data: &[u8]) -> Rgba<'_> {
    Rgba { width: W, height: H, data }
}

/// A shaded disc at `cx` over nothing, or over a shaded wall.
fn disc(cx: usize, wall: bool) -> Vec<u8> {
    (0..W * H)
        .flat_map(|i| {
            let (x, y) = (i % W, i / W);
            let inside = x.abs_diff(cx).pow(2) + y.abs_diff(20).pow(2) < 120;
            match (inside, wall) {
                (true, _) => [200, (y * 5) as u8, 60, 255],
                (false, true) => [(x * 4) as u8, 90, (y * 3) as u8, 255],
                (false, false) => [0; 4],
            }
        })
        .collect()
}

fn write(frames: &[Vec<u8>], times: &[u64], end: u64, options: &Options) -> Vec<u8> {
    let mut writer = Writer::new(W, H, options).unwrap();
    let mut file = Vec::new();
    for (frame, time) in frames.iter().zip(times) {
        file.extend(writer.add(rgba(frame), *time).unwrap().unwrap_or_default());
    }
    file.extend(writer.finish(end).unwrap());
    file
}

/// The pictures as they are seen, and how long each is.
fn read(file: &[u8]) -> Vec<(Vec<u8>, u64)> {
    let decoder = GifDecoder::new(std::io::Cursor::new(file)).unwrap();
    let frames = decoder.into_frames().collect_frames().unwrap();
    let time = |f: &image::Frame| Duration::from(f.delay()).as_millis() as u64;
    frames.into_iter().map(|f| (time(&f), f)).map(|(t, f)| (f.into_buffer().into_raw(), t)).collect()
}

fn check(shown: &[u8], want: &[u8], what: &str) {
    let mut off = 0;
    for (i, (got, want)) in shown.chunks_exact(4).zip(want.chunks_exact(4)).enumerate() {
        assert_eq!(got[3] > 0, want[3] >= 128, "{what}, pixel {},{}: {got:?}", i % W, i / W);
        if want[3] >= 128 {
            off += got[..3].iter().zip(want).map(|(g, w)| u32::from(g.abs_diff(*w))).sum::<u32>();
        }
    }
    let pixels = want.chunks_exact(4).filter(|p| p[3] >= 128).count().max(1);
    assert!(off as f64 / (pixels as f64) < 15.0, "{what}: colours are off by {}", off as f64 / pixels as f64);
}

#[test]
fn a_moving_disc_leaves_no_trail() {
    for wall in [false, true] {
        let frames: Vec<_> = (0..8).map(|n| disc(12 + n * 5, wall)).collect();
        let times: Vec<u64> = (0..8).map(|n| 7_000_000_000 + n * 1_000_000_000 / 30).collect();
        let end = times[7] + 1_000_000_000 / 30;
        let shown = read(&write(&frames, &times, end, &Options::default()));
        assert_eq!(shown.len(), 8);
        for (n, ((got, _), want)) in shown.iter().zip(&frames).enumerate() {
            check(got, want, &format!("wall {wall}, frame {n}"));
        }
        // 30 frames a second do not fit hundredths; the error is carried, not added up.
        let delays: Vec<u64> = shown.iter().map(|(_, t)| *t).collect();
        assert_eq!(delays, [30, 40, 30, 30, 40, 30, 30, 40]);
    }
}

#[test]
fn variable_times_and_frames_too_many() {
    let frames: Vec<_> = (0..4).map(|n| disc(12 + n * 5, false)).collect();
    let shown = read(&write(
        &frames,
        &[0, 500_000_000, 505_000_000, 1_200_000_000],
        1_300_000_000,
        &Options::default(),
    ));
    assert_eq!(shown.iter().map(|(_, t)| *t).collect::<Vec<_>>(), [500, 700, 100]);
    check(&shown[1].0, &frames[1], "the frame that stayed");
    check(&shown[2].0, &frames[3], "the frame after the one left out");
}

#[test]
fn what_stands_still_is_not_written_again() {
    let still = disc(30, true);
    // Noise of a camera.
    let noisy: Vec<u8> = still
        .iter()
        .enumerate()
        .map(|(i, v)| if i % 4 == 3 { *v } else { v.saturating_add((i % 3) as u8) })
        .collect();
    let times = [0, 100_000_000, 200_000_000];
    let one = write(std::slice::from_ref(&still), &times[..1], 100_000_000, &Options::default()).len();
    let three = write(&[still.clone(), noisy, still], &times, 300_000_000, &Options::default());
    assert!(three.len() < one + 200, "{} bytes, one frame alone {one}", three.len());
    assert_eq!(read(&three).len(), 3);
}

#[test]
fn a_cut_brings_its_own_palette() {
    let red: Vec<u8> = (0..W * H).flat_map(|i| [(i % 256) as u8, 0, 0, 255]).collect();
    let blue: Vec<u8> = (0..W * H).flat_map(|i| [0, (i % 64) as u8, (i % 256) as u8, 255]).collect();
    let frames = [red, blue];
    let shown =
        read(&write(&frames, &[0, 100_000_000], 200_000_000, &Options { dither: 0.0, ..Options::default() }));
    for ((got, _), want) in shown.iter().zip(&frames) {
        check(got, want, "each with its own colours");
    }
}

#[test]
fn repeats_as_asked() {
    let frames = [disc(20, false), disc(30, false)];
    let repeat = |loops| {
        let file = write(&frames, &[0, 100_000_000], 200_000_000, &Options { loops, ..Options::default() });
        let reader = gif::DecodeOptions::new().read_info(std::io::Cursor::new(file)).unwrap();
        reader.repeat()
    };
    assert_eq!(repeat(0), Repeat::Infinite);
    assert_eq!(repeat(1), Repeat::Finite(0));
    assert_eq!(repeat(3), Repeat::Finite(2));
}

#[test]
fn nothing_at_all_is_a_file_too() {
    let shown = read(&write(&[vec![0; W * H * 4]], &[0], 40_000_000, &Options::default()));
    assert_eq!(shown.len(), 1);
    assert!(shown[0].0.chunks_exact(4).all(|p| p[3] == 0));
    assert!(Writer::new(W, H, &Options::default()).unwrap().finish(0).is_err());
    assert!(Writer::new(70_000, 4, &Options::default()).is_err_and(|e| e.contains("65535")));
}
