"""What is left of the budgets of retries and hedges, over all workers: for /metrics."""

from __future__ import annotations

from collections.abc import Callable

from pcs_gateway.backends.config import PoolConfig
from pcs_gateway.balancing.budget import Cells, Spending, hedges_allowed, retries_allowed, total
from pcs_gateway.clock import Clock
from pcs_gateway.control.roster import Roster
from pcs_gateway.processes.scoreboard import Scoreboard
from pcs_gateway.telemetry.attempt_exposition import BudgetFigures


def remaining(config: PoolConfig, rows: list[Cells], now: float) -> BudgetFigures:
    """Return what the traffic of the last ten seconds still allows a pool."""
    requests, retries, hedges, wins = (total(rows, kind, int(now)) for kind in Spending)
    retry = config.retry.budget
    return BudgetFigures(
        max(retries_allowed(requests, retry.ratio, retry.minimum_per_second) - retries, 0.0),
        max(hedges_allowed(requests, wins, config.hedge.budget) - hedges, 0.0) if config.hedge else None,
    )


def budget_reader(
    roster: Roster, scoreboard: Scoreboard, clock: Clock
) -> Callable[[], dict[str, BudgetFigures]]:
    """Return what reads the budgets of all pools."""

    def read() -> dict[str, BudgetFigures]:
        workers = [scoreboard.row(index) for index in scoreboard.rows_in_use()]
        now = clock.monotonic()
        return {
            name: remaining(config, [row.budget(roster.slot(name)) for row in workers], now)
            for name, config in roster.pools.items()
        }

    return read
