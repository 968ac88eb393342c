"""
Overload: twice as much as the backends can do; what is still done, how fast, and how soon it is over.

    python -m benchmarks.overload                       # every row once, about four minutes
    python -m benchmarks.overload --seconds 10 --rows max_per_backend

Ten backends that work on eight requests at a time and let others wait, first come first served. Their
capacity is the plateau that closed loops reach through the same gateway. Then half of it is asked for all the
time, and for half a minute three halves more. Writes results/overload.json and .md; exit status 1 when
something that must hold was missed.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from benchmarks import command_line, open_loop, results, servers, shedding
from benchmarks.comparison import percentiles
from benchmarks.fleet_blocks import say
from benchmarks.fleet_servers import FleetPlan, Proxy, RunningProxy, fleet, proxy, split_command
from benchmarks.open_loop import Loaded, Plan
from benchmarks.report import Report, Requirement, Table, milliseconds, share
from benchmarks.results import Figure
from benchmarks.service_times import ServiceTimes
from pcs_gateway.loadtest import LoadTestConfig, LoadTester, TestScenario

SLOTS = 8
FLEET = FleetPlan(10, ServiceTimes(0.1, 0.15, seed=17), slots=SLOTS)
USERS = (80, 96)
"""Of the closed loops that look for the plateau: as many as there are slots, and somewhat more."""

WARM, BEFORE, AFTER = 3.0, 10.0, 10.0
PATIENCE = 10.0
"""Seconds after which a client gives up."""

HIGH_SHARE = 0.1
"""Share of POSTs; the gateway is told that they matter more."""

ROUTES = """routes:
  - {name: write, match: {methods: [POST]}, priority: high}
  - {name: read}"""

LIMITED = "max_per_backend"
ADAPTIVE = "adaptive limit"
ROWS = (
    Proxy(LIMITED, "gateway", retries=0, max_per_backend=SLOTS, routes=ROUTES),
    Proxy(ADAPTIVE, "gateway", retries=0, pool="concurrency: {mode: adaptive}", routes=ROUTES),
    Proxy("nginx least_conn", "nginx", "least_conn", retries=0),
)
GOODPUT, LATER, RECOVERY, HIGH_LOST, SHED = 0.9, 0.02, 2.0, 0.01, 50e-6
STEP = 0.5
"""Seconds of the windows that tell when it is over."""

ABOUT = (
    f"{FLEET.size} backends that work on {SLOTS} requests of 100 ms at a time (lognormal, coefficient of "
    "variation 0.15) and let others wait. Half of the capacity is asked for throughout, Poisson, open loop, "
    "a tenth of it POSTs, which are of the priority class high; for a while three halves more. Goodput: "
    "answers with status 200 within the overload, as a share of the capacity. Response time counts from the "
    "intended moment of sending. Recovered: from then on no request failed, and p95 of no half second was "
    "above what is allowed for p99 in the overload. nginx, which lets everything wait, stands beside for "
    "comparison; nothing is required of it."
)
COLUMNS = (
    *("row", "capacity", "goodput", "p99 unloaded", "p50 admitted", "p99 admitted"),
    *("recovered after", "shed", "class high lost"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """
    One row.

    Attributes:
        capacity: Answers per second of the plateau.
        goodput: Answers per second within the overload, as a share of it.
        unloaded: p99 before, seconds.
        admitted: p50 and p99 of the requests that came within the overload and were answered, seconds.
        recovery: Seconds after the overload until all was well; infinity: it never was.
        shed: Share of the requests within the overload that were not answered.
        high_lost: The same of the class high.
        lateness: p99 of how late the generators were, seconds.
        generator_cpu: Share of a core that they used.
    """

    row: str
    capacity: float
    goodput: float
    unloaded: float
    admitted: tuple[float, float]
    recovery: float
    shed: float
    high_lost: float
    lateness: float
    generator_cpu: float

    @property
    def allowed(self) -> float:
        """The most that p99 of the admitted may be, seconds."""
        return 2 * self.unloaded + LATER


def main() -> int:
    """Measure what the command line asks for; 0 when all that must hold held."""
    options = _options()
    rows = [row for row in ROWS if not options.rows or row.name in options.rows]
    report = measure(rows, options.seconds, options.gateway_command)
    print(report.save(options.output))
    return 0 if report.all_hold else 1


def measure(rows: Sequence[Proxy], seconds: float, command: tuple[str, ...]) -> Report:
    """Measure these rows, one after the other."""
    report = Report("overload", "Overload", ABOUT)
    found: list[Found] = []
    for which in rows:
        try:
            found.append(examine(which, seconds, command))
        except (servers.NotInstalledError, servers.StartError) as error:
            report.notes.append(f"{which.name}: {str(error).partition(chr(10))[0]}")
        else:
            say(str(found[-1]))
    cost = shedding.measure()
    report.tables.append(Table(f"Twice the capacity for {seconds:g} s", COLUMNS, tuple(map(line, found))))
    for one in found:
        if one.row in (LIMITED, ADAPTIVE):
            report.requirements += judge(one)
            report.figures += figures(one)
    report.requirements.append(
        Requirement(f"A shed request costs less than {SHED * 1e6:g} µs", f"{cost * 1e6:.1f} µs", cost < SHED)
    )
    report.figures.append(Figure("shed", "shed one request", "gateway", cost * 1e6, "µs", SHED * 1e6))
    report.notes += [
        f"{one.row}: generators late by {milliseconds(one.lateness)} at their p99, "
        f"{one.generator_cpu:.0%} of a core"
        for one in found
    ]
    report.data = {"seconds": seconds, "rows": [asdict(one) for one in found], "shed_seconds": cost}
    return report


def examine(which: Proxy, seconds: float, command: tuple[str, ...]) -> Found:
    """Look for the plateau of one row, then overload it."""
    with (
        servers.scratch_directory() as directory,
        fleet(directory, FLEET) as backends,
        proxy(which, directory, backends.ports, command) as one,
    ):
        capacity = max(plateau(one, users) for users in USERS)
        base = Plan(capacity / 2, WARM, BEFORE + seconds + AFTER, HIGH_SHARE, 1, PATIENCE)
        extra = Plan(capacity * 1.5, 0.0, seconds, HIGH_SHARE, 2, PATIENCE)
        with open_loop.background(base, one.server.url) as throughout:
            throughout.sleep_until(WARM + BEFORE)
            with open_loop.background(extra, one.server.url) as more:
                began = more.began_at - throughout.began_at - WARM
                loads = [(more.result(), began), (throughout.result(), 0.0)]
    return judge_load(which.name, capacity, loads, began, seconds)


def plateau(one: RunningProxy, users: int) -> float:
    """Return the answers per second of users who ask again with every answer."""

    async def ask() -> float:
        config = LoadTestConfig(
            base_url=one.server.url,
            duration=6.0,
            concurrent_users=users,
            test_scenarios=(TestScenario(path=open_loop.PATH + "1000000000"),),
        )
        running = LoadTester().start(config)
        await asyncio.sleep(1.0)
        before, began = running.measurements.successful, time.monotonic()
        await asyncio.sleep(4.0)
        rate = (running.measurements.successful - before) / (time.monotonic() - began)
        await running.stop()
        return rate

    return uvloop.run(ask())


def judge_load(
    row: str, capacity: float, loads: Sequence[tuple[Loaded, float]], began: float, seconds: float
) -> Found:
    """
    Make figures of what the generators saw.

    Args:
        loads: Each with the moment at which its own measuring began; the last one went on throughout.
        began: When the overload began.
        seconds: How long it lasted.

    """
    end = began + seconds
    kinds = [(name, kind, zero) for load, zero in loads for name, kind in load.kinds.items()]
    done = [
        (zero + at, seconds)
        for _, kind, zero in kinds
        for at, seconds in zip(kind.sent_at, kind.times, strict=True)
    ]
    failed = [(name, zero + at) for name, kind, zero in kinds for at in kind.failed_at]
    admitted = [duration for at, duration in done if began <= at < end]
    lost = [name for name, at in failed if began <= at < end]
    high = sum(
        began <= zero + at < end for name, kind, zero in kinds if name == "POST" for at in kind.sent_at
    )
    unloaded = percentiles([duration for at, duration in done if at < began], (0.99,))[0]
    goodput = sum(began <= at + duration < end for at, duration in done) / seconds / capacity
    p50, p99 = percentiles(admitted, (0.5, 0.99))
    return Found(
        row,
        capacity,
        goodput,
        unloaded,
        (p50, p99),
        recovery([(at - end, d) for at, d in done], [at - end for _, at in failed], 2 * unloaded + LATER),
        len(lost) / (len(lost) + len(admitted)),
        lost.count("POST") / max(lost.count("POST") + high, 1),
        max(load.lateness[0] for load, _ in loads),
        sum(load.cpu for load, _ in loads),
    )


def recovery(done: Sequence[tuple[float, float]], failed: Sequence[float], allowed: float) -> float:
    """
    Return after how many seconds all was well; a window is not well in which one failed or p95 was too high.

    Args:
        done: When each answered request was sent, from the end of the overload, and how long it took.
        failed: When requests failed.
        allowed: What p95 may be.

    """
    last = 0.0
    for number in range(int(AFTER / STEP) - 1):
        begin = number * STEP
        times = [duration for at, duration in done if begin <= at < begin + STEP]
        has_failed = any(begin <= at < begin + STEP for at in failed)
        if has_failed or not times or percentiles(times, (0.95,))[0] > allowed:
            last = begin + STEP
    return last if last < AFTER - STEP else float("inf")


def judge(one: Found) -> list[Requirement]:
    """Say what held of what must hold."""
    return [
        Requirement(
            f"{one.row}: goodput at least {GOODPUT:.0%} of the capacity",
            share(one.goodput),
            one.goodput >= GOODPUT,
        ),
        Requirement(
            f"{one.row}: p99 of the admitted at most twice the unloaded + 20 ms",
            f"{milliseconds(one.admitted[1])} of {milliseconds(one.allowed)}",
            one.admitted[1] <= one.allowed,
        ),
        Requirement(
            f"{one.row}: recovered within {RECOVERY:g} s", f"{one.recovery:.1f} s", one.recovery <= RECOVERY
        ),
        Requirement(
            f"{one.row}: class high loses less than 1 %", share(one.high_lost), one.high_lost < HIGH_LOST
        ),
    ]


def line(one: Found) -> tuple[str, ...]:
    """Return one line of the table."""
    return (
        one.row,
        f"{one.capacity:.0f}/s",
        share(one.goodput),
        milliseconds(one.unloaded),
        *map(milliseconds, one.admitted),
        f"{one.recovery:.1f} s",
        share(one.shed),
        share(one.high_lost),
    )


def figures(one: Found) -> list[Figure]:
    """Return the few figures that the whole comparison shows."""
    return [
        Figure(
            "overload-p99",
            f"p99 of the admitted at twice the capacity, {one.row}",
            "gateway",
            one.admitted[1] * 1e3,
            "ms",
            one.allowed * 1e3,
            f"goodput {one.goodput:.0%} of the capacity, recovered after {one.recovery:.1f} s",
        )
    ]


def _options() -> argparse.Namespace:
    parser = command_line.parser("benchmarks.overload", __doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of the overload")
    parser.add_argument("--rows", action="append", help="a row's name; may be repeated")
    parser.add_argument("--output", type=Path, default=results.DIRECTORY)
    parser.add_argument("--gateway-command", type=split_command, default=servers.GATEWAY_COMMAND)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
