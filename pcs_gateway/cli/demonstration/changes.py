"""What changed between two looks at the gateway's status, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

POOL = "pcs"
"""The pool whose backends are told; the other has the same ones."""


class Standing(NamedTuple):
    """What is told of a backend."""

    ready: bool
    reason: str
    weight: int


def standings(status: Mapping[str, Any]) -> dict[str, Standing]:
    """Return what the admin API's status says of each backend."""
    pool = status["pools"].get(POOL, {"backends": []})
    return {one["name"]: Standing(one["ready"], one["reason"], one["weight"]) for one in pool["backends"]}


def all_ready(status: Mapping[str, Any]) -> bool:
    """Say whether every backend of every pool may take requests."""
    backends = [backend for pool in status["pools"].values() for backend in pool["backends"]]
    return bool(backends) and all(backend["ready"] for backend in backends)


def changes(before: Mapping[str, Standing], after: Mapping[str, Standing]) -> Iterator[str]:
    """Say what became of each backend."""
    for name, now in after.items():
        then = before.get(name)
        if then is None:
            yield f"{name} was added"
        elif then.ready and not now.ready:
            yield f"{name} is out: {now.reason}"
        elif now.ready and not then.ready:
            yield f"{name} is back"
        if then is not None and then.weight != now.weight:
            yield f"{name} has weight {now.weight} instead of {then.weight}"
    for name in before.keys() - after.keys():
        yield f"{name} was removed"
