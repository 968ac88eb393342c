"""Figures and verdicts of the overload."""

from dataclasses import replace
from math import inf

import pytest

from benchmarks import overload, shedding
from benchmarks.open_loop import Kind, Loaded
from benchmarks.overload import Found

GOOD = Found("it", 800.0, 0.97, 0.14, (0.1, 0.3), 0.5, 0.5, 0.0, 0.002, 0.2)
"""Allowed is twice 140 ms and 20 ms more."""


def holds(found: Found) -> list[bool | None]:
    """Whether each requirement is met."""
    return [one.holds for one in overload.judge(found)]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (GOOD, [True, True, True, True]),
        (replace(GOOD, goodput=0.89), [False, True, True, True]),
        (replace(GOOD, admitted=(0.1, 0.301)), [True, False, True, True]),
        (replace(GOOD, recovery=2.5), [True, True, False, True]),
        (replace(GOOD, recovery=inf), [True, True, False, True]),
        (replace(GOOD, high_lost=0.01), [True, True, True, False]),
    ],
)
def test_each_requirement_is_judged(found: Found, expected: list[bool]) -> None:
    """Goodput, durations of the admitted, recovery and the class high, each by itself."""
    assert expected == holds(found)


def loaded(sent_at: list[float], times: list[float], failed_at: list[float], method: str = "GET") -> Loaded:
    """What one generator saw."""
    kind = Kind(times, sent_at, {"503": len(failed_at)} if failed_at else {}, failed_at)
    return Loaded({method: kind}, (0.001, 0.002), 0.1, 0, (), ())


def test_figures_of_two_generators() -> None:
    """Both count; the second one's clock begins with the overload, at 10 s."""
    throughout = loaded([1.0, 2.0, 11.0, 12.0], [0.1, 0.1, 0.15, 0.15], [13.0])
    more = loaded([3.0], [0.25], [4.0], "POST")
    found = overload.judge_load("it", 0.75, [(more, 10.0), (throughout, 0.0)], began=10.0, seconds=4.0)

    assert (1.0, 0.1) == (found.goodput, found.unloaded)
    assert (0.15, 0.25) == found.admitted
    assert 0.25 == found.shed
    assert 0.0 == found.high_lost


def test_lost_requests_of_the_class_high() -> None:
    """POSTs that failed within the overload, as a share of those that came within it."""
    more = loaded([1.0, 2.0, 3.0], [0.1, 0.1, 0.1], [2.5], "POST")
    before = loaded([1.0], [0.1], [])

    assert 0.25 == overload.judge_load("it", 1.0, [(more, 10.0), (before, 0.0)], 10.0, 4.0).high_lost


WELL = [(at / 10, 0.1) for at in range(100)]


@pytest.mark.parametrize(
    ("slow", "failed", "expected"),
    [
        ([], [], 0.0),
        ([], [-0.1], 0.0),
        ([], [0.2], 0.5),
        ([], [0.2, 1.7], 2.0),
        ([(0.7, 0.5)], [], 1.0),
        ([], [9.4], inf),
    ],
)
def test_recovery(slow: list[tuple[float, float]], failed: list[float], expected: float) -> None:
    """From the end of the last half second in which one failed or was slow."""
    assert expected == overload.recovery([*WELL, *slow], failed, allowed=0.3)


def test_shedding_is_measured() -> None:
    """A few microseconds to some hundred, whatever machine this is."""
    assert 1e-6 < shedding.measure(rounds=3) < 1e-3
