#!/usr/bin/env python3
"""The servers of the benchmark on asyncio's streams, whose names weir has, with uvloop as the loop.

The target asyncio_uvloop of the Makefile makes a program of it for Debian's Python, as that is the
one for which Debian has uvloop.
"""

import argparse
import asyncio
import functools
import os
import resource
import signal
import socket
import struct
import sys

PROGRAM = 'asyncio_uvloop'
BACKLOG = 4096
SIZE = 256 << 10  # of a read at most, and of a reader's buffer: what uvloop receives at once
PATTERN_SIZE = 1 << 20
MOST_PIECES = 64  # of the pattern in one write, and no more bytes than it has
END_OF_REQUEST = b'\r\n\r\n'
ANSWER = (b'HTTP/1.1 200 OK\r\nServer: weir\r\nContent-Type: text/plain\r\n'
          b'Content-Length: 13\r\n\r\nHello, World!')


async def echo(reader, writer):
    while data := await reader.read(SIZE):
        writer.write(data)
        await writer.drain()


# ---- HTTP ---------------------------------------------------------------------------------------

async def answer_requests(reader, writer):
    """Not by readuntil(), which costs as much for one at a time, and twice for 16 pipelined."""
    rest = b''
    while data := await reader.read(SIZE):
        *requests, rest = (rest + data).split(END_OF_REQUEST)
        rest = rest[1 - len(END_OF_REQUEST):]
        if requests:
            writer.write(ANSWER * len(requests))
            await writer.drain()


async def answer_one_request(reader, writer):
    await reader.readuntil(END_OF_REQUEST)
    writer.write(ANSWER)


# ---- Sink and source ----------------------------------------------------------------------------

async def sink(reader, writer):
    count = 0
    while data := await reader.read(SIZE):
        count += len(data)
    writer.write(struct.pack('>Q', count))


def make_pattern():
    """As bench_pattern() has it: xorshift64, of each state the byte from bit 32 on."""
    random, pattern = 0x9e3779b97f4a7c15, bytearray(PATTERN_SIZE)
    for i in range(PATTERN_SIZE):
        random = (random ^ random << 13) & 0xffffffffffffffff
        random ^= random >> 7
        random = (random ^ random << 17) & 0xffffffffffffffff
        pattern[i] = random >> 32 & 0xff
    return memoryview(bytes(pattern))


async def source(pattern, reader, writer):
    total, block = struct.unpack('>QQ', await reader.readexactly(16))
    if not 1 <= block <= PATTERN_SIZE:
        return
    at_once = max(1, min(MOST_PIECES, PATTERN_SIZE // block))
    for _ in range(total // (block * at_once)):
        writer.writelines([pattern[:block]] * at_once)
        await writer.drain()
    blocks, rest = divmod(total % (block * at_once), block)
    writer.writelines([pattern[:block]] * blocks + [pattern[:rest]])
    await writer.drain()


# ---- Proxy --------------------------------------------------------------------------------------

async def forward(reader, writer):
    while data := await reader.read(SIZE):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def proxy(to, reader, writer):
    """What goes wrong in one direction ends both, as it closes both writers."""
    from_server, to_server = await asyncio.open_connection(*to, limit=SIZE)
    try:
        await asyncio.gather(forward(reader, to_server), forward(from_server, writer))
    finally:
        to_server.close()


# ---- The program --------------------------------------------------------------------------------

MODES = {'echo': echo, 'http': answer_requests, 'http-close': answer_one_request, 'sink': sink,
         'source': source, 'proxy': proxy}


def make_loop(name):
    if name == 'asyncio':
        return asyncio.new_event_loop
    try:
        import uvloop  # here, as the other loop does without
    except ImportError:
        sys.exit(f'{PROGRAM}: uvloop is missing: apt install python3-uvloop')
    return uvloop.new_event_loop


def address_of(text):
    """HOST:PORT, [HOST]:PORT or unix:PATH, as the path or as what getaddrinfo() finds."""
    if text.startswith('unix:'):
        return text[len('unix:'):]
    host, colon, port = text.rpartition(':')
    try:
        found = socket.getaddrinfo(host.strip('[]') or None, port, type=socket.SOCK_STREAM,
                                   flags=socket.AI_PASSIVE)
    except OSError:
        found = []
    if not colon or not found:
        raise argparse.ArgumentTypeError(f"'{text}' is no HOST:PORT or unix:PATH")
    return found[0][4][:2]


def parse_options():
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description='A server on asyncio\'s streams, to compare weir with.',
        epilog=f'Prints "{PROGRAM}: listening on ADDRESS" once it listens. SIGTERM and SIGINT end '
        'it.')
    parser.add_argument('--listen', metavar='ADDRESS', type=address_of, default='127.0.0.1:0',
                        help='HOST:PORT or unix:PATH (127.0.0.1:0, a port that the system picks)')
    parser.add_argument('--mode', choices=MODES, default='echo', help='%(default)s')
    parser.add_argument('--to', metavar='ADDRESS', type=address_of,
                        help='whom the proxy joins clients to, HOST:PORT')
    parser.add_argument('--loop', choices=['uvloop', 'asyncio'], default='uvloop',
                        help='%(default)s')
    options = parser.parse_args()
    if options.mode == 'proxy' and not isinstance(options.to, tuple):
        parser.error('mode proxy needs --to HOST:PORT')
    return options


def handler_of(options):
    serve = MODES[options.mode]
    if serve is source:
        serve = functools.partial(source, make_pattern())
    elif serve is proxy:
        serve = functools.partial(proxy, options.to)

    # While neither of its streams is read, as both wait for their peers, uvloop refers to none of a
    # proxy's objects: without this, Python would collect them.
    tasks = set()

    async def handle(reader, writer):
        task = asyncio.current_task()
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client, or the proxy's server, has gone or sends what nobody asked for
        finally:
            tasks.discard(task)
            writer.close()
    return handle


async def listen(handle, address):
    """Returns the server, and where it listens."""
    if isinstance(address, str):
        server = await asyncio.start_unix_server(handle, address, backlog=BACKLOG, limit=SIZE)
        return server, f'unix:{address}'
    server = await asyncio.start_server(handle, *address, backlog=BACKLOG, limit=SIZE)
    host, port = server.sockets[0].getsockname()[:2]
    return server, f'[{host}]:{port}' if ':' in host else f'{host}:{port}'


async def run(options):
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    server, where = await listen(handler_of(options), options.listen)
    print(f'{PROGRAM}: listening on {where}', flush=True)
    await ended.wait()
    server.close()
    if isinstance(options.listen, str):
        os.unlink(options.listen)


def main():
    options = parse_options()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with asyncio.Runner(loop_factory=make_loop(options.loop)) as runner:
        try:
            runner.run(run(options))
        except OSError as error:
            sys.exit(f'{PROGRAM}: {error}')


if __name__ == '__main__':
    main()
