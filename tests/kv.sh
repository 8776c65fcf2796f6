#!/bin/sh
# Whether the tutorial of docs/simulation.md holds: the bug in tests/kv/server.c is found, the one
# that fix.patch mends, and nothing else.
set -u
cd "$(dirname "$0")/.." || exit 1

if [ $# -ne 1 ] || [ "$1" = --help ]; then
    cat <<'USAGE'
Usage: tests/kv.sh BUILD_DIR

Runs BUILD_DIR/sim/kv, which must find the bug; mends a copy, compiles it with BUILD_DIR/libweir-sim.a
as a user would, and runs that, which must find nothing; and serves a client in the real kernel.
Prints "ok - ...", "not ok - ..." or "skip - ...", and "N passed, N failed, N skipped" last.

  CC=cc  in the environment: the compiler
USAGE
    [ "${1-}" = --help ] && exit 0 || exit 2
fi

seeds_to_find=2000 seeds_fixed=5000 tortured=60 limit=300
case $1 in
/*) build=$1 ;;
*) build=$PWD/$1 ;;
esac
root=$PWD
scratch=$(mktemp -d)
server=
# shellcheck disable=SC2064 # $scratch is known now
trap "rm -rf '$scratch'" EXIT
trap 'kill $server 2>/dev/null; exit 130' INT TERM
export SIM_TRACE_DIR="$scratch"
passed=0 failed=0 skipped=0

ok() {
    echo "ok - $1"
    passed=$((passed + 1))
}
not_ok() {
    sed 's/^/    /' "$scratch/out" | tail -n 30
    echo "not ok - $1: ${2-see above}"
    failed=$((failed + 1))
}

# try NAME COMMAND...: it must succeed; what it prints is shown if it does not.
try() {
    name=$1
    shift
    if "$@" >"$scratch/out" 2>&1; then
        ok "$name"
    else
        not_ok "$name"
        return 1
    fi
}

# It must end with 1, and by that check which the bug breaks: some other violation is no success.
finds_the_bug() {
    name="$1: the bug is found within $seeds_to_find seeds"
    status=0
    timeout "$limit" "$2" --seeds "$seeds_to_find" --shrink-seconds 2 >"$scratch/out" 2>&1 ||
        status=$?
    if [ $status -eq 1 ] && grep -q 'sim\.c:[0-9]*: n == size && memcmp' "$scratch/out"; then
        ok "$name ($(sed -n "s/^violation: scenario 'kv', \(seed [0-9]*\)$/\1/p" "$scratch/out" |
            head -n 1))"
    else
        not_ok "$name" "it ended with $status"
    fi
}

compile() {
    # shellcheck disable=SC2086 # CC may hold options
    (cd "$scratch/kv" && ${CC:-cc} -Wall -Wextra -Werror -g -O1 -I"$root/include" "$@" -lpthread)
}

# tells STATUS WORDS ARGUMENT...: so ends the program of mistakes, and these are its words.
tells() {
    wanted=$1 words=$2 status=0
    shift 2
    timeout 20 "$scratch/kv/mistakes" "$@" >"$scratch/out" 2>&1 || status=$?
    if [ $status -eq "$wanted" ] && grep -qF -e "$words" "$scratch/out"; then
        ok "a mistake is told: $*"
    else
        not_ok "a mistake is told: $*" "it ended with $status, not $wanted and \"$words\""
    fi
}

mistakes() {
    outside='outside of a world: in a program that is linked with libweir-sim it belongs'
    tells 134 "weir_sim_choose() $outside" choose-outside
    tells 134 "weir_run() $outside" run-outside
    tells 1 'in a thread that is not the world' --scenario foreign-thread --seed 1
    tells 1 'its main has returned -16 (Device or resource busy)' --scenario nested-run --seed 1
    tells 1 'an error is negative, as -ETIMEDOUT' --scenario positive-route --seed 1
    tells 1 '"an-address" is no address written as a number' --scenario no-address --seed 1
    tells 1 'there is nothing to choose from' --scenario no-choice --seed 1
    tells 1 'call it in a thread of weir_sim_thread()' --scenario blocking-call --seed 1
    tells 2 'there is no such call' --scenario nothing --torture --at 99999
    tells 2 'No such file or directory' --seeds 1 --stats /nonexistent/file
    tells 2 'it cannot be written' --seeds 1 --resume /nonexistent/file
    tells 2 '--list tells which there are' --scenario another
    tells 2 '--seeds goes from one seed to the next' --seed 1 --seeds 3
}

# A signal to all its processes, as timeout and service managers send it, stops it in order.
stops() {
    name="SIGTERM stops it: $*"
    timeout --signal=TERM 1 "$scratch/kv/fixed" "$@" >"$scratch/out" 2>&1
    if grep -q '^stopped: ' "$scratch/out" && ! grep -q '^violation' "$scratch/out"; then
        ok "$name"
    else
        not_ok "$name" 'it has not said so, or has told a violation'
    fi
}

# The mended server in the real kernel, and a client that is no program of weir's.
serve() {
    "$scratch/kv/real" 0 >"$scratch/where" 2>"$scratch/out" &
    server=$!
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        grep -q . "$scratch/where" && break
        sleep 0.1
    done
    timeout 20 python3 - "$(sed 's/.*://' "$scratch/where")" >>"$scratch/out" 2>&1 <<'END'
import socket
import sys

with socket.create_connection(('127.0.0.1', int(sys.argv[1])), 10) as peer:
    answers = peer.makefile('rb')
    for size in 0, 1, 1024:
        peer.sendall(b'SET key %d\n' % size + b'x' * size + b'GET key\nGET another\n')
        assert answers.readline() == b'OK\n'
        assert answers.readline() == b'VALUE %d\n' % size
        assert answers.read(size) == b'x' * size
        assert answers.readline() == b'NONE\n'
    peer.sendall(b'SET key 1025\n')
    assert answers.readline() == b'ERROR too large\n'
    assert answers.readline() == b''
END
    status=$?
    kill "$server" 2>/dev/null
    wait "$server" 2>/dev/null
    return $status
}

if [ ! -x "$build/sim/kv" ]; then
    : >"$scratch/out"
    not_ok 'the tutorial' "there is no $build/sim/kv: make sim-programs"
    echo '0 passed, 1 failed, 0 skipped'
    exit 1
fi
mkdir "$scratch/kv"
cp tests/kv/*.[ch] "$scratch/kv" || exit 1
finds_the_bug 'as it is built here' "$build/sim/kv"
if try 'it compiles as in the tutorial' \
    compile -o found sim.c server.c "$build/libweir-sim.a" -luring; then
    finds_the_bug 'compiled so' "$scratch/kv/found"
fi
if try 'fix.patch applies' patch -s -d "$scratch/kv" -p3 -i "$root/tests/kv/fix.patch" &&
    try 'the mended server compiles' \
        compile -o fixed sim.c server.c "$build/libweir-sim.a" -luring; then
    try "$seeds_fixed seeds find nothing in it" timeout "$limit" \
        "$scratch/kv/fixed" --seeds "$seeds_fixed"
    try 'nor do calls that fail' timeout "$limit" "$scratch/kv/fixed" --torture --shallow "$tortured"
    stops --seeds 10000000
    stops --check-replay 10000000
fi
if try 'mistakes compile' compile -o mistakes mistakes.c "$build/libweir-sim.a" -luring; then
    mistakes
fi
if try 'it compiles for the real kernel' \
    compile -o real main.c server.c "$build/libweir.a" -luring; then
    if ! command -v python3 >/dev/null; then
        echo 'skip - it serves a client in the real kernel: python3 is not installed'
        skipped=$((skipped + 1))
    elif serve; then
        ok 'it serves a client in the real kernel'
    elif grep -q 'io_uring' "$scratch/out"; then
        echo "skip - it serves a client in the real kernel: $(head -n 1 "$scratch/out")"
        skipped=$((skipped + 1))
    else
        not_ok 'it serves a client in the real kernel'
    fi
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
