"""
The exchanges of one pool that wait in one worker, and whom it sheds.

Who waits is looked after whenever a lease ends in this worker, and every 2 ms, since other workers end leases
too. The order, the bounds and the choice of who is shed are `balancing.waiting_line`; here is what is done
about it. Beside the backends' own limits stands the pool's limit on attempts in flight (`concurrency`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pcs_gateway.balancing.overload import retry_after
from pcs_gateway.balancing.priority import Priority, judge_priority
from pcs_gateway.balancing.waiting_line import WaitingLine
from pcs_gateway.errors import NoHealthyInstances
from pcs_gateway.http.lookup import field_value
from pcs_gateway.http.refusals import Refusal
from pcs_gateway.proxy.endings import own_fault
from pcs_gateway.proxy.phases import QUEUED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from random import Random

    from pcs_gateway.backends.config import PoolConfig
    from pcs_gateway.backends.member import Lease, Member
    from pcs_gateway.processes.pool_cells import PoolCells
    from pcs_gateway.proxy.delays import Delays
    from pcs_gateway.proxy.exchange import Exchange
    from pcs_gateway.proxy.upstream_pool import UpstreamPool
    from pcs_gateway.telemetry.recorder import Recorder

POLL_SECONDS: Final = 0.002
"""How often a worker with waiters looks for leases that other workers gave back, and whom it must shed."""

SHED_TOGETHER: Final = 64
"""The most that are shed for their time in one go: the loop has other things to do."""

PASSED_OVER: Final = 8
"""How many may be passed over because the only free backends are those that failed them."""

SMOOTHING: Final = 0.2
"""Share of the newest observation in what an attempt is expected to take."""


class Queue:
    """
    The queue of one pool.

    Attributes:
        line: Who waits.
        limit: The most attempts in flight to the whole pool, over all workers; 0: none.
    """

    __slots__ = (
        "_cells",
        "_delays",
        "_expected",
        "_is_polling",
        "_monotonic",
        "_pool",
        "_priority_field",
        "_random",
        "_recorder",
        "limit",
        "line",
    )

    def __init__(
        self,
        pool: UpstreamPool,
        cells: PoolCells,
        delays: Delays,
        monotonic: Callable[[], float],
        random: Random,
        recorder: Recorder,
    ) -> None:
        self._pool = pool
        self._cells = cells
        self._delays = delays
        self._monotonic = monotonic
        self._random = random
        self._recorder = recorder
        self._is_polling = False
        self._expected = 0.0
        self._priority_field = b""
        self.limit = 0
        self.line: WaitingLine[Exchange] = WaitingLine(0.0, 0.0)

    def __repr__(self) -> str:
        return f"<Queue of {self._pool.name}: {self.line!r}, limit {self.limit or 'none'}>"

    def configure(self, config: PoolConfig) -> None:
        """Take over the pool's section of the configuration."""
        queue = config.queue
        self.line.configure(queue.timeout, queue.overload_timeout)
        self._priority_field = (queue.priority_header or "").lower().encode("ascii")
        self._judge_limit()

    def close(self) -> None:
        """The pool is no longer configured: show nothing of it."""
        self._cells.show_state(0, is_overloaded=False)

    # leases

    def lease(self, exchange: Exchange, now: float, tried: Collection[Member]) -> Lease | None:
        """
        Lease a backend for an exchange that does not wait yet, where somebody waits or a limit holds.

        Raises:
            NoHealthyInstances: No backend is ready, or all that are were tried.
        """
        balancer = self._pool.balancer
        if balancer.instances.members and (len(self.line) or self.is_at_limit(now)):
            return None
        return balancer.route_request(exchange, now, tried)

    def is_at_limit(self, now: float) -> bool:
        """Whether the pool's own limit on attempts in flight is reached."""
        return 0 < self.limit <= self._pool.balancer.in_flight(now)

    def is_busy(self, now: float) -> bool:
        """Tell whether there is no backend to spare: somebody waits, in whatever worker, or a limit holds."""
        return bool(self.line) or self._cells.waiting_elsewhere() > 0 or self.is_at_limit(now)

    def serve(self) -> None:
        """Shed who has waited too long, and give leases as long as there are any to give."""
        now = self._monotonic()
        self._shed_over_bound(now)
        passed_over: list[Exchange] = []
        while len(passed_over) <= PASSED_OVER and (first := self.line.first(now, passed_over)) is not None:
            exchange, priority = first
            if self.line.is_over_bound(exchange, priority, now):
                self._shed(exchange, priority, self._why(exchange, priority, now), now)
                continue
            if self.is_at_limit(now):
                return
            if self._ends_waiting(exchange, priority, now):
                continue
            if not exchange.tried:
                return
            passed_over.append(exchange)

    def _ends_waiting(self, exchange: Exchange, priority: Priority, now: float) -> bool:
        """Give an exchange a lease, or an answer where it can get none; False: it waits on."""
        if exchange.tried:
            exchange.forgive(self._pool)
        try:
            lease = self._pool.balancer.route_request(exchange, now, exchange.tried)
            if lease is None:
                return False
            self._recorder.waited(self._pool.name, self._remove(exchange, priority, now))
            exchange.leased(lease, now)
        except NoHealthyInstances:
            self._remove(exchange, priority, now)
            exchange.no_backend()
        except Exception as error:  # noqa: BLE001 - a fault of ours must cost one exchange, not the queue
            if exchange.is_queued:
                self._remove(exchange, priority, now)
            own_fault(exchange, error)
        return True

    # waiting

    def wait(self, exchange: Exchange, now: float) -> None:
        """Let an exchange wait for a lease; shed it, or one that matters less, when the queue is full."""
        priority = self._priority(exchange)
        if len(self.line) + self._cells.waiting_elsewhere() >= self._pool.config.queue.max_waiting:
            displaced = self.line.displaced_by(priority, now)
            if displaced is None:
                self._refuse(exchange, priority, self._or_limit(Refusal.QUEUE_FULL, now), now)
                return
            is_overloaded = self.line.is_overloaded(displaced[1], now)
            self._shed(*displaced, Refusal.OVERLOAD if is_overloaded else Refusal.QUEUE_FULL, now)
        exchange.is_queued = True
        exchange.phase = QUEUED
        exchange.deadline = exchange.total_from + exchange.matched.request_total
        self.line.join(exchange, priority, now)
        self._counted()
        self._poll()

    def leave(self, exchange: Exchange) -> None:
        """Take an exchange out of the queue that is over, or was refused for another reason."""
        self._remove(exchange, self.line.priority_of(exchange), self._monotonic())

    def _priority(self, exchange: Exchange) -> Priority:
        route = exchange.matched.priority
        if not self._priority_field or exchange.connection is None:
            return route
        said = field_value(exchange.fields.section, self._priority_field)
        return judge_priority(route, said, is_trusted=exchange.connection.client.is_trusted)

    def _remove(self, exchange: Exchange, priority: Priority, now: float) -> float:
        exchange.is_queued = False
        waited = self.line.leave(exchange, priority, now)
        exchange.waited += waited
        self._counted()
        return waited

    def _counted(self) -> None:
        waiting = len(self.line)
        self._cells.show_waiting(waiting)
        self._pool.waiters = waiting
        self._pool.is_gated = bool(waiting or self.limit)

    def _poll(self) -> None:
        if self.line and not self._is_polling:
            self._is_polling = True
            self._delays.start(POLL_SECONDS, self._polled)

    def _polled(self) -> None:
        self._is_polling = False
        self.serve()
        self._poll()

    # shedding

    def _shed_over_bound(self, now: float) -> None:
        for count, (exchange, priority) in enumerate(self.line.over_bound(now), 1):
            self._shed(exchange, priority, self._why(exchange, priority, now), now)
            if count == SHED_TOGETHER:
                return

    def _why(self, exchange: Exchange, priority: Priority, now: float) -> Refusal:
        """Name the bound that an exchange is over."""
        if self.line.waited(exchange, priority, now) < self.line.timeout:
            return Refusal.OVERLOAD
        return self._or_limit(Refusal.QUEUE_TIMEOUT, now)

    def _or_limit(self, refusal: Refusal, now: float) -> Refusal:
        """Name the pool's own limit where it is that, and not the backends', which there was to wait for."""
        return Refusal.CONCURRENCY_LIMIT if self.is_at_limit(now) else refusal

    def _shed(self, exchange: Exchange, priority: Priority, refusal: Refusal, now: float) -> None:
        self._remove(exchange, priority, now)
        self._refuse(exchange, priority, refusal, now)

    def _refuse(self, exchange: Exchange, priority: Priority, refusal: Refusal, now: float) -> None:
        self._recorder.shed(self._pool.name, priority.word, refusal.reason)
        lasted = self.line.overloaded_for(priority, now)
        exchange.refuse(refusal, retry_after=retry_after(lasted, self._random.random()))

    # time

    def tick(self, now: float) -> None:
        """Each 100 ms: take over the published limit, learn how long attempts take, show how it stands."""
        self._judge_limit()
        seconds = self._recorder.mean_upstream_time(self._pool.name)
        if seconds:
            before = self._expected or seconds
            self._expected = before + (seconds - before) * SMOOTHING
            self.line.expect(self._expected)
        self._cells.show_state(self.limit, is_overloaded=self.line.is_overloaded(Priority.LOW, now))

    def _judge_limit(self) -> None:
        """Take over the limit: the configured one, or the control process' last; before that, the initial."""
        config = self._pool.config.concurrency
        if config is None:
            limit = 0
        elif config.mode == "fixed":
            limit = config.maximum
        else:
            limit = self._cells.published_limit() or self.limit or config.initial
            limit = min(max(limit, config.minimum), config.maximum)
        self.limit = limit
        self._counted()
