//! Inputs that have alpha already: where they have a hole, the result has one.

use crate::kinds::{Kind, kind};
use crate::source::COLOR;

pub fn rows() -> Vec<Kind> {
    vec![
        kind("alpha-prores.mov", "-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le -alpha_bits 16 -c:a pcm_s16le").hole(),
        kind("alpha-vp9.webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -crf 8 -b:v 0 -pix_fmt yuva420p -auto-alt-ref 0 -c:a libopus").hole(),
        kind("alpha-vp8.webm", "-c:v libvpx -threads 1 -deadline realtime -crf 8 -b:v 2M -pix_fmt yuva420p -auto-alt-ref 0 -c:a libopus").hole(),
        kind("alpha-png.mov", "-c:v png -pix_fmt rgba -c:a pcm_s16le").hole(),
        kind("alpha-qtrle.mov", "-c:v qtrle -pix_fmt argb -c:a pcm_s16le").hole(),
        kind("alpha-ffv1.mkv", "-c:v ffv1 -pix_fmt bgra -c:a flac").hole(),
        kind("alpha.gif", "").told("all", "it is an animated GIF").hole().silent(),
        kind("alpha.apng", "-f apng -plays 0").told("all", "it is an animated PNG").hole().silent(),
        kind("alpha.webp", "-c:v libwebp_anim -lossless 1 -loop 0").told("all", "it is an animated WebP").hole().silent().color(COLOR),
        kind("alpha.png", "-frames:v 1").hole().frames(1, (25, 1)).silent().lasts(0.033),
    ]
}
