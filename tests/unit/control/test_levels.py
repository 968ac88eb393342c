"""What is told of a pool's priority levels: each change once."""

from __future__ import annotations

from structlog.testing import capture_logs

from pcs_gateway.backends.pool import PoolSnapshot
from pcs_gateway.control.levels import LevelWatch
from tests.fakes.members import changed, make_members


def pool(*levels: tuple[int, int]) -> PoolSnapshot:
    """A pool: for each priority how many are ready, and how many unhealthy."""
    backends = [
        changed(member, priority=priority).backend
        for priority, (ready, unhealthy) in enumerate(levels)
        for member in make_members(*[1] * (ready + unhealthy), unready=range(ready, ready + unhealthy))
    ]
    return PoolSnapshot("pcs", 0, tuple(backends))


def told(watch: LevelWatch, *pools: PoolSnapshot, threshold: float = 0.5) -> list[str]:
    """The events that these pools, one after the other, lead to."""
    with capture_logs() as logs:
        for one in pools:
            watch.note(one, threshold)
    return [entry["event"] for entry in logs]


def test_panic_is_told_when_it_begins_and_when_it_ends() -> None:
    """One line each, with the numbers it follows from."""
    watch = LevelWatch()
    assert [] == told(watch, pool((4, 0)), pool((3, 1)), pool((2, 2)))
    with capture_logs() as logs:
        watch.note(pool((1, 3)), 0.5)
        watch.note(pool((0, 4)), 0.5)

    assert [
        {
            "event": "pool_panics",
            "log_level": "warning",
            "pool": "pcs",
            "priority": 0,
            "ready": 1,
            "counted": 4,
            "panic_threshold": 0.5,
        }
    ] == logs
    assert "panicking: ['pcs']" in repr(watch)
    assert ["pool_panic_over"] == told(watch, pool((2, 2)), pool((3, 1)))


def test_spilling_over_is_told_when_other_levels_take_part() -> None:
    """Not each change of the shares."""
    watch = LevelWatch()
    assert [] == told(watch, pool((4, 0), (2, 0)))
    assert ["pool_levels_changed"] == told(watch, pool((2, 2), (2, 0)), pool((1, 3), (2, 0)))
    assert [0.35, 0.65] == [round(level.load, 2) for level in watch.levels["pcs"]]
    assert ["pool_levels_changed"] == told(watch, pool((0, 4), (2, 0)))
    assert ["pool_levels_changed"] == told(watch, pool((4, 0), (2, 0)))


def test_pools_that_are_gone_are_forgotten() -> None:
    """They are neither shown nor compared with."""
    watch = LevelWatch()
    watch.note(pool((1, 0)), 0.5)

    watch.keep(["other"])

    assert {} == watch.levels
