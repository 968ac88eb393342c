"""
Memory per idle keep-alive connection.

Each connection has carried one exchange. The figure is the slope between two numbers of open
connections, so that what a process holds anyway, or allocates in steps, counts as little as possible.
"""

import contextlib
import resource
import socket
import time
from collections.abc import Iterator

from benchmarks import accounting, tls
from benchmarks.servers import Server

FEW = 2000
MANY = 10_000
_SPARE_DESCRIPTORS = 500
_REQUEST = (
    b"GET /api/v1/prompts/5f0c7e52 HTTP/1.1\r\nHost: benchmark\r\nAccept: application/json\r\n"
    b"User-Agent: benchmark/1.0\r\nX-Tenant: acme\r\n\r\n"
)
_AT_ONCE = 50
SETTLE_SECONDS = 2.5


def raise_descriptor_limit() -> int:
    """
    Let this process, and what it starts from now on, open as many files as the system lets it.

    Returns how many connections can be held at once, at most `MANY`.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return MANY if hard == resource.RLIM_INFINITY else min(MANY, hard - _SPARE_DESCRIPTORS)


def bytes_per_connection(
    server: Server, few: int = FEW, many: int = MANY, settle: float = SETTLE_SECONDS
) -> float:
    """Return by how many bytes (PSS of all processes) each further connection makes the proxy grow."""
    with contextlib.ExitStack() as stack:
        _open(server, few, stack)
        held_before = _settled(server, settle)
        _open(server, many - few, stack)
        return (_settled(server, settle) - held_before) / (many - few)


def _settled(server: Server, seconds: float) -> int:
    time.sleep(seconds)
    return accounting.memory(server.pid).pss


def _open(server: Server, count: int, stack: contextlib.ExitStack) -> None:
    for size in _batches(count):
        batch = [stack.enter_context(_connect(server)) for _ in range(size)]
        for connection in batch:
            connection.sendall(_REQUEST)
        for connection in batch:
            _read_answer(connection)


def _connect(server: Server) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), 10)
    return tls.client_context().wrap_socket(connection) if server.tls else connection


def _batches(count: int) -> Iterator[int]:
    while count > 0:
        yield min(count, _AT_ONCE)
        count -= _AT_ONCE


def _read_answer(connection: socket.socket) -> None:
    data = b""
    while not data.endswith(b'"}'):
        more = connection.recv(65536)
        if not more:
            raise ConnectionError("a connection was closed before its answer was complete")
        data += more
