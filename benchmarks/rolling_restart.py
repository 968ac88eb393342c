"""
A rolling restart: all backends, then all workers, one after another, under 300 requests/s.

    python -m benchmarks.rolling_restart                # three backends, twice; about two minutes
    python -m benchmarks.rolling_restart --rounds 1 --phases workers

Backends: drained by the admin API, ended by SIGTERM, started again, enabled. Workers: each gets SIGTERM; then
new generations by a changed file and by SIGHUP. All the while GETs on kept and on new connections, streams
and WebSockets, each of which ends within `drain_timeout`. Writes results/rolling_restart.json and .md; exit
status 1 when a request was lost.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import command_line, results
from benchmarks.fleet_blocks import say
from benchmarks.long_clients import long_clients
from benchmarks.report import Report, Requirement, Table
from benchmarks.results import Figure
from tests.fakes.processes.gateway import eventually, is_alive
from tests.fakes.processes.whole import Instance, WholeGateway, backends
from tests.fakes.traffic import Traffic, traffic

RATE = 300.0
NEW_SHARE = 1 / 6
"""Of the rate, on a connection each."""
BACKENDS = 3
WORKERS = 2
DRAIN_TIMEOUT = "10s"
LONG_SECONDS = 3.0
LONG_CLIENTS = 8
SETTLE = 1.0
ABOUT = (
    f"{BACKENDS} backends of 20 ms behind {WORKERS} workers; {RATE:g} GETs/s, open loop, a sixth of them on "
    f"a connection each; {LONG_CLIENTS} streams and {LONG_CLIENTS} WebSockets of {LONG_SECONDS:g} s at any "
    f"time, a message each 50 ms; drain_timeout {DRAIN_TIMEOUT}. A stream or WebSocket is complete when its "
    "last message came and its end was in order."
)
COLUMNS = (
    *("what was restarted", "restarts", "seconds", "GETs answered", "GETs failed", "streams complete"),
    *("streams cut", "WebSockets complete", "WebSockets cut", "longest GET"),
)


class RestartBackend(Instance):
    """A backend that ends in order."""

    def command(self) -> list[str]:
        return ["benchmarks.restart_backend", self.name, str(self.port)]

    def restart(self) -> None:
        """End it by SIGTERM and start it again on its port."""
        self.process.terminate()
        self.process.wait(60)
        self.start()


@dataclass(frozen=True, slots=True)
class Phase:
    """
    One kind of restart, and what clients saw meanwhile.

    Attributes:
        restarts: How many processes were replaced, or generations.
        failures: GETs that failed, by what happened.
        cut: Streams and WebSockets that did not end as they should, by what happened.
        longest: Seconds of the slowest GET.
    """

    name: str
    restarts: int
    seconds: float
    answered: int
    failures: dict[str, int]
    streams: int
    sockets: int
    cut: dict[str, dict[str, int]] = field(default_factory=dict)
    longest: float = 0.0

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    def cuts(self, kind: str) -> int:
        """Return how many of a kind were cut."""
        return sum(self.cut.get(kind, {}).values())


def main() -> int:
    """Run the phases that the command line asks for; 0 when nothing was lost."""
    options = _options()
    report = measure(options.phases.split(","), options.rounds)
    print(report.save(options.output))
    return 0 if report.all_hold else 1


def measure(phases: Sequence[str], rounds: int) -> Report:
    """Restart all that these phases name, so many times."""
    found = []
    with restartable(BACKENDS) as these, running(these) as one:
        for name in phases:
            found.append(examine(name, one, these, rounds))
            say(str(found[-1]))
    report = Report("rolling_restart", "Rolling restart", ABOUT)
    report.tables.append(Table(f"Under {RATE:g} requests/s", COLUMNS, tuple(map(line, found))))
    report.requirements = judge(found)
    report.figures = figures(found)
    report.notes = [
        f"{one.name}: {one.failures} {one.cut}" for one in found if one.failed or any(one.cut.values())
    ]
    report.data = {"phases": [asdict(one) for one in found]}
    return report


@contextmanager
def restartable(count: int) -> Iterator[list[RestartBackend]]:
    """Run so many backends."""
    with ExitStack() as stack:
        these = []
        for number in range(count):
            these.append(RestartBackend(f"i{number}"))
            stack.callback(these[-1].kill)
        yield these


def configuration(these: Sequence[Instance], workers: int) -> dict[str, Any]:
    """Return what the gateway is told."""
    pool = {
        "backends": backends(list(these)),
        "health_check": {"path": "/health", "interval": "1s", "fast_interval": "500ms"},
        "connections": {"max_per_backend": 256},
    }
    routes = [{"name": "all", "match": {"path": "/{path...}"}, "pool": "pcs", "allow_upgrade": True}]
    return {"workers": workers, "drain_timeout": DRAIN_TIMEOUT, "pools": {"pcs": pool}, "routes": routes}


@contextmanager
def running(these: Sequence[Instance]) -> Iterator[WholeGateway]:
    """Run a gateway before these backends, ready."""
    with tempfile.TemporaryDirectory(prefix="rolling-restart-") as directory:
        one = WholeGateway(Path(directory), configuration(these, WORKERS))
        try:
            one.wait_until_ready(WORKERS, len(these))
            yield one
        finally:
            one.stop()


def examine(name: str, one: WholeGateway, these: Sequence[RestartBackend], rounds: int) -> Phase:
    """Restart everything of one kind, with all clients at work."""
    began = time.monotonic()
    with (
        traffic(one.address, "/item", target_rps=RATE * (1 - NEW_SHARE), concurrent_users=500) as kept,
        traffic(
            one.address, "/item", target_rps=RATE * NEW_SHARE, keep_alive=False, concurrent_users=2000
        ) as new,
        long_clients(one.address, LONG_CLIENTS, LONG_SECONDS) as stayers,
    ):
        time.sleep(SETTLE)
        restarts = sum(PHASES[name](one, these) for _ in range(rounds))
        time.sleep(SETTLE)
    return Phase(
        name=name,
        restarts=restarts,
        seconds=time.monotonic() - began,
        answered=kept.answered + new.answered,
        failures=failures(kept, new),
        streams=stayers.complete("stream"),
        sockets=stayers.complete("socket"),
        cut={kind: stayers.cut(kind) for kind in ("stream", "socket")},
        longest=max(kept.longest, new.longest),
    )


def failures(*loads: Traffic) -> dict[str, int]:
    """Return all failures of some traffic, refused connects too: nobody may be turned away."""
    found: dict[str, int] = {}
    for load in loads:
        for what, count in load.failures.items():
            found[what] = found.get(what, 0) + count
    return found


def restart_backends(one: WholeGateway, these: Sequence[RestartBackend]) -> int:
    """Drain, end, start and enable each backend."""
    for backend in these:
        status, answer = one.order(backend.name, "drain", timeout="30s")
        if (status, answer["drain"]["empty"]) != (200, True):
            message = f"{backend.name} did not drain: {status} {answer}"
            raise RuntimeError(message)
        backend.restart()
        one.order(backend.name, "enable")
        eventually(lambda: one.backend(backend.name)["ready"], f"{backend.name} is ready")  # noqa: B023
    return len(these)


def restart_workers(one: WholeGateway, these: Sequence[RestartBackend]) -> int:
    """Let each worker drain and be replaced."""
    workers = one.workers
    for worker in workers:
        os.kill(worker, signal.SIGTERM)
        eventually(lambda: not is_alive(worker), "the worker has drained", 30)  # noqa: B023
        one.wait_until_ready(WORKERS, len(these))
    return len(workers)


def change_generations(one: WholeGateway, these: Sequence[RestartBackend]) -> int:
    """Replace all workers at once by a new generation, by the watched file and by SIGHUP."""
    for workers in (WORKERS + 1, WORKERS):
        before = set(one.workers)
        one.write(configuration(these, workers))
        one.signal(signal.SIGHUP)
        eventually(lambda: not before & set(one.workers), "the old generation is gone", 30)  # noqa: B023
        one.wait_until_ready(workers, len(these))
    return 2


PHASES: dict[str, Callable[[WholeGateway, Sequence[RestartBackend]], int]] = {
    "backends": restart_backends,
    "workers": restart_workers,
    "generations": change_generations,
}


def line(one: Phase) -> tuple[str, ...]:
    """Return one line."""
    return (
        one.name,
        str(one.restarts),
        f"{one.seconds:.0f}",
        f"{one.answered:,}",
        f"{one.failed:,}",
        f"{one.streams:,}",
        f"{one.cuts('stream'):,}",
        f"{one.sockets:,}",
        f"{one.cuts('socket'):,}",
        f"{one.longest * 1e3:.0f} ms",
    )


def judge(found: Sequence[Phase]) -> list[Requirement]:
    """Say what held."""
    answered, failed = sum(one.answered for one in found), sum(one.failed for one in found)
    cuts = {kind: sum(one.cuts(kind) for one in found) for kind in ("stream", "socket")}
    complete = {"stream": sum(one.streams for one in found), "socket": sum(one.sockets for one in found)}
    return [
        Requirement("zero failed GETs", f"{failed:,} failed, {answered:,} answered", failed == 0 < answered),
        *(
            Requirement(
                f"no {title} cut that ends within drain_timeout",
                f"{cuts[kind]:,} cut, {complete[kind]:,} complete",
                cuts[kind] == 0 < complete[kind],
            )
            for kind, title in (("stream", "stream"), ("socket", "WebSocket"))
        ),
    ]


def figures(found: Sequence[Phase]) -> list[Figure]:
    """Return the few figures for the whole comparison."""
    return [
        Figure(
            name=f"restart-{one.name}",
            title=f"rolling restart of {one.name}: GETs failed, streams and WebSockets cut",
            target="gateway",
            value=float(one.failed + one.cuts("stream") + one.cuts("socket")),
            unit="",
            budget=0.0,
            note=f"{one.answered:,} GETs, {one.streams + one.sockets:,} streams and WebSockets",
        )
        for one in found
    ]


def _options() -> argparse.Namespace:
    parser = command_line.parser("benchmarks.rolling_restart", __doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--phases", default=",".join(PHASES), help=f"of {', '.join(PHASES)}")
    parser.add_argument("--output", type=Path, default=results.DIRECTORY)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
