"""Who is accepted when: at the limit, beyond a worker's share, and without descriptors."""

import asyncio
import errno
import socket
from contextlib import AsyncExitStack
from typing import Any

import pytest

from pcs_gateway.proxy.accepting import holds_more_than_its_share
from tests.fakes.backend import OK, answering, echoing
from tests.fakes.gateway import Gateway, talking
from tests.fakes.waiting import until


class TestLimit:
    async def test_clients_beyond_it_wait_and_are_not_refused(self) -> None:
        """With `limits.connections: 2` the third client is served when one of the others has left."""
        async with (
            talking(echoing, limits={"connections": 2}) as (first, gateway, _),
            gateway.client() as second,
            AsyncExitStack() as stack,
        ):
            await first.ask("GET /1")
            await second.ask("GET /2")
            third = await stack.enter_async_context(gateway.client())
            third.send("GET /3")
            await asyncio.sleep(0.1)
            assert 2 == len(gateway.plane.connections)

            first.writer.close()

            assert 200 == (await third.read_answer()).status


class ListenerWithoutDescriptors(socket.socket):
    """A listening socket whose process has no descriptor left for a while."""

    is_exhausted = True
    attempts = 0

    def accept(self) -> Any:
        if self.is_exhausted:
            self.attempts += 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def without_descriptors(gateway: Gateway) -> ListenerWithoutDescriptors:
    """Let a gateway that accepts have such a socket from now on."""
    (real,) = gateway.acceptor._sockets
    exhausted = ListenerWithoutDescriptors(fileno=real.detach())
    gateway.acceptor._sockets[:] = [exhausted]
    asyncio.get_running_loop().remove_reader(exhausted.fileno())
    gateway.acceptor._is_listening = False
    gateway.acceptor.start()
    return exhausted


def told(gateway: Gateway) -> list[int]:
    """The numbers of the errors that were told, which are no errors of the test."""
    numbers = [error["exception"].errno for error in gateway.errors]
    gateway.errors.clear()
    return numbers


class TestDescriptors:
    async def test_lack_of_them_is_told_and_holds_clients_up_only(self) -> None:
        """A client waits in the kernel's queue until there are descriptors again; it is told once."""
        async with talking(echoing) as (first, gateway, _):
            await first.ask("GET /1")
            exhausted = without_descriptors(gateway)
            async with gateway.client() as second:
                second.send("GET /2")
                await until(lambda: exhausted.attempts > 3)
                exhausted.is_exhausted = False

                assert 200 == (await second.read_answer()).status
            assert 200 == (await first.ask("GET /1")).status
            assert [errno.EMFILE] == told(gateway)

    async def test_idle_connections_make_room(self) -> None:
        """Those that were idle for longest are closed, so that there are descriptors for new ones."""
        async with talking(echoing) as (first, gateway, _):
            await first.ask("GET /1")
            gateway.jump(2)
            exhausted = without_descriptors(gateway)
            async with gateway.client() as second:
                second.send("GET /2")
                assert b"" == await first.read_end()
                exhausted.is_exhausted = False

                assert 200 == (await second.read_answer()).status
            assert [errno.EMFILE] == told(gateway)

    async def test_lack_that_lasts_is_told_again(self) -> None:
        """Ten seconds later."""
        async with talking(echoing) as (first, gateway, _):
            await first.ask("GET /1")
            exhausted = without_descriptors(gateway)
            async with gateway.client() as second:
                second.send("GET /2")
                await until(lambda: gateway.errors)
                gateway.jump(10)
                await until(lambda: len(gateway.errors) > 1)
                exhausted.is_exhausted = False

                assert 200 == (await second.read_answer()).status
            assert [errno.EMFILE] * 2 == told(gateway)


@pytest.mark.parametrize(
    ("own", "all_workers", "is_more"),
    [
        pytest.param(1000, [1000], False, id="alone"),
        pytest.param(2, [2, 0], False, id="few"),
        pytest.param(3, [3, 0], True, id="beyond"),
        pytest.param(18, [18, 16, 15], False, id="at-the-edge"),
        pytest.param(20, [20, 16, 24], False, id="within-an-eighth"),
        pytest.param(21, [21, 16, 24], True, id="beyond-an-eighth"),
        pytest.param(0, [0, 100], False, id="the-fewest"),
        pytest.param(5, [], False, id="nobody-accepts"),
    ],
)
def test_share_is_the_fewest_and_an_eighth_and_two(own: int, all_workers: list[int], is_more: bool) -> None:
    """A worker that holds more lets the others accept first."""
    assert is_more == holds_more_than_its_share(own, all_workers)


async def test_connections_count_from_their_accept_on() -> None:
    """What is accepted and not open yet is shown to the other workers, and shown once when it is open."""
    async with talking(echoing) as (first, gateway, _):
        await first.ask("GET /1")
        (listener,) = gateway.acceptor._sockets
        with socket.create_connection(("127.0.0.1", gateway.port)):
            assert gateway.acceptor._accept_one(listener)
            assert (2, 1) == (gateway.row.client_connections, len(gateway.plane.connections))

            await until(lambda: len(gateway.plane.connections) == 2)

            assert 2 == gateway.row.client_connections
        await until(lambda: gateway.row.client_connections == 1)


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
