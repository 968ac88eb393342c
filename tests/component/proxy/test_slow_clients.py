"""Clients that take their time: each way of it is bounded, holds no backend, and leaves others unharmed."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.fakes.backend import OK, Peer, ScriptedBackend, answering, echoing
from tests.fakes.gateway import Gateway, one_pool, talking
from tests.fakes.raw_client import RawClient
from tests.fakes.waiting import until

MIB = 1 << 20
NOBODY: dict[str, Any] = {"trusted_proxies": []}


async def has_come(gateway: Gateway, count: int) -> None:
    """Wait until so many bytes of a head have come."""
    await until(lambda: count == sum(len(one._pending) for one in gateway.plane.connections))


class TestSlowHeads:
    async def test_dripping_is_ended_from_the_first_byte_on(self) -> None:
        """A byte each second does not move the deadline: after `request_head` comes 408, and the end."""
        async with talking(echoing) as (client, gateway, backend):
            for count, octet in enumerate(b"GET / HTTP/1", 1):
                client.writer.write(bytes((octet,)))
                await has_come(gateway, count)
                gateway.jump(0.9)
            answer = await client.read_answer()

            assert (408, "close") == (answer.status, answer.fields["connection"])
            assert b"request_timeout" in answer.body
            assert b"" == await client.read_end()
            assert not backend.peers
            assert "request_timeout" == (await gateway.record()).reason

    async def test_dripping_empty_lines_is_idleness(self) -> None:
        """They begin no request, so the connection ends with `client_idle`."""
        async with talking(echoing) as (client, gateway, _):
            for _ in range(5):
                client.writer.write(b"\r\n")
                await client.writer.drain()
                await asyncio.sleep(0.01)
                gateway.jump(20)

            assert b"" == await client.read_end()

    async def test_the_next_head_on_a_connection_is_bounded_too(self) -> None:
        """After an answer the same holds."""
        async with talking(echoing) as (client, gateway, _):
            await client.ask("GET /")
            client.writer.write(b"GE")
            await until(lambda: any(one._pending for one in gateway.plane.connections))
            gateway.jump(10.5)

            assert 408 == (await client.read_answer()).status

    @pytest.mark.parametrize("before", [b"", b"\r\n", b"\r\n\r\n"])
    async def test_each_head_is_judged_from_its_own_beginning(self, before: bytes) -> None:
        """What was known of one that came octet by octet says nothing of the next, however that comes."""
        async with talking(echoing) as (client, gateway, _):
            head = b"GET / HTTP/1.1\r\nHost: sample.test\r\n\r\n"
            for count, octet in enumerate(head[:-1], 1):
                client.writer.write(bytes((octet,)))
                await has_come(gateway, count)
            client.writer.write(head[-1:])
            assert 200 == (await client.read_answer()).status

            for octet in before:
                client.writer.write(bytes((octet,)))
                # the last octet of an empty line makes nothing of it
                await has_come(gateway, int(octet == ord("\r")))
            client.writer.write(b"G")
            await has_come(gateway, 1)
            client.writer.write(b"ET / HTTP/1.1\nHo")

            assert b'"bare_line_end"' in (await client.read_answer()).body


class TestSlowBodies:
    async def test_dripping_body_is_ended(self) -> None:
        """Less than `minimum_body_rate` over ten seconds: 408, and no backend was ever engaged."""
        async with talking(echoing) as (client, gateway, backend):
            client.send("POST /", "Content-Length: 100000")
            for _ in range(11):
                client.writer.write(b"x" * 100)
                await client.writer.drain()
                await asyncio.sleep(0.005)
                gateway.jump(1)
            answer = await client.read_answer()

            assert (408, "close") == (answer.status, answer.fields["connection"])
            assert not backend.peers

    async def test_fast_enough_body_goes_on(self) -> None:
        """Just above the rate it may take its time."""
        async with talking(echoing) as (client, gateway, _):
            client.send("POST /", "Content-Length: 22000")
            for _ in range(20):
                client.writer.write(b"x" * 1100)
                await client.writer.drain()
                await asyncio.sleep(0.005)
                gateway.jump(1)

            assert 200 == (await client.read_answer()).status

    async def test_slow_streamed_body_frees_its_backend(self) -> None:
        """A body beyond the request buffer holds a lease, but not for longer than the rate allows."""

        async def script(peer: Peer) -> None:
            await peer.end()

        async with talking(script, limits={"request_buffer": "1KiB"}) as (client, gateway, _):
            client.send("POST /", "Content-Length: 100000")
            client.writer.write(b"x" * 2000)
            await until(lambda: gateway.in_flight == 1)
            gateway.jump(10.5)

            assert 408 == (await client.read_answer()).status
            assert 0 == gateway.in_flight


class Source:
    """A backend that answers with a body of some size and knows when it is rid of it."""

    def __init__(self, size: int) -> None:
        self.size = size

    async def __call__(self, peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self.size + bytes(self.size))


def reader(port: int) -> socket.socket:
    """A client that has asked, and reads only when it is told to."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.setblocking(False)
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    return client


class TestSlowReaders:
    async def test_reading_a_byte_a_second_is_ended(self) -> None:
        """Slower than `minimum_body_rate`, the exchange ends with its own reason and its backend is free."""
        timeouts = {"stream_idle": "10m"}
        async with talking(Source(32 * MIB), timeouts=timeouts) as (_, gateway, _):
            with reader(gateway.port) as client:
                await until(
                    lambda: any(one.exchange and one.exchange.is_paused for one in gateway.plane.connections)
                )
                for _ in range(70):
                    gateway.jump(1)
                    await asyncio.get_running_loop().sock_recv(client, 1)
                record = await gateway.record()

                assert "client_too_slow" == record.reason
                assert 0 == gateway.in_flight

    async def test_reading_in_steps_is_judged_over_a_step(self) -> None:
        """Kernels make room in steps: who takes 64 KiB each minute reads a KiB a second."""
        timeouts = {"stream_idle": "10m"}
        async with talking(Source(32 * MIB), timeouts=timeouts) as (_, gateway, _):
            with reader(gateway.port) as client:
                await until(
                    lambda: any(one.exchange and one.exchange.is_paused for one in gateway.plane.connections)
                )
                for _ in range(4):
                    taken = 0
                    while taken < 128 * 1024:
                        taken += len(await asyncio.get_running_loop().sock_recv(client, 65536))
                    await asyncio.sleep(0.01)
                    for _ in range(60):
                        gateway.jump(1)

                assert [] == gateway.records
                assert 1 == gateway.in_flight

    async def test_any_speed_is_right_with_a_rate_of_nothing(self) -> None:
        """`minimum_body_rate: 0` leaves the bound to `stream_idle`."""
        sections: dict[str, Any] = {"timeouts": {"stream_idle": "10m"}, "limits": {"minimum_body_rate": "0"}}
        async with talking(Source(32 * MIB), **sections) as (_, gateway, _):
            with reader(gateway.port):
                await until(
                    lambda: any(one.exchange and one.exchange.is_paused for one in gateway.plane.connections)
                )
                for _ in range(200):
                    gateway.jump(1)

                assert [] == gateway.records

    async def test_an_answer_that_nobody_takes_is_dropped_in_the_end(self) -> None:
        """The backend is rid of it at once, the client's connection ends after idleness and two windows."""
        sections: dict[str, Any] = {"timeouts": {"stream_idle": "10m"}, "limits": {"response_buffer": "8MiB"}}
        async with talking(Source(7 * MIB), **sections) as (client, gateway, _):
            with reader(gateway.port):
                assert 200 == (await gateway.record()).status
                assert 0 == gateway.in_flight
                for _ in range(75 + 2 * 64 + 5):
                    gateway.jump(1)
                client.writer.close()

                await until(lambda: not gateway.plane.connections)


async def drip(client: RawClient, data: bytes) -> None:
    """Send a byte now and then, until cancelled or cut off."""
    for octet in data:
        client.writer.write(bytes((octet,)))
        await asyncio.sleep(0.2)


@asynccontextmanager
async def five_hundred_slow_clients(gateway: Gateway) -> AsyncIterator[list[RawClient]]:
    """Hold 125 slow heads, as many slow bodies, slow readers and idle connections."""
    async with AsyncExitStack() as stack:
        readers = [stack.enter_context(reader(gateway.port)) for _ in range(125)]
        clients = [await stack.enter_async_context(gateway.client()) for _ in range(375)]
        heads, bodies, idle = clients[:125], clients[125:250], clients[250:]
        for client in bodies:
            client.send("POST /", "Content-Length: 60000")
        for client in idle:
            await client.ask("GET /idle")
        slow = [drip(client, b"GET /slow HTTP/1.1\r\nHost: a\r\n" * 9) for client in heads]
        slow += [drip(client, b"x" * 300) for client in bodies]
        tasks = [asyncio.ensure_future(one) for one in slow]
        try:
            yield clients
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for one in readers:
                one.close()


async def test_five_hundred_slow_clients_leave_normal_traffic_unharmed() -> None:
    """Every request of a normal client is answered, by a pool of four leases that nobody slow holds."""
    large = b"x" * (64 << 10)

    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            body = large if request.target == "/" and request.method == "GET" else b"ok"
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    pool = {"connections": {"max_per_backend": 4}}
    async with (
        ScriptedBackend(script) as backend,
        Gateway(one_pool(backend.url, pool=pool)) as gateway,
        five_hundred_slow_clients(gateway),
        gateway.client() as normal,
    ):
        await until(lambda: len(gateway.plane.connections) == 501 and not gateway.in_flight)
        statuses: Counter[int] = Counter()
        for number in range(200):
            statuses[(await normal.ask(f"GET /{number + 1}")).status] += 1
            if number % 10 == 0:
                async with gateway.client() as new:
                    statuses[(await new.ask("POST /new", body=b"x" * 1000)).status] += 1

        assert Counter({200: 220}) == statuses
        assert 0 == gateway.waiting
        assert {""} == {record.reason for record in gateway.records}


class TestConnectionsPerClient:
    async def test_more_are_refused_with_an_answer(self) -> None:
        """429 with the reason, and the connection ends; those that were there go on."""
        sections: dict[str, Any] = {"limits": {"connections_per_client": 2}, "forwarding": NOBODY}
        async with talking(echoing, **sections) as (first, gateway, _), gateway.client() as second:
            assert [200, 200] == [(await one.ask("GET /")).status for one in (first, second)]
            async with gateway.client() as third:
                answer = await third.read_answer()

                assert (429, "close") == (answer.status, answer.fields["connection"])
                assert b"too_many_connections" in answer.body
                assert b"" == await third.read_end()
            assert [200, 200] == [(await one.ask("GET /")).status for one in (first, second)]
            assert 1 == gateway.delta.reasons["too_many_connections"]

    async def test_a_place_that_is_left_is_free(self) -> None:
        """Who closes a connection may open another."""
        sections: dict[str, Any] = {"limits": {"connections_per_client": 1}, "forwarding": NOBODY}
        async with talking(echoing, **sections) as (first, gateway, _):
            await first.ask("GET /")
            first.writer.close()
            await until(lambda: not gateway.plane.connections)
            async with gateway.client() as second:
                assert 200 == (await second.ask("GET /")).status

    async def test_twice_as_many_are_closed_unanswered(self) -> None:
        """A flood costs an accept and a close; it is counted, with status 0."""
        sections: dict[str, Any] = {"limits": {"connections_per_client": 1}, "forwarding": NOBODY}
        async with talking(echoing, **sections) as (first, gateway, _), gateway.client() as second:
            await first.ask("GET /")
            assert 429 == (await second.read_answer()).status
            async with gateway.client() as third:
                assert b"" == await third.read_end()
            statuses = [
                record.status for record in gateway.records if record.reason == "too_many_connections"
            ]

            assert [429, 0] == statuses

    async def test_trusted_proxies_are_many_clients(self) -> None:
        """Their connections are not counted."""
        limits = {"connections_per_client": 1}
        async with talking(echoing, limits=limits) as (first, gateway, _), gateway.client() as second:
            assert [200, 200] == [(await one.ask("GET /")).status for one in (first, second)]

    async def test_other_addresses_have_their_own(self) -> None:
        """One client's connections take nobody else's places."""
        sections: dict[str, Any] = {"limits": {"connections_per_client": 1}, "forwarding": NOBODY}
        async with talking(echoing, **sections) as (first, gateway, _):
            await first.ask("GET /")
            with socket.create_connection(
                ("127.0.0.1", gateway.port), source_address=("127.0.0.2", 0)
            ) as other:
                other.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(other, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert (await loop.sock_recv(other, 100)).startswith(b"HTTP/1.1 200")

    async def test_workers_count_together(self) -> None:
        """What a client holds to another worker counts here."""
        async with AsyncExitStack() as stack:
            backend = await stack.enter_async_context(ScriptedBackend(echoing))
            sections: dict[str, Any] = {"limits": {"connections_per_client": 1}, "forwarding": NOBODY}
            one = await stack.enter_async_context(Gateway(one_pool(backend.url, **sections)))
            other = await stack.enter_async_context(Gateway(one_pool(backend.url, **sections), beside=one))
            first = await stack.enter_async_context(one.client())
            await first.ask("GET /")
            second = await stack.enter_async_context(other.client())

            assert 429 == (await second.read_answer()).status

    async def test_a_reload_counts_those_that_are_open(self) -> None:
        """They stay, and leave without being counted twice; a cap that is gone holds nobody."""
        capped: dict[str, Any] = {"limits": {"connections_per_client": 1}, "forwarding": NOBODY}
        async with talking(echoing, forwarding=NOBODY) as (first, gateway, backend):
            await first.ask("GET /")
            gateway.reload(one_pool(backend.url, **capped))
            async with gateway.client() as second:
                assert 429 == (await second.read_answer()).status
            await until(lambda: len(gateway.plane.connections) == 1)
            gateway.reload(one_pool(backend.url, forwarding=NOBODY))
            async with gateway.client() as third:
                assert [200, 200] == [(await one.ask("GET /")).status for one in (first, third)]
            gateway.reload(one_pool(backend.url, **capped))
            first.writer.close()
            await until(lambda: not gateway.plane.connections)
            async with gateway.client() as fourth:
                assert 200 == (await fourth.ask("GET /")).status

    async def test_a_reload_touches_no_count_that_stays(self) -> None:
        """Other workers read meanwhile; only who becomes a trusted proxy, or ceases to be one, changes."""
        limits = {"connections_per_client": 5}
        async with talking(echoing, limits=limits, forwarding=NOBODY) as (client, gateway, backend):
            await client.ask("GET /")
            counts = gateway.plane.connections._counts
            (cells,) = gateway.plane.connections._counted.values()
            watched = counts._own = WatchedCells(counts._own)  # type: ignore[assignment]
            held = []
            for forwarding in (NOBODY, {"trusted_proxies": ["127.0.0.1"]}, NOBODY):
                gateway.reload(one_pool(backend.url, limits={**limits}, forwarding=forwarding))
                held.append((counts.held(cells), len(watched.written)))

            assert [(1, 0), (0, 2), (1, 4)] == held


class WatchedCells:
    """Cells of a row that remember what was written."""

    def __init__(self, cells: memoryview) -> None:
        self._cells = cells
        self.written: list[int] = []

    def __getitem__(self, cell: int) -> int:
        return self._cells[cell]

    def __setitem__(self, cell: int, value: int) -> None:
        self.written.append(value)
        self._cells[cell] = value


class TestRoom:
    async def test_longest_idle_make_room(self) -> None:
        """At `limits.connections` the connection that was idle for longest is closed for a new one."""
        async with talking(echoing, limits={"connections": 2}) as (first, gateway, _):
            await first.ask("GET /1")
            gateway.jump(2)
            async with gateway.client() as second, gateway.client() as third:
                await second.ask("GET /2")

                assert 200 == (await third.ask("GET /3")).status
                assert b"" == await first.read_end()
                assert 200 == (await second.ask("GET /2")).status

    @pytest.mark.parametrize(
        "sent", [b"GET /1 HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"]
    )
    async def test_who_has_begun_keeps_its_place(self, sent: bytes) -> None:
        """A connection with part of a request is not idle; new clients wait, and are served later."""
        async with talking(echoing, limits={"connections": 1}) as (first, gateway, _):
            first.writer.write(sent)
            await until(lambda: any(not one.is_idle for one in gateway.plane.connections))
            gateway.jump(5)
            async with gateway.client() as second:
                second.send("GET /2")
                await asyncio.sleep(0.1)
                assert [first.writer.get_extra_info("sockname")] == [
                    one.transport.get_extra_info("peername") for one in gateway.plane.connections
                ]
                first.writer.close()

                assert 200 == (await second.read_answer()).status

    async def test_who_was_active_just_now_keeps_its_place(self) -> None:
        """A second of idleness is nothing: a client that pauses shortly does not lose its connection."""
        async with talking(echoing, limits={"connections": 1}) as (first, gateway, _):
            await first.ask("GET /1")
            async with gateway.client() as second:
                second.send("GET /2")
                await asyncio.sleep(0.1)

                assert 200 == (await first.ask("GET /1")).status
                gateway.jump(2)
                assert 200 == (await second.read_answer()).status


async def test_flood_of_connects_from_one_address_leaves_others_room() -> None:
    """While one address connects as fast as it can, another's requests on new connections are answered."""
    sections: dict[str, Any] = {
        "limits": {"connections_per_client": 20},
        "forwarding": {"trusted_proxies": []},
    }
    async with (
        ScriptedBackend(answering(OK)) as backend,
        Gateway(one_pool(backend.url, **sections)) as gateway,
    ):
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        tried = 0

        async def flood() -> None:
            nonlocal tried
            held: list[socket.socket] = []
            while not stop.is_set():
                one = socket.socket()
                one.setblocking(False)
                one.bind(("127.0.0.2", 0))
                await loop.sock_connect(one, ("127.0.0.1", gateway.port))
                held.append(one)
                tried += 1
                if len(held) > 50:
                    held.pop(0).close()
            for one in held:
                one.close()

        flooding = [asyncio.ensure_future(flood()) for _ in range(4)]
        await until(lambda: tried > 200)
        statuses: Counter[int] = Counter()
        for _ in range(50):
            async with gateway.client() as client:
                statuses[(await client.ask("GET /")).status] += 1
        most = max(sum(one.client.address == "127.0.0.2" for one in gateway.plane.connections), 1)
        stop.set()
        await asyncio.gather(*flooding)

        assert Counter({200: 50}) == statuses
        # at twice the cap, and those few whose accepting was under way
        assert most <= 2 * 20 + 8
        assert tried > 250
