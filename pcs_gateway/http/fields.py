"""
What kinds of header fields there are, and the field section of a request read once.

llhttp judges the grammar of every field section; what it lets through although two parsers could
read it in two ways is refused here (each refusal is a row of tests/conformance).

A client on a kept-alive connection sends the same field section again and again, so what follows
from a section alone is computed once per distinct section and kept, bounded, in a `Memo`.
"""

from __future__ import annotations

import re

import httptools

from pcs_gateway.http.memo import Memo
from pcs_gateway.http.refusals import Refusal, RequestRefused

Field = tuple[bytes, bytes]

MEMO_SECTIONS = 1024
MEMO_SECTION_BYTES = 4096

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

REPLACED = frozenset(
    (
        b"host",
        b"content-length",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"forwarded",
        b"via",
        b"traceparent",
    )
)
"""Fields that the gateway writes anew from what it read."""

NEVER_NAMED_BY_CONNECTION = frozenset(
    (
        b"host",
        b"content-length",
        b"authorization",
        b"cookie",
        b"date",
        b"via",
        b"x-forwarded-for",
        b"x-forwarded-proto",
    )
)
"""End-to-end fields that a client must not strip by naming them in Connection (hop-by-hop abuse)."""

_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(?::[0-9]{0,5})?")
_DIGITS = re.compile(rb"[0-9]{1,19}")
_TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")


class _Collector:
    """Receives llhttp's callbacks."""

    __slots__ = ("fields", "is_complete")

    def __init__(self) -> None:
        self.fields: list[Field] = []
        self.is_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.is_complete = True


def read_fields(section: bytes) -> list[Field]:
    """
    Read a field section (each line ending with CR LF, without the empty line) into names and values.

    Raises:
        RequestRefused: The section is malformed; the reason says how.
    """
    collector = _Collector()
    try:
        httptools.HttpRequestParser(collector).feed_data(b"POST / HTTP/1.1\r\n" + section + b"\r\n")
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise RequestRefused(diagnose(section)) from error
    if not collector.is_complete:
        raise RequestRefused(diagnose(section))
    return collector.fields


_DIAGNOSES = (
    (re.compile(rb"(?<!\r)\n|\r(?!\n)"), Refusal.BARE_LINE_END),
    (re.compile(rb"(?:^|\n)[ \t]"), Refusal.FOLDED_FIELD),
    (re.compile(rb"(?m)^[^:\r\n]*[ \t]:"), Refusal.SPACE_BEFORE_COLON),
    (re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"), Refusal.CONTROL_CHARACTER),
    (re.compile(rb"(?im)^transfer-encoding:(?:.|\n)*^content-length:"), Refusal.LENGTH_AND_TRANSFER_ENCODING),
    (re.compile(rb"(?im)^content-length:(?:.|\n)*^transfer-encoding:"), Refusal.LENGTH_AND_TRANSFER_ENCODING),
    (re.compile(rb"(?im)^transfer-encoding:"), Refusal.UNSUPPORTED_TRANSFER_CODING),
    (re.compile(rb"(?im)^content-length:"), Refusal.MALFORMED_CONTENT_LENGTH),
)


def diagnose(section: bytes) -> Refusal:
    """Name what is wrong with a field section that llhttp refused."""
    for pattern, refusal in _DIAGNOSES:
        if pattern.search(section):
            return refusal
    return Refusal.MALFORMED_FIELD


def list_tokens(value: bytes) -> list[bytes]:
    """Split a comma-separated list of tokens, lower-cased, empty elements dropped (RFC 9110 5.6.1)."""
    return [token for part in value.lower().split(b",") if (token := part.strip(b" \t"))]


class RequestFields:
    """
    What the field section of a request says, apart from its request line.

    Attributes:
        fields: Name as sent and value, in order.
        values: Lower-cased name to all values, joined by ", " (RFC 9110 section 5.3).
        end_to_end: The section without hop-by-hop fields and without what the gateway writes anew.
        framing: The field line that frames the body for the backend; empty when there is no body.
        content_length: In bytes; None when there is no such field.
        connection: Tokens of Connection, lower-cased.
        request_id: The client's request id when it is one printable word of at most 128 characters.
        has_forwarded_for: It tells the client's client, if one may believe it.
        has_identity: The client brought a request id or a trace context that is kept.
        is_plain: In HTTP/1.1 nothing about it needs care: a Host, no body, no upgrade, no expectation.
        upgrade: The protocol asked for, lower-cased; empty when none was asked for validly.
    """

    __slots__ = (
        "connection",
        "content_length",
        "end_to_end",
        "expects_continue",
        "fields",
        "framing",
        "has_close",
        "has_forwarded_for",
        "has_identity",
        "has_keep_alive",
        "has_transfer_encoding",
        "host",
        "is_chunked",
        "is_plain",
        "refusal_1_0",
        "refusal_1_1",
        "request_id",
        "traceparent",
        "upgrade",
        "values",
    )

    def __init__(
        self, section: bytes, request_id_name: bytes = b"x-request-id", most_fields: int = 100
    ) -> None:
        self.fields = read_fields(section)
        if len(self.fields) > most_fields:
            raise RequestRefused(Refusal.TOO_MANY_FIELDS)
        values: dict[bytes, bytes] = {}
        hosts = 0
        for name, value in self.fields:
            key = name.lower()
            values[key] = values[key] + b", " + value if key in values else value
            hosts += key == b"host"
        self.values = values
        self._read_connection(values)
        self._read_framing(values)
        self.host = values.get(b"host", b"")
        self._judge_host(hosts)
        expect = values.get(b"expect", b"").lower()
        self.expects_continue = expect == b"100-continue"
        if expect and not self.expects_continue:
            raise RequestRefused(Refusal.UNKNOWN_EXPECTATION)
        traceparent = values.get(b"traceparent", b"")
        self.traceparent = traceparent if _TRACEPARENT.fullmatch(traceparent) else b""
        request_id = values.get(request_id_name)
        self.request_id = request_id if request_id is not None and REQUEST_ID.fullmatch(request_id) else b""
        self.has_identity = bool(self.request_id or self.traceparent)
        self.has_forwarded_for = b"x-forwarded-for" in values
        self.is_plain = not (self.framing or self.upgrade or self.refusal_1_1 or expect)
        dropped = HOP_BY_HOP | REPLACED | {request_id_name} | (self.connection - NEVER_NAMED_BY_CONNECTION)
        self.end_to_end = b"".join(
            [b"%b: %b\r\n" % field for field in self.fields if field[0].lower() not in dropped]
        )

    def _read_connection(self, values: dict[bytes, bytes]) -> None:
        self.connection = frozenset(list_tokens(values.get(b"connection", b"")))
        self.has_close = b"close" in self.connection
        self.has_keep_alive = b"keep-alive" in self.connection
        upgrade = values.get(b"upgrade", b"").lower().strip()
        self.upgrade = upgrade if b"upgrade" in self.connection and b"," not in upgrade else b""

    def _read_framing(self, values: dict[bytes, bytes]) -> None:
        coding = values.get(b"transfer-encoding")
        self.has_transfer_encoding = coding is not None
        self.is_chunked = coding is not None
        if coding is not None and coding.lower() != b"chunked":
            raise RequestRefused(Refusal.UNSUPPORTED_TRANSFER_CODING)
        length = values.get(b"content-length")
        if length is not None and not _DIGITS.fullmatch(length):
            raise RequestRefused(Refusal.MALFORMED_CONTENT_LENGTH)
        self.content_length = None if length is None else int(length)
        if coding is not None:
            self.framing = b"Transfer-Encoding: chunked\r\n"
        else:
            self.framing = b"" if length is None else b"Content-Length: %d\r\n" % int(length)

    def _judge_host(self, count: int) -> None:
        malformed = count == 1 and not _HOST.fullmatch(self.host)
        self.refusal_1_0 = (
            Refusal.REPEATED_HOST if count > 1 else Refusal.MALFORMED_HOST if malformed else None
        )
        self.refusal_1_1 = self.refusal_1_0 if count else Refusal.MISSING_HOST
        if self.has_transfer_encoding:
            self.refusal_1_0 = Refusal.TRANSFER_CODING_IN_HTTP_1_0


def request_fields_memo(request_id_name: bytes, most_fields: int) -> Memo[bytes, RequestFields]:
    """Give the memo of field sections for a gateway's settings; long sections are read anew each time."""
    return Memo(
        lambda section: RequestFields(section, request_id_name, most_fields),
        limit=MEMO_SECTIONS,
        is_worth_keeping=lambda section: len(section) <= MEMO_SECTION_BYTES,
    )


def is_valid_host(host: bytes) -> bool:
    """Tell whether `host` is `uri-host [":" port]` (RFC 9110 section 7.2), not empty."""
    return _HOST.fullmatch(host) is not None
