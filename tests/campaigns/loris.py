"""Slow-loris: many clients that send a request's head byte by byte, and never end it, beside a good
one. The good one must hardly notice: its 99th percentile with them stays within twice that without.
Rounds with them and without them alternate, and the median of the rounds counts, for the machine
may have other things to do; in the short rounds of --quick only the median latency means something.
They cost memory, but each only so much, and the next ones no more."""

import time

from base import Skip, becomes, check, fds, median, raise_fd_limit, resident

DRIP_SECONDS = 3     # between two bytes of a client
MOST_RATIO = 2
QUICK_SLACK = 200    # us
MOST_EACH = 16       # KiB of a client
MOST_GROWTH = 512    # KiB, from the first round with them to the last
REQUEST_SECONDS = 75 # what weir-http allows for one request


async def good(campaign, server):
    rate, seconds = (500, 4) if campaign.full else (400, 0.5)
    client = await campaign.client('paced', server.port, rate, seconds)
    return await campaign.finish(client)


async def leave(campaign, slow):
    slow.process.stdin.close()
    return await campaign.finish(slow)


async def enter(campaign, server, count):
    slow = await campaign.client('drip', server.port, count, DRIP_SECONDS)
    await slow.expect('^connected$')
    return slow


async def rounds(campaign, server, count):
    idle = fds(server.pid)
    without, beside, memory, gone = [], [], [], 0
    empty = resident(server.pid)
    number_of_rounds = 7 if campaign.full else 3
    for number in range(number_of_rounds):
        without.append(await good(campaign, server))
        slow = await enter(campaign, server, count)
        inside = await becomes(5, lambda: fds(server.pid) >= idle + count)
        check(inside is not None, f'{fds(server.pid) - idle} of {count} are let in')
        beside.append(await good(campaign, server))
        memory.append(resident(server.pid))
        gone += (await leave(campaign, slow))['gone']
        check(await becomes(5, lambda: fds(server.pid) <= idle) is not None,
              f'{fds(server.pid) - idle} fds are left of {count} clients')
        campaign.progress(f'{number + 1} of {number_of_rounds} rounds')
    p50, p99 = (median([r[name] for r in without]) for name in ('p50', 'p99'))
    p50_beside, p99_beside = (median([r[name] for r in beside]) for name in ('p50', 'p99'))
    within = (p99_beside <= MOST_RATIO * p99 if campaign.full else
              p50_beside <= MOST_RATIO * p50 + QUICK_SLACK)
    campaign.result(within and gone == 0, 'the good client', (
        f'p99 {p99_beside:.0f} us beside {count} slow ones, {p99:.0f} us without '
        f'({p99_beside / p99:.2f} x), p50 {p50_beside:.0f} and {p50:.0f} us; medians of '
        f'{number_of_rounds} rounds; {gone} slow ones put out'))
    each = (memory[0] - empty) / count
    campaign.result(each <= MOST_EACH and memory[-1] - memory[0] <= MOST_GROWTH, 'memory', (
        f'{empty} KiB empty, {memory[0]} KiB in the first round ({each:.1f} KiB a client), '
        f'{memory[-1]} KiB in the last'))


async def patience(campaign, server):
    """Whoever drips is put out all the same, when the time for one request is over."""
    begin, idle = time.monotonic(), fds(server.pid)
    slow = await enter(campaign, server, 50)
    await becomes(5, lambda: fds(server.pid) >= idle + 50)
    def left():
        campaign.progress(f'{fds(server.pid) - idle} of 50 are inside after '
                          f'{time.monotonic() - begin:.0f} s')
        return fds(server.pid) <= idle
    took = await becomes(REQUEST_SECONDS + 10, left)
    gone = (await leave(campaign, slow))['gone']
    seconds = time.monotonic() - begin
    campaign.result(took is not None and gone == 50 and seconds >= REQUEST_SECONDS, 'patience', (
        f'{gone} of 50 put out after {seconds:.1f} s; they have {REQUEST_SECONDS} s'))


async def run(campaign):
    count = 2000 if campaign.full else 300
    if raise_fd_limit() < count + 100:
        raise Skip(f'no {count} clients: ulimit -Hn is {raise_fd_limit()}')
    server = await campaign.server('bin/weir-http', '--listen', '127.0.0.1:0', '--metrics')
    await rounds(campaign, server, count)
    if campaign.full:
        await patience(campaign, server)
    counters = await campaign.stop(server)
    left = [counters[name] for name in ('streams_open', 'segments_open')]
    campaign.result(left == [0, 0], 'afterwards', f'{left[0]} streams, {left[1]} segments left')
