"""What a client's connection does: keep-alive, pipelining, HTTP/1.0, half-closing, refusing and going on."""

import asyncio
import socket

import pytest

from tests.fakes.backend import OK, Peer, answering, echoing
from tests.fakes.gateway import talking
from tests.fakes.waiting import until

GET = b"GET /%d HTTP/1.1\r\nHost: a.test\r\n\r\n"


class Gate:
    """A backend that answers each request with its target, but only after `open` was set."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        while True:
            request = await peer.request()
            await self.open.wait()
            target = request.target.encode()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target))


class TestKeepAlive:
    async def test_both_legs_are_reused(self) -> None:
        """Requests one after another use one connection of the client's and one to the backend."""
        async with talking(echoing) as (client, _, backend):
            bodies = [(await client.ask(f"GET /{number}")).body for number in range(20)]

            assert bodies == [b"/%d " % number for number in range(20)]
            assert len(backend.peers) == 1

    async def test_posts_with_bodies_keep_the_connection(self) -> None:
        """A body in the same segment as its head is no pipelined request: nothing ever says close."""
        async with talking(echoing) as (client, _, _):
            answers = [await client.ask("POST /", body=b"body") for _ in range(40)]

            assert [answer.fields.get("connection") for answer in answers] == [None] * 40

    async def test_close_is_honoured(self) -> None:
        """`Connection: close` of a client is answered with the same and the end of the connection."""
        async with talking(echoing) as (client, _, _):
            answer = await client.ask("GET /", "Connection: close")

            assert answer.fields["connection"] == "close"
            assert await client.read_end() == b""

    @pytest.mark.parametrize("in_one_piece", [True, False])
    async def test_empty_lines_before_a_request_are_ignored(self, in_one_piece: bool) -> None:
        """RFC 9112 2.2: an empty line before a request line is no request."""
        async with talking(echoing) as (client, _, _):
            for number in range(3):
                if in_one_piece:
                    client.writer.write(b"\r\n\r\n" * (number % 2) + b"\r\n" + GET % number)
                else:
                    for octet in b"\r\n" + GET % number:
                        client.writer.write(bytes((octet,)))
                        await asyncio.sleep(0)
                assert (await client.read_answer()).body == b"/%d " % number

    async def test_flood_of_empty_lines_costs_little(self) -> None:
        """A megabyte of empty lines holds nobody up."""
        async with talking(echoing) as (client, gateway, _), gateway.client() as other:
            client.writer.write(b"\r\n" * 500_000)
            client.writer.write(GET % 1)
            await client.writer.drain()

            async with asyncio.timeout(1):
                assert (await other.ask("GET /other")).status == 200
                assert (await client.read_answer()).body == b"/1 "


class TestHttp10:
    async def test_without_keep_alive_closes(self) -> None:
        """An HTTP/1.0 client that does not ask for more gets its answer and the end."""
        async with talking(echoing) as (client, _, backend):
            answer = await client.ask("GET / HTTP/1.0")

            assert (answer.status, answer.fields["connection"]) == (200, "close")
            assert await client.read_end() == b""
            assert backend.requests[0].line == "GET / HTTP/1.1"

    async def test_with_keep_alive_goes_on(self) -> None:
        """What `ab -k` does: HTTP/1.0 with keep-alive is answered with keep-alive, on one connection."""
        async with talking(echoing) as (client, _, backend):
            answers = [await client.ask("GET / HTTP/1.0", "Connection: Keep-Alive") for _ in range(5)]

            assert [answer.fields["connection"] for answer in answers] == ["keep-alive"] * 5
            assert len(backend.peers) == 1

    async def test_without_host_the_backend_gets_its_own(self) -> None:
        """HTTP/1.0 knows no Host; the backend is told its own name."""
        async with talking(echoing) as (client, _, backend):
            client.writer.write(b"GET / HTTP/1.0\r\n\r\n")
            await client.read_answer()

            assert backend.requests[0].fields["host"] == f"127.0.0.1:{backend.port}"

    async def test_chunked_response_ends_with_the_connection(self) -> None:
        """RFC 9112 6.1: no transfer coding goes to an HTTP/1.0 client, keep-alive or not."""
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        async with talking(answering(chunked)) as (client, _, _):
            client.writer.write(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            head, _, body = (await client.read_end()).partition(b"\r\n\r\n")

            assert body == b"abcde"
            assert b"connection: close" in head.lower()
            assert b"transfer-encoding" not in head.lower()

    async def test_interim_responses_stay_here(self) -> None:
        """RFC 9110 15.2: no 1xx response goes to an HTTP/1.0 client; nor is its expectation passed on."""
        script = answering(b"HTTP/1.1 103 Early Hints\r\n\r\n", OK)
        async with talking(script) as (client, _, backend):
            answer = await client.ask("POST / HTTP/1.0", "Expect: 100-continue", body=b"x")

            assert answer.status == 200
            assert "expect" not in backend.requests[0].fields


class TestPipelining:
    async def test_answers_come_in_order(self) -> None:
        """Requests sent at once are answered one after another, bodies between them respected."""
        async with talking(echoing) as (client, _, _):
            client.writer.write(
                GET % 1
                + b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
                + b"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmore\r\n0\r\n\r\n"
                + b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n"
                + GET % 5
            )
            bodies = [(await client.read_answer()).body for _ in range(5)]

            assert bodies == [b"/1 ", b"/2 body", b"/3 more", b"/none ", b"/5 "]

    async def test_requests_beyond_the_limit_are_discarded(self) -> None:
        """Thousands of requests in one write: the last that is answered says close, the rest is dropped."""
        async with talking(echoing, limits={"pipelined_requests": 16}) as (client, _, backend):
            client.writer.write(b"".join(GET % number for number in range(5000)))
            answers = [await client.read_answer() for _ in range(17)]

            assert [answer.body for answer in answers] == [b"/%d " % number for number in range(17)]
            assert [answer.fields.get("connection") for answer in answers] == [None] * 16 + ["close"]
            assert await client.read_end() == b""
            assert len(backend.requests) == 17

    async def test_steady_pipelining_is_no_flood(self) -> None:
        """A client that keeps a few requests under way for long is never cut."""
        async with talking(echoing) as (client, _, _):
            client.writer.write(GET % 0 + GET % 1)
            for number in range(2, 100):
                client.writer.write(GET % number)
                answer = await client.read_answer()
                assert answer.fields.get("connection") is None
            await client.read_answer()
            await client.read_answer()

    async def test_refused_request_stands_in_its_place(self) -> None:
        """A malformed request behind sound ones is answered after them, and ends the connection."""
        async with talking(echoing) as (client, _, _):
            client.writer.write(GET % 1 + GET % 2 + b"GET / HTTP/1.1\r\nHost : a\r\n\r\n" + GET % 4)
            statuses = [(await client.read_answer()).status for _ in range(3)]

            assert statuses == [200, 200, 400]
            assert await client.read_end() == b""

    async def test_own_answers_stand_in_their_place(self) -> None:
        """Answers that need no backend wait for the ones before them."""
        gate = Gate()
        routes = [
            {"match": {"path": "/fixed"}, "respond": {"status": 200, "body": "fixed"}},
            {"match": {"path": "/{path...}"}, "pool": "pcs"},
        ]
        async with talking(gate, routes=routes) as (client, _, backend):
            fixed = b"GET /fixed HTTP/1.1\r\nHost: a\r\n\r\n"
            client.writer.write(fixed + GET % 1 + fixed * 2 + GET % 2 + fixed)
            await until(lambda: backend.requests)
            gate.open.set()
            bodies = [(await client.read_answer()).body for _ in range(6)]

            assert bodies == [b"fixed", b"/1", b"fixed", b"fixed", b"/2", b"fixed"]

    async def test_client_that_never_reads_is_not_read(self) -> None:
        """Requests of a client that takes no answers wait, so that answers do not pile up in memory."""
        body = b"x" * 30_000
        script = answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        limits = {"response_buffer": "64KiB"}
        async with talking(script, limits=limits) as (_, gateway, backend):
            with socket.create_connection(("127.0.0.1", gateway.port)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.setblocking(False)
                loop = asyncio.get_running_loop()
                for number in range(200):
                    await loop.sock_sendall(client, GET % number)
                    await asyncio.sleep(0.001)
                connections = gateway.plane.connections

                assert sum(one.transport.get_write_buffer_size() for one in connections) < 1_000_000
                assert len(backend.requests) < 60


class TestHalfClose:
    async def test_half_closed_client_gets_its_answer(self) -> None:
        """With `on_abandon: finish` an end of file behind a complete request is no client that left."""
        gate = Gate()
        async with talking(gate) as (client, _, backend):
            client.writer.write(GET % 1)
            client.writer.write_eof()
            await until(lambda: backend.requests)
            gate.open.set()
            answer = await client.read_answer()

            assert (answer.body, answer.fields["connection"]) == (b"/1", "close")
            assert await client.read_end() == b""

    async def test_pipelined_requests_before_the_end_are_answered(self) -> None:
        """`printf … | nc`: all requests that came before the end of file are answered, then it closes."""
        gate = Gate()
        async with talking(gate) as (client, _, backend):
            client.writer.write(GET % 1 + GET % 2 + GET % 3)
            client.writer.write_eof()
            await until(lambda: backend.requests)
            gate.open.set()
            answers = [await client.read_answer() for _ in range(3)]

            assert [answer.body for answer in answers] == [b"/1", b"/2", b"/3"]
            assert [answer.fields.get("connection") for answer in answers] == [None, None, "close"]
            assert await client.read_end() == b""

    async def test_incomplete_request_before_the_end_is_dropped(self) -> None:
        """Half a request behind a whole one does not keep the connection."""
        gate = Gate()
        async with talking(gate) as (client, _, backend):
            client.writer.write(GET % 1 + (GET % 2)[:-5])
            client.writer.write_eof()
            await until(lambda: backend.requests)
            gate.open.set()

            assert (await client.read_answer()).body == b"/1"
            assert await client.read_end() == b""

    async def test_truncated_body_never_becomes_a_request(self) -> None:
        """A body that ends before its length is a client that left; the backend gets nothing."""
        async with talking(echoing) as (client, gateway, backend):
            client.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
            client.writer.write_eof()

            assert await client.read_end() == b""
            record = await gateway.record()

            assert (record.status, record.reason) == (499, "client_left")
            assert backend.received == b""


class TestRefusingAndGoingOn:
    @pytest.mark.parametrize(
        ("target", "status"), [("/unknown", 404), ("/only-get", 405), ("/a/../only-get", 400)]
    )
    @pytest.mark.parametrize("chunked", [True, False])
    @pytest.mark.parametrize("in_one_piece", [True, False])
    async def test_body_of_a_refused_request_is_no_request(
        self, target: str, status: int, chunked: bool, in_one_piece: bool
    ) -> None:
        """The body behind a refused head is never taken for the next request."""
        smuggled = b"GET /only-get HTTP/1.1\r\nHost: a\r\nX: smuggled\r\n\r\n"
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(smuggled), smuggled) if chunked else smuggled
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(smuggled)
        routes = [{"match": {"path": "/only-get", "methods": ["GET"]}, "pool": "pcs"}]
        async with talking(echoing, routes=routes) as (client, _, backend):
            head = b"POST %b HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % (target.encode(), framing)
            if in_one_piece:
                client.writer.write(head + body)
            else:
                client.writer.write(head)
                await client.writer.drain()
                await asyncio.sleep(0.02)
                client.writer.write(body)

            assert (await client.read_answer()).status == status
            assert await client.read_end() == b""
            assert backend.received == b""

    async def test_refused_request_without_body_keeps_the_connection(self) -> None:
        """Only what can be misread costs the connection: 404 and 405 do not."""
        routes = [{"match": {"path": "/only-get", "methods": ["GET"]}, "pool": "pcs"}]
        async with talking(echoing, routes=routes) as (client, _, _):
            statuses = [
                (await client.ask(head)).status for head in ("GET /no", "DELETE /only-get", "GET /only-get")
            ]

            assert statuses == [404, 405, 200]

    async def test_refused_request_does_not_disturb_others(self) -> None:
        """Other connections' exchanges go on while one client sends garbage."""
        gate = Gate()
        async with talking(gate) as (good, gateway, backend), gateway.client() as bad:
            good.send("GET /good")
            await until(lambda: backend.requests)
            bad.writer.write(b"\x00\x01\x02\r\n\r\n")
            assert (await bad.read_answer()).status == 400
            gate.open.set()

            assert (await good.read_answer()).body == b"/good"
