"""
Every configured backend with its standing, pool by pool: what survives a reload and a restart.

The law of this file, for a process that replaces an earlier one: what that one published last is held until
every backend it knew has been checked once. Until then no check, age or end of an ejection changes readiness.
The same holds after this process itself was stopped for a while: what it knows is then as old as if another
process had found it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pcs_gateway.backends.backend import HealthStatus
from pcs_gateway.backends.config import BackendConfig, PoolConfig
from pcs_gateway.backends.health import CheckResult, HealthTracker
from pcs_gateway.backends.outlier.repetition import Repetition
from pcs_gateway.backends.pool import PoolSnapshot
from pcs_gateway.clock import Clock
from pcs_gateway.control.standing import BackendKey, Ejection, Standing
from pcs_gateway.control.state import State, StoredBackend
from pcs_gateway.errors import GatewayError
from pcs_gateway.processes.columns import Columns
from pcs_gateway.processes.scoreboard import POOLS


class UnknownBackendError(GatewayError):
    """There is no such pool, or no such backend in it; the text names those that there are."""


class TooManyPoolsError(GatewayError):
    """More pools than the scoreboard has cells for."""


class Roster:
    """
    All backends, as the control process knows them.

    Attributes:
        pools: Configuration of each pool.
        columns: Which column of the scoreboard each backend has.
    """

    def __init__(self, clock: Clock) -> None:
        """Begin without any backend."""
        self._clock = clock
        self._standings: dict[BackendKey, Standing] = {}
        self._by_name: dict[tuple[str, str], Standing] = {}
        self._remembered: dict[BackendKey, StoredBackend] = {}
        self._continues = False
        self._unchecked: set[BackendKey] = set()
        self._slots: dict[str, int] = {}
        self.pools: Mapping[str, PoolConfig] = {}
        self.columns = Columns()

    def __repr__(self) -> str:
        ready = sum(not standing.reason() for standing in self)
        return f"<Roster: {ready} of {len(self._standings)} backends ready, holding {len(self._unchecked)}>"

    def __iter__(self) -> Iterator[Standing]:
        return iter(self._standings.values())

    @property
    def is_holding(self) -> bool:
        """Whether the first full round of checks is not over."""
        return bool(self._unchecked)

    def find(self, pool: str, backend: str) -> Standing:
        """Return a backend by the names people use. Raises UnknownBackendError."""
        if pool not in self.pools:
            raise UnknownBackendError(f"there is no pool {pool!r}; there are: {', '.join(self.pools)}")
        try:
            return self._by_name[pool, backend]
        except KeyError:
            names = ", ".join(standing.config.name for standing in self.members(pool))
            raise UnknownBackendError(f"pool {pool!r} has no backend {backend!r}; it has: {names}") from None

    def at(self, key: BackendKey) -> Standing | None:
        """Return a backend by its key; None when it is no longer configured."""
        return self._standings.get(key)

    def members(self, pool: str) -> list[Standing]:
        """Return the backends of a pool, as configured."""
        return [self._standings[BackendKey(pool, config.url)] for config in self.pools[pool].backends]

    def slot(self, pool: str) -> int:
        """Return the index of a pool's cells in the scoreboard."""
        return self._slots[pool]

    def snapshot(self, pool: str) -> PoolSnapshot:
        """Return a pool as published."""
        backends = tuple(standing.backend() for standing in self.members(pool))
        return PoolSnapshot(name=pool, slot=self._slots[pool], backends=backends)

    def apply(self, pools: Mapping[str, PoolConfig], version: int) -> list[BackendKey]:
        """
        Take over a configuration that will be published as `version`; return the backends that are gone.

        Raises:
            ColumnsExhaustedError, TooManyPoolsError: It does not fit; nothing is changed.
        """
        configs = {
            BackendKey(pool, backend.url): backend
            for pool, config in pools.items()
            for backend in config.backends
        }
        slots = allot_slots(self._slots, pools)
        self.columns = self.columns.allot(configs, version)
        gone = [key for key in self._standings if key not in configs]
        self._standings = {
            key: self._standings.get(key) or self._newcomer(key, config, pools[key.pool])
            for key, config in configs.items()
        }
        self._remembered = {}
        for key, standing in self._standings.items():
            column = self.columns.column(*key)
            standing.config = configs[key]
            standing.column, standing.generation = column.index, column.generation
        self._by_name = {(key.pool, one.config.name): one for key, one in self._standings.items()}
        self._slots = slots
        self.pools = dict(pools)
        self._release(gone)
        return gone

    def restore(self, state: State, *, continues: bool) -> None:
        """
        Take over what an earlier process stored; call it before the first `apply`.

        Args:
            state: What it stored.
            continues: Workers still serve what it published. Otherwise the gateway was down meanwhile, and
                what ended by time ended: ejections, and checks older than the pool's `max_age`.
        """
        self.columns = state.columns
        self._slots = dict(state.slots)
        self._remembered = {BackendKey(stored.pool, stored.url): stored for stored in state.backends}
        self._continues = continues

    def state(self, version: int) -> State:
        """Return all that a later process needs."""
        offset = self._clock.time() - self._clock.monotonic()
        return State(
            version=version,
            saved=self._clock.time(),
            columns=self.columns,
            slots=self._slots,
            backends=tuple(_stored(standing, offset) for standing in self),
        )

    def observe(self, key: BackendKey, result: CheckResult) -> None:
        """Take the result of a check that ended now; who recovers by it is ejected no longer."""
        standing = self._standings.get(key)
        if standing is not None:
            before = standing.tracker.health.status
            config = self.pools[key.pool].health_check
            if excuse := self._excuse(standing, result, config.interval):
                standing.tracker.excuse(excuse, self._clock.time())
            else:
                standing.tracker.observe(result, self._clock.time(), config)
                standing.is_original = standing.is_original and result.passed
            standing.has_passed = standing.has_passed or result.passed
            after = standing.tracker.health.status
            has_recovered = before is HealthStatus.UNHEALTHY and after is HealthStatus.HEALTHY
            if has_recovered and not self.is_holding:
                standing.ejection = None
            self._release([key])

    def note_readiness(self, standings: Iterable[Standing]) -> None:
        """Remember when backends became ready; before what is known of them is published."""
        now = self._clock.monotonic()
        for standing in standings:
            standing.note_readiness(now)

    def _excuse(self, standing: Standing, result: CheckResult, interval: float) -> str:
        """Say why a check says nothing of its backend; empty when it does."""
        if result.is_void:
            return result.detail
        is_answered = result.timed_out and self._answered_within(standing, interval)
        return f"{result.detail}, but it answers requests" if is_answered else ""

    def _answered_within(self, standing: Standing, seconds: float) -> bool:
        """Tell whether traffic was answered by the backend within the last seconds."""
        return standing.answered > 0.0 and self._clock.monotonic() - standing.answered <= seconds

    def expire(self) -> list[Standing]:
        """Let end what ends by time: ejections, and checks that are too old. Return who is concerned."""
        if self.is_holding:
            return []
        now, unix = self._clock.monotonic(), self._clock.time()
        concerned = []
        for standing in self:
            max_age = self.pools[standing.key.pool].health_check.max_age
            if standing.end_ejection(now) or standing.tracker.forget_when_old(unix, max_age):
                concerned.append(standing)
        return concerned

    def hold(self) -> None:
        """Keep what is published now until every backend has been checked again."""
        for standing in self:
            if standing.tracker.health.status is not HealthStatus.UNKNOWN:
                standing.held = standing.health
                self._unchecked.add(standing.key)

    def _release(self, keys: Iterable[BackendKey]) -> None:
        """Strike backends off those that are still to be checked; after the last one nothing is held."""
        if not self._unchecked:
            return
        self._unchecked.difference_update(keys)
        if not self._unchecked:
            for standing in self:
                standing.held = None

    def _newcomer(self, key: BackendKey, config: BackendConfig, pool: PoolConfig) -> Standing:
        """Begin with a backend: with what is remembered of it, or with nothing."""
        standing = Standing(key, config)
        served = self._continues and any(known.pool == key.pool for known in self._remembered)
        standing.is_original = key.pool not in self.pools and not served
        stored = self._remembered.get(key)
        if stored is not None:
            self._recall(standing, stored, pool)
        return standing

    def _recall(self, standing: Standing, stored: StoredBackend, pool: PoolConfig) -> None:
        """Give a backend back what was stored of it."""
        standing.administrative_state = stored.administrative_state
        standing.weight_override = stored.weight_override
        standing.addresses = stored.addresses
        now, unix = self._clock.monotonic(), self._clock.time()
        if stored.ejected_until > unix or (stored.ejected_until and self._continues):
            seconds = min(stored.ejected_until - unix, pool.outlier_detection.maximum_ejection)
            standing.ejection = Ejection(now + seconds, stored.ejection_reason)
        if stored.ejections_in_a_row:
            standing.repetition = Repetition(stored.ejections_in_a_row, stored.forgiving_since - unix + now)
        if self._continues or unix - stored.health.last_check <= pool.health_check.max_age:
            standing.tracker = HealthTracker(stored.health)
            standing.held = stored.health
            standing.has_passed = stored.has_passed
            standing.was_ready = stored.ready
            standing.is_original = False
            if stored.ready_since:
                standing.ready_since = now - (unix - stored.ready_since)
            self._unchecked.add(standing.key)


def allot_slots(before: Mapping[str, int], pools: Iterable[str]) -> dict[str, int]:
    """
    Give each pool cells of the scoreboard: its own as before, or the first that no pool had.

    Raises:
        TooManyPoolsError: There are not enough.
    """
    slots = {pool: before[pool] for pool in pools if pool in before}
    used = set(before.values())
    free = [slot for slot in range(POOLS) if slot not in used]
    free += sorted(used.difference(slots.values()))
    newcomers = [pool for pool in pools if pool not in before]
    if len(newcomers) > len(free):
        raise TooManyPoolsError(f"{len(slots) + len(newcomers)} pools are configured, at most {POOLS} may be")
    return slots | dict(zip(newcomers, free, strict=False))


def _stored(standing: Standing, offset: float) -> StoredBackend:
    """Return what is to be remembered; `offset` turns monotonic seconds into unix ones."""
    ejection = standing.ejection
    return StoredBackend(
        pool=standing.key.pool,
        url=standing.key.url,
        health=standing.health,
        administrative_state=standing.administrative_state,
        weight_override=standing.weight_override,
        ejected_until=ejection.until + offset if ejection else 0.0,
        ejection_reason=ejection.reason if ejection else "",
        ejections_in_a_row=standing.repetition.times,
        forgiving_since=standing.repetition.since + offset,
        addresses=standing.addresses,
        ready=standing.was_ready,
        has_passed=standing.has_passed,
        ready_since=standing.ready_since + offset if standing.ready_since else 0.0,
    )
