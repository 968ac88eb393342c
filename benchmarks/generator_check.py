"""
Is the load generator good enough? Load on a fleet without a proxy, beside the times that were drawn for it.

    python -m benchmarks.generator_check            # 500 and 1,000 requests/s, a minute

Prints percentiles three times: as drawn, as measured by sorting every time, and by the load tester's
histogram; and how busy generator and fleet were. What stands between drawn and measured is the error of every
figure that this generator makes.
"""

import sys

from benchmarks import accounting, command_line, open_loop, servers
from benchmarks.comparison import percentiles
from benchmarks.fleet_servers import FleetPlan, fleet
from benchmarks.open_loop import SHARES, Plan
from benchmarks.report import Table, milliseconds
from benchmarks.service_times import ServiceTimes

TIMES = ServiceTimes(0.05, 0.15, seed=11)
PLANS = (Plan(500, 0, 30), Plan(1000, 0, 20))
COLUMNS = ("requests/s", "times", "p50", "p90", "p99", "p99.9", "generator", "fleet", "generator late, p99")


def main() -> int:
    """Print the table; 0."""
    command_line.parser("benchmarks.generator_check", __doc__).parse_args()
    lines = [line for plan in PLANS for line in check(plan)]
    print(Table("Generator against a fleet, no proxy", COLUMNS, tuple(lines)).markdown())
    return 0


def check(plan: Plan) -> list[tuple[str, ...]]:
    """Measure one rate."""
    with servers.scratch_directory() as directory, fleet(directory, FleetPlan(1, TIMES)) as backends:
        before = accounting.usage(backends.server.pid)
        with open_loop.background(plan, f"http://127.0.0.1:{backends.ports[0]}") as running:
            loaded = running.result()
        busy = accounting.usage(backends.server.pid).since(before).cpu / plan.duration
    first = plan.block * open_loop.NUMBERS + 1
    drawn = percentiles([TIMES.of(first + n, 0) for n in range(loaded.requests)], SHARES)
    return [
        (
            f"{plan.rate:g}",
            name,
            *map(milliseconds, figures),
            f"{loaded.cpu:.1%} of a core",
            f"{busy:.1%} of a core",
            milliseconds(loaded.lateness[0]),
        )
        for name, figures in (("drawn", drawn), ("sorted", loaded.sorted), ("histogram", loaded.histogram))
    ]


if __name__ == "__main__":
    sys.exit(main())
