#!/bin/sh
# Runs the vectors of tests/conformance on the real kernel and on the simulated one, and compares.
set -u

if [ $# -eq 0 ] || [ "$1" = --help ]; then
    cat <<'USAGE'
Usage: tests/conformance.sh BUILD_DIR [PATTERN]

Runs BUILD_DIR/tests/conformance-real and conformance-sim, a process for each vector whose name
matches PATTERN (of the shell; all by default), and compares what they print. Prints "ok - NAME" or
"not ok - NAME" with the difference, and "N passed, N failed, N skipped" last.

  CONFORMANCE_REAL, CONFORMANCE_SIM  in the environment: the two programs
  CONFORMANCE_SEED                   of the simulated worlds; by default chance decides nothing
  CONFORMANCE_LIMIT                  the seconds that a vector may take: 20
USAGE
    [ "${1-}" = --help ] && exit 0 || exit 2
fi

real=${CONFORMANCE_REAL:-$1/tests/conformance-real}
sim=${CONFORMANCE_SIM:-$1/tests/conformance-sim}
pattern=${2:-*}
limit=${CONFORMANCE_LIMIT:-20}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for program in "$real" "$sim"; do
    if [ ! -x "$program" ]; then
        echo "not ok - there is no $program"
        echo '0 passed, 1 failed, 0 skipped'
        exit 1
    fi
done
"$real" --list >"$scratch/names" || exit 1
if ! "$sim" --list | cmp -s - "$scratch/names"; then
    echo 'not ok - the two programs have the same vectors'
    echo '0 passed, 1 failed, 0 skipped'
    exit 1
fi
# Without io_uring there is nothing to compare with.
if timeout "$limit" "$real" close/by-ring 2>&1 | grep -q '^no ring'; then
    echo 'skip - conformance: this kernel lets us have no io_uring'
    echo "0 passed, 0 failed, $(wc -l <"$scratch/names") skipped"
    exit 0
fi

# outcome_of PROGRAM NAME: what it prints, and how it ended if not well.
outcome_of() {
    status=0
    timeout "$limit" "$1" "$2" 2>"$scratch/stderr" || status=$?
    [ $status -eq 0 ] || {
        echo "(ended with status $status)"
        head -n 20 "$scratch/stderr"
    }
}

passed=0 failed=0
while read -r name; do
    # shellcheck disable=SC2254 # a pattern it is
    case $name in
    $pattern) ;;
    *) continue ;;
    esac
    outcome_of "$sim" "$name" >"$scratch/simulated" 2>&1
    # How full a socket's buffers are is a matter of time, so on a busy machine the real kernel is
    # asked again.
    for attempt in 1 2 3; do
        outcome_of "$real" "$name" >"$scratch/real" 2>&1
        ! cmp -s "$scratch/real" "$scratch/simulated" || break
        [ "$attempt" -eq 3 ] || echo "$name differs: once more"
    done
    if cmp -s "$scratch/real" "$scratch/simulated" && ! grep -q '^(ended' "$scratch/real"; then
        echo "ok - $name"
        passed=$((passed + 1))
    else
        echo "not ok - $name"
        diff -U 20 --label real --label simulated "$scratch/real" "$scratch/simulated" |
            sed 's/^/    /'
        failed=$((failed + 1))
    fi
done <"$scratch/names"
if [ $((passed + failed)) -eq 0 ]; then
    echo "not ok - $pattern: no vector has such a name; '$real --list' has them all"
    failed=1
fi
echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
