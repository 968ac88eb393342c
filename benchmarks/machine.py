"""Which machine and which versions a result belongs to; nothing that names the machine."""

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path

from benchmarks.servers import find_program

_PROGRAMS = {"nginx": ["nginx", "-v"], "haproxy": ["haproxy", "-v"], "wrk": ["wrk", "-v"]}
_DISTRIBUTIONS = ("pcs_gateway", "uvloop", "httptools", "aiohttp", "msgspec")
_VERSION = re.compile(r"\d+(?:\.\d+)+")


def describe() -> dict[str, str]:
    """Return processor, cores, memory and kernel."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {_first_version(platform.release())}",
    }


def versions() -> dict[str, str]:
    """Return the version of each program and distribution; "not installed" where it is missing."""
    found = {"python": platform.python_version()}
    found |= {name: importlib.metadata.version(name) for name in _DISTRIBUTIONS}
    return found | {name: _program_version(command) for name, command in _PROGRAMS.items()}


def _program_version(command: list[str]) -> str:
    program = find_program(command[0])
    if program is None:
        return "not installed"
    done = subprocess.run(
        [program, *command[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=10,
        check=False,
    )
    return _first_version(done.stdout)


def _first_version(text: str) -> str:
    match = _VERSION.search(text)
    return match.group() if match else "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
