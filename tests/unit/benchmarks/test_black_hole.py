"""Verdicts and lines of the black hole."""

from dataclasses import replace

from benchmarks import black_hole
from benchmarks.black_hole import OURS, Finding
from benchmarks.fleet import Fault

GOOD = Finding(OURS, 10_000, 9, 10_000, 20, {"POST 503": 20}, 1.0, 30, 0.4, 0.03)


def _holds(found: list[Finding]) -> list[bool | None]:
    return [one.holds for one in black_hole.judge(Fault.HANG, found)]


def test_gets_and_posts_are_judged() -> None:
    """Nine of ten thousand GETs and twenty POSTs for one ejection are within the limits."""
    assert _holds([GOOD]) == [True, True]


def test_one_get_in_a_thousand_is_too_many() -> None:
    """Under 0.1 %, not at it."""
    assert _holds([replace(GOOD, gets_failed=10)]) == [False, True]


def test_posts_are_counted_per_ejection() -> None:
    """Forty for two ejections will do, forty-one will not, and without any twenty-one are too many."""
    assert _holds([replace(GOOD, posts_failed=40, ejections=2.0)])[1] is True
    assert _holds([replace(GOOD, posts_failed=41, ejections=2.0)])[1] is False
    assert _holds([replace(GOOD, posts_failed=21, ejections=0.0)])[1] is False


def test_few_failures_without_an_ejection_say_nothing() -> None:
    """The first ejection may cost as many: there were too few requests to see it."""
    [_, posts] = black_hole.judge(Fault.HANG, [replace(GOOD, posts_failed=2, ejections=0.0)])
    figure = black_hole.figures(Fault.HANG, [replace(GOOD, posts_failed=2, ejections=0.0)])[1]

    assert (None, "2 failed, 0 ejections: too few requests to say") == (posts.holds, posts.measured)
    assert figure.budget is None


def test_a_finding_is_summed_up_on_one_line() -> None:
    """For whoever waits for the page."""
    expected = "9 of 10,000 GETs and 20 of 10,000 POSTs failed, 1 ejections, 30 attempts swallowed, p99 30 ms"

    assert expected == GOOD.summary


def test_nothing_failed_needs_no_ejection() -> None:
    """A hole that was never fed did no harm."""
    assert _holds([replace(GOOD, posts_failed=0, ejections=0.0)])[1] is True


def test_without_our_row_there_is_no_verdict() -> None:
    """The peers are shown, not judged."""
    assert _holds([replace(GOOD, row="nginx least_conn")]) == [None, None]


def test_lines_say_what_peers_do_not_tell() -> None:
    """A peer counts no ejections, and a missing peer says why."""
    lines = black_hole.lines([replace(GOOD, row="nginx", ejections=None)], {"haproxy": "not installed"})

    assert lines[0][2:7] == ("9 (0.090 %)", "10,000", "20 (0.20 %)", "not told", "")
    assert lines[1][:2] == ("haproxy", "not installed")
    assert {len(line) for line in lines} == {len(black_hole.COLUMNS)}


def test_figures_judge_the_gateway_only() -> None:
    """Its budgets are the requirements'; peers have none."""
    found = black_hole.figures(Fault.RESET, [replace(GOOD, posts_failed=21), replace(GOOD, row="nginx")])

    assert [(one.target, one.budget, one.is_within_budget) for one in found] == [
        (OURS, 0.1, True),
        (OURS, 20.0, False),
        ("nginx", None, True),
        ("nginx", None, True),
    ]
