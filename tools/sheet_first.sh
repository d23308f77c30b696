#!/usr/bin/env bash
# Makes docs/first.png, a picture of docs/refine.md: the first frame of a clip as the network `human` sees it, for clips that begin at
# several frames of the man in the car. Columns: the input; the cut-out with `lookahead=0`, frame by frame; and with `lookahead=3`, which shows
# the network what comes next before it begins.
# Needs `make build runtime models clips`; `make edges` sees to all of it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

begin_sheet "$@"

cell="scale=352:288,setsar=1,format=rgb24,pad=iw+8:ih+8:4:4:0x202020"
tag="drawtext=font=DejaVu Sans:fontsize=16:fontcolor=white:box=1:boxcolor=0x202020:boxborderw=6:x=12:y=12"
columns=("input, the first frame" "lookahead=0" "lookahead=3")
n=0

# row FRAME: a clip of eight frames from that one of the whole clip on.
row() {
    local graph how
    rm -f "$work"/{car,ahead}-*.png
    ffmpeg -nostdin -v error -i build/clips/carphone_pristine.mp4 -vf "select='between(n,$1,$1+7)',scale=352:288" -vsync 0 -pix_fmt rgb24 \
        -y "$work/car-%d.png"
    for how in 0 3; do
        cut_out car 8 30 "$work/ahead-$how-%d.png" human execution-provider=cpu "lookahead=$how"
    done
    graph="[0:v]$cell,$tag:text='begun at frame $1'[i]"
    for how in 1 2; do
        graph+=$(on_colour "$how" 0x00b140 "$cell")
    done
    ffmpeg -nostdin -v error -i "$work/car-1.png" -i "$work/ahead-0-0.png" -i "$work/ahead-3-0.png" \
        -filter_complex "$graph;[m1]nullsink;[m2]nullsink;[i][c1][c2]hstack=3" -frames:v 1 -y "$work/row-$n.png"
    n=$((n + 1))
}
# Every fourteenth frame, whatever comes out.
for frame in 14 28 42 56 70 84; do
    row "$frame"
done

stack_rows "$n" 360 16 first.png "${columns[@]}"
