"""A server that is out of file descriptors, and many more clients than it can let in.

The kernel completes their handshakes all the same, as far as the backlog goes, so the listening
socket stays readable and each accept fails: a server that simply tries again burns a core. It must
rest, go on serving those inside, and let in others as soon as somebody leaves. A single server
stops at what the limit allows, and meets no failure. Two that share the fds do: each thinks that
half of them are its own, and that is more than there are. Then whoever waits is turned away, one by
one.
"""

import asyncio
import contextlib
import ssl
import time

from base import becomes, check, cpu, fds, together

LIMIT = 64             # fds
CLIENTS = 200
LEAVING = 10
MOST_CPU = 5           # percent of a core
PING_SECONDS = 0.5     # between two of a client
AGAIN_SECONDS = 0.3    # after having been turned away
PATIENCE = 5           # seconds: what is not answered by then is lost
WITHIN_SECONDS = 1.0   # of somebody's leaving, the next is served


class Client:
    """Connects, and once it is inside, asks for an answer again and again."""

    def __init__(self, port, context):
        self.where = {'host': '127.0.0.1', 'port': port}
        if context:
            self.where |= {'ssl': context, 'server_hostname': 'localhost',
                           'ssl_handshake_timeout': 600}
        self.inside = False
        self.slowest = 0.0
        self.error = None
        self.turned_away = 0
        self.task = asyncio.create_task(self.live())

    async def ping(self, reader, writer):
        begin = time.monotonic()
        writer.write(b'ping')
        await reader.readexactly(4)
        self.slowest = max(self.slowest, time.monotonic() - begin) if self.inside else 0.0
        self.inside = True

    async def visit(self):
        """One connection. Before it is inside, the server may turn it away."""
        writer = None
        try:
            reader, writer = await asyncio.open_connection(**self.where)
            await self.ping(reader, writer)  # as soon as it is let in, whenever that is
            while True:
                await asyncio.sleep(PING_SECONDS)
                async with asyncio.timeout(PATIENCE):
                    await self.ping(reader, writer)
        except (OSError, EOFError, TimeoutError) as error:
            self.turned_away += not self.inside
            self.error = repr(error) if self.inside else self.error
        finally:
            self.inside = False
            if writer:
                writer.transport.abort()

    async def live(self):
        while not self.error:
            await self.visit()
            await asyncio.sleep(AGAIN_SECONDS)

    async def leave(self):
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


def inside(clients):
    return [client for client in clients if client.inside]


async def crowd(campaign, server, clients):
    """While nobody moves. Returns if it went well, and the figures."""
    seconds = 10 if campaign.full else 3
    await asyncio.sleep(2)
    served = inside(clients)
    before, begin = cpu(server.pid), time.monotonic()
    await asyncio.sleep(seconds)
    percent = 100 * (cpu(server.pid) - before) / (time.monotonic() - begin)
    stayed = sum(client.inside for client in served)
    slowest = max((client.slowest for client in served), default=PATIENCE)
    errors = [client.error for client in clients if client.error]
    good = LIMIT // 3 <= len(served) < LIMIT and stayed == len(served) and not errors
    return good and percent < MOST_CPU, (
        f'{len(served)} of {CLIENTS} inside, of whom {stayed} stay, {percent:.1f} % of a core over '
        f'{seconds} s, slowest answer {1e3 * slowest:.0f} ms, {len(errors)} errors {errors[:1]}')


async def change(clients):
    """Some leave, and others must get in. Returns how long that took, or None."""
    leaving, waiting = inside(clients)[:LEAVING], [c for c in clients if not c.inside]
    await together(client.leave() for client in leaving)
    return await becomes(2 * WITHIN_SECONDS, lambda: len(inside(waiting)) >= LEAVING)


async def newcomer(ports, context):
    """All have left. Returns how long it takes until a new one is served, or None."""
    clients = [Client(port, context) for port in ports]
    took = await becomes(2 * WITHIN_SECONDS, lambda: len(inside(clients)) == len(clients))
    await together(client.leave() for client in clients)
    return took


def milliseconds(took):
    return 'never' if took is None else f'after {1e3 * took:.0f} ms'


def is_soon(took):
    return took is not None and took < WITHIN_SECONDS


async def variant(campaign, name, context, servers):
    tls = ['--tls-cert', campaign.pem('server'), '--tls-key', campaign.pem('server-key')]
    server = await campaign.server('bin/weir-echo', *['--listen', '127.0.0.1:0'] * servers,
                                   '--metrics', *(tls if context else []), limit=LIMIT)
    ports = [server.port]
    while len(ports) < servers:
        ports.append(int((await server.expect(r'listening on .*:(\d+)$')).group(1)))
    idle = fds(server.pid)

    clients = [Client(ports[i % servers], context) for i in range(CLIENTS)]
    good, figures = await crowd(campaign, server, clients)
    next_ones = await change(clients)
    turned_away = sum(client.turned_away for client in clients)
    await together(client.leave() for client in clients)
    late = await newcomer(ports, context)
    back = await becomes(PATIENCE, lambda: fds(server.pid) <= idle)
    counters = await campaign.stop(server)
    good = (good and is_soon(next_ones) and is_soon(late) and back is not None and
            counters['streams_open'] == 0 and (counters['accepts_failed'] > 0) == (servers > 1) and
            (turned_away > 0) == (servers > 1))
    campaign.result(good, name, (
        f'{figures}; {LEAVING} leave, {LEAVING} others served {milliseconds(next_ones)}; all '
        f'leave, new ones served {milliseconds(late)}, fds as at first {milliseconds(back)}; '
        f'{counters["accepts_failed"]} accepts failed, {turned_away} clients turned away'))


async def run(campaign):
    context = ssl.create_default_context(cafile=campaign.pem('ca'))
    await together([
        variant(campaign, f'{LIMIT} fds', None, 1),
        variant(campaign, f'{LIMIT} fds, TLS', context, 1),
        variant(campaign, f'{LIMIT} fds for two servers', None, 2),
        variant(campaign, f'{LIMIT} fds for two servers, TLS', context, 2),
    ])
