//! Several tracks, none, sound that is longer, shorter or late, and what changes on the way.

use crate::kinds::{Kind, kind};

pub fn rows() -> Vec<Kind> {
    vec![
        kind("no-sound.mp4", "H264").silent(),
        kind("long-sound.mp4", "H264 -c:a aac").sound(0.0, 3.0),
        kind("long-sound.avi", "-c:v mpeg4 -q:v 2 -c:a pcm_s16le").sound(0.0, 3.0),
        kind("short-sound.mkv", "H264 -c:a aac").sound(0.0, 0.8).moved(),
        kind("short-sound.ts", "H264 -c:a aac").sound(0.0, 0.8),
        kind("late-sound.mkv", "H264 -c:a aac").sound(0.7, 1.3),
        kind("late-sound.mp4", "H264 -c:a aac").sound(0.7, 1.3),
        kind("late-video.mkv", "-vf setpts=PTS+0.6/TB -fps_mode passthrough H264 -c:a aac")
            .at(|n| 0.6 + n as f64 / 25.0),
        // The last frame's length is in the file only where the filters know the rate.
        kind("late-video.mp4", "-vf setpts=PTS+0.6/TB,fps=25 -fps_mode passthrough H264 -c:a aac")
            .at(|n| 0.6 + n as f64 / 25.0),
        kind("gap-in-sound.mkv", "H264 -af aselect='not(between(t,0.7,1.2))' -c:a pcm_s16le"),
        kind("mono-8k.avi", "-c:v mpeg4 -q:v 2 -c:a pcm_u8 -ar 8000 -ac 1"),
        kind("surround.mkv", "H264 -c:a ac3 -ac 6").moved(),
        kind("two-videos.mkv", "-map 0:v -map 0:v -map 1:a -filter:v:1 negate H264 -c:a aac").moved(),
        kind("two-videos-part.mkv", "-map 0:v -map 0:v -map 1:a -filter:v:1 negate H264 -c:a aac")
            .with("--duration 1")
            .part(0.0, 1.0),
        kind("two-videos.mp4", "-map 0:v -map 0:v -map 1:a -filter:v:1 negate H264 -c:a aac"),
        kind("two-sounds.mkv", "-map 0:v -map 1:a -map 1:a -filter:a:1 volume=0 H264 -c:a aac").moved(),
        kind("two-sounds.ts", "-map 0:v -map 1:a -map 1:a -filter:a:1 volume=0 H264 -c:a aac"),
        kind(
            "cover.mp4",
            "-map 0:v -map 1:a -map 0:v -c:v:0 libx264 -crf 12 -pix_fmt yuv420p -c:a aac -c:v:1 mjpeg -filter:v:1 trim=end_frame=1 -disposition:v:1 attached_pic",
        ),
        kind("changing.ts", "H264 -c:a aac")
            .and("-vf scale=128:96 H264 -c:a aac")
            .told("all", "from 160x120 to 128x96"),
    ]
}
