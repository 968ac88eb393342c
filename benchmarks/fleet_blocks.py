"""Interleaved blocks of load over several proxies, each before the same fleet; every block starts anew."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks import accounting, open_loop, servers
from benchmarks.cells import Block, Cell
from benchmarks.fleet_servers import FleetPlan, Proxy, RunningFleet, RunningProxy, fleet, proxy
from benchmarks.measuring import rotated
from benchmarks.open_loop import Loaded, Plan

During = Callable[[RunningFleet, RunningProxy, open_loop.Running], None]
"""What happens while a block is measured; it begins when the warm-up ends."""


def measure_block(
    which: Proxy, fleet_plan: FleetPlan, load: Plan, command: tuple[str, ...], during: During | None = None
) -> tuple[Block, Loaded, RunningProxy]:
    """Start fleet and proxy anew, warm up, and measure one block."""
    with (
        servers.scratch_directory() as directory,
        fleet(directory, fleet_plan) as backends,
        proxy(which, directory, backends.ports, command) as one,
    ):
        before = accounting.usage(one.server.pid)
        with open_loop.background(load, one.server.url) as running:
            running.sleep_until(load.warm)
            backends.reset()
            if during:
                during(backends, one, running)
            loaded = running.result()
        used = accounting.usage(one.server.pid).since(before)
        counts = backends.counts()
    return (
        Block(
            times=loaded.times,
            failed=loaded.failed,
            attempts=sum(one.attempts for one in counts),
            first_attempts=sum(one.first_attempts for one in counts),
            slow_attempts=sum(counts[position].attempts for position in fleet_plan.slow),
            cpu_seconds=used.cpu,
            sent=round(load.rate * load.duration),
            generator_cpu=loaded.cpu,
            generator_late=loaded.lateness[0],
        ),
        loaded,
        one,
    )


def interleave(
    rows: Sequence[Proxy], fleet_plan: FleetPlan, load: Plan, blocks: int, command: tuple[str, ...]
) -> tuple[list[Cell], dict[str, str]]:
    """Measure every proxy once per block, in another order each; return cells, and why one is missing."""
    found: dict[str, list[Block]] = {row.name: [] for row in rows}
    missing: dict[str, str] = {}
    for number in range(blocks):
        for which in rotated_rows(rows, number):
            if which.name in missing:
                continue
            try:
                block, _, _ = measure_block(which, fleet_plan, replace(load, block=number), command)
            except (servers.NotInstalledError, servers.StartError) as error:
                missing[which.name] = str(error).partition("\n")[0]
                continue
            found[which.name].append(block)
            say(
                f"block {number + 1}, {which.name}: p50 {block.percentile('p50') * 1e3:.1f} ms, "
                f"p99 {block.percentile('p99') * 1e3:.1f} ms, {block.failed} failed, "
                f"slow share {block.slow_attempts / max(block.attempts, 1):.2%}, "
                f"generator {block.generator_cpu:.0%} of a core"
            )
    return [Cell(row.name, tuple(found[row.name])) for row in rows if row.name not in missing], missing


def rotated_rows(rows: Sequence[Proxy], number: int) -> list[Proxy]:
    """Return the rows in another order each block."""
    by_name = {row.name: row for row in rows}
    return [by_name[name] for name in rotated(list(by_name), number)]


def say(text: str) -> None:
    """Tell how far it is, on standard error: standard output is for the report."""
    print(text, file=sys.stderr, flush=True)
