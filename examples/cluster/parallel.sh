#!/bin/bash
# One clip in parts with GNU parallel, two at a time, each with a thread for its network: parallel.sh IN OUT N [OPTIONS]
# -q: names with spaces and colours like '#00b140' are handed on as they are.
# With `-S host1,host2 --workdir .` and a folder that all hosts see, parallel runs them there.
set -euo pipefail
in=$1 out=$2 n=$3
shift 3
seq "$n" | parallel -q -j2 bgremove convert "$in" "$out" "$@" --set threads=1 --part "{}/$n" --resume
bgremove join "$out"
