"""Handshakes that succeed, and what is agreed in them: suites, certificates, groups, client
certificates, ALPN, SNI, resumption."""

import os
import re

from interop_base import (CERTIFICATE_EXPIRED, CERTIFICATE_REQUIRED, HANDSHAKE_FAILURE,
                          NO_APPLICATION_PROTOCOL, UNKNOWN_CA, case, check, equal, expect_alert)

VERSIONS = {'TLSv1.2': '-tls1_2', 'TLSv1.3': '-tls1_3'}
GNUTLS_VERSIONS = {'TLSv1.2': 'NORMAL:-VERS-ALL:+VERS-TLS1.2',
                   'TLSv1.3': 'NORMAL:-VERS-ALL:+VERS-TLS1.3'}
BOTH_SIDES = ('server', 'client')  # weir's side

# Of TLS 1.2: openssl's name, the registered one, and the certificate that it needs.
SUITES = [
    ('ECDHE-ECDSA-AES128-GCM-SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', 'server'),
    ('ECDHE-ECDSA-AES256-GCM-SHA384', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384', 'server'),
    ('ECDHE-ECDSA-CHACHA20-POLY1305', 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256', 'server'),
    ('ECDHE-RSA-AES128-GCM-SHA256', 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256', 'rsa'),
    ('ECDHE-RSA-AES256-GCM-SHA384', 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384', 'rsa'),
    ('ECDHE-RSA-CHACHA20-POLY1305', 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256', 'rsa'),
]
IANA_NAMES = {openssl: iana for openssl, iana, _ in SUITES}
SUITES_1_3 = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']

# ---- One exchange of lines, whoever the peer is --------------------------------------------------


async def weir_serves_openssl(run, *client_options, options=(), certificate='server', **more):
    """Returns the server and the client, both after one exchange and an orderly end."""
    server = await run.serve('info', 'line', 'say:pong\n', options=options,
                             certificate=certificate)
    client = await run.s_client(server.port, *client_options, **more)
    await client.say('ping\n')
    await client.expect('^pong$')
    await client.end(0)
    await server.closed()
    equal('the line', server.value('line'), 'ping')
    await server.stop()
    return server, client


async def weir_asks_openssl(run, *server_options, options=(), certificate='server', **more):
    server = await run.s_server('-rev', *server_options, certificate=certificate)
    client = await run.connect(server.port, 'info', 'say:ping\n', 'line', options=options, **more)
    await client.done()
    equal('the line', client.value('line'), 'gnip')
    equal('closed', client.value('closed'), '0')
    return client, server


# ---- Suites --------------------------------------------------------------------------------------


async def suite(run, side, version, suite_options, name, certificate, options):
    exchange = weir_serves_openssl if side == 'server' else weir_asks_openssl
    weir, openssl = await exchange(run, VERSIONS[version], *suite_options, options=options,
                                   certificate=certificate)
    equal('the version', weir.value('version'), version)
    equal('the cipher', weir.value('cipher'), name)
    if options:
        equal('the record path', weir.value('record_path'), 'software')
    agreed = suite_options[-1]
    check(re.search(rf'(Cipher is|Ciphersuite:) {re.escape(agreed)}$', openssl.text, re.M),
          f'openssl did not agree on {agreed}')


for weir_side in BOTH_SIDES:
    for how, weir_options in ('', ()), (', in software', ('--no-hardware-aes',)):
        for iana in SUITES_1_3:
            case(f'suite: {iana}, weir as {weir_side}{how}', suite, weir_side, 'TLSv1.3',
                 ('-ciphersuites', iana), iana, 'server', weir_options)
        for openssl_name, iana, needed in SUITES:
            case(f'suite: {openssl_name}, weir as {weir_side}{how}', suite, weir_side, 'TLSv1.2',
                 ('-cipher', openssl_name), iana, needed, weir_options)


async def server_prefers_aes128(run, version):
    weir, _ = await weir_serves_openssl(run, VERSIONS[version])
    check('AES_128_GCM' in weir.value('cipher'), f'weir chose {weir.value("cipher")}')


for tls in VERSIONS:
    case(f'suite: the server prefers AES-128-GCM, {tls}', server_prefers_aes128, tls)

# ---- Certificates --------------------------------------------------------------------------------

SIGNATURES = {'server': 'ECDSA', 'rsa': 'RSA(-PSS)?', 'ed25519': 'ed25519', 'chain': 'ECDSA'}


async def certificate_openssl(run, side, version, certificate):
    if side == 'server':
        weir, openssl = await weir_serves_openssl(run, VERSIONS[version], certificate=certificate)
        check(re.search(f'^Peer signature type: {SIGNATURES[certificate]}$', openssl.text, re.M),
              f'openssl verified no {SIGNATURES[certificate]} signature')
    else:
        chain = ['-cert_chain', run.pem('intermediate')] if certificate == 'chain' else []
        weir, _ = await weir_asks_openssl(run, VERSIONS[version], *chain, certificate=certificate)
        with open(run.pem(certificate), encoding='ascii') as file:
            first = re.match(r'.*?-----END CERTIFICATE-----\n', file.read(), re.S).group()
        equal('peercert', weir.value('peercert').rstrip('|'), first.replace('\n', '|').rstrip('|'))
        check('localhost' in weir.value('peercert_names'), 'peercert_names lacks the name')
    equal('the version', weir.value('version'), version)


async def certificate_gnutls(run, side, version, certificate):
    priority = ('--priority', GNUTLS_VERSIONS[version])
    if side == 'server':
        weir = await run.serve('info', 'line', 'say:pong\n', certificate=certificate)
        gnutls = await run.gnutls_client(weir.port, *priority)
        await gnutls.expect('^- Handshake was completed')
        await gnutls.say('ping\n')
        await gnutls.expect('^pong$')
        await gnutls.end(0)
        await weir.closed()
        await weir.stop()
        equal('the line', weir.value('line'), 'ping')
    else:
        server = await run.gnutls_server('--echo', '-a', *priority, certificate=certificate)
        weir = await run.connect(server.port, 'info', 'say:ping\n', 'line')
        await weir.done()
        equal('the line', weir.value('line'), 'ping')
    equal('the version', weir.value('version'), version)


for weir_side in BOTH_SIDES:
    for tls in VERSIONS:
        for kind in SIGNATURES:
            case(f'certificate: {kind}, {tls}, openssl, weir as {weir_side}', certificate_openssl,
                 weir_side, tls, kind)
            case(f'certificate: {kind}, {tls}, gnutls, weir as {weir_side}', certificate_gnutls,
                 weir_side, tls, kind)

# ---- Groups, and the versions allowed ------------------------------------------------------------


async def group(run, side, version, groups, agreed):
    exchange = weir_serves_openssl if side == 'server' else weir_asks_openssl
    # With an ECDSA certificate, openssl would insist on its curve under TLS 1.2.
    weir, openssl = await exchange(run, VERSIONS[version], '-groups', groups, certificate='rsa')
    equal('the version', weir.value('version'), version)
    if side == 'server':
        check(re.search(f'^Server Temp Key: {agreed},', openssl.text, re.M),
              f'openssl did not agree on {agreed}')


for tls in VERSIONS:
    case(f'group: X25519, {tls}, weir as server', group, 'server', tls, 'X25519', 'X25519')
    case(f'group: P-256, {tls}, weir as server', group, 'server', tls, 'P-256', '.*prime256v1')
    case(f'group: X25519, {tls}, weir as client', group, 'client', tls, 'X25519', '')
    case(f'group: P-256, {tls}, weir as client', group, 'client', tls, 'P-256', '')
# The client's share is for P-384: the server answers HelloRetryRequest.
case('group: HelloRetryRequest, weir as server', group, 'server', 'TLSv1.3', 'P-384:X25519',
     'X25519')


async def only_1_3(run, side):
    if side == 'server':
        weir, _ = await weir_serves_openssl(run, options=['--tls-1.3'])
    else:
        weir, _ = await weir_asks_openssl(run, options=['--tls-1.3'])
    equal('the version', weir.value('version'), 'TLSv1.3')


for weir_side in BOTH_SIDES:
    case(f'version: 1.3 where it is the least allowed, weir as {weir_side}', only_1_3, weir_side)

# ---- Client certificates -------------------------------------------------------------------------


def ask_for(run, how):
    return [f'--{how}-client-cert', '--ca', run.pem('ca')]


async def client_certificate_accepted(run, version, how):
    server, _ = await weir_serves_openssl(run, VERSIONS[version],
                                          *run.pair('client', '-cert', '-key'),
                                          options=ask_for(run, how))
    check('weir client' in (server.value('peercert_subject') or ''),
          f'peercert_subject is {server.value("peercert_subject")!r}')
    with open(run.pem('client'), encoding='ascii') as file:
        equal('peercert', server.value('peercert').rstrip('|'),
              file.read().replace('\n', '|').rstrip('|'))


async def client_certificate_optional(run, version):
    server, _ = await weir_serves_openssl(run, VERSIONS[version], options=ask_for(run, 'request'))
    equal('peercert', server.value('peercert'), None)


async def client_certificate_refused(run, version, how, certificate, *alerts):
    """Under TLS 1.3 the client is through its handshake before the server has looked."""
    server = await run.serve('info', options=ask_for(run, how))
    own = run.pair(certificate, '-cert', '-key') if certificate else []
    client = await run.s_client(server.port, VERSIONS[version], *own, '-ign_eof')
    check(await client.end() != 0, 'openssl ended well')
    expect_alert(client, *alerts)
    await server.expect('^tls_failures: 1$')
    await server.stop()
    equal('handlers called', server.values('connected'), [])


async def own_certificate(run, version, certificate):
    """weir presents one to openssl, which demands it."""
    server = await run.s_server('-rev', VERSIONS[version], '-Verify', '1', '-CAfile',
                                run.pem('ca'), '-verify_return_error')
    own = run.pair(certificate) if certificate else []
    client = await run.connect(server.port, 'say:ping\n', 'line', options=own)
    if certificate == 'client':
        await client.done()
        equal('the line', client.value('line'), 'gnip')
        check('CN = weir client' in server.text, 'openssl did not see the certificate')
        return
    await client.done(1)
    check('TLS_ALERT' in client.text, f'weir says: {client.text}')


for tls in VERSIONS:
    for demand in 'request', 'require':
        case(f'client certificate: {demand}, accepted, {tls}', client_certificate_accepted, tls,
             demand)
        case(f'client certificate: {demand}, of an unknown CA refused, {tls}',
             client_certificate_refused, tls, demand, 'other-client', UNKNOWN_CA)
        case(f'client certificate: {demand}, expired refused, {tls}', client_certificate_refused,
             tls, demand, 'expired-client', CERTIFICATE_EXPIRED)
    case(f'client certificate: requested, none is fine, {tls}', client_certificate_optional, tls)
    case(f'client certificate: weir presents its own, {tls}', own_certificate, tls, 'client')
    case(f'client certificate: weir has none and is refused, {tls}', own_certificate, tls, None)
case('client certificate: required, absent, TLSv1.2', client_certificate_refused, 'TLSv1.2',
     'require', None, HANDSHAKE_FAILURE)
case('client certificate: required, absent, TLSv1.3', client_certificate_refused, 'TLSv1.3',
     'require', None, CERTIFICATE_REQUIRED)

# ---- ALPN ----------------------------------------------------------------------------------------


async def alpn(run, side, version, own, peers, agreed):
    option = ['--alpn', own] if own else []
    if side == 'server':
        weir, openssl = await weir_serves_openssl(run, VERSIONS[version], '-alpn', peers,
                                                  options=option)
        check((f'ALPN protocol: {agreed}' if agreed else 'No ALPN negotiated') in openssl.text,
              'openssl sees it otherwise')
    else:
        weir, openssl = await weir_asks_openssl(run, VERSIONS[version],
                                                *(['-alpn', peers] if peers else []),
                                                options=option)
    equal('alpn', weir.value('alpn'), agreed)


async def alpn_nothing_in_common(run, side, version):
    if side == 'server':
        server = await run.serve('info', options=['--alpn', 'h2'])
        client = await run.s_client(server.port, VERSIONS[version], '-alpn', 'smtp,imap')
        check(await client.end() != 0, 'openssl ended well')
        expect_alert(client, NO_APPLICATION_PROTOCOL)
        await server.expect('^tls_failures: 1$')
        await server.stop()
        equal('handlers called', server.values('connected'), [])
    else:
        server = await run.s_server('-rev', VERSIONS[version], '-alpn', 'smtp,imap')
        client = await run.connect(server.port, 'info', options=['--alpn', 'h2'])
        await client.done(1)
        check(client.value('connected').startswith('TLS_ALERT '), f'weir says: {client.text}')


for tls in VERSIONS:
    # The server's order counts, not the client's.
    case(f'ALPN: agreed, {tls}, weir as server', alpn, 'server', tls, 'h2,http/1.1',
         'spdy/3,http/1.1,h2', 'h2')
    case(f'ALPN: agreed, {tls}, weir as client', alpn, 'client', tls, 'h2,http/1.1',
         'http/1.1,h2', 'http/1.1')
    case(f'ALPN: the server has none, {tls}, weir as server', alpn, 'server', tls, None,
         'h2', None)
    case(f'ALPN: the server has none, {tls}, weir as client', alpn, 'client', tls, 'h2',
         None, None)
    for weir_side in BOTH_SIDES:
        case(f'ALPN: nothing in common, {tls}, weir as {weir_side}', alpn_nothing_in_common,
             weir_side, tls)

# ---- SNI -----------------------------------------------------------------------------------------


async def sni_server(run, version, asked, subject):
    """weir chooses among three certificates; openssl verifies that it is for the name."""
    more = [word for name in ('sni-a', 'sni-b')
            for word in ('--more', f'{run.pem(name)},{run.pem(name + "-key")}')]
    weir, openssl = await weir_serves_openssl(run, VERSIONS[version], options=more, host=asked)
    check(re.search(f'^subject=CN = {re.escape(subject)}$', openssl.text, re.M),
          f'openssl got another certificate than {subject}')
    equal('server_hostname', weir.value('server_hostname'), asked)


async def sni_of_nobody(run, version):
    weir = await run.serve('info', 'line')
    client = await run.start(['openssl', 's_client', '-connect', f'127.0.0.1:{weir.port}',
                              '-noservername', '-CAfile', run.pem('ca'), '-verify_return_error',
                              '-verify_ip', '127.0.0.1', VERSIONS[version]])
    await client.say('ping\n')
    await weir.closed()
    await client.end(0)
    await weir.stop()
    equal('server_hostname', weir.value('server_hostname'), None)


async def sni_client(run, version, asked):
    server = await run.s_server('-rev', VERSIONS[version], '-servername', 'b.example.test',
                                *run.pair('sni-b', '-cert2', '-key2'), certificate='sni-a')
    client = await run.connect(server.port, 'info', 'say:ping\n', 'line',
                               options=['--server-hostname', asked])
    await client.done()
    check(asked in client.value('peercert_subject'),
          f'the certificate is for {client.value("peercert_subject")}')
    equal('server_hostname', client.value('server_hostname'), asked)


async def no_sni_for_an_address(run, version):
    """RFC 6066: literal addresses are not sent. They are checked against the certificate."""
    server = await run.s_server('-rev', VERSIONS[version], '-trace', certificate='ip-only')
    client = await run.connect(server.port, 'say:ping\n', 'line',
                               options=['--server-hostname', '127.0.0.1'])
    await client.done()
    await server.expect('extension_type=supported_groups')
    check('extension_type=server_name' not in server.text, 'weir sent an address as SNI')


for tls in VERSIONS:
    case(f'SNI: the first more certificate, {tls}, weir as server', sni_server, tls,
         'a.example.test', 'a.example.test')
    case(f'SNI: the second more certificate, {tls}, weir as server', sni_server, tls,
         'b.example.test', 'b.example.test')
    case(f'SNI: the main certificate, {tls}, weir as server', sni_server, tls,
         'localhost', 'localhost')
    case(f'SNI: the client sends none, {tls}, weir as server', sni_of_nobody, tls)
    case(f'SNI: the second of two servers, {tls}, weir as client', sni_client, tls,
         'b.example.test')
    case(f'SNI: the first of two servers, {tls}, weir as client', sni_client, tls,
         'a.example.test')
    case(f'SNI: none for an address, {tls}, weir as client', no_sni_for_an_address, tls)

# ---- Resumption ----------------------------------------------------------------------------------


async def resumption_server(run, version, options, resumed):
    server = await run.serve('info', 'line', 'say:pong\n', options=options(run))
    session = run.path('session')
    for store, status in ('-sess_out', 'New'), ('-sess_in', 'Reused' if resumed else 'New'):
        client = await run.s_client(server.port, VERSIONS[version], store, session,
                                    *run.pair('client', '-cert', '-key'))
        await client.say('ping\n')
        await client.expect('^pong$')
        await client.end(0)
        await server.closed()
        check(re.search(f'^{status}, TLSv1', client.text, re.M), f'the session is not "{status}"')
        if not os.path.exists(session):
            check(not resumed, 'openssl has no session to resume')
            break
    await server.stop()
    wanted = ['false', 'true' if resumed else 'false']
    equal('resumed', server.values('resumed'), wanted[:len(server.values('resumed'))])
    equal('the counter', server.values('tls_resumed'), ['1'] if resumed else [])


async def resumption_client(run, version, options, resumed):
    """Of TLS 1.2, weir as a client resumes nothing: wolfSSL would not compare what the server then
    does with what it had agreed to."""
    server = await run.s_server('-rev', VERSIONS[version])
    client = await run.connect(server.port, 'info', 'say:ping\n', 'line',
                               options=['--connections', '3', *options])
    await client.done()
    equal('resumed', client.values('resumed'), ['false', *[resumed] * 2])
    equal('the lines', client.values('line'), ['gnip'] * 3)
    # The certificate is known also where it was not sent again.
    equal('certificates', len(set(client.values('peercert'))), 1)
    equal('certificates', len(client.values('peercert')), 3)


async def resumption_gnutls(run, version):
    server = await run.serve('info', 'line', 'say:pong\n')
    client = await run.gnutls_client(server.port, '--resume', '--waitresumption', '--priority',
                                     GNUTLS_VERSIONS[version])
    await client.expect('This is a resumed session')
    await client.say('ping\n')
    await client.expect('^pong$')
    await client.end(0)
    await server.stop()
    equal('resumed', server.values('resumed'), ['false', 'true'])


for tls in VERSIONS:
    case(f'resumption: by ticket, {tls}, weir as server', resumption_server, tls,
         lambda run: [], True)
    case(f'resumption: tickets off, {tls}, weir as server', resumption_server, tls,
         lambda run: ['--no-tickets'], False)
    case(f'resumption: not with client certificates, {tls}, weir as server', resumption_server,
         tls, lambda run: ask_for(run, 'require'), False)
    case(f'resumption: tickets off, {tls}, weir as client', resumption_client, tls,
         ('--no-tickets',), 'false')
    case(f'resumption: gnutls, {tls}, weir as server', resumption_gnutls, tls)
case('resumption: by ticket, TLSv1.3, weir as client', resumption_client, 'TLSv1.3', (), 'true')
case('resumption: none, TLSv1.2, weir as client', resumption_client, 'TLSv1.2', (), 'false')
