"""What must fail, on which side, with which error and which alert; and what may be told to pass."""

import asyncio

from interop_base import (BAD_CERTIFICATE, CERTIFICATE_EXPIRED, CERTIFICATE_UNKNOWN,
                          HANDSHAKE_FAILURE, NO_RENEGOTIATION, PROTOCOL_VERSION,
                          UNEXPECTED_MESSAGE, UNKNOWN_CA, case, check, equal, expect_alert, tail)
from interop_handshakes import GNUTLS_VERSIONS, VERSIONS, weir_asks_openssl

# ---- Certificates that weir refuses as a client --------------------------------------------------

BAD_SERVERS = [
    # RFC 8446 has no alert of its own for a wrong name.
    ('wrong-host', 'TLS_HOSTNAME', (BAD_CERTIFICATE, CERTIFICATE_UNKNOWN)),
    ('unknown-ca', 'TLS_UNTRUSTED', (UNKNOWN_CA,)),
    ('self-signed', 'TLS_UNTRUSTED', (UNKNOWN_CA, BAD_CERTIFICATE)),
    ('missing-intermediate', 'TLS_UNTRUSTED', (UNKNOWN_CA,)),
    ('expired', 'TLS_EXPIRED', (CERTIFICATE_EXPIRED,)),
]


def connected(client):
    """The name of the error that the connecting ended with."""
    return (client.value('connected') or '').partition(' ')[0]


async def bad_server_openssl(run, version, certificate, error, alerts):
    server = await run.s_server('-rev', VERSIONS[version], certificate=certificate)
    client = await run.connect(server.port, 'info')
    await client.done(1)
    equal('connected', connected(client), error)
    await server.expect('SSL alert number')
    expect_alert(server, *alerts)


async def bad_server_gnutls(run, version, certificate, error, alerts):
    server = await run.gnutls_server('--echo', '-a', '--priority', GNUTLS_VERSIONS[version],
                                     certificate=certificate)
    client = await run.connect(server.port, 'info')
    await client.done(1)
    equal('connected', connected(client), error)
    await server.expect('Error in handshake')
    check('fatal alert has been received' in server.text,
          f'gnutls got no alert: {tail(server.text)}')


for tls in VERSIONS:
    for bad, bad_error, bad_alerts in BAD_SERVERS:
        case(f'refused: server {bad}, {tls}, openssl', bad_server_openssl, tls, bad, bad_error,
             bad_alerts)
        case(f'refused: server {bad}, {tls}, gnutls', bad_server_gnutls, tls, bad, bad_error,
             bad_alerts)


async def insecure(run, option, certificate):
    await weir_asks_openssl(run, certificate=certificate, options=[option])


case('insecure: any name will do', insecure, '--skip-hostname', 'wrong-host')
case('insecure: any certificate will do', insecure, '--skip-verification', 'unknown-ca')


async def any_name_is_no_other_weakness(run):
    server = await run.s_server('-rev', certificate='unknown-ca')
    client = await run.connect(server.port, 'info', options=['--skip-hostname'])
    await client.done(1)
    equal('connected', connected(client), 'TLS_UNTRUSTED')


case('insecure: any name, but an unknown CA is refused', any_name_is_no_other_weakness)


async def system_store(run, ca, error):
    """The default context trusts the file that SSL_CERT_FILE names."""
    server = await run.s_server('-rev')
    client = await run.connect(server.port, 'say:ping\n', 'line', ca=None, options=['--default'],
                               environment={'SSL_CERT_FILE': run.pem(ca)})
    await client.done(1 if error else 0)
    equal('connected', connected(client), error or '0')


case('default context: SSL_CERT_FILE has the CA', system_store, 'ca', None)
case('default context: SSL_CERT_FILE has another CA', system_store, 'other-ca', 'TLS_UNTRUSTED')

# ---- Certificates of weir's that its peers refuse ------------------------------------------------


async def refused_by(run, client, server):
    """The server's handler is not called, and the failure counted."""
    check(await client.end() != 0, f'{client.name} ended well: {tail(client.text)}')
    await server.expect('^tls_failures: 1$')
    await server.stop()
    equal('handlers called', server.values('connected'), [])


async def refused_by_openssl(run, version, certificate, ca, host):
    """Under TLS 1.2 a client looks before it ends its handshake, under TLS 1.3 too."""
    server = await run.serve('info', 'line', certificate=certificate)
    client = await run.s_client(server.port, VERSIONS[version], ca=ca, host=host)
    await client.expect('verify error|Verification error')
    await refused_by(run, client, server)


async def refused_by_gnutls(run, version, certificate, ca, host):
    """It verifies after its handshake under TLS 1.3, so that the server's may have succeeded."""
    server = await run.serve('line', certificate=certificate)
    client = await run.gnutls_client(server.port, '--priority', GNUTLS_VERSIONS[version], ca=ca,
                                     host=host)
    equal('exit status', await client.end(), 1)
    check('verification of server certificate failed' in client.text,
          f'gnutls says: {tail(client.text)}')
    await server.expect('^(tls_failures: 1|closed: .*)$')
    await server.stop()


for tls in VERSIONS:
    for reason, bad, trusted, wanted_host in [
            ('unknown CA', 'server', 'other-ca', 'localhost'),
            ('wrong host', 'wrong-host', 'ca', 'localhost'),
            ('expired', 'expired', 'ca', 'localhost')]:
        case(f"refused: weir's certificate, {reason}, {tls}, openssl", refused_by_openssl, tls, bad,
             trusted, wanted_host)
        case(f"refused: weir's certificate, {reason}, {tls}, gnutls", refused_by_gnutls, tls, bad,
             trusted, wanted_host)

# ---- Versions and suites -------------------------------------------------------------------------


async def server_refuses(run, client_options, alert, options=(), certificate='server'):
    server = await run.serve('info', options=options, certificate=certificate)
    client = await run.s_client(server.port, *client_options)
    await refused_by(run, client, server)
    expect_alert(client, alert)


async def client_refuses(run, server_options, errors, options=(), certificate='server'):
    """openssl either finds no common ground itself, or picks what weir did not offer."""
    server = await run.s_server('-rev', *server_options, certificate=certificate)
    client = await run.connect(server.port, 'info', options=options)
    await client.done(1)
    check(connected(client) in errors, f'connected is {client.value("connected")}')


OLD = ['-cipher', 'ALL:@SECLEVEL=0']
for old in '-tls1', '-tls1_1':
    case(f'refused: s_client {old}', server_refuses, [old, *OLD], PROTOCOL_VERSION)
    case(f'refused: s_server {old}', client_refuses, [old, *OLD],
         ('TLS_ALERT', 'TLS_HANDSHAKE'))
case('refused: TLS 1.2 where 1.3 is the least allowed, weir as server', server_refuses,
     ['-tls1_2'], PROTOCOL_VERSION, ['--tls-1.3'])
case('refused: TLS 1.2 where 1.3 is the least allowed, weir as client', client_refuses,
     ['-tls1_2'], ('TLS_ALERT', 'TLS_HANDSHAKE'), ['--tls-1.3'])

# Weak by CBC, by no forward secrecy, by both, by a short tag, by no encryption, by no certificate.
for weak, needed in [('ECDHE-ECDSA-AES128-SHA', 'server'), ('AES128-GCM-SHA256', 'rsa'),
                     ('AES128-SHA', 'rsa'), ('ECDHE-ECDSA-AES128-CCM8', 'server'),
                     ('ECDHE-ECDSA-NULL-SHA', 'server'), ('ADH-AES128-SHA', 'server'),
                     ('ADH-AES128-GCM-SHA256', 'server'), ('AECDH-AES128-SHA', 'server')]:
    case(f'refused: {weak}, weir as server', server_refuses,
         ['-tls1_2', '-cipher', f'{weak}:@SECLEVEL=0'], HANDSHAKE_FAILURE, (), needed)
    anonymous = weak.startswith('A') and 'DH' in weak
    case(f'refused: {weak}, weir as client', client_refuses,
         ['-tls1_2', '-cipher', f'{weak}:@SECLEVEL=0'], ('TLS_ALERT',), (),
         None if anonymous else needed)


async def other_groups(run, version):
    """wolfSSL sends no alert: it goes on, with what the client has not offered, and this gives up.
    The certificate is RSA's, since openssl wants the curve of an ECDSA key among the groups."""
    server = await run.serve('info', certificate='rsa')
    client = await run.s_client(server.port, VERSIONS[version], '-groups', 'P-521:P-384:X448')
    await refused_by(run, client, server)


for tls in VERSIONS:
    case(f'refused: other groups, {tls}', other_groups, tls)


async def renegotiation(run):
    """RFC 5246 allows it; weir's side of TLS 1.2 does not."""
    server = await run.serve('line', 'say:one\n', 'line')
    client = await run.s_client(server.port, '-tls1_2')
    await client.say('hello\n')
    await client.expect('^one$')
    await client.say('R\n')
    await server.expect('^line: TLS_RECORD ')
    await server.closed('TLS_RECORD')
    check(await client.end() != 0, 'openssl ended well')
    expect_alert(client, UNEXPECTED_MESSAGE, HANDSHAKE_FAILURE, NO_RENEGOTIATION)
    await server.stop()


case('refused: renegotiation', renegotiation)

# ---- Peers that speak no TLS, or stop ------------------------------------------------------------


async def curl_speaks_http(run):
    """Neither hangs, and no handler sees it."""
    server = await run.serve('line')
    curl = await run.start(['curl', '-sS', '--noproxy', '*', '--max-time', '10',
                            f'http://127.0.0.1:{server.port}/'])
    status = await curl.end()
    # 1: "Received HTTP/0.9", which our alert looks like; 52: an empty reply; 56: reset.
    check(status in (1, 52, 56), f'curl ended with {status}: {curl.text}')
    await server.expect('^tls_failures: 1$')
    await server.stop()
    equal('handlers called', server.values('connected'), [])


async def server_speaks_plainly(run, greeting):
    async def answer(reader, writer):
        if greeting:
            writer.write(greeting)
        else:
            await reader.read(1000)
            writer.write(b'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
        await reader.read()

    client = await run.connect(await run.listen(answer), 'info')
    await client.done(1)
    equal('connected', connected(client), 'TLS_PLAINTEXT')


async def server_leaves(run):
    async def leave(reader, writer):
        await reader.read(1)
        writer.write_eof()
        await reader.read()

    client = await run.connect(await run.listen(leave), 'info')
    await client.done(1)
    equal('connected', connected(client), 'ECONNRESET')


async def server_is_silent(run):
    async def wait(reader, writer):
        await reader.read()

    client = await run.connect(await run.listen(wait), 'info',
                               options=['--handshake-timeout', '300'])
    await client.done(1)
    equal('connected', connected(client), 'ETIMEDOUT')


async def client_is_silent(run):
    server = await run.serve('line', options=['--handshake-timeout', '300'])
    reader, writer = await asyncio.open_connection('127.0.0.1', server.port)
    await reader.read()
    writer.close()
    await server.expect('^tls_failures: 1$')
    await server.stop()
    equal('handlers called', server.values('connected'), [])


async def client_leaves(run):
    server = await run.serve('line')
    _, writer = await asyncio.open_connection('127.0.0.1', server.port)
    writer.close()
    await server.expect('^tls_failures: 1$')
    await server.stop()
    equal('handlers called', server.values('connected'), [])


case('plain: curl speaks HTTP to the TLS port', curl_speaks_http)
case('plain: the server answers in HTTP', server_speaks_plainly, None)
case('plain: the server greets as SMTP', server_speaks_plainly, b'220 mail.example ESMTP\r\n')
case('handshake: the server leaves', server_leaves)
case('handshake: the client leaves', client_leaves)
case('handshake: the server is silent', server_is_silent)
case('handshake: the client is silent', client_is_silent)
