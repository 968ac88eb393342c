"""
What kinds of header fields there are, and what may be wrong with a field section.

llhttp judges the grammar of every field section; what it lets through although two parsers could
read it in two ways is refused here (each refusal is a row of tests/conformance).
"""

from __future__ import annotations

import ipaddress
import re

from pcs_gateway.http.refusals import Refusal

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    )
)
"""Fields of one connection, never forwarded (RFC 9110 section 7.6.1); h2c's settings go with Upgrade."""

NEVER_NAMED_BY_CONNECTION = frozenset(
    (
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"authorization",
        b"cookie",
        b"date",
        b"expect",
        b"max-forwards",
        b"via",
        b"x-forwarded-for",
        b"x-forwarded-proto",
    )
)
"""Fields that a client must not strip by naming them in Connection: a body without its framing would be
the next request, a request without its credentials another's."""

SINGLE = (
    b"authorization",
    b"content-location",
    b"content-range",
    b"content-type",
    b"if-modified-since",
    b"if-range",
    b"if-unmodified-since",
    b"proxy-authorization",
    b"range",
    b"user-agent",
)
"""Request fields with one value: of two some take the first and others the last (RFC 9110 5.3)."""

SINGLE_IN_RESPONSES = (b"content-type", b"date", b"etag", b"last-modified", b"location", b"retry-after")
"""The same of responses; backends do repeat them, so the first is kept and the others are dropped."""

# Stricter than RFC 3986: "," joins two Hosts for some readers, "%" is decoded by some, no label is empty.
_LABEL = rb"[A-Za-z0-9_~!$&'()*+;=-]+"
_HOST = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|" + _LABEL + rb"(?:\." + _LABEL + rb")*\.?)(?::([0-9]{0,5}))?")
_LAST_PORT = 65535
_FEW_HOSTS = 1024
_LONGEST_NAME = 262  # 255 octets of a name, a colon and a port
_sound_hosts: set[bytes] = set()


def is_valid_host(host: bytes) -> bool:
    """Tell whether `host` is `uri-host [":" port]` (RFC 9110 7.2), not empty, the port below 65536."""
    if host in _sound_hosts:
        return True
    match = _HOST.fullmatch(host)
    is_sound = (
        match is not None
        and int(match[2] or 0) <= _LAST_PORT
        and (match[1] is None or _is_ipv6(match[1].decode("ascii")))
    )
    if is_sound and len(_sound_hosts) < _FEW_HOSTS and len(host) <= _LONGEST_NAME:
        _sound_hosts.add(host)
    return is_sound


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def list_tokens(value: bytes) -> list[bytes]:
    """Split a comma-separated list of tokens, lower-cased, empty elements dropped (RFC 9110 5.6.1)."""
    return [token for part in value.lower().split(b",") if (token := part.strip(b" \t"))]


_DIAGNOSES = (
    (re.compile(rb"(?<!\r)\n|\r(?!\n)"), Refusal.BARE_LINE_END),
    (re.compile(rb"(?:^|\n)[ \t]"), Refusal.FOLDED_FIELD),
    (re.compile(rb"(?m)^[^:\r\n]*[ \t]:"), Refusal.SPACE_BEFORE_COLON),
    (re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"), Refusal.CONTROL_CHARACTER),
)
_TRANSFER_ENCODING = re.compile(rb"(?im)^transfer-encoding:")
_CONTENT_LENGTH = re.compile(rb"(?im)^content-length:")


def diagnose(section: bytes) -> Refusal:
    """
    Name what is wrong with a field section that llhttp refused.

    The time it takes grows no faster than the section: no pattern may look further from each of many lines.
    """
    for pattern, refusal in _DIAGNOSES:
        if pattern.search(section):
            return refusal
    has_length = _CONTENT_LENGTH.search(section) is not None
    if _TRANSFER_ENCODING.search(section) is not None:
        return Refusal.LENGTH_AND_TRANSFER_ENCODING if has_length else Refusal.UNSUPPORTED_TRANSFER_CODING
    return Refusal.MALFORMED_CONTENT_LENGTH if has_length else Refusal.MALFORMED_FIELD
