"""Members of a pool without processes or sockets."""

from __future__ import annotations

from collections.abc import Collection

from pcs_gateway.backends import Backend, Health, HealthStatus
from pcs_gateway.backends.member import Member


def make_backend(position: int, weight: int = 1, *, ready: bool = True) -> Backend:
    """Give backend number `position` of a pool called "pool"."""
    return Backend(
        pool="pool",
        name=f"b{position}",
        url=f"http://127.0.0.1:{8001 + position}",
        scheme="http",
        host="127.0.0.1",
        port=8001 + position,
        addresses=("127.0.0.1",),
        weight=weight,
        column=position,
        generation=1,
        health=Health(HealthStatus.HEALTHY if ready else HealthStatus.UNHEALTHY, 1.0, "200 in 1 ms"),
        ready=ready,
        reason="" if ready else "unhealthy",
    )


def make_members(*weights: int, unready: Collection[int] = ()) -> list[Member]:
    """Give one member for each weight; all are ready but those at the positions in `unready`."""
    cells = memoryview(bytearray(8 * 1024)).cast("q")
    return [
        Member(make_backend(position, weight, ready=position not in unready), cells)
        for position, weight in enumerate(weights)
    ]
