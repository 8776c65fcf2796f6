#!/bin/sh
# Worlds in the simulated kernel, as a part of the suite: seeds, seeds again, and torture.
set -u

if [ $# -eq 0 ] || [ "$1" = --help ]; then
    cat <<'USAGE'
Usage: tests/simulation.sh BUILD_DIR [SEEDS [REPLAYED [TORTURED]]]

Runs BUILD_DIR/sim/sim: the worlds of tests/sim/regressions, in which weir has had bugs; so many
seeds (1000), some of them twice (to see that they repeat), and so many pairs of a scenario and a
call in it that fails. Prints "ok - ..." or "not ok - ...", and "N passed, N failed, N skipped"
last, where each seed counts. A violation is told with what replays it.

  FIRST_SEED=N  in the environment: the first seed (1)
USAGE
    [ "${1-}" = --help ] && exit 0 || exit 2
fi

sim=$1/sim/sim
seeds=${2:-1000} replayed=${3:-0} tortured=${4:-0}
first=${FIRST_SEED:-1}
passed=0 failed=0

# run COUNT WHAT ARGUMENT...
run() {
    count=$1
    what=$2
    shift 2
    [ "$count" -gt 0 ] || return
    if "$sim" "$@"; then
        echo "ok - $what"
        passed=$((passed + count))
    else
        echo "not ok - $what"
        failed=$((failed + 1))
    fi
}

while read -r bug arguments; do
    case $bug in
    '#'*) continue ;;
    esac
    run 1 "the world of $bug" $arguments --quiet
done <"$(dirname "$0")/sim/regressions"
run "$seeds" "$seeds seeds from $first on" --seeds "$seeds" --first "$first"
run "$replayed" "$replayed seeds, twice each" --check-replay "$replayed" --first "$first"
run "$tortured" "$tortured calls that fail" --torture --shallow "$tortured" --first "$first"
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
