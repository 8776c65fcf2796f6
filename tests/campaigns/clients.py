"""Clients of the campaigns, in a process of their own, so that they and the one who measures do not
wait for each other. Each prints what it found as JSON, last.

    clients.py short PORT FIRST COUNT [CA]   COUNT connections with one request each, over TLS if an
                                             authority is named; FIRST tells processes apart
    clients.py drip PORT COUNT SECONDS       COUNT connections that send a byte of a head every so
                                             many seconds, until stdin ends
    clients.py paced PORT RATE SECONDS       RATE requests a second on one connection
"""

import gc
import json
import select
import socket
import ssl
import sys
import time

from base import percentile, raise_fd_limit

PATIENCE = 10                  # seconds for anything
SOURCES = 250                  # 127.0.0.2 and so on: each has ephemeral ports of its own
IP_BIND_ADDRESS_NO_PORT = 24   # linux/in.h: bind() leaves the choice of a port to connect()
BODY = b'Hello, World!'
DRIPPED = b'GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: '  # and then one letter after another


def request(keep_alive):
    connection = b'' if keep_alive else b'Connection: close\r\n'
    return b'GET / HTTP/1.1\r\nHost: localhost\r\n' + connection + b'\r\n'


def connect(port, number):
    sock = socket.socket()
    sock.settimeout(PATIENCE)
    sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((f'127.0.0.{2 + number % SOURCES}', 0))
    sock.connect(('127.0.0.1', port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def exchange(sock, keep_alive):
    """One request and its response; where the server is to close, up to its end."""
    sock.sendall(request(keep_alive))
    response = b''
    while not (keep_alive and response.endswith(BODY)) and (part := sock.recv(4096)):
        response += part
    if not (response.startswith(b'HTTP/1.1 200 ') and response.endswith(b'\r\n\r\n' + BODY)):
        raise ValueError(f'the response is {response!r}')


def short(port, first, count, authority=None):
    """By turns the client closes first, or the server."""
    context = ssl.create_default_context(cafile=authority) if authority else None
    errors, begin = [], time.monotonic()
    for number in range(first, first + count):
        try:
            with connect(port, number) as sock:
                if context:
                    sock = context.wrap_socket(sock, server_hostname='localhost')
                exchange(sock, keep_alive=number % 2)
                sock.close()
        except (OSError, ValueError) as error:
            errors.append(f'{number}: {error!r}')
    return {'done': count - len(errors), 'errors': len(errors), 'examples': errors[:3],
            'seconds': time.monotonic() - begin}


def drip(port, count, seconds):
    """Each sends its bytes at its own time, so that some come all the time."""
    raise_fd_limit()
    socks = [connect(port, number) for number in range(count)]
    print('connected', flush=True)
    gone, sent, turn = set(), 0, 0
    begin = time.monotonic()
    while not select.select([sys.stdin], [], [], 0.01)[0]:
        due = int((time.monotonic() - begin) * count / seconds)
        for turn in range(turn, due):
            position = turn // count
            letter = DRIPPED[position:position + 1] or b'x'
            try:
                if turn % count not in gone:
                    socks[turn % count].send(letter)
                    sent += 1
            except OSError:
                gone.add(turn % count)
        turn = due
    for number, sock in enumerate(socks):
        sock.setblocking(False)
        try:
            sock.recv(1)  # an answer, or an end
            gone.add(number)
        except BlockingIOError:
            pass
        except OSError:
            gone.add(number)
        sock.close()
    return {'gone': len(gone), 'bytes': sent, 'seconds': time.monotonic() - begin}


def paced(port, rate, seconds):
    """Each request at its time, unless the one before has not been answered yet."""
    gc.disable()
    latencies = []
    with connect(port, 0) as sock:
        exchange(sock, True)
        begin = time.monotonic()
        for number in range(int(rate * seconds)):
            due = begin + number / rate
            time.sleep(max(0.0, due - time.monotonic()))
            sent = time.monotonic()
            exchange(sock, True)
            latencies.append(time.monotonic() - sent)
    return {name: 1e6 * percentile(latencies, percent)
            for name, percent in (('p50', 50), ('p90', 90), ('p99', 99))}


def main():
    mode, port, *numbers = sys.argv[1:]
    if mode == 'short':
        found = short(int(port), int(numbers[0]), int(numbers[1]), *numbers[2:])
    elif mode == 'drip':
        found = drip(int(port), int(numbers[0]), float(numbers[1]))
    else:
        found = paced(int(port), float(numbers[0]), float(numbers[1]))
    print(json.dumps(found))


if __name__ == '__main__':
    sys.dont_write_bytecode = True
    main()
