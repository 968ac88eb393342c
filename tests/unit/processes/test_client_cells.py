"""Cells that clients share by hash: where they lie, and that nobody can aim at them."""

import os
from collections import Counter

import pytest

from pcs_gateway.processes.client_cells import (
    BANK_CELLS,
    CONNECTION_CELLS,
    MOST_RATE_LIMITS,
    RATE_CELLS,
    KeyedHash,
    bank,
)
from pcs_gateway.processes.scoreboard import ROWS, Role, Scoreboard

SECRET = b"0123456789abcdef"


class TestBanks:
    @pytest.mark.parametrize("count", range(1, MOST_RATE_LIMITS + 1))
    def test_limits_share_no_cell(self, count: int) -> None:
        """Every limit has a part of its own, as large as the number of limits allows."""
        banks = [bank(number, count) for number in range(count)]

        ends = [first + size for first, size in banks]
        assert all(end <= first for end, (first, _) in zip(ends, banks[1:], strict=False))
        assert ends[-1] <= RATE_CELLS
        assert all(size >= RATE_CELLS // MOST_RATE_LIMITS for _, size in banks)
        assert all(size & (size - 1) == 0 for _, size in banks)

    def test_a_few_limits_have_all_they_may_have(self) -> None:
        """Up to eight limits have 262,144 cells each."""
        assert {BANK_CELLS} == {bank(number, 8)[1] for number in range(8)}


class TestHash:
    def test_every_process_finds_the_same_cells(self) -> None:
        """Cells follow from secret, name and key alone."""
        one, other = KeyedHash(SECRET, "a", 1000, 64), KeyedHash(SECRET, "a", 1000, 64)

        assert one.cells(b"key") == other.cells(b"key")

    def test_two_cells_differ_and_lie_in_the_bank(self) -> None:
        """Even in a tiny bank."""
        keyed = KeyedHash(SECRET, "a", 100, 2)

        assert {frozenset((100, 101))} == {frozenset(keyed.cells(b"%d" % number)) for number in range(50)}

    @pytest.mark.parametrize(
        "other", [KeyedHash(os.urandom(16), "a", 0, 65536), KeyedHash(SECRET, "b", 0, 65536)]
    )
    def test_who_does_not_know_the_secret_cannot_aim(self, other: KeyedHash) -> None:
        """Another secret, or another limit, puts keys elsewhere: what collides here does not there."""
        keyed = KeyedHash(SECRET, "a", 0, 65536)
        keys = [b"%d" % number for number in range(200)]

        assert all(keyed.cells(key) != other.cells(key) for key in keys)

    def test_cells_are_spread(self) -> None:
        """No cell gets many more keys than its share."""
        keyed = KeyedHash(SECRET, "a", 0, 64)
        counts = Counter(cell for number in range(6400) for cell in keyed.cells(b"%d" % number))

        assert 64 == len(counts)
        assert max(counts.values()) < 2 * 200


class TestMemory:
    def test_rows_share_no_cell(self) -> None:
        """First and last cells of all rows are their own, and none of the rest of the table."""
        scoreboard = Scoreboard.create()
        for row in range(ROWS):
            rates, connections = scoreboard.rate_cells(row), scoreboard.connection_cells(row)
            assert (RATE_CELLS, CONNECTION_CELLS) == (len(rates), len(connections))
            rates[0], rates[-1] = 4 * row + 1, 4 * row + 2
            connections[0], connections[-1] = 4 * row + 3, 4 * row + 4

        found = [
            value
            for row in range(ROWS)
            for cells in (scoreboard.rate_cells(row), scoreboard.connection_cells(row))
            for value in (cells[0], cells[-1])
        ]

        assert list(range(1, 4 * ROWS + 1)) == found
        assert not any(any(scoreboard.row(row).cells) for row in range(ROWS))

    def test_connections_of_a_dead_worker_count_no_more(self) -> None:
        """They end with it; what it admitted does not."""
        scoreboard = Scoreboard.create()
        scoreboard.occupy(1, Role.WORKER, 1, 1)
        scoreboard.rate_cells(1)[7] = scoreboard.connection_cells(1)[7] = 5

        scoreboard.free(1)

        assert (5, 0) == (scoreboard.rate_cells(1)[7], scoreboard.connection_cells(1)[7])

    def test_a_new_worker_begins_without_connections(self) -> None:
        """Whatever is left in the row."""
        scoreboard = Scoreboard.create()
        scoreboard.connection_cells(1)[7] = 5

        scoreboard.occupy(1, Role.WORKER, 1, 1)

        assert 0 == scoreboard.connection_cells(1)[7]

    def test_secret_is_shared_and_drawn_anew(self) -> None:
        """Processes of one gateway have one, other gateways another."""
        scoreboard = Scoreboard.create()

        assert scoreboard.secret == Scoreboard.attach(os.dup(scoreboard.fd)).secret
        assert scoreboard.secret != Scoreboard.create().secret
