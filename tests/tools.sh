#!/bin/bash
# Tests weir-echo and weir-http from outside: options, addresses, signals, TLS, and what HTTP
# allows.
# It is for bash, whose /dev/tcp sends raw bytes.
set -u

if [ $# -ne 1 ] || [ "$1" = --help ]; then
    echo 'Usage: tests/tools.sh BUILD_DIR'
    [ "${1-}" = --help ] && exit 0 || exit 2
fi
build=$1
[ -x "$build/bin/weir-http" ] || { echo "$build/bin/weir-http is missing: make"; exit 2; }
tools=$(dirname "$0")/../tools
scratch=$(mktemp -d)
children=()
passed=0 failed=0 skipped=0

finish() {
    for child in "${children[@]}"; do
        kill -KILL "$child" 2>/dev/null
    done
    wait 2>/dev/null
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 1' INT TERM

# result STATUS NAME WHY: "ok" if the status is 0.
result() {
    if [ "$1" -eq 0 ]; then
        echo "ok - $2"
        passed=$((passed + 1))
    else
        echo "not ok - $2: ${3//[$'\n\r']/|}"
        failed=$((failed + 1))
    fi
}

skip() {
    echo "skip - $1: $2"
    skipped=$((skipped + 1))
}

# is NAME GOT WANTED
is() {
    [ "$2" = "$3" ]
    result $? "$1" "got '${2:0:500}', wanted '${3:0:500}'"
}

# like NAME GOT PATTERN: a glob
like() {
    # shellcheck disable=SC2053 # it is a pattern
    [[ $2 == $3 ]]
    result $? "$1" "got '${2:0:500}', wanted '$3'"
}

now() {
    echo $((${EPOCHREALTIME/[.,]/} / 1000))
}

# serve TOOL OPTION...: starts it; sets $pid, $port and $log. SIGINT is ignored in a script's
# background, but not by a user's tool.
serve() {
    log=$scratch/log.$1
    : >"$log"
    env --default-signal=INT "$build/bin/$1" "${@:2}" >"$log" 2>&1 &
    pid=$!
    children+=("$pid")
    for ((try = 0; try < 100; try++)); do
        if grep -q listening "$log" || ! kill -0 "$pid" 2>/dev/null; then
            break
        fi
        sleep 0.05
    done
    port=$(sed -n 's/.*listening on .*:\([0-9]*\)$/\1/p' "$log" | head -n 1)
    grep -q listening "$log" || result 1 "$* starts" "$(<"$log")"
}

# end SIGNAL: sends it, and waits for the end, 10 s at most; sets $status, and $took in ms.
end() {
    local begin
    begin=$(now)
    { # bash itself tells on stderr of those that are killed
        kill -s "$1" "$pid"
        while kill -0 "$pid"; do
            if [ $(($(now) - begin)) -gt 10000 ]; then
                kill -KILL "$pid"
            fi
            sleep 0.02
        done
        wait "$pid"
        status=$?
    } 2>/dev/null
    took=$(($(now) - begin))
}

# ---- Options -------------------------------------------------------------------------------------

# refuses TOOL MESSAGE OPTION...: it exits with 2, and says that on stderr only.
refuses() {
    local out err code
    out=$(timeout 10 "$build/bin/$1" "${@:3}" 2>"$scratch/err")
    code=$?
    err=$(<"$scratch/err")
    is "$1 ${*:3}: is refused" "$code:$out:$err" "2::$1: $2"
}

options() {
    local tool=$1 out forms='HOST:PORT, [IPv6]:PORT, unix:PATH or unix:@NAME'
    out=$(timeout 10 "$build/bin/$tool" --help 2>&1)
    is "$tool --help exits with 0" $? 0
    like "$tool --help tells the options" "$out" \
        "Usage: $tool*--listen*--threads*--grace*--tls-cert*"
    out=$(timeout 10 "$build/bin/$tool" --version 2>&1)
    is "$tool --version exits with 0" $? 0
    like "$tool --version prints it" "$out" "$tool [0-9]*.[0-9]*.[0-9]*"

    refuses "$tool" 'unknown option --x (see --help)' --x
    refuses "$tool" 'unknown option --x (see --help)' --x=1
    refuses "$tool" 'unknown option -l (see --help)' -l
    refuses "$tool" 'unexpected argument stray (see --help)' stray
    refuses "$tool" '--help takes no value (see --help)' --help=1
    refuses "$tool" '--listen needs a value: --listen ADDRESS (see --help)' --listen
    for value in 127.0.0.1 127.0.0.1: 127.0.0.1:65536 127.0.0.1:-1 127.0.0.1:http ::1 '[::1]' \
        unix: 1.2.3.4:5x; do
        refuses "$tool" "--listen '$value': expected $forms" --listen "$value"
    done
    for value in 0 -1 1025 two 99999999999999999999 ''; do
        refuses "$tool" "--threads '$value': expected a number from 1 to 1024" "--threads=$value"
    done
    for value in -1 nan inf 1e3 5s 86401 . ''; do
        refuses "$tool" "--grace '$value': expected seconds from 0 to 86400, as 5 or 0.5" \
            --grace "$value"
    done
    for value in 1.1 1.4 TLSv1.3 ''; do
        refuses "$tool" "--tls-min '$value': expected 1.2 or 1.3" "--tls-min=$value"
    done
    for option in --tls-cert --tls-key --tls-client-ca; do
        refuses "$tool" "$option '': expected a file" "$option="
    done
    for option in --tls-key=file --tls-client-ca=file --tls-min=1.3; do
        refuses "$tool" 'the other --tls options need --tls-cert (see --help)' "$option"
    done
}

# ---- Addresses -----------------------------------------------------------------------------------

# fails NAME MESSAGE TOOL OPTION...: it exits with 1, and says that once, on stderr.
fails() {
    local err code
    err=$(timeout 10 "$build/bin/$3" "${@:4}" 2>&1 >/dev/null)
    code=$?
    like "$1" "$code:$err" "1:$3: $2"
}

addresses() {
    local tool=$1 taken
    serve "$tool" --listen 127.0.0.1:0
    like "$tool says where it listens" "$(<"$log")" "$tool: listening on 127.0.0.1:[1-9]*"
    taken='cannot listen on 127.0.0.1:'$port': Address already in use*'
    fails "$tool: a port in use" "$taken" "$tool" --listen "127.0.0.1:$port"
    fails "$tool: a port in use, with threads" "$taken" "$tool" --threads 3 \
        --listen "127.0.0.1:$port"
    timeout 10 "$build/bin/$tool" --threads 3 --listen "127.0.0.1:$port" 2>"$scratch/err"
    is "$tool: the message comes once" "$(wc -l <"$scratch/err")" 1
    fails "$tool: an address of another machine" 'cannot listen on 192.0.2.1:0: *' "$tool" \
        --listen 192.0.2.1:0
    fails "$tool: a name that does not resolve" 'cannot listen on no.such.invalid:80: *' "$tool" \
        --listen no.such.invalid:80
    end TERM
    is "$tool ends with 0" "$status" 0

    serve "$tool" --listen 127.0.0.1:0 --listen 127.0.0.1:0 --listen "unix:@weir-test-$$"
    is "$tool listens on several addresses" "$(grep -c "^$tool: listening on " "$log")" 3
    end TERM
    is "$tool ends with 0, from all of them" "$status" 0

    serve "$tool" --threads 3 --listen 127.0.0.1:0
    is "$tool says it once for all threads" "$(wc -l <"$log")" 1
    end TERM
    is "$tool ends with 0, with threads" "$status" 0

    if [ -e /proc/net/if_inet6 ] && grep -q ' lo$' /proc/net/if_inet6; then
        serve "$tool" --listen '[::1]:0'
        like "$tool listens on IPv6" "$(<"$log")" "$tool: listening on \[::1\]:[1-9]*"
        end TERM
    else
        skip "$tool listens on IPv6" 'there is none'
    fi
}

unix_sockets() {
    local tool=$1 path=$scratch/$1.sock
    serve "$tool" --listen "unix:$path"
    is "$tool listens on a path" "$(<"$log")" "$tool: listening on unix:$path"
    [ -S "$path" ]
    result $? "$tool makes the socket file" "$(ls -la "$scratch")"
    fails "$tool: a path in use" "cannot listen on unix:$path: *in use*" "$tool" \
        --listen "unix:$path"
    end TERM
    is "$tool ends with 0, from a path" "$status" 0
    [ ! -e "$path" ]
    result $? "$tool removes the socket file" "$(ls -la "$scratch")"

    serve "$tool" --listen "unix:$path"
    end KILL
    serve "$tool" --threads 2 --listen "unix:$path"
    is "$tool replaces a stale socket file" "$(<"$log")" "$tool: listening on unix:$path"
    end TERM
    echo data >"$scratch/file"
    fails "$tool: another kind of file" "cannot listen on unix:$scratch/file: *" "$tool" \
        --listen "unix:$scratch/file"
    is "$tool leaves that file alone" "$(<"$scratch/file")" data
}

# ---- Ending --------------------------------------------------------------------------------------

ending() {
    local tool=$1 signal
    for signal in TERM INT; do
        serve "$tool" --listen 127.0.0.1:0
        end "$signal"
        is "$tool: SIG$signal ends it with 0" "$status" 0
        [ "$took" -lt 1000 ]
        result $? "$tool: SIG$signal ends it at once, without clients" "$took ms"
    done

    for threads in 1 2; do
        serve "$tool" --threads "$threads" --grace 0.5 --listen 127.0.0.1:0
        exec 3<>"/dev/tcp/127.0.0.1/$port"
        sleep 0.2
        end TERM
        exec 3>&-
        is "$tool, $threads threads: it ends with 0 in spite of an idle client" "$status" 0
        [ "$took" -ge 400 ] && [ "$took" -lt 3000 ]
        result $? "$tool, $threads threads: an idle client has its grace, no more" "$took ms"
    done

    serve "$tool" --listen 127.0.0.1:0
    exec 3<>"/dev/tcp/127.0.0.1/$port"
    sleep 0.2
    kill -TERM "$pid"
    sleep 0.2
    exec 3>&-
    end 0
    is "$tool: it ends with 0 when its last client goes" "$status" 0
    [ "$took" -lt 1000 ]
    result $? "$tool: it ends when its last client goes" "$took ms"

    for signal in TERM INT; do
        serve "$tool" --grace 60 --listen 127.0.0.1:0
        exec 3<>"/dev/tcp/127.0.0.1/$port"
        sleep 0.2
        kill -s "$signal" "$pid"
        sleep 0.3
        kill -0 "$pid" 2>/dev/null
        result $? "$tool: the first SIG$signal waits for clients" "it has ended"
        end "$signal"
        exec 3>&-
        is "$tool: a second SIG$signal ends it at once" "$status" $((128 + $(kill -l "$signal")))
    done
}

# A client that sends for ever, and never reads: the grace must pass, and then the abort.
endless() {
    local tool=$1 data=$2 client
    serve "$tool" --grace 0.5 --listen 127.0.0.1:0
    bash -c "exec 3<>/dev/tcp/127.0.0.1/$port; yes '$data' >&3" 2>/dev/null &
    client=$!
    children+=("$client")
    sleep 0.5
    end TERM
    is "$tool: it ends with 0 in spite of an endless client" "$status" 0
    [ "$took" -ge 400 ] && [ "$took" -lt 5000 ]
    result $? "$tool: an endless client has its grace, no more" "$took ms"
    kill "$client" 2>/dev/null
    wait "$client" 2>/dev/null
}

# ---- Echo ----------------------------------------------------------------------------------------

# echoes NAME SIZE: that many random bytes, there and back.
echoes() {
    head -c "$2" /dev/urandom >"$scratch/sent"
    exec 3<>"/dev/tcp/127.0.0.1/$port"
    timeout 20 head -c "$2" <&3 >"$scratch/back" &
    local reader=$!
    timeout 20 cat "$scratch/sent" >&3
    wait "$reader"
    exec 3>&-
    cmp "$scratch/sent" "$scratch/back" >"$scratch/cmp" 2>&1
    result $? "$1" "$(<"$scratch/cmp")"
}

echo_bytes() {
    serve weir-echo --listen 127.0.0.1:0
    for size in 1 4096 65536 1000000 20000000; do
        echoes "weir-echo sends $size bytes back" "$size"
    done
    end TERM
}

# ---- HTTP ----------------------------------------------------------------------------------------

hello=$'HTTP/1.1 200 OK\r\nServer: weir\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\n'
hello+='Hello, World!'
host='Host: a\r\n'
last="GET / HTTP/1.1\r\n${host}Connection: close\r\n\r\n"

# ask BYTES: sends them (printf's %b), and prints what comes back until the server closes; it says
# so if the server does not, or if the connection breaks.
ask() {
    exec 3<>"/dev/tcp/127.0.0.1/$port" || return
    printf '%b' "$1" >&3
    timeout 5 cat <&3 2>"$scratch/cat" || printf '[not closed in order: %s]' "$(<"$scratch/cat")"
    exec 3>&-
}

# statuses NAME BYTES WANTED: the statuses of all responses, and nothing else, then the end.
statuses() {
    local got=''
    got=$(ask "$2" | tr -d '\0' | grep -oE 'HTTP/1\.1 [0-9]{3}|\[not closed.*' | cut -d' ' -f2-)
    is "http: $1" "${got//$'\n'/ }" "$3"
}

# field NAME BYTES PATTERN: matches the whole of what comes back.
field() {
    like "http: $1" "$(ask "$2")" "$3"
}

http_responses() {
    local got=''
    exec 3<>"/dev/tcp/127.0.0.1/$port"
    printf 'GET / HTTP/1.1\r\nHost: a\r\n\r\n' >&3
    IFS= read -r -t 5 -N ${#hello} -d '' got <&3
    exec 3>&-
    is 'http: the hello is exact' "$got" "$hello"

    field 'a closing hello says so' "$last" \
        $'HTTP/1.1 200 OK\r\n*Connection: close\r\n*Hello, World!'
    field 'HEAD has no body' "HEAD / HTTP/1.1\r\n${host}Connection: close\r\n\r\n" \
        $'HTTP/1.1 200 OK\r\n*Content-Length: 13\r\n\r'
    statuses 'a query leaves the path as it is' "GET /?a=b HTTP/1.1\r\n$host\r\n$last" '200 200'
    statuses 'an absolute target' "GET http://a/ HTTP/1.1\r\n$host\r\n$last" '200 200'
    statuses 'an absolute target without a path' "GET HTTP://a HTTP/1.1\r\n$host\r\n$last" '200 200'
    statuses 'another path is 404, and goes on' "GET /x HTTP/1.1\r\n$host\r\n$last" '404 200'
    statuses 'another method is 405, and goes on' "DELETE / HTTP/1.1\r\n$host\r\n$last" '405 200'
    statuses 'OPTIONS * is 405' "OPTIONS * HTTP/1.1\r\n$host\r\n$last" '405 200'
    statuses 'methods are case-sensitive' "get / HTTP/1.1\r\n$host\r\n$last" '405 200'
    field '405 says what is allowed' "PUT / HTTP/1.1\r\n${host}Connection: close\r\n\r\n" \
        $'HTTP/1.1 405 *\r\nAllow: GET, HEAD\r\n*'
    statuses 'fields in any case, blanks around values' \
        "GET / HTTP/1.1\r\nhOST:\ta \r\nCONNECTION: foo ,\tCLOSE \r\n\r\n" 200
    statuses 'an empty line before a request' "\r\nGET / HTTP/1.1\r\n$host\r\n$last" '200 200'
}

http_connections() {
    local request="GET / HTTP/1.1\r\n$host\r\n" other="GET /x HTTP/1.1\r\n$host\r\n" many=''
    local wanted='' i
    statuses 'HTTP/1.0 closes' 'GET / HTTP/1.0\r\n\r\n' 200
    field 'HTTP/1.0 with keep-alive is told that it goes on' \
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n" \
        $'HTTP/1.1 200 *\r\nConnection: keep-alive\r\n*HTTP/1.1 200 *\r\nConnection: close\r\n*'
    statuses 'close is stronger than keep-alive' \
        "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n$last" 200
    statuses 'nothing is answered after Connection: close' "$last$last" 200

    for ((i = 0; i < 8; i++)); do
        many+=$request$other
        wanted+='200 404 '
    done
    statuses '16 pipelined requests are answered in order' "$many$last" "${wanted}200"
    many='' wanted=''
    for ((i = 0; i < 1000; i++)); do
        many+=$request
        wanted+='200 '
    done
    statuses '1000 pipelined requests' "$many$last" "${wanted}200"

    exec 3<>"/dev/tcp/127.0.0.1/$port"
    local text=$'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
    for ((i = 0; i < ${#text}; i++)); do
        printf '%s' "${text:i:1}" >&3
        sleep 0.005
    done
    like 'http: a request that comes byte by byte' "$(timeout 5 cat <&3)" \
        $'HTTP/1.1 200 OK\r\n*Hello, World!'
    exec 3>&-
}

http_bodies() {
    local body
    statuses 'a body is passed over' \
        "POST / HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nGET /$last" '405 200'
    statuses 'a GET may have one, too' \
        "GET / HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nGET /$last" '200 200'
    statuses 'an empty body' "POST / HTTP/1.1\r\n${host}Content-Length: 0\r\n\r\n$last" '405 200'
    statuses 'the same length twice' \
        "POST / HTTP/1.1\r\n${host}Content-Length: 5\r\nContent-Length: 5\r\n\r\n12345$last" \
        '405 200'
    body=$(printf '%1048576s' '')
    statuses 'a body of 1 MiB' \
        "POST / HTTP/1.1\r\n${host}Content-Length: 1048576\r\n\r\n$body$last" '405 200'
    statuses 'a larger one is 413' \
        "POST / HTTP/1.1\r\n${host}Content-Length: 1048577\r\n\r\n$body$last" 413
    statuses 'a length beyond all numbers is 413' \
        "POST / HTTP/1.1\r\n${host}Content-Length: 99999999999999999999999\r\n\r\n" 413
    statuses 'the answer to Expect: 100-continue is final' \
        "POST / HTTP/1.1\r\n${host}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n" 405
}

http_refusals() {
    local long
    statuses 'no request line' '\r\n\r\n' 400
    statuses 'HTTP/0.9' 'GET /\r\n\r\n' 400
    statuses 'no version' 'GET / \r\n\r\n' 400
    statuses 'another protocol' "GET / HTTPS/1.1\r\n$host\r\n" 400
    statuses 'a short version' "GET / HTTP/1\r\n$host\r\n" 400
    statuses 'a long version' "GET / HTTP/1.10\r\n$host\r\n" 400
    statuses 'HTTP/2' "GET / HTTP/2.0\r\n$host\r\n" 505
    statuses 'HTTP/1.2' "GET / HTTP/1.2\r\n$host\r\n" 505
    statuses 'two blanks' "GET  / HTTP/1.1\r\n$host\r\n" 400
    statuses 'a blank in the target' "GET /a b HTTP/1.1\r\n$host\r\n" 400
    statuses 'a target that is no path' "GET a HTTP/1.1\r\n$host\r\n" 400
    statuses 'a control character in the target' "GET /\\001 HTTP/1.1\r\n$host\r\n" 400
    statuses 'no Host' 'GET / HTTP/1.1\r\n\r\n' 400
    statuses 'two Hosts' "GET / HTTP/1.1\r\n$host$host\r\n" 400
    statuses 'a field without a colon' "GET / HTTP/1.1\r\n${host}field\r\n\r\n" 400
    statuses 'a field without a name' "GET / HTTP/1.1\r\n${host}: value\r\n\r\n" 400
    statuses 'a NUL in a value' "GET / HTTP/1.1\r\n${host}A: \\0000\r\n\r\n" 400
    statuses 'a lone line feed' "GET / HTTP/1.1\r\n${host}A: b\nC: d\r\n\r\n" 400
    statuses 'a lone carriage return' "GET / HTTP/1.1\r\n${host}A: b\rC: d\r\n\r\n" 400
    statuses 'nothing is answered after a 400' "GET\r\n\r\n$last" 400

    long=$(printf '%20000s' '')
    statuses 'a head that is too long' "GET / HTTP/1.1\r\n${host}A: $long\r\n\r\n" 431
    statuses 'a head that never ends' "GET /${long// /x}" 431
}

http_smuggling() {
    local post="POST / HTTP/1.1\r\n$host" body="\r\n0\r\n\r\n$last"
    statuses 'chunked is not implemented' "${post}Transfer-Encoding: chunked\r\n$body" 501
    statuses 'nor in HTTP/1.0' "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n$body" 501
    statuses 'length and encoding' \
        "${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n$body" 400
    statuses 'encoding and length' \
        "${post}Transfer-Encoding: identity\r\nContent-Length: 5\r\n$body" 400
    statuses 'two lengths' "${post}Content-Length: 5\r\nContent-Length: 6\r\n$body" 400
    statuses 'a list of lengths' "${post}Content-Length: 5, 5\r\n$body" 400
    for length in +5 -5 0x5 5.0 '5 5' 5a '' '"5"'; do
        statuses "a length of '$length'" "${post}Content-Length: $length\r\n$body" 400
    done
    statuses 'a blank before the colon' "${post}Content-Length : 5\r\n$body" 400
    statuses 'a tab before the colon' "${post}Transfer-Encoding\t: chunked\r\n$body" 400
    statuses 'a folded line' "${post}A: b\r\n Content-Length: 5\r\n$body" 400
    statuses 'a blank before the first field' \
        "POST / HTTP/1.1\r\n Transfer-Encoding: chunked\r\n$host$body" 400
    statuses 'a vertical tab before a name' "${post}\vTransfer-Encoding: chunked\r\n$body" 400
}

http_over_unix() {
    local path=$scratch/http.sock
    if ! command -v curl >/dev/null; then
        skip 'http: over Unix sockets' 'there is no curl'
        return
    fi
    serve weir-http --listen "unix:$path" --listen "unix:@weir-test-$$"
    is 'http: over a path' "$(curl -sm 5 --unix-socket "$path" http://a/)" 'Hello, World!'
    is 'http: over an abstract name' \
        "$(curl -sm 5 --abstract-unix-socket "weir-test-$$" http://a/)" 'Hello, World!'
    end TERM
}

# ---- TLS -----------------------------------------------------------------------------------------

# serve_tls TOOL OPTION...: with the certificate for localhost.
serve_tls() {
    serve "$1" --listen 127.0.0.1:0 --tls-cert "$certs/server.pem" \
        --tls-key "$certs/server-key.pem" "${@:2}"
}

# fetch OPTION...: asks for / over HTTPS; sets $body and $code, curl's status.
fetch() {
    body=$(curl -sSm 5 --cacert "$certs/ca.pem" "$@" "https://localhost:$port/" 2>"$scratch/curl")
    code=$?
}

# fetches NAME OPTION...: and gets the hello.
fetches() {
    fetch "${@:2}"
    is "https: $1" "$code:$body" '0:Hello, World!'
}

# refused NAME OPTION...: and is refused.
refused() {
    fetch "${@:2}"
    [ "$code" -ne 0 ] && [ "$code" -ne 28 ] && [ -z "$body" ]
    result $? "https: $1" "status $code: $body $(<"$scratch/curl")"
}

# tls_connect: a TLS connection to the server by openssl, fd 4 to write to and fd 5 to read from.
tls_connect() {
    rm -f "$scratch/to" "$scratch/from"
    mkfifo "$scratch/to" "$scratch/from"
    openssl s_client -quiet -connect "127.0.0.1:$port" -CAfile "$certs/ca.pem" \
        -verify_return_error <"$scratch/to" >"$scratch/from" 2>"$scratch/s_client" &
    client=$!
    children+=("$client")
    exec 4>"$scratch/to" 5<"$scratch/from"
}

tls_disconnect() {
    exec 4>&- 5<&-
    kill "$client" 2>/dev/null
    wait "$client" 2>/dev/null
}

# hang_up COUNT: sends SIGHUP, and waits until the server has told of that many reloads, good or
# bad, since it began.
hang_up() {
    kill -HUP "$pid"
    for ((try = 0; try < 100; try++)); do
        [ "$(grep -c 'reload' "$log")" -lt "$1" ] || return 0
        sleep 0.05
    done
    return 1
}

# The serial number of the certificate that the server presents.
serial() {
    openssl s_client -connect "127.0.0.1:$port" </dev/null 2>/dev/null |
        openssl x509 -noout -serial 2>&1
}

# make_certs OPTION...: runs tools/certs; $made is what it says first.
make_certs() {
    made=$("$tools/certs" "$@" "$certs" 2>&1)
    result $? "tools/certs makes certificates${*:+, }$*" "$made"
    made=${made%%$'\n'*}
}

certificates() {
    local first
    make_certs
    is 'tools/certs tells what it made' "$made" \
        "certs: made in $certs: ca.pem server.pem client.pem"
    openssl verify -x509_strict -CAfile "$certs/ca.pem" "$certs/server.pem" "$certs/client.pem" \
        >"$scratch/verify" 2>&1
    result $? 'tools/certs: the authority vouches for them' "$(<"$scratch/verify")"
    is 'tools/certs: the keys are for their owner only' \
        "$(stat -c %a "$certs"/*-key.pem | sort -u)" 600
    make_certs
    is 'tools/certs keeps what is still valid' "$made" \
        "certs: $certs has them all already, valid for another day or more"
    rm "$certs/client.pem"
    make_certs
    is 'tools/certs makes what is missing' "$made" "certs: made in $certs: client.pem"
    first=$(<"$certs/ca.pem")
    make_certs --force
    is 'tools/certs makes all anew' "$made" "certs: made in $certs: ca.pem server.pem client.pem"
    [ "$first" != "$(<"$certs/ca.pem")" ]
    result $? 'tools/certs makes another authority' "$first"
    "$tools/certs" --x >"$scratch/out" 2>&1
    is 'tools/certs refuses what it does not know' "$?:$(<"$scratch/out")" \
        '2:certs: unknown option --x (see --help)'
}

tls_files() {
    local tool=$1 cert=--tls-cert=$certs/server.pem message
    echo rubbish >"$scratch/rubbish"
    fails "$tool: no such certificate" "cannot read $scratch/none: *No such file*" "$tool" \
        --tls-cert "$scratch/none"
    fails "$tool: no such key" "cannot read $scratch/none: *" "$tool" "$cert" \
        --tls-key "$scratch/none"
    fails "$tool: no such authorities" "cannot read $scratch/none: *" "$tool" "$cert" \
        --tls-key "$certs/server-key.pem" --tls-client-ca "$scratch/none"
    message="cannot use certificate $certs/server.pem, key"
    fails "$tool: no key in the certificate's file" "$message $certs/server.pem: *" "$tool" "$cert"
    fails "$tool: the key of another" "$message $certs/client-key.pem: *" "$tool" "$cert" \
        --tls-key "$certs/client-key.pem"
    fails "$tool: a key that is none" "$message $scratch/rubbish: *" "$tool" "$cert" \
        --tls-key "$scratch/rubbish"
    fails "$tool: a certificate that is none" "cannot use certificate $scratch/rubbish, *" \
        "$tool" --tls-cert "$scratch/rubbish" --tls-key "$certs/server-key.pem"
    fails "$tool: authorities that are none" "$message *, authorities $scratch/rubbish: *" \
        "$tool" "$cert" --tls-key "$certs/server-key.pem" --tls-client-ca "$scratch/rubbish"
}

# A certificate is renewed in place, and SIGHUP makes a server take the new one.
tls_reload() {
    local tool=$1 threads=$2 before after i got
    serve_tls "$tool" --threads "$threads"
    before=$(serial)
    like "$tool, $threads threads: it presents a certificate" "$before" 'serial=*'
    if [ "$tool" = weir-echo ]; then
        tls_connect
        echo first >&4
        IFS= read -r -t 5 got <&5
        is "$tool, $threads threads: a line comes back over TLS" "$got" first
    fi

    "$tools/certs" --force "$certs" >/dev/null
    hang_up 1
    is "$tool, $threads threads: it tells of the reloading" "$(sed 1d "$log")" \
        "$tool: certificates reloaded"
    after=$(openssl x509 -noout -serial -in "$certs/server.pem")
    for ((i = 0; i < 4 * threads; i++)); do
        got=$(serial)
        [ "$got" = "$after" ] || break
    done
    is "$tool, $threads threads: it presents the new certificate" "$got" "$after"
    if [ "$tool" = weir-echo ]; then
        echo second >&4
        IFS= read -r -t 5 got <&5
        is "$tool, $threads threads: a connection outlives a reload" "$got" second
        tls_disconnect
    fi

    mv "$certs/server.pem" "$scratch/server.pem"
    echo rubbish >"$certs/server.pem"
    hang_up 2
    like "$tool, $threads threads: a reload that fails is told" "$(tail -n 1 "$log")" \
        "$tool: goes on as before: cannot reload certificate $certs/server.pem, *"
    is "$tool, $threads threads: and the former stays in use" "$(serial)" "$after"
    mv "$scratch/server.pem" "$certs/server.pem"
    for ((i = 0; i < 100; i++)); do
        kill -HUP "$pid"
    done
    hang_up 3
    is "$tool, $threads threads: it survives many hang-ups" "$(serial)" "$after"
    end TERM
    is "$tool, $threads threads: and ends with 0" "$status" 0
}

tls_ending() {
    local tool=$1
    serve "$tool" --listen 127.0.0.1:0
    end HUP
    is "$tool without TLS: SIGHUP ends it" "$status" $((128 + $(kill -l HUP)))

    serve_tls "$tool" --grace 0.5
    tls_connect
    sleep 0.3
    end TERM
    tls_disconnect
    is "$tool: it ends with 0 in spite of an idle TLS client" "$status" 0
    [ "$took" -ge 400 ] && [ "$took" -lt 3000 ]
    result $? "$tool: an idle TLS client has its grace, no more" "$took ms"

    serve_tls "$tool" --grace 0.5
    exec 3<>"/dev/tcp/127.0.0.1/$port"
    sleep 0.2
    end TERM
    exec 3>&-
    is "$tool: it ends with 0 in spite of a client that never shakes hands" "$status" 0
    [ "$took" -lt 3000 ]
    result $? "$tool: a client that never shakes hands has no more than the grace" "$took ms"
}

tls_echo() {
    local size reader
    serve_tls weir-echo
    like 'weir-echo says that it serves TLS' "$(<"$log")" \
        'weir-echo: listening on tls://127.0.0.1:[1-9]*'
    for size in 1 16384 16385 5000000; do
        tls_connect
        head -c "$size" /dev/urandom >"$scratch/sent"
        timeout 20 head -c "$size" <&5 >"$scratch/back" &
        reader=$!
        timeout 20 cat "$scratch/sent" >&4
        wait "$reader"
        cmp "$scratch/sent" "$scratch/back" >"$scratch/cmp" 2>&1
        result $? "weir-echo sends $size bytes back over TLS" "$(<"$scratch/cmp")"
        tls_disconnect
    done
    end TERM
    is 'weir-echo ends with 0 after TLS' "$status" 0
}

tls_http() {
    local path=$scratch/https.sock
    cat "$certs/server.pem" "$certs/server-key.pem" >"$scratch/both.pem"
    serve weir-http --threads 2 --listen 127.0.0.1:0 --listen "unix:$path" \
        --tls-cert "$scratch/both.pem"
    like 'weir-http says that it serves HTTPS' "$(<"$log")" \
        'weir-http: listening on https://127.0.0.1:[1-9]*'
    fetches 'TLS 1.3' --tlsv1.3
    fetches 'TLS 1.2' --tls-max 1.2
    refused 'TLS 1.1 is refused' --tls-max 1.1 --ciphers 'ALL:@SECLEVEL=0'
    fetches 'HTTP/1.0 over TLS 1.3' --tlsv1.3 --http1.0
    fetches 'HTTP/1.0 over TLS 1.2' --tls-max 1.2 --http1.0
    fetches 'over a Unix socket' --unix-socket "$path"
    body=$(curl -sSm 5 --cacert "$certs/ca.pem" "https://localhost:$port/" \
        "https://localhost:$port/" -w '%{num_connects},' 2>&1)
    is 'https: two requests on one connection' "$body" 'Hello, World!1,Hello, World!0,'
    body=$(head -c 1000000 /dev/zero |
        curl -sSm 5 --cacert "$certs/ca.pem" --data-binary @- -o "$scratch/body" -w '%{http_code}' \
            "https://localhost:$port/" 2>&1)
    is 'https: a body is passed over' "$body" 405
    body=$(ask "$last" | tr -cd '[:print:]')
    [[ $body != *HTTP* ]]
    result $? 'https: no answer in plain text' "$body"
    fetches 'it goes on after that'
    end TERM
    is 'https: it ends with 0' "$status" 0

    serve_tls weir-http --tls-min 1.3
    fetches 'TLS 1.3 where that is the least'
    refused 'TLS 1.2 where it is not enough' --tls-max 1.2
    end TERM
}

tls_client_certificates() {
    "$tools/certs" "$certs/other" >/dev/null
    serve_tls weir-http --tls-client-ca "$certs/ca.pem"
    fetches 'a client with its certificate' --cert "$certs/client.pem" \
        --key "$certs/client-key.pem"
    fetches 'a client with its certificate, TLS 1.2' --tls-max 1.2 --cert "$certs/client.pem" \
        --key "$certs/client-key.pem"
    refused 'a client without a certificate'
    refused 'a client without a certificate, TLS 1.2' --tls-max 1.2
    refused 'a client of another authority' --cert "$certs/other/client.pem" \
        --key "$certs/other/client-key.pem"
    refused "a client with a server's certificate" --cert "$certs/server.pem" \
        --key "$certs/server-key.pem"
    end TERM
}

tls() {
    local tool program
    for program in openssl curl; do
        if ! command -v $program >/dev/null; then
            skip 'TLS' "there is no $program"
            return
        fi
    done
    trap '' PIPE # a server that closes too early fails a test, and not this script
    certs=$scratch/certs
    certificates
    for tool in weir-echo weir-http; do
        tls_files $tool
        tls_ending $tool
        tls_reload $tool 1
        tls_reload $tool 3
    done
    tls_echo
    tls_http
    tls_client_certificates
}

for tool in weir-echo weir-http; do
    options $tool
    addresses $tool
    unix_sockets $tool
    ending $tool
done
endless weir-echo 'all work and no play'
endless weir-http $'GET / HTTP/1.1\r\nHost: a\r\n\r'
echo_bytes
serve weir-http --threads 2 --listen 127.0.0.1:0
http_responses
http_connections
http_bodies
http_refusals
http_smuggling
kill -0 "$pid" 2>/dev/null
result $? 'http: it has survived all this' "$(<"$log")"
end TERM
is 'http: and ends with 0' "$status" 0
http_over_unix
tls

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
