"""What was measured, and where: the machine, and the versions of all that took part."""

import os
import platform
import re
import shutil
import subprocess
import time

from measure import read_text
from suite.servers import BENCH, SERVERS

COMPILERS = {'gcc': ['gcc', '-dumpfullversion'], 'rustc': ['rustc', '--version'],
             'go': ['go', 'version'], 'wrk': ['wrk', '-v']}


def first_line_of(command):
    """What a program says first; '' if it is not there. wrk tells its version with status 1."""
    if not shutil.which(command[0]):
        return ''
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ''
    return (done.stdout or done.stderr).split('\n', 1)[0].strip()


def package_version(package):
    if not shutil.which('dpkg-query'):
        return ''
    done = subprocess.run(['dpkg-query', '-W', '-f', '${db:Status-Abbrev}${Version}', package],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.stdout.removeprefix('ii ').strip() if done.stdout.startswith('ii') else ''


def weir_version():
    """Of the header, and the commit where this is a clone of the repository."""
    found = re.search(r'WEIR_VERSION "(.*)"', read_text(f'{BENCH}/../include/weir.h'))
    commit = first_line_of(['git', '-C', BENCH, 'describe', '--always', '--dirty'])
    known = re.fullmatch(r'[\w.+-]+', commit)
    return (found.group(1) if found else 'unknown') + (f' ({commit})' if known else '')


def server_versions(names):
    """{server: text}, by Debian's packages."""
    versions = {}
    for name in names:
        packages = {package: package_version(package) for package in SERVERS[name].packages}
        versions[name] = ', '.join(f'{package} {version or "(not a package here)"}'
                                   for package, version in packages.items())
    versions['weir'] = f'weir {weir_version()}, {versions["weir"]}' if 'weir' in versions else ''
    return {name: text for name, text in versions.items() if text}


def processor():
    for line in read_text('/proc/cpuinfo').split('\n'):
        if line.startswith('model name'):
            return line.split(':', 1)[1].strip()
    return platform.machine()


def gather(bench, rounds, names):
    compilers = {name: first_line_of(command) for name, command in COMPILERS.items()}
    hypervisor = re.search(r'^flags\s*:.*\bhypervisor\b', read_text('/proc/cpuinfo'), re.M)
    release = re.search(r'^PRETTY_NAME="(.*)"', read_text('/etc/os-release'), re.M)
    return {
        'date': time.strftime('%Y-%m-%d %H:%M %Z'),
        'cpu': processor() + (' (virtual machine)' if hypervisor else ''),
        'cores': len(os.sched_getaffinity(0)),
        'memory_kib': os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 1024,
        'kernel': os.uname().release,
        'system': release.group(1) if release else 'Linux',
        'server_cpu': bench.server_cpu,
        'load_cpu': bench.generator_cpu,
        'weir': weir_version(),
        'versions': server_versions(names),
        'tools': {name: version for name, version in compilers.items() if version},
        'rounds': rounds,
        'warmup_seconds': bench.times[0],
        'seconds': bench.times[1],
    }
