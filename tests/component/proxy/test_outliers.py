"""
What a worker makes of failures by itself: black holes of every kind, and failures that are no backend's.

There is no control process here: the worker's own skips must do.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

import pytest

from pcs_gateway.backends.outlier.ways import Bearing
from pcs_gateway.telemetry.delta import Event
from tests.fakes.backend import OK, Peer, Script, ScriptedBackend, answering, hanging, resetting
from tests.fakes.gateway import Gateway, balancing, one_pool
from tests.fakes.members import Request
from tests.fakes.waiting import until

UNAVAILABLE = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nthis is all"
BROKEN_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n"
CUT_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
BACKENDS = 5
RETRY = {"attempts": 2, "backoff": {"base": "1ms"}, "budget": {"minimum_per_second": 100}}


def closing_after(data: bytes) -> Script:
    """Answer with these bytes and close."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)

    return script


BLACK_HOLES: dict[str, Script] = {
    "instant 503": answering(UNAVAILABLE),
    "reset": resetting,
    "short body": closing_after(SHORT),
    "broken chunks": closing_after(BROKEN_CHUNKS),
    "cut chunks": closing_after(CUT_CHUNKS),
}


async def slowly(peer: Peer) -> None:
    """Answer each request after 10 ms."""
    while True:
        await peer.request()
        await asyncio.sleep(0.01)
        await peer.send(OK)


async def load(gateway: Gateway, requests: int, head: str, clients: int = 8) -> None:
    """Send requests over some connections, whatever comes back."""
    left = iter(range(requests))

    async def client() -> None:
        for _ in left:
            async with gateway.client() as one:
                one.send(head)
                await one.read_end() if "close" in head else await asyncio.wait_for(one.reader.read(1), 5)

    await asyncio.gather(*(client() for _ in range(clients)))


def path_to(gateway: Gateway, home: str, next_one: str) -> str:
    """A path that belongs to one backend, and without that to the other."""
    balancer = gateway.plane.pools["pcs"].balancer
    for number in count():
        request = Request(b"/%d" % number)
        first = balancer.strategy.select_instance(balancer.instances, request)
        second = next(iter(balancer.strategy.order(balancer.instances, request, first)))
        if (first.name, second.name) == (home, next_one):
            return f"/{number}"
    raise AssertionError


def failures(gateway: Gateway, bearing: Bearing = Bearing.BACKEND) -> dict[str, int]:
    """Failures that were reported, by backend."""
    found: dict[str, int] = {}
    for entry in gateway.evidence:
        if entry.failures and entry.bearing is bearing:
            found[entry.backend] = found.get(entry.backend, 0) + entry.failures
    return found


class TestBlackHoles:
    @pytest.mark.parametrize("strategy", ["round_robin", "least_connections", "least_time"])
    @pytest.mark.parametrize("method", ["GET", "POST"])
    @pytest.mark.parametrize("kind", BLACK_HOLES)
    async def test_gets_at_most_twenty_requests(self, kind: str, method: str, strategy: str) -> None:
        """Whatever it does instead of answering, and whether or not it is retried."""
        scripts = [BLACK_HOLES[kind], *[slowly] * (BACKENDS - 1)]
        async with balancing(*scripts, pool={"strategy": strategy}) as (_, gateway, backends):
            await load(gateway, 200, f"{method} /")

            bad, *good = (len(backend.requests) for backend in backends)
            assert 1 <= bad <= 20
            assert all(good)
            assert {"b0"} == set(failures(gateway))
            if strategy != "least_time":  # which avoids what fails after the first time
                assert 1 == gateway.delta.events[Event.BACKEND_SKIPS]

    @pytest.mark.parametrize("strategy", ["round_robin", "least_connections", "least_time"])
    async def test_one_that_hangs(self, strategy: str) -> None:
        """It answers nothing for 3 s, while requests come 200 times a second: at most twenty are stuck."""
        scripts = [hanging, *[slowly] * (BACKENDS - 1)]
        pool = {"strategy": strategy, "on_abandon": "cancel"}
        async with balancing(*scripts, pool=pool) as (_, gateway, backends):
            clients = []

            async def one() -> None:
                async with gateway.client() as client:
                    client.send("GET /")
                    await client.reader.read(1)

            for _ in range(400):
                clients.append(asyncio.create_task(one()))
                await asyncio.sleep(0.005)
            stuck = len(backends[0].peers)
            served = sum(len(backend.requests) for backend in backends[1:])
            waiting = sum(not client.done() for client in clients)
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)

            assert 1 <= stuck <= 20
            assert stuck + served == 400
            assert waiting <= stuck + 5
            entries = [entry for entry in gateway.evidence if entry.failures]
            assert {"no_answer"} >= {entry.kind for entry in entries}
            assert {"b0"} >= {entry.backend for entry in entries}
            if strategy == "round_robin":
                # the time-out of 15 s is far away: that they hang was found without it
                assert any(entry.accuses for entry in entries)

    async def test_one_that_hangs_beside_standbys(self) -> None:
        """Who has nothing to do does not speak for it: with as many standbys it is found just as soon."""
        async with AsyncExitStack() as stack:
            scripts = [hanging, *[slowly] * 7]
            backends = [await stack.enter_async_context(ScriptedBackend(script)) for script in scripts]
            urls = [backend.url for backend in backends]
            configuration = one_pool(*urls, pool={"strategy": "round_robin", "on_abandon": "cancel"})
            for standby in configuration["pools"]["pcs"]["backends"][4:]:
                standby["priority"] = 1
            gateway = await stack.enter_async_context(Gateway(configuration))
            bad, *others = gateway.plane.pools["pcs"].balancer.members
            loading = asyncio.create_task(load(gateway, 4000, "GET /", clients=16))
            await until(lambda: bad.own.is_suspended)
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)

            assert not any(backend.requests for backend in backends[4:])
            assert not any(other.own.is_suspended for other in others)

    @pytest.mark.parametrize(("workers", "requests"), [(1, 5), (3, 5), (4, 3), (8, 2), (30, 2)])
    async def test_of_many_workers_each_holds_back_less(self, workers: int, requests: int) -> None:
        """
        Failures whose exchanges go on for long are held; each worker avoids the backend the sooner, the more
        workers there are.
        """
        answer = asyncio.Event()

        async def later(peer: Peer) -> None:
            await peer.request()
            await answer.wait()
            await peer.send(OK)

        pool = {"strategy": "round_robin", "retry": RETRY | {"on": [503]}}
        async with balancing(answering(UNAVAILABLE), *[later] * 4, pool=pool) as (_, gateway, backends):
            for index in range(1, workers):
                gateway.another_row(gateway.row.index + index)
            clients = []
            for _ in range(40):
                clients.append(asyncio.create_task(load(gateway, 1, "GET /")))
                await asyncio.sleep(0.003)
            assert {} == failures(gateway)
            bad = len(backends[0].requests)
            answer.set()
            await asyncio.gather(*clients)

            assert requests == bad

    async def test_one_that_answers_again_is_used_again(self) -> None:
        """A pause suspends, and the first answer ends that: nobody is punished for it."""
        may_answer = asyncio.Event()

        async def pausing(peer: Peer) -> None:
            while True:
                await peer.request()
                await may_answer.wait()
                await peer.send(OK)

        scripts = [pausing, *[slowly] * (BACKENDS - 1)]
        async with balancing(*scripts, pool={"strategy": "round_robin"}) as (_, gateway, backends):
            stuck = asyncio.create_task(load(gateway, 200, "GET /", clients=40))
            member = gateway.plane.pools["pcs"].balancer.members[0]
            await until(lambda: member.own.is_suspended)
            may_answer.set()
            await stuck
            await until(lambda: not member.own.is_suspended)
            before = len(backends[0].requests)
            await load(gateway, 50, "GET /")

            assert len(backends[0].requests) - before == 10
            assert {} == failures(gateway)
            assert Event.BACKEND_SKIPS not in gateway.delta.events

    async def test_one_that_hangs_before_hedges_is_blamed_once(self) -> None:
        """An attempt that was given up is no second failure when it ends, whosever it is by then."""
        may_answer, may_reset = asyncio.Event(), asyncio.Event()

        async def late(peer: Peer) -> None:
            await peer.request()
            await may_answer.wait()
            await peer.send(OK)

        async def breaking(peer: Peer) -> None:
            await peer.request()
            await may_reset.wait()
            peer.reset()

        pool: dict[str, Any] = {
            "strategy": "consistent_hash",
            "hash_on": "path",
            "hash_balance_factor": 100,
            "hedge": {"after": "30ms", "budget": 1.0},
            "retry": {"attempts": 0},
        }
        async with (
            balancing(late, breaking, *[slowly] * 3, pool=pool) as (client, gateway, backends),
            AsyncExitStack() as stack,
        ):
            fast, slow = path_to(gateway, "b2", "b3"), path_to(gateway, "b0", "b1")
            for _ in range(100):
                await client.ask(f"GET {fast}")
            clients = [await stack.enter_async_context(gateway.client()) for _ in range(5)]
            for one in clients:
                one.send(f"GET {slow}")
            await until(lambda: [5, 5] == [len(backend.requests) for backend in backends[:2]])
            gateway.jump(1.2)
            await client.ask(f"GET {fast}")
            gateway.jump(0.1)
            given_up = failures(gateway)
            may_reset.set()
            await until(lambda: gateway.in_flight == 5)
            may_answer.set()
            assert [200] * 5 == [(await one.read_answer()).status for one in clients]

            assert {"b0": 5, "b1": 5} == given_up == failures(gateway)

    async def test_all_hang(self) -> None:
        """Nobody answers: there is nothing to compare with, and nobody is suspended."""
        pool = {"strategy": "round_robin", "on_abandon": "cancel"}
        async with balancing(*[hanging] * 3, pool=pool) as (_, gateway, _):
            clients = [gateway.client() for _ in range(30)]
            for client in clients:
                await client.__aenter__()
                client.send("GET /")
            await until(lambda: gateway.in_flight == 30)
            for _ in range(12):
                gateway.jump(0.1)

            assert Event.BACKEND_SUSPENSIONS not in gateway.delta.events
            assert {} == failures(gateway)
            for client in clients:
                client.reset()


class TestBodies:
    @pytest.mark.parametrize("kind", ["short body", "broken chunks", "cut chunks"])
    async def test_success_counts_when_the_body_is_whole(self, kind: str) -> None:
        """A head of 200 is no success; a body that breaks off is a failure, once."""
        async with balancing(BLACK_HOLES[kind], pool={}) as (client, gateway, _):
            client.send("GET /", "Connection: close")
            await client.read_end()
            await until(lambda: gateway.evidence)
            await asyncio.sleep(0.25)

            (entry,) = gateway.evidence
            assert (1, 0) == (entry.failures, entry.successes)
            assert entry.kind in {"response_incomplete", "http_protocol_error"}

    async def test_whole_body_in_pieces_is_one_success(self) -> None:
        """Counted when its last piece came."""
        pieces = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2\r\nok\r\n", b"0\r\n\r\n")
        async with balancing(answering(*pieces), pool={}) as (client, gateway, _):
            for _ in range(3):
                assert (await client.ask("GET /")).body == b"ok"
            await until(lambda: sum(entry.successes for entry in gateway.evidence) == 3)

            assert {} == failures(gateway)

    async def test_503_with_a_broken_body_is_one_failure(self) -> None:
        """Its head said it all."""
        broken = b"HTTP/1.1 503 No\r\nContent-Length: 10\r\n\r\nabc"
        async with balancing(closing_after(broken), pool={}) as (client, gateway, _):
            client.send("POST /")
            await client.read_end()
            await until(lambda: gateway.evidence)

            assert ["http_503"] == [entry.kind for entry in gateway.evidence]

    async def test_body_that_stops_is_a_failure(self) -> None:
        """It announced more and sends no more, without closing: found by `stream_idle`."""

        async def stopping(peer: Peer) -> None:
            await peer.request()
            await peer.send(SHORT)
            await peer.end()

        async with balancing(stopping, pool={}) as (client, gateway, _):
            client.send("GET /")
            await client.reader.readuntil(b"this is all")
            gateway.jump(0)
            gateway.jump(61)
            await until(lambda: gateway.evidence)

            assert ["stream_idle"] == [entry.kind for entry in gateway.evidence]

    async def test_stream_without_a_length_may_pause(self) -> None:
        """Events may be rare: their pause is no failure of the backend."""

        async def pausing(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: x\n\n")
            await peer.end()

        async with balancing(pausing, pool={}) as (client, gateway, _):
            client.send("GET /")
            await client.reader.readuntil(b"data: x")
            gateway.jump(0)
            gateway.jump(61)
            await gateway.record()

            assert {} == failures(gateway)


class TestRequestsFault:
    @pytest.mark.parametrize("clients", [1, 12])
    async def test_poison_ejects_nobody(self, clients: int) -> None:
        """A request that every backend resets on: evidence against nobody, however many come."""

        async def script(peer: Peer) -> None:
            while True:
                request = await peer.request()
                if request.target == "/poison":
                    peer.reset()
                    return
                await peer.send(OK)

        pool: dict[str, Any] = {
            "strategy": "round_robin",
            "retry": RETRY,
        }
        async with balancing(*[script] * 3, pool=pool) as (client, gateway, backends):
            for _ in range(10):
                await load(gateway, clients, "GET /poison", clients)
                for _ in range(3):
                    assert (await client.ask("GET /")).status == 200

            poisoned = [len([one for one in b.requests if one.target == "/poison"]) for b in backends]
            assert {} == failures(gateway)
            # beside them there were kept-alive connections that ended: no evidence either
            assert 30 * clients == sum(failures(gateway, Bearing.REQUEST).values()) <= sum(poisoned)
            assert Event.BACKEND_SKIPS not in gateway.delta.events
            assert not any(member.own.suspected for member in gateway.plane.pools["pcs"].balancer.members)

    @pytest.mark.parametrize("sent", [4, 100_000])
    async def test_resets_of_uploads_eject_nobody(self, sent: int) -> None:
        """A backend that refuses large bodies early, or stops waiting for them, is no broken one."""

        async def refuses(peer: Peer) -> None:
            head = await peer.request_head()
            if int(head.fields.get("content-length", 0)):
                peer.reset()
            else:
                await peer.send(OK)

        limits = {"request_buffer": "1B"}
        async with balancing(refuses, refuses, pool={"strategy": "round_robin"}, limits=limits) as (
            _,
            gateway,
            _,
        ):
            for _ in range(12):
                async with gateway.client() as client:
                    client.send("POST /", "Content-Length: 100000")
                    client.writer.write(b"x" * sent)
                    assert 502 == (await client.read_answer()).status

            assert {} == failures(gateway)
            assert 12 == sum(failures(gateway, Bearing.REQUEST).values())
            assert Event.BACKEND_SKIPS not in gateway.delta.events

    async def test_failure_that_does_not_follow_is_the_backends(self) -> None:
        """Another backend answers the same request: the first one failed by itself."""
        async with balancing(resetting, answering(OK), pool={"strategy": "round_robin"}) as (
            client,
            gateway,
            backends,
        ):
            for _ in range(4):
                assert (await client.ask("GET /")).status == 200

            assert {"b0": len(backends[0].requests)} == failures(gateway)
            assert {} == failures(gateway, Bearing.REQUEST)

    async def test_failures_of_different_ways_are_the_backends(self) -> None:
        """A reset here and a truncated response there have not one cause."""
        scripts = [resetting, closing_after(SHORT)]
        async with balancing(*scripts, pool={"strategy": "round_robin"}) as (_, gateway, backends):
            while not all(backend.requests for backend in backends):
                async with gateway.client() as other:
                    other.send("GET /")
                    await other.read_end()
            await until(lambda: set(failures(gateway)) == {"b0", "b1"})

            assert {} == failures(gateway, Bearing.REQUEST)


class TestPlain500:
    @pytest.mark.parametrize("closes", [False, True])
    async def test_is_no_evidence(self, closes: bool) -> None:
        """PCS answers it for clients' mistakes, and closes the connection without saying so."""
        answer = b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops"
        script: Callable[..., Any] = closing_after(answer) if closes else answering(answer)
        async with balancing(script, answering(OK), pool={"strategy": "round_robin"}) as (
            client,
            gateway,
            backends,
        ):
            statuses = [(await client.ask("GET /")).status for _ in range(40)]

            assert statuses.count(500) == 20
            assert {} == failures(gateway)
            assert len(backends[0].requests) == 20


class TestSharedDependency:
    async def test_all_503_skip_nobody(self) -> None:
        """All fail alike, all stay in use."""
        async with balancing(*[answering(UNAVAILABLE)] * 3, pool={"strategy": "round_robin"}) as (
            _,
            gateway,
            backends,
        ):
            await load(gateway, 90, "POST /", clients=1)

            assert [30, 30, 30] == [len(backend.requests) for backend in backends]
            assert Event.BACKEND_SKIPS not in gateway.delta.events


class TestWithoutControlProcess:
    async def test_skips_grow_and_end_by_time(self) -> None:
        """30 s, 60 s, 75 s, 75 s: each ends by time, and one more failure begins the next."""
        detection = {"consecutive_failures": 3, "base_ejection": "30s", "maximum_ejection": "75s"}
        pool = {"strategy": "round_robin", "outlier_detection": detection}
        async with (
            ScriptedBackend(answering(UNAVAILABLE)) as bad,
            ScriptedBackend(answering(OK)) as good,
            Gateway(one_pool(bad.url, good.url, pool=pool)) as gateway,
        ):
            member = gateway.plane.pools["pcs"].balancer.members[0]
            seconds = []
            for _ in range(4):
                await load(gateway, 20, "POST /", clients=1)
                lasts = member.skipped_until - gateway.plane.monotonic()
                seconds.append(lasts)
                gateway.jump(lasts - 0.5)
                before = len(bad.requests)
                await load(gateway, 4, "POST /", clients=1)
                assert len(bad.requests) == before
                gateway.jump(1)

            assert [30, 60, 75, 75] == [round(one / 5) * 5 for one in seconds]
            bad.script = answering(OK)
            await load(gateway, 6, "POST /", clients=1)
            gateway.jump(4 * 30)
            bad.script = answering(UNAVAILABLE)
            await load(gateway, 20, "POST /", clients=1)

            assert 30 == round((member.skipped_until - gateway.plane.monotonic()) / 5) * 5

    async def test_denied_skip_is_no_repetition(self) -> None:
        """What the control process denies is taken back whole."""
        async with balancing(answering(UNAVAILABLE), slowly, pool={"strategy": "round_robin"}) as (
            _,
            gateway,
            _,
        ):
            member = gateway.plane.pools["pcs"].balancer.members[0]
            await load(gateway, 20, "POST /")
            await until(lambda: member.skipped_until > gateway.plane.monotonic())
            gateway.plane.unskip("pcs", "b0")

            assert 0 == member.own.repetition.times
            assert 0 == member.skipped_until
