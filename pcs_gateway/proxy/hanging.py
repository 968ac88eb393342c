"""
Watches attempts that wait for an answer, with each sweep: for how long, which backends are silent, and what
that costs.

The sweep shows every exchange (`look_at`), then each pool is looked at (`mean_wait`, `look`), then what was
gathered is forgotten. An attempt is known by its lease, which it keeps when another exchange takes it over.
What silence is stands in `backends.outlier.hanging`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pcs_gateway.backends.outlier.hanging import (
    FAILED_SECONDS,
    SLOWEST_SECONDS,
    failed_after,
    is_silent,
    patience,
)
from pcs_gateway.proxy.phases import CONNECTING, STREAMING, WAITING

if TYPE_CHECKING:
    from pcs_gateway.backends.member import Lease, Member
    from pcs_gateway.proxy.exchange import Exchange

_Waits = tuple["Exchange", float]
"""An exchange, and since when it waits."""


class HangWatch:
    """The attempts of one worker that wait."""

    __slots__ = ("_counted", "_last_look", "_old", "_slowest", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[Member, list[_Waits]] = {}
        self._counted: set[Lease] = set()
        self._old: dict[Exchange, tuple[str, float]] = {}
        self._slowest: dict[str, tuple[float, float]] = {}
        self._last_look = 0.0

    def __repr__(self) -> str:
        return f"<HangWatch: {len(self._counted)} attempts given up>"

    def look_at(self, exchange: Exchange) -> None:
        """Note an exchange that waits for a connection or a response head, and the hedge beside it alike."""
        self._note(exchange)
        if exchange.hedge is not None:
            self._note(exchange.hedge)

    def _note(self, exchange: Exchange) -> None:
        phase = exchange.phase
        if phase < CONNECTING or phase > WAITING or not exchange.is_watched or not exchange.is_request_sent:
            return
        member = exchange.lease.member if exchange.lease is not None else None
        if member is not None:
            since = exchange.attempted if phase == CONNECTING else exchange.sent
            self._waiting.setdefault(member, []).append((exchange, since))

    def count(self, member: Member) -> int:
        """Give how many attempts wait for this backend."""
        return len(self._waiting.get(member, ()))

    def mean_wait(self, member: Member, now: float) -> float:
        """Give the mean age in seconds of the attempts that wait for this backend; 0.0 when none does."""
        waiting = self._waiting.get(member)
        return sum([now - since for _, since in waiting]) / len(waiting) if waiting else 0.0

    def is_counted(self, exchange: Exchange, member: Member) -> bool:
        """Tell whether the attempt was given up already: it must not be counted again."""
        if not self._counted:
            return False
        leases = (exchange.lease, exchange.hedge.lease if exchange.hedge is not None else None)
        return any(lease in self._counted and lease.member is member for lease in leases if lease is not None)

    def since_last_look(self, now: float) -> float:
        """Give the seconds since the last sweep."""
        return now - self._last_look if self._last_look else 0.0

    def look(
        self, pool: str, ready: Sequence[Member], members: Sequence[Member], now: float
    ) -> Iterator[tuple[Member, list[Exchange]]]:
        """Give the members of a pool that are silent, with the attempts at them that have failed by now."""
        waited_for = [member for member in members if member in self._waiting]
        working = [one for one in ready if one in self._waiting or one.own.pace.mean() is not None]
        for member in waited_for:
            others = [one.own.pace for one in working if one is not member]
            waiting = self._waiting[member]
            self._note_old(pool, waiting, now)
            seconds = patience(others)
            if seconds is None or not is_silent(
                member.own.pace,
                [since for _, since in waiting],
                member.active_connections,
                others,
                now,
                seconds,
            ):
                continue
            limit = failed_after(seconds, self._slowest_answer(pool, now))
            failed = [
                exchange
                for exchange, since in waiting
                if now - since >= limit and exchange.lease not in self._counted
            ]
            self._counted.update([exchange.lease for exchange in failed if exchange.lease is not None])
            yield member, failed

    def forget(self, now: float) -> None:
        """All pools were looked at."""
        waiting = {exchange for waits in self._waiting.values() for exchange, _ in waits}
        self._waiting = {}
        self._last_look = now
        if self._counted:
            self._counted &= {exchange.lease for exchange in waiting}
        if self._old:
            self._learn([one for one in self._old if one not in waiting], now)

    def _note_old(self, pool: str, waiting: Sequence[_Waits], now: float) -> None:
        for exchange, since in waiting:
            if now - since >= FAILED_SECONDS:
                self._old[exchange] = (pool, since)

    def _learn(self, over: Sequence[Exchange], now: float) -> None:
        """Answers that took long, but came, are normal for their pool."""
        for exchange in over:
            pool, since = self._old.pop(exchange)
            if exchange.phase >= STREAMING and exchange.status and not exchange.reason:
                self._slowest[pool] = (max(now - since, self._slowest_answer(pool, now)), now)

    def _slowest_answer(self, pool: str, now: float) -> float:
        slowest, seen = self._slowest.get(pool, (0.0, 0.0))
        return slowest if now - seen <= SLOWEST_SECONDS else 0.0
