"""
What one request says of itself and no other request repeats: its id, its trace, its idempotency key.

These lines are cut out of a field section before it is looked up in the memo of sections, so that clients
which number their requests cost little more than those which do not. Only lines that are sound in every
reader's eyes are cut; any other stays in the section and is judged with it.
"""

from __future__ import annotations

import re

PASSED_ON = (
    b"tracestate",
    b"idempotency-key",
    b"x-correlation-id",
    b"x-amzn-trace-id",
    b"x-b3-traceid",
    b"x-b3-spanid",
)
"""Fields that are passed on as they came."""

_VALUE = rb":[ \t]*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)[ \t]*\r\n"
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)


class Identity:
    """
    The identity that a client gave its request.

    Attributes:
        request_id: One printable word of at most 128 characters; empty when there was no such one.
        traceparent: A valid trace context; empty when there was none.
        lines: The lines to pass on as they came.
    """

    __slots__ = ("lines", "request_id", "traceparent")

    def __init__(self) -> None:
        self.request_id = b""
        self.traceparent = b""
        self.lines = b""


NO_IDENTITY = Identity()


class IdentityReader:
    """Cuts identities out of field sections; the name of the request id is the operator's choice."""

    __slots__ = ("_line", "_request_id_name")

    def __init__(self, request_id_name: bytes) -> None:
        self._request_id_name = request_id_name.lower()
        names = b"|".join(map(re.escape, (self._request_id_name, b"traceparent", *PASSED_ON)))
        self._line = re.compile(rb"\n(" + names + rb")" + _VALUE)

    def cut(self, section: bytes) -> tuple[bytes, Identity]:
        """Give the section without its identity, and the identity."""
        lowered = b"\n" + section.lower()
        matches = list(self._line.finditer(lowered))
        if not matches:
            return section, NO_IDENTITY
        identity = Identity()
        kept: list[bytes] = []
        at = 0
        names: list[bytes] = []
        for match in matches:
            # one line feed stands in front of `lowered`, so a line begins in `section` where its match begins
            begin, end = match.start(), match.end() - 1
            kept.append(section[at:begin])
            at = end
            names.append(match[1])
            self._take(identity, match[1], section[begin:end], match)
        if len(set(names)) < len(names):
            # said twice is not said: the section is judged as a whole and the gateway gives a new identity
            return section, NO_IDENTITY
        kept.append(section[at:])
        return b"".join(kept), identity

    def _take(self, identity: Identity, name: bytes, line: bytes, match: re.Match[bytes]) -> None:
        value = line[match.start(2) - match.start() - 1 : match.end(2) - match.start() - 1]
        if name == self._request_id_name:
            identity.request_id = value if _REQUEST_ID.fullmatch(value) else b""
        elif name == b"traceparent":
            identity.traceparent = value if _TRACEPARENT.fullmatch(value) else b""
        else:
            identity.lines += line
