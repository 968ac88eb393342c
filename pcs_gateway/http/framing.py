"""
The chunked transfer coding (RFC 9112 section 7.1), strict, as a state machine without I/O.

The law of this file: a chunk size is plain hexadecimal digits, at most 16 of them and below 2**63;
every line ends with CR LF; extensions are bounded (all together by the data that comes with them),
checked and dropped (section 7.1.1 asks a recipient to ignore those it does not know); trailer fields
are kept apart from the head, and those that frame, route, authenticate or condition (RFC 9110 section
6.5.1) or that Connection names (section 7.6.1) are dropped.

It is ours and not llhttp's because httptools can neither stop at the end of a message, which
pipelining needs, nor tell trailer fields from header fields.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable

SIZE_LINE_LIMIT = 1024
EXTENSIONS_LIMIT = 16 * 1024
"""By how much the octets of all extensions may exceed those of the data."""
TRAILER_LIMIT = 8192
FORBIDDEN_TRAILERS = frozenset(
    b"""
    age authorization baggage cache-control clear-site-data connection content-disposition content-encoding
    content-language content-length content-location content-range content-security-policy content-type
    cookie date expect expires forwarded host http2-settings if-match if-modified-since if-none-match
    if-range if-unmodified-since keep-alive location max-forwards origin pragma proxy-authenticate
    proxy-authorization proxy-connection range refresh retry-after set-cookie strict-transport-security te
    traceparent tracestate trailer transfer-encoding upgrade vary via warning www-authenticate x-api-key
    x-http-method-override x-original-url x-real-ip x-request-id x-rewrite-url
    """.split()
)

_FORBIDDEN_PREFIXES = (b"access-control-", b"sec-", b"x-forwarded-")

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SIZE_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[ \t]*"
    + _TOKEN
    + rb"(?:[ \t]*=[ \t]*(?:"
    + _TOKEN
    + rb'|"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"))?)*'
)
_FIELD_LINE = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_SMALL_SIZES = {b"%x" % size: size for size in range(1, 256)} | {b"%X" % size: size for size in range(1, 256)}


class FramingError(ValueError):
    """The bytes are not a chunked body."""


def encode_chunk(data: bytes) -> bytes:
    """Give `data`, which must not be empty, as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def encode_last_chunk(trailers: Iterable[bytes] = ()) -> bytes:
    """Give the end of a chunked body with its trailer field lines (each without CR LF)."""
    return b"0\r\n" + b"".join(line + b"\r\n" for line in trailers) + b"\r\n"


class ChunkedDecoder:
    """
    Turn a chunked body, in pieces of any size, into its data.

    Attributes:
        is_behind: More chunks have come than were to be read at once: feed it again, with nothing if need be.
        is_complete: The last chunk and the trailer section have been read.
        trailers: Trailer field lines that may be passed on, without CR LF.
    """

    __slots__ = (
        "_excess",
        "_named",
        "_pending",
        "_remaining",
        "_state",
        "_trailer_bytes",
        "is_behind",
        "is_complete",
        "trailers",
    )

    def __init__(self, named: Collection[bytes] = ()) -> None:
        """
        Begin a body.

        Args:
            named: Further names, lower-cased, that are dropped from the trailers: what Connection names, and
                what the gateway sets, removes or decides by.
        """
        self.is_behind = self.is_complete = False
        self.trailers: list[bytes] = []
        self._named = named
        self._excess = 0
        self._pending = b""
        self._remaining = 0
        self._trailer_bytes = 0
        # a plain function, not a bound method: a bound one would make a reference cycle
        self._state = ChunkedDecoder._read_size

    def feed(self, data: bytes, most_chunks: int = sys.maxsize) -> tuple[bytes, bytes]:
        """
        Take the next bytes; give what they decode to and what follows the end of the body.

        Args:
            most_chunks: How many chunks are read at most: each costs time, however small it is.

        Raises:
            FramingError: The bytes break RFC 9112 section 7.1. The decoder is of no use afterwards.
        """
        if self._pending:
            data = self._pending + data
            self._pending = b""
        pieces: list[bytes] = []
        position = 0
        self.is_behind = False
        while not self.is_complete:
            if self._state is ChunkedDecoder._read_size:
                position = _take_small_chunks(data, position, pieces, most_chunks)
            if len(pieces) >= most_chunks and position < len(data):
                self.is_behind = True
                following = -1
            else:
                following = self._state(self, data, position, pieces)
            if following < 0:
                self._pending = data[position:] if position else data
                return b"".join(pieces), b""
            position = following
        return b"".join(pieces), data[position:]

    def _line_end(self, data: bytes, position: int, limit: int) -> int:
        end = data.find(b"\r\n", position, position + limit + 2)
        # a whole line of `limit` octets may have come but for its last LF
        if end < 0 and (len(data) - position > limit + 1 or b"\n" in data[position:]):
            raise FramingError("a line of the chunked body is too long or does not end with CR LF")
        return end

    def _read_size(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        end = self._line_end(data, position, SIZE_LINE_LIMIT)
        if end < 0:
            return -1
        match = _SIZE_LINE.fullmatch(data, position, end)
        if match is None:
            raise FramingError("a chunk size is not plain hexadecimal")
        self._remaining = int(match[1], 16)
        if self._remaining >= 1 << 63:
            raise FramingError("a chunk size overflows")
        extensions = end - match.end(1)
        if extensions:
            self._excess = max(self._excess + extensions - self._remaining, 0)
            if self._excess > EXTENSIONS_LIMIT:
                raise FramingError("more chunk extensions than data")
        self._state = ChunkedDecoder._read_data if self._remaining else ChunkedDecoder._read_trailer
        return end + 2

    def _read_data(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        available = len(data) - position
        if available <= 0:
            return -1
        taken = min(available, self._remaining)
        pieces.append(data[position : position + taken])
        self._remaining -= taken
        if not self._remaining:
            self._state = ChunkedDecoder._read_data_end
        return position + taken

    def _read_data_end(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        ending = data[position : position + 2]
        if ending != b"\r\n":
            if b"\r\n".startswith(ending):
                return -1
            raise FramingError("a chunk is longer than its size")
        self._state = ChunkedDecoder._read_size
        return position + 2

    def _read_trailer(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        end = self._line_end(data, position, TRAILER_LIMIT)
        if end < 0:
            return -1
        if end == position:
            self.is_complete = True
            return end + 2
        self._trailer_bytes += end - position
        match = _FIELD_LINE.fullmatch(data, position, end)
        if match is None or self._trailer_bytes > TRAILER_LIMIT:
            raise FramingError("a trailer field is malformed or the trailer section too long")
        if self._may_pass(match[1].lower()):
            self.trailers.append(match[1] + b": " + match[2].rstrip(b" \t"))
        return end + 2

    def _may_pass(self, name: bytes) -> bool:
        """Whether a trailer of this lower-cased name is passed on."""
        plain = name.replace(b"_", b"-")
        return not (
            plain in FORBIDDEN_TRAILERS
            or plain.startswith(_FORBIDDEN_PREFIXES)
            or name in self._named
            or plain in self._named
        )


def _take_small_chunks(data: bytes, position: int, pieces: list[bytes], most: int) -> int:
    """Take chunks that are small, whole and plainly written, up to `most` pieces; give where they end."""
    find = data.find
    small_size = _SMALL_SIZES.get
    while len(pieces) < most:
        end = find(b"\r\n", position, position + 4)
        size = small_size(data[position:end]) if end > 0 else None
        if size is None:
            break
        start = end + 2
        following = start + size
        if data[following : following + 2] != b"\r\n":
            break
        pieces.append(data[start:following])
        position = following + 2
    return position
