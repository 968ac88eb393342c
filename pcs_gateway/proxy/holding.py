"""
A backend's response that is held back while the request is tried again elsewhere.

If nothing better comes, the client gets it, head and body, as if it had been passed on at once: the service's
own words say more than a 502 of ours. A body that is still on its way is read meanwhile, up to
`limits.response_buffer`; a longer one is given up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pcs_gateway.http.framing import encode_last_chunk
from pcs_gateway.http.refusals import Refusal
from pcs_gateway.proxy.phases import PAUSED, STREAMING
from pcs_gateway.proxy.response_writer import response_head, whole_response

if TYPE_CHECKING:
    from pcs_gateway.http.messages import ResponseHead
    from pcs_gateway.proxy.exchange import Exchange

REPLACEABLE_STATUSES = frozenset((502, 503, 504))
"""Answers of ours for which a held response is given: those that say that no attempt brought anything."""


class HeldResponse:
    """
    One response, as far as it came.

    Attributes:
        backend: Name of who answered.
        is_framed: Content-Length tells where the body ends.
        is_complete: All of it is here.
        is_lost: The rest will not come.
        on_end: Called once it is complete or lost.
    """

    __slots__ = ("backend", "head", "is_complete", "is_framed", "is_lost", "on_end", "pieces", "trailers")

    def __init__(
        self,
        backend: str,
        head: ResponseHead,
        pieces: Sequence[bytes],
        *,
        is_framed: bool,
        is_complete: bool,
        trailers: Sequence[bytes] = (),
    ) -> None:
        self.backend = backend
        self.head = head
        self.pieces = list(pieces)
        self.trailers = trailers
        self.is_framed = is_framed
        self.is_complete = is_complete
        self.is_lost = False
        self.on_end: Callable[[], None] | None = None

    def __repr__(self) -> str:
        state = "complete" if self.is_complete else "lost" if self.is_lost else "coming"
        return f"<HeldResponse {self.head.status} of {self.backend}: {state}>"

    @property
    def size(self) -> int:
        """Bytes of the body so far."""
        return sum(map(len, self.pieces))

    def end(self, *, is_complete: bool) -> None:
        """Nothing more will come."""
        self.is_complete = is_complete
        self.is_lost = not is_complete
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end()


def hand_over(exchange: Exchange, refusal: Refusal) -> bool:
    """
    Give the client the held response in place of an answer of ours; False when there is none to give.

    One whose rest is still on its way is waited for, within `timeouts.request_total`.
    """
    held = exchange.held
    if held is None or held.is_lost or refusal.status not in REPLACEABLE_STATUSES:
        return False
    exchange.give_back()
    if held.is_complete:
        _pass_on(exchange, held)
        return True
    if refusal is Refusal.TOTAL_TIMEOUT:
        return False
    exchange.phase = PAUSED
    exchange.attempted = exchange.plane.monotonic()
    exchange.deadline = exchange.total_from + exchange.matched.request_total
    held.on_end = lambda: _settle(exchange, refusal)
    return True


def _settle(exchange: Exchange, refusal: Refusal) -> None:
    """The response that an exchange waits for is complete, or lost."""
    if exchange.phase == PAUSED:
        exchange.stop_waiting(exchange.plane.monotonic())
        exchange.refuse(refusal)


def _pass_on(exchange: Exchange, held: HeldResponse) -> None:
    exchange.held = None
    head = held.head
    exchange.backend = held.backend
    exchange.status = head.status
    now = exchange.sent = exchange.plane.monotonic()
    exchange.time_to_first_byte = now - exchange.received
    exchange.phase = STREAMING
    exchange.rechunks = not held.is_framed and exchange.is_1_1
    exchange.judge_keep_alive()
    if not (held.is_framed or exchange.is_1_1):
        exchange.keep_alive = False
    if exchange.connection is not None:
        if held.is_framed and not held.pieces:
            data = whole_response(exchange, head, b"")
        else:
            ending = encode_last_chunk(held.trailers) if exchange.rechunks else b""
            data = response_head(exchange, head, held.pieces, ending)
        exchange.connection.transport.write(data)
    exchange.finish(now)
