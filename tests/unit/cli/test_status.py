"""`pcs-gateway status`: what the table says of a pool."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from pcs_gateway.cli.status import table

TIMES = {"p50": 0.0, "p95": 0.0, "p99": 0.0}


def shown(priorities: list[int], levels: list[tuple[int, float, bool]]) -> str:
    """The table of a pool with backends of these priorities and these levels (priority, load, panic)."""
    pool: dict[str, Any] = {
        "strategy": "least_connections",
        "waiting": 0,
        "overloaded_workers": 0,
        "concurrency_limit": None,
        "shared_failure": None,
        "levels": [{"priority": priority, "load": load, "panic": panic} for priority, load, panic in levels],
        "backends": [
            {
                "name": f"b{number}",
                "ready": True,
                "reason": "",
                "priority": priority,
                "active_connections": 0,
                "weight": 1,
                "response_time": TIMES,
            }
            for number, priority in enumerate(priorities)
        ],
    }
    output = io.StringIO()
    Console(file=output, width=120).print(table("pcs", pool))
    return output.getvalue()


@pytest.mark.parametrize(
    ("priorities", "levels", "title"),
    [
        ([0, 0], [(0, 1.0, False)], "pcs (least_connections)"),
        ([0, 0], [(0, 1.0, True)], "pcs (least_connections, panics)"),
        ([0, 1], [(0, 1.0, False), (1, 0.0, False)], "pcs (least_connections, level 0 takes 100%)"),
        (
            [0, 1],
            [(0, 0.7, True), (1, 0.3, False)],
            "pcs (least_connections, level 0 takes 70% and panics, level 1 takes 30%)",
        ),
        ([0, 1], [(1, 1.0, False)], "pcs (least_connections, level 1 takes 100%)"),
    ],
)
def test_levels_and_panic_stand_in_the_title(
    priorities: list[int], levels: list[tuple[int, float, bool]], title: str
) -> None:
    """A pool of one level is only said to panic."""
    above, _, _ = shown(priorities, levels).partition("┏")

    assert " ".join(above.split()) == title


def test_priority_is_a_column_where_there_are_levels() -> None:
    """It says nothing where all are the same."""
    assert "priority" not in shown([0, 0], [])

    rows = [line.split("│")[1:4] for line in shown([0, 7], []).splitlines() if "│ b" in line]
    assert [row[2].strip() for row in rows] == ["0", "7"]
