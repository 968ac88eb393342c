"""
`Max-Forwards`, which limits how many intermediaries a request may pass (RFC 9110 section 7.6.2).

It counts for OPTIONS and TRACE, and TRACE is refused anyway; for other methods it is a field like any other.
"""

from __future__ import annotations

import re

from pcs_gateway.http.refusals import Refusal, RequestRefused

MOST_FORWARDS = 1_000_000
"""A larger limit is written as this one: not every recipient can count further."""

_DIGITS = re.compile(rb"[0-9]{1,100}")
_LINE = re.compile(rb"(?im)^max-forwards:[^\r\n]*")


def read_hop_limit(value: bytes) -> int:
    """
    Give how often the request may still be forwarded.

    Raises:
        RequestRefused: It is not a decimal number.
    """
    if not _DIGITS.fullmatch(value):
        raise RequestRefused(Refusal.MALFORMED_MAX_FORWARDS)
    return min(int(value), MOST_FORWARDS)


def with_hop_limit(section: bytes, limit: int) -> bytes:
    """Give a field section with another limit."""
    return _LINE.sub(b"Max-Forwards: %d" % limit, section)
