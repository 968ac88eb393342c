"""
Our own benchmark backend, on uvloop and llhttp: where nginx is missing, and where answers must take time.

    python -m benchmarks.backend PORT[:WEIGHT],PORT[:WEIGHT],... [MEAN_DELAY_SECONDS [always]]

Each port is one backend. `/files/1m` and `/files/1g` give that many bytes, `/imbalance` the time
average of (max - min) in flight per weight over all ports since it was last asked, anything else
1 KB of JSON once the request has come (of a target that ends with /slow the first part of the body is
read slowly), after a delay when one is given: exponentially distributed, or always the same.
"""

import asyncio
import random
import selectors
import signal
import sys
from collections.abc import Callable

import httptools
import uvloop

from benchmarks.imbalance import Imbalance
from benchmarks.servers import json_document

_JSON = json_document().encode()
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
_ANSWER = _HEAD % (b"application/json", len(_JSON)) + _JSON
_PIECE = bytes(1 << 18)
_SLOW_READS = 50
_SLOW_PAUSE = 0.1
"""Of a target that ends with /slow the first reads of the body are made slowly: five seconds in all."""
_FILES = {b"/files/1m": 1 << 20, b"/files/1g": 1 << 30}


class Backend(asyncio.Protocol):
    """One connection; answers requests in the order they come, one at a time."""

    def __init__(self, index: int, imbalance: Imbalance, delay: Callable[[], float] | None) -> None:
        self._index = index
        self._imbalance = imbalance
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._left = 0
        self._paused = False
        self._waiting: asyncio.TimerHandle | None = None
        self._slow_reads = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting:
            self._waiting.cancel()
            self._imbalance.change(self._index, -1, self._loop.time())

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        if self._slow_reads:
            self._slow_reads -= 1
            self._transport.pause_reading()
            self._loop.call_later(_SLOW_PAUSE, self._transport.resume_reading)

    def on_url(self, url: bytes) -> None:
        self._target = url
        if url.endswith(b"/slow"):
            self._slow_reads = _SLOW_READS

    def on_message_complete(self) -> None:
        if self._target == b"/imbalance":
            self._report()
        elif self._target in _FILES:
            self._left = _FILES[self._target]
            self._transport.write(_HEAD % (b"application/octet-stream", self._left))
            self._write_pieces()
        elif self._delay:
            self._imbalance.change(self._index, 1, self._loop.time())
            self._waiting = self._loop.call_later(self._delay(), self._answer)
        else:
            self._transport.write(_ANSWER)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._write_pieces()

    def _answer(self) -> None:
        self._waiting = None
        self._imbalance.change(self._index, -1, self._loop.time())
        self._transport.write(_ANSWER)

    def _report(self) -> None:
        now = self._loop.time()
        body = b"%.6f" % self._imbalance.average(now)
        self._imbalance.restart(now)
        self._transport.write(_HEAD % (b"text/plain", len(body)) + body)

    def _write_pieces(self) -> None:
        while self._left and not self._paused:
            self._transport.write(_PIECE[: self._left])
            self._left -= min(self._left, len(_PIECE))


async def serve(ports: list[int], weights: list[float], delay: Callable[[], float] | None) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    imbalance = Imbalance(weights, loop.time())
    for index, port in enumerate(ports):
        await loop.create_server(
            lambda index=index: Backend(index, imbalance, delay),  # type: ignore[misc]
            "127.0.0.1",
            port,
            backlog=4096,
        )
    await stop.wait()


def main() -> None:
    """Read the command line and serve."""
    pairs = [part.partition(":") for part in sys.argv[1].split(",")]
    mean = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    chance = random.Random(11)
    with asyncio.Runner(loop_factory=_precise_loop if mean else uvloop.new_event_loop) as runner:
        runner.run(
            serve(
                [int(port) for port, _, _ in pairs],
                [float(weight or 1) for _, _, weight in pairs],
                _delays(mean, chance, is_constant=sys.argv[3:] == ["always"]) if mean else None,
            )
        )


def _precise_loop() -> asyncio.AbstractEventLoop:
    """
    Give a loop whose delays end in microseconds, by select().

    epoll and uvloop count whole milliseconds, so that delays end in bursts, which no real service does.
    """
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def _delays(mean: float, chance: random.Random, *, is_constant: bool) -> Callable[[], float]:
    return (lambda: mean) if is_constant else (lambda: chance.expovariate(1 / mean))


if __name__ == "__main__":
    main()
