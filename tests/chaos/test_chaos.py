"""Faults under traffic: what clients saw, that nothing leaked, and that all is well again."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from tests.chaos.conftest import Stage
from tests.chaos.faults import Fault
from tests.chaos.scene import Scene, under_traffic


def play(on: Scene, fault: Fault, *, reloads: bool = False) -> Counter[str]:
    """Let a fault strike under traffic and heal; give what clients lost, once nothing is left over."""
    on.is_sound = False
    with under_traffic(on):
        fault.strike(on)
        if reloads:
            on.reload()
        on.answers(fault.answers)
        fault.heal(on)
        on.recovers()
    on.settles()
    assert [] == on.unexpected
    on.is_sound = True
    return Counter(on.load.losses) + Counter(on.fresh.losses)


def test_clients_lose_no_more_than_the_fault_takes(
    stage: Stage, fault: Fault, workers: int, *, reloads: bool
) -> None:
    """Only outcomes that the fault explains, no more of them than it may cost; then all is as before."""
    lost = play(stage.set(workers), fault, reloads=reloads)

    assert fault.losses >= set(lost)
    assert lost.total() <= fault.most


def test_full_disk_costs_lines_and_nobody_an_answer(stage: Stage, workers: int) -> None:
    """An access log that cannot be written is told once, and clients do not notice."""
    on = stage.set(workers, logging={"format": "json", "access": {"enabled": True, "file": "/dev/full"}})

    lost = play(on, QUIET)

    assert Counter() == lost
    assert workers == len(on.gateway.events("access_log_not_written"))


def test_unread_pipe_costs_lines_and_nobody_an_answer(stage: Stage, workers: int, tmp_path: Path) -> None:
    """A log that is a pipe which nobody empties holds nobody up."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        access = {"enabled": True, "file": str(pipe)}
        lost = play(stage.set(workers, logging={"format": "json", "access": access}), QUIET)
        stage.clear()
    finally:
        os.close(reader)

    assert Counter() == lost


QUIET = Fault("nothing", lambda _: None, lambda _: None)
"""No fault but the one that the setting brings."""
