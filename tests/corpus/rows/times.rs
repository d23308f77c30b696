//! Frame rates, and times that are uneven, late, negative, out of order or missing.

use crate::kinds::{Kind, kind};

/// Frames that a recording of uneven rate keeps.
fn some(n: usize) -> bool {
    n.is_multiple_of(7) || n.is_multiple_of(5) || n == 3
}

/// Pictures that stand for ten seconds each; no part of them begins where one does.
fn slides(name: &'static str, with: &'static str) -> Kind {
    let sound = if name.ends_with("mp4") { "aac" } else { "flac" };
    let make = format!("-vf setpts=N*10/TB -fps_mode passthrough H264 -c:a {sound}");
    kind(name, make.leak()).frames(3, (25, 1)).sound(0.0, 30.0).with(with)
}

pub fn rows() -> Vec<Kind> {
    let ticks = "-fps_mode vfr -enc_time_base 1/90000 H264 -x264-params fps=90000:force-cfr=0 -c:a aac";
    let uneven = "-vf select='not(mod(n,7))+not(mod(n,5))+eq(n,3)' -fps_mode vfr H264 -c:a aac";
    vec![
        kind("slow.mp4", "H264 -c:a aac").frames(3, (1, 5)),
        kind("slow.mkv", "H264 -c:a flac").frames(3, (1, 5)),
        kind("ntsc.mp4", "H264 -c:a aac").frames(60, (30000, 1001)),
        kind("fast.mp4", "H264 -c:a aac").frames(120, (240, 1)),
        kind("thousand.mkv", "H264").frames(100, (1000, 1)).silent(),
        kind("ticks.mp4", ticks),
        kind("uneven.mp4", uneven).keep(some),
        kind("uneven.mkv", uneven).keep(some).moved(),
        kind(
            "uneven.flv",
            "-vf select='not(mod(n,7))+not(mod(n,5))+eq(n,3)' -fps_mode vfr H264 -c:a aac -ar 44100",
        )
        .keep(some),
        kind("gap.mkv", "-vf select='not(between(n,10,34))' -fps_mode vfr H264 -c:a aac")
            .keep(|n| !(10..=34).contains(&n))
            .moved(),
        kind("gap.ts", "-vf select='not(between(n,10,34))' -fps_mode vfr H264 -c:a aac")
            .keep(|n| !(10..=34).contains(&n))
            .told("all", "its clock (PCR) stands still"),
        kind("stands.mkv", "-vf select='lt(n,10)+eq(n,49)' -fps_mode vfr H264 -c:a aac")
            .keep(|n| n < 10 || n == 49)
            .moved(),
        kind("stands-last.flv", "-vf select='lt(n,10)' -fps_mode vfr H264 -c:a aac -ar 44100")
            .keep(|n| n < 10),
        kind("stands-last.wmv", "-vf select='lt(n,10)' -fps_mode vfr -c:v wmv2 -q:v 2 -c:a wmav2")
            .keep(|n| n < 10),
        kind("into-standing.mp4", "-vf select='lt(n,10)+gt(n,39)' -fps_mode vfr H264 -c:a aac")
            .with("--start 1")
            .keep(|n| n == 9 || n > 39)
            .at(|n| if n == 9 { 1.0 } else { n as f64 / 25.0 })
            .part(1.0, 2.0),
        slides("slides.mkv", "--start 5 --duration 1").keep(|n| n == 0).at(|_| 5.0).part(5.0, 6.0).lasts(6.0),
        slides("slides.mp4", "--start 12.2 --duration 1")
            .keep(|n| n == 1)
            .at(|_| 12.2)
            .part(12.2, 13.2)
            .lasts(13.2),
        slides("slides-last.mkv", "--start 25 --duration 1")
            .keep(|n| n == 2)
            .at(|_| 25.0)
            .part(25.0, 26.0)
            .lasts(26.0),
        kind("b-frames.avi", "-c:v mpeg4 -bf 2 -vtag XVID -q:v 2 -c:a pcm_s16le")
            .told("webm mov mp4 gif webp", "of its frames had the time of the one before"),
        kind("open-gop.ts", "H264 -x264-params open-gop=1:keyint=12:bframes=3:b-adapt=0 -c:a aac"),
        kind("open-gop-cut.ts", "H264 -g 12 -x264-params open-gop=1:keyint=12:bframes=3:b-adapt=0 -c:a aac")
            .then("whole.ts", "-ss 0.9 -i IN -c copy")
            // GStreamer 1.26 with ffmpeg 7 loses the group's first picture.
            .told("all", "made from frames that are missing")
            .moved(),
        kind("cut.mp4", "H264 -g 50 -c:a aac").then("whole.mp4", "-ss 0.6 -i IN -c copy").part(0.6, 2.0),
        kind("offset.mkv", "H264 -c:a aac").then("whole.mkv", "-itsoffset 3 -i IN -c copy").moved(),
        kind("offset.ts", "H264 -c:a aac -output_ts_offset 36000"),
        kind("wrap.ts", "H264 -c:a aac")
            .then("whole.mkv", "-i IN -c copy -muxdelay 0 -muxpreload 0 -output_ts_offset 95442.7"),
        kind("negative.mkv", "H264 -bf 3 -c:a aac -avoid_negative_ts disabled")
            .told("webm mov mp4", "s before its nought")
            .moved(),
        kind("part.mp4", "H264 -c:a aac").with("--start 0.4 --duration 0.8").part(0.4, 1.2),
        kind("part.ts", "H264 -c:a aac").with("--start 0.4 --duration 0.8").part(0.4, 1.2),
    ]
}
