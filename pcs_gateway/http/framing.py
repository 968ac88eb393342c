"""
The chunked transfer coding (RFC 9112 section 7.1), strict, as a state machine without I/O.

The law of this file: a chunk size is plain hexadecimal digits, at most 16 of them and below 2**63;
every line ends with CR LF; extensions are bounded, checked and dropped (section 7.1.1 asks a
recipient to ignore those it does not know); trailer fields are kept apart from the head and those
that frame, route or authenticate are dropped (RFC 9110 section 6.5.1).

It is ours and not llhttp's because httptools can neither stop at the end of a message, which
pipelining needs, nor tell trailer fields from header fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

SIZE_LINE_LIMIT = 1024
TRAILER_LIMIT = 8192
FORBIDDEN_TRAILERS = frozenset(
    b"""
    age authorization cache-control connection content-encoding content-length content-range content-type
    cookie date expect expires forwarded host keep-alive location max-forwards pragma proxy-authenticate
    proxy-authorization proxy-connection range retry-after set-cookie te trailer transfer-encoding upgrade
    vary via warning www-authenticate x-api-key x-forwarded-for x-forwarded-host x-forwarded-proto
    x-request-id
    """.split()
)

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SIZE_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[ \t]*"
    + _TOKEN
    + rb"(?:[ \t]*=[ \t]*(?:"
    + _TOKEN
    + rb'|"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"))?)*'
)
_FIELD_LINE = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([\t\x20-\x7e\x80-\xff]*)")


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
        is_complete: The last chunk and the trailer section have been read.
        trailers: Trailer field lines that may be passed on, without CR LF.
    """

    __slots__ = ("_pending", "_remaining", "_state", "_trailer_bytes", "is_complete", "trailers")

    def __init__(self) -> None:
        self.is_complete = False
        self.trailers: list[bytes] = []
        self._pending = b""
        self._remaining = 0
        self._trailer_bytes = 0
        # a plain function, not a bound method: a bound one would make a reference cycle
        self._state = ChunkedDecoder._read_size

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """
        Take the next bytes; give the decoded pieces and what follows the end of the body.

        Raises:
            FramingError: The bytes break RFC 9112 section 7.1. The decoder is of no use afterwards.
        """
        if self._pending:
            data = self._pending + data
            self._pending = b""
        pieces: list[bytes] = []
        position = 0
        while not self.is_complete:
            following = self._state(self, data, position, pieces)
            if following < 0:
                self._pending = data[position:] if position else data
                return pieces, b""
            position = following
        return pieces, data[position:]

    def _line_end(self, data: bytes, position: int, limit: int) -> int:
        end = data.find(b"\r\n", position, position + limit + 2)
        if end < 0 and (len(data) - position > limit or b"\n" in data[position:]):
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
        if match[1].lower().replace(b"_", b"-") not in FORBIDDEN_TRAILERS:
            self.trailers.append(match[1] + b": " + match[2].rstrip(b" \t"))
        return end + 2
