"""Hedges: a second attempt beside a slow one, and which of the two the client gets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pcs_gateway.proxy.hedge import LOST, OVERTAKEN
from pcs_gateway.proxy.hedging import HedgeDenial
from pcs_gateway.telemetry.record import ExchangeRecord
from tests.fakes.backend import (
    OK,
    Peer,
    ScriptedBackend,
    answering,
    answering_once,
    closed_port,
    full_port,
    hanging,
    resetting,
)
from tests.fakes.gateway import Gateway, balancing, one_pool
from tests.fakes.waiting import until

BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"
BUSY_IN_CHUNKS = b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n0\r\nX-Sum: 4\r\n\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone"


class Held:
    """A backend that holds each answer until it is told to give it."""

    def __init__(self, *pieces: bytes) -> None:
        self.may_answer = asyncio.Event()
        self.pieces = pieces or (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nheld",)

    async def __call__(self, peer: Peer) -> None:
        while True:
            await peer.request()
            await self.may_answer.wait()
            await peer.send(*self.pieces)


def hedged(*, on_abandon: str = "finish", **different: Any) -> dict[str, Any]:
    """A pool whose requests are hedged after 30 ms, the first of them at once within the budget."""
    return {
        "hedge": {"after": "30ms", "budget": 1.0} | different,
        "on_abandon": on_abandon,
        "retry": {"attempts": 0},
        "outlier_detection": {"consecutive_failures": 0},
    }


def is_accounted_for(record: ExchangeRecord) -> bool:
    """Tell whether no time counts twice, and next to none of it as the gateway's own."""
    return -1e-6 < record.gateway_time < 0.1


def decisions(gateway: Gateway) -> dict[str, dict[str, int]]:
    """What was decided about attempts since it was last asked."""
    return gateway.delta.decisions.get("pcs", {})


class TestRace:
    @pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
    @pytest.mark.parametrize(
        "pieces",
        [
            (OK,),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", b"k"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no", b"\r\n1\r\nk\r\n0\r\n\r\n"),
        ],
    )
    async def test_hedge_wins(self, version: str, pieces: tuple[bytes, ...]) -> None:
        """The client gets its answer, body and all, in whatever framing; the record tells of both."""
        async with balancing(hanging, answering(*pieces), pool=hedged(on_abandon="cancel")) as (
            client,
            gateway,
            (_, second),
        ):
            client.send(f"GET / {version}")
            if version == "HTTP/1.0":
                assert (await client.read_end()).endswith(b"\r\n\r\nok")
            else:
                assert (await client.read_answer()).body == b"ok"

            assert len(second.requests) == 1
            record = await gateway.record()
            assert record.outcomes == (("b0", OVERTAKEN), ("b1", "success"))
            assert (record.attempts, record.backend, record.status) == (2, "b1", 200)
            assert 0.025 < record.duration < 1.0
            assert 0 < record.upstream_time < record.duration - 0.025
            assert abs(record.gateway_time) < 0.02
            assert decisions(gateway) == {"hedge": {"started": 1, "won": 1}}

    async def test_first_attempt_wins(self) -> None:
        """Its answer is given as if there had been no hedge, which loses."""
        held = Held()
        async with balancing(held, hanging, pool=hedged(on_abandon="cancel")) as (
            client,
            gateway,
            (_, second),
        ):
            client.send("GET /")
            await until(lambda: second.peers and second.peers[0].received)
            held.may_answer.set()

            assert (await client.read_answer()).body == b"held"
            record = await gateway.record()
            assert record.outcomes == (("b1", LOST), ("b0", "success"))
            assert (record.attempts, record.backend) == (2, "b0")
            assert decisions(gateway) == {"hedge": {"started": 1, "lost": 1}}
            assert gateway.in_flight == 0
            await until(second.peers[0].has_ended.is_set)

    async def test_fast_attempt_has_no_hedge(self) -> None:
        """It is over before the delay is; nothing of that stays behind."""
        async with balancing(answering(OK), answering(OK), pool=hedged()) as (client, gateway, backends):
            for _ in range(10):
                assert (await client.ask("GET /")).status == 200

            assert sum(len(backend.requests) for backend in backends) == 10
            assert len(gateway.plane.delays) == 0
            assert decisions(gateway) == {}

    async def test_identity_is_one(self) -> None:
        """Both attempts carry the same request id and trace, and so does the answer."""
        held = Held()
        async with balancing(held, answering(OK), pool=hedged()) as (client, gateway, backends):
            answer = await client.ask("GET /")
            held.may_answer.set()
            await until(lambda: not gateway.in_flight)

            ids = {backend.requests[0].fields["x-request-id"] for backend in backends}
            traces = {backend.requests[0].fields["traceparent"].split("-")[1] for backend in backends}
            assert ids == traces == {answer.fields["x-request-id"]}

    async def test_next_request_on_the_same_connection(self) -> None:
        """Pipelined requests are answered in order, whoever answers them."""
        held = Held()
        async with balancing(held, answering(OK), pool=hedged()) as (client, gateway, _):
            gateway.plane.pools["pcs"].budget.requests = 100
            client.writer.write(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n" * 4)
            bodies = [(await client.read_answer()).body for _ in range(4)]
            held.may_answer.set()

            assert bodies == [b"ok"] * 4


class TestBadAnswers:
    async def test_5xx_of_the_hedge_does_not_win(self) -> None:
        """The first attempt may still bring something better."""
        held = Held()
        async with balancing(held, answering(BUSY), pool=hedged()) as (client, gateway, (_, second)):
            client.send("GET /")
            await until(lambda: second.requests)
            await until(lambda: gateway.in_flight == 1)
            assert not gateway.records
            held.may_answer.set()

            assert (await client.read_answer()).body == b"held"
            assert (await gateway.record()).outcomes == (("b1", "server_error"), ("b0", "success"))
            assert decisions(gateway) == {"hedge": {"started": 1, "failed": 1}}
            assert [one.kind for one in gateway.evidence if one.failures] == ["http_503"]

    @pytest.mark.parametrize(
        "pieces",
        [
            (BUSY,),
            (BUSY.replace(b"503", b"429"),),
            (b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbu", b"sy"),
        ],
    )
    async def test_bad_answer_of_the_first_does_not_win(self, pieces: tuple[bytes, ...]) -> None:
        """While its hedge is out, the exchange waits for that."""
        first, second = Held(*pieces), Held()
        async with balancing(first, second, pool=hedged()) as (client, gateway, backends):
            client.send("GET /")
            await until(lambda: backends[1].requests)
            first.may_answer.set()
            await until(lambda: gateway.in_flight == 1)
            second.may_answer.set()

            assert (await client.read_answer()).body == b"held"
            outcome = "success" if b"429" in pieces[0] else "server_error"
            record = await gateway.record()
            assert record.outcomes == (("b0", outcome), ("b1", "success"))
            assert is_accounted_for(record)
            assert decisions(gateway) == {"hedge": {"started": 1, "taken_over": 1}}

    async def test_client_error_wins(self) -> None:
        """A 404 is an answer."""
        async with balancing(hanging, answering(NOT_FOUND), pool=hedged(on_abandon="cancel")) as (
            client,
            _,
            _,
        ):
            assert (await client.ask("GET /")).status == 404

    async def test_both_bad(self) -> None:
        """The client gets the last answer that there was."""
        first = Held(BUSY)
        async with balancing(first, answering(BUSY), pool=hedged()) as (client, gateway, (_, second)):
            client.send("GET /")
            await until(lambda: second.requests)
            first.may_answer.set()
            answer = await client.read_answer()

            assert (answer.status, answer.body) == (503, b"busy")
            assert (await gateway.record()).attempts == 2

    @pytest.mark.parametrize("answer_of_the_hedge", [BUSY, BUSY_IN_CHUNKS])
    async def test_answer_of_the_hedge_is_better_than_none(self, answer_of_the_hedge: bytes) -> None:
        """The first attempt breaks off after the hedge said 503: the client gets that, trailers and all."""
        may_reset = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await may_reset.wait()
            peer.reset()

        async with balancing(script, answering(answer_of_the_hedge), pool=hedged()) as (
            client,
            gateway,
            (_, second),
        ):
            client.send("GET /")
            await until(lambda: second.requests and gateway.in_flight == 1)
            may_reset.set()
            answer = await client.read_answer()

            assert (answer.status, answer.body) == (503, b"busy")
            assert answer.trailers == (("X-Sum: 4",) if answer_of_the_hedge is BUSY_IN_CHUNKS else ())
            assert (await gateway.record()).outcomes == (
                ("b1", "server_error"),
                ("b0", "connection_terminated"),
            )


class TestFailures:
    async def test_hedge_that_cannot_connect_leaves_the_first(self) -> None:
        """It is evidence against its backend, and nothing else happens."""
        held = Held()
        async with closed_port() as port, ScriptedBackend(held) as backend:
            configuration = one_pool(backend.url, f"http://127.0.0.1:{port}", pool=hedged())
            async with Gateway(configuration) as gateway, gateway.client() as client:
                client.send("GET /")
                await until(lambda: gateway.evidence)
                held.may_answer.set()

                assert (await client.read_answer()).body == b"held"
                assert (await gateway.record()).outcomes == (("b1", "connection_refused"), ("b0", "success"))
                assert gateway.evidence[0].backend == "b1"

    async def test_first_that_cannot_connect_leaves_the_hedge(self) -> None:
        """A connect that nobody answers is hedged too, and the hedge goes on when it fails."""
        held = Held()
        async with full_port() as port, ScriptedBackend(held) as backend:
            timeouts = {"connect": "200ms"}
            configuration = one_pool(
                f"http://127.0.0.1:{port}", backend.url, pool=hedged(), timeouts=timeouts
            )
            async with Gateway(configuration) as gateway, gateway.client() as client:
                client.send("GET /")
                await until(lambda: gateway.evidence)
                assert gateway.in_flight == 1
                held.may_answer.set()

                assert (await client.read_answer()).body == b"held"
                record = await gateway.record()
                assert record.outcomes == (("b0", "connection_timeout"), ("b1", "success"))
                assert is_accounted_for(record)
                assert decisions(gateway) == {"hedge": {"started": 1, "taken_over": 1}}

    async def test_hedge_that_is_still_connecting_is_taken_over(self) -> None:
        """The first attempt fails while the hedge connects: its end is the exchange's."""
        may_reset = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await may_reset.wait()
            peer.reset()

        async with full_port() as port, ScriptedBackend(script) as backend:
            timeouts = {"connect": "300ms"}
            configuration = one_pool(
                backend.url, f"http://127.0.0.1:{port}", pool=hedged(), timeouts=timeouts
            )
            async with Gateway(configuration) as gateway, gateway.client() as client:
                client.send("GET /")
                await until(lambda: gateway.in_flight == 2)
                may_reset.set()
                await until(lambda: gateway.in_flight == 1)

                assert (await client.read_answer()).status == 504
                record = await gateway.record()
                assert record.outcomes == (
                    ("b0", "connection_terminated"),
                    ("b1", "connection_timeout"),
                )
                assert is_accounted_for(record)

    @pytest.mark.parametrize("ending", [resetting, answering_once(b"nonsense\r\n\r\n")])
    async def test_hedge_that_breaks_off_leaves_the_first(self, ending: Any) -> None:
        """Reset or malformed."""
        held = Held()
        async with balancing(held, ending, pool=hedged()) as (client, gateway, (_, second)):
            client.send("GET /")
            await until(lambda: second.requests and gateway.in_flight == 1)
            held.may_answer.set()

            assert (await client.read_answer()).body == b"held"
            assert decisions(gateway) == {"hedge": {"started": 1, "failed": 1}}

    async def test_both_fail(self) -> None:
        """Then it is a failure, retried or answered like any other."""
        may_reset = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await may_reset.wait()
            peer.reset()

        async with balancing(script, script, pool=hedged()) as (client, gateway, (_, second)):
            client.send("GET /")
            await until(lambda: second.requests)
            may_reset.set()

            assert (await client.read_answer()).status == 502
            assert len((await gateway.record()).outcomes) == 2

    async def test_timed_out_first_attempt_leaves_the_hedge(self) -> None:
        """The hedge has a response_head of its own."""
        held = Held()
        timeouts = {"response_head": "300ms"}
        pool = hedged(on_abandon="cancel", after="200ms")
        async with balancing(hanging, held, pool=pool, timeouts=timeouts) as (client, gateway, (_, second)):
            client.send("GET /")
            await until(lambda: second.requests)
            await until(lambda: gateway.in_flight == 1)
            held.may_answer.set()

            answer = await client.read_answer()
            assert answer.body == b"held"
            record = await gateway.record()
            assert record.outcomes == (("b0", "http_response_timeout"), ("b1", "success"))
            assert is_accounted_for(record)
            told = float(answer.fields["server-timing"].removeprefix("gateway;dur="))
            assert 0.0 <= told < 100.0


class TestLoser:
    async def test_finish_counts_it_until_its_end(self) -> None:
        """The backend works on, so it stays in flight; its connection is used again."""
        held = Held()
        async with balancing(held, answering(OK), pool=hedged()) as (client, gateway, _):
            assert (await client.ask("GET /")).body == b"ok"
            assert list(gateway.row.in_flight[:2]) == [1, 0]
            held.may_answer.set()
            await until(lambda: not gateway.in_flight)

            assert len(gateway.records) == 1
            assert gateway.upstream_connections == 2
            assert [one for one in gateway.evidence if one.failures] == []

    async def test_cancel_closes_it(self) -> None:
        """The backend learns at once that nobody waits."""
        async with balancing(hanging, answering(OK), pool=hedged(on_abandon="cancel")) as (
            client,
            gateway,
            (first, _),
        ):
            assert (await client.ask("GET /")).body == b"ok"
            assert gateway.in_flight == 0
            await until(first.peers[0].has_ended.is_set)

    async def test_loser_that_hangs_is_evidence(self) -> None:
        """After response_head it failed, though its client has long had an answer; in the end it is cut."""
        async with balancing(hanging, answering(OK), pool=hedged()) as (client, gateway, (first, _)):
            assert (await client.ask("GET /")).body == b"ok"
            gateway.jump(14)
            assert [one for one in gateway.evidence if one.failures] == []
            gateway.jump(2)
            assert [(one.backend, one.kind) for one in gateway.evidence if one.failures] == [
                ("b0", "http_response_timeout")
            ]
            assert gateway.in_flight == 1
            gateway.jump(61)

            assert gateway.in_flight == 0
            await until(first.peers[0].has_ended.is_set)
            assert len([one for one in gateway.evidence if one.failures]) == 1

    @pytest.mark.parametrize("on_abandon", ["finish", "cancel"])
    async def test_latency_of_a_loser_counts(self, on_abandon: str) -> None:
        """A slow backend whose answers are all overtaken is still known to be slow."""
        held = Held()
        pool = hedged(on_abandon=on_abandon) | {"strategy": "least_time"}
        async with balancing(held, answering(OK), pool=pool) as (client, gateway, _):
            assert (await client.ask("GET /")).body == b"ok"
            held.may_answer.set()
            await until(lambda: not gateway.in_flight)
            slow, fast = gateway.plane.pools["pcs"].balancer.members

            assert slow.latency > 0.02 > fast.latency

    async def test_both_attempts_of_a_race_wait(self) -> None:
        """A backend that a hedge waits for is as slow to a strategy as one that a first attempt waits for."""
        pool = hedged(on_abandon="cancel") | {"strategy": "least_time"}
        async with balancing(Held(), Held(), pool=pool) as (client, gateway, backends):
            client.send("GET /")
            await until(lambda: all(backend.requests for backend in backends))
            gateway.jump(2)

            assert [True, True] == [
                2.0 <= member.waiting < 3.0 for member in gateway.plane.pools["pcs"].balancer.members
            ]
            client.reset()

    @pytest.mark.parametrize("on_abandon", ["finish", "cancel"])
    async def test_client_that_leaves_both(self, on_abandon: str) -> None:
        """Each ends as `on_abandon` says; there is one record."""
        first, second = Held(), Held()
        async with balancing(first, second, pool=hedged(on_abandon=on_abandon)) as (
            client,
            gateway,
            backends,
        ):
            client.send("GET /")
            await until(lambda: backends[1].requests)
            client.reset()
            await until(lambda: not gateway.plane.connections)

            assert gateway.in_flight == (2 if on_abandon == "finish" else 0)
            assert decisions(gateway) == {"hedge": {"started": 1, "lost": 1}}
            first.may_answer.set()
            second.may_answer.set()
            await until(lambda: not gateway.in_flight)
            record = await gateway.record()
            assert (record.status, record.reason) in {(499, "client_left"), (200, "client_left")}
            assert len(gateway.records) == 1

    async def test_total_timeout_ends_both(self) -> None:
        """504 for the client; nothing stays behind."""
        timeouts = {"request_total": "300ms"}
        async with balancing(hanging, hanging, pool=hedged(on_abandon="cancel"), timeouts=timeouts) as (
            client,
            gateway,
            _,
        ):
            answer = await client.ask("GET /")

            assert answer.status == 504
            assert gateway.in_flight == 0
            assert (await gateway.record()).reason == "total_timeout"
            assert [(one.backend, one.kind) for one in gateway.evidence if one.failures] == [
                ("b0", "http_response_timeout")
            ]


class TestWhatIsHedged:
    @pytest.mark.parametrize(
        ("head", "fields", "body", "is_hedged"),
        [
            ("GET /", (), b"", True),
            ("HEAD /", (), b"", True),
            ("GET /", ("Content-Length: 0",), b"", True),
            ("GET /", (), b"x", False),
            ("POST /", (), b"", False),
            ("OPTIONS /", (), b"", False),
            ("GET /", ("Connection: upgrade", "Upgrade: echo"), b"", False),
        ],
    )
    async def test_request(self, head: str, fields: tuple[str, ...], body: bytes, *, is_hedged: bool) -> None:
        """Methods of `hedge.methods` without a body; never an upgrade."""
        held = Held(b"HTTP/1.1 204 No Content\r\n\r\n")
        routes = [{"allow_upgrade": True}]
        async with balancing(held, answering(NOT_FOUND), pool=hedged(), routes=routes) as (
            client,
            gateway,
            (first, second),
        ):
            client.send(head, *fields, body=body)
            await until(lambda: first.requests)
            await asyncio.sleep(0.06)
            assert bool(second.requests) is is_hedged
            held.may_answer.set()
            await client.read_answer(head.partition(" ")[0])
            await until(lambda: not gateway.in_flight)

    @pytest.mark.parametrize("side_effects", [True, False])
    async def test_route_with_side_effects(self, side_effects: bool) -> None:
        """`side_effects: true`: nothing is sent twice; false changes nothing here."""
        held = Held()
        routes = [{"side_effects": side_effects}]
        async with balancing(held, answering(OK), pool=hedged(), routes=routes) as (
            client,
            _,
            (first, second),
        ):
            client.send("GET /")
            await until(lambda: first.requests)
            await asyncio.sleep(0.06)
            assert bool(second.requests) is not side_effects
            held.may_answer.set()
            await client.read_answer()

    async def test_retry_is_not_hedged(self) -> None:
        """A request has two attempts at a time at most, and the hedge is for the first."""
        held = Held()
        pool = hedged() | {"retry": {"attempts": 1, "on": [503], "backoff": {"base": "1ms"}}}
        async with balancing(answering(BUSY), held, answering(OK), pool=pool) as (client, gateway, backends):
            gateway.unready = {"b2"}
            gateway.publish()
            client.send("GET /")
            await until(lambda: backends[1].requests)
            gateway.unready = set()
            gateway.publish()
            await asyncio.sleep(0.06)
            assert not backends[2].requests
            held.may_answer.set()
            assert (await client.read_answer()).body == b"held"

    async def test_percentile_before_it_is_known(self) -> None:
        """Without enough data nothing is hedged; the last published value holds, through reloads too."""
        held = Held()
        async with balancing(held, answering(OK), pool=hedged(after="p95")) as (client, gateway, backends):
            client.send("GET /")
            await until(lambda: backends[0].requests)
            assert len(gateway.plane.delays) == 0
            held.may_answer.set()
            await client.read_answer()
            held.may_answer.clear()

            (route,) = gateway.plane.router.routes
            gateway.plane.hedge_after({route.name: 0.03})
            gateway.plane.hedge_after({"another": 0.5})
            gateway.reload()
            gateway.unready = {"b1"}
            gateway.publish()
            client.send("GET /")
            await until(lambda: len(backends[0].requests) == 2)
            gateway.unready = set()
            gateway.publish()
            assert (await client.read_answer()).body == b"ok"
            held.may_answer.set()

    async def test_delay_is_kept(self) -> None:
        """The hedge begins when it is due, late by no more than a loop's timer is."""
        late = []
        for _ in range(5):
            times: list[float] = []

            async def note(peer: Peer, times: list[float] = times) -> None:
                await peer.request()
                times.append(asyncio.get_running_loop().time())
                await asyncio.sleep(0.2)
                await peer.send(OK)

            async with balancing(note, note, pool=hedged()) as (client, _, _):
                await client.ask("GET /")
                late.append(times[1] - times[0] - 0.03)

        assert min(late) < 0.005
        assert max(late) > -0.005

    async def test_held_answer_whose_rest_never_comes(self) -> None:
        """
        The first attempt, on a pooled connection, answers 503 and stalls; the hedge misses its time.

        The client has its answer when `request_total` is over, and the waiting is nobody's own time.
        """
        is_armed, second_came = asyncio.Event(), asyncio.Event()
        armed: list[Peer] = []

        async def script(peer: Peer) -> None:
            while True:
                await peer.request()
                if not is_armed.is_set():
                    await peer.send(OK)
                    continue
                armed.append(peer)
                if len(armed) == 2:
                    second_came.set()
                    await peer.end()
                    return
                await second_came.wait()
                await peer.send(b"HTTP/1.1 503 No\r\nContent-Length: 10\r\n\r\nabc")
                await peer.end()
                return

        pool = {
            "strategy": "round_robin",
            "hedge": {"after": "30ms", "budget": 1.0},
            "retry": {"attempts": 1, "on": [503], "budget": {"minimum_per_second": 100}},
        }
        async with balancing(script, script, pool=pool) as (client, gateway, _):
            for _ in range(20):
                assert 200 == (await client.ask("GET /")).status
            is_armed.set()
            client.send("GET /")
            await until(second_came.is_set)
            await until(lambda: any(one.exchange and one.exchange.held for one in gateway.plane.connections))
            gateway.jump(15.1)
            gateway.jump(15.1)

            assert 504 == (await client.read_answer()).status
            record = await gateway.record(20)
            gateway.jump(60.1)  # the end of what is left of both attempts
            assert record.duration > 30.0
            assert -1.0 < record.gateway_time < 1.0


class TestDenials:
    async def test_budget(self) -> None:
        """At most `budget` of the requests, over all workers; none of few requests."""
        held = Held()
        async with balancing(held, answering(OK), pool=hedged(budget=0.05)) as (client, gateway, backends):
            client.send("GET /")
            await until(lambda: decisions(gateway) == {"hedge_denied": {HedgeDenial.BUDGET: 1}})
            held.may_answer.set()
            assert (await client.read_answer()).body == b"held"

            assert len(backends[1].requests) == 0

    async def test_no_other_backend(self) -> None:
        """A hedge at the same backend would be no help."""
        held = Held()
        async with balancing(held, answering(OK), pool=hedged()) as (client, gateway, _):
            gateway.unready = {"b1"}
            gateway.publish()
            client.send("GET /")
            await until(lambda: decisions(gateway) == {"hedge_denied": {HedgeDenial.NO_BACKEND: 1}})
            held.may_answer.set()
            assert (await client.read_answer()).body == b"held"

    async def test_other_backend_at_its_limit(self) -> None:
        """Nor is it worth a place for which others would wait."""
        held = Held()
        pool = hedged() | {"connections": {"max_per_backend": 1}}
        async with (
            balancing(held, held, pool=pool) as (client, gateway, _),
            gateway.client() as other,
        ):
            client.send("GET /")
            other.send("GET /")
            await until(lambda: decisions(gateway))
            assert gateway.in_flight == 2
            held.may_answer.set()
            assert {(await one.read_answer()).status for one in (client, other)} == {200}

    @pytest.mark.parametrize("where", ["here", "elsewhere"])
    async def test_pool_that_queues(self, where: str) -> None:
        """Requests that wait come before second attempts, in whatever worker they wait."""
        held = Held()
        pool = hedged() | {"connections": {"max_per_backend": 1}}
        async with balancing(held, answering(OK), pool=pool) as (client, gateway, _):
            gateway.unready = {"b1"}
            gateway.publish()
            client.send("GET /")
            await until(lambda: gateway.in_flight)
            if where == "elsewhere":
                gateway.other_worker().row.waiters[0] = 1
                await until(lambda: decisions(gateway) == {"hedge_denied": {HedgeDenial.QUEUE: 1}})
                held.may_answer.set()
            else:
                async with gateway.client() as other:
                    other.send("GET /")
                    await until(lambda: gateway.waiting)
                    await until(lambda: decisions(gateway) == {"hedge_denied": {HedgeDenial.QUEUE: 1}})
                    held.may_answer.set()
                    await other.read_answer()
            await client.read_answer()

    async def test_everything_is_slow(self) -> None:
        """When most attempts last longer than the delay hedges do not help: the load stays as it was."""

        async def slow(peer: Peer) -> None:
            while True:
                await peer.request()
                await asyncio.sleep(0.05)
                await peer.send(OK)

        async with balancing(slow, slow, slow, pool=hedged(budget=1.0)) as (client, gateway, backends):
            gateway.plane.pools["pcs"].budget.requests = 1000
            for _ in range(40):
                await client.ask("GET /")
            await until(lambda: not gateway.in_flight)

            sent = sum(len(backend.requests) for backend in backends)
            decided = decisions(gateway)
            assert sent <= 40 + 10
            assert decided["hedge_denied"][HedgeDenial.SLOW] >= 30

    async def test_hedges_that_never_win_become_rare(self) -> None:
        """Of a share of the requests only a tenth is spent on attempts that lose."""

        async def sometimes_slow(peer: Peer) -> None:
            while True:
                request = await peer.request()
                await asyncio.sleep(0.05 if request.target == "/slow" else 0.0)
                await peer.send(OK)

        pool = hedged(budget=0.2)
        async with balancing(sometimes_slow, sometimes_slow, pool=pool) as (client, gateway, backends):
            for number in range(60):
                await client.ask("GET /slow" if number % 5 == 0 else "GET /fast")
            await until(lambda: not gateway.in_flight)

            sent = sum(len(backend.requests) for backend in backends)
            assert 60 < sent <= 62
            assert decisions(gateway)["hedge_denied"][HedgeDenial.BUDGET] >= 9
