#!/usr/bin/env bash
# Makes the Flatpak extension org.freedesktop.Platform.GStreamer.bgremove, in build/: plugin and ONNX Runtime (CPU) for programs
# from Flatpak that use GStreamer, of the runtimes that stand on org.freedesktop.Platform 25.08.
#
#   tools/flatpak.sh           build it; needs flatpak-builder, and org.freedesktop.Platform and Sdk of that version installed
#   tools/flatpak.sh --check   build it with a Debian in the place of that runtime, install it there, and use it (root, debootstrap)
#
# It takes what `make build runtime` has made.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

case ${1:-} in
'' | --check) ;;
*) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
need flatpak-builder flatpak-builder
need appstreamcli appstream
cd "$ROOT"
id=org.freedesktop.Platform.GStreamer.bgremove
manifest=tools/flatpak/$id.yml
branch=$(sed -n "s/^branch: '\(.*\)'/\1/p" "$manifest")
arch=$(uname -m)
work=$ROOT/build/flatpak
bundle=$ROOT/build/$id-$branch-$arch.flatpak
mkdir -p "$work"
cp "${CARGO_TARGET_DIR:-target}/release/libgstbgremove.so" "$DATA_DIR/runtime/ThirdPartyNotices.txt" "$work/"
cp -L "$DATA_DIR/runtime/libonnxruntime.so" "$work/"
appstreamcli validate --no-net "tools/flatpak/$id.metainfo.xml"

# The runtime and the SDK, made of a Debian with GStreamer; their one extension point is the real one's.
stand_in() {
    local files=$work/debian release name
    [ ! -f "$work/user/.made" ] || return 0
    [ "$(id -u)" -eq 0 ] || die "--check needs root"
    release=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
    make_debian "$release" "$release"
    say "making a stand-in for the runtime"
    rm -rf --one-file-system "$files" "$work/user" "$work/repo"
    cp -a "$root" "$files"
    chroot "$files" sh -euc 'export DEBIAN_FRONTEND=noninteractive; apt-get update -qq; apt-get install -y -qq -o Dpkg::Use-Pty=0 \
        --no-install-recommends gstreamer1.0-tools gstreamer1.0-plugins-base libstdc++6' >"$work/debian.log" 2>&1 ||
        die "see $work/debian.log"
    mv "$files/etc" "$files/usr/etc"
    mkdir -p "$files/usr/lib/extensions/gstreamer-1.0"
    for name in Platform Sdk; do
        cat >"$files/metadata" <<METADATA
[Runtime]
name=org.freedesktop.$name
runtime=org.freedesktop.Platform/$arch/$branch
sdk=org.freedesktop.Sdk/$arch/$branch

[Environment]
GST_PLUGIN_SYSTEM_PATH=/app/lib/gstreamer-1.0:/usr/lib/extensions/gstreamer-1.0:/usr/lib/$arch-linux-gnu/gstreamer-1.0

[Extension org.freedesktop.Platform.GStreamer]
directory=lib/extensions/gstreamer-1.0
subdirectories=true
version=$branch
METADATA
        flatpak build-export --disable-sandbox --runtime --files=usr "$work/repo" "$files" "$branch" >>"$work/debian.log"
    done
    flatpak --user remote-add --no-gpg-verify stand-in "$work/repo"
    flatpak --user install -y --noninteractive stand-in "org.freedesktop.Platform//$branch" "org.freedesktop.Sdk//$branch" >>"$work/debian.log"
    rm -rf --one-file-system "$files"
    touch "$work/user/.made"
}

if [ "${1:-}" = --check ]; then
    # Nothing of this user's own Flatpak is looked at or changed.
    export FLATPAK_USER_DIR=$work/user XDG_DATA_HOME=$work/data XDG_CACHE_HOME=$work/cache XDG_RUNTIME_DIR=$work/run HOME=$work/home
    mkdir -p "$XDG_DATA_HOME" "$XDG_CACHE_HOME" "$HOME"
    mkdir -p -m 700 "$XDG_RUNTIME_DIR"
    stand_in
fi

flatpak-builder --user --force-clean --disable-rofiles-fuse --state-dir="$work/state" --repo="$work/out" "$work/extension" "$manifest" \
    >"$work/build.log" 2>&1 || die "see $work/build.log"
flatpak build-bundle --runtime "$work/out" "$bundle" "$id" "$branch"
say "made ${bundle#"$ROOT"/} ($(du -h "$bundle" | cut -f1)); install it with: flatpak install ${bundle#"$ROOT"/}"
[ "${1:-}" = --check ] || exit 0

flatpak --user uninstall -y --noninteractive "$id" >/dev/null 2>&1 || true
flatpak --user install -y --noninteractive "$bundle" >>"$work/build.log"
within() { flatpak --user run --command="$1" "org.freedesktop.Platform//$branch" "${@:2}"; }
within gst-inspect-1.0 bgremove | grep -E 'Long-name|Filename' || die "GStreamer does not find the plugin there"
# fakesink says a line for each frame that comes.
frames=$(within gst-launch-1.0 -v videotestsrc num-buffers=5 '!' video/x-raw,width=320,height=180 '!' bgremove background=blur '!' \
    videoconvert '!' fakesink silent=false | grep -c chain) || die "the element does not run there"
[ "$frames" -ge 5 ] || die "the element put out $frames of 5 frames there"
say "the extension works in a stand-in for org.freedesktop.Platform $branch"
