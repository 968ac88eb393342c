"""Budgets of retries and hedges: cells of a second, summed over the rows of all workers."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcs_gateway.balancing.budget import (
    CELLS,
    HEDGES_PER_WIN,
    PROBE,
    SECONDS,
    AttemptBudget,
    Spending,
    add,
    hedges_allowed,
    retries_allowed,
    total,
)
from pcs_gateway.processes.scoreboard import BUDGET_CELLS, POOLS, Role, Scoreboard


def budgets(workers: int) -> list[AttemptBudget]:
    """The budget of one pool, as each of these workers has it."""
    rows = [[0] * CELLS for _ in range(workers)]

    def others(mine: int) -> Callable[[], list[list[int]]]:
        return lambda: [cells for number, cells in enumerate(rows) if number != mine]

    return [AttemptBudget(rows[number], others(number)) for number in range(workers)]


class TestCells:
    def test_count_is_that_of_its_second(self) -> None:
        """What is counted in a second adds up; another second has a cell of its own."""
        cells = [0] * CELLS
        for second, amount in ((100, 1), (100, 2), (101, 5)):
            add(cells, Spending.RETRIES, second, amount)

        assert [8, 0] == [total([cells], kind, 101) for kind in (Spending.RETRIES, Spending.HEDGES)]

    @pytest.mark.parametrize(("later", "expected"), [(0, 7), (9, 7), (10, 0), (11, 0), (10_000, 0)])
    def test_cell_ages_out_exactly(self, later: int, expected: int) -> None:
        """It counts in its own second and the nine after it, whether anybody writes or not."""
        cells = [0] * CELLS
        add(cells, Spending.RETRIES, 100, 7)

        assert expected == total([cells], Spending.RETRIES, 100 + later)

    def test_cell_is_used_again(self) -> None:
        """Ten seconds later the same cell begins anew."""
        cells = [0] * CELLS
        add(cells, Spending.REQUESTS, 100, 7)
        add(cells, Spending.REQUESTS, 110, 1)

        assert 1 == total([cells], Spending.REQUESTS, 110)

    def test_count_cannot_run_into_the_second(self) -> None:
        """More than fits stays the most that fits."""
        cells = [0] * CELLS
        for _ in range(2):
            add(cells, Spending.REQUESTS, 2**30, 2**32 - 2)

        assert 2**32 - 1 == total([cells], Spending.REQUESTS, 2**30)
        assert cells[0] < 2**63

    @given(
        st.lists(
            st.tuples(
                st.integers(0, 2), st.sampled_from(Spending), st.integers(100, 140), st.integers(0, 1000)
            ),
            max_size=60,
        ),
        st.integers(100, 160),
    )
    def test_total_is_what_was_counted(self, counted: list[tuple[int, Spending, int, int]], now: int) -> None:
        """Over all rows and any times: the sum of the last ten seconds, however old cells were reused."""
        rows = [[0] * CELLS for _ in range(3)]
        counted = sorted(counted, key=lambda one: one[2])
        for row, kind, second, amount in counted:
            add(rows[row], kind, second, amount)
        newest = max([second for _, _, second, _ in counted], default=now)
        now = max(now, newest)

        for kind in Spending:
            expected = sum(
                amount for _, one, second, amount in counted if one is kind and now - SECONDS < second <= now
            )
            assert expected == total(rows, kind, now)

    def test_scoreboard_has_room_for_every_pool(self) -> None:
        """Its cells are those of this module, apart for each pool, and forgotten with the row."""
        scoreboard = Scoreboard.create()
        row = scoreboard.occupy(1, Role.WORKER, 1, 1)

        assert CELLS == BUDGET_CELLS == len(row.budget(0))
        for slot in range(POOLS):
            add(row.budget(slot), Spending.HEDGES, 2**31 - 1, slot + 1)
        assert [slot + 1 for slot in range(POOLS)] == [
            total([row.budget(slot)], Spending.HEDGES, 2**31 - 1) for slot in range(POOLS)
        ]
        scoreboard.free(1)
        assert 0 == total([row.budget(3)], Spending.HEDGES, 2**31 - 1)
        scoreboard.close()


class TestAllowed:
    def test_retries(self) -> None:
        """A share of the requests, and a minimum for each second of the window."""
        assert 100 * 0.2 + 10 * SECONDS == retries_allowed(100, 0.2, 10.0)

    @given(st.integers(0, 10**6), st.integers(0, 10**5), st.floats(0, 1))
    def test_hedges_are_never_more_than_their_share(self, requests: int, wins: int, ratio: float) -> None:
        """However many win."""
        assert 0 <= hedges_allowed(requests, wins, ratio) <= ratio * requests

    def test_hedges_that_do_not_win_are_a_tenth(self) -> None:
        """Each win allows more, up to the share."""
        assert PROBE * 50 == hedges_allowed(1000, 0, 0.05)
        assert PROBE * 50 + 2 * HEDGES_PER_WIN == hedges_allowed(1000, 2, 0.05)
        assert 50.0 == hedges_allowed(1000, 50, 0.05)

    def test_with_little_traffic_one_is_tried(self) -> None:
        """A tenth of a share below ten would never begin."""
        assert 1.0 == hedges_allowed(40, 0, 0.05)


class TestAttemptBudget:
    def test_minimum_without_traffic(self) -> None:
        """Ten seconds of it at once, and no more until they age out."""
        (budget,) = budgets(1)

        assert 20 == sum(budget.take_retry(0.2, 2.0, 100.0) for _ in range(50))
        assert not budget.take_retry(0.2, 2.0, 109.9)
        assert budget.take_retry(0.2, 2.0, 110.0)

    def test_share_of_the_requests(self) -> None:
        """Requests that were not shown to the others yet count at once."""
        (budget,) = budgets(1)
        budget.requests = 100

        assert 20 == sum(budget.take_retry(0.2, 0.0, 100.0) for _ in range(50))

    def test_nothing_is_allowed_by_nothing(self) -> None:
        """A ratio and a minimum of 0 turn retries off."""
        (budget,) = budgets(1)
        budget.requests = 1000

        assert not budget.take_retry(0.0, 0.0, 100.0)
        assert not budget.allows_hedge(0.0, 100.0)

    def test_others_spend_from_the_same(self) -> None:
        """What one worker took another has not; what one saw of requests the other may use."""
        one, two = budgets(2)
        one.requests = 50
        one.show(100.0)

        taken = [budget.take_retry(0.2, 0.0, 100.5) for budget in (one, two) * 10]

        assert 10 == sum(taken)
        assert 10 == one.spent(Spending.RETRIES, 100.5) == two.spent(Spending.RETRIES, 100.5)

    @given(st.integers(1, 8), st.integers(0, 2**32))
    def test_overshoot_is_at_most_one_for_each_other_worker(self, workers: int, seed: int) -> None:
        """
        Whenever a retry is spent its window holds at most what is allowed, and one for each other worker.

        Workers decide on what they read a moment before, as processes of their own do: in each step all of
        them look first and write after.
        """
        random = Random(seed)
        all_of_them = budgets(workers)
        ratio, minimum = random.choice([0.0, 0.1, 0.2, 1.0]), random.choice([0.0, 1.0, 3.0])
        now = 1000.0
        for _ in range(120):
            now += random.choice([0.0, 0.01, 0.2, 1.0, 4.0])
            for budget in all_of_them:
                budget.requests += random.randrange(4)
                budget.show(now)
            wanting = [budget for budget in all_of_them if random.random() < 0.7]
            looked = [
                (
                    budget.spent(Spending.RETRIES, now),
                    retries_allowed(budget.spent(Spending.REQUESTS, now), ratio, minimum),
                )
                for budget in wanting
            ]
            has_spent = False
            for budget, (spent, allowed) in zip(wanting, looked, strict=True):
                if spent + 1 <= allowed:
                    budget.spend(Spending.RETRIES, now)
                    has_spent = True
            if has_spent:
                most = retries_allowed(all_of_them[0].spent(Spending.REQUESTS, now), ratio, minimum)
                assert all_of_them[0].spent(Spending.RETRIES, now) <= most + workers - 1

    @given(st.integers(1, 4), st.integers(0, 2**32))
    def test_without_a_race_there_is_no_overshoot(self, workers: int, seed: int) -> None:
        """Workers that come one after another share one budget exactly, hedges as well as retries."""
        random = Random(seed)
        all_of_them = budgets(workers)
        now = 1000.0
        for _ in range(200):
            now += random.choice([0.0, 0.05, 0.5])
            budget = random.choice(all_of_them)
            budget.requests += random.randrange(3)
            budget.show(now)
            if budget.take_retry(0.2, 0.5, now):
                most = retries_allowed(budget.spent(Spending.REQUESTS, now), 0.2, 0.5)
                assert budget.spent(Spending.RETRIES, now) <= most
            if budget.allows_hedge(0.05, now):
                budget.spend(Spending.HEDGES, now)
                assert budget.spent(Spending.HEDGES, now) <= 0.05 * budget.spent(Spending.REQUESTS, now)
            if random.random() < 0.1:
                budget.spend(Spending.HEDGE_WINS, now)

    def test_simulated_outage_stays_within_the_budget(self) -> None:
        """1000 requests a second that all fail cause a fifth as many retries, and the minimum."""
        random = Random(7)
        pair = budgets(2)
        retries = 0
        for tick in range(10 * 60):
            now = 500.0 + tick / 10
            for budget in pair:
                arrived = random.randrange(40, 61)
                budget.requests += arrived
                retries += sum(budget.take_retry(0.2, 10.0, now) for _ in range(arrived))
                budget.show(now)
        requests = 60 * 1000

        assert retries <= 0.2 * requests * 1.02 + 10.0 * (60 + SECONDS) + 2
        assert retries >= 0.2 * requests * 0.95
