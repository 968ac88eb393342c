"""Ends that nobody wished for: clients that leave, and every deadline."""

import asyncio
import json

import pytest

from tests.fakes.backend import OK, Peer, answering, hanging
from tests.fakes.gateway import Gateway, balancing, talking
from tests.fakes.raw_client import RawClient
from tests.fakes.waiting import until

GET = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"


class Held:
    """A backend that holds each answer until it is told to give it."""

    def __init__(self, answer: bytes = OK) -> None:
        self.may_answer = asyncio.Event()
        self.answer = answer

    async def __call__(self, peer: Peer) -> None:
        while True:
            await peer.request()
            await self.may_answer.wait()
            await peer.send(self.answer)


async def reason_of(client: RawClient) -> tuple[int, str]:
    """Give status and reason of an answer of the gateway's own."""
    answer = await client.read_answer()
    return answer.status, json.loads(answer.body)["reason"]


class TestClientThatLeaves:
    async def test_finish_keeps_the_attempt_counted(self) -> None:
        """`on_abandon: finish`: the backend works on, so it stays in flight until it answers."""
        held = Held()
        async with talking(held, pool={"on_abandon": "finish"}) as (client, gateway, backend):
            client.send("GET /")
            await until(lambda: backend.requests)
            client.reset()
            await until(lambda: not gateway.plane.connections)

            assert gateway.in_flight == 1
            held.may_answer.set()
            await until(lambda: not gateway.in_flight)
            record = await gateway.record()
            assert record.reason == "client_left"
            assert gateway.upstream_connections == 1
            assert gateway.delta.errors == {}

    async def test_cancel_closes_the_connection(self) -> None:
        """`on_abandon: cancel`: the backend learns at once that nobody waits."""
        async with talking(hanging, pool={"on_abandon": "cancel"}) as (client, gateway, backend):
            client.send("GET /")
            await until(lambda: gateway.in_flight)
            client.reset()
            await until(lambda: backend.peers and backend.peers[0].has_ended.is_set())
            record = await gateway.record()

            assert (record.status, record.reason) == (499, "client_left")
            assert gateway.in_flight == 0

    async def test_cancel_takes_an_end_of_file_for_leaving(self) -> None:
        """With `cancel` a half-closed client counts as gone: the bytes on the wire are the same."""
        async with talking(hanging, pool={"on_abandon": "cancel"}) as (client, gateway, _):
            client.send("GET /")
            await until(lambda: gateway.in_flight)
            client.writer.write_eof()

            assert await client.read_end() == b""
            assert gateway.in_flight == 0

    async def test_abandoned_attempt_ends_with_its_deadline(self) -> None:
        """An abandoned attempt does not outlive `response_head`; the record says that the client left."""
        async with talking(hanging) as (client, gateway, _):
            client.send("GET /")
            await until(lambda: gateway.in_flight)
            client.reset()
            await until(lambda: gateway.plane.abandoned)
            gateway.jump(16)
            record = await gateway.record()

            assert (record.status, record.reason) == (499, "client_left")
            assert gateway.in_flight == 0
            assert gateway.delta.errors == {}

    async def test_abandoned_stream_is_cut_when_it_begins(self) -> None:
        """A response without end is not read for nobody."""
        may_begin = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await may_begin.wait()
            await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
            while not peer.has_ended.is_set():
                await peer.send(b"data: x\n\n")
                await asyncio.sleep(0.001)

        async with talking(script) as (client, gateway, backend):
            client.send("GET /")
            await until(lambda: backend.requests)
            client.reset()
            await until(lambda: gateway.plane.abandoned)
            may_begin.set()

            await until(lambda: not gateway.in_flight)
            await until(lambda: not gateway.upstream_connections)

    @pytest.mark.parametrize(("size", "is_kept"), [(100_000, True), (1_000_000, False)])
    async def test_rest_of_a_short_response_is_read(self, size: int, is_kept: bool) -> None:
        """A rest that fits into the response buffer is read, else the backend is cut."""
        may_end = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nx" % size)
            await may_end.wait()
            await peer.send(b"x" * (size - 1))
            await peer.end()

        async with talking(script) as (client, gateway, _):
            client.send("GET /")
            await client.reader.readuntil(b"\r\n\r\n")
            client.reset()
            await until(lambda: not gateway.plane.connections)
            may_end.set()
            await until(lambda: not gateway.in_flight)

            assert gateway.upstream_connections == is_kept
            assert (await gateway.record()).reason == "client_left"

    async def test_pipelined_requests_go_with_the_client(self) -> None:
        """Requests that waited for their turn are dropped with their connection."""
        held = Held()
        async with talking(held) as (client, gateway, backend):
            client.writer.write(GET * 5)
            await until(lambda: backend.requests)
            client.reset()
            await until(lambda: not gateway.plane.connections)
            held.may_answer.set()
            await until(gateway.is_quiet)

            assert len(backend.requests) == 1


class TestDeadlines:
    async def test_request_head(self) -> None:
        """From the first byte of a request to the end of its head; then 408."""
        async with talking(answering(OK), timeouts={"request_head": "200ms"}) as (client, gateway, backend):
            assert (await client.ask("GET /")).status == 200
            client.writer.write(b"GET / HT")

            assert await reason_of(client) == (408, "request_timeout")
            assert await client.read_end() == b""
            assert len(backend.requests) == 1
            assert (await gateway.record(1)).reason == "request_timeout"

    async def test_dripping_head(self) -> None:
        """Bytes that drip in do not move the deadline of a head."""
        async with talking(answering(OK), timeouts={"request_head": "300ms"}) as (client, _, _):
            for octet in GET[:20]:
                client.writer.write(bytes((octet,)))
                await asyncio.sleep(0.03)

            assert await reason_of(client) == (408, "request_timeout")

    async def test_client_idle(self) -> None:
        """Between two requests, and before the first; the connection is closed without a word."""
        async with talking(answering(OK)) as (client, gateway, _), gateway.client() as silent:
            assert (await client.ask("GET /")).status == 200
            await until(lambda: len(gateway.plane.connections) == 2)
            gateway.jump(74)
            assert (await client.ask("GET /")).status == 200
            gateway.jump(74)
            assert await silent.read_end() == b""
            assert (await client.ask("GET /")).status == 200
            gateway.jump(76)
            assert await client.read_end() == b""

    async def test_response_head(self) -> None:
        """From the request sent to the response head; then 504, and no retry: it may have been executed."""
        pool = {"on_abandon": "cancel"}
        async with talking(hanging, pool=pool, timeouts={"response_head": "200ms"}) as (
            client,
            gateway,
            backend,
        ):
            client.send("GET /")

            assert await reason_of(client) == (504, "response_timeout")
            assert len(backend.peers) == 1
            assert gateway.in_flight == 0
            assert [(one.failures, one.kind) for one in gateway.evidence] == [(1, "http_response_timeout")]
            await until(backend.peers[0].has_ended.is_set)
            assert (await gateway.record()).outcomes == (("b0", "http_response_timeout"),)

    async def test_timed_out_attempt_stays_counted(self) -> None:
        """With `finish` the client has its 504, but the backend works on and stays in flight."""
        held = Held()
        async with talking(held, timeouts={"response_head": "200ms"}) as (client, gateway, backend):
            client.send("GET /1")
            assert await reason_of(client) == (504, "response_timeout")

            assert gateway.in_flight == 1
            assert (await gateway.record()).duration < 1
            held.may_answer.set()
            await until(lambda: not gateway.in_flight)
            assert (await client.ask("GET /2")).status == 200
            assert len(backend.peers) == 1
            assert len(gateway.records) == 2

    @pytest.mark.parametrize("late", [(OK,), (OK[:-1], OK[-1:])])
    async def test_late_answer_of_a_timed_out_attempt_is_no_success(self, late: tuple[bytes, ...]) -> None:
        """What there was to say of its backend was said, in however many pieces the answer comes."""
        may_answer = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await may_answer.wait()
            await peer.send(*late)
            await peer.end()

        async with talking(script, timeouts={"response_head": "200ms"}) as (client, gateway, _):
            client.send("GET /")
            assert await reason_of(client) == (504, "response_timeout")
            (member,) = gateway.plane.pools["pcs"].balancer.members
            may_answer.set()
            await until(lambda: not gateway.in_flight)

            assert (member.successes, member.consecutive_failures) == (0, 1)

    async def test_timed_out_attempt_is_cut_in_the_end(self) -> None:
        """A backend that hangs for good is not counted for good: `stream_idle` ends that too."""
        timeouts = {"response_head": "200ms", "stream_idle": "20s"}
        async with talking(hanging, timeouts=timeouts) as (client, gateway, backend):
            client.send("GET /")
            assert await reason_of(client) == (504, "response_timeout")
            assert gateway.in_flight == 1
            gateway.jump(19)
            assert gateway.in_flight == 1
            gateway.jump(2)

            assert gateway.in_flight == 0
            await until(backend.peers[0].has_ended.is_set)
            assert len(gateway.records) == 1

    async def test_timed_out_attempt_whose_backend_dies(self) -> None:
        """When its connection is lost the lease ends, once, and nobody is told twice."""
        async with talking(hanging, timeouts={"response_head": "200ms"}) as (client, gateway, backend):
            client.send("GET /")
            assert await reason_of(client) == (504, "response_timeout")
            backend.peers[0].reset()
            await until(lambda: not gateway.in_flight)

            assert (await gateway.record()).status == 504
            assert len(gateway.evidence) == 1

    async def test_request_total(self) -> None:
        """Attempts and waiting together: 504 when the whole takes too long."""
        timeouts = {"response_head": "10s", "request_total": "200ms"}
        async with talking(hanging, pool={"on_abandon": "cancel"}, timeouts=timeouts) as (client, gateway, _):
            client.send("GET /")

            assert await reason_of(client) == (504, "total_timeout")
            assert gateway.in_flight == 0
            assert [(one.failures, one.kind) for one in gateway.evidence] == [(1, "http_response_timeout")]

    async def test_request_total_of_an_attempt_that_began_late(self) -> None:
        """A backend that had a part of the time only is not to blame."""
        may_reset = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await may_reset.wait()
            peer.reset()

        pool = {
            "on_abandon": "cancel",
            "strategy": "least_connections",
            "retry": {"on": ["reset_before_response"], "backoff": {"base": "1ms"}},
        }
        timeouts = {"response_head": "15s", "request_total": "10s"}
        async with balancing(script, hanging, pool=pool, timeouts=timeouts) as (
            client,
            gateway,
            (first, second),
        ):
            client.send("GET /")
            await until(lambda: first.requests)
            gateway.jump(6)
            may_reset.set()
            await until(lambda: second.peers and second.peers[0].received)
            gateway.jump(5)

            assert await reason_of(client) == (504, "total_timeout")
            assert [(one.backend, one.kind) for one in gateway.evidence if one.failures] == [
                ("b0", "connection_terminated")
            ]

    async def test_request_total_begins_with_the_complete_request(self) -> None:
        """A client that sends slowly does not use up the time of the backend."""
        async with talking(answering(OK), timeouts={"request_total": "200ms"}) as (client, _, _):
            client.send("POST /", "Content-Length: 4")
            for _ in range(4):
                await asyncio.sleep(0.1)
                client.writer.write(b"x")

            assert (await client.read_answer()).status == 200

    async def test_route_has_its_own_timeouts(self) -> None:
        """A timeout on a route counts there only."""
        routes = [
            {"match": {"path": "/slow"}, "timeouts": {"response_head": "10s"}},
            {"match": {"path": "/{path...}"}},
        ]
        held = Held()
        async with talking(held, routes=routes, timeouts={"response_head": "200ms"}) as (client, _, _):
            client.send("GET /slow")
            await asyncio.sleep(0.4)
            held.may_answer.set()
            assert (await client.read_answer()).status == 200

            held.may_answer.clear()
            client.send("GET /other")
            assert await reason_of(client) == (504, "response_timeout")
            held.may_answer.set()

    async def test_stream_idle_of_a_response(self) -> None:
        """A body that stops in the middle breaks off; a body that flows does not, however long it takes."""

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
            for _ in range(6):
                await asyncio.sleep(0.1)
                await peer.send(b"x")
            await peer.end()

        async with talking(script, timeouts={"stream_idle": "300ms"}) as (client, gateway, _):
            client.send("GET /")
            await client.reader.readuntil(b"\r\n\r\n")

            assert await client.read_end() == b"xxxxxx"
            record = await gateway.record()
            assert (record.status, record.reason) == (200, "stream_idle")
            assert record.duration > 0.8

    @pytest.mark.parametrize("buffer", ["64KiB", "1B"])
    async def test_stream_idle_of_a_request(self, buffer: str) -> None:
        """A request body that stops in the middle is 408, whether a backend is engaged or not."""
        limits = {"request_buffer": buffer}
        timeouts = {"stream_idle": "200ms"}
        async with talking(hanging, limits=limits, timeouts=timeouts) as (client, gateway, _):
            client.send("POST /", "Content-Length: 10")
            client.writer.write(b"abc")

            assert await reason_of(client) == (408, "request_timeout")
            assert await client.read_end() == b""
            assert gateway.in_flight == 0


class TestMinimumBodyRate:
    @pytest.mark.parametrize("buffer", ["64KiB", "1B"])
    async def test_slower_body_is_refused(self, buffer: str) -> None:
        """Less than `minimum_body_rate` over ten seconds is 408."""
        limits = {"request_buffer": buffer, "minimum_body_rate": "10B/s"}
        async with talking(hanging, limits=limits) as (client, gateway, _):
            client.send("POST /", "Content-Length: 1000")
            client.writer.write(b"x" * 99)
            await until(lambda: _received(gateway) == 99)
            gateway.jump(10)

            assert await reason_of(client) == (408, "request_timeout")
            assert gateway.in_flight == 0

    async def test_faster_body_is_not(self) -> None:
        """Each ten seconds are judged by themselves."""
        async with talking(answering(OK), limits={"minimum_body_rate": "10B/s"}) as (client, gateway, _):
            client.send("POST /", "Content-Length: 360")
            for number in range(1, 4):
                client.writer.write(b"x" * 120)
                await until(lambda: gateway.records or _received(gateway) == number * 120)  # noqa: B023
                gateway.jump(10.5)

            assert (await client.read_answer()).status == 200

    async def test_backpressure_is_not_slowness(self) -> None:
        """A body that the backend does not take is not the client's fault, nor is what comes right after."""
        go_on = asyncio.Event()

        async def script(peer: Peer) -> None:
            head = await peer.request_head()
            await go_on.wait()
            await peer.read_exactly(int(head.fields["content-length"]))
            await peer.send(OK)
            await peer.end()

        size = 24 << 20
        limits = {"minimum_body_rate": "1MiB/s"}
        async with talking(script, limits=limits, timeouts={"stream_idle": "1h"}) as (client, gateway, _):
            client.send("POST /", f"Content-Length: {size}")
            client.writer.write(b"x" * size)
            await until(lambda: any(one.is_reading_paused for one in gateway.plane.connections))
            for _ in range(3):
                gateway.jump(9)
            go_on.set()

            assert (await client.read_answer()).status == 200

    async def test_slow_body_behind_a_begun_answer_breaks_off(self) -> None:
        """No 408 is written into an answer that is under way."""

        async def script(peer: Peer) -> None:
            await peer.request_head()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            await peer.end()

        async with talking(script, limits={"request_buffer": "1B"}) as (client, gateway, _):
            client.send("POST /", "Content-Length: 10000")
            client.writer.write(b"abc")
            await client.reader.readuntil(b"\r\n\r\nabc")
            gateway.jump(11)

            assert await client.read_end() == b""
            assert (await gateway.record()).reason == "request_timeout"


def _received(gateway: Gateway) -> int:
    """Body bytes of the only exchange."""
    bodies = [one.exchange.body for one in gateway.plane.connections if one.exchange is not None]
    return sum(body.received for body in bodies if body is not None)


class TestOwnTime:
    """`gateway_time` is the gateway's own share: whoever else is waited for does not count in it."""

    async def test_backend_of_a_client_that_left(self) -> None:
        """The request had been sent."""
        async with talking(hanging, pool={"on_abandon": "cancel"}) as (client, gateway, backend):
            client.send("GET /")
            await until(lambda: backend.peers)
            gateway.jump(5.0)
            client.reset()

            record = await gateway.record()
            assert "client_left" == record.reason
            assert record.duration > 5.0
            assert 0.0 <= record.gateway_time < 1.0

    async def test_body_that_does_not_come(self) -> None:
        """408 after ten seconds."""
        async with talking(hanging) as (client, gateway, _):
            client.send("POST /", "Content-Length: 10")
            await until(lambda: any(one.exchange for one in gateway.plane.connections))
            gateway.jump(10.1)
            assert 408 == (await client.read_answer()).status

            record = await gateway.record()
            assert record.duration > 10.0
            assert 0.0 <= record.gateway_time < 1.0

    async def test_lease_that_is_waited_for(self) -> None:
        """In the queue."""
        held = Held()
        pool = {"connections": {"max_per_backend": 1}, "queue": {"timeout": "20s", "overload_timeout": "20s"}}
        async with talking(held, pool=pool) as (client, gateway, _), gateway.client() as second:
            client.send("GET /")
            await until(lambda: gateway.in_flight)
            second.send("GET /")
            await until(lambda: gateway.waiting)
            gateway.jump(5.0)
            held.may_answer.set()
            assert [200, 200] == [(await one.read_answer()).status for one in (client, second)]

            record = await gateway.record(1)
            assert record.duration > 5.0
            assert 0.0 <= record.gateway_time < 1.0
