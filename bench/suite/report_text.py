"""The report on the terminal."""

from measure import style
from suite.servers import SERVERS
from suite.verdicts import (all_verdicts, losses, ratios, spread_in, spread_of, verdict_for,
                            verdicts_of)
from suite.workloads import MEASURES, Own

GOOD, BAD, FAINT, BOLD = '32', '1;31', '2', '1'


def coloured_word(verdict):
    colour = {True: GOOD, False: BAD, None: FAINT}[verdict.met]
    return style(verdict.word(), colour)


def marks(runs):
    """As the notes below the tables explain them."""
    bound = 2 * sum(run['load_bound'] for run in runs) > len(runs)
    return ('*' if bound else ' ') + ('~' if any(run['disturbed'] for run in runs) else ' ')


# ---- Tables -------------------------------------------------------------------------------------

def columns_of(workload):
    """Of each its name, its width, and whether the spread is shown, not the median alone."""
    shown_with_spread = (workload.measure, 'rate', 'gb_rate', 'cpu_us')
    return [(name, 19 if name in shown_with_spread else max(7, len(MEASURES[name].title)),
             name in shown_with_spread) for name in workload.figures()]


def figure_text(results, workload, server, column):
    name, width, spread = column
    form = MEASURES[name].form
    values = spread_in(results, workload, server, name)
    if not values:
        return '-'.rjust(width)
    if name == 'rate':  # in thousands, or spreads would be too wide
        form = '{:.1f}k'
        values = spread_of([run[name] / 1000 for run in results.of(workload.name, server)])
    return (values.text(form) if spread else form.format(values.median)).rjust(width)


def goal_text(results, workload, server):
    """The goal that concerns this row: of weir itself, or of weir against this server."""
    if server != 'weir':
        verdict = verdict_for(results, workload, server)
        return f'{verdict.sign()} {verdict.limit:.2f} {coloured_word(verdict)}' if verdict else ''
    own = [verdict for goal, verdict in zip(workload.goals, verdicts_of(results, workload))
           if isinstance(goal, Own)]
    return ', '.join(f'{verdict.goal} {coloured_word(verdict)}' for verdict in own)


def print_row(results, workload, server, columns):
    runs = results.of(workload.name, server)
    if not runs:
        return
    ratio = spread_of(ratios(results, workload, server)) if server != 'weir' else None
    figures = ' '.join(figure_text(results, workload, server, column) for column in columns)
    print(f'  {server:14} {marks(runs)} {figures} {ratio.text() if ratio else "-":>17}  '
          f'{goal_text(results, workload, server)}'.rstrip())


def print_workload(results, workload):
    if not any(run['workload'] == workload.name for run in results.runs):
        return
    columns = columns_of(workload)
    heads = ' '.join(MEASURES[name].title.rjust(width) for name, width, _ in columns)
    print(f'\n{style(workload.name, BOLD)}  {workload.title}')
    print(f'  {"":14}    {heads} {"weir to it":>17}  goal')
    for server in SERVERS:
        print_row(results, workload, server, columns)


def print_study(study):
    print(f'\n{style(study["name"], BOLD)}  {study["title"]}')
    for label, text in study['rows']:
        print(f'  {label:24} {text}')
    for verdict in study['verdicts']:
        print(f'  goal: {verdict.goal}: {verdict.value.text()} {coloured_word(verdict)}')


# ---- Notes --------------------------------------------------------------------------------------

def notes(results):
    """Sentences about the runs; the same in HTML."""
    runs = results.runs
    said = ['Medians of the rounds (least-most). A ratio is that within one round, and a goal is '
            'judged by its median. PSS is user memory under load; enters and SQEs are weir\'s own '
            'counts for a request.']
    bound = sum(run['load_bound'] for run in runs)
    disturbed = sum(run['disturbed'] for run in runs)
    repeated = sum(run['repeated'] for run in runs)
    if bound:
        said.append(f'*: the load was the bottleneck ({bound} of {len(runs)} runs): compare CPU, '
                    'not requests/s.')
    if disturbed or repeated:
        said.append(f'~: disturbed ({disturbed} of {len(runs)} runs; {repeated} were repeated): '
                    'others used, or the host took, more than 12% of a CPU, or the rate was not '
                    'reached, or the server\'s clock was read late. Repeat on an idle machine.')
    said.append('In every run that counts each connection was served and every byte compared; but '
                'not under wrk, which looks at the status of answers alone.')
    return said


def print_goals(results, workloads):
    verdicts = all_verdicts(results, workloads)
    print(f'\n{style("Goals", BOLD)}')
    for met in (True, None, False):
        for verdict in verdicts:
            if verdict.met is met:
                value = verdict.value.text() if verdict.value else '-'
                whom = f' against {verdict.base}' if verdict.base else ''
                print(f'  {verdict.workload:20} {verdict.goal}: {value}{whom} '
                      f'{coloured_word(verdict)}')
    count = {met: sum(verdict.met is met for verdict in verdicts) for met in (True, False, None)}
    print(f'  {count[True]} met, {count[False]} missed, {count[None]} not measured')


def print_losses(results, workloads):
    print(f'\n{style("Where weir loses", BOLD)} (in every round, by more than 1% in the middle)')
    found = losses(results, workloads)
    for workload, ahead in found:
        ratios_to = ', '.join(f'{ratio.median:.2f} x {server}' for server, ratio in ahead)
        print(f'  {workload.name:20} {MEASURES[workload.measure].short}: {ratios_to}')
    if not found:
        print('  nowhere, in what was measured')


def print_missing(results):
    for name, reasons in sorted(results.missing.items()):
        for reason in reasons:
            print(f'  {style("missing", BAD)} {name}: {reason}')


def what_failed(failure):
    """A server in a round; or what has neither."""
    if not failure['server']:
        return failure['workload']
    return f'{failure["workload"]}, {failure["server"]}, round {failure["round"] + 1}'


def print_failures(results):
    for failure in results.failures:
        print(f'  {style("FAILED", BAD)} {what_failed(failure)}: {failure["reason"]}')


def print_report(results, workloads, facts):
    print(f'\n{facts["cpu"]}, {facts["cores"]} cores, Linux {facts["kernel"]}, weir '
          f'{facts["weir"]}; server on CPU {facts["server_cpu"]}, load on CPU '
          f'{facts["load_cpu"]}; {results.rounds()} of '
          f'{facts["rounds"]} rounds of {facts["seconds"]:g} s')
    for workload in workloads:
        print_workload(results, workload)
    for study in results.studies.values():
        print_study(study)
    print()
    for note in notes(results):
        print(note)
    print_goals(results, workloads)
    print_losses(results, workloads)
    if results.missing or results.failures:
        print(f'\n{style("Not in this report", BOLD)}')
        print_missing(results)
        print_failures(results)
