"""
One bounded run of load from a process of its own: wrk with our Lua scripts, or our load generator.

Both print one line of JSON at their end, marked, with the same members.
"""

import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.scenarios import Scenario
from benchmarks.servers import HERE

MARK = "BENCHMARK "
_ERRORS = ("connect", "read", "write", "status", "timeout")


class LoadError(Exception):
    """The load could not be made; the message holds what the generator printed."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What the generator counted. Times in seconds."""

    requests: int
    duration: float
    bytes: int
    p50: float
    p99: float
    errors: int
    """Failed connects, reads, writes, timeouts, and answers with a status above 399."""


def generator() -> str:
    """Return the name of the generator that this machine has."""
    return "wrk" if shutil.which("wrk") else "pcs_gateway.loadtest"


def command(scenario: Scenario, url: str, seconds: float) -> list[str]:
    """Return the generator's command line; whole seconds only, rounded up (wrk takes no others)."""
    whole = max(1, math.ceil(seconds))
    if generator() != "wrk":
        return [sys.executable, "-m", "benchmarks.closed_loop", scenario.name, url, str(whole)]
    return [
        "wrk",
        "-t1",
        f"-c{scenario.connections}",
        f"-d{whole}s",
        "--timeout=10s",
        "-s",
        str(HERE / "lua" / scenario.script),
        url + scenario.path,
        "--",
        scenario.method,
        str(scenario.body_bytes),
    ]


def parse(output: str) -> LoadResult:
    """
    Read the line that the generator prints at its end.

    Raises:
        LoadError: there is none.

    """
    lines = [line for line in output.splitlines() if line.startswith(MARK)]
    if not lines:
        raise LoadError(f"the load generator gave no report:\n{output[-2000:]}")
    values = json.loads(lines[-1].removeprefix(MARK))
    return LoadResult(
        requests=values["requests"],
        duration=values["duration"],
        bytes=int(values["bytes"]),
        p50=values["p50"],
        p99=values["p99"],
        errors=sum(values[kind] for kind in _ERRORS),
    )


class Running:
    """A load under way."""

    def __init__(self, process: "subprocess.Popen[str]", limit: float) -> None:
        self._process = process
        self._limit = limit

    def result(self) -> LoadResult:
        """Wait for the end and return what was counted."""
        output, _ = self._process.communicate(timeout=self._limit)
        return parse(output)


@contextlib.contextmanager
def background(scenario: Scenario, url: str, seconds: float) -> Iterator[Running]:
    """Load a URL for some seconds while the block runs; the generator never outlives the block."""
    process = subprocess.Popen(
        command(scenario, url, seconds),
        env={**os.environ, "BENCHMARK_LUA": str(HERE / "lua")},
        cwd=HERE.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Running(process, seconds + 30)
    finally:
        process.kill()
        process.communicate()


def run(scenario: Scenario, url: str, seconds: float) -> LoadResult:
    """Load a URL for some seconds and return what was counted."""
    with background(scenario, url, seconds) as running:
        return running.result()
