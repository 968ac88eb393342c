"""Which level takes how much, and when it panics."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcs_gateway.backends.backend import AdministrativeState, Backend
from pcs_gateway.balancing.levels import Level, judge_levels
from tests.fakes.members import make_backend


def backend(priority: int = 0, state: str = "ready", weight: int = 1, position: int = 0) -> Backend:
    """A backend that is ready, or not for this reason."""
    kinds: dict[str, dict[str, Any]] = {
        "ready": {},
        "unhealthy": {"ready": False, "reason": "unhealthy"},
        "ejected": {"ready": False, "reason": "ejected", "ejected_until": 99.0},
        "drained": {"ready": False, "administrative_state": AdministrativeState.DRAINING},
        "disabled": {"ready": False, "administrative_state": AdministrativeState.DISABLED},
        "unchecked": {"ready": False, "has_passed": False},
        "unresolved": {"ready": False, "addresses": ()},
    }
    return msgspec.structs.replace(make_backend(position, weight), priority=priority, **kinds[state])


def pool(*levels: tuple[int, int]) -> list[Backend]:
    """Backends of priority 0, 1 …: for each level how many are ready, and how many unhealthy."""
    return [
        backend(priority, state)
        for priority, (ready, unhealthy) in enumerate(levels)
        for state in ["ready"] * ready + ["unhealthy"] * unhealthy
    ]


def loads(backends: list[Backend], threshold: float = 0.0) -> list[float]:
    """The share of each level, rounded."""
    return [round(level.load, 3) for level in judge_levels(backends, threshold)]


class TestSpillOver:
    @pytest.mark.parametrize(
        ("levels", "expected"),
        [
            ([(3, 0), (3, 0)], [1.0, 0.0]),
            ([(5, 2), (3, 0)], [1.0, 0.0]),  # 1.4 × 5/7 is exactly everything
            ([(1, 1), (2, 0)], [0.7, 0.3]),
            ([(1, 3), (2, 0)], [0.35, 0.65]),
            ([(0, 3), (2, 0)], [0.0, 1.0]),
            ([(0, 3), (1, 3), (4, 0)], [0.0, 0.35, 0.65]),
            ([(1, 3), (1, 3)], [0.5, 0.5]),  # together 0.7: in proportion
            ([(1, 3), (0, 4)], [1.0, 0.0]),
            ([(0, 3), (0, 2)], [0.0, 0.0]),
        ],
    )
    def test_each_level_takes_what_the_ones_before_leave(
        self, levels: list[tuple[int, int]], expected: list[float]
    ) -> None:
        """Up to 1.4 × its ready share."""
        assert expected == loads(pool(*levels))

    def test_weights_count_and_not_heads(self) -> None:
        """A level that lost its heaviest backend has lost most of it."""
        backends = [backend(0, "unhealthy", weight=9), backend(0, weight=1), backend(1)]

        assert [0.14, 0.86] == loads(backends)

    @pytest.mark.parametrize("state", ["drained", "disabled", "unchecked", "unresolved"])
    def test_who_cannot_be_asked_is_as_if_it_were_not_there(self, state: str) -> None:
        """An operator who drains half of a level does not send traffic to the next; nor does a newcomer."""
        backends = [backend(0), backend(0, state), backend(0, state), backend(1)]

        assert [1.0, 0.0] == loads(backends)

    def test_levels_come_in_the_order_of_their_numbers(self) -> None:
        """Whatever the order of the backends, and with gaps between the numbers."""
        levels = judge_levels([backend(7), backend(2), backend(7)], 0.0)

        assert [(2, 1.0, (1,)), (7, 0.0, (0, 2))] == [
            (one.priority, one.load, one.positions) for one in levels
        ]

    @given(
        st.lists(
            st.tuples(
                st.integers(0, 3),
                st.sampled_from(["ready", "unhealthy", "ejected", "drained", "unchecked"]),
                st.integers(1, 9),
            ),
            min_size=1,
            max_size=12,
        ),
        st.sampled_from([0.0, 0.3, 0.5, 1.0]),
        st.sets(st.integers(0, 11)),
    )
    def test_shares_add_up(
        self, kinds: list[tuple[int, str, int]], threshold: float, skipped: set[int]
    ) -> None:
        """To one, if anybody may take part at all; a level with a share has somebody to take it."""
        backends = [backend(*kind) for kind in kinds]
        levels = judge_levels(backends, threshold, skipped)
        anybody = any(one.ready or (threshold and one.is_forgivable) for one in backends)

        assert abs(sum(level.load for level in levels) - bool(anybody)) < 1e-9
        assert all(level.positions for level in levels if level.load)
        taking = [position for level in levels for position in level.positions]
        assert len(taking) == len(set(taking))
        assert all(backends[at].ready or (threshold and backends[at].is_forgivable) for at in taking)


class TestPanic:
    @pytest.mark.parametrize(
        ("ready", "unhealthy", "threshold", "panics"),
        [
            (5, 5, 0.5, False),
            (4, 6, 0.5, True),
            (0, 4, 0.5, True),
            (0, 4, 0.0, False),
            (3, 1, 0.8, True),
            (3, 1, 1.0, True),
            (4, 0, 1.0, False),
        ],
    )
    def test_fewer_ready_than_the_threshold(
        self, ready: int, unhealthy: int, threshold: float, panics: bool
    ) -> None:
        """Then all that count take part; at the threshold itself not yet."""
        (level,) = judge_levels(pool((ready, unhealthy)), threshold)

        assert panics is level.is_panicking
        assert (ready + unhealthy if panics else ready) == len(level.positions)

    def test_checks_and_ejections_are_ignored_and_nothing_else(self) -> None:
        """Not an operator's order, nor a missing address, nor that it never passed a check."""
        states = ["ready", "unhealthy", "ejected", "drained", "disabled", "unchecked", "unresolved"]
        (level,) = judge_levels([backend(0, state) for state in states], 0.5)

        assert (0, 1, 2) == level.positions
        assert (1, 3) == (level.ready, level.counted)

    def test_a_pool_that_never_passed_a_check_does_not_panic(self) -> None:
        """Nobody is known to be a backend yet."""
        (level,) = judge_levels([backend(0, "unchecked"), backend(0, "unchecked")], 1.0)

        assert not level.is_panicking
        assert () == level.positions

    def test_not_while_other_levels_can_absorb(self) -> None:
        """Level 0 is nearly gone, but level 1 can take everything."""
        zero, one = judge_levels(pool((1, 3), (4, 0)), 0.5)

        assert (0.35, False, (0,)) == (round(zero.load, 3), zero.is_panicking, zero.positions)
        assert (0.65, False) == (round(one.load, 3), one.is_panicking)

    def test_each_level_by_itself(self) -> None:
        """Together they have too little: who is below the threshold panics, who is not does not."""
        zero, one = judge_levels(pool((2, 18), (2, 2)), 0.5)

        assert zero.is_panicking
        assert 20 == len(zero.positions)
        assert not one.is_panicking
        assert 2 == len(one.positions)

    def test_when_all_are_down_everywhere_all_take_part_by_weight(self) -> None:
        """Nothing is known any more: each level gets its share of the whole."""
        zero, one = judge_levels(pool((0, 3), (0, 1)), 0.5)

        assert [(0.75, True), (0.25, True)] == [(zero.load, zero.is_panicking), (one.load, one.is_panicking)]

    def test_a_level_without_load_does_not_panic(self) -> None:
        """It has nobody to offer either: a dead level is no reserve for a full one."""
        zero, one = judge_levels(pool((0, 3), (1, 3)), 0.5)

        assert Level(0, 0.0, False, 0, 3, ()) == zero
        assert (1.0, True, 4) == (one.load, one.is_panicking, len(one.positions))


class TestSkips:
    def test_a_worker_counts_its_own_skips(self) -> None:
        """Who is skipped here is not ready here, and the next level takes over."""
        zero, one = judge_levels(pool((2, 0), (1, 0)), 0.0, skipped=(0,))

        assert (1,) == zero.positions
        assert [0.7, 0.3] == [round(zero.load, 3), round(one.load, 3)]

    def test_panic_ignores_them(self) -> None:
        """As it ignores ejections."""
        (level,) = judge_levels(pool((3, 0)), 0.5, skipped=(0, 1))

        assert level.is_panicking
        assert (0, 1, 2) == level.positions

    def test_skipping_everybody_is_skipping_nobody(self) -> None:
        """A worker's suspicion alone leaves no request without a backend."""
        zero, one = judge_levels(pool((2, 1), (1, 0)), 0.0, skipped=(0, 1, 3))

        assert (0, 1) == zero.positions
        assert (3,) == one.positions
