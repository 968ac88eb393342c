"""Attempts that fail, and what may be tried again: what was not sent, and what may be sent twice."""

import asyncio
import json

import pytest

from tests.fakes.backend import (
    OK,
    Peer,
    ScriptedBackend,
    answering,
    answering_once,
    closed_port,
    full_port,
    resetting,
)
from tests.fakes.gateway import Gateway, balancing, one_pool, talking
from tests.fakes.waiting import until

ROUND_ROBIN = {"strategy": "round_robin"}


def outcomes(gateway: Gateway) -> list[tuple[tuple[str, str], ...]]:
    """The attempts of every exchange that took more than one, or whose only one failed."""
    return [record.outcomes for record in gateway.records]


async def test_refused_connect_is_tried_on_another_backend() -> None:
    """Nothing was sent, so any method is tried again, body and all, and the client sees nothing."""
    async with closed_port() as port, ScriptedBackend(answering(OK)) as backend:
        configuration = one_pool(f"http://127.0.0.1:{port}", backend.url, pool=ROUND_ROBIN)
        async with Gateway(configuration) as gateway, gateway.client() as client:
            for method in ("GET", "POST", "DELETE", "PATCH"):
                answer = await client.ask(f"{method} /", body=b"body")
                assert answer.status == 200

            assert [request.body for request in backend.requests] == [b"body"] * 4
            retried = [one for one in outcomes(gateway) if one]
            assert set(retried) == {(("b0", "connection_refused"), ("b1", "success"))}
            assert {one.backend for one in gateway.evidence if one.failures} == {"b0"}


async def test_refused_connect_is_tried_as_often_as_configured() -> None:
    """`retry.attempts` after the first, each on another backend, whatever the method."""
    async with closed_port() as a, closed_port() as b, closed_port() as c, closed_port() as d:
        urls = [f"http://127.0.0.1:{port}" for port in (a, b, c, d)]
        pool = {"retry": {"attempts": 2}, "outlier_detection": {"consecutive_failures": 0}}
        async with Gateway(one_pool(*urls, pool=pool)) as gateway, gateway.client() as client:
            post = await client.ask("POST /", body=b"x")
            get = await client.ask("GET /")

            assert (post.status, json.loads(post.body)["reason"]) == (502, "connect_failed")
            assert (get.status, json.loads(get.body)["reason"]) == (502, "connect_failed")
            assert [len(one) for one in outcomes(gateway)] == [3, 3]
            assert all(len(set(one)) == len(one) for one in outcomes(gateway))


async def test_only_backend_is_tried_again() -> None:
    """Without another backend the same is tried, after a pause."""
    async with closed_port() as port:
        configuration = one_pool(f"http://127.0.0.1:{port}")
        async with Gateway(configuration) as gateway, gateway.client() as client:
            answer = await client.ask("GET /")

            assert answer.status == 502
            assert outcomes(gateway) == [(("b0", "connection_refused"),) * 2]


async def test_connect_timeout() -> None:
    """A connect that nobody answers ends after `timeouts.connect`; another backend may help, else 504."""
    timeouts = {"connect": "100ms"}
    async with full_port() as port, ScriptedBackend(answering(OK)) as backend:
        full = f"http://127.0.0.1:{port}"
        async with Gateway(one_pool(full, timeouts=timeouts)) as gateway, gateway.client() as client:
            answer = await client.ask("GET /")

            assert (answer.status, json.loads(answer.body)["reason"]) == (504, "connect_timeout")
            assert outcomes(gateway) == [(("b0", "connection_timeout"),) * 2]

        configuration = one_pool(full, backend.url, pool=ROUND_ROBIN, timeouts=timeouts)
        async with Gateway(configuration) as gateway, gateway.client() as client:
            statuses = [(await client.ask("POST /", body=b"x")).status for _ in range(2)]

            assert statuses == [200, 200]
            assert (("b0", "connection_timeout"), ("b1", "success")) in outcomes(gateway)


@pytest.mark.parametrize(
    ("method", "is_retried"), [("GET", True), ("HEAD", True), ("POST", False), ("PUT", False)]
)
async def test_reset_before_the_response(method: str, is_retried: bool) -> None:
    """The backend may have acted already: only methods of `retry.methods` are sent again."""
    async with ScriptedBackend(resetting) as bad, ScriptedBackend(answering(OK)) as good:
        configuration = one_pool(bad.url, good.url, pool=ROUND_ROBIN)
        async with Gateway(configuration) as gateway, gateway.client() as client:
            statuses = {(await client.ask(f"{method} /")).status for _ in range(2)}
            await until(lambda: len(gateway.records) == 2)

            assert statuses == ({200} if is_retried else {200, 502})
            assert len(bad.requests) == 1
            assert (("b0", "connection_terminated"), ("b1", "success")) in outcomes(gateway) or not is_retried


async def test_reset_of_a_route_with_side_effects() -> None:
    """`side_effects: true`: not even a GET is sent again once it was sent."""
    async with ScriptedBackend(resetting) as bad, ScriptedBackend(answering(OK)) as good:
        routes = [{"side_effects": True}]
        configuration = one_pool(bad.url, good.url, pool=ROUND_ROBIN, routes=routes)
        async with Gateway(configuration) as gateway, gateway.client() as client:
            statuses = sorted([(await client.ask("GET /")).status for _ in range(2)])

            assert statuses == [200, 502]


async def test_reset_is_not_tried_for_ever() -> None:
    """`retry.attempts` after the first, each on another backend, then 502."""
    async with (
        ScriptedBackend(resetting) as a,
        ScriptedBackend(resetting) as b,
        ScriptedBackend(resetting) as c,
    ):
        pool = {"retry": {"attempts": 1}}
        async with Gateway(one_pool(a.url, b.url, c.url, pool=pool)) as gateway, gateway.client() as client:
            answer = await client.ask("GET /")

            assert (answer.status, json.loads(answer.body)["reason"]) == (502, "upstream_reset")
            assert sum(len(one.requests) for one in (a, b, c)) == 2


async def test_retry_keeps_the_identity() -> None:
    """The client's answer and every attempt carry the same request id; an attempt is a span of that trace."""
    async with ScriptedBackend(resetting) as bad, ScriptedBackend(answering(OK)) as good:
        pool = ROUND_ROBIN
        async with Gateway(one_pool(bad.url, good.url, pool=pool)) as gateway, gateway.client() as client:
            answers = [await client.ask("GET /") for _ in range(2)]

            seen = {request.fields["x-request-id"] for request in (*bad.requests, *good.requests)}
            assert seen == {answer.fields["x-request-id"] for answer in answers}
            assert len(bad.requests) == 1
            requests = (*bad.requests, *good.requests)
            assert len(requests) == 3
            spans = set()
            for request in requests:
                _, trace, span, _ = request.fields["traceparent"].split("-")
                assert trace == request.fields["x-request-id"]
                spans.add(span)
            assert len(spans) == 3


async def test_nothing_is_tried_after_the_response_began() -> None:
    """A backend that dies in the middle of its body has answered: the client sees what came."""
    beginning = answering_once(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    async with balancing(beginning, beginning) as (client, gateway, backends):
        client.send("GET /")
        await client.read_end()

        assert sum(len(backend.requests) for backend in backends) == 1
        assert (await gateway.record()).reason == "response_incomplete"


class TestStaleConnections:
    @pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 502)])
    async def test_connection_that_the_backend_closes_just_as_it_is_reused(
        self, method: str, status: int
    ) -> None:
        """Tried again on a new connection where the method allows it; no evidence against the backend."""

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(OK)
            await peer.request()
            peer.reset()

        async with talking(script) as (client, gateway, backend):
            assert (await client.ask("GET /1")).status == 200
            answer = await client.ask(f"{method} /2")

            assert answer.status == status
            assert len(backend.peers) == (2 if status == 200 else 1)
            assert [one for one in gateway.evidence if one.failures] == []
            expected = ("b0", "stale_connection")
            assert outcomes(gateway)[1][0] == expected

    async def test_all_idle_connections_are_given_up(self) -> None:
        """A backend that restarted has closed them all; one failure is enough to know."""
        may_answer = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await may_answer.wait()
            await peer.send(OK)
            await peer.request()
            peer.reset()

        async with talking(script) as (client, gateway, backend), gateway.client() as other:
            client.send("GET /")
            other.send("GET /")
            await until(lambda: len(backend.requests) == 2)
            may_answer.set()
            await client.read_answer()
            await other.read_answer()
            assert gateway.upstream_connections == 2
            backend.script = answering(OK)

            assert (await client.ask("GET /")).status == 200
            await until(lambda: gateway.upstream_connections == 1)

    async def test_idle_connection_that_was_closed_is_not_used(self) -> None:
        """An end of file on an idle connection takes it out of the pool: even a POST goes to a new one."""
        async with talking(answering_once(OK)) as (client, gateway, backend):
            for number in range(3):
                assert (await client.ask("POST /", body=b"x")).status == 200
                await until(lambda: not gateway.upstream_connections)
                assert len(backend.peers) == number + 1


async def test_backend_that_accepts_and_closes_is_a_failed_connect() -> None:
    """A connection that ends before anything was sent on it: a POST is tried elsewhere."""

    async def script(peer: Peer) -> None:
        peer.reset()

    async with balancing(script, answering(OK), pool=ROUND_ROBIN) as (client, gateway, _):
        statuses = [(await client.ask("POST /", body=b"x")).status for _ in range(6)]

        # whether the end is seen before or after the request leaves is a race of the kernel's
        assert statuses.count(200) >= 3
        assert set(statuses) <= {200, 502}
        assert gateway.in_flight == 0


class TestNobodyReady:
    async def test_no_backend_is_ready(self) -> None:
        """503 with Retry-After, the specification's words, and what each backend's last check found."""
        configuration = one_pool("http://127.0.0.1:1", "http://127.0.0.1:2")
        async with Gateway(configuration) as gateway, gateway.client() as client:
            gateway.unready = {"b0", "b1"}
            gateway.publish()
            answer = await client.ask("GET /")
            body = json.loads(answer.body)

            assert (answer.status, answer.fields["retry-after"]) == (503, "1")
            assert body["message"] == "No healthy instances available"
            assert body["reason"] == "no_healthy_backend"
            assert [line.split(":")[0] for line in body["backends"]] == ["b0", "b1"]
            assert all("connection refused" in line for line in body["backends"])
            assert answer.fields["proxy-status"].startswith("pcs-gateway; error=destination_unavailable")
            await until(lambda: gateway.records)
            assert gateway.delta.reasons == {"no_healthy_backend": 1}

    async def test_unready_backend_gets_no_attempts(self) -> None:
        """Readiness as published counts from the next request on, and back."""
        async with balancing(answering(OK), answering(OK)) as (client, gateway, (a, b)):
            gateway.unready = {"b0"}
            gateway.publish()
            for _ in range(4):
                await client.ask("GET /")
            assert (len(a.requests), len(b.requests)) == (0, 4)
            gateway.unready = {"b1"}
            gateway.publish()
            for _ in range(4):
                await client.ask("GET /")
            assert (len(a.requests), len(b.requests)) == (4, 4)

    async def test_backend_without_address(self) -> None:
        """A backend whose name was never resolved is a failed connect, told as such."""
        configuration = one_pool("http://127.0.0.1:1")
        async with Gateway(configuration) as gateway, gateway.client() as client:
            gateway.addresses = ()
            gateway.publish()
            answer = await client.ask("GET /")

            assert answer.status == 502
            assert outcomes(gateway) == [(("b0", "dns_error"),) * 2]

    async def test_second_address_is_tried(self) -> None:
        """A name with several addresses: the ones behind a dead one are tried in the same attempt."""
        async with talking(answering(OK)) as (client, gateway, _):
            gateway.addresses = ("127.0.0.9", "127.0.0.1")
            gateway.publish()
            answer = await client.ask("POST /", body=b"x")

            assert answer.status == 200
            assert outcomes(gateway) == [()]


class TestOwnEvidence:
    async def test_worker_avoids_a_backend_that_keeps_failing(self) -> None:
        """After `consecutive_failures` this worker skips it by itself, until it is told otherwise."""
        failing = answering(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
        async with ScriptedBackend(failing) as bad, ScriptedBackend(answering(OK)) as good:
            pool = ROUND_ROBIN | {"outlier_detection": {"consecutive_failures": 3, "base_ejection": "30s"}}
            async with Gateway(one_pool(bad.url, good.url, pool=pool)) as gateway, gateway.client() as client:
                for _ in range(20):
                    await client.ask("GET /")
                assert len(bad.requests) == 3

                gateway.plane.unskip("pcs", "b0")
                for _ in range(6):
                    await client.ask("GET /")
                assert len(bad.requests) == 6

                gateway.jump(31)
                await client.ask("GET /")
                await client.ask("GET /")
                assert len(bad.requests) == 7

    async def test_last_backend_is_never_avoided(self) -> None:
        """A pool of one backend keeps it, whatever it does."""
        failing = answering(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
        async with talking(failing, pool={"outlier_detection": {"consecutive_failures": 2}}) as (
            client,
            _,
            backend,
        ):
            statuses = [(await client.ask("GET /")).status for _ in range(6)]

            assert statuses == [503] * 6
            assert len(backend.requests) == 6
