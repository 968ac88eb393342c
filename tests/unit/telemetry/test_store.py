"""All that was measured."""

from pcs_gateway.telemetry.delta import Delta
from pcs_gateway.telemetry.store import MeasurementStore


def test_totals_last_and_the_window_forgets() -> None:
    """Deltas of all workers add up since the start; lately is the last minute."""
    store = MeasurementStore(0.0)
    store.add(Delta(reasons={"no_route": 1}), 1.0)
    store.add(Delta(reasons={"no_route": 2}), 1.0)
    store.add(Delta(reasons={"no_route": 4}), 100.0)

    assert {"no_route": 7} == store.totals.reasons
    assert {"no_route": 4} == store.recent(101.0).measured.reasons


def test_delta_that_was_added_stays_as_it_is() -> None:
    """Totals and window share nothing with what they were given, nor with each other."""
    store, delta = MeasurementStore(0.0), Delta()
    delta.exchange_counts("prompt", "GET", 200).durations.record(0.001)
    store.add(delta, 1.0)
    store.add(delta, 2.0)

    assert [1, 2, 2] == [delta.count, store.totals.count, store.recent(3.0).measured.count]


def test_repr_tells_the_totals() -> None:
    """A store in a log says what it holds."""
    assert repr(MeasurementStore(0.0)) == (
        "<MeasurementStore: <Delta 0 exchanges of 0 routes, reasons {}, errors {}, events {}> in all>"
    )
