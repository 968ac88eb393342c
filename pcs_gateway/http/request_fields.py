"""
The field section of a request, read once.

A client on a kept-alive connection often sends the same field section again and again, so what follows from a
section alone is kept, bounded, in a `Memo`. A client that numbers its requests never repeats one: reading a
section anew must be cheap too, which is why only the fields that matter here are looked at one by one.
"""

from __future__ import annotations

import re
from functools import partial

import httptools

from pcs_gateway.http.fields import NEVER_NAMED_BY_CONNECTION, diagnose, is_valid_host, list_tokens
from pcs_gateway.http.memo import Memo
from pcs_gateway.http.refusals import Refusal, RequestRefused
from pcs_gateway.http.request_kinds import (
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    FIRST_SINGLE,
    FORWARDING,
    HOST,
    IDENTITY_KINDS,
    KNOWN_SPELLINGS,
    MAX_FORWARDS,
    REQUEST_ID,
    STAYING_KINDS,
    TRACE,
    TRANSFER_ENCODING,
    UPGRADE,
    USUAL_KINDS,
    Spellings,
)

MEMO_SECTIONS = 1024
MEMO_SECTION_BYTES = 4096

_DIGITS = re.compile(rb"[0-9]{1,19}")
_SOUND_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_SOUND_TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
_LINE_FEED = 10

_SpecialField = tuple[int, bytes, bytes]


class RequestFields:
    """
    What the field section of a request says, apart from its request line.

    Attributes:
        section: As received, each line with its CR LF.
        announces_body: It has Content-Length or Transfer-Encoding, even if the body is empty.
        forwarded: The section for the backend: without the connection's fields and those about proxies; Host,
            the framing and a sound identity stay where they are.
        content_length: In bytes; None when there is no such field.
        host: The value of Host; empty when there is none.
        max_forwards: The value of Max-Forwards, whatever it is; None when there is none.
        named: What Connection names, beside the fields that are the connection's own anyway, and what only
            the gateway may set: no trailers of these names are passed on.
        is_plain: In HTTP/1.1 nothing about it needs care: a Host, no body, no upgrade, no expectation.
        has_forwarding: It has a field about proxies or clients before this one.
        has_identity: The client brought a request id or a trace context that is kept.
        request_id: The client's request id when it is one printable word of at most 128 characters.
        traceparent: The client's trace context when it is valid.
        upgrade: The protocol asked for, lower-cased; empty when none was asked for validly.
    """

    __slots__ = (
        "announces_body",
        "content_length",
        "expects_continue",
        "forwarded",
        "has_close",
        "has_forwarding",
        "has_identity",
        "has_keep_alive",
        "host",
        "is_plain",
        "max_forwards",
        "named",
        "refusal_1_0",
        "refusal_1_1",
        "request_id",
        "section",
        "traceparent",
        "upgrade",
    )

    def __init__(self, section: bytes, spellings: Spellings, parser: SectionParser) -> None:
        """
        Read a field section.

        Raises:
            RequestRefused: It must not be forwarded; the reason says why.
        """
        self.section = section
        fields = parser.parse(section)
        self.has_forwarding = self.has_close = self.has_keep_alive = self.expects_continue = False
        self.announces_body = False
        self.content_length: int | None = None
        self.max_forwards: bytes | None = None
        self.refusal_1_1: Refusal | None = None
        self.refusal_1_0: Refusal | None = None
        self.host = self.upgrade = self.request_id = self.traceparent = b""
        if len(fields) == section.count(b"\n"):
            special = [(kind, name, fields[name]) for name in fields if (kind := spellings[name])]
        else:
            special = [field for field in _each_field(section, spellings) if field[0]]
        self.named = tokens = self._conclude(special)
        if spellings.own_names:
            self.named = tokens | spellings.own_names
        dropped = [
            field
            for field in special
            if field[0] < FIRST_SINGLE and field[0] not in STAYING_KINDS and not self._stays(*field)
        ]
        cut = _cut(section, dropped) if tokens <= _USUAL_TOKENS else None
        if cut is None:
            # an identity belongs to the exchange, not to the connection, whatever Connection names
            identity = {name.lower() for kind, name, _ in special if kind in IDENTITY_KINDS}
            cut = _without_names(section, dropped, tokens - identity)
        if self.announces_body:
            cut += self._framing_anew([kind for kind, _, _ in dropped])
        self.forwarded = cut

    def _framing_anew(self, dropped: list[int]) -> bytes:
        """Give the framing in the plain way; not every parser reads 005 or `chunked ` as it is read here."""
        if CONTENT_LENGTH in dropped:
            return b"Content-Length: %d\r\n" % (self.content_length or 0)
        return b"Transfer-Encoding: chunked\r\n" if TRANSFER_ENCODING in dropped else b""

    def _stays(self, kind: int, name: bytes, value: bytes) -> bool:
        """Whether a field that is not of a staying kind may be forwarded where it stands."""
        if kind == REQUEST_ID:
            return bool(self.request_id)
        if kind == TRACE:
            return bool(self.traceparent)
        if kind == CONTENT_LENGTH:
            is_plain = value == b"%d" % (self.content_length or 0)
        else:
            is_plain = kind == TRANSFER_ENCODING and value == b"chunked"
        return is_plain and b"\n%b: %b\r" % (name, value) in b"\n" + self.section

    def without_host(self) -> bytes:
        """Give `forwarded` without the Host line, for a backend that is told another one."""
        lines = self.forwarded.split(b"\r\n")
        return b"\r\n".join([line for line in lines if line.partition(b":")[0].lower() != b"host"])

    @property
    def values(self) -> dict[bytes, bytes]:
        """Lower-cased names with all their values, joined by ", " (RFC 9110 section 5.3); no identity."""
        values: dict[bytes, bytes] = {}
        for line in self.section.split(b"\r\n")[:-1]:
            name, _, value = line.partition(b":")
            key, text = name.lower(), value.strip(b" \t")
            values[key] = values[key] + b", " + text if key in values else text
        return values

    def _conclude(self, special: list[_SpecialField]) -> frozenset[bytes]:
        """Judge the fields that matter; give the tokens of Connection."""
        said: dict[int, bytes] = {}
        hosts = singles = 0
        for kind, _, raw in special:
            if kind >= FIRST_SINGLE:
                if singles & 1 << kind:
                    raise RequestRefused(Refusal.REPEATED_FIELD)
                singles |= 1 << kind
                continue
            value = raw.rstrip(b" \t")
            if kind == HOST:
                hosts += 1
                self.host = value
            else:
                said[kind] = said[kind] + b", " + value if kind in said else value
        if hosts != 1 or not is_valid_host(self.host):
            self._judge_host(hosts)
        tokens = _NO_TOKENS
        if CONNECTION in said:
            tokens = _connection_tokens[said[CONNECTION]]
            self.has_close = b"close" in tokens
            self.has_keep_alive = b"keep-alive" in tokens and not self.has_close
        if REQUEST_ID in said and _SOUND_REQUEST_ID.fullmatch(said[REQUEST_ID]):
            self.request_id = said[REQUEST_ID]
        if TRACE in said and _SOUND_TRACEPARENT.fullmatch(said[TRACE]):
            self.traceparent = said[TRACE]
        self.has_identity = bool(self.request_id or self.traceparent)
        self.has_forwarding = FORWARDING in said
        is_unusual = not said.keys() <= USUAL_KINDS
        if is_unusual:
            self._judge_unusual(said, tokens)
        self.is_plain = not (is_unusual or self.refusal_1_1)
        return tokens

    def _judge_unusual(self, said: dict[int, bytes], tokens: frozenset[bytes]) -> None:
        if CONTENT_LENGTH in said or TRANSFER_ENCODING in said:
            self._judge_framing(said)
        self.max_forwards = said.get(MAX_FORWARDS)
        if self.max_forwards is not None and b"," in self.max_forwards:
            raise RequestRefused(Refusal.MALFORMED_MAX_FORWARDS)
        if EXPECT in said:
            self.expects_continue = said[EXPECT].lower() == b"100-continue"
            if not self.expects_continue:
                raise RequestRefused(Refusal.UNKNOWN_EXPECTATION)
        upgrade = said.get(UPGRADE, b"").lower()
        self.upgrade = upgrade if b"upgrade" in tokens and b"," not in upgrade else b""

    def _judge_host(self, count: int) -> None:
        if count == 1:
            self.refusal_1_1 = self.refusal_1_0 = Refusal.MALFORMED_HOST
        else:
            self.refusal_1_1 = Refusal.REPEATED_HOST if count else Refusal.MISSING_HOST
            self.refusal_1_0 = Refusal.REPEATED_HOST if count else None

    def _judge_framing(self, said: dict[int, bytes]) -> None:
        self.announces_body = True
        coding = said.get(TRANSFER_ENCODING)
        if coding is not None:
            if coding.lower() != b"chunked":
                raise RequestRefused(Refusal.UNSUPPORTED_TRANSFER_CODING)
            self.refusal_1_0 = Refusal.TRANSFER_CODING_IN_HTTP_1_0
            return
        length = said[CONTENT_LENGTH]
        if not _DIGITS.fullmatch(length):
            raise RequestRefused(Refusal.MALFORMED_CONTENT_LENGTH)
        self.content_length = int(length)


class SectionParser:
    """
    llhttp, judging one field section after another.

    It calls methods of built-in types: a callback in Python for each field would cost as much as all the rest
    of reading. A parser that has read a whole message without a body stands at the beginning again; any other
    is thrown away.
    """

    __slots__ = (
        "_ends",
        "_fields",
        "_messages",
        "_parser",
        "on_header",
        "on_headers_complete",
        "on_message_complete",
    )

    def __init__(self) -> None:
        self._fields: dict[bytes, bytes] = {}
        self._ends: list[None] = []
        self.on_header = self._fields.setdefault
        self.on_headers_complete = partial(self._ends.append, None)
        self._messages: list[None] = []
        self.on_message_complete = partial(self._messages.append, None)
        self._parser = httptools.HttpRequestParser(self)

    def parse(self, section: bytes) -> dict[bytes, bytes]:
        """
        Give the first value of each name as it is spelled; the dictionary is used again for the next section.

        Raises:
            RequestRefused: The section is malformed.
        """
        self._fields.clear()
        self._ends.clear()
        self._messages.clear()
        parser = self._parser
        try:
            parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % section)
        except httptools.HttpParserUpgrade:
            self._parser = httptools.HttpRequestParser(self)
        except httptools.HttpParserError as error:
            self._parser = httptools.HttpRequestParser(self)
            raise RequestRefused(diagnose(section)) from error
        if len(self._ends) != 1:
            self._parser = httptools.HttpRequestParser(self)
            raise RequestRefused(diagnose(section))
        if len(self._messages) != 1 or _may_end_connection(section):
            self._parser = httptools.HttpRequestParser(self)
        return self._fields


def _may_end_connection(section: bytes) -> bool:
    """Whether llhttp may take nothing more after this message; it tells only while it reads the message."""
    return b"close" in section.lower()


def _each_field(section: bytes, spellings: Spellings) -> list[_SpecialField]:
    """The careful way: names that are repeated."""
    lines = [line.partition(b":") for line in section.split(b"\r\n")[:-1]]
    return [(spellings[name], name, value.lstrip(b" \t")) for name, _, value in lines]


def _cut(section: bytes, special: list[_SpecialField]) -> bytes | None:
    """Cut fields out of a section; None when one is not written in the usual way."""
    if not special:
        return section
    text = b"\n" + section
    for _, name, value in special:
        shorter = text.replace(b"\n%b: %b\r" % (name, value), b"", 1)
        if len(shorter) == len(text):
            return None
        text = shorter
    return text[1:]


def _without_names(section: bytes, special: list[_SpecialField], tokens: frozenset[bytes]) -> bytes:
    """The careful way: for unusual spacing, and for fields that Connection names."""
    names = {name.lower() for _, name, _ in special}
    names |= tokens - NEVER_NAMED_BY_CONNECTION
    lines = section.split(b"\r\n")
    return b"\r\n".join([line for line in lines if line.partition(b":")[0].lower() not in names])


class _ConnectionTokens(dict[bytes, frozenset[bytes]]):
    """Values of Connection already taken apart, bounded."""

    def __missing__(self, value: bytes) -> frozenset[bytes]:
        tokens = frozenset(list_tokens(value))
        if len(self) < KNOWN_SPELLINGS and len(value) <= _SHORT:
            self[value] = tokens
        return tokens


_SHORT = 128
_NO_TOKENS: frozenset[bytes] = frozenset()
_connection_tokens = _ConnectionTokens()
_USUAL_TOKENS = frozenset((b"close", b"keep-alive", b"upgrade", b"te", b"http2-settings"))


def _is_short_section(section: bytes) -> bool:
    return len(section) <= MEMO_SECTION_BYTES


class RequestFieldsReader:
    """Reads field sections for a gateway's settings, and remembers those that come again."""

    __slots__ = ("_most_fields", "_parser", "_spellings", "known")

    def __init__(
        self,
        request_id_name: bytes,
        most_fields: int,
        own_names: frozenset[bytes] = frozenset(),
        single_names: frozenset[bytes] = frozenset(),
    ) -> None:
        """
        Read as configured.

        Args:
            own_names: Lower-cased names of fields that only the gateway may set.
            single_names: Of fields by which clients are told apart; a request may have one of each.
        """
        self._spellings = Spellings(request_id_name, own_names, single_names)
        self._most_fields = most_fields
        self._parser = SectionParser()
        self.known: Memo[bytes, RequestFields] = Memo(self.read, MEMO_SECTIONS, _is_short_section)

    def read(self, section: bytes) -> RequestFields:
        """
        Read a section, whether or not it is known.

        Raises:
            RequestRefused: It must not be forwarded.
        """
        if section.count(b"\n") > self._most_fields:
            raise RequestRefused(Refusal.TOO_MANY_FIELDS)
        return RequestFields(section, self._spellings, self._parser)
