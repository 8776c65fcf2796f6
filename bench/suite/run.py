"""One run: a server is started anew on its CPU, loaded from another, and what it cost is read."""

import bisect
import json
import os
import select
import subprocess
import tempfile
import time
from contextlib import ExitStack

from measure import Failure, Server, CLOCK_TICKS, pinned, read_text, server_and_generator_cpus
from suite.servers import SERVERS
from suite.workloads import FIREHOSE_RATE

GRACE_SECONDS = 30     # that a load may take beyond its time
SAMPLE_SECONDS = 0.02  # between two looks at the server's clock
LATE_SECONDS = 0.06    # between two, around an edge of what is measured: the run was disturbed
FOREIGN_CPU = 0.12     # of one CPU: from there on a run counts as disturbed
GENERATOR_BUSY = 0.95
RATE_REACHED = 0.98    # of the rate that a load was to keep


class Bench:
    """What all runs share: where things are, how long to run, and the rates found so far."""

    def __init__(self, build, times, directory):
        self.build = build
        self.times = times            # seconds of the warm-up, and of what is measured
        self.directory = directory    # for Unix sockets
        self.server_cpu, self.generator_cpu = server_and_generator_cpus()
        self.rates = {}               # of the paced workloads, by name
        self.commands = {}            # the last ones: {workload: {server: [command, ...]}}

    def start(self, kind, mode, cpu, listen='127.0.0.1:0', backend=''):
        return Server(kind.command(self.build, mode, listen, backend), cpu)

    def rate_of(self, workload):
        """Half of what raw_epoll does at most, found once: by the better of two runs."""
        if workload.paced and workload.name not in self.rates:
            runs = [run_once(self, workload.closed(), 'raw_epoll') for _ in range(2)]
            self.rates[workload.name] = max(run['rate'] for run in runs) / 2
        return self.rates.get(workload.name, 0)


def be_punctual():
    """The looks at a server's clock are short and must be in time: where that is allowed they come
    before server and load, which themselves are not scheduled so."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except OSError:
        pass  # then runs with late looks are told, and repeated


# ---- The load -----------------------------------------------------------------------------------

def busy_seconds(cpus):
    """CPU time that has been used on these CPUs, and that the machine's host took away (steal)."""
    busy = taken = 0
    for line in read_text('/proc/stat').split('\n'):
        name, *fields = line.split() or ['']
        if name in {f'cpu{cpu}' for cpu in cpus}:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
            busy += user + nice + system + irq + softirq
            taken += steal
    return busy / CLOCK_TICKS, taken / CLOCK_TICKS


class Watched:
    """A load that runs, and the server's CPU time while it does: as pairs of time and CPU. Where
    latency is measured nobody looks meanwhile: each look takes a processor from load or server, and
    the one at memory for longer than a percentile bears."""

    def __init__(self, command, cpu, server, latency_counts):
        self.server = server
        self.pause = None if latency_counts else SAMPLE_SECONDS
        self.samples = []
        self.pss = 0
        self.complaints = tempfile.TemporaryFile('w+')
        self.process = subprocess.Popen(pinned(cpu, command), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=self.complaints)

    def sample(self):
        """Looks at the server's clock. Returns when that was: in the middle of looking."""
        before, used, after = time.monotonic(), self.server.cpu_seconds(), time.monotonic()
        self.samples.append(((before + after) / 2, used))
        return after

    def finish(self, seconds):
        """Returns what it said, and its own CPU time. Memory is read when most of it is over."""
        begun, output = time.monotonic(), b''
        pipe = self.process.stdout
        self.sample()
        while True:
            readable, _, _ = select.select([pipe], [], [], self.pause or seconds + GRACE_SECONDS)
            now = self.sample()
            if readable:
                some = os.read(pipe.fileno(), 1 << 16)
                if not some:
                    break
                output += some
            if not self.pss and self.pause and now > begun + seconds * 0.6:
                self.pss = self.server.pss_kib()
            if now > begun + seconds + GRACE_SECONDS:
                raise Failure('the load did not end in time')
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return output.decode(), usage.ru_utime + usage.ru_stime

    def complaint(self):
        self.complaints.seek(0)
        lines = self.complaints.read().strip().split('\n')
        return lines[-1] or f'status {self.process.returncode}'

    def end(self):
        if self.process.returncode is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.complaints.close()

    def used_between(self, begin, end):
        """Of the server, between two moments of the monotonic clock; and whether the looks at its
        clock were too far apart there for that to be exact."""
        (first, gap), (last, last_gap) = self._used_at(begin), self._used_at(end)
        return last - first, self.pause and max(gap, last_gap) > LATE_SECONDS

    def _used_at(self, moment):
        after = min(max(1, bisect.bisect(self.samples, (moment,))), len(self.samples) - 1)
        (early, least), (late, most) = self.samples[after - 1:after + 1]
        gap = late - early
        return least + (most - least) * (moment - early) / gap, gap


def parse_report(output, watched):
    """The last line of JSON that the load said."""
    lines = [line for line in output.split('\n') if line.startswith('{')]
    try:
        report = json.loads(lines[-1])
    except (IndexError, ValueError):
        raise Failure(f'the load gave no result: {watched.complaint()}') from None
    errors = {kind: count for kind, count in report['errors'].items() if count}
    if report.get('unserved'):
        errors['unserved'] = report['unserved']
    if errors or watched.process.returncode != 0:
        raise Failure('the load failed: ' + (str(errors) if errors else watched.complaint()))
    if not report.get('requests', report.get('bytes')):
        raise Failure('nothing was answered')
    return report


def load_once(bench, workload, server, rate=0, firehose=False):
    """Loads the server. Returns the load's report, with the server's costs in it."""
    seconds = sum(bench.times)
    command = workload.load_command(bench.build, server.address, bench.times, rate, firehose)
    used = server.cpu_seconds()
    watched = Watched(command, bench.generator_cpu, server, latency_counts=rate > 0)
    try:
        output, generator_used = watched.finish(seconds)
        server.check_alive()  # that it died says more than that the load failed
        report = parse_report(output, watched)
    finally:
        watched.end()
    unit = 'bytes' if workload.load == 'load_bulk' else 'requests'
    if 'begun' in report:  # of the monotonic clock, as this one
        spent, late = watched.used_between(report['begun'], report['begun'] + report['seconds'])
        done = report[unit]
    else:  # wrk does not say when it measured: connecting counts, too
        spent, late = server.cpu_seconds() - used, False
        done = report.get(f'{unit}_total', report[unit])
    report.update(command=command, pss_kib=watched.pss, generator_used=generator_used,
                  spent=spent, done=done, late=late,
                  wanted=max(0, rate * report['seconds'] - workload.connections))
    return report


# ---- A run --------------------------------------------------------------------------------------

def figures_of(workload, reports):
    """What the load and the server's clock say, by the names of MEASURES."""
    report = reports[-1]
    if workload.load == 'load_bulk':
        return {'cpu_gb': report['spent'] / report['done'] * 1e9,
                'gb_rate': report['gb_per_second'], 'pss_kib': report['pss_kib']}
    figures = {'cpu_us': report['spent'] * 1e6 / report['done'],
               'rate': report['requests'] / report['seconds'], 'pss_kib': report['pss_kib']}
    if report['p50_us']:  # wrk has no latencies of requests in a pipeline
        figures.update({name: report[name] for name in ('p50_us', 'p99_us', 'p99_9_us')},
                       tail=report['p99_9_us'] / report['p50_us'])
    if workload.firehose:
        if not report['firehose_bytes']:
            raise Failure('the firehose was not served')
        alone = reports[0]['p99_us']
        figures.update(p99_alone_us=alone, slowdown=report['p99_us'] / alone)
    if not figures['pss_kib']:
        del figures['pss_kib']  # nobody looked
    return figures


def counters_of(server, reports):
    """weir's own count of its system calls and operations, for each request."""
    lines = [line for line in server.last_words.split('\n') if line.startswith('{')]
    requests = sum(report.get('requests_total', report.get('requests', 0)) for report in reports)
    if not lines or not requests:
        return {}
    metrics = json.loads(lines[-1])
    return {name: metrics[name] / requests for name in ('enters', 'submissions')}


def loads_of(bench, workload, server):
    if workload.firehose:
        return [load_once(bench, workload, server, FIREHOSE_RATE, firehose)
                for firehose in (False, True)]
    return [load_once(bench, workload, server, bench.rate_of(workload))]


def run_once(bench, workload, name):
    """Returns what was measured, as a dictionary. A Failure says why nothing was."""
    kind, cpus = SERVERS[name], {bench.server_cpu, bench.generator_cpu}
    bench.rate_of(workload)  # first, as finding it is a run of its own
    # A name of its own, as not every server replaces a socket that one has left behind.
    listen = f'unix:{bench.directory}/{time.monotonic_ns()}' if workload.unix else '127.0.0.1:0'
    with ExitStack() as stack:
        backend = None
        if workload.mode == 'proxy':
            backend = stack.enter_context(bench.start(SERVERS['raw_epoll'], 'echo',
                                                      bench.generator_cpu))
        server = stack.enter_context(bench.start(kind, workload.mode, bench.server_cpu, listen,
                                                 backend.address if backend else ''))
        busy, steal = busy_seconds(cpus)
        begun, own = time.monotonic(), time.process_time()
        used_before = server.cpu_seconds()
        reports = loads_of(bench, workload, server)
        wall = time.monotonic() - begun
        used = server.cpu_seconds() - used_before
        loading = (sum(report['generator_used'] for report in reports) +
                   (backend.cpu_seconds() if backend else 0))
        busy_after, steal_after = busy_seconds(cpus)
        foreign = busy_after - busy - used - loading - (time.process_time() - own)
        io_workers = server.io_workers()
    commands = [server.command] + [report['command'] for report in reports]
    commands += [backend.command] if backend else []
    bench.commands.setdefault(workload.name, {})[name] = commands
    run = figures_of(workload, reports)
    run.update(counters_of(server, reports) if kind.form == 'weir' else {})
    run.update(workload=workload.name, server=name, io_workers=io_workers,
               done=sum(report['done'] for report in reports), server_cpu=used / wall,
               generator_cpu=loading / wall, foreign_cpu=max(0, foreign / wall),
               steal=(steal_after - steal) / wall)
    run['load_bound'] = (run['generator_cpu'] >= GENERATOR_BUSY and
                         not workload.paced and not workload.firehose)
    run['rate_reached'] = all(report['requests'] >= RATE_REACHED * report['wanted']
                              for report in reports if report['wanted'])
    run['late'] = any(report['late'] for report in reports)
    run['disturbed'] = (max(run['foreign_cpu'], run['steal']) > FOREIGN_CPU or
                        run['late'] or not run['rate_reached'])
    return run
