#!/usr/bin/env bash
# Installs ONNX Runtime, which bgremove opens when an element starts, for this user, into
# ${XDG_DATA_HOME:-~/.local/share}/bgremove/:
#
#   tools/install_runtime.sh [ARCH]                 runtime/, for x86_64 or aarch64
#   tools/install_runtime.sh openvino               runtime-openvino/, with Intel's OpenVINO; x86_64 only
#   tools/install_runtime.sh openvino --if-possible   the same; on another machine it says so and is content
#
# The libraries come out of the pinned wheels of the PyPI packages `onnxruntime` and
# `onnxruntime-openvino`; wheel and libraries are checked by SHA-256.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# The build with OpenVINO: the folder appears whole or not at all, for an element takes what it finds there.
openvino() {
    local version=1.24.1 dir=$DATA_DIR/runtime-openvino wheel sum file whole=1
    local wheel_sum=3007c803634cc69c6d52af1dea7ce729d9bb62b9a11070fd2f959119199007a8
    if [ "$(uname -s) $(uname -m)" != "Linux x86_64" ]; then
        local why
        why="ONNX Runtime with OpenVINO is there for Linux on x86-64 only, this is $(uname -s) on $(uname -m)"
        if [ "${1:-}" = --if-possible ]; then
            say "$why; left out"
            return
        fi
        die "$why; the plain one serves here: make runtime"
    fi

    # Of the wheel's 256 MB only what the CPU needs; it holds the same libraries under several names,
    # and these are the ones that they look for each other by.
    local files="
2f07c72751aed99790b8a4869cf2311df85a860b22ded05fa22803587a48922c LICENSE
0e07b95f3a8d6230037707c5c4a2b554d12c4cb67369669ac255635528ffcee2 ThirdPartyNotices.txt
2d963a419b96018b79dfe63bb50120ddcb724149912a8a6d8ac747a557c089f4 capi/libonnxruntime.so.1.24.1
bf0159d2681d76e7de03fbd302a9204e5490f30816bd41826d57acf7a8dff363 capi/libonnxruntime_providers_openvino.so
5e02c1ff90e7d71365264dbb6767c00f04a8b57a96cddbc0085c61fa1393250d capi/libonnxruntime_providers_shared.so
ac9634b715a242a61644c77bc38f17508fe73f517e418027e2410f4bee004943 capi/libopenvino.so.2541
034df890550ae9199fe5f8608c0df8fd0fe355f303bad56bea10bae14c14c3cb capi/libopenvino_intel_cpu_plugin.so
f426710881d8c1a01d5ed6d7eaa076d923b19983d3ab3a18bb19d25dba7d8923 capi/libopenvino_onnx_frontend.so.2541
6781dc6aa8b2ca237d0164258e70266a44667756c02a9a039782ec1d1a67b653 capi/libtbb.so.12"
    # OpenVINO and oneTBB are under the Apache licence, whose text the wheel does not carry.
    local apache=LICENSE-OpenVINO-oneTBB

    while read -r sum file; do
        [ -z "$sum" ] || has_sum "$dir/${file##*/}" "$sum" || { whole=; break; }
    done <<<"$files"
    if [ "$whole" ] && [ -f "$dir/$apache" ] && [ "$(readlink "$dir/libonnxruntime.so")" = "libonnxruntime.so.$version" ]; then
        say "ONNX Runtime $version with OpenVINO is there: $dir/libonnxruntime.so"
        return
    fi

    wheel=onnxruntime_openvino-$version-cp311-cp311-manylinux_2_28_x86_64.whl
    fetch pypi "onnxruntime-openvino==$version" "$wheel" "$wheel_sum" --python-version 3.11 --platform manylinux_2_28_x86_64
    mkdir -p "$DATA_DIR"
    # Beside its goal, so that the last step is a rename.
    tmp=$(mktemp -d "$DATA_DIR/.runtime-openvino.XXXXXX")
    trap 'rm -rf "$tmp"' EXIT
    mkdir "$tmp/new"
    while read -r sum file; do
        [ -n "$sum" ] || continue
        unzip_one "$DOWNLOADS/$wheel" "onnxruntime/$file" "$tmp/new/${file##*/}"
        has_sum "$tmp/new/${file##*/}" "$sum" || die "${file##*/} in $wheel is not the file expected; nothing was installed"
    done <<<"$files"
    cp "$ROOT/LICENSE-APACHE" "$tmp/new/$apache"
    ln -s "libonnxruntime.so.$version" "$tmp/new/libonnxruntime.so"
    # What was there is incomplete or another version; running programs keep what they have opened.
    if [ -e "$dir" ]; then
        mv -T "$dir" "$tmp/old"
    fi
    mv -T "$tmp/new" "$dir"
    say "installed ONNX Runtime $version with OpenVINO (MIT and Apache-2.0 licences): $dir/libonnxruntime.so"
}

case ${1:-} in
openvino)
    case ${2:-} in
    '' | --if-possible) openvino "${2:-}" ;;
    *) die "unknown option $2 (see --help)" ;;
    esac
    exit
    ;;
-h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit ;;
esac

version=1.32.0
arch=${1:-$(uname -m)}
case $arch in
x86_64)
    wheel_sum=5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d
    lib_sum=6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f
    ;;
aarch64)
    wheel_sum=2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c
    lib_sum=49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a
    ;;
*) die "no pinned ONNX Runtime for $arch; install one yourself and set ORT_DYLIB_PATH to its libonnxruntime.so" ;;
esac

dir=$DATA_DIR/runtime
lib=libonnxruntime.so.$version
if has_sum "$dir/$lib" "$lib_sum" && [ "$(readlink "$dir/libonnxruntime.so")" = "$lib" ]; then
    say "ONNX Runtime $version is there: $dir/libonnxruntime.so"
    exit
fi

# The wheel is named after a Python version; we only want the library in it, so any will do.
wheel=onnxruntime-$version-cp311-cp311-manylinux_2_28_$arch.whl
fetch pypi "onnxruntime==$version" "$wheel" "$wheel_sum" --python-version 3.11 --platform "manylinux_2_28_$arch"

mkdir -p "$dir"
tmp=$(mktemp -d "$dir/.install.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
unzip_one "$DOWNLOADS/$wheel" "onnxruntime/capi/$lib" "$tmp/$lib"
for f in LICENSE ThirdPartyNotices.txt; do
    unzip_one "$DOWNLOADS/$wheel" "onnxruntime/$f" "$tmp/$f"
    mv -f "$tmp/$f" "$dir/$f"
done
take "$dir/$lib" "$lib_sum" "$tmp/$lib"
ln -s "$lib" "$tmp/libonnxruntime.so"
mv -fT "$tmp/libonnxruntime.so" "$dir/libonnxruntime.so"
say "installed ONNX Runtime $version (MIT licence): $dir/libonnxruntime.so"
