"""Members of a pool without processes or sockets."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from pcs_gateway.backends import Backend, Health, HealthStatus
from pcs_gateway.backends.member import Member


class Request:
    """
    What a strategy may read of a request.

    Args:
        fields: By name; several values make several lines.
    """

    def __init__(
        self, target: bytes = b"/", client: str = "192.0.2.1", fields: dict[str, str] | None = None
    ) -> None:
        self.method = b"GET"
        self.target = target
        self.client = client
        self.fields = self
        self.section = "".join(f"{name}: {value}\r\n" for name, value in (fields or {}).items()).encode()


def changed(member: Member, **facts: Any) -> Member:
    """Let other facts be published of a member, and give it back."""
    member.backend = msgspec.structs.replace(member.backend, **facts)
    return member


def make_backend(position: int, weight: int = 1, *, ready: bool = True) -> Backend:
    """Give backend number `position` of a pool called "pool"; not ready means unhealthy."""
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
        has_passed=True,
    )


def make_members(*weights: int, unready: Collection[int] = ()) -> list[Member]:
    """Give one member for each weight; all are ready but those at the positions in `unready`."""
    cells = memoryview(bytearray(8 * 1024)).cast("q")
    return [
        Member(make_backend(position, weight, ready=position not in unready), cells)
        for position, weight in enumerate(weights)
    ]
