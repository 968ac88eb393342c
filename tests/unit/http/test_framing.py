"""The chunked coding: strict, the same in pieces of any size, and read as another parser reads it."""

from __future__ import annotations

import gc
import itertools
import re
import weakref

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pcs_gateway.http.framing import (
    FORBIDDEN_TRAILERS,
    ChunkedDecoder,
    FramingError,
    encode_chunk,
    encode_last_chunk,
)

extensions = st.sampled_from((b"", b"", b"", b";a", b";a=b", b'; a = "b;c"', b";\t-=1;b"))
sizes = st.sampled_from((b"%x", b"%X", b"0%x", b"000%x"))
trailer_lines = st.lists(st.sampled_from((b"X-A: 1", b"x-b:2 ", b"Host: x", b"X-C: \xe9")), max_size=3)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A sound chunked body, and its data."""
    chunks = draw(st.lists(st.binary(min_size=1, max_size=30), max_size=5))
    wire = b""
    for chunk in chunks:
        wire += draw(sizes) % len(chunk) + draw(extensions) + b"\r\n" + chunk + b"\r\n"
    wire += draw(st.sampled_from((b"0", b"000"))) + draw(extensions) + b"\r\n"
    wire += b"".join(line + b"\r\n" for line in draw(trailer_lines)) + b"\r\n"
    return wire, b"".join(chunks)


def decode(pieces: list[bytes]) -> tuple[bytes, bytes, list[bytes]] | None:
    """Give data, what follows and the trailers; None while the body is not complete. Raises FramingError."""
    decoder = ChunkedDecoder()
    data = b""
    for number, piece in enumerate(pieces):
        decoded, rest = decoder.feed(piece)
        data += decoded
        if decoder.is_complete:
            return data, rest + b"".join(pieces[number + 1 :]), decoder.trailers
        assert rest == b""
    return None


def cut(wire: bytes, places: list[int]) -> list[bytes]:
    """Cut bytes into pieces."""
    bounds = sorted({place % (len(wire) + 1) for place in places} | {0, len(wire)})
    return [wire[start:end] for start, end in itertools.pairwise(bounds)]


def outcome(pieces: list[bytes]) -> object:
    """Give what a body decodes to, or that it does not."""
    try:
        return decode(pieces)
    except FramingError:
        return "refused"


places = st.lists(st.integers(0, 400), max_size=8)


@settings(max_examples=300, deadline=None)
@given(bodies(), places, st.binary(max_size=5))
def test_sound_body_is_decoded_however_it_is_cut(
    body: tuple[bytes, bytes], where: list[int], following: bytes
) -> None:
    """Data and what follows the body are the same for every way of arriving."""
    wire, data = body
    result = decode(cut(wire + following, where))

    assert result is not None
    assert (data, following) == result[:2]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=50), max_size=6))
def test_what_is_encoded_is_decoded(chunks: list[bytes]) -> None:
    """Encoding and decoding are each other's reverse, trailers included."""
    wire = b"".join(map(encode_chunk, chunks)) + encode_last_chunk([b"X-A: 1"])

    assert decode([wire]) == (b"".join(chunks), b"", [b"X-A: 1"])


mutations = st.tuples(st.integers(0, 400), st.integers(0, 2), st.binary(max_size=3))


@settings(max_examples=500, deadline=None)
@given(bodies(), mutations, places)
@example((b"3\r\nabc\r\n0\r\n\r\n", b"abc"), (3, 1, b""), [1, 2, 3, 4, 5, 6, 7, 8])
def test_every_way_of_arriving_is_judged_alike(
    body: tuple[bytes, bytes], mutation: tuple[int, int, bytes], where: list[int]
) -> None:
    """A mutated body is accepted or refused independently of how it is cut."""
    at, removed, inserted = mutation
    at %= len(body[0]) + 1
    wire = body[0][:at] + inserted + body[0][at + removed :]
    whole, octets = outcome([wire]), outcome([bytes((octet,)) for octet in wire])

    assert outcome(cut(wire, where)) == octets
    # a refusal may come before the end of what is refused has come
    assert whole == octets


@settings(max_examples=500, deadline=None)
@given(bodies(), mutations)
def test_what_is_accepted_is_read_alike_by_another_parser(
    body: tuple[bytes, bytes], mutation: tuple[int, int, bytes]
) -> None:
    """
    What we take for a complete body is the same body to h11, down to its last byte.

    It refuses white space before an extension, which RFC 9112 section 7.1.1 has recipients ignore.
    """
    at, removed, inserted = mutation
    at %= len(body[0]) + 1
    wire = body[0][:at] + inserted + body[0][at + removed :]
    result = outcome([wire])
    if result is None or isinstance(result, str):
        return
    assert isinstance(result, tuple)
    other = h11.Connection(h11.SERVER)
    other.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + wire)
    assert isinstance(other.next_event(), h11.Request)
    data = b""
    try:
        while isinstance(event := other.next_event(), h11.Data):
            data += bytes(event.data)
    except h11.RemoteProtocolError:
        assert re.search(rb"[ \t];", wire)
        return

    assert isinstance(event, h11.EndOfMessage)
    assert (data, other.trailing_data[0]) == result[:2]


@pytest.mark.parametrize("name", sorted(FORBIDDEN_TRAILERS))
def test_forbidden_trailer_is_dropped(name: bytes) -> None:
    """RFC 9110 6.5.1: what frames, routes or authenticates never comes as a trailer, in whatever case."""
    wire = b"0\r\n" + name.upper() + b": x\r\nX-Kept: y\r\n\r\n"

    assert decode([wire]) == (b"", b"", [b"X-Kept: y"])


@pytest.mark.parametrize(
    ("size", "is_sound"), [(b"7fffffffffffffff", True), (b"8000000000000000", False), (b"f" * 17, False)]
)
def test_largest_chunk(size: bytes, is_sound: bool) -> None:
    """A size that no counter holds is refused before any of its data is taken."""
    assert (outcome([size + b"\r\nx"]) is None) == is_sound


@pytest.mark.parametrize("extension", [b" ;a", b"\t; a", b' ;a = "b\\"c"'])
def test_space_around_extensions_is_ignored(extension: bytes) -> None:
    """RFC 9112 7.1.1: bad whitespace is allowed around the delimiters of an extension."""
    assert decode([b"1" + extension + b"\r\nx\r\n0\r\n\r\n"]) == (b"x", b"", [])


def test_decoder_makes_no_reference_cycle() -> None:
    """A decoder is gone with its last reference: the oldest generation is never collected."""

    class Watched(ChunkedDecoder):
        __slots__ = ("__weakref__",)

    gc.disable()
    try:
        decoder = Watched()
        decoder.feed(b"3\r\nab")
        watch = weakref.ref(decoder)
        del decoder
        assert watch() is None
    finally:
        gc.enable()
