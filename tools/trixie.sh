#!/usr/bin/env bash
# Builds and tests in a Debian 13 (GStreamer 1.26) of its own under build/, the feature `analytics` included:
#
#   tools/trixie.sh analytics      what the feature is about: the unit tests, and those of analytics, element and formats
#   tools/trixie.sh test           clippy and all tests; installs there what they need
#   tools/trixie.sh COMMAND...     another command in that Debian, in this folder
#
# Needs root, debootstrap, Rust for this user, and what `make runtime clips` gets.
set -euo pipefail
[ $# -gt 0 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
. "$(dirname "$0")/debian.sh"
enter_debian trixie trixie
export CARGO_TARGET_DIR=$ROOT/build/target-trixie BGREMOVE_TEST_SKIPS=$ROOT/build/skipped-trixie.txt

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
