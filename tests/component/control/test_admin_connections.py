"""How many connections to the admin API there are, and which of them give way."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager

import pytest
from aiohttp import web

from pcs_gateway.control.admin.connections import AdminSite
from tests.fakes.raw_client import RawClient
from tests.fakes.waiting import until

MOST = 4


class Api:
    """
    An application whose answers can be held back.

    Attributes:
        port: Where it is served.
        asked: Requests that have come.
        release: Lets those to `/held` be answered.
    """

    def __init__(self, site: AdminSite, port: int) -> None:
        self.site = site
        self.port = port
        self.asked = 0
        self.release = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        if request.path == "/held":
            await self.release.wait()
        return web.Response(text="well")

    async def clients(self, stack: AsyncExitStack, count: int) -> list[RawClient]:
        """So many connections that are accepted."""
        return [await stack.enter_async_context(RawClient(self.port)) for _ in range(count)]


@asynccontextmanager
async def served(patience: float = 30.0) -> AsyncIterator[Api]:
    """The application on a port of loopback, with four connections at most."""
    application = web.Application()
    site = AdminSite(application, MOST, patience)
    listener = socket.create_server(("127.0.0.1", 0))
    api = Api(site, listener.getsockname()[1])
    application.router.add_route("*", "/{path:.*}", api.answer)
    await site.start(listener)
    try:
        yield api
    finally:
        await site.close()


async def ends(client: RawClient) -> bool:
    """Whether the connection was closed, with or without a reset."""
    try:
        return await client.read_end() == b""
    except ConnectionError:
        return True


async def test_longest_silent_gives_way() -> None:
    """Who asks is answered, however many say nothing; only as many as needed are closed."""
    async with served() as api, AsyncExitStack() as stack:
        first, *others = await api.clients(stack, MOST)
        assert 200 == (await others[0].ask("GET /")).status
        (another,) = await api.clients(stack, 1)

        assert 200 == (await another.ask("GET /")).status
        assert await ends(first)
        assert [200] * 3 == [(await one.ask("GET /")).status for one in others]


async def test_who_asked_a_moment_ago_gives_way_last() -> None:
    """A kept connection is as good as a new one while others have been silent for longer."""
    async with served() as api, AsyncExitStack() as stack:
        kept, *silent = await api.clients(stack, MOST)
        await until(lambda: "4 silent" in repr(api.site))
        assert 200 == (await kept.ask("GET /")).status
        for one in await api.clients(stack, MOST - 1):
            assert 200 == (await one.ask("GET /")).status

        assert [True] * 3 == [await ends(one) for one in silent]
        assert 200 == (await kept.ask("GET /")).status


async def test_nobody_who_asks_gives_way() -> None:
    """While all connections wait for their answers a new one is closed at once; later there is room."""
    async with served() as api, AsyncExitStack() as stack:
        waiting = await api.clients(stack, MOST)
        for one in waiting:
            one.send("GET /held")
        await until(lambda: api.asked == MOST)
        (beyond,) = await api.clients(stack, 1)
        assert await ends(beyond)

        api.release.set()
        assert [200] * MOST == [(await one.read_answer()).status for one in waiting]
        (another,) = await api.clients(stack, 1)
        assert 200 == (await another.ask("GET /")).status


async def test_flood_leaves_no_more_than_the_most() -> None:
    """Connections that come all at once are bounded, too, and the next one is served."""
    async with served() as api:
        with ExitStack() as stack:
            for _ in range(50):
                stack.enter_context(socket.create_connection(("127.0.0.1", api.port)))
            async with RawClient(api.port) as client:
                assert 200 == (await client.ask("GET /")).status
                await until(lambda: "0 connections that ask, 4 silent" in repr(api.site))


async def test_silence_is_borne_for_a_while_only() -> None:
    """Without a complete head in time a connection is closed: nothing sent, half a head, or idle again."""
    async with served(patience=0.2) as api, AsyncExitStack() as stack:
        clients = await api.clients(stack, 3)
        clients[1].writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n")
        assert 200 == (await clients[2].ask("GET /")).status

        assert [True] * 3 == [await ends(one) for one in clients]


async def test_slow_answer_is_no_silence() -> None:
    """Who waits for an answer is not closed."""
    async with served(patience=0.1) as api, RawClient(api.port) as client:
        client.send("GET /held")
        await asyncio.sleep(0.4)
        api.release.set()

        assert 200 == (await client.read_answer()).status


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 10_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused_and_not_logged(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody who can connect could fill the log."""
    async with served() as api, RawClient(api.port) as client:
        client.writer.write(sent)

        assert (await client.read_end()).startswith(b"HTTP/1.0 400 ")
    assert [] == caplog.records
