"""Mixed load on real servers over a long time: echo, HTTP, echo over TLS, and a proxy, by clients
that behave well and by clients that break off or are slow. Every second it looks at the memory, the
fds and the tasks of each server: after a warm-up nothing may grow, at the end all must be as it was
at the beginning, and no well-behaved client may ever have seen an error."""

import asyncio
import collections
import json
import ssl
import time

from base import becomes, fds, resident, slope, together
from soak_load import (VISIT_SECONDS, Wrong, abort, abort_tls, echo, half_close, http, short,
                       slow_reader)

WARM_UP = 0.2          # of the time
HOURLY_GROWTH = 0.01   # of the resident memory, and beside it what a random peak may add:
NOISE = {True: 0.03, False: 0.25}  # of it, over the whole; --quick is hardly warm before it ends
SAMPLE_SECONDS = {True: 1.0, False: 0.25}
END_SECONDS = 5
OWN_TASKS = 3  # of `watched`: the main one, and the two that print
CLIENT_HELLO = bytes.fromhex('1603010200010001fc0303')  # the first bytes of a record of 512


class Server:
    """One that is watched."""

    def __init__(self, name, process):
        self.name, self.process, self.pid = name, process, process.pid
        self.fds_idle = fds(self.pid)
        self.memory = []  # (seconds, KiB)
        self.most_fds = self.most_tasks = 0

    def sample(self, now):
        self.memory.append((now, resident(self.pid)))
        self.most_fds = max(self.most_fds, fds(self.pid))
        if self.counters():
            self.most_tasks = max(self.most_tasks, self.counters()['tasks_open'])

    def counters(self):
        """The latest that it has printed; None for one that prints none while it runs."""
        line = self.process.text.rpartition('\n')[0].rpartition('\n')[2]
        self.process.text = self.process.text[-4096:]
        return json.loads(line) if line.startswith('{"tasks_started"') else None


class Load:
    """All clients, and what they have met."""

    def __init__(self, campaign, until):
        self.random, self.until = campaign.random, until
        self.visits, self.exchanges = collections.Counter(), 0
        self.errors = []

    async def repeat(self, name, visit, port, *more):
        """A well-behaved client, again and again."""
        while time.monotonic() < self.until:
            try:
                async with asyncio.timeout(VISIT_SECONDS):
                    self.exchanges += await visit(self.random, port, *more)
                self.visits[name] += 1
            except (OSError, EOFError, TimeoutError, Wrong) as error:
                self.errors.append(f'{name}: {error!r}')
                await asyncio.sleep(0.1)
            await asyncio.sleep(self.random.uniform(0, 0.01))

    async def repeat_bad(self, name, visit, port, *more):
        """One that breaks off may meet errors."""
        while time.monotonic() < self.until:
            try:
                async with asyncio.timeout(VISIT_SECONDS):
                    await visit(self.random, port, *more)
            except OSError:
                pass
            self.visits[name] += 1
            await asyncio.sleep(self.random.uniform(0, 0.02))

    def clients(self, plain, web, tls, proxy, context):
        good = [('echo', echo, plain), ('echo', echo, plain), ('TLS', echo, tls, context),
                ('TLS', echo, tls, context), ('HTTP', http, web), ('HTTP', http, web),
                ('proxy', echo, proxy), ('proxy', echo, proxy), ('short', short, plain),
                ('short', short, proxy), ('half-close', half_close, plain),
                ('half-close', half_close, proxy), ('slow', slow_reader, plain),
                ('slow', slow_reader, proxy), ('slow', slow_reader, plain)]
        bad = [('abort', abort, plain), ('abort', abort, proxy), ('abort', abort, web),
               ('abort', abort, web, b'GET / HTTP/1.1\r\nHo'), ('abort', abort, tls, CLIENT_HELLO),
               ('abort', abort_tls, tls, context)]
        return ([self.repeat(*client) for client in good] +
                [self.repeat_bad(*client) for client in bad])


async def watch(campaign, servers, load, begin):
    while time.monotonic() < load.until:
        await asyncio.sleep(SAMPLE_SECONDS[campaign.full])
        now = time.monotonic() - begin
        for server in servers:
            server.sample(now)
        memory = ', '.join(f'{server.name} {server.memory[-1][1]}' for server in servers)
        campaign.progress(f'{now:.0f} of {campaign.seconds} s, {load.exchanges} exchanges, '
                          f'{len(load.errors)} errors; KiB: {memory}')


def judge_memory(campaign, server):
    """After the warm-up: the second half's line, and the last quarter beside the first."""
    points = [point for point in server.memory if point[0] >= WARM_UP * campaign.seconds]
    if len(points) < 8:
        campaign.result(False, f'memory of {server.name}', f'only {len(points)} samples')
        return
    second_half = points[len(points) // 2:]
    quarter = len(points) // 4
    first, last = (sum(y for _, y in part) / quarter for part in (points[:quarter],
                                                                  points[-quarter:]))
    hourly = 3600 * slope(second_half)
    hours = (second_half[-1][0] - second_half[0][0]) / 3600
    noise = NOISE[campaign.full] * first
    good = (hourly * hours <= HOURLY_GROWTH * hours * first + noise and
            last - first <= HOURLY_GROWTH * 2 * hours * first + noise)
    campaign.result(good, f'memory of {server.name}', (
        f'{first:.0f} KiB in the first quarter after the warm-up, {last:.0f} in the last '
        f'({100 * (last / first - 1):+.2f} %); the line through the second half rises '
        f'{hourly * hours:+.0f} KiB ({100 * hourly / first:+.1f} %/h)'))


async def judge_end(campaign, server):
    """All as it was, once the last client has gone."""
    idle = await becomes(END_SECONDS, lambda: fds(server.pid) <= server.fds_idle)
    figures = f'{server.fds_idle} fds before, up to {server.most_fds}, {fds(server.pid)} after'
    good = idle is not None
    counters = server.counters()
    if counters:
        def left():
            now = server.counters() or counters
            return [now[name] for name in ('tasks_open', 'streams_open', 'segments_open')]
        none = await becomes(END_SECONDS, lambda: left() == [OWN_TASKS, 0, 0])
        good = good and none is not None
        figures += (f'; up to {server.most_tasks} tasks; {left()[0]} tasks, {left()[1]} streams, '
                    f'{left()[2]} segments left')
    campaign.result(good, f'fds and tasks of {server.name}', figures)


async def start(campaign):
    key = [campaign.pem('server'), campaign.pem('server-key')]
    plain = await campaign.server('tests/campaigns/watched')
    tls = await campaign.server('tests/campaigns/watched', *key)
    web = await campaign.server('bin/weir-http', '--listen', '127.0.0.1:0', '--metrics')
    proxy = await campaign.proxy(plain.port)
    return [Server('echo', plain), Server('HTTP', web), Server('TLS echo', tls),
            Server('proxy', proxy)]


async def run(campaign):
    context = ssl.create_default_context(cafile=campaign.pem('ca'))
    servers = await start(campaign)
    begin = time.monotonic()
    load = Load(campaign, begin + campaign.seconds)
    ports = [server.process.port for server in servers]
    await together([*load.clients(*ports, context), watch(campaign, servers, load, begin)])

    visits = ', '.join(f'{count} {name}' for name, count in sorted(load.visits.items()))
    campaign.result(not load.errors and min(load.visits.values()) > 0, 'well-behaved clients', (
        f'{len(load.errors)} errors {load.errors[:2]} in {load.exchanges} exchanges; visits: '
        f'{visits}'))
    for server in servers:
        judge_memory(campaign, server)
        await judge_end(campaign, server)
    for server in servers[:-1]:  # the example knows no orderly end
        await campaign.stop(server.process)
