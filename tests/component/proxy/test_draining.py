"""A worker that was told to stop: what its clients' connections see."""

import asyncio

from tests.fakes.backend import OK, Peer, answering, echoing
from tests.fakes.gateway import Gateway, talking
from tests.fakes.waiting import until


def drain(gateway: Gateway) -> None:
    """What SIGTERM does to the data plane."""
    gateway.plane.begin_drain()
    gateway.acceptor.close()
    gateway.plane.close_idle()


async def test_next_answer_says_that_the_connection_ends() -> None:
    """A kept-alive connection takes one more request, whose answer has `Connection: close`."""
    async with talking(answering(OK, OK)) as (client, gateway, _):
        assert "connection" not in (await client.ask("GET /")).fields

        drain(gateway)
        answer = await client.ask("GET /")

        assert (200, "close") == (answer.status, answer.fields["connection"])
        assert b"" == await client.read_end()


async def test_requests_that_have_come_are_answered_first() -> None:
    """Of pipelined requests every one is answered, and the last answer says that it is the last."""
    async with talking(echoing) as (client, gateway, _):
        drain(gateway)
        client.writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(5)))

        answers = [await client.read_answer() for _ in range(5)]

        assert [f"/{number} ".encode() for number in range(5)] == [answer.body for answer in answers]
        assert [None] * 4 + ["close"] == [answer.fields.get("connection") for answer in answers]
        assert b"" == await client.read_end()


async def test_response_that_has_begun_ends_as_it_would_have() -> None:
    """Its head cannot be taken back; the connection takes one more request, or ends by idleness."""
    may_go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        await may_go_on.wait()
        await peer.send(b"cd")
        await peer.request()
        await peer.send(OK)

    async with talking(script) as (client, gateway, _):
        client.send("GET /1")
        head = await client.reader.readuntil(b"\r\n\r\nab")
        drain(gateway)
        may_go_on.set()

        assert b"close" not in head
        assert b"cd" == await client.reader.readexactly(2)
        assert "close" == (await client.ask("GET /2")).fields["connection"]


async def test_idle_connection_is_closed_by_halves_after_two_seconds() -> None:
    """The client sees the end, and what it sends in that moment causes no reset for a second more."""
    async with talking(echoing) as (client, gateway, _):
        await client.ask("GET /")
        drain(gateway)
        gateway.jump(1.9)
        await asyncio.sleep(0.05)
        assert not client.reader.at_eof()

        gateway.jump(0.2)
        assert b"" == await client.read_end()
        client.send("GET /late")
        gateway.jump(0.8)
        await asyncio.sleep(0.05)
        assert 1 == len(gateway.plane.connections)

        gateway.jump(0.3)
        await until(lambda: not gateway.plane.connections)
