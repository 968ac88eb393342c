"""Field sections of requests: what is read, what is refused, what is forwarded; whatever came before."""

from __future__ import annotations

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pcs_gateway.http.fields import HOP_BY_HOP
from pcs_gateway.http.refusals import Refusal, RequestRefused
from pcs_gateway.http.request_fields import RequestFields, RequestFieldsReader, SectionParser

NAMES = (
    b"Host",
    b"Connection",
    b"Content-Length",
    b"Transfer-Encoding",
    b"Upgrade",
    b"TE",
    b"Keep-Alive",
    b"Expect",
    b"X-Request-ID",
    b"traceparent",
    b"X-Forwarded-For",
    b"Forwarded",
    b"Via",
    b"Cookie",
    b"X-Mine",
    b"HTTP2-Settings",
)
VALUES = (
    b"a.test",
    b"close",
    b"keep-alive",
    b"Upgrade, X-Mine",
    b"x-request-id, Cookie, host",
    b"0",
    b"5",
    b"chunked",
    b"websocket",
    b"100-continue",
    b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    b"1.2.3.4",
    b"",
    b"two words",
    b"tab\there",
    b"caf\xe9",
)

names = st.one_of(st.sampled_from(NAMES), st.sampled_from(NAMES).map(bytes.swapcase))
values = st.one_of(
    st.sampled_from(VALUES),
    st.binary(max_size=8).filter(lambda value: not set(value) & set(b"\r\n\x00") and value == value.strip()),
)
spaces = st.sampled_from((b" ", b" ", b" ", b"", b"  ", b"\t"))
lines = st.builds(
    lambda name, before, value, after: name + b":" + before + value + after + b"\r\n",
    names,
    spaces,
    values,
    st.sampled_from((b"", b"", b"", b" ", b"\t ")),
)
sections = st.lists(lines, max_size=8).map(b"".join)
mutated = st.builds(
    lambda section, at, octets: (
        section[: at % (len(section) + 1)] + octets + section[at % (len(section) + 1) :]
    ),
    sections,
    st.integers(0, 300),
    st.binary(min_size=1, max_size=3),
)


def reader() -> RequestFieldsReader:
    """A reader that has read nothing."""
    return RequestFieldsReader(b"x-request-id", 100)


def read(section: bytes, by: RequestFieldsReader | None = None) -> RequestFields | Refusal:
    """Give what a section says, or why it is refused."""
    try:
        return (by or reader()).read(section)
    except RequestRefused as error:
        return error.refusal


def shown(result: RequestFields | Refusal) -> object:
    """Give everything that a result says, to be compared."""
    if isinstance(result, Refusal):
        return result
    return {name: getattr(result, name) for name in RequestFields.__slots__}


def split(section: bytes) -> list[tuple[bytes, bytes]]:
    """Read a sound section in the plainest way."""
    pairs = (line.partition(b":") for line in section.split(b"\r\n") if line)
    return [(name.lower(), value.strip(b" \t")) for name, _, value in pairs]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(sections, mutated), max_size=6))
def test_what_was_read_before_does_not_matter(several: list[bytes]) -> None:
    """One reader reads any sections one after another as a fresh one would read each."""
    shared = reader()

    assert [shown(read(section, shared)) for section in several] == [shown(read(one)) for one in several]


CAREFUL = (
    b"Host: a\r\nConnection: close\r\n",
    b"Host: a\r\nCONNECTION: CLOSE\r\n",
    b"Host: a\r\nConnection: upgrade, Close\r\nUpgrade: websocket\r\n",
    b"Host: a\r\nContent-Length: 3\r\n",
    b"Host: a\r\nTransfer-Encoding: chunked\r\n",
    b"Host: a\r\n",
)


@pytest.mark.parametrize("first", CAREFUL)
@pytest.mark.parametrize("second", CAREFUL)
def test_no_section_depends_on_the_one_before(first: bytes, second: bytes) -> None:
    """Whatever a section says of its connection or its body, the next one is read as if it were the first."""
    parser, fresh = SectionParser(), SectionParser()

    parser.parse(first)

    assert fresh.parse(second) == parser.parse(second)


@settings(max_examples=500, deadline=None)
@given(st.one_of(sections, mutated))
@example(b"Host: a\r\nA: b\n\r\n")
@example(b"Host: a\r\nA: b\r\r\n")
@example(b"Host: a\r\n\x00A: b\r\n")
def test_what_is_accepted_is_read_alike_by_another_parser(section: bytes) -> None:
    """An accepted section means the same to h11: no name, value or framing that only we see."""
    result = read(section)
    if isinstance(result, Refusal) or result.refusal_1_1:
        return
    other = h11.Connection(h11.SERVER)
    other.receive_data(b"POST / HTTP/1.1\r\n" + section + b"\r\n")
    event = other.next_event()

    assert isinstance(event, h11.Request)
    assert [(name, value.lower()) for name, value in event.headers] == [
        (name, value.lower()) for name, value in split(section)
    ]
    lengths = [int(value) for name, value in event.headers if name == b"content-length"]
    assert lengths == ([] if result.content_length is None else [result.content_length])


@settings(max_examples=500, deadline=None)
@given(sections)
@example(b"Host: a\r\nContent-Length: 5 \r\n")
@example(b"Host: a\r\nConnection: X-Request-ID\r\nX-Request-ID: mine\r\n")
@example(b"Host: a\r\nX: Host: a\r\nConnection: x\r\n")
@example(b"Host: a\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n")
@example(b"Host: a\r\nConnection: Content-Length\r\nContent-Length: 5\r\n")
@example(b"Host: a\r\nContent-Length: 005\r\n")
def test_what_is_forwarded_follows_from_the_rules(section: bytes) -> None:
    """RFC 9110 7.6.1: all but hop-by-hop fields, those that Connection names, and what is written anew."""
    result = read(section)
    if isinstance(result, Refusal) or result.refusal_1_0:
        return
    before = split(section)
    tokens = {
        token.strip(b" \t").lower()
        for name, value in before
        if name == b"connection"
        for token in value.split(b",")
    }
    protected = {b"host", b"content-length", b"authorization", b"cookie", b"date", b"via", b"expect"}
    rewritten = {b"x-forwarded-for", b"forwarded", b"via", b"x-forwarded-proto", b"x-forwarded-host"}
    identity = {b"x-request-id": result.request_id, b"traceparent": result.traceparent}
    gone = HOP_BY_HOP | rewritten | (tokens - protected - identity.keys())
    gone -= {b"transfer-encoding"}
    expected = [
        (name, b"%d" % int(value) if name == b"content-length" else value)
        for name, value in before
        if name not in gone and (name not in identity or identity[name])
    ]

    assert sorted(split(result.forwarded)) == sorted(expected)


@pytest.mark.parametrize("count", [100, 101])
def test_number_of_fields_is_limited(count: int) -> None:
    """The limit counts lines, the last allowed one included."""
    result = read(b"A: b\r\n" * count)

    assert (result is Refusal.TOO_MANY_FIELDS) == (count > 100)


def test_sections_that_come_again_are_known() -> None:
    """The third time a section is looked up only."""
    sections_read = reader()
    section = b"Host: a\r\n"
    results = [sections_read.known[section] for _ in range(4)]

    assert results[1] is results[2] is results[3]


def test_refusal_leaves_nothing_behind() -> None:
    """A refused section is refused again."""
    sections_read = reader()
    for _ in range(3):
        with pytest.raises(RequestRefused):
            _ = sections_read.known[b"Host : a\r\n"]
