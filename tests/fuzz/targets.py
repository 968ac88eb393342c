"""
What must hold for any bytes: each target takes some and raises AssertionError when it does not.

The first octet chooses how the others are cut. Parsers are asked beside ours as in `tests/corpus`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import h11

from pcs_gateway.http.framing import ChunkedDecoder, FramingError
from pcs_gateway.http.messages import read_request_line, read_response_head
from pcs_gateway.http.refusals import MalformedResponse, Refusal, RequestRefused
from pcs_gateway.http.request_fields import RequestFields, RequestFieldsReader
from tests.corpus.parsers import (
    Message,
    Unreadable,
    read_requests_with_h11,
    read_requests_with_llhttp,
    read_requests_with_stdlib,
    read_responses_with_h11,
)
from tests.fuzz.conversation import Conversation

MOST_BYTES = 2048


def cut(data: bytes) -> tuple[bytes, list[bytes]]:
    """Give the bytes but the first, and the same in pieces."""
    step, data = data[0] % 32 + 1 if data else 1, data[1:]
    return data, [data[at : at + step] for at in range(0, len(data), step)]


# the readers


@cache
def _shared_reader() -> RequestFieldsReader:
    return RequestFieldsReader(b"x-request-id", 100)


def _read_fields(reader: RequestFieldsReader, section: bytes) -> RequestFields | Refusal:
    try:
        return reader.read(section)
    except RequestRefused as error:
        return error.refusal


def request_head(data: bytes) -> None:
    """A head is read alike by a fresh reader and a used one; what is forwarded is so again, and by h11."""
    line, _, section = data[1:].partition(b"\r\n")
    if b"\r\n\r\n" in b"\r\n" + section:
        return  # a head ends with its first empty line
    try:
        method, target, _ = read_request_line(line, len(line))
    except RequestRefused:
        method = target = b""
    fields = _read_fields(_shared_reader(), section)
    fresh = _read_fields(RequestFieldsReader(b"x-request-id", 100), section)
    if isinstance(fields, Refusal) or isinstance(fresh, Refusal):
        assert fields is fresh
        return
    assert fields.forwarded == fresh.forwarded
    if fields.refusal_1_1 is not None or not method or not section.endswith(b"\r\n"):
        return
    again = _read_fields(_shared_reader(), fields.forwarded)
    assert isinstance(again, RequestFields), again
    assert again.forwarded == fields.forwarded
    assert (again.content_length, again.announces_body) == (fields.content_length, fields.announces_body)
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, fields.forwarded))
    event = connection.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method, event.target) == (method, target)
    lengths = [int(value) for name, value in event.headers if name == b"content-length"]
    assert lengths == ([] if fields.content_length is None else [fields.content_length])


def _decode(pieces: Sequence[bytes]) -> tuple[bytes, bytes, list[bytes]] | str:
    decoder = ChunkedDecoder()
    data = b""
    try:
        for number, piece in enumerate(pieces):
            decoded, rest = decoder.feed(piece)
            data += decoded
            if decoder.is_complete:
                return data, rest + b"".join(pieces[number + 1 :]), decoder.trailers
    except FramingError:
        return "refused"
    return "incomplete"


def chunked(data: bytes) -> None:
    """A chunked body is decoded alike in whatever pieces it comes; a complete one means the same to h11."""
    whole, pieces = cut(data)
    result = _decode([whole])
    assert result == _decode(pieces)
    assert result == _decode([bytes((octet,)) for octet in whole])
    if isinstance(result, str):
        return
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + whole)
    assert isinstance(connection.next_event(), h11.Request)
    body = b""
    try:
        while isinstance(event := connection.next_event(), h11.Data):
            body += bytes(event.data)
    except h11.RemoteProtocolError as error:
        # white space before an extension is more than it takes, and is not passed on
        if "illegal chunk header" not in str(error):
            raise
        return
    assert isinstance(event, h11.EndOfMessage)
    assert (body, connection.trailing_data[0]) == result[:2]


def response_head(data: bytes) -> None:
    """A response head that is accepted is forwarded in a form that is read alike again, and by h11."""
    head_bytes = data[1:]
    if not head_bytes.endswith(b"\r\n") or b"\r\n\r\n" in head_bytes:
        return
    try:
        head = read_response_head(head_bytes)
    except MalformedResponse:
        return
    framing = b"Transfer-Encoding: chunked\r\n" if head.is_chunked else b""
    again = read_response_head(head.start + framing + head.forwarded)
    assert again.status == head.status
    assert again.forwarded == head.forwarded
    assert again.content_length == head.content_length
    assert again.body_length == head.body_length or head.status < 200
    if 200 <= head.status <= 599:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
        connection.send(h11.EndOfMessage())
        connection.receive_data(head.start + framing + head.forwarded + b"\r\n")
        event = connection.next_event()
        assert isinstance(event, h11.Response)
        assert event.status_code == head.status


# the whole data plane


@cache
def _conversations() -> tuple[Conversation, Conversation]:
    return Conversation(), Conversation()


def _understood(stream: bytes) -> Message:
    """Give the one request of a stream, which every parser must read alike."""
    (message,) = read_requests_with_h11(stream)
    assert [message] == read_requests_with_stdlib(stream)
    try:
        assert [message] == read_requests_with_llhttp(stream)
    except Unreadable as error:
        if "method" not in str(error) and "Preface" not in str(error):
            raise
    return message


def connection(data: bytes) -> None:
    """Whatever a client sends, the same complete requests reach the backend in whatever pieces it comes."""
    whole, pieces = cut(data)
    first, second = _conversations()
    forwarded, answers = first.requests([whole])
    in_pieces, answers_in_pieces = second.requests(pieces)
    messages = [_understood(stream) for stream in forwarded]
    assert messages == [_understood(stream) for stream in in_pieces]
    assert answers.count(b"HTTP/1.1 200 OK") == answers_in_pieces.count(b"HTTP/1.1 200 OK")
    assert (b"problem+json" in answers) == (b"problem+json" in answers_in_pieces)


def response(data: bytes) -> None:
    """Whatever a backend sends, the client gets the same in whatever pieces it comes: one answer, or none."""
    whole, pieces = cut(data)
    method = b"HEAD" if data[:1] >= b"\xc0" else b"GET"
    first, second = _conversations()
    assert _seen(method, *first.response(method, [whole])) == _seen(method, *second.response(method, pieces))


def _seen(method: bytes, answer: bytes, is_cut: bool) -> object:
    """What a client makes of an answer; whether a failure comes as 502 or as an end depends on the pieces."""
    try:
        messages = read_responses_with_h11(answer, [method.decode()])
    except Unreadable:
        assert is_cut, answer
        return "failed"
    finals = [message for message in messages if message.start[0] >= "200"]
    assert len(finals) == 1
    return "failed" if ("content-type", "application/problem+json") in finals[0].fields else messages


TARGETS: dict[str, Callable[[bytes], None]] = {
    "request_head": request_head,
    "chunked": chunked,
    "response_head": response_head,
    "connection": connection,
    "response": response,
}
"""By the name of the folder of its found cases."""
