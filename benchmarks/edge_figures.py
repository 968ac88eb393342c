"""Short runs of the benchmarks about faults and restarts, for the comparison; long ones run alone."""

from collections.abc import Callable

from benchmarks import black_hole, do_no_harm, overload, rolling_restart, slow_minority
from benchmarks.open_loop import Plan
from benchmarks.results import Figure

WARM_SECONDS = 5.0
MINORITY_ROWS = (slow_minority.OURS, *slow_minority.NGINX)
MINORITY_BLOCKS = 2
MINORITY_SECONDS = 10.0
HOLE_ROWS = (black_hole.OURS, "nginx least_conn", "HAProxy leastconn")
HOLE_SECONDS = 20.0
HARM_SECONDS = 20.0
OVERLOAD_SECONDS = 15.0


def minority(command: tuple[str, ...]) -> list[Figure]:
    """Measure p99 beside nginx with slow backends, and with stragglers too: 10,000 requests per cell."""
    rows = [row for row in slow_minority.ROWS if row.name in MINORITY_ROWS]
    load = Plan(slow_minority.RATE, WARM_SECONDS, MINORITY_SECONDS)
    return slow_minority.measure(tuple(slow_minority.CASES), rows, load, MINORITY_BLOCKS, command).figures


def holes(command: tuple[str, ...]) -> list[Figure]:
    """Count what four kinds of black hole swallow."""
    rows = [row for row in black_hole.ROWS if row.name in HOLE_ROWS]
    load = Plan(black_hole.RATE, WARM_SECONDS, HOLE_SECONDS, post_share=0.5)
    return black_hole.measure(black_hole.KINDS, rows, load, command).figures


def harm(command: tuple[str, ...]) -> list[Figure]:
    """Count hedges and ejections where there is no reason for any."""
    rows = [row for row in do_no_harm.ROWS if row.name == do_no_harm.OURS]
    load = Plan(do_no_harm.RATE, WARM_SECONDS, HARM_SECONDS)
    return do_no_harm.measure(rows, load, 1, command).figures


def overloaded(command: tuple[str, ...]) -> list[Figure]:
    """Ask for twice the capacity for a while."""
    rows = [row for row in overload.ROWS if row.name == overload.LIMITED]
    return overload.measure(rows, OVERLOAD_SECONDS, command).figures


def restart(_command: tuple[str, ...]) -> list[Figure]:
    """Restart every backend and every worker once."""
    return rolling_restart.measure(tuple(rolling_restart.PHASES), 1).figures


PARTS: dict[str, Callable[[tuple[str, ...]], list[Figure]]] = {
    "slow-minority": minority,
    "black-hole": holes,
    "no-harm": harm,
    "overload": overloaded,
    "restart": restart,
}
