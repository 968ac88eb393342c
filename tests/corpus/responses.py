"""Hostile and odd responses, by rules and by hand: what a backend may send before it closes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from tests.corpus.cases import CHUNKED, Case, unique
from tests.corpus.requests import CODINGS, EXTENSIONS, LENGTHS, SIZES, TRAILERS

BODY = b"hello"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
SPLIT = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"
"""A response that nobody asked for."""
SAMPLE = b"HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5\r\nX-C: d\r\n\r\nhello"
STATUS_LINES = (
    b"HTTP/1.1 200 OK", b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK",
    b"HTTP/1.0 200 OK", b"HTTP/2 200 OK", b"HTTP/1.2 200 OK", b"http/1.1 200 OK", b"HTTP/1.1 20 OK",
    b"HTTP/1.1 2000 OK", b"HTTP/1.1 +20 OK", b"HTTP/1.1 0200 OK", b"HTTP/1.1 2\xb2 OK",
    b"HTTP/1.1 200 \x00", b"HTTP/1.1 200 O\tK", b"HTTP/1.1 200 \xff", b"HTTP/1.1 200 O\rK",
    b"HTTP/1.1 200OK", b" HTTP/1.1 200 OK", b"HTTP/1.1 000 OK", b"HTTP/1.1 099 OK", b"HTTP/1.1 600 OK",
    b"HTTP/1.1 999 OK", b"ICY 200 OK", b"SSH-2.0-x", b"", b"200 OK", b"HTTP/1.1200 OK", b"HTTP/1.1 -20 OK",
    b"HTTP/1.1 404 Not Found", b"HTTP/1.1 205 Reset", b"HTTP/1.1 206 Partial", b"HTTP/1.1 301 Moved",
    b"HTTP/1.1 401 No", b"HTTP/1.1 500 Oops",
)  # fmt: skip
SINGLES = (
    b"Content-Type", b"Date", b"ETag", b"Last-Modified", b"Location", b"Retry-After", b"Server",
    b"Set-Cookie", b"Vary", b"Via", b"X-Own", b"X-Request-ID", b"Content-Encoding", b"Connection",
    b"Transfer_Encoding", b"Content_Length", b"Age", b"Cache-Control",
)  # fmt: skip
CONNECTIONS = (
    b"close", b"keep-alive", b"x-own", b"X-OWN, close", b"Content-Length", b"Transfer-Encoding",
    b"Set-Cookie", b"Content-Type", b"upgrade", b"", b",", b"\x80", b"Connection", b"x-own;a",
)  # fmt: skip


def ok(lines: bytes, body: bytes = b"") -> bytes:
    """Give a response."""
    return b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (lines, body)


def _framing() -> Iterator[Case]:
    for value in LENGTHS:
        yield Case(f"length {value!r}", ok(b"Content-Length: " + value + b"\r\n", BODY))
        yield Case(f"length {value!r} and more", ok(b"Content-Length: " + value + b"\r\n", BODY + SPLIT))
    for value in CODINGS:
        yield Case(f"coding {value!r}", ok(b"Transfer-Encoding: " + value + b"\r\n", CHUNKS))
        yield Case(
            f"old coding {value!r}", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: " + value + b"\r\n\r\n" + CHUNKS
        )
    for first, second in itertools.product((b"5", b"6", b"05"), repeat=2):
        lines = b"Content-Length: %b\r\nContent-Length: %b\r\n" % (first, second)
        yield Case(f"lengths {first!r} {second!r}", ok(lines, BODY))
    for length, coding in itertools.product((b"5", b"15", b"0"), (b"chunked", b"identity", b"gzip")):
        one, two = b"Content-Length: %b\r\n" % length, b"Transfer-Encoding: %b\r\n" % coding
        yield Case(f"both {length!r} {coding!r}", ok(one + two, CHUNKS))
        yield Case(f"both {coding!r} {length!r}", ok(two + one, CHUNKS))
    for status, method in itertools.product(
        (b"200", b"204", b"205", b"304", b"404"), ("GET", "HEAD", "POST")
    ):
        start = b"HTTP/1.1 " + status + b" X\r\n"
        for framing, body in (
            (b"", BODY),
            (b"Content-Length: 5\r\n", BODY),
            (CHUNKED, CHUNKS),
            (b"Content-Length: 0\r\n", b""),
        ):
            yield Case(f"{method} {status.decode()} {framing!r}", start + framing + b"\r\n" + body, method)
            yield Case(
                f"{method} {status.decode()} {framing!r} and more",
                start + framing + b"\r\n" + body + SPLIT,
                method,
            )
            yield Case(
                f"{method} {status.decode()} {framing!r} without it", start + framing + b"\r\n", method
            )
    for interim in (b"100 Continue", b"102 Processing", b"103 Early", b"199 Odd", b"101 Switching"):
        for fields in (b"", b"Content-Length: 5\r\n", CHUNKED, b"Link: </a>\r\nConnection: x\r\n"):
            yield Case(
                f"{interim.decode()} {fields!r}",
                b"HTTP/1.1 " + interim + b"\r\n" + fields + b"\r\n" + ok(b"Content-Length: 5\r\n", BODY),
            )
    yield Case("many interim", b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n" * 5 + SAMPLE)


def _chunks() -> Iterator[Case]:
    for size in SIZES:
        yield Case(f"size {size[:24]!r}", ok(CHUNKED, size + b"\r\nhello\r\n0\r\n\r\n"))
    for extension in EXTENSIONS:
        yield Case(f"extension {extension[:24]!r}", ok(CHUNKED, b"5" + extension + b"\r\nhello\r\n0\r\n\r\n"))
    for trailer in TRAILERS:
        yield Case(f"trailer {trailer!r}", ok(CHUNKED, b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n"))
    for end in (b"", b"\r", b"\n", b"\r\r\n", b"\n\r", b"x\r\n"):
        yield Case(f"end of a chunk {end!r}", ok(CHUNKED, b"5\r\nhello" + end + b"0\r\n\r\n"))
    whole = ok(CHUNKED, CHUNKS)
    for length in range(len(whole) - len(CHUNKS), len(whole)):
        yield Case(f"chunks end after {length}", whole[:length])
    yield Case("chunks and more", whole + SPLIT)


def _heads() -> Iterator[Case]:
    for line in STATUS_LINES:
        yield Case(f"status line {line!r}", line + b"\r\nContent-Length: 5\r\n\r\nhello")
    for octet in (*range(0x21), *range(0x7F, 0x82), 0x85, 0xA0, 0xFF):
        text = bytes((octet,))
        yield Case(f"value b{octet:02x}c", ok(b"X-A: b" + text + b"c\r\nContent-Length: 5\r\n", BODY))
        yield Case(f"value {octet:02x}b", ok(b"X-A:" + text + b"b\r\nContent-Length: 5\r\n", BODY))
        yield Case(f"value b{octet:02x}", ok(b"X-A: b" + text + b"\r\nContent-Length: 5\r\n", BODY))
        yield Case(f"name a then {octet:02x}", ok(b"A" + text + b": c\r\nContent-Length: 5\r\n", BODY))
        yield Case(f"name {octet:02x} then a", ok(text + b"A: c\r\nContent-Length: 5\r\n", BODY))
    for name in SINGLES:
        yield Case(f"twice {name!r}", ok(name + b": 1\r\n" + name + b": 2\r\nContent-Length: 5\r\n", BODY))
        yield Case(
            f"twice {name!r} spelled otherwise",
            ok(name + b": 1\r\n" + name.lower() + b": 2\r\nContent-Length: 5\r\n", BODY),
        )
    for value in CONNECTIONS:
        lines = b"Connection: " + value + b"\r\nX-Own: 1\r\nSet-Cookie: a\r\nContent-Type: b\r\n"
        yield Case(f"connection {value!r}", ok(lines + b"Content-Length: 5\r\n", BODY))
        yield Case(f"connection {value!r} of chunks", ok(lines + CHUNKED, CHUNKS))
    for number in range(SAMPLE.count(b"\r\n")):
        for end in (b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\r\n", b"", b"\x00\r\n", b" \r\n", b"\r\n "):
            parts = SAMPLE.split(b"\r\n")
            head, tail = b"\r\n".join(parts[: number + 1]), b"\r\n".join(parts[number + 1 :])
            yield Case(f"line {number} ends with {end!r}", head + end + tail)
    for before in (b"\r\n", b"\n", b" ", b"\x00", b"\xef\xbb\xbf"):
        yield Case(f"before the line {before!r}", before + SAMPLE)
    for length in range(0, len(SAMPLE), 5):
        yield Case(f"ends after {length}", SAMPLE[:length])
    for value in (
        b"/a\r\nSet-Cookie: x",
        b"/a\nSet-Cookie: x",
        b"/a\rSet-Cookie: x",
        b"/a\r\n\r\nHTTP/1.1 200 OK",
        b"/a\x00b",
        b"http://b/\x85x",
    ):
        yield Case(
            f"location {value!r}", b"HTTP/1.1 302 X\r\nLocation: " + value + b"\r\nContent-Length: 0\r\n\r\n"
        )


RESPONSES = unique([*_framing(), *_chunks(), *_heads()])
"""All of them."""
