//! Codecs, chroma, depth and range.

use crate::kinds::{Kind, kind};

const UNKNOWN: &str = "GStreamer does not know the codec of its video";

pub fn rows() -> Vec<Kind> {
    let x265 = "-c:v libx265 -preset veryfast -crf 10 -x265-params log-level=error -tag:v hvc1 -c:a aac";
    let of = |name, make| kind(name, make);
    vec![
        of("hevc.mp4", x265),
        of(
            "hevc-10bit.mkv",
            "-c:v libx265 -preset veryfast -crf 10 -pix_fmt yuv420p10le -x265-params log-level=error -c:a ac3",
        ).moved(),
        of(
            "av1.mp4",
            "-c:v libaom-av1 -cpu-used 8 -crf 10 -row-mt 1 -usage realtime -pix_fmt yuv420p -c:a aac",
        ),
        of(
            "vp9.mp4",
            "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -crf 8 -b:v 0 -pix_fmt yuv420p -c:a aac",
        ),
        of("vp8.webm", "-c:v libvpx -threads 1 -deadline realtime -crf 4 -b:v 4M -pix_fmt yuv420p -c:a libvorbis"),
        of("mjpeg.avi", "-c:v mjpeg -q:v 2 -c:a pcm_s16le"),
        of("mjpeg.mov", "-c:v mjpeg -q:v 2 -c:a pcm_s16le"),
        of("prores.mov", "-c:v prores_ks -profile:v 2 -pix_fmt yuv422p10le -c:a pcm_s24le"),
        of("dnxhr.mov", "-vf scale=out_color_matrix=bt709,format=yuv422p -colorspace bt709 -c:v dnxhd -profile:v dnxhr_sq -c:a pcm_s16le").size(256, 128).told("all", UNKNOWN),
        of("ffv1.mkv", "-c:v ffv1 -pix_fmt yuv444p -c:a flac"),
        of("utvideo.avi", "-c:v utvideo -pix_fmt yuv422p -c:a pcm_s16le").told("all", UNKNOWN),
        of("uncompressed.avi", "-c:v rawvideo -pix_fmt bgr24 -c:a pcm_s16le"),
        of("h264-422-10bit.mp4", "-c:v libx264 -preset veryfast -crf 10 -pix_fmt yuv422p10le -c:a aac"),
        of("h264-444.mp4", "-c:v libx264 -preset veryfast -crf 10 -pix_fmt yuv444p -c:a aac"),
        of("h264-rgb.mkv", "-c:v libx264rgb -preset veryfast -crf 10 -pix_fmt rgb24 -c:a aac").moved(),
        of("gray.mkv", "-c:v ffv1 -pix_fmt gray -c:a flac"),
        of(
            "full-range.mp4",
            "-vf scale=out_color_matrix=bt709:out_range=pc,format=yuvj420p -c:v libx264 -preset veryfast -crf 10 \
             -colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range pc -c:a aac",
        ),
        of(
            "bt709.ts",
            "-vf scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv -c:v libx264 -preset veryfast -crf 10 \
             -colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv -c:a aac",
        ),
        of("interlaced.ts", "-c:v mpeg2video -q:v 2 -flags +ildct+ilme -top 1 -c:a mp2"),
        of("odd.mkv", "-c:v ffv1 -pix_fmt yuv444p -c:a flac").size(161, 119),
    ]
}
