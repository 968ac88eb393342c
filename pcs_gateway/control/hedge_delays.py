"""
After how long the requests of a route are hedged: the live percentile of its durations, over all workers.

Durations are those of whole exchanges, to the last byte that the client took, queue and retries included:
that is what workers measure by route. A hedge waits for a response head only, from the lease on, so where
bodies are large the percentile comes late. That costs hedges, never load.

It is that of the last half minute, so it follows within seconds when a service becomes slower, and slowly
when it becomes faster. As long as too few requests say anything nothing is published, and what was published
last holds: in workers too, whatever happens to this process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from pcs_gateway.backends.attempts_config import HedgeConfig
from pcs_gateway.clock import Clock
from pcs_gateway.control.configuration import Configuration
from pcs_gateway.processes.messages import HedgeDelays
from pcs_gateway.telemetry.delta import Delta
from pcs_gateway.telemetry.histogram import Histogram
from pcs_gateway.telemetry.store import MeasurementStore

WINDOW_SECONDS: Final = 30.0
"""What a percentile looks back at."""

ENOUGH: Final = 100
"""Requests in the window from which on a percentile means something."""

PUBLISH_SECONDS: Final = 1.0
"""Workers measure as often."""

FIRST_ERROR: Final = 500


def hedged_routes(configuration: Configuration) -> dict[str, HedgeConfig]:
    """Give the routes whose requests are hedged after a percentile, with the section that says how."""
    found = {}
    for route in configuration.document["routes"]:
        hedge = _hedge_of(route, configuration)
        if hedge is not None and hedge.percentile is not None:
            found[str(route["name"])] = hedge
    return found


def _hedge_of(route: Mapping[str, Any], configuration: Configuration) -> HedgeConfig | None:
    pool = route["pool"]
    return configuration.pools[pool].hedge if pool and not route["side_effects"] else None


def hedge_delays(routes: Mapping[str, HedgeConfig], measured: Delta) -> dict[str, float]:
    """Give the percentile of each route that enough requests tell of; tunnels and errors tell nothing."""
    durations: dict[str, Histogram] = {name: Histogram() for name in routes}
    for route, method, status, counts in measured.each_exchange():
        if route in routes and method in routes[route].methods and 200 <= status < FIRST_ERROR:
            durations[route].merge(counts.durations)
    return {
        name: _rounded(found.percentile(routes[name].percentile or 0.0))
        for name, found in durations.items()
        if found.count >= ENOUGH
    }


def _rounded(seconds: float) -> float:
    """Two significant digits: a worker has a queue for each delay, and publishes of no change are none."""
    return float(f"{seconds:.1e}")


class HedgeDelayPublisher:
    """
    Tells workers the delays, as they change.

    Attributes:
        published: The last value of every route that had one.
    """

    def __init__(
        self,
        store: MeasurementStore,
        clock: Clock,
        in_force: Callable[[], Configuration | None],
        publish: Callable[[HedgeDelays], None],
    ) -> None:
        """
        Watch a store.

        Args:
            in_force: Gives the configuration; None before the first.
            publish: Gives a message to every worker, those that dial later too.
        """
        self.published: dict[str, float] = {}
        self._store = store
        self._clock = clock
        self._in_force = in_force
        self._publish = publish

    def __repr__(self) -> str:
        return f"<HedgeDelayPublisher: {self.published}>"

    async def step(self) -> float:
        """Publish what changed; return the seconds until the next time."""
        configuration = self._in_force()
        routes = hedged_routes(configuration) if configuration is not None else {}
        if routes:
            measured = self._store.recent(self._clock.monotonic(), WINDOW_SECONDS).measured
            self._update(routes, hedge_delays(routes, measured))
        return PUBLISH_SECONDS

    def _update(self, routes: Iterable[str], delays: Mapping[str, float]) -> None:
        known = {name: self.published[name] for name in routes if name in self.published}
        now_known = {**known, **delays}
        if now_known != self.published:
            self.published = now_known
            self._publish(HedgeDelays(dict(now_known)))
