"""Slow clients of the benchmark, on our own backend."""

import socket
from pathlib import Path

from benchmarks import servers
from benchmarks.dripping import connect, drip, sip
from benchmarks.slow_clients import slow_clients
from tests.fakes.processes.gateway import eventually


def test_slow_clients_come_stay_and_go(tmp_path: Path) -> None:
    """A whole answer after sixty thousand seconds is not waited for; nobody was cut off."""
    with servers.delaying_backends(tmp_path, (1,), 0.0) as backend:
        with slow_clients(backend.port, 3, 3, 0.0) as again:
            pass

        assert again == [0]


def test_who_is_cut_off_is_noticed() -> None:
    """A closed connection ends dripping and sipping; an open one without bytes does not."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        clients = [connect(server.getsockname()[1], b"GET") for _ in range(2)]
        accepted = [server.accept()[0] for _ in range(2)]
        assert (drip(clients[0]), sip(clients[1])) == (True, True)
        accepted[1].send(b"ab")
        eventually(lambda: clients[1].recv(2, socket.MSG_PEEK) == b"ab", "two bytes came")
        assert sip(clients[1])
        for one in accepted:
            one.close()
        eventually(lambda: not drip(clients[0]), "dripping ends")
        eventually(lambda: not sip(clients[1]), "sipping ends")
        for client in clients:
            client.close()
