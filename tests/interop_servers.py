"""Programs that people use weir with: curl as client, nginx and haproxy as servers."""

import re

from interop_base import case, check, crc_line, equal, tail

# ---- curl ----------------------------------------------------------------------------------------

HTTP_HEAD = 'HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n'
CURL_VERSIONS = {'TLSv1.2': ['--tlsv1.2', '--tls-max', '1.2'], 'TLSv1.3': ['--tlsv1.3']}


def url(port):
    """By a name that is in the certificate, without asking a name server."""
    return ['--noproxy', '*', '--max-time', '20', '--resolve', f'localhost:{port}:127.0.0.1',
            f'https://localhost:{port}/']


async def curl(run, version):
    size = 20000 if run.tiny else 8 << 20
    server = await run.serve('head', 'say:' + HTTP_HEAD.format(size), f'send:{size}', 'info',
                             options=['--alpn', 'http/1.1'])
    body = run.path('body')
    client = await run.start(['curl', '-sS', '-v', '-o', body, *CURL_VERSIONS[version],
                              '--cacert', run.pem('ca'), *url(server.port)])
    await client.end(0)
    await server.closed()
    await server.stop()
    with open(body, 'rb') as file:
        server.has(crc_line('sent', file.read()))
    equal('the request', server.value('head'), 'GET / HTTP/1.1')
    equal('the version', server.value('version'), version)
    equal('alpn', server.value('alpn'), 'http/1.1')
    check('SSL certificate verify ok' in client.text, f'curl says: {tail(client.text)}')


async def curl_uploads(run, version):
    data = bytes(range(251)) * (80 if run.tiny else 30000)
    server = await run.serve('head', f'receive:{len(data)}', 'say:' + HTTP_HEAD.format(2) + 'ok')
    client = await run.start(['curl', '-sS', '-H', 'Expect:', '-T', run.file('data', data),
                              *CURL_VERSIONS[version], '--cacert', run.pem('ca'),
                              *url(server.port)])
    await client.end(0)
    await server.closed()
    await server.stop()
    server.has(crc_line('received', data))
    equal('the answer', client.text, 'ok')


async def curl_refuses(run, ca, certificate):
    """It looks at the name after the handshake; so this may have succeeded for the server."""
    server = await run.serve('head', certificate=certificate)
    client = await run.start(['curl', '-sS', '--cacert', run.pem(ca), *url(server.port)])
    await client.end(60)  # "The peer certificate cannot be authenticated"
    await server.expect('^(tls_failures: 1|closed: .*)$')
    await server.stop()
    equal('requests', server.values('head')[:-1], [])


for tls in CURL_VERSIONS:
    case(f'curl: downloads, {tls}', curl, tls)
    case(f'curl: uploads, {tls}', curl_uploads, tls)
case('curl: refuses an unknown CA', curl_refuses, 'other-ca', 'server')
case('curl: refuses another name', curl_refuses, 'ca', 'wrong-host')

# ---- nginx and haproxy ---------------------------------------------------------------------------

NGINX = '''
daemon off;
master_process off;
pid {directory}/pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl{listen};
        ssl_protocols {version};
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        {more}
        root {directory};
        location = / {{ return 200 "reused=$ssl_session_reused client=$ssl_client_s_dn\\n"; }}
    }}
}}
'''


async def nginx(run, version, listen='', more=''):
    async def listens(port):
        config = NGINX.format(directory=run.directory, port=port, listen=listen, version=version,
                              certificate=run.pem('server'), key=run.pem('server-key'), more=more)
        server = await run.start(['nginx', '-e', 'stderr', '-c',
                                  run.file('nginx.conf', config.encode())])
        await run.listens_on(server, port)
        return server
    return await run.on_free_port(listens)


HAPROXY = '''
global
    maxconn 100
defaults
    mode http
    timeout client 20s
    timeout connect 20s
    timeout server 20s
frontend tls
    bind 127.0.0.1:{port} ssl crt {certificate} alpn http/1.1 {limits} {more}
    http-request return status 200 content-type text/plain lf-string \
"reused=%[ssl_fc_is_resumed] client=%[ssl_c_s_dn(cn)]\\n"
'''


async def haproxy(run, version, more=''):
    """It wants the certificate and its key in one file."""
    parts = []
    for name in 'server', 'server-key':
        with open(run.pem(name), 'rb') as file:
            parts.append(file.read())
    both = run.file('both.pem', b''.join(parts))

    async def listens(port):
        config = HAPROXY.format(port=port, certificate=both, more=more,
                                limits=f'ssl-min-ver {version} ssl-max-ver {version}')
        server = await run.start(['haproxy', '-db', '-f',
                                  run.file('haproxy.cfg', config.encode())])
        await run.listens_on(server, port)
        return server
    return await run.on_free_port(listens)


SERVERS = {'nginx': nginx, 'haproxy': haproxy}
GET = 'say:GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'


async def get(run, name, version):
    """Three requests on three connections, of which two are resumed under TLS 1.3."""
    server = await SERVERS[name](run, version)
    client = await run.connect(server.port, 'info', GET.format('/'), 'head', 'line', 'receive',
                               options=['--connections', '3', '--alpn', 'http/1.1'])
    await client.done()
    equal('the answers', client.values('head'), ['HTTP/1.1 200 OK'] * 3)
    equal('alpn', set(client.values('alpn')), {'http/1.1'})
    equal('the version', set(client.values('version')), {version})
    resumed = ['false', *['true' if version == 'TLSv1.3' else 'false'] * 2]
    equal('resumed', client.values('resumed'), resumed)
    # nginx words it as "r" and ".", haproxy as 1 and 0.
    seen = [re.match('reused=([r1.0])', line).group(1) for line in client.values('line')]
    equal(f'what {name} saw', ['true' if mark in 'r1' else 'false' for mark in seen], resumed)


async def nginx_sends_a_file(run, version):
    data = bytes(range(253)) * (80 if run.tiny else 60000)
    run.file('data', data)
    server = await nginx(run, version)
    client = await run.connect(server.port, GET.format('/data'), 'head', 'receive')
    await client.done()
    client.has(crc_line('received', data))


async def nginx_speaks_h2(run, version):
    """Chosen by ALPN; its first frame is SETTINGS, on stream 0."""
    server = await nginx(run, version, ' http2')
    client = await run.connect(server.port, 'info', 'say:PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
                               'receive:9', options=['--alpn', 'h2,http/1.1'])
    await client.done()
    equal('alpn', client.value('alpn'), 'h2')
    check(client.value('received').startswith('9 '), f'weir received {client.value("received")}')


CLIENT_CERTIFICATES = {
    'nginx': 'ssl_verify_client on; ssl_client_certificate {};',
    'haproxy': 'verify required ca-file {}',
}


async def client_certificate(run, name, version):
    more = CLIENT_CERTIFICATES[name].format(run.pem('ca'))
    server = await SERVERS[name](run, version, more=more)
    client = await run.connect(server.port, GET.format('/'), 'head', 'line', 'receive',
                               options=run.pair('client'))
    await client.done()
    check('weir client' in client.value('line'), f'{name} saw {client.value("line")}')


for tls in CURL_VERSIONS:
    for program in SERVERS:
        case(f'{program}: three requests, {tls}', get, program, tls)
        case(f'{program}: client certificate, {tls}', client_certificate, program, tls)
    case(f'nginx: a large file, {tls}', nginx_sends_a_file, tls)
    case(f'nginx: h2 by ALPN, {tls}', nginx_speaks_h2, tls)
