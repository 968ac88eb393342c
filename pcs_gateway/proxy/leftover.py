"""
What is left of an exchange that was answered although its backend still works for it.

The client has its 504 and may go on. With `on_abandon: finish` the attempt stays in flight until the backend
has answered, for at most `timeouts.stream_idle` more: the backend is busy with it, whoever waits or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pcs_gateway.proxy.exchange import Exchange
from pcs_gateway.proxy.phases import OVER, STREAMING
from pcs_gateway.telemetry.record import ExchangeRecord

if TYPE_CHECKING:
    from pcs_gateway.http.messages import ResponseHead

_COPIED: Final = (*ExchangeRecord.__slots__, *Exchange.__slots__)


class Leftover(Exchange):
    """
    Lease and connection of an attempt whose exchange is over.

    It records nothing and is evidence of nothing: what there was to say was said when the time was over.
    """

    __slots__ = ()

    is_leftover = True

    def __init__(self, exchange: Exchange, now: float) -> None:
        """Take lease and connection from `exchange`, which has neither from then on."""
        for name in _COPIED:
            if hasattr(exchange, name):
                setattr(self, name, getattr(exchange, name))
        self.connection = None
        self.deadline = now + self.matched.timeouts.stream_idle
        exchange.lease = exchange.upstream = None
        if self.upstream is not None:
            self.upstream.exchange = self
        self.plane.abandoned.add(self)

    def respond_whole(self, head: ResponseHead, body: bytes) -> None:
        self.finish(self.plane.monotonic())

    def respond(
        self,
        head: ResponseHead,
        pieces: Sequence[bytes],
        *,
        is_framed: bool,
        is_complete: bool = False,
        trailers: Sequence[bytes] = (),
    ) -> None:
        self.phase = STREAMING
        if is_complete:
            self.finish(self.plane.monotonic())

    def finish(self, now: float) -> None:
        """End the lease; once."""
        if self.phase == OVER:
            return
        self.phase = OVER
        lease, self.lease = self.lease, None
        self.plane.abandoned.discard(self)
        if lease is not None:
            lease.end()
        if self.matched.upstream_pool is not None:
            self.matched.upstream_pool.serve_waiters()
