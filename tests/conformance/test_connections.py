"""
Which connections of clients persist, and how they end: HTTP/1.0 and 1.1, pipelining, half-closed ones.

Rows cite RFC 9112 unless another is named.
"""

from __future__ import annotations

import pytest

from tests.fakes.backend import OK, Peer, answering, answering_once, echoing
from tests.fakes.gateway import talking
from tests.fakes.waiting import until

PERSISTENCE = [
    ("9.3: HTTP/1.1", b"1.1", b"", True, None),
    ("9.3: HTTP/1.1 with keep-alive", b"1.1", b"Connection: keep-alive\r\n", True, None),
    ("9.6: HTTP/1.1 with close", b"1.1", b"Connection: close\r\n", False, "close"),
    ("9110 7.6.1: close in another case", b"1.1", b"Connection: CLOSE\r\n", False, "close"),
    ("9110 5.6.1: close in a list", b"1.1", b"Connection: x ,,\tclose , y\r\n", False, "close"),
    ("9110 5.3: close in a second field", b"1.1", b"Connection: x\r\nconnection: close\r\n", False, "close"),
    ("9.3: close beside keep-alive", b"1.1", b"Connection: keep-alive, close\r\n", False, "close"),
    ("9110 5.6.2: no token is close but close", b"1.1", b"Connection: closed, xclose\r\n", True, None),
    ("9110 5.6.2: nor with an octet beyond ASCII", b"1.1", b"Connection: close\xa0\r\n", True, None),
    ("C.2.2: Proxy-Connection means nothing", b"1.1", b"Proxy-Connection: close\r\n", True, None),
    ("9.3: HTTP/1.0", b"1.0", b"", False, "close"),
    ("9.3: HTTP/1.0 with keep-alive", b"1.0", b"Connection: keep-alive\r\n", True, "keep-alive"),
    ("9.3: keep-alive in another case", b"1.0", b"Connection: Keep-Alive\r\n", True, "keep-alive"),
    ("9.3: HTTP/1.0 with both", b"1.0", b"Connection: keep-alive, close\r\n", False, "close"),
    ("C.2.2: Keep-Alive alone means nothing", b"1.0", b"Keep-Alive: timeout=5\r\n", False, "close"),
]


@pytest.mark.parametrize(
    ("version", "line", "persists", "said"), [row[1:] for row in PERSISTENCE], ids=[r[0] for r in PERSISTENCE]
)
async def test_persistence_of_clients(version: bytes, line: bytes, persists: bool, said: str | None) -> None:
    """A connection carries another request exactly when its client said so; the answer tells."""
    async with talking(answering(OK)) as (client, _, backend):
        request = b"GET / HTTP/" + version + b"\r\nHost: a.test\r\n" + line + b"\r\n"
        client.writer.write(request * 2)
        first = await client.read_answer()

        assert (b"ok", said) == (first.body, first.fields.get("connection"))
        if persists:
            assert b"ok" == (await client.read_answer()).body
        else:
            assert b"" == await client.read_end()
        assert (2 if persists else 1) == len(backend.requests)


@pytest.mark.parametrize(
    ("response", "persists"),
    [
        (OK, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\nok", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    ],
)
async def test_http_1_0_client_is_told_the_end_as_it_can_know_it(response: bytes, persists: bool) -> None:
    """6.1, 6.3: never chunks to a client of HTTP/1.0; without a length the close ends the body."""
    async with talking(answering_once(response)) as (client, _, _):
        client.writer.write(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        head = (await client.reader.readuntil(b"\r\n\r\n")).lower()

        assert head.startswith(b"http/1.1 ")
        assert b"transfer-encoding" not in head
        assert (b"connection: keep-alive" if persists else b"connection: close") in head
        if not persists:
            assert b"ok" == await client.read_end()


async def test_http_1_0_request_reaches_the_backend_as_one_of_1_1() -> None:
    """2.3: an intermediary speaks its own version; 9110 7.2: a Host, and 10.1.1: no expectation."""
    async with talking(answering(OK)) as (client, _, backend):
        client.writer.write(
            b"POST /a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\nX-A: 1\r\n\r\nhi"
        )
        await client.read_answer()
        (request,) = backend.requests

        assert ("POST /a HTTP/1.1", b"hi") == (request.line, request.body)
        assert backend.url.removeprefix("http://") == request.fields["host"]
        assert "expect" not in request.fields


async def test_http_1_0_client_gets_no_interim_response() -> None:
    """9110 15.2: a 1xx is never sent to a client of HTTP/1.0."""
    script = answering(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + OK)
    async with talking(script) as (client, _, _):
        client.writer.write(b"GET / HTTP/1.0\r\n\r\n")

        assert 200 == (await client.read_answer()).status


async def test_nothing_behind_close_is_a_request() -> None:
    """9.6: what is pipelined behind a request with `close` is not looked at, not even malformed bytes."""
    async with talking(echoing) as (client, gateway, backend):
        client.writer.write(
            b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
            b"POST /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"
            b"GET /3 HTTP/1.1\r\nHost: a\r\n\r\nrubbish\x00"
        )
        first, second = await client.read_answer(), await client.read_answer()

        assert (b"/1 ", b"/2 hi") == (first.body, second.body)
        assert b"" == await client.read_end()
        assert ["/1", "/2"] == [request.target for request in backend.requests]
        assert 2 == len(gateway.records)


class TestHalfClosed:
    async def test_complete_requests_are_answered(self) -> None:
        """9.6: a client that closes its half after complete requests gets all answers, the last says so."""
        async with talking(echoing) as (client, _, _):
            client.writer.write(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
            client.writer.write_eof()
            answers = [await client.read_answer(), await client.read_answer()]

            assert [b"/1 ", b"/2 "] == [answer.body for answer in answers]
            assert [None, "close"] == [answer.fields.get("connection") for answer in answers]
            assert b"" == await client.read_end()

    @pytest.mark.parametrize(
        "request_bytes",
        [
            b"GET / HTTP/1.1\r\nHost: a\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        ],
    )
    async def test_incomplete_request_reaches_no_backend(self, request_bytes: bytes) -> None:
        """8: a request whose end never comes is not complete, whatever came of it."""
        async with talking(echoing) as (client, _, backend):
            client.writer.write(request_bytes)
            client.writer.write_eof()

            assert not (await client.read_end()).startswith(b"HTTP/1.1 2")
            assert b"" == backend.received

    async def test_backend_that_half_closes_after_its_answer_is_not_asked_again(self) -> None:
        """9.6: a backend whose half is closed takes no further request."""

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(OK)
            peer.end_sending()
            await peer.end()

        async with talking(script) as (client, gateway, backend):
            for _ in range(3):
                assert b"ok" == (await client.ask("GET /")).body
                await until(lambda: not gateway.upstream_connections)

            assert 3 == len(backend.peers)


async def test_refused_head_request_gets_no_body() -> None:
    """9110 9.3.2: an answer to HEAD has no content, be it a refusal."""
    async with talking(answering(OK)) as (client, _, _):
        client.writer.write(b"HEAD / HTTP/1.1\r\nHost: a\r\nA b\r\n\r\n")
        answer = await client.read_answer("HEAD")

        assert 400 == answer.status
        assert int(answer.fields["content-length"]) > 0
        assert b"" == await client.read_end()
