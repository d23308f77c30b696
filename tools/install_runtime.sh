#!/usr/bin/env bash
# Installs ONNX Runtime, which bgremove opens when an element starts, for this user, into
# ${XDG_DATA_HOME:-~/.local/share}/bgremove/:
#
#   tools/install_runtime.sh [ARCH]                 runtime/, for x86_64 or aarch64
#   tools/install_runtime.sh openvino               runtime-openvino/, with Intel's OpenVINO; x86_64 only
#   tools/install_runtime.sh webgpu                 runtime-webgpu/, with WebGPU, for any maker's GPU; x86_64 only
#   tools/install_runtime.sh cuda                   runtime-cuda/, with NVIDIA's CUDA and its libraries; x86_64 only
#   tools/install_runtime.sh NAME --if-possible     the same; on another machine it says so and is content
#
# The libraries come out of the pinned wheels of the PyPI packages `onnxruntime`, `onnxruntime-openvino`,
# `onnxruntime-webgpu`, `onnxruntime-gpu` and NVIDIA's own; wheels and libraries are checked by SHA-256.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# possible WHAT [--if-possible]: there is a build of it for this machine. Ends the script where there is none.
possible() {
    [ "$(uname -s) $(uname -m)" != "Linux x86_64" ] || return 0
    local why="ONNX Runtime with $1 is there for Linux on x86-64 only, this is $(uname -s) on $(uname -m)"
    if [ "${2:-}" = --if-possible ]; then
        say "$why; left out"
        exit
    fi
    die "$why; the plain one serves here: make runtime"
}

# whole DIR VERSION FILES: all that is listed ("SHA256 MEMBER" a line) is in the folder, and the library has its name.
whole() {
    local sum file
    while read -r sum file; do
        [ -z "$sum" ] || has_sum "$1/${file##*/}" "$sum" || return 1
    done <<<"$3"
    [ "$(readlink "$1/libonnxruntime.so")" = "libonnxruntime.so.$2" ]
}

# draft DIR: a folder beside DIR, $tmp/new, which `publish DIR` puts in its place: it appears whole or not at all, for an
# element takes what it finds there.
draft() {
    mkdir -p "$DATA_DIR"
    tmp=$(mktemp -d "$DATA_DIR/.$(basename "$1").XXXXXX")
    trap 'rm -rf "$tmp"' EXIT
    mkdir "$tmp/new"
}

publish() {
    # What was there is incomplete or another version; running programs keep what they have opened.
    [ ! -e "$1" ] || mv -T "$1" "$tmp/old"
    mv -T "$tmp/new" "$1"
}

# unpack WHEEL VERSION FILES: what is listed comes out of the wheel into the draft, checked.
unpack() {
    local sum file
    while read -r sum file; do
        [ -n "$sum" ] || continue
        unzip_one "$DOWNLOADS/$1" "onnxruntime/$file" "$tmp/new/${file##*/}"
        has_sum "$tmp/new/${file##*/}" "$sum" || die "${file##*/} in $1 is not the file expected; nothing was installed"
    done <<<"$3"
    ln -s "libonnxruntime.so.$2" "$tmp/new/libonnxruntime.so"
}

# install NAME PACKAGE VERSION TAG WHEEL_SUM FILES LICENCES [MORE]: ONNX Runtime with NAME out of a package's wheel for Python
# 3.11 (any would do: only libraries are taken out) and the platform TAG, into runtime-NAME/. FILES: as `whole` and `unpack`
# have them. `MORE there DIR` says whether what belongs beside them is in a folder, `MORE add DIR` puts it there.
install() {
    local title=$1 package=$2 version=$3 wheel_sum=$5 files=$6 licences=$7 more=${8:-:}
    local dir=$DATA_DIR/runtime-${title,,} wheel=${2//-/_}-$3-cp311-cp311-$4.whl
    if whole "$dir" "$version" "$files" && "$more" there "$dir"; then
        say "ONNX Runtime $version with $title is there: $dir/libonnxruntime.so"
        return
    fi
    fetch pypi "$package==$version" "$wheel" "$wheel_sum" --python-version 3.11 --platform manylinux_2_28_x86_64
    draft "$dir"
    unpack "$wheel" "$version" "$files"
    "$more" add "$tmp/new"
    publish "$dir"
    say "installed ONNX Runtime $version with $title ($licences): $dir/libonnxruntime.so"
}

# OpenVINO and oneTBB are under the Apache licence, whose text the wheel does not carry.
apache_licence() {
    local text=$2/LICENSE-OpenVINO-oneTBB
    case $1 in
    there) [ -f "$text" ] ;;
    add) cp "$ROOT/LICENSE-APACHE" "$text" ;;
    esac
}

# Of the wheel's 256 MB only what the CPU needs; it holds the same libraries under several names, and these are the ones that
# they look for each other by.
openvino() {
    possible OpenVINO "${1:-}"
    install OpenVINO onnxruntime-openvino 1.24.1 manylinux_2_28_x86_64 \
        3007c803634cc69c6d52af1dea7ce729d9bb62b9a11070fd2f959119199007a8 "
2f07c72751aed99790b8a4869cf2311df85a860b22ded05fa22803587a48922c LICENSE
0e07b95f3a8d6230037707c5c4a2b554d12c4cb67369669ac255635528ffcee2 ThirdPartyNotices.txt
2d963a419b96018b79dfe63bb50120ddcb724149912a8a6d8ac747a557c089f4 capi/libonnxruntime.so.1.24.1
bf0159d2681d76e7de03fbd302a9204e5490f30816bd41826d57acf7a8dff363 capi/libonnxruntime_providers_openvino.so
5e02c1ff90e7d71365264dbb6767c00f04a8b57a96cddbc0085c61fa1393250d capi/libonnxruntime_providers_shared.so
ac9634b715a242a61644c77bc38f17508fe73f517e418027e2410f4bee004943 capi/libopenvino.so.2541
034df890550ae9199fe5f8608c0df8fd0fe355f303bad56bea10bae14c14c3cb capi/libopenvino_intel_cpu_plugin.so
f426710881d8c1a01d5ed6d7eaa076d923b19983d3ab3a18bb19d25dba7d8923 capi/libopenvino_onnx_frontend.so.2541
6781dc6aa8b2ca237d0164258e70266a44667756c02a9a039782ec1d1a67b653 capi/libtbb.so.12" "MIT and Apache-2.0 licences" apache_licence
}

webgpu() {
    possible WebGPU "${1:-}"
    install WebGPU onnxruntime-webgpu 1.27.0 manylinux_2_27_x86_64.manylinux_2_28_x86_64 \
        142eb8bdb803c58117bf64164d201f43180bc87229cac14b590aa4ea79e0f70b "
2f07c72751aed99790b8a4869cf2311df85a860b22ded05fa22803587a48922c LICENSE
0e07b95f3a8d6230037707c5c4a2b554d12c4cb67369669ac255635528ffcee2 ThirdPartyNotices.txt
882f54a76dde1b6c7e66ed353f29bf167c2a2d4e77875b093205074b31d2c7f4 capi/libonnxruntime.so.1.27.0" "MIT licence"
}

# CUDA 13 and cuDNN 9, as that build wants them: 1.6 GB in all, of which 1.2 GB is fetched. They lie beside the runtime,
# which opens them there. cuFFT is left out: the provider does without until a network has a Fourier transform in it.
nvidia_libraries() {
    local spec sum wheel parts="
ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171 nvidia-cublas==13.1.0.3 nvidia_cublas-13.1.0.3-py3-none-manylinux_2_27_x86_64.whl
7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548 nvidia-cuda-runtime==13.0.96 nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl
1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc nvidia-curand==10.4.0.35 nvidia_curand-10.4.0.35-py3-none-manylinux_2_27_x86_64.whl
ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575 nvidia-cuda-nvrtc==13.0.88 nvidia_cuda_nvrtc-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl
2150b4850725d30653ec3e365f0732e3e2e3eb8633cf3bd2d3117628dea8b4f9 nvidia-cudnn-cu13==9.13.0.50 nvidia_cudnn_cu13-9.13.0.50-py3-none-manylinux_2_27_x86_64.whl"
    case $1 in
    there) [ "$(cat "$2/nvidia.txt" 2>/dev/null)" = "$parts" ] ;;
    add)
        while read -r sum spec wheel; do
            [ -n "$sum" ] || continue
            fetch pypi "$spec" "$wheel" "$sum" --python-version 3.11 --platform manylinux_2_27_x86_64 --platform manylinux2014_x86_64
            unzip_libraries "$DOWNLOADS/$wheel" "$2"
        done <<<"$parts"
        # Second builds of the compiler, which nothing opens.
        rm -f "$2"/*.alt.so*
        printf '%s\n' "$parts" >"$2/nvidia.txt"
        ;;
    esac
}

cuda() {
    possible CUDA "${1:-}"
    install CUDA onnxruntime-gpu 1.31.1 manylinux_2_28_x86_64 \
        e26c475fe361b2015f45b4b824bd13f0bb20204e59b62814e6f0acd5f3d491a6 "
2f07c72751aed99790b8a4869cf2311df85a860b22ded05fa22803587a48922c LICENSE
143764b952fdb1a7c69ce653bfba74a7744d6a8a573bfb73e235fba356c83de3 ThirdPartyNotices.txt
5104254339ecadae808da771bd0b63b240f0dbd466514234905e54372435c303 capi/libonnxruntime.so.1.31.1
d5290158115fa5569a3fe8f1f4037ee9b0e86658a96e52f852bbb7039aa88137 capi/libonnxruntime_providers_cuda.so
086ec1d5388f64153d9c63470d126693db9a182c8ce236d3a1119068471b8a0d capi/libonnxruntime_providers_shared.so
1882ee49fdb0e6fc2d272b00cfaf9a3310bf8580a34385c0eec4d82014ea172e capi/libonnxruntime_providers_tensorrt.so" "MIT licence; NVIDIA's libraries under NVIDIA's" nvidia_libraries
}

case ${1:-} in
openvino | webgpu | cuda)
    case ${2:-} in
    '' | --if-possible) "$1" "${2:-}" ;;
    *) die "unknown option $2 (see --help)" ;;
    esac
    exit
    ;;
-h | --help) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit ;;
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
