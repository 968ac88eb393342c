"""Tickets: numbers that no two processes draw."""

import subprocess
import sys

from pcs_gateway.processes.tickets import Tickets

DRAWS = 200_000
PROGRAM = f"""
import os, sys
from pcs_gateway.processes.tickets import Tickets
tickets = Tickets([int(sys.argv[1])])
print(*[tickets.take(0) for _ in range({DRAWS})])
"""


def test_numbers_follow_each_other() -> None:
    """One process draws 1, 2, 3; each pool has its own numbers."""
    tickets = Tickets.create(pools=2)

    assert [1, 2, 1, 3] == [tickets.take(0), tickets.take(0), tickets.take(1), tickets.take(0)]
    tickets.close()


def test_processes_never_draw_the_same_number() -> None:
    """Three processes that draw at once together draw every number once."""
    tickets = Tickets.create(pools=1)
    command = [sys.executable, "-c", PROGRAM, str(tickets.fds[0])]
    processes = [
        subprocess.Popen(command, pass_fds=tickets.fds, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    drawn = [int(number) for process in processes for number in process.communicate()[0].split()]

    assert sorted(drawn) == list(range(1, 3 * DRAWS + 1))
    tickets.close()
