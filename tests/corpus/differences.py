"""
Where we forward otherwise than nginx 1.22, and mean to: the reviewed list.

Sections are of RFC 9112 unless another is named. A pattern speaks of names of cases, as in a shell.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

STRICTER, LAXER, OTHERWISE = "we refuse", "nginx refuses", "we forward otherwise"


@dataclass(frozen=True, slots=True)
class Difference:
    """
    An intended difference.

    Attributes:
        kind: Which of the two refuses what the other forwards, or that both forward something else.
        names: A pattern of names of cases.
        section: That asks for it or allows it.
        why: Why we do it so.
    """

    kind: str
    names: str
    section: str
    why: str

    def covers(self, name: str, kind: str) -> bool:
        """Whether it speaks of this case."""
        return kind == self.kind and fnmatchcase(name, self.names)


_LF = "a bare LF may be refused, since some parsers take it for the end of a line and others do not"
_CR = "a bare CR is refused: some parsers take it for the end of a line"
_EXTENSION = "an extension that breaks the grammar is refused: parsers find its end in different places"
_TRAILER = "a malformed trailer is refused; nginx drops trailers unread"
_TOKEN = "a name is a token; nginx ignores other names, some parsers read them"
_DOTS = "segments that others would resolve are refused unless the route allows them"
_PERSISTS = "both refuse; the framing is sound, so here the connection goes on to the next request"

_Row = tuple[str, str, str]

_WE_REFUSE: tuple[_Row, ...] = (
    ("length b'5?[nr]'", "2.2", _LF),
    ("coding b'chunked?r'", "2.2", _CR),
    ("* named b'X*?n*'", "2.2", _LF),
    ("length named b'Content?xe2*", "9110 5.6.2", _TOKEN),
    ("size b'00000000*'", "7.1", "more than 16 digits overflow in some parsers"),
    ("size b'5 '", "7.1", "a size is digits, and white space comes before an extension only"),
    ("size b'5?t'", "7.1", "the same with a tab"),
    ("size b'5 5'", "7.1", "the same in between"),
    ("size b'6'", "2.2", _LF),
    ("extension b*", "7.1.1", _EXTENSION),
    ("last extension b*", "7.1.1", _EXTENSION),
    ("trailer b*", "7.1.2", _TRAILER),
    ("last chunk b*", "7.1", "the trailer section ends with CR LF, and only with that"),
    ("end of a chunk b'?n'", "2.2", _LF),
    ("target b'*#b'", "3.2", "a target has no fragment; nginx forwards it"),
    ("target b'/a?x80'", "3986 2.1", "octets beyond ASCII are escaped in a target"),
    ("target b'/?xc3?xa9'", "3986 2.1", "the same"),
    ("target b'ftp*'", "3.2.2", "only http and https are served here"),
    ("target b'http://a.test:65536/'", "3986 3.2.3", "no such port; some parsers wrap it to 0"),
    ("version b'HTTP/1.*'", "2.3", "a version is one digit, a dot and one digit, and known"),
    ("version b''", "3", "HTTP/0.9 is not spoken"),
    ("separator b*", "3", "exactly one space stands between the parts of a request line"),
    ("before the line b'?[nr]'", "2.2", "only CR LF may come before a request line"),
    ("*: line ? ends with b'?n'", "2.2", _LF),
    ("*: line ? ends with b'?n?r'", "2.2", _LF),
    ("*: line ? ends with b'?r?r?n'", "2.2", _CR),
    ("plain: line 0 ends with b' ?r?n'", "3", "no white space behind the version"),
    ("chunked: line 0 ends with b' ?r?n'", "3", "the same"),
    ("chunked: line 4 ends with b' ?r?n'", "7.1", "no white space behind the data of a chunk"),
    ("chunked: line [678] ends with *", "7.1.2", _TRAILER),
    ("value *", "9110 5.5", "control characters are refused, which RFC 9110 allows and advises"),
    ("name *", "9110 5.6.2", _TOKEN),
    ("twice b*", "9110 5.3", "some recipients take the first of two values, others the last"),
    ("host b*", "9110 7.2", "Host is a host that can exist, with a port that can exist"),
    ("*hosts b'X: y?nHost: a?r?n'", "2.2", _LF),
    ("expect b*", "9110 10.1.1", "417 for what is not 100-continue; nginx ignores it"),
    ("forwards b* of b'OPTIONS'", "9110 7.6.2", "the limit must be read, and is a number"),
    ("forwards b'1, 0' of b'GET'", "9110 5.3", "a limit has one value"),
    ("upgrade b* with *", "9110 7.8", "the switch would begin in the middle of the body"),
)
_NGINX_REFUSES: tuple[_Row, ...] = (
    ("length b'?t5?t'", "9110 5.5", "a tab around a value is white space"),
    ("coding b'?tchunked'", "9110 5.5", "the same; it is written anew"),
    ("host b'?ta.test'*", "9110 5.5", "the same"),
    ("target b'/..'", "9.3", _PERSISTS),
    ("target b'http://a.test/../b'", "9.3", _PERSISTS),
    ("target b'/%2E%2E/'", "9.3", _PERSISTS),
    ("method b'TRACE'", "9.3", _PERSISTS),
    ("forwards b* of b'TRACE'", "9.3", _PERSISTS),
    ('method b"X!*', "9110 9.1", "a method is any token; the backend knows which it takes"),
    ("method b'0'", "9110 9.1", "the same"),
    ("method b'OPTIONS' target b'?'", "3.2.4", "OPTIONS * asks about the whole server"),
    ("connection b'?close?'*", "9110 5.6.2", "a quoted word is not the token close"),
    ("connection b'close?xa0'*", "9110 5.6.2", "nor is one with an octet more"),
)
_OTHERWISE: tuple[_Row, ...] = (
    ("target b'//*'", "3986 4.2", _DOTS),
    ("target b'/a//b'", "3986 3.3", _DOTS),
    ("target b'*/.*'", "3986 3.3", _DOTS),
    ("target b'*%2e*'", "3986 6.2.2.3", _DOTS),
    ("target b'/a??b'", "3986 3.3", "some servers take a backslash for a slash"),
    ("target b'/a%5cb'", "3986 3.3", "the same when it is escaped"),
    ("method b'OPTIONS' target b'http://a.test'", "3.2.4", "without a path it is OPTIONS *"),
    ("name *", "9110 5.6.2", "every token is a name; nginx drops all but letters and hyphens"),
    ("field b'X?Own'", "9110 5.6.2", "the same"),
    ("field b'_*'", "9110 5.6.2", "the same: it is the double of no field that counts here"),
    ("field b'Host_'", "9110 5.6.2", "the same"),
    ("field b'!'", "9110 5.6.2", "the same"),
    ("field b'Proxy-Connection'", "C.2.2", "it is of the connection, whatever it means"),
    ("field b'HTTP2-Settings'", "7540 3.2.1", "it is of the connection"),
    ("old hosts b''", "9110 7.2", "what is forwarded as HTTP/1.1 must have a Host"),
    ("old hosts b'Host_*'", "9110 7.2", "the same"),
    ("*connection b'*[oO][wW][nN]*'*", "9110 7.6.1", "what Connection names is removed"),
    ("forwards b* of b'OPTIONS'", "9110 7.6.2", "the limit is decremented, 0 answered here"),
)

DIFFERENCES = tuple(
    Difference(kind, *row)
    for kind, rows in ((STRICTER, _WE_REFUSE), (LAXER, _NGINX_REFUSES), (OTHERWISE, _OTHERWISE))
    for row in rows
)
"""The whole list."""
