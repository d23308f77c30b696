//! Containers, and what has none.

use crate::kinds::{Kind, kind};
use crate::source::COLOR;

pub fn rows() -> Vec<Kind> {
    vec![
        kind("h264.mp4", "H264 -c:a aac"),
        kind("fragmented.mp4", "H264 -g 10 -c:a aac -movflags frag_keyframe+empty_moov").moved(),
        kind("index-first.mp4", "H264 -c:a aac -movflags +faststart"),
        kind("h264.mov", "H264 -c:a pcm_s16le"),
        kind("h264.mkv", "H264 -c:a flac"),
        kind(
            "vp9.webm",
            "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -crf 8 -b:v 0 -pix_fmt yuv420p -c:a libopus",
        ),
        kind("mpeg4.avi", "-c:v mpeg4 -q:v 2 -c:a libmp3lame").moved(),
        kind("h264.ts", "H264 -c:a aac"),
        kind("h264.m2ts", "H264 -c:a ac3"),
        kind("h264.flv", "H264 -c:a aac -ar 44100"),
        kind("mpeg4.3gp", "-c:v mpeg4 -q:v 2 -c:a aac"),
        kind("h263.3gp", "-c:v h263 -q:v 2 -c:a aac").size(176, 144).aspect(12.0 / 11.0),
        kind("mpeg2.mxf", "-c:v mpeg2video -q:v 2 -c:a pcm_s16le"),
        kind("theora.ogv", "-c:v libtheora -q:v 10 -c:a libvorbis"),
        kind("mpeg2.mpg", "-c:v mpeg2video -q:v 2 -c:a mp2"),
        kind("wmv2.wmv", "-c:v wmv2 -q:v 2 -c:a wmav2"),
        kind("animated.gif", "").silent().told("all", "it is an animated GIF"),
        kind("plain.y4m", "-pix_fmt yuv420p").silent(),
        kind("raw.h264", "H264").silent(),
        kind(
            "raw.hevc",
            "-c:v libx265 -preset veryfast -crf 10 -pix_fmt yuv420p -x265-params log-level=error",
        )
        .silent(),
        kind("raw.mjpeg", "-c:v mjpeg -q:v 2").silent().with("--fps 25"),
        kind("no-times.mjpeg", "-c:v mjpeg -q:v 2").silent().told("all", "its frames have no times: --fps N"),
        kind("raw.m4v", "-c:v mpeg4 -q:v 2").silent(),
        kind("raw.m2v", "-c:v mpeg2video -q:v 2").silent(),
        kind("vp8.ivf", "-c:v libvpx -threads 1 -deadline realtime -crf 8 -b:v 2M -pix_fmt yuv420p").silent(),
        kind("pictures", "").silent().color(COLOR).told("all", "it is a folder of pictures"),
        kind("picture.png", "-frames:v 1").frames(1, (25, 1)).silent().lasts(0.033),
        kind("picture.jpg", "-frames:v 1 -q:v 2").frames(1, (25, 1)).silent().lasts(0.033),
        kind("picture.webp", "-frames:v 1 -c:v libwebp -lossless 1").frames(1, (25, 1)).silent().lasts(0.033),
        kind("picture.bmp", "-frames:v 1 -pix_fmt bgr24")
            .frames(1, (25, 1))
            .silent()
            .lasts(0.033)
            .told("all", "it is a BMP picture"),
        kind("picture.tiff", "-frames:v 1 -pix_fmt rgb24")
            .frames(1, (25, 1))
            .silent()
            .lasts(0.033)
            .told("all", "it is a TIFF picture"),
    ]
}
