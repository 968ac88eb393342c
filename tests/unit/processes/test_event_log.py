"""The log of the supervisor."""

import io
import json

import pytest

from pcs_gateway.processes.event_log import EventLog
from tests.fakes.clock import FakeClock


def test_event_is_one_line_of_json() -> None:
    """A line has time, level, event, process and the event's fields, in this order."""
    stream = io.StringIO()
    EventLog("supervisor", FakeClock(0.25), stream=stream).warning("died", pid=7, path="a\nb")

    line = json.loads(stream.getvalue())
    assert stream.getvalue().count("\n") == 1
    assert list(line.items()) == [
        ("time", "2023-11-14T22:13:20.250Z"),
        ("level", "warning"),
        ("event", "died"),
        ("process", "supervisor"),
        ("pid", 7),
        ("path", "a\nb"),
    ]


def test_event_as_text() -> None:
    """Text is for people: the same facts on one line."""
    stream = io.StringIO()
    EventLog("supervisor", FakeClock(0.25), style="text", stream=stream).info("started", pid=7)

    assert stream.getvalue() == "2023-11-14T22:13:20.250Z info    supervisor: started pid=7\n"


@pytest.mark.parametrize(("level", "written"), [("debug", 3), ("info", 3), ("warning", 2), ("error", 1)])
def test_lesser_events_are_left_out(level: str, written: int) -> None:
    """The level is the least that is written."""
    stream = io.StringIO()
    log = EventLog("supervisor", FakeClock(), level, stream=stream)
    log.info("a")
    log.warning("b")
    log.error("c")

    assert stream.getvalue().count("\n") == written


def test_closed_end_ends_nothing() -> None:
    """An event that cannot be written is lost; who logs goes on."""
    stream = io.StringIO()
    stream.close()

    EventLog("supervisor", FakeClock(), stream=stream).error("nobody listens")
