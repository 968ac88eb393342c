"""Deltas: what was measured, as values that add up exactly."""

import copy

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pcs_gateway.telemetry.delta import BackendCounts, Delta, ExchangeCounts, QueueCounts
from pcs_gateway.telemetry.histogram import Histogram
from pcs_gateway.telemetry.recorder import Recorder
from tests.fakes.exchanges import make_record, make_refusal

COUNT = st.integers(1, 2**40)
NAME = st.sampled_from(["one", "two", "three"])
HISTOGRAMS = st.builds(
    Histogram, st.dictionaries(st.integers(-1280, 1088), COUNT, max_size=5), COUNT, st.integers(0, 2**50)
)
DELTAS = st.builds(
    Delta,
    st.dictionaries(
        NAME,
        st.dictionaries(
            st.sampled_from(["GET", "other"]),
            st.dictionaries(
                st.sampled_from([200, 404]),
                st.builds(ExchangeCounts, HISTOGRAMS, COUNT, COUNT, COUNT),
                min_size=1,
                max_size=2,
            ),
            min_size=1,
            max_size=2,
        ),
        max_size=2,
    ),
    st.dictionaries(
        NAME,
        st.dictionaries(
            NAME,
            st.builds(BackendCounts, HISTOGRAMS, st.dictionaries(NAME, COUNT, max_size=2)),
            min_size=1,
            max_size=2,
        ),
        max_size=2,
    ),
    st.dictionaries(NAME, COUNT, max_size=2),
    st.dictionaries(NAME, COUNT, max_size=2),
    st.dictionaries(NAME, COUNT, max_size=2),
    st.dictionaries(
        NAME,
        st.builds(
            QueueCounts,
            HISTOGRAMS,
            st.dictionaries(NAME, st.dictionaries(NAME, COUNT, min_size=1, max_size=2), max_size=2),
        ),
        max_size=2,
    ),
    st.dictionaries(
        NAME,
        st.dictionaries(NAME, st.dictionaries(NAME, COUNT, min_size=1, max_size=2), min_size=1, max_size=2),
        max_size=2,
    ),
)


def merged(*deltas: Delta) -> Delta:
    """Return the sum of deltas, none of which is changed."""
    total = Delta()
    for delta in deltas:
        total.merge(delta)
    return total


class TestMerge:
    @given(DELTAS, DELTAS)
    def test_merge_is_commutative(self, first: Delta, second: Delta) -> None:
        """Which worker's delta comes first makes no difference."""
        assert merged(first, second) == merged(second, first)

    @given(DELTAS, DELTAS, DELTAS)
    def test_merge_is_associative(self, first: Delta, second: Delta, third: Delta) -> None:
        """A worker may merge before it sends, the control process after it received."""
        assert merged(merged(first, second), third) == merged(first, merged(second, third))

    @given(DELTAS)
    def test_empty_delta_changes_nothing(self, delta: Delta) -> None:
        """The sum with nothing is the same."""
        assert delta == merged(delta, Delta())

    @given(DELTAS, DELTAS)
    def test_what_is_merged_stays_as_it_is(self, first: Delta, second: Delta) -> None:
        """A sum shares nothing with its parts: adding to it again leaves them alone."""
        before = copy.deepcopy(second)
        total = merged(first, second)
        total.merge(second)

        assert before == second


@given(DELTAS)
def test_delta_travels_unchanged(delta: Delta) -> None:
    """What is decoded from a message is what was sent."""
    assert delta == msgspec.msgpack.decode(msgspec.msgpack.encode(delta), type=Delta)


def test_durations_leave_tunnels_out() -> None:
    """A WebSocket that was open for an hour is no response time."""
    recorder = Recorder()
    recorder.record(make_record(duration=0.5))
    recorder.record(make_record(status=101, duration=3600.0))
    recorder.record(make_record(status=404, duration=0.25))
    durations = recorder.take_delta().durations()

    assert (2, 0.5) == (durations.count, durations.maximum)


def test_repr_tells_the_counts() -> None:
    """A delta in a log says what it holds."""
    recorder = Recorder()
    recorder.record(make_record())
    recorder.record(make_refusal(503, "queue_full"))
    recorder.count_connection(opened=True)

    assert repr(recorder.take_delta()) == (
        "<Delta 2 exchanges of 1 routes, reasons {'queue_full': 1}, errors {'queue_full': 1}, "
        "events {<Event.CONNECTION_OPENED: 'connection_opened'>: 1}>"
    )
