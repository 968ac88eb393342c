"""The gateway that tests run in their own loop, and the backends behind it."""

import pytest

from tests.fakes.backend import OK, ScriptedBackend, answering, echoing, hanging
from tests.fakes.gateway import Gateway, one_pool
from tests.fakes.waiting import until


async def test_exchange_goes_through() -> None:
    """A request reaches the backend, its answer the client, and both are recorded."""
    async with ScriptedBackend(answering(OK)) as backend, Gateway(one_pool(backend.url)) as gateway:
        async with gateway.client() as client:
            answer = await client.ask("GET /a")

        assert (answer.status, answer.body) == (200, b"ok")
        assert [request.target for request in backend.requests] == ["/a"]
        assert (await gateway.record()).backend == "b0"


async def test_lease_left_behind_is_noticed() -> None:
    """Leaving the gateway while an attempt never ends fails the test."""
    async with ScriptedBackend(hanging) as backend:
        gateway = await Gateway(one_pool(backend.url), patience=0.05).__aenter__()
        gateway.row.in_flight[0] = 1

        with pytest.raises(AssertionError, match="leases"):
            await gateway.__aexit__(None, None, None)


async def test_error_in_a_callback_is_noticed() -> None:
    """An exception in a protocol's callback, which the loop would only log, fails the test."""
    gateway = await Gateway(one_pool("http://127.0.0.1:1")).__aenter__()

    def fail() -> None:
        raise RuntimeError("in a callback")

    gateway.plane.loop.call_soon(fail)
    await until(lambda: gateway.errors)

    with pytest.raises(AssertionError, match="in a callback"):
        await gateway.__aexit__(None, None, None)


async def test_backend_tells_requests_apart() -> None:
    """A scripted backend reads bodies by length and by chunks, with their trailers."""
    async with ScriptedBackend(echoing) as backend, Gateway(one_pool(backend.url)) as gateway:
        async with gateway.client() as client:
            first = await client.ask("POST /length", body=b"12345")
            second = await client.ask(
                "POST /chunks", "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"
            )

        assert [first.body, second.body] == [b"/length 12345", b"/chunks abc"]
        assert backend.requests[1].trailers == ("X-T: 1",)
