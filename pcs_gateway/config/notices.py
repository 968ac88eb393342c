"""What a configuration asks for that has no effect: said at start-up, never passed over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pcs_gateway.config.references import STRATEGIES_TO_COME, Path, path_text

OFF: tuple[Any, ...] = (None, False, 0, "", "0", "0s", "none", {}, [])
"""Values that ask for nothing."""

BEFORE_THE_ROUTE = "applies before the route is known: only the section of the whole gateway counts"

WITHOUT_EFFECT: Mapping[str, str] = {
    "listen.*.tls": "TLS is not built yet; this address is not opened, plain text is no substitute",
    "pools.*.backends.*.priority": "priorities are not built yet",
    "pools.*.hash_on": "hashing is not built yet",
    "pools.*.outlier_detection.failure_ratio": "ejection by the share of failures is not built yet",
    "pools.*.panic_threshold": "panic mode is not built yet",
    "pools.*.slow_start": "slow start is not built yet; a ready backend takes its full share at once",
    "pools.*.queue.overload_timeout": "shedding of old waiters is not built yet",
    "pools.*.concurrency": "limits on a whole pool are not built yet; connections.max_per_backend holds",
    "pools.*.retry.attempts": "retries are not built yet beyond one after a failed connect or an early reset",
    "pools.*.retry.on": "retries are not built yet beyond one after a failed connect or an early reset",
    "pools.*.retry.budget": "retry budgets are not built yet",
    "pools.*.retry.backoff": "pauses before a retry are not built yet",
    "pools.*.hedge": "hedging is not built yet",
    "pools.*.resources": "asking instances for their resources is not built yet",
    "routes.*.cache": "the cache is not built yet; nothing is stored",
    "routes.*.invalidates": "the cache is not built yet; nothing is purged",
    "routes.*.limits.header_bytes": BEFORE_THE_ROUTE,
    "routes.*.limits.headers": BEFORE_THE_ROUTE,
    "routes.*.limits.connections": BEFORE_THE_ROUTE,
    "routes.*.limits.pipelined_requests": BEFORE_THE_ROUTE,
    "routes.*.timeouts.request_head": BEFORE_THE_ROUTE,
    "routes.*.timeouts.client_idle": BEFORE_THE_ROUTE,
    "cache": "the cache is not built yet; nothing is stored",
    "alerts": "alerting is not built yet",
    "scaling": "scaling is not built yet; nothing is decided",
}
"""Path of a key (* is any name or position) and why it has no effect."""


def notices(data: Mapping[str, Any], lines: Mapping[Path, int]) -> list[str]:
    """Return one line for each key of the file that has no effect, in the order of the file."""
    found = [
        (lines.get(path, 0), f"{path_text(path)} (line {lines.get(path, 0)}) has no effect: {reason}")
        for pattern, reason in WITHOUT_EFFECT.items()
        for path, value in _matches(data, pattern.split("."), ())
        if not _asks_for_nothing(value)
    ]
    found += [
        (
            lines.get(path, 0),
            f"{path_text(path)} (line {lines.get(path, 0)}) has no effect: {value} is not built yet",
        )
        for path, value in _matches(data, ["pools", "*", "strategy"], ())
        if value in STRATEGIES_TO_COME
    ]
    return [text for _, text in sorted(found)]


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
