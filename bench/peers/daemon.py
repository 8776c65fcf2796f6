"""What the scripts nginx and haproxy share. Both daemons know neither the command line of the other
servers nor port 0: so the script writes a configuration, and becomes the daemon.

What is left to do is done by a janitor, a process of its own beside the daemon and not above or
below it, so that it is not counted with it: it says where the daemon listens, and in the end
removes what the daemon needed of files.
"""

import argparse
import contextlib
import os
import resource
import select
import shutil
import signal
import socket
import sys
import tempfile
import time

START_SECONDS = 10
MODES = {'http': 'answer every request with the 13 bytes "Hello, World!"',
         'http-close': 'the same, once; then close',
         'proxy': 'join each client to a connection of its own to --to'}
HELLO = 'Hello, World!'
BACKLOG = 4096
LISTENING = '0A'  # in /proc/net/tcp


class Daemon:
    """One to be. `configure` gets this, and returns the text of the configuration."""

    def __init__(self, name, package, configure, command):
        self.name, self.package = name, package
        self.configure, self.command = configure, command
        self.options = self.parse_options()
        self.mode, self.to = self.options.mode, self.options.to
        self.unix_path, self.address, self.reserved = None, None, None

    def die(self, status, message):
        print(f'{self.name}: {message}', file=sys.stderr)
        sys.exit(status)

    def parse_options(self):
        modes = '; '.join(f'{mode}: {what}' for mode, what in MODES.items())
        parser = argparse.ArgumentParser(
            prog=self.name, description=f'{self.name}, to compare weir with',
            epilog=f'Prints "{self.name}: listening on ADDRESS" once it listens. SIGTERM and '
                   'SIGINT end it.')
        parser.add_argument('--listen', metavar='ADDRESS', default='127.0.0.1:0',
                            help='HOST:PORT or unix:PATH (127.0.0.1:0, any free port)')
        parser.add_argument('--mode', choices=MODES, default='http', help=modes)
        parser.add_argument('--to', metavar='HOST:PORT', help='of the proxy')
        options = parser.parse_args()
        if (options.mode == 'proxy') != (options.to is not None):
            parser.error('--mode proxy needs --to, and no other mode takes it')
        return options

    def choose_address(self):
        """The port is held, bound but not listening, until the daemon has it: so nobody else gets
        it meanwhile. Both let it be reused, which the daemon has to do as well."""
        text = self.options.listen
        if text.startswith('unix:'):
            self.address, self.unix_path = text, text[5:]
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.unix_path)
            return
        host, _, port = text.rpartition(':')
        try:
            family, _, _, _, place = socket.getaddrinfo(
                host.strip('[]') or None, port, type=socket.SOCK_STREAM,
                flags=socket.AI_PASSIVE)[0]
            self.reserved = socket.socket(family, socket.SOCK_STREAM)
            self.reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self.reserved.bind(place)
        except OSError as error:
            self.die(1, f'{text}: {error.strerror}')
        host, port = self.reserved.getsockname()[:2]
        self.address = f'[{host}]:{port}' if family == socket.AF_INET6 else f'{host}:{port}'

    def become(self):
        program = shutil.which(self.name, path=os.environ.get('PATH', '') + ':/usr/sbin')
        if not program:
            self.die(1, f'{self.name} is missing: apt install {self.package}')
        self.choose_address()
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        directory = tempfile.mkdtemp(prefix=f'bench-{self.name}-')
        self.start_janitor(directory)
        path = os.path.join(directory, 'configuration')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(self.configure(self, directory))
        os.execv(program, [self.name, *self.command(directory, path)])

    # ---- The janitor ----

    def start_janitor(self, directory):
        """Its parent ends at once: so the daemon is not its parent."""
        daemon = os.pidfd_open(os.getpid())
        middle = os.fork()
        if middle:
            os.close(daemon)
            os.waitpid(middle, 0)
            return
        if os.fork():
            os._exit(0)
        try:
            for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
                signal.signal(number, signal.SIG_IGN)
            self.tend(daemon, directory)
        finally:
            os._exit(0)

    def tend(self, daemon, directory):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and not has_ended(daemon, 0.01):
            if self.is_listening():
                print(f'{self.name}: listening on {self.address}', flush=True)
                break
        if self.reserved:
            self.reserved.close()
        with open(os.devnull, 'r+', encoding='utf-8') as nothing:
            for standard in range(3):
                os.dup2(nothing.fileno(), standard)
        has_ended(daemon, None)
        shutil.rmtree(directory, ignore_errors=True)
        if self.unix_path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.unix_path)

    def is_listening(self):
        """Of a TCP socket the kernel tells. A connection would be passed on by a proxy."""
        if self.unix_path:
            with socket.socket(socket.AF_UNIX) as probe:
                return probe.connect_ex(self.unix_path) == 0
        port = f':{int(self.address.rpartition(":")[2]):04X}'
        for table in '/proc/net/tcp', '/proc/net/tcp6':
            with open(table, encoding='ascii') as file:
                for line in file:
                    _, local, _, state = line.split(maxsplit=4)[:4]
                    if state == LISTENING and local.endswith(port):
                        return True
        return False


def has_ended(daemon, seconds):
    return bool(select.select([daemon], [], [], seconds)[0])
