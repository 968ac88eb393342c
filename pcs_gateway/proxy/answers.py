"""
Answers that the gateway gives in its own name: problem details (RFC 9457) with `Proxy-Status` (RFC 9209).

Every one is an object with a string `message`, which is what PCS's own SDK reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

import msgspec

from pcs_gateway.http.forwarding import PSEUDONYM
from pcs_gateway.http.refusals import Refusal

PHRASES = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
RETRY_AFTER_SECONDS = 1


def status_line(status: int) -> bytes:
    """Give the status line for a status code; an unknown code has no phrase."""
    return b"HTTP/1.1 %d %b\r\n" % (status, PHRASES.get(status, b""))


class Answer:
    """
    A complete answer of the gateway's own.

    Attributes:
        section: Field lines, without Date and without those of the connection.
    """

    __slots__ = ("body", "section", "status")

    def __init__(self, status: int, section: bytes, body: bytes) -> None:
        self.status = status
        self.section = section
        self.body = body


def problem(
    refusal: Refusal,
    request_id: bytes,
    backends: Sequence[str] = (),
    allowed: bytes = b"",
    retry_after: int = 0,
) -> Answer:
    """
    Give the answer to a refused exchange.

    Args:
        backends: For a pool without a ready backend: one line for each, with its last check.
        allowed: For a method that is not routed: the methods that are.
        retry_after: Seconds after which the client should try again, where they are known.
    """
    details: dict[str, object] = {
        "type": "about:blank",
        "title": PHRASES.get(refusal.status, b"").decode("ascii"),
        "status": refusal.status,
        "detail": refusal.message,
        "message": refusal.message,
        "reason": refusal.reason,
        "request_id": request_id.decode("latin-1"),
    }
    if retry_after:
        # PCS's own SDK reads the member and not the field
        details["retry_after"] = retry_after
    if backends:
        details["backends"] = list(backends)
    body = msgspec.json.encode(details)
    lines = [
        b"Content-Type: application/problem+json\r\n",
        b"Content-Length: %d\r\n" % len(body),
        b"Cache-Control: no-store\r\n",
        b'Proxy-Status: %b; error=%b; details="%b"\r\n'
        % (PSEUDONYM, refusal.proxy_error.encode("ascii"), refusal.reason.encode("ascii")),
    ]
    if retry_after or refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
        lines.append(b"Retry-After: %d\r\n" % (retry_after or RETRY_AFTER_SECONDS))
    if allowed:
        lines.append(b"Allow: %b\r\n" % allowed)
    return Answer(refusal.status, b"".join(lines), body)


def fixed(status: int, headers: dict[str, str], body: str) -> Answer:
    """Give the answer of a route's `respond:`."""
    octets = b"" if status in (204, 304) else body.encode("utf-8")
    fields = {name.lower() for name in headers}
    lines = [
        b"%b: %b\r\n" % (name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
    ]
    if octets and "content-type" not in fields:
        lines.append(b"Content-Type: text/plain; charset=utf-8\r\n")
    if status not in (204, 304):
        lines.append(b"Content-Length: %d\r\n" % len(octets))
    return Answer(status, b"".join(lines), octets)
