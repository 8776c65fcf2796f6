"""What is measured once, without rounds, by programs of their own: memory of idle connections, many
coroutines, several threads."""

import json
import os
import subprocess

from measure import STOP_SECONDS, Failure
from suite.servers import BENCH
from suite.verdicts import Spread, Verdict, is_met

LIMIT_SECONDS = 300
IDLE_LIMITS = {'weir': 4.6, 'weir_parked': 1.0}  # KiB a connection
IDLE_SERVERS = ('weir', 'weir_parked', 'raw_ring', 'raw_epoll')


def end(process):
    """It may have started others: those only it can end."""
    if process.poll() is None:
        process.terminate()
        try:
            process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def ask(command):
    """Runs a program, and returns the last line of JSON that it said."""
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
    except FileNotFoundError:
        raise Failure(f'{command[0]} is missing: make bench builds it') from None
    try:
        said, complaints = process.communicate(timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        raise Failure(f'{command[0]} did not end within {LIMIT_SECONDS} s') from None
    finally:
        end(process)
    lines = [line for line in said.split('\n') if line.startswith('{')]
    if not lines:
        complaint = complaints.strip().split('\n')[-1]
        raise Failure(complaint or f'{os.path.basename(command[0])} said nothing')
    return json.loads(lines[-1])


def verdict(study, goal, value, limit, at_least=False):
    return Verdict(study, goal, limit, at_least, Spread(value, value, value), '',
                   is_met(value, limit, at_least))


def idle(build, server):
    command = [f'{BENCH}/idle', '--server', server, '--steps', '--json', '--build', build]
    data = ask(command)
    rows = [(f'{step["connections"]:,} connections',
             f'{step["kib_per_connection"]:.2f} KiB each (page tables: '
             f'{step["page_tables_kib_per_connection"]:.2f} more)') for step in data['steps']]
    limit = IDLE_LIMITS.get(server)
    most = max(step['kib_per_connection'] for step in data['steps'])
    if not limit:
        return command, data, rows, []
    goal = verdict(f'idle-{server}', f'KiB a connection <= {limit:.2f}', most, limit)
    return command, data, rows, [goal]


def coroutines(build):
    command = [f'{build}/bench/coroutines', '--json']
    data = ask(command)
    tasks = data['tasks']
    rows = [('tasks', f'{tasks:,}, each switched to {data["switches"]:,} times'),
            ('time', f'{data["seconds"]:.2f} s, {data["cpu_seconds"]:.2f} s of CPU'),
            ('created, ended', f'{data["create_seconds"] / tasks * 1e9:,.0f} ns, '
             f'{data["end_seconds"] / tasks * 1e9:,.0f} ns each'),
            ('a switch', f'{data["ns_per_switch"]:.1f} ns, to the task and back'),
            ('memory at most', f'{data["peak_rss_kib"] / tasks:.2f} KiB each, page tables '
             f'{data["page_tables_kib"] / tasks:.2f} KiB')]
    return command, data, rows, []


def threads(build):
    command = [f'{BENCH}/threads', '--json', '--build', build]
    data = ask(command)
    rows, verdicts = [('CPUs', data['layout'])], []
    by = 'requests/s' if data['disjoint'] else 'CPU time; requests/s would need more CPUs'
    for found in data['tools']:
        one, two = found['cpu_us']
        rows.append((found['tool'], f'{one:.2f} us/request with one thread, {two:.2f} with two: '
                     f'worth {found["scaling"]:.2f} by {by}; the less busy one has '
                     f'{found["least_share"]:.0%} of the work'))
        verdicts.append(verdict('threads', f'{found["tool"]}: two threads >= {data["min"]:.2f} of '
                                'one', found['scaling'], data['min'], at_least=True))
    return command, data, rows, verdicts


TITLES = {
    **{f'idle-{server}': f'user memory of an idle connection: {server}'
       for server in IDLE_SERVERS},
    'coroutines': 'a million tasks on one loop',
    'threads': 'two threads of weir against one',
}


def server_of(name):
    """Of those of bench/bench, which this is about."""
    return 'raw_ring' if name.endswith('raw_ring') else 'raw_epoll' if name.endswith('raw_epoll') \
        else 'weir'


def run_study(name, build):
    kind, _, server = name.partition('-')
    command, data, rows, verdicts = (idle(build, server) if kind == 'idle' else
                                     {'coroutines': coroutines, 'threads': threads}[name](build))
    return {'name': name, 'title': TITLES[name], 'command': command, 'data': data, 'rows': rows,
            'verdicts': verdicts}


def run_studies(names, build, results, say):
    """`say` is told the name of each that begins."""
    for name in names:
        say(name)
        try:
            results.studies[name] = run_study(name, build)
        except Failure as failure:
            results.fail(name, '', 0, str(failure))
