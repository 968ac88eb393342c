"""What the gateway knows of itself at a moment, as plain values: the control process fills them in."""

from __future__ import annotations

import msgspec


class BackendFigures(msgspec.Struct, frozen=True):
    """
    One backend now.

    Attributes:
        in_flight: Attempts under way, over all workers.
        connections: Upstream connections, idle ones included, over all workers.
    """

    pool: str
    backend: str
    ready: bool
    weight: int
    in_flight: int
    connections: int


class LevelFigures(msgspec.Struct, frozen=True):
    """
    One priority level of a pool now.

    Attributes:
        load: Its share of the pool's traffic, 0 to 1.
        is_panicking: Checks and ejections are ignored in it.
    """

    pool: str
    priority: int
    load: float
    is_panicking: bool


class GatewayFigures(msgspec.Struct, frozen=True):
    """
    The gateway now, and what was counted elsewhere than in exchanges.

    Attributes:
        started: When the control process started, in unix seconds.
        backends: Every backend of every pool.
        levels: Every priority level of every pool.
        waiters: Requests that wait for a backend, by pool.
        limits: The limit on attempts in flight to a whole pool, by pool; only where there is one.
        overloaded: Workers whose queue is overloaded, by pool.
        client_connections: Open client connections, by worker.
        client_connections_limits: How many there may be, by worker.
        rate_limit_fill: Share of each rate limit's cells that are in use, by the limit's name.
        worker_restarts: Workers that were replaced because they died or hung, since the gateway started.
        health_flips: Changes of health since the control process started, by pool, backend and new status.
        reloads: Attempts to load the configuration anew, by result ("applied", "rejected").
    """

    started: float = 0.0
    backends: tuple[BackendFigures, ...] = ()
    levels: tuple[LevelFigures, ...] = ()
    waiters: dict[str, int] = {}
    limits: dict[str, int] = {}
    overloaded: dict[str, int] = {}
    client_connections: dict[str, int] = {}
    client_connections_limits: dict[str, int] = {}
    rate_limit_fill: dict[str, float] = {}
    worker_restarts: int = 0
    health_flips: dict[tuple[str, ...], int] = {}
    reloads: dict[str, int] = {}
