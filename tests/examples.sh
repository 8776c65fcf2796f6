#!/bin/sh
# Runs the examples against each other and against weir-http, and checks what they print.
set -u

if [ $# -ne 1 ] || [ "$1" = --help ]; then
    echo 'Usage: tests/examples.sh BUILD_DIR'
    [ "${1-}" = --help ] && exit 0 || exit 2
fi
build=$1
tools=$(dirname "$0")/../tools
bin=$build/bin
examples=$build/examples
[ -x "$bin/weir-http" ] || { echo "$bin/weir-http is missing: make"; exit 2; }
scratch=$(mktemp -d)
children=
passed=0 failed=0 skipped=0

finish() {
    for child in $children; do
        kill "$child" 2>/dev/null
    done
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 1' INT TERM

ok() {
    echo "ok - $1"
    passed=$((passed + 1))
}

not_ok() {
    echo "not ok - $1: $2"
    failed=$((failed + 1))
}

skip() {
    echo "skip - $1: $2"
    skipped=$((skipped + 1))
}

# expect NAME FILE PATTERN: a line of the file matches the whole pattern, within 10 seconds.
expect() {
    tries=100
    while ! grep -qxE -e "$3" "$2"; do
        tries=$((tries - 1))
        if [ "$tries" -eq 0 ]; then
            not_ok "$1" "no line '$3' in: $(head -c 500 "$2" | tr '\n' '|')"
            return 1
        fi
        sleep 0.1
    done
    ok "$1"
}

# lines NAME FILE TEXT: the file is exactly that.
lines() {
    if [ "$(cat "$2")" = "$3" ]; then
        ok "$1"
    else
        not_ok "$1" "printed: $(head -c 500 "$2" | tr '\n' '|')"
    fi
}

# serve NAME COMMAND...: starts a server, whose first line ends with its port; sets $port and $pid.
serve() {
    name=$1
    shift
    : >"$scratch/$name"
    "$@" >"$scratch/$name" 2>&1 &
    pid=$!
    children="$children $pid"
    port=
    tries=100
    while [ -z "$port" ] && [ "$tries" -gt 0 ] && kill -0 "$pid" 2>/dev/null; do
        port=$(sed -n '1s/.*:\([0-9][0-9]*\)$/\1/p' "$scratch/$name")
        [ -n "$port" ] || sleep 0.1
        tries=$((tries - 1))
    done
    [ -n "$port" ] && return
    not_ok "$name starts" "$(head -c 500 "$scratch/$name" | tr '\n' '|')"
    return 1
}

# client NAME COMMAND...: runs it to its end; its output is in $scratch/NAME.
client() {
    name=$1
    shift
    timeout 10 "$@" >"$scratch/$name" 2>&1
    status=$?
    [ "$status" -eq 0 ] && return
    not_ok "$name exits with 0" "$status: $(head -c 500 "$scratch/$name" | tr '\n' '|')"
    return 1
}

# refused NAME PATTERN COMMAND...: it fails, and says so.
refused() {
    name=$1 pattern=$2
    shift 2
    if timeout 10 "$@" >"$scratch/refused" 2>&1; then
        not_ok "$name" "it succeeded"
    elif [ $? -ge 124 ]; then
        not_ok "$name" "it did not end by itself"
    else
        expect "$name" "$scratch/refused" "$pattern"
    fi
}

echo_pair() {
    serve echo_server "$examples/echo_server" 0 || return
    client echo_client "$examples/echo_client" "$port" 'Hello weir!' &&
        lines 'echo_client gets its message back' "$scratch/echo_client" "$(
            printf 'Send: Hello weir!\nReceived: Hello weir!'
        )"
    expect 'echo_server names its client' "$scratch/echo_server" '127\.0\.0\.1:[0-9]+: Hello weir!'
    client echo_default "$examples/echo_client" "$port" &&
        expect 'echo_client has a default message' "$scratch/echo_default" 'Received: Hello World!'
    refused 'a second echo_server says that the port is taken' \
        'echo_server: .*[Aa]ddress.*in use.*' "$examples/echo_server" "$port"
}

http() {
    serve weir-http "$bin/weir-http" --listen 127.0.0.1:0 || return
    client http_headers "$examples/http_headers" "http://127.0.0.1:$port/" &&
        expect 'http_headers prints the status' "$scratch/http_headers" \
            "HTTP header> HTTP/1.1 200 OK$cr" &&
        expect 'http_headers prints the headers' "$scratch/http_headers" \
            "HTTP header> Content-Length: 13$cr"
    client http_no_path "$examples/http_headers" "http://127.0.0.1:$port" &&
        expect 'http_headers takes a URL without a path' "$scratch/http_no_path" \
            "HTTP header> HTTP/1.1 200 OK$cr"
    client http_path "$examples/http_headers" "http://127.0.0.1:$port/nothing" &&
        expect 'http_headers sends the path' "$scratch/http_path" \
            "HTTP header> HTTP/1.1 404 Not Found$cr"
    refused 'http_headers says what it takes' 'usage: .*https?.*' "$examples/http_headers" ftp://a/

    http_port=$port
    serve forward_proxy "$examples/forward_proxy" 0 127.0.0.1 "$http_port" || return
    client proxied "$examples/http_headers" "http://127.0.0.1:$port/" &&
        expect 'forward_proxy passes a request and its response on' "$scratch/proxied" \
            "HTTP header> Content-Length: 13$cr"
}

tls() {
    if ! command -v openssl >/dev/null; then
        skip 'http_headers over TLS, tls_terminator and start_tls' 'there is no openssl'
        return
    fi
    certs=$scratch/certs
    if ! "$tools/certs" "$certs" >"$scratch/made" 2>&1 ||
        ! "$tools/certs" "$certs/other" >"$scratch/made" 2>&1; then
        not_ok 'tools/certs makes certificates' "$(tr '\n' '|' <"$scratch/made")"
        return
    fi
    https
    tls_terminator
    start_tls
}

https() {
    set -- --tls-cert "$certs/server.pem" --tls-key "$certs/server-key.pem"
    serve weir-https "$bin/weir-http" --listen 127.0.0.1:0 "$@" || return
    client https_headers env "SSL_CERT_FILE=$certs/ca.pem" \
        "$examples/http_headers" "https://127.0.0.1:$port/" &&
        expect 'http_headers prints the status, over TLS' "$scratch/https_headers" \
            "HTTP header> HTTP/1.1 200 OK$cr" &&
        expect 'http_headers prints the headers, over TLS' "$scratch/https_headers" \
            "HTTP header> Content-Length: 13$cr"
    client https_name env "SSL_CERT_FILE=$certs/ca.pem" \
        "$examples/http_headers" "https://localhost:$port/nothing" &&
        expect 'http_headers takes a name, over TLS' "$scratch/https_name" \
            "HTTP header> HTTP/1.1 404 Not Found$cr"
    refused 'http_headers trusts no other authority' 'https:.*: .*authority.*' \
        env "SSL_CERT_FILE=$certs/other/ca.pem" "$examples/http_headers" "https://127.0.0.1:$port/"

    serve weir-https "$bin/weir-http" --listen 127.0.0.2:0 "$@" || return
    refused 'http_headers wants a certificate for the right name' 'https:.*: .*name.*' \
        env "SSL_CERT_FILE=$certs/ca.pem" "$examples/http_headers" "https://127.0.0.2:$port/"
}

tls_terminator() {
    serve tls_terminator "$examples/tls_terminator" 0 127.0.0.1 "$http_port" \
        "$certs/server.pem" "$certs/server-key.pem" || return
    client terminated env "SSL_CERT_FILE=$certs/ca.pem" \
        "$examples/http_headers" "https://127.0.0.1:$port/" &&
        expect 'tls_terminator passes a request and its response on' "$scratch/terminated" \
            "HTTP header> Content-Length: 13$cr"
    if ! command -v curl >/dev/null; then
        skip 'tls_terminator serves curl' 'there is no curl'
        return
    fi
    for version in 1.2 1.3; do
        client "curl-$version" curl -sS --cacert "$certs/ca.pem" --tlsv1.2 --tls-max "$version" \
            -H 'Connection: close' "https://localhost:$port/" &&
            lines "tls_terminator ends in order, over TLS $version" "$scratch/curl-$version" \
                'Hello, World!'
    done
    refused 'tls_terminator says which file it lacks' 'tls_terminator: .*' \
        "$examples/tls_terminator" 0 127.0.0.1 "$http_port" "$certs/none.pem" "$certs/none.pem"
}

start_tls() {
    client start_tls "$examples/start_tls" "$certs/server.pem" "$certs/server-key.pem" \
        "$certs/ca.pem" || return
    tr -d '\r' <"$scratch/start_tls" >"$scratch/dialogue"
    expect 'start_tls: a command behind STARTTLS goes to TLS' "$scratch/dialogue" \
        'server, STARTTLS: .*not speak TLS.*'
    if grep -q 'MAIL FROM' "$scratch/dialogue"; then
        not_ok 'start_tls: it is not obeyed' "$(tr '\n' '|' <"$scratch/dialogue")"
    else
        ok 'start_tls: it is not obeyed'
    fi
    sed -n '/^the attack fails$/,$p' "$scratch/dialogue" >"$scratch/upgrade"
    lines 'start_tls: a client upgrades in order' "$scratch/upgrade" "$(
        printf '%s\n' 'the attack fails' '' 'client hears: 220 welcome' 'server, plain: EHLO me' \
            'client hears: 250-localhost' 'client hears: 250 STARTTLS' 'server, plain: STARTTLS' \
            'client hears: 220 go ahead' 'server, TLSv1.3: EHLO me' 'client hears: 250 localhost' \
            'server, TLSv1.3: QUIT' 'client hears: 221 bye' 'the upgrade succeeds'
    )"
}

# The clients are echo_client: it says one line, and ends with the first that it hears.
chat() {
    serve chat "$examples/broadcast_chat" 0 || return
    chat_port=$port
    "$examples/echo_client" "$chat_port" 'I am first' >"$scratch/first" 2>&1 &
    first=$!
    children="$children $first"
    expect 'broadcast_chat lets a client in' "$scratch/chat" '127\.0\.0\.1:[0-9]+ came' || return

    "$examples/echo_client" "$chat_port" 'I am second' >"$scratch/second" 2>&1 &
    second=$!
    children="$children $second"
    expect 'broadcast_chat tells the first what the second says' "$scratch/first" \
        'Received: 127\.0\.0\.1:[0-9]+: I am second'
    expect 'broadcast_chat sees the first leave' "$scratch/chat" '127\.0\.0\.1:[0-9]+ left'

    "$examples/echo_client" "$chat_port" 'I am third' >"$scratch/third" 2>&1 &
    third=$!
    children="$children $third"
    expect 'broadcast_chat goes on with the others' "$scratch/second" \
        'Received: 127\.0\.0\.1:[0-9]+: I am third'
    if grep -q 'Received' "$scratch/third"; then
        not_ok 'broadcast_chat tells nobody his own lines' "$(cat "$scratch/third")"
    else
        ok 'broadcast_chat tells nobody his own lines'
    fi
}

# An idle client between two others; bash opens its socket, and leaves a line unfinished.
parked() {
    serve parked_echo "$examples/parked_echo" 0 || return
    client parked_client "$examples/echo_client" "$port" 'Hello weir!' &&
        expect 'parked_echo sends a line back' "$scratch/parked_client" 'Received: Hello weir!'
    expect 'parked_echo hears a client leave' "$scratch/parked_echo" \
        '127\.0\.0\.1:[0-9]+ left, lines: 1'
    if ! command -v bash >/dev/null; then
        skip 'parked_echo resumes a client, and ends with one' 'there is no bash'
        return
    fi
    bash -c "exec 3<>/dev/tcp/127.0.0.1/$port
        printf 'one\ntwo\nthr' >&3; read -r a <&3; read -r b <&3; sleep 0.1
        printf 'ee\n' >&3; read -r c <&3; sleep 0.1; printf 'four\n' >&3; read -r d <&3
        echo \"\$a \$b \$c \$d\"; exec cat <&3" >"$scratch/idle" &
    children="$children $!"
    expect 'parked_echo resumes a client' "$scratch/idle" 'one two three four'
    client parked_other "$examples/echo_client" "$port" 'Hello again!' &&
        expect 'parked_echo serves others meanwhile' "$scratch/parked_other" \
            'Received: Hello again!'
    sleep 0.2
    kill -TERM "$pid"
    expect 'parked_echo holds the idle client parked' "$scratch/parked_echo" 'parked clients: 1'
    expect 'parked_echo hears it once more at the end' "$scratch/parked_echo" \
        '127\.0\.0\.1:[0-9]+ left, lines: 4'
    if wait "$pid"; then
        ok 'parked_echo ends in order'
    else
        not_ok 'parked_echo ends in order' "$(head -c 500 "$scratch/parked_echo" | tr '\n' '|')"
    fi
}

# resident PID: its memory in KiB.
resident() {
    awk '/^VmRSS/ { print $2 }' "/proc/$1/status"
}

# One client never reads, while another says 8 MiB; bash opens the sockets.
slow_chat() {
    if ! command -v bash >/dev/null; then
        skip 'broadcast_chat is not held up by a slow client' 'there is no bash'
        return
    fi
    serve slow_chat "$examples/broadcast_chat" 0 || return
    bash -c "exec 3<>/dev/tcp/127.0.0.1/$port; exec sleep 60" &
    children="$children $!"
    timeout 20 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port; exec cat <&3" >"$scratch/heard" &
    children="$children $!"
    expect 'broadcast_chat lets two in' "$scratch/slow_chat" '127\.0\.0\.1:[0-9]+ came' || return
    sleep 0.3

    before=$(resident "$pid")
    # A fast client may miss a line of a flood, too; it has caught up by the last.
    client flood bash -c "exec 3<>/dev/tcp/127.0.0.1/$port
        yes 'what a long line, all in all, for so little news' | head -c 8388608 >&3
        printf '\\n' >&3; sleep 0.5; echo 'the end' >&3; sleep 0.2"
    expect 'broadcast_chat is not held up by a slow client' "$scratch/heard" \
        '127\.0\.0\.1:[0-9]+: the end'

    grown=$(($(resident "$pid") - before))
    case $build in
    *address* | *thread*)
        skip 'broadcast_chat keeps its memory bounded' 'of the sanitizer'
        return
        ;;
    esac
    if [ "$grown" -lt 65536 ]; then
        ok 'broadcast_chat keeps its memory bounded'
    else
        not_ok 'broadcast_chat keeps its memory bounded' "grew by $grown KiB"
    fi
}

alone() {
    client open_socket "$examples/open_socket" &&
        lines 'open_socket receives abc' "$scratch/open_socket" 'Received: abc'

    client group "$examples/group" &&
        lines 'group: the first failure cancels the others' "$scratch/group" "$(
            printf '%s\n' 'short: begins' 'broken: begins' 'long: begins' 'short: done' \
                'broken: fails' 'long: cancelled'
            sed -n '$p' "$scratch/group"
        )" &&
        expect 'group: its error is the first failure' "$scratch/group" 'group: .*(I/O|[Ee]rror).*'

    if client timeouts "$examples/timeouts"; then
        expect 'timeouts: a readline ends at its limit' "$scratch/timeouts" \
            'readline: .*[Tt]imed out.*'
        expect 'timeouts: no byte is lost' "$scratch/timeouts" 'read: half a li'
        expect 'timeouts: a task ends at its limit' "$scratch/timeouts" \
            'wait_for: .*[Tt]imed out.*'
    fi
}

cr=$(printf '\r')
echo_pair
http
tls
chat
slow_chat
parked
alone

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
