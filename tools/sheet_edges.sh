#!/usr/bin/env bash
# Makes the pictures of docs/edges.md: docs/edges-hair.png, docs/edges-hand.png, docs/edges-thin.png.
# A row a network; columns: the input, the network's mask stretched, the refined matte, and both on a colour.
# Every pixel of the crop is shown as a block of 2x2, so that nothing is smoothed on the way to the eye.
# Needs `make build runtime models` and `tools/fetch_clips.sh --edges`; `make edges` sees to all of it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

begin_sheet "$@"

# Nothing but the network, to compare the defaults with.
stretched=(refine=none temporal-smoothing=0 decontaminate=false)
colour=0x00b140
columns=("input" "mask, stretched" "matte, refined" "stretched, on a colour" "refined, on a colour")

# sheet NAME FRAMES CROP ROW...: CROP is W:H:X:Y in the frame's own pixels, a ROW a network, or a network and
# properties.
sheet() {
    local name=$1 frames=$2 row how graph size n=0 width
    local cell="crop=$3,scale=2*iw:2*ih:flags=neighbor,setsar=1,format=rgb24,pad=iw+8:ih+8:4:4:0x202020"
    local tag="drawtext=font=DejaVu Sans:fontsize=16:fontcolor=white:box=1:boxcolor=0x202020:boxborderw=6:x=12:y=12"
    width=$((2 * ${3%%:*} + 8))
    shift 3
    for row; do
        # One provider, so that every machine makes the same picture.
        size=$(grep -o 'resolution=[0-9]*' <<<"$row" || :)
        cut_out "$name" "$frames" 60 "$work/stretched.png" "${row%% *}" execution-provider=cpu "${stretched[@]}" ${size:+"$size"}
        # shellcheck disable=SC2086 # model and properties, split on purpose
        cut_out "$name" "$frames" 60 "$work/refined.png" $row execution-provider=cpu
        graph="[0:v]$cell,$tag:text='$row'[i]"
        for how in 1 2; do
            graph+=$(on_colour "$how" "$colour" "$cell")
        done
        ffmpeg -nostdin -v error -i "$work/$name-$frames.png" -i "$work/stretched.png" -i "$work/refined.png" \
            -filter_complex "$graph;[i][m1][m2][c1][c2]hstack=5" -frames:v 1 -y "$work/row-$n.png"
        n=$((n + 1))
    done
    stack_rows "$n" "$width" 20 "edges-$name.png" "${columns[@]}"
}

# still NAME PICTURE: some frames of it, since `human` gets better over the first few.
still() {
    ffmpeg -nostdin -v error -loop 1 -i "$2" -frames:v 6 -pix_fmt rgb24 -y "$work/$1-%d.png"
}

# Frames and crops were chosen on the inputs, before any matte was looked at.
still hair build/clips/astronaut.png
sheet hair 6 168:136:142:6 light original human "human refine=learned resolution=384"
# Half a second up to the hand's fastest moment.
ffmpeg -nostdin -v error -i build/clips/balance.mp4 -vf "select='between(n,53,82)'" -vsync 0 -pix_fmt rgb24 \
    -y "$work/hand-%d.png"
sheet hand 30 168:136:540:405 light original human "human refine=learned resolution=384" "human temporal-smoothing=0"
still thin build/clips/cameraman.png
sheet thin 6 168:204:196:118 light original human "human refine=learned resolution=384"
