#!/usr/bin/env bash
# Installs ONNX Runtime, which bgremove opens when an element starts, for this user:
#   ${XDG_DATA_HOME:-~/.local/share}/bgremove/runtime/libonnxruntime.so
# The library comes out of the pinned wheel of the PyPI package `onnxruntime`; both are checked.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

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
