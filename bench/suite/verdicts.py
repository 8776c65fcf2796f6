"""What the runs say: medians and spreads, ratios within a round, and whether a goal is met."""

import statistics
from dataclasses import dataclass

from suite.servers import SERVERS
from suite.workloads import MEASURES, Against


@dataclass(frozen=True)
class Spread:
    median: float
    least: float
    most: float

    def text(self, form='{:.2f}'):
        least, most = form.format(self.least), form.format(self.most)
        around = f' ({least}-{most})' if least != most else ''
        return form.format(self.median) + around


def spread_of(values):
    """None without values."""
    return Spread(statistics.median(values), min(values), max(values)) if values else None


def spread_in(results, workload, server, measure):
    """Of one figure of a server over the rounds."""
    return spread_of([run[measure] for run in results.of(workload.name, server)
                      if measure in run])


def ratios(results, workload, base, server='weir'):
    """The server's figure to that of the base, within each round that has both."""
    def by_round(name):
        return {run['round']: run[workload.measure] for run in results.of(workload.name, name)}
    own, bases = by_round(server), by_round(base)
    return [own[number] / bases[number] for number in sorted(own) if bases.get(number)]


@dataclass(frozen=True)
class Verdict:
    """Of one goal: about the base that weir is worst against, where it names several. `met` is None
    if what it takes was not measured."""
    workload: str
    goal: str
    limit: float
    at_least: bool = False
    value: Spread = None
    base: str = ''
    met: bool = None

    def sign(self):
        return '>=' if self.at_least else '<='

    def word(self):
        return {True: 'met', False: 'MISSED', None: 'not measured'}[self.met]


def is_met(value, limit, at_least=False):
    """By the two decimals that are shown: what a table says and what it concludes agree."""
    shown, limit = round(value, 2), round(limit, 2)
    return shown >= limit if at_least else shown <= limit


def judge_against(results, workload, goal, base):
    value = spread_of(ratios(results, workload, base))
    met = is_met(value.median, goal.limit, goal.at_least) if value else None
    return Verdict(workload.name, goal.describe(MEASURES[workload.measure]), goal.limit,
                   goal.at_least, value, base if value and len(goal.bases) > 1 else '', met)


def judge(results, workload, goal):
    if isinstance(goal, Against):
        each = [judge_against(results, workload, goal, base) for base in goal.bases]
        judged = [verdict for verdict in each if verdict.met is not None] or each
        worst = min if goal.at_least else max
        return worst(judged, key=lambda verdict: verdict.value.median if verdict.value else 0)
    value = spread_in(results, workload, 'weir', goal.measure)
    return Verdict(workload.name, goal.describe(None), goal.limit, value=value,
                   met=is_met(value.median, goal.limit) if value else None)


def verdicts_of(results, workload):
    return [judge(results, workload, goal) for goal in workload.goals]


def verdict_for(results, workload, base):
    """The strictest goal that concerns this base; None if there is none."""
    goals = [goal for goal in workload.goals if isinstance(goal, Against) and base in goal.bases]
    if not goals:
        return None
    strictest = max(goals, key=lambda goal: goal.limit if goal.at_least else -goal.limit)
    return judge_against(results, workload, strictest, base)


def is_behind(ratio, less_is_better):
    """By more than the noise: in each round, and by more than a hundredth in the middle."""
    if less_is_better:
        return ratio.least > 1 and ratio.median > 1.01
    return ratio.most < 1 and ratio.median < 0.99


def losses(results, workloads):
    """Where other servers are ahead of weir, goal or no goal: pairs of a workload and a list of
    pairs of server and ratio, the furthest first."""
    found = []
    for workload in workloads:
        less = MEASURES[workload.measure].less_is_better
        spreads = [(server, spread_of(ratios(results, workload, server)))
                   for server in SERVERS if server != 'weir']
        ahead = [(server, ratio) for server, ratio in spreads if ratio and is_behind(ratio, less)]
        if ahead:
            ahead.sort(key=lambda pair: pair[1].median, reverse=less)
            found.append((workload, ahead))
    return found


def study_verdicts(results):
    """Of what is measured once, by programs of their own."""
    return [verdict for study in results.studies.values() for verdict in study['verdicts']]


def all_verdicts(results, workloads):
    return [verdict for workload in workloads for verdict in verdicts_of(results, workload)] + \
        study_verdicts(results)
