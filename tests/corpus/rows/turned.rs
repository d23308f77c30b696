//! Turned, mirrored, and pixels that are not square, as each container says it.

use crate::kinds::{Kind, Turn, kind};
use crate::source::COLOR;

/// Writes the matrix of the first video track of an MP4 file (ISO/IEC 14496-12, 8.3.2).
fn matrix(mut bytes: Vec<u8>, m: [i32; 4]) -> Vec<u8> {
    let at = bytes.windows(4).position(|w| w == b"tkhd").unwrap() + 4;
    let at = at + if bytes[at] == 1 { 52 } else { 40 };
    let all = [m[0] << 16, m[1] << 16, 0, m[2] << 16, m[3] << 16, 0];
    for (n, v) in all.iter().enumerate() {
        bytes[at + n * 4..at + n * 4 + 4].copy_from_slice(&v.to_be_bytes());
    }
    bytes
}

/// Puts an orientation into a JPEG file (TIFF 6.0, big-endian: one field, 0x0112, SHORT).
fn exif(jpeg: Vec<u8>, orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = ((exif.len() + 2) as u16).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

pub fn rows() -> Vec<Kind> {
    let picture = |name| kind(name, "-frames:v 1 -q:v 2").frames(1, (25, 1)).silent().lasts(0.033);
    vec![
        kind("right.mp4", "H264 -c:a aac")
            .turn(Turn::Right)
            .size(128, 160)
            .patch(|b| matrix(b, [0, 1, -1, 0])),
        kind("half.mov", "H264 -c:a aac").turn(Turn::Half).patch(|b| matrix(b, [-1, 0, 0, -1])),
        kind("left.mov", "-c:v prores_ks -c:a pcm_s16le")
            .turn(Turn::Left)
            .size(128, 160)
            .patch(|b| matrix(b, [0, -1, 1, 0])),
        kind("mirror.mp4", "H264 -c:a aac").turn(Turn::Mirror).patch(|b| matrix(b, [-1, 0, 0, 1])),
        kind("flip.mp4", "H264 -c:a aac").turn(Turn::Flip).patch(|b| matrix(b, [1, 0, 0, -1])),
        kind("right.mkv", "H264 -c:a flac")
            .turn(Turn::Right)
            .size(128, 160)
            .then("stored.mkv", "mkvpropedit -q --edit track:v1 --set projection-pose-roll=-90"),
        picture("right.jpg").turn(Turn::Right).size(128, 160).patch(|b| exif(b, 6)).color(COLOR),
        picture("mirror.jpg").turn(Turn::Mirror).patch(|b| exif(b, 2)).color(COLOR),
        kind("sar.mp4", "-vf setsar=16/11 H264 -c:a aac").aspect(16.0 / 11.0),
        kind("sar.mkv", "-vf setsar=8/9 -c:v ffv1 -c:a flac").aspect(8.0 / 9.0),
        kind("sar.ts", "-vf setsar=16/11 -c:v mpeg2video -q:v 2 -aspect 16:9 -c:a mp2").aspect(4.0 / 3.0),
        kind("sar.avi", "-vf setsar=16/11 -c:v mpeg4 -q:v 2 -c:a pcm_s16le").aspect(16.0 / 11.0),
    ]
}
