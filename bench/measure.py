"""What the benchmarks share: starting a server on a CPU, and reading what it costs.

A server may be several processes: what it costs is what all of them cost.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

DEBIAN_PACKAGES = {'wrk': 'wrk', 'taskset': 'util-linux', 'strace': 'strace', 'perf': 'linux-perf'}
START_SECONDS = 10  # within which a server must listen
STOP_SECONDS = 5    # within which SIGTERM must end it, before SIGKILL
CLOCK_TICKS = os.sysconf('SC_CLK_TCK')


class Failure(Exception):
    """Something that the user is told in one line, and that fails the run."""


def require(*programs):
    """Fails with the name of the Debian package if one of these programs is missing."""
    for program in programs:
        if not shutil.which(program):
            package = DEBIAN_PACKAGES.get(program, program)
            raise Failure(f'{program} is missing: apt install {package}')


def require_built(*paths):
    for path in paths:
        if not os.access(path, os.X_OK):
            raise Failure(f'{path} is missing: build it first, with make')


def server_and_generator_cpus():
    """The two CPUs to pin to. On a machine with one, both share it, and the figures mean little."""
    cpus = sorted(os.sched_getaffinity(0))
    return cpus[0], cpus[min(1, len(cpus) - 1)]


def pinned(cpu, command):
    return ['taskset', '-c', str(cpu)] + command


def end_on_sigterm():
    """SIGTERM ends a script as Ctrl-C does: the servers that it started end with it."""
    def interrupt(_number, _frame):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, interrupt)


def process_clock(pid):
    """The CPU time of a process in seconds, its ended threads included and exact to the nanosecond:
    the clock that clock_getcpuclockid(3) names. 0 once the process has gone."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0


def read_text(path):
    """The file's text; '' if it is gone, as files of threads and processes may be."""
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read()
    except OSError:
        return ''


class Server:
    """A running server, as a context manager. `address` is where it listens."""

    def __init__(self, command, cpu):
        self.name = os.path.basename(command[0])
        self.command = pinned(cpu, command)
        # To a file, not a pipe: nobody reads while it runs, and its last words stay.
        self.output = tempfile.TemporaryFile('w+')
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=subprocess.STDOUT)
        self.pid = self.process.pid
        self.last_words = ''  # all that it said, once it has ended
        try:
            self.address = self._await_address()
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()

    def _said(self):
        self.output.seek(0)
        return self.output.read()

    def _await_address(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            found = re.search(r'listening on (\S+)\n', self._said())
            if found:
                return found.group(1)
            self.check_alive()
            time.sleep(0.01)
        raise Failure(f'{self.name} did not say within {START_SECONDS} s where it listens')

    def check_alive(self):
        status = self.process.poll()
        if status is not None:
            lines = [line for line in self._said().split('\n') if line and 'listening' not in line]
            raise Failure(f'{self.name} died with status {status}: ' +
                          (lines[-1] if lines else 'it said nothing'))

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.last_words = self._said()
        self.output.close()

    @staticmethod
    def _tasks_of(pid, file):
        directory = f'/proc/{pid}/task'
        try:
            threads = os.listdir(directory)
        except OSError:
            threads = []
        return [read_text(f'{directory}/{thread}/{file}') for thread in threads]

    def processes(self):
        """The server's process, and all that it has started."""
        found = [self.pid]
        for pid in found:
            children = ' '.join(self._tasks_of(pid, 'children'))
            found += [int(child) for child in children.split()]
        return found

    def cpu_seconds(self):
        """User and system time so far. Of processes that have ended what their parents waited for
        counts, in ticks."""
        used = 0
        for pid in self.processes():
            fields = read_text(f'/proc/{pid}/stat').rpartition(')')[2].split()
            ended = (int(fields[13]) + int(fields[14])) / CLOCK_TICKS if fields else 0
            used += process_clock(pid) + ended
        return used

    def io_workers(self):
        """io-wq threads: operations that io_uring could not do without blocking. Must be none."""
        names = [name for pid in self.processes() for name in self._tasks_of(pid, 'comm')]
        return sum(name.startswith('iou-wrk') for name in names)

    def pss_kib(self):
        """User memory; the kernel's share of a connection (sockets, requests) is not in it."""
        texts = [read_text(f'/proc/{pid}/smaps_rollup') for pid in self.processes()]
        return sum(int(size) for text in texts
                   for size in re.findall(r'^Pss:\s+(\d+) kB', text, re.M))


def json_of_load(output, what):
    try:
        return json.loads(output)
    except ValueError:
        raise Failure(f'{what}: the load generator gave no result') from None


def style(text, code, stream=sys.stdout):
    """Colour, where a person looks and has not asked for none (no-color.org)."""
    plain = not stream.isatty() or os.environ.get('NO_COLOR') or os.environ.get('TERM') == 'dumb'
    return text if plain else f'\033[{code}m{text}\033[0m'
