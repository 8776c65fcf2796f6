"""All runs: rounds in which every workload is run against every server, in an order that changes,
because the speed of a machine drifts by more between minutes than servers differ."""

import os
import resource
import shutil
import sys
import time

from measure import Failure
from suite.run import run_once
from suite.servers import SERVERS
from suite.workloads import MEASURES

FAILURES_BORNE = 2            # of a server in a workload; then it is left out of the later rounds
RUNS_TO_A_REPEAT = 5          # at least: a machine that is never idle does not double the time
RESERVED_DESCRIPTORS = 64     # of a process, for all but connections
START_AND_STOP_SECONDS = 0.5  # of a run, until runs have told


class Results:
    """What came of it. Runs and failures are dictionaries, as in the report's JSON."""

    def __init__(self):
        self.runs = []
        self.failures = []  # of workload, server, round and reason
        self.missing = {}   # server or workload: reasons, each with the remedy
        self.studies = {}   # by name: a dictionary
        self.lost = False   # something that is ours is missing or failed: the exit status

    def of(self, workload, server):
        return [run for run in self.runs
                if run['workload'] == workload and run['server'] == server]

    def miss(self, name, reason):
        reasons = self.missing.setdefault(name, [])
        if reason not in reasons:
            reasons.append(reason)

    def fail(self, workload, server, round_number, reason):
        self.failures.append({'workload': workload, 'server': server, 'round': round_number,
                              'reason': reason})
        self.lost = True

    def rounds(self):
        """How many have begun."""
        return max((run['round'] + 1 for run in self.runs), default=0)

    def given_up(self, workload, server):
        return sum(failure['workload'] == workload and failure['server'] == server
                   for failure in self.failures) >= FAILURES_BORNE


# ---- Progress -----------------------------------------------------------------------------------

def duration_text(seconds):
    return f'{seconds / 60:.0f} min' if seconds > 90 else f'{seconds:.0f} s'


class Progress:
    """One line on a terminal that changes, a line a run elsewhere."""

    def __init__(self, total, seconds):
        self.total = total
        self.done = 0
        self.guess = seconds + START_AND_STOP_SECONDS
        self.begun = time.monotonic()
        self.live = sys.stderr.isatty() and os.environ.get('TERM') != 'dumb'

    def remaining(self):
        each = (time.monotonic() - self.begun) / self.done if self.done else self.guess
        return each * (self.total - self.done)

    def show(self, text):
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            print(f'\r\033[K{text[:width]}', end='', file=sys.stderr, flush=True)
        elif text:
            print(text, file=sys.stderr, flush=True)

    @staticmethod
    def announce(text):
        print(text, file=sys.stderr, flush=True)

    def prefix(self, number):
        return f'[{number}/{self.total}, {duration_text(self.remaining())} left]'

    def begin(self, workload, server):
        if self.live:
            self.show(f'{self.prefix(self.done + 1)} {workload.name} {server} ...')

    def finish(self, workload, server, text, stays=False):
        self.done += 1
        self.show(f'{self.prefix(self.done)} {workload.name:20} {server:14} {text}')
        if self.live and stays:
            print(file=sys.stderr)

    def clear(self):
        if self.live:
            self.show('')


def run_text(run, measure):
    repeated = ', repeated' if run['repeated'] else ''
    return (f'{measure.form.format(run[measure.name])} {measure.title}; CPU: server '
            f'{run["server_cpu"]:.2f} load {run["generator_cpu"]:.2f} others '
            f'{run["foreign_cpu"]:.2f}{repeated}')


# ---- What can take part -------------------------------------------------------------------------

def obstacle(workload, build):
    """Why this workload cannot be run here at all; '' if it can."""
    program = workload.load_program(build)
    if not shutil.which(program):
        remedy = 'apt install wrk' if program == 'wrk' else 'make bench builds it'
        return f'{program} is missing: {remedy}'
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if allowed < workload.connections + RESERVED_DESCRIPTORS:
        return f'ulimit -Hn allows {allowed:,} descriptors, too few for its connections'
    return ''


def take_stock(bench, workloads, names, results):
    """Returns the servers of each workload, by its name. What is missing goes to the results."""
    taking_part = {}
    for workload in workloads:
        reason = obstacle(workload, bench.build)
        if reason:
            results.miss(workload.name, reason)
            results.lost = True
            continue
        taking_part[workload.name] = [name for name in workload.all_servers() if name in names]
    for name in names:
        kind = SERVERS[name]
        for workload in workloads:
            own = taking_part.get(workload.name, [])
            reason = name in own and kind.missing(bench.build, workload.mode)
            if reason:
                results.miss(name, reason)
                results.lost = results.lost or kind.form != 'peer'
                own.remove(name)
    return taking_part


# ---- The rounds ---------------------------------------------------------------------------------

def order_of(names, round_number, rounds):
    """Another begins in each round, and every second round goes backwards: a drift evens out."""
    shift = round_number * len(names) // rounds
    order = names[shift:] + names[:shift]
    return order[::-1] if round_number % 2 else order


def disturbance(run):
    return (run['late'] or not run['rate_reached'], run['foreign_cpu'] + run['steal'])


def run_with_repeat(bench, workload, server, results):
    """A run that others disturbed is repeated once, and the less disturbed of the two counts."""
    run = run_once(bench, workload, server)
    run['repeated'] = False
    repeats = sum(former['repeated'] for former in results.runs)
    if run['disturbed'] and repeats * RUNS_TO_A_REPEAT <= len(results.runs):
        again = run_once(bench, workload, server)
        if disturbance(again) < disturbance(run):
            run = again
        run['repeated'] = True
    return run


def run_rounds(bench, workloads, taking_part, rounds, results, until=None):
    """Adds to `results`, so that an interrupted caller has what was measured. After `until`, a
    moment of the monotonic clock, no round begins."""
    total = rounds * sum(len(taking_part.get(workload.name, [])) for workload in workloads)
    progress = Progress(total, sum(bench.times))
    if total:
        progress.announce(f'{total} runs, about {duration_text(progress.remaining())}; Ctrl-C ends '
                          'it with a report of what was measured by then')
    for round_number in range(rounds):
        if until and time.monotonic() > until:
            break
        for workload in workloads:
            for server in order_of(taking_part.get(workload.name, []), round_number, rounds):
                if results.given_up(workload.name, server):
                    progress.finish(workload, server, 'left out: it failed before')
                    continue
                progress.begin(workload, server)
                try:
                    run = run_with_repeat(bench, workload, server, results)
                except Failure as failure:
                    results.fail(workload.name, server, round_number, str(failure))
                    progress.finish(workload, server, f'FAILED: {failure}', stays=True)
                    continue
                run['round'] = round_number
                results.runs.append(run)
                progress.finish(workload, server, run_text(run, MEASURES[workload.measure]))
    progress.clear()
