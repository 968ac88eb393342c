"""The performance budgets of the gateway on its proxied path, as ratios of CPU per request."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """What a ratio gateway / baseline may be at most, and what it should be."""

    title: str
    scenario: str
    baseline: str
    limit: float
    aim: float


BUDGETS = (
    Budget("proxied 1 KB JSON, against nginx", "get", "nginx", 1.8, 1.0),
    Budget("the same, every request different", "varied", "nginx", 1.8, 1.0),
    Budget("the same with a JSON access log on both", "log", "nginx", 2.0, 1.3),
    Budget("proxied 1 KB JSON, TLS listener, against nginx with TLS", "tls", "nginx", 2.5, 1.5),
    Budget("proxied 1 KB JSON, against plain aiohttp", "get", "aiohttp", 1 / 6, 1 / 12),
)

IDLE_CONNECTION_KIB = 4.0
IDLE_TLS_CONNECTION_KIB = 32.0
LARGE_BODY_GROWTH_MIB = 16.0
LARGE_BODY_TIME_RATIO = 1 / 0.7
"""Time of the gateway over that of nginx for the same bytes."""
RECORDING_MICROSECONDS = 1.5
PICKING_MICROSECONDS = {10: 2.0, 100: 5.0}
BALANCE_RATIO = 1.15
"""Gap between backends with more workers, against that with one."""
CONNECTION_SPREAD = 0.25
