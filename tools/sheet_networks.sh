#!/usr/bin/env bash
# Makes docs/networks.png: what each network makes of a frame of the demo's clip and of the portrait.
# A row a picture; columns: the input, then for each network its matte and the composite on a colour.
# Needs `make build runtime clips models`; a network that is not installed is an error.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

begin_sheet "$@"

models=(light original human pro)
# Some frames before the one shown: `human` gets better over the first few.
frames=6
colour=0x00b140
clip=build/clips/carphone_pristine.mp4
ffmpeg -nostdin -v error -ss 1 -i "$clip" -frames:v "$frames" -y "$work/carphone-%d.png"
for i in $(seq "$frames"); do cp build/clips/astronaut.png "$work/astronaut-$i.png"; done

# row OUT NAME WIDTH HEIGHT
row() {
    local out=$1 name=$2 n=1 m graph ins=(-i "$work/$2-$frames.png") cells="[i]"
    local fit="scale=$3:$4:flags=lanczos,setsar=1,format=rgb24,pad=iw+8:ih+8:4:4:0x202020"
    graph="[0:v]${fit}[i]"
    for m in "${models[@]}"; do
        ins+=(-i "$work/$name-$m.png")
        graph+=$(on_colour "$n" "$colour" "$fit")
        cells+="[m$n][c$n]"
        n=$((n + 1))
    done
    ffmpeg -nostdin -v error "${ins[@]}" -filter_complex "$graph;${cells}hstack=$((2 * n - 1))" -frames:v 1 -y "$out"
}

for m in "${models[@]}"; do
    for name in carphone astronaut; do cut_out "$name" "$frames" 30 "$work/$name-$m.png" "$m"; done
done
width=200
row "$work/1.png" carphone "$width" 164
row "$work/2.png" astronaut "$width" "$width"

labels=
x=0
for m in input "${models[@]}"; do
    for kind in matte composite; do
        label="$m $kind"
        if [ "$m" = input ]; then
            [ "$kind" = matte ] || continue
            label=input
        fi
        labels+=",drawtext=font=DejaVu Sans:text=$label:fontsize=18:fontcolor=white:x=$((x + (width + 8) / 2))-tw/2:y=8"
        x=$((x + width + 8))
    done
done
ffmpeg -nostdin -v error -i "$work/1.png" -i "$work/2.png" \
    -filter_complex "[0][1]vstack,pad=iw:ih+32:0:32:0x202020$labels" -frames:v 1 -y "$work/sheet.png"
mkdir -p docs
mv -f "$work/sheet.png" docs/networks.png
say "wrote docs/networks.png"
