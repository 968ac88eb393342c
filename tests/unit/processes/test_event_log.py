"""The log of the supervisor."""

import json
import os
from pathlib import Path

import pytest

from pcs_gateway.processes.event_log import EventLog
from tests.fakes.clock import FakeClock


def test_event_is_one_line_of_json(tmp_path: Path) -> None:
    """A line has time, level, event, process and the event's fields, in this order."""
    with (tmp_path / "log").open("w") as stream:
        EventLog("supervisor", FakeClock(0.25), stream=stream).warning("died", pid=7, path="a\nb")

    (text,) = (tmp_path / "log").read_text().splitlines()
    expected = [
        ("time", "2023-11-14T22:13:20.250Z"),
        ("level", "warning"),
        ("event", "died"),
        ("process", "supervisor"),
        ("pid", 7),
        ("path", "a\nb"),
    ]
    assert expected == list(json.loads(text).items())


def test_event_as_text(tmp_path: Path) -> None:
    """Text is for people: the same facts on one line."""
    with (tmp_path / "log").open("w") as stream:
        EventLog("supervisor", FakeClock(0.25), style="text", stream=stream).info("started", pid=7)

    assert "2023-11-14T22:13:20.250Z info    supervisor: started pid=7\n" == (tmp_path / "log").read_text()


@pytest.mark.parametrize(("level", "written"), [("debug", 3), ("info", 3), ("warning", 2), ("error", 1)])
def test_lesser_events_are_left_out(tmp_path: Path, level: str, written: int) -> None:
    """The level is the least that is written."""
    with (tmp_path / "log").open("w") as stream:
        log = EventLog("supervisor", FakeClock(), level, stream=stream)
        log.info("a")
        log.warning("b")
        log.error("c")

    assert written == len((tmp_path / "log").read_text().splitlines())


def test_closed_end_ends_nothing(tmp_path: Path) -> None:
    """An event that cannot be written is lost; who logs goes on."""
    with (tmp_path / "log").open("w") as stream:
        log = EventLog("supervisor", FakeClock(), stream=stream)

    log.error("nobody listens")


def test_end_that_nobody_reads_holds_nobody_up() -> None:
    """A full pipe loses events instead of stopping the supervisor; the next line says how many."""
    readable, writable = os.pipe()
    with os.fdopen(readable, "rb", buffering=0) as reader, os.fdopen(writable, "w") as stream:
        log = EventLog("supervisor", FakeClock(), stream=stream)
        for number in range(5000):
            log.info("again", number=number)
        before = reader.read(1 << 20)
        log.info("heard")
        after = json.loads(reader.read(1 << 20))

    written = before.count(b"\n")
    assert 100 < written < 5000
    assert ("heard", 5000 - written) == (after["event"], after["lost_before"])
