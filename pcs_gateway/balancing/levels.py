"""
Which backends of a pool take how much of its traffic: levels, spill-over and panic, as pure decisions.

The law of this file:

- backends of one `priority` are a level; the lowest number comes first. A backend *counts* in its level
  when it is ready, or when only failed checks or an ejection keep it from being ready: an operator lets it
  take attempts, it has an address and it has passed a check before. Others are as if they were not there;
- the health of a level is 1.4 × the weight of its ready backends / the weight of those that count, at most 1:
  a level that has lost less than two sevenths of its weight carries everything;
- each level takes what the ones before it leave, up to its health. When all levels together have less than 1,
  each takes in proportion to its health; when nobody is ready anywhere and panic is on, in proportion to the
  weight that counts;
- a level panics when it takes traffic, fewer of its backends than `panic_threshold` × those that count are
  ready, and the levels together have less than 1 (a pool of one level: whatever it has). Then all that count
  take part: when too few would have to carry everything, it is more likely that checks are wrong, and a
  backend that may fail is better than one that surely breaks under the load;
- a backend that this worker skips on its own evidence is not ready here; when that would leave nobody at all,
  nobody is skipped.

Workers decide for traffic, with their own skips; the control process, for people, without.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from pcs_gateway.backends.backend import Backend

OVERPROVISIONING = 1.4
"""How many times the traffic of normal days a level is taken to be able to carry (Envoy has the same)."""

NEARLY_ONE = 1.0 - 1e-9
"""Sums of shares are not exact."""


class Level(NamedTuple):
    """
    One priority level of a pool, as judged.

    Attributes:
        load: Its share of the pool's traffic, 0 to 1.
        is_panicking: Checks and ejections are ignored in it.
        ready: How many of its backends are ready.
        counted: How many count.
        positions: Which backends of the pool take part, by position.
    """

    priority: int
    load: float
    is_panicking: bool
    ready: int
    counted: int
    positions: tuple[int, ...]


class _Group(NamedTuple):
    priority: int
    ready: list[int]
    counted: list[int]
    ready_weight: int
    counted_weight: int

    @property
    def health(self) -> float:
        if not self.ready_weight:
            return 0.0
        return min(1.0, OVERPROVISIONING * self.ready_weight / self.counted_weight)


def judge_levels(
    backends: Sequence[Backend], panic_threshold: float, skipped: Collection[int] = ()
) -> tuple[Level, ...]:
    """
    Judge the levels of a pool, in the order of their priority.

    Args:
        panic_threshold: 0 to 1; 0 means that nothing ever panics.
        skipped: Positions of backends that this worker avoids.
    """
    groups = [
        _group(backends, priority, skipped) for priority in sorted({backend.priority for backend in backends})
    ]
    healths = [group.health for group in groups]
    if skipped and not any(healths) and not panic_threshold:
        return judge_levels(backends, panic_threshold)
    total = sum(healths)
    is_short = total < NEARLY_ONE or len(groups) == 1
    loads = _loads(healths, [group.counted_weight if panic_threshold else 0 for group in groups])
    return tuple(
        _judge(group, load, panic_threshold if is_short else 0.0)
        for group, load in zip(groups, loads, strict=True)
    )


def _group(backends: Sequence[Backend], priority: int, skipped: Collection[int]) -> _Group:
    mine = [position for position, backend in enumerate(backends) if backend.priority == priority]
    counted = [at for at in mine if backends[at].ready or backends[at].is_forgivable]
    ready = [at for at in counted if backends[at].ready and at not in skipped]
    return _Group(
        priority,
        ready,
        counted,
        sum([backends[at].weight for at in ready]),
        sum([backends[at].weight for at in counted]),
    )


def _loads(healths: Sequence[float], counted_weights: Sequence[int]) -> list[float]:
    total = sum(healths)
    if total >= NEARLY_ONE:
        left = 1.0
        loads = []
        for health in healths:
            loads.append(min(health, left))
            left -= loads[-1]
        return loads
    shares = healths if total else counted_weights
    together = sum(shares)
    return [share / together if together else 0.0 for share in shares]


def _judge(group: _Group, load: float, threshold: float) -> Level:
    ready, counted = len(group.ready), len(group.counted)
    is_panicking = load > 0.0 and ready < threshold * counted
    positions = group.counted if is_panicking else group.ready
    return Level(group.priority, load, is_panicking, ready, counted, tuple(positions))
