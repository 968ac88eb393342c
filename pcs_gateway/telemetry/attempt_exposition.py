"""What /metrics tells of attempts beyond the first: retries, hedges, those denied, and what budgets allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from pcs_gateway.telemetry.delta import Decision, Delta
from pcs_gateway.telemetry.exposition import counter, gauge
from pcs_gateway.telemetry.store import MeasurementStore


class BudgetFigures(msgspec.Struct, frozen=True):
    """
    What a pool's budgets allow now, over all workers.

    Attributes:
        retries: Retries that are left.
        hedges: Hedges that are left; None when the pool has none.
    """

    retries: float
    hedges: float | None = None


class AttemptCollector(Collector):
    """The decisions about attempts, and the budgets that they are taken within."""

    def __init__(self, store: MeasurementStore, read: Callable[[], Mapping[str, BudgetFigures]]) -> None:
        """
        Read these when asked.

        Args:
            read: Gives the figures of each pool.
        """
        self._store = store
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        totals = self._store.totals
        yield counter(
            "retries",
            "Attempts after one that failed, by why that failed.",
            ("pool", "cause"),
            decided(totals, Decision.RETRY),
        )
        yield counter(
            "retries_denied",
            "Failed attempts that no other followed, by the reason.",
            ("pool", "reason"),
            decided(totals, Decision.RETRY_DENIED),
        )
        yield counter(
            "hedges",
            "Second attempts beside a slow one: started, and what became of them.",
            ("pool", "result"),
            decided(totals, Decision.HEDGE),
        )
        yield counter(
            "hedges_denied",
            "Slow attempts that no second one joined, by the reason.",
            ("pool", "reason"),
            decided(totals, Decision.HEDGE_DENIED),
        )
        yield from self._budgets()

    def _budgets(self) -> Iterator[Metric]:
        figures = self._read()
        left: dict[tuple[str, ...], float] = {}
        for pool, budget in figures.items():
            left[pool, "retries"] = budget.retries
            if budget.hedges is not None:
                left[pool, "hedges"] = budget.hedges
        yield gauge(
            "budget_remaining",
            "Retries and hedges that the traffic of the last ten seconds still allows.",
            ("pool", "kind"),
            left,
        )


def decided(totals: Delta, decision: Decision) -> dict[tuple[str, ...], int]:
    """Return how often something was decided, by pool and reason."""
    return {
        (pool, reason): count
        for pool, kinds in totals.decisions.items()
        for reason, count in kinds.get(decision, {}).items()
    }
