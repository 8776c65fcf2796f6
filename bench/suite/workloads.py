"""The workloads, the loads that make them, and the goals that weir has in each."""

import fnmatch
from dataclasses import dataclass, replace

from suite.servers import BENCH, PEERS, SERVERS

FIREHOSE_RATE = 10000  # blocks a second, over all connections: a small part of what any server does


# ---- Figures ------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Measure:
    """A figure of a run: what tables and goals call it, and whether less of it is better."""
    name: str
    title: str
    short: str
    form: str = '{:.2f}'
    less_is_better: bool = True


MEASURES = {measure.name: measure for measure in [
    Measure('cpu_us', 'CPU us/request', 'CPU'),
    Measure('cpu_gb', 'CPU s/GB', 'CPU', '{:.3f}'),
    Measure('rate', 'requests/s', 'requests/s', '{:,.0f}', less_is_better=False),
    Measure('gb_rate', 'GB/s', 'GB/s', less_is_better=False),
    Measure('p50_us', 'p50 us', 'p50', '{:,.1f}'),
    Measure('p99_us', 'p99 us', 'p99', '{:,.0f}'),
    Measure('p99_9_us', 'p99.9 us', 'p99.9', '{:,.0f}'),
    Measure('tail', 'p99.9 / p50', 'p99.9 / p50'),
    Measure('p99_alone_us', 'p99 without', 'p99', '{:,.0f}'),
    Measure('slowdown', 'p99 with / without', 'p99 with / without the firehose'),
    Measure('pss_kib', 'PSS KiB', 'PSS', '{:,.0f}'),
    Measure('enters', 'enters', 'enters a request', '{:.3f}'),
    Measure('submissions', 'SQEs', 'SQEs a request'),
]}


# ---- Goals --------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Against:
    """weir's figure (the workload's measure) is to be at most, or with `at_least` at least, `limit`
    times that of each of `bases` in the same round."""
    bases: tuple
    limit: float
    at_least: bool = False

    def describe(self, measure):
        sign = '>=' if self.at_least else '<='
        whom = 'every peer' if self.bases == PEERS else self.bases[0]
        return f'{measure.short} {sign} {self.limit:.2f} x {whom}'


@dataclass(frozen=True)
class Own:
    """A figure of weir itself is to be at most `limit`."""
    measure: str
    limit: float

    def describe(self, _measure):
        return f'{MEASURES[self.measure].short} <= {self.limit:.2f}'


def to(base, limit):
    return Against((base,), limit)


LOWEST_OF_ALL_PEERS = Against(PEERS, 1.00)


# ---- Workloads ----------------------------------------------------------------------------------

@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    mode: str                 # of the server
    goals: tuple
    load: str = 'load'        # the program that makes it
    arguments: tuple = ()     # of it, beside where to, how long, and how to report
    connections: int = 64
    measure: str = 'cpu_us'   # that is compared
    servers: tuple = ()       # empty: all that have the mode
    unix: bool = False        # a Unix socket
    paced: bool = False       # at half of the rate that raw_epoll has at most
    firehose: bool = False    # twice: without a firehose, then with
    quick_base: str = ''      # the bar of the quick check, if it is part of that

    def all_servers(self):
        names = self.servers or tuple(SERVERS)
        return [name for name in names if self.mode in SERVERS[name].modes]

    def figures(self):
        """The measures that its table shows, the compared one first."""
        if self.firehose:
            return ['slowdown', 'p99_alone_us', 'p99_us', 'p50_us']
        if self.load == 'load_bulk':
            return ['cpu_gb', 'gb_rate', 'pss_kib']
        rest = ['cpu_us', 'rate', 'p50_us', 'p99_us', 'p99_9_us', 'pss_kib', 'enters',
                'submissions']
        return [self.measure] + [name for name in rest if name != self.measure]

    def closed(self):
        """The twin without a rate, by which the rate is found."""
        return replace(self, paced=False)

    def load_program(self, build):
        return 'wrk' if self.load == 'wrk' else f'{build}/bench/{self.load}'

    def load_command(self, build, address, times, rate=0, firehose=False):
        """`times` are the seconds of the warm-up, and those that are measured."""
        if self.load == 'wrk':
            return ['wrk', '-t1', f'-c{self.connections}', f'-d{max(1, round(times[1]))}s',
                    *self.arguments, f'http://{address}/']
        command = [self.load_program(build), '--connect', address, *self.arguments]
        if self.load != 'load_bulk':
            command += ['--connections', str(self.connections)]
        command += ['--rate', f'{rate:.0f}'] if rate else []
        command += ['--firehose'] if firehose else []
        return command + ['--seconds', f'{times[1]:g}', '--warmup', f'{times[0]:g}', '--json',
                          '--quiet']


def echo_of(size):
    return ('--size', str(size))


def bulk(direction, block, streams):
    """`direction` is the server's: it receives what the load sends."""
    size = {'64K': 64 << 10, '1M': 1 << 20}[block]
    receives = direction == 'receive'
    blocks = f'{block[:-1]} {block[-1]}iB blocks'
    return Workload(
        f'bulk-{direction}-{block}-{streams}',
        f'bulk: the server {direction}s {blocks}, {streams} stream{"s" if streams > 1 else ""}',
        'sink' if receives else 'source',
        (to('raw_epoll', 1.03), LOWEST_OF_ALL_PEERS), load='load_bulk',
        arguments=('--direction', 'send' if receives else 'receive', '--block', str(size),
                   '--streams', str(streams)),
        connections=streams, measure='cpu_gb',
        quick_base='raw_epoll' if (block, streams) == ('64K', 1) else '')


def echo(connections, quick_base=''):
    return Workload(f'echo-{connections}', f'TCP echo, 64 bytes, {connections:,} connections',
                    'echo', (to('raw_ring', 1.02), LOWEST_OF_ALL_PEERS),
                    arguments=echo_of(64), connections=connections, quick_base=quick_base)


def http(connections, quick_base=''):
    return Workload(f'http-{connections}',
                    f'HTTP/1.1 keep-alive hello, {connections:,} connections', 'http',
                    (to('nginx', 0.78), to('raw_ring', 1.03), to('raw_epoll', 1.03),
                     LOWEST_OF_ALL_PEERS),
                    load='wrk', arguments=('-s', f'{BENCH}/wrk_report.lua'),
                    connections=connections, quick_base=quick_base)


def proxy(name, size, connections, goals, quick_base=''):
    return Workload(f'proxy-{name}x{connections}',
                    f'TCP proxy before an echo, {size:,} bytes, {connections:,} connections',
                    'proxy', goals, arguments=echo_of(size), connections=connections,
                    quick_base=quick_base)


def tail(connections):
    return Workload(f'tail-{connections}',
                    f'TCP echo at half of raw_epoll\'s best rate, 64 bytes, {connections:,} '
                    'connections', 'echo',
                    (to('raw_epoll', 0.80), to('libuv', 0.50), Own('tail', 3.0)),
                    arguments=echo_of(64), connections=connections, measure='p99_us', paced=True,
                    servers=('weir', 'raw_ring', 'raw_epoll', 'libuv', 'go', 'tokio'))


BELOW_PROXIES = (to('nginx', 0.85), to('haproxy', 0.85), LOWEST_OF_ALL_PEERS)

WORKLOADS = [
    echo(64, 'raw_ring'), echo(1000, 'raw_ring'), echo(10000),
    Workload('pingpong', 'TCP echo, 64 bytes, 1 connection', 'echo',
             (to('raw_epoll', 1.00),), arguments=echo_of(64), connections=1,
             measure='p50_us', quick_base='raw_epoll'),
    http(64, 'raw_ring'), http(512),
    Workload('http-pipelined', 'HTTP/1.1 hello, 16 requests at a time, 64 connections', 'http',
             (Against(('nginx',), 2.00, at_least=True),), load='wrk',
             arguments=('-s', f'{BENCH}/wrk_pipeline.lua'), measure='rate'),
    *(bulk(direction, block, streams) for direction in ('receive', 'send')
      for block in ('64K', '1M') for streams in (1, 16)),
    Workload('churn', 'HTTP/1.1 hello, a connection each, 64 at a time', 'http-close',
             (to('raw_epoll', 1 / 1.20), to('libuv', 1 / 1.80)),
             load='load_churn', quick_base='raw_epoll'),
    proxy('64', 64, 64, BELOW_PROXIES, 'raw_epoll'), proxy('1K', 1024, 256, BELOW_PROXIES),
    proxy('64K', 64 << 10, 8, (to('go', 1.00), to('libuv', 1.00))),
    Workload('unix-64', 'echo over a Unix socket, 64 bytes, 64 connections', 'echo',
             (to('raw_ring', 1.02),), arguments=echo_of(64), unix=True),
    tail(64), tail(1000),
    Workload('firehose', f'TCP echo at {FIREHOSE_RATE:,}/s, 64 bytes, 100 connections, without '
             'and with a stream at full speed beside it', 'echo', (Own('slowdown', 1.3),),
             arguments=echo_of(64), connections=100, measure='slowdown', firehose=True,
             servers=('weir', 'raw_ring', 'raw_epoll', 'libuv')),
]


def select(patterns, names):
    """Those of the names that are one of the patterns, or match it, as "echo-*", or have it in
    them."""
    def matches(name, pattern):
        return name == pattern if pattern in names else \
            fnmatch.fnmatch(name, pattern) or pattern in name
    return [name for name in names if any(matches(name, pattern) for pattern in patterns)]
