"""
Slow clients: POSTs whose bodies come a byte a second, and readers that take a byte a second.

    python -m benchmarks.dripping PORT DRIPPING READING SECONDS

They come one after another in so many seconds, so that they are not all cut off in one moment either. Prints
`READY` when all are there, goes on until standard input ends, and then prints how many it had to
connect anew because they were cut off. One process, plain sockets, one round a second.
"""

import select
import socket
import sys
import time
from collections.abc import Callable
from random import Random

READY = "READY"
READ_TARGET = "/files/1m"
_POST = b"POST /upload HTTP/1.1\r\nHost: benchmark\r\nContent-Length: 60000\r\n\r\n"
_GET = f"GET {READ_TARGET} HTTP/1.1\r\nHost: benchmark\r\n\r\n".encode()
_ROUND_SECONDS = 1.0
_GROUPS = 20
"""A round is made in so many parts, so that the clients are not all served at one moment."""


def drip(client: socket.socket) -> bool:
    """Send one byte of the body; False when the other side is done with it."""
    try:
        client.send(b"x")
        return not client.recv(4096, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:
        return False


def sip(client: socket.socket) -> bool:
    """Read one byte of the response; False when there is none left."""
    try:
        return bool(client.recv(1, socket.MSG_DONTWAIT))
    except BlockingIOError:
        return True
    except OSError:
        return False


def connect(port: int, request: bytes) -> socket.socket:
    """Open a connection with a small receive buffer and send a request, or its head."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(request)
    return client


def main() -> int:
    """Be slow until standard input ends."""
    port, dripping, reading = map(int, sys.argv[1:4])
    pause = float(sys.argv[4]) / (dripping + reading)
    kinds: list[tuple[bytes, Callable[[socket.socket], bool]]] = [(_POST, drip)] * dripping
    kinds += [(_GET, sip)] * reading
    Random(1).shuffle(kinds)
    clients: list[socket.socket] = []
    for request, _ in kinds:
        clients.append(connect(port, request))
        time.sleep(pause)
    print(READY, flush=True)
    again = 0
    while True:
        for group in range(_GROUPS):
            for index in range(group, len(kinds), _GROUPS):
                request, act = kinds[index]
                if not act(clients[index]):
                    clients[index].close()
                    clients[index] = connect(port, request)
                    again += 1
            if select.select([sys.stdin], [], [], _ROUND_SECONDS / _GROUPS)[0]:
                print(again, flush=True)
                return 0


if __name__ == "__main__":
    sys.exit(main())
