"""
A slow minority: `least_time` beside nginx and HAProxy, two of sixteen backends sixteen times slower.

    python -m benchmarks.slow_minority                          # 100,000 requests per cell; about 55 minutes
    python -m benchmarks.slow_minority --requests 5000 --blocks 1 --cells plain
    python -m benchmarks.slow_minority --rows "least_time, hedging" --rows "nginx least_conn"

Every block starts fleet and proxy anew and warms up unmeasured; the proxies follow one another in another
order each block; the n-th request of a block arrives and is served alike for all of them. Writes
results/slow_minority.json and .md; exit status 1 when something that must hold was missed.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import command_line, results, servers
from benchmarks.cells import Cell
from benchmarks.fleet_blocks import interleave, say
from benchmarks.fleet_servers import FleetPlan, Proxy, split_command
from benchmarks.open_loop import Plan
from benchmarks.report import Report, Requirement, Table, milliseconds, share
from benchmarks.results import Figure
from benchmarks.service_times import ServiceTimes

RATE = 500.0
BACKENDS = 16
SLOW = {5: 16.0, 12: 16.0}
HEDGE = "{after: p95, budget: 0.05, methods: [GET, HEAD]}"

OURS = "least_time, hedging"
UNHEDGED = "least_time, no hedging"
NGINX = ("nginx round robin", "nginx least_conn")
ROWS = (
    Proxy(OURS, "gateway", "least_time", hedge=HEDGE),
    Proxy(UNHEDGED, "gateway", "least_time"),
    Proxy("least_connections", "gateway", "least_connections"),
    Proxy(NGINX[0], "nginx"),
    Proxy(NGINX[1], "nginx", "least_conn"),
    Proxy("HAProxy leastconn", "haproxy", "leastconn"),
)
UNAVAILABLE = "nginx ≥ 1.31 least_time"
UNAVAILABLE_NOTE = "not installed here, expected equal to ours without hedging"

P50_LIMIT = 1.05
EXTRA_LIMIT = 0.05


@dataclass(frozen=True, slots=True)
class Case:
    """
    One table.

    Attributes:
        stragglers: Share of the attempts, wherever they go, that take 20 times as long.
        factor: How far p99 must be below both of nginx's.
    """

    title: str
    stragglers: float
    factor: float

    def fleet(self) -> FleetPlan:
        """Return its backends."""
        return FleetPlan(BACKENDS, ServiceTimes(0.05, 0.15, self.stragglers, 20.0, seed=11), SLOW)


CASES = {
    "plain": Case("Two of sixteen backends 16 times slower", 0.0, 8.0),
    "stragglers": Case("In addition 1.5 % of the attempts 20 times slower", 0.015, 5.0),
}
ABOUT = (
    f"{BACKENDS} backends of 50 ms (lognormal, coefficient of variation 0.15), two of them 16 times slower; "
    f"{RATE:g} requests/s, open loop, Poisson, GET, from one generator; response time from the intended "
    "moment of sending, percentiles exact over all requests of a cell, in brackets the smallest and the "
    "largest block. Extra load: attempts beyond the first per request, counted by the backends. Two workers "
    "(HAProxy: threads) each, shared state (`zone`) in nginx. The peers have no hedging; our row without it "
    "stands beside."
)


def main() -> int:
    """Measure what the command line asks for; 0 when all that must hold held."""
    options = _options()
    load = Plan(RATE, options.warm, options.requests / RATE / options.blocks)
    rows = [row for row in ROWS if not options.rows or row.name in options.rows]
    report = measure(options.cells.split(","), rows, load, options.blocks, options.gateway_command)
    print(report.save(options.output))
    return 0 if report.all_hold else 1


def measure(
    cases: Sequence[str], rows: Sequence[Proxy], load: Plan, blocks: int, command: tuple[str, ...]
) -> Report:
    """Measure these cases."""
    report = Report("slow_minority", "Slow minority", ABOUT)
    report.data = {"load": {"rate": load.rate, "warm": load.warm, "seconds": load.seconds}, "cells": {}}
    for name in cases:
        case = CASES[name]
        say(case.title)
        cells, missing = interleave(rows, case.fleet(), load, blocks, command)
        by_name = {cell.name: cell for cell in cells}
        report.tables.append(Table(case.title, COLUMNS, tuple(lines(rows, by_name, missing))))
        report.requirements += judge(case, by_name)
        report.notes += generator_notes(case.title, cells)
        report.figures += figures(name, case, by_name)
        report.data["cells"][name] = [cell.plain() for cell in cells]
    return report


COLUMNS = ("row", "p50", "p90", "p99", "p99.9", "errors", "extra load", "to slow backends", "CPU per request")


def lines(
    rows: Sequence[Proxy], cells: Mapping[str, Cell], missing: Mapping[str, str]
) -> list[tuple[str, ...]]:
    """Return the lines of a table, those of what is missing too."""
    found = [
        line(cells[row.name]) if row.name in cells else _note_line(row.name, missing.get(row.name, ""))
        for row in rows
    ]
    return [*found, _note_line(UNAVAILABLE, UNAVAILABLE_NOTE)]


def line(cell: Cell) -> tuple[str, ...]:
    """Return one line."""
    return (
        cell.name,
        *(_spread_cell(cell, name) for name in ("p50", "p90", "p99", "p99_9")),
        share(cell.error_ratio),
        share(cell.extra_load),
        share(cell.slow_share),
        f"{cell.cpu_per_request * 1e6:.0f} µs",
    )


def judge(case: Case, cells: Mapping[str, Cell]) -> list[Requirement]:
    """Say what held of what must hold in this case."""
    found = [_ratio_requirement(case, cells, peer) for peer in NGINX]
    found += [_p50_requirement(case, cells, peer) for peer in NGINX]
    text = f"{case.title}: at most {EXTRA_LIMIT:.0%} more upstream requests"
    ours = cells.get(OURS)
    if ours is None:
        return [*found, Requirement(text, f"no row “{OURS}”", None)]
    return [*found, Requirement(text, share(ours.extra_load), ours.extra_load <= EXTRA_LIMIT)]


def generator_notes(title: str, cells: Sequence[Cell]) -> list[str]:
    """Say that the load generator was not what was measured."""
    blocks = [block for cell in cells for block in cell.blocks]
    if not blocks:
        return []
    cpu, late = max(b.generator_cpu for b in blocks), max(b.generator_late for b in blocks)
    note = (
        f"{title}: the load generator used at most {cpu:.0%} of a core, and was late by at most "
        f"{milliseconds(late)} at its p99 in any block."
    )
    return [note]


def figures(name: str, case: Case, cells: Mapping[str, Cell]) -> list[Figure]:
    """Return the few figures for the whole comparison."""
    if OURS not in cells:
        return []
    found = [
        Figure(
            name=f"slow-minority-{name}-{peer.removeprefix('nginx ').replace(' ', '-')}",
            title=f"{case.title}: p99 over that of {peer}",
            target="gateway",
            value=cells[OURS].percentile("p99") / cells[peer].percentile("p99"),
            unit="×",
            budget=1 / case.factor,
            note=f"{milliseconds(cells[OURS].percentile('p99'))} against "
            f"{milliseconds(cells[peer].percentile('p99'))}, {cells[OURS].requests:,} requests each",
        )
        for peer in NGINX
        if peer in cells
    ]
    return [
        *found,
        Figure(
            name=f"slow-minority-{name}-extra",
            title=f"{case.title}: more upstream requests",
            target="gateway",
            value=cells[OURS].extra_load,
            unit="of the requests",
            budget=EXTRA_LIMIT,
        ),
    ]


def _ratio_requirement(case: Case, cells: Mapping[str, Cell], peer: str) -> Requirement:
    text = f"{case.title}: p99 at least {case.factor:g}× below {peer}"
    if OURS not in cells or peer not in cells:
        return Requirement(text, f"no row “{OURS if OURS not in cells else peer}”", None)
    ours, theirs = cells[OURS].percentile("p99"), cells[peer].percentile("p99")
    blocks = cells[peer].ratio(cells[OURS], "p99")
    return Requirement(
        text,
        f"{theirs / ours:.1f}× ({milliseconds(ours)} against {milliseconds(theirs)}; by block "
        f"{blocks.low:.1f}–{blocks.high:.1f}, {blocks.pairs} blocks)",
        theirs / ours >= case.factor,
    )


def _p50_requirement(case: Case, cells: Mapping[str, Cell], peer: str) -> Requirement:
    text = f"{case.title}: p50 within {P50_LIMIT - 1:.0%} of {peer}"
    if OURS not in cells or peer not in cells:
        return Requirement(text, f"no row “{OURS if OURS not in cells else peer}”", None)
    ratio = cells[OURS].percentile("p50") / cells[peer].percentile("p50")
    return Requirement(text, f"{ratio:.3f}×", ratio <= P50_LIMIT)


def _spread_cell(cell: Cell, name: str) -> str:
    spread = cell.spread(name)
    pooled = milliseconds(cell.percentile(name))
    if len(cell.blocks) == 1:
        return pooled
    return f"{pooled} ({spread.low * 1e3:.0f}–{spread.high * 1e3:.0f})"


def _note_line(name: str, note: str) -> tuple[str, ...]:
    return (name, note, *[""] * (len(COLUMNS) - 2))


def _options() -> argparse.Namespace:
    parser = command_line.parser("benchmarks.slow_minority", __doc__)
    parser.add_argument("--requests", type=int, default=100_000, help="per cell, over all blocks")
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--warm", type=float, default=10.0, help="unmeasured seconds of each block")
    parser.add_argument("--cells", default=",".join(CASES), help=f"of {', '.join(CASES)}")
    parser.add_argument("--rows", action="append", default=[], help="a row's name; may be given again")
    parser.add_argument("--gateway-command", type=split_command, default=servers.GATEWAY_COMMAND)
    parser.add_argument("--output", type=Path, default=results.DIRECTORY)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
