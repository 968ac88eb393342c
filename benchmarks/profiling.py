"""
Where the gateway's workers spend their CPU time, under one of the loads.

    python -m benchmarks.profiling --scenario get --seconds 5
    python -m benchmarks.profiling --perf          # the kernel and C too, where Linux perf is installed

The stacks are written, folded, to benchmarks/results/tmp/, as flame graph tools read them.
"""

import argparse
import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks import accounting, command_line, load, servers
from benchmarks.scenarios import SCENARIOS

HOOK = servers.HERE / "profiling_hook"
OUTPUT = servers.HERE / "results" / "tmp"
PERF_FREQUENCY = 997


@dataclass(frozen=True, slots=True)
class Share:
    """How much of the samples a function had."""

    name: str
    itself: float
    """Ratio of samples in which it ran."""
    cumulative: float
    """Ratio of samples in which it or what it called ran."""


def shares(folded: Iterable[str]) -> list[Share]:
    """Sum folded stacks (`a;b;c COUNT`, line numbers after a colon) by function, the busiest first."""
    itself: Counter[str] = Counter()
    cumulative: Counter[str] = Counter()
    for line in folded:
        stack, _, count = line.rpartition(" ")
        names = [frame.rpartition(":")[0] for frame in stack.split(";")]
        itself[names[-1]] += int(count)
        for name in set(names):
            cumulative[name] += int(count)
    total = itself.total()
    return [Share(name, itself[name] / total, count / total) for name, count in _busiest(cumulative, itself)]


def main() -> int:
    """Profile and print; 0 when there were samples."""
    options = _options()
    scenario = SCENARIOS[options.scenario]
    _clear()
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(servers.scratch_directory())
        backend = stack.enter_context(servers.backend(directory))
        setup = servers.Setup(
            directory,
            backend.port,
            scenario.workers,
            scenario.access_log,
            gateway_command=tuple(shlex.split(options.gateway_command)),
        )
        if not options.perf:
            os.environ |= {"PYTHONPATH": _with_hook(), "BENCHMARK_PROFILE": str(OUTPUT)}
        gateway = stack.enter_context(servers.gateway(setup))
        running = stack.enter_context(load.background(scenario, gateway.url, options.seconds))
        if options.perf:
            return _perf(gateway, options.seconds)
        print(running.result())
    return _report(options.lines)


def _busiest(cumulative: Counter[str], itself: Counter[str]) -> list[tuple[str, int]]:
    return sorted(cumulative.items(), key=lambda item: (-itself[item[0]], -item[1], item[0]))


def _with_hook() -> str:
    return os.pathsep.join(filter(None, (str(HOOK), os.environ.get("PYTHONPATH"))))


def _clear() -> None:
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for path in OUTPUT.glob("*.folded"):
        path.unlink()


def _report(lines: int) -> int:
    folded = [line for path in OUTPUT.glob("*.folded") for line in path.read_text().splitlines()]
    if not folded:
        print("no samples: did the workers begin?", file=sys.stderr)
        return 1
    print(f"{'itself':>7} {'with its calls':>15}")
    for share in shares(folded)[:lines]:
        print(f"{share.itself:7.1%} {share.cumulative:15.1%}  {share.name}")
    return 0


def _perf(gateway: servers.Server, seconds: float) -> int:
    program = shutil.which("perf")
    if program is None:
        print("perf is not installed", file=sys.stderr)
        return 1
    data = OUTPUT / "perf.data"
    pids = ",".join(str(stat.pid) for stat in accounting.tree(gateway.pid))
    record = [program, "record", "-q", "-F", str(PERF_FREQUENCY), "-g", "-p", pids, "-o", str(data)]
    subprocess.run([*record, "--", "sleep", str(seconds)], check=True, timeout=seconds + 30)
    report = [program, "report", "-i", str(data), "--stdio", "--no-children", "-g", "none"]
    return subprocess.run(report, check=False, timeout=120).returncode


def _options() -> argparse.Namespace:
    parser = command_line.parser("benchmarks.profiling", __doc__)
    parser.add_argument("--scenario", default="get", choices=SCENARIOS)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--lines", type=int, default=50)
    parser.add_argument("--gateway-command", default=shlex.join(servers.GATEWAY_COMMAND))
    parser.add_argument("--perf", action="store_true", help="record with Linux perf instead")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
