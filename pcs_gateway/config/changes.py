"""What differs between two configurations, and how far the difference reaches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pcs_gateway.config.model import GatewayConfig

NEEDS_RESTART: Mapping[str, str] = {
    "admin.address": "its socket is opened once, by the supervisor",
    "state.directory": "workers dial the channel in it",
}
"""Keys that cannot be applied while the gateway runs, and why."""


def changed_keys(old: GatewayConfig, new: GatewayConfig) -> list[str]:
    """Return the keys that differ, as dotted paths: sections are compared key by key, lists as a whole."""
    return list(_differences(old.model_dump(mode="json"), new.model_dump(mode="json"), ""))


def needs_restart(old: GatewayConfig, new: GatewayConfig) -> list[str]:
    """Return one line for each changed key that only a restart applies."""
    return [
        f"{key} needs restart: {NEEDS_RESTART[key]}" for key in changed_keys(old, new) if key in NEEDS_RESTART
    ]


def _differences(old: Any, new: Any, path: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        yield path
