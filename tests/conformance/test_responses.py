"""
Responses of backends: what is passed on, what is a failure of the backend (502), where a body ends.

Each row cites the section that says so. RFC 9112 unless another is named.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.fakes.backend import OK, Peer, answering, answering_once, echoing
from tests.fakes.gateway import talking
from tests.fakes.waiting import until

MALFORMED = [
    ("4: no status line", b"garbage\r\n\r\n"),
    ("4: another protocol", b"RTSP/1.0 200 OK\r\n\r\n"),
    ("4: bytes of TLS", b"\x15\x03\x01\x00\x02\x02\x46"),
    ("2.3: HTTP/2.0", b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("2.3: HTTP/1.2", b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("2.3: lower-case protocol", b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("4: two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
    ("4: four digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
    ("4: a sign", b"HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n"),
    ("9110 15: 000", b"HTTP/1.1 000 Zero\r\nContent-Length: 0\r\n\r\n"),
    ("9110 15: 099", b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n"),
    ("4: a control character in the reason", b"HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n"),
    ("2.2: a status line ended by a bare LF", b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"),
    ("2.2: a head of bare LF", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
    ("2.2: a field ended by a bare LF", b"HTTP/1.1 200 OK\r\nA: b\nContent-Length: 0\r\n\r\n"),
    ("2.2: a field ended by a bare CR", b"HTTP/1.1 200 OK\r\nA: b\rContent-Length: 0\r\n\r\n"),
    ("5.2: obs-fold", b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n"),
    ("5.1: a space before the colon", b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n"),
    ("5: no colon", b"HTTP/1.1 200 OK\r\nA\r\nContent-Length: 0\r\n\r\n"),
    ("9110 5.5: NUL", b"HTTP/1.1 200 OK\r\nA: \x00\r\nContent-Length: 0\r\n\r\n"),
    ("9110 5.5: a control character", b"HTTP/1.1 200 OK\r\nA: \x01\r\nContent-Length: 0\r\n\r\n"),
    ("6.3: two lengths that differ", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    ("6.3: a list of lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nab"),
    ("6.3: a length that is no number", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab"),
    ("6.3: a negative length", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab"),
    (
        "6.3: a length and chunked",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("6.1: a coding before chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("6.1: a coding only", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
    ("6.1: chunked twice", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    ("6.1: chunked in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("7.1: a chunk size at once", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
    (
        "9110 15.2.2: 101 without being asked",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ),
    ("9110 15.2: endless 1xx", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20),
]


@pytest.mark.parametrize("response", [row[1] for row in MALFORMED], ids=[row[0] for row in MALFORMED])
async def test_malformed_response_is_a_failure_of_the_backend(response: bytes) -> None:
    """The client gets 502 with a reason, and its connection lives; the backend's does not."""
    async with talking(answering(response), pool={"retry": {"attempts": 0}}) as (client, gateway, backend):
        client.send("GET /")
        answer = await client.read_answer()
        while answer.status < 200:
            answer = await client.read_answer()

        assert answer.status == 502
        assert json.loads(answer.body)["reason"] in {"malformed_response", "upgrade_failed"}
        assert answer.fields["proxy-status"].startswith("pcs-gateway; error=http_")
        assert "connection" not in answer.fields
        await until(backend.peers[0].has_ended.is_set)
        assert [(one.backend, one.failures) for one in gateway.evidence] == [("b0", 1)]

        backend.script = answering(OK)
        assert (await client.ask("GET /")).status == 200


async def test_head_without_end_is_a_failure_of_the_backend() -> None:
    """More than 64 KiB of head are 502, not memory."""
    script = answering(b"HTTP/1.1 200 OK\r\n", *[b"A: " + b"b" * 8000 + b"\r\n"] * 9)
    async with talking(script) as (client, _, backend):
        answer = await client.ask("GET /")

        assert (answer.status, json.loads(answer.body)["reason"]) == (502, "response_head_too_large")
        await until(backend.peers[0].has_ended.is_set)


PASSED = [
    ("9110 15: an unknown class", b"HTTP/1.1 600 Far Out\r\nContent-Length: 2\r\n\r\nab", b"ab"),
    ("9110 15: the last status", b"HTTP/1.1 999 Last\r\nContent-Length: 2\r\n\r\nab", b"ab"),
    ("9110 15: an unknown status", b"HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nab", b"ab"),
    ("4: no reason", b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nab", b"ab"),
    ("4: not even the space", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nab", b"ab"),
    ("4: an odd reason", b"HTTP/1.1 200 \xe4ll right\r\nContent-Length: 2\r\n\r\nab", b"ab"),
    ("6.3: chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", b"ab"),
    (
        "7.1.1: chunk extensions are dropped",
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b;c="d;e"\r\nab\r\n0;f\r\n\r\n',
        b"ab",
    ),
    ("9110 6.6.1: no field at all but a length", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    ("2.3: HTTP/1.0", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", b"ab"),
    # 9110 15.3.6 forbids content in a 205, but its framing is that of any answer (6.3)
    ("6.3: a 205 with a length", b"HTTP/1.1 205 Reset\r\nContent-Length: 2\r\n\r\nab", b"ab"),
    (
        "6.3: a 205 in chunks",
        b"HTTP/1.1 205 Reset\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        b"ab",
    ),
    ("9110 8.6: a length with zeros", b"HTTP/1.1 200 OK\r\nContent-Length: 002\r\n\r\nab", b"ab"),
    ("9110 5.5: a length in white space", b"HTTP/1.1 200 OK\r\nContent-Length:\t2 \t\r\n\r\nab", b"ab"),
]


@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
@pytest.mark.parametrize(("response", "body"), [row[1:] for row in PASSED], ids=[row[0] for row in PASSED])
async def test_odd_but_sound_response_is_passed_on(response: bytes, body: bytes, split: bool) -> None:
    """Status and body reach the client, in the client's version, on a connection that lives."""
    pieces = [bytes((octet,)) for octet in response] if split else [response]
    async with talking(answering(*pieces)) as (client, _, _):
        first, second = await client.ask("GET /"), await client.ask("GET /")

        assert first.status == int(response[9:12])
        assert first.fields.get("content-length", "2") in {"2", "0"}
        assert first.body == second.body == body


@pytest.mark.parametrize("status", [204, 304])
async def test_status_without_body_has_none(status: int) -> None:
    """6.3: 204 and 304 end with their head, whatever their fields say."""
    response = b"HTTP/1.1 %d X\r\nContent-Length: 5\r\nETag: e\r\n\r\n" % status
    async with talking(answering(response)) as (client, _, _):
        for _ in range(2):
            answer = await client.ask("GET /")
            assert (answer.status, answer.fields["etag"]) == (status, "e")
            # RFC 9110 8.6: a 204 has no Content-Length; a 304 may tell that of the representation
            assert answer.fields.get("content-length") == (None if status == 204 else "5")


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 1000\r\n", b"Transfer-Encoding: chunked\r\n", b"", b"Content-Length: 0\r\n"]
)
async def test_answer_to_head_has_no_body(framing: bytes) -> None:
    """6.3: the next response on both connections begins right after the head of an answer to HEAD."""

    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            is_head = request.method == "HEAD"
            await peer.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n" if is_head else OK)

    async with talking(script) as (client, _, _):
        head = await client.ask("HEAD /a")
        get = await client.ask("GET /b")
        again = await client.ask("HEAD /c")

        assert (head.body, get.body, again.body) == (b"", b"ok", b"")
        assert head.fields.get("content-length") == (
            framing[16:-2].decode() if b"Length" in framing else None
        )


async def test_body_to_the_close_is_complete() -> None:
    """6.3: without length and chunks the body ends with the connection; the client gets it in chunks."""
    script = answering_once(b"HTTP/1.1 200 OK\r\n\r\nab", b"cd", b"ef")
    async with talking(script) as (client, _, backend):
        first, second = await client.ask("GET /"), await client.ask("GET /")

        assert (first.body, first.fields["transfer-encoding"]) == (b"abcdef", "chunked")
        assert second.body == b"abcdef"
        assert len(backend.peers) == 2


class BreakingOff:
    """A backend that sends the beginning of a response, and closes when the client has seen some of it."""

    def __init__(self, beginning: bytes, is_reset: bool) -> None:
        self.is_seen = asyncio.Event()
        self._beginning = beginning
        self._is_reset = is_reset

    async def __call__(self, peer: Peer) -> None:
        await peer.request()
        await peer.send(self._beginning)
        await self.is_seen.wait()
        if self._is_reset:
            peer.reset()


@pytest.mark.parametrize(
    "beginning",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ],
)
@pytest.mark.parametrize("is_reset", [False, True])
async def test_body_that_breaks_off_is_incomplete(beginning: bytes, is_reset: bool) -> None:
    """8: a body that ends before its length or last chunk ends the client's connection without completing."""
    script = BreakingOff(beginning, is_reset)
    async with talking(script) as (client, gateway, _):
        client.send("GET /")
        head = await client.reader.readuntil(b"\r\n\r\n")
        script.is_seen.set()
        rest = await client.read_end()
        record = await gateway.record()

        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert not rest.endswith((b"0\r\n\r\n", b"abcdefghij"))
        assert (record.status, record.reason) == (200, "response_incomplete")
        assert gateway.delta.errors == {"response_incomplete": 1}


async def test_body_to_the_close_that_is_reset_is_incomplete() -> None:
    """8: a reset is no end of a body; the client's chunks are not completed."""
    script = BreakingOff(b"HTTP/1.1 200 OK\r\n\r\nabc", is_reset=True)
    async with talking(script) as (client, _, _):
        client.send("GET /")
        await client.reader.readuntil(b"\r\n\r\n")
        script.is_seen.set()

        assert b"0\r\n\r\n" not in await client.read_end()


async def test_http_1_0_client_notices_a_body_that_breaks_off() -> None:
    """8: where only the close ends the body, a body that breaks off ends in a reset."""
    script = BreakingOff(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", is_reset=False)
    async with talking(script) as (client, _, _):
        client.writer.write(b"GET / HTTP/1.0\r\n\r\n")
        await client.reader.readuntil(b"\r\n\r\n")
        script.is_seen.set()

        with pytest.raises(ConnectionResetError):
            await client.read_end()


@pytest.mark.parametrize(
    "unsolicited", [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen", b"noise", b"\r\n"]
)
async def test_unsolicited_bytes_reach_nobody(unsolicited: bytes) -> None:
    """9.2: bytes from a backend that no exchange waits for close its connection."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await until(lambda: gateway.upstream_connections and not gateway.in_flight)
        await peer.send(unsolicited)
        await peer.end()

    async with talking(script) as (client, gateway, backend):
        assert (await client.ask("GET /1")).body == b"ok"
        await until(backend.peers[0].has_ended.is_set)
        backend.script = echoing

        assert (await client.ask("GET /2")).body == b"/2 "


async def test_bytes_beyond_the_length_reach_nobody() -> None:
    """9.2: more bytes than announced are dropped and the connection with them."""
    async with talking(answering(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen")) as (
        client,
        _,
        backend,
    ):
        answers = [await client.ask("GET /") for _ in range(3)]

        assert [answer.body for answer in answers] == [b"ok"] * 3
        assert len(backend.peers) == 3


async def test_bytes_behind_the_last_chunk_reach_nobody() -> None:
    """9.2: the same behind a chunked body."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    async with talking(answering(chunked + OK)) as (client, _, backend):
        answers = [await client.ask("GET /") for _ in range(3)]

        assert [answer.body for answer in answers] == [b"ok"] * 3
        assert len(backend.peers) == 3


async def test_greeting_of_a_new_connection_reaches_nobody() -> None:
    """9.2: a backend that speaks first is no HTTP server; its connection is closed."""

    async def script(peer: Peer) -> None:
        await peer.send(b"220 mail.test ESMTP\r\n")
        await peer.end()

    async with talking(script) as (client, _, _):
        answer = await client.ask("POST /", body=b"x")

        assert answer.status == 502


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
async def test_connection_of_a_server_error_is_not_pooled(status: int) -> None:
    """9.3: some backends close unannounced after an error, so the next request takes another connection."""
    response = b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nno" % status
    async with talking(answering(response)) as (client, _, backend):
        first, second = await client.ask("GET /"), await client.ask("GET /")

        assert (first.status, first.body, second.status) == (status, b"no", status)
        assert len(backend.peers) == 2


@pytest.mark.parametrize(
    ("version", "line", "is_pooled"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.1", b"Connection: Keep-Alive, Close\r\n", False),
        (b"1.1", b"Connection: keep-alive\r\n", True),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: keep-alive\r\n", True),
    ],
)
async def test_persistence_of_backends(version: bytes, line: bytes, is_pooled: bool) -> None:
    """9.3: a connection is used again exactly when its backend said that it persists."""
    response = b"HTTP/" + version + b" 200 OK\r\nContent-Length: 2\r\n" + line + b"\r\nok"
    async with talking(answering(response)) as (client, _, backend):
        answers = [await client.ask("GET /") for _ in range(3)]

        assert [answer.fields.get("connection") for answer in answers] == [None] * 3
        assert len(backend.peers) == (1 if is_pooled else 3)


async def test_interim_responses_are_passed_on() -> None:
    """9110 15.2: 100, 102, 103 and unknown 1xx reach an HTTP/1.1 client, before the final one."""
    script = answering(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\nX: y\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 Odd\r\n\r\n" + OK,
    )
    async with talking(script) as (client, _, _):
        for _ in range(2):
            client.send("GET /")
            answers = [await client.read_answer() for _ in range(4)]

            assert [answer.status for answer in answers] == [103, 102, 199, 200]
            assert answers[0].fields == {"link": "</a>"}
            assert answers[3].body == b"ok"


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        (b"Content-Type: a\r\nX: y\r\ncontent-type: b\r\n", [b"Content-Type: a", b"X: y"]),
        (b"Date: Sun, 22 Nov 2026 20:15:21 GMT\r\nDATE: x\r\n", [b"Date: Sun, 22 Nov 2026 20:15:21 GMT"]),
        (b"Location: /a\r\nLocation: /b\r\nLocation: /c\r\n", [b"Location: /a"]),
        (b"ETag: a\r\nConnection: keep-alive\r\nETag: b\r\n", [b"ETag: a"]),
        (b"Set-Cookie: a\r\nSet-Cookie: b\r\n", [b"Set-Cookie: a", b"Set-Cookie: b"]),
        (b"Vary: a\r\nVary: b\r\n", [b"Vary: a", b"Vary: b"]),
    ],
)
async def test_field_with_one_value_is_passed_on_once(lines: bytes, kept: list[bytes]) -> None:
    """9110 5.3: of several the first is kept, since recipients choose differently; lists are left alone."""
    async with talking(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + lines + b"\r\n")) as talk:
        answer = await talk.client.ask("GET /")
        own = ("via", "x-request-id", "server-timing", "content-length")
        others = [line for line in answer.lines if not line.lower().startswith(own)]
        expected = [line.decode() for line in kept]

        assert expected == [line for line in others if line in expected or not line.startswith("Date")]


async def test_switch_to_another_protocol_than_asked_for_is_a_failure() -> None:
    """9110 7.8: a server must not switch to a protocol that the client did not name."""
    script = answering(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n")
    async with talking(script, routes=[{"allow_upgrade": True, "pool": "pcs"}]) as (client, _, _):
        answer = await client.ask("GET /", "Connection: upgrade", "Upgrade: websocket")

        assert (502, "upgrade_failed") == (answer.status, json.loads(answer.body)["reason"])


@pytest.mark.parametrize("size", [64 * 1024, 64 * 1024 + 1])
@pytest.mark.parametrize("step", [0, 1000])
async def test_limit_of_a_head_does_not_depend_on_its_segments(size: int, step: int) -> None:
    """2.2: a head of exactly 64 KiB is read, one octet more is not, in whatever pieces it comes."""
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: "
    head = start + b"b" * (size - len(start) - 2) + b"\r\n"
    whole = head + b"\r\n"
    pieces = [whole[at : at + (step or size)] for at in range(0, size - 1, step or size)]
    rest = whole[sum(map(len, pieces)) :]

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*pieces, *([bytes((octet,)) for octet in rest]))
        await peer.end()

    async with talking(script, pool={"retry": {"attempts": 0}}) as (client, _, _):
        client.send("GET /", "Connection: close")
        answer = await client.read_end()

        assert answer.startswith(b"HTTP/1.1 200" if size == 64 * 1024 else b"HTTP/1.1 502")


class TestTrailers:
    async def test_that_connection_names_stay_here(self) -> None:
        """9110 7.6.1: a trailer that Connection names belongs to the connection, both ways."""
        chunks = b"2\r\nok\r\n0\r\nX-Own: 1\r\nX-Sum: 2\r\n\r\n"
        response = b"HTTP/1.1 200 OK\r\nConnection: X-Own\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
        async with talking(answering(response)) as (client, _, backend):
            client.send("POST /", "Transfer-Encoding: chunked", "Connection: close, x-own", body=chunks)
            answer = await client.read_end()

            assert answer.endswith(b"\r\n2\r\nok\r\n0\r\nX-Sum: 2\r\n\r\n")
            assert ("X-Sum: 2",) == backend.requests[0].trailers

    async def test_of_a_response_reach_the_client(self) -> None:
        """9110 6.5: trailers are passed on as trailers; those that frame, route or authenticate are not."""
        body = b"2\r\nok\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\nSet-Cookie: a=b\r\nX-Last: 2\r\n\r\n"
        script = answering(
            b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n", body[:7], body[7:]
        )
        async with talking(script) as (client, _, _):
            client.send("GET /", "Connection: close")
            head, _, rest = (await client.read_end()).partition(b"\r\n\r\n")

            assert rest == b"2\r\nok\r\n0\r\nX-Sum: 1\r\nX-Last: 2\r\n\r\n"
            assert b"X-Sum:" not in head

    async def test_of_a_request_reach_the_backend(self) -> None:
        """9110 6.5: the same on the way in: no trailer becomes a field of the head, forbidden ones vanish."""
        body = (
            b"2\r\nok\r\n0\r\nX-Sum: 1\r\nHost: evil\r\nAuthorization: x\r\nX-Forwarded-For: 1.1.1.1\r\n"
            b"Transfer-Encoding: gzip\r\nX-Last: 2\r\n\r\n"
        )
        async with talking(answering(OK)) as (client, _, backend):
            await client.ask("POST /", "Transfer-Encoding: chunked", "Trailer: X-Sum", body=body)

            (request,) = backend.requests
            assert (request.body, request.trailers) == (b"ok", ("X-Sum: 1", "X-Last: 2"))
            assert request.fields["host"] == "sample.test"
            assert not request.fields.keys() & {"x-sum", "x-last", "authorization"}

    async def test_what_a_route_changes_in_a_request_is_no_trailer(self) -> None:
        """9110 6.5.1: a backend may join trailers with the head, where the route changed the field."""
        changes = {"set": {"X-User": "anonymous"}, "remove": ["x_role"]}
        body = b"2\r\nok\r\n0\r\nx-user: admin\r\nX_User: admin\r\nX-Role: root\r\nX-Sum: 1\r\n\r\n"
        async with talking(answering(OK), routes=[{"request_headers": changes}]) as (client, _, backend):
            await client.ask("POST /", "Transfer-Encoding: chunked", body=body)

            assert backend.requests[0].trailers == ("X-Sum: 1",)

    async def test_what_the_gateway_decides_by_is_no_trailer(self) -> None:
        """9110 6.5.1: what was counted, hashed or ordered by in the head is not said anew behind the body."""
        names = ("X-Tenant", "X-Shard", "X-Class", "X-Correlation")
        body = (
            b"2\r\nok\r\n0\r\n"
            + b"".join(b"%b: a\r\n" % name.encode() for name in names)
            + b"X-Sum: 1\r\n\r\n"
        )
        pool = {
            "strategy": "consistent_hash",
            "hash_on": "header:X-Shard",
            "queue": {"priority_header": "X-Class"},
        }
        sections: dict[str, Any] = {
            "rate_limits": [{"rate": "60/m", "key": "header:X-Tenant"}],
            "forwarding": {"request_id_header": "X-Correlation"},
        }
        async with talking(answering(OK), pool=pool, **sections) as (client, _, backend):
            await client.ask("POST /", "Transfer-Encoding: chunked", body=body)

            assert backend.requests[0].trailers == ("X-Sum: 1",)

    async def test_what_a_route_changes_in_a_response_is_no_trailer(self) -> None:
        """9110 6.5.1: the same on the way out."""
        changes = {"set": {"Server": "gateway"}, "remove": ["X-Powered-By"]}
        response = (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nok\r\n0\r\nserver: a\r\nX_Powered_By: b\r\nX-Sum: 1\r\n\r\n"
        )
        async with talking(answering(response), routes=[{"response_headers": changes}]) as (client, _, _):
            client.send("GET /", "Connection: close")

            assert (await client.read_end()).endswith(b"\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n")
