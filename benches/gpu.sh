#!/usr/bin/env bash
# Measures each network on each execution provider of a machine, in less than eight minutes; nothing is built.
#
#   benches/gpu.sh --pack DIR      where it was built: puts all that is needed into DIR, to be carried there
#   DIR/gpu.sh [OPTIONS]           there: the card, what `bgremove doctor` says, and the table of benches/providers.rs
#   benches/gpu.sh [OPTIONS]       the same where it was built
#
# OPTIONS are those of benches/providers.rs. Runtimes and networks are packed as this user has installed them; without
# --all no more than `light`, `original` and `human`, the plain runtime and WebGPU's: 120 MB, where CUDA's libraries are 1.6 GB.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
data=${XDG_DATA_HOME:-$HOME/.local/share}/bgremove
die() {
    echo "gpu.sh: error: $*" >&2
    exit 1
}

# built: the bench's newest binary, and the tool.
built() {
    target=${CARGO_TARGET_DIR:-$here/../target}/release
    bench=$(find "$target/deps" -maxdepth 1 -name 'providers-*' -type f -perm -u+x -printf '%T@ %p\n' 2>/dev/null | sort -n | tail -1 | cut -d' ' -f2-)
    tool=$target/bgremove
    picture=$here/../build/clips/astronaut.png
    [ -x "$bench" ] || die "the bench is not built: cargo bench --bench providers --no-run"
    [ -x "$tool" ] || die "the tool is not built: make build"
    [ -f "$picture" ] || die "$picture is not there: make clips"
}

if [ "${1:-}" = --pack ]; then
    to=${2:?--pack wants a folder}
    built
    mkdir -p "$to/lib" "$to/data/bgremove/models"
    cp "$here/gpu.sh" "$picture" "$to/"
    strip -o "$to/providers" "$bench"
    strip -o "$to/bgremove" "$tool"
    runtimes="runtime runtime-webgpu" models=human.onnx
    [ "${3:-}" != --all ] || { runtimes="runtime runtime-openvino runtime-webgpu runtime-cuda" models="human.onnx pro.onnx"; }
    for name in $runtimes; do
        [ ! -e "$data/$name/libonnxruntime.so" ] || cp -a "$(readlink -f "$data/$name")" "$to/data/bgremove/$name"
    done
    for name in $models; do
        [ ! -e "$data/models/$name" ] || cp "$data/models/$name" "$to/data/bgremove/models/"
    done
    # GStreamer, what it and the runtimes need, and Vulkan's loader; but for what belongs to the system's own.
    { find "$to/data" -name 'libonnxruntime.so' -exec ldd {} + && ldd "$to/providers" "$to/bgremove"; } |
        awk '/=> \//{print $3}' | sort -u | grep -vE '/(libc|libm|libdl|librt|libpthread|libresolv)\.so' |
        xargs -I{} cp -L {} "$to/lib/"
    vulkan=$(ldconfig -p | awk '/libvulkan\.so\.1 .*=>/{print $NF; exit}')
    [ -z "$vulkan" ] || cp -L "$vulkan" "$to/lib/"
    du -sh "$to"
    exit
fi

if [ -x "$here/providers" ]; then
    bench=$here/providers tool=$here/bgremove picture=$here/astronaut.png
    export XDG_DATA_HOME=$here/data LD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
else
    built
fi
# What was measured here before is no part of it.
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
export XDG_CACHE_HOME=$cache

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null || echo "no card of NVIDIA's, or no nvidia-smi"
grep -m1 'model name' /proc/cpuinfo || true
nproc
timeout 60 "$tool" doctor --no-speed 2>&1 | sed -n '/^ONNX Runtime/,/^$/p' || true
timeout 470 "$bench" --picture "$picture" "$@"
