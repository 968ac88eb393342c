"""What happens at the limits: waiting for a lease, first come first served, and pooled connections."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.fakes.backend import OK, Peer, answering, echoing, hanging
from tests.fakes.gateway import Gateway, balancing, one_pool, talking
from tests.fakes.raw_client import RawClient
from tests.fakes.waiting import until

ONE_AT_A_TIME: dict[str, Any] = {"connections": {"max_per_backend": 1}}


class Slots:
    """A backend that answers a request, with its target, for each time it is released."""

    def __init__(self) -> None:
        self.released = asyncio.Semaphore(0)
        self.order: list[str] = []

    async def __call__(self, peer: Peer) -> None:
        while True:
            request = await peer.request()
            self.order.append(request.target)
            await self.released.acquire()
            body = request.target.encode()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


async def clients(stack: AsyncExitStack, gateway: Gateway, count: int) -> list[RawClient]:
    """Connect some clients."""
    return [await stack.enter_async_context(gateway.client()) for _ in range(count)]


class TestQueue:
    async def test_first_come_first_served(self) -> None:
        """At the limit requests wait, and leave the queue in the order of their coming."""
        slots = Slots()
        async with talking(slots, pool=ONE_AT_A_TIME) as (_, gateway, _), AsyncExitStack() as stack:
            everyone = await clients(stack, gateway, 8)
            for number, client in enumerate(everyone):
                client.send(f"GET /{number}")
                await until(lambda: gateway.in_flight + gateway.waiting == number + 1)  # noqa: B023
            assert (gateway.in_flight, gateway.waiting) == (1, 7)
            for client in everyone:
                slots.released.release()
                assert (await client.read_answer()).status == 200

            assert slots.order == [f"/{number}" for number in range(8)]

    async def test_limit_is_never_exceeded(self) -> None:
        """However many come, each backend has at most `max_per_backend` at a time."""
        most = {"now": 0, "ever": 0}

        async def script(peer: Peer) -> None:
            while True:
                await peer.request()
                most["now"] += 1
                most["ever"] = max(most["ever"], most["now"])
                await asyncio.sleep(0.002)
                most["now"] -= 1
                await peer.send(OK)

        pool = {"connections": {"max_per_backend": 3}}
        async with balancing(script, script, pool=pool) as (_, gateway, _), AsyncExitStack() as stack:
            everyone = await clients(stack, gateway, 30)

            async def ask(client: RawClient) -> list[int]:
                return [(await client.ask("GET /")).status for _ in range(5)]

            statuses = await asyncio.gather(*map(ask, everyone))

            assert {status for one in statuses for status in one} == {200}
            assert most["ever"] == 6

    async def test_waiting_takes_too_long(self) -> None:
        """After `queue.timeout` the answer is 503 with Retry-After, while the lease goes on."""
        pool = ONE_AT_A_TIME | {"queue": {"timeout": "100ms"}}
        async with talking(hanging, pool=pool) as (client, gateway, backend), gateway.client() as second:
            client.send("GET /first")
            await until(lambda: gateway.in_flight)
            answer = await second.ask("GET /second")

            assert (answer.status, json.loads(answer.body)["reason"]) == (503, "queue_timeout")
            assert answer.fields["retry-after"] in {"1", "2"}
            assert (gateway.in_flight, gateway.waiting) == (1, 0)
            assert len(backend.peers) == 1
            client.reset()
            await until(lambda: gateway.plane.abandoned)
            gateway.jump(20)

    async def test_queue_that_is_full(self) -> None:
        """Beyond `queue.max_waiting` the answer is 503 at once."""
        pool = ONE_AT_A_TIME | {"queue": {"max_waiting": 1, "timeout": "1m"}}
        slots = Slots()
        async with talking(slots, pool=pool) as (_, gateway, _), AsyncExitStack() as stack:
            first, second, third = await clients(stack, gateway, 3)
            first.send("GET /1")
            await until(lambda: gateway.in_flight)
            second.send("GET /2")
            await until(lambda: gateway.waiting)
            answer = await third.ask("GET /3")

            assert (answer.status, json.loads(answer.body)["reason"]) == (503, "queue_full")
            slots.released.release()
            slots.released.release()
            assert [(await one.read_answer()).status for one in (first, second)] == [200, 200]

    async def test_client_that_leaves_the_queue(self) -> None:
        """Whoever leaves while waiting gets no lease, and nobody behind waits for it."""
        slots = Slots()
        async with talking(slots, pool=ONE_AT_A_TIME) as (_, gateway, _), AsyncExitStack() as stack:
            everyone = await clients(stack, gateway, 3)
            for number, client in enumerate(everyone):
                client.send(f"GET /{number}")
                await until(lambda: gateway.in_flight + gateway.waiting == number + 1)  # noqa: B023
            everyone[1].reset()
            await until(lambda: gateway.waiting == 1)
            slots.released.release()
            slots.released.release()
            assert [(await one.read_answer()).status for one in (everyone[0], everyone[2])] == [200, 200]

            assert slots.order == ["/0", "/2"]
            reasons = [record.reason for record in gateway.records]
            assert sorted(reasons) == ["", "", "client_left"]

    @pytest.mark.parametrize(
        ("more", "reason"),
        [(b"rubbish\r\n", "malformed_chunk"), (b"1388\r\n" + b"x" * 5000, "body_too_large")],
    )
    async def test_client_that_is_refused_in_the_queue(self, more: bytes, reason: str) -> None:
        """A body that goes wrong while its request waits leaves the queue: no dead exchange gets a lease."""
        slots = Slots()
        limits = {"request_buffer": "1B", "body_bytes": "4KiB"}
        async with talking(slots, pool=ONE_AT_A_TIME, limits=limits) as (first, gateway, _):
            async with gateway.client() as second, gateway.client() as third:
                first.send("GET /1")
                await until(lambda: gateway.in_flight)
                second.send("POST /2", "Transfer-Encoding: chunked")
                second.writer.write(b"5\r\nabcde\r\n")
                await until(lambda: gateway.waiting == 1)
                third.send("GET /3")
                await until(lambda: gateway.waiting == 2)
                second.writer.write(more)
                answer = await second.read_answer()
                assert json.loads(answer.body)["reason"] == reason
                assert gateway.waiting == 1
                slots.released.release()
                slots.released.release()
                assert [(await one.read_answer()).status for one in (first, third)] == [200, 200]
            assert slots.order == ["/1", "/3"]

    async def test_slow_body_in_the_queue_is_refused(self) -> None:
        """A body too slow while its request waits leaves the queue too."""
        slots = Slots()
        limits = {"request_buffer": "1B"}
        pool = ONE_AT_A_TIME | {"queue": {"timeout": "1h"}}
        timeouts = {"response_head": "1h", "request_total": "1h", "stream_idle": "1h"}
        async with (
            talking(slots, pool=pool, limits=limits, timeouts=timeouts) as (first, gateway, _),
            gateway.client() as second,
        ):
            first.send("GET /1")
            await until(lambda: gateway.in_flight)
            second.send("POST /2", "Content-Length: 10")
            second.writer.write(b"abc")
            await until(lambda: gateway.waiting)
            gateway.jump(11)

            assert (await second.read_answer()).status == 408
            assert gateway.waiting == 0
            slots.released.release()
            assert (await first.read_answer()).status == 200

    async def test_pool_that_is_removed(self) -> None:
        """Whoever waits in a pool that a reload removes is answered."""
        slots = Slots()
        async with (
            talking(slots, pool=ONE_AT_A_TIME) as (first, gateway, backend),
            gateway.client() as second,
        ):
            first.send("GET /1")
            await until(lambda: gateway.in_flight)
            second.send("GET /2")
            await until(lambda: gateway.waiting)
            gateway.reload({"pools": {"other": {"backends": [{"url": backend.url}]}}})

            assert (await second.read_answer()).status == 503
            slots.released.release()
            assert (await first.read_answer()).status == 200

    async def test_another_strategy_serves_who_waits(self) -> None:
        """A reload that changes the strategy changes the choice, not who is to be served."""
        slots = Slots()
        async with (
            talking(slots, pool=ONE_AT_A_TIME) as (first, gateway, backend),
            gateway.client() as second,
        ):
            first.send("GET /1")
            await until(lambda: gateway.in_flight)
            second.send("GET /2")
            await until(lambda: gateway.waiting)
            gateway.reload(one_pool(backend.url, pool=ONE_AT_A_TIME | {"strategy": "round_robin"}))

            for client in (first, second):
                slots.released.release()
                assert (await client.read_answer()).status == 200

    async def test_backend_that_becomes_ready_serves_the_queue(self) -> None:
        """Leases that a pool update makes possible are given at once."""
        slots = Slots()
        async with balancing(slots, echoing, pool=ONE_AT_A_TIME) as (first, gateway, _):
            gateway.unready = {"b1"}
            gateway.publish()
            async with gateway.client() as second:
                first.send("GET /1")
                await until(lambda: gateway.in_flight)
                second.send("GET /2")
                await until(lambda: gateway.waiting)
                gateway.unready = set()
                gateway.publish()

                assert (await second.read_answer()).body == b"/2 "
                slots.released.release()
                assert (await first.read_answer()).status == 200

    async def test_nobody_left_for_those_who_wait(self) -> None:
        """When the last ready backend goes, the queue is answered with 503."""
        slots = Slots()
        async with talking(slots, pool=ONE_AT_A_TIME) as (first, gateway, _), gateway.client() as second:
            first.send("GET /1")
            await until(lambda: gateway.in_flight)
            second.send("GET /2")
            await until(lambda: gateway.waiting)
            gateway.unready = {"b0"}
            gateway.publish()

            answer = await second.read_answer()
            assert json.loads(answer.body)["reason"] == "no_healthy_backend"
            slots.released.release()
            assert (await first.read_answer()).status == 200


class TestPooledConnections:
    async def test_last_used_first(self) -> None:
        """Connections that are not needed grow old; the one used last is used next."""
        slots = Slots()
        async with talking(slots) as (first, gateway, backend), gateway.client() as second:
            first.send("GET /1")
            second.send("GET /2")
            await until(lambda: len(slots.order) == 2)
            slots.released.release()
            slots.released.release()
            await first.read_answer()
            await second.read_answer()
            for _ in range(10):
                slots.released.release()
                await first.ask("GET /again")

            counts = sorted(bytes(peer.received).count(b"/again") for peer in backend.peers)
            assert counts == [0, 10]

    async def test_no_more_than_idle_are_kept(self) -> None:
        """`connections.idle` is how many are kept per backend."""
        slots = Slots()
        pool = {"connections": {"max_per_backend": 10, "idle": 2}}
        async with talking(slots, pool=pool) as (_, gateway, _), AsyncExitStack() as stack:
            everyone = await clients(stack, gateway, 5)
            for client in everyone:
                client.send("GET /")
            await until(lambda: len(slots.order) == 5)
            for _ in everyone:
                slots.released.release()
            for client in everyone:
                await client.read_answer()

            await until(lambda: gateway.upstream_connections == 2)

    async def test_idle_timeout(self) -> None:
        """What was idle for `idle_timeout` is closed by us, before the backend does it."""
        async with talking(answering(OK), pool={"connections": {"idle_timeout": "4s"}}) as (
            client,
            gateway,
            backend,
        ):
            await client.ask("GET /")
            gateway.jump(3.5)
            await client.ask("GET /")
            gateway.jump(3.5)
            assert not backend.peers[0].has_ended.is_set()
            gateway.jump(1)
            await until(backend.peers[0].has_ended.is_set)

            await client.ask("GET /")
            assert len(backend.peers) == 2

    async def test_removed_backend_loses_its_connections(self) -> None:
        """A reload without a backend closes its idle connections, and the others stay."""
        async with balancing(echoing, echoing, pool={"strategy": "round_robin"}) as (client, gateway, (a, b)):
            for _ in range(4):
                await client.ask("GET /")
            assert gateway.upstream_connections == 2
            gateway.reload({"pools": {"pcs": {"backends": [{"url": b.url, "name": "b1"}]}}})
            await until(a.peers[0].has_ended.is_set)
            await client.ask("GET /")

            assert len(b.peers) == 1

    async def test_connection_in_use_of_a_removed_backend_is_closed_after_use(self) -> None:
        """A removed backend drains: what is in flight ends, its connection is not kept."""
        slots = Slots()
        async with balancing(slots, echoing) as (client, gateway, (a, b)):
            gateway.unready = {"b1"}
            gateway.publish()
            client.send("GET /1")
            await until(lambda: gateway.in_flight)
            gateway.unready = set()
            gateway.reload({"pools": {"pcs": {"backends": [{"url": b.url, "name": "b1"}]}}})
            slots.released.release()

            assert (await client.read_answer()).body == b"/1"
            await until(a.peers[0].has_ended.is_set)

    async def test_renamed_backend_is_told_by_its_new_name(self) -> None:
        """The same URL under another name keeps its connections and is recorded under the new name."""
        async with talking(echoing) as (client, gateway, backend):
            await client.ask("GET /")
            gateway.reload({"pools": {"pcs": {"backends": [{"url": backend.url, "name": "renamed"}]}}})
            await client.ask("GET /")

            assert [record.backend for record in gateway.records] == ["b0", "renamed"]
            assert len(backend.peers) == 1

    async def test_reload_changes_trust_at_once(self) -> None:
        """A proxy that is no longer trusted is not believed on the connection it has, either."""
        async with talking(echoing) as (client, gateway, backend):
            configuration = {"pools": {"pcs": {"backends": [{"url": backend.url, "name": "b0"}]}}}
            await client.ask("GET /", "X-Forwarded-For: 1.2.3.4")
            gateway.reload(configuration | {"forwarding": {"trusted_proxies": []}})
            await client.ask("GET /", "X-Forwarded-For: 1.2.3.4")

            assert [request.fields["x-forwarded-for"] for request in backend.requests] == [
                "1.2.3.4, 127.0.0.1",
                "127.0.0.1",
            ]

    async def test_reload_disturbs_nobody(self) -> None:
        """Ten reloads under way: no connection is closed, no request fails."""
        async with talking(echoing) as (client, gateway, backend), gateway.client() as other:
            configuration = {"pools": {"pcs": {"backends": [{"url": backend.url, "name": "b0"}]}}}
            for number in range(10):
                other.send(f"GET /other{number}")
                gateway.reload(configuration | {"timeouts": {"connect": f"{number + 1}s"}})
                assert (await client.ask("GET /")).status == 200
                assert (await other.read_answer()).status == 200

            assert len(backend.peers) <= 2
