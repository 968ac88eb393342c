"""Averages that follow what all workers measured."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pcs_gateway.backends.member import LATENCY_SHARE, Member
from pcs_gateway.processes.scoreboard import Role, Row, Scoreboard
from pcs_gateway.proxy.latencies import Latencies
from tests.fakes.members import changed, make_backend


@pytest.fixture
def scoreboard() -> Iterator[Scoreboard]:
    """A table with workers in rows 1 and 2."""
    board = Scoreboard.create()
    for index in (1, 2):
        board.occupy(index, Role.WORKER, 1, 100 + index)
    yield board
    board.close()


def member_of(row: Row) -> Member:
    """The same backend as the worker of this row has it."""
    return Member(make_backend(3), row.in_flight, (row.latency_sums, row.latency_counts))


class TestLearning:
    def test_two_workers_come_to_the_same_average(self, scoreboard: Scoreboard) -> None:
        """Each attempt is learned of once, however often it is looked."""
        rows = [scoreboard.row(index) for index in (1, 2)]
        members = [member_of(row) for row in rows]
        readers = [Latencies(scoreboard, row) for row in rows]
        for reader, member in zip(readers, members, strict=True):
            reader.learn([member], 0.0)
        for turn in range(200):
            for member in members:
                member.observe_latency(0.1, 1.0 + turn)
            for reader, member in zip(readers, members, strict=True):
                reader.learn([member], 1.0 + turn)
                reader.learn([member], 1.0 + turn)
        members[0].observe_latency(0.3, 300.0)
        readers[1].learn([members[1]], 301.0)

        assert abs(members[0].latency - (0.1 + 0.2 * LATENCY_SHARE)) < 1e-9
        assert abs(members[1].latency - members[0].latency) < 1e-9
        assert 301.0 == members[1].observed

    def test_many_attempts_at_a_time_count_as_many(self, scoreboard: Scoreboard) -> None:
        """The average comes as far as if each of them had been learned of by itself."""
        mine, other = (member_of(scoreboard.row(index)) for index in (1, 2))
        reader = Latencies(scoreboard, scoreboard.row(1))
        mine.observe_latency(0.1, 0.0)
        reader.learn([mine], 0.0)
        for _ in range(20):
            other.observe_latency(0.5, 1.0)
        reader.learn([mine], 1.0)

        assert abs(mine.latency - (0.1 + 0.4 * (1 - (1 - LATENCY_SHARE) ** 20))) < 1e-9

    def test_a_worker_that_was_replaced_is_read_anew(self, scoreboard: Scoreboard) -> None:
        """What its row showed before is not taken off from what the next process shows."""
        mine, other = (member_of(scoreboard.row(index)) for index in (1, 2))
        reader = Latencies(scoreboard, scoreboard.row(1))
        for _ in range(5):
            other.observe_latency(0.5, 0.0)
        reader.learn([mine], 0.0)
        scoreboard.free(2)
        scoreboard.occupy(2, Role.WORKER, 1, 203)
        successor = member_of(scoreboard.row(2))
        reader.learn([mine], 1.0)
        for _ in range(9):
            successor.observe_latency(0.2, 1.0)
        reader.learn([mine], 2.0)

        assert abs(mine.latency - 0.2) < 1e-9

    def test_what_another_backend_left_in_the_column_is_not_learned(self, scoreboard: Scoreboard) -> None:
        """A column that changes its owner begins anew."""
        mine, other = (member_of(scoreboard.row(index)) for index in (1, 2))
        reader = Latencies(scoreboard, scoreboard.row(1))
        reader.learn([mine], 0.0)
        other.observe_latency(0.5, 0.0)
        changed(mine, generation=2)
        reader.learn([mine], 1.0)

        assert 0.0 == mine.latency
