"""What `pcs-gateway status` says of a pool and its backends."""

from typing import Any

from rich.console import Console

from pcs_gateway.cli.status import table, unreadiness

TIMES = {"p50": 0.01, "p95": 0.02, "p99": 0.03}


def backend(**changes: Any) -> dict[str, Any]:
    """A backend as the admin API shows it."""
    shown = {
        "name": "one",
        "ready": True,
        "reason": "",
        "ejected_for": 0.0,
        "ejections_in_a_row": 0,
        "active_connections": 0,
        "weight": 1,
        "slow_start": 1.0,
        "priority": 0,
        "response_time": TIMES,
    }
    return shown | changes


def test_ejection_is_told_with_its_reason_and_the_time_left() -> None:
    """And how often in a row, from the second time on."""
    first = backend(reason="ejected: 5 in a row", ejected_for=23.4, ejections_in_a_row=1)
    again = backend(reason="ejected: 5 in a row", ejected_for=51.0, ejections_in_a_row=2)

    assert "ejected: 5 in a row (for 23 s more)" == unreadiness(first)
    assert "ejected: 5 in a row (for 51 s more, 2 times in a row)" == unreadiness(again)
    assert "unhealthy: refused" == unreadiness(backend(reason="unhealthy: refused"))


def test_shared_failure_stands_over_the_pool() -> None:
    """Whoever looks at the backends one by one would look in the wrong place."""
    pool = {
        "strategy": "round_robin",
        "waiting": 0,
        "levels": [],
        "shared_failure": {"kind": "http_503", "began": 1.0},
        "backends": [backend()],
    }
    console = Console(width=120, record=True)
    console.print(table("pcs", pool))

    assert "pcs (round_robin; all backends fail alike: http_503)" in console.export_text()
