"""A control plane whose workers, backends and names are under a test's control."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from pcs_gateway.backends.health import CheckResult
from pcs_gateway.backends.pool import PoolSnapshot
from pcs_gateway.clock import Clock
from pcs_gateway.control.configuration import Configuration
from pcs_gateway.control.health.target import Target
from pcs_gateway.control.loop import ControlPlane
from pcs_gateway.control.publishing import Publisher
from pcs_gateway.control.resolving import Resolution, UnresolvedError, literal
from pcs_gateway.control.roster import Roster
from pcs_gateway.control.state import StateFile
from pcs_gateway.control_process import FileSource
from pcs_gateway.errors import GatewayError
from pcs_gateway.processes.messages import PoolUpdate, Snapshot, Verdict, replace_pool
from pcs_gateway.processes.plan import ControlPlan, ListenPlan
from pcs_gateway.processes.scoreboard import Scoreboard

PASSED = CheckResult(passed=True, detail="status 200")
REFUSED = CheckResult(passed=False, detail="connection refused")


class Workers:
    """
    Takes what is published, as the channel would.

    Attributes:
        messages: Everything, in order.
        snapshot: What a worker applies now.
        acknowledged: What all of them have acknowledged; None: whatever was published last.
    """

    def __init__(self) -> None:
        self.messages: list[Snapshot | PoolUpdate | Verdict] = []
        self.snapshot: Snapshot | None = None
        self.acknowledged: int | None = None

    def publish(self, snapshot: Snapshot) -> None:
        self.messages.append(snapshot)
        self.snapshot = snapshot

    def update(self, update: PoolUpdate) -> None:
        assert self.snapshot is not None
        assert update.version > self.snapshot.version
        self.messages.append(update)
        self.snapshot = replace_pool(self.snapshot, update)

    def tell(self, verdict: Verdict) -> None:
        self.messages.append(verdict)

    def acknowledged_by_all(self) -> int:
        published = self.snapshot.version if self.snapshot else 0
        return published if self.acknowledged is None else self.acknowledged

    def snapshots(self) -> list[Snapshot]:
        """The whole snapshots, without updates."""
        return [message for message in self.messages if isinstance(message, Snapshot)]

    def pool(self, name: str = "pcs") -> PoolSnapshot:
        """A pool as workers know it."""
        assert self.snapshot is not None
        return next(pool for pool in self.snapshot.pools if pool.name == name)

    def ready(self, pool: str = "pcs") -> list[bool]:
        """Readiness of a pool's backends as workers know it."""
        return [backend.ready for backend in self.pool(pool).backends]

    def reasons(self, pool: str = "pcs") -> list[str]:
        """Why its backends are not ready."""
        return [backend.reason for backend in self.pool(pool).backends]


class Backends:
    """
    Answers checks as told.

    Attributes:
        results: By URL; whoever is not listed passes.
        checked: URLs, in order.
    """

    def __init__(self) -> None:
        self.results: dict[str, CheckResult] = {}
        self.checked: list[str] = []

    async def check(self, target: Target) -> CheckResult:
        self.checked.append(target.url)
        return self.results.get(target.url, PASSED)


class Names:
    """
    Resolves as told; literals are themselves.

    Attributes:
        addresses: By host; whoever is not listed does not exist.
    """

    def __init__(self) -> None:
        self.addresses: dict[str, tuple[str, ...]] = {}

    async def lookup(self, host: str) -> Resolution:
        if found := literal(host):
            return found
        if host not in self.addresses:
            raise UnresolvedError(f"{host} does not exist in DNS")
        return Resolution(self.addresses[host], 10.0)


class Generations:
    """
    Starts generations as told.

    Attributes:
        requests: What was asked for.
        error: Why it fails; empty when it does not.
        drain: The drain times that were set last.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[tuple[str, ...], int]] = []
        self.error = ""
        self.drain: tuple[float, float] | None = None

    async def new_generation(self, listen: Sequence[ListenPlan], workers: int) -> int:
        self.requests.append((tuple(one.address for one in listen), workers))
        if self.error:
            raise GatewayError(self.error)
        return len(self.requests) + 1

    def set_drain(self, delay: float, timeout: float) -> None:
        self.drain = (delay, timeout)


class Control:
    """
    A control plane and all that surrounds it.

    Attributes:
        plane: The one under test.
    """

    def __init__(self, clock: Clock, directory: Path, before: Control | None = None) -> None:
        """Begin anew, or as a successor of the process `before` with the same workers."""
        self.clock = clock
        self.directory = directory
        self.workers: Workers = before.workers if before else Workers()
        self.backends: Backends = before.backends if before else Backends()
        self.names: Names = before.names if before else Names()
        self.scoreboard: Scoreboard = before.scoreboard if before else Scoreboard.create()
        self.file = StateFile(directory)
        snapshot = self.workers.snapshot
        state = self.file.load()
        roster = Roster(clock)
        if state is not None:
            roster.restore(state, continues=snapshot is not None)
        version = max(state.version if state else 0, snapshot.version if snapshot else 0)
        self.publisher = Publisher(
            self.workers, self.file, roster, version, snapshot.pools if snapshot else ()
        )
        self.plane = ControlPlane(
            clock,
            Random(3),
            roster,
            self.publisher,
            self.workers,
            self.scoreboard,
            self.backends.check,
            self.names.lookup,
        )


def control_plan(directory: Path, **changes: Any) -> ControlPlan:
    """A plan without descriptors, for a configuration file in `directory`."""
    values: dict[str, Any] = {
        "row": 0,
        "incarnation": 1,
        "generation": 0,
        "scoreboard_fd": -1,
        "ticket_fds": (),
        "lifeline_fd": -1,
        "listeners": (),
        "state_directory": str(directory),
        "drain_delay": 0.0,
        "drain_timeout": 30.0,
        "config": str(directory / "gateway.yaml"),
        "workers": 1,
        "workers_fixed": False,
        "link_fd": -1,
        "admin": "127.0.0.1:9901",
        "admin_bound": "127.0.0.1:9901",
        "admin_fd": -1,
    }
    return ControlPlan(**(values | changes))


def configuration(directory: Path, pools: str, more: str = "workers: 1") -> Configuration:
    """The configuration with these pools, as YAML flow."""
    (directory / "gateway.yaml").write_text(f"pools: {pools}\n{more}\n")
    return FileSource(control_plan(directory), {}).read()
