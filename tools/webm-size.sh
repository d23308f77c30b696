#!/bin/sh
# Compares vp9alphaenc ! webmalphamux with ffmpeg's libvpx-vp9 at the same settings: size and time.
#
#   tools/webm-size.sh IN [SECONDS]
#   tools/webm-size.sh --convert CLIP    `bgremove convert` and ffmpeg on the very same transparent frames
#
# IN is any video that ffmpeg reads as yuva420p; without one, a test picture with a moving disc is
# made. Needs ffmpeg and GStreamer's tools, and the plugin in target/debug or GST_PLUGIN_PATH.
set -eu
plugins="${GST_PLUGIN_PATH:-$(dirname "$0")/../target/debug}"
if [ "${1:-}" = --convert ]; then
    clip=$2
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    export GST_PLUGIN_PATH="$plugins"
    "${plugins%%:*}/bgremove" convert "$clip" "$work/ours.webm" --model light
    read -r width height rate <<END
$(ffprobe -v error -select_streams v:0 -show_entries stream=width,height,r_frame_rate -of csv=p=0 "$clip" | tr ',' ' ')
END
    # ffmpeg has one quality for both planes; ours is finer for the alpha (4 to 24).
    gst-launch-1.0 -q filesrc location="$clip" ! decodebin ! videoconvert ! bgremove ! queue ! \
        video/x-raw,format=A420 ! fdsink |
        ffmpeg -v error -y -f rawvideo -pix_fmt yuva420p -s "${width}x$height" -r "$rate" -i - -i "$clip" \
            -map 0:v -map '1:a?' -c:v libvpx-vp9 -pix_fmt yuva420p -auto-alt-ref 0 -lag-in-frames 0 -deadline good \
            -cpu-used 4 -g 128 -row-mt 1 -threads 2 -b:v 6M -crf 24 -c:a libopus -b:a 128k "$work/ffmpeg.webm"
    theirs=$(stat -c %s "$work/ffmpeg.webm") ours=$(stat -c %s "$work/ours.webm")
    awk -v t="$theirs" -v o="$ours" 'BEGIN { printf "ffmpeg %d bytes, convert %d bytes (%+.1f %%)\n", t, o, 100 * (o - t) / t }'
    exit
fi
seconds=${2:-5}
width=1920 height=1080 rate=30
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GST_PLUGIN_PATH="$plugins"

if [ -n "${1:-}" ]; then
    set -- -i "$1"
else
    set -- -f lavfi -i "testsrc2=s=${width}x${height}:r=$rate,format=yuva420p,geq=lum='p(X,Y)':cb='p(X,Y)':cr='p(X,Y)':a='255*clip((400-hypot(X-960-200*sin(T),Y-540))/20+0.5,0,1)'"
fi
ffmpeg -v error -y "$@" -t "$seconds" -vf "fps=$rate,scale=$width:$height,format=yuva420p" \
    -f rawvideo "$work/in.yuva"
frame=$((width * height * 5 / 2))
frames=$(($(stat -c %s "$work/in.yuva") / frame))

compare() {
    name=$1 ffmpeg_options=$2 gst_options=$3
    start=$(date +%s)
    # shellcheck disable=SC2086
    ffmpeg -v error -y -f rawvideo -pix_fmt yuva420p -s ${width}x$height -r $rate -i "$work/in.yuva" \
        -c:v libvpx-vp9 -pix_fmt yuva420p -auto-alt-ref 0 -lag-in-frames 0 -deadline good -cpu-used 4 \
        -g 128 -row-mt 1 -threads 2 $ffmpeg_options "$work/ffmpeg.webm"
    middle=$(date +%s)
    # shellcheck disable=SC2086
    gst-launch-1.0 -q filesrc location="$work/in.yuva" blocksize=$frame ! \
        rawvideoparse format=a420 width=$width height=$height framerate=$rate/1 ! queue ! \
        vp9alphaenc deadline=good cpu-used=4 threads=2 keyframe-max-dist=128 $gst_options ! \
        webmalphamux ! filesink location="$work/gst.webm"
    end=$(date +%s)
    theirs=$(stat -c %s "$work/ffmpeg.webm") ours=$(stat -c %s "$work/gst.webm")
    awk -v n="$name" -v f="$frames" -v t="$theirs" -v o="$ours" -v a=$((middle - start)) \
        -v b=$((end - middle)) 'BEGIN {
        printf "%s, %d frames: ffmpeg %d bytes in %d s, ours %d bytes in %d s (%+.1f %%)\n",
            n, f, t, a, o, b, 100 * (o - t) / t }'
}

compare vbr "-b:v 4M" "end-usage=vbr target-bitrate=4000000 alpha-bitrate=4000000"
compare cq "-b:v 6M -crf 24" \
    "end-usage=cq cq-level=24 alpha-cq-level=24 target-bitrate=6000000 alpha-bitrate=6000000"
