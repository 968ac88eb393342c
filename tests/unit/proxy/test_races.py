"""
Retries, hedges, clients that leave, deadlines, backends that do anything: what is counted is what lives.

The connections on both sides are the real ones; their transports, the connects and the time are the test's.
The steps are drawn by chance from a seed, and told when one of them breaks a law.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from random import Random
from typing import Any

from pcs_gateway.backends.backend import Backend
from pcs_gateway.backends.pool import PoolSnapshot
from pcs_gateway.balancing.budget import Spending
from pcs_gateway.config.model import GatewayConfig
from pcs_gateway.processes.messages import EvidenceEntry
from pcs_gateway.processes.scoreboard import Role, Scoreboard
from pcs_gateway.processes.tickets import Tickets
from pcs_gateway.proxy.data_plane import DataPlane
from pcs_gateway.proxy.downstream import DownstreamConnection
from pcs_gateway.proxy.exchange import Exchange
from pcs_gateway.proxy.phases import OVER
from pcs_gateway.proxy.upstream import HEAD, UpstreamConnection
from pcs_gateway.telemetry.recorder import Recorder
from tests.fakes.clock import FakeClock

BACKENDS = 3
LIMIT = 2
"""Attempts that a backend takes at a time, so that some exchanges queue."""

GET = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody"
WHOLE = b"HTTP/1.1 %d Said\r\nContent-Length: 4\r\n\r\nbody"
BEGUN = b"HTTP/1.1 %d Said\r\nContent-Length: 4\r\n\r\nbo"
CHUNKED = b"HTTP/1.1 %d Said\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n"
ASKING = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\nRetry-After: 2\r\n\r\nbusy"


class Transport(asyncio.Transport):
    """A transport that goes nowhere; the test says what comes and when it is lost."""

    def __init__(self, protocol: asyncio.Protocol, loop: PlayedLoop) -> None:
        super().__init__({"peername": ("127.0.0.1", 40000)})
        self.loop = loop
        self.protocol = protocol
        self.written = b""
        self.is_lost = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.is_lost

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """It never fills."""

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """The test sends what it wants."""

    def resume_reading(self) -> None:
        """The same."""

    def write_eof(self) -> None:
        self.close()

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        """Lost with the loop's next turn, as real ones are."""
        if not self.is_lost:
            self.is_lost = True
            self.loop.call_soon(self.protocol.connection_lost, None)


class PlayedLoop(asyncio.SelectorEventLoop):
    """A loop whose time and connects are the test's."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.timers: list[tuple[float, asyncio.TimerHandle]] = []
        self.connects: list[tuple[Callable[[], asyncio.Protocol], asyncio.Future[Any]]] = []

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(0.0, callback, args, self, context)
        self.timers.append((self.clock.now + delay, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Nothing is scheduled that would have to be taken out."""

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        return asyncio.TimerHandle(when, callback, args, self, context)

    async def create_connection(self, factory: Any, *_: Any, **__: Any) -> Any:  # type: ignore[override]
        future = self.create_future()
        self.connects.append((factory, future))
        return await future

    def turn(self) -> None:
        """Let everything happen that can happen now."""
        for _ in range(6):
            self.run_until_complete(_nothing())

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        due = [handle for when, handle in self.timers if when <= self.clock.now]
        self.timers = [(when, handle) for when, handle in self.timers if when > self.clock.now]
        for handle in due:
            if not handle.cancelled():
                handle._run()
        self.turn()


async def _nothing() -> None:
    await asyncio.sleep(0)


class Race:
    """One worker, a few clients and backends."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.told: list[str] = []
        self.clock = FakeClock()
        self.loop = PlayedLoop(self.clock)
        asyncio.set_event_loop(self.loop)
        self.scoreboard = Scoreboard.create()
        self.tickets = Tickets.create(1)
        self.row = self.scoreboard.occupy(1, Role.WORKER, 1, 1)
        self.recorder = Recorder()
        evidence: list[EvidenceEntry] = []
        self.plane = DataPlane(
            self.loop, self.clock, Random(1), os.urandom, self.scoreboard, self.row, self.tickets,
            self.recorder, evidence.append,
        )  # fmt: skip
        self.faults: list[object] = []
        self.plane.tell_fault = self.faults.append
        self.loop.set_exception_handler(lambda _, context: self.faults.append(context))
        self.apply("finish")
        self.clients: list[Transport] = []
        self.upstream: list[Transport] = []

    def apply(self, on_abandon: str) -> None:
        urls = [f"http://127.0.0.1:{port}" for port in range(1, BACKENDS + 1)]
        config = GatewayConfig.model_validate(
            {
                "pools": {
                    "pcs": {
                        "backends": [{"url": url} for url in urls],
                        "connections": {"max_per_backend": LIMIT, "idle": 1},
                        "hedge": {"after": "50ms", "budget": 1.0},
                        "retry": {
                            "attempts": 2,
                            "on": ["connect_failure", "reset_before_response", 503, 504],
                            "budget": {"ratio": 0.5, "minimum_per_second": 0.5},
                        },
                        "outlier_detection": {"consecutive_failures": 0},
                        "on_abandon": on_abandon,
                    }
                },
                "timeouts": {"response_head": "1s", "request_total": "3s", "stream_idle": "5s"},
            }
        )
        backends = [
            Backend("pcs", url, url, "http", "127.0.0.1", 1, ("127.0.0.1",), 1, column, 1, ready=True)
            for column, url in enumerate(urls)
        ]
        self.plane.replace_pools((PoolSnapshot("pcs", 0, tuple(backends)),), config.pools)
        self.plane.configure(config.routes, config.limits, config.timeouts, config.forwarding)

    # clients

    def client_asks(self) -> str:
        """A new client sends a request or two."""
        request = self.random.choice((GET, GET, GET, POST, GET * 2))
        connection = DownstreamConnection(self.plane, b"http")
        transport = Transport(connection, self.loop)
        connection.connection_made(transport)
        self.clients.append(transport)
        connection.data_received(request)
        return f"client sends {len(request)} bytes"

    def client_leaves(self) -> str:
        """A client resets its connection."""
        if self.clients:
            self.clients.pop(self.random.randrange(len(self.clients))).abort()
        return "client leaves"

    # backends

    def connect_ends(self) -> str:
        """A connect is accepted or refused."""
        if not self.loop.connects:
            return "no connect"
        factory, future = self.loop.connects.pop(self.random.randrange(len(self.loop.connects)))
        if future.done():
            return "connect timed out"
        if self.random.random() < 0.3:
            future.set_exception(ConnectionRefusedError())
            return "connect refused"
        protocol = factory()
        transport = Transport(protocol, self.loop)
        protocol.connection_made(transport)
        self.upstream.append(transport)
        future.set_result((transport, protocol))
        return "connected"

    def asked(self) -> list[tuple[Transport, UpstreamConnection]]:
        """Connections to backends on which something is awaited."""
        self.upstream = [one for one in self.upstream if not one.is_lost]
        found = []
        for one in self.upstream:
            assert isinstance(one.protocol, UpstreamConnection)
            if one.protocol.exchange is not None:
                found.append((one, one.protocol))
        return found

    def backend_answers(self) -> str:
        """Whole or in part, well or badly, or nothing that would be an answer."""
        asked = self.asked()
        if not asked:
            return "nobody asked"
        _, upstream = self.random.choice(asked)
        status = self.random.choice((200, 200, 404, 429, 500, 503, 503))
        data = self.random.choice((WHOLE, WHOLE, BEGUN, CHUNKED)) % status
        if self.random.random() < 0.1:
            data = self.random.choice((ASKING, b"nonsense\r\n\r\n"))
        if upstream.state != HEAD:
            data = self.random.choice((b"dy", b"2\r\ndy\r\n0\r\n\r\n"))
        upstream.data_received(data)
        return f"{upstream.member.column} answers {data!r}"

    def backend_resets(self) -> str:
        """A connection is lost."""
        asked = self.asked()
        if asked:
            self.random.choice(asked)[0].abort()
        return "backend resets"

    # time and configuration

    def time_passes(self) -> str:
        """Hedges and retries become due, deadlines pass."""
        seconds = self.random.choice((0.002, 0.02, 0.06, 0.3, 1.2, 3.5))
        self.loop.pass_time(seconds)
        self.plane.sweep()
        return f"{seconds} s"

    def reload(self) -> str:
        """The configuration is another from now on."""
        on_abandon = self.random.choice(("finish", "cancel"))
        self.apply(on_abandon)
        return on_abandon

    def step(self) -> None:
        """Let one thing happen, and see that all laws hold."""
        steps = (
            (self.client_asks, 5),
            (self.client_leaves, 1),
            (self.connect_ends, 6),
            (self.backend_answers, 6),
            (self.backend_resets, 1),
            (self.time_passes, 5),
            (self.reload, 0.3),
        )
        (what,) = self.random.choices([one for one, _ in steps], [weight for _, weight in steps])
        with_room = self.with_room()
        self.told.append(what())
        self.loop.turn()
        self.counted_is_what_lives()
        self.connections_belong_together()
        self.budgets_hold()
        self.nobody_waits_for_what_became_free(with_room)
        assert self.faults == []

    # what must hold

    def holders(self) -> list[Exchange]:
        """Every exchange, hedge and leftover that there is."""
        exchanges = [one.exchange for one in self.plane.connections if one.exchange is not None]
        found: list[Exchange] = [*exchanges, *self.plane.abandoned]
        return found + [one.hedge for one in found if one.hedge is not None]

    def counted_is_what_lives(self) -> None:
        """Every lease belongs to somebody that lives, and the row reads their number."""
        held = [0] * BACKENDS
        for holder in self.holders():
            if holder.lease is not None:
                assert holder.phase != OVER
                assert holder.lease.member is not None
                held[holder.lease.member.column] += 1
        assert held == self.row.in_flight[:BACKENDS].tolist()
        assert all(count <= LIMIT for count in held)

    def connections_belong_together(self) -> None:
        """Whoever has a connection is who the connection answers to."""
        holders = self.holders()
        for holder in holders:
            if holder.upstream is not None:
                assert holder.upstream.exchange is holder
        for _, upstream in self.asked():
            assert any(upstream.exchange is holder for holder in holders)

    def with_room(self) -> set[int]:
        """Give the columns of the backends that have room for another attempt."""
        taking_part = self.plane.pools["pcs"].balancer.taking_part()
        return {member.column for member in taking_part if member.active_connections < LIMIT}

    def nobody_waits_for_what_became_free(self, before: set[int]) -> None:
        """A lease that ends is given on at once, unless one who waits was failed by that very backend."""
        waiting = [holder for holder in self.holders() if holder.is_queued]
        if waiting and not any(holder.tried for holder in waiting):
            assert self.with_room() <= before

    def budgets_hold(self) -> None:
        """Retries and hedges of the last ten seconds are within what the requests of these allowed."""
        budget, now = self.plane.pools["pcs"].budget, self.clock.now
        if now - 1000.0 < 10.0:
            requests = budget.spent(Spending.REQUESTS, now)
            assert budget.spent(Spending.RETRIES, now) <= 0.5 * requests + 5
            assert budget.spent(Spending.HEDGES, now) <= requests

    def decisions(self) -> set[tuple[str, str]]:
        """Give what was decided, so that a race in which nothing was is noticed."""
        decided = self.recorder.take_delta().decisions.get("pcs", {})
        return {(kind, reason) for kind, reasons in decided.items() for reason in reasons}

    def end(self) -> None:
        """Everything ends: nothing is counted any more."""
        for client in self.clients:
            client.abort()
        for _ in range(30):
            for _, future in self.loop.connects:
                if not future.done():
                    future.set_exception(ConnectionRefusedError())
            self.loop.connects.clear()
            self.loop.pass_time(7.0)
            self.plane.sweep()
            self.loop.turn()
        assert self.holders() == []
        self.plane.replace_pools((), {})
        self.loop.turn()
        assert not any((*self.row.in_flight, *self.row.connections, *self.row.waiters))
        assert len(self.plane.delays) == 0
        assert self.faults == []
        self.loop.close()
        asyncio.set_event_loop(None)
        self.tickets.close()
        self.scoreboard.close()


RACES = 240


def test_races() -> None:
    """Whatever happens, every lease is counted once for as long as it lives; in the end all is zero."""
    decided: set[tuple[str, str]] = set()
    for seed in range(RACES):
        race = Race(Random(seed))
        try:
            for _ in range(60):
                race.step()
            race.end()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {race.told}") from error
        decided |= race.decisions()
    assert {
        ("retry", "connect_failure"),
        ("retry", "http_503"),
        ("retry", "http_504"),
        ("retry", "reset_before_response"),
        ("retry_denied", "method"),
        ("hedge", "won"),
        ("hedge", "lost"),
        ("hedge", "failed"),
        ("hedge", "taken_over"),
        ("hedge_denied", "queue"),
    } <= decided
