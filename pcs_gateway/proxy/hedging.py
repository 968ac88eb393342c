"""
Whether the first attempt of an exchange is joined by a second one, a hedge: decisions, and the wait before.

A hedge is for the request that is slow by bad luck, at a backend that stalls or among a few slow ones, while
another backend would answer soon. It must never be the load that keeps a slow service slow. Three bounds see
to that, each by itself:

- the budget (`balancing.budget`): hedges are at most a share of the pool's requests over all workers, and a
  tenth of it as long as they do not win. Where all backends are equally fast a second attempt never overtakes
  the first; where all are equally slow it does not either;
- `MOST_LATE`: when most of a route's attempts last longer than the delay, it is not they that are slow, but
  everything. The published percentile follows within seconds; until then nothing is hedged;
- nothing is hedged while requests queue for the pool: there is no spare backend.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pcs_gateway.backends.attempts_config import HedgeConfig
    from pcs_gateway.proxy.exchange import Exchange

MOST_LATE: Final = 0.5
"""Share of a route's attempts that last longer than the delay, beyond which everything counts as slow."""

REMEMBERED: Final = 64
"""Attempts after which those before count half, so that the share is that of the last hundred or so."""


class HedgeDenial(StrEnum):
    """Why a slow attempt is not joined by another."""

    QUEUE = "queue"
    """Requests wait for a backend of this pool."""
    SLOW = "slow"
    """Most attempts of the route are slow."""
    BUDGET = "budget"
    """The pool's hedge budget is exhausted."""
    NO_BACKEND = "no_backend"
    """No other backend is ready and below `connections.max_per_backend`."""


class LateShare:
    """
    The share of a route's attempts that reached the delay, of the last ones in this worker.

    Attributes:
        begun: Attempts that could have been hedged, the older ones for less.
        late: Those of them that lasted longer than the delay.
    """

    __slots__ = ("begun", "late")

    def __init__(self) -> None:
        self.begun = self.late = 0.0

    def begin(self) -> None:
        """Count an attempt that begins."""
        self.begun += 1.0
        if self.begun >= 2 * REMEMBERED:
            self.begun *= 0.5
            self.late *= 0.5

    @property
    def is_most(self) -> bool:
        """Most are late; of fewer than ten nothing is said."""
        return self.begun >= 10.0 and self.late > MOST_LATE * self.begun


class RouteHedge:
    """
    How the requests of one route are hedged.

    Attributes:
        delay: Seconds after which the second attempt begins; 0.0 while that is not known.
        ratio: `hedge.budget`.
        methods: `hedge.methods`.
        share: How many attempts were late.
    """

    __slots__ = ("_is_fixed", "delay", "methods", "ratio", "share")

    def __init__(self, config: HedgeConfig, published: float = 0.0) -> None:
        """
        Take over the pool's section.

        Args:
            published: The percentile of the route's durations, as far as it is known.
        """
        fixed = config.fixed_delay
        self._is_fixed = fixed is not None
        self.delay = fixed if fixed is not None else published
        self.ratio = config.budget
        self.methods = frozenset(method.encode("latin-1") for method in config.methods)
        self.share = LateShare()

    def __repr__(self) -> str:
        share = self.share
        return f"<RouteHedge after {self.delay * 1000:.1f} ms, {share.late:.0f} of {share.begun:.0f} late>"

    def publish(self, delay: float) -> None:
        """Take the live percentile, unless the delay is a fixed one."""
        if not self._is_fixed:
            self.delay = delay


def may_be_hedged(exchange: Exchange, hedge: RouteHedge) -> bool:
    """Tell whether a request can be sent twice in parallel: by method, and without a body or an upgrade."""
    body = exchange.body
    return (
        hedge.delay > 0.0
        and exchange.method in hedge.methods
        and (body is None or (body.is_complete and not body.kept_bytes))
        and not exchange.fields.upgrade
        and not exchange.fields.expects_continue
    )


def is_good(status: int) -> bool:
    """Tell whether a response ends the race: it is no failure, and does not ask to come again later."""
    return status < 500 and status != 429


def judge_hedge(share: LateShare, *, is_queueing: bool, is_within_budget: bool) -> HedgeDenial | None:
    """Say why an attempt that lasts longer than the delay is not hedged; None when it is."""
    if is_queueing:
        return HedgeDenial.QUEUE
    if share.is_most:
        return HedgeDenial.SLOW
    return None if is_within_budget else HedgeDenial.BUDGET


def await_hedge(exchange: Exchange) -> None:
    """Let the delay of a first attempt begin, when its request may be hedged."""
    hedge = exchange.matched.hedge
    if hedge is None or exchange.attempts > 1 or not may_be_hedged(exchange, hedge):
        return
    hedge.share.begin()
    plane = exchange.plane
    exchange.delay = plane.delays.start(hedge.delay, lambda: plane.hedge(exchange))


def end_race(exchange: Exchange) -> None:
    """The exchange needs no other attempt any more: none begins, and a hedge that is under way has lost."""
    delay, exchange.delay = exchange.delay, None
    if delay is not None:
        delay.cancel()
    if exchange.hedge is not None:
        exchange.hedge.lose()
