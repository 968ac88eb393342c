"""What a configuration asks for and does not get, or can be evaded: said at start-up, never passed over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pcs_gateway.config.model import GatewayConfig
from pcs_gateway.config.pool_notices import pool_notices
from pcs_gateway.config.references import Path, path_text
from pcs_gateway.config.route_notices import route_notices
from pcs_gateway.proxy.admission_config import HEADER

OFF: tuple[Any, ...] = (None, False, 0, "", "0", "0s", "none", {}, [])
"""Values that ask for nothing."""

BEFORE_THE_ROUTE = "applies before the route is known: only the section of the whole gateway counts"

WITHOUT_EFFECT: Mapping[str, str] = {
    "pools.*.resources": "asking instances for their resources is not built yet",
    "routes.*.cache": "the cache is not built yet; nothing is stored",
    "routes.*.invalidates": "the cache is not built yet; nothing is purged",
    "routes.*.limits.header_bytes": BEFORE_THE_ROUTE,
    "routes.*.limits.headers": BEFORE_THE_ROUTE,
    "routes.*.limits.connections": BEFORE_THE_ROUTE,
    "routes.*.limits.connections_per_client": BEFORE_THE_ROUTE,
    "routes.*.limits.pipelined_requests": BEFORE_THE_ROUTE,
    "routes.*.timeouts.request_head": BEFORE_THE_ROUTE,
    "routes.*.timeouts.client_idle": BEFORE_THE_ROUTE,
    "cache": "the cache is not built yet; nothing is stored",
    "alerts": "alerting is not built yet",
    "scaling": "scaling is not built yet; nothing is decided",
}
"""Path of a key (* is any name or position) and why it has no effect."""


BY_ADDRESS = ("limits.connections_per_client", "rate_limits.*", "routes.*.rate_limits.*")
"""Keys that count clients by their address."""

LOOPBACK_IS_TRUSTED = (
    "connections from this machine may name any client address, since forwarding.trusted_proxies trusts "
    "loopback by default. If something here passes on connections of others (ssh -L, socat, stunnel, a "
    "sidecar), set it to the proxies that you mean, or []"
)


def notices(config: GatewayConfig, data: Mapping[str, Any], lines: Mapping[Path, int]) -> list[str]:
    """Return one text for each thing that an operator should know, from its line on, in that order."""
    found = [
        (path, f" has no effect: {reason}")
        for pattern, reason in WITHOUT_EFFECT.items()
        for path, value in _matches(data, pattern.split("."), ())
        if not _asks_for_nothing(value)
    ]
    found += [(path, f" has no effect: {reason}") for path, reason in pool_notices(config)]
    found += route_notices(config)
    found += [(path, f": {LOOPBACK_IS_TRUSTED}") for path in _first_evaded(data, lines)]
    found.sort(key=lambda one: lines.get(one[0], 0))
    return [f"{lines.get(path, 0)}: {path_text(path)}{reason}" for path, reason in found]


def _first_evaded(data: Mapping[str, Any], lines: Mapping[Path, int]) -> list[Path]:
    """Return the first key that counts by addresses which local programs may invent by default, if any."""
    if "trusted_proxies" in (data.get("forwarding") or {}):
        return []
    found = [
        path
        for pattern in BY_ADDRESS
        for path, value in _matches(data, pattern.split("."), ())
        if not _asks_for_nothing(value) and not (isinstance(value, Mapping) and _counts_by_header(value))
    ]
    return sorted(found, key=lambda path: lines.get(path, 0))[:1]


def _counts_by_header(limit: Mapping[str, Any]) -> bool:
    return str(limit.get("key", "")).startswith(HEADER)


def _asks_for_nothing(value: Any) -> bool:
    return any(value == off and isinstance(value, bool) == isinstance(off, bool) for off in OFF)


def _matches(value: Any, pattern: list[str], path: Path) -> Iterator[tuple[Path, Any]]:
    if not pattern:
        yield path, value
        return
    for key, member in _members(value):
        if pattern[0] in {"*", key}:
            yield from _matches(member, pattern[1:], (*path, key))


def _members(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)
