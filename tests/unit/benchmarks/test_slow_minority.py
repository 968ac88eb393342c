"""Verdicts and lines of the slow minority."""

from benchmarks import slow_minority
from benchmarks.cells import Block, Cell
from benchmarks.slow_minority import CASES, NGINX, OURS, ROWS, UNAVAILABLE


def _cell(name: str, p50: float, p99: float, attempts: int = 1000) -> Cell:
    times = [p50] * 980 + [p99] * 20
    return Cell(name, (Block(times, 0, attempts, 1000, 10, 0.1, 1000),) * 2)


def _cells(ours: float = 0.07, p50: float = 0.05, attempts: int = 1000) -> dict[str, Cell]:
    cells = [_cell(OURS, p50, ours, attempts), _cell(NGINX[0], 0.05, 0.98), _cell(NGINX[1], 0.05, 0.7)]
    return {cell.name: cell for cell in cells}


def _holds(case: str, cells: dict[str, Cell]) -> list[bool | None]:
    return [one.holds for one in slow_minority.judge(CASES[case], cells)]


def test_all_that_must_hold_is_judged() -> None:
    """p99 and p50 against both of nginx's, and the extra load."""
    assert _holds("plain", _cells()) == [True] * 5


def test_eight_times_is_needed_against_the_better_of_both() -> None:
    """7.8 times below least_conn is missed though round robin is eleven times above; with stragglers 5 do."""
    assert _holds("plain", _cells(ours=0.09)) == [True, False, True, True, True]
    assert _holds("stragglers", _cells(ours=0.09)) == [True] * 5
    assert _holds("stragglers", _cells(ours=0.141))[1] is False


def test_p50_may_not_pay_for_it() -> None:
    """Six per cent more is too much."""
    assert _holds("plain", _cells(p50=0.053)) == [True, True, False, False, True]


def test_upstream_requests_may_not_pay_for_it() -> None:
    """Five per cent more is allowed, six is not."""
    assert _holds("stragglers", _cells(attempts=1050))[-1] is True
    assert _holds("stragglers", _cells(attempts=1060))[-1] is False


def test_a_missing_row_is_not_a_verdict() -> None:
    """Without nginx nothing is claimed about it; without our row nothing at all."""
    cells = _cells()
    del cells[NGINX[1]]

    assert _holds("plain", cells) == [True, None, True, None, True]
    assert _holds("plain", {}) == [None] * 5
    assert slow_minority.figures("plain", CASES["plain"], {}) == []


def test_table_has_a_line_for_whatever_is_missing() -> None:
    """A peer without its program says why; nginx' newer strategy is named as not installed."""
    lines = slow_minority.lines(ROWS, _cells(), {"HAProxy leastconn": "haproxy is not installed"})
    by_name = {line[0]: line for line in lines}

    assert list(by_name) == [*(row.name for row in ROWS), UNAVAILABLE]
    assert by_name["HAProxy leastconn"][1] == "haproxy is not installed"
    assert by_name[UNAVAILABLE][1] == "not installed here, expected equal to ours without hedging"
    assert {len(line) for line in lines} == {len(slow_minority.COLUMNS)}


def test_line_shows_blocks_and_shares() -> None:
    """Pooled percentile with the smallest and largest block, extra load, share to slow backends."""
    line = slow_minority.line(_cell(OURS, 0.05, 0.07, attempts=1020))

    assert line[3] == "70 ms (70–70)"
    assert line[5:8] == ("0.00 %", "2.00 %", "0.98 %")


def test_figures_carry_the_same_limits() -> None:
    """1/8 and 1/5 of nginx' p99, five per cent more upstream requests."""
    plain = slow_minority.figures("plain", CASES["plain"], _cells(ours=0.09))
    stragglers = slow_minority.figures("stragglers", CASES["stragglers"], _cells(ours=0.09))

    assert [one.is_within_budget for one in plain] == [True, False, True]
    assert [one.is_within_budget for one in stragglers] == [True, True, True]


def test_bottleneck_of_the_generator_would_be_seen() -> None:
    """The page says how busy and how late it was at most."""
    block = Block([0.05], 0, 1, 1, generator_cpu=0.07, generator_late=0.0021)

    assert "7% of a core" in slow_minority.generator_notes("T", [Cell("a", (block,))])[0]
    assert "2.1 ms" in slow_minority.generator_notes("T", [Cell("a", (block,))])[0]
