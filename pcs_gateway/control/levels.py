"""Which levels of each pool take traffic and which panic: told when it changes, kept for who looks."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from pcs_gateway.backends.pool import PoolSnapshot
from pcs_gateway.balancing.levels import Level, judge_levels

_log = structlog.get_logger()


class LevelWatch:
    """
    Judges the levels of pools as workers do, but for what a worker skips on its own evidence.

    Attributes:
        levels: As last judged, by pool.
    """

    def __init__(self) -> None:
        self.levels: dict[str, tuple[Level, ...]] = {}

    def __repr__(self) -> str:
        panicking = [pool for pool, levels in self.levels.items() if any(one.is_panicking for one in levels)]
        return f"<LevelWatch of {len(self.levels)} pools, panicking: {panicking}>"

    def note(self, pool: PoolSnapshot, panic_threshold: float) -> None:
        """Judge a pool as it is published, and log what became different."""
        levels = judge_levels(pool.backends, panic_threshold)
        before = self.levels.get(pool.name, ())
        self.levels[pool.name] = levels
        _tell_panic(pool.name, levels, before, panic_threshold)
        _tell_spilling(pool.name, levels, before)

    def keep(self, pools: Iterable[str]) -> None:
        """Forget pools that are no longer configured."""
        self.levels = {pool: self.levels[pool] for pool in pools if pool in self.levels}


def _tell_panic(pool: str, levels: Iterable[Level], before: Iterable[Level], panic_threshold: float) -> None:
    panicked = {level.priority for level in before if level.is_panicking}
    for level in levels:
        if level.is_panicking is (level.priority in panicked):
            continue
        facts = {
            "pool": pool,
            "priority": level.priority,
            "ready": level.ready,
            "counted": level.counted,
            "panic_threshold": panic_threshold,
        }
        if level.is_panicking:
            _log.warning("pool_panics", **facts)
        else:
            _log.info("pool_panic_over", **facts)


def _tell_spilling(pool: str, levels: Iterable[Level], before: Iterable[Level]) -> None:
    """Log another set of levels that take traffic; shares alone change too often."""
    taking, took = ([level.priority for level in some if level.load] for some in (levels, before))
    if taking == took or not taking or (not took and taking == [0]):
        return
    loads = {str(level.priority): round(level.load, 3) for level in levels if level.load}
    _log.warning("pool_levels_changed", pool=pool, loads=loads, before=took)
