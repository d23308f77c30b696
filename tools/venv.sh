#!/usr/bin/env bash
# Makes build/venv, the Python environment of the model converters, from their pinned requirements.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

venv=$ROOT/build/venv
wants=$ROOT/models/convert/requirements.txt
# The stamp is written last, so an interrupted run is done anew.
stamp=$venv/.made-from
sum=$(sha256sum "$wants" | cut -d' ' -f1)
if [ "$(cat "$stamp" 2>/dev/null)" = "$sum" ] && [ -x "$venv/bin/python" ]; then
    exit
fi
python3 -c 'import ensurepip, venv' 2>/dev/null || die "Python's venv is missing; install it with: apt-get install python3-venv"
say "making build/venv for the converters"
rm -rf "$venv"
python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wants"
printf '%s\n' "$sum" >"$stamp"
