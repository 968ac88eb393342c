"""Verdicts and lines of the rolling restart."""

from dataclasses import replace

from benchmarks import rolling_restart
from benchmarks.rolling_restart import Phase

CLEAN = Phase("workers", 2, 11.0, 3000, {}, 20, 21, {"stream": {}, "socket": {}}, 0.04)


def _holds(found: list[Phase]) -> list[bool | None]:
    return [one.holds for one in rolling_restart.judge(found)]


def test_clean_restart_holds() -> None:
    """No GET, no stream and no WebSocket was lost."""
    assert _holds([CLEAN, CLEAN]) == [True, True, True]


def test_one_lost_is_too_many() -> None:
    """In any phase, of any kind."""
    assert _holds([CLEAN, replace(CLEAN, failures={"connection_reset": 1})]) == [False, True, True]
    assert _holds([replace(CLEAN, cut={"stream": {"reset": 1}, "socket": {}})]) == [True, False, True]
    assert _holds([replace(CLEAN, cut={"stream": {}, "socket": {"1006": 1}})]) == [True, True, False]


def test_no_clients_prove_nothing() -> None:
    """A load that never came does not pass."""
    assert _holds([replace(CLEAN, answered=0, streams=0, sockets=0)]) == [False, False, False]


def test_line_counts_everything() -> None:
    """One line per phase."""
    lost = replace(CLEAN, failures={"502": 2, "connection_reset": 1}, cut={"socket": {"1006": 4}})
    line = rolling_restart.line(lost)

    assert line == ("workers", "2", "11", "3,000", "3", "20", "0", "21", "4", "40 ms")
    assert len(line) == len(rolling_restart.COLUMNS)
    assert [one.value for one in rolling_restart.figures([lost])] == [7.0]
