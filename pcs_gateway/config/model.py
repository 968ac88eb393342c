"""The whole configuration, composed of the sections that the packages own."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from pcs_gateway.backends.config import PoolConfig
from pcs_gateway.cache.config import CacheConfig
from pcs_gateway.config.references import dangling, path_text
from pcs_gateway.control.config import AdminConfig, AlertsConfig, ScalingConfig, StateConfig
from pcs_gateway.proxy.admission_config import RateLimits
from pcs_gateway.proxy.config import (
    ForwardingConfig,
    LimitsConfig,
    ListenConfig,
    RouteConfig,
    TimeoutsConfig,
)
from pcs_gateway.section import FromEnvironment, Name, Section
from pcs_gateway.telemetry.config import LoggingConfig
from pcs_gateway.units import Duration

MOST_WORKERS = 31
"""Two generations of workers and two control processes must fit into the scoreboard's 64 rows."""

MOST_POOLS = 64
"""Pools have cells of their own in the scoreboard."""

WORKERS_ALLOWED = f"auto, or a whole number from 1 to {MOST_WORKERS}"

REFERENCES_CHECKED = "references_checked"
"""Key of the validation context: whoever validates looks for dangling references itself."""

IMPLICIT_ROUTE = "default"
"""Name of the route that takes all paths to the only pool where no routes are given."""


def _workers(value: Any) -> int | str:
    if value == "auto":
        return "auto"
    if isinstance(value, FromEnvironment) and value.isascii() and value.isdigit():
        value = int(value[:4])
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_WORKERS:
        raise ValueError(WORKERS_ALLOWED)
    return value


class GatewayConfig(Section):
    """All that the gateway can be told. Only `pools` is needed."""

    listen: Annotated[tuple[ListenConfig, ...], Field(min_length=1, max_length=32)] = (
        ListenConfig(address="0.0.0.0:8080"),
    )
    """Where clients connect. Another address, or TLS where there was none, starts a new generation of
    workers."""

    workers: Annotated[int | str, BeforeValidator(_workers)] = "auto"
    """Processes that carry traffic: auto (one for each available core) or a number.
    A change starts a new generation of workers."""

    drain_delay: Duration = 0.0
    """After SIGTERM: /readyz says 503 and accepting goes on for this long."""

    drain_timeout: Duration = 30.0
    """What a stopping worker gives exchanges in flight."""

    state: StateConfig = StateConfig()
    """What survives a restart."""

    admin: AdminConfig = AdminConfig()
    """Admin API, /metrics, /healthz and /readyz."""

    limits: LimitsConfig = LimitsConfig()
    """What a client may cost."""

    timeouts: TimeoutsConfig = TimeoutsConfig()
    """How long the gateway waits."""

    forwarding: ForwardingConfig = ForwardingConfig()
    """What backends are told of the client."""

    pools: Annotated[dict[Name, PoolConfig], Field(min_length=1, max_length=MOST_POOLS)]
    """Backends, by the name of their pool."""

    routes: tuple[RouteConfig, ...] = Field(default=(), validate_default=True)
    """Which requests go where; the first match wins. Default: all paths to the only pool."""

    rate_limits: RateLimits = ()
    """How many requests a client may send over all routes. All that are listed hold, and those of
    the route."""

    cache: CacheConfig = CacheConfig()
    """Stored responses."""

    alerts: AlertsConfig = AlertsConfig()
    """Rules over the gateway's own measurements."""

    scaling: dict[Name, ScalingConfig] = Field(default_factory=dict)
    """How many instances a pool should have, by the name of the pool."""

    logging: LoggingConfig = LoggingConfig()
    """The gateway's own log and the access log."""

    @field_validator("routes")
    @classmethod
    def _complete_routes(
        cls, routes: tuple[RouteConfig, ...], info: ValidationInfo
    ) -> tuple[RouteConfig, ...]:
        pools = list(info.data.get("pools", ()))
        only = pools[0] if len(pools) == 1 else None
        if not routes and only is not None:
            return (RouteConfig(name=IMPLICIT_ROUTE, pool=only),)
        return tuple(_complete(route, position, only) for position, route in enumerate(routes, start=1))

    @model_validator(mode="after")
    def _no_dangling_references(self, info: ValidationInfo) -> Self:
        if not (info.context and info.context.get(REFERENCES_CHECKED)):
            found = [
                f"{path_text(one.path)}: {one.message}" for one in dangling(self.model_dump(mode="json"))
            ]
            if found:
                raise ValueError("; ".join(found))
        return self

    def worker_count(self, cores: int) -> int:
        """Return how many workers to run on a machine with `cores` available cores."""
        return min(max(cores, 1), MOST_WORKERS) if isinstance(self.workers, str) else self.workers


def _complete(route: RouteConfig, position: int, only_pool: str | None) -> RouteConfig:
    """Return the route with a name and, where there is no choice, its pool."""
    update = {} if route.name else {"name": f"route-{position}"}
    if route.pool is None and route.respond is None and only_pool is not None:
        update["pool"] = only_pool
    return route.model_copy(update=update) if update else route
