"""When a line of waiting requests is overloaded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcs_gateway.balancing.overload import LONGEST_RETRY_AFTER, STANDING_SECONDS, Overload, retry_after


def filled_at(now: float) -> Overload:
    """A line in which somebody waits from then on."""
    overload = Overload()
    overload.filled(now)
    return overload


class TestBegin:
    def test_nobody_waits(self) -> None:
        """An empty line never stands."""
        assert not Overload().is_on(1000.0)

    def test_queue_that_stands(self) -> None:
        """It is overloaded once it was never empty for 100 ms, not before."""
        overload = filled_at(1000.0)

        assert (False, True) == (overload.is_on(1000.0999), overload.is_on(1000.1001))

    def test_queue_that_empties_in_between(self) -> None:
        """One moment without waiters and the time begins anew."""
        overload = filled_at(1000.0)
        overload.emptied(1000.09)
        overload.filled(1000.091)

        assert (False, True) == (overload.is_on(1000.19), overload.is_on(1000.192))

    def test_attempts_that_take_longer(self) -> None:
        """Where an attempt takes two seconds, a queue has to stand for two."""
        overload = filled_at(1000.0)
        overload.standing = 2.0

        assert (False, True) == (overload.is_on(1001.9), overload.is_on(1002.1))


class TestEnd:
    def test_short_calm_does_not_end_it(self) -> None:
        """A moment without waiters is what a short bound brings about by itself."""
        overload = filled_at(1000.0)
        overload.emptied(1000.2)
        assert overload.is_on(1000.22)
        overload.filled(1000.22)

        assert overload.is_on(1000.22)

    def test_calm_ends_it(self) -> None:
        """Nobody waited for a quarter of the time: it is over, and the next queue has to stand first."""
        overload = filled_at(1000.0)
        overload.emptied(1000.2)
        assert not overload.is_on(1000.226)
        overload.filled(1000.23)

        assert (False, True) == (overload.is_on(1000.32), overload.is_on(1000.34))

    def test_end_is_noticed_when_the_next_comes(self) -> None:
        """It does not need to be asked in between."""
        overload = filled_at(1000.0)
        overload.emptied(1000.2)
        overload.filled(1000.3)

        assert not overload.is_on(1000.3)

    def test_how_long_it_lasted(self) -> None:
        """From the moment it was noticed; nothing when it is off."""
        overload = filled_at(1000.0)
        assert 0.0 == overload.lasted(1000.05)
        assert overload.is_on(1000.1)

        assert pytest.approx(2.0) == overload.lasted(1002.1)


@given(st.lists(st.tuples(st.floats(0.0, 0.3), st.booleans()), max_size=40))
def test_never_overloaded_without_standing(steps: list[tuple[float, bool]]) -> None:
    """Whatever comes and goes, an overload begins only after 100 ms in which somebody always waited."""
    overload, now, busy_since = Overload(), 1000.0, None
    was_on = False
    for pause, waits in steps:
        now += pause
        is_on = overload.is_on(now)
        if is_on and not was_on:
            assert busy_since is not None
            assert now - busy_since >= STANDING_SECONDS
        if waits and busy_since is None:
            overload.filled(now)
            busy_since = now
        elif not waits and busy_since is not None:
            overload.emptied(now)
            busy_since = None
        was_on = overload.is_on(now)


@given(st.floats(0.0, 1e6), st.floats(0.0, 1.0, exclude_max=True))
def test_retry_after_is_a_few_seconds(lasted: float, chance: float) -> None:
    """At least one second, at most ten."""
    assert 1 <= retry_after(lasted, chance) <= LONGEST_RETRY_AFTER


@pytest.mark.parametrize(
    ("lasted", "chance", "expected"),
    [(0.0, 0.0, 1), (0.0, 0.6, 2), (9.0, 0.99, 2), (30.0, 0.99, 5), (30.0, 0.0, 1), (3600.0, 0.99, 10)],
)
def test_retry_after_grows_with_the_overload(lasted: float, chance: float, expected: int) -> None:
    """Jittered from one second on; the longer it lasts, the further apart they come back."""
    assert expected == retry_after(lasted, chance)
