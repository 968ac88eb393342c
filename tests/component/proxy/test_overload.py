"""More is asked for than can be done: who is served, who is shed, what each is told, and how it ends."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import pytest

from pcs_gateway.processes.scoreboard import CONTROL_ROW, Role
from tests.fakes.backend import OK, Peer, hanging
from tests.fakes.gateway import Gateway, balancing, one_pool, talking
from tests.fakes.raw_client import RawAnswer, RawClient
from tests.fakes.waiting import until

ONE_AT_A_TIME: dict[str, Any] = {"connections": {"max_per_backend": 1}}
UNTRUSTED: dict[str, Any] = {"forwarding": {"trusted_proxies": ["192.0.2.0/24"]}}


LONG: dict[str, Any] = {"queue": {"timeout": "1m", "overload_timeout": "1m"}}
ROUTES: tuple[dict[str, Any], ...] = (
    {"match": {"path": "/high/{rest...}"}, "priority": "high"},
    {"match": {"path": "/low/{rest...}"}, "priority": "low"},
    {},
)


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
            await peer.send(OK)


@asynccontextmanager
async def queueing(
    slots: Slots,
    targets: list[str],
    pool: dict[str, Any],
    fields: dict[str, str] | None = None,
    **sections: Any,
) -> AsyncIterator[tuple[Gateway, list[RawClient]]]:
    """One request at the backend, and these behind it in the queue, in this order."""
    async with AsyncExitStack() as stack:
        talk = talking(slots, pool=ONE_AT_A_TIME | pool, **sections)
        first, gateway, _ = await stack.enter_async_context(talk)
        first.send("GET /first")
        await until(lambda: gateway.in_flight)
        clients = []
        for number, target in enumerate(targets, 1):
            client = await stack.enter_async_context(gateway.client())
            client.send(f"GET {target}", *([fields[target]] if fields and target in fields else []))
            await until(lambda: gateway.waiting == number)  # noqa: B023
            clients.append(client)
        yield gateway, clients
        for _ in range(len(targets) + 1):
            slots.released.release()
        assert (await first.read_answer()).status == 200


def reason(answer: RawAnswer) -> str:
    """Why an answer is a refusal."""
    found: str = json.loads(answer.body)["reason"]
    return found


async def answers(clients: list[RawClient]) -> list[int]:
    """The status that each gets."""
    return [(await client.read_answer()).status for client in clients]


class TestBounds:
    async def test_queue_that_stands_is_shed(self) -> None:
        """After 100 ms with waiters they are refused with 503 `overload`, and told when to come again."""
        async with queueing(Slots(), ["/1", "/2"], {}) as (gateway, clients):
            begun = time.monotonic()
            told = [await client.read_answer() for client in clients]
            seconds = time.monotonic() - begun

            assert [(503, "overload")] * 2 == [(answer.status, reason(answer)) for answer in told]
            asked = [json.loads(answer.body)["retry_after"] for answer in told]
            assert {1, 2} >= set(asked)
            assert [str(one) for one in asked] == [answer.fields["retry-after"] for answer in told]
            assert 'error=connection_limit_reached; details="overload"' in told[0].fields["proxy-status"]
            assert 0.05 < seconds < 1.5
            assert (1, 0) == (gateway.in_flight, gateway.waiting)
            sheds = gateway.delta.queues["pcs"].sheds
            assert {"normal": {"overload": 2}} == sheds

    async def test_newest_goes_first_in_overload(self) -> None:
        """While the queue stands, and a long bound keeps everybody in it, the newest is served first."""
        slots = Slots()
        pool = {"queue": {"timeout": "1m", "overload_timeout": "1m"}}
        async with queueing(slots, ["/1", "/2", "/3"], pool) as (gateway, clients):
            gateway.jump(0.2)
            for _ in range(4):
                slots.released.release()
            assert [200] * 3 == await answers(clients)
            assert ["/first", "/3", "/2", "/1"] == slots.order
            waits = gateway.delta.queues["pcs"].waits
            assert 3 == waits.count
            assert waits.total >= 0.6

    async def test_slow_attempts_make_patient(self) -> None:
        """Where attempts take seconds, waiting for 300 ms is no overload: nobody is shed."""
        slots = Slots()
        async with talking(slots, pool=ONE_AT_A_TIME) as (first, gateway, _), gateway.client() as second:
            first.send("GET /1")
            await until(lambda: gateway.in_flight)
            gateway.jump(2)
            slots.released.release()
            assert (await first.read_answer()).status == 200
            gateway.jump(0)
            first.send("GET /2")
            await until(lambda: gateway.in_flight)
            second.send("GET /3")
            await until(lambda: gateway.waiting)
            gateway.jump(0.3)
            await asyncio.sleep(0.02)
            assert gateway.waiting == 1
            slots.released.release()
            slots.released.release()
            assert [200, 200] == await answers([first, second])

    async def test_client_that_leaves_in_overload(self) -> None:
        """Whoever leaves is neither served nor shed."""
        slots = Slots()
        pool = {"queue": {"timeout": "1m", "overload_timeout": "1m"}}
        async with queueing(slots, ["/1", "/2", "/3"], pool) as (gateway, clients):
            gateway.jump(0.2)
            clients[2].reset()
            await until(lambda: gateway.waiting == 2)
            for _ in range(4):
                slots.released.release()
            assert [200] * 2 == await answers(clients[:2])
            assert ["/first", "/2", "/1"] == slots.order
            assert {} == gateway.delta.queues["pcs"].sheds

    async def test_total_time_counts_waiting(self) -> None:
        """`timeouts.request_total` ends a wait too."""
        pool = {"queue": {"timeout": "1m", "overload_timeout": "1m"}}
        timeouts = {"request_total": "5s", "response_head": "1h"}
        async with queueing(Slots(), ["/1"], pool, timeouts=timeouts) as (gateway, clients):
            await asyncio.sleep(0.01)
            for exchange in (connection.exchange for connection in gateway.plane.connections):
                if exchange is not None and exchange.is_queued:
                    exchange.total_from -= 6
                    exchange.deadline -= 6
            gateway.jump(0)
            answer = await clients[0].read_answer()

            assert (504, "total_timeout", 0) == (answer.status, reason(answer), gateway.waiting)

    async def test_pipelined_requests_after_a_shed_one(self) -> None:
        """The connection of a shed request goes on with the next one."""
        slots = Slots()
        async with queueing(slots, ["/1"], {"queue": {"timeout": "50ms"}}) as (_, clients):
            answer = await clients[0].read_answer()
            assert (503, "queue_timeout") == (answer.status, reason(answer))
            clients[0].send("GET /2")
            for _ in range(2):
                slots.released.release()
            assert (await clients[0].read_answer()).status == 200


class TestPriorities:
    async def test_order_of_classes_by_route(self) -> None:
        """The route's class decides who goes first."""
        slots = Slots()
        targets = ["/low/1", "/2", "/high/3", "/low/4", "/high/5", "/6"]
        async with queueing(slots, targets, LONG, routes=ROUTES) as (_, clients):
            for _ in range(7):
                slots.released.release()
            assert [200] * 6 == await answers(clients)
            assert ["/first", "/high/3", "/high/5", "/2", "/6", "/low/1", "/low/4"] == slots.order

    @pytest.mark.parametrize(
        ("sections", "expected"),
        [
            ({}, ["/first", "/high", "/normal", "/low"]),
            (UNTRUSTED, ["/first", "/normal", "/high", "/low"]),
        ],
    )
    async def test_order_of_classes_by_header(self, sections: dict[str, Any], expected: list[str]) -> None:
        """A trusted peer may raise a request's class by a header; from others it only lowers it."""
        slots = Slots()
        pool = {"queue": {"timeout": "1m", "overload_timeout": "1m", "priority_header": "Priority"}}
        fields = {"/low": "Priority: u=6", "/high": "priority: u=0, i"}
        targets = ["/low", "/normal", "/high"]
        async with queueing(slots, targets, pool, fields, **sections) as (_, clients):
            for _ in range(4):
                slots.released.release()
            assert [200] * 3 == await answers(clients)
            assert expected == slots.order

    async def test_lower_class_makes_room(self) -> None:
        """In a full queue the newcomer of a higher class takes the place of a lower one."""
        slots = Slots()
        pool = {"queue": {"max_waiting": 2, "timeout": "1m", "overload_timeout": "1m"}}
        async with queueing(slots, ["/low/1", "/2"], pool, routes=ROUTES) as (gateway, clients):
            async with gateway.client() as high, gateway.client() as low:
                high.send("GET /high/3")
                displaced = await clients[0].read_answer()
                refused = await low.ask("GET /low/4")
                assert [(503, "queue_full")] * 2 == [
                    (answer.status, reason(answer)) for answer in (displaced, refused)
                ]
                for _ in range(3):
                    slots.released.release()
                assert [200, 200] == await answers([high, clients[1]])
            assert ["/first", "/high/3", "/2"] == slots.order


class TestConcurrency:
    async def test_fixed_limit_of_the_pool(self) -> None:
        """Over all backends no more than `maximum` are in flight; the rest waits, and gets its turn."""
        slots = Slots()
        pool = {"concurrency": {"mode": "fixed", "maximum": 3}, "queue": {"overload_timeout": "2s"}}
        async with balancing(slots, slots, pool=pool) as (_, gateway, _), AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(gateway.client()) for _ in range(5)]
            for number, client in enumerate(clients, 1):
                client.send(f"GET /{number}")
                await until(lambda: gateway.in_flight + gateway.waiting == number)  # noqa: B023
            assert (3, 2) == (gateway.in_flight, gateway.waiting)
            slots.released.release()
            await until(lambda: gateway.waiting == 1)
            assert 3 == gateway.in_flight
            for _ in range(4):
                slots.released.release()
            assert [200] * 5 == await answers(clients)

    async def test_reason_where_the_limit_holds(self) -> None:
        """When it is the pool's limit and not the backends' that there was to wait for."""
        pool = {"concurrency": {"mode": "fixed", "maximum": 1}, "queue": {"max_waiting": 0}}
        slots = Slots()
        async with talking(slots, pool=pool) as (first, gateway, _), gateway.client() as second:
            first.send("GET /1")
            await until(lambda: gateway.in_flight)
            answer = await second.ask("GET /2")

            assert (503, "concurrency_limit") == (answer.status, reason(answer))
            slots.released.release()
            assert (await first.read_answer()).status == 200

    async def test_others_count(self) -> None:
        """What other workers have in flight counts, and their leases' end is noticed within milliseconds."""
        pool = {"concurrency": {"mode": "fixed", "maximum": 1}, "queue": {"overload_timeout": "2s"}}
        async with talking(answering_ok, pool=pool) as (client, gateway, _):
            other = gateway.another_row()
            other.in_flight[0] = 1
            client.send("GET /")
            await until(lambda: gateway.waiting)
            other.in_flight[0] = 0
            assert (await client.read_answer()).status == 200

    async def test_published_limit(self) -> None:
        """An adaptive limit begins with `initial`, follows the published one and keeps the last."""
        pool = {"concurrency": {"initial": 2, "minimum": 1, "maximum": 8}}
        async with talking(answering_ok, pool=pool) as (client, gateway, _):
            queue = gateway.plane.pools["pcs"].queue
            control = gateway.another_row(CONTROL_ROW, Role.CONTROL)
            found = [queue.limit]
            for published in (5, 100, 0):
                control.limits[0] = published
                gateway.jump(0)
                found.append(queue.limit)

            assert [2, 5, 8, 8] == found
            assert 8 == gateway.row.limits[0]
            assert (await client.ask("GET /")).status == 200

    async def test_limit_that_is_raised_serves_who_waits(self) -> None:
        """Soon, not only with the next end of a lease."""
        pool = {"concurrency": {"initial": 1, "minimum": 1}, "queue": {"overload_timeout": "2s"}}
        slots = Slots()
        async with talking(slots, pool=pool) as (first, gateway, _), gateway.client() as second:
            control = gateway.another_row(CONTROL_ROW, Role.CONTROL)
            first.send("GET /1")
            await until(lambda: gateway.in_flight)
            second.send("GET /2")
            await until(lambda: gateway.waiting)
            control.limits[0] = 2
            await until(lambda: gateway.in_flight == 2)
            slots.released.release()
            slots.released.release()
            assert [200, 200] == await answers([first, second])

    async def test_no_ready_backend_is_told_at_once(self) -> None:
        """A limit that is reached does not let anybody wait for a pool that is gone."""
        pool = {"concurrency": {"mode": "fixed", "maximum": 1}}
        slots = Slots()
        async with talking(slots, pool=pool) as (first, gateway, _), gateway.client() as second:
            first.send("GET /1")
            await until(lambda: gateway.in_flight)
            gateway.unready.add("b0")
            gateway.publish()
            answer = await second.ask("GET /2")

            assert (503, "no_healthy_backend") == (answer.status, reason(answer))
            slots.released.release()
            assert (await first.read_answer()).status == 200

    async def test_limit_that_is_removed(self) -> None:
        """A reload without `concurrency` lets everybody through, and shows no limit."""
        slots = Slots()
        pool = {"concurrency": {"mode": "fixed", "maximum": 1}, "queue": {"overload_timeout": "2s"}}
        async with talking(slots, pool=pool) as (first, gateway, backend), gateway.client() as second:
            first.send("GET /1")
            await until(lambda: gateway.in_flight)
            second.send("GET /2")
            await until(lambda: gateway.waiting)
            gateway.reload(one_pool(backend.url))
            await until(lambda: gateway.in_flight == 2)
            gateway.jump(0)
            assert 0 == gateway.row.limits[0]
            assert not gateway.plane.pools["pcs"].is_gated
            slots.released.release()
            slots.released.release()
            assert [200, 200] == await answers([first, second])


async def answering_ok(peer: Peer) -> None:
    """Answer each request at once."""
    while True:
        await peer.request()
        await peer.send(OK)


async def taking_time(peer: Peer) -> None:
    """Answer each request after 20 ms."""
    while True:
        await peer.request()
        await asyncio.sleep(0.02)
        await peer.send(OK)


class Load:
    """
    An open loop of Poisson arrivals, each on a connection that nobody else uses meanwhile.

    Attributes:
        outcomes: Answers by status, or by reason where it was not 200.
        durations: Of those that were served.
    """

    def __init__(self, gateway: Gateway, seed: int) -> None:
        self._gateway = gateway
        self._random = Random(seed)
        self._idle: list[RawClient] = []
        self._stack = AsyncExitStack()
        self.outcomes: Counter[str] = Counter()
        self.durations: list[float] = []

    async def run(self, rate: float, seconds: float) -> None:
        """Send for so long, and wait for the answers."""
        begun = now = time.monotonic()
        tasks = []
        while now < begun + seconds:
            tasks.append(asyncio.create_task(self._ask()))
            now += self._random.expovariate(rate)
            await asyncio.sleep(max(now - time.monotonic(), 0))
        await asyncio.gather(*tasks)

    async def close(self) -> None:
        """Close all connections."""
        await self._stack.aclose()

    async def _ask(self) -> None:
        client = (
            self._idle.pop() if self._idle else await self._stack.enter_async_context(self._gateway.client())
        )
        begun = time.monotonic()
        answer = await client.ask("GET /")
        if answer.status == 200:
            self.durations.append(time.monotonic() - begun)
        self.outcomes["200" if answer.status == 200 else reason(answer)] += 1
        self._idle.append(client)


async def test_twice_the_capacity() -> None:
    """Four slots of 20 ms do 200 a second; of 400 the half is served, the rest shed; then all is well."""
    pool = {"connections": {"max_per_backend": 2}}
    async with balancing(taking_time, taking_time, pool=pool) as (_, gateway, _):
        load = Load(gateway, seed=1)
        await load.run(rate=400.0, seconds=2.0)
        overload = Counter(load.outcomes)
        assert set(overload) <= {"200", "overload"}
        assert overload["200"] >= 0.7 * 400
        assert overload["overload"] >= 100
        assert sorted(load.durations)[int(len(load.durations) * 0.9)] < 0.2
        assert (0, 0) == (gateway.in_flight, gateway.waiting)
        load.outcomes.clear()
        await load.run(rate=40.0, seconds=0.5)
        assert set(load.outcomes) == {"200"}
        await load.close()


async def test_two_workers_share_max_waiting() -> None:
    """What waits in another worker counts: together no more than `max_waiting` wait."""
    pool = ONE_AT_A_TIME | {"queue": {"max_waiting": 3, "timeout": "1m", "overload_timeout": "1m"}}
    slots = Slots()
    async with queueing(slots, ["/1"], pool) as (gateway, clients):
        other = gateway.another_row()
        other.waiters[0] = 2
        async with gateway.client() as client:
            answer = await client.ask("GET /2")
        assert (503, "queue_full") == (answer.status, reason(answer))
        other.waiters[0] = 1
        async with gateway.client() as client:
            client.send("GET /3")
            await until(lambda: gateway.waiting == 2)
            for _ in range(3):
                slots.released.release()
            assert [200, 200] == await answers([clients[0], client])
        other.waiters[0] = 0


async def test_backend_that_hangs_holds_up_nobody_for_long() -> None:
    """When no lease ever ends, those who come are told so after milliseconds, and none is left behind."""
    async with talking(hanging, pool=ONE_AT_A_TIME) as (first, gateway, _):
        first.send("GET /1")
        await until(lambda: gateway.in_flight)
        load = Load(gateway, seed=2)
        await load.run(rate=200.0, seconds=0.6)
        assert {"overload"} == set(load.outcomes)
        await load.close()
        first.reset()
        await until(lambda: gateway.plane.abandoned)
        gateway.jump(20)


async def test_overload_is_shown() -> None:
    """The worker's row tells that its queue is overloaded, and that it no longer is."""
    slots = Slots()
    pool = {"queue": {"timeout": "1m", "overload_timeout": "1m"}}
    async with queueing(slots, ["/1"], pool) as (gateway, clients):
        gateway.jump(0.2)
        assert 1 == gateway.row.overloads[0]
        for _ in range(2):
            slots.released.release()
        assert [200] == await answers(clients)
        gateway.jump(0.1)
        assert 0 == gateway.row.overloads[0]
