"""The clients of the soak: well-behaved ones, which must never see an error, and others, which
break off or are slow. Each function is one visit to a server, and returns how many exchanges it
made."""

import asyncio
import socket
import struct

VISIT_SECONDS = 30  # more than any visit takes on a machine that is busy
RESPONSE = b'\r\n\r\nHello, World!'
LINGER_RESET = struct.pack('ii', 1, 0)


class Wrong(Exception):
    """What came is not what should have come."""


async def close(writer):
    writer.close()
    await writer.wait_closed()


def some(random, most):
    """Bytes of a random length, short ones as often as long ones."""
    return random.randbytes(int(most ** random.random()))


async def exchange(reader, writer, data):
    """Sends and receives at the same time: the server's queue has an end."""
    async def send():
        writer.write(data)
        await writer.drain()
    sending = asyncio.create_task(send())
    try:
        if await reader.readexactly(len(data)) != data:
            raise Wrong('other bytes come back')
    finally:
        await asyncio.wait([sending])


# ---- Well-behaved --------------------------------------------------------------------------------

async def echo(random, port, context=None):
    more = {'ssl': context, 'server_hostname': 'localhost'} if context else {}
    reader, writer = await asyncio.open_connection('127.0.0.1', port, **more)
    rounds = random.randint(1, 20)
    for _ in range(rounds):
        await exchange(reader, writer, some(random, 200_000))
    await close(writer)
    return rounds


async def short(random, port):
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    await exchange(reader, writer, some(random, 1000))
    await close(writer)
    return 1


async def http(random, port):
    """Several requests at once, and more than once; the last asks the server to close."""
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    head = b'GET / HTTP/1.1\r\nHost: localhost\r\n'
    count = 0
    for _ in range(random.randint(1, 10)):
        pipelined = random.randint(1, 16)
        writer.write((head + b'\r\n') * pipelined)
        for _ in range(pipelined):
            if not (await reader.readuntil(RESPONSE)).startswith(b'HTTP/1.1 200 '):
                raise Wrong('a response that is not 200')
        count += pipelined
    writer.write(head + b'Connection: close\r\n\r\n')
    if not (await reader.read()).endswith(RESPONSE):
        raise Wrong('the last response is not whole')
    await close(writer)
    return count + 1


async def half_close(random, port):
    """Ends its own direction, and must get all the same what is on the way."""
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    data = some(random, 500_000)
    async def send():
        writer.write(data)
        await writer.drain()
        writer.write_eof()
    sending = asyncio.create_task(send())
    if await reader.read() != data:
        raise Wrong('not all comes back after the half-close')
    await sending
    await close(writer)
    return 1


async def slow_reader(random, port):
    """Its small window fills, so the server must wait for it, and lose nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ('127.0.0.1', port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
    data = random.randbytes(400_000)
    writer.write(data)
    received = bytearray()
    while len(received) < len(data):
        part = await reader.read(8192)
        if not part:
            raise Wrong('an end in the middle')
        received += part
        await asyncio.sleep(0.01)
    if received != data:
        raise Wrong('other bytes come back slowly')
    await close(writer)
    return 1


# ---- Others --------------------------------------------------------------------------------------

async def abort(random, port, beginning=b''):
    """Sends something, reads nothing, and resets the connection a little later."""
    _, writer = await asyncio.open_connection('127.0.0.1', port)
    data = random.randbytes(random.choice((0, 1, 5000, 1_000_000)))
    writer.write(beginning or data)
    await asyncio.sleep(random.uniform(0, 0.05))
    sock = writer.transport.get_extra_info('socket')
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
    writer.transport.abort()
    return 1


async def abort_tls(random, port, context):
    """In the midst of a conversation over TLS: no close_notify."""
    _, writer = await asyncio.open_connection('127.0.0.1', port, ssl=context,
                                              server_hostname='localhost')
    writer.write(random.randbytes(random.choice((0, 100, 300_000))))
    await asyncio.sleep(random.uniform(0, 0.02))
    writer.transport.abort()
    return 1
