"""The report as JSON: all that the other two are made of, and each single run."""

import json
from dataclasses import asdict

from suite.servers import SERVERS
from suite.verdicts import all_verdicts, losses, spread_in
from suite.workloads import MEASURES


def summary_of(results, workload, server):
    """Median, least and most of each figure; None if there was no run."""
    if not results.of(workload.name, server):
        return None
    spreads = {name: spread_in(results, workload, server, name) for name in MEASURES}
    return {name: asdict(spread) for name, spread in spreads.items() if spread}


def workload_entry(results, workload):
    servers = {name: summary_of(results, workload, name) for name in SERVERS}
    return {'title': workload.title, 'measure': workload.measure,
            'servers': {name: summary for name, summary in servers.items() if summary}}


def write_json(path, results, workloads, facts, commands):
    document = {
        'machine': facts,
        'servers': {name: {'form': kind.form, 'what': kind.what}
                    for name, kind in SERVERS.items()},
        'missing': results.missing,
        'failures': results.failures,
        'measures': {name: measure.title for name, measure in MEASURES.items()},
        'workloads': {workload.name: workload_entry(results, workload) for workload in workloads},
        'goals': [asdict(verdict) for verdict in all_verdicts(results, workloads)],
        'losses': [{'workload': workload.name, 'server': server, 'ratio': asdict(ratio)}
                   for workload, ahead in losses(results, workloads) for server, ratio in ahead],
        'studies': {name: {'title': study['title'], 'command': study['command'],
                           'data': study['data']} for name, study in results.studies.items()},
        'commands': commands,
        'runs': results.runs,
    }
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(document, file, indent=1)
        file.write('\n')
