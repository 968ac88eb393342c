"""
One field, or one cookie, out of a field section: for who asks for a single value of a request.

A section is what follows a start line, each line with its CR LF, already judged to be well-formed. Looking
costs a copy in lower case and a search, which is less than taking the whole section apart.
"""

from __future__ import annotations


def field_value(section: bytes, name: bytes) -> bytes:
    """
    Give the value of the field called `name` (lower case), trimmed; empty when there is none.

    Of a field that comes several times it is all values, in order and joined by ", " (RFC 9110 section 5.3):
    whoever asks for the same field sees the same value, and an intermediary may have joined them before.
    """
    mark = b"\n%b:" % name
    lowered = b"\n" + section.lower()  # so that positions behind a mark are one further than in the section
    at = lowered.find(mark)
    if at < 0:
        return b""
    start = at + len(mark) - 1
    end = section.find(b"\r", start)
    value = section[start : end if end >= 0 else None].strip(b" \t")
    while (at := lowered.find(mark, start)) >= 0:
        start = at + len(mark) - 1
        value += b", " + _value(section, start)
    return value


def cookie_value(section: bytes, name: bytes) -> bytes:
    """Give the value of the first cookie called `name`, as it was sent (RFC 6265 section 4.2); else empty."""
    lowered = section.lower()
    start = _after(lowered, b"cookie", 0)
    while start:
        for pair in _value(section, start).split(b";"):
            found, equals, value = pair.strip(b" \t").partition(b"=")
            if equals and found == name:
                return value
        start = _after(lowered, b"cookie", start)
    return b""


def _after(lowered: bytes, name: bytes, start: int) -> int:
    """Give where the value of the next such field begins; 0 when there is none."""
    if not start and lowered.startswith(name + b":"):
        return len(name) + 1
    at = lowered.find(b"\n%b:" % name, start)
    return at + len(name) + 2 if at >= 0 else 0


def _value(section: bytes, start: int) -> bytes:
    end = section.find(b"\r", start)
    return section[start : end if end >= 0 else None].strip(b" \t")
