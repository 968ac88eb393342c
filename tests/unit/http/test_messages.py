"""Start lines and response heads: accepted only where another parser reads the same."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcs_gateway.http.messages import (
    ResponseHead,
    judge_incomplete_head,
    may_become_response,
    read_request_line,
    read_response_head,
)
from pcs_gateway.http.refusals import MalformedResponse, Refusal, RequestRefused

words = st.sampled_from(
    (b"GET", b"POST", b"/", b"/a?b=c", b"*", b"http://a/b", b"HTTP/1.1", b"HTTP/1.0", b"#", b"")
)
gaps = st.sampled_from((b" ", b" ", b" ", b"  ", b"\t", b""))
request_lines = st.one_of(
    st.builds(lambda a, b, c, d, e: a + b + c + d + e, words, gaps, words, gaps, words),
    st.builds(
        lambda method, target: method + b" /" + target + b" HTTP/1.1",
        st.binary(min_size=1, max_size=4),
        st.binary(max_size=6),
    ),
)


@settings(max_examples=500, deadline=None)
@given(request_lines)
def test_request_line_is_read_as_another_parser_reads_it(line: bytes) -> None:
    """What is accepted has the same method, target and version for h11; no octet is dropped."""
    try:
        method, target, is_1_1 = read_request_line(line + b"\r\n", len(line))
    except RequestRefused:
        return
    other = h11.Connection(h11.SERVER)
    other.receive_data(line + b"\r\nHost: a\r\n\r\n")
    event = other.next_event()

    assert isinstance(event, h11.Request)
    assert (event.method, event.target, event.http_version) == (method, target, b"1.1" if is_1_1 else b"1.0")
    assert b"%b %b HTTP/1.%d" % (method, target, is_1_1) == line


HEAD = b"GET /a HTTP/1.1\r\nHost: a.test\r\nX-A: b\tc\r\n"


@pytest.mark.parametrize("length", range(1, len(HEAD) + 1))
def test_beginning_of_a_sound_head_is_never_refused(length: int) -> None:
    """However a head arrives, none of its beginnings is refused."""
    assert judge_incomplete_head(HEAD[:length]) is None


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(HEAD)), st.sampled_from((b"\n", b"\r", b"\rx", b"x\n")))
def test_bare_line_end_is_refused_while_the_head_arrives(at: int, octets: bytes) -> None:
    """A bare CR or LF anywhere is seen before the head is complete; only a CR at the end may become more."""
    head = HEAD[:at] + octets + HEAD[at:]
    is_bare = head.count(b"\r\n") != head.count(b"\n") or head.rstrip(b"\r").count(b"\r") != head.count(
        b"\r\n"
    )

    if is_bare and not head.startswith(b"\r\n"):
        assert judge_incomplete_head(head) is not None


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, len(HEAD)), st.sampled_from((b"", b"\n", b"\r", b"\rx", b"x\n", b"(")), st.integers(0, 99)
)
def test_head_that_comes_in_two_pieces_is_judged_as_a_whole(at: int, octets: bytes, first: int) -> None:
    """What was found good before is not asked for again, and the rest is judged as if it were."""
    head = HEAD[:at] + octets + HEAD[at:]
    whole = judge_incomplete_head(head)

    if judge_incomplete_head(head[:first]) is None:
        assert judge_incomplete_head(head, min(first, len(head))) is whole


def test_octets_that_were_judged_are_not_read_again() -> None:
    """A head that comes octet by octet costs no more for each the longer it is."""
    judged = b"GET / HTTP/1.1\r\n" + b"\n" * 1000

    assert judge_incomplete_head(judged + b"a: b", len(judged)) is None
    assert judge_incomplete_head(judged + b"a: b\n", len(judged)) is Refusal.BARE_LINE_END


RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n"


@pytest.mark.parametrize("length", range(1, len(RESPONSE) + 1))
def test_beginning_of_a_sound_response_may_become_one(length: int) -> None:
    """However a response head arrives, none of its beginnings is given up."""
    assert may_become_response(RESPONSE[:length])


@pytest.mark.parametrize(
    "data",
    [
        b"h",
        b"HTTP/2",
        b"\r\n",
        b"\n",
        b"garbage",
        b"HTTP/1.1 200 OK\n",
        b"HTTP/1.1 2x0 OK\r\nA",
        b"HTTP/1.\n",
    ],
)
def test_what_cannot_become_a_response_is_known_early(data: bytes) -> None:
    """A backend that speaks something else is not waited for."""
    assert not may_become_response(data)


names = st.sampled_from(
    (
        b"Connection",
        b"Content-Length",
        b"Transfer-Encoding",
        b"Date",
        b"Location",
        b"X-Own",
        b"Upgrade",
        b"Keep-Alive",
    )
)
values = st.sampled_from(
    (
        b"close",
        b"keep-alive",
        b"X-Own, close",
        b"5",
        b"0",
        b"chunked",
        b"gzip",
        b"",
        b"a b",
        b"\xe9",
        b"h2c",
        b"x\x01",
    )
)
response_lines = st.builds(
    lambda name, swap, value, space: (name.swapcase() if swap else name) + b":" + space + value + b"\r\n",
    names,
    st.booleans(),
    values,
    st.sampled_from((b" ", b" ", b"", b"\t")),
)
response_heads = st.builds(
    lambda minor, status, lines: b"HTTP/1.%d %d X\r\n" % (minor, status) + b"".join(lines),
    st.integers(0, 1),
    st.sampled_from((200, 204, 304, 404, 500, 103, 700)),
    st.lists(response_lines, max_size=6),
)


def fields_of(section: bytes) -> list[tuple[bytes, bytes]]:
    """Read a sound section in the plainest way."""
    pairs = (line.partition(b":") for line in section.split(b"\r\n") if line)
    return [(name.lower(), value.strip(b" \t")) for name, _, value in pairs]


@settings(max_examples=500, deadline=None)
@given(response_heads)
def test_response_head_follows_from_its_fields(head_bytes: bytes) -> None:
    """Framing, persistence and what is forwarded are what RFC 9112 says of the fields."""
    try:
        head = read_response_head(head_bytes)
    except MalformedResponse:
        return
    line, _, section = head_bytes.partition(b"\r\n")
    said = fields_of(section)
    tokens = {t.strip().lower() for name, value in said if name == b"connection" for t in value.split(b",")}
    singles = {b"date", b"location"}
    hop_by_hop = {b"connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
    protected = {b"content-length", b"date"}
    status = int(line.split()[1])
    has_no_length = status < 200 or status == 204
    gone = hop_by_hop | (tokens - protected) | ({b"content-length"} if has_no_length else set())

    assert head.status == status
    assert head.is_chunked == (b"transfer-encoding" in dict(said))
    length = None if has_no_length else dict(said).get(b"content-length")
    assert head.content_length == (None if length is None else int(length))
    expected = [
        (name, value)
        for at, (name, value) in enumerate(said)
        if name not in gone and not (name in singles and name in dict(said[:at]))
    ]
    assert fields_of(head.forwarded) == expected
    persists = b"close" not in tokens and (line.startswith(b"HTTP/1.1") or b"keep-alive" in tokens)
    is_body_promised = status in {204, 304} and (head.is_chunked or int(dict(said).get(b"content-length", 0)))
    assert head.may_persist == (persists and status < 500 and not is_body_promised)


@settings(max_examples=300, deadline=None)
@given(response_heads)
def test_response_head_is_read_as_another_parser_reads_it(head_bytes: bytes) -> None:
    """What is accepted as a final response is one for h11, with the same fields."""
    try:
        head = read_response_head(head_bytes)
    except MalformedResponse:
        return
    if head.status < 200 or head.status > 599:
        return
    other = h11.Connection(h11.CLIENT)
    other.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    other.send(h11.EndOfMessage())
    other.receive_data(head_bytes + b"\r\n")
    event = other.next_event()

    assert isinstance(event, h11.Response)
    assert [(name, value.lower()) for name, value in event.headers] == [
        (name, value.lower()) for name, value in fields_of(head_bytes.partition(b"\r\n")[2])
    ]


def test_head_answers_its_questions_without_having_been_asked() -> None:
    """A head without fields has the defaults of RFC 9112."""
    head = read_response_head(b"HTTP/1.1 200 OK\r\n")

    assert isinstance(head, ResponseHead)
    assert (head.body_length, head.may_persist, head.is_chunked, head.forwarded) == (None, True, False, b"")
