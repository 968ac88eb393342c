"""Retries: what is tried again, when, where, how often, and what the client gets if it does not help."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest

from pcs_gateway.proxy.attempts import Denial
from tests.fakes.backend import (
    OK,
    Peer,
    Script,
    ScriptedBackend,
    answering,
    answering_once,
    closed_port,
    hanging,
    resetting,
)
from tests.fakes.gateway import Gateway, balancing, one_pool, talking
from tests.fakes.raw_client import RawClient
from tests.fakes.waiting import until

EVERYTHING = ["connect_failure", "reset_before_response", 500, 502, 503, 504]


CHUNKED_HEAD = b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n"


def busy(status: int = 503, body: bytes = b"busy", *fields: bytes) -> bytes:
    """A whole answer that may be tried again."""
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"HTTP/1.1 %d Busy\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), lines, body)


def retrying(**different: Any) -> dict[str, Any]:
    """A pool that retries after a millisecond, asks its first backend first and ejects nobody."""
    retry = {"attempts": 1, "on": EVERYTHING, "backoff": {"base": "1ms", "maximum": "2ms"}}
    return {
        "strategy": "least_connections",
        "retry": retry | different,
        "outlier_detection": {"consecutive_failures": 0},
    }


def decisions(gateway: Gateway) -> dict[str, dict[str, int]]:
    """What was decided about attempts since it was last asked."""
    return gateway.delta.decisions.get("pcs", {})


def counts(backends: Iterable[ScriptedBackend]) -> list[int]:
    """How many requests each backend saw."""
    return [len(backend.requests) for backend in backends]


class TestConditions:
    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    async def test_status_that_is_listed(self, status: int) -> None:
        """Another backend is asked; the client sees its answer only, and the record tells of both."""
        async with balancing(answering(busy(status)), answering(OK), pool=retrying()) as (
            client,
            gateway,
            backends,
        ):
            answer = await client.ask("GET /")

            assert (answer.status, answer.body) == (200, b"ok")
            assert counts(backends) == [1, 1]
            record = await gateway.record()
            assert record.outcomes == (("b0", "server_error"), ("b1", "success"))
            assert (record.attempts, record.backend, record.reason) == (2, "b1", "")
            assert decisions(gateway) == {"retry": {f"http_{status}": 1}}

    async def test_status_that_is_not_listed(self) -> None:
        """By default no status is: it is passed on, and counted as such."""
        async with balancing(answering(busy()), answering(OK)) as (client, gateway, backends):
            answer = await client.ask("GET /")

            assert (answer.status, answer.body) == (503, b"busy")
            assert counts(backends) == [1, 0]
            assert decisions(gateway) == {"retry_denied": {Denial.NOT_LISTED: 1}}

    @pytest.mark.parametrize(
        ("method", "side_effects", "is_retried"),
        [
            ("GET", None, True),
            ("HEAD", None, True),
            ("POST", None, False),
            ("DELETE", None, False),
            ("POST", False, True),
            ("GET", True, False),
        ],
    )
    @pytest.mark.parametrize("script", [answering(busy()), resetting])
    async def test_method_and_side_effects(
        self, method: str, script: Script, *, side_effects: bool | None, is_retried: bool
    ) -> None:
        """What was sent is sent again by methods of `retry.methods`, and where the route allows it."""
        routes = [{"side_effects": side_effects}]
        async with balancing(script, answering(OK), pool=retrying(), routes=routes) as (
            client,
            gateway,
            backends,
        ):
            answer = await client.ask(f"{method} /")

            assert (answer.status == 200) is is_retried
            assert counts(backends) == [1, int(is_retried)]
            if not is_retried:
                assert decisions(gateway) == {"retry_denied": {Denial.METHOD: 1}}

    @pytest.mark.parametrize("side_effects", [None, True, False])
    async def test_connect_failure_of_any_request(self, side_effects: bool | None) -> None:
        """Nothing was sent, so nothing can happen twice."""
        async with closed_port() as port, ScriptedBackend(answering(OK)) as good:
            configuration = one_pool(
                f"http://127.0.0.1:{port}",
                good.url,
                pool=retrying(),
                routes=[{"side_effects": side_effects}],
            )
            async with Gateway(configuration) as gateway, gateway.client() as client:
                answer = await client.ask("POST /", body=b"body")

                assert answer.status == 200
                assert [request.body for request in good.requests] == [b"body"]
                assert decisions(gateway) == {"retry": {"connect_failure": 1}}

    @pytest.mark.parametrize(
        ("on", "script"), [([503], resetting), (["connect_failure"], resetting), ([], answering(busy()))]
    )
    async def test_cause_that_is_not_listed(self, on: list[Any], script: Script) -> None:
        """`retry.on` is exact."""
        async with balancing(script, answering(OK), pool=retrying(on=on)) as (client, gateway, backends):
            answer = await client.ask("GET /")

            assert answer.status >= 500
            assert counts(backends) == [1, 0]
            assert decisions(gateway) == {"retry_denied": {Denial.NOT_LISTED: 1}}

    async def test_no_attempts_at_all(self) -> None:
        """`retry.attempts: 0` turns retries off, those of failed connects too."""
        async with closed_port() as port, ScriptedBackend(answering(OK)) as good:
            configuration = one_pool(f"http://127.0.0.1:{port}", good.url, pool=retrying(attempts=0))
            async with Gateway(configuration) as gateway, gateway.client() as client:
                assert (await client.ask("GET /")).status == 502
                assert counts([good]) == [0]
                assert decisions(gateway) == {"retry_denied": {Denial.ATTEMPTS: 1}}

    async def test_malformed_response_counts_as_502(self) -> None:
        """It is tried again where 502 is listed, as the client would get a 502 for it."""
        for on, status in (([502], 200), ([503], 502)):
            async with balancing(
                answering_once(b"nonsense\r\n\r\n"), answering(OK), pool=retrying(on=on)
            ) as (
                client,
                _,
                _,
            ):
                assert (await client.ask("GET /")).status == status

    async def test_nothing_is_tried_after_a_byte_of_the_response(self) -> None:
        """A body that breaks off is the client's to see, whatever is listed."""
        for beginning in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        ):
            async with balancing(answering_once(beginning), answering(OK), pool=retrying()) as (
                client,
                gateway,
                backends,
            ):
                client.send("GET /")
                await client.read_end()

                assert counts(backends) == [1, 0]
                assert (await gateway.record()).reason == "response_incomplete"


class TestWhere:
    async def test_each_backend_once_before_any_twice(self) -> None:
        """Others first, whoever the strategy prefers."""
        async with balancing(*[answering(busy())] * 4, pool=retrying(attempts=3)) as (
            client,
            gateway,
            backends,
        ):
            assert (await client.ask("GET /")).status == 503
            assert counts(backends) == [1, 1, 1, 1]
            assert len((await gateway.record()).outcomes) == 4

    async def test_same_backend_when_no_other_is_ready(self) -> None:
        """After a pause, it may have recovered."""
        answers = iter([busy(), OK])

        async def script(peer: Peer) -> None:
            while True:
                await peer.request()
                await peer.send(next(answers))

        async with balancing(script, answering(OK), pool=retrying()) as (client, gateway, (first, second)):
            gateway.unready = {"b1"}
            gateway.publish()
            answer = await client.ask("GET /")

            assert answer.status == 200
            assert counts([first, second]) == [2, 0]

    async def test_same_backend_is_never_asked_at_once(self) -> None:
        """There is a pause in which nothing is sent and no lease is held."""
        pool = retrying(backoff={"base": "20s", "maximum": "20s"})
        async with talking(answering(busy()), pool=pool) as (client, gateway, backend):
            client.send("GET /")
            await until(lambda: decisions(gateway))
            await asyncio.sleep(0.05)

            assert (gateway.in_flight, len(backend.requests)) == (0, 1)
            gateway.jump(20.0)
            assert (await client.read_answer()).status == 503
            assert len(backend.requests) == 2

    async def test_backend_at_its_limit_is_waited_for(self) -> None:
        """The retry queues like every other request."""
        may_answer = asyncio.Event()

        async def held(peer: Peer) -> None:
            while True:
                await peer.request()
                await may_answer.wait()
                await peer.send(OK)

        pool = retrying() | {"connections": {"max_per_backend": 1}}
        async with balancing(answering(busy()), held, pool=pool) as (client, gateway, _):
            gateway.unready = {"b0"}
            gateway.publish()
            async with gateway.client() as other:
                other.send("GET /other")
                await until(lambda: gateway.in_flight)
                gateway.unready = set()
                gateway.publish()
                client.send("GET /")
                await until(lambda: gateway.waiting)
                may_answer.set()

                assert (await client.read_answer()).status == 200
                assert (await other.read_answer()).status == 200

    async def test_same_backend_when_the_one_waited_for_becomes_unready(self) -> None:
        """The retry queues for a backend that is full; when that drops out, the first is asked again."""
        answers = iter([busy(), OK])
        may_answer = asyncio.Event()

        async def script(peer: Peer) -> None:
            while True:
                await peer.request()
                await peer.send(next(answers))

        async def held(peer: Peer) -> None:
            while True:
                await peer.request()
                await may_answer.wait()
                await peer.send(OK)

        pool = retrying() | {"connections": {"max_per_backend": 1}, "queue": {"timeout": "1m"}}
        async with balancing(script, held, pool=pool) as (client, gateway, backends):
            gateway.unready = {"b0"}
            gateway.publish()
            async with gateway.client() as other:
                other.send("GET /other")
                await until(lambda: gateway.in_flight)
                gateway.unready = set()
                gateway.publish()
                client.send("GET /")
                await until(lambda: gateway.waiting)
                gateway.unready = {"b1"}
                gateway.publish()

                assert (await client.read_answer()).status == 200
                assert counts(backends) == [2, 1]
                may_answer.set()
                assert (await other.read_answer()).status == 200


class TestBodies:
    @pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
    @pytest.mark.parametrize("script", [answering(busy()), resetting])
    async def test_kept_body_is_sent_again(self, version: str, script: Script) -> None:
        """To the byte, with the same identity."""
        body = bytes(range(256)) * 100
        routes = [{"side_effects": False}]
        async with balancing(script, answering(OK), pool=retrying(), routes=routes) as (client, _, backends):
            answer = await client.ask(f"POST / {version}", body=body)

            assert answer.status == 200
            (first,), (second,) = (backend.requests for backend in backends)
            assert first.body == second.body == body
            assert first.fields["x-request-id"] == second.fields["x-request-id"]

    async def test_chunked_body_is_sent_again(self) -> None:
        """In chunks of ours, with its trailers."""
        routes = [{"side_effects": False}]
        async with balancing(answering(busy()), answering(OK), pool=retrying(), routes=routes) as (
            client,
            _,
            backends,
        ):
            client.send("POST /", "Transfer-Encoding: chunked")
            for piece in (b"3\r\nabc\r\n", b"2\r\nde\r\n", b"0\r\nX-Sum: 5\r\n\r\n"):
                client.writer.write(piece)
                await asyncio.sleep(0.01)

            assert (await client.read_answer()).status == 200
            assert [(one.requests[0].body, one.requests[0].trailers) for one in backends] == [
                (b"abcde", ("X-Sum: 5",))
            ] * 2

    async def test_body_beyond_the_buffer_cannot_be_sent_again(self) -> None:
        """What is streamed is gone: the answer is passed on, and the reason counted."""
        routes = [{"side_effects": False}]
        limits = {"request_buffer": "1KiB"}
        async with balancing(
            answering(busy()), answering(OK), pool=retrying(), routes=routes, limits=limits
        ) as (
            client,
            gateway,
            backends,
        ):
            client.send("POST /", "Content-Length: 5000")
            client.writer.write(b"x" * 2000)
            await until(lambda: gateway.in_flight)
            client.writer.write(b"x" * 3000)
            answer = await client.read_answer()

            assert (answer.status, answer.body) == (503, b"busy")
            assert counts(backends) == [1, 0]
            assert decisions(gateway) == {"retry_denied": {Denial.BODY: 1}}


class TestLastAnswer:
    """What the client gets when nothing helped: the backend's own last words."""

    async def test_last_response_is_passed_on(self) -> None:
        """Of several answers the last one, with its body and fields."""
        scripts = [
            answering(busy(503, b"answer %d" % number, b"X-Number: %d" % number)) for number in range(3)
        ]
        async with balancing(*scripts, pool=retrying(attempts=2)) as (client, gateway, backends):
            answer = await client.ask("GET /")

            assert counts(backends) == [1, 1, 1]
            record = await gateway.record()
            last = record.outcomes[-1][0].removeprefix("b")
            assert (answer.status, answer.fields["x-number"]) == (503, last)
            assert answer.body == b"answer " + last.encode()
            assert (record.status, record.reason, record.response_bytes) == (503, "", len(answer.body))

    @pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
    @pytest.mark.parametrize(
        "pieces",
        [
            (busy(503, b"busy, sorry"),),
            (b"HTTP/1.1 503 Busy\r\nContent-Length: 11\r\n\r\nbusy,", b" sorry"),
            (CHUNKED_HEAD + b"5\r\nbusy,\r\n6\r\n sorry\r\n0\r\n\r\n",),
            (
                b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbusy,",
                b"\r\n6\r\n sorry\r\n0\r\n\r\n",
            ),
        ],
    )
    async def test_response_before_attempts_that_bring_none(
        self, version: str, pieces: tuple[bytes, ...]
    ) -> None:
        """A retry that is refused is no answer: the response before it is, in whatever framing it came."""
        async with closed_port() as port, ScriptedBackend(answering(*pieces)) as backend:
            configuration = one_pool(backend.url, f"http://127.0.0.1:{port}", pool=retrying())
            async with Gateway(configuration) as gateway, gateway.client() as client:
                client.send(f"GET / {version}")
                if version == "HTTP/1.0":
                    whole = await client.read_end()
                    assert whole.startswith(b"HTTP/1.1 503 Busy\r\n")
                    assert whole.endswith(b"\r\n\r\nbusy, sorry")
                else:
                    answer = await client.read_answer()
                    assert (answer.status, answer.body) == (503, b"busy, sorry")
                record = await gateway.record()
                assert record.outcomes == (("b0", "server_error"), ("b1", "connection_refused"))
                assert (record.status, record.reason, record.backend) == (503, "", "b0")
                assert record.response_bytes == 11

    async def test_head_request(self) -> None:
        """Its length is told, its body is not."""
        async with closed_port() as port:
            script = answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 11\r\n\r\n")
            async with ScriptedBackend(script) as backend:
                configuration = one_pool(backend.url, f"http://127.0.0.1:{port}", pool=retrying())
                async with Gateway(configuration) as gateway, gateway.client() as client:
                    answer = await client.ask("HEAD /")

                    assert (answer.status, answer.fields["content-length"]) == (503, "11")

    async def test_rest_that_is_still_coming_is_waited_for(self) -> None:
        """The attempts are over before the body is: the lease counts until its last byte."""
        may_end = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 11\r\n\r\nbusy,")
            await may_end.wait()
            await peer.send(b" sorry")
            await peer.end()

        async with closed_port() as port, ScriptedBackend(script) as backend:
            configuration = one_pool(backend.url, f"http://127.0.0.1:{port}", pool=retrying())
            async with Gateway(configuration) as gateway, gateway.client() as client:
                client.send("GET /")
                await until(lambda: any(one.backend == "b1" for one in gateway.evidence))
                assert gateway.in_flight == 1
                assert not gateway.records
                may_end.set()
                answer = await client.read_answer()

                assert (answer.status, answer.body) == (503, b"busy, sorry")
                assert gateway.in_flight == 0

    @pytest.mark.parametrize("is_too_long", [True, False])
    async def test_rest_that_does_not_come(self, *, is_too_long: bool) -> None:
        """One that breaks off, or does not fit the response buffer, is given up: the answer is ours."""

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 100000\r\n\r\nbusy,")
            await asyncio.sleep(0.05)
            if is_too_long:
                await peer.send(b"x" * 50_000)
                await peer.end()

        async with closed_port() as port, ScriptedBackend(script) as backend:
            configuration = one_pool(
                backend.url, f"http://127.0.0.1:{port}", pool=retrying(), limits={"response_buffer": "4KiB"}
            )
            async with Gateway(configuration) as gateway, gateway.client() as client:
                answer = await client.ask("GET /")

                assert (answer.status, json.loads(answer.body)["reason"]) == (502, "connect_failed")
                assert gateway.in_flight == 0

    async def test_better_answer_does_not_wait_for_the_rest(self) -> None:
        """The retry's answer is given at once; the first backend stays counted until it is done."""
        may_end = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 11\r\n\r\nbusy,")
            await may_end.wait()
            await peer.send(b" sorry")
            await peer.end()

        async with balancing(script, answering(OK), pool=retrying()) as (client, gateway, _):
            assert (await client.ask("GET /")).body == b"ok"
            assert list(gateway.row.in_flight[:2]) == [1, 0]
            may_end.set()
            await until(lambda: not gateway.in_flight)

            assert len(gateway.records) == 1

    async def test_no_backend_left_after_the_pause(self) -> None:
        """The pool was emptied meanwhile: the response before it is better than our 503."""
        pool = retrying(backoff={"base": "20s", "maximum": "20s"})
        async with talking(answering(busy()), pool=pool) as (client, gateway, _):
            client.send("GET /")
            await until(lambda: decisions(gateway))
            gateway.unready = {"b0"}
            gateway.publish()
            gateway.jump(20.0)
            answer = await client.read_answer()

            assert (answer.status, answer.body) == (503, b"busy")


class TestBudget:
    async def test_exhausted_budget(self) -> None:
        """What is allowed is tried again, the rest is passed on; counted as its reason."""
        pool = retrying(budget={"ratio": 0.2, "minimum_per_second": 0})
        async with talking(answering(busy()), pool=pool) as (client, gateway, backend):
            statuses = [(await client.ask("GET /")).status for _ in range(20)]

            assert statuses == [503] * 20
            assert len(backend.requests) == 24
            assert decisions(gateway) == {
                "retry": {"http_503": 4},
                "retry_denied": {Denial.BUDGET: 16, Denial.ATTEMPTS: 4},
            }

    async def test_waiting_retries_count(self) -> None:
        """A retry is paid for when it is decided, not when it begins."""
        pool = retrying(
            budget={"ratio": 0, "minimum_per_second": 0.1}, backoff={"base": "20s", "maximum": "20s"}
        )
        async with talking(answering(busy()), pool=pool) as (client, gateway, _), gateway.client() as other:
            client.send("GET /")
            await until(lambda: decisions(gateway))

            assert (await other.ask("GET /")).status == 503
            assert decisions(gateway) == {"retry_denied": {Denial.BUDGET: 1}}
            gateway.jump(20.0)
            assert (await client.read_answer()).status == 503

    async def test_stale_connection_costs_nothing(self) -> None:
        """A backend that closed an idle connection did no work: no retry, no pause, no budget."""

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(OK)
            await peer.request()
            peer.reset()

        pool = retrying(budget={"ratio": 0, "minimum_per_second": 0})
        async with talking(script, pool=pool) as (client, gateway, _):
            statuses = [(await client.ask("GET /")).status for _ in range(2)]

            assert statuses == [200, 200]
            assert decisions(gateway) == {"retry": {"stale_connection": 1}}

    async def test_workers_share_it(self) -> None:
        """What another worker spent is not there for this one."""
        pool = retrying(budget={"ratio": 0, "minimum_per_second": 1})
        async with talking(answering(busy()), pool=pool) as (client, gateway, backend):
            other = gateway.other_worker()
            for _ in range(9):
                other.spend_retry()
            for _ in range(3):
                await client.ask("GET /")

            assert len(backend.requests) == 4
            assert decisions(gateway) == {
                "retry": {"http_503": 1},
                "retry_denied": {Denial.BUDGET: 2, Denial.ATTEMPTS: 1},
            }


class TestRetryAfter:
    async def test_pause_that_the_backend_asks_for(self) -> None:
        """The retry begins not before it, and not much later."""
        script = answering(busy(503, b"busy", b"Retry-After: 7"))
        async with balancing(script, answering(OK), pool=retrying()) as (client, gateway, backends):
            client.send("GET /")
            await until(lambda: decisions(gateway))
            gateway.jump(6.9)
            await asyncio.sleep(0.05)
            assert counts(backends) == [1, 0]
            gateway.jump(0.1)

            assert (await client.read_answer()).status == 200
            assert (await gateway.record()).gateway_time < 1.0

    async def test_pause_that_does_not_fit(self) -> None:
        """The answer is passed on, so that the client can wait."""
        script = answering(busy(503, b"busy", b"Retry-After: 30"))
        async with balancing(script, answering(OK), pool=retrying()) as (client, gateway, backends):
            answer = await client.ask("GET /")

            assert (answer.status, answer.body, answer.fields["retry-after"]) == (503, b"busy", "30")
            assert counts(backends) == [1, 0]
            assert decisions(gateway) == {"retry_denied": {Denial.RETRY_AFTER: 1}}

    async def test_429_is_the_clients(self) -> None:
        """It is no failure of the backend: passed on with what it asks for."""
        script = answering(busy(429, b"slow down", b"Retry-After: 1"))
        async with balancing(script, answering(OK), pool=retrying()) as (client, gateway, backends):
            answer = await client.ask("GET /")

            assert (answer.status, answer.fields["retry-after"]) == (429, "1")
            assert counts(backends) == [1, 0]
            assert decisions(gateway) == {}


class TestTime:
    async def test_pause_beyond_request_total(self) -> None:
        """A retry that would begin too late is not waited for."""
        pool = retrying(backoff={"base": "60s", "maximum": "60s"})
        timeouts = {"request_total": "1s"}
        async with balancing(answering(busy()), answering(OK), pool=pool, timeouts=timeouts) as (
            client,
            gateway,
            _,
        ):
            assert (await client.ask("GET /")).status == 503
            assert decisions(gateway) == {"retry_denied": {Denial.TIME: 1}}

    async def test_total_timeout_of_a_retry(self) -> None:
        """When the retry takes too long the client gets the response before it."""
        pool = retrying() | {"on_abandon": "cancel"}
        timeouts = {"response_head": "1m", "request_total": "10s"}
        async with balancing(answering(busy()), hanging, pool=pool, timeouts=timeouts) as (
            client,
            gateway,
            (_, second),
        ):
            client.send("GET /")
            await until(lambda: second.peers and second.peers[0].received)
            gateway.jump(11)
            answer = await client.read_answer()

            assert (answer.status, answer.body) == (503, b"busy")
            assert (await gateway.record()).outcomes == (
                ("b0", "server_error"),
                ("b1", "http_response_timeout"),
            )

    async def test_total_timeout_of_a_pause(self) -> None:
        """The sweep ends a pause as it ends everything else."""
        script = answering(busy(503, b"busy", b"Retry-After: 20"))
        async with balancing(script, answering(OK), pool=retrying()) as (client, gateway, backends):
            client.send("GET /")
            await until(lambda: decisions(gateway))
            gateway.jump(31)

            assert (await client.read_answer()).body == b"busy"
            assert counts(backends) == [1, 0]

    @pytest.mark.parametrize("on_abandon", ["finish", "cancel"])
    async def test_response_timeout_where_504_is_listed(self, on_abandon: str) -> None:
        """Another backend is asked; with `finish` the first stays counted, with `cancel` it is cut."""
        may_answer = asyncio.Event()

        async def held(peer: Peer) -> None:
            await peer.request()
            await may_answer.wait()
            await peer.send(OK)
            await peer.end()

        pool = retrying(on=[504]) | {"on_abandon": on_abandon}
        timeouts = {"response_head": "200ms"}
        async with balancing(held, answering(OK), pool=pool, timeouts=timeouts) as (
            client,
            gateway,
            backends,
        ):
            answer = await client.ask("GET /")

            assert answer.status == 200
            assert list(gateway.row.in_flight[:2]) == [int(on_abandon == "finish"), 0]
            may_answer.set()
            await until(lambda: not gateway.in_flight)
            assert (await gateway.record()).outcomes == (("b0", "http_response_timeout"), ("b1", "success"))
            assert [one.kind for one in gateway.evidence if one.failures] == ["http_response_timeout"]
            assert decisions(gateway) == {"retry": {"http_504": 1}}
            assert counts(backends) == [1, 1]

    async def test_response_timeout_of_a_post(self) -> None:
        """The backend may be at work on it: it is not sent twice."""
        timeouts = {"response_head": "200ms"}
        pool = retrying() | {"on_abandon": "cancel"}
        async with balancing(hanging, answering(OK), pool=pool, timeouts=timeouts) as (client, _, backends):
            answer = await client.ask("POST /", body=b"x")

            assert (answer.status, json.loads(answer.body)["reason"]) == (504, "response_timeout")
            assert counts(backends)[1] == 0


class TestClientThatLeaves:
    async def test_in_the_pause(self) -> None:
        """Nothing is sent for nobody, and nothing is kept for it."""
        pool = retrying(backoff={"base": "20s", "maximum": "20s"})
        async with talking(answering(busy()), pool=pool) as (client, gateway, backend):
            client.send("GET /")
            await until(lambda: decisions(gateway))
            client.reset()
            record = await gateway.record()
            assert len(gateway.plane.delays) == 0
            gateway.jump(20.0)
            await asyncio.sleep(0.02)

            assert (record.status, record.reason) == (499, "client_left")
            assert len(backend.requests) == 1

    async def test_before_the_answer(self) -> None:
        """An abandoned attempt that fails is not tried again."""
        may_answer = asyncio.Event()

        async def held(peer: Peer) -> None:
            await peer.request()
            await may_answer.wait()
            await peer.send(busy())
            await peer.end()

        async with balancing(held, answering(OK), pool=retrying()) as (client, gateway, backends):
            client.send("GET /")
            await until(lambda: backends[0].requests)
            client.reset()
            await until(lambda: gateway.plane.abandoned)
            may_answer.set()
            await until(lambda: not gateway.in_flight)

            assert counts(backends) == [1, 0]
            assert decisions(gateway) == {}


async def test_keep_alive_and_pipelining_go_on_after_retries() -> None:
    """Each of several requests on one connection gets its own answer, in order."""
    answers = iter([busy(503, b"a"), OK, busy(503, b"b"), busy(503, b"c"), OK])

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(next(answers))

    async with talking(script, pool=retrying()) as (client, gateway, _):
        client.writer.write(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n" * 3)
        read: list[tuple[int, bytes]] = [await _status_and_body(client) for _ in range(3)]

        assert read == [(200, b"ok"), (503, b"c"), (200, b"ok")]
        assert [record.attempts for record in gateway.records] == [2, 2, 1]


async def _status_and_body(client: RawClient) -> tuple[int, bytes]:
    answer = await client.read_answer()
    return answer.status, answer.body
