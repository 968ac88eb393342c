"""
The main loop of the control plane: what it knows of backends, kept up to date and published.

Everything that changes the roster passes through `ControlPlane`: a configuration, a check, evidence, an
address, an operator's order, and time. Each ends in the same way: pools that became different are published.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from random import Random
from typing import Protocol

import structlog

from pcs_gateway.backends.backend import AdministrativeState
from pcs_gateway.backends.health import CheckResult
from pcs_gateway.clock import Clock
from pcs_gateway.control.configuration import Configuration
from pcs_gateway.control.ejecting import Ejector
from pcs_gateway.control.health.prober import Check, Prober
from pcs_gateway.control.health.target import Target, TargetTls
from pcs_gateway.control.publishing import Channel, Publisher
from pcs_gateway.control.repeating import repeat
from pcs_gateway.control.resolving import Lookup, Resolver
from pcs_gateway.control.roster import Roster
from pcs_gateway.control.standing import BackendKey, Standing
from pcs_gateway.processes.messages import EvidenceEntry, Hello, Verdict
from pcs_gateway.telemetry.repeated_lines import RepeatedLines

TICK_SECONDS = 0.1
"""How exactly ejections end and checks grow too old."""

STOPPED_SECONDS = 1.0
"""A pause between two ticks from which on this process counts as having been stopped."""

STORE_EVERY_SECONDS = 5.0
"""How old the stored time of the last checks may be."""

_log = structlog.get_logger()


class Workers(Channel, Protocol):
    """What the control plane has of the workers: the `ChannelServer`."""

    def tell(self, verdict: Verdict) -> None:
        """Give every connected worker this verdict."""
        ...

    def acknowledged_by_all(self) -> int:
        """Return the version that every living worker has acknowledged."""
        ...


class Counts(Protocol):
    """What the control plane reads of the `Scoreboard`."""

    def in_flight(self, column: int) -> int:
        """Return the attempts in flight on one backend, over all processes."""
        ...

    def column_is_zero(self, column: int) -> bool:
        """Return whether nobody counts in this column."""
        ...


class ControlPlane:
    """
    Keeps the roster up to date and the workers informed.

    Attributes:
        roster: All backends.
        publisher: What workers were told.
        ejector: What became of evidence.
        configuration: In force; None before the first `apply`.
    """

    def __init__(
        self,
        clock: Clock,
        random: Random,
        roster: Roster,
        publisher: Publisher,
        workers: Workers,
        counts: Counts,
        check: Check,
        lookup: Lookup,
    ) -> None:
        """Take what a successor begins with (`roster`, `publisher`), and the seams to everything outside."""
        self.roster = roster
        self.publisher = publisher
        self.configuration: Configuration | None = None
        self.ejector = Ejector(roster, clock, workers.tell, publisher.update)
        self._clock = clock
        self._random = random
        self._workers = workers
        self._counts = counts
        self._resolver = Resolver(lookup, clock, self._readdress)
        self._prober = Prober(check, self, clock)
        self._awake_since = self._last_tick = self._last_store = clock.monotonic()
        self._repeated = RepeatedLines()
        self._ticking: asyncio.Task[None] | None = None
        self._ruling: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<ControlPlane: {self.roster!r}, {self.publisher!r}>"

    def start(self) -> None:
        """Begin to tick."""
        self._ticking = asyncio.create_task(repeat(self.tick, self._clock, "control plane"))

    async def close(self) -> None:
        """Stop checking and resolving, and store what is known for a successor."""
        running = [task for task in (self._ticking, self._ruling) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._prober.close()
        await self._resolver.close()
        self.publisher.store()

    def apply(self, configuration: Configuration) -> None:
        """
        Put a configuration in force and publish it; what is known of backends is carried over.

        Raises:
            ColumnsExhaustedError, TooManyPoolsError: It does not fit now; nothing is changed.
        """
        self._reclaim_columns()
        for key in self.roster.apply(configuration.pools, self.publisher.version + 1):
            _log.info("backend_removed", pool=key.pool, url=key.url)
        self.configuration = configuration
        self.ejector.keep(configuration.pools)
        for standing in self.roster:
            if standing.addresses:
                self._resolver.remember(standing.host, standing.addresses)
        self._resolver.follow({standing.host for standing in self.roster})
        self._take_addresses(self.roster)
        self._prober.follow({standing.key: self._target(standing) for standing in self.roster})
        self.publisher.publish(configuration.document, configuration.files)

    # Orders of an operator.

    def order(self, standing: Standing, state: AdministrativeState) -> int:
        """Set the administrative state; return the version in which workers learn of it."""
        if standing.administrative_state is not state:
            _log.info(
                "backend_ordered",
                pool=standing.key.pool,
                backend=standing.config.name,
                administrative_state=str(state),
                before=str(standing.administrative_state),
            )
            standing.administrative_state = state
            self.publisher.update([standing])
        return self.publisher.version

    def reweigh(self, standing: Standing, weight: int | None) -> int:
        """Override the configured weight; None ends the override. Return the version workers learn it in."""
        before = standing.weight
        standing.weight_override = weight
        _log.info(
            "backend_reweighed",
            pool=standing.key.pool,
            backend=standing.config.name,
            weight=standing.weight,
            before=before,
            configured=standing.config.weight,
        )
        self.publisher.update([standing])
        self.publisher.store()
        return self.publisher.version

    # What checks say (HealthBook).

    async def is_resolved(self, host: str) -> None:
        """Return when the first attempt to resolve `host` is over."""
        await self._resolver.is_resolved(host)

    def observe(self, key: BackendKey, result: CheckResult, started: float) -> None:
        """Take the result of a check; one that this process was stopped in says nothing of the backend."""
        if started < self._awake_since:
            return
        if result.is_void and self._repeated.may_say("check_not_made", self._clock.monotonic()):
            _log.error("check_not_made", pool=key.pool, url=key.url, reason=result.detail)
        was_holding = self.roster.is_holding
        self.roster.observe(key, result)
        if was_holding and not self.roster.is_holding:
            _log.info("first_round_of_checks_over")
            self.publisher.update(self.roster)
        elif standing := self.roster.at(key):
            self.publisher.update([standing])

    def pause(self, key: BackendKey) -> float:
        """Return the seconds from the start of one check to the start of the next."""
        standing = self.roster.at(key)
        if standing is None:
            return STORE_EVERY_SECONDS  # removed: its task is about to end
        return standing.tracker.pause(self.roster.pools[key.pool].health_check, self._random)

    # What workers say.

    def on_evidence(self, worker: Hello, entries: tuple[EvidenceEntry, ...]) -> None:
        """Judge what traffic says about backends."""
        self.ejector.judge(entries)
        if self.ejector.next_ruling is not None and (self._ruling is None or self._ruling.done()):
            self._ruling = asyncio.create_task(self._rule_when_due())

    async def _rule_when_due(self) -> None:
        """Rule on those who are accused, each when all evidence of that moment has come."""
        while (due := self.ejector.next_ruling) is not None:
            await self._clock.sleep(due - self._clock.monotonic())
            try:
                self.ejector.rule()
            except Exception:  # noqa: BLE001 - the others who are accused must be heard
                _log.exception("loop_met_a_defect", loop="rulings")

    # Time.

    async def tick(self) -> float:
        """Let end what ends by time; return the seconds until the next tick."""
        now = self._clock.monotonic()
        if now - self._last_tick > STOPPED_SECONDS:
            _log.warning("control_process_was_stopped", seconds=round(now - self._last_tick, 1))
            self._awake_since = now
            self.roster.hold()
        self.ejector.tick(now - self._last_tick)
        self._last_tick = now
        self.publisher.update(self.roster.expire())
        if now - self._last_store >= STORE_EVERY_SECONDS:
            self._last_store = now
            self._reclaim_columns()
            self.publisher.store()
        return TICK_SECONDS

    def _reclaim_columns(self) -> None:
        """Free the columns of removed backends on which nothing is in flight any more."""
        self.roster.columns = self.roster.columns.reclaim(
            self._counts.column_is_zero, self._workers.acknowledged_by_all()
        )

    # Drivers' details.

    def _target(self, standing: Standing) -> Target:
        pool = self.roster.pools[standing.key.pool]
        tls = None
        if standing.scheme == "https":
            files = self.configuration.files if self.configuration is not None else {}
            tls = TargetTls(pool.tls, files.get(pool.tls.ca or "", b""))
        return Target(standing.key.url, standing.host, standing.port, pool.health_check, tls)

    def addresses(self, host: str) -> tuple[str, ...]:
        """Return the addresses of a host, as last resolved."""
        return self._resolver.addresses(host)

    def _readdress(self, host: str) -> None:
        """Take over what resolution found, and publish it."""
        affected = [standing for standing in self.roster if standing.host == host]
        self._take_addresses(affected)
        self.publisher.update(affected)

    def _take_addresses(self, standings: Iterable[Standing]) -> None:
        for standing in standings:
            standing.addresses = self._resolver.addresses(standing.host)
            standing.unresolved = self._resolver.failure(standing.host)
