"""
A stand-in for one instance of PCS as a process of its own, quick to start and cheap to ask.

    GET /                     200 at once; every answer names the instance in X-PCS-Instance
    GET /sleep/SECONDS        the same, later
    GET /order/status/STATUS  from now on everything but /health and what stands here gets this status
    GET /order/health/STATUS  the same for /health
    GET /order/deed/DEED      from now on everything but /health and what stands here is answered by a deed of
                              `DEEDS`; "answer" is the usual one
    GET /counts               how often each path was asked for, as JSON

It prints its port and serves until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
from collections import Counter

import uvloop

DEEDS = {
    "reset": (b"", "reset"),
    "close": (b"", "close"),
    "garbage": (b"SSH-2.0-OpenSSH_9.2\r\n", "close"),
    "hang": (b"", "hang"),
    "hang-in-head": (b"HTTP/1.1 200 OK\r\nContent-Le", "hang"),
    "hang-in-body": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "hang"),
    "truncate": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "close"),
    "truncate-chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", "close"),
    "exceed": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more than that", "go on"),
    "refuse": (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "go on"),
}
"""What an instance sends instead of an answer, and what becomes of the connection then."""

UNTOUCHED = ("/order/", "/counts", "/health")
"""Paths that no deed touches."""

HEAD = "HTTP/1.1 {status} Ordered\r\nX-PCS-Instance: {name}\r\nContent-Length: {length}\r\n\r\n"


class Instance:
    """
    What all connections share.

    Attributes:
        name: Of the instance.
        statuses: By what they are for, `status` or `health`.
        deed: What becomes of requests that are no orders and no checks.
        counts: By path.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.statuses = {"status": 200, "health": 200}
        self.deed = "answer"
        self.counts: Counter[str] = Counter()

    def answer(self, path: str) -> bytes:
        """Do what the path says."""
        self.counts[path] += 1
        match path.split("/")[1:]:
            case ["order", "deed", deed]:
                self.deed = deed
                return self._answer(200, "")
            case ["order", what, status]:
                self.statuses[what] = int(status)
                return self._answer(200, "")
            case ["counts"]:
                return self._answer(200, json.dumps(self.counts))
            case ["health"]:
                return self._answer(self.statuses["health"], "")
        return self._answer(self.statuses["status"], path)

    def _answer(self, status: int, body: str) -> bytes:
        return (HEAD.format(status=status, name=self.name, length=len(body)) + body).encode()


class Conversation(asyncio.Protocol):
    """One connection; answers leave in the order of the requests."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._unread = b""
        self._is_waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._unread += data
        self._go_on()

    def _go_on(self) -> None:
        while not self._is_waiting and not self._transport.is_closing() and b"\r\n\r\n" in self._unread:
            head, _, self._unread = self._unread.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode()
            if self._instance.deed != "answer" and not path.startswith(UNTOUCHED):
                self._do(path)
            elif path.startswith("/sleep/"):
                self._is_waiting = True
                asyncio.get_running_loop().call_later(float(path[7:]), self._answer_late, path)
            else:
                self._transport.write(self._instance.answer(path))

    def _do(self, path: str) -> None:
        """Misbehave as ordered."""
        self._instance.counts[path] += 1
        sent, then = DEEDS[self._instance.deed]
        self._transport.write(sent)
        if then == "reset":
            raw: socket.socket = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        elif then == "close":
            self._transport.close()
        self._is_waiting = then == "hang"

    def _answer_late(self, path: str) -> None:
        self._is_waiting = False
        if not self._transport.is_closing():
            self._transport.write(self._instance.answer(path))
            self._go_on()


async def main(name: str, port: int) -> None:
    """Serve for ever."""
    instance = Instance(name)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Conversation(instance), "127.0.0.1", port)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
