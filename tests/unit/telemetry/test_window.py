"""The recent past."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcs_gateway.telemetry.delta import Delta
from pcs_gateway.telemetry.window import Recent, Window


def events(count: int) -> Delta:
    """Return a delta that counts `count` events, and as many exchanges."""
    delta = Delta(events={"ticks": count})
    for _ in range(count):
        delta.exchange_counts("prompt", "GET", 200).durations.record(0.001)
    return delta


def ticks(recent: Recent) -> int:
    """Return how many events were measured."""
    return recent.measured.events.get("ticks", 0)


class TestRecent:
    def test_whole_steps_and_the_one_under_way_are_covered(self) -> None:
        """At second 65 the last 20 seconds are the steps from second 40 on."""
        window = Window(0.0)
        for second in range(65):
            window.add(events(1), float(second))
        recent = window.recent(65.0, 20.0)

        assert (25, 25.0) == (ticks(recent), recent.seconds)

    def test_young_window_covers_its_own_time(self) -> None:
        """A rate shortly after the start is divided by the time that was measured, not by a minute."""
        window = Window(100.0)
        window.add(events(30), 102.0)
        recent = window.recent(103.0, 60.0)

        assert (3.0, 10.0) == (recent.seconds, recent.rate(ticks(recent)))

    def test_time_without_traffic_counts(self) -> None:
        """Steps in which nothing happened make the rate smaller, and the past is forgotten in time."""
        window = Window(0.0)
        window.add(events(100), 5.0)

        assert [100, 100, 0] == [ticks(window.recent(now, 60.0)) for now in (40.0, 69.9, 70.0)]

    def test_more_than_is_kept_cannot_be_asked_for(self) -> None:
        """What is returned says which time it covers."""
        window = Window(0.0)
        for second in range(200):
            window.add(events(1), float(second))
        recent = window.recent(200.0, 3600.0)

        assert (60, 60.0) == (ticks(recent), recent.seconds)

    def test_reading_changes_nothing(self) -> None:
        """A reader may do with its value what it likes."""
        window = Window(0.0)
        window.add(events(1), 1.0)
        window.recent(2.0, 60.0).measured.merge(events(5))

        assert ticks(window.recent(2.0, 60.0)) == 1

    def test_reader_sees_steps_that_were_completed_since(self) -> None:
        """What was summed up for one reader is not shown to the next one when it is out of date."""
        window, seen = Window(0.0), []
        for second in range(0, 100, 5):
            window.add(events(1), float(second))
            window.recent(float(second), 10.0)
            seen.append(ticks(window.recent(float(second), 60.0)))

        assert [*range(1, 15), 13, 14, 13, 14, 13, 14] == seen

    def test_no_time_has_no_rate(self) -> None:
        """At the moment of the start every rate is 0."""
        assert Window(7.0).recent(7.0, 60.0).rate(5) == 0.0

    @given(st.lists(st.tuples(st.floats(0.0, 15.0), st.integers(1, 5)), max_size=40), st.floats(1.0, 60.0))
    def test_nothing_recent_is_missed(self, steps: list[tuple[float, int]], seconds: float) -> None:
        """At least the time asked for is covered, and at most one step more."""
        window, now, seen = Window(0.0), 0.0, []
        for pause, count in steps:
            now += pause
            seen.append((now, count))
            window.add(events(count), now)
        recent = window.recent(now, seconds)
        least = sum(count for at, count in seen if at > now - seconds)
        most = sum(count for at, count in seen if at >= now - recent.seconds)

        assert least <= ticks(recent) <= most
        assert recent.seconds == pytest.approx(min(now, recent.seconds))
        assert min(now, seconds) - 1e-9 <= recent.seconds <= seconds + 20.0


class TestPeakRate:
    def test_peak_is_the_best_complete_step(self) -> None:
        """The step under way does not count yet; a quiet one later changes nothing."""
        window = Window(0.0)
        window.add(events(20), 5.0)
        window.add(events(50), 15.0)
        before = window.peak_rate
        window.add(events(10), 25.0)
        window.recent(300.0, 60.0)

        assert (2.0, 5.0) == (before, window.peak_rate)


def test_repr_tells_the_shape() -> None:
    """A window in a log says what it holds."""
    window = Window(0.0)
    for second in range(0, 1000, 5):
        window.add(Delta(), float(second))

    assert repr(window) == (
        "<Window of 6 × 10.0 s, 6 complete, "
        "now <Delta 0 exchanges of 0 routes, reasons {}, errors {}, events {}>>"
    )
