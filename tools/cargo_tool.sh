#!/usr/bin/env bash
# Brings one of cargo's helpers, of a fixed version, into build/tools, and runs it:
#
#   tools/cargo_tool.sh fuzz|deb|deny|c ARGUMENTS...
#
# The first time it is built, which takes minutes; `cargo-c` is the largest.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

tool=${1:-}
case $tool in
fuzz) version=0.13.2 ;;
deb) version=3.8.0 ;;
deny) version=0.20.2 ;;
c) version=0.10.21+cargo-0.95.0 ;;
*) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
shift
crate=cargo-$tool
bin=$ROOT/build/tools/bin
# cargo-c is several programs.
program=$crate
[ "$tool" != c ] || program=cargo-cinstall
if ! grep -qF "\"$crate $version " "$ROOT/build/tools/.crates.toml" 2>/dev/null || [ ! -x "$bin/$program" ]; then
    say "building $crate $version"
    # Not in the project's own target folder, whose features would be built anew each time.
    CARGO_TARGET_DIR=$ROOT/build/tools/target cargo install --quiet --locked --root "$ROOT/build/tools" "$crate@$version" ||
        die "$crate could not be built (see above)"
    rm -rf "$ROOT/build/tools/target"
fi
export PATH=$bin:$PATH
cd "$ROOT"
case $tool in
c) exec cargo cinstall "$@" ;;
*) exec cargo "$tool" "$@" ;;
esac
