#!/usr/bin/env bash
# Installs plugin, presets, tool, manual pages and shell completions into a prefix: tools/install.sh [PREFIX] (/usr/local).
# DESTDIR goes before it, for packagers. ONNX Runtime is not part of it: `make runtime` installs it for a user.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

case ${1:-} in -*) sed -n '2,3s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
prefix=${1:-/usr/local}
destdir=${DESTDIR:-}
cd "$ROOT"
"$ROOT/tools/cargo_tool.sh" c --release --prefix "$prefix" --libdir lib ${FEATURES:+"$FEATURES"} ${destdir:+--destdir "$destdir"}
cargo build --release ${FEATURES:+"$FEATURES"} --bin bgremove
into=$destdir$prefix
install -D -m 755 "${CARGO_TARGET_DIR:-target}/release/bgremove" "$into/bin/bgremove"
tool=$into/bin/bgremove
install -D -m 644 -t "$into/share/gstreamer-1.0/presets" presets/*.prs
mkdir -p "$into/share/man/man1" "$into/share/bash-completion/completions" "$into/share/zsh/site-functions" \
    "$into/share/fish/vendor_completions.d"
"$tool" generate man "$into/share/man/man1"
"$tool" generate completions bash >"$into/share/bash-completion/completions/bgremove"
"$tool" generate completions zsh >"$into/share/zsh/site-functions/_bgremove"
"$tool" generate completions fish >"$into/share/fish/vendor_completions.d/bgremove.fish"
say "installed into $into; GStreamer looks there with: export GST_PLUGIN_PATH=$prefix/lib/gstreamer-1.0 \
GST_PRESET_PATH=$prefix/share/gstreamer-1.0/presets"
