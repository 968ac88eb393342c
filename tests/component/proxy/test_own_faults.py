"""A fault in our own code costs the exchange in which it happens, and nothing else."""

from __future__ import annotations

import asyncio
import json

import pytest

from pcs_gateway.backends.member import Instances, Member
from pcs_gateway.balancing import LoadBalancingStrategy
from pcs_gateway.balancing.strategy import PCSRequest
from pcs_gateway.proxy.rewriting import FieldEdits
from tests.fakes.backend import OK, Peer, answering_once, echoing, hanging
from tests.fakes.gateway import Gateway, balancing, talking
from tests.fakes.raw_client import RawClient
from tests.fakes.waiting import until


class BrokenStrategy(LoadBalancingStrategy):
    """A strategy with a mistake."""

    def select_instance(self, instances: Instances, request: PCSRequest | None) -> Member:
        raise ZeroDivisionError(f"{len(instances)} instances")

    def weigh(self, member: Member) -> None:
        raise ZeroDivisionError(repr(member))


class BrokenEdits(FieldEdits):
    """Changes to a response with a mistake."""

    def apply(self, section: bytes) -> bytes:
        raise ZeroDivisionError(section)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
RESPONSES = {
    "whole": (OK,),
    "streamed": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", b"k"),
    "until the close": (b"HTTP/1.1 200 OK\r\n\r\no", b"k"),
    "whole in chunks": (CHUNKED + b"2\r\nok\r\n0\r\n\r\n",),
    "streamed in chunks": (CHUNKED + b"1\r\no\r\n", b"1\r\nk\r\n0\r\n\r\n"),
}


async def assert_costs_one_exchange(client: RawClient, gateway: Gateway) -> None:
    """Ask for a response that goes wrong in our hands: 500 at once, told, and nobody else is to blame."""
    told: list[Exception] = []
    gateway.plane.tell_fault = told.append
    (route,) = gateway.plane.router.routes
    route.response_edits = BrokenEdits({}, ("X-Any",))

    answer = await client.ask("GET /broken")
    route.response_edits = None

    assert answer.status == 500
    assert json.loads(answer.body)["reason"] == "internal_error"
    assert [type(error) for error in told] == [ZeroDivisionError]
    await until(lambda: not gateway.in_flight)
    assert [one for one in gateway.evidence if one.failures] == []
    assert (await gateway.record()).reason == "internal_error"


class TestOwnFaults:
    @pytest.mark.parametrize("kind", RESPONSES)
    async def test_response(self, kind: str) -> None:
        """However a response came, the fault in passing it on costs its exchange alone."""
        async with talking(answering_once(*RESPONSES[kind])) as (client, gateway, _):
            await assert_costs_one_exchange(client, gateway)
            async with gateway.client() as another:
                another.send("GET /next HTTP/1.0")
                assert (await another.reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 OK\r\n")

    @pytest.mark.parametrize("on_abandon", ["finish", "cancel"])
    @pytest.mark.parametrize("kind", RESPONSES)
    async def test_response_of_a_hedge(self, kind: str, on_abandon: str) -> None:
        """The same when it is the second attempt's."""
        may_answer = asyncio.Event()

        async def held(peer: Peer) -> None:
            await peer.request()
            await may_answer.wait()
            await peer.send(OK)

        pool = {"hedge": {"after": "30ms", "budget": 1.0}, "on_abandon": on_abandon}
        async with balancing(held, answering_once(*RESPONSES[kind]), pool=pool) as (client, gateway, _):
            asyncio.get_running_loop().call_later(0.2, may_answer.set)
            await assert_costs_one_exchange(client, gateway)

    async def test_response_of_an_attempt_that_lost(self) -> None:
        """Nobody waits for it: the fault is told and the lease ends, without evidence."""
        may_answer = asyncio.Event()

        async def held(peer: Peer) -> None:
            await peer.request()
            await may_answer.wait()
            await peer.send(OK)

        pool = {"hedge": {"after": "30ms", "budget": 1.0}, "strategy": "least_time"}
        async with balancing(held, answering_once(OK), pool=pool) as (client, gateway, _):
            told: list[Exception] = []
            gateway.plane.tell_fault = told.append
            assert (await client.ask("GET /")).body == b"ok"
            balancer = gateway.plane.pools["pcs"].balancer
            sound = balancer.strategy
            balancer.strategy = BrokenStrategy(sound.context)
            may_answer.set()
            await until(lambda: told)
            balancer.strategy = sound

            assert gateway.in_flight == 0
            assert [one for one in gateway.evidence if one.failures] == []

    async def test_retry_at_once(self) -> None:
        """A connection that was closed as it was reused is replaced at once: that may fail, too."""
        told: list[Exception] = []

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(OK)
            await peer.request()
            balancer.strategy = BrokenStrategy(balancer.strategy.context)
            peer.reset()

        async with talking(script) as (client, gateway, _):
            gateway.plane.tell_fault = told.append
            balancer = gateway.plane.pools["pcs"].balancer
            statuses = [(await client.ask("GET /")).status for _ in range(2)]

            assert statuses == [200, 500]
            assert [type(error) for error in told] == [ZeroDivisionError]
            assert gateway.in_flight == 0

    async def test_request_on_a_new_connection_and_on_a_pooled_one(self) -> None:
        """What a backend is sent may be wrong in our hands as well."""
        async with talking(echoing) as (_, gateway, _):
            for _ in range(2):
                told: list[Exception] = []
                gateway.plane.tell_fault = told.append
                (route,) = gateway.plane.router.routes
                route.request_edits = BrokenEdits({}, ("X-Any",))
                async with gateway.client() as client:
                    answer = await client.ask("GET /broken")
                route.request_edits = None

                assert answer.status == 500
                assert [type(error) for error in told] == [ZeroDivisionError]
                await until(lambda: not gateway.in_flight)
                assert [one for one in gateway.evidence if one.failures] == []
                async with gateway.client() as another:
                    assert (await another.ask("GET /next")).body == b"/next "

    async def test_sweep(self) -> None:
        """One exchange that cannot be looked after keeps no other from its deadline."""
        pool = {"on_abandon": "cancel"}
        async with talking(hanging, pool=pool) as (client, gateway, _), gateway.client() as other:
            told: list[Exception] = []
            gateway.plane.tell_fault = told.append
            client.send("GET /broken")
            await until(lambda: gateway.in_flight == 1)
            (connection,) = [one for one in gateway.plane.connections if one.exchange is not None]
            other.send("GET /")
            await until(lambda: gateway.in_flight == 2)
            assert connection.exchange is not None
            connection.exchange.deadline = None  # type: ignore[assignment]
            gateway.jump(15.1)

            assert 504 == (await other.read_answer()).status
            assert b"" == await client.read_end()
            assert [TypeError] == [type(error) for error in told]

    async def test_exchange_that_waits(self) -> None:
        """It costs the one whose turn it is; those behind it are served."""
        may_answer = asyncio.Event()

        async def script(peer: Peer) -> None:
            while True:
                await peer.request()
                await may_answer.wait()
                await peer.send(OK)

        pool = {"connections": {"max_per_backend": 1}}
        async with (
            talking(script, pool=pool) as (first, gateway, _),
            gateway.client() as second,
            gateway.client() as third,
        ):
            told: list[Exception] = []
            gateway.plane.tell_fault = told.append
            for client, waiting in ((first, 0), (second, 1), (third, 2)):
                client.send("GET /")
                await until(lambda: gateway.in_flight == 1 and gateway.waiting == waiting)  # noqa: B023
            balancer = gateway.plane.pools["pcs"].balancer
            sound = balancer.strategy

            def tell(error: Exception) -> None:
                told.append(error)
                balancer.strategy = sound

            gateway.plane.tell_fault = tell
            balancer.strategy = BrokenStrategy(sound.context)
            may_answer.set()

            assert [200, 500, 200] == [(await one.read_answer()).status for one in (first, second, third)]
            assert [type(error) for error in told] == [ZeroDivisionError]
            assert (gateway.in_flight, gateway.waiting) == (0, 0)

    async def test_exchange_is_answered_500_and_told(self) -> None:
        """The client gets a problem with its reason, the fault is told, and the next request is served."""
        async with talking(echoing) as (client, gateway, _):
            told: list[Exception] = []
            gateway.plane.tell_fault = told.append
            balancer = gateway.plane.pools["pcs"].balancer
            sound = balancer.strategy
            balancer.strategy = BrokenStrategy(sound.context)

            answer = await client.ask("GET /broken")
            balancer.strategy = sound

            assert answer.status == 500
            assert json.loads(answer.body)["reason"] == "internal_error"
            assert [type(error) for error in told] == [ZeroDivisionError]
            async with gateway.client() as another:
                assert (await another.ask("GET /next")).body == b"/next "
