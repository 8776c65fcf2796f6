"""What happens after the handshake: large transfers, KeyUpdate, the many ways to end, and the ways
to begin: start_tls, and Unix sockets."""

import asyncio
import os
import re
import ssl

from interop_base import Skip, case, check, crc_line, equal, soon
from interop_handshakes import BOTH_SIDES, IANA_NAMES, VERSIONS
from interop_raw import Truncated, context, raw_pair

# ---- Large transfers -----------------------------------------------------------------------------


def large(run):
    return 1 << 16 if run.tiny else 64 << 20


def large_data(run):
    return (os.urandom(1 << 20) * 64)[:large(run)]


def crc_line_of_file(name, path):
    with open(path, 'rb') as file:
        return crc_line(name, file.read())


async def transfer_as_server(run, cipher, options):
    sent, received = run.file('sent', large_data(run)), run.path('received')
    weir = await run.serve('info', f'receive:{large(run)}', f'send:{large(run)}', options=options)
    with open(sent, 'rb') as stdin, open(received, 'wb') as stdout:
        openssl = await run.s_client(weir.port, *cipher, '-quiet', stdin=stdin, stdout=stdout)
        await weir.closed()
        await openssl.end(0)
    await weir.stop()
    return weir, sent, received


async def transfer_as_client(run, cipher, options):
    sent, received = run.file('sent', large_data(run)), run.path('received')
    # -quiet, since what is sent may look like a command; so it does not say where it listens.
    with open(received, 'wb') as stdout:
        async def listens(port):
            server = await run.start(['openssl', 's_server', '-accept', f'127.0.0.1:{port}',
                                      '-quiet', *run.pair('server', '-cert', '-key'), *cipher],
                                     stdout=stdout)
            await run.listens_on(server, port)
            return server
        openssl = await run.on_free_port(listens)
        weir = await run.connect(openssl.port, 'info', f'send:{large(run)}',
                                 f'receive:{large(run)}', options=options)
        await weir.expect('^sent: ')  # it would not read while it blocks in writing
        with open(sent, 'rb') as file:
            await openssl.say(file.read())
        await weir.done()
        await openssl.kill()
    return weir, sent, received


async def transfer(run, side, cipher, options):
    """The file arrives at weir, and what weir sends arrives at openssl, byte by byte."""
    both_ways = transfer_as_server if side == 'server' else transfer_as_client
    weir, sent, received = await both_ways(run, cipher, options)
    weir.has(crc_line_of_file('received', sent))
    weir.has(crc_line_of_file('sent', received))
    equal('the cipher', weir.value('cipher'), IANA_NAMES.get(cipher[-1], cipher[-1]))


async def duplex(run, side, version):
    """Both directions at once. A third of the size: Python's records are the slow part."""
    size = large(run) // 3
    data = os.urandom(1 << 16) * (size // (1 << 16) + 1)
    data = data[:size]
    weir, raw = await raw_pair(run, side, version, f'duplex:{size}')
    received = []

    async def read():
        while sum(map(len, received)) < size:
            received.append(await raw.read())

    await asyncio.gather(raw.write(data), read())
    received = b''.join(received)
    equal('the end', await raw.read(), b'')
    await raw.close_notify()
    await weir.closed()
    weir.has(crc_line('received', data))
    weir.has(crc_line('sent', received))


for weir_side in BOTH_SIDES:
    for suite_options in (('-tls1_3', '-ciphersuites', 'TLS_AES_128_GCM_SHA256'),
                          ('-tls1_3', '-ciphersuites', 'TLS_AES_256_GCM_SHA384'),
                          ('-tls1_3', '-ciphersuites', 'TLS_CHACHA20_POLY1305_SHA256'),
                          ('-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-GCM-SHA256')):
        case(f'large: {suite_options[-1]}, weir as {weir_side}', transfer, weir_side,
             suite_options, ())
    case(f'large: TLS_AES_128_GCM_SHA256, weir as {weir_side}, in software', transfer, weir_side,
         ('-tls1_3', '-ciphersuites', 'TLS_AES_128_GCM_SHA256'), ('--no-hardware-aes',))
    for tls in VERSIONS:
        case(f'large: both ways at once, {tls}, weir as {weir_side}', duplex, weir_side, tls)

# ---- KeyUpdate -----------------------------------------------------------------------------------

# How openssl's -msg words one that it has received, perhaps after what weir has sent.
KEY_UPDATE = r'<<< TLS 1.3, Handshake \[length 0005\], KeyUpdate$'


async def key_update_by_client(run, command, options):
    server = await run.serve('line', 'say:one\n', 'line', 'say:two\n', 'line', 'say:three\n',
                             options=options)
    client = await run.s_client(server.port, '-tls1_3', '-msg')
    await client.say('first\n')
    await client.expect('^one$')
    for text, answer in ('second', 'two'), ('third', 'three'):
        await client.say(command + '\n')
        await client.expect('^KEYUPDATE$')
        await client.say(text + '\n')
        if command == 'K':
            await client.expect(KEY_UPDATE)  # it was asked for
        await client.expect(f'^{answer}$')
    await client.end(0)
    await server.closed()
    await server.stop()
    equal('the lines', server.values('line'), ['first', 'second', 'third'])


async def key_update_by_server(run, command, options):
    server = await run.s_server('-tls1_3', '-msg')
    client = await run.connect(server.port, 'line', 'say:one\n', 'line', 'say:two\n', 'line',
                               'say:three\n', options=options)
    await server.expect('^Secure Renegotiation')  # it has accepted the client
    await server.say('first\n')
    await server.expect('^one$')
    for text, answer in ('second', 'two'), ('third', 'three'):
        await server.say(command + '\n')
        await server.expect(r'^>>> TLS 1.3, Handshake \[length 0005\], KeyUpdate$')
        await server.say(text + '\n')
        if command == 'K':
            await server.expect(KEY_UPDATE)
        await server.expect(f'^{answer}$')
    await client.done()
    equal('the lines', client.values('line'), ['first', 'second', 'third'])


async def key_update_gnutls(run):
    server = await run.serve('line', 'say:one\n', 'line', 'say:two\n')
    client = await run.gnutls_client(server.port, '--inline-commands', '--priority',
                                     'NORMAL:-VERS-ALL:+VERS-TLS1.3')
    await client.say('first\n')
    await client.expect('^one$')
    await client.say('^rekey^\n')
    await client.expect('Rekey was completed')
    await client.say('second\n')
    await client.expect('^two$')
    await client.end(0)
    await server.closed()
    await server.stop()
    equal('the lines', server.values('line'), ['first', 'second'])


async def key_update_by_weir(run, side):
    """weir's own, before a key has protected too many records: 2^24, but 40 in the tiny build."""
    if not run.tiny:
        raise Skip('a key is good for 2^24 records: see the TINY=1 build')
    size = 100 * 16384
    if side == 'server':
        weir = await run.serve(f'send:{size}', 'say:that is all\n')
        openssl = await run.s_client(weir.port, '-tls1_3', '-msg')
    else:
        openssl = await run.s_server('-tls1_3', '-msg')
        weir = await run.connect(openssl.port, f'send:{size}', 'say:that is all\n')
    await openssl.expect(KEY_UPDATE)
    await openssl.expect(KEY_UPDATE)
    await openssl.expect('that is all$')
    await weir.closed()


for letter, meaning in ('K', 'asks for one'), ('k', 'asks for none'):
    for how, weir_options in ('', ()), (', in software', ('--no-hardware-aes',)):
        case(f'KeyUpdate: s_client {meaning}{how}', key_update_by_client, letter, weir_options)
        case(f'KeyUpdate: s_server {meaning}{how}', key_update_by_server, letter, weir_options)
case('KeyUpdate: gnutls-cli', key_update_gnutls)
for weir_side in BOTH_SIDES:
    case(f"KeyUpdate: weir's own, as {weir_side}", key_update_by_weir, weir_side)

# ---- The end of a stream -------------------------------------------------------------------------


def some(run):
    """More than socket buffers and watermarks hold."""
    return os.urandom(20000 if run.tiny else 8 << 20)


async def peer_ends_first(run, side, version):
    weir, raw = await raw_pair(run, side, version, 'line', 'receive')
    await raw.write(b'hello\n')
    await raw.close_notify()
    equal("weir's end", await raw.read(), b'')
    await raw.expect_fin()
    await weir.closed()
    weir.has('line: hello')
    weir.has(crc_line('received', b''))


async def weir_ends_first(run, side, version):
    weir, raw = await raw_pair(run, side, version, 'say:bye\n')
    await raw.expect(b'bye\n')
    equal("weir's end", await raw.read(), b'')
    await raw.close_notify()
    await weir.closed()
    await raw.expect_fin()


async def both_end(run, side, version):
    """The two close_notify cross: neither is an answer."""
    weir, raw = await raw_pair(run, side, version, 'say:bye\n')
    await raw.expect(b'bye\n')
    await raw.close_notify()
    equal("weir's end", await raw.read(), b'')
    await weir.closed()
    await raw.expect_fin()


async def peer_answers_by_fin(run, side, version):
    """RFC 8446 asks for no answer to close_notify."""
    weir, raw = await raw_pair(run, side, version, 'say:bye\n')
    await raw.expect(b'bye\n')
    equal("weir's end", await raw.read(), b'')
    await raw.fin()
    await weir.closed()


async def peer_leaves_at_once(run, side, version):
    """It sends all, close_notify too, and closes without reading: weir's close_notify meets RST. A
    server of TLS 1.3 may meet it with its tickets already: then it fails, but what came is read."""
    weir, raw = await raw_pair(run, side, version, 'receive')
    raw.writer.transport.pause_reading()
    await raw.write(b'that is all')
    await raw.close_notify()
    raw.writer.transport.abort()
    tickets = side == 'server' and version == 'TLSv1.3'
    await weir.closed(*(['0', 'EPIPE', 'ECONNRESET'] if tickets else []))
    weir.has(crc_line('received', b'that is all'))


async def peer_goes_on(run, side, version):
    """What still comes is dropped, however much it is."""
    weir, raw = await raw_pair(run, side, version, 'say:bye\n')
    await raw.expect(b'bye\n')
    equal("weir's end", await raw.read(), b'')
    await raw.write(some(run))
    await raw.close_notify()
    await weir.closed()
    await raw.expect_fin()


async def peer_never_answers(run, side, version):
    weir, raw = await raw_pair(run, side, version, 'say:bye\n',
                               options=['--shutdown-timeout', '300'])
    await raw.expect(b'bye\n')
    equal("weir's end", await raw.read(), b'')
    await weir.closed('ETIMEDOUT')


async def peer_truncates(run, side, version, options):
    weir, raw = await raw_pair(run, side, version, 'receive', options=options)
    await raw.write(b'half a')
    await raw.fin()
    if not options:
        await weir.expect('^receive: TLS_TRUNCATED ')
    await weir.closed('0' if options else 'TLS_TRUNCATED')
    weir.has(crc_line('received', b'half a'))


async def weir_aborts(run, side, version):
    weir, raw = await raw_pair(run, side, version, 'line', 'abort')
    await raw.write(b'go\n')
    try:
        got = await raw.read()
        check(False, f'weir sent {got!r} at its abort')
    except (Truncated, ConnectionError):
        pass
    await weir.expect('^closed: ')


async def record_is_broken(run, side, version):
    weir, raw = await raw_pair(run, side, version, 'receive')
    await raw.write(b'fine')
    await raw.inject(b'\x17\x03\x03\x00\x30' + bytes(range(48)))
    try:
        got = await raw.read()
        check(False, f'weir answered {got!r}')
    except ssl.SSLError as error:
        check('BAD_RECORD_MAC' in str(error), f'the alert is {error}')
    await weir.closed('TLS_RECORD')
    weir.has(crc_line('received', b'fine'))


async def peer_half_closes(run, side):
    """After its close_notify, TLS 1.3 lets weir send as long as it likes."""
    size = len(some(run))
    weir, raw = await raw_pair(run, side, 'TLSv1.3', 'receive', f'send:{size}')
    await raw.write(b'that is all')
    await raw.close_notify()
    data = await raw.read_all()
    await weir.closed()
    await raw.expect_fin()
    weir.has(crc_line('received', b'that is all'))
    weir.has(crc_line('sent', data))
    equal('what came', len(data), size)


async def weir_half_closes(run, side):
    weir, raw = await raw_pair(run, side, 'TLSv1.3', 'say:question\n', 'eof', 'receive')
    await raw.expect(b'question\n')
    equal("weir's end", await raw.read(), b'')
    data = some(run)
    await raw.write(data)
    await raw.close_notify()
    await weir.closed()
    await raw.expect_fin()
    weir.has('can_write_eof: true')
    weir.has('write_eof: 0')
    weir.has(crc_line('received', data))


async def no_half_close_in_1_2(run, side):
    """The peer's close_notify closes both ways, but what was queued before arrives; and weir has no
    half-close of its own."""
    queued = 'q' * 100000
    weir, raw = await raw_pair(run, side, 'TLSv1.2', f'say:{queued}', 'receive')
    first = await raw.read()
    await raw.close_notify()
    equal('what was queued', (first + await raw.read_all()) == queued.encode(), True)
    await weir.closed()

    weir, raw = await raw_pair(run, side, 'TLSv1.2', 'eof')
    await weir.expect(r'^can_write_eof: false\nwrite_eof: EOPNOTSUPP ')


for weir_side in BOTH_SIDES:
    for tls in VERSIONS:
        for title, function, *more in [
                ('peer first', peer_ends_first), ('weir first', weir_ends_first),
                ('both', both_end), ('the peer answers by FIN', peer_answers_by_fin),
                ('the peer leaves at once', peer_leaves_at_once),
                ('the peer goes on sending', peer_goes_on),
                ('the peer never answers', peer_never_answers),
                ('FIN without close_notify', peer_truncates, ()),
                ('truncation allowed', peer_truncates, ('--allow-truncation',)),
                ('abort', weir_aborts), ('a broken record', record_is_broken)]:
            case(f'end: {title}, {tls}, weir as {weir_side}', function, weir_side, tls, *more)
    case(f'half-close: the peer, weir as {weir_side}', peer_half_closes, weir_side)
    case(f'half-close: weir as {weir_side}', weir_half_closes, weir_side)
    case(f'half-close: not in TLSv1.2, weir as {weir_side}', no_half_close_in_1_2, weir_side)

# ---- start_tls -----------------------------------------------------------------------------------

# An SMTP server as far as STARTTLS, then a line each way.
SMTP_SERVER = ['--plain', 'say:220 mail.example ESMTP\r\n', 'line',
               'say:250-mail.example\r\n250 STARTTLS\r\n', 'line', 'say:220 ready\r\n',
               'start_tls', 'info', 'line', 'say:pong\n']


async def start_tls_smtp(run, version, client):
    server = await run.serve(*SMTP_SERVER)
    if client == 'openssl':
        peer = await run.s_client(server.port, VERSIONS[version], '-starttls', 'smtp', '-name',
                                  'client.example')
        await peer.expect('^Verification: OK$')
    else:
        peer = await run.gnutls_client(server.port, '--starttls-proto', 'smtp', '--priority',
                                       f'NORMAL:-VERS-ALL:+VERS-{version.replace("v", "")}')
        await peer.expect('Handshake was completed')
    await peer.say('ping\n')
    await peer.expect('^pong$')
    await peer.end(0)
    await server.closed()
    await server.stop()
    lines = server.values('line')
    check(lines[0].startswith('EHLO '), f'the client said {lines}')
    equal('the other lines', lines[1:], ['STARTTLS', 'ping'])
    equal('the version', server.value('version'), version)


async def start_tls_python_client(run, version):
    server = await run.serve('--plain', 'line', 'say:go\n', 'start_tls', 'info', 'line',
                             'say:pong\n')
    reader, writer = await asyncio.open_connection('127.0.0.1', server.port)
    run.closers.append(writer.transport.abort)
    writer.write(b'starttls\n')
    equal('the answer', await soon(reader.readline(), 'weir answers'), b'go\n')
    await soon(writer.start_tls(context(run, False, version), server_hostname='localhost'),
               'the handshake')
    equal('the version', writer.get_extra_info('cipher')[1].replace('/', ''), version)
    writer.write(b'ping\n')
    equal('the line', await soon(reader.readline(), 'weir answers'), b'pong\n')
    equal('the end', await soon(reader.read(), 'weir ends'), b'')
    writer.close()
    await soon(writer.wait_closed(), 'Python closes')
    await server.closed()
    await server.stop()
    equal('the lines', server.values('line'), ['starttls', 'ping'])
    equal('the version', server.value('version'), version)


async def start_tls_python_server(run, version):
    seen = []

    async def upgrade(reader, writer):
        seen.append(await reader.readline())
        writer.write(b'go\n')
        await writer.start_tls(context(run, True, version))
        seen.append(await reader.readline())
        writer.write(b'pong\n')

    client = await run.connect(await run.listen(upgrade), '--plain', 'say:starttls\n', 'line',
                               'start_tls', 'info', 'say:ping\n', 'line', 'receive')
    await client.done()
    equal('what Python saw', seen, [b'starttls\n', b'ping\n'])
    equal('the lines', client.values('line'), ['go', 'pong'])
    equal('the version', client.value('version'), version)


async def start_tls_checks_the_name(run):
    async def upgrade(reader, writer):
        await reader.readline()
        writer.write(b'go\n')
        await writer.start_tls(context(run, True))

    client = await run.connect(await run.listen(upgrade), '--plain', '--server-hostname',
                               'other.example', 'say:starttls\n', 'line', 'start_tls', 'info')
    await client.done(1)
    check(re.search('^start_tls: TLS_HOSTNAME ', client.text, re.M), f'weir says: {client.text}')


async def start_tls_injection(run):
    """What a man in the middle adds in plain text must not be read as if it came protected."""
    server = await run.serve('--plain', 'line', 'start_tls', 'line')
    reader, writer = await asyncio.open_connection('127.0.0.1', server.port)
    run.closers.append(writer.transport.abort)
    writer.write(b'STARTTLS\r\nINJECTED\r\n')
    await server.expect('^start_tls: TLS_[A-Z]+ ')
    await server.expect('^closed: ')
    equal('the lines', server.values('line'), ['STARTTLS'])
    await server.stop()


for tls in VERSIONS:
    case(f'start_tls: smtp, openssl, {tls}', start_tls_smtp, tls, 'openssl')
    case(f'start_tls: smtp, gnutls, {tls}', start_tls_smtp, tls, 'gnutls')
    case(f'start_tls: Python as client, {tls}', start_tls_python_client, tls)
    case(f'start_tls: Python as server, {tls}', start_tls_python_server, tls)
case('start_tls: the name is checked', start_tls_checks_the_name)
case('start_tls: injected plain text is not read', start_tls_injection)

# ---- Python's asyncio, which weir is modelled on -------------------------------------------------


async def python_client(run, version):
    server = await run.serve('info', 'echo')
    reader, writer = await asyncio.open_connection('127.0.0.1', server.port,
                                                   ssl=context(run, False, version),
                                                   server_hostname='localhost')
    run.closers.append(writer.transport.abort)
    data = os.urandom(20000 if run.tiny else 300000)
    writer.write(data)
    equal('the echo', await soon(reader.readexactly(len(data)), 'weir echoes') == data, True)
    writer.close()
    await soon(writer.wait_closed(), 'Python closes')
    await server.closed()
    await server.stop()
    server.has(f'echoed: {len(data)}')


async def python_server(run, version, unix):
    async def echo(reader, writer):
        writer.write(await reader.readline())

    path = run.path('socket') if unix else None
    where = await run.listen(echo, unix=path, ssl=context(run, True, version))
    client = await run.connect(where, 'info', 'say:ping\n', 'line', 'receive')
    await client.done()
    equal('the line', client.value('line'), 'ping')
    equal('the version', client.value('version'), version)


for tls in VERSIONS:
    case(f'asyncio: as client, {tls}', python_client, tls)
    case(f'asyncio: as server, {tls}', python_server, tls, False)
    case(f'unix: asyncio as server, {tls}', python_server, tls, True)

# ---- Unix sockets --------------------------------------------------------------------------------


async def unix_openssl_client(run, version):
    path = run.path('socket')
    server = await run.serve('info', 'line', 'say:pong\n', unix=path)
    client = await run.s_client(path, VERSIONS[version])
    await client.say('ping\n')
    await client.expect('^pong$')
    await client.end(0)
    await server.closed()
    await server.stop()
    equal('the version', server.value('version'), version)


async def unix_openssl_server(run, version):
    server = await run.s_server('-rev', VERSIONS[version], where=('-unix', 'socket'))
    client = await run.connect(server.port, 'info', 'say:ping\n', 'line')
    await client.done()
    equal('the line', client.value('line'), 'gnip')
    equal('the version', client.value('version'), version)


for tls in VERSIONS:
    case(f'unix: s_client, {tls}', unix_openssl_client, tls)
    case(f'unix: s_server, {tls}', unix_openssl_server, tls)
