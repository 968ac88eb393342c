"""
Four independent parsers of HTTP/1.1, asked what they read in a stream of bytes.

h11, llhttp (by httptools), aiohttp's in Python, and the standard library's. What the gateway passes on must
mean the same to all of them. Names are lower-cased and values freed of white space around them, as RFC 9110
section 5.5 says; whatever a parser adds or normalises beyond that is its opinion, and would show.
"""

from __future__ import annotations

import asyncio
import http.client
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any, cast

import h11
import httptools
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParserPy, HttpResponseParserPy

Fields = tuple[tuple[str, str], ...]

LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Message:
    """
    One message as a parser read it.

    Attributes:
        start: Method and target of a request, the status of a response.
        fields: Lower-cased names with their values, in order; Transfer-Encoding's value lower-cased.
        body: Its decoded body.
    """

    start: tuple[str, ...]
    fields: Fields
    body: bytes


class Unreadable(Exception):  # noqa: N818
    """A parser refuses the bytes, or something is left over."""


def plain(fields: Iterable[tuple[bytes | str, bytes | str]]) -> Fields:
    """Bring fields into the one form in which they are compared."""
    texts = [tuple(p.decode("latin-1") if isinstance(p, bytes) else p for p in pair) for pair in fields]
    return tuple(
        (
            name.lower(),
            value.strip(" \t").lower() if name.lower() == "transfer-encoding" else value.strip(" \t"),
        )
        for name, value in texts
    )


# h11


def read_requests_with_h11(data: bytes) -> list[Message]:
    """Read all requests of a stream."""
    messages: list[Message] = []
    while data:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=LIMIT)
        connection.receive_data(data)
        event = _next_of_h11(connection)
        if not isinstance(event, h11.Request):
            raise Unreadable(f"h11: {event!r}")
        start = (event.method.decode(), event.target.decode("latin-1"))
        body = _body_of_h11(connection)
        messages.append(Message(start, plain(event.headers.raw_items()), body))
        data = connection.trailing_data[0]
    return messages


def read_responses_with_h11(data: bytes, methods: Sequence[str]) -> list[Message]:
    """Read all responses of a stream, the interim ones too; `methods` are those of the requests."""
    messages: list[Message] = []
    for method in methods:
        if not data:
            break
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=LIMIT)
        connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
        connection.send(h11.EndOfMessage())
        connection.receive_data(data)
        while isinstance(event := _next_of_h11(connection), h11.InformationalResponse):
            messages.append(Message((str(event.status_code),), plain(event.headers.raw_items()), b""))
        if not isinstance(event, h11.Response):
            raise Unreadable(f"h11: {event!r}")
        if not any(name in {b"content-length", b"transfer-encoding"} for name, _ in event.headers):
            connection.receive_data(b"")
        body = _body_of_h11(connection)
        messages.append(Message((str(event.status_code),), plain(event.headers.raw_items()), body))
        data = connection.trailing_data[0]
    if data:
        raise Unreadable(f"h11: left over: {data!r}")
    return messages


def _next_of_h11(connection: h11.Connection) -> Any:
    try:
        return connection.next_event()
    except h11.RemoteProtocolError as error:
        raise Unreadable(f"h11: {error}") from error


def _body_of_h11(connection: h11.Connection) -> bytes:
    body = b""
    while isinstance(event := _next_of_h11(connection), h11.Data):
        body += bytes(event.data)
    if not isinstance(event, h11.EndOfMessage):
        raise Unreadable(f"h11: {event!r} instead of the end of a body")
    return body


# llhttp by httptools


class _Collector:
    """Takes llhttp's callbacks; trailers come as fields, after the head."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.is_open = False
        self.parser: Any = None
        self._start: tuple[str, ...] = ()

    def on_message_begin(self) -> None:
        self.is_open = True
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._body = b""
        self._has_head = False

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        self._has_head = True

    def on_body(self, body: bytes) -> None:
        self._body += body

    @property
    def is_framed(self) -> bool:
        """The body of the message has a length or chunks."""
        names = {name.lower() for name, _ in self._fields}
        return not self._has_head or bool(names & {b"content-length", b"transfer-encoding"})

    def on_message_complete(self) -> None:
        self.is_open = False
        if isinstance(self.parser, httptools.HttpRequestParser):
            self._start = (self.parser.get_method().decode(), self._target.decode("latin-1"))
        else:
            self._start = (str(self.parser.get_status_code()),)
        self.messages.append(Message(self._start, plain(self._fields), self._body))


def read_requests_with_llhttp(data: bytes) -> list[Message]:
    """Read all requests of a stream."""
    collector = _Collector()
    collector.parser = httptools.HttpRequestParser(collector)
    try:
        collector.parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
        raise Unreadable(f"llhttp: {error}") from error
    if collector.is_open:
        raise Unreadable("llhttp: the last request has no end")
    return collector.messages


def read_responses_with_llhttp(data: bytes, methods: Sequence[str]) -> list[Message]:
    """The same of responses; llhttp by httptools cannot be told that a request was HEAD, so none may be."""
    collector = _Collector()
    collector.parser = httptools.HttpResponseParser(collector)
    try:
        collector.parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
        raise Unreadable(f"llhttp: {error}") from error
    if collector.is_open:
        if collector.is_framed:
            raise Unreadable("llhttp: the last response has no end")
        # a body to the end of the connection: httptools cannot be told of the end
        collector.on_message_complete()
    return collector.messages


# aiohttp's parser in Python


def read_requests_with_aiohttp(data: bytes) -> list[Message]:
    """Read all requests of a stream; a loop must run."""
    loop = asyncio.get_running_loop()
    parser = HttpRequestParserPy(
        BaseProtocol(loop), loop, max_line_size=LIMIT, max_field_size=LIMIT, max_headers=1000, limit=LIMIT
    )
    return [
        Message((message.method, message.path), plain(message.raw_headers), body)
        for message, body in _feed_aiohttp(parser, data)
    ]


def read_responses_with_aiohttp(data: bytes, methods: Sequence[str]) -> list[Message]:
    """The same of responses."""
    loop = asyncio.get_running_loop()
    parser = HttpResponseParserPy(
        BaseProtocol(loop),
        loop,
        max_line_size=LIMIT,
        max_field_size=LIMIT,
        max_headers=1000,
        limit=LIMIT,
        read_until_eof=True,
        auto_decompress=False,
        response_with_body=list(methods[:1]) != ["HEAD"],
    )
    return [
        Message((str(message.code),), plain(message.raw_headers), body)
        for message, body in _feed_aiohttp(parser, data)
    ]


def _feed_aiohttp(parser: Any, data: bytes) -> list[tuple[Any, bytes]]:
    try:
        messages, upgraded, tail = parser.feed_data(data)
        parser.feed_eof()
    except Exception as error:
        raise Unreadable(f"aiohttp: {error!r}") from error
    if upgraded or tail:
        raise Unreadable(f"aiohttp: left over: {tail!r}")
    read = []
    for message, payload in messages:
        if not payload.is_eof():
            raise Unreadable("aiohttp: a body has no end")
        if payload.exception() is not None:
            raise Unreadable(f"aiohttp: {payload.exception()!r}")
        read.append((message, b"".join(getattr(payload, "_buffer", ()))))
    return read


# the standard library


class _Handler(BaseHTTPRequestHandler):
    """`http.server`'s parser of a request's head, without a socket."""

    raw_requestline: bytes

    def __init__(self, stream: io.BytesIO) -> None:
        self.rfile = stream
        self.close_connection = True
        self.errors: list[str] = []

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self.errors.append(f"{code} {message}")

    def handle_expect_100(self) -> bool:
        return True


def read_requests_with_stdlib(data: bytes) -> list[Message]:
    """Read all requests of a stream: heads by `http.server`, bodies framed by `http.client`."""
    stream = io.BytesIO(data)
    messages: list[Message] = []
    while stream.tell() < len(data):
        handler = _Handler(stream)
        handler.raw_requestline = stream.readline(LIMIT)
        if not handler.parse_request():
            raise Unreadable(f"http.server: {handler.errors}")
        names = {name.lower() for name in handler.headers}
        body = b""
        if "transfer-encoding" in names or "content-length" in names:
            body = _read_framed(handler.headers.items(), stream)
        # http.server takes leading slashes together for the file system; the line has the target itself
        target = handler.requestline.split()[1]
        messages.append(Message((handler.command, target), plain(handler.headers.items()), body))
    return messages


def _read_framed(fields: Iterable[tuple[str, str]], stream: io.BytesIO) -> bytes:
    framing = [
        f"{name}: {value}\r\n"
        for name, value in fields
        if name.lower() in {"transfer-encoding", "content-length"}
    ]
    rest = stream.read()
    response = b"HTTP/1.1 200 OK\r\n" + "".join(framing).encode("latin-1") + b"\r\n" + rest
    message, length = _read_response(io.BytesIO(response), "GET")
    stream.seek(-(len(response) - length), io.SEEK_END)
    return message.body


class _Unclosed(io.BytesIO):
    """A stream that `http.client` may close without our losing our place in it."""

    def close(self) -> None:
        """Stay open."""


class _Socket:
    def __init__(self, stream: io.BytesIO) -> None:
        self._stream = stream

    def makefile(self, mode: str) -> io.BytesIO:
        return self._stream


def _read_response(stream: io.BytesIO, method: str) -> tuple[Message, int]:
    unclosed = _Unclosed(stream.read())
    response = http.client.HTTPResponse(cast("Any", _Socket(unclosed)), method=method)
    try:
        response.begin()
        body = response.read()
    except (http.client.HTTPException, ValueError) as error:
        raise Unreadable(f"http.client: {error!r}") from error
    message = Message((str(response.status),), plain(response.getheaders()), body)
    return message, unclosed.tell()


def read_responses_with_stdlib(data: bytes, methods: Sequence[str]) -> list[Message]:
    """Read all responses of a stream; `http.client` swallows 100 Continue, so nobody's counts."""
    messages: list[Message] = []
    for method in methods:
        while data:
            message, length = _read_response(io.BytesIO(data), method)
            messages.append(message)
            data = data[length:]
            if int(message.start[0]) >= 200:
                break
    if data:
        raise Unreadable(f"http.client: left over: {data!r}")
    return messages


REQUEST_PARSERS: dict[str, Callable[[bytes], list[Message]]] = {
    "h11": read_requests_with_h11,
    "llhttp": read_requests_with_llhttp,
    "aiohttp": read_requests_with_aiohttp,
    "http.server": read_requests_with_stdlib,
}
RESPONSE_PARSERS: dict[str, Callable[[bytes, Sequence[str]], list[Message]]] = {
    "h11": read_responses_with_h11,
    "llhttp": read_responses_with_llhttp,
    "aiohttp": read_responses_with_aiohttp,
    "http.client": read_responses_with_stdlib,
}


Reading = list[Message] | str
"""What a parser read, or why it refuses to."""


def read_requests(data: bytes) -> dict[str, Reading]:
    """
    Give what each parser reads in a stream of requests.

    llhttp knows a fixed list of methods and refuses others, which is no other reading.
    """
    readings = {name: _attempt(parser, data) for name, parser in REQUEST_PARSERS.items()}
    if readings["llhttp"] in _UNKNOWN_TO_LLHTTP:
        del readings["llhttp"]
    return readings


_UNKNOWN_TO_LLHTTP = (
    "llhttp: Invalid method encountered",
    "llhttp: Expected HTTP/2 Connection Preface",
)


def read_responses(data: bytes, methods: Sequence[str]) -> dict[str, Reading]:
    """Give what each parser reads in a stream of responses to these methods, but for 100 Continue."""
    readings: dict[str, Reading] = {}
    for name, parser in RESPONSE_PARSERS.items():
        if name == "llhttp" and "HEAD" in methods:
            continue
        reading = _attempt(parser, data, methods)
        if isinstance(reading, list):
            reading = [message for message in reading if message.start != ("100",)]
        readings[name] = reading
    return readings


def _attempt(parser: Callable[..., list[Message]], *arguments: Any) -> Reading:
    try:
        return parser(*arguments)
    except Unreadable as error:
        return str(error)


def agreed(readings: dict[str, Reading]) -> list[Message] | None:
    """Give what all parsers read; None when one of them reads something else or refuses."""
    first, *others = readings.values()
    return first if isinstance(first, list) and all(other == first for other in others) else None
