"""Verdicts and lines of doing no harm."""

from dataclasses import replace

from benchmarks import do_no_harm
from benchmarks.do_no_harm import Half, Harm
from benchmarks.fleet import Counts

CALM = Harm("it", Half(1000, 1009), Half(1000, 1050), (0.05, 0.07), (0.25, 0.36), 0.0, 0)


def _holds(harms: list[Harm]) -> list[bool | None]:
    return [one.holds for one in do_no_harm.judge(harms)]


def test_hedges_load_and_ejections_are_judged() -> None:
    """0.9 % hedges, 1.05 times the requests and no ejection are within the limits."""
    assert _holds([CALM]) == [True, True, True]


def test_one_per_cent_of_hedges_is_too_many() -> None:
    """Under one per cent, not at it; blocks are added up."""
    assert _holds([replace(CALM, ordinary=Half(1000, 1010))])[0] is False
    assert _holds([CALM, replace(CALM, ordinary=Half(1000, 1010))])[0] is True


def test_load_while_slow_is_limited() -> None:
    """1.051 is too much."""
    assert _holds([replace(CALM, slow=Half(1000, 1051))])[1] is False


def test_any_ejection_is_harm() -> None:
    """In whichever block."""
    assert _holds([CALM, replace(CALM, ejections=1.0)])[2] is False


def test_nothing_measured_is_no_verdict() -> None:
    """Neither met nor missed."""
    assert _holds([]) == [None] * 3
    assert do_no_harm.figures([]) == []


def test_counts_of_all_backends_are_added() -> None:
    """A hedge is an attempt that was not the first of its request, on whichever backend."""
    found = do_no_harm.half([Counts(attempts=60, first_attempts=58), Counts(attempts=41, first_attempts=41)])

    assert found == Half(99, 101)


def test_lines_show_the_worst_block() -> None:
    """Sums of counts, the largest percentile; a peer does not tell ejections."""
    worse = replace(CALM, ordinary_times=(0.05, 0.09), ejections=None)
    lines = do_no_harm.lines({"it": [replace(CALM, ejections=None), worse], "gone": []}, {"gone": "why"})

    assert lines[0] == ("it", "0.90 %", "1.050×", "not told", "0", "50 ms", "90 ms", "250 ms", "360 ms")
    assert lines[1][:2] == ("gone", "why")


def test_percentiles_of_nothing_are_zero() -> None:
    """A half in which nobody was answered does not end the run."""
    assert do_no_harm.p50_p99([]) == (0.0, 0.0)


def test_figures_have_the_limits_as_budgets() -> None:
    """One for each requirement."""
    found = do_no_harm.figures([replace(CALM, slow=Half(1000, 1060))])

    assert [one.is_within_budget for one in found] == [True, False, True]
