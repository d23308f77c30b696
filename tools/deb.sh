#!/usr/bin/env bash
# Makes the Debian package gstreamer1.0-bgremove in build/: plugin, tool, ONNX Runtime (CPU), manual pages and shell
# completions. The networks `light` and `original` are in the plugin; those under other licences than Apache, MIT and BSD
# are not packaged.
#
#   tools/deb.sh [arm64]           build it for this machine's architecture; or for ARM64, by tools/arm64.sh
#   tools/deb.sh [arm64] --check   build it, install it into a fresh Debian (needs root and debootstrap), and use it there;
#                                  for ARM64 under qemu
set -euo pipefail
. "$(dirname "$0")/lib.sh"

cross='' check=''
for arg; do
    case $arg in
    arm64) cross=aarch64-unknown-linux-gnu ;;
    --check) check=1 ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
done
need dpkg-shlibdeps dpkg-dev
cd "$ROOT"
work=$ROOT/build/deb
rm -rf "$work"
mkdir -p "$work/runtime" "$work/man"

XDG_DATA_HOME=$work/data "$ROOT/tools/install_runtime.sh" ${cross:+"${cross%%-*}"}
cp "$(readlink -f "$work/data/bgremove/runtime/libonnxruntime.so")" "$work/runtime/libonnxruntime.so"
cp "$work/data/bgremove/runtime/LICENSE" "$work/runtime/LICENSE.txt"
cp "$work/data/bgremove/runtime/ThirdPartyNotices.txt" "$work/runtime/"

if [ -n "$cross" ]; then
    # Built here, used there: there, cargo builds for ARM64.
    "$ROOT/tools/cargo_tool.sh" deb --version
    there=("$ROOT/tools/arm64.sh") FEATURES=''
    tool=("${there[@]}" qemu-aarch64-static "$ROOT/build/target-arm64/$cross/release/bgremove")
else
    there=() tool=("${CARGO_TARGET_DIR:-target}/release/bgremove")
fi
"${there[@]}" cargo build --release ${FEATURES:+"$FEATURES"}
"${tool[@]}" generate man "$work/man"
gzip -9n "$work"/man/*.1
for shell in bash zsh fish; do "${tool[@]}" generate completions "$shell" >"$work/$shell"; done
"${there[@]}" "$ROOT/tools/cargo_tool.sh" deb --quiet --no-build --strip ${cross:+--target "$cross"} --multiarch foreign --output "$work/"
package=$(find "$work" -maxdepth 1 -name '*.deb')
mv -f "$package" build/
package=build/$(basename "$package")
say "made $package ($(du -h "$package" | cut -f1))"
[ -n "$check" ] || exit 0

# A Debian that has never seen this project.
[ "$(id -u)" -eq 0 ] || die "--check needs root"
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
make_debian "$release" "$release"
copy=$(mktemp -d "$ROOT/build/.debian.XXXXXX")
trap 'rm -rf --one-file-system "$copy"' EXIT
cp -a "$root/." "$copy/"
cp "$package" "$copy/tmp/bgremove.deb"
cat >"$copy/tmp/check.sh" <<'CHECK'
set -eu
export DEBIAN_FRONTEND=noninteractive
if [ -n "$CROSS" ]; then
    dpkg --add-architecture arm64
    # What a foreign program can start is of this machine's architecture only, so GStreamer's scanner of plugins is not.
    run="env GST_REGISTRY_FORK=no qemu-aarch64-static"
    more="--no-install-recommends qemu-user-static gstreamer1.0-tools:arm64"
else
    run= more=
fi
apt-get update -qq
apt-get install -y -qq -o Dpkg::Use-Pty=0 /tmp/bgremove.deb $more >/tmp/apt.log 2>&1 || { tail -n 20 /tmp/apt.log; exit 1; }
useradd -m somebody
# As somebody who has nothing of this project in the environment.
su - somebody -c "run='$run'"'
    set -eu
    [ -n "$run" ] || bgremove doctor
    $run /usr/bin/bgremove models verify
    $run /usr/bin/gst-inspect-1.0 bgremove | head -n 4
    $run /usr/bin/gst-inspect-1.0 bgremove | grep "webcam blur"
    $run /usr/bin/gst-launch-1.0 -q videotestsrc num-buffers=10 ! video/x-raw,width=320,height=180 ! \
        bgremove inference-timeout=600000000000 ! vp9alphaenc ! webmalphamux ! filesink location=out.webm
    [ -s out.webm ]
'
ls /usr/share/man/man1/bgremove-doctor.1.gz /usr/share/bash-completion/completions/bgremove \
    /usr/share/doc/gstreamer1.0-bgremove/copyright >/dev/null
# What Cheese offers, made as Cheese makes it.
for effect in /usr/share/gnome-video-effects/bgremove-*.effect; do
    # Under qemu an inference takes as long as it takes, which an effect cannot say.
    [ -z "$run" ] || continue
    gst-launch-1.0 -q videotestsrc num-buffers=5 ! videoconvert ! $(sed -n 's/^PipelineDescription=//p' "$effect") ! \
        videoconvert ! fakesink
done
# And it goes away without a trace.
apt-get purge -y -qq gstreamer1.0-bgremove${CROSS:+:arm64} >/dev/null
! ls -d /usr/lib/*/bgremove /usr/bin/bgremove 2>/dev/null
CHECK
mount --bind /proc "$copy/proc"
trap 'umount "$copy/proc"; rm -rf --one-file-system "$copy"' EXIT
CROSS=$cross chroot "$copy" sh /tmp/check.sh || die "the package does not work in a fresh Debian (see above)"
say "the package works in a fresh Debian $release"
