#!/usr/bin/env bash
# Builds and tests in a Debian 13 (GStreamer 1.26) of its own under build/, the feature `analytics` included:
#
#   tools/trixie.sh analytics      what the feature is about: the unit tests, and those of analytics, element and formats
#   tools/trixie.sh test           clippy and all tests; installs there what they need
#   tools/trixie.sh COMMAND...     another command in that Debian, in this folder
#
# Needs root, debootstrap, Rust for this user, and what `make runtime clips` gets.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
[ $# -gt 0 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
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
    touch "$root/.made"
fi
for folder in /proc /dev /sys "$ROOT" "${CARGO_HOME:-$HOME/.cargo}" "${RUSTUP_HOME:-$HOME/.rustup}" "$DATA_DIR"; do
    mkdir -p "$root$folder"
    mount --rbind "$folder" "$root$folder"
done
# The crates are fetched here, where the network's settings are.
cargo fetch --quiet

within() {
    chroot "$root" env HOME="$HOME" PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH" CARGO_NET_OFFLINE=true \
        CARGO_TARGET_DIR="$ROOT/build/target-trixie" BGREMOVE_TEST_SKIPS="$ROOT/build/skipped-trixie.txt" \
        sh -c 'cd "$0" && exec "$@"' "$ROOT" "$@"
}
case $1 in
analytics)
    within tools/setup.sh
    within cargo clippy --all-targets --features analytics -- -D warnings
    within cargo test --features analytics --lib --test analytics --test element --test formats
    ;;
test)
    within tools/setup.sh --test
    within cargo clippy --all-targets --features analytics -- -D warnings
    rm -f build/skipped-trixie.txt
    within tools/run_tests.py --features analytics
    if [ -s build/skipped-trixie.txt ]; then
        echo "$(wc -l <build/skipped-trixie.txt) parts of tests did not run:"
        sort -u build/skipped-trixie.txt
    fi
    ;;
*) within "$@" ;;
esac
