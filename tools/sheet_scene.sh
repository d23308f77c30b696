#!/usr/bin/env bash
# Makes docs/scene.png, a picture of docs/refine.md: a man before a busy room, the camera stands still; a row for each frame and network.
# Columns: the input, the cut-out without `remember-background`, and with it.
# Needs `make build runtime models` and `tools/fetch_clips.sh --edges`; `make edges` sees to all of it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

begin_sheet "$@"

ffmpeg -nostdin -v error -i build/clips/balance.mp4 -vf scale=612:1080 -fps_mode passthrough -pix_fmt rgb24 -y "$work/room-%d.png"
cell="crop=520:540:40:200,scale=iw/2:-1,setsar=1,format=rgb24,pad=iw+8:ih+8:4:4:0x202020"
tag="drawtext=font=DejaVu Sans:fontsize=14:fontcolor=white:box=1:boxcolor=0x202020:boxborderw=6:x=12:y=12"
columns=("input" "remember-background=false" "remember-background=true")
n=0

# row MODEL FRAME: chosen on the input, but for light's last, where it is worst.
row() {
    local graph how
    for how in false true; do
        cut_out room "$2" 60 "$work/$how.png" "$1" execution-provider=cpu "remember-background=$how"
    done
    graph="[0:v]$cell,$tag:text='$1, frame $2'[i]"
    for how in 1 2; do
        graph+=$(on_colour "$how" 0x00b140 "$cell")
    done
    ffmpeg -nostdin -v error -i "$work/room-$2.png" -i "$work/false.png" -i "$work/true.png" \
        -filter_complex "$graph;[m1]nullsink;[m2]nullsink;[i][c1][c2]hstack=3" -frames:v 1 -y "$work/row-$n.png"
    n=$((n + 1))
}
row light 50
row light 70
row light 95
row human 70

stack_rows "$n" 268 14 scene.png "${columns[@]}"
