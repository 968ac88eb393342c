"""
What clients see when something dies, hangs, changes or ends: the whole gateway, real processes, real time.

    python -m benchmarks.resilience                 # everything, within eight minutes
    python -m benchmarks.resilience control drain   # scenarios whose name contains one of these words

Prints one line for each scenario: requests by outcome, and the durations that matter. A line that begins
with NO tells that a requirement was missed; the exit status is then 1.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import command_line
from tests.fakes.processes.gateway import eventually, is_alive
from tests.fakes.processes.whole import Instance, WholeGateway, backends, get, instances
from tests.fakes.traffic import Traffic, traffic

PATH = "/api/v1/prompts/?size=3"
CHECK = {"path": "/api/v1/health/readiness"}
RATE = 200.0
"""GETs per second."""


class SampleInstance(Instance):
    """An instance of the sample PCS."""

    def command(self) -> list[str]:
        return ["pcs_gateway.sample", "--port", str(self.port), "--instance", self.name]

    def port_in(self, told: str) -> int:
        found = re.search(r"http://[^:]+:(\d+)", told)
        assert found is not None, told
        return int(found.group(1))


@dataclass
class Finding:
    """
    What one scenario found.

    Attributes:
        outcomes: Requests by outcome, by the kind of client.
        figures: Durations and counts that matter, as they are to be printed.
        holds: What is required, and whether it was so.
    """

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    figures: dict[str, str] = field(default_factory=dict)
    holds: dict[str, bool] = field(default_factory=dict)

    def count(self, **loads: Traffic) -> None:
        """Add the outcomes of traffic that has ended."""
        for name, load in loads.items():
            counts = self.outcomes.setdefault(name.replace("_", " "), Counter())
            counts += Counter({"answered": load.answered, **load.failures})

    def seconds(self, name: str, value: float) -> None:
        """Add a duration."""
        self.figures[name] = f"{value:.2f} s"

    def lost(self, **loads: Traffic) -> int:
        """How many requests that were sent got no answer as they should; counts the traffic too."""
        self.count(**loads)
        return sum(sum(load.losses.values()) for load in loads.values())


@contextlib.contextmanager
def gateway(
    these: list[Instance], workers: int = 2, pool: dict[str, Any] | None = None, **sections: Any
) -> Iterator[WholeGateway]:
    """Run a gateway before these instances, ready."""
    with tempfile.TemporaryDirectory(prefix="resilience-") as directory:
        one = WholeGateway(Path(directory), configuration(these, workers, pool, **sections))
        try:
            one.wait_until_ready(workers, len(these))
            yield one
        finally:
            one.stop()


def configuration(
    these: list[Instance], workers: int = 2, pool: dict[str, Any] | None = None, **sections: Any
) -> dict[str, Any]:
    """Give defaults but for what is named here."""
    pcs = {"backends": backends(these), "health_check": CHECK, "strategy": "round_robin", **(pool or {})}
    return {"workers": workers, "pools": {"pcs": pcs}, **sections}


@contextlib.contextmanager
def clients(address: str, rate: float = RATE) -> Iterator[tuple[Traffic, Traffic]]:
    """GETs on kept-alive connections, and a quarter as many on a connection each."""
    with (
        traffic(address, PATH, target_rps=rate) as kept_alive,
        traffic(address, PATH, target_rps=rate / 4, keep_alive=False, concurrent_users=2000) as new,
    ):
        yield kept_alive, new


def instance_dies(three: list[Instance], finding: Finding) -> None:
    """One of three instances is killed under load and started again; default checks."""
    with gateway(three) as one, clients(one.address) as (kept_alive, new):
        time.sleep(2)
        _out_and_back(one, finding, three[0].kill, three[0].start)
        time.sleep(2)
    finding.holds["no client error"] = finding.lost(kept_alive=kept_alive, new=new) == 0


def instance_hangs(three: list[Instance], finding: Finding) -> None:
    """One of three instances is stopped and goes on later; default checks, head within 2 s."""
    with gateway(three, timeouts={"response_head": "2s"}) as one, clients(one.address) as (kept_alive, new):
        time.sleep(2)
        process = three[0].process
        _out_and_back(
            one,
            finding,
            lambda: process.send_signal(signal.SIGSTOP),
            lambda: process.send_signal(signal.SIGCONT),
        )
        time.sleep(3)
    finding.count(kept_alive=kept_alive, new=new)
    finding.holds["nothing but 504 of what it held"] = {"504"} >= {*kept_alive.failures, *new.failures}


def _out_and_back(
    one: WholeGateway, finding: Finding, hit: Callable[[], None], help_up: Callable[[], None]
) -> None:
    began = time.monotonic()
    hit()
    eventually(lambda: not one.backend("i0")["ready"], "not ready", 60)
    finding.seconds("no attempts after", time.monotonic() - began)
    eventually(lambda: one.backend("i0")["health"]["status"] == "unhealthy", "unhealthy", 60)
    out = time.monotonic() - began
    finding.seconds("unhealthy after", out)
    help_up()
    began = time.monotonic()
    eventually(lambda: one.backend("i0")["ready"], "ready", 60)
    back = time.monotonic() - began
    finding.seconds("ready again after", back)
    finding.holds["out within interval, 2 fast intervals and 3 timeouts"] = out < 5.5 + 2 * 1.1 + 3 * 2
    finding.holds["back after 2 checks: interval and fast interval"] = back < 5.5 + 1.1 + 1


def control_dies(three: list[Instance], finding: Finding) -> None:
    """The control process is killed under load."""
    with gateway(three) as one, clients(one.address) as (kept_alive, new):
        before, control = _standing(one), one.control
        time.sleep(1)
        began = time.monotonic()
        os.kill(control, signal.SIGKILL)
        eventually(lambda: one.events("first_round_of_checks_over"), "a successor", 60)
        finding.seconds("successor has checked all after", time.monotonic() - began)
        _compare(one, finding, before)
    finding.holds["no client sees anything"] = finding.lost(kept_alive=kept_alive, new=new) == 0


def control_hangs(three: list[Instance], finding: Finding) -> None:
    """For 60 s every control process is stopped as soon as it appears."""
    with gateway(three) as one, clients(one.address) as (kept_alive, new):
        before = _standing(one)
        until = time.monotonic() + 60
        stopped: set[int] = set()
        while time.monotonic() < until:
            for pid in one.processes("pcs_gateway.control_process"):
                if pid not in stopped:
                    os.kill(pid, signal.SIGSTOP)
                    stopped.add(pid)
            time.sleep(0.02)
        finding.figures["control processes stopped"] = str(len(stopped))
        eventually(lambda: one.events("first_round_of_checks_over"), "a successor", 60)
        _compare(one, finding, before)
    finding.holds["no client sees anything"] = finding.lost(kept_alive=kept_alive, new=new) == 0


def worker_starts_without_control(three: list[Instance], finding: Finding) -> None:
    """The control process is stopped, then the only worker dies: the next one begins with what is stored."""
    with gateway(three, workers=1) as one:
        os.kill(one.control, signal.SIGSTOP)
        os.kill(one.workers[0], signal.SIGKILL)
        answer = get(one.address, PATH)
        finding.outcomes["new"] = Counter({str(answer.status): 1})
        finding.seconds("a new connection waited", answer.duration)
        finding.holds["answered, although both are away"] = answer.status == 200


def worker_dies(three: list[Instance], finding: Finding) -> None:
    """One of two workers is killed under load, then the only worker of another gateway, young and old."""
    with gateway(three) as one, clients(one.address) as (kept_alive, new):
        time.sleep(2)
        in_flight = _in_flight(one)
        os.kill(one.workers[0], signal.SIGKILL)
        time.sleep(4)
    lost = finding.lost(kept_alive=kept_alive, new=new)
    finding.figures["in flight on all workers just before"] = str(in_flight)
    finding.seconds("two workers: longest wait", max(new.longest, kept_alive.longest))
    finding.holds["few are lost"] = lost <= max(in_flight, 2)
    waits = []
    with gateway(three, workers=1) as one:
        for age in (1, 11, 11):
            time.sleep(age)
            os.kill(one.workers[0], signal.SIGKILL)
            waits.append(get(one.address, PATH).duration)
    finding.figures["one worker: a new connection waited"] = ", ".join(f"{wait:.2f} s" for wait in waits)
    finding.holds["no new connection waits longer than a second"] = max(*waits, new.longest) < 1.0


def worker_hangs(three: list[Instance], finding: Finding) -> None:
    """One of two workers is stopped under load while users hold many connections."""
    with gateway(three) as one, traffic(one.address, PATH, concurrent_users=40, think_time=0.05) as users:
        time.sleep(2)
        worker = one.workers[0]
        held = {row["pid"]: row["client_connections"] for row in one.status()["workers"]}[worker]
        os.kill(worker, signal.SIGSTOP)
        began = time.monotonic()
        with traffic(one.address, PATH, target_rps=50, keep_alive=False, concurrent_users=2000) as new:
            eventually(lambda: not is_alive(worker), "killed", 60)
            finding.seconds("killed after", time.monotonic() - began)
            one.wait_until_ready(2, 3)
            finding.seconds("replaced after", time.monotonic() - began)
    finding.figures["connections it held"] = str(held)
    finding.seconds("a new connection waited at most", new.longest)
    finding.holds["only its own are lost"] = finding.lost(users=users) <= held
    finding.holds["no new connection is lost or waits a second"] = (
        finding.lost(new=new) == 0 and new.longest < 1.0
    )


def supervisor_dies(three: list[Instance], finding: Finding) -> None:
    """The supervisor is killed under load: workers drain and exit."""
    with gateway(three, drain_timeout="5s") as one:
        everybody = [one.control, *one.workers]
        with clients(one.address) as (kept_alive, new):
            time.sleep(1)
            began = time.monotonic()
            one.signal(signal.SIGKILL)
            eventually(lambda: not any(map(is_alive, everybody)), "all gone", 60)
            finding.seconds("all gone after", time.monotonic() - began)
    finding.holds["nobody is left"] = not any(map(is_alive, everybody))
    finding.holds["every request that was sent is answered"] = (
        finding.lost(kept_alive=kept_alive, new=new) == 0
    )


def reloads(three: list[Instance], finding: Finding) -> None:
    """Ten reloads by file, SIGHUP and admin API, a bad file, and new generations, under load."""
    with gateway(three, workers=1) as one:
        with (
            traffic(one.address, PATH, concurrent_users=16, think_time=0.01) as users,
            traffic(one.address, PATH, target_rps=50, keep_alive=False, concurrent_users=2000) as new,
        ):
            for number in range(10):
                these = three[: 2 + number % 2]
                one.write(configuration(these, 1, limits={"connections": 9000 + number}))
                (lambda: one.signal(signal.SIGHUP), lambda: one.ask("/api/v1/reload", {}), int)[number % 3]()
                _wait_until_applied(one, number + 2)
            one.write(configuration(three, 1, limits={"conections": 1}))
            eventually(lambda: one.events("configuration_rejected"), "rejected")
        finding.figures["connections of 16 users"] = str(users.connections)
        finding.holds["no error, no closed connection"] = (
            finding.lost(reloads_users=users, reloads_new=new) == 0 and users.connections == 16
        )
        with (
            traffic(one.address, PATH, concurrent_users=16) as kept_alive,
            traffic(one.address, PATH, concurrent_users=4, pipelined_requests=8) as pipelining,
            traffic(one.address, PATH, target_rps=50, keep_alive=False, concurrent_users=2000) as new,
        ):
            for workers in (2, 4, 1):
                began = time.monotonic()
                one.write(configuration(three, workers))
                one.wait_until_ready(workers, 3)
                finding.seconds(f"{workers} workers alone serve after", time.monotonic() - began)
        finding.holds["new generations without an error"] = (
            finding.lost(kept_alive=kept_alive, pipelining=pipelining, new=new) == 0
        )


def drain(three: list[Instance], finding: Finding) -> None:
    """SIGTERM under load, ten times, with 1, 2 and 4 workers, with and without drain_delay."""
    lost, unready, statuses = 0, [], Counter[int]()
    for number in range(10):
        workers, delay = (1, 2, 4)[number % 3], ("0s", "1s")[number % 2]
        with gateway(three, workers, drain_delay=delay) as one:
            with (
                traffic(one.address, PATH, concurrent_users=8) as kept_alive,
                traffic(one.address, PATH, concurrent_users=8, keep_alive=False) as new,
                traffic(one.address, PATH, concurrent_users=8, pipelined_requests=8) as pipelining,
                traffic(one.address, PATH, target_rps=50, concurrent_users=500) as occasional,
            ):
                time.sleep(1.5)
                one.signal(signal.SIGTERM)
                unready.append(_seconds_until_unready(one))
                statuses[one.process.wait(60)] += 1
            lost += finding.lost(kept_alive=kept_alive, new=new, pipelining=pipelining, occasional=occasional)
    finding.figures["/readyz 503 after at most"] = f"{max(unready) * 1000:.0f} ms"
    finding.figures["exit statuses"] = str(dict(statuses))
    finding.holds["every request that was sent is answered, no reset"] = lost == 0
    finding.holds["exit status 0"] = set(statuses) == {0}


def orders(three: list[Instance], finding: Finding) -> None:
    """An administrative drain under load; turns over 1, 2 and 4 workers."""
    with gateway(three, 1) as one:
        turns = Counter[str]()
        for workers in (1, 2, 4):
            one.write(configuration(three, workers))
            one.wait_until_ready(workers, 3)
            for _ in range(5):
                nine = Counter(get(one.address, PATH).instance for _ in range(9))
                turns["/".join(str(nine[name]) for name in ("i0", "i1", "i2"))] += 1
        with clients(one.address) as (kept_alive, new):
            time.sleep(1)
            began = time.monotonic()
            status, answer = one.order("i0", "drain")
            finding.seconds("drain answered after", time.monotonic() - began)
            answered = kept_alive.instances["i0"] + new.instances["i0"]
            time.sleep(1)
            late = kept_alive.instances["i0"] + new.instances["i0"] - answered
    finding.figures["nine requests"] = str(dict(turns))
    finding.holds["turns are exact"] = set(turns) == {"3/3/3"}
    finding.holds["empty when it says so"] = (status, answer["drain"]["empty"], late) == (200, True, 0)
    finding.holds["no client error"] = finding.lost(kept_alive=kept_alive, new=new) == 0


def _standing(one: WholeGateway) -> dict[str, Any]:
    status = one.status()
    ready = {member["name"]: member["ready"] for member in status["pools"]["pcs"]["backends"]}
    return {"ready": ready, "version": status["configuration"]["snapshot_version"]}


def _compare(one: WholeGateway, finding: Finding, before: dict[str, Any]) -> None:
    after = _standing(one)
    finding.holds["continues: readiness, version, no flip"] = (
        after["ready"] == before["ready"]
        and after["version"] >= before["version"]
        and len(one.events("backend_ready")) == len(before["ready"])
    )


def _wait_until_applied(one: WholeGateway, count: int) -> None:
    eventually(lambda: len(one.events("configuration_applied")) == count, f"{count} applied")


def _seconds_until_unready(one: WholeGateway) -> float:
    began = time.monotonic()
    eventually(lambda: one.ask("/readyz")[0] == 503, "/readyz says 503", 5)
    return time.monotonic() - began


def _in_flight(one: WholeGateway) -> int:
    return sum(member["active_connections"] for member in one.status()["pools"]["pcs"]["backends"])


SCENARIOS: dict[str, Callable[[list[Instance], Finding], None]] = {
    "instance-dies": instance_dies,
    "instance-hangs": instance_hangs,
    "control-dies": control_dies,
    "control-hangs-60s": control_hangs,
    "worker-starts-without-control": worker_starts_without_control,
    "worker-dies": worker_dies,
    "worker-hangs": worker_hangs,
    "supervisor-dies": supervisor_dies,
    "reloads": reloads,
    "drain": drain,
    "orders": orders,
}


def main() -> int:
    """Run the scenarios that are asked for; 0 when all holds."""
    options = command_line.parser("benchmarks.resilience", __doc__)
    options.add_argument("words", nargs="*", metavar="word", help=f"of {', '.join(SCENARIOS)}")
    words = options.parse_args().words
    missed = 0
    for name, scenario in SCENARIOS.items():
        if words and not any(word in name for word in words):
            continue
        finding, began = Finding(), time.monotonic()
        with instances(3, SampleInstance) as three:
            scenario(three, finding)
        missed += list(finding.holds.values()).count(False)
        _print(name, scenario.__doc__ or "", finding, time.monotonic() - began)
    return 1 if missed else 0


def _print(name: str, story: str, finding: Finding, seconds: float) -> None:
    print(f"\n{name} ({seconds:.0f} s): {story}")
    for kind, counts in finding.outcomes.items():
        print(f"    {kind}: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    for figure, value in finding.figures.items():
        print(f"    {figure}: {value}")
    for requirement, held in finding.holds.items():
        print(f"{'yes' if held else 'NO':>5} {requirement}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
