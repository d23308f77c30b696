#!/usr/bin/env bash
# Shows what bgremove does, with plain gst-launch-1.0 lines that it prints.
#
#   tools/demo.sh             the two clips of tools/fetch_clips.sh
#   tools/demo.sh CLIP        your own clip; its sound is kept
#   tools/demo.sh --picture   the README's picture, docs/demo.png, from the portrait's clip
#
# For each clip, into demo/: NAME-transparent.mov (ProRes 4444), NAME-colour.mp4, NAME-blur.mp4 and
# NAME-contact.png, a sheet that shows them side by side. `make demo` builds first, then calls this.
# MODEL chooses the network (default light).
set -euo pipefail
. "$(dirname "$0")/lib.sh"

picture=
case ${1:-} in
-h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit ;;
--picture) picture=1; set -- "$ROOT/build/clips/astronaut.mp4" ;;
-*) die "unknown option $1 (see --help)" ;;
'') set -- "$ROOT/build/clips/carphone_pristine.mp4" "$ROOT/build/clips/astronaut.mp4" ;;
esac
for tool in gst-launch-1.0:gstreamer1.0-tools ffmpeg:ffmpeg ffprobe:ffmpeg; do need "${tool%:*}" "${tool#*:}"; done
clips=()
for clip; do
    [ -f "$clip" ] || die "there is no file $clip"
    # Short names inside the project, full ones outside: the printed lines are to be copied.
    clips+=("$(realpath --relative-base="$ROOT" -- "$clip")")
done

cd "$ROOT"
plugins=${CARGO_TARGET_DIR:-target}/release
[ -f "$plugins/libgstbgremove.so" ] || die "$plugins/libgstbgremove.so is not there; run: make build"
export GST_PLUGIN_PATH=$plugins${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}
mkdir -p demo
work=$(mktemp -d demo/.work.XXXXXX)
trap 'rm -rf "$work"' EXIT
model=${MODEL:-light}
colour=#00b140

# The arguments as one would type them.
typed() {
    local a
    for a; do
        case $a in
        # A word that bash reads as it stands; `!` and `#` inside a word do no harm in a script, but may at a prompt.
        '!') printf ' !' ;;
        *[!A-Za-z0-9_=,./:%+@-]*) printf " '%s'" "${a//\'/\'\\\'\'}" ;;
        *) printf ' %s' "$a" ;;
        esac
    done
}

# launch OUT PIPELINE...: print the line, run it into a temporary file, move that to OUT.
launch() {
    local out=$1 start
    shift
    printf '\nGST_PLUGIN_PATH=%q gst-launch-1.0 -q%s\n' "$plugins" "$(typed "${@//@OUT@/$out}")"
    start=$(date +%s%N)
    gst-launch-1.0 -q "${@//@OUT@/$work/${out##*/}}" || die "that pipeline failed (see above)"
    [ -s "$work/${out##*/}" ] || die "that pipeline ended without writing anything"
    mv -f "$work/${out##*/}" "$out"
    printf '%s: %d ms\n' "$out" $((($(date +%s%N) - start) / 1000000))
}

probe() { ffprobe -v error "$@" -of default=noprint_wrappers=1:nokey=1 | head -n1; }

# sheet OUT CLIP NAME WIDTH HEIGHT SECONDS...: a row a moment, a column a kind.
sheet() {
    local out=$1 clip=$2 name=$3 w=$4 h=$5 n=0 t rows=() ins=() x labels=
    shift 5
    local fit="scale=$w:$h:flags=lanczos,setsar=1,format=rgb24,pad=iw+8:ih+8:4:4:0x202020"
    # Squares the size of a twentieth of the height, whatever the clip's.
    local board="geq=lum='if(mod(floor(20*X/H)+floor(20*Y/H),2),235,180)':cb=128:cr=128"
    for t; do
        ffmpeg -nostdin -v error -ss "$t" -i "$clip" -ss "$t" -i "demo/$name-transparent.mov" \
            -ss "$t" -i "demo/$name-colour.mp4" -ss "$t" -i "demo/$name-blur.mp4" -filter_complex "
            [0:v]${fit}[a];
            [1:v]format=yuva444p,split=3[m][f][g];
            [m]alphaextract,${fit}[b];
            [g]format=yuv444p,${board}[board];[board][f]overlay=format=yuv444,${fit}[c];
            [2:v]${fit}[d];[3:v]${fit}[e];
            [a][b][c][d][e]hstack=5" -frames:v 1 -y "$work/row$n.png"
        [ -s "$work/row$n.png" ] || die "no frame at $t s to show"
        rows+=(-i "$work/row$n.png")
        ins+=("[$n]")
        n=$((n + 1))
    done
    x=0
    for t in input matte transparent "colour" "blur"; do
        labels+=",drawtext=font=DejaVu Sans:text=$t:fontsize=20:fontcolor=white:x=$((x + (w + 8) / 2))-tw/2:y=8"
        x=$((x + w + 8))
    done
    # vstack wants two inputs at least.
    local stack="${ins[*]}vstack=$n"
    [ "$n" -gt 1 ] || stack="[0]null"
    ffmpeg -nostdin -v error "${rows[@]}" -filter_complex "$stack,pad=iw:ih+32:0:32:0x202020$labels" \
        -frames:v 1 -y "$work/sheet.png"
    mv -f "$work/sheet.png" "$out"
}

sheets=()
for clip in "${clips[@]}"; do
    name=$(basename "$clip")
    name=$(printf %s "${name%.*}" | tr -c 'A-Za-z0-9._-' _)
    video=(-select_streams v:0 "$clip")
    width=$(probe -show_entries stream=width "${video[@]}") || die "$clip is not a clip that ffprobe can read"
    [ -n "$width" ] || die "$clip has no video"
    height=$(probe -show_entries stream=height "${video[@]}")
    sar=$(probe -show_entries stream=sample_aspect_ratio "${video[@]}")
    field=$(probe -show_entries stream=field_order "${video[@]}")
    turn=$(probe -show_entries stream_side_data=rotation "${video[@]}")
    seconds=$(probe -show_entries format=duration "$clip")
    sound=$(probe -select_streams a:0 -show_entries stream=codec_name "$clip")
    say "$clip: ${width}x$height${sound:+, with sound}"

    # What a clip may need besides: a phone's turned picture, an interlaced one, odd sizes (4:2:0 has none).
    before=(videoconvert '!')
    case $field in tt | bb | tb | bt) before+=(deinterlace '!') ;; esac
    if [ "${turn#-}" = 90 ] || [ "${turn#-}" = 180 ]; then
        before+=(videoflip video-direction=auto '!')
    fi
    if [ "${turn#-}" = 90 ]; then
        t=$width width=$height height=$t
    fi
    h264=(x264enc pass=quant quantizer=20 '!')
    if [ $((width % 2 + height % 2)) -gt 0 ]; then
        h264=(videocrop right=$((width % 2)) bottom=$((height % 2)) '!' "${h264[@]}")
    fi
    h264=(videoconvert '!' "video/x-raw,format=I420" '!' "${h264[@]}" h264parse '!' queue '!')
    source=(filesrc "location=$clip" '!' decodebin name=in '!' "${before[@]}" bgremove "model=$model")
    audio=()
    if [ -n "$sound" ]; then
        # The encoder looks ahead; the sound has to wait for it without blocking.
        audio=(in. '!' audioconvert '!' audioresample '!' avenc_aac '!'
            queue max-size-time=10000000000 max-size-buffers=0 max-size-bytes=0 '!' out.)
    fi

    launch "demo/$name-transparent.mov" "${source[@]}" background=transparent '!' \
        videoconvert '!' video/x-raw,format=A444_10LE '!' avenc_prores_ks pass=quant quantizer=6 alpha-bits=8 '!' queue '!' \
        qtmux name=out '!' filesink location=@OUT@ "${audio[@]}"
    launch "demo/$name-colour.mp4" "${source[@]}" "background=$colour" '!' "${h264[@]}" \
        mp4mux name=out faststart=true '!' filesink location=@OUT@ "${audio[@]}"
    launch "demo/$name-blur.mp4" "${source[@]}" background=blur '!' "${h264[@]}" \
        mp4mux name=out faststart=true '!' filesink location=@OUT@ "${audio[@]}"

    # Cells of 320 pixels on the longer side, in the shape that the clip is shown in.
    read -r w h moments < <(awk -v w="$width" -v h="$height" -v sar="$sar" -v turn="${turn#-}" -v s="$seconds" 'BEGIN {
        if (split(sar, r, ":") == 2 && r[1] > 0 && r[2] > 0) { if (turn == 90) h *= r[1] / r[2]; else w *= r[1] / r[2] }
        k = 320 / (w > h ? w : h)
        printf "%d %d", 2 * int(w * k / 2 + .5), 2 * int(h * k / 2 + .5)
        if (s + 0 < .5) print " 0"; else printf " %.3f %.3f %.3f %.3f\n", s * .05, s * .35, s * .65, s * .92 }')
    if [ -n "$picture" ]; then
        mkdir -p docs
        sheet docs/demo.png "$clip" "$name" "$w" "$h" "${moments##* }"
        sheets+=(docs/demo.png)
    else
        # shellcheck disable=SC2086
        sheet "demo/$name-contact.png" "$clip" "$name" "$w" "$h" $moments
        sheets+=("demo/$name-contact.png")
    fi
done

printf '\n'
say "done; look at the contact sheet${sheets[1]:+s}:"
printf '%s\n' "${sheets[@]}"
