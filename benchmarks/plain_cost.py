"""
What a plain request costs before and after a change: two checkouts of the gateway, side by side.

    git worktree add /tmp/before v0.1.0
    python -m benchmarks.plain_cost --before /tmp/before
    python -m benchmarks.plain_cost --before /tmp/before --pairs 31 --scenarios get

Three gateways run: the earlier checkout twice (the second shows the noise) and this one. Each in turn gets
some seconds of load per round, in another order each round, so every round is a pair. All use this checkout's
interpreter and configuration. Writes results/plain_cost.json and .md; exit status 1 when the interval of
the ratio does not lie below 1.05.
"""

import argparse
import contextlib
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks import command_line, results, servers
from benchmarks.comparison import CLAIM_PAIRS, Ratio, paired_ratio, summarise
from benchmarks.fleet_blocks import say
from benchmarks.measuring import Sample, measure, rotated
from benchmarks.report import Report, Requirement, Table
from benchmarks.results import Figure
from benchmarks.scenarios import SCENARIOS, Scenario

BEFORE, AGAIN, AFTER = "before", "before-again", "after"
LIMIT = 1.05
COLUMNS = ("gateway", "CPU per request", "against before", "requests/s", "p50", "p99")
ABOUT = (
    "CPU is user and system time of all processes of a gateway, per request. Each value is the median of the "
    "rounds with the smallest and the largest. A ratio is the median of the ratios round by round, with the "
    "distribution-free 95 % interval of the median of their logarithms; “before-again” is a second gateway "
    "of the earlier checkout: what it shows against the first is noise."
)

Samples = dict[str, list[Sample]]


class CheckoutError(Exception):
    """What was given is no checkout of the gateway, or another one would run in its place."""


def main() -> int:
    """Measure what the command line asks for; 0 when all that must hold held."""
    options = _options()
    checkouts = {BEFORE: options.before, AGAIN: options.before, AFTER: options.after}
    report = Report("plain_cost", "Plain cost, before and after", ABOUT)
    for name in options.scenarios.split(","):
        scenario = SCENARIOS[name]
        samples = measure_pairs(scenario, checkouts, options.pairs, options.seconds)
        report.tables.append(Table(scenario.title, COLUMNS, lines(samples)))
        report.requirements += judge(scenario.title, samples)
        report.figures += figures(scenario, samples)
        report.data[name] = {who: [asdict(one) for one in rounds] for who, rounds in samples.items()}
    print(report.save(options.output))
    return 0 if report.all_hold else 1


def command_of(checkout: Path) -> tuple[str, ...]:
    """
    Return the command that serves from a checkout, with this interpreter.

    Raises:
        CheckoutError: the package would not come from there.

    """
    python = ("env", f"PYTHONPATH={checkout}", sys.executable, "-P")
    done = subprocess.run(
        [*python, "-c", "import pcs_gateway; print(pcs_gateway.__file__)"],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    expected = checkout / "pcs_gateway" / "__init__.py"
    if done.stdout.strip() != str(expected):
        message = f"expected {expected} to be imported, found {done.stdout.strip() or done.stderr[-300:]}"
        raise CheckoutError(message)
    return (*python, "-m", "pcs_gateway", "serve", "--config", "{config}")


def measure_pairs(scenario: Scenario, checkouts: Mapping[str, Path], pairs: int, seconds: float) -> Samples:
    """Measure all of them in every round."""
    samples: Samples = {name: [] for name in checkouts}
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(servers.scratch_directory())
        backend = stack.enter_context(servers.backend(directory))
        setup = servers.Setup(directory, backend.port, scenario.workers, scenario.access_log)
        running = {
            name: stack.enter_context(
                servers.gateway(replace(setup, gateway_command=command_of(checkout)), name)
            )
            for name, checkout in checkouts.items()
        }
        for server in running.values():
            measure(server, scenario, 2)
        for number in range(pairs):
            for name in rotated(list(running), number):
                samples[name].append(measure(running[name], scenario, seconds))
            say(
                f"{scenario.name}, pair {number + 1}: "
                + ", ".join(
                    f"{who} {rounds[-1].cpu_per_request * 1e6:.2f} µs" for who, rounds in samples.items()
                )
            )
    return samples


def ratio(samples: Samples, candidate: str) -> Ratio:
    """Return the paired ratio of CPU per request to the earlier checkout."""
    return paired_ratio(
        [one.cpu_per_request for one in samples[candidate]], [one.cpu_per_request for one in samples[BEFORE]]
    )


def lines(samples: Samples) -> tuple[tuple[str, ...], ...]:
    """Return the lines of one table."""
    return tuple(_line(name, samples) for name in (BEFORE, AGAIN, AFTER))


def judge(title: str, samples: Samples) -> list[Requirement]:
    """Say whether the interval lies below the limit; with too few pairs it cannot be said."""
    found = ratio(samples, AFTER)
    noise = ratio(samples, AGAIN)
    text = f"{title}: the interval lies below {LIMIT - 1:.0%} more"
    measured = f"{percentage(found)}; A/A {percentage(noise)}"
    errors = sum(one.errors for rounds in samples.values() for one in rounds)
    if errors:
        return [Requirement(text, f"{errors} requests failed: {measured}", False)]
    if found.pairs < CLAIM_PAIRS:
        return [Requirement(text, f"{measured}: {CLAIM_PAIRS} pairs are needed", None)]
    return [Requirement(text, measured, found.high < LIMIT)]


def percentage(found: Ratio) -> str:
    """Return a ratio as a change in per cent."""
    low, middle, high = ((value - 1) * 100 for value in (found.low, found.median, found.high))
    return f"{middle:+.1f} % ({low:+.1f} to {high:+.1f}, {found.pairs} pairs)"


def figures(scenario: Scenario, samples: Samples) -> list[Figure]:
    """Return the one figure for the whole comparison."""
    found = ratio(samples, AFTER)
    return [
        Figure(
            name=f"plain-cost-{scenario.name}",
            title=f"CPU per request after, over before: {scenario.title}",
            target="gateway",
            value=found.high,
            unit="×",
            budget=LIMIT,
            note=f"end of the interval; {percentage(found)}; A/A {percentage(ratio(samples, AGAIN))}",
        )
    ]


def _line(name: str, samples: Samples) -> tuple[str, ...]:
    rounds = samples[name]
    cpu = summarise([one.cpu_per_request * 1e6 for one in rounds])
    rate = summarise([one.requests_per_second for one in rounds])
    p50, p99 = (summarise([getattr(one, which) * 1e3 for one in rounds]) for which in ("p50", "p99"))
    return (
        name,
        f"{cpu.median:.1f} µs ({cpu.low:.1f}–{cpu.high:.1f})",
        "1" if name == BEFORE else percentage(ratio(samples, name)),
        f"{rate.median:,.0f} ({rate.low:,.0f}–{rate.high:,.0f})",
        f"{p50.median:.2f} ms",
        f"{p99.median:.2f} ms",
    )


def _options() -> argparse.Namespace:
    parser = command_line.parser("benchmarks.plain_cost", __doc__)
    parser.add_argument("--before", type=_checkout, required=True, help="a checkout of the earlier version")
    parser.add_argument("--after", type=_checkout, default=servers.HERE.parent, help="default: this one")
    parser.add_argument("--pairs", type=int, default=21)
    parser.add_argument("--seconds", type=float, default=2, help="whole seconds per gateway and round")
    parser.add_argument("--scenarios", default="get,varied", help=f"of {', '.join(SCENARIOS)}")
    parser.add_argument("--output", type=Path, default=results.DIRECTORY)
    return parser.parse_args()


def _checkout(text: str) -> Path:
    return Path(text).resolve()


if __name__ == "__main__":
    sys.exit(main())
