"""
Do no harm: equal backends, then all of them five times slower; hedges and ejections must leave them alone.

    python -m benchmarks.do_no_harm                     # two blocks of a minute per row
    python -m benchmarks.do_no_harm --seconds 10

The first half of each block is ordinary; then every backend takes five times as long, at once. Writes
results/do_no_harm.json and .md; exit status 1 when something that must hold was missed.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks import command_line, open_loop, results, servers
from benchmarks.comparison import percentiles
from benchmarks.fleet import Counts
from benchmarks.fleet_blocks import measure_block, rotated_rows, say
from benchmarks.fleet_servers import FleetPlan, Proxy, RunningFleet, RunningProxy, split_command
from benchmarks.open_loop import Plan
from benchmarks.report import Report, Requirement, Table, milliseconds, share
from benchmarks.results import Figure
from benchmarks.service_times import ServiceTimes
from benchmarks.slow_minority import HEDGE

RATE = 500.0
FLEET = FleetPlan(16, ServiceTimes(0.05, 0.15, seed=13))
FACTOR = 5.0
SETTLE = 1.0
"""Seconds around the change that count to neither half: what is under way then belongs to both."""

OURS = "least_time, hedging"
ROWS = (
    Proxy(OURS, "gateway", "least_time", hedge=HEDGE),
    Proxy("least_connections, hedging", "gateway", "least_connections", hedge=HEDGE),
    Proxy("least_time, no hedging", "gateway", "least_time"),
    Proxy("nginx least_conn", "nginx", "least_conn"),
)
HEDGE_LIMIT = 0.01
LOAD_LIMIT = 1.05
ABOUT = (
    f"{FLEET.size} equal backends of 50 ms (lognormal, coefficient of variation 0.15), {RATE:g} "
    "requests/s, open loop, GET; from the middle of a block on every backend takes "
    f"{FACTOR:g} times as long. Upstream requests per request are counted by the backends; nothing fails "
    "here, so each one beyond the first is a hedge."
)
COLUMNS = (
    *("row", "hedges while ordinary", "upstream requests while slow", "ejections", "failed"),
    *("p50 ordinary", "p99 ordinary", "p50 slow", "p99 slow"),
)


@dataclass(frozen=True, slots=True)
class Half:
    """
    What happened in one half of a block.

    Attributes:
        requests: Distinct ones that reached a backend.
        attempts: All that did.
    """

    requests: int
    attempts: int

    @property
    def load(self) -> float:
        """Upstream requests per request."""
        return self.attempts / self.requests


@dataclass(frozen=True, slots=True)
class Harm:
    """
    One row in one block.

    Attributes:
        ordinary, slow: The two halves.
        ordinary_times, slow_times: p50 and p99 of their answered requests, seconds.
        ejections: None where the proxy does not tell.
        failed: Requests.
    """

    row: str
    ordinary: Half
    slow: Half
    ordinary_times: tuple[float, float]
    slow_times: tuple[float, float]
    ejections: float | None
    failed: int


def main() -> int:
    """Measure what the command line asks for; 0 when all that must hold held."""
    options = _options()
    load = Plan(RATE, options.warm, options.seconds)
    report = measure(ROWS, load, options.blocks, options.gateway_command)
    print(report.save(options.output))
    return 0 if report.all_hold else 1


def measure(rows: Sequence[Proxy], load: Plan, blocks: int, command: tuple[str, ...]) -> Report:
    """Measure these rows, interleaved."""
    report = Report("do_no_harm", "Do no harm", ABOUT)
    found: dict[str, list[Harm]] = {row.name: [] for row in rows}
    missing: dict[str, str] = {}
    for number in range(blocks):
        for which in rotated_rows(rows, number):
            try:
                found[which.name].append(examine(which, replace(load, block=number), command))
            except (servers.NotInstalledError, servers.StartError) as error:
                missing[which.name] = str(error).partition("\n")[0]
            else:
                say(str(found[which.name][-1]))
    report.tables.append(Table("Equal backends, then all five times slower", COLUMNS, lines(found, missing)))
    report.requirements += judge(found.get(OURS, []))
    report.figures += figures(found.get(OURS, []))
    report.data = {
        "load": {"rate": load.rate, "warm": load.warm, "seconds": load.seconds},
        "rows": {name: [asdict(one) for one in harms] for name, harms in found.items()},
    }
    return report


def examine(which: Proxy, load: Plan, command: tuple[str, ...]) -> Harm:
    """Measure one block of one row."""
    middle = load.warm + load.seconds / 2
    counted: list[list[Counts]] = []
    ejections: list[float | None] = []

    def during(backends: RunningFleet, one: RunningProxy, running: open_loop.Running) -> None:
        before = one.metric("pcs_gateway_ejections_total")
        running.sleep_until(middle - SETTLE / 2)
        counted.append(backends.reset())
        running.sleep_until(middle)
        backends.slow_down(FACTOR)
        running.sleep_until(middle + SETTLE / 2)
        backends.reset()
        running.sleep_until(load.duration)
        counted.append(backends.counts())
        after = one.metric("pcs_gateway_ejections_total")
        ejections.append(None if before is None or after is None else after - before)

    _, loaded, _ = measure_block(which, FLEET, load, command, during)
    times = loaded.kinds["GET"]
    return Harm(
        row=which.name,
        ordinary=half(counted[0]),
        slow=half(counted[1]),
        ordinary_times=p50_p99(times.between(0.0, load.seconds / 2 - SETTLE / 2)),
        slow_times=p50_p99(times.between(load.seconds / 2 + SETTLE / 2, load.seconds)),
        ejections=ejections[0],
        failed=loaded.failed,
    )


def half(counts: Sequence[Counts]) -> Half:
    """Sum up what the backends counted."""
    return Half(sum(one.first_attempts for one in counts), sum(one.attempts for one in counts))


def p50_p99(times: Sequence[float]) -> tuple[float, float]:
    """Return the two percentiles; zeros where nothing was answered."""
    if not times:
        return (0.0, 0.0)
    p50, p99 = percentiles(times, (0.5, 0.99))
    return (p50, p99)


def together(halves: Sequence[Half]) -> Half:
    """Add the same half of several blocks."""
    return Half(sum(one.requests for one in halves), sum(one.attempts for one in halves))


def lines(found: Mapping[str, Sequence[Harm]], missing: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """Return the lines of the table, those of what is missing too."""
    empty = [""] * (len(COLUMNS) - 2)
    return tuple(
        line(name, harms) if harms else (name, missing.get(name, ""), *empty) for name, harms in found.items()
    )


def line(name: str, harms: Sequence[Harm]) -> tuple[str, ...]:
    """Return one line over all blocks: sums, and the largest percentile of any block."""
    ordinary, slow = together([one.ordinary for one in harms]), together([one.slow for one in harms])
    told = [one.ejections for one in harms if one.ejections is not None]
    return (
        name,
        share(ordinary.load - 1),
        f"{slow.load:.3f}×",
        f"{sum(told):.0f}" if told else "not told",
        f"{sum(one.failed for one in harms):,}",
        *(
            milliseconds(max(times[position] for times in one))
            for one in ([h.ordinary_times for h in harms], [h.slow_times for h in harms])
            for position in (0, 1)
        ),
    )


def judge(harms: Sequence[Harm]) -> list[Requirement]:
    """Say what held of what must hold for our row with everything on."""
    texts = (
        f"equal backends: hedges under {HEDGE_LIMIT:.0%} of the requests",
        f"all backends {FACTOR:g}× slower: upstream requests at most {LOAD_LIMIT:g}×",
        "nothing ejected",
    )
    if not harms:
        return [Requirement(text, f"no row “{OURS}”", None) for text in texts]
    ordinary, slow = together([one.ordinary for one in harms]), together([one.slow for one in harms])
    ejections = sum(one.ejections or 0 for one in harms)
    seen = (share(ordinary.load - 1), f"{slow.load:.3f}×", f"{ejections:.0f} ejections")
    held = (ordinary.load - 1 < HEDGE_LIMIT, slow.load <= LOAD_LIMIT, ejections == 0)
    return [Requirement(*one) for one in zip(texts, seen, held, strict=True)]


def figures(harms: Sequence[Harm]) -> list[Figure]:
    """Return the few figures for the whole comparison."""
    if not harms:
        return []
    ordinary, slow = together([one.ordinary for one in harms]), together([one.slow for one in harms])
    note = f"{ordinary.requests + slow.requests:,} requests"
    return [
        Figure(name, title, "gateway", value, unit, limit, note)
        for name, title, value, unit, limit in (
            ("harm-hedges", "equal backends: hedges", 100 * (ordinary.load - 1), "%", 100 * HEDGE_LIMIT),
            ("harm-load", "all backends 5 times slower: upstream requests", slow.load, "×", LOAD_LIMIT),
            ("harm-ejections", "both: ejections", sum(one.ejections or 0 for one in harms), "", 0.0),
        )
    ]


def _options() -> argparse.Namespace:
    parser = command_line.parser("benchmarks.do_no_harm", __doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of a block, both halves together")
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--warm", type=float, default=10.0, help="unmeasured seconds of each block")
    parser.add_argument("--gateway-command", type=split_command, default=servers.GATEWAY_COMMAND)
    parser.add_argument("--output", type=Path, default=results.DIRECTORY)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
