"""Rates that several workers count together: never more than allowed, never less for who keeps to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcs_gateway.processes.client_cells import Cells
from pcs_gateway.processes.rate_table import RateTable, SharedRate
from pcs_gateway.processes.scoreboard import Role, Scoreboard

LATE = 50_000.0
"""A moment at which the machine has been up for some time."""


def share(workers: int, rate: float, burst: int, scoreboard: Scoreboard | None = None) -> list[SharedRate]:
    """Give one limit as each of several workers holds it."""
    board = scoreboard or Scoreboard.create()
    for row in range(1, workers + 1):
        board.occupy(row, Role.WORKER, 1, row)
    return [RateTable(board, row).limit("rate_limits[0]", rate, burst, 0, 1) for row in range(1, workers + 1)]


def admit(limit: SharedRate, cells: Cells, now: float) -> bool:
    """Ask, and count when it may pass."""
    state = limit.look(cells, now)
    if limit.wait(state):
        return False
    limit.take(state)
    return True


def most_beyond(admitted: list[float], rate: float, factor: float = 1.0) -> float:
    """Give by how much any span of time has more than `factor` times what its length allows."""
    worst, lowest = 0.0, float("inf")
    for count, moment in enumerate(sorted(admitted)):
        level = count - factor * rate * moment
        lowest = min(lowest, level)
        worst = max(worst, level - lowest + 1)
    return worst


class TestOneWorker:
    def test_burst_passes_at_once_and_no_more(self) -> None:
        """After a pause `burst` requests pass, then one for each interval."""
        (limit,) = share(1, 10.0, 5)
        cells = limit.cells(b"a")

        at_once = sum(admit(limit, cells, LATE) for _ in range(20))
        later = sum(admit(limit, cells, LATE + 0.1 * interval) for interval in range(1, 21) for _ in range(3))

        assert (5, 20) == (at_once, later)

    def test_wait_is_the_time_until_one_may_pass(self) -> None:
        """A moment before it may not, then it may."""
        (limit,) = share(1, 2.0, 1)
        cells = limit.cells(b"a")
        admit(limit, cells, LATE)

        wait = limit.wait(limit.look(cells, LATE + 0.1))

        assert 0.35 < wait <= 0.4
        assert not admit(limit, cells, LATE + 0.1 + wait - 0.05)
        assert admit(limit, cells, LATE + 0.1 + wait + 0.001)

    def test_refused_requests_count_for_nothing(self) -> None:
        """Who asks too often is served at the rate all the same."""
        (limit,) = share(1, 10.0, 1)
        cells = limit.cells(b"a")
        moments = [LATE + 0.001 * number for number in range(10_000)]

        assert 100 <= sum(admit(limit, cells, moment) for moment in moments) <= 102

    @pytest.mark.parametrize("rate", [1 / 3600, 1 / 60, 1.0, 100.0, 10_000.0])
    @pytest.mark.parametrize("start", [0.0, 1.0, LATE, 3e8])
    def test_rates_of_any_size_at_any_time(self, rate: float, start: float) -> None:
        """From one an hour to ten thousand a second, just after the machine's start and years later."""
        (limit,) = share(1, rate, 3)
        cells = limit.cells(b"a")
        admitted = [
            start + step / rate / 4 for step in range(400) if admit(limit, cells, start + step / rate / 4)
        ]

        assert 100 <= len(admitted) <= 104

    def test_long_bursts_make_new_bases(self) -> None:
        """More debt than a word holds is carried on exactly."""
        (limit,) = share(1, 100.0, 100_000)
        cells = limit.cells(b"a")

        assert 100_000 == sum(admit(limit, cells, LATE) for _ in range(100_050))
        assert 100 == sum(admit(limit, cells, LATE + 1.0) for _ in range(150))

    def test_a_base_out_of_reach_is_void(self) -> None:
        """What another configuration left in a cell does not shut anybody out."""
        board = Scoreboard.create()
        (limit,) = share(1, 1.0, 1, board)
        cells = limit.cells(b"a")
        for cell in cells:
            board.rate_cells(1)[cell] = (2**47 << 16) | 1

        assert [True, False] == [admit(limit, cells, LATE), admit(limit, cells, LATE + 0.1)]


class TestKeys:
    def test_keys_are_counted_apart(self) -> None:
        """A client at its limit costs another one nothing."""
        (limit,) = share(1, 1.0, 1)

        assert [True] * 50 == [admit(limit, limit.cells(b"%d" % key), LATE) for key in range(50)]

    def test_one_shared_cell_does_no_harm(self) -> None:
        """A key is held for what the lower of its two cells says."""
        (limit,) = share(1, 1.0, 1)
        admit(limit, (10, 11), LATE)

        assert not admit(limit, (10, 11), LATE)
        assert admit(limit, (11, 12), LATE)

    def test_who_shares_both_cells_is_counted_together(self) -> None:
        """The error is on the strict side, and rare: two chances in as many as there are pairs of cells."""
        (limit,) = share(1, 1.0, 1)
        admit(limit, (10, 11), LATE)

        assert not admit(limit, (11, 10), LATE)

    def test_neighbours_do_not_let_a_key_pass_twice(self) -> None:
        """A key whose two cells are shared with two busy neighbours gets its own rate at most."""
        (limit,) = share(1, 100.0, 5)
        chance = Random(3)
        admitted: list[float] = []
        for step in range(20_000):
            now = LATE + step * 0.001
            admit(limit, (1, 2) if chance.random() < 0.5 else (3, 4), now)
            if admit(limit, (2, 3), now):
                admitted.append(now)

        assert most_beyond(admitted, 100.0) <= 6

    def test_a_cell_of_many_busy_keys_does_not_run_ahead_without_end(self) -> None:
        """It says that nobody may pass now, which is enough; when they are gone it is soon free again."""
        (limit,) = share(1, 10.0, 5)
        admitted = sum(admit(limit, (1, key), LATE) for key in range(2, 402) for _ in range(5))

        assert 2000 == admitted
        assert 0.0 < limit.wait(limit.look((1, 1), LATE)) < 0.5

    def test_who_has_many_keys_takes_hardly_anybodys_place(self) -> None:
        """All 65,536 networks of an IPv6 /48, three requests each within a burst of five."""
        (limit,) = share(1, 5 / 60, 5)
        for key in range(65_536):
            cells = limit.cells(b"many %d" % key)
            for _ in range(3):
                admit(limit, cells, LATE)

        held = sum(not admit(limit, limit.cells(b"other %d" % key), LATE) for key in range(2000))
        assert held <= 2000 * 0.02

    def test_fill_is_the_share_of_cells_in_use(self) -> None:
        """Whoever counts in them; what is over is not in use any more."""
        board = Scoreboard.create()
        limit, reader = share(2, 10.0, 5, board)
        for key in range(65_536):
            admit(limit, limit.cells(b"%d" % key), LATE)

        assert abs(0.39 - reader.fill(LATE)) < 0.06
        assert 0.0 == reader.fill(LATE + 2.0)


class TestSeveralWorkers:
    def test_they_share_one_truth(self) -> None:
        """One after another they admit exactly what one alone would."""
        limits = share(4, 100.0, 50)
        cells = limits[0].cells(b"a")
        chance, now = Random(1), LATE
        admitted = 0
        while now < LATE + 10:
            now += chance.expovariate(2000.0)
            admitted += admit(chance.choice(limits), cells, now)

        assert 1048 <= admitted <= 1050

    @pytest.mark.parametrize("later", [0.0, 0.1, 0.3])
    def test_beginnings_at_the_same_moment_are_both_counted(self, later: float) -> None:
        """Two workers that find a full bucket and do not see each other write two bases; neither is lost."""
        one, other = share(2, 1.0, 1)
        cells = one.cells(b"a")
        states = one.look(cells, LATE), other.look(cells, LATE + later)
        one.take(states[0])
        other.take(states[1])

        assert not admit(one, cells, LATE + later + 1.2)
        assert admit(one, cells, LATE + 2.01)

    def test_what_a_dead_worker_admitted_counts_on(self) -> None:
        """Neither the others nor its successor in the row begin anew."""
        board = Scoreboard.create()
        one, other = share(2, 1.0, 10, board)
        cells = one.cells(b"a")
        admit(other, cells, LATE)
        assert 9 == sum(admit(one, cells, LATE) for _ in range(20))

        board.free(1)
        assert not admit(other, cells, LATE + 0.1)
        board.occupy(1, Role.WORKER, 1, 9)
        successor = RateTable(board, 1).limit("rate_limits[0]", 1.0, 10, 0, 1)

        assert not admit(successor, cells, LATE + 0.2)
        assert not admit(other, cells, LATE + 0.2)
        assert [True, False] == [admit(successor, cells, LATE + 1.1), admit(other, cells, LATE + 1.2)]

    def test_rows_of_the_dead_are_read_for_a_minute(self) -> None:
        """Then nothing that matters is left in them."""
        board = Scoreboard.create()
        limits = share(3, 1.0, 10, board)
        table = limits[0]._table
        cells = limits[0].cells(b"a")
        counts = []
        limits[0].look(cells, LATE)
        board.free(3)
        for later in (0.0, 59.0, 61.0):
            limits[0].look(cells, LATE + later)
            counts.append(len(table.rows))

        assert [3, 3, 2] == counts

    def test_a_worker_that_comes_is_read_at_once(self) -> None:
        """From its first request on."""
        board = Scoreboard.create()
        (old,) = share(1, 1.0, 5, board)
        cells = old.cells(b"a")
        admit(old, cells, LATE)
        board.occupy(2, Role.WORKER, 1, 2)
        new = RateTable(board, 2).limit("rate_limits[0]", 1.0, 5, 0, 1)
        assert 4 == sum(admit(new, cells, LATE) for _ in range(9))

        assert not admit(old, cells, LATE)


class Interleaving(Scoreboard):
    """
    A table whose rows let other workers come between any two reads and writes of one.

    Attributes:
        between: Called before each access to a cell.
    """

    between: Callable[[], None] = staticmethod(lambda: None)

    def rate_cells(self, index: int) -> memoryview:
        return _Cells(self, super().rate_cells(index))  # type: ignore[return-value]


class _Cells:
    def __init__(self, table: Interleaving, cells: memoryview) -> None:
        self._table = table
        self._cells = cells

    def __getitem__(self, index: int) -> int:
        self._table.between()
        return self._cells[index]

    def __setitem__(self, index: int, value: int) -> None:
        self._table.between()
        self._cells[index] = value


class Crowd:
    """Workers that decide at the same time, each interrupted by the others wherever chance wants it."""

    def __init__(self, workers: int, rate: float, burst: int, seed: int) -> None:
        self.chance = Random(seed)
        self.board = Interleaving.create()
        assert isinstance(self.board, Interleaving)
        self.limits = share(workers, rate, burst, self.board)
        self.cells = self.limits[0].cells(b"a")
        self.now = LATE
        self.admitted: list[float] = []
        self._idle = set(range(workers))
        self.board.between = self._interrupt

    def _interrupt(self) -> None:
        self.now += self.chance.random() * 4e-7
        if self._idle and self.chance.random() < 0.25:
            self.decide()

    def decide(self) -> None:
        """Let a worker that has nothing to do decide for one request."""
        worker = self.chance.choice(sorted(self._idle))
        self._idle.discard(worker)
        moment = self.now
        state = self.limits[worker].look(self.cells, moment)
        if not self.limits[worker].wait(state):
            self.limits[worker].take(state)
            self.admitted.append(moment)
        self._idle.add(worker)


def arrivals(chance: Random, rate: float, count: int) -> Iterator[float]:
    """Give pauses between requests: floods, traffic near the rate, and rests, by turns."""
    while count:
        pace = rate * chance.choice((0.5, 0.95, 1.1, 3.0, 50.0))
        for _ in range(min(chance.randrange(1, 60), count)):
            count -= 1
            yield chance.expovariate(pace)
        yield chance.choice((0.0, 0.0, 3.0 / rate, 60.0 / rate))


class TestInterleaved:
    @given(
        workers=st.integers(1, 6),
        rate=st.sampled_from([0.5, 10.0, 200.0, 1000.0]),
        burst=st.integers(1, 40),
        seed=st.integers(0, 2**32),
    )
    @settings(max_examples=40, deadline=None)
    def test_never_more_than_the_limit(self, workers: int, rate: float, burst: int, seed: int) -> None:
        """In any span of time at most 1.02 × (rate × span + burst), and one for each worker."""
        crowd = Crowd(workers, rate, burst, seed)
        for pause in arrivals(crowd.chance, rate, 250):
            crowd.now += pause
            crowd.decide()

        assert most_beyond(crowd.admitted, rate, 1.02) <= 1.02 * burst + workers

    @given(
        workers=st.integers(1, 6),
        rate=st.floats(0.01, 10_000.0),
        burst=st.integers(1, 5),
        seed=st.integers(0, 2**32),
        slack=st.floats(0.0, 2.0),
    )
    @settings(max_examples=80, deadline=None)
    def test_who_keeps_to_the_rate_is_never_refused(
        self, workers: int, rate: float, burst: int, seed: int, slack: float
    ) -> None:
        """Whichever workers its requests come to, also after somebody's flood has ended."""
        limits = share(workers, rate, burst)
        cells, chance, now = limits[0].cells(b"a"), Random(seed), LATE
        for _ in range(30):
            admit(chance.choice(limits), cells, now)
        now += (burst + 1) / rate
        refused = 0
        for _ in range(200):
            refused += not admit(chance.choice(limits), cells, now)
            now += (1 + slack * chance.random()) / rate

        assert 0 == refused

    @given(seed=st.integers(0, 2**32), workers=st.integers(2, 6))
    @settings(max_examples=20, deadline=None)
    def test_a_flood_gets_what_the_limit_gives(self, seed: int, workers: int) -> None:
        """Not much less either: nothing is counted twice."""
        rate, burst = 1000.0, 20
        crowd = Crowd(workers, rate, burst, seed)
        while crowd.now < LATE + 0.3:
            crowd.now += crowd.chance.expovariate(5000.0)
            crowd.decide()

        assert len(crowd.admitted) >= 0.98 * (rate * 0.3 + burst)
