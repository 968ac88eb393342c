"""Bodies of any size on their way: backpressure both ways, leases that end early, first bytes at once."""

import asyncio
import hashlib
import socket
from typing import Any

import pytest

from tests.fakes.backend import OK, Peer, answering, echoing, hanging
from tests.fakes.gateway import Gateway, talking
from tests.fakes.waiting import until

MIB = 1 << 20
BLOCK = bytes(range(256)) * 256


def buffered(gateway: Gateway) -> int:
    """Bytes that the gateway itself holds, for clients and for backends."""
    clients = sum(one.transport.get_write_buffer_size() for one in gateway.plane.connections)
    exchanges = [one.exchange for one in gateway.plane.connections if one.exchange is not None]
    upstream = [one.upstream for one in exchanges if one.upstream is not None]
    return clients + sum(one.transport.get_write_buffer_size() for one in upstream)


class Source:
    """A backend that answers with `size` bytes, by length or in chunks, as fast as it may."""

    def __init__(self, size: int, chunked: bool = False) -> None:
        self.size = size
        self.sent = 0
        self.chunked = chunked
        self.is_done = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        await peer.request()
        framing = b"Transfer-Encoding: chunked" if self.chunked else b"Content-Length: %d" % self.size
        await peer.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % framing)
        while self.sent < self.size:
            block = BLOCK[: self.size - self.sent]
            await peer.send(b"%x\r\n%b\r\n" % (len(block), block) if self.chunked else block)
            self.sent += len(block)
        if self.chunked:
            await peer.send(b"0\r\n\r\n")
        self.is_done.set()
        await peer.end()


def slow_client(port: int) -> socket.socket:
    """A client with a small buffer that reads only when it is told to."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.setblocking(False)
    return client


async def stands_still(value: object) -> None:
    """Wait until what a function gives has stopped to change."""
    assert callable(value)
    before, unchanged = None, 0
    async with asyncio.timeout(5):
        while unchanged < 10:
            now = value()
            unchanged = unchanged + 1 if now == before else 0
            before = now
            await asyncio.sleep(0.01)


class TestResponses:
    @pytest.mark.parametrize("chunked", [False, True])
    async def test_large_body_arrives_whole(self, chunked: bool) -> None:
        """Eight MiB arrive as they were sent, by length and in chunks; the connection goes on."""
        async with talking(Source(8 * MIB, chunked)) as (client, gateway, backend):
            answer = await client.ask("GET /")
            backend.script = answering(OK)

            assert hashlib.sha256(answer.body).digest() == hashlib.sha256(BLOCK * 128).digest()
            assert (await gateway.record()).response_bytes == 8 * MIB

    @pytest.mark.parametrize("chunked", [False, True])
    async def test_slow_client_holds_the_backend_back(self, chunked: bool) -> None:
        """A client that does not read costs the response buffer, not the body; reading goes on later."""
        source = Source(64 * MIB, chunked)
        limits = {"response_buffer": "128KiB"}
        async with talking(source, limits=limits) as (_, gateway, _):
            with slow_client(gateway.port) as client:
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                await stands_still(lambda: source.sent)

                assert source.sent < 32 * MIB
                assert buffered(gateway) < MIB
                assert gateway.in_flight == 1

                received = 0
                while received < 64 * MIB:
                    received += len(await loop.sock_recv(client, MIB))
                    assert buffered(gateway) < MIB
                await until(lambda: not gateway.in_flight)

    @pytest.mark.parametrize("chunked", [False, True])
    async def test_lease_ends_with_the_last_byte_of_the_backend(self, chunked: bool) -> None:
        """A slow client does not hold a backend whose response fits into the response buffer."""
        size = 6 * MIB
        async with talking(Source(size, chunked), limits={"response_buffer": "8MiB"}) as (_, gateway, _):
            with slow_client(gateway.port) as client:
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                await until(lambda: gateway.records)

                assert gateway.in_flight == 0
                assert buffered(gateway) > 0

                received = b""
                while data := await loop.sock_recv(client, MIB):
                    received += data
                assert len(received) > size

    async def test_route_has_its_own_response_buffer(self) -> None:
        """`limits.response_buffer` may stand on a route."""
        source = Source(6 * MIB)
        routes = [{"limits": {"response_buffer": "8MiB"}}]
        async with talking(source, limits={"response_buffer": "64KiB"}, routes=routes) as (_, gateway, _):
            with slow_client(gateway.port) as client:
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                await until(lambda: gateway.records)

                assert gateway.in_flight == 0

    async def test_slow_reading_is_no_idleness(self) -> None:
        """A client that reads all the time, but slowly, is not cut by `stream_idle`."""
        source = Source(8 * MIB)
        timeouts, limits = {"stream_idle": "300ms"}, {"response_buffer": "64KiB"}
        async with talking(source, timeouts=timeouts, limits=limits) as (_, gateway, _):
            with slow_client(gateway.port) as client:
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                received = 0
                for _ in range(40):
                    received += len(await loop.sock_recv(client, MIB))
                    await asyncio.sleep(0.03)
                assert received < MIB
                while data := await loop.sock_recv(client, MIB):
                    received += len(data)

                assert received > 8 * MIB

    async def test_client_that_stops_reading_is_cut(self) -> None:
        """After `stream_idle` without a byte the exchange ends and its backend is free."""
        source = Source(64 * MIB)
        async with talking(source, timeouts={"stream_idle": "200ms"}) as (_, gateway, _):
            with slow_client(gateway.port) as client:
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                record = await gateway.record()

                assert record.reason == "stream_idle"
                assert gateway.in_flight == 0

    async def test_event_stream_is_not_held_back(self) -> None:
        """Server-sent events arrive one by one, the first at once, and the time to first byte says so."""
        next_event = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            for number in range(3):
                await peer.send(b"data: %d\n\n" % number)
                await next_event.wait()
                next_event.clear()

        async with talking(script) as (client, gateway, _):
            client.send("GET /")
            head = await client.reader.readuntil(b"\r\n\r\n")
            for number in range(3):
                async with asyncio.timeout(1):
                    event = await client.reader.readuntil(b"\n\n\r\n")
                assert event.endswith(b"data: %d\n\n\r\n" % number)
                assert gateway.in_flight == 1
                await asyncio.sleep(0.02)
                next_event.set()
            assert await client.reader.readexactly(5) == b"0\r\n\r\n"
            record = await gateway.record()

            assert b"transfer-encoding: chunked" in head.lower()
            assert record.time_to_first_byte < record.duration / 2

    async def test_head_without_body_bytes_leaves_at_once(self) -> None:
        """A response head is not held until its body begins."""
        go_on = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            await go_on.wait()
            await peer.send(b"ok")
            await peer.end()

        async with talking(script) as (client, _, _):
            client.send("GET /")
            async with asyncio.timeout(1):
                await client.reader.readuntil(b"\r\n\r\n")
            go_on.set()

            assert await client.reader.readexactly(2) == b"ok"


class Sink:
    """A backend that takes a request body, counts it, and answers with its digest; it reads when it may."""

    def __init__(self) -> None:
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.received = 0
        self.head_came = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        while True:
            head = await peer.request_head()
            self.head_came.set()
            await self.may_read.wait()
            digest = hashlib.sha256()
            if head.fields.get("transfer-encoding") == "chunked":
                body, _ = await peer.read_chunks()
                digest.update(body)
            else:
                left = int(head.fields["content-length"])
                while left:
                    data = await peer.read_exactly(min(left, 65536))
                    self.received += len(data)
                    digest.update(data)
                    left -= len(data)
            text = digest.hexdigest().encode()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))


class TestRequests:
    @pytest.mark.parametrize("size", [1, 64 * 1024, 64 * 1024 + 1, 3 * MIB])
    async def test_large_body_arrives_whole(self, size: int) -> None:
        """A body by length arrives as it was sent, whether it fits into the request buffer or not."""
        body = (BLOCK * (size // len(BLOCK) + 1))[:size]
        async with talking(Sink()) as (client, gateway, _):
            first = await client.ask("POST /", body=body)
            second = await client.ask("PUT /", body=body)

            assert first.body.decode() == second.body.decode() == hashlib.sha256(body).hexdigest()
            assert (await gateway.record()).request_bytes == size

    @pytest.mark.parametrize("size", [1, 64 * 1024, 200 * 1024])
    async def test_chunked_body_arrives_whole(self, size: int) -> None:
        """The same in chunks, whose sizes are the client's own business."""
        body = (BLOCK * (size // len(BLOCK) + 1))[:size]
        chunks = b"".join(
            b"%x\r\n%b\r\n" % (len(body[at : at + 7777]), body[at : at + 7777]) for at in range(0, size, 7777)
        )
        async with talking(Sink()) as (client, gateway, _):
            answer = await client.ask("POST /", "Transfer-Encoding: chunked", body=chunks + b"0\r\n\r\n")

            assert answer.body.decode() == hashlib.sha256(body).hexdigest()
            assert (await gateway.record()).request_bytes == size

    async def test_small_body_is_complete_before_a_backend_is_engaged(self) -> None:
        """Up to `limits.request_buffer` a slow client costs no backend."""
        async with talking(Sink()) as (client, gateway, backend):
            client.send("POST /", "Content-Length: 6")
            client.writer.write(b"abc")
            await until(lambda: any(one.exchange for one in gateway.plane.connections))
            await asyncio.sleep(0.05)

            assert (gateway.in_flight, backend.received) == (0, b"")

            client.writer.write(b"def")
            answer = await client.read_answer()
            assert answer.body.decode() == hashlib.sha256(b"abcdef").hexdigest()

    @pytest.mark.parametrize("receive_buffer", [None, 4096])
    async def test_slow_backend_holds_the_client_back(self, receive_buffer: int | None) -> None:
        """A backend that does not read costs the request buffer and the kernel's, not the body."""
        sink = Sink()
        sink.may_read.clear()
        size = 48 * MIB
        async with talking(sink, receive_buffer=receive_buffer) as (client, gateway, _):
            client.send("POST /", f"Content-Length: {size}")
            client.writer.write(BLOCK * (size // len(BLOCK)))
            await sink.head_came.wait()
            unsent = client.writer.transport.get_write_buffer_size
            await stands_still(unsent)

            assert unsent() > 24 * MIB
            assert buffered(gateway) < MIB

            sink.may_read.set()
            answer = await client.read_answer()
            assert len(answer.body) == 64
            assert sink.received == size

    @pytest.mark.parametrize("framing", ["Content-Length: 4", "Transfer-Encoding: chunked"])
    async def test_body_that_can_be_kept_is_asked_for(self, framing: str) -> None:
        """9110 10.1.1: the gateway says 100 itself, and no backend is taken until the body is here."""
        async with talking(echoing) as (client, gateway, backend):
            client.send("POST /", "Expect: 100-continue", framing)
            interim = await client.read_answer()
            assert 0 == gateway.in_flight
            assert not backend.peers
            client.writer.write(b"body" if framing.startswith("Content") else b"4\r\nbody\r\n0\r\n\r\n")
            final = await client.read_answer()

            assert (interim.status, final.status) == (100, 200)
            assert b"body" == backend.requests[0].body
            assert "expect" not in backend.requests[0].fields

    async def test_body_that_did_not_wait_is_not_asked_for(self) -> None:
        """9110 10.1.1: some of it has come already."""
        async with talking(echoing) as (client, gateway, backend):
            client.writer.write(
                b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbo"
            )
            await until(lambda: any(one.exchange for one in gateway.plane.connections))
            client.writer.write(b"dy")

            assert 200 == (await client.read_answer()).status
            assert b"body" == backend.requests[0].body

    async def test_route_that_answers_by_itself_asks_for_no_body(self) -> None:
        """The final status is known: there is nothing to send the body for."""
        routes = [{"match": {"path": "/{p...}"}, "respond": {"status": 403}}]
        async with talking(echoing, routes=routes) as (client, _, _):
            client.send("POST /", "Expect: 100-continue", "Content-Length: 4")

            assert 403 == (await client.read_answer()).status

    async def test_expectation_of_one_request_is_not_the_next_ones(self) -> None:
        """Fields that are known by heart are written for each version and body anew."""
        head = b"POST / HTTP/1.%d\r\nHost: a\r\nConnection: keep-alive\r\n%bContent-Length: 4\r\n\r\n"
        expects = b"Expect: 100-continue\r\n"
        heads: list[dict[str, str]] = []

        async def script(peer: Peer) -> None:
            while True:
                request = await peer.request_head()
                heads.append(request.fields)
                if "expect" in request.fields:
                    await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                await peer.read_exactly(4)
                await peer.send(OK)

        async with talking(script, limits={"request_buffer": "1B"}) as (client, _, _):
            for minor in (1, 1, 0, 1):
                client.writer.write(head % (minor, expects))
                if minor:
                    assert 100 == (await client.read_answer()).status
                client.writer.write(b"body")
                assert 200 == (await client.read_answer()).status

            assert [True, True, False, True] == ["expect" in fields for fields in heads]

    async def test_who_never_sends_what_it_announced_holds_no_backend_for_long(self) -> None:
        """After `response_head` without a 100 it is 408; after the 100 the rate of the body counts."""
        sections: dict[str, Any] = {"limits": {"request_buffer": "1B"}}

        async def agrees(peer: Peer) -> None:
            await peer.request_head()
            await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            await peer.end()

        async with talking(hanging, **sections) as (client, gateway, backend):
            client.send("POST /", "Expect: 100-continue", "Content-Length: 4")
            await until(lambda: backend.peers)
            gateway.jump(15.1)
            assert 408 == (await client.read_answer()).status
            await until(lambda: not gateway.in_flight)
        async with talking(agrees, **sections) as (client, gateway, _):
            client.send("POST /", "Expect: 100-continue", "Content-Length: 4")
            assert 100 == (await client.read_answer()).status
            gateway.jump(0.1)
            gateway.jump(10.1)
            assert 408 == (await client.read_answer()).status
            await until(lambda: not gateway.in_flight)

    async def test_expectation_of_a_large_body_is_passed_through(self) -> None:
        """`Expect: 100-continue` reaches the backend before the body; its 100 reaches the client."""
        go_on = asyncio.Event()

        async def script(peer: Peer) -> None:
            head = await peer.request_head()
            assert head.fields["expect"] == "100-continue"
            await go_on.wait()
            await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await peer.read_exactly(int(head.fields["content-length"]))
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            await peer.end()

        async with talking(script, limits={"request_buffer": "3B"}) as (client, _, backend):
            client.send("POST /", "Expect: 100-continue", "Content-Length: 4")
            await until(lambda: backend.peers and b"\r\n\r\n" in backend.peers[0].received)
            go_on.set()
            interim = await client.read_answer()
            client.writer.write(b"body")
            final = await client.read_answer()

            assert (interim.status, final.status, final.body) == (100, 200, b"body")

    async def test_refused_expectation_ends_the_connection(self) -> None:
        """A final answer instead of 100: the client learns it at once; its body would be ambiguous."""

        async def script(peer: Peer) -> None:
            await peer.request_head()
            await peer.send(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
            await peer.end()

        async with talking(script, limits={"request_buffer": "3B"}) as (client, gateway, _):
            client.send("POST /", "Expect: 100-continue", "Content-Length: 4")
            answer = await client.read_answer()

            assert (answer.status, answer.fields["connection"]) == (403, "close")
            assert await client.read_end() == b""
            await until(lambda: not gateway.upstream_connections)

    async def test_early_answer_ends_both_connections(self) -> None:
        """A backend that answers before the body has come: the answer is passed on, nothing is reused."""

        async def script(peer: Peer) -> None:
            await peer.request_head()
            await peer.send(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno")
            await peer.end()

        async with talking(script, limits={"request_buffer": "1B"}) as (client, gateway, _):
            client.send("POST /", "Content-Length: 1000000")
            client.writer.write(b"x" * 1000)
            answer = await client.read_answer()

            assert (answer.status, answer.body, answer.fields["connection"]) == (413, b"no", "close")
            await until(lambda: not gateway.upstream_connections)

    async def test_body_and_response_flow_at_the_same_time(self) -> None:
        """A backend may stream its answer while it still reads: both directions flow."""

        async def script(peer: Peer) -> None:
            head = await peer.request_head()
            length = int(head.fields["content-length"])
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
            while length:
                data = await peer.read()
                length -= len(data)
                await peer.send(data)
            await peer.end()

        async with talking(script, limits={"request_buffer": "1B"}) as (client, _, _):
            client.send("POST /", "Content-Length: 5000")
            client.writer.write(b"a" * 1000)
            head = await client.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            for _ in range(4):
                assert await client.reader.readexactly(1000) == b"a" * 1000
                client.writer.write(b"a" * 1000)
            assert await client.reader.readexactly(1000) == b"a" * 1000

    async def test_malformed_chunk_after_the_answer_began_breaks_off(self) -> None:
        """When an answer is under way already, no second one is written into it."""

        async def script(peer: Peer) -> None:
            await peer.request_head()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            await peer.end()

        async with talking(script, limits={"request_buffer": "1B"}) as (client, gateway, _):
            client.send("POST /", "Transfer-Encoding: chunked")
            client.writer.write(b"5\r\nabcde\r\n")
            await client.reader.readuntil(b"\r\n\r\nabc")
            client.writer.write(b"rubbish\r\n")

            assert await client.read_end() == b""
            assert (await gateway.record()).reason == "malformed_chunk"

    async def test_client_that_leaves_while_it_is_held_back(self) -> None:
        """A connection that is not read because of backpressure is looked after: its reset is noticed."""
        sink = Sink()
        sink.may_read.clear()
        async with talking(sink) as (client, gateway, _):
            client.send("POST /", f"Content-Length: {48 * MIB}")
            client.writer.write(BLOCK * 500)
            await until(lambda: any(one.is_reading_paused for one in gateway.plane.connections))
            client.reset()

            await until(lambda: not gateway.in_flight, 1)
            assert (await gateway.record()).reason == "client_left"

    async def test_standstill_of_both_directions_is_cut(self) -> None:
        """A body that nobody takes behind an answer that does not go on ends with `stream_idle`."""

        async def script(peer: Peer) -> None:
            await peer.request_head()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            await peer.has_ended.wait()

        limits = {"minimum_body_rate": "0"}
        async with talking(script, receive_buffer=4096, limits=limits) as (client, gateway, _):
            client.send("POST /", f"Content-Length: {48 * MIB}")
            client.writer.write(BLOCK * 500)
            await until(lambda: any(one.is_reading_paused for one in gateway.plane.connections))
            await client.reader.readuntil(b"\r\n\r\nabc")
            gateway.jump(61)
            gateway.jump(61)

            await until(lambda: not gateway.in_flight, 1)
            assert (await gateway.record()).reason == "stream_idle"

    async def test_client_that_leaves_while_sending_frees_the_backend(self) -> None:
        """A request that never becomes whole is cut at the backend too."""
        async with talking(Sink(), limits={"request_buffer": "1B"}) as (client, gateway, backend):
            client.send("POST /", "Content-Length: 1000")
            client.writer.write(b"abc")
            await until(lambda: gateway.in_flight)
            client.writer.transport.abort()
            await until(backend.peers[0].has_ended.is_set)

            assert (await gateway.record()).reason == "client_left"
            assert gateway.in_flight == 0
