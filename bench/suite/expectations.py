"""The quick check: is weir where it was, against the bars written by hand?

The file has for each workload its bar, the median ratio of weir to it within a round, and how much
above that is borne: {workload: {base, ratio, tolerance}}. Machines are noisy: what fails is only a
clear loss, beyond the tolerance in the middle and beyond the expectation even in the best round.
"""

import json

from measure import Failure, style
from suite.verdicts import ratios, spread_of
from suite.workloads import MEASURES, WORKLOADS

TOLERANCES = (0.10, 0.25)  # the least and the most: one wild round is no measure of noise
TIMES = (0.15, 0.5)        # seconds of the warm-up, and of a run
ROUNDS = 5
MOST_SECONDS = 90          # after which no round begins: bench-quick is to take under 110 s


def quick_workloads():
    return [workload for workload in WORKLOADS if workload.quick_base]


def read(path):
    try:
        with open(path, encoding='utf-8') as file:
            expected = json.load(file)
        complete = all({'base', 'ratio', 'tolerance'} <= set(entry) for entry in expected.values())
    except OSError as error:
        raise Failure(f'{path}: {error.strerror}') from None
    except (ValueError, AttributeError, TypeError):
        raise Failure(f'{path} is not as --write-expectations writes it') from None
    unknown = set(expected) - {workload.name for workload in WORKLOADS}
    if unknown or not complete:
        raise Failure(f'{path}: ' + (f'no workload {min(unknown)}' if unknown else
                                     'every workload needs base, ratio and tolerance'))
    return expected


def write(path, results, workloads):
    """What was measured is what is expected from now on."""
    expected = {}
    for workload in workloads:
        ratio = spread_of(ratios(results, workload, workload.quick_base))
        if not ratio:
            raise Failure(f'{workload.name} was not measured: {path} is not written')
        least, most = TOLERANCES
        tolerance = min(max(least, ratio.most - ratio.median), most)
        expected[workload.name] = {'base': workload.quick_base, 'ratio': round(ratio.median, 2),
                                   'tolerance': round(tolerance, 2)}
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(expected, file, indent=4)
        file.write('\n')


def compare(results, workloads, expected):
    """Prints a line a workload. True: no clear loss, and nothing that was not measured."""
    ok = True
    for workload in workloads:
        entry = expected[workload.name]
        less = MEASURES[workload.measure].less_is_better
        values = ratios(results, workload, entry['base'])
        ratio = spread_of(values if less else [1 / value for value in values])
        if not ratio:
            ok = False
            print(f'  {workload.name:20} {style("not measured", "1;31")}')
            continue
        lost = ratio.median > entry['ratio'] + entry['tolerance'] and ratio.least > entry['ratio']
        ok = ok and not lost
        word = style('LOST', '1;31') if lost else style('ok', '32')
        print(f'  {workload.name:20} {ratio.text():17} times {entry["base"]:9} '
              f'({MEASURES[workload.measure].title}), expected {entry["ratio"]:.2f} '
              f'+ {entry["tolerance"]:.2f}: {word}')
    return ok
