#!/usr/bin/env bash
# Makes the Debian package gstreamer1.0-bgremove, for this machine's architecture, in build/: plugin, tool, ONNX
# Runtime (CPU), manual pages and shell completions. The networks `light` and `original` are in the plugin; those
# under other licences than Apache, MIT and BSD are not packaged.
#
#   tools/deb.sh           build it
#   tools/deb.sh --check   build it, install it into a fresh Debian (needs root and debootstrap), and use it there
set -euo pipefail
. "$(dirname "$0")/lib.sh"

case ${1:-} in
'' | --check) ;;
*) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
need dpkg-shlibdeps dpkg-dev
cd "$ROOT"
work=$ROOT/build/deb
rm -rf "$work"
mkdir -p "$work/runtime" "$work/man"

XDG_DATA_HOME=$work/data "$ROOT/tools/install_runtime.sh"
cp "$(readlink -f "$work/data/bgremove/runtime/libonnxruntime.so")" "$work/runtime/libonnxruntime.so"
cp "$work/data/bgremove/runtime/LICENSE" "$work/runtime/LICENSE.txt"
cp "$work/data/bgremove/runtime/ThirdPartyNotices.txt" "$work/runtime/"

cargo build --release ${FEATURES:+"$FEATURES"}
tool=${CARGO_TARGET_DIR:-target}/release/bgremove
"$tool" generate man "$work/man"
gzip -9n "$work"/man/*.1
for shell in bash zsh fish; do "$tool" generate completions "$shell" >"$work/$shell"; done
"$ROOT/tools/cargo_tool.sh" deb --quiet --no-build --strip --multiarch foreign --output "$work/"
package=$(find "$work" -maxdepth 1 -name '*.deb')
mv -f "$package" build/
package=build/$(basename "$package")
say "made $package ($(du -h "$package" | cut -f1))"
[ "${1:-}" = --check ] || exit 0

# A Debian that has never seen this project.
[ "$(id -u)" -eq 0 ] || die "--check needs root"
need debootstrap debootstrap
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
root=$ROOT/build/debian-$release
if [ ! -f "$root/.made" ]; then
    say "making a fresh Debian $release in ${root#"$ROOT"/}"
    rm -rf "$root"
    debootstrap --variant=minbase "$release" "$root" >"$work/debootstrap.log" || die "see $work/debootstrap.log"
    touch "$root/.made"
fi
copy=$(mktemp -d "$ROOT/build/.debian.XXXXXX")
trap 'rm -rf --one-file-system "$copy"' EXIT
cp -a "$root/." "$copy/"
cp "$package" "$copy/tmp/bgremove.deb"
# The package client's own settings of this machine, where it has any.
cp -a /etc/apt/apt.conf.d/. "$copy/etc/apt/apt.conf.d/" 2>/dev/null || true
cp /etc/resolv.conf "$copy/etc/" 2>/dev/null || true
cat >"$copy/tmp/check.sh" <<'CHECK'
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq -o Dpkg::Use-Pty=0 /tmp/bgremove.deb >/tmp/apt.log 2>&1 || { tail -n 20 /tmp/apt.log; exit 1; }
useradd -m somebody
# As somebody who has nothing of this project in the environment.
su - somebody -c '
    set -eu
    bgremove doctor
    gst-inspect-1.0 bgremove | head -n 4
    gst-inspect-1.0 bgremove | grep "webcam blur"
    gst-launch-1.0 -q videotestsrc num-buffers=10 ! video/x-raw,width=320,height=180 ! bgremove ! vp9alphaenc ! \
        webmalphamux ! filesink location=out.webm
    [ -s out.webm ]
'
ls /usr/share/man/man1/bgremove-doctor.1.gz /usr/share/bash-completion/completions/bgremove \
    /usr/share/doc/gstreamer1.0-bgremove/copyright >/dev/null
# What Cheese offers, made as Cheese makes it.
for effect in /usr/share/gnome-video-effects/bgremove-*.effect; do
    gst-launch-1.0 -q videotestsrc num-buffers=5 ! videoconvert ! $(sed -n 's/^PipelineDescription=//p' "$effect") ! \
        videoconvert ! fakesink
done
# And it goes away without a trace.
apt-get purge -y -qq gstreamer1.0-bgremove >/dev/null
! ls -d /usr/lib/*/bgremove /usr/bin/bgremove 2>/dev/null
CHECK
mount --bind /proc "$copy/proc"
trap 'umount "$copy/proc"; rm -rf --one-file-system "$copy"' EXIT
chroot "$copy" sh /tmp/check.sh || die "the package does not work in a fresh Debian (see above)"
say "the package works in a fresh Debian $release"
