"""One GiB through a proxy, down and up: throughput, CPU and how much the largest process grows."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import accounting
from benchmarks.servers import Server

SIZE = 1 << 30
_PIECE = 1 << 18
_TIMEOUT = 30.0
SLOW_SECONDS = 5.0
_SLOW_PIECE = 4096
_SLOW_PAUSE = 0.01
"""A slow reader takes 400 KiB/s."""


@dataclass(frozen=True, slots=True)
class LargeBody:
    """What it took to carry `SIZE` bytes."""

    bytes_per_second: float
    cpu_seconds: float
    growth: int
    """Bytes by which the peak resident size of one process rose above what it held before."""


def prepare(directory: Path) -> None:
    """Put the file that nginx serves (sparse, so that no disk is read)."""
    with (directory / "files" / "1g").open("wb") as file:
        file.truncate(SIZE)


def download(server: Server) -> LargeBody:
    """Get the file once, with one connection that reads as fast as it can."""
    return _measured(server, _receive)


def upload(server: Server) -> LargeBody:
    """Send a body of that size once."""
    return _measured(server, _send)


def download_slowly(server: Server) -> LargeBody:
    """Get it with a reader that for some seconds takes a little at a time, and the rest at full speed."""
    return _measured(server, partial(_receive, slow_seconds=SLOW_SECONDS))


def upload_slowly(server: Server) -> LargeBody:
    """Send it to a backend that reads the first part slowly."""
    return _measured(server, partial(_send, target=b"/large-upload/slow"))


def _measured(server: Server, transfer: Callable[[socket.socket], None]) -> LargeBody:
    before = _resident(server)
    used = accounting.usage(server.pid)
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), _TIMEOUT) as connection:
        transfer(connection)
    elapsed = time.monotonic() - started
    spent = accounting.usage(server.pid).since(used)
    peaks = {pid: accounting.peak_resident(pid) for pid in before}
    growth = max(peaks[pid] - held for pid, held in before.items())
    return LargeBody(SIZE / elapsed, spent.cpu, growth)


def _resident(server: Server) -> dict[int, int]:
    held = {}
    for stat in accounting.tree(server.pid):
        accounting.reset_peak(stat.pid)
        held[stat.pid] = accounting.memory_of([stat.pid]).rss
    return held


def _receive(connection: socket.socket, slow_seconds: float = 0.0) -> None:
    connection.sendall(b"GET /files/1g HTTP/1.1\r\nHost: benchmark\r\n\r\n")
    head, body = _read_head(connection)
    _check(head)
    left = SIZE - len(body)
    buffer = bytearray(_PIECE)
    until = time.monotonic() + slow_seconds
    while left > 0 and time.monotonic() < until:
        left -= connection.recv_into(buffer, _SLOW_PIECE)
        time.sleep(_SLOW_PAUSE)
    while left > 0 and (count := connection.recv_into(buffer)):
        left -= count
    if left:
        raise ConnectionError(f"{left} bytes of the body did not come")


def _send(connection: socket.socket, target: bytes = b"/large-upload") -> None:
    connection.sendall(b"POST %b HTTP/1.1\r\nHost: benchmark\r\nContent-Length: %d\r\n\r\n" % (target, SIZE))
    piece = bytes(_PIECE)
    for _ in range(SIZE // _PIECE):
        connection.sendall(piece)
    _check(_read_head(connection)[0])


def _read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(_PIECE)
        if not more:
            raise ConnectionError("closed before the response head was complete")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    return head, body


def _check(head: bytes) -> None:
    if not head.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(f"answered {head[:40]!r}, 200 expected")
