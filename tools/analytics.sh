#!/usr/bin/env bash
# Builds the feature `analytics` in a Debian 13 (GStreamer 1.26) of its own under build/, and tests it there:
#
#   tools/analytics.sh              the unit tests, and those of element, formats and metadata; clippy
#   tools/analytics.sh COMMAND...   another command in that Debian, in this folder
#
# Needs root, debootstrap, Rust for this user, and what `make runtime clips` gets.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" -eq 0 ] || die "a Debian of its own needs root"
need debootstrap debootstrap
# The mounts go when this ends, however it ends.
[ -n "${BGREMOVE_MOUNTS:-}" ] || exec unshare --mount --propagation private env BGREMOVE_MOUNTS=1 "$0" "$@"
cd "$ROOT"
root=$ROOT/build/debian-trixie
if [ ! -f "$root/.made" ]; then
    say "making a Debian 13 in ${root#"$ROOT"/}"
    rm -rf --one-file-system "$root"
    mkdir -p build
    debootstrap --variant=minbase trixie "$root" >build/debian-trixie.log || die "see build/debian-trixie.log"
    # The package client's own settings of this machine, where it has any.
    cp -a /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
    cp /etc/resolv.conf "$root/etc/" 2>/dev/null || true
    chroot "$root" sh -c 'export DEBIAN_FRONTEND=noninteractive; apt-get update -qq &&
        apt-get install -y -qq --no-install-recommends build-essential pkg-config libgstreamer1.0-dev \
        libgstreamer-plugins-base1.0-dev libgstreamer-plugins-bad1.0-dev libgstrtspserver-1.0-dev \
        gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
        gstreamer1.0-plugins-ugly gstreamer1.0-libav' >build/debian-trixie.log 2>&1 || die "see build/debian-trixie.log"
    touch "$root/.made"
fi
for folder in /proc /dev "$ROOT" "${CARGO_HOME:-$HOME/.cargo}" "${RUSTUP_HOME:-$HOME/.rustup}" "$DATA_DIR"; do
    mkdir -p "$root$folder"
    mount --bind "$folder" "$root$folder"
done
# The crates are fetched here, where the network's settings are.
cargo fetch --quiet
[ $# -gt 0 ] || set -- sh -c 'set -e
    cargo clippy --all-targets --features analytics -- -D warnings
    cargo test --features analytics --lib --test analytics --test element --test formats'
exec chroot "$root" env HOME="$HOME" PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH" CARGO_NET_OFFLINE=true \
    CARGO_TARGET_DIR="$ROOT/build/target-trixie" sh -c 'cd "$0" && exec "$@"' "$ROOT" "$@"
