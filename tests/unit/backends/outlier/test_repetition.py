"""How long an ejection takes."""

from hypothesis import given
from hypothesis import strategies as st

from pcs_gateway.backends.config import OutlierDetectionConfig
from pcs_gateway.backends.outlier.repetition import NEVER_EJECTED, Repetition

CONFIG = OutlierDetectionConfig(base_ejection=30.0, maximum_ejection=100.0)


def test_each_in_a_row_is_longer_up_to_the_maximum() -> None:
    """30, 60, 90, and then 100 s, when each follows as soon as the one before is over."""
    now, row, seconds = 1000.0, NEVER_EJECTED, []
    for _ in range(5):
        row = row.again(now, CONFIG)
        seconds.append(row.since - now)
        now = row.since

    assert [30.0, 60.0, 90.0, 100.0, 100.0] == seconds


def test_each_base_ejection_of_being_ready_takes_one_off() -> None:
    """Three in a row are forgotten one by one; at the boundary, exactly."""
    row = Repetition(3, 1000.0)

    assert [3, 3, 2, 2, 1, 0, 0] == [row.at(1000.0 + s, 30.0) for s in (0, 29.9, 30, 59.9, 60, 90, 1e6)]
    assert 3 == row.at(990.0, 30.0)


def test_decay_returns_to_the_base() -> None:
    """After long enough the next ejection takes as long as the first."""
    row = Repetition(7, 1000.0)

    assert 30.0 == row.again(1000.0 + 7 * 30.0, CONFIG).since - (1000.0 + 7 * 30.0)


def test_time_in_which_it_was_not_ready_does_not_count() -> None:
    """Being unhealthy is no merit, and being ejected is none that could be taken away."""
    assert 3 == Repetition(3, 1000.0).postponed(60.0, 1060.0).at(1060.0, 30.0)
    assert Repetition(3, 1000.0) == Repetition(3, 1000.0).postponed(60.0, 990.0)
    assert 1005.0 == Repetition(3, 1000.0).postponed(60.0, 1005.0).since


@given(st.lists(st.floats(0, 500), max_size=30))
def test_never_beyond_the_bounds(pauses: list[float]) -> None:
    """Any history: from base to maximum, and the row is at most one longer each time."""
    now, row = 1000.0, NEVER_EJECTED
    for pause in pauses:
        now += pause
        before, row = row.at(now, 30.0), row.again(now, CONFIG)
        assert 30.0 <= row.since - now + 1e-6
        assert row.since - now <= 100.0 + 1e-6
        assert row.times == before + 1
        now = row.since
