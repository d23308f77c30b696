#!/usr/bin/env bash
# Builds for ARM64 in a Debian of its own under build/, with Debian's cross compiler and ARM64's GStreamer, and runs that under
# qemu, which needs no such machine and has no speed:
#
#   tools/arm64.sh test         the element in pipelines, whose pictures are held against this machine's, and the kernels' unit tests
#   tools/arm64.sh count        the plugin's instructions for four frames: ARM64's beside this machine's at two widths of vectors
#   tools/arm64.sh COMMAND...   another command in that Debian, in this folder, set up so that cargo builds for ARM64
#
# Needs root, debootstrap, Rust by rustup for this user, and what `make build runtime clips` gets.
set -euo pipefail
[ $# -gt 0 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
. "$(dirname "$0")/debian.sh"
target=aarch64-unknown-linux-gnu
rustup target list --installed 2>/dev/null | grep -qx "$target" || rustup target add "$target" ||
    die "Rust's library for ARM64 is missing; install it with: rustup target add $target"

# The same release as this machine's: what is built here for this machine (cargo-deb) runs there, too.
enter_debian arm64 "$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")"
packages="build-essential crossbuild-essential-arm64 pkg-config python3 qemu-user-static
    libgstreamer1.0-dev:arm64 libgstreamer-plugins-base1.0-dev:arm64 libgstrtspserver-1.0-dev:arm64
    gstreamer1.0-tools:arm64 gstreamer1.0-plugins-base:arm64 gstreamer1.0-plugins-good:arm64 gstreamer1.0-plugins-bad:arm64"
if [ "$(cat "$root/.packages" 2>/dev/null)" != "$packages" ]; then
    say "installing ARM64's GStreamer and the cross compiler there"
    within dpkg --add-architecture arm64
    within apt-get update -qq
    # shellcheck disable=SC2086 # a list
    within DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends $packages >"$root.log" 2>&1 ||
        die "see $root.log"
    printf '%s\n' "$packages" >"$root/.packages"
fi

# ONNX Runtime for ARM64 lies apart from this user's own.
data=$ROOT/build/arm64
mkdir -p "$data"
XDG_DATA_HOME=$data tools/install_runtime.sh aarch64
lib=/usr/lib/aarch64-linux-gnu
# The processor that qemu plays. This qemu shows programs this machine's /proc/cpuinfo, on which ONNX Runtime for ARM64 crashes.
export QEMU_CPU=neoverse-n1
for ((n = 0; n < $(nproc); n++)); do
    printf '%s\t: %s\n' processor "$n" Features "fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp" \
        'CPU implementer' 0x41 'CPU architecture' 8 'CPU variant' 0x3 'CPU part' 0xd0c 'CPU revision' 1
    echo
done >"$data/cpuinfo"
mount --bind "$data/cpuinfo" "$root/proc/cpuinfo"
export CARGO_BUILD_TARGET=$target CARGO_TARGET_DIR=$ROOT/build/target-arm64 \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64-static \
    PKG_CONFIG_ALLOW_CROSS=1 PKG_CONFIG_LIBDIR=$lib/pkgconfig:/usr/share/pkgconfig \
    XDG_DATA_HOME=$data XDG_CACHE_HOME=$data/cache
built=$CARGO_TARGET_DIR/$target/release


# launch arm64|here INPUT PROPERTY... '!' SINK...: gst-launch with the element on INPUT's frames, with what is built for ARM64,
# under qemu, or for this machine; $before stands before the program.
before=()
launch() {
    local run=("${before[@]}" /usr/bin/gst-launch-1.0 --no-fault -q filesrc "location=$2" '!' rawvideoparse format=i420 width=640
        height=360 framerate=25/1 '!' bgremove threads=1 inference-timeout=600000000000 "${@:3}")
    if [ "$1" = arm64 ]; then
        # What qemu runs starts no programs of ARM64's, so GStreamer's scanner of plugins is not started.
        within GST_PLUGIN_PATH="$built" GST_REGISTRY="$data/registry.bin" GST_REGISTRY_FORK=no RAYON_NUM_THREADS=1 "${run[@]}"
    else
        env -u XDG_DATA_HOME -u XDG_CACHE_HOME GST_PLUGIN_PATH="$ROOT/target/release" RAYON_NUM_THREADS=1 "${run[@]}"
    fi
}

# frames: the clip's first four frames, and the man in them before a green screen.
frames() {
    need ffmpeg ffmpeg
    [ -f target/release/libgstbgremove.so ] || die "target/release/libgstbgremove.so is not there; run: make build"
    ffmpeg -v error -y -i build/clips/carphone_pristine.mp4 -vf scale=640:360 -frames:v 4 -pix_fmt yuv420p -f rawvideo "$data/room"
    launch here "$data/room" background=#00b140 '!' video/x-raw,format=I420 '!' filesink "location=$data/screen"
}

# compare MODEL INPUT MOST: what the element puts out on ARM64 differs from what it does here by no more than MOST.
compare() {
    before=(qemu-aarch64-static)
    launch arm64 "$data/$2" "model=$1" '!' video/x-raw,format=A420 '!' filesink "location=$data/there"
    before=()
    launch here "$data/$2" "model=$1" '!' video/x-raw,format=A420 '!' filesink "location=$data/here"
    python3 - "$data/there" "$data/here" "$3" <<'PY' || die "model=$1 makes other pictures on ARM64"
import sys
there, here = (open(name, "rb").read() for name in sys.argv[1:3])
apart = [abs(a - b) for a, b in zip(there, here)]
print(f"{len(there)} bytes, {sum(a > 0 for a in apart)} of them apart, by {max(apart)} at most")
sys.exit(len(there) != 4 * 640 * 360 * 5 // 2 or len(here) != len(there) or max(apart) > int(sys.argv[3]))
PY
    say "model=$1 makes the same pictures on ARM64"
}

case $1 in
test)
    within cargo build --release
    frames
    # The network's sums are rounded otherwise there; the kernels give the same on each machine.
    compare light room 3
    compare key screen 0
    within cargo test --release --lib -- compose:: key:: refine:: scene:: temporal:: matte:: sample:: morphology:: simd
    ;;
count)
    frames
    for model in key light; do
        input=room
        [ "$model" = light ] || input=screen
        for version in neon plain avx2; do
            echo -n "$model $version: "
            if [ "$version" = neon ]; then
                before=(tools/count_instructions.py libgstbgremove qemu-aarch64-static)
                launch arm64 "$data/$input" "model=$model" '!' fakesink
            else
                before=(env -u QEMU_CPU "BGREMOVE_SIMD=$version" tools/count_instructions.py libgstbgremove
                    "$root/usr/bin/qemu-x86_64-static" -cpu max)
                launch here "$data/$input" "model=$model" '!' fakesink
            fi
        done
    done
    ;;
*) within "$@" ;;
esac
