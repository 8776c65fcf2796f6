"""What the campaigns share: programs that run, what the kernel tells of them, and figures."""

import asyncio
import json
import os
import random
import re
import resource
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from interop_base import Failure, Process, Skip, check, tail  # noqa: E402,F401

TICKS = os.sysconf('SC_CLK_TCK')
PROGRESS_SECONDS = 10
SETTLED_SECONDS = 0.1
NEEDED = ('bin/weir-echo', 'bin/weir-http', 'examples/forward_proxy', 'tests/campaigns/transfer',
          'tests/campaigns/watched')


class Campaign:
    """A campaign that runs: what it has started ends with it."""

    def __init__(self, name, settings, directory):
        self.name = name
        self.build = os.path.abspath(settings.build)
        self.certificates = settings.certificates
        self.full = settings.full
        self.seconds = settings.seconds
        self.directory = directory
        self.random = random.Random(f'{settings.seed} {name}')  # not on what ran before
        self.processes = []
        self.passed = self.failed = 0
        self.told = time.monotonic()

    # ---- What it finds -----------------------------------------------------------------------

    def result(self, good, name, figures):
        """A line of the report. The figures are there in either case."""
        self.passed += bool(good)
        self.failed += not good
        print(f'{"ok" if good else "not ok"} - {self.name}: {name}: {figures}', flush=True)

    def progress(self, text):
        """Says how far it is, but not too often."""
        if time.monotonic() - self.told >= PROGRESS_SECONDS:
            self.told = time.monotonic()
            print(f'   {self.name}: {text}', file=sys.stderr, flush=True)

    # ---- What it runs ------------------------------------------------------------------------

    def program(self, name):
        return os.path.join(self.build, name)

    def pem(self, name):
        return os.path.join(self.certificates, name + '.pem')

    async def start(self, command, **more):
        process = await Process.start([str(word) for word in command], **more)
        process.pid = process.process.pid
        self.processes.append(process)
        return process

    async def server(self, name, *arguments, announces='listening on .*:|listening: .*:', limit=0):
        """Starts one of weir's programs that listens; `port` of what it returns is where, and
        `limit` is how many fds it may have."""
        under = ['prlimit', f'--nofile={limit}'] if limit else []
        process = await self.start([*under, self.program(name), *arguments])
        found = await process.expect(rf'(?:{announces})(\d+)$')
        process.port = int(found.group(1))
        await self.settled(process.pid)
        return process

    @staticmethod
    async def settled(pid):
        """A server opens an fd or two after it has announced itself: those of signals."""
        seen, since = fds(pid), time.monotonic()
        while time.monotonic() - since < SETTLED_SECONDS:
            await asyncio.sleep(0.01)
            if fds(pid) != seen:
                seen, since = fds(pid), time.monotonic()

    async def proxy(self, port):
        return await self.server('examples/forward_proxy', 0, '127.0.0.1', port,
                                 announces='Forwarding .*:')

    async def client(self, mode, *arguments):
        """A client in a process of its own; see clients.py."""
        return await self.start([sys.executable, '-B', os.path.join(HERE, 'clients.py'), mode,
                                 *arguments])

    async def finish(self, process):
        """Waits until a client has ended, and returns what it found."""
        await process.reading
        await process.end(0)
        return json.loads(process.text.strip().split('\n')[-1])

    async def stop(self, process):
        """Ends a server in order, and returns the counters that it prints last."""
        process.signal(signal.SIGTERM)
        await process.end(0)
        self.processes.remove(process)
        return json.loads(process.text.strip().split('\n')[-1])

    async def end(self):
        for process in self.processes:
            await process.kill()
        self.processes.clear()


# ---- What the kernel tells -----------------------------------------------------------------------

def fds(pid):
    return len(os.listdir(f'/proc/{pid}/fd'))


def resident(pid):
    """KiB, exactly: that of statm lags behind."""
    with open(f'/proc/{pid}/smaps_rollup') as file:
        return int(re.search(r'^Rss: +(\d+) kB', file.read(), re.M).group(1))


def cpu(pid):
    """Seconds of CPU time, of all its threads and of the kernel on its behalf."""
    with open(f'/proc/{pid}/stat') as file:
        fields = file.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def becomes(limit, condition):
    """Waits until the condition holds, for so many seconds at most. Returns how long it took, or
    None."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > limit:
            return None
        await asyncio.sleep(0.005)
    return time.monotonic() - begin


async def together(coroutines):
    """Runs them all. The first failure ends the others, and is raised itself, not in a group."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def raise_fd_limit():
    """To what this process may have; returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


# ---- Figures -------------------------------------------------------------------------------------

def median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * percent / 100))]


def slope(points):
    """Of the line that fits these (x, y) best."""
    count = len(points)
    middle_x = sum(x for x, _ in points) / count
    middle_y = sum(y for _, y in points) / count
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread if spread else 0.0
