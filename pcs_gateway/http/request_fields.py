"""
The field section of a request, read once.

A client on a kept-alive connection sends the same field section again and again, but for the identity of each
request. So what follows from a section without its identity is computed once per distinct section and kept,
bounded, in a `Memo`.
"""

from __future__ import annotations

import re

import httptools

from pcs_gateway.http.fields import (
    HOP_BY_HOP,
    NEVER_NAMED_BY_CONNECTION,
    diagnose,
    is_valid_host,
    list_tokens,
)
from pcs_gateway.http.identity import Identity, IdentityReader
from pcs_gateway.http.memo import Memo
from pcs_gateway.http.refusals import Refusal, RequestRefused

MEMO_SECTIONS = 1024
MEMO_SECTION_BYTES = 4096
KNOWN_SPELLINGS = 4096

_DIGITS = re.compile(rb"[0-9]{1,19}")
_LINE_FEED = 10

# Kinds of fields that the gateway has to look at; plain integers, since this is asked for every field.
_HOP_BY_HOP = 1
_HOST = 2
_CONNECTION = 3
_CONTENT_LENGTH = 4
_TRANSFER_ENCODING = 5
_UPGRADE = 6
_IDENTITY = 7
_FORWARDING = 8
_EXPECT = 9

_KINDS: dict[bytes, int] = {
    **dict.fromkeys(HOP_BY_HOP, _HOP_BY_HOP),
    b"host": _HOST,
    b"connection": _CONNECTION,
    b"content-length": _CONTENT_LENGTH,
    b"transfer-encoding": _TRANSFER_ENCODING,
    b"upgrade": _UPGRADE,
    b"traceparent": _IDENTITY,
    b"x-forwarded-for": _FORWARDING,
    b"x-forwarded-proto": _FORWARDING,
    b"x-forwarded-host": _FORWARDING,
    b"forwarded": _FORWARDING,
    b"via": _FORWARDING,
    b"expect": _EXPECT,
}


class Spellings(dict[bytes, int]):
    """Field names as clients spell them, each with its kind (0: of no interest), bounded."""

    __slots__ = ("_request_id_name",)

    def __init__(self, request_id_name: bytes) -> None:
        super().__init__()
        self._request_id_name = request_id_name.lower()

    def __missing__(self, name: bytes) -> int:
        lowered = name.lower()
        kind = _IDENTITY if lowered == self._request_id_name else _KINDS.get(lowered, 0)
        if len(self) < KNOWN_SPELLINGS:
            self[name] = kind
        return kind


class RequestFields:
    """
    What the field section of a request says, apart from its request line.

    Attributes:
        section: As received, each line with its CR LF.
        end_to_end: The section without hop-by-hop fields and without what the gateway writes anew.
        framing: The field line that frames the body for the backend; empty when there is no body.
        content_length: In bytes; None when there is no such field.
        host: The value of Host; empty when there is none.
        is_plain: In HTTP/1.1 nothing about it needs care: a Host, no body, no upgrade, no expectation.
        has_forwarding: It has a field about proxies or clients before this one.
        upgrade: The protocol asked for, lower-cased; empty when none was asked for validly.
    """

    __slots__ = (
        "_connection",
        "_dropped",
        "_expect",
        "_hosts",
        "_is_complete",
        "_length",
        "_spellings",
        "_transfer_encoding",
        "content_length",
        "end_to_end",
        "expects_continue",
        "framing",
        "has_close",
        "has_forwarding",
        "has_keep_alive",
        "host",
        "is_plain",
        "refusal_1_0",
        "refusal_1_1",
        "section",
        "upgrade",
    )

    def __init__(self, section: bytes, spellings: Spellings, most_fields: int) -> None:
        """
        Read a field section.

        Raises:
            RequestRefused: It must not be forwarded; the reason says why.
        """
        if section.count(b"\n") > most_fields:
            raise RequestRefused(Refusal.TOO_MANY_FIELDS)
        self.section = section
        self._spellings = spellings
        self._dropped: list[tuple[bytes, bytes]] = []
        self._hosts = 0
        self._is_complete = self.has_forwarding = False
        self._length: bytes | None = None
        self._transfer_encoding: bytes | None = None
        self._connection = self._expect = self.host = self.upgrade = b""
        try:
            httptools.HttpRequestParser(self).feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % section)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as error:
            raise RequestRefused(diagnose(section)) from error
        if not self._is_complete:
            raise RequestRefused(diagnose(section))
        self._conclude()

    @property
    def values(self) -> dict[bytes, bytes]:
        """Lower-cased names with all their values, joined by ", " (RFC 9110 section 5.3); no identity."""
        values: dict[bytes, bytes] = {}
        for line in self.section.split(b"\r\n")[:-1]:
            name, _, value = line.partition(b":")
            key, text = name.lower(), value.strip(b" \t")
            values[key] = values[key] + b", " + text if key in values else text
        return values

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take llhttp's callback for one field."""
        kind = self._spellings[name]
        if kind:
            self._take(kind, name, value)

    def on_headers_complete(self) -> None:
        """Take llhttp's callback for the end of the section."""
        self._is_complete = True

    def _take(self, kind: int, name: bytes, raw: bytes) -> None:
        value = raw.rstrip(b" \t")
        if kind == _EXPECT:
            self._expect = value.lower()
            return
        self._dropped.append((name, raw))
        if kind == _HOST:
            self._hosts += 1
            self.host = value
        elif kind == _CONNECTION:
            self._connection = self._connection + b"," + value if self._connection else value
        elif kind == _CONTENT_LENGTH:
            self._length = value
        elif kind == _TRANSFER_ENCODING:
            before = self._transfer_encoding
            self._transfer_encoding = value if before is None else before + b", " + value
        elif kind == _UPGRADE:
            self.upgrade = self.upgrade + b"," + value if self.upgrade else value
        elif kind == _FORWARDING:
            self.has_forwarding = True

    def _conclude(self) -> None:
        tokens: list[bytes] = list_tokens(self._connection) if self._connection else []
        self.has_close = b"close" in tokens
        self.has_keep_alive = b"keep-alive" in tokens
        if self.upgrade:
            upgrade = self.upgrade.lower()
            self.upgrade = upgrade if b"upgrade" in tokens and b"," not in upgrade else b""
        self._judge_framing()
        self._judge_host()
        if self._expect and self._expect != b"100-continue":
            raise RequestRefused(Refusal.UNKNOWN_EXPECTATION)
        self.expects_continue = bool(self._expect)
        self.is_plain = not (self.framing or self.upgrade or self.refusal_1_1 or self._expect)
        self.end_to_end = self._without_dropped(tokens)

    def _judge_framing(self) -> None:
        coding, length = self._transfer_encoding, self._length
        self.content_length = None
        self.framing = b""
        if coding is not None:
            if coding.lower() != b"chunked":
                raise RequestRefused(Refusal.UNSUPPORTED_TRANSFER_CODING)
            self.framing = b"Transfer-Encoding: chunked\r\n"
        elif length is not None:
            if not _DIGITS.fullmatch(length):
                raise RequestRefused(Refusal.MALFORMED_CONTENT_LENGTH)
            self.content_length = int(length)
            self.framing = b"Content-Length: %d\r\n" % self.content_length

    def _judge_host(self) -> None:
        self.refusal_1_1 = self.refusal_1_0 = None
        if self._hosts != 1:
            self.refusal_1_1 = Refusal.REPEATED_HOST if self._hosts else Refusal.MISSING_HOST
            self.refusal_1_0 = Refusal.REPEATED_HOST if self._hosts else None
        elif not is_valid_host(self.host):
            self.refusal_1_1 = self.refusal_1_0 = Refusal.MALFORMED_HOST
        if self._transfer_encoding is not None:
            self.refusal_1_0 = Refusal.TRANSFER_CODING_IN_HTTP_1_0

    def _without_dropped(self, tokens: list[bytes]) -> bytes:
        section = self.section
        if all(token in _USUAL_TOKENS for token in tokens):
            for name, value in self._dropped:
                line = b"%b: %b\r\n" % (name, value)
                at = section.find(line)
                if at > 0 and section[at - 1] != _LINE_FEED:
                    at = section.find(b"\n" + line) + 1 or -1
                if at < 0:
                    return self._without_names(tokens)
                section = section[:at] + section[at + len(line) :]
            return section
        return self._without_names(tokens)

    def _without_names(self, tokens: list[bytes]) -> bytes:
        """The careful way: for unusual spacing, and for fields that Connection names."""
        names = {name.lower() for name, _ in self._dropped} | (set(tokens) - NEVER_NAMED_BY_CONNECTION)
        lines = self.section.split(b"\r\n")
        return b"\r\n".join([line for line in lines if line.partition(b":")[0].lower() not in names])


_USUAL_TOKENS = frozenset((b"close", b"keep-alive", b"upgrade", b"te", b"http2-settings"))


class RequestFieldsReader:
    """Reads field sections for a gateway's settings, and remembers those that may come again."""

    __slots__ = ("_identities", "_most_fields", "known")

    def __init__(self, request_id_name: bytes, most_fields: int) -> None:
        spellings = Spellings(request_id_name)
        self._most_fields = most_fields
        self._identities = IdentityReader(request_id_name)
        self.known: Memo[bytes, RequestFields] = Memo(
            lambda section: RequestFields(section, spellings, most_fields),
            limit=MEMO_SECTIONS,
            is_worth_keeping=lambda section: len(section) <= MEMO_SECTION_BYTES,
        )

    def read(self, section: bytes) -> tuple[RequestFields, Identity]:
        """
        Read a section that is not known as it stands.

        Raises:
            RequestRefused: It must not be forwarded.
        """
        if section.count(b"\n") > self._most_fields:
            raise RequestRefused(Refusal.TOO_MANY_FIELDS)
        stable, identity = self._identities.cut(section)
        return self.known[stable], identity
