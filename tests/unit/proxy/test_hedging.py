"""When a slow attempt is joined by a second one."""

from __future__ import annotations

import pytest

from pcs_gateway.backends.attempts_config import HedgeConfig
from pcs_gateway.proxy.hedging import HedgeDenial, LateShare, RouteHedge, is_good, judge_hedge


def share(begun: int, late: int) -> LateShare:
    """So many attempts, evenly mixed."""
    made = LateShare()
    for number in range(begun):
        made.begin()
        made.late += (number + 1) * late // begun - number * late // begun
    return made


class TestJudgeHedge:
    @pytest.mark.parametrize(
        ("late", "is_queueing", "is_within_budget", "expected"),
        [
            (5, False, True, None),
            (5, True, True, HedgeDenial.QUEUE),
            (60, False, True, HedgeDenial.SLOW),
            (5, False, False, HedgeDenial.BUDGET),
            (60, True, False, HedgeDenial.QUEUE),
            (60, False, False, HedgeDenial.SLOW),
        ],
    )
    def test_reason(
        self, late: int, expected: HedgeDenial | None, *, is_queueing: bool, is_within_budget: bool
    ) -> None:
        """The first reason that applies, or none."""
        decided = judge_hedge(share(100, late), is_queueing=is_queueing, is_within_budget=is_within_budget)

        assert expected is decided


class TestLateShare:
    @pytest.mark.parametrize(("begun", "late", "expected"), [(9, 9, False), (10, 10, True), (100, 50, False)])
    def test_most(self, begun: int, late: int, *, expected: bool) -> None:
        """More than half; a few attempts say nothing."""
        assert expected is share(begun, late).is_most

    def test_follows_the_last_hundred(self) -> None:
        """Soon after everything became slow it says so, and soon after it is fast again, that."""
        made = share(10_000, 500)
        judged = []
        for number in range(600):
            made.begin()
            made.late += number < 300
            judged.append(made.is_most)
        slow_from, fast_from = judged.index(True), judged.index(False, 300)

        assert 20 < slow_from < 200
        assert fast_from < 500
        assert all(judged[slow_from:300])


class TestRouteHedge:
    def test_fixed_delay(self) -> None:
        """A duration holds whatever is measured."""
        hedge = RouteHedge(HedgeConfig(after="50ms"), 0.3)
        hedge.publish(0.4)

        assert 0.05 == hedge.delay

    def test_percentile(self) -> None:
        """Not known before it is published; then the last one holds."""
        hedge = RouteHedge(HedgeConfig(after="p99.9"))
        before = hedge.delay
        hedge.publish(0.4)

        assert (0.0, 0.4) == (before, hedge.delay)

    @pytest.mark.parametrize(("after", "expected"), [("p95", 0.95), ("p99.9", 0.999), ("2ms", None)])
    def test_percentile_of_the_configuration(self, after: str, expected: float | None) -> None:
        """The ratio that it names."""
        assert expected == pytest.approx(HedgeConfig(after=after).percentile)


@pytest.mark.parametrize(
    ("status", "expected"), [(200, True), (304, True), (404, True), (429, False), (500, False), (503, False)]
)
def test_good_response(status: int, *, expected: bool) -> None:
    """What the client asked for, or its own mistake; not a failure, nor "come again later"."""
    assert expected is is_good(status)
