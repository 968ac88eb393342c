"""
Heads of messages: the request line and the status line with their field sections.

A head is read only when it is complete, so reading is a function of bytes. llhttp judges the
fields; the start lines are judged here, since llhttp knows only a fixed list of methods and accepts
versions that are neither 1.0 nor 1.1.
"""

from __future__ import annotations

import re

import httptools

from pcs_gateway.http.fields import HOP_BY_HOP, SINGLE_IN_RESPONSES, list_tokens
from pcs_gateway.http.refusals import MalformedResponse, Refusal, RequestRefused

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
LONGEST_METHOD = 32
_METHOD = rb"[!#$%%&'*+\-.^_`|~0-9A-Z]{1,%d}" % LONGEST_METHOD
_REQUEST_LINE = re.compile(rb"(" + _METHOD + rb") ([\x21\x22\x24-\x7e]+) HTTP/1\.([01])")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([0-9]{3})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_LOOSE_REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") +(\S+) +(HTTP/[0-9.]*)")

RequestLine = tuple[bytes, bytes, bool]


_match_request_line = _REQUEST_LINE.fullmatch
_match_token = re.compile(TOKEN).fullmatch


def read_request_line(data: bytes, end: int) -> RequestLine:
    """
    Give method, target and whether the version is 1.1, from the line that ends at `end`.

    Methods are case-sensitive (RFC 9110 section 9.1), but some servers read `delete` as DELETE: routes that
    name methods would not hold, so those with lower-case letters, of which none is registered, are refused.
    So are long ones: the longest registered method has seventeen letters (UPDATEREDIRECTREF).

    Raises:
        RequestRefused: The line is not RFC 9112 section 3's, or its version is neither 1.0 nor 1.1.
    """
    match = _match_request_line(data, 0, end)
    if match is None:
        raise RequestRefused(_diagnose_request_line(data[:end]))
    method, target, minor = match.groups()
    return method, target, minor == b"1"


def _diagnose_request_line(line: bytes) -> Refusal:
    refusal = Refusal.BARE_LINE_END if b"\r" in line or b"\n" in line else _judge_method(line)
    if refusal is not None:
        return refusal
    loose = _LOOSE_REQUEST_LINE.fullmatch(line)
    if loose is None:
        return Refusal.MALFORMED_REQUEST_LINE
    if loose[3] not in (b"HTTP/1.1", b"HTTP/1.0"):
        return Refusal.UNSUPPORTED_VERSION
    if not re.fullmatch(_METHOD, loose[1]):
        return Refusal.LOWER_CASE_METHOD
    if b"#" in loose[2]:
        return Refusal.FRAGMENT_IN_TARGET
    return Refusal.MALFORMED_REQUEST_LINE if b"  " in line else Refusal.MALFORMED_TARGET


def judge_incomplete_head(data: bytes, judged: int = 0) -> Refusal | None:
    """
    Tell from the beginning of a head whether it can still become one.

    Args:
        judged: So many octets have been found good before: a head that comes octet by octet is read once.
    """
    start = judged - 1 if judged and data[judged - 1] == _CARRIAGE_RETURN else judged
    end = len(data) - 1 if data.endswith(b"\r") else len(data)
    ends = data.count(b"\r\n", start, end)
    if not data.count(b"\n", start, end) == data.count(b"\r", start, end) == ends:
        return Refusal.BARE_LINE_END
    line_end = data.find(b"\r", 0, end)
    if line_end < 0:
        return _judge_method(data)
    if line_end < start or _match_request_line(data, 0, line_end) is not None:
        return None
    return _diagnose_request_line(data[:line_end])


def _judge_method(line: bytes) -> Refusal | None:
    """Tell from a request line, or its beginning, whether it begins with a method of an allowed length."""
    method = line[: LONGEST_METHOD + 1].partition(b" ")[0].removesuffix(b"\r")
    if method and not _match_token(method):
        return Refusal.MALFORMED_REQUEST_LINE
    return Refusal.METHOD_TOO_LONG if len(method) > LONGEST_METHOD else None


# Kinds of response fields that the gateway has to look at. Plain integers: an enum member costs a
# slow attribute look-up for each field of each response.
_HOP_BY_HOP = 1
_CONTENT_LENGTH = 2
_TRANSFER_ENCODING = 3
_CONNECTION = 4
_UPGRADE = 7
_REQUEST_ID = 8
_FIRST_SINGLE = 32  # and so on, one for each name of SINGLE_IN_RESPONSES
_SINGLE_KINDS = {name: kind for kind, name in enumerate(SINGLE_IN_RESPONSES, _FIRST_SINGLE)}
_DATE = _SINGLE_KINDS[b"date"]
_LOCATION = _SINGLE_KINDS[b"location"]

_KINDS: dict[bytes, int] = {
    **_SINGLE_KINDS,
    **dict.fromkeys(HOP_BY_HOP, _HOP_BY_HOP),
    b"content-length": _CONTENT_LENGTH,
    b"transfer-encoding": _TRANSFER_ENCODING,
    b"connection": _CONNECTION,
    b"upgrade": _UPGRADE,
    b"x-request-id": _REQUEST_ID,
}
_KNOWN_SPELLINGS = 4096
_LONGEST_SPELLING = 64


class _Spellings(dict[bytes, int]):
    """Field names as backends spell them, each with its kind (0: of no interest), bounded."""

    def __missing__(self, name: bytes) -> int:
        kind = _KINDS.get(name.lower(), 0)
        if len(self) < _KNOWN_SPELLINGS and len(name) <= _LONGEST_SPELLING:
            self[name] = kind
        return kind


_SPELLINGS = _Spellings()


class ResponseHead:
    """
    The head of one response; class attributes are the defaults of what its fields did not say.

    Attributes:
        status: Three digits.
        start: The status line as it goes to the client, always HTTP/1.1 (RFC 9112 section 2.3).
        section: The field section as received.
        content_length: In bytes; None when there is no such field.
        odd_length: Content-Length is written in an odd way, such as 005, which not all take for five.
        singles: Which fields with a single value it has, a bit for each.
        repeated: Lower-cased names of those that it has more than once.
        rests: It has no body by its status alone. What a backend might send as one all the same must not be
            taken for the next response, so the connection rests before it is used again.
        may_persist: The backend will keep the connection open (RFC 9112 section 9.3); after a 5xx answer that
            is not believed, since some (PCS) then close it unannounced.
        dropped: Name and value of fields that must not be forwarded.
        upgrade: The value of Upgrade.
        forwarded: The field section without the connection's own fields.
        body_length: Bytes of body that follow, unless it answers HEAD; None when only its framing or the
            close of the connection will tell.
    """

    status: int
    start: bytes
    section: bytes
    content_length: int | None = None
    odd_length = False
    singles = 0
    repeated: frozenset[bytes] = frozenset()
    rests = False
    may_persist = True
    dropped: list[tuple[bytes, bytes]] | None = None
    connection = b""
    location = b""
    upgrade = b""
    has_date = False
    has_request_id = False
    is_chunked = False
    is_complete = False
    forwarded = b""
    body_length: int | None = None

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take llhttp's callback for one field."""
        kind = _SPELLINGS[name]
        if kind:
            if kind >= _FIRST_SINGLE:
                if self.singles & 1 << kind:
                    self.repeated |= {name.lower()}
                    return
                self.singles |= 1 << kind
                if kind == _DATE:
                    self.has_date = True
                elif kind == _LOCATION:
                    self.location = value.rstrip(b" \t")
            elif kind == _CONTENT_LENGTH:
                self.content_length = length = int(value)
                self.odd_length = value != b"%d" % length
            elif kind == _REQUEST_ID:
                self.has_request_id = True
            else:
                self._drop(kind, name, value)

    def _drop(self, kind: int, name: bytes, value: bytes) -> None:
        if self.dropped is None:
            self.dropped = []
        self.dropped.append((name, value))
        if kind == _TRANSFER_ENCODING:
            if self.is_chunked or value.rstrip(b" \t").lower() != b"chunked":
                raise MalformedResponse("its transfer coding is not 'chunked'")
            self.is_chunked = True
        elif kind == _CONNECTION:
            self.connection = self.connection + b"," + value if self.connection else value
        elif kind == _UPGRADE:
            self.upgrade = value

    def on_headers_complete(self) -> None:
        """Take llhttp's callback for the end of the head."""
        self.is_complete = True

    def frame(self) -> None:
        """Conclude where the body ends, and that a head which cannot have one promises none."""
        if self.status in _WITHOUT_BODY:
            self.body_length = 0
            self.rests = True
            if self.is_chunked or self.content_length:
                # a body that is announced although there is none may well follow (RFC 9112 section 6.3)
                self.may_persist = False
        elif not self.is_chunked:
            self.body_length = self.content_length
        if self.content_length is not None and (self.status < 200 or self.status == 204):
            # RFC 9110 section 8.6: these have no Content-Length; a client might wait for what it promises
            self.content_length = None
            self.dropped = [*(self.dropped or ()), (b"Content-Length", b"")]
        elif self.odd_length:
            self.dropped = [*(self.dropped or ()), (b"Content-Length", b"")]

    def as_forwarded(self) -> bytes:
        """Give the field section for the client."""
        section = self.without_dropped() if self.dropped else self.section
        if self.odd_length and self.content_length is not None:
            section += b"Content-Length: %d\r\n" % self.content_length
        return _first_only(section, self.repeated) if self.repeated else section

    def without_dropped(self) -> bytes:
        """Give the field section without the connection's own fields and those that Connection names."""
        dropped = self.dropped or []
        section = self.section
        if len(dropped) == 1 and self.connection.lower() in _USUAL_CONNECTION:
            # the usual case, `Connection: keep-alive` alone, is cut out by a search in C
            line = b"%b: %b\r\n" % dropped[0]
            at = section.find(line)
            if at == 0 or (at > 0 and section[at - 1] == _LINE_FEED):
                return section[:at] + section[at + len(line) :]
        tokens = list_tokens(self.connection) if self.connection else ()
        names = {name.lower() for name, _ in dropped} | (set(tokens) - _NEVER_DROPPED)
        lines = section.split(b"\r\n")
        return b"\r\n".join([line for line in lines if line.partition(b":")[0].lower() not in names])


def _first_only(section: bytes, names: frozenset[bytes]) -> bytes:
    """Drop all but the first field of each of these names."""
    kept: list[bytes] = []
    seen: set[bytes] = set()
    for line in section.split(b"\r\n"):
        name = line.partition(b":")[0].lower()
        if name in names:
            if name in seen:
                continue
            seen.add(name)
        kept.append(line)
    return b"\r\n".join(kept)


_LINE_FEED = 10
_CARRIAGE_RETURN = 13
_WITHOUT_BODY = frozenset((204, 304))
_USUAL_CONNECTION = (b"keep-alive", b"close", b"")
_NEVER_DROPPED = frozenset((b"content-length", b"date", b"set-cookie", b"content-type", b"content-encoding"))


_StatusLine = tuple[int, bytes, bool]
_KNOWN_STATUS_LINES = 256
_LONGEST_STATUS_LINE = 128


class _StatusLines(dict[bytes, "_StatusLine"]):
    """Status lines already read, bounded: status, the line for the client, whether it was HTTP/1.1."""

    def __missing__(self, line: bytes) -> _StatusLine:
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise MalformedResponse("its status line is malformed")
        minor, status, reason = match.groups()
        known = int(status), b"HTTP/1.1 %b %b\r\n" % (status, reason or b""), minor == b"1"
        if len(self) < _KNOWN_STATUS_LINES and len(line) <= _LONGEST_STATUS_LINE:
            self[line] = known
        return known


_STATUS_LINES = _StatusLines()


def may_become_response(data: bytes) -> bool:
    """Tell whether the beginning of a head can still become that of a response."""
    line, ending, _ = data.partition(b"\r\n")
    if not ending:
        return b"\n" not in data and data.startswith(b"HTTP/1."[: len(data)])
    return _STATUS_LINE.fullmatch(line) is not None and data.count(b"\n") == data.count(b"\r\n")


def read_response_head(head_bytes: bytes) -> ResponseHead:
    """
    Read a complete head: status line and field section, without the final empty line.

    Raises:
        MalformedResponse: It is not a response of HTTP/1.0 or 1.1.
    """
    start = head_bytes.find(b"\r\n") + 2
    head = ResponseHead()
    head.status, head.start, is_1_1 = _STATUS_LINES[head_bytes[: start - 2]]
    head.section = section = head_bytes[start:]
    try:
        httptools.HttpResponseParser(head).feed_data(b"HTTP/1.1 200 OK\r\n%b\r\n" % section)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise MalformedResponse("its fields are malformed") from error
    if not head.is_complete:
        raise MalformedResponse("its fields are malformed")
    if head.connection:
        tokens = list_tokens(head.connection)
        head.may_persist = b"close" not in tokens and (is_1_1 or b"keep-alive" in tokens)
    elif not is_1_1:
        head.may_persist = False
    if head.status >= 500:
        head.may_persist = False
    if head.is_chunked and not is_1_1:
        raise MalformedResponse("HTTP/1.0 has no transfer codings")
    head.frame()
    head.forwarded = section if not (head.dropped or head.repeated) else head.as_forwarded()
    return head
