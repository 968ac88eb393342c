"""
A black hole: one of ten backends swallows what it is given, while its health check passes.

    python -m benchmarks.black_hole                          # 30,000 requests per cell; about 20 minutes
    python -m benchmarks.black_hole --requests 5000 --kinds hang --rows gateway

Half of the requests are GETs, which may be tried again, half are POSTs, which may not. The fault begins when
the warm-up ends. Writes results/black_hole.json and .md; exit status 1 when something that must hold was
missed.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import command_line, open_loop, results, servers
from benchmarks.comparison import percentiles
from benchmarks.fleet import Fault
from benchmarks.fleet_blocks import measure_block, say
from benchmarks.fleet_servers import FleetPlan, Proxy, RunningFleet, RunningProxy, split_command
from benchmarks.open_loop import Plan
from benchmarks.report import Report, Requirement, Table, milliseconds, share
from benchmarks.results import Figure
from benchmarks.service_times import ServiceTimes

RATE = 500.0
BACKENDS = 10
HOLE = 3
TIMEOUT = 2
FLEET = FleetPlan(BACKENDS, ServiceTimes(0.02, 0.15, seed=12))
KINDS = (Fault.INSTANT_503, Fault.HANG, Fault.RESET, Fault.TRUNCATED)
TITLES = {
    Fault.INSTANT_503: "instant 503",
    Fault.HANG: "accepts and hangs",
    Fault.RESET: "resets",
    Fault.TRUNCATED: "200, truncated",
}

OURS = "gateway"
ROWS = (
    Proxy(OURS, "gateway", "least_connections", timeout=TIMEOUT),
    Proxy("gateway, retries off", "gateway", "least_connections", retries=0, timeout=TIMEOUT),
    Proxy("nginx least_conn", "nginx", "least_conn", timeout=TIMEOUT),
    Proxy("HAProxy leastconn", "haproxy", "leastconn", timeout=TIMEOUT),
)
GET_LIMIT = 0.001
POST_LIMIT = 20
ABOUT = (
    f"{BACKENDS} backends of 20 ms, {RATE:g} requests/s, open loop, half GETs, half POSTs that may not be "
    "sent twice; after the warm-up one backend swallows all it gets, but passes its checks. Equal rules: "
    f"{TIMEOUT} s for a response head; two attempts after the first for GETs on failed connects, resets, "
    "502, 503, 504; five failures in a row end a backend's turn for 30 s (nginx: max_fails=5 "
    "fail_timeout=30s; HAProxy: observe layer7, error-limit 5, on-error mark-down, up again by two passed "
    "checks). All count the least connections. A request failed when its status was 500 or more, or its "
    "answer broken or missing."
)
COLUMNS = (
    *("row", "GETs", "GETs failed", "POSTs", "POSTs failed", "ejections", "POSTs failed per ejection"),
    *("swallowed", "last failure after", "p99 of the answered"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """
    What one proxy did with one kind of black hole.

    Attributes:
        gets, gets_failed, posts, posts_failed: Requests after the fault began.
        failures: What failed, by status or by what happened.
        ejections: As the proxy counts them; None where it does not tell.
        swallowed: Attempts that the faulty backend was given.
        last_failure: Seconds after the fault began; 0.0 without a failure.
        p99: Seconds, of the answered.
    """

    row: str
    gets: int
    gets_failed: int
    posts: int
    posts_failed: int
    failures: dict[str, int]
    ejections: float | None
    swallowed: int
    last_failure: float
    p99: float

    @property
    def posts_per_ejection(self) -> float | None:
        """None where ejections are not told, or where there were none though POSTs failed."""
        if not self.posts_failed:
            return 0.0
        return self.posts_failed / self.ejections if self.ejections else None

    @property
    def spares_posts(self) -> bool | None:
        """Whether no more POSTs failed than may for each ejection; None while too few for the first."""
        if self.posts_failed and not self.ejections:
            return None if self.posts_failed <= POST_LIMIT else False
        return self.posts_per_ejection is not None and self.posts_per_ejection <= POST_LIMIT

    @property
    def summary(self) -> str:
        """What happened, on one line."""
        ejections = "ejections not told" if self.ejections is None else f"{self.ejections:.0f} ejections"
        return (
            f"{self.gets_failed:,} of {self.gets:,} GETs and {self.posts_failed:,} of {self.posts:,} POSTs "
            f"failed, {ejections}, {self.swallowed:,} attempts swallowed, p99 {milliseconds(self.p99)}"
        )


def main() -> int:
    """Measure what the command line asks for; 0 when all that must hold held."""
    options = _options()
    load = Plan(RATE, options.warm, options.requests / RATE, post_share=0.5)
    rows = [row for row in ROWS if not options.rows or row.name in options.rows]
    kinds = [Fault(kind) for kind in options.kinds.split(",")]
    report = measure(kinds, rows, load, options.gateway_command)
    print(report.save(options.output))
    return 0 if report.all_hold else 1


def measure(kinds: Sequence[Fault], rows: Sequence[Proxy], load: Plan, command: tuple[str, ...]) -> Report:
    """Measure these kinds, row after row within each kind."""
    report = Report("black_hole", "Black hole", ABOUT)
    report.data = {"load": {"rate": load.rate, "warm": load.warm, "seconds": load.seconds}, "kinds": {}}
    for kind in kinds:
        found: list[Finding] = []
        missing: dict[str, str] = {}
        for which in rows:
            try:
                found.append(examine(which, kind, load, command))
            except (servers.NotInstalledError, servers.StartError) as error:
                missing[which.name] = str(error).partition("\n")[0]
            else:
                say(f"{TITLES[kind]}, {which.name}: {found[-1].summary}")
        report.tables.append(Table(f"One of ten backends: {TITLES[kind]}", COLUMNS, lines(found, missing)))
        report.requirements += judge(kind, found)
        report.figures += figures(kind, found)
        report.data["kinds"][str(kind)] = [asdict(one) for one in found]
    return report


def examine(which: Proxy, kind: Fault, load: Plan, command: tuple[str, ...]) -> Finding:
    """Let one backend become a black hole before one proxy."""
    ejections: list[float | None] = []
    swallowed: list[int] = []

    def during(backends: RunningFleet, one: RunningProxy, running: open_loop.Running) -> None:
        before = one.metric("pcs_gateway_ejections_total")
        backends.fault(HOLE, kind)
        running.sleep_until(load.duration)
        after = one.metric("pcs_gateway_ejections_total")
        ejections.append(None if before is None or after is None else after - before)
        swallowed.append(backends.counts()[HOLE].swallowed)

    _, loaded, _ = measure_block(which, FLEET, load, command, during)
    gets, posts = loaded.kinds["GET"], loaded.kinds["POST"]
    failures = {
        f"{method} {what}": count
        for method, one in loaded.kinds.items()
        for what, count in sorted(one.failures.items())
    }
    return Finding(
        row=which.name,
        gets=gets.requests,
        gets_failed=gets.failed,
        posts=posts.requests,
        posts_failed=posts.failed,
        failures=failures,
        ejections=ejections[0],
        swallowed=swallowed[0],
        last_failure=max((0.0, *gets.failed_at, *posts.failed_at)),
        p99=percentiles(loaded.times, (0.99,))[0],
    )


def lines(found: Sequence[Finding], missing: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """Return the lines of a table, those of what is missing too."""
    empty = [""] * (len(COLUMNS) - 2)
    return (*(line(one) for one in found), *((name, why, *empty) for name, why in missing.items()))


def line(one: Finding) -> tuple[str, ...]:
    """Return one line."""
    per_ejection = one.posts_per_ejection
    return (
        one.row,
        f"{one.gets:,}",
        f"{one.gets_failed:,} ({share(one.gets_failed / one.gets)})",
        f"{one.posts:,}",
        f"{one.posts_failed:,} ({share(one.posts_failed / one.posts)})",
        "not told" if one.ejections is None else f"{one.ejections:.0f}",
        "" if per_ejection is None else f"{per_ejection:.3g}",
        f"{one.swallowed:,}",
        f"{one.last_failure:.1f} s",
        milliseconds(one.p99),
    )


def judge(kind: Fault, found: Sequence[Finding]) -> list[Requirement]:
    """Say what held of what must hold for the gateway with retries."""
    gets, posts = (
        f"{TITLES[kind]}: GETs failed under {share(GET_LIMIT)}",
        f"{TITLES[kind]}: POSTs failed, at most {POST_LIMIT} per ejection",
    )
    ours = next((one for one in found if one.row == OURS), None)
    if ours is None:
        why = f"no row “{OURS}”"
        return [Requirement(gets, why, None), Requirement(posts, why, None)]
    ratio, spares = ours.gets_failed / ours.gets, ours.spares_posts
    seen = f"{ours.posts_failed:,} failed, {ours.ejections or 0:.0f} ejections"
    if spares is None:
        seen += ": too few requests to say"
    return [
        Requirement(gets, f"{share(ratio)} ({ours.gets_failed:,} of {ours.gets:,})", ratio < GET_LIMIT),
        Requirement(posts, seen, spares),
    ]


def figures(kind: Fault, found: Sequence[Finding]) -> list[Figure]:
    """Return the few figures for the whole comparison."""
    return [
        Figure(
            name=f"black-hole-{kind}-{method.lower()}",
            title=f"black hole, {TITLES[kind]}: {method}s failed",
            target=one.row,
            value=100 * failed / count if method == "GET" else failed,
            unit="%" if method == "GET" else "",
            budget=(100 * GET_LIMIT if method == "GET" else _post_budget(one)) if one.row == OURS else None,
            note=f"{failed:,} of {count:,}",
        )
        for one in found
        for method, failed, count in (
            ("GET", one.gets_failed, one.gets),
            ("POST", one.posts_failed, one.posts),
        )
    ]


def _post_budget(one: Finding) -> float | None:
    return None if one.spares_posts is None else POST_LIMIT * (one.ejections or 0.0)


def _options() -> argparse.Namespace:
    parser = command_line.parser("benchmarks.black_hole", __doc__)
    parser.add_argument("--requests", type=int, default=30_000, help="per cell")
    parser.add_argument("--warm", type=float, default=5.0, help="seconds before the fault begins")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of {', '.join(KINDS)}")
    parser.add_argument("--rows", action="append", default=[], help="a row's name; may be given again")
    parser.add_argument("--gateway-command", type=split_command, default=servers.GATEWAY_COMMAND)
    parser.add_argument("--output", type=Path, default=results.DIRECTORY)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
