"""
Putting a changed configuration file in force while traffic flows.

The law of this file: a file with a problem changes nothing; a good one reaches the workers as one snapshot
and closes no connection. Listening sockets and the number of workers are the supervisor's: a change of them
is asked of it, and when it cannot be done the old ones serve on while all else of the file is in force.
What only a restart applies is said, never ignored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec
import structlog

from pcs_gateway.clock import Clock
from pcs_gateway.control.configuration import Configuration, ConfigurationSource
from pcs_gateway.control.loop import ControlPlane
from pcs_gateway.errors import ConfigurationError, GatewayError
from pcs_gateway.processes.plan import ListenPlan, same_addresses

_log = structlog.get_logger()

Result = Literal["applied", "unchanged", "rejected", "incomplete"]
"""incomplete: in force but for the listening sockets or the number of workers."""


class Generations(Protocol):
    """Who has listening sockets and workers: the `SupervisorLink`."""

    async def new_generation(self, listen: Sequence[ListenPlan], workers: int) -> int:
        """Have these addresses served by so many new workers. Raises GatewayError."""
        ...

    def set_drain(self, delay: float, timeout: float) -> None:
        """Set the drain times, in seconds."""
        ...


class ReloadReport(msgspec.Struct, frozen=True):
    """
    What became of a reload.

    Attributes:
        result: "applied", "unchanged", "rejected" or "incomplete".
        file: The configuration file.
        version: Of the snapshot that workers apply now.
        since: When what is in force came into force, in Unix seconds, where nothing changed; else 0.0.
        by: Who or what asked for that.
        changed: Keys that differ from before.
        needs_restart: One line for each key that only a restart applies.
        notices: One line for each thing that an operator should know, such as a key that has no effect.
        generation: Number of the new generation of workers; None when none was needed.
        problems: Why it was rejected, or what is not in force.
    """

    result: Result
    file: str
    version: int
    since: float = 0.0
    by: str = ""
    changed: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    generation: int | None = None
    problems: tuple[str, ...] = ()


class Rejection(msgspec.Struct, frozen=True):
    """
    A file that cannot be used, so that the next start would fail.

    Attributes:
        time: When it was read, in Unix seconds.
        problems: Why.
    """

    time: float
    problems: tuple[str, ...]


class Reloader:
    """
    Reads the file again when it is told to, one time after another.

    Attributes:
        reports: How often each result came about since this process started.
        needs_restart: What the configuration in force still waits for.
        rejected: The file as it was read last, when it could not be used; None when it is in force.
    """

    def __init__(
        self,
        source: ConfigurationSource,
        plane: ControlPlane,
        generations: Generations,
        listen: Sequence[ListenPlan],
        workers: int,
        applied: Callable[[Configuration], None],
        clock: Clock,
    ) -> None:
        """
        Begin with what the supervisor serves now.

        Args:
            source: The file.
            plane: What applies it.
            generations: The supervisor.
            listen: Where clients connect now.
            workers: How many workers there are now.
            applied: Called with each configuration that came into force.
        """
        self._source = source
        self._plane = plane
        self._generations = generations
        self._listen = tuple(listen)
        self._workers = workers
        self._applied = applied
        self._clock = clock
        self._in_force = (0.0, "")
        self._lock = asyncio.Lock()
        self._has_begun = False
        self.reports: dict[str, int] = {}
        self.needs_restart: tuple[str, ...] = ()
        self.rejected: Rejection | None = None

    def __repr__(self) -> str:
        return f"<Reloader of {self._source.path}: {self.reports}>"

    @property
    def path(self) -> str:
        """The file, absolute."""
        return self._source.path

    async def reload(self, why: str) -> ReloadReport:
        """Read the file and put it in force; `why` says who or what asked for it."""
        async with self._lock:
            try:
                new = await asyncio.to_thread(self._source.read)
            except ConfigurationError as error:
                return self.reject(why, error)
            return await self._put_in_force(new, why)

    def reject(self, why: str, error: GatewayError) -> ReloadReport:
        """Report what is wrong with the file; what is in force stays."""
        problems = tuple(str(error).splitlines())
        self.rejected = Rejection(self._clock.time(), problems)
        report = ReloadReport(
            result="rejected",
            file=self._source.path,
            version=self._plane.publisher.version,
            needs_restart=self.needs_restart,
            problems=problems,
        )
        self._tell(why, report)
        return report

    async def put_in_force(self, new: Configuration, why: str) -> ReloadReport:
        """Apply a valid configuration and say what became of it."""
        async with self._lock:
            return await self._put_in_force(new, why)

    async def _put_in_force(self, new: Configuration, why: str) -> ReloadReport:
        old = self._plane.configuration
        changed = tuple(self._source.changed_keys(old, new)) if old else ()
        if changed or not self._has_begun:  # the first one is applied even if it is what workers have
            try:
                self._plane.apply(new)
            except GatewayError as error:
                return self.reject(why, error)
            self._applied(new)
            self._has_begun = True
        self._plane.configuration = new
        if new.digest:
            self.rejected = None
        self.needs_restart = tuple(self._source.needs_restart(self._plane.publisher.baseline, new))
        if old is None or (old.drain_delay, old.drain_timeout) != (new.drain_delay, new.drain_timeout):
            self._generations.set_drain(new.drain_delay, new.drain_timeout)
        problems, generation = await self._change_generation(new)
        is_unchanged = not changed and generation is None and old is not None
        if not is_unchanged or not self._in_force[0]:
            self._in_force = (self._clock.time(), why)
        since, by = self._in_force if is_unchanged and not problems else (0.0, "")
        result: Result = "unchanged" if is_unchanged else "applied"
        report = ReloadReport(
            result="incomplete" if problems else result,
            file=self._source.path,
            version=self._plane.publisher.version,
            since=since,
            by=by,
            changed=changed,
            needs_restart=self.needs_restart,
            notices=(*new.notices, *self._overridden_weights()),
            generation=generation,
            problems=problems,
        )
        self._tell(why, report)
        return report

    def _overridden_weights(self) -> list[str]:
        """Return one line for each backend whose weight is another than the file says."""
        return [
            f"{standing.key.pool}/{standing.config.name} keeps the weight {standing.weight} that an operator "
            f"gave it; the file says {standing.config.weight}"
            for standing in self._plane.roster
            if standing.weight != standing.config.weight
        ]

    async def _change_generation(self, new: Configuration) -> tuple[tuple[str, ...], int | None]:
        """Have new addresses or another number of workers served; return what went wrong, and the number."""
        if same_addresses(self._listen, new.listen) and self._workers == new.workers:
            return (), None
        try:
            generation = await self._generations.new_generation(new.listen, new.workers)
        except GatewayError as error:
            return (f"listen, workers: not applied, the old ones serve on: {error}",), None
        self._listen, self._workers = tuple(new.listen), new.workers
        return (), generation

    def _tell(self, why: str, report: ReloadReport) -> None:
        """Count and log a report."""
        self.reports[report.result] = self.reports.get(report.result, 0) + 1
        facts = {name: value for name, value in msgspec.structs.asdict(report).items() if value}
        del facts["result"]
        log = _log.error if report.problems else _log.info
        log(f"configuration_{report.result}", why=why, **facts)
        for line in report.needs_restart:
            _log.warning("needs_restart", what=line)
