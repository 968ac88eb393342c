"""
The whole comparison: every load over every proxy, interleaved, and the single figures.

    python -m benchmarks              # within five minutes
    python -m benchmarks --all        # every load, 15 rounds each, balance over workers too
    python -m benchmarks --only get,log,idle

Writes `latest.json` and `latest.md` into benchmarks/results; `python -m benchmarks.publish` puts the
table into README.md.
"""

import argparse
import contextlib
import datetime as dt
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks import command_line, figures, load, machine, results, servers, tables
from benchmarks.measuring import measure, rotated
from benchmarks.results import Results, Row
from benchmarks.scenarios import SCENARIOS, Scenario

AGAIN_IN = ("get",)
"""Rows in which nginx also stands against itself."""
SLOW = {"aiohttp": 5}
"""Rounds for proxies so far away that more would say nothing new."""
STANDARD = {"get": 15, "varied": 5, "log": 5, "tls": 15, "post": 5, "megabyte": 5, "get-2": 5}
ALL_ROUNDS = 15
FAILURES = (
    servers.NotInstalledError,
    servers.StartError,
    load.LoadError,
    OSError,
    subprocess.SubprocessError,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run consists of: rounds per scenario, further parts, seconds per measurement."""

    rounds: dict[str, int]
    parts: tuple[str, ...]
    seconds: float
    gateway_command: tuple[str, ...]


def main() -> int:
    """Run the plan that the command line asks for; 0 when all of it could be measured."""
    options = _options()
    plan = make_plan(options)
    found = Results(
        date=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        machine=machine.describe(),
        versions=machine.versions(),
        seconds=plan.seconds,
        generator=load.generator(),
    )
    for name, rounds in plan.rounds.items():
        found.rows.append(run_row(SCENARIOS[name], rounds, plan))
        _say(tables.main_table(found.rows[-1:]))
    for part in plan.parts:
        _say(f"{part} …")
        _run_part(part, plan, found)
    results.save(found, options.output / "latest.json")
    page = tables.page(found)
    (options.output / "latest.md").write_text(page)
    _say(page)
    return 1 if found.missing or any("gateway" in row.missing for row in found.rows) else 0


def make_plan(options: argparse.Namespace) -> Plan:
    """Turn the command line into a plan."""
    rounds = dict.fromkeys(SCENARIOS, ALL_ROUNDS) if options.all else dict(STANDARD)
    parts = tuple(figures.PARTS) if options.all else figures.STANDARD_PARTS
    if options.only:
        wanted = options.only.split(",")
        rounds = {name: rounds.get(name, 5) for name in wanted if name in SCENARIOS}
        parts = tuple(name for name in wanted if name in figures.PARTS)
    if options.rounds:
        rounds = dict.fromkeys(rounds, options.rounds)
    return Plan(rounds, parts, options.seconds, tuple(shlex.split(options.gateway_command)))


def run_row(scenario: Scenario, rounds: int, plan: Plan) -> Row:
    """Measure one scenario over all proxies, interleaved."""
    row = Row(scenario.name, scenario.title, scenario.workers)
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(servers.scratch_directory())
        backend = stack.enter_context(servers.backend(directory))
        setup = servers.Setup(
            directory,
            backend.port,
            scenario.workers,
            scenario.access_log,
            tls=scenario.tls,
            gateway_command=plan.gateway_command,
        )
        running = _start_all(stack, setup, scenario, row)
        row.samples = {name: [] for name in running}
        for number in range(rounds):
            for name in rotated(list(running), number):
                if name in running and number < SLOW.get(name, rounds):
                    _measure_once(running, name, scenario, plan.seconds, row)
    return row


def _start_all(
    stack: contextlib.ExitStack, setup: servers.Setup, scenario: Scenario, row: Row
) -> dict[str, servers.Server]:
    running = {}
    for name in tables.ORDER:
        if name == tables.AGAIN and scenario.name not in AGAIN_IN:
            continue
        try:
            running[name] = stack.enter_context(servers.PROXIES[name](setup))
            measure(running[name], scenario, 1)
        except FAILURES as error:
            running.pop(name, None)
            row.missing[name] = _first_line(error)
            _say(f"{name}: {error}")
    return running


def _measure_once(
    running: dict[str, servers.Server], name: str, scenario: Scenario, seconds: float, row: Row
) -> None:
    try:
        row.samples[name].append(measure(running[name], scenario, seconds))
    except FAILURES as error:
        del running[name], row.samples[name]
        row.missing[name] = _first_line(error)


def _run_part(part: str, plan: Plan, found: Results) -> None:
    try:
        found.figures.extend(figures.PARTS[part](plan.gateway_command))
    except FAILURES as error:
        found.missing[part] = _first_line(error)
        _say(f"{part}: {error}")


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].rstrip(":") or type(error).__name__


def _say(text: str) -> None:
    print(text, flush=True)


def _options() -> argparse.Namespace:
    parser = command_line.parser("benchmarks", __doc__)
    parser.add_argument("--all", action="store_true", help="every load and figure, 15 rounds")
    parser.add_argument(
        "--only",
        default="",
        help=f"loads, of {', '.join(SCENARIOS)}; and figures, of {', '.join(figures.PARTS)}",
    )
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1, help="whole seconds per proxy and round")
    parser.add_argument("--gateway-command", default=shlex.join(servers.GATEWAY_COMMAND))
    parser.add_argument("--output", type=Path, default=results.DIRECTORY)
    options = parser.parse_args()
    unknown = set(options.only.split(",")) - {"", *SCENARIOS, *figures.PARTS}
    if unknown:
        parser.error(f"--only: there is no {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    sys.exit(main())
