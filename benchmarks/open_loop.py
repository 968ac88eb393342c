"""
Open-loop load with numbered requests and exact times: our load tester, each time kept instead of a histogram.

    python -m benchmarks.open_loop URL '{"rate": 500, "warm": 10, "seconds": 40}'

The JSON object holds the fields of `Plan`. Prints `BEGUN` when the first request is about to leave and one
line of JSON, marked, at the end. Response times count from the intended moment of sending.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from random import Random

import msgspec
import uvloop

from benchmarks.comparison import percentiles
from benchmarks.load import MARK, LoadError
from benchmarks.servers import HERE
from pcs_gateway.clock import SystemClock
from pcs_gateway.loadtest.config import LoadTestConfig, TestScenario
from pcs_gateway.loadtest.connection import LoadRequest, LoadResponse
from pcs_gateway.loadtest.outcomes import Failure
from pcs_gateway.loadtest.runner import TestRunner

BEGUN = "BEGUN"
NUMBERS = 10_000_000
"""Numbers that each block has for its requests."""
PATH = "/api/v1/prompts/"
_NUMBER = b"0000000000"
_BODY = '{"name": "summary", "content": "' + "x" * 200 + '"}'


@dataclass(frozen=True, slots=True)
class Plan:
    """
    One block of load.

    Attributes:
        rate: Requests per second, Poisson.
        warm: Seconds at the beginning that are not measured.
        seconds: Seconds that are.
        post_share: Share of POSTs, the rest are GETs; 0 to 1.
        block: Another block, other numbers and other arrivals; the same for every proxy.
        timeout: Seconds after which a request is given up.
    """

    rate: float
    warm: float
    seconds: float
    post_share: float = 0.0
    block: int = 0
    timeout: float = 60.0

    @property
    def duration(self) -> float:
        """Seconds in which requests are sent."""
        return self.warm + self.seconds


@dataclass(slots=True)
class Kind:
    """
    What became of the measured requests of one method.

    Attributes:
        times: Response time in seconds of each that was answered as it should be.
        sent_at: When each of them was meant to be sent, seconds after the start of measuring.
        failures: The others, by status or by what happened.
        failed_at: Seconds after the start of measuring at which they failed.
    """

    times: list[float] = field(default_factory=list)
    sent_at: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)
    failed_at: list[float] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    @property
    def requests(self) -> int:
        return len(self.times) + self.failed

    def between(self, start: float, end: float) -> list[float]:
        """Return the times of the requests that were meant to be sent between two moments."""
        return [seconds for seconds, at in zip(self.times, self.sent_at, strict=True) if start <= at < end]


@dataclass(slots=True)
class Loaded:
    """
    What one block of load found.

    Attributes:
        kinds: By method.
        lateness: The p99 and the most by which the generator itself was late, seconds.
        cpu: Share of one core that the generator used while it ran.
        waited: Requests that found no free connection; they would have been late by the generator's fault.
        histogram: p50, p90, p99 and p99.9 of everything, warm-up included, by the load tester's histogram.
        sorted: The same figures by sorting every time: how exact the histogram is.
    """

    kinds: dict[str, Kind]
    lateness: tuple[float, float]
    cpu: float
    waited: int
    histogram: tuple[float, ...]
    sorted: tuple[float, ...]

    @property
    def times(self) -> list[float]:
        """The times of all methods."""
        return [seconds for kind in self.kinds.values() for seconds in kind.times]

    @property
    def requests(self) -> int:
        return sum(kind.requests for kind in self.kinds.values())

    @property
    def failed(self) -> int:
        return sum(kind.failed for kind in self.kinds.values())


class NumberedRunner(TestRunner):
    """The load tester's driver, with a number in each path and every time kept."""

    def __init__(self, plan: Plan, url: str) -> None:
        scenarios = [
            TestScenario(name=method, method=method, path=PATH + _NUMBER.decode(), body=body, weight=weight)
            for method, body, weight in (("GET", "", 1 - plan.post_share), ("POST", _BODY, plan.post_share))
            if weight > 0
        ]
        config = LoadTestConfig(
            base_url=url,
            target_rps=plan.rate,
            duration=plan.duration,
            concurrent_users=4000,
            test_scenarios=tuple(scenarios),
            timeout=plan.timeout,
        )
        super().__init__(config, SystemClock(), Random(1000 + plan.block))
        self._plan = plan
        self._next = plan.block * NUMBERS
        self.kinds = {scenario.name: Kind() for scenario in scenarios}
        self.all_times: list[float] = []

    def _request(self, intended: float, user: int = -1) -> LoadRequest:
        request = super()._request(intended, user)
        self._next += 1
        request.message = request.message.replace(_NUMBER, b"%010d" % self._next, 1)
        return request

    def request_answered(self, request: LoadRequest, response: LoadResponse) -> None:
        seconds = response.at - min(request.intended, request.sent)
        self.all_times.append(seconds)
        if request.scenario.expects(response.status):
            if self._is_measured(request):
                kind = self.kinds[request.scenario.name]
                kind.times.append(seconds)
                kind.sent_at.append(round(self._since_measuring(request.intended), 3))
        else:
            self._failed(request, str(response.status), response.at)
        super().request_answered(request, response)

    def request_failed(self, request: LoadRequest, failure: Failure, detail: str) -> None:
        self._failed(request, failure.value, time.monotonic())
        super().request_failed(request, failure, detail)

    def _failed(self, request: LoadRequest, what: str, at: float) -> None:
        if self._is_measured(request):
            kind = self.kinds[request.scenario.name]
            kind.failures[what] = kind.failures.get(what, 0) + 1
            kind.failed_at.append(round(self._since_measuring(at), 3))

    def _is_measured(self, request: LoadRequest) -> bool:
        return self._since_measuring(request.intended) >= 0

    def _since_measuring(self, at: float) -> float:
        return at - self.measurements.started - self._plan.warm


SHARES = (0.5, 0.9, 0.99, 0.999)


async def generate(plan: Plan, url: str) -> Loaded:
    """Make the load in this process."""
    runner = NumberedRunner(plan, url)
    print(BEGUN, flush=True)
    began, cpu = time.monotonic(), time.process_time()
    await runner.execute()
    counted = runner.measurements
    return Loaded(
        kinds=runner.kinds,
        lateness=(counted.lateness.percentiles((0.99,))[0], counted.lateness.maximum),
        cpu=(time.process_time() - cpu) / (time.monotonic() - began),
        waited=counted.waited,
        histogram=tuple(counted.response_time.percentiles(SHARES)),
        sorted=percentiles(runner.all_times, SHARES) if runner.all_times else (0.0,) * len(SHARES),
    )


class Running:
    """A load under way; it has begun when this is made."""

    def __init__(self, process: "subprocess.Popen[str]", limit: float) -> None:
        assert process.stdout is not None
        self._process = process
        self._limit = limit
        self.begun = process.stdout.readline().strip() == BEGUN
        self.began_at = time.monotonic()

    def sleep_until(self, seconds: float) -> None:
        """Return so many seconds after the first request."""
        time.sleep(max(0.0, self.began_at + seconds - time.monotonic()))

    def result(self) -> Loaded:
        """Wait for the end. Raises LoadError when nothing was reported."""
        output, _ = self._process.communicate(timeout=self._limit)
        lines = [line for line in output.splitlines() if line.startswith(MARK)]
        if not lines:
            message = f"the load generator gave no report:\n{output[-2000:]}"
            raise LoadError(message)
        return msgspec.json.decode(lines[-1].removeprefix(MARK), type=Loaded)


@contextlib.contextmanager
def background(plan: Plan, url: str) -> Iterator[Running]:
    """Load a URL while the block runs; the generator never outlives the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.open_loop", url, json.dumps(asdict(plan))],
        cwd=HERE.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Running(process, plan.duration + plan.timeout + 30)
    finally:
        process.kill()
        process.communicate()


def main() -> int:
    """Make the load that the command line asks for; 0."""
    url, plan = sys.argv[1:]
    loaded = uvloop.run(generate(msgspec.json.decode(plan, type=Plan), url))
    _write_out(MARK.encode() + msgspec.json.encode(loaded) + b"\n")
    return 0


def _write_out(line: bytes) -> None:
    """Write a long line whole: with PYTHONUNBUFFERED set, `print` loses what a pipe does not take at once."""
    sys.stdout.flush()
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(sys.stdout.fileno(), rest) :]


if __name__ == "__main__":
    sys.exit(main())
