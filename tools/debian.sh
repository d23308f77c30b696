# For scripts that work in a Debian of their own under build/: source it, at the top, instead of lib.sh. It needs root, and
# calls the script again with mounts of its own, which go when the script ends, however it ends.
# shellcheck shell=bash
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[ "$(id -u)" -eq 0 ] || die "a Debian of its own needs root"
[ -n "${BGREMOVE_MOUNTS:-}" ] || exec unshare --mount --propagation private env BGREMOVE_MOUNTS=1 "$0" "$@"
unset BGREMOVE_MOUNTS
cd "$ROOT"

# enter_debian NAME RELEASE: a Debian in build/debian-NAME, which `within` works in: this folder and Rust are in it, too.
enter_debian() {
    make_debian "$1" "$2"
    local folder
    for folder in /proc /dev /sys "$ROOT" "${CARGO_HOME:-$HOME/.cargo}" "${RUSTUP_HOME:-$HOME/.rustup}" "$DATA_DIR"; do
        mkdir -p "$folder" "$root$folder"
        mount --rbind "$folder" "$root$folder"
    done
    # The crates are fetched here, where the network's settings are.
    cargo fetch --quiet
}

# within [NAME=VALUE...] COMMAND...: runs it in this folder in that Debian.
within() {
    chroot "$root" env HOME="$HOME" PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH" CARGO_NET_OFFLINE=true \
        sh -c 'cd "$0" && exec env "$@"' "$ROOT" "$@"
}
