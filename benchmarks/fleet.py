"""
A fleet of backends in one process, far from CPU-bound: each port is one backend, and each attempt is counted.

    python -m benchmarks.fleet CONTROL_PORT PORT,PORT,... TIMES [SLOW [SLOTS]]

TIMES are the fields of `ServiceTimes` as JSON (`{"mean": 0.05, "variation": 0.15}`), SLOW the factor of the
slow backends by position (`{"5": 16}`). With SLOTS a backend works on so many requests at a time and lets
others wait, first come first served. The number at the end of a path is the request's; the same number again
is another attempt of it. `/health` passes always, and a path without a number is answered at once; neither is
counted.

On the control port, which no proxy knows: GET `/counts`, `/reset`, `/factor/NUMBER` (all backends from now on
so much slower) and `/fault/POSITION/KIND`; each answers with the counts up to then, as JSON.
"""

import asyncio
import contextlib
import json
import re
import signal
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum

import httptools
import uvloop

from benchmarks.servers import json_document
from benchmarks.service_times import ServiceTimes

_JSON = json_document().encode()
_HEAD = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_ANSWER = _HEAD % (b"200 OK", len(_JSON)) + _JSON
_TRUNCATED = _ANSWER[: -len(_JSON) // 2]
_REFUSAL = _HEAD % (b"503 Service Unavailable", 2) + b"{}"
_RESET = struct.pack("ii", 1, 0)
_NUMBER = re.compile(rb"/(\d+)$")


class Fault(StrEnum):
    """How a black hole swallows what it is given. Its health check passes all the time."""

    NONE = "none"
    INSTANT_503 = "instant_503"
    HANG = "hang"
    RESET = "reset"
    TRUNCATED = "truncated"


@dataclass(slots=True)
class Counts:
    """
    What one backend has seen.

    Attributes:
        attempts: Requests that came.
        first_attempts: Those whose number had not been seen before, on any backend of the fleet.
        abandoned: Attempts whose connection was closed by the proxy before they were answered.
        swallowed: Attempts that met a fault.
        swallowed_posts: Those of them that were POSTs.
    """

    attempts: int = 0
    first_attempts: int = 0
    abandoned: int = 0
    swallowed: int = 0
    swallowed_posts: int = 0


class Fleet:
    """What the backends share: their service times, their faults, and who has asked for what."""

    def __init__(self, size: int, times: ServiceTimes, slow: dict[int, float], slots: int = 0) -> None:
        self.times = times
        self.slots = slots
        self.busy = [0] * size
        self.waiting: list[deque[FleetConnection]] = [deque() for _ in range(size)]
        self.slow = [slow.get(position, 1.0) for position in range(size)]
        self.faults = [Fault.NONE] * size
        self.factor = 1.0
        self.counts = [Counts() for _ in range(size)]
        self._seen: dict[int, int] = {}

    def reset(self) -> None:
        """Count from 0 again; requests that were seen stay known, since they may be tried again."""
        self.counts = [Counts() for _ in self.counts]

    def begin(self, position: int, request: int) -> float:
        """Count an attempt and return how many seconds it takes."""
        attempt = self._seen.get(request, 0)
        self._seen[request] = attempt + 1
        counts = self.counts[position]
        counts.attempts += 1
        counts.first_attempts += attempt == 0
        return self.times.of(request, attempt) * self.slow[position] * self.factor

    def order(self, path: str) -> None:
        """Do what a path of the control port asks for. Raises ValueError for one that asks for nothing."""
        match path.strip("/").split("/"):
            case ["counts"]:
                pass
            case ["reset"]:
                self.reset()
            case ["factor", value]:
                self.factor = float(value)
            case ["fault", position, kind]:
                self.faults[int(position)] = Fault(kind)
            case _:
                raise ValueError(path)


class FleetConnection(asyncio.Protocol):
    """One connection to one backend; answers one request at a time, as proxies send them."""

    def __init__(self, fleet: Fleet, position: int) -> None:
        self._fleet = fleet
        self._position = position
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._waiting: asyncio.TimerHandle | None = None
        self._hangs = False
        self._seconds = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        is_waiting = self in self._fleet.waiting[self._position]
        if is_waiting:
            self._fleet.waiting[self._position].remove(self)
        if self._waiting:
            self._waiting.cancel()
            self._rest()
        if self._waiting or self._hangs or is_waiting:
            self._fleet.counts[self._position].abandoned += 1

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._target = url

    def on_message_complete(self) -> None:
        found = _NUMBER.search(self._target)
        if found is None:
            self._transport.write(_ANSWER)
            return
        seconds = self._fleet.begin(self._position, int(found[1]))
        fault = self._fleet.faults[self._position]
        if fault is Fault.NONE:
            self._seconds = seconds
            if self._fleet.slots and self._fleet.busy[self._position] >= self._fleet.slots:
                self._fleet.waiting[self._position].append(self)
            else:
                self._work()
        else:
            counts = self._fleet.counts[self._position]
            counts.swallowed += 1
            counts.swallowed_posts += self._parser.get_method() == b"POST"
            self._swallow(fault)

    def _work(self) -> None:
        self._fleet.busy[self._position] += 1
        self._waiting = asyncio.get_running_loop().call_later(self._seconds, self._answer)

    def _rest(self) -> None:
        """Free a slot for who waits."""
        fleet, position = self._fleet, self._position
        fleet.busy[position] -= 1
        if fleet.waiting[position]:
            fleet.waiting[position].popleft()._work()  # noqa: SLF001 - one of its own

    def _answer(self) -> None:
        self._waiting = None
        self._rest()
        self._transport.write(_ANSWER)

    def _swallow(self, fault: Fault) -> None:
        match fault:
            case Fault.INSTANT_503:
                self._transport.write(_REFUSAL)
            case Fault.HANG:
                self._hangs = True
            case Fault.TRUNCATED:
                self._transport.write(_TRUNCATED)
                self._transport.close()
            case _:
                connection = self._transport.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                self._transport.abort()


class ControlConnection(asyncio.Protocol):
    """One connection to the control port."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._parser = httptools.HttpRequestParser(self)
        self._target = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._target = url.decode("latin-1")

    def on_message_complete(self) -> None:
        body = json.dumps([asdict(counts) for counts in self._fleet.counts]).encode()
        status = b"200 OK"
        if self._target != "/":
            try:
                self._fleet.order(self._target)
            except (ValueError, IndexError):
                status = b"404 Not Found"
        self._transport.write(_HEAD % (status, len(body)) + body)


async def serve(fleet: Fleet, control: int, ports: list[int]) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    made: list[tuple[int, Callable[[], asyncio.Protocol]]] = [
        (port, lambda position=position: FleetConnection(fleet, position))  # type: ignore[misc]
        for position, port in enumerate(ports)
    ]
    async with contextlib.AsyncExitStack() as stack:
        for port, protocol in [*made, (control, lambda: ControlConnection(fleet))]:
            server = await loop.create_server(protocol, "127.0.0.1", port, backlog=4096)
            stack.callback(server.close)
        await stop.wait()


def main() -> None:
    """Read the command line and serve."""
    control, ports, times, *others = sys.argv[1:]
    slow, slots = [*others, *("{}", "0")[len(others) :]]
    factors = {int(position): factor for position, factor in json.loads(slow).items()}
    numbers = [int(port) for port in ports.split(",")]
    fleet = Fleet(len(numbers), ServiceTimes(**json.loads(times)), factors, int(slots))
    uvloop.run(serve(fleet, int(control), numbers))


if __name__ == "__main__":
    main()
