"""What bench, syscalls and idle share: starting a server on a CPU, and reading what it costs."""

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
        # To a file, not a pipe: nobody reads while it runs, and its last words stay.
        self.output = tempfile.TemporaryFile('w+')
        self.process = subprocess.Popen(pinned(cpu, command), stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=subprocess.STDOUT)
        self.pid = self.process.pid
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
        self.output.close()

    def _tasks(self, file):
        directory = f'/proc/{self.pid}/task'
        try:
            threads = os.listdir(directory)
        except OSError:
            threads = []
        return [read_text(f'{directory}/{thread}/{file}') for thread in threads]

    def cpu_seconds(self):
        """User and system time so far. By thread it is exact to the nanosecond but misses threads
        that have ended; by process it has them, in ticks. So the latter only where it says more."""
        by_thread = sum(int(text.split()[0]) for text in self._tasks('schedstat') if text) / 1e9
        fields = read_text(f'/proc/{self.pid}/stat').rpartition(')')[2].split()
        by_process = (int(fields[11]) + int(fields[12])) / CLOCK_TICKS if fields else 0
        return by_process if by_process > by_thread * 1.05 + 3 / CLOCK_TICKS else by_thread

    def io_workers(self):
        """io-wq threads: operations that io_uring could not do without blocking. Must be none."""
        return sum(name.startswith('iou-wrk') for name in self._tasks('comm'))

    def pss_kib(self):
        """User memory; the kernel's share of a connection (sockets, requests) is not in it."""
        found = re.search(r'^Pss:\s+(\d+) kB', read_text(f'/proc/{self.pid}/smaps_rollup'), re.M)
        return int(found.group(1)) if found else 0


def json_of_load(output, what):
    try:
        return json.loads(output)
    except ValueError:
        raise Failure(f'{what}: the load generator gave no result') from None


def style(text, code, stream=sys.stdout):
    """Colour, where a person looks and has not asked for none (no-color.org)."""
    plain = not stream.isatty() or os.environ.get('NO_COLOR') or os.environ.get('TERM') == 'dumb'
    return text if plain else f'\033[{code}m{text}\033[0m'
