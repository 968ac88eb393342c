"""What a pool asks for and does not get, beside its other keys."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pcs_gateway.backends.config import OutlierDetectionConfig, PoolConfig
from pcs_gateway.balancing.registry import STRATEGIES
from pcs_gateway.config.model import GatewayConfig
from pcs_gateway.config.references import Path
from pcs_gateway.units import format_duration

HASHING = "consistent_hash"
HASH_KEYS = ("hash_on", "hash_balance_factor")


def pool_notices(config: GatewayConfig) -> Iterator[tuple[Path, str]]:
    """Yield each key of a pool that has no effect, and why."""
    for name, pool in config.pools.items():
        found = (
            *_unhashed(pool),
            *_equal_priorities(pool),
            *_unverified(pool),
            *_unejecting(pool.outlier_detection, len(pool.backends)),
            *_beside_fixed_limits(pool),
            *_long_overloads(pool),
            *_no_hedges(pool, _totals(config, name)),
        )
        for keys, reason in found:
            yield ("pools", name, *keys), reason


def _unhashed(pool: PoolConfig) -> Iterator[tuple[Path, str]]:
    # a strategy that is brought along may look at them
    if pool.strategy != HASHING and pool.strategy in STRATEGIES:
        for key in HASH_KEYS:
            if key in pool.model_fields_set and getattr(pool, key) is not None:
                yield (key,), f"strategy {pool.strategy} does not look at it; {HASHING} does"


def _equal_priorities(pool: PoolConfig) -> Iterator[tuple[Path, str]]:
    priorities = {backend.priority for backend in pool.backends}
    if len(priorities) == 1 and priorities != {0}:
        yield ("backends", 0, "priority"), "all backends of the pool have the same"


def _unverified(pool: PoolConfig) -> Iterator[tuple[Path, str]]:
    if pool.tls.ca is not None and not pool.tls.verify:
        yield ("tls", "ca"), "verify: false looks at no certificate"


def _unejecting(rules: OutlierDetectionConfig, backends: int) -> Iterator[tuple[Path, str]]:
    section = "outlier_detection"
    if rules.max_ejected == 0.0:
        yield (section,), "max_ejected: 0 lets it eject nobody"
        return
    compared = rules.success_rate
    if compared is None:
        return
    if compared.minimum_backends > backends:
        least = compared.minimum_backends
        yield (section, "success_rate"), f"minimum_backends is {least}, and the pool has {backends}"
        return
    # one of N values is nowhere further from their mean than where all others are equal
    most = math.sqrt(backends - 1)
    if compared.stdev_factor >= most:
        reach = f"one of {backends} backends is at most {most:.3g} standard deviations below the mean"
        yield (section, "success_rate"), f"{reach}, and stdev_factor is {compared.stdev_factor:g}"


def _beside_fixed_limits(pool: PoolConfig) -> Iterator[tuple[Path, str]]:
    limit = pool.concurrency
    if limit is not None and limit.mode == "fixed":
        for key in sorted(limit.model_fields_set & {"minimum", "initial"}):
            yield ("concurrency", key), "mode fixed looks at maximum alone"


def _long_overloads(pool: PoolConfig) -> Iterator[tuple[Path, str]]:
    queue = pool.queue
    if "overload_timeout" in queue.model_fields_set and queue.overload_timeout > queue.timeout:
        yield (
            ("queue", "overload_timeout"),
            f"nobody waits longer than timeout ({format_duration(queue.timeout)})",
        )


def _no_hedges(pool: PoolConfig, totals: list[float]) -> Iterator[tuple[Path, str]]:
    hedge = pool.hedge
    if hedge is None:
        return
    if hedge.budget == 0.0:
        yield ("hedge",), "budget: 0 allows none"
    elif hedge.fixed_delay is not None and totals and hedge.fixed_delay >= max(totals):
        ended = format_duration(max(totals))
        yield ("hedge", "after"), f"every request has ended before, by timeouts.request_total ({ended})"


def _totals(config: GatewayConfig, pool: str) -> list[float]:
    """Return `request_total` of each route whose requests may be hedged in this pool."""
    return [
        config.timeouts.overridden_by(route.timeouts).request_total
        for route in config.routes
        if route.pool == pool and not route.side_effects
    ]
