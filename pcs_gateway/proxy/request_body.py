"""A request body on its way: framed, counted, and kept until nobody can ask for it again."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from pcs_gateway.http.framing import ChunkedDecoder, FramingError, encode_chunk, encode_last_chunk
from pcs_gateway.http.refusals import Refusal, RequestRefused
from pcs_gateway.http.request_fields import RequestFields
from pcs_gateway.proxy.client_transport import RATE_WINDOW

CHUNKS_AT_ONCE = 512
"""How many chunks are decoded in one turn of the loop: about half a millisecond, then others have theirs."""


class RequestBody:
    """
    The body of one request, as it goes to the backend: raw with Content-Length, else chunked anew.

    Attributes:
        awaits_continue: The client may hold it back until the backend has said 100 (Continue).
        received: Body bytes taken from the client.
        kept: Wire bytes not sent yet, or still needed to send the request again.
        is_behind: More chunks have come than are decoded at once: `feed` goes on with them.
        is_complete: The last byte has come.
        is_replayable: Everything received is still in `kept`.
    """

    __slots__ = (
        "_checked",
        "_checked_bytes",
        "_decoder",
        "_limit",
        "_remaining",
        "awaits_continue",
        "is_behind",
        "is_complete",
        "is_replayable",
        "kept",
        "kept_bytes",
        "received",
    )

    def __init__(
        self, fields: RequestFields, limit: int, now: float, untrailed: AbstractSet[bytes] = frozenset()
    ) -> None:
        """
        Begin with a body that is framed as `fields` say.

        Args:
            untrailed: Lower-cased names of fields that count, or are changed, in the head: not passed on as
                trailers.

        Raises:
            RequestRefused: It is larger than `limit`.
        """
        content_length = fields.content_length
        if content_length is not None and content_length > limit:
            raise RequestRefused(Refusal.BODY_TOO_LARGE)
        self._decoder = ChunkedDecoder(fields.named | untrailed) if content_length is None else None
        self._remaining = content_length or 0
        self._limit = limit
        self._checked = now
        self._checked_bytes = 0
        self.awaits_continue = False
        self.received = 0
        self.kept: list[bytes] = []
        self.kept_bytes = 0
        self.is_behind = False
        self.is_complete = content_length == 0
        self.is_replayable = True

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """
        Take bytes from the client; give the wire bytes for the backend and what follows the body.

        Raises:
            RequestRefused: The body is malformed or too large.
        """
        if self._decoder is None:
            wire, rest = data[: self._remaining], data[self._remaining :]
            self._remaining -= len(wire)
            self.received += len(wire)
            self.is_complete = self._remaining == 0
            return wire, rest
        try:
            decoded, rest = self._decoder.feed(data, CHUNKS_AT_ONCE)
        except FramingError as error:
            raise RequestRefused(Refusal.MALFORMED_CHUNK) from error
        self.received += len(decoded)
        if self.received > self._limit:
            raise RequestRefused(Refusal.BODY_TOO_LARGE)
        self.is_behind = self._decoder.is_behind
        wire = encode_chunk(decoded) if decoded else b""
        if self._decoder.is_complete:
            self.is_complete = True
            wire += encode_last_chunk(self._decoder.trailers)
        return wire, rest

    def keep(self, wire: bytes) -> None:
        """Hold wire bytes until a backend takes them."""
        self.kept.append(wire)
        self.kept_bytes += len(wire)

    def forget(self) -> None:
        """Let go of what was sent: the request cannot be sent again."""
        self.kept = []
        self.kept_bytes = 0
        self.is_replayable = False

    def is_too_slow(self, now: float, minimum_rate: float) -> bool:
        """Tell, once for each window, whether less than `minimum_rate` bytes a second came in it."""
        elapsed = now - self._checked
        if elapsed < RATE_WINDOW or not minimum_rate:
            return False
        rate = (self.received - self._checked_bytes) / elapsed
        self.begin_window(now)
        return rate < minimum_rate

    def begin_window(self, now: float) -> None:
        """Judge the rate from now on only."""
        self._checked = now
        self._checked_bytes = self.received
