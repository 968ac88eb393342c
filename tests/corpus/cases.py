"""What a case of the corpus is, and the pieces that cases are made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

HOST = b"Host: a.test\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n"
"""A sound request behind the one in question: it is answered, or the connection ends before it."""


@dataclass(frozen=True, slots=True)
class Case:
    """
    Bytes that a client sends, or a backend.

    Attributes:
        name: Unique in its table; begins with the area.
        data: All that is sent on the connection, which is then half-closed.
        method: For a response, of the request that it answers.
    """

    name: str
    data: bytes
    method: str = "GET"


def request(
    lines: bytes = b"",
    body: bytes = b"",
    method: bytes = b"GET",
    target: bytes = b"/",
    version: bytes = b"HTTP/1.1",
    host: bytes = HOST,
) -> bytes:
    """Give one request with the next one behind it."""
    return b"%b %b %b\r\n%b%b\r\n%b%b" % (method, target, version, host, lines, body, NEXT)


def post(lines: bytes, body: bytes = b"") -> bytes:
    """The same of a POST."""
    return request(lines, body, b"POST")


def unique(cases: Iterable[Case]) -> tuple[Case, ...]:
    """Check that no name is used twice."""
    table = tuple(cases)
    names = [case.name for case in table]
    assert len(names) == len(set(names)), {name for name in names if names.count(name) > 1}
    return table
