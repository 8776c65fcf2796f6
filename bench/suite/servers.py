"""The servers that take part: weir's, the two written by hand (the bars), and the peers."""

import os
import shutil
from dataclasses import dataclass

BENCH = os.path.relpath(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ALL_MODES = ('echo', 'http', 'http-close', 'sink', 'source', 'proxy')
WEIR_TOOLS = {'echo': 'bin/weir-echo', 'http': 'bin/weir-http'}  # for the rest: bench/weir_server
RAW_PARTS = {'sink': '_bulk', 'source': '_bulk', 'proxy': '_proxy'}  # programs of their own
STREAM_MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so'


@dataclass(frozen=True)
class Kind:
    """A server by its name in tables. `form` is weir, raw or peer."""
    name: str
    form: str
    what: str
    modes: tuple = ALL_MODES
    packages: tuple = ()        # of Debian, whose versions say what was measured
    script: bool = False        # in bench/peers, not built
    needs: tuple = ()           # other files: (mode or '' for all, path or program, package)

    def program(self, build, mode):
        """The command without its address."""
        if self.form == 'weir':
            tool = WEIR_TOOLS.get(mode)
            own = [f'{build}/{tool}'] if tool else [f'{build}/bench/weir_server', '--mode', mode]
            return own + ['--metrics']
        if self.form == 'raw':
            return [f'{build}/bench/{self.name}{RAW_PARTS.get(mode, "")}', '--mode', mode]
        folder = f'{BENCH}/peers' if self.script else f'{build}/bench/peers'
        return [f'{folder}/{self.name}', '--mode', mode]

    def command(self, build, mode, listen, backend):
        to = ['--to', backend] if mode == 'proxy' else []
        return self.program(build, mode) + ['--listen', listen] + to

    def remedy(self):
        if self.form != 'peer':
            return 'make bench builds it'
        return f'apt install {" ".join(self.packages)}; then make bench'

    def missing(self, build, mode):
        """Why it cannot take part in this mode, and the remedy; '' if it can."""
        for of_mode, need, package in self.needs:
            there = os.path.exists(need) if os.path.isabs(need) else shutil.which(need)
            if of_mode in ('', mode) and not there:
                return f'{need} is missing: apt install {package}'
        path = self.program(build, mode)[0]
        return '' if os.access(path, os.X_OK) else f'{path} is missing: {self.remedy()}'


SERVERS = {kind.name: kind for kind in [
    Kind('weir', 'weir', 'weir, tasks with stacks on io_uring', packages=('liburing-dev',)),
    Kind('raw_ring', 'raw', 'C by hand on io_uring', packages=('liburing-dev',)),
    Kind('raw_epoll', 'raw', 'C by hand on epoll'),
    Kind('nginx', 'peer', 'the web server and proxy', modes=('http', 'http-close', 'proxy'),
         packages=('nginx-light', 'libnginx-mod-stream'), script=True,
         needs=(('', 'nginx', 'nginx-light'), ('proxy', STREAM_MODULE, 'libnginx-mod-stream'))),
    Kind('haproxy', 'peer', 'the proxy', modes=('http', 'http-close', 'proxy'),
         packages=('haproxy',), script=True, needs=(('', 'haproxy', 'haproxy'),)),
    Kind('libuv', 'peer', 'C, callbacks on epoll', packages=('libuv1-dev',)),
    Kind('libevent', 'peer', 'C, bufferevents on epoll', packages=('libevent-dev',)),
    Kind('asio_epoll', 'peer', 'C++, Boost.Asio on epoll', packages=('libboost1.81-dev',)),
    Kind('asio_uring', 'peer', 'C++, Boost.Asio on io_uring',
         packages=('libboost1.81-dev', 'liburing-dev')),
    Kind('go', 'peer', 'goroutines, one processor', packages=('golang-go',)),
    Kind('tokio', 'peer', 'Rust, async tasks, current_thread', packages=('librust-tokio-dev',
                                                                         'rustc', 'cargo')),
    Kind('asyncio_uvloop', 'peer', 'Python, asyncio streams on uvloop',
         packages=('python3', 'python3-uvloop')),
]}
PEERS = tuple(name for name, kind in SERVERS.items() if kind.form == 'peer')
