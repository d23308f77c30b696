#!/usr/bin/env bash
# Installs the Debian packages that bgremove is built, run and tested with, and checks for Rust.
#
#   tools/setup.sh            what `make build` and `make demo` need
#   tools/setup.sh --test     also what `make test` needs (npm, Chromium, Firefox, mkvtoolnix, PyGObject, PipeWire, ICE, GES, GNU parallel, Python venv)
#   tools/setup.sh --gpu      also what `make runtime-webgpu` needs (the Vulkan loader)
#   tools/setup.sh --bench    also what `make bench` needs (Python venv)
#   tools/setup.sh --models   also what `make models` needs (npm), and `make demo` without LIGHT_ONLY=1
#   tools/setup.sh --light    also what `make light` needs (npm, Python venv)
#
# As root it installs; otherwise it prints the command to run. Nothing missing: it says so and ends.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

packages=(
    build-essential pkg-config                       # cargo links with the C compiler
    libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
    libgstrtspserver-1.0-dev                         # the example rtsp_server, so all of examples/, tests/, benches/
    gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
    gstreamer1.0-plugins-ugly                        # x264enc
    gstreamer1.0-libav                               # avdec_h264, avenc_prores_ks, avenc_aac
    ffmpeg fonts-dejavu-core                         # the demo's clip and contact sheet, with labels
    python3 python3-pip                              # pip fetches the pinned packages
)
# GStreamer 1.26, whose analytics library the feature `analytics` wants.
if [ "$(. /etc/os-release 2>/dev/null && echo "${ID:-} ${VERSION_ID:-0}")" = "debian 13" ]; then
    packages+=(libgstreamer-plugins-bad1.0-dev)
fi
for arg; do
    case $arg in
    # Chromium brings a Vulkan driver that computes on the CPU, too.
    --test) packages+=(npm chromium chromium-driver firefox-esr mkvtoolnix python3-gst-1.0
        dbus pipewire wireplumber gstreamer1.0-pipewire xdg-desktop-portal gstreamer1.0-nice gir1.2-ges-1.0 parallel libvulkan1 python3-venv) ;;
    --gpu) packages+=(libvulkan1) ;;
    --bench) packages+=(python3-venv) ;;
    --models) packages+=(npm) ;;
    --light) packages+=(python3-venv npm) ;;
    -h | --help) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit ;;
    *) die "unknown option $arg (see --help)" ;;
    esac
done

# What a package brings may also have come another way (npm from elsewhere, another distribution).
present() {
    case $1 in
    npm) command -v npm >/dev/null 2>&1 && return ;;
    python3) command -v python3 >/dev/null 2>&1 && return ;;
    python3-pip) python3 -m pip --version >/dev/null 2>&1 && return ;;
    python3-venv) python3 -c 'import ensurepip, venv' >/dev/null 2>&1 && return ;;
    ffmpeg) command -v ffmpeg >/dev/null 2>&1 && command -v ffprobe >/dev/null 2>&1 && return ;;
    build-essential) command -v cc >/dev/null 2>&1 && command -v make >/dev/null 2>&1 && return ;;
    pkg-config) command -v pkg-config >/dev/null 2>&1 && return ;;
    esac
    command -v dpkg-query >/dev/null 2>&1 &&
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing=()
for p in "${packages[@]}"; do present "$p" || missing+=("$p"); done

if [ ${#missing[@]} -eq 0 ]; then
    say "all ${#packages[@]} packages are there"
elif ! command -v apt-get >/dev/null 2>&1; then
    die "this is not a Debian system; install what these Debian packages hold: ${missing[*]}"
elif [ "$(id -u)" -eq 0 ]; then
    say "installing: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
else
    say "these packages are missing; run this, then try again:"
    echo "    sudo apt-get install --no-install-recommends ${missing[*]}"
    exit 1
fi

# Rust: the version that Cargo.toml asks for, or newer.
wanted=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$ROOT/Cargo.toml")
if ! command -v cargo >/dev/null 2>&1; then
    if [ -x "$HOME/.cargo/bin/cargo" ]; then
        die "Rust is in $HOME/.cargo/bin, which is not in PATH; run: export PATH=\"\$HOME/.cargo/bin:\$PATH\""
    fi
    die "Rust is missing: install Rust $wanted or newer with rustup (Debian 12's own is too old)"
fi
have=$(cd "$ROOT" && rustc --version | cut -d' ' -f2)
if [ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n1)" != "$wanted" ]; then
    die "Rust $have is too old, $wanted or newer is needed; run: rustup update stable"
fi
say "Rust $have"
for c in fmt:rustfmt clippy:clippy; do
    (cd "$ROOT" && cargo "${c%%:*}" --version) >/dev/null 2>&1 ||
        say "'make test' also needs 'cargo ${c%%:*}'; run: rustup component add ${c##*:}"
done
