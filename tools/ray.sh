#!/usr/bin/env bash
# Runs examples/cluster/three_nodes.py in a Python environment of its own; `make ray` sets up and calls it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

cd "$ROOT"
need ffmpeg ffmpeg
python3 -c 'import ensurepip, venv' 2>/dev/null || die "Python's venv is missing; install it with: apt-get install python3-venv"
wants=examples/cluster/requirements.txt
sum=$(sha256sum "$wants" | cut -d' ' -f1)
venv=build/ray
if [ "$(cat "$venv/.made-from" 2>/dev/null)" != "$sum" ]; then
    say "installing Ray into $venv"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wants"
    printf '%s\n' "$sum" >"$venv/.made-from"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Sixteen seconds of the portrait, with sound.
ffmpeg -nostdin -v error -stream_loop 3 -i build/clips/astronaut.mp4 -f lavfi -i sine=440:r=48000 -t 16 \
    -vf scale=320:180 -c:v libx264 -preset veryfast -g 60 -c:a aac "$work/clip.mp4"
tool=$(realpath "${CARGO_TARGET_DIR:-target}/release/bgremove")
RAY_DEDUP_LOGS=0 "$venv/bin/python" examples/cluster/three_nodes.py "$work/clip.mp4" "$work" "$tool"
