#!/usr/bin/env bash
# Installs Ray into build/ray, a Python environment of its own, for tests/cluster.rs (`make ray`, `make test`).
#
#   tools/ray.sh                  as examples/cluster/requirements.txt pins it
#   tools/ray.sh --if-possible    the same; where it cannot be had it says so and is content
set -euo pipefail
. "$(dirname "$0")/lib.sh"

cd "$ROOT"
wants=examples/cluster/requirements.txt
venv=build/ray
sum=$(sha256sum "$wants" | cut -d' ' -f1)
# The mark comes last: without it what is there is half of it.
[ "$(cat "$venv/.made-from" 2>/dev/null)" != "$sum" ] || { say "Ray is there: $venv"; exit; }

without() {
    [ "${1:-}" = --if-possible ] || die "$2"
    say "$2; left out"
    exit
}

python3 -c 'import ensurepip, venv' 2>/dev/null ||
    without "${1:-}" "Python's venv is missing; install it with: apt-get install python3-venv"
say "installing Ray into $venv"
rm -rf "$venv"
python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wants" ||
    without "${1:-}" "pip could not install Ray (see above)"
printf '%s\n' "$sum" >"$venv/.made-from"
