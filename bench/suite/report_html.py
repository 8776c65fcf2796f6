"""The report as one file of HTML: no scripts, nothing from elsewhere. It is XML, too."""

import shlex
from html import escape

from suite.charts import Bar, chart
from suite.report_style import STYLE
from suite.report_text import marks, notes, what_failed
from suite.servers import SERVERS
from suite.verdicts import (all_verdicts, losses, ratios, spread_in, spread_of, verdict_for,
                            verdicts_of)
from suite.workloads import MEASURES


def table(head, rows, numbers_from=1):
    """Cells are HTML. Those from `numbers_from` on stand to the right."""
    def cells(tag, texts):
        number = f'<{tag} class="number">'
        return ''.join(f'{number if index >= numbers_from else f"<{tag}>"}{text}</{tag}>'
                       for index, text in enumerate(texts))
    body = '\n'.join(f'<tr>{cells("td", texts)}</tr>' for texts in rows)
    return (f'<div class="wide"><table>\n<thead><tr>{cells("th", head)}</tr></thead>\n'
            f'<tbody>\n{body}\n</tbody></table></div>')


def word(verdict):
    kind = {True: 'met', False: 'missed', None: 'unknown'}[verdict.met]
    return f'<span class="{kind}">{verdict.word()}</span>'


def link(workload):
    return f'<a href="#{escape(workload)}">{escape(workload)}</a>'


# ---- Goals and losses ---------------------------------------------------------------------------

def goal_rows(verdicts):
    return [[link(verdict.workload), escape(verdict.goal), escape(verdict.base),
             verdict.value.text() if verdict.value else '-', word(verdict)]
            for verdict in verdicts]


def goals_table(verdicts):
    return table(['workload', 'goal', 'against', 'weir, median (least-most)', ''],
                 goal_rows(verdicts), numbers_from=3)


def losses_section(results, workloads, verdicts):
    missed = [verdict for verdict in verdicts if verdict.met is False]
    parts = ['<h2 id="losses">Where weir loses</h2>', '<h3>Goals missed</h3>',
             goals_table(missed) if missed else '<p>None of those measured.</p>',
             '<h3>Servers ahead of weir</h3>',
             '<p>In every round, and by more than 1% in the middle; whether or not there is a '
             'goal. The ratio is weir\'s figure to theirs.</p>']
    rows = [[link(workload.name), escape(MEASURES[workload.measure].title), escape(server),
             ratio.text()]
            for workload, ahead in losses(results, workloads) for server, ratio in ahead]
    parts.append(table(['workload', 'in', 'ahead', 'ratio'], rows, numbers_from=3) if rows
                 else '<p>None of those measured.</p>')
    return parts


# ---- Workloads ----------------------------------------------------------------------------------

def bar_of(results, workload, server):
    value = spread_in(results, workload, server, workload.measure)
    text = MEASURES[workload.measure].form.format(value.median)
    ratio = spread_of(ratios(results, workload, server)) if server != 'weir' else None
    if ratio:
        text += f'  (weir: {ratio.median:.2f} times)'
    return Bar(server, SERVERS[server].form, value, text)


def workload_chart(results, workload, servers):
    measure = MEASURES[workload.measure]
    bars = [bar_of(results, workload, server) for server in servers]
    bars.sort(key=lambda bar: bar.value.median, reverse=not measure.less_is_better)
    better = 'less is better' if measure.less_is_better else 'more is better'
    return [f'<p class="caption">{escape(measure.title)}; {better}</p>',
            chart(f'{workload.title}: {measure.title}', bars)]


def workload_row(results, workload, server):
    runs = results.of(workload.name, server)
    cells = [escape(f'{server} {marks(runs)}')]
    for name in workload.figures():
        spread = spread_in(results, workload, server, name)
        cells.append(spread.text(MEASURES[name].form) if spread else '-')
    ratio = spread_of(ratios(results, workload, server)) if server != 'weir' else None
    verdict = verdict_for(results, workload, server)
    goal = f'{escape(verdict.sign())} {verdict.limit:.2f} {word(verdict)}' if verdict else ''
    return cells + [ratio.text() if ratio else '-', goal]


def workload_section(results, workload):
    servers = [name for name in SERVERS if results.of(workload.name, name)]
    if not servers:
        return []
    head = ['server'] + [MEASURES[name].title for name in workload.figures()] + \
        ['weir to it', 'goal']
    goals = ''.join(f'<li>{escape(verdict.goal)}: {verdict.value.text() if verdict.value else "-"}'
                    f' {word(verdict)}</li>' for verdict in verdicts_of(results, workload))
    return [f'<section id="{escape(workload.name)}">',
            f'<h3>{escape(workload.name)} <small>{escape(workload.title)}</small></h3>',
            *workload_chart(results, workload, servers), f'<ul class="goals">{goals}</ul>',
            '<details><summary>All figures</summary>',
            table(head, [workload_row(results, workload, name) for name in servers]),
            '</details></section>']


def study_section(study):
    goals = ''.join(f'<li>{escape(verdict.goal)}: {verdict.value.text()} {word(verdict)}</li>'
                    for verdict in study['verdicts'])
    rows = [[escape(label), escape(text)] for label, text in study['rows']]
    return [f'<section id="{escape(study["name"])}">',
            f'<h3>{escape(study["name"])} <small>{escape(study["title"])}</small></h3>',
            table(['', ''], rows, numbers_from=2),
            f'<ul class="goals">{goals}</ul>' if goals else '', '</section>']


# ---- What it rests on ---------------------------------------------------------------------------

def machine_section(results, facts):
    rows = [('date', facts['date']), ('processor', f'{facts["cpu"]}, {facts["cores"]} cores'),
            ('memory', f'{facts["memory_kib"] / (1 << 20):.1f} GiB'),
            ('system', f'{facts["system"]}, Linux {facts["kernel"]}'),
            ('server on CPU', facts['server_cpu']), ('load on CPU', facts['load_cpu']),
            ('rounds', f'{results.rounds()} of {facts["rounds"]}; runs of {facts["seconds"]:g} s, '
             f'after {facts["warmup_seconds"]:g} s of warm-up')]
    rows += [(name, version) for name, version in facts['tools'].items()]
    servers = [(name, SERVERS[name].what, version) for name, version in facts['versions'].items()]
    return ['<h2 id="machine">Machine and versions</h2>',
            table(['', ''], [[escape(str(cell)) for cell in cells] for cells in rows], 2),
            table(['server', 'what it is', 'version'],
                  [[escape(cell) for cell in cells] for cells in servers], 3)]


def commands_section(commands):
    parts = ['<h2 id="commands">Commands</h2>', '<p>Those of the last run of each: the server, its '
             'load (twice with a firehose), and for a proxy what is behind it. The ports were '
             'picked by the system.</p>']
    for workload, servers in commands.items():
        lines = [escape(shlex.join(command)) for each in servers.values() for command in each]
        text = '\n'.join(lines)
        parts.append(f'<details><summary>{escape(workload)}</summary><pre>{text}</pre></details>')
    return parts


def absent_section(results):
    if not results.missing and not results.failures:
        return []
    rows = [[escape(name), 'missing', escape(reason)]
            for name, reasons in sorted(results.missing.items()) for reason in reasons]
    rows += [[escape(what_failed(failure)), 'failed', escape(failure['reason'])]
             for failure in results.failures]
    return ['<h2 id="absent">Not in this report</h2>', table(['', '', 'why'], rows, 3)]


def summary(verdicts, facts):
    count = {met: sum(verdict.met is met for verdict in verdicts) for met in (True, False, None)}
    return [f'<h1>weir {escape(facts["weir"])}, measured</h1>',
            f'<p>{escape(facts["cpu"])}, {facts["cores"]} cores, Linux {escape(facts["kernel"])}; '
            f'{escape(facts["date"])}. Everything over loopback, the server on one CPU and the '
            'load on another.</p>',
            f'<p class="count"><span class="met">{count[True]} goals met</span>, '
            f'<span class="missed">{count[False]} missed</span>, {count[None]} not measured. '
            '<a href="#losses">Where weir loses</a>; <a href="#goals">goals</a>; '
            '<a href="#workloads">workloads</a>; <a href="#machine">machine and versions</a>; '
            '<a href="#commands">commands</a>.</p>']


def page(results, workloads, facts, commands):
    verdicts = all_verdicts(results, workloads)
    parts = summary(verdicts, facts) + losses_section(results, workloads, verdicts)
    parts += absent_section(results)
    parts += ['<h2 id="goals">Goals</h2>', goals_table(verdicts),
              '<h2 id="workloads">Workloads</h2>',
              *(f'<p>{escape(note)}</p>' for note in notes(results)),
              '<p class="legend"><span class="weir-key">weir</span> '
              '<span class="raw-key">written by hand</span> <span class="peer-key">peers</span> '
              'Bars begin at zero; the whisker is the least and the most of the rounds. A bar with '
              '\u00bb is cut, and longer than it is drawn.</p>']
    for workload in workloads:
        parts += workload_section(results, workload)
    for study in results.studies.values():
        parts += study_section(study)
    parts += machine_section(results, facts) + commands_section(commands)
    body = '\n'.join(part for part in parts if part)
    return ('<!DOCTYPE html>\n<html lang="en" xmlns="http://www.w3.org/1999/xhtml">\n<head>\n'
            '<meta charset="utf-8"/>\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
            f'<title>weir, measured</title>\n<style>{STYLE}</style>\n</head>\n'
            f'<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n')


def write_html(path, results, workloads, facts, commands):
    with open(path, 'w', encoding='utf-8') as file:
        file.write(page(results, workloads, facts, commands))
