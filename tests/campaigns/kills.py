"""Kills one side of a transfer, or the proxy between them, by SIGKILL at random points.

What the survivors may say: the length is announced, so a receiver that has less must never take an
end for the end. Over TLS not even without an announcement: the kernel of a killed process ends the
connection, but it cannot say close_notify. A sender that still has something to send gets an error
from its drain and from its wait_closed; one that has handed everything to the kernel learns of the
death while it waits for the confirmation.
"""

import asyncio
import collections
import errno
import signal
import time

from base import becomes, check, median, together

AT_A_TIME = 3
WITHIN_SECONDS = 1.0   # of the death, a survivor must know
LENGTH = 8 << 20       # bytes, where the victim dies at one of them
LONGEST_DELAY = 0.06   # seconds into an endless transfer, where it is killed from outside
TLS_TRUNCATED = -4110
LOST = (-errno.ECONNRESET, -errno.EPIPE, TLS_TRUNCATED)

Point = collections.namedtuple('Point', 'victim by_byte proxied tls sender_listens slow until_eof '
                                        'at')


def points(campaign, count):
    """As many of a killed sender as of a killed receiver, and half as many of a killed proxy. `at`
    is the share of the bytes, or of the longest delay."""
    def flag():
        return campaign.random.random() < 0.5
    for number in range(count + count // 2):
        victim = ('sender', 'receiver')[number % 2] if number < count else 'proxy'
        tls = flag()
        # A slow receiver has first to take all that the kernels still hold: it knows late, rightly.
        slow = victim == 'receiver' and flag()
        yield Point(victim, victim != 'proxy' and flag(), victim == 'proxy' or flag(), tls, flag(),
                    slow, tls and flag(), campaign.random.random())


def command(campaign, role, point, where, die_at=None, length=None):
    mode = {'sender': 'send', 'receiver': 'receive'}[role]
    words = [campaign.program('tests/campaigns/transfer'), mode, where]
    if point.tls and where == 'listen':
        words += ['--tls-cert', campaign.pem('server'), '--tls-key', campaign.pem('server-key')]
    elif point.tls:
        words += ['--tls-ca', campaign.pem('ca')]
    words += ['--until-eof'] if point.until_eof else []
    words += ['--slow'] if point.slow and role == 'receiver' else []
    words += ['--length', length] if length else []
    return words + (['--die-at', die_at] if die_at is not None else [])


class Transfer:
    """The processes of one transfer."""

    def __init__(self, campaign, point, die_at=None, length=None):
        self.campaign, self.point, self.die_at, self.length = campaign, point, die_at, length
        self.sides = {}
        self.died = 0.0

    async def start(self):
        listener = 'sender' if self.point.sender_listens else 'receiver'
        other = 'receiver' if self.point.sender_listens else 'sender'
        for role, where in (listener, 'listen'), (other, None):
            die_at = self.die_at if role == self.point.victim else None
            command_line = command(self.campaign, role, self.point, where or port, die_at,
                                   self.length)
            self.sides[role] = side = await self.campaign.start(command_line)
            if where:
                port = int((await side.expect(r'^listening: .*:(\d+)$')).group(1))
                if self.point.proxied:
                    self.sides['proxy'] = await self.campaign.proxy(port)
                    port = self.sides['proxy'].port

    async def kill_victim(self):
        """Returns when it has died."""
        victim = self.sides[self.point.victim]
        if self.die_at is None:
            for role in 'sender', 'receiver':
                await self.sides[role].expect('^begun$')
            await asyncio.sleep(self.point.at * LONGEST_DELAY)
            self.died = time.monotonic()
            victim.signal(signal.SIGKILL)
        await victim.end()
        self.died = self.died or time.monotonic()
        check(victim.process.returncode == -signal.SIGKILL,
              f'the {self.point.victim} was not killed: {victim.text}')

    async def survivor(self, role):
        """Waits for its verdict, and judges that. Returns how long it took, and the verdict."""
        side = self.sides[role]
        took = await becomes(5 * WITHIN_SECONDS, lambda: side.ended)
        took = time.monotonic() - self.died
        where = f'the {role} of {self.point}, which dies at {self.die_at}'
        if 'begun' not in side.text and 'listening' in side.text and not side.ended:
            return 0.0, 'never began'  # the handshake was not done: nobody has been let in
        check(side.ended, f'{where}, does not notice: {side.text}')
        check(took < WITHIN_SECONDS, f'{where}, notices after {took:.1f} s: {side.text}')
        await side.end()
        self.judge(role, side, where)
        return took, ' '.join(side.text.partition('end: ')[2].split(' ')[:3])

    def judge(self, role, side, where):
        lines = dict(line.split(': ', 1) for line in side.text.split('\n') if ': ' in line)
        check('end' in lines, f'{where}, says: {side.text}')
        verdict, code, stage, size = lines['end'].partition(':')[0].split()
        code, closed, size = int(code), int(lines['closed']), int(size)
        check(verdict != 'complete' and side.process.returncode in (3, 4), f'{where}: {side.text}')
        check(verdict == 'incomplete' or code in LOST, f'{where}, fails: {side.text}')
        check(verdict == 'incomplete' or closed == code, f'{where}, closes: {side.text}')
        check(stage != 'sending' or verdict == 'error', f'{where}, does not fail: {side.text}')
        check(not self.point.tls or verdict == 'error', f'{where}, takes an end: {side.text}')
        if role == 'receiver' and self.die_at is not None and self.point.victim == 'sender':
            check(size <= self.die_at, f'{where}, has more than there was: {side.text}')

    async def end(self):
        for side in self.sides.values():
            await side.kill()
            self.campaign.processes.remove(side)


async def one_kill(campaign, point, outcomes, times):
    # A receiver may die with all received and nothing confirmed, a sender not with all sent: then
    # the transfer is complete.
    most = LENGTH + (point.victim == 'receiver' and not point.until_eof)
    transfer = Transfer(campaign, point, int(point.at * most) if point.by_byte else None,
                        LENGTH if point.by_byte else None)
    try:
        await transfer.start()
        await transfer.kill_victim()
        for role in 'sender', 'receiver':
            if role != point.victim:
                took, outcome = await transfer.survivor(role)
                times.append(took)
                outcomes[f'{role} {outcome}'] += 1
    finally:
        await transfer.end()


async def untouched(campaign):
    """The same transfers must be complete if nobody is killed, or the rest proves nothing."""
    done = 0
    for number in range(16):
        proxied, tls, sender_listens, until_eof = (bool(number & 1 << bit) for bit in range(4))
        if until_eof and not tls:
            continue
        transfer = Transfer(campaign, Point(None, False, proxied, tls, sender_listens, False,
                                            until_eof, 0), None, LENGTH)
        try:
            await transfer.start()
            for role in 'sender', 'receiver':
                await transfer.sides[role].end(0)
                side = transfer.sides[role].text
                check('end: complete 0 ' in side and f' {LENGTH}\n' in side and 'closed: 0' in side,
                      f'{transfer.point}: {side}')
            done += 1
        finally:
            await transfer.end()
    campaign.result(True, 'nobody is killed', f'{done} of {done} transfers are complete')


async def run(campaign):
    await untouched(campaign)
    count = 200 if campaign.full else 20
    todo = list(points(campaign, count))
    outcomes, times, done = collections.Counter(), [], 0

    async def worker():
        nonlocal done
        while todo:
            await one_kill(campaign, todo.pop(), outcomes, times)
            done += 1
            campaign.progress(f'{done} kills, {len(todo)} to come')

    await together(worker() for _ in range(AT_A_TIME))
    words = ', '.join(f'{n} {what}' for what, n in sorted(outcomes.items()))
    campaign.result(True, f'{count} kills of a side and {count // 2} of a proxy',
                    f'no survivor says "complete"; known after {1e3 * median(times):.0f} ms '
                    f'(median), {1e3 * max(times):.0f} ms (longest); {words}')
