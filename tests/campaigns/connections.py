"""Many short connections: connect, one request, its response, close. By turns the client closes
first, or the server. None may fail, and afterwards the server is as it was."""

import asyncio
import time

from base import becomes, cpu, fds, resident

PROCESSES = 4
MOST_GROWTH = 512  # KiB, between the first fifth and the end: the most connections at a time differ
MOST_GROWTH_TLS = 1024


async def batch(campaign, server, first, count, authority):
    """Returns how many were done, how many were not, and why some of them."""
    each = count // PROCESSES
    clients = [await campaign.client('short', server.port, first + number * each, each, *authority)
               for number in range(PROCESSES)]
    while not all(client.ended for client in clients):
        await asyncio.sleep(0.02)
        campaign.progress(f'{count} connections to port {server.port}, '
                          f'{cpu(server.pid):.1f} s of CPU')
    found = [await campaign.finish(client) for client in clients]
    done, errors = (sum(client[name] for client in found) for name in ('done', 'errors'))
    return done, errors, sum((client['examples'] for client in found), [])


async def kind(campaign, name, count, options, authority):
    server = await campaign.server('bin/weir-http', '--listen', '127.0.0.1:0', '--metrics',
                                   *options)
    fds_before = fds(server.pid)
    first, failed, examples = await batch(campaign, server, 0, count // 5, authority)
    before, begin = resident(server.pid), time.monotonic()
    rest, more_failed, more = await batch(campaign, server, first, count - count // 5, authority)
    seconds = time.monotonic() - begin
    back = await becomes(3, lambda: fds(server.pid) <= fds_before)
    after, fds_after = resident(server.pid), fds(server.pid)
    counters = await campaign.stop(server)
    most = MOST_GROWTH_TLS if options else MOST_GROWTH
    good = (first + rest == count and back is not None and after - before <= most and
            counters['connections_accepted'] == count and counters['accepts_failed'] == 0 and
            counters['streams_open'] == 0 and counters['segments_open'] == 0)
    campaign.result(good, name, (
        f'{first + rest} of {count} served, {rest / seconds:.0f}/s, {failed + more_failed} errors '
        f'{(examples + more)[:1]}; fds {fds_before} before, {fds_after} after; resident '
        f'{before} KiB after the first fifth, {after} after all; '
        f'{counters["connections_accepted"]} accepted, {counters["accepts_failed"]} failed'))


async def run(campaign):
    await kind(campaign, 'plain', 50_000 if campaign.full else 2_000, [], [])
    await kind(campaign, 'TLS', 4_000 if campaign.full else 200,
               ['--tls-cert', campaign.pem('server'), '--tls-key', campaign.pem('server-key')],
               [campaign.pem('ca')])
