#!/usr/bin/env bash
# Looks for faults of memory:
#
#   tools/sanitize.sh address   the unit tests, fuzz bodies and kernels included, under AddressSanitizer
#   tools/sanitize.sh metas     buffers that lie, through every element, under AddressSanitizer
#   tools/sanitize.sh leaks     a short pipeline of each kind under valgrind, and GStreamer's own leak tracer
#   tools/sanitize.sh threads   what threads share, and the kernels, under ThreadSanitizer; needs the standard library's
#                               source (rustup component add rust-src), which is built for it
#   tools/sanitize.sh           all of them but the threads
#
# Works with the stable compiler: RUSTC_BOOTSTRAP lets it take the sanitizer's flags.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

# Tests under AddressSanitizer; the arguments are cargo's.
under_address() {
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    # Leaks are looked for below; GLib keeps what it has registered. ONNX Runtime itself is not instrumented. Of
    # GStreamer's C code only what it copies is seen.
    RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address ASAN_OPTIONS=detect_leaks=0 CARGO_TARGET_DIR=$ROOT/build/asan \
        cargo test --no-default-features --target "$host" "$@"
}

address() {
    under_address --lib
    say "AddressSanitizer has found nothing"
}

metas() {
    under_address --test hostile -- metas_that_lie
    say "no element reads or writes beyond what a buffer holds"
}

threads() {
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    [ -d "$(rustc --print sysroot)/lib/rustlib/src/rust" ] || die "the standard library's source is missing; install it with: rustup component add rust-src"
    # With the standard library as it comes, its locks would not be seen. Tests with GStreamer's threads are left out: it is
    # not instrumented, and its locks are not seen either.
    RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=thread CARGO_TARGET_DIR=$ROOT/build/tsan \
        cargo test -Zbuild-std --target "$host" --no-default-features --lib -- \
        shelf:: run::tests worker:: loader threads simd morphology:: refine:: compose:: temporal:: matte:: sample::
    say "ThreadSanitizer has found nothing"
}

# Runs a pipeline; says what was definitely lost by our code.
lost() {
    local log=$1
    shift
    # AVX-512 is beyond valgrind; ONNX Runtime and the kernels then take AVX2.
    G_SLICE=always-malloc G_DEBUG=gc-friendly GST_REGISTRY_FORK=no valgrind --quiet --leak-check=full --show-leak-kinds=definite \
        --num-callers=40 --error-limit=no --suppressions=tools/valgrind.supp --log-file="$log" \
        gst-launch-1.0 -q "$@" || die "that pipeline failed: $* ($log)"
    python3 - "$log" <<'PY'
import re, sys
text = re.sub(r"(?m)^==\d+== ?", "", open(sys.argv[1]).read())
blocks = [b for b in text.split("\n\n") if "definitely lost" in b or "Invalid" in b or "uninitialised" in b]
ours = [b for b in blocks if re.search(r"gstbgremove|bgremove::", b)]
print(f"{len(blocks)} reports, {len(ours)} with our code in them")
print("\n\n".join(ours[:5]))
sys.exit(bool(ours))
PY
}

leaks() {
    need valgrind valgrind
    need gst-launch-1.0 gstreamer1.0-tools
    cargo build --lib --no-default-features
    local work
    work=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$work'" EXIT
    mkdir "$work/plugins"
    cp "${CARGO_TARGET_DIR:-target}/debug/libgstbgremove.so" "$work/plugins/"
    export GST_PLUGIN_PATH=$work/plugins GST_REGISTRY=$work/registry.bin
    gst-inspect-1.0 bgremove >/dev/null
    local source=(videotestsrc num-buffers=4 '!' video/x-raw,format=I420,width=160,height=96)
    # Under valgrind an inference takes as long as it takes.
    local element="bgremove inference-timeout=0" kind
    local kinds=("$element" "$element background=blur" "$element output=matte"
        "$element ! vp8alphaenc deadline=realtime ! webmalphamux")
    for kind in "${kinds[@]}"; do
        say "$kind"
        # shellcheck disable=SC2086
        lost "$work/valgrind.log" "${source[@]}" '!' $kind '!' fakesink || die "our code leaks (see above)"
        # shellcheck disable=SC2086
        GST_TRACERS=leaks GST_DEBUG=GST_TRACER:7 GST_DEBUG_NO_COLOR=1 gst-launch-1.0 -q "${source[@]}" '!' $kind '!' \
            fakesink >"$work/tracer.log" 2>&1 || die "that pipeline failed: $kind"
        if grep 'object-alive, type-name=' "$work/tracer.log" | grep -v 'new format string'; then
            die "GStreamer objects are left (see above)"
        fi
    done
    say "no leak of our code, no object left"
}

case ${1:-all} in
address) address ;;
metas) metas ;;
leaks) leaks ;;
threads) threads ;;
all) address; metas; leaks ;;
*) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
