"""What bench/decide/decide asks the kernel: each question's cases, and in each the variants, which
are compared with its first one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A number of a run. Of a case the first one is compared."""
    title: str
    form: str = '{:.2f}'


FIGURES = {
    'cpu_us': Figure('CPU us'),
    'cpu_gb': Figure('CPU s/GB', '{:.3f}'),
    'load_gb': Figure('load s/GB', '{:.3f}'),
    'rate': Figure('a second', '{:,.0f}'),
    'gb_rate': Figure('GB/s'),
    'p50_us': Figure('p50 us', '{:,.1f}'),
    'p99_us': Figure('p99 us', '{:,.0f}'),
    'copied': Figure('copied', '{:.0%}'),
    'latency_p50_us': Figure('p50 us', '{:.1f}'),
    'latency_p99_us': Figure('p99 us', '{:,.0f}'),
    'call_us': Figure('call us'),
    'late_p50_us': Figure('late p50 us', '{:.1f}'),
    'late_p99_us': Figure('p99 us', '{:,.0f}'),
    'late_most_us': Figure('most us', '{:,.0f}'),
}


@dataclass(frozen=True)
class Case:
    """`load` is what the program, a server then, is measured with; empty, if it measures by itself.
    `program` has the options that all variants have."""
    title: str
    program: tuple
    load: tuple
    figures: tuple
    variants: dict      # by name: options of the program
    veth: bool = False  # between two network namespaces


@dataclass(frozen=True)
class Question:
    title: str
    cases: tuple


# ---- The cases that several questions have ------------------------------------------------------

REQUEST_FIGURES = ('cpu_us', 'rate', 'p50_us', 'p99_us')
BULK_FIGURES = ('cpu_gb', 'load_gb', 'gb_rate')


def options(text):
    return tuple(text.split())


def variants_of(lines):
    """Of lines as "name | options"."""
    pairs = (line.split('|') for line in lines.strip().split('\n'))
    return {name.strip(): options(text) for name, text in pairs}


def echo(connections, variants, rate=0):
    """As fast as they are answered, or so many a second."""
    speed = f', {rate:,} a second' if rate else ''
    return Case(f'echo of 64 bytes, connections: {connections:,}{speed}', ('echo',),
                ('load', '--size', '64', '--connections', str(connections), '--rate', str(rate)),
                REQUEST_FIGURES, variants)


def churn(variants):
    return Case('short connections with an echo of 64 bytes, 64 at a time', ('echo',),
                ('load_churn', '--request', 'echo'), REQUEST_FIGURES, variants)


def sink(variants):
    return Case('one stream in bulk, received', ('sink',), ('load_bulk', '--direction', 'send'),
                BULK_FIGURES, variants)


def source(title, variants, figures=BULK_FIGURES, veth=False):
    return Case(title, ('source',), ('load_bulk', '--direction', 'receive', '--block', '1048576'),
                figures, variants, veth)


# ---- Receiving ----------------------------------------------------------------------------------

RECEIVE_ECHO = variants_of('''
    multishot, 256 x 4 KiB        |
    one-shot                      | --receive one-shot
    one-shot, own buffers         | --receive own
    multishot, bundles            | --bundle
    multishot, incr. 256 x 4 KiB  | --incremental
    multishot, incr. 16 x 64 KiB  | --incremental --buffers 16 --size 65536
    multishot, both, 16 x 64 KiB  | --incremental --bundle --buffers 16 --size 65536
''')

RECEIVE_SINK = variants_of('''
    multishot, 256 x 4 KiB        |
    multishot, 16 x 64 KiB        | --buffers 16 --size 65536
    one-shot, 256 x 4 KiB         | --receive one-shot
    one-shot, 16 x 64 KiB         | --receive one-shot --buffers 16 --size 65536
    one-shot, own, 64 KiB         | --receive own --size 65536
    multishot, bundles, 4 KiB     | --bundle
    one-shot, bundles, 4 KiB      | --receive one-shot --bundle
    multishot, incr. 16 x 64 KiB  | --incremental --buffers 16 --size 65536
    multishot, both, 16 x 64 KiB  | --incremental --bundle --buffers 16 --size 65536
''')

POLL_FIRST = variants_of('''
    multishot              |
    multishot, poll first  | --poll-first
    one-shot               | --receive one-shot
    one-shot, poll first   | --receive one-shot --poll-first
''')


def buffer_variants():
    """256 of 4 KiB first: it is what the others are compared with."""
    sizes = [(count, kib) for count in (64, 256, 1024, 4096) for kib in (1, 4, 16, 64)]
    sizes.sort(key=lambda size: size != (256, 4))
    return {f'{count:5,} x {kib:2} KiB': ('--buffers', str(count), '--size', str(kib * 1024))
            for count, kib in sizes}


# ---- Sending ------------------------------------------------------------------------------------

SEND_ECHO = variants_of('''
    send on the ring          |
    without MSG_WAITALL       | --part
    sendmsg on the ring       | --send sendmsg
    send(2) with DONTWAIT     | --send inline
''')

BULK_SMALL = variants_of('''
    one sendmsg of 64             | --way sendmsg --piece 4096 --pieces 64
    without MSG_WAITALL           | --way sendmsg --piece 4096 --pieces 64 --part
    8 linked sendmsgs of 8        | --way sendmsg --piece 4096 --pieces 8 --links 8
    64 linked sends               | --way send --piece 4096 --links 64
    a bundle of 64                | --way bundle --piece 4096 --pieces 64
    64 sends, one after another   | --way send --piece 4096
''')

BULK_LARGE = variants_of('''
    one sendmsg of 512            | --way sendmsg --piece 4096 --pieces 512
    8 linked sendmsgs of 64       | --way sendmsg --piece 4096 --pieces 64 --links 8
    64 linked sendmsgs of 8       | --way sendmsg --piece 4096 --pieces 8 --links 64
    8 sendmsgs of 64, by turns    | --way sendmsg --piece 4096 --pieces 64
''')

BULK_PIECES = variants_of('''
    one sendmsg of 4              | --way sendmsg --pieces 4
    4 linked sends                | --way send --links 4
    4 sends, one after another    | --way send
    these without MSG_WAITALL     | --way send --part
    a bundle of 4                 | --way bundle --pieces 4
''')


def zero_copy_cases():
    for veth in (False, True):
        for kib in (4, 16, 64, 256):
            where = 'a veth pair' if veth else 'loopback'
            size = ('--piece', str(kib * 1024))
            yield source(f'one stream over {where}, sends of {kib} KiB', {
                'send': size,
                'SEND_ZC': size + ('--way', 'zc'),
                'SEND_ZC, registered memory': size + ('--way', 'zc-fixed'),
            }, BULK_FIGURES + ('copied',), veth)


# ---- The ring, its waits, and other threads -----------------------------------------------------

DIRECT = variants_of('''
    file descriptors              |
    direct descriptors            | --direct
    one-shot, file descriptors    | --receive one-shot
    one-shot, direct descriptors  | --receive one-shot --direct
''')

SETUP = variants_of('''
    DEFER_TASKRUN                 | --array always
    without the array of indices  | --array never
    entered by fd, not registered | --array always --plain-fd
    waiting as for a disk         | --array always --iowait
    COOP_TASKRUN                  | --array always --setup coop
    neither                       | --array always --setup plain
''')

MIN_WAIT = variants_of('''
    for one completion  |
    10 us for 64        | --min-wait 10
    20 us for 64        | --min-wait 20
    50 us for 64        | --min-wait 50
''')

TIMEOUT = variants_of('''
    no time-out                   |
    of each wait (EXT_ARG)        | --timeout enter
    a TIMEOUT a request           | --timeout operation
    one updated at each request   | --timeout update
''')

SLEEP = variants_of('''
    io_uring_enter (EXT_ARG)      | --way enter
    TIMEOUT on the ring           | --way operation
    nanosleep(2), slack of 50 us  | --way nanosleep
''')

WAKE = variants_of('''
    eventfd, multishot poll       | --way poll
    eventfd, read on the ring     | --way read
    MSG_RING                      | --way message
    MSG_RING without a ring       | --way message-without-ring
''')


def sleep(title, microseconds, count):
    program = ('sleep', '--us', str(microseconds), '--count', str(count))
    return Case(title, program, (), ('late_p50_us', 'late_p99_us', 'late_most_us', 'cpu_us'), SLEEP)


def wake_cases():
    asleep = ('latency_p50_us', 'latency_p99_us', 'cpu_us', 'call_us')
    busy = ('cpu_us', 'call_us', 'latency_p50_us', 'latency_p99_us')
    return (Case('the other thread sleeps: how long it takes', ('wake',), (), asleep, WAKE),
            Case('it is busy: what is added to its CPU time', ('wake', '--busy'), (), busy, WAKE))


QUESTIONS = {
    'receive': Question(
        'How to receive: for ever or once, bundles, incremental buffers, poll first',
        (echo(64, RECEIVE_ECHO), echo(1000, RECEIVE_ECHO), sink(RECEIVE_SINK), churn(POLL_FIRST))),
    'buffers': Question(
        'How many buffers to publish, and of what size',
        (echo(64, buffer_variants()), echo(1000, buffer_variants()), sink(buffer_variants()))),
    'send': Question(
        'How to send a small answer',
        tuple(echo(connections, SEND_ECHO) for connections in (1, 2, 16, 64))),
    'bulk': Question(
        'How to send much',
        (source('one stream, 256 KiB at a time, in pieces of 4 KiB', BULK_SMALL),
         source('one stream, 2 MiB at a time, in pieces of 4 KiB', BULK_LARGE),
         source('one stream, 256 KiB at a time, in pieces of 64 KiB', BULK_PIECES))),
    'direct': Question(
        'Direct descriptors, in the ring\'s table of files, against plain ones',
        (echo(64, DIRECT), echo(1000, DIRECT), churn(DIRECT))),
    'wake': Question('How to wake another thread\'s ring', wake_cases()),
    'min-wait': Question(
        'To wait for more than one completion, but not long (min_wait_usec)',
        (echo(64, MIN_WAIT), echo(64, MIN_WAIT, 20000), echo(64, MIN_WAIT, 80000))),
    'timeout': Question(
        'How late the end of a wait is, and what a time-out costs',
        (sleep('sleeping for 100 us', 100, 2000), sleep('sleeping for 1 ms', 1000, 300),
         sleep('sleeping for 10 ms', 10000, 40), echo(64, TIMEOUT), echo(1000, TIMEOUT))),
    'zero-copy': Question('SEND_ZC against send', tuple(zero_copy_cases())),
    'setup': Question('How to set up the ring', (echo(64, SETUP), echo(1000, SETUP))),
}
