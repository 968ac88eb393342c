"""Accepting clients: at the limit they wait in the kernel, nobody who was let in is forgotten."""

import asyncio
import socket
from collections.abc import Sequence

import pytest

from pcs_gateway.proxy.accepting import holds_more_than_its_share
from tests.fakes.backend import OK, answering
from tests.fakes.gateway import talking
from tests.fakes.waiting import until


@pytest.mark.parametrize(
    ("own", "everyone", "is_more"),
    [
        (100, [100], False),
        (0, [0, 0], False),
        (2, [2, 0], False),
        (3, [3, 0], False),
        (5, [5, 0], True),
        (11, [11, 10], False),
        (60, [60, 52], False),
        (72, [72, 52], True),
        (30, [30, 100, 100], False),
    ],
)
def test_share(own: int, everyone: Sequence[int], is_more: bool) -> None:
    """A worker lets the others go first beyond mean × 1.125 + 2; alone it never does."""
    assert holds_more_than_its_share(own, everyone) == is_more


async def test_clients_beyond_the_limit_wait_in_the_kernel() -> None:
    """At `limits.connections` a worker stops accepting; who waits is served when there is room."""
    async with (
        talking(answering(OK), limits={"connections": 2}) as (first, gateway, _),
        gateway.client() as second,
    ):
        assert (await first.ask("GET /")).status == 200
        assert (await second.ask("GET /")).status == 200
        async with gateway.client() as third:
            third.send("GET /third")
            await asyncio.sleep(0.2)
            assert len(gateway.plane.connections) == 2
            first.reset()

            assert (await third.read_answer()).status == 200
            assert gateway.row.client_connections == 2


async def test_clients_in_the_queue_are_accepted_at_the_end() -> None:
    """Closing the listeners serves first whom the kernel has let in."""
    async with talking(answering(OK)) as (_, gateway, _):
        await until(lambda: gateway.plane.connections)
        clients = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(20)]
        gateway.acceptor.close()
        loop = asyncio.get_running_loop()
        for client in clients:
            client.setblocking(False)
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        for client in clients:
            answer = b""
            async with asyncio.timeout(5):
                while data := await loop.sock_recv(client, 4096):
                    answer += data
            assert answer.startswith(b"HTTP/1.1 200 OK")
            client.close()

        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", gateway.port))


async def test_connections_are_counted() -> None:
    """What the scoreboard shows and what is recorded agree with the clients there are."""
    async with talking(answering(OK)) as (_, gateway, _):
        for _ in range(5):
            async with gateway.client() as client:
                await client.ask("GET /")
                assert gateway.row.client_connections == 2
        await until(lambda: gateway.row.client_connections == 1)
        events = gateway.delta.events

        assert (events["connection_opened"], events["connection_closed"]) == (6, 5)
