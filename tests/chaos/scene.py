"""
A whole gateway before three instances, under traffic, on which faults are tried out.

What counts is what clients saw, by outcome; that nothing leaked; and that all is well again afterwards.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.fakes.processes.gateway import eventually
from tests.fakes.processes.whole import Instance, WholeGateway, backends, instances
from tests.fakes.traffic import Traffic, traffic

LOOKS = 10
LOOK_SECONDS = 0.05
ACCESS_LOG = 1
"""One more descriptor, at some time, where an access log is written. What leaks does so in each case."""

PATIENCE = 20.0
"""Seconds within which everything has recovered."""

TIMEOUTS = {
    "connect": "500ms",
    "request_head": "1s",
    "response_head": "500ms",
    "stream_idle": "1s",
    "request_total": "3s",
}
POOL = {
    "health_check": {
        "path": "/health",
        "interval": "300ms",
        "fast_interval": "100ms",
        "timeout": "400ms",
        "rise": 2,
        "fall": 2,
    },
    "outlier_detection": {"consecutive_failures": 5, "base_ejection": "500ms"},
    "connections": {"max_per_backend": 64, "idle_timeout": "300ms"},
    "retry": {"attempts": 2, "on": ["connect_failure", "reset_before_response", 502, 503, 504]},
}


@dataclass
class Scene:
    """
    One gateway and what stands around it.

    Attributes:
        gateway: With `workers` workers.
        three: The instances; the first is the one that is struck.
        load: Requests on kept-alive connections, while a case runs.
        fresh: Requests on connections of their own, likewise.
        idle: Descriptors of sockets, and all others, that an idle worker has open.
        is_sound: Nothing is wrong with it, so that another case may begin here.
    """

    three: list[Instance]
    workers: int
    sections: dict[str, Any]
    idle: tuple[int, int] = (0, 0)
    is_sound: bool = True
    notes: dict[str, Any] = field(default_factory=dict)
    """What a fault needs to remember until it is healed."""
    gateway: WholeGateway = field(init=False)
    load: Traffic = field(init=False)
    fresh: Traffic = field(init=False)

    @property
    def struck(self) -> Instance:
        return self.three[0]

    def configuration(self, weight: int = 1) -> dict[str, Any]:
        """The gateway's file; another weight makes it another file."""
        members = backends(self.three)
        members[1]["weight"] = weight
        return {"workers": self.workers, "pools": {"pcs": {"backends": members, **POOL}}, **self.sections}

    # under way

    def reload(self) -> None:
        """Change the file twice, so that it ends as it began."""
        for weight in (2, 1):
            before = self.gateway.status()["configuration"]["snapshot_version"]
            self.gateway.write(self.configuration(weight))
            eventually(partial(self._is_newer_than, before), "a reload")

    def _is_newer_than(self, version: int) -> bool:
        return bool(self.gateway.status()["configuration"]["snapshot_version"] > version)

    def answers(self, more: int) -> None:
        """Wait until so many more answers have come."""
        goal = self.load.answered + more
        eventually(lambda: self.load.answered >= goal, f"{more} more answers", PATIENCE)

    # afterwards

    def recovers(self) -> None:
        """Wait until all workers are there, all instances are ready, and the struck one answers clients."""
        self.gateway.wait_until_ready(self.workers, len(self.three))
        goal = self.load.instances[self.struck.name] + 5
        eventually(
            lambda: self.load.instances[self.struck.name] >= goal, "answers of who was struck", PATIENCE
        )

    def leftovers(self) -> dict[str, Any]:
        """What should be gone when nobody asks any more."""
        status = self.gateway.status()
        in_flight = {
            one["name"]: one["active_connections"]
            for one in status["pools"]["pcs"]["backends"]
            if one["active_connections"]
        }
        clients = sum(one["client_connections"] for one in status["workers"])
        found = {
            "in flight": in_flight,
            "connections of clients": clients,
            "descriptors": [
                one for pid in self.gateway.workers if not self._is_idle(one := descriptors(pid))
            ],
        }
        return {what: left for what, left in found.items() if left}

    def _is_idle(self, found: tuple[int, int]) -> bool:
        return found[0] == self.idle[0] and found[1] <= self.idle[1]

    def settles(self) -> None:
        """Wait until nothing is left over."""
        try:
            eventually(lambda: not self.leftovers(), "nothing is left over", PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"left over: {self.leftovers()}") from error

    @property
    def unexpected(self) -> list[dict[str, Any]]:
        """Faults of our own that the gateway's processes logged."""
        lines = [json.loads(line) for line in self.gateway.text().splitlines() if line.startswith("{")]
        return [line for line in lines if "exception" in line]


def descriptors(pid: int) -> tuple[int, int]:
    """How many descriptors of sockets, and how many others, a process has open."""
    links = [_target(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    sockets = sum(target.startswith("socket:") for target in links)
    return sockets, sum(map(bool, links)) - sockets


def _fewest_descriptors(pid: int) -> tuple[int, int]:
    """How many it has open when nothing goes on: a check or a message may be under way in a moment."""
    looks = []
    for _ in range(LOOKS):
        looks.append(descriptors(pid))
        time.sleep(LOOK_SECONDS)
    return min(sockets for sockets, _ in looks), min(others for _, others in looks)


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""


@contextmanager
def scene(directory: Path, workers: int, **sections: Any) -> Iterator[Scene]:
    """Start everything and wait until it is quiet; end it with the block."""
    directory.mkdir(parents=True, exist_ok=True)
    with instances(3) as three:
        settings = {"timeouts": TIMEOUTS, **sections}
        made = Scene(three, workers, settings)
        made.gateway = WholeGateway(directory, made.configuration())
        try:
            made.gateway.wait_until_ready(workers, len(three))
            sockets, others = _fewest_descriptors(made.gateway.workers[0])
            made.idle = sockets, others + ACCESS_LOG
            yield made
        finally:
            made.gateway.stop()


@contextmanager
def under_traffic(on: Scene) -> Iterator[None]:
    """150 GETs a second on kept-alive connections, and 25 each on one of its own."""
    common: dict[str, Any] = {"concurrent_users": 200, "timeout": 10.0}
    with (
        traffic(on.gateway.address, target_rps=25, keep_alive=False, **common) as on.fresh,
        traffic(on.gateway.address, target_rps=150, **common) as on.load,
    ):
        on.answers(30)
        yield
