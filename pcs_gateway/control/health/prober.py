"""
Keeps checking: one task per backend, so a slow backend delays no other and its own checks never overlap.

The prober decides nothing. What a result means and when to look again is asked of the `HealthBook`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from pcs_gateway.backends.health import CheckResult
from pcs_gateway.clock import Clock
from pcs_gateway.control.health.target import Target
from pcs_gateway.control.repeating import repeat
from pcs_gateway.control.standing import BackendKey

Check = Callable[[Target], Awaitable[CheckResult]]
"""Performs one check, in bounded time, and never raises."""


class HealthBook(Protocol):
    """Who takes the results."""

    async def is_resolved(self, host: str) -> None:
        """Return when the first attempt to resolve `host` is over, however it went."""
        ...

    def observe(self, key: BackendKey, result: CheckResult, started: float) -> None:
        """Take the result of a check that began at `started` (monotonic seconds)."""
        ...

    def pause(self, key: BackendKey) -> float:
        """Seconds from the start of the last check to the start of the next."""
        ...


class Prober:
    """Checks the backends it follows until it is told otherwise."""

    def __init__(self, check: Check, book: HealthBook, clock: Clock) -> None:
        """Follow nobody yet."""
        self._check = check
        self._book = book
        self._clock = clock
        self._watches: dict[BackendKey, tuple[Target, asyncio.Task[None]]] = {}

    def __repr__(self) -> str:
        return f"<Prober of {len(self._watches)} backends>"

    def follow(self, targets: Mapping[BackendKey, Target]) -> None:
        """Check exactly these from now on; one that is new, or to be checked differently, at once."""
        for key in [key for key, (target, _) in self._watches.items() if targets.get(key) != target]:
            self._watches.pop(key)[1].cancel()
        for key, target in targets.items():
            if key not in self._watches:
                name = f"health check of {key.pool}: {key.url}"
                self._watches[key] = (target, asyncio.create_task(self._watch(key, target), name=name))

    async def close(self) -> None:
        """Stop checking."""
        tasks = [task for _, task in self._watches.values()]
        self.follow({})
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, key: BackendKey, target: Target) -> None:
        """Check one backend for ever."""
        await self._book.is_resolved(target.host)

        async def check_once() -> float:
            started = self._clock.monotonic()
            result = await self._check(target)
            self._book.observe(key, result, started)
            return started + self._book.pause(key) - self._clock.monotonic()

        await repeat(check_once, self._clock, f"health check of {key.url}")
