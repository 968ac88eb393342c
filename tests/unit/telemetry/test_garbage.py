"""Pauses of the garbage collector."""

import gc
from collections.abc import Iterator

import pytest

from pcs_gateway.telemetry.delta import Event
from pcs_gateway.telemetry.garbage import GarbageWatch
from pcs_gateway.telemetry.recorder import Recorder


class Ticks:
    """A clock that moves on by the next of some steps at each look."""

    def __init__(self, steps: list[float]) -> None:
        self._steps = iter(steps)
        self._now = 0.0

    def __call__(self) -> float:
        self._now += next(self._steps)
        return self._now


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Return a recorder, with the collector under the test's control."""
    gc.disable()
    yield Recorder()
    gc.enable()


def test_long_pauses_are_counted(recorder: Recorder) -> None:
    """Of two real collections, said to take 1 ms and 8 ms, the second counts."""
    watch = GarbageWatch(recorder.count, Ticks([0.0, 0.001, 1.0, 0.008]))
    watch.start()
    gc.collect()
    gc.collect()
    watch.stop()

    assert recorder.take_delta().events == {Event.GC_PAUSES: 1, Event.GC_PAUSE_NANOSECONDS: 8_000_000}


def test_stopped_watch_sees_nothing(recorder: Recorder) -> None:
    """After stop the collector calls it no more: the clock, out of ticks, would raise."""
    watch = GarbageWatch(recorder.count, Ticks([]))
    watch.start()
    watch.stop()
    gc.collect()

    assert recorder.take_delta().is_empty()
