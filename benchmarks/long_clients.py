"""Clients who stay: streams and WebSockets, one after another; each must end as the backend ends it."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import uvloop

from benchmarks.restart_backend import END

COMPLETE = "complete"
GRACE = 15.0
"""Seconds beyond its own length after which a client gives up."""


class LongClients:
    """
    Clients in a thread of their own; use `long_clients` to make them.

    Attributes:
        outcomes: How each stream and each WebSocket ended, by kind and outcome.
    """

    def __init__(self, address: str, count: int, seconds: float) -> None:
        self._base = f"http://{address}"
        self._count = count
        self._seconds = seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()), name="long clients")
        self.outcomes: Counter[tuple[str, str]] = Counter()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more, and return when all that was begun has ended."""
        self._stopping.set()
        self._thread.join()

    def complete(self, kind: str) -> int:
        """Return how many of a kind ended as they should."""
        return self.outcomes[kind, COMPLETE]

    def cut(self, kind: str) -> dict[str, int]:
        """Return how the others ended."""
        return {how: n for (one, how), n in self.outcomes.items() if one == kind and how != COMPLETE}

    async def _run(self) -> None:
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        timeout = aiohttp.ClientTimeout(total=self._seconds + GRACE)
        async with aiohttp.ClientSession(self._base, connector=connector, timeout=timeout) as session:
            users = [
                self._user(session, kind, n) for n in range(self._count) for kind in ("stream", "socket")
            ]
            await asyncio.gather(*users)

    async def _user(self, session: aiohttp.ClientSession, kind: str, number: int) -> None:
        """Open one after another, so that they begin at all times."""
        await asyncio.sleep(self._seconds * number / self._count)
        ask = self._stream if kind == "stream" else self._socket
        while not self._stopping.is_set():
            try:
                outcome = await ask(session)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                outcome = f"{type(error).__name__}: {error}"[:80]
            self.outcomes[kind, outcome] += 1
            if outcome != COMPLETE:
                await asyncio.sleep(0.1)

    async def _stream(self, session: aiohttp.ClientSession) -> str:
        async with session.get(f"/stream/{self._seconds:g}") as response:
            body = await response.text()
            if response.status != 200:
                return str(response.status)
            return COMPLETE if body.endswith(f"{END}\n") else f"ended after {len(body)} bytes"

    async def _socket(self, session: aiohttp.ClientSession) -> str:
        last = ""
        async with session.ws_connect(f"/socket/{self._seconds:g}") as connection:
            async for message in connection:
                last = str(message.data)
            code = connection.close_code
        return COMPLETE if last == END and code == aiohttp.WSCloseCode.OK else f"ended with code {code}"


@contextmanager
def long_clients(address: str, count: int, seconds: float) -> Iterator[LongClients]:
    """Run `count` streams and as many WebSockets, each so many seconds long, until the block ends."""
    clients = LongClients(address, count, seconds)
    clients.start()
    try:
        yield clients
    finally:
        clients.stop()
