#!/bin/sh
# Makes the certificates that tests need: those of tools/certs, and others that peers must refuse or
# choose among. Each NAME.pem has a NAME-key.pem beside it.
#     tests/certs.sh DIRECTORY
# What is there and valid for another day stays, unless this script has changed since.
set -eu

dir=${1:?usage: tests/certs.sh DIRECTORY}
"$(dirname "$0")/../tools/certs" "$dir" >/dev/null
still_valid() {
    openssl verify -attime $(($(date +%s) + 86400)) -CAfile "$dir/ca.pem" "$dir/$1.pem" \
        >/dev/null 2>&1
}
if [ -e "$dir/complete" ] && [ -z "$(find "$0" -newer "$dir/complete")" ] && still_valid rsa; then
    exit 0
fi
rm -f "$dir/complete"

umask 077
scratch=$(mktemp -d "$dir/.new.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM

# quietly COMMAND...: shows what it prints only if it fails.
quietly() {
    "$@" >"$scratch/output" 2>&1 && return
    cat "$scratch/output" >&2
    echo "certs.sh: failed: $*" >&2
    exit 1
}

# What the certificates are made of. By default they are a server's, by the authority, on P-256.
server='basicConstraints = critical, CA:FALSE
        keyUsage = critical, digitalSignature
        extendedKeyUsage = serverAuth'
client='basicConstraints = critical, CA:FALSE
        keyUsage = critical, digitalSignature
        extendedKeyUsage = clientAuth'
authority='basicConstraints = critical, CA:TRUE
           keyUsage = critical, keyCertSign, cRLSign'
localhost='subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1'
p256='ec -pkeyopt ec_paramgen_curve:P-256'

configure() { # EXTENSIONS
    printf '%s\n' '[req]' 'distinguished_name = dn' 'x509_extensions = extensions' '[dn]' \
        '[extensions]' 'subjectKeyIdentifier = hash' "$1" >"$scratch/config"
}

# certificate NAME ISSUER COMMON_NAME EXTENSIONS [KEY]: the issuer - signs itself.
certificate() {
    configure "$4"
    name=$1 issuer=$2 subject=/CN=$3 key=${5-$p256}
    set --
    [ "$issuer" = - ] || set -- -CA "$dir/$issuer.pem" -CAkey "$dir/$issuer-key.pem"
    # shellcheck disable=SC2086 # a list of words
    quietly openssl req -x509 -config "$scratch/config" -newkey $key -nodes -days 365 \
        -subj "$subject" "$@" -keyout "$dir/$name-key.pem" -out "$dir/$name.pem"
}

# dated NAME COMMON_NAME EXTENSIONS FROM UNTIL: as 20200101000000Z. In OpenSSL 3.0 only `ca` can.
dated() {
    configure "$3"
    printf '%s\n' '[ca]' 'default_ca = ours' '[ours]' "database = $scratch/index" \
        "new_certs_dir = $scratch" 'default_md = sha256' 'rand_serial = yes' 'policy = any' \
        '[any]' 'commonName = supplied' >>"$scratch/config"
    : >"$scratch/index"
    # shellcheck disable=SC2086
    quietly openssl req -new -config "$scratch/config" -newkey $p256 -nodes -subj "/CN=$2" \
        -keyout "$dir/$1-key.pem" -out "$scratch/request"
    quietly openssl ca -batch -notext -config "$scratch/config" -extensions extensions \
        -startdate "$4" -enddate "$5" -cert "$dir/ca.pem" -keyfile "$dir/ca-key.pem" \
        -in "$scratch/request" -out "$dir/$1.pem"
}

# ---- Good ones, of other kinds -------------------------------------------------------------------

certificate rsa ca localhost "$server
    $localhost" rsa:2048
certificate ed25519 ca localhost "$server
    $localhost" ed25519
certificate wildcard ca wildcard "$server
    subjectAltName = DNS:*.example.test"
certificate ip-only ca ip-only "$server
    subjectAltName = IP:127.0.0.1"
certificate ip6 ca ip6 "$server
    subjectAltName = IP:::1"
certificate sni-a ca a.example.test "$server
    subjectAltName = DNS:a.example.test"
certificate sni-b ca b.example.test "$server
    subjectAltName = DNS:b.example.test"

# By an authority between, with it (chain) and without, as misconfigured servers send it.
certificate intermediate ca 'weir intermediate CA' "$authority"
certificate missing-intermediate intermediate localhost "$server
    $localhost"
cat "$dir/missing-intermediate.pem" "$dir/intermediate.pem" >"$dir/chain.pem"
cp "$dir/missing-intermediate-key.pem" "$dir/chain-key.pem"

# ---- Bad ones ------------------------------------------------------------------------------------

dated expired localhost "$server
    $localhost" 20200101000000Z 20200201000000Z
dated not-yet localhost "$server
    $localhost" "$(($(date +%Y) + 10))0101000000Z" "$(($(date +%Y) + 11))0101000000Z"
dated expired-client 'weir client' "$client" 20200101000000Z 20200201000000Z

certificate self-signed - localhost "$server
    $localhost"
certificate other-ca - 'another CA' "$authority"
certificate unknown-ca other-ca localhost "$server
    $localhost"
certificate other-client other-ca 'weir client' "$client"

certificate wrong-host ca other.example "$server
    subjectAltName = DNS:other.example"
certificate no-san ca localhost "$server"
certificate wrong-purpose ca localhost "$client
    $localhost"
certificate client-wrong-purpose ca 'weir client' "$server"

# By one that may not sign others; it is sent along.
certificate not-ca ca 'not a CA' "$server"
certificate ca-not-ca not-ca localhost "$server
    $localhost"
cat "$dir/not-ca.pem" >>"$dir/ca-not-ca.pem"

# For "localhost", NUL, ".evil.example": a C string of it is localhost. DNS names are context tag 2.
hex() { od -An -v -tx1 | tr -d ' \n'; }
nul_name=$(printf 'localhost\0.evil.example' | hex)
size=$((${#nul_name} / 2))
certificate nul-name ca evil "$server
    subjectAltName = DER:30$(printf %02x $((size + 2)))82$(printf %02x "$size")$nul_name"

# ---- Files that are no good ----------------------------------------------------------------------

: >"$dir/empty.pem"
{
    echo '-----BEGIN CERTIFICATE-----'
    head -c 600 "$0" | base64
    echo '-----END CERTIFICATE-----'
} >"$dir/garbage.pem"
sed 's/CERTIFICATE/PRIVATE KEY/' "$dir/garbage.pem" >"$dir/garbage-key.pem"
quietly openssl pkey -in "$dir/server-key.pem" -aes256 -passout pass:secret \
    -out "$dir/encrypted-key.pem"

chmod 644 "$dir"/*.pem
chmod 600 "$dir"/*-key.pem
: >"$dir/complete"
