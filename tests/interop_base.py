"""What the cases of tests/interop share: programs that run beside weir's, and what they print."""

import asyncio
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import zlib

STEP_SECONDS = 20  # within which what a case waits for must happen
HERE = os.path.dirname(os.path.abspath(__file__))
PATH = os.environ.get('PATH', '') + ':/usr/sbin:/sbin'
DEBIAN_PACKAGES = {'gnutls-cli': 'gnutls-bin', 'gnutls-serv': 'gnutls-bin', 'nginx': 'nginx-light'}

# The alerts of RFC 8446 that the cases wait for.
UNEXPECTED_MESSAGE = 10
HANDSHAKE_FAILURE = 40
BAD_CERTIFICATE = 42
CERTIFICATE_EXPIRED = 45
CERTIFICATE_UNKNOWN = 46
UNKNOWN_CA = 48
PROTOCOL_VERSION = 70
NO_RENEGOTIATION = 100
CERTIFICATE_REQUIRED = 116
NO_APPLICATION_PROTOCOL = 120


class Failure(Exception):
    """What went wrong in a case."""


class Skip(Exception):
    """Why a case cannot run here."""


def check(condition, what):
    if not condition:
        raise Failure(what)


def equal(what, got, wanted):
    check(got == wanted, f'{what} is {got!r}, and should be {wanted!r}')


def tail(text):
    """The end of an output, in one line of what is printable."""
    line = ' | '.join(text[-600:].split('\n'))
    return ''.join(character if character.isprintable() else '.' for character in line)


def crc_line(name, data):
    """How interop-peer words that it has sent or received these bytes."""
    return f'{name}: {len(data)} {zlib.crc32(data):08x}'


async def soon(awaitable, what):
    try:
        async with asyncio.timeout(STEP_SECONDS):
            return await awaitable
    except TimeoutError:
        raise Failure(f'{what}: not within {STEP_SECONDS} s') from None


class Process:
    """A program that runs, and what it has printed so far, both on stdout and stderr."""

    def __init__(self, name, process):
        self.name = name
        self.process = process
        self.text = ''
        self.seen = 0  # up to where expect() has found what it was asked for
        self.ended = False
        self.more = asyncio.Event()  # it has printed more, or ended
        self.reading = asyncio.create_task(self._read()) if process.stdout else None

    @classmethod
    async def start(cls, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, environment=(),
                    directory=None):
        program = shutil.which(command[0], path=PATH)
        if not program:
            package = DEBIAN_PACKAGES.get(command[0], command[0])
            raise Skip(f'{command[0]} is missing: apt-get install {package}')
        # The configuration of this machine could forbid what a case is about.
        environment = {**os.environ, 'OPENSSL_CONF': '/dev/null', **dict(environment)}
        stderr = subprocess.STDOUT if stdout == subprocess.PIPE else subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            program, *command[1:], stdin=stdin, stdout=stdout, stderr=stderr, env=environment,
            cwd=directory)
        return cls(os.path.basename(' '.join(command[:2])), process)

    async def _read(self):
        while not self.ended:
            data = await self.process.stdout.read(65536)
            self.text += data.decode(errors='replace')
            self.ended = not data
            self.more.set()

    async def expect(self, pattern):
        """Waits until it prints this, in whole lines after what was expected before; returns the
        match."""
        try:
            async with asyncio.timeout(STEP_SECONDS):
                while not (found := self._find(pattern)):
                    self.more.clear()
                    await self.more.wait()
        except TimeoutError:
            raise Failure(f'{self.name} does not print {pattern!r}: {tail(self.text)}') from None
        self.seen = found.end()
        return found

    def _find(self, pattern):
        whole = len(self.text) if self.ended else self.text.rfind('\n') + 1
        found = re.compile(pattern, re.M).search(self.text, self.seen, whole)
        check(found or not self.ended,
              f'{self.name} ended without printing {pattern!r}: {tail(self.text)}')
        return found

    async def say(self, text):
        """Types this on its stdin."""
        self.process.stdin.write(text.encode() if isinstance(text, str) else text)
        try:
            await soon(self.process.stdin.drain(), f'{self.name} reads its stdin')
        except ConnectionError:
            raise Failure(f'{self.name} has gone: {tail(self.text)}') from None

    async def end(self, status=None):
        """Waits for its end; returns its exit status, which must be `status` if that is given. Its
        stdin stays open: at the end of that, s_client would leave, whatever has come by then."""
        await soon(self.process.wait(), f'{self.name} ends')
        if self.reading:
            await soon(asyncio.shield(self.reading), f'{self.name} closes its output')
        if status is not None:
            check(self.process.returncode == status,
                  f'{self.name} ended with {self.process.returncode}: {tail(self.text)}')
        return self.process.returncode

    def signal(self, number):
        """Not by Popen's method, which may reap it and lose its status to asyncio."""
        try:
            os.kill(self.process.pid, number)
        except ProcessLookupError:
            pass

    async def kill(self):
        if self.process.returncode is None:
            self.signal(signal.SIGKILL)
            await self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()
        if self.reading:
            self.reading.cancel()
            await asyncio.wait([self.reading])


class Weir(Process):
    """interop-peer, as a client or a server."""

    port = 0

    def values(self, name):
        """Of each connection, in the order of time: what follows "name: "."""
        return re.findall(rf'^{re.escape(name)}: (.*)$', self.text, re.M)

    def value(self, name):
        """Of the only connection; None if there is no such line."""
        values = self.values(name)
        check(len(values) < 2, f'weir prints "{name}" more than once: {values}')
        return values[0] if values else None

    def has(self, line):
        check(line in self.text.split('\n'), f'weir does not print "{line}": {tail(self.text)}')

    async def closed(self, *errors):
        """A stream ends with one of these; without them, well."""
        await self.expect(f'^closed: ({"|".join(errors or "0")})( |$)')

    def check_nothing_left(self):
        self.has('left: 0 tasks, 0 streams, 0 segments')

    async def stop(self):
        """Ends a server in order."""
        self.signal(signal.SIGTERM)
        await self.end(0)
        self.check_nothing_left()

    async def done(self, status=0):
        """Waits for a client's end."""
        await self.end(status)
        self.check_nothing_left()


class Case:
    """A running case: what it has started ends with it."""

    build = certificates = ''  # the same for all cases
    tiny = False

    def __init__(self, directory):
        self.directory = directory
        self.processes = []
        self.closers = []  # functions that end what is not a process

    async def finish(self):
        for process in self.processes:
            await process.kill()
        for close in self.closers:
            close()

    def path(self, name):
        return os.path.join(self.directory, name)

    def file(self, name, data):
        with open(self.path(name), 'wb') as file:
            file.write(data)
        return self.path(name)

    def pem(self, name):
        return os.path.join(self.certificates, name + '.pem')

    def pair(self, name, certificate='--cert', key='--key'):
        """The options that name a certificate and its key."""
        return [certificate, self.pem(name), key, self.pem(name + '-key')]

    async def start(self, command, kind=Process, **arguments):
        process = await kind.start(command, **arguments)
        self.processes.append(process)
        return process

    # ---- weir ------------------------------------------------------------------------------------

    async def weir(self, mode, arguments, **more):
        program = os.path.abspath(f'{self.build}/tests/interop-peer')
        return await self.start([program, mode, *arguments], Weir, **more)

    async def serve(self, *actions, options=(), certificate='server', unix=None):
        """A weir server that performs these actions with each client."""
        where = ['--unix', unix] if unix else ['--port', '0']
        server = await self.weir('serve', [*where, *self.pair(certificate), *options, *actions])
        address = (await server.expect('^listening: (.*)$')).group(1)
        server.port = 0 if unix else int(address.rpartition(':')[2])
        return server

    async def connect(self, port, *actions, options=(), ca='ca', **more):
        """A weir client of the server on this port, or at this path."""
        where = ['--unix', port] if isinstance(port, str) else ['--port', str(port)]
        trust = ['--ca', self.pem(ca)] if ca else []
        return await self.weir('connect', [*where, '--server-hostname', 'localhost', *trust,
                                           *options, *actions], **more)

    # ---- openssl ---------------------------------------------------------------------------------

    async def s_client(self, port, *options, ca='ca', host='localhost', **more):
        where = ['-unix', port] if isinstance(port, str) else ['-connect', f'127.0.0.1:{port}']
        return await self.start(['openssl', 's_client', *where, '-CAfile', self.pem(ca),
                                 '-verify_return_error', '-verify_hostname', host,
                                 '-servername', host, *options], **more)

    async def s_server(self, *options, certificate='server', where=('-accept', '127.0.0.1:0')):
        """`port` of what it returns is where it listens."""
        own = self.pair(certificate, '-cert', '-key') if certificate else ['-nocert']
        # Relative paths: OpenSSL 3.0 does not listen on a Unix socket of more than 31 bytes.
        server = await self.start(['openssl', 's_server', *where, *own, *options],
                                  directory=self.directory)
        found = await server.expect(r'^ACCEPT .*:(.*)$')
        server.port = int(found.group(1)) if where[0] == '-accept' else self.path(where[1])
        return server

    # ---- gnutls ----------------------------------------------------------------------------------

    async def gnutls_client(self, port, *options, ca='ca', host='localhost'):
        return await self.start(['gnutls-cli', '--x509cafile', self.pem(ca), '--verify-hostname',
                                 host, '--sni-hostname', host, '-p', str(port), *options,
                                 '127.0.0.1'])

    async def gnutls_server(self, *options, certificate='server'):
        async def listens(port):
            server = await self.start(
                ['gnutls-serv', '-p', str(port), *options,
                 *self.pair(certificate, '--x509certfile', '--x509keyfile')])
            await server.expect('listening on IPv4 .*done$')
            return server
        return await self.on_free_port(listens)

    # ---- Any server ------------------------------------------------------------------------------

    async def on_free_port(self, start):
        """For a server that cannot choose its port itself: calls start(port) until that works, and
        sets the server's `port`. The ports are below those that the kernel gives to clients, and
        no other case has them, not of another run either: their abstract sockets are the locks."""
        for attempt in range(5):
            port = random.randrange(20000, 32768)
            lock = socket.socket(socket.AF_UNIX)
            self.closers.append(lock.close)
            try:
                lock.bind(f'\0weir-interop-{port}')
                with socket.socket() as probe:
                    probe.bind(('127.0.0.1', port))
                server = await start(port)
            except (OSError, Failure):
                if attempt == 4:
                    raise
                continue
            server.port = port
            return server

    async def listen(self, handler, unix=None, **more):
        """A server in this process; returns its port, or this path. It is no failure how the peer's
        leaving ends the handler: the case asserts what it has seen."""
        async def handle(reader, writer):
            try:
                await handler(reader, writer)
            except OSError:
                pass
            finally:
                writer.close()

        if unix:
            listener = await asyncio.start_unix_server(handle, unix, **more)
        else:
            listener = await asyncio.start_server(handle, '127.0.0.1', 0, **more)
        self.closers.append(listener.close)
        return unix or listener.sockets[0].getsockname()[1]

    async def listens_on(self, process, port):
        """Waits until somebody can connect to this port of the loopback."""
        async def poll():
            while True:
                check(process.process.returncode is None,
                      f'{process.name} ended: {tail(process.text)}')
                try:
                    _, writer = await asyncio.open_connection('127.0.0.1', port)
                    writer.close()
                    return
                except OSError:
                    await asyncio.sleep(0.02)
        await soon(poll(), f'{process.name} listens')


def alert_of(process):
    """The number of the alert that openssl or gnutls says it has received, or None."""
    found = re.search(r'SSL alert number (\d+)|Received alert \[(\d+)\]', process.text)
    return int(found.group(1) or found.group(2)) if found else None


def expect_alert(process, *wanted):
    got = alert_of(process)
    check(got in wanted, f'{process.name} got alert {got}, wanted {wanted}: {tail(process.text)}')


CASES = []  # (name, function, its arguments after the Case)


def case(name, function, *arguments):
    if any(name == other for other, *_ in CASES):
        sys.exit(f'interop: there are two cases {name!r}')
    CASES.append((name, function, arguments))
