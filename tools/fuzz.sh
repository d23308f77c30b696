#!/usr/bin/env bash
# Runs the fuzz targets of fuzz/, each for FUZZ_SECONDS (60), from what earlier runs have gathered in fuzz/corpus/ and
# from fuzz/seeds/. Arguments name targets; without any, all run. Ends with an error as soon as one finds something:
# it is in fuzz/artifacts/.
#
# Works with the stable compiler: RUSTC_BOOTSTRAP lets it take the sanitizer's flags.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

case ${1:-} in -*) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
cd "$ROOT"
export RUSTC_BOOTSTRAP=1
# GLib keeps what it has registered until the process ends.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0}
"$ROOT/tools/cargo_tool.sh" fuzz build
mapfile -t all < <("$ROOT/tools/cargo_tool.sh" fuzz list)
[ $# -gt 0 ] || set -- "${all[@]}"
target=fuzz/target/$(rustc -vV | sed -n 's/^host: //p')/release
mkdir -p fuzz/artifacts
for name; do
    [ -x "$target/$name" ] || die "there is no target $name; there are: ${all[*]}"
    mkdir -p "fuzz/corpus/$name"
    say "$name, ${FUZZ_SECONDS:-60} s"
    "$target/$name" "fuzz/corpus/$name" "fuzz/seeds/$name" "fuzz/regressions/$name" -max_total_time="${FUZZ_SECONDS:-60}" -timeout=10 \
        -rss_limit_mb=3000 -artifact_prefix="fuzz/artifacts/$name-" -print_final_stats=1 >"fuzz/artifacts/$name.log" 2>&1 || {
        grep -A 3 -m 1 -E 'panicked|ERROR' "fuzz/artifacts/$name.log" >&2 || true
        die "$name has found something: fuzz/artifacts/$name.log and the file that it names"
    }
    say "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "fuzz/artifacts/$name.log") runs, nothing found"
done
